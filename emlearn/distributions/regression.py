"""Regressions p(y | x, z = k): a row is a response, or two numbers of it, and the covariates beside it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, gammaln

from ..em.fixed import Constraints
from ..em.held import Held, Space
from ..em.least_squares import least_squares, response_moments
from ..em.statistics import Joint, Moments, Statistics, Sums
from ..exceptions import SingularError
from ._base import Distribution, as_float, as_table, listed
from ._fixed_regression import constrained_least_squares, constrained_variances

__all__ = [
    "BinomialRegression",
    "GaussianRegression",
    "GaussianRegressionParameters",
    "PoissonRegression",
    "Regression",
    "RegressionParameters",
    "RegressionRows",
]

# working weights are no smaller: a Newton step of a fit that is all but certain has an end
_LEAST_WEIGHT = 1e-8
# of the variance of all responses: a variance below is rounding
_ROUNDING = 64 * np.finfo(np.float64).eps
# a standard deviation of this share of the largest is a fit of a few rows
_SPURIOUS = 1e-4
# linear predictors of counts beyond which exp overflows
_MOST = 700.0


@dataclass(frozen=True)
class RegressionRows:
    """Features of some rows.

    Attributes
    ----------
    y : ndarray of shape (n,)
        Responses; of the binomial family the successes.
    trials : ndarray of shape (n,) or None
    X : ndarray of shape (n, d)
        Covariates.
    constant : ndarray of shape (n,)
        What of the log-density does not depend on the parameters.
    """

    y: np.ndarray
    trials: np.ndarray | None
    X: np.ndarray
    constant: np.ndarray


@dataclass(frozen=True)
class RegressionParameters:
    """Coefficients of K regressions.

    Attributes
    ----------
    coef : ndarray of shape (K, d)
    intercept : ndarray of shape (K,)
    """

    coef: np.ndarray
    intercept: np.ndarray


@dataclass(frozen=True)
class GaussianRegressionParameters(RegressionParameters):
    """Coefficients and variances of K linear regressions.

    Attributes
    ----------
    coef : ndarray of shape (K, d)
    intercept : ndarray of shape (K,)
    variances : ndarray of shape (K,)
        Of the response about its mean, with divisor n.
    """

    variances: np.ndarray


class Regression(Distribution):
    """A family of regressions: generalised linear models with the canonical link.

    It says nothing of how covariates are distributed, and so is none of the families of mixtures that draw
    rows; it is one to the engine. A row is [response, covariates, further columns].

    Parameters
    ----------
    fit_intercept : bool, default=True
    alpha : float, default=0.0
        Ridge: the objective loses ``alpha / 2`` times the sum of squares of the coefficients; of linear
        regressions that, divided by the component's variance.
    more_columns : int, default=0
        Columns at the end of a row that are somebody else's.
    """

    parameters_class: ClassVar[type] = RegressionParameters
    #: numbers of the response in a row
    n_responses: ClassVar[int] = 1
    stepwise = True

    def __init__(
        self, *, fit_intercept: bool = True, alpha: float = 0.0, more_columns: int = 0
    ) -> None:
        self.fit_intercept = fit_intercept
        self.alpha = alpha
        self.more_columns = more_columns

    # --------------------------------------------------------------- data

    @abstractmethod
    def read_response(self, y: np.ndarray) -> np.ndarray:
        """The response of each row as (n, ``n_responses``); ValueError if the family has no such response."""

    def features(self, X: np.ndarray) -> RegressionRows:
        X = np.asarray(X, dtype=np.float64)
        t = self.n_responses
        y, trials = X[:, 0], X[:, 1] if t > 1 else None
        covariates = np.ascontiguousarray(X[:, t : X.shape[1] - self.more_columns])
        return RegressionRows(y, trials, covariates, self.constant(y, trials))

    def constant(self, y: np.ndarray, trials: np.ndarray | None) -> np.ndarray:
        """What of the log-density of each row does not depend on the parameters."""
        return np.zeros(len(y))

    def row_cost(self, n_components: int, n_features: float) -> float:
        return 4.0 * n_components * (n_features + 1.0) ** 2

    def embed(self, X: np.ndarray) -> np.ndarray:
        space = np.array(X[:, : X.shape[1] - self.more_columns], dtype=np.float64)
        if self.n_responses > 1:
            space[:, 1] = space[:, 0] / np.maximum(space[:, 1], 1.0)
            space = space[:, 1:]
        space -= space.mean(axis=0)
        spread = space.std(axis=0)
        return space / np.where(spread > 0, spread, 1.0)

    # ------------------------------------------------------------ density

    def predictor(self, parameters: RegressionParameters, X: np.ndarray) -> np.ndarray:
        """Linear predictors (n, K)."""
        return X @ parameters.coef.T + parameters.intercept

    @abstractmethod
    def mean(self, predictor: np.ndarray) -> np.ndarray:
        """Means of the response, or of one trial of it, where the linear predictors are these."""

    @abstractmethod
    def working(
        self, predictor: np.ndarray | None, rows: RegressionRows
    ) -> tuple[np.ndarray, np.ndarray]:
        """Working responses and weights (n, K) of a Newton step; (n, 1) without a predictor, of a start."""

    # --------------------------------------------------------- statistics

    def statistics(
        self,
        parameters: RegressionParameters | None,
        features: RegressionRows,
        weights: np.ndarray,
        memo: Any = None,
    ) -> Statistics:
        predictor = memo
        if predictor is None and parameters is not None:
            predictor = self.predictor(parameters, features.X)
        response, curvature = self.working(predictor, features)
        response = np.broadcast_to(response, weights.shape)
        return Joint(
            {
                "step": response_moments(response, features.X, weights * curvature),
                "rows": Sums({"weight": weights.sum(axis=0)}),
            }
        )

    # ------------------------------------------------------------- M-step

    def m_step(
        self,
        statistics: Statistics,
        parameters: RegressionParameters | None,
        prior: None = None,
    ) -> Any:
        step = statistics["step"]
        coef, intercept = least_squares(step, fit_intercept=self.fit_intercept, ridge=self.alpha)
        return RegressionParameters(*self.keep_empty(step, coef, intercept, parameters))

    def settle(self, constraints: Constraints, n_components: int, n_features: int) -> Constraints:
        return constraints

    def constrained_m_step(
        self,
        statistics: Statistics,
        parameters: RegressionParameters | None,
        prior: None,
        constraints: Constraints,
    ) -> Any:
        step = statistics["step"]
        return RegressionParameters(*self.constrained(step, parameters, constraints, None))

    def constrained(
        self,
        moments: Moments,
        parameters: RegressionParameters | None,
        constraints: Constraints,
        precision: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients beside those that are fixed or shared."""
        K, d = moments.mean.shape[0], moments.mean.shape[1] - 1
        known = (np.zeros((K, d)), np.zeros(K))
        return constrained_least_squares(
            moments,
            {name: held for name, held in constraints.items() if name != "variances"},
            np.ones(K) if precision is None else precision,
            known if parameters is None else (parameters.coef, parameters.intercept),
            fit_intercept=self.fit_intercept,
            ridge=self.alpha,
        )

    def keep_empty(
        self,
        moments: Moments,
        coef: np.ndarray,
        intercept: np.ndarray,
        current: RegressionParameters | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients where components without rows keep theirs; at a start they are those of all rows together."""
        empty = moments.weight <= 0
        if not empty.any():
            return coef, intercept
        if current is None:
            total = pooled(moments)
            whole = least_squares(total, fit_intercept=self.fit_intercept, ridge=self.alpha)
        else:
            whole = current.coef, current.intercept
        return np.where(empty[:, None], whole[0], coef), np.where(empty, whole[1], intercept)

    def penalty(self, parameters: RegressionParameters) -> float:
        """What the ridge takes from the objective."""
        return 0.5 * self.alpha * float(np.sum(parameters.coef**2))

    # ----------------------------------------------------------- sampling

    def sample(self, parameters: Any, counts: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        raise TypeError(
            f"{type(self).__name__} has a distribution of responses given the covariates, and none of covariates."
        )

    @abstractmethod
    def sample_response(
        self, parameters: Any, X: np.ndarray, labels: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        """Responses (n,) of rows of covariates, each of its component."""

    # --------------------------------------------------------- parameters

    def recall(self, values: Mapping[str, Any]) -> RegressionParameters:
        return RegressionParameters(as_table(values["coef"], "coef"), as_float(values["intercept"]))

    def check_parameters(self, parameters: RegressionParameters) -> None:
        K = len(parameters.coef)
        for name, value in vars(parameters).items():
            if value.shape[:1] != (K,) or (name != "coef" and value.ndim != 1):
                raise ValueError(
                    f"The parameter {name!r} must have an entry for each of the {K} components of 'coef', got an"
                    f" array of shape {value.shape}."
                )
            if not np.all(np.isfinite(value)):
                raise ValueError(f"The parameter {name!r} contains NaN or infinity.")

    def shape(self, parameters: RegressionParameters) -> tuple[int, int]:
        K, d = parameters.coef.shape
        return K, self.n_responses + d + self.more_columns

    def parameter_spaces(self, n_components: int, n_features: int) -> dict[str, Space]:
        d = n_features - self.n_responses - self.more_columns
        spaces = {"coef": Space((n_components, d))}
        return spaces | ({"intercept": Space((n_components,))} if self.fit_intercept else {})

    def n_free(self, parameters: RegressionParameters) -> int:
        return parameters.coef.size + self.fit_intercept * len(parameters.coef)

    def vanishing(self, statistics: Statistics) -> np.ndarray:
        """Components whose working weights have all but vanished: no finite coefficients are best."""
        rows = statistics["rows"]["weight"]
        return (rows > 0) & (statistics["step"].weight < 1e-6 * rows)


def pooled(moments: Moments) -> Moments:
    """Moments of all components together, as of one."""
    mean, weight = moments.mean, moments.weight
    total = weight.sum()
    middle = weight @ mean / total
    delta = mean - middle
    scatter = moments.scatter.sum(axis=0) + (weight[:, None] * delta).T @ delta
    return Moments(np.array([total]), middle[None], scatter[None], "full")


# ---------------------------------------------------------------- linear


class GaussianRegression(Regression):
    """Linear regressions with normal errors.

    Parameters
    ----------
    fit_intercept : bool, default=True
    alpha : float, default=0.0
    more_columns : int, default=0
        All as in :class:`Regression`.
    variance_type : {"free", "tied"}, default="free"
        A variance for each component, or one for all of them.
    variance_floor : float, default=0.0
        Variances are no smaller; where it is 0, one that would be is an error.
    """

    parameters_class = GaussianRegressionParameters
    stepwise = False

    def __init__(
        self,
        *,
        fit_intercept: bool = True,
        alpha: float = 0.0,
        more_columns: int = 0,
        variance_type: str = "free",
        variance_floor: float = 0.0,
    ) -> None:
        super().__init__(fit_intercept=fit_intercept, alpha=alpha, more_columns=more_columns)
        self.variance_type = variance_type
        self.variance_floor = variance_floor

    def read_response(self, y: np.ndarray) -> np.ndarray:
        return y[:, None]

    def mean(self, predictor: np.ndarray) -> np.ndarray:
        return predictor

    def log_density(
        self, parameters: GaussianRegressionParameters, features: RegressionRows
    ) -> tuple[np.ndarray, Any]:
        rest = features.y[:, None] - self.predictor(parameters, features.X)
        variances = parameters.variances
        return -0.5 * (rest**2 / variances + np.log(2 * np.pi * variances)), None

    def working(
        self, predictor: np.ndarray | None, rows: RegressionRows
    ) -> tuple[np.ndarray, np.ndarray]:
        return rows.y[:, None], np.ones((len(rows.y), 1))

    def statistics(
        self,
        parameters: GaussianRegressionParameters | None,
        features: RegressionRows,
        weights: np.ndarray,
        memo: Any = None,
    ) -> Moments:
        return response_moments(features.y, features.X, weights)

    def m_step(
        self,
        statistics: Moments,
        parameters: GaussianRegressionParameters | None,
        prior: None = None,
    ) -> GaussianRegressionParameters:
        coef, intercept = least_squares(
            statistics, fit_intercept=self.fit_intercept, ridge=self.alpha
        )
        coef, intercept = self.keep_empty(statistics, coef, intercept, parameters)
        return GaussianRegressionParameters(
            coef, intercept, self.variances(statistics, coef, intercept, parameters)
        )

    def constrained_m_step(
        self,
        statistics: Moments,
        parameters: GaussianRegressionParameters | None,
        prior: None,
        constraints: Constraints,
    ) -> GaussianRegressionParameters:
        # coefficients given the variances, which weigh components that share some; then variances given them
        precision = None if parameters is None else 1.0 / parameters.variances
        found = self.constrained(statistics, parameters, constraints, precision)
        held = constraints.get("variances")
        return GaussianRegressionParameters(
            *found, self.variances(statistics, *found, parameters, held)
        )

    def variances(
        self,
        moments: Moments,
        coef: np.ndarray,
        intercept: np.ndarray,
        current: GaussianRegressionParameters | None,
        held: Held | None = None,
    ) -> np.ndarray:
        """Variances (K,) that are best beside these coefficients.

        Raises
        ------
        SingularError
            If one is zero, but for rounding, and there is no floor.
        """
        direction = np.concatenate([np.ones((len(coef), 1)), -coef], axis=1)
        left = np.einsum("ki,kij,kj->k", direction, moments.scatter, direction)
        off = np.einsum("ki,ki->k", direction, moments.mean) - intercept
        left = np.maximum(left, 0.0) + moments.weight * off**2
        left += self.alpha * np.sum(coef**2, axis=1)
        weight, empty = moments.weight, moments.weight <= 0
        total = pooled(moments)
        spread = total.scatter[0, 0, 0] / total.weight[0]
        if self.variance_type == "tied":
            values = np.full(len(coef), left[~empty].sum() / weight.sum())
        else:
            values = left / np.where(empty, 1.0, weight)
            values[empty] = spread if current is None else current.variances[empty]
            if held is not None:
                values = constrained_variances(left, weight, held)
        if self.variance_floor > 0:
            return np.maximum(values, self.variance_floor)
        least = _ROUNDING * (1 + coef.shape[1]) * spread + (_ROUNDING * total.mean[0, 0]) ** 2
        singular = np.flatnonzero(~(values > least))
        if len(singular):
            raise SingularError(
                f"the variance of component {singular[0]} is zero: its regression goes through all its rows, of which"
                f" there are {weight[singular[0]]:.3g}. Lower n_components, set variance_type='tied', or a"
                " variance_floor above 0."
            )
        return values

    def ascent(self, old: Any, new: Any, statistics: Moments) -> float:
        return 0.0

    def penalty(self, parameters: GaussianRegressionParameters) -> float:
        squares = np.sum(parameters.coef**2, axis=1)
        return 0.5 * self.alpha * float(np.sum(squares / parameters.variances))

    def sample_response(
        self, parameters: Any, X: np.ndarray, labels: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        mean = self.predictor(parameters, X)[np.arange(len(X)), labels]
        return mean + np.sqrt(parameters.variances[labels]) * rng.standard_normal(len(X))

    def recall(self, values: Mapping[str, Any]) -> GaussianRegressionParameters:
        plain = super().recall(values)
        return GaussianRegressionParameters(
            plain.coef, plain.intercept, as_float(values["variances"])
        )

    def check_parameters(self, parameters: GaussianRegressionParameters) -> None:
        super().check_parameters(parameters)
        if np.any(parameters.variances <= 0):
            raise ValueError(
                f"The parameter 'variances' must be positive, got {parameters.variances.min():g}."
            )

    def parameter_spaces(self, n_components: int, n_features: int) -> dict[str, Space]:
        spaces = super().parameter_spaces(n_components, n_features)
        if self.variance_type == "tied":
            return spaces
        return spaces | {"variances": Space((n_components,), low=0.0, strict=True)}

    def n_free(self, parameters: GaussianRegressionParameters) -> int:
        tied = self.variance_type == "tied"
        return super().n_free(parameters) + (1 if tied else len(parameters.variances))

    def vanishing(self, statistics: Statistics) -> np.ndarray:
        return np.zeros(len(statistics.weight), dtype=bool)

    def degeneracies(
        self, parameters: GaussianRegressionParameters, weights: np.ndarray
    ) -> list[str]:
        used = weights > 0
        sigma = np.sqrt(parameters.variances)
        small = used & (sigma < _SPURIOUS * sigma.max(where=used, initial=0.0))
        if not small.any():
            return []
        return [
            f"Components {listed(small)} have a standard deviation of less than {_SPURIOUS:g} of the largest: their"
            " regressions go through a few rows. Lower n_components, set variance_type='tied', or raise n_init."
        ]


# ---------------------------------------------------------------- counts


class PoissonRegression(Regression):
    """Counts whose logarithmic mean is linear."""

    def read_response(self, y: np.ndarray) -> np.ndarray:
        if np.any(y < 0):
            row = int(np.argmin(y))
            raise ValueError(
                f"family='poisson' needs counts, from 0 on, got y = {y[row]:g} in row {row}."
            )
        return y[:, None]

    def constant(self, y: np.ndarray, trials: np.ndarray | None) -> np.ndarray:
        return -gammaln(y + 1.0)

    def embed(self, X: np.ndarray) -> np.ndarray:
        root = np.array(X, dtype=np.float64)
        root[:, 0] = np.sqrt(root[:, 0])
        return super().embed(root)

    def mean(self, predictor: np.ndarray) -> np.ndarray:
        return np.exp(np.minimum(predictor, _MOST))

    def log_density(
        self, parameters: RegressionParameters, features: RegressionRows
    ) -> tuple[np.ndarray, Any]:
        eta = self.predictor(parameters, features.X)
        return features.y[:, None] * eta - self.mean(eta) + features.constant[:, None], eta

    def working(
        self, predictor: np.ndarray | None, rows: RegressionRows
    ) -> tuple[np.ndarray, np.ndarray]:
        y = rows.y[:, None]
        if predictor is None:
            mean = y + 0.1
            return np.log(mean) + (y - mean) / mean, mean
        mean = self.mean(predictor)
        weight = np.maximum(mean, _LEAST_WEIGHT)
        return predictor + (y - mean) / weight, weight

    def sample_response(
        self, parameters: Any, X: np.ndarray, labels: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        mean = self.mean(self.predictor(parameters, X)[np.arange(len(X)), labels])
        return rng.poisson(mean).astype(np.float64)


# ----------------------------------------------------------- proportions


class BinomialRegression(Regression):
    """Successes in some trials, whose log-odds are linear: logistic regressions."""

    n_responses = 2

    def read_response(self, y: np.ndarray) -> np.ndarray:
        if y.ndim == 2:
            if y.shape[1] != 2 or np.any(y < 0):
                raise ValueError(
                    "family='binomial': a y of two axes has the successes and the failures of each row as its two"
                    f" columns, from 0 on, got the shape {y.shape}."
                )
            return np.column_stack([y[:, 0], y.sum(axis=1)])
        wrong = np.flatnonzero((y < 0) | (y > 1))
        if len(wrong):
            raise ValueError(
                f"family='binomial' needs a y of zeros and ones, got {y[wrong[0]]:g} in row {wrong[0]}. Of several"
                " trials a row give two columns, the successes and the failures."
            )
        return np.column_stack([y, np.ones(len(y))])

    def constant(self, y: np.ndarray, trials: np.ndarray | None) -> np.ndarray:
        return gammaln(trials + 1.0) - gammaln(y + 1.0) - gammaln(trials - y + 1.0)

    def mean(self, predictor: np.ndarray) -> np.ndarray:
        return expit(predictor)

    def log_density(
        self, parameters: RegressionParameters, features: RegressionRows
    ) -> tuple[np.ndarray, Any]:
        eta = self.predictor(parameters, features.X)
        y, trials = features.y[:, None], features.trials[:, None]
        # log(1 + exp(eta)) without overflow
        return y * eta - trials * np.logaddexp(0.0, eta) + features.constant[:, None], eta

    def working(
        self, predictor: np.ndarray | None, rows: RegressionRows
    ) -> tuple[np.ndarray, np.ndarray]:
        y, trials = rows.y[:, None], rows.trials[:, None]
        if predictor is None:
            p = (y + 0.5) / (trials + 1.0)
            predictor = np.log(p / (1 - p))
        p = expit(predictor)
        weight = trials * np.maximum(p * expit(-predictor), _LEAST_WEIGHT)
        rest = np.divide(y - trials * p, weight, out=np.zeros_like(p), where=weight > 0)
        return predictor + rest, weight

    def sample_response(
        self, parameters: Any, X: np.ndarray, labels: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        p = self.mean(self.predictor(parameters, X)[np.arange(len(X)), labels])
        return rng.binomial(1, p).astype(np.float64)
