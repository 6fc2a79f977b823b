"""A distribution with example data, and what checks need of the two."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone

from ..distributions import Distribution, Prior
from ..em.parts import divide_start
from ..em.starts import LabelStart, draw_start
from ..em.statistics import Joint, Statistics, Sums, combine
from ..exceptions import DomainError, SingularError
from ..latent import Labels
from ..mixture._model import MixtureModel, MixtureParameters
from ._hold import hold
from ._integrate import Rule, enumeration, importance, quadrature

__all__ = ["Case"]

# rows of a component that a law of large numbers is held with
LARGE = 20_000


class Case:
    """A distribution, example rows and responsibilities for them; everything else is worked out once."""

    def __init__(
        self,
        distribution: Distribution,
        X: Any,
        *,
        n_components: int,
        prior: Prior | None,
        support: Any,
        reference: Callable[[np.random.RandomState, int], tuple[np.ndarray, np.ndarray]] | None,
    ) -> None:
        self.distribution = distribution
        self.given = X
        self.K = n_components
        self.given_prior = prior
        self.support = support
        self.reference = reference

    def rng(self, seed: int = 0) -> np.random.RandomState:
        """A stream of its own for each check."""
        return np.random.RandomState(seed)

    # --------------------------------------------------------------- data

    @cached_property
    def X(self) -> Any:
        """The rows as the user gives them."""
        X = self.given(self.rng()) if callable(self.given) else self.given
        if sparse.issparse(X) or self.distribution.takes_frames:
            return X
        X = np.asarray(X)
        hold(X.ndim == 2, f"X: example rows have the shape (n, d), got {X.shape}.")
        return X

    @cached_property
    def encoded(self) -> tuple[Any, dict[str, Any]]:
        return self.distribution.encode(self.X, None, column)

    @property
    def data(self) -> Any:
        """The rows as numbers."""
        return self.encoded[0]

    @property
    def learned(self) -> dict[str, Any]:
        return self.encoded[1]

    @property
    def n(self) -> int:
        return self.data.shape[0]

    def encode(self, X: Any) -> Any:
        """Other rows as numbers, by what was learned of the example rows."""
        return self.distribution.encode(X, self.learned, column)[0]

    @cached_property
    def bound(self) -> Distribution:
        """The distribution as a fit has it."""
        return clone(self.distribution).resolve(self.learned).bind(self.data, None)

    @cached_property
    def fresh(self) -> Distribution:
        """The distribution as a fitted model has it: never bound."""
        return clone(self.distribution).resolve(self.learned)

    @cached_property
    def features(self) -> Any:
        return self.bound.features(self.data)

    # --------------------------------------------------------- parameters

    @cached_property
    def labels(self) -> np.ndarray:
        """A partition of the rows."""
        start = draw_start(
            "kmeans", self.bound.embed(self.data), self.K, self.rng(), partition=True
        )
        return np.concatenate([part.argmax(axis=1) for _, part in start.shares(self.data)])

    @cached_property
    def weights(self) -> np.ndarray:
        """Responsibilities: the partition, softened, so that parameters are inside their domain."""
        soft = self.rng(1).dirichlet(np.ones(self.K), size=self.n)
        return 0.7 * np.eye(self.K)[self.labels] + 0.3 * soft

    def other_weights(self, rng: np.random.RandomState) -> np.ndarray:
        """Responsibilities and sample weights that have nothing to do with the rows."""
        return rng.dirichlet(np.ones(self.K), size=self.n) * rng.gamma(2.0, 0.5, size=(self.n, 1))

    @cached_property
    def parameters(self) -> Any:
        """Parameters that the example rows suggest."""
        first = self.bound.m_step(self.statistics(self.features, self.weights, None), None)
        return self.settle(self.features, self.weights, first, None, 3)

    @cached_property
    def parts(self) -> np.ndarray:
        """How much of each part of a component the rows are (n, parts): a partition, softened."""
        parts = self.bound.start_parts
        start = LabelStart(self.labels, self.K)
        space = self.bound.embed(self.data)
        divided = divide_start(start, parts, "kmeans", space, self.rng()).labels % parts
        return 0.8 * np.eye(parts)[divided] + 0.2 / parts

    def divided(self, weights: np.ndarray, rows: Any = slice(None)) -> np.ndarray:
        """Responsibilities (n, K) of some of the rows as a start has them, with columns for the parts."""
        if self.bound.start_parts == 1:
            return weights
        return (weights[:, :, None] * self.parts[rows][:, None, :]).reshape(len(weights), -1)

    def statistics(
        self, features: Any, weights: np.ndarray, parameters: Any, rows: Any = slice(None)
    ) -> Statistics:
        """Statistics of some of the rows, at a start or after the density, whose memo they are given."""
        if parameters is None:
            return self.bound.statistics(None, features, self.divided(weights, rows))
        _, memo = self.bound.log_density(parameters, features)
        return self.bound.statistics(parameters, features, weights, memo)

    def settle(
        self, features: Any, weights: np.ndarray, parameters: Any, prior: Prior | None, steps: int
    ) -> Any:
        """M-steps under weights that stay: one, or several where an M-step only improves."""
        value = -np.inf
        for _ in range(1 if self.fresh.exact else steps):
            statistics = self.statistics(features, weights, parameters)
            parameters = self.bound.m_step(statistics, parameters, prior)
            if steps > 3:
                before, value = value, self.expected(features, weights, parameters, prior)
                if value - before < 1e-11 * (1.0 + abs(value)):
                    break
        return parameters

    def expected(
        self, features: Any, weights: np.ndarray, parameters: Any, prior: Prior | None = None
    ) -> float:
        """Weighted log-density of the rows, and that of the parameters under the prior."""
        log_density, _ = self.bound.log_density(parameters, features)
        with np.errstate(invalid="ignore"):
            value = float(np.sum(np.where(weights > 0, weights * log_density, 0.0)))
        return value if prior is None else value + self.bound.log_prior(parameters, prior)

    def density(self, parameters: Any, features: Any = None) -> np.ndarray:
        """Log-densities of the example rows."""
        return self.bound.log_density(parameters, self.features if features is None else features)[
            0
        ]

    @cached_property
    def prior(self) -> Prior | None:
        """The prior in numbers; None where the family has none."""
        prior, family = self.given_prior, self.fresh
        if prior is None and family.default_prior is not None:
            prior = family.default_prior()
        if prior is None:
            return None
        return self.bound.bind_prior(prior, self.data, None, self.K)

    @property
    def priors(self) -> list[Prior | None]:
        return [None] if self.prior is None else [None, self.prior]

    def perturbed(
        self, statistics: Statistics, other: Statistics, size: float
    ) -> Statistics | None:
        """Statistics moved towards others, or away from them; None where there are none."""
        try:
            return combine([1.0 - size, size], [statistics, other])
        except DomainError:
            return None

    def try_m_step(self, statistics: Statistics, parameters: Any, prior: Prior | None) -> Any:
        try:
            return self.bound.m_step(statistics, parameters, prior)
        except SingularError:
            return None

    # -------------------------------------------------------------- model

    def model(self, prior: Prior | None = None) -> MixtureModel:
        return MixtureModel(Labels(), self.bound, prior)

    def start(self, model: MixtureModel, weights: np.ndarray) -> MixtureParameters:
        statistics = self.statistics(self.features, weights, None)
        counts = Sums({"counts": weights.sum(axis=0)})
        return model.m_step(Joint({"labels": counts, "components": statistics}), None)

    # ------------------------------------------------------------ samples

    def sample(self, counts: np.ndarray, seed: int) -> Any:
        """Rows drawn from the example parameters, as numbers, the way a user would hand them back."""
        rows = self.fresh.sample(self.parameters, np.asarray(counts), self.rng(seed))
        return self.encode(self.fresh.decode(rows, self.learned))

    @cached_property
    def large_sample(self) -> list[np.ndarray]:
        """Many rows of each component."""
        rows = dense(self.sample(np.full(self.K, LARGE), 11))
        return np.split(rows, self.K)

    @cached_property
    def rules(self) -> list[Rule] | None:
        """How to integrate the density of each component; None where only samples can tell."""
        if self.reference is not None:
            points, log_proposal = self.reference(self.rng(12), 100_000)
            return [importance(dense(self.encode(points)), log_proposal)] * self.K
        if self.fresh.continuous:
            bounds = self._bounds()
            return [quadrature(bounds, sample, seed=13) for sample in self.large_sample]
        if self.support is not None:
            return [enumeration(dense(self.encode(np.asarray(self.support))))] * self.K
        return None

    def _bounds(self) -> np.ndarray:
        d = self.data.shape[1]
        if self.support is not None:
            return np.broadcast_to(np.asarray(self.support, dtype=np.float64), (d, 2))
        bounds = np.tile([-np.inf, np.inf], (d, 1))
        X = dense(self.data)
        for j in range(d):  # a family that refuses negative values has none
            row = X[:1].astype(np.float64)
            row[0, j] = -np.abs(X[:, j]).max()
            try:
                self.distribution.encode(row, self.learned, column)
            except ValueError:
                bounds[j, 0] = 0.0
        return bounds

    def rule_density(self, rule: Rule) -> np.ndarray:
        """Log-densities of the points of a rule."""
        with np.errstate(all="ignore"):
            return self.density(self.parameters, self.bound.features(rule.points))


def column(j: int) -> str:
    """How errors call a column."""
    return f"column {j}"


def dense(X: Any) -> np.ndarray:
    """Rows as an array in C order: what another order changes has a check of its own."""
    return X.toarray() if sparse.issparse(X) else np.ascontiguousarray(X)
