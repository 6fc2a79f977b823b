"""Covariance models of a Gaussian: what is shared, what is zero, what is free.

One class a model, behind one contract. Shapes are scikit-learn's: ``full``
(K, d, d), ``tied`` (d, d), ``diag`` (K, d), ``spherical`` (K,).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from scipy.linalg import lapack
from scipy.special import gammaln, multigammaln

from ..._kernels import gaussian as kernel
from ...em.statistics import Moments

__all__ = ["Covariance", "Matrices", "Variances"]

_EPS = float(np.finfo(np.float64).eps)
# up to this many features the kernel's loops beat LAPACK's set-up
_SMALL = 24


class Covariance(ABC):
    """A covariance model.

    Attributes
    ----------
    name : str
    form : {"full", "pooled", "diag"}
        The scatter that its M-step needs.
    code, form_code : int
        The kernel's names for the density and the form.
    shared : bool
        True where components have a part of their covariances in common.
    prior_form : {"matrix", "variances", "variance"}
        What the scale of the conjugate prior is: a matrix, a variance for each feature, or one.
    exact : bool
        False where the M-step only improves.
    low_rank : bool
        True where a covariance is made of loadings and noise, and takes ``n_factors``.
    """

    name: ClassVar[str]
    form: ClassVar[str]
    code: ClassVar[int]
    form_code: ClassVar[int]
    shared: ClassVar[bool] = False
    prior_form: ClassVar[str] = "matrix"
    exact: ClassVar[bool] = True
    low_rank: ClassVar[bool] = False

    def configure(self, n_factors: int) -> Self:
        """The model with its hyper-parameters."""
        return self

    @abstractmethod
    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Shape of the covariances."""

    @abstractmethod
    def n_free(self, n_components: int, n_features: int) -> int:
        """Number of free parameters."""

    @abstractmethod
    def m_step(
        self, moments: Moments, floor: float, current: np.ndarray | None = None
    ) -> np.ndarray:
        """Maximum-likelihood covariances of scatters to which ``floor`` times the weight was added.

        Parameters
        ----------
        moments : Moments
            A weight may be 0 where the model is ``shared`` and there are current covariances:
            what that component has of its own stays.
        floor : float
        current : ndarray, default=None
            The current covariances: where an iterative M-step begins. It takes few steps from
            there, none of them down; without, it goes on until it rests.

        Returns
        -------
        ndarray
            Not positive definite for a component that has no maximum.
        """

    def estimate(
        self, moments: Moments, floor: float, current: Any = None
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The M-step, and what the model publishes besides; ``current`` are parameters."""
        return self.m_step(moments, floor, None if current is None else current.covariances), {}

    def alternatives(self, moments: Moments, floor: float) -> list[np.ndarray]:
        """Other covariances for EM to begin with, where its M-step has several optima."""
        return []

    @abstractmethod
    def prior_counts(
        self, dof: float, shrinks: bool, n_components: int, n_features: int
    ) -> tuple[float, float]:
        """What the conjugate prior adds to a component.

        The log-prior is that of the means, normalised apart from the determinant, and the sum over
        components of ``-count/2 log det(covariance) - share/2 trace(scale @ precision)``, plus a
        constant.

        Parameters
        ----------
        dof : float
        shrinks : bool
            Whether there is a prior of the means, whose determinant counts as well.
        n_components, n_features : int

        Returns
        -------
        count, share : float
        """

    def prior_constant(
        self, dof: float, scale: np.ndarray, n_components: int, n_features: int
    ) -> float:
        """Log-normaliser of the prior of the covariances; 0 where it is no proper density."""
        return 0.0

    @abstractmethod
    def factor(self, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Precision factors, and the indices of singular covariances."""

    @abstractmethod
    def lift(self, covariances: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Covariances with those at ``indices`` raised by what rounding can tell from 0."""

    @abstractmethod
    def log_det(self, factors: np.ndarray, n_components: int, n_features: int) -> np.ndarray:
        """Log-determinant (K,) of the factors."""

    @abstractmethod
    def dense(self, values: np.ndarray, n_components: int, n_features: int) -> np.ndarray:
        """Covariances as (K, d, d)."""

    @abstractmethod
    def precisions(self, factors: np.ndarray) -> np.ndarray:
        """Precisions from their factors."""

    @abstractmethod
    def invert(self, precisions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Covariances and factors from precisions."""

    @abstractmethod
    def check_precisions(self, precisions: np.ndarray) -> None:
        """ValueError unless each precision is one."""

    def trace_precision(
        self, factors: np.ndarray, n_components: int, n_features: int
    ) -> np.ndarray:
        """Trace (K,) of the precisions."""
        axes = tuple(range(1, factors.ndim))
        return np.square(factors).sum(axis=axes)

    @abstractmethod
    def weighted_trace(
        self, factors: np.ndarray, scale: np.ndarray, n_components: int, n_features: int
    ) -> np.ndarray:
        """Trace (K,) of the products of the scale of a prior with the precisions."""

    @abstractmethod
    def distances(self, deviations: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distances (K,), one for each component."""

    def rounding(self, covariances: np.ndarray, trace_precision: np.ndarray) -> float:
        """How many times its own rounding a whitened feature carries into a distance."""
        return 1.0

    def read_factors(self, factors: np.ndarray) -> np.ndarray:
        """Factors somebody set by hand, in the form that the kernel reads."""
        return factors

    def lowest_variance(self, covariances: np.ndarray, n_components: int) -> np.ndarray:
        """The smallest variance (K,) in any direction."""
        return covariances.min(axis=1)


class Matrices(Covariance):
    """Models with matrices; what is one for all components is a stack of one."""

    def factor(self, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        stack = np.ascontiguousarray(covariances.reshape(-1, *covariances.shape[-2:]))
        if stack.shape[1] <= _SMALL:
            factors, first = kernel.precision_cholesky(stack)
            if first < 0:
                return factors.reshape(covariances.shape), _NONE
        factors, singular = np.empty_like(stack), []
        for k, matrix in enumerate(stack):
            factor = _precision_cholesky(matrix)
            if factor is None:
                singular.append(k)
            else:
                factors[k] = factor
        return factors.reshape(covariances.shape), np.array(singular, dtype=int)

    def lift(self, covariances: np.ndarray, indices: np.ndarray) -> np.ndarray:
        stack = covariances.reshape(-1, *covariances.shape[-2:]).copy()
        d = stack.shape[1]
        for k in indices:
            # twice the variance is the ridge that the largest rounding error needs
            stack[k][np.diag_indices(d)] += 4 * d * d * _EPS * max(np.diag(stack[k]).max(), 0.0)
        return stack.reshape(covariances.shape)

    def weighted_trace(
        self, factors: np.ndarray, scale: np.ndarray, n_components: int, n_features: int
    ) -> np.ndarray:
        traces = np.einsum("...ij,ij->...", self.precisions(factors), scale)
        return np.broadcast_to(traces, (n_components,))

    def distances(self, deviations: np.ndarray, factors: np.ndarray) -> np.ndarray:
        whitened = (deviations[:, None, :] @ factors)[:, 0, :]
        return np.square(whitened).sum(axis=1)

    def rounding(self, covariances: np.ndarray, trace_precision: np.ndarray) -> float:
        variances = np.diagonal(covariances, axis1=-2, axis2=-1).max(axis=-1)
        return float(np.max(variances * trace_precision))

    def precisions(self, factors: np.ndarray) -> np.ndarray:
        return factors @ np.swapaxes(factors, -1, -2)

    def invert(self, precisions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # precision = U U', U upper: the Cholesky factor of the matrix read backwards
        backwards = np.linalg.cholesky(precisions[..., ::-1, ::-1])
        factors = np.ascontiguousarray(backwards[..., ::-1, ::-1])
        inverse = np.linalg.inv(factors)
        return np.swapaxes(inverse, -1, -2) @ inverse, factors

    def check_precisions(self, precisions: np.ndarray) -> None:
        for matrix in precisions.reshape(-1, *precisions.shape[-2:]):
            if not (np.allclose(matrix, matrix.T) and np.all(np.linalg.eigvalsh(matrix) > 0.0)):
                raise ValueError(f"'{self.name} precision' should be symmetric, positive-definite")

    def read_factors(self, factors: np.ndarray) -> np.ndarray:
        if not np.tril(factors, -1).any():
            return factors
        # P P' = U U' with U upper: QR of P' read backwards
        r = np.linalg.qr(np.swapaxes(factors, -1, -2)[..., ::-1], mode="r")
        signs = np.sign(np.diagonal(r, axis1=-2, axis2=-1))
        return np.ascontiguousarray(np.swapaxes(r * signs[..., None], -1, -2)[..., ::-1, ::-1])


class Variances(Covariance):
    """Models whose matrices are diagonal."""

    def factor(self, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if covariances.min() > 0.0:
            return 1.0 / np.sqrt(covariances), _NONE
        return covariances, np.flatnonzero(
            ~(covariances.reshape(len(covariances), -1) > 0.0).all(axis=1)
        )

    def lift(self, covariances: np.ndarray, indices: np.ndarray) -> np.ndarray:
        return covariances  # a positive floor makes any variance positive

    def weighted_trace(
        self, factors: np.ndarray, scale: np.ndarray, n_components: int, n_features: int
    ) -> np.ndarray:
        variances = factors.reshape(n_components, -1) ** 2
        products = np.broadcast_to(variances * scale, (n_components, n_features))
        return products.sum(axis=1)

    def distances(self, deviations: np.ndarray, factors: np.ndarray) -> np.ndarray:
        return np.square(deviations * factors.reshape(len(deviations), -1)).sum(axis=1)

    def precisions(self, factors: np.ndarray) -> np.ndarray:
        return factors**2

    def invert(self, precisions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 1.0 / precisions, np.sqrt(precisions)

    def check_precisions(self, precisions: np.ndarray) -> None:
        if np.any(precisions <= 0.0):
            raise ValueError(f"'{self.name} precision' should be positive")


_NONE = np.empty(0, dtype=int)


def _precision_cholesky(covariance: np.ndarray) -> np.ndarray | None:
    lower, info = lapack.dpotrf(covariance, lower=1, clean=1)
    d = len(covariance)
    # a pivot below its share of rounding is rounding, not data
    if info != 0 or not np.all(np.diagonal(lower) ** 2 > d * _EPS * np.diagonal(covariance)):
        return None
    return lapack.dtrtri(lower, lower=1)[0].T


def inverse_wishart_constant(dof: float, scale: np.ndarray, n_features: int) -> float:
    """Log-normaliser of an inverse Wishart density."""
    return float(
        0.5 * dof * (np.linalg.slogdet(scale)[1] - n_features * np.log(2.0))
        - multigammaln(0.5 * dof, n_features)
    )


def inverse_gamma_constant(dof: float, scale: np.ndarray, n_variances: int) -> float:
    """Log-normaliser of the density of independent scaled inverse chi-squared variances."""
    scale = np.broadcast_to(scale, (n_variances,))
    return float(np.sum(0.5 * dof * np.log(0.5 * scale)) - n_variances * gammaln(0.5 * dof))
