"""The low-rank model: a few factors and noise of each feature's own."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ...em.fixed import Constraints
from ...em.statistics import Moments
from ._simple import Full

__all__ = ["Factor"]

_WARM, _COLD = 2, 100
_REST = 1e-10
# keeps Newton's step short where the likelihood cannot tell two noises apart; where noise falls to
# nothing, the curvature of its logarithm is the slope
_RIDGE, _LEAST_RIDGE = 0.01, 1e-9
# the least share of a variance that is noise: below, the scale of the data is lost to rounding
_LEAST = 1e-8


class Factor(Full):
    """Factor analysis of each component: ``loadings @ loadings.T + diag(noise_variances)``.

    Loadings are the best for given noise, from an eigendecomposition (Lawley).
    Noise takes Jöreskog's approximate Newton step in its logarithm, and that of EM
    where the first gains nothing: neither lowers the likelihood.

    Parameters
    ----------
    n_factors : int, default=1
    least : float, default=1e-8
        The least share of a variance that is noise.
    steep : bool, default=False
        Let noise that falls to nothing fall at once. Components of a mixture, which are still to
        find their rows, are better off creeping.

    References
    ----------
    Jöreskog, K. G. (1967). Some contributions to maximum likelihood factor
    analysis. Psychometrika 32(4), 443-482.

    Zhao, J.-H., Yu, P. L. H. and Jiang, Q. (2008). ML estimation for factor
    analysis: EM or non-EM? Statistics and Computing 18(2), 109-123.
    """

    name = "factor"
    exact = False
    low_rank = True

    def __init__(self, n_factors: int = 1, least: float = _LEAST, steep: bool = False) -> None:
        self.n_factors = n_factors
        self.least = least
        self.steep = steep

    def configure(self, n_factors: int) -> Self:
        if n_factors == self.n_factors:
            return self
        return type(self)(n_factors, self.least, self.steep)

    def rank(self, n_features: int) -> int:
        """Columns of the loadings."""
        return min(self.n_factors, n_features)

    def noise_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Shape of the noise variances."""
        return n_components, n_features

    def n_free(self, n_components: int, n_features: int) -> int:
        d, q = n_features, self.rank(n_features)
        each = d * q + d - q * (q - 1) // 2
        return n_components * min(each, d * (d + 1) // 2)

    def estimate(
        self, moments: Moments, floor: float, current: Any = None
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        covariances = super().m_step(moments, floor)
        d = covariances.shape[1]
        q = self.rank(d)
        variances = np.ascontiguousarray(np.diagonal(covariances, axis1=1, axis2=2))
        noise = None if current is None else current.noise_variances
        sound = variances.min(axis=1) > 0
        if not sound.all():  # a feature without variance: nothing to decompose
            fitted, parts = (
                np.zeros_like(covariances),
                self._parts(np.zeros((len(sound), d, q)), variances),
            )
            if sound.any():
                some = None if noise is None else noise[sound]
                fitted[sound], *found = self._decompose(covariances[sound], some)
                for name, value in zip(parts, found, strict=True):
                    parts[name] = parts[name].copy()
                    parts[name][sound] = value
            return fitted, parts
        fitted, *found = self._decompose(covariances, noise)
        return fitted, self._parts(*found)

    def _decompose(
        self, covariances: np.ndarray, noise: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fitted covariances, loadings and noise, from empirical covariances and the current noise."""
        q = self.rank(covariances.shape[1])
        variances = np.ascontiguousarray(np.diagonal(covariances, axis1=1, axis2=2))
        least = self.least * variances
        steps = _COLD if noise is None else _WARM
        if noise is None:
            noise = self.first_noise(covariances)
        noise = np.maximum(noise, least)
        values, vectors = _spectrum(covariances, noise)
        for _ in range(steps):
            before = noise
            noise, values, vectors = self._step(
                covariances, variances, least, noise, values, vectors, q
            )
            if np.abs(noise - before).max() <= _REST * variances.max():
                break
        loadings = _loadings(noise, values, vectors, q)
        return self.compose(loadings, noise), loadings, noise

    @staticmethod
    def compose(loadings: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Covariances (K, d, d) of loadings (K, d, q) and noise."""
        covariances = loadings @ np.swapaxes(loadings, 1, 2)
        K, d, _ = covariances.shape
        covariances.reshape(K, -1)[:, :: d + 1] += noise.reshape(K, -1)
        return covariances

    def best_loadings(self, covariances: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Maximum-likelihood loadings (K, d, q) where the noise is known."""
        K, d, _ = covariances.shape
        each = np.broadcast_to(noise.reshape(K, -1), (K, d))
        return _loadings(each, *_spectrum(covariances, each), self.rank(d))

    def estimate_beside(
        self, moments: Moments, floor: float, current: Any, constraints: Constraints
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """:meth:`estimate` beside noise variances, and loadings, that components may have fixed."""
        fitted, parts = self.estimate(moments, floor, current)
        covariances = super().m_step(moments, floor)
        noise, given = constraints["noise_variances"].values, constraints.get("loadings")
        for k in np.flatnonzero(~np.isnan(noise.reshape(len(fitted), -1)).any(axis=1)):
            one = noise[k : k + 1]
            if given is not None and given.fixed[k].all():
                loadings = given.values[k : k + 1]
            else:
                loadings = self.best_loadings(covariances[k : k + 1], one)
            parts["loadings"][k], parts["noise_variances"][k] = loadings[0], noise[k]
            fitted[k] = self.compose(loadings, one)[0]
        return fitted, parts

    def m_step(
        self, moments: Moments, floor: float, current: np.ndarray | None = None
    ) -> np.ndarray:
        return self.estimate(moments, floor)[0]

    def first_noise(self, covariances: np.ndarray) -> np.ndarray:
        """Jöreskog's first noise variances; half of each variance where a covariance is singular."""
        variances = np.diagonal(covariances, axis1=1, axis2=2)
        d = variances.shape[1]
        try:
            partial = 1.0 / np.diagonal(np.linalg.inv(covariances), axis1=1, axis2=2)
        except np.linalg.LinAlgError:
            partial = np.zeros_like(variances)
        noise = (1.0 - 0.5 * self.rank(d) / d) * partial
        sound = (noise > self.least * variances) & (noise < variances)
        return np.where(sound, noise, 0.5 * variances)

    def _step(
        self,
        covariances: np.ndarray,
        variances: np.ndarray,
        least: np.ndarray,
        noise: np.ndarray,
        values: np.ndarray,
        vectors: np.ndarray,
        q: int,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Noise that fits better, with its spectrum."""
        d = noise.shape[1]
        old = _misfit(noise, values, q)
        # directions that no factor takes up
        left = np.where((np.arange(d) >= d - q) & (values > 1.0), 0.0, 1.0)[:, None, :]
        slope = (left * (1.0 - values[:, None, :]) * np.square(vectors)).sum(axis=2)
        curvature = np.square((vectors * left) @ np.swapaxes(vectors, 1, 2))
        # what stands at its bound and presses against it stays there
        held = (noise <= least) & (slope > 0)
        slope[held] = 0.0
        curvature[held[:, :, None] | held[:, None, :]] = 0.0
        index = np.arange(d)
        least_ridge = np.clip(slope, _LEAST_RIDGE, _RIDGE) if self.steep else _RIDGE
        ridge = np.where(slope > 0, least_ridge, _RIDGE)
        curvature[:, index, index] += np.where(held, 1.0, ridge)
        change = np.linalg.solve(curvature, -slope[:, :, None])[:, :, 0]
        trial = np.clip(noise * np.exp(np.clip(change, -2.0, 2.0)), least, variances)
        trial_values, trial_vectors = _spectrum(covariances, trial)
        worse = ~(_misfit(trial, trial_values, q) < old)
        if worse.any():
            loadings = _loadings(noise, values, vectors, q)
            em = np.maximum(variances - np.square(loadings).sum(axis=2), least)
            trial[worse] = em[worse]
            trial_values, trial_vectors = _spectrum(covariances, trial)
        return trial, trial_values, trial_vectors

    @staticmethod
    def _parts(loadings: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
        return {"loadings": loadings, "noise_variances": noise}

    def prior_constant(
        self, dof: float, scale: np.ndarray, n_components: int, n_features: int
    ) -> float:
        return 0.0


def _spectrum(covariances: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, the smallest first, and eigenvectors of covariances in units of the noise."""
    deviation = np.sqrt(noise)
    return np.linalg.eigh(covariances / (deviation[:, :, None] * deviation[:, None, :]))


def _misfit(noise: np.ndarray, values: np.ndarray, q: int) -> np.ndarray:
    """Minus twice the log-likelihood (K,) of a row, but for a constant, with the best loadings."""
    last = values.shape[1] - q
    top = np.maximum(values[:, last:], 1.0)
    return (
        np.log(noise).sum(axis=1)
        + (np.log(top) + values[:, last:] / top).sum(axis=1)
        + values[:, :last].sum(axis=1)
    )


def _loadings(noise: np.ndarray, values: np.ndarray, vectors: np.ndarray, q: int) -> np.ndarray:
    """Maximum-likelihood loadings (K, d, q): the largest first, each with its largest entry positive."""
    values, vectors = values[:, : -q - 1 : -1], vectors[:, :, : -q - 1 : -1]
    top = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None, :], axis=1)
    vectors = vectors * np.where(top < 0, -1.0, 1.0)
    lengths = np.sqrt(np.maximum(values - 1.0, 0.0))
    return np.sqrt(noise)[:, :, None] * vectors * lengths[:, None, :]
