"""One fit: starts, the runs from them, and the best."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from ._watch import FitWatch
from .em.annealing import anneal, read_schedule
from .em.carried import Carried
from .em.fingerprint import data_fingerprint
from .em.incremental import IncrementalState
from .em.journal import Journal
from .em.loop import Result, StopReason
from .em.online import OnlineState
from .em.posteriors import PosteriorMode
from .em.problem import ModelProblem
from .em.sources import Source
from .em.squarem import Squarem
from .em.statistics import Statistics
from .em.stochastic import StochasticState
from .em.threads import Workers
from .exceptions import ObjectiveFellWarning, SingularError, warn_user

__all__ = ["ACCELERATORS", "Fit", "best_of", "first_parameters"]

ACCELERATORS = {"squarem": Squarem}

# of the first parameters of one start, how many iterations each is given, and how many go on
_SHORT, _POLISHED = 50, 4

# objectives this close are the same optimum
_TIE = 1e-9

# n_init="auto": starts at most, and how many are made before the next look
_AUTO_MOST, _AUTO_STEP = 30, 2

Outcome = Result | SingularError


class Fit:
    """One fit of an estimator.

    Parameters
    ----------
    estimator : EMMixin
    source : Source
    y : object
        What callbacks are told.
    workers : Workers
    n_runs : int or None
        Starts; None makes as many as it takes to find the best optimum twice.
    warm : bool
        Go on from the fitted attributes.
    """

    def __init__(
        self,
        estimator: Any,
        source: Source,
        y: Any,
        workers: Workers,
        n_runs: int | None,
        warm: bool,
    ) -> None:
        self.estimator, self.source, self.workers = estimator, source, workers
        self.n_runs, self.warm = n_runs, warm
        #: how many runs led to the best optimum, where that was looked at
        self.n_found = 0
        self.max_iter = estimator._setting("max_iter")
        self.random_state = check_random_state(estimator._setting("random_state"))
        self._check_settings()
        self.model, self.weight = estimator._model_for(source), source.weight
        self.tol = estimator._tolerance(source)
        if getattr(self.model, "unit_free", True):  # beside a prior, the unit of the weights counts
            self.source = source = source.in_range()
        self.watch = FitWatch(estimator, source, y, n_runs)
        self.checkpoint = self.watch.checkpoint
        saved = None
        if self.checkpoint is not None:
            saved = self.checkpoint.open(fit_fingerprint(estimator, source))
        if saved is not None:
            self.random_state.set_state(saved["random_state"])
        self._begun_with = self.random_state.get_state()
        self.journal = Journal(
            saved and saved["journal"], None if self.checkpoint is None else self._write_if_due
        )
        self.problem = ModelProblem(self.model, source, workers)
        seeds = self.algorithm == "online" or self.kind == "stochastic" or self.schedule != [1.0]
        # drawn from a copy, so that the starts are those of batch EM
        self.seed = (int(copy.deepcopy(self.random_state).randint(2**31 - 1)),) if seeds else ()
        # a fit that goes on makes other draws than the one before
        self.n_warm = 1 + vars(estimator).get("_n_warm", 0) if warm else 0
        if self.seed and warm:
            self.seed = (self.seed[0] + self.n_warm,)

    def _check_settings(self) -> None:
        setting = self.estimator._setting
        self.algorithm, self.kind = setting("algorithm"), setting("e_step")
        annealing = setting("annealing")
        self.schedule = [1.0] if annealing is None else read_schedule(annealing)
        accelerate = setting("accelerate")
        if accelerate and (self.algorithm != "batch" or self.kind == "stochastic"):
            raise ValueError(
                f"accelerate={accelerate!r} is for algorithm='batch' with e_step='soft' or 'hard', whose steps follow"
                " from each other; set accelerate=None."
            )
        if self.schedule != [1.0] and self.kind == "hard":
            raise ValueError(
                "annealing changes nothing in a hard E-step, whose labels are the most probable at each temperature;"
                " set annealing=None, or e_step='soft'."
            )

    # ---------------------------------------------------------------- runs

    def run(self) -> None:
        """Make the runs, and give the estimator what the best came to."""
        # printed lines stay in order, and a function of the user in the thread that called
        one = self.estimator._setting("verbose") or self.source.one_pass_at_a_time
        runner = Workers(1) if one else self.workers
        interrupted = False
        try:
            outcomes = self._outcomes(runner)
        except KeyboardInterrupt:
            self.workers.interrupt()
            interrupted, outcomes = True, list(self.journal.so_far())
            if not outcomes:
                raise
        if self.seed:  # another fit with this stream draws others
            self.random_state.randint(2**31 - 1)
        self._keep_best(outcomes, interrupted)
        if self.checkpoint is not None:
            self._write(self.journal)
        self.watch.end()

    def _outcomes(self, runner: Workers) -> list[Outcome]:
        if self.n_runs is not None:
            return runner.map_reduce(self._calls(0, self.n_runs), list.__add__, bounded=False)
        outcomes: list[Outcome] = []
        while len(outcomes) < _AUTO_MOST and not self._runs_needed(outcomes):
            calls = self._calls(len(outcomes), _AUTO_STEP)
            outcomes += runner.map_reduce(calls, list.__add__, bounded=False)
        return outcomes[: self._runs_needed(outcomes) or None]

    def _runs_needed(self, outcomes: list[Outcome]) -> int:
        """After how many of these runs the best optimum had been found twice; 0 if it has not."""
        for n in range(2, len(outcomes) + 1):
            reached = [sound_objective(outcome) for outcome in outcomes[:n]]
            best = max(reached)
            if best == -math.inf:
                continue
            # runs rest where steps become short, which may be far from the top: those in question go on
            close = [i for i, value in enumerate(reached) if value >= best - 20 * self.tol]
            tops = [self._top(i, outcomes[i]) for i in close]
            self.n_found = sum(top >= max(tops) - self._near() for top in tops)
            if self.n_found > 1:
                return n
        return 0

    def _top(self, number: int, outcome: Outcome) -> float:
        """How high a run leads that has come to rest, within a much smaller tolerance."""
        assert isinstance(outcome, Result)
        if self.algorithm != "batch" or self.kind == "stochastic":
            return outcome.objective
        problem = self.problem.at(PosteriorMode(self.kind))
        most = max(self.max_iter, 100)
        end = self.journal.run(
            f"{number} top",
            problem,
            outcome.parameters,
            tol=self.tol / 100,
            max_iter=most,
            accelerator=Squarem(math.inf) if self.kind == "soft" else None,
        )
        return end.objective if isinstance(end, Result) else outcome.objective

    def _near(self) -> float:
        """How far apart tops may be that are the same."""
        return max(0.2 * self.tol if self.algorithm == "batch" else 2.0 * self.tol, _TIE)

    def _calls(self, begin: int, n: int) -> Iterator[Any]:
        for number in range(begin, begin + n):  # drawn one after the other, from one stream
            try:
                parameters = self._start()
            except SingularError as error:
                parameters = error
            yield partial(self._attempt, number, parameters)

    def _start(self) -> Any:
        if self.warm:
            return self.estimator.recall()
        return first_parameters(self.model, self.source, self.random_state)

    def _attempt(self, number: int, start: Any) -> list[Outcome]:
        if isinstance(start, SingularError):
            return [start]
        # a start may have several first parameters, of which the best ends the run
        firsts = start if isinstance(start, list) else [start]
        paths = min(len(firsts), _POLISHED) * len(self.schedule)
        with self.watch.run(number, paths) as monitor:
            if len(firsts) > _POLISHED:
                most = min(_SHORT, self.max_iter)
                short = [
                    self._one_run((number, i), first, None, most) for i, first in enumerate(firsts)
                ]
                reached = [sound_objective(run) for run in short]
                order = np.argsort(reached[1:], kind="stable")[::-1][: _POLISHED - 1]
                firsts = [firsts[0], *(firsts[1 + i] for i in order)]
            best = best_of(
                [
                    self._one_run((number, "end", i), first, monitor, self.max_iter)
                    for i, first in enumerate(firsts)
                ]
            )
            if isinstance(best, Result):
                self.watch.report(best)
        return [best]

    def _one_run(
        self, key: tuple[Any, ...], parameters: Any, monitor: Any, max_iter: int
    ) -> Outcome:
        """A run from given parameters, through all temperatures."""
        seed = (*self.seed, key[0]) if self.seed else ()
        problem = self.problem
        if self.kind != "soft":
            problem = problem.at(PosteriorMode(self.kind, seed=seed))

        def stage(number: int, problem: ModelProblem, parameters: Any) -> Outcome:
            return self.journal.run(
                " ".join(map(str, (*key, number))),
                problem,
                parameters,
                tol=self.tol,
                max_iter=max_iter,
                previous=self._previous(),
                accelerator=self._accelerator(),
                monitor=monitor,
                variant=self._variant((*seed, number)),
                ranks=problem.mode.temperature == 1.0,
            )

        if self.schedule == [1.0]:
            return stage(0, problem, parameters)
        return anneal(problem, parameters, self.schedule, stage, seed)

    def _previous(self) -> float:
        goes_on = self.warm and self.schedule == [1.0]
        return vars(self.estimator).get("_previous_objective", -math.inf) if goes_on else -math.inf

    def _accelerator(self) -> Any:
        accelerate = self.estimator._setting("accelerate")
        begin = 1e-2 * self.problem.rows / self.problem.total
        return ACCELERATORS[accelerate](begin) if accelerate else None

    def _variant(self, seed: tuple[int, ...]) -> Any:
        setting = self.estimator._setting
        if self.algorithm == "online":
            expected = getattr(self.model, "expected_statistics", None)
            return partial(
                OnlineState,
                batch_size=setting("batch_size"),
                decay=setting("learning_decay"),
                offset=setting("learning_offset"),
                seed=seed,
                first=expected and partial(expected, source=self.source),
            )
        if self.algorithm == "incremental":
            return partial(IncrementalState, batch_size=setting("batch_size"))
        return StochasticState if self.kind == "stochastic" else None

    # ---------------------------------------------------------- checkpoint

    def _write_if_due(self, journal: Journal) -> None:
        if self.checkpoint.due():
            self._write(journal)

    def _write(self, journal: Journal) -> None:
        self.checkpoint.write({"random_state": self._begun_with, "journal": journal.saved()})

    # ---------------------------------------------------------------- best

    def _keep_best(self, outcomes: list[Outcome], interrupted: bool) -> None:
        estimator = self.estimator
        runs = [outcome for outcome in outcomes if isinstance(outcome, Result)]
        if not runs:
            message = str(outcomes[0])
            if self.source.dtype == np.float32:
                message += " The numerical accuracy can also be improved by passing float64 data instead of float32."
            raise SingularError(message) from outcomes[0]
        best = best_of(outcomes)
        assert isinstance(best, Result)
        if interrupted and best.objective == -math.inf:  # nothing but high temperatures so far
            problem = ModelProblem(self.model, self.source, None)
            objective = problem.e_step(best.parameters)[1]
            best = replace(best, objective=objective, objectives=np.full(1, objective), n_iter=1)
        if interrupted and best.reason is not StopReason.INTERRUPTED:
            detail = f"interrupted: with {len(runs)} runs begun, of which the best had ended"
            best = replace(best, reason=StopReason.INTERRUPTED, detail=detail)
        estimator._set_fitted(best, self.source.dtype)
        vars(estimator).pop("_n_warm", None)
        if self.n_warm:
            estimator._n_warm = self.n_warm
        self._carry(best)
        bounds = [o.objective if isinstance(o, Result) else math.nan for o in outcomes]
        near = np.abs(np.array(bounds) - best.objective) <= max(self.tol, _TIE)
        estimator.restart_lower_bounds_ = np.array(bounds)
        estimator.n_best_restarts_ = self.n_found or int(near.sum())
        self._warn_about(best, outcomes)

    def _carry(self, best: Result) -> None:
        """Keep what partial_fit goes on from."""
        statistics = best.statistics
        try:
            if statistics is None and best.reason is not StopReason.INTERRUPTED:
                statistics = self.problem.e_step(best.parameters)[0]
            carried = Carried(statistics, 0, self.weight, self.problem.rows).written()
        except (SingularError, TypeError):  # of a class that only this process knows
            carried = Carried(None, 0, self.weight, self.problem.rows).written()
        self.estimator._online = carried
        self.estimator._keep_bound(self.model)

    def _warn_about(self, best: Result, outcomes: list[Outcome]) -> None:
        lost = [outcome for outcome in outcomes if isinstance(outcome, SingularError)]
        sound = [outcome for outcome in outcomes if sound_objective(outcome) > -math.inf]
        asked_to_rest = getattr(self.model, "waits_for_rest", True)
        if lost:
            warn_user(
                f"{len(lost)} of {len(outcomes)} starts had no sound parameters and were dropped;"
                f" the best of the others is used. The first was dropped because: {lost[0]}",
                ConvergenceWarning,
            )
        if best.fell is not None:
            warn_user(
                f"The objective fell by {best.fell[1]:.3g} at iteration {best.fell[0]}. EM never lets it"
                " fall: the E-step and the M-step do not belong together, or one of them has lost its"
                " precision.",
                ObjectiveFellWarning,
            )
        if best.reason is StopReason.INTERRUPTED:
            warn_user(
                f"The fit was interrupted; it keeps the best parameters so far, after {best.n_iter} iterations."
                " warm_start=True goes on from there.",
                ConvergenceWarning,
            )
        elif not sound:
            warn_user(
                f"The fit stopped at its last sound parameters. {best.detail}",
                ConvergenceWarning,
            )
        elif best.reason is StopReason.MAX_ITER and self.max_iter > 0 and asked_to_rest:
            warn_user(
                "Best performing initialization did not converge. Try different init parameters, or increase"
                " max_iter, tol, or check for degenerate data.",
                ConvergenceWarning,
            )


# parameters of the constructor on which the result does not depend
_NO_MATTER = ("n_jobs", "verbose", "verbose_interval")


def fit_fingerprint(estimator: Any, source: Source) -> dict[str, Any]:
    """By what a fit is known again: estimator, parameters, data."""
    sample = source.sample
    parameters = {
        f"parameter {name}": _text(value)
        for name, value in estimator.get_params().items()
        if name not in _NO_MATTER
    }
    return {
        "estimator": type(estimator).__name__,
        **parameters,
        "shape": list(source.shape),
        "data": data_fingerprint(sample.X, sample.sample_weight),
        "labels": "" if sample.labels is None else joblib.hash(sample.labels),
        "begins": _beginning(estimator) if estimator._continues() else "",
    }


def _beginning(estimator: Any) -> str:
    """Where a warm start begins."""
    known = vars(estimator)
    names = known.get("_published_names", ())
    return joblib.hash([*(known.get(name) for name in names), known.get("_previous_objective")])


def _text(value: Any) -> str:
    """A parameter as a text that is the same for the same value, in any process."""
    if isinstance(value, np.random.RandomState):
        return f"RandomState {joblib.hash(value.get_state())}"
    if isinstance(value, BaseEstimator):  # its representation leaves out what is long
        inside = {name: _text(v) for name, v in value.get_params(deep=False).items()}
        return f"{type(value).__name__} {joblib.hash(inside)}"
    if callable(value):  # its representation is an address
        code = getattr(value, "__code__", None)
        what = None if code is None else (code.co_code, repr(code.co_consts), code.co_names)
        name = getattr(value, "__qualname__", type(value).__name__)
        return f"{value.__module__}.{name} {joblib.hash(what)}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} {joblib.hash([_text(v) for v in value])}"
    if isinstance(value, dict):
        return f"dict {joblib.hash({str(k): _text(v) for k, v in value.items()})}"
    plain = isinstance(value, str | int | float | bool | type(None))
    return repr(value) if plain else f"{type(value).__name__} {joblib.hash(value)}"


def first_parameters(model: Any, source: Source, random_state: np.random.RandomState) -> Any:
    """A start: first parameters, or a list of such."""
    sample = source.sample
    known = {} if sample.labels is None else {"labels": sample.labels}
    first = model.initial_parameters(sample.X, sample.sample_weight, random_state, **known)
    return model.m_step(first, None) if isinstance(first, Statistics) else first


def sound_objective(outcome: Outcome) -> float:
    """The objective of a run that ended well, else minus infinity."""
    sound = isinstance(outcome, Result) and outcome.reason is not StopReason.SINGULAR
    return outcome.objective if sound else -math.inf


def best_of(outcomes: list[Outcome]) -> Outcome:
    """The first of the best runs, of those that ended well if any did."""
    runs = [outcome for outcome in outcomes if isinstance(outcome, Result)]
    if not runs:
        return outcomes[0]
    runs = [run for run in runs if sound_objective(run) > -math.inf] or runs
    highest = max(run.objective for run in runs)
    return next(run for run in runs if run.objective >= highest - _TIE)
