"""Online, incremental and stochastic EM, annealing, and what partial_fit keeps."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

import emlearn
from emlearn import EMMixin
from emlearn.datasets import load_faithful, load_geyser
from emlearn.distributions import REGISTRY, NormalInverseWishart
from emlearn.em import Moments, Sums, block_rows
from emlearn.em.incremental import MergeTree
from emlearn.em.loop import StopReason
from emlearn.em.online import averaged, learning_rate
from emlearn.em.posteriors import PosteriorMode
from emlearn.em.starts import METHODS
from emlearn.hmm import GaussianHMM, PoissonHMM
from emlearn.mixture import (
    BayesianGaussianMixture,
    GaussianMixture,
    Mixture,
    PoissonMixture,
    StudentTMixture,
)

HERE = Path(__file__).parent / "reference"
CASES = {c["id"]: c for c in json.loads((HERE / "online_em.json").read_text())["cases"]}
QUAKES = np.loadtxt(HERE / "hmm" / "earthquakes.csv", delimiter=",", skiprows=1)[:, 1:]
FAITHFUL = load_faithful().data
START = {"weights": [0.5, 0.5], "rates": [[15.0], [25.0]]}

# ------------------------------------------------------- reference numbers


def total(mixture, X):
    return mixture.score(X) * len(X)


@pytest.mark.parametrize(
    ("name", "decay", "offset", "passes"),
    [
        # with a first step of 1 both rates become the first row: rounding alone sets them apart, in the end
        ("online_poisson_alpha0.6_offset0", 0.6, 0.0, 1),
        ("online_poisson_alpha0.6_offset1", 0.6, 1.0, 100),
        ("online_poisson_alpha1.0_offset1", 1.0, 1.0, 100),
    ],
)
def test_row_by_row(name, decay, offset, passes):
    snapshots = CASES[name]["expected"]["snapshots"]
    mixture = PoissonMixture.from_parameters(**START, learning_decay=decay, learning_offset=offset)
    compared = 0
    for step in range(passes * len(QUAKES)):
        mixture.partial_fit(QUAKES[step % len(QUAKES)][None])
        expected = snapshots.get(str(step + 1))
        if expected is not None:
            compared += 1
            np.testing.assert_allclose(mixture.weights_, expected["weights"], rtol=1e-8)
            np.testing.assert_allclose(mixture.rates_[:, 0], expected["rates"], rtol=1e-8)
            np.testing.assert_allclose(total(mixture, QUAKES), expected["loglik"], rtol=1e-8)
    assert compared == sum(int(s) <= passes * len(QUAKES) for s in snapshots)
    assert mixture.n_steps_ == passes * len(QUAKES)


def test_stepwise():
    expected = CASES["stepwise_poisson_batch10"]["expected"]["after_passes"]
    mixture = PoissonMixture.from_parameters(**START, learning_decay=0.7, learning_offset=1.0)
    for number in range(1, 51):
        for i in range(0, len(QUAKES), 10):
            mixture.partial_fit(QUAKES[i : i + 10])
        if str(number) in expected:
            now = expected[str(number)]
            np.testing.assert_allclose(mixture.rates_[:, 0], now["rates"], rtol=1e-8)
            np.testing.assert_allclose(total(mixture, QUAKES), now["loglik"], rtol=1e-8)


@pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)
def test_incremental():
    expected = CASES["incremental_poisson"]["expected"]
    settings_ = {"init_params": START, "algorithm": "incremental", "batch_size": 1, "tol": 0}
    for passes, value in enumerate(expected["loglik_after_passes_1_to_10"], start=1):
        mixture = PoissonMixture(2, max_iter=passes, **settings_).fit(QUAKES)
        np.testing.assert_allclose(mixture.lower_bound_ * len(QUAKES), value, rtol=1e-8)
    end = PoissonMixture(2, max_iter=200, **{**settings_, "tol": 1e-12}).fit(QUAKES)
    np.testing.assert_allclose(total(end, QUAKES), expected["loglik_limit"], rtol=1e-8)


def test_row_by_row_gaussian():
    snapshots = CASES["online_gaussian_faithful"]["expected"]["snapshots"]
    mixture = GaussianMixture.from_parameters(
        [0.5, 0.5],
        [[2, 55], [4.3, 80]],
        [np.diag([0.1, 36])] * 2,
        reg_covar=0,
        learning_decay=0.6,
        learning_offset=10,
    )
    for step in range(10 * len(FAITHFUL)):
        mixture.partial_fit(FAITHFUL[step % len(FAITHFUL)][None])
        expected = snapshots.get(str(step + 1))
        if expected is not None:
            np.testing.assert_allclose(mixture.means_, expected["means"], rtol=1e-8)
            np.testing.assert_allclose(
                mixture.covariances_, expected["covariances"], rtol=1e-7, atol=1e-9
            )
            np.testing.assert_allclose(total(mixture, FAITHFUL), expected["loglik"], rtol=1e-8)


# -------------------------------------------------------------------- laws

MODELS = [
    (GaussianMixture(2, random_state=0), FAITHFUL, {}),
    (PoissonMixture(2, random_state=0), QUAKES, {}),
    (GaussianHMM(2, random_state=0), load_geyser().data, {"lengths": [150, 149]}),
]


@pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)
@pytest.mark.parametrize(
    ("model", "X", "arguments"), MODELS, ids=lambda value: type(value).__name__
)
def test_one_batch_of_all_rows_with_step_1_is_batch_em(model, X, arguments):
    few = {"max_iter": 5, "tol": 0}
    batch = model.set_params(algorithm="batch", **few).fit(X, **arguments)
    kept = {name: getattr(batch, name) for name in batch._published_names}
    bound = batch.lower_bound_
    online = model.set_params(algorithm="online", batch_size=len(X), learning_decay=0.0, **few).fit(
        X, **arguments
    )
    for name, value in kept.items():
        np.testing.assert_array_equal(getattr(online, name), value, err_msg=name)
    assert online.lower_bound_ == bound
    # and call by call
    again = type(model)(**model.get_params())
    for _ in range(5):
        again.partial_fit(X, **arguments)
    for name, value in kept.items():
        np.testing.assert_array_equal(getattr(again, name), value, err_msg=name)


def test_the_statistics_that_stand_for_parameters_give_them_back():
    rng = np.random.RandomState(0)
    weights = np.array([3.0, 5.0])
    seen = set()
    for mixture, X in (
        (GaussianMixture(2, reg_covar=0, random_state=0), FAITHFUL),
        (GaussianMixture(2, reg_covar=0, covariance_type="tied", random_state=0), FAITHFUL),
        (GaussianMixture(2, reg_covar=0, covariance_type="spherical", random_state=0), FAITHFUL),
        (PoissonMixture(2, random_state=0), QUAKES),
        *(
            (Mixture(2, distribution=family(), random_state=0), rows)
            for family, rows in _examples(rng)
        ),
    ):
        model = mixture.fit(X)._fitted_model()
        parameters = mixture.recall()
        statistics = model.distribution.expected_statistics(parameters.components, weights)
        seen.add(type(model.distribution).__name__)
        found = model.distribution.m_step(statistics, parameters.components)
        for name, value in model.distribution.publish(parameters.components).items():
            for a, b in zip(
                np.atleast_1d(np.asarray(value, dtype=object)).ravel(),
                np.atleast_1d(
                    np.asarray(model.distribution.publish(found)[name], dtype=object)
                ).ravel(),
                strict=True,
            ):
                np.testing.assert_allclose(
                    np.asarray(b, dtype=float), np.asarray(a, dtype=float), rtol=1e-6, atol=1e-9
                )
    assert {"Gaussian", "Poisson", "Bernoulli", "Categorical", "Multinomial", "Gamma"} <= seen
    assert seen <= {family.__name__ for family in REGISTRY}


def _examples(rng):
    from emlearn.distributions import Bernoulli, Categorical, Gamma, Multinomial, VonMisesFisher

    yes = (rng.uniform(size=(80, 3)) < np.repeat([[0.2], [0.8]], 40, axis=0)).astype(float)
    directions = rng.standard_normal((80, 3)) + np.repeat([[3.0], [-3.0]], 40, axis=0)
    return [
        (Bernoulli, yes),
        (Categorical, yes),
        (Multinomial, rng.poisson(4.0, size=(80, 3)) + yes),
        (Gamma, rng.gamma(3.0, size=(80, 2)) + 3 * yes[:, :2]),
        (VonMisesFisher, directions / np.linalg.norm(directions, axis=1, keepdims=True)),
    ]


@pytest.mark.parametrize("algorithm", ["online", "incremental"])
@pytest.mark.parametrize(
    ("model", "X", "arguments"), MODELS, ids=lambda value: type(value).__name__
)
def test_the_end_is_that_of_batch_em(model, X, arguments, algorithm):
    batch = model.set_params(
        algorithm="batch", batch_size=40, learning_decay=0.7, max_iter=300, tol=1e-6
    )
    goal = batch.fit(X, **arguments).lower_bound_
    found = model.set_params(algorithm=algorithm).fit(X, **arguments)
    assert found.lower_bound_ > goal - 1e-3 * abs(goal)
    assert found.lower_bound_ == found.lower_bounds_[-1]
    assert len(found.lower_bounds_) == found.n_iter_
    np.testing.assert_allclose(found.score(X, **arguments), found.lower_bound_, rtol=1e-12)


def test_the_order_of_rows_is_drawn_and_threads_change_nothing():
    X = np.random.default_rng(0).normal(size=(2000, 3)) + 4.0 * (np.arange(2000) // 1000)[:, None]
    fits = []
    with block_rows(100):
        for n_jobs in (1, 3):
            mixture = GaussianMixture(
                3, algorithm="online", batch_size=500, random_state=0, n_jobs=n_jobs, n_init=2
            )
            fits.append(mixture.fit(X))
    for name in fits[0]._published_names:
        np.testing.assert_array_equal(getattr(fits[0], name), getattr(fits[1], name))
    other = GaussianMixture(3, algorithm="online", batch_size=500, random_state=1).fit(X)
    assert other.lower_bound_ != fits[0].lower_bound_


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.data())
def test_a_tree_of_sums_is_the_sum(n, data):
    values = data.draw(st.lists(st.integers(0, 1000), min_size=n, max_size=n))
    tree = MergeTree([Sums({"n": np.array([v], dtype=float)}) for v in values])
    for index, value in data.draw(
        st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, 1000)), max_size=10)
    ):
        values[index] = value
        tree.replace(index, Sums({"n": np.array([value], dtype=float)}))
        assert tree.root["n"][0] == sum(values)


def test_averages():
    a, b = Sums({"n": np.array([2.0])}), Sums({"n": np.array([4.0])})
    assert averaged(a, b, 0.25)["n"] == 2.5
    assert averaged(a, b, 0.25, 2.0)["n"] == 4.0
    assert averaged(a, b, 1.0) is b and averaged(None, b, 0.1) is b
    assert learning_rate(3, 0.5, 1.0) == 0.5
    # rows far from the origin lose nothing
    rng = np.random.default_rng(0)
    parts = [
        Moments.from_data(1e8 + rng.normal(size=(50, 1)), np.ones((50, 1)), "diag") for _ in "ab"
    ]
    mean = averaged(*parts, 0.5)
    both = parts[0] + parts[1]
    np.testing.assert_allclose(mean.scatter * 2, both.scatter, rtol=1e-12)


# ------------------------------------------------------------- partial_fit


def test_partial_fit_survives_pickle_and_repeats_weights():
    mixture = GaussianMixture(2, random_state=0).partial_fit(FAITHFUL[:100])
    copy = pickle.loads(pickle.dumps(mixture))
    for one in (mixture, copy):
        one.partial_fit(FAITHFUL[100:])
    np.testing.assert_array_equal(mixture.means_, copy.means_)
    weights = np.random.RandomState(0).randint(3, size=len(FAITHFUL)).astype(float)
    start = mixture.get_params() | {"init_params": (FAITHFUL[:, 0] > 3).astype(int)}
    a, b = GaussianMixture(**start), GaussianMixture(**start)
    repeated = np.repeat(FAITHFUL, weights.astype(int), axis=0)
    a.partial_fit(FAITHFUL, sample_weight=weights)
    b.set_params(init_params=(repeated[:, 0] > 3).astype(int)).partial_fit(repeated)
    np.testing.assert_allclose(a.covariances_, b.covariances_, rtol=1e-10)


def test_partial_fit_goes_on_from_a_fit_and_fit_begins_anew():
    fitted = GaussianMixture(2, random_state=0).fit(FAITHFUL)
    before = fitted.score(FAITHFUL)
    fitted.partial_fit(FAITHFUL)
    assert abs(fitted.score(FAITHFUL) - before) < 0.01 and fitted.n_steps_ == 1
    assert fitted.stop_reason_.startswith("online")
    again = fitted.fit(FAITHFUL)
    assert again.score(FAITHFUL) == before
    assert not hasattr(again, "n_steps_")


def test_a_prior_that_is_said_relative_to_the_data_is_so_to_the_first_rows():
    mixture = GaussianMixture(2, prior="default", random_state=0).partial_fit(FAITHFUL[:136])
    first = mixture._bound_prior
    mixture.partial_fit(FAITHFUL[136:])
    assert mixture._bound_prior is first
    bayesian = BayesianGaussianMixture(n_components=2, random_state=0).partial_fit(FAITHFUL[:136])
    prior = bayesian.covariance_prior_.copy()
    bayesian.partial_fit(FAITHFUL[136:])
    np.testing.assert_array_equal(bayesian.covariance_prior_, prior)


def test_sequences_are_counted_call_by_call():
    X = load_geyser().data
    hmm = GaussianHMM(2, random_state=0)
    hmm.partial_fit(X[:100], lengths=[60, 40]).partial_fit([X[100:150], X[150:]])
    assert hmm.n_sequences_ == 4


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (FAITHFUL[:, :1], "1 features"),
        (np.full((3, 2), np.inf), "infinity"),
        (FAITHFUL[:0], "0 sample"),
    ],
)
def test_bad_rows_leave_a_model_as_it_was(rows, message):
    mixture = GaussianMixture(2, random_state=0).partial_fit(FAITHFUL)
    before = mixture.means_.copy()
    with pytest.raises(ValueError, match=message):
        mixture.partial_fit(rows)
    np.testing.assert_array_equal(mixture.means_, before)


def test_the_first_rows_must_be_enough_for_a_start():
    with pytest.raises(ValueError, match="n_samples >= n_components"):
        GaussianMixture(5).partial_fit(FAITHFUL[:3])


# ------------------------------------------------------ modes on estimators


def test_hard_em_on_spherical_tied_gaussians_is_k_means():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((300, 3)) + rng.standard_normal((4, 3))[rng.randint(4, size=300)] * 3
    centres = X[[0, 1, 2, 3]]
    theirs = KMeans(4, init=centres, n_init=1, tol=0, max_iter=500).fit(X)
    nearest = ((X[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    ours = GaussianMixture(
        4,
        covariance_type="EII",
        e_step="hard",
        fixed={"weights": np.full(4, 0.25)},
        init_params=nearest,
        reg_covar=0,
        tol=1e-12,
        max_iter=500,
    ).fit(X)
    np.testing.assert_array_equal(ours.predict(X), theirs.labels_)
    np.testing.assert_allclose(ours.means_, theirs.cluster_centers_, rtol=1e-10)
    assert np.all(np.diff(ours.lower_bounds_) >= -1e-12)


def test_the_lower_bound_of_hard_em_is_the_likelihood_with_the_labels():
    hmm = PoissonHMM(2, e_step="hard", random_state=0).fit(QUAKES)
    assert hmm.lower_bound_ == pytest.approx(hmm.decode(QUAKES)[0] / len(QUAKES), rel=1e-10)
    mixture = GaussianMixture(2, e_step="hard", random_state=0).fit(FAITHFUL)
    joint = mixture.predict_proba(FAITHFUL).max(axis=1)
    expected = np.mean(np.log(joint) + mixture.score_samples(FAITHFUL))
    assert mixture.lower_bound_ == pytest.approx(expected, rel=1e-10)


def test_stochastic_em_keeps_the_best_and_depends_on_the_seed_alone():
    mixture = GaussianMixture(3, e_step="stochastic", random_state=3)
    one = mixture.fit(FAITHFUL)
    assert one.lower_bound_ == one.lower_bounds_.max() == pytest.approx(one.score(FAITHFUL))
    assert one.converged_
    means = one.means_.copy()
    with block_rows(37):
        pieces = [
            GaussianMixture(3, e_step="stochastic", random_state=3, n_jobs=n).fit(FAITHFUL)
            for n in (1, 3)
        ]
    np.testing.assert_array_equal(pieces[0].means_, pieces[1].means_)
    np.testing.assert_array_equal(mixture.fit(FAITHFUL).means_, means)


def test_annealing():
    plain = GaussianMixture(3, random_state=0).fit(FAITHFUL)
    one = GaussianMixture(3, random_state=0, annealing=[1.0]).fit(FAITHFUL)
    np.testing.assert_array_equal(one.means_, plain.means_)
    cooled = GaussianMixture(2, random_state=0, annealing=[4, 2], tol=1e-8, max_iter=500)
    cooled.fit(FAITHFUL)
    assert cooled.lower_bound_ == pytest.approx(cooled.score(FAITHFUL))
    best = GaussianMixture(2, random_state=0, tol=1e-8).fit(FAITHFUL)
    assert cooled.lower_bound_ == pytest.approx(best.lower_bound_, abs=1e-6)
    assert len(cooled.lower_bounds_) == cooled.n_iter_


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"annealing": []}, "annealing must be"),
        ({"annealing": [2.0, 0.0]}, "annealing must be"),
        ({"annealing": [[2.0]]}, "annealing must be"),
        ({"annealing": ["hot"]}, "annealing must be"),
        ({"annealing": [2.0], "e_step": "hard"}, "changes nothing"),
        ({"accelerate": "squarem", "algorithm": "online"}, "accelerate"),
        ({"accelerate": "squarem", "e_step": "stochastic"}, "accelerate"),
        ({"algorithm": "fast"}, "'algorithm'"),
        ({"batch_size": 0}, "'batch_size'"),
        ({"learning_decay": 1.5}, "'learning_decay'"),
        ({"learning_offset": -1.0}, "'learning_offset'"),
        ({"e_step": "soft-ish"}, "'e_step'"),
        ({"n_init": "many"}, "'n_init'"),
    ],
)
def test_settings_that_make_no_sense(settings_, words):
    with pytest.raises(ValueError, match=words):
        GaussianMixture(2, **settings_).fit(FAITHFUL)


def test_n_init_auto_stops_when_the_best_was_found_twice():
    mixture = GaussianMixture(2, n_init="auto", init_params="random", random_state=0, tol=1e-6)
    found = mixture.fit(FAITHFUL).restart_lower_bounds_
    best = found.max()
    near = found >= best - 2e-6
    assert near.sum() == 2 and near[-1] and 2 <= len(found) <= 30
    many = GaussianMixture(
        2, n_init="auto", init_params="random", random_state=0, tol=1e-6, n_jobs=3
    ).fit(FAITHFUL)
    np.testing.assert_array_equal(many.restart_lower_bounds_, found)


# ---------------------------------------------------------------- what is said


@pytest.mark.parametrize("cls", [EMMixin, GaussianMixture, BayesianGaussianMixture])
def test_the_docstrings_name_every_reason_to_stop(cls):
    text = cls.__doc__.split("stop_reason_ : str")[1].split(" : ")[0]
    assert [reason for reason in StopReason if f'"{reason}"' not in text] == []


@pytest.mark.parametrize("module", [emlearn.mixture, emlearn.hmm], ids=lambda m: m.__name__)
def test_the_docstrings_name_every_start(module):
    for name in module.__all__:
        text = getattr(module, name).__doc__
        if "    init_params : " in text:
            text = text.split("    init_params : ")[1].split("\n    random_state : ")[0]
            assert [method for method in METHODS if f'"{method}"' not in text] == [], name


# --------------------------------------------------------- what a fit hands on


@pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)
@pytest.mark.parametrize(
    "settings_",
    [
        {},
        {"algorithm": "online", "batch_size": 50},
        {"algorithm": "incremental", "batch_size": 50},
        {"e_step": "stochastic"},
        {"e_step": "hard"},
        {"annealing": [2.0]},
        {"accelerate": "squarem"},
    ],
    ids=str,
)
@pytest.mark.parametrize("cls", [StudentTMixture, BayesianGaussianMixture, PoissonMixture])
def test_a_few_rows_after_a_fit_do_not_replace_it(cls, settings_):
    X = QUAKES if cls is PoissonMixture else FAITHFUL
    model = cls(n_components=2, random_state=0, max_iter=20, **settings_).fit(X)
    before = model.score(X)
    model.set_params(e_step="soft", annealing=None, accelerate=None)
    pickle.loads(pickle.dumps(model)).partial_fit(X[:3])
    model.partial_fit(X[:3])
    assert abs(model.score(X) - before) < 0.3
    assert model.n_steps_ == 1


class Average(EMMixin, BaseEstimator):
    """The mean of rows, by EM."""

    def __init__(self, learning_decay=0.7):
        self.learning_decay = learning_decay

    def initial_parameters(self, X, sample_weight, random_state):
        return {"mean": 0.0}

    def e_step(self, parameters, X, sample_weight):
        w = np.ones(len(X)) if sample_weight is None else sample_weight
        value = -0.5 * w @ (X[:, 0] - parameters["mean"]) ** 2
        return Sums({"n": w.sum(), "x": w @ X[:, 0]}), value

    def m_step(self, statistics, parameters):
        return {"mean": statistics["x"] / statistics["n"]}


def test_a_model_of_ones_own_goes_on_from_a_fit():
    model = Average().fit(np.ones((1000, 1)))
    assert model.partial_fit(np.zeros((10, 1))).mean_ == pytest.approx(
        1 - learning_rate(1, 0.7, 10)
    )


def test_a_prior_weighs_against_all_rows_that_were_seen():
    prior = NormalInverseWishart(mean=[0.0, 0.0], mean_count=200.0)
    X = np.random.default_rng(0).normal(size=(10_000, 2)) + 5.0
    mixture = GaussianMixture(1, prior=prior).fit(X)
    before = mixture.means_.copy()
    mixture.partial_fit(X[:20])
    batch = X[:20].mean(axis=0)
    rate = learning_rate(1, 0.7, 10.0)
    mean = (1 - rate) * X.mean(axis=0) + rate * batch
    np.testing.assert_allclose(mixture.means_[0], mean * 10_020 / 10_220, rtol=1e-10)
    assert np.abs(mixture.means_ - before).max() < 0.5


def test_a_prior_that_was_bound_to_the_rows_of_a_fit_stays_so():
    mixture = GaussianMixture(2, prior="default", random_state=0).fit(FAITHFUL)
    scale = mixture._bound_prior.scale
    mixture.partial_fit(FAITHFUL[:20] * 3)
    np.testing.assert_array_equal(mixture._bound_prior.scale, scale)
    mixture = pickle.loads(pickle.dumps(mixture)).partial_fit(FAITHFUL[:20])
    np.testing.assert_array_equal(mixture._bound_prior.scale, scale)
    # until another is said, in place too
    mixture.set_params(prior=NormalInverseWishart(mean_count=3.0)).partial_fit(FAITHFUL[:20])
    assert mixture._bound_prior.mean_count == 3.0
    mixture.set_params(prior__mean_count=5.0).partial_fit(FAITHFUL[:20])
    assert mixture._bound_prior.mean_count == 5.0
    mixture.set_params(prior=None).partial_fit(FAITHFUL[:20])
    assert not hasattr(mixture, "_bound_prior")


# --------------------------------------------------------------------- seeds


def test_draws_depend_on_the_seed_and_are_never_the_same_twice():
    def step(seed):
        start = {"weights": [0.5, 0.5], "rates": [[18.0], [20.0]]}
        return PoissonMixture(2, init_params=start, e_step="stochastic", random_state=seed)

    one, again, other = (step(seed).partial_fit(QUAKES).rates_ for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    given = np.random.RandomState(0)
    state = given.get_state()[1].copy()
    step(given).partial_fit(QUAKES)
    np.testing.assert_array_equal(given.get_state()[1], state)


@pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)
def test_a_warm_start_draws_anew(monkeypatch):
    seeds = []
    draws = PosteriorMode.generator
    monkeypatch.setattr(
        PosteriorMode, "generator", lambda mode: seeds.append(mode.seed) or draws(mode)
    )
    mixture = PoissonMixture(2, e_step="stochastic", random_state=0, warm_start=True, max_iter=3)
    for _ in range(4):
        mixture.fit(QUAKES)
    assert len(seeds) > 12 and len(set(seeds)) == len(seeds)


# -------------------------------------------- what cannot be gone on from


@pytest.mark.parametrize("learn", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("model", "changed", "words"),
    [
        (GaussianMixture(2), {"n_components": 3}, "2 components, but n_components = 3"),
        (GaussianMixture(2), {"covariance_type": "diag"}, "covariance_type='full'"),
        (GaussianMixture(2), {"covariance_type": "VVI"}, "covariance_type='full'"),
        (GaussianMixture(2), {"noise": True}, "noise=False"),
        (GaussianMixture(2), {"fixed": {"weights": [0.9, 0.1]}}, "'weights' begins with"),
        (GaussianMixture(2), {"equal": ["means"]}, "'means' begins with"),
        (StudentTMixture(2), {"covariance_type": "tied"}, "covariance_type='full'"),
        (BayesianGaussianMixture(n_components=2), {"covariance_type": "tied"}, "full and"),
        (BayesianGaussianMixture(n_components=2), {"n_components": 4}, "n_components = 4"),
        (BayesianGaussianMixture(n_components=2), {"equal": ["means"]}, "posterior"),
        (GaussianHMM(2), {"n_components": 3}, "2 states, but n_components = 3"),
        (GaussianHMM(2), {"covariance_type": "diag"}, "covariance_type='full'"),
        (GaussianHMM(2), {"topology": "linear"}, "topology"),
        (GaussianMixture(2), {"annealing": [2.0]}, "annealing does not apply"),
        (GaussianMixture(2), {"accelerate": "squarem"}, "accelerate does not apply"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_parameters_that_contradict_what_is_known(model, changed, words, learn):
    model = getattr(clone(model).set_params(random_state=0), learn)(FAITHFUL)
    before = {"means_": model.means_.copy(), "lower_bound_": model.lower_bound_}
    old = {name: getattr(model, name) for name in changed}
    with pytest.raises(ValueError, match=words):
        model.set_params(**changed).partial_fit(FAITHFUL[:20])
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(model, name), value)
    if not {"annealing", "accelerate"} & set(changed):
        with pytest.raises(ValueError, match=words):
            model.set_params(warm_start=True).fit(FAITHFUL)
    model.set_params(**old).partial_fit(FAITHFUL[:20])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_a_fit_held_does_not_stand_in_the_way(dtype):
    X = FAITHFUL.astype(dtype)
    held = {"fixed": {"weights": [0.3, 0.7]}, "equal": ["covariances"], "annealing": [1.0]}
    mixture = GaussianMixture(2, random_state=0, **held).fit(X)
    for begin in (0, 100):
        mixture.partial_fit(X[begin : begin + 100])
    np.testing.assert_array_equal(mixture.weights_, np.array([0.3, 0.7], dtype=dtype))
