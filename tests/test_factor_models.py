"""Factor analysis and probabilistic principal components: laws, numbers of trusted software, bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
import sklearn.decomposition
from sklearn.exceptions import ConvergenceWarning

from emlearn.decomposition import FactorAnalysis, ProbabilisticPCA
from emlearn.exceptions import HeywoodWarning

HERE = Path(__file__).parent / "reference" / "factor_analysis"
CASES = {c["id"]: c for c in json.loads((HERE / "expected.json").read_text())["cases"]}
LIMIT = {"tol": 1e-10, "max_iter": 5000}
pytestmark = pytest.mark.filterwarnings("ignore::emlearn.exceptions.HeywoodWarning")

ANALYSES = [name for name in CASES if name.startswith(("ability", "harman"))]
COMPLETE = [name for name in CASES if name.startswith("ppca") and "missing" not in name]


def table(file, **options):
    return np.genfromtxt(HERE / file, delimiter=",", skip_header=1, **options)


def rows_with(covariance, n):
    """Rows of mean 0 whose covariance, with divisor n, is exactly this."""
    d = len(covariance)
    base = np.random.RandomState(0).standard_normal((n, d))
    base = np.linalg.qr(base - base.mean(axis=0))[0] * np.sqrt(n)
    values, vectors = np.linalg.eigh(covariance)
    return base @ (np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T)


def correlations_of(case):
    found = np.genfromtxt(HERE / case["data"], delimiter=",", skip_header=1)[:, 1:]
    scale = np.sqrt(np.diag(found))
    return found / np.outer(scale, scale), scale


# ----------------------------------------------------- numbers of trusted software


@pytest.mark.parametrize("name", ANALYSES)
def test_factor_analysis_of_a_correlation_matrix(name):
    case = CASES[name]
    expected, tolerance = case["expected"], case["tolerance"]
    q, n = case["settings"]["factors"], case["settings"]["n"]
    R, scale = correlations_of(case)
    X = rows_with(R, n)
    model = FactorAnalysis(q).fit(X)
    value = expected["loglik_standardized"]
    if expected["heywood"] is not None:  # whose likelihood rises up to the edge
        value = max(value, *(bounded["loglik_standardized"] for bounded in expected["heywood"]))
        assert model.loglike_[-1] >= value - 1e-6
    else:
        assert model.loglike_[-1] == pytest.approx(value, abs=tolerance["loglik"])
        np.testing.assert_allclose(
            model.noise_variance_,
            expected["uniquenesses_standardized"],
            atol=tolerance["uniquenesses_standardized"],
        )
        product = model.components_.T @ model.components_
        wanted = expected["communality_matrix_standardized"]
        np.testing.assert_allclose(
            product, wanted, atol=tolerance["communality_matrix_standardized"]
        )
    theirs = sklearn.decomposition.FactorAnalysis(q, tol=1e-8, svd_method="lapack").fit(X)
    assert model.score(X) >= theirs.score(X) - 1e-10
    assert model.n_parameters_ == expected["nparam"] + len(R)
    # in their units
    raw = FactorAnalysis(q).fit(X * scale)
    assert raw.loglike_[-1] == pytest.approx(model.loglike_[-1] - n * np.log(scale).sum(), abs=1e-6)
    if expected["heywood"] is None:
        np.testing.assert_allclose(
            raw.noise_variance_, expected["noise_variance_raw"], rtol=1e-4, atol=1e-4
        )


def test_heywood_case_within_bounds():
    case = CASES["harman23_k3_heywood"]
    X = rows_with(correlations_of(case)[0], case["settings"]["n"])
    for bounded in case["expected"]["heywood"]:
        model = FactorAnalysis(3, noise_floor=bounded["lower"])
        with pytest.warns(HeywoodWarning, match="noise of column 1 came to"):
            model.fit(X)
        assert model.loglike_[-1] >= bounded["loglik_standardized"] - 1e-5
        np.testing.assert_allclose(model.noise_variance_, bounded["uniquenesses"], atol=1e-3)


@pytest.mark.parametrize("name", ANALYSES)
def test_trace_of_plain_em(name):
    case = CASES[name]
    q, n = case["settings"]["factors"], case["settings"]["n"]
    R, _ = correlations_of(case)
    values, vectors = np.linalg.eigh(R)
    start = np.sqrt(values[: -q - 1 : -1])[:, None] * vectors[:, : -q - 1 : -1].T
    model = FactorAnalysis(
        q,
        method="em",
        components_init=start,
        noise_variance_init=np.full(len(R), 0.5),
        max_iter=19,
        tol=0.0,
    )
    X = rows_with(R, n)
    with pytest.warns(ConvergenceWarning):
        model.fit(X)
    trace = case["expected"]["em_trace_standardized"]
    tolerance = case["tolerance"]["em_trace_standardized"]
    np.testing.assert_allclose(model.loglike_, trace[1:], atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", COMPLETE)
def test_closed_form_of_tipping_and_bishop(name):
    case = CASES[name]
    X = table(case["data"])
    if name.endswith("scaled"):
        X = (X - X.mean(axis=0)) / X.std(axis=0, ddof=1)
    for expected in case["expected"]:
        model = ProbabilisticPCA(expected["k"]).fit(X)
        assert model.n_iter_ <= 3
        assert model.noise_variance_ == pytest.approx(expected["noise_variance"], rel=1e-8)
        assert model.score(X) * len(X) == pytest.approx(expected["loglik"], abs=1e-8)
        product = model.components_.T @ model.components_
        wanted = np.array(expected["WWt"])
        np.testing.assert_allclose(product, wanted, atol=1e-8 * np.abs(wanted).max())
        np.testing.assert_allclose(model.mean_, expected["mean"], atol=1e-8)
        assert model.n_parameters_ == expected["nparam"]
