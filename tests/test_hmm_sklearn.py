"""Hidden Markov models among scikit-learn's tools: searches, pipelines, files, frames, callbacks, threads."""

import copy
import inspect
import io
import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import skops.io
from sklearn.base import BaseEstimator, clone
from sklearn.callback import ScoringMonitor
from sklearn.exceptions import ConvergenceWarning, NotFittedError, UnsetMetadataPassedError
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    LeaveOneGroupOut,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import emlearn.hmm
from emlearn.datasets import load_earthquakes
from emlearn.distributions import Gamma, Gaussian, StudentT
from emlearn.em import block_rows
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
from emlearn.mixture import GaussianMixture
from emlearn.model_selection import MixtureSelector, aic_scorer, bic_scorer, icl_scorer

pytestmark = [
    pytest.mark.filterwarnings("ignore", category=ConvergenceWarning),
    pytest.mark.filterwarnings("ignore", category=DegenerateComponentsWarning),
]

RNG = np.random.RandomState(0)
LENGTHS = [40, 25, 35, 30, 20, 30]
N = sum(LENGTHS)
GROUPS = np.repeat(list("fbdace"), LENGTHS)
Z = (np.arange(N) // 8) % 3
X = RNG.standard_normal((N, 2)) * [1.0, 10.0] + np.array([[0, 0], [3, 0], [0, 40]])[Z] + 5.0
COUNTS = RNG.poisson(np.array([1, 5, 12])[Z])[:, None] + 1
CODES = (COUNTS // 5).astype(int)

# estimator -> settings, rows, and parameters of two states
CHAIN = {"startprob": [0.4, 0.6], "transmat": [[0.9, 0.1], [0.3, 0.7]]}
EXAMPLES = {
    GaussianHMM: ({}, X, {"means": X[:2], "covariances": [np.eye(2)] * 2}),
    StudentTHMM: (
        {},
        X,
        {"means": X[:2], "scales": [np.eye(2)] * 2, "degrees_of_freedom": [3.0, 9.0]},
    ),
    GMMHMM: (
        {"n_mix": 2},
        X,
        {
            "mixture_weights": [[0.5, 0.5], [0.1, 0.9]],
            "means": X[:4].reshape(2, 2, 2),
            "covariances": np.tile(np.eye(2), (2, 2, 1, 1)),
        },
    ),
    PoissonHMM: ({}, COUNTS, {"rates": [[2.0], [9.0]]}),
    BernoulliHMM: ({}, (COUNTS > 4).astype(float), {"probabilities": [[0.2], [0.8]]}),
    CategoricalHMM: ({}, CODES, {"probabilities": [np.full((2, CODES.max() + 1), 0.2)]}),
    MultinomialHMM: ({}, np.c_[COUNTS, COUNTS[::-1]], {"probabilities": [[0.2, 0.8], [0.6, 0.4]]}),
    GammaHMM: (
        {},
        COUNTS + 1.0,
        {"shapes": [[1.0], [2.0]], "scales": [[2.0], [3.0]]},
    ),
    HMM: (
        {"distribution": Gamma()},
        COUNTS.astype(float),
        {"shapes": [[1.0], [2.0]], "scales": [[2.0], [3.0]]},
    ),
}
EXAMPLES[CategoricalHMM][2]["probabilities"][0] /= 0.2 * (CODES.max() + 1)
EVERY = pytest.mark.parametrize("cls", EXAMPLES, ids=lambda cls: cls.__name__)
METHODS = ["predict", "predict_proba", "filter_proba", "score_samples", "score", "bic", "aic"]


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def fitted(cls, **settings):
    own, data, _ = EXAMPLES[cls]
    return cls(2, **own, random_state=0, **settings).fit(data, groups=GROUPS)


def attributes(model):
    return {
        name: value
        for name, value in vars(model).items()
        if name.endswith("_") and not name.startswith("_")
    }


def assert_equal_fits(actual, expected, but=()):
    actual, expected = attributes(actual), attributes(expected)
    assert actual.keys() - set(but) == expected.keys() - set(but)
    for name in expected.keys() - set(but):
        ours, theirs = actual[name], expected[name]
        if isinstance(theirs, list):
            assert len(ours) == len(theirs)
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(a, b, err_msg=name)
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=name)


def test_every_model_has_an_example():
    found = {value for value in vars(emlearn.hmm).values() if inspect.isclass(value)}
    found = {cls for cls in found if issubclass(cls, BaseEstimator)}
    assert found == EXAMPLES.keys()


# ----------------------------------------------------------------- searches


class Spy(GaussianHMM):
    """Writes down the sequences that it is given."""

    seen = []

    def fit(self, X, y=None, sample_weight=None, *, groups=None, lengths=None):
        self.seen.append(("fit", len(X), groups))
        return super().fit(X, y, sample_weight, groups=groups, lengths=lengths)

    def score(self, X, y=None, sample_weight=None, *, groups=None, lengths=None):
        self.seen.append(("score", len(X), groups))
        return super().score(X, y, sample_weight, groups=groups, lengths=lengths)


@pytest.fixture
def seen():
    Spy.seen.clear()
    return Spy.seen


def by_hand(train, test, criterion="score", **settings):
    """The score of one fold."""
    scaler = StandardScaler().fit(X[train])
    model = GaussianHMM(random_state=0, **settings)
    model.fit(scaler.transform(X[train]), groups=GROUPS[train])
    return getattr(model, criterion)(scaler.transform(X[test]), groups=GROUPS[test])


def piped(model):
    return Pipeline([("scale", StandardScaler()), ("hmm", model)])


def test_whole_sequences_in_every_fold_of_a_search(routing, seen):
    grid = {"hmm__n_components": [1, 2, 3], "hmm__covariance_type": ["full", "diag"]}
    search = GridSearchCV(piped(Spy(random_state=0)), grid, cv=GroupKFold(3))
    search.fit(X, groups=GROUPS)  # no set_fit_request, no set_score_request
    folds = list(GroupKFold(3).split(X, groups=GROUPS))
    sizes = dict(zip("fbdace", LENGTHS, strict=True))
    assert len(seen) == 6 * 3 * 2 + 1
    for _, n, groups in seen:
        assert len(groups) == n
        for name, count in zip(*np.unique(groups, return_counts=True), strict=True):
            assert count == sizes[name]
    fits = [set(groups) for method, _, groups in seen if method == "fit"]
    scores = [set(groups) for method, _, groups in seen if method == "score"]
    assert fits.pop() == set(sizes)  # the last one, of everything
    for train, test in zip(fits, scores, strict=True):
        assert train | test == set(sizes) and not train & test
    for parameters, found in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        settings = {name.removeprefix("hmm__"): value for name, value in parameters.items()}
        values = [by_hand(train, test, **settings) for train, test in folds]
        assert found == pytest.approx(np.mean(values), rel=1e-12)
    best = search.best_estimator_[-1]
    assert best.n_sequences_ == 6
    Y = StandardScaler().fit_transform(X)
    expected = GaussianHMM(best.n_components, best.covariance_type, random_state=0).fit(
        Y, groups=GROUPS
    )
    assert_equal_fits(best, expected)
    # the search hands groups on, too
    assert search.score(X, groups=GROUPS) == expected.score(Y, groups=GROUPS)


def test_cross_validation_of_sequences(routing):
    model = GaussianHMM(3, random_state=0)
    folds = list(GroupKFold(3).split(X, groups=GROUPS))
    expected = [by_hand(train, test, n_components=3) for train, test in folds]
    arguments = {"cv": GroupKFold(3), "params": {"groups": GROUPS}}
    np.testing.assert_allclose(cross_val_score(piped(model), X, **arguments), expected, rtol=1e-12)
    found = cross_validate(piped(model), X, return_estimator=True, **arguments)
    np.testing.assert_allclose(found["test_score"], expected, rtol=1e-12)
    assert [e[-1].n_sequences_ for e in found["estimator"]] == [
        len(set(GROUPS[train])) for train, _ in folds
    ]


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_predictions_for_one_sequence_after_the_other(routing, method):
    # scikit-learn hands no groups on to predictions: each fold is to be one sequence
    model = GaussianHMM(2, random_state=0)
    found = cross_val_predict(
        model, X, cv=LeaveOneGroupOut(), params={"groups": GROUPS}, method=method
    )
    for name in set(GROUPS):
        test = name == GROUPS
        hmm = clone(model).fit(X[~test], groups=GROUPS[~test])
        np.testing.assert_array_equal(found[test], getattr(hmm, method)(X[test]))


@pytest.mark.parametrize("scorer", [bic_scorer, aic_scorer], ids=repr)
def test_criteria_of_sequences_choose_in_a_search(routing, scorer):
    search = GridSearchCV(
        piped(GaussianHMM(random_state=0)),
        {"hmm__n_components": [1, 2, 3]},
        scoring=scorer,
        cv=[(np.arange(N), np.arange(N))],
    )
    search.fit(X, groups=GROUPS)
    everything = np.arange(N)
    expected = [
        -by_hand(everything, everything, criterion=scorer.criterion, n_components=K)
        for K in (1, 2, 3)
    ]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], expected, rtol=1e-12)
    # read as one sequence, it is another number
    Y = StandardScaler().fit_transform(X)
    hmm = search.best_estimator_[-1]
    assert abs(hmm.bic(Y) - hmm.bic(Y, groups=GROUPS)) > 1e-3


