"""Where k-means begins: rows that are drawn as scikit-learn draws them, number for number."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._kernels import kmeans as kernel
from ._model import rows_at

__all__ = ["far_apart", "random_rows"]


def random_rows(
    X: Any, n_clusters: int, random_state: np.random.RandomState, sample_weight: np.ndarray | None
) -> np.ndarray:
    """Distinct rows (n_clusters,), by weight."""
    n = X.shape[0]
    weight = np.ones(n) if sample_weight is None else sample_weight
    counting = int(np.count_nonzero(weight))
    if counting < n_clusters:
        raise ValueError(
            f"init='random' draws {n_clusters} rows with a weight, and there are {counting}. Lower n_clusters, or use"
            " init='k-means++'."
        )
    return random_state.choice(n, size=n_clusters, replace=False, p=weight / weight.sum())


def far_apart(
    X: Any,
    n_clusters: int,
    random_state: np.random.RandomState,
    sample_weight: np.ndarray | None,
    origin: np.ndarray,
) -> np.ndarray:
    """Rows (n_clusters,) by greedy k-means++.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, d)
    n_clusters : int
    random_state : RandomState
    sample_weight : ndarray of shape (n,) or None
    origin : ndarray of shape (d,)
        Near the data; 0 for sparse rows.

    References
    ----------
    Arthur, D. and Vassilvitskii, S. (2007). k-means++: the advantages of careful seeding. Proceedings of the
    eighteenth annual ACM-SIAM symposium on discrete algorithms, 1027-1035.
    """
    n = X.shape[0]
    weight = np.ones(n) if sample_weight is None else sample_weight
    seeds = [int(random_state.choice(n, p=weight / weight.sum()))]
    rows = kernel.measured(X, origin, sample_weight)
    squares, totals = rows.closer(rows_at(X, np.array(seeds)) - origin)
    least, total = squares[0], totals[0]
    n_trials = 2 + int(np.log(n_clusters))
    while len(seeds) < n_clusters:
        draws = random_state.uniform(size=n_trials) * total
        if total > 0:
            reached = np.cumsum(least if sample_weight is None else least * sample_weight)
            tried = np.minimum(np.searchsorted(reached, draws), n - 1)
        else:  # all rows are seeds already
            tried = np.full(n_trials, np.flatnonzero(weight)[0])
        squares, totals = rows.closer(rows_at(X, tried) - origin, least)
        best = int(np.argmin(totals))
        least, total = squares[best], totals[best]
        seeds.append(int(tried[best]))
    return np.array(seeds)
