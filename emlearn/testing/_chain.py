"""The laws of a latent structure whose unit is the sequence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import xlogy

from ..em.statistics import Statistics, Sums, combine
from ..exceptions import DomainError
from ..latent import ChainParameters, ChainPrior, Paths
from ._hold import close, hold, rank_gap, same_statistics, snapshot
from ._modes import MODE_CHECKS

__all__ = ["CHAIN_CHECKS", "ChainCase"]


class ChainCase:
    """A chain, its parameters, and log-densities of a few sequences."""

    def __init__(self, latent: Any, parameters: ChainParameters) -> None:
        self.latent, self.parameters = latent, parameters
        self.K = len(parameters.startprob)
        self.lengths = np.array([5, 1, 9, 2, 23])
        self.ends = np.cumsum(self.lengths)
        self.n = int(self.ends[-1])

    def log_density(self, n: int | None = None, seed: int = 0) -> np.ndarray:
        """Log-densities as different rows and states have them."""
        rng, n = np.random.RandomState(seed), self.n if n is None else n
        return 2.0 * rng.standard_normal((n, self.K)) - 5.0 * rng.gamma(1.0, size=(n, 1))

    def posterior(
        self, log_density: np.ndarray, sample_weight: Any = None, ends: Any = None, **more: Any
    ) -> tuple[np.ndarray, Sums, np.ndarray]:
        return self.latent.posterior(self.parameters, log_density, sample_weight, ends, **more)

    def tempered(self, log_density: np.ndarray, temperature: float) -> Paths:
        """What all paths add up to where each has the power 1 / temperature of its density."""
        power = 1.0 / temperature
        start, square = self.parameters.startprob, self.parameters.transmat
        return self.latent.enumerate(
            ChainParameters(start**power, square**power), power * log_density
        )

    def oracle(self, log_density: np.ndarray, temperature: float = 1.0) -> tuple[np.ndarray, float]:
        """Posterior and free energy by enumeration."""
        paths = self.tempered(log_density, temperature)
        return paths.posterior, temperature * paths.total

    def counts(self, log_density: np.ndarray, temperature: float) -> np.ndarray:
        """Expected transitions by enumeration."""
        return self.tempered(log_density, temperature).transitions

    def priors(self) -> list[ChainPrior | None]:
        """No prior, one that says nothing, and one that says something else of each transition."""
        K, rng = self.K, np.random.RandomState(7)
        uneven = ChainPrior(1.0 + rng.gamma(2.0, size=K), 1.0 + rng.gamma(2.0, size=(K, K)))
        return [None, ChainPrior(np.ones(K), np.ones((K, K))), uneven]


# ---------------------------------------------------------------- posterior


def check_posterior_sums_to_weight_of_sequence(case: ChainCase) -> None:
    """A row's posterior sums to the weight of its sequence; counts are sums of posteriors."""
    log_density = case.log_density()
    weights = np.repeat([0.5, 2.0, 0.0, 1.0, 3.0], case.lengths)
    first, last = np.r_[0, case.ends[:-1]], case.ends - 1
    for given, expected in ((None, np.ones(case.n)), (weights, weights)):
        posterior, statistics, rows = case.posterior(log_density, given, case.ends)
        hold(
            posterior.shape == (case.n, case.K) and rows.shape == (case.n,),
            f"posterior: shapes ({case.n}, {case.K}) and ({case.n},) are expected, got {posterior.shape},"
            f" {rows.shape}.",
        )
        hold(isinstance(statistics, Statistics), "posterior: Statistics are expected, second.")
        hold(np.all(posterior >= 0), f"posterior: the lowest is {posterior.min():g}.")
        close(posterior.sum(axis=1), expected, "sums of the posterior and sample weights", 1e-12)
        start, moves = statistics["start"], statistics["transitions"]
        close(start, posterior[first].sum(axis=0), "counts of first states", 1e-12)
        leaving = np.delete(posterior, last, axis=0).sum(axis=0)
        close(moves.sum(axis=1), leaving, "transitions from each state", 1e-12)
        arriving = np.delete(posterior, first, axis=0).sum(axis=0)
        close(moves.sum(axis=0), arriving, "transitions to each state", 1e-12)
    alone = case.posterior(log_density, None, case.ends)[2]
    weighed = case.posterior(log_density, weights, case.ends)[2]
    close(weighed, alone, "row log-likelihoods with sample weights and without", 1e-12)