def test_criteria_leave_groups_to_models_of_sequences(routing):
    search = GridSearchCV(
        GaussianMixture(random_state=0),
        {"n_components": [1, 2]},
        scoring=bic_scorer,
        cv=GroupKFold(3),
    )
    search.fit(X, groups=GROUPS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    with pytest.raises(TypeError, match="icl_scorer needs an estimator with a method icl"):
        icl_scorer(GaussianHMM(2, random_state=0).fit(X), X)


def test_pipelines_hand_groups_on(routing):
    model = piped(GaussianHMM(3, random_state=0)).fit(X, groups=GROUPS)
    Y = StandardScaler().fit_transform(X)
    expected = GaussianHMM(3, random_state=0).fit(Y, groups=GROUPS)
    assert_equal_fits(model[-1], expected)
    for method in ("predict", "predict_proba", "score"):
        found = getattr(model, method)(X, groups=GROUPS)
        np.testing.assert_array_equal(found, getattr(expected, method)(Y, groups=GROUPS))
    found = piped(GaussianHMM(3, random_state=0)).fit_predict(X, groups=GROUPS)
    np.testing.assert_array_equal(found, expected.predict(Y, groups=GROUPS))


def test_lengths_and_weights_are_asked_for_by_name(routing):
    lengths, weights = np.array(LENGTHS), np.repeat([1.0, 2.0, 0.5, 1.0, 1.0, 3.0], LENGTHS)
    with pytest.raises(UnsetMetadataPassedError, match="lengths"):
        make_pipeline(StandardScaler(), GaussianHMM(2)).fit(X, lengths=lengths)
    hmm = GaussianHMM(2, random_state=0).set_fit_request(lengths=True)
    model = make_pipeline(StandardScaler(), hmm).fit(X, lengths=lengths)
    assert model[-1].n_sequences_ == 6
    hmm = GaussianHMM(2, random_state=0)
    hmm.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    search = GridSearchCV(hmm, {"n_components": [1, 2]}, cv=GroupKFold(3))
    search.fit(X, groups=GROUPS, sample_weight=weights)
    expected = GaussianHMM(**search.best_estimator_.get_params())
    expected.fit(X, groups=GROUPS, sample_weight=weights)
    assert_equal_fits(search.best_estimator_, expected)
    folds = GroupKFold(3).split(X, groups=GROUPS)
    values = [
        GaussianHMM(1)
        .fit(X[train], groups=GROUPS[train], sample_weight=weights[train])
        .score(X[test], groups=GROUPS[test], sample_weight=weights[test])
        for train, test in folds
    ]
    assert search.cv_results_["mean_test_score"][0] == pytest.approx(np.mean(values), rel=1e-12)


def test_who_does_not_want_groups_says_so(routing):
    hmm = (
        GaussianHMM(2, random_state=0).set_fit_request(groups=False).set_score_request(groups=False)
    )
    model = piped(hmm).fit(X)
    assert model[-1].n_sequences_ == 1


# -------------------------------------------------------- without routing


def test_without_routing_a_pipeline_is_told_by_the_name_of_the_step():
    model = piped(GaussianHMM(3, random_state=0)).fit(X, hmm__groups=GROUPS)
    expected = GaussianHMM(3, random_state=0).fit(StandardScaler().fit_transform(X), groups=GROUPS)
    assert_equal_fits(model[-1], expected)
    with pytest.warns(
        UserWarning, match=r"reads X as one sequence, but the fit had 6.*enable_metadata_routing"
    ):
        value = model.score(X)
    assert value == expected.score(StandardScaler().fit_transform(X), groups=["all"] * N)


def test_a_score_of_one_sequence_after_a_fit_of_one_or_told_so_warns_of_nothing(recwarn):
    alone, several = GaussianHMM(2, random_state=0), GaussianHMM(2, random_state=0)
    alone.fit(X).score(X)
    several.fit(X, groups=GROUPS)
    several.score(X, groups=GROUPS)
    several.score(X, lengths=LENGTHS)
    several.score([X])
    several.score(X, lengths=[N])
    GaussianHMM.from_parameters(**CHAIN, **EXAMPLES[GaussianHMM][2]).score(X)
    assert not [w for w in recwarn if issubclass(w.category, UserWarning)]


def test_without_routing_a_search_over_lists_cannot_be_but_one_fold_can():
    folds = [(np.arange(40, N), np.arange(40))]
    search = GridSearchCV(GaussianHMM(random_state=0), {"n_components": [1, 2]}, cv=folds)
    search.fit(X)
    hmm = GaussianHMM(2, random_state=0).fit(X[40:])
    assert search.cv_results_["mean_test_score"][1] == hmm.score(X[:40])


# ---------------------------------------------------- parameters and copies


@EVERY
def test_parameters_are_read_set_and_cloned(cls):
    own, data, _ = EXAMPLES[cls]
    changed = {
        "n_components": 3,
        "topology": "left-right",
        "startprob_prior": 2.0,
        "transmat_prior": np.full((3, 3), 1.5),
        "tol": 1e-2,
        "max_iter": 7,
        "n_init": 2,
        "init_params": "random",
        "random_state": 3,
        "n_jobs": 2,
        "accelerate": "squarem",
    }
    model = cls(**own).set_params(**changed)
    for name, value in changed.items():
        assert model.get_params()[name] is value
        assert getattr(model, name) is value
    twin = clone(model.fit(data, groups=GROUPS))
    assert not attributes(twin)
    assert repr(twin) == repr(model)
    with pytest.raises(NotFittedError):
        twin.predict(data)
    assert_equal_fits(twin.fit(data, groups=GROUPS), model)
    with pytest.raises(ValueError, match="Invalid parameter 'tolerance'"):
        model.set_params(tolerance=1)
    signature = inspect.signature(cls.__init__).parameters
    assert set(cls().get_params(deep=False)) == set(signature) - {"self"}


def test_hyper_parameters_of_the_distribution_are_within_reach():
    model = HMM(2, distribution=StudentT())
    model.set_params(distribution__degrees_of_freedom=4.0, distribution__covariance_type="diag")
    model.fit(X, groups=GROUPS)
    np.testing.assert_array_equal(model.degrees_of_freedom_, [4.0, 4.0])
    assert model.scales_.shape == (2, 2)
    grid = {"distribution__covariance_type": ["full", "diag"], "n_components": [1, 2]}
    search = GridSearchCV(HMM(distribution=Gaussian(reg_covar=1e-6), random_state=0), grid, cv=2)
    search.fit(X)
    assert search.best_estimator_.distribution.covariance_type in ("full", "diag")
    same = GaussianHMM(2, random_state=0).fit(X, groups=GROUPS)
    other = HMM(2, random_state=0).fit(X, groups=GROUPS)
    np.testing.assert_array_equal(same.lower_bounds_, other.lower_bounds_)


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def through_skops(model):
    data = skops.io.dumps(model)
    unknown = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith("emlearn.") for name in unknown), unknown
    return skops.io.loads(data, trusted=unknown)


