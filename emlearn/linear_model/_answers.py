"""What a fitted mixture of regressions answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._lazy import lazy
from ..em.posteriors import SOFT, PosteriorMode
from ..em.reduce import take_rows
from ..em.sources import Block
from ._model import PreparedRows

__all__ = ["AnswersMixin"]


class AnswersMixin(RegressorMixin):
    """Means, posteriors, likelihoods and draws of a mixture of regressions, from its fitted attributes."""

    def _n_columns(self) -> int:
        """Columns of probabilities."""
        return len(self.weights_)

    def _score_type(self, X: Any) -> Any:
        single = X.dtype == np.float32 and self.weights_.dtype == np.float32
        return np.float32 if single else np.float64

    # ------------------------------------------------------- without a response

    def _fill(
        self, X: Any, tail: tuple[int, ...], function: Callable[[Any, PreparedRows], np.ndarray]
    ) -> np.ndarray:
        """An array of ``function(parameters, prepared)`` of the blocks of rows, whose responses are 0."""
        check_is_fitted(self)
        X = self._check_data(X, reset=False)
        parameters, model = self.recall(), self._fitted_model()
        out = np.empty((X.shape[0], *tail), dtype=self._score_type(X))
        blank = np.zeros((X.shape[0], model.distribution.n_responses), dtype=X.dtype)

        def fill(rows: slice) -> None:
            out[rows] = function(parameters, model.prepare(self._table(blank[rows], X[rows])))

        self._over_blocks(fill, X, lambda a, b: None)
        return out

    @lazy("scores")
    def predict(self, X: Any) -> np.ndarray:
        """Mean of the response: that of the components, by their weights.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            Of the family "binomial" the probability of a success.
        """
        model = self._fitted_model()

        def mean(parameters: Any, prepared: PreparedRows) -> np.ndarray:
            weights = np.exp(model.log_weights(parameters.latent, prepared))
            return np.sum(weights * self._means(model, parameters, prepared), axis=1)

        return self._fill(X, (), mean)

    @staticmethod
    def _means(model: Any, parameters: Any, prepared: PreparedRows) -> np.ndarray:
        family = model.distribution
        return family.mean(family.predictor(parameters.components, prepared.features.X))

    @lazy("probabilities")
    def predict_components(self, X: Any) -> np.ndarray:
        """Mean of the response in each component.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_components)
        """
        check_is_fitted(self)
        model = self._fitted_model()
        return self._fill(X, (self._n_columns(),), lambda *given: self._means(model, *given))

    @lazy("probabilities")
    def predict_weights(self, X: Any) -> np.ndarray:
        """Probability of each component before the response is known; the same for all rows without a gate.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_components)
        """
        check_is_fitted(self)
        model = self._fitted_model()
        return self._fill(
            X,
            (self._n_columns(),),
            lambda parameters, prepared: np.exp(model.log_weights(parameters.latent, prepared)),
        )

    # ---------------------------------------------------------- given a response

    def _known(self, X: Any, y: Any, groups: Any, sample_weight: Any = None) -> Block:
        check_is_fitted(self)
        block = self._read_block(X, y, reset=False, sample_weight=sample_weight, groups=groups)
        vars(self).pop("_scattered", None)
        return block

    def _each(
        self, block: Block, function: Callable[..., np.ndarray], tail: tuple[int, ...]
    ) -> Any:
        """An array of ``function(model, parameters, prepared, table)`` of each block, in the user's order."""
        X = block.X
        parameters, model = self.recall(), self._fitted_model()
        out = np.empty((X.shape[0], *tail), dtype=self._score_type(X))
        order = getattr(X, "order", None)

        def fill(rows: slice) -> None:
            prepared = model.prepare(take_rows(X, rows))
            table, _ = model.distribution.log_density(parameters.components, prepared.features)
            where = rows if order is None else order[rows]
            out[where] = function(model, parameters, prepared, table)

        self._over_blocks(fill, X, lambda a, b: None)
        return out

    def responsibilities(self, X: Any, y: Any, *, groups: Any = None) -> np.ndarray:
        """Probability of each component, for each row, given its response, and those of its group.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        groups : array-like of shape (n_samples,), default=None

        Returns
        -------
        ndarray of shape (n_samples, n_components)
        """

        def shares(model: Any, parameters: Any, prepared: Any, table: np.ndarray) -> np.ndarray:
            return prepared.spread(model.posterior(parameters.latent, table, prepared)[0])

        return self._each(self._known(X, y, groups), shares, (len(self.weights_),))

    def predict_labels(self, X: Any, y: Any, *, groups: Any = None) -> np.ndarray:
        """Most probable component of each row, given its response.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        groups : array-like of shape (n_samples,), default=None

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self.responsibilities(X, y, groups=groups).argmax(axis=1)

    def log_likelihood_samples(self, X: Any, y: Any, *, groups: Any = None) -> np.ndarray:
        """Log-density of each response given its covariates, and the rows of its group before it.

        They sum to the log-likelihood.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        groups : array-like of shape (n_samples,), default=None

        Returns
        -------
        ndarray of shape (n_samples,)
        """

        def rows(model: Any, parameters: Any, prepared: Any, table: np.ndarray) -> np.ndarray:
            log_weights = model.log_weights(parameters.latent, prepared)
            if prepared.ends is None:
                return np.logaddexp.reduce(table + log_weights, axis=1)
            out = np.empty(len(table))
            for unit, end in enumerate(prepared.ends):
                begin = prepared.begins[unit]
                path = np.cumsum(table[begin:end], axis=0) + log_weights[unit]
                out[begin:end] = np.diff(np.logaddexp.reduce(path, axis=1), prepend=0.0)
            return out

        return self._each(self._known(X, y, groups), rows, ())

    def log_likelihood(
        self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None
    ) -> float:
        """Log-likelihood of the responses given the covariates, of all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
        groups : array-like of shape (n_samples,), default=None
            The rows of a group are of one component.

        Returns
        -------
        float
        """
        return self._total(X, y, sample_weight, groups)[0]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of the variance of the response that :meth:`predict` explains, R squared.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Of the family "binomial" also of shape (n_samples, 2): then the response is the share of successes, and a
            row counts by its trials.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        check_is_fitted(self)
        if np.ndim(y) == 2 and np.shape(y)[1] == 2 and self._distribution().n_responses == 2:
            successes, trials = self._distribution().read_response(np.asarray(y, np.float64)).T
            y = np.divide(successes, trials, out=np.zeros(len(trials)), where=trials > 0)
            sample_weight = trials if sample_weight is None else trials * np.asarray(sample_weight)
        return super().score(X, y, sample_weight)

    def _total(
        self, X: Any, y: Any, sample_weight: Any, groups: Any, mode: PosteriorMode = SOFT
    ) -> tuple[float, float]:
        """The log-likelihood of all rows, and what they count."""
        return self._block_log_likelihood(self._known(X, y, groups, sample_weight), mode)

    def bic(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None) -> float:
        """Bayesian information criterion; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
            The number of rows is their sum.
        groups : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        value, n = self._total(X, y, sample_weight, groups)
        return -2.0 * value + self._n_parameters() * math.log(n)

    def icl(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None) -> float:
        """Integrated completed likelihood; the lower the better.

        It is the BIC with each row, or group, given to its most probable component.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
        groups : array-like of shape (n_samples,), default=None

        Returns
        -------
        float

        References
        ----------
        Biernacki, C., Celeux, G. and Govaert, G. (2000). Assessing a mixture model for clustering with the integrated
        completed likelihood. IEEE Transactions on Pattern Analysis and Machine Intelligence 22(7), 719-725.
        """
        value, n = self._total(X, y, sample_weight, groups, PosteriorMode("hard"))
        return -2.0 * value + self._n_parameters() * math.log(n)

    def aic(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None) -> float:
        """Akaike information criterion; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
        groups : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        return -2.0 * self._total(X, y, sample_weight, groups)[0] + 2.0 * self._n_parameters()

    def sample(self, X: Any, random_state: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw a response for each row, and the component that it comes from.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        random_state : int, RandomState or None, default=None
            None uses the estimator's own: an integer there gives the same responses at every call.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Of the family "binomial" the success or failure of one trial.
        labels : ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        X = self._check_data(X, reset=False)
        rng = check_random_state(self.random_state if random_state is None else random_state)
        parameters, model = self.recall(), self._fitted_model()
        family = model.distribution
        blank = np.zeros((X.shape[0], family.n_responses), dtype=X.dtype)
        prepared = model.prepare(self._table(blank, X))
        edges = np.cumsum(np.exp(model.log_weights(parameters.latent, prepared)), axis=1)
        goal = rng.uniform(size=X.shape[0]) * edges[:, -1]
        labels = np.sum(edges[:, :-1] <= goal[:, None], axis=1)
        y = family.sample_response(parameters.components, prepared.features.X, labels, rng)
        return y, labels
