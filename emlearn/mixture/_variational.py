"""The variational posterior of a Gaussian mixture: its prior, E-step, M-step and bound.

The posterior of weights, means and precisions is approximated by a product,
Dirichlet (or Beta, stick by stick) times normal-Wishart (Attias 2000; Bishop
2006, section 10.2; Blei & Jordan 2006). The covariance models other than
"full" are that same normal-Wishart, held to a diagonal scale matrix, to a
multiple of the identity, or to one Wishart for all components: the best of its
kind has the average of the free natural parameters, so that each M-step is
exact within its kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betaln, digamma, gammaln

from ..distributions import Gaussian, GaussianParameters
from ..distributions.gaussian import SINGULAR_MESSAGE
from ..em.statistics import Joint, Moments, Statistics, Sums
from ..exceptions import SingularError

__all__ = ["WEIGHTS", "Posterior", "VariationalModel", "VariationalPrior"]


@dataclass(frozen=True)
class VariationalPrior:
    """What was believed before the data; ``covariance`` (d, d), (d,) or () is the inverse of Wishart's scale matrix."""

    concentration: float
    mean_precision: float
    mean: np.ndarray
    degrees_of_freedom: float
    covariance: np.ndarray


@dataclass(frozen=True)
class Posterior:
    """The variational posterior, and the expectations that follow from it.

    Attributes
    ----------
    weights : ndarray of shape (K,)
        Posterior means, scaled to sum to 1.
    components : GaussianParameters
        Means, and the inverses of the expected precisions with their factors.
    concentration : ndarray of shape (K,), or (2, K) for sticks
    mean_precision : ndarray of shape (K,)
        How many rows the knowledge of each mean is worth.
    degrees_of_freedom : ndarray of shape (K,), or () for "tied"
    precisions : ndarray
        Expected precisions.
    log_weights : ndarray of shape (K,)
        What the expected log-density has beside that of the components: the
        expected log weights, and what the logarithm of a precision and the
        position of a mean lose by not being known.
    """

    weights: np.ndarray
    components: GaussianParameters
    concentration: np.ndarray
    mean_precision: np.ndarray
    degrees_of_freedom: np.ndarray
    precisions: np.ndarray
    log_weights: np.ndarray


# ------------------------------------------------------------- weights


class Sticks:
    """Dirichlet process, truncated: component k takes a Beta share of what those before it leave over."""

    ndim = 2

    def m_step(self, counts: np.ndarray, prior: float) -> np.ndarray:
        after = np.cumsum(counts[::-1])[::-1]
        return np.array([1.0 + counts, prior + np.append(after[1:], 0.0)])

    def means(self, concentration: np.ndarray) -> np.ndarray:
        a, b = concentration
        left = np.cumprod(b / (a + b))
        weights = a / (a + b) * np.append(1.0, left[:-1])
        return weights / weights.sum()

    def _log_sticks(self, concentration: np.ndarray) -> np.ndarray:
        """Expected logarithms (2, K) of the share taken and of that left over."""
        return digamma(concentration) - digamma(concentration.sum(axis=0))

    def log_weights(self, concentration: np.ndarray) -> np.ndarray:
        taken, left = self._log_sticks(concentration)
        return taken + np.append(0.0, np.cumsum(left[:-1]))

    def log_normaliser(self, concentration: np.ndarray) -> float:
        return float(betaln(*concentration).sum())

    def cross(self, concentration: np.ndarray, prior: float) -> float:
        """Natural parameters of the prior less those of the posterior, times the expected logarithms."""
        difference = np.array([[1.0], [prior]]) - concentration
        return float(np.vdot(difference, self._log_sticks(concentration)))


class Dirichlet:
    """Symmetric Dirichlet distribution."""

    ndim = 1

    def m_step(self, counts: np.ndarray, prior: float) -> np.ndarray:
        return prior + counts

    def means(self, concentration: np.ndarray) -> np.ndarray:
        return concentration / concentration.sum()

    def log_weights(self, concentration: np.ndarray) -> np.ndarray:
        return digamma(concentration) - digamma(concentration.sum())

    def log_normaliser(self, concentration: np.ndarray) -> float:
        return float(gammaln(concentration).sum() - gammaln(concentration.sum()))

    def cross(self, concentration: np.ndarray, prior: float) -> float:
        return float((prior - concentration) @ self.log_weights(concentration))


WEIGHTS: dict[str, Sticks | Dirichlet] = {
    "dirichlet_process": Sticks(),
    "dirichlet_distribution": Dirichlet(),
}


# ---------------------------------------------------------- precisions


