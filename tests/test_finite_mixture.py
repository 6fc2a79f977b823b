"""Components that are mixtures themselves: FiniteMixture, and the hidden Markov model of Gaussian ones."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from skops.io import dumps, get_untrusted_types, loads

from emlearn.distributions import (
    Categorical,
    ConjugatePrior,
    FiniteMixture,
    Gaussian,
    NormalInverseWishart,
    Poisson,
    Product,
    StudentT,
    WithNoise,
)
from emlearn.distributions.covariance import COVARIANCES
from emlearn.em.parts import divide_start
from emlearn.em.starts import LabelStart, RandomStart, SeedStart, ShareStart
from emlearn.exceptions import DegenerateComponentsWarning
from emlearn.hmm import GMMHMM, HMM, GaussianHMM
from emlearn.mixture import GaussianMixture, Mixture

CENTRES = np.array(
    [[[0.0, 0.0], [5.0, 1.0]], [[20.0, 0.0], [22.0, 6.0]], [[-9.0, 9.0], [-20.0, 4.0]]]
)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.RandomState(0)
    return np.repeat(CENTRES.reshape(6, 2), 50, axis=0) + rng.standard_normal((300, 2))


@pytest.fixture(scope="module")
def simulated():
    """A chain of three states, each of two Gaussians, and how it was drawn."""
    transmat = np.array([[0.9, 0.1, 0.0], [0.05, 0.85, 0.1], [0.2, 0.0, 0.8]])
    truth = GMMHMM.from_parameters(
        [1.0, 0.0, 0.0],
        transmat,
        mixture_weights=[[0.5, 0.5], [0.7, 0.3], [0.4, 0.6]],
        means=CENTRES,
        covariances=np.tile(np.eye(2), (3, 2, 1, 1)),
    )
    X, states = truth.sample(lengths=LENGTHS, random_state=1)
    return truth, X, states


LENGTHS = [1500, 1500]


def parameters_of(model):
    """The fitted parameters by name, as ``init_params`` takes them."""
    return {name.removesuffix("_"): getattr(model, name) for name in model._published_names}


def fitted(estimator, X, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X, **arguments)


# ------------------------------------------------ a mixture of mixtures is one


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "EEE", "VEI"])
@pytest.mark.parametrize("plain", [False, True])
def test_a_mixture_of_mixtures_is_the_flat_mixture(rows, covariance_type, plain, monkeypatch):
    if plain:  # density, posterior and statistics one after the other
        monkeypatch.setattr(FiniteMixture, "fused", lambda *arguments: None)
    rng = np.random.RandomState(1)
    flat = fitted(
        GaussianMixture(6, covariance_type=covariance_type, random_state=0, max_iter=1), rows
    )
    outer, inner = np.array([0.2, 0.5, 0.3]), rng.dirichlet([3.0, 3.0], size=3)
    weights = (outer[:, None] * inner).ravel()
    shared = flat.covariances_.shape[0] != 6
    covariances = (
        flat.covariances_
        if shared
        else flat.covariances_.reshape(3, 2, *flat.covariances_.shape[1:])
    )
    settings = {"max_iter": 4, "tol": 0.0}
    one = fitted(
        GaussianMixture.from_parameters(
            weights, flat.means_, flat.covariances_, covariance_type=covariance_type, **settings
        ),
        rows,
    )
    two = fitted(
        Mixture.from_parameters(
            outer,
            mixture_weights=inner,
            means=flat.means_.reshape(3, 2, 2),
            covariances=covariances,
            distribution=FiniteMixture(Gaussian(covariance_type, reg_covar=1e-6), 2),
            **settings,
        ),
        rows,
    )
    np.testing.assert_allclose(two.lower_bounds_, one.lower_bounds_, rtol=1e-10)
    np.testing.assert_allclose(
        (two.weights_[:, None] * two.mixture_weights_).ravel(), one.weights_, rtol=1e-9
    )
    np.testing.assert_allclose(two.means_.reshape(6, 2), one.means_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(two.covariances_.reshape(one.covariances_.shape), one.covariances_)
    np.testing.assert_allclose(two.score_samples(rows), one.score_samples(rows), rtol=1e-10)
    np.testing.assert_allclose(
        two.predict_proba(rows), one.predict_proba(rows).reshape(-1, 3, 2).sum(axis=2), atol=1e-10
    )
    assert two.n_parameters_ == one.n_parameters_


def test_one_member_is_the_plain_family(rows):
    weight = np.random.RandomState(0).randint(0, 3, len(rows)).astype(float)
    for family in (Gaussian("diag", 1e-6), StudentT(reg_covar=1e-6), Poisson()):
        X = np.abs(rows).round() if isinstance(family, Poisson) else rows
        settings = {"random_state": 0, "max_iter": 20, "n_init": 2}
        for cls, more in ((Mixture, {"weight_concentration_prior": 2.0}), (HMM, {})):
            arguments = {"sample_weight": weight if cls is Mixture else None}
            one = fitted(cls(3, distribution=family, **settings, **more), X, **arguments)
            two = fitted(
                cls(3, distribution=FiniteMixture(family, 1), **settings, **more), X, **arguments
            )
            assert two.n_iter_ == one.n_iter_
            np.testing.assert_allclose(two.lower_bounds_, one.lower_bounds_, rtol=1e-12)
            np.testing.assert_allclose(two.score_samples(X), one.score_samples(X), rtol=1e-12)
            assert two.n_parameters_ == one.n_parameters_
            np.testing.assert_array_equal(two.mixture_weights_, np.ones((3, 1)))
            np.testing.assert_array_equal(
                two.sample(20, **({} if cls is Mixture else {"random_state": 3}))[0],
                one.sample(20, **({} if cls is Mixture else {"random_state": 3}))[0],
            )


def test_gmm_hmm_of_one_gaussian_is_the_gaussian_hmm(rows):
    one = GaussianHMM(3, "tied", random_state=0).fit(rows)
    two = GMMHMM(3, covariance_type="tied", random_state=0).fit(rows)
    np.testing.assert_allclose(two.lower_bounds_, one.lower_bounds_, rtol=1e-12)
    np.testing.assert_allclose(two.means_[:, 0], one.means_, rtol=1e-12)
    np.testing.assert_allclose(two.covariances_, one.covariances_, rtol=1e-12)
    np.testing.assert_array_equal(two.predict(rows), one.predict(rows))


def test_members_of_members_are_members(rows):
    deep = FiniteMixture(FiniteMixture(Gaussian("diag", 1e-6), 2), 3)
    assert deep.start_parts == 6
    one = Mixture(2, distribution=deep, random_state=0, max_iter=5)
    one = fitted(one, rows)
    assert one.mixture_weights_.shape == (2, 3)
    assert one.member_mixture_weights_.shape == (2, 3, 2)
    assert one.means_.shape == (2, 3, 2, 2)
    flat = Mixture.from_parameters(
        one.weights_,
        mixture_weights=(one.mixture_weights_[:, :, None] * one.member_mixture_weights_).reshape(
            2, 6
        ),
        means=one.means_.reshape(2, 6, 2),
        covariances=one.covariances_.reshape(2, 6, 2),
        distribution=FiniteMixture(Gaussian("diag"), 6),
    )
    np.testing.assert_allclose(flat.score_samples(rows), one.score_samples(rows), rtol=1e-12)
    assert one.n_parameters_ == flat.n_parameters_


# --------------------------------------------------------------- as hmmlearn


@pytest.fixture(scope="module", params=["full", "diag", "spherical"])
def two_alike(request, simulated):
    """A model after some steps, and hmmlearn's with the same parameters and priors that say nothing."""
    hmmlearn = pytest.importorskip("hmmlearn.hmm")
    kind = request.param
    ours = GMMHMM(3, 2, covariance_type=kind, reg_covar=0.0, init_params="random", random_state=0)
    ours = fitted(ours.set_params(max_iter=5, tol=0.0), simulated[1], lengths=LENGTHS)
    theirs = hmmlearn.GMMHMM(
        3,
        2,
        covariance_type=kind,
        init_params="",
        n_iter=1,
        # with which the mode of a variance is its maximum-likelihood estimate
        covars_prior={"full": 0.0, "diag": -1.5, "spherical": -2.0}[kind],
        covars_weight={"full": -4.0, "diag": 0.0, "spherical": 0.0}[kind],
    )
    theirs.startprob_, theirs.transmat_ = ours.startprob_, ours.transmat_
    theirs.weights_, theirs.means_ = ours.mixture_weights_, ours.means_
    theirs.n_features, theirs.covars_ = 2, ours.covariances_
    return ours, theirs


