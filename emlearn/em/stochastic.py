"""Stochastic EM: each E-step draws the labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..exceptions import SingularError
from .loop import Result, RunState, StopReason

__all__ = ["StochasticState"]

# iterations without a better objective after which a run rests
_PATIENCE = 10


class StochasticState(RunState):
    """A chain of parameters, each from labels drawn given the one before; the best of them is kept.

    The objective is the likelihood, which may fall. The run rests where ten iterations did not find
    parameters better by ``tol``.

    Parameters
    ----------
    problem : ModelProblem
        Its mode draws.
    parameters, previous, monitor
        As in :class:`RunState`.

    References
    ----------
    Celeux, G. and Diebolt, J. (1985). The SEM algorithm: a probabilistic teacher algorithm derived from the EM
    algorithm for the mixture problem. Computational Statistics Quarterly 2, 73-82.
    """

    def __init__(
        self,
        problem: Any,
        parameters: Any,
        previous: float = -math.inf,
        monitor: Callable[..., bool] | None = None,
    ) -> None:
        self.drawing = problem
        super().__init__(problem.at(problem.mode.drawn(0)), parameters, previous, monitor)
        self.best = self.sound
        self.mark, self.marked = self.objective, 0

    def step(self) -> tuple[float, float]:
        """An M-step of the labels that were drawn, and a draw."""
        parameters = self.problem.m_step(self.statistics, self.parameters)
        self.problem = self.drawing.at(self.drawing.mode.drawn(self.n_iter + 1))
        statistics, objective = self.problem.e_step(parameters)
        self.n_e_steps += 1
        if math.isnan(objective):
            raise SingularError("the objective is not a number")
        change = objective - self.objective
        self._keep(parameters, statistics, objective, self.objective, change)
        if objective > self.best[1]:
            self.best = self.sound
        return math.inf, change

    def rests(self, change: float, tol: float) -> bool:
        if self.best[1] > self.mark + tol:
            self.mark, self.marked = self.best[1], self.n_iter
        return tol > 0 and self.n_iter - self.marked >= _PATIENCE

    def rest_sentence(self, tol: float) -> str:
        return f"{_PATIENCE} draws found nothing that is better by tol={tol:g}"

    def saved(self, accelerator: Any) -> dict[str, Any]:
        return {**super().saved(accelerator), "best": self.best, "mark": (self.mark, self.marked)}

    def restore(self, saved: Mapping[str, Any], accelerator: Any) -> None:
        # the labels that were drawn last are drawn again
        self.problem = self.drawing.at(self.drawing.mode.drawn(saved["n_iter"]))
        self.statistics, self.objective = self.problem.e_step(self.parameters)
        super().restore(saved, accelerator)
        self.best, (self.mark, self.marked) = tuple(saved["best"]), saved["mark"]

    def result(
        self, reason: StopReason = StopReason.CALLBACK, detail: str = "the run has not ended"
    ) -> Result:
        # the trace ends where the best was
        now = self.sound
        self.sound = max(now, self.best, key=lambda moment: moment[1])
        try:
            result = super().result(reason, detail)
            return result if self.sound is now else replace(result, statistics=None)
        finally:
            self.sound = now
