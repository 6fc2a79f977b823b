"""The cells of a sweep: one fit each, a row of the table each."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.utils.validation import _num_samples

from ..em.shared import SharedDraws
from ..exceptions import heard_warnings
from ._scorers import at_mixture

__all__ = ["CRITERIA", "Cell", "Task", "describe", "fit_cell", "make_table", "tied"]

CRITERIA = ("bic", "aic", "icl")

# scores this close, relative to their size, are of the same model under two names
_TIE = 1e-10


@dataclass(frozen=True)
class Task:
    """What the cells have in common."""

    X: Any
    y: Any
    fit_params: dict[str, Any]
    sample_weight: Any
    criterion: str | Callable[..., float]
    raises: bool
    draws: SharedDraws


@dataclass
class Cell:
    """What became of one combination of parameters."""

    model: Any = None
    row: dict[str, Any] = field(default_factory=dict)
    score: float = math.nan
    warnings: list[tuple[str, type[Warning]]] = field(default_factory=list)
    error: Exception | None = None


def fit_cell(estimator: Any, task: Task) -> Cell:
    """Fit an estimator and read its criteria; an error becomes a part of the result."""
    cell = Cell()
    begin = time.perf_counter()
    try:
        with heard_warnings() as cell.warnings, task.draws.used():
            if task.y is None:
                estimator.fit(task.X, **task.fit_params)
            else:
                estimator.fit(task.X, task.y, **task.fit_params)
        cell.row["fit_time"] = time.perf_counter() - begin
        begin = time.perf_counter()
        cell.row |= _criteria(estimator, task)
        cell.row["score_time"] = time.perf_counter() - begin
        cell.score = _score(estimator, task, cell.row)
        if not math.isfinite(cell.score):
            raise ValueError(f"The criterion of this fit is {cell.score:g}.")
        cell.model = estimator
    except Exception as error:
        if task.raises:
            raise
        cell.row.setdefault("fit_time", time.perf_counter() - begin)
        cell.error, cell.score = error, math.nan
    return cell


def _weights(task: Task) -> dict[str, Any]:
    return {} if task.sample_weight is None else {"sample_weight": task.sample_weight}


def _criteria(estimator: Any, task: Task) -> dict[str, Any]:
    model, Z = at_mixture(estimator, task.X)
    row: dict[str, Any] = {}
    for name in CRITERIA:
        if hasattr(model, name):
            row[name] = float(getattr(model, name)(Z, **_weights(task)))
    n_parameters = getattr(model, "n_parameters_", None)
    if n_parameters is None and {"bic", "aic"} <= row.keys():
        n = float(_num_samples(Z) if task.sample_weight is None else np.sum(task.sample_weight))
        n_parameters = _n_parameters(row["bic"] - row["aic"], n)
    if n_parameters is not None:
        row["n_parameters"] = int(n_parameters)
        if "aic" in row:
            row["log_likelihood"] = n_parameters - row["aic"] / 2
    for name in ("converged", "n_iter", "stop_reason"):
        if hasattr(model, f"{name}_"):
            row[name] = getattr(model, f"{name}_")
    return row


def _n_parameters(difference: float, n: float) -> int | None:
    """Free parameters of a model that does not say: BIC - AIC = p (log n - 2)."""
    factor = math.log(n) - 2
    return round(difference / factor) if abs(factor) > 1e-6 and math.isfinite(difference) else None


def _score(estimator: Any, task: Task, row: dict[str, Any]) -> float:
    if isinstance(task.criterion, str):
        return -row[task.criterion]
    weights = _weights(task)
    if weights and "sample_weight" not in inspect.signature(task.criterion).parameters:
        raise TypeError(
            f"The criterion {task.criterion!r} takes no sample_weight, which the fit was given."
        )
    return float(task.criterion(estimator, task.X, **weights))


# ------------------------------------------------------------------- table


def make_table(grid: Sequence[dict[str, Any]], cells: Sequence[Cell]) -> dict[str, Any]:
    """Columns by name, one entry for each cell."""
    scores = np.array([cell.score for cell in cells])
    table: dict[str, Any] = {
        f"param_{name}": _masked([params.get(name, np.ma.masked) for params in grid])
        for name in sorted({name for params in grid for name in params})
    }
    table["score"] = scores
    table["rank_score"] = _ranks(scores)
    found = {name for cell in cells for name in cell.row}
    for name in CRITERIA:
        if name in found:
            table[name] = _floats(cells, name)
            table[f"rank_{name}"] = _ranks(-table[name])
    if "log_likelihood" in found:
        table["log_likelihood"] = _floats(cells, "log_likelihood")
    for name in ("n_parameters", "n_iter"):
        if name in found:
            table[name] = _masked([cell.row.get(name, np.ma.masked) for cell in cells])
    if "converged" in found:
        table["converged"] = np.array([bool(cell.row.get("converged")) for cell in cells])
    if "stop_reason" in found:
        table["stop_reason"] = _objects([cell.row.get("stop_reason", "") for cell in cells])
    table["fit_time"] = _floats(cells, "fit_time")
    table["score_time"] = _floats(cells, "score_time")
    table["warning"] = _objects([" ".join(text for text, _ in c.warnings) for c in cells])
    table["error"] = _objects(["" if c.error is None else describe(c.error) for c in cells])
    table["params"] = list(grid)
    return table


def describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def tied(scores: np.ndarray) -> np.ndarray:
    """Which scores are the highest, up to rounding: a single component is both "full" and "tied"."""
    top = np.nanmax(scores)
    return scores >= top - _TIE * max(1.0, abs(top))


def _ranks(scores: np.ndarray) -> np.ndarray:
    """1 for the highest; ties share the lowest rank, and what has no score comes last."""
    scores = np.where(np.isfinite(scores), scores, np.nan)
    if np.isnan(scores).all():
        return np.ones(len(scores), dtype=np.int32)
    known = np.where(tied(scores), np.nanmax(scores), scores)
    known = np.where(np.isnan(known), -np.inf, known)
    return rankdata(-known, method="min").astype(np.int32)


def _floats(cells: Sequence[Cell], name: str) -> np.ndarray:
    return np.array([cell.row.get(name, math.nan) for cell in cells], dtype=np.float64)


def _objects(values: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def _masked(values: Sequence[Any]) -> np.ma.MaskedArray:
    """As in scikit-learn's searches: masked where a cell has no such value."""
    mask = np.array([value is np.ma.masked for value in values])
    given = [value for value in values if value is not np.ma.masked]
    kinds = {type(value) for value in given}
    number = len(kinds) == 1 and issubclass(next(iter(kinds)), int | float | np.number)
    dtype = kinds.pop() if number else object
    array = np.ma.MaskedArray(np.empty(len(values), dtype=dtype), mask=mask)
    if dtype is not object:
        array.data[mask] = 0
    for i in np.flatnonzero(~mask):
        array.data[i] = values[i]
    return array
