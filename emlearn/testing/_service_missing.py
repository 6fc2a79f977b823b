"""Laws of missing cells: a likelihood of what is there, and cells that are filled in."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp

from ..em.starts import METHODS
from ._hold import close, hold, rises, same_fit
from ._service_case import ServiceCase, published

# values of a column of which a missing one is the sum, and the highest of counts
_FEW, _COUNTS = 8, 400
# points of an integral over the values of a column
_POINTS = 1200
# draws of each cell
_DRAWS = 100


def check_missing(case: ServiceCase) -> None:
    """A missing cell is every value that it may have, a missing row tells nothing; the likelihood of the rest rises."""
    allowed = case.estimator.__sklearn_tags__().input_tags.allow_nan
    hold(allowed == _takes_cells(case), f"the tag allow_nan is {allowed}.")
    if has_likelihood(case):
        for j in range(case.X.shape[1]) if _takes_cells(case) else ():
            _check_marginal(case, j)
        _check_missing_row(case)
    Y = with_holes(case)
    model = case.fit(Y, **case.start)
    rises(model, "fit with missing cells")
    hold(published(model), "a fit with missing cells publishes nothing.")
    if hasattr(model, "bic"):
        close(case.score(model, Y), model.lower_bound_, "score and lower_bound_ with missing cells")
    for name in METHODS if case.has("init_params") else ():
        if name != "short-runs":
            bound = case.fit(Y, init_params=name, max_iter=1).lower_bound_
            hold(np.isfinite(bound), f"init_params={name!r} with missing cells ends at {bound}.")
    _check_weights(case, Y)


def has_likelihood(case: ServiceCase) -> bool:
    """False of a posterior distribution, whose scores are those of expected parameters."""
    return hasattr(case.fitted, "bic")


def _takes_cells(case: ServiceCase) -> bool:
    """Whether single cells may be missing; otherwise the error says that rows may."""
    if not hasattr(case.fitted, "score"):
        return True
    X, _, rows = case.take([0])
    try:
        case.fitted.score(_with(X, 0, 0, np.nan), **_beside(case, rows))
    except ValueError as error:
        hold("such row" in str(error), f"a missing cell is an error that does not say why: {error}")
        return False
    return True


def with_holes(case: ServiceCase) -> np.ndarray:
    """The rows, a tenth of their cells missing, or of the rows, and all of the second row."""
    Y = np.array(case.X, copy=True)
    rng = np.random.RandomState(4)
    if _takes_cells(case):
        Y[rng.uniform(size=Y.shape) < 0.1] = np.nan
    else:
        Y[rng.uniform(size=len(Y)) < 0.1] = np.nan
    Y[1] = np.nan
    return Y


def _beside(case: ServiceCase, rows: np.ndarray) -> dict[str, Any]:
    return {name: value[rows] for name, value in case.beside.items()}


def _with(X: Any, row: int, column: Any, value: Any) -> Any:
    changed = np.array(X, copy=True)
    changed[row, column] = value
    return changed


def _values(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a cell may be, and the logarithm of the weight of each in a sum, or an integral, over all of it."""
    column = column[~np.isnan(column)]
    found = np.unique(column)
    if len(found) <= _FEW:
        return found, np.zeros(len(found))
    if found[0] >= 0 and np.array_equal(found, np.round(found)):
        return np.arange(_COUNTS, dtype=float), np.zeros(_COUNTS)
    if found[0] > 0:  # an even grid of logarithms
        grid = np.linspace(np.log(found[0]) - 25.0, np.log(found[-1]) + 5.0, _POINTS)
        return np.exp(grid), grid + np.log(grid[1] - grid[0])
    # tails of any weight: an even grid of angles
    angles = (np.arange(_POINTS) + 0.5) / _POINTS * np.pi - 0.5 * np.pi
    scale = np.std(column)
    weights = np.log(scale * np.pi / _POINTS) - 2.0 * np.log(np.cos(angles))
    return np.median(column) + scale * np.tan(angles), weights


def _check_marginal(case: ServiceCase, j: int) -> None:
    X, _, rows = case.take([0])
    beside = _beside(case, rows)
    values, weights = _values(np.asarray(case.rows(np.arange(case.n)))[:, j])
    total = case.fitted.score(_with(X, 0, j, np.nan), **beside) * len(rows)
    many = np.tile(np.asarray(X), (len(values), 1))
    many[:: len(rows), j] = values
    beside = {name: np.repeat(np.arange(len(values)), len(rows)) for name in beside}
    each = case.fitted.score_samples(many, **beside).reshape(len(values), -1).sum(axis=1)
    close(total, logsumexp(each + weights), f"the likelihood of a missing cell in column {j}", 1e-6)


