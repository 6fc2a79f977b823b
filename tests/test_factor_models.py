"""Factor analysis and probabilistic principal components: laws, numbers of trusted software, bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
import sklearn.decomposition
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning

from emlearn.decomposition import FactorAnalysis, ProbabilisticPCA
from emlearn.exceptions import HeywoodWarning, SingularError, UnobservedColumnsError
from emlearn.mixture import GaussianMixture

HERE = Path(__file__).parent / "reference" / "factor_analysis"
CASES = {c["id"]: c for c in json.loads((HERE / "expected.json").read_text())["cases"]}
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::emlearn.exceptions.HeywoodWarning"),
]

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


@pytest.mark.parametrize("accelerate", [None, "squarem"])
@pytest.mark.parametrize("name", [name for name in CASES if "missing" in name])
def test_missing_cells(name, accelerate):
    case = CASES[name]
    expected, tolerance = case["expected"], case["tolerance"]
    X = table(case["data"])
    if name.startswith("ppca"):
        model = ProbabilisticPCA(case["settings"]["latent_dimensions"], accelerate=accelerate)
    else:
        model = FactorAnalysis(case["settings"]["factors"], accelerate=accelerate)
    model.fit(X)
    value = model.score(X) * len(X)
    assert value == pytest.approx(expected["loglik_observed"], abs=tolerance["loglik_observed"])
    assert np.diff(model.lower_bounds_).min() > -1e-12
    noise = np.asarray(model.noise_variance_)
    np.testing.assert_allclose(
        noise, expected["noise_variance"], atol=tolerance["noise_variance"], rtol=0
    )
    np.testing.assert_allclose(model.mean_, expected["mean"], atol=1e-4)
    product = np.array(expected.get("WWt", expected.get("LLt")))
    found = model.components_.T @ model.components_
    np.testing.assert_allclose(found, product, atol=1e-4 * product.max())


@pytest.mark.parametrize(
    ("rotation", "kaiser", "loadings", "correlation"),
    [
        (
            "varimax",
            True,
            [[0.499, 0.543], [0.156, 0.622], [0.206, 0.860], [0.109, 0.468], [0.956, 0.182]]
            + [[0.785, 0.225]],
            0.0,
        ),
        (
            "promax",
            None,
            [[0.364, 0.470], [-0.058, 0.671], [-0.091, 0.932], [-0.053, 0.508], [1.023, -0.096]]
            + [[0.811, 0.009]],
            0.557,
        ),
    ],
)
def test_rotations_of_factanal(rotation, kaiser, loadings, correlation):
    """The examples in R's help page of factanal; the small loadings, which it does not print, are ours."""
    case = CASES["ability_k2"]
    model = FactorAnalysis(2, rotation=rotation, kaiser=kaiser)
    model.fit(rows_with(correlations_of(case)[0], 112))
    # R stops its varimax when a pass gains a share of 1e-5
    np.testing.assert_allclose(model.components_.T, loadings, atol=4e-3)
    assert model.factor_correlation_[0, 1] == pytest.approx(correlation, abs=2e-3)
    np.testing.assert_allclose(np.diag(model.factor_correlation_), 1.0)


# ------------------------------------------------------------------------ laws

ROWS = load_wine().data
HOLES = np.where(np.random.RandomState(0).uniform(size=ROWS.shape) < 0.15, np.nan, ROWS)
MODELS = [FactorAnalysis(2), FactorAnalysis(2, method="em"), ProbabilisticPCA(2)]


