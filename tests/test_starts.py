"""Starts: whitened, hierarchical and seeded ones, short runs, split-and-merge moves."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist
from sklearn.metrics import adjusted_rand_score

from emlearn import hmm, mixture
from emlearn._composite import _short_runs as search
from emlearn.em import Units
from emlearn.em.clusters import assign_nearest, ward_labels, whiten
from emlearn.em.loop import Result, StopReason
from emlearn.em.seeded import seeded_start
from emlearn.em.short_runs import choose_rows, short_runs
from emlearn.em.sources import Block
from emlearn.em.split_merge import (
    ComponentAxes,
    Move,
    moved_shares,
    propose_moves,
    split_coordinates,
    split_merge,
)
from emlearn.em.starts import draw_start
from emlearn.exceptions import SingularError


def stream(seed=0):
    return np.random.RandomState(seed)


def blobs(n=60, d=3, K=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % K
    return rng.normal(size=(K, d))[labels] * 9 + rng.normal(size=(n, d)), labels


def parallel(n=400, seed=0):
    """Two long bars side by side: the first axis says nothing."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2)) * [10.0, 0.3]
    labels = np.arange(n) % 2
    X[:, 1] += 2.0 * labels
    return X, labels


# -------------------------------------------------------------- whitened


@given(st.integers(0, 10_000), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_whitened_distances_do_not_depend_on_an_affine_map(seed, d):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, d))
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0] * rng.uniform(0.1, 10.0, size=d)
    weight = rng.uniform(0.1, 2.0, size=40)
    here, there = whiten(X, weight), whiten(X @ turn + rng.normal(size=d) * 50, weight)
    np.testing.assert_allclose(pdist(here), pdist(there), rtol=1e-7)
    np.testing.assert_allclose(np.cov(here.T, aweights=weight, bias=True), np.eye(d), atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_whitened_start_does_not_depend_on_units_or_order_of_columns(seed):
    X, _ = blobs(90, 3, 4, seed)
    moved = (X * [1e-3, 1.0, 1e4])[:, [2, 0, 1]] + [5.0, -7.0, 0.0]
    a, b = (draw_start("whitened", x, 4, stream(seed)).labels for x in (X, moved))
    np.testing.assert_array_equal(a, b)


def test_whitening_counts_a_weight_of_two_as_two_rows_and_of_zero_as_none():
    X, _ = blobs(30)
    weight = np.arange(30) % 3
    repeated = whiten(np.repeat(X, weight, axis=0))
    mapped = whiten(X, weight.astype(float))
    np.testing.assert_allclose(pdist(np.repeat(mapped, weight, axis=0)), pdist(repeated), atol=1e-9)
    far = X.copy()
    far[weight == 0] = 1e6
    kept = weight > 0
    np.testing.assert_allclose(whiten(far, weight * 1.0)[kept], mapped[kept], atol=1e-9)


def test_whitening_leaves_out_what_does_not_vary():
    X, _ = blobs(50)
    wide = np.column_stack([X, np.full(50, 3.0), X[:, 0] - X[:, 1]])
    np.testing.assert_allclose(pdist(whiten(wide)), pdist(whiten(X)), rtol=1e-6)
    assert np.isfinite(whiten(np.ones((5, 2)))).all()
    tiny = whiten(X, np.full(50, 1e-300))
    np.testing.assert_allclose(pdist(tiny), pdist(whiten(X)), rtol=1e-7)


def test_whitening_of_few_rows_and_of_sparse_rows_scales_the_columns():
    X, _ = blobs(7, d=6)
    np.testing.assert_allclose(whiten(X).std(axis=0), 1.0)
    counts = np.random.default_rng(0).poisson(1.0, size=(40, 5)).astype(float)
    scaled = whiten(sparse.csr_array(counts))
    assert sparse.issparse(scaled)
    np.testing.assert_allclose(scaled.toarray(), counts / counts.std(axis=0))


@pytest.mark.parametrize("method", ["whitened", "hierarchical"])
def test_float32_rows_start_as_float64_rows_do(method):
    X = blobs(80)[0].astype(np.float32)
    a, b = (draw_start(method, x, 3, stream()).labels for x in (X, X.astype(np.float64)))
    np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------- hierarchical


@given(st.integers(0, 10_000), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_clusters_of_ward_are_those_of_scipy(seed, K):
    X = np.random.default_rng(seed).normal(size=(30, 2))
    wanted = fcluster(linkage(X, "ward"), K, "maxclust")
    means = np.array([X[wanted == k].mean(axis=0) for k in range(1, K + 1)])
    assert adjusted_rand_score(ward_labels(X, K, stream()), assign_nearest(X, means)) == 1.0


def test_ward_counts_a_weight_of_two_as_two_rows_and_of_zero_as_none():
    X, _ = blobs(40, K=5, seed=3)
    weight = np.arange(40) % 3
    a = ward_labels(X, 4, stream(), weight.astype(float))
    b = ward_labels(np.repeat(X, weight, axis=0), 4, stream())
    assert adjusted_rand_score(np.repeat(a, weight), b) == 1.0


def test_ward_takes_sparse_rows_many_rows_and_more_clusters_than_rows():
    X, labels = blobs(60)
    assert adjusted_rand_score(ward_labels(sparse.csr_array(X), 3, stream()), labels) == 1.0
    few = np.repeat(X[:4], 5, axis=0)
    assert len(np.unique(ward_labels(few, 10, stream()))) == 4
    assert len(np.unique(ward_labels(np.ones((6, 2)), 2, stream()))) == 1
    many, labels = blobs(2500, seed=1)
    a, b = (ward_labels(many, 3, stream(1)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert adjusted_rand_score(a, labels) > 0.9


# --------------------------------------------------------------- seeded


@given(st.integers(0, 10_000), st.sampled_from(["kmeans", "k-means++", "whitened", "random"]))
@settings(max_examples=30, deadline=None)
def test_a_seeded_start_keeps_the_known_labels(seed, method):
    rng = np.random.default_rng(seed)
    X, labels = blobs(50, K=4, seed=seed)
    known = np.where(rng.uniform(size=50) < 0.3, labels, -1)
    weight = rng.integers(0, 3, size=50).astype(float)
    weight[0] = 1.0
    a, b = (seeded_start(X, known, 6, method, stream(seed), weight).labels for _ in range(2))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a[known >= 0], known[known >= 0])
    assert a.min() >= 0 and a.max() < 6


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_components_without_a_label_get_the_clusters_that_are_left(form):
    X, labels = blobs(60, K=3)
    known = np.full(60, -1)
    known[np.flatnonzero(labels == 1)[0]] = 2
    found = seeded_start(form(X), known, 3, "kmeans", stream()).labels
    assert adjusted_rand_score(found, labels) == 1.0
    assert (found[labels == 1] == 2).all()


def test_seeded_starts_of_few_rows():
    X = np.array([[0.0], [1.0]])
    assert seeded_start(X, np.array([1, 0]), 4, "kmeans", stream()).labels.tolist() == [1, 0]
    assert seeded_start(X, np.array([-1, -1]), 1, "kmeans", stream()).labels.tolist() == [0, 0]
    with pytest.raises(ValueError, match="below n_components"):
        seeded_start(X, np.array([0, 5]), 2, "kmeans", stream())


# ----------------------------------------------------------- short runs


def result(x, objectives, reason=StopReason.MAX_ITER):
    objectives = np.array(objectives, dtype=float)
    return Result(x, objectives[-1], objectives, 0.0, len(objectives), 1, reason, "")


def climb(goal, pace=0.5):
    """Runs to the nearest whole number; ``goal`` says how high each is."""

    def run(x, n):
        if isinstance(x, str):
            return SingularError(x)
        trace = []
        for _ in range(n):
            x += pace * (round(x) - x)
            trace.append(goal(round(x)) - (round(x) - x) ** 2)
        return result(x, trace)

    return run


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=20), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_short_runs_find_the_best_of_their_candidates(points, n_best):
    found = short_runs(points, climb(lambda k: 10.0 * k), n_best=n_best)
    heights = [c.objective for c in found]
    assert 1 <= len(found) <= n_best and heights == sorted(heights, reverse=True)
    assert round(found[0].parameters) == max(round(x) for x in points)
    # no worse than the best candidate where it began
    assert heights[0] >= max(10.0 * round(x) - (round(x) - x) ** 2 for x in points) - 1e-5


def test_singular_candidates_drop_out():
    run = climb(float)
    found = short_runs(["one", SingularError("two"), 2.2, "three"], run, n_best=2)
    assert [c.number for c in found] == [1] or [c.number for c in found] == [2]
    assert short_runs(["one", SingularError("two")], run) == []
    assert short_runs([], run) == []


def test_a_run_goes_on_from_where_it_was_and_gets_longer():
    seen = []

    def run(x, n):
        seen.append((x, n))
        return result(x + n, [x, x + n])

    found = short_runs([0.0, 1000.0, 100.0, 10.0], run, n_best=1, n_iterations=3)
    assert [n for _, n in seen] == [3] * 4 + [6] * 2
    assert seen[4:] == [(1003.0, 6), (103.0, 6)]
    assert found[0].parameters == 1009.0


def test_runs_that_ended_are_not_continued_and_hopeless_ones_dropped():
    calls = []

    def run(x, n):
        calls.append(x)
        if x == 5.0:
            return result(x, [5.0], StopReason.CONVERGED)
        return result(x, [x - 0.01, x])

    found = short_runs([5.0, 1.0, 4.0, 4.5], run, n_best=2, target=4.4)
    assert calls.count(5.0) == 1 and 1.0 not in [c.parameters for c in found]
    assert found[0].parameters == 5.0
    # one that rests below the target cannot get there
    assert short_runs([5.0], run, target=6.0) == []


def test_calls_may_be_made_by_others():
    batches = []

    def map_calls(calls):
        batches.append(len(calls))
        return [call() for call in calls]

    points = [0.2, 3.4, 1.1, 2.2]
    alone = short_runs(points, climb(float), n_best=1)
    found = short_runs(points, climb(float), n_best=1, map_calls=map_calls)
    assert batches[0] == 4 and found[0].parameters == alone[0].parameters


# ------------------------------------------------------- choice of rows


def test_rows_are_chosen_with_what_belongs_to_them():
    X = np.arange(200.0)[:, None]
    block = Block(X, np.where(np.arange(200) % 2, X[:, 0], 0.0), np.arange(200))
    assert choose_rows(block, 200, stream()) is block
    some = choose_rows(block, 30, stream())
    assert some.n_rows == 30 and (some.sample_weight > 0).all()
    np.testing.assert_array_equal(some.X[:, 0], some.labels)
    np.testing.assert_array_equal(some.sample_weight, some.labels)


@pytest.mark.parametrize("whole", [True, False])
def test_rows_of_units_stay_together(whole):
    ends = np.array([1500, 1600, 4000])
    block = Block(Units(np.arange(4000.0)[:, None], ends), None, None)
    some = choose_rows(block, 1200, stream(2), whole_units=whole)
    begins = some.X.begins
    lengths = some.X.ends - begins
    assert some.n_rows >= 1200 and lengths.max() <= (2400 if whole else 1000)
    for begin, end in zip(begins, some.X.ends, strict=True):
        assert (np.diff(some.X.rows[begin:end, 0]) == 1).all()
    if whole:
        assert set(lengths) <= {1500, 100, 2400}


# ------------------------------------------------------- split and merge


def halves_of(labels, K):
    return (labels[:, None] == np.arange(K)).astype(float)


def test_moves_merge_what_is_one_and_split_what_is_two():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(200, 2)) + c for c in ([0, 0], [12, 0], [24, 9])])
    table = np.zeros((600, 3))
    table[:200, :2] = 0.5  # two components for the first cluster, one for the others
    table[200:, 2] = 1.0
    axes = ComponentAxes(X, table)
    assert axes.surprise.argmax() == 2
    best = propose_moves(table, axes.surprise, 5)[0]
    assert best == Move(0, 1, 2, 0)
    moved = moved_shares(table, best, axes.half(best))
    np.testing.assert_allclose(moved.sum(axis=1), 1.0)
    assert adjusted_rand_score(moved.argmax(axis=1), np.repeat([0, 1, 2], 200)) == 1.0