TRIPS = pytest.mark.parametrize(
    "trip", [through_pickle, through_joblib, through_skops, copy.deepcopy]
)


@EVERY
@TRIPS
def test_round_trips(cls, trip):
    _, data, _ = EXAMPLES[cls]
    model = fitted(cls, max_iter=3, warm_start=True)
    twin = trip(model)
    assert type(twin) is cls and repr(twin) == repr(model)
    assert vars(twin).keys() == vars(model).keys()
    assert_equal_fits(twin, model)
    for method in METHODS:
        expected = getattr(model, method)(data, groups=GROUPS)
        np.testing.assert_array_equal(getattr(twin, method)(data, groups=GROUPS), expected)
    np.testing.assert_array_equal(
        twin.forecast(data, 2).state_proba, model.forecast(data, 2).state_proba
    )
    with pytest.warns(UserWarning, match="the fit had 6"):
        twin.score(data)
    # it also continues as if never stored
    assert_equal_fits(twin.fit(data, groups=GROUPS), model.fit(data, groups=GROUPS))


@EVERY
@TRIPS
def test_round_trips_of_given_parameters(cls, trip):
    own, data, states = EXAMPLES[cls]
    model = cls.from_parameters(**CHAIN, **states, **own)
    twin = trip(model)
    for method in METHODS:
        expected = getattr(model, method)(data, groups=GROUPS)
        np.testing.assert_array_equal(getattr(twin, method)(data, groups=GROUPS), expected)
    np.testing.assert_array_equal(
        twin.sample(9, random_state=0)[0], model.sample(9, random_state=0)[0]
    )
    assert model.n_parameters_ == twin.n_parameters_
    # a fit begins with the parameters
    for hmm in (model, twin):
        hmm.set_params(max_iter=2, tol=0).fit(data, groups=GROUPS)
    assert_equal_fits(twin, model)


