"""Hidden Markov models beside hmmlearn: EM iterations from the same start.

Each cell is the time of a fit by hmmlearn divided by that of ours: the same number of iterations from the same
parameters (more of them on the smallest data, where checks would be measured otherwise), all of ``fit`` timed, with
hmmlearn's ``implementation`` "scaling" (the faster) and "log" (its default). Its priors are set to nothing;
log-likelihoods are asserted to agree to 1e-9 first. Then the memory that a fit of a million rows takes above its data.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from typing import Any

import numpy as np

from ._run import Row, alternate, geometric_mean, timed
from .families import Peak

# rows, features, states, sequences; what is asked beside "scaling" and beside "log"
CASES = [
    (500, 1, 3, 1, 1.5, 4),
    (100_000, 1, 3, 1, 4, 12),
    (100_000, 2, 5, 1, 5, 15),
    (50_000, 5, 20, 1, 6, 20),
    (20_000, 5, 50, 1, 6, 35),
    (100_000, 2, 5, 1000, 6, 20),
]
CATEGORICAL = (100_000, 50, 10, 100, 5, 15)
GEOMETRIC_MEAN = 5.5
MEMORY = (1_000_000, 2, 10, 500)


def chain(K: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A chain that stays where it is for a while."""
    transmat = rng.dirichlet(np.ones(K), size=K)
    return np.full(K, 1.0 / K), 0.8 * np.eye(K) + 0.2 * transmat


