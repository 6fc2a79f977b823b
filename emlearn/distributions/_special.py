"""Equations that several M-steps solve."""

from __future__ import annotations

import numpy as np
from scipy.special import digamma, polygamma

__all__ = ["invert_digamma", "solve_gamma_shape"]


def solve_gamma_shape(gap: np.ndarray) -> np.ndarray:
    """The a with log a - digamma(a) = gap > 0, by Newton's method on 1 / a (Minka 2002)."""
    a = (3.0 - gap + np.sqrt((gap - 3.0) ** 2 + 24.0 * gap)) / (12.0 * gap)
    for _ in range(8):
        large = a > 1e4  # where the difference has no digits left
        safe = np.where(large, 1.0, a)
        value = np.where(large, (0.5 + 1.0 / (12.0 * a)) / a, np.log(safe) - digamma(safe))
        slope = np.where(large, -(0.5 + 1.0 / (6.0 * a)) / a**2, 1.0 / safe - polygamma(1, safe))
        a = 1.0 / (1.0 / a + (value - gap) / (a * a * slope))
    return a


def invert_digamma(value: np.ndarray) -> np.ndarray:
    """The a > 0 with digamma(a) = value, by Newton's method from Minka's first guess (2000)."""
    value = np.asarray(value, dtype=np.float64)
    low = np.minimum(value, -2.22)
    a = np.where(value >= -2.22, np.exp(value) + 0.5, -1.0 / (low - digamma(1.0)))
    for _ in range(8):
        a = np.maximum(a - (digamma(a) - value) / polygamma(1, a), 0.1 * a)
    return a
