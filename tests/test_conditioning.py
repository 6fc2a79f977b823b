"""Marginal and conditional mixtures: p(a) = integral p(a, b) db and p(a | b) = p(a, b) / p(b)."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from emlearn.distributions.covariance import COVARIANCES
from emlearn.mixture import GaussianMixture, StudentTMixture

RNG = np.random.RandomState(0)
X = np.vstack(
    [
        RNG.multivariate_normal(m, c, 150)
        for m, c in (
            ([0, 0, 0], [[1, 0.5, 0], [0.5, 2, 0.3], [0, 0.3, 1]]),
            ([4, -2, 3], [[2, -0.6, 0.2], [-0.6, 1, 0], [0.2, 0, 0.5]]),
        )
    ]
)
MODELS = [
    *(GaussianMixture(2, covariance_type=name, random_state=0) for name in sorted(COVARIANCES)),
    *(
        StudentTMixture(2, covariance_type=name, random_state=0)
        for name in ("full", "tied", "diag")
    ),
]


def ids(model):
    return f"{type(model).__name__}-{model.covariance_type}"


@pytest.mark.parametrize("model", MODELS, ids=ids)
def test_densities_of_a_part_times_the_rest(model):
    model.fit(X)
    points = X[::37]
    joint = model.score_samples(points)
    part = model.marginal([2, 0])
    log_part = part.score_samples(points[:, [2, 0]])
    for row, log_joint, log_known in zip(points, joint, log_part, strict=True):
        rest = model.condition([2, 0], row[[2, 0]])
        assert rest.score_samples(row[None, [1]])[0] + log_known == pytest.approx(log_joint)


@pytest.mark.parametrize("model", [MODELS[0], MODELS[-3]], ids=ids)
def test_marginal_is_the_integral(model):
    model.fit(X)
    part = model.marginal([0, 2])
    for row in X[::97]:

        def density(b, row=row):
            return np.exp(model.score_samples([[row[0], b, row[2]]])[0])

        value = quad(density, -60, 60, points=[-2, 0], limit=200)[0]
        assert np.log(value) == pytest.approx(part.score_samples(row[None, [0, 2]])[0], abs=1e-6)


def test_against_scipy():
    model = StudentTMixture(1, degrees_of_freedom=4.0).fit(X)
    part = model.marginal([1])
    t = stats.multivariate_t(part.means_[0], part.scales_[0], df=4.0)
    np.testing.assert_allclose(part.score_samples(X[:5, [1]]), t.logpdf(X[:5, [1]]))
    given = model.condition([0, 2], X[0, [0, 2]])
    assert given.degrees_of_freedom_[0] == 6.0


def test_responsibilities_become_weights():
    model = GaussianMixture(2, random_state=0).fit(X)
    known = model.condition([0], [X[3, 0]])
    np.testing.assert_allclose(known.weights_, model.marginal([0]).predict_proba(X[[3], :1])[0])


def test_result_is_a_fitted_mixture_that_fits_again():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = GaussianMixture(2, random_state=0).fit(frame)
    part = model.marginal(["c", "a"])
    assert list(part.feature_names_in_) == ["c", "a"]
    assert part.n_features_in_ == 2
    part.predict(frame[["c", "a"]])
    assert part.n_parameters_ == 11
    rest = model.condition(["a"], [1.0])
    assert list(rest.feature_names_in_) == ["b", "c"]
    assert rest.sample(3)[0].shape == (3, 2)
    assert rest.fit(frame[["b", "c"]]).converged_


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.marginal([3]), "there is no 3"),
        (lambda m: m.marginal(["a"]), "there is no 'a'"),
        (lambda m: m.marginal([]), "at least one"),
        (lambda m: m.marginal([1, 1]), "none twice"),
        (lambda m: m.condition([0], [1.0, 2.0]), "must hold 1 numbers"),
        (lambda m: m.condition([0, 1, 2], [0, 0, 0]), "none is left"),
        (lambda m: m.condition([0], [np.nan]), "NaN"),
    ],
)
def test_bad_input(call, message):
    model = GaussianMixture(2, random_state=0).fit(X)
    with pytest.raises(ValueError, match=message):
        call(model)


def test_noise_has_no_marginal():
    model = GaussianMixture(2, random_state=0, noise=True).fit(X)
    with pytest.raises(ValueError, match="noise=False"):
        model.marginal([0])
