"""The one loop: repeat the M-step after the E-step until the objective rests."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..exceptions import DomainError, SingularError
from .statistics import Statistics

__all__ = ["Accelerator", "Problem", "Result", "RunState", "StopReason", "run"]


class StopReason(enum.StrEnum):
    """Why a run ended."""

    CONVERGED = "converged"
    MAX_ITER = "max_iter"
    CALLBACK = "callback"
    SINGULAR = "singular"
    INTERRUPTED = "interrupted"
    ONLINE = "online"


class Problem(Protocol):
    """A model with its data, as the loop sees it."""

    def e_step(self, parameters: Any) -> tuple[Statistics, float]:
        """Statistics, and the objective of ``parameters``."""

    def m_step(self, statistics: Statistics, parameters: Any) -> Any:
        """Parameters that maximise the expected objective; ``SingularError`` if there are none."""

    def ascent(self, old: Any, new: Any, statistics: Statistics) -> float:
        """What the objective must at least gain from ``old`` to ``new``; 0 for exact EM."""

    # Optional: bound(old, new, statistics, objective) -> float, what the rule compares after the M-step from ``old``
    # to ``new``; ``statistics`` and ``objective`` are those of ``old``. Without it, that objective itself.
    # between(old, new, fraction) -> parameters, where an M-step is a step that may go too far, such as Newton's: it is
    # halved while the objective falls.
    # at_rest(old, new, objectives) -> str or None, a rule of the problem's own, of the parameters before an iteration
    # and after it and the objectives so far: why the run ends here, None where it goes on. Without it, ``tol``.
    # for_run() -> Problem, called once for each run, and the ``memory`` of what it gives.


class Accelerator(Protocol):
    """Something done between two EM steps."""

    def propose(self, statistics: Statistics, rise: float) -> Statistics | None:
        """Statistics to try instead of those just computed, or None; ``rise`` is what the last EM step gained."""

    def judge(self, accepted: bool, path: list[Statistics]) -> None:
        """What became of the proposal, and the successive statistics that the run goes on from."""

    def saved(self) -> dict[str, Any]:
        """What a run that is taken up again needs."""

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up what :meth:`saved` said."""


@dataclass(frozen=True)
class Result:
    """Where a run ended, and why.

    Attributes
    ----------
    parameters : object
    objective : float
        Of ``parameters``.
    objectives : ndarray of shape (n_iter,)
        Of the parameters after each M-step that was kept.
    previous_objective : float
        What the rule compared last (the objective one M-step before, or the problem's ``bound``): where a warm start
        takes up the comparison.
    n_iter : int
        M-steps that were kept; an accepted proposal counts as one.
    n_e_steps : int
        All E-steps, those of rejected proposals and the final one included.
    reason : StopReason
    detail : str
        The reason in a sentence.
    fell : tuple of (int, float), or None
        The first iteration at which the objective fell by more than the model's law and rounding
        allow, and by how much.
    statistics : Statistics or None
        The last ones, which a fit that goes on with other rows takes up; None if they are not those of
        ``parameters``.
    """

    parameters: Any
    objective: float
    objectives: np.ndarray
    previous_objective: float
    n_iter: int
    n_e_steps: int
    reason: StopReason
    detail: str
    fell: tuple[int, float] | None = None
    statistics: Statistics | None = None

    @property
    def converged(self) -> bool:
        """Whether the objective came to rest."""
        return self.reason is StopReason.CONVERGED


# rounding in the sum over the rows, relative to the objective
_NOISE = 1e-7

# how often a step is halved, and what of the objective rounding may take where it is not
_HALVINGS, _ROUNDING = 20, 1e-12


