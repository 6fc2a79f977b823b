"""Mixtures of regressions: reference cases, generalised linear models, gates, groups, laws."""

import json
import pickle
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln, log_softmax, logsumexp
from scipy.stats import binom, norm, poisson
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emlearn import EMMixin, MixtureRegressor
from emlearn.distributions.binomial_regression import BinomialRegression
from emlearn.distributions.gaussian_regression import GaussianRegression
from emlearn.distributions.poisson_regression import PoissonRegression
from emlearn.em import Sums, block_rows, run
from emlearn.exceptions import DegenerateComponentsWarning, ObjectiveFellWarning
from emlearn.latent import Gate, GateParameters

# starts that were singular, and fits of a few iterations
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

HERE = Path(__file__).parent / "reference"
REFERENCE = {
    c["id"]: c for c in json.loads((HERE / "mixture_regression.json").read_text())["cases"]
}
CASES = ["npreg_G2", "npreg_G2_common", "tonedata_G2", "co2data_G2", "npreg_poisson_glm"]


def columns(file):
    header, *rows = (HERE / file).read_text().split()
    rows = [row.split(",") for row in rows]
    return {name: [row[j] for row in rows] for j, name in enumerate(header.split(","))}


def reference_data(name):
    case = REFERENCE[name]
    table, asked = columns(case["data"]), case["settings"]
    y = np.array(table[asked["response"]], dtype=float)
    terms = asked["design"].split(", ")[1:]
    X = np.column_stack(
        [np.array(table[t.removesuffix("^2")], dtype=float) ** (1 + ("^2" in t)) for t in terms]
    )
    return X, y, case


def fitted(model, *data, **more):
    return model.fit(*data, **more)


def parameters_of(model):
    names = ["weights_", "coef_", "intercept_", "variances_", "gate_coef_", "gate_intercept_"]
    return {name: getattr(model, name) for name in names if hasattr(model, name)}


# ------------------------------------------------------------- reference


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", CASES)
def test_the_optimum_of_the_reference_is_found(name, seed):
    X, y, case = reference_data(name)
    expected, tolerance = case["expected"], case["tolerance"]
    tied = case["settings"].get("variance") == "common"
    model = MixtureRegressor(
        2,
        family="poisson" if "poisson" in name else "gaussian",
        variance_type="tied" if tied else "free",
        tol=1e-12,
        random_state=seed,
    )
    model.fit(X, y)
    assert model.converged_
    assert model.log_likelihood(X, y) == pytest.approx(expected["loglik"], abs=tolerance["loglik"])
    order = np.argsort(model.weights_)
    found = np.column_stack([model.intercept_, model.coef_])[order]
    within = tolerance.get("coefficients", 1e-3)
    np.testing.assert_allclose(found, expected["coefficients"], atol=within)
    np.testing.assert_allclose(model.weights_[order], expected["weights"], atol=within)
    if "sigma" in expected:
        np.testing.assert_allclose(
            np.sqrt(model.variances_)[order], expected["sigma"], atol=tolerance["sigma"]
        )
        assert model.n_parameters_ == expected["nparam"]
        assert model.aic(X, y) == pytest.approx(expected["aic"], abs=1e-5)
        assert model.bic(X, y) == pytest.approx(expected["bic"], abs=1e-5)


def test_the_trace_of_the_reference():
    case = REFERENCE["co2data_trace"]
    X, y, _ = reference_data("co2data_G2")
    start, trace = case["settings"]["start"], case["expected"]["loglik_trace"]
    coefficients = np.array(start["coefficients"], dtype=float)
    given = {
        "weights": start["weights"],
        "coef": coefficients[:, 1:],
        "intercept": coefficients[:, 0],
        "variances": np.array(start["sigma"]) ** 2.0,
    }
    settings_ = {"init_params": given, "tol": 0.0}
    first = MixtureRegressor(2, max_iter=0, **settings_).fit(X, y)
    model = fitted(MixtureRegressor(2, max_iter=len(trace) - 1, **settings_), X, y)
    found = np.r_[first.lower_bound_, model.lower_bounds_] * len(y)
    np.testing.assert_allclose(found, trace, atol=case["tolerance"]["loglik_trace"], rtol=0)


# ------------------------------------------------------------ one component

RNG = np.random.RandomState(0)
N = 120
ROWS = RNG.normal(size=(N, 3)) * [1.0, 2.0, 0.5] + [0.0, 5.0, -1.0]
LINEAR = ROWS @ [1.0, -0.5, 2.0] + 3.0 + RNG.normal(size=N)
COUNTS = RNG.poisson(np.exp(ROWS @ [0.4, -0.2, 0.3] + 1.5)).astype(float)
YES = RNG.binomial(1, 1 / (1 + np.exp(-ROWS @ [1.0, -0.3, 0.4]))).astype(float)
WEIGHTS = RNG.randint(0, 4, size=N).astype(float)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("family", ["gaussian", "poisson", "logistic"])
def test_one_component_is_the_generalised_linear_model(family, weights, fit_intercept):
    shared = {"fit_intercept": fit_intercept}
    y, other = {
        "gaussian": (LINEAR, LinearRegression(**shared)),
        "poisson": (
            COUNTS,
            PoissonRegressor(alpha=0, solver="newton-cholesky", tol=1e-10, **shared),
        ),
        "logistic": (YES, LogisticRegression(C=np.inf, tol=1e-10, max_iter=500, **shared)),
    }[family]
    model = MixtureRegressor(1, family=family, tol=1e-14, **shared).fit(ROWS, y, weights)
    other.fit(ROWS, y, sample_weight=weights)
    np.testing.assert_allclose(model.coef_[0], np.ravel(other.coef_), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.intercept_, np.ravel(other.intercept_), rtol=1e-5, atol=1e-6)
    theirs = other.predict_proba(ROWS)[:, 1] if family == "logistic" else other.predict(ROWS)
    np.testing.assert_allclose(model.predict(ROWS), theirs, rtol=1e-5)
    assert model.n_parameters_ == 3 + fit_intercept + (family == "gaussian")


