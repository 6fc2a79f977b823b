"""EMImputer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import MissingValues, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._data import check_data, check_n_imputations, check_weights
from ..distributions import NormalInverseWishart
from ..exceptions import warn_user
from ..mixture import GaussianMixture
from ._output import OutputMixin
from ._scaled import Scaled, bind_prior

__all__ = ["EMImputer"]

# what is handed on to the mixture as it is
_HANDED_ON = (
    "n_components",
    "covariance_type",
    "tol",
    "reg_covar",
    "max_iter",
    "n_init",
    "verbose",
    "verbose_interval",
    "n_jobs",
    "accelerate",
)


class EMImputer(OutputMixin, TransformerMixin, BaseEstimator):
    """Missing values filled in by a multivariate normal distribution, or by a mixture of them.

    The distribution is fitted by EM to the rows as they are, holes and all: the estimates are those of maximum
    likelihood where cells are missing at random. A missing cell becomes what is expected of it given the
    others of its row. Columns are brought to variance 1 first, so that units do not matter.

    Parameters
    ----------
    n_components : int, default=1
        1 is the multivariate normal distribution, with which imputation is linear regression on whatever is there;
        more are a Gaussian mixture, which bends.
    covariance_type : str, default="full"
        As in :class:`~emlearn.mixture.GaussianMixture`: one of its models of covariances.
    missing_values : int, float, None or pandas.NA, default=np.nan
        What stands for a missing value. NaN, None and pandas.NA are the same.
    sample_posterior : bool, default=False
        ``transform`` draws missing cells given the others, instead of taking what is expected of them: values then
        vary as data do. Each call is another draw.
    prior : {"default"}, NormalInverseWishart or None, default="default"
        Of mean and covariance. The default is worth ``2 n_features + 3`` rows in which columns are independent: it is
        nothing among thousands of rows, and keeps the covariance sound where there are not many more rows than
        columns, or fewer. None is maximum likelihood. A prior that is given is in the units of X.
    tol : float, default=1e-4
        Stop when an iteration changed the mean objective of a row by less.
    max_iter : int, default=200
    n_init : int, default=1
        Number of starts of a mixture.
    init_params : str or callable, default="kmeans"
        How a start of a mixture is drawn, as in :class:`~emlearn.mixture.GaussianMixture`, from rows whose missing
        cells have the means of their columns. One component begins with all rows.
    reg_covar : float, default=1e-6
        Added to the variances, in units of those of the columns.
    random_state : int, RandomState instance or None, default=None
        Of starts and of draws.
    add_indicator : bool, default=False
        Append columns that say where values were missing, as :class:`sklearn.impute.MissingIndicator` does.
    keep_empty_features : bool, default=False
        A column without any value in ``fit`` is dropped by ``transform``; True keeps it, filled with 0.
    n_jobs : int, default=None
        Threads. None is what BLAS may use at the call, -1 all cores.
    accelerate : {"squarem"} or None, default=None
        Extrapolate between EM steps: fewer iterations where much is missing.
    warm_start : bool, default=False
        Continue from the last fit.
    verbose : int, default=0
    verbose_interval : int, default=10

    Attributes
    ----------
    location_ : ndarray of shape (n_kept,)
        Mean of the distribution, in the units of X, of the columns that have values.
    covariance_ : ndarray of shape (n_kept, n_kept)
        Its covariance; 0 for a column of one value only, which is imputed by it.
    mixture_ : GaussianMixture or None
        The fit, to columns of variance 1 that have more than one value; None where there are none.
    n_iter_ : int
    converged_ : bool
    lower_bound_ : float
        Mean objective of a row, in the units of X: the log-likelihood of what is there, and the share of the prior.
    indicator_ : MissingIndicator or None
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (``n_features_in_``,)

    See Also
    --------
    emlearn.mixture.GaussianMixture : Takes missing cells itself, and has ``impute``, too.
    sklearn.impute.IterativeImputer : Regressions, one column after the other.

    Notes
    -----
    Draws are given the parameters at their estimates. Multiple imputation by Rubin's rules wants them to vary as well,
    which counts where rows are few: fit to resampled rows, with ``sample_weight``, and draw once from each fit.

    References
    ----------
    Little, R. J. A. and Rubin, D. B. (2019). Statistical analysis with missing data, third edition. Wiley.

    Schafer, J. L. (1997). Analysis of incomplete multivariate data. Chapman & Hall.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.impute import EMImputer
    >>> X = np.array([[1.0, 2.1], [2.0, 3.9], [3.0, 6.0], [4.0, np.nan], [np.nan, 10.1]])
    >>> EMImputer(prior=None).fit_transform(X).round(1)
    array([[ 1. ,  2.1],
           [ 2. ,  3.9],
           [ 3. ,  6. ],
           [ 4. ,  7.9],
           [ 5.1, 10.1]])
    """

    _parameter_constraints: dict = {
        **{
            name: GaussianMixture._parameter_constraints[name]
            for name in (*_HANDED_ON, "random_state", "warm_start")
        },
        "init_params": [*GaussianMixture._parameter_constraints["init_params"][:1], callable],
        "missing_values": [MissingValues(numeric_only=True), None],
        "sample_posterior": ["boolean"],
        "prior": [StrOptions({"default"}), NormalInverseWishart, None],
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
    }

    #: what a fit has found, for whoever compares fits
    _published_names: ClassVar[tuple[str, ...]] = ("location_", "covariance_")

    def __init__(
        self,
        *,
        n_components: int = 1,
        covariance_type: str = "full",
        missing_values: Any = np.nan,
        sample_posterior: bool = False,
        prior: Any = "default",
        tol: float = 1e-4,
        max_iter: int = 200,
        n_init: int = 1,
        init_params: Any = "kmeans",
        reg_covar: float = 1e-6,
        random_state: Any = None,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        n_jobs: int | None = None,
        accelerate: str | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.missing_values = missing_values
        self.sample_posterior = sample_posterior
        self.prior = prior
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.reg_covar = reg_covar
        self.random_state = random_state
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.n_jobs = n_jobs
        self.accelerate = accelerate
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._nan_is_missing()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # ------------------------------------------------------------------ fit

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the distribution.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
            Present by scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,), default=None
            A weight of 2 counts a row twice, a weight of 0 leaves it out.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X holds infinity or is no table of numbers, or no fit is sound.
        """
        X = self._read(X, reset=True)
        weight = check_weights(sample_weight, X)
        self._fit_indicator(X)
        scaled = Scaled.of(X, weight)
        empty = np.flatnonzero(~scaled.kept)
        if len(empty) and not self.keep_empty_features:
            warn_user(
                f"Columns {empty.tolist()} have no value, and are dropped. Set keep_empty_features=True to fill them"
                " with 0.",
                UserWarning,
            )
        before = vars(self).get("mixture_") if self.warm_start else None
        if before is not None and scaled.same_columns(self._scaled()):
            mixture = before.set_params(**self._settings(scaled))
        else:
            mixture = GaussianMixture(**self._settings(scaled))
        if scaled.varies.any():
            mixture.fit(scaled.forth(X), sample_weight=sample_weight)
        else:
            mixture = None
        self._publish(scaled, mixture, X, weight)
        # draws go on from call to call
        vars(self).pop("random_state_", None)
        if self.sample_posterior:
            self.random_state_ = check_random_state(self.random_state)
        return self

    def _settings(self, scaled: Scaled) -> dict[str, Any]:
        """Parameters of the mixture."""
        settings = {name: getattr(self, name) for name in _HANDED_ON}
        settings["random_state"], settings["warm_start"] = self.random_state, self.warm_start
        # of one component the shares of all rows are 1, however they are drawn
        settings["init_params"] = "random" if self.n_components == 1 else self.init_params
        settings["prior"] = bind_prior(self.prior, scaled, self.covariance_type, self.n_components)
        return settings

    def _publish(
        self, scaled: Scaled, mixture: GaussianMixture | None, X: np.ndarray, weight: Any
    ) -> None:
        self.mixture_ = mixture
        self._kept, self._varies = scaled.kept, scaled.varies
        self._mean, self._scale = scaled.mean, scaled.scale
        self.location_, self.covariance_ = (
            array.astype(X.dtype, copy=False) for array in scaled.moments(mixture)
        )
        self.converged_ = True if mixture is None else mixture.converged_
        self.n_iter_ = 0 if mixture is None else mixture.n_iter_
        if mixture is None:
            self.lower_bound_, self.lower_bounds_ = 0.0, np.empty(0)
        else:
            unit = scaled.log_unit(X, weight)
            self.lower_bound_ = mixture.lower_bound_ - unit
            self.lower_bounds_ = mixture.lower_bounds_ - unit

    def _scaled(self) -> Scaled:
        """How columns were brought to one scale."""
        return Scaled(self._kept, self._varies, self._mean, self._scale)

    # ------------------------------------------------------------ transform

    def transform(self, X: Any) -> np.ndarray:
        """X with missing values filled in.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            Values that are there are as they were.
        """
        check_is_fitted(self)
        X = self._read(X, reset=False)
        if self.sample_posterior:
            stream = vars(self).get("random_state_", None) or check_random_state(self.random_state)
            filled = self._drawn(X, 1, stream)[0]
        else:
            filled = self._filled(X, [None])[0]
        return self._put_out(X, filled)

    def sample_imputations(
        self, X: Any, n_imputations: int = 5, random_state: Any = None
    ) -> np.ndarray:
        """X some times, missing values drawn given the others of their row: multiple imputation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_imputations : int, default=5
        random_state : int, RandomState or None, default=None
            None uses the estimator's own: an integer there gives the same draws at every call.

        Returns
        -------
        ndarray of shape (n_imputations, n_samples, n_features_out)
        """
        check_is_fitted(self)
        check_n_imputations(n_imputations)
        X = self._read(X, reset=False)
        given = self.random_state if random_state is None else random_state
        drawn = self._drawn(X, n_imputations, check_random_state(given))
        return np.stack([self._put_out(X, filled) for filled in drawn])

    def _drawn(
        self, X: np.ndarray, n_imputations: int, stream: np.random.RandomState
    ) -> list[np.ndarray]:
        scaled = self._scaled()
        if self.mixture_ is None:
            return self._filled(X, [None] * n_imputations)
        Z = scaled.forth(X)
        return self._filled(X, self.mixture_.sample_imputations(Z, n_imputations, stream))

    def _filled(self, X: np.ndarray, tables: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        """X filled from tables of columns of variance 1; None is what is expected."""
        scaled, mixture = self._scaled(), self.mixture_
        out = []
        for table in tables:
            if table is None and mixture is not None:
                table = mixture.impute(scaled.forth(X))
            out.append(scaled.fill(X, table))
        return out

    def _read(self, X: Any, *, reset: bool) -> np.ndarray:
        """The data as numbers, NaN where one is missing."""
        if isinstance(X, np.ndarray) and X.dtype == object and self._nan_is_missing():
            X = np.where(self._is_na(X), np.nan, X)
        allowed = "allow-nan" if self._nan_is_missing() else True
        X = check_data(self, X, reset=reset, ensure_all_finite=allowed)
        if not self._nan_is_missing():
            X = np.where(X == self.missing_values, np.nan, X).astype(X.dtype, copy=False)
        return X
