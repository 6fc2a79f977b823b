"""StudentTMixture."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from ..distributions import StudentT
from ..distributions.covariance import COVARIANCES
from ._base import NOISE, NOISE_NAMES, BaseMixture
from ._conditioning import ConditioningMixin

__all__ = ["StudentTMixture"]


class StudentTMixture(ConditioningMixin, BaseMixture):
    """Mixture of multivariate Student-t distributions: a Gaussian mixture that outliers do not move.

    Each row counts with a weight that falls with its distance from the component;
    how fast is the component's degrees of freedom, estimated with the rest.

    Parameters
    ----------
    n_components : int, default=1
    covariance_type : str, default="full"
        Of the scale matrices: as in :class:`GaussianMixture`.
    degrees_of_freedom : {"free", "tied"} or float, default="free"
        Estimated for each component, one for all, or held. Small ones are heavy tails, 1 is the
        Cauchy distribution.
    degrees_of_freedom_bounds : tuple of float, default=(0.1, 200.0)
        Within which they are estimated; from 200 on the distribution is as good as Gaussian.
    reg_covar : float, default=1e-6
        Added to each squared scale, in squared units of the data.
    n_factors : int, default=1
        Columns of the loadings, for ``covariance_type`` "factor" and "ppca".
    noise : bool or float, default=False
        A further component of constant density, for rows that belong nowhere. True takes the volume
        of the smaller of two boxes around the data, a number is the volume.
    prior : {"default"}, NormalInverseWishart or None, default=None
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
    means_ : ndarray of shape (n_components, n_features)
        Locations.
    scales_ : ndarray
        Scale matrices, in the shape that ``covariances_`` has in :class:`GaussianMixture`; times
        ``df / (df - 2)`` they are the covariances, where ``df > 2``.
    precisions_, precisions_cholesky_ : ndarray
        Inverses of the scale matrices and their factors.
    degrees_of_freedom_ : ndarray of shape (n_components,)
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
    Peel, D. and McLachlan, G. J. (2000). Robust mixture modelling using the t
    distribution. Statistics and Computing 10, 339-348.

    Examples
    --------
    A hundredth of the rows far away leaves the centres where they are:

    >>> import numpy as np
    >>> from emlearn.datasets import load_faithful
    >>> from emlearn.mixture import StudentTMixture
    >>> X = np.vstack([load_faithful().data, [[50.0, 500.0]] * 3])
    >>> mixture = StudentTMixture(2, random_state=0).fit(X)
    >>> mixture.means_[mixture.means_[:, 0].argsort()].round(1)
    array([[ 2. , 54. ],
           [ 4.3, 80. ]])
    """

    _family = StudentT

    _parameter_constraints: dict = {
        **BaseMixture._parameter_constraints,
        "covariance_type": [StrOptions(set(COVARIANCES))],
        "degrees_of_freedom": [
            StrOptions({"free", "tied"}),
            Interval(Real, 0.0, None, closed="neither"),
        ],
        "degrees_of_freedom_bounds": [tuple, list],
        "reg_covar": BaseMixture._parameter_constraints["tol"],
        "noise": NOISE,
        "n_factors": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        degrees_of_freedom: str | float = "free",
        degrees_of_freedom_bounds: tuple[float, float] = (0.1, 200.0),
        reg_covar: float = 1e-6,
        n_factors: int = 1,
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
        self.covariance_type = covariance_type
        self.degrees_of_freedom = degrees_of_freedom
        self.degrees_of_freedom_bounds = degrees_of_freedom_bounds
        self.reg_covar = reg_covar
        self.n_factors = n_factors
        self.noise = noise

    @classmethod
    def from_parameters(
        cls,
        weights: Any,
        means: Any,
        scales: Any,
        degrees_of_freedom: Any,
        *,
        covariance_type: str = "full",
        **parameters: Any,
    ) -> Self:
        """A mixture with given parameters, ready for use without a fit.

        A later ``fit`` starts from them.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
        means : array-like of shape (n_components, n_features)
        scales : array-like
            In the shape of ``scales_``.
        degrees_of_freedom : float or array-like of shape (n_components,)
        covariance_type : str, default="full"
        **parameters : dict
            Further parameters of the constructor; with ``noise`` also ``noise_weight``,
            ``noise_origin`` and ``noise_edges``, and all weights sum to 1.

        Returns
        -------
        StudentTMixture

        Raises
        ------
        ValueError
            If shapes do not fit, weights do not sum to 1, or a scale matrix is singular.
        """
        given = {"means": means, "scales": scales, "degrees_of_freedom": degrees_of_freedom}
        given |= {name: parameters.pop(name) for name in NOISE_NAMES if name in parameters}
        given = {"weights": weights, **given}
        return cls._from_given(
            np.size(weights), given, {"covariance_type": covariance_type, **parameters}
        )
