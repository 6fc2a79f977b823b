"""Markov chains: the latent structure of a hidden Markov model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.special import gammaln, logsumexp, xlogy

from .._kernels import chain as kernel
from .._kernels import chain_twin as twin
from ..em.fixed import Constraints
from ..em.posteriors import SOFT, PosteriorMode
from ..em.probabilities import shares
from ..em.statistics import Sums
from ._modes import one_hot, pin
from ._paths import Power, best_path, count_path, draw_path, temper

__all__ = ["Chain", "ChainParameters", "ChainPrior", "Paths"]

# rows from which the forward and the backward pass of one sequence are run side by side
_LONG = 4096

# share of a first transition matrix that is spread evenly: EM never leaves a probability of 0
_SOFT = 0.1


@dataclass(frozen=True)
class ChainParameters:
    """Parameters of a Markov chain of K states.

    Attributes
    ----------
    startprob : ndarray of shape (K,)
        Probabilities of the first state.
    transmat : ndarray of shape (K, K)
        Row i holds the probabilities of the state after state i.
    """

    startprob: np.ndarray
    transmat: np.ndarray


@dataclass(frozen=True)
class ChainPrior:
    """Dirichlet priors of the first state and of the rows of the transition matrix.

    Attributes
    ----------
    startprob : ndarray of shape (K,)
        Concentrations, at least 1; where all are 1 there is no prior.
    transmat : ndarray of shape (K, K)
    """

    startprob: np.ndarray
    transmat: np.ndarray


@dataclass(frozen=True)
class Paths:
    """What all paths of a short sequence add up to.

    Attributes
    ----------
    posterior : ndarray of shape (n, K)
    total : float
        Log-likelihood.
    transitions : ndarray of shape (K, K)
        Expected number of each transition.
    best : ndarray of shape (n,)
        The most probable path, and
    best_value : float
        its joint log-probability with the observations.
    """

    posterior: np.ndarray
    total: float
    transitions: np.ndarray
    best: np.ndarray
    best_value: float


def _serially(calls: list[Callable[[], Any]]) -> list[Any]:
    return [call() for call in calls]


class Chain:
    """The components of successive rows are the states of a Markov chain.

    The unit is the sequence. ``ends`` (n_sequences,) says where each ends, the number of its last row plus 1; None
    is one sequence.

    Parameters
    ----------
    allowed : tuple of two ndarray of bool, of shapes (K,) and (K, K), callable or None
        Which first states and which transitions there are; None is all; a callable is asked when it matters.
        The others have probability 0 from the start on, and are not free.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.latent import Chain, ChainParameters
    >>> parameters = ChainParameters(np.array([0.5, 0.5]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    >>> log_density = np.log([[0.9, 0.1], [0.5, 0.5]])
    >>> posterior, statistics, rows = Chain().posterior(parameters, log_density)
    >>> posterior.round(2)
    array([[0.9 , 0.1 ],
           [0.83, 0.17]])
    >>> statistics["transitions"].round(2)
    array([[0.81, 0.09],
           [0.02, 0.08]])
    """

    name = "chain"

    def __init__(self, allowed: Any = None) -> None:
        self._allowed = allowed

    @property
    def allowed(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Which first states and which transitions there are."""
        if callable(self._allowed):
            self._allowed = self._allowed()
        return self._allowed

    # ---------------------------------------------------------- posterior

    def posterior(
        self,
        parameters: ChainParameters,
        log_density: np.ndarray,
        sample_weight: np.ndarray | None = None,
        ends: np.ndarray | None = None,
        *,
        run: Callable[[list[Callable[[], Any]]], list[Any]] = _serially,
        overwrite: bool = False,
        spare: list[np.ndarray] | None = None,
        mode: PosteriorMode = SOFT,
        labels: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Sums, np.ndarray]:
        """Posterior, statistics and log-likelihoods, by the forward-backward algorithm.

        Parameters
        ----------
        parameters : ChainParameters
        log_density : ndarray of shape (n, K)
        sample_weight : ndarray of shape (n,) or None
            The same for all rows of a sequence.
        ends : ndarray of shape (n_sequences,) or None
        run : callable
            Makes some calls, at the same time if it can, and returns their values in order.
        overwrite : bool, default=False
            Put the posterior in the place of ``log_density``.
        spare : list or None
            Memory from one call to the next, for a long sequence.
        mode : PosteriorMode, default=SOFT
            The posterior itself, tempered or not, the most probable path (by the Viterbi algorithm), or a path that
            is drawn from it.
        labels : ndarray of int of shape (n,) or None
            States that are known, -1 where not: paths through others are impossible. Such a row is there, even if
            it cannot be.

        Returns
        -------
        posterior : ndarray of shape (n, K)
            Times sample weight.
        statistics : Sums
            ``start`` (K,) and ``transitions`` (K, K): expected numbers of first states, and of transitions.
        rows : ndarray of shape (n,)
            Log-likelihood of each row, given those before it in its sequence; what they add up to is, tempered,
            the free energy of the sequence; if hard, the joint log-density of rows and path.
        """
        table, ends = _table(log_density, overwrite), _ends(ends, len(log_density))
        chain = _arrays(parameters)
        if mode.plain and labels is None:
            transitions, start, rows = _smooth(table, ends, *chain, sample_weight, run, spare)
            return table, Sums({"start": start, "transitions": transitions}), rows
        impossible = None if labels is None else pin(table, labels)
        if mode.kind == "hard":
            path, rows = best_path(table, ends, *chain)
        else:
            power = temper(table, ends, *chain, mode.temperature)
            if mode.kind == "soft":
                transitions, start, rows = _smooth_power(
                    table, ends, power, sample_weight, run, spare
                )
                start = np.where(parameters.startprob > 0, start, 0.0)
                if labels is not None:  # to the bit
                    one_hot(np.asarray(labels), sample_weight, table)
            else:
                path, rows = draw_path(table, ends, power, mode.generator())
            rows[np.r_[0, ends[:-1]]] += power.constant
            rows *= mode.temperature
        if mode.kind != "soft":
            start, transitions = count_path(path, ends, sample_weight, *chain)
            one_hot(path, sample_weight, table)
        if impossible is not None:
            rows[impossible] = -np.inf
        return table, Sums({"start": start, "transitions": transitions}), rows

    def filter(
        self,
        parameters: ChainParameters,
        log_density: np.ndarray,
        ends: np.ndarray | None = None,
        *,
        overwrite: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (n, K) of each row's state given the rows up to it, and log-likelihoods (n,) of the rows."""
        table = _table(log_density, overwrite)
        rows = kernel.filter(table, _ends(ends, len(table)), *_arrays(parameters))
        return table, rows

    def filter_from(
        self, predicted: np.ndarray, log_density: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """:meth:`filter` of single rows, each of a sequence of its own, from predictions (n, K) of its state."""
        with np.errstate(divide="ignore"):
            joint = np.log(predicted) + log_density
        total = logsumexp(joint, axis=1)
        lost = total == -np.inf
        if lost.any():  # as the kernel has it: a row of nothing tells nothing, others begin afresh
            nothing = np.isneginf(log_density[lost]).all(axis=1)
            with np.errstate(divide="ignore"):
                joint[lost] = np.where(nothing[:, None], np.log(predicted[lost]), log_density[lost])
        return np.exp(joint - logsumexp(joint, axis=1, keepdims=True)), total

    def decode(
        self, parameters: ChainParameters, log_density: np.ndarray, ends: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The most probable path (n,), by the Viterbi algorithm, and its joint log-probability for each sequence."""
        table = _table(log_density, True)
        with np.errstate(divide="ignore"):
            logs = [np.log(array) for array in _arrays(parameters)]
        return kernel.viterbi(table, _ends(ends, len(table)), *logs)

    def enumerate(self, parameters: ChainParameters, log_density: np.ndarray) -> Paths:
        """The same by summing over all K**n paths of one sequence: an oracle for tiny n."""
        n, K = log_density.shape
        paths = np.indices((K,) * n).reshape(n, -1)
        with np.errstate(divide="ignore"):
            start, step = np.log(parameters.startprob), np.log(parameters.transmat)
        log_p = start[paths[0]] + log_density[np.arange(n)[:, None], paths].sum(axis=0)
        log_p += step[paths[:-1], paths[1:]].sum(axis=0)
        total = float(logsumexp(log_p))
        p = np.exp(log_p - total)
        posterior = np.stack([(p * (paths == k)).sum(axis=1) for k in range(K)], axis=1)
        transitions = np.zeros((K, K))
        for a, b in pairwise(paths):
            np.add.at(transitions, (a, b), p)
        best = int(log_p.argmax())
        return Paths(posterior, total, transitions, paths[:, best], float(log_p[best]))

    # ------------------------------------------------------------- M-step

    def first_statistics(self, ends: np.ndarray | None) -> FirstTransitions:
        """What the shares of a start add up to, piece by piece."""
        return FirstTransitions(ends, self.allowed)

    def expected_statistics(
        self, parameters: ChainParameters, n_rows: float, n_units: float
    ) -> tuple[Sums, np.ndarray]:
        """What so many rows are expected to count, after a long time, and how many rows of each state there are."""
        try:
            shares = self.stationary(parameters)
        except ValueError:  # it depends on where the chain begins
            shares = np.full(len(parameters.startprob), 1.0 / len(parameters.startprob))
        # a state that is left for good has transitions all the same
        visits = 0.9 * shares + 0.1 / len(shares)
        transitions = (n_rows - n_units) * visits[:, None] * parameters.transmat
        sums = Sums({"start": n_units * parameters.startprob, "transitions": transitions})
        return sums, n_rows * visits

    def m_step(
        self,
        statistics: Sums,
        prior: ChainPrior | None = None,
        current: ChainParameters | None = None,
        constraints: Constraints | None = None,
    ) -> ChainParameters:
        """Probabilities from counts; a row that was never visited keeps its own, or has those of the prior.

        Among ``constraints`` what is not allowed is fixed to 0.
        """
        allowed = (None, None) if self.allowed is None else self.allowed
        before = (None, None) if current is None else (current.startprob, current.transmat)
        priors = (None, None) if prior is None else (prior.startprob, prior.transmat)
        start, transitions = statistics["start"][None], statistics["transitions"]
        held = constraints or {}
        found = {}
        for name, counts, p, now, may in (
            ("startprob", start, priors[0], before[0], allowed[0]),
            ("transmat", transitions, priors[1], before[1], allowed[1]),
        ):
            if name in held:
                counts = (counts if p is None else counts + (p - 1.0)).reshape(
                    held[name].values.shape
                )
                found[name] = shares(counts, held[name], now)
            else:
                found[name] = _shares(counts, p, now, may)
        return ChainParameters(found["startprob"].reshape(-1), found["transmat"])

    def log_prior(self, parameters: ChainParameters, prior: ChainPrior | None) -> float:
        """Log-density of the parameters under Dirichlet priors on what is allowed; 0 without one."""
        if prior is None:
            return 0.0
        allowed = (None, None) if self.allowed is None else self.allowed
        return _log_dirichlet(
            parameters.startprob[None], prior.startprob[None], allowed[0]
        ) + _log_dirichlet(parameters.transmat, prior.transmat, allowed[1])

    # --------------------------------------------------------- parameters

    def n_free(self, parameters: ChainParameters, constraints: Constraints | None = None) -> int:
        """Number of free parameters: of what is allowed in each row, all but one."""
        K, held = len(parameters.startprob), constraints or {}
        start, square = self.allowed or (np.ones(K), np.ones((K, K)))
        counts = {
            "startprob": start.sum() - 1,
            "transmat": np.maximum(square.sum(axis=1) - 1, 0).sum(),
        }
        return sum(
            held[name].n_free() if name in held else int(count) for name, count in counts.items()
        )

    def sample(
        self, parameters: ChainParameters, lengths: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        """States (n,) of sequences of these lengths, one after the other."""
        startprob, transmat = _arrays(parameters)
        n, first = int(np.sum(lengths)), np.r_[0, np.cumsum(lengths)[:-1]]
        uniform = rng.uniform(size=n)
        states = np.empty(n, dtype=np.int64)
        states[first] = _invert(startprob[None], uniform[first])[:, 0]
        begins = np.zeros(n, dtype=bool)
        begins[first] = True
        state = 0
        for at in range(0, n, 4096):
            rows = slice(at, min(at + 4096, n))
            # where each state would go at each step: the loop only looks it up
            table = _invert(transmat, uniform[rows])
            table[begins[rows]] = states[rows][begins[rows]][:, None]
            path = []
            for following in table.tolist():
                state = following[state]
                path.append(state)
            states[rows] = path
        return states

    def stationary(self, parameters: ChainParameters) -> np.ndarray:
        """The distribution (K,) that a step of the chain does not change.

        Raises
        ------
        ValueError
            If there are several, because the chain has several parts that it never leaves.
        """
        transmat = parameters.transmat
        K = len(transmat)
        _, part = connected_components(transmat > 0, directed=True, connection="strong")
        closed = [p for p in np.unique(part) if not transmat[np.ix_(part == p, part != p)].any()]
        if len(closed) > 1:
            groups = [np.flatnonzero(part == p).tolist() for p in closed]
            raise ValueError(
                f"There are several stationary distributions: the chain never leaves the states {groups[0]}, nor"
                f" {groups[1]}. Which one it ends in depends on where it begins."
            )
        states = np.flatnonzero(part == closed[0])
        out = np.zeros(K)
        out[states] = _stationary(transmat[np.ix_(states, states)])
        return out


class FirstTransitions:
    """Counts of first states and of transitions at a start, from shares of the rows."""

    def __init__(
        self, ends: np.ndarray | None, allowed: tuple[np.ndarray, np.ndarray] | None
    ) -> None:
        self.begins = None if ends is None else np.r_[0, ends[:-1]]
        self.allowed = allowed
        self.before: np.ndarray | None = None
        self.n_begun = 0
        self.start: Any = 0.0
        self.transitions: Any = 0.0

    def add(self, rows: slice, shares: np.ndarray) -> None:
        """Some rows, which follow those before, with their shares (rows, K), times sample weight."""
        first = np.zeros(len(shares), dtype=bool)
        begins = np.zeros(1, dtype=np.intp) if self.begins is None else self.begins
        inside = begins[(begins >= rows.start) & (begins < rows.stop)]
        first[inside - rows.start] = True
        before = np.zeros((1, shares.shape[1])) if self.before is None else self.before
        previous = np.concatenate([before, shares[:-1]])
        total = previous.sum(axis=1, keepdims=True)
        previous = np.divide(previous, total, out=np.zeros_like(previous), where=total > 0)
        previous[first] = 0.0
        self.n_begun += int(np.count_nonzero(shares[first].any(axis=1)))
        self.start = self.start + shares[first].sum(axis=0)
        self.transitions = self.transitions + previous.T @ shares
        self.before = shares[-1:]

    @property
    def statistics(self) -> Sums:
        """The counts, a share of each row spread evenly over what is allowed."""
        start, transitions = self.start[None], self.transitions
        K = len(transitions)
        if self.allowed is None:
            may = np.ones((1, K), dtype=bool), np.ones((K, K), dtype=bool)
        else:
            may = self.allowed[0][None], self.allowed[1]
        return Sums(
            {
                # as much as one sequence more, which begins anywhere
                "start": _spread(start, may[0], self.start.sum() / max(self.n_begun, 1))[0],
                "transitions": _spread(transitions, may[1], 0.0),
            }
        )


def _spread(counts: np.ndarray, may: np.ndarray, more: float) -> np.ndarray:
    """Counts with a share of each row, and ``more``, spread evenly; an empty row counts as one."""
    counts = np.where(may, counts, 0.0)
    total = counts.sum(axis=1, keepdims=True)
    even = may / np.maximum(may.sum(axis=1, keepdims=True), 1)
    return np.where(total > 0, (1.0 - _SOFT) * counts + (_SOFT * total + more) * even, even)


def _shares(
    counts: np.ndarray,
    concentration: np.ndarray | None,
    current: np.ndarray | None,
    allowed: np.ndarray | None,
) -> np.ndarray:
    """Rows of counts to rows of probabilities."""
    if concentration is not None:
        counts = counts + (concentration - 1.0) * (1.0 if allowed is None else allowed)
    total = counts.sum(axis=1, keepdims=True)
    if total.min() > 0:
        return counts / total
    if current is None:
        may = np.ones(counts.shape) if allowed is None else np.broadcast_to(allowed, counts.shape)
        current = may / may.sum(axis=1, keepdims=True)
    visited = total > 0
    return np.where(visited, counts / np.where(visited, total, 1.0), current)


def _log_dirichlet(p: np.ndarray, concentration: np.ndarray, allowed: np.ndarray | None) -> float:
    may = np.ones(p.shape, dtype=bool) if allowed is None else np.broadcast_to(allowed, p.shape)
    a = np.where(may, concentration, 0.0)
    total = gammaln(a.sum(axis=1)).sum() - np.where(may, gammaln(np.where(may, a, 1.0)), 0.0).sum()
    return float(total + xlogy(np.where(may, a - 1.0, 0.0), np.where(may, p, 1.0)).sum())


def _invert(p: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """For each uniform number and each row of probabilities the index that it draws: (n, rows)."""
    edges = np.cumsum(p, axis=1)
    # what rounding leaves beyond the sum belongs to the last state of a positive probability
    edges[:, :-1] = np.where(edges[:, :-1] >= edges[:, -1:], np.inf, edges[:, :-1])
    edges[:, -1] = np.inf
    out = np.empty((len(uniform), len(p)), dtype=np.int64)
    for i, row in enumerate(edges):
        out[:, i] = np.searchsorted(row, uniform, side="right")
    return out


def _stationary(transmat: np.ndarray) -> np.ndarray:
    """Of an irreducible chain, by elimination without subtractions (Grassmann, Taksar and Heyman 1985)."""
    a = transmat.copy()
    for k in range(len(a) - 1, 0, -1):
        a[:k, k] /= a[k, :k].sum()
        a[:k, :k] += np.outer(a[:k, k], a[k, :k])
    out = np.ones(len(a))
    for k in range(1, len(a)):
        out[k] = out[:k] @ a[:k, k]
    return out / out.sum()


def _smooth(
    table: np.ndarray,
    ends: np.ndarray,
    startprob: np.ndarray,
    transmat: np.ndarray,
    sample_weight: np.ndarray | None,
    run: Callable[[list[Callable[[], Any]]], list[Any]],
    spare: list[np.ndarray] | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Transitions, first states and row log-likelihoods; the table becomes the posterior."""
    if len(ends) == 1 and len(table) >= _LONG:
        weight = 1.0 if sample_weight is None else float(sample_weight[0])
        return kernel.posterior_parallel(table, startprob, transmat, weight, run, spare)
    weights = None if sample_weight is None else sample_weight[ends - 1]
    return kernel.posterior(table, ends, startprob, transmat, weights)


def _smooth_power(
    table: np.ndarray, ends: np.ndarray, power: Power, sample_weight: np.ndarray | None, *tools: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of a tempered chain."""
    if not power.cold:
        return _smooth(table, ends, power.startprob, power.transmat, sample_weight, *tools)
    weights = None if sample_weight is None else sample_weight[ends - 1]
    return twin.posterior_of_logs(table, ends, power.log_startprob, power.log_transmat, weights)


def _table(log_density: np.ndarray, overwrite: bool) -> np.ndarray:
    table = np.ascontiguousarray(log_density, dtype=np.float64)
    return table.copy() if table is log_density and not overwrite else table


def _ends(ends: np.ndarray | None, n: int) -> np.ndarray:
    return (
        np.array([n], dtype=np.intp) if ends is None else np.ascontiguousarray(ends, dtype=np.intp)
    )


def _arrays(parameters: ChainParameters) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.ascontiguousarray(parameters.startprob, dtype=np.float64),
        np.ascontiguousarray(parameters.transmat, dtype=np.float64),
    )
