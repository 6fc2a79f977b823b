"""Laws of every covariance model, with and without its conjugate prior."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from emlearn.distributions import Gaussian, NormalInverseWishart
from emlearn.distributions.covariance import COVARIANCES
from emlearn.em.statistics import Moments
from emlearn.exceptions import SingularError

MODELS = sorted({model.name for model in COVARIANCES.values()})
FREE = ("full", "tied", "VVE", "EVE", "VEE", "EEV", "VEV", "EVV", "EII", "spherical", "ppca")
# models whose iterative M-step has one optimum; that of the others is local
UNIQUE = [name for name in MODELS if name not in ("EVE", "VVE", "factor")]
CODES = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}


def draw(seed=0, n=200, d=4, K=3):
    """Rows of overlapping clusters with covariances of their own, and responsibilities."""
    rng = np.random.RandomState(seed)
    labels = rng.randint(K, size=n)
    roots = rng.normal(size=(K, d, d)) * (1.0 + np.arange(K))[:, None, None] + 0.5 * np.eye(d)
    X = np.einsum("ni,nij->nj", rng.normal(size=(n, d)), roots[labels])
    X += 2 * rng.normal(size=(K, d))[labels]
    weights = rng.dirichlet(np.full(K, 0.3), size=n)
    weights[np.arange(n), labels] += 1.0
    return X, weights / weights.sum(axis=1, keepdims=True)


def fitted(name, X, weights, *, floor=0.0, prior=None, current=None, steps=1, n_factors=1):
    """Parameters after some M-steps of the same statistics, and the function they maximise."""
    gaussian = Gaussian(name, floor, n_factors=n_factors)
    moments = gaussian.statistics(None, X, weights)
    parameters = current
    for _ in range(steps):
        parameters = gaussian.m_step(moments, parameters, prior)
    return gaussian, parameters


def objective(gaussian, X, weights, means, covariances, prior=None):
    """Expected log-likelihood, less what the floor takes, plus the log-prior, of dense covariances."""
    d = X.shape[1]
    value = 0.0
    for k in range(len(means)):
        y, precision = X - means[k], np.linalg.inv(covariances[k])
        distance = np.einsum("ni,ij,nj->n", y, precision, y)
        log_det = np.linalg.slogdet(covariances[k])[1]
        value -= 0.5 * weights[:, k] @ (distance + log_det + d * np.log(2 * np.pi))
        value -= 0.5 * gaussian.reg_covar * weights[:, k].sum() * np.trace(precision)
    if prior is not None:
        value += gaussian.log_prior(parameters_of(gaussian, means, covariances), prior)
    return value


def parameters_of(gaussian, means, covariances):
    """Parameters from dense covariances of the model."""
    name = gaussian.covariance_type
    if name == "tied":
        covariances = covariances[0]
    elif gaussian.covariance.form == "diag":
        covariances = np.diagonal(covariances, axis1=1, axis2=2).copy()
        if name in ("EII", "spherical"):
            covariances = covariances[:, 0].copy()
    factors, singular = gaussian.covariance.factor(covariances)
    assert not len(singular)
    return type(gaussian).parameters_class(means, covariances, factors)


def rotation(rng, d, size, axes=False):
    """A rotation near the identity; of no plane where axes are fixed."""
    if axes:
        return np.eye(d)
    skew = rng.normal(size=(d, d)) * size
    skew = skew - skew.T
    return np.linalg.solve(np.eye(d) - skew, np.eye(d) + skew)


def neighbour(name, covariances, rng, size, parameters=None):
    """Covariances of the same model nearby, made of volumes, shapes and axes."""
    K, d, _ = covariances.shape
    if name in ("factor", "ppca"):
        loadings = parameters.loadings * (1 + size * rng.normal(size=parameters.loadings.shape))
        noise = parameters.noise_variances.reshape(K, -1)
        noise = noise * np.exp(size * rng.normal(size=noise.shape))
        return loadings @ np.swapaxes(loadings, 1, 2) + noise[:, :, None] * np.eye(d)
    volume, shape, axes = CODES.get(name, name)

    def steps(letter, *dims):
        if letter == "I":
            return np.zeros((K, *dims))
        values = size * rng.normal(size=(K, *dims))
        return values if letter == "V" else np.broadcast_to(values[0], values.shape)

    scale = np.exp(steps(volume))
    stretch = steps(shape, d)
    stretch = np.exp(stretch - stretch.mean(axis=1, keepdims=True))
    if axes == "I":
        factor = np.sqrt(stretch)[:, :, None] * np.eye(d)
    elif axes == "E" and shape == "E":  # one matrix: any linear map
        turn = np.eye(d) + size * rng.normal(size=(d, d))
        turn /= np.linalg.det(turn) ** (1 / d)
        factor = np.broadcast_to(turn, (K, d, d))
    else:
        values, vectors = np.linalg.eigh(covariances)
        if axes == "E":  # the axes that all share
            mix = np.tensordot(1.0 / (1.0 + np.arange(K)), covariances, axes=1)
            vectors = np.broadcast_to(np.linalg.eigh(mix)[1], (K, d, d))
            values = np.einsum("kji,kjl,kli->ki", vectors, covariances, vectors)
            turn = rotation(rng, d, size)
            turns = np.broadcast_to(turn, (K, d, d))
        else:
            turns = np.array([rotation(rng, d, size) for _ in range(K)])
        moved = (vectors * (values * stretch)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
        return scale[:, None, None] * (turns @ moved @ np.swapaxes(turns, 1, 2))
    return scale[:, None, None] * (factor @ covariances @ np.swapaxes(factor, 1, 2))


@pytest.mark.parametrize("with_prior", [False, True])
@pytest.mark.parametrize("floor", [0.0, 0.3])
@pytest.mark.parametrize("name", MODELS)
def test_m_step_is_a_maximum(name, floor, with_prior):
    rng = np.random.RandomState(3)
    X, weights = draw()
    gaussian = Gaussian(name, floor)
    prior = NormalInverseWishart(mean_count=5.0).bind(X, None, 3, gaussian) if with_prior else None
    gaussian, found = fitted(name, X, weights, floor=floor, prior=prior, steps=50)
    dense = np.array(gaussian.covariance.dense(found.covariances, *found.means.shape))
    best = objective(gaussian, X, weights, found.means, dense, prior)
    for size in (1e-3, 1e-2, 0.1):
        for _ in range(10):
            means = found.means + size * rng.normal(size=found.means.shape)
            for trial in (means, found.means):
                near = neighbour(name, dense, rng, size, found)
                value = objective(gaussian, X, weights, trial, near, prior)
                assert value <= best + 1e-9 * abs(best)


@pytest.mark.parametrize("name", MODELS)
def test_constraint_holds(name):
    X, weights = draw()
    gaussian, found = fitted(name, X, weights)
    S = np.array(gaussian.covariance.dense(found.covariances, *found.means.shape))
    d = X.shape[1]
    if name in ("factor", "ppca"):
        product = found.loadings @ np.swapaxes(found.loadings, 1, 2)
        np.testing.assert_allclose(
            S - product, found.noise_variances.reshape(3, -1)[:, :, None] * np.eye(d), atol=1e-10
        )
        assert found.noise_variances.shape == ((3, d) if name == "factor" else (3,))
        assert found.loadings.shape == (3, d, 1)
        return
    volume, shape, axes = CODES.get(name, name)
    volumes = np.exp(np.linalg.slogdet(S)[1] / d)
    if volume == "E":
        np.testing.assert_allclose(volumes, volumes[0], rtol=1e-10)
    eigenvalues = np.linalg.eigvalsh(S) / volumes[:, None]
    if shape != "V":
        np.testing.assert_allclose(eigenvalues, np.tile(eigenvalues[0], (3, 1)), rtol=1e-8)
    if shape == "I":
        np.testing.assert_allclose(eigenvalues, 1.0)
    if axes == "I":
        np.testing.assert_array_equal(S * (1 - np.eye(d)), 0.0)
    if axes == "E":
        for a in S:
            for b in S:
                np.testing.assert_allclose(a @ b, b @ a, atol=1e-8 * np.abs(a @ b).max())


@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("d", [1, 4])
def test_number_of_free_parameters(K, d):
    p = d * (d - 1) // 2
    expected = {
        "EII": 1,
        "VII": K,
        "EEI": d,
        "VEI": K + d - 1,
        "EVI": 1 + K * (d - 1),
        "VVI": K * d,
        "EEE": d + p,
        "VEE": K + d - 1 + p,
        "EVE": 1 + K * (d - 1) + p,
        "VVE": K * d + p,
        "EEV": d + K * p,
        "VEV": K + d - 1 + K * p,
        "EVV": 1 + K * (d - 1) + K * p,
        "VVV": K * (d + p),
        "factor": K * min(2 * d, d + p),
        "ppca": K * (d + 1 if d > 1 else 1),
    }
    for name, count in expected.items():
        assert COVARIANCES[name].n_free(K, d) == count, name
    for name in ("factor", "ppca"):
        assert COVARIANCES[name].configure(9).n_free(K, d) == K * (d + p)


@pytest.mark.parametrize("with_prior", [False, True])
@pytest.mark.parametrize("floor", [0.0, 0.1])
@pytest.mark.parametrize("name", MODELS)
def test_em_climbs(name, floor, with_prior):
    X, weights = draw(1, n=120)
    gaussian = Gaussian(name, floor, n_factors=2)
    prior = gaussian.default_prior().bind(X, None, 3, gaussian) if with_prior else None
    parameters = gaussian.m_step(gaussian.statistics(None, X, weights), None, prior)
    old, moments, before, shares = None, None, -np.inf, weights.mean(axis=0)
    for _ in range(40):
        joint = gaussian.log_density(parameters, X)[0] + np.log(shares)
        top = joint.max(axis=1, keepdims=True)
        posterior = np.exp(joint - top)
        value = float((top[:, 0] + np.log(posterior.sum(axis=1))).sum())
        if prior is not None:
            value += gaussian.log_prior(parameters, prior)
        if old is not None:
            law = gaussian.ascent(old, parameters, moments)
            assert value - before >= min(law, 0.0) - 1e-9 * abs(value)
        posterior /= posterior.sum(axis=1, keepdims=True)
        before, old, shares = value, parameters, posterior.mean(axis=0)
        moments = gaussian.statistics(parameters, X, posterior)
        parameters = gaussian.m_step(moments, parameters, prior)


@pytest.mark.parametrize("name", MODELS)
def test_units_change_units_only(name):
    X, weights = draw(2)
    _, found = fitted(name, X, weights)
    gaussian, scaled = fitted(name, 1024.0 * X + 64.0, weights)
    expected = 1024.0**2 * found.covariances
    np.testing.assert_allclose(scaled.covariances, expected, atol=1e-6 * expected.max())
    assert np.isfinite(scaled.precisions_cholesky).all()


@pytest.mark.parametrize("name", [n for n in FREE if n not in ("EVE", "VVE")])
def test_rotation_of_the_data_rotates_the_covariances(name):
    X, weights = draw(2)
    turn = np.linalg.qr(np.random.RandomState(0).normal(size=(4, 4)))[0]
    gaussian, found = fitted(name, X, weights)
    _, turned = fitted(name, X @ turn, weights)
    S = np.array(gaussian.covariance.dense(found.covariances, 3, 4))
    T = np.array(gaussian.covariance.dense(turned.covariances, 3, 4))
    np.testing.assert_allclose(T, turn.T @ S @ turn, atol=1e-7 * np.abs(S).max())


@pytest.mark.parametrize(
    "same",
    [
        ("EII", "VII"),
        ("EEI", "VEI", "EVI", "VVI"),
        ("EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"),
    ],
)
def test_one_component_has_nothing_to_share(same):
    for X in (draw()[0], (lambda Z: (Z - Z.mean(0)) / Z.std(0))(draw()[0])):
        dense = []
        for name in same:
            gaussian, found = fitted(name, X, np.ones((len(X), 1)))
            dense.append(np.array(gaussian.covariance.dense(found.covariances, 1, 4)))
        for other in dense[1:]:
            np.testing.assert_allclose(other, dense[0], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_one_feature(name):
    X, weights = draw(5, d=1)
    gaussian, found = fitted(name, X, weights)
    first = {"factor": "V", "ppca": "V"}.get(name, CODES.get(name, name)[0])
    expected = fitted("VII" if first == "V" else "EII", X, weights)[1].covariances
    dense = np.array(gaussian.covariance.dense(found.covariances, 3, 1)).ravel()
    np.testing.assert_allclose(dense, expected, rtol=1e-7)


@pytest.mark.parametrize("with_prior", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_an_empty_component_enters_nothing_that_is_shared(name, with_prior):
    X, weights = draw()
    gaussian, current = fitted(name, X, weights)
    prior = gaussian.default_prior().bind(X, None, 3, gaussian) if with_prior else None
    weights = weights[:, :2] / weights[:, :2].sum(axis=1, keepdims=True)
    emptied = np.column_stack([weights, np.zeros(len(X))])
    _, found = fitted(name, X, emptied, current=current, prior=prior, steps=60)
    assert np.isfinite(found.covariances).all() and np.isfinite(found.means).all()
    if prior is not None:
        return
    np.testing.assert_array_equal(found.means[2], current.means[2])
    _, two = fitted(name, X, weights, steps=60)
    S = np.array(gaussian.covariance.dense(found.covariances, 3, 4))[:2]
    if name not in ("EVE", "VVE", "factor"):  # of several optima each goes to its own
        T = np.array(gaussian.covariance.dense(two.covariances, 2, 4))
        np.testing.assert_allclose(S, T, rtol=1e-5, atol=1e-5 * np.abs(T).max())
    start = gaussian.m_step(gaussian.statistics(None, X, emptied), None)
    assert np.isfinite(start.covariances).all()


@pytest.mark.parametrize("name", MODELS)
def test_rows_that_are_all_the_same(name):
    X, weights = np.ones((20, 3)), np.random.RandomState(0).dirichlet(np.ones(2), size=20)
    with pytest.raises(SingularError):
        fitted(name, X, weights)
    _, found = fitted(name, X, weights, floor=1e-3)
    gaussian = Gaussian(name, 1e-3)
    dense = np.array(gaussian.covariance.dense(found.covariances, 2, 3))
    np.testing.assert_allclose(dense, np.tile(1e-3 * np.eye(3), (2, 1, 1)), atol=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_a_collapsed_component_is_an_error_or_finite(name):
    X, _ = draw()
    X[:30] = X[0]
    weights = np.zeros((len(X), 2))
    weights[:30, 0] = weights[30:, 1] = 1.0
    pooled = name in ("EII", "EEI", "tied", "EEV")
    if pooled:
        assert np.isfinite(fitted(name, X, weights)[1].precisions_cholesky).all()
    else:
        with pytest.raises(SingularError, match=r"Singular components"):
            fitted(name, X, weights)
    found = fitted(name, X, weights, floor=1e-6)[1]
    assert np.isfinite(found.precisions_cholesky).all()


@pytest.mark.parametrize("name", MODELS)
def test_published_parameters_are_read_back(name):
    X, weights = draw()
    gaussian, found = fitted(name, X, weights)
    values = gaussian.publish(found)
    again = gaussian.recall(values)
    np.testing.assert_array_equal(again.covariances, found.covariances)
    assert values["precisions"].shape == gaussian.covariance.shape(3, 4)
    if name in ("factor", "ppca"):
        np.testing.assert_array_equal(again.noise_variances, found.noise_variances)
    del values["covariances"]
    np.testing.assert_allclose(
        gaussian.recall(values).covariances, found.covariances, rtol=1e-6, atol=1e-9
    )
    gaussian.covariance.check_precisions(values["precisions"])
    with pytest.raises(ValueError, match="shape"):
        gaussian.recall({**values, "precisions_cholesky": values["precisions_cholesky"][:2]})


@pytest.mark.parametrize("name", MODELS)
def test_float32_rows(name):
    X, weights = draw()
    _, found = fitted(name, X.astype(np.float32), weights)
    _, exact = fitted(name, X.astype(np.float32).astype(np.float64), weights)
    assert found.covariances.dtype == np.float64
    np.testing.assert_array_equal(found.covariances, exact.covariances)


@pytest.mark.parametrize("name", UNIQUE)
def test_the_start_of_an_m_step_does_not_matter(name):
    X, weights = draw()
    _, other = fitted(name, *draw(9))
    cold = fitted(name, X, weights)[1].covariances
    warm = fitted(name, X, weights, current=other, steps=50)[1].covariances
    np.testing.assert_allclose(warm, cold, rtol=1e-8, atol=1e-10)


def test_factors_of_a_factor_model_are_found():
    rng = np.random.RandomState(0)
    loadings = np.linalg.qr(rng.normal(size=(8, 2)))[0] * [3.0, 2.0]
    X = rng.normal(size=(4000, 2)) @ loadings.T + rng.normal(size=(4000, 8)) * 0.5
    _, found = fitted("factor", X, np.ones((4000, 1)), n_factors=2)
    np.testing.assert_allclose(found.noise_variances, 0.25, rtol=0.15)
    product = found.loadings[0] @ found.loadings[0].T
    np.testing.assert_allclose(product, loadings @ loadings.T, atol=0.4)


# ------------------------------------------------------------------ prior


def test_default_prior_is_that_of_fraley_and_raftery():
    X = load_iris().data
    prior = Gaussian.default_prior().bind(X, None, 2, Gaussian("VEV"))
    np.testing.assert_allclose(prior.mean, X.mean(axis=0))
    np.testing.assert_allclose(prior.scale, np.cov(X.T) / np.sqrt(2))
    assert (prior.mean_count, prior.degrees_of_freedom) == (0.01, 6.0)
    diagonal = Gaussian.default_prior().bind(X, None, 2, Gaussian("VEI"))
    np.testing.assert_allclose(diagonal.scale, X.var(axis=0, ddof=1).mean() / np.sqrt(2))


def test_weights_are_repetitions_for_the_prior():
    X, _ = draw(n=30)
    counts = np.random.RandomState(0).randint(4, size=30)
    weighted = Gaussian.default_prior().bind(X, counts.astype(float), 2, Gaussian())
    repeated = Gaussian.default_prior().bind(np.repeat(X, counts, axis=0), None, 2, Gaussian())
    np.testing.assert_allclose(weighted.mean, repeated.mean)
    np.testing.assert_allclose(weighted.scale, repeated.scale)


@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "EII", "EEI"])
def test_prior_is_a_density(name):
    """In one dimension, one component: the integral over mean and variance is 1."""
    gaussian = Gaussian(name)
    prior = NormalInverseWishart(mean=[0.5], mean_count=2.0, degrees_of_freedom=3.0, scale=1.5)
    prior = prior.bind(np.zeros((2, 1)), None, 1, gaussian)
    logs = np.linspace(-8, 14, 800)
    grid = np.linspace(-12, 12, 600)
    total = 0.0
    for log_variance in logs:
        variance = np.exp(log_variance)
        means = prior.mean[0] + grid * np.sqrt(variance)
        one = parameters_of(gaussian, np.array([[prior.mean[0]]]), np.array([[[variance]]]))
        peak = gaussian.log_prior(one, prior)
        density = np.exp(peak - 0.5 * 2.0 * np.square(means - prior.mean[0]) / variance)
        total += np.trapezoid(density, means) * variance * (logs[1] - logs[0])
    assert total == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("name", MODELS)
def test_means_without_a_prior_are_those_of_the_data(name):
    X, weights = draw()
    prior = NormalInverseWishart(mean_count=0.0).bind(X, None, 3, Gaussian(name))
    gaussian, found = fitted(name, X, weights, prior=prior)
    _, free = fitted(name, X, weights)
    np.testing.assert_allclose(found.means, free.means)
    assert np.isfinite(gaussian.log_prior(found, prior))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"degrees_of_freedom": 2.0}, "degrees_of_freedom"),
        ({"mean_count": -1.0}, "mean_count"),
        ({"mean": [0.0]}, "mean must be"),
        ({"scale": np.zeros((4, 4))}, "positive definite"),
        ({"scale": np.ones(3)}, "scale must be"),
    ],
)
def test_what_is_no_prior(settings, message):
    X, _ = draw()
    with pytest.raises(ValueError, match=message):
        NormalInverseWishart(**settings).bind(X, None, 3, Gaussian())


def test_moments_with_a_prior_leave_the_statistics_alone():
    X, weights = draw()
    gaussian = Gaussian("VEE", 0.1)
    moments = gaussian.statistics(None, X, weights)
    copy = Moments(moments.weight.copy(), moments.mean.copy(), moments.scatter.copy(), "full")
    gaussian.m_step(moments, None, gaussian.default_prior().bind(X, None, 3, gaussian))
    for name in ("weight", "mean", "scatter"):
        np.testing.assert_array_equal(getattr(moments, name), getattr(copy, name))
