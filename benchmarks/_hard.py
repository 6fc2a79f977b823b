"""Eight data sets on which EM has many optima."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

__all__ = ["Hard", "hard_sets"]

_WREATH = Path(__file__).resolve().parent.parent / "tests" / "reference" / "wreath.csv"


@dataclass(frozen=True)
class Hard:
    """Rows, and the model that is fitted to them; ``chain`` says that they are a sequence."""

    name: str
    X: np.ndarray
    n_components: int
    covariance_type: str
    chain: bool = False


def hard_sets() -> Iterator[Hard]:
    """The eight."""
    yield Hard("overlap d=2 K=8", _round(5000, 2, 8, 3.5, 8), 8, "diag")
    yield Hard("overlap d=5 K=10", _round(4000, 5, 10, 1.8, 7), 10, "full")
    yield Hard("anisotropic d=3 K=10", _stretched(3000, 3, 10, 2), 10, "full")
    yield Hard("parallel K=2", _parallel(600, 3), 2, "full")
    yield Hard("digits d=20 K=10", _digits(20), 10, "diag")
    yield Hard("wreath K=14", np.loadtxt(_WREATH, delimiter=",", skiprows=1), 14, "full")
    yield Hard("chevrons K=6", _chevrons(4), 6, "full")
    yield Hard("HMM d=2 K=20", _sequence(4000, 2, 20, 5), 20, "diag", chain=True)


def _round(n: int, d: int, K: int, spread: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(K, d)) * spread
    scales = rng.uniform(0.6, 1.4, size=(K, d))
    labels = rng.choice(K, size=n, p=rng.dirichlet(np.full(K, 5.0)))
    return means[labels] + rng.normal(size=(n, d)) * scales[labels]


def _stretched(n: int, d: int, K: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(K, d)) * 2.0
    labels = rng.choice(K, size=n, p=rng.dirichlet(np.full(K, 5.0)))
    turns = np.linalg.qr(rng.normal(size=(K, d, d)))[0] * np.geomspace(2.5, 0.15, d)
    return means[labels] + np.einsum("nij,nj->ni", turns[labels], rng.normal(size=(n, d)))


def _parallel(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2)) * [10.0, 0.3]
    X[: n // 2, 1] += 2.0
    return X


def _digits(d: int) -> np.ndarray:
    return PCA(d, random_state=0).fit_transform(load_digits().data)


def _chevrons(seed: int) -> np.ndarray:
    """Three V, one inside the other, of two thin bars each."""
    rng = np.random.default_rng(seed)
    t, side = rng.uniform(0.0, 5.0, size=1500), np.tile([-1.0, 1.0], 750)
    level = 1.5 * rng.integers(3, size=1500)
    return np.column_stack([side * t, t + level]) + rng.normal(scale=0.15, size=(1500, 2))


def _sequence(n: int, d: int, K: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    transmat = 0.7 * np.eye(K) + 0.3 * rng.dirichlet(np.full(K, 0.3), size=K)
    edges, u = transmat.cumsum(axis=1), rng.uniform(size=n)
    states = np.zeros(n, dtype=int)
    for t in range(1, n):
        states[t] = min(int(np.searchsorted(edges[states[t - 1]], u[t])), K - 1)
    means, scales = rng.normal(size=(K, d)) * 3.0, rng.uniform(0.4, 1.2, size=(K, d))
    return means[states] + rng.normal(size=(n, d)) * scales[states]
