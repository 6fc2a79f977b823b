"""Logistic regressions: successes in some trials."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, gammaln

from .regression import LEAST_WEIGHT, Regression, RegressionParameters, RegressionRows

__all__ = ["BinomialRegression"]


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
        wrong = np.flatnonzero((y != 0) & (y != 1))
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
        weight = trials * np.maximum(p * expit(-predictor), LEAST_WEIGHT)
        rest = np.divide(y - trials * p, weight, out=np.zeros_like(p), where=weight > 0)
        return predictor + rest, weight

    def sample_response(
        self, parameters: Any, X: np.ndarray, labels: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        p = self.mean(self.predictor(parameters, X)[np.arange(len(X)), labels])
        return rng.binomial(1, p).astype(np.float64)
