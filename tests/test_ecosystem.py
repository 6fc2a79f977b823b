"""What surrounds an estimator: frames, copies, files, searches, callbacks, a terminal."""

import copy
import io
import os
import pickle
import platform
import re
import subprocess
import sys
import termios
from functools import cache
from importlib.metadata import version

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import skops.io
from sklearn.base import BaseEstimator, clone
from sklearn.callback import ScoringMonitor
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError, UnsetMetadataPassedError
from sklearn.mixture import GaussianMixture as ScikitLearn
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import emlearn
from emlearn import EMMixin
from emlearn.datasets import load_faithful
from emlearn.em import Sums
from emlearn.mixture import GaussianMixture
from emlearn.model_selection import aic_scorer, bic_scorer, icl_scorer

COVARIANCES = ["full", "tied", "diag", "spherical"]
PARAMETERS = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]
X = load_faithful().data
NAMES = load_faithful().feature_names
WEIGHTS = np.random.RandomState(0).randint(0, 4, size=len(X)).astype(float)
ALL_ROWS = [(np.arange(len(X)), np.arange(len(X)))]


def assert_equal_fits(actual, expected):
    for name in [*PARAMETERS, "lower_bound_", "n_iter_"]:
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name), err_msg=name)


def far_from_default(**changes):
    settings = {
        "n_components": 3,
        "covariance_type": "tied",
        "tol": 1e-2,
        "reg_covar": 1e-3,
        "max_iter": 50,
        "n_init": 2,
        "init_params": "random_from_data",
        "weights_init": [0.2, 0.3, 0.5],
        "means_init": X[:3],
        "precisions_init": None,
        "random_state": 7,
        "warm_start": True,
        "verbose": 0,
        "verbose_interval": 3,
        "n_jobs": 2,
        "accelerate": "squarem",
        "n_factors": 2,
        "noise": False,
        "prior": "default",
        "weight_concentration_prior": 1.5,
        "algorithm": "batch",
        "batch_size": 100,
        "learning_decay": 0.9,
        "learning_offset": 2.0,
        "e_step": "hard",
        "annealing": None,
        "fixed": {"weights": [0.2, 0.3, 0.5]},
        "equal": None,
    }
    return GaussianMixture(**settings | changes)


# ------------------------------------------------------------------ frames


@pytest.fixture(params=["pandas", "polars"])
def frame(request):
    make = {"pandas": pd.DataFrame, "polars": pl.DataFrame}[request.param]
    return lambda columns: make(dict(columns))


def columns(names=NAMES):
    return dict(zip(names, X.T, strict=True))


def test_frames_are_fitted_as_their_arrays(frame):
    data = frame(columns())
    mixture = GaussianMixture(2, random_state=0).fit(data)
    array = GaussianMixture(2, random_state=0).fit(X)
    assert_equal_fits(mixture, array)
    assert list(mixture.feature_names_in_) == NAMES
    assert not hasattr(array, "feature_names_in_")
    for method in ("predict", "predict_proba", "score_samples", "score", "bic", "aic", "icl"):
        expected = getattr(array, method)(X)
        np.testing.assert_array_equal(getattr(mixture, method)(data), expected, err_msg=method)


def test_weights_of_a_frame(frame):
    data = frame(columns() | {"weight": WEIGHTS})
    mixture = GaussianMixture(2, random_state=0).fit(data[NAMES], sample_weight=data["weight"])
    assert_equal_fits(mixture, GaussianMixture(2, random_state=0).fit(X, sample_weight=WEIGHTS))


@pytest.mark.parametrize("method", ["predict", "score_samples", "score", "bic"])
def test_wrong_names_are_refused(frame, method):
    mixture = GaussianMixture(2, random_state=0).fit(frame(columns()))
    good = columns()
    for bad, message in [
        (columns(["eruptions", "delay"]), "unseen at fit time:\n- delay"),
        (dict(reversed(good.items())), "must be in the same order"),
        ({"waiting": good["waiting"]}, "seen at fit time, yet now missing:\n- eruptions"),
        (good | {"more": X[:, 0]}, "unseen at fit time:\n- more"),
    ]:
        with pytest.raises(ValueError, match=message):
            getattr(mixture, method)(frame(bad))
    for wrong in (X[:, :1], np.c_[X, X]):
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            with pytest.raises(
                ValueError, match=f"{wrong.shape[1]} features.*expecting 2 features"
            ):
                getattr(mixture, method)(wrong)


