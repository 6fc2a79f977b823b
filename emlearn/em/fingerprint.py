"""By what data are known again: a checksum of a spread of them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from scipy import sparse

from .units import Units

__all__ = ["data_fingerprint"]

# rows, and numbers in all, that are looked at: a few milliseconds wherever they lie in memory
_ROWS, _NUMBERS = 4096, 65536


def data_fingerprint(X: Any, sample_weight: Any = None) -> str:
    """A checksum of the size and the type of data, and of some of the numbers.

    The rows that are looked at are spread evenly, at most some thousand: other
    data have another fingerprint, but one changed number may go unseen.

    Parameters
    ----------
    X : ndarray, sparse matrix or array, Units, or data frame of shape (n, d)
    sample_weight : array-like of shape (n,), default=None

    Returns
    -------
    str
        32 hexadecimal digits, the same in another process or on another machine.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.em.fingerprint import data_fingerprint
    >>> X = np.arange(12.0).reshape(6, 2)
    >>> data_fingerprint(X) == data_fingerprint(X.copy())
    True
    >>> data_fingerprint(X) == data_fingerprint(X, np.ones(6))
    False
    """
    digest = hashlib.blake2b(digest_size=16)
    _add(digest, X)
    if sample_weight is None:
        _note(digest, "no weights")
    else:
        _add(digest, np.asarray(sample_weight))
    return digest.hexdigest()


def _note(digest: Any, *what: Any) -> None:
    digest.update(f"{what!r}\n".encode())


def _add(digest: Any, X: Any) -> None:
    if isinstance(X, Units):
        _note(digest, "units")
        _add(digest, X.rows)
        _add(digest, X.ends)
    elif sparse.issparse(X):
        _add_sparse(digest, X)
    elif hasattr(X, "columns") and hasattr(X, "shape"):
        _add_frame(digest, X)
    else:
        X = np.asarray(X)
        _note(digest, X.shape, X.dtype.str)
        _add_values(digest, _sample(X))


def _add_sparse(digest: Any, X: Any) -> None:
    if X.format not in ("csr", "csc", "bsr"):
        X = X.tocsr()
    _note(digest, X.format, X.shape, X.nnz, X.dtype.str)
    # the width of the indices says nothing of the data
    _add_values(digest, _sample(X.data))
    _add_values(digest, _sample(X.indices).astype(np.int64))
    _add_values(digest, _sample(X.indptr).astype(np.int64))


def _add_frame(digest: Any, X: Any) -> None:
    n, d = X.shape
    rows, columns = _spread(n, d)
    _note(digest, X.shape, [str(name) for name in X.columns], [str(t) for t in X.dtypes])
    for j in columns.tolist():
        column = X.iloc[:, j].iloc[rows] if hasattr(X, "iloc") else X[:, j][rows]
        _add_values(digest, np.asarray(column))


def _sample(X: np.ndarray) -> np.ndarray:
    if X.ndim == 0:
        return X
    rows, columns = _spread(X.shape[0], int(np.prod(X.shape[1:])))
    if X.ndim == 2:
        return X[np.ix_(rows, columns)]
    return X[rows].reshape(len(rows), -1)[:, columns]


def _spread(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of rows and of columns, evenly spread, the first and the last among them."""
    n_rows = min(n, _ROWS if d > 1 else _NUMBERS, max(_NUMBERS // max(d, 1), 64))
    n_columns = min(d, max(_NUMBERS // max(n_rows, 1), 1))
    return _even(n, n_rows), _even(d, n_columns)


def _even(n: int, count: int) -> np.ndarray:
    if count < 2:
        return np.arange(count)
    return np.arange(count, dtype=np.int64) * (n - 1) // (count - 1)


def _add_values(digest: Any, values: np.ndarray) -> None:
    if values.dtype.hasobject or values.dtype.kind == "T":
        _note(digest, values.ravel().tolist())
    else:
        digest.update(values.tobytes())
