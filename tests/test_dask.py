"""Dask collections: the fit of the same rows in memory, functions that go to the data, lazy predictions."""

import contextlib
import math
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, clone

from emlearn import EMMixin
from emlearn._dask import DaskSource
from emlearn._explore import sendable
from emlearn._partitions import Partitions
from emlearn.em import Sums, sources
from emlearn.em.sources import Block, Survey
from emlearn.hmm import GaussianHMM
from emlearn.mixture import (
    BayesianGaussianMixture,
    BernoulliMixture,
    CategoricalMixture,
    GammaMixture,
    GaussianMixture,
    MixedMixture,
    PoissonMixture,
    StudentTMixture,
)

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

TOLERANCE = dict(rtol=1e-10, atol=1e-10)


@pytest.fixture(autouse=True)
def synchronous():
    with dask.config.set(scheduler="synchronous"):
        yield


def rows(seed=0, n=240, d=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + 3.0 * rng.integers(2, size=(n, 1))


def frame(n=300):
    rng = np.random.default_rng(1)
    kind = rng.integers(2, size=n)
    table = pd.DataFrame(
        {
            "size": rng.normal(size=n) + 4 * kind,
            "count": rng.poisson(2 + 6 * kind),
            "colour": pd.Series(np.where(kind, "red", "blue")).where(
                rng.uniform(size=n) < 0.8, "grey"
            ),
        }
    )
    table.loc[:99, "colour"] = "blue"  # a partition that has one category of three
    return table


def same_fit(a, b):
    assert a._published_names == b._published_names
    for name in (*a._published_names, "lower_bounds_", "lower_bound_"):
        ours, theirs = vars(a)[name], vars(b)[name]
        pairs = zip(ours, theirs, strict=True) if isinstance(ours, list) else [(ours, theirs)]
        for one, other in pairs:
            np.testing.assert_allclose(one, other, **TOLERANCE, err_msg=name)
    assert a.n_iter_ == b.n_iter_
    assert a.n_features_in_ == b.n_features_in_


# ------------------------------------------------------------ the same fit


COUNTS = np.random.default_rng(2).poisson(4.0, size=(200, 3))


@pytest.mark.parametrize(
    "mixture, X",
    [
        (GaussianMixture(2, random_state=0), rows()),
        (GaussianMixture(2, random_state=0, covariance_type="tied", accelerate="squarem"), rows()),
        (GaussianMixture(2, random_state=0, noise=True, prior="default"), rows()),
        (GaussianMixture(2, random_state=0, n_init=3, init_params="random_from_data"), rows()),
        (GaussianMixture(2, random_state=0, e_step="hard"), rows()),
        (
            GaussianMixture(2, random_state=0, fixed={"weights": [0.5, 0.5]}),
            rows(),
        ),
        (BayesianGaussianMixture(n_components=2, random_state=0, max_iter=500), rows()),
        (StudentTMixture(2, random_state=0), rows()),
        (GammaMixture(2, random_state=0, prior="default"), np.exp(rows())),
        (PoissonMixture(2, random_state=0), COUNTS),
        (BernoulliMixture(2, random_state=0), (COUNTS > 3).astype(float)),
        (CategoricalMixture(2, random_state=0), COUNTS),
        (GaussianMixture(2, random_state=0), rows().astype(np.float32)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseEstimator) else "",
)
def test_fit_is_that_of_the_rows_in_memory(mixture, X):
    local = mixture.fit(X)
    remote = clone(mixture).fit(da.from_array(X, chunks=(70, 2)))
    if X.dtype != np.float32:
        same_fit(local, remote)
    else:
        np.testing.assert_allclose(local.means_, remote.means_, rtol=1e-5)
        assert remote.means_.dtype == np.float32


def test_weights_and_labels_in_any_division():
    X, rng = rows(), np.random.default_rng(3)
    weight = rng.uniform(size=len(X))
    weight[:60] = 0.0  # all of a partition
    D, w = da.from_array(X, chunks=(60, -1)), da.from_array(weight, chunks=100)
    local = GaussianMixture(2, random_state=0).fit(X, sample_weight=weight)
    for given in (w, weight, w.rechunk(60)):
        same_fit(local, GaussianMixture(2, random_state=0).fit(D, sample_weight=given))
    names = np.where(rng.uniform(size=len(X)) < 0.3, np.where(X[:, 0] > 1.5, "b", "a"), "-1")
    names[:60] = np.where(names[:60] == "b", "-1", names[:60])
    local = GaussianMixture(2, random_state=0).fit(X, labels=names)
    remote = GaussianMixture(2, random_state=0).fit(D, labels=da.from_array(names, chunks=60))
    same_fit(local, remote)
    assert remote.classes_.tolist() == ["a", "b"]


def test_data_frames_whose_partitions_know_few_categories():
    table = frame()
    divided = dd.from_pandas(table, npartitions=3)
    local, remote = (MixedMixture(2, random_state=0).fit(X) for X in (table, divided))
    same_fit(local, remote)
    assert remote.feature_names_in_.tolist() == list(table.columns)
    assert remote.categorical_categories_[0].tolist() == ["blue", "grey", "red"]
    weight = table["size"].abs() + 0.1
    local = MixedMixture(2, random_state=0).fit(table, sample_weight=weight)
    remote = MixedMixture(2, random_state=0).fit(
        divided, sample_weight=dd.from_pandas(weight, npartitions=3)
    )
    same_fit(local, remote)
    same_fit(local, MixedMixture(2, random_state=0).fit(divided, sample_weight=weight))


def test_rows_that_are_sparse():
    X = sparse.random(200, 6, density=0.3, random_state=0, format="csr")
    X.data[:] = 1.0
    dense = da.from_array(X.toarray(), chunks=(50, 6))
    local = BernoulliMixture(2, random_state=0).fit(X)
    remote = BernoulliMixture(2, random_state=0).fit(dense.map_blocks(sparse.csr_matrix))
    same_fit(local, remote)


def sequences():
    X = rows(n=400)
    return X, np.repeat(np.arange(20), 20)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sequences():
    X, groups = sequences()
    D, g = da.from_array(X, chunks=(100, 3)), da.from_array(groups, chunks=100)
    for topology in ("ergodic", "left-right"):
        model = GaussianHMM(2, random_state=0, topology=topology, max_iter=20, tol=0)
        local, remote = clone(model).fit(X, groups=groups), model.fit(D, groups=g)
        same_fit(local, remote)
        assert remote.n_sequences_ == 20
    for options in ({}, {"method": "smooth"}):
        found = remote.predict(D, groups=g, **options)
        np.testing.assert_array_equal(found, local.predict(X, groups=groups, **options))
    np.testing.assert_allclose(
        remote.predict_proba(D, groups=groups), local.predict_proba(X, groups=groups), **TOLERANCE
    )
    for name in ("score", "bic", "aic"):
        ours = getattr(remote, name)(D, groups=g)
        assert ours == pytest.approx(getattr(local, name)(X, groups=groups), rel=1e-12)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("algorithm", ["online", "incremental"])
def test_batches_are_computed_where_they_are(algorithm):
    X = rows(n=900)
    settings = dict(algorithm=algorithm, batch_size=100, random_state=0, tol=1e-4, max_iter=30)
    local = GaussianMixture(2, **settings).fit(X)
    remote = GaussianMixture(2, **settings).fit(da.from_array(X, chunks=(300, 3)))
    assert remote.lower_bound_ == pytest.approx(local.lower_bound_, abs=2e-2)
    if algorithm == "incremental":  # the same blocks in the same order
        np.testing.assert_allclose(remote.means_, local.means_, rtol=1e-8)


def test_warm_start_goes_on():
    X = rows()
    D = da.from_array(X, chunks=(80, 3))
    whole = GaussianMixture(2, random_state=0, tol=0, max_iter=8)
    parts = GaussianMixture(2, random_state=0, tol=0, max_iter=4, warm_start=True)
    with pytest.warns(UserWarning):
        whole.fit(D)
        parts.fit(D).fit(D)
    np.testing.assert_allclose(whole.means_, parts.means_, **TOLERANCE)


class Linkage(EMMixin, BaseEstimator):
    """A model of one's own is its own model: what is sent is a copy of the estimator."""

    def __init__(self, tol=1e-12, max_iter=100):
        self.tol = tol
        self.max_iter = max_iter

    def initial_parameters(self, X, sample_weight, random_state):
        return {"theta": 0.5}

    def e_step(self, parameters, X, sample_weight, **modes):
        t, counts = parameters["theta"], X.sum(axis=0)
        hidden = counts[0] * t / (2 + t)
        sums = Sums({"t": hidden + counts[3], "not_t": counts[1] + counts[2]})
        return sums, counts @ np.log(np.array([2 + t, 1 - t, 1 - t, t]) / 4)

    def m_step(self, statistics, parameters):
        return {"theta": statistics["t"] / (statistics["t"] + statistics["not_t"])}


def test_a_model_of_ones_own():
    X = np.array([[125.0, 18.0, 20.0, 34.0], [100.0, 20.0, 22.0, 30.0], [50.0, 9.0, 9.0, 17.0]])
    D = da.from_array(X, chunks=(1, 4))
    local, remote = Linkage().fit(X), Linkage().fit(D)
    assert remote.theta_ == pytest.approx(local.theta_, abs=1e-10)
    assert remote.score(D) == pytest.approx(local.score(X), rel=1e-12)


# ------------------------------------------------------------- predictions


def test_predictions_are_lazy_and_the_same():
    X = rows()
    read = []
    D = da.from_array(X, chunks=(60, 3)).map_blocks(
        lambda x: read.append(len(x)) or x, dtype=X.dtype
    )
    mixture = GaussianMixture(2, random_state=0, noise=True).fit(X)
    read.clear()
    labels, proba, scores = mixture.predict(D), mixture.predict_proba(D), mixture.score_samples(D)
    assert read == []
    assert (labels.dtype, labels.shape, labels.chunks) == (np.int64, (240,), D.chunks[:1])
    assert (proba.dtype, proba.shape) == (np.float64, (240, 3))
    np.testing.assert_array_equal(labels[:60], mixture.predict(X[:60]))
    assert read == [60]  # one partition, for what was asked
    np.testing.assert_allclose(proba.compute(), mixture.predict_proba(X), **TOLERANCE)
    np.testing.assert_allclose(scores.compute(), mixture.score_samples(X), **TOLERANCE)
    before = mixture.predict(X)
    mixture.fit(X[::-1] * 3.0)  # what was asked before is of the model as it was
    np.testing.assert_array_equal(labels.compute(), before)


def test_predictions_of_data_frames():
    table = frame()
    divided = dd.from_pandas(table, npartitions=4)
    mixture = MixedMixture(2, random_state=0).fit(table)
    proba = mixture.predict_proba(divided)
    assert math.isnan(proba.shape[0]) and proba.shape[1] == 2
    np.testing.assert_allclose(proba.compute(), mixture.predict_proba(table), **TOLERANCE)
    np.testing.assert_array_equal(mixture.predict(divided).compute(), mixture.predict(table))


def test_totals_are_added_up():
    X = rows()
    D = da.from_array(X, chunks=(50, 3))
    weight = np.r_[np.zeros(50), np.linspace(0.1, 2, 190)]
    mixture = GaussianMixture(2, random_state=0).fit(X)
    for name in ("score", "bic", "aic", "icl"):
        for given in ({}, {"sample_weight": weight}):
            ours, theirs = (getattr(mixture, name)(x, **given) for x in (D, X))
            assert ours == pytest.approx(theirs, rel=1e-12), name
    assert isinstance(mixture.score(D), float)


# ------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda X: X[:0], "0 sample"),
        (lambda X: X[:, 0], "2D"),
        (lambda X: da.concatenate([X, X * np.inf]), "Partition 3: Input X contains infinity"),
        (
            lambda X: da.concatenate([X, X[:, :2].map_blocks(lambda x: x, chunks=(80, 3))]),
            "columns",
        ),
    ],
)
def test_data_that_cannot_be_used(make, words):
    with pytest.raises(ValueError, match=words):
        GaussianMixture(2).fit(make(da.from_array(rows(), chunks=(80, 3))))


