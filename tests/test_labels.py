"""Fits where the components of some rows are known."""

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emlearn.datasets import load_geyser
from emlearn.hmm import GaussianHMM
from emlearn.mixture import (
    BayesianGaussianMixture,
    BernoulliMixture,
    GaussianMixture,
    PoissonMixture,
    StudentTMixture,
)

X, Y = load_iris(return_X_y=True)
FEW = np.full(150, -1)
FEW[[3, 30, 55, 60, 99, 120, 140]] = Y[[3, 30, 55, 60, 99, 120, 140]]
GEYSER = load_geyser().data
SOME = np.where(np.arange(299) % 7 == 0, (GEYSER[:, 0] > 3).astype(int), -1)


@pytest.mark.parametrize(
    "init",
    ["kmeans", "k-means++", "random", "random_from_data", "whitened", "hierarchical", "short-runs"],
)
@pytest.mark.parametrize("permuted", [False, True])
def test_component_k_has_the_rows_with_label_k(init, permuted):
    labels = np.where(FEW >= 0, (FEW + permuted) % 3, -1)
    mixture = GaussianMixture(3, init_params=init, random_state=0).fit(X, labels=labels)
    found = mixture.predict(X)
    np.testing.assert_array_equal(found[labels >= 0], labels[labels >= 0])
    assert np.mean(found == (Y + permuted) % 3) > 0.85
    np.testing.assert_array_equal(mixture.classes_, [0, 1, 2])


def test_all_labels_are_classes_with_a_gaussian_each():
    mixture = GaussianMixture(3, reg_covar=0).fit(X, labels=Y)
    for k in range(3):
        np.testing.assert_allclose(mixture.means_[k], X[Y == k].mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(
            mixture.covariances_[k], np.cov(X[Y == k].T, bias=True), rtol=1e-9
        )
    joint = np.log(mixture.predict_proba(X)[np.arange(150), Y]) + mixture.score_samples(X)
    assert mixture.lower_bound_ == pytest.approx(joint.mean(), rel=1e-12)


@pytest.mark.parametrize("e_step", ["soft", "hard"])
@pytest.mark.parametrize("algorithm", ["batch", "incremental"])
def test_the_objective_is_that_of_labelled_and_unlabelled_rows(e_step, algorithm):
    mixture = GaussianMixture(3, random_state=0, e_step=e_step, algorithm=algorithm, batch_size=30)
    mixture.fit(X, labels=FEW)
    posterior, total = mixture.predict_proba(X), mixture.score_samples(X)
    if e_step == "soft":
        rows = total.copy()
    else:
        rows = np.log(posterior.max(axis=1)) + total
    known = FEW >= 0
    rows[known] = np.log(posterior[known, FEW[known]]) + total[known]
    assert mixture.lower_bound_ == pytest.approx(rows.mean(), rel=1e-10)
    assert np.all(np.diff(mixture.lower_bounds_) >= -1e-9) or algorithm == "incremental"


def test_components_without_labels_are_found_beside_the_others():
    labels = np.where((Y == 0) & (np.arange(150) % 10 == 0), 2, -1)
    mixture = GaussianMixture(3, random_state=0).fit(X, labels=labels)
    assert np.mean(mixture.predict(X[:50]) == 2) > 0.95
    np.testing.assert_array_equal(mixture.classes_, [2])


def test_texts_are_classes_in_their_order():
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)[Y]
    names[FEW < 0] = None
    by_name = GaussianMixture(3, random_state=0).fit(X, labels=names)
    by_number = GaussianMixture(3, random_state=0).fit(X, labels=FEW)
    np.testing.assert_array_equal(by_name.means_, by_number.means_)
    assert by_name.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert by_name.classes_[by_name.predict(X[:1])][0] == "setosa"
    by_name.fit(X)
    assert not hasattr(by_name, "classes_")
    # later batches know the classes of the first
    online = GaussianMixture(3, random_state=0).partial_fit(X, labels=names)
    online.partial_fit(X[:60], labels=names[:60])
    assert online.classes_.tolist() == ["setosa", "versicolor", "virginica"]


