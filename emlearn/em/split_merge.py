"""Split-and-merge moves: from an optimum of EM to a better one.

A local optimum has, as a rule, two components where one would do and one where there should be two.
A move merges the two, splits the one, and lets EM run from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from .clusters import whiten
from .loop import Result
from .short_runs import short_runs

__all__ = [
    "ComponentAxes",
    "Move",
    "moved_shares",
    "propose_moves",
    "split_coordinates",
    "split_merge",
]

# what a move must gain, in nats a row
_GAIN = 1e-6
# coordinates in which components are split
_MOST_AXES = 20
# of the pairs that overlap most, how many are tried
_PAIRS = 8
# iterations of the first short runs of a batch
_FIRST = 2


class Move(NamedTuple):
    """Merge two components, split a third into halves along one of its axes (0 or 1)."""

    first: int
    second: int
    split: int
    axis: int = 0


def split_merge(
    best: Result,
    shares: Callable[[Any], np.ndarray],
    start: Callable[[np.ndarray], Any],
    run: Callable[[Any, int], Any],
    coordinates: np.ndarray,
    *,
    sample_weight: np.ndarray | None = None,
    n_moves: int = 8,
    n_batches: int = 6,
    n_final: int = 60,
    max_rounds: int | None = None,
    map_calls: Callable[[list[Callable[[], Any]]], list[Any]] | None = None,
) -> Result:
    """Improve a run by moves that merge two components and split a third.

    The moves of a round are tried in batches, the most promising first, by short runs of which the best
    goes on. As soon as one ends higher than the run so far it takes its place, and a new round begins.

    Parameters
    ----------
    best : Result
        Where EM came to rest, or nearly.
    shares : callable
        ``shares(parameters)`` gives the posterior (n, K) of the rows.
    start : callable
        ``start(shares)`` gives parameters to begin with, or a :class:`~emlearn.exceptions.SingularError`.
    run : callable
        ``run(parameters, n_iterations)`` gives a result, or the error of a singular start.
    coordinates : ndarray of shape (n, r)
        Of the rows, from ``split_coordinates``: where components are split.
    sample_weight : ndarray of shape (n,) or None
    n_moves : int, default=8
        Moves in a batch.
    n_batches : int, default=6
        A round that gained nothing in so many batches is the last.
    n_final : int, default=60
        Iterations of the best of a batch, at most.
    max_rounds : int or None, default=None
        None allows twice as many as there are components.
    map_calls : callable, default=None
        As in ``short_runs``.

    Returns
    -------
    Result
        With an objective no lower than that of ``best``.

    References
    ----------
    Ueda, N., Nakano, R., Ghahramani, Z. and Hinton, G. E. (2000). SMEM algorithm for mixture models. Neural
    Computation 12(9), 2109-2128.
    """

    def end_of(moves: list[Move]) -> Result | None:
        firsts = [start(moved_shares(table, move, axes.half(move))) for move in moves]
        race = {"n_best": 1, "n_iterations": _FIRST, "target": best.objective}
        for found in short_runs(firsts, run, map_calls=map_calls, **race):
            for length in (n_final // 4, n_final - n_final // 4):
                if not found.ended and found.promises(best.objective):
                    found.advance(run(found.parameters, length))
            if found.objective > best.objective + _GAIN:
                return found.result
        return None

    rounds = 0
    while max_rounds is None or rounds < max_rounds:
        table = shares(best.parameters)
        max_rounds = 2 * table.shape[1] if max_rounds is None else max_rounds
        axes = ComponentAxes(coordinates, table, sample_weight)
        moves = propose_moves(table, axes.surprise, n_moves * n_batches, sample_weight)
        batches = (moves[at : at + n_moves] for at in range(0, len(moves), n_moves))
        better = next((end for batch in batches if (end := end_of(batch)) is not None), None)
        if better is None:
            break
        best, rounds = better, rounds + 1
    return best


def propose_moves(
    shares: np.ndarray,
    surprise: np.ndarray,
    n_moves: int,
    sample_weight: np.ndarray | None = None,
) -> list[Move]:
    """Moves that may help, the most promising first.

    Parameters
    ----------
    shares : ndarray of shape (n, K)
        Posterior of the rows.
    surprise : ndarray of shape (K,)
        How much the rows of a component differ from what one component should look like.
    n_moves : int
        How many, at most.
    sample_weight : ndarray of shape (n,) or None

    Returns
    -------
    list of Move
        They merge components whose posteriors are alike; there is none for fewer than three components.
    """
    K = shares.shape[1]
    if K < 3:
        return []
    table = shares if sample_weight is None else shares * np.sqrt(sample_weight)[:, None]
    norm = np.sqrt(np.einsum("nk,nk->k", table, table))
    overlap = (table.T @ table) / np.maximum(np.outer(norm, norm), 1e-300)
    i, j = np.triu_indices(K, 1)
    pairs = np.argsort(-overlap[i, j], kind="stable")[:_PAIRS]
    split = np.argsort(-surprise, kind="stable")
    # places in the two orders are multiplied: good in one of them may be rather far down in the other
    ranked = sorted(
        ((a + 1) * (b + 1) * (axis + 1), a, axis, Move(int(i[pair]), int(j[pair]), int(k), axis))
        for a, pair in enumerate(pairs)
        for b, k in enumerate(split)
        for axis in (0, 1)
        if k not in (i[pair], j[pair])
    )
    return [move for *_, move in ranked[:n_moves]]


def moved_shares(shares: np.ndarray, move: Move, half: np.ndarray) -> np.ndarray:
    """Shares (n, K) after a move; ``half`` (n,) says how much of the split component goes to the free place."""
    out = shares.copy()
    out[:, move.first] += shares[:, move.second]
    out[:, move.second] = shares[:, move.split] * half
    out[:, move.split] = shares[:, move.split] - out[:, move.second]
    return out


class ComponentAxes:
    """How the rows of each component lie along its principal axes.

    Parameters
    ----------
    coordinates : ndarray of shape (n, r)
    shares : ndarray of shape (n, K)
    sample_weight : ndarray of shape (n,) or None

    Attributes
    ----------
    surprise : ndarray of shape (K,)
        The statistic of Jarque and Bera, summed over the axes: about what a second component would gain
        where one of a normal shape stands.
    """

    def __init__(
        self, coordinates: np.ndarray, shares: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> None:
        self.coordinates = coordinates
        self.surprise = np.zeros(shares.shape[1])
        self._axes: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for k in range(shares.shape[1]):
            weight = shares[:, k] if sample_weight is None else shares[:, k] * sample_weight
            total = weight.sum()
            if total > 0:
                self._add(k, weight / total, total)

    def _add(self, k: int, p: np.ndarray, total: float) -> None:
        mean = p @ self.coordinates
        centred = self.coordinates - mean
        values, vectors = np.linalg.eigh((centred * p[:, None]).T @ centred)
        # its longest axis, and the one along which it looks most like two
        self._axes[k] = mean, vectors[:, [-1, -1]]
        varies = values > 1e-10 * values[-1]
        if not varies.any():
            return
        z = centred @ (vectors[:, varies] / np.sqrt(values[varies]))
        square = z * z
        skewness, excess = p @ (square * z), p @ (square * square) - 3.0
        self.surprise[k] = total * (skewness @ skewness / 6.0 + excess @ excess / 24.0)
        flattest = np.flatnonzero(varies)[excess.argmin()]
        self._axes[k] = mean, vectors[:, [-1, flattest]]

    def half(self, move: Move) -> np.ndarray:
        """1 for the rows (n,) on one side of the mean of the component to split, 0 for the others."""
        if move.split not in self._axes:
            return np.zeros(len(self.coordinates))
        mean, axes = self._axes[move.split]
        return ((self.coordinates - mean) @ axes[:, move.axis] > 0).astype(np.float64)


def split_coordinates(X: Any, sample_weight: np.ndarray | None = None) -> np.ndarray:
    """Coordinates (n, r) of rows: whitened; of sparse rows and of many columns the first principal axes."""
    if not sparse.issparse(X) and X.shape[1] <= _MOST_AXES:
        return whiten(X, sample_weight)
    rows = X if sparse.issparse(X) else X - X.mean(axis=0, dtype=np.float64)
    u, s, _ = randomized_svd(rows, min(_MOST_AXES, *X.shape), random_state=0)
    return u * s
