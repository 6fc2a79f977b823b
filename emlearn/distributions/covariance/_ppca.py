"""The low-rank model with one noise variance: probabilistic principal components."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...em.statistics import Moments
from ._factor import Factor
from ._simple import Full

__all__ = ["ProbabilisticPrincipalComponents"]


class ProbabilisticPrincipalComponents(Factor):
    """Principal components of each component: ``loadings @ loadings.T + noise_variance * identity``.

    The M-step has a closed form: the noise variance is the mean of the eigenvalues that no factor takes
    up, and the loadings are eigenvectors. There are at most as many factors as features less one.

    Parameters
    ----------
    n_factors : int, default=1
    least : float, default=0.0
        The least share of the mean variance that is noise.

    References
    ----------
    Tipping, M. E. and Bishop, C. M. (1999). Probabilistic principal component analysis. Journal of
    the Royal Statistical Society B 61(3), 611-622.

    Tipping, M. E. and Bishop, C. M. (1999). Mixtures of probabilistic principal component analyzers.
    Neural Computation 11(2), 443-482.
    """

    name = "ppca"
    exact = True

    def __init__(self, n_factors: int = 1, least: float = 0.0, steep: bool = False) -> None:
        super().__init__(n_factors, least, steep)

    def rank(self, n_features: int) -> int:
        return min(self.n_factors, n_features - 1)

    def noise_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components,)

    def n_free(self, n_components: int, n_features: int) -> int:
        d, q = n_features, self.rank(n_features)
        return n_components * (d * q - q * (q - 1) // 2 + 1)

    def first_noise(self, covariances: np.ndarray) -> np.ndarray:
        """The mean variance."""
        return np.trace(covariances, axis1=1, axis2=2) / covariances.shape[1]

    def estimate(
        self, moments: Moments, floor: float, current: Any = None
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        covariances = Full.m_step(self, moments, floor)
        d = covariances.shape[1]
        values = np.linalg.eigvalsh(covariances)[:, : d - self.rank(d)]
        least = self.least * self.first_noise(covariances)
        noise = np.maximum(np.maximum(values, 0.0).mean(axis=1), least)
        sound = noise > 0
        loadings = np.zeros((len(noise), d, self.rank(d)))
        if sound.any():
            loadings[sound] = self.best_loadings(covariances[sound], noise[sound])
        return self.compose(loadings, noise), self._parts(loadings, noise)
