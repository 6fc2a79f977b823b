"""MixtureSelector: a sweep over the training set, equal to a loop that anybody could write."""

import math
import pickle
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import KMeans
from sklearn.exceptions import (
    ConvergenceWarning,
    FitFailedWarning,
    NotFittedError,
    UnsetMetadataPassedError,
)
from sklearn.mixture import GaussianMixture as ScikitLearn
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from emlearn.datasets import load_faithful
from emlearn.distributions.covariance import COVARIANCES
from emlearn.exceptions import DegenerateComponentsWarning
from emlearn.mixture import GaussianMixture
from emlearn.model_selection import MixtureSelector, bic_scorer, icl_scorer

X = load_faithful().data
TYPES = ["full", "tied", "diag", "spherical"]
GRID = {"n_components": [1, 2, 3], "covariance_type": TYPES}
WEIGHTS = np.random.RandomState(0).randint(1, 4, size=len(X)).astype(float)
HERE = Path(__file__).parent / "reference"


def pipeline(**parameters):
    mixture = GaussianMixture(random_state=0, **parameters)
    return Pipeline([("scale", StandardScaler()), ("mixture", mixture)])


def prefixed(grid, prefix="mixture__"):
    return {f"{prefix}{name}": values for name, values in grid.items()}


def same_table(a, b, but=("fit_time", "score_time")):
    assert a.keys() == b.keys()
    for name in a.keys() - set(but):
        np.testing.assert_array_equal(np.asarray(a[name]), np.asarray(b[name]), err_msg=name)


# ------------------------------------------------------------- common checks


@pytest.fixture
def array_api_checks_are_not_skipped(monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")


@pytest.mark.usefixtures("array_api_checks_are_not_skipped")
@pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)
@parametrize_with_checks([MixtureSelector(GaussianMixture(), {"covariance_type": TYPES})])
def test_common_checks(estimator, check):
    check(estimator)


# ------------------------------------------------------------------ the table


@pytest.mark.parametrize("n_init", [1, 3])
@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
@pytest.mark.parametrize("criterion", ["bic", "aic", "icl"])
def test_equals_a_loop_of_fits(criterion, init_params, n_init):
    base = GaussianMixture(random_state=5, init_params=init_params, n_init=n_init)
    selector = MixtureSelector(base, GRID, criterion=criterion)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        table = selector.fit(X).cv_results_
        alone = [clone(base).set_params(**p).fit(X) for p in ParameterGrid(GRID)]
    assert table["params"] == list(ParameterGrid(GRID))
    for name in ("bic", "aic", "icl"):
        assert table[name].tolist() == [getattr(model, name)(X) for model in alone]
    values = np.array([getattr(model, criterion)(X) for model in alone])
    np.testing.assert_array_equal(table["score"], -values)
    np.testing.assert_allclose(table["log_likelihood"], [len(X) * m.score(X) for m in alone])
    assert table["n_parameters"].tolist() == [m.n_parameters_ for m in alone]
    assert table["n_iter"].tolist() == [m.n_iter_ for m in alone]
    assert table["converged"].tolist() == [m.converged_ for m in alone]
    assert table["stop_reason"].tolist() == [m.stop_reason_ for m in alone]
    assert selector.best_score_ == pytest.approx(-values.min(), rel=1e-9)
    best = alone[selector.best_index_]
    np.testing.assert_array_equal(selector.best_estimator_.means_, best.means_)
    np.testing.assert_array_equal(selector.best_estimator_.covariances_, best.covariances_)
    assert selector.best_estimator_.get_params() == best.get_params()


def test_the_table_is_a_frame():
    selector = MixtureSelector(param_grid=GRID, random_state=0).fit(X)
    frame = pd.DataFrame(selector.cv_results_)
    assert len(frame) == 12
    assert frame["param_n_components"].dtype.kind == frame["n_parameters"].dtype.kind == "i"
    table = frame.pivot(index="param_n_components", columns="param_covariance_type", values="bic")
    assert table.shape == (3, 4)
    assert frame.loc[frame["rank_score"] == 1, "params"].iloc[0] == selector.best_params_
    assert (frame["rank_score"] == frame["rank_bic"]).all()
    assert not frame["warning"].any() and not frame["error"].any()
    assert (frame["fit_time"] > 0).all()