def test_ridge_is_that_of_scikit_learn():
    model = MixtureRegressor(1, alpha=7.0).fit(ROWS, LINEAR)
    other = Ridge(alpha=7.0).fit(ROWS, LINEAR)
    np.testing.assert_allclose(model.coef_[0], other.coef_, rtol=1e-9)
    logistic = MixtureRegressor(1, family="logistic", alpha=2.0, tol=1e-14).fit(ROWS, YES)
    theirs = LogisticRegression(C=0.5, tol=1e-10).fit(ROWS, YES)
    np.testing.assert_allclose(logistic.coef_, theirs.coef_, rtol=1e-4)


@pytest.mark.parametrize("offset", [1e6, 1e8])
def test_data_far_from_the_origin(offset):
    here = MixtureRegressor(1).fit(ROWS, LINEAR)
    there = MixtureRegressor(1).fit(ROWS + offset, LINEAR + offset)
    np.testing.assert_allclose(there.coef_, here.coef_, rtol=offset * 1e-13)
    np.testing.assert_allclose(there.variances_, here.variances_, rtol=offset * 1e-13)


def test_columns_that_depend_on_each_other():
    X = np.column_stack([ROWS, ROWS[:, 0] + ROWS[:, 1], np.full(N, 1e8)])
    for family, y in (("gaussian", LINEAR), ("poisson", COUNTS)):
        settings_ = {"family": family, "tol": 1e-12}
        ours = MixtureRegressor(1, **settings_).fit(X, y)
        plain = MixtureRegressor(1, **settings_).fit(ROWS, y)
        np.testing.assert_allclose(ours.predict(X), plain.predict(ROWS), rtol=1e-6)
        assert ours.coef_[0, -1] == 0.0


# ------------------------------------------------------------------ densities