@EVERY
def test_given_parameters_are_what_is_published(cls):
    own, data, states = EXAMPLES[cls]
    model = cls.from_parameters(**CHAIN, **states, **own)
    for name, value in {**CHAIN, **states}.items():
        found = getattr(model, f"{name}_")
        for a, b in zip(found, value, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)
    assert model.n_features_in_ == data.shape[1]
    other = fitted(cls)
    again = cls.from_parameters(
        other.startprob_,
        other.transmat_,
        **{name: getattr(other, f"{name}_") for name in states},
        **own,
    )
    np.testing.assert_allclose(
        again.score_samples(data, groups=GROUPS),
        other.score_samples(data, groups=GROUPS),
        rtol=1e-9,
    )


# ------------------------------------------------------------------ frames


@pytest.fixture(params=["pandas", "polars"])
def frame(request):
    make = {"pandas": pd.DataFrame, "polars": pl.DataFrame}[request.param]
    return lambda columns: make(dict(columns))


def columns(names=("u", "v")):
    return dict(zip(names, X.T, strict=True))


def test_frames_are_fitted_as_their_arrays(frame):
    data = frame({**columns(), "group": GROUPS})
    rows, groups = data[["u", "v"]], data["group"]
    hmm = GaussianHMM(3, random_state=0).fit(rows, groups=groups)
    array = GaussianHMM(3, random_state=0).fit(X, groups=GROUPS)
    assert_equal_fits(hmm, array, but={"feature_names_in_"})
    assert list(hmm.feature_names_in_) == ["u", "v"]
    assert not hasattr(array, "feature_names_in_")
    for method in METHODS:
        expected = getattr(array, method)(X, groups=GROUPS)
        np.testing.assert_array_equal(getattr(hmm, method)(rows, groups=groups), expected)


