"""Regressions of counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln

from .regression import LEAST_WEIGHT, Regression, RegressionParameters, RegressionRows

__all__ = ["PoissonRegression"]

# linear predictors of counts beyond which exp overflows
_MOST = 700.0


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
        weight = np.maximum(mean, LEAST_WEIGHT)
        return predictor + (y - mean) / weight, weight

    def sample_response(
        self, parameters: Any, X: np.ndarray, labels: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        mean = self.mean(self.predictor(parameters, X)[np.arange(len(X)), labels])
        return rng.poisson(mean).astype(np.float64)
