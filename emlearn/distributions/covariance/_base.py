"""Covariance models of a Gaussian: what is shared, what is zero, what is free.

One class a model, behind one contract. Shapes are scikit-learn's: ``full``
(K, d, d), ``tied`` (d, d), ``diag`` (K, d), ``spherical`` (K,).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from scipy.linalg import lapack

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
    """

    name: ClassVar[str]
    form: ClassVar[str]
    code: ClassVar[int]
    form_code: ClassVar[int]

    @abstractmethod
    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Shape of the covariances."""

    @abstractmethod
    def n_free(self, n_components: int, n_features: int) -> int:
        """Number of free parameters."""

    @abstractmethod
    def m_step(self, moments: Moments, floor: float) -> np.ndarray:
        """Maximum-likelihood covariances, ``floor`` added to each variance; nan where a weight is 0."""

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
