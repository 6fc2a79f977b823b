"""Rotations of loadings: varimax, quartimax, promax."""

from __future__ import annotations

import numpy as np

__all__ = ["ROTATIONS", "rotate"]

ROTATIONS = ("varimax", "quartimax", "promax")

# passes, and the gain of a criterion that is none
_MOST, _REST = 1000, 1e-12
# the power of promax
_POWER = 4


def rotate(
    loadings: np.ndarray,
    method: str,
    kaiser: bool | None = None,
    deviations: np.ndarray | float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Loadings of rotated factors, and the correlations of these.

    Parameters
    ----------
    loadings : ndarray of shape (d, q)
        Of uncorrelated factors.
    method : {"varimax", "quartimax", "promax"}
    kaiser : bool or None, default=None
        Rotate rows of unit length; None does so for promax.
    deviations : ndarray of shape (d,), default=1.0
        Of the features, in which loadings have no unit: promax takes powers of these.

    Returns
    -------
    loadings : ndarray of shape (d, q)
        By decreasing sums of squares, the largest entry of each positive.
    correlations : ndarray of shape (q, q)
        The identity but for promax.
    """
    d, q = loadings.shape
    some = np.flatnonzero(loadings.any(axis=0))
    if len(some) < q:  # factors without a loading have no direction
        found, among = np.zeros((d, q)), np.eye(q)
        n = len(some)
        found[:, :n], among[:n, :n] = rotate(loadings[:, some], method, kaiser, deviations)
        return found, among
    if q < 2:
        return loadings, np.eye(q)
    promax = method == "promax"
    scale = np.ones((d, 1))
    if promax if kaiser is None else kaiser:
        lengths = np.linalg.norm(loadings, axis=1, keepdims=True)
        scale = np.where(lengths > 0, lengths, 1.0)
    gamma = 0.0 if method == "quartimax" else 1.0
    rotated = loadings @ _orthogonal(loadings / scale, gamma)
    correlations = np.eye(q)
    units = np.broadcast_to(deviations, d)[:, None]
    rotated = rotated / units
    if promax:
        rotated, correlations = _oblique(rotated)
    order = np.argsort(-np.square(rotated).sum(axis=0), kind="stable")
    rotated = rotated[:, order]
    top = rotated[np.abs(rotated).argmax(axis=0), np.arange(q)]
    signs = np.where(top < 0, -1.0, 1.0)
    return rotated * units * signs, signs[:, None] * correlations[np.ix_(order, order)] * signs


def _orthogonal(loadings: np.ndarray, gamma: float) -> np.ndarray:
    """The rotation (q, q) with the largest orthomax criterion, as Kaiser's singular value iteration finds it."""
    d, q = loadings.shape
    rotation, before = np.eye(q), 0.0
    for _ in range(_MOST):
        rotated = loadings @ rotation
        target = rotated**3 - gamma / d * rotated * np.square(rotated).sum(axis=0)
        u, values, vt = np.linalg.svd(loadings.T @ target)
        rotation = u @ vt
        if values.sum() <= before * (1 + _REST):
            break
        before = values.sum()
    return rotation


def _oblique(rotated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loadings nearer to their own powers, where factors may be correlated."""
    target = rotated * np.abs(rotated) ** (_POWER - 1)
    map_ = np.linalg.lstsq(rotated, target, rcond=None)[0]
    map_ = map_ * np.sqrt(np.diagonal(np.linalg.inv(map_.T @ map_)))
    return rotated @ map_, np.linalg.inv(map_.T @ map_)
