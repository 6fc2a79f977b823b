"""Where the rows of a fit come from: arrays, blocks that are read anew in each pass, files that are mapped."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

import numpy as np
from scipy import sparse

from .threads import Workers
from .units import Units, row_size, take_rows

__all__ = ["Block", "InMemory", "MappedFile", "Source", "Stream", "Survey"]

T = TypeVar("T")

# rows that starts are drawn from where there are more than memory may hold: at most so many, of so many stored numbers
_START_ROWS, _START_NUMBERS = 100_000, 1_000_000

# batches whose rows are shuffled together, where not all are in memory
_TOGETHER = 16


class Block:
    """Rows that go through an E-step together, and what belongs to each.

    Parameters
    ----------
    X : ndarray, CSR matrix or Units
        Checked and encoded.
    sample_weight : ndarray of shape (n,) or None
    labels : ndarray of int of shape (n,) or None
        The known component of each row, -1 where it is unknown.
    first : int, default=0
        Number of the first row in the data.
    """

    __slots__ = ("X", "_prepared", "first", "labels", "sample_weight")

    def __init__(
        self,
        X: Any,
        sample_weight: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        first: int = 0,
    ) -> None:
        self.X, self.sample_weight, self.labels, self.first = X, sample_weight, labels, first
        self._prepared: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.X, self.sample_weight, self.labels, self.first)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.X.shape[0]

    @property
    def n_units(self) -> int:
        """Number of rows, or of units of them."""
        return len(self.X.ends) if isinstance(self.X, Units) else self.X.shape[0]

    @property
    def weight(self) -> float:
        """What the rows count."""
        return float(self.n_rows if self.sample_weight is None else self.sample_weight.sum())

    def prepared(self, model: Any, keep: bool = False) -> Any:
        """What the E-step of a model is given; kept for the next one where there is room."""
        prepared = self._prepared
        if prepared is None:
            prepared = model.prepare(self.X)
            if keep:
                self._prepared = prepared
        return prepared

    def take(self, rows: slice) -> Block:
        """A view of some rows."""
        if rows.start == 0 and rows.stop == self.n_rows:
            return self
        parts = (None if a is None else a[rows] for a in (self.sample_weight, self.labels))
        return Block(take_rows(self.X, rows), *parts, self.first + rows.start)

    def gather(self, units: np.ndarray) -> Block:
        """A copy of some units, or of rows, by their numbers and in their order."""
        if isinstance(self.X, Units):
            begins, lengths = self.X.begins[units], np.diff(self.X.ends, prepend=0)[units]
            ends = np.cumsum(lengths)
            rows = np.arange(ends[-1]) + np.repeat(begins - np.r_[0, ends[:-1]], lengths)
            X: Any = Units(self.X.rows[rows], ends)
        else:
            rows, X = units, self.X[units]
        parts = (None if a is None else a[rows] for a in (self.sample_weight, self.labels))
        return Block(X, *parts, self.first + int(rows[0]))


def concatenate_blocks(blocks: list[Block]) -> Block:
    """The rows of several blocks, one after the other."""
    if len(blocks) == 1:
        return blocks[0]
    tables = [b.X.rows if isinstance(b.X, Units) else b.X for b in blocks]
    rows = (
        sparse.vstack(tables, format="csr")
        if sparse.issparse(tables[0])
        else np.concatenate(tables)
    )
    if isinstance(blocks[0].X, Units):
        begins = np.cumsum([0, *(b.n_rows for b in blocks[:-1])])
        ends = [b.X.ends + begin for b, begin in zip(blocks, begins, strict=True)]
        rows = Units(rows, np.concatenate(ends))
    weights, labels = None, None
    if any(b.sample_weight is not None for b in blocks):
        each = (np.ones(b.n_rows) if b.sample_weight is None else b.sample_weight for b in blocks)
        weights = np.concatenate(list(each))
    if any(b.labels is not None for b in blocks):
        known = (np.full(b.n_rows, -1) if b.labels is None else b.labels for b in blocks)
        labels = np.concatenate(list(known))
    return Block(rows, weights, labels, blocks[0].first)


class Survey:
    """What a first pass over blocks finds: how many rows, what they count, and a sample to draw starts from.

    The sample has every row where they are few. Else each unit has a random number, the same in each fit, and
    those with the lowest are kept, in their order.

    Parameters
    ----------
    seed : tuple of int
        Of these numbers: surveys that are merged have different ones.
    most : int or None
        Rows of a sample; None is the usual number.
    least : int, default=1
        Rows of a sample, up to ``most``, however many numbers they hold.
    """

    def __init__(
        self, seed: tuple[int, ...] = (0,), most: int | None = None, least: int = 1
    ) -> None:
        self.most, self.least = _START_ROWS if most is None else most, least
        self.n_rows, self.n_units, self.weight, self.n_counting = 0, 0, 0.0, 0
        self.n_features = -1
        self.dtype: Any = None
        self.weighted = self.labelled = False
        self._rng = np.random.default_rng(seed)
        self._kept: list[tuple[np.ndarray, Block]] = []
        self._n_kept, self._n_numbers = 0, 0.0
        self._cut = np.inf  # units with higher numbers have been let go

    def add(self, block: Block) -> None:
        """One more block, which follows those before."""
        self.n_rows += block.n_rows
        self.n_units += block.n_units
        self.weight += block.weight
        weights = block.sample_weight
        self.n_counting += block.n_rows if weights is None else int(np.count_nonzero(weights))
        self.weighted = self.weighted or weights is not None
        self.labelled = self.labelled or block.labels is not None
        self.n_features = block.X.shape[1]
        self.dtype = (
            block.X.dtype if self.dtype is None else np.result_type(self.dtype, block.X.dtype)
        )
        self._n_numbers += row_size(block.X) * block.n_rows
        kept = _below(self._cut, self._rng.uniform(size=block.n_units), block)
        self._kept += kept
        self._n_kept += sum(block.n_rows for _, block in kept)
        self._prune(2 * self._room())

    def merge(self, other: Survey) -> Survey:
        """This and another, whose blocks follow; neither has more rows in its sample than it may."""
        both = copy.copy(self)
        for name in ("n_rows", "n_units", "weight", "n_counting", "_n_numbers"):
            setattr(both, name, getattr(self, name) + getattr(other, name))
        both.weighted = self.weighted or other.weighted
        both.labelled = self.labelled or other.labelled
        both.dtype = np.result_type(self.dtype, other.dtype)
        both._cut = min(self._cut, other._cut)
        both._keep(self._kept + other._kept)
        return both.prune()

    def prune(self) -> Survey:
        """Let go of rows that will not be in the sample."""
        self._prune(self._room())
        return self

    def _room(self) -> int:
        size = max(1.0, self._n_numbers / max(1, self.n_rows))
        return max(1, min(self.most, max(self.least, int(_START_NUMBERS // size))))

    def _prune(self, most: int) -> None:
        if self._n_kept <= most:
            return
        keys = np.concatenate([keys for keys, _ in self._kept])
        lengths = np.concatenate([_lengths(block) for _, block in self._kept])
        order = np.argsort(keys, kind="stable")
        cut = keys[
            order[: max(1, int(np.searchsorted(np.cumsum(lengths[order]), self._room(), "right")))]
        ].max()
        self._cut = min(self._cut, cut)
        self._keep(self._kept)

    def _keep(self, pairs: list[tuple[np.ndarray, Block]]) -> None:
        self._kept = [kept for pair in pairs for kept in _below(self._cut, *pair)]
        self._n_kept = sum(block.n_rows for _, block in self._kept)

    @property
    def sample(self) -> Block:
        """The rows to draw starts from."""
        self._prune(self._room())
        sample = concatenate_blocks([block for _, block in self._kept])
        self._kept = [(np.concatenate([keys for keys, _ in self._kept]), sample)]
        return sample


def _below(cut: float, keys: np.ndarray, block: Block) -> list[tuple[np.ndarray, Block]]:
    """The units of a block whose random numbers are not above the cut, if there are any."""
    units = np.flatnonzero(keys <= cut)
    if len(units) == len(keys):
        return [(keys, block)]
    # a copy, so that the block itself can be let go
    return [(keys[units], block.gather(units))] if len(units) else []


def _lengths(block: Block) -> np.ndarray:
    X = block.X
    return np.diff(X.ends, prepend=0) if isinstance(X, Units) else np.ones(block.n_rows, dtype=int)


class Source(ABC):
    """The rows of a fit, as the engine sees them.

    Attributes
    ----------
    sample : Block
        Rows in memory, from which starts are drawn: all of them if there is room.
    shape : tuple of int
        Rows and columns.
    dtype : dtype
    weight : float
        What all rows count.
    n_counting : int
        Rows that have a weight.
    """

    sample: Block
    shape: tuple[int, int]
    dtype: Any
    weight: float
    n_counting: int
    n_units: int
    #: True where further rows will come, which a step of online EM takes in
    goes_on = False
    #: True where all rows are in memory, and what a model prepares of them may stay there as well
    in_memory = False
    #: True where blocks are elsewhere, and functions go to them
    remote = False
    #: True where a pass runs code of the user, which must stay in the thread that called
    one_pass_at_a_time = False

    def _describe(self, survey: Survey) -> None:
        """What a first pass found."""
        if survey.weight == 0:
            raise ValueError("sample_weight: all weights are zero; at least one row must count.")
        self.sample = survey.sample
        self.shape, self.dtype = (survey.n_rows, survey.n_features), survey.dtype
        self.weight, self.n_counting = survey.weight, survey.n_counting
        self.n_units = survey.n_units

    @abstractmethod
    def parts(self) -> Iterator[Callable[[], Block]]:
        """Blocks in their order, each by a call that may be made in any thread."""

    def map_reduce(
        self,
        function: Callable[[Block], T],
        merge: Callable[[T, T], T],
        workers: Workers | None = None,
    ) -> T:
        """``merge`` of ``function(block)`` over the blocks, in their order."""
        calls = (partial(_apply, function, part) for part in self.parts())
        return (workers or Workers(1)).map_reduce(calls, merge)

    def close(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of files; the fit has ended."""

    def in_range(self) -> Source:
        """The same with weights whose products neither vanish nor overflow."""
        return self

    def fold(self, function: Callable[[Any, Any], T], merge: Callable[[T, T], T]) -> T:
        """``merge`` of ``function(rows, sample_weight)`` over the blocks."""
        return self.map_reduce(partial(_on_rows, function), merge)

    @abstractmethod
    def batches(self, size: int, rng: np.random.Generator | None) -> Iterator[Any]:
        """All rows once, about ``size`` at a time, in whole units; in random order if there is a generator.

        A batch is a list of blocks, or whatever :meth:`map_batch` takes.
        """

    def map_batch(
        self,
        function: Callable[[Block], T],
        batch: Any,
        merge: Callable[[T, T], T],
        workers: Workers | None = None,
    ) -> T:
        """``merge`` of ``function(block)`` over the blocks of a batch, in their order."""
        if len(batch) == 1:
            return function(batch[0])
        return (workers or Workers(1)).map_reduce([partial(function, b) for b in batch], merge)

    def outgoing(self, model: Any) -> Any:
        """The model as functions have it that are mapped over the blocks."""
        return model