def test_inference_is_that_of_hmmlearn(simulated, two_alike):
    X, (ours, theirs) = simulated[1], two_alike
    expected = theirs.score(X, LENGTHS)
    assert ours.score(X, lengths=LENGTHS) * len(X) == pytest.approx(expected, rel=1e-9)
    proba = ours.predict_proba(X, lengths=LENGTHS)
    np.testing.assert_allclose(proba, theirs.predict_proba(X, LENGTHS), atol=1e-9)
    value, states = ours.decode(X, lengths=LENGTHS)
    expected_value, expected_states = theirs.decode(X, LENGTHS)
    assert value == pytest.approx(expected_value, rel=1e-9)
    np.testing.assert_array_equal(states, expected_states)


def test_an_em_step_is_that_of_hmmlearn(simulated, two_alike):
    X, (ours, theirs) = simulated[1], two_alike
    kind = ours.covariance_type
    before = ours.means_.copy()
    step = fitted(
        clone(ours).set_params(init_params=parameters_of(ours), max_iter=1), X, lengths=LENGTHS
    )
    step_theirs = fitted(copy.deepcopy(theirs), X, lengths=LENGTHS)
    np.testing.assert_allclose(step.startprob_, step_theirs.startprob_, atol=1e-9)
    np.testing.assert_allclose(step.transmat_, step_theirs.transmat_, atol=1e-9)
    np.testing.assert_allclose(step.mixture_weights_, step_theirs.weights_, atol=1e-9)
    np.testing.assert_allclose(step.means_, step_theirs.means_, atol=1e-9)
    # hmmlearn takes the scatter about the means before the step
    moved = step.means_ - before
    if kind == "full":
        excess = moved[..., :, None] * moved[..., None, :]
    else:
        excess = moved**2 if kind == "diag" else (moved**2).mean(axis=-1)
    np.testing.assert_allclose(step.covariances_ + excess, step_theirs.covars_, rtol=1e-8)


