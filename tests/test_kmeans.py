"""KMeans: the laws of its statistics, its fits beside scikit-learn's, empty clusters, bad input."""

import pickle

import numpy as np
import pytest
import sklearn.cluster
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import load_digits, load_iris, load_wine, make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    check_sample_weight_equivalence_on_sparse_data,
)
from threadpoolctl import threadpool_limits

from emlearn._kernels import kmeans_twin
from emlearn.cluster import KMeans, _model
from emlearn.cluster._model import KMeansModel
from emlearn.cluster._statistics import Clusters, farthest
from emlearn.em import block_rows, combine
from emlearn.exceptions import DomainError
from emlearn.mixture import GaussianMixture

pytestmark = [
    pytest.mark.filterwarnings("error::emlearn.exceptions.ObjectiveFellWarning"),
    pytest.mark.filterwarnings("ignore:Best performing initialization did not converge"),
]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


DISTINCT = pytest.mark.filterwarnings("ignore:Number of distinct clusters")

# few values, so that there are ties, duplicates and empty clusters
VALUES = st.integers(-3, 3).map(float)


@st.composite
def problems(draw, most=14):
    """Rows, weights and centres."""
    d, K, n = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, most))
    rows = draw(st.lists(st.lists(VALUES, min_size=d, max_size=d), min_size=n, max_size=n))
    weights = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    centres = draw(st.lists(st.lists(VALUES, min_size=d, max_size=d), min_size=K, max_size=K))
    return np.array(rows), np.array(weights, dtype=float), np.array(centres)


def same(a, b, tolerance=1e-12):
    """Statistics are the same, and so is what an M-step makes of them."""
    shift = b.origin - a.origin
    np.testing.assert_allclose(a.weight, b.weight, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        a.first, b.first + b.weight[:, None] * shift, rtol=tolerance, atol=1e-10
    )
    if a.n_empty:
        np.testing.assert_allclose(a.far.squares, b.far.squares, rtol=tolerance, atol=1e-10)


# ------------------------------------------------------------------ statistics


@given(problems(), st.data())
def test_merged_parts_are_the_whole(problem, data):
    X, weights, centres = problem
    model = KMeansModel(X.mean(axis=0))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(X)), max_size=3)))
    parts = [slice(a, b) for a, b in zip([0, *cuts], [*cuts, len(X)], strict=True) if b > a]
    whole, value = model.e_step(centres, X, weights)
    steps = [model.e_step(centres, X[rows], weights[rows]) for rows in parts]
    assert sum(v for _, v in steps) == pytest.approx(value)
    left, right = steps[0][0], steps[-1][0]
    for statistics, _ in steps[1:]:
        left = left + statistics
    for statistics, _ in steps[-2::-1]:
        right = statistics + right
    for merged in (left, right):
        same(merged, whole)
        np.testing.assert_allclose(
            model.m_step(merged, centres), model.m_step(whole, centres), atol=1e-10
        )


@given(problems())
def test_weights_are_repetitions(problem):
    X, weights, centres = problem
    model = KMeansModel(X.mean(axis=0))
    weighed, value = model.e_step(centres, X, weights)
    if weights.any():
        repeated, other = model.e_step(centres, np.repeat(X, weights.astype(int), axis=0), None)
        assert value == pytest.approx(other)
        np.testing.assert_allclose(weighed.weight, repeated.weight)
        np.testing.assert_allclose(weighed.first, repeated.first, atol=1e-12)
    twice = weighed * 2.0
    np.testing.assert_allclose(
        model.m_step(twice, centres), model.m_step(weighed, centres), atol=1e-12
    )


@given(problems(), st.sampled_from([0.5, 1024.0, -(2.0**20)]))
def test_where_the_data_are_does_not_matter(problem, shift):
    X, weights, centres = problem
    near, far = (KMeansModel(X[0] + s) for s in (0.0, shift))
    a, value = near.e_step(centres, X, weights)
    b, other = far.e_step(centres + shift, X + shift, weights)
    assert value == other
    np.testing.assert_array_equal(a.first, b.first)
    np.testing.assert_allclose(near.m_step(a, None) + shift, far.m_step(b, None), atol=1e-9)
    # statistics about different origins merge
    elsewhere = KMeansModel(X[0] + 1.0).e_step(centres, X, weights)[0]
    same(a + elsewhere, elsewhere + a)
    same(a + elsewhere, a + a)


