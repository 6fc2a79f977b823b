"""Seconds until the mean log-likelihood is within 1e-3 of the converged one, variant by variant, beside scikit-learn.

All begin with the same parameters, made of k-means on a few rows. A variant is given just as many iterations as it
needs.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as ScikitLearn

from ._run import timed

NEAR = 1e-3
ASKED = 20.0

VARIANTS: dict[str, dict[str, Any]] = {
    "batch": {},
    "squarem": {"accelerate": "squarem"},
    "incremental": {"algorithm": "incremental", "batch_size": 16384},
    "online": {"algorithm": "online", "batch_size": 8192},
}


def overlapping(n: int, d: int, K: int, seed: int = 0) -> np.ndarray:
    """Rows of K Gaussians, near enough to each other for EM to be slow."""
    rng = np.random.default_rng(seed)
    means = 1.5 * rng.normal(size=(K, d))
    factors = rng.normal(size=(K, d, d)) / np.sqrt(d) + 0.5 * np.eye(d)
    labels = rng.integers(K, size=n)
    X = rng.normal(size=(n, d))
    for k in range(K):
        rows = labels == k
        X[rows] = X[rows] @ factors[k] + means[k]
    return X


def first_parameters(X: np.ndarray, K: int) -> dict[str, np.ndarray]:
    from emlearn.mixture import GaussianMixture

    few = GaussianMixture(K, max_iter=0, random_state=0).fit(X[:: max(1, len(X) // 20_000)])
    return {
        "weights_init": few.weights_,
        "means_init": few.means_,
        "precisions_init": few.precisions_,
    }


def iterations_needed(fit: Callable[[int], Any], X: np.ndarray, goal: float, most: int) -> int:
    """The fewest iterations that come near the goal; those of batch EM are read off one trace."""
    if fit(1).algorithm == "batch":
        near = np.flatnonzero(fit(most).lower_bounds_ >= goal - NEAR)
        return int(near[0]) + 1 if len(near) else 0
    low, high = 0, 1
    while high < most and fit(high).score(X) < goal - NEAR:
        low, high = high, min(2 * high, most)
    if fit(high).score(X) < goal - NEAR:
        return 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fit(middle).score(X) >= goal - NEAR else (middle, high)
    return high


def main(arguments: list[str]) -> None:
    from emlearn.mixture import GaussianMixture

    parser = argparse.ArgumentParser(prog="python -m benchmarks likelihood", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--components", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--most", type=int, default=150, help="iterations at most")
    parser.add_argument("--no-peer", action="store_true", help="leave scikit-learn out")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", ConvergenceWarning)
    K = options.components
    X = overlapping(options.rows, options.features, K)
    start = first_parameters(X, K)

    def fit(settings: dict[str, Any], max_iter: int) -> GaussianMixture:
        model = GaussianMixture(K, tol=0, max_iter=max_iter, random_state=0, **start, **settings)
        return model.fit(X)

    end = GaussianMixture(
        K, tol=1e-7, max_iter=3000, accelerate="squarem", random_state=0, **start
    ).fit(X)
    goal = end.lower_bound_
    print(f"{options.rows} x {options.features}, K={K}; converged at {goal:.5f} a row")
    functions: dict[str, Callable[[], Any]] = {}
    needed: dict[str, int] = {}
    for name, settings in VARIANTS.items():
        n = iterations_needed(partial(fit, settings), X, goal, options.most)
        if not n:
            print(f"{name:>14}  never came within {NEAR:g}")
            continue
        needed[name], functions[name] = n, partial(fit, settings, n)
    if not options.no_peer and "batch" in needed:
        # the same EM steps: what they come to is asserted
        n = needed["scikit-learn"] = needed["batch"]
        peer = ScikitLearn(K, tol=0, max_iter=n, random_state=0, **start)
        functions["scikit-learn"] = partial(peer.fit, X)
        few = X[:20_000]
        ours = GaussianMixture(K, tol=0, max_iter=n, random_state=0, **start).fit(few)
        theirs = ScikitLearn(K, tol=0, max_iter=n, random_state=0, **start).fit(few)
        assert abs(ours.score(few) - theirs.score(few)) < 1e-6, (ours.score(few), theirs.score(few))
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(options.repeats):
        for name, function in functions.items():
            if name != "scikit-learn" or not times[name]:  # minutes: once
                times[name].append(timed(function))
    theirs_s = statistics.median(times.get("scikit-learn", [float("nan")]))
    best = 0.0
    for name, measured in times.items():
        seconds = statistics.median(measured)
        best = max(best, theirs_s / seconds)
        print(
            f"{name:>14}  {needed[name]:>4} iterations  {seconds:>8.2f} s  {theirs_s / seconds:>6.1f} times"
        )
    if not options.no_peer:
        print(f"best: {best:.1f} times, asked {ASKED:g}{'' if best >= ASKED else '  !'}")