def mixture_data(K=2, family="gaussian", n=60, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.uniform(-2, 2, size=(n, 2))
    coef, intercept = rng.normal(size=(K, 2)), np.linspace(-1.0, 2.0, K)
    z = rng.randint(K, size=n)
    eta = np.sum(X * coef[z], axis=1) + intercept[z]
    if family == "gaussian":
        return X, 3 * eta + 0.3 * rng.normal(size=n)
    if family == "poisson":
        return X, rng.poisson(np.exp(eta)).astype(float)
    successes = rng.binomial(6, 1 / (1 + np.exp(-eta)))
    return X, np.column_stack([successes, 6 - successes]).astype(float)


def component_densities(model, X, y):
    """Log-densities (n, K) by scipy."""
    mean = model.predict_components(X)
    if model.family == "gaussian":
        return norm.logpdf(y[:, None], mean, np.sqrt(model.variances_))
    if model.family == "poisson":
        return poisson.logpmf(y[:, None], mean)
    return binom.logpmf(y[:, :1], y.sum(axis=1, keepdims=True), mean)


@pytest.mark.parametrize("gate", [None, "softmax"])
@pytest.mark.parametrize("family", ["gaussian", "poisson", "binomial"])
def test_the_likelihood_is_that_of_the_formula(family, gate):
    X, y = mixture_data(3, family)
    model = fitted(
        MixtureRegressor(3, family=family, gate=gate, random_state=0, n_init=1, max_iter=8), X, y
    )
    if gate:
        log_weights = log_softmax(X @ model.gate_coef_.T + model.gate_intercept_, axis=1)
    else:
        log_weights = np.log(np.tile(model.weights_, (len(X), 1)))
    joint = component_densities(model, X, y) + log_weights
    rows = logsumexp(joint, axis=1)
    np.testing.assert_allclose(model.log_likelihood_samples(X, y), rows, rtol=1e-9)
    assert model.log_likelihood(X, y) == pytest.approx(rows.sum())
    assert model.lower_bound_ == pytest.approx(rows.mean())
    np.testing.assert_allclose(
        model.responsibilities(X, y), np.exp(joint - rows[:, None]), rtol=1e-7, atol=1e-12
    )
    np.testing.assert_array_equal(model.predict_labels(X, y), joint.argmax(axis=1))
    np.testing.assert_allclose(model.predict_weights(X), np.exp(log_weights))
    np.testing.assert_allclose(
        model.predict(X), np.sum(np.exp(log_weights) * model.predict_components(X), axis=1)
    )


def test_few_known_labels_leave_starts_a_choice():
    """Regressions that cross: rows near a known one are often of another."""
    rng = np.random.RandomState(0)
    groups = np.repeat(np.arange(60), 5)
    x, first = rng.uniform(0, 10, size=300), (rng.uniform(size=60) < 0.4)[groups]
    y = np.where(first, 3 * x, 20 - x) + 3 * rng.normal(size=300)
    labels = np.where(groups < 5, first, -1)
    X = x[:, None]
    best = MixtureRegressor(init_params=first.astype(int)).fit(X, y, groups=groups, labels=labels)
    model = MixtureRegressor(random_state=0).fit(X, y, groups=groups, labels=labels)
    assert model.lower_bound_ == pytest.approx(best.lower_bound_, abs=1e-6)
    np.testing.assert_allclose(model.coef_, best.coef_, atol=1e-2)
    drawn = MixtureRegressor(init_params="random", random_state=1, n_init=1)
    drawn.fit(X, y, groups=groups, labels=labels)
    assert drawn.lower_bound_ == pytest.approx(best.lower_bound_, abs=1e-6)


def test_blocks_without_a_response_are_named():
    X, y = mixture_data()
    with pytest.raises(TypeError, match=r"Block 1 has no y\. A block is a pair \(table, dict\)"):
        MixtureRegressor().fit_blocks(lambda: [(X, {"y": y}), X])


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_icl_is_the_bic_of_rows_with_labels(family):
    X, y = mixture_data(2, family)
    groups, weights = np.arange(len(y)) // 2, np.repeat(np.arange(len(y) // 2) % 3, 2)
    model = MixtureRegressor(family=family, random_state=0, n_init=2).fit(X, y)
    sure = np.log(model.responsibilities(X, y).max(axis=1))
    assert model.icl(X, y) == pytest.approx(model.bic(X, y) - 2 * sure.sum())
    known = {"groups": groups, "sample_weight": weights}
    sure = np.log(model.responsibilities(X, y, groups=groups).max(axis=1))[::2]
    assert model.icl(X, y, **known) == pytest.approx(
        model.bic(X, y, **known) - 2 * weights[::2] @ sure
    )


def test_a_gate_that_is_a_step_is_named():
    rng = np.random.RandomState(0)
    x = rng.uniform(0, 10, size=100)
    y = np.where(x < 5, 1.0, 9.0) + 0.1 * rng.normal(size=100)
    with pytest.warns(DegenerateComponentsWarning, match=r"The gate tells components \[0, 1\]"):
        model = MixtureRegressor(gate="softmax", n_init=1, random_state=0).fit(x[:, None], y)
    assert np.isfinite(model.gate_coef_).all()
    assert model.predict_weights(x[:, None]).max(axis=1).min() > 0.99
    blurred = y[rng.permutation(100)]  # which the covariate says nothing of
    with warnings.catch_warnings():
        warnings.simplefilter("error", DegenerateComponentsWarning)
        MixtureRegressor(gate="softmax", n_init=1, random_state=0).fit(x[:, None], blurred)
        MixtureRegressor(1, gate="softmax").fit(x[:, None], y)


def test_score_is_r2():
    X, y = mixture_data()
    model = MixtureRegressor(random_state=0, n_init=2).fit(X, y)
    weights = np.arange(len(y)) % 3
    assert model.score(X, y) == pytest.approx(r2_score(y, model.predict(X)))
    weighed = model.score(X, y, sample_weight=weights)
    assert weighed == pytest.approx(r2_score(y, model.predict(X), sample_weight=weights))


def test_score_of_successes_and_failures_is_that_of_shares():
    trials = RNG.randint(0, 6, size=N)
    successes = RNG.binomial(trials, 0.4)
    y = np.column_stack([successes, trials - successes])
    model = MixtureRegressor(1, family="binomial").fit(ROWS, y)
    single = np.concatenate([[1] * a + [0] * b for a, b in y])
    mean = np.divide(successes, trials, out=np.zeros(N), where=trials > 0)
    expected = r2_score(mean, model.predict(ROWS), sample_weight=trials)
    assert model.score(ROWS, y) == pytest.approx(expected)
    # one trial a row: the same as zeros and ones
    rows = np.repeat(ROWS, trials, axis=0)
    two = np.column_stack([single, 1 - single])
    assert model.score(rows, two) == pytest.approx(r2_score(single, model.predict(rows)))
    assert np.isfinite(cross_val_score(model, ROWS, y, cv=2)).all()


@pytest.mark.parametrize("gate", [None, "softmax"])
@pytest.mark.parametrize("family", ["gaussian", "poisson", "binomial"])
@pytest.mark.parametrize("grouped", [False, True])
def test_the_gradient_is_zero_at_the_optimum(family, gate, grouped):
    X, y = mixture_data(3, family, n=150)
    groups = np.arange(150) // 3 if grouped else None
    X = X.copy()
    if grouped:
        X[:, 1] = np.repeat(X[::3, 1], 3)
    model = MixtureRegressor(
        3,
        family=family,
        gate=gate,
        gate_features=[1] if gate else None,
        tol=1e-15,
        max_iter=3000,
        n_init=1,
        init_params=np.arange(150) // 3 % 3,
        accelerate="squarem",
    ).fit(X, y, groups=groups)
    free = {"coef_": ..., "intercept_": ..., "variances_": ...}
    free |= {"gate_coef_": np.s_[1:], "gate_intercept_": np.s_[1:]}
    for name, where in free.items():
        if not hasattr(model, name):
            continue
        value = getattr(model, name)
        for place in np.ndindex(value[where].shape):
            moved, h = [], 1e-5 * max(1.0, abs(value[where][place]))
            for sign in (1, -1):
                other = value.copy()
                other[where][place] += sign * h
                setattr(model, name, other)
                moved.append(model.log_likelihood(X, y, groups=groups))
            setattr(model, name, value)
            assert abs(moved[0] - moved[1]) / (2 * h) < 2e-2, (name, place)


def test_the_posterior_of_a_gate_by_enumeration():
    rng = np.random.RandomState(3)
    Z, density = rng.normal(size=(5, 2)), rng.normal(size=(5, 3))
    now = GateParameters(
        np.r_[np.zeros((1, 2)), rng.normal(size=(2, 2))], np.arange(3.0), np.ones(3) / 3
    )
    posterior, _, rows = Gate(2).posterior(now, density, covariates=Z)
    expected, total = Gate(2).enumerate(now, density, Z)
    np.testing.assert_allclose(posterior, expected, rtol=1e-10)
    assert rows.sum() == pytest.approx(total)


@pytest.mark.parametrize("gate", [None, "softmax"])
def test_groups_by_enumeration(gate):
    X, y = mixture_data(2, "poisson", n=9)
    groups = np.array(list("abcabcabb"))
    Z = np.array([{"a": -1.0, "b": 0.5, "c": 2.0}[g] for g in groups])[:, None]
    X = np.column_stack([X, Z])
    settings_ = {"gate": gate, "gate_features": [2] if gate else None, "features": [0, 1]}
    start = np.isin(groups, ["a"]).astype(int)
    model = fitted(
        MixtureRegressor(2, family="poisson", init_params=start, max_iter=4, n_init=1, **settings_),
        X,
        y,
        groups=groups,
    )
    density = component_densities(model, X, y)
    log_weights = np.log(model.predict_weights(X))
    names = list("abc")
    terms = {}
    for choice in product(range(2), repeat=3):
        value = 0.0
        for name, k in zip(names, choice, strict=True):
            rows = np.flatnonzero(groups == name)
            value += density[rows, k].sum() + log_weights[rows[0], k]
        terms[choice] = value
    total = logsumexp(list(terms.values()))
    assert model.log_likelihood(X, y, groups=groups) == pytest.approx(total, rel=1e-12)
    assert model.log_likelihood_samples(X, y, groups=groups).sum() == pytest.approx(total)
    posterior = model.responsibilities(X, y, groups=groups)
    for i, name in enumerate(names):
        one = sum(np.exp(v - total) for choice, v in terms.items() if choice[i] == 1)
        np.testing.assert_allclose(posterior[groups == name, 1], one, rtol=1e-9)
    own = np.array([posterior[groups == name][0] for name in names]).mean(axis=0)
    again = MixtureRegressor(2, family="poisson", max_iter=1, n_init=1, **settings_)
    again.set_params(init_params={k[:-1]: v for k, v in parameters_of(model).items()})
    fitted(again, X, y, groups=groups)
    np.testing.assert_allclose(again.weights_, own, rtol=1e-9)  # a group counts once


# ----------------------------------------------------------------------- laws


@pytest.mark.filterwarnings("ignore::emlearn.exceptions.DegenerateComponentsWarning")
@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from(["gaussian", "poisson", "binomial"]),
    st.sampled_from([None, "softmax"]),
)
def test_groups_may_lie_in_any_order(seed, family, gate):
    rng = np.random.RandomState(seed)
    X, y = mixture_data(2, family, n=30, seed=seed)
    groups = rng.randint(8, size=30)
    labels = rng.randint(2, size=8)[groups]
    order = rng.permutation(30)
    settings_ = {"family": family, "gate": gate, "max_iter": 5, "tol": 0.0, "n_init": 1}
    settings_ |= {"variance_floor": 1e-3, "gate_features": [] if gate else None}
    weights = rng.randint(1, 4, size=8)[groups].astype(float)
    models = []
    for rows in (np.arange(30), order):
        model = MixtureRegressor(2, init_params=labels[rows], **settings_)
        model.fit(X[rows], y[rows], weights[rows], groups=groups[rows])
        models.append(model)
    for name, value in parameters_of(models[0]).items():
        np.testing.assert_allclose(getattr(models[1], name), value, rtol=1e-6, atol=1e-7)
    shares = models[0].responsibilities(X, y, groups=groups)
    np.testing.assert_allclose(
        models[0].responsibilities(X[order], y[order], groups=groups[order]),
        shares[order],
        atol=1e-9,
    )


