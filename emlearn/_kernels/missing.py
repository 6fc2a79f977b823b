"""Gaussian E-step of rows with missing cells: the NumPy twin of ``_missing.pyx``.

Cells that are NaN are missing. Densities are those of ``gaussian.py``, but that log weights (K,) and log-determinants
of the factors (K,) come apart; what is observed of a row has the marginal density. Its missing cells are expected
where the precision puts them,

    x_m = mean_m - P_mm^-1 P_mo (x_o - mean_o),   Sigma_{m|o} = P_mm^-1,   |Sigma_oo| = |Sigma| |P_mm|,

or, where few cells are observed, where a factor of Sigma_oo does. There the distance of the row is the least that
it can be, which is that of what is observed.

Rows of equal patterns share what depends on the pattern alone, and patterns that miss as many cells go together.
"""

import math

import numpy as np

from ..em.statistics import Moments
from .gaussian import DIAG, FULL, TIED, _posterior

_CHUNK = 4096
_NAMES = {FULL: "full", TIED: "pooled", DIAG: "diag"}


def matrices(density, factors, K, d):
    """Precisions and covariances (K, d, d), or (1, d, d) for TIED, of the factors; None for diagonal densities."""
    if density not in (FULL, TIED):
        return None
    factors = np.asarray(factors).reshape(-1, d, d)
    inverse = np.linalg.inv(factors)
    return (
        np.ascontiguousarray(factors @ np.swapaxes(factors, 1, 2)),
        np.ascontiguousarray(np.swapaxes(inverse, 1, 2) @ inverse),
    )


class _Patterns:
    """Rows that miss the same number of cells: ``missing`` (p, m) and ``seen`` (p, o) of each pattern."""

    def __init__(self, rows, mask):
        self.rows, self.mask = rows, mask
        _, first, inverse = np.unique(
            np.packbits(mask, axis=1), axis=0, return_index=True, return_inverse=True
        )
        self.pattern = inverse.reshape(-1)
        each = np.argsort(~mask[first], axis=1, kind="stable")
        m = int(mask[0].sum())
        self.missing, self.seen = each[:, :m], each[:, m:]


def _patterns(X):
    mask = np.isnan(X)
    counts = mask.sum(axis=1)
    for m in np.unique(counts):
        rows = np.flatnonzero(counts == m)
        yield _Patterns(rows, mask[rows])


class _Model:
    """The densities of a block, and what they say of the missing cells."""

    def __init__(self, density, log_det, means, factors):
        self.K, self.d = means.shape
        self.density, self.log_det, self.means = density, log_det, means
        self.dense = density in (FULL, TIED)
        if self.dense:
            self.factors = np.broadcast_to(
                factors.reshape(-1, self.d, self.d), (self.K, self.d, self.d)
            )
            self.precisions, self.covariances = (
                np.broadcast_to(m, (self.K, self.d, self.d))
                for m in matrices(density, factors, self.K, self.d)
            )
        else:
            self.factors = np.broadcast_to(factors.reshape(self.K, -1), (self.K, self.d))

    def complete(self, x, patterns, k):
        """Deviations with those expected of missing cells, squared distance, log-determinant; covariances (p, m, m)."""
        y = np.where(patterns.mask, 0.0, x - self.means[k])
        if not self.dense:
            scale = self.factors[k]
            log_det = np.where(patterns.mask, 0.0, np.log(scale)).sum(axis=1)
            return y, np.square(y * scale).sum(axis=1), log_det, None
        missing, seen, pattern = patterns.missing, patterns.seen, patterns.pattern
        m, o = missing.shape[1], seen.shape[1]
        if m == 0:
            distance = np.square(y @ self.factors[k]).sum(axis=1)
            return y, distance, np.full(len(y), self.log_det[k]), np.empty((len(missing), 0, 0))
        if 2 * m <= 3 * o:
            block = self.precisions[k][missing[:, :, None], missing[:, None, :]]
            pull = np.take_along_axis(y @ self.precisions[k], missing[pattern], axis=1)
            given = np.linalg.inv(block)
            step = -np.einsum("nab,nb->na", given[pattern], pull)
            np.put_along_axis(y, missing[pattern], step, axis=1)
            distance = np.square(y @ self.factors[k]).sum(axis=1)
            log_det = self.log_det[k] - 0.5 * np.linalg.slogdet(block)[1]
            return y, distance, log_det[pattern], given
        sigma = self.covariances[k]
        block = sigma[seen[:, :, None], seen[:, None, :]]
        lower = np.linalg.cholesky(block) if o else block
        inverse = np.linalg.inv(lower)
        u = np.einsum("nab,nb->na", inverse[pattern], np.take_along_axis(y, seen[pattern], axis=1))
        half = inverse @ sigma[seen[:, :, None], missing[:, None, :]]
        np.put_along_axis(y, missing[pattern], np.einsum("nab,na->nb", half[pattern], u), axis=1)
        given = sigma[missing[:, :, None], missing[:, None, :]] - np.swapaxes(half, 1, 2) @ half
        log_det = -np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
        return y, np.square(u).sum(axis=1), log_det[pattern], given

    def scatter(self, patterns, given, shares, k, form):
        """What the covariances given what is observed add up to under shares (n,): (d, d), or (d,)."""
        d = self.d
        if not self.dense:
            return (shares @ patterns.mask) / self.factors[k] ** 2
        totals = np.bincount(patterns.pattern, shares, len(patterns.missing))
        where = patterns.missing[:, :, None] * d + patterns.missing[:, None, :]
        values = totals[:, None, None] * given
        return np.bincount(where.ravel(), values.ravel(), d * d).reshape(d, d)


