"""The contract of a distribution p(x | z = k)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator

from ..em.statistics import Statistics

__all__ = ["Distribution"]


class Distribution(BaseEstimator, ABC):
    """What a mixture needs to know of a family.

    A distribution holds hyper-parameters only; its parameters are a frozen
    dataclass of arrays with a leading component axis, handed in and out. Data
    of a block go in, values come out.
    """

    #: whether densities are computed with BLAS, whose results depend on its number of threads
    uses_blas: ClassVar[bool] = True

    def bind(self, X: np.ndarray) -> Self:
        """The distribution for these data: once a fit, for what needs all of X."""
        return self

    def features(self, X: np.ndarray) -> Any:
        """Work done once a block, shared by density and statistics."""
        return X

    @abstractmethod
    def row_cost(self, n_components: int, n_features: int) -> float:
        """Arithmetic of an E-step for one row, in multiplications: it sizes the blocks."""

    @abstractmethod
    def log_density(self, parameters: Any, features: Any) -> tuple[np.ndarray, Any]:
        """Log-densities (n, K), and a memo for :meth:`statistics`."""

    @abstractmethod
    def statistics(
        self, parameters: Any, features: Any, weights: np.ndarray, memo: Any = None
    ) -> Statistics:
        """Statistics of rows under weights (n, K)."""

    @abstractmethod
    def m_step(self, statistics: Statistics, parameters: Any) -> Any:
        """Parameters that maximise the expected log-density; ``parameters`` are the current ones, or None."""

    @abstractmethod
    def sample(self, parameters: Any, counts: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """Rows of component 0, then of component 1, and so on, ``counts`` of each."""

    @abstractmethod
    def n_free(self, parameters: Any) -> int:
        """Number of free parameters."""

    def embed(self, X: np.ndarray) -> np.ndarray:
        """Where k-means measures distance."""
        return X

    def ascent(self, old: Any, new: Any, statistics: Statistics) -> float:
        """What the log-likelihood must at least gain from ``old`` to ``new``."""
        return 0.0

    # density, posterior and statistics in one pass, for families that have a kernel

    def fused(
        self,
        parameters: Any,
        log_weights: np.ndarray,
        X: np.ndarray,
        sample_weight: np.ndarray | None,
    ) -> tuple[np.ndarray, Statistics, float] | None:
        """Counts (K,), statistics and log-likelihood of a block; None without a kernel."""
        return None

    def fused_scores(
        self, parameters: Any, log_weights: np.ndarray, X: np.ndarray, **outputs: np.ndarray
    ) -> bool | None:
        """Fill ``joint``, ``posterior``, ``log_density`` or ``label``.

        Returns whether all rows are finite; None without a kernel.
        """
        return None
