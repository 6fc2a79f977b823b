"""Threads: one pool for restarts and row blocks, and the one limit on BLAS."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

__all__ = ["Workers", "effective_threads", "single_threaded_blas"]

T = TypeVar("T")


class _BlasLimit:
    """BLAS and OpenMP held to one thread while anybody asks for it.

    OpenMP keeps the number for each thread; OpenBLAS for the whole process, and
    once one thread has set it, setting it in another may do nothing. So what was
    there is noted once, by the first who asks; whoever asks sets 1 in his own
    thread, and puts back there what was noted. Fits that overlap in several
    threads may therefore find BLAS with more threads than one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._own = threading.local()
        self._depth = 0
        self._original: list[tuple[Any, int]] = []
        self._controller: ThreadpoolController | None = None

    def _libraries(self) -> list[Any]:
        if self._controller is None:  # made once: finding the libraries takes milliseconds
            self._controller = ThreadpoolController()
        return self._controller.lib_controllers

    def allowed(self) -> int:
        """Threads that BLAS may use, or might before it was held."""
        with self._lock:
            numbers = self._original if self._depth else self._numbers()
            return max((n for library, n in numbers if library.user_api == "blas"), default=1)

    def _numbers(self) -> list[tuple[Any, int]]:
        numbers = [(library, library.get_num_threads()) for library in self._libraries()]
        return [(library, n) for library, n in numbers if n]

    def enter(self) -> None:
        own = getattr(self._own, "depth", 0)
        with self._lock:
            if self._depth == 0:
                self._original = self._numbers()
            self._depth += 1
            if own == 0:
                for library, _ in self._original:
                    library.set_num_threads(1)
        self._own.depth = own + 1

    def leave(self) -> None:
        self._own.depth -= 1
        with self._lock:
            self._depth -= 1
            if self._own.depth == 0:
                for library, n in self._original:
                    library.set_num_threads(n)


