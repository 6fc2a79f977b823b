"""Rows with missing cells: how blocks are divided, and what columns are like where they are observed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .._kernels import labels as kernel
from ..em.statistics import Moments
from ..exceptions import UnobservedColumnsError
from ._base import Fold

__all__ = [
    "Columns",
    "Holes",
    "fill_scores",
    "filled_moments",
    "has_holes",
    "observed_columns",
    "split",
]


def has_holes(X: Any) -> bool:
    """Whether a cell is NaN, in one pass."""
    return bool(np.isnan(X.sum(dtype=np.float64))) and bool(np.isnan(X).any())


def split(X: np.ndarray) -> Any:
    """A block as it is where nothing is missing; complete rows apart from others where something is."""
    return Holes(X) if has_holes(X) else X


class Holes:
    """A block of rows, some of which have missing cells.

    Parameters
    ----------
    X : ndarray of shape (n, d)

    Attributes
    ----------
    shape : tuple of int
    whole, holed : ndarray of shape (n_whole, d), (n_holed, d)
        Complete rows; and others, by the number of their missing cells, equal patterns together.
    whole_rows, holed_rows : ndarray of int
        Where they are in the block.
    seen : ndarray of int of shape (n,)
        How many cells of each row are observed.
    """

    __slots__ = ("holed", "holed_rows", "seen", "shape", "whole", "whole_rows")

    def __init__(self, X: np.ndarray) -> None:
        mask = np.isnan(X)
        missing = mask.sum(axis=1)
        self.shape = X.shape
        self.seen = X.shape[1] - missing
        self.whole_rows, holed = np.flatnonzero(missing == 0), np.flatnonzero(missing)
        keys = np.packbits(mask[holed], axis=1)
        self.holed_rows = holed[np.lexsort([*keys.T, missing[holed]])]
        self.whole = np.ascontiguousarray(X[self.whole_rows])
        self.holed = np.ascontiguousarray(X[self.holed_rows])

    def __len__(self) -> int:
        return self.shape[0]

    def assembled(self, whole: Callable[[], np.ndarray], holed: np.ndarray) -> np.ndarray:
        """A table of all rows from those of complete rows, asked for if there are any, and of others."""
        table = np.empty((len(self), *holed.shape[1:]), dtype=holed.dtype)
        table[self.holed_rows] = holed
        if len(self.whole):
            table[self.whole_rows] = whole()
        return table


@dataclass(frozen=True)
class Columns:
    """What is observed of each column: weight, mean and sum of squares about it, (d,) each."""

    weight: np.ndarray
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, sample_weight: np.ndarray | None) -> Columns:
        """Those of a block of rows."""
        if sample_weight is not None:
            X, sample_weight = X[sample_weight > 0], sample_weight[sample_weight > 0]
        X = np.asarray(X, dtype=np.float64)
        weights = np.where(
            np.isnan(X), 0.0, 1.0 if sample_weight is None else sample_weight[:, None]
        )
        weight = weights.sum(axis=0)
        safe = np.where(weight > 0, weight, 1.0)
        low = np.fmin.reduce(X, axis=0, initial=np.inf)
        about = np.where(np.isfinite(low), low, 0.0)
        delta = np.where(weights > 0, X - about, 0.0)
        mean = (weights * delta).sum(axis=0) / safe
        scatter = (weights * np.square(delta - mean)).sum(axis=0)
        return cls(weight, about + mean, scatter)

    def __add__(self, other: Columns) -> Columns:
        weight = self.weight + other.weight
        share = np.divide(other.weight, weight, out=np.zeros_like(weight), where=weight > 0)
        delta = other.mean - self.mean
        return Columns(
            weight,
            self.mean + share * delta,
            self.scatter + other.scatter + self.weight * share * delta * delta,
        )

    @property
    def variance(self) -> np.ndarray:
        """Variances (d,) of what is observed."""
        return self.scatter / np.where(self.weight > 0, self.weight, 1.0)

    def fill(self, X: np.ndarray) -> np.ndarray:
        """Rows with means in the place of missing cells; the rows themselves where nothing is missing."""
        if not has_holes(X):
            return X
        return np.where(np.isnan(X), self.mean.astype(X.dtype), X)

    def first_moments(self, X: np.ndarray, moments: Moments, weights: np.ndarray) -> Moments:
        """Moments of filled rows under weights (n, K), and each column's variance for its missing cells."""
        extra = (weights.T @ np.isnan(X)) * self.variance
        scatter, d = moments.scatter.copy(), X.shape[1]
        if moments.form == "diag":
            scatter += extra
        elif moments.form == "pooled":
            scatter[np.diag_indices(d)] += extra.sum(axis=0)
        else:
            scatter[:, np.arange(d), np.arange(d)] += extra
        return Moments(moments.weight, moments.mean, scatter, moments.form)


def fill_scores(joint: np.ndarray, outputs: Mapping[str, np.ndarray]) -> None:
    """Fill ``joint``, ``posterior``, ``log_density`` or ``label`` from joint log-densities (n, K)."""
    posterior, _, log_density = kernel.posterior(joint, np.zeros(joint.shape[1]), None)
    values = {"joint": joint, "posterior": posterior, "log_density": log_density}
    for name, out in outputs.items():
        out[...] = joint.argmax(axis=1) if name == "label" else values[name]


def observed_columns(
    X: Any, sample_weight: np.ndarray | None, fold: Fold | None = None
) -> Columns | None:
    """What is observed of the columns, where something is missing; None where nothing is.

    Raises
    ------
    UnobservedColumnsError
        If no row that counts has a value in some column.
    """
    if not has_holes(X):
        return None
    columns = Columns.of(X, sample_weight)
    if not columns.weight.all() and fold is not None:  # a sample of the rows may have missed it
        columns = fold(Columns.of, operator.add)
    if not columns.weight.all():
        raise UnobservedColumnsError(np.flatnonzero(columns.weight == 0))
    return columns


def filled_moments(fold: Fold) -> tuple[Moments, int]:
    """Moments (one component, "full") of rows with missing cells, and how many count.

    A missing cell has the mean of its column, and its variance.
    """
    columns = fold(Columns.of, operator.add)
    if not columns.weight.all():
        raise UnobservedColumnsError(np.flatnonzero(columns.weight == 0))
    return fold(partial(_filled_block, columns), _add_both)


def _filled_block(
    columns: Columns, X: np.ndarray, sample_weight: np.ndarray | None
) -> tuple[Moments, int]:
    X = np.asarray(X, dtype=np.float64)
    weight = np.ones((len(X), 1)) if sample_weight is None else sample_weight[:, None]
    moments = Moments.from_data(columns.fill(X), weight, "full")
    return columns.first_moments(X, moments, weight), int(np.count_nonzero(weight))


def _add_both(a: tuple[Any, int], b: tuple[Any, int]) -> tuple[Any, int]:
    return a[0] + b[0], a[1] + b[1]