# ------------------------------------------------------------------ recovery


def test_a_simulated_chain_is_recovered(simulated):
    truth, X, states = simulated
    hmm = GMMHMM(3, 2, random_state=0, n_init=3).fit(X, lengths=LENGTHS)
    # the best state of each of the truth, and of each of its Gaussians
    order = [np.bincount(hmm.predict(X, lengths=LENGTHS)[states == k]).argmax() for k in range(3)]
    assert sorted(order) == [0, 1, 2]
    means = np.array([m[np.argsort(m[:, 0])] for m in hmm.means_[order]])
    expected = np.array([m[np.argsort(m[:, 0])] for m in CENTRES])
    np.testing.assert_allclose(means, expected, atol=0.2)
    np.testing.assert_allclose(hmm.transmat_[np.ix_(order, order)], truth.transmat_, atol=0.04)
    np.testing.assert_allclose(
        np.sort(hmm.mixture_weights_[order]), np.sort(truth.mixture_weights_), atol=0.05
    )
    assert hmm.score(X, lengths=LENGTHS) > truth.score(X, lengths=LENGTHS)
    assert np.all(np.diff(hmm.lower_bounds_) > 0)


def test_samples_of_a_state_come_in_no_order(simulated):
    truth, X, states = simulated
    # within a state a row says nothing of the member of the next
    first = X[states == 0]
    member = np.linalg.norm(first - CENTRES[0, 0], axis=1) < np.linalg.norm(
        first - CENTRES[0, 1], axis=1
    )
    assert abs(np.corrcoef(member[:-1], member[1:])[0, 1]) < 0.1


def test_states_of_two_clusters_are_found_by_order(simulated):
    """Which clusters belong together only the chain can tell: states share no place."""
    truth, X, states = simulated
    hmm = GMMHMM(3, 2, topology="left-right", random_state=0)
    ordered = np.concatenate([X[states == k] for k in range(3)])
    hmm = hmm.fit(ordered)
    assert np.all(np.diff(hmm.predict(ordered)) >= 0)
    np.testing.assert_array_equal(hmm.predict(ordered), np.sort(states))


# ------------------------------------------------------- what is published