# ------------------------------------------------------- copies and files


def test_parameters_are_set_and_cloned():
    mixture = far_from_default()
    defaults = GaussianMixture().get_params()
    assert defaults.keys() == mixture.get_params().keys()
    same = ("precisions_init", "verbose", "noise", "algorithm", "annealing", "equal")
    assert all(mixture.get_params()[name] is not defaults[name] for name in defaults.keys() - same)
    twin = clone(mixture.fit(X))
    assert mixture.set_params(**mixture.get_params()) is mixture
    assert repr(twin) == repr(mixture) == repr(GaussianMixture().set_params(**mixture.get_params()))
    with pytest.raises(NotFittedError):
        twin.predict(X)
    assert_equal_fits(twin.fit(X), clone(mixture).fit(X))
    with pytest.raises(ValueError, match="Invalid parameter 'tolerance'"):
        mixture.set_params(tolerance=1)


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


@pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)
@pytest.mark.parametrize("trip", [through_pickle, through_joblib, through_skops])
@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_round_trips(trip, covariance_type, global_dtype):
    data = X.astype(global_dtype)
    mixture = GaussianMixture(
        3, covariance_type=covariance_type, max_iter=3, warm_start=True, random_state=0
    ).fit(pd.DataFrame(data, columns=NAMES))
    data = pd.DataFrame(data, columns=NAMES)
    twin = trip(mixture)
    assert type(twin) is GaussianMixture
    assert vars(twin).keys() == vars(mixture).keys()
    assert repr(twin) == repr(mixture)
    for method in ("predict_proba", "predict", "score_samples", "score"):
        expected = getattr(mixture, method)(data)
        np.testing.assert_array_equal(getattr(twin, method)(data), expected, err_msg=method)
    assert_equal_fits(twin.fit(data), mixture.fit(data))  # it also continues as if never stored


@pytest.mark.parametrize("trip", [through_pickle, through_joblib, through_skops])
def test_round_trip_of_given_parameters(trip):
    mixture = GaussianMixture.from_parameters([0.4, 0.6], X[:2], [np.eye(2), 2 * np.eye(2)])
    np.testing.assert_array_equal(trip(mixture).predict_proba(X), mixture.predict_proba(X))


class Poisson(EMMixin, BaseEstimator):
    """A mixture of two Poisson distributions: a model of one's own, in a module of one's own."""

    def __init__(self, tol=1e-6, max_iter=200, n_init=1, random_state=None, n_jobs=None):
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.random_state = random_state
        self.n_jobs = n_jobs

    def initial_parameters(self, X, sample_weight, random_state):
        return {"weights": np.array([0.5, 0.5]), "rates": X.mean() * random_state.uniform(size=2)}

    def e_step(self, parameters, X, sample_weight):
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        joint = (
            np.exp(X * np.log(parameters["rates"]) - parameters["rates"]) * parameters["weights"]
        )
        shares = joint / joint.sum(axis=1, keepdims=True) * weight[:, None]
        value = weight @ np.log(joint.sum(axis=1))
        return Sums({"counts": shares.sum(axis=0), "sums": shares.T @ X[:, 0]}), float(value)

    def m_step(self, statistics, parameters):
        counts, sums = statistics["counts"], statistics["sums"]
        return {"weights": counts / counts.sum(), "rates": sums / counts}


def test_round_trip_of_a_model_of_ones_own():
    counts = np.random.RandomState(0).poisson(np.repeat([1, 6], 100))[:, None]
    model = Poisson(random_state=0).fit(counts)
    twin = through_pickle(model)
    np.testing.assert_array_equal(twin.rates_, model.rates_)
    assert twin.score(counts) == model.score(counts)
    assert clone(model).get_params() == model.get_params()


# ------------------------------------------------------------ warm starts


@pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)
@pytest.mark.parametrize("covariance_type", COVARIANCES)
@pytest.mark.parametrize("pieces", [[1] * 6, [2, 4], [5, 1]])
def test_warm_starts_continue(covariance_type, pieces):
    settings = {"covariance_type": covariance_type, "tol": 0, "random_state": 0}
    whole = GaussianMixture(3, max_iter=sum(pieces), **settings).fit(X)
    parts = GaussianMixture(3, warm_start=True, n_init=5, init_params="kmeans", **settings)
    traces = []
    for number, piece in enumerate(pieces):
        parts.set_params(max_iter=piece, n_init=5 if number else 1).fit(X)
        traces.append(parts.lower_bounds_)
    assert len(parts.restart_lower_bounds_) == 1
    np.testing.assert_allclose(np.concatenate(traces), whole.lower_bounds_, rtol=1e-12)
    for name in PARAMETERS:
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-9)


def test_a_warm_start_needs_the_same_features():
    mixture = GaussianMixture(2, warm_start=True, random_state=0).fit(X)
    with pytest.raises(ValueError, match="X has 1 features, but GaussianMixture is expecting 2"):
        mixture.fit(X[:, :1])


# ----------------------------------------------------- searches, routing


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def scaled(weights=None):
    return StandardScaler().fit(X, sample_weight=weights).transform(X)


def asking(scaler=True, fit=True, score=True):
    """A pipeline whose steps ask for weights."""
    mixture = GaussianMixture(2, random_state=0)
    mixture.set_fit_request(sample_weight=fit).set_score_request(sample_weight=score)
    scale = StandardScaler().set_fit_request(sample_weight=scaler)
    return Pipeline([("scale", scale), ("mixture", mixture)])


def direct(X, weights=None, n_components=2):
    return GaussianMixture(n_components, random_state=0).fit(X, sample_weight=weights)


@pytest.mark.parametrize("scaler, fit", [(True, True), (True, False), (False, True)])
def test_weights_go_where_they_are_asked_for(routing, scaler, fit):
    pipeline = asking(scaler, fit).fit(X, sample_weight=WEIGHTS)
    Z = scaled(WEIGHTS if scaler else None)
    expected = direct(Z, WEIGHTS if fit else None)
    assert_equal_fits(pipeline[-1], expected)
    assert np.abs(expected.means_ - direct(Z, None if fit else WEIGHTS).means_).max() > 1e-3
    value = pipeline.score(X, sample_weight=WEIGHTS)
    assert value == expected.score(Z, sample_weight=WEIGHTS) != expected.score(Z)


def test_weights_that_nobody_mentioned_are_refused(routing):
    for estimator in (asking(fit=None), GridSearchCV(GaussianMixture(), {"n_components": [2]})):
        with pytest.raises(UnsetMetadataPassedError, match="set_fit_request"):
            estimator.fit(X, sample_weight=WEIGHTS)


def test_weights_reach_every_fit_and_score_of_a_search(routing):
    half = np.arange(len(X)) % 2 == 0
    train, test = np.flatnonzero(half), np.flatnonzero(~half)
    mixture = GaussianMixture(random_state=0)
    mixture.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    search = GridSearchCV(mixture, {"n_components": [1, 2, 3]}, cv=[(train, test)])
    search.fit(X, sample_weight=WEIGHTS)
    for K, found in zip([1, 2, 3], search.cv_results_["mean_test_score"], strict=True):
        expected = direct(X[train], WEIGHTS[train], K)
        assert found == expected.score(X[test], sample_weight=WEIGHTS[test])
    assert_equal_fits(
        search.best_estimator_, direct(X, WEIGHTS, search.best_params_["n_components"])
    )


def test_weights_reach_a_pipeline_in_a_search(routing):
    search = GridSearchCV(asking(), {"mixture__n_components": [1, 2, 3]}, cv=ALL_ROWS)
    search.fit(X, sample_weight=WEIGHTS)
    Z = scaled(WEIGHTS)
    expected = [direct(Z, WEIGHTS, K).score(Z, sample_weight=WEIGHTS) for K in (1, 2, 3)]
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], expected)