@pytest.mark.filterwarnings("ignore::emlearn.exceptions.DegenerateComponentsWarning")
@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from(["gaussian", "poisson", "binomial"]),
    st.sampled_from([None, "softmax"]),
    st.booleans(),
)
def test_weights_are_repetitions_and_the_likelihood_rises(seed, family, gate, grouped):
    rng = np.random.RandomState(seed)
    X, y = mixture_data(2, family, n=40, seed=seed)
    groups = np.repeat(np.arange(20), 2) if grouped else np.arange(40)
    if grouped:
        X = np.repeat(X[::2], 2, axis=0)
    counts = rng.randint(0, 3, size=groups.max() + 1)
    counts[:4] = 1
    labels = rng.randint(2, size=len(counts))
    pieces, names = [], []
    for g, c in enumerate(counts):
        for copy in range(c):
            own = np.flatnonzero(groups == g)
            pieces.append(own)
            names += [f"{g} {copy}"] * len(own)
    rows = np.concatenate(pieces)
    settings_ = {"family": family, "gate": gate, "max_iter": 6, "tol": 0.0, "n_init": 1}
    settings_ |= {"variance_floor": 1e-3}
    fits = []
    for data, more, start in (
        ((X, y, counts[groups].astype(float)), {"groups": groups}, labels[groups]),
        ((X[rows], y[rows]), {"groups": names}, labels[groups][rows]),
    ):
        model = MixtureRegressor(2, init_params=start, **settings_)
        model.fit(*data, **(more if grouped else {}))
        assert np.all(np.diff(model.lower_bounds_) >= -1e-9)
        fits.append(model)
    for name, value in parameters_of(fits[0]).items():
        np.testing.assert_allclose(getattr(fits[1], name), value, rtol=1e-5, atol=1e-6)


