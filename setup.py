"""The compiled kernels; everything else stands in pyproject.toml."""

import os
import shutil
from glob import glob
from pathlib import Path
from textwrap import shorten

from setuptools import Extension, setup
from setuptools.command.build import build as _build
from setuptools.command.build_ext import build_ext as _build_ext

KERNELS = "emlearn/_kernels"
UNIX_FLAGS = [
    "-O3",
    "-fno-tree-slp-vectorize",  # it makes broadcasts of coefficients that the kernels keep as scalars
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-Wno-psabi",
    "-Wno-unused-function",
]


class build(_build):
    """Build from nothing: what an earlier build left in build_lib would end up in the wheel."""

    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


class build_ext(_build_ext):
    """Compile what can be compiled; a kernel that cannot is replaced by its NumPy twin."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.cython_c_in_temp = True  # no generated C beside the sources
        self.parallel = os.cpu_count()

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:  # no compiler to set up
            self._use_twins("any kernel", error)

    def build_extension(self, ext: Extension) -> None:
        if self.compiler.compiler_type != "msvc":
            ext.extra_compile_args = [*ext.extra_compile_args, *UNIX_FLAGS]
        try:
            super().build_extension(ext)
        except Exception as error:  # Cython's errors and the compiler's share no base class
            self._use_twins(ext.name, error)

    def _use_twins(self, what: str, error: Exception) -> None:
        reason = shorten(f"{type(error).__name__}: {error}", 80)
        self.warn(
            f"emlearn: could not compile {what} ({reason}). "
            "The NumPy twins will be used: the same results, more slowly."
        )


def extensions() -> list[Extension]:
    if os.environ.get("EMLEARN_NO_KERNELS", "0") not in ("", "0"):
        print("emlearn: EMLEARN_NO_KERNELS is set, the NumPy twins will be used.")
        return []
    headers = sorted(glob(f"{KERNELS}/*.h"))
    return [
        Extension(
            f"emlearn._kernels.{Path(source).stem}",
            [source],
            include_dirs=[KERNELS],
            depends=headers,
            optional=True,
        )
        for source in sorted(glob(f"{KERNELS}/*.pyx"))
    ]


setup(ext_modules=extensions(), cmdclass={"build": build, "build_ext": build_ext})
