"""Data and parameters that break other hidden Markov models: each is fitted soundly, and answered for."""

import math
import warnings

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning

from emlearn.em import block_rows
from emlearn.exceptions import DegenerateComponentsWarning, ObjectiveFellWarning
from emlearn.hmm import (
    BernoulliHMM,
    CategoricalHMM,
    GaussianHMM,
    MultinomialHMM,
    PoissonHMM,
    StudentTHMM,
)
from emlearn.mixture import GaussianMixture

pytestmark = [
    pytest.mark.filterwarnings("error", category=RuntimeWarning),
    pytest.mark.filterwarnings("error", category=ObjectiveFellWarning),
    pytest.mark.filterwarnings("ignore", category=ConvergenceWarning),
    pytest.mark.filterwarnings("ignore", category=DegenerateComponentsWarning),
]

STICKY = np.array([[0.9, 0.1], [0.2, 0.8]])


def three_regimes(n=300, d=2, seed=0, distance=4.0):
    """Rows whose mean changes every 20, and the states."""
    rng = np.random.RandomState(seed)
    z = (np.arange(n) // 20) % 3
    return rng.standard_normal((n, d)) + distance * np.eye(3, d)[z] * (1 + z[:, None]), z


def assert_usable(hmm, X, **given):
    """Everything finite, each distribution a distribution, every method an answer."""
    np.testing.assert_allclose(hmm.startprob_.sum(), 1, rtol=1e-12)
    np.testing.assert_allclose(hmm.transmat_.sum(axis=1), 1, rtol=1e-12)
    assert np.all(hmm.startprob_ >= 0) and np.all(hmm.transmat_ >= 0)
    assert math.isfinite(hmm.lower_bound_) and np.isfinite(hmm.lower_bounds_).all()
    gain = np.diff(hmm.lower_bounds_)
    assert np.all(gain >= -1e-9 * np.abs(hmm.lower_bounds_[1:])), gain.min()
    assert np.isfinite(hmm.score_samples(X, **given)).all()
    assert hmm.score(X, **given) == pytest.approx(hmm.lower_bound_, rel=1e-9, abs=1e-9)
    for method in (hmm.predict_proba, hmm.filter_proba):
        posterior = method(X, **given)
        np.testing.assert_allclose(posterior.sum(axis=1), 1, rtol=1e-10)
        assert np.all(posterior >= 0)
    value, path = hmm.decode(X, **given)
    assert math.isfinite(value)
    assert value <= hmm.score_samples(X, **given).sum() + 1e-8 * (1 + abs(value))
    assert np.all((path >= 0) & (path < hmm.n_components))
    assert np.isfinite([hmm.bic(X, **given), hmm.aic(X, **given)]).all()
    np.testing.assert_allclose(hmm.forecast(X, 2, **given).state_proba.sum(axis=2), 1, rtol=1e-10)
    drawn, states = hmm.sample(5, random_state=0)
    assert drawn.shape == (5, np.shape(X)[1]) and states.shape == (5,)
    assert drawn.dtype.kind != "f" or np.isfinite(drawn).all()


# ------------------------------------------------------------------ few rows


def test_sequences_of_length_one_are_a_mixture():
    X, _ = three_regimes()
    hmm = GaussianHMM(3, random_state=0, tol=1e-10, max_iter=500).fit(X, lengths=[1] * 300)
    assert_usable(hmm, X, lengths=[1] * 300)
    # nobody has seen a transition: each is as probable as it was at the beginning
    np.testing.assert_allclose(hmm.transmat_, 1 / 3, rtol=1e-12)
    mixture = GaussianMixture(3, random_state=0, tol=1e-10, max_iter=500, init_params="kmeans")
    mixture.fit(X)
    order, other = np.argsort(hmm.means_[:, 0]), np.argsort(mixture.means_[:, 0])
    np.testing.assert_allclose(hmm.startprob_[order], mixture.weights_[other], atol=1e-4)
    np.testing.assert_allclose(hmm.means_[order], mixture.means_[other], atol=1e-3)


def test_one_row_alone_is_too_little_to_fit():
    with pytest.raises(ValueError, match="minimum of 2 is required by GaussianHMM"):
        GaussianHMM(1).fit([[1.0, 2.0]])


def test_one_row_can_be_asked_about():
    hmm = GaussianHMM(1).fit([[1.0, 2.0], [3.0, 2.0]])
    assert_usable(hmm, np.array([[1.0, 2.0]]))
    assert hmm.transmat_ == hmm.startprob_ == 1


def test_as_many_rows_as_states():
    X = np.array([[0.0], [5.0], [10.0]])
    for init in ("kmeans", "random"):
        hmm = GaussianHMM(3, init_params=init, random_state=0).fit(X)
        assert_usable(hmm, X)


def test_two_rows_in_two_sequences():
    hmm = PoissonHMM(2, random_state=0).fit([[1], [9]], lengths=[1, 1])
    assert_usable(hmm, [[1], [9]], lengths=[1, 1])


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data"])
def test_thirty_states_of_three_hundred_points(init):
    X, _ = three_regimes()
    hmm = GaussianHMM(30, init_params=init, random_state=0, max_iter=30).fit(X)
    assert_usable(hmm, X)
    counts = np.random.RandomState(0).poisson(4.0, size=(300, 1))
    hmm = PoissonHMM(30, init_params=init, random_state=0, max_iter=30).fit(
        counts, lengths=[100] * 3
    )
    assert_usable(hmm, counts, lengths=[100] * 3)


@pytest.mark.parametrize("K", [1, 2, 3])
def test_a_constant_series(K):
    for hmm, X in [
        (GaussianHMM(K, random_state=0), np.full((50, 2), 3.0)),
        (StudentTHMM(K, random_state=0), np.full((50, 2), 3.0)),
        (PoissonHMM(K, random_state=0), np.full((50, 1), 4)),
        (PoissonHMM(K, random_state=0), np.zeros((50, 1), dtype=int)),
        (BernoulliHMM(K, random_state=0), np.ones((50, 2))),
        (CategoricalHMM(K, random_state=0), np.full((50, 1), "a")),
        (MultinomialHMM(K, random_state=0), np.full((50, 2), 2)),
    ]:
        assert_usable(hmm.fit(X), X)


def test_fewer_distinct_rows_than_states():
    X = np.repeat([[0.0], [1.0]], 30, axis=0)
    for init in ("kmeans", "random"):
        hmm = GaussianHMM(4, init_params=init, random_state=0, reg_covar=1e-3).fit(X)
        assert_usable(hmm, X)


def test_a_series_longer_than_any_block_with_a_state_of_one_row():
    X, _ = three_regimes()
    X[150] = 1e3
    with block_rows(64):
        hmm = GaussianHMM(4, random_state=0, n_init=3).fit(X)
    assert_usable(hmm, X)


# --------------------------------------------------- states that are nowhere


@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_a_state_that_no_transition_reaches(accelerate):
    X, _ = three_regimes()
    start = {
        "startprob": [0.5, 0.5, 0.0],
        "transmat": [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.3, 0.3, 0.4]],
        "means": X[[0, 20, 40]],
        "covariances": [np.eye(2)] * 3,
    }
    hmm = GaussianHMM(3, init_params=start, accelerate=accelerate)
    with pytest.warns(DegenerateComponentsWarning, match=r"States \[2\] are never visited"):
        hmm.fit(X)
    assert_usable(hmm, X)
    # it keeps what it had
    np.testing.assert_array_equal(hmm.transmat_[2], start["transmat"][2])
    np.testing.assert_array_equal(hmm.means_[2], X[40])
    assert np.all(hmm.transmat_[:2, 2] == 0) and hmm.startprob_[2] == 0
    assert np.all(hmm.predict_proba(X)[:, 2] == 0)
    assert 2 not in hmm.predict(X)