CRITERIA = {"bic": bic_scorer, "aic": aic_scorer, "icl": icl_scorer}


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("piped", [True, False])
def test_criteria_choose_in_a_search(criterion, piped):
    grid = [(K, kind) for K in (1, 2, 3) for kind in COVARIANCES]
    mixture = GaussianMixture(random_state=0)
    prefix = "mixture__" if piped else ""
    estimator = Pipeline([("scale", StandardScaler()), ("mixture", mixture)]) if piped else mixture
    search = GridSearchCV(
        estimator,
        [{f"{prefix}n_components": [K], f"{prefix}covariance_type": [kind]} for K, kind in grid],
        scoring=CRITERIA[criterion],
        cv=ALL_ROWS,
    ).fit(X)
    Z = scaled() if piped else X
    values = [
        getattr(GaussianMixture(K, covariance_type=kind, random_state=0).fit(Z), criterion)(Z)
        for K, kind in grid
    ]
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], np.negative(values))
    assert search.best_index_ == np.argmin(values)
    assert repr(CRITERIA[criterion]) == f"{criterion}_scorer"


@pytest.mark.parametrize("criterion", CRITERIA)
def test_criteria_take_weights(routing, criterion):
    mixture = GaussianMixture(random_state=0).set_fit_request(sample_weight=True)
    grid = {"n_components": [1, 2, 3]}
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        GridSearchCV(mixture, grid, scoring=CRITERIA[criterion]).fit(X, sample_weight=WEIGHTS)
    scorer = CRITERIA[criterion].set_score_request(sample_weight=True)
    search = GridSearchCV(mixture, grid, scoring=scorer, cv=ALL_ROWS).fit(X, sample_weight=WEIGHTS)
    expected = [
        -getattr(direct(X, WEIGHTS, K), criterion)(X, sample_weight=WEIGHTS) for K in (1, 2, 3)
    ]
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], expected)


def test_criteria_of_short_pipelines_and_strangers():
    mixture = direct(X)
    assert bic_scorer(Pipeline([("mixture", mixture)]), X) == bic_scorer(mixture, X)
    for stranger in (StandardScaler().fit(X), Pipeline([("scale", StandardScaler())]).fit(X)):
        with pytest.raises(TypeError, match=r"bic_scorer needs.*StandardScaler has none"):
            bic_scorer(stranger, X)


# --------------------------------------------------------------- callbacks


class Recorder:
    """Writes down every hook; stops a run at an iteration, or raises there."""

    max_propagation_depth = None  # also follows a search down to its estimators

    def __init__(self, stop_at=None, raise_at=None):
        self.stop_at, self.raise_at = stop_at, raise_at
        self.events = []

    def note(self, hook, context, **seen):
        path = []
        while context is not None:
            path.insert(0, (context.task_name, context.task_id))
            context = context.parent
        self.events.append((hook, tuple(path), seen))

    def setup(self, estimator, context):
        self.note("setup", context)

    def teardown(self, estimator, context):
        self.note("teardown", context)

    def on_fit_task_begin(self, estimator, context, *, X, metadata):
        self.note("begin", context, X=X, metadata=metadata)

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        self.note("end", context, fitted=fitted_estimator)
        if context.task_name == "iteration":
            if self.raise_at == context.task_id + 1:
                raise RuntimeError("from a callback")
            return self.stop_at == context.task_id + 1

    def paths(self, hook):
        return [path for name, path, _ in self.events if name == hook]

    def fitted(self, *names):
        """The fitted estimators at the end of the tasks of these names."""
        return [
            seen["fitted"]
            for hook, path, seen in self.events
            if hook == "end" and tuple(name for name, _ in path) == names
        ]


ITERATION = ("fit", "restart", "iteration")


@cache
def many_rows():
    """Enough for several blocks of rows, so that the pool of threads is used."""
    return make_blobs(40_000, centers=3, n_features=4, cluster_std=3.0, random_state=0)[0]


def plain(X):
    return GaussianMixture(2, n_init=3, init_params="random", tol=1e-2, random_state=0), X