def test_a_list_of_frames(frame):
    parts = [
        frame(dict(zip("uv", part.T, strict=True))) for part in np.split(X, np.cumsum(LENGTHS)[:-1])
    ]
    hmm = GaussianHMM(3, random_state=0).fit(parts)
    assert list(hmm.feature_names_in_) == ["u", "v"]
    array = GaussianHMM(3, random_state=0).fit(X, groups=GROUPS)
    assert_equal_fits(hmm, array, but={"feature_names_in_"})
    np.testing.assert_array_equal(hmm.predict(parts), array.predict(X, groups=GROUPS))


def test_wrong_names_are_refused(frame):
    hmm = GaussianHMM(2, random_state=0).fit(frame(columns()))
    for method in ("predict", "filter_proba", "score", "forecast"):
        with pytest.raises(ValueError, match="unseen at fit time"):
            getattr(hmm, method)(frame(columns(("u", "w"))))
        with pytest.raises(ValueError, match="must be in the same order"):
            getattr(hmm, method)(frame(dict(reversed(columns().items()))))


def test_frames_that_a_pipeline_makes_change_nothing():
    framed = piped(GaussianHMM(3, random_state=0)).set_output(transform="pandas")
    framed.fit(pd.DataFrame(columns()), hmm__groups=pd.Series(GROUPS))
    assert list(framed[-1].feature_names_in_) == ["u", "v"]
    scaled = framed[:-1].transform(pd.DataFrame(columns()))
    plain = GaussianHMM(3, random_state=0).fit(scaled.to_numpy(), groups=GROUPS)
    assert_equal_fits(framed[-1], plain, but={"feature_names_in_"})
    found = framed.predict(pd.DataFrame(columns()))
    np.testing.assert_array_equal(found, plain.predict(scaled.to_numpy()))
    assert not hasattr(GaussianHMM(), "set_output")


