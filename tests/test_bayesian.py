"""BayesianGaussianMixture: scikit-learn's numbers, an honest bound, and every service of the engine."""

import warnings
from itertools import product

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import betaln, gammaln, logsumexp
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine, make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture as ScikitLearn
from threadpoolctl import threadpool_limits

from emlearn._parameters import ENGINE
from emlearn.datasets import load_faithful
from emlearn.em import block_rows
from emlearn.exceptions import ObjectiveFellWarning, SingularError
from emlearn.mixture import BayesianGaussianMixture

pytestmark = pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)

DATA = {
    "iris": (load_iris().data, 5),
    "wine": (load_wine().data[:, :6], 4),
    "faithful": (load_faithful().data, 6),
    "blobs": (make_blobs(300, centers=4, n_features=3, random_state=0)[0], 6),
}
COVARIANCES = ["full", "tied", "diag", "spherical"]
PRIORS = ["dirichlet_process", "dirichlet_distribution"]
STARTS = ["kmeans", "k-means++", "random", "random_from_data"]
CELLS = list(product(DATA, COVARIANCES, PRIORS, STARTS))
KINDS = list(product(COVARIANCES, PRIORS))
NAMES = [
    "weights_",
    "means_",
    "covariances_",
    "precisions_",
    "precisions_cholesky_",
    "weight_concentration_",
    "weight_concentration_prior_",
    "mean_precision_",
    "mean_precision_prior_",
    "mean_prior_",
    "degrees_of_freedom_",
    "degrees_of_freedom_prior_",
    "covariance_prior_",
]


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def mixture(cls, K, covariance_type, prior, start="kmeans", **options):
    return cls(
        n_components=K,
        covariance_type=covariance_type,
        weight_concentration_prior_type=prior,
        init_params=start,
        **{"random_state": 0, **options},
    )


def ours(data, covariance_type, prior, start="kmeans", **options):
    X, K = DATA[data]
    return mixture(BayesianGaussianMixture, K, covariance_type, prior, start, **options).fit(X)


def assert_near(actual, expected, rtol, name=""):
    actual, expected = np.asarray(actual), np.asarray(expected)
    np.testing.assert_allclose(
        actual, expected, rtol=rtol, atol=rtol * np.abs(expected).max(), err_msg=name
    )


def assert_same(a, b, rtol=1e-8, names=NAMES):
    for name in names:
        assert_near(getattr(a, name), getattr(b, name), rtol, name)


# ------------------------------------------------ scikit-learn's numbers


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_same_numbers_as_scikit_learn(cell):
    data, *kind = cell
    X, K = DATA[data]
    theirs = mixture(ScikitLearn, K, *kind).fit(X)
    fit = mixture(BayesianGaussianMixture, K, *kind).fit(X)
    assert fit.n_iter_ == theirs.n_iter_
    assert fit.converged_ == theirs.converged_
    assert_same(fit, theirs, rtol=1e-6)
    np.testing.assert_array_equal(fit.predict(X), theirs.predict(X))
    assert_near(fit.predict_proba(X), theirs.predict_proba(X), 1e-6)
    assert_near(fit.score_samples(X), theirs.score_samples(X), 1e-8)
    # scikit-learn's bound is that of the last M-step, with the responsibilities before it
    last = float(np.squeeze(theirs.lower_bound_))
    assert_near(fit._previous_objective, last, 1e-9)
    assert type(fit.lower_bound_) is float
    assert fit.lower_bound_ >= last - 1e-9 * abs(last)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_given_priors_and_samples_are_those_of_scikit_learn(kind):
    X, K = DATA["iris"]
    covariance = {
        "full": np.diag([1.0, 2.0, 1.5, 0.5]) + 0.1,
        "tied": np.diag([1.0, 2.0, 1.5, 0.5]) + 0.1,
        "diag": [1.0, 2.0, 1.5, 0.5],
        "spherical": 0.7,
    }[kind[0]]
    options = {
        "weight_concentration_prior": 0.3,
        "mean_precision_prior": 0.2,
        "mean_prior": [5.0, 3.0, 4.0, 1.0],
        "degrees_of_freedom_prior": 5.5,
        "covariance_prior": covariance,
        "reg_covar": 0.01,
        "max_iter": 300,
    }
    fit, theirs = (
        mixture(cls, K, *kind, **options).fit(X) for cls in (BayesianGaussianMixture, ScikitLearn)
    )
    assert fit.n_iter_ == theirs.n_iter_
    assert_same(fit, theirs, rtol=1e-6)
    for a, b in zip(fit.sample(50), theirs.sample(50), strict=True):
        assert_near(a, b, 1e-6)


