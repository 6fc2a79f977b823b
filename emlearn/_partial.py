"""One step of online EM, from the state that an estimator keeps between calls."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from ._fit import first_parameters
from .em.annealing import read_schedule
from .em.carried import Carried
from .em.loop import Result, StopReason
from .em.online import averaged, learning_rate
from .em.posteriors import PosteriorMode
from .em.problem import ModelProblem
from .em.sources import InMemory
from .em.threads import Workers
from .exceptions import SingularError

__all__ = ["check_one_step", "take_in"]


def check_one_step(estimator: Any) -> None:
    """ValueError where the constructor asks for what takes many steps over the same rows."""
    annealing = estimator._setting("annealing")
    for name, asked in (
        ("annealing", annealing is not None and read_schedule(annealing) != [1.0]),
        ("accelerate", estimator._setting("accelerate") is not None),
    ):
        if asked:
            raise ValueError(
                f"partial_fit makes one step with each batch, to which {name} does not apply. Set {name}=None, or use"
                " fit."
            )


def take_in(estimator: Any, source: InMemory, workers: Workers, known: bool) -> None:
    """Take in the rows of a batch, and publish the parameters that follow.

    Parameters
    ----------
    estimator : EMMixin
    source : InMemory
        The batch.
    workers : Workers
    known : bool
        Whether there are parameters already.

    Raises
    ------
    SingularError
        If the M-step has no maximum; the estimator stays as it was.
    """
    stored = vars(estimator).get("_online")
    if known:
        model, parameters = estimator._continued_model(source), estimator.recall()
    else:
        estimator._check_against(source)
        model = estimator._model_for(source)
        first = first_parameters(
            model, source, check_random_state(estimator._setting("random_state"))
        )
        parameters = first[0] if isinstance(first, list) else first
    before = Carried(None, 0, 0.0, 0.0) if stored is None else Carried.read(stored)
    statistics, n_steps, seen, stands_for = before
    if statistics is None:
        expected = getattr(model, "expected_statistics", None)
        statistics = None if expected is None else expected(parameters, source=source)
        stands_for = source.weight
    # of all rows there will be, where the user says how many
    total = getattr(model, "total_rows", None)
    stands_for = stands_for if total is None else total
    mode = PosteriorMode(estimator._setting("e_step"), seed=_seed(estimator, n_steps))
    problem = ModelProblem(model, source, workers, mode)
    part, value = problem.log_likelihood(parameters)
    n_steps, seen = n_steps + 1, seen + source.weight
    rate = learning_rate(
        n_steps, estimator._setting("learning_decay"), estimator._setting("learning_offset")
    )
    # beside a prior it counts how many rows there were; else they may stand for as many as the batch has
    size = source.weight if getattr(model, "unit_free", True) else seen if total is None else total
    statistics = averaged(statistics, part * (size / source.weight), rate, size / stands_for)
    new = problem.m_step(statistics, parameters)
    objective = problem.objective(value, parameters)
    if math.isnan(objective):
        raise SingularError("the objective of the batch is not a number")
    result = Result(
        new,
        objective,
        np.array([objective]),
        objective,
        n_steps,
        n_steps,
        StopReason.ONLINE,
        f"{StopReason.ONLINE}: partial_fit has taken in {n_steps} batches",
    )
    for name, attribute in estimator._fitted_attributes(result, source.dtype).items():
        setattr(estimator, name, attribute)
    estimator.n_steps_ = n_steps
    estimator._online = Carried(statistics, n_steps, seen, size).written()
    estimator._keep_bound(model)


def _seed(estimator: Any, n_steps: int) -> tuple[int, ...]:
    """Of the draws of a step, where it makes some."""
    if estimator._setting("e_step") != "stochastic":
        return ()
    # from a copy: a generator that the user gave draws starts only
    drawn = copy.deepcopy(check_random_state(estimator._setting("random_state")))
    return int(drawn.randint(2**31 - 1)), n_steps
