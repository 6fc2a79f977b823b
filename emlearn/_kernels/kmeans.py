"""The E-step of k-means: the NumPy twin of ``_kmeans.pyx``.

Rows are dense, of either type and in any memory order, or CSR. Centres and sums of dense rows are
about an ``origin`` (d,) near the data; of CSR rows it is 0, because a row less the origin is not sparse.
"""

import numpy as np
from scipy import sparse

# numbers of a table of products that is made at a time
_NUMBERS = 2**20

#: numbers of a table that may be copied to measure distances in it
MOST_MEASURED = 2**26


def assign(X, centres, origin, sample_weight=None, totals=True):
    """The nearest centre of each row, of equals the first, and what the clusters add up to.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, d)
    centres : ndarray of shape (K, d)
        About the origin.
    origin : ndarray of shape (d,)
    sample_weight : ndarray of shape (n,) or None
    totals : bool, default=True
        False leaves counts and sums out.

    Returns
    -------
    labels : ndarray of int32 of shape (n,)
    squares : ndarray of shape (n,)
        Squared distances from their centres.
    counts : ndarray of shape (K,), or None
    sums : ndarray of shape (K, d), or None
        About the origin.
    inertia : float
    """
    n, K = X.shape[0], len(centres)
    labels, squares = np.empty(n, dtype=np.int32), np.empty(n)
    half = 0.5 * np.einsum("kj,kj->k", centres, centres)
    step = max(1, _NUMBERS // max(K, X.shape[1]))
    for at in range(0, n, step):
        rows = X[at : at + step]
        rows = rows.astype(np.float64) if sparse.issparse(X) else rows - origin
        scores = rows @ centres.T - half
        found = scores.argmax(axis=1)
        labels[at : at + step] = found
        if sparse.issparse(X):
            norms = np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
            squares[at : at + step] = np.maximum(norms - 2.0 * scores.max(axis=1), 0.0)
        else:
            e = rows - centres[found]
            squares[at : at + step] = np.einsum("ij,ij->i", e, e)
    weight = np.ones(n) if sample_weight is None else sample_weight
    counts = sums = None
    if totals:
        counts = np.bincount(labels, weight, K)
        table = sparse.csr_array((weight, (labels, np.arange(n))), shape=(K, n))
        sums = (table @ X).toarray() if sparse.issparse(X) else table @ (X - origin)
    return labels, squares, counts, sums, float(weight @ squares)


class Measured:
    """Rows as k-means++ measures distances from them.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, d)
    origin : ndarray of shape (d,)
    sample_weight : ndarray of shape (n,) or None
    """

    def __init__(self, X, origin, sample_weight=None):
        self.X, self.origin, self.sample_weight = X, origin, sample_weight

    def closer(self, candidates, least=None):
        """Squared distances from the seeds, if each candidate were one as well.

        Parameters
        ----------
        candidates : ndarray of shape (T, d)
            About the origin.
        least : ndarray of shape (n,) or None
            Squared distances from the seeds so far.

        Returns
        -------
        squares : ndarray of shape (T, n)
        totals : ndarray of shape (T,)
            Their weighted sums.
        """
        n, T = self.X.shape[0], len(candidates)
        half = 0.5 * np.einsum("tj,tj->t", candidates, candidates)
        squares = np.empty((T, n))
        step = max(1, _NUMBERS // max(T, self.X.shape[1]))
        for at in range(0, n, step):
            rows = self.X[at : at + step]
            if sparse.issparse(rows):
                rows = rows.astype(np.float64)
                norms = np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
            else:
                rows = rows - self.origin
                norms = np.einsum("ij,ij->i", rows, rows)
            squares[:, at : at + step] = norms - 2.0 * ((rows @ candidates.T).T - half[:, None])
        np.maximum(squares, 0.0, out=squares)
        if least is not None:
            np.minimum(squares, least, out=squares)
        weight = self.sample_weight
        return squares, squares.sum(axis=1) if weight is None else squares @ weight


def measured(X, origin, sample_weight=None):
    """Rows to measure distances from."""
    return Measured(X, origin, sample_weight)


def spread(X, sample_weight=None):
    """Weight, mean (d,), and the sum of squares about it over rows and columns."""
    weight = np.ones(X.shape[0]) if sample_weight is None else sample_weight
    total = float(weight.sum())
    if not total > 0:
        return 0.0, np.zeros(X.shape[1]), 0.0
    if sparse.issparse(X):
        X = X.astype(np.float64)
        mean = np.asarray(X.T @ weight).ravel() / total
        # of each stored number, and of the zeros beside them
        counts = np.repeat(weight, np.diff(X.indptr))
        e = X.data - mean[X.indices]
        stored = np.bincount(X.indices, counts, X.shape[1])
        return (
            total,
            mean,
            float(counts @ (e * e) + np.maximum(total - stored, 0.0) @ (mean * mean)),
        )
    used = weight > 0
    X, weight = (X, weight) if used.all() else (X[used], weight[used])
    first = X[0].astype(np.float64)  # where sums of large numbers keep their digits
    X = X - first
    mean = weight @ X / total
    X -= mean
    return total, first + mean, float(weight @ np.einsum("ij,ij->i", X, X))