def test_signature_and_attributes_are_those_of_scikit_learn():
    theirs = ScikitLearn().get_params()
    engine = {name: parameter.default for name, parameter in ENGINE.items()}
    expected = {**theirs, "n_jobs": None, "accelerate": None, **engine}
    assert expected == BayesianGaussianMixture().get_params()
    X = DATA["iris"][0]
    for prior in PRIORS:
        fit, reference = (
            mixture(cls, 3, "full", prior).fit(X) for cls in (BayesianGaussianMixture, ScikitLearn)
        )
        for name, value in vars(reference).items():
            if name.endswith("_") and name != "lower_bounds_":
                assert np.shape(getattr(fit, name)) == np.shape(value), name
    assert isinstance(ours("iris", "full", PRIORS[0]).weight_concentration_, tuple)


def test_no_information_criteria():
    fit = ours("iris", "full", PRIORS[0])
    for name in ("bic", "aic", "icl"):
        assert not hasattr(fit, name)
        with pytest.raises(AttributeError) as error:
            getattr(fit, name)
        assert "lower_bound_" in str(error.value.__cause__)
    assert not hasattr(fit, "n_parameters_")


# --------------------------------------------------------------- the bound


def dropped(fit, X):
    """What the bound leaves out: the constant of the Gaussian and the normalisers of the prior."""
    n, d = X.shape
    K, dof, prior = fit.n_components, fit.degrees_of_freedom_prior_, fit.covariance_prior_
    dense = prior * np.eye(d) if np.ndim(prior) < 2 else prior
    log_wishart = 0.5 * dof * (np.linalg.slogdet(dense)[1] - d * np.log(2))
    log_wishart -= gammaln(0.5 * (dof - np.arange(d))).sum()
    concentration = fit.weight_concentration_prior_
    if fit.weight_concentration_prior_type == "dirichlet_process":
        weights = -K * betaln(1.0, concentration)
    else:
        weights = gammaln(K * concentration) - K * gammaln(concentration)
    return (
        -0.5 * n * d * np.log(2 * np.pi)
        + K * (log_wishart + 0.5 * d * np.log(fit.mean_precision_prior_))
        + weights
    )


