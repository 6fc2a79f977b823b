"""Split-and-merge moves: from an optimum of EM to a better one.

A local optimum has, as a rule, two components where one would do and one where there should be two.
A move merges the two, splits the one, and lets EM run from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from .clusters import whiten
from .loop import Result
from .short_runs import sound, short_runs

__all__ = ["moved_shares", "propose_moves", "split_coordinates", "split_merge"]

# what a move must gain, in nats a row
_GAIN = 1e-6
# coordinates in which components are split
_MOST_AXES = 20
# of the pairs that overlap most, how many are tried
_PAIRS = 8


def split_merge(
    best: Result,
    shares: Callable[[Any], np.ndarray],
    start: Callable[[np.ndarray], Any],
    run: Callable[[Any, int], Any],
    coordinates: np.ndarray,
    *,
    sample_weight: np.ndarray | None = None,
    n_moves: int = 8,
    n_batches: int = 3,
    n_iterations: int = 3,
    n_final: int = 100,
    max_rounds: int | None = None,
) -> Result:
    """Improve a run by moves that merge two components and split a third.

    The moves of a round are tried in batches, the most promising first, by short runs of which the best
    goes on; as soon as one ends higher than the run so far it takes its place, and a new round begins.

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
        Of the rows, from :func:`split_coordinates`: where components are split.
    sample_weight : ndarray of shape (n,) or None
    n_moves : int, default=8
        Moves in a batch.
    n_batches : int, default=3
        A round that gained nothing in so many batches is the last.
    n_iterations : int, default=3
        Of the first of the short runs, which double.
    n_final : int, default=100
        Of the best of a batch, at most.
    max_rounds : int or None, default=None
        None allows twice as many as there are components.

    Returns
    -------
    Result
        With an objective no lower than that of ``best``.

    References
    ----------
    Ueda, N., Nakano, R., Ghahramani, Z. and Hinton, G. E. (2000). SMEM algorithm for mixture models. Neural
    Computation 12(9), 2109-2128.
    """
    for _ in range(max_rounds or 2 * shares(best.parameters).shape[1]):
        better = _round(
            best,
            shares(best.parameters),
            start,
            run,
            coordinates,
            sample_weight,
            (n_moves, n_batches, n_iterations, n_final),
        )
        if better is None:
            break
        best = better
    return best


def _round(
    best: Result,
    table: np.ndarray,
    start: Callable[[np.ndarray], Any],
    run: Callable[[Any, int], Any],
    coordinates: np.ndarray,
    sample_weight: np.ndarray | None,
    sizes: tuple[int, int, int, int],
) -> Result | None:
    """The first batch's best that is better than what there is."""
    n_moves, n_batches, n_iterations, n_final = sizes
    shapes = component_axes(coordinates, table, sample_weight)
    moves = propose_moves(table, shapes.surprise, sample_weight, n_moves * n_batches)
    for at in range(0, len(moves), n_moves):
        firsts = (
            start(moved_shares(table, move, shapes.half(move[2])))
            for move in moves[at : at + n_moves]
        )
        for found in short_runs(firsts, run, n_best=1, n_iterations=n_iterations):
            end = run(found.parameters, n_final) if not found.ended else found.result
            if sound(end) and end.objective > best.objective + _GAIN:
                return end
    return None


def propose_moves(
    shares: np.ndarray, surprise: np.ndarray, sample_weight: np.ndarray | None, n_moves: int
) -> list[tuple[int, int, int]]:
    """Moves that may help.

    Parameters
    ----------
    shares : ndarray of shape (n, K)
        Posterior of the rows.
    surprise : ndarray of shape (K,)
        How much the rows of a component differ from what one component should look like.
    sample_weight : ndarray of shape (n,) or None
    n_moves : int

    Returns
    -------
    list of tuple (i, j, k)
        Merge i and j, whose posteriors are most alike, and split k; the most promising first. Empty for
        fewer than three components.
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
    ranked = sorted(
        ((a + 1) * (b + 1), a, int(i[pair]), int(j[pair]), int(k))
        for a, pair in enumerate(pairs)
        for b, k in enumerate(split)
        if k not in (i[pair], j[pair])
    )
    return [(first, second, third) for *_, first, second, third in ranked[:n_moves]]


def moved_shares(
    shares: np.ndarray, move: tuple[int, int, int], half: np.ndarray
) -> np.ndarray:
    """Shares (n, K) after a move; ``half`` (n,) says what of component k goes to the place that j leaves."""
    i, j, k = move
    out = shares.copy()
    out[:, i] += shares[:, j]
    out[:, j] = shares[:, k] * half
    out[:, k] = shares[:, k] - out[:, j]
    return out


class component_axes:
    """The principal axes of each component's rows, and how the rows lie along them."""

    def __init__(
        self, coordinates: np.ndarray, shares: np.ndarray, sample_weight: np.ndarray | None
    ) -> None:
        self.coordinates = coordinates
        K = shares.shape[1]
        self.surprise = np.zeros(K)
        self.axes: list[tuple[np.ndarray, np.ndarray] | None] = [None] * K
        weights = shares if sample_weight is None else shares * sample_weight[:, None]
        for k, w in enumerate(weights.T):
            total = w.sum()
            if total <= 0:
                continue
            p = w / total
            mean = p @ coordinates
            y = coordinates - mean
            values, vectors = np.linalg.eigh((y * p[:, None]).T @ y)
            self.axes[k] = mean, vectors[:, -1]
            live = values > 1e-10 * max(values[-1], 1e-300)
            z = y @ (vectors[:, live] / np.sqrt(values[live]))
            square = z * z
            skew, tail = p @ (square * z), p @ (square * square) - 3.0
            # Jarque and Bera's statistic: what two components would gain there, roughly
            self.surprise[k] = total * (skew @ skew / 6.0 + tail @ tail / 24.0)

    def half(self, k: int) -> np.ndarray:
        """1 for the rows (n,) on one side of component k's mean along its first axis, 0 for the others."""
        if self.axes[k] is None:
            return np.zeros(len(self.coordinates))
        mean, axis = self.axes[k]
        return ((self.coordinates - mean) @ axis > 0).astype(np.float64)


def split_coordinates(
    X: Any, sample_weight: np.ndarray | None = None, random_state: Any = 0
) -> np.ndarray:
    """Coordinates (n, r) of rows: whitened, of many columns the first principal axes."""
    if sparse.issparse(X) or X.shape[1] > _MOST_AXES:
        r = min(_MOST_AXES, *X.shape)
        Y = X if sparse.issparse(X) else X - X.mean(axis=0)
        u, s, _ = randomized_svd(Y, r, random_state=random_state)
        return u * s
    return whiten(X, sample_weight)