@given(problems())
@settings(deadline=None)
def test_the_inertia_never_rises(problem):
    X, weights, centres = problem
    model = KMeansModel(X.mean(axis=0))
    before = -np.inf
    for _ in range(8):
        statistics, value = model.e_step(centres, X, weights)
        assert value >= before - 1e-9
        centres, before = model.m_step(statistics, centres), value
        assert np.isfinite(centres).all()


@given(problems())
def test_the_e_step_is_that_of_the_definition(problem):
    X, weights, centres = problem
    table = ((X[:, None] - centres) ** 2).sum(axis=2)
    value = KMeansModel(X.mean(axis=0)).e_step(centres, X, weights)[1]
    assert -value == pytest.approx(weights @ table.min(axis=1), abs=1e-9)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=1), st.integers(1, 5))
def test_the_farthest_are_those_of_a_stable_sort(squares, m):
    squares = np.array(squares)
    order = [i for i in np.argsort(-squares, kind="stable") if squares[i] > 0]
    assert farthest(squares, m).tolist() == order[:m]
    weights = np.arange(len(squares)) % 2
    assert farthest(squares, m, weights).tolist() == [i for i in order if weights[i]][:m]


def test_combinations_stay_in_the_domain():
    a, b = (Clusters(np.array([w, 1.0]), np.array([[w], [2.0]]), np.zeros(1)) for w in (1.0, 3.0))
    middle = combine([0.5, 0.5], [a, b])
    assert middle.weight.tolist() == [2.0, 1.0] and middle.first.tolist() == [[2.0], [2.0]]
    with pytest.raises(DomainError, match="negative"):
        combine([2.0, -1.0], [a, b])
    with pytest.raises(DomainError, match="finite number"):
        a * -1.0
    assert "weight" in repr(a)


# ---------------------------------------------------------- beside scikit-learn

DATA = {
    "iris": lambda: load_iris().data,
    "wine": lambda: load_wine().data,
    # whole numbers are at equal distances from each other, where rounding decides
    "digits": lambda: np.random.RandomState(0).uniform(load_digits().data[:400], 17),
    "blobs": lambda: make_blobs(700, 5, centers=12, random_state=3)[0],
    "uniform": lambda: np.random.RandomState(1).uniform(size=(300, 2)),
    "tails": lambda: np.random.RandomState(2).standard_cauchy(size=(300, 3)),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("form", ["dense", "sparse", "float32"])
def test_inertia_of_the_same_start(name, form, weighted):
    X, K = DATA[name](), 7
    weights = np.random.RandomState(5).gamma(1.0, size=len(X)) if weighted else None
    if form == "sparse":
        X = sparse.csr_array(np.where(X > np.median(X), X, 0.0))
    elif form == "float32":
        X = X.astype(np.float32)
    dense = X.toarray() if sparse.issparse(X) else X
    for init in (dense[:K] + 0.01, "k-means++", "random"):
        arguments = {"init": init, "n_init": 1, "tol": 0.0, "random_state": 0}
        ours = KMeans(K, **arguments).fit(X, sample_weight=weights)
        theirs = sklearn.cluster.KMeans(K, **arguments).fit(X, sample_weight=weights)
        tolerance = 1e-4 if form == "float32" else 1e-10
        assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=tolerance)
        assert ours.labels_.dtype == theirs.labels_.dtype
        assert ours.cluster_centers_.dtype == theirs.cluster_centers_.dtype
        if form == "float32":
            continue
        assert ours.n_iter_ == theirs.n_iter_
        # several empty clusters may take the farthest rows in another order
        order, other = (np.lexsort(m.cluster_centers_.T.round(6)) for m in (ours, theirs))
        np.testing.assert_array_equal(
            np.argsort(order)[ours.labels_], np.argsort(other)[theirs.labels_]
        )
        np.testing.assert_allclose(
            ours.cluster_centers_[order], theirs.cluster_centers_[other], rtol=1e-8, atol=1e-8
        )
        distances = (m.transform(X[:20])[:, o] for m, o in ((ours, order), (theirs, other)))
        np.testing.assert_allclose(*distances, atol=1e-7 * np.abs(dense).max())
        assert ours.score(X, sample_weight=weights) == pytest.approx(-theirs.inertia_)


