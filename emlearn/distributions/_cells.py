"""Cells that are missing, NaN among numbers and -1 among codes: what families have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from ..exceptions import UnobservedColumnsError
from ._base import Fold

__all__ = [
    "blank_rows",
    "check_columns",
    "check_dense",
    "embed_seen",
    "fill_cells",
    "observed",
    "put_draws",
]


def observed(X: Any) -> np.ndarray | None:
    """1 where there is a number, 0 where it is missing, (n, d) of float; None where all are there."""
    if sparse.issparse(X) or not np.isnan(
        X.sum()
    ):  # infinity of both signs is no case: it was refused
        return None
    missing = np.isnan(X)
    return (~missing).astype(np.float64) if missing.any() else None


def check_dense(X: Any) -> None:
    """ValueError where a stored value of a CSR matrix is missing."""
    if sparse.issparse(X) and np.isnan(X.data).any():
        first = int(np.flatnonzero(np.isnan(X.data))[0])
        row = int(np.searchsorted(X.indptr, first, side="right")) - 1
        raise ValueError(
            f"Input X contains NaN: found in row {row}, column {int(X.indices[first])} of a sparse matrix, whose rows"
            " are whole. Give a dense array, or drop the row."
        )


def check_columns(X: Any, sample_weight: np.ndarray | None, fold: Fold | None) -> None:
    """UnobservedColumnsError where no row that counts has a number, or a code, in some column."""
    seen = _seen_columns(X, sample_weight)
    if not seen.all() and fold is not None:  # a sample of the rows may have missed it
        seen = fold(_seen_columns, np.logical_or)
    if not seen.all():
        raise UnobservedColumnsError(np.flatnonzero(~seen))


def _seen_columns(X: Any, sample_weight: np.ndarray | None) -> np.ndarray:
    if sparse.issparse(X) or (X.dtype.kind == "f" and not np.isnan(X.sum())):
        return np.ones(X.shape[1], dtype=bool)
    if sample_weight is not None:
        X = X[sample_weight > 0]
    return (~np.isnan(X) if X.dtype.kind == "f" else X >= 0).any(axis=0)


def blank_rows(X: Any, column: Callable[[int], str], *, why: str) -> np.ndarray | None:
    """Which rows (n,) are missing as a whole; None where none is.

    Raises
    ------
    ValueError
        If a part of a row is missing.
    """
    check_dense(X)
    seen = observed(X)
    if seen is None:
        return None
    counts = seen.sum(axis=1)
    part = np.flatnonzero((counts > 0) & (counts < seen.shape[1]))
    if len(part):
        row = int(part[0])
        j = int(np.flatnonzero(seen[row] == 0)[0])
        raise ValueError(
            f"Input X contains NaN: found in row {row}, {column(j)}, {len(part)} such rows in all. {why} Make all"
            " cells of such a row NaN, which says that nothing is known of it, or drop it."
        )
    return counts == 0


def embed_seen(X: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Numbers where k-means measures distance, missing ones at the mean of their column."""
    if not missing.any():
        return X
    counts = np.maximum((~missing).sum(axis=0), 1)
    mean = np.where(missing, 0.0, X).sum(axis=0, dtype=np.float64) / counts
    return np.where(missing, mean, X).astype(X.dtype, copy=False)


def fill_cells(X: np.ndarray, missing: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A copy of X (n, d) with values (n, d) in the place of what is missing."""
    return np.where(missing, values, X).astype(X.dtype, copy=False)


def put_draws(
    X: np.ndarray,
    missing: np.ndarray,
    labels: np.ndarray,
    n_components: int,
    draw: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """A copy of X with draws in the place of what is missing.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    missing : ndarray of bool of shape (n, d)
    labels : ndarray of int of shape (n,)
        The component of each row.
    n_components : int
    draw : callable
        ``draw(counts)``: whole rows of component 0, then of component 1, and so on. It serves where cells are
        independent given the component.

    Returns
    -------
    ndarray of shape (n, d)
    """
    out = np.array(X, copy=True)
    rows = np.flatnonzero(missing.any(axis=1))
    if not len(rows):
        return out
    rows = rows[np.argsort(labels[rows], kind="stable")]
    drawn = draw(np.bincount(labels[rows], minlength=n_components))
    out[rows] = np.where(missing[rows], drawn, out[rows])
    return out
