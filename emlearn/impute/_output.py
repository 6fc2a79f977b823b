"""What comes out of an imputer: columns that are kept, their names, and those that say what was missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.impute import MissingIndicator
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

__all__ = ["OutputMixin"]


class OutputMixin:
    """scikit-learn's conventions: ``add_indicator``, ``keep_empty_features``, names of columns."""

    def _nan_is_missing(self) -> bool:
        value = self.missing_values
        return value is None or is_pandas_na(value) or is_scalar_nan(value)

    @staticmethod
    def _is_na(X: np.ndarray) -> np.ndarray:
        """Cells of objects that are None, NaN or pandas.NA."""
        return np.vectorize(
            lambda v: v is None or is_pandas_na(v) or is_scalar_nan(v), otypes=[bool]
        )(X)

    def _fit_indicator(self, X: np.ndarray) -> None:
        self.indicator_ = None
        if self.add_indicator:
            self.indicator_ = MissingIndicator(error_on_new=False).fit(X)

    def _put_out(self, X: np.ndarray, filled: np.ndarray) -> np.ndarray:
        """Columns that are kept of X, filled; and those of the indicator."""
        if not self.keep_empty_features:
            filled = filled[:, self._kept]
        if self.indicator_ is None:
            return filled
        return np.hstack([filled, self.indicator_.transform(X).astype(X.dtype)])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that come out.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns that go in; None is those of ``fit``, or "x0", "x1", ...

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "n_features_in_")
        names = _check_feature_names_in(self, input_features)
        kept = names if self.keep_empty_features else names[self._kept]
        if self.indicator_ is None:
            return kept
        return np.concatenate([kept, self.indicator_.get_feature_names_out(names)])
