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
    ones = np.ones(n)
    weight = ones @ weights
    mean, scatter = np.zeros((K, 1 + d)), np.zeros((K, 1 + d, 1 + d))
    # rows side by side: what is done to each of few columns takes longer
    table = np.empty((1 + d, n))
    centre = ones @ X / n if n else np.zeros(d)
    np.subtract(X.T, centre[:, None], out=table[1:])
    y, weighed = np.empty_like(table), np.empty_like(table)
    for k in range(K):
        if not weight[k] > 0:
            continue
        values = response if response.ndim == 1 else response[:, k]
        own = np.ascontiguousarray(weights[:, k])
        middle = own @ values / weight[k]
        np.subtract(values, middle, out=table[0])
        shift = table @ own / weight[k]
        np.subtract(table, shift[:, None], out=y)
        mean[k, 0], mean[k, 1:] = middle, centre
        mean[k] += shift
        scatter[k] = np.multiply(y, own, out=weighed) @ y.T
    return Moments(weight, mean, scatter, "full")


def is_constant(moments: Moments) -> np.ndarray:
    """Columns (K, d) that do not vary, but for rounding."""
    spread = np.einsum("kjj->kj", moments.scatter)
    return spread <= moments.weight[:, None] * (4 * _EPS * np.abs(moments.mean)) ** 2


def solve_symmetric(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Solve ``A x = b``, A positive semi-definite; the shortest solution in its own scale if there are many.

    Parameters
    ----------
    A : ndarray of shape (..., n, n)
    b : ndarray of shape (..., n)
    """
    if not b.shape[-1]:
        return b
    diagonal = A.diagonal(axis1=-2, axis2=-1)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(A / (scale[..., :, None] * scale[..., None, :]))
    largest = np.maximum(values[..., -1:], 1.0)  # they rise
    least = 16 * b.shape[-1] * _EPS * largest
    with np.errstate(divide="ignore"):
        inverse = np.where(values > least, 1.0 / values, 0.0)
    turned = np.matmul(vectors.swapaxes(-1, -2), (b / scale)[..., None])[..., 0]
    return np.matmul(vectors, (inverse * turned)[..., None])[..., 0] / scale


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
    mean, S = moments.mean, moments.scatter
    used = ~is_constant(moments)[:, 1:]
    if not fit_intercept:
        S = S + moments.weight[:, None, None] * mean[:, :, None] * mean[:, None, :]
        used = np.einsum("kjj->kj", S)[:, 1:] > 0
    A = np.where(used[:, :, None] & used[:, None, :], S[:, 1:, 1:], 0.0)
    ridge = np.asarray(ridge, dtype=np.float64)
    if ridge.any():
        A = A + np.broadcast_to(ridge, len(A))[:, None, None] * np.eye(A.shape[1])
    coef = solve_symmetric(A, np.where(used, S[:, 1:, 0], 0.0))
    if not fit_intercept:
        return coef, np.zeros(len(coef))
    return coef, mean[:, 0] - np.sum(mean[:, 1:] * coef, axis=1)
