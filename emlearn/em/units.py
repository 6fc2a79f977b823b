"""Rows of data, and units of them that go through an E-step together, such as the rows of a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

__all__ = ["Units", "row_size", "take_rows"]


class Units:
    """Rows in units, each of which is a run of rows in their order.

    A fit that is given these instead of rows makes its blocks of whole units.

    Parameters
    ----------
    rows : ndarray or CSR matrix of shape (n, d)
    ends : ndarray of shape (n_units,)
        Where each unit ends: the number of its last row, plus 1. The last is n.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.em import Units
    >>> units = Units(np.arange(6.0)[:, None], np.array([2, 5, 6]))
    >>> units.begins.tolist(), units.take(slice(2, 6)).ends.tolist()
    ([0, 2, 5], [3, 4])
    """

    __slots__ = ("ends", "rows")

    def __init__(self, rows: Any, ends: np.ndarray) -> None:
        self.rows = rows
        self.ends = np.ascontiguousarray(ends, dtype=np.intp)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.rows.shape

    @property
    def dtype(self) -> Any:
        """Type of the numbers."""
        return self.rows.dtype

    @property
    def begins(self) -> np.ndarray:
        """The number of the first row of each unit."""
        return np.r_[0, self.ends[:-1]]

    def take(self, rows: slice) -> Units:
        """Those units that these rows are; nothing is copied."""
        first, last = np.searchsorted(self.ends, [rows.start, rows.stop - 1], side="right")
        return Units(take_rows(self.rows, rows), self.ends[first : last + 1] - rows.start)


def row_size(X: Any) -> float:
    """Stored numbers of a row: the features, or the mean number of non-zeros of a sparse matrix."""
    if isinstance(X, Units):
        X = X.rows
    return X.nnz / max(X.shape[0], 1) if sparse.issparse(X) else X.shape[1]


def take_rows(X: Any, rows: slice) -> Any:
    """A view of some rows of an array, of a CSR matrix, or of whole units."""
    if isinstance(X, Units):
        return X.take(rows)
    if not sparse.issparse(X):
        return X[rows]
    ends = X.indptr[rows.start : rows.stop + 1]
    inside = slice(ends[0], ends[-1])
    block = type(X)(
        (X.data[inside], X.indices[inside], ends - ends[0]),
        shape=(len(ends) - 1, X.shape[1]),
        copy=False,
    )
    block.has_canonical_format = True  # checked once for the whole
    return block
