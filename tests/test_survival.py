"""Data and arguments that break other mixtures: each is fitted soundly, or refused with a reason."""

import math
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

from emlearn.exceptions import DegenerateComponentsWarning, ObjectiveFellWarning
from emlearn.mixture import GaussianMixture

TYPES = ["full", "tied", "diag", "spherical"]
INITS = ["kmeans", "k-means++", "random", "random_from_data"]
FITTED = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]


def fit(X, sample_weight=None, **parameters):
    """The fitted mixture, and what it warned of."""
    mixture = GaussianMixture(**{"random_state": 0, "max_iter": 500, **parameters})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mixture.fit(X, sample_weight=sample_weight)
    return mixture, caught


def assert_usable(mixture, X):
    """Everything finite, every method an answer."""
    for name in FITTED:
        assert np.isfinite(getattr(mixture, name)).all(), name
    assert math.isfinite(mixture.lower_bound_)
    assert np.isfinite(mixture.lower_bounds_).all()
    assert np.isfinite(mixture.score_samples(X)).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        posterior = mixture.predict_proba(X)
        np.testing.assert_allclose(posterior.sum(axis=1), 1, rtol=1e-5)
        assert np.all(posterior >= 0)
        np.testing.assert_array_equal(mixture.predict(X), posterior.argmax(axis=1))
        assert np.isfinite([mixture.score(X), mixture.bic(X), mixture.aic(X), mixture.icl(X)]).all()
        assert np.isfinite(mixture.sample(5)[0]).all()


def dense(mixture):
    """Covariances as (K, d, d), whatever the type."""
    K, d = mixture.means_.shape
    C = np.asarray(mixture.covariances_)
    match mixture.covariance_type:
        case "tied":
            return np.broadcast_to(C, (K, d, d))
        case "diag":
            return C[:, :, None] * np.eye(d)
        case "spherical":
            return C[:, None, None] * np.eye(d)
    return C


def constrain(scatter, weights, covariance_type):
    """The covariances (K, d, d) that a type makes of full ones."""
    K, d = len(scatter), scatter.shape[1]
    if covariance_type == "tied":
        return np.broadcast_to(np.einsum("k,kij->ij", weights, scatter), (K, d, d))
    if covariance_type == "diag":
        return scatter * np.eye(d)
    if covariance_type == "spherical":
        return (np.trace(scatter, axis1=1, axis2=2) / d)[:, None, None] * np.eye(d)
    return scatter


def exact_covariance(X):
    """Covariance about the mean, in rational arithmetic."""
    X = [[Fraction(float(v)) for v in row] for row in X]
    n, d = len(X), len(X[0])
    mean = [sum(row[j] for row in X) / n for j in range(d)]
    return np.array(
        [
            [float(sum((r[i] - mean[i]) * (r[j] - mean[j]) for r in X) / n) for j in range(d)]
            for i in range(d)
        ]
    )


def blobs(n=120, d=3, K=3, seed=0, distance=12.0):
    """Well separated clusters and their labels."""
    rng = np.random.RandomState(seed)
    y = np.arange(n) % K
    return rng.randn(n, d) * (1 + 0.3 * np.arange(d)) + distance * np.eye(K, d)[y], y


# ------------------------------------------------------------ scales and offsets


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("d", [1, 3])
def test_two_values_far_apart_in_float32_have_no_variance_but_the_floor(d, covariance_type):
    X = np.repeat(np.array([[9999.0], [0.0]], dtype=np.float32), 50, axis=0).repeat(d, axis=1)
    # total scatter, where a one-row start of "tied" begins, is itself an optimum of such data
    for init in ["kmeans"] if covariance_type == "tied" else ["kmeans", "k-means++"]:
        mixture, _ = fit(
            X, n_components=2, reg_covar=0.1, covariance_type=covariance_type, init_params=init
        )
        np.testing.assert_allclose(
            dense(mixture), np.broadcast_to(0.1 * np.eye(d), (2, d, d)), rtol=1e-6
        )
        assert mixture.covariances_.dtype == np.float32
        np.testing.assert_allclose(np.sort(mixture.means_[:, 0]), [0, 9999], rtol=1e-7)
        assert_usable(mixture, X)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", ["labels", *INITS])
