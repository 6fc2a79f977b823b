"""The M-step of Gaussians beside means and covariances that are fixed or shared.

Given the covariances the best means are linear; given the means the covariances are those of the scatter about
them. One after the other, no step lowers the likelihood (Meng and Rubin 1993, ECM).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ..em.fixed import Constraints
from ..em.held import Held
from ..em.statistics import Moments
from .covariance import Covariance
from .covariance._structured import fit_structured

__all__ = ["maximise_gaussian"]

# rounds of means and covariances, within EM and at a start
_WARM, _COLD = 10, 200
# change of a mean, in standard deviations, at which they rest
_REST = 1e-12


def maximise_gaussian(
    covariance: Covariance,
    moments: Moments,
    mean_weight: np.ndarray,
    floor: float,
    current: Any,
    constraints: Constraints,
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Means, covariances and what the model has besides.

    Parameters
    ----------
    covariance : Covariance
    moments : Moments
        Weights as the covariances count them.
    mean_weight : ndarray of shape (K,)
        Weights as the means count them: a prior, or heavy tails, make others of these.
    floor : float
        Added to the variances of the rows.
    current : GaussianParameters or None
    constraints : Constraints
        Settled.

    References
    ----------
    Meng, X.-L. and Rubin, D. B. (1993). Maximum likelihood estimation via the ECM
    algorithm: a general framework. Biometrika 80(2), 267-278.
    """
    K, d = moments.mean.shape
    held = constraints.get("means")
    if held is None:
        found = _covariances(covariance, moments, floor, current, constraints)
        return moments.mean, *found
    about = Moments(mean_weight, moments.mean, moments.scatter, moments.form)
    unfixed = not {"covariances", "precisions"} & set(constraints)
    closed = covariance.name == "full" and unfixed and not held.pooled.any()
    means, covariances, others = _first_means(moments.mean, mean_weight, held), None, {}
    rounds = _COLD if current is None else _WARM
    if not covariance.exact:  # whose own steps only improve
        rounds //= 5
    if current is not None:
        covariances = current.covariances
    for number in range(rounds):
        if closed:  # the regression of free on fixed features is that of the rows
            dense = (
                moments.scatter / np.where(moments.weight > 0, moments.weight, 1.0)[:, None, None]
            )
            dense = dense + floor * np.eye(d)
        elif covariances is not None:
            dense = covariance.dense(covariances, K, d)
        if closed or covariances is not None:
            before, means = means, _best_means(moments.mean, mean_weight, dense, held, means)
            unit = np.sqrt(np.diagonal(dense, axis1=1, axis2=2))
            if number and np.all(np.abs(means - before) <= _REST * unit):
                break
        second = about.coordinates(Moments(mean_weight, means, moments.scatter, moments.form))
        turned = Moments(moments.weight, means, second["second"], moments.form)
        covariances, others = _covariances(covariance, turned, floor, current, constraints)
        current = SimpleNamespace(covariances=covariances, **others)
        if closed:
            break
    return means, covariances, others


# ---------------------------------------------------------------- means


def _first_means(mean: np.ndarray, weight: np.ndarray, held: Held) -> np.ndarray:
    """Means with what is fixed put in, and averages where they are shared."""
    pooled = mean.copy()
    for members in held.groups:
        w = weight[members]
        w = w if w.sum() > 0 else np.ones(len(w))
        pooled[members] = w @ mean[members] / w.sum()
    return held.put(mean, pooled)


def _best_means(
    mean: np.ndarray, weight: np.ndarray, dense: np.ndarray, held: Held, current: np.ndarray
) -> np.ndarray:
    """Means (K, d) that are best given covariances (K, d, d).

    Free elements follow the others by their regression. What is left for those that are shared is a weighted least
    squares problem in the precisions of their marginal distributions.
    """
    out = mean.copy()
    shared, fixed = held.pooled, held.fixed
    for members in held.groups:
        E = shared[members[0]]
        if not E.any():
            continue
        A, v = np.zeros((E.sum(), E.sum())), np.zeros(E.sum())
        for k in members[weight[members] > 0]:
            known = E | fixed[k]
            precision = weight[k] * _inverse(dense[k][np.ix_(known, known)])
            inside = E[known]
            target = np.where(E, 0.0, held.values[k])[known] - mean[k][known]
            A += precision[np.ix_(inside, inside)]
            v -= precision[inside] @ target
        if A.any():
            out[members[:, None], E] = np.linalg.solve(A, v)
        else:
            out[members[:, None], E] = current[members[:, None], E]
    out = np.where(fixed, held.values, out)
    for k in np.flatnonzero((shared | fixed).any(axis=1) & (weight > 0)):
        known = shared[k] | fixed[k]
        if known.all():
            continue
        delta = _inverse(dense[k][np.ix_(known, known)]) @ (out[k] - mean[k])[known]
        out[k, ~known] += dense[k][np.ix_(~known, known)] @ delta
    return out


