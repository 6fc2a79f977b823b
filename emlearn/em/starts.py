"""Starts: where the first statistics come from.

A start says which share of which row each component begins with; what the
shares become is the M-step's business. The draws are scikit-learn's, number
for number.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances_argmin

from .clusters import ward_labels, whiten
from .shared import draw_once

__all__ = ["METHODS", "Start", "draw_start", "given_start", "total_scatter"]

METHODS = (
    "kmeans",
    "k-means++",
    "random",
    "random_from_data",
    "whitened",
    "hierarchical",
    "short-runs",
)

# below this size a float32 start is drawn in float64: rounding then decides no draw
_SMALL_BYTES = 64_000_000
_BLOCK_ROWS = 16384


class Start(ABC):
    """Shares of rows that the components begin with."""

    @abstractmethod
    def shares(self, X: np.ndarray) -> Iterator[tuple[np.ndarray | slice, np.ndarray]]:
        """Rows, as an index into X, and their shares (rows, K), piece by piece."""

    #: True where every component begins with one single row
    one_row = False


@dataclass(frozen=True)
class SeedStart(Start):
    """One row for each component."""

    rows: np.ndarray
    one_row = True

    def shares(self, X: np.ndarray) -> Iterator[tuple[np.ndarray | slice, np.ndarray]]:
        yield self.rows, np.eye(len(self.rows))


@dataclass(frozen=True)
class LabelStart(Start):
    """A partition of the rows; -1 leaves a row out."""

    labels: np.ndarray
    n_components: int

    def shares(self, X: np.ndarray) -> Iterator[tuple[np.ndarray | slice, np.ndarray]]:
        components = np.arange(self.n_components)
        for block in _blocks(len(self.labels)):
            yield block, (self.labels[block, None] == components).astype(np.float64)


@dataclass(frozen=True)
class ShareStart(Start):
    """Responsibilities (n, K) as they were given."""

    responsibilities: np.ndarray

    def shares(self, X: np.ndarray) -> Iterator[tuple[np.ndarray | slice, np.ndarray]]:
        for block in _blocks(len(self.responsibilities)):
            yield block, self.responsibilities[block]


@dataclass(frozen=True)
class RandomStart(Start):
    """Uniform shares, drawn block by block: the stream is that of one draw of (n, K)."""

    n_components: int
    random_state: np.random.RandomState

    def shares(self, X: np.ndarray) -> Iterator[tuple[np.ndarray | slice, np.ndarray]]:
        for block in _blocks(X.shape[0]):
            shares = self.random_state.uniform(size=(block.stop - block.start, self.n_components))
            shares /= shares.sum(axis=1)[:, None]
            yield block, shares


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _BLOCK_ROWS):
        yield slice(start, min(start + _BLOCK_ROWS, n))


def draw_start(
    method: str,
    X: np.ndarray,
    n_components: int,
    random_state: np.random.RandomState,
    sample_weight: np.ndarray | None = None,
    *,
    partition: bool = False,
) -> Start:
    """Draw a start.

    Parameters
    ----------
    method : {"kmeans", "k-means++", "random", "random_from_data", "whitened", "hierarchical"}
        "whitened" is k-means where the covariance of all rows is the identity, "hierarchical" Ward's method on at
        most 2000 rows; both give every row to a cluster.
    X : ndarray or CSR matrix of shape (n, d)
    n_components : int
    random_state : RandomState
    sample_weight : ndarray of shape (n,) or None
        Rows of weight 0 are never drawn.
    partition : bool, default=False
        Give every row to its nearest seed, instead of one row to each component.

    Returns
    -------
    Start
    """
    if method == "random":
        return RandomStart(n_components, random_state)
    if method == "random_from_data":
        seeds = _choose_rows(X.shape[0], n_components, random_state, sample_weight)
        return nearest_seed(X, seeds) if partition else SeedStart(seeds)
    return draw_once(
        _draw_clusters, random_state, method, X, n_components, sample_weight, partition
    )


def _draw_clusters(
    random_state: np.random.RandomState,
    method: str,
    X: Any,
    n_components: int,
    sample_weight: np.ndarray | None,
    partition: bool,
) -> Start:
    rows, whole = None, X
    if sample_weight is not None and not np.all(sample_weight > 0):
        rows = np.flatnonzero(sample_weight > 0)
        X, sample_weight = X[rows], sample_weight[rows]
    if X.dtype == np.float32 and X.size * 8 <= _SMALL_BYTES:
        X = X.astype(np.float64)
    if method == "k-means++":
        seeds = _seed(X, n_components, random_state, sample_weight)
        seeds = seeds if rows is None else rows[seeds]
        return nearest_seed(whole, seeds) if partition else SeedStart(seeds)
    if method == "hierarchical":
        labels = ward_labels(whiten(X, sample_weight), n_components, random_state, sample_weight)
    else:
        space = whiten(X, sample_weight) if method == "whitened" else X
        labels = _kmeans_labels(space, n_components, random_state, sample_weight)
    if rows is not None:
        dropped, rows_labels = labels, rows
        labels = np.full(int(rows[-1]) + 1, -1, dtype=dropped.dtype)
        labels[rows_labels] = dropped
    return LabelStart(labels, n_components)


def _choose_rows(
    n: int, n_components: int, random_state: np.random.RandomState, sample_weight: np.ndarray | None
) -> np.ndarray:
    if sample_weight is None:
        return random_state.choice(n, size=n_components, replace=False)
    counts = sample_weight > 0
    distinct = np.count_nonzero(counts) >= n_components
    lowest = sample_weight.min(where=counts, initial=np.inf)
    if distinct and lowest == sample_weight.max():  # as if the other rows were not there
        if counts.all():
            return random_state.choice(n, size=n_components, replace=False)
        rows = np.flatnonzero(counts)
        return rows[random_state.choice(len(rows), size=n_components, replace=False)]
    # one after the other, each in proportion to the weights that are left
    left = sample_weight.copy()
    cdf = np.cumsum(left)
    chosen: list[int] = []
    while len(chosen) < n_components:
        row = min(int(np.searchsorted(cdf, random_state.uniform() * cdf[-1], side="right")), n - 1)
        # a row that stands for several may be drawn several times where there are too few
        if distinct and row in chosen:
            left[chosen] = 0.0
            np.cumsum(left, out=cdf)
        else:
            chosen.append(row)
    return np.array(chosen)


def _seed(
    X: np.ndarray,
    n_components: int,
    random_state: np.random.RandomState,
    sample_weight: np.ndarray | None,
) -> np.ndarray:
    X = _near_origin(X)
    n = X.shape[0]
    missing = n_components - n
    seeds = kmeans_plusplus(
        X, min(n_components, n), sample_weight=sample_weight, random_state=random_state
    )[1]
    return seeds if missing <= 0 else np.r_[seeds, random_state.choice(n, size=missing)]


def nearest_seed(X: Any, seeds: np.ndarray) -> LabelStart:
    """The partition of all rows by the nearest of some."""
    X = _near_origin(X)
    centres = X[seeds]
    labels = [pairwise_distances_argmin(X[block], centres) for block in _blocks(X.shape[0])]
    return LabelStart(np.concatenate(labels), len(seeds))


def _near_origin(X: Any) -> Any:
    """X, or a centred copy where distances computed from scalar products would lose their digits."""
    if sparse.issparse(X):
        return X
    mean = X.mean(axis=0, dtype=np.float64)
    spread = np.ptp(X, axis=0).astype(np.float64)
    if np.linalg.norm(mean) > 1e3 * np.linalg.norm(spread):
        return X - mean
    return X


def _kmeans_labels(
    X: np.ndarray,
    n_components: int,
    random_state: np.random.RandomState,
    sample_weight: np.ndarray | None,
) -> np.ndarray:
    clusters = min(n_components, X.shape[0])
    with warnings.catch_warnings():  # fewer distinct rows than clusters: the fit itself says so
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        return (
            KMeans(clusters, n_init=1, random_state=random_state)
            .fit(X, sample_weight=sample_weight)
            .labels_
        )


def given_start(
    init: Any,
    X: np.ndarray,
    n_components: int,
    random_state: np.random.RandomState,
) -> Start:
    """Read a start that the user gave.

    Parameters
    ----------
    init : array-like or callable
        Labels (n,), -1 for a row left out; or responsibilities (n, K); or a
        callable ``(X, n_components, random_state)`` that returns one of them.
    X : ndarray of shape (n, d)
    n_components : int
    random_state : RandomState

    Returns
    -------
    Start

    Raises
    ------
    ValueError
        If shape or values do not fit.
    """
    name = "init_params"
    if callable(init):
        name = f"the value that {name} returned"
        init = init(X, n_components, random_state)
    n = X.shape[0]
    try:
        array = np.asarray(init)
    except ValueError as error:
        raise ValueError(
            f"{name} must hold labels of shape ({n},) or responsibilities of shape"
            f" ({n}, {n_components}): {error}"
        ) from error
    if array.ndim not in (1, 2) or array.dtype.kind not in "iufb":
        raise ValueError(
            f"{name} must hold labels of shape ({n},) or responsibilities of shape ({n}, {n_components}),"
            f" got an array of shape {array.shape} and type {array.dtype}."
        )
    if array.ndim == 1:
        return LabelStart(_check_labels(array, n, n_components, name), n_components)
    if array.shape != (n, n_components):
        raise ValueError(
            f"{name} must have the shape ({n}, {n_components}) of responsibilities, one row for each row of X and one"
            f" column for each component, got {array.shape}."
        )
    shares = array.astype(np.float64)
    if not np.all(np.isfinite(shares)) or np.any(shares < 0):
        raise ValueError(f"{name}: responsibilities must be finite and not negative.")
    totals = shares.sum(axis=1)
    wrong = np.flatnonzero((np.abs(totals - 1) > 1e-6) & (totals != 0))
    if len(wrong):
        raise ValueError(
            f"{name}: each row of responsibilities must sum to 1 (or to 0, to leave it out), got {totals[wrong[0]]:g}"
            f" in row {wrong[0]}. Divide each row by its sum."
        )
    if not totals.any():
        raise ValueError(
            f"{name}: all rows are left out (responsibilities 0); at least one must belong to a"
            " component."
        )
    return ShareStart(shares)


def _check_labels(array: np.ndarray, n: int, n_components: int, name: str) -> np.ndarray:
    if array.shape != (n,):
        raise ValueError(
            f"{name} must hold one label for each of the {n} rows of X, got {array.shape[0]}."
        )
    if not np.all(np.isfinite(array)) or np.any(array != np.round(array)):
        raise ValueError(f"{name}: labels must be whole numbers from -1 to {n_components - 1}.")
    labels = array.astype(np.int64)
    low, high = labels.min(), labels.max()
    if low < -1 or high >= n_components:
        raise ValueError(
            f"{name}: labels must be -1 (left out) or 0 to n_components - 1 = {n_components - 1}, got {low} to {high}."
        )
    if high < 0:
        raise ValueError(
            f"{name}: all rows are left out (label -1); at least one must belong to a component."
        )
    return labels


def total_scatter(
    X: np.ndarray, rows: np.ndarray, sample_weight: np.ndarray | None = None, *, raw: bool = True
) -> np.ndarray:
    """The tied covariance that scikit-learn starts from when each component begins with one row.

    It is the scatter of all of X that the seeds leave over, about the origin,
    divided by their number: :math:`(X'X - \\sum_k x_k x_k') / K`.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    rows : ndarray of shape (K,)
        The seeds.
    sample_weight : ndarray of shape (n,) or None
    raw : bool, default=True
        False takes the scatter about the mean instead of the origin: the start
        for data so far from it that the difference would have no digits left.

    Returns
    -------
    ndarray of shape (d, d)
    """
    d, K = X.shape[1], len(rows)
    scatter = np.zeros((d, d))
    # no weights are weights of 1, to the bit: BLAS has another way for a product of a matrix with itself
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    total = float(weight.sum())
    mean = sum(weight[block] @ X[block] for block in _blocks(len(X))) / total
    for block in _blocks(len(X)):
        y = X[block] - mean
        scatter += (y * weight[block, None]).T @ y
    seeds = X[rows] - mean
    scatter -= seeds.T @ seeds
    if raw:
        drift = np.outer(mean, seeds.sum(axis=0))
        scatter += (total - K) * np.outer(mean, mean) - drift - drift.T
    return scatter / K
