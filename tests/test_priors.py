"""Priors: the fit is a posterior mode, and the objective is the log-likelihood plus the log-density of the prior."""

import warnings

import numpy as np
import pytest
from scipy.special import digamma, gammaln
from scipy.stats import beta, dirichlet, invgamma, invwishart, multivariate_normal, norm
from scipy.stats import gamma as gamma_distribution
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from emlearn.distributions import (
    ConjugatePrior,
    Gaussian,
    NormalInverseWishart,
    Poisson,
    ProductPrior,
)
from emlearn.exceptions import ObjectiveFellWarning, SingularError
from emlearn.mixture import (
    BernoulliMixture,
    CategoricalMixture,
    GammaMixture,
    GaussianMixture,
    MixedMixture,
    Mixture,
    MultinomialMixture,
    PoissonMixture,
    StudentTMixture,
    VonMisesFisherMixture,
)

rng = np.random.RandomState(0)
N, K, D = 80, 2, 3
Z = np.arange(N) % K
NUMBERS = rng.randn(N, D) * [1.0, 2.0, 0.5] + Z[:, None]
COUNTS = rng.poisson(np.array([[2.0, 5.0, 1.0], [8.0, 5.0, 4.0]])[Z]).astype(float)
BINARY = (rng.rand(N, D) < np.array([[0.1, 0.8, 0.5], [0.7, 0.3, 0.5]])[Z]).astype(float)
CODES = (rng.rand(N, D) * 3 * np.array([[0.6], [1.0]])[Z]).astype(int)
CODES[0], CODES[1] = 0, 2
POSITIVE = rng.gamma(3.0, size=(N, D)) * (1 + 4 * Z[:, None])
DIRECTIONS = NUMBERS / np.linalg.norm(NUMBERS, axis=1, keepdims=True)
WEIGHTS = rng.randint(0, 4, size=N).astype(float)

NIW = NormalInverseWishart(mean=[1.0, 2.0, 3.0], mean_count=2.0, degrees_of_freedom=7.0, scale=3.0)


# ------------------------------------------------ log-densities, from scipy.stats


def poisson_log_prior(mixture, prior):
    shape, scale = 1 + prior.count * np.array(prior.mean), 1 / prior.count
    return gamma_distribution.logpdf(mixture.rates_, shape, scale=scale).sum()


def bernoulli_log_prior(mixture, prior):
    mean = np.array(prior.mean)
    a, b = 1 + prior.count * mean, 1 + prior.count * (1 - mean)
    return beta.logpdf(mixture.probabilities_, a, b).sum()


def multinomial_log_prior(mixture, prior):
    alpha = 1 + prior.count * np.array(prior.mean)
    return sum(dirichlet.logpdf(p / p.sum(), alpha) for p in mixture.probabilities_)


def categorical_log_prior(mixture, prior):
    blocks = np.split(np.array(prior.mean), np.cumsum([len(c) for c in mixture.categories_])[:-1])
    return sum(
        dirichlet.logpdf(p / p.sum(), 1 + prior.count * mean)
        for block, mean in zip(mixture.probabilities_, blocks, strict=True)
        for p in block
    )


def gamma_log_prior(mixture, prior):
    """Up to a constant: its normaliser has no closed form."""
    a, scale = mixture.shapes_, mixture.scales_
    mean, mean_log = np.split(np.array(prior.mean), 2)
    rows = (a - 1) * mean_log - mean / scale - a * np.log(scale) - gammaln(a)
    return prior.count * rows.sum()


def gaussian_log_prior(mixture, prior):
    means, values = mixture.means_, getattr(mixture, "scales_", None)
    values = mixture.covariances_ if values is None else values
    dof, scale, c = prior.degrees_of_freedom, prior.scale, prior.mean_count
    d, total = means.shape[1], 0.0
    match mixture.covariance_type:
        case "full":
            total += sum(invwishart.logpdf(v, dof, scale * np.eye(d)) for v in values)
            covariances = values
        case "tied":
            total += invwishart.logpdf(values, dof, scale * np.eye(d))
            covariances = [values] * len(means)
        case "diag":
            total += invgamma.logpdf(values, dof / 2, scale=scale / 2).sum()
            covariances = [np.diag(v) for v in values]
        case "spherical":
            total += invgamma.logpdf(values, dof / 2, scale=scale / 2).sum()
            covariances = [v * np.eye(d) for v in values]
    for mean, covariance in zip(means, covariances, strict=True):
        total += multivariate_normal.logpdf(mean, prior.mean, covariance / c)
    return total


