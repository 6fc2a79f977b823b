"""Hidden Markov models of every family against sums over all paths of their states."""

import copy
import inspect
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning

import emlearn.hmm
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
)
from emlearn.exceptions import DegenerateComponentsWarning
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
from emlearn.latent import Chain, ChainParameters

pytestmark = [
    pytest.mark.filterwarnings("ignore", category=ConvergenceWarning),
    pytest.mark.filterwarnings("ignore", category=DegenerateComponentsWarning),
]

# ------------------------------------------------------------- example data

RNG = np.random.RandomState(0)
Z = np.repeat([0, 1, 2], 20)
THREE = np.array([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]])
CENTRES = np.array([[-2.0, 0.0], [2.0, 2.0], [1.0, -2.0]])

NUMBERS = CENTRES[Z] + RNG.standard_normal((60, 2))
ONE_FACTOR = Z[:, None] + RNG.standard_normal((60, 1)) + RNG.standard_normal((60, 4))
COUNTS = RNG.poisson(np.array([[1.0, 5.0], [4.0, 2.0], [6.0, 6.0]])[Z]).astype(float)
DRAWS = np.array([RNG.multinomial(6, p) for p in THREE[Z]]).astype(float)
YES = (RNG.uniform(size=(60, 3)) < THREE[Z]).astype(float)
YES_OR_MISSING = np.where(RNG.uniform(size=YES.shape) < 0.1, np.nan, YES)
NAMES = np.array(list("abc"))[[[RNG.choice(3, p=p) for _ in range(2)] for p in THREE[Z]]]
POSITIVE = RNG.gamma(np.array([[2.0, 9.0], [6.0, 0.8], [20.0, 4.0]])[Z], [1.0, 0.3])
DIRECTIONS = CENTRES[Z] @ RNG.standard_normal((2, 3)) + RNG.standard_normal((60, 3))
DIRECTIONS = DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
FRAME = pd.DataFrame({"size": NUMBERS[:, 0], "kind": NAMES[:, 0], "count": COUNTS[:, 0]})
BLOCKS = [
    ("size", Gaussian("diag", reg_covar=1e-6), ["size"]),
    ("kind", Categorical(), ["kind"]),
    ("count", Poisson(), ["count"]),
]

# family -> its examples: distribution and rows. A new family is a line here.
FAMILIES = {
    Gaussian: [(Gaussian(reg_covar=1e-6), NUMBERS), (Gaussian("factor"), ONE_FACTOR)],
    StudentT: [(StudentT(reg_covar=1e-6), NUMBERS), (StudentT("diag", 4.0), NUMBERS)],
    Bernoulli: [(Bernoulli(), YES_OR_MISSING)],
    Categorical: [(Categorical(), NAMES)],
    Poisson: [(Poisson(), COUNTS), (Poisson(), sparse.csr_matrix(COUNTS))],
    Multinomial: [(Multinomial(), DRAWS)],
    VonMisesFisher: [(VonMisesFisher(), DIRECTIONS)],
    Gamma: [(Gamma(), POSITIVE)],
    Product: [(Product(BLOCKS), FRAME)],
    FiniteMixture: [
        (FiniteMixture(Poisson(), 2), COUNTS),
        (FiniteMixture(Categorical(), 2), NAMES),
    ],
}
MIXTURES = {
    name: FiniteMixture(Gaussian(name, reg_covar=1e-6), 2) for name in ("full", "tied", "diag")
}

# estimator -> its examples: settings, the distribution that they mean, and rows
ESTIMATORS = {
    GaussianHMM: [
        ({"covariance_type": name}, Gaussian(name, reg_covar=1e-6), NUMBERS)
        for name in ("full", "tied", "diag", "spherical", "VEV")
    ],
    StudentTHMM: [({}, StudentT(reg_covar=1e-6), NUMBERS)],
    GMMHMM: [
        ({"n_mix": 2, "covariance_type": name}, MIXTURES[name], NUMBERS)
        for name in ("full", "tied", "diag")
    ],
    CategoricalHMM: [({}, Categorical(), NAMES)],
    BernoulliHMM: [({}, Bernoulli(), YES_OR_MISSING)],
    PoissonHMM: [({}, Poisson(), COUNTS)],
    GammaHMM: [({}, Gamma(), POSITIVE)],
    MultinomialHMM: [({}, Multinomial(), DRAWS)],
    HMM: [({}, Gaussian(reg_covar=1e-6), NUMBERS)],
}