def test_default_grid():
    selector = MixtureSelector(random_state=0).fit(X)
    assert isinstance(selector.best_estimator_, GaussianMixture)
    # mclust's fourteen, each by one name
    types = {model.name for model in COVARIANCES.values() if not model.low_rank}
    assert len(types) == 14 and types > set(TYPES)
    assert len(selector.cv_results_["params"]) == 9 * len(types)
    assert set(selector.cv_results_["param_covariance_type"]) == types
    piped = MixtureSelector(Pipeline([("p", pipeline())])).fit(X)
    assert set(piped.best_params_) == {"p__mixture__n_components", "p__mixture__covariance_type"}


def test_lists_of_grids_are_masked():
    grid = [{"n_components": [1, 2]}, {"covariance_type": ["diag"], "tol": [0.1]}]
    table = MixtureSelector(GaussianMixture(random_state=0), grid).fit(X).cv_results_
    assert table["param_n_components"].mask.tolist() == [False, False, True]
    assert table["param_tol"].mask.tolist() == [True, True, False]
    assert table["param_tol"][2] == 0.1
    assert pd.DataFrame(table)["param_n_components"].isna().tolist() == [False, False, True]


def test_values_that_are_arrays():
    labels = (X[:, 0] > 3).astype(int)
    grid = {"n_components": [2], "init_params": [labels, 1 - labels, "kmeans"]}
    selector = MixtureSelector(GaussianMixture(random_state=0), grid).fit(X)
    assert selector.cv_results_["param_init_params"][0] is labels
    pd.DataFrame(selector.cv_results_)


def test_an_empty_dict_is_one_fit():
    selector = MixtureSelector(GaussianMixture(2, random_state=0), {}).fit(X)
    assert selector.best_params_ == {}
    assert selector.bic(X) == GaussianMixture(2, random_state=0).fit(X).bic(X)


# ------------------------------------------------------------------ criteria


@pytest.mark.parametrize("scorer", [bic_scorer, icl_scorer])
def test_scorers_are_criteria(scorer):
    base = GaussianMixture(random_state=0)
    called = MixtureSelector(base, GRID, criterion=scorer).fit(X)
    named = MixtureSelector(base, GRID, criterion=scorer.criterion).fit(X)
    same_table(called.cv_results_, named.cv_results_)
    assert called.best_params_ == named.best_params_


def test_a_callable_is_maximised():
    def few(estimator, X):
        return -float(estimator.n_components)

    selector = MixtureSelector(GaussianMixture(random_state=0), GRID, criterion=few).fit(X)
    assert selector.best_params_["n_components"] == 1 and selector.best_score_ == -1.0
    assert selector.cv_results_["rank_score"].tolist() == [1, 5, 9] * 4
    with pytest.raises(TypeError, match="takes no sample_weight"):
        clone(selector).fit(X, sample_weight=WEIGHTS)


def test_ties_go_to_the_fewest_parameters():
    def equal(estimator, X):
        return 1.0

    grid = {"n_components": [3, 2, 1]}
    selector = MixtureSelector(GaussianMixture(random_state=0), grid, criterion=equal).fit(X)
    assert selector.best_index_ == 2
    assert selector.cv_results_["rank_score"].tolist() == [1, 1, 1]
    # one model under two names: the first, whatever the last bit says
    for first, second in (("full", "tied"), ("tied", "full")):
        grid = {"covariance_type": [first, second]}
        selector = MixtureSelector(GaussianMixture(), grid).fit(X)
        assert selector.best_index_ == 0 and selector.best_params_["covariance_type"] == first
        assert selector.cv_results_["rank_bic"].tolist() == [1, 1]


# ------------------------------------------------------- what does not succeed


