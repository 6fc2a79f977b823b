"""SQUAREM: squared extrapolation of the statistics, with a likelihood gate."""

from __future__ import annotations

import math

from ..exceptions import DomainError
from .statistics import Statistics, combine, difference_norms

__all__ = ["Squarem"]


class Squarem:
    r"""Extrapolate the statistics of three successive E-steps.

    With :math:`r = S_1 - S_0` and :math:`v = S_2 - 2 S_1 + S_0`, the proposal is
    :math:`S_0 - 2\alpha r + \alpha^2 v`, an affine combination of the three, with
    the step length :math:`\alpha = -\|r\| / \|v\|` (scheme S3) and norms in which
    each block of statistics counts in its own unit. Extrapolating statistics
    instead of parameters keeps every model's constraints inside its M-step.

    The step is bounded; the bound grows when it was reached and the proposal
    kept, and shrinks when it was rejected.

    References
    ----------
    Varadhan, R. and Roland, C. (2008). Simple and globally convergent methods
    for accelerating the convergence of any EM algorithm. Scandinavian Journal
    of Statistics 35(2), 335-353.
    """

    growth = 4.0

    def __init__(self) -> None:
        self._history: list[Statistics] = []
        self._bound = 4.0
        self._at_bound = False

    def propose(self, statistics: Statistics) -> Statistics | None:
        self._history.append(statistics)
        if len(self._history) < 3:
            return None
        length = self._length()
        self._at_bound = length >= self._bound
        step = min(length, self._bound)
        while step > 1.0 + 1e-3:
            coefficients = ((1 - step) ** 2, 2 * step * (1 - step), step * step)
            try:
                return combine(coefficients, self._history)
            except DomainError:  # halve the distance to the plain EM step
                self._at_bound = False
                step = (1.0 + step) / 2 if step < 64 else step / 4
        self._history = [statistics]
        return None

    def judge(self, accepted: bool, statistics: Statistics) -> None:
        self._history = [statistics]
        if not accepted:
            self._bound = max(4.0, self._bound / self.growth)
        elif self._at_bound:
            self._bound *= self.growth

    def _length(self) -> float:
        first = difference_norms((-1.0, 1.0), self._history[:2])
        second = difference_norms((-1.0, 1.0), self._history[1:])
        curvature = difference_norms((1.0, -2.0, 1.0), self._history)
        r2 = v2 = 0.0
        for name, value in curvature.items():
            unit = first[name] + second[name]
            if unit > 0:
                r2 += (first[name] / unit) ** 2
                v2 += (value / unit) ** 2
        if r2 == 0.0:
            return 1.0
        return math.sqrt(r2 / v2) if v2 > 0 else math.inf
