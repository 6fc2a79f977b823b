"""scikit-learn's four covariance models."""

from __future__ import annotations

import numpy as np

from ..._kernels import gaussian_twin as twin
from ...em.statistics import Moments
from ._base import Matrices, Variances, inverse_gamma_constant, inverse_wishart_constant

__all__ = ["Diag", "Full", "Spherical", "Tied"]


class Full(Matrices):
    """A covariance matrix of its own for each component."""

    name, form, code, form_code = "full", "full", twin.FULL, twin.FULL

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_components, n_features, n_features

    def n_free(self, n_components: int, n_features: int) -> int:
        return n_components * n_features * (n_features + 1) // 2

    def m_step(
        self, moments: Moments, floor: float, current: np.ndarray | None = None
    ) -> np.ndarray:
        covariances = moments.scatter / moments.weight[:, None, None]
        d = covariances.shape[1]
        covariances.reshape(len(covariances), -1)[:, :: d + 1] += floor
        return covariances

    def prior_counts(
        self, dof: float, shrinks: bool, n_components: int, n_features: int
    ) -> tuple[float, float]:
        return dof + n_features + 1 + shrinks, 1.0

    def prior_constant(
        self, dof: float, scale: np.ndarray, n_components: int, n_features: int
    ) -> float:
        return n_components * inverse_wishart_constant(dof, scale, n_features)

    def log_det(self, factors: np.ndarray, n_components: int, n_features: int) -> np.ndarray:
        return np.log(factors.reshape(n_components, -1)[:, :: n_features + 1]).sum(axis=1)

    def dense(self, values: np.ndarray, n_components: int, n_features: int) -> np.ndarray:
        return values

    def lowest_variance(self, covariances: np.ndarray, n_components: int) -> np.ndarray:
        return np.linalg.eigvalsh(covariances)[:, 0]


class Tied(Matrices):
    """One covariance matrix for all components."""

    name, form, code, form_code = "tied", "pooled", twin.TIED, twin.TIED

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_features, n_features

    def n_free(self, n_components: int, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def m_step(
        self, moments: Moments, floor: float, current: np.ndarray | None = None
    ) -> np.ndarray:
        covariance = moments.scatter / moments.weight.sum()
        covariance.reshape(-1)[:: len(covariance) + 1] += floor
        return covariance

    def prior_counts(
        self, dof: float, shrinks: bool, n_components: int, n_features: int
    ) -> tuple[float, float]:
        return (dof + n_features + 1) / n_components + shrinks, 1.0 / n_components

    def prior_constant(
        self, dof: float, scale: np.ndarray, n_components: int, n_features: int
    ) -> float:
        return inverse_wishart_constant(dof, scale, n_features)

    def log_det(self, factors: np.ndarray, n_components: int, n_features: int) -> np.ndarray:
        return np.full(n_components, np.log(np.diagonal(factors)).sum())

    def dense(self, values: np.ndarray, n_components: int, n_features: int) -> np.ndarray:
        return np.broadcast_to(values, (n_components, n_features, n_features))

    def trace_precision(
        self, factors: np.ndarray, n_components: int, n_features: int
    ) -> np.ndarray:
        return np.full(n_components, np.square(factors).sum())

    def lowest_variance(self, covariances: np.ndarray, n_components: int) -> np.ndarray:
        return np.full(n_components, np.linalg.eigvalsh(covariances)[0])


class Diag(Variances):
    """A variance for each component and feature."""

    name, form, code, form_code = "diag", "diag", twin.DIAG, twin.DIAG
    prior_form = "variances"

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_components, n_features

    def n_free(self, n_components: int, n_features: int) -> int:
        return n_components * n_features

    def m_step(
        self, moments: Moments, floor: float, current: np.ndarray | None = None
    ) -> np.ndarray:
        return moments.scatter / moments.weight[:, None] + floor

    def prior_counts(
        self, dof: float, shrinks: bool, n_components: int, n_features: int
    ) -> tuple[float, float]:
        return dof + 2 + shrinks, 1.0

    def prior_constant(
        self, dof: float, scale: np.ndarray, n_components: int, n_features: int
    ) -> float:
        return n_components * inverse_gamma_constant(dof, scale, n_features)

    def log_det(self, factors: np.ndarray, n_components: int, n_features: int) -> np.ndarray:
        return np.log(factors).sum(axis=1)

    def dense(self, values: np.ndarray, n_components: int, n_features: int) -> np.ndarray:
        return values[:, :, None] * np.eye(n_features)


class Spherical(Variances):
    """One variance for each component, the same in all directions."""

    name, form, code, form_code = "spherical", "diag", twin.SPHERICAL, twin.DIAG
    prior_form = "variance"

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components,)

    def n_free(self, n_components: int, n_features: int) -> int:
        return n_components

    def m_step(
        self, moments: Moments, floor: float, current: np.ndarray | None = None
    ) -> np.ndarray:
        return moments.scatter.sum(axis=1) / (moments.scatter.shape[1] * moments.weight) + floor

    def prior_counts(
        self, dof: float, shrinks: bool, n_components: int, n_features: int
    ) -> tuple[float, float]:
        return (dof + 2) / n_features + shrinks, 1.0 / n_features

    def prior_constant(
        self, dof: float, scale: np.ndarray, n_components: int, n_features: int
    ) -> float:
        return n_components * inverse_gamma_constant(dof, scale, 1)

    def log_det(self, factors: np.ndarray, n_components: int, n_features: int) -> np.ndarray:
        return n_features * np.log(factors)

    def dense(self, values: np.ndarray, n_components: int, n_features: int) -> np.ndarray:
        return values[:, None, None] * np.eye(n_features)

    def trace_precision(
        self, factors: np.ndarray, n_components: int, n_features: int
    ) -> np.ndarray:
        return n_features * np.square(factors)

    def lowest_variance(self, covariances: np.ndarray, n_components: int) -> np.ndarray:
        return covariances
