"""Statistics: what an E-step hands to an M-step.

A statistic is a value. ``a + b`` merges what was seen in two sets of rows,
``a * c`` weighs it by ``c >= 0``, and :func:`combine` takes an affine
combination, which acceleration and online EM are made of. There is no ``-``:
centred moments have none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

import numpy as np

from ..exceptions import DomainError

__all__ = ["Joint", "Moments", "Statistics", "Sums", "combine", "difference_norms"]


class Statistics(ABC):
    """Base class of all statistics.

    A subclass says how it merges and scales, and how it reads in *coordinates*:
    named arrays that are linear in the data once a reference is chosen, so that
    affine combinations and differences are those of arrays.
    """

    __slots__ = ()

    @abstractmethod
    def __add__(self, other: Self) -> Self:
        """Merge with the statistics of other rows."""

    @abstractmethod
    def __mul__(self, factor: float) -> Self:
        """Weigh by ``factor >= 0``."""

    def __rmul__(self, factor: float) -> Self:
        return self * factor

    @abstractmethod
    def coordinates(self, reference: Self) -> dict[str, np.ndarray]:
        """Arrays linear in the data, moments taken about ``reference``."""

    @abstractmethod
    def from_coordinates(self, coordinates: Mapping[str, np.ndarray]) -> Self:
        """Statistics with these coordinates about ``self``.

        :class:`~emlearn.exceptions.DomainError` if there are none.
        """


def _factor(value: float) -> float:
    value = float(value)
    if not value >= 0 or value == np.inf:
        raise DomainError(f"statistics can be multiplied by a finite number >= 0 only, got {value}")
    return value


class Sums(Statistics):
    """Named arrays that add up: counts, weighted sums.

    Parameters
    ----------
    arrays : mapping of str to array-like
        The sums by name; read one back as ``sums[name]``.
    signed : iterable of str, default=()
        Names of sums that may be negative. All others are checked by
        :func:`combine`, because an extrapolated count below zero is no count.

    Examples
    --------
    >>> from emlearn.em import Sums
    >>> (Sums({"heads": 3.0}) + Sums({"heads": 4.0}))["heads"]
    7.0
    """

    __slots__ = ("arrays", "signed")

    def __init__(self, arrays: Mapping[str, np.ndarray], *, signed: Iterable[str] = ()) -> None:
        self.arrays = dict(arrays)
        self.signed = frozenset(signed)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def __repr__(self) -> str:
        return f"Sums({self.arrays!r})"

    def __add__(self, other: Self) -> Self:
        return Sums(
            {name: a + other.arrays[name] for name, a in self.arrays.items()}, signed=self.signed
        )

    def __mul__(self, factor: float) -> Self:
        factor = _factor(factor)
        return Sums({name: a * factor for name, a in self.arrays.items()}, signed=self.signed)

    def coordinates(self, reference: Self) -> dict[str, np.ndarray]:
        return {name: np.asarray(a, dtype=np.float64) for name, a in self.arrays.items()}

    def from_coordinates(self, coordinates: Mapping[str, np.ndarray]) -> Self:
        for name, a in coordinates.items():
            if name not in self.signed and not np.all(a >= 0):
                raise DomainError(f"the sum {name!r} would be negative")
        return Sums(coordinates, signed=self.signed)


def _outer_full(weight: np.ndarray, delta: np.ndarray) -> np.ndarray:
    return (weight[:, None] * delta)[:, :, None] * delta[:, None, :]


def _outer_pooled(weight: np.ndarray, delta: np.ndarray) -> np.ndarray:
    return (weight[:, None] * delta).T @ delta


def _outer_diag(weight: np.ndarray, delta: np.ndarray) -> np.ndarray:
    return weight[:, None] * delta * delta


_OUTER: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "full": _outer_full,
    "pooled": _outer_pooled,
    "diag": _outer_diag,
}


class Moments(Statistics):
    """Weight, mean and scatter of each of K components, centred.

    Raw second moments lose the variance of data far from the origin; centred
    ones merge exactly (Chan, Golub & LeVeque 1983).

    Parameters
    ----------
    weight : ndarray of shape (K,)
    mean : ndarray of shape (K, d)
        Any finite value where the weight is 0.
    scatter : ndarray
        Weighted sum of squares about the mean: (K, d, d) for the form "full",
        (d, d), summed over the components, for "pooled", (K, d) for "diag".
    form : {"full", "pooled", "diag"}

    References
    ----------
    Chan, T. F., Golub, G. H. and LeVeque, R. J. (1983). Algorithms for
    computing the sample variance. The American Statistician 37(3), 242-247.
    """

    __slots__ = ("form", "mean", "scatter", "weight")

    def __init__(
        self, weight: np.ndarray, mean: np.ndarray, scatter: np.ndarray, form: str
    ) -> None:
        self.weight = weight
        self.mean = mean
        self.scatter = scatter
        self.form = form

    @classmethod
    def from_data(cls, X: np.ndarray, weights: np.ndarray, form: str) -> Self:
        """Moments of rows (n, d) under weights (n, K), in two passes."""
        X = np.asarray(X, dtype=np.float64)
        weights = np.asarray(weights, dtype=np.float64)
        used = weights.any(axis=1)
        if not used.all():  # a row that counts for nothing may hold anything
            X, weights = X[used], weights[used]
        if not len(X):
            X, weights = np.zeros((1, X.shape[1])), np.zeros((1, weights.shape[1]))
        weight = weights.sum(axis=0)
        safe = np.where(weight > 0, weight, 1.0)
        centre = X.mean(axis=0)
        mean = centre + weights.T @ (X - centre) / safe[:, None]
        scatters = []
        for k in range(len(weight)):
            y = X - mean[k]
            u = weights[:, k, None] * y
            if weight[k] > 0:  # what rounding left in the mean is taken out again
                shift = u.sum(axis=0) / weight[k]
                y -= shift
                u -= weights[:, k, None] * shift
                mean[k] += shift
            scatters.append((u * y).sum(axis=0) if form == "diag" else u.T @ y)
        scatter = np.sum(scatters, axis=0) if form == "pooled" else np.array(scatters)
        return cls(weight, mean, scatter, form)

    def __repr__(self) -> str:
        return f"Moments(weight={self.weight!r}, mean={self.mean!r}, scatter={self.scatter!r}, form={self.form!r})"

    def __add__(self, other: Self) -> Self:
        weight = self.weight + other.weight
        fraction = np.divide(other.weight, weight, out=np.zeros_like(weight), where=weight > 0)
        delta = other.mean - self.mean
        return Moments(
            weight,
            self.mean + fraction[:, None] * delta,
            self.scatter + other.scatter + _OUTER[self.form](self.weight * fraction, delta),
            self.form,
        )

    def __mul__(self, factor: float) -> Self:
        factor = _factor(factor)
        return Moments(self.weight * factor, self.mean, self.scatter * factor, self.form)

    def coordinates(self, reference: Self) -> dict[str, np.ndarray]:
        delta = self.mean - reference.mean
        return {
            "weight": self.weight,
            "first": self.weight[:, None] * delta,
            "second": self.scatter + _OUTER[self.form](self.weight, delta),
        }

    def from_coordinates(self, coordinates: Mapping[str, np.ndarray]) -> Self:
        weight, first, second = (coordinates[name] for name in ("weight", "first", "second"))
        if not np.all(weight >= 0):
            raise DomainError("a weight would be negative")
        delta = np.divide(
            first, weight[:, None], out=np.zeros_like(first), where=weight[:, None] > 0
        )
        scatter = second - _OUTER[self.form](weight, delta)
        lowest = scatter if self.form == "diag" else np.linalg.eigvalsh(scatter)
        if not np.all(lowest >= 0):
            raise DomainError("a scatter would not be positive semi-definite")
        return Moments(weight, self.mean + delta, scatter, self.form)


class Joint(Statistics):
    """Several statistics under one roof, by name."""

    __slots__ = ("parts",)

    def __init__(self, parts: Mapping[str, Statistics]) -> None:
        self.parts = dict(parts)

    def __getitem__(self, name: str) -> Statistics:
        return self.parts[name]

    def __repr__(self) -> str:
        return f"Joint({self.parts!r})"

    def __add__(self, other: Self) -> Self:
        return Joint({name: part + other.parts[name] for name, part in self.parts.items()})

    def __mul__(self, factor: float) -> Self:
        return Joint({name: part * factor for name, part in self.parts.items()})

    def coordinates(self, reference: Self) -> dict[str, np.ndarray]:
        return {
            f"{name}.{block}": array
            for name, part in self.parts.items()
            for block, array in part.coordinates(reference.parts[name]).items()
        }

    def from_coordinates(self, coordinates: Mapping[str, np.ndarray]) -> Self:
        split: dict[str, dict[str, np.ndarray]] = {name: {} for name in self.parts}
        for key, array in coordinates.items():
            name, block = key.split(".", 1)
            split[name][block] = array
        return Joint(
            {name: part.from_coordinates(split[name]) for name, part in self.parts.items()}
        )


def _mix(coefficients: Sequence[float], statistics: Sequence[Statistics]) -> dict[str, np.ndarray]:
    reference = statistics[-1]
    terms = [s.coordinates(reference) for s in statistics]
    return {
        name: sum(c * term[name] for c, term in zip(coefficients, terms, strict=True))
        for name in terms[-1]
    }


def combine(coefficients: Sequence[float], statistics: Sequence[Statistics]) -> Statistics:
    """Affine combination of statistics.

    Parameters
    ----------
    coefficients : sequence of float
        They sum to 1; any may be negative or above 1.
    statistics : sequence of Statistics
        Of one kind. Moments are taken about the means of the last.

    Returns
    -------
    Statistics

    Raises
    ------
    ValueError
        If the coefficients do not sum to 1.
    DomainError
        If a weight or a scatter leaves its domain.

    Examples
    --------
    >>> from emlearn.em import Sums, combine
    >>> float(combine([-1.0, 2.0], [Sums({"heads": 3.0}), Sums({"heads": 4.0})])["heads"])
    5.0
    """
    total = float(sum(coefficients))
    if not abs(total - 1.0) <= 1e-9 * max(1.0, *(abs(c) for c in coefficients)):
        raise ValueError(f"the coefficients of a combination must sum to 1, got {total}")
    return statistics[-1].from_coordinates(_mix(coefficients, statistics))


def difference_norms(
    coefficients: Sequence[float], statistics: Sequence[Statistics]
) -> dict[str, float]:
    """Euclidean norm, block by block, of a difference of statistics.

    Parameters
    ----------
    coefficients : sequence of float
        They sum to 0: (-1, 1) for a first difference, (1, -2, 1) for a second.
    statistics : sequence of Statistics

    Returns
    -------
    dict of str to float
        A norm for each block of coordinates.
    """
    return {
        name: float(np.linalg.norm(block)) for name, block in _mix(coefficients, statistics).items()
    }
