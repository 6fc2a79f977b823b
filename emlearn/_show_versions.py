"""What is installed and what was compiled, for the reports of errors."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TextIO

from threadpoolctl import threadpool_info

_REQUIRED = ("numpy", "scipy", "scikit-learn", "joblib", "threadpoolctl")
_OPTIONAL = ("matplotlib", "rich", "dask", "pandas", "polars")


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _versions() -> dict[str, Any]:
    """Collect what `show_versions` prints.

    Returns
    -------
    dict
        ``system`` (str to str), ``required`` and ``optional`` (distribution to its version, None
        where absent), ``kernels`` (name to whether it was compiled), ``instruction_set`` and
        ``threadpools`` (as threadpoolctl reports them).
    """
    from . import _kernels

    return {
        "system": {
            "python": sys.version.replace("\n", " "),
            "executable": sys.executable,
            "platform": platform.platform(),
        },
        "required": {name: _installed(name) for name in ("emlearn", *_REQUIRED)},
        "optional": {name: _installed(name) for name in _OPTIONAL},
        "kernels": dict(_kernels.COMPILED),
        "instruction_set": _kernels.INSTRUCTION_SET,
        "threadpools": threadpool_info(),
    }


def show_versions(file: TextIO | None = None) -> None:
    """Print versions, compiled kernels and thread pools.

    Parameters
    ----------
    file : text file, default=None
        Where to print; None means standard output.

    Examples
    --------
    >>> import emlearn
    >>> emlearn.show_versions()  # doctest: +SKIP
    """
    found = _versions()
    kernels = {
        name: "compiled" if compiled else "not compiled, NumPy is used"
        for name, compiled in found["kernels"].items()
    }
    sections = {
        "System": found["system"].items(),
        "Packages": found["required"].items(),
        "Optional packages": found["optional"].items(),
        "Kernels": [*kernels.items(), ("instruction set", found["instruction_set"])],
        "Thread pools": [
            (pool["prefix"], "{internal_api} {version}, {num_threads} threads".format(**pool))
            for pool in found["threadpools"]
        ],
    }
    for title, rows in sections.items():
        print(title, file=file)
        for name, value in rows:
            print(f"  {name + ':':<17}{'not installed' if value is None else value}", file=file)