@pytest.mark.parametrize("prior", PRIORS)
def test_bound_in_one_dimension_by_quadrature(prior):
    X = DATA["faithful"][0][::9, :1]
    K = 2
    fit = mixture(
        BayesianGaussianMixture, K, "full", prior, weight_concentration_prior=0.8, max_iter=7
    ).fit(X)

    def mean_of(function, density):
        low, high = density.ppf([1e-13, 1 - 1e-13])
        points = density.ppf(np.linspace(0.001, 0.999, 9))
        return integrate.quad(
            lambda v: function(v) * density.pdf(v),
            low,
            high,
            points=points,
            epsabs=1e-11,
            limit=500,
        )[0]

    def divergence(q, p):
        return mean_of(lambda v: q.logpdf(v) - p.logpdf(v), q)

    concentration, scale = fit.weight_concentration_prior_, fit.covariance_prior_[0, 0]
    if prior == "dirichlet_process":
        sticks = [stats.beta(a, b) for a, b in zip(*fit.weight_concentration_, strict=True)]
        taken = [mean_of(np.log, q) for q in sticks]
        left = [mean_of(lambda v: np.log1p(-v), q) for q in sticks]
        log_weights = np.array(taken) + np.append(0.0, np.cumsum(left)[:-1])
        total = -sum(divergence(q, stats.beta(1.0, concentration)) for q in sticks)
    else:  # two components: a Beta
        q = stats.beta(*fit.weight_concentration_)
        log_weights = np.array([mean_of(np.log, q), mean_of(lambda v: np.log1p(-v), q)])
        total = -divergence(q, stats.beta(concentration, concentration))

    joint = np.empty((len(X), K))
    for k in range(K):
        m, beta, dof = fit.means_[k, 0], fit.mean_precision_[k], fit.degrees_of_freedom_[k]
        rate, rate0 = 0.5 * dof * fit.covariances_[k, 0, 0], 0.5 * scale
        q = stats.gamma(0.5 * dof, scale=1 / rate)
        total -= divergence(q, stats.gamma(0.5 * fit.degrees_of_freedom_prior_, scale=1 / rate0))
        ratio = fit.mean_precision_prior_ / beta
        far = fit.mean_precision_prior_ * (m - fit.mean_prior_[0]) ** 2
        # of the mean from its prior, for a given precision
        total -= mean_of(lambda v: 0.5 * (ratio - 1 - np.log(ratio) + v * far), q)  # noqa: B023
        precision, log_precision = mean_of(lambda v: v, q), mean_of(np.log, q)
        squares = precision * (X[:, 0] - m) ** 2 + 1 / beta
        joint[:, k] = log_weights[k] + 0.5 * (log_precision - np.log(2 * np.pi) - squares)
    total += logsumexp(joint, axis=1).sum()
    assert_near(fit.lower_bound_, total - dropped(fit, X), 1e-8)
    assert_near(fit.score_samples(X), logsumexp(joint, axis=1), 1e-8)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_bound_by_draws_from_the_posterior(kind):
    """The other models are normal-Wisharts too; the divergence from the prior as a mean over draws."""
    X, K, n_draws = DATA["faithful"][0][::6], 2, 4_000
    fit = mixture(BayesianGaussianMixture, K, *kind, max_iter=5, random_state=1).fit(X)
    rng = np.random.default_rng(0)
    d = X.shape[1]

    def dense(value, k):
        if kind[0] == "full":
            return value[k]
        if kind[0] == "tied":
            return value
        return np.diag(np.broadcast_to(value[k], d))

    prior = np.asarray(fit.covariance_prior_)
    prior = prior if prior.ndim == 2 else prior * np.eye(d)
    p = stats.wishart(fit.degrees_of_freedom_prior_, np.linalg.inv(prior))
    log_ratio = np.zeros(n_draws)
    for k in range(K):
        dof = np.broadcast_to(fit.degrees_of_freedom_, K)[k]
        q = stats.wishart(dof, dense(fit.precisions_, k) / dof)
        draws = q.rvs(n_draws, random_state=rng)
        columns = np.moveaxis(draws, 0, -1)
        log_ratio += q.logpdf(columns) - p.logpdf(columns)
        beta, beta0 = fit.mean_precision_[k], fit.mean_precision_prior_
        noise = rng.standard_normal((n_draws, d)) / np.sqrt(beta)
        inverse = np.linalg.inv(np.linalg.cholesky(draws))
        mean = fit.means_[k] + np.einsum("nji,nj->ni", inverse, noise)
        for sign, m, b in ((1, fit.means_[k], beta), (-1, fit.mean_prior_, beta0)):
            y = mean - m
            squares = b * np.einsum("ni,nij,nj->n", y, draws, y)
            log_ratio += sign * 0.5 * (d * np.log(b) - squares)  # log|precision| is in both
    weights = fit.weight_concentration_
    if kind[1] == "dirichlet_process":
        for a, b in zip(*weights, strict=True):
            v, p = stats.beta(a, b), stats.beta(1.0, fit.weight_concentration_prior_)
            draws = v.rvs(n_draws, random_state=rng)
            log_ratio += v.logpdf(draws) - p.logpdf(draws)
    else:
        v, p = stats.dirichlet(weights), stats.dirichlet([fit.weight_concentration_prior_] * K)
        draws = v.rvs(n_draws, random_state=rng).T
        draws = np.clip(draws, 1e-300, None)
        log_ratio += v.logpdf(draws / draws.sum(0)) - p.logpdf(draws / draws.sum(0))
    bound = fit.score_samples(X).sum() - log_ratio.mean() - dropped(fit, X)
    error = log_ratio.std() / np.sqrt(n_draws)
    assert abs(fit.lower_bound_ - bound) < 4 * error
    assert error < 0.1


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("reg_covar", [0.0, 0.1])
def test_the_bound_never_falls(data, kind, reg_covar):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ObjectiveFellWarning)
        fit = ours(data, *kind, "random", reg_covar=reg_covar, tol=1e-8, max_iter=200)
    if reg_covar == 0:
        rise = np.diff(fit.lower_bounds_)
        assert rise.min() >= -1e-11 * abs(fit.lower_bound_)