def check_sequences_agree_with_enumeration(case: ChainCase) -> None:
    """Posterior, transitions, filter, best path and log-likelihood are sums over all paths."""
    # where densities say little, the transitions decide
    for seed, (n, size) in enumerate([(1, 1.0), (2, 1.0), (5, 1.0), (5, 0.2), (6, 0.2)]):
        log_density = size * case.log_density(n, seed=seed)
        posterior, statistics, rows = case.posterior(log_density)
        paths = case.latent.enumerate(case.parameters, log_density)
        close(posterior, paths.posterior, f"posterior of {n} rows and by enumeration")
        close(statistics["transitions"], paths.transitions, f"transitions of {n} rows")
        close(statistics["start"], paths.posterior[0], f"first states of {n} rows")
        close(rows.sum(), paths.total, f"log-likelihood of {n} rows and by enumeration")
        best, value = case.latent.decode(case.parameters, log_density)
        close(value, [paths.best_value], f"log-probability of the best path of {n} rows")
        with np.errstate(divide="ignore"):
            start, step = np.log(case.parameters.startprob), np.log(case.parameters.transmat)
        found = start[best[0]] + log_density[np.arange(n), best].sum()
        found += step[best[:-1], best[1:]].sum()
        close(found, paths.best_value, f"what the best path of {n} rows is worth")
        filtered, forward = case.latent.filter(case.parameters, log_density)
        prefixes = [case.latent.enumerate(case.parameters, log_density[: t + 1]) for t in range(n)]
        expected = [prefix.posterior[-1] for prefix in prefixes]
        close(filtered, expected, f"filter of {n} rows and by enumeration")
        totals = np.diff([0.0] + [prefix.total for prefix in prefixes])
        close(forward, totals, f"row log-likelihoods of {n} rows by the filter")
        close(rows, totals, f"row log-likelihoods of {n} rows")


def check_posterior_of_extreme_sequences(case: ChainCase) -> None:
    """Impossible rows and densities of any size leave the posterior finite."""
    log_density = case.log_density()
    log_density[7, 1:] = -np.inf
    log_density[9] = -np.inf
    log_density[16] = -1e300
    log_density[20] = 1e300
    log_density[25] -= 1e5
    log_density[30] += 1e5
    answers = [case.posterior(log_density, None, case.ends)]
    answers.append(case.latent.filter(case.parameters, log_density, case.ends))
    for posterior, *_, rows in answers:
        hold(np.isfinite(posterior).all(), "posterior: it is not finite for extreme densities.")
        close(posterior.sum(axis=1), np.ones(case.n), "sums of the posterior", 1e-12)
        hold(rows[9] == -np.inf, f"an impossible row has the log-likelihood {rows[9]:g}.")
        hold(not np.isnan(rows).any(), "a log-likelihood is NaN.")
    best, _ = case.latent.decode(case.parameters, log_density, case.ends)
    hold(np.all((best >= 0) & (best < case.K)), "decode: a path has states that there are not.")
    plain = case.log_density()
    shift = np.random.RandomState(3).choice([-1e5, 0.0, 1e5], size=(case.n, 1))
    there, here = (case.posterior(t, None, case.ends) for t in (plain + shift, plain))
    close(there[0], here[0], "posterior of rows far up or down", 1e-6)
    close(there[2] - shift[:, 0], here[2], "log-likelihoods of rows far up or down", 1e-6)


def check_impossible_transitions(case: ChainCase) -> None:
    """Where a beginning or a transition has probability 0, nothing is expected of it, whatever the densities."""
    K, rng = case.K, np.random.RandomState(4)
    if K == 1:  # which is certain
        return
    startprob, transmat = rng.dirichlet(np.ones(K)), rng.dirichlet(np.ones(K), size=K)
    startprob[0] = 0.0
    transmat[np.arange(K), (np.arange(K) + 1) % K] = 0.0
    parameters = ChainParameters(
        startprob / startprob.sum(), transmat / transmat.sum(axis=1, keepdims=True)
    )
    log_density = case.log_density(20)
    log_density[:, 0] += 300.0
    posterior, statistics, rows = case.latent.posterior(parameters, log_density)
    hold(
        np.isfinite(rows).all(),
        "posterior: possible rows have a log-likelihood that is not finite.",
    )
    hold(posterior[0, 0] == 0.0 == statistics["start"][0], "posterior: an impossible beginning.")
    moves = statistics["transitions"][parameters.transmat == 0]
    hold(np.all(moves == 0.0), f"posterior: {moves.max():g} of an impossible transition.")
    path, _ = case.latent.decode(parameters, log_density)
    steps = parameters.transmat[path[:-1], path[1:]]
    hold(path[0] != 0 and np.all(steps > 0), "decode: the path has an impossible transition.")


