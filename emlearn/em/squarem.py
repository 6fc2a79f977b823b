"""SQUAREM: squared extrapolation of the statistics, with a likelihood gate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..exceptions import DomainError
from .statistics import Statistics, combine, difference_norms

__all__ = ["Squarem"]


# EM steps after which a run creeps, however much each of them gains
_LONG = 30
# and after which growing steps are a direction, and no swing of the first ones
_SETTLED = 10


class Squarem:
    r"""Extrapolate the statistics of three successive E-steps.

    With :math:`r = S_1 - S_0` and :math:`v = S_2 - 2 S_1 + S_0`, the proposal is
    :math:`S_0 + 2 a r + a^2 v`, an affine combination of the three, with the
    step :math:`a = - r \cdot v / v \cdot v` (scheme S2; :math:`|r| / |v|`, S3,
    where that is negative), in a metric that
    measures each block of statistics by its own last changes, so that units do
    not matter; in every third step all blocks alike, which frees it from a slow
    mode that hides in one of them. Extrapolating statistics instead of parameters leaves every
    constraint on parameters to the M-step.

    The length of a step is not bounded: a step that is too long fails the
    loop's gate, and the next one is taken from EM steps that have settled. The
    first steps of a run, which decide what optimum it finds, are left to EM.

    Parameters
    ----------
    begin : float, default=0.01
        Propose nothing before an EM step raised the objective by less (in nats
        a row), or thirty were made.

    References
    ----------
    Varadhan, R. and Roland, C. (2008). Simple and globally convergent methods
    for accelerating the convergence of any EM algorithm. Scandinavian Journal
    of Statistics 35(2), 335-353.
    """

    def __init__(self, begin: float = 1e-2) -> None:
        self.begin = begin
        self._begun, self._n_steps, self._n_lengths = False, 0, 0
        self._history: list[Statistics] = []

    def propose(self, statistics: Statistics, rise: float) -> Statistics | None:
        """Extrapolated statistics, or None where there is nothing to gain."""
        self._n_steps += 1
        self._begun = self._begun or rise < self.begin or self._n_steps > _LONG
        self._history = [*self._history[-2:], statistics]
        if not self._begun or len(self._history) < 3:
            return None
        step = self._step()
        while step > 1.001:  # a step of 1 is the last EM step itself
            coefficients = ((1 - step) ** 2, 2 * step * (1 - step), step * step)
            try:
                return combine(coefficients, self._history)
            except DomainError:
                step = (1.0 + step) / 2 if step < 64 else step / 4
        self._history = [statistics]
        return None

    def judge(self, accepted: bool, path: list[Statistics]) -> None:
        """Go on from here, whatever became of the proposal."""
        self._history = list(path)

    def saved(self) -> dict[str, Any]:
        """What a run that is taken up again needs."""
        return {
            "begun": self._begun,
            "n_steps": self._n_steps,
            "n_lengths": self._n_lengths,
            "history": list(self._history),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up what :meth:`saved` said."""
        self._begun, self._n_steps = saved["begun"], saved["n_steps"]
        self._n_lengths = saved["n_lengths"]
        self._history = list(saved["history"])

    def _step(self) -> float:
        first = difference_norms((-1.0, 1.0), self._history[:2])
        second = difference_norms((-1.0, 1.0), self._history[1:])
        curvature = difference_norms((1.0, -2.0, 1.0), self._history)
        self._n_lengths += 1
        plain = self._n_lengths % 3 == 0
        along = across = length = 0.0  # -r.v, from the norms of r, v and r + v; v.v; and r.r
        for name, value in curvature.items():
            unit = first[name] + second[name]
            unit = 1.0 if plain and unit > 0 else unit
            if unit > 0:
                along += (first[name] ** 2 + value**2 - second[name] ** 2) / (2 * unit**2)
                across += (value / unit) ** 2
                length += (first[name] / unit) ** 2
        if along < 0:  # steps that grow, away from a saddle: scheme S3, which goes with them
            along = math.sqrt(length * across)
        step = along / across if across > 0 else 1.0
        return step if math.isfinite(step) else 1.0
