"""The multivariate Student-t family: Gaussians with heavy tails."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Self

import numpy as np
from scipy.special import betaln, digamma, gammaln
from sklearn.utils import InputTags
from sklearn.utils._param_validation import Interval, StrOptions

from .._kernels import COMPILED
from .._kernels import gaussian as kernel
from .._kernels import missing as missing_kernel
from ..em.fixed import Constraints
from ..em.held import Held, Space
from ..em.statistics import Joint, Moments, Sums
from ._base import Distribution, Fold, as_float, check_domain
from ._missing import Holes, observed_columns
from ._settle_gaussian import gaussian_spaces, n_held_gaussian, settle_gaussian
from ._special import solve_gamma_shape
from .gaussian import Gaussian, GaussianParameters
from .normal_inverse_wishart import NormalInverseWishart, posterior_moments

__all__ = ["StudentT", "StudentTParameters"]

# where degrees of freedom begin that nobody gave: a first scale that outliers have widened shrinks
# under tails this heavy, and under lighter ones a component goes to the outliers
_FIRST = 0.5

# ------------------------------------------------------------ parameters


@dataclass(frozen=True)
class StudentTParameters:
    """Parameters of K Student-t distributions.

    Attributes
    ----------
    scaled : GaussianParameters
        Locations, and scale matrices in the place of covariances: those times
        ``df / (df - 2)`` are the covariances, where ``df > 2``.
    degrees_of_freedom : ndarray of shape (K,)
    """

    scaled: GaussianParameters
    degrees_of_freedom: np.ndarray


class StudentT(Distribution):
    """Multivariate Student-t distributions of K components.

    Parameters
    ----------
    covariance_type : str, default="full"
        Of the scale matrices, as in :class:`Gaussian`.
    degrees_of_freedom : {"free", "tied"} or float, default="free"
        Estimated for each component, one for all, or held. Small ones are heavy tails, 1 is the
        Cauchy distribution.
    degrees_of_freedom_bounds : tuple of float, default=(0.1, 200.0)
        Within which they are estimated; from 200 on the distribution is as good as Gaussian.
    reg_covar : float, default=0.0
        Added to each squared scale in the M-step, in squared units of the data.
    n_factors : int, default=1
        Of the model "factor".

    Notes
    -----
    Cells that are NaN are missing, at random: what is observed of a row has a t distribution itself, with the same
    degrees of freedom (Liu and Rubin 1995).

    References
    ----------
    Peel, D. and McLachlan, G. J. (2000). Robust mixture modelling using the t
    distribution. Statistics and Computing 10, 339-348.

    Liu, C. and Rubin, D. B. (1995). ML estimation of the t distribution using EM and its extensions, ECM and ECME.
    Statistica Sinica 5, 19-39.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.distributions import StudentT
    >>> t = StudentT("diag", degrees_of_freedom=3.0)
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> t.m_step(t.statistics(None, X, np.ones((3, 1))), None).scaled.means
    array([[1.]])
    """

    also_parameters = frozenset({"degrees_of_freedom"})
    parameters_class = StudentTParameters
    continuous = True
    exact = False
    default_prior = NormalInverseWishart
    uses_blas = not (COMPILED["gaussian"] and COMPILED["missing"])
    check_arguments = Gaussian.check_arguments

    _parameter_constraints: dict = {
        **Gaussian._parameter_constraints,
        "degrees_of_freedom": [
            StrOptions({"free", "tied"}),
            Interval(Real, 0.0, None, closed="neither"),
        ],
        "degrees_of_freedom_bounds": [tuple, list],
    }

    def __init__(
        self,
        covariance_type: str = "full",
        degrees_of_freedom: str | float = "free",
        degrees_of_freedom_bounds: tuple[float, float] = (0.1, 200.0),
        reg_covar: float = 0.0,
        n_factors: int = 1,
    ) -> None:
        self.covariance_type = covariance_type
        self.degrees_of_freedom = degrees_of_freedom
        self.degrees_of_freedom_bounds = degrees_of_freedom_bounds
        self.reg_covar = reg_covar
        self.n_factors = n_factors

    #: what is observed of the columns, where a fit has missing cells
    _columns: Any = None

    @property
    def gaussian(self) -> Gaussian:
        """The Gaussian that remains once the scale of each row is known."""
        gaussian = Gaussian(self.covariance_type, self.reg_covar, self.n_factors)
        gaussian._columns = self._columns
        return gaussian

    def input_tags(self, tags: InputTags) -> InputTags:
        tags = super().input_tags(tags)
        tags.allow_nan = True
        return tags

    @property
    def covariance(self) -> Any:
        """The model of the scale matrices."""
        return self.gaussian.covariance

    @property
    def shared_parameters(self) -> tuple[str, ...]:
        """The scale matrices, where there is one for all."""
        names = self.gaussian.shared_parameters
        return tuple("scales" if name == "covariances" else name for name in names)

    def bind(
        self, X: np.ndarray, sample_weight: np.ndarray | None, fold: Fold | None = None
    ) -> Self:
        bounds = self.degrees_of_freedom_bounds
        numbers = len(bounds) == 2 and all(isinstance(b, Real) for b in bounds)
        if not (numbers and 0 < bounds[0] <= bounds[1]):
            raise ValueError(
                "degrees_of_freedom_bounds must be two numbers above 0, the lower one first, got"
                f" {bounds!r}."
            )
        bound = type(self)(**self.get_params(deep=False))
        bound._columns = observed_columns(X, sample_weight, fold)
        bound._middle, bound._spread = _middle_and_spread(X, sample_weight)
        return bound

    def row_cost(self, n_components: int, n_features: float) -> float:
        return 3 * self.gaussian.row_cost(n_components, n_features) + 60 * n_components

    def embed(self, X: np.ndarray) -> np.ndarray:
        """Columns about their medians, what lies far outside drawn in: outliers make no clusters of their own."""
        scaled = np.clip((X - self._middle) / self._spread, -3.0, 3.0)
        return scaled if self._columns is None else np.nan_to_num(scaled, copy=False)

    def features(self, X: np.ndarray) -> np.ndarray | Holes:
        """The rows; or, where cells are missing, complete ones and others."""
        return self.gaussian.features(X)

    # ------------------------------------------------------------ density

    def log_density(
        self, parameters: StudentTParameters, features: np.ndarray | Holes
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Log-densities; 1 + squared distance / df, and its logarithm."""
        if isinstance(features, Holes):
            return self._holed_density(parameters, features)
        scaled, df = parameters.scaled, parameters.degrees_of_freedom
        K, d = scaled.means.shape
        factors = scaled.precisions_cholesky
        distances = np.empty((len(features), K))
        kernel.scores(
            features,
            self.covariance.code,
            np.zeros(K),
            scaled.means,
            factors.reshape(-1),
            joint=distances,
        )
        distances *= -2.0 / df
        logs = np.log1p(distances)
        distances += 1.0
        constants = (
            self.covariance.log_det(factors, K, d)
            + gammaln(d / 2)
            - betaln(df / 2, d / 2)  # which keeps its digits where df is large
            - 0.5 * d * np.log(df * math.pi)
        )
        density = logs * (-(df + d) / 2)
        density += constants
        return density, (distances, logs)

    def _holed_density(
        self, parameters: StudentTParameters, features: Holes
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """That of what is observed of each row."""
        df, (K, d) = parameters.degrees_of_freedom, parameters.scaled.means.shape
        ratio, log_det = self._distances(parameters, features.holed)
        ratio /= df
        logs = np.log1p(ratio)
        ratio += 1.0
        seen = np.arange(1, d + 1)[:, None]
        constants = np.zeros((d + 1, K))  # of no cell at all the logarithm of 1
        constants[1:] = (
            gammaln(seen / 2) - betaln(df / 2, seen / 2) - 0.5 * seen * np.log(df * math.pi)
        )
        seen = features.seen[features.holed_rows]
        density = constants[seen] + log_det - 0.5 * (df + seen[:, None]) * logs
        if not len(features.whole):
            whole = None
        else:
            whole = self.log_density(parameters, features.whole)
        return (
            features.assembled(lambda: whole[0], density),
            (
                features.assembled(lambda: whole[1][0], ratio),
                features.assembled(lambda: whole[1][1], logs),
            ),
        )

    def _distances(
        self, parameters: StudentTParameters, X: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances (n, K) of what is observed, and log-determinants of its factors."""
        K = len(parameters.degrees_of_freedom)
        distance, log_det = np.empty((len(X), K)), np.empty((len(X), K))
        missing_kernel.scores(
            X,
            self.covariance.code,
            np.zeros(K),
            *self.gaussian.for_missing(parameters.scaled),
            distance=distance,
            observed_log_det=log_det,
        )
        return distance, log_det

    # --------------------------------------------------------- statistics

    def statistics(
        self,
        parameters: StudentTParameters | None,
        features: np.ndarray | Holes,
        weights: np.ndarray,
        memo: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Joint:
        """Moments under weights times the expected precision u of each row, and sums of E log u - u."""
        if parameters is None:
            moments = self.gaussian.statistics(None, features, weights)
            return Joint(
                {"moments": moments, "scales": _sums(weights.sum(axis=0), -moments.weight)}
            )
        if memo is None:
            memo = self.log_density(parameters, features)[1]
        df, d = parameters.degrees_of_freedom, features.shape[1]
        ratio, logs = memo
        weight = weights.sum(axis=0)
        if isinstance(features, Holes):
            return self._holed_statistics(parameters, features, weights, memo)
        scaled = ((df + d) / df) / ratio
        scaled *= weights
        # log u is a constant of the component less log(ratio)
        total = weight * (digamma((df + d) / 2) - np.log(df / 2))
        total -= np.einsum("nk,nk->k", weights, logs) + scaled.sum(axis=0)
        moments = self.gaussian.statistics(parameters.scaled, features, scaled)
        return Joint({"moments": moments, "scales": _sums(weight, total)})

    def _holed_statistics(
        self,
        parameters: StudentTParameters,
        features: Holes,
        weights: np.ndarray,
        memo: tuple[np.ndarray, np.ndarray],
    ) -> Joint:
        """A row tells of its scale by what is observed of it; what is not has a variance of its own."""
        df, (ratio, logs) = parameters.degrees_of_freedom, memo
        total = df + features.seen[:, None]
        scaled = weights * (total / df / ratio)
        sums = weights * (digamma(total / 2) - np.log(df / 2) - logs) - scaled
        whole = features.whole_rows
        moments = self.gaussian.holed_statistics(parameters.scaled, features, scaled, weights)
        if len(whole):
            moments = (
                self.gaussian.statistics(parameters.scaled, features.whole, scaled[whole]) + moments
            )
        return Joint({"moments": moments, "scales": _sums(weights.sum(axis=0), sums.sum(axis=0))})

    # ------------------------------------------------------------- M-step

    def m_step(
        self,
        statistics: Joint,
        parameters: StudentTParameters | None,
        prior: NormalInverseWishart | None = None,
    ) -> StudentTParameters:
        """Locations, scale matrices, degrees of freedom.

        Raises
        ------
        SingularError
            If ``reg_covar`` is 0 and a scale matrix is singular.
        """
        scaled = self.gaussian.m_step(
            self._counted(statistics, prior), None if parameters is None else parameters.scaled
        )
        return StudentTParameters(
            scaled, self._degrees_of_freedom(statistics["scales"], parameters)
        )

    def _counted(self, statistics: Joint, prior: NormalInverseWishart | None) -> Moments:
        """Moments, weighted as scale matrices count rows; those of a prior among them."""
        moments, weight = statistics["moments"], statistics["scales"]["weight"]
        if (
            prior is not None
        ):  # that of a mean counts beside precisions, that of a covariance beside rows
            seen = moments.weight
            moments = posterior_moments(moments, prior, self.covariance, 0.0)
            weight = moments.weight - seen + weight
        return Moments(weight, moments.mean, moments.scatter, moments.form)

    def parameter_spaces(self, n_components: int, n_features: int) -> dict[str, Space]:
        spaces = gaussian_spaces(self.covariance, n_components, n_features)
        spaces["scales"] = spaces.pop("covariances")
        return {**spaces, "degrees_of_freedom": Space((n_components,), 0.0, strict=True)}

    def settle(self, constraints: Constraints, n_components: int, n_features: int) -> Constraints:
        """Those of :class:`Gaussian`, by its names, and ``degrees_of_freedom``."""
        named = {"covariances" if name == "scales" else name: h for name, h in constraints.items()}
        df = named.pop("degrees_of_freedom", None)
        held: dict[str, Held] = dict(settle_gaussian(self.covariance, Constraints(named), "scales"))
        if df is None:
            return Constraints(held)
        if self.degrees_of_freedom == "tied":
            df = replace(df, shared=np.ones_like(df.shared)).settled("degrees_of_freedom")
        if not isinstance(self.degrees_of_freedom, str):
            if np.any(df.values != self.degrees_of_freedom, where=df.fixed):
                raise ValueError(
                    f"fixed: 'degrees_of_freedom' are {self.degrees_of_freedom:g} already. Set degrees_of_freedom="
                    "'free' to fix others."
                )
            return Constraints(held)
        return Constraints({**held, "degrees_of_freedom": df})

    def constrained_m_step(
        self,
        statistics: Joint,
        parameters: StudentTParameters | None,
        prior: NormalInverseWishart | None,
        constraints: Constraints,
    ) -> StudentTParameters:
        df = constraints.get("degrees_of_freedom")
        inner = Constraints({n: h for n, h in constraints.items() if n != "degrees_of_freedom"})
        moments = self._counted(statistics, prior)
        current = None if parameters is None else parameters.scaled
        if inner:
            seen = statistics["moments"].weight
            seen = seen if prior is None else seen + prior.mean_count
            scaled = self.gaussian.constrained_m_step(moments, current, None, inner, seen)
        else:
            scaled = self.gaussian.m_step(moments, current)
        found = self._degrees_of_freedom(statistics["scales"], parameters, df)
        return StudentTParameters(scaled, found)

    def n_held(self, parameters: StudentTParameters, constraints: Constraints) -> int:
        total = n_held_gaussian(self.covariance, *parameters.scaled.means.shape, constraints)
        df = constraints.get("degrees_of_freedom")
        if df is None:
            return total
        free = 1 if self.degrees_of_freedom == "tied" else len(df.values)
        return total + free - df.n_free()

    def _degrees_of_freedom(
        self, sums: Sums, parameters: StudentTParameters | None, held: Held | None = None
    ) -> np.ndarray:
        weight, logs = sums["weight"], sums["log_minus_scale"]
        low, high = self.degrees_of_freedom_bounds
        if not isinstance(self.degrees_of_freedom, str):
            return np.full(len(weight), float(self.degrees_of_freedom))
        if parameters is None:
            first = np.full(len(weight), min(max(_FIRST, low), high))
            return first if held is None else held.put(first)
        if self.degrees_of_freedom == "tied":
            weight, logs = np.full_like(weight, weight.sum()), np.full_like(logs, logs.sum())
        elif held is not None and held.pooled.any():
            weight, logs = weight.copy(), logs.copy()
            for members in held.groups:
                if held.pooled[members[0]]:
                    weight[members], logs[members] = weight[members].sum(), logs[members].sum()
        safe = np.where(weight > 0, weight, 1.0)
        gap = np.maximum(-1.0 - logs / safe, 1e-12)
        df = np.clip(2.0 * solve_gamma_shape(gap), low, high)
        df = np.where(weight > 0, df, parameters.degrees_of_freedom)
        return df if held is None else held.put(df)

    def alternatives(
        self,
        statistics: Joint,
        parameters: StudentTParameters,
        prior: NormalInverseWishart | None = None,
    ) -> list[StudentTParameters]:
        others = self.gaussian.alternatives(statistics["moments"], parameters.scaled, prior)
        return [StudentTParameters(scaled, parameters.degrees_of_freedom) for scaled in others]

    def log_prior(self, parameters: StudentTParameters, prior: NormalInverseWishart) -> float:
        return self.gaussian.log_prior(parameters.scaled, prior)

    def ascent(self, old: StudentTParameters, new: StudentTParameters, statistics: Joint) -> float:
        moments = statistics["moments"]
        counted = Moments(
            statistics["scales"]["weight"], moments.mean, moments.scatter, moments.form
        )
        return self.gaussian.ascent(old.scaled, new.scaled, counted)

    # ----------------------------------------------------------- sampling

    def sample(
        self, parameters: StudentTParameters, counts: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        scaled = parameters.scaled
        normal = self.gaussian.sample(scaled, counts, rng)
        df = np.repeat(parameters.degrees_of_freedom, counts)
        means = np.repeat(scaled.means, counts, axis=0)
        return means + (normal - means) * np.sqrt(df / rng.chisquare(df))[:, None]

    # ------------------------------------------------------ missing cells

    def fill(self, parameters: StudentTParameters, X: np.ndarray, shares: np.ndarray) -> np.ndarray:
        return self.gaussian.fill(parameters.scaled, X, shares)

    def draw_missing(
        self,
        parameters: StudentTParameters,
        X: np.ndarray,
        labels: np.ndarray,
        rng: np.random.RandomState,
    ) -> np.ndarray:
        features, spread = self.features(X), np.ones(len(X))
        if isinstance(features, Holes):
            rows = features.holed_rows
            distance = self._distances(parameters, features.holed)[0]
            distance = distance[np.arange(len(rows)), labels[rows]]
            df = parameters.degrees_of_freedom[labels[rows]]
            # what is observed tells of the scale of the row
            chi = rng.chisquare(df + features.seen[rows])
            spread[rows] = np.sqrt((df + distance) / chi)
        return self.gaussian.draw_about(parameters.scaled, X, labels, rng, spread)

    # --------------------------------------------------------- parameters

    def check_parameters(self, parameters: StudentTParameters) -> None:
        tiny = float(np.finfo(np.float64).tiny)
        check_domain(parameters.degrees_of_freedom, tiny, np.inf, "degrees_of_freedom")
        self.gaussian.check_parameters(parameters.scaled)

    def shape(self, parameters: StudentTParameters) -> tuple[int, int]:
        return parameters.scaled.means.shape

    def n_free(self, parameters: StudentTParameters) -> int:
        free = {"free": len(parameters.degrees_of_freedom), "tied": 1}
        return self.gaussian.n_free(parameters.scaled) + free.get(self.degrees_of_freedom, 0)

    def publish(self, parameters: StudentTParameters) -> dict[str, Any]:
        values = self.gaussian.publish(parameters.scaled)
        values["scales"] = values.pop("covariances")
        return {**values, "degrees_of_freedom": parameters.degrees_of_freedom}

    def recall(self, values: Mapping[str, Any]) -> StudentTParameters:
        given = ChainMap({"covariances": values.get("scales")}, values)
        scaled = self.gaussian.recall(given)
        df = np.broadcast_to(as_float(values["degrees_of_freedom"]), len(scaled.means))
        return StudentTParameters(scaled, np.array(df))

    def degeneracies(self, parameters: StudentTParameters, weights: np.ndarray) -> list[str]:
        return self.gaussian.degeneracies(parameters.scaled, weights)


def _sums(weight: np.ndarray, logs: np.ndarray) -> Sums:
    return Sums({"weight": weight, "log_minus_scale": logs}, signed=("log_minus_scale",))


def _middle_and_spread(
    X: np.ndarray, sample_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Medians and interquartile ranges of the columns, weights counted as repetitions."""
    n, d = X.shape
    weight = np.ones(n) if sample_weight is None else sample_weight
    quartiles = np.empty((3, d))
    for j in range(d):
        order = np.argsort(X[:, j], kind="stable")
        observed = n - int(np.isnan(X[:, j]).sum())  # what is missing comes last
        total = np.cumsum(weight[order[:observed]])
        places = np.searchsorted(total, np.array([0.25, 0.5, 0.75]) * total[-1])
        quartiles[:, j] = X[order[np.minimum(places, observed - 1)], j]
    low, middle, high = quartiles
    return middle, np.where(high > low, high - low, 1.0)
