"""Variants of EM on the colours of a photograph, from the same start: passes over the rows, seconds, likelihood."""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from typing import Any

import numpy as np
from sklearn.datasets import load_sample_image
from sklearn.exceptions import ConvergenceWarning

VARIANTS: dict[str, dict[str, Any]] = {
    "batch": {},
    "squarem": {"accelerate": "squarem"},
    "incremental": {"algorithm": "incremental"},
    "online": {"algorithm": "online"},
    "hard": {"e_step": "hard"},
    "stochastic": {"e_step": "stochastic"},
    "annealed": {"annealing": [2.0, 1.4]},
}


def main(arguments: list[str]) -> None:
    from emlearn.mixture import GaussianMixture

    parser = argparse.ArgumentParser(prog="python -m benchmarks variants", description=__doc__)
    parser.add_argument("--components", type=int, default=8)
    parser.add_argument("--tol", type=float, default=1e-5)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", ConvergenceWarning)
    X = load_sample_image("china.jpg").reshape(-1, 3) / 255.0
    K = options.components
    few = GaussianMixture(K, max_iter=0, random_state=0).fit(X[::20])
    start = {
        "weights_init": few.weights_,
        "means_init": few.means_,
        "precisions_init": few.precisions_,
    }
    print(f"china.jpg: {len(X)} rows of 3 colours, K={K}, tol={options.tol:g}")
    print(f"{'variant':>12}  {'passes':>6}  {'seconds':>8}  mean log-likelihood")
    models = {
        name: GaussianMixture(
            K, tol=options.tol, max_iter=2000, random_state=0, **start, **settings
        )
        for name, settings in VARIANTS.items()
    }
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(options.repeats):
        for name, model in models.items():
            begun = time.perf_counter()
            model.fit(X)
            times[name].append(time.perf_counter() - begun)
    for name, model in models.items():
        seconds = statistics.median(times[name])
        print(f"{name:>12}  {model.n_e_steps_:>6}  {seconds:>8.2f}  {model.score(X):.4f}")
    assert np.isfinite([model.score(X[:100]) for model in models.values()]).all()