EXAMPLES = {
    **{
        f"{cls.__name__}-{i}": (cls(**settings), distribution, X)
        for cls, examples in ESTIMATORS.items()
        for i, (settings, distribution, X) in enumerate(examples)
    },
    **{
        f"HMM-{family.__name__}-{i}": (HMM(distribution=distribution), distribution, X)
        for family, examples in FAMILIES.items()
        for i, (distribution, X) in enumerate(examples)
    },
}
EVERY_FAMILY = pytest.mark.parametrize("name", EXAMPLES)


@pytest.mark.parametrize("family", REGISTRY, ids=lambda family: family.__name__)
def test_every_registered_family_has_example_data(family):
    assert FAMILIES.get(family), f"add {family.__name__} to FAMILIES: a distribution and rows"


@pytest.mark.parametrize("name", emlearn.hmm.__all__)
def test_every_hidden_markov_model_has_example_data(name):
    cls = getattr(emlearn.hmm, name)
    if inspect.isclass(cls) and issubclass(cls, BaseEstimator):
        assert ESTIMATORS.get(cls), f"add {name} to ESTIMATORS"


# ------------------------------------------------------------------- oracle


class Paths:
    """What all K**n paths of a sequence say: the oracle."""

    def __init__(self, startprob, transmat, table):
        n, K = table.shape
        with np.errstate(divide="ignore"):
            start, step = np.log(startprob), np.log(transmat)
        self.paths = np.indices((K,) * n).reshape(n, -1)
        self.log_p = start[self.paths[0]] + table[0, self.paths[0]]
        for t in range(1, n):
            here = self.paths[t]
            self.log_p = self.log_p + step[self.paths[t - 1], here] + table[t, here]
        self.total = logsumexp(self.log_p)
        self.p = np.exp(self.log_p - self.total)
        self.K = K

    @property
    def posterior(self):
        return np.stack([(self.p * (self.paths == k)).sum(axis=1) for k in range(self.K)], axis=1)

    @property
    def transitions(self):
        before, after = self.paths[:-1], self.paths[1:]
        return np.array(
            [
                [(self.p * ((before == i) & (after == j))).sum() for j in range(self.K)]
                for i in range(self.K)
            ]
        )

    def value(self, path):
        """Joint log-probability of one path and the rows."""
        (at,) = np.flatnonzero((self.paths == np.asarray(path)[:, None]).all(axis=0))
        return self.log_p[at]


class Case:
    """A model whose states were estimated from rows and random responsibilities, and its density by the family."""

    def __init__(self, name, K, seed):
        estimator, distribution, X = EXAMPLES[name]
        self.X, self.K = X, K
        self.responsibilities = np.random.RandomState(seed).dirichlet(np.ones(K), size=60)
        self.fitted = clone(estimator).set_params(
            n_components=K, init_params=self.responsibilities, max_iter=0, random_state=0
        )
        self.fitted.fit(X)
        self.encoded, learned = distribution.encode(X, None, str)
        self.family = clone(distribution).resolve(learned).bind(self.encoded, None)
        self.names = [n[:-1] for n in self.fitted.publish(self.fitted.recall())][2:]
        self.given = {name: getattr(self.fitted, f"{name}_") for name in self.names}
        self.parameters = self.family.recall(
            {**self.given, **{name: value for name, value in learned.items()}}
        )

    def model(self, startprob, transmat, **settings):
        """The fitted model with another chain, which people may set by hand."""
        hmm = copy.copy(self.fitted).set_params(**settings)
        hmm.startprob_, hmm.transmat_ = startprob, transmat
        return hmm

    def from_given(self, startprob, transmat, **settings):
        """The unfitted model whose fit begins with these parameters."""
        start = {"startprob": startprob, "transmat": transmat, **self.given}
        return clone(self.fitted).set_params(init_params=start, **settings)

    def rows(self, which):
        """Some rows, as the user gives them."""
        which = np.asarray(which)
        return self.X.iloc[which] if hasattr(self.X, "iloc") else self.X[which]

    def table(self, which):
        features = self.family.features(self.encoded[np.asarray(which)])
        return np.asarray(self.family.log_density(self.parameters, features)[0])


