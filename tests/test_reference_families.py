"""Numbers of trusted software for families other than the Gaussian."""

import json
from pathlib import Path

import numpy as np
import pytest

from emlearn.datasets import load_faithful
from emlearn.mixture import (
    BernoulliMixture,
    CategoricalMixture,
    MultinomialMixture,
    PoissonMixture,
    StudentTMixture,
)

HERE = Path(__file__).parent / "reference"
LIMIT = {"tol": 1e-14, "max_iter": 20_000}


def cases(file):
    return {c["id"]: c for c in json.loads((HERE / file).read_text())["cases"]}


def table(name):
    return np.genfromtxt(HERE / f"{name}.csv", delimiter=",", skip_header=1)


def by_weight(mixture):
    return np.argsort(-mixture.weights_, kind="stable")


# ------------------------------------------------------------------ counts


@pytest.mark.parametrize("K", [2, 3, 4])
def test_multinomial_best_of_many_starts(K):
    case = cases("multinomial_mixture.json")[f"water_K{K}"]
    expected, tolerance = case["expected"], case["tolerance"]
    X = table("waterdata_counts")
    mixture = MultinomialMixture(K, n_init=10, random_state=0, accelerate="squarem", **LIMIT).fit(X)
    value = expected["loglik_with_multinomial_constant"]
    assert mixture.score(X) * len(X) == pytest.approx(value, abs=1e-5)
    assert mixture.n_parameters_ == expected["nparam"]
    assert mixture.bic(X) == pytest.approx(expected["bic"], abs=1e-4)
    order = by_weight(mixture)
    np.testing.assert_allclose(
        mixture.weights_[order], expected["weights"], atol=tolerance["weights"]
    )
    np.testing.assert_allclose(
        mixture.probabilities_[order], expected["probs"], atol=tolerance["probs"]
    )


@pytest.mark.parametrize("K", [3, 4])
def test_multinomial_trace_from_given_parameters(K):
    case = cases("multinomial_mixture.json")[f"water_vignette_K{K}"]
    X, theta = table("waterdata_vignette14"), table("waterdata_vignette_theta4_start")[:K]
    start = {
        "weights": np.full(K, 1 / K),
        "probabilities": theta / theta.sum(axis=1, keepdims=True),
    }
    mixture = MultinomialMixture(K, init_params=start, **LIMIT).fit(X)
    trace = np.array(case["expected"]["loglik_trace_with_constant"])
    first = MultinomialMixture(K, init_params=start, max_iter=0).fit(X).lower_bound_
    found = np.r_[first, mixture.lower_bounds_][: len(trace)] * len(X)
    np.testing.assert_allclose(found, trace, atol=1e-6)
    limit = case["expected"]["loglik_with_multinomial_constant"]
    assert mixture.lower_bound_ * len(X) == pytest.approx(limit, abs=1e-4)


def test_poisson_london_deaths():
    expected = cases("poisson_mixture.json")["london_times_mle"]["expected"]
    deaths, days = table("london_times").T
    mixture = PoissonMixture(2, random_state=0, accelerate="squarem", tol=1e-16, max_iter=5000)
    mixture.fit(deaths[:, None], sample_weight=days)
    order = np.argsort(mixture.rates_[:, 0])
    np.testing.assert_allclose(mixture.rates_[order, 0], expected["rate"], atol=1e-6)
    np.testing.assert_allclose(mixture.weights_[order], expected["weight"], atol=1e-6)
    assert mixture.score(deaths[:, None], sample_weight=days) * days.sum() == pytest.approx(
        expected["loglik"], abs=1e-8
    )
    assert mixture.aic(deaths[:, None], sample_weight=days) == pytest.approx(expected["aic"])
    assert mixture.bic(deaths[:, None], sample_weight=days) == pytest.approx(expected["bic"])


def test_poisson_first_iterates():
    expected = cases("poisson_mixture.json")["london_times_from_moments"]["expected"]
    deaths, days = table("london_times").T
    weight, *rates = expected["iterates_first10"][0]
    start = {"weights": [weight, 1 - weight], "rates": np.array(rates)[:, None]}
    for n, (iterate, value) in enumerate(
        zip(expected["iterates_first10"], expected["loglik_first10"], strict=False)
    ):
        mixture = PoissonMixture(2, init_params=start, max_iter=n, tol=0)
        with pytest.warns(match="did not converge") if n else _nothing():
            mixture.fit(deaths[:, None], sample_weight=days)
        np.testing.assert_allclose([mixture.weights_[0], *mixture.rates_[:, 0]], iterate, atol=1e-9)
        assert mixture.lower_bound_ * days.sum() == pytest.approx(value, abs=1e-8)


class _nothing:
    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return False


