"""E-steps of plain EM and of SQUAREM, 40 starts on each set."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.special import gammaln
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris

STARTS = 40
TOL = 1e-10
ASKED = {"overlap": 2.0, "iris": 1.3, "london": 10.0}


def poisson_mixture() -> type:
    from emlearn import EMMixin
    from emlearn.em import Sums

    class PoissonMixture(EMMixin, BaseEstimator):
        """Two Poisson components: a model of one's own."""

        def __init__(self, tol=1e-3, max_iter=100, random_state=None, accelerate=None):
            self.tol = tol
            self.max_iter = max_iter
            self.random_state = random_state
            self.accelerate = accelerate

        def initial_parameters(self, X, sample_weight, random_state):
            return {
                "weights": random_state.dirichlet([1, 1]),
                "rates": random_state.uniform(0.3, 5, 2),
            }

        def e_step(self, parameters, X, sample_weight):
            x = X[:, :1]
            log_density = x * np.log(parameters["rates"]) - parameters["rates"] - gammaln(x + 1)
            joint = np.log(parameters["weights"]) + log_density
            rows = np.logaddexp.reduce(joint, axis=1)
            resp = np.exp(joint - rows[:, None]) * sample_weight[:, None]
            return Sums({"n": resp.sum(axis=0), "x": resp.T @ x[:, 0]}), rows @ sample_weight

        def m_step(self, statistics, parameters):
            n = statistics["n"]
            return {"weights": n / n.sum(), "rates": statistics["x"] / n}

    return PoissonMixture


def overlapping(separation: float, n: int, K: int, d: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(K, d)) * separation
    return np.vstack([rng.normal(size=(n // K, d)) * rng.uniform(0.5, 1.5, d) + m for m in means])


def cases():
    """Name, and a function (seed, accelerate) to a fit."""
    from emlearn.datasets import load_london_deaths
    from emlearn.mixture import GaussianMixture

    def gaussian(X, K):
        def fit(seed, accelerate):
            return GaussianMixture(
                K,
                init_params="random_from_data" if seed % 2 else "random",
                random_state=seed,
                tol=TOL,
                max_iter=20_000,
                accelerate=accelerate,
            ).fit(X)

        return fit

    yield "overlap 600x2 K=3", gaussian(overlapping(1.0, 600, 3, 2, 0), 3)
    yield "overlap 1000x3 K=3", gaussian(overlapping(0.8, 1000, 3, 3, 1), 3)
    yield "overlap 1000x2 K=5", gaussian(overlapping(1.2, 1000, 5, 2, 2), 5)
    yield "iris K=3", gaussian(load_iris().data, 3)
    model, deaths = poisson_mixture(), load_london_deaths()
    yield (
        "london deaths",
        lambda seed, accelerate: model(TOL, 20_000, seed, accelerate).fit(
            deaths.data, sample_weight=deaths.sample_weight
        ),
    )


def main(arguments: list[str]) -> None:
    warnings.simplefilter("ignore")
    print(
        f"{'set':<20}{'EM':>7}{'SQUAREM':>9}{'ratio':>8}{'asked':>7}{'higher':>8}{'lower':>7}{'fell':>6}"
        f"{'same':>6}{'apart':>9}"
    )
    for name, fit in cases():
        plain = [fit(seed, None) for seed in range(STARTS)]
        fast = [fit(seed, "squarem") for seed in range(STARTS)]
        gain = np.array([b.lower_bound_ - a.lower_bound_ for a, b in zip(plain, fast, strict=True)])
        steps = np.array([[a.n_e_steps_, b.n_e_steps_] for a, b in zip(plain, fast, strict=True)])
        fell = sum(np.any(np.diff(b.lower_bounds_) < -1e-7) for b in fast)
        same = np.abs(gain) < 1e-6
        asked = ASKED[name.split()[0]]
        print(
            f"{name:<20}{np.median(steps[:, 0]):>7.0f}{np.median(steps[:, 1]):>9.0f}"
            f"{np.median(steps[:, 0] / steps[:, 1]):>8.2f}{asked:>7}"
            f"{np.sum(gain > 1e-3):>8}{np.sum(gain < -1e-3):>7}{fell:>6}"
            f"{np.sum(same):>6}{np.abs(gain[same]).max():>9.1e}",
            flush=True,
        )
