"""Parameters that a fit keeps, and parameters that components share."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from emlearn.distributions import (
    REGISTRY,
    Bernoulli,
    Categorical,
    ConjugatePrior,
    Distribution,
    FiniteMixture,
    Gamma,
    Gaussian,
    Multinomial,
    NormalInverseWishart,
    Poisson,
    Product,
    StudentT,
    VonMisesFisher,
    WithNoise,
)
from emlearn.distributions.covariance import COVARIANCES
from emlearn.em import Constraints, Held, Joint, Space, Sums, shares
from emlearn.exceptions import ObjectiveFellWarning
from emlearn.hmm import GMMHMM, HMM, CategoricalHMM, GaussianHMM, PoissonHMM
from emlearn.mixture import (
    BayesianGaussianMixture,
    GammaMixture,
    GaussianMixture,
    MixedMixture,
    Mixture,
    MultinomialMixture,
    PoissonMixture,
    StudentTMixture,
    VonMisesFisherMixture,
)

RNG = np.random.RandomState(0)
Z = np.repeat([0, 1], 60)
nan = np.nan
NUMBERS = np.array([[-2.0, 0.0, 1.0], [3.0, 2.0, -1.0]])[Z] + RNG.standard_normal(
    (120, 3)
) @ np.array([[1.0, 0.5, 0.2], [0.0, 1.0, -0.4], [0.0, 0.0, 1.0]])
TAILS = np.array([[-5.0, 0.0, 1.0], [5.0, 3.0, 0.0]])[Z] + RNG.standard_t(4, size=(120, 3))
COUNTS = RNG.poisson(np.array([[1.0, 8.0], [6.0, 2.0]])[Z]).astype(float)
SHARES = np.array([[0.5, 0.2, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
DRAWS = np.array([RNG.multinomial(8, p) for p in SHARES[Z]]).astype(float)
YES = (RNG.uniform(size=(120, 3)) < np.array([[0.8, 0.2, 0.7], [0.2, 0.7, 0.6]])[Z]).astype(float)
NAMES = np.stack([DRAWS.argmax(axis=1), YES[:, 0].astype(int)], axis=1)
POSITIVE = RNG.gamma(np.array([[2.0, 9.0], [6.0, 0.8]])[Z], [1.0, 0.3])
DIRECTIONS = np.array([[3.0, 0.0, 1.0], [-2.0, 2.0, 1.0]])[Z] + RNG.standard_normal((120, 3))
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
MIXED = np.column_stack([NUMBERS[:, :1], COUNTS[:, 0], DRAWS.argmax(axis=1)])
BLOCKS = [
    ("size", Gaussian("diag"), [0]),
    ("count", Poisson(), [1]),
    ("kind", Categorical(), [2]),
]

MODELS = sorted({model.name for model in COVARIANCES.values()})

A_MEAN = [[0.0, nan, nan], [nan, 1.5, nan]]
ZEROS = np.full((2, 3, 3), nan)
ZEROS[:, 0, 1] = ZEROS[:, 1, 0] = 0.0
ONE = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, 0.1], [0.0, 0.1, 1.5]])
WHOLE = np.stack([ONE, np.full((3, 3), nan)])
FACTOR = np.stack([np.triu(ONE), np.full((3, 3), nan)])
ENTRY = np.array([[nan, 1.5, nan], [nan, nan, nan]])
SECOND = {"means": [False, True, False]}
UNIT = [[0.6, 0.0, 0.8], [nan, nan, nan]]

# family -> cases: distribution, rows, fixed, equal, how many free parameters fewer. A new family is a line here.
CASES = {
    Gaussian: [
        *((Gaussian(name), NUMBERS, {"means": A_MEAN}, None, 2) for name in MODELS),
        *((Gaussian(name), NUMBERS, {"means": A_MEAN}, SECOND, 3) for name in ("full", "tied")),
        *((Gaussian(name), NUMBERS, None, ["means"], 3) for name in ("full", "diag", "VEE", "EII")),
        (Gaussian(), NUMBERS, {"covariances": ZEROS}, None, 2),
        (Gaussian(), NUMBERS, {"precisions": ZEROS}, None, 2),
        (Gaussian(), NUMBERS, {"covariances": WHOLE}, None, 6),
        (Gaussian(), NUMBERS, {"precisions": WHOLE, "means": A_MEAN}, None, 8),
        (Gaussian(), NUMBERS, {"precisions_cholesky": FACTOR}, None, 6),
        (Gaussian(), NUMBERS, {"covariances": ZEROS, "means": A_MEAN}, ["covariances"], 9),
        (Gaussian(), NUMBERS, None, ["covariances", "means"], 9),
        (Gaussian("tied"), NUMBERS, {"covariances": ONE}, None, 6),
        (Gaussian("tied"), NUMBERS, {"covariances": ZEROS[0]}, SECOND, 2),
        (Gaussian("diag"), NUMBERS, {"covariances": ENTRY}, None, 1),
        (Gaussian("diag"), NUMBERS, {"precisions": ENTRY}, {"precisions": [True, False, True]}, 3),
        (Gaussian("diag"), NUMBERS, {"covariances": ENTRY}, ["covariances"], 4),
        (Gaussian("spherical"), NUMBERS, {"covariances": [nan, 2.0]}, None, 1),
        (Gaussian("spherical"), NUMBERS, None, ["precisions_cholesky"], 1),
        (Gaussian("EEI"), NUMBERS, {"covariances": ENTRY}, None, 1),
        (Gaussian("EII"), NUMBERS, {"covariances": [nan, 2.0]}, None, 1),
        (Gaussian("VEE"), NUMBERS, {"covariances": np.stack([ONE, 3 * ONE])}, None, 7),
        (Gaussian("factor"), NUMBERS, {"noise_variances": [[1.0, 1.0, 0.5], [nan] * 3]}, None, 3),
        (
            Gaussian("factor"),
            NUMBERS,
            {
                "noise_variances": [[1.0, 1.0, 0.5], [1.0, 1.0, 1.0]],
                "loadings": [[[1.0], [0.5], [0.0]], [[nan]] * 3],
            },
            None,
            9,
        ),
    ],
    StudentT: [
        (StudentT(), TAILS, {"means": A_MEAN, "degrees_of_freedom": [4.0, nan]}, None, 3),
        (StudentT("diag"), TAILS, {"scales": ENTRY}, ["degrees_of_freedom"], 2),
        (StudentT("diag", "tied"), TAILS, {"degrees_of_freedom": [nan, 5.0]}, ["means"], 4),
        (StudentT("tied", 4.0), TAILS, {"scales": ZEROS[0]}, SECOND, 2),
        (StudentT(), TAILS, {"precisions": WHOLE}, None, 6),
    ],
    Bernoulli: [
        (Bernoulli(), YES, {"probabilities": [[nan, 0.25, nan], [nan, nan, 0.5]]}, None, 2),
        (Bernoulli(), YES, {"probabilities": ENTRY / 3}, {"probabilities": [False, True, True]}, 3),
    ],
    Categorical: [
        (Categorical(), NAMES, {"probabilities": [None, [[0.3, 0.7], [nan, nan]]]}, None, 1),
        (
            Categorical(),
            NAMES,
            {"probabilities": [[[nan, 0.1, nan, nan], [nan] * 4], None]},
            {"probabilities": [[True, False, False, False], None]},
            2,
        ),
        (Categorical(), NAMES, None, ["probabilities"], 4),
    ],
    Poisson: [
        (Poisson(), COUNTS, {"rates": [[nan, 8.0], [nan, nan]]}, {"rates": [True, False]}, 2),
        (Poisson(), COUNTS, None, ["rates"], 2),
    ],
    Multinomial: [
        (Multinomial(), DRAWS, {"probabilities": [[0.5, nan, nan, nan], [nan] * 4]}, None, 1),
        (Multinomial(), DRAWS, None, {"probabilities": [True, True, False, False]}, 2),
        (
            Multinomial(),
            DRAWS,
            {"probabilities": [[nan, nan, nan, 0.0], [nan, nan, nan, 0.5]]},
            {"probabilities": [True, False, False, False]},
            3,
        ),
    ],
    VonMisesFisher: [
        (VonMisesFisher(), DIRECTIONS, {"mean_directions": UNIT}, None, 2),
        (
            VonMisesFisher(),
            DIRECTIONS,
            {"mean_directions": [[nan, nan, 0.1], [nan] * 3], "concentrations": [nan, 3.0]},
            None,
            2,
        ),
        (VonMisesFisher(), DIRECTIONS, None, ["mean_directions"], 2),
        (VonMisesFisher(), DIRECTIONS, None, ["concentrations"], 1),
        (VonMisesFisher("tied"), DIRECTIONS, {"mean_directions": UNIT}, None, 2),
        (VonMisesFisher("tied"), DIRECTIONS, {"concentrations": [2.0, nan]}, None, 1),
        (VonMisesFisher(4.0), DIRECTIONS, {"mean_directions": UNIT}, None, 2),
    ],
    Gamma: [
        (Gamma(), POSITIVE, {"shapes": [[2.0, nan], [nan, nan]]}, None, 1),
        (Gamma(), POSITIVE, {"scales": [[1.0, nan], [nan, 0.4]]}, None, 2),
        (Gamma(), POSITIVE, {"scales": [[nan, 0.3], [nan] * 2]}, ["shapes"], 3),
        (Gamma(), POSITIVE, {"shapes": [[nan, nan], [6.0, nan]]}, ["scales"], 3),
        (Gamma(), POSITIVE, None, ["scales", "shapes"], 4),
        (Gamma(1.0), POSITIVE, {"scales": [[nan, nan], [2.0, nan]]}, {"scales": [False, True]}, 2),
    ],
    FiniteMixture: [
        (
            FiniteMixture(Poisson(), 2),
            COUNTS,
            {"rates": [[[0.5, nan], [nan, nan]], [[nan, nan], [nan, nan]]]},
            {"mixture_weights": [True, True]},
            2,
        ),
        (
            FiniteMixture(Gaussian("diag"), 2),
            NUMBERS,
            {"mixture_weights": [[0.4, 0.6], [nan, nan]]},
            ["means", "covariances"],
            13,
        ),
        (FiniteMixture(Categorical(), 2), NAMES, None, ["probabilities"], 8),
    ],
    Product: [
        (
            Product(BLOCKS),
            MIXED,
            {
                "size_means": [[-2.0], [nan]],
                "kind_probabilities": [[[nan] * 4, [nan, nan, 0, nan]]],
            },
            ["count_rates"],
            3,
        ),
    ],
    WithNoise: [
        (
            WithNoise(Gaussian("diag")),
            NUMBERS,
            {"means": A_MEAN, "covariances": ENTRY, "noise_weight": 0.1},
            {"weights": True},
            5,
        ),
    ],
}
ALL = [
    pytest.param(*case, id=f"{family.__name__}-{i}")
    for family, cases in CASES.items()
    for i, case in enumerate(cases)
]


def mixture(distribution, fixed=None, equal=None, **settings):
    noise = isinstance(distribution, WithNoise)
    settings = {"random_state": 0, "tol": 1e-7, "max_iter": 25, **settings}
    return Mixture(
        2,
        distribution=distribution.family if noise else distribution,
        noise=noise,
        fixed=fixed,
        equal=equal,
        **settings,
    )


def quietly(estimator, X, **arguments):
    """A fit in which nothing falls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("error", ObjectiveFellWarning)
        return estimator.fit(X, **arguments)