@pytest.mark.parametrize("tol", [1e-4, 1e-2, 0.0])
def test_it_rests_where_scikit_learn_does(tol):
    X = np.random.RandomState(0).standard_normal((400, 4))
    arguments = {"init": X[:9], "n_init": 1, "tol": tol}
    ours = KMeans(9, **arguments).fit(X)
    theirs = sklearn.cluster.KMeans(9, **arguments).fit(X)
    assert ours.n_iter_ == theirs.n_iter_ and ours.converged_
    sentence = "strict convergence" if tol == 0 else "center shift" if tol == 1e-2 else ""
    assert ours.stop_reason_.startswith(f"converged: {sentence}")


@pytest.mark.parametrize("block", [None, 3])
@pytest.mark.parametrize("form", [np.array, sparse.csr_array])
def test_empty_clusters_take_the_farthest_rows(form, block):
    """As in scikit-learn, whatever the blocks: three starts of which nobody is near."""
    X = np.array([-10.0, -9.5, -9.1, -8.5, -8.0, -1.0, 1.0, 9.0, 9.6, 10.0])[:, None] + 20
    init = np.array([[10.0], [500.0], [600.0], [700.0]])
    with block_rows(block or 1000):
        ours = KMeans(4, init=init, n_init=1, max_iter=1).fit(form(X))
    theirs = sklearn.cluster.KMeans(4, init=init, n_init=1, max_iter=1).fit(form(X))
    np.testing.assert_allclose(
        np.sort(ours.cluster_centers_, axis=0), np.sort(theirs.cluster_centers_, axis=0)
    )
    assert ours.inertia_ == pytest.approx(theirs.inertia_)
    found = sorted(ours.cluster_centers_[:, 0])
    assert found == pytest.approx([X[:7].mean(), 29.0, 29.6, 30.0])


def test_rows_without_weight_are_not_there():
    X, _ = make_blobs(60, 2, centers=3, random_state=0)
    weights = np.ones(60)
    weights[::4] = 0
    X[::4] = 1e6
    init = np.vstack([X[1:3], [[5e5, 0.0]]])  # the third is empty, and X[0] the farthest row
    fitted = KMeans(3, init=init).fit(X, sample_weight=weights)
    alone = KMeans(3, init=init).fit(X[weights > 0])
    np.testing.assert_allclose(fitted.cluster_centers_, alone.cluster_centers_)
    assert fitted.inertia_ == pytest.approx(alone.inertia_)
    assert fitted.lower_bound_ == pytest.approx(alone.lower_bound_)


@pytest.mark.parametrize(
    "check",
    [check_sample_weight_equivalence_on_dense_data, check_sample_weight_equivalence_on_sparse_data],
)
def test_weights_are_repetitions_from_a_given_start(check):
    class Sized(KMeans):
        """Takes a start in the size of the data, which only the check knows."""

        __init__ = KMeans.__init__

        def fit(self, X, y=None, sample_weight=None):
            init = np.random.RandomState(0).uniform(size=(3, X.shape[1]))
            self.set_params(n_clusters=3, init=init, n_init=1)
            return super().fit(X, y, sample_weight=sample_weight)

    check("KMeans", Sized())


# --------------------------------------------------------------------- fits


def test_the_objective_is_the_inertia():
    X = load_iris().data
    fitted = KMeans(3, n_init=4, init="random", random_state=0).fit(X)
    whole = ((X - X.mean(axis=0)) ** 2).sum()
    assert fitted.lower_bound_ == pytest.approx(-fitted.inertia_ / whole)
    assert np.all(np.diff(fitted.lower_bounds_) >= 0)
    assert fitted.lower_bounds_[-1] == fitted.lower_bound_ == fitted.restart_lower_bounds_.max()
    assert fitted.restart_lower_bounds_.shape == (4,)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_best_start_is_kept_in_any_unit(scale):
    X = DATA["uniform"]()
    fitted = KMeans(8, init="random", n_init=6, random_state=1).fit(scale * X)
    alone = KMeans(8, init="random", n_init=6, random_state=1).fit(X)
    assert len(set(alone.restart_lower_bounds_.round(6))) > 3
    np.testing.assert_allclose(fitted.cluster_centers_, scale * alone.cluster_centers_, rtol=1e-7)
    assert fitted.n_iter_ == alone.n_iter_


