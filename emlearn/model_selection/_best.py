"""What a selector does with the fit that it has chosen."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ._scorers import aic_scorer, bic_scorer, final_step, icl_scorer

__all__ = ["BestFitMixin"]


def _has(name: str, *, last: bool = False) -> Callable[[Any], bool]:
    """True where the best estimator, or before a fit the one to be fitted, has the method."""

    def check(self: BestFitMixin) -> bool:
        estimator = vars(self).get("best_estimator_", self._base())
        getattr(final_step(estimator) if last else estimator, name)
        return True

    return check


class BestFitMixin:
    """Methods of ``best_estimator_``, as far as it has them; ``_base()`` is the estimator before a fit."""

    @available_if(_has("predict"))
    def predict(self, X: Any) -> np.ndarray:
        """Most probable component of each row, by the best fit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        return self.best_estimator_.predict(X)

    @available_if(_has("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Posterior probability of each component, by the best fit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_components)
        """
        check_is_fitted(self)
        return self.best_estimator_.predict_proba(X)

    @available_if(_has("score_samples"))
    def score_samples(self, X: Any) -> np.ndarray:
        """Log-density of each row, by the best fit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        return self.best_estimator_.score_samples(X)

    @available_if(_has("score"))
    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-density of a row, by the best fit: not the criterion, which is of the training set.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        check_is_fitted(self)
        params: dict[str, Any] = {}
        if sample_weight is not None:
            params = {"sample_weight": sample_weight}
            if get_config()["enable_metadata_routing"]:
                params = dict(process_routing(self, "score", **params).estimator.score)
        return self.best_estimator_.score(X, y, **params)

    @available_if(_has("predict"))
    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """``fit(X).predict(X)``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self.fit(X, y, sample_weight=sample_weight).predict(X)

    @available_if(_has("sample"))
    def sample(self, n_samples: int = 1, **params: Any) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows from the best fit.

        Parameters
        ----------
        n_samples : int, default=1
        **params : dict
            Handed on: a mixture of emlearn takes ``random_state``.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        y : ndarray of shape (n_samples,)
            Their components.
        """
        check_is_fitted(self)
        return self.best_estimator_.sample(n_samples, **params)

    @available_if(_has("impute"))
    def impute(self, X: Any) -> Any:
        """X with missing cells filled in by the best fit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        return self.best_estimator_.impute(X)

    @available_if(_has("sample_imputations"))
    def sample_imputations(self, X: Any, n_imputations: int = 5, random_state: Any = None) -> Any:
        """X some times, missing cells drawn by the best fit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_imputations : int, default=5
        random_state : int, RandomState or None, default=None

        Returns
        -------
        ndarray of shape (n_imputations, n_samples, n_features)
        """
        check_is_fitted(self)
        return self.best_estimator_.sample_imputations(X, n_imputations, random_state)

    @available_if(_has("bic", last=True))
    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Bayesian information criterion of the best fit; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            For a pipeline, before its transformations.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        check_is_fitted(self)
        return -bic_scorer(self.best_estimator_, X, sample_weight=sample_weight)

    @available_if(_has("aic", last=True))
    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Akaike information criterion of the best fit; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        check_is_fitted(self)
        return -aic_scorer(self.best_estimator_, X, sample_weight=sample_weight)

    @available_if(_has("icl", last=True))
    def icl(self, X: Any, sample_weight: Any = None) -> float:
        """Integrated completed likelihood of the best fit; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        check_is_fitted(self)
        return -icl_scorer(self.best_estimator_, X, sample_weight=sample_weight)

    # --------------------------------------------------- scikit-learn's own

    @property
    def n_features_in_(self) -> int:
        """Number of features of the fit."""
        return self._of_the_fit("n_features_in_")

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the features, where X had them."""
        return self._of_the_fit("feature_names_in_")

    def _of_the_fit(self, name: str) -> Any:
        if "best_estimator_" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r} before a fit.")
        return getattr(self.best_estimator_, name)

    def __sklearn_is_fitted__(self) -> bool:
        return "best_estimator_" in vars(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self._base())
        tags.estimator_type = inner.estimator_type
        tags.input_tags = deepcopy(inner.input_tags)
        tags.array_api_support = inner.array_api_support
        tags.non_deterministic = inner.non_deterministic
        return tags

    def get_metadata_routing(self) -> MetadataRouter:
        """What the estimator asks for, and what the criterion takes, by scikit-learn's protocol."""
        router = MetadataRouter(owner=self)
        mapping = (
            MethodMapping().add(caller="fit", callee="fit").add(caller="score", callee="score")
        )
        return router.add(estimator=self._base(), method_mapping=mapping)