def test_blocks_change_nothing():
    X, y = mixture_data(2, "poisson", n=90)
    groups = np.repeat(np.arange(30), 3)
    settings_ = {"family": "poisson", "gate": "softmax", "gate_features": [], "n_init": 1}
    model = MixtureRegressor(2, init_params=groups % 2, max_iter=5, tol=0.0, **settings_)
    whole = fitted(model, X, y, groups=groups)
    with block_rows(20):
        pieces = fitted(clone(model).set_params(n_jobs=2), X, y, groups=groups)
    blocks = [
        (X[rows], {"y": y[rows], "groups": groups[rows]}) for rows in (np.s_[:45], np.s_[45:])
    ]
    streamed = clone(model).fit_blocks(blocks)
    for other in (pieces, streamed):
        for name, value in parameters_of(whole).items():
            np.testing.assert_allclose(getattr(other, name), value, rtol=1e-9, atol=1e-12)


def test_files_and_dask_and_scattered_groups(tmp_path, monkeypatch):
    X, y = mixture_data(2, "gaussian", n=90)
    groups = np.repeat(np.arange(30), 3)
    model = MixtureRegressor(2, init_params=groups % 2, max_iter=5, tol=0.0, n_init=1)
    whole = clone(model).fit(X, y, groups=groups)
    np.save(tmp_path / "rows.npy", X)
    monkeypatch.setattr("emlearn._blocks._MAPPED_BYTES", 0)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    with block_rows(20):
        others = [clone(model).fit(mapped, y, groups=groups)]
    order = np.r_[1:45, 0, 45:90]
    with pytest.raises(ValueError, match="must be together by group"):
        clone(model).fit(mapped, y, groups=groups[order])
    parts = (order[:45], order[45:])
    blocks = [(X[rows], {"y": y[rows], "groups": groups[rows]}) for rows in parts]
    with pytest.raises(ValueError, match="scattered"):
        clone(model).fit_blocks(blocks)
    start = {name[:-1]: value for name, value in parameters_of(whole).items()}
    settings_ = {"init_params": start, "max_iter": 3}
    scattered = clone(model).set_params(**settings_).fit_blocks(blocks)
    plain = clone(model).set_params(**settings_).fit(X, y, groups=groups)
    np.testing.assert_allclose(scattered.coef_, plain.coef_, rtol=1e-10)
    da = pytest.importorskip("dask.array")
    lazy = da.from_array(X, chunks=(45, 2))
    others.append(clone(model).fit(lazy, y, groups=groups))
    for other in others:
        for name, value in parameters_of(whole).items():
            np.testing.assert_allclose(getattr(other, name), value, rtol=1e-9)
    np.testing.assert_allclose(whole.predict(lazy).compute(), whole.predict(X))
    np.testing.assert_allclose(
        whole.predict_components(lazy).compute(), whole.predict_components(X)
    )


def test_a_gate_of_one_pair_is_logistic_regression():
    """With labels that are known the gate is a regression of the labels on its covariates."""
    rng = np.random.RandomState(3)
    X, y = mixture_data(2, n=200)
    labels = rng.binomial(1, 1 / (1 + np.exp(-X @ [1.0, -2.0] - 0.5)))
    model = MixtureRegressor(2, gate="softmax", tol=1e-14).fit(X, y, labels=labels)
    other = LogisticRegression(C=np.inf, tol=1e-10).fit(X, labels)
    np.testing.assert_allclose(model.gate_coef_[1], other.coef_[0], rtol=1e-4)
    np.testing.assert_allclose(model.gate_intercept_[1], other.intercept_[0], rtol=1e-4)
    assert not model.gate_coef_[0].any() and model.gate_intercept_[0] == 0
    np.testing.assert_allclose(model.weights_[1], labels.mean())


