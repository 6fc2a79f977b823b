"""Values as a tree that JSON can hold and arrays, and back: without pickle, so that a stranger's file runs no code.

A node of the tree is None, a boolean, a number, a string, or ``{kind: content}``.
"""

from __future__ import annotations

import dataclasses
import enum
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from ..exceptions import CheckpointError
from .objects import class_name, find_member, make_object, read_object
from .statistics import Statistics

__all__ = ["pack", "unpack"]

# beyond, a value most likely contains itself
_DEPTH = 64

# integers that every reader of JSON keeps
_SAFE = 2**53

# what hashes without code of a class of the user's
_KEYS = (type(None), bool, int, float, str, np.generic)


def pack(value: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Take a value apart.

    Parameters
    ----------
    value : object
        Of None, bool, int, float, str, tuple, list, set, frozenset, dict (whose
        keys are strings, numbers, and tuples of these), NumPy scalars and
        arrays, members of a ``StrEnum``, :class:`Statistics` and dataclasses; of these classes, such
        as are at the top of a module or inside another class there. What
        :meth:`numpy.random.RandomState.get_state` and
        ``Generator.bit_generator.state`` give is made of these.

    Returns
    -------
    tree : object
        What :func:`json.dumps` takes.
    arrays : dict of str to ndarray
        The arrays of the value themselves, not copies. One that is there twice
        is stored once.

    Raises
    ------
    TypeError
        If something in the value is of another type; the message says where.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.em.packing import pack, unpack
    >>> tree, arrays = pack({"counts": np.array([3, 4]), "n_iter": 2})
    >>> tree, list(arrays)
    ({'dict': [['counts', {'array': 'a0'}], ['n_iter', 2]]}, ['a0'])
    >>> unpack(tree, arrays)
    {'counts': array([3, 4]), 'n_iter': 2}
    """
    packer = _Packer()
    return packer.pack(value, "value", 0), packer.arrays


def unpack(tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Put together what :func:`pack` took apart, bit by bit the same.

    Parameters
    ----------
    tree : object
    arrays : dict of str to ndarray

    Returns
    -------
    object

    Raises
    ------
    CheckpointError
        If these do not come from :func:`pack`, or if a class is not what it
        was: only dataclasses, statistics and ``StrEnum`` of modules that are
        imported already are made, and no function is called.
    """
    try:
        return _Unpacker(arrays).unpack(tree, "value")
    except RecursionError:
        raise CheckpointError("the stored value is nested too deeply") from None


# ---------------------------------------------------------------- there


class _Packer:
    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._names: dict[int, str] = {}

    def pack(self, value: Any, path: str, depth: int) -> Any:
        if depth > _DEPTH:
            raise TypeError(f"{path[:80]}... is nested too deeply, or contains itself")
        depth += 1
        if value is None or value is True or value is False:
            return value
        if isinstance(value, np.generic):
            return self._scalar(value, path)
        kind = type(value)
        if kind in _ATOMS:
            return _ATOMS[kind](value)
        if kind in (tuple, list):
            items = [self.pack(item, f"{path}[{i}]", depth) for i, item in enumerate(value)]
            return {kind.__name__: items}
        if kind in (set, frozenset):
            items = [self._key(item, f"an element of {path}", depth) for item in value]
            return {kind.__name__: sorted(items, key=repr)}  # equal sets, equal trees
        if kind is dict:
            pairs = [
                [self._key(key, f"a key of {path}", depth), self.pack(v, f"{path}[{key!r}]", depth)]
                for key, v in value.items()
            ]
            return {"dict": pairs}
        if kind in (np.ndarray, np.memmap):
            return {"array": self._store(value, path)}
        if isinstance(value, enum.StrEnum):
            return {"enum": [class_name(kind, path), value.name]}
        if isinstance(value, Statistics) or dataclasses.is_dataclass(value):
            return self._object(value, path, depth)
        raise TypeError(
            f"{path} cannot be stored: it is a {kind.__module__}.{kind.__qualname__}. A state is made of None,"
            " numbers, strings, tuples, lists, sets, dicts, NumPy arrays, statistics and dataclasses."
        )

    def _key(self, key: Any, path: str, depth: int) -> Any:
        if not _is_key(key):
            raise TypeError(
                f"{path} cannot be stored: it is a {type(key).__qualname__}. Keys may be strings,"
                " numbers, and tuples and frozensets of these."
            )
        return self.pack(key, path, depth)

    def _scalar(self, value: np.generic, path: str) -> dict[str, Any]:
        # an array drops the zeros that a string ends with, and so does str()
        if isinstance(value, np.str_):
            return {"np.str": _text("".join(value))}
        if isinstance(value, np.bytes_):
            return {"np.bytes": bytes(value).hex()}
        return {"scalar": self._store(np.asarray(value), path)}

    def _store(self, array: np.ndarray, path: str) -> str:
        _check_dtype(array.dtype, path)
        name = self._names.get(id(array))
        if name is None:
            name = self._names[id(array)] = f"a{len(self.arrays)}"
            self.arrays[name] = array  # which keeps it alive, and its id its own
        return name

    def _object(self, value: Any, path: str, depth: int) -> dict[str, Any]:
        state = {
            name: self.pack(item, f"{path}.{name}", depth)
            for name, item in read_object(value, path).items()
        }
        return {"object": [class_name(type(value), path), state]}


def _is_key(value: Any) -> bool:
    if type(value) in (tuple, frozenset):
        return all(map(_is_key, value))
    return isinstance(value, _KEYS)


def _text(value: str) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:  # halves of a pair: JSON would join them
        return {"codes": [ord(character) for character in value]}
    return value


def _integer(value: int) -> Any:
    return value if -_SAFE < value < _SAFE else {"int": hex(value)}


def _float(value: float) -> Any:
    # the shortest decimal that reads back the same; the others bit by bit
    return value if value - value == 0 else {"float": struct.pack(">d", value).hex()}


_ATOMS: dict[type, Callable[[Any], Any]] = {int: _integer, float: _float, str: _text}


def _check_dtype(dtype: np.dtype, path: str) -> None:
    if dtype.fields:
        for field, *_ in dtype.fields.values():
            _check_dtype(field, path)
    elif dtype.subdtype:
        _check_dtype(dtype.subdtype[0], path)
    elif dtype.hasobject or dtype.char not in np.typecodes["All"]:
        raise TypeError(
            f"{path} cannot be stored: it is an array of dtype {dtype}. Only arrays of numbers, dates and"
            " strings of fixed length can."
        )


# ------------------------------------------------------- and back again


class _Unpacker:
    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays

    def unpack(self, node: Any, path: str) -> Any:
        if node is None or isinstance(node, bool | int | float | str):
            return node
        try:
            ((kind, content),) = node.items()
            make = self._MAKERS[kind]
            return make(self, content, path)
        except CheckpointError:
            raise
        except (
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
            OverflowError,
            struct.error,
        ) as error:
            raise CheckpointError(
                f"{path} is stored in a way that this version of emlearn does not know"
                f" ({type(error).__name__}: {error})"
            ) from error

    def _items(self, content: Any, path: str) -> list[Any]:
        return [self.unpack(item, f"{path}[{i}]") for i, item in enumerate(content)]

    def _key(self, node: Any, path: str) -> Any:
        key = self.unpack(node, path)
        if not _is_key(key):
            raise CheckpointError(f"{path} is a {type(key).__qualname__}, which none may be")
        return key

    def _set(self, content: Any, path: str) -> set[Any]:
        return {self._key(item, f"an element of {path}") for item in content}

    def _dict(self, content: Any, path: str) -> dict[Any, Any]:
        pairs = ((self._key(key, f"a key of {path}"), item) for key, item in content)
        return {key: self.unpack(item, f"{path}[{key!r}]") for key, item in pairs}

    def _scalar(self, content: str, path: str) -> np.generic:
        return self.arrays[content][()]

    def _enum(self, content: Any, path: str) -> enum.StrEnum:
        name, member = content
        return find_member(name, member, path)

    def _object(self, content: Any, path: str) -> Any:
        name, state = content
        items = {key: self.unpack(node, f"{path}.{key}") for key, node in state.items()}
        return make_object(name, items, path)

    _MAKERS: dict[str, Callable[..., Any]] = {
        "int": lambda self, content, path: int(content, 16),
        "float": lambda self, content, path: struct.unpack(">d", bytes.fromhex(content))[0],
        "codes": lambda self, content, path: "".join(map(chr, content)),
        "tuple": lambda self, content, path: tuple(self._items(content, path)),
        "list": _items,
        "set": _set,
        "frozenset": lambda self, content, path: frozenset(self._set(content, path)),
        "dict": _dict,
        "array": lambda self, content, path: self.arrays[content],
        "scalar": _scalar,
        "np.str": lambda self, content, path: np.str_(self.unpack(content, path)),
        "np.bytes": lambda self, content, path: np.bytes_(bytes.fromhex(content)),
        "enum": _enum,
        "object": _object,
    }