@pytest.mark.parametrize(
    "model",
    [
        BayesianGaussianMixture(n_components=3, random_state=0),
        StudentTMixture(3, random_state=0),
        GaussianMixture(3, covariance_type="tied", init_params="k-means++", random_state=0),
        GaussianMixture(3, noise=True, random_state=0),
        GaussianMixture(3, accelerate="squarem", random_state=0),
        GaussianMixture(3, e_step="stochastic", random_state=0),
        GaussianMixture(3, algorithm="online", batch_size=50, random_state=0),
        GaussianHMM(3, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_labels_on_every_model(model):
    model.fit(X, labels=FEW)
    assert np.mean(model.predict(X)[FEW >= 0] == FEW[FEW >= 0]) > 0.8


def test_sparse_rows():
    counts = np.random.RandomState(0).poisson(np.array([[1.0, 6.0], [6.0, 1.0]])[Y[:100]])
    known = np.where(np.arange(100) % 9 == 0, Y[:100], -1)
    dense = PoissonMixture(2, random_state=0).fit(counts, labels=known)
    thin = PoissonMixture(2, random_state=0).fit(sparse.csr_matrix(counts), labels=known)
    np.testing.assert_allclose(dense.rates_, thin.rates_, rtol=1e-10)
    assert np.mean(dense.predict(counts) == Y[:100]) > 0.95
    ones = BernoulliMixture(2, random_state=0).fit(counts > 2, labels=known)
    assert np.mean(ones.predict(counts > 2) == Y[:100]) > 0.85


def test_known_states_of_a_chain():
    hmm = GaussianHMM(2, random_state=0).fit(GEYSER, labels=SOME)
    assert np.mean(hmm.predict(GEYSER) == (GEYSER[:, 0] > 3)) > 0.95
    other = GaussianHMM(2, random_state=0).fit(GEYSER, labels=np.where(SOME >= 0, 1 - SOME, -1))
    np.testing.assert_allclose(other.means_, hmm.means_[::-1], rtol=1e-3)


def test_what_was_given_to_begin_with_bows_to_labels():
    start = np.zeros(150, dtype=int)
    start[50:] = 1
    start[100:] = 2
    shares = np.eye(3)[start]
    a = GaussianMixture(3, init_params=start).fit(X, labels=FEW)
    b = GaussianMixture(3, init_params=shares).fit(X, labels=FEW)
    np.testing.assert_allclose(a.means_, b.means_, rtol=1e-10)


def test_weights_count_with_labels():
    weights = np.random.RandomState(0).randint(1, 4, size=150)
    start = {"init_params": "kmeans", "random_state": 0, "tol": 1e-8}
    whole = GaussianMixture(3, **start).fit(X, sample_weight=weights, labels=FEW)
    many = GaussianMixture(3, **start).fit(
        np.repeat(X, weights, axis=0), labels=np.repeat(FEW, weights)
    )
    np.testing.assert_allclose(whole.means_, many.means_, rtol=1e-4)


# ---------------------------------------------------------------- routing


def test_a_search_slices_labels():
    seen = []

    class Spy(GaussianMixture):
        __init__ = GaussianMixture.__init__

        def fit(self, X, y=None, sample_weight=None, *, labels=None):
            seen.append((len(X), len(labels), labels))
            return super().fit(X, y, sample_weight, labels=labels)

    with sklearn.config_context(enable_metadata_routing=True):
        mixture = Spy(3, random_state=0).set_fit_request(labels=True)
        pipe = make_pipeline(StandardScaler(), mixture)
        search = GridSearchCV(pipe, {"spy__covariance_type": ["full", "diag"]}, cv=3)
        search.fit(X, labels=FEW)
    assert {(n, m) for n, m, _ in seen} == {(100, 100), (150, 150)}
    assert np.all(np.isfinite(search.cv_results_["mean_test_score"]))
    seen.clear()
    cross_validate(Spy(3, random_state=0), X, cv=3, params={"labels": FEW})
    assert [(n, m) for n, m, _ in seen] == [(100, 100)] * 3


def test_y_stays_ignored():
    plain = GaussianMixture(3, random_state=0).fit(X)
    with_y = GaussianMixture(3, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(plain.means_, with_y.means_)


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        (Y + 1, ValueError, "from 0 to n_components - 1 = 2"),
        (Y - 2, ValueError, "must be -1"),
        (Y[:10], ValueError, "150 rows"),
        (Y + 0.5, ValueError, "whole numbers"),
        (np.where(Y == 0, np.nan, Y), ValueError, "whole numbers"),
        (np.array(list("abcd"))[np.arange(150) % 4], ValueError, "4 classes"),
        (np.array([1, "a"] * 75, dtype=object), TypeError, "numbers or texts"),
        (np.zeros((150, 2)), ValueError, "150 rows"),
    ],
)
def test_bad_labels(labels, kind, message):
    with pytest.raises(kind, match=message):
        GaussianMixture(3).fit(X, labels=labels)


def test_no_known_label_is_no_label():
    plain = GaussianMixture(3, random_state=0).fit(X)
    none = GaussianMixture(3, random_state=0).fit(X, labels=np.full(150, -1))
    np.testing.assert_array_equal(plain.means_, none.means_)
    assert not hasattr(none, "classes_")


@pytest.mark.parametrize("unknown", [None, np.nan, -1])
def test_numbers_beside_none_are_the_numbers_of_components(unknown):
    labels = np.where(Y == 0, 2, -1)
    beside = [2 if y == 2 else unknown for y in labels]
    mixture = GaussianMixture(3, random_state=0).fit(X, labels=np.array(beside, dtype=object))
    plain = GaussianMixture(3, random_state=0).fit(X, labels=labels)
    np.testing.assert_array_equal(mixture.means_, plain.means_)
    np.testing.assert_array_equal(mixture.classes_, [2])
    with pytest.raises(ValueError, match="from 0 to n_components - 1 = 2"):
        GaussianMixture(3).fit(X, labels=np.array([7, *[unknown] * 149], dtype=object))
