"""GaussianMixture."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from .._data import check_mixing_weights, check_shape, read_array
from ..distributions import Gaussian, GaussianParameters
from ..distributions.covariance import COVARIANCES, Covariance
from ..distributions.gaussian import SINGULAR_MESSAGE
from ..em.sources import Source
from ..em.starts import Start, total_scatter
from ..em.statistics import Joint
from ..exceptions import SingularError
from ._base import NOISE, NOISE_NAMES, BaseMixture
from ._conditioning import ConditioningMixin
from ._model import MixtureModel, MixtureParameters

__all__ = ["GaussianMixture"]


class GaussianMixture(ConditioningMixin, BaseMixture):
    """Gaussian mixture: scikit-learn's, with weights, threads, acceleration and honest numbers.

    Parameters
    ----------
    n_components : int, default=1
    covariance_type : str, default="full"
        "full", "tied", "diag", "spherical": a matrix for each component, one matrix for all, a
        variance for each component and feature, a variance for each component. Or one of mclust's
        codes, which say of volume, shape and orientation whether it is equal (E), varies (V) or is
        none (I): EII VII EEI VEI EVI VVI EEE VEE EVE VVE EEV VEV EVV VVV. Or "factor": loadings of
        ``n_factors`` columns and a noise variance for each component and feature, a mixture of factor
        analysers; or "ppca": with one noise variance for each component.
    tol : float, default=1e-3
        Stop when an iteration changed the mean log-likelihood of a row by less.
    reg_covar : float, default=1e-6
        Added to each variance, in squared units of the data.
    max_iter : int, default=100
    n_init : int, default=1
        Number of starts; the best fit is kept.
    init_params : str, array-like, dict or callable, default="kmeans"
        How a start is drawn: "kmeans", "k-means++", "random", "random_from_data", "whitened",
        "hierarchical" or "short-runs"; or labels of shape (n_samples,), -1 for a row left out;
        or responsibilities of shape (n_samples, n_components); or a callable
        ``(X, n_components, random_state)`` that returns one of the two; or all
        parameters by name, as :meth:`from_parameters` takes them.
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
    n_factors : int, default=1
        Columns of the loadings, for ``covariance_type`` "factor" and "ppca".
    noise : bool or float, default=False
        A further component of constant density, for rows that belong nowhere. True takes the volume
        of the smaller of two boxes around the data, a number is the volume.
    prior : {"default"}, NormalInverseWishart or None, default=None
        Of means and covariances: fits are posterior modes, and cannot be singular.
    weight_concentration_prior : float or None, default=None
        Of a Dirichlet prior of the weights, at least 1.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
    means_ : ndarray of shape (n_components, n_features)
    covariances_, precisions_, precisions_cholesky_ : ndarray
        Of shape (n_features, n_features) for "tied" and EEE; (n_components, n_features) for "diag"
        and EEI VEI EVI VVI; (n_components,) for "spherical" and EII VII; else (n_components,
        n_features, n_features). ``precisions_ = precisions_cholesky_ @ precisions_cholesky_.T``, the
        factor an upper triangle.
    loadings_ : ndarray of shape (n_components, n_features, n_factors)
    noise_variances_ : ndarray of shape (n_components, n_features), or (n_components,) for "ppca"
        For both: ``covariances_ = loadings_ @ loadings_.T + diag(noise_variances_)``.
    noise_weight_, noise_volume_ : float
    noise_origin_ : ndarray of shape (n_features,)
    noise_edges_ : ndarray of shape (n_features, n_features)
        Where there is a noise component: its weight, and corner and edges of its region.
    converged_ : bool
    n_iter_ : int
        M-steps of the best fit; an accepted extrapolation counts as one.
    n_e_steps_ : int
        Its E-steps, the final one included.
    lower_bound_ : float
        Mean log-likelihood of a row, ``score(X)``; with priors, their share on top. After
        ``partial_fit`` that of the batch under the parameters before it.
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
        Begins with "converged", "max_iter", "callback", "singular", "interrupted" or, after
        ``partial_fit``, "online".
    n_steps_ : int
        Batches that ``partial_fit`` has taken in; a fit removes it.
    classes_ : ndarray
        Where there were labels: the numbers that occur; or texts, of which class k is component k.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (``n_features_in_``,)

    See Also
    --------
    emlearn.EMMixin : The engine, for a model of your own.

    References
    ----------
    Celeux, G. and Govaert, G. (1995). Gaussian parsimonious clustering models. Pattern
    Recognition 28(5), 781-793.

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

    _family = Gaussian

    _parameter_constraints: dict = {
        **BaseMixture._parameter_constraints,
        "covariance_type": [StrOptions(set(COVARIANCES))],
        "reg_covar": BaseMixture._parameter_constraints["tol"],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "noise": NOISE,
        "n_factors": [Interval(Integral, 1, None, closed="left")],
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
        n_factors: int = 1,
        noise: bool | float = False,
        prior: Any = None,
        weight_concentration_prior: float | None = None,
        **engine: Any,
    ) -> None:
        super().__init__(
            n_components,
            prior=prior,
            weight_concentration_prior=weight_concentration_prior,
            tol=tol,
            max_iter=max_iter,
            n_init=n_init,
            init_params=init_params,
            random_state=random_state,
            warm_start=warm_start,
            verbose=verbose,
            verbose_interval=verbose_interval,
            n_jobs=n_jobs,
            accelerate=accelerate,
            **engine,
        )
        self.covariance_type = covariance_type
        self.reg_covar = reg_covar
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.n_factors = n_factors
        self.noise = noise

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
        covariance_type : str, default="full"
        **parameters : dict
            Further parameters of the constructor; with ``noise`` also ``noise_weight``,
            ``noise_origin`` and ``noise_edges``: all weights sum to 1, and all become ``init_params``.

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
        if parameters.get("noise", False):
            given = {"means": means, "covariances": covariances}
            given |= {name: parameters.pop(name) for name in NOISE_NAMES if name in parameters}
            settings = {"covariance_type": covariance_type, **parameters}
            return cls._from_given(np.size(weights), {"weights": weights, **given}, settings)
        covariance = COVARIANCES[covariance_type]
        means = read_array(means, "means")
        if means.ndim != 2:
            raise ValueError(
                f"means must be a 2D array of shape (n_components, n_features), got {means.shape}"
            )
        weights = check_mixing_weights(weights, len(means), "weights")
        shape = covariance.shape(*means.shape)
        covariances = read_array(covariances, "covariances")
        check_shape(covariances, shape, f"{covariance_type} covariance")
        if covariance.form != "diag":
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
        return self._distribution().covariance

    # ---------------------------------------------------------------- start

    def _given(self) -> tuple[Any, ...]:
        return self.weights_init, self.means_init, self.precisions_init

    def _given_start(self) -> dict[str, Any]:
        if not super()._needs_start():
            return super()._given_start()
        weights, means, precisions = self._read_given()
        given = {"weights": weights, "means": means}
        if precisions is None:
            return given
        covariances, factors = self._covariance.invert(precisions)
        others = {"precisions": precisions, "precisions_cholesky": factors}
        return {**given, "covariances": covariances, **others}

    def _needs_start(self) -> bool:
        return super()._needs_start() and any(given is None for given in self._given())

    def _check_against(self, source: Source) -> None:
        super()._check_against(source)
        self._read_given(source.shape[1])
        method = self.init_params if isinstance(self.init_params, str) else None
        seeds = self.covariance_type == "tied" and method in ("k-means++", "random_from_data")
        if self.noise and (seeds or any(given is not None for given in self._given())):
            raise ValueError(
                "noise: a mixture with a noise component starts from labels, responsibilities or k-means"
                " (init_params), not from weights_init, means_init, precisions_init or, for 'tied', seeds."
            )

    def _read_given(self, n_features: int | None = None) -> tuple[np.ndarray | None, ...]:
        """weights_init, means_init and precisions_init, checked, as float64; the attributes stay as they are."""
        K = self.n_components
        weights, means, precisions = self.weights_init, self.means_init, self.precisions_init
        if weights is not None:
            weights = check_mixing_weights(weights, K)
        if means is not None:
            means = read_array(means, "means_init")
            check_shape(means, (K, n_features or means.shape[-1]), "means")
            n_features = means.shape[1]
        if precisions is not None:
            precisions = read_array(precisions, "precisions_init")
            shape = self._covariance.shape(K, n_features or precisions.shape[-1])
            check_shape(precisions, shape, f"{self.covariance_type} precision")
            self._covariance.check_precisions(precisions)
        return weights, means, precisions

    def _given_parameters(self) -> MixtureParameters:
        if not super()._needs_start():
            return super()._given_parameters()
        weights, means, precisions = self._read_given()
        return MixtureParameters(
            weights, GaussianParameters(means, *self._covariance.invert(precisions))
        )

    def _partitions(self) -> bool:
        return self.covariance_type not in ("full", "tied", "diag", "spherical")

    def _start_parameters(
        self,
        model: MixtureModel,
        start: Start,
        statistics: Joint,
        X: np.ndarray,
        sample_weight: np.ndarray | None,
    ) -> MixtureParameters:
        tied_seeds = self.covariance_type == "tied" and start.one_row
        if all(given is None for given in self._given()) and not tied_seeds:
            return super()._start_parameters(model, start, statistics, X, sample_weight)
        weights, means, precisions = self._read_given(X.shape[1])
        if weights is None:
            weights = model.latent_m_step(statistics, None)
        if precisions is not None:
            if means is None:
                means = statistics["components"].mean.copy()
                empty = statistics["components"].weight == 0
                if empty.any():
                    rows = model.distribution.embed(X)
                    means[empty] = np.average(rows, axis=0, weights=sample_weight)
            first = GaussianParameters(means, *self._covariance.invert(precisions))
            if model.constraints:
                first = model.distribution.nearest(first, model.constraints)
            return MixtureParameters(weights, first)
        if tied_seeds:
            rows = model.distribution.embed(X)
            means_of_seeds = statistics["components"].mean
            components = self._tied_seed_start(means_of_seeds, start, rows, sample_weight)
            if model.constraints:
                components = model.distribution.nearest(components, model.constraints)
        else:
            components = model.components_m_step(statistics, None)
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
