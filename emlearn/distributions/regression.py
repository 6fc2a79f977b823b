"""Regressions p(y | x, z = k): a row is a response, or two numbers of it, and the covariates beside it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..em.fixed import Constraints
from ..em.held import Space
from ..em.least_squares import least_squares, response_moments
from ..em.statistics import Joint, Moments, Statistics, Sums
from ._base import Distribution, as_float, as_table
from ._fixed_regression import constrained_least_squares

__all__ = ["LEAST_WEIGHT", "Regression", "RegressionParameters", "RegressionRows", "pooled"]

#: working weights are no smaller: a Newton step of a fit that is all but certain has an end
LEAST_WEIGHT = 1e-8


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
