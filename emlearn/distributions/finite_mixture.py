"""A mixture as a component: each of the K components is itself a mixture of members of one family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.utils._param_validation import Interval

from .._kernels import labels as kernel
from ..em.fixed import Constraints
from ..em.held import Space
from ..em.probabilities import shares
from ..em.statistics import Joint, Sums
from ._around import Around
from ._base import (
    Distribution,
    Fold,
    Prior,
    as_float,
    check_domain,
    check_sums,
    listed,
    m_step_beside,
)
from .gaussian import Gaussian
from .noise import WithNoise

__all__ = ["FiniteMixture", "FiniteMixtureParameters"]

# ------------------------------------------------------------ parameters


@dataclass(frozen=True)
class FiniteMixtureParameters:
    """Parameters of K mixtures of M members each.

    Attributes
    ----------
    mixture_weights : ndarray of shape (K, M)
        Each row sums to 1.
    members : object
        The family's parameters of K * M components: member m of component k is number ``k * M + m``.
    """

    mixture_weights: np.ndarray
    members: Any


class FiniteMixture(Around):
    """Mixtures of a family: each component is made of ``n_mix`` members.

    What the members are is the family's business, from the data it takes to its prior. A hidden
    Markov model of it has states that emit mixtures; a mixture of it has components of any shape.

    Parameters
    ----------
    distribution : Distribution, default=None
        The family of the members; None is a Gaussian with a full covariance.
    n_mix : int, default=1
        Number of members of each component.

    References
    ----------
    Juang, B. H. (1985). Maximum-likelihood estimation for mixture multivariate
    stochastic observations of Markov chains. AT&T Technical Journal 64(6), 1235-1249.

    Examples
    --------
    >>> from emlearn.distributions import FiniteMixture, Poisson
    >>> from emlearn.mixture import Mixture
    >>> X = [[0], [1], [20], [21], [50], [51], [90], [91]]
    >>> start = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> two = FiniteMixture(Poisson(), n_mix=2)
    >>> mixture = Mixture(2, distribution=two, init_params=start, random_state=0).fit(X)
    >>> mixture.mixture_weights_.shape, mixture.rates_.shape
    ((2, 2), (2, 2, 1))
    >>> mixture.rates_.min(axis=1).round(1).ravel(), mixture.rates_.max(axis=1).round(1).ravel()
    (array([ 0.5, 50.5]), array([20.5, 90.5]))
    """

    parameters_class = FiniteMixtureParameters

    _parameter_constraints: dict = {
        "distribution": [Distribution, None],
        "n_mix": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, distribution: Distribution | None = None, n_mix: int = 1) -> None:
        self.distribution = distribution
        self.n_mix = n_mix

    @property
    def family(self) -> Distribution:
        """The family of the members."""
        return Gaussian(reg_covar=1e-6) if self.distribution is None else self.distribution

    def _validate_params(self) -> None:
        super()._validate_params()
        if isinstance(self.family, WithNoise):
            raise ValueError(
                "FiniteMixture: a member cannot be noise. Give the family without it, and noise to the model."
            )
        self.family._validate_params()

    @property
    def exact(self) -> bool:
        """Whether there is nothing hidden within a component."""
        return self.n_mix == 1 and self.family.exact

    @property
    def start_parts(self) -> int:
        """A part for each member, or for each part of a member."""
        return self.n_mix * self.family.start_parts

    def assume(self, values: Mapping[str, Any]) -> dict[str, Any]:
        if values.get("mixture_weights") is None:  # recall says that it is missing
            return {}
        return self.family.assume(self._flat(values, self._read_weights(values)))

    def resolve(self, learned: Mapping[str, Any]) -> Self:
        return type(self)(self.family.resolve(learned), self.n_mix)

    def bind(self, X: Any, sample_weight: np.ndarray | None, fold: Fold | None = None) -> Self:
        return type(self)(self.family.bind(X, sample_weight, **_more(fold)), self.n_mix)

    def row_cost(self, n_components: int, n_features: float) -> float:
        members = n_components * self.n_mix
        return self.family.row_cost(members, n_features) + 32 * members

    # ------------------------------------------------------------ density

    def log_density(
        self, parameters: FiniteMixtureParameters, features: Any
    ) -> tuple[np.ndarray, tuple[np.ndarray, Any]]:
        """Log-densities; the posterior of the members within each component, and the family's memo."""
        K, M = parameters.mixture_weights.shape
        joint, memo = self.family.log_density(parameters.members, features)
        joint = np.ascontiguousarray(joint + _logs(parameters).ravel(), dtype=np.float64)
        n = len(joint)
        # to the kernel each row of each component is a row of a mixture of M
        posterior, _, rows = kernel.posterior(joint.reshape(n * K, M), np.zeros(M), None)
        return rows.reshape(n, K), (posterior.reshape(n, K * M), memo)

    # --------------------------------------------------------- statistics

    def statistics(
        self,
        parameters: FiniteMixtureParameters | None,
        features: Any,
        weights: np.ndarray,
        memo: tuple[np.ndarray, Any] | None = None,
    ) -> Joint:
        """Counts of the members, and the family's statistics of them.

        At a start weights have ``start_parts`` columns for each component; where they cannot, as
        their number is no multiple of it, each column is one component, spread evenly.
        """
        weights = np.ascontiguousarray(weights, dtype=np.float64)
        if parameters is None:
            parts = self.start_parts
            if weights.shape[1] % parts:
                weights = np.repeat(weights / parts, parts, axis=1)
            members, inner, parts = None, None, self.family.start_parts
        else:
            members, parts = parameters.members, 1
            posterior, inner = self.log_density(parameters, features)[1] if memo is None else memo
            weights = np.repeat(weights, self.n_mix, axis=1) * posterior
        counts = weights.sum(axis=0).reshape(-1, self.n_mix, parts).sum(axis=2)
        statistics = self.family.statistics(members, features, weights, inner)
        return Joint({"mixture": Sums({"counts": counts}), "members": statistics})

    def fused(
        self,
        parameters: FiniteMixtureParameters,
        log_weights: np.ndarray,
        features: Any,
        sample_weight: np.ndarray | None,
        flat: float | None = None,
    ) -> tuple[np.ndarray, Joint, float] | None:
        """A mixture of mixtures is one mixture of all members."""
        K, M = parameters.mixture_weights.shape
        all_logs = (_logs(parameters) + log_weights[:K, None]).ravel()
        fused = self.family.fused(
            parameters.members,
            np.concatenate([all_logs, log_weights[K:]]),
            features,
            sample_weight,
            flat,
        )
        if fused is None:
            return None
        counts, statistics, value = fused
        within = counts[: K * M].reshape(K, M)
        joint = Joint({"mixture": Sums({"counts": within}), "members": statistics})
        return np.concatenate([within.sum(axis=1), counts[K * M :]]), joint, value

    def expected_statistics(
        self, parameters: FiniteMixtureParameters, weights: np.ndarray
    ) -> Joint | None:
        counts = weights[:, None] * parameters.mixture_weights
        members = self.family.expected_statistics(parameters.members, counts.ravel())
        if members is None:
            return None
        return Joint({"mixture": Sums({"counts": counts}), "members": members})

    # ------------------------------------------------------------- M-step

    def m_step(
        self,
        statistics: Joint,
        parameters: FiniteMixtureParameters | None,
        prior: Prior | None = None,
    ) -> FiniteMixtureParameters:
        """Weights from counts, an empty component keeps its own; the members' M-step is the family's."""
        members, current = (
            (None, None) if parameters is None else (parameters.members, parameters.mixture_weights)
        )
        return FiniteMixtureParameters(
            self._weights(statistics["mixture"]["counts"], current),
            self.family.m_step(statistics["members"], members, prior),
        )

    @staticmethod
    def _weights(counts: np.ndarray, current: np.ndarray | None) -> np.ndarray:
        total = counts.sum(axis=1, keepdims=True)
        seen = total > 0
        if current is None:
            current = np.full(counts.shape, 1.0 / counts.shape[1])
        return np.where(seen, counts / np.where(seen, total, 1.0), current)

    def parameter_spaces(self, n_components: int, n_features: int) -> dict[str, Space]:
        K, M = n_components, self.n_mix
        spaces = {"mixture_weights": Space((K, M), 0.0, 1.0, sizes=(M,))}
        for name, space in self.family.parameter_spaces(K * M, n_features).items():
            shape = (K, M, *space.shape[1:]) if space.axes else space.shape
            spaces[_outer(name)] = replace(space, shape=shape)
        return spaces

    def settle(self, constraints: Constraints, n_components: int, n_features: int) -> Constraints:
        """``mixture_weights``, and what the family makes of its own with ``members.`` in front."""
        members = n_components * self.n_mix
        spaces = self.family.parameter_spaces(members, n_features)
        inner = Constraints(
            {
                name: constraints[_outer(name)].flattened(space)
                for name, space in spaces.items()
                if _outer(name) in constraints
            }
        )
        if inner:
            inner = self.family.settle(inner, members, n_features)
        return Constraints({**constraints.only(["mixture_weights"]), **inner.under("members.")})

    def constrained_m_step(
        self,
        statistics: Joint,
        parameters: FiniteMixtureParameters | None,
        prior: Prior | None,
        constraints: Constraints,
    ) -> FiniteMixtureParameters:
        counts, current = statistics["mixture"]["counts"], None
        if parameters is not None:
            current = parameters.mixture_weights
        if "mixture_weights" in constraints:
            weights = shares(counts, constraints["mixture_weights"], current)
        else:
            weights = self._weights(counts, current)
        members = m_step_beside(
            self.family,
            statistics["members"],
            None if parameters is None else parameters.members,
            prior,
            constraints.inside("members."),
        )
        return FiniteMixtureParameters(weights, members)

    def n_held(self, parameters: FiniteMixtureParameters, constraints: Constraints) -> int:
        inner = constraints.inside("members.")
        own = constraints.only(["mixture_weights"])
        members = self.family.n_held(parameters.members, inner) if inner else 0
        return sum(held.n_held for held in own.values()) + members

    def bind_prior(
        self,
        prior: Any,
        X: Any,
        sample_weight: np.ndarray | None,
        n_components: int,
        fold: Fold | None = None,
    ) -> Prior:
        members = n_components * self.n_mix
        return self.family.bind_prior(prior, X, sample_weight, members, **_more(fold))

    def log_prior(self, parameters: FiniteMixtureParameters, prior: Prior) -> float:
        return self.family.log_prior(parameters.members, prior)

    def ascent(
        self, old: FiniteMixtureParameters, new: FiniteMixtureParameters, statistics: Joint
    ) -> float:
        return self.family.ascent(old.members, new.members, statistics["members"])

    # ----------------------------------------------------------- sampling

    def sample(
        self,
        parameters: FiniteMixtureParameters,
        counts: np.ndarray,
        rng: np.random.RandomState,
    ) -> np.ndarray:
        weights = parameters.mixture_weights
        if self.n_mix == 1:
            return self.family.sample(parameters.members, counts, rng)
        shares = weights / weights.sum(axis=1, keepdims=True)
        each = np.array([rng.multinomial(n, p) for n, p in zip(counts, shares, strict=True)])
        rows = self.family.sample(parameters.members, each.ravel(), rng)
        # those of a component come member by member, and who draws a sequence takes them as they come
        start = 0
        for n in counts:
            rows[start : start + n] = rows[start + rng.permutation(n)]
            start += n
        return rows

    # ------------------------------------------------------ missing cells

    def _members(self, parameters: FiniteMixtureParameters, X: np.ndarray) -> np.ndarray:
        """Posterior (n, K, M) of the members within each component, given what is observed."""
        posterior = self.log_density(parameters, self.features(X))[1][0]
        return posterior.reshape(len(X), *parameters.mixture_weights.shape)

    def fill(
        self, parameters: FiniteMixtureParameters, X: np.ndarray, shares: np.ndarray
    ) -> np.ndarray:
        each = shares[:, :, None] * self._members(parameters, X)
        return self.family.fill(parameters.members, X, each.reshape(len(X), -1))

    def draw_missing(
        self,
        parameters: FiniteMixtureParameters,
        X: np.ndarray,
        labels: np.ndarray,
        rng: np.random.RandomState,
    ) -> np.ndarray:
        edges = np.cumsum(self._members(parameters, X)[np.arange(len(X)), labels], axis=1)
        drawn = (rng.uniform(size=(len(X), 1)) * edges[:, -1:] >= edges).sum(axis=1)
        members = labels * self.n_mix + np.minimum(drawn, self.n_mix - 1)
        return self.family.draw_missing(parameters.members, X, members, rng)

    # --------------------------------------------------------- parameters

    def n_free(self, parameters: FiniteMixtureParameters) -> int:
        K, M = parameters.mixture_weights.shape
        return K * (M - 1) + self.family.n_free(parameters.members)

    def shape(self, parameters: FiniteMixtureParameters) -> tuple[int, int]:
        return len(parameters.mixture_weights), self.family.shape(parameters.members)[1]

    def check_parameters(self, parameters: FiniteMixtureParameters) -> None:
        check_domain(parameters.mixture_weights, 0.0, 1.0, "mixture_weights")
        check_sums(parameters.mixture_weights, "mixture_weights")
        self.family.check_parameters(parameters.members)

    def degeneracies(self, parameters: FiniteMixtureParameters, weights: np.ndarray) -> list[str]:
        shares = np.asarray(weights)[..., None] * parameters.mixture_weights.reshape(
            *np.shape(weights), -1
        )
        empty = (shares == 0) & (np.asarray(weights) > 0)[..., None]
        found = self.family.degeneracies(parameters.members, shares)
        if not empty.any():
            return found
        return [
            f"Members {listed(empty)} are empty, (component, member) each: no row belongs to them. There"
            " may be fewer distinct rows than members; try a smaller n_mix.",
            *found,
        ]

    @property
    def shared_parameters(self) -> tuple[str, ...]:
        return tuple(map(_outer, self.family.shared_parameters))

    @property
    def column_parameters(self) -> tuple[str, ...]:
        return tuple(map(_outer, self.family.column_parameters))

    def publish(self, parameters: FiniteMixtureParameters) -> dict[str, Any]:
        """``mixture_weights``, and the family's parameters with the axes (K, M) in the place of K."""
        axes = parameters.mixture_weights.shape
        values = {"mixture_weights": parameters.mixture_weights}
        for name, value in self.family.publish(parameters.members).items():
            if name in self.family.column_parameters:
                value = [np.reshape(part, (*axes, *part.shape[1:])) for part in value]
            elif name not in self.family.shared_parameters and np.ndim(value):
                value = np.reshape(value, (*axes, *np.shape(value)[1:]))
            values[_outer(name)] = value
        return values

    def recall(self, values: Mapping[str, Any]) -> FiniteMixtureParameters:
        weights = self._read_weights(values)
        members = self.family.recall(self._flat(values, weights))
        found = self.family.shape(members)[0]
        if found != weights.size:
            raise ValueError(
                f"The parameter 'mixture_weights' is of {weights.size} members, of the shape {weights.shape},"
                f" but the other parameters are of {found}."
            )
        return FiniteMixtureParameters(weights, members)

    def _read_weights(self, values: Mapping[str, Any]) -> np.ndarray:
        weights = as_float(values["mixture_weights"])
        if weights.ndim != 2 or weights.shape[1] != self.n_mix:
            raise ValueError(
                f"The parameter 'mixture_weights' must have the shape (n_components, n_mix = {self.n_mix}),"
                f" got {weights.shape}."
            )
        return weights

    def _flat(self, values: Mapping[str, Any], weights: np.ndarray) -> Mapping[str, Any]:
        return _Members(values, self.family, weights.shape)