def states(n: int, transmat: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    edges, u = transmat.cumsum(axis=1), rng.uniform(size=n)
    z = np.zeros(n, dtype=int)
    for t in range(1, n):
        z[t] = min(int(np.searchsorted(edges[z[t - 1]], u[t])), len(edges) - 1)
    return z


def gaussian(
    n: int, d: int, K: int, n_sequences: int, covariance_type: str
) -> tuple[np.ndarray, dict[str, Any]]:
    """Rows of overlapping states, and parameters to begin with."""
    rng = np.random.default_rng(0)
    startprob, transmat = chain(K, rng)
    means = rng.normal(scale=3.0, size=(K, d))
    X = means[states(n, transmat, rng)] + rng.normal(size=(n, d))
    start = {
        "startprob": startprob,
        "transmat": 0.5 * transmat + 0.5 / K,
        "means": means + rng.normal(scale=0.3, size=(K, d)),
        "covariances": np.ones((K, d)) * 1.5,
    }
    if covariance_type == "full":
        start["covariances"] = np.tile(1.5 * np.eye(d), (K, 1, 1))
    return X, start


def symbols(n: int, V: int, K: int) -> tuple[np.ndarray, dict[str, Any]]:
    rng = np.random.default_rng(0)
    startprob, transmat = chain(K, rng)
    p = rng.dirichlet(np.ones(V), size=K)
    edges, z = p.cumsum(axis=1), states(n, transmat, rng)
    x = np.minimum((rng.uniform(size=n)[:, None] > edges[z]).sum(axis=1), V - 1)
    x[:V] = np.arange(V)
    start = {"startprob": startprob, "transmat": 0.5 * transmat + 0.5 / K}
    return x[:, None], {**start, "probabilities": [0.7 * p + 0.3 / V]}


def rivals(
    title: str, start: dict[str, Any], n_iter: int, covariance_type: str
) -> tuple[Any, dict[str, Any]]:
    """Our model, and hmmlearn's by implementation."""
    from hmmlearn import hmm as rival

    from emlearn.hmm import CategoricalHMM, GaussianHMM

    K = len(start["startprob"])
    names = {"startprob_": start["startprob"], "transmat_": start["transmat"]}
    settings = {"n_iter": n_iter, "tol": -np.inf, "init_params": ""}
    ours = {"init_params": start, "tol": 0, "max_iter": n_iter}
    theirs = {}
    for implementation in ("scaling", "log"):
        if title == "gaussian":
            model = rival.GaussianHMM(
                K,
                covariance_type,
                implementation=implementation,
                covars_prior=0.0,
                **settings,
            )
            more = {"means_": start["means"], "covars_": start["covariances"]}
        else:
            model = rival.CategoricalHMM(K, implementation=implementation, **settings)
            more = {"emissionprob_": start["probabilities"][0]}
        theirs[implementation] = (model, {**names, **more})
    if title == "gaussian":
        return GaussianHMM(K, covariance_type, reg_covar=0.0, **ours), theirs
    return CategoricalHMM(K, **ours), theirs


def fit_rival(model: Any, parameters: dict[str, Any], X: np.ndarray, lengths: list[int]) -> Any:
    model.n_features = X.shape[1] if hasattr(model, "covariance_type") else int(X.max()) + 1
    for name, value in parameters.items():
        setattr(model, name, value)
    return model.fit(X, lengths)


def iterations(n: int, options: argparse.Namespace) -> int:
    return max(options.iterations, 100_000 // n)


def compare(
    title: str, X: np.ndarray, start: dict[str, Any], n_sequences: int, options: Any
) -> list[tuple[float, float]]:
    """Median seconds of ours and of each implementation, agreement asserted first."""
    n, n_iter = len(X), iterations(len(X), options)
    lengths = [n // n_sequences] * n_sequences
    ours, theirs = rivals(title, start, n_iter, options.covariance)
    result = []
    for implementation, (model, parameters) in theirs.items():
        first = (
            timed(lambda: ours.fit(X, lengths=lengths)),
            timed(lambda m=model, p=parameters: fit_rival(m, p, X, lengths)),
        )
        assert ours.n_iter_ == len(model.monitor_.history) == n_iter, implementation
        # the last value of its history belongs to the parameters before the last M-step
        np.testing.assert_allclose(
            ours.lower_bounds_[-2] * n, model.monitor_.history[-1], rtol=1e-9
        )
        result.append(
            alternate(
                lambda: ours.fit(X, lengths=lengths),
                lambda m=model, p=parameters: fit_rival(m, p, X, lengths),
                options.repeats,
                first,
            )
        )
    return result


def memory(options: argparse.Namespace) -> int:
    from emlearn.hmm import GaussianHMM

    n, d, K, asked = MEMORY
    X, start = gaussian(n, d, K, 1, "full")
    model = GaussianHMM(K, init_params=start, tol=0, max_iter=2)
    with Peak() as peak:
        seconds = timed(lambda: model.fit(X))
    if peak.above is None:
        return 0
    above = peak.above / 2**20
    print(
        f"{f'{n}, {d}, {K}':>30}  a fit takes at most {above:.0f} MiB above X (asked: below {asked});"
        f" {1e3 * seconds / 3:.0f} ms an E-step"
    )
    return int(above >= asked)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks hmm", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each (default 5)")
    parser.add_argument("--iterations", type=int, default=20, help="EM iterations (default 20)")
    parser.add_argument("--covariance", choices=("diag", "full"), default="diag")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    print(f"{'rows, d, K, sequences':>30}  {'/ scaling':>10}{'':14}{'/ log':>10}")
    short, ratios = 0, []
    rows = [("gaussian", *case) for case in CASES] + [("categorical", *CATEGORICAL)]
    for title, n, d, K, n_sequences, *asked in rows:
        if title == "gaussian":
            X, start = gaussian(n, d, K, n_sequences, options.covariance)
        else:
            X, start = symbols(n, d, K)
        row = Row(f"{f'{n}, {d}, {K}, {n_sequences}':>30}")
        for (a, b), least in zip(
            compare(title, X, start, n_sequences, options), asked, strict=True
        ):
            row.add(a / iterations(n, options), b / iterations(n, options), least)
        print(row, flush=True)
        ratios.append(row.cells[0][0])
        short += row.short
    mean = geometric_mean(ratios)
    print(f"geometric mean beside scaling {mean:.1f} (asked {GEOMETRIC_MEAN})")
    short += memory(options) + (mean < GEOMETRIC_MEAN)
    if short:
        raise SystemExit(f"{short} figures below what is asked")
