"""Mean directions on a sphere beside coordinates that are fixed, or directions that are shared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..em.held import ROUNDING, Held

__all__ = ["best_directions", "n_held_directions", "settle_directions"]


def settle_directions(held: Held) -> Held:
    """Directions, checked, those that are fixed as a whole of length 1 to the last digit."""
    if np.any(held.shared.any(axis=1) & ~held.shared.all(axis=1)):
        raise ValueError(
            "equal: 'mean_directions' can be equal as a whole only; give the name, without a mask."
        )
    values = held.values.copy()
    whole = held.fixed.all(axis=1)
    lengths = np.sqrt(np.where(held.fixed, values, 0.0) ** 2 @ np.ones(values.shape[1]))
    bad = np.flatnonzero((lengths > 1 + ROUNDING) | (whole & (lengths < 1 - ROUNDING)))
    if len(bad):
        raise ValueError(
            f"fixed: 'mean_directions' must have length 1, or less where coordinates are free, got"
            f" {lengths[bad[0]]:g} in row {bad[0]}."
        )
    # as densities have it, which read fitted attributes
    off = whole & (np.abs(lengths - 1.0) >= 1e-13)
    values[off] /= lengths[off, None]
    return replace(held, values=values)


def best_directions(
    total: np.ndarray, weight: np.ndarray, held: Held, current: np.ndarray
) -> np.ndarray:
    """Unit vectors (K, d) of the largest products with sums (K, d), beside coordinates that are fixed."""
    free = ~held.fixed
    fixed = np.where(free, 0.0, held.values)
    left = np.sqrt(np.maximum(1.0 - np.square(fixed).sum(axis=1), 0.0))
    out = np.where(free, 0.0, fixed)
    for k in np.flatnonzero(free.any(axis=1)):
        for guess in (total[k], current[k], np.ones(total.shape[1])):
            part = np.where(free[k], guess, 0.0)
            length = np.linalg.norm(part)
            # below the rounding of the sum there is no direction
            if length > np.finfo(np.float64).eps * (weight[k] if guess is total[k] else 1.0):
                break
        out[k] = fixed[k] + left[k] * part / length
    return out


def n_held_directions(held: Held) -> int:
    """How many fewer free parameters there are: a direction has d - 1."""
    d = held.values.shape[1]
    each = np.minimum(held.fixed.sum(axis=1), d - 1)
    total = int(each.sum())
    for members in held.groups:
        if held.pooled[members[0]].any():
            total += (len(members) - 1) * int(d - 1 - each[members[0]])
    return total
