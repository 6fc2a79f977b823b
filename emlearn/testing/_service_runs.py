"""Laws of what is around the runs of a fit: weights, threads, restarts, priors, callbacks, files of its state."""

from __future__ import annotations

import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..callbacks import Checkpoint
from ..em.reduce import block_rows
from ._hold import close, hold, rises, snapshot
from ._service_case import Listener, ServiceCase, at_least, published


def check_sample_weight(case: ServiceCase) -> None:
    """A weight of 2 is a row, or a sequence, given twice; 0 is one left out."""
    counts = np.random.RandomState(1).randint(0, 4, size=len(case.units))
    weights = np.repeat(counts, [len(unit) for unit in case.units]).astype(float)
    X, given, _ = case.take(np.repeat(np.arange(len(counts)), counts))
    # from the same parameters: what is drawn at a start differs
    weighed, repeated = (
        case.going_on() if case.has("warm_start") else case.new() for _ in range(2)
    )
    case.refit(weighed, None, {**case.given, "sample_weight": weights})
    case.refit(repeated, X, given)
    case.same(weighed, repeated, "weights 0 to 3 and repetitions", 1e-6)
    if hasattr(weighed, "score"):
        beside = {name: given[name] for name in case.beside}
        score = weighed.score(case.X, sample_weight=weights, **case.beside)
        close(score, weighed.score(X, **beside), "score of weights 0 to 3 and of repetitions")


