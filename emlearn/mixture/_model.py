"""A mixture: labels times a distribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..distributions import Distribution
from ..em.statistics import Joint, Statistics, Sums
from ..latent import Labels

__all__ = ["MixtureModel", "MixtureParameters"]


@dataclass(frozen=True)
class MixtureParameters:
    """Weights (K,) and the parameters of the components."""

    weights: np.ndarray
    components: Any


class MixtureModel:
    """E-step and M-step of a finite mixture.

    Parameters
    ----------
    latent : Labels
    distribution : Distribution
    start : callable
        ``start(X, sample_weight, random_state)`` returns parameters to begin with.
    """

    def __init__(
        self,
        latent: Labels,
        distribution: Distribution,
        start: Callable[..., MixtureParameters] | None = None,
    ) -> None:
        self.latent = latent
        self.distribution = distribution
        self.initial_parameters = start

    prior = None

    def log_prior(self, parameters):
        if self.prior is None:
            return 0.0
        return self.distribution.log_prior(parameters.components, self.prior)

    @property
    def uses_blas(self) -> bool:
        """True where scores depend on how many threads BLAS takes."""
        return self.distribution.uses_blas

    def e_step(
        self, parameters: MixtureParameters, X: np.ndarray, sample_weight: np.ndarray | None
    ) -> tuple[Statistics, float]:
        latent, distribution, components = self.latent, self.distribution, parameters.components
        fused = distribution.fused(
            components, latent.log_prior(parameters.weights), X, sample_weight
        )
        if fused is not None:
            counts, statistics, value = fused
            return Joint({"labels": Sums({"counts": counts}), "components": statistics}), value
        return self.plain_e_step(parameters, X, sample_weight)

    def plain_e_step(
        self, parameters: MixtureParameters, X: np.ndarray, sample_weight: np.ndarray | None
    ) -> tuple[Statistics, float]:
        """The E-step from density, posterior and statistics, one after the other."""
        latent, distribution, components = self.latent, self.distribution, parameters.components
        features = distribution.features(X)
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
        components = None if parameters is None else parameters.components
        return MixtureParameters(
            self.latent.m_step(statistics["labels"]),
            self.distribution.m_step(statistics["components"], components, self.prior),
        )

    def ascent(self, old: MixtureParameters, new: MixtureParameters, statistics: Joint) -> float:
        return self.distribution.ascent(old.components, new.components, statistics["components"])

    def n_free(self, parameters: MixtureParameters) -> int:
        """Number of free parameters."""
        return self.latent.n_free(parameters.weights) + self.distribution.n_free(
            parameters.components
        )

    def scores(self, parameters: MixtureParameters, X: np.ndarray, **outputs: np.ndarray) -> bool:
        """Fill ``joint``, ``posterior``, ``log_density`` or ``label`` of a block; False if a row is not finite."""
        log_prior = self.latent.log_prior(parameters.weights)
        distribution, components = self.distribution, parameters.components
        finite = distribution.fused_scores(components, log_prior, X, **outputs)
        if finite is not None:
            return finite
        log_density, _ = distribution.log_density(components, distribution.features(X))
        posterior, _, rows = self.latent.posterior(parameters.weights, log_density)
        values = {"posterior": posterior, "log_density": rows, "joint": log_density + log_prior}
        for name, out in outputs.items():
            out[...] = values["joint"].argmax(axis=1) if name == "label" else values[name]
        return bool(np.isfinite(np.sum(X, dtype=np.float64)))
