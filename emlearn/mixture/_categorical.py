"""CategoricalMixture."""

from __future__ import annotations

from typing import Any

from sklearn.utils._param_validation import StrOptions

from ..distributions import Categorical
from ._base import BaseMixture

__all__ = ["CategoricalMixture"]


class CategoricalMixture(BaseMixture):
    """Mixture of categorical distributions: the latent class model.

    Columns of categories, strings or numbers, are independent given the component. A
    missing cell (NaN or None) is left out of the likelihood.

    Parameters
    ----------
    n_components : int, default=1
    categories : "auto" or list of array-like, default="auto"
        The categories of each column; "auto" takes those of the data.
    handle_unknown : {"error", "ignore"}, default="error"
        What a category that ``fit`` has not seen is: an error, or missing.
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
    probabilities_ : list of ndarray of shape (n_components, n_categories)
        For each column.
    categories_ : list of ndarray of shape (n_categories,)
        For each column, in the order of ``probabilities_``.
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
    Lazarsfeld, P. F. and Henry, N. W. (1968). Latent Structure Analysis. Houghton Mifflin.

    Goodman, L. A. (1974). Exploratory latent structure analysis using both
    identifiable and unidentifiable models. Biometrika 61(2), 215-231.

    Examples
    --------
    >>> from emlearn.mixture import CategoricalMixture
    >>> X = [["red", "yes"], ["red", "yes"], ["blue", "no"], ["blue", "no"]]
    >>> mixture = CategoricalMixture(2, random_state=0).fit(X)
    >>> mixture.categories_
    [array(['blue', 'red'], dtype='<U4'), array(['no', 'yes'], dtype='<U4')]
    >>> bool(mixture.predict([["red", "no"]])[0] in (0, 1))
    True
    """

    _family = Categorical

    _parameter_constraints: dict = {
        **BaseMixture._parameter_constraints,
        "categories": [StrOptions({"auto"}), list],
        "handle_unknown": [StrOptions({"error", "ignore"})],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        categories: Any = "auto",
        handle_unknown: str = "error",
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
        self.categories = categories
        self.handle_unknown = handle_unknown
