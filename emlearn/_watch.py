"""What is told of a fit while it runs: scikit-learn's callbacks and printed lines."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from sklearn.callback import CallbackContext

from .callbacks import Checkpoint
from .em.loop import Result, RunState
from .em.sources import Block, Source
from .em.units import Units

__all__ = ["FitWatch"]


class FitWatch:
    """What is told of a fit while it runs: scikit-learn's callbacks and printed lines."""

    def __init__(self, estimator: Any, source: Source, y: Any, n_runs: int | None) -> None:
        self.estimator = estimator
        self.max_iter = estimator._setting("max_iter")
        self.verbose = estimator._setting("verbose")
        self.interval = estimator._setting("verbose_interval")
        self.active = bool(getattr(estimator, "_skl_callbacks", ()))
        #: writes states of the fit, if the user wants some written
        self.checkpoint = next(
            (
                c.for_fit()
                for c in getattr(estimator, "_skl_callbacks", ())
                if isinstance(c, Checkpoint)
            ),
            None,
        )
        self.dtype = source.dtype
        # what is not in memory is not handed around
        whole = source.sample if source.in_memory else Block(None)
        X, sample_weight = whole.X, whole.sample_weight
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        if isinstance(X, Units):
            if self.active and len(X.ends) > 1:
                lengths = np.diff(X.ends, prepend=0)
                metadata["groups"] = np.repeat(np.arange(len(lengths)), lengths)
            X = X.rows
        self.given = {"X": X, "y": y, "metadata": metadata}
        self.root = estimator._init_callback_context(max_subtasks=n_runs, sequential_subtasks=False)
        # hooks need not be thread-safe
        self.lock = threading.Lock()
        self.root.call_on_fit_task_begin(estimator=estimator, **self.given)

    def run(self, number: int, n_paths: int = 1) -> RunWatch:
        return RunWatch(self, number, n_paths)

    def report(self, result: Result) -> None:
        if self.verbose:
            outcome = "converged" if result.converged else "did not converge"
            print(
                f"Initialization {outcome}. lower bound {result.objective:.5f}, {result.n_iter} iterations"
            )

    def end(self) -> None:
        self.root.call_on_fit_task_end(
            estimator=self.estimator, **self.given, reconstruction_attributes=dict
        )


class RunWatch:
    """One run, from one or several first parameters: a task with a leaf for each iteration."""

    def __init__(self, watch: FitWatch, number: int, n_paths: int) -> None:
        self.watch, self.number, self.n_paths = watch, number, n_paths
        self.context: CallbackContext | None = None
        self.clock = time.perf_counter()

    def __enter__(self) -> Any:
        watch = self.watch
        if watch.verbose:
            print(f"Initialization {self.number}")
        if watch.active:
            with watch.lock:
                self.context = watch.root.subcontext(
                    task_name="restart",
                    task_id=self.number,
                    max_subtasks=watch.max_iter * self.n_paths,
                )
                self.context.call_on_fit_task_begin(estimator=watch.estimator, **watch.given)
        return self if watch.active or watch.verbose else None

    def __exit__(self, *exception: object) -> None:
        if self.context is not None:
            with self.watch.lock:
                self.context.call_on_fit_task_end(
                    estimator=self.watch.estimator, **self.watch.given
                )

    def __call__(self, state: RunState, change: float) -> bool:
        watch = self.watch
        if watch.verbose and state.n_iter % watch.interval == 0:
            line = f"  Iteration {state.n_iter}"
            if watch.verbose >= 2:
                now = time.perf_counter()
                line += (
                    f"\t time lapse {now - self.clock:.5f}s\t lower bound {state.objective:.5f}"
                    f"\t change {change:.5f}"
                )
                self.clock = now
            print(line)
        if self.context is None:
            return False
        with watch.lock:
            iteration = self.context.subcontext(task_name="iteration")
            iteration.call_on_fit_task_begin(estimator=watch.estimator, **watch.given)
            return iteration.call_on_fit_task_end(
                estimator=watch.estimator,
                **watch.given,
                reconstruction_attributes=lambda: watch.estimator._fitted_attributes(
                    state.result(), watch.dtype
                ),
            )
