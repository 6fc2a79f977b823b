"""A hidden Markov model: a chain times a distribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from .._composite import CompositeModel, Parameters, modes_of
from ..em.posteriors import SOFT, PosteriorMode
from ..em.reduce import map_reduce, row_blocks, row_size, take_rows
from ..em.statistics import Joint, Statistics
from ..em.threads import Workers
from ..em.units import Units

__all__ = ["HMMModel", "PreparedUnits"]


@dataclass(frozen=True)
class PreparedUnits:
    """Features of blocks of rows of some sequences, and where these end.

    The memory of a long sequence is kept from one E-step to the next: to take so much of it anew each
    time costs as much as to compute with it. Runs side by side have each their own.
    """

    features: list[Any]
    blocks: list[slice]
    ends: np.ndarray
    tables: list[np.ndarray] = field(default_factory=list)
    spare: list[np.ndarray] = field(default_factory=list)


class HMMModel(CompositeModel):
    """E-step of a hidden Markov model, whose unit is the sequence.

    Densities and statistics are mapped over blocks of rows inside the sequences, in threads where one is long.
    """

    #: the E-step is given the threads
    takes_workers = True
    #: arithmetic of a row, for the size of blocks
    cost: Callable[[float], float]

    def prepare(self, units: Units | Any) -> PreparedUnits:
        """What the E-step is given of some sequences; rows alone are one."""
        if not isinstance(units, Units):
            units = Units(units, np.array([units.shape[0]]))
        size = row_size(units)
        blocks = row_blocks(units.shape[0], size, self.cost(size))
        features = [self.distribution.features(take_rows(units.rows, rows)) for rows in blocks]
        return PreparedUnits(features, blocks, units.ends)

    def e_step(
        self,
        parameters: Parameters,
        prepared: PreparedUnits,
        sample_weight: np.ndarray | None,
        workers: Workers | None = None,
        *,
        mode: PosteriorMode = SOFT,
        labels: np.ndarray | None = None,
    ) -> tuple[Statistics, float]:
        """Statistics and log-likelihood of some sequences, whose ``labels`` (n,) are -1 where they are unknown."""
        table, memos = self.log_density(parameters.components, prepared, workers)
        weights, chain, rows = self.latent.posterior(
            parameters.latent,
            table,
            sample_weight,
            prepared.ends,
            run=partial(_run, workers),
            overwrite=True,
            spare=prepared.spare,
            **modes_of(mode, labels),
        )
        components = self.statistics(parameters.components, prepared, weights, memos, workers)
        if len(prepared.blocks) > 1:
            prepared.tables.append(table)
        if sample_weight is not None:
            rows = np.where(sample_weight > 0, rows, 0.0) * sample_weight
        return Joint({"chain": chain, "components": components}), float(rows.sum())

    def log_density(
        self, components: Any, prepared: PreparedUnits, workers: Workers | None = None
    ) -> tuple[np.ndarray, list[Any]]:
        """Log-densities (n, K) of all rows, and a memo for each block."""
        distribution, blocks = self.distribution, prepared.blocks
        if len(blocks) == 1:
            table, memo = distribution.log_density(components, prepared.features[0])
            return np.ascontiguousarray(table), [memo]
        try:
            table = prepared.tables.pop()
        except IndexError:
            table = np.empty((blocks[-1].stop, distribution.shape(components)[0]))

        def fill(number: int) -> Any:
            values, memo = distribution.log_density(components, prepared.features[number])
            table[blocks[number]] = values
            return memo

        return table, _run(workers, [partial(fill, i) for i in range(len(blocks))])

    def statistics(
        self,
        components: Any,
        prepared: PreparedUnits,
        weights: np.ndarray,
        memos: list[Any],
        workers: Workers | None = None,
    ) -> Statistics:
        """Statistics of the components under weights (n, K)."""

        def block(rows: slice) -> Statistics:
            i = numbers[rows.start]
            return self.distribution.statistics(
                components, prepared.features[i], weights[rows], memos[i]
            )

        numbers = {rows.start: i for i, rows in enumerate(prepared.blocks)}
        return map_reduce(block, prepared.blocks, lambda a, b: a + b, workers)


def _run(workers: Workers | None, calls: list[Callable[[], Any]]) -> list[Any]:
    """The values of some calls, in order; in threads where there are several."""
    if workers is None or len(calls) == 1:
        return [call() for call in calls]
    return workers.map_reduce([partial(_listed, call) for call in calls], list.__add__)


def _listed(call: Callable[[], Any]) -> list[Any]:
    return [call()]
