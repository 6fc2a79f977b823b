"""Callbacks for fits, for ``set_callbacks``."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, validate_params

from .em.archive import is_archive, read_archive, read_header, write_archive
from .exceptions import CheckpointError

__all__ = ["Checkpoint"]

_PLACE = "{fingerprint}"


class Checkpoint:
    """Write the state of a fit to a file as it goes, and go on from there.

    A fit that was broken off is called again, in another process if need be,
    with the same estimator and the same data: it goes on from the last
    iteration that was written, and ends where it would have ended, to the bit.

    Set it on the estimator that is fitted by EM itself, also where that is a
    step of a ``Pipeline`` or inside a search.

    Parameters
    ----------
    path : path-like
        The file, in a folder that exists. ``{fingerprint}`` in its name stands
        for twelve digits that tell a fit by its estimator, its parameters and
        its data. Where one ``Checkpoint`` serves several fits, as in a
        ``GridSearchCV``, whose estimators are clones that share it, each fit then has
        a file of its own; without it, all fits but the first raise an error.
    every : int or None, default=10
        Write after so many iterations, over all restarts together.
    seconds : float or None, default=None
        Write when so many seconds have passed since the last time. With
        ``every``, whichever comes first. A write takes some milliseconds, so that
        where iterations are quicker ``every=None, seconds=30`` costs less.
    resume : bool, default=True
        Go on from the file if there is one. If False, begin anew; the file is
        overwritten once there is something to write.

    Raises
    ------
    CheckpointError
        From ``fit``, if the file is none of this fit: another estimator, other
        parameters or data, another kind of file, or not a whole one. It is
        left as it is.
    OSError
        From ``fit``, if the file cannot be written.

    Notes
    -----
    A file is replaced as a whole: whenever the process ends, there is the last state that was written or the one before
    it. Files hold no code, and none is run when one is read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from emlearn import GaussianMixture
    >>> from emlearn.callbacks import Checkpoint
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(Path(folder) / "fit.ckpt", every=5)
    ...     mixture = GaussianMixture(2, random_state=0).set_callbacks(checkpoint).fit(X)
    >>> mixture.converged_
    True
    """

    @validate_params(
        {
            "path": [str, os.PathLike],
            "every": [Interval(Integral, 1, None, closed="left"), None],
            "seconds": [Interval(Real, 0, None, closed="neither"), None],
            "resume": ["boolean"],
        },
        prefer_skip_nested_validation=True,
    )
    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every: int | None = 10,
        seconds: float | None = None,
        resume: bool = True,
    ) -> None:
        if every is None and seconds is None:
            raise ValueError("every and seconds are both None: say when to write.")
        self.path = path
        self.every = every
        self.seconds = seconds
        self.resume = resume
        _check_path(self.path)
        self._forget()

    def __repr__(self) -> str:
        said = [repr(os.fspath(self.path)), f"every={self.every!r}"]
        if self.seconds is not None:
            said.append(f"seconds={self.seconds!r}")
        if not self.resume:
            said.append("resume=False")
        return f"Checkpoint({', '.join(said)})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def _forget(self) -> None:
        self._file: str | None = None
        self._fingerprint: dict[str, Any] = {}
        self._replaces = False
        self._count, self._clock = 0, time.monotonic()
        self._counting, self._writing = threading.Lock(), threading.Lock()

    # ------------------------------------------------ scikit-learn's protocol

    def setup(self, estimator: Any, context: Any) -> None:
        """Refuse an estimator that would never write a state."""
        if not callable(getattr(estimator, "m_step", None)):
            name = type(estimator).__name__
            raise TypeError(
                f"Checkpoint writes the states of estimators that are fitted by EM, and {name} is none. Set it on the"
                f" one inside of it, before the {name} is made: estimator.set_callbacks(Checkpoint(...))."
            )

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing is left open."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Nothing: the fit itself asks when to write."""

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Nothing, and never stops a fit."""

    # ------------------------------------------------------ what a fit calls

    def for_fit(self) -> Checkpoint:
        """The same settings for one fit: clones of an estimator share one callback, and may be fitted at once.

        Returns
        -------
        Checkpoint
            Not open.
        """
        copy = object.__new__(type(self))
        copy.__setstate__(self.__getstate__())
        return copy

    def file_of(self, fingerprint: dict[str, Any]) -> str:
        """The file of the fit with this fingerprint."""
        folder, name = os.path.split(os.path.abspath(self.path))
        text = json.dumps(_plain(fingerprint), sort_keys=True)
        digits = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
        return os.path.join(folder, name.replace(_PLACE, digits))

    def open(self, fingerprint: dict[str, Any]) -> Any:
        """Begin a fit.

        Parameters
        ----------
        fingerprint : dict of str to object
            By what a fit is known again, flat; values are what JSON has.

        Returns
        -------
        object
            What was written last in a fit with this fingerprint, or None.

        Raises
        ------
        CheckpointError
            If the file is none of this fit.
        """
        _check_path(self.path)
        fingerprint = _plain(fingerprint)
        file, value = self.file_of(fingerprint), None
        if os.path.exists(file):
            if self.resume:
                _check_same(file, read_header(file), fingerprint)
                value = read_archive(file)[0]
            elif not is_archive(file):
                raise CheckpointError(
                    f"{file} is no checkpoint, and is not overwritten. Delete it, or choose another path."
                )
        with self._counting:
            self._file, self._fingerprint, self._replaces = file, fingerprint, not self.resume
            self._count, self._clock = 0, time.monotonic()
        return value

    def due(self, n_new_iterations: int = 1) -> bool:
        """Whether it is time to write; of several threads that ask at once, one is told so.

        Parameters
        ----------
        n_new_iterations : int, default=1
            Iterations since the last call.
        """
        with self._counting:
            self._count += n_new_iterations
            now = time.monotonic()
            due = self.every is not None and self._count >= self.every
            due = due or (self.seconds is not None and now - self._clock >= self.seconds)
            if due:
                self._count, self._clock = 0, now
            return due

    def write(self, value: Any) -> None:
        """Put a state in the place of the last one.

        Parameters
        ----------
        value : object
            Of what ``emlearn.em.packing.pack`` takes.

        Raises
        ------
        CheckpointError
            If another fit has written to the file in the meantime.
        TypeError
            If the value has something in it that cannot be stored.
        OSError
            If the file cannot be written; the last one is still there.
        """
        if self._file is None:
            raise RuntimeError("write() before open()")
        with self._writing:
            if not self._replaces and os.path.exists(self._file):
                _check_same(self._file, read_header(self._file), self._fingerprint)
            write_archive(self._file, value, {"fingerprint": self._fingerprint})
            self._replaces = False
        with self._counting:
            self._clock = time.monotonic()  # the time that it took is no time of the fit


def _plain(fingerprint: dict[str, Any]) -> dict[str, Any]:
    """As it is once it was in a file: tuples are lists, NumPy's numbers are Python's."""
    return json.loads(json.dumps(fingerprint, default=_number))


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a fingerprint is made of what JSON has, not of {type(value).__name__}")


def _check_path(path: str | os.PathLike[str]) -> None:
    file = Path(os.path.abspath(path))
    if not os.path.basename(path) or file.is_dir():
        raise CheckpointError(f"path={os.fspath(path)!r} names no file; give the name of one.")
    if _PLACE in str(file.parent):
        raise CheckpointError(
            f"path={os.fspath(path)!r}: {_PLACE} may stand in the name of the file, not of its folder."
        )
    if not file.parent.is_dir():
        raise CheckpointError(
            f"path={os.fspath(path)!r}: there is no folder {str(file.parent)!r}. Make it first."
        )


def _check_same(file: str, header: dict[str, Any], fingerprint: dict[str, Any]) -> None:
    """CheckpointError unless the file is of the fit with this fingerprint."""
    stored = header.get("fingerprint")
    if not isinstance(stored, dict):
        raise CheckpointError(f"{file} holds something else than a fit. Choose another path.")
    every = {**fingerprint, **stored}
    names = [name for name in every if _text(stored, name) != _text(fingerprint, name)]
    if names:
        listed = "; ".join(
            f"{name} was {_short(stored, name)} and is {_short(fingerprint, name)}"
            for name in names
        )
        raise CheckpointError(
            f"{file} is of another fit: {listed}. Fit as before to go on with that one. For this one, delete the"
            " file, choose another path, or set resume=False to overwrite it. Where several fits share a Checkpoint,"
            f" as in a search, write {_PLACE} in the name of the file: each then has its own."
        )


def _text(values: dict[str, Any], name: str) -> str | None:
    return json.dumps(values[name]) if name in values else None  # where nan equals nan


def _short(values: dict[str, Any], name: str) -> str:
    if name not in values:
        return "not there"
    text = repr(values[name])
    return text if len(text) <= 80 else f"{text[:60]}...{text[-16:]}"
