"""ProbabilisticPCA."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval

from .._parameters import set_engine_parameters
from ..base import EMMixin
from ..distributions import GaussianParameters
from ..distributions.covariance import ProbabilisticPrincipalComponents
from ..exceptions import HeywoodWarning, warn_user
from ._base import BaseFactorAnalysis

__all__ = ["ProbabilisticPCA"]

_EPS = float(np.finfo(np.float64).eps)


class ProbabilisticPCA(BaseFactorAnalysis):
    r"""Principal components as a model: a few factors, and noise of one variance.

    .. math:: x = \mu + W z + \varepsilon, \qquad z \sim N(0, I), \quad \varepsilon \sim N(0, \sigma^2 I)

    On complete rows the maximum of the likelihood has a closed form, in the eigenvectors of their covariance, and a fit
    is done after one step. Rows with missing cells take more: what is expected of these cells goes into the same form.

    Parameters
    ----------
    n_components : int, default=None
        Number of factors, at most ``n_features - 1``, which None is: one more would leave no noise.
    tol : float, default=1e-8
        Stop when an iteration changed the log-likelihood of all rows by less.
    max_iter : int, default=1000
    random_state : int, RandomState instance or None, default=None
        Of samples, and of the order of batches.
    warm_start : bool, default=False
        Continue from the last fit.
    verbose : int, default=0
    verbose_interval : int, default=10
    n_jobs : int, default=None
        Threads.
    accelerate : {"squarem"} or None, default=None
        Extrapolate EM steps, of rows with missing cells.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Loadings of the factors, :math:`W^T`: orthogonal, the longest first, the largest entry of each positive.
    mean_ : ndarray of shape (n_features,)
    noise_variance_ : float
    explained_variance_ : ndarray of shape (n_components,)
        Of the features along each factor, noise included: the largest eigenvalues of ``get_covariance()``.
    explained_variance_ratio_ : ndarray of shape (n_components,)
        The same as shares of the sum of all variances.
    converged_ : bool
    n_iter_ : int
    lower_bound_ : float
        Mean log-likelihood of a row, ``score(X)``.
    lower_bounds_ : ndarray of shape (``n_iter_``,)
        The same after each M-step.
    n_parameters_ : int
        Free parameters.
    stop_reason_ : str
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (``n_features_in_``,)

    Warns
    -----
    HeywoodWarning
        Where the factors explain all of the rows.

    See Also
    --------
    FactorAnalysis : With a noise variance for each feature.
    emlearn.mixture.GaussianMixture : With ``covariance_type="ppca"`` a mixture of these.

    Notes
    -----
    A covariance is a matrix of the size of the features. Where there are fewer rows than features the noise variance is
    that of the directions without a row as well.

    References
    ----------
    Tipping, M. E. and Bishop, C. M. (1999). Probabilistic principal component analysis. Journal of
    the Royal Statistical Society B 61(3), 611-622.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from emlearn.decomposition import ProbabilisticPCA
    >>> X = load_iris().data
    >>> model = ProbabilisticPCA(2).fit(X)
    >>> round(model.noise_variance_, 4)
    0.0507
    >>> model.transform(X[:2]).round(2)
    array([[-1.3 ,  0.58],
           [-1.32, -0.32]])
    """

    _parameter_constraints: dict = {
        **EMMixin._parameter_constraints,
        "n_components": [Interval(Integral, 0, None, closed="left"), None],
    }

    def __init__(
        self,
        n_components: int | None = None,
        *,
        tol: float = 1e-8,
        max_iter: int = 1000,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
        accelerate: str | None = None,
        **engine: Any,
    ) -> None:
        self.n_components = n_components
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs
        self.accelerate = accelerate
        set_engine_parameters(self, engine)

    def _covariance(self, n_factors: int) -> ProbabilisticPrincipalComponents:
        # below, the factor of a covariance would be rounding
        d = vars(self).get("n_features_in_", 0)
        return ProbabilisticPrincipalComponents(n_factors, max(1e-12, 4 * _EPS * d**2))

    def _most(self, n_features: int) -> int:
        return n_features - 1

    def _set_fitted(self, result: Any, dtype: Any) -> None:
        super()._set_fitted(result, dtype)
        loadings, noise = result.parameters.loadings[0], result.parameters.noise_variances[0]
        mean = np.diagonal(result.parameters.covariances[0]).mean()
        if noise <= 1.001 * self._covariance(loadings.shape[1]).least * mean:
            warn_user(
                f"The {loadings.shape[1]} factors explain all of the rows, and noise_variance_ is the least that it can"
                " be. Lower n_components.",
                HeywoodWarning,
            )

    def publish(self, parameters: GaussianParameters) -> dict[str, Any]:
        """The fitted attributes, by name."""
        loadings, noise = parameters.loadings[0], float(parameters.noise_variances[0])
        explained = np.square(loadings).sum(axis=0) + noise
        total = np.trace(parameters.covariances[0])
        return {
            "components_": np.ascontiguousarray(loadings.T),
            "mean_": parameters.means[0],
            "noise_variance_": noise,
            "explained_variance_": explained,
            "explained_variance_ratio_": explained / total,
        }
