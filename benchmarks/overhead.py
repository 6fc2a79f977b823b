"""What the loop, the reduction and the callbacks cost an iteration, with a model that costs nothing."""

from __future__ import annotations

import time

import numpy as np
from sklearn.base import BaseEstimator


def main(arguments: list[str]) -> None:
    from emlearn import EMMixin
    from emlearn.em import Sums

    nothing = Sums({"n": 1.0})

    class Idle(EMMixin, BaseEstimator):
        def __init__(self, tol: float = 0.0, max_iter: int = 1, n_jobs: int = 1) -> None:
            self.tol = tol
            self.n_jobs = n_jobs
            self.max_iter = max_iter

        def initial_parameters(self, X, sample_weight, random_state):
            return {"theta": 0.0}

        def e_step(self, parameters, X, sample_weight):
            return nothing, -parameters["theta"]

        def m_step(self, statistics, parameters):
            return {"theta": parameters["theta"] * 0.999}

    class Watcher:
        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context): ...

    import warnings

    warnings.simplefilter("ignore")
    one_block, blocks = np.zeros((10, 1)), np.zeros((60_000, 1))
    print("microseconds an iteration (asked: at most 20)")
    for title, callbacks, X, n_jobs in (
        ("one block", (), one_block, 1),
        ("one block, one callback", (Watcher(),), one_block, 1),
        ("four blocks", (), blocks, 1),
        ("four blocks, one callback", (Watcher(),), blocks, 1),
        ("four blocks, two threads", (), blocks, 2),
    ):
        cost = []
        for _ in range(5):
            seconds = []
            for n in (1000, 11000):
                model = Idle(max_iter=n, n_jobs=n_jobs).set_callbacks(*callbacks)
                begun = time.perf_counter()
                model.fit(X)
                seconds.append(time.perf_counter() - begun)
            cost.append((seconds[1] - seconds[0]) / 10000)
        print(f"  {title:<28}{1e6 * sorted(cost)[2]:6.1f}")