@pytest.mark.parametrize("covariance_type", sorted(COVARIANCES))
def test_shapes_of_attributes(rows, covariance_type):
    hmm = fitted(GMMHMM(3, 2, covariance_type=covariance_type, random_state=0, max_iter=3), rows)
    assert hmm.mixture_weights_.shape == (3, 2)
    np.testing.assert_allclose(hmm.mixture_weights_.sum(axis=1), 1.0)
    assert hmm.means_.shape == (3, 2, 2)
    flat = COVARIANCES[covariance_type].configure(1).shape(6, 2)
    expected = flat if flat[0] != 6 else (3, 2, *flat[1:])
    for name in ("covariances_", "precisions_", "precisions_cholesky_"):
        assert getattr(hmm, name).shape == expected
    if covariance_type == "factor":
        assert hmm.loadings_.shape == (3, 2, 2, 1)
        assert hmm.noise_variances_.shape == (3, 2, 2)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_from_parameters(rows, covariance_type):
    fit = fitted(GMMHMM(2, 3, covariance_type=covariance_type, random_state=0, max_iter=4), rows)
    made = GMMHMM.from_parameters(
        fit.startprob_,
        fit.transmat_,
        mixture_weights=fit.mixture_weights_.tolist(),
        means=fit.means_.tolist(),
        covariances=fit.covariances_.tolist(),
        covariance_type=covariance_type,
    )
    assert made.n_mix == 3
    np.testing.assert_allclose(made.score_samples(rows), fit.score_samples(rows), rtol=1e-9)
    assert made.n_parameters_ == fit.n_parameters_
    # a later fit goes on from there
    again = fitted(clone(made).set_params(max_iter=2, tol=0.0), rows)
    assert again.lower_bound_ >= fit.lower_bound_


def test_attributes_set_by_hand_are_read(rows):
    hmm = fitted(GMMHMM(2, 2, covariance_type="diag", random_state=0, max_iter=3), rows)
    before = hmm.score(rows)
    for name in ("mixture_weights_", "means_", "covariances_", "precisions_cholesky_"):
        setattr(hmm, name, getattr(hmm, name)[:, ::-1])  # the order of members decides nothing
    assert hmm.score(rows) == pytest.approx(before, rel=1e-12)
    hmm.means_ = hmm.means_ + 1.0
    assert hmm.score(rows) < before


def test_categories_in_lists():
    rng = np.random.RandomState(0)
    names = np.array(list("abc"))
    X = names[rng.randint(3, size=(90, 3))]
    X[:45, 0] = "a"
    mixture = fitted(Mixture(2, distribution=FiniteMixture(Categorical(), 2), random_state=0), X)
    assert [block.shape for block in mixture.probabilities_] == [(2, 2, 3)] * 3
    made = Mixture.from_parameters(
        mixture.weights_,
        mixture_weights=mixture.mixture_weights_,
        probabilities=[block.tolist() for block in mixture.probabilities_],
        distribution=FiniteMixture(Categorical([names] * 3), 2),
    )
    np.testing.assert_allclose(made.score_samples(X), mixture.score_samples(X), rtol=1e-12)
    assert set(made.sample(10)[0].ravel()) <= set(names)


def test_blocks_of_several_families(rows):
    kinds = np.random.RandomState(0).randint(3, size=(300, 1))
    blocks = [
        ("size", FiniteMixture(Gaussian("diag", 1e-6), 2), [0, 1]),
        ("kind", FiniteMixture(Categorical(), 3), [2]),
    ]
    X = np.hstack([rows, kinds])
    within = fitted(Mixture(3, distribution=Product(blocks), random_state=0), X)
    assert within.size_means_.shape == (3, 2, 2)
    assert within.kind_mixture_weights_.shape == (3, 3)
    assert within.kind_probabilities_[0].shape == (3, 3, 3)
    around = FiniteMixture(
        Product([("size", Gaussian("tied", 1e-6), [0, 1]), ("kind", Categorical(), [2])]), 2
    )
    around = fitted(Mixture(3, distribution=around, random_state=0), X)
    assert around.size_covariances_.shape == (2, 2)
    assert around.size_means_.shape == (3, 2, 2)
    assert around.kind_probabilities_[0].shape == (3, 2, 3)
    for mixture in (within, around):
        assert np.isfinite(mixture.score(X))
        assert np.all(np.diff(mixture.lower_bounds_) > -1e-12)


@pytest.mark.parametrize("inner", [Gaussian("tied", 1e-6), StudentT("tied", reg_covar=1e-6)])
def test_what_all_share_stays_as_it_is(rows, inner):
    mixture = fitted(Mixture(3, distribution=FiniteMixture(inner, 2), random_state=0), rows)
    shared = "covariances_" if isinstance(inner, Gaussian) else "scales_"
    assert getattr(mixture, shared).shape == (2, 2)
    assert mixture.precisions_.shape == (2, 2)
    if shared == "scales_":
        assert mixture.degrees_of_freedom_.shape == (3, 2)


