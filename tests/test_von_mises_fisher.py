"""Von Mises-Fisher mixtures: Bessel functions, the family, the estimator."""

import json
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer

from emlearn.distributions import ConjugatePrior, VonMisesFisher, VonMisesFisherParameters
from emlearn.distributions._bessel import bessel_ratio, invert_bessel_ratio, log_hyp0f1
from emlearn.distributions.von_mises_fisher import log_normalizer
from emlearn.em import Sums
from emlearn.exceptions import DomainError, SingularError
from emlearn.mixture import VonMisesFisherMixture

HERE = Path(__file__).parent / "reference"
CASES = json.loads((HERE / "vmf_mixture.json").read_text())["cases"]

# d, kappa, I_{d/2}(kappa) / I_{d/2-1}(kappa), log C_d(kappa): mpmath, 50 digits
BESSEL = [
    (2, 1e-10, 5.0000000000000002e-11, -1.8378770664093455),
    (2, 1e-3, 0.00049999993750001043, -1.8378773164093299),
    (2, 0.7, 0.33017728953267104, -1.9568176703199473),
    (2, 20, 0.97467050788980713, -19.42748749465362),
    (2, 1e3, 0.99949987487480428, -997.46518595627881),
    (2, 1e5, 0.99999499998749987, -99995.162477050726),
    (2, 1e8, 0.99999999499999999, -99999991.708598162),
    (3, 1e-10, 3.3333333333333335e-11, -2.5310242469692908),
    (3, 1e-3, 0.00033333331111111323, -2.5310244136359519),
    (3, 0.7, 0.22605020723120082, -2.6113970564251506),
    (3, 20, 0.95000000000000001, -18.842144792855354),
    (3, 1e3, 0.999, -994.93012178742721),
    (3, 1e5, 0.99999, -99990.324951601439),
    (3, 1e8, 0.99999999, -99999983.417196322),
    (4, 1e-10, 2.5000000000000001e-11, -2.9826069522587457),
    (4, 1e-3, 0.00024999998958333399, -2.9826070772587431),
    (4, 0.7, 0.17153304426571003, -3.0432441528922246),
    (4, 20, 0.92598774858288473, -18.243976481784044),
    (4, 1e3, 0.99850037537549303, -992.39480749347654),
    (4, 1e5, 0.99998500003750038, -99985.48742365214),
    (4, 1e8, 0.99999998500000004, -99999975.12579448),
    (50, 1e-10, 2.0000000000000001e-12, 25.47333507131737),
    (50, 1e-3, 1.9999999992307693e-5, 25.47333506131737),
    (50, 0.7, 0.013997362495703358, 25.468435532936448),
    (50, 20, 0.35196610465253603, 21.732794831300809),
    (50, 1e3, 0.97578812171736426, -875.49997856146671),
    (50, 1e5, 0.99975502878778746, -99762.958435470878),
    (50, 1e8, 0.99999975500002879, -99999593.721307021),
    (100, 1e-10, 1.0e-12, 86.636102473314932),
    (100, 1e-3, 9.9999999990196081e-6, 86.636102468314932),
    (100, 0.7, 0.0069996637571739255, 86.633652532159275),
    (100, 20, 0.19270843016406081, 84.673438986755328),
    (100, 1e3, 0.95170085470763675, -747.84029338762034),
    (100, 1e5, 0.99950512003869319, -99521.073100461457),
    (100, 1e8, 0.99999950500012004, -99999179.151205958),
    (2000, 1e-10, 5.0000000000000002e-14, 4759.7973901792211),
    (2000, 1e-3, 4.9999999999987514e-7, 4759.7973901789711),
    (2000, 0.7, 0.00034999995716784262, 4759.7972676792286),
    (2000, 20, 0.0099990011983526987, 4759.6973951735615),
    (2000, 1e3, 0.41425644865126738, 4533.7953001444081),
    (2000, 1e5, 0.99005489929151331, -90324.799138438361),
    (2000, 1e8, 0.99999000504990004, -99983425.482734292),
    (5000, 1e-10, 2.0000000000000001e-14, 14194.60411419778),
    (5000, 1e-3, 1.9999999999999201e-7, 14194.60411419768),
    (5000, 0.7, 0.00013999999725709726, 14194.60406519778),
    (5000, 20, 0.0039999360276352271, 14194.564114517645),
    (5000, 1e3, 0.1925849606070781, 14096.50410746559),
    (5000, 1e5, 0.97531720442327167, -75785.992992666297),
    (5000, 1e8, 0.99997500531225004, -99958551.250982977),
]
RATIOS = [
    0.0,
    1e-300,
    1e-12,
    1e-6,
    0.01,
    0.3,
    0.5,
    0.7,
    0.9,
    0.99,
    0.999,
    1 - 1e-6,
    1 - 1e-9,
    1 - 1e-12,
]


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def draw(d, kappas, n, seed=0, weights=None):
    """A mixture around random directions, its parameters, rows and labels."""
    rng = np.random.RandomState(seed)
    K = len(kappas)
    truth = VonMisesFisherMixture.from_parameters(
        np.full(K, 1 / K) if weights is None else weights,
        mean_directions=unit(rng.standard_normal((K, d))),
        concentrations=np.array(kappas, dtype=float),
    )
    return truth, *truth.sample(n, random_state=rng)


