"""Mixture(distribution=...): the named estimators, and a family of one's own."""

import pickle
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import laplace
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emlearn.distributions import (
    Bernoulli,
    Categorical,
    ConjugatePrior,
    Distribution,
    Gamma,
    Gaussian,
    Multinomial,
    NormalInverseWishart,
    Poisson,
    Product,
    StudentT,
    VonMisesFisher,
)
from emlearn.em.statistics import Sums
from emlearn.mixture import (
    BernoulliMixture,
    CategoricalMixture,
    GammaMixture,
    GaussianMixture,
    MixedMixture,
    Mixture,
    MultinomialMixture,
    PoissonMixture,
    StudentTMixture,
    VonMisesFisherMixture,
)

rng = np.random.RandomState(0)
N, K = 120, 2
Z = np.arange(N) % K
NUMBERS = rng.randn(N, 3) + 2.0 * Z[:, None]
COUNTS = rng.poisson(np.array([[1.0, 5.0, 2.0], [6.0, 4.0, 3.0]])[Z]).astype(float)
BINARY = (rng.rand(N, 3) < np.array([[0.1, 0.8, 0.5], [0.7, 0.3, 0.5]])[Z]).astype(float)
WORDS = np.array(["u", "v", "w"])[(rng.rand(N, 3) * np.array([[1.8], [3.0]])[Z]).astype(int)]
POSITIVE = rng.gamma(3.0, size=(N, 3)) * (1 + 2 * Z[:, None])
DIRECTIONS = NUMBERS / np.linalg.norm(NUMBERS, axis=1, keepdims=True)
BLOCKS = [("a", Gaussian("diag", reg_covar=1e-6), [0, 1]), ("b", "gaussian", [2])]

PAIRS = {
    **{
        f"gaussian {t}": (
            GaussianMixture(covariance_type=t),
            Gaussian(t, reg_covar=1e-6),
            NUMBERS,
        )
        for t in ("full", "tied", "diag", "spherical", "VVE", "factor")
    },
    "student": (StudentTMixture(), StudentT(reg_covar=1e-6), NUMBERS),
    "student tied": (
        StudentTMixture(covariance_type="diag", degrees_of_freedom="tied"),
        StudentT("diag", "tied", reg_covar=1e-6),
        NUMBERS,
    ),
    "bernoulli": (BernoulliMixture(binarize=None), Bernoulli(), BINARY),
    "bernoulli above 2": (BernoulliMixture(binarize=2.0), Bernoulli(2.0), COUNTS),
    "categorical": (CategoricalMixture(), Categorical(), WORDS),
    "poisson": (PoissonMixture(), Poisson(), COUNTS),
    "multinomial": (MultinomialMixture(), Multinomial(), COUNTS),
    "gamma": (GammaMixture(), Gamma(), POSITIVE),
    "exponential": (GammaMixture(fixed_shape=1.0), Gamma(1.0), POSITIVE),
    "directions": (VonMisesFisherMixture(), VonMisesFisher(), DIRECTIONS),
    "tied directions": (
        VonMisesFisherMixture(concentration="tied", normalize=True),
        VonMisesFisher("tied", normalize=True),
        NUMBERS,
    ),
    "mixed": (MixedMixture(blocks=BLOCKS), Product(BLOCKS), NUMBERS),
}
every_pair = pytest.mark.parametrize("pair", PAIRS)
METHODS = ["predict", "predict_proba", "score_samples", "score", "bic", "aic", "icl"]


def both(pair, sample_weight=None, **settings):
    """The named estimator and the general one, fitted alike."""
    named, distribution, X = PAIRS[pair]
    settings = {"n_components": K, "random_state": 0, "init_params": Z, "max_iter": 30, **settings}
    models = clone(named).set_params(**settings), Mixture(distribution=distribution, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return *(model.fit(X, sample_weight=sample_weight) for model in models), X


def assert_equal(a, b):
    if isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    elif isinstance(a, Distribution):
        assert repr(a) == repr(b)
    else:
        np.testing.assert_array_equal(a, b)


# ---------------------------------------------------- the estimators by their names


@every_pair
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"init_params": "random", "n_init": 2},
        {"accelerate": "squarem", "tol": 1e-6},
        {"prior": "default", "weight_concentration_prior": 2.0},
        {"sample_weight": np.arange(N) % 3},
    ],
    ids=["plain", "drawn", "accelerated", "priors", "weights"],
)
def test_the_named_estimator_is_the_general_one(pair, settings):
    named, general, X = both(pair, **settings)
    fitted = {k for k in vars(named) if k.endswith("_") and not k.startswith("_")}
    assert fitted == {k for k in vars(general) if k.endswith("_") and not k.startswith("_")}
    for name in fitted:
        assert_equal(getattr(named, name), getattr(general, name))
    for method in METHODS:
        assert_equal(getattr(named, method)(X), getattr(general, method)(X))
    assert_equal(named.sample(20, 0), general.sample(20, 0))