@pytest.mark.parametrize("form", [np.array, sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_small_distances_keep_their_digits(form, dtype):
    """Where a row is at its centre, the difference of large squares says nothing."""
    centres = 1e3 * np.random.RandomState(0).uniform(size=(3, 4)).astype(dtype)
    model = KMeans(3, init=centres).fit(form(centres))
    found = model.transform(form(centres))
    assert found.dtype == dtype and np.all(found.diagonal() == 0)
    near = centres.copy()
    near[:, 0] += 0.25
    np.testing.assert_allclose(model.transform(form(near)).diagonal(), 0.25, rtol=1e-3)


def test_far_from_the_origin():
    X, _ = make_blobs(400, 2, centers=4, random_state=0)
    X = X.round(2)
    near, far = (KMeans(4, random_state=0, tol=0).fit(X + s) for s in (0.0, 1e8))
    np.testing.assert_allclose(far.cluster_centers_ - 1e8, near.cluster_centers_, atol=1e-6)
    assert far.inertia_ == pytest.approx(near.inertia_, rel=1e-6)
    np.testing.assert_array_equal(far.labels_, near.labels_)
    np.testing.assert_allclose(far.transform(X + 1e8), near.transform(X), atol=1e-5)
    assert far.score(X + 1e8) == pytest.approx(near.score(X), rel=1e-6)


def test_the_twin_gives_the_same_fit(monkeypatch):
    X = load_iris().data
    compiled = KMeans(5, random_state=0).fit(X)
    for module in ("_model", "_seeds", "_kmeans"):
        monkeypatch.setattr(f"emlearn.cluster.{module}.kernel", kmeans_twin)
    assert _model.kernel is kmeans_twin
    plain = KMeans(5, random_state=0).fit(X)
    np.testing.assert_array_equal(plain.labels_, compiled.labels_)
    np.testing.assert_allclose(plain.cluster_centers_, compiled.cluster_centers_)


def test_labels_are_what_predict_says():
    X = DATA["uniform"]().astype(np.float32)
    with block_rows(64):
        fitted = KMeans(6, random_state=0, max_iter=3).fit(X)
        blocks = KMeans(6, random_state=0, max_iter=3).fit_blocks([X[:100], X[100:]])
    for model in (fitted, blocks):
        np.testing.assert_array_equal(model.labels_, model.predict(X))
        assert model.inertia_ == pytest.approx(-model.score(X))
    again = KMeans(6, random_state=0, max_iter=3)
    np.testing.assert_array_equal(again.fit_predict(X), fitted.labels_)
    stored = pickle.loads(pickle.dumps(fitted))
    stored.cluster_centers_ = stored.cluster_centers_[::-1]  # read at call time
    np.testing.assert_array_equal(stored.predict(X), 5 - fitted.labels_)


def test_starts_of_many_kinds():
    X, z = make_blobs(200, 2, centers=4, random_state=0)
    means = np.array([X[z == k].mean(axis=0) for k in range(4)])
    reached = {
        "labels": KMeans(4, init=z).fit(X),
        "centres": KMeans(4, init=means).fit(X),
        "callable": KMeans(4, init=lambda X, k, random_state: means, n_init=1).fit(X),
        "callable labels": KMeans(4, init=lambda X, k, random_state: z, n_init=1).fit(X),
    }
    for name, model in reached.items():
        np.testing.assert_allclose(
            model.cluster_centers_, reached["labels"].cluster_centers_, err_msg=name
        )
        assert model.n_iter_ <= 2 or model.lower_bound_ > -0.5
    ends = [KMeans(4, init=name, random_state=0).fit(X) for name in ("whitened", "hierarchical")]
    assert max(model.inertia_ for model in ends) <= 1.001 * reached["labels"].inertia_


def test_how_many_starts():
    X = DATA["uniform"]()
    for settings_, n in (
        ({}, 1),
        ({"init": "random"}, 10),
        ({"init": lambda X, k, random_state: X[random_state.choice(len(X), k)]}, 10),
        ({"init": X[:8]}, 1),
        ({"init": X[:8], "n_init": 1}, 1),
        ({"init": "hierarchical"}, 1),
        ({"init": "random", "n_init": 3}, 3),
    ):
        fitted = KMeans(8, max_iter=2, random_state=0, **settings_).fit(X)
        assert len(fitted.restart_lower_bounds_) == n


@pytest.mark.parametrize("copy_x", [False, True])
@pytest.mark.parametrize("algorithm", ["lloyd", "elkan"])
def test_nothing_is_written_to(copy_x, algorithm):
    X = np.asfortranarray(DATA["uniform"]())
    init, before = X[:5].copy(), X.copy()
    X.flags.writeable = init.flags.writeable = False
    KMeans(5, init=init, copy_x=copy_x, algorithm=algorithm).fit(X)
    np.testing.assert_array_equal(X, before)
    places = [np.array(a, dtype=np.int32) for a in ([0, 0, 1], [0, 2, 3])]
    rows = sparse.csr_array((np.array([1.0, 2.0, 4.0]), *places), shape=(2, 2))
    fitted = KMeans(2, random_state=0).fit(rows)
    assert rows.nnz == 3  # one number in two parts
    np.testing.assert_allclose(np.sort(fitted.cluster_centers_.sum(axis=1)), [3.0, 4.0])


# ------------------------------------------------------------------- streams


def test_partial_fit_may_weigh_all_batches_alike():
    """With the rate 1 / t statistics are the mean of those of all batches: online k-means."""
    X, _ = make_blobs(300, 2, centers=3, cluster_std=0.3, random_state=0)
    parts = np.array_split(np.random.RandomState(0).permutation(X), 10)
    model = KMeans(3, learning_decay=1.0, learning_offset=0.0, random_state=0)
    for rows in parts:
        model.partial_fit(rows)
    assert model.n_steps_ == 10
    whole = KMeans(3, init=model.cluster_centers_).fit(X)
    np.testing.assert_allclose(model.cluster_centers_, whole.cluster_centers_, atol=1e-9)


def test_partial_fit_goes_on_from_a_fit():
    X, _ = make_blobs(300, 2, centers=3, random_state=0)
    model = KMeans(3, random_state=0).fit(X)
    before = model.cluster_centers_
    model.partial_fit(X)
    np.testing.assert_allclose(model.cluster_centers_, before, atol=1e-9)
    assert not hasattr(model, "labels_") and not hasattr(model, "inertia_")  # of an earlier fit
    model.partial_fit(X + 100.0)  # about another origin
    moved = np.any(np.abs(model.cluster_centers_ - before) > 1e-9, axis=1)
    assert moved.sum() == 1 and np.all(model.cluster_centers_[moved] > before[moved] + 10)
    with pytest.raises(ValueError, match="a fit of 3 clusters, but n_clusters = 4"):
        model.set_params(n_clusters=4).partial_fit(X)


# ------------------------------------------------------------- among mixtures


@pytest.mark.parametrize("seed", range(3))
def test_it_is_hard_em_of_equal_spheres(seed):
    """The most probable of equally likely spheres of one variance is the nearest."""
    X = np.random.RandomState(seed).standard_normal((300, 3))
    kmeans = KMeans(4, init="random", n_init=1, tol=0, random_state=seed).fit(X)
    settings_ = {"covariance_type": "EII", "e_step": "hard", "max_iter": 300, "tol": 0.0}
    even = {"weights": np.full(4, 0.25)}
    mixture = GaussianMixture(4, init_params=kmeans.labels_, fixed=even, **settings_).fit(X)
    np.testing.assert_array_equal(mixture.predict(X), kmeans.labels_)
    np.testing.assert_allclose(mixture.means_, kmeans.cluster_centers_, atol=1e-9)
    assert mixture.covariances_[0] == pytest.approx(kmeans.inertia_ / X.size, rel=1e-4)
    # and from an early iteration both end at the same place
    early = KMeans(4, init=X[:4], n_init=1, max_iter=1).fit(X)
    late = KMeans(4, init=early.cluster_centers_, n_init=1, tol=0).fit(X)
    mixture = GaussianMixture(4, init_params=early.labels_, fixed=even, **settings_).fit(X)
    np.testing.assert_array_equal(mixture.predict(X), late.labels_)


# ------------------------------------------------------------------ bad input


@DISTINCT
@pytest.mark.parametrize("n_clusters", [1, 2, 5])
def test_all_rows_alike(n_clusters):
    X = np.full((6, 2), 3.5)
    fitted = KMeans(n_clusters, random_state=0).fit(X)
    np.testing.assert_array_equal(fitted.cluster_centers_, np.full((n_clusters, 2), 3.5))
    assert fitted.inertia_ == 0 and fitted.converged_ and fitted.n_iter_ == 1


def test_fewer_distinct_rows_than_clusters():
    X = np.repeat(np.arange(3.0), 4)[:, None]
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(3\) found smaller than n_cl"):
        fitted = KMeans(5, random_state=0).fit(X)
    assert fitted.inertia_ == 0
    assert set(fitted.cluster_centers_[:, 0]) == {0.0, 1.0, 2.0}


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"n_clusters": 11}, "n_samples=10 should be >= n_clusters=11"),
        ({"init": np.zeros((2, 2))}, r"initial centers \(2, 2\) does not match the number of cl"),
        ({"init": np.zeros((3, 5))}, r"\(3, 5\) does not match the number of features"),
        ({"init": [[0, 0], [1, np.nan], [2, 2]]}, "init contains NaN"),
        ({"init": np.zeros(4, dtype=int)}, "one label for each of the 10 rows"),
        ({"init": np.full(10, 3)}, "labels must be -1"),
        ({"init": np.full(10, -1)}, "all rows are left out"),
        ({"init": "k-means"}, "'init' parameter"),
        ({"algorithm": "auto"}, "'algorithm' parameter"),
        ({"algorithm": "online", "accelerate": "squarem"}, "accelerate='squarem' is for"),
        ({"max_iter": 0}, "'max_iter' parameter"),
        ({"tol": -1.0}, "'tol' parameter"),
        ({"copy_x": "no"}, "'copy_x' parameter"),
    ],
)
def test_bad_parameters(settings_, message):
    X = np.random.RandomState(0).standard_normal((10, 2))
    with pytest.raises(ValueError, match=message):
        KMeans(**{"n_clusters": 3, **settings_}).fit(X)