# ------------------------------------------------------------------ Bessel functions


@pytest.mark.parametrize(("d", "kappa", "ratio", "log_c"), BESSEL)
def test_bessel_functions_to_the_last_digits(d, kappa, ratio, log_c):
    assert bessel_ratio(d / 2 - 1, np.array([kappa]))[0] == pytest.approx(ratio, rel=2e-15)
    assert log_normalizer(d, np.array([kappa]))[0] == pytest.approx(log_c, rel=2e-15)


@pytest.mark.parametrize("d", [2, 3, 4, 10, 61, 62, 63, 100, 2000, 5001])
def test_concentration_solves_its_equation(d):
    ratios = np.array(RATIOS)
    kappa = invert_bessel_ratio(d / 2 - 1, ratios)
    assert np.all(np.isfinite(kappa)) and np.all(np.diff(kappa) > 0)
    np.testing.assert_allclose(bessel_ratio(d / 2 - 1, kappa), ratios, rtol=2e-15)


@pytest.mark.parametrize("d", [2, 3, 50, 2000])
def test_concentrations_come_back(d):
    kappa = np.logspace(-8, 4, 25)
    found = invert_bessel_ratio(d / 2 - 1, bessel_ratio(d / 2 - 1, kappa))
    # the ratio near 1 knows no more of the concentration
    np.testing.assert_allclose(found, kappa, rtol=1e-14 + 4e-15 * kappa.max() / d)


def test_bessel_functions_at_0_and_far_out():
    for order in (0.0, 0.5, 2499.0):
        assert bessel_ratio(order, np.zeros(1))[0] == 0
        assert log_hyp0f1(order, np.zeros(1))[0] == 0
        assert 0 < 1 - bessel_ratio(order, np.array([1e12]))[0] < 1e-8
        assert np.isfinite(log_hyp0f1(order, np.array([1e15]))[0])


# ------------------------------------------------------------------ references


def household():
    frame = pd.read_csv(HERE / "household.csv")
    return frame[["housing", "food", "service"]].to_numpy(float), frame["gender"].to_numpy()


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_movmf(case):
    X, gender = household()
    expected, tolerance = case["expected"], case["tolerance"]
    weights = np.atleast_1d(expected["weights"])
    mu, kappa = unit(np.array(expected["mean_directions"])), np.atleast_1d(expected["kappa"])
    tied = case["settings"].get("kappa") == "common"
    if tied:
        start = (gender == "male").astype(int)
    else:  # EM stays where movMF ended
        start = dict(weights=weights / weights.sum(), mean_directions=mu, concentrations=kappa)
    mixture = VonMisesFisherMixture(
        len(weights),
        concentration="tied" if tied else "free",
        normalize=True,
        init_params=start,
        tol=1e-13,
        max_iter=10_000,
    ).fit(X)
    assert mixture.converged_
    assert mixture.score(X) * len(X) == pytest.approx(expected["loglik"], abs=tolerance["loglik"])
    order = np.argsort(-mixture.weights_) if tied else np.arange(len(weights))
    np.testing.assert_allclose(mixture.weights_[order], weights, atol=1e-5)
    np.testing.assert_allclose(mixture.mean_directions_[order], mu, atol=1e-5)
    np.testing.assert_allclose(
        mixture.concentrations_[order],
        np.broadcast_to(kappa, len(weights)),
        atol=tolerance["kappa"],
    )
    if not tied:
        assert mixture.n_parameters_ == expected["nparam"]
        assert mixture.bic(X) == pytest.approx(expected["bic_lebesgue"], abs=2e-5)


