"""PoissonMixture."""

from __future__ import annotations

from typing import Any

from ..distributions import Poisson
from ._base import BaseMixture

__all__ = ["PoissonMixture"]


class PoissonMixture(BaseMixture):
    """Mixture of Poisson distributions, for counts.

    Counts are independent given the component. ``scipy.sparse`` matrices stay sparse.

    Parameters
    ----------
    n_components : int, default=1
    prior : {"default"}, ConjugatePrior or None, default=None
        Of the components' parameters: the fit is a posterior mode.
    weight_concentration_prior : float or None, default=None
        Of a Dirichlet prior of the weights, at least 1.
    tol : float, default=1e-3
        Stop when an iteration changed the mean objective of a row by less.
    max_iter : int, default=100
    n_init : int, default=1
        Number of starts; the best fit is kept.
    init_params : str, array-like, dict or callable, default="kmeans"
        How a start is drawn: "kmeans", "k-means++", "random", "random_from_data", "whitened",
        "hierarchical" or "short-runs"; or labels of shape (n_samples,), -1 for a row left out;
        or responsibilities of shape (n_samples, n_components); or a callable
        ``(X, n_components, random_state)`` that returns one of the two; or all
        parameters by name, as :meth:`from_parameters` takes them.
    random_state : int, RandomState instance or None, default=None
    warm_start : bool, default=False
        Continue from the last fit.
    verbose : int, default=0
    verbose_interval : int, default=10
    n_jobs : int, default=None
        Threads. None is what BLAS may use at the call, -1 all cores.
    accelerate : {"squarem"} or None, default=None
        Extrapolate between EM steps: fewer iterations where EM is slow.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
    rates_ : ndarray of shape (n_components, n_features)
        Means of the counts.
    converged_ : bool
    n_iter_ : int
    lower_bound_ : float
        Mean objective of a row: its log-likelihood, and the share of the priors.
    lower_bounds_ : ndarray of shape (``n_iter_``,)
    n_parameters_ : int
        Free parameters.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (``n_features_in_``,)

    See Also
    --------
    emlearn.mixture.GaussianMixture : The attributes that all mixtures have, in full.

    References
    ----------
    Hasselblad, V. (1969). Estimation of finite mixtures of distributions from the
    exponential family. Journal of the American Statistical Association 64(328), 1459-1471.

    Examples
    --------
    Deaths a day among elderly women in London, 1910-1912, with the days as weights:

    >>> from emlearn.datasets import load_london_deaths
    >>> from emlearn.mixture import PoissonMixture
    >>> deaths = load_london_deaths()
    >>> mixture = PoissonMixture(2, tol=1e-10, max_iter=1000, accelerate="squarem", random_state=0)
    >>> mixture.fit(deaths.data, sample_weight=deaths.sample_weight).rates_.round(3)
    array([[2.663],
           [1.256]])
    """

    _family = Poisson

    def __init__(
        self,
        n_components: int = 1,
        *,
        prior: Any = None,
        weight_concentration_prior: float | None = None,
        tol: float = 1e-3,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: Any = "kmeans",
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
        accelerate: str | None = None,
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
