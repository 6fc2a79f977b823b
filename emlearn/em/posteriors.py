"""Modes of the posterior: what an E-step makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["SOFT", "PosteriorMode"]

_KINDS = ("soft", "hard", "stochastic")


@dataclass(frozen=True)
class PosteriorMode:
    """What an E-step makes of the posterior.

    Attributes
    ----------
    kind : {"soft", "hard", "stochastic"}
        The posterior itself; all of it at its mode (of a unit: the most probable path of a sequence), the
        objective being the joint likelihood of rows and labels; or a draw from it.
    temperature : float
        The posterior has the power ``1 / temperature``; the objective is the free energy,
        ``temperature * log sum p(x, z) ** (1 / temperature)``.
    seed : tuple of int
        Of the draws: with the number of a block's first row it makes a stream of its own for each block, so that
        draws do not depend on the number of threads.

    Raises
    ------
    ValueError
        If there is no such kind, or the temperature is not above 0.

    References
    ----------
    Celeux, G. and Govaert, G. (1992). A classification EM algorithm for clustering and two stochastic
    versions. Computational Statistics & Data Analysis 14(3), 315-332.

    Ueda, N. and Nakano, R. (1998). Deterministic annealing EM algorithm. Neural Networks 11(2), 271-282.
    """

    kind: str = "soft"
    temperature: float = 1.0
    seed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"the kind of a mode is one of {_KINDS}, got {self.kind!r}.")
        if not 0.0 < self.temperature < math.inf:
            raise ValueError(f"a temperature is a number above 0, got {self.temperature!r}.")

    @property
    def plain(self) -> bool:
        """Whether this is the posterior as it is."""
        return self.kind == "soft" and self.temperature == 1.0

    def drawn(self, *numbers: int) -> PosteriorMode:
        """The same with further numbers in its seed."""
        return replace(self, seed=(*self.seed, *numbers))

    def generator(self) -> np.random.Generator:
        """The stream of this seed."""
        return np.random.default_rng(self.seed)


#: the posterior as it is
SOFT = PosteriorMode()
