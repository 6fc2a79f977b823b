"""Hard, drawn and tempered posteriors, and labels that are known, against sums over all configurations."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning

from emlearn._composite import Parameters
from emlearn.distributions import Bernoulli, FiniteMixture, Gaussian, Poisson, WithNoise
from emlearn.em import Units, Workers, block_rows
from emlearn.em.posteriors import SOFT, PosteriorMode
from emlearn.hmm._model import HMMModel
from emlearn.latent import Chain, ChainParameters, Labels, _paths
from emlearn.mixture import BayesianGaussianMixture
from emlearn.mixture._model import MixtureModel

HARD, DRAWN = PosteriorMode("hard"), PosteriorMode("stochastic", seed=(0,))
MODES = [SOFT, PosteriorMode(temperature=2.0), PosteriorMode(temperature=0.5), HARD, DRAWN]
EVERY_MODE = pytest.mark.parametrize("mode", MODES, ids=lambda m: f"{m.kind}-{m.temperature:g}")
examples = partial(settings, deadline=None, derandomize=True)

close = partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9)
temperatures = st.sampled_from([0.002, 0.3, 1.0, 2.0, 7.0, 1000.0])


def log(p):
    with np.errstate(divide="ignore"):
        return np.log(p)


def same(a, b):
    """Statistics to the bit."""
    for x, y in zip(a.coordinates(a).values(), b.coordinates(a).values(), strict=True):
        np.testing.assert_array_equal(x, y)


def near(a, b, tolerance=1e-9):
    for x, y in zip(a.coordinates(a).values(), b.coordinates(a).values(), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance * (1 + np.abs(y).max()))


def probabilities(rng, *shape):
    """Some of them 0."""
    p = rng.dirichlet(np.ones(shape[-1]), size=shape[:-1]) * (rng.uniform(size=shape) < 0.8)
    p[..., rng.randint(shape[-1])] += 0.1
    return p / p.sum(axis=-1, keepdims=True)


def some_densities(rng, n, K):
    table = rng.choice([0.5, 5.0]) * rng.standard_normal((n, K)) + 100.0 * rng.standard_normal()
    table[rng.uniform(size=table.shape) < 0.1] = -np.inf
    return table


def some_labels(rng, n, K):
    return np.where(rng.uniform(size=n) < 0.4, rng.randint(K, size=n), -1)


# ------------------------------------------------------------------- oracle


class Oracle:
    """All configurations of a unit that agree with its labels, and their joint log-densities."""

    def __init__(self, table, start, step, labels=None):
        n, K = table.shape
        self.all = np.indices((K,) * n).reshape(n, -1).T
        self.joint = start[self.all[:, 0]] + table[np.arange(n), self.all].sum(axis=1)
        for t in range(1, n):
            self.joint = self.joint + step[self.all[:, t - 1], self.all[:, t]]
        if labels is not None:
            agree = ((labels < 0) | (self.all == labels)).all(axis=1)
            self.joint = np.where(agree, self.joint, -np.inf)
        self.K = K

    @property
    def possible(self):
        return self.joint.max() > -np.inf

    def tempered(self, T):
        """Posterior, transitions and free energy."""
        energy = logsumexp(self.joint / T)
        p = np.exp(self.joint / T - energy)
        posterior = np.stack([(p[:, None] * (self.all == k)).sum(axis=0) for k in range(self.K)], 1)
        moves = np.zeros((self.K, self.K))
        for t in range(1, self.all.shape[1]):
            np.add.at(moves, (self.all[:, t - 1], self.all[:, t]), p)
        return posterior, moves, T * energy

    def value(self, states):
        return self.joint[(self.all == states).all(axis=1)][0]


def labels_oracle(weights, row, label):
    start = log(weights)
    return Oracle(row[None], start, np.zeros((len(start),) * 2), np.array([label]))


# -------------------------------------------------------------------- labels


@given(n=st.integers(1, 12), K=st.integers(1, 5), seed=st.integers(0, 10_000), T=temperatures)
@examples(max_examples=150)
def test_modes_of_labels(n, K, seed, T):
    rng = np.random.RandomState(seed)
    table, weights = some_densities(rng, n, K), probabilities(rng, K)
    labels = some_labels(rng, n, K)
    given_weight = rng.choice([0.0, 0.5, 1.0, 3.0], size=n) if seed % 2 else None
    w = np.ones(n) if given_weight is None else given_weight
    oracles = [labels_oracle(weights, *row) for row in zip(table, labels, strict=True)]
    possible = np.array([oracle.possible for oracle in oracles])
    before = table.copy()
    for kind in ("soft", "hard", "stochastic"):
        mode = PosteriorMode(kind, T, (seed,))
        posterior, statistics, rows = Labels().posterior(
            weights, table, given_weight, mode=mode, labels=labels
        )
        np.testing.assert_array_equal(table, before)
        close(posterior.sum(axis=1), w)
        close(statistics["counts"], posterior.sum(axis=0))
        assert np.all(rows[~possible] == -np.inf)
        known = labels >= 0
        np.testing.assert_array_equal(posterior[known], w[known, None] * np.eye(K)[labels[known]])
        for i in np.flatnonzero(possible):
            if kind == "hard":
                close(rows[i], oracles[i].joint.max())
                if w[i] > 0:  # the lowest where several are as good
                    assert posterior[i].argmax() == oracles[i].joint.argmax()
                continue
            expected, _, energy = oracles[i].tempered(T)
            close(rows[i], energy)
            if kind == "soft":
                close(posterior[i], w[i] * expected[0])
            else:
                assert w[i] == 0 or oracles[i].value(posterior[i].argmax()) > -np.inf
        if kind != "soft":
            assert np.all((posterior == 0) | (posterior == w[:, None]))


def test_a_row_without_component_is_hard_or_drawn_somewhere():
    table = np.array([[-np.inf, -np.inf], [np.nan, 0.0]] * 500)
    weights = np.array([0.5, 0.5])
    for mode in (HARD, DRAWN):
        posterior, statistics, rows = Labels().posterior(weights, table, mode=mode)
        assert np.all(np.sort(posterior, axis=1) == [0.0, 1.0])
        assert np.all(rows == -np.inf)
        assert statistics["counts"].sum() == 1000
    # shared evenly: drawn evenly
    assert abs(statistics["counts"][0] - 500) < 5.5 * math.sqrt(250)


@pytest.mark.parametrize("latent", ["labels", "chain"])
def test_labels_that_cannot_be_are_refused(latent):
    table = np.zeros((3, 2))
    if latent == "labels":
        call = partial(Labels().posterior, np.array([0.5, 0.5]), table)
    else:
        parameters = ChainParameters(np.array([0.5, 0.5]), np.full((2, 2), 0.5))
        call = partial(Chain().posterior, parameters, table)
    with pytest.raises(ValueError, match="from 0 to 1, or -1 where unknown, got -1 to 2"):
        call(labels=np.array([0, -1, 2]))
    with pytest.raises(ValueError, match="got -3 to 0"):
        call(labels=np.array([0, -3, 0]))
    with pytest.raises(ValueError, match="an integer for each of 3 rows"):
        call(labels=np.array([0, 1]))
    with pytest.raises(ValueError, match="an integer for each of 3 rows"):
        call(labels=np.array([0.0, 1.0, np.nan]))


def test_modes_that_there_are_not_are_refused():
    with pytest.raises(ValueError, match="'hard', 'stochastic'"):
        PosteriorMode("viterbi")
    for temperature in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="above 0"):
            PosteriorMode("soft", temperature)


# --------------------------------------------------------------------- chains


@given(
    K=st.integers(1, 4),
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    seed=st.integers(0, 10_000),
    T=temperatures,
)
@examples(max_examples=120)
def test_modes_of_chains(K, lengths, seed, T):
    rng = np.random.RandomState(seed)
    table, ends = some_densities(rng, sum(lengths), K), np.cumsum(lengths)
    parameters = ChainParameters(probabilities(rng, K), probabilities(rng, K, K))
    labels = some_labels(rng, len(table), K) if seed % 3 else None
    v = rng.choice([0.5, 1.0, 3.0], size=len(lengths))
    w = np.repeat(v, lengths)
    units = [slice(end - n, end) for n, end in zip(lengths, ends, strict=True)]
    chain = log(parameters.startprob), log(parameters.transmat)
    oracles = [
        Oracle(table[unit], *chain, None if labels is None else labels[unit]) for unit in units
    ]
    before = table.copy()
    for kind in ("soft", "hard", "stochastic"):
        mode = PosteriorMode(kind, T, (seed,))
        posterior, statistics, rows = Chain().posterior(
            parameters, table, w, ends, mode=mode, labels=labels
        )
        np.testing.assert_array_equal(table, before)
        close(posterior.sum(axis=1), w)
        assert np.all(statistics["transitions"][parameters.transmat == 0] == 0)
        if not mode.plain or labels is not None or all(oracle.possible for oracle in oracles):
            assert np.all(statistics["start"][parameters.startprob == 0] == 0)
        moves, start = np.zeros((K, K)), np.zeros(K)
        for unit, oracle, weight in zip(units, oracles, v, strict=True):
            if not oracle.possible:
                assert rows[unit].sum() == -np.inf
                continue
            expected, pairs, energy = oracle.tempered(T)
            states = posterior[unit].argmax(axis=1)
            if kind == "hard":
                close(rows[unit].sum(), oracle.joint.max())
                close(oracle.value(states), oracle.joint.max())
            else:
                close(rows[unit].sum(), energy)
            if kind == "stochastic":
                assert oracle.value(states) > -np.inf
            if kind != "soft":
                expected, pairs = np.eye(K)[states], np.zeros((K, K))
                np.add.at(pairs, (states[:-1], states[1:]), 1.0)
            close(posterior[unit], weight * expected)
            moves, start = moves + weight * pairs, start + weight * expected[0]
        if all(oracle.possible for oracle in oracles):
            close(statistics["transitions"], moves)
            close(statistics["start"], start)
        if labels is not None:
            known = labels >= 0
            np.testing.assert_array_equal(
                posterior[known], w[known, None] * np.eye(K)[labels[known]]
            )


@given(K=st.integers(2, 6), seed=st.integers(0, 10_000))
@examples(max_examples=25)
def test_draws_do_not_depend_on_how_they_are_made(K, seed):
    """From tables of any size, row after row, in logarithms: the same numbers draw the same path."""
    rng = np.random.RandomState(seed)
    ends = np.cumsum(rng.randint(1, 40, size=5))
    table = 2.0 * rng.standard_normal((ends[-1], K))
    parameters = ChainParameters(probabilities(rng, K), probabilities(rng, K, K))
    call = partial(Chain().posterior, parameters, table, None, ends, mode=DRAWN)
    expected = call()
    for name, value in (("_TABLE", 7 * (K + 8)), ("_FEW", 1), ("_SURE", 2.0)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_paths, name, value)
            found = call()
        np.testing.assert_array_equal(found[0], expected[0])
        same(found[1], expected[1])
        close(found[2], expected[2])


@pytest.mark.parametrize("K", [3, 60])
def test_draws_from_a_long_sequence_have_its_posterior(K):
    rng = np.random.RandomState(0)
    transmat = 0.5 * np.eye(K) + 0.5 * rng.dirichlet(np.ones(K), size=K)
    parameters = ChainParameters(np.full(K, 1 / K), transmat)
    table = rng.standard_normal((2000, K))
    expected = Chain().posterior(parameters, table)
    drawn = [
        Chain().posterior(parameters, table, mode=DRAWN.drawn(i)) for i in range(20 if K < 9 else 8)
    ]
    close(drawn[0][2], expected[2])
    # numbers of transitions: the spread is that among the draws
    for name in ("transitions", "start"):
        counts = np.array([statistics[name] for _, statistics, _ in drawn])
        several = expected[1][name] > 20
        spread = counts.std(axis=0, ddof=1)[several] / math.sqrt(len(drawn))
        z = (counts.mean(axis=0) - expected[1][name])[several] / np.maximum(spread, 0.5)
        assert np.abs(z).max(initial=0.0) < 6.5
    # a draw of each row where the posterior says something
    p = expected[0]
    found = np.mean([posterior for posterior, *_ in drawn], axis=0)
    z = (found - p) / np.sqrt(np.maximum(p * (1 - p), 1e-4) / len(drawn))
    assert abs(z.mean()) < 0.05 and 0.5 < z[p > 0.05].std() < 1.5


def test_draws_where_the_filter_sees_nothing():
    """What decides comes later, and is the logarithm of something that no number can hold."""
    # no way back: the second row looks like the second state, and cannot be there
    parameters = ChainParameters(
        np.array([1.0, 0.0, 0.0]), np.array([[0.8, 0.1, 0.1], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    )
    table = np.array([[0.0, -5e3, -5e3], [-2e3, 0.0, -1e3], [0.0, -3e3, -3e3], [-9.0, -9.0, 0.0]])
    _, _, soft = Chain().posterior(parameters, table)
    for seed in range(20):
        mode = PosteriorMode("stochastic", seed=(seed,))
        posterior, statistics, rows = Chain().posterior(parameters, table, mode=mode)
        assert posterior.argmax(axis=1).tolist() == [0, 0, 0, 2]
        assert statistics["transitions"].sum() == 3
        close(rows.sum(), soft.sum())


def test_powers_that_no_number_can_hold():
    """Where it is very cold, what is possible stays so."""
    parameters = ChainParameters(np.array([1.0, 0.0]), np.array([[1.0 - 1e-9, 1e-9], [0.0, 1.0]]))
    table = np.array([[0.0, -1.0], [-np.inf, -2.0]])
    for kind in ("soft", "stochastic"):
        posterior, statistics, rows = Chain().posterior(
            parameters, table, mode=PosteriorMode(kind, 1e-3), labels=np.array([-1, 1])
        )
        close(posterior, np.eye(2))
        close(statistics["transitions"], [[0.0, 1.0], [0.0, 0.0]])
        close(rows.sum(), math.log(1e-9) - 2.0)


# --------------------------------------------------------------------- models

RNG = np.random.RandomState(0)
Z = np.repeat([0, 1, 2], 40)[RNG.permutation(120)]
RUNS = np.repeat(RNG.randint(3, size=24), 5)
NUMBERS = 1.5 * np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 2.0]])[Z] + RNG.standard_normal((120, 2))
SERIES = 1.5 * np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 2.0]])[RUNS] + RNG.standard_normal((120, 2))
COUNTS = RNG.poisson(np.array([[1.0, 8.0], [4.0, 4.0], [8.0, 2.0]])[Z]).astype(float)
YES = (RNG.uniform(size=(120, 4)) < np.array([0.2, 0.5, 0.8])[RUNS][:, None]).astype(float)
ENDS = np.array([40, 41, 80, 120])


def mixture_of(distribution, X):
    return MixtureModel(Labels(), distribution.bind(X, None)), X, None


def hmm_of(distribution, X, ends=ENDS):
    model = HMMModel(Chain(), distribution.bind(X, None))
    model.cost = lambda size: 50.0
    return model, Units(X, ends), ends


MODELS = {
    "gaussian-mixture": lambda: mixture_of(Gaussian(), NUMBERS),
    "tied-mixture": lambda: mixture_of(Gaussian("tied"), NUMBERS),
    "poisson-mixture": lambda: mixture_of(Poisson(), COUNTS),
    "noise": lambda: mixture_of(WithNoise(Gaussian("diag")), NUMBERS),
    "gaussian-hmm": lambda: hmm_of(Gaussian(), SERIES),
    "bernoulli-hmm": lambda: hmm_of(Bernoulli(), YES),
    "gmm-hmm": lambda: hmm_of(FiniteMixture(Poisson(), 2), COUNTS),
}
EVERY_MODEL = pytest.mark.parametrize("name", MODELS)


def first_parameters(model, X, ends, seed=0):
    """Where a run may begin: from shares of the rows, half of them random."""
    rng, distribution = np.random.RandomState(seed), model.distribution
    rows = X if ends is None else X.rows
    parts = distribution.start_parts
    shares = rng.dirichlet(np.ones(3 * parts), size=len(rows))
    if len(rows) == len(Z):
        shares += np.repeat(np.eye(3), parts, axis=1)[Z if ends is None else RUNS] / parts
    shares /= shares.sum(axis=1, keepdims=True)
    noise = isinstance(distribution, WithNoise)
    padded = np.column_stack([shares, np.zeros(len(rows))]) if noise else shares
    statistics = distribution.statistics(None, distribution.features(rows), padded)
    components = distribution.m_step(statistics, None)
    if ends is None:
        return Parameters(np.full(3 + noise, 1 / (3 + noise)), components)
    return Parameters(ChainParameters(np.full(3, 1 / 3), np.full((3, 3), 1 / 3)), components)


def fitted(name, seed=0, n_iter=2):
    """A model, what it prepared, and parameters near a start."""
    model, X, ends = MODELS[name]()
    parameters, prepared = first_parameters(model, X, ends, seed), model.prepare(X)
    for _ in range(n_iter):
        parameters = model.m_step(model.e_step(parameters, prepared, None)[0], parameters)
    return model, X, prepared, parameters


@EVERY_MODEL
@pytest.mark.parametrize("T", [None, 0.5, 3.0])
def test_the_objective_never_falls(name, T):
    """Hard (None): the joint log-likelihood of rows and labels; tempered: the free energy."""
    mode = HARD if T is None else PosteriorMode(temperature=T)
    for seed in range(3):
        model, _, prepared, parameters = fitted(name, seed)
        statistics, value = model.e_step(parameters, prepared, None, mode=mode)
        first = value
        for _ in range(12):
            new = model.m_step(statistics, parameters)
            allowed = min(model.ascent(parameters, new, statistics), 0.0)
            again, higher = model.e_step(new, prepared, None, mode=mode)
            assert higher >= value + allowed - 1e-9 * abs(value)
            parameters, statistics, value = new, again, higher
        assert value > first


@EVERY_MODEL
def test_the_objectives_are_in_order(name):
    """Hard below soft, and the free energy rises with the temperature."""
    model, _, prepared, parameters = fitted(name)
    values = [
        model.e_step(parameters, prepared, None, mode=mode)[1]
        for mode in (HARD, *(PosteriorMode(temperature=T) for T in (1e-3, 0.5, 1.0, 2.0)))
    ]
    assert np.all(np.diff(values) >= -1e-9)
    close(values[1], values[0], rtol=1e-2)  # where it is cold, all is at the best


@EVERY_MODEL
def test_temperature_one_is_the_plain_e_step_to_the_bit(name):
    model, _, prepared, parameters = fitted(name)
    statistics, value = model.e_step(parameters, prepared, None)
    for T in (1, 1.0, np.float64(1)):
        again = model.e_step(parameters, prepared, None, mode=PosteriorMode(temperature=T))
        assert again[1] == value
        same(again[0], statistics)


@EVERY_MODEL
@EVERY_MODE
def test_sample_weights_are_repetitions(name, mode):
    """A row, or a sequence, of weight 2 counts twice; a draw is one for all repetitions."""
    model, X, prepared, parameters = fitted(name)
    if X is getattr(X, "rows", X):
        units = [slice(i, i + 1) for i in range(len(X))]
    else:
        units = [slice(a, b) for a, b in zip(X.begins, X.ends, strict=True)]
    rows = getattr(X, "rows", X)
    lengths = [unit.stop - unit.start for unit in units]
    counts = np.random.RandomState(1).randint(0, 3, size=len(units))
    weighed = model.e_step(
        parameters, prepared, np.repeat(counts.astype(float), lengths), mode=mode
    )
    if mode.kind == "stochastic":  # the same as a soft E-step of the labels that were drawn
        labels = drawn_labels(model, prepared, parameters, mode)
        weight = np.repeat(counts.astype(float), lengths)
        near(weighed[0], model.e_step(parameters, prepared, weight, labels=labels)[0])
        return
    repeated = [unit for unit, count in zip(units, counts, strict=True) for _ in range(count)]
    again = np.concatenate([rows[unit] for unit in repeated])
    if X is not rows:
        again = Units(again, np.cumsum([unit.stop - unit.start for unit in repeated]))
    expected = model.e_step(parameters, model.prepare(again), None, mode=mode)
    near(weighed[0], expected[0])
    close(weighed[1], expected[1])


def drawn_labels(model, prepared, parameters, mode):
    """Of all rows."""
    distribution = model.distribution
    if isinstance(model, HMMModel):
        table = model.log_density(parameters.components, prepared)[0]
        answer = model.latent.posterior(parameters.latent, table, None, prepared.ends, mode=mode)
    else:
        table = distribution.log_density(parameters.components, prepared)[0]
        answer = model.latent.posterior(parameters.latent, table, mode=mode)
    return answer[0].argmax(axis=1)


@EVERY_MODEL
@EVERY_MODE
def test_rows_whose_labels_are_all_known(name, mode):
    """Nothing is hidden: all modes are one, and the value is the joint log-likelihood."""
    model, _, prepared, parameters = fitted(name)
    labels = drawn_labels(model, prepared, parameters, DRAWN)
    statistics, value = model.e_step(parameters, prepared, None, mode=mode, labels=labels)
    expected = model.e_step(parameters, prepared, None, mode=HARD, labels=labels)
    near(statistics, expected[0])
    close(value, expected[1])
    latent = statistics[model.latent.name]
    total = latent["counts" if model.latent.name == "labels" else "start"]
    shown = labels if model.latent.name == "labels" else labels[np.r_[0, ENDS[:-1]]]
    close(total, np.bincount(shown, minlength=len(total)))


@EVERY_MODEL
def test_known_labels_raise_nothing_but_their_own(name):
    """EM with some labels known never falls, hard or soft, and rows stay where they are known to be."""
    for mode in (SOFT, HARD):
        model, _, prepared, parameters = fitted(name)
        labels = drawn_labels(model, prepared, parameters, DRAWN)
        labels[::2] = -1
        last = -np.inf
        for _ in range(8):
            statistics, value = model.e_step(parameters, prepared, None, mode=mode, labels=labels)
            assert value >= last - 1e-9 * abs(value)
            assert value <= model.e_step(parameters, prepared, None, mode=mode)[1] + 1e-9
            last, parameters = value, model.m_step(statistics, parameters)


@EVERY_MODE
@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("ends", [[9000], [4500, 4600, 9000]], ids=["long", "several"])
def test_threads_change_no_bit(mode, pinned, ends):
    """Of one long sequence and of several, each time in the memory of the time before."""
    rng = np.random.RandomState(2)
    X = 2.0 * np.repeat(rng.randint(3, size=900), 10)[:, None] + rng.standard_normal((9000, 1))
    labels = some_labels(rng, 9000, 3) if pinned else None
    model, units, _ = hmm_of(Gaussian(), X, np.array(ends))
    parameters = first_parameters(model, units, ends)
    weight = np.repeat(rng.uniform(1.0, 2.0, size=len(ends)), np.diff([0, *ends]))
    with block_rows(1000):
        answers = []
        for n_threads in (1, 3):
            prepared = model.prepare(units)
            assert len(prepared.blocks) == 9
            with Workers(n_threads) as workers:
                for _ in range(2):
                    answers.append(
                        model.e_step(
                            parameters, prepared, weight, workers, mode=mode, labels=labels
                        )
                    )
    for statistics, value in answers[1:]:
        assert value == answers[0][1]
        same(statistics, answers[0][0])
    # the same as sequence by sequence, in one block
    if mode.kind != "stochastic":
        total = 0.0
        for a, b in zip([0, *ends], ends, strict=False):
            part = model.prepare(Units(X[a:b], np.array([b - a])))
            own = None if labels is None else labels[a:b]
            total += model.e_step(parameters, part, weight[a:b], mode=mode, labels=own)[1]
        close(answers[0][1], total)


def test_a_row_of_noise_may_be_known():
    model, X, prepared, parameters = fitted("noise")
    labels = np.full(len(X), -1)
    labels[:5] = 3
    statistics, _ = model.e_step(parameters, prepared, None, labels=labels)
    rest = model.e_step(parameters, prepared[5:], None)[0]
    close(statistics["labels"]["counts"][3], rest["labels"]["counts"][3] + 5.0)
    near(statistics["components"], rest["components"])


def test_gaussians_of_known_labels_are_those_of_their_rows():
    model, X, prepared, parameters = fitted("gaussian-mixture")
    statistics, value = model.e_step(parameters, prepared, None, labels=Z)
    new = model.m_step(statistics, parameters)
    for k in range(3):
        close(new.components.means[k], X[Z == k].mean(axis=0))
    close(new.weights, np.bincount(Z) / len(Z))
    model, X, prepared, parameters = mixture_and_normal()
    labels = np.arange(len(X)) % 2
    value = model.e_step(parameters, prepared, None, labels=labels)[1]
    expected = norm.logpdf(X[:, 0], [0.0, 1.0][0], 1.0)[labels == 0].sum()
    expected += norm.logpdf(X[:, 0], 1.0, 1.0)[labels == 1].sum()
    close(value, expected + np.log([0.25, 0.75])[labels].sum())


def mixture_and_normal():
    """Two normal distributions, of means 0 and 1 and weights 1/4 and 3/4."""
    model, X, _ = mixture_of(Gaussian(), NUMBERS[:, :1])
    components = model.distribution.recall(
        {"means": np.array([[0.0], [1.0]]), "covariances": np.ones((2, 1, 1))}
    )
    return model, X, model.prepare(X), Parameters(np.array([0.25, 0.75]), components)


# ---------------------------------------------------------------- variational


def variational(covariance_type, X=NUMBERS):
    """A model, its data, and the posterior after one iteration."""
    # reg_covar enters what the rule compares as if rows had it
    estimator = BayesianGaussianMixture(
        n_components=3, covariance_type=covariance_type, reg_covar=0.0, random_state=0, max_iter=1
    )
    with pytest.warns(ConvergenceWarning):
        estimator.fit(X)
    return estimator._fitted_model(), X, estimator.recall()


COVARIANCES = pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])


@COVARIANCES
def test_variational_responsibilities_are_those_of_the_table(kind):
    model, X, parameters = variational(kind)
    weight = np.random.RandomState(1).gamma(1.0, size=len(X))
    weight[::5] = 0.0
    for given_weight in (None, weight):
        expected, value = model.e_step(parameters, X, given_weight)
        nothing = np.full(len(X), -1)
        found = model.e_step(parameters, X, given_weight, labels=nothing)
        near(found[0], expected)
        close(found[1], value)
        again = model.e_step(parameters, X, given_weight, mode=PosteriorMode())
        assert again[1] == value
        same(again[0], expected)


@COVARIANCES
@pytest.mark.parametrize("T", [None, 1.0, 0.5, 3.0])
@pytest.mark.parametrize("pinned", [False, True])
def test_the_variational_bound_never_falls(kind, T, pinned):
    """Nor does what the rule compares: it is between the objectives before and after."""
    mode = HARD if T is None else PosteriorMode(temperature=T)
    model, X, parameters = variational(kind)
    labels = np.where(np.arange(len(X)) % 3 == 0, Z, -1) if pinned else None
    step = partial(model.e_step, X=X, sample_weight=None, mode=mode, labels=labels)
    statistics, value = step(parameters)
    for _ in range(10):
        new = model.m_step(statistics, parameters)
        objective = value + model.log_prior(parameters)
        bound = model.bound(parameters, new, statistics, objective)
        new_statistics, new_value = step(new)
        noise = 1e-9 * abs(objective)
        assert objective - noise <= bound <= new_value + model.log_prior(new) + noise
        parameters, statistics, value = new, new_statistics, new_value


def test_variational_hard_is_the_bound_at_the_best_labels():
    model, X, parameters = variational("full")
    soft, value = model.e_step(parameters, X, None)
    hard, joint = model.e_step(parameters, X, None, mode=HARD)
    labels = np.empty(len(X), dtype=np.int64)
    model.scores(parameters, X, label=labels)
    np.testing.assert_array_equal(hard["labels"]["counts"], np.bincount(labels, minlength=3))
    fixed = model.e_step(parameters, X, None, labels=labels)
    close(fixed[1], joint)
    assert joint < value
    entropy = value - joint  # of the labels, and what is lost by the others being as good
    assert entropy < len(X) * math.log(3)
    near(model.e_step(parameters, X, None, mode=PosteriorMode(temperature=1e-6))[0], hard)
    assert soft["labels"]["counts"].sum() == pytest.approx(len(X))