def test_a_gate_of_three_is_multinomial_regression_far_from_the_origin():
    rng = np.random.RandomState(3)
    X = rng.normal(size=(300, 2))
    scores = X @ rng.normal(size=(2, 3))
    labels = (scores + rng.gumbel(size=(300, 3))).argmax(axis=1)
    y = rng.normal(size=300) + labels
    far = X + [2000.0, -1e5]
    model = MixtureRegressor(3, gate="softmax", features=[], tol=1e-14, max_iter=50)
    model.fit(far, y, labels=labels)
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(X, labels)
    coef = other.coef_ - other.coef_[0]
    np.testing.assert_allclose(model.gate_coef_, coef, rtol=1e-3, atol=1e-4)
    assert model.coef_.shape == (3, 0)


def test_the_newton_step_of_the_gate_is_newtons():
    """Gradient and Hessian by hand, K = 3."""
    rng = np.random.RandomState(3)
    Z, K = rng.normal(size=(50, 2)), 3
    gate = Gate(2)
    now = GateParameters(
        np.r_[np.zeros((1, 2)), rng.normal(size=(2, 2))], np.array([0.0, 0.3, -0.5]), np.ones(3) / 3
    )
    density, weight = rng.normal(size=(50, K)), rng.uniform(0.5, 2, size=50)
    r, statistics, _ = gate.posterior(now, density, weight, covariates=Z)
    new = gate.m_step(statistics, None, now)
    p, z = np.exp(gate.log_probabilities(now, Z)), np.column_stack([np.ones(50), Z])
    gradient = ((r - weight[:, None] * p).T @ z)[1:].ravel()
    hessian = np.zeros((6, 6))
    for i in range(50):
        own = np.diag(p[i]) - np.outer(p[i], p[i])
        hessian += weight[i] * np.kron(own[1:, 1:], np.outer(z[i], z[i]))
    step = np.linalg.solve(hessian, gradient).reshape(2, 3)
    np.testing.assert_allclose(new.intercept[1:], now.intercept[1:] + step[:, 0], rtol=1e-8)
    np.testing.assert_allclose(new.coef[1:], now.coef[1:] + step[:, 1:], rtol=1e-8)


# ----------------------------------------------------------------------- steps


class Overshooting(EMMixin, BaseEstimator):
    """A mean, by steps three times as long as they should be."""

    def __init__(self, stepwise=True, tol=1e-12, max_iter=50):
        self.stepwise = stepwise
        self.tol = tol
        self.max_iter = max_iter

    def initial_parameters(self, X, sample_weight, random_state):
        return {"mean": np.array([5.0])}

    def e_step(self, parameters, X, sample_weight):
        rest = X[:, 0] - parameters["mean"][0]
        return Sums({"rest": rest.sum(), "n": float(len(X))}, signed=["rest"]), -np.sum(rest**2)

    def m_step(self, statistics, parameters):
        step = 3.0 * statistics["rest"] / statistics["n"]
        return {"mean": parameters["mean"] + step}

    def between(self, old, new, fraction):
        return {"mean": old["mean"] + fraction * (new["mean"] - old["mean"])}


def test_a_step_that_goes_too_far_is_halved():
    rng = np.random.RandomState(3)
    X = rng.normal(size=(20, 1))
    model = Overshooting(tol=1e-9).fit(X)
    assert model.converged_ and np.all(np.diff(model.lower_bounds_) >= -1e-11)
    assert model.mean_[0] == pytest.approx(X.mean(), abs=1e-5)
    assert model.n_e_steps_ > model.n_iter_ + 1
    with pytest.warns(ObjectiveFellWarning):
        Overshooting(stepwise=False, max_iter=5).fit(X)


def test_a_step_that_leads_nowhere_is_not_made():
    class Wrong:
        def e_step(self, theta):
            return Sums({"t": 1.0}), -abs(theta) if theta < 2 else np.nan

        def m_step(self, statistics, theta):
            return theta + 3.0

        def ascent(self, old, new, statistics):
            return 0.0

        def between(self, old, new, fraction):
            return old + fraction * (new - old)

    result = run(Wrong(), 1.0, tol=1e-9, max_iter=10)
    assert result.parameters == 1.0 and result.converged and result.fell is None


# ------------------------------------------------------------- fixed and shared


@pytest.mark.parametrize("family", ["gaussian", "poisson", "binomial"])
def test_components_that_share_a_coefficient(family):
    """What is shared maximises the likelihood: no move along it, or of what is free, is better."""
    X, y = mixture_data(2, family, n=80)
    equal = {"coef": [False, True]}
    model = MixtureRegressor(
        2, family=family, equal=equal, tol=1e-14, max_iter=3000, random_state=1, n_init=3
    ).fit(X, y)
    assert model.coef_[0, 1] == model.coef_[1, 1] and model.coef_[0, 0] != model.coef_[1, 0]
    free = MixtureRegressor(2, family=family, random_state=1, n_init=3).fit(X, y)
    assert model.n_parameters_ == free.n_parameters_ - 1
    assert model.log_likelihood(X, y) < free.log_likelihood(X, y)
    best, kept = model.log_likelihood(X, y), model.coef_.copy()
    for delta in ([[0, 1], [0, 1]], [[1, 0], [0, 0]], [[0, 0], [1, 0]]):
        for sign in (1, -1):
            model.coef_ = kept + sign * 1e-4 * np.array(delta)
            assert model.log_likelihood(X, y) < best + 1e-9
    model.coef_ = kept


