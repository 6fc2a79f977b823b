"""Hidden Markov models against hmmlearn, from the same parameters and from the same starts."""

import logging

import numpy as np
import pytest
from hmmlearn import hmm as hmmlearn
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from emlearn.hmm import GMMHMM, CategoricalHMM, GaussianHMM, MultinomialHMM, PoissonHMM

pytestmark = pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)

LENGTHS = [60, 1, 39, 2, 48]
N = sum(LENGTHS)
COVARIANCES = ["full", "diag", "spherical", "tied"]
FAMILIES = [*(f"gaussian-{name}" for name in COVARIANCES), "categorical", "poisson", "multinomial"]
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)
SEEDS = pytest.mark.parametrize("seed", range(2))


@pytest.fixture(autouse=True)
def quiet(caplog):
    """hmmlearn tells that its multinomial model once was another, and hands small products to many threads."""
    caplog.set_level(logging.ERROR, logger="hmmlearn")
    with threadpool_limits(1, "blas"):
        yield


class Pair:
    """Parameters and data, and the model of both libraries with them."""

    def __init__(self, family, seed, K=3):
        self.family, _, self.covariance_type = family.partition("-")
        rng = np.random.RandomState(seed)
        self.K, self.rng = K, rng
        self.chain = {
            "startprob": rng.dirichlet(np.ones(K)),
            "transmat": 0.7 * np.eye(K) + 0.3 * rng.dirichlet(np.ones(K), size=K),
        }
        self.states = getattr(self, self.family)()
        self.ours = self.from_parameters()
        self.X, z = self.ours.sample(lengths=LENGTHS, random_state=seed)
        if self.family == "multinomial":  # whose samples have a single draw in each row
            self.X = np.array([rng.multinomial(6, p) for p in self.states["probabilities"][z]])
        elif self.family != "gaussian":
            self.X = self.X.astype(int)

    # the states' parameters by our names

    def gaussian(self, d=2):
        K, rng = self.K, self.rng
        roots = rng.standard_normal((K, d, d))
        full = roots @ roots.transpose(0, 2, 1) + np.eye(d)
        covariances = {
            "full": full,
            "tied": full[0],
            "diag": np.diagonal(full, axis1=1, axis2=2).copy(),
            "spherical": full[:, 0, 0].copy(),
        }
        means = 2.0 * rng.standard_normal((K, d))
        return {"means": means, "covariances": covariances[self.covariance_type]}

    def categorical(self):
        return {"probabilities": [self.rng.dirichlet(np.ones(5), size=self.K)]}

    def poisson(self):
        return {"rates": self.rng.gamma(2.0, 3.0, size=(self.K, 2))}

    def multinomial(self):
        return {"probabilities": self.rng.dirichlet(np.ones(4), size=self.K)}

    def from_parameters(self):
        cls, own = OURS[self.family]
        return cls.from_parameters(**self.chain, **self.states, **own(self))

    # fits

    def start(self, **settings):
        """Our model whose fit begins a little beside these parameters."""
        cls, own = OURS[self.family]
        return cls(self.K, init_params=self.begin, tol=0, **own(self), **settings)

    @property
    def begin(self):
        """Where fits begin: chain and states that are not those of the sample."""
        chain = {
            "startprob": np.full(self.K, 1 / self.K),
            "transmat": 0.5 * self.chain["transmat"] + 0.5 / self.K,
        }
        return {**chain, **self.states}

    def theirs(self, given=None, **settings):
        """Their model, with parameters."""
        given = {**self.chain, **self.states} if given is None else given
        settings = {"init_params": "", "tol": -1e300, **settings}
        if self.family == "gaussian":
            model = hmmlearn.GaussianHMM(
                self.K,
                self.covariance_type,
                covars_prior=0.0,
                covars_weight=0.0,
                means_weight=0.0,
                min_covar=0.0,
                **settings,
            )
            model.n_features = given["means"].shape[1]
            model.means_ = given["means"]
            model.covars_ = given["covariances"]
        elif self.family == "poisson":
            model = hmmlearn.PoissonHMM(self.K, **settings)
            model.lambdas_ = given["rates"]
        elif self.family == "categorical":
            model = hmmlearn.CategoricalHMM(self.K, **settings)
            model.emissionprob_ = given["probabilities"][0]
        else:
            model = hmmlearn.MultinomialHMM(self.K, n_trials=6, **settings)
            model.emissionprob_ = given["probabilities"]
        model.startprob_, model.transmat_ = given["startprob"], given["transmat"]
        return model

    def assert_same_parameters(self, ours, theirs, rtol):
        names = {
            "gaussian": {"means_": "means_"},
            "poisson": {"rates_": "lambdas_"},
            "categorical": {},
            "multinomial": {"probabilities_": "emissionprob_"},
        }[self.family]
        for name, other in {"startprob_": "startprob_", "transmat_": "transmat_", **names}.items():
            np.testing.assert_allclose(
                getattr(ours, name), getattr(theirs, other), rtol=rtol, atol=1e-12, err_msg=name
            )
        if self.family == "categorical":
            np.testing.assert_allclose(ours.probabilities_[0], theirs.emissionprob_, rtol=rtol)
        if self.family == "gaussian":
            found, expected = ours.covariances_, theirs._covars_
            if self.covariance_type == "spherical":
                expected = expected[:, 0]
            np.testing.assert_allclose(found, expected, rtol=rtol)