def _more(fold: Fold | None) -> dict[str, Fold]:
    return {} if fold is None else {"fold": fold}


class _Members(Mapping):
    """Published parameters as the family has them: one axis for the components, and one name less."""

    def __init__(
        self, values: Mapping[str, Any], family: Distribution, axes: tuple[int, int]
    ) -> None:
        self._values, self._family, self._axes = values, family, axes

    def __getitem__(self, name: str) -> Any:
        value = self._values[_outer(name)]
        if value is None or name in self._family.shared_parameters:
            return value
        if name in self._family.column_parameters:
            return [self._flatten(part, name) for part in value]
        return value if np.ndim(value) == 0 else self._flatten(value, name)

    def _flatten(self, value: Any, name: str) -> np.ndarray:
        array = np.asarray(value)
        if array.shape[:2] != self._axes:
            raise ValueError(
                f"The parameter {_outer(name)!r} must have the axes (n_components, n_mix) = {self._axes} in"
                f" front, as 'mixture_weights' has, got an array of shape {array.shape}."
            )
        return array.reshape(-1, *array.shape[2:])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _outer(name: str) -> str:
    """The name of a member's parameter: its own, but where the members are mixtures themselves."""
    own = name.split("member_")[-1] == "mixture_weights"
    return f"member_{name}" if own else name


def _logs(parameters: FiniteMixtureParameters) -> np.ndarray:
    """Logarithms of the weights (K, M); -inf where one is 0."""
    with np.errstate(divide="ignore"):
        return np.log(parameters.mixture_weights)
