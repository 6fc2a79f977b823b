"""What the modes of a posterior have in common, whatever the latent structure."""

from __future__ import annotations

import numpy as np

__all__ = ["draw", "one_hot", "pin"]


def pin(table: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Leave, in place, of each row of a known label nothing but that component.

    Parameters
    ----------
    table : ndarray of shape (n, K)
        Log-densities, or joint ones.
    labels : ndarray of int of shape (n,)
        -1 where nothing is known.

    Returns
    -------
    impossible : ndarray of int
        Rows that their component cannot have: the table has 0 there, so that they are where they are
        said to be; what they are worth is minus infinity.

    Raises
    ------
    ValueError
        If labels are not those of these rows and components.
    """
    labels, (n, K) = np.asarray(labels), table.shape
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels: an integer for each of {n} rows is needed, got {labels.dtype} of shape {labels.shape}."
        )
    if labels.min() < -1 or labels.max() >= K:
        raise ValueError(
            f"labels must be from 0 to {K - 1}, or -1 where unknown, got {labels.min()} to {labels.max()}."
        )
    known = np.flatnonzero(labels >= 0)
    own = labels[known]
    values = table[known, own]
    possible = np.isfinite(values)
    table[known] = -np.inf
    table[known, own] = np.where(possible, values, 0.0)
    return known[~possible]


def draw(p: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """For each row of shares (n, K), of any positive sum, the component (n,) that a uniform number draws.

    A component of share 0 is never drawn.
    """
    edges = np.cumsum(p, axis=1)
    goal = uniform * edges[:, -1]  # less than the last edge, as the number is less than 1
    out = np.zeros(len(p), dtype=np.int64)
    for k in range(p.shape[1] - 1):  # a reduction over so short an axis is slow
        out += edges[:, k] <= goal
    return out


def one_hot(labels: np.ndarray, sample_weight: np.ndarray | None, out: np.ndarray) -> np.ndarray:
    """Fill a table (n, K) with the sample weight of each row at its label; rows of label -1 stay as they are."""
    known = np.flatnonzero(labels >= 0)
    out[known] = 0.0
    out[known, labels[known]] = 1.0 if sample_weight is None else sample_weight[known]
    return out
