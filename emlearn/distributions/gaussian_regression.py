"""Linear regressions with normal errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..em.fixed import Constraints
from ..em.held import Held, Space
from ..em.least_squares import least_squares, response_moments
from ..em.statistics import Moments, Statistics
from ..exceptions import SingularError
from ._base import as_float, listed
from ._fixed_regression import constrained_variances
from .regression import Regression, RegressionParameters, RegressionRows, pooled

__all__ = ["GaussianRegression", "GaussianRegressionParameters"]

# of the variance of all responses: a variance below is rounding
_ROUNDING = 64 * np.finfo(np.float64).eps
# a standard deviation of this share of the largest is a fit of a few rows
_SPURIOUS = 1e-4


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
        # rows side by side: what is done to each of few columns takes longer
        table = parameters.coef @ features.X.T
        table += parameters.intercept[:, None]
        np.subtract(features.y, table, out=table)
        table /= np.sqrt(parameters.variances)[:, None]
        table *= table
        table *= -0.5
        table -= 0.5 * np.log(2 * np.pi * parameters.variances)[:, None]
        return np.ascontiguousarray(table.T), None

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