def _apply(function: Callable[[Block], T], part: Callable[[], Block]) -> T:
    return function(part())


def _on_rows(function: Callable[[Any, Any], T], block: Block) -> T:
    X = block.X
    return function(X.rows if isinstance(X, Units) else X, block.sample_weight)


Split = Callable[[Any], list[slice]]


class InMemory(Source):
    """Rows in memory.

    Parameters
    ----------
    block : Block
        All of them.
    split : callable
        ``split(X)`` says which rows make the blocks.
    """

    in_memory = True

    def __init__(self, block: Block, split: Split) -> None:
        self.sample, self.split = block, split
        self.shape, self.dtype, self.weight = block.X.shape, block.X.dtype, block.weight
        weights = block.sample_weight
        self.n_counting = block.n_rows if weights is None else int(np.count_nonzero(weights))
        self.n_units = block.n_units
        self.blocks = [block.take(rows) for rows in split(block.X)]

    def in_range(self) -> Source:
        whole = self.sample
        weight = whole.sample_weight
        if weight is None or 1e-100 < weight.max() < 1e100:
            return self
        # their unit decides nothing, and a power of 2 no bit
        weight = np.ldexp(weight, -int(np.frexp(weight.max())[1]))
        return InMemory(Block(whole.X, weight, whole.labels), self.split)

    def parts(self) -> Iterator[Callable[[], Block]]:
        return (partial(_itself, block) for block in self.blocks)

    def map_reduce(
        self,
        function: Callable[[Block], T],
        merge: Callable[[T, T], T],
        workers: Workers | None = None,
    ) -> T:
        if len(self.blocks) == 1:
            if workers is not None:
                workers.check()
            return function(self.blocks[0])
        calls = [partial(function, block) for block in self.blocks]
        return (workers or Workers(1)).map_reduce(calls, merge)

    def batches(self, size: int, rng: np.random.Generator | None) -> Iterator[list[Block]]:
        whole = self.sample
        lengths = _lengths(whole)
        if rng is None or whole.n_rows <= size:  # the order of the rows of one batch is none
            ends = np.cumsum(lengths)
            for units in _even(lengths, size):
                rows = slice(
                    int(ends[units.start] - lengths[units.start]), int(ends[units.stop - 1])
                )
                part = whole.take(rows)
                yield [part.take(piece) for piece in self.split(part.X)]
            return
        order = rng.permutation(whole.n_units)
        for units in _even(lengths[order], size):
            part = whole.gather(order[units])
            yield [part.take(piece) for piece in self.split(part.X)]


