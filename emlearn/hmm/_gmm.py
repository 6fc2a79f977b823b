"""GMMHMM."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.utils._param_validation import Interval

from ..distributions import Distribution, FiniteMixture, Gaussian
from ._base import BaseHMM

__all__ = ["GMMHMM"]


class GMMHMM(BaseHMM):
    """Hidden Markov model whose states emit mixtures of Gaussians.

    It is :class:`HMM` with the distribution :class:`~emlearn.distributions.FiniteMixture` of Gaussians.

    Parameters
    ----------
    n_components : int, default=1
        Number of states.
    n_mix : int, default=1
        Number of Gaussians of each state.
    covariance_type : str, default="full"
        Of the Gaussians: "full", "tied", "diag", "spherical", "factor", "ppca" or one of mclust's codes, as
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
        Of the Gaussians: the fit is a posterior mode. The weights of a state's Gaussians have none.
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
        How a start is drawn: clusters for the states, and clusters within these for their Gaussians,
        by "kmeans", "k-means++", "random", "random_from_data", "whitened", "hierarchical" or
        "short-runs"; or
        labels of shape (n_samples,), -1 for a row left out; or responsibilities of shape
        (n_samples, n_components); or a callable
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
    mixture_weights_ : ndarray of shape (n_components, n_mix)
        Weights of the Gaussians of each state; they sum to 1.
    means_ : ndarray of shape (n_components, n_mix, n_features)
    covariances_, precisions_, precisions_cholesky_ : ndarray
        Those of :class:`~emlearn.mixture.GaussianMixture`, with the axes (n_components, n_mix) in the place of
        its first; "tied" and "EEE" have one matrix for all Gaussians of all states.
    converged_ : bool
    n_iter_ : int
    lower_bound_ : float
        Mean objective of a row: its log-likelihood, and the share of the priors.
    lower_bounds_ : ndarray of shape (``n_iter_``,)
    n_sequences_ : int
        Sequences of the fit.
    n_parameters_ : int
        Free parameters.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (``n_features_in_``,)

    See Also
    --------
    emlearn.mixture.GaussianMixture : The attributes that all models have, in full.
    emlearn.hmm.GaussianHMM : The same with one Gaussian for each state.

    References
    ----------
    Juang, B. H. (1985). Maximum-likelihood estimation for mixture multivariate
    stochastic observations of Markov chains. AT&T Technical Journal 64(6), 1235-1249.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.hmm import GMMHMM
    >>> rng = np.random.RandomState(0)
    >>> centres = np.repeat([[0.0, 4.0], [20.0, 30.0]], 50, axis=0)
    >>> X = centres[np.arange(100), rng.randint(2, size=100)][:, None] + 0.3 * rng.randn(100, 1)
    >>> hmm = GMMHMM(2, n_mix=2, random_state=0).fit(X)
    >>> np.sort(hmm.means_.ravel()).round().astype(int)
    array([ 0,  4, 20, 30])
    """

    _parameter_constraints: dict = {
        **BaseHMM._parameter_constraints,
        **Gaussian._parameter_constraints,
        "n_mix": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_components: int = 1,
        n_mix: int = 1,
        *,
        covariance_type: str = "full",
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
        self.n_mix = n_mix
        self.covariance_type = covariance_type
        self.reg_covar = reg_covar
        self.n_factors = n_factors

    def _distribution(self) -> Distribution:
        gaussian = Gaussian(self.covariance_type, self.reg_covar, self.n_factors)
        return FiniteMixture(gaussian, self.n_mix)

    @classmethod
    def _from_given(
        cls, n_components: int, given: dict[str, Any], settings: dict[str, Any]
    ) -> Self:
        shape = np.shape(given.get("mixture_weights", ()))
        if len(shape) == 2:  # they say how many Gaussians there are
            settings = {"n_mix": shape[1], **settings}
        return super()._from_given(n_components, given, settings)
