"""The noise component: one of constant density beside those of a family."""

import warnings

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score

from emlearn.distributions import Gamma, Gaussian, StudentT
from emlearn.exceptions import ObjectiveFellWarning
from emlearn.mixture import GammaMixture, GaussianMixture, Mixture, StudentTMixture

TYPES = ["full", "tied", "diag", "spherical", "VVE", "EEI", "factor"]


def scatter(seed=0, n=150, n_noise=40, d=2):
    """Two clusters in positive numbers, uniform points over a box about them, and the labels."""
    rng = np.random.RandomState(seed)
    centres = np.array([[20.0] * d, [50.0] * d])
    y = np.r_[np.repeat([0, 1], n), np.full(n_noise, -1)]
    X = centres[np.maximum(y, 0)] + rng.randn(len(y), d)
    X[y < 0] = rng.uniform(1.0, 70.0, size=(n_noise, d))
    return X, y


X, Y = scatter()
MODELS = {
    **{f"gaussian {t}": (GaussianMixture, {"covariance_type": t}) for t in TYPES},
    "student": (StudentTMixture, {"degrees_of_freedom": 8.0}),
    "student free": (StudentTMixture, {}),
    "gamma": (GammaMixture, {}),
    "mixture": (Mixture, {"distribution": Gaussian("diag", reg_covar=1e-6)}),
}
every_model = pytest.mark.parametrize("model", MODELS)


def make(model, **settings):
    estimator, own = MODELS[model]
    defaults = {"n_components": 2, "noise": True, "random_state": 0, "tol": 1e-8}
    return estimator(**defaults | own | settings)


def fit(model, data=X, sample_weight=None, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", ObjectiveFellWarning)
        return make(model, **settings).fit(data, sample_weight=sample_weight)


def parameters(mixture):
    """All of them in one array, for comparisons."""
    names = [name for name in mixture._published_names if name != "noise_edges_"]
    return np.concatenate([np.ravel(getattr(mixture, name)) for name in names])


def hypvol(X):
    """mclust's: the smaller of the boxes along the axes and along the principal components."""
    _, axes = np.linalg.eigh(np.cov(X.T))
    return min(np.prod(np.ptp(X, axis=0)), np.prod(np.ptp((X - X.mean(axis=0)) @ axes, axis=0)))


# ------------------------------------------------------------------ the volume


@pytest.mark.parametrize("d", [2, 3, 5])
@pytest.mark.parametrize("correlated", [False, True])
def test_the_volume_is_that_of_mclust(correlated, d):
    rng = np.random.RandomState(d)
    data = rng.uniform(size=(200, d)) * np.arange(1, d + 1)
    if correlated:
        data = data @ rng.randn(d, d)
        data[:, 1] = data[:, 0] + 0.01 * data[:, 1]
    mixture = GaussianMixture(1, noise=True, max_iter=0).fit(data)
    axis_aligned = np.prod(np.ptp(data, axis=0))
    assert mixture.noise_volume_ == pytest.approx(hypvol(data), rel=1e-8)
    assert (hypvol(data) < 0.5 * axis_aligned) == correlated
    assert abs(np.linalg.det(mixture.noise_edges_)) == pytest.approx(hypvol(data), rel=1e-8)
    # and the region is a box with all of the data in it
    shares = (data - mixture.noise_origin_) @ np.linalg.inv(mixture.noise_edges_)
    assert shares.min() > -1e-9 and shares.max() < 1 + 1e-9
    gram = mixture.noise_edges_ @ mixture.noise_edges_.T
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-8 * gram.max())


def test_one_column():
    data = X[:, :1]
    mixture = GaussianMixture(2, noise=True, random_state=0).fit(data)
    assert mixture.noise_volume_ == pytest.approx(np.ptp(data), rel=1e-12)


def test_rows_of_weight_zero_are_not_in_the_region():
    weight = (np.abs(X - 35).max(axis=1) < 33).astype(float)
    mixture = GaussianMixture(2, noise=True, random_state=0).fit(X, sample_weight=weight)
    assert mixture.noise_volume_ == pytest.approx(hypvol(X[weight > 0]), rel=1e-8)


