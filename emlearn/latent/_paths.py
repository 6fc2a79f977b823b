"""Posteriors of a Markov chain that are not the plain one: tempered, its best path, a path drawn from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from .._kernels import chain as kernel
from .._kernels import chain_twin as twin
from ._modes import draw

__all__ = ["Power", "best_path", "count_path", "draw_path", "temper"]

# most numbers of a table of draws, and most states for which a table is less work than one row after the other
_TABLE, _FEW = 2**17, 48

# least probability, given the rows before, of the state that a draw goes on to: beside it the rounding of what
# the filter has is small
_SURE = 1e-10


class Power(NamedTuple):
    """A chain whose joint density is a power of that of another, short of a constant for each sequence.

    Attributes
    ----------
    startprob, log_startprob : ndarray of shape (K,)
    transmat, log_transmat : ndarray of shape (K, K)
    constant : float
        Logarithm of the factor that each sequence is short of.
    cold : bool
        Whether there are probabilities that logarithms alone can hold.
    """

    startprob: np.ndarray
    transmat: np.ndarray
    log_startprob: np.ndarray
    log_transmat: np.ndarray
    constant: float = 0.0
    cold: bool = False


def temper(
    table: np.ndarray,
    ends: np.ndarray,
    startprob: np.ndarray,
    transmat: np.ndarray,
    temperature: float,
) -> Power:
    """The chain of the power 1 / temperature.

    Powers of probabilities do not sum to 1: what the rows of the matrix sum to goes into the densities of the
    rows that another row follows.

    Parameters
    ----------
    table : ndarray of shape (n, K)
        Log-densities; becomes those of the new chain.
    ends : ndarray of shape (S,)
    startprob : ndarray of shape (K,)
    transmat : ndarray of shape (K, K)
    temperature : float

    Returns
    -------
    Power
    """
    log_start, log_transmat = _log(startprob), _log(transmat)
    if temperature == 1.0:
        return Power(startprob, transmat, log_start, log_transmat)
    table /= temperature
    log_start, log_transmat = log_start / temperature, log_transmat / temperature
    constant, sums = float(logsumexp(log_start)), logsumexp(log_transmat, axis=1)
    last = table[ends - 1].copy()
    table += sums
    table[ends - 1] = last
    log_start, log_transmat = log_start - constant, log_transmat - sums[:, None]
    powers = np.exp(log_start), np.exp(log_transmat)
    cold = any(
        np.any((power < np.finfo(np.float64).tiny) & (p > 0))
        for power, p in zip(powers, (startprob, transmat), strict=True)
    )
    return Power(*powers, log_start, log_transmat, constant, cold)


def _log(p: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(p)


def best_path(
    table: np.ndarray, ends: np.ndarray, startprob: np.ndarray, transmat: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable path (n,), and for each row what it adds to the joint log-density of path and rows (n,)."""
    log_start, log_transmat = _log(startprob), _log(transmat)
    states, _ = kernel.viterbi(table, ends, log_start, log_transmat)
    density = table[np.arange(len(table)), states]
    rows = np.where(density > -np.inf, density, -np.inf)  # NaN is not
    begins = np.r_[0, ends[:-1]]
    steps = np.empty(len(table))
    steps[1:] = log_transmat[states[:-1], states[1:]]
    steps[begins] = log_start[states[begins]]
    return states, rows + steps


