"""GaussianHMM."""

from __future__ import annotations

from typing import Any

from ..distributions import Gaussian
from ._base import BaseHMM

__all__ = ["GaussianHMM"]


class GaussianHMM(BaseHMM):
    """Hidden Markov model whose states emit Gaussian rows.

    Parameters
    ----------
    n_components : int, default=1
        Number of states.
    covariance_type : str, default="full"
        Of the states: "full", "tied", "diag", "spherical", "factor", "ppca" or one of mclust's codes, as
        in :class:`~emlearn.mixture.GaussianMixture`.
    reg_covar : float, default=1e-6
        Added to each variance, in squared units of the data.
    n_factors : int, default=1
        Columns of the loadings, for ``covariance_type`` "factor" and "ppca".
    topology : {"ergodic", "left-right", "linear"} or array-like, default="ergodic"
        Which transitions there are: all; to the same state or a later one, beginning in the first; to the
        same state or the next, beginning in the first; or those that are not 0 in an array of shape
        (n_components, n_components). The others stay impossible.
    prior : {"default"}, NormalInverseWishart or None, default=None
        Of the states' parameters: the fit is a posterior mode.
    startprob_prior : float or array-like of shape (n_components,), default=None
        Concentration of a Dirichlet prior of the first state, at least 1.
    transmat_prior : float or array-like of shape (n_components, n_components), default=None
        Concentrations of Dirichlet priors of the rows of the transition matrix, at least 1.
    tol : float, default=1e-4
        Stop when an iteration changed the mean objective of a row by less.
    max_iter : int, default=100
    n_init : int, default=1
        Number of starts; the best fit is kept.
    init_params : str, array-like, dict or callable, default="kmeans"
        How a start is drawn: "kmeans", "k-means++", "random", "random_from_data", "whitened",
        "hierarchical" or "short-runs"; or labels of shape (n_samples,), -1 for a row left out;
        or responsibilities of shape (n_samples, n_components); or a callable
        ``(X, n_components, random_state)`` that returns one of the two; or parameters by
        name: ``startprob``, ``transmat``, and all those of the states or none of them.
        Probabilities of 0 stay 0.
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
    startprob_ : ndarray of shape (n_components,)
        Probabilities of the first state.
    transmat_ : ndarray of shape (n_components, n_components)
        Row i holds the probabilities of the state after state i.
    means_ : ndarray of shape (n_components, n_features)
    covariances_, precisions_, precisions_cholesky_ : ndarray
        In the shapes of :class:`~emlearn.mixture.GaussianMixture`.
    converged_ : bool
    n_iter_ : int
    lower_bound_ : float
        Mean objective of a row: its log-likelihood, and the share of the priors.
    lower_bounds_ : ndarray of shape (``n_iter_``,)
    n_sequences_ : int
        Sequences of the fit.
    n_parameters_ : int
        Free parameters.
    n_steps_ : int
        Batches that ``partial_fit`` has taken in; a fit removes it.
    classes_ : ndarray
        Where there were labels: the numbers that occur; or texts, of which class k is state k.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (``n_features_in_``,)

    See Also
    --------
    emlearn.mixture.GaussianMixture : The attributes that all models have, in full.

    References
    ----------
    Rabiner, L. R. (1989). A tutorial on hidden Markov models and selected
    applications in speech recognition. Proceedings of the IEEE 77(2), 257-286.

    Examples
    --------
    Durations of eruptions of Old Faithful: after a short one comes always a long one.

    >>> from emlearn.datasets import load_geyser
    >>> from emlearn.hmm import GaussianHMM
    >>> X = load_geyser().data
    >>> hmm = GaussianHMM(2, random_state=0).fit(X)
    >>> order = hmm.means_[:, 0].argsort()
    >>> hmm.means_[order].round(1)
    array([[2. ],
           [4.3]])
    >>> hmm.transmat_[order][:, order].round(2)
    array([[0.  , 1.  ],
           [0.55, 0.45]])
    """

    _family = Gaussian

    _parameter_constraints: dict = {
        **BaseHMM._parameter_constraints,
        **Gaussian._parameter_constraints,
    }

    def __init__(
        self,
        n_components: int = 1,
        covariance_type: str = "full",
        *,
        reg_covar: float = 1e-6,
        n_factors: int = 1,
        topology: Any = "ergodic",
        prior: Any = None,
        startprob_prior: Any = None,
        transmat_prior: Any = None,
        tol: float = 1e-4,
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
            topology=topology,
            prior=prior,
            startprob_prior=startprob_prior,
            transmat_prior=transmat_prior,
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
        self.n_factors = n_factors