@pytest.mark.parametrize("volume", [1e-2, 123.4, 1e9])
def test_a_given_volume(volume):
    mixture = fit("gaussian full", noise=volume, init_params=Y)
    assert mixture.noise_volume_ == pytest.approx(volume, rel=1e-12)
    assert abs(np.linalg.det(mixture.noise_edges_)) == pytest.approx(volume, rel=1e-12)
    # far from every cluster there is noise only
    expected = np.log(mixture.noise_weight_ / volume)
    np.testing.assert_allclose(mixture.score_samples([[1e6, -1e6]]), expected, rtol=1e-12)


def test_the_volume_given_is_the_volume_found():
    a = fit("gaussian full")
    b = fit("gaussian full", noise=a.noise_volume_)
    assert b.lower_bound_ == pytest.approx(a.lower_bound_, rel=1e-12)
    np.testing.assert_allclose(b.means_, a.means_, rtol=1e-10)


# ------------------------------------------------------- a mixture like others


@every_model
def test_what_a_fit_publishes(model):
    mixture, plain = fit(model), fit(model, noise=False)
    assert mixture.weights_.shape == (2,)
    assert isinstance(mixture.noise_weight_, float)
    assert mixture.weights_.sum() + mixture.noise_weight_ == pytest.approx(1, abs=1e-12)
    assert mixture.n_parameters_ == plain.n_parameters_ + 2  # a weight, and the volume
    posterior = mixture.predict_proba(X)
    assert posterior.shape == (len(X), 3)
    np.testing.assert_allclose(posterior.sum(axis=1), 1, rtol=1e-12)
    density = mixture.noise_weight_ / mixture.noise_volume_
    np.testing.assert_allclose(
        posterior[:, 2], density / np.exp(mixture.score_samples(X)), rtol=1e-8
    )
    labels = mixture.predict(X)
    assert set(labels) == {-1, 0, 1}
    np.testing.assert_array_equal(labels, np.where((p := posterior.argmax(1)) == 2, -1, p))
    n, value = len(X), mixture.score(X)
    assert value == pytest.approx(mixture.score_samples(X).mean(), rel=1e-12)
    assert mixture.lower_bound_ == pytest.approx(value, rel=1e-12)
    assert mixture.lower_bounds_[-1] == mixture.lower_bound_
    assert mixture.bic(X) == pytest.approx(
        -2 * n * value + mixture.n_parameters_ * np.log(n), rel=1e-10
    )
    assert mixture.icl(X) == pytest.approx(
        mixture.bic(X) - 2 * np.log(posterior.max(axis=1)).sum(), rel=1e-10
    )


@every_model
@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_the_objective_never_falls(model, accelerate):
    mixture = fit(model, accelerate=accelerate, tol=0, max_iter=60)
    steps = np.diff(mixture.lower_bounds_)
    assert steps.min() > -1e-9 * abs(mixture.lower_bound_)


@every_model
def test_scattered_points_are_found(model):
    for seed in range(3):
        data, y = scatter(seed)
        mixture = fit(model, data)
        labels = mixture.predict(data)
        assert adjusted_rand_score(y, labels) > 0.9
        assert mixture.noise_weight_ == pytest.approx(np.mean(y < 0), abs=0.03)
        clusters = [data[labels == k].mean() for k in (0, 1)]
        np.testing.assert_allclose(np.sort(clusters), [20, 50], atol=0.5)


def test_without_noise_the_scattered_points_widen_the_clusters():
    wide, tight = fit("gaussian full", noise=False), fit("gaussian full")
    assert np.linalg.det(wide.covariances_).max() > 100
    np.testing.assert_allclose(np.linalg.det(tight.covariances_), 1, rtol=0.5)
    assert tight.bic(X) < wide.bic(X)


@every_model
def test_weights_are_repeated_rows(model):
    counts = np.random.RandomState(1).randint(0, 4, size=len(X))
    counts[[X[:, 0].argmin(), X[:, 0].argmax(), X[:, 1].argmin(), X[:, 1].argmax()]] = 1
    rows = np.repeat(np.arange(len(X)), counts)
    few = {"max_iter": 15, "tol": 0}
    weighted = fit(model, X, counts, init_params=Y, **few)
    repeated = fit(model, X[rows], init_params=Y[rows], **few)
    np.testing.assert_allclose(parameters(weighted), parameters(repeated), rtol=1e-6, atol=1e-9)
    assert weighted.score(X, sample_weight=counts) == pytest.approx(
        repeated.score(X[rows]), rel=1e-9
    )