# --------------------------------------------------------------- callbacks


class Recorder:
    """Writes down the ends of iterations; stops each run at one of them."""

    max_propagation_depth = None

    def __init__(self, stop_at=None):
        self.stop_at, self.fits, self.data = stop_at, [], []

    def setup(self, estimator, context):
        self.fits.append("setup")

    def teardown(self, estimator, context):
        self.fits.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X, metadata):
        self.data.append(X)

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name == "iteration":
            self.fits.append((context.parent.task_id, context.task_id, fitted_estimator))
            return self.stop_at == context.task_id + 1


def test_callbacks_see_every_iteration():
    recorder = Recorder()
    hmm = GaussianHMM(3, n_init=2, init_params="random", random_state=0, tol=1e-2)
    unwatched = clone(hmm).fit(X, groups=GROUPS)
    hmm.set_callbacks(recorder).fit(X, groups=GROUPS)
    np.testing.assert_array_equal(hmm.lower_bounds_, unwatched.lower_bounds_)
    assert recorder.fits[0] == "setup" and recorder.fits[-1] == "teardown"
    runs = {}
    for run, number, fitted_estimator in recorder.fits[1:-1]:
        runs.setdefault(run, []).append(fitted_estimator.lower_bound_)
        assert number + 1 == len(runs[run]) == fitted_estimator.n_iter_
        value = fitted_estimator.score(X, groups=GROUPS)
        assert value == pytest.approx(fitted_estimator.lower_bound_, rel=1e-10)
        np.testing.assert_allclose(fitted_estimator.transmat_.sum(axis=1), 1)
    np.testing.assert_array_equal([runs[j][-1] for j in (0, 1)], hmm.restart_lower_bounds_)
    for data in recorder.data:
        np.testing.assert_array_equal(data, X)


def test_a_callback_stops_a_fit():
    hmm = GaussianHMM(3, random_state=0, tol=0).set_callbacks(Recorder(stop_at=4))
    hmm.fit(X, groups=GROUPS)
    assert hmm.n_iter_ == 4 and not hmm.converged_
    assert hmm.stop_reason_.startswith("callback")
    short = GaussianHMM(3, random_state=0, tol=0, max_iter=4).fit(X, groups=GROUPS)
    np.testing.assert_array_equal(short.lower_bounds_, hmm.lower_bounds_)


