"""Scorers that choose a model by an information criterion."""

from __future__ import annotations

from inspect import signature
from typing import Any, Self

from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import UNCHANGED, MetadataRequest

__all__ = ["aic_scorer", "at_mixture", "bic_scorer", "final_step", "icl_scorer"]


def final_step(estimator: Any) -> Any:
    """The last step of a pipeline, or the estimator itself."""
    while isinstance(estimator, Pipeline):
        estimator = estimator[-1]
    return estimator


def at_mixture(estimator: Any, X: Any) -> tuple[Any, Any]:
    """The last step of a fitted pipeline, and X as it arrives there."""
    while isinstance(estimator, Pipeline):
        if len(estimator) > 1:
            X = estimator[:-1].transform(X)
        estimator = estimator[-1]
    return estimator, X


class _CriterionScorer:
    """Minus an information criterion, so that larger is better."""

    def __init__(self, criterion: str, sample_weight: bool | str | None = None) -> None:
        self.criterion = criterion
        self._sample_weight = sample_weight

    def set_score_request(self, *, sample_weight: bool | str | None = UNCHANGED) -> Self:
        """A scorer that asks for sample weights where metadata are routed.

        Parameters
        ----------
        sample_weight : bool, str or None
            True asks for them, False refuses them, a string is another name for
            them, None raises an error where they are passed. Left out, it stays.

        Returns
        -------
        scorer
            A new one; the module's own stays as it is.
        """
        keep = sample_weight is UNCHANGED or sample_weight == UNCHANGED
        return type(self)(self.criterion, self._sample_weight if keep else sample_weight)

    def get_metadata_routing(self) -> MetadataRequest:
        """What the scorer asks for, by scikit-learn's protocol."""
        request = MetadataRequest(owner=repr(self))
        request.score.add_request(param="sample_weight", alias=self._sample_weight)
        request.score.add_request(param="groups", alias=True)  # sequences, where a model has them
        return request

    def __repr__(self) -> str:
        return f"{self.criterion}_scorer"

    def __call__(
        self,
        estimator: Any,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        groups: Any = None,
    ) -> float:
        """Score a fitted model, or a pipeline that ends in one.

        Parameters
        ----------
        estimator : estimator with the criterion as a method, or a Pipeline ending in one
        X : array-like of shape (n_samples, n_features)
            For a pipeline, before its transformations.
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None
        groups : array-like of shape (n_samples,), default=None
            The sequence of each row, for a model of sequences; others leave it.

        Returns
        -------
        float
            Minus the criterion.
        """
        model = final_step(estimator)
        method = getattr(model, self.criterion, None)
        if method is None:
            raise TypeError(
                f"{self!r} needs an estimator with a method {self.criterion}(X), or a Pipeline that"
                f" ends in one; {type(model).__name__} has none."
            )
        X = at_mixture(estimator, X)[1]
        given = {} if sample_weight is None else {"sample_weight": sample_weight}
        if groups is not None and "groups" in signature(method).parameters:
            given["groups"] = groups
        return -method(X, **given)


#: Minus the Bayesian information criterion, as ``scoring=`` of a search.
bic_scorer = _CriterionScorer("bic")
#: Minus the Akaike information criterion, as ``scoring=`` of a search.
aic_scorer = _CriterionScorer("aic")
#: Minus the integrated completed likelihood, as ``scoring=`` of a search.
icl_scorer = _CriterionScorer("icl")
