"""BayesianGaussianMixture."""

from __future__ import annotations

import operator
from contextlib import nullcontext
from functools import partial
from numbers import Real
from typing import Any, Self

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from .._composite import CompositeEstimator
from .._data import check_shape, read_array
from .._parameters import set_engine_parameters
from ..distributions import Gaussian, GaussianParameters
from ..distributions._missing import filled_moments
from ..distributions.covariance import COVARIANCES
from ..em.reduce import row_blocks
from ..em.sources import Source
from ..em.starts import METHODS, Start, total_scatter
from ..em.statistics import Joint, Moments
from ..em.threads import single_threaded_blas
from ._base import BaseMixture
from ._variational import WEIGHTS, Posterior, VariationalModel, VariationalPrior

__all__ = ["BayesianGaussianMixture"]

_POSITIVE = Interval(Real, 0.0, None, closed="neither")


def _has_no_likelihood(estimator: Any) -> bool:
    raise AttributeError(
        f"{type(estimator).__name__} has no information criteria: it maximises a bound on the evidence,"
        " lower_bound_, in which model complexity is paid for already."
    )


class BayesianGaussianMixture(BaseMixture):
    """Variational Bayesian Gaussian mixture: scikit-learn's, with weights, threads and acceleration.

    Components that the data do not need are given up during the fit, so that
    ``n_components`` is a limit and not a choice. What ``fit`` finds is not one
    set of parameters but a distribution of them, a product of a Dirichlet (or
    stick-breaking) distribution of the weights and a normal-Wishart of each
    mean and precision.

    Parameters
    ----------
    n_components : int, default=1
        The largest number of components.
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        A matrix for each component, one matrix for all, a variance for each
        component and feature, a variance for each component.
    tol : float, default=1e-3
        Stop when an iteration changed the lower bound, of all rows together, by
        less.
    reg_covar : float, default=1e-6
        Added to each variance of the rows of a component, in squared units of the data.
    max_iter : int, default=100
    n_init : int, default=1
        Number of starts; the fit of the highest lower bound is kept.
    init_params : str, array-like or callable, default="kmeans"
        How a start is drawn: "kmeans", "k-means++", "random", "random_from_data", "whitened",
        "hierarchical" or "short-runs"; or labels of shape (n_samples,), -1 for a row left out;
        or responsibilities of shape (n_samples, n_components); or a callable
        ``(X, n_components, random_state)`` that returns one of the two.
    weight_concentration_prior_type : {"dirichlet_process", "dirichlet_distribution"}, default="dirichlet_process"
        Sticks broken one after the other, so that early components take what
        they can; or a symmetric Dirichlet distribution.
    weight_concentration_prior : float, default=None
        In rows: what each component has before the data (Dirichlet), or what is
        left over for the components to come (process). The lower, the fewer
        components stay. None is ``1 / n_components``.
    mean_precision_prior : float, default=None
        How many rows the prior mean is worth. None is 1.
    mean_prior : array-like of shape (n_features,), default=None
        None is the mean of X.
    degrees_of_freedom_prior : float, default=None
        How many rows the prior covariance is worth; more than ``n_features - 1``.
        None is ``n_features``.
    covariance_prior : float or array-like, default=None
        Inverse of Wishart's scale matrix, the scatter that those rows have, in
        squared units of the data: (n_features, n_features) for "full" and
        "tied", (n_features,) for "diag", a float for "spherical". None is the
        covariance of X, or its diagonal, or the mean of that.
    random_state : int, RandomState instance or None, default=None
    warm_start : bool, default=False
        Continue from the last fit. Twenty fits of one iteration are one of twenty.
    verbose : int, default=0
    verbose_interval : int, default=10
    n_jobs : int, default=None
        Threads, for starts and blocks of rows together. None is what BLAS may
        use at the call, -1 all cores. Results do not depend on it, to the bit.
    accelerate : {"squarem"} or None, default=None
        Extrapolate between iterations: fewer of them where they creep.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Posterior means of the weights, scaled to sum to 1.
    means_ : ndarray of shape (n_components, n_features)
    covariances_, precisions_, precisions_cholesky_ : ndarray
        Expected precisions, their inverses and factors: of shape (n_components,
        n_features, n_features) for "full", (n_features, n_features) for "tied",
        (n_components, n_features) for "diag", (n_components,) for "spherical".
    weight_concentration_ : ndarray of shape (n_components,), or tuple of two
        Of the Dirichlet distribution; or of the Beta distribution of each stick.
    mean_precision_ : ndarray of shape (n_components,)
        How many rows the knowledge of each mean is worth.
    degrees_of_freedom_ : ndarray of shape (n_components,), or float for "tied"
    weight_concentration_prior_, mean_precision_prior_, degrees_of_freedom_prior_ : float
    mean_prior_ : ndarray of shape (n_features,)
    covariance_prior_ : ndarray or float
        The prior in numbers.
    converged_ : bool
    n_iter_ : int
        M-steps of the best fit; an accepted extrapolation counts as one.
    n_e_steps_ : int
        Its E-steps, the final one included.
    lower_bound_ : float
        Evidence lower bound of all rows at the fitted parameters, without the
        terms that the data and the fit do not change.
    lower_bounds_ : ndarray of shape (``n_iter_``,)
        The same after each M-step.
    restart_lower_bounds_ : ndarray of shape (n_init,)
        ``lower_bound_`` of each start, nan for one that was singular.
    n_best_restarts_ : int
        How many starts ended as well as the best, within ``tol``.
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
    GaussianMixture : The same mixture, by maximum likelihood.

    References
    ----------
    Attias, H. (2000). A variational Bayesian framework for graphical models.
    Advances in Neural Information Processing Systems 12, 209-215.

    Bishop, C. M. (2006). Pattern Recognition and Machine Learning, section
    10.2. Springer.

    Blei, D. M. and Jordan, M. I. (2006). Variational inference for Dirichlet
    process mixtures. Bayesian Analysis 1(1), 121-143.

    Examples
    --------
    Old Faithful has two kinds of eruptions; ten components are offered:

    >>> from emlearn.datasets import load_faithful
    >>> from emlearn.mixture import BayesianGaussianMixture
    >>> X = load_faithful().data
    >>> mixture = BayesianGaussianMixture(
    ...     n_components=10, weight_concentration_prior=1e-3, max_iter=2000, random_state=0
    ... ).fit(X)
    >>> used = mixture.weights_ > 0.01
    >>> mixture.means_[used].round(1)
    array([[ 2.1, 54.7],
           [ 4.3, 79.9]])
    """

    _parameter_constraints: dict = {
        **BaseMixture._parameter_constraints,
        # the parameters of a posterior are no start that a user would have
        "init_params": [StrOptions(set(METHODS)), "array-like", callable],
        "covariance_type": [StrOptions({"full", "tied", "diag", "spherical"})],
        "reg_covar": BaseMixture._parameter_constraints["tol"],
        "weight_concentration_prior_type": [StrOptions(set(WEIGHTS))],
        "weight_concentration_prior": [None, _POSITIVE],
        "mean_precision_prior": [None, _POSITIVE],
        "mean_prior": [None, "array-like"],
        "degrees_of_freedom_prior": [None, _POSITIVE],
        "covariance_prior": [None, "array-like", _POSITIVE],
    }

    def __init__(
        self,
        *,
        n_components: int = 1,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: Any = "kmeans",
        weight_concentration_prior_type: str = "dirichlet_process",
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: Any = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
        accelerate: str | None = None,
        **engine: Any,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs
        self.accelerate = accelerate
        set_engine_parameters(self, engine)

    # there is no likelihood that these could be of
    bic = available_if(_has_no_likelihood)(BaseMixture.bic)
    aic = available_if(_has_no_likelihood)(BaseMixture.aic)
    icl = available_if(_has_no_likelihood)(BaseMixture.icl)

    @classmethod
    def from_parameters(cls, weights: Any, **parameters: Any) -> Self:
        """Not to be had: a posterior is more than the parameters that a mixture has.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError(
            "A Bayesian mixture is a posterior distribution, which no weights, means and covariances make."
            " GaussianMixture.from_parameters takes them."
        )

    # ------------------------------------------------- what the family says

    def _distribution(self) -> Gaussian:
        return Gaussian(self.covariance_type, self.reg_covar)

    def _fit_model(self, X: Any, sample_weight: np.ndarray | None, **fold: Any) -> VariationalModel:
        model = self._fitted_model()
        model.distribution = model.distribution.bind(X, sample_weight, **fold)
        model.initial_parameters = partial(self._first_parameters, model)
        return model

    def _continued_model(self, source: Source) -> VariationalModel:
        return self._fitted_model()  # the prior is in numbers, and a start is not needed

    def _fitted_model(self) -> VariationalModel:
        return VariationalModel(
            self._distribution(), self.weight_concentration_prior_type, self._recall_prior()
        )

    def _partitions(self) -> bool:
        return False

    def publish(self, parameters: Posterior) -> dict[str, Any]:
        components, concentration = parameters.components, parameters.concentration
        dof = parameters.degrees_of_freedom
        return {
            "weights_": parameters.weights,
            "means_": components.means,
            "covariances_": components.covariances,
            "precisions_cholesky_": components.precisions_cholesky,
            "precisions_": parameters.precisions,
            "weight_concentration_": tuple(concentration)
            if concentration.ndim == 2
            else concentration,
            "mean_precision_": parameters.mean_precision,
            "degrees_of_freedom_": dof if dof.ndim else float(dof),
        }

    def recall(self) -> Posterior:
        covariance = COVARIANCES[self.covariance_type]
        factors, means, weights, mean_precision, dof, concentration = (
            np.ascontiguousarray(value, dtype=np.float64)
            for value in (
                self.precisions_cholesky_,
                self.means_,
                self.weights_,
                self.mean_precision_,
                self.degrees_of_freedom_,
                self.weight_concentration_,
            )
        )
        K = len(means)
        check_shape(factors, covariance.shape(*means.shape), "precisions_cholesky_")
        check_shape(weights, (K,), "weights_")
        check_shape(mean_precision, (K,), "mean_precision_")
        model = self._fitted_model()
        check_shape(concentration, (2, K)[2 - model.weights.ndim :], "weight_concentration_")
        if self.covariance_type == "tied":
            dof = dof.reshape(())  # ascontiguousarray makes a number a vector
        components = GaussianParameters(
            means, np.array(self.covariances_, dtype=np.float64), covariance.read_factors(factors)
        )
        return model.posterior(concentration, mean_precision, dof, components, weights)

    # ---------------------------------------------------------------- prior

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self._is_constrained():
            raise ValueError(
                "fixed, equal: the parameters of a Bayesian mixture are a posterior distribution, of which no value"
                " can be fixed. GaussianMixture takes them, with priors of the others: prior,"
                " weight_concentration_prior."
            )

    def _changed(self) -> str | None:
        kinds = self.covariance_type, self.weight_concentration_prior_type
        before = vars(self).get("_fitted_kinds", kinds)
        if before != kinds:
            return f"a fit of {' and '.join(before)}, which is now {' and '.join(kinds)}"
        return super()._changed()

    def _check_against(self, source: Source) -> None:
        super()._check_against(source)
        prior = self._read_prior(source)
        self.weight_concentration_prior_ = prior.concentration
        self.mean_precision_prior_ = prior.mean_precision
        self.mean_prior_ = prior.mean
        self.degrees_of_freedom_prior_ = prior.degrees_of_freedom
        self.covariance_prior_ = prior.covariance if prior.covariance.ndim else prior.covariance[()]

    def _recall_prior(self) -> VariationalPrior | None:
        if "covariance_prior_" not in vars(self):
            return None
        return VariationalPrior(
            self.weight_concentration_prior_,
            self.mean_precision_prior_,
            np.asarray(self.mean_prior_, dtype=np.float64),
            self.degrees_of_freedom_prior_,
            np.asarray(self.covariance_prior_, dtype=np.float64),
        )

    def _read_prior(self, source: Source) -> VariationalPrior:
        d = source.shape[1]
        dof = d if self.degrees_of_freedom_prior is None else self.degrees_of_freedom_prior
        if not dof > d - 1:
            raise ValueError(
                f"The parameter 'degrees_of_freedom_prior' should be greater than {d - 1}, but got {dof:.3f}."
            )
        mean, covariance = self.mean_prior, self.covariance_prior
        if mean is not None:
            mean = read_array(mean, "mean_prior")
            check_shape(mean, (d,), "means")
        if covariance is not None:
            covariance = _check_covariance_prior(covariance, self.covariance_type, d)
        if mean is None or covariance is None:
            mean_of_X, covariance_of_X = _moments_of_X(source, self.covariance_type)
            mean = mean_of_X if mean is None else mean
            covariance = covariance_of_X if covariance is None else covariance
        concentration, mean_precision = self.weight_concentration_prior, self.mean_precision_prior
        return VariationalPrior(
            1.0 / self.n_components if concentration is None else concentration,
            1.0 if mean_precision is None else mean_precision,
            mean,
            dof,
            covariance,
        )

    # ---------------------------------------------------------------- start

    def _start_parameters(
        self,
        model: VariationalModel,
        start: Start,
        statistics: Joint,
        X: np.ndarray,
        sample_weight: np.ndarray | None,
    ) -> Posterior:
        if not (self.covariance_type == "tied" and start.one_row):
            return model.m_step(statistics, None)
        # the scatter that scikit-learn takes here: of all that the seeds leave over, about the origin
        moments, K = statistics["components"], len(start.rows)
        X = model.distribution.embed(X)
        scatter = K * total_scatter(X, start.rows, sample_weight)
        if len(COVARIANCES["tied"].factor(scatter / K + model.prior.covariance)[1]):
            # so far from the origin that it has no digits left
            scatter = K * total_scatter(X, start.rows, sample_weight, raw=False)
        seeds = Moments(moments.weight, moments.mean, scatter, moments.form)
        return model.m_step(Joint({"labels": statistics["labels"], "components": seeds}), None)

    # --------------------------------------------------------------- fitted

    def _fitted_attributes(self, result: Any, dtype: Any) -> dict[str, Any]:
        # past the count of free parameters, which a posterior has not
        attributes = super(CompositeEstimator, self)._fitted_attributes(result, dtype)
        attributes["_fitted_kinds"] = self.covariance_type, self.weight_concentration_prior_type
        if dtype == np.float32:
            attributes["mean_prior_"] = self.mean_prior_.astype(dtype)
            attributes["covariance_prior_"] = self.covariance_prior_.astype(dtype)
            if isinstance(attributes["weight_concentration_"], tuple):
                attributes["weight_concentration_"] = tuple(
                    a.astype(dtype) for a in attributes["weight_concentration_"]
                )
        return attributes

    def _degeneracies(self, parameters: Posterior) -> list[str]:
        return []  # a component that the data do not need is no fault here


def _moments_of_X(source: Source, covariance_type: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the rows, in the shape of a prior: those of one component that has them all."""
    gaussian = Gaussian("full" if covariance_type in ("full", "tied") else "diag")
    with single_threaded_blas() if gaussian.uses_blas else nullcontext():
        moments = source.fold(partial(_block_moments, gaussian), operator.add)
        if np.isnan(moments.mean).any():
            moments = _in_form(filled_moments(source.fold)[0], gaussian.covariance.form)
    total = float(moments.weight[0])
    # weights that sum to less than two rows are scaled up to them: less has no unbiased variance
    covariance = moments.scatter[0] / max(total - 1.0, 0.5 * total)
    if covariance_type == "spherical":
        covariance = covariance.mean(keepdims=True)[0]
    return moments.mean[0], np.asarray(covariance)


def _in_form(moments: Moments, form: str) -> Moments:
    if form == "full":
        return moments
    return Moments(moments.weight, moments.mean, moments.scatter.diagonal(0, 1, 2), form)


def _block_moments(gaussian: Gaussian, X: np.ndarray, sample_weight: np.ndarray | None) -> Moments:
    n, d = X.shape
    factor = np.eye(d)[None] if gaussian.covariance_type == "full" else np.ones((1, d))
    one = GaussianParameters(X[:1].astype(np.float64), factor, factor)
    moments = None
    for rows in row_blocks(n, d, gaussian.row_cost(1, d)):
        weight = None if sample_weight is None else sample_weight[rows]
        part = gaussian.fused(one, np.zeros(1), X[rows], weight)[1]
        moments = part if moments is None else moments + part
    return moments


def _check_covariance_prior(value: Any, covariance_type: str, n_features: int) -> np.ndarray:
    covariance = read_array(value, "covariance_prior")
    d = n_features
    shape = {"full": (d, d), "tied": (d, d), "diag": (d,), "spherical": ()}[covariance_type]
    if covariance_type == "spherical" and covariance.size == 1:
        covariance = covariance.reshape(())
    check_shape(covariance, shape, f"{covariance_type} covariance_prior")
    if len(shape) < 2:
        if np.any(covariance <= 0.0):
            raise ValueError(f"'{covariance_type} covariance_prior' should be positive")
    elif not (np.allclose(covariance, covariance.T) and np.linalg.eigvalsh(covariance)[0] > 0.0):
        raise ValueError(
            f"'{covariance_type} covariance_prior' should be symmetric, positive-definite"
        )
    return covariance
