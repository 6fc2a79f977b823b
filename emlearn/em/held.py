"""What is known of one parameter beside its estimate: values that are fixed, elements that components share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

__all__ = ["ROUNDING", "Held", "Space"]

# what sums, and parameters to begin with, may be off by rounding
ROUNDING = 1e-6
# a probability that is left to share, below which nothing is
_NOTHING = 1e-12


@dataclass(frozen=True)
class Space:
    """Where a parameter lives, as it is published.

    Attributes
    ----------
    shape : tuple of int
        A list of arrays, one for each column, is read as one array, side by side along the last axis.
    low, high : float
        Between which its values are.
    strict : bool
        True where ``low`` itself is excluded.
    sizes : tuple of int
        Of probabilities: how many neighbours along the last axis sum to 1.
    listed : bool
        True where it is a list of arrays of these sizes.
    axes : int
        1 where the first axis numbers the components, 0 where they have it in common.
    """

    shape: tuple[int, ...]
    low: float = -np.inf
    high: float = np.inf
    strict: bool = False
    sizes: tuple[int, ...] = ()
    listed: bool = False
    axes: int = 1

    @property
    def blocks(self) -> list[slice]:
        """Where along the last axis probabilities sum to 1."""
        ends = np.cumsum(self.sizes, dtype=int)
        return [slice(int(e - n), int(e)) for n, e in zip(self.sizes, ends, strict=True)]

    @property
    def n_free(self) -> int:
        """Free parameters where nothing is said of them."""
        size = int(np.prod(self.shape))
        if not self.sizes:
            return size
        return size // sum(self.sizes) * sum(n - 1 for n in self.sizes)

    def read(self, value: Any, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """What a user gave, as one array of this shape."""
        if self.listed:
            shapes = [(*shape[:-1], n) for n in self.sizes]
            if not isinstance(value, list | tuple) or len(value) != len(shapes):
                raise ValueError(
                    f"{name} must be a list of {len(shapes)} arrays, one for each column, of the shapes"
                    f" {shapes}; None leaves a column free."
                )
            free = np.nan if dtype is np.float64 else False
            parts = [
                np.full(s, free) if v is None else _array(v, f"{name}[{j}]", s, dtype)
                for j, (v, s) in enumerate(zip(value, shapes, strict=True))
            ]
            return np.concatenate(parts, axis=-1)
        return _array(value, name, shape, dtype)


@dataclass(frozen=True)
class Held:
    """What is known of one parameter.

    Attributes
    ----------
    space : Space
    values : ndarray
        NaN where it is free.
    shared : ndarray of bool, in the same shape
        Where components of one group have one value.
    groups : tuple of ndarray
        Numbers of the components of each group that shares.
    """

    space: Space
    values: np.ndarray
    shared: np.ndarray
    groups: tuple[np.ndarray, ...] = ()

    @classmethod
    def nothing(cls, space: Space) -> Held:
        """Nothing yet."""
        groups = (np.arange(space.shape[0]),) if space.axes and space.shape else ()
        return cls(space, np.full(space.shape, np.nan), np.zeros(space.shape, dtype=bool), groups)

    @property
    def fixed(self) -> np.ndarray:
        """Where there is a value."""
        return ~np.isnan(self.values)

    @property
    def pooled(self) -> np.ndarray:
        """Where the M-step finds one value for all components of a group."""
        return self.shared & ~self.fixed

    @property
    def empty(self) -> bool:
        """True where nothing is known."""
        return not (self.shared.any() or self.fixed.any())

    def put(self, value: np.ndarray, pooled: np.ndarray | None = None) -> np.ndarray:
        """An array with what is fixed put in, and what is shared taken from another."""
        if pooled is not None:
            value = np.where(self.pooled, pooled, value)
        return np.where(self.fixed, self.values, value)

    def n_free(self) -> int:
        """Free parameters that are left."""
        if not self.space.sizes:
            own = int(np.sum(~self.fixed & ~self.shared))
            return own + sum(int(self.pooled[members[0]].sum()) for members in self.groups)
        values, shared, groups = self._rows()
        total = 0
        for block in self.space.blocks:
            v, s = values[:, block], shared[:, block] & np.isnan(values[:, block])
            own = np.isnan(v) & ~s
            some = (1.0 - np.nansum(v, axis=1)) > _NOTHING
            total += int(np.sum((own.sum(axis=1) - 1)[own.any(axis=1) & some]))
            if not s.any():
                continue
            if self.across:  # one number, said several times
                total += int(own.any() and some[0])
                continue
            for members in groups:
                q = int(s[members[0]].sum())
                tied = not own[members].any(axis=1).all()
                total += max(q - tied, 0) if some[members].all() else 0
        return total

    @property
    def n_held(self) -> int:
        """How many free parameters fewer there are."""
        return self.space.n_free - self.n_free()

    @property
    def across(self) -> bool:
        """True where the components' own probabilities sum to 1, as weights do."""
        return bool(self.space.sizes) and len(self.space.shape) == self.space.axes

    def _rows(self) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Values and what is shared as rows that hold probabilities, and the rows of each group."""
        if self.across:
            return self.values[None], self.shared[None], [np.arange(1)]
        width = self.values.shape[-1]
        each = self.values[0].size // width
        groups = [members * each + i for members in self.groups for i in range(each)]
        return self.values.reshape(-1, width), self.shared.reshape(-1, width), groups

    def flattened(self, space: Space) -> Held:
        """The same where the first two axes are one, with a group for each of the second."""
        if not self.space.axes:
            return self
        M = self.space.shape[1]
        groups = tuple(members * M + m for members in self.groups for m in range(M))
        return Held(
            space, self.values.reshape(space.shape), self.shared.reshape(space.shape), groups
        )

    def settled(self, name: str) -> Held:
        """The same, checked; what is shared and fixed anywhere is fixed everywhere.

        Raises
        ------
        ValueError
            If values contradict each other.
        """
        values = self.values.copy()
        for members in self.groups:
            shared = self.shared[members]
            part = np.where(shared, values[members], np.nan)
            with np.errstate(invalid="ignore"):
                low, high = np.fmin.reduce(part, axis=0), np.fmax.reduce(part, axis=0)
            if np.any(low != high, where=~np.isnan(low)):
                raise ValueError(
                    f"equal: components share {name!r}, which fixed sets to different values: from"
                    f" {np.nanmin(low):g} to {np.nanmax(high):g}. Fix one value, or leave {name!r} out of equal."
                )
            values[members] = np.where(shared & ~np.isnan(low), low, values[members])
        held = replace(self, values=values)
        held._check_sums(name)
        return held

    def _check_sums(self, name: str) -> None:
        values, shared, groups = self._rows()
        for block in self.space.blocks:
            v = values[:, block]
            fixed = ~np.isnan(v)
            sums = np.where(fixed, v, 0.0).sum(axis=1)
            whole = fixed.all(axis=1)
            bad = np.flatnonzero((sums > 1 + ROUNDING) | (whole & (sums < 1 - ROUNDING)))
            if len(bad):
                row = "" if self.across else f" in row {bad[0]}"
                what = "leave nothing free, and sum to" if whole[bad[0]] else "already sum to"
                raise ValueError(
                    f"fixed: the values of {name!r}{row} {what} {sums[bad[0]]:g}; probabilities sum to 1"
                    " (what the model excludes counts as 0)."
                )
            own = ~fixed & ~shared[:, block]
            for members in groups if shared[:, block].any() and not self.across else ():
                bound = sums[members[~own[members].any(axis=1)]]
                if len(bound) and (
                    np.ptp(bound) > ROUNDING or sums[members].max() > bound.min() + ROUNDING
                ):
                    raise ValueError(
                        f"equal: components share what fixed leaves free of {name!r}, but it does not leave"
                        " the same to each of them."
                    )


def _array(value: Any, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    try:
        array = np.array(value)
        if dtype is np.bool_ and array.dtype != np.bool_:
            raise ValueError("True and False are expected")
        array = array.astype(dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of the shape {shape}: {error}.") from error
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {array.shape}.")
    return array
