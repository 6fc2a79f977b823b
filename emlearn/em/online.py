"""Online EM: an M-step after each batch, of statistics that forget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..exceptions import SingularError
from .loop import Result, RunState, StopReason
from .statistics import Statistics

__all__ = ["OnlineState", "averaged", "learning_rate"]


def learning_rate(t: int, decay: float, offset: float) -> float:
    """The weight of batch t = 1, 2, ...: ``(t + offset) ** -decay``."""
    return float(t + offset) ** -decay


def averaged(
    statistics: Statistics | None, batch: Statistics, rate: float, scale: float = 1.0
) -> Statistics:
    """Statistics that have taken in a batch.

    Parameters
    ----------
    statistics : Statistics or None
        None where nothing was seen before.
    batch : Statistics
        Those of a batch, as if its rows were all there are.
    rate : float
        From 0 to 1, the share of the batch.
    scale : float, default=1.0
        What to multiply the old ones with, where all rows have become more.
    """
    if statistics is None or rate >= 1.0:
        return batch
    return statistics * ((1.0 - rate) * scale) + batch * rate


class OnlineState(RunState):
    """Stepwise EM: an iteration is a pass over all rows, in batches, in an order of its own.

    The objective after a pass is the mean of what each batch had under the parameters before it was seen; the
    last pass is followed by an E-step of all rows, so that the result has its own objective.

    Parameters
    ----------
    problem : ModelProblem
    parameters : object
    previous, monitor
        As in :class:`RunState`.
    batch_size : int
        Rows of a batch.
    decay, offset : float
        Of the learning rate.
    seed : tuple of int
        Of the orders of the rows.
    first : callable or None
        ``first(parameters)`` gives statistics that stand for the first parameters; None, or None as their value,
        where the first batch replaces what there is.

    References
    ----------
    Cappé, O. and Moulines, E. (2009). On-line expectation-maximization algorithm for latent data models. Journal
    of the Royal Statistical Society B 71(3), 593-613.

    Liang, P. and Klein, D. (2009). Online EM for unsupervised models. Proceedings of NAACL, 611-619.
    """

    def __init__(
        self,
        problem: Any,
        parameters: Any,
        previous: float = -math.inf,
        monitor: Callable[..., bool] | None = None,
        *,
        batch_size: int,
        decay: float,
        offset: float,
        seed: tuple[int, ...],
        first: Callable[[Any], Statistics | None] | None = None,
    ) -> None:
        self.batch_size, self.decay, self.offset, self.seed = batch_size, decay, offset, seed
        self.first = first
        self.n_steps = 0
        super().__init__(problem, parameters, previous, monitor)

    def begin(self) -> None:
        """Statistics of the first parameters; the objective is not known yet."""
        self.statistics = None if self.first is None else self.first(self.parameters)
        self.objective = math.nan

    def step(self) -> tuple[float, float]:
        """One pass."""
        problem, parameters, statistics = self.problem, self.parameters, self.statistics
        rng = np.random.default_rng((*self.seed, self.n_iter))
        value, seen, n_steps = 0.0, 0.0, self.n_steps
        for batch in problem.source.batches(self.batch_size, rng):
            step = problem.at(problem.mode.drawn(n_steps)) if problem.mode.seed else problem
            part, log_likelihood, weight = step.batch_step(parameters, batch)
            if weight == 0:
                continue
            if math.isnan(log_likelihood):
                raise SingularError("the objective of a batch is not a number")
            n_steps += 1
            rate = learning_rate(n_steps, self.decay, self.offset)
            statistics = averaged(statistics, part * (problem.rows / weight), rate)
            parameters = problem.m_step(statistics, parameters)
            value, seen = value + log_likelihood, seen + weight
            # whoever interrupts has these
            running = problem.objective(value * (problem.rows / seen), parameters)
            self.sound = parameters, running, running, self.n_iter
        self.n_steps = n_steps
        self.n_e_steps += 1
        objective = problem.objective(value, parameters)
        change = objective - (self.objectives[-1] if self.objectives else -math.inf)
        self._keep(parameters, statistics, objective, objective, change)
        return math.inf, change

    def rest_sentence(self, tol: float) -> str:
        return f"a pass changed the objective by less than tol={tol:g}"

    def limit_sentence(self, max_iter: int) -> str:
        return f"max_iter={max_iter} passes were made"

    def saved(self, accelerator: Any) -> dict[str, Any]:
        return {
            **super().saved(accelerator),
            "n_steps": self.n_steps,
            "statistics": self.statistics,
            "objective": self.objective,
        }

    def restore(self, saved: Mapping[str, Any], accelerator: Any) -> None:
        self.statistics, self.objective = saved["statistics"], saved["objective"]
        self.n_steps = saved["n_steps"]
        super().restore(saved, accelerator)

    def result(
        self, reason: StopReason = StopReason.CALLBACK, detail: str = "the run has not ended"
    ) -> Result:
        result = super().result(reason, detail)
        if reason is StopReason.INTERRUPTED:  # there is no time
            return result
        # its own objective, and not that of the way there
        objective = self.problem.e_step(result.parameters)[1]
        if math.isnan(objective):
            raise SingularError("the objective is not a number")
        objectives = result.objectives
        objectives[-1:] = objective
        return replace(
            result,
            objective=objective,
            objectives=objectives,
            previous_objective=objective,
            n_e_steps=result.n_e_steps + 1,
        )
