"""The conjugate prior of a Gaussian."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from .._kernels import gaussian as kernel
from ..em.statistics import Moments
from ._base import Fold, Prior
from ._missing import filled_moments
from .covariance import Covariance

__all__ = ["NormalInverseWishart"]


class NormalInverseWishart(Prior):
    """Normal prior of the means, inverse Wishart prior of the covariances.

    Given its covariance a mean is normal about ``mean``, with the covariance
    divided by ``mean_count``; a covariance is inverse Wishart with
    ``degrees_of_freedom`` and ``scale``. Variances of diagonal models are inverse
    gamma with half of each. Fits are posterior modes. The defaults are those of
    Fraley and Raftery: vague, but enough to keep a component from collapsing.

    Parameters
    ----------
    mean : array-like of shape (n_features,), default=None
        None is the mean of the data.
    mean_count : float, default=0.01
        Rows that the prior mean is worth; 0 leaves the means free.
    degrees_of_freedom : float, default=None
        Above n_features - 1; None is n_features + 2.
    scale : float or array-like of shape (n_features,) or (n_features, n_features), default=None
        None is the covariance of the data, divided by ``n_components ** (2 / n_features)``;
        for models with diagonal covariances the mean of its variances.
    mclust : bool, default=False
        Follow mclust 6 where it is no posterior mode: its EII leaves the scale out, and its EEI
        does not shrink the means, for which no density has its maximum.

    Notes
    -----
    What is one for all components (models EII, EEI and EEE) has one prior. Where no
    conjugate prior exists, the inverse Wishart kernel is evaluated at each
    covariance: its powers of the determinant are mclust's for VEI, EVI, EEV and
    VEV, and the full ones for VEE, EVE, VVE, EVV and the factor model, to which
    mclust gives no prior.

    References
    ----------
    Fraley, C. and Raftery, A. E. (2007). Bayesian regularization for normal
    mixture estimation and model-based clustering. Journal of Classification
    24(2), 155-181.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.distributions import Gaussian, NormalInverseWishart
    >>> X, gaussian = np.array([[0.0], [2.0], [10.0]]), Gaussian()
    >>> prior = NormalInverseWishart().bind(X, None, 2, gaussian)
    >>> prior.scale.round(3)
    array([[7.]])
    >>> moments = gaussian.statistics(None, X, np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    >>> gaussian.m_step(moments, None, prior).covariances.round(3).ravel()
    array([1.136, 1.051])
    """

    def __init__(
        self,
        mean: Any = None,
        mean_count: float = 0.01,
        degrees_of_freedom: float | None = None,
        scale: Any = None,
        mclust: bool = False,
    ) -> None:
        self.mean = mean
        self.mean_count = mean_count
        self.degrees_of_freedom = degrees_of_freedom
        self.scale = scale
        self.mclust = mclust

    def bind(
        self,
        X: Any,
        sample_weight: np.ndarray | None,
        n_components: int,
        distribution: Any,
        fold: Fold | None = None,
    ) -> Self:
        """The prior in numbers, where its hyper-parameters are said relative to the data.

        Parameters
        ----------
        X : ndarray of shape (n, d)
        sample_weight : ndarray of shape (n,) or None
            Repetitions of the rows.
        n_components : int
        distribution : Gaussian
        fold : callable or None
            Over blocks of all rows, where X is a sample.

        Returns
        -------
        NormalInverseWishart

        Raises
        ------
        ValueError
            If the hyper-parameters do not fit the data, or are those of no density.
        """
        d = X.shape[1]
        form = distribution.covariance.prior_form
        dof = d + 2.0 if self.degrees_of_freedom is None else float(self.degrees_of_freedom)
        if not dof > d - 1:
            raise ValueError(
                f"degrees_of_freedom must be above n_features - 1 = {d - 1}, got {dof}"
            )
        if not 0 <= self.mean_count < math.inf:
            raise ValueError(f"mean_count must be a number >= 0, got {self.mean_count}")
        needed = self.mean is None or self.scale is None
        centre, covariance = _summary(X, sample_weight, fold) if needed else (None, None)
        if self.mean is not None:
            centre = np.array(self.mean, dtype=np.float64)
        if centre.shape != (d,) or not np.isfinite(centre).all():
            raise ValueError(f"mean must be {d} finite numbers, got shape {centre.shape}")
        if self.scale is None:
            scale = covariance / n_components ** (2.0 / d)
            if form != "matrix":
                scale = np.full(d, np.trace(scale) / d)
        else:
            scale = np.array(self.scale, dtype=np.float64)
        if self.mclust and d > 1 and distribution.covariance.name == "EII":
            scale = scale * 1e-12
        scale = _in_form(scale, form, d)
        return type(self)(centre, float(self.mean_count), dof, scale, self.mclust)


def posterior_moments(
    moments: Moments, prior: NormalInverseWishart, covariance: Covariance, floor: float
) -> Moments:
    """Moments whose maximum-likelihood covariances are the posterior mode; means are the mode's.

    ``floor`` is added to the variances of the data, not to those of the prior.
    """
    K, d = moments.mean.shape
    weight, c = moments.weight, prior.mean_count
    free = prior.mclust and covariance.name == "EEI"
    count, share = covariance.prior_counts(prior.degrees_of_freedom, c > 0 and not free, K, d)
    seen = weight > 0
    delta = np.where(seen[:, None], moments.mean - prior.mean, 0.0)
    fraction = np.divide(weight, weight + c, out=np.zeros(K), where=seen)
    between = c * fraction
    if moments.form == "diag":
        scatter = moments.scatter + floor * weight[:, None]
        scatter += between[:, None] * delta * delta + share * prior.scale
    elif moments.form == "pooled":
        scatter = moments.scatter + floor * weight.sum() * np.eye(d)
        scatter += (between[:, None] * delta).T @ delta + K * share * prior.scale
    else:
        scatter = moments.scatter + (floor * weight)[:, None, None] * np.eye(d)
        scatter += (between[:, None] * delta)[:, :, None] * delta[:, None, :]
        scatter += share * prior.scale
    mean = moments.mean if free else prior.mean + fraction[:, None] * delta
    return Moments(weight + count, mean, scatter, moments.form)


def log_density(
    prior: NormalInverseWishart, covariance: Covariance, means: np.ndarray, factors: np.ndarray
) -> float:
    """Log-density of means and covariances, these given by their precision factors."""
    K, d = means.shape
    c, dof = prior.mean_count, prior.degrees_of_freedom
    count, share = covariance.prior_counts(dof, c > 0, K, d)
    value = count * float(covariance.log_det(factors, K, d).sum())
    weighted = covariance.weighted_trace(factors, prior.scale, K, d)
    value += covariance.prior_constant(dof, prior.scale, K, d) - 0.5 * share * weighted.sum()
    if c > 0:
        distance = covariance.distances(means - prior.mean, factors)
        value += 0.5 * K * d * math.log(c / (2 * math.pi)) - 0.5 * c * float(distance.sum())
    return float(value)


def _pooled(X: np.ndarray, sample_weight: np.ndarray | None) -> tuple[Moments, int]:
    weight = np.ones((len(X), 1)) if sample_weight is None else sample_weight[:, None]
    return Moments.from_data(X, weight, "pooled"), int(np.count_nonzero(weight))


def _summary(
    X: np.ndarray, sample_weight: np.ndarray | None, fold: Fold | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance, with divisor n - 1, of the data."""
    fold = fold or (lambda function, merge: function(X, sample_weight))
    whole, n_counting = fold(_pooled, lambda a, b: (a[0] + b[0], a[1] + b[1]))
    scatter = whole.scatter
    if np.isnan(whole.mean).any():
        whole, n_counting = filled_moments(fold)
        scatter = whole.scatter[0]
    total = float(whole.weight[0])
    covariance = scatter / (total - 1.0 if total > 1.0 else total)
    if n_counting <= X.shape[1]:  # as many rows as columns: singular
        covariance = np.diag(np.diag(covariance))
    return whole.mean[0], covariance


def _in_form(scale: np.ndarray, form: str, d: int) -> np.ndarray:
    """The scale as a matrix, a variance for each feature, or one."""
    if scale.shape not in ((), (d,), (d, d)) or not np.isfinite(scale).all():
        raise ValueError(
            f"scale must be a positive number, {d} of them or a matrix of shape {(d, d)}, got"
            f" shape {scale.shape}"
        )
    if form == "matrix":
        matrix = scale if scale.ndim == 2 else np.diag(np.broadcast_to(scale, (d,)))
        symmetric = np.allclose(matrix, matrix.T)
        scale = np.ascontiguousarray(0.5 * (matrix + matrix.T))
        sound = symmetric and kernel.precision_cholesky(scale[None])[1] < 0
    else:
        variances = np.diag(scale) if scale.ndim == 2 else np.broadcast_to(scale, (d,))
        sound = variances.min() > 0
        scale = variances.copy() if form == "variances" else np.asarray(variances.mean())
    if not sound:
        raise ValueError(
            "the scale of the prior must be positive definite; where it is that of the data, look"
            " for constant or dependent columns"
        )
    return scale
