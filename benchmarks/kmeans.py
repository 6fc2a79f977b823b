"""Full fits of KMeans beside scikit-learn's, from the same start.

Two columns: from given centres, and from the default start, k-means++. Both make the same iterations from the same
draws, and the inertia of both is asserted to be the same before they are timed, in turn, with the threads that each
takes by itself. Rows are of overlapping spherical clusters, so that a fit has something to do.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np

from ._run import Row, alternate, geometric_mean

SHAPES = [(100_000, 10, 10), (100_000, 50, 100), (1_000_000, 2, 8), (20_000, 200, 50)]


def rows(n: int, d: int, K: int) -> np.ndarray:
    """Spheres whose centres are about as far apart as they are wide."""
    rng = np.random.RandomState(0)
    centres = 2.0 * rng.standard_normal((K, d))
    return centres[rng.randint(K, size=n)] + rng.standard_normal((n, d))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks kmeans", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--max-iter", type=int, default=300)
    parser.add_argument("--algorithm", default="lloyd", help="of scikit-learn's (default lloyd)")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    import sklearn.cluster

    import emlearn.cluster

    print(f"{'n, d, K':>18}  {'given':>10}  {'ours':>11}  {'k-means++':>10}  {'ours':>11}")
    ratios: list[float] = []
    short = 0
    for n, d, K in SHAPES:
        X, row = rows(n, d, K), Row(f"{n}, {d}, {K}")
        for init in (X[:K], "k-means++"):
            settings = {
                "init": init,
                "n_init": 1,
                "max_iter": options.max_iter,
                "random_state": 0,
            }
            theirs = sklearn.cluster.KMeans(K, algorithm=options.algorithm, **settings)
            ours = emlearn.cluster.KMeans(K, **settings)
            found, expected = ours.fit(X).inertia_, theirs.fit(X).inertia_
            assert abs(found / expected - 1) < 1e-6, (n, d, K, found, expected)
            assert ours.n_iter_ == theirs.n_iter_, (ours.n_iter_, theirs.n_iter_)
            pair = alternate(
                lambda model=ours, X=X: model.fit(X),
                lambda model=theirs, X=X: model.fit(X),
                options.repeats,
            )
            row.add(*pair, 1.0)
            ratios.append(pair[1] / pair[0])
        print(row, flush=True)
        short += row.short
    print(
        f"geometric mean: given {geometric_mean(ratios[::2]):.2f}, k-means++ {geometric_mean(ratios[1::2]):.2f}"
    )
    if min(geometric_mean(ratios[::2]), geometric_mean(ratios[1::2])) < 1.0:
        raise SystemExit("slower than scikit-learn")
