"""Map the E-step over blocks of rows, and add."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np

from .threads import Workers
from .units import row_size, take_rows

__all__ = ["block_rows", "map_reduce", "row_blocks", "row_size", "take_rows", "unit_blocks"]

T = TypeVar("T")

_ROWS = {"fixed": None}


def _block_size(n_features: float, cost: float) -> int:
    rows = _ROWS["fixed"]
    if rows is None:
        rows = int(min(16384, max(1024, 20 * n_features, 1e8 / max(cost, 1.0))))
    return rows


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
    n_blocks = max(1, -(-n_samples // _block_size(n_features, cost)))
    if n_blocks > 1 and _ROWS["fixed"] is None:
        n_blocks += n_blocks % 2  # two threads get as much each
    edges = [n_samples * i // n_blocks for i in range(n_blocks + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges) if b > a]


def unit_blocks(ends: np.ndarray, n_features: float, cost: float) -> list[slice]:
    """Blocks of whole units, of no more rows than :func:`row_blocks` would take; a longer unit is a block by itself.

    Parameters
    ----------
    ends : ndarray of shape (n_units,)
        Where each unit ends.
    n_features : float
        Stored numbers of a row.
    cost : float
        Arithmetic for one row, in multiplications.

    Returns
    -------
    list of slice
    """
    size, n = _block_size(n_features, cost), int(ends[-1])
    if _ROWS["fixed"] is None:  # two threads get as much each
        size = -(-n // (2 * -(-n // (2 * size)))) if n > size else size
    blocks, start, unit = [], 0, 0
    while start < n:
        unit = max(unit + 1, int(np.searchsorted(ends, start + size, side="right")))
        blocks.append(slice(start, int(ends[unit - 1])))
        start = blocks[-1].stop
    return blocks


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


def add_weighed_steps(
    a: tuple[Any, float, float], b: tuple[Any, float, float]
) -> tuple[Any, float, float]:
    """The same with what their rows count."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]
