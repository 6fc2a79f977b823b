"""A latent structure times a distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..distributions import Distribution, Prior
from ..em.fixed import Constraints
from ..em.posteriors import SOFT, PosteriorMode
from ..em.sources import Source
from ..em.statistics import Joint
from ..em.units import Units

__all__ = ["CompositeModel", "Fitted", "Parameters", "modes_of"]


def modes_of(mode: PosteriorMode, labels: np.ndarray | None) -> dict[str, Any]:
    """What a latent structure is told of modes: nothing where it needs to know of none."""
    return {} if mode.plain and labels is None else {"mode": mode, "labels": labels}


@dataclass(frozen=True)
class Parameters:
    """Parameters of the latent structure, and of the components."""

    latent: Any
    components: Any

    @property
    def weights(self) -> np.ndarray:
        """Those of labels: the weights (K,)."""
        return self.latent


class Fitted(Mapping):
    """The fitted attributes of an estimator, without their underscores."""

    def __init__(self, estimator: Any) -> None:
        self._values = vars(estimator)

    def __getitem__(self, name: str) -> Any:
        return self._values[f"{name}_"]

    def __iter__(self) -> Any:
        return (name[:-1] for name in self._values if name.endswith("_"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class CompositeModel:
    """What any latent structure times any distribution has in common; a subclass has the E-step.

    Parameters
    ----------
    latent : Labels or Chain
    distribution : Distribution
    prior : Prior or None
        Of the components, bound.
    latent_prior : object or None
        Of the parameters of the latent structure, in its own terms.
    start : callable
        ``start(X, sample_weight, random_state)`` returns parameters to begin with.
    """

    def __init__(
        self,
        latent: Any,
        distribution: Distribution,
        prior: Prior | None = None,
        latent_prior: Any = None,
        start: Callable[..., Parameters] | None = None,
    ) -> None:
        self.latent = latent
        self.distribution = distribution
        self.prior = prior
        self.latent_prior = latent_prior
        self.initial_parameters = start

    #: reads what is fixed or equal, where there is something: for a number of features, the latent structure's and
    #: the components'
    read_constraints: Callable[[int], tuple[Constraints, Constraints]] | None = None
    #: what is fixed or equal in a fit
    latent_constraints: Constraints | None = None
    constraints: Constraints | None = None

    @property
    def uses_blas(self) -> bool:
        """True where scores depend on how many threads BLAS takes."""
        return self.distribution.uses_blas

    @property
    def unit_free(self) -> bool:
        """Whether the fit is the same for any multiple of the sample weights."""
        return self.prior is None and self.latent_prior is None

    def expected_statistics(self, parameters: Parameters, source: Source) -> Joint | None:
        """What the statistics of the rows would be in the mean if they came from these parameters; None if unknown."""
        rows = source.weight
        latent, weights = self.latent.expected_statistics(
            parameters.latent, rows, rows * source.n_units / source.shape[0]
        )
        components = self.distribution.expected_statistics(parameters.components, weights)
        if components is None:
            return None
        return Joint({self.latent.name: latent, "components": components})

    def m_step(self, statistics: Joint, parameters: Parameters | None) -> Parameters:
        """Latent structure and components, each under its prior."""
        latent, components = (
            (None, None) if parameters is None else (parameters.latent, parameters.components)
        )
        return Parameters(
            self.latent_m_step(statistics, latent), self.components_m_step(statistics, components)
        )

    def latent_m_step(self, statistics: Joint, latent: Any) -> Any:
        """That of the latent structure."""
        own = statistics[self.latent.name]
        if not self.latent_constraints:
            return self.latent.m_step(own, self.latent_prior, latent)
        return self.latent.m_step(own, self.latent_prior, latent, self.latent_constraints)

    def components_m_step(self, statistics: Joint, components: Any) -> Any:
        """That of the components."""
        own = statistics["components"]
        if not self.constraints:
            return self.distribution.m_step(own, components, self.prior)
        return self.distribution.constrained_m_step(own, components, self.prior, self.constraints)

    def shares(
        self, parameters: Parameters, X: Any, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """The posterior (n, K) of rows, or of the rows of units."""
        return self.posteriors(parameters, X, [SOFT], labels)[0]

    def posteriors(
        self,
        parameters: Parameters,
        X: Any,
        modes: Sequence[PosteriorMode],
        labels: np.ndarray | None = None,
    ) -> list[np.ndarray]:
        """What each of some modes makes of the posterior (n, K) of rows, or of the rows of units."""
        units = {"ends": X.ends} if isinstance(X, Units) else {}
        distribution = self.distribution
        features = distribution.features(X.rows if units else X)
        table, _ = distribution.log_density(parameters.components, features)
        return [
            self.latent.posterior(
                parameters.latent, table, None, **units, **modes_of(mode, labels)
            )[0]
            for mode in modes
        ]

    def log_prior(self, parameters: Parameters) -> float:
        """Log-density of the parameters under the priors."""
        value = self.latent.log_prior(parameters.latent, self.latent_prior)
        if self.prior is not None:
            value += self.distribution.log_prior(parameters.components, self.prior)
        return value

    def ascent(self, old: Parameters, new: Parameters, statistics: Joint) -> float:
        """What the objective must at least gain."""
        if getattr(self.prior, "mclust", False):  # whose steps maximise nothing
            return -np.inf
        return self.distribution.ascent(old.components, new.components, statistics["components"])

    def n_free(self, parameters: Parameters) -> int:
        """Number of free parameters."""
        latent, components = parameters.latent, parameters.components
        free = self.distribution.n_free(components)
        if self.read_constraints is None:
            return self.latent.n_free(latent) + free
        held, constraints = self.read_constraints(self.distribution.shape(components)[1])
        if constraints:
            free -= self.distribution.n_held(components, constraints)
        return (self.latent.n_free(latent, held) if held else self.latent.n_free(latent)) + free
