"""An estimator with example data, as the checks of the services see it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils._param_validation import StrOptions

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
        For ``fit``, an entry a row each: ``groups`` of a model of sequences, ``y`` of a regression.
    """

    def __init__(self, estimator: Any, X: Any, arguments: Mapping[str, Any]) -> None:
        self.estimator = estimator
        self.X = X if hasattr(X, "iloc") or sparse.issparse(X) else np.asarray(X)
        self.given = {name: np.asarray(value) for name, value in arguments.items()}
        #: what the methods of a fitted model take
        self.beside = {name: v for name, v in self.given.items() if name in ("groups", "y")}
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
        if "init_params" in parameters and self.start_name == "init":
            parameters["init"] = parameters.pop("init_params")
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
        return self.predicted(self.fitted)

    @property
    def start_name(self) -> str | None:
        """The parameter that says how a start is drawn; laws call it ``init_params``."""
        return next((name for name in ("init_params", "init") if self.has(name)), None)

    @property
    def start_methods(self) -> list[str]:
        """The names that it takes."""
        allowed = self.estimator._parameter_constraints.get(self.start_name, [])
        names = [c.options for c in allowed if isinstance(c, StrOptions)]
        return sorted(set().union(*names)) if names else []

    @property
    def start(self) -> dict[str, Any]:
        """Settings with which fits begin alike, if the estimator has a choice."""
        if not self.start_name or not hasattr(self.estimator, "predict"):
            return {}
        return {"init_params": self.labels}

    @property
    def drawn(self) -> dict[str, Any]:
        """Settings of starts that are drawn, if the estimator has others."""
        return {"init_params": "random"} if self.start_name else {}

    def way(self, name: str) -> dict[str, Any]:
        """The setting of a way to run EM, which drop-ins may call otherwise."""
        return {"algorithm" if self.has("algorithm") else "learning_method": name}

    @cached_property
    def optimum(self) -> Any:
        """Where batch EM comes to rest from that start."""
        tol = {"tol": 1e-7} if self.has("tol") else {}
        return self.fit(**self.start, max_iter=300, **tol)

    # ------------------------------------------------------------ answers

    def score(self, model: Any, X: Any = None) -> float:
        """Mean log-likelihood of a row."""
        X = self.X if X is None else X
        if hasattr(model, "log_likelihood"):  # the score of a regression is another
            return model.log_likelihood(X, **self.beside) / X.shape[0]
        return model.score(X, **self.beside)

    def row_scores(self, model: Any) -> np.ndarray:
        """Log-likelihood of each row."""
        known = hasattr(model, "log_likelihood_samples")
        return (model.log_likelihood_samples if known else model.score_samples)(
            self.X, **self.beside
        )

    def predicted(self, model: Any) -> np.ndarray:
        """The component of each row."""
        method = model.predict_labels if hasattr(model, "predict_labels") else model.predict
        return method(self.X, **self.beside)

    def posterior(self, model: Any) -> np.ndarray:
        """The probability of each component, for each row."""
        known = hasattr(model, "responsibilities")
        method = model.responsibilities if known else model.predict_proba
        return method(self.X, **self.beside)

    def answers(self, model: Any) -> dict[str, np.ndarray]:
        """What the model says of the rows."""
        names = ("score_samples", "predict_proba", "responsibilities", "predict", "transform")
        found = {name: getattr(model, name) for name in names if hasattr(model, name)}
        given = {name: self.beside for name in found}
        if "y" in self.beside:  # which it predicts
            given["predict"] = {}
        return {name: np.asarray(method(self.X, **given[name])) for name, method in found.items()}

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