# -------------------------------------------------------------- categories


@pytest.mark.parametrize("K", [2, 3, 4])
def test_bernoulli_with_missing_answers(K):
    case = cases("bernoulli_mixture.json")[f"housevotes_K{K}"]
    expected = case["expected"]
    X = table("housevotes")
    assert np.isnan(X).sum() == 392
    mixture = BernoulliMixture(K, n_init=20, random_state=0, accelerate="squarem", **LIMIT).fit(X)
    assert mixture.score(X) * len(X) == pytest.approx(expected["loglik"], abs=1e-4)
    assert mixture.n_parameters_ == expected["nparam"]
    assert mixture.bic(X) == pytest.approx(expected["bic"], abs=1e-3)
    order = by_weight(mixture)
    np.testing.assert_allclose(mixture.probabilities_[order], expected["probs"], atol=1e-3)


@pytest.mark.parametrize("K", [2, 3, 4])
def test_bernoulli_trace_from_given_parameters(K):
    expected = cases("bernoulli_mixture.json")[f"housevotes_K{K}"]["expected"]
    X = table("housevotes")
    k, j = np.arange(1, K + 1)[:, None], np.arange(1, 17)
    start = {
        "weights": np.full(K, 1 / K),
        "probabilities": 0.25 + 0.5 * ((k + j) % 2) + 0.02 * k * ((j % 3) - 1),
    }
    mixture = BernoulliMixture(K, init_params=start, tol=0, max_iter=30)
    with pytest.warns(match="did not converge"):
        mixture.fit(X)
    first = BernoulliMixture(K, init_params=start, max_iter=0).fit(X).lower_bound_
    trace = np.array(expected["trace_fixed_start"]).ravel()
    found = np.r_[first, mixture.lower_bounds_] * len(X)
    n = min(len(trace), len(found))
    np.testing.assert_allclose(found[:n], trace[:n], atol=1e-7)


def test_latent_classes_with_frequencies():
    expected = cases("latent_class.json")["pleural_K2"]["expected"]
    data = table("pleural")
    X, freq = data[:, :3].astype(int), data[:, 3]
    mixture = CategoricalMixture(2, n_init=5, random_state=0, accelerate="squarem", **LIMIT)
    mixture.fit(X, sample_weight=freq)
    assert mixture.score(X, sample_weight=freq) * freq.sum() == pytest.approx(
        expected["loglik"], abs=1e-5
    )
    assert mixture.n_parameters_ == expected["nparam"]
    assert mixture.bic(X, sample_weight=freq) == pytest.approx(expected["bic"], abs=1e-4)
    assert mixture.aic(X, sample_weight=freq) == pytest.approx(expected["aic"], abs=1e-4)
    order = by_weight(mixture)
    np.testing.assert_allclose(mixture.weights_[order], expected["weights"], atol=1e-4)
    for name, found in zip("ABC", mixture.probabilities_, strict=True):
        np.testing.assert_allclose(found[order], expected["probs"][name], atol=1e-3)


# --------------------------------------------------------------- Student-t


@pytest.mark.parametrize(
    "name",
    [
        "stackloss_single_nu3",
        "faithful_G2_nu10",
        "faithful_G2_common_nu",
        "faithful_G2_free_nu_cap200",
    ],
)
def test_student_t(name):
    case = cases("t_mixture.json")[name]
    expected, settings = case["expected"], case["settings"]
    X = table("stackloss") if name.startswith("stackloss") else load_faithful().data
    df = settings["df"]
    df = {"common": "tied", "free": "free"}[df] if isinstance(df, str) else float(df["fixed"])
    K = settings["components"]
    start = (X[:, 1] <= 68).astype(int) if K == 2 else np.zeros(len(X), dtype=int)
    mixture = StudentTMixture(
        K,
        degrees_of_freedom=df,
        reg_covar=0,
        init_params=start,
        accelerate="squarem" if isinstance(df, str) else None,
        degrees_of_freedom_bounds=(0.1, settings["df_upper_bound"] or 200.0),
        **LIMIT,
    ).fit(X)
    assert mixture.lower_bound_ * len(X) == pytest.approx(expected["loglik"], abs=1e-6)
    assert mixture.n_parameters_ == expected["nparam"]
    assert mixture.bic(X) == pytest.approx(expected["bic"], abs=1e-5)
    np.testing.assert_allclose(mixture.weights_, np.atleast_1d(expected["weights"]), atol=1e-4)
    np.testing.assert_allclose(mixture.means_, expected["means"], atol=1e-4)
    np.testing.assert_allclose(mixture.scales_, expected["scales"], atol=1e-3)
    np.testing.assert_allclose(mixture.degrees_of_freedom_, expected["df"], atol=0.01)
