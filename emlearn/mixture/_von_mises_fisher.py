"""VonMisesFisherMixture."""

from __future__ import annotations

from numbers import Real
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions

from ..distributions import VonMisesFisher
from ._base import BaseMixture

__all__ = ["VonMisesFisherMixture"]


class VonMisesFisherMixture(BaseMixture):
    """Mixture of von Mises-Fisher distributions, for directions: unit vectors.

    Soft spherical k-means whose clusters may differ in width: texts, where length
    says nothing of the topic, profiles, angles. ``scipy.sparse`` matrices stay
    sparse. Densities are with respect to the surface measure of the sphere.

    Parameters
    ----------
    n_components : int, default=1
    concentration : {"free", "tied"} or float, default="free"
        One for each component, one for all of them, or this number, which is not fitted.
    normalize : bool, default=False
        Divide each row by its length. Otherwise a row whose length is not 1 is an error; one that
        is all zero always is.
    prior : {"default"}, ConjugatePrior or None, default=None
        Of the components' parameters: the fit is a posterior mode. Its mean is a vector shorter
        than 1. Where a concentration is fitted, the constant of its density is left out.
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
    mean_directions_ : ndarray of shape (n_components, n_features)
        Each row has length 1.
    concentrations_ : ndarray of shape (n_components,)
        0 is uniform on the sphere; all the same where tied.
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

    Notes
    -----
    A component whose rows are all the same direction has no finite concentration:
    :class:`~emlearn.exceptions.SingularError`, unless a prior, or a concentration that
    is tied or fixed, holds it.

    References
    ----------
    Banerjee, A., Dhillon, I. S., Ghosh, J. and Sra, S. (2005). Clustering on the
    unit hypersphere using von Mises-Fisher distributions. Journal of Machine
    Learning Research 6, 1345-1382.

    Hornik, K. and Grün, B. (2014). movMF: An R package for fitting mixtures of
    von Mises-Fisher distributions. Journal of Statistical Software 58(10), 1-31.

    Examples
    --------
    >>> from emlearn.mixture import VonMisesFisherMixture
    >>> X = [[5, 1, 0], [9, 0, 1], [8, 1, 1], [0, 2, 3], [1, 9, 8], [0, 4, 5]]
    >>> mixture = VonMisesFisherMixture(2, normalize=True, random_state=0).fit(X)
    >>> mixture.predict([[2, 0, 0], [9, 1, 2]]) == mixture.predict(X)[0]
    array([ True,  True])
    """

    _family = VonMisesFisher

    _parameter_constraints: dict = {
        **BaseMixture._parameter_constraints,
        "concentration": [StrOptions({"free", "tied"}), Interval(Real, 0.0, None, closed="left")],
        "normalize": ["boolean"],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        concentration: str | float = "free",
        normalize: bool = False,
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
        self.concentration = concentration
        self.normalize = normalize
