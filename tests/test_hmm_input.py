"""Sequences, weights, topologies and parameters that do not fit: refused, with what was found and what to do."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from emlearn.distributions import Gaussian
from emlearn.hmm import (
    HMM,
    BernoulliHMM,
    CategoricalHMM,
    GaussianHMM,
    MultinomialHMM,
    PoissonHMM,
    StudentTHMM,
)

RNG = np.random.RandomState(0)
X = RNG.standard_normal((12, 2)) + 3.0 * (np.arange(12) % 4 > 1)[:, None]
GROUPS = np.repeat(["a", "b", "c"], 4)
PARTS = [X[:4], X[4:8], X[8:]]
CHAIN = {"startprob": [0.5, 0.5], "transmat": [[0.9, 0.1], [0.2, 0.8]]}
STATES = {"means": X[:2], "covariances": [np.eye(2), np.eye(2)]}
MODEL = GaussianHMM.from_parameters(**CHAIN, **STATES)

METHODS = [
    "fit",
    "fit_predict",
    "predict",
    "predict_proba",
    "filter_proba",
    "decode",
    "score",
    "score_samples",
    "bic",
    "aic",
    "forecast",
]
EVERY_METHOD = pytest.mark.parametrize("method", METHODS)


def call(method, data=X, **arguments):
    """A method of a model that needs no fit."""
    return getattr(GaussianHMM.from_parameters(**CHAIN, **STATES), method)(data, **arguments)


def refused(*words, error=ValueError):
    """An error whose message has all of these."""
    pattern = "".join(f"(?=.*{re.escape(word)})" for word in words)
    return pytest.raises(error, match=f"(?s){pattern}")


# ---------------------------------------------------------------- sequences


@EVERY_METHOD
@pytest.mark.parametrize(
    "lengths, found", [([4, 4], "8"), ([4, 4, 5], "13"), ([13], "13"), (11, "11")]
)
def test_lengths_that_do_not_sum_to_the_rows(method, lengths, found):
    with refused(f"lengths sum to {found}", "X has 12 rows"):
        call(method, lengths=lengths)


@EVERY_METHOD
@pytest.mark.parametrize(
    "lengths",
    [
        [4, 0, 8],
        [13, -1],
        [4.5, 7.5],
        [np.nan, 12],
        [],
        [[4, 8]],
        ["4", "8"],
        [True] * 12,
        "12",
    ],
    ids=str,
)
def test_lengths_that_are_no_whole_numbers_from_one_on(method, lengths):
    with refused(
        "lengths must hold the number of rows of each sequence", "whole numbers from 1 on"
    ):
        call(method, lengths=lengths)


@EVERY_METHOD
def test_groups_whose_rows_are_not_together(method):
    with refused("the rows of sequence 'a' are not together", "Sort the rows by sequence"):
        call(method, groups=list("aabbaaccccdd"))
    with refused("the rows of sequence 0 are not together", "Sort the rows"):
        call(method, groups=np.arange(12) % 3)


@EVERY_METHOD
@pytest.mark.parametrize(
    "groups", [GROUPS[:11], np.r_[GROUPS, GROUPS], GROUPS[:, None], [4, 4, 4], "a"]
)
def test_groups_of_another_length(method, groups):
    with refused("groups must hold the sequence of each of the 12 rows", "lengths"):
        call(method, groups=groups)


@EVERY_METHOD
@pytest.mark.parametrize(
    "groups",
    [
        np.r_[np.zeros(11), np.nan],
        [None, *[1] * 11],
        [*["a"] * 11, np.nan],
        pd.Series(["a"] * 11 + [None]),
        pd.Series([1] * 11 + [None], dtype="Int64"),
        pd.Series(["a"] * 11 + [None], dtype="string"),
        pl.Series([None, *[1] * 11]),
    ],
)
def test_groups_with_missing_values(method, groups):
    with refused("groups has missing values", "each row belongs to a sequence"):
        call(method, groups=groups)


@EVERY_METHOD
def test_groups_and_lengths_at_once(method):
    with refused("groups and lengths", "give one of them"):
        call(method, groups=GROUPS, lengths=[4, 4, 4])


@EVERY_METHOD
@pytest.mark.parametrize(
    "beside", [{"groups": GROUPS}, {"lengths": [4, 4, 4]}], ids=["groups", "lengths"]
)
def test_a_list_of_sequences_needs_nothing_beside_it(method, beside):
    with refused("X is a list of sequences", f"give no {next(iter(beside))} beside it"):
        call(method, PARTS, **beside)


@EVERY_METHOD
def test_lists_whose_sequences_do_not_fit_together(method):
    with refused("sequence 1 of the list has 1 features", "sequence 0 has 2"):
        call(method, [X, X[:, :1]])
    with refused("sequence 2 of the list is empty", "Leave it out"):
        call(method, [X, X, X[:0]])
    with refused("element 1 is not 2D", "reshape(-1, 1)"):
        call(method, [X, X[:, 0]])
    with refused("element 0 is not 2D", "reshape(-1, 1)"):
        call(method, [X[0], X])
    with refused("element 1 is not 2D"):
        call(method, [X, X[None]])


def test_sequences_of_one_axis_are_told_how_to_become_tables():
    counts = np.array([3, 1, 4, 1, 5])
    with refused("reshape(-1, 1)"):
        PoissonHMM().fit(counts)
    with refused("not 2D", "reshape(-1, 1)"):
        PoissonHMM().fit([counts, counts[:3]])
    with refused("empty list", "(n_rows, n_features)"):
        PoissonHMM().fit([])


def test_frames_in_a_list_have_the_same_columns():
    frames = [pd.DataFrame(part, columns=["u", "v"]) for part in PARTS]
    for library in (lambda frame: frame, pl.from_pandas):
        good = [library(frame) for frame in frames]
        GaussianHMM(2, random_state=0).fit(good)
        bad = [*good[:2], library(frames[2].rename(columns={"v": "w"}))]
        with refused(
            "sequence 2 of the list has the columns ['u', 'w']", "sequence 0 has ['u', 'v']"
        ):
            GaussianHMM(2).fit(bad)


def test_a_list_of_numbers_in_lists_is_a_table_and_one_of_tables_is_sequences():
    model = GaussianHMM(1).fit(X.tolist())
    assert model.n_sequences_ == 1
    model = GaussianHMM(1).fit([part.tolist() for part in PARTS])
    assert model.n_sequences_ == 3
    assert model.score_samples([part.tolist() for part in PARTS]).shape == (12,)


def test_empty_data():
    for data in ([], X[:0], [X[:0]], [[]]):
        with pytest.raises(ValueError):
            GaussianHMM().fit(data)
    with refused("0 sample(s)"):
        GaussianHMM().fit(X[:0])


@EVERY_METHOD
def test_data_are_checked_in_sequences_as_elsewhere(method):
    bad = X.copy()
    bad[4, 1] = np.inf
    with refused("infinity"):
        call(method, bad, lengths=[4, 8])
    with refused("infinity"):
        call(method, [bad[:4], bad[4:]])
    if "fit" not in method:
        with refused("X has 1 features", "expecting 2"):
            call(method, [part[:, :1] for part in PARTS])


# ------------------------------------------- what is no lengths, and no data


@pytest.mark.parametrize("method", ["fit", "fit_predict", "score"])
@pytest.mark.parametrize("y", [[4, 4, 4], np.array([12]), 12, [[4, 8]]], ids=str)
def test_lengths_in_the_place_of_y(method, y):
    with refused("y is ignored", "12 values", "lengths="):
        getattr(GaussianHMM.from_parameters(**CHAIN, **STATES), method)(X, y)


@pytest.mark.parametrize("y", [None, np.zeros(12), [0] * 12, pd.Series(range(12))])
def test_y_of_as_many_values_as_rows_changes_nothing(y):
    plain = GaussianHMM(2, random_state=0).fit(X, lengths=[4, 8])
    model = GaussianHMM(2, random_state=0).fit(X, y, lengths=[4, 8])
    np.testing.assert_array_equal(model.means_, plain.means_)
    assert model.score(X, y, lengths=[4, 8]) == plain.score(X, lengths=[4, 8])
    assert plain.fit_predict(X, y, lengths=[4, 8]).shape == (12,)


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("fit", "fit_predict", "score")])
def test_sequences_are_given_by_name(method):
    with pytest.raises((TypeError, ValueError)):
        getattr(MODEL, method)(X, [4, 4, 4])
    with pytest.raises(TypeError):
        getattr(MODEL, method)(X, None, None, None, [4, 4, 4])


# ------------------------------------------------------------------ weights


@pytest.mark.parametrize("method", ["fit", "fit_predict", "score", "bic", "aic"])
def test_weights_that_do_not_fit(method):
    lengths = [4, 4, 4]
    with refused(
        "sample_weight changes within a sequence", "2 in row 4", "3 in row 5", "one weight for each"
    ):
        call(method, sample_weight=np.r_[np.full(5, 2.0), np.full(7, 3.0)], lengths=lengths)
    with refused("sample_weight changes within a sequence", "0 in row 0", "1 in row 1"):
        call(method, sample_weight=np.arange(12))
    with refused("sample_weight.shape == (2,)"):
        call(method, sample_weight=[1.0, 2.0], lengths=lengths)
    with refused("sample_weight.shape == (11,)"):
        call(method, sample_weight=np.ones(11), lengths=lengths)
    with refused("Negative values in data passed to `sample_weight`"):
        call(method, sample_weight=[1.0, -2.0, 1.0], lengths=lengths)
    with refused("sample_weight contains NaN or infinity"):
        call(method, sample_weight=[1.0, np.nan, 1.0], lengths=lengths)
    with refused("all weights are zero"):
        call(method, sample_weight=[0, 0, 0], lengths=lengths)
    with refused("sample_weight must hold real numbers"):
        call(method, sample_weight=["a", "b", "c"], lengths=lengths)


def test_as_many_rows_as_states_must_count():
    with refused("n_components = 3", "n_samples = 2"):
        GaussianHMM(3).fit(X[:2])
    with refused("n_components = 5"):
        GaussianHMM(5).fit(X, sample_weight=[1.0, 0.0, 0.0], lengths=[4, 4, 4])


# ----------------------------------------------------------------- topology


@pytest.mark.parametrize("topology", ["leftright", "", 3, None])
def test_a_topology_that_there_is_not(topology):
    with refused("topology", error=InvalidParameterError):
        GaussianHMM(2, topology=topology).fit(X)


@pytest.mark.parametrize("topology", [np.ones((3, 3)), np.ones(2), np.ones((2, 3)), [[1], [1]]])
def test_a_topology_of_another_shape(topology):
    with refused("'topology' should have the shape of (2, 2)"):
        GaussianHMM(2, topology=topology).fit(X)


def test_a_topology_without_a_way_out():
    with refused("topology: state 1 has no transition", "each state needs one"):
        GaussianHMM(2, topology=[[1, 1], [0, 0]]).fit(X)
    with refused("topology must hold real numbers"):
        GaussianHMM(2, topology=[["a", "b"], ["c", "d"]]).fit(X)
    with refused("topology must hold real numbers", error=TypeError):
        GaussianHMM(2, topology={0: [0, 1]}).fit(X)


@pytest.mark.parametrize("topology", ["left-right", "linear", [[1, 1], [0, 1]]])
def test_given_probabilities_against_the_topology(topology):
    start = {"startprob": [1.0, 0.0], "transmat": CHAIN["transmat"]}
    with refused("init_params: transmat has a probability above 0 where the topology has none"):
        GaussianHMM(2, topology=topology, init_params=start).fit(X)
    if isinstance(topology, str):
        start = {"startprob": [0.5, 0.5]}
        with refused(
            "init_params: startprob has a probability above 0 where the topology has none"
        ):
            GaussianHMM(2, topology=topology, init_params=start).fit(X)
        with refused("startprob has a probability above 0 where the topology has none"):
            GaussianHMM.from_parameters(**CHAIN, **STATES, topology=topology)


# ------------------------------------------------------------------- priors


@pytest.mark.parametrize("name", ["startprob_prior", "transmat_prior"])
def test_priors_without_a_mode(name):
    with refused(f"'{name}' parameter", error=InvalidParameterError):
        GaussianHMM(2, **{name: 0.5}).fit(X)
    with refused(f"'{name}' parameter", error=InvalidParameterError):
        GaussianHMM(2, **{name: "flat"}).fit(X)
    shape = (2,) if name == "startprob_prior" else (2, 2)
    low = np.full(shape, 2.0)
    low.flat[1] = 0.9
    with refused(f"{name} must be at least 1", "posterior mode", "0.9"):
        GaussianHMM(2, **{name: low}).fit(X)
    with refused(f"{name} must be a number or have the shape {shape}", "(3,)"):
        GaussianHMM(2, **{name: [1.0, 2.0, 3.0]}).fit(X)
    with refused(name, "NaN or infinity"):
        GaussianHMM(2, **{name: np.full(shape, np.nan)}).fit(X)


def test_a_prior_of_another_family():
    with refused("prior", error=TypeError):
        PoissonHMM(2, prior=Gaussian.default_prior()).fit([[1], [2], [3]])
    with refused("'prior' parameter", error=InvalidParameterError):
        GaussianHMM(2, prior=2.0).fit(X)


# ------------------------------------------------------- given parameters


def fit_from(**given):
    return GaussianHMM(2, init_params=given, max_iter=1, tol=1e9).fit(X)


def test_some_of_the_states_parameters_alone():
    with refused("init_params", "'covariances' is missing", "all those of the states, or none"):
        fit_from(means=X[:2])
    with refused("init_params", "'means' is missing"):
        fit_from(**CHAIN, covariances=STATES["covariances"])
    with refused("'rates' is missing"):
        PoissonHMM.from_parameters(**CHAIN)


def test_names_that_there_are_not():
    for given in ({"foo": 1}, {**CHAIN, "foo": 1}, {"means": X[:2], "foo": 1}):
        with refused("init_params", "'foo'"):
            fit_from(**given)
    for given in ({**STATES, "foo": 1}, {**CHAIN, **STATES, "foo": 1}):
        with refused("['foo']", "startprob", "transmat", "means", "covariances"):
            fit_from(**given)
    with refused("['foo']", "rates"):
        PoissonHMM.from_parameters(**CHAIN, rates=[[1.0], [2.0]], foo=3)
    with pytest.raises(ValueError, match="Invalid parameter 'lengths'"):
        GaussianHMM().set_params(lengths=[3])


@pytest.mark.parametrize(
    "startprob, words",
    [
        ([0.5, 0.6], ["startprob must sum to 1", "1.1"]),
        ([1.5, -0.5], ["startprob"]),
        ([0.5, np.nan], ["startprob", "NaN"]),
        ([0.2, 0.3, 0.5], ["'startprob'", "(2,)", "(3,)"]),
        ([[0.5, 0.5]], ["'startprob'", "(2,)", "(1, 2)"]),
        (["a", "b"], ["startprob must hold real numbers"]),
    ],
    ids=str,
)
def test_start_probabilities_that_are_none(startprob, words):
    with refused(*words):
        fit_from(startprob=startprob)
    with refused(*words):
        fit_from(startprob=startprob, **STATES)


@pytest.mark.parametrize(
    "transmat, words",
    [
        ([[0.9, 0.1], [0.2, 0.7]], ["transmat", "sum to 1", "0.9"]),
        ([[1.1, -0.1], [0.2, 0.8]], ["transmat"]),
        ([[0.9, 0.1], [np.nan, 0.8]], ["transmat", "NaN"]),
        (np.full((3, 3), 1 / 3), ["'transmat'", "(2, 2)", "(3, 3)"]),
        ([0.9, 0.1], ["'transmat'", "(2, 2)", "(2,)"]),
    ],
    ids=str,
)
def test_transition_probabilities_that_are_none(transmat, words):
    with refused(*words):
        fit_from(transmat=transmat)
    with refused(*words):
        GaussianHMM.from_parameters(startprob=[0.5, 0.5], transmat=transmat, **STATES)


def test_states_that_do_not_fit():
    with refused("2 states", "3 components"):
        fit_from(means=X[:3], covariances=[np.eye(2)] * 3)
    with refused("of 3 features", "X has 2"):
        fit_from(means=np.ones((2, 3)), covariances=[np.eye(3)] * 2)
    with pytest.raises(ValueError):
        fit_from(means=X[:2], covariances=[np.eye(2), -np.eye(2)])
    with refused("rates"):
        PoissonHMM.from_parameters(**CHAIN, rates=[[1.0], [-2.0]])
    with refused("probabilities"):
        BernoulliHMM.from_parameters(**CHAIN, probabilities=[[0.5], [1.5]])
    with refused("probabilities", "sum to 1"):
        MultinomialHMM.from_parameters(**CHAIN, probabilities=[[0.5, 0.6], [0.5, 0.5]])
    with refused("probabilities", "sum to 1"):
        CategoricalHMM.from_parameters(**CHAIN, probabilities=[[[0.5, 0.6], [0.5, 0.5]]])


def test_degrees_of_freedom_are_a_parameter_of_the_states_and_of_the_constructor():
    scales = {"means": X[:2], "scales": [np.eye(2)] * 2}
    model = StudentTHMM.from_parameters(**CHAIN, **scales, degrees_of_freedom=[3.0, 50.0])
    np.testing.assert_array_equal(model.degrees_of_freedom_, [3.0, 50.0])
    assert np.isfinite(model.score(X))
    with refused("degrees_of_freedom"):
        StudentTHMM.from_parameters(**CHAIN, **scales, degrees_of_freedom=[3.0, -1.0])


@pytest.mark.parametrize("init_params", ["kmean", 3, None, ["a"] * 12])
def test_a_start_that_there_is_not(init_params):
    with pytest.raises((InvalidParameterError, ValueError)):
        GaussianHMM(2, init_params=init_params).fit(X)


def test_labels_that_do_not_fit():
    for labels in (np.zeros(11, dtype=int), np.full(12, 2), np.full(12, -1)):
        with pytest.raises(ValueError):
            GaussianHMM(2, init_params=labels).fit(X)
    with pytest.raises(ValueError):
        GaussianHMM(2, init_params=np.ones((12, 3))).fit(X)


def test_parameters_that_were_set_by_hand_and_do_not_fit():
    model = GaussianHMM.from_parameters(**CHAIN, **STATES)
    model.transmat_ = np.full((3, 3), 1 / 3)
    with refused("transmat_", "(2, 2)", "(3, 3)"):
        model.predict(X)
    model = GaussianHMM.from_parameters(**CHAIN, **STATES)
    model.startprob_ = np.array([1.0])
    with refused("startprob_", "(2,)", "(1,)"):
        model.score(X)


# --------------------------------------------------------------- the methods


@EVERY_METHOD
def test_a_model_without_a_fit_has_no_answers(method):
    if method in ("fit", "fit_predict"):
        assert GaussianHMM(2, random_state=0).fit(X) is not None
        return
    with pytest.raises(NotFittedError):
        getattr(GaussianHMM(2), method)(X)


def test_other_questions_to_a_model_without_a_fit():
    for ask in (
        lambda hmm: hmm.sample(),
        lambda hmm: hmm.step(X[0]),
        lambda hmm: hmm.stationary_distribution(),
    ):
        with pytest.raises(NotFittedError):
            ask(GaussianHMM(2))


@pytest.mark.parametrize("method", ["x", "", None, "Viterbi", 1])
def test_a_method_of_prediction_that_there_is_not(method):
    with refused("method must be one of ['viterbi', 'smooth', 'filter']", repr(method)):
        MODEL.predict(X, method=method)


@pytest.mark.parametrize("steps", [0, -1, 1.5, "2", None])
def test_a_forecast_of_no_steps(steps):
    with refused("steps must be a whole number from 1 on", repr(steps)):
        MODEL.forecast(X, steps)


def test_a_forecast_does_not_go_further_than_it_was_asked():
    forecast = MODEL.forecast(X, 3, lengths=[4, 8])
    for step in (0, 4, -1):
        with refused("step must be 1 to 3", str(step)):
            forecast.distribution(step)
    for sequence in (2, -3):
        with refused("sequence", str(sequence)):
            forecast.distribution(1, sequence)
    assert forecast.state_proba.shape == (2, 3, 2)


def test_steps_of_streams_that_do_not_fit():
    with refused("X has 3 features", "expecting 2"):
        MODEL.step(np.zeros(3))
    with refused("proba"):
        MODEL.step(X[0], [0.5, 0.6])
    with refused("proba", "(2,)", "(3,)"):
        MODEL.step(X[0], [0.2, 0.3, 0.5])
    with refused("proba", "(4, 2)", "(2,)"):
        MODEL.step(X[:4], [0.5, 0.5])


def test_samples_of_no_rows():
    with refused("n_samples"):
        MODEL.sample(0)
    for lengths in ([0], [3, -1], [1.5]):
        with refused("lengths", "whole numbers from 1 on"):
            MODEL.sample(lengths=lengths)


def test_a_stationary_distribution_that_is_not_one():
    chain = {"startprob": [0.5, 0.5], "transmat": np.eye(2)}
    model = GaussianHMM.from_parameters(**chain, **STATES)
    with refused("several stationary distributions", "never leaves", "where it begins"):
        model.stationary_distribution()


def test_a_warm_start_keeps_the_number_of_states():
    model = GaussianHMM(2, warm_start=True, random_state=0).fit(X, lengths=[4, 8])
    model.set_params(n_components=3)
    with refused("warm_start continues a fit of 2 states", "n_components = 3", "warm_start=False"):
        model.fit(X, lengths=[4, 8])
    with refused("X has 1 features", "expecting 2"):
        model.set_params(n_components=2).fit(X[:, :1])


def test_other_arguments_of_the_constructor():
    for settings in (
        {"n_components": 0},
        {"n_components": 1.5},
        {"tol": -1.0},
        {"max_iter": -1},
        {"n_init": 0},
        {"accelerate": "anderson"},
        {"covariance_type": "round"},
        {"reg_covar": -1.0},
    ):
        name = next(iter(settings))
        with refused(f"'{name}' parameter of", error=InvalidParameterError):
            GaussianHMM(**settings).fit(X)
    with refused("'distribution' parameter", error=InvalidParameterError):
        HMM(distribution="gaussian").fit(X)
    with refused("'covariance_type' parameter of Gaussian", error=InvalidParameterError):
        HMM(distribution=Gaussian("round")).fit(X)


# ------------------------------------------------------------- what is left


def test_a_refused_fit_leaves_the_model_as_it_was():
    model = GaussianHMM(2, random_state=0).fit(X, lengths=[4, 8])
    before = {name: np.copy(value) for name, value in vars(model).items()}
    for arguments in (
        {"lengths": [3]},
        {"groups": np.arange(12) % 2},
        {"sample_weight": np.arange(12), "lengths": [4, 8]},
    ):
        with pytest.raises(ValueError):
            model.fit(X, **arguments)
    assert vars(model).keys() == before.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(vars(model)[name], value, err_msg=name)


def test_arguments_are_not_written_to():
    data, lengths, weights = X.copy(), np.array([4, 8]), np.array([1.0, 2.0])
    start = {name: np.array(value) for name, value in {**CHAIN, **STATES}.items()}
    mask, prior = np.ones((2, 2), dtype=bool), np.full((2, 2), 2.0)
    given = [data, lengths, weights, mask, prior, *start.values()]
    copies = [np.copy(value) for value in given]
    model = GaussianHMM(2, init_params=start, topology=mask, transmat_prior=prior)
    model.fit(data, sample_weight=weights, lengths=lengths)
    for method in METHODS:
        getattr(model, method)(data, lengths=lengths)
    model.step(data[0], start["startprob"])
    for value, copy in zip(given, copies, strict=True):
        np.testing.assert_array_equal(value, copy)
    model.fit(data)  # what it publishes is its own
    model.transmat_[:] = 0.5
    np.testing.assert_array_equal(start["transmat"], CHAIN["transmat"])


def test_sparse_sequences_in_a_list():
    counts = RNG.poisson(2.0, size=(12, 3))
    parts = [sparse.csr_matrix(part) for part in np.split(counts, 3)]
    model = PoissonHMM(2, random_state=0).fit(parts)
    dense = PoissonHMM(2, random_state=0).fit(counts.astype(float), lengths=[4, 4, 4])
    np.testing.assert_allclose(model.rates_, dense.rates_, rtol=1e-10)
    mixed = [parts[0], counts[4:8].astype(float), parts[2]]
    np.testing.assert_allclose(model.score(mixed), model.score(parts), rtol=1e-12)
    with refused("sequence 1 of the list has 2 features", "sequence 0 has 3"):
        model.fit([parts[0], parts[1][:, :2]])


def test_an_array_of_tables_is_a_list_of_them():
    tables = np.empty(len(PARTS), dtype=object)
    tables[:] = [np.asarray(part) for part in PARTS]
    found, expected = (
        GaussianHMM(2, random_state=0).fit(given) for given in (tables, list(tables))
    )
    assert found.n_sequences_ == len(PARTS)
    np.testing.assert_array_equal(found.transmat_, expected.transmat_)
