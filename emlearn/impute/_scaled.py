"""Columns at one scale: what varies, about its mean and in units of its deviation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..distributions import NormalInverseWishart
from ..distributions.covariance import COVARIANCES

__all__ = ["Scaled", "bind_prior"]


@dataclass(frozen=True)
class Scaled:
    """What is known of the columns one by one.

    Attributes
    ----------
    kept : ndarray of bool of shape (d,)
        Columns that have a value.
    varies : ndarray of bool of shape (d,)
        Columns that have several.
    mean : ndarray of shape (d,)
        Of the values; 0 without one.
    scale : ndarray of shape (d,)
        Standard deviation; 1 where nothing varies.
    """

    kept: np.ndarray
    varies: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, sample_weight: np.ndarray | None) -> Self:
        """Those of rows that count."""
        weight = None
        if sample_weight is not None:
            X, weight = X[sample_weight > 0], sample_weight[sample_weight > 0]
            weight = weight / weight.max()
        there = ~np.isnan(X)
        low = np.fmin.reduce(X, axis=0, initial=np.inf).astype(np.float64)
        high = np.fmax.reduce(X, axis=0, initial=-np.inf).astype(np.float64)
        kept = there.any(axis=0)
        low = np.where(kept, low, 0.0)
        shares = there if weight is None else there * weight[:, None]
        total = shares.sum(axis=0, dtype=np.float64)
        total = np.where(total > 0, total, 1.0)
        # about the lowest value, where no digit is lost to the offset; by the range, so that nothing overflows
        width = np.where(high > low, 0.5 * high - 0.5 * low, 1.0)
        delta = np.where(there, X / width - low / width, 0.0)
        mean = (shares * delta).sum(axis=0) / total
        delta -= np.where(there, mean, 0.0)
        scale = width * np.sqrt((shares * delta * delta).sum(axis=0) / total)
        varies = kept & (high > low) & (scale > 0)
        mean = np.where(varies, low + width * mean, low)
        return cls(kept, varies, mean, np.where(varies, scale, 1.0))

    def same_columns(self, other: Self) -> bool:
        """Whether the same ones vary."""
        return np.array_equal(self.varies, other.varies)

    def forth(self, X: np.ndarray) -> np.ndarray:
        """Columns that vary, at variance 1."""
        v = self.varies
        return ((X[:, v] - self.mean[v]) / self.scale[v]).astype(X.dtype, copy=False)

    def fill(self, X: np.ndarray, table: np.ndarray | None) -> np.ndarray:
        """A copy of X with what such columns have where something is missing; others have their one value, or 0."""
        v = self.varies
        out = np.where(np.isnan(X), self.mean, X).astype(X.dtype, copy=False)
        if table is not None:
            back = self.mean[v] + self.scale[v] * table
            out[:, v] = np.where(np.isnan(X[:, v]), back, X[:, v])
        return out

    def moments(self, mixture: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of a mixture of such columns, of those that are kept, in units of the data."""
        d = len(self.kept)
        mean, covariance = self.mean.copy(), np.zeros((d, d))
        if mixture is not None:
            v = np.flatnonzero(self.varies)
            inside, spread = mixture_moments(mixture)
            mean[v] += self.scale[v] * inside
            with np.errstate(over="ignore"):  # what is too large for a number is infinite
                unit = np.outer(self.scale[v], self.scale[v])
            covariance[np.ix_(v, v)] = spread * unit
        return mean[self.kept], covariance[np.ix_(self.kept, self.kept)]

    def log_unit(self, X: np.ndarray, sample_weight: np.ndarray | None) -> float:
        """By how much the mean log-density of a row is less in units of the data."""
        v = self.varies
        rows = ~np.isnan(X[:, v]) @ np.log(self.scale[v])
        return float(np.average(rows, weights=sample_weight))


def mixture_moments(mixture: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all components together."""
    weights, means = (np.asarray(a, dtype=np.float64) for a in (mixture.weights_, mixture.means_))
    K, d = means.shape
    mean = weights @ means
    delta = means - mean
    values = np.asarray(mixture.covariances_, dtype=np.float64)
    within = COVARIANCES[mixture.covariance_type].dense(values, K, d)
    return mean, np.einsum("k,kij->ij", weights, within) + (weights[:, None] * delta).T @ delta


def bind_prior(
    prior: Any, scaled: Scaled, covariance_type: str, n_components: int
) -> NormalInverseWishart | None:
    """A prior in the units of columns of variance 1."""
    v = scaled.varies
    d = int(v.sum())
    if prior is None or d == 0:
        return None
    if isinstance(prior, str):  # "default"
        dof = d + 2.0
        # so that the mode of the prior alone is a covariance of 1, less what lies between components
        count, share = COVARIANCES[covariance_type].prior_counts(dof, False, n_components, d)
        scale = count / share / n_components ** (2.0 / d)
        return NormalInverseWishart(np.zeros(d), 0.0, dof, scale)
    units = scaled.scale[v]
    mean, scale = prior.mean, prior.scale
    if mean is not None:
        mean = (_of_columns(mean, v, "mean") - scaled.mean[v]) / units
    if scale is not None and np.ndim(scale) < 2:
        scale = np.broadcast_to(_of_columns(scale, v, "scale"), d) / units**2
    elif scale is not None:
        scale = _of_columns(scale, v, "scale")[:, v] / np.outer(units, units)
    return NormalInverseWishart(mean, prior.mean_count, prior.degrees_of_freedom, scale)


def _of_columns(value: Any, varies: np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim and array.shape != (len(varies),) * array.ndim:
        raise ValueError(
            f"prior: {name} must be of the {len(varies)} columns of X, got an array of shape {array.shape}."
        )
    return array[varies] if array.ndim else array
