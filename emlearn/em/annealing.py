"""Deterministic annealing: a sequence of temperatures, from high to 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..exceptions import SingularError
from .loop import Result, StopReason

__all__ = ["anneal", "read_schedule"]

# share of drawn labels that sets components apart again which a high temperature has made one
_STIR = 0.05


def read_schedule(annealing: Any) -> list[float]:
    """Temperatures, of which the last is 1.

    Raises
    ------
    ValueError
        If there are none, or one is not a number above 0.
    """
    try:
        schedule = np.asarray(annealing, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise type(error)(f"annealing must be a sequence of temperatures: {error}") from error
    if schedule.ndim != 1 or not len(schedule) or not np.all((schedule > 0) & (schedule < np.inf)):
        raise ValueError(
            f"annealing must be a sequence of temperatures, numbers above 0 such as [4, 2], got {annealing!r}."
        )
    found = schedule.tolist()
    return found if found[-1] == 1.0 else [*found, 1.0]


def anneal(
    problem: Any,
    parameters: Any,
    schedule: Sequence[float],
    run: Callable[[int, Any, Any], Result | SingularError],
    seed: tuple[int, ...],
) -> Result | SingularError:
    """Run EM at each temperature, from where the one before came to rest.

    At a high temperature all components may become the same, and stay so where the temperature falls: a few
    labels that are drawn set them apart again.

    Parameters
    ----------
    problem : ModelProblem
    parameters : object
    schedule : sequence of float
    run : callable
        ``run(number, problem, parameters)`` of stage ``number``.
    seed : tuple of int

    Returns
    -------
    Result or SingularError
        That of the last temperature; E-steps are those of all. A run that was ended before, by a callback, has the
        objective of its parameters all the same, and no free energy.

    References
    ----------
    Ueda, N. and Nakano, R. (1998). Deterministic annealing EM algorithm. Neural Networks 11(2), 271-282.
    """
    before: list[Result] = []
    for number, temperature in enumerate(schedule):
        stage = problem.at(replace(problem.mode, temperature=temperature))
        if number and schedule[number - 1] != temperature:
            try:
                parameters = _stirred(stage, parameters, (*seed, number))
            except SingularError:  # then from where it is
                pass
        result = run(number, stage, parameters)
        if isinstance(result, SingularError):
            return result
        before.append(result)
        if result.reason not in (StopReason.CONVERGED, StopReason.MAX_ITER):
            break
        parameters = result.parameters
    n_e_steps = sum(r.n_e_steps for r in before)
    if temperature != 1.0:
        objective = problem.at(replace(problem.mode, temperature=1.0)).e_step(result.parameters)[1]
        objectives = np.full(min(result.n_iter, 1), objective)
        n_iter, n_e_steps = len(objectives), n_e_steps + 1
        result = replace(result, objective=objective, objectives=objectives, n_iter=n_iter)
    fell = next((r.fell for r in before if r.fell is not None), None)
    return replace(result, n_e_steps=n_e_steps, fell=fell)


def _stirred(problem: Any, parameters: Any, seed: tuple[int, ...]) -> Any:
    drawing = problem.at(replace(problem.mode, kind="stochastic", seed=seed))
    drawn = drawing.e_step(parameters)[0]
    soft = problem.e_step(parameters)[0]
    return problem.m_step(soft * (1.0 - _STIR) + drawn * _STIR, parameters)
