"""What missing cells cost: an EM iteration with a fifth of all cells missing, beside one of complete rows."""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any
from unittest import mock

import numpy as np
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning

from emlearn._kernels import missing_twin
from emlearn.mixture import GaussianMixture, StudentTMixture

from ._run import timed

# the most that an iteration may cost, times one of complete rows; only the full covariance is asked for
MOST = 6.0
CASES = {
    "full": (GaussianMixture, {"covariance_type": "full"}),
    "tied": (GaussianMixture, {"covariance_type": "tied"}),
    "diag": (GaussianMixture, {"covariance_type": "diag"}),
    "Student-t": (StudentTMixture, {"covariance_type": "full"}),
}


def rows(n: int, d: int, K: int, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Complete rows, the same with missing cells, and the clusters they come from."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, K, n)
    roots = rng.normal(size=(K, d, d)) / np.sqrt(d)
    X = 3 * rng.normal(size=(K, d))[labels] + 0.3 * rng.normal(size=(n, d))
    X += np.einsum("nij,nj->ni", roots[labels], rng.normal(size=(n, d)))
    Y = np.where(rng.random(X.shape) < share, np.nan, X)
    return X, Y, labels


def per_iteration(make: Any, X: np.ndarray, iterations: int) -> float:
    """Seconds of an iteration: the difference between a longer and a short fit."""
    short, long = (timed(lambda m=m: make(m).fit(X)) for m in (1, 1 + iterations))
    return (long - short) / iterations


def agree(fitted: Any, Y: np.ndarray) -> None:
    """The likelihood of some rows is that of their observed cells, computed from the covariances."""
    if not isinstance(fitted, GaussianMixture) or fitted.covariance_type != "full":
        return
    for x, found in zip(Y[:200], fitted.score_samples(Y[:200]), strict=True):
        o = np.flatnonzero(~np.isnan(x))
        each = []
        for weight, mean, covariance in zip(
            fitted.weights_, fitted.means_, fitted.covariances_, strict=True
        ):
            block, y = covariance[np.ix_(o, o)], x[o] - mean[o]
            determinant = np.linalg.slogdet(2 * np.pi * block)[1]
            each.append(np.log(weight) - 0.5 * (determinant + y @ np.linalg.solve(block, y)))
        np.testing.assert_allclose(found, logsumexp(each), rtol=1e-9)


def main(arguments: list[str]) -> None:
    """Print the ratios, of the kernel and of the twin."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks missing", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--twin", action="store_true", help="the NumPy twin as well, which takes long"
    )
    options = parser.parse_args(arguments)
    X, Y, labels = rows(options.rows, 20, 5, options.share)
    warnings.simplefilter("ignore", ConvergenceWarning)
    begun = time.perf_counter()
    for name, (cls, settings) in CASES.items():

        def make(n: int, cls: Any = cls, settings: dict[str, Any] = settings) -> Any:
            return cls(5, init_params=labels, max_iter=n, tol=0.0, n_jobs=2, **settings)

        agree(make(2).fit(Y), Y)
        pairs = [
            (per_iteration(make, X, 6), per_iteration(make, Y, 6)) for _ in range(options.repeats)
        ]
        whole, holed = (float(np.median(times)) for times in zip(*pairs, strict=True))
        mark = "!" if name == "full" and holed / whole > MOST else " "
        line = f"{name:>10}  complete {1e3 * whole:7.1f} ms  missing {1e3 * holed:7.1f} ms  {holed / whole:5.1f}{mark}"
        if options.twin:
            with (
                mock.patch("emlearn.distributions.gaussian.missing_kernel", missing_twin),
                mock.patch("emlearn.distributions.student_t.missing_kernel", missing_twin),
            ):
                line += f"  twin {per_iteration(make, Y, 1) / whole:6.1f}"
        print(line, flush=True)
    print(f"{time.perf_counter() - begun:.0f} s")
