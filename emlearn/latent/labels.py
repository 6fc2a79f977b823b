"""Independent labels: the latent structure of a mixture."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln, logsumexp, xlogy

from .._kernels import labels as kernel
from ..em.fixed import Constraints
from ..em.posteriors import SOFT, PosteriorMode
from ..em.probabilities import shares
from ..em.statistics import Sums
from ._modes import draw, one_hot, pin

__all__ = ["Labels"]


class FirstCounts:
    """Counts of the components at a start; of units, where rows make some, that end at ``ends``."""

    def __init__(self, ends: np.ndarray | None = None) -> None:
        self.statistics: Sums | None = None
        lengths = None if ends is None else np.diff(ends, prepend=0)
        self.lengths = None if lengths is None else np.repeat(lengths, lengths)

    def add(self, rows: Any, shares: np.ndarray) -> None:
        """Some rows with their shares (rows, K), times sample weight."""
        if self.lengths is not None:
            shares = shares / self.lengths[rows, None]
        part = Sums({"counts": shares.sum(axis=0)})
        self.statistics = part if self.statistics is None else self.statistics + part


def _best(joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The component (n,) of the largest joint log-density, and that; 0 and -inf for a row that is lost."""
    component = joint.argmax(axis=1)
    rows = joint[np.arange(len(joint)), component]
    lost = ~np.isfinite(rows)
    component[lost], rows[lost] = 0, -np.inf
    return component, rows


class Labels:
    """Each row has a component of its own, drawn with probabilities ``weights`` (K,).

    The unit is the row.
    """

    name = "labels"

    def first_statistics(self, ends: np.ndarray | None = None) -> FirstCounts:
        """What the shares of a start add up to, piece by piece."""
        return FirstCounts(ends)

    def log_weights(self, weights: np.ndarray) -> np.ndarray:
        """Logarithm of the weights; -inf where one is 0."""
        with np.errstate(divide="ignore"):
            return np.log(weights)

    def posterior(
        self,
        weights: np.ndarray,
        log_density: np.ndarray,
        sample_weight: np.ndarray | None = None,
        *,
        mode: PosteriorMode = SOFT,
        labels: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Sums, np.ndarray]:
        """Posterior, statistics and log-likelihoods.

        Parameters
        ----------
        weights : ndarray of shape (K,)
        log_density : ndarray of shape (n, K)
        sample_weight : ndarray of shape (n,) or None
        mode : PosteriorMode, default=SOFT
            The posterior itself, tempered or not, its mode (the lowest component where several are as good), or
            a draw from it.
        labels : ndarray of int of shape (n,) or None
            Components that are known, -1 where not: such a row is there, even if it cannot be.

        Returns
        -------
        posterior : ndarray of shape (n, K)
            Times sample weight. A row that no component reaches is shared evenly; if hard, it goes to the first.
        statistics : Sums
            ``counts`` (K,), its sums.
        rows : ndarray of shape (n,)
            Log-likelihood of each row, with its label where that is known; tempered its free energy; if hard the
            joint log-density of row and component.
        """
        density = np.ascontiguousarray(log_density, dtype=np.float64)
        log_weights = self.log_weights(weights)
        if mode.plain and labels is None:
            posterior, counts, rows = kernel.posterior(density, log_weights, sample_weight)
            return posterior, Sums({"counts": counts}), rows
        joint = density + log_weights
        impossible = None if labels is None else pin(joint, labels)
        if mode.kind == "hard":
            component, rows = _best(joint)
        else:
            table = joint if mode.temperature == 1.0 else joint / mode.temperature
            drawn = mode.kind == "stochastic"
            posterior, counts, rows = kernel.posterior(
                table, np.zeros(joint.shape[1]), None if drawn else sample_weight
            )
            rows *= mode.temperature
            if drawn:
                component = draw(posterior, mode.generator().random(len(rows)))
        if mode.kind != "soft":
            posterior = one_hot(component, sample_weight, joint)
            counts = np.bincount(component, sample_weight, joint.shape[1]).astype(np.float64)
        if impossible is not None:
            rows[impossible] = -np.inf
        return posterior, Sums({"counts": counts}), rows

    def expected_statistics(
        self, weights: np.ndarray, n_rows: float, n_units: float
    ) -> tuple[Sums, np.ndarray]:
        """What so many rows are expected to count, and how many rows of each component there are then."""
        counts = weights * n_rows
        return Sums({"counts": counts}), counts

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
