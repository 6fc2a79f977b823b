"""Any continuous family, and a uniform noise component beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np

from ..em.fixed import Constraints
from ..em.held import Space
from ..em.statistics import Moments, Statistics
from ._around import Around
from ._base import Distribution, Fold, Prior, as_float
from ._missing import fill_cells, observed

__all__ = ["NoisyParameters", "NoisyRows", "WithNoise", "box"]

# ------------------------------------------------------------ parameters


@dataclass(frozen=True)
class NoisyParameters:
    """Parameters of K components, and the parallelepiped of the noise.

    Attributes
    ----------
    components : object
        Of the family.
    origin : ndarray of shape (d,)
        A corner.
    edges : ndarray of shape (d, d)
        One edge a row; the volume is the absolute value of the determinant.
    """

    components: Any
    origin: np.ndarray
    edges: np.ndarray

    @property
    def log_volume(self) -> float:
        """Logarithm of the volume."""
        return float(np.linalg.slogdet(self.edges)[1])


class NoisyRows(NamedTuple):
    """A block with missing cells.

    Attributes
    ----------
    features : object
        Of the family.
    seen : ndarray of shape (n, d)
        1 where there is a cell, 0 where it is missing.
    """

    features: Any
    seen: np.ndarray


class WithNoise(Around):
    """A family with one component more, of constant density 1 / volume.

    Rows that no component explains go there instead of widening one (Banfield
    and Raftery 1993). The density is the same everywhere, outside the data too. Where cells are
    missing (NaN) it is one over the sides of those that are there.

    Parameters
    ----------
    family : Distribution
        A continuous one.
    volume : float or True, default=True
        Of the region of the noise, in the product of the columns' units. True takes the smaller
        of two boxes around the data: along the axes, along the principal components. Where cells are
        missing it is the first, as what is left of the other is not uniform.

    References
    ----------
    Banfield, J. D. and Raftery, A. E. (1993). Model-based Gaussian and
    non-Gaussian clustering. Biometrics 49(3), 803-821.

    Examples
    --------
    >>> from emlearn.distributions import Gaussian, WithNoise
    >>> WithNoise(Gaussian("diag"), volume=100.0).family
    Gaussian(covariance_type='diag')
    """

    parameters_class = NoisyParameters

    def __init__(self, family: Distribution, volume: float | bool = True) -> None:
        self.family = family
        self.volume = volume

    @property
    def shared_parameters(self) -> tuple[str, ...]:
        return (*self.family.shared_parameters, "noise_volume", "noise_origin", "noise_edges")

    def resolve(self, learned: Mapping[str, Any]) -> Self:
        return WithNoise(self.family.resolve(learned), self.volume)

    def bind(self, X: Any, sample_weight: np.ndarray | None, fold: Fold | None = None) -> Self:
        more = {} if fold is None else {"fold": fold}
        bound = WithNoise(self.family.bind(X, sample_weight, **more), self.volume)
        bound._box = box(X, self.volume, sample_weight, fold)
        return bound

    def row_cost(self, n_components: int, n_features: float) -> float:
        return 4 * self.family.row_cost(n_components, n_features)

    def features(self, X: Any) -> Any:
        features, seen = self.family.features(X), observed(X)
        return features if seen is None else NoisyRows(features, seen)

    # ------------------------------------------------------------ density

    def log_density(self, parameters: NoisyParameters, features: Any) -> tuple[np.ndarray, Any]:
        inner, memo = self.family.log_density(parameters.components, _inner(features))
        if isinstance(features, NoisyRows):
            noise = -(features.seen @ np.log(_sides(parameters)))[:, None]
        else:
            noise = np.full((len(inner), 1), -parameters.log_volume)
        return np.hstack([inner, noise]), memo

    # --------------------------------------------------------- statistics

    def statistics(
        self,
        parameters: NoisyParameters | None,
        features: Any,
        weights: np.ndarray,
        memo: Any = None,
    ) -> Statistics:
        inner = None if parameters is None else parameters.components
        return self.family.statistics(inner, _inner(features), weights[:, :-1], memo)

    def fused(
        self,
        parameters: NoisyParameters,
        log_weights: np.ndarray,
        features: Any,
        sample_weight: np.ndarray | None,
        flat: float | None = None,
    ) -> tuple[np.ndarray, Statistics, float] | None:
        if isinstance(features, NoisyRows):
            return None
        return self.family.fused(
            parameters.components, log_weights, features, sample_weight, -parameters.log_volume
        )

    def expected_statistics(
        self, parameters: NoisyParameters, weights: np.ndarray
    ) -> Statistics | None:
        return self.family.expected_statistics(parameters.components, weights[:-1])

    # ------------------------------------------------------------- M-step

    def m_step(
        self, statistics: Statistics, parameters: NoisyParameters | None, prior: Prior | None = None
    ) -> NoisyParameters:
        inner = None if parameters is None else parameters.components
        origin, edges = self._box if parameters is None else (parameters.origin, parameters.edges)
        return NoisyParameters(self.family.m_step(statistics, inner, prior), origin, edges)

    def parameter_spaces(self, n_components: int, n_features: int) -> dict[str, Space]:
        """Those of the family: the region of the noise is never fitted."""
        return self.family.parameter_spaces(n_components, n_features)

    def settle(self, constraints: Constraints, n_components: int, n_features: int) -> Constraints:
        return self.family.settle(constraints, n_components, n_features)

    def constrained_m_step(
        self,
        statistics: Statistics,
        parameters: NoisyParameters | None,
        prior: Prior | None,
        constraints: Constraints,
    ) -> NoisyParameters:
        inner = None if parameters is None else parameters.components
        origin, edges = self._box if parameters is None else (parameters.origin, parameters.edges)
        found = self.family.constrained_m_step(statistics, inner, prior, constraints)
        return NoisyParameters(found, origin, edges)

    def n_held(self, parameters: NoisyParameters, constraints: Constraints) -> int:
        return self.family.n_held(parameters.components, constraints)

    def alternatives(
        self, statistics: Statistics, parameters: NoisyParameters, prior: Prior | None = None
    ) -> list[NoisyParameters]:
        return [
            NoisyParameters(other, parameters.origin, parameters.edges)
            for other in self.family.alternatives(statistics, parameters.components, prior)
        ]

    def bind_prior(
        self,
        prior: Any,
        X: Any,
        sample_weight: np.ndarray | None,
        n_components: int,
        fold: Fold | None = None,
    ) -> Prior:
        more = {} if fold is None else {"fold": fold}
        return self.family.bind_prior(prior, X, sample_weight, n_components, **more)

    def log_prior(self, parameters: NoisyParameters, prior: Prior) -> float:
        return self.family.log_prior(parameters.components, prior)

    def ascent(self, old: NoisyParameters, new: NoisyParameters, statistics: Statistics) -> float:
        return self.family.ascent(old.components, new.components, statistics)

    # ----------------------------------------------------------- sampling

    def sample(
        self, parameters: NoisyParameters, counts: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        inner = self.family.sample(parameters.components, counts[:-1], rng)
        noise = np.empty((int(counts[-1]), len(parameters.origin)))
        left = np.arange(len(noise))
        while len(left):  # a tilted box may reach beyond what the family has
            draws = rng.uniform(size=(len(left), noise.shape[1]))
            noise[left] = parameters.origin + draws @ parameters.edges
            left = left[~self.family.in_support(noise[left])]
        return np.vstack([inner, noise])

    # ------------------------------------------------------ missing cells

    def fill(self, parameters: NoisyParameters, X: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Of the noise the middle of the box."""
        missing = np.isnan(X)
        if not missing.any():
            return X.copy()
        middle = parameters.origin + 0.5 * parameters.edges.sum(axis=0)
        noise = shares[:, -1:]
        _sides(parameters)
        # the family takes shares that sum to 1
        rest = 1.0 - noise
        inner = np.divide(shares[:, :-1], rest, out=np.zeros_like(shares[:, :-1]), where=rest > 0)
        found = self.family.fill(parameters.components, X, inner)
        return fill_cells(X, missing, np.where(rest > 0, rest * found, 0.0) + noise * middle)

    def draw_missing(
        self,
        parameters: NoisyParameters,
        X: np.ndarray,
        labels: np.ndarray,
        rng: np.random.RandomState,
    ) -> np.ndarray:
        missing, out = np.isnan(X), X.copy()
        is_noise = labels == self.family.shape(parameters.components)[0]
        left = np.flatnonzero(is_noise & missing.any(axis=1))
        if len(left):
            _sides(parameters)
        while len(left):
            draws = parameters.origin + rng.uniform(size=(len(left), X.shape[1])) @ parameters.edges
            out[left] = fill_cells(X[left], missing[left], draws)
            left = left[~self.family.in_support(out[left])]
        rows = np.flatnonzero(~is_noise)
        if len(rows):
            out[rows] = self.family.draw_missing(parameters.components, X[rows], labels[rows], rng)
        return out

    # --------------------------------------------------------- parameters

    def check_parameters(self, parameters: NoisyParameters) -> None:
        self.family.check_parameters(parameters.components)
        if not np.isfinite(parameters.log_volume):
            raise ValueError("The parameter 'noise_edges' spans no volume.")

    def shape(self, parameters: NoisyParameters) -> tuple[int, int]:
        K, d = self.family.shape(parameters.components)
        return K + 1, d

    def n_free(self, parameters: NoisyParameters) -> int:
        return self.family.n_free(parameters.components) + 1

    def publish(self, parameters: NoisyParameters) -> dict[str, Any]:
        return {
            **self.family.publish(parameters.components),
            "noise_volume": float(np.exp(parameters.log_volume)),
            "noise_origin": parameters.origin,
            "noise_edges": parameters.edges,
        }

    def recall(self, values: Mapping[str, Any]) -> NoisyParameters:
        return NoisyParameters(
            self.family.recall(values),
            as_float(values["noise_origin"]),
            as_float(values["noise_edges"]),
        )

    def degeneracies(self, parameters: NoisyParameters, weights: np.ndarray) -> list[str]:
        return self.family.degeneracies(parameters.components, weights[:-1])


