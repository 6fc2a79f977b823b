"""Laws of the ways to run EM: online and incremental, other posteriors, known labels, parameters that are held."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._hold import close, hold, rises, snapshot
from ._service_case import FORGETTING, PASSES, ServiceCase, at_least, published

# of the likelihood, what estimates that see a part of the data at a time may lack
_SHARE = 1e-3


def _same_end(a: Any, b: Any, what: str) -> None:
    """Two runs end at the same parameters, to the bit."""
    for name, value in {**published(b), "lower_bound_": b.lower_bound_}.items():
        ours = getattr(a, name)
        hold(snapshot(ours) == snapshot(value), f"{what}: {name} is {ours!r}, not {value!r}.")


def _other_steps(found: Any, plain: Any, what: str) -> None:
    """The steps are not those of batch EM."""
    n = min(found.n_iter_, plain.n_iter_)
    differ = snapshot(found.lower_bounds_[:n]) != snapshot(plain.lower_bounds_[:n])
    hold(n > 0 and differ, f"{what} makes the steps of batch EM.")


def check_starts(case: ServiceCase) -> None:
    """Every way to draw a start gives sound parameters, the same each time; a start that is given is taken."""
    hold(case.start_methods, "there is no way to draw a start.")
    for name in case.start_methods:
        one, again = (case.fit(init_params=name, max_iter=2) for _ in range(2))
        hold(np.isfinite(one.lower_bound_), f"init_params={name!r} ends at {one.lower_bound_}.")
        case.same(one, again, f"init_params={name!r} twice")
    labels = case.labels
    called = case.fit(init_params=lambda X, K, random_state: labels)
    given = case.fit(init_params=labels)
    shuffled = np.random.RandomState(6).permutation(labels)
    _same_end(called, given, "init_params of a function that returns labels, and of labels")
    hold(
        given.lower_bounds_[0] > case.fit(init_params=shuffled).lower_bounds_[0],
        "init_params of labels that fit the rows begins no higher than of others.",
    )


# -------------------------------------------------------------- parts at a time


def check_online(case: ServiceCase) -> None:
    """Online EM reaches batch EM's likelihood within 0.1 % in 40 passes; one full batch is batch EM, to the bit."""
    whole = case.fit(**case.start, **case.way("online"), batch_size=case.n, learning_decay=0.0)
    _same_end(whole, case.fit(**case.start), "one batch with learning_decay=0, and batch EM")
    parts = case.fit(
        **case.start,
        **FORGETTING,
        **case.way("online"),
        batch_size=case.part_rows,
        max_iter=PASSES,
    )
    at_least(
        case.score(parts), case.score(case.optimum), _SHARE, f"online EM after {PASSES} passes"
    )
    _other_steps(parts, case.optimum, "algorithm='online'")


def check_incremental(case: ServiceCase) -> None:
    """Incremental EM reaches batch EM's likelihood within 0.1 % in 40 passes."""
    found = case.fit(
        **case.start,
        algorithm="incremental",
        batch_size=case.part_rows,
        max_iter=PASSES,
    )
    at_least(found.lower_bound_, case.optimum.lower_bound_, _SHARE, "incremental EM and batch EM")
    _other_steps(found, case.optimum, "algorithm='incremental'")
    blocks = {"algorithm": "incremental", "batch_size": case.part_rows, "max_iter": 1}
    again = case.fit(**case.start, **blocks)
    rest = case.fit(**case.start, **{**blocks, "max_iter": 3})
    at_least(rest.lower_bound_, again.lower_bound_, 1e-2, "incremental EM after 3 passes and 1")


# --------------------------------------------------------------- the posterior


def check_hard(case: ServiceCase) -> None:
    """Classification EM: the joint likelihood of rows and labels never falls, and is what the objective says."""
    model = case.fit(**case.start, e_step="hard", max_iter=60, tol=1e-9)
    rises(model, "e_step='hard'")
    if not hasattr(model, "bic"):
        return
    if hasattr(model, "decode"):
        joint = model.decode(case.X, **case.beside)[0] / case.n
    else:
        posterior = case.posterior(model)
        joint = np.mean(case.row_scores(model) + np.log(posterior.max(axis=1)))
    close(model.lower_bound_, joint, "lower_bound_ and the joint likelihood of rows and labels")


