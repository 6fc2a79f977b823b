"""What is expected of the factors, given some of the cells of a row."""

from __future__ import annotations

import numpy as np

__all__ = ["conditional_factors"]


def conditional_factors(
    deviations: np.ndarray, loadings: np.ndarray, noise: np.ndarray, correlations: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (n, q) and covariance of the factors given what is observed of each row.

    Noise is independent, so that a missing cell is a term less in sums over the features: each row has a
    matrix of the size of the factors, whatever its pattern.

    Parameters
    ----------
    deviations : ndarray of shape (n, d)
        From the means; NaN where a cell is missing.
    loadings : ndarray of shape (d, q)
    noise : ndarray of shape (d,)
    correlations : ndarray of shape (q, q)
        Of the factors.

    Returns
    -------
    means : ndarray of shape (n, q)
    covariances : ndarray of shape (n, q, q)
        A view of one where no cell is missing.
    """
    n, q = len(deviations), loadings.shape[1]
    scaled = loadings / noise[:, None]
    alone = np.linalg.inv(correlations)
    missing = np.isnan(deviations)
    if not missing.any():
        left = np.linalg.inv(alone + loadings.T @ scaled)
        left = 0.5 * (left + left.T)
        return deviations @ (scaled @ left), np.broadcast_to(left, (n, q, q))
    each = (loadings[:, :, None] * scaled[:, None, :]).reshape(len(loadings), q * q)
    precisions = alone + ((~missing).astype(np.float64) @ each).reshape(n, q, q)
    left = np.linalg.inv(precisions)
    left = 0.5 * (left + np.swapaxes(left, 1, 2))
    known = np.where(missing, 0.0, deviations) @ scaled
    return (left @ known[:, :, None])[:, :, 0], left