def threaded(X):
    mixture = GaussianMixture(
        3, n_init=4, n_jobs=2, init_params="random_from_data", tol=1e-2, random_state=0
    )
    return mixture, many_rows()


def own_model(X):
    return Poisson(n_init=3, random_state=0), np.round(X[:, :1])


KINDS = pytest.mark.parametrize("kind", [plain, threaded, own_model])


@KINDS
def test_tasks_of_a_fit(kind):
    model, data = kind(X)
    recorder = Recorder()
    unwatched = clone(model).fit(data)
    assert model.set_callbacks(recorder).fit(data) is model
    hooks = [hook for hook, _, _ in recorder.events]
    assert hooks[:2] == ["setup", "begin"] and hooks[-2:] == ["end", "teardown"]
    assert recorder.paths("setup") == recorder.paths("teardown") == [(("fit", 0),)]
    begun, ended = recorder.paths("begin"), recorder.paths("end")
    assert len(begun) == len(set(begun)) and set(begun) == set(ended)
    position = {event[:2]: i for i, event in enumerate(recorder.events)}
    for path in begun:
        assert position["begin", path] < position["end", path]
        if len(path) > 1:  # within its parent, and after its elder sibling
            assert position["begin", path[:-1]] < position["begin", path]
            assert position["end", path] < position["end", path[:-1]]
        name, number = path[-1]
        if name == "iteration" and number > 0:
            assert position["end", (*path[:-1], (name, number - 1))] < position["begin", path]
    restarts = [path for path in begun if len(path) == 2]
    assert sorted(restarts) == [(("fit", 0), ("restart", j)) for j in range(model.n_init)]
    assert {tuple(name for name, _ in path) for path in begun} == {
        ITERATION[:depth] for depth in (1, 2, 3)
    }
    # whoever watches changes nothing
    np.testing.assert_array_equal(model.restart_lower_bounds_, unwatched.restart_lower_bounds_)
    assert vars(model).keys() - vars(unwatched).keys() == {"_skl_callbacks"}


@KINDS
def test_iterations_show_their_objective(kind):
    model, data = kind(X)
    recorder = Recorder()
    model.set_callbacks(recorder).fit(data)
    iterations = [event for event in recorder.events if event[1][-1][0] == "iteration"]
    ends = [(path, seen["fitted"]) for hook, path, seen in iterations if hook == "end"]
    traces = {}
    for path, fitted in ends:
        traces.setdefault(path[1][1], []).append(fitted.lower_bound_)
        assert fitted.n_iter_ == path[2][1] + 1 == len(fitted.lower_bounds_)
        np.testing.assert_allclose(fitted.score(data), fitted.lower_bound_, rtol=1e-10)
    last = [traces[j][-1] for j in range(model.n_init)]
    np.testing.assert_array_equal(last, model.restart_lower_bounds_)
    best = next(j for j in range(model.n_init) if last[j] == model.lower_bound_)
    np.testing.assert_array_equal(traces[best], model.lower_bounds_)
    (final,) = recorder.fitted("fit")
    assert final.lower_bound_ == model.lower_bound_
    assert final.score(data) == model.score(data)


def test_callbacks_see_data_and_weights():
    recorder = Recorder()
    GaussianMixture(2, random_state=0).set_callbacks(recorder).fit(X, sample_weight=WEIGHTS)
    begins = [seen for hook, _, seen in recorder.events if hook == "begin"]
    for seen in begins:
        np.testing.assert_array_equal(seen["X"], X)
        np.testing.assert_array_equal(seen["metadata"]["sample_weight"], WEIGHTS)


@KINDS
@pytest.mark.parametrize("stop_at", [1, 3])
def test_a_callback_stops_each_run(kind, stop_at):
    model, data = kind(X)
    model.set_params(tol=0)
    recorder = Recorder(stop_at=stop_at)
    model.set_callbacks(recorder).fit(data)
    assert model.stop_reason_.startswith("callback")
    assert not model.converged_
    assert model.n_iter_ == stop_at
    assert len(recorder.fitted(*ITERATION)) == stop_at * model.n_init
    short = clone(model).set_callbacks().set_params(max_iter=stop_at)
    with pytest.warns(ConvergenceWarning):
        short.fit(data)
    assert short.lower_bound_ == model.lower_bound_


@pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)
def test_a_callback_stops_an_accelerated_run():
    settings = {"accelerate": "squarem", "tol": 0, "max_iter": 30, "random_state": 0}
    whole = GaussianMixture(3, **settings).fit(X)
    for stop_at in range(1, 12):
        mixture = GaussianMixture(3, **settings).set_callbacks(Recorder(stop_at=stop_at)).fit(X)
        assert mixture.stop_reason_.startswith("callback")
        assert mixture.n_iter_ == stop_at
        np.testing.assert_array_equal(mixture.lower_bounds_, whole.lower_bounds_[:stop_at])


@KINDS
def test_an_error_in_a_callback_ends_the_fit(kind):
    model, data = kind(X)
    recorder = Recorder(raise_at=2)
    with pytest.raises(RuntimeError, match="from a callback"):
        model.set_callbacks(recorder).fit(data)
    assert [hook for hook, _, _ in recorder.events].count("teardown") == 1
    assert recorder.events[-1][0] == "teardown"
    model.set_callbacks().fit(data)  # and leaves nothing behind
    assert model.converged_


def test_callbacks_of_a_search_reach_the_mixture():
    recorder = Recorder()
    pipeline = Pipeline([("scale", StandardScaler()), ("mixture", GaussianMixture(random_state=0))])
    search = GridSearchCV(pipeline, {"mixture__n_components": [2, 3]}, scoring=bic_scorer, cv=2)
    search.set_callbacks(recorder).fit(X)
    assert len(recorder.paths("setup")) == len(recorder.paths("teardown")) == 1
    restarts = [path for path in recorder.paths("end") if path[-1][0] == "restart"]
    assert len(restarts) == len(set(restarts)) == 2 * 2 + 1
    objectives = [
        seen["fitted"].lower_bounds_
        for hook, path, seen in recorder.events
        if hook == "end" and path[-1][0] == "iteration"
    ]
    np.testing.assert_array_equal(objectives[-1], search.best_estimator_[-1].lower_bounds_)


def test_scoring_monitor_of_scikit_learn():
    monitor = ScoringMonitor(scoring={"bic": lambda estimator, X, y: estimator.bic(X)})
    mixture = GaussianMixture(2, random_state=0).set_callbacks(monitor)
    mixture.fit(X, np.zeros(len(X)))  # it keeps no scores where y is None
    log = monitor.get_logs()
    values = [row["bic"] for row in log.data if row["task_name"] == "iteration"]
    expected = -2 * len(X) * mixture.lower_bounds_ + mixture.n_parameters_ * np.log(len(X))
    np.testing.assert_allclose(values, expected, rtol=1e-10)


# -------------------------------------------------------------- a terminal

PROGRESS = """
import numpy as np
from sklearn.callback import ProgressBar
from emlearn.mixture import GaussianMixture

rng = np.random.RandomState(0)
X = rng.randn({n}, 3) + 3 * rng.randint(0, 3, size=({n}, 1))
mixture = GaussianMixture(3, n_init=4, n_jobs={n_jobs}, init_params="random", random_state=0)
mixture.set_callbacks(ProgressBar()).fit(X)
print("done", mixture.restart_lower_bounds_.size)
"""


def on_a_terminal(code, folder):
    """What a program writes on a pseudo-terminal, and its exit status."""
    leader, follower = os.openpty()
    termios.tcsetwinsize(follower, (50, 120))
    environment = os.environ | {"TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        cwd=folder,
        env=environment,
    )
    os.close(follower)
    written = b""
    try:
        while piece := os.read(leader, 65536):
            written += piece
    except OSError:  # how Linux says that nobody writes any more
        pass
    os.close(leader)
    return written.decode(), process.wait()


