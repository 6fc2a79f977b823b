"""Posteriors of independent rows, and the categorical E-step: the NumPy twin of ``_labels.pyx``.

Categories are ``codes`` (n, d), int32, any other number where a cell is missing; ``sizes``
(d,), int32, the numbers of categories, whose sum is V. Log-probabilities
(K, V) have the columns side by side; each may be -inf.
"""

import numpy as np
from scipy import sparse


def posterior(log_density, log_weights, sample_weight=None):
    """Posterior of each component.

    Parameters
    ----------
    log_density : ndarray of shape (n, K)
    log_weights : ndarray of shape (K,)
    sample_weight : ndarray of shape (n,) or None

    Returns
    -------
    posterior : ndarray of shape (n, K)
        Times sample weight; a row that no component reaches, or that has a density that is no
        number, is shared evenly.
    counts : ndarray of shape (K,)
        Its sums.
    rows : ndarray of shape (n,)
        Log-likelihoods; -inf for such a row.
    """
    joint = log_density + log_weights
    top = joint[:, 0].copy()
    for k in range(1, joint.shape[1]):  # a reduction over so short an axis is slow
        np.maximum(top, joint[:, k], out=top)
    lost = ~np.isfinite(top)
    if lost.any():
        top = np.where(lost, 0.0, top)
        joint[lost] = 0.0
    joint -= top[:, None]
    out = np.exp(joint, out=joint)
    total = out @ np.ones(out.shape[1])
    rows = np.log(total) + top
    rows[lost] = -np.inf
    out *= (1.0 / total if sample_weight is None else sample_weight / total)[:, None]
    return out, out.sum(axis=0), rows


def one_hot(codes, sizes):
    """CSR rows (n, V) with a 1 at each category."""
    n, d = codes.shape
    places = codes + np.r_[0, np.cumsum(sizes[:-1])].astype(np.int32)
    seen = (codes >= 0) & (codes < sizes)
    if seen.all():
        indices, ends = places.ravel(), np.arange(0, n * d + 1, d, dtype=np.int32)
    else:
        indices = places[seen]
        ends = np.r_[0, np.cumsum(seen.sum(axis=1))].astype(np.int32)
    out = sparse.csr_matrix(
        (np.ones(len(indices)), indices, ends), shape=(n, int(np.sum(sizes))), copy=False
    )
    out.has_canonical_format = True
    return out


def densities(codes, sizes, log_probabilities):
    """Log-densities (n, K)."""
    return one_hot(codes, sizes) @ log_probabilities.T


def totals(codes, sizes, weights):
    """Sums (K, V) of weights (n, K) over the rows of each category."""
    return np.ascontiguousarray((one_hot(codes, sizes).T @ weights).T)


def categorical(codes, sizes, log_probabilities, log_weights, sample_weight=None):
    """Counts (K,), totals (K, V) and log-likelihood of a block."""
    table = densities(codes, sizes, log_probabilities)
    weights, counts, rows = posterior(table, log_weights, sample_weight)
    if sample_weight is not None:
        rows = np.where(sample_weight > 0, rows, 0.0) * sample_weight
    return counts, totals(codes, sizes, weights), float(rows.sum())
