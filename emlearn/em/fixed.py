"""Parameters that a fit keeps, or that components share: what was said of them, read and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .held import ROUNDING, Held, Space

__all__ = ["Constraints"]


class Constraints(Mapping):
    """What is known of parameters, by their published names.

    Parameters
    ----------
    held : mapping of str to Held

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.em import Constraints, Space
    >>> spaces = {"rates": Space((2, 1), low=0.0)}
    >>> Constraints.read({"rates": [[3.0], [np.nan]]}, None, spaces)["rates"].n_free()
    1
    >>> Constraints.read(None, ["rates"], spaces)["rates"].n_free()
    1
    """

    def __init__(self, held: Mapping[str, Held]) -> None:
        self._held = {name: part for name, part in held.items() if not part.empty}

    def __getitem__(self, name: str) -> Held:
        return self._held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    @classmethod
    def read(cls, fixed: Any, equal: Any, spaces: Mapping[str, Space]) -> Constraints:
        """What a user said, with the shapes and domains of the parameters.

        Raises
        ------
        ValueError
            If there is no such parameter, its shape is another, or a value is none that it can have.
        """
        held = {name: Held.nothing(space) for name, space in spaces.items()}
        for name, value in (fixed or {}).items():
            space = _known(held, name, "fixed").space
            values = space.read(value, f"fixed: {name!r}", space.shape, np.float64)
            _check_domain(values, space, name)
            held[name] = replace(held[name], values=values)
        if equal is not None and not isinstance(equal, Mapping):
            equal = dict.fromkeys(np.ravel(equal).tolist(), True)
        for name, mask in (equal or {}).items():
            space = _known(held, name, "equal").space
            if not space.axes:  # it is equal
                continue
            if mask is not True:
                mask = space.read(mask, f"equal: {name!r}", space.shape[space.axes :], np.bool_)
            held[name] = replace(held[name], shared=np.broadcast_to(mask, space.shape))
        return cls(held)

    def settled(self) -> Constraints:
        """The same, checked against each other; see :meth:`Held.settled`."""
        return Constraints({name: held.settled(name) for name, held in self.items()})

    def only(self, names: Sequence[str]) -> Constraints:
        """Those of some parameters."""
        return Constraints({name: self[name] for name in names if name in self})

    def inside(self, prefix: str) -> Constraints:
        """Those whose names begin so, without it: of a part, as :meth:`under` names them."""
        n = len(prefix)
        return Constraints({name[n:]: self[name] for name in self if name.startswith(prefix)})

    def under(self, prefix: str) -> dict[str, Held]:
        """The same with this in front of the names."""
        return {f"{prefix}{name}": held for name, held in self.items()}

    def check_start(self, start: Mapping[str, Any], what: str) -> None:
        """ValueError where parameters that a run would begin with are not so."""
        for name, held in self.items():
            if start.get(name) is None:
                continue
            value = held.space.read(start[name], what, held.space.shape, np.float64)
            wrong = held.fixed & ~_near(value, held.values)
            for members in held.groups:
                wrong[members] |= held.pooled[members] & ~_near(value[members], value[members[0]])
            if wrong.any():
                place = tuple(np.argwhere(wrong)[0].tolist())
                wanted = held.values[place]
                wanted = (
                    "the value that components share" if np.isnan(wanted) else f"{wanted:g}, fixed"
                )
                raise ValueError(
                    f"{what}: {name!r} begins with {value[place]:g} at {place}, but must be {wanted}."
                    " Change one of them."
                )

    def publish(self, values: dict[str, Any]) -> dict[str, Any]:
        """Published values with those that are fixed put in, to the bit."""
        for name, held in self.items():
            value = values.get(name)
            if isinstance(value, list):
                parts = np.split(held.values, np.cumsum(held.space.sizes)[:-1], axis=-1)
                value = [np.where(np.isnan(p), v, p) for p, v in zip(parts, value, strict=True)]
            elif value is not None:
                value = held.put(value)
                value = value if value.ndim else float(value)
            values[name] = value
        return values


def _known(held: Mapping[str, Held], name: Any, what: str) -> Held:
    if name not in held:
        raise ValueError(f"{what}: there is no parameter {name!r}; there are {sorted(held)}.")
    return held[name]


def _check_domain(values: np.ndarray, space: Space, name: str) -> None:
    outside = (values < space.low) | (values > space.high) | np.isinf(values)
    if space.strict:
        outside |= values == space.low
    if outside.any():
        low = f"above {space.low:g}" if space.strict else f"from {space.low:g}"
        raise ValueError(
            f"fixed: {name!r} must hold finite numbers {low} to {space.high:g}, or NaN where it is free,"
            f" got {values[outside].flat[0]:g}."
        )


def _near(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.isclose(a, b, rtol=ROUNDING, atol=1e-9)
