"""Low-rank Gaussians: the model of factor analysis and of probabilistic principal components."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..distributions import Gaussian, GaussianParameters
from ..distributions.covariance import Factor
from ..em.sources import Source
from ..em.statistics import Moments
from ..exceptions import SingularError

__all__ = ["FLAT", "FactorModel"]

_EPS = float(np.finfo(np.float64).eps)
#: the noise of a feature that has no variance, or of the mean variance, whichever is less
FLAT = 1e-12


class CompleteRows:
    """Rows without a missing cell, as the E-step needs them: a mean and a triangle, whatever the parameters.

    Its rows have the scatter of the rows about their mean, and so their likelihood.
    """

    def __init__(self, X: np.ndarray) -> None:
        self.X = X
        self._known: tuple[Any, float, np.ndarray, np.ndarray] | None = None

    def summary(self, sample_weight: np.ndarray | None) -> tuple[float, np.ndarray, np.ndarray]:
        """Weight, mean (d,) and triangle (at most d, d)."""
        known = self._known
        if known is None or known[0] is not sample_weight:
            known = self._known = (sample_weight, *_summary(self.X, sample_weight))
        return known[1:]

    def moments(self, sample_weight: np.ndarray | None) -> Moments:
        """Moments of one component."""
        weight, mean, triangle = self.summary(sample_weight)
        return Moments(np.array([weight]), mean[None], (triangle.T @ triangle)[None], "full")

    def log_likelihood(
        self, parameters: GaussianParameters, sample_weight: np.ndarray | None
    ) -> float:
        """That of all rows."""
        weight, mean, triangle = self.summary(sample_weight)
        factor = parameters.precisions_cholesky[0]
        distance = np.square(triangle @ factor).sum()
        distance += weight * np.square((mean - parameters.means[0]) @ factor).sum()
        constant = np.log(np.diagonal(factor)).sum() - 0.5 * len(mean) * math.log(2 * math.pi)
        return float(weight * constant - 0.5 * distance)


def _summary(
    X: np.ndarray, sample_weight: np.ndarray | None
) -> tuple[float, np.ndarray, np.ndarray]:
    if sample_weight is None:
        X = X.astype(np.float64)
        weight = float(len(X))
    else:  # a row that counts for nothing may hold anything
        used = sample_weight > 0
        X, sample_weight = X[used].astype(np.float64), sample_weight[used]
        weight = float(sample_weight.sum())
    d = X.shape[1]
    if not len(X):
        return 0.0, np.zeros(d), np.zeros((0, d))
    mean = np.zeros(d)
    for _ in range(2):  # what rounding left in the mean is taken out again
        shift = np.average(X, axis=0, weights=sample_weight)
        X -= shift
        mean += shift
    if sample_weight is not None:
        X *= np.sqrt(sample_weight)[:, None]
    return weight, mean, np.linalg.qr(X, mode="r")


def _is_flat(variances: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """A variance below the rounding of the mean is 0."""
    return variances <= np.square(8 * _EPS * mean)


class FactorModel:
    """One Gaussian, whose covariance has low rank but for its noise.

    Parameters are those of a Gaussian of one component, with loadings and noise variances.

    Parameters
    ----------
    covariance : Factor
        The covariance model.
    distribution : Gaussian or None
        Bound to the rows of a fit.
    plain : bool, default=False
        Take the factors for missing data, as plain EM does, instead of maximising the likelihood itself.
    noise : ndarray or None
        Noise variances to begin with.
    loadings : ndarray of shape (d, q) or None
        The same of loadings.
    """

    uses_blas = True
    unit_free = True

    def __init__(
        self,
        covariance: Factor,
        distribution: Gaussian | None = None,
        plain: bool = False,
        noise: np.ndarray | None = None,
        loadings: np.ndarray | None = None,
    ) -> None:
        self.covariance, self.plain = covariance, plain
        self.noise, self.loadings = noise, loadings
        # density, moments and missing cells are those of any Gaussian
        self.distribution = Gaussian() if distribution is None else distribution

    # --------------------------------------------------------------- E-step

    def prepare(self, X: np.ndarray) -> Any:
        """What the E-step is given of a block."""
        if np.isnan(X.sum(dtype=np.float64)):
            return self.distribution.features(X)
        return CompleteRows(X)

    def e_step(
        self, parameters: GaussianParameters, rows: Any, sample_weight: np.ndarray | None
    ) -> tuple[Moments, float]:
        """Moments of the rows, and of their factors in plain EM; and the log-likelihood."""
        if isinstance(rows, CompleteRows):
            moments = rows.moments(sample_weight)
            value = rows.log_likelihood(parameters, sample_weight)
        else:
            table, memo = self.distribution.log_density(parameters, rows)
            weights = np.ones_like(table) if sample_weight is None else sample_weight[:, None]
            moments = self.distribution.statistics(parameters, rows, weights, memo)
            value = float(np.where(weights > 0, table, 0.0)[:, 0] @ weights[:, 0])
        return (self._with_factors(moments, parameters) if self.plain else moments), value

    def _with_factors(self, moments: Moments, parameters: GaussianParameters) -> Moments:
        """Moments of features and factors, these expected given the features."""
        mean, scatter, weight = moments.mean[0], moments.scatter[0], moments.weight
        loadings = parameters.loadings[0]
        factor = parameters.precisions_cholesky[0]
        slope = (factor @ (factor.T @ loadings)).T  # factors = slope (x - mean), plus what is left
        d, q = loadings.shape
        joint = np.empty((d + q, d + q))
        joint[:d, :d] = scatter
        joint[d:, :d] = slope @ scatter
        joint[:d, d:] = joint[d:, :d].T
        left = np.eye(q) - slope @ loadings
        joint[d:, d:] = joint[d:, :d] @ slope.T + weight[0] * 0.5 * (left + left.T)
        centre = np.append(mean, slope @ (mean - parameters.means[0]))
        return Moments(weight, centre[None], joint[None], "full")

    # --------------------------------------------------------------- M-step

    def m_step(self, statistics: Moments, parameters: GaussianParameters) -> GaussianParameters:
        """Mean, loadings and noise.

        Raises
        ------
        SingularError
            If no feature varies.
        """
        if self.plain:
            return self._regress(statistics, parameters)
        moments = self._sound(statistics, parameters)
        _, parts = self.covariance.estimate(moments, 0.0, parameters)
        return self.assemble(moments.mean, parts["loadings"], parts["noise_variances"])

    def _regress(self, joint: Moments, parameters: GaussianParameters) -> GaussianParameters:
        """The features regressed on their factors."""
        scatter, mean, weight = joint.scatter[0], joint.mean[0], joint.weight[0]
        d = parameters.means.shape[1]
        across = scatter[:d, d:]
        loadings = np.linalg.solve(scatter[d:, d:], across.T).T
        variances = np.diagonal(scatter)[:d] / weight
        noise = variances - (loadings * across).sum(axis=1) / weight
        noise = np.maximum(noise, self.covariance.least * variances)
        flat = self._flat(variances, mean[:d], parameters)
        noise = np.where(flat, parameters.noise_variances[0], noise)
        return self.assemble((mean[:d] - loadings @ mean[d:])[None], loadings[None], noise[None])

    def _flat(
        self, variances: np.ndarray, mean: np.ndarray, parameters: GaussianParameters | None
    ) -> np.ndarray:
        """Which features do not vary (d,)."""
        flat, columns = _is_flat(variances, mean), self.distribution.observed
        if columns is None or parameters is None or self.covariance.exact:
            return flat
        # a missing cell has the noise that was put there, of which each M-step would leave a share
        noise, loadings = parameters.noise_variances[0], parameters.loadings[0]
        alone = np.square(loadings).sum(axis=1) <= 1e-6 * noise
        constant = _is_flat(columns.variance, columns.mean)
        return flat | (constant & alone & (variances <= noise))

    def _sound(self, moments: Moments, parameters: GaussianParameters | None) -> Moments:
        """A feature that does not vary has a little noise, for a density to exist."""
        weight, mean = moments.weight, moments.mean
        variances = np.diagonal(moments.scatter[0]) / weight[0]
        flat = self._flat(variances, mean[0], parameters)
        if flat.all():
            raise SingularError(
                "No feature varies: all rows that count are the same, and there is nothing to decompose."
            )
        if not flat.any() or self.covariance.exact:
            return moments
        noise = np.full(len(flat), FLAT * min(1.0, variances[~flat].mean()))
        if parameters is not None:
            noise = parameters.noise_variances[0]
        scatter = np.where(flat[:, None] | flat, 0.0, moments.scatter[0])
        scatter[flat, flat] = weight[0] * noise[flat]
        return Moments(weight, mean, scatter[None], "full")

    def assemble(
        self, means: np.ndarray, loadings: np.ndarray, noise: np.ndarray
    ) -> GaussianParameters:
        """Parameters with their covariance and its factor."""
        loadings, noise = np.ascontiguousarray(loadings), np.ascontiguousarray(noise)
        covariances = self.covariance.compose(loadings, noise)
        factors, singular = self.covariance.factor(covariances)
        if len(singular):
            raise SingularError(
                "The covariance is singular: beside the largest variance the noise is lost to rounding. Scale the"
                " features, or give more rows."
            )
        return GaussianParameters(means, covariances, factors, loadings, noise)

    # ---------------------------------------------------------------- start

    def initial_parameters(
        self,
        X: np.ndarray,
        sample_weight: np.ndarray | None,
        random_state: np.random.RandomState,
    ) -> GaussianParameters:
        """Mean and noise of the rows or as given, and the loadings that are best for them."""
        rows = self.prepare(X)
        if isinstance(rows, CompleteRows):
            moments = rows.moments(sample_weight)
        else:
            weights = np.ones((len(X), 1)) if sample_weight is None else sample_weight[:, None]
            moments = self.distribution.statistics(None, rows, weights)
        moments = self._sound(moments, None)
        covariances = moments.scatter / moments.weight[:, None, None]
        noise = self.covariance.first_noise(covariances) if self.noise is None else self.noise[None]
        loadings = (
            self.covariance.best_loadings(covariances, noise)
            if self.loadings is None
            else self.loadings[None]
        )
        return self.assemble(moments.mean, loadings, noise)

    # ---------------------------------------------------------------- others

    def scores(self, parameters: GaussianParameters, X: np.ndarray) -> np.ndarray:
        """Log-density of each row."""
        rows = self.distribution.features(X)
        return self.distribution.log_density(parameters, rows)[0][:, 0]

    def log_prior(self, parameters: GaussianParameters) -> float:
        """There is no prior."""
        return 0.0

    def ascent(
        self, old: GaussianParameters, new: GaussianParameters, statistics: Moments
    ) -> float:
        """What the log-likelihood must at least gain, but for rounding."""
        return self.distribution.ascent(old, new, statistics)

    def expected_statistics(self, parameters: GaussianParameters, source: Source) -> Moments:
        """What the statistics of the rows would be in the mean if they came from these parameters."""
        weights = np.array([source.weight])
        moments = self.distribution.expected_statistics(parameters, weights)
        return self._with_factors(moments, parameters) if self.plain else moments

    def n_free(self, parameters: GaussianParameters) -> int:
        """Number of free parameters."""
        d = parameters.means.shape[1]
        return d + self.covariance.n_free(1, d)
