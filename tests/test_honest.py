"""What the fitted attributes say of the likelihood is what the methods say of it."""

import math
import warnings

import numpy as np
import pytest

from emlearn.datasets import load_faithful
from emlearn.exceptions import ObjectiveFellWarning
from emlearn.mixture import GaussianMixture

TYPES = ["full", "tied", "diag", "spherical"]
INITS = ["kmeans", "k-means++", "random", "random_from_data"]


def data(n=300, d=3, K=3, seed=0, spread=2.0):
    rng = np.random.RandomState(seed)
    X = rng.randn(n, d) * (1 + 0.5 * np.arange(d))
    return X + spread * rng.randn(K, d)[rng.randint(K, size=n)]


def gamma(n, seed=1):
    return np.random.RandomState(seed).gamma(1.0, size=n)


def fit(X, sample_weight=None, **parameters):
    """A fit in which the objective of exact EM never falls unseen."""
    mixture = GaussianMixture(**{"n_components": 3, "random_state": 0, **parameters})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", ObjectiveFellWarning)
        return mixture.fit(X, sample_weight=sample_weight)


SETTINGS = [
    {},
    {"max_iter": 0},
    {"max_iter": 1},
    {"max_iter": 7, "tol": 0},
    {"tol": 1e-10, "max_iter": 300},
    {"reg_covar": 0.5},
    {"n_init": 4},
    {"accelerate": "squarem", "tol": 1e-8},
]


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True])
def test_lower_bound_is_the_score(weighted, dtype, settings, init, covariance_type):
    X = data().astype(dtype)
    weights = gamma(len(X)) if weighted else None
    mixture = fit(X, weights, covariance_type=covariance_type, init_params=init, **settings)
    rel = 1e-10 if dtype == np.float64 else 1e-5
    assert mixture.score(X, sample_weight=weights) == pytest.approx(mixture.lower_bound_, rel=rel)
    rows = mixture.score_samples(X).astype(np.float64)
    assert np.average(rows, weights=weights) == pytest.approx(mixture.lower_bound_, rel=rel)
    assert mixture.lower_bounds_.shape == (mixture.n_iter_,)
    if mixture.n_iter_:
        assert mixture.lower_bounds_[-1] == mixture.lower_bound_
    assert mixture.restart_lower_bounds_.shape == (settings.get("n_init", 1),)
    assert np.nanmax(mixture.restart_lower_bounds_) == pytest.approx(mixture.lower_bound_, rel=1e-9)
    assert 1 <= mixture.n_best_restarts_ <= len(mixture.restart_lower_bounds_)
    if "accelerate" not in settings:
        assert mixture.n_e_steps_ == mixture.n_iter_ + 1
    total = mixture.weights_.sum(dtype=np.float64)
    assert total == pytest.approx(1, abs=1e-12 if dtype == np.float64 else 1e-6)
    assert mixture.stop_reason_.split(":")[0] == ("converged" if mixture.converged_ else "max_iter")
    assert mixture.converged_ or mixture.n_iter_ == mixture.max_iter


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", INITS)
def test_labels_are_those_of_the_fit_and_of_the_posterior(init, covariance_type):
    X = data()
    for weights in (None, gamma(len(X))):
        mixture = GaussianMixture(
            3, covariance_type=covariance_type, init_params=init, random_state=0
        )
        labels = mixture.fit_predict(X, sample_weight=weights)
        again = fit(X, weights, covariance_type=covariance_type, init_params=init)
        np.testing.assert_array_equal(labels, again.predict(X))
        np.testing.assert_array_equal(labels, mixture.predict(X))
        posterior = mixture.predict_proba(X)
        np.testing.assert_array_equal(labels, posterior.argmax(axis=1))
        np.testing.assert_allclose(posterior.sum(axis=1), 1, rtol=1e-13)
        assert labels.dtype == np.int64