# (which of its first parameters VVE goes on with depends on how far it may look)
@pytest.mark.parametrize("model", [m for m in MODELS if m != "gaussian VVE"])
def test_a_warm_start_goes_on(model):
    whole = fit(model, max_iter=6, tol=0)
    parts = make(model, max_iter=2, tol=0, warm_start=True)
    traces = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            traces.append(parts.fit(X).lower_bounds_)
    np.testing.assert_allclose(np.concatenate(traces), whole.lower_bounds_, rtol=1e-12)
    np.testing.assert_allclose(parameters(parts), parameters(whole), rtol=1e-9)


@every_model
def test_samples(model):
    mixture = fit(model)
    rows, labels = mixture.sample(4000, random_state=0)
    assert list(dict.fromkeys(labels)) == [0, 1, -1]
    assert np.mean(labels == -1) == pytest.approx(mixture.noise_weight_, abs=0.02)
    noise = rows[labels == -1]
    shares = (noise - mixture.noise_origin_) @ np.linalg.inv(mixture.noise_edges_)
    assert shares.min() > -1e-12 and shares.max() < 1 + 1e-12
    np.testing.assert_allclose(shares.mean(axis=0), 0.5, atol=0.06)
    assert adjusted_rand_score(mixture.predict(rows), labels) > 0.9


def test_noise_beside_positive_numbers_is_positive():
    """The box along the principal components reaches below 0; the samples do not."""
    rng = np.random.RandomState(0)
    data = rng.gamma(2.0, size=(300, 1)) * rng.gamma(500.0, 1 / 500, size=(300, 2))
    mixture = fit("gamma", data, n_components=1, init_params=np.repeat([0, -1], [200, 100]))
    corners = mixture.noise_origin_ + np.array([[0, 0], [1, 0], [0, 1]]) @ mixture.noise_edges_
    assert corners.min() < 0
    rows, labels = mixture.sample(2000, random_state=0)
    assert np.sum(labels == -1) > 1000 and rows.min() > 0
    mixture.predict(rows)


# ---------------------------------------------------------------------- starts


def test_what_the_start_leaves_out_begins_as_noise():
    start = np.where(np.arange(len(X)) % 5 == 0, -1, Y.clip(0))
    mixture = GaussianMixture(2, noise=True, max_iter=0, init_params=start).fit(X)
    assert mixture.noise_weight_ == pytest.approx(np.mean(start == -1), rel=1e-12)
    for k in (0, 1):
        np.testing.assert_allclose(mixture.means_[k], X[start == k].mean(axis=0), rtol=1e-12)
    shares = np.column_stack([0.7 * (Y.clip(0) == k) for k in (0, 1)])
    with pytest.raises(ValueError, match="sum to 1"):
        GaussianMixture(2, noise=True, init_params=shares).fit(X)


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random_from_data", "random", "labels"])
def test_noise_begins_with_a_twentieth_where_the_start_says_nothing(init):
    if init in ("k-means++", "random_from_data"):
        start = Mixture(2, distribution=Gaussian(reg_covar=1e-6), init_params=init, random_state=0)
        start.set_params(noise=True, max_iter=0)
    else:
        given = Y.clip(0) if init == "labels" else init
        start = GaussianMixture(2, noise=True, max_iter=0, init_params=given, random_state=0)
    mixture = start.fit(X)
    assert mixture.noise_weight_ == pytest.approx(0.05, rel=1e-9)
    assert mixture.weights_.sum() == pytest.approx(0.95, rel=1e-9)


def test_starts_that_do_not_go_with_noise():
    for settings in (
        {"means_init": X[:2]},
        {"weights_init": [0.5, 0.5]},
        {"covariance_type": "tied", "init_params": "k-means++"},
    ):
        with pytest.raises(ValueError, match=r"noise: .* starts from labels"):
            GaussianMixture(2, noise=True, **settings).fit(X)


# ------------------------------------------------------------ given parameters


def given(mixture):
    """The published parameters as from_parameters takes them."""
    names = {
        GaussianMixture: ["means", "covariances"],
        StudentTMixture: ["means", "scales", "degrees_of_freedom"],
        GammaMixture: ["shapes", "scales"],
        Mixture: ["means", "covariances"],
    }[type(mixture)]
    names += ["noise_weight", "noise_origin", "noise_edges"]
    return {name: getattr(mixture, f"{name}_") for name in names}


