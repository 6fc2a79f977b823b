"""The laws of a latent structure, whose unit is the row or, by those in ``_chain.py``, the sequence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
from scipy.special import logsumexp, xlogy

from ..em.statistics import Statistics, combine
from ..exceptions import DomainError
from ..latent import ChainParameters
from ._chain import CHAIN_CHECKS, ChainCase
from ._hold import close, hold, one_by_one, rank_gap, run_all, same_statistics, snapshot
from ._modes import MODE_CHECKS

__all__ = ["check_latent", "latent_checks"]


class LatentCase:
    """A latent structure, its parameters, and log-densities of a few rows."""

    def __init__(self, latent: Any, weights: Any) -> None:
        self.latent = latent
        self.weights = np.asarray(weights, dtype=np.float64)
        self.K = len(self.weights)

    def log_density(self, n: int, seed: int = 0) -> np.ndarray:
        """Log-densities as different rows and components have them."""
        rng = np.random.RandomState(seed)
        return 3.0 * rng.standard_normal((n, self.K)) - 5.0 * rng.gamma(1.0, size=(n, 1))

    # what the laws of modes ask, whatever the unit

    def posterior(
        self, log_density: np.ndarray, sample_weight: Any = None, ends: Any = None, **more: Any
    ) -> Any:
        return self.latent.posterior(self.weights, log_density, sample_weight, **more)

    def oracle(self, log_density: np.ndarray, temperature: float = 1.0) -> tuple[np.ndarray, float]:
        """Posterior and free energy by enumeration."""
        power = 1.0 / temperature
        posterior, total = self.latent.enumerate(self.weights**power, power * log_density)
        return posterior, temperature * total

    def counts(self, log_density: np.ndarray, temperature: float) -> None:
        """There are no transitions."""


def check_latent(
    latent: Any, parameters: Any = (0.2, 0.5, 0.3), *, skip: Collection[str] = ()
) -> None:
    """Hold a latent structure to its laws.

    Parameters
    ----------
    latent : Labels, Chain or the like
        Its unit is the row; with the parameters of a chain it is the sequence.
    parameters : array-like of shape (K,) or ChainParameters, default=(0.2, 0.5, 0.3)
        Weights, or the probabilities of a chain, inside their domain, of few components: the oracle sums over all
        configurations. A chain has zeros where it allows no transition, and nowhere else.
    skip : collection of str, default=()
        Names of checks to leave out.

    Raises
    ------
    AssertionError
        With the laws that do not hold, and by how much.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.latent import Chain, ChainParameters, Labels
    >>> from emlearn.testing import check_latent
    >>> check_latent(Labels())
    >>> transmat = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> check_latent(Chain(), ChainParameters(np.array([0.5, 0.5]), transmat))
    """
    run_all(latent_checks(latent, parameters, skip=skip), latent)


def latent_checks(
    latent: Any, parameters: Any = (0.2, 0.5, 0.3), *, skip: Collection[str] = ()
) -> Iterator[tuple[str, Callable[[], None]]]:
    """The checks of :func:`check_latent`, one by one.

    Yields
    ------
    name : str
    check : callable
        Without arguments; raises ``AssertionError`` if the law does not hold.
    """
    if isinstance(parameters, ChainParameters):
        yield from one_by_one(CHAIN_CHECKS, ChainCase(latent, parameters), skip)
    else:
        yield from one_by_one(CHECKS, LatentCase(latent, parameters), skip)


# ---------------------------------------------------------------- posterior


def check_posterior_sums_to_sample_weight(case: LatentCase) -> None:
    """A row's posterior sums to its sample weight; counts are sums of posteriors."""
    log_density = case.log_density(40)
    sample_weight = np.random.RandomState(1).gamma(1.0, size=40)
    sample_weight[::7] = 0.0
    for given, expected in ((None, np.ones(40)), (sample_weight, sample_weight)):
        posterior, statistics, rows = case.latent.posterior(case.weights, log_density, given)
        hold(
            posterior.shape == (40, case.K) and rows.shape == (40,),
            f"posterior: shapes (40, {case.K}) and (40,) are expected, got {posterior.shape}, {rows.shape}.",
        )
        hold(isinstance(statistics, Statistics), "posterior: Statistics are expected, second.")
        hold(np.all(posterior >= 0), f"posterior: the lowest is {posterior.min():g}.")
        close(posterior.sum(axis=1), expected, "sums of the posterior and sample weights", 1e-12)
    close(
        case.latent.posterior(case.weights, log_density, sample_weight)[2],
        case.latent.posterior(case.weights, log_density, None)[2],
        "row log-likelihoods with sample weights and without",
        1e-12,
    )