def published(fitted, name):
    value = getattr(fitted, f"{name}_")
    return np.concatenate(value, axis=-1) if isinstance(value, list) else np.asarray(value)


def said(fitted):
    model = fitted._fitted_model()
    d = model.distribution.shape(fitted.recall().components)[1]
    return fitted._said(model.distribution, d)


@pytest.mark.parametrize("family", [*REGISTRY, WithNoise], ids=lambda family: family.__name__)
def test_every_family_is_in_the_table(family):
    assert CASES.get(family), f"add {family.__name__} to CASES: what is fixed, what is equal"


# ------------------------------------------------------------------- laws


@pytest.mark.parametrize(("distribution", "X", "fixed", "equal", "n_held"), ALL)
def test_a_fit_keeps_what_is_fixed_and_never_falls(distribution, X, fixed, equal, n_held):
    fitted = quietly(mixture(distribution, fixed, equal), X)
    assert np.all(np.diff(fitted.lower_bounds_) >= -1e-10)
    for name, held in said(fitted).items():
        value = published(fitted, name)
        assert np.array_equal(value[held.fixed], held.values[held.fixed])
        for members in held.groups:
            rest = held.shared[members[0]]
            for k in members[1:]:
                np.testing.assert_allclose(value[k][rest], value[members[0]][rest], rtol=1e-12)
    free = quietly(mixture(distribution, max_iter=1), X)
    assert fitted.n_parameters_ == free.n_parameters_ - n_held
    n = len(X)
    expected = -2 * n * fitted.score(X) + fitted.n_parameters_ * np.log(n)
    assert fitted.bic(X) == pytest.approx(expected)
    assert fitted.score(X) == pytest.approx(fitted.lower_bound_, rel=1e-9)