@pytest.mark.parametrize("model", ["gaussian full", "gaussian tied", "student", "gamma", "mixture"])
def test_from_parameters(model):
    settings = {"noise": True, **MODELS[model][1]}
    mixture = fit(model)
    fixed = settings.pop("degrees_of_freedom", None)
    twin = type(mixture).from_parameters(mixture.weights_, **given(mixture), **settings)
    if fixed is not None:
        twin.set_params(degrees_of_freedom=fixed)
    np.testing.assert_allclose(twin.predict_proba(X), mixture.predict_proba(X), atol=1e-10)
    assert twin.score(X) == pytest.approx(mixture.score(X), rel=1e-12)
    assert twin.n_components == 2
    np.testing.assert_array_equal(twin.sample(50, 0)[1], mixture.sample(50, 0)[1])
    before = parameters(mixture)
    np.testing.assert_allclose(parameters(twin.fit(X)), before, rtol=1e-3, atol=1e-3)


def test_from_parameters_refuses_what_is_no_mixture():
    good = given(fit("gaussian full")) | {"noise_weight": 0.1}
    GaussianMixture.from_parameters([0.5, 0.4], noise=True, **good)
    with pytest.raises(ValueError, match="normalized"):
        GaussianMixture.from_parameters([0.5, 0.5], noise=True, **good)
    for name in ("noise_weight", "noise_origin", "noise_edges"):
        some = {key: value for key, value in good.items() if key != name}
        with pytest.raises(ValueError, match=f"'{name}' is missing"):
            GaussianMixture.from_parameters([0.5, 0.4], noise=True, **some)


# -------------------------------------------------------------- the whole of EM


def plain_em(X, labels, volume, n_iter):
    """EM of full Gaussians and a uniform component, line by line."""
    resp = np.column_stack([labels == k for k in (0, 1, -1)]).astype(float)
    values = []
    for _ in range(n_iter + 1):
        weights = resp.mean(axis=0)
        means = [resp[:, k] @ X / resp[:, k].sum() for k in (0, 1)]
        covs = [(resp[:, k] * (X - means[k]).T) @ (X - means[k]) / resp[:, k].sum() for k in (0, 1)]
        density = [multivariate_normal(means[k], covs[k]).logpdf(X) for k in (0, 1)]
        joint = np.column_stack([*density, np.full(len(X), -np.log(volume))]) + np.log(weights)
        values.append(logsumexp(joint, axis=1).mean())
        resp = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    return weights, np.array(means), np.array(covs), np.array(values)


def test_em_of_gaussians_and_a_uniform_component():
    start = np.where(np.arange(len(X)) % 4 == 0, -1, Y.clip(0))
    mixture = fit("gaussian full", reg_covar=0, init_params=start, tol=0, max_iter=25)
    weights, means, covs, values = plain_em(X, start, hypvol(X), mixture.n_iter_)
    np.testing.assert_allclose([*mixture.weights_, mixture.noise_weight_], weights, rtol=1e-8)
    np.testing.assert_allclose(mixture.means_, means, rtol=1e-8)
    np.testing.assert_allclose(mixture.covariances_, covs, rtol=1e-8)
    np.testing.assert_allclose(mixture.lower_bounds_, values[1:], rtol=1e-10)


@pytest.mark.parametrize(
    "named, distribution",
    [
        (GaussianMixture(2, reg_covar=1e-5), Gaussian(reg_covar=1e-5)),
        (StudentTMixture(2), StudentT(reg_covar=1e-6)),
        (GammaMixture(2), Gamma()),
    ],
)
def test_the_noise_of_any_mixture_is_the_same(named, distribution):
    named.set_params(noise=True, random_state=0).fit(X)
    general = Mixture(2, distribution=distribution, noise=True, random_state=0).fit(X)
    np.testing.assert_array_equal(parameters(general), parameters(named))


@pytest.mark.parametrize("model", ["gaussian full", "student", "gamma"])
def test_single_precision(model):
    mixture = fit(model, X.astype(np.float32))
    double = fit(model, X.astype(np.float32).astype(np.float64))
    assert mixture.noise_edges_.dtype == mixture.weights_.dtype == np.float32
    np.testing.assert_allclose(parameters(mixture), parameters(double), rtol=1e-4, atol=1e-3)


def test_threads_change_no_bit():
    data = np.tile(X, (100, 1)) + np.random.RandomState(0).randn(100 * len(X), 2)
    one, two = (fit("gaussian full", data, n_jobs=n, max_iter=5, tol=0) for n in (1, 2))
    np.testing.assert_array_equal(parameters(one), parameters(two))
