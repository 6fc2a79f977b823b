"""The same numbers whatever the threads, the blocks, the memory order and the order of the rows."""

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from emlearn._kernels import COMPILED
from emlearn.em import block_rows, row_blocks
from emlearn.mixture import GaussianMixture

TYPES = ["full", "tied", "diag", "spherical"]
INITS = ["kmeans", "k-means++", "random", "random_from_data"]
FITTED = [
    "weights_",
    "means_",
    "covariances_",
    "precisions_",
    "precisions_cholesky_",
    "lower_bound_",
    "lower_bounds_",
    "restart_lower_bounds_",
    "n_best_restarts_",
    "n_iter_",
    "n_e_steps_",
    "converged_",
    "stop_reason_",
]
N, D, K = 40_000, 3, 4


@pytest.fixture(scope="module")
def X():
    rng = np.random.RandomState(0)
    X = rng.randn(N, D) + 3 * rng.randn(K, D)[rng.randint(K, size=N)]
    X.flags.writeable = False
    return X


@pytest.fixture(scope="module")
def sample_weight():
    return np.random.RandomState(1).gamma(1.0, size=N)


def mixture_of(**parameters):
    return GaussianMixture(
        **{"n_components": K, "max_iter": 4, "tol": 0, "random_state": 0, **parameters}
    )


def fit(X, sample_weight=None, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mixture_of(**parameters).fit(X, sample_weight=sample_weight)


def given(covariance_type, dtype=np.float64):
    """All parameters of a start."""
    rng = np.random.RandomState(2)
    precisions = {
        "full": np.broadcast_to(np.eye(D), (K, D, D)).copy(),
        "tied": np.eye(D),
        "diag": np.ones((K, D)),
        "spherical": np.ones(K),
    }[covariance_type]
    return {
        "weights_init": np.full(K, 1 / K, dtype=dtype),
        "means_init": (2 * rng.randn(K, D)).astype(dtype),
        "precisions_init": precisions.astype(dtype),
    }


def assert_same_bits(a, b, names=FITTED):
    for name in names:
        x, y = np.asarray(getattr(a, name)), np.asarray(getattr(b, name))
        assert x.dtype == y.dtype and x.shape == y.shape, name
        assert x.tobytes() == y.tobytes(), f"{name}: {x} is not {y}"


def assert_close(a, b, rtol, names=FITTED[:7]):
    for name in names:
        x, y = np.asarray(getattr(a, name)), np.asarray(getattr(b, name))
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * np.abs(y).max(), err_msg=name)


def answers(mixture, X, sample_weight=None):
    """What the methods say of X."""
    return [
        mixture.predict(X),
        mixture.predict_proba(X),
        mixture.score_samples(X),
        *(
            np.asarray(getattr(mixture, method)(X, sample_weight=sample_weight))
            for method in ("score", "bic", "aic", "icl")
        ),
    ]


# --------------------------------------------------------------------- threads

RUNS = [
    {"init_params": "kmeans"},
    {"init_params": "k-means++", "n_init": 3},
    {"init_params": "random"},
    {"init_params": "random_from_data", "n_init": 3, "accelerate": "squarem", "max_iter": 9},
]