# where more is hidden than the component the law is that of the whole fit
PLAIN = [case for case in ALL if not isinstance(case.values[0], StudentT | FiniteMixture)]


@pytest.mark.parametrize(("distribution", "X", "fixed", "equal", "n_held"), PLAIN)
def test_an_m_step_is_the_best_among_those_that_keep_it(distribution, X, fixed, equal, n_held):
    """No rival, the M-step of other statistics, has a higher expected log-likelihood, nor have the current ones."""
    start = quietly(mixture(distribution, fixed, equal, max_iter=2), X)
    X = start._check_data(X, reset=False)
    model = start._fit_model(X, None)
    family = model.distribution
    features = family.features(X)
    rng = np.random.RandomState(1)

    def expected(parameters, weights):
        density = family.log_density(parameters.components, features)[0]
        rows = np.where(weights > 0, density + model.latent.log_weights(parameters.latent), 0.0)
        return np.sum(weights * rows)

    def m_step(weights, current):
        statistics = family.statistics(current.components, features, weights)
        labels = Sums({"counts": weights.sum(axis=0)})
        return model.m_step(Joint({"labels": labels, "components": statistics}), current)

    current = start.recall()
    density, _ = family.log_density(current.components, features)
    weights, _, _ = model.latent.posterior(current.latent, density)
    best, top = m_step(weights, current), -np.inf
    once = expected(best, weights)
    for _ in range(300 if family.exact else 40):  # conditional maximisation may take several
        before, top = top, expected(best, weights)
        if top - before <= 1e-11 * abs(top):
            break
        best = m_step(weights, best)
    slack = 1e-9 * abs(top)
    assert expected(current, weights) <= once + slack <= top + 2 * slack
    for size in (0.3, 0.01):
        for _ in range(4):
            other = rng.dirichlet(np.ones(weights.shape[1]), size=len(X))
            other *= rng.uniform(0, 2, size=(len(X), 1))
            moved = (1 - size) * weights + size * other
            assert expected(m_step(moved, current), weights) <= top + slack