def test_household_from_starts_of_our_own():
    X, _ = household()
    for K in (1, 2, 3, 4):
        mixture = VonMisesFisherMixture(
            K,
            normalize=True,
            init_params="k-means++",
            n_init=20,
            random_state=0,
            tol=1e-9,
            max_iter=10_000,
        )
        with warnings.catch_warnings():  # a seed alone in its part is a singular start
            warnings.simplefilter("ignore", ConvergenceWarning)
            value = mixture.fit(X).score(X) * len(X)
        # with four components the best start ends above movMF's
        assert value >= CASES[K - 1]["expected"]["loglik"] - 1e-5


# ------------------------------------------------------------------ density


@pytest.mark.parametrize("kappa", [0.0, 0.3, 5.0, 80.0])
def test_density_integrates_to_one(kappa):
    family = VonMisesFisher()
    # on the circle the trapezoid rule is exact to rounding
    angle = np.arange(400) * 2 * np.pi / 400
    X = np.column_stack([np.cos(angle), np.sin(angle)])
    parameters = VonMisesFisherParameters(np.array([[0.6, 0.8]]), np.array([kappa]))
    p = np.exp(family.log_density(parameters, family.features(X))[0])
    assert p.sum() * 2 * np.pi / 400 == pytest.approx(1, abs=1e-12)
    # on the sphere: Gauss-Legendre in the height, trapezoid around
    height, w = np.polynomial.legendre.leggauss(200)
    z, a = np.repeat(height, 400), np.tile(angle, 200)
    r = np.sqrt(1 - z**2)
    X = np.column_stack([r * np.cos(a), r * np.sin(a), z])
    parameters = VonMisesFisherParameters(unit(np.array([[1.0, -2.0, 0.5]])), np.array([kappa]))
    p = np.exp(family.log_density(parameters, family.features(X))[0]).ravel()
    assert p @ np.repeat(w, 400) * 2 * np.pi / 400 == pytest.approx(1, abs=1e-12)


# ------------------------------------------------------------------ M-step


def expected_value(family, sums, parameters):
    eta, a = family.natural(parameters)
    return float(np.sum(sums["sum"] * eta) + sums["weight"] @ a)


@pytest.mark.parametrize("concentration", ["free", "tied", 7.5])
@pytest.mark.parametrize("d", [2, 3, 40])
@pytest.mark.parametrize("with_prior", [False, True])
def test_m_step_maximises(concentration, d, with_prior):
    rng = np.random.RandomState(0)
    family = VonMisesFisher(concentration)
    X = unit(rng.standard_normal((60, d)) + 1.0)
    prior = None
    if with_prior:
        prior = ConjugatePrior(3.0, 0.5 * X[0]).bind(X, None, 2, family)
    sums = family.statistics(None, family.features(X), rng.uniform(size=(60, 2)))
    best = family.m_step(sums, None, prior)

    def objective(parameters):
        value = expected_value(family, sums, parameters)
        return value + (family.log_prior(parameters, prior) if with_prior else 0.0)

    top = objective(best)
    for step in (1e-4, 1e-2, 0.3):
        for _ in range(20):
            mu = unit(best.mean_directions + step * rng.standard_normal((2, d)))
            kappa = best.concentrations
            assert objective(VonMisesFisherParameters(mu, kappa)) < top
            if concentration == "free":
                kappa = kappa * np.exp(step * rng.standard_normal(2))
            elif concentration == "tied":
                kappa = kappa * np.exp(step * rng.standard_normal())
            assert objective(VonMisesFisherParameters(mu, kappa)) < top
            assert objective(VonMisesFisherParameters(best.mean_directions, kappa)) <= top
    if not isinstance(concentration, str):
        np.testing.assert_array_equal(best.concentrations, concentration)
    assert family.n_free(best) == 2 * (d - 1) + {"free": 2, "tied": 1}.get(concentration, 0)