def test_the_data_make_several_blocks(X):
    for covariance_type in TYPES:
        mixture = GaussianMixture(K, covariance_type=covariance_type)
        assert len(row_blocks(N, D, mixture.row_cost(D))) >= 3


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("run", RUNS, ids=lambda run: run["init_params"])
@pytest.mark.parametrize("dtype, weighted", [(np.float64, False), (np.float32, True)])
def test_n_jobs_changes_no_bit(dtype, weighted, run, covariance_type, X, sample_weight):
    X = X.astype(dtype)
    weights = sample_weight if weighted else None
    settings = {"covariance_type": covariance_type, **run}
    one = fit(X, weights, n_jobs=1, **settings)
    expected = answers(one, X, weights)
    for n_jobs in (2, 3, 5, None):
        other = fit(X, weights, n_jobs=n_jobs, **settings)
        assert_same_bits(other, one)
        for a, b in zip(answers(other, X, weights), expected, strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_what_blas_is_allowed_changes_no_bit(n_jobs, init, covariance_type, X):
    settings = {
        "covariance_type": covariance_type,
        "init_params": init,
        "n_init": 2,
        "max_iter": 2,
        "n_jobs": n_jobs,
    }
    results = []
    for limit in (1, 2):
        with threadpool_limits(limit):
            mixture = fit(X, **settings)
            results.append((mixture, answers(mixture, X)))
    mixture = fit(X, **settings)
    results.append((mixture, answers(mixture, X)))
    for mixture, said in results[1:]:
        assert_same_bits(mixture, results[0][0])
        for a, b in zip(said, results[0][1], strict=True):
            assert a.tobytes() == b.tobytes()


def test_threads_change_no_bit_where_blas_does_the_m_step():
    # beyond the kernel's own factorisation; several blocks
    rng = np.random.RandomState(0)
    X = rng.randn(9000, 40) + 2 * rng.randn(3, 40)[rng.randint(3, size=9000)]
    one = fit(X, n_components=3, n_jobs=1)
    for n_jobs, limit in ((1, 1), (2, 1), (2, 2), (5, 2), (None, 2)):
        with threadpool_limits(limit):
            assert_same_bits(fit(X, n_components=3, n_jobs=n_jobs), one)


@pytest.mark.filterwarnings("ignore")  # from all threads, which catch_warnings cannot
def test_fits_in_threads_of_the_user_do_not_disturb_each_other(X):
    runs = [
        {"covariance_type": covariance_type, "n_jobs": n_jobs, "init_params": init}
        for covariance_type, init in zip(TYPES, INITS, strict=True)
        for n_jobs in (1, 2)
    ]
    alone = [fit(X, **run) for run in runs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda run: mixture_of(**run).fit(X), runs))
    for a, b in zip(together, alone, strict=True):
        assert_same_bits(a, b)


def test_the_blas_limit_is_put_back(X):
    def limits():
        return [(library["filepath"], library["num_threads"]) for library in threadpool_info()]

    before = limits()
    mixture = fit(X)
    mixture.predict(X)
    with pytest.raises(ValueError):
        fit(X[:1])
    assert limits() == before


@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_same_call_gives_the_same_bits(covariance_type, X):
    settings = {"covariance_type": covariance_type, "n_init": 2, "init_params": "k-means++"}
    assert_same_bits(fit(X, **settings), fit(X, **settings))


# ---------------------------------------------------------------------- blocks


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", ["given", *INITS])
@pytest.mark.parametrize("weighted", [False, True])
def test_another_block_size_changes_rounding_only(
    weighted, init, covariance_type, X, sample_weight
):
    X, weights = X[:10_000], sample_weight[:10_000] if weighted else None
    settings = given(covariance_type) if init == "given" else {"init_params": init}
    settings |= {"covariance_type": covariance_type, "n_jobs": 2}
    usual = fit(X, weights, **settings)
    expected = answers(usual, X, weights)
    for rows in (100, 777, 4096, 10_000):
        with block_rows(rows):
            other = fit(X, weights, **settings)
            said = answers(usual, X, weights)
        assert_close(other, usual, rtol=1e-8)
        for a, b in zip(said[:3], expected[:3], strict=True):  # row by row: blocks have no say
            assert a.tobytes() == b.tobytes()
        np.testing.assert_allclose(said[3:], expected[3:], rtol=1e-12)


def test_blocks_cover_the_rows_once_whatever_their_number():
    for n in (1, 2, 1023, 1024, 1025, 16384, 16385, 100_000, 1_234_567):
        for cost in (1.0, 100.0, 1e4, 1e7, 1e12):
            blocks = row_blocks(n, 10, cost)
            edges = [0, *(block.stop for block in blocks)]
            assert [block.start for block in blocks] == edges[:-1]
            assert edges[-1] == n
            sizes = np.diff(edges)
            assert sizes.min() > 0 and sizes.max() - sizes.min() <= 1


