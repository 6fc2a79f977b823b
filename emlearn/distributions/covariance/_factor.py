"""The low-rank model: a few factors and noise of each feature's own."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...em.statistics import Moments
from ._simple import Full

__all__ = ["Factor"]

_WARM, _COLD = 3, 200
_REST = 1e-10
# the least share of a variance that is noise: below, the scale of the data is lost to rounding
_LEAST = 1e-9


class Factor(Full):
    """Factor analysis of each component: ``loadings @ loadings.T + diag(noise_variances)``.

    Loadings are the best for given noise, from an eigendecomposition (Lawley);
    noise then takes the step of EM. Neither lowers the likelihood.

    Parameters
    ----------
    n_factors : int, default=1

    References
    ----------
    Jöreskog, K. G. (1967). Some contributions to maximum likelihood factor
    analysis. Psychometrika 32(4), 443-482.

    Zhao, J.-H., Yu, P. L. H. and Jiang, Q. (2008). ML estimation for factor
    analysis: EM or non-EM? Statistics and Computing 18(2), 109-123.
    """

    name = "factor"
    exact = False

    def __init__(self, n_factors: int = 1) -> None:
        self.n_factors = n_factors

    def configure(self, n_factors: int) -> Factor:
        return self if n_factors == self.n_factors else Factor(n_factors)

    def n_free(self, n_components: int, n_features: int) -> int:
        d, q = n_features, min(self.n_factors, n_features)
        each = d * q + d - q * (q - 1) // 2
        return n_components * min(each, d * (d + 1) // 2)

    def estimate(
        self, moments: Moments, floor: float, current: Any = None
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        covariances = super().m_step(moments, floor)
        d = covariances.shape[1]
        q = min(self.n_factors, d)
        variances = np.ascontiguousarray(np.diagonal(covariances, axis1=1, axis2=2))
        least = _LEAST * variances
        noise = None if current is None else current.noise_variances
        steps = _COLD if noise is None else _WARM
        if noise is None:
            noise = self._first_noise(covariances, variances, q)
        noise = np.maximum(noise, least)
        if not noise.min() > 0:  # a feature without variance: nothing to decompose
            return np.zeros_like(covariances), self._parts(np.zeros((*noise.shape, q)), noise)
        for _ in range(steps):
            loadings = _loadings(covariances, noise, q)
            before, noise = noise, np.maximum(variances - np.square(loadings).sum(axis=2), least)
            noise = np.where(variances > 0, noise, before)  # an empty component has nothing to say
            if np.abs(noise - before).max() <= _REST * variances.max():
                break
        fitted = loadings @ np.swapaxes(loadings, 1, 2)
        fitted.reshape(len(fitted), -1)[:, :: d + 1] += noise
        return fitted, self._parts(loadings, noise)

    def m_step(
        self, moments: Moments, floor: float, current: np.ndarray | None = None
    ) -> np.ndarray:
        return self.estimate(moments, floor)[0]

    @staticmethod
    def _first_noise(covariances: np.ndarray, variances: np.ndarray, q: int) -> np.ndarray:
        """Jöreskog's first noise variances; half of each variance where a covariance is singular."""
        d = variances.shape[1]
        try:
            partial = 1.0 / np.diagonal(np.linalg.inv(covariances), axis1=1, axis2=2)
        except np.linalg.LinAlgError:
            partial = np.zeros_like(variances)
        noise = (1.0 - 0.5 * q / d) * partial
        return np.where((noise > 0) & (noise < variances), noise, 0.5 * variances)

    @staticmethod
    def _parts(loadings: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
        return {"loadings": loadings, "noise_variances": noise}

    def prior_constant(self, dof, scale, n_components, n_features):
        return 0.0


def _loadings(covariances: np.ndarray, noise: np.ndarray, q: int) -> np.ndarray:
    """Maximum-likelihood loadings (K, d, q) for given noise (K, d)."""
    deviation = np.sqrt(noise)
    scaled = covariances / (deviation[:, :, None] * deviation[:, None, :])
    values, vectors = np.linalg.eigh(scaled)
    # the largest first, each vector with its largest entry positive
    values, vectors = values[:, : -q - 1 : -1], vectors[:, :, : -q - 1 : -1]
    top = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None, :], axis=1)
    vectors = vectors * np.where(top < 0, -1.0, 1.0)
    lengths = np.sqrt(np.maximum(values - 1.0, 0.0))
    return deviation[:, :, None] * vectors * lengths[:, None, :]