# (seeds: scikit-learn's drop-ins begin with one row to a component, the others with a partition)
DROP_INS = [f"gaussian {t}" for t in ("full", "tied", "diag", "spherical")]
STARTS = [(pair, "kmeans") for pair in PAIRS]
STARTS += [(p, i) for p in PAIRS if p not in DROP_INS for i in ("k-means++", "random_from_data")]


@pytest.mark.parametrize("pair, init", STARTS)
def test_the_same_starts(pair, init):
    named, general, _ = both(pair, init_params=init)
    assert_equal(named.weights_, general.weights_)
    assert_equal(named.lower_bounds_, general.lower_bounds_)


@every_pair
def test_copies(pair):
    _, general, X = both(pair)
    expected = general.predict_proba(X)
    for twin in (pickle.loads(pickle.dumps(general)), clone(general).fit(X)):
        np.testing.assert_array_equal(twin.predict_proba(X), expected)
    assert repr(clone(general)) == repr(general)
    assert clone(general).distribution is not general.distribution


@every_pair
def test_the_distribution_is_not_written_to(pair):
    _, distribution, X = PAIRS[pair]
    before = dict(vars(distribution))
    both(pair)
    assert vars(distribution).keys() == before.keys()
    assert all(vars(distribution)[name] is before[name] for name in before)


def test_the_default_is_a_gaussian():
    a = Mixture(K, init_params=Z).fit(NUMBERS)
    b = GaussianMixture(K, init_params=Z).fit(NUMBERS)
    np.testing.assert_array_equal(a.means_, b.means_)


# ------------------------------------------------------------------- parameters


def test_nested_parameters():
    mixture = Mixture(2, distribution=StudentT(), prior=NormalInverseWishart())
    assert mixture.get_params()["distribution__degrees_of_freedom"] == "free"
    mixture.set_params(
        distribution__degrees_of_freedom=4.0, distribution__covariance_type="diag", prior__scale=2.0
    )
    assert mixture.distribution.degrees_of_freedom == 4.0 and mixture.prior.scale == 2.0
    mixture.fit(NUMBERS)
    np.testing.assert_array_equal(mixture.degrees_of_freedom_, 4.0)
    with pytest.raises(ValueError, match="Invalid parameter 'shape'"):
        mixture.set_params(distribution__shape=1)
    mixture.set_params(distribution=Poisson(), prior=ConjugatePrior()).fit(COUNTS)
    assert mixture.rates_.shape == (2, 3)


def test_nested_parameters_in_a_search():
    grid = {
        "mixture__distribution": [StudentT("diag", reg_covar=1e-6)],
        "mixture__distribution__degrees_of_freedom": [1.0, 200.0],
        "mixture__n_components": [1, 2],
    }
    pipeline = make_pipeline(StandardScaler(), Mixture(random_state=0))
    search = GridSearchCV(pipeline, grid, cv=3).fit(NUMBERS)
    assert search.best_params_["mixture__distribution__degrees_of_freedom"] == 200.0
    expected = np.mean(
        [
            clone(pipeline)
            .set_params(**search.cv_results_["params"][0])
            .fit(NUMBERS[a])
            .score(NUMBERS[b])
            for a, b in (
                (np.r_[40:120], np.r_[0:40]),
                (np.r_[0:40, 80:120], np.r_[40:80]),
                (np.r_[0:80], np.r_[80:120]),
            )
        ]
    )
    assert search.cv_results_["mean_test_score"][0] == pytest.approx(expected, rel=1e-12)


def test_distributions_in_a_search():
    grid = {"distribution": [Gaussian(t, reg_covar=1e-6) for t in ("full", "tied", "spherical")]}
    data = np.r_[NUMBERS, 40.0 + 0.1 * NUMBERS]
    search = GridSearchCV(Mixture(2, random_state=0), grid, cv=[(np.arange(240), np.arange(240))])
    search.fit(data)
    assert search.best_params_["distribution"].covariance_type == "full"
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("pair", ["gaussian full", "poisson", "gamma", "directions", "bernoulli"])
def test_from_parameters(pair):
    named, general, X = both(pair)
    names = {
        "gaussian full": ["means", "covariances"],
        "poisson": ["rates"],
        "gamma": ["shapes", "scales"],
        "directions": ["mean_directions", "concentrations"],
        "bernoulli": ["probabilities"],
    }[pair]
    given = {name: getattr(named, f"{name}_") for name in names}
    twin = Mixture.from_parameters(named.weights_, distribution=PAIRS[pair][1], **given)
    np.testing.assert_allclose(twin.predict_proba(X), general.predict_proba(X), atol=1e-12)
    assert twin.n_parameters_ == general.n_parameters_


# ---------------------------------------------------------- a family of one's own


@dataclass(frozen=True)
class LaplaceParameters:
    centres: np.ndarray
    widths: np.ndarray