@cache
def case(name, K, seed):
    return Case(name, K, seed)


WEIGHTS = st.sampled_from([0.0, 0.0, 1e-3, 0.2, 1.0, 3.0])


@st.composite
def probabilities(draw, K):
    """K probabilities, hard zeros among them."""
    weights = draw(st.lists(WEIGHTS, min_size=K, max_size=K).filter(any))
    return np.array(weights) / sum(weights)


@st.composite
def chains(draw, K=None):
    """Start and transition probabilities."""
    K = draw(st.integers(1, 3)) if K is None else K
    return draw(probabilities(K)), np.array([draw(probabilities(K)) for _ in range(K)])


def sequences(most=6):
    """Row numbers of one to three sequences."""
    one = st.lists(st.integers(0, 59), min_size=1, max_size=most)
    return st.lists(one, min_size=1, max_size=3)


SEEDS = st.integers(0, 2)


def examples(n):
    return settings(max_examples=n, deadline=None, derandomize=True, database=None)


def close(actual, expected, tolerance=1e-10):
    """Equal, whatever arrays are made of, relative to the largest entry of each."""
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for name in expected:
            close(actual[name], expected[name], tolerance)
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected)
        for a, b in zip(actual, expected, strict=True):
            close(a, b, tolerance)
    else:
        expected = np.asarray(expected)
        scale = max(1.0, np.abs(expected).max(initial=0.0)) if expected.dtype.kind == "f" else 1.0
        np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


def same(actual, expected):
    """Bitwise equal, whatever arrays are made of."""
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for name in expected:
            same(actual[name], expected[name])
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected)
        for a, b in zip(actual, expected, strict=True):
            same(a, b)
    elif isinstance(expected, BaseEstimator):
        assert repr(actual) == repr(expected)
    else:
        np.testing.assert_array_equal(actual, expected)


# ---------------------------------------------------------------- inference


@EVERY_FAMILY
@given(chain=chains(), seed=SEEDS, which=sequences())
@examples(12)
def test_likelihood_and_posterior(name, chain, seed, which):
    model = case(name, len(chain[0]), seed)
    hmm, X = model.model(*chain), model.rows(np.concatenate(which))
    lengths = [len(w) for w in which]
    tables = [model.table(w) for w in which]
    oracles = [Paths(*chain, table) for table in tables]
    total = sum(oracle.total for oracle in oracles)
    close(hmm.score(X, lengths=lengths) * len(np.concatenate(which)), total)
    posterior = np.concatenate([oracle.posterior for oracle in oracles])
    close(hmm.predict_proba(X, lengths=lengths), posterior)
    # row by row: given the past
    prefixes = [[Paths(*chain, table[: t + 1]) for t in range(len(table))] for table in tables]
    rows = [np.diff([0.0] + [p.total for p in of_one]) for of_one in prefixes]
    close(hmm.score_samples(X, lengths=lengths), np.concatenate(rows))
    filtered = np.array([p.posterior[-1] for of_one in prefixes for p in of_one])
    close(hmm.filter_proba(X, lengths=lengths), filtered)
    for method, expected in (("smooth", posterior), ("filter", filtered)):
        found = hmm.predict(X, method=method, lengths=lengths)
        picked = expected[np.arange(len(found)), found]
        close(picked, expected.max(axis=1))


