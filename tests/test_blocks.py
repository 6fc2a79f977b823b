"""Fits to blocks that are read anew in each pass, and to files that are mapped into memory."""

import gc
import sqlite3
import time
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import emlearn._blocks
import emlearn.em.incremental
import emlearn.em.sources
from emlearn.datasets import load_faithful, load_geyser
from emlearn.distributions import Categorical, Gaussian, Product
from emlearn.em import Units, block_rows
from emlearn.em.sources import Block, InMemory, Survey
from emlearn.hmm import HMM, GaussianHMM
from emlearn.mixture import (
    BayesianGaussianMixture,
    CategoricalMixture,
    GaussianMixture,
    MixedMixture,
    PoissonMixture,
)

RNG = np.random.RandomState(0)
FAITHFUL = load_faithful().data
GEYSER = load_geyser().data
CUTS = [0, 50, 130, 131, 272]


def pieces(X, cuts=CUTS):
    return [X[a:b] for a, b in pairwise(cuts)]


def assert_same(a, b, rtol=1e-10):
    assert a._published_names == b._published_names
    for name in a._published_names:
        np.testing.assert_allclose(
            getattr(a, name), getattr(b, name), rtol=rtol, atol=1e-12, err_msg=name
        )


def mapped(tmp_path, X, **layout):
    path = tmp_path / "rows.bin"
    rows = np.memmap(path, dtype=X.dtype, mode="w+", shape=X.shape, **layout)
    rows[...] = X
    rows.flush()
    return np.memmap(path, dtype=X.dtype, mode="r", shape=X.shape, **layout)


@pytest.fixture
def read_in_blocks(monkeypatch):
    """Small files are read in blocks, too."""
    monkeypatch.setattr(emlearn._blocks, "_MAPPED_BYTES", 0)


# ------------------------------------------------------------------ blocks

MODELS = [
    GaussianMixture(2, random_state=0),
    GaussianMixture(2, random_state=0, init_params="random_from_data", n_init=2),
    GaussianMixture(2, random_state=0, noise=True, prior="default"),
    BayesianGaussianMixture(n_components=2, random_state=0),
    GaussianMixture(2, random_state=0, accelerate="squarem", tol=1e-6),
    GaussianMixture(2, random_state=0, e_step="hard"),
]


@pytest.mark.parametrize("model", MODELS, ids=range(len(MODELS)))
def test_blocks_are_the_rows_that_they_are(model):
    whole = type(model)(**model.get_params()).fit(FAITHFUL)
    blocks = type(model)(**model.get_params()).fit_blocks(lambda: iter(pieces(FAITHFUL)))
    assert_same(whole, blocks, rtol=1e-8)
    assert blocks.lower_bound_ == pytest.approx(whole.lower_bound_, rel=1e-10)
    assert blocks.n_iter_ == whole.n_iter_


def test_one_pass_an_iteration():
    passes = []

    def blocks():
        passes.append(1)
        yield from pieces(FAITHFUL)

    mixture = GaussianMixture(2, random_state=0, tol=0, max_iter=7)
    with pytest.warns(Warning, match="did not converge"):
        mixture.fit_blocks(blocks)
    # one to look at all rows, one for each iteration, one for the objective of the last parameters
    assert len(passes) == 1 + 7 + 1


def test_blocks_with_weights_and_labels():
    weights = RNG.randint(3, size=272).astype(float)
    labels = np.where(RNG.uniform(size=272) < 0.2, (FAITHFUL[:, 0] < 3).astype(int), -1)
    whole = GaussianMixture(2, random_state=0).fit(FAITHFUL, sample_weight=weights, labels=labels)
    blocks = [
        (x, {"sample_weight": w, "labels": z})
        for x, w, z in zip(pieces(FAITHFUL), pieces(weights), pieces(labels), strict=True)
    ]
    found = GaussianMixture(2, random_state=0).fit_blocks(blocks)
    assert_same(whole, found)
    np.testing.assert_array_equal(found.classes_, [0, 1])