def _updated_covariance(
    kind: str, moments: Moments, prior: VariationalPrior, reg_covar: float, dof: np.ndarray
) -> np.ndarray:
    """Inverse of the expected precisions."""
    n, delta = moments.weight, moments.mean - prior.mean
    pull = n * (prior.mean_precision / (prior.mean_precision + n))
    K, d = delta.shape
    if kind == "full":
        total = moments.scatter + (pull[:, None] * delta)[:, :, None] * delta[:, None, :]
        total.reshape(K, -1)[:, :: d + 1] += (reg_covar * n)[:, None]
        return (total + prior.covariance) / dof[:, None, None]
    if kind == "tied":
        total = moments.scatter + (pull[:, None] * delta).T @ delta
        total.reshape(-1)[:: d + 1] += reg_covar * n.sum()
        return (total / K + prior.covariance) / dof
    total = moments.scatter + pull[:, None] * np.square(delta) + (reg_covar * n)[:, None]
    if kind == "diag":
        return (total + prior.covariance) / dof[:, None]
    return (total.mean(axis=1) + prior.covariance) / dof


def _traces(kind: str, scatter: np.ndarray, precisions: np.ndarray) -> float:
    """Sum over the components of tr(scatter precision)."""
    if kind == "spherical":
        return float(scatter.sum(axis=1) @ precisions)
    return float(np.vdot(scatter, precisions))


def _prior_traces(kind: str, covariance: np.ndarray, precisions: np.ndarray, K: int) -> np.ndarray:
    """Sum over the components of tr(covariance precision), in one feature for "spherical"."""
    total = K * precisions if kind == "tied" else precisions.sum(axis=0)
    return np.vdot(covariance, total)


