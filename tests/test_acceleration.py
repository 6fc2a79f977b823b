"""SQUAREM beside the counts of SQUAREM, turboEM and daarem in R."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from emlearn import EMMixin
from emlearn.em import Sums
from emlearn.mixture import PoissonMixture

HERE = Path(__file__).parent / "reference"
CASES = {c["id"]: c for c in json.loads((HERE / "acceleration.json").read_text())["cases"]}
CORRELATIONS = np.loadtxt(HERE / "joreskog9.csv", delimiter=",", skiprows=1)
N = 145

# which of the four factors each variable may have, and where the fit begins: the demo of the R package SQUAREM
MAY = np.array([[1, 1, 1, 0]] * 4 + [[1, 1, 0, 1]] * 5, dtype=bool)
LOADINGS = np.array(
    [
        [0.5954912, -0.4893347, -0.3848925, 0.0],
        [0.6449102, -0.4408213, -0.3555598, 0.0],
        [0.7630006, 0.5053083, -0.0535340, 0.0],
        [0.7163828, 0.5258722, 0.0219100, 0.0],
        [0.6175647, -0.4714808, 0.0, 0.1931459],
        [0.6464100, -0.4628659, 0.0, 0.4606456],
        [0.6452737, -0.3260013, 0.0, -0.3622682],
        [0.7868222, 0.3690580, 0.0, 0.0630371],
        [0.7482302, 0.4326963, 0.0, 0.0431256],
    ]
)


class RestrictedFactors(EMMixin, BaseEstimator):
    """Four factors of nine variables, some loadings held at 0 (Joreskog 1967; Rubin & Thayer 1982).

    Rows are those of the correlation matrix, which is all that the likelihood of 145 observations needs.
    """

    total_scale = True

    def __init__(self, ecme=False, tol=1e-8, max_iter=20_000, accelerate=None):
        self.ecme = ecme
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate

    def initial_parameters(self, X, sample_weight, random_state):
        return {"loadings": LOADINGS, "noise": np.full(9, 1e-8)}

    def e_step(self, parameters, X, sample_weight):
        loadings, noise = parameters["loadings"], parameters["noise"]
        covariance = np.diag(noise) + loadings @ loadings.T
        inverse = np.linalg.inv(covariance)
        delta = inverse @ loadings
        cross = X @ delta
        factors = delta.T @ cross + np.eye(4) - loadings.T @ delta
        value = -0.5 * N * (np.linalg.slogdet(covariance)[1] + np.trace(inverse @ X))
        sums = {"cross": cross, "factors": factors, "rows": X}
        return Sums(sums, signed=("cross", "factors", "rows")), value

    def m_step(self, statistics, parameters):
        cross, factors, C = (statistics[name] for name in ("cross", "factors", "rows"))
        loadings, noise = np.zeros((9, 4)), np.empty(9)
        for j, may in enumerate(MAY):
            loadings[j, may] = np.linalg.solve(factors[np.ix_(may, may)], cross[j, may])
            noise[j] = C[j, j] - cross[j, may] @ loadings[j, may]
        if self.ecme:
            noise = self.newton(loadings, parameters["noise"], C)
        return {"loadings": loadings, "noise": noise}

    def newton(self, loadings, noise, C):
        """One step of Newton's in the logarithms of the noise, given the loadings (Liu & Rubin 1998)."""
        A = np.linalg.inv(np.diag(noise) + loadings @ loadings.T)
        B = N * A @ C @ A
        gradient = -0.5 * noise * (N * np.diag(A) - np.diag(B))
        hessian = 0.5 * np.outer(noise, noise) * (A * (N * A - 2 * B)) + np.diag(gradient)
        return np.exp(np.log(noise) - np.linalg.solve(hessian, gradient))


@pytest.mark.parametrize("ecme", [False, True], ids=["em", "ecme"])
def test_restricted_factors(ecme):
    expected = CASES["fa_restricted_ecme" if ecme else "fa_restricted_em"]["expected"]
    model = RestrictedFactors(ecme, tol=1e-9, accelerate="squarem").fit(CORRELATIONS)
    assert model.converged_
    # the objective is at least as good, within the tolerance of the case
    assert -model.lower_bound_ <= expected["squarem"]["objfn"] + 1e-6
    assert model.n_e_steps_ <= 1.5 * expected["squarem"]["fpevals"]
    assert np.all(model.loadings_[~MAY] == 0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_plain_em_of_the_restricted_factors_takes_the_steps_that_it_takes_in_r():
    expected = CASES["fa_restricted_ecme"]["expected"]["em"]
    model = RestrictedFactors(True, tol=0, max_iter=expected["fpevals"]).fit(CORRELATIONS)
    np.testing.assert_allclose(-model.lower_bound_, expected["objfn"], atol=1e-6)


def test_london_deaths():
    expected = CASES["london_times"]["expected"]
    counts = np.loadtxt(HERE / "london_times.csv", delimiter=",", skiprows=1)
    start = {"weights": [0.3, 0.7], "rates": [[1.0], [2.5]]}
    mixture = PoissonMixture(
        2, init_params=start, accelerate="squarem", tol=1e-13, max_iter=1000
    ).fit(counts[:, :1], sample_weight=counts[:, 1])
    total = -mixture.score(counts[:, :1], sample_weight=counts[:, 1]) * counts[:, 1].sum()
    assert total <= expected["squarem"]["objfn"] + 1e-6
    assert mixture.n_e_steps_ <= 1.5 * expected["squarem"]["fpevals"]
