"""Mixtures of linear, Poisson and logistic regressions."""

from __future__ import annotations

from numbers import Real
from typing import Any, Self

from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from .._composite import CompositeEstimator
from .._parameters import set_engine_parameters
from ..em.starts import METHODS
from ._base import FAMILIES, BaseMixtureRegressor

__all__ = ["MixtureRegressor"]


class MixtureRegressor(BaseMixtureRegressor):
    """A mixture of regressions, fitted by EM.

    Each row comes from one of several regressions, and nobody knows which. Their weights are the same for all rows, or,
    with a gate, depend on covariates. Rows of a group, such as repeated measures of one subject, are of one component.

    Parameters
    ----------
    n_components : int, default=2
    family : {"gaussian", "poisson", "binomial", "logistic"}, default="gaussian"
        Linear regressions, Poisson regressions with the logarithmic link, or logistic regressions ("logistic" is
        another name of "binomial") of zeros and ones, or of successes and failures as the two columns of ``y``.
    fit_intercept : bool, default=True
    alpha : float, default=0.0
        Ridge: ``alpha / 2`` times the sum of squares of the coefficients, of linear regressions divided by the
        component's variance, is taken from the log-likelihood of all rows. It is what keeps the coefficients of
        logistic regressions finite where a component separates zeros from ones.
    variance_type : {"free", "tied"}, default="free"
        Of linear regressions: a variance for each component, or one for all.
    variance_floor : float, default=0.0
        Variances are no smaller. With 0 a run whose component fits its rows without error is singular.
    gate : {"softmax"} or None, default=None
        None has constant weights. "softmax" has weights that are a softmax of covariates (concomitant variables).
    features : list of int or str, default=None
        Columns of X that the regressions see; None is all of them.
    gate_features : list of int or str, default=None
        Columns of X that the gate sees; None is all of them.
    tol : float, default=1e-8
        A fit has come to rest when an iteration changes the mean log-likelihood of a row by less.
    max_iter : int, default=1000
    n_init : int or "auto", default=10
        Starts, of which the best is kept; "auto" makes as many as it takes to find the best optimum twice.
    init_params : {"mixed", "random", "kmeans", "k-means++", "random_from_data", "whitened", "hierarchical", \
"short-runs"}, array-like, dict or callable, default="mixed"
        How a start is drawn: "random" gives rows, or groups, random shares, which finds regressions that cross; the
        others are clusters of response and covariates, each standardised; "mixed" tosses a coin between "random" and
        "k-means++". Or labels of shape (n_samples,), responsibilities of shape (n_samples, n_components), or a
        callable of the table [response, covariates] that returns one of them; or a dict of parameters by their names
        (``weights``, ``coef``, ``intercept``, ``variances``; ``gate_coef``, ``gate_intercept``).
    random_state : int, RandomState or None, default=None
    warm_start : bool, default=False
        Go on from the last fit.
    verbose : int, default=0
    verbose_interval : int, default=10
    n_jobs : int or None, default=None
        Threads.
    accelerate : {"squarem"} or None, default=None

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        With a gate, their mean over the rows, or groups, of the fit.
    coef_ : ndarray of shape (n_components, n_regression_features)
    intercept_ : ndarray of shape (n_components,)
    variances_ : ndarray of shape (n_components,)
        Of linear regressions: about the mean of the component, by maximum likelihood, with divisor n.
    gate_coef_ : ndarray of shape (n_components, n_gate_features)
        With a gate: log-odds against component 0, whose row is 0.
    gate_intercept_ : ndarray of shape (n_components,)
    n_parameters_ : int
        Number of free parameters.
    converged_, n_iter_, n_e_steps_, lower_bound_, lower_bounds_, restart_lower_bounds_, stop_reason_
        As in :class:`~emlearn.EMMixin`; ``lower_bound_`` is the mean log-likelihood of a row, which loses what the
        ridge takes.

    See Also
    --------
    sklearn.linear_model.LinearRegression : What one component of the family "gaussian" is.

    Notes
    -----
    The likelihood of linear regressions with free variances has no maximum: a component that goes through as many
    rows as it has coefficients has a variance of 0. Runs that end so are singular and dropped.

    Rows of a group need not be together. With a gate its covariates are the same in all rows of a group.

    Regressions are given their covariates, so that a missing cell of X has no distribution to be filled from; missing
    cells are an error.

    References
    ----------
    DeSarbo, W. S. and Cron, W. L. (1988). A maximum likelihood methodology for clusterwise linear regression. Journal
    of Classification 5(2), 249-282.

    Leisch, F. (2004). FlexMix: A general framework for finite mixture models and latent class regression in R. Journal
    of Statistical Software 11(8).

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.linear_model import MixtureRegressor
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(0, 10, size=300)
    >>> steep = rng.uniform(size=300) < 0.4
    >>> y = np.where(steep, 3 * x, 20 - x) + rng.normal(size=300)
    >>> model = MixtureRegressor(2, random_state=0).fit(x[:, None], y)
    >>> np.sort(model.coef_[:, 0]).round(1)
    array([-1.,  3.])
    >>> model.responsibilities([[8.0]], [24.0]).max().round(3)
    np.float64(1.0)
    """

    # groups of rows are metadata that fit wants: no set_fit_request is needed
    __metadata_request__fit = {"groups": True}
    __metadata_request__partial_fit = {"groups": True}

    _parameter_constraints: dict = {
        **{k: v for k, v in CompositeEstimator._parameter_constraints.items() if k != "prior"},
        "init_params": [StrOptions({"mixed", *METHODS}), "array-like", dict, callable],
        "family": [StrOptions(set(FAMILIES))],
        "fit_intercept": ["boolean"],
        "alpha": [Interval(Real, 0.0, None, closed="left")],
        "variance_type": [StrOptions({"free", "tied"})],
        "variance_floor": [Interval(Real, 0.0, None, closed="left")],
        "gate": [StrOptions({"softmax"}), None],
        "features": ["array-like", None],
        "gate_features": ["array-like", None],
    }

    def __init__(
        self,
        n_components: int = 2,
        *,
        family: str = "gaussian",
        fit_intercept: bool = True,
        alpha: float = 0.0,
        variance_type: str = "free",
        variance_floor: float = 0.0,
        gate: str | None = None,
        features: Any = None,
        gate_features: Any = None,
        tol: float = 1e-8,
        max_iter: int = 1000,
        n_init: int | str = 10,
        init_params: Any = "mixed",
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
        accelerate: str | None = None,
        **engine: Any,
    ) -> None:
        self.n_components = n_components
        self.family = family
        self.fit_intercept = fit_intercept
        self.alpha = alpha
        self.variance_type = variance_type
        self.variance_floor = variance_floor
        self.gate = gate
        self.features = features
        self.gate_features = gate_features
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs
        self.accelerate = accelerate
        set_engine_parameters(self, engine)

    # ----------------------------------------------------------------- fit

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None, labels: Any = None
    ) -> Self:
        """Fit the model by EM.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            An array, a file that is mapped into memory, or a Dask array or data frame.
        y : array-like of shape (n_samples,)
            Numbers; counts; zeros and ones, or (n_samples, 2) with successes and failures: by the family.
        sample_weight : array-like of shape (n_samples,), default=None
            A weight of 2 counts a row twice, a weight of 0 leaves it out. With groups a group counts as a whole, and
            all its rows have the same weight.
        groups : array-like of shape (n_samples,), default=None
            The group that each row belongs to, by any name; its rows are all of one component.
        labels : array-like of shape (n_samples,), default=None
            Known components: their numbers, -1 where a row's is unknown; or texts, the classes in their order.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the data cannot be used, or every start is singular.
        """
        return self._fit_data(X, y, sample_weight=sample_weight, groups=groups, labels=labels)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None, labels: Any = None
    ) -> Self:
        """Take in some rows, or whole groups: one step of online EM.

        The first call draws a start from its rows. After a fit it goes on from that. ``lower_bound_`` is the objective
        of the batch under the parameters before it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
        groups : array-like of shape (n_samples,), default=None
        labels : array-like of shape (n_samples,), default=None
            All as in :meth:`fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the rows cannot be used, or parameters of the constructor contradict what is known.
        """
        return self._partial_fit_data(
            X, y, sample_weight=sample_weight, groups=groups, labels=labels
        )