def test_everything_fixed_changes_nothing():
    fixed = {
        "weights": [0.25, 0.75],
        "means": [[0.1, 0.2, 0.3], [1.0, 2.0, 3.0]],
        "covariances": np.stack([ONE, 2 * ONE]),
    }
    fitted = GaussianMixture(2, fixed=fixed, random_state=0).fit(NUMBERS)
    for name, value in fixed.items():
        assert np.array_equal(getattr(fitted, f"{name}_"), value)
    assert fitted.n_parameters_ == 0
    assert fitted.bic(NUMBERS) == pytest.approx(fitted.aic(NUMBERS))


# ----------------------------------------------------------- known answers


def test_a_mean_held_at_zero_has_the_mean_of_squares_about_it():
    x = np.random.RandomState(0).normal(3.0, 1.0, size=(400, 1))
    fitted = GaussianMixture(1, fixed={"means": [[0.0]]}, reg_covar=0.0).fit(x)
    assert fitted.covariances_.ravel() == pytest.approx([np.mean(x**2)])
    assert fitted.n_parameters_ == 1


def test_a_partly_fixed_mean_follows_by_regression():
    X = NUMBERS[:60]
    fitted = GaussianMixture(1, fixed={"means": [[0.0, nan, nan]]}, reg_covar=0.0).fit(X)
    S, m = np.cov(X.T, bias=True), X.mean(axis=0)
    expected = m[1:] + S[1:, 0] / S[0, 0] * (0.0 - m[0])
    np.testing.assert_allclose(fitted.means_[0, 1:], expected, rtol=1e-10)
    about = X - fitted.means_[0]
    np.testing.assert_allclose(fitted.covariances_[0], about.T @ about / len(X), rtol=1e-9)


def test_free_parameters_are_at_a_maximum_of_the_likelihood():
    held = np.array([[-2.0, nan, nan], [nan, 2.0, nan]])
    fixed, equal = {"means": held, "covariances": ZEROS}, {"means": [False, False, True]}
    settings = {"reg_covar": 0.0, "tol": 1e-12, "max_iter": 500, "init_params": Z}
    fitted = quietly(GaussianMixture(2, fixed=fixed, equal=equal, **settings), NUMBERS)
    assert fitted.converged_
    means, covariances, weights = fitted.means_, fitted.covariances_, fitted.weights_
    top = fitted.score(NUMBERS)
    rng = np.random.RandomState(0)
    for _ in range(20):
        m = means + 1e-3 * rng.standard_normal(means.shape) * np.isnan(held)
        m[1, 2] = m[0, 2]
        change = 1e-3 * rng.standard_normal(covariances.shape) * np.isnan(ZEROS)
        c = covariances + change + np.swapaxes(change, 1, 2)
        w = weights + 1e-3 * rng.standard_normal() * np.array([1, -1])
        assert GaussianMixture.from_parameters(w, m, c).score(NUMBERS) < top


@pytest.mark.parametrize(
    ("distribution", "X", "name"),
    [
        (Poisson(), COUNTS, "rates"),
        (Bernoulli(), YES, "probabilities"),
        (Multinomial(), DRAWS, "probabilities"),
        (Gamma(), POSITIVE, "scales"),
    ],
)
def test_components_that_share_everything_have_the_pooled_estimate(distribution, X, name):
    equal = ["shapes", "scales"] if name == "scales" else [name]
    fitted = quietly(mixture(distribution, equal=equal), X)
    one = quietly(Mixture(1, distribution=distribution), X)
    value, pooled = published(fitted, name), published(one, name)
    np.testing.assert_allclose(value, np.tile(pooled, (2, 1)), rtol=1e-9)


def test_equal_covariances_are_those_of_the_tied_model():
    full = quietly(
        GaussianMixture(2, equal=["covariances"], random_state=0, tol=1e-12, max_iter=500), NUMBERS
    )
    tied = quietly(
        GaussianMixture(2, covariance_type="tied", random_state=0, tol=1e-12, max_iter=500), NUMBERS
    )
    np.testing.assert_allclose(full.covariances_[0], tied.covariances_, rtol=1e-5)
    assert full.n_parameters_ == tied.n_parameters_
    assert full.score(NUMBERS) == pytest.approx(tied.score(NUMBERS))