@EVERY_FAMILY
@given(chain=chains(), seed=SEEDS, which=sequences())
@examples(10)
def test_most_probable_path(name, chain, seed, which):
    model = case(name, len(chain[0]), seed)
    hmm, X = model.model(*chain), model.rows(np.concatenate(which))
    lengths = [len(w) for w in which]
    value, states = hmm.decode(X, lengths=lengths)
    same(hmm.predict(X, lengths=lengths), states)
    oracles = [Paths(*chain, model.table(w)) for w in which]
    close(value, sum(oracle.log_p.max() for oracle in oracles))
    for oracle, path in zip(oracles, np.split(states, np.cumsum(lengths)[:-1]), strict=True):
        close(oracle.value(path), oracle.log_p.max())
        best = np.flatnonzero(oracle.log_p > oracle.log_p.max() - 1e-9)
        if len(best) == 1:
            same(path, oracle.paths[:, best[0]])


@EVERY_FAMILY
@given(chain=chains(), seed=SEEDS, which=sequences(4), seen=st.integers(0, 59))
@examples(10)
def test_forecast(name, chain, seed, which, seen):
    K = len(chain[0])
    model = case(name, K, seed)
    hmm, X = model.model(*chain), model.rows(np.concatenate(which))
    forecast = hmm.forecast(X, steps=2, lengths=[len(w) for w in which])
    assert forecast.state_proba.shape == (len(which), 2, K)
    later = model.table([seen])
    for s, w in enumerate(which):
        table = model.table(w)
        past = Paths(*chain, table).total
        for step in (1, 2):
            unseen = np.zeros((step - 1, K))
            states = Paths(*chain, np.concatenate([table, unseen, np.zeros((1, K))])).posterior[-1]
            close(forecast.state_proba[s, step - 1], states)
            with_row = Paths(*chain, np.concatenate([table, unseen, later])).total
            distribution = forecast.distribution(step, s)
            close(distribution.score_samples(model.rows([seen])), [with_row - past])
            same(distribution.weights_, forecast.state_proba[s, step - 1])
    same(
        forecast.distribution(2).score_samples(X), forecast.distribution(2, -1).score_samples(X)
    )  # the last sequence unless told


@EVERY_FAMILY
@given(chain=chains(), seed=SEEDS, which=sequences())
@examples(6)
def test_rows_that_come_one_by_one(name, chain, seed, which):
    model = case(name, len(chain[0]), seed)
    hmm = model.model(*chain)
    for w in which:
        filtered, rows = (method(model.rows(w)) for method in (hmm.filter_proba, hmm.score_samples))
        proba, plain = None, isinstance(model.X, np.ndarray)
        for t, i in enumerate(w):
            if plain:
                proba, value = hmm.step(model.X[i], proba)
                assert proba.shape == (model.K,) and isinstance(value, float)
            else:  # a frame or a sparse matrix is a table, of one stream
                proba, value = hmm.step(model.rows([i]), proba)
                assert proba.shape == (1, model.K) and value.shape == (1,)
            close(proba, filtered[t] if plain else filtered[[t]])
            close(value, rows[t] if plain else rows[[t]])


@EVERY_FAMILY
def test_streams_side_by_side(name):
    model = case(name, 2, 0)
    hmm = model.model(np.array([0.0, 1.0]), np.array([[0.5, 0.5], [0.1, 0.9]]))
    which = np.arange(60).reshape(4, 15)
    X = model.rows(which.ravel())
    filtered, rows = hmm.filter_proba(X, lengths=[15] * 4), hmm.score_samples(X, lengths=[15] * 4)
    proba = None
    for t in range(15):
        proba, value = hmm.step(model.rows(which[:, t]), proba)
        close(proba, filtered[t::15])
        close(value, rows[t::15])


# ----------------------------------------------------------------- the chain