def test_the_best_start_has_the_highest_bound():
    fit = ours("wine", "full", PRIORS[0], "random", n_init=4)
    assert fit.restart_lower_bounds_.shape == (4,)
    assert fit.lower_bound_ == fit.restart_lower_bounds_.max()


# ------------------------------------------------- services of the engine


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_acceleration_ends_no_lower(kind):
    options = {"tol": 1e-6, "max_iter": 5000}
    for data in ("iris", "faithful"):
        plain = ours(data, *kind, **options)
        fast = ours(data, *kind, accelerate="squarem", **options)
        assert fast.converged_
        assert np.diff(fast.lower_bounds_).min() >= -1e-4  # reg_covar is no part of the bound
        assert fast.lower_bound_ >= plain.lower_bound_ - 1e-3
        assert fast.n_e_steps_ <= plain.n_e_steps_


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_weights_are_repetitions(kind):
    X, K = DATA["iris"]
    rng = np.random.RandomState(0)
    weight = rng.randint(0, 4, len(X))
    labels = rng.randint(0, K, len(X))
    rows = np.repeat(np.arange(len(X)), weight)
    fits = [
        mixture(BayesianGaussianMixture, K, *kind, start).fit(data, sample_weight=w)
        for data, w, start in ((X, weight, labels), (X[rows], None, labels[rows]))
    ]
    assert fits[0].n_iter_ == fits[1].n_iter_
    assert_same(*fits)
    assert_near(fits[0].lower_bound_, fits[1].lower_bound_, 1e-10)