OURS = {
    "gaussian": (
        GaussianHMM,
        lambda pair: {"covariance_type": pair.covariance_type, "reg_covar": 0},
    ),
    "categorical": (CategoricalHMM, lambda pair: {"categories": [np.arange(5)]}),
    "poisson": (PoissonHMM, lambda pair: {}),
    "multinomial": (MultinomialHMM, lambda pair: {}),
}


# ------------------------------------------------------------ one model, twice


@EVERY_FAMILY
@SEEDS
@pytest.mark.parametrize("lengths", [LENGTHS, None, [1] * N])
def test_log_likelihoods_posteriors_and_paths(family, seed, lengths):
    pair = Pair(family, seed)
    ours, theirs, X = pair.ours, pair.theirs(), pair.X
    given = {} if lengths is None else {"lengths": lengths}
    value, posterior = theirs.score_samples(X, lengths)
    assert ours.score(X, **given) * N == pytest.approx(value, rel=1e-9)
    assert ours.score_samples(X, **given).sum() == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(ours.predict_proba(X, **given), posterior, rtol=1e-7, atol=1e-10)
    value, path = theirs.decode(X, lengths)
    found, states = ours.decode(X, **given)
    assert found == pytest.approx(value, rel=1e-9)
    np.testing.assert_array_equal(states, path)
    np.testing.assert_array_equal(ours.predict(X, **given), path)
    assert ours.aic(X, **given) == pytest.approx(theirs.aic(X, lengths), rel=1e-9)
    assert ours.bic(X, **given) == pytest.approx(theirs.bic(X, lengths), rel=1e-9)
    np.testing.assert_allclose(
        ours.stationary_distribution(), theirs.get_stationary_distribution(), rtol=1e-9
    )


@EVERY_FAMILY
def test_a_model_that_goes_one_way(family):
    pair = Pair(family, 0)
    chain = {
        "startprob": np.array([1.0, 0.0, 0.0]),
        "transmat": np.array([[0.98, 0.02, 0.0], [0.0, 0.99, 0.01], [0.0, 0.0, 1.0]]),
    }
    pair.chain = chain
    ours, theirs, X = pair.from_parameters(), pair.theirs(), pair.X
    value, posterior = theirs.score_samples(X, LENGTHS)
    assert ours.score(X, lengths=LENGTHS) * N == pytest.approx(value, rel=1e-9)
    found = ours.predict_proba(X, lengths=LENGTHS)
    np.testing.assert_allclose(found, posterior, rtol=1e-7, atol=1e-10)
    value, path = theirs.decode(X, LENGTHS)
    found, states = ours.decode(X, lengths=LENGTHS)
    assert found == pytest.approx(value, rel=1e-9)
    np.testing.assert_array_equal(states, path)


@pytest.mark.parametrize("K", [1, 2, 3, 7, 8, 9, 20, 40])
@pytest.mark.parametrize("lengths", [[5000], [3000, 1, 1999], [1] * 100 + [10] * 490])
def test_many_rows_and_many_states(K, lengths):
    rng = np.random.RandomState(K)
    chain = {
        "startprob": rng.dirichlet(np.ones(K)),
        "transmat": 0.9 * np.eye(K) + 0.1 * rng.dirichlet(np.ones(K), size=K),
    }
    ours = PoissonHMM.from_parameters(**chain, rates=rng.gamma(2.0, 4.0, size=(K, 1)))
    theirs = hmmlearn.PoissonHMM(K)
    theirs.startprob_, theirs.transmat_ = chain["startprob"], chain["transmat"]
    theirs.lambdas_ = ours.rates_
    X = ours.sample(lengths=lengths, random_state=0)[0].astype(int)
    value, posterior = theirs.score_samples(X, lengths)
    assert ours.score(X, lengths=lengths) * len(X) == pytest.approx(value, rel=1e-10)
    found = ours.predict_proba(X, lengths=lengths)
    np.testing.assert_allclose(found, posterior, rtol=1e-6, atol=1e-11)
    value, path = theirs.decode(X, lengths)
    found, states = ours.decode(X, lengths=lengths)
    assert found == pytest.approx(value, rel=1e-10)
    np.testing.assert_array_equal(states, path)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical", "tied"])