def test_identical_rows_have_no_concentration():
    X = unit(np.array([[1.0, 2.0, 3.0]] * 5 + [[3.0, -1.0, 0.0], [2.0, 1.0, 0.0]]))
    labels = np.array([0] * 5 + [1, 1])
    settings = dict(n_components=2, init_params=labels)
    with pytest.raises(SingularError, match="component 0 are all the same direction"):
        VonMisesFisherMixture(**settings).fit(X)
    with pytest.raises(SingularError, match="all components are all the same"):
        VonMisesFisherMixture(2, concentration="tied", init_params=[0, 0, 1]).fit(X[[0, 1, 5]])
    for held in (
        dict(concentration="tied"),
        dict(concentration=10.0),
        dict(prior=ConjugatePrior(1.0)),
        dict(prior=ConjugatePrior(0.1, [0.0, 0.0, 0.5])),
    ):
        mixture = VonMisesFisherMixture(**settings, **held).fit(X)
        assert np.all(np.isfinite(mixture.concentrations_))


def test_rows_that_cancel_are_uniform():
    X = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    one = VonMisesFisherMixture().fit(X)
    np.testing.assert_array_equal(one.mean_directions_, [[1.0, 0.0]])
    np.testing.assert_array_equal(one.concentrations_, [0.0])
    assert one.score(X) == pytest.approx(-np.log(2 * np.pi))
    family = VonMisesFisher()
    current = VonMisesFisherParameters(np.array([[0.6, 0.8]]), np.array([2.0]))
    sums = Sums({"weight": np.array([4.0]), "sum": np.zeros((1, 2))}, signed=("sum",))
    np.testing.assert_array_equal(family.m_step(sums, current).mean_directions, [[0.6, 0.8]])


@pytest.mark.parametrize("concentration", ["free", "tied", 3.0])
def test_an_empty_component_keeps_its_parameters(concentration):
    family = VonMisesFisher(concentration)
    current = VonMisesFisherParameters(np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([3.0, 3.0]))
    sums = Sums(
        {"weight": np.array([4.0, 0.0]), "sum": np.array([[2.0, 1.0], [0.0, 0.0]])}, signed=("sum",)
    )
    new = family.m_step(sums, current)
    np.testing.assert_array_equal(new.mean_directions[1], [0.6, 0.8])
    assert new.concentrations[1] == (new.concentrations[0] if concentration == "tied" else 3.0)
    at_start = family.m_step(sums, None)
    np.testing.assert_allclose(at_start.mean_directions[1], at_start.mean_directions[0])


def test_extrapolated_statistics_out_of_their_domain():
    family = VonMisesFisher()
    sums = Sums({"weight": np.array([1.0]), "sum": np.array([[3.0, 0.0]])}, signed=("sum",))
    with pytest.raises((SingularError, DomainError)):
        family.m_step(sums, None)


# ------------------------------------------------------------------ prior


def test_prior_is_rows_that_were_never_seen():
    truth, X, _ = draw(3, [20.0], 30)
    mean = np.array([0.1, 0.5, -0.2])
    fit = VonMisesFisherMixture(prior=ConjugatePrior(10.0, mean)).fit(X)
    resultant = (X.sum(axis=0) + 10 * mean) / 40
    length = np.linalg.norm(resultant)
    np.testing.assert_allclose(fit.mean_directions_[0], resultant / length)
    np.testing.assert_allclose(
        1 / np.tanh(fit.concentrations_) - 1 / fit.concentrations_, length, rtol=1e-13
    )
    assert VonMisesFisherMixture(prior="default").fit(X).concentrations_[0] > 0


def test_prior_of_a_fixed_concentration_is_normalised():
    family = VonMisesFisher(4.0)
    prior = ConjugatePrior(3.0, np.array([0.3, 0.4]))
    angle = np.arange(400) * 2 * np.pi / 400
    values = [
        family.log_prior(VonMisesFisherParameters(np.array([[c, s]]), np.array([4.0])), prior)
        for c, s in zip(np.cos(angle), np.sin(angle), strict=True)
    ]
    assert np.exp(values).sum() * 2 * np.pi / 400 == pytest.approx(1, abs=1e-12)


def test_objective_of_a_mode_never_falls():
    truth, X, _ = draw(4, [30.0, 5.0], 200)
    fit = VonMisesFisherMixture(
        2, prior="default", weight_concentration_prior=2.0, tol=1e-10, max_iter=500, random_state=0
    ).fit(X)
    assert np.all(np.diff(fit.lower_bounds_) > -1e-12)


def test_prior_means_that_are_none():
    X = draw(3, [5.0], 20)[1]
    for mean, match in (([0.1, 0.1], "shape"), ([1.0, 0.0, 0.0], "shorter than 1")):
        with pytest.raises(ValueError, match=match):
            VonMisesFisherMixture(prior=ConjugatePrior(1.0, mean)).fit(X)