def test_what_belongs_to_the_rows_must_fit():
    X = rows()
    D = da.from_array(X, chunks=(80, 3))
    unknown = D[D[:, 0] > -100]  # as many rows, which nobody has counted
    same_fit(
        GaussianMixture(2, random_state=0).fit(X), GaussianMixture(2, random_state=0).fit(unknown)
    )
    weight = np.linspace(0.5, 1, len(X))
    local = GaussianMixture(2, random_state=0).fit(X, sample_weight=weight)
    same_fit(local, GaussianMixture(2, random_state=0).fit(unknown, sample_weight=weight))
    for wrong in (np.ones(5), da.ones(5), da.ones((240, 2)), np.ones((240, 2))):
        with pytest.raises(ValueError, match="sample_weight must have"):
            GaussianMixture(2).fit(D, sample_weight=wrong)
    with pytest.raises(ValueError, match="sample_weight has 1 partitions and X has 3"):
        GaussianMixture(2).fit(D, sample_weight=dd.from_pandas(pd.Series(weight), npartitions=1))
    with pytest.raises(ValueError, match="all weights are zero"):
        GaussianMixture(2).fit(D, sample_weight=np.zeros(len(X)))


def test_empty_partitions_are_left_out():
    X = rows()
    D = da.from_array(X, chunks=((80, 0, 100, 0, 60), 3))
    mixture = GaussianMixture(2, random_state=0)
    same_fit(clone(mixture).fit(X), mixture.fit(D, sample_weight=np.ones(len(X))))
    np.testing.assert_array_equal(mixture.predict(D).compute(), mixture.predict(X))
    D = D[D[:, 0] > -100]
    same_fit(clone(mixture).fit(X), mixture.fit(D))
    np.testing.assert_array_equal(mixture.predict(D).compute(), mixture.predict(X))
    assert mixture.score(D) == pytest.approx(mixture.score(X), rel=1e-12)