@pytest.mark.parametrize(
    ("X", "weights", "message"),
    [
        ([[0.0, np.nan], [1.0, 2.0], [3.0, 4.0]], None, "column 1"),
        ([[0.0, np.inf], [1.0, 2.0], [3.0, 4.0]], None, "infinity"),
        ([1.0, 2.0, 3.0], None, "2D array"),
        (np.eye(3), [1.0, -1.0, 1.0], "Negative values"),
        (np.eye(3), [0.0, 0.0, 0.0], "all weights are zero"),
        (np.eye(3), [1.0, 1.0], "one weight for each row"),
    ],
)
def test_bad_data(X, weights, message):
    with pytest.raises(ValueError, match=message):
        KMeans(2).fit(X, sample_weight=weights)


def test_too_few_rows_with_a_weight_to_draw():
    X = np.random.RandomState(0).standard_normal((10, 2))
    weights = np.r_[1.0, 1.0, np.zeros(8)]
    with pytest.raises(ValueError, match="draws 3 rows with a weight, and there are 2"):
        KMeans(3, init="random").fit(X, sample_weight=weights)


def test_a_wrong_number_of_features():
    fitted = KMeans(2, random_state=0).fit(np.eye(4))
    for method in ("predict", "transform", "score"):
        with pytest.raises(ValueError, match="X has 3 features"):
            getattr(fitted, method)(np.eye(3))
