"""Each service of the engine times each estimator of the package: a test that ran, or a reason."""

import inspect

import numpy as np
import pytest
from sklearn.base import BaseEstimator

import emlearn
from emlearn.distributions import Bernoulli
from emlearn.em import block_rows
from emlearn.hmm import (
    GMMHMM,
    HMM,
    BernoulliHMM,
    CategoricalHMM,
    GammaHMM,
    GaussianHMM,
    MultinomialHMM,
    PoissonHMM,
    StudentTHMM,
)
from emlearn.impute import EMImputer
from emlearn.mixture import (
    BayesianGaussianMixture,
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
from emlearn.model_selection import MixtureSelector
from emlearn.testing import EXCEPTIONS, SERVICES, service_checks
from emlearn.testing._service_case import ServiceCase

ESTIMATORS = [
    value
    for value in (getattr(emlearn, name) for name in emlearn.__all__)
    if inspect.isclass(value) and issubclass(value, BaseEstimator) and hasattr(value, "fit")
]

# ------------------------------------------------------------- example data

# twelve sequences, in which components stay for some rows
RNG = np.random.RandomState(0)
N = 120
GROUPS = np.repeat(list("fbdacehgjikl"), 10)
Z = (np.arange(N) // 5) % 3
SHARES = np.array([[0.7, 0.2, 0.1], [0.1, 0.7, 0.2], [0.1, 0.3, 0.6]])

NUMBERS = np.array([[-4.0, 0.0], [3.0, 3.0], [2.0, -4.0]])[Z] + RNG.standard_normal((N, 2))
TAILS = np.array([[-7.0, 0.0], [6.0, 5.0], [4.0, -7.0]])[Z] + RNG.standard_t(5, size=(N, 2))
COUNTS = RNG.poisson(np.array([[1.0, 9.0], [8.0, 2.0], [16.0, 16.0]])[Z]).astype(float)
DRAWS = np.array([RNG.multinomial(12, p) for p in SHARES[Z]]).astype(float)
YES = (
    RNG.uniform(size=(N, 5))
    < np.array([[0.9, 0.1, 0.8, 0.2, 0.9], [0.1, 0.9, 0.5, 0.8, 0.8], [0.3, 0.6, 0.1, 0.2, 0.1]])[Z]
)
YES = YES.astype(float)
CODES = np.array(
    [[RNG.choice(3, p=p) for p in (a, a[::-1], a, a[[2, 0, 1]], a)] for a in SHARES[Z]]
).astype(float)
POSITIVE = RNG.gamma(np.array([[2.0, 9.0], [6.0, 0.8], [30.0, 4.0]])[Z], [1.0, 0.3])
DIRECTIONS = np.array([[2.0, 0.0, 1.0], [-2.0, 2.0, 0.0], [0.0, -1.0, -3.0]])[Z]
DIRECTIONS = DIRECTIONS + 0.7 * RNG.standard_normal((N, 3))
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
NEAR = np.array([[-1.5, 0.0], [1.5, 1.0], [1.0, -1.5]])[Z] + RNG.standard_normal((N, 2))
MIXED = np.c_[NEAR, COUNTS[:, 0], YES[:, 0]]
BLOCKS = [("size", "gaussian", [0, 1]), ("count", "poisson", [2]), ("kind", "bernoulli", [3])]
TWINS = NUMBERS + 1.5 * RNG.choice([-1.0, 1.0], size=(N, 1))

EXAMPLES = {
    GaussianMixture: (GaussianMixture(3), NUMBERS),
    BayesianGaussianMixture: (BayesianGaussianMixture(n_components=3), NUMBERS),
    StudentTMixture: (StudentTMixture(3), TAILS),
    BernoulliMixture: (BernoulliMixture(3), YES),
    CategoricalMixture: (CategoricalMixture(3), CODES),
    PoissonMixture: (PoissonMixture(3), COUNTS),
    MultinomialMixture: (MultinomialMixture(3), DRAWS),
    VonMisesFisherMixture: (VonMisesFisherMixture(3), DIRECTIONS),
    GammaMixture: (GammaMixture(3), POSITIVE),
    MixedMixture: (MixedMixture(3, blocks=BLOCKS), MIXED),
    Mixture: (Mixture(3, distribution=Bernoulli()), YES),
    MixtureSelector: (
        MixtureSelector(PoissonMixture(max_iter=5), {"n_components": [2, 3]}),
        COUNTS,
    ),
    EMImputer: (EMImputer(n_components=2), NUMBERS @ np.array([[1.0, 0.4, 0.2], [0.0, 1.0, 0.7]])),
    GaussianHMM: (GaussianHMM(3), NUMBERS),
    GMMHMM: (GMMHMM(2, n_mix=2), TWINS),
    StudentTHMM: (StudentTHMM(3), TAILS),
    BernoulliHMM: (BernoulliHMM(3), YES),
    CategoricalHMM: (CategoricalHMM(3), CODES),
    PoissonHMM: (PoissonHMM(3), COUNTS),
    MultinomialHMM: (MultinomialHMM(3), DRAWS),
    GammaHMM: (GammaHMM(3), POSITIVE),
    HMM: (HMM(3, distribution=Bernoulli()), YES),
}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SEQUENCES = {name for name in vars(emlearn.hmm) if name.endswith("HMM")}


def arguments(cls):
    return {"groups": GROUPS} if cls.__name__ in SEQUENCES else {}


CASES = {cls: ServiceCase(*example, arguments(cls)) for cls, example in EXAMPLES.items()}
CELLS = [
    pytest.param(service, cls, id=f"{cls.__name__}-{service}")
    for cls in EXAMPLES
    for service in SERVICES
]


def has_reason(cell):
    service, cls = cell.values
    return (service, cls.__name__) in EXCEPTIONS


@pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_every_estimator_has_an_example(cls):
    assert cls in EXAMPLES, f"add {cls.__name__} to EXAMPLES: its settings and some rows"


@pytest.mark.parametrize(("service", "cls"), [c for c in CELLS if not has_reason(c)])
def test_a_service_works(service, cls):
    SERVICES[service].law(CASES[cls])


@pytest.mark.parametrize(("service", "cls"), [c for c in CELLS if has_reason(c)])
def test_a_reason_is_true(service, cls):
    """What has a reason does not work: a reason that is out of date fails here."""
    with pytest.raises((AssertionError, AttributeError, TypeError, ValueError)):
        SERVICES[service].law(CASES[cls])


def test_reasons_are_of_cells():
    names = {cls.__name__ for cls in ESTIMATORS}
    for (service, name), reason in EXCEPTIONS.items():
        assert service in SERVICES and name in names
        assert reason.endswith(".") and len(reason) > 40


def test_checks_of_an_estimator_are_its_cells():
    found = [name for name, _ in service_checks(GaussianMixture(3), NUMBERS, skip=["skops"])]
    left_out = {"skops"} | {s for s, name in EXCEPTIONS if name == "GaussianMixture"}
    assert found == [name for name in SERVICES if name not in left_out]
    with pytest.raises(ValueError, match="there are no services"):
        next(service_checks(GaussianMixture(3), NUMBERS, skip=["magic"]))


def test_categories_of_all_blocks_of_a_mapped_file(tmp_path, monkeypatch):
    """What is to be known of the columns is learned of the whole file."""
    X = CODES[np.argsort(CODES[:, 0], kind="stable")]
    np.save(tmp_path / "rows.npy", X)
    settings = {"init_params": np.arange(N) % 3, "max_iter": 5, "tol": 0.0}
    monkeypatch.setattr("emlearn._blocks._MAPPED_BYTES", 0)
    with block_rows(20):
        whole = CategoricalMixture(3, **settings).fit(X)
        mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
        found = CategoricalMixture(3, **settings).fit(mapped)
    assert X[:20, 0].max() < X[:, 0].max()
    assert found.lower_bound_ == whole.lower_bound_
    for ours, theirs in zip(found.probabilities_, whole.probabilities_, strict=True):
        np.testing.assert_array_equal(ours, theirs)
