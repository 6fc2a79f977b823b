"""Missing cells of Gaussian and Student-t families: likelihoods, expectations, kernels, starts."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, multivariate_t
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from emlearn._kernels import COMPILED, missing, missing_twin
from emlearn.distributions import FiniteMixture, Gaussian, StudentT, WithNoise
from emlearn.distributions._missing import Columns, Holes, split
from emlearn.distributions.covariance import COVARIANCES
from emlearn.em import block_rows
from emlearn.em.statistics import difference_norms
from emlearn.hmm import GMMHMM, GaussianHMM, StudentTHMM
from emlearn.mixture import (
    BayesianGaussianMixture,
    GaussianMixture,
    MixedMixture,
    Mixture,
    StudentTMixture,
)

REFERENCE = Path(__file__).parent / "reference" / "mvn_missing"
CASES = {
    case["id"]: case for case in json.loads((REFERENCE / "expected.json").read_text())["cases"]
}
SEEDS = st.integers(0, 2**32 - 1)
KINDS = ["full", "tied", "diag", "spherical"]


def holed(rng, n=120, d=3, share=0.2):
    """Two clusters, some cells of which are missing, and a row without any."""
    mix = np.eye(d) + 0.5 * np.tri(d, k=-1)
    X = rng.normal(size=(n, d)) @ mix.T
    X[n // 2 :] = X[n // 2 :] * np.linspace(0.5, 1.5, d) + 4.0
    X[rng.random(X.shape) < share] = np.nan
    X[n // 3] = np.nan
    return X


def drawn(rng, kind, K, d, *, far=0.0):
    """Parameters of K Gaussians."""
    roots = rng.normal(size=(K, d, d))
    stack = roots @ roots.transpose(0, 2, 1) + 0.2 * np.eye(d)
    covariances = {
        "full": stack,
        "tied": stack[0],
        "diag": np.diagonal(stack, axis1=1, axis2=2).copy(),
        "spherical": stack[:, 0, 0].copy(),
    }[kind]
    return Gaussian(kind).recall(
        {"means": rng.normal(size=(K, d)) + far, "covariances": covariances}
    )


def dense(kind, parameters):
    return Gaussian(kind).covariance.dense(parameters.covariances, *parameters.means.shape)


def read(name):
    return np.genfromtxt(REFERENCE / name, delimiter=",", skip_header=1)


def normal(X, mean, covariance, **parameters):
    """A fit of one Gaussian from given parameters, run until nothing changes."""
    start = {"weights": [1.0], "means": [mean], "covariances": [covariance]}
    mixture = GaussianMixture(1, reg_covar=0.0, init_params=start, **parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(X)


# ------------------------------------------------------------------- reference


@pytest.mark.parametrize("name", ["airquality", "nhanes"])
def test_multivariate_normal_of_trusted_software(name):
    case, X = CASES[name], read(f"{name}.csv")
    expected, tolerance = case["expected"], case["tolerance"]
    begin = np.nanmean(X, axis=0), np.diag(np.nanvar(X, axis=0))
    fitted = normal(X, *begin, tol=1e-14, max_iter=3000)
    np.testing.assert_allclose(fitted.means_[0], expected["mean"], atol=tolerance["mean"] / 10)
    np.testing.assert_allclose(fitted.covariances_[0], expected["cov"], atol=tolerance["cov"] / 10)
    assert fitted.score(X) * len(X) == pytest.approx(expected["loglik"], abs=1e-8)
    trace = [GaussianMixture.from_parameters([1.0], [begin[0]], [begin[1]]).score(X)]
    trace = np.append(trace, fitted.lower_bounds_) * len(X)
    known = expected["loglik_trace"]
    np.testing.assert_allclose(trace[: len(known)], known, atol=tolerance["loglik_trace"])


def test_two_maxima_and_a_saddle_point():
    case, X = CASES["murray_1977"], read("murray.csv")
    for run in case["expected"]:
        start = np.array([[2.0, 2 * run["start_rho"]], [2 * run["start_rho"], 2.0]])
        fitted = normal(X, [0.0, 0.0], start, tol=1e-15, max_iter=5000)
        np.testing.assert_allclose(fitted.covariances_[0], run["cov"], atol=1e-4)
        assert fitted.score(X) * len(X) == pytest.approx(run["loglik"], abs=1e-8)


def test_cells_that_the_reference_expects():
    case, X = CASES["airquality"], read("airquality.csv")
    expected = case["expected"]
    known = expected["conditional_mean_imputation_first_incomplete_rows"]
    rows = np.array(known["rows_counted_from_1"]) - 1
    gaussian = Gaussian()
    parameters = gaussian.recall({"means": [expected["mean"]], "covariances": [expected["cov"]]})
    filled = gaussian.fill(parameters, X[rows], np.ones((len(rows), 1)))
    np.testing.assert_allclose(filled, known["values"], rtol=1e-9)


# ------------------------------------------------------------------ likelihood


@given(SEEDS, st.sampled_from(KINDS), st.integers(1, 6), st.sampled_from([0.1, 0.5, 0.85]))
@settings(max_examples=40, deadline=None)
def test_the_density_is_that_of_observed_cells(seed, kind, d, share):
    rng = np.random.default_rng(seed)
    far = rng.choice([0.0, 1e4])
    parameters = drawn(rng, kind, 2, d, far=far)
    X = rng.normal(size=(12, d)) * 2 + far
    X[rng.random(X.shape) < share] = np.nan
    covariances, df = dense(kind, parameters), rng.uniform(0.5, 30.0, size=2)
    weights = rng.dirichlet(np.ones(2))
    mixture = GaussianMixture.from_parameters(
        weights, parameters.means, parameters.covariances, covariance_type=kind
    )
    t = StudentT(kind)
    heavy = t.recall(
        {
            "means": parameters.means,
            "scales": parameters.covariances,
            "degrees_of_freedom": df,
        }
    )
    ours = t.log_density(heavy, t.features(X))[0]
    scores = mixture.score_samples(X)
    for i, x in enumerate(X):
        o = np.flatnonzero(~np.isnan(x))
        square = np.ix_(o, o)
        if not len(o):
            assert scores[i] == pytest.approx(0.0, abs=1e-15) and np.all(ours[i] == 0.0)
            np.testing.assert_allclose(mixture.predict_proba(X[[i]])[0], weights, rtol=1e-12)
            continue
        each = [
            multivariate_normal(m[o], c[square], allow_singular=True).logpdf(x[o])
            for m, c in zip(parameters.means, covariances, strict=True)
        ]
        expected = np.logaddexp.reduce(np.log(weights) + each)
        assert scores[i] == pytest.approx(expected, rel=1e-7, abs=1e-9)
        for k in range(2):
            frozen = multivariate_t(parameters.means[k][o], covariances[k][square], df[k])
            assert ours[i, k] == pytest.approx(float(frozen.logpdf(x[o])), rel=1e-7, abs=1e-8)


def test_dependent_columns_and_far_origins():
    # where a covariance is nearly singular, the density of what is observed keeps its digits
    rng = np.random.default_rng(0)
    base = rng.normal(size=(400, 1))
    X = np.c_[base, base + 1e-5 * rng.normal(size=(400, 1)), rng.normal(size=(400, 1))] + 1e3
    covariance = np.cov(X.T)
    mixture = GaussianMixture.from_parameters([1.0], [X.mean(axis=0)], [covariance])
    for j, tolerance in ((0, 1e-10), (1, 1e-10), (2, 1e-6)):
        Y, o = X[:40].copy(), np.delete(np.arange(3), j)
        Y[:, j] = np.nan
        rest = GaussianMixture.from_parameters(
            [1.0], [X.mean(axis=0)[o]], [covariance[np.ix_(o, o)]]
        )
        expected = rest.score_samples(Y[:, o])
        np.testing.assert_allclose(mixture.score_samples(Y), expected, rtol=tolerance)


def test_statistics_are_expectations():
    # of a grid of values that the missing cells may have, weighed by the joint density
    rng = np.random.default_rng(1)
    parameters = drawn(rng, "full", 1, 2)
    x = np.array([[0.7, np.nan], [np.nan, -0.3], [np.nan, np.nan]])
    grid = np.linspace(-30, 30, 4001)
    density = multivariate_normal(parameters.means[0], dense("full", parameters)[0])
    gaussian = Gaussian()
    total = gaussian.statistics(parameters, gaussian.features(x), np.ones((3, 1)))
    first, second = np.zeros(2), np.zeros((2, 2))
    for row in x[:2]:
        points = np.where(np.isnan(row), grid[:, None], row)
        p = density.pdf(points)
        p /= p.sum()
        first += p @ points
        second += (p[:, None] * points).T @ points
    mean, covariance = parameters.means[0], dense("full", parameters)[0]
    first += mean
    second += covariance + np.outer(mean, mean)
    np.testing.assert_allclose(total.mean[0], first / 3, rtol=1e-10)
    centred = second - np.outer(first, first) / 3
    np.testing.assert_allclose(total.scatter[0], centred, rtol=1e-9)


def test_student_statistics_are_expectations():
    # over the scale of a row, which is gamma, and its missing cell, which is normal given that
    rng = np.random.default_rng(2)
    t = StudentT()
    parameters = t.recall(
        {"means": [[0.5, -1.0]], "scales": [[[2.0, 1.2], [1.2, 1.5]]], "degrees_of_freedom": [3.0]}
    )
    x = np.array([[2.5, np.nan]])
    found = t.statistics(parameters, t.features(x), np.ones((1, 1)))
    u = rng.gamma((3 + 1) / 2, 2 / (3 + (2.0**2) / 2.0), size=400_000)
    y = -1.0 + 1.2 / 2.0 * 2.0 + rng.normal(size=len(u)) * np.sqrt((1.5 - 1.2**2 / 2.0) / u)
    assert found["moments"].weight[0] == pytest.approx(u.mean(), rel=5e-3)
    logs = found["scales"]["log_minus_scale"][0]
    assert logs == pytest.approx(np.mean(np.log(u) - u), abs=5e-3)
    mean = found["moments"].mean[0]
    scatter = found["moments"].scatter[0][1, 1] + mean[1] ** 2 * found["moments"].weight[0]
    assert mean[1] == pytest.approx(np.mean(u * y) / np.mean(u), abs=5e-3)
    assert scatter == pytest.approx(np.mean(u * y * y), rel=1e-2)


# --------------------------------------------------------------------- kernels


@pytest.mark.skipif(not COMPILED["missing"], reason="nothing was compiled")
@given(SEEDS, st.sampled_from(KINDS), st.integers(1, 12), st.sampled_from([0.1, 0.4, 0.8]))
@settings(max_examples=60, deadline=None)
def test_kernel_and_twin(seed, kind, d, share):
    rng = np.random.default_rng(seed)
    K, n = int(rng.integers(1, 5)), int(rng.integers(1, 300))
    X = rng.normal(size=(n, d)) * 2
    mask = rng.random(X.shape) < share
    X[mask[rng.integers(0, 3, n) % n] if rng.random() < 0.4 else mask] = np.nan
    X = X.astype(rng.choice([np.float32, np.float64]))
    if rng.random() < 0.5:
        X = X[np.argsort(np.isnan(X).sum(axis=1))]
    gaussian, parameters = Gaussian(kind), drawn(rng, kind, K, d)
    code, form = gaussian.covariance.code, gaussian.covariance.form_code
    model = gaussian.for_missing(parameters)
    log_weights = np.log(rng.dirichlet(np.ones(K)))
    weight = rng.random(n) * (rng.random(n) < 0.8) if rng.random() < 0.5 else None
    U, V = rng.random((2, n, K))
    shares = U / U.sum(axis=1, keepdims=True)
    before = missing.instruction_sets()[0]
    try:
        missing.use_instruction_set(str(rng.choice(missing.instruction_sets())))
        found = []
        for module in (missing, missing_twin):
            tables = [np.empty((n, K)) for _ in range(3)]
            module.scores(
                X,
                code,
                log_weights,
                *model,
                joint=tables[0],
                distance=tables[1],
                observed_log_det=tables[2],
            )
            found.append(
                [
                    *module.e_step(X, weight, code, form, log_weights, *model),
                    *module.moments(X, U, V, code, form, *model[1:]),
                    *tables,
                    module.fill(X, shares, code, *model[1:]),
                ]
            )
    finally:
        missing.use_instruction_set(before)
    for ours, theirs in zip(*found, strict=True):
        scale = 1.0 + np.nanmax(np.abs(theirs))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10 * scale)


def test_rows_of_a_block():
    rng = np.random.default_rng(3)
    X = holed(rng)
    rows = split(X)
    assert isinstance(rows, Holes) and rows.shape == X.shape and len(rows) == len(X)
    np.testing.assert_array_equal(rows.whole, X[~np.isnan(X).any(axis=1)])
    np.testing.assert_array_equal(rows.holed, X[rows.holed_rows])
    assert sorted([*rows.whole_rows, *rows.holed_rows]) == list(range(len(X)))
    counts = np.isnan(rows.holed).sum(axis=1)
    assert np.all(np.diff(counts) >= 0)
    whole = np.nan_to_num(X)
    assert split(whole) is whole


@given(SEEDS, st.sampled_from(["full", "tied", "diag", "VVE"]))
@settings(max_examples=15, deadline=None)
def test_statistics_add_up(seed, kind):
    rng = np.random.default_rng(seed)
    X, weights = holed(rng, n=60), rng.random((60, 2))
    for family in (Gaussian(kind, reg_covar=1e-3), StudentT(kind, reg_covar=1e-3)):
        family = family.bind(X, None)
        parameters = None
        for _ in range(2):  # at the start, and later
            whole = family.statistics(parameters, family.features(X), weights)
            parts = [
                family.statistics(parameters, family.features(X[rows]), weights[rows])
                for rows in (slice(0, 7), slice(7, 33), slice(33, 60))
            ]
            added = parts[0] + parts[1] + parts[2]
            norms = difference_norms([1.0, -1.0], [whole, added])
            assert max(norms.values()) < 1e-9 * len(X)
            parameters = family.m_step(whole, parameters)


# ------------------------------------------------------------------------ fits


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("estimator", [GaussianMixture, StudentTMixture])
def test_every_covariance_model(estimator, kind):
    X = holed(np.random.default_rng(4))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # the likelihood fell, or numbers are none
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = estimator(2, covariance_type=kind, random_state=0, max_iter=15, tol=0.0).fit(X)
    assert np.diff(fitted.lower_bounds_).min() > -1e-9
    assert fitted.score(X) == pytest.approx(fitted.lower_bound_, abs=1e-10)
    assert np.isfinite(fitted.bic(X)) and np.isfinite(fitted.predict_proba(X)).all()


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_bound_of_a_bayesian_mixture(kind):
    X = holed(np.random.default_rng(5))
    for e_step in ("soft", "hard"):
        mixture = BayesianGaussianMixture(
            n_components=4, covariance_type=kind, random_state=0, max_iter=15, tol=0.0
        ).set_params(e_step=e_step)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(X)
        assert np.diff(mixture.lower_bounds_).min() > -1e-8
        assert np.isfinite(mixture.score_samples(X)).all()


ENGINES = {
    "squarem": {"accelerate": "squarem"},
    "prior": {"prior": "default"},
    "noise": {"noise": True},
    "hard": {"e_step": "hard"},
    "annealed": {"annealing": [4.0, 2.0]},
    "fixed": {"fixed": {"means": [[0.0, 0.0, np.nan], [np.nan] * 3]}},
    "diag prior": {"prior": "default", "covariance_type": "diag"},
}


@pytest.mark.parametrize("estimator", [GaussianMixture, StudentTMixture])
@pytest.mark.parametrize("name", ENGINES)
def test_what_the_engine_does(estimator, name):
    X = holed(np.random.default_rng(6))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = estimator(2, random_state=0, max_iter=30, **ENGINES[name]).fit(X)
    if name != "annealed":  # whose objective changes with the temperature
        assert np.diff(fitted.lower_bounds_).min() > -1e-9
    assert np.isfinite(fitted.predict_proba(X)).all()


STARTS = ["kmeans", "k-means++", "random", "random_from_data", "whitened", "hierarchical"]


@pytest.mark.parametrize("start", [*STARTS, "short-runs"])
@pytest.mark.parametrize("kind", ["full", "tied"])
def test_starts(start, kind):
    X = holed(np.random.default_rng(7))
    for estimator in (GaussianMixture, StudentTMixture):
        mixture = estimator(
            2, covariance_type=kind, init_params=start, random_state=0, reg_covar=1e-3
        )
        assert np.isfinite(mixture.set_params(max_iter=300).fit(X).lower_bound_)


def test_given_starts():
    X = holed(np.random.default_rng(8))
    labels = (np.arange(len(X)) >= 60).astype(int)
    table = np.eye(2)[labels]
    ours = GaussianMixture(2, init_params=labels).fit(X)
    for start in (table, lambda X, K, rng: labels):
        np.testing.assert_array_equal(
            GaussianMixture(2, init_params=start).fit(X).means_, ours.means_
        )
    assert (
        np.mean(ours.predict(X)[~np.isnan(X).any(axis=1)] == labels[~np.isnan(X).any(axis=1)]) > 0.9
    )


def test_the_first_statistics_have_variances_of_columns():
    X = np.array([[0.0, 1.0], [2.0, np.nan], [4.0, 3.0]])
    gaussian = Gaussian("diag").bind(X, None)
    moments = gaussian.statistics(None, gaussian.features(X), np.ones((3, 1)))
    np.testing.assert_allclose(moments.mean, [[2.0, 2.0]])
    np.testing.assert_allclose(moments.scatter, [[8.0, 3.0]])  # 1 + 1, and a variance of 1


@pytest.mark.parametrize("estimator", [GaussianMixture, StudentTMixture, BayesianGaussianMixture])
def test_weights_are_repetitions(estimator):
    rng = np.random.default_rng(9)
    X, counts = holed(rng), rng.integers(0, 4, size=120)
    start = (np.arange(120) >= 60).astype(int)
    again = np.repeat(np.arange(120), counts)
    ours = estimator(n_components=2, init_params=start, max_iter=5, tol=0.0)
    theirs = estimator(n_components=2, init_params=start[again], max_iter=5, tol=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ours.fit(X, sample_weight=counts)
        theirs.fit(X[again])
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-8)
    assert ours.lower_bound_ == pytest.approx(theirs.lower_bound_, rel=1e-9)


@pytest.mark.parametrize("estimator", [GaussianMixture, StudentTMixture])
def test_blocks_and_threads(estimator):
    X = holed(np.random.default_rng(10), n=300)
    start = (np.arange(300) >= 150).astype(int)
    with block_rows(64):
        one, two = (estimator(2, init_params=start, n_jobs=n).fit(X) for n in (1, 2))
    whole = estimator(2, init_params=start).fit(X)
    np.testing.assert_array_equal(one.means_, two.means_)
    np.testing.assert_allclose(one.means_, whole.means_, rtol=1e-9)
    parts = estimator(2, random_state=0).fit_blocks([X[:100], X[100:110], X[110:]])
    np.testing.assert_allclose(parts.means_, estimator(2, random_state=0).fit(X).means_, rtol=1e-8)


def test_nothing_missing_is_nothing_else():
    rng = np.random.default_rng(11)
    X = np.nan_to_num(holed(rng), nan=1.5)
    whole = Gaussian("full").bind(X, None)
    assert whole.features(X) is X and whole.embed(X) is X and whole._columns is None
    # a row of no weight may miss cells: all that counts is the same
    Y, weight = np.vstack([X, [[np.nan, 1.0, 2.0]]]), np.append(np.ones(len(X)), 0.0)
    start = np.append(np.arange(len(X)) >= 60, 0).astype(int)
    ours = GaussianMixture(2, init_params=start).fit(Y, sample_weight=weight)
    theirs = GaussianMixture(2, init_params=start[:-1]).fit(X)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-12)


@pytest.mark.parametrize("estimator", [GaussianHMM, GMMHMM, StudentTHMM])
def test_hidden_markov_models(estimator):
    rng = np.random.default_rng(12)
    X = holed(rng)
    X[40:45] = np.nan
    lengths = [50, 70]
    model = estimator(2, random_state=0, max_iter=200).fit(X, lengths=lengths)
    assert np.diff(model.lower_bounds_).min() > -1e-9
    # a gap in the middle is a power of the transition matrix
    table = model.predict_proba(X, lengths=lengths)
    assert np.isfinite(table).all()
    after = model.filter_proba(X, lengths=lengths)
    np.testing.assert_allclose(after[42], after[41] @ model.transmat_, rtol=1e-9)


def test_blocks_of_columns():
    X = holed(np.random.default_rng(13))
    blocks = [("a", Gaussian("full", reg_covar=1e-6), [0, 1]), ("b", StudentT("diag"), [2])]
    mixture = MixedMixture(2, blocks=blocks, random_state=0).fit(X)
    assert np.diff(mixture.lower_bounds_).min() > -1e-9
    members = FiniteMixture(Gaussian("diag", reg_covar=1e-3), n_mix=2)
    mixture = Mixture(2, distribution=members, random_state=0).fit(X)
    assert np.diff(mixture.lower_bounds_).min() > -1e-9


# ----------------------------------------------------------------- filled cells


@given(SEEDS, st.sampled_from(KINDS), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_filled_cells_are_conditional_means(seed, kind, d):
    rng = np.random.default_rng(seed)
    parameters = drawn(rng, kind, 2, d)
    X = rng.normal(size=(9, d))
    X[rng.random(X.shape) < 0.5] = np.nan
    before, shares = X.copy(), rng.dirichlet(np.ones(2), size=9)
    filled = Gaussian(kind).fill(parameters, X, shares)
    np.testing.assert_array_equal(X, before)
    covariances = dense(kind, parameters)
    for x, share, found in zip(X, shares, filled, strict=True):
        m, o = np.isnan(x), ~np.isnan(x)
        each = [
            mean[m] + c[np.ix_(m, o)] @ np.linalg.solve(c[np.ix_(o, o)], x[o] - mean[o])
            for mean, c in zip(parameters.means, covariances, strict=True)
        ]
        np.testing.assert_allclose(found[m], share @ each, rtol=1e-7, atol=1e-9)
        np.testing.assert_array_equal(found[o], x[o])


@pytest.mark.parametrize("family", [Gaussian(), StudentT(), Gaussian("diag"), Gaussian("tied")])
def test_drawn_cells_follow_the_conditional_distribution(family):
    rng = np.random.RandomState(0)
    kind, n = family.covariance_type, 20_000
    parameters = drawn(np.random.default_rng(3), kind, 2, 3)
    scale = dense(kind, parameters)[1]
    factor, heavy = 1.0, isinstance(family, StudentT)
    x = np.array([0.3, np.nan, np.nan])
    if heavy:
        df, q = 6.0, (0.3 - parameters.means[1, 0]) ** 2 / scale[0, 0]
        factor = (df + q) / (df + 1) * (df + 1) / (df + 1 - 2)
        values = {"means": parameters.means, "scales": parameters.covariances}
        parameters = family.recall({**values, "degrees_of_freedom": [3.0, df]})
    means = (parameters.scaled if heavy else parameters).means
    X = np.tile(x, (n, 1))
    drawn_rows = family.draw_missing(parameters, X, np.ones(n, dtype=int), rng)
    assert np.all(drawn_rows[:, 0] == 0.3) and np.isnan(X[:, 1:]).all()
    slope = scale[1:, 0] / scale[0, 0]
    mean = means[1, 1:] + slope * (0.3 - means[1, 0])
    covariance = factor * (scale[1:, 1:] - np.outer(slope, scale[0, 1:]))
    spread = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(drawn_rows[:, 1:].mean(axis=0), mean, atol=5 * spread.max() / n**0.5)
    found = np.cov(drawn_rows[:, 1:].T) / np.outer(spread, spread)
    np.testing.assert_allclose(found, covariance / np.outer(spread, spread), atol=0.1)


def test_members_and_noise_fill_and_draw():
    rng = np.random.RandomState(1)
    X = np.nan_to_num(holed(np.random.default_rng(14)), nan=2.0)
    Y = X.copy()
    Y[::3, 1] = np.nan
    for family in (FiniteMixture(Gaussian("diag"), n_mix=2), WithNoise(Gaussian())):
        kwargs = {"noise": True} if isinstance(family, WithNoise) else {"distribution": family}
        kind = GaussianMixture if isinstance(family, WithNoise) else Mixture
        fitted = kind(2, random_state=0, **kwargs).fit(X)
        distribution, components = fitted._resolved(), fitted.recall().components
        shares = fitted.predict_proba(Y)
        filled = distribution.fill(components, Y, shares)
        labels = shares.argmax(axis=1)
        labels[0] = shares.shape[1] - 1
        drawn_rows = distribution.draw_missing(components, Y, labels, rng)
        for rows in (filled, drawn_rows):
            assert np.isfinite(rows).all()
            np.testing.assert_array_equal(rows[~np.isnan(Y)], Y[~np.isnan(Y)])
        # what is expected is better than the mean of the column
        gap = np.nanmean(Y[:, 1]) - X[::3, 1]
        assert np.square(filled[::3, 1] - X[::3, 1]).mean() < np.square(gap).mean()


# ------------------------------------------------------------------- bad input


def test_columns_without_a_value():
    X = holed(np.random.default_rng(15))
    X[:, 1] = np.nan
    for estimator in (GaussianMixture, StudentTMixture, GaussianHMM, BayesianGaussianMixture):
        with pytest.raises(ValueError, match=r"All values of column 1 are missing.*Drop it"):
            estimator(n_components=2).fit(X)
    with pytest.raises(ValueError, match="column 2 are missing"):
        blocks = [("a", Gaussian("diag"), [0]), ("b", Gaussian("diag"), [2])]
        MixedMixture(2, blocks=blocks).fit(X[:, [0, 2, 1]])


@pytest.mark.parametrize(
    "estimator", [GaussianMixture, StudentTMixture, BayesianGaussianMixture, GaussianHMM]
)
def test_a_batch_without_a_value_in_a_column(estimator):
    X = holed(np.random.default_rng(19))
    mixture = estimator(n_components=2, random_state=0).partial_fit(X)
    before = mixture.means_[:, 1].copy()
    Y = X.copy()
    Y[:, 1] = np.nan
    mixture.partial_fit(Y)
    assert np.isfinite(mixture.means_).all()
    np.testing.assert_allclose(mixture.means_[:, 1], before, atol=1.0)
    with pytest.raises(ValueError, match="column 1"):
        estimator(n_components=2).partial_fit(Y)


@pytest.mark.parametrize("exponent", [-140, -100, 100])
@pytest.mark.parametrize("kind", ["full", "tied"])
def test_units_of_any_size(kind, exponent):
    X = holed(np.random.default_rng(0), d=5, share=0.5)
    parameters = drawn(np.random.default_rng(1), kind, 2, 5)
    unit = 10.0**exponent
    scaled = Gaussian(kind).recall(
        {"means": parameters.means * unit, "covariances": parameters.covariances * unit * unit}
    )
    weights = np.ones((len(X), 2))
    first, found = (
        Gaussian(kind).statistics(model, Gaussian(kind).features(rows), weights).scatter
        for rows, model in ((X, parameters), (X * unit, scaled))
    )
    np.testing.assert_allclose(found / unit**2, first, rtol=1e-9)


def test_infinite_cells_beside_missing_ones():
    X = holed(np.random.default_rng(16))
    fitted = GaussianMixture(2, random_state=0).fit(X)
    X[3, 2], X[4, 0] = np.inf, np.nan
    for call in (fitted.fit, fitted.predict, fitted.score_samples, fitted.score):
        with pytest.raises(ValueError, match=r"infinity(.|\n)*Found in column 2 \(1 of"):
            call(X)


def test_summaries_of_columns_add_up():
    rng = np.random.default_rng(17)
    X, weight = holed(rng) + 1e6, rng.random(120)
    whole = Columns.of(X, weight)
    parts = Columns.of(X[:50], weight[:50]) + Columns.of(X[50:], weight[50:])
    seen = ~np.isnan(X)
    for j in range(3):
        x, w = X[seen[:, j], j], weight[seen[:, j]]
        mean = np.average(x, weights=w)
        for found in (whole, parts):
            assert found.mean[j] == pytest.approx(mean, rel=1e-14)
            assert found.variance[j] == pytest.approx(
                np.average((x - mean) ** 2, weights=w), rel=1e-8
            )


def test_the_twin_fits_alike(monkeypatch):
    X = holed(np.random.default_rng(18))
    start = (np.arange(120) >= 60).astype(int)
    ours = GaussianMixture(2, init_params=start).fit(X)
    for module in ("gaussian", "student_t"):
        monkeypatch.setattr(f"emlearn.distributions.{module}.missing_kernel", missing_twin)
    with threadpool_limits(1):
        theirs = GaussianMixture(2, init_params=start).fit(X)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-10)