def count_path(
    states: np.ndarray,
    ends: np.ndarray,
    sample_weight: np.ndarray | None,
    startprob: np.ndarray,
    transmat: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """First states (K,) and transitions (K, K) of a path, times the weight of its sequence.

    Of what has no probability, where a chain begins afresh, nothing is counted.
    """
    K = len(startprob)
    weight = np.ones(len(states)) if sample_weight is None else sample_weight
    begins = np.r_[0, ends[:-1]]
    start = np.bincount(states[begins], weight[begins], K)
    inside = np.ones(len(states), dtype=bool)
    inside[begins] = False
    later = np.flatnonzero(inside)
    pairs = states[later - 1] * K + states[later]
    transitions = np.bincount(pairs, weight[later], K * K).reshape(K, K)
    return np.where(startprob > 0, start, 0.0), np.where(transmat > 0, transitions, 0.0)


# ---------------------------------------------------------------- draws


def draw_path(
    table: np.ndarray, ends: np.ndarray, chain: Power, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A path (n,) from its posterior, and log-likelihoods (n,) of the rows: filter ahead, draw backward.

    Given the state of the next row, the rows from there on say nothing more: the state of a row has the
    probabilities of the filter times those of the transition.

    References
    ----------
    Chib, S. (1996). Calculating posterior distributions and modal estimates in Markov mixture models.
    Journal of Econometrics 75(1), 79-97.
    """
    n, K = table.shape
    uniform, states = generator.random(n), np.empty(n, dtype=np.int64)
    if chain.cold:
        rows, sure = np.empty(n), np.zeros(n, dtype=bool)
    else:
        filtered = table.copy()
        rows = kernel.filter(filtered, ends, chain.startprob, chain.transmat)
        draws = _look_up if K <= _FEW else _row_by_row
        sure = draws(filtered, ends, chain.transmat, uniform, states)
    if not sure.all():  # of numbers that are too small to be seen beside others
        for unit in np.unique(np.searchsorted(ends, np.flatnonzero(~sure), side="right")):
            here = slice(ends[unit - 1] if unit else 0, ends[unit])
            states[here], rows[here] = _draw_in_logs(table[here], chain, uniform[here])
    return states, rows


def _row_by_row(
    filtered: np.ndarray,
    ends: np.ndarray,
    transmat: np.ndarray,
    uniform: np.ndarray,
    states: np.ndarray,
) -> np.ndarray:
    """Fill the path; whether (n,) each row's draw was from numbers that are sure."""
    sure = np.ones(len(filtered), dtype=bool)

    def column(t: int, state: int) -> np.ndarray:
        p = filtered[t] * transmat[:, state]
        sure[t] = p.sum() > _SURE
        return p if sure[t] else filtered[t]

    for begin, end in zip(np.r_[0, ends[:-1]], ends, strict=True):
        _walk(column, filtered[end - 1], slice(begin, end), uniform, states)
    return sure


def _look_up(
    filtered: np.ndarray,
    ends: np.ndarray,
    transmat: np.ndarray,
    uniform: np.ndarray,
    states: np.ndarray,
) -> np.ndarray:
    """The same, in less time where there are few states."""
    n, K = filtered.shape
    last = np.zeros(n, dtype=bool)
    last[ends - 1] = True
    sure = np.empty(n, dtype=bool)
    state, size = 0, _TABLE // (K + 8)
    for stop in range(n, 0, -size):
        rows = slice(max(stop - size, 0), stop)
        # where each state of the next row would lead: the loop only looks it up
        table, safe = _origins(filtered[rows], transmat, last[rows], uniform[rows])
        origins, path, following = table.tobytes(), [], state
        for row in range(len(table) * K - K, -1, -K):
            state = origins[row + state]
            path.append(state)
        states[rows] = path[::-1]
        sure[rows] = safe[np.arange(len(safe)), np.append(states[rows][1:], following)]
    return sure


def _origins(
    filtered: np.ndarray, transmat: np.ndarray, last: np.ndarray, uniform: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each row and each state of the next the state that is drawn, and whether that is sure: (rows, K) each."""
    n, K = filtered.shape
    p = np.ascontiguousarray(filtered.T)
    table, sure = np.zeros((K, n), dtype=np.uint8), np.empty((K, n), dtype=bool)
    edges = np.empty((K, n))
    for j in range(K):
        np.multiply(p, transmat[:, j, None], out=edges)
        for k in range(1, K):
            edges[k] += edges[k - 1]
        goal = uniform * edges[-1]
        for edge in edges[:-1]:
            table[j] += edge <= goal
        np.greater(edges[-1], _SURE, out=sure[j])
    # the last row of a sequence is drawn from the filter, whatever comes next
    table[:, last] = draw(filtered[last], uniform[last])
    sure[:, last] = True
    return np.ascontiguousarray(table.T), sure.T


def _walk(
    column: Callable[[int, int], np.ndarray],
    end: np.ndarray,
    rows: slice,
    uniform: np.ndarray,
    states: np.ndarray,
) -> None:
    """Fill the path of one sequence, row after row from the end; ``column`` has the shares of a row's states."""
    p = end
    for t in range(rows.stop - 1, rows.start - 1, -1):
        edges = np.cumsum(p)
        states[t] = state = np.searchsorted(edges, uniform[t] * edges[-1], side="right")
        if t > rows.start:
            p = column(t - 1, state)


def _draw_in_logs(
    table: np.ndarray, chain: Power, uniform: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A path of one sequence, and log-likelihoods of its rows."""
    filtered, rows = twin.filter_of_logs(table, chain.log_startprob, chain.log_transmat)

    def column(t: int, state: int) -> np.ndarray:
        logs = filtered[t] + chain.log_transmat[:, state]
        if logs.max() == -np.inf:  # the chain begins afresh
            logs = filtered[t]
        return np.exp(logs - logs.max())

    states = np.empty(len(table), dtype=np.int64)
    _walk(column, np.exp(filtered[-1]), slice(0, len(table)), uniform, states)
    return states, rows
