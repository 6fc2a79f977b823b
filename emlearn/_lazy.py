"""Methods that take Dask collections: predictions are lazy, totals are added up over the partitions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._data import is_dask
from ._explore import sendable
from ._partitions import Partitions, Work, n_rows, task

__all__ = ["added", "lazy"]

F = TypeVar("F", bound=Callable[..., Any])

#: what belongs to the rows, among the arguments of methods
_OF_ROWS = ("sample_weight", "groups")


def lazy(kind: str) -> Callable[[F], F]:
    """Make a method answer a Dask collection with a lazy Dask array, in partitions of the same rows.

    The estimator is taken as it is at the call.

    Parameters
    ----------
    kind : {"labels", "scores", "probabilities"}
        What the array holds: whole numbers, or numbers in the type of scores; the last has ``_n_columns`` columns.
    """

    def wrap(method: F) -> F:
        @functools.wraps(method)
        def answer(self: Any, X: Any, **options: Any) -> Any:
            if not is_dask(X):
                return method(self, X, **options)
            return _array(self, method.__name__, kind, X, options)

        return answer  # type: ignore[return-value]

    return wrap


def added(method: F) -> F:
    """Make a method that returns numbers which add up over rows take a Dask collection."""

    @functools.wraps(method)
    def total(self: Any, X: Any, sample_weight: Any = None, **options: Any) -> Any:
        if not is_dask(X):
            return method(self, X, sample_weight, **options)
        options["sample_weight"] = sample_weight
        sent, partitions, options = _prepared(self, X, options)
        numbers = partitions.map_reduce(
            partial(_numbers, sent, method.__name__, options), np.add, "score", after=True
        )
        if numbers is None:
            what = "there are no rows" if sample_weight is None else "no row has a weight"
            raise ValueError(f"X has nothing to score: {what}.")
        return tuple(numbers.tolist())

    return total  # type: ignore[return-value]


def _prepared(
    estimator: Any, X: Any, options: dict[str, Any]
) -> tuple[Any, Partitions, dict[str, Any]]:
    """The estimator as it is sent, the partitions, and the arguments that are the same for all of them."""
    check_is_fitted(estimator)
    metadata = {name: options.pop(name) for name in _OF_ROWS if name in options}
    options.pop("y", None)  # ignored
    partitions = Partitions(X)
    expected = getattr(estimator, "n_features_in_", partitions.n_columns)
    if partitions.n_columns != expected:
        raise ValueError(
            f"X has {partitions.n_columns} features, but {type(estimator).__name__} is expecting {expected} features"
            " as input."
        )
    estimator._check_partitions(len(partitions), {**options, **metadata})
    partitions.give(metadata)
    return sendable(estimator), partitions, options


def _numbers(
    estimator: Any,
    name: str,
    options: dict[str, Any],
    number: int,
    part: Any,
    metadata: dict[str, Any],
) -> Any:
    metadata = _whole(metadata)
    weights = metadata.get("sample_weight")
    if weights is not None and np.ndim(weights) == 1 and len(weights) and not np.any(weights):
        return None
    return np.array(getattr(estimator, name)(part, **metadata, **options))


def _array(estimator: Any, name: str, kind: str, X: Any, options: dict[str, Any]) -> Any:
    import dask.array

    sent, partitions, options = _prepared(estimator, X, options)
    dtype = np.dtype(np.int64) if kind == "labels" else np.dtype(estimator._score_type(_Typed(X)))
    tail = (estimator._n_columns(),) if kind == "probabilities" else ()
    work = Work((sent, name, options, dtype, tail), None, [*partitions.names, "after"])
    layer, key, token = partitions.layer(work, name)
    out = f"emlearn-{name}-{token}"
    arguments = dict(partitions.arguments(layer, token, after=True))
    for i in range(len(partitions)):
        place = (out, i, *(0 for _ in tail))
        if i in arguments:
            layer[place] = task(place, _answer, key, *arguments[i])
        else:
            layer[place] = task(place, np.empty, (0, *tail), dtype)
    lengths = partitions.lengths or [np.nan] * len(partitions)
    chunks = (tuple(lengths), *((n,) for n in tail))
    return dask.array.Array(partitions.graph(layer), out, chunks, dtype=dtype)


class _Typed:
    """The type that the numbers of a collection have when they are read."""

    def __init__(self, X: Any) -> None:
        types = {X.dtype} if hasattr(X, "dtype") else set(X.dtypes)
        self.dtype = np.float32 if types == {np.dtype(np.float32)} else np.float64


def _answer(work: Work, part: Any, *values: Any) -> Any:
    """What the estimator says of a partition."""
    estimator, name, options, dtype, tail = work.function  # type: ignore[misc]
    if n_rows(part) == 0:
        return np.empty((0, *tail), dtype)
    metadata = _whole(dict(zip(work.names, values, strict=False)))
    return getattr(estimator, name)(part, **metadata, **options).astype(dtype, copy=False)


def _whole(metadata: dict[str, Any]) -> dict[str, Any]:
    """What belongs to the rows of a partition, whose last sequence must not go on in the next one."""
    following = metadata.pop("after", None)
    if following:
        last = np.asarray(metadata["groups"])[-1:].tolist()[0]
        if following[0] == last:
            raise ValueError(
                f"groups: group {last!r} is in more than one partition. Divide X so that each group is whole in a"
                " partition."
            )
    return metadata