_LIMIT = _BlasLimit()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS and OpenMP to one thread, so that results do not depend on their number."""
    _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave()


def effective_threads(n_jobs: int | None) -> int:
    """Number of threads for ``n_jobs``: None is what BLAS is allowed, negative counts from the cores."""
    if n_jobs is None:
        return max(1, _LIMIT.allowed())
    if n_jobs == 0:
        raise ValueError(
            "n_jobs=0 asks for no thread at all; give a positive or a negative number, or None"
        )
    return n_jobs if n_jobs > 0 else max(1, (os.cpu_count() or 1) + 1 + n_jobs)


class _Cancelled(BaseException):
    """Another call of the pool failed: nobody waits for this one any more."""


class _Job:
    """Calls whose values are merged in their order, as they become ready."""

    __slots__ = (
        "ahead",
        "calls",
        "complete",
        "error",
        "merge",
        "merged",
        "running",
        "taken",
        "value",
        "waiting",
    )

    def __init__(self, merge: Callable[[Any, Any], Any], ahead: int | None) -> None:
        self.calls: list[Callable[[], Any] | None] = []
        self.complete = False  # no further calls will come
        self.taken = self.merged = self.running = 0
        self.waiting: dict[int, Any] = {}
        self.value: Any = None
        self.merge = merge
        self.ahead = ahead
        self.error: tuple[float, BaseException] | None = None

    def take(self) -> int | None:
        if self.error is not None or self.taken == len(self.calls):
            return None
        if self.ahead is not None and self.taken >= self.merged + self.ahead:
            return None
        self.taken += 1
        self.running += 1
        return self.taken - 1

    def finish(self, index: int, value: Any) -> None:
        self.running -= 1
        if self.error is not None:
            return
        self.waiting[index] = value
        while self.merged in self.waiting:
            value = self.waiting.pop(self.merged)
            self.value = value if self.merged == 0 else self.merge(self.value, value)
            self.merged += 1

    def fail(self, index: int, error: BaseException) -> None:
        if isinstance(error, _Cancelled):
            self.error = self.error or (math.inf, error)
        elif self.error is None or index < self.error[0]:
            self.error = (index, error)

    @property
    def behind(self) -> bool:
        """Whether as many calls wait as may run ahead of the merge."""
        waiting = len(self.calls) - self.merged
        return self.error is None and self.ahead is not None and waiting > self.ahead

    @property
    def done(self) -> bool:
        if self.error is not None:
            return self.running == 0
        return self.complete and self.merged == len(self.calls)


class Workers:
    """Threads that run the calls of jobs; the thread that asks takes part itself.

    A call may ask for a job of its own: nobody ever waits for a call that
    nobody has begun, so jobs nest without deadlock.

    Parameters
    ----------
    n_threads : int
        With 1, everything runs in the calling thread.
    """

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads
        self._condition = threading.Condition()
        self._jobs: list[_Job] = []
        self._threads: list[threading.Thread] = []
        self._closing = self._cancelled = self._interrupted = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._condition:
            self._closing = True
            self._cancelled = self._cancelled or exception[0] is not None
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        """End the call that asks where another of the pool has failed, or the user has interrupted."""
        if self._cancelled:
            raise _Cancelled

    def interrupt(self) -> None:
        """End all calls as soon as they ask for further ones; nobody waits for what another thread has begun."""
        with self._condition:
            self._cancelled = self._interrupted = True
            self._condition.notify_all()

    def map_reduce(
        self, calls: Iterable[Callable[[], T]], merge: Callable[[T, T], T], *, bounded: bool = True
    ) -> T:
        """Run the calls, merge their values in order.

        Parameters
        ----------
        calls : iterable of callable
            Drawn in the calling thread, one after the other.
        merge : callable
        bounded : bool, default=True
            Let no more than ``n_threads + 1`` calls run ahead of the merge, and draw no more: few values, and few
            calls with what they hold, are alive.

        Returns
        -------
        object
            ``merge(merge(first, second), third)`` and so on.
        """
        self.check()
        if self.n_threads == 1:
            return self._serial(calls, merge)
        job = _Job(merge, self.n_threads + 1 if bounded else None)
        with self._condition:
            self._jobs.append(job)
        try:
            self._start()
            for call in calls:
                with self._condition:
                    if job.error is not None:
                        break
                    job.calls.append(call)
                    self._condition.notify()
                # what the next call is about may have to be read first: not before there is room for it
                while job.behind and not self._interrupted:
                    self._step(job)
            with self._condition:
                job.complete = True
            while not (job.done or self._interrupted):
                self._step(job)
        except KeyboardInterrupt:
            self.interrupt()
            raise
        finally:
            with self._condition:
                job.complete = True
                self._jobs.remove(job)
        if job.error is not None:
            raise job.error[1]
        if not job.done:
            raise _Cancelled
        return job.value

    @staticmethod
    def _serial(calls: Iterable[Callable[[], T]], merge: Callable[[T, T], T]) -> T:
        iterator = iter(calls)
        value = next(iterator)()
        for call in iterator:
            value = merge(value, call())
        return value

    def _start(self) -> None:
        with self._condition:
            missing = self.n_threads - 1 - len(self._threads)
        for _ in range(missing):
            thread = threading.Thread(target=self._serve, name="emlearn", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _step(self, job: _Job) -> None:
        """Run one call, of this job or of one that began later; or wait until something has changed."""
        with self._condition:
            found = self._take(self._jobs[self._jobs.index(job) :], job)
            if found is None:
                # looked at once more under the lock: what has changed since then wakes nobody
                waits = job.behind or (job.complete and not job.done)
                if waits and not self._interrupted:
                    self._condition.wait()
                return
        self._run(*found)

    @staticmethod
    def _take(jobs: list[_Job], first: _Job | None = None) -> tuple[_Job, int] | None:
        """A call that may begin: of the first job, or else of the youngest, whose calls are the shortest."""
        for job in ([first] if first else []) + jobs[::-1]:
            index = job.take()
            if index is not None:
                return job, index
        return None

    def _run(self, job: _Job, index: int) -> None:
        call, job.calls[index] = job.calls[index], None
        try:
            value = call()
        except BaseException as error:
            with self._condition:
                job.running -= 1
                job.fail(index, error)
                self._cancelled = True
                self._condition.notify_all()
            return
        with self._condition:
            try:
                job.finish(index, value)
            except BaseException as error:
                job.fail(index, error)
            self._condition.notify_all()

    def _serve(self) -> None:
        with single_threaded_blas():
            while True:
                with self._condition:
                    while not self._closing and (found := self._take(self._jobs)) is None:
                        self._condition.wait()
                    if self._closing:
                        return
                self._run(*found)
