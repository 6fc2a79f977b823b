"""What a fitted factor model answers: scores of factors, rows filled in, densities, criteria."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._data import check_n_imputations
from .._lazy import lazy
from ._posterior import conditional_factors

__all__ = ["AnswersMixin"]


# numbers of the rows that are drawn at once
_TOGETHER = 1 << 20


class AnswersMixin:
    """Methods of a fitted model, from its attributes."""

    def _score_type(self, X: Any) -> Any:
        single = X.dtype == np.float32 and self.components_.dtype == np.float32
        return np.float32 if single else np.float64

    def _n_columns(self) -> int:
        """Columns of scores of the factors."""
        return len(self.components_)

    def _each_block(
        self, X: np.ndarray, tail: tuple[int, ...], function: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """A function of rows, block by block, in threads where there are several."""
        out = np.empty((len(X), *tail), dtype=self._score_type(X))

        def fill(rows: slice) -> None:
            out[rows] = function(X[rows])

        self._over_blocks(fill, X, lambda a, b: None)
        return out

    @lazy("probabilities")
    def transform(self, X: Any) -> np.ndarray:
        """Scores of the factors: what is expected of them, given the cells that were observed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_components)
        """
        check_is_fitted(self)
        return self._expected_factors(self._check_data(X, reset=False))

    def _expected_factors(self, X: np.ndarray) -> np.ndarray:
        mean, loadings, noise, correlations = self._parts()

        def scores(rows: np.ndarray) -> np.ndarray:
            return conditional_factors(rows - mean, loadings, noise, correlations)[0]

        return self._each_block(X, (loadings.shape[1],), scores)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Rows that are expected where the factors have these scores.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] != len(self.components_):
            raise ValueError(
                f"X must have the shape (n_samples, {len(self.components_)}) of scores of factors, got {X.shape}."
            )
        return X @ self.components_ + self.mean_

    def impute(self, X: Any) -> np.ndarray:
        """Rows whose missing cells have what is expected of them, given those that were observed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        X = self._check_data(X, reset=False)
        expected = self.inverse_transform(self._expected_factors(X))
        return np.where(np.isnan(X), expected.astype(X.dtype, copy=False), X)

    def sample_imputations(
        self, X: Any, n_imputations: int = 5, random_state: Any = None
    ) -> np.ndarray:
        """Rows whose missing cells are drawn, given those that were observed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_imputations : int, default=5
        random_state : int, RandomState or None, default=None
            None uses the estimator's own.

        Returns
        -------
        ndarray of shape (n_imputations, n_samples, n_features)
        """
        check_is_fitted(self)
        check_n_imputations(n_imputations)
        mean, loadings, noise, correlations = self._parts()
        X = self._check_data(X, reset=False)
        rng = check_random_state(self.random_state if random_state is None else random_state)
        out = np.repeat(X[None], n_imputations, axis=0)
        holes = np.flatnonzero(np.isnan(X).any(axis=1))
        # each row has matrices of the size of the factors
        together = max(1, _TOGETHER // (len(mean) + loadings.shape[1] ** 2))
        for start in range(0, len(holes), together):
            rows = holes[start : start + together]
            some = X[rows]
            expected, left = conditional_factors(some - mean, loadings, noise, correlations)
            roots = np.linalg.cholesky(left)
            for drawn in out:
                factors = rng.standard_normal(expected.shape)
                factors = expected + (roots @ factors[:, :, None])[:, :, 0]
                errors = rng.standard_normal(some.shape) * np.sqrt(noise)
                drawn[rows] = np.where(np.isnan(some), mean + factors @ loadings.T + errors, some)
        return out

    @lazy("scores")
    def score_samples(self, X: Any) -> np.ndarray:
        """Log-density of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        parameters, model = self.recall(), self._fitted_model()
        X = self._check_data(X, reset=False)
        return self._each_block(X, (), lambda rows: model.scores(parameters, rows))

    def get_covariance(self) -> np.ndarray:
        """The covariance of the features.

        Returns
        -------
        ndarray of shape (n_features, n_features)
        """
        _, loadings, noise, correlations = self._parts()
        return loadings @ correlations @ loadings.T + np.diag(noise)

    def get_precision(self) -> np.ndarray:
        """The inverse of the covariance.

        Returns
        -------
        ndarray of shape (n_features, n_features)
        """
        check_is_fitted(self)
        # where noise is next to nothing, the inversion lemma would be the difference of large numbers
        factor = self.recall().precisions_cholesky[0]
        return factor @ factor.T

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw rows.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState or None, default=None
            None uses the estimator's own.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        mean, loadings, noise, correlations = self._parts()
        rng = check_random_state(self.random_state if random_state is None else random_state)
        root = np.linalg.cholesky(correlations)
        factors = rng.standard_normal((n_samples, len(root))) @ root.T
        errors = rng.standard_normal((n_samples, len(mean))) * np.sqrt(noise)
        return mean + factors @ loadings.T + errors

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Bayesian information criterion; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), default=None
            Their sum is the number of rows.

        Returns
        -------
        float
        """
        check_is_fitted(self)
        value, n = self._log_likelihood(X, sample_weight)
        return -2 * value + self.n_parameters_ * math.log(n)

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Akaike information criterion; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        check_is_fitted(self)
        return -2 * self._log_likelihood(X, sample_weight)[0] + 2 * self.n_parameters_
