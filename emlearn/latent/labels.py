"""Independent labels: the latent structure of a mixture."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln, logsumexp, xlogy

from .._kernels import labels as kernel
from ..em.fixed import Constraints
from ..em.probabilities import shares
from ..em.statistics import Sums

__all__ = ["Labels"]


class FirstCounts:
    """Counts of the components at a start."""

    def __init__(self) -> None:
        self.statistics: Sums | None = None

    def add(self, rows: Any, shares: np.ndarray) -> None:
        """Some rows with their shares (rows, K), times sample weight."""
        part = Sums({"counts": shares.sum(axis=0)})
        self.statistics = part if self.statistics is None else self.statistics + part


class Labels:
    """Each row has a component of its own, drawn with probabilities ``weights`` (K,).

    The unit is the row.
    """

    name = "labels"

    def first_statistics(self, ends: None = None) -> FirstCounts:
        """What the shares of a start add up to, piece by piece."""
        return FirstCounts()

    def log_weights(self, weights: np.ndarray) -> np.ndarray:
        """Logarithm of the weights; -inf where one is 0."""
        with np.errstate(divide="ignore"):
            return np.log(weights)

    def posterior(
        self, weights: np.ndarray, log_density: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> tuple[np.ndarray, Sums, np.ndarray]:
        """Posterior times sample weight (n, K), counts, and row log-likelihoods (n,)."""
        density = np.ascontiguousarray(log_density, dtype=np.float64)
        posterior, counts, rows = kernel.posterior(
            density, self.log_weights(weights), sample_weight
        )
        return posterior, Sums({"counts": counts}), rows

    def m_step(
        self,
        statistics: Sums,
        concentration: float | None = None,
        current: Any = None,
        constraints: Constraints | None = None,
    ) -> np.ndarray:
        """Weights from counts; under a symmetric Dirichlet prior with ``concentration``, their mode."""
        counts = statistics["counts"]
        if concentration is not None:
            counts = counts + (concentration - 1.0)
        if constraints:
            return shares(counts, constraints["weights"], current)
        return counts / counts.sum()

    def log_prior(self, weights: np.ndarray, concentration: float | None) -> float:
        """Log-density of the weights under a symmetric Dirichlet prior; 0 without one."""
        if concentration is None:
            return 0.0
        K = len(weights)
        power = xlogy(concentration - 1.0, weights).sum()
        return float(gammaln(K * concentration) - K * gammaln(concentration) + power)

    def sample(self, weights: np.ndarray, n_samples: int, rng: np.random.RandomState) -> np.ndarray:
        """How many rows of each component."""
        p = weights.astype(np.float64)
        return rng.multinomial(n_samples, p if weights.dtype == np.float64 else p / p.sum())

    def n_free(self, weights: np.ndarray, constraints: Constraints | None = None) -> int:
        """Number of free parameters."""
        return constraints["weights"].n_free() if constraints else len(weights) - 1

    def enumerate(self, weights: np.ndarray, log_density: np.ndarray) -> tuple[np.ndarray, float]:
        """Posterior (n, K) and log-likelihood by summing over all K**n labellings: an oracle for tiny n."""
        n, K = log_density.shape
        labellings = np.indices((K,) * n).reshape(n, -1)
        log_p = (log_density + self.log_weights(weights))[np.arange(n)[:, None], labellings].sum(
            axis=0
        )
        total = float(logsumexp(log_p))
        p = np.exp(log_p - total)
        posterior = np.stack([(p * (labellings == k)).sum(axis=1) for k in range(K)], axis=1)
        return posterior, total