def check_filter_never_looks_ahead(case: ChainCase) -> None:
    """Rows that come later change no bit of the filter."""
    log_density = case.log_density(60)
    log_density[30:] *= 100.0
    filtered, rows = case.latent.filter(case.parameters, log_density)
    for n in (1, 2, 30, 31, 59):
        found = case.latent.filter(case.parameters, log_density[:n])
        hold(
            np.array_equal(found[0], filtered[:n]) and np.array_equal(found[1], rows[:n]),
            f"filter: of {n} rows it is another than of the first {n} of 60.",
        )


# --------------------------------------------------------------- statistics


def check_chain_statistics_add_up(case: ChainCase) -> None:
    """Statistics of sequences are the sum of those of each; a sequence of weight 2 is two."""
    log_density = case.log_density()
    posterior, whole, rows = case.posterior(log_density, None, case.ends)
    parts = [case.posterior(part) for part in np.split(log_density, case.ends[:-1])]
    total = parts[0][1]
    for _, part, _ in parts[1:]:
        total = total + part
    same_statistics(total, whole, whole, "statistics of all sequences and of each")
    close(posterior, np.concatenate([part[0] for part in parts]), "posterior of each sequence")
    close(rows, np.concatenate([part[2] for part in parts]), "log-likelihoods of each sequence")
    counts = np.array([2, 0, 1, 3, 1])
    weighed = case.posterior(log_density, np.repeat(counts.astype(float), case.lengths), case.ends)
    blocks = np.split(log_density, case.ends[:-1])
    repeated = [block for block, count in zip(blocks, counts, strict=True) for _ in range(count)]
    lengths = [len(block) for block in repeated]
    again = case.posterior(np.concatenate(repeated), None, np.cumsum(lengths))[1]
    same_statistics(weighed[1], again, whole, "statistics of weighted and of repeated sequences")


# ------------------------------------------------------------------- M-step


def check_chain_m_step_maximises(case: ChainCase) -> None:
    """No other probabilities have a higher expected log-density, with a prior and without."""
    statistics = case.posterior(case.log_density(), None, case.ends)[1]
    rng = np.random.RandomState(3)

    def value(parameters: ChainParameters, prior: ChainPrior | None) -> float:
        expected = xlogy(statistics["start"], parameters.startprob).sum()
        expected += xlogy(statistics["transitions"], parameters.transmat).sum()
        return float(expected) + case.latent.log_prior(parameters, prior)

    def beside(p: np.ndarray, size: float) -> np.ndarray:
        out = np.zeros_like(p)
        out[p > 0] = rng.dirichlet(1e-2 + size * p[p > 0])
        return out

    for number, prior in enumerate(case.priors()):
        best = case.latent.m_step(statistics, prior, case.parameters)
        close(best.startprob.sum(), 1.0, "sum of the start probabilities after an M-step", 1e-12)
        close(best.transmat.sum(axis=1), np.ones(case.K), "sums of the rows of transitions", 1e-12)
        for name in ("startprob", "transmat"):
            never = getattr(case.parameters, name) == 0
            if case.latent.allowed is not None or prior is None:
                hold(np.all(getattr(best, name)[never] == 0), f"M-step: {name} leaves a 0.")
        here = value(best, prior)
        for size in (1e4, 300.0, 10.0):
            for _ in range(20):
                other = ChainParameters(
                    beside(best.startprob, size),
                    np.array([beside(row, size) for row in best.transmat]),
                )
                gain = value(other, prior) - here
                hold(
                    gain <= 1e-9 * (1.0 + abs(here)),
                    f"the M-step of a chain (prior {number}) is no maximiser: others are better by {gain:.4g}.",
                )
    hold(case.latent.log_prior(best, None) == 0.0, "log_prior: without a prior it is not 0.")
    nothing = Sums({name: np.zeros_like(value) for name, value in statistics.arrays.items()})
    kept = case.latent.m_step(nothing, None, case.parameters)
    for name in ("startprob", "transmat"):
        close(getattr(kept, name), getattr(case.parameters, name), f"{name} of no sequence", 1e-15)


def check_step_of_em_gains(case: ChainCase) -> None:
    """The objective never falls from one step to the next, with a prior and without."""
    log_density = case.log_density()
    for prior in case.priors():
        parameters, before = case.parameters, -np.inf
        for _ in range(10):
            _, statistics, rows = case.latent.posterior(parameters, log_density, None, case.ends)
            value = rows.sum() + case.latent.log_prior(parameters, prior)
            hold(value >= before - 1e-9 * (1 + abs(value)), f"EM falls by {before - value:.4g}.")
            parameters, before = case.latent.m_step(statistics, prior, parameters), value


# ------------------------------------------------------ samples, parameters