def run(
    problem: Problem,
    parameters: Any,
    *,
    tol: float,
    max_iter: int,
    previous: float = -math.inf,
    accelerator: Accelerator | None = None,
    monitor: Callable[[RunState, float], bool] | None = None,
    variant: Callable[..., RunState] | None = None,
    saved: Mapping[str, Any] | None = None,
    begun: Callable[[RunState], None] | None = None,
    boundary: Callable[[RunState, Accelerator | None], None] | None = None,
) -> Result:
    """Run EM from given parameters.

    After M-step n the objective of the parameters before it is compared with
    that of those before them; the new parameters are returned all the same,
    with their own objective. A problem with a ``bound`` has that compared
    instead, M-step by M-step. An accelerator may put a further M-step, of
    statistics it proposes, between two EM steps: it is kept if the objective
    did not fall.

    Parameters
    ----------
    problem : Problem
    parameters : object
        Where to start.
    tol : float
        Stop when an iteration changed the objective by less.
    max_iter : int
        Stop after that many iterations.
    previous : float, default=-inf
        ``previous_objective`` of the result, where a run is continued.
    accelerator : Accelerator, default=None
    monitor : callable, default=None
        ``monitor(state, change)`` after each M-step that was kept, with where
        the run stands (``n_iter``, ``objective``, ``parameters``, and
        ``result()``, what stopping there gives) and the change of the objective
        that the rule looks at; the run stops when it returns True.
    variant : callable, default=None
        ``variant(problem, parameters, previous, monitor)``, a ``RunState`` whose steps are others than those
        of batch EM.
    saved : mapping, default=None
        What ``boundary`` saw of a run that was cut short: take it up there, to the bit.
    begun : callable, default=None
        ``begun(state)`` before the first iteration.
    boundary : callable, default=None
        ``boundary(state, accelerator)`` between two iterations; ``state.saved(accelerator)`` is what to keep.

    Returns
    -------
    Result

    Raises
    ------
    SingularError
        If the objective at the start is not a number, or minus infinity and stays so.
    """
    if saved is not None:
        parameters, previous = saved["parameters"], saved["previous"]
    for_run = getattr(problem, "for_run", None)
    problem = problem if for_run is None else for_run()
    state = (variant or RunState)(problem, parameters, previous, monitor)
    if saved is not None:
        state.restore(saved, accelerator)
    if begun is not None:
        begun(state)
    while state.n_iter < max_iter:
        before = state.parameters
        try:
            rise, change = state.step()
        except SingularError as error:
            if state.objective == -math.inf:  # no sound parameters to stop at
                raise
            detail = f"M-step {state.n_iter + 1} was singular: {error}"
            return state.result(StopReason.SINGULAR, detail)
        rest = state.at_rest(before, change, tol)
        if rest is not None:
            return state.result(StopReason.CONVERGED, rest)
        if accelerator is not None and not state.stopped and state.n_iter < max_iter:
            state.leap(accelerator, rise)
        if state.stopped:
            return state.result(StopReason.CALLBACK, "a callback asked to stop")
        if boundary is not None:
            boundary(state, accelerator)
    return state.result(StopReason.MAX_ITER, state.limit_sentence(max_iter))


def _own_objective(old: Any, new: Any, statistics: Statistics, objective: float) -> float:
    return objective


