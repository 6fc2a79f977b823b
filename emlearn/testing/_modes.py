"""The laws of the modes of a posterior and of labels that are known, whatever the unit of the latent structure."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from scipy.stats import chi2

from ..em.posteriors import SOFT, PosteriorMode
from ._hold import close, hold, same_statistics

__all__ = ["MODE_CHECKS"]

_HARD, _DRAWN = PosteriorMode("hard"), PosteriorMode("stochastic", seed=(3,))
_MODES = (SOFT, PosteriorMode(temperature=2.5), _HARD, _DRAWN)


def _needs(*names: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """A check of arguments that the posterior of a latent structure need not have."""

    def decorate(check: Callable[[Any], None]) -> Callable[[Any], None]:
        @wraps(check)
        def checked(case: Any) -> None:
            parameters = inspect.signature(case.latent.posterior).parameters
            every = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
            if every or all(name in parameters for name in names):
                check(case)

        return checked

    return decorate


def _only(log_density: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Densities that leave nothing possible but the components of known rows."""
    known = labels >= 0
    other = np.arange(log_density.shape[1]) != labels[:, None]
    return np.where(known[:, None] & other, -np.inf, log_density)


def _joint(case: Any, log_density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All configurations (K**n, n) of one unit, and their joint log-densities."""
    n, K = log_density.shape
    configurations = np.indices((K,) * n).reshape(n, -1).T
    with np.errstate(all="ignore"):  # of impossible ones
        values = [case.oracle(_only(log_density, states))[1] for states in configurations]
    return configurations, np.array(values)


def _is_of_labels(
    case: Any, log_density: np.ndarray, answer: Any, weights: np.ndarray, what: str
) -> np.ndarray:
    """The labels of a posterior that is one-hot; its statistics are those of rows that are known to be there."""
    posterior, statistics, _ = answer
    labels = posterior.argmax(axis=1)
    hold(
        np.array_equal(posterior, np.eye(case.K)[labels] * weights[:, None]),
        f"{what}: the posterior is not the sample weight at one component of each row.",
    )
    expected = case.posterior(_only(log_density, labels), weights)
    close(posterior, expected[0], f"{what}: posterior", 1e-12)
    same_statistics(
        statistics, expected[1], expected[1], f"{what}: statistics and those of its labels"
    )
    return labels


@_needs("mode")
def check_tempered_posterior(case: Any) -> None:
    """At temperature T the posterior is that of the power 1 / T, and rows sum to the free energy."""
    log_density = case.log_density(4, seed=1)
    soft = case.posterior(log_density)
    for one in (SOFT, PosteriorMode("soft", 1.0)):
        again = case.posterior(log_density, mode=one)
        hold(
            np.array_equal(again[0], soft[0]) and np.array_equal(again[2], soft[2]),
            "posterior: at temperature 1 it is not, to the bit, the one without a mode.",
        )
    for T in (0.4, 1.0, 3.0, 50.0):
        for n, weight in ((1, 1.0), (4, 1.0), (5, 2.0)):
            log_density = case.log_density(n, seed=n)
            weights = None if weight == 1.0 else np.full(n, weight)
            answer = case.posterior(log_density, weights, mode=PosteriorMode(temperature=T))
            expected, energy = case.oracle(log_density, T)
            what = f"of {n} rows at temperature {T:g}"
            close(answer[0], weight * expected, f"posterior {what} and by enumeration")
            close(answer[2].sum(), energy, f"free energy {what} and by enumeration")
            counts = case.counts(log_density, T)
            if counts is not None:
                close(
                    answer[1]["transitions"],
                    weight * counts,
                    f"transitions {what} and by enumeration",
                )


@_needs("mode")
def check_hard_posterior(case: Any) -> None:
    """All of a unit is at its most probable configuration, and rows sum to the joint log-density."""
    for n, T in ((1, 1.0), (3, 1.0), (4, 4.0)):
        for seed, weight in enumerate((1.0, 0.5)):
            log_density = (1.0 - 0.8 * seed) * case.log_density(n, seed=n + seed)
            answer = case.posterior(
                log_density, np.full(n, weight), mode=PosteriorMode("hard", temperature=T)
            )
            labels = _is_of_labels(case, log_density, answer, np.full(n, weight), "hard")
            configurations, joint = _joint(case, log_density)
            close(answer[2].sum(), joint.max(), f"value of {n} rows, hard, and the best joint")
            found = joint[(configurations == labels).all(axis=1)]
            close(found, [joint.max()], f"joint log-density of the hard labels of {n} rows")


@_needs("mode")
def check_drawn_posterior(case: Any) -> None:
    """Draws have the probabilities of configurations, are the same from the same seed, and worth what is drawn from."""
    units = 4000
    for T in (1.0, 2.0):
        log_density = 0.5 * case.log_density(3, seed=2)
        n = len(log_density)
        table = np.tile(log_density, (units, 1))
        ends = n * np.arange(1, units + 1)
        mode = PosteriorMode("stochastic", T, (5,))
        answer = case.posterior(table, None, ends, mode=mode)
        again = case.posterior(table, None, ends, mode=mode)
        hold(np.array_equal(answer[0], again[0]), "stochastic: one seed has two draws.")
        other = case.posterior(table, None, ends, mode=PosteriorMode("stochastic", T, (6,)))
        differ = case.K == 1 or not np.array_equal(answer[0], other[0])
        hold(differ, "stochastic: two seeds have one draw.")
        soft = case.posterior(table, None, ends, mode=PosteriorMode(temperature=T))
        close(answer[2], soft[2], f"values of rows that were drawn at temperature {T:g}")
        labels = answer[0].argmax(axis=1).reshape(units, n)
        joint = _joint(case, log_density)[1]
        p = np.exp(joint / T - np.logaddexp.reduce(joint / T))
        codes = labels @ case.K ** np.arange(n)[::-1]
        counts = np.bincount(codes, minlength=len(p))
        hold(np.all(counts[p == 0] == 0), "stochastic: a draw that has probability 0.")
        likely = np.argsort(-p)
        likely = likely[units * p[likely] >= 5.0]
        expected = np.append(units * p[likely], max(units * (1.0 - p[likely].sum()), 1e-9))
        found = np.append(counts[likely], units - counts[likely].sum())
        keep = expected >= 5.0
        statistic = float((np.square(found - expected) / expected)[keep].sum())
        limit = float(chi2.isf(1e-7, max(int(keep.sum()) - 1, 1)))
        hold(
            statistic <= limit,
            f"stochastic: {units} draws at temperature {T:g} do not have the posterior's probabilities"
            f" (chi-square {statistic:.4g}, limit {limit:.4g}).",
        )
    weights = np.full(3, 2.5)
    answer = case.posterior(log_density, weights, mode=_DRAWN)
    _is_of_labels(case, log_density, answer, weights, "stochastic")


@_needs("mode", "labels")
def check_known_labels(case: Any) -> None:
    """Configurations that contradict a label are impossible, whatever the mode."""
    log_density = case.log_density(4, seed=6)
    nothing = np.full(4, -1)
    for mode in _MODES:
        with_none = case.posterior(log_density, mode=mode, labels=nothing)
        without = case.posterior(log_density, mode=mode)
        close(with_none[0], without[0], f"posterior, {mode.kind}, where no label is known", 1e-12)
        close(with_none[2], without[2], f"values, {mode.kind}, where no label is known", 1e-12)
    configurations, joint = _joint(case, log_density)
    best = configurations[joint.argsort()[-2:][0]]  # possible, and not where the rows would be
    for known in ([0], [3], [1, 2], [0, 1, 2, 3]):
        labels = nothing.copy()
        labels[known] = best[known]
        masked = _only(log_density, labels)
        for mode in _MODES:
            answer = case.posterior(log_density, mode=mode, labels=labels)
            expected = case.posterior(masked, mode=mode)
            what = f"{mode.kind}, with the labels {labels.tolist()}"
            hold(
                np.array_equal(answer[0][known], np.eye(case.K)[labels[known]]),
                f"posterior, {what}: a row is not where it is known to be.",
            )
            close(answer[0], expected[0], f"posterior, {what}, and with others impossible", 1e-12)
            close(answer[2], expected[2], f"values, {what}, and with others impossible", 1e-12)
            same_statistics(answer[1], expected[1], expected[1], f"statistics, {what}")
        agree = (configurations[:, known] == labels[known]).all(axis=1)
        total = np.logaddexp.reduce(joint[agree])
        soft = case.posterior(log_density, labels=labels)
        close(soft[2].sum(), total, f"{what}: the configurations that agree, and the value")


@_needs("mode", "labels")
def check_label_of_impossible_row(case: Any) -> None:
    """A row is where it is known to be, even if it cannot be, and is then worth minus infinity."""
    log_density = case.log_density(5, seed=4)
    labels = np.array([-1, 1 % case.K, -1, 0, -1])
    log_density[1, labels[1]] = -np.inf
    log_density[3] = -np.inf
    for mode in _MODES:
        posterior, _, rows = case.posterior(log_density, np.full(5, 2.0), mode=mode, labels=labels)
        for row in (1, 3):
            hold(
                np.array_equal(posterior[row], 2.0 * np.eye(case.K)[labels[row]]),
                f"posterior, {mode.kind}: an impossible row is not where it is known to be.",
            )
            hold(
                rows[row] == -np.inf,
                f"posterior, {mode.kind}: an impossible row has the value {rows[row]:g}.",
            )
        hold(np.isfinite(posterior).all(), f"posterior, {mode.kind}: it is not finite.")
        hold(not np.isnan(rows).any(), f"posterior, {mode.kind}: a value is NaN.")
        close(posterior.sum(axis=1), np.full(5, 2.0), f"sums of the posterior, {mode.kind}", 1e-12)


@_needs("mode")
def check_modes_of_extreme_rows(case: Any) -> None:
    """Rows that nothing reaches and densities of any size leave every mode finite, and one-hot where it should be."""
    log_density = case.log_density(8)
    log_density[0, 1:] = -np.inf
    log_density[2] = -np.inf
    log_density[3] = -1e300
    log_density[6] -= 1e5
    log_density[7] += 1e5
    weights = np.full(8, 3.0)
    for mode in (*_MODES, PosteriorMode("stochastic", 4.0, (1,))):
        with np.errstate(all="ignore"):
            posterior, _, rows = case.posterior(log_density, weights, mode=mode)
        hold(np.isfinite(posterior).all(), f"posterior, {mode.kind}: it is not finite.")
        close(posterior.sum(axis=1), weights, f"sums of the posterior, {mode.kind}", 1e-12)
        hold(rows[2] == -np.inf, f"{mode.kind}: an impossible row has the value {rows[2]:g}.")
        hold(not np.isnan(rows).any(), f"{mode.kind}: a value is NaN.")
        if mode.kind != "soft":
            hold(
                np.all((posterior == 0.0) | (posterior == 3.0)),
                f"posterior, {mode.kind}: a row is in more than one component.",
            )


@_needs("mode", "labels")
def check_modes_change_nothing(case: Any) -> None:
    """No mode writes to its arguments."""
    log_density, weights, labels = case.log_density(6), np.full(6, 2.0), np.array([0, -1] * 3)
    given = {"log_density": log_density, "sample_weight": weights, "labels": labels}
    before = {name: value.copy() for name, value in given.items()}
    for mode in _MODES:
        case.posterior(log_density, weights, mode=mode, labels=labels)
        for name, value in given.items():
            hold(np.array_equal(value, before[name]), f"posterior, {mode.kind}: writes to {name}.")


MODE_CHECKS: tuple[Callable[[Any], None], ...] = (
    check_tempered_posterior,
    check_hard_posterior,
    check_drawn_posterior,
    check_known_labels,
    check_label_of_impossible_row,
    check_modes_of_extreme_rows,
    check_modes_change_nothing,
)
