"""One look for all figures of the examples, and no warnings in them."""

import warnings
from pathlib import Path

import matplotlib as mpl
from sklearn.exceptions import ConvergenceWarning

STYLE = {
    "figure.figsize": (7.2, 3.6),
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=["#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7"]),
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "font.size": 9.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


_strict = []


def reset(gallery_conf: dict, path: Path, when: str) -> None:
    """Set the style before an example, and let its warnings be errors; sphinx-gallery calls it."""
    if when == "after":
        _strict.pop().__exit__(None, None, None)
        return
    mpl.rcdefaults()
    mpl.use("agg")
    mpl.rcParams.update(STYLE)
    _strict.append(warnings.catch_warnings())
    _strict[-1].__enter__()
    warnings.simplefilter("error", ConvergenceWarning)