def test_a_cell_that_fails_is_kept_without_a_score():
    grid = {"n_components": [1, 2, 30]}
    selector = MixtureSelector(GaussianMixture(random_state=0), grid)
    with pytest.warns(FitFailedWarning, match=r"1 of 3 fits failed.*n_components=30: ValueError"):
        selector.fit(X[:20])
    table = selector.cv_results_
    assert np.isnan(table["bic"]).tolist() == [False, False, True]
    assert math.isnan(table["score"][2]) and table["rank_score"][2] == 3
    assert table["n_parameters"].mask.tolist() == [False, False, True]
    assert table["error"][:2].tolist() == ["", ""] and "n_samples >= n_comp" in table["error"][2]
    assert selector.best_params_["n_components"] in (1, 2)
    pd.DataFrame(table)
    with pytest.raises(ValueError, match="n_samples >= n_components"):
        selector.set_params(error_score="raise").fit(X[:20])


def test_a_singular_fit_fails_without_regularisation():
    data = np.r_[np.zeros((20, 2)), np.random.RandomState(0).randn(50, 2) + 5]
    grid = {"n_components": [1, 2]}
    with pytest.warns(FitFailedWarning, match="SingularError"):
        selector = MixtureSelector(GaussianMixture(reg_covar=0, random_state=0), grid).fit(data)
    assert selector.best_params_ == {"n_components": 1}


def test_all_fail():
    base = GaussianMixture(random_state=0)
    with pytest.raises(ValueError, match=r"(?s)All 2 fits failed.*n_components = 30.*= 40"):
        MixtureSelector(base, {"n_components": [30, 40]}).fit(X[:20])
    bad = X.copy()
    bad[3, 1] = np.inf
    with pytest.raises(ValueError, match="Found in column 1") as caught:  # the data: said once
        MixtureSelector(base, GRID).fit(bad)
    assert "fits failed" not in str(caught.value)


def test_an_unbounded_criterion_does_not_win():
    def unbounded(estimator, X):
        return math.inf if estimator.n_components == 3 else float(estimator.n_components)

    with pytest.warns(FitFailedWarning, match="criterion of this fit is inf"):
        selector = MixtureSelector(
            GaussianMixture(random_state=0), {"n_components": [1, 2, 3]}, criterion=unbounded
        ).fit(X)
    assert selector.best_params_ == {"n_components": 2}


