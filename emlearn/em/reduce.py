"""Map the E-step over blocks of rows, and add."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from scipy import sparse

from .threads import Workers

__all__ = ["block_rows", "map_reduce", "row_blocks", "row_size", "take_rows"]

T = TypeVar("T")

_ROWS = {"fixed": None}


def row_blocks(n_samples: int, n_features: float, cost: float) -> list[slice]:
    """Blocks of rows, fixed by the size of the problem and by nothing else.

    The number of threads has no say, so that the order of additions is always
    the same. Blocks are large enough for a merge to cost nothing beside them.

    Parameters
    ----------
    n_samples : int
    n_features : float
        Stored numbers of a row.
    cost : float
        Arithmetic for one row, in multiplications.

    Returns
    -------
    list of slice
    """
    rows = _ROWS["fixed"]
    if rows is None:
        rows = int(min(16384, max(1024, 20 * n_features, 1e8 / max(cost, 1.0))))
    n_blocks = max(1, -(-n_samples // rows))
    if n_blocks > 1 and _ROWS["fixed"] is None:
        n_blocks += n_blocks % 2  # two threads get as much each
    edges = [n_samples * i // n_blocks for i in range(n_blocks + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges) if b > a]


def row_size(X: Any) -> float:
    """Stored numbers of a row: the features, or the mean number of non-zeros of a sparse matrix."""
    return X.nnz / max(X.shape[0], 1) if sparse.issparse(X) else X.shape[1]


def take_rows(X: Any, rows: slice) -> Any:
    """A view of some rows of an array or of a CSR matrix."""
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


@contextmanager
def block_rows(n_rows: int) -> Iterator[None]:
    """Use blocks of this many rows inside the ``with``: for tests and experiments."""
    before, _ROWS["fixed"] = _ROWS["fixed"], n_rows
    try:
        yield
    finally:
        _ROWS["fixed"] = before


def map_reduce(
    function: Callable[[slice], T],
    blocks: list[slice],
    merge: Callable[[T, T], T],
    workers: Workers | None,
) -> T:
    """``merge`` of ``function(block)`` over the blocks, in their order.

    Parameters
    ----------
    function : callable
    blocks : list of slice
    merge : callable
    workers : Workers or None
        None runs in the calling thread.
    """
    if len(blocks) == 1:
        if workers is not None:
            workers.check()
        return function(blocks[0])
    return (workers or Workers(1)).map_reduce([partial(function, block) for block in blocks], merge)


def add_steps(a: tuple[Any, float], b: tuple[Any, float]) -> tuple[Any, float]:
    """Merge two E-steps: statistics and log-likelihood."""
    return a[0] + b[0], a[1] + b[1]