class RunState:
    """Where a run stands; its :meth:`step` is that of batch EM.

    Another variant of EM is a subclass with another step.
    """

    def __init__(
        self,
        problem: Problem,
        parameters: Any,
        previous: float = -math.inf,
        monitor: Callable[..., bool] | None = None,
    ) -> None:
        self.problem, self.parameters, self.previous, self.monitor = (
            problem,
            parameters,
            previous,
            monitor,
        )
        self.bound = getattr(problem, "bound", _own_objective)
        self.between = getattr(problem, "between", None)
        self.n_e_steps = self.n_iter = 0
        self.objectives: list[float] = []
        self.stopped = False
        self.fell: tuple[int, float] | None = None
        self.begin()
        #: parameters, objective, previous objective and iteration of one moment: in one piece, whoever looks
        self.sound = self.parameters, self.objective, self.previous, 0

    def begin(self) -> None:
        """Statistics and objective of the first parameters."""
        self.statistics, self.objective = self.problem.e_step(self.parameters)
        if math.isnan(self.objective):
            raise SingularError("the objective at the start is not a number")
        self.n_e_steps = 1

    # ------------------------------------------------------------- steps

    def step(self) -> tuple[float, float]:
        """One EM step: what the objective gained, and the change that the rule looks at."""
        parameters = self.problem.m_step(self.statistics, self.parameters)
        statistics, objective = self._e_step(parameters)
        if self.between is not None:
            parameters, statistics, objective = self.shorten(parameters, statistics, objective)
        bound = self.bound(self.parameters, parameters, self.statistics, self.objective)
        change = bound - self.previous
        if math.isnan(objective):
            raise SingularError("the objective is not a number")
        if objective == self.objective == -math.inf:
            raise SingularError(
                "some rows are impossible under the parameters that the fit begins with, and an EM step does not"
                " change that. Begin with others, without probabilities of 0 where there are rows."
            )
        rise = objective - self.objective
        if rise < 0 and self.fell is None:
            allowed = self.problem.ascent(self.parameters, parameters, self.statistics)
            if rise < min(allowed, 0.0) - _NOISE * max(1.0, abs(objective)):
                self.fell = (self.n_iter + 1, -rise)
        self._keep(parameters, statistics, objective, bound, change)
        return rise, change

    def shorten(
        self, parameters: Any, statistics: Statistics, objective: float
    ) -> tuple[Any, Statistics, float]:
        """What is left of a step that went too far: half of it, or half of that, until the objective does not fall.

        Where it falls all the same, nothing: the run stays where it is.
        """
        whole, fraction = parameters, 1.0
        least = self.objective - _ROUNDING * max(1.0, abs(self.objective))
        for _ in range(_HALVINGS):
            allowed = min(self.problem.ascent(self.parameters, parameters, self.statistics), 0.0)
            if objective >= least + allowed:
                return parameters, statistics, objective
            fraction /= 2
            parameters = self.between(self.parameters, whole, fraction)
            statistics, objective = self.problem.e_step(parameters)
            self.n_e_steps += 1
        return self.parameters, self.statistics, self.objective

    def _e_step(self, parameters: Any) -> tuple[Statistics, float]:
        """An E-step, which is made again, from what is remembered, where it began anew and fell short."""
        memory = self._memory()
        kept = memory.saved() if memory is not None and memory.restless else None
        statistics, objective = self.problem.e_step(parameters)
        self.n_e_steps += 1
        if kept is not None and objective < self.objective:
            memory.restore(kept)
            memory.settle()
            statistics, objective = self.problem.e_step(parameters)
            self.n_e_steps += 1
        return statistics, objective

    def leap(self, accelerator: Accelerator, rise: float) -> None:
        """Try what the accelerator proposes.

        It is kept where it stands no lower after one EM step, or after two: a long step stirs up the fast modes of
        the error, which one EM step settles again.
        """
        proposal = accelerator.propose(self.statistics, rise)
        if proposal is None:
            return
        parameters, path, accepted = self.parameters, [], False
        memory = self._memory()
        kept = None if memory is None else memory.saved()
        try:
            while not accepted and len(path) < 2:
                parameters = self.problem.m_step(proposal, parameters)
                proposal, objective = self.problem.e_step(parameters)
                self.n_e_steps += 1
                path.append(proposal)
                accepted = objective >= self.objective
        except (SingularError, DomainError, ArithmeticError, np.linalg.LinAlgError):
            accepted = False  # nothing is lost: EM goes on from where it was
        if accepted:
            # no comparison across a jump: the next EM step starts a new one
            self._keep(parameters, proposal, objective, -math.inf, math.inf)
        elif memory is not None:
            memory.restore(kept)
        accelerator.judge(accepted, path if accepted else [self.statistics])

    def at_rest(self, before: Any, change: float, tol: float) -> str | None:
        """Why the run ends here, by the rule of the problem or of the variant; None where it goes on."""
        own = getattr(self.problem, "at_rest", None)
        if own is not None:
            return own(before, self.parameters, self.objectives)
        return self.rest_sentence(tol) if self.rests(change, tol) else None

    def rests(self, change: float, tol: float) -> bool:
        """Whether the run has come to rest."""
        return abs(change) < tol

    def rest_sentence(self, tol: float) -> str:
        """Why that is rest."""
        return f"the objective changed by less than tol={tol:g}"

    def limit_sentence(self, max_iter: int) -> str:
        """What was done where the run did not come to rest."""
        return f"max_iter={max_iter} M-steps were made"

    def _keep(
        self,
        parameters: Any,
        statistics: Statistics | None,
        objective: float,
        previous: float,
        change: float,
    ) -> None:
        self.objectives.append(objective)
        self.parameters, self.statistics, self.objective, self.previous = (
            parameters,
            statistics,
            objective,
            previous,
        )
        self.n_iter += 1
        self.sound = parameters, objective, previous, self.n_iter
        self.stopped = self.monitor is not None and self.monitor(self, change)

    # ----------------------------------------------------------- results

    def _memory(self) -> Any:
        return getattr(self.problem, "memory", None)

    def saved(self, accelerator: Accelerator | None) -> dict[str, Any]:
        """What :meth:`restore` needs, between two iterations."""
        memory = self._memory()
        # an E-step that goes on from what it left would not be the same twice
        remembered = (
            {}
            if memory is None
            else {
                "memory": memory.saved(),
                "statistics": self.statistics,
                "objective": self.objective,
            }
        )
        return {
            **remembered,
            "parameters": self.parameters,
            "previous": self.previous,
            "n_iter": self.n_iter,
            "n_e_steps": self.n_e_steps,
            "objectives": np.array(self.objectives),
            "fell": self.fell,
            "accelerator": None if accelerator is None else accelerator.saved(),
        }

    def restore(self, saved: Mapping[str, Any], accelerator: Accelerator | None) -> None:
        """Be as the run was that said this; its statistics were computed anew, unless there is a memory."""
        if "memory" in saved:
            self._memory().restore(saved["memory"])
            self.statistics, self.objective = saved["statistics"], saved["objective"]
        self.n_iter, self.n_e_steps, self.fell = saved["n_iter"], saved["n_e_steps"], saved["fell"]
        self.objectives = saved["objectives"].tolist()
        self.sound = self.parameters, self.objective, self.previous, self.n_iter
        if accelerator is not None and saved["accelerator"] is not None:
            accelerator.restore(saved["accelerator"])

    def result(
        self, reason: StopReason = StopReason.CALLBACK, detail: str = "the run has not ended"
    ) -> Result:
        """What stopping here gives."""
        parameters, objective, previous, n_iter = self.sound
        return Result(
            parameters=parameters,
            objective=objective,
            objectives=np.array(self.objectives[:n_iter]),
            previous_objective=previous,
            n_iter=n_iter,
            n_e_steps=self.n_e_steps,
            reason=reason,
            detail=f"{reason}: {detail}",
            fell=self.fell,
            statistics=self.statistics,
        )
