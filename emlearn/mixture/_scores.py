"""What a fitted mixture answers: scores, labels, samples, information criteria."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._data import check_weights, is_dask
from .._lazy import added, lazy
from ..em.reduce import map_reduce, row_blocks, row_size, take_rows
from ..em.threads import Workers, effective_threads, single_threaded_blas
from ..latent import Labels
from ._model import Fitted, MixtureModel

__all__ = ["ScoresMixin"]


class ScoresMixin:
    """Scores, labels, samples and information criteria of a mixture, from its fitted attributes."""

    def _scores(self, X: Any, **wanted: tuple[tuple[int, ...], Any]) -> dict[str, np.ndarray]:
        """Outputs of the model's ``scores`` by name: trailing shape, and type (None: that of X and the weights)."""
        check_is_fitted(self)
        return self._fill(self._check_data(X, reset=False, finite=False), **wanted)

    def _fill(self, X: np.ndarray, **wanted: tuple[tuple[int, ...], Any]) -> dict[str, np.ndarray]:
        parameters, model = self._recall_for(X), self._fitted_model()
        outputs = {
            name: np.empty((X.shape[0], *tail), dtype=dtype or self._score_type(X))
            for name, (tail, dtype) in wanted.items()
        }

        def fill(rows: slice) -> bool:
            views = {name: out[rows] for name, out in outputs.items()}
            # a kernel writes float64
            direct = {
                name: np.empty(view.shape) if view.dtype == np.float32 else view
                for name, view in views.items()
            }
            finite = model.scores(parameters, take_rows(X, rows), **direct)
            for name, view in views.items():
                if direct[name] is not view:
                    view[...] = direct[name]
            return finite

        if not self._each_block(X, model, fill, operator.and_):
            self._check_data(X, reset=False)
        return outputs

    def _each_block(
        self,
        X: np.ndarray,
        model: MixtureModel,
        function: Callable[[slice], Any],
        merge: Callable[[Any, Any], Any],
    ) -> Any:
        """Map a function of rows over the blocks, in threads where there are several."""
        # nothing large is merged: blocks may be smaller than those of a fit, and even out the threads
        blocks = row_blocks(X.shape[0], 0, 8 * self.row_cost(row_size(X)))
        limit = single_threaded_blas() if model.uses_blas else nullcontext()
        if len(blocks) == 1:
            with limit:
                return function(blocks[0])
        n_threads = effective_threads(self.n_jobs)
        with limit, Workers(n_threads) as workers:
            return map_reduce(function, blocks, merge, workers)

    def _score_type(self, X: Any) -> Any:
        single = X.dtype == np.float32 and self.weights_.dtype == np.float32
        return np.float32 if single else np.float64

    def _n_columns(self) -> int:
        """Columns of probabilities."""
        return len(self.weights_) + bool(self.noise)

    @lazy("labels")
    def predict(self, X: Any) -> np.ndarray:
        """Most probable component of each row; -1 for the noise component.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        labels = self._scores(X, label=((), np.int64))["label"]
        if self.noise:
            labels[labels == len(self.weights_)] = -1
        return labels

    @lazy("probabilities")
    def predict_proba(self, X: Any) -> np.ndarray:
        """Posterior probability of each component, for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            One column more, the last, where there is a noise component.
        """
        check_is_fitted(self)
        return self._scores(X, posterior=((self._n_columns(),), None))["posterior"]

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
        return self._scores(X, log_density=((), None))["log_density"]

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

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-density of a row.

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
        if is_dask(X):
            deviance, n = self._criterion(X, sample_weight)
            return -deviance / 2 / n
        X = self._check_data(X, reset=False, finite=False)
        weights = check_weights(sample_weight, X)
        if self._score_type(X) != np.float32:
            return self._total_log_density(X, weights)[1]
        # the mean of the rounded values, as in scikit-learn
        values = self._fill(X, log_density=((), None))["log_density"]
        if weights is not None:
            shares = (weights / weights.mean()).astype(values.dtype)
            values = np.where(weights > 0, values * shares, values.dtype.type(0))
        return float(values.mean())

    def _total_log_density(
        self, X: np.ndarray, weights: np.ndarray | None, *, certainty: bool = False
    ) -> tuple[float, float, float]:
        """The number of rows that count, the mean log-density, the sum of log max posterior (0 if not asked)."""
        parameters, model = self._recall_for(X), self._fitted_model()
        K = len(parameters.weights)

        def total(rows: slice) -> np.ndarray:
            n = rows.stop - rows.start
            outputs = {"log_density": np.empty(n)}
            if certainty:
                outputs["posterior"] = np.empty((n, K))
            if not model.scores(parameters, take_rows(X, rows), **outputs):
                self._check_data(X, reset=False)
            values = outputs["log_density"]
            top = np.log(outputs["posterior"].max(axis=1)) if certainty else np.zeros(1)
            if weights is None:
                return np.array([values.sum(), top.sum()])
            w = weights[rows]
            return np.array([np.where(w > 0, values, 0.0) @ w, top @ w if certainty else 0.0])

        value, sure = self._each_block(X, model, total, np.add)
        n = float(X.shape[0] if weights is None else weights.sum())
        return n, float(value) / n, float(sure)

    @added
    def _criterion(
        self, X: Any, sample_weight: Any, *, certainty: bool = False
    ) -> tuple[float, float]:
        """Minus twice the log-likelihood (of completed data, with ``certainty``), and the number of rows."""
        check_is_fitted(self)
        X = self._check_data(X, reset=False, finite=False)
        weights = check_weights(sample_weight, X)
        n, mean, sure = self._total_log_density(X, weights, certainty=certainty)
        return -2 * (mean * n + sure), n

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
        deviance, n = self._criterion(X, sample_weight)
        return deviance + self._n_parameters() * math.log(n)

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
        return self._criterion(X, sample_weight)[0] + 2 * self._n_parameters()

    def icl(self, X: Any, sample_weight: Any = None) -> float:
        """Integrated completed likelihood; the lower the better.

        It is the BIC with each row given to its most probable component:
        BIC - 2 sum log max_k p(k | x).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), default=None
            Their sum is the number of rows.

        Returns
        -------
        float

        References
        ----------
        Biernacki, C., Celeux, G. and Govaert, G. (2000). Assessing a mixture
        model for clustering with the integrated completed likelihood. IEEE
        Transactions on Pattern Analysis and Machine Intelligence 22(7), 719-725.
        """
        deviance, n = self._criterion(X, sample_weight, certainty=True)
        return deviance + self._n_parameters() * math.log(n)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows from the fitted mixture.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState or None, default=None
            None uses the estimator's own, with scikit-learn's draws: an integer
            there gives the same rows at every call.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Sorted by component.
        y : ndarray of shape (n_samples,)
            Their components; -1 for the noise component.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(
                f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample."
            )
        rng = check_random_state(self.random_state if random_state is None else random_state)
        parameters = self.recall()
        counts = Labels().sample(parameters.weights, n_samples, rng)
        distribution = self._fitted_model().distribution
        X = distribution.sample(parameters.components, counts, rng)
        X = distribution.decode(X, Fitted(self))
        labels = np.arange(len(counts))
        if self.noise:
            labels[-1] = -1
        return X, np.repeat(labels, counts)

    def impute(self, X: Any) -> Any:
        """X with missing cells filled in, given the others of the row.

        Numbers are what is expected of them, categories the most probable ones.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            A copy, whose cells that are there are as they were; a data frame where X is one and the estimator takes
            columns of several types, a CSR matrix where X is one.

        Raises
        ------
        ValueError
            If the family has no such cell to fill: a part of a row of counts with a total, or of a direction.

        Examples
        --------
        >>> import numpy as np
        >>> from emlearn.mixture import PoissonMixture
        >>> X = np.array([[1.0, 0.0], [0.0, 2.0], [20.0, 30.0], [22.0, np.nan]])
        >>> PoissonMixture(2, random_state=0).fit(X).impute(X)[3]
        array([22., 30.])
        """
        return self._imputed(X)

    def sample_imputations(self, X: Any, n_imputations: int = 5, random_state: Any = None) -> Any:
        """X some times, missing cells drawn from what they may be given the others of the row: multiple imputation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_imputations : int, default=5
        random_state : int, RandomState or None, default=None
            None uses the estimator's own: an integer there gives the same draws at every call.

        Returns
        -------
        ndarray of shape (n_imputations, n_samples, n_features)
            A list of tables where X is a data frame of several types, or a CSR matrix.

        References
        ----------
        Rubin, D. B. (1987). Multiple Imputation for Nonresponse in Surveys. Wiley.
        """
        return self._imputations(X, n_imputations, random_state)
