"""Regressions beside coefficients that are fixed, or that components share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..em.held import Held
from ..em.least_squares import solve_symmetric
from ..em.statistics import Moments

__all__ = ["constrained_least_squares", "constrained_variances"]


def constrained_least_squares(
    moments: Moments,
    held: Mapping[str, Held],
    precision: np.ndarray,
    current: tuple[np.ndarray, np.ndarray],
    *,
    fit_intercept: bool,
    ridge: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients that minimise the sum of squares of all components, each times its precision.

    Parameters
    ----------
    moments : Moments
        Of [response, covariates], of K components.
    held : mapping of str to Held
        "coef" (K, d) and "intercept" (K,), where something is known of them.
    precision : ndarray of shape (K,)
    current : tuple of ndarray
        Coefficients (K, d) and intercepts (K,), which stay where no row says anything.
    fit_intercept : bool
    ridge : float

    Returns
    -------
    coef : ndarray of shape (K, d)
    intercept : ndarray of shape (K,)
    """
    K, d = current[0].shape
    # an intercept that nothing holds follows from the slopes: these are then found about the mean
    centred = fit_intercept and "intercept" not in held
    raw = fit_intercept and not centred
    parts = [_held(held, "coef", (K, d))]
    if raw:
        parts.append(tuple(a[:, None] for a in _held(held, "intercept", (K,))))
    values, shared = (np.concatenate(both, axis=1) for both in zip(*parts, strict=True))
    groups = next(iter(held.values())).groups if held else ()
    place, n = _places(values, shared, groups)
    start = np.where(np.isnan(values), np.column_stack(current)[:, : values.shape[1]], values)
    for members in groups:
        mean = start[members].mean(axis=0)
        start[members] = np.where(shared[members] & np.isnan(values[members]), mean, start[members])
    A, b = np.zeros((n, n)), np.zeros(n)
    for k in range(K):
        S, s = _normal(moments, k, centred, raw)
        S[np.arange(d), np.arange(d)] += ridge
        own = place[k] >= 0
        where = place[k, own]
        np.add.at(A, np.ix_(where, where), precision[k] * S[np.ix_(own, own)])
        np.add.at(b, where, precision[k] * (s - S @ start[k])[own])
    step = np.r_[solve_symmetric(A, b), 0.0] if n else np.zeros(1)
    found = start + step[place]
    coef = found[:, :d]
    if raw:
        return coef, found[:, d]
    if not fit_intercept:
        return coef, np.zeros(K)
    means = moments.mean[:, 0] - np.sum(moments.mean[:, 1:] * coef, axis=1)
    return coef, np.where(moments.weight > 0, means, current[1])


def _held(
    held: Mapping[str, Held], name: str, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    if name in held:
        return held[name].values, held[name].shared
    return np.full(shape, np.nan), np.zeros(shape, dtype=bool)


def _places(
    values: np.ndarray, shared: np.ndarray, groups: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, int]:
    """The number of the unknown that each element is, -1 where it is fixed; and how many there are."""
    place = np.full(values.shape, -1)
    free = np.isnan(values)
    place[free] = np.arange(free.sum())
    for members in groups:
        first = place[members[0]]
        place[members] = np.where((shared & free)[members], first, place[members])
    used, numbers = np.unique(place[place >= 0], return_inverse=True)
    place[place >= 0] = numbers
    return place, len(used)


def _normal(moments: Moments, k: int, centred: bool, raw: bool) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations of component k: of slopes about the mean, or of slopes and then the intercept."""
    mean, S = moments.mean[k], moments.scatter[k].copy()
    if centred:
        return S[1:, 1:], S[1:, 0]
    S += moments.weight[k] * np.outer(mean, mean)
    if not raw:
        return S[1:, 1:], S[1:, 0]
    sums = moments.weight[k] * np.r_[mean[1:], 1.0]
    A = np.block([[S[1:, 1:], sums[:-1, None]], [sums]])
    return A, np.r_[S[1:, 0], moments.weight[k] * mean[0]]


def constrained_variances(left: np.ndarray, weight: np.ndarray, held: Held) -> np.ndarray:
    """Variances (K,) of sums of squares: fixed, of all of a group, or of a component."""
    values = left / np.where(weight > 0, weight, 1.0)
    for members in held.groups:
        if held.pooled[members[0]]:
            values[members] = left[members].sum() / max(weight[members].sum(), 1e-300)
    return held.put(values)
