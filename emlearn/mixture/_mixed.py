"""MixedMixture."""

from __future__ import annotations

from typing import Any

from sklearn.utils._param_validation import StrOptions

from ..distributions import Product
from ._base import BaseMixture

__all__ = ["MixedMixture"]


class MixedMixture(BaseMixture):
    """Mixture for columns of several types.

    Blocks of columns, each of a family of its own, are independent given the component:
    numbers, counts, categories and yes-or-no in one data frame.

    Parameters
    ----------
    n_components : int, default=1
    blocks : "auto" or list of tuple, default="auto"
        ``(name, distribution, columns)`` each, as in scikit-learn's ColumnTransformer: columns are
        names, positions, a slice, a boolean mask, or a callable of the data; the distribution is one
        of :mod:`emlearn.distributions`, or "gaussian", "student_t", "gamma", "bernoulli",
        "categorical", "poisson", "multinomial" or "von_mises_fisher", with its usual
        hyper-parameters. Columns in no block are left out. "auto" goes by the types of the columns: categories,
        strings and objects are categorical, booleans Bernoulli, whole numbers of at least 0
        Poisson, other numbers Gaussian with a variance each.
    prior : {"default"}, ProductPrior or None, default=None
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
    blocks_ : list of tuple
        Name, distribution and positions of the columns of each block.
    <block>_<parameter>_ : ndarray
        The parameters of each block, with its name in front.
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
    Hunt, L. and Jorgensen, M. (1999). Mixture model clustering using the MULTIMIX program.
    Australian and New Zealand Journal of Statistics 41(2), 154-171.

    Examples
    --------
    >>> import pandas as pd
    >>> from emlearn.mixture import MixedMixture
    >>> X = pd.DataFrame({"size": [1.0, 1.2, 5.0, 5.1], "kind": ["a", "a", "b", "b"]})
    >>> mixture = MixedMixture(2, random_state=0).fit(X)
    >>> mixture.gaussian_means_.round(2)
    array([[5.05],
           [1.1 ]])
    """

    _family = Product

    _parameter_constraints: dict = {
        **BaseMixture._parameter_constraints,
        "blocks": [StrOptions({"auto"}), list],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        blocks: Any = "auto",
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
        self.blocks = blocks
