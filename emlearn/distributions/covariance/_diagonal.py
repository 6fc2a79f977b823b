"""Diagonal models of which components share a part: EII, EEI, VEI and EVI."""

from __future__ import annotations

import numpy as np

from ..._kernels import gaussian_twin as twin
from ...em.statistics import Moments
from ._base import Covariance, inverse_gamma_constant
from ._simple import Diag, Spherical

__all__ = ["EEI", "EII", "EVI", "VEI", "Shared", "scales_and_shape"]

# steps of an iterative M-step within EM, and at a start
WARM, COLD = 4, 2000
# relative change of a variance at which it rests
REST = 1e-13


class Shared(Covariance):
    """Models of which components share a part, said in scatters that hold the floor."""

    shared = True

    def m_step(
        self, moments: Moments, floor: float, current: np.ndarray | None = None
    ) -> np.ndarray:
        weight, scatter = moments.weight, moments.scatter
        K, d = moments.mean.shape
        if floor > 0:
            scatter = scatter.copy()
            diagonal = scatter if scatter.ndim == 2 else scatter.reshape(K, -1)[:, :: d + 1]
            diagonal += floor * weight[:, None]
        own = weight
        if not weight.all():
            # an empty component has a scatter of its own, but none in what is shared
            own = np.where(weight > 0, weight, 1.0)
            whole = self._as_scatter(current, K, d)
            empty = (weight == 0).reshape(-1, *[1] * (scatter.ndim - 1))
            scatter = np.where(empty, whole, scatter)
        return self.solve(scatter, weight, own, floor, current)

    def _as_scatter(self, covariances: np.ndarray, K: int, d: int) -> np.ndarray:
        return covariances

    def solve(
        self,
        scatter: np.ndarray,
        weight: np.ndarray,
        own: np.ndarray,
        floor: float,
        current: np.ndarray | None,
    ) -> np.ndarray:
        """Covariances from scatters, weights, and weights with 1 for 0."""
        raise NotImplementedError


class EII(Shared, Spherical):
    """One variance for all components and directions."""

    name = "EII"

    def n_free(self, n_components: int, n_features: int) -> int:
        return 1

    def _as_scatter(self, covariances: np.ndarray, K: int, d: int) -> np.ndarray:
        return np.zeros((K, d))

    def solve(
        self,
        scatter: np.ndarray,
        weight: np.ndarray,
        own: np.ndarray,
        floor: float,
        current: np.ndarray | None,
    ) -> np.ndarray:
        variance = scatter.sum() / (scatter.shape[1] * weight.sum())
        return np.full(len(scatter), variance)

    def prior_counts(
        self, dof: float, shrinks: bool, n_components: int, n_features: int
    ) -> tuple[float, float]:
        share = 1.0 / (n_components * n_features)
        return (dof + 2) * share + shrinks, share

    def prior_constant(
        self, dof: float, scale: np.ndarray, n_components: int, n_features: int
    ) -> float:
        return inverse_gamma_constant(dof, scale, 1)


class EEI(Shared, Diag):
    """A variance for each feature, for all components."""

    name = "EEI"

    def n_free(self, n_components: int, n_features: int) -> int:
        return n_features

    def _as_scatter(self, covariances: np.ndarray, K: int, d: int) -> np.ndarray:
        return np.zeros((K, d))

    def solve(
        self,
        scatter: np.ndarray,
        weight: np.ndarray,
        own: np.ndarray,
        floor: float,
        current: np.ndarray | None,
    ) -> np.ndarray:
        return np.tile(scatter.sum(axis=0) / weight.sum(), (len(scatter), 1))

    def prior_counts(
        self, dof: float, shrinks: bool, n_components: int, n_features: int
    ) -> tuple[float, float]:
        return (dof + 2) / n_components + shrinks, 1.0 / n_components

    def prior_constant(
        self, dof: float, scale: np.ndarray, n_components: int, n_features: int
    ) -> float:
        return inverse_gamma_constant(dof, scale, n_features)


class VEI(Shared, Diag):
    """Variances of the features in a proportion that all components share; a volume for each."""

    name = "VEI"
    code, form_code = twin.DIAG, twin.DIAG

    def n_free(self, n_components: int, n_features: int) -> int:
        return n_components + n_features - 1

    def solve(
        self,
        scatter: np.ndarray,
        weight: np.ndarray,
        own: np.ndarray,
        floor: float,
        current: np.ndarray | None,
    ) -> np.ndarray:
        volumes = None if current is None else geometric_mean(current)
        volumes, shape = scales_and_shape(scatter, weight, own, volumes)
        return volumes[:, None] * shape

    def prior_counts(
        self, dof: float, shrinks: bool, n_components: int, n_features: int
    ) -> tuple[float, float]:
        return (dof + 2 + shrinks) / n_features, 1.0

    def prior_constant(
        self, dof: float, scale: np.ndarray, n_components: int, n_features: int
    ) -> float:
        return 0.0


class EVI(Shared, Diag):
    """A proportion of the variances for each component; one volume for all."""

    name = "EVI"

    def n_free(self, n_components: int, n_features: int) -> int:
        return 1 + n_components * (n_features - 1)

    def solve(
        self,
        scatter: np.ndarray,
        weight: np.ndarray,
        own: np.ndarray,
        floor: float,
        current: np.ndarray | None,
    ) -> np.ndarray:
        return one_volume(scatter, weight)

    def prior_counts(
        self, dof: float, shrinks: bool, n_components: int, n_features: int
    ) -> tuple[float, float]:
        return (dof + 1 + shrinks) / n_components, 1.0

    def prior_constant(
        self, dof: float, scale: np.ndarray, n_components: int, n_features: int
    ) -> float:
        return 0.0


def geometric_mean(values: np.ndarray) -> np.ndarray:
    """Along the last axis, of values that are not negative."""
    with np.errstate(divide="ignore"):
        return np.exp(np.log(values).mean(axis=-1))


def one_volume(scatter: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Variances (K, d) with one product; zeros where a scatter has a zero."""
    volume = geometric_mean(scatter)
    shared = volume[weight > 0].sum() / weight.sum()
    safe = np.where(volume > 0, volume, 1.0)
    return np.where(volume > 0, shared / safe, 0.0)[:, None] * scatter


def scales_and_shape(
    scatter: np.ndarray, weight: np.ndarray, own: np.ndarray, scales: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Volumes (K,) and a shape (d,) of product 1 that maximise the likelihood of scatters (K, d).

    In logarithms the problem is convex; one is found given the other. Zeros where there are none.
    """
    steps = COLD if scales is None else WARM
    if scales is None:
        scales = scatter.mean(axis=1) / own
    used = weight > 0
    shape = np.zeros(scatter.shape[1])
    nothing = np.zeros_like(scales), shape
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            if not 0 < scales.min() <= scales.max() < np.inf:
                return nothing
            shape = (used / scales) @ scatter
            if not 0 < shape.min() <= shape.max() < np.inf:
                return nothing
            shape /= geometric_mean(shape)
            before, scales = scales, (scatter / shape).mean(axis=1) / own
            if np.abs(scales - before).max() <= REST * scales.max():
                break
        return (scales, shape) if np.isfinite(scales.max() * shape.max()) else nothing