def box(
    X: np.ndarray,
    volume: float | bool = True,
    sample_weight: np.ndarray | None = None,
    fold: Fold | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A corner and the edges of a box around the rows, the smaller of two; or scaled to a given volume.

    Raises
    ------
    ValueError
        If a column has one value only, so that every box has volume 0.
    """
    if fold is None:
        fold = _whole(X, sample_weight)
    low, high, moments, holes = fold(_extent, _wider)
    edge = high - low
    if not np.all(edge > 0):
        raise ValueError(
            "The noise component needs a region with a volume, but column"
            f" {np.flatnonzero(edge <= 0).tolist()} has one value only. Drop it, or fit without noise."
        )
    boxes = [(low, np.diag(edge))]
    if not holes:
        centre = moments.mean[0]
        axes = np.linalg.eigh(moments.scatter[0])[1][:, ::-1].T
        least, most = fold(partial(_reach, centre, axes), _wider)
        width = most - least
        if np.all(width > 0) and np.linalg.slogdet(width[:, None] * axes)[1] > -np.inf:
            boxes.append((centre + least @ axes, width[:, None] * axes))
    if volume is True:
        return min(boxes, key=lambda box: np.linalg.slogdet(box[1])[1])
    origin, edges = boxes[0]
    factor = float(np.exp((np.log(volume) - np.linalg.slogdet(edges)[1]) / X.shape[1]))
    middle = origin + edges.sum(axis=0) / 2
    return middle + factor * (origin - middle), factor * edges


def _whole(X: np.ndarray, sample_weight: np.ndarray | None) -> Fold:
    return lambda function, merge: function(X, sample_weight)


def _counting(X: np.ndarray, sample_weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    X = np.asarray(X, dtype=np.float64)
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    return X[weight > 0], weight[weight > 0]


def _extent(X: np.ndarray, sample_weight: np.ndarray | None) -> tuple[Any, Any, Moments, bool]:
    """Lowest and highest values, the moments of the rows without holes, and whether there are others."""
    X, weight = _counting(X, sample_weight)
    low = np.fmin.reduce(X, axis=0, initial=np.inf)
    high = np.fmax.reduce(X, axis=0, initial=-np.inf)
    holes = np.isnan(X).any(axis=1)
    some = bool(holes.any())
    if some:
        X, weight = X[~holes], weight[~holes]
    return low, high, Moments.from_data(X, weight[:, None], "full"), some


def _reach(
    centre: np.ndarray, axes: np.ndarray, X: np.ndarray, sample_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest scores along some axes."""
    scores = (_counting(X, sample_weight)[0] - centre) @ axes.T
    return scores.min(axis=0, initial=np.inf), scores.max(axis=0, initial=-np.inf)


def _wider(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    found = np.minimum(a[0], b[0]), np.maximum(a[1], b[1])
    return found if len(a) == 2 else (*found, a[2] + b[2], a[3] or b[3])


def _inner(features: Any) -> Any:
    return features.features if isinstance(features, NoisyRows) else features


def _sides(parameters: NoisyParameters) -> np.ndarray:
    """The sides (d,) of a box along the axes; ValueError for another, of which parts are not uniform."""
    edges = parameters.edges
    sides = np.abs(edges).sum(axis=0)
    if np.count_nonzero(edges) > len(edges) or not np.all(np.count_nonzero(edges, axis=0) == 1):
        raise ValueError(
            "X has missing cells (NaN), but the region of the noise is a box along the principal components, and what"
            " is left of it without some columns is not uniform. Fit to rows with missing cells, or set noise to a"
            " volume: the box is then along the axes."
        )
    return sides
