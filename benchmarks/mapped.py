"""A Gaussian mixture of a file mapped into memory: resident memory, and seconds beside the same fit in memory."""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ._run import timed

ASKED_MB, ASKED_RATIO = 300.0, 0.7


def make(path: Path, n: int, d: int, K: int) -> np.memmap:
    """Rows of K Gaussians, written a piece at a time."""
    rows = np.memmap(path, dtype=np.float64, mode="w+", shape=(n, d))
    means = 2.0 * np.random.default_rng(0).normal(size=(K, d))
    for begin in range(0, n, 100_000):
        rng = np.random.default_rng(begin)
        piece = rng.normal(size=(min(100_000, n - begin), d))
        rows[begin : begin + len(piece)] = piece + means[rng.integers(K, size=len(piece))]
    rows.flush()
    del rows
    return np.memmap(path, dtype=np.float64, mode="r", shape=(n, d))


def resident_mb() -> float:
    """Resident memory of this process, pages of mapped files included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Peak(threading.Thread):
    """The most resident memory while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self._done = 0.0, threading.Event()

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self.join()

    def run(self) -> None:
        while not self._done.wait(0.02):
            self.peak = max(self.peak, resident_mb())


def main(arguments: list[str]) -> None:
    from emlearn.mixture import GaussianMixture

    parser = argparse.ArgumentParser(prog="python -m benchmarks mapped", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--components", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=5)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", ConvergenceWarning)
    n, d, K = options.rows, options.features, options.components
    with tempfile.TemporaryDirectory() as folder:
        X = make(Path(folder) / "rows.bin", n, d, K)

        def model(max_iter: int, **settings: object) -> GaussianMixture:
            return GaussianMixture(K, tol=0, max_iter=max_iter, random_state=0, **settings)

        few = model(0).fit(X[::200])
        start = {
            "weights_init": few.weights_,
            "means_init": few.means_,
            "precisions_init": few.precisions_,
        }
        before = resident_mb()
        with Peak() as peak:
            begun = time.perf_counter()
            mapped = model(options.iterations, **start).fit(X)
            seconds = time.perf_counter() - begun
        above = peak.peak - before
        print(
            f"{n} x {d}, K={K}, {X.nbytes / 1e6:.0f} MB in a file; the whole fit took {seconds:.1f} s"
        )
        print(f"resident memory above the start: {above:.0f} MB, asked below {ASKED_MB:.0f}")
        whole = np.array(X)
        inside = model(options.iterations, **start).fit(whole)
        np.testing.assert_allclose(mapped.means_, inside.means_, rtol=1e-10)
        np.testing.assert_allclose(mapped.covariances_, inside.covariances_, rtol=1e-8, atol=1e-12)
        ratios = []
        for _ in range(3):
            each = []
            for data in (X, whole):
                more = timed(lambda data=data: model(1 + options.iterations, **start).fit(data))
                one = timed(lambda data=data: model(1, **start).fit(data))
                each.append((more - one) / options.iterations)
            ratios.append(each[1] / each[0])
            print(f"an iteration: {each[0]:.2f} s mapped, {each[1]:.2f} s in memory")
        print(f"as fast for a row: {np.median(ratios):.2f} times, asked {ASKED_RATIO:g}")
