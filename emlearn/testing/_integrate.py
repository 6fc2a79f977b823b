"""Integrals of a density: enumeration, quadrature, or importance sampling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_t, qmc

__all__ = ["Rule", "enumeration", "importance", "quadrature"]

# nodes of the double-exponential rule, by dimension; beyond two dimensions points are drawn
_NODES = {1: 1001, 2: 241}
_REACH = 4.2


@dataclass(frozen=True)
class Rule:
    """Points with weights: the integral of f is the sum of ``exp(log_weights) * f(points)``.

    Attributes
    ----------
    points : ndarray of shape (m, d)
    log_weights : ndarray of shape (m,)
    drawn : bool
        True where the points were drawn, so that the integral has a standard error.
    """

    points: np.ndarray
    log_weights: np.ndarray
    drawn: bool = False

    def integrate(
        self, log_density: np.ndarray, values: np.ndarray | float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Integral of density times values, and its standard error."""
        log_terms = log_density + self.log_weights
        terms = np.exp(log_terms)
        product = (terms * np.transpose(values)).T
        error = np.zeros(product.shape[1:])
        if self.drawn:
            error = product.std(axis=0) * np.sqrt(len(terms))
        return product.sum(axis=0), error

    def mass(self, log_density: np.ndarray) -> tuple[float, float]:
        """Integral of the density, and its standard error."""
        log_terms = log_density + self.log_weights
        total = float(np.exp(logsumexp(log_terms)))
        error = float(np.exp(log_terms).std() * np.sqrt(len(log_terms))) if self.drawn else 0.0
        return total, error


def enumeration(points: np.ndarray) -> Rule:
    """Every point counts once."""
    return Rule(points, np.zeros(len(points)))


def importance(points: np.ndarray, log_proposal: np.ndarray) -> Rule:
    """Points drawn with a known log-density."""
    log_proposal = np.asarray(log_proposal, dtype=np.float64)
    return Rule(points, -log_proposal - np.log(len(log_proposal)), drawn=True)


def quadrature(bounds: np.ndarray, sample: np.ndarray, seed: int) -> Rule:
    """A rule for smooth densities near a sample, between bounds (d, 2) that may be infinite.

    The trapezoidal rule after a double-exponential substitution: tails and poles at a bound converge
    as fast as the middle.

    References
    ----------
    Takahasi, H. and Mori, M. (1974). Double exponential formulas for numerical integration.
    Publications of the Research Institute for Mathematical Sciences 9(3), 721-741.
    """
    d = sample.shape[1]
    if d not in _NODES and np.isinf(bounds).all():
        return _student(sample, seed)
    maps = [_substitution(low, high, sample[:, j]) for j, (low, high) in enumerate(bounds)]
    if d in _NODES:
        u = np.linspace(-_REACH, _REACH, _NODES[d])
        grid = np.stack(np.meshgrid(*[u] * d, indexing="ij"), axis=-1).reshape(-1, d)
        step = d * np.log(u[1] - u[0])
        drawn = False
    else:
        unit = qmc.Sobol(d, seed=seed).random(2**16)
        grid = _REACH * (2.0 * unit - 1.0)
        step = d * np.log(2 * _REACH) - np.log(len(grid))
        drawn = True
    columns, log_jacobian = [], np.full(len(grid), step)
    for j, substitute in enumerate(maps):
        x, log_slope = substitute(grid[:, j])
        columns.append(x)
        log_jacobian = log_jacobian + log_slope
    points = np.stack(columns, axis=1)
    inside = np.all((points > bounds[:, 0]) & (points < bounds[:, 1]), axis=1)
    inside &= np.isfinite(log_jacobian)
    log_jacobian[~inside] = -np.inf  # a node that rounding put on a bound
    points[~inside] = sample[0]
    return Rule(points, log_jacobian, drawn)


def _student(sample: np.ndarray, seed: int) -> Rule:
    """Points of a multivariate t distribution about the sample, a little wider."""
    wide = multivariate_t(
        np.median(sample, axis=0), 1.5 * np.cov(sample.T), df=3, seed=np.random.RandomState(seed)
    )
    points = wide.rvs(2**16)
    return importance(points, wide.logpdf(points))


def _substitution(
    low: float, high: float, sample: np.ndarray
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """From a variable in the middle of the real line to one between two bounds, and the log-slope."""
    half = np.pi / 2
    spread = float(np.subtract(*np.quantile(sample, [0.9, 0.1]))) or 1.0
    if np.isfinite(low) and np.isfinite(high):

        def between(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            v = half * np.sinh(u)
            x = low + (high - low) / (1.0 + np.exp(-2.0 * v))
            log_slope = np.log(2 * half * (high - low) * np.cosh(u))
            return x, log_slope - 2.0 * np.logaddexp(v, -v)

        return between
    if np.isfinite(low) or np.isfinite(high):
        sign, origin = (1.0, low) if np.isfinite(low) else (-1.0, high)
        scale = float(np.median(np.abs(sample - origin))) or spread

        def beyond(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            v = half * np.sinh(u)
            return origin + sign * scale * np.exp(v), np.log(half * scale * np.cosh(u)) + v

        return beyond
    middle = float(np.median(sample))

    def everywhere(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        v = half * np.sinh(u)
        x = middle + spread / 2 * np.sinh(v)
        return x, np.log(half * spread / 2 * np.cosh(u)) + np.logaddexp(v, -v) - np.log(2.0)

    return everywhere
