"""Student-t mixtures: outliers do not move them, and their numbers are those of the distribution."""

import warnings

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_t

from emlearn.exceptions import ObjectiveFellWarning
from emlearn.mixture import GaussianMixture, StudentTMixture

CENTRES = np.array([[0.0, 0.0], [12.0, 0.0]])
TYPES = ["full", "tied", "diag", "spherical"]


def contaminated(seed, share=0.05, n=300):
    """Two Gaussian clusters; a share of the rows is scattered far and wide."""
    rng = np.random.RandomState(seed)
    X = CENTRES[np.arange(n) % 2] + rng.randn(n, 2)
    bad = rng.choice(n, int(share * n), replace=False)
    X[bad] = rng.uniform(-300.0, 300.0, size=(len(bad), 2))
    return X


def fit(X, K=2, estimator=StudentTMixture, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", ObjectiveFellWarning)
        return estimator(K, **{"random_state": 0, "tol": 1e-5, "max_iter": 1000, **settings}).fit(X)


def error_of_centres(mixture):
    means = mixture.means_[mixture.means_[:, 0].argsort()]
    return np.abs(means - CENTRES).max()


def dense(values, covariance_type, K, d):
    match covariance_type:
        case "full":
            return values
        case "tied":
            return [values] * K
        case "diag":
            return [np.diag(v) for v in values]
    return [v * np.eye(d) for v in values]


# -------------------------------------------------------------------- outliers


@pytest.mark.parametrize("seed", range(5))
def test_gross_outliers_do_not_move_the_centres(seed):
    X = contaminated(seed)
    mixture = fit(X, n_init=5)
    assert error_of_centres(mixture) < 0.5
    assert mixture.degrees_of_freedom_.min() < 3
    # a Gaussian mixture spends a component on them, or widens one
    assert error_of_centres(fit(X, estimator=GaussianMixture, n_init=5)) > 3


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_of_every_type(covariance_type, seed):
    X = contaminated(seed)
    assert error_of_centres(fit(X, n_init=5, covariance_type=covariance_type)) < 0.7


@pytest.mark.parametrize("df", ["tied", 0.5, 1.0])
def test_with_any_rule_for_the_degrees_of_freedom(df):
    for seed in range(3):
        mixture = fit(contaminated(seed), n_init=5, degrees_of_freedom=df)
        assert error_of_centres(mixture) < 0.7
        found = mixture.degrees_of_freedom_
        assert found.shape == (2,) and found[0] == found[1]
        if df == "tied":
            assert found[0] < 3
        else:
            assert found[0] == df


def test_the_farther_an_outlier_the_less_it_counts():
    X = contaminated(0, share=0.0)
    clean = fit(X, 1, degrees_of_freedom=3.0).means_
    moves = []
    for far in (1e2, 1e4, 1e6, 1e8):
        moved = fit(np.r_[X, [[far, far]]], 1, degrees_of_freedom=3.0, tol=1e-10).means_
        moves.append(np.abs(moved - clean).max())
    assert moves[0] < 0.2 and np.all(np.diff(moves) < 1e-5)
    assert moves[-1] < 1e-3


# --------------------------------------------------------------------- numbers


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("df", ["free", "tied", 0.7, 4.0])
def test_densities_are_those_of_scipy(df, covariance_type):
    X = contaminated(1)
    mixture = fit(X, covariance_type=covariance_type, degrees_of_freedom=df, reg_covar=0)
    scales = dense(mixture.scales_, covariance_type, 2, 2)
    joint = np.column_stack(
        [
            multivariate_t.logpdf(X, mean, scale, df=nu) + np.log(weight)
            for mean, scale, nu, weight in zip(
                mixture.means_,
                scales,
                mixture.degrees_of_freedom_,
                mixture.weights_,
                strict=True,
            )
        ]
    )
    np.testing.assert_allclose(mixture.score_samples(X), logsumexp(joint, axis=1), rtol=1e-9)
    np.testing.assert_allclose(
        mixture.predict_proba(X),
        np.exp(joint - logsumexp(joint, axis=1, keepdims=True)),
        atol=1e-9,
    )
    assert mixture.lower_bound_ == pytest.approx(mixture.score(X), rel=1e-12)


@pytest.mark.parametrize("df", [0.1, 1.0, 30.0, 1e5, 1e8, 1e12])
@pytest.mark.parametrize("d", [2, 4])
def test_log_density_to_the_last_digits(d, df):
    """For an even d the gamma functions are a product: gamma(a + d/2) / gamma(a) = a (a + 1) ..."""
    mixture = StudentTMixture.from_parameters(
        [1.0], [[0.0] * d], [[1.0] * d], df, covariance_type="diag"
    )
    constant = np.sum(np.log1p(2 * np.arange(d // 2) / df)) - d / 2 * np.log(2 * np.pi)
    for x in (0.0, 0.5, 30.0):
        expected = constant - (df + d) / 2 * np.log1p(d * x * x / df)
        found = mixture.score_samples([[x] * d])[0]
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_many_degrees_of_freedom_are_gaussian(covariance_type):
    X = contaminated(2, share=0.0)
    start = (X[:, 0] > 6).astype(int)
    settings = {"covariance_type": covariance_type, "init_params": start, "max_iter": 20}
    a = fit(X, degrees_of_freedom=1e10, **settings)
    b = fit(X, estimator=GaussianMixture, **settings)
    np.testing.assert_allclose(a.weights_, b.weights_, rtol=1e-6)
    np.testing.assert_allclose(a.means_, b.means_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(a.scales_, b.covariances_, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(a.score_samples(X), b.score_samples(X), rtol=1e-6)
    assert a.n_parameters_ == b.n_parameters_


def test_gaussian_rows_have_many_degrees_of_freedom():
    X = np.random.RandomState(0).randn(4000, 3)
    mixture = fit(X, 1, accelerate="squarem")
    assert mixture.degrees_of_freedom_[0] > 50
    bounded = fit(X, 1, degrees_of_freedom_bounds=(0.5, 20.0), accelerate="squarem")
    assert bounded.degrees_of_freedom_[0] == 20.0


@pytest.mark.parametrize("df", [0.8, 2.5, 6.0])
@pytest.mark.parametrize("d", [1, 3])
def test_degrees_of_freedom_are_recovered(d, df):
    n, rng = 20_000, np.random.RandomState(0)
    scale = 0.5 * np.eye(d) + 0.5
    X = (
        rng.multivariate_normal(np.zeros(d), scale, size=n)
        / np.sqrt(rng.chisquare(df, n) / df)[:, None]
    )
    mixture = fit(X + 7.0, 1, reg_covar=0, accelerate="squarem", tol=1e-9)
    assert mixture.degrees_of_freedom_[0] == pytest.approx(df, rel=0.08)
    np.testing.assert_allclose(mixture.means_[0], 7.0, atol=0.06)
    np.testing.assert_allclose(mixture.scales_[0], scale, atol=0.06)


def test_each_component_has_its_own_degrees_of_freedom():
    n, rng = 6000, np.random.RandomState(1)
    df = np.where(np.arange(n) % 2, 2.0, 30.0)
    X = rng.randn(n, 2) / np.sqrt(rng.chisquare(df) / df)[:, None] + CENTRES[np.arange(n) % 2] * 3
    free, tied = (
        fit(X, accelerate="squarem"),
        fit(X, degrees_of_freedom="tied", accelerate="squarem"),
    )
    order = free.means_[:, 0].argsort()
    heavy = free.degrees_of_freedom_[order[1]]
    assert heavy == pytest.approx(2.0, rel=0.15)
    assert free.degrees_of_freedom_[order[0]] > 10
    assert heavy < tied.degrees_of_freedom_[0] < free.degrees_of_freedom_[order[0]]
    assert free.lower_bound_ > tied.lower_bound_
    assert free.n_parameters_ == tied.n_parameters_ + 1
    assert tied.n_parameters_ == fit(X, degrees_of_freedom=3.0).n_parameters_ + 1


def test_samples_have_the_tails():
    mixture = StudentTMixture.from_parameters([1.0], [[1.0, 2.0]], [[[1.0, 0.3], [0.3, 2.0]]], 3.0)
    X, _ = mixture.sample(20_000, random_state=0)
    again = fit(X, 1, accelerate="squarem", tol=1e-9)
    assert again.degrees_of_freedom_[0] == pytest.approx(3.0, rel=0.08)
    np.testing.assert_allclose(again.means_[0], [1, 2], atol=0.05)
    np.testing.assert_allclose(again.scales_[0], [[1, 0.3], [0.3, 2]], atol=0.1)
    # covariances are scales times df / (df - 2)
    wide = StudentTMixture.from_parameters([1.0], [[0.0]], [[[2.0]]], 12.0)
    rows, _ = wide.sample(50_000, random_state=0)
    assert rows.var() == pytest.approx(2.0 * 12 / 10, rel=0.05)


@pytest.mark.parametrize("df", ["free", "tied", 2.0])
@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_the_objective_never_falls(df, accelerate):
    for seed in range(3):
        mixture = fit(
            contaminated(seed), degrees_of_freedom=df, accelerate=accelerate, tol=0, max_iter=80
        )
        assert np.diff(mixture.lower_bounds_).min() > -1e-10 * abs(mixture.lower_bound_)
