"""Random draws that several fits make alike: made once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import joblib
import numpy as np

__all__ = ["SharedDraws", "draw_once"]

T = TypeVar("T")


@dataclass
class _Draw:
    """What was drawn, and the state in which it left the stream."""

    lock: Any = field(default_factory=threading.Lock)
    value: Any = None
    after: Any = None


class SharedDraws:
    """A memory of draws for fits of the same data.

    A draw with the same arguments from the same state of the stream has the
    same outcome; here it is computed once, and the stream is then put into the
    state that the draw would have left. So no fit can tell the difference.

    Parameters
    ----------
    max_bytes : int, default=128 MiB
        What does not fit in is drawn again each time.
    """

    def __init__(self, max_bytes: int = 2**27) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._draws: dict[str, _Draw] = {}
        self._bytes = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.max_bytes,)  # another process begins with nothing

    @contextmanager
    def used(self) -> Iterator[None]:
        """Share the draws of the fits in this thread."""
        token = _USED.set(self)
        try:
            yield
        finally:
            _USED.reset(token)

    def draw(
        self, function: Callable[..., T], random_state: np.random.RandomState, *arguments: Any
    ) -> T:
        """``function(random_state, *arguments)``, remembered."""
        key = joblib.hash((function.__qualname__, random_state.get_state(), arguments))
        with self._lock:
            draw = self._draws.setdefault(key, _Draw())
        with draw.lock:  # who needs the same draw waits for it
            if draw.value is not None:
                random_state.set_state(draw.after)
                return draw.value
            value = function(random_state, *arguments)
            arrays = [v for v in vars(value).values() if isinstance(v, np.ndarray)]
            size = sum(array.nbytes for array in arrays)
            with self._lock:
                fits = self._bytes + size <= self.max_bytes
                self._bytes += size if fits else 0
            if fits:
                draw.value, draw.after = value, random_state.get_state()
            return value


_USED: ContextVar[SharedDraws | None] = ContextVar("emlearn_shared_draws", default=None)


def draw_once(
    function: Callable[..., T], random_state: np.random.RandomState, *arguments: Any
) -> T:
    """``function(random_state, *arguments)``, or what it was in another fit that shares its draws."""
    shared = _USED.get()
    if shared is None:
        return function(random_state, *arguments)
    return shared.draw(function, random_state, *arguments)