def test_equal_degrees_of_freedom_are_those_of_the_tied_model():
    settings = {"random_state": 0, "tol": 1e-10, "max_iter": 300}
    shared = quietly(StudentTMixture(2, equal=["degrees_of_freedom"], **settings), TAILS)
    tied = quietly(StudentTMixture(2, degrees_of_freedom="tied", **settings), TAILS)
    np.testing.assert_allclose(shared.degrees_of_freedom_, tied.degrees_of_freedom_, rtol=1e-6)
    assert shared.n_parameters_ == tied.n_parameters_


@pytest.mark.parametrize("seed", range(10))
def test_shares_are_a_maximum(seed):
    rng = np.random.RandomState(seed)
    K, V = 3, 5
    values = np.full((K, V), nan)
    values[:, 4] = rng.choice([nan, 0.1, 0.3], size=K)
    shared = np.zeros((K, V), dtype=bool)
    shared[:, : rng.randint(4)] = True
    held = Held(Space((K, V), 0, 1, sizes=(V,)), values, shared, (np.arange(K),))
    held = held.settled("p")
    counts = rng.gamma(1.0, size=(K, V)) + 0.01
    p = shares(counts, held)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    top = np.sum(counts * np.log(p))
    for _ in range(50):
        rival = shares(counts * rng.gamma(50.0, 0.02, size=(K, V)), held)
        assert np.sum(counts * np.log(rival)) <= top + 1e-12


def test_tied_members_are_shared_by_the_states_and_not_within_one():
    hmm = quietly(
        GMMHMM(2, n_mix=2, covariance_type="diag", equal=["means", "covariances"], random_state=0),
        NUMBERS,
    )
    np.testing.assert_array_equal(hmm.means_[0], hmm.means_[1])
    assert np.abs(hmm.means_[0, 0] - hmm.means_[0, 1]).max() > 0.1
    assert np.all(np.diff(hmm.lower_bounds_) >= -1e-10)
    assert hmm.n_parameters_ == 1 + 2 + 2 + 6 + 6


# ------------------------------------------------------- latent structures


@pytest.mark.parametrize("noise", [False, True])
def test_weights(noise):
    fitted = quietly(
        GaussianMixture(3, fixed={"weights": [0.2, nan, nan]}, noise=noise, random_state=0), NUMBERS
    )
    assert fitted.weights_[0] == 0.2
    assert fitted.weights_.sum() + (fitted.noise_weight_ if noise else 0) == pytest.approx(1.0)
    free = quietly(GaussianMixture(3, noise=noise, random_state=0), NUMBERS)
    assert fitted.n_parameters_ == free.n_parameters_ - 1
    same = quietly(GaussianMixture(3, equal=["weights"], noise=noise, random_state=0), NUMBERS)
    assert np.ptp(same.weights_) == 0
    assert same.n_parameters_ == free.n_parameters_ - 2


def test_transitions():
    fixed = {
        "transmat": [[nan, 0.0, nan], [nan, nan, nan], [0.0, 0.0, 1.0]],
        "startprob": [1, 0, 0],
    }
    hmm = quietly(PoissonHMM(3, fixed=fixed, random_state=0), COUNTS)
    assert hmm.startprob_.tolist() == [1, 0, 0]
    assert hmm.transmat_[0, 1] == 0.0
    assert hmm.transmat_[2].tolist() == [0.0, 0.0, 1.0]
    np.testing.assert_allclose(hmm.transmat_.sum(axis=1), 1.0)
    assert hmm.n_parameters_ == 0 + 1 + 2 + 0 + 6
    assert np.all(np.diff(hmm.lower_bounds_) >= -1e-10)


def test_equal_rows_of_transitions_are_independent_labels():
    hmm = quietly(PoissonHMM(2, equal=["transmat"], random_state=0, tol=1e-9), COUNTS)
    np.testing.assert_array_equal(hmm.transmat_[0], hmm.transmat_[1])
    assert hmm.n_parameters_ == 1 + 1 + 4
    assert np.all(np.diff(hmm.lower_bounds_) >= -1e-10)


def test_fixed_transitions_beside_a_topology_and_priors():
    hmm = quietly(
        GaussianHMM(
            3,
            "diag",
            topology="left-right",
            transmat_prior=2.0,
            fixed={
                "transmat": [[0.9, nan, nan], [nan] * 3, [nan] * 3],
                "means": np.r_[0.0, [nan] * 8].reshape(3, 3),
            },
            random_state=0,
        ),
        NUMBERS,
    )
    assert hmm.transmat_[0, 0] == 0.9
    assert not np.tril(hmm.transmat_, -1).any()
    assert hmm.means_[0, 0] == 0.0
    assert hmm.n_parameters_ == (1 + 1) + (8 + 9)
    assert np.all(np.diff(hmm.lower_bounds_) >= -1e-10)


@pytest.mark.parametrize(
    ("distribution", "X", "fixed", "equal", "n_held"),
    [case for case in ALL if "noise_weight" not in (case.values[2] or {})][::6],
)
def test_states_keep_what_is_fixed(distribution, X, fixed, equal, n_held):
    hmm = HMM(2, distribution=distribution, fixed=fixed, equal=equal, random_state=0, max_iter=30)
    fitted = quietly(hmm, X)
    assert np.all(np.diff(fitted.lower_bounds_) >= -1e-10)
    for name, held in said(fitted).items():
        value = published(fitted, name)
        assert np.array_equal(value[held.fixed], held.values[held.fixed])
    free = quietly(clone(hmm).set_params(fixed=None, equal=None, max_iter=1), X)
    assert fitted.n_parameters_ == free.n_parameters_ - n_held


