"""A mixture: labels times a distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._composite import CompositeModel, Fitted, Parameters, modes_of
from ..em.posteriors import SOFT, PosteriorMode
from ..em.statistics import Joint, Statistics, Sums

__all__ = ["Fitted", "MixtureModel", "MixtureParameters"]

#: weights (K,) and the parameters of the components
MixtureParameters = Parameters


class MixtureModel(CompositeModel):
    """E-step of a finite mixture, whose unit is the row."""

    def prepare(self, X: Any) -> Any:
        """What the E-step is given of a block."""
        return self.distribution.features(X)

    def e_step(
        self,
        parameters: MixtureParameters,
        features: Any,
        sample_weight: np.ndarray | None,
        *,
        mode: PosteriorMode = SOFT,
        labels: np.ndarray | None = None,
    ) -> tuple[Statistics, float]:
        """Statistics and log-likelihood of a prepared block, whose ``labels`` (n,) are -1 where they are unknown."""
        if not mode.plain or labels is not None:
            return self.plain_e_step(parameters, features, sample_weight, mode=mode, labels=labels)
        latent, distribution, components = self.latent, self.distribution, parameters.components
        fused = distribution.fused(
            components, latent.log_weights(parameters.weights), features, sample_weight
        )
        if fused is not None:
            counts, statistics, value = fused
            return Joint({"labels": Sums({"counts": counts}), "components": statistics}), value
        return self.plain_e_step(parameters, features, sample_weight)

    def plain_e_step(
        self,
        parameters: MixtureParameters,
        features: Any,
        sample_weight: np.ndarray | None,
        *,
        mode: PosteriorMode = SOFT,
        labels: np.ndarray | None = None,
    ) -> tuple[Statistics, float]:
        """The E-step from density, posterior and statistics, one after the other."""
        latent, distribution, components = self.latent, self.distribution, parameters.components
        log_density, memo = distribution.log_density(components, features)
        weights, counts, rows = latent.posterior(
            parameters.weights, log_density, sample_weight, **modes_of(mode, labels)
        )
        statistics = distribution.statistics(components, features, weights, memo)
        value = (
            rows.sum()
            if sample_weight is None
            else np.where(sample_weight > 0, rows, 0.0) @ sample_weight
        )
        return Joint({"labels": counts, "components": statistics}), float(value)

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
