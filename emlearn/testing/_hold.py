"""How a law is held: comparisons whose message says what was found."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from ..em.statistics import Statistics

__all__ = [
    "close",
    "hold",
    "one_by_one",
    "pickled",
    "rank_gap",
    "rises",
    "run_all",
    "same_fit",
    "same_statistics",
    "snapshot",
]


def hold(condition: Any, message: str) -> None:
    """AssertionError with the message unless the condition is true."""
    if not condition:
        raise AssertionError(message)


def close(actual: Any, expected: Any, what: str, tolerance: float = 1e-9) -> None:
    """Arrays agree, relative to the largest finite entry; infinities and NaN at the same places."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    hold(
        actual.shape == expected.shape,
        f"{what}: the shape is {actual.shape}, not {expected.shape}.",
    )
    finite = np.isfinite(expected)
    hold(
        np.array_equal(actual[~finite], expected[~finite], equal_nan=True)
        and np.isfinite(actual[finite]).all(),
        f"{what}: {np.sum(finite != np.isfinite(actual))} values are finite in one and not in the other.",
    )
    if not finite.any():
        return
    error = np.abs(actual[finite] - expected[finite])
    limit = tolerance * max(1.0, float(np.abs(expected[finite]).max()))
    worst = int(error.argmax())
    hold(
        error[worst] <= limit,
        f"{what}: {actual[finite][worst]:.12g} is not {expected[finite][worst]:.12g}; the difference"
        f" {error[worst]:.3g} is above {limit:.3g}.",
    )


def same_statistics(
    a: Statistics, b: Statistics, reference: Statistics, what: str, tolerance: float = 1e-9
) -> None:
    """Statistics agree, block by block, in coordinates about a third."""
    ours, theirs = a.coordinates(reference), b.coordinates(reference)
    hold(set(ours) == set(theirs), f"{what}: the blocks are {sorted(ours)} and {sorted(theirs)}.")
    for name, expected in theirs.items():
        scale = float(np.abs(expected).max(initial=0.0)) or 1.0
        close(
            np.asarray(ours[name]) / scale,
            np.asarray(expected) / scale,
            f"{what}, {name!r}",
            tolerance,
        )


def rank_gap(rows: np.ndarray) -> tuple[int, np.ndarray]:
    """Numerical rank of directional derivatives, and the singular values, the largest being 1."""
    values = np.linalg.svd(rows, compute_uv=False)
    values = values / max(values[0], 1e-300)
    return int(np.sum(values > 1e-7)), values


def snapshot(value: Any) -> Any:
    """What a value is, to compare with what it will have become."""
    if sparse.issparse(value):
        return snapshot([value.data, value.indices, value.indptr])
    if isinstance(value, np.ndarray):
        return (
            value.dtype.str,
            value.shape,
            value.tobytes() if value.dtype != object else value.tolist(),
        )
    if isinstance(value, Mapping):
        return [(key, snapshot(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value).__name__, [snapshot(item) for item in value]
    names = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    if names:
        return type(value).__name__, [snapshot(getattr(value, name, None)) for name in names]
    if hasattr(value, "to_numpy"):
        return snapshot(value.to_numpy())
    if hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
        return type(value).__name__, snapshot(vars(value))
    return repr(value)


def same_fit(a: Any, b: Any, what: str, tolerance: float | None = None) -> None:
    """Fitted attributes agree, to the bit without a tolerance."""
    names = {name for name in vars(a) if name.endswith("_") and not name.startswith("_")}
    others = {name for name in vars(b) if name.endswith("_") and not name.startswith("_")}
    hold(names == others, f"{what}: attributes {sorted(names ^ others)} are those of one alone.")
    if tolerance is not None:
        names = {*a._published_names, "lower_bound_"}
    for name in sorted(names):
        ours, theirs = getattr(a, name), getattr(b, name)
        if tolerance is None and hasattr(
            ours, "fit"
        ):  # an estimator inside, whose settings may differ
            same_fit(ours, theirs, f"{what}: {name}")
            continue
        if tolerance is None:
            same = snapshot(ours) == snapshot(theirs)
            hold(same, f"{what}: {name} is not the same to the bit: {ours!r} and {theirs!r}.")
            continue
        pairs = zip(ours, theirs, strict=True) if isinstance(ours, list) else [(ours, theirs)]
        for ours_j, theirs_j in pairs:
            close(ours_j, theirs_j, f"{what}: {name}", tolerance)


def rises(fitted: Any, what: str) -> None:
    bounds = fitted.lower_bounds_
    hold(
        bounds.shape == (fitted.n_iter_,),
        f"{what}: lower_bounds_ has the shape {bounds.shape} after {fitted.n_iter_} iterations.",
    )
    if len(bounds) > 1:
        fall = float(-np.diff(bounds).min())
        slack = 1e-9 * (1 + np.abs(bounds).max()) + getattr(fitted, "reg_covar", 0.0)
        hold(fall <= slack, f"{what}: the objective falls by {fall:.4g}.")


def pickled(value: Any) -> Any:
    """A copy through pickle; where the class has no module to be found in, a deep copy."""
    cls = type(value)
    if getattr(sys.modules.get(cls.__module__), cls.__qualname__, None) is not cls:
        return copy.deepcopy(value)
    return pickle.loads(pickle.dumps(value))


def one_by_one(
    checks: tuple[Callable[[Any], None], ...], case: Any, skip: Collection[str]
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Names and bound checks, without those skipped."""
    names = {check.__name__ for check in checks}
    unknown = set(skip) - names
    if unknown:
        raise ValueError(f"skip: there are no checks {sorted(unknown)}; there are {sorted(names)}.")
    for check in checks:
        if check.__name__ not in skip:
            yield check.__name__, partial(check, case)


def run_all(checks: Iterator[tuple[str, Callable[[], None]]], subject: Any) -> None:
    """Run checks to the end; one AssertionError with all that failed."""
    failed: dict[str, Exception] = {}
    for name, check in checks:
        try:
            check()
        except Exception as error:  # a family may break in ways nobody thought of
            failed[name] = error
    if failed:
        lines = [f"{name}: {type(error).__name__}: {error}" for name, error in failed.items()]
        raise AssertionError(
            f"{subject!r} breaks {len(failed)} law{'s' * (len(failed) > 1)}:\n" + "\n".join(lines)
        ) from next(iter(failed.values()))
