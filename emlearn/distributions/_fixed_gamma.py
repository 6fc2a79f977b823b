"""The M-step of gamma distributions beside shapes and scales that are fixed or shared."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma

from ..em.held import Held
from ..exceptions import SingularError
from ._special import invert_digamma, solve_gamma_shape

__all__ = ["FLAT", "maximise_gamma"]

# log(mean) - mean(log) below this is rounding of sums
FLAT = 1e-13


def maximise_gamma(
    mean: np.ndarray, log_mean: np.ndarray, weight: np.ndarray, shapes: Held, scales: Held
) -> tuple[np.ndarray, np.ndarray]:
    """Shapes and scales (K, d) that maximise ``sum weight * (a log_mean - mean / b - a log b - log gamma(a))``.

    Parameters
    ----------
    mean, log_mean : ndarray of shape (K, d)
        Means of the values, and of their logarithms.
    weight : ndarray of shape (K, d) or (K, 1)
    shapes, scales : Held

    Returns
    -------
    shapes, scales : ndarray of shape (K, d)

    Raises
    ------
    SingularError
        If a shape that is free would be infinite.
    """
    gap = np.log(mean) - log_mean
    least = FLAT * (1.0 + np.abs(log_mean))
    flat = (gap <= least) & ~shapes.fixed & ~scales.fixed & ~shapes.pooled & ~scales.pooled
    if flat.any():
        _refuse_flat(*np.argwhere(flat)[0])
    gap = np.maximum(gap, least)
    a = np.where(scales.fixed, 0.0, solve_gamma_shape(gap))
    if scales.fixed.any():
        a = np.where(scales.fixed, invert_digamma(log_mean - np.log(scales.put(mean))), a)
    a = shapes.put(a)
    b = scales.put(mean / a)
    groups, weight = shapes.groups or scales.groups, np.broadcast_to(weight, mean.shape)
    for members in groups:
        one = members[0]
        for j in np.flatnonzero(shapes.pooled[one] | scales.pooled[one]):
            some = weight[members, j] > 0
            if not some.any():
                continue
            used = members[some]
            w = weight[used, j] / weight[used, j].sum()
            if shapes.pooled[one, j] and scales.pooled[one, j]:
                whole = w @ mean[used, j]
                both = np.log(whole) - w @ log_mean[used, j]
                if both <= FLAT * (1.0 + abs(np.log(whole))):
                    _refuse_flat(one, j)
                a[members, j] = solve_gamma_shape(np.array([both]))[0]
                b[members, j] = whole / a[one, j]
            elif shapes.pooled[one, j]:
                a[members, j] = _one_shape(
                    w, gap[used, j], log_mean[used, j], scales.values[used, j], a[used, j]
                )
                b[members, j] = scales.put(mean / a)[members, j]
            else:
                b[members, j] = _one_scale(
                    w, mean[used, j], log_mean[used, j], shapes.values[used, j], a[used, j]
                )
                free = invert_digamma(log_mean[members, j] - np.log(b[one, j]))
                a[members, j] = np.where(shapes.fixed[members, j], shapes.values[members, j], free)
    return a, b


def _one_shape(
    w: np.ndarray, gap: np.ndarray, log_mean: np.ndarray, scale: np.ndarray, own: np.ndarray
) -> float:
    """The shape of all, each scale its own, or given where it is not NaN."""
    given = ~np.isnan(scale)
    known = np.where(given, log_mean - np.log(np.where(given, scale, 1.0)), -gap)

    def slope(log_a: float) -> float:
        a = np.exp(log_a)
        return float(w @ (known + np.where(given, 0.0, log_a)) - digamma(a))

    return float(np.exp(_between(slope, np.log(own))))


def _one_scale(
    w: np.ndarray, mean: np.ndarray, log_mean: np.ndarray, shape: np.ndarray, own: np.ndarray
) -> float:
    """The scale of all, each shape its own, or given where it is not NaN."""

    def slope(log_b: float) -> float:
        a = np.where(np.isnan(shape), invert_digamma(log_mean - log_b), shape)
        return float(w @ (mean * np.exp(-log_b) - a))

    return float(np.exp(_between(slope, np.log(mean / own))))


def _between(slope: Callable[[float], float], roots: np.ndarray) -> float:
    """Where a slope is 0: between where each component's own is."""
    low, high = float(roots.min()), float(roots.max())
    margin = 1e-9 * (1.0 + abs(low) + abs(high))
    low, high = low - margin, high + margin
    if not slope(low) > 0 > slope(high):  # they are one, but for rounding
        return 0.5 * (low + high)
    return float(brentq(slope, low, high, xtol=1e-14, rtol=1e-14))


def _refuse_flat(k: int, j: int) -> None:
    raise SingularError(
        f"Column {j} has one value only within component {k}, or values too close for their size, so that"
        " the shape of its gamma distribution is infinite. Try fewer components, a prior, or drop the column."
    )
