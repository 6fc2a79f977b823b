"""M-steps of probabilities, and of what components share."""

from __future__ import annotations

import numpy as np

from .held import Held
from .statistics import Sums

__all__ = ["average_statistics", "shares"]


def shares(counts: np.ndarray, held: Held, current: np.ndarray | None = None) -> np.ndarray:
    """Probabilities that maximise ``sum counts * log p`` beside those that are fixed or shared.

    In a row, the free ones have what is left in proportion to their counts.

    Parameters
    ----------
    counts : ndarray, in the shape of the parameter
    held : Held
    current : ndarray, default=None
        Whose proportions stay where there is no count; without, they are even.

    Returns
    -------
    ndarray
    """
    if held.across:
        pooled = held.pooled
        if pooled.any():
            counts = np.where(pooled, counts[pooled].mean(), counts)
        now = None if current is None else current[None]
        return _divide(counts[None], held.values[None], now)[0]
    out = np.empty(counts.shape)
    for block in held.space.blocks:
        c, values = counts[:, block], held.values[:, block]
        now = None if current is None else current[:, block]
        shared = held.pooled[:, block]
        if shared.any():
            values = values.copy()
            for members in held.groups:
                if shared[members[0]].any():
                    values[members] = _fill_shared(
                        c[members],
                        values[members],
                        shared[members[0]],
                        None if now is None else now[members],
                    )
        out[:, block] = _divide(c, values, now)
    return out


def _divide(counts: np.ndarray, values: np.ndarray, current: np.ndarray | None) -> np.ndarray:
    """What values (rows, V) leave, divided in proportion to counts."""
    free = np.isnan(values)
    left = 1.0 - np.where(free, 0.0, values).sum(axis=1, keepdims=True)
    share = np.where(free, counts, 0.0)
    total = share.sum(axis=1, keepdims=True)
    nothing = (total <= 0) & free.any(axis=1, keepdims=True)
    if nothing.any():
        kept = free.astype(float) if current is None else np.where(free, current, 0.0)
        kept = np.where(kept.sum(axis=1, keepdims=True) > 0, kept, free)
        share = np.where(nothing, kept, share)
        total = share.sum(axis=1, keepdims=True)
    return np.where(free, share / np.where(total > 0, total, 1.0) * np.maximum(left, 0.0), values)


def _fill_shared(
    counts: np.ndarray, values: np.ndarray, shared: np.ndarray, current: np.ndarray | None
) -> np.ndarray:
    """Values (rows, V) with what the rows share filled in.

    Of the sum s of what they share the likelihood is ``C log s + sum_k F_k log(left_k - s)``, for the counts C of it
    and F_k of what is row k's own.
    """
    free = np.isnan(values)
    own = free & ~shared
    left = np.maximum(1.0 - np.where(free, 0.0, values).sum(axis=1), 0.0)
    q = counts[:, shared].sum(axis=0)
    C, F = q.sum(), np.where(own, counts, 0.0).sum(axis=1)
    if not own.any(axis=1).all():
        total = left[~own.any(axis=1)].min()
    elif C + F.sum() <= 0:
        total = 0.5 * left.min() if current is None else current[0, shared].sum()
    else:
        total = _root(C, F, left)
    if C <= 0:
        q = np.ones(len(q)) if current is None else current[0, shared]
        q = q if q.sum() > 0 else np.ones(len(q))
    out = values.copy()
    out[:, shared] = total * (q / q.sum())
    return out


def _root(C: float, F: np.ndarray, left: np.ndarray) -> float:
    """The s with C / s = sum_k F_k / (left_k - s), which falls from infinity; at most the least that is left."""
    if np.ptp(left) < 1e-15:
        return float(left[0] * C / (C + F.sum()))
    low, high = 0.0, float(left.min())
    for _ in range(200):
        s = 0.5 * (low + high)
        if s in (low, high):
            break
        if C > s * np.sum(F / (left - s)):
            low = s
        else:
            high = s
    return 0.5 * (low + high)


def average_statistics(statistics: Sums, groups: tuple[np.ndarray, ...]) -> Sums:
    """Sums whose first axis numbers the components, averaged over those of a group.

    The M-step of an average is that of all the group's rows together, and each component's prior has its say.
    """
    arrays = {}
    for name, array in statistics.arrays.items():
        array = np.array(array, dtype=np.float64)
        for members in groups:
            array[members] = array[members].mean(axis=0)
        arrays[name] = array
    return Sums(arrays, signed=statistics.signed)