def test_categories_of_all_blocks():
    frame = pd.DataFrame({"kind": list("aabbccdd") * 8, "size": np.arange(64.0) % 7})
    frame = frame.sort_values("kind", ignore_index=True)
    blocks = pieces(frame, [0, 20, 40, 64])
    whole = MixedMixture(2, random_state=0).fit(frame)
    found = MixedMixture(2, random_state=0).fit_blocks(blocks)
    assert found.lower_bound_ == pytest.approx(whole.lower_bound_, rel=1e-10)
    one = CategoricalMixture(2, random_state=0).fit_blocks([b[["kind"]] for b in blocks])
    assert one.categories_[0].tolist() == list("abcd")
    product = Product([("a", Categorical(), ["kind"]), ("b", Gaussian("diag"), ["size"])])
    mixed = MixedMixture(2, blocks=product.blocks, random_state=0).fit_blocks(blocks)
    assert mixed.a_categories_[0].tolist() == list("abcd")


def test_types_of_columns_that_change_are_an_error():
    frames = [pd.DataFrame({"x": [1, 2, 3]}), pd.DataFrame({"x": [0.5, 1.5, 2.5]})]
    with pytest.raises(ValueError, match="Block 1: the types of the columns differ"):
        MixedMixture(1).fit_blocks(frames)


def test_sparse_blocks():
    X = sparse.csr_matrix(RNG.poisson(0.8, size=(272, 5)).astype(float))
    whole = PoissonMixture(2, random_state=0).fit(X)
    assert_same(whole, PoissonMixture(2, random_state=0).fit_blocks(pieces(X)))


def test_blocks_of_sequences():
    whole = GaussianHMM(2, random_state=0).fit(GEYSER, lengths=[100, 100, 99])
    blocks = [
        (GEYSER[:100], {"lengths": [100]}),
        (GEYSER[100:], {"groups": ["b"] * 100 + ["c"] * 99}),
    ]
    found = GaussianHMM(2, random_state=0).fit_blocks(blocks)
    assert_same(whole, found)
    assert found.n_sequences_ == 3
    as_lists = [[GEYSER[:100]], [GEYSER[100:200], GEYSER[200:]]]
    assert_same(whole, GaussianHMM(2, random_state=0).fit_blocks(as_lists))


@pytest.mark.parametrize("algorithm", ["online", "incremental"])
def test_other_algorithms_take_blocks(algorithm):
    settings = {"algorithm": algorithm, "batch_size": 40, "random_state": 0, "max_iter": 300}
    goal = GaussianMixture(2, random_state=0).fit(FAITHFUL).lower_bound_
    found = GaussianMixture(2, **settings).fit_blocks(pieces(FAITHFUL))
    assert found.lower_bound_ > goal - 1e-3 * abs(goal)


def test_a_warm_start_from_blocks():
    settings = {"random_state": 0, "tol": 0, "warm_start": True}
    few = GaussianMixture(2, max_iter=1, **settings)
    for _ in range(4):
        with pytest.warns(Warning, match="did not converge"):
            few.fit_blocks(pieces(FAITHFUL))
    with pytest.warns(Warning, match="did not converge"):
        once = GaussianMixture(2, max_iter=4, **settings).fit_blocks(pieces(FAITHFUL))
    for name in once._published_names:
        np.testing.assert_array_equal(getattr(few, name), getattr(once, name))


def once_only():
    iterator = iter(pieces(FAITHFUL))
    return lambda: iterator


def shrinking():
    passes = []

    def blocks():
        passes.append(1)
        return pieces(FAITHFUL)[: 5 - len(passes)]

    return blocks