def test_coefficients_that_are_fixed():
    X, y = mixture_data(2, n=80)
    fixed = {"coef": [[np.nan, 2.0], [np.nan, np.nan]], "intercept": [np.nan, 1.5]}
    model = MixtureRegressor(2, fixed=fixed, tol=1e-12, random_state=0, n_init=3).fit(X, y)
    assert model.coef_[0, 1] == 2.0 and model.intercept_[1] == 1.5
    assert model.n_parameters_ == 7
    assert np.all(np.diff(model.lower_bounds_) >= -1e-10)
    shared = MixtureRegressor(2, equal=["variances"], random_state=0).fit(X, y)
    tied = MixtureRegressor(2, variance_type="tied", random_state=0).fit(X, y)
    assert shared.n_parameters_ == tied.n_parameters_
    assert shared.log_likelihood(X, y) == pytest.approx(tied.log_likelihood(X, y), abs=1e-5)


def test_one_component_with_a_fixed_coefficient_is_an_offset():
    fixed = {"coef": [[1.0, np.nan, np.nan]]}
    model = MixtureRegressor(1, fixed=fixed).fit(ROWS, LINEAR)
    other = LinearRegression().fit(ROWS[:, 1:], LINEAR - ROWS[:, 0])
    np.testing.assert_allclose(model.coef_[0, 1:], other.coef_, rtol=1e-8)
    np.testing.assert_allclose(model.intercept_, other.intercept_, rtol=1e-8)


# --------------------------------------------------------------------- manners


def test_columns_by_name_and_number():
    pandas = pytest.importorskip("pandas")
    X, y = mixture_data(2, n=60)
    frame = pandas.DataFrame({"a": X[:, 0], "b": X[:, 1]})
    settings_ = {"gate": "softmax", "n_init": 1, "init_params": (y > y.mean()).astype(int)}
    named = MixtureRegressor(2, features=["a"], gate_features=["b"], **settings_).fit(frame, y)
    numbered = MixtureRegressor(2, features=[0], gate_features=[1], **settings_).fit(X, y)
    assert named.coef_.shape == named.gate_coef_.shape == (2, 1)
    np.testing.assert_array_equal(named.coef_, numbered.coef_)
    np.testing.assert_array_equal(named.predict(frame), numbered.predict(X))


def test_search_and_pipeline():
    X, y = mixture_data(2, n=80)
    groups = np.repeat(np.arange(20), 4)
    model = MixtureRegressor(random_state=0, n_init=1)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), model),
        {"mixtureregressor__n_components": [1, 2]},
        cv=GroupKFold(2),
    ).fit(X, y, groups=groups)
    assert np.all(np.isfinite(search.cv_results_["mean_test_score"]))
    assert search.predict(X).shape == (80,)


def test_samples_come_from_the_model():
    X, y = mixture_data(2, "poisson", n=80)
    model = MixtureRegressor(2, family="poisson", gate="softmax", random_state=0, n_init=1).fit(
        X, y
    )
    rows = np.repeat(X[:1], 20_000, axis=0)
    drawn, labels = model.sample(rows, random_state=1)
    assert drawn.mean() == pytest.approx(model.predict(X[:1])[0], rel=0.05)
    share = np.bincount(labels, minlength=2) / len(labels)
    np.testing.assert_allclose(share, model.predict_weights(X[:1])[0], atol=0.02)
    again, _ = model.sample(rows, random_state=1)
    np.testing.assert_array_equal(drawn, again)


def test_float32_and_pickle():
    X, y = mixture_data(2, n=60)
    model = MixtureRegressor(2, gate="softmax", random_state=0, n_init=2)
    model.fit(X.astype(np.float32), y)
    assert {value.dtype for value in parameters_of(model).values()} == {np.dtype(np.float32)}
    assert model.predict(X.astype(np.float32)).dtype == np.float32
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict(X), model.predict(X))


def test_partial_fit_with_groups_goes_on_from_a_fit():
    X, y = mixture_data(2, "poisson", n=120)
    groups = np.repeat(np.arange(40), 3)
    best = MixtureRegressor(2, family="poisson", random_state=0, n_init=2).fit(X, y, groups=groups)
    labels = best.predict_labels(X, y, groups=groups)
    model = MixtureRegressor(2, family="poisson", init_params=labels, max_iter=1)
    model.fit(X, y, groups=groups)
    for _ in range(25):
        for rows in (np.s_[:60], np.s_[60:]):
            model.partial_fit(X[rows], y[rows], groups=groups[rows])
    assert model.n_steps_ == 50
    value = model.log_likelihood(X, y, groups=groups)
    assert value == pytest.approx(best.log_likelihood(X, y, groups=groups), rel=5e-3)