def _squares(kind: str, delta: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """delta' precision delta (K,)."""
    if kind == "full":
        y = np.matmul(delta[:, None, :], factors)[:, 0]
    elif kind == "tied":
        y = delta @ factors
    else:
        y = delta * factors.reshape(len(delta), -1)
    return np.einsum("kj,kj->k", y, y)


# --------------------------------------------------------------- model


class VariationalModel:
    """E-step and M-step of the variational posterior.

    The statistics are those of a Gaussian mixture, by the same kernel. The
    objective is the evidence lower bound of all rows, responsibilities at
    their best, without the normalisers of the prior and of the Gaussian.

    Parameters
    ----------
    distribution : Gaussian
    weights : {"dirichlet_process", "dirichlet_distribution"}
    prior : VariationalPrior or None
        None is enough for scores.
    start : callable
        ``start(X, sample_weight, random_state)`` returns parameters to begin with.
    """

    #: the objective is that of all rows, not of one
    total_scale = True

    def __init__(
        self,
        distribution: Gaussian,
        weights: str,
        prior: VariationalPrior | None = None,
        start: Callable[..., Posterior] | None = None,
    ) -> None:
        self.distribution = distribution
        self.weights = WEIGHTS[weights]
        self.prior: Any = prior
        self.initial_parameters = start

    @property
    def uses_blas(self) -> bool:
        """True where scores depend on how many threads BLAS takes."""
        return self.distribution.uses_blas

    def posterior(
        self,
        concentration: np.ndarray,
        mean_precision: np.ndarray,
        degrees_of_freedom: np.ndarray,
        components: GaussianParameters,
    ) -> Posterior:
        """A posterior from its parameters."""
        d = components.means.shape[1]
        # E log|precision| - log|E precision|; one Wishart stands for all components of "tied"
        unsure = digamma(0.5 * (degrees_of_freedom[..., None] - np.arange(d))).sum(axis=-1)
        unsure += d * (math.log(2.0) - np.log(degrees_of_freedom))
        return Posterior(
            self.weights.means(concentration),
            components,
            concentration,
            mean_precision,
            degrees_of_freedom,
            self.distribution.covariance.precisions(components.precisions_cholesky),
            self.weights.log_weights(concentration) + 0.5 * (unsure - d / mean_precision),
        )

    def e_step(
        self, parameters: Posterior, X: np.ndarray, sample_weight: np.ndarray | None
    ) -> tuple[Statistics, float]:
        # the bound leaves out the constant of the Gaussian
        log_weights = parameters.log_weights + 0.5 * X.shape[1] * math.log(2 * math.pi)
        counts, moments, value = self.distribution.fused(
            parameters.components, log_weights, X, sample_weight
        )
        return Joint({"labels": Sums({"counts": counts}), "components": moments}), value

    def m_step(self, statistics: Joint, parameters: Posterior | None) -> Posterior:
        """The posterior that maximises the bound at these statistics; an empty component gets the prior.

        Raises
        ------
        SingularError
            If a covariance is singular, which takes a singular prior.
        """
        prior, moments = self.prior, statistics["components"]
        gaussian, n = self.distribution, moments.weight
        tied = gaussian.covariance_type == "tied"
        dof = prior.degrees_of_freedom + (n.sum() / len(n) if tied else n)
        mean_precision = prior.mean_precision + n
        means = prior.mean + (n / mean_precision)[:, None] * (moments.mean - prior.mean)
        covariances = _updated_covariance(
            gaussian.covariance_type, moments, prior, gaussian.reg_covar, dof
        )
        factors, singular = gaussian.covariance.factor(covariances)
        if len(singular) and gaussian.reg_covar > 0:  # lost in rounding: the least that is not
            covariances = gaussian.covariance.lift(covariances, singular)
            factors, singular = gaussian.covariance.factor(covariances)
        if len(singular):
            raise SingularError(f"{SINGULAR_MESSAGE} Singular components: {singular.tolist()}.")
        return self.posterior(
            self.weights.m_step(n, prior.concentration),
            mean_precision,
            np.asarray(dof),
            GaussianParameters(means, covariances, factors),
        )

    # -------------------------------------------------------------- bound

    def _log_det(self, parameters: Posterior) -> np.ndarray:
        """Half the log-determinants (K,) of the scale matrices."""
        K, d = parameters.components.means.shape
        factors = parameters.components.precisions_cholesky
        half = self.distribution.covariance.log_det(factors, K, d)
        return half - 0.5 * d * np.log(parameters.degrees_of_freedom)

    def _log_normaliser(self, parameters: Posterior, log_det: np.ndarray) -> float:
        """Log of what the unnormalised posterior integrates to."""
        K, d = parameters.components.means.shape
        dof = parameters.degrees_of_freedom
        gammas = gammaln(0.5 * (dof[..., None] - np.arange(d))).sum(axis=-1)
        wishart = np.broadcast_to(dof * (log_det + 0.5 * d * math.log(2.0)) + gammas, (K,)).sum()
        positions = -0.5 * d * np.log(parameters.mean_precision).sum()
        return self.weights.log_normaliser(parameters.concentration) + float(wishart + positions)

    def log_prior(self, parameters: Posterior) -> float:
        """Minus the divergence of the posterior from the prior, without the prior's normaliser."""
        prior, components = self.prior, parameters.components
        kind, (K, d) = self.distribution.covariance_type, components.means.shape
        dof, mean_precision = parameters.degrees_of_freedom, parameters.mean_precision
        log_det = self._log_det(parameters)
        expected = 2 * log_det + d * math.log(2.0)
        expected = expected + digamma(0.5 * (dof[..., None] - np.arange(d))).sum(axis=-1)
        far = _squares(kind, components.means - prior.mean, components.precisions_cholesky)
        trace = _prior_traces(kind, prior.covariance, parameters.precisions, K)
        wishart = (prior.degrees_of_freedom - dof) * expected + d * dof
        normal = d - prior.mean_precision * (d / mean_precision + far)
        return (
            self._log_normaliser(parameters, log_det)
            + self.weights.cross(parameters.concentration, prior.concentration)
            + 0.5 * float((wishart + normal).sum() - (d if kind == "spherical" else 1) * trace)
        )

    def bound(self, old: Posterior, new: Posterior, statistics: Joint, objective: float) -> float:
        """The lower bound right after an M-step: ``new`` with the responsibilities of ``old``.

        Where M-step and posterior match, all that is left of it are normalisers and the entropy
        of the responsibilities.
        """
        kind, moments, components = (
            self.distribution.covariance_type,
            statistics["components"],
            old.components,
        )
        factors = components.precisions_cholesky
        constants = old.log_weights + self.distribution.covariance.log_det(
            factors, *components.means.shape
        )
        far = _squares(kind, moments.mean - components.means, factors)
        trace = _traces(kind, moments.scatter, old.precisions)
        complete = float(moments.weight @ (constants - 0.5 * far)) - 0.5 * trace
        entropy = objective - self.log_prior(old) - complete
        return entropy + self._log_normaliser(new, self._log_det(new))

    def ascent(self, old: Posterior, new: Posterior, statistics: Joint) -> float:
        # reg_covar acts on expected precisions as it does on precisions
        return self.distribution.ascent(old.components, new.components, statistics["components"])

    # ------------------------------------------------------------- scores

    def scores(self, parameters: Posterior, X: np.ndarray, **outputs: np.ndarray) -> bool:
        """Fill ``joint``, ``posterior``, ``log_density`` or ``label`` of a block; False if a row is not finite."""
        return self.distribution.fused_scores(
            parameters.components, parameters.log_weights, X, **outputs
        )
