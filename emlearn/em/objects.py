"""Objects as their attributes, and back, without a call of anything that their class defines.

Only dataclasses and statistics are made, and members of a ``StrEnum`` found, of modules that are imported already: a
name in a file can neither import a module nor run code. Neither ``__new__`` nor ``__init__`` of a class is called.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import sys
from types import MemberDescriptorType
from typing import Any

from ..exceptions import CheckpointError
from .statistics import Statistics

__all__ = ["class_name", "find_member", "make_object", "read_object"]


def class_name(cls: type, path: str) -> str:
    """``module:qualname``; TypeError if the class is not found again by that."""
    name = f"{cls.__module__}:{cls.__qualname__}"
    if _look_up(name) is not cls:
        raise TypeError(
            f"{path} cannot be stored: its class {cls.__qualname__} cannot be found again. Define it at the top"
            " of a module."
        )
    return name


def read_object(value: Any, path: str) -> dict[str, Any]:
    """The attributes that an object is made of.

    Parameters
    ----------
    value : object
        Statistics, or a dataclass.
    path : str
        Where it is, for errors.

    Raises
    ------
    TypeError
        If :func:`make_object` could not make it again.
    """
    cls = type(value)
    reason = _unmakeable(cls)
    if reason:
        raise TypeError(f"{path} cannot be stored: {cls.__qualname__} {reason}")
    stored = _attributes(value)
    fields = _fields(cls)
    if fields is None:
        return stored
    beside = sorted(stored.keys() - set(fields))
    if beside:
        raise TypeError(
            f"{path} cannot be stored: beside the fields of {cls.__qualname__} it has the attributes {beside}."
        )
    return {name: stored[name] for name in fields if name in stored}


def make_object(name: str, state: dict[str, Any], path: str) -> Any:
    """The object again.

    Parameters
    ----------
    name : str
        Of its class, as :func:`class_name` gave it.
    state : dict of str to object
        What :func:`read_object` gave.
    path : str
        Where it is, for errors.

    Raises
    ------
    CheckpointError
        If there is no such class here, it is of another kind, or has other attributes.
    """
    cls = _find(name, path)
    reason = _unmakeable(cls)
    if reason:
        raise CheckpointError(f"{path} would be a {name}, which {reason}")
    value, slots, fields = object.__new__(cls), _slots(cls), _fields(cls)
    if fields is not None:
        known = set(fields)
    else:
        known = set(state) if hasattr(value, "__dict__") else set(slots)
    if not state.keys() <= known or not _needed(cls, fields) <= state.keys():
        raise CheckpointError(
            f"{path} is a {name} with the attributes {sorted(state)}; here the class has {sorted(known)}:"
            " it was stored by another version."
        )
    for key, item in state.items():
        if key in slots:
            slots[key].__set__(value, item)
        else:
            value.__dict__[key] = item
    return value


def find_member(name: str, member: str, path: str) -> enum.StrEnum:
    """The member of that name of a ``StrEnum``; CheckpointError if there is none."""
    cls = _find(name, path)
    members = vars(cls)["_member_map_"] if issubclass(cls, enum.StrEnum) else {}
    if member not in members:
        raise CheckpointError(f"{path} would be {member!r} of {name}, and there is none")
    return members[member]


def _find(name: str, path: str) -> type:
    module = name.partition(":")[0]
    if module not in sys.modules:
        raise CheckpointError(
            f"{path} is a {name}, whose module is not imported. If you trust the file, import {module} first."
        )
    found = _look_up(name)
    if not isinstance(found, type):
        raise CheckpointError(f"{path} is a {name}, and there is no such class here")
    return found


def _look_up(name: str) -> Any:
    """What stands at ``module:qualname``, or None; plain dictionaries are read, so that no attribute hook runs."""
    module, _, qualname = name.partition(":")
    found: Any = sys.modules.get(module)
    try:
        for part in qualname.split("."):
            found = object.__getattribute__(found, "__dict__")[part]
    except (AttributeError, KeyError):
        return None
    return found


def _unmakeable(cls: type) -> str:
    """Why an object of this class is not made again; empty if it is."""
    if not (issubclass(cls, Statistics) or dataclasses.is_dataclass(cls)):
        return "is neither a dataclass nor a subclass of Statistics."
    if any("__del__" in vars(base) for base in cls.__mro__):
        return "has a __del__, code that would run by itself."
    try:
        object.__new__(cls)
    except TypeError as error:
        return f"cannot be made without its constructor: {error}."
    return ""


def _fields(cls: type) -> list[str] | None:
    """The fields of a dataclass; None for statistics, which say nothing of theirs."""
    if issubclass(cls, Statistics) or not dataclasses.is_dataclass(cls):
        return None
    return [field.name for field in dataclasses.fields(cls)]


def _needed(cls: type, fields: list[str] | None) -> set[str]:
    if fields is None:
        return set()
    return {field.name for field in dataclasses.fields(cls) if field.init}


def _slots(cls: type) -> dict[str, MemberDescriptorType]:
    return {
        name: member
        for base in reversed(cls.__mro__)
        for name, member in vars(base).items()
        if isinstance(member, MemberDescriptorType)
    }


def _attributes(value: Any) -> dict[str, Any]:
    """What is stored in an object, but not what it can compute again."""
    stored = dict(getattr(value, "__dict__", {}))
    for base in type(value).__mro__:
        for name, member in vars(base).items():
            if isinstance(member, functools.cached_property):
                stored.pop(name, None)
    for name, slot in _slots(type(value)).items():
        with contextlib.suppress(AttributeError):  # nothing was put there
            stored[name] = slot.__get__(value)
    return stored
