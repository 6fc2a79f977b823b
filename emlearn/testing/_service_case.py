"""An estimator with example data, as the checks of the services see it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone

from ._hold import close, hold, same_fit

__all__ = ["FORGETTING", "PASSES", "Listener", "ServiceCase", "at_least", "published"]

#: passes over the data in which estimates that see a part of them at a time reach what batch EM comes to, to 0.1 %
PASSES = 40
#: how they forget meanwhile: all steps together are worth some dozens of batch EM
FORGETTING = {"learning_decay": 0.6, "learning_offset": 2.0}


class ServiceCase:
    """An estimator, example rows, and what ``fit`` takes beside them.

    Parameters
    ----------
    estimator : estimator
        Not fitted, with the settings of its example.
    X : array-like, CSR matrix or data frame of shape (n, d)
    arguments : mapping
        For ``fit``, an entry a row each: ``groups`` of a model of sequences.
    """

    def __init__(self, estimator: Any, X: Any, arguments: Mapping[str, Any]) -> None:
        self.estimator = estimator
        self.X = X if hasattr(X, "iloc") or sparse.issparse(X) else np.asarray(X)
        self.given = {name: np.asarray(value) for name, value in arguments.items()}
        #: what the methods of a fitted model take
        self.beside = {name: v for name, v in self.given.items() if name == "groups"}
        self.n = self.X.shape[0]

    # ---------------------------------------------------------------- data

    @cached_property
    def units(self) -> list[np.ndarray]:
        """The rows of each unit: of each sequence, or each row alone."""
        groups = self.given.get("groups")
        begins = (
            np.arange(self.n)
            if groups is None
            else np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
        )
        return np.split(np.arange(self.n), begins[1:])

    @property
    def ends(self) -> np.ndarray:
        """Where each unit ends."""
        return np.cumsum([len(unit) for unit in self.units])

    def rows(self, index: np.ndarray) -> Any:
        """Some rows."""
        return self.X.iloc[index] if hasattr(self.X, "iloc") else self.X[index]

    def take(self, units: Any) -> tuple[Any, dict[str, Any], np.ndarray]:
        """Some units, in their order and as often as they are named: X, what belongs to them, numbers of the rows."""
        rows = np.concatenate([self.units[unit] for unit in units])
        given = {name: value[rows] for name, value in self.given.items()}
        if "groups" in given:
            lengths = [len(self.units[unit]) for unit in units]
            given["groups"] = np.repeat(np.arange(len(lengths)), lengths)
        return self.rows(rows), given, rows

    def parts(self, n_parts: int) -> list[tuple[Any, dict[str, Any], np.ndarray]]:
        """All units in random order, in so many parts."""
        order = np.random.RandomState(2).permutation(len(self.units))
        return [self.take(part) for part in np.array_split(order, min(n_parts, len(order)))]

    @property
    def part_rows(self) -> int:
        """Rows of a part of the data, for blocks and batches."""
        return max(4, self.n // 6)

    # ---------------------------------------------------------------- fits

    def has(self, name: str) -> bool:
        """Whether the estimator has such a parameter."""
        return name in self.estimator.get_params(deep=False)

    def new(self, **parameters: Any) -> Any:
        """The estimator, seeded, for a few iterations."""
        usual = {"random_state": 0, "max_iter": 6, "tol": 0.0, "n_init": 1, "n_jobs": 1}
        usual = {name: value for name, value in usual.items() if self.has(name)}
        return clone(self.estimator).set_params(**{**usual, **parameters})

    def fit(
        self, X: Any = None, arguments: Any = None, *, callbacks: tuple = (), **parameters: Any
    ) -> Any:
        """A fit without its warnings."""
        model = self.new(**parameters)
        if callbacks:
            model.set_callbacks(*callbacks)
        return self.refit(model, X, arguments)

    def refit(self, model: Any, X: Any = None, arguments: Any = None, method: str = "fit") -> Any:
        """The same of an estimator that is there already."""
        arguments = self.given if arguments is None else arguments
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(model, method)(self.X if X is None else X, **arguments)

    def going_on(self, **parameters: Any) -> Any:
        """A fit that the next one takes up: a run from one set of parameters, whatever starts are like."""
        return self.fit(**self.start, max_iter=1).set_params(
            warm_start=True, max_iter=6, **parameters
        )

    @cached_property
    def fitted(self) -> Any:
        return self.fit()

    @cached_property
    def labels(self) -> np.ndarray:
        """A partition of the rows."""
        return self.fitted.predict(self.X, **self.beside)

    @property
    def start(self) -> dict[str, Any]:
        """Settings with which fits begin alike, if the estimator has a choice."""
        if not self.has("init_params") or not hasattr(self.estimator, "predict"):
            return {}
        return {"init_params": self.labels}

    @cached_property
    def optimum(self) -> Any:
        """Where batch EM comes to rest from that start."""
        return self.fit(**self.start, max_iter=300, tol=1e-7)

    # ------------------------------------------------------------ answers

    def score(self, model: Any, X: Any = None) -> float:
        """Mean log-likelihood of a row."""
        return model.score(self.X if X is None else X, **self.beside)

    def answers(self, model: Any) -> dict[str, np.ndarray]:
        """What the model says of the rows."""
        return {
            name: np.asarray(getattr(model, name)(self.X, **self.beside))
            for name in ("score_samples", "predict_proba", "predict", "transform")
            if hasattr(model, name)
        }

    def same(self, a: Any, b: Any, what: str, tolerance: float | None = None) -> None:
        """Two fits are one, to the bit without a tolerance; where nothing is published, by their answers."""
        if published(a):
            same_fit(a, b, what, tolerance)
            return
        ours, theirs = self.answers(a), self.answers(b)
        hold(ours, f"{what}: there is nothing to compare.")
        for name, value in theirs.items():
            close(ours[name], value, f"{what}: {name}", tolerance or 0.0)


def published(model: Any) -> dict[str, Any]:
    """The parameters of a fit, by the names of their attributes."""
    return {name: getattr(model, name) for name in getattr(model, "_published_names", ())}


def at_least(value: float, least: float, slack: float, what: str) -> None:
    """One value is not below another by more than that share of it."""
    hold(
        value >= least - slack * max(1.0, abs(least)),
        f"{what}: {value:.10g} is below {least:.10g}.",
    )


class Listener:
    """A callback that is called after each iteration with its number and the estimator as it stands."""

    def __init__(self, action: Callable[[int, Any], Any] | None = None) -> None:
        self.action = action
        self.n = 0

    def setup(self, estimator: Any, context: Any) -> None:
        """Nothing to do."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing to do."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Nothing to do."""

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> bool:
        """One more iteration."""
        if context.task_name != "iteration":
            return False
        self.n += 1
        return bool(self.action(self.n, fitted_estimator)) if self.action else False