CASES = {
    "poisson": (PoissonMixture, {}, COUNTS, ConjugatePrior(3.0, [1, 2, 3]), poisson_log_prior),
    "bernoulli": (
        BernoulliMixture,
        {},
        BINARY,
        ConjugatePrior(3.0, [0.2, 0.5, 0.9]),
        bernoulli_log_prior,
    ),
    "multinomial": (
        MultinomialMixture,
        {},
        COUNTS,
        ConjugatePrior(3.0, [1, 2, 3]),
        multinomial_log_prior,
    ),
    "categorical": (
        CategoricalMixture,
        {},
        CODES,
        ConjugatePrior(3.0, [0.2, 0.3, 0.5] * 3),
        categorical_log_prior,
    ),
    "gamma": (
        GammaMixture,
        {},
        POSITIVE,
        ConjugatePrior(3.0, [2, 3, 4, 0.3, 0.5, 0.7]),
        gamma_log_prior,
    ),
    **{
        f"gaussian {t}": (
            GaussianMixture,
            {"covariance_type": t, "reg_covar": 0},
            NUMBERS,
            NIW,
            gaussian_log_prior,
        )
        for t in ("full", "tied", "diag", "spherical")
    },
    **{
        f"student {t}": (
            StudentTMixture,
            {"covariance_type": t, "reg_covar": 0, "degrees_of_freedom": 9.0},
            NUMBERS,
            NIW,
            gaussian_log_prior,
        )
        for t in ("full", "diag")
    },
}
every_case = pytest.mark.parametrize("case", CASES)


def fit(case, sample_weight=None, X=None, **settings):
    estimator, own, data, prior, _ = CASES[case]
    defaults = {"prior": prior, "random_state": 0, "tol": 1e-10, "max_iter": 2000}
    mixture = estimator(**{"n_components": K, **own, **defaults, **settings})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("error", ObjectiveFellWarning)
        return mixture.fit(data if X is None else X, sample_weight=sample_weight)


def number(mixture):
    """All fitted parameters in one array."""
    values = [getattr(mixture, name) for name in mixture._published_names]
    return np.concatenate(
        [np.ravel(v) for value in values for v in (value if isinstance(value, list) else [value])]
    )


# ----------------------------------------------------------------- the objective


