"""What the fits of factor analysis and probabilistic principal components share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from .._data import check_data
from ..base import EMMixin
from ..distributions import Gaussian, GaussianParameters
from ..em.sources import Source
from ._answers import AnswersMixin
from ._model import FactorModel

__all__ = ["BaseFactorAnalysis"]

# of the mean log-likelihood of a row, a change that may be rounding
_ROUNDING = 1e-13


class BaseFactorAnalysis(
    AnswersMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, EMMixin, BaseEstimator, ABC
):
    """A Gaussian whose covariance is made of a few factors and noise."""

    _engine: ClassVar[tuple[str, ...]] = (
        "algorithm",
        "batch_size",
        "learning_decay",
        "learning_offset",
    )

    # ---------------------------------------------------------------- model

    @abstractmethod
    def _covariance(self, n_factors: int) -> Any:
        """The covariance model."""

    @abstractmethod
    def _most(self, n_features: int) -> int:
        """The largest number of factors."""

    def _n_factors(self, n_features: int) -> int:
        """The number of factors.

        Raises
        ------
        ValueError
            If there cannot be so many.
        """
        most = self._most(n_features)
        if self.n_components is None:
            return most
        if self.n_components > most:
            raise ValueError(
                f"n_components={self.n_components} must be at most {most} with n_features={n_features}. Lower it."
            )
        return int(self.n_components)

    def _fit_model(self, X: Any, sample_weight: np.ndarray | None, **fold: Any) -> FactorModel:
        covariance = self._covariance(self._n_factors(X.shape[1]))
        return FactorModel(covariance, Gaussian().bind(X, sample_weight, **fold))

    def _fitted_model(self) -> FactorModel:
        return FactorModel(self._covariance(len(self.components_)))

    def _continued_model(self, source: Source) -> FactorModel:
        # nothing is bound to the new rows: they may say nothing of some column
        return self._fitted_model()

    def _repeatable_start(self) -> bool:
        return True

    def _tolerance(self, source: Source) -> float:
        # that of the constructor is of all rows, as in scikit-learn
        return max(self.tol / source.weight, _ROUNDING) if self.tol > 0 else 0.0

    # ----------------------------------------------------------------- data

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags = Gaussian().input_tags(tags.input_tags)
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _check_data(self, X: Any, *, reset: bool, finite: bool = True) -> np.ndarray:
        return check_data(self, X, reset=reset, finite=finite, **Gaussian.check_arguments)

    def _check_against(self, source: Source) -> None:
        self._n_factors(source.shape[1])
        if not source.goes_on:
            self._check_least_rows(source, 2)

    def _changed(self) -> str | None:
        d, q = self.components_.shape[1], len(self.components_)
        if self._n_factors(d) != q:
            return f"a fit of {q} factors, but n_components = {self.n_components}"
        return super()._changed()

    # --------------------------------------------------------------- fitted

    def _fitted_attributes(self, result: Any, dtype: Any) -> dict[str, Any]:
        attributes = super()._fitted_attributes(result, dtype)
        model = FactorModel(self._covariance(result.parameters.loadings.shape[2]))
        return {**attributes, "n_parameters_": model.n_free(result.parameters)}

    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Mean (d,), loadings (d, q), noise variances (d,) and correlations (q, q) of the factors, as float64."""
        check_is_fitted(self)
        components = np.asarray(self.components_, dtype=np.float64)
        q, d = components.shape
        noise = np.broadcast_to(np.asarray(self.noise_variance_, dtype=np.float64), (d,))
        mean = np.asarray(self.mean_, dtype=np.float64)
        correlations = getattr(self, "factor_correlation_", np.eye(q))
        return mean, components.T, noise, np.asarray(correlations, dtype=np.float64)

    def recall(self) -> GaussianParameters:
        """Parameters from the public fitted attributes, whoever set them."""
        mean, loadings, _, correlations = self._parts()
        if not np.array_equal(correlations, np.eye(len(correlations))):
            loadings = loadings @ np.linalg.cholesky(correlations)
        noise = np.asarray(self.noise_variance_, dtype=np.float64).reshape(1, -1)
        model = self._fitted_model()
        noise = noise.reshape(model.covariance.noise_shape(1, len(mean)))
        return model.assemble(mean[None], loadings[None], noise)

    @property
    def _n_features_out(self) -> int:
        return self.components_.shape[0]
