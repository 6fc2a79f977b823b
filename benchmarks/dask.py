"""What goes over the wire in an iteration of a fit to a Dask array, and what the client holds, for two numbers of rows.

Usage: ``python -m benchmarks dask [--workers 2] [--rows 200000 2000000] [--partitions 8]``
"""

from __future__ import annotations

import argparse
import os
import pickle
import resource
import time
import warnings


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks dask")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=int, nargs=2, default=[200_000, 2_000_000])
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=10)
    given = parser.parse_args(arguments)

    import dask
    import dask.array as da
    from distributed import Client, LocalCluster, wait

    from emlearn._partitions import Partitions
    from emlearn.mixture import GaussianMixture

    def partition(number: int, n: int, d: int):  # here, so that it travels by value
        import numpy as np

        rng = np.random.default_rng(number)
        return rng.normal(size=(n, d)) + 3.0 * rng.integers(3, size=(n, 1))

    received: list[int] = []
    compute = Partitions.compute

    def watched(self: Partitions, value: object) -> object:
        found = compute(self, value)
        received.append(len(pickle.dumps(found)))
        return found

    Partitions.compute = watched
    warnings.simplefilter("ignore")
    d, k = given.features, given.partitions
    settings = dict(n_components=3, random_state=0, tol=0.0, max_iter=given.iterations)
    cluster = LocalCluster(
        n_workers=given.workers, processes=True, threads_per_worker=1, dashboard_address=":0"
    )
    with cluster, Client(cluster) as client:
        print(f"{given.workers} worker processes of {os.cpu_count()} cores, {k} partitions")
        print(
            f"{'rows':>12}{'X':>10}{'sample':>10}{'iteration':>12}{'client grows':>14}{'time':>9}"
        )
        for n in (10 * k, *given.rows):
            make = dask.delayed(partition)
            rows = n // k
            parts = [da.from_delayed(make(i, rows, d), (rows, d), float) for i in range(k)]
            X = client.persist(da.concatenate(parts))
            wait(X)
            received.clear()
            before = _resident()
            begun = time.perf_counter()
            GaussianMixture(**settings).fit(X)
            seconds = (time.perf_counter() - begun) / given.iterations
            grown = _resident() - before
            if n == 10 * k:  # what is loaded once
                continue
            print(
                f"{n:>12,}{n * d * 8 / 1e6:>7.1f} MB{received[0] / 1e6:>7.1f} MB{max(received[1:]):>6} bytes"
                f"{grown / 1e6:>11.1f} MB{1e3 * seconds:>6.0f} ms"
            )
