"""Sparse rows: the fit of the dense ones, in any format and type, and never made dense."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from emlearn.distributions import ConjugatePrior
from emlearn.mixture import (
    BernoulliMixture,
    Mixture,
    MultinomialMixture,
    PoissonMixture,
    VonMisesFisherMixture,
)

N, D, K = 120, 30, 3
rng = np.random.RandomState(0)
LABELS = np.arange(N) % K
RATES = rng.gamma(0.3, 2.0, size=(K, D))
COUNTS = rng.poisson(RATES[LABELS]).astype(float)
COUNTS[COUNTS.sum(axis=1) == 0, 0] = 1
BINARY = (COUNTS > 0).astype(float)
ESTIMATORS = {
    "poisson": (PoissonMixture, {}, COUNTS),
    "multinomial": (MultinomialMixture, {}, COUNTS),
    "bernoulli": (BernoulliMixture, {}, COUNTS),
    "binary": (BernoulliMixture, {"binarize": None}, BINARY),
    "directions": (VonMisesFisherMixture, {"normalize": True}, COUNTS),
}
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def unsorted(X):
    out = sparse.csr_array(X)
    for row in range(out.shape[0]):
        part = slice(out.indptr[row], out.indptr[row + 1])
        out.indices[part] = out.indices[part][::-1].copy()
        out.data[part] = out.data[part][::-1].copy()
    out.has_sorted_indices = False
    assert not np.all(np.diff(out.indices[: out.indptr[1]]) > 0)
    return out


def with_explicit_zeros(X):
    dense = np.asarray(X)
    stored = (dense != 0) | (np.arange(dense.size).reshape(dense.shape) % 7 == 0)
    rows, columns = np.nonzero(stored)
    out = sparse.coo_array((dense[stored], (rows, columns)), shape=dense.shape).tocsr()
    assert (out.data == 0).any()
    return out


def with_duplicates(X):
    """Each value in two halves: the cell is their sum."""
    coo = sparse.coo_array(X)
    where = np.tile(coo.coords[0], 2), np.tile(coo.coords[1], 2)
    out = sparse.coo_array((np.tile(coo.data / 2, 2), where), shape=coo.shape)
    assert out.nnz == 2 * coo.nnz
    return out


def as_csr_with_duplicates(X):
    half = sparse.csr_array(X)
    indices = np.concatenate([np.tile(half.indices[a:b], 2) for a, b in _rows(half)])
    data = np.concatenate([np.tile(half.data[a:b] / 2, 2) for a, b in _rows(half)])
    return sparse.csr_array((data, indices, 2 * half.indptr), shape=half.shape)


def _rows(X):
    return list(zip(X.indptr[:-1], X.indptr[1:], strict=True))


def long_indices(X):
    out = sparse.csr_array(X)
    out.indices, out.indptr = out.indices.astype(np.int64), out.indptr.astype(np.int64)
    return out


FORMS = {
    "csr_array": sparse.csr_array,
    "csr_matrix": sparse.csr_matrix,
    "csc_array": sparse.csc_array,
    "csc_matrix": sparse.csc_matrix,
    "coo_array": sparse.coo_array,
    "coo_matrix": sparse.coo_matrix,
    "lil_array": sparse.lil_array,
    "int64": lambda X: sparse.csr_array(X).astype(np.int64),
    "int32": lambda X: sparse.csr_array(X).astype(np.int32),
    "uint8": lambda X: sparse.csr_array(X).astype(np.uint8),
    "unsorted": unsorted,
    "explicit zeros": with_explicit_zeros,
    "duplicates": with_duplicates,
    "duplicates in rows": as_csr_with_duplicates,
    "long indices": long_indices,
}
METHODS = ["predict", "predict_proba", "score_samples", "score", "bic", "aic", "icl"]


def fit(name, X, sample_weight=None, **settings):
    estimator, own, _ = ESTIMATORS[name]
    settings = {"random_state": 0, "tol": 1e-7, "max_iter": 200, "init_params": LABELS, **settings}
    return estimator(K, **own, **settings).fit(X, sample_weight=sample_weight)


def published(mixture):
    return {name: getattr(mixture, name) for name in mixture._published_names}


def assert_same(a, b, X=None, Y=None):
    for name, value in published(a).items():
        np.testing.assert_allclose(value, getattr(b, name), rtol=1e-10, atol=1e-10, err_msg=name)
    np.testing.assert_allclose(a.lower_bounds_, b.lower_bounds_, rtol=1e-10)
    if X is not None:
        for method in METHODS:
            found, expected = getattr(a, method)(X), getattr(b, method)(Y)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=method)


# -------------------------------------------------------------- the dense fit


@every_estimator
@pytest.mark.parametrize("form", FORMS)
def test_every_format_is_the_dense_fit(name, form):
    X = ESTIMATORS[name][2]
    rows = FORMS[form](X)
    assert_same(fit(name, rows), fit(name, X), rows, X)


@every_estimator
@pytest.mark.parametrize("form", ["csr_array", "unsorted", "duplicates in rows", "explicit zeros"])
def test_nothing_is_written(name, form):
    X = FORMS[form](ESTIMATORS[name][2])
    before = X.data.copy(), X.indices.copy(), X.indptr.copy()
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    mixture = fit(name, X)
    for method in METHODS:
        getattr(mixture, method)(X)
    for array, copy in zip((X.data, X.indices, X.indptr), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@every_estimator
def test_weights_and_repeated_rows(name):
    X = sparse.csr_array(ESTIMATORS[name][2])
    counts = np.random.RandomState(1).randint(0, 3, size=N)
    rows = np.repeat(np.arange(N), counts)
    few = {"max_iter": 10, "tol": 1e-3}
    weighted = fit(name, X, counts, **few)
    repeated = fit(name, X[rows], init_params=LABELS[rows], **few)
    dense = fit(name, X.toarray(), counts, **few)
    assert_same(weighted, repeated)
    assert_same(weighted, dense)


@every_estimator
def test_priors(name):
    X = ESTIMATORS[name][2]
    for prior in ("default", ConjugatePrior(2.0)):
        settings = {"prior": prior, "weight_concentration_prior": 2.0}
        assert_same(fit(name, sparse.csr_array(X), **settings), fit(name, X, **settings))


@every_estimator
@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data"])
def test_drawn_starts(name, init):
    """Distances of k-means round otherwise in sparse rows: the fit, not each step, is the dense one's."""
    X = ESTIMATORS[name][2]
    settings = {"init_params": init, "tol": 1e-9, "max_iter": 500}
    a = fit(name, sparse.csr_array(X), **settings)
    b = fit(name, X, **settings)
    assert a.lower_bound_ == pytest.approx(b.lower_bound_, rel=1e-6)


