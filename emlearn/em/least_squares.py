"""Weighted least squares from centred moments: what linear regressions, and Newton steps of others, come to."""

from __future__ import annotations

import numpy as np

from .statistics import Moments

__all__ = ["is_constant", "least_squares", "response_moments", "solve_symmetric"]

_EPS = np.finfo(np.float64).eps


def response_moments(response: np.ndarray, X: np.ndarray, weights: np.ndarray) -> Moments:
    """Moments of the tables [response, X], one for each component, of the form "full".

    Parameters
    ----------
    response : ndarray of shape (n,) or (n, K)
        One for all components, or one for each.
    X : ndarray of shape (n, d)
    weights : ndarray of shape (n, K)

    Returns
    -------
    Moments
        Of K components and 1 + d columns, the response being the first.
    """
    n, K = weights.shape
    d = X.shape[1]
    weight = weights.sum(axis=0)
    mean, scatter = np.zeros((K, 1 + d)), np.zeros((K, 1 + d, 1 + d))
    table = np.empty((n, 1 + d))
    centre = X.mean(axis=0) if n else np.zeros(d)
    np.subtract(X, centre, out=table[:, 1:])
    for k in range(K):
        if not weight[k] > 0:
            continue
        values = response if response.ndim == 1 else response[:, k]
        middle = weights[:, k] @ values / weight[k]
        np.subtract(values, middle, out=table[:, 0])
        shift = weights[:, k] @ table / weight[k]
        y = table - shift
        mean[k, 0], mean[k, 1:] = middle, centre
        mean[k] += shift
        scatter[k] = (weights[:, k, None] * y).T @ y
    return Moments(weight, mean, scatter, "full")


def is_constant(moments: Moments) -> np.ndarray:
    """Columns (K, d) that do not vary, but for rounding."""
    spread = np.einsum("kjj->kj", moments.scatter)
    return spread <= moments.weight[:, None] * (4 * _EPS * np.abs(moments.mean)) ** 2


def solve_symmetric(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Solve ``A x = b``, A positive semi-definite; the shortest solution in its own scale if there are many."""
    diagonal = np.diag(A)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(A / np.outer(scale, scale))
    least = 16 * len(A) * _EPS * max(values.max(initial=0.0), 1.0)
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=values > least)
    return vectors @ (inverse * (vectors.T @ (b / scale))) / scale


def least_squares(
    moments: Moments, *, fit_intercept: bool = True, ridge: float | np.ndarray = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of the response on the other columns, for each component.

    Parameters
    ----------
    moments : Moments
        As :func:`response_moments` makes them.
    fit_intercept : bool, default=True
    ridge : float or ndarray of shape (K,), default=0.0
        Times the sum of squares of the coefficients, the intercept left out, it is added to the sum of squares.

    Returns
    -------
    coef : ndarray of shape (K, d)
        0 in columns that do not vary; the shortest solution where columns depend on each other.
    intercept : ndarray of shape (K,)
    """
    K, d = moments.mean.shape[0], moments.mean.shape[1] - 1
    coef, intercept = np.zeros((K, d)), np.zeros(K)
    ridge = np.broadcast_to(np.asarray(ridge, dtype=np.float64), (K,))
    constant = is_constant(moments)[:, 1:]
    for k in range(K):
        mean, S = moments.mean[k], moments.scatter[k]
        if not fit_intercept:
            S = S + moments.weight[k] * np.outer(mean, mean)
        use = np.flatnonzero(np.diag(S)[1:] > 0 if not fit_intercept else ~constant[k])
        if len(use):
            A = S[np.ix_(1 + use, 1 + use)] + ridge[k] * np.eye(len(use))
            coef[k, use] = solve_symmetric(A, S[1 + use, 0])
        if fit_intercept:
            intercept[k] = mean[0] - mean[1:] @ coef[k]
    return coef, intercept