def test_fewer_than_three_components_have_no_moves_and_empty_ones_are_no_trouble():
    assert propose_moves(np.full((5, 2), 0.5), np.ones(2), 9) == []
    table = np.zeros((6, 4))
    table[:, 0] = 1.0
    axes = ComponentAxes(np.ones((6, 2)), table)
    moves = propose_moves(table, axes.surprise, 50)
    assert moves and all(m.split not in (m.first, m.second) for m in moves)
    for move in moves:
        moved = moved_shares(table, move, axes.half(move))
        assert (moved >= 0).all()
        np.testing.assert_allclose(moved.sum(axis=1), 1.0)


def test_weights_of_moves_count_rows():
    rng = np.random.default_rng(1)
    X, weight = rng.normal(size=(30, 2)), rng.integers(0, 3, size=30)
    table = rng.dirichlet(np.ones(4), size=30)
    a = ComponentAxes(X, table, weight.astype(float))
    b = ComponentAxes(np.repeat(X, weight, axis=0), np.repeat(table, weight, axis=0))
    np.testing.assert_allclose(a.surprise, b.surprise)
    moves = propose_moves(table, a.surprise, 10, weight.astype(float))
    assert moves == propose_moves(np.repeat(table, weight, axis=0), b.surprise, 10)


def test_split_coordinates_of_wide_and_of_sparse_rows():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(50, 40))
    assert split_coordinates(wide).shape == (50, 20)
    assert split_coordinates(sparse.csr_array(wide)).shape == (50, 20)
    assert split_coordinates(sparse.csr_array(wide[:, :3])).shape == (50, 3)