@pytest.mark.parametrize("offset", [1e4, 1e8, -1e8])
def test_an_offset_changes_means_only(offset, init, covariance_type):
    X, y = blobs()
    X = (X + offset) - offset  # what the offset leaves of the digits
    settings = {
        "n_components": 3,
        "covariance_type": covariance_type,
        "init_params": y if init == "labels" else init,
        "tol": 1e-13,
        "random_state": 3,
        "max_iter": 2000,
    }
    centred, _ = fit(X, **settings)
    shifted, _ = fit(X + offset, **settings)
    np.testing.assert_allclose(shifted.weights_, centred.weights_, rtol=1e-6)
    np.testing.assert_allclose(shifted.means_ - offset, centred.means_, rtol=1e-6, atol=1e-6)
    expected = dense(centred)
    np.testing.assert_allclose(dense(shifted), expected, rtol=1e-6, atol=1e-6 * expected.max())
    np.testing.assert_allclose(shifted.lower_bound_, centred.lower_bound_, rtol=1e-7)
    np.testing.assert_array_equal(shifted.predict(X + offset), centred.predict(X))


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("direction", ["first feature", "all features"])
@pytest.mark.parametrize("init", ["labels", "kmeans", "k-means++", "random_from_data"])
def test_tight_clusters_far_apart_each_have_their_own_variance(init, direction, covariance_type):
    rng = np.random.RandomState(0)
    d, y = 3, np.repeat([0, 1], 60)
    X = rng.randn(120, d) * np.where(y == 0, 1.0, 2.0)[:, None]
    X += np.where(y == 1, 1e8, 0.0)[:, None] * (
        np.ones(d) if direction == "all features" else np.eye(d)[0]
    )
    mixture, caught = fit(
        X,
        n_components=2,
        covariance_type=covariance_type,
        init_params=y if init == "labels" else init,
    )
    if covariance_type == "tied" and init in ("k-means++", "random_from_data"):
        # begins at the total scatter, which is an optimum: the fit must be sound, not tight
        assert_usable(mixture, X)
        assert not any(issubclass(w.category, ObjectiveFellWarning) for w in caught)
        return
    order = np.argsort(mixture.means_[:, 0])
    own = np.array([exact_covariance(X[y == 0]), exact_covariance(X[y == 1])])
    expected = constrain(own, np.array([0.5, 0.5]), covariance_type) + 1e-6 * np.eye(d)
    np.testing.assert_allclose(dense(mixture)[order], expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(
        np.argsort(order)[mixture.predict(X)], np.argsort(order)[order[y]]
    )
    assert mixture.converged_
    assert not caught, [str(w.message) for w in caught]
    assert_usable(mixture, X)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("d", [2, 5, 8])
def test_covariances_at_the_end_of_the_digits_are_no_error_and_no_alarm(d, init, covariance_type):
    """Two clusters in one component: a variance of 1e16 beside one of 1."""
    for seed in range(10):
        rng = np.random.RandomState(seed)
        y = np.repeat([0, 1], 60)
        X = rng.randn(120, d) * (1.0 + y)[:, None] + 1e8 * y[:, None]
        mixture, caught = fit(
            X,
            n_components=2,
            covariance_type=covariance_type,
            init_params=init,
            random_state=seed,
            max_iter=100,
        )
        assert not any(issubclass(w.category, ObjectiveFellWarning) for w in caught)
        for name in FITTED:
            assert np.isfinite(getattr(mixture, name)).all(), name
        assert math.isfinite(mixture.lower_bound_)
        assert set(np.unique(mixture.predict(X))) <= {0, 1}


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("scale", [1e-8, 1e8])
@pytest.mark.parametrize("init", ["labels", *INITS])
def test_parameters_scale_along_with_the_data(init, scale, covariance_type):
    X, y = blobs(distance=4.0)
    if init in ("k-means++", "random_from_data") and covariance_type != "tied":
        # one row has no variance: without a floor there is nothing to begin with, at any scale
        with pytest.raises(ValueError, match="ill-defined empirical covariance"):
            fit(
                X * scale,
                n_components=3,
                covariance_type=covariance_type,
                init_params=init,
                reg_covar=0,
            )
        return
    settings = {
        "n_components": 3,
        "covariance_type": covariance_type,
        "init_params": y if init == "labels" else init,
        "reg_covar": 0,
        "tol": 1e-5,
    }
    one, _ = fit(X, **settings)
    other, _ = fit(X * scale, **settings)
    assert other.n_iter_ == one.n_iter_
    np.testing.assert_allclose(other.weights_, one.weights_, rtol=1e-7)
    np.testing.assert_allclose(other.means_ / scale, one.means_, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(
        other.covariances_ / scale**2, one.covariances_, rtol=1e-7, atol=1e-7
    )
    np.testing.assert_allclose(
        other.lower_bound_, one.lower_bound_ - 3 * math.log(scale), rtol=1e-8
    )


# -------------------------------------------------------- degenerate but finite


def degenerate(name, seed=0):
    rng = np.random.RandomState(seed)
    match name:
        case "duplicates":
            return np.repeat(10 * rng.randn(3, 3), 30, axis=0), 3
        case "identical":
            return np.repeat(rng.randn(1, 3), 60, axis=0), 3
        case "constant column":
            X = rng.randn(90, 3)
            X[:, 1] = 7.0
            return X, 3
        case "integers":
            return rng.randint(0, 4, size=(400, 3)).astype(float), 20


def named_components(warning):
    """The components that a warning lists."""
    text = str(warning.message)
    return [int(k) for k in text[text.index("[") + 1 : text.index("]")].split(",")]


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("data", ["duplicates", "identical", "constant column", "integers"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_collapsed_components_are_finite_and_named(dtype, data, init, covariance_type):
    X, K = degenerate(data)
    X = X.astype(dtype)
    mixture, caught = fit(X, n_components=K, covariance_type=covariance_type, init_params=init)
    assert_usable(mixture, X)
    told = [w for w in caught if issubclass(w.category, DegenerateComponentsWarning)]
    assert len(caught) == len(told) <= 1, [str(w.message) for w in caught]
    if dtype == np.float32:  # rounded covariances no longer say which have collapsed
        return
    lowest = np.linalg.eigvalsh(dense(mixture))[:, 0]
    collapsed = np.flatnonzero((lowest < 1.5 * mixture.reg_covar) & (mixture.weights_ > 0))
    empty = np.flatnonzero(mixture.weights_ == 0)
    if init == "kmeans" and (data, covariance_type) != ("constant column", "spherical"):
        assert len(collapsed)  # these data do collapse
    assert bool(told) == bool(len(collapsed) or len(empty))
    if told:
        text = str(told[0].message)
        named = str(collapsed.tolist()) in text or (len(collapsed) == K and "[0, " in text)
        assert named or not len(collapsed), text
        assert str(empty.tolist()) in text or not len(empty), text
        assert "reg_covar" in text or "fewer components" in text


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_an_outlier_leaves_a_finite_fit(accelerate, init, covariance_type):
    X = np.random.RandomState(0).randn(200, 3)
    X[17] = 1e6
    mixture, _ = fit(
        X, n_components=3, covariance_type=covariance_type, init_params=init, accelerate=accelerate
    )
    assert_usable(mixture, X)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("data", ["rank 5 of 50", "12 rows of 30"])
def test_rank_deficient_data_leave_a_finite_fit(data, dtype, init, covariance_type):
    rng = np.random.RandomState(0)
    X = rng.randn(300, 5) @ rng.randn(5, 50) if data == "rank 5 of 50" else rng.randn(12, 30)
    X = X.astype(dtype)
    mixture, _ = fit(X, n_components=2, covariance_type=covariance_type, init_params=init)
    assert_usable(mixture, X)
    assert mixture.means_.dtype == mixture.covariances_.dtype == dtype
    exact, _ = fit(
        X.astype(np.float64), n_components=2, covariance_type=covariance_type, init_params=init
    )
    largest = np.abs(exact.covariances_).max()
    np.testing.assert_allclose(
        mixture.covariances_, exact.covariances_, rtol=1e-3, atol=1e-3 * largest
    )


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", INITS)
def test_more_components_than_distinct_rows(init, covariance_type):
    distinct = 5 * np.random.RandomState(0).randn(3, 2)
    X = np.repeat(distinct, 20, axis=0)
    mixture, caught = fit(X, n_components=6, covariance_type=covariance_type, init_params=init)
    assert_usable(mixture, X)
    assert len(caught) <= 1, [str(w.message) for w in caught]
    if init == "kmeans":  # a partition has no rows for the others
        assert np.count_nonzero(mixture.weights_ == 0) == 3
        empty = np.flatnonzero(mixture.weights_ == 0)
        assert len(caught) == 1
        assert issubclass(caught[0].category, DegenerateComponentsWarning)
        assert str(empty.tolist()) in str(caught[0].message)
        np.testing.assert_array_equal(np.isin(mixture.predict(X), empty), False)
        assert np.all(mixture.predict_proba(X)[:, empty] == 0)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_an_empty_component_keeps_its_parameters_and_the_others_fit_without_it(covariance_type):
    X, y = blobs(K=2)
    far = np.r_[[X[y == 0].mean(axis=0), X[y == 1].mean(axis=0)], [[1e5, 1e5, 1e5]]]
    precisions = {
        "full": np.array([np.eye(3)] * 3),
        "tied": np.eye(3),
        "diag": np.ones((3, 3)),
        "spherical": np.ones(3),
    }[covariance_type]
    given = {"covariance_type": covariance_type, "tol": 1e-10}
    three, caught = fit(
        X,
        n_components=3,
        weights_init=[0.4, 0.4, 0.2],
        means_init=far,
        precisions_init=precisions,
        **given,
    )
    assert three.weights_[2] == 0
    np.testing.assert_array_equal(three.means_[2], far[2])
    if covariance_type != "tied":
        np.testing.assert_allclose(dense(three)[2], np.eye(3), rtol=1e-12)
    assert [named_components(w) for w in caught] == [[2]]
    assert_usable(three, X)
    two, _ = fit(
        X,
        n_components=2,
        weights_init=[0.5, 0.5],
        means_init=far[:2],
        precisions_init=precisions if covariance_type == "tied" else precisions[:2],
        **given,
    )
    np.testing.assert_allclose(three.means_[:2], two.means_, rtol=1e-8)
    np.testing.assert_allclose(dense(three)[:2], dense(two), rtol=1e-8, atol=1e-8)


# --------------------------------------------------------------- singular runs


def singular_labels(n, K):
    """Every component but the first begins with one row."""
    labels = np.zeros(n, dtype=int)
    labels[:K] = np.arange(K)
    return labels


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_init", [1, 4])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_singular_from_every_start_is_scikit_learns_error(n_jobs, n_init, dtype, covariance_type):
    X = np.repeat(np.random.RandomState(0).randn(3, 2), 20, axis=0).astype(dtype)
    settings = {
        "n_components": 3,
        "covariance_type": covariance_type,
        "reg_covar": 0,
        "n_init": n_init,
        "random_state": 0,
    }
    with pytest.raises(ValueError) as theirs:
        SklearnGaussianMixture(**settings).fit(X)
    with pytest.raises(ValueError) as ours:
        GaussianMixture(n_jobs=n_jobs, **settings).fit(X)
    for sentence in str(theirs.value).rstrip(".").split(". "):
        assert sentence in str(ours.value)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("dead", [0, 3, 9])
def test_a_dead_restart_is_dropped_with_one_warning(dead, n_jobs, covariance_type):
    X, _ = blobs(distance=3.0)
    starts = []

    def start(X, n_components, random_state):
        labels = random_state.randint(n_components, size=len(X))
        if len(starts) == dead:
            labels = singular_labels(len(X), n_components)
        starts.append(labels)
        return labels

    settings = {"n_components": 3, "covariance_type": covariance_type, "reg_covar": 0}
    mixture, caught = fit(X, init_params=start, n_init=10, n_jobs=n_jobs, **settings)
    assert len(starts) == 10
    assert mixture.restart_lower_bounds_.shape == (10,)
    np.testing.assert_array_equal(np.isnan(mixture.restart_lower_bounds_), np.arange(10) == dead)
    assert len(caught) == 1, [str(w.message) for w in caught]
    assert issubclass(caught[0].category, ConvergenceWarning)
    assert "1 of 10" in str(caught[0].message)
    alone = [
        fit(X, init_params=labels, **settings)[0]
        for number, labels in enumerate(starts)
        if number != dead
    ]
    bounds = [one.lower_bound_ for one in alone]
    np.testing.assert_array_equal(np.delete(mixture.restart_lower_bounds_, dead), bounds)
    assert mixture.lower_bound_ == pytest.approx(max(bounds), rel=1e-9)
    best = next(one for one in alone if one.lower_bound_ == mixture.lower_bound_)
    for name in FITTED:
        np.testing.assert_array_equal(getattr(mixture, name), getattr(best, name))
    assert mixture.n_best_restarts_ >= 1
    assert_usable(mixture, X)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_a_run_that_turns_singular_stops_at_its_last_sound_parameters(accelerate, covariance_type):
    X = np.repeat([[0.0, 1.0], [9.0, 3.0]], 40, axis=0)
    settings = {
        "n_components": 2,
        "covariance_type": covariance_type,
        "reg_covar": 0,
        "tol": 0,
        "init_params": np.arange(80) % 7 % 2,  # both values in both components
        "means_init": [[1.0, 1.0], [8.0, 3.0]],
        "accelerate": accelerate,
    }
    if covariance_type in ("full", "tied"):  # two points are a line
        X = np.r_[X, np.repeat([[0.0, 5.0]], 40, axis=0)]
        settings |= {"n_components": 3, "init_params": np.arange(120) % 7 % 3}
        settings["means_init"] = [[1.0, 1.0], [8.0, 3.0], [1.0, 5.0]]
    mixture, caught = fit(X, **settings)
    assert not mixture.converged_
    assert mixture.stop_reason_.startswith("singular")
    assert any(issubclass(w.category, ConvergenceWarning) for w in caught)
    assert any("last sound parameters" in str(w.message) for w in caught)
    assert mixture.lower_bounds_.shape == (mixture.n_iter_,)
    assert_usable(mixture, X)
    if accelerate is None:
        again, _ = fit(X, **settings | {"max_iter": mixture.n_iter_})
        for name in FITTED:
            np.testing.assert_array_equal(getattr(mixture, name), getattr(again, name))


def test_a_run_that_turned_singular_is_used_only_if_no_other_ended_well():
    rng = np.random.RandomState(0)
    X = np.r_[
        np.full((20, 1), 30.0), rng.randn(60, 1), rng.randn(60, 1) - 200, rng.randn(60, 1) - 206
    ]
    parts = np.repeat([0, 1, 2, 3], [20, 60, 60, 60])
    sound = np.array([0, 0, 1, 2])[parts]
    doomed = np.array([0, 1, 2, 2])[parts]
    doomed[20] = 0  # one row of another cluster: not singular yet
    starts = iter([sound, doomed])

    def start(X, n_components, random_state):
        return next(starts)

    settings = {"n_components": 3, "reg_covar": 0}
    mixture, caught = fit(X, init_params=start, n_init=2, **settings)
    assert mixture.restart_lower_bounds_[1] > mixture.restart_lower_bounds_[0] + 0.1
    assert mixture.converged_
    assert not caught, [str(w.message) for w in caught]
    alone, _ = fit(X, init_params=sound, **settings)
    np.testing.assert_array_equal(mixture.means_, alone.means_)
    doomed_alone, caught = fit(X, init_params=doomed, **settings)
    assert doomed_alone.stop_reason_.startswith("singular")
    assert len(caught) == 1


def test_a_warning_points_at_the_call_of_fit():
    X, y = blobs()
    _, slow = fit(X, n_components=3, max_iter=1, init_params="random")
    _, collapsed = fit(np.zeros((20, 2)), n_components=3)
    dying = iter([singular_labels(len(X), 3), y])
    _, dropped = fit(X, n_components=3, reg_covar=0, n_init=2, init_params=lambda *_: next(dying))
    for caught in (slow, collapsed, dropped):
        assert len(caught) == 1
        assert caught[0].filename == __file__


# ------------------------------------------------------- models without a fit


def parameters(covariance_type, K=3, d=2, seed=0):
    """Weights, means and covariances of a type."""
    rng = np.random.RandomState(seed)
    weights = rng.dirichlet(np.ones(K))
    means = 4 * rng.randn(K, d)
    A = rng.randn(K, d, d)
    full = A @ np.swapaxes(A, 1, 2) + 0.5 * np.eye(d)
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": np.diagonal(full, axis1=1, axis2=2).copy(),
        "spherical": full[:, 0, 0].copy(),
    }[covariance_type]
    return weights, means, covariances


def inverse(covariances, covariance_type):
    return np.linalg.inv(covariances) if covariance_type in ("full", "tied") else 1 / covariances


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("zero", [False, True])
def test_given_parameters_and_no_iteration_are_a_usable_model(zero, covariance_type):
    weights, means, covariances = parameters(covariance_type)
    if zero:
        weights = np.array([0.7, 0.0, 0.3])
    X = means.repeat(20, axis=0) + np.random.RandomState(1).randn(60, 2)
    mixture = GaussianMixture(
        3,
        covariance_type=covariance_type,
        max_iter=0,
        weights_init=weights,
        means_init=means,
        precisions_init=inverse(covariances, covariance_type),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if zero:  # an empty component is worth a word, and nothing else is
            warnings.simplefilter("ignore", DegenerateComponentsWarning)
        mixture.fit(X)
        assert_usable(mixture, X)
    np.testing.assert_allclose(mixture.weights_, weights, rtol=1e-15)
    np.testing.assert_array_equal(mixture.means_, means)
    np.testing.assert_allclose(mixture.covariances_, covariances, rtol=1e-12, atol=1e-12)
    assert mixture.n_iter_ == 0
    assert mixture.lower_bounds_.shape == (0,)
    assert mixture.lower_bound_ == pytest.approx(mixture.score(X), rel=1e-12)
    if zero:
        assert np.all(mixture.predict_proba(X)[:, 1] == 0)
        assert not np.any(mixture.predict(X) == 1)
        assert 1 not in mixture.sample(1000)[1]


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_a_weight_of_zero_stays_zero(accelerate, covariance_type):
    weights, means, covariances = parameters(covariance_type)
    X = means[[0, 2]].repeat(50, axis=0) + np.random.RandomState(1).randn(100, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", DegenerateComponentsWarning)
        mixture = GaussianMixture(
            3,
            covariance_type=covariance_type,
            weights_init=[0.5, 0.0, 0.5],
            means_init=means,
            precisions_init=inverse(covariances, covariance_type),
            accelerate=accelerate,
        ).fit(X)
        assert_usable(mixture, X)
    assert mixture.weights_[1] == 0
    np.testing.assert_array_equal(mixture.means_[1], means[1])


@pytest.mark.parametrize("covariance_type", TYPES)
def test_from_parameters_is_a_usable_model_and_a_start(covariance_type):
    weights, means, covariances = parameters(covariance_type)
    X = means.repeat(30, axis=0) + np.random.RandomState(1).randn(90, 2)
    given = [a.copy() for a in (weights, means, covariances)]
    mixture = GaussianMixture.from_parameters(
        weights, means, covariances, covariance_type=covariance_type, tol=1e-6
    )
    reference = np.array([exact_log_density(x, given[0], given[1], dense(mixture)) for x in X])
    np.testing.assert_allclose(mixture.score_samples(X), reference, rtol=1e-10)
    assert mixture.n_parameters_ == mixture._n_parameters()
    assert mixture.tol == 1e-6
    fitted = GaussianMixture(
        3,
        covariance_type=covariance_type,
        weights_init=weights,
        means_init=means,
        precisions_init=inverse(covariances, covariance_type),
        tol=1e-6,
    ).fit(X)
    mixture.fit(X)
    np.testing.assert_allclose(mixture.means_, fitted.means_, rtol=1e-8)
    for array, copy in zip((weights, means, covariances), given, strict=True):
        np.testing.assert_array_equal(array, copy)
        for name in FITTED:
            assert not np.shares_memory(array, getattr(mixture, name)), name


@pytest.mark.parametrize("covariance_type", TYPES)
def test_attributes_set_by_hand_predict_as_in_scikit_learn(covariance_type):
    weights, means, covariances = parameters(covariance_type)
    X = means.repeat(20, axis=0) + 2 * np.random.RandomState(1).randn(60, 2)
    precisions = inverse(covariances, covariance_type)
    factors = [np.linalg.cholesky(precisions)] if covariance_type in ("full", "tied") else []
    if factors:  # lower, the common recipe, and upper, what scikit-learn itself makes
        lower = np.linalg.cholesky(covariances)
        factors.append(np.swapaxes(np.linalg.inv(lower), -1, -2))
    else:
        factors.append(np.sqrt(precisions))
    for factor in factors:
        models = []
        for cls in (GaussianMixture, SklearnGaussianMixture):
            model = cls(3, covariance_type=covariance_type, random_state=0)
            model.weights_, model.means_, model.covariances_ = weights, means, covariances
            model.precisions_cholesky_ = factor.copy()
            models.append(model)
        ours, theirs = models
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
        np.testing.assert_allclose(
            ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-9, atol=1e-12
        )
        np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-9)
        np.testing.assert_allclose(ours.bic(X), theirs.bic(X), rtol=1e-9)
        np.testing.assert_allclose(ours.sample(20)[0], theirs.sample(20)[0], rtol=1e-9)
        np.testing.assert_array_equal(ours.precisions_cholesky_, factor)
        ours.weights_ = np.array([0.0, 0.0, 1.0])  # read at the call
        assert np.all(ours.predict(X) == 2)


# --------------------------------------------------------- exact log-densities


def determinant_and_form(matrix, vector):
    """Determinant of a matrix and vector' matrix^-1 vector, in rational arithmetic."""
    rows = [[Fraction(float(a)) for a in row] for row in matrix]
    right = list(vector)
    determinant, form = Fraction(1), Fraction(0)
    for j in range(len(rows)):  # elimination of a positive definite matrix needs no pivoting
        pivot = rows[j][j]
        determinant *= pivot
        form += right[j] * right[j] / pivot
        for i in range(j + 1, len(rows)):
            factor = rows[i][j] / pivot
            right[i] -= factor * right[j]
            for m in range(j, len(rows)):
                rows[i][m] -= factor * rows[j][m]
    return determinant, form


def exact_log_density(x, weights, means, covariances):
    """Log-density of a mixture; only the last logarithms are rounded."""
    terms = []
    for weight, mean, covariance in zip(weights, means, covariances, strict=True):
        delta = [Fraction(float(a)) - Fraction(float(b)) for a, b in zip(x, mean, strict=True)]
        symmetric = (
            np.asarray(covariance, dtype=float) + np.asarray(covariance, dtype=float).T
        ) / 2
        determinant, form = determinant_and_form(symmetric, delta)
        log_det = math.log(determinant.numerator) - math.log(determinant.denominator)
        terms.append(
            math.log(weight) - 0.5 * (len(x) * math.log(2 * math.pi) + log_det + float(form))
        )
    return logsumexp(terms)


def ill_conditioned(d, condition, seed):
    rng = np.random.RandomState(seed)
    Q, _ = np.linalg.qr(rng.randn(d, d))
    covariance = (Q * np.logspace(0, -math.log10(condition), d)) @ Q.T
    return (covariance + covariance.T) / 2


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("d", [2, 4, 6])
@pytest.mark.parametrize("seed", range(3))
def test_log_density_at_condition_1e9_is_exact(seed, d, covariance_type):
    rng = np.random.RandomState(seed)
    weights, means = np.array([0.3, 0.7]), np.array([np.zeros(d), np.r_[1.0, np.zeros(d - 1)]])
    matrices = [ill_conditioned(d, 1e9, 10 * seed), ill_conditioned(d, 1e9, 10 * seed + 1)]
    covariances = {
        "full": np.array(matrices),
        "tied": matrices[0],
        "diag": np.array([np.logspace(0, -9, d), np.logspace(-9, 0, d)]),
        "spherical": np.array([1.0, 1e-9]),
    }[covariance_type]
    mixture = GaussianMixture.from_parameters(
        weights, means, covariances, covariance_type=covariance_type
    )
    X = np.r_[mixture.sample(10, random_state=seed)[0], rng.randn(5, d)]
    expected = [exact_log_density(x, weights, means, dense(mixture)) for x in X]
    np.testing.assert_allclose(mixture.score_samples(X), expected, rtol=1e-6)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
@pytest.mark.parametrize("seed", range(3))
def test_a_fit_to_data_of_condition_1e9_has_exact_log_densities(seed, covariance_type):
    rng = np.random.RandomState(seed)
    y = np.arange(150) % 2
    X = rng.multivariate_normal(np.zeros(4), ill_conditioned(4, 1e9, seed), size=150)
    X[y == 1] += 3.0
    mixture, caught = fit(
        X, n_components=2, covariance_type=covariance_type, init_params=y, reg_covar=0
    )
    assert not caught
    condition = np.linalg.cond(dense(mixture))
    assert np.all((condition > 1e8) & (condition < 1e10))
    rows = X[:12]
    expected = [
        exact_log_density(x, mixture.weights_, mixture.means_, dense(mixture)) for x in rows
    ]
    np.testing.assert_allclose(mixture.score_samples(rows), expected, rtol=1e-6)


# ------------------------------------------------------------------ bad inputs

X_GOOD, Y_GOOD = blobs(n=30, d=2, K=2)


def with_cell(value, row=4, column=1, dtype=float):
    X = X_GOOD.astype(dtype)
    X[row, column] = value
    return X


def message(error, call):
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    "parameter, value, words",
    [
        # scikit-learn's message: the parameter, what it may be, what was found
        ("init_params", "kmeans++", ["init_params", "k-means++", "'kmeans++'"]),
        ("covariance_type", "fulll", ["covariance_type", "'full'", "'fulll'"]),
        ("accelerate", "anderson", ["accelerate", "'squarem'", "'anderson'"]),
        ("n_components", 0, ["n_components", "[1, inf)", "0"]),
        ("n_components", 2.0, ["n_components", "int", "2.0"]),
        ("max_iter", -1, ["max_iter", "[0, inf)", "-1"]),
        ("n_init", 0, ["n_init", "[1, inf)", "0"]),
        ("tol", -1.0, ["tol", "[0.0, inf)", "-1.0"]),
        ("reg_covar", -1e-6, ["reg_covar", "[0.0, inf)", "-1e-06"]),
        ("n_jobs", 0, ["n_jobs", "0"]),
        ("n_jobs", "two", ["n_jobs", "int", "'two'"]),
        ("verbose_interval", 0, ["verbose_interval", "[1, inf)", "0"]),
        ("random_state", "seed", ["random_state", "'seed'"]),
        ("n_components", 31, ["n_components = 31", "n_samples = 30"]),
        ("weights_init", [0.5, 0.6], ["weights", "1.1"]),
        ("weights_init", [-0.5, 1.5], ["weights", "[0, 1]", "-0.5"]),
        ("weights_init", [1.0], ["weights", "(2,)", "(1,)"]),
        ("weights_init", [np.nan, 1.0], ["weights_init", "NaN"]),
        ("means_init", [[0.0, 1.0]], ["means", "(2, 2)", "(1, 2)"]),
        ("means_init", [0.0, 1.0], ["means", "(2, 2)", "(2,)"]),
        ("means_init", [[0.0, np.nan]] * 2, ["means_init", "NaN"]),
        ("precisions_init", [np.eye(3)] * 2, ["precision", "(2, 2, 2)", "(2, 3, 3)"]),
        ("precisions_init", [-np.eye(2)] * 2, ["full precision", "positive-definite"]),
        ("precisions_init", [[[1.0, 0.5], [0.0, 1.0]]] * 2, ["full precision", "symmetric"]),
        ("precisions_init", [[[np.inf, 0.0], [0.0, 1.0]]] * 2, ["precisions_init", "infinity"]),
        # labels
        ("init_params", np.zeros(29, dtype=int), ["init_params", "30", "29"]),
        ("init_params", np.full(30, -1), ["init_params", "-1", "at least one"]),
        ("init_params", np.arange(30) % 3, ["init_params", "n_components - 1 = 1", "0 to 2"]),
        ("init_params", np.arange(30) % 2 - 2, ["init_params", "-1", "-2"]),
        ("init_params", np.arange(30) / 30, ["init_params", "whole numbers"]),
        ("init_params", np.full(30, np.nan), ["init_params", "whole numbers"]),
        ("init_params", ["a"] * 30, ["init_params", "labels", "(30,)"]),
        ("init_params", [None] * 30, ["init_params", "labels", "object"]),
        ("init_params", np.zeros((30, 2, 2)), ["init_params", "(30, 2)", "(30, 2, 2)"]),
        # responsibilities
        ("init_params", np.ones((30, 3)) / 3, ["init_params", "(30, 2)", "(30, 3)"]),
        ("init_params", np.ones((29, 2)) / 2, ["init_params", "(30, 2)", "(29, 2)"]),
        ("init_params", np.ones((30, 2)), ["init_params", "sum to 1", "2"]),
        ("init_params", np.tile([1.5, -0.5], (30, 1)), ["init_params", "negative"]),
        ("init_params", np.full((30, 2), np.nan), ["init_params", "finite"]),
        ("init_params", np.full((30, 2), np.inf), ["init_params", "finite"]),
        ("init_params", np.zeros((30, 2)), ["init_params", "at least one"]),
        # callables
        ("init_params", lambda X, K, rs: None, ["init_params", "labels"]),
        ("init_params", lambda X, K, rs: "kmeans", ["init_params", "labels"]),
        ("init_params", lambda X, K, rs: np.zeros(3, dtype=int), ["init_params", "30", "3"]),
        ("init_params", lambda X, K, rs: np.ones((30, K)), ["init_params", "sum to 1"]),
        ("init_params", lambda X, K, rs: [[1], [1, 2]], ["init_params", "labels"]),
    ],
)
def test_a_bad_parameter_is_named_with_what_was_found(parameter, value, words):
    mixture = GaussianMixture(**{"n_components": 2, "random_state": 0, parameter: value})
    text = message((ValueError, TypeError), lambda: mixture.fit(X_GOOD))
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"


@pytest.mark.parametrize(
    "X, error, words",
    [
        (with_cell(np.inf), ValueError, ["infinity", "column 1", "1 of 30", "Drop"]),
        (with_cell(-np.inf), ValueError, ["infinity", "column 1"]),
        (with_cell(np.nan, slice(None)), ValueError, ["missing", "column 1", "Drop"]),
        (with_cell(np.inf, dtype=np.float32), ValueError, ["infinity", "column 1"]),
        (
            with_cell("high", dtype=object),
            (ValueError, TypeError),
            ["'high'", "column 1", "encode"],
        ),
        (X_GOOD.astype(str) + "x", (ValueError, TypeError), ["column 0, 1", "encode"]),
        (X_GOOD + 1j, ValueError, ["omplex", "column 0, 1", "real"]),
        (np.empty((0, 2)), ValueError, ["0 sample", "(0, 2)", "minimum"]),
        (np.empty((5, 0)), ValueError, ["0 feature", "(5, 0)", "minimum"]),
        (np.empty((1, 2)), ValueError, ["1 sample", "minimum of 2"]),
        (X_GOOD[:, 0], ValueError, ["Expected 2D", "Reshape"]),
        (X_GOOD[None], ValueError, ["dim 3", "2"]),
        (csr_array(X_GOOD), TypeError, ["parse", "dense"]),
    ],
)
def test_bad_data_are_named_with_what_was_found(X, error, words):
    text = message(error, lambda: GaussianMixture(2).fit(X))
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"


@pytest.mark.parametrize(
    "rows, bad, word", [(4, np.inf, "infinity"), (slice(None), np.nan, "miss")]
)
def test_the_column_of_a_frame_is_named(rows, bad, word):
    frame = pd.DataFrame(with_cell(bad, rows), columns=["height", "weight"])
    text = message(ValueError, lambda: GaussianMixture(2).fit(frame))
    assert word in text and "weight" in text and "height" not in text
    frame = pd.DataFrame({"height": X_GOOD[:, 0], "eyes": ["brown"] * 30})
    text = message((ValueError, TypeError), lambda: GaussianMixture(2).fit(frame))
    assert "'eyes'" in text and "encode" in text


METHODS = ["predict", "predict_proba", "score_samples", "score", "bic", "aic", "icl"]


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("method", METHODS)
def test_other_features_than_those_of_the_fit_are_refused(method):
    frame = pd.DataFrame(X_GOOD, columns=["height", "weight"])
    mixture = GaussianMixture(2, random_state=0).fit(frame)
    text = message(ValueError, lambda: getattr(mixture, method)(np.c_[X_GOOD, X_GOOD]))
    assert "4 features" in text and "2 features" in text
    renamed = frame.rename(columns={"weight": "mass"})
    text = message(ValueError, lambda: getattr(mixture, method)(renamed))
    assert "mass" in text and "weight" in text
    text = message(ValueError, lambda: getattr(mixture, method)(frame[["weight", "height"]]))
    assert "order" in text
    text = message(ValueError, lambda: getattr(mixture, method)(with_cell(np.inf)))
    assert "column 1" in text
    by_hand = GaussianMixture.from_parameters(
        [1.0], [[0.0, 0.0]], [[1.0, 1.0]], covariance_type="diag"
    )
    text = message(ValueError, lambda: getattr(by_hand, method)(np.c_[X_GOOD, X_GOOD]))
    assert "4 features" in text and "2 features" in text


@pytest.mark.parametrize("method", ["fit", "score", "bic", "aic", "icl", "fit_predict"])
@pytest.mark.parametrize(
    "weights, words",
    [
        (np.r_[-1.0, np.ones(29)], ["Negative values", "-1 in row 0"]),
        (np.zeros(30), ["zero"]),
        (np.ones(29), ["(29,)", "(30,)"]),
        (np.ones((30, 1)), ["(30, 1)", "(30,)"]),
        (np.r_[np.ones(29), np.nan], ["NaN", "row 29"]),
        (np.r_[np.ones(29), np.inf], ["infinity", "row 29"]),
        (["heavy"] * 30, ["heavy"]),
        (np.ones(30) * 1j, ["omplex"]),
        (-1.0, ["Negative"]),
        (0.0, ["zero"]),
    ],
)
def test_bad_weights_are_named_with_what_was_found(weights, words, method):
    mixture = GaussianMixture(2, random_state=0).fit(X_GOOD)
    call = getattr(mixture, method)
    text = message((ValueError, TypeError), lambda: call(X_GOOD, sample_weight=weights))
    for word in ["sample_weight", *words]:
        assert word in text, f"{word!r} is not in: {text}"


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"covariance_type": "fulll"}, ["covariance_type", "'full'", "'fulll'"]),
        ({"weights": [0.5, 0.6]}, ["weights", "1.1"]),
        ({"weights": [-0.5, 1.5]}, ["weights", "[0, 1]", "-0.5"]),
        ({"weights": [1.0]}, ["weights", "(2,)", "(1,)"]),
        ({"weights": [np.nan, 1.0]}, ["weights", "NaN"]),
        ({"weights": ["a", "b"]}, ["weights"]),
        ({"means": [0.0, 1.0]}, ["means", "2D"]),
        ({"means": [[np.nan, 0.0]] * 2}, ["means", "NaN"]),
        ({"means": [["a", "b"]] * 2}, ["means"]),
        ({"covariances": np.eye(2)}, ["covariance", "(2, 2, 2)", "(2, 2)"]),
        ({"covariances": [np.eye(3)] * 2}, ["covariance", "(2, 2, 2)", "(2, 3, 3)"]),
        ({"covariances": [[[1.0, 0.5], [0.0, 1.0]]] * 2}, ["covariance", "symmetric"]),
        ({"covariances": [np.eye(2), -np.eye(2)]}, ["covariance", "positive-definite", "[1]"]),
        ({"covariances": [np.eye(2), np.ones((2, 2))]}, ["covariance", "positive-definite", "[1]"]),
        ({"covariances": [np.full((2, 2), np.nan)] * 2}, ["covariances", "NaN"]),
        ({"covariances": [np.diag([np.inf, 1.0])] * 2}, ["covariances", "infinity"]),
        ({"covariances": [[["a", "b"]] * 2] * 2}, ["covariances"]),
        (
            {"covariance_type": "tied", "covariances": np.zeros((2, 2))},
            ["tied covariance", "positive"],
        ),
        (
            {"covariance_type": "diag", "covariances": [[1.0, 0.0]] * 2},
            ["diag covariance", "positive"],
        ),
        (
            {"covariance_type": "diag", "covariances": [[1.0, np.inf]] * 2},
            ["covariances", "infinity"],
        ),
        (
            {"covariance_type": "spherical", "covariances": [1.0, -1.0]},
            ["spherical covariance", "[1]"],
        ),
        ({"covariance_type": "spherical", "covariances": [1.0, np.nan]}, ["covariances", "NaN"]),
        ({"tolerance": 1.0}, ["tolerance"]),
        ({"n_components": 3}, ["n_components"]),
        ({"means_init": [[0.0, 0.0]] * 2}, ["means_init"]),
    ],
)
def test_from_parameters_refuses_what_is_no_mixture(changes, words):
    good = {
        "weights": [0.5, 0.5],
        "means": [[0.0, 0.0], [1.0, 1.0]],
        "covariances": [np.eye(2)] * 2,
    }
    GaussianMixture.from_parameters(**good)
    text = message(
        (ValueError, TypeError), lambda: GaussianMixture.from_parameters(**good | changes)
    )
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("precisions_cholesky_", np.eye(2), ["precisions_cholesky_", "(2, 2, 2)", "(2, 2)"]),
        ("means_", np.zeros((3, 2)), ["means_"]),
        ("weights_", np.ones(3) / 3, ["weights_"]),
    ],
)
def test_attributes_set_by_hand_that_do_not_fit_together_are_refused(name, value, words):
    mixture = GaussianMixture(2, random_state=0).fit(X_GOOD)
    setattr(mixture, name, value)
    text = message(ValueError, lambda: mixture.predict(X_GOOD))
    assert any(word in text for word in [*words, "precisions_cholesky_"]), text


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("d", [1, 3])
def test_a_warm_start_refuses_another_number_of_features(d, covariance_type):
    mixture = GaussianMixture(2, covariance_type=covariance_type, random_state=0, warm_start=True)
    mixture.fit(X_GOOD)
    text = message(ValueError, lambda: mixture.fit(np.random.RandomState(0).randn(30, d)))
    assert f"{d} features" in text and "2 features" in text


@pytest.mark.parametrize("n_samples", [0, -1])
def test_sample_refuses_less_than_one_row(n_samples):
    mixture = GaussianMixture(2, random_state=0).fit(X_GOOD)
    text = message(ValueError, lambda: mixture.sample(n_samples))
    assert "n_samples" in text and str(n_samples) in text