# ------------------------------------------------------------------ fits


@pytest.mark.parametrize(
    ("d", "kappas", "n"), [(3, [60.0, 15.0, 5.0], 20_000), (50, [200.0, 60.0], 5000)]
)
def test_parameters_are_recovered(d, kappas, n):
    truth, X, labels = draw(d, kappas, n)
    fit = VonMisesFisherMixture(len(kappas), tol=1e-9, max_iter=2000, n_init=3, random_state=0).fit(
        X
    )
    order = np.argmax(truth.mean_directions_ @ fit.mean_directions_.T, axis=1)
    assert sorted(order) == list(range(len(kappas)))
    cosines = np.einsum("kd,kd->k", truth.mean_directions_, fit.mean_directions_[order])
    assert np.all(cosines > 0.995)
    np.testing.assert_allclose(fit.concentrations_[order], kappas, rtol=0.1)
    np.testing.assert_allclose(fit.weights_[order], truth.weights_, atol=0.03)
    assert np.all(np.diff(fit.lower_bounds_) > -1e-10)
    assert fit.score(X) >= truth.score(X)


def test_sparse_texts_in_many_dimensions():
    rng = np.random.RandomState(0)
    n, d, per_row = 20_000, 2000, 20
    labels = rng.randint(4, size=n)
    # each topic has words of its own, and all share some
    own = labels[:, None] * 400 + rng.randint(400, size=(n, per_row))
    words = np.where(rng.uniform(size=own.shape) < 0.7, own, rng.randint(d, size=own.shape))
    X = sparse.csr_matrix(
        (np.ones(n * per_row), (np.repeat(np.arange(n), per_row), words.ravel())), shape=(n, d)
    )
    mixture = VonMisesFisherMixture(4, normalize=True, random_state=0, max_iter=50)
    mixture.fit(X[:200])  # what is loaded at first use is no memory of a fit
    tracemalloc.start()
    fit = clone(mixture).fit(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # a dense copy would be 320 MB
    assert peak < 12 * X.data.nbytes
    assert fit.converged_
    table = np.zeros((4, 4))
    np.add.at(table, (labels, fit.predict(X)), 1)
    assert table.max(axis=1).sum() > 0.99 * n
    assert np.all((fit.concentrations_ > 100) & np.isfinite(fit.concentrations_))


def test_sparse_is_dense():
    texts = ["the cat sat on the mat", "a cat and a dog", "the dog sat", "stocks fell on monday"]
    X = TfidfVectorizer().fit_transform(texts + ["the stocks rose", "monday the stocks fell"])
    settings = dict(n_components=2, random_state=0, concentration="tied", tol=1e-8)
    one = VonMisesFisherMixture(**settings).fit(X)
    other = VonMisesFisherMixture(**settings).fit(X.toarray())
    np.testing.assert_allclose(one.mean_directions_, other.mean_directions_, atol=1e-12)
    np.testing.assert_allclose(one.concentrations_, other.concentrations_, rtol=1e-10)
    np.testing.assert_allclose(one.score_samples(X), other.score_samples(X.toarray()), rtol=1e-10)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_normalize_is_to_normalise_first(kind):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((100, 4)) + [2, 0, 0, 0]
    X *= 10.0 ** rng.randint(-3, 4, size=(100, 1))
    before = X.copy()
    one = VonMisesFisherMixture(2, normalize=True, random_state=0).fit(kind(X))
    other = VonMisesFisherMixture(2, random_state=0).fit(kind(unit(X)))
    np.testing.assert_array_equal(X, before)
    np.testing.assert_allclose(one.mean_directions_, other.mean_directions_, atol=1e-12)
    np.testing.assert_allclose(one.concentrations_, other.concentrations_, rtol=1e-12)
    np.testing.assert_allclose(one.predict_proba(kind(X)), other.predict_proba(kind(unit(X))))


def test_types_and_formats():
    # as scikit-learn's common checks, whose data have rows that are all zero
    X = np.random.RandomState(0).poisson(2.0, size=(60, 5))
    X = X[X.any(axis=1)]
    settings = dict(n_components=2, normalize=True, random_state=0)
    expected = VonMisesFisherMixture(**settings).fit(X.astype(float)).predict(X)
    for dtype in (np.float32, np.int32, np.int64, object):
        fit = VonMisesFisherMixture(**settings).fit(X.astype(dtype))
        np.testing.assert_array_equal(fit.predict(X.astype(dtype)), expected)
    for kind in ("csr", "csc", "coo", "lil"):
        for make in (sparse.coo_array, sparse.coo_matrix):
            rows = make(X.astype(float)).asformat(kind)
            fit = VonMisesFisherMixture(**settings).fit(rows)
            np.testing.assert_array_equal(fit.predict(rows), expected)
            assert fit.predict_proba(rows).shape == (len(X), 2)


def test_lengths_that_would_overflow():
    X = np.array([[3e300, 4e300], [3e-300, 4e-300], [0.6, 0.8], [1.0, 0.0]])
    for kind in (np.asarray, sparse.csr_matrix):
        fit = VonMisesFisherMixture(normalize=True).fit(kind(X))
        assert np.allclose(fit.score_samples(kind(X))[:3], fit.score_samples(X[2:3]))


def test_single_precision_is_computed_in_double():
    truth, X, _ = draw(5, [2000.0, 50.0], 500)
    double = VonMisesFisherMixture(2, random_state=0, tol=1e-8).fit(X)
    single = VonMisesFisherMixture(2, random_state=0, tol=1e-8).fit(X.astype(np.float32))
    assert single.mean_directions_.dtype == single.concentrations_.dtype == np.float32
    np.testing.assert_allclose(single.concentrations_, double.concentrations_, rtol=1e-4)
    assert np.isfinite(single.score(X.astype(np.float32)))


@pytest.mark.parametrize("concentration", ["free", "tied", 12.0])
def test_weights_are_repetitions(concentration):
    truth, X, _ = draw(3, [30.0, 8.0], 80)
    w = np.random.RandomState(1).randint(0, 4, size=80)
    start = dict(
        weights=truth.weights_,
        mean_directions=truth.mean_directions_,
        concentrations=truth.concentrations_ if concentration == "free" else [12.0, 12.0],
    )
    settings = dict(
        n_components=2, concentration=concentration, init_params=start, tol=1e-10, max_iter=1000
    )
    weighted = VonMisesFisherMixture(**settings).fit(X, sample_weight=w)
    repeated = VonMisesFisherMixture(**settings).fit(np.repeat(X, w, axis=0))
    np.testing.assert_allclose(weighted.mean_directions_, repeated.mean_directions_, atol=1e-8)
    np.testing.assert_allclose(weighted.concentrations_, repeated.concentrations_, rtol=1e-7)
    assert weighted.bic(X, sample_weight=w) == pytest.approx(repeated.bic(np.repeat(X, w, axis=0)))


def test_squarem_ends_where_em_ends():
    truth, X, _ = draw(3, [6.0, 5.0], 400)
    settings = dict(n_components=2, random_state=0, tol=1e-12, max_iter=20_000)
    plain = VonMisesFisherMixture(**settings).fit(X)
    fast = VonMisesFisherMixture(**settings, accelerate="squarem").fit(X)
    assert fast.lower_bound_ >= plain.lower_bound_ - 1e-9
    assert fast.n_e_steps_ < plain.n_e_steps_


def test_a_warm_start_goes_on_to_the_bit():
    truth, X, _ = draw(4, [20.0, 10.0], 200)
    once = VonMisesFisherMixture(2, random_state=0, tol=0, max_iter=6)
    often = VonMisesFisherMixture(2, random_state=0, tol=0, max_iter=1, warm_start=True)
    with pytest.warns(match="did not converge"):
        once.fit(X)
        for _ in range(6):
            often.fit(X)
    np.testing.assert_array_equal(once.mean_directions_, often.mean_directions_)
    np.testing.assert_array_equal(once.concentrations_, often.concentrations_)
    assert once.lower_bound_ == once.score(X)


# ------------------------------------------------------------------ sampling


@pytest.mark.parametrize("d", [2, 3, 10, 500])
@pytest.mark.parametrize("kappa", [0.0, 0.5, 30.0, 1e4, 1e8])
def test_sample_moments(d, kappa):
    rng = np.random.RandomState(3)
    n = 40_000 if d <= 10 else 3000
    mu = unit(rng.standard_normal((1, d)))
    X = VonMisesFisher().sample(VonMisesFisherParameters(mu, np.array([kappa])), np.array([n]), rng)
    assert X.shape == (n, d)
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, rtol=1e-14)
    # mean and variance of mu.x are A and A' = 1 - A**2 - (d - 1) A / kappa
    A = bessel_ratio(d / 2 - 1, np.array([kappa]))[0]
    fall = 0.5 * np.sum((X - mu) ** 2, axis=1)  # 1 - mu.x, to its last digits
    if kappa < 1e4:
        variance = 1 / d if kappa == 0 else 1 - A**2 - (d - 1) * A / kappa
        assert np.mean(1 - fall) == pytest.approx(A, abs=5 * np.sqrt(variance / n))
        assert np.var(fall) == pytest.approx(variance, rel=0.15)
    else:  # kappa times the fall is half a chi-squared variable of d - 1 degrees of freedom
        half = (d - 1) / 2
        assert np.mean(kappa * fall) == pytest.approx(half, abs=6 * np.sqrt(half / n) + 0.02 * half)
    across = X - (X @ mu[0])[:, None] * mu
    spread = np.sqrt(np.mean(np.sum(across**2, axis=1)))
    assert np.linalg.norm(across.mean(axis=0)) < 5 * spread / np.sqrt(n)