class Laplace(Distribution):
    """Laplace distributions about fixed centres: |x - centre| is the statistic, its mean the width."""

    parameters_class = LaplaceParameters
    continuous = True
    _parameter_constraints = {"centre": [float]}

    def __init__(self, centre=0.0):
        self.centre = centre

    def row_cost(self, n_components, n_features):
        return n_components * n_features

    def log_density(self, parameters, features):
        away = np.abs(features[:, None] - parameters.centres) / parameters.widths
        return -(away + np.log(2 * parameters.widths)).sum(axis=2), None

    def statistics(self, parameters, features, weights, memo=None):
        away = np.abs(features - self.centre)
        return Sums({"weight": weights.sum(axis=0), "away": weights.T @ away})

    def m_step(self, statistics, parameters, prior=None):
        widths = statistics["away"] / statistics["weight"][:, None]
        return LaplaceParameters(np.full_like(widths, self.centre), widths)

    def sample(self, parameters, counts, rng):
        widths = np.repeat(parameters.widths, counts, axis=0)
        return self.centre + rng.laplace(size=widths.shape) * widths

    def n_free(self, parameters):
        return parameters.widths.size

    def shape(self, parameters):
        return parameters.widths.shape

    def embed(self, X):
        return np.log(np.abs(X - self.centre) + 1e-9)


TRUE = Laplace(3.0), LaplaceParameters(np.full((2, 4), 3.0), np.array([[0.5] * 4, [8.0] * 4]))
OWN = TRUE[0].sample(TRUE[1], np.array([600, 400]), np.random.RandomState(0))
OWN_LABELS = np.repeat([0, 1], [600, 400])


def own(**settings):
    return Mixture(2, distribution=Laplace(3.0), **{"random_state": 0, "tol": 1e-8, **settings})


def test_a_family_of_ones_own():
    mixture = own().fit(OWN)
    order = mixture.widths_[:, 0].argsort()
    np.testing.assert_allclose(mixture.widths_[order], TRUE[1].widths, rtol=0.15)
    np.testing.assert_allclose(mixture.weights_[order], [0.6, 0.4], atol=0.03)
    assert np.mean(order[OWN_LABELS] == mixture.predict(OWN)) > 0.95
    assert np.diff(mixture.lower_bounds_).min() > -1e-12
    assert mixture.lower_bound_ == pytest.approx(mixture.score(OWN), rel=1e-12)
    assert mixture.n_parameters_ == 1 + 8
    joint = [
        np.log(w) + laplace.logpdf(OWN, 3.0, width).sum(axis=1)
        for w, width in zip(mixture.weights_, mixture.widths_, strict=True)
    ]
    np.testing.assert_allclose(mixture.score_samples(OWN), np.logaddexp(*joint), rtol=1e-10)


def test_it_has_all_that_mixtures_have():
    mixture = own(init_params=OWN_LABELS).fit(OWN)
    rows = np.repeat(np.arange(1000), np.arange(1000) % 3)
    weighted = own(init_params=OWN_LABELS).fit(OWN, sample_weight=np.arange(1000) % 3)
    repeated = own(init_params=OWN_LABELS[rows]).fit(OWN[rows])
    np.testing.assert_allclose(weighted.widths_, repeated.widths_, rtol=1e-9)
    fast = own(init_params=OWN_LABELS, accelerate="squarem").fit(OWN)
    np.testing.assert_allclose(fast.widths_, mixture.widths_, rtol=1e-3)
    X, y = mixture.sample(3000, random_state=1)
    assert X.shape == (3000, 4) and np.mean(mixture.predict(X) == y) > 0.95
    noisy = own(noise=True, init_params=OWN_LABELS).fit(OWN)
    assert noisy.predict_proba(OWN).shape == (1000, 3)
    twin = Mixture.from_parameters(
        mixture.weights_,
        distribution=Laplace(3.0),
        centres=mixture.centres_,
        widths=mixture.widths_,
    )
    np.testing.assert_array_equal(twin.predict_proba(OWN), mixture.predict_proba(OWN))
    copied = pickle.loads(pickle.dumps(mixture))
    np.testing.assert_array_equal(copied.predict(OWN), mixture.predict(OWN))
    single = own(init_params=OWN_LABELS).fit(OWN.astype(np.float32))
    assert single.widths_.dtype == np.float32
    big = np.tile(OWN, (60, 1))
    start = np.tile(OWN_LABELS, 60)
    a, b = (own(init_params=start, n_jobs=n).fit(big) for n in (1, 2))
    np.testing.assert_array_equal(a.widths_, b.widths_)
    np.testing.assert_allclose(a.widths_, mixture.widths_, rtol=1e-6)


def test_it_is_found_by_a_search():
    search = GridSearchCV(own(), {"distribution__centre": [0.0, 3.0, 6.0]}, cv=2)
    shuffled = OWN[np.random.RandomState(0).permutation(1000)]
    assert search.fit(shuffled).best_params_ == {"distribution__centre": 3.0}


def test_its_hyper_parameters_are_checked():
    with pytest.raises(ValueError, match="'centre' parameter of Laplace must be"):
        Mixture(2, distribution=Laplace("middle")).fit(OWN)
    with pytest.raises(ValueError, match="Laplace has no prior"):
        own(prior="default").fit(OWN)
