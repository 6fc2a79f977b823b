"""GammaMixture."""

from __future__ import annotations

from numbers import Real
from typing import Any

from sklearn.utils._param_validation import Interval

from ..distributions import Gamma
from ._base import NOISE, BaseMixture

__all__ = ["GammaMixture"]


class GammaMixture(BaseMixture):
    """Mixture of gamma distributions, for positive numbers; of exponential ones with ``fixed_shape=1``.

    Columns are independent given the component: durations, sizes, amounts.

    Parameters
    ----------
    n_components : int, default=1
    fixed_shape : float or None, default=None
        None estimates the shapes; a number holds them: 1 is the exponential distribution.
    floor : float, default=0.0
        Values below are raised to it, in the units of the data: a limit of detection. With 0, a
        value that is not positive is an error (for the exponential distribution, one that is negative).
    noise : bool or float, default=False
        A further component of constant density, for rows that belong nowhere. True takes the volume
        of the smaller of two boxes around the data, a number is the volume.
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
    shapes_ : ndarray of shape (n_components, n_features)
    scales_ : ndarray of shape (n_components, n_features)
        In the units of the data; the means are ``shapes_ * scales_``.
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
    Minka, T. P. (2002). Estimating a Gamma distribution. Technical report, Microsoft Research.

    Examples
    --------
    Durations of eruptions and waiting times of Old Faithful:

    >>> from emlearn.datasets import load_faithful
    >>> from emlearn.mixture import GammaMixture
    >>> mixture = GammaMixture(2, random_state=0).fit(load_faithful().data)
    >>> (mixture.shapes_ * mixture.scales_).round(1)
    array([[ 2. , 54.5],
           [ 4.3, 80. ]])
    """

    _family = Gamma

    _parameter_constraints: dict = {
        **BaseMixture._parameter_constraints,
        "fixed_shape": [Interval(Real, 0.0, None, closed="neither"), None],
        "noise": NOISE,
        "floor": [Interval(Real, 0.0, None, closed="left")],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        fixed_shape: float | None = None,
        floor: float = 0.0,
        noise: bool | float = False,
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
        self.fixed_shape = fixed_shape
        self.floor = floor
        self.noise = noise
