"""Modified Bessel functions of the first kind, of any order and argument, without overflow."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.polynomial.polynomial import polyval2d

__all__ = ["bessel_ratio", "invert_bessel_ratio", "log_hyp0f1"]

# From this order on, the terms of the expansion that are left out are below 1e-17 at any argument.
_HIGH_ORDER, _N_TERMS = 30.0, 13


def _debye_coefficients() -> np.ndarray:
    """Coefficients c[k, j] of Debye's polynomials U_k(p) = p**k sum_j c[k, j] p**(2 j)."""
    c = [[Fraction(0)] * _N_TERMS for _ in range(_N_TERMS)]
    c[0][0] = Fraction(1)
    for k in range(_N_TERMS - 1):  # DLMF 10.41.9, in exact arithmetic: the signs alternate
        for j in range(k + 1):
            power = k + 2 * j
            c[k + 1][j] += c[k][j] * (Fraction(power, 2) + Fraction(1, 8 * (power + 1)))
            c[k + 1][j + 1] -= c[k][j] * (Fraction(power, 2) + Fraction(5, 8 * (power + 3)))
    return np.array(c, dtype=np.float64)


_U = _debye_coefficients()
_POWERS = np.add.outer(np.arange(_N_TERMS), 2.0 * np.arange(_N_TERMS))
# V_k - U_k = -p (1 - p**2) W_k, where W_k = U_{k-1} / 2 + p U_{k-1}': from DLMF 10.41.11
_W = _U * (0.5 + _POWERS)


def _bessel(order: float, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``bessel_ratio`` and ``log_hyp0f1`` at once, for x of shape (K,)."""
    x = np.asarray(x, dtype=np.float64)
    steps = max(0, int(np.ceil(_HIGH_ORDER - order)))
    nu = order + steps
    # the uniform expansions of I and of I', whose exponentials cancel in the ratio
    S = np.hypot(nu, x)
    p2 = (nu / S) ** 2
    u = polyval2d(1.0 / S, p2, _U)
    excess = (x / (nu + S)) * x  # S - nu
    ratio = x * (1.0 / (nu + S) - polyval2d(1.0 / S, p2, _W) / u / S**2)
    value = excess - nu * np.log1p(excess / (2 * nu)) - 0.5 * np.log1p(excess / nu)
    # at x = 0 the series is Stirling's, so that the gamma function drops out
    value += np.log(u / polyval2d(1.0 / nu, 1.0, _U))
    for _ in range(steps):  # downwards, where the recurrence forgets errors
        grown = x * ratio / (2 * nu)
        value += np.log1p(grown)
        ratio = x / (2 * nu * (1.0 + grown))
        nu -= 1.0
    return ratio, value


def bessel_ratio(order: float, x: np.ndarray) -> np.ndarray:
    r"""The ratio :math:`I_{\nu+1}(x) / I_\nu(x)`.

    Debye's uniform expansions (DLMF 10.41.3 and 10.41.5) at an order of 30 or
    more, and the recurrence down from there: relative errors stay at a few units
    of the last digit for all orders and arguments, where the functions themselves
    would overflow or vanish.

    Parameters
    ----------
    order : float
        At least 0.
    x : ndarray
        At least 0.

    Returns
    -------
    ndarray
        In the shape of x; from 0 to 1.

    References
    ----------
    NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov, section 10.41.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.distributions._bessel import bessel_ratio
    >>> x = np.array([1.0, 1e4])  # of order 1/2 it is coth x - 1/x
    >>> bool(np.allclose(bessel_ratio(0.5, x), 1 / np.tanh(x) - 1 / x, rtol=1e-14))
    True
    """
    return _bessel(order, x)[0]


def log_hyp0f1(order: float, x: np.ndarray) -> np.ndarray:
    r"""Logarithm of :math:`\Gamma(\nu+1) (x/2)^{-\nu} I_\nu(x)`, which is 1 at 0.

    It is the hypergeometric function :math:`{}_0F_1(\nu+1; x^2/4)`. Computed as
    :func:`bessel_ratio` is: the error is a few units of the last digit, or 1e-16.

    Parameters
    ----------
    order : float
        At least 0.
    x : ndarray
        At least 0.

    Returns
    -------
    ndarray
        In the shape of x; from 0 to x.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.distributions._bessel import log_hyp0f1
    >>> x = np.array([1e-3, 1.0])  # of order 1/2 it is log(sinh x / x)
    >>> bool(np.allclose(log_hyp0f1(0.5, x), np.log(np.sinh(x) / x), rtol=1e-9))
    True
    """
    return _bessel(order, x)[1]


def _invert_amos(order: float, ratio: np.ndarray) -> np.ndarray:
    """Where Amos's lower bound x / (a + sqrt(x**2 + b**2)) of the ratio has this value."""
    a, b = order + 0.5, order + 1.5
    gap = (1.0 - ratio) * (1.0 + ratio)
    return ratio * (a + np.sqrt((a * ratio) ** 2 + b * b * gap)) / gap


def invert_bessel_ratio(order: float, ratio: np.ndarray) -> np.ndarray:
    r"""Solve :math:`I_{\nu+1}(x) / I_\nu(x) = r` for x.

    Newton's method needs no derivative here: seen through the inverse of Amos's
    bound, the ratio is nearly the identity, and secants do the rest.

    Parameters
    ----------
    order : float
        At least 0.
    ratio : ndarray of shape (K,)
        From 0 to below 1.

    Returns
    -------
    ndarray of shape (K,)
        The residual is of the size of the rounding of the ratio.

    References
    ----------
    Amos, D. E. (1974). Computation of modified Bessel functions and their
    ratios. Mathematics of Computation 28(125), 239-251.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.distributions._bessel import bessel_ratio, invert_bessel_ratio
    >>> x = invert_bessel_ratio(0.0, np.array([0.0, 0.5, 0.99]))
    >>> bool(np.allclose(bessel_ratio(0.0, x), [0.0, 0.5, 0.99], rtol=1e-14))
    True
    """
    ratio = np.asarray(ratio, dtype=np.float64)
    goal = _invert_amos(order, ratio)
    # the bound is a lower one: the solution is no larger than where the bound has this value
    x, last, missed_last = goal, goal, np.zeros_like(goal)
    active = ratio > 0
    for n in range(30):
        found = bessel_ratio(order, x)
        missed = goal - _invert_amos(order, found)
        slope = np.ones_like(x)
        if n:
            moved = missed_last - missed
            np.divide(x - last, moved, out=slope, where=active & (moved != 0))
            slope = np.where((slope > 0.5) & (slope < 2.0), slope, 1.0)
        step = np.where(active, slope * missed, 0.0)
        last, missed_last = x, missed
        x = np.clip(x + step, 0.5 * x, goal)
        # what is left is rounding, or gone with this last step
        active &= np.abs(found - ratio) > 4 * np.finfo(float).eps * ratio
        if not active.any():
            break
    return x
