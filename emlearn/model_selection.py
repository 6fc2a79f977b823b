"""Scorers that choose a model by an information criterion."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

__all__ = ["aic_scorer", "bic_scorer", "icl_scorer"]


class _CriterionScorer:
    """Minus an information criterion, so that larger is better."""

    def __init__(self, criterion: str) -> None:
        self.criterion = criterion

    def __repr__(self) -> str:
        return f"{self.criterion}_scorer"

    def __call__(self, estimator: Any, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Score a fitted mixture, or a pipeline that ends in one.

        Parameters
        ----------
        estimator : estimator with the criterion as a method, or a Pipeline ending in one
        X : array-like of shape (n_samples, n_features)
            For a pipeline, before its transformations.
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            Minus the criterion.
        """
        if isinstance(estimator, Pipeline):
            X, estimator = estimator[:-1].transform(X), estimator[-1]
        method = getattr(estimator, self.criterion, None)
        if method is None:
            raise TypeError(
                f"{self!r} needs an estimator with a method {self.criterion}(X), or a Pipeline that ends in one;"
                f" {type(estimator).__name__} has none."
            )
        return -method(X) if sample_weight is None else -method(X, sample_weight=sample_weight)


#: Minus the Bayesian information criterion, as ``scoring=`` of a search.
bic_scorer = _CriterionScorer("bic")
#: Minus the Akaike information criterion, as ``scoring=`` of a search.
aic_scorer = _CriterionScorer("aic")
#: Minus the integrated completed likelihood, as ``scoring=`` of a search.
icl_scorer = _CriterionScorer("icl")
