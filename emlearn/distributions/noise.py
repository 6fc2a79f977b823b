"""Any continuous family, and a uniform noise component beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from scipy import sparse

from ..em.fixed import Constraints
from ..em.held import Space
from ..em.statistics import Moments, Statistics
from ._around import Around
from ._base import Distribution, Fold, Prior, as_float
from ._missing import has_holes

__all__ = ["NoisyParameters", "WithNoise", "box"]

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

    def log_volumes(self, seen: np.ndarray) -> np.ndarray:
        """Logarithms (p,) of the extent in those columns that are ``seen`` (p, d), of bool.

        Of a box along the axes the product of its edges; of any other what has the same determinant of second
        moments as the region there.
        """
        square = self.edges.T @ self.edges
        return np.array([0.5 * np.linalg.slogdet(square[np.ix_(s, s)])[1] for s in seen])


@dataclass(frozen=True)
class _NoisyRows:
    """What the family makes of rows with missing cells; which are observed, by pattern."""

    inner: Any
    patterns: np.ndarray
    pattern: np.ndarray


class WithNoise(Around):
    """A family with one component more, of constant density 1 / volume.

    Rows that no component explains go there instead of widening one (Banfield
    and Raftery 1993). The density is the same everywhere, outside the data too. Where cells are missing it is that
    of the region's extent in the others; a fit of rows with missing cells has a box along the axes.

    Parameters
    ----------
    family : Distribution
        A continuous one.
    volume : float or True, default=True
        Of the region of the noise, in the product of the columns' units. True takes the smaller
        of two boxes around the data: along the axes, along the principal components.

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

    def features(self, X: Any) -> Any:
        inner = self.family.features(X)
        if sparse.issparse(X) or not has_holes(X):
            return inner
        patterns, pattern = np.unique(~np.isnan(X), axis=0, return_inverse=True)
        return _NoisyRows(inner, patterns, pattern.reshape(-1))

    def row_cost(self, n_components: int, n_features: float) -> float:
        return 4 * self.family.row_cost(n_components, n_features)

    # ------------------------------------------------------------ density

    def log_density(self, parameters: NoisyParameters, features: Any) -> tuple[np.ndarray, Any]:
        holed = isinstance(features, _NoisyRows)
        rows = features.inner if holed else features
        inner, memo = self.family.log_density(parameters.components, rows)
        noise = np.full((len(inner), 1), -parameters.log_volume)
        if holed:
            noise[:, 0] = -parameters.log_volumes(features.patterns)[features.pattern]
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
        rows = features.inner if isinstance(features, _NoisyRows) else features
        return self.family.statistics(inner, rows, weights[:, :-1], memo)

    def fused(
        self,
        parameters: NoisyParameters,
        log_weights: np.ndarray,
        features: Any,
        sample_weight: np.ndarray | None,
        flat: float | None = None,
    ) -> tuple[np.ndarray, Statistics, float] | None:
        if isinstance(features, _NoisyRows):
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
        """The noise component's expectation is the middle of its region."""
        mask, noise = np.isnan(X), shares[:, -1:]
        some = np.where(noise < 1, 1.0 - noise, 1.0)
        inner = self.family.fill(parameters.components, X, shares[:, :-1] / some)
        middle = parameters.origin + parameters.edges.sum(axis=0) / 2
        return np.where(mask, (1.0 - noise) * inner + noise * middle, X)

    def draw_missing(
        self,
        parameters: NoisyParameters,
        X: np.ndarray,
        labels: np.ndarray,
        rng: np.random.RandomState,
    ) -> np.ndarray:
        """The noise component draws from the extent of its region, column by column."""
        noise = labels == self.shape(parameters)[0] - 1
        drawn = np.array(X, copy=True)
        inner = self.family.draw_missing(parameters.components, X[~noise], labels[~noise], rng)
        drawn[~noise] = inner
        corners = parameters.origin + np.minimum(parameters.edges, 0.0).sum(axis=0)
        extent = np.abs(parameters.edges).sum(axis=0)
        uniform = corners + rng.uniform(size=(int(noise.sum()), X.shape[1])) * extent
        drawn[noise] = np.where(np.isnan(X[noise]), uniform, X[noise])
        return drawn

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
    low, high, moments = fold(_extent, _wider)
    holed = bool(np.isnan(moments.mean).any())
    edge = high - low
    if not np.all(edge > 0):
        raise ValueError(
            "The noise component needs a region with a volume, but column"
            f" {np.flatnonzero(edge <= 0).tolist()} has one value only. Drop it, or fit without noise."
        )
    boxes = [(low, np.diag(edge))]
    if not holed:  # rows with missing cells have no scores
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


def _extent(X: np.ndarray, sample_weight: np.ndarray | None) -> tuple[Any, Any, Moments]:
    """Lowest and highest values, and the moments."""
    X, weight = _counting(X, sample_weight)
    low = np.fmin.reduce(X, axis=0, initial=np.inf)
    high = np.fmax.reduce(X, axis=0, initial=-np.inf)
    return low, high, Moments.from_data(X, weight[:, None], "full")


def _reach(
    centre: np.ndarray, axes: np.ndarray, X: np.ndarray, sample_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest scores along some axes."""
    scores = (_counting(X, sample_weight)[0] - centre) @ axes.T
    return scores.min(axis=0, initial=np.inf), scores.max(axis=0, initial=-np.inf)


def _wider(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    found = np.minimum(a[0], b[0]), np.maximum(a[1], b[1])
    return found if len(a) == 2 else (*found, a[2] + b[2])
