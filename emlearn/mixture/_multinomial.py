"""MultinomialMixture."""

from __future__ import annotations

from typing import Any

from ..distributions import Multinomial
from ._base import BaseMixture

__all__ = ["MultinomialMixture"]


class MultinomialMixture(BaseMixture):
    """Mixture of multinomial distributions, for counts that share a total.

    Rows may have different totals: texts of different lengths, shops of different
    sizes. ``scipy.sparse`` matrices stay sparse.

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
    probabilities_ : ndarray of shape (n_components, n_features)
        Each row sums to 1.
    total_ : float
        Mean total of a row; what :meth:`sample` draws.
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
    Nigam, K., McCallum, A. K., Thrun, S. and Mitchell, T. (2000). Text classification
    from labeled and unlabeled documents using EM. Machine Learning 39, 103-134.

    Examples
    --------
    >>> from emlearn.mixture import MultinomialMixture
    >>> X = [[9, 1, 0], [18, 1, 1], [0, 5, 5], [1, 9, 11]]
    >>> mixture = MultinomialMixture(2, random_state=0).fit(X)
    >>> bool(mixture.predict([[4, 0, 0]])[0] == mixture.predict(X)[0])
    True
    """

    _family = Multinomial

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
