"""FactorAnalysis."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from .._data import check_shape, column_name, read_array
from .._parameters import set_engine_parameters
from ..base import EMMixin
from ..distributions import GaussianParameters
from ..distributions.covariance import Factor
from ..em.sources import Source
from ..exceptions import HeywoodWarning, warn_user
from ._base import BaseFactorAnalysis
from ._model import FactorModel
from ._rotation import ROTATIONS, rotate

__all__ = ["FactorAnalysis"]


class FactorAnalysis(BaseFactorAnalysis):
    r"""Factor analysis: scikit-learn's, with missing cells, weights, oblique factors and the maximum of the likelihood.

    .. math:: x = \mu + W z + \varepsilon, \qquad z \sim N(0, I), \quad \varepsilon \sim N(0, \Psi)

    with a diagonal matrix :math:`\Psi` of noise variances. Given these, the best loadings :math:`W` are those of an
    eigendecomposition (Lawley); the noise takes Jöreskog's approximate Newton steps in its logarithm. Complete rows are
    read once, and an iteration takes as long however many they are.

    Parameters
    ----------
    n_components : int, default=None
        Number of factors, at most ``n_features``, which None is.
    tol : float, default=1e-8
        Stop when an iteration changed the log-likelihood of all rows by less.
    copy : bool, default=True
        Accepted for scikit-learn's sake: rows are never written to.
    max_iter : int, default=1000
    noise_variance_init : array-like of shape (n_features,), default=None
        Where the noise variances begin; None is Jöreskog's choice, which follows from the rows and knows of no unit.
    svd_method : {"lapack", "randomized"}, default="randomized"
    iterated_power : int, default=3
        Both accepted for scikit-learn's sake: decompositions are exact.
    rotation : {"varimax", "quartimax", "promax"} or None, default=None
        Of the fitted loadings. Factors stay uncorrelated, except those of "promax".
    random_state : int, RandomState instance or None, default=0
        Of samples, and of the order of batches.
    kaiser : bool or None, default=None
        Whether a rotation takes the loadings of each feature as if they were as long as any other's. None does so for
        "promax", as R does, and not for the others, as scikit-learn does. Without it a rotation depends on the units
        of the features. The powers that "promax" takes are of loadings in standard deviations of the features.
    method : {"newton", "em"}, default="newton"
        "newton" maximises the likelihood itself; "em" takes the factors for missing data (Rubin and Thayer), which may
        take thousands of iterations.
    components_init : array-like of shape (n_components, n_features), default=None
        Where the loadings begin; None takes the best for the noise.
    noise_floor : float, default=1e-8
        The least share of a feature's variance that is noise; R's ``factanal`` has 0.005.
    warm_start : bool, default=False
        Continue from the last fit.
    verbose : int, default=0
    verbose_interval : int, default=10
    n_jobs : int, default=None
        Threads.
    accelerate : {"squarem"} or None, default=None
        Extrapolate EM steps: of ``method="em"``, and of rows with missing cells.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Loadings :math:`W^T`, rotated if so asked for; else :math:`W^T \Psi^{-1} W` is diagonal, the largest first. The
        largest entry of each is positive.
    noise_variance_ : ndarray of shape (n_features,)
        Uniquenesses, in squared units of the features.
    factor_correlation_ : ndarray of shape (n_components, n_components)
        Of the factors; the identity, except for "promax".
    mean_ : ndarray of shape (n_features,)
    loglike_ : list of float
        Log-likelihood of all rows after each M-step that raised it.
    converged_ : bool
    n_iter_ : int
    lower_bound_ : float
        Mean log-likelihood of a row, ``score(X)``.
    lower_bounds_ : ndarray of shape (``n_iter_``,)
        The same after each M-step.
    n_parameters_ : int
        Free parameters; those that rotations take are none.
    stop_reason_ : str
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (``n_features_in_``,)

    Warns
    -----
    HeywoodWarning
        Where the noise variance of a feature comes to its least: the likelihood rises all the way to the edge.

    See Also
    --------
    ProbabilisticPCA : With one noise variance for all features.
    emlearn.mixture.GaussianMixture : With ``covariance_type="factor"`` a mixture of these.

    Notes
    -----
    A covariance is a matrix of the size of the features. Where there are fewer rows than features, or more factors than
    the features can tell apart, noise variances go to their least.

    References
    ----------
    Lawley, D. N. and Maxwell, A. E. (1971). Factor Analysis as a Statistical Method. Butterworths.

    Jöreskog, K. G. (1967). Some contributions to maximum likelihood factor analysis. Psychometrika 32(4), 443-482.

    Rubin, D. B. and Thayer, D. T. (1982). EM algorithms for ML factor analysis. Psychometrika 47(1), 69-76.

    Kaiser, H. F. (1958). The varimax criterion for analytic rotation in factor analysis. Psychometrika 23(3), 187-200.

    Hendrickson, A. E. and White, P. O. (1964). Promax: a quick method for rotation to oblique simple structure. British
    Journal of Statistical Psychology 17(1), 65-70.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from emlearn.decomposition import FactorAnalysis
    >>> X = load_wine().data
    >>> model = FactorAnalysis(2, rotation="varimax", kaiser=True).fit(X)
    >>> (model.components_ / X.std(axis=0)).round(1)[:, 5:]
    array([[ 0.8,  0.9, -0.5,  0.6, -0.4,  0.7,  0.9,  0.4],
           [ 0.3,  0.2, -0.1,  0.2,  0.8, -0.3, -0.1,  0.6]])
    >>> model.transform(X[[0, 80, 160]]).round(1)
    array([[ 1.1,  0.9],
           [ 0.7, -1.4],
           [-1.3,  0.4]])
    """

    _parameter_constraints: dict = {
        **EMMixin._parameter_constraints,
        "n_components": [Interval(Integral, 0, None, closed="left"), None],
        "copy": ["boolean"],
        "noise_variance_init": ["array-like", None],
        "svd_method": [StrOptions({"lapack", "randomized"})],
        "iterated_power": [Interval(Integral, 0, None, closed="left")],
        "rotation": [StrOptions(set(ROTATIONS)), None],
        "kaiser": ["boolean", None],
        "method": [StrOptions({"newton", "em"})],
        "components_init": ["array-like", None],
        "noise_floor": [Interval(Real, 1e-10, 1.0, closed="left")],
    }

    def __init__(
        self,
        n_components: int | None = None,
        *,
        tol: float = 1e-8,
        copy: bool = True,
        max_iter: int = 1000,
        noise_variance_init: Any = None,
        svd_method: str = "randomized",
        iterated_power: int = 3,
        rotation: str | None = None,
        random_state: Any = 0,
        kaiser: bool | None = None,
        method: str = "newton",
        components_init: Any = None,
        noise_floor: float = 1e-8,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
        accelerate: str | None = None,
        **engine: Any,
    ) -> None:
        self.n_components = n_components
        self.tol = tol
        self.copy = copy
        self.max_iter = max_iter
        self.noise_variance_init = noise_variance_init
        self.svd_method = svd_method
        self.iterated_power = iterated_power
        self.rotation = rotation
        self.random_state = random_state
        self.kaiser = kaiser
        self.method = method
        self.components_init = components_init
        self.noise_floor = noise_floor
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs
        self.accelerate = accelerate
        set_engine_parameters(self, engine)

    # ---------------------------------------------------------------- model

    def _covariance(self, n_factors: int) -> Factor:
        return Factor(n_factors, self.noise_floor, steep=True)

    def _most(self, n_features: int) -> int:
        return n_features

    def _fit_model(self, X: Any, sample_weight: np.ndarray | None, **fold: Any) -> FactorModel:
        model = super()._fit_model(X, sample_weight, **fold)
        model.plain = self.method == "em"
        model.noise, model.loadings = self._given(X.shape[1])
        return model

    def _fitted_model(self) -> FactorModel:
        model = super()._fitted_model()
        model.plain = self.method == "em"
        return model

    def _given(self, n_features: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Noise variances and loadings to begin with, checked."""
        noise, components = self.noise_variance_init, self.components_init
        if noise is not None:
            noise = read_array(noise, "noise_variance_init")
            check_shape(noise, (n_features,), "noise_variance_init")
            if not noise.min() > 0:
                raise ValueError(f"noise_variance_init must be positive, got {noise.min():g}.")
        if components is None:
            return noise, None
        components = read_array(components, "components_init")
        check_shape(components, (self._n_factors(n_features), n_features), "components_init")
        return noise, np.ascontiguousarray(components.T)

    def _check_against(self, source: Source) -> None:
        super()._check_against(source)
        self._given(source.shape[1])

    # --------------------------------------------------------------- fitted

    def publish(self, parameters: GaussianParameters) -> dict[str, Any]:
        """The fitted attributes, by name."""
        loadings = parameters.loadings[0]
        correlations = np.eye(loadings.shape[1])
        if self.rotation is not None:
            deviations = np.sqrt(np.diagonal(parameters.covariances[0]))
            loadings, correlations = rotate(loadings, self.rotation, self.kaiser, deviations)
        return {
            "components_": np.ascontiguousarray(loadings.T),
            "noise_variance_": parameters.noise_variances[0],
            "mean_": parameters.means[0],
            "factor_correlation_": correlations,
        }

    def _note_rows(self, source: Source) -> None:
        values = self.lower_bounds_ * source.weight
        before = np.maximum.accumulate(np.append(-np.inf, values[:-1]))
        self.loglike_ = values[values > before].tolist()

    def _set_fitted(self, result: Any, dtype: Any) -> None:
        super()._set_fitted(result, dtype)
        noise = result.parameters.noise_variances[0]
        variances = np.diagonal(result.parameters.covariances[0])
        held = noise <= 1.001 * self.noise_floor * variances
        if held.any():
            names = ", ".join(column_name(self, j) for j in np.flatnonzero(held))
            warn_user(
                f"A Heywood case: the noise of {names} came to the share noise_floor={self.noise_floor:g} of the"
                " variance, and the factors explain all the rest. Try fewer factors, or a higher noise_floor.",
                HeywoodWarning,
            )
