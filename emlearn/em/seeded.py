"""Starts of rows of which some have known labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from .clusters import assign_nearest, whiten
from .starts import LabelStart, ShareStart, Start

__all__ = ["pinned_start", "seeded_start"]

# of k-means, at most
_STEPS = 100


def seeded_start(
    X: Any,
    labels: np.ndarray,
    n_components: int,
    method: str,
    random_state: np.random.RandomState,
    sample_weight: np.ndarray | None = None,
) -> LabelStart:
    """A start where component k has the rows that are labelled k.

    The centres of components that have no labelled row are drawn by k-means++, given the others. Rows
    without a label go to the nearest centre; k-means then runs from these centres.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, d)
        Rows, where distances are measured.
    labels : ndarray of int of shape (n,)
        -1 where the label is not known.
    n_components : int
    method : str
        Of starts: "whitened", "hierarchical" and "short-runs" measure distances between whitened rows, and with
        "k-means++" and "random_from_data" k-means makes no step. The others do as "kmeans".
    random_state : RandomState
    sample_weight : ndarray of shape (n,) or None
        Rows of weight 0 are no centres.

    Returns
    -------
    LabelStart
        Known labels are as they were.

    Raises
    ------
    ValueError
        If a label is not below ``n_components``.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.em.seeded import seeded_start
    >>> X = np.array([[0.0], [0.1], [9.0], [9.1], [5.0], [5.1]])
    >>> known = np.array([-1, 2, -1, 0, -1, -1])
    >>> seeded_start(X, known, 3, "kmeans", np.random.RandomState(0)).labels.tolist()
    [2, 2, 0, 0, 1, 1]
    """
    labels = np.asarray(labels)
    if labels.max(initial=-1) >= n_components:
        raise ValueError(
            f"labels must be below n_components = {n_components}, got {labels.max()}. Raise"
            " n_components, or mark the row as unknown with -1."
        )
    weight = np.ones(X.shape[0]) if sample_weight is None else sample_weight / sample_weight.max()
    if method in ("whitened", "hierarchical", "short-runs"):
        X = whiten(X, sample_weight)
    elif not sparse.issparse(X):
        X = X - X.mean(axis=0, dtype=np.float64)
    centres = _centres(X, labels, n_components, random_state, weight)
    if method not in ("k-means++", "random_from_data"):
        centres = _moved_centres(X, centres, labels, weight)
    return LabelStart(_assigned(X, centres, labels), n_components)


def pinned_start(start: Start, labels: np.ndarray) -> Start:
    """A start that was given, with the rows whose labels are known where these say.

    Parameters
    ----------
    start : LabelStart or ShareStart
    labels : ndarray of int of shape (n,)
        -1 where the label is not known.
    """
    known = np.flatnonzero(labels >= 0)
    if isinstance(start, LabelStart):
        own = np.full(len(labels), -1)
        own[: len(start.labels)] = start.labels
        own[known] = labels[known]
        return LabelStart(own, start.n_components)
    assert isinstance(start, ShareStart)
    shares = start.responsibilities.copy()
    shares[known] = 0.0
    shares[known, labels[known]] = 1.0
    return ShareStart(shares)


def _centres(
    X: Any, labels: np.ndarray, K: int, random_state: np.random.RandomState, weight: np.ndarray
) -> np.ndarray:
    """Means of the labelled rows, and rows that are drawn for the other components."""
    centres = np.zeros((K, X.shape[1]))
    nearest = np.full(X.shape[0], np.inf)
    missing = []
    for k in range(K):
        own = np.flatnonzero((labels == k) & (weight > 0))
        if len(own):
            share = weight[own] / weight[own].sum()
            centres[k] = np.asarray(X[own].T @ share).ravel()
            nearest = np.minimum(nearest, _square_distances(X, centres[k]))
        else:
            missing.append(k)
    # known rows have their component already; where all are known any will do
    free = weight * (labels < 0)
    for k in missing:
        chance = free * np.where(np.isinf(nearest), 1.0, nearest)
        if not chance.sum() > 0:
            chance = free if free.any() else weight
        row = int(np.searchsorted(np.cumsum(chance), random_state.uniform() * chance.sum()))
        row = min(row, int(np.flatnonzero(chance)[-1]))
        centres[k] = X[[row]].toarray()[0] if sparse.issparse(X) else X[row]
        nearest = np.minimum(nearest, _square_distances(X, centres[k]))
    return centres


def _square_distances(X: Any, centre: np.ndarray) -> np.ndarray:
    if not sparse.issparse(X):
        return ((X - centre) ** 2).sum(axis=1)
    squares = np.asarray(X.multiply(X).sum(axis=1)).ravel() - 2.0 * (X @ centre)
    return np.maximum(squares + centre @ centre, 0.0)


def _assigned(X: Any, centres: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The labels that are known, and the nearest centre of the other rows."""
    return np.where(labels >= 0, labels, assign_nearest(X, centres))


def _moved_centres(
    X: Any, centres: np.ndarray, labels: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Where k-means leads from these centres, while labelled rows stay where they belong."""
    before: np.ndarray | None = None
    for _ in range(_STEPS):
        found = _assigned(X, centres, labels)
        if before is not None and np.array_equal(found, before):
            break
        before = found
        table = sparse.csr_array(
            (weight, (found, np.arange(len(found)))), shape=(len(centres), len(found))
        )
        sums, total = table @ X, np.bincount(found, weight, len(centres))
        sums = sums.toarray() if sparse.issparse(sums) else sums
        alive = total > 0
        centres = np.where(alive[:, None], sums / np.where(alive, total, 1.0)[:, None], centres)
    return centres
