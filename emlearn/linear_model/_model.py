"""A mixture of regressions: labels, or a gate, times a regression; rows alone, or in groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._composite import CompositeModel, Parameters, modes_of
from ..em.posteriors import SOFT, PosteriorMode
from ..em.sources import Source
from ..em.statistics import Joint, Statistics
from ..em.units import Units
from ..latent import Gate

__all__ = ["PreparedRows", "RegressionModel"]


@dataclass(frozen=True)
class PreparedRows:
    """What the E-step is given of a block.

    Attributes
    ----------
    features : object
        Of the family.
    covariates : ndarray of shape (n_units, g)
        Of the gate, in the first row of each unit.
    ends : ndarray or None
        Where the groups end.
    """

    features: Any
    covariates: np.ndarray
    ends: np.ndarray | None

    @property
    def begins(self) -> np.ndarray:
        """The number of the first row of each group."""
        return np.r_[0, self.ends[:-1]]

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values of units as values of their rows."""
        return (
            values
            if self.ends is None
            else np.repeat(values, np.diff(self.ends, prepend=0), axis=0)
        )


class RegressionModel(CompositeModel):
    """E-step of a mixture of regressions, whose unit is the row, or the group of rows.

    All rows of a group are of one component: its posterior is that of the sum of their log-densities.
    """

    def prepare(self, X: Any) -> PreparedRows:
        """What the E-step is given of a block."""
        rows, ends = (X.rows, X.ends) if isinstance(X, Units) else (X, None)
        more = self.distribution.more_columns
        covariates = rows[:, rows.shape[1] - more :]
        if ends is not None:
            covariates = covariates[X.begins]
        return PreparedRows(self.distribution.features(rows), covariates.astype(np.float64), ends)

    def e_step(
        self,
        parameters: Parameters,
        prepared: PreparedRows,
        sample_weight: np.ndarray | None,
        *,
        mode: PosteriorMode = SOFT,
        labels: np.ndarray | None = None,
    ) -> tuple[Statistics, float]:
        """Statistics and log-likelihood of a prepared block, whose ``labels`` (n,) are -1 where they are unknown."""
        distribution, components = self.distribution, parameters.components
        table, memo = distribution.log_density(components, prepared.features)
        posterior, latent, units = self.posterior(
            parameters.latent, table, prepared, sample_weight, mode=mode, labels=labels
        )
        statistics = distribution.statistics(
            components, prepared.features, prepared.spread(posterior), memo
        )
        if sample_weight is not None:
            weight = sample_weight if prepared.ends is None else sample_weight[prepared.begins]
            units = np.where(weight > 0, units, 0.0) * weight
        return Joint({self.latent.name: latent, "components": statistics}), float(units.sum())

    def posterior(
        self,
        latent: Any,
        table: np.ndarray,
        prepared: PreparedRows,
        sample_weight: np.ndarray | None = None,
        *,
        mode: PosteriorMode = SOFT,
        labels: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Statistics, np.ndarray]:
        """Posterior (n_units, K), statistics of the latent structure and log-likelihoods (n_units,)."""
        if prepared.ends is not None:
            begins = prepared.begins
            table = np.add.reduceat(table, begins, axis=0)
            sample_weight = None if sample_weight is None else sample_weight[begins]
            labels = None if labels is None else np.maximum.reduceat(labels, begins)
        gate = {"covariates": prepared.covariates} if isinstance(self.latent, Gate) else {}
        return self.latent.posterior(latent, table, sample_weight, **gate, **modes_of(mode, labels))

    def log_weights(self, latent: Any, prepared: PreparedRows) -> np.ndarray:
        """Logarithms (n_units, K) of the weights of the components."""
        if isinstance(self.latent, Gate):
            return self.latent.log_probabilities(latent, prepared.covariates)
        n = len(prepared.covariates)
        return np.broadcast_to(self.latent.log_weights(latent), (n, len(latent)))

    def shares(
        self, parameters: Parameters, X: Any, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """The posterior (n, K) of rows."""
        prepared = self.prepare(X)
        table, _ = self.distribution.log_density(parameters.components, prepared.features)
        found = self.posterior(parameters.latent, table, prepared, labels=labels)[0]
        return prepared.spread(found)

    @property
    def unit_free(self) -> bool:
        """Whether the fit is the same for any multiple of the sample weights."""
        return super().unit_free and self.distribution.alpha == 0

    def expected_statistics(self, parameters: Parameters, source: Source) -> None:
        """None: nothing is known of the distribution of the covariates."""
        return None

    def log_prior(self, parameters: Parameters) -> float:
        """What the ridge takes from the log-likelihood."""
        return super().log_prior(parameters) - self.distribution.penalty(parameters.components)
