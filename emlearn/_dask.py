"""Fits to Dask collections: E-steps are made where the partitions are."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial, reduce
from typing import Any, TypeVar

import numpy as np

from ._explore import Found, Reader, check_whole, explore, merge_found, sendable, survey_of
from ._partitions import Partitions
from .em import sources
from .em.sources import Block, InMemory, Source, Survey
from .em.threads import Workers

__all__ = ["DaskSource"]

T = TypeVar("T")


class DaskSource(Source):
    """Rows of a Dask collection: functions go to the partitions, statistics come back.

    Parameters
    ----------
    partitions : Partitions
    reader : Reader
    survey : Survey
        What the first pass found.
    """

    remote = True

    def __init__(self, partitions: Partitions, reader: Reader, survey: Survey) -> None:
        self.partitions, self.reader = partitions, reader
        self._describe(survey)

    @classmethod
    def of(cls, estimator: Any, X: Any, metadata: Mapping[str, Any]) -> DaskSource:
        """The source of a fit; the estimator learns the columns, unless it goes on from a fit.

        Raises
        ------
        ValueError, TypeError
            If the data cannot be used, partitions do not fit together, or there are no rows.
        """
        known, most = estimator._continues(), sources._START_ROWS
        partitions = Partitions(X)
        estimator._check_partitions(len(partitions), metadata)
        partitions.give(metadata)
        sent = sendable(estimator, fresh=not known)
        found = partitions.map_reduce(
            partial(explore, sent, most, known), partial(merge_found, sent), "survey"
        )
        if found is None:
            raise ValueError(
                f"Found array with 0 sample(s) while a minimum of 1 is required: X has {len(partitions)} partitions"
                " without rows."
            )
        check_whole(found.groups)
        partitions.lengths = [found.lengths.get(i, 0) for i in range(len(partitions))]
        partitions.which = sorted(found.lengths)
        if not known:
            for one in (estimator, sent):
                cls._learn(one, found)
        reader = Reader(sent, partitions.lengths)
        survey = found.survey
        if survey is None:
            survey = partitions.map_reduce(partial(survey_of, reader, most), Survey.merge, "survey")
        return cls(partitions, reader, survey)

    @staticmethod
    def _learn(estimator: Any, found: Found) -> None:
        for name in ("feature_names_in_", "classes_"):
            vars(estimator).pop(name, None)
        estimator.n_features_in_ = found.columns
        if found.names is not None:
            estimator.feature_names_in_ = np.asarray(found.names, dtype=object)
        if found.learned:
            estimator._set_learned(found.learned)
        if found.classes is not None:
            estimator._set_classes(found.classes)

    def parts(self) -> Iterator[Callable[[], Block]]:
        raise NotImplementedError("the blocks of Dask partitions stay where they are")

    def map_reduce(
        self,
        function: Callable[[Block], T],
        merge: Callable[[T, T], T],
        workers: Workers | None = None,
    ) -> T:
        if workers is not None:
            workers.check()
        return self.partitions.map_reduce(
            partial(_on_partition, self.reader, function, merge), merge, "e-step"
        )

    def outgoing(self, model: Any) -> Any:
        # what only starts need stays here
        sent = sendable(model) if hasattr(model, "get_params") else copy.copy(model)
        for name in ("initial_parameters", "read_constraints"):
            vars(sent).pop(name, None)
        return sent

    # ------------------------------------------------------------- batches

    def batches(self, size: int, rng: np.random.Generator | None) -> Iterator[Any]:
        which = np.array(self.partitions.which)
        for i in which if rng is None else rng.permutation(which):
            seed = None if rng is None else int(rng.integers(2**62))
            cut, n_batches = self._cut(int(i), size, seed)
            for j in range(n_batches):
                yield cut, j

    def _cut(self, number: int, size: int, seed: int | None) -> tuple[Any, int]:
        """The batches of a partition, which stay where they are for a pass over them, and how many there are."""
        partitions = self.partitions
        function = partial(_batches_of, self.reader, size, seed)
        one = copy.copy(partitions)
        one.which = [number]
        cut = partitions.persist(one.tree(function, None, "batches"))
        return cut, partitions.compute(_then(cut, _length, None))

    def map_batch(
        self,
        function: Callable[[Block], T],
        batch: Any,
        merge: Callable[[T, T], T],
        workers: Workers | None = None,
    ) -> T:
        if workers is not None:
            workers.check()
        cut, j = batch
        return self.partitions.compute(_then(cut, _on_batch, partial(_reduced, function, merge), j))


def _then(cut: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    import dask

    return dask.delayed(partial(function, *arguments), pure=False, traverse=False)(cut)


def _on_partition(
    reader: Reader, function: Any, merge: Any, number: int, part: Any, metadata: dict[str, Any]
) -> Any:
    block = reader.read(number, part, metadata)
    return _reduced(function, merge, reader.split(block))


def _reduced(function: Callable[[Block], T], merge: Callable[[T, T], T], blocks: list[Block]) -> T:
    return reduce(merge, map(function, blocks))


def _batches_of(
    reader: Reader,
    size: int,
    seed: int | None,
    number: int,
    part: Any,
    metadata: dict[str, Any],
) -> list[list[Block]]:
    rng = None if seed is None else np.random.default_rng(seed)
    block = reader.read(number, part, metadata)
    return list(InMemory(block, reader.estimator._blocks).batches(size, rng))


def _length(_: None, batches: list[Any]) -> int:
    return len(batches)


def _on_batch(reduced: Callable[[list[Block]], T], number: int, batches: list[list[Block]]) -> T:
    return reduced(batches[number])