@given(
    chain=chains(),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    seed=st.integers(0, 10_000),
    weighted=st.booleans(),
)
@examples(150)
def test_statistics_of_a_chain(chain, lengths, seed, weighted):
    rng, K = np.random.RandomState(seed), len(chain[0])
    table = 5.0 * rng.standard_normal((sum(lengths), K)) + 100.0 * rng.standard_normal()
    table[rng.uniform(size=table.shape) < 0.1] = -np.inf
    ends = np.cumsum(lengths)
    parts = np.split(table, ends[:-1])
    oracles = [Paths(*chain, part) for part in parts]
    assume(all(np.isfinite(oracle.total) for oracle in oracles))
    weights = rng.choice([0.0, 0.5, 1.0, 2.0], size=len(lengths)) if weighted else None
    w = np.ones(len(lengths)) if weights is None else weights
    parameters, model = ChainParameters(*chain), Chain()
    before = table.copy()
    posterior, statistics, rows = model.posterior(
        parameters, table, None if weights is None else np.repeat(w, lengths), ends
    )
    same(table, before)
    close(
        posterior,
        np.concatenate([v * oracle.posterior for v, oracle in zip(w, oracles, strict=True)]),
    )
    close(
        statistics["transitions"], sum(v * o.transitions for v, o in zip(w, oracles, strict=True))
    )
    close(statistics["start"], sum(v * o.posterior[0] for v, o in zip(w, oracles, strict=True)))
    close(np.add.reduceat(rows, np.r_[0, ends[:-1]]), [o.total for o in oracles])
    # where a transition or a beginning has no probability, nothing is expected of it
    assert np.all(statistics["transitions"][chain[1] == 0] == 0)
    assert np.all(statistics["start"][chain[0] == 0] == 0)
    # the library's own oracle
    for part, oracle in zip(parts, oracles, strict=True):
        paths = model.enumerate(parameters, part)
        close(paths.posterior, oracle.posterior)
        close(paths.transitions, oracle.transitions)
        close([paths.total, paths.best_value], [oracle.total, oracle.log_p.max()])
        close(oracle.value(paths.best), oracle.log_p.max())


@given(seed=st.integers(0, 10_000), n=st.integers(1, 8))
@examples(60)
def test_of_paths_that_are_equally_probable_the_one_of_the_lowest_states_is_taken(seed, n):
    # each state twice: whatever a path gains in one copy, it gains in the other, to the last bit
    rng, twice = np.random.RandomState(seed), np.repeat([0, 1], 2)
    startprob = rng.dirichlet(np.ones(2))[twice] / 2
    transmat = rng.dirichlet(np.ones(2), size=2)[np.ix_(twice, twice)] / 2
    path, _ = Chain().decode(
        ChainParameters(startprob, transmat), rng.standard_normal((n, 2))[:, twice]
    )
    assert set(path) <= {0, 2}


def test_a_model_without_a_preference_stays_in_the_first_state():
    hmm = PoissonHMM.from_parameters([1 / 3] * 3, np.full((3, 3), 1 / 3), rates=[[2.0]] * 3)
    same(hmm.predict([[1], [5], [2], [0]]), [0, 0, 0, 0])


# -------------------------------------------------------------- a step of EM


def cut(rng, n, most):
    """Lengths from 1 to ``most`` that sum to n."""
    lengths = []
    while sum(lengths) < n:
        lengths.append(min(rng.randint(1, most + 1), n - sum(lengths)))
    return lengths


@EVERY_FAMILY
@given(data=st.data(), K=st.integers(1, 3), seed=SEEDS)
@examples(5)
def test_one_step_of_em(name, data, K, seed):
    model = case(name, K, seed)
    startprob, transmat = chain = data.draw(chains(K))
    rng = np.random.RandomState(data.draw(st.integers(0, 100)))
    order, lengths = rng.permutation(60), cut(rng, 60, 4)
    parts = np.split(order, np.cumsum(lengths)[:-1])
    oracles = [Paths(*chain, model.table(part)) for part in parts]
    first = sum(oracle.posterior[0] for oracle in oracles) / len(parts)
    moves = sum(oracle.transitions for oracle in oracles)
    visited = moves.sum(axis=1, keepdims=True) > 0
    shares = np.divide(moves, moves.sum(axis=1, keepdims=True), out=transmat.copy(), where=visited)
    posterior = np.concatenate([oracle.posterior for oracle in oracles])
    features = model.family.features(model.encoded[order])
    memo = model.family.log_density(model.parameters, features)[1]
    statistics = model.family.statistics(model.parameters, features, posterior, memo)
    states = model.family.publish(model.family.m_step(statistics, model.parameters))
    X = model.rows(order)
    begun = model.from_given(*chain, max_iter=1)
    continued = model.model(*chain, max_iter=1, warm_start=True)
    for hmm in (begun, continued):
        hmm.fit(X, lengths=lengths)
        close(hmm.startprob_, first)
        close(hmm.transmat_, shares)
        found = {name: getattr(hmm, f"{name}_") for name in model.names}
        close(found, {name: states[name] for name in model.names})
        close(hmm.lower_bound_, hmm.score(X, lengths=lengths))
        assert hmm.n_iter_ == 1 and hmm.n_sequences_ == len(lengths)


