"""The compiled Markov chain does what its NumPy twin does, and the twin what all paths say."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emlearn._kernels import chain as kernel
from emlearn._kernels import chain_twin as twin

INSTRUCTION_SETS = kernel.instruction_sets() if kernel is not twin else ["NumPy"]
LAWS = settings(max_examples=60, deadline=None, derandomize=True)
STATES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 20, 50, 70]  # about the vectors of the kernel
LENGTHS = [1, 2, 3, 8, 127, 128, 129, 257]  # about the tiles of the kernel
MATRICES = ["any", "sparse", "identity", "nearly the identity", "left to right", "tiny entries"]


@pytest.fixture(scope="module", autouse=True, params=INSTRUCTION_SETS)
def instruction_set(request):
    if kernel is not twin:
        kernel.use_instruction_set(request.param)
    yield
    if kernel is not twin:
        kernel.use_instruction_set(INSTRUCTION_SETS[0])


def matrix(K, kind, rng):
    A = rng.dirichlet(np.ones(K), size=K)
    match kind:
        case "sparse":
            A = np.where(rng.rand(K, K) < 0.4, 0.0, A) + 1e-3 * np.eye(K)
        case "identity":
            A = np.eye(K)
        case "nearly the identity":
            A = np.eye(K) + 10.0 ** -rng.randint(1, 320) * A
        case "left to right":
            A = np.triu(A)
        case "tiny entries":
            A = A ** rng.randint(2, 200)
    return A / A.sum(axis=1, keepdims=True)


def problem(seed, lengths, K, kind, spread, offset=0.0, holes="none"):
    """A table, the ends of its units, and a chain."""
    rng = np.random.RandomState(seed)
    ends = np.cumsum(lengths).astype(np.intp)
    n = int(ends[-1])
    table = spread * rng.randn(n, K) + offset * rng.rand(n, 1)
    if holes in ("entries", "both"):
        table[rng.rand(n, K) < 0.1] = -np.inf
        table[rng.rand(n, K) < 0.02] = np.nan
    if holes in ("rows", "both"):
        table[rng.rand(n) < 0.05] = -np.inf
    start = rng.dirichlet(np.ones(K))
    if seed % 3 == 0:
        start = np.eye(K)[rng.randint(K)]
    return table, ends, start, matrix(K, kind, rng)


problems = st.builds(
    problem,
    seed=st.integers(0, 10**6),
    lengths=st.lists(st.sampled_from(LENGTHS), min_size=1, max_size=4),
    K=st.sampled_from(STATES),
    kind=st.sampled_from(MATRICES),
    spread=st.sampled_from([0.0, 1.0, 10.0, 300.0, 1e4]),
    offset=st.sampled_from([0.0, 1e5, -1e5]),
    holes=st.sampled_from(["none", "entries", "rows", "both"]),
)


def logarithms(*probabilities):
    with np.errstate(divide="ignore"):
        return [np.log(p) for p in probabilities]


def in_place(function, table, *arguments):
    """What the table has become, and what was returned."""
    table = table.copy()
    out = function(table, *arguments)
    return (table, *(out if isinstance(out, tuple) else (out,)))


def serially(functions):
    return [function() for function in functions]


def in_threads(functions):
    with ThreadPoolExecutor(4) as pool:
        return [future.result() for future in [pool.submit(f) for f in reversed(functions)][::-1]]


def close(ours, theirs, rtol=1e-11, atol=1e-12):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(
            a, b, rtol=rtol, atol=atol * max(1, np.abs(b[np.isfinite(b)]).max(initial=0))
        )


# ------------------------------------------------------------ kernel and twin


@LAWS
@given(problems, st.booleans())
def test_posterior(case, weighted):
    table, ends, start, A = case
    weights = np.linspace(0, 2, len(ends)) if weighted else None
    ours = in_place(kernel.posterior, table, ends, start, A, weights)
    close(ours, in_place(twin.posterior, table, ends, start, A, weights))
    expected = 1.0 if weights is None else np.repeat(weights, np.diff(ends, prepend=0))
    np.testing.assert_allclose(ours[0].sum(axis=1), expected, rtol=1e-12)


@LAWS
@given(problems)
def test_filter(case):
    close(in_place(kernel.filter, *case), in_place(twin.filter, *case))


@LAWS
@given(problems)
def test_viterbi(case):
    table, ends, start, A = case
    before = table.copy()
    for ours, theirs in zip(
        kernel.viterbi(table, ends, *logarithms(start, A)),
        twin.viterbi(table, ends, *logarithms(start, A)),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(table, before)


@LAWS
@given(problems)
def test_one_unit_in_two_threads(case):
    table, _, start, A = case
    whole = np.array([len(table)], dtype=np.intp)
    serial = in_place(kernel.posterior_parallel, table, start, A, 0.3, serially)
    close(serial, in_place(kernel.posterior, table, whole, start, A, np.array([0.3])))
    threads = in_place(kernel.posterior_parallel, table, start, A, 0.3, in_threads)
    for a, b in zip(serial, threads, strict=True):
        assert a.tobytes() == b.tobytes()


@LAWS
@given(problems, st.floats(0, 1))
def test_the_filter_never_looks_ahead(case, where):
    table, _, start, A = case
    n = len(table)
    m = 1 + int(where * (n - 1))
    whole = in_place(kernel.filter, table, np.array([n], dtype=np.intp), start, A)
    part = in_place(kernel.filter, table[:m], np.array([m], dtype=np.intp), start, A)
    for a, b in zip(part, whole, strict=True):
        assert a.tobytes() == b[:m].tobytes()


def test_wrong_shapes_are_refused():
    if kernel is twin:
        pytest.skip("nothing is compiled")
    table, ends, start, A = problem(0, [5, 5], 3, "any", 1.0)
    for wrong in (
        (table[:, :2].copy(), ends, start, A),
        (table, ends[:1], start, A),
        (table, np.array([5, 5, 10], dtype=np.intp), start, A),
        (table, ends[:0], start, A),
        (table, ends, start[:2], A),
        (table, ends, start, A[:2]),
    ):
        for function in (kernel.posterior, kernel.filter, kernel.viterbi):
            with pytest.raises(ValueError, match="needed"):
                function(*wrong)
    with pytest.raises(ValueError, match="needed"):
        kernel.posterior(table, ends, start, A, np.ones(3))


# ------------------------------------------------------------------ all paths


@pytest.mark.parametrize("which", [twin, kernel], ids=["twin", "kernel"])
@pytest.mark.parametrize("kind", ["any", "sparse", "left to right"])
@pytest.mark.parametrize("n, K", [(1, 1), (1, 3), (4, 2), (6, 3)])
def test_all_paths(n, K, kind, which):
    table, ends, start, A = problem(n + K, [n], K, kind, 3.0, holes="entries")
    table = np.where(np.isnan(table), -np.inf, table)
    log_start, log_A = logarithms(start, A)
    paths = np.array(list(itertools.product(range(K), repeat=n)))
    joint = log_start[paths[:, 0]] + table[np.arange(n), paths].sum(axis=1)
    joint += log_A[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    total = np.logaddexp.reduce(joint)
    if total == -np.inf:
        pytest.skip("an impossible unit")
    p = np.exp(joint - total)
    gamma = np.array([[p[paths[:, t] == k].sum() for k in range(K)] for t in range(n)])
    xi = np.zeros((K, K))
    for t in range(n - 1):
        np.add.at(xi, (paths[:, t], paths[:, t + 1]), p)
    ours = in_place(which.posterior, table, ends, start, A)
    close(ours[:3], (gamma, xi, gamma[0]))
    assert ours[3].sum() == pytest.approx(total, rel=1e-12)
    path, values = which.viterbi(table, ends, log_start, log_A)
    assert values[0] == pytest.approx(joint.max(), rel=1e-12)
    np.testing.assert_array_equal(path, paths[joint.argmax()])


# ----------------------------------------------------------------------- laws


@LAWS
@given(problems)
def test_the_margins_agree(case):
    table, ends, start, A = case
    gamma, xi, first, rows = in_place(kernel.posterior, table, ends, start, A)
    begins = np.r_[0, ends[:-1]]
    np.testing.assert_allclose(first, gamma[begins].sum(axis=0), rtol=1e-12, atol=1e-15)
    if np.isfinite(rows).all():  # every pair counts
        atol = 1e-12 * len(table)
        np.testing.assert_allclose(xi.sum(axis=0) + first, gamma.sum(axis=0), atol=atol)
        others = np.delete(gamma, ends - 1, axis=0).sum(axis=0)
        np.testing.assert_allclose(xi.sum(axis=1), others, atol=atol)
        assert not gamma[begins][:, start == 0].any()
    assert not xi[A == 0].any()


@LAWS
@given(problems)
def test_a_number_added_to_a_row_is_added_to_its_value(case):
    table, ends, start, A = case
    table = np.round(table * 8) / 8  # so that nothing is rounded on the way
    added = np.random.RandomState(0).randint(-(10**5), 10**5, size=len(table)).astype(float)
    for function in (kernel.posterior, kernel.filter):
        *ours, rows = in_place(function, table, ends, start, A)
        *moved, moved_rows = in_place(function, table + added[:, None], ends, start, A)
        for a, b in zip(ours, moved, strict=True):
            assert a.tobytes() == b.tobytes()
        np.testing.assert_allclose(moved_rows, rows + added, rtol=1e-12, atol=1e-10)


@LAWS
@given(problems)
def test_a_weight_of_two_is_twice_the_unit(case):
    table, ends, start, A = case
    weights = np.ones(len(ends))
    weights[0] = 2.0
    _, xi, first, rows = in_place(kernel.posterior, table, ends, start, A, weights)
    twice = np.concatenate([table[: ends[0]], table])
    _, xi2, first2, rows2 = in_place(
        kernel.posterior, twice, np.r_[ends[0], ends[0] + ends].astype(np.intp), start, A
    )
    close((xi, first), (xi2, first2))
    np.testing.assert_array_equal(rows, rows2[ends[0] :])


@pytest.mark.parametrize("K", [2, 3, 5, 20])
def test_many_short_units_are_as_each_alone(K):
    table, ends, start, A = problem(1, np.tile([1, 2, 5, 9], 100), K, "any", 3.0)
    gamma, xi, first, rows = in_place(kernel.posterior, table, ends, start, A)
    xi_alone, first_alone = np.zeros((K, K)), np.zeros(K)
    for begin, end in itertools.pairwise([0, *ends]):
        one = np.array([end - begin], dtype=np.intp)
        alone = in_place(kernel.posterior, table[begin:end], one, start, A)
        close((gamma[begin:end], rows[begin:end]), (alone[0], alone[3]))
        xi_alone += alone[1]
        first_alone += alone[2]
    close((xi, first), (xi_alone, first_alone))


# ------------------------------------------------------------ beyond the range


@pytest.mark.parametrize("size", [1.0, 20.0, 200.0, 2.0**14])
@pytest.mark.parametrize("A", [np.eye(2), np.full((2, 2), 0.5), np.array([[1, 1e-300], [0, 1]])])
def test_what_ten_rows_say_twenty_outweigh(A, size):
    """The first rows make state 1 all but impossible, and the truth is state 1 throughout."""
    table = np.repeat([[0.0, -size], [-size, 0.0]], [10, 20], axis=0)
    ends, start = np.array([30], dtype=np.intp), np.array([0.5, 0.5])
    ours = in_place(kernel.posterior, table, ends, start, A)
    close(ours, in_place(twin.posterior, table, ends, start, A))
    if A[1, 0] == 0 and A[0, 1] == 0 and size >= 20:
        np.testing.assert_allclose(ours[0][:, 1], 1.0, rtol=1e-12)
    close(
        in_place(kernel.filter, table, ends, start, A), in_place(twin.filter, table, ends, start, A)
    )


def test_what_is_lost_on_both_sides():
    """State 1 is all but impossible at both ends, and the rows between make it certain."""
    table = np.zeros((300, 2))
    table[5, 1] = table[-5, 1] = -800.0
    table[100:200, 0] = -30.0
    ends, start = np.array([300], dtype=np.intp), np.array([0.5, 0.5])
    gamma, *_ = in_place(kernel.posterior, table, ends, start, np.eye(2))
    np.testing.assert_allclose(gamma[:, 1], 1.0, rtol=1e-12)
    gamma, *_ = in_place(kernel.posterior_parallel, table, start, np.eye(2), 1.0, in_threads)
    np.testing.assert_allclose(gamma[:, 1], 1.0, rtol=1e-12)


def test_impossible_rows():
    table = np.zeros((6, 2))
    table[2] = -np.inf  # tells nothing
    table[4, 0] = -np.inf  # cannot follow state 0
    ends, start = np.array([6], dtype=np.intp), np.array([1.0, 0.0])
    for which in (kernel, twin):
        filtered, rows = in_place(which.filter, table, ends, start, np.eye(2))
        np.testing.assert_array_equal(np.isinf(rows), [0, 0, 1, 0, 1, 0])
        np.testing.assert_array_equal(filtered, np.eye(2)[[0, 0, 0, 0, 1, 1]])
        gamma, xi, _, rows = in_place(which.posterior, table, ends, start, np.eye(2))
        np.testing.assert_array_equal(np.isinf(rows), [0, 0, 1, 0, 1, 0])
        np.testing.assert_array_equal(gamma, np.eye(2)[[0, 0, 0, 0, 1, 1]])
        np.testing.assert_array_equal(xi, [[0, 0], [0, 1]])
        path, values = which.viterbi(table, ends, *logarithms(start, np.eye(2)))
        assert values[0] == -np.inf
        np.testing.assert_array_equal(path, [0, 0, 0, 0, 1, 1])


@pytest.mark.parametrize("K", [1, 3, 5])
def test_a_million_rows(K):
    """States that move evenly are independent: each row is a mixture, and known in closed form."""
    n = 10**6 if kernel is not twin else 1000
    rng = np.random.RandomState(0)
    table = 3 * rng.randn(n, K) + 1e5 * (rng.rand(n, 1) < 0.5)
    start, A = np.full(K, 1 / K), np.full((K, K), 1 / K)
    top = table.max(axis=1, keepdims=True)
    expected = np.exp(table - top)
    total = expected.sum(axis=1, keepdims=True)
    ends = np.array([n], dtype=np.intp)
    gamma, xi, _, rows = in_place(kernel.posterior, table, ends, start, A)
    np.testing.assert_allclose(gamma, expected / total, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(rows, (np.log(total / K) + top)[:, 0], rtol=1e-13, atol=1e-13)
    assert xi.sum() == pytest.approx(n - 1, rel=1e-12)


def test_a_million_steps_of_a_symmetric_chain():
    """Rows that tell nothing, and a last that tells the state: the posterior decays as 0.9**t."""
    n = 10**6 if kernel is not twin else 1000
    table = np.zeros((n, 2))
    table[-1, 0] = -np.inf
    start, A = np.array([0.5, 0.5]), np.array([[0.95, 0.05], [0.05, 0.95]])
    gamma, _, _, rows = in_place(kernel.posterior, table, np.array([n], dtype=np.intp), start, A)
    expected = 0.5 + 0.5 * 0.9 ** np.arange(n - 1, -1, -1.0)
    np.testing.assert_allclose(gamma[:, 1], expected, rtol=1e-12)
    np.testing.assert_allclose(rows[:-1], 0.0, atol=1e-15)
    assert rows[-1] == pytest.approx(np.log(0.5), rel=1e-12)
