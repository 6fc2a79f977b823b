"""Incremental EM: the statistics of one block at a time are replaced."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..exceptions import SingularError
from .loop import Result, StopReason
from .online import OnlineState
from .statistics import Statistics

__all__ = ["IncrementalState", "MergeTree"]

# each block has its statistics in memory, twice with the sums of the tree
_MOST_BLOCKS = 1024


class MergeTree:
    """The merged statistics of many blocks, of which one is replaced at a time.

    Statistics have no ``-``: what a block said cannot be taken out of a sum. A tree of partial sums needs
    none, and a replacement costs as many merges as the tree has levels.

    Parameters
    ----------
    leaves : list of Statistics

    Examples
    --------
    >>> from emlearn.em import Sums
    >>> from emlearn.em.incremental import MergeTree
    >>> tree = MergeTree([Sums({"n": 1.0}), Sums({"n": 2.0}), Sums({"n": 4.0})])
    >>> tree.replace(1, Sums({"n": 10.0}))
    >>> tree.root["n"]
    15.0
    """

    def __init__(self, leaves: list[Statistics]) -> None:
        self.levels = [list(leaves)]
        while len(self.levels[-1]) > 1:
            below = self.levels[-1]
            self.levels.append([_pair(below, i) for i in range((len(below) + 1) // 2)])

    @property
    def root(self) -> Statistics:
        """All blocks together."""
        return self.levels[-1][0]

    @property
    def leaves(self) -> list[Statistics]:
        """Those of the blocks."""
        return self.levels[0]

    def replace(self, index: int, statistics: Statistics) -> None:
        """New statistics of one block."""
        self.levels[0][index] = statistics
        for below, level in zip(self.levels, self.levels[1:], strict=False):
            index //= 2
            level[index] = _pair(below, index)


def _pair(below: list[Statistics], i: int) -> Statistics:
    return below[2 * i] + below[2 * i + 1] if 2 * i + 1 < len(below) else below[2 * i]


class IncrementalState(OnlineState):
    """An iteration is a pass over the blocks, in their order: the E-step of one block, then an M-step.

    Each M-step raises a lower bound of the objective, which the blocks' statistics of other parameters make. Two
    statistics are kept for each block, of which there are about 1024 at most: blocks are larger than ``batch_size``
    where there would be more.

    References
    ----------
    Neal, R. M. and Hinton, G. E. (1998). A view of the EM algorithm that justifies incremental, sparse, and other
    variants. In Jordan, M. I. (ed.), Learning in Graphical Models, 355-368.
    """

    def __init__(
        self,
        problem: Any,
        parameters: Any,
        previous: float = -math.inf,
        monitor: Callable[..., bool] | None = None,
        *,
        batch_size: int,
        seed: tuple[int, ...] = (),
    ) -> None:
        super().__init__(
            problem,
            parameters,
            previous,
            monitor,
            batch_size=batch_size,
            decay=0.0,
            offset=0.0,
            seed=seed,
        )

    def begin(self) -> None:
        """The E-step of all blocks."""
        value, parts = 0.0, []
        for batch in self._batches():
            part, log_likelihood, _ = self.problem.batch_step(self.parameters, batch, True)
            parts.append(part)
            value += log_likelihood
        self.objective = self.problem.objective(value, self.parameters)
        if math.isnan(self.objective):
            raise SingularError(
                "the objective at the start is not a number; where data hold numbers too large to square, rescale them"
            )
        self.tree = MergeTree(parts)
        self.statistics = None
        self.n_e_steps = 1

    def _batches(self) -> Any:
        source = self.problem.source
        return source.batches(max(self.batch_size, -(-source.shape[0] // _MOST_BLOCKS)), None)

    def step(self) -> tuple[float, float]:
        """One pass."""
        problem, value, seen = self.problem, 0.0, 0.0
        parameters = problem.m_step(self.tree.root, self.parameters)
        for number, batch in enumerate(self._batches()):
            step = problem.at(problem.mode.drawn(self.n_steps)) if problem.mode.seed else problem
            part, log_likelihood, weight = step.batch_step(parameters, batch, True)
            if math.isnan(log_likelihood):
                raise SingularError("the objective of a block is not a number")
            self.tree.replace(number, part)
            parameters = problem.m_step(self.tree.root, parameters)
            value, seen = value + log_likelihood, seen + weight
            self.n_steps += 1
            if seen > 0:
                running = problem.objective(value * (problem.rows / seen), parameters)
                self.sound = parameters, running, running, self.n_iter
        self.n_e_steps += 1
        objective = problem.objective(value, parameters)
        change = objective - (self.objectives[-1] if self.objectives else -math.inf)
        self._keep(parameters, None, objective, objective, change)
        return math.inf, change

    def result(
        self, reason: StopReason = StopReason.CALLBACK, detail: str = "the run has not ended"
    ) -> Result:
        return replace(super().result(reason, detail), statistics=self.tree.root)

    def saved(self, accelerator: Any) -> dict[str, Any]:
        return {**super().saved(accelerator), "leaves": list(self.tree.leaves)}

    def restore(self, saved: Mapping[str, Any], accelerator: Any) -> None:
        super().restore(saved, accelerator)
        self.tree = MergeTree(list(saved["leaves"]))