def test_sequences_that_are_cut():
    X, groups = sequences()
    model = GaussianHMM(2, random_state=0)
    whole, cut = da.from_array(X, chunks=(100, 3)), da.from_array(X, chunks=(110, 3))
    with pytest.raises(ValueError, match="Give groups"):
        model.fit(whole)
    with pytest.raises(ValueError, match="Give groups"):
        model.fit(whole, lengths=[20] * 20)
    with pytest.raises(ValueError, match="group 5 is in more than one partition"):
        model.fit(cut, groups=groups)
    again = groups.copy()
    again[-20:] = 0
    with pytest.raises(ValueError, match="group 0 is in more than one partition"):
        model.fit(whole, groups=again)
    model.fit(whole, groups=groups)
    with pytest.raises(ValueError, match="group 5 is in more than one partition"):
        model.predict(cut, groups=groups).compute()
    one = da.from_array(X, chunks=-1)
    same_fit(clone(model).fit(X), clone(model).fit(one))


def test_methods_that_would_bring_the_data_here():
    D = da.from_array(rows(), chunks=(80, 3))
    with pytest.raises(TypeError, match="Give this method"):
        GaussianMixture(2).partial_fit(D)
    hmm = GaussianHMM(2, random_state=0).fit(rows())
    with pytest.raises(TypeError, match="Give this method"):
        hmm.decode(D)
    with pytest.raises(ValueError, match="expecting 3 features"):
        GaussianMixture(2, random_state=0).fit(rows()).predict(D[:, :2])