def test_states_that_are_mixtures(covariance_type):
    rng, K, M = np.random.RandomState(0), 3, 2
    roots = rng.standard_normal((K, M, 2, 2))
    full = roots @ roots.transpose(0, 1, 3, 2) + np.eye(2)
    chain = {
        "startprob": rng.dirichlet(np.ones(K)),
        "transmat": 0.7 * np.eye(K) + 0.3 * rng.dirichlet(np.ones(K), size=K),
    }
    states = {
        "mixture_weights": rng.dirichlet(np.ones(M), size=K),
        "means": 3.0 * rng.standard_normal((K, M, 2)),
        "covariances": {
            "full": full,
            "diag": np.diagonal(full, axis1=2, axis2=3).copy(),
            "spherical": full[..., 0, 0].copy(),
            "tied": full[0, 0],
        }[covariance_type],
    }
    ours = GMMHMM.from_parameters(**chain, **states, n_mix=M, covariance_type=covariance_type)
    # theirs is tied within each state only
    theirs = hmmlearn.GMMHMM(K, M, covariance_type=covariance_type)
    theirs.n_features = 2
    theirs.startprob_, theirs.transmat_ = chain["startprob"], chain["transmat"]
    theirs.weights_, theirs.means_ = states["mixture_weights"], states["means"]
    tied = np.tile(states["covariances"], (K, 1, 1)) if covariance_type == "tied" else None
    theirs.covars_ = states["covariances"] if tied is None else tied
    X = ours.sample(lengths=LENGTHS, random_state=0)[0]
    value, posterior = theirs.score_samples(X, LENGTHS)
    assert ours.score(X, lengths=LENGTHS) * N == pytest.approx(value, rel=1e-9)
    found = ours.predict_proba(X, lengths=LENGTHS)
    np.testing.assert_allclose(found, posterior, rtol=1e-7, atol=1e-10)
    value, path = theirs.decode(X, LENGTHS)
    found, states = ours.decode(X, lengths=LENGTHS)
    assert found == pytest.approx(value, rel=1e-9)
    np.testing.assert_array_equal(states, path)


# ------------------------------------------------------------- one fit, twice


@EVERY_FAMILY
@SEEDS
@pytest.mark.parametrize("lengths", [LENGTHS, None])
def test_traces_of_twenty_iterations(family, seed, lengths):
    pair = Pair(family, seed)
    X = pair.X
    theirs = pair.theirs(pair.begin, n_iter=21).fit(X, lengths)
    trace = np.array(theirs.monitor_.history)
    assert len(trace) == 21
    first = pair.start(max_iter=0).fit(X, lengths=lengths).lower_bound_
    ours = pair.start(max_iter=20).fit(X, lengths=lengths)
    found = np.r_[first, ours.lower_bounds_] * N
    np.testing.assert_allclose(found, trace, rtol=1e-9)
    # their last M-step is the one after the last likelihood
    ours = pair.start(max_iter=21).fit(X, lengths=lengths)
    pair.assert_same_parameters(ours, theirs, rtol=1e-6)


@EVERY_FAMILY
@SEEDS
@pytest.mark.parametrize("array", [False, True])
def test_fits_with_priors_of_the_chain(family, seed, array):
    pair = Pair(family, seed)
    X, K = pair.X, pair.K
    start, moves = (1.5, 3.0)
    if array:
        rng = np.random.RandomState(seed)
        start, moves = 1.0 + rng.gamma(2.0, size=K), 1.0 + 5.0 * rng.gamma(1.0, size=(K, K))
    priors = {"startprob_prior": start, "transmat_prior": moves}
    theirs = pair.theirs(pair.begin, n_iter=20, **priors).fit(X, LENGTHS)
    ours = pair.start(max_iter=20, **priors).fit(X, lengths=LENGTHS)
    pair.assert_same_parameters(ours, theirs, rtol=1e-6)
    value = theirs.score(X, LENGTHS)
    assert ours.score(X, lengths=LENGTHS) * N == pytest.approx(value, rel=1e-9)
    # the priors count in the objective, and it is this that never falls
    plain = pair.start(max_iter=20).fit(X, lengths=LENGTHS)
    assert np.abs(plain.transmat_ - ours.transmat_).max() > 1e-3
    assert np.all(np.diff(ours.lower_bounds_) > -1e-12)


@EVERY_FAMILY
def test_zeros_stay_zeros_in_both(family):
    pair = Pair(family, 1)
    begin = {
        **pair.begin,
        "startprob": np.array([1.0, 0.0, 0.0]),
        "transmat": np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]]),
    }
    theirs = pair.theirs(begin, n_iter=10, transmat_prior=2.0).fit(pair.X, LENGTHS)
    ours = pair.start(max_iter=10, transmat_prior=2.0).set_params(init_params=begin)
    ours.fit(pair.X, lengths=LENGTHS)
    pair.assert_same_parameters(ours, theirs, rtol=1e-7)
    assert np.all(ours.transmat_[begin["transmat"] == 0] == 0)
    np.testing.assert_array_equal(ours.startprob_, begin["startprob"])
