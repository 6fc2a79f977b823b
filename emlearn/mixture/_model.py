"""A mixture: labels times a distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..distributions import Distribution, Prior
from ..em.statistics import Joint, Statistics, Sums
from ..latent import Labels

__all__ = ["Fitted", "MixtureModel", "MixtureParameters"]


@dataclass(frozen=True)
class MixtureParameters:
    """Weights (K,) and the parameters of the components."""

    weights: np.ndarray
    components: Any


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


class MixtureModel:
    """E-step and M-step of a finite mixture.

    Parameters
    ----------
    latent : Labels
    distribution : Distribution
    prior : Prior or None
        Of the components, bound.
    concentration : float or None
        Of the Dirichlet prior of the weights.
    start : callable
        ``start(X, sample_weight, random_state)`` returns parameters to begin with.
    """

    def __init__(
        self,
        latent: Labels,
        distribution: Distribution,
        prior: Prior | None = None,
        concentration: float | None = None,
        start: Callable[..., MixtureParameters] | None = None,
    ) -> None:
        self.latent = latent
        self.distribution = distribution
        self.prior = prior
        self.concentration = concentration
        self.initial_parameters = start

    @property
    def uses_blas(self) -> bool:
        """True where scores depend on how many threads BLAS takes."""
        return self.distribution.uses_blas

    @property
    def unit_free(self) -> bool:
        """Whether the fit is the same for any multiple of the sample weights."""
        return self.prior is None and self.concentration is None

    def prepare(self, X: Any) -> Any:
        """What the E-step is given of a block."""
        return self.distribution.features(X)

    def e_step(
        self, parameters: MixtureParameters, features: Any, sample_weight: np.ndarray | None
    ) -> tuple[Statistics, float]:
        """Statistics and log-likelihood of a prepared block."""
        latent, distribution, components = self.latent, self.distribution, parameters.components
        fused = distribution.fused(
            components, latent.log_weights(parameters.weights), features, sample_weight
        )
        if fused is not None:
            counts, statistics, value = fused
            return Joint({"labels": Sums({"counts": counts}), "components": statistics}), value
        return self.plain_e_step(parameters, features, sample_weight)

    def plain_e_step(
        self, parameters: MixtureParameters, features: Any, sample_weight: np.ndarray | None
    ) -> tuple[Statistics, float]:
        """The E-step from density, posterior and statistics, one after the other."""
        latent, distribution, components = self.latent, self.distribution, parameters.components
        log_density, memo = distribution.log_density(components, features)
        weights, labels, rows = latent.posterior(parameters.weights, log_density, sample_weight)
        statistics = distribution.statistics(components, features, weights, memo)
        value = (
            rows.sum()
            if sample_weight is None
            else np.where(sample_weight > 0, rows, 0.0) @ sample_weight
        )
        return Joint({"labels": labels, "components": statistics}), float(value)

    def m_step(self, statistics: Joint, parameters: MixtureParameters | None) -> MixtureParameters:
        """Weights and components, each under its prior."""
        components = None if parameters is None else parameters.components
        return MixtureParameters(
            self.latent.m_step(statistics["labels"], self.concentration),
            self.distribution.m_step(statistics["components"], components, self.prior),
        )

    def log_prior(self, parameters: MixtureParameters) -> float:
        """Log-density of the parameters under the priors."""
        value = self.latent.log_prior(parameters.weights, self.concentration)
        if self.prior is not None:
            value += self.distribution.log_prior(parameters.components, self.prior)
        return value

    def ascent(self, old: MixtureParameters, new: MixtureParameters, statistics: Joint) -> float:
        """What the objective must at least gain."""
        if getattr(self.prior, "mclust", False):  # whose steps maximise nothing
            return -np.inf
        return self.distribution.ascent(old.components, new.components, statistics["components"])

    def n_free(self, parameters: MixtureParameters) -> int:
        """Number of free parameters."""
        return self.latent.n_free(parameters.weights) + self.distribution.n_free(
            parameters.components
        )

    def scores(self, parameters: MixtureParameters, X: Any, **outputs: np.ndarray) -> bool:
        """Fill ``joint``, ``posterior``, ``log_density`` or ``label`` of a block; False if a row is not finite."""
        log_weights = self.latent.log_weights(parameters.weights)
        distribution, components = self.distribution, parameters.components
        finite = distribution.fused_scores(components, log_weights, X, **outputs)
        if finite is not None:
            return finite
        log_density, _ = distribution.log_density(components, distribution.features(X))
        posterior, _, rows = self.latent.posterior(parameters.weights, log_density)
        values = {"posterior": posterior, "log_density": rows, "joint": log_density + log_weights}
        for name, out in outputs.items():
            out[...] = values["joint"].argmax(axis=1) if name == "label" else values[name]
        return True