@pytest.mark.parametrize("rotation", [None, "varimax", "quartimax", "promax"])
def test_a_rotation_changes_no_likelihood(rotation):
    plain, model = (FactorAnalysis(3, rotation=r, noise_floor=0.01) for r in (None, rotation))
    plain.fit(HOLES)
    model.fit(HOLES)
    np.testing.assert_allclose(model.get_covariance(), plain.get_covariance(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(model.score_samples(HOLES), plain.score_samples(HOLES), rtol=1e-9)
    # scores are turned with the loadings, so that they explain the same
    for X in (ROWS, HOLES):
        np.testing.assert_allclose(model.impute(X), plain.impute(X), rtol=1e-8, atol=1e-8)
    values = model.fit(HOLES).get_covariance() @ model.get_precision()
    np.testing.assert_allclose(values, np.eye(13), atol=1e-6)


def test_a_rotation_has_the_larger_criterion():
    def varimax(A):
        return (A**2).var(axis=0).sum()

    def quartimax(A):
        return (A**4).sum()

    found = {
        name: FactorAnalysis(4, rotation=name).fit(ROWS).components_.T
        for name in (None, "varimax", "quartimax")
    }
    for name, criterion in (("varimax", varimax), ("quartimax", quartimax)):
        best = criterion(found[name])
        for seed in range(20):
            turn = np.linalg.qr(np.random.RandomState(seed).normal(size=(4, 4)))[0]
            near = np.linalg.qr(np.eye(4) + 0.05 * turn)[0]
            assert criterion(found[name] @ near) <= best * (1 + 1e-9)
        assert criterion(found[None]) <= best


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-12, 12), min_size=13, max_size=13))
def test_units_of_the_features_do_not_matter(exponents):
    scale = np.round(2.0 ** np.array(exponents), 3) + 1e-3
    for X in (ROWS, HOLES):
        plain = FactorAnalysis(2, max_iter=8, tol=0.0, noise_floor=1e-3)
        other = FactorAnalysis(2, max_iter=8, tol=0.0, noise_floor=1e-3)
        with pytest.warns(ConvergenceWarning):
            plain.fit(X)
        with pytest.warns(ConvergenceWarning):
            other.fit(X * scale + 3 * scale)
        np.testing.assert_allclose(
            other.noise_variance_, plain.noise_variance_ * scale**2, rtol=1e-5
        )
        np.testing.assert_allclose(
            other.transform(X * scale + 3 * scale), plain.transform(X), atol=1e-5
        )


@pytest.mark.parametrize(("rotation", "kaiser"), [("varimax", True), ("promax", None)])
def test_units_of_the_features_do_not_matter_to_a_rotation(rotation, kaiser):
    scale = 10.0 ** np.linspace(-3, 3, 13)
    plain, other = (FactorAnalysis(3, rotation=rotation, kaiser=kaiser) for _ in range(2))
    plain.fit(HOLES)
    other.fit(HOLES * scale)
    assert np.abs(plain.factor_correlation_).sum() > 3 or rotation == "varimax"
    np.testing.assert_allclose(other.factor_correlation_, plain.factor_correlation_, atol=1e-3)
    turned = np.abs(other.transform(HOLES * scale)), np.abs(plain.transform(HOLES))
    np.testing.assert_allclose(*turned, atol=0.01)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_turning_the_rows_turns_principal_components(seed):
    turn = np.linalg.qr(np.random.RandomState(seed).normal(size=(13, 13)))[0]
    X = ROWS / ROWS.std(axis=0)
    plain, turned = ProbabilisticPCA(3).fit(X), ProbabilisticPCA(3).fit(X @ turn)
    assert turned.noise_variance_ == pytest.approx(plain.noise_variance_, rel=1e-9)
    np.testing.assert_allclose(np.abs(turned.transform(X @ turn)), np.abs(plain.transform(X)))


