"""A model with its data, as the loop sees it."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

from .memory import Memory
from .posteriors import SOFT, PosteriorMode
from .reduce import add_steps, add_weighed_steps
from .sources import Block, Source
from .statistics import Statistics
from .threads import Workers

__all__ = ["ModelProblem", "block_step"]


def block_step(
    model: Any,
    parameters: Any,
    mode: PosteriorMode,
    tools: dict[str, Any],
    keep: bool,
    memory: Memory | None,
    block: Block,
) -> tuple[Statistics, float]:
    """The E-step of one block. What a block needs is an argument, so that it can be sent to where the block is."""
    options, prepared = dict(tools), block.prepared(model, keep)
    if memory is not None:
        options["memory"] = memory.of(block, prepared)
    if not mode.plain:
        options["mode"] = mode.drawn(block.first) if mode.kind == "stochastic" else mode
    if block.labels is not None:
        options["labels"] = block.labels
    return model.e_step(parameters, prepared, block.sample_weight, **options)


def weighed_step(*arguments: Any) -> tuple[Statistics, float, float]:
    """The same, and what the rows of the block count."""
    return *block_step(*arguments), arguments[-1].weight


class ModelProblem:
    """The E-step mapped over blocks of rows, the objective a mean over the rows, or a total.

    Parameters
    ----------
    model : object
        ``e_step``, ``m_step``, ``prepare``, ``log_prior``, ``ascent`` and, if it has them, ``bound``, ``at_rest``
        and ``new_memory``; one that is ``stepwise`` has ``between``.
    source : Source
    workers : Workers or None
    mode : PosteriorMode
        What the E-step makes of the posterior.
    """

    def __init__(
        self, model: Any, source: Source, workers: Workers | None, mode: PosteriorMode = SOFT
    ) -> None:
        self.model, self.source, self.workers, self.mode = model, source, workers, mode
        self.outgoing = source.outgoing(model)
        self.rows = source.weight
        self.total = 1.0 if getattr(model, "total_scale", False) else self.rows
        if hasattr(model, "bound"):
            self.bound = self._bound
        if getattr(model, "stepwise", False):
            self.between = model.between
        if hasattr(model, "at_rest"):
            self.at_rest = model.at_rest
        #: what a run keeps of the rows, where the model wants something kept
        self.memory: Memory | None = None
        # a model whose units may be long maps over their rows in the same threads
        threaded = getattr(model, "takes_workers", False) and workers is not None
        threaded = threaded and not source.remote
        self.tools = {"workers": workers} if threaded else {}

    def at(self, mode: PosteriorMode) -> ModelProblem:
        """The same with another mode of the posterior."""
        if mode == self.mode:
            return self
        other = self._copy()
        other.mode = mode
        return other

    def for_run(self) -> ModelProblem:
        """The same with a memory of its own, where blocks are here: rows elsewhere have none."""
        if self.source.remote or not hasattr(self.model, "new_memory"):
            return self
        other = self._copy()
        other.memory = Memory(self.model)
        return other

    def _copy(self) -> ModelProblem:
        other = copy.copy(self)
        if hasattr(other, "bound"):
            other.bound = other._bound
        return other

    def e_step(self, parameters: Any) -> tuple[Statistics, float]:
        """Statistics and objective of all rows."""
        statistics, value = self.log_likelihood(parameters)
        return statistics, self.objective(value, parameters)

    def objective(self, log_likelihood: float, parameters: Any) -> float:
        """The objective where the log-likelihood of all rows is this."""
        return (log_likelihood + float(self.model.log_prior(parameters))) / self.total

    def log_likelihood(self, parameters: Any) -> tuple[Statistics, float]:
        """Statistics and the log-likelihood, without the prior."""
        statistics, value = self.source.map_reduce(
            self._step(parameters, self.source.in_memory, self.memory), add_steps, self.workers
        )
        return statistics, float(value)

    def _step(
        self, parameters: Any, keep: bool, memory: Memory | None, step: Any = block_step
    ) -> Any:
        return partial(step, self.outgoing, parameters, self.mode, self.tools, keep, memory)

    def batch_step(
        self, parameters: Any, batch: Any, remember: bool = False
    ) -> tuple[Statistics, float, float]:
        """Statistics, log-likelihood and weight of a batch; ``remember`` where it is the same in each pass."""
        memory = self.memory if remember else None
        statistics, value, weight = self.source.map_batch(
            self._step(parameters, False, memory, weighed_step),
            batch,
            add_weighed_steps,
            self.workers,
        )
        return statistics, float(value), weight

    def m_step(self, statistics: Statistics, parameters: Any) -> Any:
        """Parameters that maximise the expected objective."""
        return self.model.m_step(statistics, parameters)

    def ascent(self, old: Any, new: Any, statistics: Statistics) -> float:
        """What the objective must at least gain."""
        return self.model.ascent(old, new, statistics) / self.total

    def _bound(self, old: Any, new: Any, statistics: Statistics, objective: float) -> float:
        return self.model.bound(old, new, statistics, objective * self.total) / self.total