# --------------------------------------------------------------- memory layouts


def layouts(X, tmp_path):
    """The same values in other memory, all read-only."""
    fortran = np.asfortranarray(X)
    every_other_row = np.repeat(X, 2, axis=0)[::2]
    every_other_column = np.repeat(X, 2, axis=1)[:, ::2]
    backwards = np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]
    np.save(tmp_path / "X.npy", X)
    arrays = {
        "C": np.ascontiguousarray(X),
        "Fortran": fortran,
        "every other row": every_other_row,
        "every other column": every_other_column,
        "backwards": backwards,
        "transposed": np.ascontiguousarray(X.T).T,
    }
    if X.dtype == np.float64:  # others become float64, as everywhere in scikit-learn
        arrays["swapped bytes"] = X.astype(X.dtype.newbyteorder())
    for array in arrays.values():
        array.flags.writeable = False
    arrays["memmap"] = np.load(tmp_path / "X.npy", mmap_mode="r")
    return arrays


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", ["given", *INITS])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_memory_layout_changes_nothing_and_nothing_is_written(
    dtype, init, covariance_type, X, tmp_path
):
    X = X[:6000].astype(dtype)
    settings = given(covariance_type) if init == "given" else {"init_params": init}
    settings["covariance_type"] = covariance_type
    reference = fit(X.copy(), **settings)
    expected = answers(reference, X)
    rtol = 1e-9 if dtype == np.float64 else 1e-5
    for name, other in layouts(X, tmp_path).items():
        before = np.array(other).tobytes()
        mixture = fit(other, **settings)
        said = answers(mixture, other)
        assert np.array(other).tobytes() == before, name
        assert mixture.means_.dtype == dtype, name
        if init == "given" and COMPILED["gaussian"]:
            # rounding is the kernel's alone, and the kernel loads rows one by one
            assert_same_bits(mixture, reference)
            for a, b in zip(said, expected, strict=True):
                assert a.tobytes() == b.tobytes(), name
        else:
            assert_close(mixture, reference, rtol=rtol)


def test_the_file_of_a_memmap_is_not_touched(X, tmp_path):
    path = tmp_path / "X.npy"
    np.save(path, X)
    before = path.read_bytes()
    mapped = np.load(path, mmap_mode="r+")
    mixture = fit(mapped)
    answers(mixture, mapped)
    mapped.flush()
    assert path.read_bytes() == before
    assert_same_bits(mixture, fit(X))


@pytest.mark.parametrize("covariance_type", TYPES)
def test_other_types_of_numbers_are_read_as_their_values(covariance_type, X):
    whole = np.round(4 * X[:3000])
    settings = {"covariance_type": covariance_type, "init_params": "random"}
    reference = fit(whole, **settings)
    for other in (
        whole.astype(np.int32),
        whole.astype(np.int64),
        whole.astype(np.float16),
        whole.tolist(),
    ):
        assert_same_bits(fit(other, **settings), reference)
    assert_close(fit(pd.DataFrame(whole), **settings), reference, rtol=1e-10)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", ["given", *INITS])
def test_float32_is_the_float64_fit_of_the_same_values(init, covariance_type, X):
    X = X[:6000].astype(np.float32)
    settings = given(covariance_type) if init == "given" else {"init_params": init}
    settings["covariance_type"] = covariance_type
    single, double = fit(X, **settings), fit(X.astype(np.float64), **settings)
    for name in FITTED[:5]:
        assert getattr(single, name).dtype == np.float32
    assert_close(single, double, rtol=1e-5)
    assert single.n_iter_ == double.n_iter_


