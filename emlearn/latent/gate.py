"""A softmax gate: labels whose probabilities depend on covariates."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..em.least_squares import response_moments, solve_symmetric
from ..em.posteriors import SOFT, PosteriorMode
from ..em.statistics import Joint, Moments, Statistics, Sums
from .labels import FirstCounts, Labels

__all__ = ["Gate", "GateParameters"]

# products of two probabilities are taken to be no smaller where they divide
_LEAST = 1e-10
# of the units: where doubt comes to less there is none
_CERTAIN = 1e-6


@dataclass(frozen=True)
class GateParameters:
    """Parameters of a gate.

    Attributes
    ----------
    coef : ndarray of shape (K, g)
        Log-odds against component 0, whose row is 0, for each unit of a covariate.
    intercept : ndarray of shape (K,)
    weights : ndarray of shape (K,)
        The mean probabilities of the units that they were fitted to.
    """

    coef: np.ndarray
    intercept: np.ndarray
    weights: np.ndarray


class Gate:
    """Each unit has a component of its own, with probabilities that are a softmax of its covariates.

    Concomitant variables, in the words of Dayton and Macready; a mixture of experts in those of Jordan and Jacobs.
    Its M-step is one Newton step.

    Parameters
    ----------
    n_covariates : int

    References
    ----------
    Dayton, C. M. and Macready, G. B. (1988). Concomitant-variable latent-class models. Journal of the American
    Statistical Association 83(401), 173-178.

    Jordan, M. I. and Jacobs, R. A. (1994). Hierarchical mixtures of experts and the EM algorithm. Neural
    Computation 6(2), 181-214.
    """

    name = "gate"
    stepwise = True

    def __init__(self, n_covariates: int) -> None:
        self.n_covariates = n_covariates

    def first_statistics(self, ends: Any = None) -> FirstCounts:
        """What the shares of a start add up to, piece by piece: the first gate is the same for all units."""
        return FirstCounts(ends)

    def log_probabilities(self, parameters: GateParameters, Z: np.ndarray) -> np.ndarray:
        """Logarithms (n, K) of the probabilities of units with covariates Z (n, g)."""
        scores = Z @ parameters.coef.T + parameters.intercept
        scores -= scores.max(axis=1, keepdims=True)
        return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))

    def posterior(
        self,
        parameters: GateParameters,
        log_density: np.ndarray,
        sample_weight: np.ndarray | None = None,
        *,
        covariates: np.ndarray,
        mode: PosteriorMode = SOFT,
        labels: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Joint, np.ndarray]:
        """Posterior, statistics and log-likelihoods, as those of :class:`Labels`.

        ``covariates`` is an array (n, g).
        """
        log_p = self.log_probabilities(parameters, covariates)
        K = log_p.shape[1]
        posterior, counts, rows = Labels().posterior(
            np.ones(K), log_density + log_p, sample_weight, mode=mode, labels=labels
        )
        return (
            posterior,
            Joint({"counts": counts, "step": self.step(posterior, log_p, covariates)}),
            rows,
        )

    def step(self, posterior: np.ndarray, log_p: np.ndarray, Z: np.ndarray) -> Moments:
        """The normal equations of a Newton step, of each pair of components k < l.

        With probabilities p and posteriors r the Hessian of the expected log-likelihood is that of least squares for
        the differences of linear predictors, with weights ``p_k p_l``; its gradient is the same where the responses
        are those differences plus ``r_k / p_k - r_l / p_l``.
        """
        p, total = np.exp(log_p), posterior.sum(axis=1)
        first, second = _pairs(p.shape[1])
        product = np.maximum(p[:, first] * p[:, second], _LEAST)
        weight = total[:, None] * product
        gap = posterior[:, first] * p[:, second] - posterior[:, second] * p[:, first]
        response = log_p[:, first] - log_p[:, second]
        response = response + np.divide(gap, weight, out=np.zeros_like(gap), where=weight > 0)
        return response_moments(response, Z, weight)

    def m_step(
        self,
        statistics: Statistics,
        prior: None = None,
        current: GateParameters | None = None,
        constraints: Any = None,
    ) -> GateParameters:
        """One Newton step; from the counts of a start the probabilities that they are, whatever the covariates."""
        if isinstance(statistics, Sums):
            counts = statistics["counts"]
            weights = counts / counts.sum()
            logs = np.log(np.maximum(weights, _LEAST))
            return GateParameters(
                np.zeros((len(weights), self.n_covariates)), logs - logs[0], weights
            )
        counts, step = statistics["counts"]["counts"], statistics["step"]
        coef, intercept = _solve(step, len(counts))
        return GateParameters(coef, intercept, counts / counts.sum())

    def between(self, old: GateParameters, new: GateParameters, fraction: float) -> GateParameters:
        """Parameters a fraction of the way from ``old`` to ``new``."""
        return GateParameters(
            old.coef + fraction * (new.coef - old.coef),
            old.intercept + fraction * (new.intercept - old.intercept),
            new.weights,
        )

    def vanishing(self, statistics: Joint) -> np.ndarray:
        """Components (K,) that covariates tell from all others without error: no finite coefficients are best."""
        counts, weight = statistics["counts"]["counts"], statistics["step"].weight
        K = len(counts)
        if K == 1:
            return np.zeros(1, dtype=bool)
        doubt = sum(np.bincount(members, weight, K) for members in _pairs(K))
        return (counts > 0) & (doubt < _CERTAIN * counts.sum())

    def log_prior(self, parameters: GateParameters, prior: None) -> float:
        """0: there is no prior."""
        return 0.0

    def enumerate(
        self, parameters: GateParameters, log_density: np.ndarray, covariates: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Posterior (n, K) and log-likelihood by summing over all K**n labellings: an oracle for tiny n."""
        joint = log_density + self.log_probabilities(parameters, covariates)
        return Labels().enumerate(np.ones(joint.shape[1]), joint)

    def n_free(self, parameters: GateParameters, constraints: Any = None) -> int:
        """Number of free parameters."""
        K, g = parameters.coef.shape
        return (K - 1) * (g + 1)


def _pairs(K: int) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.array(list(combinations(range(K), 2)), dtype=int).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _solve(step: Moments, K: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and intercepts, those of component 0 being 0, that solve the least squares of all pairs."""
    g = step.mean.shape[1] - 1
    coef, intercept = np.zeros((K, g)), np.zeros(K)
    total = step.weight.sum()
    if K == 1 or not total > 0:
        return coef, intercept
    # about the mean of the covariates, where an intercept and slopes do not mix
    origin = step.weight @ step.mean[:, 1:] / total
    A, b = np.zeros((K, 1 + g, K, 1 + g)), np.zeros((K, 1 + g))
    for pair, (k, m) in enumerate(zip(*_pairs(K), strict=True)):
        w, delta = step.weight[pair], step.mean[pair, 1:] - origin
        z = np.r_[1.0, delta]
        M = w * np.outer(z, z)
        M[1:, 1:] += step.scatter[pair][1:, 1:]
        right = w * step.mean[pair, 0] * z
        right[1:] += step.scatter[pair][1:, 0]
        for i, j, sign in ((k, k, 1), (m, m, 1), (k, m, -1), (m, k, -1)):
            A[i, :, j] += sign * M
        b[k] += right
        b[m] -= right
    n = (K - 1) * (1 + g)
    found = solve_symmetric(A[1:, :, 1:].reshape(n, n), b[1:].ravel()).reshape(K - 1, 1 + g)
    coef[1:] = found[:, 1:]
    intercept[1:] = found[:, 0] - found[:, 1:] @ origin
    return coef, intercept
