"""Errors and warnings of emlearn."""

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "CheckpointError",
    "DegenerateComponentsWarning",
    "DomainError",
    "HeywoodWarning",
    "ObjectiveFellWarning",
    "SingularError",
    "UnobservedColumnsError",
]


class SingularError(ValueError):
    """The M-step has no maximum: the likelihood is unbounded at these statistics.

    Raised by an M-step. The loop ends the run at its last sound parameters; a
    run whose very start is singular is dropped, and when every start is, this
    error reaches the caller.
    """


class DomainError(ValueError):
    """A combination of statistics left their domain (a negative weight, a scatter that is no covariance)."""


class UnobservedColumnsError(ValueError):
    """Columns have no value in any row that counts: nothing tells what is expected there."""

    def __init__(self, columns: Iterable[int], names: Iterable[str] | None = None) -> None:
        self.columns = [int(j) for j in columns]
        listed = ", ".join(names or [f"column {j}" for j in self.columns])
        advice = "Drop it." if len(self.columns) == 1 else "Drop them."
        super().__init__(f"All values of {listed} are missing, in the rows that count. {advice}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.columns,)


class CheckpointError(ValueError):
    """A file is no checkpoint, not a whole one, or not one of this fit."""


class DegenerateComponentsWarning(ConvergenceWarning):
    """Some components of the fit are empty, or are held up by the regularisation alone."""


class HeywoodWarning(ConvergenceWarning):
    """The noise of some features came to its least: what the factors leave of them would be nothing."""


class ObjectiveFellWarning(RuntimeWarning):
    """The objective of exact EM fell: the E-step and the M-step do not belong together."""


_HEARD: ContextVar[list[tuple[str, type[Warning]]] | None] = ContextVar(
    "emlearn_heard", default=None
)


@contextmanager
def heard_warnings() -> Iterator[list[tuple[str, type[Warning]]]]:
    """Keep what this thread's fits would warn of, for somebody who runs many.

    ``warnings.catch_warnings`` changes the whole process, and fits in other
    threads with it.
    """
    heard: list[tuple[str, type[Warning]]] = []
    token = _HEARD.set(heard)
    try:
        yield heard
    finally:
        _HEARD.reset(token)


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the line of the user's own code that led here."""
    heard = _HEARD.get()
    if heard is not None:
        heard.append((message, category))
        return
    level, frame = 1, sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in (
        "emlearn",
        "sklearn",
    ):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