def test_single_precision():
    for name in ESTIMATORS:
        X = sparse.csr_array(ESTIMATORS[name][2].astype(np.float32))
        mixture = fit(name, X, tol=1e-4)
        double = fit(name, X.astype(np.float64), tol=1e-4)
        for key, value in published(mixture).items():
            np.testing.assert_allclose(value, getattr(double, key), rtol=1e-4, atol=1e-5)
        assert mixture.weights_.dtype == np.float32
        assert mixture.predict_proba(X).dtype == np.float32


@every_estimator
def test_any_mixture_takes_them(name):
    named = ESTIMATORS[name][0]
    X = sparse.csr_array(BINARY)
    own = {"normalize": True} if name == "directions" else {}
    if name in ("bernoulli", "binary"):
        own = {"binarize": None}
    general = Mixture(K, distribution=named._family(**own), init_params=LABELS).fit(X)
    assert_same(general, named(K, init_params=LABELS, **own).fit(X))


# -------------------------------------------------------------- never dense


def texts(n, d, nnz, topics, seed=0):
    """Counts of words, about nnz of them, with a topic each row."""
    rng = np.random.RandomState(seed)
    words = rng.randint(0, d, size=nnz)
    rows = rng.randint(0, n, size=nnz)
    near = rng.rand(nnz) < 0.5
    words[near] = (words[near] % (d // topics)) + (rows[near] % topics) * (d // topics)
    counts = rng.randint(1, 4, size=nnz).astype(float)
    return sparse.coo_array((counts, (rows, words)), shape=(n, d)).tocsr()


@pytest.mark.parametrize("name", ["poisson", "multinomial", "bernoulli", "directions"])
def test_memory_is_that_of_the_counts(name):
    """20 000 rows of 10 000 words would be 1.6 GB dense, and 200 MB in single bytes.

    What a fit may hold: a few copies of the stored values (12 bytes each: features, what their
    factorials are, their transpose, embedded rows for the start), statistics and parameters of
    K d numbers for each block that is under way, and n K posteriors.
    """
    n, d, topics = 20_000, 10_000, 20
    X = texts(n, d, 1_000_000, topics)
    stored, parameters, posterior = 12 * X.nnz, 8 * topics * d, 8 * n * topics
    allowed = 6 * stored + 16 * parameters + 4 * posterior
    assert allowed < 0.08 * 8 * n * d
    estimator, own, _ = ESTIMATORS[name]
    mixture = estimator(
        topics, init_params="random_from_data", max_iter=2, tol=0, random_state=0, n_jobs=1, **own
    )
    tracemalloc.start()
    try:
        with pytest.warns(match="did not converge"):
            mixture.fit(X)
        mixture.predict(X)
        mixture.score(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < allowed, f"{peak / 1e6:.0f} MB, allowed {allowed / 1e6:.0f} MB"


@pytest.mark.parametrize("name", ["poisson", "multinomial", "bernoulli", "directions"])
def test_threads_change_no_bit(name):
    X = texts(40_000, 500, 400_000, K)
    X = X[X.sum(axis=1) > 0]
    settings = {"max_iter": 3, "tol": 0, "init_params": np.arange(X.shape[0]) % K}
    fits = []
    for n_jobs in (1, 2):
        with pytest.warns(match="did not converge"):
            fits.append(fit(name, X, n_jobs=n_jobs, **settings))
    one, two = fits
    assert len(one._blocks(X)) > 1
    for key, value in published(one).items():
        np.testing.assert_array_equal(value, getattr(two, key), err_msg=key)
    np.testing.assert_array_equal(one.lower_bounds_, two.lower_bounds_)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