def _check_missing_row(case: ServiceCase) -> None:
    """Of a row without a cell the density is 1, and the posterior what was known before."""
    X, _, rows = case.take([0])
    row = min(1, len(rows) - 1)
    beside, Y = _beside(case, rows), _with(X, row, slice(None), np.nan)
    score = case.fitted.score_samples(Y, **beside)[row]
    hold(abs(score) < 1e-9, f"a missing row has the log-density {score:.3g}, not 0.")
    if hasattr(case.fitted, "filter_proba"):
        known = case.fitted.filter_proba(Y, **beside)
        found, expected = known[row], known[row - 1] @ case.fitted.transmat_
    elif hasattr(case.fitted, "predict_proba"):
        found, expected = case.fitted.predict_proba(Y)[row], case.fitted.weights_
    else:  # a latent number
        found = case.fitted.transform(Y)[row]
        expected = np.zeros_like(found)
    close(found, expected, "what is known of the component of a missing row")


def _check_weights(case: ServiceCase, Y: np.ndarray) -> None:
    counts = np.random.RandomState(3).randint(0, 3, size=len(case.units))
    weights = np.repeat(counts, [len(unit) for unit in case.units]).astype(float)
    _, given, rows = case.take(np.repeat(np.arange(len(counts)), counts))
    models = (case.going_on() if case.has("warm_start") else case.new() for _ in range(2))
    weighed, repeated = models
    case.refit(weighed, Y, {**case.given, "sample_weight": weights})
    case.refit(repeated, Y[rows], given)
    same_fit(weighed, repeated, "weights 0 to 2 and repetitions of missing cells", 1e-6)


def check_imputation(case: ServiceCase) -> None:
    """What is missing is filled in, what is there is left as it is; draws are of the seed, their mean is expected."""
    Y = with_holes(case)
    missing = np.isnan(Y)
    model = case.fit(Y, **case.start)
    impute = model.impute if hasattr(model, "impute") else model.transform
    filled = impute(Y, **case.beside)
    _check_filled(Y, filled, "impute")
    draws = model.sample_imputations(Y, _DRAWS, random_state=0, **case.beside)
    hold(draws.shape == (_DRAWS, *Y.shape), f"sample_imputations has the shape {draws.shape}.")
    for drawn in draws[:3]:
        _check_filled(Y, drawn, "sample_imputations")
    few = [model.sample_imputations(Y, 2, random_state=s, **case.beside) for s in (0, 0, 1)]
    hold(np.array_equal(few[0], few[1]), "sample_imputations is not the same with the same seed.")
    hold(not np.array_equal(few[0], few[2]), "sample_imputations is the same with another seed.")
    hold(not np.array_equal(few[0][0], few[0][1]), "two imputations are the same.")
    _check_filled(np.asarray(case.X), impute(case.X, **case.beside), "impute of the rows of a fit")
    _check_draws(Y, missing, filled, draws)


def _check_filled(Y: np.ndarray, filled: np.ndarray, what: str) -> None:
    there = ~np.isnan(Y)
    hold(np.array_equal(filled[there], Y[there]), f"{what} changes cells that are there.")
    hold(not np.isnan(filled).any(), f"{what} leaves cells missing.")


def _check_draws(Y: np.ndarray, missing: np.ndarray, filled: np.ndarray, draws: np.ndarray) -> None:
    """The mean of numbers is what is expected; a category that is expected is drawn as often as any, or nearly so."""
    directions = np.allclose(np.linalg.norm(Y[~missing.any(axis=1)], axis=1), 1.0)
    for j in range(Y.shape[1]):
        rows = np.flatnonzero(missing[:, j])
        cells = draws[:, rows, j]
        if directions:
            continue
        if len(np.unique(Y[~missing[:, j], j])) > _FEW:
            error = cells.std(axis=0) / np.sqrt(_DRAWS) + 1e-6
            far = np.abs(cells.mean(axis=0) - filled[rows, j]) / error
            hold(far.max() < 5.5, f"draws of column {j} are {far.max():.1f} errors from impute.")
            continue
        for row, column in zip(rows, cells.T, strict=True):
            often = np.unique(column, return_counts=True)[1].max()
            expected = np.sum(column == filled[row, j])
            hold(
                expected >= often - 5.5 * np.sqrt(_DRAWS),
                f"impute has {filled[row, j]!r} in column {j}, which {expected} of {_DRAWS} draws have, another"
                f" {often}.",
            )


MISSING = {"missing cells": check_missing, "imputation": check_imputation}