@pytest.mark.parametrize(
    "given", [{"groups": GROUPS}, {"lengths": LENGTHS}, {}], ids=["groups", "lengths", "one"]
)
def test_scoring_monitor_of_scikit_learn(given):
    def score(estimator, X, y, **sequences):
        return estimator.score(X, **sequences)

    def bic(estimator, X, y, **sequences):
        return estimator.bic(X, **sequences)

    monitor = ScoringMonitor(scoring={"score": score, "bic": bic})
    hmm = GaussianHMM(2, random_state=0).set_callbacks(monitor)
    hmm.fit(X, np.zeros(N), **given)  # it keeps no scores where y is None
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "iteration"]
    np.testing.assert_allclose([row["score"] for row in rows], hmm.lower_bounds_, rtol=1e-10)
    expected = -2 * N * hmm.lower_bounds_ + hmm.n_parameters_ * np.log(N)
    np.testing.assert_allclose([row["bic"] for row in rows], expected, rtol=1e-10)


def test_a_selector_of_mixtures_refuses_sequences():
    with pytest.raises(TypeError, match="GridSearchCV with scoring=bic_scorer"):
        MixtureSelector(GaussianHMM()).fit(X)


# ------------------------------------------------------------------ threads


def answers(hmm, X, **given):
    return [getattr(hmm, method)(X, **given) for method in METHODS] + [
        hmm.decode(X, **given)[0],
        hmm.forecast(X, 2, **given).state_proba,
    ]


