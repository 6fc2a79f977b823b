"""Groups of rows, in any order."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..em.units import Units

__all__ = ["Grouped", "check_even", "group_labels", "read_groups"]


class Grouped(Units):
    """Rows put together by their groups; row i is row ``order[i]`` of the user, all in place where it is None."""

    __slots__ = ("order",)

    def __init__(self, rows: Any, ends: np.ndarray, order: np.ndarray | None) -> None:
        super().__init__(rows, ends)
        self.order = order


def read_groups(groups: Any, n: int) -> tuple[np.ndarray | None, np.ndarray]:
    """The order in which the rows of each group are together, None as they are, and where each group ends.

    Raises
    ------
    ValueError
        If there is not one for each of ``n`` rows, or one is missing.
    """
    array = np.asarray(groups, dtype=object if isinstance(groups, list | tuple) else None)
    if array.shape != (n,):
        raise ValueError(
            f"groups must hold the group of each of the {n} rows of X, got an array of shape {array.shape}."
        )
    seen: dict[Any, int] = {}
    codes = np.empty(n, dtype=np.intp)
    for row, name in enumerate(array.tolist()):
        if name is None or type(name).__name__ in ("NAType", "NaTType") or name != name:
            raise ValueError(f"groups has a missing value in row {row}; give each row a group.")
        codes[row] = seen.setdefault(name, len(seen))
    ends = np.cumsum(np.bincount(codes))
    if np.all(codes[1:] >= codes[:-1]):
        return None, ends
    return np.argsort(codes, kind="stable"), ends


def check_even(values: np.ndarray | None, ends: np.ndarray, name: str, advice: str) -> None:
    """ValueError where what belongs to a group changes from row to row."""
    if values is None:
        return
    begins = np.r_[0, ends[:-1]]
    same = values == np.repeat(values[begins], np.diff(ends, prepend=0), axis=0)
    same = same if same.ndim == 1 else same.all(axis=1)
    if not same.all():
        group = int(np.searchsorted(ends, int(np.argmin(same)), side="right"))
        raise ValueError(f"{name} changes within a group, number {group} in their order. {advice}")


def group_labels(labels: np.ndarray | None, ends: np.ndarray) -> np.ndarray | None:
    """Known components of rows as those of whole groups.

    Raises
    ------
    ValueError
        If two rows of a group are known to be of different components.
    """
    if labels is None:
        return None
    begins, lengths = np.r_[0, ends[:-1]], np.diff(ends, prepend=0)
    known = np.repeat(np.maximum.reduceat(labels, begins), lengths)
    if np.any((labels >= 0) & (labels != known)):
        row = int(np.argmax((labels >= 0) & (labels != known)))
        group = int(np.searchsorted(ends, row, side="right"))
        raise ValueError(
            f"labels: group number {group} has rows of components {labels[row]} and {known[row]}; all rows of a group"
            " are of one."
        )
    return known