@pytest.mark.parametrize(
    "estimator",
    [
        GMMHMM(2, 2, covariance_type="tied", random_state=0),
        HMM(2, distribution=FiniteMixture(StudentT(reg_covar=1e-6), 2), random_state=0),
        Mixture(2, distribution=FiniteMixture(n_mix=2), random_state=0),
        Mixture(
            2, distribution=FiniteMixture(Gaussian("diag", 1e-6), 2), noise=True, random_state=0
        ),
    ],
)
def test_pickle_and_skops(rows, estimator):
    fit = fitted(clone(estimator).set_params(max_iter=3), rows)
    written = dumps(fit)
    for again in (
        pickle.loads(pickle.dumps(fit)),
        loads(written, trusted=get_untrusted_types(data=written)),
    ):
        np.testing.assert_array_equal(again.score_samples(rows), fit.score_samples(rows))
        assert again.get_params().keys() == fit.get_params().keys()


def test_float32_data_give_float32_attributes(rows):
    fit = fitted(GMMHMM(2, 2, random_state=0, max_iter=3), rows.astype(np.float32))
    assert fit.mixture_weights_.dtype == fit.means_.dtype == np.float32
    assert np.isfinite(fit.score(rows))
    assert fit.sample(20)[0].shape == (20, 2)


def test_forecast(simulated):
    truth, X, _ = simulated
    ahead = truth.forecast(X, steps=3).distribution(step=2)
    assert ahead.means_.shape == (3, 2, 2)
    assert np.isfinite(ahead.score_samples(X[:5])).all()


# ------------------------------------------------------------ grid searches


def test_grid_searches(rows):
    X = rows[np.random.RandomState(0).permutation(300)]
    mixture = Mixture(2, distribution=FiniteMixture(Gaussian(reg_covar=1e-6)), random_state=0)
    grid = {
        "distribution__n_mix": [1, 3],
        "distribution__distribution__covariance_type": ["full", "tied"],
    }
    search = fitted(GridSearchCV(mixture, grid, cv=3, error_score="raise"), X)
    assert search.best_params_["distribution__n_mix"] == 3
    hmm = fitted(
        GridSearchCV(GMMHMM(2, random_state=0), {"n_mix": [1, 3]}, cv=3, error_score="raise"), X
    )
    assert hmm.best_params_ == {"n_mix": 3}


# ------------------------------------------------------------------- starts