class Means:
    """K-means as EM: the parameters are centres, the objective minus the mean square distance."""

    def __init__(self, X):
        self.X = X

    def shares(self, centres):
        return halves_of(assign_nearest(self.X, centres), len(centres))

    def start(self, shares):
        if (shares.sum(axis=0) == 0).any():
            return SingularError("an empty component")
        return shares.T @ self.X / shares.sum(axis=0)[:, None]

    def run(self, centres, n):
        trace = []
        for _ in range(n):
            shares = self.shares(centres)
            full = shares.sum(axis=0) > 0
            centres = centres.copy()
            centres[full] = (shares.T @ self.X)[full] / shares.sum(axis=0)[full, None]
            squares = ((self.X[:, None] - centres) ** 2).sum(axis=2).min(axis=1)
            trace.append(-squares.mean())
        return result(centres, trace)


@pytest.mark.parametrize("seed", range(4))
def test_moves_lead_out_of_a_poor_optimum_and_never_down(seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(60) % 5
    corners = np.array([[0, 0], [20, 0], [0, 20], [20, 20], [50, 50]])
    X = corners[labels] + rng.normal(size=(60, 2))
    model = Means(X)
    # three centres in the cluster that is far from the others, two for those
    centres = np.concatenate([X[labels == 4][:3], X[labels != 4][rng.choice(48, 2)]])
    poor = model.run(centres, 20)
    arguments = model.shares, model.start, model.run, split_coordinates(X)
    better = split_merge(poor, *arguments)
    assert better.objective > poor.objective + 1.0
    assert adjusted_rand_score(assign_nearest(X, better.parameters), labels) == 1.0
    again = split_merge(poor, *arguments)
    np.testing.assert_array_equal(again.parameters, better.parameters)
    assert split_merge(better, *arguments).objective >= better.objective
    assert split_merge(poor, *arguments, max_rounds=0) is poor


# ------------------------------------------------------- in estimators


@pytest.mark.parametrize("method", ["whitened", "hierarchical", "short-runs"])
@pytest.mark.parametrize("seed", range(3))
def test_parallel_clusters_come_out_right(method, seed):
    X, labels = parallel(seed=seed)
    found = mixture.GaussianMixture(2, init_params=method, random_state=seed).fit_predict(X)
    assert adjusted_rand_score(found, labels) > 0.97


def test_short_runs_find_what_restarts_do_not():
    """Three V, one inside the other, of thin bars."""
    rng = np.random.default_rng(4)
    n = 600
    t, side, level = (
        rng.uniform(0.0, 5.0, size=n),
        rng.choice([-1.0, 1.0], n),
        rng.integers(3, size=n),
    )
    X = np.column_stack([side * t, t + 1.5 * level]) + rng.normal(scale=0.15, size=(n, 2))
    short = mixture.GaussianMixture(6, init_params="short-runs", random_state=0).fit(X)
    many = mixture.GaussianMixture(6, n_init=10, random_state=0, max_iter=1000).fit(X)
    assert short.lower_bound_ > many.lower_bound_ + 0.1


CASES = {
    "gaussian": (mixture.GaussianMixture, {}, "real"),
    "tied": (mixture.GaussianMixture, {"covariance_type": "tied"}, "real"),
    "noise": (mixture.GaussianMixture, {"noise": True}, "real"),
    "means": (mixture.GaussianMixture, {"means_init": [[0, 0], [5, 5], [9, 0]]}, "real"),
    "bayesian": (mixture.BayesianGaussianMixture, {}, "real"),
    "student": (mixture.StudentTMixture, {}, "real"),
    "poisson": (mixture.PoissonMixture, {}, "counts"),
    "sparse": (mixture.PoissonMixture, {}, "sparse"),
    "multinomial": (mixture.MultinomialMixture, {}, "counts"),
    "bernoulli": (mixture.BernoulliMixture, {}, "binary"),
    "categorical": (mixture.CategoricalMixture, {}, "counts"),
    "hmm": (hmm.GaussianHMM, {}, "real"),
    "left-right": (hmm.GaussianHMM, {"topology": "left-right"}, "real"),
    "gmm": (hmm.GMMHMM, {}, "real"),
    "poisson hmm": (hmm.PoissonHMM, {}, "counts"),
}


def rows_of(kind, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], 30)
    if kind == "real":
        return np.array([[0.0, 0.0], [5.0, 5.0], [9.0, 0.0]])[labels] + rng.normal(size=(90, 2))
    X = rng.poisson(np.array([[1.0, 5.0, 1.0], [5.0, 1.0, 1.0], [1.0, 1.0, 5.0]])[labels])
    if kind == "binary":
        return (X > 2).astype(float)
    return sparse.csr_array(X.astype(float)) if kind == "sparse" else X.astype(float)


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_model_has_short_runs(name):
    made, parameters, kind = CASES[name]
    X = rows_of(kind)

    def fitted(**settings):
        model = made(
            n_components=3, init_params="short-runs", random_state=3, **parameters, **settings
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model.fit(X)

    first, second = fitted(), fitted(n_jobs=2)
    assert math.isfinite(first.lower_bound_)
    assert first.lower_bound_ == second.lower_bound_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = made(n_components=3, random_state=3, **parameters).fit(X)
    # it tries k-means, too; the prior of a variational model makes the unit of the bound all rows
    assert first.lower_bound_ >= plain.lower_bound_ - 5e-3 * (90 if name == "bayesian" else 1)


def test_short_runs_on_some_of_many_rows(monkeypatch):
    monkeypatch.setattr(search, "_ROWS", 150)
    X, labels = blobs(3000, d=2, K=4)
    weight = np.ones(3000)
    weight[:1000] = 0.0
    model = mixture.GaussianMixture(4, init_params="short-runs", random_state=0)
    found = model.fit(X, sample_weight=weight).predict(X)
    assert adjusted_rand_score(found, labels) > 0.95
    sequence = hmm.GaussianHMM(4, init_params="short-runs", random_state=0).fit(X)
    assert adjusted_rand_score(sequence.predict(X), labels) > 0.95


def test_rows_of_weight_zero_do_not_count_in_short_runs():
    X, _ = blobs(60)
    weight = np.ones(60)
    weight[::4] = 0.0
    far = X.copy()
    far[::4] = 1e3
    fits = [
        mixture.GaussianMixture(3, init_params="short-runs", random_state=1).fit(
            x, sample_weight=weight
        )
        for x in (X, far)
    ]
    np.testing.assert_allclose(fits[0].lower_bound_, fits[1].lower_bound_, rtol=1e-9)


@pytest.mark.parametrize("method", ["whitened", "hierarchical", "short-runs"])
def test_more_components_than_distinct_rows(method):
    X = np.repeat(np.arange(3.0), 4)[:, None]
    model = mixture.GaussianMixture(5, init_params=method, random_state=0, reg_covar=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert math.isfinite(model.fit(X).lower_bound_)


def test_short_runs_of_data_that_are_singular_say_so():
    X = np.ones((20, 2))
    model = mixture.GaussianMixture(2, init_params="short-runs", reg_covar=0.0)
    with pytest.raises(ValueError, match="singular"):
        model.fit(X)


@pytest.mark.parametrize("made", [mixture.GaussianMixture, hmm.GaussianHMM])
def test_short_runs_keep_the_names_of_known_components(made):
    X, labels = blobs(90, d=2, K=3)
    known = np.full(90, -1)
    known[:6] = 2 - labels[:6]
    model = made(3, init_params="short-runs", random_state=0).fit(X, labels=known)
    np.testing.assert_array_equal(model.predict(X), 2 - labels)


def test_short_runs_until_the_best_was_found_twice():
    X, labels = blobs(150, K=4)
    model = mixture.GaussianMixture(4, init_params="short-runs", n_init="auto", random_state=0)
    assert adjusted_rand_score(model.fit_predict(X), labels) == 1.0
    assert len(model.restart_lower_bounds_) == 2
