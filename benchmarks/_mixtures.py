"""The table of a mixture beside scikit-learn's: fits and scores over sizes and covariance types."""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning

from ._run import Row, alternate, geometric_mean, timed

TYPES = ("full", "tied", "diag", "spherical")
SCORES = ("predict", "predict_proba", "score_samples")
FIT = {
    (1_000, 4, 3): (4, 4, 3, 3),
    (100_000, 2, 5): (15, 12, 6, 6),
    (100_000, 10, 10): (12, 10, 5, 5),
    (1_000_000, 10, 10): (12, 10, 5, 5),
    (100_000, 10, 100): (25, 15, 6, 6),
    (100_000, 50, 10): (8, 5, 3, 3),
    (20_000, 200, 10): (2, 2, 1.5, 1.5),
}
SCORE = {
    (1_000, 4, 3): 1.3,
    (100_000, 2, 5): 4,
    (100_000, 10, 10): 4,
    (100_000, 50, 10): 2,
    (20_000, 200, 10): 1.3,
}


def make(n: int, d: int, K: int) -> np.ndarray:
    """Overlapping clusters of differing shapes."""
    rng = np.random.RandomState(0)
    X, labels = make_blobs(n, d, centers=K, cluster_std=3.0, random_state=rng)
    return X * rng.uniform(0.5, 1.5, size=(K, d))[labels]


def settings(covariance_type: str) -> dict:
    return {
        "covariance_type": covariance_type,
        "max_iter": 20,
        "tol": 0,
        "init_params": "random_from_data",
        "random_state": 0,
    }


def assert_agreement(ours: object, theirs: object, X: np.ndarray) -> None:
    for name in ("weights_", "means_", "covariances_"):
        a, b = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max(), err_msg=name)
    assert np.mean(ours.predict(X) == theirs.predict(X)) > 0.9999


def compare(
    name: str,
    description: str | None,
    Ours: type,
    Theirs: type,
    arguments: list[str],
    *,
    asked_mean: float,
) -> None:
    """Print the table of two estimators of one signature; exit with an error below what is asked."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=description)
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each (default 5)")
    parser.add_argument("--quick", action="store_true", help="leave out a million rows")
    parser.add_argument("--only", type=int, help="only the sizes of so many rows")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", ConvergenceWarning)
    ratios: list[float] = []
    print("fit: ratio to scikit-learn/asked, and our time")
    print(f"{'n, d, K':>18}" + "".join(f"{t:>24}" for t in TYPES))
    fitted = {}
    short = 0
    for size, asked in FIT.items():
        n, d, K = size
        if (options.quick and n > 100_000) or (options.only and n != options.only):
            continue
        X, row = make(n, d, K), Row(f"{n}, {d}, {K}")
        for covariance_type, least in zip(TYPES, asked, strict=True):
            ours = Ours(n_components=K, **settings(covariance_type))
            theirs = Theirs(n_components=K, **settings(covariance_type))
            fits = (lambda m=ours: m.fit(X)), (lambda m=theirs: m.fit(X))  # noqa: B023
            first = timed(fits[0]), timed(fits[1])
            assert_agreement(ours, theirs, X)
            row.add(*alternate(*fits, options.repeats, first), least)
            if size in SCORE:
                fitted[size, covariance_type] = ours, theirs, X
        ratios += [cell[0] for cell in row.cells]
        short += row.short
        print(row, flush=True)
    print(f"geometric mean {geometric_mean(ratios):.1f} (asked {asked_mean:g})\n")

    for method in SCORES:
        print(f"{method}: ratio to scikit-learn/asked, and our time")
        for size, least in SCORE.items():
            if (size, TYPES[0]) not in fitted:
                continue
            row = Row("{}, {}, {}".format(*size))
            for covariance_type in TYPES:
                ours, theirs, X = fitted[size, covariance_type]
                a, b = getattr(ours, method), getattr(theirs, method)
                np.testing.assert_allclose(a(X[:100]), b(X[:100]), rtol=1e-5, atol=1e-6)
                row.add(*alternate(lambda: a(X), lambda: b(X), max(options.repeats, 7)), least)  # noqa: B023
            short += row.short
            print(row, flush=True)
    mean = geometric_mean(ratios)
    print(f"\ngeometric mean of fit {mean:.1f}")
    complete = not options.only
    if short or (complete and mean < asked_mean):
        raise SystemExit(f"{short} cells below what is asked")