def check_threads(case: ServiceCase) -> None:
    """One thread and two give the same fit, to the bit."""
    several = {"n_init": 3} if case.has("n_init") else {}
    several |= {"init_params": "random"} if case.start_name else {}
    with block_rows(max(4, case.n // 5)):
        one, two = (case.fit(n_jobs=n_jobs, **several) for n_jobs in (1, 2))
    case.same(one, two, "n_jobs of 1 and 2")


def check_restarts(case: ServiceCase) -> None:
    """The best of several starts is kept, and they are starts of their own."""
    one = case.fit(**case.drawn, n_init=1)
    best = case.fit(**case.drawn, n_init=3)
    bounds = best.restart_lower_bounds_
    hold(bounds.shape == (3,), f"restart_lower_bounds_ has the shape {bounds.shape} of 3 starts.")
    hold(bounds[0] == one.lower_bound_, "the first of three starts is not that of n_init=1.")
    hold(len(set(bounds)) > 1, "three starts are the same.")
    hold(
        best.lower_bound_ >= np.nanmax(bounds) - 1e-9,
        f"n_init=3 keeps {best.lower_bound_:.8g}, one of its starts ends at {np.nanmax(bounds):.8g}.",
    )


def check_restarts_auto(case: ServiceCase) -> None:
    """Starts are made until the best optimum was found twice, and no longer; the same number each time."""
    settings: dict[str, Any] = {"init_params": "random_from_data", "tol": 1e-3, "max_iter": 50}
    auto = case.fit(n_init="auto", **settings)
    case.same(auto, case.fit(n_init="auto", **settings), "n_init='auto' twice")
    bounds, n = (
        np.nan_to_num(auto.restart_lower_bounds_, nan=-np.inf),
        auto.restart_lower_bounds_.size,
    )
    # runs rest short of the top by a few times tol: what is in question, and what is beyond
    asked, clear = 20 * settings["tol"], 1e-7

    def twice(m: int) -> bool:
        below = bounds[:m].max() - bounds[:m]
        return int(np.sum(below <= clear)) > 1 and not np.any((below > clear) & (below <= asked))

    found = auto.n_best_restarts_
    hold(n == 30 or found == 2, f"n_init='auto' stopped after {n} starts, {found} were the best.")
    last = bounds[-1] >= bounds.max() - asked
    hold(n == 30 or last, f"n_init='auto' made {n} starts, and the last was not the best again.")
    early = [m for m in range(2, n) if twice(m)]
    hold(not early, f"n_init='auto' made {n} starts, and {early[:1]} had found the best twice.")
    hold(auto.lower_bound_ >= bounds.max() - 1e-9, "n_init='auto' does not keep the best.")
    said = case.fit(n_init=n, **settings)
    same = np.array_equal(said.restart_lower_bounds_, auto.restart_lower_bounds_, equal_nan=True)
    hold(same, f"n_init='auto' made {n} starts, which are not those of n_init={n}.")
    for name, value in published(said).items():
        same = snapshot(value) == snapshot(getattr(auto, name))
        hold(same, f"n_init='auto' made {n} starts, and {name} is not that of n_init={n}.")


def check_warm_start(case: ServiceCase) -> None:
    """Six fits of one iteration are one of six, to the bit."""
    whole = case.fit(**case.start, max_iter=6)
    piece = case.new(**case.start, max_iter=1, warm_start=True)
    for _ in range(6):
        case.refit(piece)
    for name in [*published(whole), "lower_bound_", "converged_"]:
        ours, theirs = getattr(piece, name), getattr(whole, name)
        same = snapshot(ours) == snapshot(theirs)
        hold(same, f"after 6 fits of one iteration {name} is {ours!r}, after one of 6 {theirs!r}.")


def check_squarem(case: ServiceCase) -> None:
    """SQUAREM makes other steps, never lets the objective fall, and from near an optimum ends no lower than EM."""
    starts = (
        case.start,
        {name: "random" for name in case.start},
    )  # from there it may find another optimum
    for near, start in zip((True, False), starts, strict=True):
        plain, fast = (
            case.fit(**start, accelerate=accelerate, max_iter=60)
            for accelerate in (None, "squarem")
        )
        rises(fast, "accelerate='squarem'")
        if near:
            at_least(fast.lower_bound_, plain.lower_bound_, 1e-6, "accelerate='squarem' and EM")
    differ = snapshot(plain.lower_bounds_) != snapshot(fast.lower_bounds_)
    hold(differ, "accelerate='squarem' makes the steps of plain EM.")


_PRIORS = {
    "prior": "default",
    "weight_concentration_prior": 2.0,
    "startprob_prior": 2.0,
    "transmat_prior": 2.0,
    "alpha": 20.0,
}


def check_priors(case: ServiceCase) -> None:
    """Under priors the objective rises, from the maximum of the likelihood as well, where it must."""
    priors = {name: value for name, value in _PRIORS.items() if case.has(name)}
    hold(priors, "the estimator has no priors.")
    rises(case.fit(**case.start, **priors, max_iter=20), "fit under priors")
    plain = case.optimum
    if not case.has("prior"):
        other = case.fit(**case.start, **priors, max_iter=20)
        hold(snapshot(published(other)) != snapshot(published(plain)), "priors change nothing.")
        return
    given = {name[:-1]: value for name, value in published(plain).items()}
    before = case.fit(init_params=given, max_iter=0, **priors)
    after = case.fit(init_params=given, max_iter=5, **priors)
    rises(after, "fit under priors from the maximum of the likelihood")
    hold(
        after.lower_bound_ > before.lower_bound_ + 1e-7,
        f"under priors the maximum of the likelihood has {before.lower_bound_:.10g}, and EM ends at"
        f" {after.lower_bound_:.10g}.",
    )
    hold(
        case.score(after) < case.score(plain) + 1e-6,
        "what is best under priors has a higher likelihood than the maximum of the likelihood.",
    )


# ----------------------------------------------------------------- callbacks


def check_callbacks(case: ServiceCase) -> None:
    """Callbacks hear of each iteration once, with the estimator as it stands."""
    heard: list[float] = []
    listener = Listener(lambda _, model: heard.append(model.lower_bound_))
    model = case.refit(case.going_on().set_callbacks(listener))
    hold(
        listener.n == model.n_iter_,
        f"callbacks heard of {listener.n} iterations, there were {model.n_iter_}.",
    )
    hold(
        heard == model.lower_bounds_.tolist(),
        f"callbacks were told of the objectives {heard}, they were {model.lower_bounds_.tolist()}.",
    )


def check_early_stop(case: ServiceCase) -> None:
    """A callback that stops a run leaves what so many iterations come to."""
    stopped = case.refit(case.going_on().set_callbacks(Listener(lambda n, _: n == 2)))
    whole = case.refit(case.going_on().set_params(max_iter=2))
    hold(stopped.n_iter_ == 2, f"stopped after 2 iterations, and n_iter_ is {stopped.n_iter_}.")
    hold(stopped.stop_reason_.startswith("callback"), f"stop_reason_ is {stopped.stop_reason_!r}.")
    hold(not stopped.converged_, "a run that was stopped says that it converged.")
    for name, value in {**published(whole), "lower_bound_": whole.lower_bound_}.items():
        same = snapshot(getattr(stopped, name)) == snapshot(value)
        hold(same, f"a callback stopped after 2 iterations, and {name} is not that of max_iter=2.")


class _CutError(Exception):
    """What ends a fit in the middle."""


def check_checkpoint(case: ServiceCase) -> None:
    """A fit that was broken off goes on from its file, and ends where it would have, to the bit."""
    online = {**case.way("online"), "batch_size": case.part_rows}
    for way in ({}, {"accelerate": "squarem"}, online):
        several = {"n_init": 2} if case.has("n_init") else {}
        settings = {**several, **case.drawn, "max_iter": 4, **way}
        counted = Listener()
        whole = case.fit(**settings, callbacks=(counted,))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "fit.ckpt"
            _cut(case, settings, file, counted.n - 2)
            rest = Listener()
            resumed = case.fit(**settings, callbacks=(Checkpoint(file, every=1), rest))
        case.same(resumed, whole, f"a fit taken up from its file, {way}")
        hold(
            rest.n < counted.n,
            f"a fit of {counted.n} iterations is taken up after {counted.n - 2}, and makes {rest.n}.",
        )


def _cut(case: ServiceCase, settings: dict[str, Any], file: Path, after: int) -> None:
    def cut(n: int, _: Any) -> None:
        if n == after:
            raise _CutError

    try:
        case.fit(**settings, callbacks=(Checkpoint(file, every=1), Listener(cut)))
    except _CutError:
        return
    hold(False, "an error in a callback does not end the fit.")


def check_interrupt(case: ServiceCase) -> None:
    """Ctrl-C ends a fit with what it has come to, and a warning."""

    def interrupt(n: int, _: Any) -> None:
        if n == 3:
            raise KeyboardInterrupt

    model = case.going_on().set_callbacks(Listener(interrupt))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(case.X, **case.given)
    said = [w for w in caught if issubclass(w.category, ConvergenceWarning)]
    hold(any("interrupted" in str(w.message) for w in said), "an interrupted fit does not warn.")
    hold(model.stop_reason_.startswith("interrupted"), f"stop_reason_ is {model.stop_reason_!r}.")
    hold(not model.converged_, "an interrupted fit says that it converged.")
    whole = case.refit(case.going_on().set_params(max_iter=3))
    for name, value in {**published(whole), "lower_bound_": whole.lower_bound_}.items():
        same = snapshot(getattr(model, name)) == snapshot(value)
        hold(same, f"interrupted after 3 iterations, and {name} is not that of max_iter=3.")


# ------------------------------------------------------------------- honesty


def check_likelihood(case: ServiceCase) -> None:
    """The objective is the likelihood of the parameters that a user gets, and the criteria are made of it."""
    model = case.fit(**case.drawn, max_iter=3)
    score = case.score(model)
    close(model.lower_bound_, score, "lower_bound_ and score")
    close(np.mean(case.row_scores(model)), score, "mean of the rows' scores")
    deviance, p = -2.0 * score * case.n, model.n_parameters_
    close(model.aic(case.X, **case.beside), deviance + 2 * p, "aic")
    close(model.bic(case.X, **case.beside), deviance + p * math.log(case.n), "bic")


RUNS = {
    "sample weights": check_sample_weight,
    "threads": check_threads,
    "restarts": check_restarts,
    "restarts, as many as it takes": check_restarts_auto,
    "warm start": check_warm_start,
    "SQUAREM": check_squarem,
    "priors": check_priors,
    "callbacks": check_callbacks,
    "early stop": check_early_stop,
    "checkpoints": check_checkpoint,
    "interrupt": check_interrupt,
    "honest likelihood": check_likelihood,
}
