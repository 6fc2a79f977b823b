"""What all mixture estimators share: scores, labels, samples, information criteria."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._data import check_weights
from ..base import EMMixin
from ..distributions import Distribution
from ..em.reduce import map_reduce, row_blocks
from ..em.starts import METHODS, Start, draw_start, given_start
from ..em.statistics import Joint, Statistics, Sums
from ..em.threads import Workers, effective_threads, single_threaded_blas
from ..exceptions import DegenerateComponentsWarning, warn_user
from ..latent import Labels
from ._model import MixtureModel, MixtureParameters

__all__ = ["BaseMixture"]


class BaseMixture(EMMixin, DensityMixin, BaseEstimator, ABC):
    """A finite mixture: what does not depend on the family.

    A subclass gives its distribution, and says how parameters and fitted
    attributes correspond.
    """

    _parameter_constraints: dict = {
        **EMMixin._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions(set(METHODS)), "array-like", callable],
    }

    # --------------------------------------------------- what a family says

    @abstractmethod
    def _distribution(self) -> Distribution:
        """The family, with the estimator's hyper-parameters."""

    @abstractmethod
    def recall(self) -> MixtureParameters:
        """Parameters from the public fitted attributes, whoever set them."""

    def _start_parameters(
        self,
        model: MixtureModel,
        start: Start,
        statistics: Joint,
        X: np.ndarray,
        sample_weight: np.ndarray | None,
    ) -> MixtureParameters:
        """What the first statistics become: their M-step, unless the user gave some of the parameters."""
        return model.m_step(statistics, None)

    def _given_parameters(self) -> MixtureParameters:
        """The parameters that the user gave, where these are all."""
        raise NotImplementedError

    def _needs_start(self) -> bool:
        """False where the user gave all parameters."""
        return True

    # --------------------------------------------------------------- engine

    def _em_model(self, X: np.ndarray) -> MixtureModel:
        model = MixtureModel(
            Labels(), self._distribution().bind(X, None, {}), self.initial_parameters
        )
        prior = getattr(self, "prior", None)
        if prior is not None:
            prior = model.distribution.default_prior if prior == "default" else prior
            model.prior = prior.bind(X, None, self.n_components, model.distribution)
        return model

    def row_cost(self, n_features: int) -> float:
        return self._distribution().row_cost(self.n_components, n_features)

    def e_step(
        self, parameters: MixtureParameters, X: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> tuple[Statistics, float]:
        return self._em_model(X).e_step(parameters, X, sample_weight)

    def m_step(self, statistics: Joint, parameters: MixtureParameters | None) -> MixtureParameters:
        return MixtureModel(Labels(), self._distribution()).m_step(statistics, parameters)

    def initial_parameters(
        self, X: np.ndarray, sample_weight: np.ndarray | None, random_state: np.random.RandomState
    ) -> MixtureParameters:
        if not self._needs_start():
            return self._given_parameters()
        model = self._em_model(X)
        start = self._draw(X, sample_weight, random_state, model.distribution)
        statistics: Joint | None = None
        for rows, shares in start.shares(X):
            block = model.distribution.features(X[rows])
            if sample_weight is not None and not start.one_row:
                shares = shares * sample_weight[rows, None]
            labels = Sums({"counts": shares.sum(axis=0)})
            part = Joint(
                {"labels": labels, "components": model.distribution.statistics(None, block, shares)}
            )
            statistics = part if statistics is None else statistics + part
        assert statistics is not None
        if not statistics["labels"]["counts"].any():
            raise ValueError(
                "init_params leaves out every row that has a weight; at least one must belong to a"
                " component."
            )
        return self._start_parameters(model, start, statistics, X, sample_weight)

    def _draw(
        self,
        X: np.ndarray,
        sample_weight: np.ndarray | None,
        random_state: np.random.RandomState,
        distribution: Distribution,
    ) -> Start:
        if isinstance(self.init_params, str):
            embedded = distribution.embed(X)
            return draw_start(
                self.init_params, embedded, self.n_components, random_state, sample_weight
            )
        return given_start(self.init_params, X, self.n_components, random_state)

    def _repeatable_start(self) -> bool:
        given = not isinstance(self.init_params, str) and not callable(self.init_params)
        return given or not self._needs_start()

    def _check_fit_data(self, X: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray | None]:
        X, sample_weight = super()._check_fit_data(X, sample_weight)
        if self._continues() and len(self.weights_) != self.n_components:
            raise ValueError(
                f"warm_start continues a fit of {len(self.weights_)} components, but n_components ="
                f" {self.n_components}. Set it back, or fit with warm_start=False."
            )
        n = X.shape[0]
        if sample_weight is not None:  # a weight of 2 is two rows, a weight of 0 is none
            n = max(int(np.count_nonzero(sample_weight)), int(min(sample_weight.sum(), 2.0**53)))
        if n < 2:
            raise ValueError(
                f"Found array with {n} sample(s) (shape={X.shape}) while a minimum of 2 is required by"
                f" {type(self).__name__}. n_samples = {n}."
            )
        if n < self.n_components:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, n_samples = {n}."
                " Lower n_components, or give more rows."
            )
        return X, sample_weight

    def _set_fitted(self, result: Any, dtype: Any) -> None:
        super()._set_fitted(result, dtype)
        found = self._degeneracies(result.parameters)
        if found:
            warn_user(" ".join(found), DegenerateComponentsWarning)

    def _fitted_attributes(self, result: Any, dtype: Any) -> dict[str, Any]:
        model = MixtureModel(Labels(), self._distribution())
        n_free = model.n_free(result.parameters)
        return {**super()._fitted_attributes(result, dtype), "n_parameters_": n_free}

    def _degeneracies(self, parameters: MixtureParameters) -> list[str]:
        """What is wrong with which components, in sentences."""
        empty = np.flatnonzero(parameters.weights == 0)
        if not len(empty):
            return []
        return [
            f"Components {empty.tolist()} are empty: no row belongs to them, their weight is 0. There"
            " may be fewer distinct rows than components; try fewer components."
        ]

    # -------------------------------------------------------------- scoring

    def _scores(self, X: Any, **wanted: tuple[tuple[int, ...], Any]) -> dict[str, np.ndarray]:
        """Outputs of the model's ``scores`` by name: trailing shape, and type (None: that of X and the weights)."""
        check_is_fitted(self)
        return self._fill(self._check_data(X, reset=False, finite=False), **wanted)

    def _fill(self, X: np.ndarray, **wanted: tuple[tuple[int, ...], Any]) -> dict[str, np.ndarray]:
        parameters, model = self._recall_for(X), self._em_model(X)
        outputs = {
            name: np.empty((len(X), *tail), dtype=dtype or np.result_type(X, self.weights_))
            for name, (tail, dtype) in wanted.items()
        }

        def fill(rows: slice) -> bool:
            views = {name: out[rows] for name, out in outputs.items()}
            # a kernel writes float64
            direct = {
                name: np.empty(view.shape) if view.dtype == np.float32 else view
                for name, view in views.items()
            }
            finite = model.scores(parameters, X[rows], **direct)
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
        blocks = row_blocks(X.shape[0], 0, 8 * self.row_cost(X.shape[1]))
        limit = single_threaded_blas() if model.uses_blas else nullcontext()
        if len(blocks) == 1:
            with limit:
                return function(blocks[0])
        n_threads = effective_threads(self.n_jobs)
        with limit, Workers(n_threads) as workers:
            return map_reduce(function, blocks, merge, workers)

    def _recall_for(self, X: np.ndarray) -> MixtureParameters:
        parameters = self.recall()
        n_features = self._n_model_features(parameters)
        if X.shape[1] != n_features:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {n_features} features as input."
            )
        return parameters

    @abstractmethod
    def _n_model_features(self, parameters: MixtureParameters) -> int:
        """Number of features of the parameters."""

    def predict(self, X: Any) -> np.ndarray:
        """Most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self._scores(X, label=((), np.int64))["label"]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Posterior probability of each component, for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_components)
        """
        check_is_fitted(self)
        return self._scores(X, posterior=((len(self.weights_),), None))["posterior"]

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
        X = self._check_data(X, reset=False, finite=False)
        weights = check_weights(sample_weight, X)
        if X.dtype != np.float32:
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
        parameters, model = self._recall_for(X), self._em_model(X)
        K = len(parameters.weights)

        def total(rows: slice) -> np.ndarray:
            n = rows.stop - rows.start
            outputs = {"log_density": np.empty(n)}
            if certainty:
                outputs["posterior"] = np.empty((n, K))
            if not model.scores(parameters, X[rows], **outputs):
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

    def _criterion(
        self, X: Any, sample_weight: Any, *, certainty: bool = False
    ) -> tuple[float, float]:
        """Minus twice the log-likelihood (of completed data, with ``certainty``), and the number of rows."""
        check_is_fitted(self)
        X = self._check_data(X, reset=False, finite=False)
        weights = check_weights(sample_weight, X)
        n, mean, sure = self._total_log_density(X, weights, certainty=certainty)
        return -2 * (mean * n + sure), n

    def _n_parameters(self) -> int:
        """Number of free parameters."""
        return self._em_model(np.empty((0, 0))).n_free(self.recall())

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
            Their components.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(
                f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample."
            )
        rng = check_random_state(self.random_state if random_state is None else random_state)
        parameters = self.recall()
        counts = Labels().sample(parameters.weights, n_samples, rng)
        X = self._distribution().sample(parameters.components, counts, rng)
        return X, np.repeat(np.arange(len(counts)), counts)
