"""Threads: one pool for restarts and row blocks, and the one limit on BLAS."""

from __future__ import annotations

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

    The limit is process-wide, so nested and concurrent requests share one:
    the first sets it, the last restores what was there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._allowed = 1
        self._controller: ThreadpoolController | None = None
        self._limiter: Any = None

    def _blas(self) -> ThreadpoolController:
        if self._controller is None:  # made once: finding the libraries takes milliseconds
            self._controller = ThreadpoolController()
        return self._controller

    def allowed(self) -> int:
        with self._lock:
            if self._depth:
                return self._allowed
            return self._count()

    def _count(self) -> int:
        libraries = self._blas().select(user_api="blas").lib_controllers
        return max(
            (library.get_num_threads() for library in libraries), default=os.cpu_count() or 1
        )

    def enter(self) -> None:
        with self._lock:
            if self._depth == 0:
                self._allowed = self._count()
                self._limiter = self._blas().limit(limits=1)
                self._limiter.__enter__()
            self._depth += 1

    def leave(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._limiter.__exit__(None, None, None)
                self._limiter = None


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
        self.error: tuple[int, BaseException] | None = None

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
        if self.error is None or index < self.error[0]:
            self.error = (index, error)

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
        self._closing = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()

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
            Let no more than ``n_threads + 1`` calls run ahead of the merge, so that few values are alive.

        Returns
        -------
        object
            ``merge(merge(first, second), third)`` and so on.
        """
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
            with self._condition:
                job.complete = True
            while not job.done:
                self._step(job)
        finally:
            with self._condition:
                job.complete = True
                self._jobs.remove(job)
        if job.error is not None:
            raise job.error[1]
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
        """Run one call of the job, or wait until something has changed."""
        with self._condition:
            index = job.take()
            if index is None:
                if not job.done:
                    self._condition.wait()
                return
        self._run(job, index)

    def _run(self, job: _Job, index: int) -> None:
        call, job.calls[index] = job.calls[index], None
        try:
            value = call()
        except BaseException as error:
            with self._condition:
                job.running -= 1
                job.fail(index, error)
                self._condition.notify_all()
            return
        with self._condition:
            try:
                job.finish(index, value)
            except BaseException as error:
                job.fail(index, error)
            self._condition.notify_all()

    def _serve(self) -> None:
        while True:
            with self._condition:
                while True:
                    if self._closing:
                        return
                    job, index = next(
                        ((j, i) for j in self._jobs if (i := j.take()) is not None), (None, None)
                    )
                    if job is not None:
                        break
                    self._condition.wait()
            self._run(job, index)