def test_dask_without_what_is_needed(monkeypatch):
    D = da.from_array(rows(), chunks=(80, 3))
    monkeypatch.setitem(sys.modules, "dask.array", None)
    with pytest.raises(ImportError, match=r'pip install "emlearn\[dask\]"'):
        GaussianMixture(2).fit(D)


# ------------------------------------------------------- what travels


def test_surveys_of_parts_are_that_of_all():
    X = rows(n=500)
    parts = [Survey((0, i), 120) for i in range(5)]
    for part, x in zip(parts, np.split(X, 5), strict=True):
        part.add(Block(x))
    left = parts[0].merge(parts[1]).merge(parts[2]).merge(parts[3].merge(parts[4]))
    right = parts[0].merge(parts[1].merge(parts[2].merge(parts[3].merge(parts[4]))))
    assert left.n_rows == right.n_rows == 500
    np.testing.assert_array_equal(left.sample.X, right.sample.X)
    assert len(left.sample.X) == 120
    places = [int(np.flatnonzero((X == x).all(axis=1))[0]) for x in left.sample.X]
    assert places == sorted(places)  # their order is kept
    assert min(np.bincount(np.array(places) // 100, minlength=5)) > 5  # they are from everywhere
    assert parts[0].n_rows == 100  # a merge changes nothing of its parts: a task may be run again


@pytest.mark.parametrize("n", [1, 2, 5, 8, 13])
def test_the_graph_has_a_task_for_each_partition_and_a_tree(n):
    X = da.from_array(rows(n=10 * n), chunks=(10, 3))
    graph = Partitions(X).tree(lambda *a: None, lambda a, b: a, "e-step").dask
    leaves = [key for key in graph if key[0].startswith("emlearn-e-step-") and len(key) == 2]
    sums = [key for key in graph if key[0].startswith("emlearn-add-")]
    assert len(leaves) == n and len(sums) == n - 1

    def depth(key):
        below = [k for k in graph[key].dependencies if k in sums]
        return 1 + max(map(depth, below), default=0)

    assert max(map(depth, sums), default=0) == math.ceil(math.log2(n))
    assert len([key for key in graph if "emlearn" in str(key)]) == 2 * n  # and what they share


def received(n, monkeypatch):
    """Sizes of what came back from the partitions, by the name of the tasks."""
    sizes, compute = [], Partitions.compute

    def watch(self, value):
        found = compute(self, value)
        sizes.append(len(pickle.dumps(found)))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Partitions, "compute", watch)
        D = da.from_array(rows(n=n), chunks=(n // 4, 3))
        GaussianMixture(2, random_state=0, max_iter=5, tol=0).fit(D)
    return sizes


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_statistics_have_the_same_size_for_any_number_of_rows(monkeypatch):
    monkeypatch.setattr(sources, "_START_ROWS", 200)
    small, large = received(400, monkeypatch), received(16000, monkeypatch)
    assert small[1:] == large[1:]  # after the survey
    assert len(small) == 1 + 6 and max(small[1:]) < 1500
    assert large[0] < 1.1 * small[0]  # a sample of as many rows


def test_what_is_sent_is_small():
    X = rows(n=2000)
    g = GaussianHMM(2, init_params=np.arange(2000) % 2, random_state=np.random.RandomState(0))
    g.set_callbacks(Count(0, None))
    sent = sendable(g.fit(X))
    assert len(pickle.dumps(sent)) < 4000
    assert "_skl_callbacks" not in vars(sent) and "_skl_callbacks" in vars(g)
    np.testing.assert_array_equal(sent.predict(X), g.predict(X))
    source = DaskSource.of(g, da.from_array(X, chunks=-1), {})
    assert len(pickle.dumps(source.outgoing(g._model_for(source)))) < 4000


# -------------------------------------------------------------- a cluster


class Count:
    """Calls a function after so many iterations."""

    def __init__(self, after, function):
        self.after, self.function, self.n = after, function, 0

    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "iteration":
            self.n += 1
            if self.n == self.after:
                self.function()


def partition(number, n, d):
    """Rows that are made on the workers."""
    rng = np.random.default_rng(number)
    return rng.normal(size=(n, d)) + 2.0 * rng.integers(2, size=(n, 1))


def divided(n_partitions, n, d):
    make = dask.delayed(partition)
    parts = [da.from_delayed(make(i, n, d), (n, d), float) for i in range(n_partitions)]
    return da.concatenate(parts), [partition(i, n, d) for i in range(n_partitions)]


class Processes:
    """Worker processes of a scheduler, with nobody who starts them anew."""

    def __init__(self, address):
        self.address, self.all = address, []

    def start(self, n):
        for _ in range(n):
            command = [sys.executable, "-m", "distributed.cli.dask_worker", self.address]
            options = ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"]
            self.all.append(subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL))

    def stop(self):
        for process in self.all:
            process.kill()
            process.wait()


@contextlib.contextmanager
def cluster_of(n):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=0, processes=True, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        processes = Processes(cluster.scheduler_address)
        try:
            processes.start(n)
            client.wait_for_workers(n, timeout=120)
            client.processes = processes
            with dask.config.set(scheduler="dask.distributed"):
                yield client
        finally:
            processes.stop()


@pytest.fixture
def two_workers(synchronous):
    with cluster_of(2) as client:
        yield client


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_two_processes_fit_what_one_does(two_workers):
    D, parts = divided(5, 200, 3)
    X, D = np.concatenate(parts), two_workers.persist(D)
    mixture = GaussianMixture(2, random_state=0, n_init=2, max_iter=15)
    local, remote = clone(mixture).fit(X), mixture.fit(D)
    same_fit(local, remote)
    # what the answer needs is held, though nobody else holds it
    labels = remote.predict(two_workers.persist(D + 0.0))
    np.testing.assert_array_equal(labels.compute(), local.predict(X))
    assert remote.bic(D) == pytest.approx(local.bic(X), rel=1e-12)
    counts = (D > 1).astype(int)
    same_fit(*(PoissonMixture(2, random_state=0).fit(x) for x in (counts.compute(), counts)))
    groups = np.repeat(np.arange(50), 20)
    model = GaussianHMM(2, random_state=0, max_iter=5, topology="left-right", tol=0)
    same_fit(clone(model).fit(X, groups=groups), model.fit(D, groups=groups))


def test_two_processes_fit_a_data_frame(two_workers):
    table = frame()
    for prior in (None, "default"):
        mixture = MixedMixture(2, random_state=0, prior=prior)
        local = clone(mixture).fit(table)
        same_fit(local, mixture.fit(dd.from_pandas(table, npartitions=3)))
    divided_frame = dd.from_pandas(table, npartitions=3)
    same_fit(
        *(CategoricalMixture(2, random_state=0).fit(x[["colour"]]) for x in (table, divided_frame))
    )


def test_online_batches_stay_on_the_workers(two_workers):
    D, parts = divided(3, 300, 3)
    online = GaussianMixture(2, algorithm="online", batch_size=100, max_iter=4, random_state=0)
    with pytest.warns(UserWarning):
        online.set_params(tol=0.0).fit(D)
    batch = GaussianMixture(2, random_state=0).fit(np.concatenate(parts))
    assert online.lower_bound_ == pytest.approx(batch.lower_bound_, abs=0.02)


def test_no_partition_comes_to_the_client(two_workers, monkeypatch):
    from distributed.comm import tcp

    monkeypatch.setattr(sources, "_START_ROWS", 500)
    n, d = 50_000, 8
    D = two_workers.persist(divided(4, 10, d)[0])
    GaussianMixture(2, random_state=0).fit(D)  # what is loaded once
    sizes, read = [], tcp.from_frames

    async def watched(frames, *args, **kwargs):
        sizes.append(sum(memoryview(frame).nbytes for frame in frames))
        return await read(frames, *args, **kwargs)

    make = dask.delayed(partition)
    D = da.concatenate([da.from_delayed(make(i, n, d), (n, d), float) for i in range(4)])
    monkeypatch.setattr(tcp, "from_frames", watched)
    mixture = GaussianMixture(2, random_state=0, max_iter=5, tol=0)
    with pytest.warns(UserWarning):
        mixture.fit(D, sample_weight=da.ones(4 * n, chunks=n))
    # all that client and scheduler, which live in this process, were told
    assert len(sizes) > 20
    assert max(sizes) < n * d * 8 / 20
    assert sum(sizes) < n * d * 8
    sizes.clear()
    D[:1].compute()
    assert max(sizes) > 0 and mixture.n_iter_ == 5


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_four_processes_share_the_partitions(two_workers):
    scheduler = two_workers.cluster.scheduler
    two_workers.processes.start(2)
    two_workers.wait_for_workers(4, timeout=120)
    D, _ = divided(8, 200, 3)
    D = two_workers.persist(D)
    before = {event[0] for event in scheduler.transition_log}
    GaussianMixture(2, random_state=0, max_iter=2, tol=0).fit(D)
    done = {event[0] for event in scheduler.transition_log if event[2] == "memory"} - before
    for prefix, each in (("emlearn-e-step-", 8), ("emlearn-add-", 7)):
        found = [k[0] for k in done if isinstance(k, tuple) and k[0].startswith(prefix)]
        counts = {name: found.count(name) for name in found}
        assert set(counts.values()) == {each}
        assert len(counts) >= 3  # two iterations and the last objective


def test_a_worker_that_dies_changes_nothing(two_workers):
    distributed = pytest.importorskip("distributed")
    D, parts = divided(6, 500, 3)
    D = two_workers.persist(D)
    settings = dict(random_state=0, tol=0, max_iter=8)
    with pytest.warns(UserWarning):
        local = GaussianMixture(2, **settings).fit(np.concatenate(parts))
    pids = two_workers.run(os.getpid)
    distributed.wait(D)
    victim = pids[next(iter(two_workers.who_has(D).values()))[0]]  # one that has a partition
    kill = Count(3, lambda: os.kill(victim, signal.SIGKILL))
    with pytest.warns(UserWarning):
        remote = GaussianMixture(2, **settings).set_callbacks(kill).fit(D)
    same_fit(local, remote)
    assert kill.n == 8
    gone = [p for p in two_workers.processes.all if p.pid == victim]
    assert gone and gone[0].wait(timeout=60) == -signal.SIGKILL
