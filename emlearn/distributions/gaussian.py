"""The Gaussian family."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.utils import InputTags
from sklearn.utils._param_validation import Interval, StrOptions

from .._kernels import COMPILED
from .._kernels import gaussian as kernel
from .._kernels import missing as missing_kernel
from ..em.fixed import Constraints
from ..em.held import Space
from ..em.statistics import Moments
from ..exceptions import SingularError
from ._base import Distribution, Fold, as_float, check_domain, listed
from ._fixed_gaussian import maximise_gaussian
from ._missing import Columns, Holes, fill_scores, observed_columns, split
from ._settle_gaussian import gaussian_spaces, n_held_gaussian, settle_gaussian
from .covariance import COVARIANCES, Covariance
from .normal_inverse_wishart import NormalInverseWishart, log_density, posterior_moments

__all__ = ["Gaussian", "GaussianParameters"]

_EPS = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny)

SINGULAR_MESSAGE = (
    "Fitting the mixture model failed because some components have ill-defined empirical covariance (for instance"
    " caused by singleton or collapsed samples). Try to decrease the number of components, increase reg_covar, or"
    " scale the input data."
)

# ------------------------------------------------------------ parameters


@dataclass(frozen=True)
class GaussianParameters:
    """Parameters of K Gaussians.

    Attributes
    ----------
    means : ndarray of shape (K, d)
    covariances, precisions_cholesky : ndarray
        Their shape depends on the covariance model.
    loadings : ndarray of shape (K, d, q) or None
    noise_variances : ndarray of shape (K, d), of shape (K,) or None
        Of the models "factor" and "ppca".
    """

    means: np.ndarray
    covariances: np.ndarray
    precisions_cholesky: np.ndarray
    loadings: np.ndarray | None = None
    noise_variances: np.ndarray | None = None


class Gaussian(Distribution):
    """Gaussian distributions of K components.

    Parameters
    ----------
    covariance_type : str, default="full"
        "full", "tied", "diag", "spherical", "factor", "ppca", or one of mclust's codes: EII VII EEI VEI
        EVI VVI EEE VEE EVE VVE EEV VEV EVV VVV.
    reg_covar : float, default=0.0
        Added to each variance in the M-step, in squared units of the data.
    n_factors : int, default=1
        Of the models "factor" and "ppca".

    Notes
    -----
    Cells that are NaN are missing, at random. A row has the density of what is observed of it, 1 where nothing is;
    statistics are expected ones: missing cells have their conditional means, and the scatter what these leave of the
    covariance (Little and Rubin 2019). A start fills them with the means of their columns.

    References
    ----------
    Little, R. J. A. and Rubin, D. B. (2019). Statistical analysis with missing data, third edition, section 11.2.
    Wiley.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.distributions import Gaussian
    >>> X = np.array([[0.0], [2.0], [10.0]])
    >>> gaussian = Gaussian("spherical")
    >>> moments = gaussian.statistics(None, X, np.array([[1.0, 0.0], [1.0, 0.5], [0.0, 1.0]]))
    >>> gaussian.m_step(moments, None).means.round(3)
    array([[1.   ],
           [7.333]])
    """

    uses_blas = not (COMPILED["gaussian"] and COMPILED["missing"])
    check_arguments = {"ensure_all_finite": "allow-nan"}

    parameters_class = GaussianParameters
    default_prior = NormalInverseWishart
    continuous = True
    checks_finite = True

    _parameter_constraints: dict = {
        "covariance_type": [StrOptions(set(COVARIANCES))],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "n_factors": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self, covariance_type: str = "full", reg_covar: float = 0.0, n_factors: int = 1
    ) -> None:
        self.covariance_type = covariance_type
        self.reg_covar = reg_covar
        self.n_factors = n_factors

    @property
    def covariance(self) -> Covariance:
        """The covariance model."""
        return COVARIANCES[self.covariance_type].configure(self.n_factors)

    @property
    def exact(self) -> bool:
        """Whether the M-step of the covariance model is."""
        return self.covariance.exact

    @property
    def shared_parameters(self) -> tuple[str, ...]:
        """The covariances, where there is one for all."""
        pooled = self.covariance.form == "pooled"
        return ("covariances", "precisions", "precisions_cholesky") if pooled else ()

    # --------------------------------------------------------------- data

    #: what is observed of the columns, where a fit has missing cells
    _columns: Columns | None = None

    @property
    def observed(self) -> Columns | None:
        """What is observed of the columns of a fit that has missing cells."""
        return self._columns

    def input_tags(self, tags: InputTags) -> InputTags:
        tags = super().input_tags(tags)
        tags.allow_nan = True
        return tags

    def bind(
        self, X: np.ndarray, sample_weight: np.ndarray | None, fold: Fold | None = None
    ) -> Self:
        columns = observed_columns(X, sample_weight, fold)
        if columns is None:
            return self
        bound = type(self)(**self.get_params(deep=False))
        bound._columns = columns
        return bound

    def features(self, X: np.ndarray) -> np.ndarray | Holes:
        """The rows; or, where cells are missing, complete ones and others."""
        return split(X)

    def embed(self, X: np.ndarray) -> np.ndarray:
        """The rows, with the mean of the column in the place of a missing cell."""
        return X if self._columns is None else self._columns.fill(X)

    # ------------------------------------------------------------ density

    def row_cost(self, n_components: int, n_features: int) -> float:
        square = self.covariance.form == "full"
        return n_components * (32 + (n_features if square else 4) * n_features)

    def _constants(self, parameters: GaussianParameters) -> np.ndarray:
        K, d = parameters.means.shape
        log_det = self.covariance.log_det(parameters.precisions_cholesky, K, d)
        return log_det - 0.5 * d * math.log(2 * math.pi)

    def for_missing(self, parameters: GaussianParameters) -> tuple[np.ndarray, ...]:
        """Log-determinants of the factors, means and factors, as the kernel of missing cells reads them."""
        log_det = self.covariance.log_det(parameters.precisions_cholesky, *parameters.means.shape)
        factors = np.ascontiguousarray(parameters.precisions_cholesky).reshape(-1)
        return np.ascontiguousarray(log_det), parameters.means, factors

    def log_density(
        self, parameters: GaussianParameters, features: np.ndarray | Holes
    ) -> tuple[np.ndarray, None]:
        K = len(parameters.means)
        if isinstance(features, Holes):
            joint = np.empty((len(features.holed), K))
            arguments = np.zeros(K), *self.for_missing(parameters)
            missing_kernel.scores(features.holed, self.covariance.code, *arguments, joint=joint)
            whole = features.whole
            return features.assembled(lambda: self.log_density(parameters, whole)[0], joint), None
        joint = np.empty((len(features), K))
        kernel.scores(
            features,
            self.covariance.code,
            self._constants(parameters),
            parameters.means,
            parameters.precisions_cholesky.reshape(-1),
            joint=joint,
        )
        return joint, None

    # --------------------------------------------------------- statistics

    def statistics(
        self,
        parameters: GaussianParameters | None,
        features: np.ndarray | Holes,
        weights: np.ndarray,
        memo: None = None,
    ) -> Moments:
        if isinstance(features, Holes):
            holed, rows = self.holed_statistics(parameters, features, weights, weights), features
            if not len(rows.whole):
                return holed
            return self.statistics(parameters, rows.whole, weights[rows.whole_rows]) + holed
        weights = np.ascontiguousarray(weights, dtype=np.float64)
        K, d = weights.shape[1], features.shape[1]
        if parameters is None:
            used = weights.any(axis=1)
            centre = features[used].mean(axis=0, dtype=np.float64) if used.any() else np.zeros(d)
            reference = np.tile(centre, (K, 1))
        else:
            reference = parameters.means
        covariance = self.covariance
        moments = kernel.moments(features, weights, covariance.form_code, reference)
        return Moments(*moments, covariance.form)

    def holed_statistics(
        self,
        parameters: GaussianParameters | None,
        features: Holes,
        weights: np.ndarray,
        shares: np.ndarray,
    ) -> Moments:
        """:meth:`statistics` of rows with missing cells.

        ``shares`` (n, K) weigh what is left of the variance of a missing cell: those of a Student-t distribution are
        not times the scale of the row.
        """
        covariance, rows = self.covariance, features.holed_rows
        weights, shares = (
            np.ascontiguousarray(table[rows], dtype=np.float64) for table in (weights, shares)
        )
        if parameters is None:
            columns = self._columns or Columns.of(features.holed, None)
            moments = self.statistics(None, columns.fill(features.holed), weights)
            return columns.first_moments(features.holed, moments, shares)
        found = missing_kernel.moments(
            features.holed,
            weights,
            shares,
            covariance.code,
            covariance.form_code,
            *self.for_missing(parameters)[1:],
        )
        return Moments(*found, covariance.form)

    def _fused_holes(
        self,
        parameters: GaussianParameters,
        log_weights: np.ndarray,
        features: Holes,
        sample_weight: np.ndarray | None,
    ) -> tuple[np.ndarray, Moments, float]:
        """Counts, moments and log-likelihood of those rows of a block that have missing cells."""
        covariance, weight = self.covariance, sample_weight
        if weight is not None:
            weight = weight[features.holed_rows]
        counts, means, scatter, value = missing_kernel.e_step(
            features.holed,
            weight,
            covariance.code,
            covariance.form_code,
            log_weights,
            *self.for_missing(parameters),
        )
        return counts, Moments(counts, means, scatter, covariance.form), value

    def fused(
        self,
        parameters: GaussianParameters,
        log_weights: np.ndarray,
        features: np.ndarray | Holes,
        sample_weight: np.ndarray | None,
        flat: float | None = None,
    ) -> tuple[np.ndarray, Moments, float] | None:
        if isinstance(features, Holes):
            if flat is not None:  # what is constant depends on what is observed
                return None
            holed = self._fused_holes(parameters, log_weights, features, sample_weight)
            if not len(features.whole):
                return holed
            weight = None if sample_weight is None else sample_weight[features.whole_rows]
            whole = self.fused(parameters, log_weights, features.whole, weight)
            return tuple(a + b for a, b in zip(whole, holed, strict=True))
        covariance, K = self.covariance, len(parameters.means)
        arguments = self._for_kernel(parameters, log_weights, flat)
        if arguments is None:
            return None
        counts, means, scatter, value = kernel.e_step(
            features, sample_weight, covariance.code, covariance.form_code, *arguments
        )
        if flat is None:
            return counts, Moments(counts, means, scatter, covariance.form), value
        return counts, Moments(counts[:K], means[:K], scatter[:K], covariance.form), value

    def fused_sums(
        self,
        parameters: GaussianParameters,
        constants: np.ndarray,
        X: np.ndarray | Holes,
        sample_weight: np.ndarray | None,
    ) -> tuple[np.ndarray, Moments, float]:
        """:meth:`fused` for who has the constants: log-densities at the means, plus log weights."""
        covariance = self.covariance
        if isinstance(X, Holes):
            log_weights = constants - self._constants(parameters)
            holed = self._fused_holes(parameters, log_weights, X, sample_weight)
            if not len(X.whole):
                return holed
            weight = None if sample_weight is None else sample_weight[X.whole_rows]
            whole = self.fused_sums(parameters, constants, X.whole, weight)
            return tuple(a + b for a, b in zip(whole, holed, strict=True))
        counts, means, scatter, value = kernel.e_step(
            X,
            sample_weight,
            covariance.code,
            covariance.form_code,
            constants,
            parameters.means,
            parameters.precisions_cholesky.reshape(-1),
        )
        return counts, Moments(counts, means, scatter, covariance.form), value

    def fused_scores(
        self,
        parameters: GaussianParameters,
        log_weights: np.ndarray,
        X: np.ndarray,
        flat: float | None = None,
        **outputs: np.ndarray,
    ) -> bool | None:
        arguments = self._for_kernel(parameters, log_weights, flat)
        if arguments is None:
            return None
        if kernel.scores(X, self.covariance.code, *arguments, **outputs):
            return True
        features = self.features(X)
        if not isinstance(features, Holes) or np.isinf(X).any():
            return False
        joint = self.log_density(parameters, features)[0]
        if flat is not None:
            joint = np.column_stack([joint, np.full(len(joint), flat)])
        joint += log_weights
        fill_scores(joint, outputs)
        return True

    def _for_kernel(
        self, parameters: GaussianParameters, log_weights: np.ndarray, flat: float | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Constants, means and factors; None where the kernel has no place for a flat component."""
        constants, means = self._constants(parameters), parameters.means
        factors = parameters.precisions_cholesky
        if flat is not None:
            if factors.shape[0] != len(means) or self.covariance.form == "pooled":
                return None
            # without precision a density is its constant
            constants = np.append(constants, flat)
            means = np.vstack([means, means[:1]])
            factors = np.concatenate([factors, np.zeros_like(factors[:1])])
        return constants + log_weights, means, factors.reshape(-1)

    def expected_statistics(self, parameters: GaussianParameters, weights: np.ndarray) -> Moments:
        shape, form = parameters.means.shape, self.covariance.form
        dense = self.covariance.dense(parameters.covariances, *shape)
        scatter = weights[:, None, None] * dense
        if form == "pooled":
            scatter = scatter.sum(axis=0)
        elif form == "diag":
            scatter = np.diagonal(scatter, axis1=1, axis2=2).copy()
        return Moments(weights, parameters.means, scatter, form)

    # ------------------------------------------------------------- M-step

    def m_step(
        self,
        statistics: Moments,
        parameters: GaussianParameters | None,
        prior: NormalInverseWishart | None = None,
    ) -> GaussianParameters:
        """Means, covariances and factors; an empty component keeps its own, or has those of the prior.

        Raises
        ------
        SingularError
            If ``reg_covar`` is 0 and a covariance is singular.
        """
        moments, floor = self._with_prior(statistics, prior)
        return self._maximise(moments, None, floor, parameters, None)

    def parameter_spaces(self, n_components: int, n_features: int) -> dict[str, Space]:
        return gaussian_spaces(self.covariance, n_components, n_features)

    def settle(self, constraints: Constraints, n_components: int, n_features: int) -> Constraints:
        return settle_gaussian(self.covariance, constraints)

    def constrained_m_step(
        self,
        statistics: Moments,
        parameters: GaussianParameters | None,
        prior: NormalInverseWishart | None,
        constraints: Constraints,
        mean_weight: np.ndarray | None = None,
    ) -> GaussianParameters:
        """:meth:`m_step` beside what is fixed or shared; ``mean_weight`` (K,) where means count rows by others."""
        weight = statistics.weight if mean_weight is None else mean_weight
        if prior is not None:
            if prior.mclust:
                raise ValueError(
                    "prior: with mclust=True it is no density, and has no mode beside fixed or equal parameters."
                )
            weight = weight + prior.mean_count
        moments, floor = self._with_prior(statistics, prior)
        return self._maximise(moments, weight, floor, parameters, constraints)

    def nearest(
        self, parameters: GaussianParameters, constraints: Constraints
    ) -> GaussianParameters:
        """Parameters with what is fixed and shared, of the least divergence from these."""
        covariance, scatter = self.covariance, parameters.covariances
        K, d = parameters.means.shape
        if covariance.form == "diag":
            scatter = np.broadcast_to(scatter.reshape(K, -1), (K, d))
        elif covariance.form == "pooled":
            scatter = K * scatter
        moments = Moments(np.ones(K), parameters.means, np.array(scatter), covariance.form)
        return self._maximise(moments, moments.weight, _TINY, None, constraints)

    def n_held(self, parameters: GaussianParameters, constraints: Constraints) -> int:
        return n_held_gaussian(self.covariance, *parameters.means.shape, constraints)

    def _with_prior(
        self, statistics: Moments, prior: NormalInverseWishart | None
    ) -> tuple[Moments, float]:
        """Moments that hold the prior, and the floor that they do not."""
        if prior is None:
            return statistics, self.reg_covar
        floor = self.reg_covar
        moments = _without_rounding(statistics) if floor == 0 else statistics
        # it is in the moments; what remains says that nothing is singular
        return posterior_moments(moments, prior, self.covariance, floor), _TINY

    def _maximise(
        self,
        moments: Moments,
        mean_weight: np.ndarray | None,
        floor: float,
        parameters: GaussianParameters | None,
        constraints: Constraints | None,
    ) -> GaussianParameters:
        covariance = self.covariance
        own = _own(covariance) and not (constraints and _pools_covariances(constraints))
        empty = moments.weight <= 1e-250
        some_empty = empty.any()
        if some_empty:
            shared = covariance.shared or (covariance.form != "pooled" and not own)
            moments = _fill_empty(moments, empty, parameters, shared)
            if constraints:
                kept = moments.weight if parameters is None else 0.0
                mean_weight = np.where(empty, kept, mean_weight)
        if floor == 0:
            moments = _without_rounding(moments)
        if constraints:
            means, covariances, others = maximise_gaussian(
                covariance, moments, mean_weight, floor, parameters, constraints
            )
        else:
            means = moments.mean
            covariances, others = covariance.estimate(moments, floor, parameters)
        if some_empty and parameters is not None and own:
            covariances[empty] = parameters.covariances[empty]
            for name, value in others.items():
                if getattr(parameters, name) is not None:
                    value[empty] = getattr(parameters, name)[empty]
        factors, singular = covariance.factor(covariances)
        if len(singular) and floor > 0:  # lost beside the largest variance: the least that is not
            covariances = covariance.lift(covariances, singular)
            factors, singular = covariance.factor(covariances)
        if len(singular):
            raise SingularError(f"{SINGULAR_MESSAGE} Singular components: {singular.tolist()}.")
        return GaussianParameters(means, covariances, factors, **others)

    def alternatives(
        self,
        statistics: Moments,
        parameters: GaussianParameters,
        prior: NormalInverseWishart | None = None,
    ) -> list[GaussianParameters]:
        covariance, moments, floor = self.covariance, statistics, self.reg_covar
        if prior is not None:
            moments, floor = posterior_moments(moments, prior, covariance, floor), 0.0
        others = []
        for covariances in covariance.alternatives(moments, floor):
            factors, singular = covariance.factor(covariances)
            if not len(singular):
                others.append(GaussianParameters(parameters.means, covariances, factors))
        return others

    def log_prior(self, parameters: GaussianParameters, prior: NormalInverseWishart) -> float:
        """Log-density of the parameters, normalised where the prior of the model is a density."""
        return log_density(prior, self.covariance, parameters.means, parameters.precisions_cholesky)

    def ascent(
        self, old: GaussianParameters, new: GaussianParameters, statistics: Moments
    ) -> float:
        # reg_covar maximises Q - reg/2 sum n_k tr(precision_k), which is no log-likelihood;
        # and rounding in the distances grows with the condition of a covariance
        covariance, shape = self.covariance, new.means.shape
        after = covariance.trace_precision(new.precisions_cholesky, *shape)
        before = covariance.trace_precision(old.precisions_cholesky, *shape)
        n = statistics.weight
        law = 0.5 * self.reg_covar * float(n @ (after - before)) if self.reg_covar > 0 else 0.0
        condition = covariance.rounding(old.covariances, before) + covariance.rounding(
            new.covariances, after
        )
        return law - _EPS * shape[1] ** 2 * condition * float(n.sum())

    # ----------------------------------------------------------- sampling

    def sample(
        self, parameters: GaussianParameters, counts: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        d = parameters.means.shape[1]
        if self.covariance.form == "diag":
            return np.vstack(
                [
                    mean + rng.standard_normal(size=(count, d)) * np.sqrt(variance)
                    for mean, variance, count in zip(
                        parameters.means, parameters.covariances, counts, strict=True
                    )
                ]
            )
        matrices = self.covariance.dense(parameters.covariances, *parameters.means.shape)
        return np.vstack(
            [
                rng.multivariate_normal(mean, matrix, int(count), check_valid="ignore")
                for mean, matrix, count in zip(parameters.means, matrices, counts, strict=True)
            ]
        )

    # ------------------------------------------------------ missing cells

    def fill(self, parameters: GaussianParameters, X: np.ndarray, shares: np.ndarray) -> np.ndarray:
        filled, features = np.array(X, copy=True), self.features(X)
        if isinstance(features, Holes):
            rows = features.holed_rows
            filled[rows] = missing_kernel.fill(
                features.holed,
                np.ascontiguousarray(shares[rows], dtype=np.float64),
                self.covariance.code,
                *self.for_missing(parameters)[1:],
            )
        return filled

    def draw_missing(
        self,
        parameters: GaussianParameters,
        X: np.ndarray,
        labels: np.ndarray,
        rng: np.random.RandomState,
    ) -> np.ndarray:
        return self.draw_about(parameters, X, labels, rng)

    def draw_about(
        self,
        parameters: GaussianParameters,
        X: np.ndarray,
        labels: np.ndarray,
        rng: np.random.RandomState,
        spread: np.ndarray | None = None,
    ) -> np.ndarray:
        """Rows with draws of their missing cells, whose deviations are ``spread`` (n,) times as wide.

        A whole row is drawn; by how much its missing cells miss what its observed cells say of them is how much those
        of the row miss theirs.
        """
        mask = np.isnan(X)
        shares = np.eye(len(parameters.means))[labels]
        expected = self.fill(parameters, X, shares)
        counts = np.bincount(labels, minlength=shares.shape[1])
        drawn = np.empty(X.shape)
        drawn[np.argsort(labels, kind="stable")] = self.sample(parameters, counts, rng)
        error = drawn - self.fill(parameters, np.where(mask, np.nan, drawn), shares)
        if spread is not None:
            error *= spread[:, None]
        return np.where(mask, expected + error, X).astype(X.dtype, copy=False)

    # --------------------------------------------------------- parameters

    def n_free(self, parameters: GaussianParameters) -> int:
        K, d = parameters.means.shape
        return K * d + self.covariance.n_free(K, d)

    def check_parameters(self, parameters: GaussianParameters) -> None:
        check_domain(parameters.means, -np.inf, np.inf, "means")

    def shape(self, parameters: GaussianParameters) -> tuple[int, int]:
        return parameters.means.shape

    def publish(self, parameters: GaussianParameters) -> dict[str, np.ndarray]:
        values = {
            "means": parameters.means,
            "covariances": parameters.covariances,
            "precisions_cholesky": parameters.precisions_cholesky,
            "precisions": self.covariance.precisions(parameters.precisions_cholesky),
        }
        if parameters.noise_variances is not None:
            values["loadings"] = parameters.loadings
            values["noise_variances"] = parameters.noise_variances
        return values

    def recall(self, values: Mapping[str, Any]) -> GaussianParameters:
        """Parameters of means with either covariances or factors of precisions, or both."""
        covariance = self.covariance
        means = np.atleast_2d(as_float(values["means"]))
        shape = covariance.shape(*means.shape)
        arrays = {name: values.get(name) for name in ("precisions_cholesky", "covariances")}
        for name, value in arrays.items():
            if value is not None:
                arrays[name] = value = as_float(value)
                if value.shape != shape:
                    raise ValueError(
                        f"The parameter '{name}_' should have the shape of {shape}, but got {value.shape}"
                    )
        factors, covariances = arrays.values()
        if factors is not None:
            factors = covariance.read_factors(factors)
            if covariances is None:
                covariances = covariance.invert(covariance.precisions(factors))[0]
        elif covariances is None:
            raise KeyError("covariances")
        else:
            factors, singular = covariance.factor(covariances)
            if len(singular):
                raise ValueError(
                    f"'{covariance.name} covariance' should be symmetric, positive-definite;"
                    f" singular: {singular.tolist()}"
                )
        others = {
            name: as_float(values[name])
            for name in ("loadings", "noise_variances")
            if values.get(name) is not None and covariance.low_rank
        }
        return GaussianParameters(means, covariances, factors, **others)

    def degeneracies(self, parameters: GaussianParameters, weights: np.ndarray) -> list[str]:
        if not self.reg_covar > 0:
            return []
        lowest = self.covariance.lowest_variance(parameters.covariances, np.size(weights))
        held = (lowest.reshape(np.shape(weights)) <= 2 * self.reg_covar) & (weights > 0)
        if not held.any():
            return []
        return [
            f"Components {listed(held)} have collapsed: in some direction their rows vary by less"
            f" than reg_covar={self.reg_covar:g}, which so decides the variance there. Look for"
            " duplicated rows, constant or dependent columns, or a unit of the data that makes"
            " reg_covar large; otherwise try fewer components."
        ]


def _own(covariance: Covariance) -> bool:
    """True where each component has a covariance that no other reads."""
    return covariance.form != "pooled" and not covariance.shared


def _pools_covariances(constraints: Constraints) -> bool:
    """True where components are told to share covariances."""
    held = [constraints[name] for name in ("covariances", "precisions") if name in constraints]
    return any(part.pooled.any() for part in held)


def _fill_empty(
    moments: Moments, empty: np.ndarray, parameters: GaussianParameters | None, shared: bool
) -> Moments:
    """Give empty components their current means, or, at a start, the moments of all rows."""
    weight, mean, scatter = moments.weight.copy(), moments.mean.copy(), moments.scatter
    if parameters is not None:
        mean[empty] = parameters.means[empty]
        if shared:  # nothing of them may enter what is shared
            weight[empty] = 0.0
            return Moments(weight, mean, scatter, moments.form)
        if moments.form != "pooled":
            scatter, weight = scatter.copy(), np.where(empty, 1.0, weight)
            scatter[empty] = 0.0
        return Moments(weight, mean, scatter, moments.form)
    total = weight.sum()
    centre = weight @ np.where(empty[:, None], 0.0, mean) / total
    mean[empty] = centre
    if moments.form != "pooled":
        delta = np.where(empty[:, None], 0.0, mean - centre)
        between = (weight[:, None] * delta).T @ delta
        scatter = scatter.copy()
        scatter[empty] = scatter[~empty].sum(axis=0) + (
            between if moments.form == "full" else np.diag(between)
        )
        weight[empty] = total
    return Moments(weight, mean, scatter, moments.form)


def _without_rounding(moments: Moments) -> Moments:
    """A variance below the rounding of the mean is 0."""
    scatter = moments.scatter
    if moments.form == "pooled":
        limit = moments.weight @ np.square(8 * _EPS * moments.mean)
        flat = np.diagonal(scatter) <= limit
    else:
        limit = moments.weight[:, None] * np.square(8 * _EPS * moments.mean)
        variance = scatter if moments.form == "diag" else np.diagonal(scatter, axis1=1, axis2=2)
        flat = variance <= limit
    if not flat.any():
        return moments
    if moments.form == "diag":
        scatter = np.where(flat, 0.0, scatter)
    else:
        scatter = np.where(flat[..., :, None] | flat[..., None, :], 0.0, scatter)
    return Moments(moments.weight, moments.mean, scatter, moments.form)