def test_sample_has_the_density():
    # in three dimensions mu.x has a distribution function in closed form
    kappa, n = 3.0, 20_000
    parameters = VonMisesFisherParameters(np.array([[0.0, 0.0, 1.0]]), np.array([kappa]))
    X = VonMisesFisher().sample(parameters, np.array([n]), np.random.RandomState(0))
    u = np.sort(np.expm1(kappa * (X[:, 2] + 1)) / np.expm1(2 * kappa))
    assert np.max(np.abs(u - np.arange(n) / n)) < 1.95 / np.sqrt(n)


def test_samples_are_sorted_by_component():
    truth, X, labels = draw(3, [1e4, 1e4], 100)
    assert np.all(np.diff(labels) >= 0)
    np.testing.assert_array_equal(truth.predict(X), labels)


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_rows_that_are_no_directions(kind):
    X = draw(3, [5.0], 20)[1]
    long = X.copy()
    long[[7, 9]] *= 2.5
    with pytest.raises(ValueError, match=r"found 2.5 in row 7, 2 such in all\. Set normalize=True"):
        VonMisesFisherMixture().fit(kind(long))
    fit = VonMisesFisherMixture().fit(kind(X))
    with pytest.raises(ValueError, match="row 7"):
        fit.predict(kind(long))
    zero = X.copy()
    zero[4] = 0
    for normalize in (False, True):
        with pytest.raises(ValueError, match="Row 4 is all zero"):
            VonMisesFisherMixture(normalize=normalize).fit(kind(zero))
    for value in (np.nan, np.inf):
        bad = X.copy()
        bad[3, 1] = value
        with pytest.raises(ValueError, match="contains"):
            VonMisesFisherMixture(normalize=True).fit(kind(bad))