def _inverse(matrix: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        return np.linalg.pinv(matrix, hermitian=True)


# ----------------------------------------------------------- covariances


def _covariances(
    covariance: Covariance,
    moments: Moments,
    floor: float,
    current: Any,
    constraints: Constraints,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Covariances of scatters about the means, and what the model has besides."""
    held, inverse = constraints.get("covariances"), constraints.get("precisions")
    if "noise_variances" in constraints:
        return covariance.estimate_beside(moments, floor, current, constraints)
    if held is None and inverse is None:
        return covariance.estimate(moments, floor, current)
    if held is not None and held.fixed.all():
        return held.values.copy(), {}
    now = None if current is None else current.covariances
    if covariance.form == "diag":
        return _variances(moments, floor, now, held), {}
    return _matrices(moments, floor, now, held, inverse), {}


def _variances(
    moments: Moments, floor: float, current: np.ndarray | None, held: Held
) -> np.ndarray:
    scatter, weight = moments.scatter, moments.weight[:, None]
    if held.values.ndim == 1:
        scatter, weight = scatter.sum(axis=1), scatter.shape[1] * moments.weight
    weight = np.broadcast_to(weight, scatter.shape)
    scatter = np.where(weight > 0, scatter, 0.0)
    found = _ratio(scatter, weight, current, floor)
    pooled = found.copy()
    for members in held.groups:
        now = None if current is None else current[members[0]]
        pooled[members] = _ratio(
            scatter[members].sum(axis=0), weight[members].sum(axis=0), now, floor
        )
    return held.put(found, pooled)


def _ratio(
    scatter: np.ndarray, weight: np.ndarray, current: np.ndarray | None, floor: float
) -> np.ndarray:
    some = weight > 0
    found = scatter / np.where(some, weight, 1.0) + floor
    return found if current is None else np.where(some, found, current)


def _matrices(
    moments: Moments,
    floor: float,
    current: np.ndarray | None,
    held: Held | None,
    inverse: Held | None,
) -> np.ndarray:
    pooled = moments.form == "pooled"
    scatter = moments.scatter.reshape(-1, *moments.scatter.shape[-2:])
    weight = moments.weight.sum(keepdims=True) if pooled else moments.weight
    one = held if held is not None else inverse
    d = scatter.shape[1]
    now = None if current is None else current.reshape(scatter.shape)
    out = np.empty(scatter.shape)
    for members in _units(one, len(scatter)):
        k, n = members[0], weight[members].sum()
        if n <= 0 and now is not None:
            out[members] = now[members]
            continue
        S = scatter[members].sum(axis=0) / (n if n > 0 else 1.0)
        S[np.diag_indices(d)] += floor
        before = None if now is None else now[k]
        out[members] = _matrix(S, before, _stack(held, k), _stack(inverse, k))
    return out.reshape(moments.scatter.shape)


def _units(held: Held, n: int) -> list[np.ndarray]:
    """Components that have one matrix."""
    if held.values.ndim == 2 or not held.shared.any():
        return [np.array([k]) for k in range(n)]
    return [members for members in held.groups]


def _stack(held: Held | None, k: int) -> np.ndarray | None:
    """What is known of matrix k; None where nothing is."""
    if held is None:
        return None
    values = held.values if held.values.ndim == 2 else held.values[k]
    return None if np.isnan(values).all() else values


def _matrix(
    S: np.ndarray,
    current: np.ndarray | None,
    values: np.ndarray | None,
    inverse: np.ndarray | None,
) -> np.ndarray:
    if values is not None:
        if not np.isnan(values).any():
            return values
        return fit_structured(S, values, inverse=False, current=current)
    if inverse is None:
        return S
    before = None if current is None else np.linalg.inv(current)
    found = np.linalg.inv(fit_structured(S, inverse, inverse=True, current=before))
    return 0.5 * (found + found.T)