def check_posterior_agrees_with_enumeration(case: LatentCase) -> None:
    """Posterior and log-likelihood are sums over all configurations."""
    for n in (1, 2, 5):
        log_density = case.log_density(n, seed=n)
        posterior, _, rows = case.latent.posterior(case.weights, log_density, None)
        expected, total = case.latent.enumerate(case.weights, log_density)
        close(posterior, expected, f"posterior of {n} rows and by enumeration")
        close(rows.sum(), total, f"log-likelihood of {n} rows and by enumeration")


def check_posterior_of_extreme_rows(case: LatentCase) -> None:
    """Impossible components and densities of any size leave the posterior finite."""
    log_density = case.log_density(8)
    log_density[0, 0] = -np.inf
    log_density[1, 1:] = -np.inf
    log_density[2] = -np.inf
    log_density[3] = -1e300
    log_density[4] = 1e300
    log_density[5, 0] = 1e300
    log_density[6] -= 1e5
    log_density[7] += 1e5
    with np.errstate(all="ignore"):
        posterior, _, rows = case.latent.posterior(case.weights, log_density, None)
    hold(np.isfinite(posterior).all(), "posterior: it is not finite for extreme densities.")
    close(posterior.sum(axis=1), np.ones(8), "sums of the posterior of extreme rows", 1e-12)
    hold(posterior[0, 0] == 0.0, "posterior: an impossible component has a posterior above 0.")
    close(posterior[1], np.eye(case.K)[0], "posterior of a row that one component alone can have")
    hold(rows[2] == -np.inf, f"posterior: an impossible row has the log-likelihood {rows[2]:g}.")
    hold(not np.isnan(rows).any(), "posterior: a log-likelihood is NaN.")
    for i, shift in ((6, -1e5), (7, 1e5)):
        plain = logsumexp(log_density[i] - shift + np.log(case.weights))
        close(rows[i] - shift, plain, "log-likelihood of a row far up or down", 1e-8)


def check_component_of_weight_zero(case: LatentCase) -> None:
    """A component of weight 0 has no row, whatever its density."""
    weights = case.weights.copy()
    weights[0] = 0.0
    weights /= weights.sum()
    log_density = case.log_density(20)
    log_density[:, 0] += 1e3
    posterior, _, rows = case.latent.posterior(weights, log_density, None)
    hold(
        np.all(posterior[:, 0] == 0.0) and np.isfinite(rows).all(),
        f"posterior: a component of weight 0 has up to {posterior[:, 0].max():g} of a row.",
    )


# --------------------------------------------------------------- statistics


def check_latent_statistics_add_up(case: LatentCase) -> None:
    """Statistics and log-likelihoods of rows are those of their parts; a weight of 2 is two rows."""
    log_density = case.log_density(30)
    _, whole, rows = case.latent.posterior(case.weights, log_density, None)
    _, first, rows_first = case.latent.posterior(case.weights, log_density[:11], None)
    _, second, rows_second = case.latent.posterior(case.weights, log_density[11:], None)
    same_statistics(first + second, whole, whole, "statistics of two parts and of the whole")
    close(np.r_[rows_first, rows_second], rows, "row log-likelihoods of two parts")
    counts = np.random.RandomState(2).randint(0, 4, size=30)
    weighed = case.latent.posterior(case.weights, log_density, counts.astype(np.float64))[1]
    repeated = case.latent.posterior(case.weights, np.repeat(log_density, counts, axis=0), None)[1]
    same_statistics(weighed, repeated, whole, "statistics of weighted and of repeated rows")


# ------------------------------------------------------------------- M-step


