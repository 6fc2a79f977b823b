"""One step of online EM, from the state that an estimator keeps between calls."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from ._fit import first_parameters
from .em.loop import Result, StopReason
from .em.online import averaged, learning_rate
from .em.packing import pack, unpack
from .em.posteriors import PosteriorMode
from .em.problem import ModelProblem
from .em.sources import InMemory
from .em.threads import Workers
from .exceptions import SingularError

__all__ = ["take_in"]


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
    online = vars(estimator).get("_online")
    if known:
        model, parameters = estimator._continued_model(source), estimator.recall()
    else:
        estimator._check_against(source)
        model = estimator._model_for(source)
        first = first_parameters(
            model, source, check_random_state(estimator._setting("random_state"))
        )
        parameters = first[0] if isinstance(first, list) else first
    if online is None:
        expected = getattr(model, "expected_statistics", None)
        statistics = None if expected is None else expected(parameters, source=source)
        n_steps, seen, stands_for = 0, 0.0, source.weight
    else:
        n_steps, seen = online["n_steps"], online["seen"]
        statistics = unpack(json.loads(online["kinds"]), online["arrays"])
        stands_for = online["stands_for"]
    mode = PosteriorMode(estimator._setting("e_step"), seed=(n_steps,))
    problem = ModelProblem(model, source, workers, mode)
    part, value = problem.log_likelihood(parameters)
    n_steps, seen = n_steps + 1, seen + source.weight
    rate = learning_rate(
        n_steps, estimator._setting("learning_decay"), estimator._setting("learning_offset")
    )
    # beside a prior it counts how many rows there were; else they may stand for as many as the batch has
    size = source.weight if getattr(model, "unit_free", True) else seen
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
    # numbers, texts and arrays: whoever stores estimators can store it
    kinds, arrays = pack(statistics)
    estimator._online = {
        "n_steps": n_steps,
        "seen": seen,
        "stands_for": size,
        "kinds": json.dumps(kinds),
        "arrays": arrays,
    }
    estimator._keep_bound(model)