def check_chain_sample(case: ChainCase) -> None:
    """First states and transitions are drawn with their probabilities."""
    lengths = np.full(20_000, 6)
    states = case.latent.sample(case.parameters, lengths, np.random.RandomState(4))
    hold(states.shape == (120_000,), f"sample: {states.shape} are not 120000 states.")
    paths = states.reshape(-1, 6)
    moves = np.zeros((case.K, case.K))
    np.add.at(moves, (paths[:, :-1].ravel(), paths[:, 1:].ravel()), 1.0)
    first = np.bincount(paths[:, 0], minlength=case.K).astype(float)
    for what, counts, p in (
        ("first states", first[None], case.parameters.startprob[None]),
        ("transitions", moves, case.parameters.transmat),
    ):
        hold(np.all(counts[p == 0] == 0), f"sample: {what} that have probability 0.")
        n = counts.sum(axis=1, keepdims=True)
        z = np.abs(counts - n * p) / np.sqrt(np.maximum(n * p * (1 - p), 1.0))
        hold(
            z.max() < 5.5,
            f"sample: {what} do not have their probabilities ({z.max():.1f} standard errors).",
        )


def check_chain_n_free(case: ChainCase) -> None:
    """n_free is the rank of what statistics can do to the log-likelihoods."""
    lengths = np.full(60, 4)
    ends, log_density = np.cumsum(lengths), case.log_density(240)
    statistics = case.posterior(log_density, None, ends)[1]
    declared = case.latent.n_free(case.parameters)
    rng = np.random.RandomState(5)
    directions = []
    for _ in range(declared + 6):
        weight = np.repeat(rng.gamma(1.0, size=60), lengths)
        other = case.posterior(log_density, weight, ends)[1]
        pair = []
        for size in (1e-4, -1e-4):
            try:
                moved = combine([1.0 - size, size], [statistics, other])
            except DomainError:
                continue
            parameters = case.latent.m_step(moved, None, case.parameters)
            pair.append(case.latent.posterior(parameters, log_density, None, ends)[2])
        directions.append((pair[0] - pair[1]) / max(np.linalg.norm(pair[0] - pair[1]), 1e-300))
    rank, values = rank_gap(np.array(directions))
    hold(
        rank == declared,
        f"n_free is {declared}, but the log-likelihood has {rank} free parameters (singular values"
        f" {', '.join(f'{value:.1e}' for value in values[: rank + 2])}).",
    )


def check_stationary_distribution(case: ChainCase) -> None:
    """A step of the chain does not change it."""
    stationary = case.latent.stationary(case.parameters)
    close(stationary.sum(), 1.0, "sum of the stationary distribution", 1e-12)
    hold(np.all(stationary >= 0), f"stationary: the lowest is {stationary.min():g}.")
    close(stationary @ case.parameters.transmat, stationary, "stationary distribution", 1e-12)


def check_chain_changes_nothing(case: ChainCase) -> None:
    """No method writes to its arguments."""
    log_density, weights = case.log_density(), np.full(case.n, 2.0)
    parameters = ChainParameters(
        *(getattr(case.parameters, f.name).copy() for f in dataclasses.fields(case.parameters))
    )
    given = {
        "log_density": log_density,
        "sample_weight": weights,
        "startprob": parameters.startprob,
        "transmat": parameters.transmat,
        "ends": case.ends,
        "lengths": case.lengths,
    }
    before = {name: snapshot(value) for name, value in given.items()}
    latent, prior = case.latent, case.priors()[-1]
    _, statistics, _ = latent.posterior(parameters, log_density, weights, case.ends)
    kept = snapshot(statistics)
    latent.filter(parameters, log_density, case.ends)
    latent.decode(parameters, log_density, case.ends)
    latent.enumerate(parameters, log_density[:3])
    latent.m_step(statistics, prior, parameters)
    latent.log_prior(parameters, prior)
    latent.sample(parameters, case.lengths, np.random.RandomState(0))
    latent.n_free(parameters)
    latent.stationary(parameters)
    for name, value in given.items():
        hold(snapshot(value) == before[name], f"a method writes to {name}.")
    hold(snapshot(statistics) == kept, "m_step writes to the statistics.")


CHAIN_CHECKS: tuple[Callable[[ChainCase], None], ...] = (
    check_posterior_sums_to_weight_of_sequence,
    check_sequences_agree_with_enumeration,
    check_posterior_of_extreme_sequences,
    check_impossible_transitions,
    check_filter_never_looks_ahead,
    check_chain_statistics_add_up,
    check_chain_m_step_maximises,
    check_step_of_em_gains,
    check_chain_sample,
    check_chain_n_free,
    check_stationary_distribution,
    check_chain_changes_nothing,
    *MODE_CHECKS,
)