def test_one_column_is_no_direction():
    with pytest.raises(ValueError, match="2 columns or more"):
        VonMisesFisherMixture().fit([[1.0], [-1.0], [1.0]])


@pytest.mark.parametrize("concentration", ["full", -1.0, None, np.nan, np.inf])
def test_concentrations_that_are_none(concentration):
    with pytest.raises(ValueError, match="concentration"):
        VonMisesFisherMixture(concentration=concentration).fit(draw(3, [5.0], 20)[1])


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        (dict(mean_directions=[[2.0, 0.0], [0.0, 1.0]]), "length 1"),
        (dict(mean_directions=[[1.0, 0.0]]), "shape"),
        (dict(concentrations=[1.0, -1.0]), "0 or more"),
        (dict(concentrations=[1.0, np.nan]), "finite"),
        (dict(concentrations=3.0), "shape"),
    ],
)
def test_parameters_that_are_none(changed, match):
    given = dict(mean_directions=np.eye(2), concentrations=[1.0, 2.0])
    with pytest.raises(ValueError, match=match):
        VonMisesFisherMixture.from_parameters([0.5, 0.5], **{**given, **changed})


@pytest.mark.parametrize("concentration", ["tied", 2.0, 0.0])
def test_parameters_of_another_model(concentration):
    given = dict(mean_directions=np.eye(2), concentrations=[1.0, 2.0])
    with pytest.raises(ValueError, match="set concentration='free'"):
        VonMisesFisherMixture.from_parameters([0.5, 0.5], concentration=concentration, **given)
