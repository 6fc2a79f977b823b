"""Models of volume, shape and orientation: VEE, EVE, VVE, EEV, VEV and EVV.

A covariance is ``volume * axes @ diag(shape) @ axes.T`` with ``prod(shape) = 1``;
each of the three is equal (E) or varies (V), in the order of the code.

References
----------
Celeux, G. and Govaert, G. (1995). Gaussian parsimonious clustering models.
Pattern Recognition 28(5), 781-793.

Scrucca, L., Fop, M., Murphy, T. B. and Raftery, A. E. (2016). mclust 5:
clustering, classification and density estimation using Gaussian finite mixture
models. The R Journal 8(1), 289-317.
"""

from __future__ import annotations

import numpy as np

from ..._kernels import gaussian_twin as twin
from ...em.statistics import Moments
from ._axes import common_axes, diagonals
from ._diagonal import COLD, REST, WARM, Shared, one_volume, scales_and_shape
from ._simple import Full

# axes in any direction that a start tries
_ANY = 40

_EPS = float(np.finfo(np.float64).eps)

__all__ = ["EEV", "EVE", "EVV", "VEE", "VEV", "VVE"]


class _SharedMatrices(Shared, Full):
    """A matrix for each component; the name says which parts are shared."""

    form, code, form_code = "full", twin.FULL, twin.FULL

    def n_free(self, n_components: int, n_features: int) -> int:
        volume, shape, axes = (n_components if letter == "V" else 1 for letter in self.name)
        return volume + shape * (n_features - 1) + axes * (n_features * (n_features - 1) // 2)

    def prior_constant(
        self, dof: float, scale: np.ndarray, n_components: int, n_features: int
    ) -> float:
        return 0.0


class VEE(_SharedMatrices):
    """One matrix for all components, a volume for each."""

    name = "VEE"

    def solve(
        self,
        scatter: np.ndarray,
        weight: np.ndarray,
        own: np.ndarray,
        floor: float,
        current: np.ndarray | None,
    ) -> np.ndarray:
        d = scatter.shape[1]
        steps = COLD if current is None else WARM
        if current is None:
            volumes = np.trace(scatter, axis1=1, axis2=2) / (d * own)
        else:
            volumes = np.exp(np.linalg.slogdet(current)[1] / d)
        used = weight > 0
        flat = scatter.reshape(len(scatter), -1)
        for _ in range(steps):
            if not volumes.min() > 0:
                return np.zeros_like(scatter)
            shared = np.tensordot(used / volumes, scatter, axes=1)
            factor, singular = self.factor(shared)
            if len(singular) and floor > 0:
                shared = self.lift(shared, singular)
                factor, singular = self.factor(shared)
            if len(singular):
                return np.zeros_like(scatter)
            size = np.exp(-2.0 * np.log(np.diagonal(factor)).mean())
            shared /= size
            distances = flat @ (factor @ factor.T).ravel()
            before, volumes = volumes, size * distances / (d * own)
            if np.abs(volumes - before).max() <= REST * volumes.max():
                break
        return volumes[:, None, None] * shared


class _CommonAxes(_SharedMatrices):
    def solve(
        self,
        scatter: np.ndarray,
        weight: np.ndarray,
        own: np.ndarray,
        floor: float,
        current: np.ndarray | None,
    ) -> np.ndarray:
        equal_volume = self.name[0] == "E"
        axes = common_axes(scatter, weight, equal_volume=equal_volume, current=current)
        return self._along(axes, scatter, weight, own, floor)

    def _along(
        self,
        axes: np.ndarray,
        scatter: np.ndarray,
        weight: np.ndarray,
        own: np.ndarray,
        floor: float,
    ) -> np.ndarray:
        variances = beyond_rounding(diagonals(scatter, axes), floor)
        if self.name[0] == "E":
            return assemble(axes, one_volume(variances, weight))
        return assemble(axes, variances / own[:, None])


class EVE(_CommonAxes):
    """Common axes, one volume for all components, proportions of the variances for each."""

    name = "EVE"


class VVE(_CommonAxes):
    """Common axes, variances along them for each component."""

    name = "VVE"

    def alternatives(self, moments: Moments, floor: float) -> list[np.ndarray]:
        """Covariances along the features' axes, those of all rows, those of each component, and any.

        The optima of EM differ in their axes, and the best axes of the start decide for one of them.
        """
        weight = moments.weight
        if weight.min() <= 0 or moments.scatter.shape[1] == 1:
            return []
        d = moments.scatter.shape[1]
        scatter = moments.scatter + (floor * weight)[:, None, None] * np.eye(d)
        inside = scatter / weight[:, None, None]
        guesses = [
            np.eye(d),
            *np.linalg.eigh(np.stack([scatter.sum(axis=0), inside.sum(axis=0)]))[1],
        ]
        guesses += list(np.linalg.eigh(inside)[1])
        guesses += list(np.linalg.qr(np.random.RandomState(0).standard_normal((_ANY, d, d)))[0])
        return [self._along(axes, scatter, weight, weight, floor) for axes in guesses]


class _OwnAxes(_SharedMatrices):
    def solve(
        self,
        scatter: np.ndarray,
        weight: np.ndarray,
        own: np.ndarray,
        floor: float,
        current: np.ndarray | None,
    ) -> np.ndarray:
        variances, axes = np.linalg.eigh(scatter)
        variances = beyond_rounding(variances, floor)
        return assemble(axes, self.variances(variances, weight, own, current))

    def variances(
        self,
        scatter: np.ndarray,
        weight: np.ndarray,
        own: np.ndarray,
        current: np.ndarray | None,
    ) -> np.ndarray:
        """Variances (K, d) along the axes of each component from scatters along them."""
        raise NotImplementedError


class EEV(_OwnAxes):
    """The same variances along axes of each component's own."""

    name = "EEV"

    def variances(
        self, scatter: np.ndarray, weight: np.ndarray, own: np.ndarray, current: np.ndarray | None
    ) -> np.ndarray:
        shared = scatter[weight > 0].sum(axis=0) / weight.sum()
        return np.broadcast_to(shared, scatter.shape)

    def prior_counts(
        self, dof: float, shrinks: bool, n_components: int, n_features: int
    ) -> tuple[float, float]:
        return (dof + n_features + 1 + shrinks) / n_components, 1.0


class VEV(_OwnAxes):
    """Variances in a proportion that all share, along axes of each component's own; a volume for each."""

    name = "VEV"

    def variances(
        self, scatter: np.ndarray, weight: np.ndarray, own: np.ndarray, current: np.ndarray | None
    ) -> np.ndarray:
        d = scatter.shape[1]
        volumes = None if current is None else np.exp(np.linalg.slogdet(current)[1] / d)
        volumes, shape = scales_and_shape(scatter, weight, own, volumes)
        return volumes[:, None] * shape

    def prior_counts(
        self, dof: float, shrinks: bool, n_components: int, n_features: int
    ) -> tuple[float, float]:
        return 0.0, 1.0


class EVV(_SharedMatrices):
    """One volume for all components; proportions and axes for each."""

    name = "EVV"

    def solve(
        self,
        scatter: np.ndarray,
        weight: np.ndarray,
        own: np.ndarray,
        floor: float,
        current: np.ndarray | None,
    ) -> np.ndarray:
        covariances = scatter / own[:, None, None]
        factors, singular = self.factor(covariances)
        if len(singular) and floor > 0:
            covariances = self.lift(covariances, singular)
            factors, singular = self.factor(covariances)
        sound = np.ones(len(scatter), dtype=bool)
        sound[singular] = False
        volumes = np.zeros(len(scatter))
        logs = np.log(np.diagonal(factors[sound], axis1=1, axis2=2))
        volumes[sound] = np.exp(-2.0 * logs.mean(axis=1))
        shared = weight @ volumes / weight.sum()
        scale = np.divide(shared, volumes, out=np.zeros_like(volumes), where=sound)
        return scale[:, None, None] * covariances


def beyond_rounding(variances: np.ndarray, floor: float) -> np.ndarray:
    """Variances (K, d) along axes: lost beside the largest is 0, or with a floor the least that is not."""
    d = variances.shape[1]
    top = d * _EPS * variances.max(axis=1, keepdims=True)
    return np.where(variances > top, variances, 4 * d * top if floor > 0 else 0.0)


def assemble(axes: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Symmetric matrices from axes in columns and variances along them."""
    matrices = (axes * variances[:, None, :]) @ np.swapaxes(axes, -1, -2)
    return 0.5 * (matrices + np.swapaxes(matrices, -1, -2))