def test_division_of_labels(rows):
    labels = np.repeat([0, 1, 2], 100)
    for method in ("kmeans", "k-means++", "random_from_data"):
        start = divide_start(LabelStart(labels, 3), 2, method, rows, np.random.RandomState(0))
        assert start.n_components == 6
        np.testing.assert_array_equal(start.labels // 2, labels)
    start = divide_start(LabelStart(labels, 3), 2, "kmeans", rows, np.random.RandomState(0))
    for k in range(3):  # the two clusters of each
        part = start.labels[labels == k] % 2
        assert len(set(part[:50])) == len(set(part[50:])) == 1 and part[0] != part[-1]


@pytest.mark.parametrize("method", ["kmeans", "k-means++", "random_from_data"])
def test_division_of_few_rows(method):
    X = np.array([[0.0], [1.0], [9.0], [9.5], [10.0]])
    labels = np.array([0, -1, 1, 1, 1])
    weight = np.array([1.0, 1.0, 0.0, 2.0, 1.0])
    start = divide_start(LabelStart(labels, 3), 2, method, X, np.random.RandomState(0), weight)
    assert start.labels[0] == 0 and start.labels[1] == -1
    assert set(start.labels[3:]) == {2, 3}
    assert start.labels[2] in (2, 3)


def test_division_of_shares(rows):
    rng = np.random.RandomState(0)
    shares = rng.dirichlet(np.ones(3), size=300)
    shares[::7] = 0.0
    start = divide_start(ShareStart(shares), 2, "kmeans", rows, rng)
    divided = start.responsibilities.reshape(300, 3, 2)
    np.testing.assert_allclose(divided.sum(axis=2), shares, rtol=1e-12)
    own = shares.argmax(axis=1)
    assert np.all(divided[np.arange(300), own].min(axis=1) == 0)
    seeds = divide_start(SeedStart(np.array([0, 120, 260])), 2, "kmeans", rows, rng)
    assert np.isin(seeds.labels, range(6)).all() and len(set(seeds.labels)) == 6
    random = divide_start(RandomStart(3, rng), 2, "random", rows, rng)
    assert next(random.shares(rows))[1].shape == (300, 6)


@pytest.mark.parametrize("method", ["kmeans", "k-means++", "random", "random_from_data"])
@pytest.mark.parametrize("inner", [Gaussian(reg_covar=1e-6), Poisson()])
def test_every_start(rows, method, inner):
    X = np.abs(rows).round()
    for cls in (Mixture, HMM):
        model = cls(3, distribution=FiniteMixture(inner, 2), init_params=method, random_state=0)
        model = fitted(model, X)
        assert np.all(np.diff(model.lower_bounds_) > -1e-10)
        assert len(np.unique(model.mixture_weights_.round(6))) > 2


def test_given_starts(rows):
    labels = np.repeat([2, 0, 1], 100)
    distribution = FiniteMixture(Gaussian(reg_covar=1e-6), 2)
    found = []
    for start in (labels, np.eye(3)[labels], lambda X, K, rng: labels):
        for cls in (Mixture, HMM):
            model = cls(3, distribution=distribution, init_params=start, random_state=0)
            model = fitted(model, rows)
            np.testing.assert_array_equal(model.predict(rows), labels)
            if cls is Mixture:
                found.append(model.lower_bound_)
    np.testing.assert_allclose(found, found[0], rtol=1e-6)
    # the parts are drawn: restarts from given labels are not the same
    model = Mixture(3, distribution=distribution, init_params=labels, n_init=3, random_state=0)
    assert len(fitted(model, rows).restart_lower_bounds_) == 3
    model = Mixture(3, distribution=Gaussian(reg_covar=1e-6), init_params=labels, n_init=3)
    assert len(fitted(model, rows).restart_lower_bounds_) == 1


def test_weights_are_repeats(rows):
    weight = np.random.RandomState(0).randint(0, 3, 300)
    labels = np.repeat([0, 1, 2], 100)
    settings = {"distribution": FiniteMixture(Gaussian(reg_covar=1e-6), 2), "random_state": 0}
    one = fitted(Mixture(3, init_params=labels, **settings), rows, sample_weight=weight)
    repeated = np.repeat(np.arange(300), weight)
    two = fitted(Mixture(3, init_params=labels[repeated], **settings), rows[repeated])
    assert one.score(rows, sample_weight=weight) == pytest.approx(
        two.score(rows[repeated]), rel=1e-6
    )


def test_more_members_than_rows_of_a_component():
    X = np.array([[0.0], [0.1], [0.2], [50.0]])
    labels = [0, 0, 0, 1]
    mixture = Mixture(
        2, distribution=FiniteMixture(Gaussian(reg_covar=0.01), 2), init_params=labels
    )
    with pytest.warns(DegenerateComponentsWarning, match=r"Members \[\(1, [01]\)\] are empty"):
        mixture.fit(X)
    np.testing.assert_array_equal(np.sort(mixture.mixture_weights_[1]), [0.0, 1.0])
    assert np.isfinite(mixture.score(X))
    assert np.isfinite(mixture.sample(20)[0]).all()


def test_statistics_of_a_start_in_one_column(rows):
    """Who asks for the statistics of all rows at once knows of no parts."""
    distribution = FiniteMixture(Gaussian(), 2)
    statistics = distribution.statistics(None, rows, np.ones((300, 1)))
    np.testing.assert_allclose(statistics["mixture"]["counts"], [[150.0, 150.0]])
    parameters = distribution.m_step(statistics, None)
    np.testing.assert_allclose(parameters.members.means, np.tile(rows.mean(axis=0), (2, 1)))


# -------------------------------------------------------------------- priors


def test_the_prior_is_that_of_each_member(rows):
    family, prior = FiniteMixture(Gaussian(), 2), NormalInverseWishart()
    bound = family.bind_prior(prior, rows, None, 3)
    expected = Gaussian().bind_prior(prior, rows, None, 6)
    np.testing.assert_array_equal(bound.scale, expected.scale)
    mixture = Mixture(3, distribution=family, prior="default", random_state=0, tol=1e-8)
    mixture = fitted(mixture, rows)
    assert np.all(np.diff(mixture.lower_bounds_) > -1e-12)
    assert mixture.lower_bound_ < mixture.score(rows)
    hmm = fitted(GMMHMM(3, 2, reg_covar=0.0, prior="default", random_state=0), rows)
    assert np.all(np.diff(hmm.lower_bounds_) > -1e-12)
    with pytest.raises(TypeError, match="takes NormalInverseWishart"):
        Mixture(3, distribution=family, prior=ConjugatePrior()).fit(rows)


# ------------------------------------------------------------- what is wrong


def test_collapsed_members_are_named():
    X = np.r_[np.zeros((20, 1)), np.random.RandomState(0).normal(40, 1, size=(40, 1))]
    X[:10] = 10.0
    labels = np.repeat([0, 1], [20, 40])
    mixture = Mixture(
        2, distribution=FiniteMixture(Gaussian(reg_covar=1e-3), 2), init_params=labels
    )
    with pytest.warns(DegenerateComponentsWarning, match=r"Components \[\(0, 0\), \(0, 1\)\] have"):
        mixture.fit(X)


def test_bad_hyper_parameters(rows):
    for n_mix in (0, 1.5, "2"):
        with pytest.raises(ValueError, match="'n_mix' parameter of FiniteMixture must be an int"):
            Mixture(2, distribution=FiniteMixture(Gaussian(), n_mix)).fit(rows)
        with pytest.raises(ValueError, match="'n_mix' parameter of GMMHMM must be an int"):
            GMMHMM(2, n_mix).fit(rows)
    with pytest.raises(ValueError, match="'distribution' parameter of FiniteMixture"):
        Mixture(2, distribution=FiniteMixture("gaussian", 2)).fit(rows)
    with pytest.raises(ValueError, match="'covariance_type' parameter of Gaussian"):
        Mixture(2, distribution=FiniteMixture(Gaussian("round"), 2)).fit(rows)
    with pytest.raises(ValueError, match="a member cannot be noise"):
        Mixture(2, distribution=FiniteMixture(WithNoise(Gaussian()), 2)).fit(rows)
    with pytest.raises(ValueError, match="needs a family with a density"):
        Mixture(2, distribution=FiniteMixture(Poisson(), 2), noise=True).fit(np.abs(rows))


def test_bad_parameters():
    good = {
        "mixture_weights": [[0.5, 0.5], [0.2, 0.8]],
        "means": np.zeros((2, 2, 3)),
        "covariances": np.ones((2, 2, 3)),
        "covariance_type": "diag",
    }
    assert GMMHMM.from_parameters([0.5, 0.5], np.eye(2), **good).n_mix == 2
    for name, value, message in (
        (
            "mixture_weights",
            [0.5, 0.5],
            r"must have the shape \(n_components, n_mix = 1\), got \(2,\)",
        ),
        ("mixture_weights", [[0.5, 0.4], [0.2, 0.8]], "must have rows that sum to 1"),
        ("mixture_weights", [[1.5, -0.5], [0.2, 0.8]], "must hold numbers from 0 to 1"),
        (
            "means",
            np.zeros((2, 3)),
            r"'means' must have the axes \(n_components, n_mix\) = \(2, 2\)",
        ),
        ("means", np.zeros((4, 3)), r"'means' must have the axes"),
        ("means", np.zeros((2, 2, 4)), "covariances"),
        ("covariances", np.ones((2, 3)), "'covariances' must have the axes"),
    ):
        with pytest.raises(ValueError, match=message):
            GMMHMM.from_parameters([0.5, 0.5], np.eye(2), **{**good, name: value})
    for name in ("mixture_weights", "means", "covariances"):
        less = {key: value for key, value in good.items() if key != name}
        with pytest.raises(ValueError, match=f"parameter '{name}' is missing"):
            GMMHMM.from_parameters([0.5, 0.5], np.eye(2), n_mix=2, **less)
    with pytest.raises(ValueError, match="2 states, but parameters of 1"):
        GMMHMM.from_parameters(
            [0.5, 0.5], np.eye(2), mixture_weights=[[1.0]], means=[[[0.0]]], covariances=[[[[1.0]]]]
        )
    with pytest.raises(ValueError, match=r"n_mix = 3\), got \(2, 2\)"):
        GMMHMM.from_parameters([0.5, 0.5], np.eye(2), **good, n_mix=3)
    with pytest.raises(ValueError, match=r"there is no parameter .'rates'"):
        GMMHMM.from_parameters([0.5, 0.5], np.eye(2), **good, rates=1.0)
