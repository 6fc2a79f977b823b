"""The start "short-runs": candidates of several kinds, short runs, split-and-merge moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ..em.clusters import whiten
from ..em.loop import Result, run
from ..em.problem import ModelProblem
from ..em.seeded import seeded_start
from ..em.short_runs import choose_rows, short_runs
from ..em.sources import Block, InMemory
from ..em.split_merge import split_coordinates, split_merge
from ..em.squarem import Squarem
from ..em.starts import ShareStart, Start, draw_start
from ..em.statistics import Statistics
from ..em.threads import Workers
from ..em.units import Units
from ..exceptions import SingularError

__all__ = ["ShortRuns"]

# how candidates are drawn, and whether among whitened rows
_CLUSTERS = (
    ("kmeans", False),
    ("kmeans", True),
    ("k-means++", False),
    ("k-means++", True),
)
# partitions by random rows, at most, and so many divided by the square of the number of components: they find what is
# no cluster, and are more where there are few moves
_MOST_RANDOM, _RANDOM = 12, 99
# rows that short runs see, and iterations of those that are not short any more
_ROWS, _FINAL = 20_000, 60
# runs of a start rest where a step gains less, in nats a row
_TOL = 1e-6


class ShortRuns:
    """The search for one start.

    Parameters
    ----------
    estimator : CompositeEstimator
    model : CompositeModel
    block : Block
        All rows; of many some are taken.
    random_state : RandomState
    """

    def __init__(
        self, estimator: Any, model: Any, block: Block, random_state: np.random.RandomState
    ) -> None:
        self.estimator, self.model, self.random_state = estimator, model, random_state
        allowed = getattr(model.latent, "allowed", None) is not None
        self.block = choose_rows(block, _ROWS, random_state, whole_units=allowed)
        self.rows = rows = self.block.X.rows if isinstance(block.X, Units) else self.block.X
        self.space = model.distribution.embed(rows)
        self.white = whiten(self.space, self.block.sample_weight)

    def best(self) -> Any:
        """The parameters that the search ends at.

        Raises
        ------
        SingularError
            If every candidate is singular.
        """
        with Workers(self.estimator._n_threads(self.block.X, len(_CLUSTERS))) as workers:
            self.problem = _Remembering(
                self.model, InMemory(self.block, self.estimator._blocks), workers
            )
            self.map = partial(_in_threads, workers)
            tops = short_runs(list(self.candidates()), self.run, n_best=1, map_calls=self.map)
            if not tops:
                raise SingularError(
                    "init_params='short-runs': each of the first parameters is singular."
                )
            end = tops[0].result if tops[0].ended else self.run(tops[0].parameters, _FINAL)
            assert isinstance(end, Result)
            if self.estimator.n_components > 2:
                end = self.improve(end)
        return end.parameters

    def improve(self, end: Result) -> Result:
        """What split-and-merge moves make of a run."""
        return split_merge(
            end,
            self.shares,
            self.first_of_shares,
            self.run,
            split_coordinates(self.space, self.block.sample_weight),
            sample_weight=self.block.sample_weight,
            n_final=_FINAL,
            map_calls=self.map,
        )

    def run(self, parameters: Any, n_iterations: int) -> Result | SingularError:
        """EM from some parameters; accelerated where it is to come to rest."""
        scale = self.problem.rows / self.problem.total
        try:
            return run(
                self.problem,
                parameters,
                tol=min(self.estimator._setting("tol"), _TOL * scale),
                max_iter=n_iterations,
                accelerator=Squarem(1e-2 * scale) if n_iterations >= _FINAL // 4 else None,
            )
        except SingularError as error:
            return error

    def candidates(self) -> Iterator[Any]:
        """First parameters, or errors in their place."""
        block, K, rng = self.block, self.estimator.n_components, self.random_state
        n_random = min(_MOST_RANDOM, _RANDOM // K**2)
        random = [("random_from_data", bool(i % 2)) for i in range(n_random)]
        for method, white in (*_CLUSTERS, *random):
            space, weight = self.white if white else self.space, block.sample_weight
            if block.labels is None:
                start = draw_start(method, space, K, rng, weight, partition=True)
                start = self.estimator._arranged(start, block.X)
            else:
                start = seeded_start(space, block.labels, K, method, rng, weight)
            yield from self.firsts(start)

    def firsts(self, start: Start) -> list[Any]:
        """What a start becomes: parameters, several, or an error."""
        estimator, model, block = self.estimator, self.model, self.block
        weight = block.sample_weight
        try:
            if model.distribution.start_parts > 1:
                start = estimator._divide(
                    start, block.X, weight, self.random_state, model.distribution
                )
            statistics = estimator._first_statistics(model, start, block.X, weight)
            first = estimator._start_parameters(model, start, statistics, block.X, weight)
        except SingularError as error:
            return [error]
        return first if isinstance(first, list) else [first]

    def first_of_shares(self, shares: np.ndarray) -> Any:
        """Parameters from shares of the rows (n, K)."""
        return self.firsts(ShareStart(shares))[0]

    def shares(self, parameters: Any) -> np.ndarray:
        """The posterior (n, K) of the rows; without that of a noise component, whose rows sum to less."""
        table = self.model.shares(parameters, self.block.X, self.block.labels)
        return table[:, : self.estimator.n_components]


class _Remembering(ModelProblem):
    """The E-step, and what it was at parameters that a run ended at: the next one begins there."""

    _MOST = 64

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._known: dict[int, tuple[Any, tuple[Statistics, float]]] = {}

    def e_step(self, parameters: Any) -> tuple[Statistics, float]:
        """Statistics and objective of all rows."""
        known = self._known.get(id(parameters))
        if known is not None:
            return known[1]
        step = super().e_step(parameters)
        self._known[id(parameters)] = parameters, step
        if len(self._known) > self._MOST:  # the oldest; another thread may have been faster
            self._known.pop(next(iter(list(self._known))), None)
        return step


def _in_threads(workers: Workers, calls: list[Callable[[], Any]]) -> list[Any]:
    return workers.map_reduce([partial(_listed, call) for call in calls], list.__add__)


def _listed(call: Callable[[], Any]) -> list[Any]:
    return [call()]
