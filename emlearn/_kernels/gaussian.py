"""Gaussian E-step, scores and small factorisations: the NumPy twin of ``_gaussian.pyx``.

The twin is the oracle of the kernel's tests, and runs where nothing could be
compiled. Densities are given by ``constants`` (K,), log weight + log det of
the factor - d/2 log 2 pi, ``means`` (K, d), and flattened ``factors``: upper
triangles (K, d, d) with ``y = (x - mean) @ factor`` for FULL, one (d, d) for
TIED, inverse standard deviations (K, d) for DIAG and (K,) for SPHERICAL.
"""

import numpy as np

from ..em.statistics import Moments

FULL, TIED, DIAG, SPHERICAL = range(4)
_CHUNK = 4096


def _joint(X, density, constants, means, factors):
    K, d = means.shape
    joint = np.empty((len(X), K))
    if density in (FULL, TIED):
        factors = np.broadcast_to(factors.reshape(-1, d, d), (K, d, d))
    else:
        factors = np.broadcast_to(factors.reshape(K, -1), (K, d))
    for k in range(K):
        y = X - means[k]
        y = y @ factors[k] if density in (FULL, TIED) else y * factors[k]
        joint[:, k] = constants[k] - 0.5 * np.einsum("ij,ij->i", y, y)
    return joint


def _posterior(joint):
    """Posterior (n, K) and log-density (n,); a row that no component reaches is shared evenly."""
    top = joint.max(axis=1)
    safe = np.where(np.isfinite(top), top, 0.0)
    posterior = np.exp(joint - safe[:, None])
    total = posterior.sum(axis=1)
    empty = ~np.isfinite(top)
    posterior[empty] = 1.0
    total[empty] = joint.shape[1]
    posterior /= total[:, None]
    return posterior, np.where(empty, -np.inf, safe + np.log(total))


def _chunks(X):
    for start in range(0, len(X), _CHUNK):
        yield slice(start, min(start + _CHUNK, len(X)))


def e_step(X, sample_weight, density, form, constants, means, factors):
    """Moments and log-likelihood of a block.

    Parameters
    ----------
    X : ndarray of shape (n, d), float64 or float32, any strides
    sample_weight : ndarray of shape (n,) or None
    density : {FULL, TIED, DIAG, SPHERICAL}
    form : {FULL, TIED, DIAG}
        Of the scatter: (K, d, d), pooled (d, d), or (K, d).
    constants, means, factors : ndarray
        See the module.

    Returns
    -------
    count : ndarray of shape (K,)
    mean : ndarray of shape (K, d)
    scatter : ndarray
    log_likelihood : float
    """
    moments, value = None, 0.0
    name = {FULL: "full", TIED: "pooled", DIAG: "diag"}[form]
    for chunk in _chunks(X):
        x = np.asarray(X[chunk], dtype=np.float64)
        if sample_weight is not None:  # a row of weight 0 may hold anything
            x = np.where(sample_weight[chunk, None] > 0, x, 0.0)
        posterior, log_density = _posterior(_joint(x, density, constants, means, factors))
        if sample_weight is not None:
            w = sample_weight[chunk]
            posterior *= w[:, None]
            log_density = np.where(w > 0, log_density, 0.0) * w
        value += float(log_density.sum())
        part = Moments.from_data(x, posterior, name)
        moments = part if moments is None else moments + part
    return moments.weight, moments.mean, moments.scatter, value


def moments(X, weights, form, reference):
    """Moments of a block under given weights.

    Parameters
    ----------
    X : ndarray of shape (n, d), float64 or float32, any strides
    weights : ndarray of shape (n, K)
    form : {FULL, TIED, DIAG}
    reference : ndarray of shape (K, d)
        Somewhere near the means.

    Returns
    -------
    count, mean, scatter : ndarray
    """
    name = {FULL: "full", TIED: "pooled", DIAG: "diag"}[form]
    found = Moments.from_data(X, weights, name)
    return found.weight, found.mean, found.scatter


def scores(
    X, density, constants, means, factors, joint=None, posterior=None, log_density=None, label=None
):
    """Fill those of the four outputs that are given; False if a row is not finite."""
    for chunk in _chunks(X):
        table = _joint(np.asarray(X[chunk], dtype=np.float64), density, constants, means, factors)
        if joint is not None:
            joint[chunk] = table
        if label is not None:
            label[chunk] = table.argmax(axis=1)
        if posterior is not None or log_density is not None:
            p, value = _posterior(table)
            if posterior is not None:
                posterior[chunk] = p
            if log_density is not None:
                log_density[chunk] = value
    return bool(np.isfinite(X.sum(dtype=np.float64)))


def precision_cholesky(covariances):
    """Upper factors P with inv(covariance) = P @ P.T; the index of the first singular matrix, or -1."""
    K, d, _ = covariances.shape
    out = np.empty((K, d, d))
    for k in range(K):
        try:
            lower = np.linalg.cholesky(covariances[k])
        except np.linalg.LinAlgError:
            return out, k
        # a pivot below its share of rounding is rounding, not data
        if not np.all(np.diag(lower) ** 2 > d * np.finfo(float).eps * np.diag(covariances[k])):
            return out, k
        out[k] = np.triu(np.linalg.solve(lower, np.eye(d)).T)
    return out, -1