def test_a_state_that_is_left_once_and_one_that_is_never_left():
    X, _ = three_regimes(60)
    hmm = GaussianHMM(3, topology="linear", random_state=0).fit(X)
    assert_usable(hmm, X)
    assert hmm.transmat_[2, 2] == 1.0
    np.testing.assert_array_equal(np.unique(hmm.predict(X)), [0, 1, 2])
    assert np.all(np.diff(hmm.predict(X)) >= 0)


def test_a_state_that_only_ends_sequences_keeps_its_row():
    # nothing follows state 1, so that EM has nothing to say of what does
    start = {
        "startprob": [1.0, 0.0],
        "transmat": [[0.5, 0.5], [0.7, 0.3]],
        "rates": [[1.0], [50.0]],
    }
    X = np.array([[1], [0], [50], [2], [51], [1], [1], [1], [49]])
    hmm = PoissonHMM(2, init_params=start, max_iter=3).fit(X, lengths=[3, 2, 4])
    assert_usable(hmm, X, lengths=[3, 2, 4])
    np.testing.assert_allclose(hmm.transmat_[1], [0.7, 0.3], atol=0.05)


# ------------------------------------------------------------------- scales


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_other_units_change_means_and_covariances_only(scale):
    X, _ = three_regimes()
    settings = {"random_state": 0, "tol": 1e-9, "max_iter": 300}
    plain = GaussianHMM(3, reg_covar=1e-6, **settings).fit(X)
    hmm = GaussianHMM(3, reg_covar=1e-6 * scale**2, **settings).fit(scale * X)
    assert_usable(hmm, scale * X)
    np.testing.assert_allclose(hmm.transmat_, plain.transmat_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(hmm.means_, scale * plain.means_, rtol=1e-6)
    np.testing.assert_allclose(hmm.covariances_, scale**2 * plain.covariances_, rtol=1e-5)
    np.testing.assert_array_equal(hmm.predict(scale * X), plain.predict(X))
    assert hmm.lower_bound_ == pytest.approx(plain.lower_bound_ - 2 * np.log(scale), rel=1e-8)


def test_tiny_numbers_without_a_floor_below_them():
    X, _ = three_regimes()
    hmm = GaussianHMM(3, random_state=0).fit(1e-8 * X)  # the floor is 1e10 times their variance
    assert_usable(hmm, 1e-8 * X)
    hmm = GaussianHMM(3, random_state=0, reg_covar=0).fit(1e-8 * X)
    assert_usable(hmm, 1e-8 * X)
    assert np.ptp(hmm.means_[:, 0]) > 1e-8


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_an_offset_changes_means_only(covariance_type):
    X, _ = three_regimes()
    X = (X + 1e8) - 1e8  # what the offset leaves of the digits
    settings = {"covariance_type": covariance_type, "random_state": 0, "max_iter": 20, "tol": 0}
    plain, far = GaussianHMM(3, **settings).fit(X), GaussianHMM(3, **settings).fit(X + 1e8)
    assert_usable(far, X + 1e8)
    np.testing.assert_allclose(far.transmat_, plain.transmat_, atol=1e-6)
    np.testing.assert_allclose(far.means_ - 1e8, plain.means_, atol=1e-6)
    np.testing.assert_allclose(far.covariances_, plain.covariances_, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(far.predict(X + 1e8), plain.predict(X))


def test_states_a_thousand_deviations_apart():
    rng = np.random.RandomState(0)
    z = np.repeat([0, 1, 0, 1, 1, 0], 25)
    X = rng.standard_normal((150, 1)) + 1e3 * z[:, None]
    hmm = GaussianHMM(2, random_state=0, reg_covar=0).fit(X)
    assert_usable(hmm, X)
    order = hmm.means_[:, 0].argsort()
    np.testing.assert_array_equal(order.argsort()[z], np.array(hmm.predict(X)))
    counts = np.array([[np.sum((z[:-1] == i) & (z[1:] == j)) for j in (0, 1)] for i in (0, 1)])
    np.testing.assert_allclose(
        hmm.transmat_[np.ix_(order, order)], counts / counts.sum(axis=1, keepdims=True), rtol=1e-12
    )
    posterior = hmm.predict_proba(X)
    assert np.all((posterior == 0) | (posterior == 1) | (posterior > 1e-300))


def test_what_vanishes_in_one_row_can_be_all_that_is_left_in_the_next():
    # ten rows speak for state 0 and twenty for state 1, each by a factor of e^200, and no state is ever left
    hmm = GaussianHMM.from_parameters(
        [0.5, 0.5], np.eye(2), means=[[-10.0], [10.0]], covariances=[[[1.0]], [[1.0]]]
    )
    X = np.r_[np.full((10, 1), -10.0), np.full((20, 1), 10.0)]
    np.testing.assert_allclose(hmm.predict_proba(X), np.tile([0.0, 1.0], (30, 1)), atol=1e-15)
    np.testing.assert_array_equal(hmm.predict(X), 1)
    table = -0.5 * ((X - [-10.0, 10.0]) ** 2 + np.log(2 * np.pi))
    expected = logsumexp(table.sum(axis=0)) + np.log(0.5)
    assert hmm.score(X) * 30 == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(hmm.filter_proba(X)[[0, -1]], [[1, 0], [0, 1]], atol=1e-15)


@pytest.mark.parametrize("height", [690.0, 1e4])
def test_densities_far_above_and_below_the_range_of_numbers(height):
    scale = np.exp(height / 200)  # 100 columns of variance scale²: log-densities of -+height
    for factor in (min(scale, 1e100), 1 / min(scale, 1e100)):
        rng = np.random.RandomState(0)
        X = factor * rng.standard_normal((50, 100))
        hmm = GaussianHMM.from_parameters(
            [0.5, 0.5],
            STICKY,
            covariance_type="spherical",
            means=np.zeros((2, 100)),
            covariances=np.array([1.0, 2.0]) * factor**2,
        )
        near = GaussianHMM.from_parameters(
            [0.5, 0.5],
            STICKY,
            covariance_type="spherical",
            means=np.zeros((2, 100)),
            covariances=np.array([1.0, 2.0]),
        )
        np.testing.assert_allclose(
            hmm.predict_proba(X), near.predict_proba(X / factor), rtol=1e-9, atol=1e-12
        )
        shift = 100 * np.log(factor)
        assert hmm.score(X) == pytest.approx(near.score(X / factor) - shift, rel=1e-10)


def test_many_rows_lose_no_digits():
    # constant densities: the likelihood is known, and so is the posterior, which is the stationary distribution
    hmm = PoissonHMM.from_parameters([2 / 3, 1 / 3], STICKY, rates=[[1.0], [1.0]])
    X = np.ones((100_000, 1))
    assert hmm.score(X) == pytest.approx(-1.0, rel=1e-12)
    posterior = hmm.predict_proba(X)
    np.testing.assert_allclose(posterior[[0, 1, 50_000, -1]], [[2 / 3, 1 / 3]] * 4, rtol=1e-9)
    hmm.set_params(max_iter=1).fit(X)
    np.testing.assert_allclose(hmm.transmat_, STICKY, rtol=1e-9)


# ---------------------------------------------------------- the impossible


def impossible():
    """Models, and rows of which one is impossible where it stands; which row it is."""
    chain = {"startprob": [0.5, 0.5], "transmat": STICKY}
    yield (
        "rate 0",
        PoissonHMM.from_parameters(**chain, rates=[[0.0], [0.0]]),
        [[0], [0], [1], [0]],
        2,
    )
    yield (
        "probability 0",
        CategoricalHMM.from_parameters(**chain, probabilities=[[[0.5, 0.5, 0.0], [0.1, 0.9, 0.0]]]),
        [[0], [1], [2], [0]],
        2,
    )
    yield (
        "never a one",
        BernoulliHMM.from_parameters(**chain, probabilities=[[0.0], [0.0]]),
        [[1], [0], [0]],
        0,
    )
    # no path of states leads to what the rows say
    one_way = {"startprob": [1.0, 0.0], "transmat": [[0.5, 0.5], [0.0, 1.0]]}
    sure = {"probabilities": [[0.0], [1.0]]}
    yield "no way back", BernoulliHMM.from_parameters(**one_way, **sure), [[0], [1], [0], [0]], 2
    yield "no such beginning", BernoulliHMM.from_parameters(**one_way, **sure), [[1], [1], [1]], 0


IMPOSSIBLE = pytest.mark.parametrize(
    "name, hmm, X, row", [pytest.param(*c, id=c[0]) for c in impossible()]
)


@IMPOSSIBLE
def test_an_impossible_row_has_a_score_of_minus_infinity_and_finite_posteriors(name, hmm, X, row):
    rows = hmm.score_samples(X)
    assert rows[row] == -np.inf
    assert np.isfinite(np.delete(rows, row)).all()
    assert hmm.score(X) == -np.inf
    for method in (hmm.predict_proba, hmm.filter_proba):
        posterior = method(X)
        assert np.isfinite(posterior).all() and np.all(posterior >= 0)
        np.testing.assert_allclose(posterior.sum(axis=1), 1, rtol=1e-12)
    value, path = hmm.decode(X)
    assert value == -np.inf
    assert set(path) <= {0, 1}
    for method in ("viterbi", "smooth", "filter"):
        assert set(hmm.predict(X, method=method)) <= {0, 1}
    forecast = hmm.forecast(X, 2)
    np.testing.assert_allclose(forecast.state_proba.sum(axis=2), 1, rtol=1e-12)
    assert hmm.bic(X) == hmm.aic(X) == np.inf


@IMPOSSIBLE
def test_an_impossible_sequence_does_not_touch_the_others(name, hmm, X, row):
    good = [[0], [0]]
    both, lengths = [*good, *X, *good], [2, len(X), 2]
    alone = hmm.score_samples(good)
    assert np.isfinite(alone).all()
    rows = hmm.score_samples(both, lengths=lengths)
    np.testing.assert_array_equal(rows[:2], alone)
    np.testing.assert_array_equal(rows[-2:], alone)
    for method in (hmm.predict_proba, hmm.filter_proba):
        posterior = method(both, lengths=lengths)
        np.testing.assert_allclose(posterior[:2], method(good), rtol=1e-14)
        np.testing.assert_allclose(posterior[-2:], method(good), rtol=1e-14)
        np.testing.assert_allclose(posterior[2:-2], method(X), rtol=1e-14)
    path = hmm.predict(both, lengths=lengths)
    np.testing.assert_array_equal(path[-2:], hmm.predict(good))
    # a sequence of weight 0 says nothing, whatever it is
    weights = [1.0, 0.0, 2.0]
    assert hmm.score(both, sample_weight=weights, lengths=lengths) == pytest.approx(alone.mean())


@IMPOSSIBLE
def test_row_by_row_the_impossible_is_as_all_at_once(name, hmm, X, row):
    filtered, rows = hmm.filter_proba(X), hmm.score_samples(X)
    proba = None
    for t, x in enumerate(X):
        proba, value = hmm.step(x, proba)
        np.testing.assert_allclose(proba, filtered[t], rtol=1e-12)
        assert value == pytest.approx(rows[t])


def test_a_row_that_no_state_can_have_tells_nothing_of_the_state():
    hmm = CategoricalHMM.from_parameters(
        [0.9, 0.1], STICKY, probabilities=[[[0.7, 0.3, 0.0], [0.2, 0.8, 0.0]]]
    )
    filtered = hmm.filter_proba([[0], [2], [1]])
    np.testing.assert_allclose(filtered[1], filtered[0] @ STICKY, rtol=1e-12)


def test_an_impossible_sequence_of_weight_zero_is_no_hindrance_to_a_fit():
    X = np.array([[0], [1], [0], [2], [2], [0]])
    start = {"startprob": [0.5, 0.5], "transmat": STICKY}
    states = {"probabilities": [[[0.5, 0.5, 0.0], [0.1, 0.9, 0.0]]]}
    hmm = CategoricalHMM(2, init_params={**start, **states}, max_iter=5)
    hmm.fit(X, sample_weight=[1.0, 0.0, 1.0], lengths=[3, 2, 1])
    alone = CategoricalHMM(2, categories=[[0, 1, 2]], init_params={**start, **states}, max_iter=5)
    alone.fit(X[[0, 1, 2, 5]], lengths=[3, 1])
    np.testing.assert_allclose(hmm.transmat_, alone.transmat_, rtol=1e-10)
    np.testing.assert_allclose(hmm.lower_bounds_, alone.lower_bounds_, rtol=1e-10)


@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_a_fit_that_begins_where_the_rows_are_impossible_says_so(accelerate):
    # EM moves no probability away from 0: from here it would never have a likelihood
    start = {"startprob": [1.0, 0.0], "transmat": [[0.5, 0.5], [0.0, 1.0]]}
    start["probabilities"] = [[0.0], [1.0]]
    hmm = BernoulliHMM(2, init_params=start, accelerate=accelerate)
    with pytest.raises(ValueError, match="impossible"):
        hmm.fit([[0], [1], [0], [0]])


def test_symbols_that_the_fit_never_saw():
    X = np.array([["a"], ["b"], ["a"], ["a"], ["b"], ["b"]] * 5)
    hmm = CategoricalHMM(2, random_state=0).fit(X)
    with pytest.raises(ValueError, match="'c'"):
        hmm.predict([["a"], ["c"]])
    hmm = CategoricalHMM(2, handle_unknown="ignore", random_state=0).fit(X)
    unseen = [["a"], ["c"], ["b"]]
    rows = hmm.score_samples(unseen)
    assert rows[1] == pytest.approx(0.0, abs=1e-12)  # a missing cell has no density
    filtered = hmm.filter_proba(unseen)
    np.testing.assert_allclose(filtered[1], filtered[0] @ hmm.transmat_, rtol=1e-12)


def test_counts_that_the_fit_never_saw():
    X = np.random.RandomState(0).poisson(3.0, size=(60, 1))
    hmm = PoissonHMM(2, random_state=0).fit(X)
    rows = hmm.score_samples([[2], [100_000], [2]])
    assert np.isfinite(rows).all() and rows[1] < -1e5
    assert np.isfinite(hmm.predict_proba([[2], [100_000], [2]])).all()


# ------------------------------------------------------------ prefix, masks


@pytest.mark.parametrize("K", [1, 2, 3, 8, 17])
@pytest.mark.parametrize("sticky", [False, True])
def test_rows_that_come_later_change_no_filtered_probability(K, sticky):
    rng = np.random.RandomState(K)
    transmat = rng.dirichlet(np.ones(K), size=K)
    if sticky:  # where underflow matters
        transmat = 0.999999 * np.eye(K) + 1e-6 * transmat
        transmat[np.eye(K, k=2) == 1] = 0
        transmat /= transmat.sum(axis=1, keepdims=True)
    hmm = GaussianHMM.from_parameters(
        rng.dirichlet(np.ones(K)),
        transmat,
        means=30.0 * rng.standard_normal((K, 2)),
        covariances=[np.eye(2)] * K,
    )
    X = 30.0 * rng.standard_normal((200, 2))
    X[:100] = hmm.means_[0]
    whole, rows = hmm.filter_proba(X), hmm.score_samples(X)
    for n in (1, 2, 3, 7, 50, 100, 101, 105, 199):
        np.testing.assert_array_equal(hmm.filter_proba(X[:n]), whole[:n])
        np.testing.assert_array_equal(hmm.score_samples(X[:n]), rows[:n])
        np.testing.assert_array_equal(
            hmm.predict(X[:n], method="filter"), hmm.predict(X, method="filter")[:n]
        )


def test_a_long_prefix_too():
    rng = np.random.RandomState(0)
    hmm = PoissonHMM.from_parameters([0.5, 0.5], STICKY, rates=[[2.0], [9.0]])
    X = rng.poisson(4.0, size=(30_000, 1))
    whole = hmm.filter_proba(X)
    for n in (4095, 4096, 4097, 29_999):
        np.testing.assert_array_equal(hmm.filter_proba(X[:n]), whole[:n])
    with block_rows(1000):
        np.testing.assert_array_equal(hmm.filter_proba(X), whole)


MASKS = {
    "left-right": np.triu(np.ones((3, 3), dtype=bool)),
    "linear": np.triu(np.tril(np.ones((3, 3), dtype=bool), 1)),
    "cycle": np.eye(3, dtype=bool) | np.roll(np.eye(3, dtype=bool), 1, axis=1),
    "no return": ~np.eye(3, dtype=bool),
}
SETTINGS = {
    "plain": {},
    "priors": {"startprob_prior": 2.0, "transmat_prior": 5.0},
    "squarem": {"accelerate": "squarem", "tol": 1e-10},
    "squarem with priors": {"accelerate": "squarem", "tol": 1e-10, "transmat_prior": 3.0},
    "random": {"init_params": "random"},
    "restarts": {"init_params": "random_from_data", "n_init": 3},
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", MASKS)
def test_what_the_topology_forbids_stays_impossible(name, setting):
    X, _ = three_regimes(distance=1.0)
    lengths, mask = [100, 60, 140], MASKS[name]
    topology = name if name in ("left-right", "linear") else mask
    hmm = GaussianHMM(3, topology=topology, random_state=0, **SETTINGS[setting])
    hmm.fit(X, lengths=lengths)
    assert np.all(hmm.transmat_[~mask] == 0)
    first = np.array([1.0, 0.0, 0.0])
    if isinstance(topology, str):
        np.testing.assert_array_equal(hmm.startprob_, first)
    gain = np.diff(hmm.lower_bounds_)
    assert np.all(gain >= -1e-9)
    np.testing.assert_allclose(hmm.transmat_.sum(axis=1), 1, rtol=1e-12)
    free = mask.sum() - 3 + (0 if isinstance(topology, str) else 2)
    assert hmm.n_parameters_ == free + 3 * 2 + 3 * 3
    path = hmm.predict(X, lengths=lengths)
    for part in np.split(path, np.cumsum(lengths)[:-1]):
        assert mask[part[:-1], part[1:]].all()
    again = hmm.set_params(warm_start=True, max_iter=3).fit(X, lengths=lengths)
    assert np.all(again.transmat_[~mask] == 0)


@pytest.mark.parametrize("setting", ["plain", "priors", "squarem"])
def test_zeros_that_were_given_stay_zeros(setting):
    X, _ = three_regimes(distance=1.0)
    transmat = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]])
    start = {"startprob": [0.0, 0.5, 0.5], "transmat": transmat}
    hmm = GaussianHMM(3, init_params=start, random_state=0, **SETTINGS[setting]).fit(X)
    assert np.all(hmm.transmat_[transmat == 0] == 0) and hmm.startprob_[0] == 0
    assert hmm.n_parameters_ == 1 + 3 + 3 * 2 + 3 * 3


