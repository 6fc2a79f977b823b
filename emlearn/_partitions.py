"""Partitions of a Dask collection: functions go to them, and what comes back is merged on the way."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ._data import check_length, is_dask
from .em.threads import single_threaded_blas

__all__ = ["Partitions", "first_name", "n_rows"]


def _dask() -> Any:
    """The library, of which a collection may have come without all that is needed here."""
    try:
        import dask.array
        import dask.base
    except ImportError as error:
        raise ImportError(
            f'Dask collections need more of Dask than is installed ({error}): pip install "emlearn[dask]"'
        ) from error
    return dask


class Work:
    """What the tasks of a graph have in common: it is sent once, and not with each of them."""

    def __init__(self, function: Callable[..., Any], merge: Any, names: list[str]) -> None:
        self.function, self.merge, self.names = function, merge, names


def _leaf(work: Work, number: int, part: Any, *values: Any) -> Any:
    """What a partition comes to; None where it has no rows."""
    if n_rows(part) == 0:
        return None
    with single_threaded_blas():
        return work.function(number, part, dict(zip(work.names, values, strict=True)))


def _merged(work: Work, a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return work.merge(a, b)


def n_rows(part: Any) -> int:
    """Rows of a partition."""
    return part.shape[0] if hasattr(part, "shape") else len(part)


def first_name(groups: Any) -> tuple[Any, ...]:
    """The group of the first row, where there is one."""
    return (np.asarray(groups)[0],) if len(groups) else ()


def task(key: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """A task of a graph."""
    from dask._task_spec import Task

    return Task(key, function, *arguments)


def reference(key: Any) -> Any:
    """The value of a task, as an argument of another."""
    from dask._task_spec import TaskRef

    return TaskRef(key)


def value_of(part: Any) -> Any:
    """The value of a ``Delayed``; anything else is one."""
    return reference(part.key) if hasattr(part, "dask") else part


def futures_in(collection: Any) -> dict[Any, Any]:
    """What of a collection was persisted, by key: a graph of its partitions has the keys alone, and holds nothing."""
    if "distributed" not in sys.modules:
        return {}
    from distributed.client import futures_of

    return {future.key: future for future in futures_of(collection)}


def _itself(work: Work) -> Work:
    return work


class Partitions:
    """The partitions of a Dask array or data frame, and what belongs to their rows.

    Parameters
    ----------
    X : dask.array.Array of shape (n, d) or dask.dataframe.DataFrame
        An array that is divided along its columns is put together.

    Raises
    ------
    ValueError, TypeError
        If X is no table.
    """

    def __init__(self, X: Any) -> None:
        dask = _dask()
        #: whoever computes, chosen here: a thread that does so later may not see it
        self.get = dask.base.get_scheduler(collections=[X])
        #: rows of each partition, where they are known
        self.lengths: list[int] | None = None
        if isinstance(X, dask.array.Array):
            if X.ndim != 2:
                raise ValueError(
                    f"Expected 2D array, got a Dask array of {X.ndim} axes instead. X[:, None] is a table of one"
                    " column."
                )
            if len(X.chunks[1]) > 1:
                X = X.rechunk({1: -1})
            self.lengths = _known(X.chunks[0])
            parts = X.to_delayed().ravel().tolist()
        elif getattr(X, "ndim", 0) == 2 and hasattr(X, "to_delayed"):
            parts = list(X.to_delayed())
        else:
            raise TypeError(
                f"X must be a Dask array or data frame with two axes, got a {type(X).__name__}."
            )
        self.n_columns = X.shape[1]
        self.parts = parts
        self.names: list[str] = []
        self.values: list[list[Any]] = []
        self._futures = futures_in(X)
        self._graph: dict[Any, Any] | None = None
        #: numbers of the partitions that have rows, as far as is known
        self.which = [i for i in range(len(parts)) if self.lengths is None or self.lengths[i]]

    def __len__(self) -> int:
        return len(self.parts)

    # ----------------------------------------------------------- metadata

    def give(self, metadata: Mapping[str, Any]) -> None:
        """Add what belongs to the rows.

        Parameters
        ----------
        metadata : mapping
            Dask arrays or series with the same partitions as X, or arrays in memory, which are divided like X. Entries
            that are None are left out.

        Raises
        ------
        ValueError
            If there is not a value for each row, or partitions cannot be matched.
        """
        for name, value in metadata.items():
            if value is None:
                continue
            self.values.append(self._divided(name, value))
            self.names.append(name)
            self._graph = None

    def _divided(self, name: str, value: Any) -> list[Any]:
        dask = _dask()
        if not is_dask(value):
            if np.ndim(value) == 0:
                return [value] * len(self)
            value = check_length(value, sum(self._counted()), name)
            value = dask.array.from_array(value, chunks=-1)
            # sent once; an array in memory would be part of each graph
            value = self.persist(value.rechunk((tuple(self.lengths),)))
        if getattr(value, "ndim", 1) != 1:
            raise ValueError(
                f"{name} must have one axis, a value for each row of X, got {value.ndim}."
            )
        if isinstance(value, dask.array.Array):
            known = _known(value.chunks[0])
            if known is not None and known != self.lengths:
                lengths = self._counted()
                if sum(known) != sum(lengths):
                    raise ValueError(
                        f"{name} must have one value for each of the {sum(lengths)} rows of X, got {sum(known)}."
                    )
                value = value.rechunk((tuple(lengths),))
        self._futures |= futures_in(value)
        parts = list(value.to_delayed())
        if len(parts) != len(self):
            raise ValueError(
                f"{name} has {len(parts)} partitions and X has {len(self)}: they cannot be matched, because the rows"
                " of each are not known. Divide both alike (repartition), or call compute_chunk_sizes() first."
            )
        return parts

    def _counted(self) -> list[int]:
        """Rows of each partition, counted if need be."""
        if self.lengths is None:
            counts = self.map_reduce(_count, list.__add__, "count") or []
            found = dict(counts)
            self.lengths = [found.get(i, 0) for i in range(len(self))]
            self.which = sorted(found)
        return self.lengths

    # -------------------------------------------------------------- graphs

    def map_reduce(
        self,
        function: Callable[[int, Any, dict[str, Any]], Any],
        merge: Callable[[Any, Any], Any],
        name: str,
        *,
        after: bool = False,
    ) -> Any:
        """``merge`` of ``function(number, partition, metadata)``, in the order of the partitions.

        One task for each partition that has rows, and a tree of merges; only what is left at its root comes here.
        None where there are no rows. ``name`` is what the tasks are called; ``after`` as in :meth:`arguments`.
        """
        if not self.which:
            return None
        return self.compute(self.tree(function, merge, name, after=after))

    def tree(self, function: Any, merge: Any, name: str, *, after: bool = False) -> Any:
        """What :meth:`map_reduce` computes, as a ``Delayed``."""
        layer, work, token = self.layer(Work(function, merge, self._all_names(after)), name)
        leaves, add = f"emlearn-{name}-{token}", f"emlearn-add-{token}"
        level = []
        for i, arguments in self.arguments(layer, token, after=after):
            layer[(leaves, i)] = task((leaves, i), _leaf, work, i, *arguments)
            level.append((leaves, i))
        n_merges = 0
        while len(level) > 1:
            above = level[len(level) // 2 * 2 :]
            pairs = []
            for a, b in zip(level[::2], level[1::2], strict=False):
                key = (add, n_merges)
                layer[key] = task(key, _merged, work, reference(a), reference(b))
                pairs.append(key)
                n_merges += 1
            level = pairs + above
        return self.delayed(layer, level[0])

    def _all_names(self, after: bool) -> list[str]:
        return [*self.names, *(["after"] if after and "groups" in self.names else [])]

    @staticmethod
    def layer(work: Work, name: str) -> tuple[dict[Any, Any], str, str]:
        """The beginning of a layer of a graph: what its tasks have in common, its key, and a token for others."""
        token = uuid.uuid4().hex
        key = f"emlearn-{name}-work-{token}"
        return {key: task(key, _itself, work)}, reference(key), token

    def arguments(
        self, layer: dict[Any, Any], token: str, *, after: bool = False
    ) -> list[tuple[int, list[Any]]]:
        """Of each partition that has rows its number, and keys of it and of what belongs to it.

        With ``after`` groups are followed by that of the first row of the next partition.
        """
        groups = self.values[self.names.index("groups")] if "groups" in self.names else None
        after = after and groups is not None
        found = []
        for place, i in enumerate(self.which):
            keys = [value_of(self.parts[i]), *(value_of(v[i]) for v in self.values)]
            if after:
                following = self.which[place + 1 : place + 2]
                key: Any = None
                if following:
                    key = (f"emlearn-next-{token}", i)
                    layer[key] = task(key, first_name, value_of(groups[following[0]]))
                    key = reference(key)
                keys.append(key)
            found.append((i, keys))
        return found

    def graph(self, tasks: dict[Any, Any]) -> dict[Any, Any]:
        """The graph of the partitions, with further tasks."""
        if self._graph is None:
            needed = [*self.parts, *(value for values in self.values for value in values)]
            # all partitions of a collection have one graph
            distinct = {id(part.dask): part.dask for part in needed if hasattr(part, "dask")}
            self._graph = {key: task for graph in distinct.values() for key, task in graph.items()}
            self._graph |= self._futures
        return {**self._graph, **tasks}

    def delayed(self, tasks: dict[Any, Any], key: Any) -> Any:
        """One of further tasks on top of the partitions."""
        from dask.delayed import Delayed

        return Delayed(key, self.graph(tasks))

    def compute(self, value: Any) -> Any:
        """The value of a collection."""
        return _dask().compute(value, scheduler=self.get, traverse=False)[0]

    def persist(self, value: Any) -> Any:
        """A collection whose value stays where it was computed."""
        client = getattr(self.get, "__self__", None)
        if hasattr(client, "persist"):
            return client.persist(value)
        return value.persist(scheduler=self.get)


def _known(lengths: tuple[Any, ...]) -> list[int] | None:
    return None if any(n != n for n in lengths) else [int(n) for n in lengths]


def _count(number: int, part: Any, metadata: dict[str, Any]) -> list[tuple[int, int]]:
    return [(number, n_rows(part))]