def _itself(block: Block) -> Block:
    return block


def _even(lengths: np.ndarray, size: int) -> Iterator[slice]:
    """Units of these numbers of rows, as many at a time as have about ``size``; none has much less than the others."""
    ends = np.cumsum(lengths)
    n_batches = max(1, -(-int(ends[-1]) // size))
    share = ends[-1] / n_batches
    begin = 0
    for number in range(1, n_batches + 1):
        end = int(np.searchsorted(ends, number * share - 0.5)) + 1
        if end > begin:
            yield slice(begin, min(end, len(ends)))
            begin = end


def _shuffled(
    blocks: Iterable[Block], split: Split, size: int, rng: np.random.Generator | None
) -> Iterator[list[Block]]:
    """Batches of some blocks together, of which a few more than a batch has are in memory."""
    ready: list[Block] = []
    coming: list[Block] = []
    for block in blocks:
        coming.append(block)
        if sum(b.n_rows for b in coming) >= _TOGETHER * size:
            if ready:
                yield from InMemory(concatenate_blocks(ready), split).batches(size, rng)
            ready, coming = coming, []
    if sum(b.n_rows for b in coming) < size:  # too few for a batch of their own
        ready, coming = ready + coming, []
    for group in (ready, coming):
        if group:
            yield from InMemory(concatenate_blocks(group), split).batches(size, rng)


class Stream(Source):
    """Blocks that are read anew in each pass: nothing of them stays in memory.

    Parameters
    ----------
    read : callable
        ``read()`` begins a pass and returns an iterator of blocks, of whole units.
    split : callable
    survey : Survey
        What the first pass found.
    """

    one_pass_at_a_time = True

    def __init__(self, read: Callable[[], Iterable[Block]], split: Split, survey: Survey) -> None:
        self.read, self.split = read, split
        self._describe(survey)

    def _blocks(self) -> Iterator[Block]:
        n = 0
        for block in self.read():
            n += block.n_rows
            yield block
        if n != self.shape[0]:
            once = (
                " The blocks seem to be an iterator that can be read only once." if n == 0 else ""
            )
            raise ValueError(
                f"A pass over the blocks gave {n} rows, the first one gave {self.shape[0]}.{once} Give a function that"
                " returns the same blocks, in the same order, each time it is called."
            )

    def parts(self) -> Iterator[Callable[[], Block]]:
        for block in self._blocks():
            for rows in self.split(block.X):
                yield partial(block.take, rows)

    def batches(self, size: int, rng: np.random.Generator | None) -> Iterator[list[Block]]:
        yield from _shuffled(self._blocks(), self.split, size, rng)


class MappedFile(Source):
    """Rows of a file that is mapped into memory: blocks are copied out one by one, and none of it stays.

    Parameters
    ----------
    rows : object
        ``load(rows)`` copies the rows of a slice, checks and encodes them, and returns a block;
        ``lend(function, rows)`` is a function of such a block, whose memory is then used again;
        ``close()`` lets go of the file.
    slices : list of slice
        The blocks.
    survey : Survey
        What the first pass found.
    """

    def __init__(self, rows: Any, slices: list[slice], split: Split, survey: Survey) -> None:
        self.rows, self.slices, self.split = rows, slices, split
        self._describe(survey)

    def close(self) -> None:
        self.rows.close()

    def parts(self) -> Iterator[Callable[[], Block]]:
        return (partial(self.rows.load, rows) for rows in self.slices)

    def map_reduce(
        self,
        function: Callable[[Block], T],
        merge: Callable[[T, T], T],
        workers: Workers | None = None,
    ) -> T:
        calls = (partial(self.rows.lend, function, rows) for rows in self.slices)
        return (workers or Workers(1)).map_reduce(calls, merge)

    def batches(self, size: int, rng: np.random.Generator | None) -> Iterator[list[Block]]:
        # from anywhere in the file
        order = np.arange(len(self.slices)) if rng is None else rng.permutation(len(self.slices))
        blocks = (self.rows.load(self.slices[j]) for j in order)
        yield from _shuffled(blocks, self.split, size, rng)