# ------------------------------------------------------------------- bad input


def test_separation_is_stopped_and_said():
    X = np.linspace(-1, 1, 40)[:, None]
    with pytest.warns(DegenerateComponentsWarning, match="without error"):
        model = MixtureRegressor(1, family="logistic").fit(X, (X[:, 0] > 0.01).astype(float))
    assert np.all(np.isfinite(model.coef_)) and model.coef_[0, 0] > 50
    assert model.log_likelihood(X, (X[:, 0] > 0.01).astype(float)) > -1e-3
    held = MixtureRegressor(1, family="logistic", alpha=0.1).fit(X, (X[:, 0] > 0.01).astype(float))
    assert held.coef_[0, 0] < 50


def test_counts_that_are_all_zero():
    with pytest.warns(DegenerateComponentsWarning, match="counts of 0"):
        model = MixtureRegressor(1, family="poisson").fit(ROWS, np.zeros(N))
    assert np.all(model.predict(ROWS) < 1e-5) and np.all(np.isfinite(model.intercept_))


@pytest.mark.parametrize("n_components", [1, 2])
def test_a_perfect_fit_is_an_error_without_a_floor(n_components):
    X = np.arange(20.0)[:, None]
    with pytest.raises(ValueError, match="variance_floor"):
        MixtureRegressor(n_components).fit(X, 2 * X[:, 0] + 1)
    model = MixtureRegressor(n_components, variance_floor=0.01).fit(X, 2 * X[:, 0] + 1)
    np.testing.assert_allclose(model.predict(X), 2 * X[:, 0] + 1, atol=1e-6)


@pytest.mark.parametrize(
    ("settings_", "y", "message"),
    [
        ({}, None, "requires y to be passed"),
        ({}, np.ones(N - 1), "inconsistent numbers of samples"),
        ({}, np.full(N, np.nan), "NaN"),
        ({}, np.ones((N, 2)), "1d array"),
        ({"family": "poisson"}, -COUNTS - 1, "needs counts"),
        ({"family": "binomial"}, COUNTS, "zeros and ones"),
        ({"family": "binomial"}, -np.ones((N, 2)), "successes and the failures"),
        ({"family": "binomial"}, np.full(N, 0.3), r"got 0\.3 in row 0.*two columns"),
        ({"family": "gamma"}, LINEAR, "family"),
        ({"features": [7]}, LINEAR, "no column of X"),
        ({"features": ["age"]}, LINEAR, "no column 'age'"),
        ({"gate_features": [0]}, LINEAR, "Set gate='softmax'"),
        ({"alpha": -1.0}, LINEAR, "alpha"),
        ({"init_params": {"weights": [0.5, 0.5]}}, LINEAR, "'coef' is missing"),
        (
            {
                "init_params": {
                    "weights": [0.5, 0.5],
                    "coef": np.ones((2, 2)),
                    "intercept": np.ones(2),
                    "variances": np.ones(2),
                }
            },
            LINEAR,
            "of 2 features, but the regressions see 3",
        ),
        (
            {
                "init_params": {
                    "weights": [0.5, 0.5],
                    "coef": np.ones((2, 3)),
                    "intercept": np.ones(2),
                    "variances": np.zeros(2),
                }
            },
            LINEAR,
            "must be positive",
        ),
    ],
)
def test_bad_input(settings_, y, message):
    with pytest.raises(ValueError, match=message):
        MixtureRegressor(**settings_).fit(ROWS, y)


def test_bad_groups():
    groups = np.repeat(np.arange(N // 2), 2)
    uneven = np.where(np.arange(N) % 2, 1.0, 2.0)
    model = MixtureRegressor(n_init=1)
    with pytest.raises(ValueError, match="sample_weight changes within a group"):
        model.fit(ROWS, LINEAR, uneven, groups=groups)
    with pytest.raises(ValueError, match="labels: group number 0"):
        model.fit(ROWS, LINEAR, groups=groups, labels=np.arange(N) % 2)
    with pytest.raises(ValueError, match="gate changes within a group"):
        clone(model).set_params(gate="softmax").fit(ROWS, LINEAR, groups=groups)
    with pytest.raises(ValueError, match="groups must hold the group"):
        model.fit(ROWS, LINEAR, groups=groups[:-1])
    with pytest.raises(ValueError, match="missing value in row 3"):
        model.fit(ROWS, LINEAR, groups=[None if i == 3 else "a" for i in range(N)])
    with pytest.raises(NotFittedError):
        MixtureRegressor().predict(ROWS)


def test_families_say_that_they_have_no_covariates():
    family = GaussianRegression()
    with pytest.raises(TypeError, match="none of covariates"):
        family.sample(None, np.array([1, 2]), np.random.RandomState(0))


def test_binomial_constant_counts_the_ways():
    y, trials = np.array([2.0, 0.0]), np.array([5.0, 3.0])
    family = BinomialRegression()
    np.testing.assert_allclose(family.constant(y, trials), [np.log(10), 0.0], atol=1e-12)
    np.testing.assert_allclose(PoissonRegression().constant(y, None), -gammaln(y + 1), atol=1e-12)