@pytest.mark.parametrize("model", MODELS, ids=repr)
@pytest.mark.parametrize("X", [ROWS, HOLES], ids=["complete", "missing"])
def test_weights_are_repetitions(model, X):
    counts = np.random.RandomState(1).randint(0, 4, size=len(X))
    spoilt = np.where(counts[:, None] > 0, X, 1e300)
    model.set_params(max_iter=30)
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context():
        weighed = model.fit(spoilt, sample_weight=counts)
        found = weighed.get_covariance()
        repeated = model.fit(np.repeat(X, counts, axis=0))
    np.testing.assert_allclose(found, repeated.get_covariance(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_likelihood_and_scores_of_missing_cells_are_direct_ones(model):
    X = np.vstack([HOLES[:20], np.full(13, np.nan)])
    model.set_params(max_iter=20).fit(HOLES)
    S, loadings = model.get_covariance(), model.components_.T
    scores, densities, filled = model.transform(X), model.score_samples(X), model.impute(X)
    for x, z, density, row in zip(X, scores, densities, filled, strict=True):
        o = ~np.isnan(x)
        if not o.any():
            assert density == pytest.approx(0.0, abs=1e-12)
            np.testing.assert_allclose(z, 0.0)
            np.testing.assert_allclose(row, model.mean_)
            continue
        inside, delta = S[np.ix_(o, o)], (x - model.mean_)[o]
        direct = multivariate_normal(model.mean_[o], inside, allow_singular=True).logpdf(x[o])
        assert density == pytest.approx(direct, rel=1e-7)
        np.testing.assert_allclose(z, loadings[o].T @ np.linalg.solve(inside, delta), atol=1e-6)
        expected = model.mean_ + S[:, o] @ np.linalg.solve(inside, delta)
        np.testing.assert_allclose(row[~o], expected[~o], rtol=1e-6)


def test_plain_em_goes_where_newton_goes():
    X = load_iris().data
    newton = FactorAnalysis(1, noise_floor=0.01).fit(X)
    plain = FactorAnalysis(1, noise_floor=0.01, method="em", max_iter=3000, tol=1e-7).fit(X)
    fast = FactorAnalysis(
        1, noise_floor=0.01, method="em", max_iter=3000, tol=1e-7, accelerate="squarem"
    ).fit(X)
    for model in (plain, fast):
        assert -1e-3 < model.loglike_[-1] - newton.loglike_[-1] <= 1e-7
        assert np.diff(model.lower_bounds_).min() > -1e-10
    assert newton.n_iter_ < 20
    assert fast.n_e_steps_ < plain.n_e_steps_ / 3


@pytest.mark.parametrize("q", [2, 7])
def test_likelihood_is_at_least_that_of_scikit_learn(q):
    X = load_digits().data[:500]  # some features are constant
    ours = FactorAnalysis(q).fit(X)
    theirs = sklearn.decomposition.FactorAnalysis(q, svd_method="lapack").fit(X)
    assert ours.loglike_[-1] >= theirs.loglike_[-1]
    for a, b in ((ours.transform(X), theirs.transform(X)),):
        assert a.shape == b.shape
    names = sklearn.decomposition.FactorAnalysis().get_params()
    assert set(names) <= set(ours.get_params())
    assert ours.get_feature_names_out().tolist() == [f"factoranalysis{j}" for j in range(q)]


def test_a_mixture_of_one_is_the_same_model():
    for kind, model in (("factor", FactorAnalysis(2)), ("ppca", ProbabilisticPCA(2))):
        model.fit(ROWS / ROWS.std(axis=0))
        mixture = GaussianMixture(
            1, covariance_type=kind, n_factors=2, reg_covar=0.0, tol=1e-12, max_iter=500
        ).fit(ROWS / ROWS.std(axis=0))
        assert mixture.lower_bound_ == pytest.approx(model.lower_bound_, abs=1e-8)
        assert mixture.n_parameters_ == model.n_parameters_
        loadings = mixture.loadings_[0] * np.sign(mixture.loadings_[0][0] * model.components_[:, 0])
        np.testing.assert_allclose(loadings, model.components_.T, atol=1e-3)


def test_mixture_of_factor_analysers_finds_its_groups():
    rng = np.random.RandomState(0)
    z = np.repeat([0, 1], 200)
    W = rng.normal(size=(2, 2, 6)) * 2
    X = 2.0 * z[:, None] + np.einsum("nq,nqd->nd", rng.normal(size=(400, 2)), W[z])
    X += 0.3 * rng.normal(size=(400, 6))
    for kind in ("factor", "ppca"):
        mixture = GaussianMixture(2, covariance_type=kind, n_factors=2, n_init=5, random_state=0)
        labels = mixture.fit_predict(X)
        assert max(np.mean(labels == z), np.mean(labels != z)) > 0.95
        assert np.median(mixture.noise_variances_) == pytest.approx(0.09, rel=0.2)


# ------------------------------------------------- more features than rows, edges


@pytest.mark.parametrize("model", [FactorAnalysis(3), ProbabilisticPCA(3)], ids=repr)
def test_more_features_than_rows(model):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(15, 3)) @ rng.normal(size=(3, 60)) + rng.normal(size=(15, 60))
    model.fit(X)
    assert np.isfinite(model.score(X)) and model.transform(X).shape == (15, 3)
    assert np.diff(model.lower_bounds_).min() > -1e-9
    X[rng.uniform(size=X.shape) < 0.1] = np.nan
    model.set_params(max_iter=10).fit(X)
    assert np.isfinite(model.score(X)) and np.isfinite(model.impute(X)).all()


def test_number_of_factors_from_none_to_all():
    X = load_iris().data
    values = [FactorAnalysis(q).fit(X).lower_bound_ for q in range(5)]
    assert np.diff(values).min() > -1e-9
    full = GaussianMixture(reg_covar=0.0).fit(X).lower_bound_
    assert values[-1] == pytest.approx(full, abs=1e-8)
    assert ProbabilisticPCA().fit(X).lower_bound_ == pytest.approx(full, abs=1e-8)
    assert FactorAnalysis().fit(X).components_.shape == (4, 4)
    none = ProbabilisticPCA(0).fit(X)
    assert none.noise_variance_ == pytest.approx(X.var(axis=0).mean())
    assert none.transform(X).shape == (150, 0)


def test_factors_that_explain_all():
    X = np.outer(np.arange(10.0), [1.0, 2.0, 3.0])
    with pytest.warns(HeywoodWarning, match="The 2 factors explain all"):
        model = ProbabilisticPCA(2).fit(X)
    assert 0 < model.noise_variance_ < 1e-9
    with pytest.warns(HeywoodWarning, match="column 0, column 1, column 2"):
        model = FactorAnalysis(1).fit(X)
    np.testing.assert_allclose(model.impute([[1.0, np.nan, 3.0]]), [[1.0, 2.0, 3.0]], atol=1e-6)


def test_a_constant_feature_is_no_obstacle():
    X = np.column_stack([ROWS, np.full(len(ROWS), 1e6)])
    for model in MODELS:
        model.set_params(max_iter=20)
        with_constant = model.fit(X).components_
        np.testing.assert_allclose(with_constant[:, -1], 0.0, atol=1e-9)
        assert np.isfinite(model.score(X)) and np.isfinite(model.transform(X)).all()


@pytest.mark.parametrize(
    ("model", "X", "words"),
    [
        (FactorAnalysis(14), ROWS, ["n_components=14", "at most 13"]),
        (ProbabilisticPCA(13), ROWS, ["n_components=13", "at most 12"]),
        (FactorAnalysis(-1), ROWS, ["n_components"]),
        (FactorAnalysis(2, rotation="oblimin"), ROWS, ["rotation", "promax"]),
        (FactorAnalysis(2, method="gls"), ROWS, ["method", "newton"]),
        (FactorAnalysis(2, noise_floor=0.0), ROWS, ["noise_floor"]),
        (FactorAnalysis(2, noise_variance_init=[1.0, 1.0]), ROWS, ["noise_variance_init"]),
        (FactorAnalysis(2, noise_variance_init=-np.ones(13)), ROWS, ["must be positive"]),
        (FactorAnalysis(2, components_init=np.ones((3, 13))), ROWS, ["components_init"]),
        (FactorAnalysis(2), ROWS[:1], ["1 sample(s)", "minimum of 2"]),
        (ProbabilisticPCA(1), np.where([[True, False]], np.inf, np.ones((5, 2))), ["infinity"]),
    ],
)
def test_bad_input(model, X, words):
    with pytest.raises(ValueError) as caught:
        model.fit(X)
    for word in words:
        assert word in str(caught.value)


def test_rows_that_are_all_the_same():
    for model in MODELS:
        with pytest.raises(SingularError, match="No feature varies"):
            model.fit(np.ones((5, 3)))


def test_a_feature_without_any_cell_is_named():
    X = HOLES.copy()
    X[:, 4] = np.nan
    for model in MODELS:
        with pytest.raises(UnobservedColumnsError, match="column 4"):
            model.fit(X)


def test_a_constant_feature_with_missing_cells():
    X = load_iris().data.copy()
    X[:, 1] = 3.0
    holes = np.where(np.random.default_rng(0).uniform(size=X.shape) < 0.3, np.nan, X)
    for method in ("newton", "em"):
        model = FactorAnalysis(1, method=method, max_iter=20).fit(holes)
        whole = FactorAnalysis(1, method=method, max_iter=20).fit(X)
        assert model.noise_variance_[1] == pytest.approx(whole.noise_variance_[1])
        np.testing.assert_array_equal(model.impute(holes)[:, 1], 3.0)


@pytest.mark.parametrize("estimator", [FactorAnalysis, ProbabilisticPCA])
def test_a_batch_may_lack_a_feature(estimator):
    X = load_iris().data.copy()
    model = estimator(1).partial_fit(X)
    X[:, 1] = np.nan
    model.partial_fit(X)
    assert model.mean_[1] == pytest.approx(load_iris().data[:, 1].mean(), rel=0.02)
    with pytest.raises(UnobservedColumnsError, match="column 1"):
        estimator(1).partial_fit(X)


def test_draws_of_missing_cells(monkeypatch):
    X = load_iris().data
    holes = np.where(np.random.default_rng(0).uniform(size=X.shape) < 0.3, np.nan, X)
    model = FactorAnalysis(1).fit(holes)
    monkeypatch.setattr("emlearn.decomposition._answers._TOGETHER", 100)  # several batches
    tables = model.sample_imputations(holes, 400, random_state=0)
    there = ~np.isnan(holes)
    np.testing.assert_array_equal(tables[:, there], np.broadcast_to(X[there], (400, there.sum())))
    np.testing.assert_allclose(tables.mean(axis=0), model.impute(holes), atol=0.25)
    assert model.sample_imputations(X).shape == (5, *X.shape)
    for n in (0, 2.5):
        with pytest.raises(ValueError, match="n_imputations must be a whole number"):
            model.sample_imputations(holes, n)


def test_bad_arguments_of_methods():
    model = ProbabilisticPCA(2).fit(ROWS)
    with pytest.raises(ValueError, match=r"\(n_samples, 2\)"):
        model.inverse_transform(ROWS)
    with pytest.raises(ValueError, match="features"):
        model.transform(ROWS[:, :3])
    model.set_params(n_components=3, warm_start=True)
    with pytest.raises(ValueError, match="a fit of 2 factors, but n_components = 3"):
        model.fit(ROWS)


def test_samples_have_the_covariance_of_the_model():
    model = FactorAnalysis(2, rotation="promax").fit(load_iris().data)
    X = model.sample(40_000, random_state=0)
    np.testing.assert_allclose(np.cov(X.T), model.get_covariance(), atol=0.08)
    np.testing.assert_allclose(X.mean(axis=0), model.mean_, atol=0.04)
    assert np.array_equal(model.sample(3), model.sample(3))


def test_parameters_set_by_hand():
    model = FactorAnalysis(1, rotation="promax").fit(ROWS)
    model.mean_ = np.zeros(2)
    model.components_ = np.array([[1.0, 2.0]])
    model.noise_variance_ = np.array([0.5, 1.0])
    model.factor_correlation_ = np.eye(1)
    model.n_features_in_ = 2
    direct = multivariate_normal(np.zeros(2), [[1.5, 2.0], [2.0, 5.0]]).logpdf([0.3, -1.0])
    assert model.score([[0.3, -1.0]]) == pytest.approx(direct)