@pytest.mark.parametrize(
    ("blocks", "kind", "message"),
    [
        ([FAITHFUL, FAITHFUL[:, :1]], ValueError, "Block 1: X has 1 features"),
        ([FAITHFUL, FAITHFUL[:0]], ValueError, "Block 1 is empty"),
        ([], ValueError, "There are no blocks"),
        (iter([FAITHFUL]), TypeError, "can be read only once"),
        (once_only(), ValueError, "only once"),
        (shrinking(), ValueError, "the first one gave"),
        (lambda: 3, TypeError, "an iterator of blocks"),
        (FAITHFUL, TypeError, "a function"),
        ([np.full((9, 2), np.inf)], ValueError, "Block 0: Input X contains infinity"),
        ([np.full((9, 2), np.nan)], ValueError, "column 0, column 1 are missing.*Drop them"),
        ([(FAITHFUL, {"sample_weight": [1.0]})], ValueError, "Block 0: sample_weight"),
        ([(FAITHFUL, {"weight": 1.0})], TypeError, "Block 0: .*weight"),
        ([(FAITHFUL, {"labels": [9] * 272})], ValueError, "Block 0: labels must be"),
        ([FAITHFUL[:1]], ValueError, "minimum of 2"),
        (
            [pd.DataFrame({"a": [1.0, 2], "b": [1.0, 3]}), pd.DataFrame({"a": [1.0], "c": [2.0]})],
            ValueError,
            "Block 1: .*feature names",
        ),
    ],
)
def test_bad_blocks(blocks, kind, message):
    with pytest.raises(kind, match=message):
        GaussianMixture(2, random_state=0).fit_blocks(blocks)


# ------------------------------------------------------------------- files


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("algorithm", ["batch", "incremental", "online"])
def test_a_mapped_file_is_fitted_as_the_array(tmp_path, read_in_blocks, dtype, algorithm):
    X = FAITHFUL.astype(dtype)
    settings = {"random_state": 0, "algorithm": algorithm, "batch_size": 60}
    rows = mapped(tmp_path, X)
    with block_rows(50):
        found = GaussianMixture(2, **settings).fit(rows)
        whole = GaussianMixture(2, **settings).fit(X)
    if algorithm == "online":  # blocks in another order
        assert found.lower_bound_ == pytest.approx(whole.lower_bound_, rel=1e-2)
        return
    for name in whole._published_names:
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name), err_msg=name)
    assert found.means_.dtype == dtype


def test_parts_and_other_layouts_of_a_file(tmp_path, read_in_blocks):
    X = RNG.standard_normal((400, 3))
    rows = mapped(tmp_path, X)
    settings = {"random_state": 0, "init_params": "random_from_data"}
    with block_rows(64):
        for taken, same in (
            (rows[33:321], X[33:321]),  # from the middle of the file
            (rows[:, :2], X[:, :2]),
            (rows[::-1], X[::-1]),
        ):
            found = GaussianMixture(2, **settings).fit(taken)
            np.testing.assert_array_equal(
                found.means_, GaussianMixture(2, **settings).fit(same).means_
            )
        columns = mapped(tmp_path, X, order="F")
        found = GaussianMixture(2, **settings).fit(columns)
        np.testing.assert_array_equal(found.means_, GaussianMixture(2, **settings).fit(X).means_)
        # changes that are not in the file
        private = np.memmap(
            tmp_path / "rows.bin", dtype=X.dtype, mode="c", shape=X.shape, order="F"
        )
        private[:] = X + 1.0
        found = GaussianMixture(2, **settings).fit(private)
        np.testing.assert_allclose(
            found.means_, GaussianMixture(2, **settings).fit(X + 1.0).means_, rtol=1e-12
        )


