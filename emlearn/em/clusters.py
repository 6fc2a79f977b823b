"""Clusters of rows that starts are made of, beside k-means: whitened rows, and Ward's hierarchy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import pairwise_distances

__all__ = ["assign_nearest", "ward_labels", "whiten"]

# columns up to which a covariance is decomposed, and how many rows it takes for each
_MOST_COLUMNS, _ROWS_A_COLUMN = 256, 2
# rows whose hierarchy is made, and among how many distinct ones are looked for
_HIERARCHY, _AMONG = 2000, 20_000
# rows at a time, where a table of distances is made
_BLOCK_ROWS = 16384


def whiten(X: Any, sample_weight: np.ndarray | None = None) -> Any:
    """Rows in coordinates whose covariance is the identity.

    Distances between whitened rows do not depend on the units of the columns, nor on how they are
    mixed: any invertible affine map of X leaves them as they are. What does not vary is left out.
    Where there are too few rows for a covariance (fewer than twice the columns), where there are many
    columns, and for sparse rows, each column is divided by its standard deviation, and no more.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, d)
    sample_weight : ndarray of shape (n,) or None
        Rows of weight 0 are mapped, and have no part in the map.

    Returns
    -------
    ndarray or CSR matrix of shape (n, r)
        In float64; r is the rank of the covariance, or d.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.em.clusters import whiten
    >>> X = np.random.default_rng(0).normal(size=(50, 3)) * [1, 100, 0]
    >>> np.cov(whiten(X).T, bias=True).round(6).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    n, d = X.shape
    weight = np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    weight = weight / weight.max()  # the largest first: a sum of tiny weights may vanish
    weight /= weight.sum()
    if sparse.issparse(X):
        mean = np.asarray(X.T @ weight)
        square = np.asarray(X.multiply(X).T @ weight)
        deviation = np.sqrt(np.maximum(square - mean * mean, 0.0))
        varies = deviation > 1e-7 * np.sqrt(square)
        return (X @ sparse.diags_array(_inverse(deviation, varies))).tocsr()
    Y = X - weight @ X  # in float64
    deviation = np.sqrt(weight @ (Y * Y))
    varies = deviation > 1e-12 * np.abs(X).max(axis=0, initial=0.0)
    Y *= _inverse(deviation, varies)
    Y = Y[:, varies] if varies.any() else Y
    d = Y.shape[1]
    if d > _MOST_COLUMNS or np.count_nonzero(weight) < _ROWS_A_COLUMN * d or not varies.any():
        return Y
    values, vectors = np.linalg.eigh((Y * weight[:, None]).T @ Y)
    kept = values > 1e-10 * values[-1]
    return Y @ (vectors[:, kept] / np.sqrt(values[kept]))


def _inverse(deviation: np.ndarray, varies: np.ndarray) -> np.ndarray:
    return np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)


def ward_labels(
    X: Any,
    n_clusters: int,
    random_state: np.random.RandomState,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Clusters by Ward's method on some of the rows, and the nearest cluster mean for all.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, d)
    n_clusters : int
        With fewer distinct rows there are fewer clusters.
    random_state : RandomState
        Draws the rows of the hierarchy, where there are more than 2000 distinct ones.
    sample_weight : ndarray of shape (n,) or None
        Rows of weight 0 are in no mean; how often a row was drawn from is by weight.

    Returns
    -------
    ndarray of shape (n,)
        From 0.

    References
    ----------
    Ward, J. H. (1963). Hierarchical grouping to optimize an objective function. Journal of the American
    Statistical Association 58(301), 236-244.
    """
    rows, weight = _distinct_rows(X, random_state, sample_weight)
    few = X[rows]
    if len(rows) <= n_clusters:
        return assign_nearest(X, few)
    table = pairwise_distances(few)
    np.fill_diagonal(table, 0.0)
    labels = _cut(linkage(squareform(table, checks=False), "ward"), n_clusters)
    sums = sparse.csr_array((weight, (labels, np.arange(len(rows)))), shape=(n_clusters, len(rows)))
    means = (sums @ few) / np.bincount(labels, weight, n_clusters)[:, None]
    return assign_nearest(X, means)


def _distinct_rows(
    X: Any, random_state: np.random.RandomState, sample_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Some distinct rows, and the weight that is at each: all where they are few."""
    weight = np.ones(X.shape[0]) if sample_weight is None else sample_weight / sample_weight.max()
    rows = np.flatnonzero(weight > 0)
    if len(rows) > _AMONG:
        rows = np.sort(random_state.choice(rows, _AMONG, replace=False))
    if sparse.issparse(X):
        weight = weight[rows]
    else:
        _, first, place = np.unique(X[rows], axis=0, return_index=True, return_inverse=True)
        weight, rows = np.bincount(place.ravel(), weight[rows]), rows[first]
    if len(rows) > _HIERARCHY:
        chosen = random_state.choice(len(rows), _HIERARCHY, replace=False, p=weight / weight.sum())
        rows, weight = rows[chosen], weight[chosen]
    return rows, weight


def _cut(merges: np.ndarray, n_clusters: int) -> np.ndarray:
    """Labels when so many clusters are left of a hierarchy; ties are cut as they were merged."""
    n = len(merges) + 1
    # from the last merge down, each node hands its cluster to the two that it was made of
    label = np.full(2 * n - 1, -1, dtype=np.int64)
    free = 0
    for node in range(2 * n - 2, -1, -1):
        merged = node - n
        if merged >= n - n_clusters:
            continue
        if label[node] < 0:
            label[node], free = free, free + 1
        if merged >= 0:
            label[merges[merged, :2].astype(np.intp)] = label[node]
    return label[:n]


def assign_nearest(X: Any, centres: Any) -> np.ndarray:
    """The nearest centre (n,) of each row; of equals the first."""
    if sparse.issparse(centres):
        centres = centres.toarray()
    # about the middle of the centres, where squares lose no digits
    middle = 0.0 if sparse.issparse(X) else centres.mean(axis=0)
    centres = centres - middle
    half = 0.5 * np.einsum("kj,kj->k", centres, centres)
    out = np.empty(X.shape[0], dtype=np.int64)
    for at in range(0, len(out), _BLOCK_ROWS):
        rows = X[at : at + _BLOCK_ROWS]
        rows = rows if sparse.issparse(X) else rows - middle
        out[at : at + _BLOCK_ROWS] = (half - rows @ centres.T).argmin(axis=1)
    return out