def test_weights_that_sum_to_little_have_a_prior():
    X, _ = DATA["iris"]
    fit = BayesianGaussianMixture(n_components=2, random_state=0)
    fit.fit(X, sample_weight=np.full(len(X), 1e-3))
    assert_near(fit.covariance_prior_, 2 * np.cov(X.T, bias=True), 1e-10)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_threads_change_no_bit(kind):
    X, K = DATA["iris"]
    with block_rows(16), threadpool_limits(4):
        fits = [
            mixture(BayesianGaussianMixture, K, *kind, n_jobs=n, n_init=2).fit(X) for n in (1, 3)
        ]
    for name in [*NAMES, "lower_bounds_"]:
        a, b = (np.asarray(getattr(fit, name)) for fit in fits)
        np.testing.assert_array_equal(a, b)
    assert_same(fits[0], mixture(BayesianGaussianMixture, K, *kind, n_init=2).fit(X))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_float32(kind):
    X, K = DATA["iris"]
    narrow = mixture(BayesianGaussianMixture, K, *kind).fit(X.astype(np.float32))
    wide = mixture(BayesianGaussianMixture, K, *kind).fit(X.astype(np.float32).astype(np.float64))
    assert narrow.n_iter_ == wide.n_iter_
    assert_same(narrow, wide, rtol=1e-4)
    for name in ("means_", "covariances_", "mean_prior_", "covariance_prior_", "mean_precision_"):
        assert np.asarray(getattr(narrow, name)).dtype == np.float32, name
    assert all(a.dtype == np.float32 for a in np.atleast_2d(narrow.weight_concentration_))
    assert narrow.score_samples(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("start", ["kmeans", "random_from_data"])
def test_far_from_the_origin(kind, start):
    X, K = DATA["iris"]
    X = np.round(X * 8) / 8  # exact after the shift
    near, far = (
        mixture(BayesianGaussianMixture, K, *kind, start, max_iter=20).fit(X + offset)
        for offset in (0.0, 1e8)
    )
    if kind[0] == "tied" and start == "random_from_data":
        assert_near(far.lower_bound_, near.lower_bound_, 0.1)
        return  # scikit-learn's start is about the origin, so that it depends on the offset
    assert_near(far.covariances_, near.covariances_, 1e-5)
    assert_near(far.means_ - 1e8, near.means_, 1e-5)
    assert_near(far.weights_, near.weights_, 1e-5)
    assert_near(far.lower_bound_, near.lower_bound_, 1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_warm_start_resumes(kind):
    X, K = DATA["iris"]
    whole = mixture(BayesianGaussianMixture, K, *kind, max_iter=200).fit(X)
    step = mixture(BayesianGaussianMixture, K, *kind, max_iter=1, warm_start=True)
    for n_fits in range(1, whole.n_iter_ + 1):
        step.fit(X)
        assert step.converged_ == (n_fits == whole.n_iter_)
    assert_same(step, whole)
    assert_near(step.lower_bound_, whole.lower_bound_, 1e-12)


def test_warm_start_of_another_kind_is_refused():
    fit = ours("iris", "full", PRIORS[0], warm_start=True)
    fit.weight_concentration_prior_type = PRIORS[1]
    with pytest.raises(
        ValueError, match="warm_start continues a fit of full and dirichlet_process"
    ):
        fit.fit(DATA["iris"][0])


# ---------------------------------------------------------------- the model


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_components_that_are_not_needed_are_given_up(covariance_type):
    X, labels = make_blobs(600, centers=[[0, 0], [10, 0], [0, 10]], random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an empty component is no fault
        fit = BayesianGaussianMixture(
            n_components=10,
            covariance_type=covariance_type,
            weight_concentration_prior=1e-4,
            init_params="k-means++",
            max_iter=5000,
            random_state=0,
        ).fit(X)
    used = np.flatnonzero(fit.weights_ > 1e-3)
    assert len(used) == 3
    found = fit.predict(X)
    assert all(len(set(found[labels == k])) == 1 for k in range(3))
    # who has no rows has the prior
    idle = np.setdiff1d(np.arange(10), used)[-1]
    assert_near(fit.means_[idle], fit.mean_prior_, 1e-6)


def test_duplicated_rows_need_no_reg_covar():
    X = np.repeat([[0.0, 0.0], [5.0, 1.0], [1.0, 5.0]], 30, axis=0)
    for covariance_type in COVARIANCES:
        fit = mixture(BayesianGaussianMixture, 5, covariance_type, PRIORS[0], "random", reg_covar=0)
        assert np.isfinite(fit.fit(X).lower_bound_)


def test_parameters_set_by_hand_are_used():
    X, _ = DATA["iris"]
    fit = ours("iris", "full", PRIORS[0])
    other = BayesianGaussianMixture(n_components=5)
    for name in NAMES:
        if "prior" not in name:
            setattr(other, name, getattr(fit, name))
    other.n_features_in_ = 4
    np.testing.assert_array_equal(other.predict_proba(X), fit.predict_proba(X))
    fit.means_ = fit.means_ + 1.0
    np.testing.assert_allclose(fit.score_samples(X + 1.0), other.score_samples(X))


def test_fit_leaves_the_constructor_alone():
    X, _ = DATA["iris"]
    fit = BayesianGaussianMixture(n_components=2, mean_prior=[1, 2, 3, 4], random_state=0)
    before = clone(fit).get_params()
    fit.fit(X)
    assert fit.get_params() == before
    assert fit.mean_prior == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degrees_of_freedom_prior": 2.9}, "'degrees_of_freedom_prior' should be greater than 3"),
        ({"mean_prior": [1.0]}, "'means' should have the shape of"),
        ({"covariance_prior": [1.0]}, "'full covariance_prior' should have the shape of"),
        ({"covariance_prior": -np.eye(4)}, "should be symmetric, positive-definite"),
        ({"covariance_type": "diag", "covariance_prior": [1, 1, 1, 0]}, "should be positive"),
        ({"covariance_type": "spherical", "covariance_prior": [1, 1]}, "should have the shape of"),
        ({"weight_concentration_prior": 0.0}, "weight_concentration_prior"),
        ({"mean_precision_prior": -1.0}, "mean_precision_prior"),
        ({"mean_prior": [1, 2, np.nan, 4]}, "mean_prior contains NaN"),
    ],
    ids=str,
)
def test_priors_that_are_none(options, message):
    with pytest.raises(ValueError, match=message):
        BayesianGaussianMixture(n_components=2, **options).fit(DATA["iris"][0])


def test_a_singular_prior_is_an_error_that_says_so():
    X = np.c_[DATA["iris"][0], np.ones(150)]
    with pytest.raises(SingularError, match="ill-defined"):
        BayesianGaussianMixture(n_components=2, reg_covar=0, random_state=0).fit(X)
