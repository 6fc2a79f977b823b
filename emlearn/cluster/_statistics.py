"""What a hard E-step knows of its clusters: counts, sums, and the rows farthest from their centres."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np

from ..em.statistics import Statistics
from ..exceptions import DomainError

__all__ = ["Clusters", "Far", "farthest"]


class Far(NamedTuple):
    """Rows that are far from their centres, the farthest first.

    Attributes
    ----------
    squares : ndarray of shape (m,)
        Squared distances.
    weights : ndarray of shape (m,)
    labels : ndarray of int of shape (m,)
    rows : ndarray of shape (m, d)
        About the origin of the statistics.
    """

    squares: np.ndarray
    weights: np.ndarray
    labels: np.ndarray
    rows: np.ndarray

    def take(self, index: np.ndarray | slice) -> Far:
        """Some of them."""
        return Far(*(part[index] for part in self))


def farthest(squares: np.ndarray, m: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Numbers of the ``m`` largest of some squared distances, the largest first; of equals the first.

    Rows without a weight, or at their centre, are none of them.
    """
    candidates = squares > 0 if weights is None else (squares > 0) & (weights > 0)
    rows = np.flatnonzero(candidates)
    if len(rows) > m:
        limit = np.partition(squares[rows], len(rows) - m)[len(rows) - m]
        rows = rows[squares[rows] >= limit]
    return rows[np.argsort(-squares[rows], kind="stable")[:m]]


class Clusters(Statistics):
    """Weights and sums of K clusters, and as many of the farthest rows as there are empty clusters.

    A cluster that is empty in all rows is empty in each part of them, and the farthest of all rows are among the
    farthest of each part: merging keeps what relocating the empty clusters will need, and where none is empty
    nothing is kept.

    Parameters
    ----------
    weight : ndarray of shape (K,)
    first : ndarray of shape (K, d)
        Weighted sums of the rows about ``origin``.
    origin : ndarray of shape (d,)
    far : Far or None

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.cluster._statistics import Clusters
    >>> a = Clusters(np.array([1.0, 0.0]), np.array([[2.0], [0.0]]), np.zeros(1), None)
    >>> b = Clusters(np.array([0.0, 2.0]), np.array([[0.0], [6.0]]), np.ones(1), None)
    >>> both = a + b
    >>> both.weight.tolist(), both.first.tolist()
    ([1.0, 2.0], [[2.0], [8.0]])
    """

    __slots__ = ("far", "first", "origin", "weight")

    def __init__(
        self, weight: np.ndarray, first: np.ndarray, origin: np.ndarray, far: Far | None = None
    ) -> None:
        self.weight, self.first, self.origin = weight, first, origin
        self.far = far

    def __repr__(self) -> str:
        return f"Clusters(weight={self.weight!r}, first={self.first!r}, origin={self.origin!r})"

    @property
    def n_empty(self) -> int:
        """How many clusters have no row that counts."""
        return len(self.weight) - int(np.count_nonzero(self.weight))

    def _shift(self, other: Clusters) -> np.ndarray | None:
        """From the origin of another to this one; None where they are the same."""
        if other.origin is self.origin or np.array_equal(other.origin, self.origin):
            return None
        return other.origin - self.origin

    def __add__(self, other: Self) -> Self:
        shift = self._shift(other)
        first = self.first + other.first
        if shift is not None:
            first += other.weight[:, None] * shift
        both = Clusters(self.weight + other.weight, first, self.origin)
        m = both.n_empty
        if m and (self.far is not None or other.far is not None):
            both.far = self._farther(other, shift, m)
        return both

    def _farther(self, other: Clusters, shift: np.ndarray | None, m: int) -> Far:
        theirs = other.far
        if theirs is not None and shift is not None:
            theirs = theirs._replace(rows=theirs.rows + shift)
        if self.far is None or theirs is None:
            known = self.far if theirs is None else theirs
            assert known is not None
            return known.take(slice(m))
        both = Far(*(np.concatenate(parts) for parts in zip(self.far, theirs, strict=True)))
        return both.take(np.argsort(-both.squares, kind="stable")[:m])

    def __mul__(self, factor: float) -> Self:
        factor = float(factor)
        if not 0 <= factor < np.inf:
            raise DomainError(
                f"statistics can be multiplied by a finite number >= 0 only, got {factor}"
            )
        far = None if self.far is None else self.far._replace(weights=self.far.weights * factor)
        return Clusters(self.weight * factor, self.first * factor, self.origin, far)

    def coordinates(self, reference: Self) -> dict[str, np.ndarray]:
        shift = reference._shift(self)
        first = self.first if shift is None else self.first + self.weight[:, None] * shift
        return {"weight": self.weight, "first": first}

    def from_coordinates(self, coordinates: Mapping[str, np.ndarray]) -> Self:
        weight = coordinates["weight"]
        if not np.all(weight >= 0):
            raise DomainError("a weight would be negative")
        return Clusters(weight, coordinates["first"], self.origin, self.far)

    def relocated(self) -> Clusters:
        """With each empty cluster made of one of the farthest rows, which its own cluster loses."""
        empty = np.flatnonzero(self.weight == 0)
        if not len(empty) or self.far is None:
            return self
        weight, first = self.weight.copy(), self.first.copy()
        for k, w, old, row in zip(empty, *self.far[1:], strict=False):
            left = weight[old] - w
            # rounding leaves no cluster
            weight[old] = left if left > 1e-12 * weight[old] else 0.0
            first[old] -= w * row
            weight[k], first[k] = w, w * row
        return Clusters(weight, first, self.origin)
