"""EMImputer and scikit-learn's IterativeImputer on multivariate-normal rows with missing cells.

Both errors are measured, and ours asserted to be lower, before times are; each time is a whole ``fit_transform``.
Lines of the "twin" are without compiled kernels, by NumPy alone.
"""

from __future__ import annotations

import argparse
import gc
import warnings
from contextlib import ExitStack, contextmanager, nullcontext
from types import FunctionType
from unittest import mock

import numpy as np

from ._run import timed

# rows, columns, share that is missing, factors that columns have in common
SIZES = ((10_000, 20, 0.1, 5), (10_000, 20, 0.3, 5), (2_000, 50, 0.1, 5))
# least ratio of times that is asked of the first: with the kernel, with its twin
LEAST = (20.0, 5.0)


def make(n: int, d: int, share: float, n_factors: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and the same with missing cells."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, n_factors)) @ rng.normal(size=(n_factors, d)) + rng.normal(size=(n, d))
    return X, np.where(rng.uniform(size=X.shape) < share, np.nan, X)


@contextmanager
def twin():
    """NumPy alone, as where nothing could be compiled."""
    from emlearn import _kernels

    with ExitStack() as stack:
        for kernel in ("gaussian", "labels", "missing"):
            module, numpy = getattr(_kernels, kernel), getattr(_kernels, f"{kernel}_twin")
            functions = {
                name: value
                for name, value in vars(numpy).items()
                if isinstance(value, FunctionType) and hasattr(module, name)
            }
            stack.enter_context(mock.patch.multiple(module, **functions))
        yield


def rmse(X: np.ndarray, holes: np.ndarray, filled: np.ndarray) -> float:
    """Root of the mean squared error of what was missing."""
    return float(np.sqrt(np.mean((filled - X)[np.isnan(holes)] ** 2)))


def main(arguments: list[str]) -> None:
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    from emlearn.impute import EMImputer

    parser = argparse.ArgumentParser(prog="python -m benchmarks impute", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    print(f"{'rows, columns, missing':>24}{'':>10}{'RMSE':>9}{'theirs':>9}{'ms':>9}{'theirs':>9}")
    for i, (n, d, share, n_factors) in enumerate(SIZES):
        X, holes = make(n, d, share, n_factors)
        theirs = rmse(X, holes, IterativeImputer(random_state=0).fit_transform(holes))
        slow = min(
            timed(lambda holes=holes: IterativeImputer(random_state=0).fit_transform(holes))
            for _ in range(2)
        )
        for least, name, inside in zip(LEAST, ("kernel", "twin"), (None, twin), strict=True):
            with inside() if inside else nullcontext():
                ours = rmse(X, holes, EMImputer().fit_transform(holes))
                assert ours < theirs, f"RMSE {ours:.5f}, IterativeImputer has {theirs:.5f}"
                gc.collect()
                fast = min(
                    timed(lambda holes=holes: EMImputer().fit_transform(holes))
                    for _ in range(options.repeats)
                )
            asked = f"/{least:g}" if i == 0 else ""
            mark = "!" if i == 0 and slow / fast < least else " "
            title = f"{n:_}, {d}, {share:.0%}" if name == "kernel" else ""
            print(
                f"{title:>24}{name:>10}{ours:>9.5f}{theirs:>9.5f}{1e3 * fast:>9.0f}{1e3 * slow:>9.0f}"
                f"{slow / fast:>9.1f}{asked}{mark}"
            )
