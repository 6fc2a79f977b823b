"""Sample weights: a weight of 2 is the row twice, a weight of 0 is no row."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from emlearn.exceptions import DegenerateComponentsWarning
from emlearn.mixture import GaussianMixture

TYPES = ["full", "tied", "diag", "spherical"]
STARTS = ["labels", "responsibilities", "callable", "parameters", "means and labels"]
FITTED = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]
SCALARS = ["lower_bound_", "n_iter_", "n_e_steps_", "converged_", "n_parameters_"]


def data(n=60, d=2, K=3, seed=0):
    """Overlapping clusters, so that EM has something to do, and noisy labels."""
    rng = np.random.RandomState(seed)
    y = np.arange(n) % K
    X = rng.randn(n, d) + 2.5 * rng.randn(K, d)[y]
    labels = np.where(rng.rand(n) < 0.3, rng.randint(K, size=n), y)
    labels[: 2 * K] = np.arange(2 * K) % K
    return X, labels


def inverse(covariances, covariance_type):
    return np.linalg.inv(covariances) if covariance_type in ("full", "tied") else 1 / covariances


def start(kind, X, labels, covariance_type, rows):
    """Constructor parameters for one start, for X or for rows of X (an index into it)."""
    K = labels.max() + 1
    shares = 0.8 * np.eye(K)[labels] + 0.2 / K
    means = np.array([X[labels == k].mean(axis=0) for k in range(K)])
    match kind:
        case "labels":
            return {"init_params": labels[rows]}
        case "responsibilities":
            return {"init_params": shares[rows]}
        case "callable":
            return {"init_params": lambda X, n_components, random_state: labels[rows]}
        case "means and labels":
            return {"init_params": labels[rows], "means_init": means}
    d = X.shape[1]
    precisions = {
        "full": np.broadcast_to(np.eye(d), (K, d, d)),
        "tied": np.eye(d),
        "diag": np.ones((K, d)),
        "spherical": np.ones(K),
    }[covariance_type]
    return {
        "weights_init": np.full(K, 1 / K),
        "means_init": means,
        "precisions_init": precisions,
    }


def fit(X, sample_weight=None, **parameters):
    mixture = GaussianMixture(**{"n_components": 3, "tol": 1e-8, "max_iter": 200, **parameters})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mixture.fit(X, sample_weight=sample_weight)


def assert_same_model(a, b, rtol=1e-8):
    for name in FITTED:
        x, y = getattr(a, name), getattr(b, name)
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * np.abs(y).max(), err_msg=name)
    np.testing.assert_allclose(a.lower_bounds_, b.lower_bounds_, rtol=rtol)
    for name in SCALARS:
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=rtol), name


def assert_same_scores(a, X, weights, b, repeated, rtol=1e-8):
    for method in ("score", "bic", "aic", "icl"):
        weighted = getattr(a, method)(X, sample_weight=weights)
        assert weighted == pytest.approx(getattr(b, method)(repeated), rel=rtol), method
    assert a.score(X, None, weights) == a.score(X, sample_weight=weights)


# ---------------------------------------------------- weights are numbers of rows


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("accelerate", [None, "squarem"])
@pytest.mark.parametrize("reg_covar", [0, 1e-6, 0.3])
def test_integer_weights_are_repeated_rows(reg_covar, accelerate, kind, covariance_type):
    X, labels = data()
    weights = np.random.RandomState(1).randint(0, 4, size=len(X))
    weights[:6] = 2
    rows = np.repeat(np.arange(len(X)), weights)
    given_settings = {
        "covariance_type": covariance_type,
        "reg_covar": reg_covar,
        # the gate of an accelerated run may fall either way by rounding: few iterations
        "accelerate": accelerate,
        "max_iter": 200 if accelerate is None else 12,
    }
    everything = np.arange(len(X))
    weighted = fit(
        X, weights, **start(kind, X, labels, covariance_type, everything), **given_settings
    )
    repeated = fit(X[rows], **start(kind, X, labels, covariance_type, rows), **given_settings)
    assert_same_model(weighted, repeated)
    assert_same_scores(weighted, X, weights, repeated, X[rows])
    np.testing.assert_array_equal(weighted.predict(X)[rows], repeated.predict(X[rows]))


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("far", [1.0, 1e8, 1e30, 1e200])
def test_rows_of_weight_zero_are_not_there(far, kind, covariance_type):
    X, labels = data()
    X[1::5] *= far  # wherever they are
    keep = np.arange(len(X)) % 5 != 1
    weights = keep * np.where(np.arange(len(X)) % 3 == 0, 1.0, 0.7)
    rows = np.flatnonzero(keep)
    settings = {"covariance_type": covariance_type, "max_iter": 30}
    # the means of the start are those of the rows that count
    reference = start(kind, X[rows], labels[rows], covariance_type, np.arange(len(rows)))
    everything = dict(reference)
    if "init_params" in reference and not callable(reference["init_params"]):
        everything["init_params"] = np.zeros(
            (len(X), *reference["init_params"].shape[1:]), dtype=int
        )
        everything["init_params"] = everything["init_params"].astype(reference["init_params"].dtype)
        everything["init_params"][rows] = reference["init_params"]
    elif "init_params" in reference:
        everything["init_params"] = lambda X, n_components, random_state: labels
    weighted = fit(X, weights, **everything, **settings)
    removed = fit(X[rows], weights[rows], **reference, **settings)
    assert_same_model(weighted, removed)
    for method in ("score", "bic", "aic", "icl"):
        with_zeros = getattr(weighted, method)(X, sample_weight=weights)
        without = getattr(removed, method)(X[rows], sample_weight=weights[rows])
        assert with_zeros == pytest.approx(without, rel=1e-8), method


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random_from_data"])
def test_drawn_starts_do_not_see_rows_of_weight_zero(init, covariance_type):
    X, _ = data(n=200)
    keep = np.random.RandomState(2).rand(len(X)) < 0.5
    weights = np.where(keep, 1.5, 0.0)
    X[~keep] += 40.0  # a k-means++ start would want one of these
    settings = {"covariance_type": covariance_type, "init_params": init, "n_init": 3, "tol": 1e-5}
    weighted = fit(X, weights, random_state=5, **settings)
    removed = fit(X[keep], weights[keep], random_state=5, **settings)
    assert_same_model(weighted, removed)
    np.testing.assert_allclose(
        weighted.restart_lower_bounds_, removed.restart_lower_bounds_, rtol=1e-8
    )


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random_from_data"])
def test_no_seed_has_weight_zero(init):
    rng = np.random.RandomState(0)
    X = rng.randn(50, 2)
    weights = np.zeros(50)
    weights[rng.choice(50, 8, replace=False)] = rng.uniform(0.1, 5, 8)
    allowed = X[weights > 0]
    for seed in range(40):
        mixture = fit(X, weights, n_components=4, init_params=init, max_iter=0, random_state=seed)
        if init == "kmeans":
            low, high = allowed.min(axis=0), allowed.max(axis=0)
            assert np.all((mixture.means_ >= low - 1e-12) & (mixture.means_ <= high + 1e-12))
        else:
            distance = np.abs(mixture.means_[:, None] - allowed).max(axis=2).min(axis=1)
            np.testing.assert_allclose(distance, 0, atol=1e-14)
            assert len(np.unique(mixture.means_, axis=0)) == 4


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data"])
def test_fewer_weighted_rows_than_components_are_enough_if_their_weights_are(init):
    X = np.array([[0.0, 0.0], [5.0, 1.0], [9.0, 9.0]])
    mixture = fit(X, [3.0, 2.0, 0.0], n_components=4, init_params=init, random_state=0)
    assert np.isfinite(mixture.means_).all() and np.isfinite(mixture.lower_bound_)
    assert not np.any(np.all(np.isclose(mixture.means_, X[2]), axis=1))


# ------------------------------------------------------------ numbers of samples


def outcome(X, weights=None, K=1):
    """The fit, or the error that it ends in, without the figures that differ by nature."""
    labels = np.arange(len(X)) % K
    try:
        return fit(X, weights, n_components=K, init_params=labels, max_iter=3)
    except ValueError as error:
        return str(error).split("(shape")[0]


@pytest.mark.parametrize("covariance_type", TYPES)
def test_one_row_of_weight_two_is_two_rows(covariance_type):
    row = np.array([[1.0, 2.0]])
    settings = {"n_components": 1, "covariance_type": covariance_type}
    one = fit(row, [2.0], **settings)
    assert_same_model(one, fit(np.repeat(row, 2, axis=0), **settings))
    assert_same_scores(one, row, [2.0], one, np.repeat(row, 2, axis=0))


@pytest.mark.parametrize(
    "weights, K, accepted",
    [
        ([1.0], 1, False),
        ([1.5], 1, False),
        ([2.0], 1, True),
        ([2.0], 2, True),
        ([2.0], 3, False),
        ([3.0], 3, True),
        ([1.0, 0.0], 1, False),
        ([1.0, 1.0], 1, True),
        ([0.1, 0.1], 2, True),
        ([1.0, 1.0, 0.0], 3, False),
        ([2.0, 1.0, 0.0], 3, True),
        ([1.0, 1.0, 1.0, 0.0], 3, True),
    ],
)
def test_checks_count_weights_as_rows(weights, K, accepted):
    X = np.arange(2.0 * len(weights)).reshape(-1, 2)
    result = outcome(X, weights, K)
    assert isinstance(result, GaussianMixture) == accepted, result
    if float(sum(weights)).is_integer():
        repeated = X.repeat(np.array(weights, dtype=int), axis=0)
        same = outcome(repeated, None, K)
        assert isinstance(same, GaussianMixture) == accepted
        if not accepted:
            assert same == result


# ----------------------------------------------------------------- units of weight


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("kind", [*STARTS, "kmeans", "k-means++", "random"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_weights_of_one_are_no_weights_to_the_bit(dtype, kind, covariance_type):
    X, labels = data()
    if kind in STARTS:
        first = start(kind, X, labels, covariance_type, np.arange(len(X)))
    else:
        first = {"init_params": kind}
    X = X.astype(dtype)
    settings = {"covariance_type": covariance_type, "random_state": 0, **first}
    plain = fit(X, **settings)
    for ones in (np.ones(len(X)), np.ones(len(X), dtype=int), [1.0] * len(X), 1.0):
        weighted = fit(X, ones, **settings)
        for name in (*FITTED, "lower_bounds_"):
            np.testing.assert_array_equal(
                getattr(weighted, name), getattr(plain, name), err_msg=name
            )
        for method in ("score", "bic", "aic", "icl"):
            value = getattr(weighted, method)(X, sample_weight=ones)
            assert value == pytest.approx(getattr(plain, method)(X), rel=1e-14)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("kind", [*STARTS, "random"])
@pytest.mark.parametrize("c", [1e-260, 1e-100, 1e-12, 0.3, 7.0, 1e12, 1e100])
def test_the_unit_of_the_weights_changes_no_parameter(c, kind, covariance_type):
    X, labels = data()
    weights = np.random.RandomState(3).gamma(1.0, size=len(X))
    if kind == "random":
        first = {"init_params": "random"}
    else:
        first = start(kind, X, labels, covariance_type, np.arange(len(X)))
    settings = {"covariance_type": covariance_type, "random_state": 0, **first}
    one = fit(X, weights, **settings)
    other = fit(X, c * weights, **settings)
    assert_same_model(other, one, rtol=1e-10)
    assert other.score(X, sample_weight=c * weights) == pytest.approx(
        one.score(X, sample_weight=weights), rel=1e-12
    )


# ----------------------------------------------------------- against plain formulas


def brute_force(X, weights, labels, covariance_type, reg, n_iter):
    """Weighted EM as the textbook has it; covariances as (K, d, d)."""
    n, d = X.shape
    K = labels.max() + 1
    posterior = np.eye(K)[labels]
    for step in range(n_iter + 1):
        r = posterior * weights[:, None]
        counts = r.sum(axis=0)
        pi = counts / counts.sum()
        means = r.T @ X / counts[:, None]
        scatter = np.array([(r[:, k, None] * (X - means[k])).T @ (X - means[k]) for k in range(K)])
        match covariance_type:
            case "full":
                C = scatter / counts[:, None, None]
            case "tied":
                C = np.broadcast_to(scatter.sum(axis=0) / counts.sum(), (K, d, d))
            case "diag":
                C = scatter / counts[:, None, None] * np.eye(d)
            case "spherical":
                trace = np.trace(scatter, axis1=1, axis2=2)
                C = (trace / counts / d)[:, None, None] * np.eye(d)
        C = C + reg * np.eye(d)
        if step == n_iter:
            break
        joint = log_joint(X, pi, means, C)
        posterior = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    score = weights @ logsumexp(log_joint(X, pi, means, C), axis=1) / weights.sum()
    return pi, means, C, score


def log_joint(X, pi, means, C):
    K, d = means.shape
    joint = np.empty((len(X), K))
    for k in range(K):
        y = X - means[k]
        form = np.einsum("ni,ij,nj->n", y, np.linalg.inv(C[k]), y)
        log_det = np.linalg.slogdet(C[k])[1]
        joint[:, k] = np.log(pi[k]) - 0.5 * (form + log_det + d * np.log(2 * np.pi))
    return joint


def dense(mixture):
    K, d = mixture.means_.shape
    C = mixture.covariances_
    match mixture.covariance_type:
        case "tied":
            return np.broadcast_to(C, (K, d, d))
        case "diag":
            return C[:, :, None] * np.eye(d)
        case "spherical":
            return C[:, None, None] * np.eye(d)
    return C


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("reg", [0, 0.2])
@pytest.mark.parametrize("n_iter", [0, 1, 5])
def test_fractional_weights_are_weights_of_the_textbook(n_iter, reg, covariance_type):
    X, labels = data(n=90, d=3)
    weights = np.random.RandomState(4).gamma(0.5, size=len(X))
    mixture = fit(
        X,
        weights,
        covariance_type=covariance_type,
        reg_covar=reg,
        init_params=labels,
        tol=0,
        max_iter=n_iter,
    )
    pi, means, C, score = brute_force(X, weights, labels, covariance_type, reg, n_iter)
    np.testing.assert_allclose(mixture.weights_, pi, rtol=1e-9)
    np.testing.assert_allclose(mixture.means_, means, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(dense(mixture), C, rtol=1e-9, atol=1e-9)
    assert mixture.lower_bound_ == pytest.approx(score, rel=1e-9)
    assert mixture.score(X, sample_weight=weights) == pytest.approx(score, rel=1e-9)
    n = weights.sum()
    assert mixture.bic(X, sample_weight=weights) == pytest.approx(
        -2 * n * score + mixture.n_parameters_ * np.log(n), rel=1e-9
    )
    assert mixture.aic(X, sample_weight=weights) == pytest.approx(
        -2 * n * score + 2 * mixture.n_parameters_, rel=1e-9
    )


def test_a_number_is_the_weight_of_every_row():
    X, labels = data()
    assert_same_model(
        fit(X, 2, init_params=labels), fit(X, np.full(len(X), 2.0), init_params=labels), rtol=0
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    covariance_type=st.sampled_from(TYPES),
    kind=st.sampled_from(STARTS),
    counts=st.lists(st.integers(0, 5), min_size=30, max_size=30),
    seed=st.integers(0, 1000),
)
def test_any_integer_weights_are_repeated_rows(covariance_type, kind, counts, seed):
    X, labels = data(n=30, d=2, seed=seed)
    counts = np.array(counts)
    counts[:9] += 1  # every component keeps a few rows
    rows = np.repeat(np.arange(len(X)), counts)
    common = {"covariance_type": covariance_type, "max_iter": 5, "reg_covar": 1e-3}
    weighted = fit(
        X, counts, **start(kind, X, labels, covariance_type, np.arange(len(X))), **common
    )
    repeated = fit(X[rows], **start(kind, X, labels, covariance_type, rows), **common)
    assert_same_model(weighted, repeated)
    assert_same_scores(weighted, X, counts, repeated, X[rows])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    covariance_type=st.sampled_from(TYPES),
    weights=st.lists(st.floats(0, 1e3, allow_subnormal=False), min_size=30, max_size=30),
    seed=st.integers(0, 1000),
)
def test_any_weights_are_weights_of_the_textbook(covariance_type, weights, seed):
    X, labels = data(n=30, d=2, seed=seed)
    weights = np.array(weights)
    weights[:9] += 1.0
    mixture = fit(
        X,
        weights,
        covariance_type=covariance_type,
        reg_covar=1e-2,
        init_params=labels,
        tol=0,
        max_iter=3,
    )
    pi, means, C, score = brute_force(X, weights, labels, covariance_type, 1e-2, 3)
    np.testing.assert_allclose(mixture.weights_, pi, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(mixture.means_, means, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(dense(mixture), C, rtol=1e-8, atol=1e-8)
    assert mixture.lower_bound_ == pytest.approx(score, rel=1e-8)


def test_a_component_whose_rows_have_no_weight_is_empty():
    X, labels = data()
    weights = (labels != 2).astype(float)
    mixture = GaussianMixture(3, init_params=labels)
    with pytest.warns(DegenerateComponentsWarning, match=r"\[2\] are empty"):
        mixture.fit(X, sample_weight=weights)
    assert mixture.weights_[2] == 0
    assert not np.any(mixture.predict(X) == 2)


@pytest.mark.parametrize("max_iter", [0, 5])
def test_an_empty_component_with_given_precisions_starts_at_the_rows_that_count(max_iter):
    X, labels = data()
    labels = np.minimum(labels, 1)  # nobody in the third component
    weights = np.random.RandomState(5).randint(0, 3, size=len(X))
    X[weights == 0] += 1e6
    rows = np.repeat(np.arange(len(X)), weights)
    settings = {"precisions_init": np.broadcast_to(np.eye(2), (3, 2, 2)), "max_iter": max_iter}
    weighted = fit(X, weights, init_params=labels, **settings)
    repeated = fit(X[rows], init_params=labels[rows], **settings)
    assert_same_model(weighted, repeated)
    if max_iter == 0:
        np.testing.assert_allclose(weighted.means_[2], X[rows].mean(axis=0), rtol=1e-10)