def test_weights_labels_and_sequences_of_a_file(tmp_path, read_in_blocks):
    weights = RNG.randint(1, 4, size=272).astype(float)
    labels = np.where(np.arange(272) % 5, -1, (FAITHFUL[:, 0] < 3).astype(int))
    rows = mapped(tmp_path, FAITHFUL)
    more = {"sample_weight": weights, "labels": labels}
    with block_rows(50):
        found = GaussianMixture(2, random_state=0).fit(rows, **more)
        whole = GaussianMixture(2, random_state=0).fit(FAITHFUL, **more)
        np.testing.assert_array_equal(found.means_, whole.means_)
        series = mapped(tmp_path, GEYSER)
        for parts in ({"lengths": [100, 100, 99]}, {"groups": np.arange(299) // 100}):
            found = GaussianHMM(2, random_state=0).fit(series, **parts)
            whole = GaussianHMM(2, random_state=0).fit(GEYSER, **parts)
            np.testing.assert_array_equal(found.means_, whole.means_)
            assert found.n_sequences_ == 3
    with pytest.raises(ValueError, match="sample_weight"):
        GaussianMixture(2).fit(rows, sample_weight=weights[:5])
    with pytest.raises(ValueError, match="labels"):
        GaussianMixture(2).fit(rows, labels=labels[:5])
    bad = FAITHFUL.copy()
    bad[200, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        GaussianMixture(2).fit(mapped(tmp_path, bad))


# ----------------------------------------------------------------- sources


def whole_split(X):
    return [slice(0, X.shape[0])]


def test_a_survey_of_few_rows_keeps_them_all():
    survey = Survey()
    for first in (0, 100):
        survey.add(Block(FAITHFUL[first : first + 100], np.ones(100), None, first))
    np.testing.assert_array_equal(survey.sample.X, FAITHFUL[:200])
    assert (survey.n_rows, survey.weight, survey.n_counting) == (200, 200.0, 200)


@pytest.mark.parametrize("units", [False, True])
def test_a_survey_of_many_rows_keeps_an_even_sample(monkeypatch, units):
    monkeypatch.setattr(emlearn.em.sources, "_START_ROWS", 500)
    survey = Survey()
    for first in range(0, 20_000, 1000):
        X = np.arange(first, first + 1000.0)[:, None]
        survey.add(Block(Units(X, np.arange(10, 1001, 10)) if units else X, None, None, first))
        assert survey._n_kept <= 2000  # nothing more stays in memory
    kept = survey.sample.X.rows[:, 0] if units else survey.sample.X[:, 0]
    assert 400 <= len(kept) <= 500 and np.all(np.diff(kept) > 0)
    assert abs(kept.mean() - 10_000) < 1500
    if units:
        assert np.all(np.diff(kept)[np.arange(len(kept) - 1) % 10 != 9] == 1)  # whole sequences


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_batches_have_each_row_once(size):
    X = np.arange(100.0)[:, None]
    weights = np.arange(100.0)
    source = InMemory(Block(X, weights), whole_split)
    for rng in (None, np.random.default_rng(0)):
        batches = list(source.batches(size, rng))
        rows = np.concatenate([b.X[:, 0] for batch in batches for b in batch])
        np.testing.assert_array_equal(np.sort(rows), X[:, 0])
        for batch in batches:
            assert sum(b.n_rows for b in batch) <= size + 1
            for b in batch:
                np.testing.assert_array_equal(b.X[:, 0], b.sample_weight)
    if 1 < size < 100:
        assert not np.array_equal(rows, X[:, 0])


def test_batches_of_sequences_are_whole():
    ends = np.array([3, 10, 11, 40, 60])
    source = InMemory(Block(Units(np.arange(60.0)[:, None], ends)), whole_split)
    starts = set(np.r_[0, ends[:-1]].tolist())
    for rng in (None, np.random.default_rng(1)):
        seen = []
        for batch in source.batches(12, rng):
            for block in batch:
                begins = block.X.begins
                assert set(block.X.rows[begins, 0].astype(int).tolist()) <= starts
                seen += block.X.rows[:, 0].tolist()
        assert sorted(seen) == list(range(60))


def test_blocks_of_a_file_that_wait_are_not_written_over(tmp_path, read_in_blocks):
    class Slow(Gaussian):
        def log_density(self, *arguments):
            time.sleep(1e-3 * RNG.uniform())
            return super().log_density(*arguments)

    X = RNG.standard_normal((900, 2)) + 3.0 * (np.arange(900) // 300)[:, None]
    rows = mapped(tmp_path, X)
    settings = {"n_init": 6, "max_iter": 3, "tol": 0, "random_state": 0}
    fits = []
    with block_rows(100), pytest.warns(Warning, match="did not converge"):
        for n_jobs in (1, 4):
            model = HMM(3, distribution=Slow(), n_jobs=n_jobs, **settings)
            fits.append(model.fit(rows, lengths=[300, 300, 300]))
    np.testing.assert_array_equal(fits[0].means_, fits[1].means_)
    np.testing.assert_array_equal(fits[0].restart_lower_bounds_, fits[1].restart_lower_bounds_)


# -------------------------------------------------- where blocks come from


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_function_is_read_in_the_thread_that_called(n_jobs):
    database = sqlite3.connect(":memory:")  # refuses other threads
    database.execute("create table eruptions (duration real, waiting real)")
    database.executemany("insert into eruptions values (?, ?)", FAITHFUL.tolist())
    running = []

    def blocks():
        running.append(1)
        assert len(running) == 1
        cursor = database.execute("select * from eruptions")
        while rows := cursor.fetchmany(100):
            yield np.array(rows)
        running.pop()

    settings = {"random_state": 0, "n_init": 4, "init_params": "random_from_data"}
    with block_rows(30):
        found = GaussianMixture(2, n_jobs=n_jobs, **settings).fit_blocks(blocks)
    database.close()
    assert_same(GaussianMixture(2, **settings).fit(FAITHFUL), found, rtol=1e-8)


def test_incremental_em_keeps_a_bounded_number_of_statistics(monkeypatch):
    kept = []

    class Counted(emlearn.em.incremental.MergeTree):
        def __init__(self, leaves):
            kept.append(len(leaves))
            super().__init__(leaves)

    monkeypatch.setattr(emlearn.em.incremental, "MergeTree", Counted)
    X = RNG.standard_normal((3000, 1))
    settings = {"algorithm": "incremental", "batch_size": 1, "random_state": 0, "tol": 0.1}
    GaussianMixture(1, **settings).fit(X)
    GaussianMixture(1, **settings).fit(X[:900])
    assert kept == [1000, 900]


def test_a_start_has_enough_rows_whatever_their_size(monkeypatch):
    monkeypatch.setattr(emlearn.em.sources, "_START_NUMBERS", 30_000)
    wide = Survey(least=2000)
    for first in range(0, 10_000, 1000):
        wide.add(Block(np.zeros((1000, 100)), None, None, first))
    assert 1900 <= wide.sample.n_rows <= 2000
    columns = np.random.default_rng(0).integers(100_000, size=3000)
    rows = sparse.csr_matrix((np.ones(3000), columns, 3 * np.arange(1001)), shape=(1000, 100_000))
    thin = Survey(least=10)
    for first in range(0, 20_000, 1000):
        thin.add(Block(rows, None, None, first))
    assert 9000 <= thin.sample.n_rows <= 11_000  # of 3 numbers each
    mixture = PoissonMixture(60)
    assert mixture._survey().least == 3000
    assert PoissonMixture(2)._survey().least == 2000


def test_a_sample_is_even_where_rows_become_thinner(monkeypatch):
    monkeypatch.setattr(emlearn.em.sources, "_START_NUMBERS", 6_000)
    survey = Survey()
    for number in range(60):
        X = np.full((500, 20), number + 1.0)
        X[:, 1:] *= number < 20  # 20 numbers in the first rows, 1 in the others
        survey.add(Block(sparse.csr_matrix(X), None, None, 500 * number))
    kept = survey.sample.X[:, 0].toarray()
    assert abs(np.mean(kept <= 20) - 1 / 3) < 0.1


@pytest.mark.parametrize(
    "model", [CategoricalMixture(2), MixedMixture(2), GaussianMixture(2)], ids=str
)
def test_an_iterator_that_is_exhausted_is_an_error(model):
    iterator = iter(pieces(np.arange(272).reshape(-1, 1) % 3))
    with pytest.raises(ValueError, match="only once"):
        model.fit_blocks(lambda: iterator)


@pytest.mark.parametrize("warm_start", [False, True])
def test_no_blocks_are_an_error(warm_start):
    mixture = GaussianMixture(2, random_state=0, warm_start=warm_start).fit(FAITHFUL)
    with pytest.raises(ValueError, match="no blocks"):
        mixture.fit_blocks(lambda: iter(()))


@pytest.mark.parametrize(
    ("block", "wrong"),
    [
        ((FAITHFUL, {"weights": np.ones(272)}), "its dict has 'weights'"),
        ((FAITHFUL, {0: np.ones(272)}), "its dict has 0"),
        ((FAITHFUL, np.ones(272)), "it is a tuple of 2: ndarray, ndarray"),
        ((FAITHFUL, None), "it is a tuple of 2: ndarray, NoneType"),
        ((FAITHFUL, np.ones(272), np.zeros(272)), "it is a tuple of 3"),
    ],
)
@pytest.mark.parametrize("model", [GaussianMixture(2), GaussianHMM(2)], ids=str)
def test_a_block_is_a_table_or_a_pair(model, block, wrong):
    with pytest.raises(TypeError, match=f"Block 1: {wrong}.*table, or a pair .*sample_weight, lab"):
        model.fit_blocks([FAITHFUL, block])


def test_a_block_may_be_a_tuple_of_sequences():
    whole = GaussianHMM(2, random_state=0).fit(GEYSER, lengths=[100, 199])
    found = GaussianHMM(2, random_state=0).fit_blocks([(GEYSER[:100], GEYSER[100:])])
    assert_same(whole, found)


# ----------------------------------------- files that are not what they were


@pytest.mark.parametrize("change", ["replaced", "moved", "deleted", "shorter", "middle"])
def test_rows_are_those_of_the_map(tmp_path, read_in_blocks, change):
    X = RNG.standard_normal((40_000, 2)) + 5 * (np.arange(40_000) % 2)[:, None]
    rows = mapped(tmp_path, X)
    path, new = tmp_path / "rows.bin", tmp_path / "new.bin"
    if change in ("replaced", "moved"):
        (X + 100.0).tofile(new)
    elif change == "shorter":
        X[:100].tofile(new)
    elif change == "middle":  # little is different
        other = X.copy()
        other[1000:3000] += 100.0
        other.tofile(new)
    if change == "moved":
        path.rename(tmp_path / "old.bin")
    if change == "deleted":
        path.unlink()
    else:
        new.replace(path)
    settings = {"random_state": 0, "init_params": "random_from_data", "tol": 1e-2}
    found = GaussianMixture(2, **settings).fit(rows)
    assert_same(GaussianMixture(2, **settings).fit(X), found)


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_the_file_is_closed(tmp_path, read_in_blocks, monkeypatch):
    opened = []

    def kept(*given):
        opened.append(file_of(*given))
        return opened[-1]

    file_of = emlearn._blocks._file_of
    monkeypatch.setattr(emlearn._blocks, "_file_of", kept)
    GaussianMixture(2, random_state=0).fit(mapped(tmp_path, FAITHFUL))
    assert [file.closed for file in opened] == [True]
    bad = FAITHFUL.copy()
    bad[200, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        GaussianMixture(2).fit(mapped(tmp_path, bad))
    gc.collect()
    assert [file.closed for file in opened] == [True, True]


# ------------------------------------------ what fit in memory takes as well

WAYS = ["blocks", "mapped"]


def fit_way(way, model, X, tmp_path, cuts=CUTS, **metadata):
    if way == "mapped":
        with block_rows(50):
            return model.fit(mapped(tmp_path, X), **metadata)
    blocks = [
        (X[a:b], {k: v if np.ndim(v) == 0 else v[a:b] for k, v in metadata.items()})
        for a, b in pairwise(cuts)
    ]
    return model.fit_blocks(lambda: iter(blocks))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("algorithm", ["batch", "online", "incremental"])
def test_a_block_may_count_nothing(tmp_path, read_in_blocks, way, algorithm):
    weights = np.r_[np.zeros(131), np.ones(141)]
    settings = {"algorithm": algorithm, "batch_size": 40, "random_state": 0}
    found = fit_way(way, GaussianMixture(2, **settings), FAITHFUL, tmp_path, sample_weight=weights)
    whole = GaussianMixture(2, **settings).fit(FAITHFUL, sample_weight=weights)
    assert found.lower_bound_ == pytest.approx(whole.lower_bound_, rel=1e-2)
    if algorithm == "batch":
        assert_same(whole, found, rtol=1e-8)
    with pytest.raises(ValueError, match="all weights are zero"):
        fit_way(way, GaussianMixture(2), FAITHFUL, tmp_path, sample_weight=0 * weights)
    with pytest.raises(ValueError, match="sample_weight"):
        GaussianMixture(2).fit_blocks([FAITHFUL, (FAITHFUL, {"sample_weight": np.zeros(3)})])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", [GaussianMixture, GaussianHMM])
def test_one_weight_for_all_rows(tmp_path, read_in_blocks, way, model):
    cuts = [0, 272] if model is GaussianHMM else CUTS
    found = fit_way(way, model(2, random_state=0), FAITHFUL, tmp_path, cuts, sample_weight=2.0)
    assert_same(model(2, random_state=0).fit(FAITHFUL, sample_weight=2.0), found, rtol=1e-8)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", [GaussianMixture, MixedMixture])
def test_texts_that_are_sorted_by_row(tmp_path, read_in_blocks, way, model):
    X = FAITHFUL[np.argsort(FAITHFUL[:, 0])]
    labels = np.where(np.arange(272) < 136, "short", "long").astype(object)
    labels[::3] = None
    metadata = {"labels": labels}
    again = model(2, random_state=0).fit(X, labels=(X[:, 0] > 3).astype(int))
    for fitted in (model(2, random_state=0), again):  # what an earlier fit knew is forgotten
        found = fit_way(way, fitted, X, tmp_path, **metadata)
        whole = model(2, random_state=0).fit(X, **metadata)
        assert found.classes_.tolist() == whole.classes_.tolist() == ["long", "short"]
        assert_same(whole, found, rtol=1e-8)
    with pytest.raises(ValueError, match="more than n_components"):
        fit_way(way, model(1), X, tmp_path, **metadata)


@pytest.mark.parametrize("way", WAYS)
def test_a_start_of_all_rows_and_a_sample(tmp_path, read_in_blocks, monkeypatch, way):
    init = (FAITHFUL[:, 0] > 3).astype(int)
    found = fit_way(way, GaussianMixture(2, init_params=init), FAITHFUL, tmp_path)
    assert_same(GaussianMixture(2, init_params=init).fit(FAITHFUL), found, rtol=1e-8)
    monkeypatch.setattr(emlearn.em.sources, "_START_ROWS", 100)
    for given in (init, np.eye(2)[init]):
        with pytest.raises(ValueError, match=r"sample of \d+ of the 272 rows"):
            fit_way(way, GaussianMixture(2, init_params=given), FAITHFUL, tmp_path)
    known = fit_way(way, GaussianMixture(2, random_state=0), FAITHFUL, tmp_path, labels=init)
    assert known.lower_bound_ == pytest.approx(
        GaussianMixture(2).fit(FAITHFUL, labels=init).lower_bound_
    )