def check_latent_m_step_maximises(case: LatentCase) -> None:
    """No other weights have a higher expected log-likelihood, with the prior and without."""
    posterior, statistics, _ = case.latent.posterior(case.weights, case.log_density(60), None)
    counts = posterior.sum(axis=0)
    rng = np.random.RandomState(3)

    def value(weights: np.ndarray, concentration: float | None) -> float:
        return float(xlogy(counts, weights).sum()) + case.latent.log_prior(weights, concentration)

    for concentration in (None, 1.0, 3.5):
        best = case.latent.m_step(statistics, concentration)
        close(best.sum(), 1.0, "sum of the weights after an M-step", 1e-12)
        here = value(best, concentration)
        for size in (1e4, 300.0, 10.0):
            for other in rng.dirichlet(1e-2 + size * best, size=20):
                gain = value(other, concentration) - here
                hold(
                    gain <= 1e-9 * (1.0 + abs(here)),
                    f"the M-step of the weights (concentration {concentration}) is no maximiser:"
                    f" {other.round(6).tolist()} is better than {best.round(6).tolist()} by {gain:.4g}.",
                )
    hold(case.latent.log_prior(best, None) == 0.0, "log_prior: without a prior it is not 0.")


# ------------------------------------------------------ samples, parameters


def check_latent_sample(case: LatentCase) -> None:
    """Counts of components are drawn with the weights, in float32 too."""
    n = 100_000
    for weights in (case.weights, case.weights.astype(np.float32)):
        counts = case.latent.sample(weights, n, np.random.RandomState(4))
        hold(
            counts.sum() == n and counts.shape == (case.K,),
            f"sample: {counts.tolist()} are not the counts of {n} rows.",
        )
        z = (counts - n * case.weights) / np.sqrt(n * case.weights * (1 - case.weights))
        hold(
            np.abs(z).max() < 5.5,
            f"sample: {counts.tolist()} of {n} rows do not have the weights {case.weights.tolist()}"
            f" ({np.abs(z).max():.1f} standard errors).",
        )


def check_latent_n_free(case: LatentCase) -> None:
    """n_free is the rank of what statistics can do to the log-likelihoods."""
    log_density = case.log_density(50)
    _, statistics, _ = case.latent.posterior(case.weights, log_density, None)
    declared = case.latent.n_free(case.weights)
    rng = np.random.RandomState(5)
    directions = []
    for _ in range(declared + 6):
        weight = rng.gamma(1.0, size=50)
        other = case.latent.posterior(case.weights, log_density, weight)[1]
        ends = []
        for size in (1e-4, -1e-4):
            try:
                moved = case.latent.m_step(combine([1.0 - size, size], [statistics, other]))
            except DomainError:
                continue
            ends.append(case.latent.posterior(moved, log_density, None)[2])
        directions.append((ends[0] - ends[1]) / max(np.linalg.norm(ends[0] - ends[1]), 1e-300))
    rank, values = rank_gap(np.array(directions))
    hold(
        rank == declared,
        f"n_free is {declared}, but the log-likelihood has {rank} free parameters (singular values"
        f" {', '.join(f'{value:.1e}' for value in values[: rank + 2])}).",
    )


def check_latent_changes_nothing(case: LatentCase) -> None:
    """No method writes to its arguments."""
    log_density, weights = case.log_density(10), case.weights.copy()
    sample_weight = np.full(10, 2.0)
    given = (log_density, weights, sample_weight)
    before = [snapshot(value) for value in given]
    _, statistics, _ = case.latent.posterior(weights, log_density, sample_weight)
    kept = snapshot(statistics)
    case.latent.m_step(statistics, 2.0)
    case.latent.log_prior(weights, 2.0)
    case.latent.sample(weights, 10, np.random.RandomState(0))
    case.latent.n_free(weights)
    case.latent.enumerate(weights, log_density[:3])
    for name, value, was in zip(
        ("log_density", "weights", "sample_weight"), given, before, strict=True
    ):
        hold(snapshot(value) == was, f"a method writes to {name}.")
    hold(snapshot(statistics) == kept, "m_step writes to the statistics.")


CHECKS: tuple[Callable[[LatentCase], None], ...] = (
    check_posterior_sums_to_sample_weight,
    check_posterior_agrees_with_enumeration,
    check_posterior_of_extreme_rows,
    check_component_of_weight_zero,
    check_latent_statistics_add_up,
    check_latent_m_step_maximises,
    check_latent_sample,
    check_latent_n_free,
    check_latent_changes_nothing,
    *MODE_CHECKS,
)
