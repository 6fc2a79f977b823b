"""Every family and every mixture keeps the laws of ``emlearn.testing``."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import emlearn.mixture
from emlearn.distributions import (
    REGISTRY,
    Bernoulli,
    Categorical,
    FiniteMixture,
    Gamma,
    Gaussian,
    Multinomial,
    Poisson,
    Product,
    StudentT,
    VonMisesFisher,
    WithNoise,
)
from emlearn.distributions.covariance import COVARIANCES
from emlearn.latent import Chain, ChainParameters, Labels
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
from emlearn.testing import (
    check_distribution,
    distribution_checks,
    latent_checks,
    mixture_checks,
)

# ------------------------------------------------------------- example data

RNG = np.random.RandomState(0)
Z = np.repeat([0, 1, 2], 40)
THREE = np.array([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]])

NUMBERS = np.array([[-4.0, 0.0], [3.0, 3.0], [2.0, -4.0]])[Z] + RNG.standard_normal(
    (120, 2)
) @ np.array([[1.0, 0.5], [0.0, 1.0]])
TAILS = np.array([[-6.0, 0.0], [5.0, 4.0], [3.0, -6.0]])[Z] + RNG.standard_t(4, size=(120, 2))
ONE_FACTOR = 4.0 * Z[:, None] + RNG.standard_normal((120, 1)) + RNG.standard_normal((120, 4))
COUNTS = RNG.poisson(np.array([[1.0, 8.0], [6.0, 2.0], [12.0, 12.0]])[Z]).astype(float)
DRAWS = np.array([RNG.multinomial(6, p) for p in THREE[Z]]).astype(float)
YES = RNG.uniform(size=(120, 3)) < np.array([[0.8, 0.2, 0.7], [0.2, 0.8, 0.5], [0.5, 0.6, 0.1]])[Z]
YES = YES.astype(float)
YES_OR_MISSING = np.where(RNG.uniform(size=YES.shape) < 0.1, np.nan, YES)
NAMES = np.stack(
    [
        np.array(list("abc"))[[RNG.choice(3, p=p) for p in THREE[Z]]],
        np.array(["x", "y"])[(RNG.uniform(size=120) < THREE[Z, 0]).astype(int)],
    ],
    axis=1,
)
POSITIVE = RNG.gamma(np.array([[2.0, 9.0], [6.0, 0.8], [20.0, 4.0]])[Z], [1.0, 0.3])
DIRECTIONS = np.array([[2.0, 0.0, 1.0], [-2.0, 2.0, 0.0], [0.0, -1.0, -3.0]])[Z]
DIRECTIONS = DIRECTIONS + RNG.standard_normal((120, 3))
LENGTHS = np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
# pairs of clusters: components that are mixtures of two
PAIR = np.repeat([0, 1], 80)
PAIRS = np.tile(np.repeat([0, 1], 40), 2)
TWINS = np.array([[[-9.0, 0.0], [-3.0, 1.0]], [[5.0, 4.0], [6.0, -3.0]]])[PAIR, PAIRS]
TWINS = TWINS + RNG.standard_normal((160, 2)) @ np.array([[1.0, 0.5], [0.0, 1.0]])
TWIN_TAILS = np.array([[-30.0, -14.0], [14.0, 30.0]])[PAIR, PAIRS, None]
TWIN_TAILS = TWIN_TAILS + RNG.standard_t(5, size=(160, 1))
TWIN_COUNTS = np.array([[[0.5, 2.0], [8.0, 2.0]], [[20.0, 20.0], [8.0, 30.0]]])[PAIR, PAIRS]
TWIN_COUNTS = RNG.poisson(TWIN_COUNTS).astype(float)
TWIN_CODES = np.array([[0.05, 0.95], [0.3, 0.7]])[PAIR, PAIRS]
TWIN_CODES = (RNG.uniform(size=(160, 5)) < TWIN_CODES[:, None]).astype(int)
FRAME = pd.DataFrame({"size": NUMBERS[:, 0], "kind": NAMES[:, 0], "count": COUNTS[:, 0]})


def grid(*sizes):
    """All rows of whole numbers below the sizes."""
    return np.indices(sizes).reshape(len(sizes), -1).T.astype(float)


def reference_of_product(rng, n):
    """Rows as FRAME has them: a wide normal, an even category, a geometric count."""
    size, kind = 6.0 * rng.standard_normal(n), rng.randint(3, size=n)
    count = rng.geometric(0.08, size=n) - 1
    log_density = (
        -0.5 * (size / 6.0) ** 2
        - np.log(6.0 * np.sqrt(2 * np.pi) * 3)
        + count * np.log(0.92)
        + np.log(0.08)
    )
    rows = pd.DataFrame(
        {"size": size, "kind": np.array(list("abc"))[kind], "count": count.astype(float)}
    )
    return rows, log_density


def reference_of_sphere(rng, n):
    """Uniform directions."""
    rows = rng.standard_normal((n, 3))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows, np.full(n, -np.log(4 * np.pi))


# family -> its examples: distribution, rows, and further arguments of the suite. A new family is a line here.
EXAMPLES = {
    Gaussian: [
        *(
            (Gaussian(name), NUMBERS, {})
            for name, model in COVARIANCES.items()
            if not model.low_rank
        ),
        (Gaussian(), NUMBERS[:, :1], {}),
        (Gaussian("factor"), ONE_FACTOR, {}),
        (Gaussian("ppca"), ONE_FACTOR, {}),
        # reg_covar is no part of the model that samples are drawn from
        (Gaussian(reg_covar=0.5), NUMBERS, {"skip": ["check_recovers_parameters"]}),
        (Gaussian("diag"), NUMBERS + 1e5, {"skip": ["check_types_and_layouts"]}),
    ],
    StudentT: [
        (StudentT(), TAILS, {}),
        (StudentT("diag", "tied"), TAILS, {}),
        (StudentT("tied", 4.0), TAILS[:, :1], {}),
    ],
    Bernoulli: [
        (Bernoulli(), YES, {"support": grid(2, 2, 2)}),
        (Bernoulli(), YES_OR_MISSING, {"support": grid(2, 2, 2)}),
        (Bernoulli(binarize=0.5), YES, {"support": grid(2, 2, 2)}),
    ],
    Categorical: [
        (Categorical(), NAMES, {"support": [(a, b) for a in "abc" for b in "xy"]}),
        (Categorical(), COUNTS // 5, {}),
    ],
    Poisson: [
        (Poisson(), COUNTS, {"support": grid(50, 50)}),
        (Poisson(), sparse.csr_matrix(COUNTS), {}),
    ],
    Multinomial: [
        (Multinomial(), DRAWS, {"support": [r for r in grid(7, 7, 7) if r.sum() == 6]}),
        (Multinomial(), DRAWS, {}),
    ],
    VonMisesFisher: [
        (VonMisesFisher(), DIRECTIONS / LENGTHS, {"reference": reference_of_sphere}),
        (VonMisesFisher("tied", normalize=True), DIRECTIONS, {"reference": reference_of_sphere}),
        (VonMisesFisher(4.0), DIRECTIONS / LENGTHS, {"reference": reference_of_sphere}),
    ],
    Gamma: [
        (Gamma(), POSITIVE, {}),
        (Gamma(fixed_shape=1.0), POSITIVE, {}),
    ],
    FiniteMixture: [
        (FiniteMixture(Gaussian(), 2), TWINS, {"n_components": 2}),
        (FiniteMixture(Gaussian("tied"), 2), TWINS, {"n_components": 2}),
        (FiniteMixture(StudentT("diag"), 2), TWIN_TAILS, {"n_components": 2}),
        (FiniteMixture(Poisson(), 2), TWIN_COUNTS, {"n_components": 2, "support": grid(80, 80)}),
        (
            FiniteMixture(Categorical(), 2),
            TWIN_CODES,
            {"n_components": 2, "support": grid(2, 2, 2, 2, 2)},
        ),
        (FiniteMixture(Gaussian("diag"), 1), NUMBERS, {}),
    ],
    Product: [
        (
            Product(
                [
                    ("size", Gaussian("diag"), ["size"]),
                    ("kind", Categorical(), ["kind"]),
                    ("count", Poisson(), ["count"]),
                ]
            ),
            FRAME,
            {"reference": reference_of_product},
        ),
    ],
}

# a bound is no likelihood, and a posterior is no set of parameters
NO_LIKELIHOOD = ["check_likelihood", "check_criteria", "check_parameters_as_start"]

# mixture -> its examples: estimator, rows, checks to leave out
MIXTURES = {
    GaussianMixture: [
        *((GaussianMixture(3, covariance_type=name), NUMBERS) for name in COVARIANCES),
        (GaussianMixture(3, noise=True), NUMBERS),
    ],
    BayesianGaussianMixture: [(BayesianGaussianMixture(n_components=3), NUMBERS, NO_LIKELIHOOD)],
    StudentTMixture: [(StudentTMixture(3), TAILS)],
    BernoulliMixture: [(BernoulliMixture(3), YES_OR_MISSING)],
    CategoricalMixture: [(CategoricalMixture(3), NAMES)],
    PoissonMixture: [(PoissonMixture(3), COUNTS), (PoissonMixture(3), sparse.csr_matrix(COUNTS))],
    MultinomialMixture: [(MultinomialMixture(3), DRAWS)],
    VonMisesFisherMixture: [(VonMisesFisherMixture(3), DIRECTIONS / LENGTHS)],
    GammaMixture: [(GammaMixture(3), POSITIVE)],
    MixedMixture: [(MixedMixture(3), FRAME)],
    Mixture: [
        (Mixture(3, distribution=Gaussian("diag")), NUMBERS),
        (Mixture(2, distribution=FiniteMixture(Gaussian("diag"), 2)), TWINS),
    ],
}


def family_checks():
    for family, examples in EXAMPLES.items():
        for i, (distribution, X, arguments) in enumerate(examples):
            for name, check in distribution_checks(distribution, X, **arguments):
                yield pytest.param(check, id=f"{family.__name__}-{i}-{name}")


def estimator_checks():
    for cls, examples in MIXTURES.items():
        for i, (estimator, X, *more) in enumerate(examples):
            for name, check in mixture_checks(estimator, X, skip=more[0] if more else ()):
                yield pytest.param(check, id=f"{cls.__name__}-{i}-{name}")


@pytest.mark.parametrize("family", REGISTRY, ids=lambda family: family.__name__)
def test_every_registered_family_has_example_data(family):
    assert EXAMPLES.get(family), f"add {family.__name__} to EXAMPLES: a distribution and rows"


@pytest.mark.parametrize("name", emlearn.mixture.__all__)
def test_every_mixture_has_example_data(name):
    assert MIXTURES.get(getattr(emlearn.mixture, name)), f"add {name} to MIXTURES"


@pytest.mark.parametrize("check", list(family_checks()))
def test_distribution(check):
    check()


@pytest.mark.parametrize("check", list(estimator_checks()))
def test_mixture(check):
    check()


@pytest.mark.parametrize(("name", "check"), list(latent_checks(Labels())))
def test_labels(name, check):
    check()


START = np.array([0.2, 0.5, 0.3])
MOVES = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.05, 0.15, 0.8]])
ONE_WAY = np.triu(np.ones((3, 3), dtype=bool))
CHAINS = {
    "ergodic": (Chain(), ChainParameters(START, MOVES)),
    "two states": (Chain(), ChainParameters(np.array([0.9, 0.1]), MOVES[:2, 1:] / [[0.3], [0.7]])),
    "one state": (Chain(), ChainParameters(np.ones(1), np.ones((1, 1)))),
    "left-right": (
        Chain((np.array([True, True, False]), ONE_WAY)),
        ChainParameters(
            np.array([0.6, 0.4, 0.0]), np.array([[0.5, 0.3, 0.2], [0.0, 0.6, 0.4], [0.0, 0.0, 1.0]])
        ),
    ),
}


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=f"{name}-{law}")
        for name, (chain, parameters) in CHAINS.items()
        for law, check in latent_checks(chain, parameters)
    ],
)
def test_chain(check):
    check()


def test_a_family_with_noise():
    # its density is the same everywhere, and its volume is held in an M-step
    skip = [
        "check_density_sums_to_one",
        "check_sample_follows_density",
        "check_recovers_parameters",
        "check_n_free",
    ]
    check_distribution(WithNoise(Gaussian("diag")), NUMBERS, skip=skip)
