"""What the runs of a fit came to, and where those stand that go on."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..exceptions import SingularError
from . import loop
from .loop import Result, RunState, StopReason

__all__ = ["Journal"]


class Journal:
    """Every run of a fit, by its name.

    All that is decided between the runs of a fit follows from what they came to. So a fit that is taken up from a
    journal, with the same draws, makes the same decisions: runs that had ended are read, one that had not goes on
    where it was, and the end is the same to the bit.

    Parameters
    ----------
    saved : mapping or None
        What :meth:`saved` said of a fit that was cut short.
    write : callable or None
        ``write(journal)`` between two iterations of any run; it decides whether it is time to.
    """

    def __init__(
        self,
        saved: Mapping[str, Any] | None = None,
        write: Callable[[Journal], None] | None = None,
    ) -> None:
        self._ended: dict[str, Result | SingularError] = {}
        self._going: dict[str, Any] = {}
        self._live: dict[str, RunState] = {}
        self._write = write
        self._unranked: set[str] = set()
        self._lock = threading.Lock()
        if saved is not None:
            self._ended = {key: _read(value) for key, value in saved["ended"].items()}
            self._going = dict(saved["going"])

    def run(
        self, key: str, problem: Any, parameters: Any, *, ranks: bool = True, **options: Any
    ) -> Result | SingularError:
        """:func:`~emlearn.em.run` under a name; a run without sound parameters is the error that says so.

        With ``ranks=False`` its objective is another than that of the fit: a free energy.
        """
        if not ranks:
            self._unranked.add(key)
        ended = self._ended.get(key)
        if ended is not None:
            return ended
        outcome: Result | SingularError
        try:
            outcome = loop.run(
                problem,
                parameters,
                saved=self._going.get(key),
                begun=lambda state: self._begin(key, state),
                boundary=None if self._write is None else self._boundary(key),
                **options,
            )
        except SingularError as error:
            outcome = error
        with self._lock:
            self._ended[key] = outcome
            self._going.pop(key, None)
            self._live.pop(key, None)
        return outcome

    def _begin(self, key: str, state: RunState) -> None:
        with self._lock:
            self._live[key] = state

    def _boundary(self, key: str) -> Callable[..., None]:
        def boundary(state: RunState, accelerator: Any) -> None:
            saved = state.saved(accelerator)
            with self._lock:
                self._going[key] = saved
            self._write(self)

        return boundary

    def saved(self) -> dict[str, Any]:
        """What a fit that takes this up needs, in values."""
        with self._lock:
            ended = {key: _written(value) for key, value in self._ended.items()}
            return {"ended": ended, "going": dict(self._going)}

    def so_far(self) -> list[Result]:
        """What stopping now gives: of the runs that have ended, and of those that go on.

        A run whose objective is another than that of the fit has minus infinity in its place.
        """
        with self._lock:
            found = {key: value for key, value in self._ended.items() if isinstance(value, Result)}
            for key, state in self._live.items():
                if not math.isnan(state.sound[1]):
                    detail = f"in iteration {state.sound[3] + 1}"
                    found[key] = state.result(StopReason.INTERRUPTED, detail)
            return [
                replace(result, objective=-math.inf) if key in self._unranked else result
                for key, result in found.items()
            ]


def _written(outcome: Result | SingularError) -> Any:
    return {"error": str(outcome)} if isinstance(outcome, SingularError) else outcome


def _read(value: Any) -> Result | SingularError:
    return value if isinstance(value, Result) else SingularError(value["error"])