@pytest.mark.parametrize("seed", range(5))
def test_one_step_of_em_by_hand(seed):
    rng = np.random.RandomState(seed)
    chain = rng.dirichlet(np.ones(2)), rng.dirichlet(np.ones(2), size=2)
    lengths = cut(rng, 60, 6)

    def posterior(X, log_density):
        tables = np.split(log_density(X), np.cumsum(lengths)[:-1])
        return np.concatenate([Paths(*chain, table).posterior for table in tables])

    order = rng.permutation(60)
    given = {"startprob": chain[0], "transmat": chain[1]}

    rates = np.array([[2.0, 3.0], [4.0, 4.0]])
    X = COUNTS[order]
    p = posterior(X, lambda X: X @ np.log(rates).T - rates.sum(axis=1))
    hmm = PoissonHMM(2, init_params={**given, "rates": rates}, max_iter=1)
    hmm.fit(X, lengths=lengths)
    close(hmm.rates_, p.T @ X / p.sum(axis=0)[:, None])

    tables = rng.dirichlet(np.ones(3), size=(2, 2))  # column, state, category
    X = NAMES[order]
    codes = np.searchsorted(list("abc"), X)
    p = posterior(codes, lambda c: sum(np.log(tables[j])[:, c[:, j]].T for j in range(2)))
    hmm = CategoricalHMM(2, init_params={**given, "probabilities": list(tables)}, max_iter=1)
    hmm.fit(X, lengths=lengths)
    for j in range(2):
        close(hmm.probabilities_[j], p.T @ np.eye(3)[codes[:, j]] / p.sum(axis=0)[:, None])

    means, variances = CENTRES[:2], np.array([[1.0, 2.0], [3.0, 1.5]])

    def diagonal(X):
        z = (X[:, None, :] - means) ** 2 / variances
        return -0.5 * (z + np.log(2 * np.pi * variances)).sum(axis=2)

    X = NUMBERS[order]
    p = posterior(X, diagonal)
    start = {**given, "means": means, "covariances": variances}
    hmm = GaussianHMM(2, "diag", init_params=start, max_iter=1, reg_covar=0)
    hmm.fit(X, lengths=lengths)
    new = p.T @ X / p.sum(axis=0)[:, None]
    close(hmm.means_, new)
    spread = np.einsum("nk,nkd->kd", p, (X[:, None, :] - new) ** 2) / p.sum(axis=0)[:, None]
    close(hmm.covariances_, spread)


# ---------------------------------------------------------------- sequences


def attributes(hmm):
    """What a fit publishes."""
    return {
        name: value
        for name, value in vars(hmm).items()
        if name.endswith("_") and not name.startswith("_") and name != "feature_names_in_"
    }


