"""Mixtures of other families: beside StepMix, beside our own Gaussian, and by themselves.

Categorical and binary mixtures run the same number of EM steps from the same start as StepMix, all of ``fit``
timed, checks and encoding included; log-likelihoods are asserted to agree. Sparse counts are asked nothing of
but the memory that a fit takes above its data, in units of the non-zeros and of the parameters.
"""

from __future__ import annotations

import argparse
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from ._mixtures import make
from ._run import alternate, timed

STEPS = 20


def categories(n: int, d: int, K: int, V: int) -> np.ndarray:
    """Codes drawn from overlapping classes."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(V), size=(K, d)).cumsum(axis=2)
    z = rng.integers(K, size=n)
    u = rng.uniform(size=(n, d))
    return sum((u > p[z, :, v]).astype(np.int64) for v in range(V - 1))


def shares(n: int, K: int) -> np.ndarray:
    resp = np.random.default_rng(1).uniform(size=(n, K))
    return resp / resp.sum(axis=1, keepdims=True)


def stepmix(X: np.ndarray, resp: np.ndarray, measurement: str) -> Any:
    """A StepMix that begins with these responsibilities; None where it is not installed."""
    try:
        from stepmix import StepMix
    except ImportError:
        return None

    class Started(StepMix):
        def _initialize_parameters(self, X, random_state):
            self.log_resp_ = np.log(np.clip(resp, 1e-15, 1 - 1e-15))
            self.weights_ = np.full(resp.shape[1], 1.0 / resp.shape[1])
            self._initialize_parameters_measurement(X, random_state)

    settings = {"abs_tol": 0.0, "rel_tol": 0.0, "max_iter": STEPS, "progress_bar": 0}
    return Started(resp.shape[1], measurement=measurement, **settings)


def beside_stepmix(options: argparse.Namespace) -> int:
    from emlearn.mixture import BernoulliMixture, CategoricalMixture

    short = 0
    for title, n, d, K, V, asked in (
        ("categorical", 100_000, 20, 5, 5, 10),
        ("categorical", 10_000, 10, 3, 5, 10),
        ("binary", 100_000, 20, 5, 2, None),
    ):
        X, resp = categories(n, d, K, V), shares(n, K)
        tables = [
            np.stack([resp[X[:, j] == v].sum(axis=0) for v in range(V)], axis=1) for j in range(d)
        ]
        probabilities = [table / table.sum(axis=1, keepdims=True) for table in tables]
        start = {"weights": np.full(K, 1.0 / K), "probabilities": probabilities}
        Ours = CategoricalMixture
        if title == "binary":
            Ours, X = BernoulliMixture, X.astype(np.float64)
            start["probabilities"] = np.array(probabilities)[:, :, 1].T
        ours = Ours(K, init_params=start, tol=0, max_iter=STEPS)
        theirs = stepmix(X, resp, title)
        name = f"{title} {n}, {d}, {K}"
        if theirs is None:
            seconds = min(timed(lambda: ours.fit(X)) for _ in range(options.repeats))  # noqa: B023
            print(f"{name:<32}{1e3 * seconds:>9.1f} ms   StepMix is not installed", flush=True)
            continue
        first = timed(lambda: ours.fit(X)), timed(lambda: theirs.fit(X))  # noqa: B023
        np.testing.assert_allclose(ours.lower_bound_, theirs.lower_bound_buffer_[-1], rtol=1e-9)
        assert ours.n_iter_ == theirs.n_iter_ == STEPS
        a, b = alternate(
            lambda: ours.fit(X),  # noqa: B023
            lambda: theirs.fit(X),  # noqa: B023
            min(options.repeats, 3),
            first,
        )
        below = asked is not None and b / a < asked
        short += below
        mark = f"/{asked}{'!' if below else ''}" if asked else ""
        print(f"{name:<32}{1e3 * a:>9.1f} ms   StepMix / ours {b / a:.1f}{mark}", flush=True)
    return short


def iteration(make_model: Callable[[int], Any], X: Any, repeats: int) -> float:
    """Median seconds of an iteration: longer fits less shorter ones."""
    short, long = make_model(1), make_model(11)
    short.fit(X)
    return float(
        np.median(
            [
                (timed(lambda: long.fit(X)) - timed(lambda: short.fit(X))) / 10
                for _ in range(repeats)
            ]
        )
    )


def beside_ourselves(options: argparse.Namespace) -> None:
    from emlearn.mixture import GaussianMixture, PoissonMixture, StudentTMixture

    n, d, K = 100_000, 10, 10
    X = make(n, d, K)
    labels = np.random.RandomState(0).randint(K, size=n)

    def settings(n_iter: int) -> dict:
        return {"tol": 0, "max_iter": n_iter, "init_params": labels}

    for covariance_type in ("full", "diag"):
        t, gaussian = (
            iteration(
                lambda m, Model=Model: Model(
                    K,
                    covariance_type=covariance_type,  # noqa: B023
                    **settings(m),
                ),
                X,
                options.repeats,
            )
            for Model in (StudentTMixture, GaussianMixture)
        )
        name = f"Student t {covariance_type} {n}, {d}, {K}"
        print(f"{name:<32}{1e3 * t:>9.1f} ms an iteration, {t / gaussian:.1f} of the Gaussian's")
    rng = np.random.default_rng(0)
    K = 5
    rates = rng.gamma(2.0, 2.0, size=(K, d))
    counts = rng.poisson(rates[rng.integers(K, size=n)]).astype(np.float64)
    labels = labels % K
    seconds = iteration(lambda m: PoissonMixture(K, **settings(m)), counts, options.repeats)
    print(f"{f'Poisson {n}, {d}, {K}':<32}{1e3 * seconds:>9.1f} ms an iteration")


def documents(n: int, d: int, K: int, words: int) -> sparse.csr_matrix:
    rng = np.random.default_rng(0)
    topics = rng.dirichlet(np.full(d, 0.05), size=K).cumsum(axis=1)
    topics /= topics[:, -1:]
    columns = np.concatenate(
        [np.searchsorted(topics[k], rng.uniform(size=words)) for k in rng.integers(K, size=n)]
    )
    rows = np.repeat(np.arange(n), words)
    X = sparse.coo_matrix((np.ones(n * words), (rows, columns)), shape=(n, d)).tocsr()
    X.sum_duplicates()
    return X


class Peak:
    """The most resident memory during a ``with``, above that at its beginning; None where /proc has none."""

    def __enter__(self) -> Peak:
        self.above, self._done = None, threading.Event()
        self._first = self._resident()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._watcher.join()

    @staticmethod
    def _resident() -> int | None:
        status = Path("/proc/self/status")
        if not status.exists():
            return None
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def _watch(self) -> None:
        while self._first is not None and not self._done.is_set():
            self.above = max(self.above or 0, self._resident() - self._first)
            time.sleep(0.005)


def sparse_counts(options: argparse.Namespace) -> None:
    from emlearn.mixture import MultinomialMixture

    n, d, K = 20_000, 10_000, 50
    X = documents(n, d, K, 115)
    labels = np.random.RandomState(0).randint(K, size=n)
    held = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    parameters = K * d * 8

    def model(n_iter: int) -> Any:
        return MultinomialMixture(K, tol=0, max_iter=n_iter, init_params=labels)

    seconds = iteration(model, X, min(options.repeats, 3))
    tracemalloc.start()
    model(3).fit(X)
    traced = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    with Peak() as peak:
        model(3).fit(X)
    name = f"multinomial {n}, {d}, {K}"
    print(f"{name:<32}{1e3 * seconds:>9.1f} ms an iteration, {X.nnz / n:.0f} non-zeros a row")
    resident = "unknown" if peak.above is None else f"{peak.above / 2**20:.0f}"
    print(
        f"{'':<32}non-zeros {held / 2**20:.0f} MiB, parameters {parameters / 2**20:.1f} MiB; a fit takes at most"
        f" {traced / 2**20:.0f} MiB more: {traced / (held + parameters):.2f} of both together"
        f" (resident {resident} MiB)"
    )


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks families", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each (default 5)")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    short = beside_stepmix(options)
    beside_ourselves(options)
    sparse_counts(options)
    if short:
        raise SystemExit(f"{short} rows below what is asked")