# ----------------------------------------------------------------- priors


@pytest.mark.parametrize(
    ("distribution", "X", "fixed", "equal", "prior"),
    [
        (Gaussian(), NUMBERS, {"means": A_MEAN}, SECOND, NormalInverseWishart(mean_count=2.0)),
        (Gaussian("diag"), NUMBERS, {"covariances": ENTRY}, ["means"], NormalInverseWishart()),
        (Gaussian("EVV"), NUMBERS, {"means": A_MEAN}, None, NormalInverseWishart()),
        (StudentT(), TAILS, {"means": A_MEAN}, None, NormalInverseWishart(mean_count=3.0)),
        (Poisson(), COUNTS, {"rates": [[nan, 8.0], [nan, nan]]}, ["rates"], ConjugatePrior(3.0)),
        (Gamma(), POSITIVE, None, ["scales"], ConjugatePrior(2.0)),
        (Multinomial(), DRAWS, None, {"probabilities": [True] + [False] * 3}, ConjugatePrior(2.0)),
        (VonMisesFisher(), DIRECTIONS, None, ["mean_directions"], ConjugatePrior(2.0)),
    ],
)
def test_priors_beside_what_is_fixed(distribution, X, fixed, equal, prior):
    fitted = quietly(
        mixture(distribution, fixed, equal, prior=prior, weight_concentration_prior=2.0), X
    )
    assert np.all(np.diff(fitted.lower_bounds_) >= -1e-10)
    for name, held in said(fitted).items():
        assert np.array_equal(published(fitted, name)[held.fixed], held.values[held.fixed])


def test_a_prior_that_is_no_density_says_so():
    prior = NormalInverseWishart(mclust=True)
    with pytest.raises(ValueError, match="mclust=True"):
        GaussianMixture(2, prior=prior, fixed={"means": A_MEAN}).fit(NUMBERS)


# -------------------------------------------------------------- ecosystem


def test_search_and_clone():
    fixed = {"rates": np.array([[nan, 8.0], [nan, nan]])}
    estimator = PoissonMixture(2, fixed=fixed, random_state=0)
    again = clone(estimator)
    assert again.get_params()["fixed"].keys() == {"rates"}
    before = fixed["rates"].copy()
    search = GridSearchCV(again, {"fixed": [None, fixed], "equal": [None, ["rates"]]}, cv=2)
    search.fit(COUNTS)
    assert "fixed" in search.best_params_
    np.testing.assert_array_equal(fixed["rates"], before)


def test_float32_data():
    fitted = quietly(
        GaussianMixture(2, fixed={"means": A_MEAN}, random_state=0), NUMBERS.astype(np.float32)
    )
    assert fitted.means_.dtype == np.float32
    assert fitted.means_[0, 0] == 0.0
    assert fitted.means_[1, 1] == np.float32(1.5)


def test_warm_start_goes_on():
    settings = {"fixed": {"means": A_MEAN}, "random_state": 0, "tol": 0.0}
    whole = quietly(GaussianMixture(2, max_iter=6, **settings), NUMBERS)
    steps = GaussianMixture(2, max_iter=1, warm_start=True, **settings)
    for _ in range(6):
        quietly(steps, NUMBERS)
    np.testing.assert_allclose(steps.means_, whole.means_, rtol=1e-10)


def test_squarem_keeps_what_is_fixed():
    fitted = quietly(
        GaussianMixture(
            2, fixed={"means": A_MEAN}, accelerate="squarem", random_state=0, tol=1e-9, max_iter=200
        ),
        NUMBERS,
    )
    assert fitted.means_[0, 0] == 0.0
    assert fitted.means_[1, 1] == 1.5


def test_starts_that_agree():
    given = {"means_init": np.where(np.isnan(A_MEAN), 1.0, A_MEAN)}
    precisions = np.stack([np.eye(3), np.eye(3)])
    for more in ({}, {"precisions_init": precisions}, {"weights_init": [0.5, 0.5]}):
        fitted = quietly(
            GaussianMixture(2, fixed={"means": A_MEAN}, max_iter=20, **given, **more), NUMBERS
        )
        assert fitted.means_[0, 0] == 0.0
    fitted = quietly(
        GaussianMixture(
            2, fixed={"means": A_MEAN}, precisions_init=precisions, max_iter=0, random_state=0
        ),
        NUMBERS,
    )
    assert fitted.means_[1, 1] == 1.5
    seeds = quietly(
        GaussianMixture(
            2,
            covariance_type="tied",
            init_params="k-means++",
            fixed={"covariances": ZEROS[0]},
            random_state=0,
        ),
        NUMBERS,
    )
    assert seeds.covariances_[0, 1] == 0.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("init_params", ["kmeans", "k-means++"])