def test_the_lower_triangle_of_a_model_that_goes_one_way_stays_empty_with_states_in_order_of_time():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((150, 1)) + 6.0 * np.repeat([1, 0, 2], 50)[:, None]
    X = np.concatenate([X, X + 0.1])
    hmm = GaussianHMM(3, topology="left-right", random_state=0).fit(X, lengths=[150, 150])
    np.testing.assert_allclose(hmm.means_[:, 0], [6.0, 0.0, 12.0], atol=0.5)
    np.testing.assert_array_equal(
        hmm.predict(X, lengths=[150] * 2), np.tile(np.repeat([0, 1, 2], 50), 2)
    )


# -------------------------------------------------------------------- priors


@pytest.mark.parametrize("strength", [1.0, 1.5, 10.0, 1e4])
@pytest.mark.parametrize("family", ["gaussian", "poisson", "categorical"])
def test_the_objective_never_falls_with_priors(strength, family):
    X, z = three_regimes(distance=1.0)
    data = {
        "gaussian": (GaussianHMM, X),
        "poisson": (PoissonHMM, np.random.RandomState(0).poisson(1 + 3 * z)[:, None]),
        "categorical": (CategoricalHMM, (z + np.random.RandomState(0).randint(0, 2, 300))[:, None]),
    }
    cls, rows = data[family]
    for seed in range(2):
        hmm = cls(
            3,
            prior="default",
            startprob_prior=strength,
            transmat_prior=strength,
            init_params="random",
            random_state=seed,
            tol=0,
            max_iter=60,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error", ObjectiveFellWarning)
            hmm.fit(rows, lengths=[100, 200])
        gain = np.diff(hmm.lower_bounds_)
        assert np.all(gain >= -1e-12 * np.abs(hmm.lower_bounds_[1:])), gain.min()


def test_a_strong_prior_is_what_remains_of_the_chain():
    X, _ = three_regimes()
    moves = np.array([[8.0, 1.0, 1.0], [2.0, 4.0, 4.0], [3.0, 3.0, 4.0]])
    hmm = GaussianHMM(3, transmat_prior=1 + 1e9 * moves, startprob_prior=1e9, random_state=0).fit(X)
    np.testing.assert_allclose(hmm.transmat_, moves / 10, atol=1e-5)
    np.testing.assert_allclose(hmm.startprob_, 1 / 3, atol=1e-5)


def test_a_prior_of_one_is_none():
    X, _ = three_regimes()
    plain = GaussianHMM(3, random_state=0).fit(X)
    hmm = GaussianHMM(3, startprob_prior=1.0, transmat_prior=np.ones((3, 3)), random_state=0).fit(X)
    np.testing.assert_allclose(hmm.transmat_, plain.transmat_, rtol=1e-12)
    # the density of such a prior is a constant: log Gamma(3) for each row and the start
    constant = 4 * math.lgamma(3) / 300
    np.testing.assert_allclose(hmm.lower_bounds_ - constant, plain.lower_bounds_, rtol=1e-10)


def test_a_state_without_visits_has_the_transitions_of_its_prior():
    start = {"startprob": [1.0, 0.0], "transmat": [[1.0, 0.0], [0.5, 0.5]], "rates": [[1.0], [9.0]]}
    X = np.random.RandomState(0).poisson(1.0, size=(40, 1))
    hmm = PoissonHMM(2, init_params=start, transmat_prior=[[1.0, 1.0], [2.0, 4.0]], max_iter=2)
    hmm.fit(X)
    np.testing.assert_allclose(hmm.transmat_, [[1.0, 0.0], [0.25, 0.75]], rtol=1e-12)


# --------------------------------------------------------------------- chain


def test_a_stationary_distribution_of_part_of_the_states():
    transmat = [[0.5, 0.5, 0.0], [0.0, 0.9, 0.1], [0.0, 0.2, 0.8]]
    hmm = PoissonHMM.from_parameters([1.0, 0.0, 0.0], transmat, rates=[[1.0], [2.0], [3.0]])
    np.testing.assert_allclose(hmm.stationary_distribution(), [0.0, 2 / 3, 1 / 3], rtol=1e-13)


def test_a_stationary_distribution_of_rates_that_differ_by_twelve_orders():
    transmat = [[1 - 1e-12, 1e-12], [1e-3, 1 - 1e-3]]
    hmm = PoissonHMM.from_parameters([1.0, 0.0], transmat, rates=[[1.0], [2.0]])
    np.testing.assert_allclose(hmm.stationary_distribution()[1], 1e-9 / (1 + 1e-9), rtol=1e-12)


def test_samples_follow_the_chain_and_the_states():
    transmat = np.array([[0.9, 0.1, 0.0], [0.0, 0.5, 0.5], [0.3, 0.3, 0.4]])
    hmm = GaussianHMM.from_parameters(
        [0.2, 0.0, 0.8], transmat, means=[[0.0], [5.0], [9.0]], covariances=[[[1.0]]] * 3
    )
    X, z = hmm.sample(lengths=[10] * 10_000, random_state=0)
    begins = np.arange(0, 100_000, 10)
    first = np.bincount(z[begins], minlength=3) / 10_000
    assert first[1] == 0
    np.testing.assert_allclose(first, [0.2, 0.0, 0.8], atol=5 * np.sqrt(0.16 / 10_000))
    inside = np.delete(np.arange(100_000), begins)
    counts = np.zeros((3, 3))
    np.add.at(counts, (z[inside - 1], z[inside]), 1)
    assert np.all(counts[transmat == 0] == 0)
    visits = counts.sum(axis=1, keepdims=True)
    error = np.abs(counts / visits - transmat) / np.sqrt(transmat * (1 - transmat) / visits + 1e-12)
    assert error.max() < 5.0
    for k in range(3):
        rows = X[z == k, 0]
        assert abs(rows.mean() - hmm.means_[k, 0]) < 5 / np.sqrt(len(rows))
        assert abs(rows.std() - 1) < 5 / np.sqrt(len(rows))
    # rows of one state are drawn in no order of size
    at = np.flatnonzero(z == 0)
    assert abs(np.corrcoef(X[at[:-1], 0], X[at[1:], 0])[0, 1]) < 5 / np.sqrt(len(at))
    again, _ = hmm.sample(lengths=[10] * 10_000, random_state=0)
    np.testing.assert_array_equal(X, again)


def test_a_sample_of_a_chain_that_moves_on_at_every_step():
    cycle = np.roll(np.eye(4), 1, axis=1)
    hmm = PoissonHMM.from_parameters([1.0, 0, 0, 0], cycle, rates=np.arange(1.0, 5.0)[:, None])
    _, z = hmm.sample(9000, random_state=0)
    np.testing.assert_array_equal(z, np.arange(9000) % 4)
    _, z = hmm.sample(lengths=[3, 5, 1], random_state=0)
    np.testing.assert_array_equal(z, [0, 1, 2, 0, 1, 2, 3, 0, 0])
