"""How mixtures of regressions are fitted: families, the table of rows, groups, starts, what a fit publishes."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from .._composite import CompositeEstimator, Fitted, Parameters
from .._data import (
    check_length,
    check_mixing_weights,
    check_shape,
    check_weights,
    is_dask,
    read_array,
)
from ..distributions import Distribution, Prior
from ..distributions.binomial_regression import BinomialRegression
from ..distributions.gaussian_regression import GaussianRegression
from ..distributions.poisson_regression import PoissonRegression
from ..distributions.regression import Regression
from ..em.held import Space
from ..em.reduce import unit_blocks
from ..em.seeded import pinned_start
from ..em.sources import Block, Source
from ..em.starts import ShareStart, Start, draw_start, given_start
from ..em.units import Units
from ..exceptions import DegenerateComponentsWarning, warn_user
from ..latent import Gate, GateParameters, Labels
from ._answers import AnswersMixin
from ._groups import Grouped, check_even, group_labels, read_groups
from ._model import RegressionModel

__all__ = ["FAMILIES", "BaseMixtureRegressor"]

#: by the names that users give them
FAMILIES: dict[str, type[Regression]] = {
    "gaussian": GaussianRegression,
    "poisson": PoissonRegression,
    "binomial": BinomialRegression,
    "logistic": BinomialRegression,
}
_GATE = ("gate_coef", "gate_intercept")


class BaseMixtureRegressor(AnswersMixin, CompositeEstimator, ABC):
    """A mixture of regressions: all but the constructor and the ways to fit."""

    _family = GaussianRegression

    # --------------------------------------------------------------- family

    def _distribution(self) -> Distribution:
        family = FAMILIES[self.family]
        names = ("variance_type", "variance_floor") if family is GaussianRegression else ()
        return family(
            fit_intercept=self.fit_intercept,
            alpha=self.alpha,
            more_columns=self._n_gate_columns(),
            **{name: getattr(self, name) for name in names},
        )

    def _n_gate_columns(self) -> int:
        if self.gate is None:
            return 0
        if self.gate_features is not None:
            return len(self.gate_features)
        return getattr(self, "n_features_in_", 0)

    def _assemble(
        self, distribution: Distribution, prior: Prior | None = None, latent_prior: Any = None
    ) -> RegressionModel:
        latent = Labels() if self.gate is None else Gate(distribution.more_columns)
        return RegressionModel(latent, distribution, prior, latent_prior)

    def _check_parameters(self) -> None:
        if self.gate is None and self.gate_features is not None:
            raise ValueError(
                "gate_features are the columns of a gate, and there is none. Set gate='softmax'."
            )

    def _latent_spaces(self) -> dict[str, Space]:
        K = self.n_components
        if self.gate is None:
            return {"weights": Space((K,), 0.0, 1.0, sizes=(K,))}
        return {}

    # ------------------------------------------------------------ parameters

    def publish(self, parameters: Parameters) -> dict[str, Any]:
        """The fitted attributes, by name."""
        latent = parameters.latent
        if isinstance(latent, GateParameters):
            known = {
                "weights_": latent.weights,
                "gate_coef_": latent.coef,
                "gate_intercept_": latent.intercept,
            }
        else:
            known = {"weights_": latent}
        components = self._resolved().publish(parameters.components)
        return {**known, **{f"{name}_": value for name, value in components.items()}}

    def recall(self) -> Parameters:
        """Parameters from the public fitted attributes, whoever set them."""
        values = Fitted(self)
        weights = np.ascontiguousarray(self.weights_, dtype=np.float64)
        components = self._resolved().recall(values)
        check_shape(weights, (len(components.coef),), "weights_")
        if self.gate is None:
            return Parameters(weights, components)
        gate = (np.ascontiguousarray(values[name], dtype=np.float64) for name in _GATE)
        return Parameters(GateParameters(*gate, weights), components)

    def _given_parameters(self) -> Parameters:
        given, K = dict(self.init_params), self.n_components
        names = ("weights", *_GATE) if self.gate else ("weights",)
        try:
            weights = given.pop("weights", None if not self.gate else np.full(K, 1.0 / K))
            if weights is None:
                raise KeyError("weights")
            weights = check_mixing_weights(weights, K, "weights")
            latent: Any = weights
            if self.gate:
                coef, intercept = (read_array(given.pop(name), name) for name in _GATE)
                check_shape(intercept, (K,), "gate_intercept")
                check_shape(coef, (K, self._n_gate_columns()), "gate_coef")
                latent = GateParameters(coef - coef[0], intercept - intercept[0], weights)
            components = self._read_given_components(given, names)
        except KeyError as error:
            raise ValueError(
                f"init_params: the parameter {error} is missing; give all of them by name, or labels."
            ) from error
        if len(components.coef) != K:
            raise ValueError(
                f"init_params: {K} weights, but parameters of {len(components.coef)} components."
            )
        return Parameters(latent, components)

    # ----------------------------------------------------------------- data

    def _columns(self, value: Any, name: str) -> np.ndarray | slice:
        """Numbers of the columns that were named."""
        if value is None:
            return slice(None)
        names = list(getattr(self, "feature_names_in_", []))
        found = []
        for item in np.asarray(value, dtype=object).tolist():
            if isinstance(item, str):
                if item not in names:
                    raise ValueError(f"{name}: X has no column {item!r}; its columns are {names}.")
                found.append(names.index(item))
            elif (
                isinstance(item, int)
                and not isinstance(item, bool)
                and (-self.n_features_in_ <= item < self.n_features_in_)
            ):
                found.append(item)
            else:
                raise ValueError(
                    f"{name}: {item!r} is no column of X, which has {self.n_features_in_}. Give numbers or names."
                )
        return np.array(found, dtype=np.intp)

    def _table(self, response: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Rows as the model sees them: response, covariates of the regressions, covariates of the gate."""
        parts = [
            response.astype(X.dtype, copy=False),
            X[:, self._columns(self.features, "features")],
        ]
        if self.gate is not None:
            parts.append(X[:, self._columns(self.gate_features, "gate_features")])
        return np.concatenate(parts, axis=1)

    def _read_response(self, y: Any, X: np.ndarray) -> np.ndarray:
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        array = check_array(
            y,
            ensure_2d=False,
            dtype="numeric",
            input_name="y",
            estimator=self,
            ensure_min_samples=0,
        )
        two = array.ndim == 2 and array.shape[1] == 2 and self.family in ("binomial", "logistic")
        if not two:
            array = column_or_1d(array, warn=True)
        check_consistent_length(X, array)
        return self._distribution().read_response(array.astype(np.float64, copy=False))

    def _read_block(
        self,
        X: Any,
        y: Any,
        *,
        reset: bool,
        sample_weight: Any = None,
        groups: Any = None,
        labels: Any = None,
    ) -> Block:
        X = self._check_data(X, reset=reset)
        table = self._table(self._read_response(y, X), X)
        weight = check_weights(sample_weight, X)
        known = self._read_labels(labels, X.shape[0], reset)
        if groups is None:
            return Block(table, weight, known)
        order, ends = read_groups(groups, X.shape[0])
        if order is not None:
            self._scattered = True
            table = table[order]
            weight, known = (None if a is None else a[order] for a in (weight, known))
        check_even(
            weight, ends, "sample_weight", "A group counts as a whole: give its rows one weight."
        )
        gate = table[:, table.shape[1] - self._n_gate_columns() :]
        advice = (
            "The gate has one choice for all rows of a group; name its columns in gate_features."
        )
        check_even(gate, ends, "A covariate of the gate", advice)
        return Block(Grouped(table, ends, order), weight, group_labels(known, ends))

    def _source(self, X: Any, y: Any, metadata: dict[str, Any]) -> Source:
        if is_dask(X):  # the response is what belongs to the rows
            return super()._source(X, None, {"y": y, **metadata})
        return super()._source(X, y, metadata)

    def _mapped(self, X: Any, y: Any, metadata: dict[str, Any]) -> Source:
        return super()._mapped(X, None, {"y": y, **metadata})

    def _pieces(self, X: Any, metadata: dict[str, Any]) -> list[tuple[slice, dict[str, Any]]]:
        groups = metadata.get("groups")
        if groups is None:
            return super()._pieces(X, metadata)
        order, ends = read_groups(groups, X.shape[0])
        if order is not None:
            raise ValueError(
                "groups: the rows of a file that is read in blocks must be together by group. Sort them."
            )
        given = {name: check_length(value, X.shape[0], name) for name, value in metadata.items()}
        return [
            (rows, {name: value[rows] for name, value in given.items() if value is not None})
            for rows in unit_blocks(ends, X.shape[1], self.row_cost(X.shape[1]))
        ]

    def _check_start(self, source: Source) -> None:
        super()._check_start(source)
        scattered = vars(self).get("_scattered", False)
        given = not (isinstance(self.init_params, str | Mapping) or callable(self.init_params))
        if scattered and given and not source.in_memory:
            raise ValueError(
                "init_params has a value for each row, but groups are scattered over the rows of a block. Sort the rows"
                " by group, or name a method such as 'random'."
            )

    def _check_against(self, source: Source) -> None:
        self._check_enough_rows(source, 2)

    def _note_rows(self, source: Source) -> None:
        vars(self).pop("_scattered", None)

    def _changed(self) -> str | None:
        if len(self.weights_) != self.n_components:
            return (
                f"a fit of {len(self.weights_)} components, but n_components = {self.n_components}"
            )
        if (self.gate is None) != ("gate_coef_" not in vars(self)):
            return "a fit with another gate"
        return super()._changed()

    # ---------------------------------------------------------------- start

    def _first_parameters(self, model: Any, X: Any, *data: Any, **known: Any) -> Any:
        if isinstance(self.init_params, Mapping):
            given = self._given_parameters()
            if model.distribution.shape(given.components)[1] != X.shape[1]:
                raise ValueError(
                    f"init_params: 'coef' is of {given.components.coef.shape[1]} features, but the regressions see"
                    f" {X.shape[1] - model.distribution.n_responses - self._n_gate_columns()}."
                )
            return given
        return super()._first_parameters(model, X, *data, **known)

    def _draw(
        self,
        X: Any,
        sample_weight: np.ndarray | None,
        random_state: np.random.RandomState,
        distribution: Distribution,
    ) -> Start:
        method, K = self.init_params, self.n_components
        rows = X.rows if isinstance(X, Units) else X
        if not isinstance(method, str):
            order = getattr(X, "order", None)
            if order is not None and not callable(method):
                method = np.asarray(method)[order]
            return given_start(method, rows, K, random_state)
        if self._is_mixed():
            method = "random" if random_state.randint(2) else "k-means++"
        if method == "random" and isinstance(X, Units):  # the mean of many draws is none
            return self._random_shares(X, random_state)
        space = rows if method == "random" else distribution.embed(rows)
        start = draw_start(method, space, K, random_state, sample_weight, partition=True)
        return self._arranged(start, X)

    def _draw_labelled(
        self,
        X: Any,
        labels: np.ndarray,
        sample_weight: np.ndarray | None,
        random_state: np.random.RandomState,
        distribution: Distribution,
    ) -> Start:
        method = self.init_params
        if self._is_mixed():
            method = "random" if random_state.randint(2) else "k-means++"
        if isinstance(method, str) and method == "random":
            return pinned_start(self._random_shares(X, random_state), labels)
        return super()._draw_labelled(X, labels, sample_weight, random_state, distribution)

    def _random_shares(self, X: Any, random_state: np.random.RandomState) -> ShareStart:
        """Shares that all rows of a group have, or each row its own."""
        lengths = np.diff(X.ends, prepend=0) if isinstance(X, Units) else np.ones(X.shape[0], int)
        shares = random_state.uniform(size=(len(lengths), self.n_components))
        shares /= shares.sum(axis=1, keepdims=True)
        return ShareStart(np.repeat(shares, lengths, axis=0))

    def _start_method(self) -> Any:
        # where some labels are known, and it is not "random": the other rows begin near a seed
        return "k-means++" if self._is_mixed() else self.init_params

    def _is_mixed(self) -> bool:
        return isinstance(self.init_params, str) and self.init_params == "mixed"

    def _arranged(self, start: Start, X: Any) -> Start:
        """A start that gives all rows of a group the same shares."""
        if not isinstance(X, Units):
            return start
        shares = np.zeros((X.shape[0], self.n_components))
        for rows, part in start.shares(X.rows):
            shares[rows] = part
        lengths = np.diff(X.ends, prepend=0)
        mean = np.add.reduceat(shares, X.begins, axis=0) / lengths[:, None]
        return ShareStart(np.repeat(mean, lengths, axis=0))

    # -------------------------------------------------------------- fitted

    def _set_fitted(self, result: Any, dtype: Any) -> None:
        for name in ("gate_coef_", "gate_intercept_", "variances_"):  # of an earlier fit
            vars(self).pop(name, None)
        super()._set_fitted(result, dtype)
        if result.statistics is None:
            return
        if self.gate is not None:
            gate = Gate(self._n_gate_columns())
            certain = np.flatnonzero(gate.vanishing(result.statistics[gate.name]))
            if len(certain):
                warn_user(
                    f"The gate tells components {certain.tolist()} from all others without error: its coefficients"
                    " would grow without end, and were stopped. They say where one component gives way to another, and"
                    " no more.",
                    DegenerateComponentsWarning,
                )
        lost = np.flatnonzero(self._distribution().vanishing(result.statistics["components"]))
        if len(lost):
            warn_user(
                f"Components {lost.tolist()} fit their rows without error, zeros and ones or counts of 0 alike: their"
                " coefficients would grow without end, and were stopped. Set alpha to a small positive number.",
                DegenerateComponentsWarning,
            )

    def _degeneracies(self, parameters: Parameters) -> list[str]:
        weights = getattr(parameters.latent, "weights", parameters.latent)
        empty = np.flatnonzero(weights == 0)
        found = self._resolved().degeneracies(parameters.components, weights)
        if not len(empty):
            return found
        return [
            f"Components {empty.tolist()} are empty: no row belongs to them, their weight is 0. Try fewer components.",
            *found,
        ]