def _chunks(X):
    for start in range(0, len(X), _CHUNK):
        rows = slice(start, min(start + _CHUNK, len(X)))
        yield rows, np.asarray(X[rows], dtype=np.float64)


def _tables(model, x, log_weights):
    """Joint log-densities, squared distances and log-determinants (n, K); what is expected of missing cells."""
    joint, distance, log_det = (np.empty((len(x), model.K)) for _ in range(3))
    found = []
    for patterns in _patterns(x):
        rows, each = patterns.rows, []
        constant = 0.5 * math.log(2 * math.pi) * patterns.seen.shape[1]
        for k in range(model.K):
            y, squares, half, given = model.complete(x[rows], patterns, k)
            distance[rows, k], log_det[rows, k] = squares, half
            each.append((y, given))
        joint[rows] = log_weights + (log_det[rows] - constant - 0.5 * distance[rows])
        found.append((patterns, each))
    return joint, distance, log_det, found


def _add(model, found, weights, shares, form):
    """Moments of the rows with their expected cells under weights, and under shares what is left of the variance."""
    parts = []
    for k in range(model.K):
        total = None
        for patterns, each in found:
            y, given = each[k]
            w = weights[patterns.rows, k, None]
            part = Moments.from_data(model.means[k] + y, w, _NAMES[form])
            extra = model.scatter(patterns, given, shares[patterns.rows, k], k, form)
            scatter = part.scatter + (extra[None] if form != TIED else extra)
            part = Moments(part.weight, part.mean, scatter, part.form)
            total = part if total is None else total + part
        parts.append(total)
    scatter = [part.scatter for part in parts]
    return Moments(
        np.concatenate([part.weight for part in parts]),
        np.concatenate([part.mean for part in parts]),
        np.sum(scatter, axis=0) if form == TIED else np.concatenate(scatter),
        _NAMES[form],
    )


def e_step(X, sample_weight, density, form, log_weights, log_det, means, factors):
    """Moments and log-likelihood of a block.

    Parameters
    ----------
    X : ndarray of shape (n, d), float64 or float32, any strides
    sample_weight : ndarray of shape (n,) or None
    density : {FULL, TIED, DIAG, SPHERICAL}
    form : {FULL, TIED, DIAG}
        Of the scatter: (K, d, d), pooled (d, d), or (K, d).
    log_weights, log_det, means, factors : ndarray
        See the module.

    Returns
    -------
    count : ndarray of shape (K,)
    mean : ndarray of shape (K, d)
    scatter : ndarray
    log_likelihood : float
    """
    model, moments, value = _Model(density, log_det, means, factors), None, 0.0
    for rows, x in _chunks(X):
        joint, _, _, found = _tables(model, x, log_weights)
        posterior, log_density = _posterior(joint)
        if sample_weight is not None:
            w = sample_weight[rows]
            posterior *= w[:, None]
            log_density = np.where(w > 0, log_density, 0.0) * w
        value += float(log_density.sum())
        part = _add(model, found, posterior, posterior, form)
        moments = part if moments is None else moments + part
    return moments.weight, moments.mean, moments.scatter, value


def moments(X, weights, shares, density, form, means, factors):
    """Moments of a block: rows with what is expected of their missing cells under weights, and what is left of the
    variance of these under shares.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    weights, shares : ndarray of shape (n, K)
        The same, but where scale matrices count rows by others.
    density, form, means, factors
        See :func:`e_step`.

    Returns
    -------
    count, mean, scatter : ndarray
    """
    model, total = _Model(density, np.zeros(len(means)), means, factors), None
    for rows, x in _chunks(X):
        found = _tables(model, x, np.zeros(model.K))[3]
        part = _add(model, found, weights[rows], shares[rows], form)
        total = part if total is None else total + part
    return total.weight, total.mean, total.scatter


def scores(
    X,
    density,
    log_weights,
    log_det,
    means,
    factors,
    joint=None,
    distance=None,
    observed_log_det=None,
):
    """Fill those of the outputs (n, K) that are given.

    ``joint`` are log weights plus log-densities, ``distance`` squared distances, ``observed_log_det`` log-determinants
    of the factors, of what is observed.
    """
    model = _Model(density, log_det, means, factors)
    for rows, x in _chunks(X):
        tables = _tables(model, x, log_weights)
        for out, table in zip((joint, distance, observed_log_det), tables, strict=False):
            if out is not None:
                out[rows] = table


def fill(X, shares, density, means, factors):
    """A copy (n, d) whose missing cells have their expectation under shares (n, K) that sum to 1."""
    out = np.array(X, dtype=np.float64)
    model = _Model(density, np.zeros(len(means)), means, factors)
    for rows, x in _chunks(X):
        for patterns, each in _tables(model, x, np.zeros(model.K))[3]:
            share = shares[rows][patterns.rows]
            expected = sum(share[:, k, None] * (means[k] + y) for k, (y, _) in enumerate(each))
            at = rows.start + patterns.rows
            out[at] = np.where(patterns.mask, expected, out[at])
    return out