def test_clusters_of_a_start_go_where_fixed_values_want_them(seed, init_params):
    settings = {"init_params": init_params, "random_state": seed, "max_iter": 200}
    centres = np.array([[-2.0, 0.0, 1.0], [3.0, 2.0, -1.0]])
    for order in ([0, 1], [1, 0]):
        held = np.where([True, False, False], centres[order], nan)
        mixture = quietly(GaussianMixture(2, fixed={"means": held}, **settings), NUMBERS)
        np.testing.assert_allclose(mixture.means_, centres[order], atol=0.6)
        hmm = quietly(GaussianHMM(2, fixed={"means": held}, **settings), NUMBERS)
        np.testing.assert_allclose(hmm.means_, centres[order], atol=0.6)


def test_the_smaller_cluster_takes_the_smaller_weight():
    for few, rows in ((-2.0, NUMBERS[50:]), (3.0, NUMBERS[:70])):
        rare = quietly(GaussianMixture(2, fixed={"weights": [0.14, 0.86]}, random_state=0), rows)
        assert rare.means_[0, 0] == pytest.approx(few, abs=0.8)


class Levels(Poisson):
    """A family of a user, who has not heard of constraints."""

    def parameter_spaces(self, n_components, n_features):
        return Distribution.parameter_spaces(self, n_components, n_features)


class Coupled(Levels):
    separable = False

    def m_step(self, statistics, parameters, prior=None):
        return super().m_step(statistics, parameters, prior)


def test_families_of_a_user():
    fixed = {"rates": [[nan, 8.0], [nan, nan]]}
    fitted = quietly(mixture(Levels(), fixed), COUNTS)
    assert fitted.rates_[0, 1] == 8.0
    quietly(mixture(Coupled()), COUNTS)
    with pytest.raises(ValueError, match="separable = True"):
        mixture(Coupled(), fixed).fit(COUNTS)


# -------------------------------------------------------------- bad input