def test_warnings_of_fits_are_in_the_table():
    grid = {"n_components": [2, 3], "max_iter": [1, 1000]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        selector = MixtureSelector(GaussianMixture(tol=1e-6, random_state=0), grid).fit(X)
    table = selector.cv_results_
    short = table["param_max_iter"] == 1
    assert (table["converged"] == ~short).all()
    assert all("did not converge" in text for text in table["warning"][short])
    (warning,) = caught
    assert "2 of the 3 fits that were not chosen" in str(warning.message)
    assert issubclass(warning.category, ConvergenceWarning) and warning.filename == __file__


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_chosen_fit_warns_as_it_would_alone(n_jobs):
    data = np.repeat([[0.0, 0.0], [1.0, 1.0], [5.0, 0.0]], 10, axis=0)
    selector = MixtureSelector(
        GaussianMixture(random_state=0), {"n_components": [3]}, n_jobs=n_jobs
    )
    with pytest.warns(DegenerateComponentsWarning, match="collapsed"):
        selector.fit(data)
    assert "collapsed" in selector.cv_results_["warning"][0]


@pytest.mark.parametrize(
    "parameters, error, match",
    [
        ({"criterion": "dic"}, ValueError, "criterion"),
        ({"param_grid": []}, ValueError, "param_grid is empty"),
        ({"param_grid": {"n_components": []}}, ValueError, "non-empty"),
        ({"param_grid": {"n_comps": [1]}}, ValueError, "n_comps"),
        ({"param_grid": 3}, ValueError, "param_grid"),
        ({"estimator": KMeans(), "param_grid": None}, TypeError, r"bic\(X\).*KMeans has none"),
        ({"estimator": KMeans(), "param_grid": {}}, TypeError, r"bic\(X\).*KMeans has none"),
        ({"estimator": ScikitLearn(), "criterion": "icl"}, TypeError, "icl"),
        ({"estimator": 3}, ValueError, "estimator"),
        ({"error_score": 0.0}, ValueError, "error_score must be"),
        ({"n_jobs": 1.5}, ValueError, "n_jobs"),
    ],
)
def test_bad_parameters(parameters, error, match):
    with pytest.raises(error, match=match):
        MixtureSelector(**{"param_grid": {"n_components": [1]}, **parameters}).fit(X)


# ------------------------------------------------------------ other estimators


def test_pipeline():
    selector = MixtureSelector(pipeline(), prefixed(GRID)).fit(X)
    Z = StandardScaler().fit_transform(X)
    inner = MixtureSelector(GaussianMixture(random_state=0), GRID).fit(Z)
    np.testing.assert_array_equal(selector.cv_results_["bic"], inner.cv_results_["bic"])
    assert selector.best_index_ == inner.best_index_
    np.testing.assert_array_equal(selector.predict(X), inner.predict(Z))
    assert selector.bic(X) == inner.bic(Z) == -selector.best_score_
    assert not hasattr(selector, "sample")  # a pipeline has none
    assert selector.n_features_in_ == 2


def test_a_grid_over_the_transformation():
    grid = {"scale": [StandardScaler(), "passthrough"], "mixture__n_components": [1, 2]}
    table = MixtureSelector(pipeline(), grid).fit(X).cv_results_
    for Z, values in (
        (StandardScaler().fit_transform(X), table["bic"][0::2]),
        (X, table["bic"][1::2]),
    ):
        assert Z.shape == X.shape and len(values) == 2
    expected = [
        GaussianMixture(K, random_state=0).fit(Z).bic(Z)
        for K in (1, 2)
        for Z in (StandardScaler().fit_transform(X), X)
    ]
    np.testing.assert_array_equal(table["bic"], expected)


def test_mixture_of_scikit_learn():
    base = ScikitLearn(random_state=0)
    selector = MixtureSelector(base, GRID).fit(X)
    alone = [clone(base).set_params(**params).fit(X) for params in ParameterGrid(GRID)]
    assert selector.cv_results_["bic"].tolist() == [model.bic(X) for model in alone]
    assert selector.cv_results_["n_parameters"].tolist() == [m._n_parameters() for m in alone]
    assert "icl" not in selector.cv_results_ and not hasattr(selector, "icl")
    assert len(selector.sample(3)[0]) == 3
    with pytest.warns(FitFailedWarning):  # more components than rows
        default = MixtureSelector(base).fit(X[:8])
    assert len(default.cv_results_["params"]) == 36


def test_an_estimator_of_ones_own():
    class Constant(BaseEstimator):
        def __init__(self, level=0.0):
            self.level = level

        def fit(self, X, y=None):
            self.seen_ = y
            return self

        def bic(self, X):
            return self.level

    selector = MixtureSelector(Constant(), {"level": [2.0, 1.0, 3.0]}).fit(X, np.ones(len(X)))
    assert selector.best_params_ == {"level": 1.0}
    assert selector.best_estimator_.seen_ is not None
    for name in ("predict", "predict_proba", "score", "score_samples", "sample", "aic", "icl"):
        assert not hasattr(selector, name)
    assert "n_parameters" not in selector.cv_results_ and "converged" not in selector.cv_results_


# -------------------------------------------------------------------- weights


@pytest.mark.parametrize("piped", [False, True])
def test_weights_are_repetitions_in_the_table(piped):
    repeated = np.repeat(np.arange(len(X)), WEIGHTS.astype(int))

    def by_duration(Z, n_components, random_state):
        return (Z[:, 0] > 3).astype(int)

    mixture = GaussianMixture(2, init_params=by_duration, random_state=0)
    base = Pipeline([("same", "passthrough"), ("mixture", mixture)]) if piped else mixture
    grid = {"covariance_type": TYPES, "reg_covar": [1e-6, 1e-3]}
    grid = prefixed(grid) if piped else grid
    a = MixtureSelector(base, grid).fit(X, sample_weight=WEIGHTS)
    b = MixtureSelector(base, grid).fit(X[repeated])
    for name in ("bic", "aic", "icl", "log_likelihood", "n_parameters"):
        np.testing.assert_allclose(a.cv_results_[name], b.cv_results_[name], rtol=1e-8)
    assert a.best_params_ == b.best_params_
    assert a.bic(X, sample_weight=WEIGHTS) == pytest.approx(b.bic(X[repeated]))
    plain = MixtureSelector(base, grid).fit(X)
    assert not np.allclose(plain.cv_results_["bic"], a.cv_results_["bic"])


def test_weights_are_routed():
    with sklearn.config_context(enable_metadata_routing=True):
        grid = prefixed({"n_components": [1, 2]})
        with pytest.raises(UnsetMetadataPassedError, match="set_fit_request"):
            MixtureSelector(pipeline(), grid).fit(X, sample_weight=WEIGHTS)
        for scaler, fit in ((True, True), (True, False), (False, True)):
            base = pipeline()
            base[0].set_fit_request(sample_weight=scaler)
            base[1].set_fit_request(sample_weight=fit).set_score_request(sample_weight=True)
            selector = MixtureSelector(base, grid).fit(X, sample_weight=WEIGHTS)
            Z = StandardScaler().fit(X, sample_weight=WEIGHTS if scaler else None).transform(X)
            w = WEIGHTS if fit else None
            alone = [
                GaussianMixture(K, random_state=0).fit(Z, sample_weight=w).bic(Z, sample_weight=w)
                for K in (1, 2)
            ]
            assert selector.cv_results_["bic"].tolist() == alone
            value = selector.score(X, sample_weight=WEIGHTS)
            assert value == selector.best_estimator_[-1].score(Z, sample_weight=WEIGHTS)


def test_the_selector_itself_asks_for_nothing():
    assert not hasattr(MixtureSelector, "set_fit_request")
    assert not hasattr(MixtureSelector, "set_score_request")


# ---------------------------------------------------- starts, threads, seeds


def count_starts(monkeypatch):
    from emlearn.em import starts

    drawn = []
    kmeans = starts._kmeans_labels
    monkeypatch.setattr(starts, "_kmeans_labels", lambda *a: drawn.append(a[1]) or kmeans(*a))
    return drawn


@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("random_state", [3, None, np.random.RandomState(3)])
def test_each_start_is_drawn_once(monkeypatch, random_state, n_jobs):
    drawn = count_starts(monkeypatch)
    MixtureSelector(GaussianMixture(random_state=random_state), GRID, n_jobs=n_jobs).fit(X)
    assert sorted(drawn) == [1, 2, 3]
    drawn.clear()
    MixtureSelector(pipeline(n_init=2), prefixed(GRID), n_jobs=n_jobs).fit(X)
    assert sorted(drawn) == [1, 1, 2, 2, 3, 3]
    drawn.clear()
    MixtureSelector(GaussianMixture(), {**GRID, "random_state": [0, 1]}, n_jobs=n_jobs).fit(X)
    assert sorted(drawn) == [1, 1, 2, 2, 3, 3]


def test_draws_that_do_not_fit_in_memory_are_drawn_again(monkeypatch):
    from emlearn.em.shared import SharedDraws

    monkeypatch.setattr(SharedDraws.__init__, "__defaults__", (0,))
    drawn = count_starts(monkeypatch)
    base = GaussianMixture(random_state=0)
    a = MixtureSelector(base, GRID).fit(X)
    assert len(drawn) == 12
    monkeypatch.undo()
    same_table(a.cv_results_, MixtureSelector(base, GRID).fit(X).cv_results_)


@pytest.mark.parametrize("base", [GaussianMixture(n_init=2), ScikitLearn(), pipeline()])
def test_the_same_for_any_number_of_jobs(base):
    rng = np.random.RandomState(0)
    data = np.concatenate([rng.randn(1500, 6) + 3 * rng.randn(6) for _ in range(3)])
    grid = prefixed(GRID) if isinstance(base, Pipeline) else GRID
    one = MixtureSelector(base, grid, random_state=1, n_jobs=1).fit(data)
    for n_jobs in (2, 4, -1):
        other = MixtureSelector(base, grid, random_state=1, n_jobs=n_jobs).fit(data)
        if not isinstance(base, ScikitLearn):  # its numbers depend on the threads of BLAS
            same_table(one.cv_results_, other.cv_results_)
        assert other.best_params_ == one.best_params_


def filters():
    """The filters of warnings; whether an expression was compiled says nothing."""
    return [tuple(getattr(part, "pattern", part) for part in entry) for entry in warnings.filters]


def test_threads_leave_nothing_behind():
    before = filters()
    grid = {"n_components": [1, 2, 3, 30] * 5}
    with pytest.raises(ValueError, match="n_samples >= n_components"):
        MixtureSelector(GaussianMixture(), grid, n_jobs=3, error_score="raise").fit(X[:20])
    MixtureSelector(GaussianMixture(), {"n_components": [1, 2, 3] * 5}, n_jobs=3).fit(X)
    assert filters() == before


def test_only_the_best_fit_is_kept(monkeypatch):
    from emlearn.model_selection import _selector

    seen = []
    make = _selector.make_table
    monkeypatch.setattr(
        _selector, "make_table", lambda g, cells: seen.extend(cells) or make(g, cells)
    )
    selector = MixtureSelector(GaussianMixture(random_state=0), GRID).fit(X)
    assert [cell.model for cell in seen if cell.model is not None] == [selector.best_estimator_]


def test_other_processes():
    base, grid = GaussianMixture(random_state=0), {"n_components": [1, 2], "max_iter": [1, 100]}
    one = MixtureSelector(base, grid)
    with pytest.warns(ConvergenceWarning):
        one.fit(X)
    with joblib.parallel_config(backend="loky", n_jobs=2), pytest.warns(ConvergenceWarning):
        two = MixtureSelector(base, grid).fit(X)
    same_table(one.cv_results_, two.cv_results_)


def test_random_state():
    for seed in (7, np.random.RandomState(7)):
        selector = MixtureSelector(pipeline(), prefixed({"n_components": [3]}), random_state=seed)
        assert selector.fit(X).best_estimator_[-1].random_state == 0  # its own stays
        base = GaussianMixture(n_components=3)
        selector = MixtureSelector(base, {"covariance_type": TYPES}, random_state=seed).fit(X)
        chosen = selector.best_estimator_
        assert isinstance(chosen.random_state, int) and base.random_state is None
        np.testing.assert_array_equal(clone(chosen).fit(X).means_, chosen.means_)
    selector = MixtureSelector(base, {}, random_state=7).fit(X)
    assert selector.best_estimator_.random_state == 7


# --------------------------------------------------------------- good manners


def test_the_best_fit_is_not_fitted_again(monkeypatch):
    fits = []
    fit = GaussianMixture.fit
    monkeypatch.setattr(
        GaussianMixture, "fit", lambda self, *a, **k: fits.append(1) or fit(self, *a, **k)
    )
    MixtureSelector(GaussianMixture(random_state=0), GRID).fit(X)
    assert len(fits) == 12


def test_methods_are_those_of_the_best_fit():
    selector = MixtureSelector(GaussianMixture(random_state=0), GRID)
    for name in ("predict", "predict_proba", "score_samples", "score", "bic", "aic", "icl"):
        with pytest.raises(NotFittedError):
            getattr(selector, name)(X)
    with pytest.raises(NotFittedError):
        selector.sample()
    selector.fit(X)
    for name in ("predict", "predict_proba", "score_samples", "score", "bic", "aic", "icl"):
        expected = getattr(selector.best_estimator_, name)(X)
        np.testing.assert_array_equal(getattr(selector, name)(X), expected)
    expected = selector.best_estimator_.sample(5, random_state=1)
    for a, b in zip(selector.sample(5, random_state=1), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(clone(selector).fit_predict(X), selector.predict(X))


def test_frames():
    frame = pd.DataFrame(X, columns=["eruptions", "waiting"])
    for base, grid in ((GaussianMixture(random_state=0), GRID), (pipeline(), prefixed(GRID))):
        selector = MixtureSelector(base, grid)
        assert not hasattr(selector, "feature_names_in_")
        assert not hasattr(selector, "n_features_in_")
        selector.fit(frame)
        assert selector.feature_names_in_.tolist() == ["eruptions", "waiting"]
        np.testing.assert_array_equal(selector.predict(frame), clone(selector).fit(X).predict(X))
        with pytest.raises(ValueError, match="feature names"):
            selector.predict(frame.rename(columns={"waiting": "w"}))
        assert not hasattr(selector.fit(X), "feature_names_in_")


def test_clone_and_pickle():
    selector = MixtureSelector(
        pipeline(), prefixed(GRID), criterion="icl", n_jobs=2, random_state=1
    )
    copy = clone(selector)
    assert copy.get_params(deep=False).keys() == selector.get_params(deep=False).keys()
    assert copy.param_grid == selector.param_grid and copy.criterion == "icl"
    copy.set_params(estimator__mixture__tol=0.5)
    assert copy.estimator[-1].tol == 0.5 and selector.estimator[-1].tol == 1e-3
    selector.fit(X)
    again = pickle.loads(pickle.dumps(selector))
    same_table(again.cv_results_, selector.cv_results_)
    np.testing.assert_array_equal(again.predict(X), selector.predict(X))
    same_table(again.fit(X).cv_results_, selector.cv_results_)  # nan pickled is still nan


def test_estimator_and_data_stay_as_they_are():
    base, data = GaussianMixture(random_state=0), X.copy()
    before = base.get_params()
    MixtureSelector(base, GRID).fit(data)
    assert base.get_params() == before and not hasattr(base, "means_")
    np.testing.assert_array_equal(data, X)


def test_a_selector_in_a_search():
    selector = MixtureSelector(GaussianMixture(random_state=0), {"n_components": [1, 2, 3]})
    search = GridSearchCV(selector, {"estimator__covariance_type": TYPES}, cv=3).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_verbose(capsys):
    with pytest.warns(FitFailedWarning):
        MixtureSelector(GaussianMixture(), {"n_components": [1, 30]}, verbose=1).fit(X[:20])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("[1/2] n_components=1: score=-")
    assert second.startswith("[2/2] n_components=30: ValueError: Expected n_samples")


# ------------------------------------------------------------------ reference


CODES = {"VVV": "full", "EEE": "tied", "VVI": "diag", "VII": "spherical"}


def read(name):
    header, *lines = (HERE / f"{name}.csv").read_text().split()
    return header.replace('"', "").split(","), [line.split(",") for line in lines]


@pytest.mark.parametrize("name", ["faithful", "iris"])
def test_the_best_model_of_mclust(name):
    header, rows = read(name)
    columns = [j for j, column in enumerate(header) if column != "class"]
    data = np.array([[float(row[j]) for j in columns] for row in rows])
    header, rows = read(f"{name}_init_labels")
    labels = {
        G: np.array([int(row[header.index(f"G{G}")]) - 1 for row in rows]) for G in range(2, 10)
    }
    labels[1] = np.zeros(len(data), dtype=int)
    header, rows = read(f"{name}_table")
    cells = [dict(zip(header, row, strict=True)) for row in rows]
    expected = {
        (CODES[c["model"]], int(c["G"])): float(c["bic_tight"])
        for c in cells
        if c["model"] in CODES and c["bic_tight"] != "NA" and c["rc_tight"] == "0"
    }
    selector = MixtureSelector(
        GaussianMixture(reg_covar=0, tol=1e-13, max_iter=20_000),
        [
            {"n_components": [G], "init_params": [z], "covariance_type": TYPES}
            for G, z in labels.items()
        ],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitFailedWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        selector.fit(data)
    table = selector.cv_results_
    found = {
        (kind, int(G)): -bic
        for kind, G, bic in zip(
            table["param_covariance_type"], table["param_n_components"], table["bic"], strict=True
        )
    }
    for cell, value in expected.items():
        assert found[cell] == pytest.approx(value, abs=1e-4)
    best = selector.best_params_["covariance_type"], selector.best_params_["n_components"]
    assert best == max(expected, key=expected.get)
    assert best == {"faithful": ("tied", 3), "iris": ("full", 2)}[name]