# ------------------------------------------------------------------ row order


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_the_order_of_the_rows_changes_rounding_only(accelerate, covariance_type, X, sample_weight):
    order = np.random.RandomState(3).permutation(N)
    settings = {"covariance_type": covariance_type, "accelerate": accelerate, "max_iter": 6}
    settings |= given(covariance_type)
    for weights in (None, sample_weight):
        one = fit(X, weights, **settings)
        permuted = None if weights is None else weights[order]
        other = fit(X[order], permuted, **settings)
        assert_close(other, one, rtol=1e-9)
        for method in ("score", "bic", "aic", "icl"):
            a = getattr(one, method)(X[order], sample_weight=permuted)
            b = getattr(one, method)(X, sample_weight=weights)
            assert a == pytest.approx(b, rel=1e-10), method
        np.testing.assert_array_equal(one.predict(X)[order], one.predict(X[order]))
        assert one.score_samples(X)[order].tobytes() == one.score_samples(X[order]).tobytes()


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_row_has_the_same_density_in_any_company(covariance_type, X):
    mixture = fit(X, covariance_type=covariance_type)
    together = mixture.predict_proba(X[:300])
    density = mixture.score_samples(X[:300])
    for size in (1, 2, 7, 64):
        for start in (0, 129, 200):
            rows = slice(start, start + size)
            assert mixture.predict_proba(X[rows]).tobytes() == together[rows].tobytes()
            assert mixture.score_samples(X[rows]).tobytes() == density[rows].tobytes()


# ------------------------------------------------------------ nothing is mutated


def frozen(value):
    """A value that two deep copies of a parameter share."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, list):
        return [frozen(v) for v in value]
    return value


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("how", ["arrays", "float32 arrays", "lists", "labels", "responsibilities"])
@pytest.mark.parametrize("max_iter", [0, 3])
def test_fit_mutates_nothing(max_iter, how, covariance_type, X, sample_weight):
    X, weights = X[:2000].copy(), sample_weight[:2000].copy()
    parameters = {"covariance_type": covariance_type, "max_iter": max_iter, "n_components": K}
    match how:
        case "labels":
            parameters["init_params"] = np.arange(2000) % K
        case "responsibilities":
            parameters["init_params"] = np.random.RandomState(0).dirichlet(np.ones(K), size=2000)
        case "lists":
            parameters |= {name: a.tolist() for name, a in given(covariance_type).items()}
        case "arrays":
            parameters |= given(covariance_type)
        case "float32 arrays":
            parameters |= given(covariance_type, np.float32)
    mixture = GaussianMixture(**parameters)
    identities = {name: id(value) for name, value in mixture.get_params().items()}
    before = {name: frozen(copy.deepcopy(value)) for name, value in mixture.get_params().items()}
    data = X.tobytes(), weights.tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixture.fit(X, sample_weight=weights)
        mixture.fit_predict(X, sample_weight=weights)
    answers(mixture, X, weights)
    mixture.sample(10)
    assert (X.tobytes(), weights.tobytes()) == data
    after = mixture.get_params()
    assert {name: frozen(value) for name, value in after.items()} == before
    assert {name: id(value) for name, value in after.items()} == identities
    for name in FITTED[:5]:  # what is fitted is nobody else's memory
        array = getattr(mixture, name)
        for value in (*after.values(), X, weights):
            if isinstance(value, np.ndarray):
                assert not np.shares_memory(array, value), name


@pytest.mark.parametrize("covariance_type", TYPES)
def test_methods_mutate_no_fitted_attribute(covariance_type, X, sample_weight):
    mixture = fit(X, covariance_type=covariance_type, warm_start=True)
    state = {
        name: frozen(copy.deepcopy(value))
        for name, value in vars(mixture).items()
        if name.endswith("_")
    }
    answers(mixture, X, sample_weight)
    mixture.sample(5)
    assert {n: frozen(v) for n, v in vars(mixture).items() if n.endswith("_")} == state
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held = {name: getattr(mixture, name) for name in FITTED[:5]}
        values = {name: frozen(value.copy()) for name, value in held.items()}
        mixture.fit(X)  # a warm fit makes new arrays
    assert {name: frozen(value) for name, value in held.items()} == values


def test_frames_are_not_mutated(X):
    frame = pd.DataFrame(X[:500], columns=["a", "b", "c"])
    before = frame.copy(deep=True)
    mixture = fit(frame)
    answers(mixture, frame)
    pd.testing.assert_frame_equal(frame, before)