@pytest.mark.parametrize("n, n_jobs", [(500, 1), (40_000, 2)])
def test_progress_bar_on_a_terminal(n, n_jobs, tmp_path):
    written, status = on_a_terminal(PROGRESS.format(n=n, n_jobs=n_jobs), tmp_path)
    assert status == 0, written
    assert "\x1b[" in written  # it was drawn, not only printed
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", written)
    assert "done 4" in lines and "Traceback" not in lines and "Warning" not in lines
    frame = re.sub(r"\x1b\[[0-9;?]*m", "", written)  # colours only
    for task in ["fit", *(f"restart #{j}" for j in range(4))]:
        shares = re.findall(rf"GaussianMixture - {task}\b[^\n%]*?(\d+)%", frame)
        assert shares, f"no bar for {task}: {frame}"
        assert shares[-1] == "100", f"{task} ended at {shares[-1]} %"


# --------------------------------------------------------- the surroundings


def test_show_versions(capsys):
    emlearn.show_versions()
    printed = capsys.readouterr().out
    file = io.StringIO()
    emlearn.show_versions(file)
    assert file.getvalue() == printed
    found = dict(re.findall(r"^  (.+?): +(.+)$", printed, flags=re.MULTILINE))
    for name in ("emlearn", "numpy", "scipy", "scikit-learn", "joblib", "threadpoolctl", "polars"):
        assert found[name] == version(name)
    assert found["emlearn"] == emlearn.__version__
    assert found["python"].startswith(platform.python_version())
    assert found["executable"] == sys.executable
    assert found["instruction set"]
    assert {"compiled", "not compiled, NumPy is used"} & set(found.values())


# ------------------------------------------------------------------ samples


@pytest.mark.parametrize("covariance_type", COVARIANCES)
@pytest.mark.parametrize("n_samples", [1, 2, 100])
def test_samples_are_those_of_scikit_learn(covariance_type, n_samples, global_dtype):
    settings = {"covariance_type": covariance_type, "random_state": 3}
    theirs = ScikitLearn(3, **settings).fit(X.astype(global_dtype))
    ours = GaussianMixture(3, **settings)
    for name in PARAMETERS:
        setattr(ours, name, getattr(theirs, name))
    tolerance = 1e-5 if global_dtype is np.float32 else 1e-12
    drawn = []
    # an integer gives the same rows again, a stream goes on
    for state in (3, 3, np.random.RandomState(5), None):
        for model in (ours, theirs):
            model.set_params(random_state=copy.deepcopy(state) if state else model.random_state)
        (one, labels), (other, their_labels) = ours.sample(n_samples), theirs.sample(n_samples)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(labels, their_labels)
        assert one.shape == (n_samples, 2) and labels.shape == (n_samples,)
        assert one.dtype == other.dtype
        drawn.append(one)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.any(drawn[2] != drawn[3])


def test_a_sample_may_have_its_own_random_state():
    mixture = GaussianMixture(2, random_state=0).fit(X)
    other = clone(mixture).set_params(random_state=1)
    for name in PARAMETERS:
        setattr(other, name, getattr(mixture, name))
    first = mixture.sample(50)
    for state in (1, np.random.RandomState(1)):
        for one, two in zip(mixture.sample(50, random_state=state), other.sample(50), strict=True):
            np.testing.assert_array_equal(one, two)
    assert np.any(mixture.sample(50, random_state=1)[0] != first[0])
    np.testing.assert_array_equal(mixture.sample(50)[0], first[0])


def test_a_sample_is_sorted_and_of_the_mixture():
    mixture = GaussianMixture.from_parameters(
        [0.7, 0.3], [[0.0, 0.0], [50.0, 50.0]], [np.eye(2), 4 * np.eye(2)], random_state=0
    )
    drawn, labels = mixture.sample(20_000)
    assert np.all(np.diff(labels) >= 0)
    np.testing.assert_array_equal(mixture.predict(drawn), labels)
    refit = GaussianMixture(2, means_init=mixture.means_, random_state=0).fit(drawn)
    np.testing.assert_allclose(refit.weights_, mixture.weights_, atol=0.02)
    np.testing.assert_allclose(refit.means_, mixture.means_, atol=0.1)
    np.testing.assert_allclose(refit.covariances_, mixture.covariances_, atol=0.2)