def assert_bitwise(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "cls", [GaussianHMM, PoissonHMM, StudentTHMM], ids=lambda cls: cls.__name__
)
@pytest.mark.parametrize("sequences", ["many", "one", "long and short"])
def test_any_number_of_threads_gives_the_same_bits(cls, sequences):
    rng = np.random.RandomState(0)
    n = 6000
    z = (np.arange(n) // 50) % 3
    data = rng.standard_normal((n, 2)) + 2.0 * z[:, None]
    if cls is PoissonHMM:
        data = rng.poisson(1.0 + 3.0 * z)[:, None]
    cuts = {"many": [40] * 150, "one": [n], "long and short": [10, 4990, 500, 500]}
    given = {"lengths": cuts[sequences]}
    settings = {"n_init": 3, "init_params": "random_from_data", "max_iter": 4, "random_state": 0}
    with block_rows(512):
        serial = cls(3, n_jobs=1, **settings).fit(data, **given)
        expected = answers(serial, data, **given)
        for n_jobs in (2, 3, 5):
            parallel = cls(3, n_jobs=n_jobs, **settings).fit(data, **given)
            assert_equal_fits(parallel, serial)
            assert_bitwise(answers(parallel, data, **given), expected)
    # other blocks round otherwise, and no more than that
    whole = cls(3, n_jobs=1, **settings).fit(data, **given)
    np.testing.assert_allclose(whole.lower_bounds_, serial.lower_bounds_, rtol=1e-10)
    np.testing.assert_allclose(whole.transmat_, serial.transmat_, rtol=1e-6)


def test_limits_of_the_threads_of_blas_change_no_bits():
    data = (
        np.random.RandomState(0).standard_normal((9000, 3)) + (np.arange(9000) // 30 % 2)[:, None]
    )
    fits = []
    for limit in (1, 2):
        with threadpool_limits(limit):
            hmm = GaussianHMM(2, max_iter=3, random_state=0).fit(data)
            fits.append([hmm.means_, hmm.transmat_, *answers(hmm, data)])
    assert_bitwise(*fits)


# ------------------------------------------------------- warm starts, speed


@pytest.mark.parametrize("cls", [GaussianHMM, StudentTHMM, PoissonHMM, CategoricalHMM, GMMHMM])
@pytest.mark.parametrize("prior", [None, 2.0])
def test_twenty_fits_of_one_step_are_one_of_twenty(cls, prior):
    own, data, _ = EXAMPLES[cls]
    settings = {**own, "random_state": 0, "tol": 0, "transmat_prior": prior}
    whole = cls(2, max_iter=20, **settings).fit(data, groups=GROUPS)
    parts = cls(2, max_iter=1, warm_start=True, **settings)
    trace = []
    for _ in range(20):
        trace.extend(parts.fit(data, groups=GROUPS).lower_bounds_)
        if parts.stop_reason_.startswith("converged"):
            break
    np.testing.assert_allclose(trace, whole.lower_bounds_, rtol=1e-11)
    for name in ("startprob_", "transmat_"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-9)
    assert parts.converged_ == whole.converged_


def test_a_warm_start_converges_where_a_long_fit_does():
    settings = {"random_state": 0, "tol": 1e-3}
    whole = GaussianHMM(3, max_iter=100, **settings).fit(X, groups=GROUPS)
    assert whole.converged_ and whole.n_iter_ > 3
    parts = GaussianHMM(3, max_iter=1, warm_start=True, **settings)
    for number in range(whole.n_iter_):
        parts.fit(X, groups=GROUPS)
        assert parts.converged_ == (number == whole.n_iter_ - 1)


def test_a_warm_start_takes_other_sequences():
    hmm = GaussianHMM(2, warm_start=True, random_state=0, max_iter=5).fit(X, groups=GROUPS)
    before = hmm.transmat_
    hmm.fit(X[:65], lengths=[40, 25])
    assert hmm.n_sequences_ == 2
    start = {"startprob": hmm.startprob_, "transmat": before}
    assert np.all((hmm.transmat_ > 0) == (start["transmat"] > 0))


@pytest.mark.parametrize("K", [3, 4])
def test_squarem_is_as_good_in_fewer_steps(K):
    data = load_earthquakes().data
    settings = {"tol": 1e-12, "max_iter": 5000, "init_params": "kmeans", "random_state": 0}
    plain = PoissonHMM(K, **settings).fit(data)
    fast = PoissonHMM(K, accelerate="squarem", **settings).fit(data)
    assert fast.lower_bound_ >= plain.lower_bound_ - 1e-8
    assert fast.n_e_steps_ < plain.n_e_steps_
    assert np.all(np.diff(fast.lower_bounds_) >= -1e-12)
    np.testing.assert_allclose(fast.transmat_.sum(axis=1), 1, rtol=1e-12)


def test_squarem_where_states_overlap():
    hmm = GaussianHMM.from_parameters(
        [0.5, 0.5],
        [[0.9, 0.1], [0.1, 0.9]],
        means=[[0.0, 0.0], [0.5, 0.5]],
        covariances=[np.eye(2)] * 2,
    )
    data = hmm.sample(lengths=[200] * 5, random_state=0)[0]
    settings = {"tol": 1e-12, "max_iter": 10_000, "random_state": 0}
    plain = GaussianHMM(2, **settings).fit(data, lengths=[200] * 5)
    fast = GaussianHMM(2, accelerate="squarem", **settings).fit(data, lengths=[200] * 5)
    assert fast.converged_ and plain.converged_
    assert fast.lower_bound_ >= plain.lower_bound_ - 1e-9
    assert fast.n_e_steps_ < 0.6 * plain.n_e_steps_


# ------------------------------------------------------------ single precision


@pytest.mark.parametrize(
    "cls", [GaussianHMM, StudentTHMM, PoissonHMM, HMM], ids=lambda c: c.__name__
)
def test_single_precision_in_and_out(cls):
    own, data, _ = EXAMPLES[cls]
    double = fitted(cls)
    single = cls(2, **own, random_state=0).fit(data.astype(np.float32), groups=GROUPS)
    for name in ("startprob_", "transmat_"):
        assert getattr(single, name).dtype == np.float32
        np.testing.assert_allclose(getattr(single, name), getattr(double, name), atol=1e-3)
    few = data.astype(np.float32)
    for method in ("predict_proba", "filter_proba", "score_samples"):
        found = getattr(single, method)(few, groups=GROUPS)
        assert found.dtype == np.float32
        expected = getattr(double, method)(data, groups=GROUPS)
        np.testing.assert_allclose(found, expected, atol=5e-2)
        assert getattr(double, method)(few, groups=GROUPS).dtype == np.float64
    np.testing.assert_allclose(single.predict_proba(few).sum(axis=1), 1, rtol=1e-6)
    assert single.score(few, groups=GROUPS) == pytest.approx(
        double.score(data, groups=GROUPS), rel=1e-4
    )
    drawn, states = single.sample(7, random_state=0)
    assert states.dtype.kind == "i" and len(drawn) == 7
    proba, _ = single.step(few[0])
    np.testing.assert_allclose(single.step(few[1], proba)[0].sum(), 1, rtol=1e-6)