@every_case
@pytest.mark.parametrize("concentration", [None, 1.0, 4.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_objective_is_log_likelihood_plus_log_prior(case, concentration, weighted):
    _, _, X, prior, log_prior = CASES[case]
    weight = WEIGHTS if weighted else None
    n = WEIGHTS.sum() if weighted else N
    mixture = fit(case, weight, weight_concentration_prior=concentration)
    expected = n * mixture.score(X, sample_weight=weight) + log_prior(mixture, prior)
    if concentration is not None:
        expected += dirichlet.logpdf(mixture.weights_, np.full(K, concentration))
    assert mixture.lower_bound_ * n == pytest.approx(expected, rel=1e-9)
    assert mixture.lower_bounds_[-1] == mixture.lower_bound_


@every_case
@pytest.mark.parametrize("prior", ["given", "default"])
@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_the_objective_never_falls(case, prior, accelerate):
    settings = {} if prior == "given" else {"prior": prior}
    mixture = fit(case, weight_concentration_prior=2.0, accelerate=accelerate, **settings)
    assert len(mixture.lower_bounds_) > 2
    assert np.diff(mixture.lower_bounds_).min() > -1e-10 * abs(mixture.lower_bound_)


@every_case
def test_the_score_is_that_of_the_parameters_alone(case):
    _, _, X, _, log_prior = CASES[case]
    mixture = fit(case)
    assert mixture.score(X) == pytest.approx(mixture.score_samples(X).mean(), rel=1e-12)
    assert abs(mixture.lower_bound_ - mixture.score(X)) > 1e-4
    before = mixture.score_samples(X)
    mixture.set_params(prior=None, weight_concentration_prior=None)
    np.testing.assert_array_equal(mixture.score_samples(X), before)
    # and no other parameters are as likely as those without a prior
    assert mixture.score(X) < fit(case, prior=None, init_params=mixture.predict(X)).lower_bound_


@every_case
def test_the_default_prior_is_the_family_s_own(case):
    estimator, *_ = CASES[case]
    default = fit(case, prior="default")
    own = fit(case, prior=estimator._family.default_prior())
    np.testing.assert_array_equal(number(default), number(own))
    assert np.abs(number(default) - number(fit(case, prior=None))).max() > 1e-4


@every_case
def test_weights_are_repeated_rows_beside_a_prior(case):
    _, _, X, *_ = CASES[case]
    rows = np.repeat(np.arange(N), WEIGHTS.astype(int))
    for prior in (CASES[case][3], "default"):
        a = fit(case, WEIGHTS, prior=prior, init_params=Z, max_iter=5, tol=1e-3)
        b = fit(case, X=X[rows], prior=prior, init_params=Z[rows], max_iter=5, tol=1e-3)
        np.testing.assert_allclose(number(a), number(b), rtol=1e-7, atol=1e-10)
        assert a.lower_bound_ == pytest.approx(b.lower_bound_, rel=1e-9)


@every_case
def test_a_prior_is_not_written_to(case):
    estimator, own, X, prior, _ = CASES[case]
    given = estimator._family.default_prior()
    before = repr(given), repr(prior)
    estimator(K, prior=given, random_state=0, **own).fit(X)
    fit(case)
    assert (repr(given), repr(prior)) == before


# -------------------------------------------------------------- posterior modes


def one(case, **settings):
    return fit(case, n_components=1, **settings)


def test_modes_of_counts_and_shares():
    prior = ConjugatePrior(3.0, [1.0, 2.0, 3.0])
    pseudo = COUNTS.sum(axis=0) + 3.0 * np.array(prior.mean)
    np.testing.assert_allclose(one("poisson").rates_[0], pseudo / (N + 3.0), rtol=1e-12)
    found = one("multinomial").probabilities_[0]
    np.testing.assert_allclose(found, pseudo / pseudo.sum(), rtol=1e-12)
    yes = BINARY.sum(axis=0) + 3.0 * np.array([0.2, 0.5, 0.9])
    np.testing.assert_allclose(one("bernoulli").probabilities_[0], yes / (N + 3.0), rtol=1e-12)
    for j, found in enumerate(one("categorical").probabilities_):
        expected = np.bincount(CODES[:, j], minlength=3) + 3.0 * np.array([0.2, 0.3, 0.5])
        np.testing.assert_allclose(found[0], expected / expected.sum(), rtol=1e-12)


def test_a_missing_answer_counts_for_no_prior():
    X = BINARY.copy()
    X[::4, 0] = np.nan
    found = one("bernoulli", X=X).probabilities_[0, 0]
    assert found == pytest.approx((np.nansum(X[:, 0]) + 0.6) / (N * 3 / 4 + 3.0), rel=1e-12)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_modes_of_gaussians(covariance_type):
    c, dof, scale, m = 2.0, 7.0, 3.0, np.array([1.0, 2.0, 3.0])
    mixture = one(f"gaussian {covariance_type}")
    centre = NUMBERS.mean(axis=0)
    np.testing.assert_allclose(mixture.means_[0], (N * centre + c * m) / (N + c), rtol=1e-12)
    y, delta = NUMBERS - centre, centre - m
    scatter = y.T @ y + N * c / (N + c) * np.outer(delta, delta)
    if covariance_type in ("full", "tied"):
        expected = (scatter + scale * np.eye(D)) / (N + 1 + dof + D + 1)
    elif covariance_type == "diag":
        expected = (np.diag(scatter) + scale) / (N + 1 + dof + 2)
    else:
        expected = (np.trace(scatter) + scale) / (N * D + D + dof + 2)
    np.testing.assert_allclose(np.squeeze(mixture.covariances_), expected, rtol=1e-10)


def test_a_prior_without_a_mean_leaves_the_means_free():
    prior = NormalInverseWishart(mean_count=0.0, degrees_of_freedom=7.0, scale=3.0)
    mixture = one("gaussian full", prior=prior)
    np.testing.assert_allclose(mixture.means_[0], NUMBERS.mean(axis=0), rtol=1e-12)
    y = NUMBERS - NUMBERS.mean(axis=0)
    expected = (y.T @ y + 3.0 * np.eye(D)) / (N + 7.0 + D + 1)
    np.testing.assert_allclose(mixture.covariances_[0], expected, rtol=1e-10)


def test_modes_of_gamma_distributions():
    """The mean is that of data and prior together; the shape solves its equation."""
    mixture = one("gamma")
    m, logs = np.array([2, 3, 4]), np.array([0.3, 0.5, 0.7])
    mean = (POSITIVE.sum(axis=0) + 3 * m) / (N + 3)
    mean_log = (np.log(POSITIVE).sum(axis=0) + 3 * logs) / (N + 3)
    shapes = mixture.shapes_[0]
    np.testing.assert_allclose(shapes * mixture.scales_[0], mean, rtol=1e-12)
    np.testing.assert_allclose(np.log(shapes) - digamma(shapes), np.log(mean) - mean_log, rtol=1e-8)


@every_case
def test_nothing_near_the_fit_is_better(case):
    """Posterior modes: EM from the fit stays there."""
    mixture = fit(case, tol=1e-14)
    again = clone(mixture).set_params(warm_start=True)
    again.fit(CASES[case][2])
    assert again.lower_bound_ == pytest.approx(mixture.lower_bound_, abs=1e-9)


# ------------------------------------------------------------- weights of a mixture


def test_the_mode_of_the_weights():
    y = np.repeat([0, 1, 2], [50, 20, 10])
    X = 100.0 * y[:, None] + rng.randn(80, 2)
    for c in (1.0, 1.5, 20.0):
        mixture = GaussianMixture(3, weight_concentration_prior=c, init_params=y).fit(X)
        expected = (np.array([50, 20, 10]) + c - 1) / (80 + 3 * (c - 1))
        np.testing.assert_allclose(mixture.weights_, expected, rtol=1e-10)


def test_a_flat_prior_of_the_weights_is_none():
    a, b = fit("poisson", weight_concentration_prior=1.0), fit("poisson")
    np.testing.assert_array_equal(number(a), number(b))
    # Dirichlet(1, 1) is uniform on a segment: its density is 1
    assert a.lower_bound_ == pytest.approx(b.lower_bound_, rel=1e-12)


def test_the_weight_of_the_noise_has_the_same_prior():
    X = np.r_[NUMBERS, rng.uniform(-30, 30, size=(10, D))]
    mixture = GaussianMixture(
        2, noise=True, weight_concentration_prior=3.0, prior=NIW, reg_covar=0, tol=1e-10
    )
    mixture.set_params(max_iter=1000, random_state=0).fit(X)
    weights = np.append(mixture.weights_, mixture.noise_weight_)
    posterior = mixture.predict_proba(X)
    expected = (posterior.sum(axis=0) + 2.0) / (len(X) + 6.0)
    np.testing.assert_allclose(weights, expected, rtol=1e-4)
    value = len(X) * mixture.score(X) + dirichlet.logpdf(weights, [3.0] * 3)
    value += gaussian_log_prior(mixture, NIW)
    assert mixture.lower_bound_ * len(X) == pytest.approx(value, rel=1e-9)


# ------------------------------------------------------------- what priors are for


@every_case
def test_an_empty_component_is_the_mode_of_the_prior(case):
    start = np.zeros(N, dtype=int)
    mixture = fit(case, init_params=start, max_iter=0, weight_concentration_prior=2.0)
    assert mixture.weights_[1] == pytest.approx(1 / (N + 2))
    prior = CASES[case][3]
    if case.startswith(("gaussian", "student")):
        np.testing.assert_allclose(mixture.means_[1], prior.mean, rtol=1e-12)
        return
    m = np.array(prior.mean)
    match case:
        case "poisson":
            found, expected = mixture.rates_[1], m
        case "bernoulli":
            found, expected = mixture.probabilities_[1], m
        case "multinomial":
            found, expected = mixture.probabilities_[1], m / m.sum()
        case "categorical":
            found, expected = np.concatenate([p[1] for p in mixture.probabilities_]), m
        case "gamma":
            found, expected = mixture.shapes_[1] * mixture.scales_[1], m[:3]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("case", ["poisson", "bernoulli", "multinomial", "categorical", "gamma"])
def test_a_prior_that_counts_more_pulls_more(case):
    def spread(count):
        prior = ConjugatePrior(count, CASES[case][3].mean)
        mixture = fit(case, prior=prior, init_params=Z, max_iter=0)
        values = number(mixture)[K:]  # without the weights
        limit = number(one(case, prior=ConjugatePrior(1e9, prior.mean)))[1:]
        if case == "gamma":
            values, limit = (mixture.shapes_ * mixture.scales_).ravel(), np.array(prior.mean[:3])
        if case == "categorical":
            return np.abs(values.reshape(3, K, 3) - limit.reshape(3, 1, 3)).max()
        if case == "multinomial":
            values, limit = values[:-1], limit[:-1]
        return np.abs(values.reshape(K, -1) - limit).max()

    found = [spread(count) for count in (1e-3, 1.0, 10.0, 100.0, 1e4)]
    assert np.all(np.diff(found) < 0)
    assert found[-1] < 0.05 * found[0]


def test_degenerate_data_are_fitted_with_a_prior():
    same = np.repeat([[1.0, 2.0, 0.0], [1.0, 5.0, 0.0]], 20, axis=0)
    for estimator in (GaussianMixture, StudentTMixture):
        for kind in ("full", "tied", "diag", "spherical"):
            settings = {"covariance_type": kind, "reg_covar": 0, "random_state": 0}
            with pytest.raises(SingularError):
                estimator(2, **settings).fit(same)
            mixture = estimator(2, prior=NIW, **settings).fit(same)
            assert np.isfinite(mixture.score_samples(same)).all()
    positive = same + 1.0
    with pytest.raises(SingularError, match="a prior"):
        GammaMixture(2, random_state=0).fit(positive)
    prior = ConjugatePrior(1.0, [1, 1, 1, -0.5, -0.5, -0.5])
    mixture = GammaMixture(2, prior=prior, random_state=0).fit(positive)
    assert np.isfinite(mixture.score_samples(positive)).all()
    directions = same / np.linalg.norm(same, axis=1, keepdims=True)
    with pytest.raises(SingularError, match="a prior"):
        VonMisesFisherMixture(2, random_state=0).fit(directions)
    mixture = VonMisesFisherMixture(2, prior=ConjugatePrior(1.0, [0.0] * 3), random_state=0)
    assert np.isfinite(mixture.fit(directions).score_samples(directions)).all()


def test_no_probability_of_zero_with_a_prior():
    """A word, an answer, a category that a component never had is not impossible."""
    for case in ("bernoulli", "multinomial", "categorical", "poisson"):
        estimator, own, X, *_ = CASES[case]
        X = X.copy()
        X[:, 0] = Z  # only one component has it
        settings = {"init_params": Z, "tol": 1e-6, **own}
        sharp = number(estimator(K, **settings).fit(X))
        smooth = number(estimator(K, prior="default", **settings).fit(X))
        assert sharp.min() == 0 and smooth.min() > 1e-6


def test_priors_of_blocks():
    X = np.c_[NUMBERS, COUNTS]
    blocks = [("size", Gaussian("diag"), [0, 1, 2]), ("number", Poisson(), [3, 4, 5])]
    counts = ConjugatePrior(3.0, [1, 2, 3])
    settings = {"blocks": blocks, "tol": 1e-10, "max_iter": 1000, "random_state": 0}
    for priors in ({"size": NIW}, {"number": counts}, {"size": NIW, "number": counts}, {}):
        mixture = MixedMixture(K, prior=ProductPrior(priors), **settings).fit(X)
        value = N * mixture.score(X)
        if "size" in priors:
            v = mixture.size_covariances_
            value += invgamma.logpdf(v, 3.5, scale=1.5).sum()
            value += norm.logpdf(mixture.size_means_, NIW.mean, np.sqrt(v / 2)).sum()
        if "number" in priors:
            shape = 1 + 3.0 * np.array([1, 2, 3])
            value += gamma_distribution.logpdf(mixture.number_rates_, shape, scale=1 / 3).sum()
        assert mixture.lower_bound_ * N == pytest.approx(value, rel=1e-9)
    default = MixedMixture(K, prior="default", **settings).fit(X)
    own = ProductPrior({"size": NormalInverseWishart(), "number": ConjugatePrior()})
    same = MixedMixture(K, prior=own, **settings).fit(X)
    assert default.lower_bound_ == same.lower_bound_


def test_priors_are_reached_by_a_search():
    X, test = COUNTS[:20], COUNTS
    mixture = PoissonMixture(2, prior=ConjugatePrior(), random_state=0)
    grid = {"prior__count": [0.01, 1.0, 1000.0], "n_components": [1, 2]}
    split = [(np.arange(20), np.arange(20, 100))]
    search = GridSearchCV(mixture, grid, cv=split).fit(np.r_[X, test])
    for settings, value in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        direct = clone(mixture).set_params(**settings).fit(X)
        assert direct.prior.count == settings["prior__count"]
        assert value == direct.score(test)
    assert search.best_params_["prior__count"] != 1000.0
    assert mixture.prior.count == 1.0
    nested = Mixture(2, distribution=Gaussian(), prior=NormalInverseWishart())
    nested.set_params(prior__mean_count=5.0, distribution__covariance_type="diag")
    assert nested.prior.mean_count == 5.0
