"""What a hidden Markov model answers: paths, posteriors, scores, forecasts, samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._composite import Fitted
from .._data import check_probabilities, check_weights
from .._lazy import added, lazy
from ..em.reduce import map_reduce, take_rows
from ..em.threads import Workers, single_threaded_blas
from ..em.units import Units
from ..exceptions import warn_user
from ._forecast import Forecast
from ._sequences import check_even, check_y, read_ends, read_list, spread_weights

__all__ = ["InferenceMixin"]

_METHODS = ("viterbi", "smooth", "filter")


class InferenceMixin:
    """Paths, posteriors, scores, forecasts and samples of a hidden Markov model, from its fitted attributes."""

    def _units(
        self, X: Any, groups: Any, lengths: Any, y: Any = None, *, told: str | None = None
    ) -> Units:
        """Data for a fitted model; ``told`` is the method that warns where sequences may have been forgotten."""
        check_is_fitted(self)
        X, lengths = read_list(X, groups, lengths)
        X = self._check_data(X, reset=False)
        check_y(y, X.shape[0])
        n_sequences = vars(self).get("n_sequences_", 1)
        if told and groups is None and lengths is None and n_sequences > 1:
            warn_user(
                f"{told} reads X as one sequence, but the fit had {n_sequences}. Give groups or lengths. In a grid"
                " search or a pipeline, scikit-learn hands on groups where metadata routing is enabled:"
                " sklearn.set_config(enable_metadata_routing=True).",
                UserWarning,
            )
        return Units(X, read_ends(X.shape[0], groups, lengths))

    def _each(self, units: Units, function: Callable[..., Any]) -> list[Any]:
        """``function(chain, parameters of the chain, log-densities, ends, rows)`` of each block of sequences."""
        parameters, model = self._recall_for(units), self._fitted_model()
        chain = model.latent, parameters.latent

        def block(rows: slice) -> list[Any]:
            part = take_rows(units, rows)
            table, _ = model.log_density(parameters.components, model.prepare(part), workers)
            return [function(*chain, table, part.ends, rows)]

        with single_threaded_blas(), Workers(self._n_threads(units)) as workers:
            return map_reduce(block, self._blocks(units), list.__add__, workers)

    def _proba(self, units: Units, name: str) -> np.ndarray:
        out = np.empty((units.shape[0], len(self.startprob_)), dtype=self._score_type(units))

        def fill(chain: Any, parameters: Any, table: np.ndarray, ends: Any, rows: slice) -> None:
            method = chain.posterior if name == "smooth" else chain.filter
            out[rows] = method(parameters, table, ends=ends, overwrite=True)[0]

        self._each(units, fill)
        return out

    def _log_likelihoods(self, units: Units) -> np.ndarray:
        """Of each row, given those before it."""
        out = np.empty(units.shape[0])

        def fill(chain: Any, parameters: Any, table: np.ndarray, ends: Any, rows: slice) -> None:
            out[rows] = chain.filter(parameters, table, ends, overwrite=True)[1]

        self._each(units, fill)
        return out

    def _score_type(self, X: Any) -> Any:
        single = X.dtype == np.float32 and self.startprob_.dtype == np.float32
        return np.float32 if single else np.float64

    # --------------------------------------------------------------- states

    def decode(
        self, X: Any, *, groups: Any = None, lengths: Any = None
    ) -> tuple[float, np.ndarray]:
        """The most probable paths, by the Viterbi algorithm.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of such
        groups : array-like of shape (n_samples,), default=None
        lengths : array-like of shape (n_sequences,), default=None

        Returns
        -------
        log_probability : float
            Of the paths and X together, the sum over the sequences; -inf if no path is possible.
        states : ndarray of shape (n_samples,)
        """
        units = self._units(X, groups, lengths)
        out = np.empty(units.shape[0], dtype=np.int64)

        def fill(chain: Any, parameters: Any, table: np.ndarray, ends: Any, rows: slice) -> Any:
            out[rows], value = chain.decode(parameters, table, ends)
            return value.sum()

        values = self._each(units, fill)
        return float(np.sum(values)), out

    def _n_columns(self) -> int:
        """Columns of probabilities."""
        return len(self.startprob_)

    @lazy("labels")
    def predict(
        self, X: Any, *, method: str = "viterbi", groups: Any = None, lengths: Any = None
    ) -> np.ndarray:
        """The state of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of such
        method : {"viterbi", "smooth", "filter"}, default="viterbi"
            The most probable path; the most probable state of each row given its whole sequence; the same
            given the rows up to it alone.
        groups : array-like of shape (n_samples,), default=None
        lengths : array-like of shape (n_sequences,), default=None

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        if method not in _METHODS:
            raise ValueError(f"method must be one of {list(_METHODS)}, got {method!r}.")
        if method == "viterbi":
            return self.decode(X, groups=groups, lengths=lengths)[1]
        return self._proba(self._units(X, groups, lengths), method).argmax(axis=1)

    @lazy("probabilities")
    def predict_proba(self, X: Any, *, groups: Any = None, lengths: Any = None) -> np.ndarray:
        """Probability of each state, for each row, given its whole sequence.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of such
        groups : array-like of shape (n_samples,), default=None
        lengths : array-like of shape (n_sequences,), default=None

        Returns
        -------
        ndarray of shape (n_samples, n_components)
        """
        return self._proba(self._units(X, groups, lengths), "smooth")

    def filter_proba(self, X: Any, *, groups: Any = None, lengths: Any = None) -> np.ndarray:
        """Probability of each state, for each row, given the rows of its sequence up to it.

        Rows that come later change nothing.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of such
        groups : array-like of shape (n_samples,), default=None
        lengths : array-like of shape (n_sequences,), default=None

        Returns
        -------
        ndarray of shape (n_samples, n_components)
        """
        return self._proba(self._units(X, groups, lengths), "filter")

    def fit_predict(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        lengths: Any = None,
    ) -> np.ndarray:
        """``fit(X).predict(X)``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of such
        y : Ignored
        sample_weight : array-like of shape (n_samples,) or (n_sequences,), default=None
        groups : array-like of shape (n_samples,), default=None
        lengths : array-like of shape (n_sequences,), default=None

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        given = {"groups": groups, "lengths": lengths}
        return self.fit(X, y, sample_weight=sample_weight, **given).predict(X, **given)

    def step(self, x: Any, proba: np.ndarray | None = None) -> tuple[np.ndarray, Any]:
        """One step of online decoding: what a new row says of the state now.

        Parameters
        ----------
        x : array-like of shape (n_features,) or (n_streams, n_features)
            A row; or one of each of several streams.
        proba : ndarray of shape (n_components,) or (n_streams, n_components), default=None
            What the last step returned; None at the beginning.

        Returns
        -------
        proba : ndarray of shape (n_components,) or (n_streams, n_components)
            As in :meth:`filter_proba`.
        log_density : float or ndarray of shape (n_streams,)
            As in :meth:`score_samples`.
        """
        check_is_fitted(self)
        single = np.ndim(x) == 1
        rows = self._check_data([x] if single else x, reset=False)
        parameters, model = self._recall_for(rows), self._fitted_model()
        m, K = rows.shape[0], len(self.startprob_)
        with single_threaded_blas():
            units = Units(rows, np.arange(1, m + 1))
            table, _ = model.log_density(parameters.components, model.prepare(units))
        predicted = np.broadcast_to(parameters.latent.startprob, (m, K))
        if proba is not None:
            before = check_probabilities(proba, (K,) if single else (m, K), "proba")
            predicted = np.atleast_2d(before) @ parameters.latent.transmat
        out, value = model.latent.filter_from(predicted, table)
        out, value = (array.astype(self._score_type(rows), copy=False) for array in (out, value))
        return (out[0], float(value[0])) if single else (out, value)

    # --------------------------------------------------------------- scores

    @lazy("scores")
    def score_samples(self, X: Any, *, groups: Any = None, lengths: Any = None) -> np.ndarray:
        """Log-density of each row, given those before it in its sequence: they sum to the log-likelihood.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of such
        groups : array-like of shape (n_samples,), default=None
        lengths : array-like of shape (n_sequences,), default=None

        Returns
        -------
        ndarray of shape (n_samples,)
            -inf for a row that the model cannot have.
        """
        units = self._units(X, groups, lengths)
        return self._log_likelihoods(units).astype(self._score_type(units), copy=False)

    def score(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        lengths: Any = None,
    ) -> float:
        """Mean log-likelihood of a row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of such
        y : Ignored
        sample_weight : array-like of shape (n_samples,) or (n_sequences,), default=None
        groups : array-like of shape (n_samples,), default=None
        lengths : array-like of shape (n_sequences,), default=None

        Returns
        -------
        float

        Warns
        -----
        UserWarning
            If the fit had several sequences, and now X is read as one.
        """
        given = {"groups": groups, "lengths": lengths, "told": "score"}
        value, n = self._total(X, sample_weight, y=y, **given)
        return value / n

    @added
    def _total(
        self,
        X: Any,
        sample_weight: Any,
        *,
        groups: Any,
        lengths: Any,
        told: str,
        y: Any = None,
    ) -> tuple[float, float]:
        """The log-likelihood, and the number of rows that count."""
        units = self._units(X, groups, lengths, y, told=told)
        weights = check_weights(spread_weights(sample_weight, units.ends), units)
        check_even(weights, units.ends)
        rows = self._log_likelihoods(units)
        if weights is None:
            return float(rows.sum()), float(len(rows))
        return float((np.where(weights > 0, rows, 0.0) * weights).sum()), float(weights.sum())

    def _n_counted(self) -> int:
        """Free parameters of the fit, or of what was set by hand: a topology set since then changes nothing."""
        counted = vars(self).get("n_parameters_")
        return self._n_parameters() if counted is None else counted

    def bic(
        self, X: Any, sample_weight: Any = None, *, groups: Any = None, lengths: Any = None
    ) -> float:
        """Bayesian information criterion; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of such
        sample_weight : array-like of shape (n_samples,) or (n_sequences,), default=None
            The number of rows is their sum.
        groups : array-like of shape (n_samples,), default=None
        lengths : array-like of shape (n_sequences,), default=None

        Returns
        -------
        float
        """
        given = {"groups": groups, "lengths": lengths, "told": "bic"}
        value, n = self._total(X, sample_weight, **given)
        return -2.0 * value + self._n_counted() * math.log(n)

    def aic(
        self, X: Any, sample_weight: Any = None, *, groups: Any = None, lengths: Any = None
    ) -> float:
        """Akaike information criterion; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of such
        sample_weight : array-like of shape (n_samples,) or (n_sequences,), default=None
        groups : array-like of shape (n_samples,), default=None
        lengths : array-like of shape (n_sequences,), default=None

        Returns
        -------
        float
        """
        given = {"groups": groups, "lengths": lengths, "told": "aic"}
        value, _ = self._total(X, sample_weight, **given)
        return -2.0 * value + 2.0 * self._n_counted()

    # --------------------------------------------------------------- beyond

    def forecast(
        self, X: Any, steps: int = 1, *, groups: Any = None, lengths: Any = None
    ) -> Forecast:
        """States and rows after the end of each sequence.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of such
        steps : int, default=1
            How many rows ahead.
        groups : array-like of shape (n_samples,), default=None
        lengths : array-like of shape (n_sequences,), default=None

        Returns
        -------
        Forecast
            Probabilities of the states, and the distribution of each row.
        """
        if not isinstance(steps, int | np.integer) or steps < 1:
            raise ValueError(f"steps must be a whole number from 1 on, got {steps!r}.")
        units = self._units(X, groups, lengths)

        def last(chain: Any, parameters: Any, table: np.ndarray, ends: Any, rows: slice) -> Any:
            return chain.filter(parameters, table, ends, overwrite=True)[0][ends - 1]

        now = np.concatenate(self._each(units, last))
        transmat = self.recall().latent.transmat
        out = np.empty((len(now), steps, len(transmat)))
        for step in range(steps):
            out[:, step] = now = now @ transmat
        return Forecast(self, out)

    def stationary_distribution(self) -> np.ndarray:
        """Probabilities of the states after a long time.

        Returns
        -------
        ndarray of shape (n_components,)

        Raises
        ------
        ValueError
            If they depend on where the chain begins.
        """
        check_is_fitted(self)
        return self._fitted_model().latent.stationary(self.recall().latent)

    def sample(
        self, n_samples: int = 1, random_state: Any = None, *, lengths: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows, and the states that they come from.

        Parameters
        ----------
        n_samples : int, default=1
            Rows of one sequence.
        random_state : int, RandomState or None, default=None
            None uses the estimator's own: an integer there gives the same rows at every call.
        lengths : array-like of shape (n_sequences,), default=None
            Draw several sequences, of these lengths, instead.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            In the order of time.
        states : ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        if lengths is None:
            if n_samples < 1:
                raise ValueError(
                    f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample."
                )
            lengths = [n_samples]
        n = int(np.sum(lengths))
        lengths = np.diff(read_ends(n, None, lengths), prepend=0)
        rng = check_random_state(self.random_state if random_state is None else random_state)
        parameters, model = self.recall(), self._fitted_model()
        states = model.latent.sample(parameters.latent, lengths, rng)
        counts = np.bincount(states, minlength=len(parameters.latent.startprob))
        drawn = model.distribution.sample(parameters.components, counts, rng)
        X = np.empty_like(drawn)
        X[np.argsort(states, kind="stable")] = drawn
        return model.distribution.decode(X, Fitted(self)), states

    def impute(self, X: Any, *, groups: Any = None, lengths: Any = None) -> Any:
        """X with missing cells filled in, given all of the sequence.

        Numbers are what is expected of them, categories the most probable ones.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of such
        groups : array-like of shape (n_samples,), default=None
        lengths : array-like of shape (n_sequences,), default=None

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            A copy, whose cells that are there are as they were;
            a list of sequences is one table.

        Raises
        ------
        ValueError
            If the family has no such cell to fill: a part of a row of counts with a total, or of a direction.
        """
        X, lengths = read_list(X, groups, lengths)
        return self._imputed(X, partial(read_ends, groups=groups, lengths=lengths))

    def sample_imputations(
        self,
        X: Any,
        n_imputations: int = 5,
        random_state: Any = None,
        *,
        groups: Any = None,
        lengths: Any = None,
    ) -> Any:
        """X some times, missing cells drawn from what they may be given all of the sequence: multiple imputation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of such
        n_imputations : int, default=5
        random_state : int, RandomState or None, default=None
            None uses the estimator's own: an integer there gives the same draws at every call.
        groups : array-like of shape (n_samples,), default=None
        lengths : array-like of shape (n_sequences,), default=None

        Returns
        -------
        ndarray of shape (n_imputations, n_samples, n_features)
            States are drawn as whole paths, and cells given their state.

        References
        ----------
        Rubin, D. B. (1987). Multiple Imputation for Nonresponse in Surveys. Wiley.
        """
        X, lengths = read_list(X, groups, lengths)
        ends = partial(read_ends, groups=groups, lengths=lengths)
        return self._imputations(X, n_imputations, random_state, ends)
