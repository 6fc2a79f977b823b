"""Rows that are read block by block: from a function of the user, or from a file that is mapped into memory."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from inspect import signature
from typing import IO, Any, TypeVar

import numpy as np

from ._data import check_labels
from .em.sources import Block

__all__ = ["BlockReader", "MappedRows", "is_mapped", "read_part", "text_classes"]

T = TypeVar("T")

# a mapped file of less is read whole
_MAPPED_BYTES = 2**27

# pages of a file that are compared with those of a map
_COMPARED = 16


def read_part(read: Callable[..., Block], X: Any, reset: bool, metadata: dict[str, Any]) -> Block:
    """A block of several: its weights may all be zero, as there are other rows that count."""
    weights = metadata.get("sample_weight")
    nothing = weights is not None and not np.any(np.asarray(weights) != 0)
    block = read(X, reset=reset, **({**metadata, "sample_weight": None} if nothing else metadata))
    if nothing:
        if np.shape(weights) not in ((), (block.n_rows,), (block.n_units,)):
            raise ValueError(
                f"sample_weight.shape == {np.shape(weights)}, expected {(block.n_rows,)}: give one weight for each row"
                " of X."
            )
        block.sample_weight = np.zeros(block.n_rows)
    return block


def text_classes(labels: Any) -> np.ndarray | None:
    """The classes of labels that are texts, in their order; None for numbers."""
    array = np.asarray(labels)
    if array.ndim != 1 or not any(isinstance(name, str) for name in array.tolist()):
        return None
    return check_labels(array, len(array), len(array))[1]


class BlockReader:
    """The blocks of a user, checked and encoded, in each pass anew.

    Parameters
    ----------
    blocks : callable or sequence
        A function that returns an iterator of blocks, or a list of them.
    read : callable
        ``read(X, reset=..., **metadata)`` makes a :class:`~emlearn.em.sources.Block`.

    Raises
    ------
    TypeError
        If ``blocks`` is something that can be read only once.
    """

    def __init__(self, blocks: Any, read: Callable[..., Block]) -> None:
        if not callable(blocks) and not isinstance(blocks, list | tuple):
            raise TypeError(
                f"blocks must be a function that returns an iterator of blocks, or a list of them, got a"
                f" {type(blocks).__name__}, which can be read only once: each iteration is a pass. Give the function"
                " that makes it, without calling it."
            )
        self.blocks, self.read = blocks, read
        #: of labels that are texts, in the last pass that learned
        self.classes: np.ndarray | None = None
        # a y that is required is data
        self.names = [
            name
            for name, parameter in signature(read).parameters.items()
            if name not in ("X", "reset") and (name != "y" or parameter.default is parameter.empty)
        ]

    def __call__(self, reset: bool = False, each: bool = False) -> Iterator[Block]:
        """One pass; ``reset`` learns the columns from the first block, with ``each`` from every one."""
        first, number = 0, -1
        if reset:
            self.classes = None
        for number, raw in enumerate(self._raw()):
            X, metadata = self._parts(raw, number)
            if (X.shape[0] if hasattr(X, "shape") and len(X.shape) else len(X)) == 0:
                raise ValueError(f"Block {number} is empty: it has no rows. Leave it out.")
            if "y" in self.names and "y" not in metadata:
                raise TypeError(
                    f"Block {number} has no y. A block is a pair (table, dict), with a dict of {', '.join(self.names)};"
                    " y is needed."
                )
            try:
                if reset:
                    metadata = self._without_texts(metadata)
                new = reset and (each or number == 0)
                block = read_part(self.read, X, new, metadata)
            except (ValueError, TypeError) as error:
                raise type(error)(f"Block {number}: {error}") from error
            block.first = first
            first += block.n_rows
            yield block
        if number < 0 and reset:
            raise ValueError("There are no blocks: the function gave nothing.")

    def _parts(self, raw: Any, number: int) -> tuple[Any, dict[str, Any]]:
        """The table of a block, and what came with it."""
        if isinstance(raw, tuple) and len(raw) == 2 and isinstance(raw[1], dict):
            if set(raw[1]) <= set(self.names):
                return raw
            wrong = f"its dict has {min(set(raw[1]) - set(self.names), key=str)!r}"
        elif isinstance(raw, tuple) and raw and _is_table(raw[0]) and not all(map(_is_table, raw)):
            wrong = f"it is a tuple of {len(raw)}: {', '.join(type(part).__name__ for part in raw)}"
        else:  # a table, or a list of sequences
            return raw, {}
        raise TypeError(
            f"Block {number}: {wrong}. A block is a table, or a pair (table, dict), with a dict of"
            f" {', '.join(self.names)}."
        )

    def _without_texts(self, metadata: dict[str, Any]) -> dict[str, Any]:
        """Labels that are texts have no numbers before all of their classes are known."""
        found = text_classes(metadata.get("labels"))
        if found is None:
            return metadata
        self.classes = found if self.classes is None else np.union1d(self.classes, found)
        return {name: value for name, value in metadata.items() if name != "labels"}

    def _raw(self) -> Iterable[Any]:
        found = self.blocks() if callable(self.blocks) else self.blocks
        if not hasattr(found, "__iter__"):
            raise TypeError(
                f"blocks must return an iterator of blocks, got a {type(found).__name__}."
            )
        return found


def _is_table(X: Any) -> bool:
    return len(getattr(X, "shape", ())) == 2


def is_mapped(X: Any) -> bool:
    """Whether X is a file mapped into memory that is worth reading in blocks."""
    return (
        isinstance(X, np.memmap)
        and getattr(X, "_mmap", None) is not None
        and X.ndim == 2
        and X.nbytes >= _MAPPED_BYTES
    )


def _file_of(X: np.memmap, start: int) -> IO[bytes] | None:
    """The file that a map, which begins at ``start``, is of; None where its name is that of another one by now."""
    try:
        file = open(X.filename, "rb", buffering=0)
    except OSError:
        return None
    try:
        if _has_content(file, X._mmap, start) and _is_behind(file, X):
            return file
    except OSError:
        pass
    file.close()
    return None


def _has_content(file: IO[bytes], mapped: mmap.mmap, start: int) -> bool:
    """Whether some pages of the file, from the first to the last, are those of the map."""
    page = mmap.PAGESIZE
    for at in np.linspace(0, max(0, len(mapped) - page), _COMPARED, dtype=np.int64).tolist():
        here = mapped[at : at + page]
        if os.pread(file.fileno(), len(here), start + at) != here:
            return False
    return True


def _is_behind(file: IO[bytes], X: np.memmap) -> bool:
    """Whether the system says that the file is the one that is mapped; True where it says nothing."""
    address = np.frombuffer(X._mmap, dtype=np.uint8).ctypes.data
    try:
        with open("/proc/self/maps", "rb") as maps:
            lines = [line.split(maxsplit=5) for line in maps]
    except OSError:
        return True
    for addresses, _, _, _, inode, *name in lines:
        begin, end = (int(edge, 16) for edge in addresses.split(b"-"))
        if begin <= address < end:
            # layers of file systems may give other numbers to the same file
            path = os.fsencode(os.path.realpath(X.filename))
            return int(inode) == os.fstat(file.fileno()).st_ino or name == [path + b"\n"]
    return True


class MappedRows:
    """Copies of the rows of a mapped file, which leave none of it in memory.

    Rows that lie one after the other in the file are read from it, into memory that is used again: pages that
    are mapped, and let go, cost more than the E-step. Others are copied from the map, and so is all of a map
    whose file has been deleted, or replaced by another one of the same name.

    Parameters
    ----------
    X : memmap of shape (n, d)
    pieces : list of (slice, dict)
        The rows of each block, and what belongs to them.
    read : callable
        As in :class:`BlockReader`.
    """

    def __init__(
        self, X: np.memmap, pieces: list[tuple[slice, dict[str, Any]]], read: Callable[..., Block]
    ) -> None:
        self.X, self.read = X, read
        self.metadata = {rows.start: metadata for rows, metadata in pieces}
        self._free: list[np.ndarray] = []
        self._file = None
        # private changes of a copy-on-write map are not in the file
        if X.flags.c_contiguous and X.mode != "c" and X.filename and hasattr(os, "preadv"):
            begin = np.frombuffer(X._mmap, dtype=np.uint8).ctypes.data
            start = X.offset - X.offset % mmap.ALLOCATIONGRANULARITY
            self._position = start + X.ctypes.data - begin
            self._file = _file_of(X, start)
            if self._file is not None:  # also where the first pass fails
                weakref.finalize(self, self._file.close)

    def close(self) -> None:
        """Let go of the file; rows that are read later are copied from the map."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def load(self, rows: slice, reset: bool = False) -> Block:
        """The block of these rows, in memory of its own."""
        return self._block(rows, np.empty(0, dtype=np.uint8), reset)[0]

    def lend(self, function: Callable[[Block], T], rows: slice) -> T:
        """``function`` of the block of these rows, which is gone afterwards: its memory is used again."""
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = np.empty(0, dtype=np.uint8)
        block, buffer = self._block(rows, buffer)
        try:
            return function(block)
        finally:
            self._free.append(buffer)

    def _block(
        self, rows: slice, buffer: np.ndarray, reset: bool = False
    ) -> tuple[Block, np.ndarray]:
        if self._file is None:
            X = np.array(self.X[rows], subok=False)
        else:
            X, buffer = self._read(rows, buffer)
        block = read_part(self.read, X, reset, self.metadata[rows.start])
        block.first = rows.start
        return block, buffer

    def _read(self, rows: slice, buffer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (rows.stop - rows.start, self.X.shape[1])
        size = shape[0] * self.X.strides[0]
        if len(buffer) < size:
            buffer = np.empty(size, dtype=np.uint8)
        done, at = 0, self._position + rows.start * self.X.strides[0]
        while done < size:
            n = os.preadv(self._file.fileno(), [memoryview(buffer)[done:size]], at + done)
            if n == 0:
                raise ValueError(f"The file {self.X.filename} ends before row {rows.stop}.")
            done += n
        return buffer[:size].view(self.X.dtype).reshape(shape), buffer