def check_stochastic(case: ServiceCase) -> None:
    """Labels are drawn, by the seed; the best parameters of the chain are kept."""
    # from a start so far from any optimum that some draws are better
    start = np.where(np.arange(case.n) % 2 > 0, case.labels, np.roll(case.labels, case.n // 3))
    one, again, other = (
        case.fit(init_params=start, e_step="stochastic", max_iter=12, random_state=seed)
        for seed in (0, 0, 1)
    )
    hold(one.n_iter_ > 0, "e_step='stochastic' found nothing better than its start.")
    case.same(one, again, "e_step='stochastic' twice")
    differ = snapshot(one.lower_bounds_) != snapshot(other.lower_bounds_)
    hold(differ, "e_step='stochastic' draws the same labels with another random_state.")
    hold(
        one.lower_bound_ >= one.lower_bounds_.max() - 1e-9,
        f"e_step='stochastic' keeps {one.lower_bound_:.8g} and had found {one.lower_bounds_.max():.8g}.",
    )
    if hasattr(one, "bic"):
        close(case.score(one), one.lower_bound_, "score and lower_bound_ of e_step='stochastic'")


def check_annealing(case: ServiceCase) -> None:
    """Annealing at temperature 1 is EM, to the bit; from 3 to 1 it ends at rest, in an optimum of the likelihood."""
    case.same(case.fit(**case.start, annealing=[1.0]), case.fit(**case.start), "annealing=[1]")
    model = case.fit(**case.start, annealing=[3.0, 1.0], max_iter=300, tol=1e-6)
    hold(model.converged_, f"annealing=[3, 1] ends by {model.stop_reason_!r}.")
    plain = case.fit(**case.start, max_iter=300, tol=1e-6)
    _other_steps(model, plain, "annealing=[3, 1]")
    if hasattr(model, "bic"):
        close(case.score(model), model.lower_bound_, "score and lower_bound_ of annealing=[3, 1]")
    end = model.lower_bound_
    again = case.refit(model.set_params(annealing=None, warm_start=True, max_iter=3, tol=0.0))
    gain = again.lower_bound_ - end
    hold(-1e-9 < gain < 1e-3, f"after annealing=[3, 1] three steps of EM gain {gain:.3g}.")


# -------------------------------------------------------------------- labels


def check_labels(case: ServiceCase) -> None:
    """Known labels pin their rows to their components, whatever the start; texts are the classes."""
    codes, K = case.labels, len(np.unique(case.labels))
    hold(codes.min() == 0 and K == codes.max() + 1, "the example has an empty component.")
    settings: dict[str, Any] = {"max_iter": 100, "tol": 1e-10}
    known = {**case.given, "labels": codes}
    model = case.fit(arguments=known, **settings)
    rises(model, "fit with labels")
    other = case.fit(arguments=known, **settings, init_params="k-means++", random_state=3)
    if model._fitted_model().distribution.start_parts == 1:  # members of components have no labels
        close(other.lower_bound_, model.lower_bound_, "all labels known, from two starts", 1e-3)
    for fitted in (model, other):
        _as_counted(case, fitted, codes)
    # the numbers of the labels are those of the components
    turned = case.fit(arguments={**case.given, "labels": (codes + 1) % K}, **settings)
    _as_counted(case, turned, (codes + 1) % K)
    names = np.array([f"class {k}" for k in range(K)])
    named = case.fit(arguments={**case.given, "labels": names[codes]}, **settings)
    hold(list(named.classes_) == list(names), f"classes_ is {named.classes_!r}, not {names!r}.")
    _same_end(named, model, "labels as texts and as numbers")
    _some_labels(case, codes)


def _some_labels(case: ServiceCase, codes: np.ndarray) -> None:
    none = case.fit(arguments={**case.given, "labels": np.full(case.n, -1)}, **case.start)
    _same_end(none, case.fit(**case.start), "labels of -1 and none")
    some = np.where(np.arange(case.n) % 3 == 0, codes, -1)
    rises(case.fit(arguments={**case.given, "labels": some}), "fit with some labels")


def _as_counted(case: ServiceCase, model: Any, codes: np.ndarray) -> None:
    """Weights, or first states and transitions, are those that the labels have; most rows are where they were put."""
    K = codes.max() + 1
    kept = float(np.mean(case.predicted(model) == codes))
    hold(kept > 0.8, f"{1 - kept:.0%} of the rows are predicted to be elsewhere than labels said.")
    if hasattr(model, "transmat_"):
        first = np.bincount([codes[unit[0]] for unit in case.units], minlength=K)
        moves = np.zeros((K, K))
        for unit in case.units:
            np.add.at(moves, (codes[unit[:-1]], codes[unit[1:]]), 1.0)
        close(model.startprob_, first / first.sum(), "startprob_ and the labels", 1e-6)
        close(model.transmat_, moves / moves.sum(axis=1, keepdims=True), "transmat_", 1e-6)
    elif hasattr(model, "bic"):
        close(model.weights_, np.bincount(codes) / case.n, "weights_ and the labels", 1e-6)


# -------------------------------------------------------------- what is held


def _candidates(case: ServiceCase) -> list[str]:
    """Names of parameters with an entry for each component, those of the components first."""
    latent = ["weights", "startprob", "transmat"]
    names = [name.removesuffix("_") for name in published(case.fitted)]
    names = [name for name in names if name not in latent] + latent[:1] + latent[2:]
    return [name for name in names if hasattr(case.fitted, f"{name}_")]


def _first_accepted(case: ServiceCase, setting: str, value: Any) -> tuple[str, Any, Any]:
    """The first parameter that may be held, with what was asked for, and the fit."""
    errors: list[str] = []
    for name in _candidates(case):
        asked = value(name)
        try:
            return name, asked, case.fit(**case.start, **{setting: asked})
        except (ValueError, TypeError) as error:
            errors.append(f"{name}: {type(error).__name__}: {error}")
    raise AssertionError(f"{setting}: no parameter can be held. " + " ".join(errors))


def check_fixed(case: ServiceCase) -> None:
    """Values that are fixed stay, to the bit, are no free parameters, and the objective rises all the same."""
    start = case.fit(**case.start, max_iter=1)

    def first_row(name: str) -> dict[str, Any]:
        value = getattr(start, f"{name}_")
        return {name: [_row(v) for v in value] if isinstance(value, list) else _row(value)}

    name, asked, model = _first_accepted(case, "fixed", first_row)
    rises(model, f"fixed={name!r}")
    pairs = (asked[name], getattr(model, f"{name}_"))
    for wanted, found in zip(*pairs, strict=True) if isinstance(pairs[1], list) else [pairs]:
        held = ~np.isnan(wanted)
        hold(held.any(), f"fixed: nothing of {name} was asked for.")
        same = np.array_equal(np.asarray(found)[held], np.asarray(wanted)[held])
        hold(same, f"fixed: {name}_ is {found!r}, and {wanted!r} was fixed.")
    _fewer(case, model, f"fixed={name!r}")


def _row(value: np.ndarray) -> np.ndarray:
    """The entry of the first component, the others free."""
    out = np.full_like(value, np.nan)
    out[0] = value[0]
    return out


def _fewer(case: ServiceCase, model: Any, what: str) -> None:
    free = case.fit(**case.start)
    hold(
        model.n_parameters_ < free.n_parameters_,
        f"{what}: n_parameters_ is {model.n_parameters_}, without it {free.n_parameters_}.",
    )


def check_equal(case: ServiceCase) -> None:
    """What components share is the same in all of them, to the bit, and counts once; the objective rises."""
    name, _, model = _first_accepted(case, "equal", lambda name: [name])
    rises(model, f"equal={name!r}")
    found = getattr(model, f"{name}_")
    for array in found if isinstance(found, list) else [found]:
        hold(len(array) > 1, f"equal: {name} has one component.")
        hold(all(np.array_equal(array[0], row) for row in array), f"equal: {name}_ is {array!r}.")
    _fewer(case, model, f"equal={name!r}")


WAYS = {
    "starts": check_starts,
    "online": check_online,
    "incremental": check_incremental,
    "hard": check_hard,
    "stochastic": check_stochastic,
    "annealing": check_annealing,
    "labels": check_labels,
    "fixed parameters": check_fixed,
    "equal parameters": check_equal,
}
