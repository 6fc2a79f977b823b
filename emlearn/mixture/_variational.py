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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betaln, digamma, gammaln

from ..distributions import Gaussian, GaussianParameters
from ..distributions.gaussian import SINGULAR_MESSAGE
from ..em.posteriors import SOFT, PosteriorMode
from ..em.statistics import Joint, Moments, Statistics, Sums
from ..exceptions import SingularError
from ..latent import Labels

__all__ = ["WEIGHTS", "Posterior", "VariationalModel", "VariationalPrior"]

# the method ``sum`` goes through Python: of small arrays that is half its time
_add = np.add.reduce


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
    constants : ndarray of shape (K,)
        The same and half the log-determinants: all but the distance, and but the constant of the
        Gaussian, which the bound leaves out.
    log_shares, log_det : ndarray
        Expected logarithms: of the weights or of the shares of sticks, in the
        shape of ``concentration``; of the determinants of the precisions (K,).
    log_normaliser : float
        Logarithm of what the posterior integrates to without its constant.
    given_weights : ndarray of shape (K,) or None
        The fitted ``weights_``, which are what samples are drawn with.
    """

    components: GaussianParameters
    concentration: np.ndarray
    mean_precision: np.ndarray
    degrees_of_freedom: np.ndarray
    precisions: np.ndarray
    log_weights: np.ndarray
    constants: np.ndarray
    log_shares: np.ndarray
    log_det: np.ndarray
    log_normaliser: float
    given_weights: np.ndarray | None = None

    @property
    def weights(self) -> np.ndarray:
        """Posterior means (K,), scaled to sum to 1."""
        if self.given_weights is not None:
            return self.given_weights
        kinds = {kind.ndim: kind for kind in WEIGHTS.values()}
        return kinds[self.concentration.ndim].means(self.concentration)


# ------------------------------------------------------------- weights


class Sticks:
    """Dirichlet process, truncated: component k takes a Beta share of what those before it leave over."""

    ndim = 2

    def m_step(self, counts: np.ndarray, prior: float) -> np.ndarray:
        concentration = np.empty((2, len(counts)))
        concentration[0] = 1.0 + counts
        concentration[1, -1] = prior
        concentration[1, :-1] = prior + counts[:0:-1].cumsum()[::-1]
        return concentration

    def prior(self, prior: float) -> np.ndarray:
        return np.array([[1.0], [prior]])

    def means(self, concentration: np.ndarray) -> np.ndarray:
        taken, left = concentration / concentration.sum(axis=0)
        taken[1:] *= left[:-1].cumprod()
        return taken / taken.sum()

    def log_shares(self, concentration: np.ndarray) -> np.ndarray:
        return digamma(concentration) - digamma(_add(concentration))

    def log_weights(self, log_shares: np.ndarray) -> np.ndarray:
        taken, left = log_shares
        log_weights = taken.copy()
        log_weights[1:] += left[:-1].cumsum()
        return log_weights

    def log_normaliser(self, concentration: np.ndarray) -> float:
        return _add(betaln(concentration[0], concentration[1]))


class Dirichlet:
    """Symmetric Dirichlet distribution."""

    ndim = 1

    def m_step(self, counts: np.ndarray, prior: float) -> np.ndarray:
        return prior + counts

    def prior(self, prior: float) -> np.ndarray:
        return np.array([prior])

    def means(self, concentration: np.ndarray) -> np.ndarray:
        return concentration / concentration.sum()

    def log_shares(self, concentration: np.ndarray) -> np.ndarray:
        return digamma(concentration) - digamma(concentration.sum())

    def log_weights(self, log_shares: np.ndarray) -> np.ndarray:
        return log_shares

    def log_normaliser(self, concentration: np.ndarray) -> float:
        return gammaln(concentration).sum() - gammaln(concentration.sum())


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
    #: beside a prior, the unit of the weights counts
    unit_free = False

    latent = Labels()

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
        weights: np.ndarray | None = None,
    ) -> Posterior:
        """A posterior from its parameters."""
        K, d = components.means.shape
        covariance, factors = self.distribution.covariance, components.precisions_cholesky
        half = 0.5 * (degrees_of_freedom[..., None] - np.arange(d))
        # half the log-determinants of the expected precisions, and what there is less of by not knowing them
        certain = covariance.log_det(factors, K, d)
        unsure = (0.5 * d) * np.log(0.5 * degrees_of_freedom)
        half_log_det = certain - unsure + 0.5 * _add(digamma(half), axis=-1)
        log_shares = self.weights.log_shares(concentration)
        log_weights = self.weights.log_weights(log_shares)
        # one Wishart of "tied" stands for all components
        wishart = degrees_of_freedom * (certain - unsure) + _add(gammaln(half), axis=-1)
        constants = log_weights + half_log_det - (0.5 * d) / mean_precision
        return Posterior(
            components,
            concentration,
            mean_precision,
            degrees_of_freedom,
            covariance.precisions(factors),
            constants - certain,
            constants,
            log_shares,
            2.0 * half_log_det,
            float(
                _add(wishart)
                - 0.5 * d * _add(np.log(mean_precision))
                + self.weights.log_normaliser(concentration)
            ),
            weights,
        )

    def prepare(self, X: np.ndarray) -> Any:
        """What the E-step is given of a block."""
        return self.distribution.features(X)

    def e_step(
        self,
        parameters: Posterior,
        X: Any,
        sample_weight: np.ndarray | None,
        *,
        mode: PosteriorMode = SOFT,
        labels: np.ndarray | None = None,
    ) -> tuple[Statistics, float]:
        """Statistics of a block, and its part of the bound.

        With a mode, or labels (-1 where they are unknown), responsibilities are not the best ones, or those of a
        tempered bound; the rest is the same.
        """
        if not mode.plain or labels is not None:
            return self._e_step_of_mode(parameters, X, sample_weight, mode, labels)
        counts, moments, value = self.distribution.fused_sums(
            parameters.components, parameters.constants, X, sample_weight
        )
        return Joint({"labels": Sums({"counts": counts}), "components": moments}), value

    def _e_step_of_mode(
        self,
        parameters: Posterior,
        X: Any,
        sample_weight: np.ndarray | None,
        mode: PosteriorMode,
        labels: np.ndarray | None,
    ) -> tuple[Statistics, float]:
        gaussian, components = self.distribution, parameters.components
        table, _ = gaussian.log_density(components, X)
        # expected log-densities, without the constant that the bound leaves out
        table += parameters.log_weights + 0.5 * X.shape[1] * math.log(2 * math.pi)
        weights, counts, rows = self.latent.posterior(
            np.ones(table.shape[1]), table, sample_weight, mode=mode, labels=labels
        )
        if sample_weight is not None:
            rows = np.where(sample_weight > 0, rows, 0.0) * sample_weight
        moments = gaussian.statistics(components, X, weights)
        return Joint({"labels": counts, "components": moments}), float(rows.sum())

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

    def _cross(
        self, posterior: Posterior, concentration: np.ndarray, other: VariationalPrior
    ) -> float:
        """Natural parameters of another distribution less the posterior's own, times its expectations.

        Minus the divergence of the posterior from the other, short of both normalisers.
        """
        kind, (K, d) = self.distribution.covariance_type, posterior.components.means.shape
        dof, own = posterior.degrees_of_freedom, posterior.mean_precision
        weights = np.vdot(concentration - posterior.concentration, posterior.log_shares)
        delta = posterior.components.means - other.mean
        far = _squares(kind, delta, posterior.components.precisions_cholesky)
        trace = _add(other.covariance * posterior.precisions, axis=None)
        trace *= {"tied": K, "spherical": d}.get(kind, 1)
        terms = (other.degrees_of_freedom - dof) * posterior.log_det
        terms -= other.mean_precision * (d / own + far)
        constant = d * (_add(dof, axis=None) * K / dof.size + K)
        return float(weights + 0.5 * (_add(terms) + constant - trace))

    def log_prior(self, parameters: Posterior) -> float:
        """Minus the divergence of the posterior from the prior, without the prior's normaliser."""
        concentration = self.weights.prior(self.prior.concentration)
        return parameters.log_normaliser + self._cross(parameters, concentration, self.prior)

    def bound(self, old: Posterior, new: Posterior, statistics: Joint, objective: float) -> float:
        """The lower bound right after an M-step: ``new`` with the responsibilities of ``old``.

        An exact M-step gains the divergence of ``old`` from ``new``, whatever the responsibilities; where they were
        drawn, ``objective`` is not that of the draw, and this is no bound. What ``reg_covar`` adds to the
        scatter is counted as if rows had it, as in scikit-learn.
        """
        gaussian, components, dof = self.distribution, new.components, new.degrees_of_freedom
        scatter = components.covariances
        scatter = scatter * dof.reshape(dof.shape + (1,) * (scatter.ndim - dof.ndim))
        other = VariationalPrior(math.nan, new.mean_precision, components.means, dof, scatter)
        gain = new.log_normaliser - old.log_normaliser
        gain -= self._cross(old, new.concentration, other)
        if gaussian.reg_covar > 0:
            traces = gaussian.covariance.trace_precision(
                old.components.precisions_cholesky, *components.means.shape
            )
            gain -= 0.5 * gaussian.reg_covar * float(statistics["components"].weight @ traces)
        return objective + gain

    def ascent(self, old: Posterior, new: Posterior, statistics: Joint) -> float:
        # reg_covar acts on expected precisions as it does on precisions
        return self.distribution.ascent(old.components, new.components, statistics["components"])

    # ------------------------------------------------------------- scores

    def shares(
        self, parameters: Posterior, X: np.ndarray, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """Responsibilities (n, K) of rows, the best ones, whatever labels are known."""
        out = np.empty((len(X), len(parameters.components.means)))
        self.scores(parameters, X, posterior=out)
        return out

    def posteriors(
        self, parameters: Posterior, X: np.ndarray, modes: Sequence[PosteriorMode]
    ) -> list[np.ndarray]:
        """What each of some modes makes of the responsibilities (n, K)."""
        gaussian = self.distribution
        table, _ = gaussian.log_density(parameters.components, gaussian.features(X))
        table += parameters.log_weights
        ones = np.ones(table.shape[1])
        return [self.latent.posterior(ones, table, None, mode=mode)[0] for mode in modes]

    def scores(self, parameters: Posterior, X: np.ndarray, **outputs: np.ndarray) -> bool:
        """Fill ``joint``, ``posterior``, ``log_density`` or ``label`` of a block; False if a row is not finite."""
        return self.distribution.fused_scores(
            parameters.components, parameters.log_weights, X, **outputs
        )
