"""GaussianMixture."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils._param_validation import StrOptions

from .._data import read_array
from ..distributions import Gaussian, GaussianParameters
from ..distributions.covariance import COVARIANCES, Covariance
from ..distributions.gaussian import SINGULAR_MESSAGE
from ..em.starts import Start, total_scatter
from ..em.statistics import Joint
from ..exceptions import SingularError
from ._base import BaseMixture
from ._model import MixtureModel, MixtureParameters

__all__ = ["GaussianMixture"]


class GaussianMixture(BaseMixture):
    """Gaussian mixture: scikit-learn's, with weights, threads, acceleration and honest numbers.

    Parameters
    ----------
    n_components : int, default=1
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        A matrix for each component, one matrix for all, a variance for each
        component and feature, a variance for each component.
    tol : float, default=1e-3
        Stop when an iteration changed the mean log-likelihood of a row by less.
    reg_covar : float, default=1e-6
        Added to each variance, in squared units of the data.
    max_iter : int, default=100
    n_init : int, default=1
        Number of starts; the best fit is kept.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, array-like or callable, default="kmeans"
        How a start is drawn; or labels of shape (n_samples,), -1 for a row left
        out; or responsibilities of shape (n_samples, n_components); or a callable
        ``(X, n_components, random_state)`` that returns one of the two.
    weights_init : array-like of shape (n_components,), default=None
    means_init : array-like of shape (n_components, n_features), default=None
    precisions_init : array-like, default=None
        Inverse covariances, in the shape of ``covariances_``. What is given
        replaces what the start says; with all three there is no start to draw.
    random_state : int, RandomState instance or None, default=None
    warm_start : bool, default=False
        Continue from the last fit. Twenty fits of one iteration are one of twenty.
    verbose : int, default=0
    verbose_interval : int, default=10
    n_jobs : int, default=None
        Threads, for starts and blocks of rows together. None is what BLAS may
        use at the call, -1 all cores. Results do not depend on it, to the bit.
    accelerate : {"squarem"} or None, default=None
        Extrapolate between EM steps: fewer iterations where EM is slow.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
    means_ : ndarray of shape (n_components, n_features)
    covariances_, precisions_, precisions_cholesky_ : ndarray
        Of shape (n_components, n_features, n_features) for "full", (n_features,
        n_features) for "tied", (n_components, n_features) for "diag",
        (n_components,) for "spherical". ``precisions_ = precisions_cholesky_ @
        precisions_cholesky_.T``, the factor an upper triangle.
    converged_ : bool
    n_iter_ : int
        M-steps of the best fit; an accepted extrapolation counts as one.
    n_e_steps_ : int
        Its E-steps, the final one included.
    lower_bound_ : float
        Mean log-likelihood of a row: ``score(X)``.
    lower_bounds_ : ndarray of shape (``n_iter_``,)
        The same after each M-step.
    restart_lower_bounds_ : ndarray of shape (n_init,)
        ``lower_bound_`` of each start, nan for one that was singular; a single
        one where all starts would be the same.
    n_best_restarts_ : int
        How many starts ended as well as the best, within ``tol``: a low number
        of many asks for more starts.
    n_parameters_ : int
        Free parameters.
    stop_reason_ : str
        Begins with "converged", "max_iter", "callback" or "singular".
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (``n_features_in_``,)

    See Also
    --------
    emlearn.EMMixin : The engine, for a model of your own.

    References
    ----------
    Dempster, A. P., Laird, N. M. and Rubin, D. B. (1977). Maximum likelihood
    from incomplete data via the EM algorithm. Journal of the Royal Statistical
    Society B 39(1), 1-38.

    Examples
    --------
    >>> from emlearn.datasets import load_faithful
    >>> from emlearn.mixture import GaussianMixture
    >>> X = load_faithful().data
    >>> mixture = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> mixture.means_.round(1)
    array([[ 2. , 54.5],
           [ 4.3, 80. ]])
    >>> mixture.predict([[4.5, 78.0], [2.1, 50.0]])
    array([1, 0])
    """

    _parameter_constraints: dict = {
        **BaseMixture._parameter_constraints,
        "covariance_type": [StrOptions(set(COVARIANCES))],
        "prior": "no_validation",
        "n_factors": "no_validation",
        "reg_covar": BaseMixture._parameter_constraints["tol"],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: Any = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
        accelerate: str | None = None,
        prior: Any = None,
        n_factors: int = 1,
    ) -> None:
        self.prior = prior
        self.n_factors = n_factors
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs
        self.accelerate = accelerate

    @classmethod
    def from_parameters(
        cls,
        weights: Any,
        means: Any,
        covariances: Any,
        *,
        covariance_type: str = "full",
        **parameters: Any,
    ) -> Self:
        """A mixture with given parameters, ready for use without a fit.

        The parameters also become ``weights_init``, ``means_init`` and
        ``precisions_init``, so that a later ``fit`` starts from them.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
        means : array-like of shape (n_components, n_features)
        covariances : array-like
            In the shape of ``covariances_``.
        covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        **parameters : dict
            Further parameters of the constructor.

        Returns
        -------
        GaussianMixture

        Raises
        ------
        ValueError
            If shapes do not fit, weights do not sum to 1, or a covariance is singular.

        Examples
        --------
        >>> from emlearn.mixture import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], covariance_type="spherical"
        ... )
        >>> mixture.predict([[1.0], [3.0]])
        array([0, 1])
        """
        if covariance_type not in COVARIANCES:
            raise ValueError(
                f"covariance_type must be one of {sorted(COVARIANCES)}, got {covariance_type!r}"
            )
        covariance = COVARIANCES[covariance_type]
        means = read_array(means, "means")
        if means.ndim != 2:
            raise ValueError(
                f"means must be a 2D array of shape (n_components, n_features), got {means.shape}"
            )
        weights = _check_weights(weights, len(means), "weights")
        shape = covariance.shape(*means.shape)
        covariances = read_array(covariances, "covariances")
        _check_shape(covariances, shape, f"{covariance_type} covariance")
        if len(shape) > 1 and shape[-1] == shape[-2] and covariance_type in ("full", "tied"):
            if not np.allclose(covariances, np.swapaxes(covariances, -1, -2)):
                raise ValueError(
                    f"'{covariance_type} covariance' should be symmetric, positive-definite"
                )
        factors, singular = covariance.factor(covariances)
        if len(singular):
            raise ValueError(
                f"'{covariance_type} covariance' should be symmetric, positive-definite; singular:"
                f" {singular.tolist()}"
            )
        mixture = cls(
            len(means),
            covariance_type=covariance_type,
            weights_init=weights,
            means_init=means,
            precisions_init=covariance.precisions(factors),
            **parameters,
        )
        fitted = MixtureParameters(weights, GaussianParameters(means, covariances.copy(), factors))
        for name, value in mixture.publish(fitted).items():
            setattr(mixture, name, value.copy())
        mixture.n_features_in_ = means.shape[1]
        mixture.n_parameters_ = mixture._n_parameters()
        return mixture

    # ------------------------------------------------- what the family says

    @property
    def _covariance(self) -> Covariance:
        return COVARIANCES[self.covariance_type].configure(self.n_factors)

    def _distribution(self) -> Gaussian:
        return Gaussian(self.covariance_type, self.reg_covar, self.n_factors)

    def publish(self, parameters: MixtureParameters) -> dict[str, np.ndarray]:
        components = parameters.components
        return {
            "weights_": parameters.weights,
            "means_": components.means,
            "covariances_": components.covariances,
            "precisions_cholesky_": components.precisions_cholesky,
            "precisions_": self._covariance.precisions(components.precisions_cholesky),
            **{
                f"{n}_": getattr(components, n)
                for n in ("loadings", "noise_variances")
                if getattr(components, n) is not None
            },
        }

    def recall(self) -> MixtureParameters:
        factors = np.ascontiguousarray(self.precisions_cholesky_, dtype=np.float64)
        factors = self._covariance.read_factors(factors)
        means = np.ascontiguousarray(self.means_, dtype=np.float64)
        weights = np.ascontiguousarray(self.weights_, dtype=np.float64)
        _check_shape(factors, self._covariance.shape(*means.shape), "precisions_cholesky_")
        _check_shape(weights, (len(means),), "weights_")
        covariances = getattr(self, "covariances_", None)
        if covariances is None:
            covariances = self._covariance.invert(self._covariance.precisions(factors))[0]
        return MixtureParameters(
            weights,
            GaussianParameters(
                means,
                np.array(covariances, dtype=np.float64),
                factors,
                getattr(self, "loadings_", None),
                getattr(self, "noise_variances_", None),
            ),
        )

    def _n_model_features(self, parameters: MixtureParameters) -> int:
        return parameters.components.means.shape[1]

    # ---------------------------------------------------------------- start

    def _needs_start(self) -> bool:
        return self.weights_init is None or self.means_init is None or self.precisions_init is None

    def _check_fit_data(self, X: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray | None]:
        before = vars(self).get("_fitted_covariance_type", self.covariance_type)
        if self._continues() and before != self.covariance_type:
            raise ValueError(
                f"warm_start continues a fit with covariance_type={before!r}, which is now"
                f" {self.covariance_type!r}. Set it back, or fit with warm_start=False."
            )
        X, sample_weight = super()._check_fit_data(X, sample_weight)
        self._read_given(X.shape[1])
        return X, sample_weight

    def _read_given(self, n_features: int | None = None) -> tuple[np.ndarray | None, ...]:
        """weights_init, means_init and precisions_init, checked, as float64; the attributes stay as they are."""
        K = self.n_components
        weights, means, precisions = self.weights_init, self.means_init, self.precisions_init
        if weights is not None:
            weights = _check_weights(weights, K)
        if means is not None:
            means = read_array(means, "means_init")
            _check_shape(means, (K, n_features or means.shape[-1]), "means")
            n_features = means.shape[1]
        if precisions is not None:
            precisions = read_array(precisions, "precisions_init")
            shape = self._covariance.shape(K, n_features or precisions.shape[-1])
            _check_shape(precisions, shape, f"{self.covariance_type} precision")
            self._covariance.check_precisions(precisions)
        return weights, means, precisions

    def _given_parameters(self) -> MixtureParameters:
        weights, means, precisions = self._read_given()
        return MixtureParameters(
            weights, GaussianParameters(means, *self._covariance.invert(precisions))
        )

    def _start_parameters(
        self,
        model: MixtureModel,
        start: Start,
        statistics: Joint,
        X: np.ndarray,
        sample_weight: np.ndarray | None,
    ) -> MixtureParameters:
        weights, means, precisions = self._read_given(X.shape[1])
        if weights is None:
            weights = model.latent.m_step(statistics["labels"])
        if precisions is not None:
            if means is None:
                means = statistics["components"].mean.copy()
                empty = statistics["components"].weight == 0
                if empty.any():
                    means[empty] = np.average(X, axis=0, weights=sample_weight)
            return MixtureParameters(
                weights, GaussianParameters(means, *self._covariance.invert(precisions))
            )
        if self.covariance_type == "tied" and start.one_row:
            components = self._tied_seed_start(
                statistics["components"].mean, start, X, sample_weight
            )
        else:
            components = model.distribution.m_step(statistics["components"], None)
        if means is not None:
            components = GaussianParameters(
                means, components.covariances, components.precisions_cholesky
            )
        return MixtureParameters(weights, components)

    def _tied_seed_start(
        self, means: np.ndarray, start: Start, X: np.ndarray, sample_weight: np.ndarray | None
    ) -> GaussianParameters:
        for raw in (True, False):
            covariance = total_scatter(X, start.rows, sample_weight, raw=raw)
            covariance[np.diag_indices_from(covariance)] += self.reg_covar
            factor, singular = self._covariance.factor(covariance)
            if not len(singular):
                return GaussianParameters(means, covariance, factor)
        if self.reg_covar > 0:  # clusters farther apart than the digits go
            covariance = self._covariance.lift(covariance, singular)
            factor, singular = self._covariance.factor(covariance)
            if not len(singular):
                return GaussianParameters(means, covariance, factor)
        raise SingularError(SINGULAR_MESSAGE)

    # -------------------------------------------------------------- warnings

    def _fitted_attributes(self, result: Any, dtype: Any) -> dict[str, Any]:
        attributes = super()._fitted_attributes(result, dtype)
        return {**attributes, "_fitted_covariance_type": self.covariance_type}

    def _degeneracies(self, parameters: MixtureParameters) -> list[str]:
        lowest = self._covariance.lowest_variance(
            parameters.components.covariances, len(parameters.weights)
        )
        held = np.flatnonzero((lowest <= 2 * self.reg_covar) & (parameters.weights > 0))
        found = super()._degeneracies(parameters)
        if len(held) and self.reg_covar > 0:
            found.append(
                f"Components {held.tolist()} have collapsed: in some direction their rows vary by less"
                f" than reg_covar={self.reg_covar:g}, which so decides the variance there. Look for"
                " duplicated rows, constant or dependent columns, or a unit of the data that makes"
                " reg_covar large; otherwise try fewer components."
            )
        return found


def _check_shape(array: np.ndarray, shape: tuple[int, ...], name: str) -> None:
    if array.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}"
        )


def _check_weights(values: Any, n_components: int, name: str = "weights_init") -> np.ndarray:
    weights = read_array(values, name)
    _check_shape(weights, (n_components,), "weights")
    low, high = weights.min(), weights.max()
    if low < 0.0 or high > 1.0:
        raise ValueError(
            "The parameter 'weights' should be in the range [0, 1], but got max value"
            f" {low:.5f}, min value {high:.5f}"  # in scikit-learn's words, which its tests expect
        )
    total = weights.sum()
    if abs(1.0 - total) > (1e-6 if getattr(values, "dtype", None) == np.float32 else 1e-8):
        raise ValueError(
            f"The parameter 'weights' should be normalized, but got sum(weights) = {total:.5f}"
        )
    return weights / total