@EVERY_FAMILY
@pytest.mark.parametrize("seed", range(2))
def test_a_sequence_of_weight_two_is_there_twice_and_one_of_weight_zero_is_left_out(name, seed):
    model, rng = case(name, 2, seed), np.random.RandomState(seed)
    parts = np.split(rng.permutation(60), [20, 25, 48])
    weights = np.array([1.0, 2.0, 0.0, 1.5])
    chain = np.array([0.3, 0.7]), np.array([[0.6, 0.4], [0.0, 1.0]])
    X, lengths = model.rows(np.concatenate(parts)), [len(p) for p in parts]
    per_row = np.repeat(weights, lengths)
    weighted = model.from_given(*chain, max_iter=3).fit(X, sample_weight=weights, lengths=lengths)
    by_row = model.from_given(*chain, max_iter=3).fit(X, sample_weight=per_row, lengths=lengths)
    same(attributes(by_row), attributes(weighted))

    repeated = [parts[0], parts[0], parts[1], parts[1], parts[1], parts[1], *[parts[3]] * 3]
    Y, lengths_of_repeated = model.rows(np.concatenate(repeated)), [len(p) for p in repeated]
    twice = model.from_given(*chain, max_iter=3).fit(Y, lengths=lengths_of_repeated)
    for attribute in ("startprob", "transmat", *model.names, "lower_bounds"):
        found, expected = (getattr(m, f"{attribute}_") for m in (weighted, twice))
        close(found, expected, 1e-9)
    expected = twice.score(Y, lengths=lengths_of_repeated)
    for w in (weights, per_row):
        close(weighted.score(X, sample_weight=w, lengths=lengths), expected, 1e-9)
    # weights of 2 and 4, which are whole numbers of repetitions
    doubled = {"sample_weight": 2 * weights, "lengths": lengths}
    for criterion in ("bic", "aic"):
        value = getattr(twice, criterion)(Y, lengths=lengths_of_repeated)
        close(getattr(weighted, criterion)(X, **doubled), value, 1e-9)


@EVERY_FAMILY
def test_three_ways_of_giving_sequences_are_one(name):
    model, rng = case(name, 3, 0), np.random.RandomState(0)
    order, lengths = rng.permutation(60), [20, 1, 25, 14]
    X, parts = model.rows(order), [model.rows(p) for p in np.split(order, np.cumsum(lengths)[:-1])]
    ids = np.repeat(["d", "b", "a", "c"], lengths)
    ways = [
        (X, {"lengths": lengths}),
        (X, {"lengths": np.array(lengths, dtype=float)}),
        (X, {"groups": ids}),
        (X, {"groups": list(np.repeat([7, 3, 9, 8], lengths))}),
        (X, {"groups": pd.Series(ids)}),
        (parts, {}),
        (tuple(parts), {}),
    ]
    fits = [
        clone(model.fitted).set_params(max_iter=3, init_params="random_from_data", random_state=0)
        for _ in ways
    ]
    weights = [1.0, 2.0, 1.0, 0.5]
    for hmm, (data, arguments) in zip(fits, ways, strict=True):
        hmm.fit(data, sample_weight=weights, **arguments)
        assert hmm.n_sequences_ == 4
        same(attributes(hmm), attributes(fits[0]))
    hmm = fits[0]
    for method in "predict predict_proba filter_proba score_samples score decode bic aic".split():
        found = [getattr(hmm, method)(data, **arguments) for data, arguments in ways]
        for other in found[1:]:
            same(other, found[0])
    found = [hmm.forecast(data, 3, **arguments).state_proba for data, arguments in ways]
    for other in found[1:]:
        same(other, found[0])


@EVERY_FAMILY
def test_without_groups_and_lengths_there_is_one_sequence(name):
    model = case(name, 2, 0)
    X = model.rows(np.arange(60))
    alone = clone(model.fitted).set_params(max_iter=2, random_state=0).fit(X)
    told = clone(model.fitted).set_params(max_iter=2, random_state=0).fit(X, lengths=[60])
    assert alone.n_sequences_ == 1
    same(attributes(alone), attributes(told))
    same(alone.score_samples(X), told.score_samples(X, groups=["only"] * 60))


@EVERY_FAMILY
def test_sequences_know_nothing_of_each_other(name):
    model = case(name, 3, 1)
    chain = np.array([0.2, 0.5, 0.3]), np.array([[0.5, 0.5, 0.0], [0.0, 0.1, 0.9], [1.0, 0.0, 0.0]])
    hmm, lengths = model.model(*chain), [20, 1, 25, 14]
    parts = np.split(np.arange(60), np.cumsum(lengths)[:-1])
    X = model.rows(np.arange(60))
    for method in ("predict", "predict_proba", "filter_proba", "score_samples"):
        one_by_one = [getattr(hmm, method)(model.rows(p)) for p in parts]
        close(getattr(hmm, method)(X, lengths=lengths), np.concatenate(one_by_one))