# ------------------------------------------------------------------------ ascent


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", ["kmeans", "random"])
@pytest.mark.parametrize("accelerate", [None, "squarem"])
@pytest.mark.parametrize("seed", range(3))
def test_the_likelihood_never_falls_in_exact_em(seed, accelerate, init, covariance_type):
    X = data(seed=seed, spread=1.0)
    for weights in (None, gamma(len(X), seed)):
        mixture = fit(
            X,
            weights,
            covariance_type=covariance_type,
            init_params=init,
            accelerate=accelerate,
            reg_covar=0,
            tol=0,
            max_iter=60,
        )
        bounds = mixture.lower_bounds_
        assert np.all(np.diff(bounds) >= -1e-12 * np.abs(bounds[1:]))


def trace_of_precisions(mixture):
    """tr(precision_k) for each component."""
    P, (K, d) = mixture.precisions_, mixture.means_.shape
    match mixture.covariance_type:
        case "full":
            return np.trace(P, axis1=1, axis2=2)
        case "tied":
            return np.full(K, np.trace(P))
        case "diag":
            return P.sum(axis=1)
    return d * P


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("reg_covar", [1e-6, 1e-2, 1.0, 30.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_law_of_regularised_em(weighted, reg_covar, init, covariance_type):
    X = data(n=150, spread=1.5)
    X[:, 2] = np.round(X[:, 2])  # some variances that the floor alone holds up
    weights = gamma(len(X)) if weighted else None
    n = np.ones(len(X)) if weights is None else weights
    settings = {"covariance_type": covariance_type, "init_params": init, "reg_covar": reg_covar}
    mixture = fit(X, weights, max_iter=0, **settings)
    mixture.set_params(max_iter=1, warm_start=True, tol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", ObjectiveFellWarning)
        for _ in range(25):
            before = n.sum() * mixture.score(X, sample_weight=weights)
            counts = n @ mixture.predict_proba(X)
            trace = trace_of_precisions(mixture)
            mixture.fit(X, sample_weight=weights)
            after = n.sum() * mixture.score(X, sample_weight=weights)
            law = 0.5 * reg_covar * counts @ (trace_of_precisions(mixture) - trace)
            noise = 1e-9 * max(abs(before), abs(after), abs(law))
            assert after - before >= law - noise


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fall_is_told():
    # a model whose M-step does not belong to its E-step
    class Wrong(GaussianMixture):
        def _fit_model(self, X, sample_weight):
            model = super()._fit_model(X, sample_weight)
            right = model.m_step
            calls = []

            def m_step(statistics, parameters):
                calls.append(parameters)
                new = right(statistics, parameters)
                if len(calls) == 4:
                    new.components.means[:] += 5.0
                return new

            model.m_step = m_step
            return model

    with pytest.warns(ObjectiveFellWarning, match="iteration"):
        Wrong(3, random_state=0, tol=0, max_iter=8).fit(data())


# -------------------------------------------------------------------- warm start


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("tol", [0, 1e-3, 1e-2])
@pytest.mark.parametrize("weighted", [False, True])
def test_warm_fits_of_one_iteration_are_one_fit_of_many(weighted, tol, init, covariance_type):
    X = data(seed=4)
    weights = gamma(len(X)) if weighted else None
    settings = {"covariance_type": covariance_type, "init_params": init, "tol": tol}
    together = fit(X, weights, max_iter=20, **settings)
    apart = GaussianMixture(3, random_state=0, max_iter=1, warm_start=True, **settings)
    bounds = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(20):
            apart.fit(X, sample_weight=weights)
            bounds.extend(apart.lower_bounds_)
            if apart.converged_:
                break
    assert apart.converged_ == together.converged_
    assert len(bounds) == together.n_iter_
    np.testing.assert_allclose(bounds, together.lower_bounds_, rtol=1e-12)
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        a, b = getattr(apart, name), getattr(together, name)
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * np.abs(b).max(), err_msg=name)


def test_a_warm_start_goes_on_where_it_was_and_a_cold_one_does_not():
    X = data()
    warm = GaussianMixture(3, random_state=0, max_iter=3, tol=0, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = warm.fit(X).lower_bound_
        second = warm.fit(X).lower_bounds_
        cold = GaussianMixture(3, random_state=0, max_iter=3, tol=0)
        assert cold.fit(X).lower_bound_ == cold.fit(X).lower_bound_ == first
    assert second[0] > first
    assert warm.n_iter_ == 3


# ----------------------------------------------------------------- restarts, stop


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", INITS)
def test_the_best_restart_is_the_one_of_the_highest_score(init, covariance_type):
    X = data(n=120, spread=1.0)
    settings = {"covariance_type": covariance_type, "init_params": init, "n_components": 4}
    many = fit(X, n_init=6, **settings)
    stream = np.random.RandomState(0)
    alone = [fit(X, random_state=stream, **settings) for _ in range(6)]
    bounds = [one.lower_bound_ for one in alone]
    np.testing.assert_array_equal(many.restart_lower_bounds_, bounds)
    assert many.lower_bound_ >= max(bounds) - 1e-9 * abs(max(bounds))
    first = next(one for one in alone if one.lower_bound_ == many.lower_bound_)
    np.testing.assert_array_equal(many.means_, first.means_)
    near = np.abs(np.array(bounds) - many.lower_bound_) <= many.tol
    assert many.n_best_restarts_ == near.sum()


@pytest.mark.parametrize("tol", [1e-1, 1e-3, 1e-6])
def test_the_rule_of_the_loop(tol):
    """After M-step n the objective before it is compared with the one before that."""
    X = data(spread=1.0)
    mixture = fit(X, tol=tol, max_iter=500)
    start = fit(X, max_iter=0).lower_bound_
    trace = np.r_[-math.inf, start, mixture.lower_bounds_]
    changes = np.abs(np.diff(trace))[:-1]  # what was compared after M-step 1, 2, ...
    assert mixture.converged_
    assert len(changes) == mixture.n_iter_
    assert changes[-1] < tol
    assert np.all(changes[:-1] >= tol)


# ---------------------------------------------------------- parameters and criteria


@pytest.mark.parametrize("K", [1, 2, 5])
@pytest.mark.parametrize("d", [1, 2, 6])
def test_numbers_of_parameters(d, K):
    X = data(n=100, d=d, K=K)
    covariance = {
        "full": K * d * (d + 1) // 2,
        "tied": d * (d + 1) // 2,
        "diag": K * d,
        "spherical": K,
    }
    for covariance_type in TYPES:
        mixture = fit(X, n_components=K, covariance_type=covariance_type, max_iter=2)
        expected = (K - 1) + K * d + covariance[covariance_type]
        assert mixture.n_parameters_ == mixture._n_parameters() == expected


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_criteria_are_their_definitions(weighted, covariance_type):
    X = data(spread=1.0)
    weights = gamma(len(X)) if weighted else None
    w = np.ones(len(X)) if weights is None else weights
    mixture = fit(X, weights, covariance_type=covariance_type)
    log_likelihood = w @ mixture.score_samples(X)
    penalty = mixture.n_parameters_ * math.log(w.sum())
    bic = -2 * log_likelihood + penalty
    assert mixture.bic(X, sample_weight=weights) == pytest.approx(bic, rel=1e-12)
    aic = -2 * log_likelihood + 2 * mixture.n_parameters_
    assert mixture.aic(X, sample_weight=weights) == pytest.approx(aic, rel=1e-12)
    # the completed likelihood: every row with its most probable component
    posterior = mixture.predict_proba(X)
    joint = mixture.score_samples(X) + np.log(posterior[np.arange(len(X)), mixture.predict(X)])
    icl = -2 * w @ joint + penalty
    assert mixture.icl(X, sample_weight=weights) == pytest.approx(icl, rel=1e-10)
    assert mixture.icl(X, sample_weight=weights) >= mixture.bic(X, sample_weight=weights)


def test_old_faithful_is_what_it_always_was():
    """The fit of two components that the literature reports, from any start."""
    X = load_faithful().data
    for init in INITS:
        mixture = fit(X, n_components=2, init_params=init, n_init=5, tol=1e-9, max_iter=2000)
        order = np.argsort(mixture.means_[:, 0])
        np.testing.assert_allclose(mixture.weights_[order], [0.3559, 0.6441], atol=1e-3)
        np.testing.assert_allclose(
            mixture.means_[order], [[2.036, 54.479], [4.290, 79.968]], atol=5e-3
        )
        assert len(X) * mixture.lower_bound_ == pytest.approx(-1130.264, abs=5e-3)
