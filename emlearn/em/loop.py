"""The one loop: repeat the M-step after the E-step until the objective rests."""

from __future__ import annotations

import enum
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..exceptions import DomainError, ObjectiveFellWarning, SingularError
from .statistics import Statistics

__all__ = ["Accelerator", "Problem", "Result", "StopReason", "run"]


class StopReason(enum.StrEnum):
    """Why a run ended."""

    CONVERGED = "converged"
    MAX_ITER = "max_iter"
    CALLBACK = "callback"
    SINGULAR = "singular"


class Problem(Protocol):
    """A model with its data, as the loop sees it."""

    def e_step(self, parameters: Any) -> tuple[Statistics, float]:
        """Statistics, and the objective of ``parameters``."""

    def m_step(self, statistics: Statistics, parameters: Any) -> Any:
        """Parameters that maximise the expected objective; ``SingularError`` if there are none."""

    def ascent(self, old: Any, new: Any, statistics: Statistics) -> float:
        """What the objective must at least gain from ``old`` to ``new``; 0 for exact EM."""


class Accelerator(Protocol):
    """Something done between two EM steps."""

    def propose(self, statistics: Statistics, rise: float) -> Statistics | None:
        """Statistics to try instead of those just computed, or None; ``rise`` is what the last EM step gained."""

    def judge(self, accepted: bool, path: list[Statistics]) -> None:
        """What became of the proposal, and the successive statistics that the run goes on from."""


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
        Of the parameters one M-step before: where a warm start takes up the comparison.
    n_iter : int
        M-steps that were kept.
    n_e_steps : int
        All E-steps, those of rejected proposals and the final one included.
    reason : StopReason
    detail : str
        The reason in a sentence.
    """

    parameters: Any
    objective: float
    objectives: np.ndarray
    previous_objective: float
    n_iter: int
    n_e_steps: int
    reason: StopReason
    detail: str

    @property
    def converged(self) -> bool:
        return self.reason is StopReason.CONVERGED


# rounding in the sum over the rows, relative to the objective
_NOISE = 1e-7


def run(
    problem: Problem,
    parameters: Any,
    *,
    tol: float,
    max_iter: int,
    previous: float = -math.inf,
    accelerator: Accelerator | None = None,
    monitor: Callable[[int, float, float, Any], bool] | None = None,
) -> Result:
    """Run EM from given parameters.

    After M-step n the objective of the parameters before it is compared with
    that of those before them; the new parameters are returned all the same,
    with their own objective. An accelerator may put a further M-step, of
    statistics it proposes, between two EM steps: it is kept if the objective
    did not fall.

    Parameters
    ----------
    problem : Problem
    parameters : object
        Where to start.
    tol : float
        Stop when an EM step changed the objective by less.
    max_iter : int
        Stop after that many M-steps.
    previous : float, default=-inf
        The objective one M-step before the start, of a run that is continued.
    accelerator : Accelerator, default=None
    monitor : callable, default=None
        ``monitor(n_iter, objective, change, parameters)`` after each M-step
        that was kept; the run stops when it returns True.

    Returns
    -------
    Result

    Raises
    ------
    SingularError
        If the objective at the start is not a number.
    """
    statistics, objective = problem.e_step(parameters)
    n_e_steps, n_iter, fell = 1, 0, False
    objectives: list[float] = []
    reason, detail = StopReason.MAX_ITER, f"max_iter={max_iter} M-steps were made"
    if math.isnan(objective):
        raise SingularError("the objective at the start is not a number")
    while n_iter < max_iter:
        change = objective - previous
        try:
            new = problem.m_step(statistics, parameters)
            new_statistics, new_objective = problem.e_step(new)
            n_e_steps += 1
            if math.isnan(new_objective):
                raise SingularError("the objective is not a number")
        except SingularError as error:
            reason, detail = StopReason.SINGULAR, f"M-step {n_iter + 1} was singular: {error}"
            break
        n_iter += 1
        objectives.append(new_objective)
        rise = new_objective - objective
        if rise < 0 and not fell:
            allowed = problem.ascent(parameters, new, statistics)
            fell = rise < min(allowed, 0.0) - _NOISE * max(1.0, abs(objective))
            if fell:
                _warn_fall(n_iter, rise)
        parameters, statistics, previous, objective = new, new_statistics, objective, new_objective
        stop = monitor is not None and monitor(n_iter, objective, change, parameters)
        if abs(change) < tol:
            reason, detail = StopReason.CONVERGED, f"the objective changed by less than tol={tol:g}"
            break
        if stop:
            reason, detail = StopReason.CALLBACK, "a callback asked to stop"
            break
        if accelerator is None or n_iter >= max_iter:
            continue
        proposal = accelerator.propose(statistics, rise)
        if proposal is None:
            continue
        trial = _attempt(problem, proposal, parameters, objective)
        n_e_steps += trial.n_e_steps
        if trial.accepted:
            # no comparison across a jump: the next EM step starts a new one
            parameters, statistics, objective = trial.parameters, trial.path[-1], trial.objective
            previous = -math.inf
            n_iter += 1
            objectives.append(objective)
            if monitor is not None and monitor(n_iter, objective, math.inf, parameters):
                reason, detail = StopReason.CALLBACK, "a callback asked to stop"
                break
        accelerator.judge(trial.accepted, trial.path if trial.accepted else [statistics])
    return Result(
        parameters, objective, np.array(objectives), previous, n_iter, n_e_steps, reason, f"{reason}: {detail}"
    )


@dataclass
class _Trial:
    """Where a proposal led."""

    parameters: Any = None
    path: list[Statistics] = field(default_factory=list)
    objective: float = -math.inf
    n_e_steps: int = 0
    accepted: bool = False


def _attempt(problem: Problem, proposal: Statistics, parameters: Any, floor: float) -> _Trial:
    """EM from proposed statistics: accepted where it stands at least at ``floor`` after one step, or after two.

    A long step stirs up the fast modes of the error, which one EM step settles again.
    """
    trial = _Trial(parameters)
    try:
        for _ in range(2):
            trial.parameters = problem.m_step(proposal, trial.parameters)
            proposal, trial.objective = problem.e_step(trial.parameters)
            trial.n_e_steps += 1
            trial.path.append(proposal)
            if trial.objective >= floor:
                trial.accepted = True
                break
    except (SingularError, DomainError):
        pass
    return trial


def _warn_fall(n_iter: int, rise: float) -> None:
    warnings.warn(
        f"The objective fell by {-rise:.3g} at iteration {n_iter}. EM never lets it fall: the E-step and the M-step"
        " do not belong together, or one of them has lost its precision.",
        ObjectiveFellWarning,
        stacklevel=2,
    )