CONTRADICTION = {"means_init": np.ones((2, 3)), "fixed": {"means": A_MEAN}}
BAD = [
    (
        PoissonMixture(2, fixed={"means": [[1.0]]}),
        COUNTS,
        r"no parameter 'means'.*'rates', 'weights'",
    ),
    (PoissonMixture(2, equal=["nothing"]), COUNTS, "equal: there is no parameter 'nothing'"),
    (PoissonMixture(2, fixed={"rates": [1.0, nan]}), COUNTS, r"shape \(2, 2\), got \(2,\)"),
    (PoissonMixture(2, fixed={"rates": [["a", 1], [1, 1]]}), COUNTS, "'rates' must be an array"),
    (PoissonMixture(2, equal={"rates": [True]}), COUNTS, r"shape \(2,\), got \(1,\)"),
    (PoissonMixture(2, equal={"rates": [0.5, 1]}), COUNTS, "True and False"),
    (PoissonMixture(2, fixed={"rates": [[-1.0, nan], [nan] * 2]}), COUNTS, "from 0"),
    (PoissonMixture(2, fixed={"rates": [[np.inf, nan], [nan] * 2]}), COUNTS, "finite"),
    (
        PoissonMixture(2, fixed={"rates": [[1.0, nan], [2.0, nan]]}, equal=["rates"]),
        COUNTS,
        "components share 'rates', which fixed sets to different values: from 1 to 2",
    ),
    (PoissonMixture(2, fixed={"weights": [0.5, 0.4]}), COUNTS, "nothing free, and sum to 0.9"),
    (PoissonMixture(3, fixed={"weights": [0.8, 0.4, nan]}), COUNTS, "already sum to 1.2"),
    (
        MultinomialMixture(2, fixed={"probabilities": [[0.5, 0.6, nan, nan], [nan] * 4]}),
        DRAWS,
        "'probabilities' in row 0 already sum to 1.1",
    ),
    (
        MultinomialMixture(
            2,
            fixed={"probabilities": [[nan] * 3 + [0.1], [nan] * 3 + [0.2]]},
            equal={"probabilities": [True] * 3 + [False]},
        ),
        DRAWS,
        "does not leave the same",
    ),
    (PoissonMixture(2, fixed=3), COUNTS, "'fixed' parameter"),
    (
        PoissonHMM(2, topology="left-right", fixed={"transmat": [[nan] * 2, [0.5, 0.5]]}),
        COUNTS,
        "topology",
    ),
    (
        PoissonHMM(2, topology="left-right", fixed={"startprob": [0.0, nan]}),
        COUNTS,
        "'startprob' leave nothing free",
    ),
    (PoissonHMM(2, topology="left-right", equal=["transmat"]), COUNTS, "transmat"),
    (
        CategoricalHMM(2, fixed={"probabilities": np.full((2, 4), nan)}),
        NAMES,
        "must be a list of 2 arrays",
    ),
    (
        GaussianMixture(2, fixed={"covariances": WHOLE, "precisions": WHOLE}),
        NUMBERS,
        "say the same thing",
    ),
    (GaussianMixture(2, fixed={"covariances": np.triu(WHOLE)}), NUMBERS, "symmetric"),
    (
        GaussianMixture(2, fixed={"covariances": np.stack([-ONE, ONE])}),
        NUMBERS,
        "of component 0: no positive definite",
    ),
    (
        GaussianMixture(
            2,
            covariance_type="tied",
            fixed={"covariances": [[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]]},
        ),
        NUMBERS,
        "no positive definite",
    ),
    (
        GaussianMixture(2, covariance_type="VEE", fixed={"covariances": WHOLE}),
        NUMBERS,
        "Fix all of 'covariances'",
    ),
    (GaussianMixture(2, covariance_type="VVE", equal=["covariances"]), NUMBERS, "in common"),
    (
        GaussianMixture(2, covariance_type="VEE", fixed={"covariances": [ONE, np.eye(3)]}),
        NUMBERS,
        "none of the model VEE",
    ),
    (GaussianMixture(2, equal={"covariances": np.eye(3) > 0}), NUMBERS, "as a whole"),
    (
        GaussianMixture(2, covariance_type="factor", equal=["covariances"]),
        NUMBERS,
        "loadings and noise_variances",
    ),
    (
        GaussianMixture(2, covariance_type="factor", fixed={"loadings": np.ones((2, 3, 1))}),
        NUMBERS,
        "fixed noise_variances too",
    ),
    (
        GaussianMixture(2, covariance_type="diag", fixed={"covariances": -ENTRY}),
        NUMBERS,
        "above 0",
    ),
    (
        GaussianMixture(2, fixed={"precisions_cholesky": np.triu(ZEROS)}),
        NUMBERS,
        "entries of precisions",
    ),
    (GaussianMixture(2, **CONTRADICTION), NUMBERS, "init_params: 'means' begins with 1"),
    (
        GaussianMixture(2, fixed={"covariances": WHOLE}, precisions_init=np.stack([np.eye(3)] * 2)),
        NUMBERS,
        "'covariances' begins with 1",
    ),
    (
        PoissonMixture(
            2, init_params={"weights": [0.5, 0.5], "rates": [[1, 2], [3, 4]]}, equal=["rates"]
        ),
        COUNTS,
        "the value that components share",
    ),
    (
        StudentTMixture(2, degrees_of_freedom=4.0, fixed={"degrees_of_freedom": [3.0, nan]}),
        TAILS,
        "are 4 already",
    ),
    (
        GammaMixture(2, fixed_shape=1.0, fixed={"shapes": [[2.0, nan]] * 2}),
        POSITIVE,
        "fixed_shape=1",
    ),
    (
        VonMisesFisherMixture(2, fixed={"mean_directions": [[0.5, 0.5, 0.0], [nan] * 3]}),
        DIRECTIONS,
        "length 1",
    ),
    (
        VonMisesFisherMixture(2, equal={"mean_directions": [True, False, False]}),
        DIRECTIONS,
        "as a whole",
    ),
    (
        VonMisesFisherMixture(2, concentration=2.0, fixed={"concentrations": [1.0, nan]}),
        DIRECTIONS,
        "are 2 already",
    ),
    (MixedMixture(2, blocks=BLOCKS, fixed={"rates": [[1.0]] * 2}), MIXED, "'count_rates'"),
    (BayesianGaussianMixture(n_components=2, fixed={"means": A_MEAN}), NUMBERS, "posterior"),
    (BayesianGaussianMixture(n_components=2, equal=["means"]), NUMBERS, "GaussianMixture"),
]


@pytest.mark.parametrize(("estimator", "X", "message"), BAD)
def test_what_cannot_be_said(estimator, X, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit(X)


def test_warm_start_of_other_values():
    fitted = quietly(PoissonMixture(2, warm_start=True, random_state=0), COUNTS)
    fitted.set_params(fixed={"rates": [[99.0, nan], [nan, nan]]})
    with pytest.raises(ValueError, match="warm_start: 'rates' begins with"):
        fitted.fit(COUNTS)


def test_constraints_read_nothing():
    assert not Constraints.read(None, None, {"rates": Space((2, 1))})
    assert not Constraints.read({"rates": [[nan], [nan]]}, {}, {"rates": Space((2, 1))})


@pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)
def test_one_name_may_be_said_without_a_list():
    settings = {"n_components": 2, "init_params": Z, "max_iter": 5, "tol": 0.0}
    one = GaussianMixture(**settings, equal="means").fit(NUMBERS)
    several = GaussianMixture(**settings, equal=["means"]).fit(NUMBERS)
    np.testing.assert_array_equal(one.means_, several.means_)
    np.testing.assert_array_equal(one.means_[0], one.means_[1])
    with pytest.raises(ValueError, match="there is no parameter 'mean'"):
        GaussianMixture(2, equal="mean").fit(NUMBERS)
