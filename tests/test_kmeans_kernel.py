"""The compiled E-step of k-means does what its NumPy twin does, and the twin what the definition says."""

import numpy as np
import pytest
from scipy import sparse

from emlearn._kernels import kmeans as kernel
from emlearn._kernels import kmeans_twin as twin

SHAPES = [
    (1, 1, 1), (95, 2, 3), (96, 6, 4), (97, 7, 5), (300, 3, 9), (50, 33, 13), (30, 70, 2), (200, 4, 1),
]  # fmt: skip
INSTRUCTION_SETS = kernel.instruction_sets() if kernel is not twin else ["NumPy"]


@pytest.fixture(scope="module", autouse=True, params=INSTRUCTION_SETS)
def instruction_set(request):
    if kernel is not twin:
        kernel.use_instruction_set(request.param)
    yield
    if kernel is not twin:
        kernel.use_instruction_set(INSTRUCTION_SETS[0])


def close(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def layouts(X):
    """The same rows in several types and orders."""
    yield X
    yield np.asfortranarray(X)
    yield X.astype(np.float32)
    yield np.asfortranarray(X.astype(np.float32))
    yield np.repeat(X, 2, axis=1)[:, ::2]
    yield np.repeat(X, 3, axis=0)[::3]


def example(n, d, K, seed=0):
    rng = np.random.RandomState(seed)
    X = 3 + rng.standard_normal((n, d))
    return X, X.mean(axis=0), 0.5 * rng.standard_normal((K, d)), rng.uniform(size=n).round(1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "d", "K"), SHAPES)
def test_dense(n, d, K, weighted):
    X, origin, centres, weights = example(n, d, K)
    weights = weights if weighted else None
    for Y in layouts(X):
        before = Y.copy()
        ours, theirs = (k.assign(Y, centres, origin, weights) for k in (kernel, twin))
        np.testing.assert_array_equal(ours[0], theirs[0])
        close(ours, theirs)
        labels, squares, counts, sums, _ = kernel.assign(Y, centres, origin, weights, False)
        np.testing.assert_array_equal(labels, theirs[0])
        close([squares], [theirs[1]])
        assert counts is None and sums is None
        close(kernel.spread(Y, weights), twin.spread(Y, weights))
        np.testing.assert_array_equal(Y, before)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "d", "K"), SHAPES)
def test_sparse(n, d, K, weighted):
    X, _, centres, weights = example(n, d, K, seed=1)
    weights = weights if weighted else None
    X = X * (np.random.RandomState(2).uniform(size=X.shape) < 0.3)
    nothing = np.zeros(d)
    for dtype in (np.float64, np.float32):
        rows = sparse.csr_array(X.astype(dtype))
        ours, theirs = (k.assign(rows, centres, nothing, weights) for k in (kernel, twin))
        np.testing.assert_array_equal(ours[0], theirs[0])
        close(ours, theirs)
        close(ours, twin.assign(rows.toarray(), centres, nothing, weights))
        close(kernel.spread(rows, weights), twin.spread(rows.toarray(), weights))
        ours = kernel.measured(rows, nothing, weights).closer(centres)
        close(ours, twin.measured(rows.toarray(), nothing, weights).closer(centres))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "d", "K"), SHAPES)
def test_candidates(n, d, K, weighted):
    X, origin, centres, weights = example(n, d, K, seed=3)
    weights = weights if weighted else None
    least = np.random.RandomState(4).gamma(d, size=n)
    for Y in layouts(X):
        for before in (None, least):
            ours, theirs = (
                k.measured(Y, origin, weights).closer(centres, before) for k in (kernel, twin)
            )
            close(ours, theirs)


def test_the_twin_is_the_definition():
    X, origin, centres, weights = example(60, 3, 5)
    table = ((X[:, None] - origin - centres) ** 2).sum(axis=2)
    labels, squares, counts, sums, inertia = twin.assign(X, centres, origin, weights)
    np.testing.assert_array_equal(labels, table.argmin(axis=1))
    np.testing.assert_allclose(squares, table.min(axis=1))
    assert inertia == pytest.approx(weights @ table.min(axis=1))
    for k in range(5):
        own = labels == k
        assert counts[k] == pytest.approx(weights[own].sum())
        np.testing.assert_allclose(sums[k], weights[own] @ (X[own] - origin), atol=1e-12)
    least, totals = twin.measured(X, origin, weights).closer(centres)
    np.testing.assert_allclose(least, table.T, atol=1e-12)
    np.testing.assert_allclose(totals, weights @ table)
    weight, mean, scatter = twin.spread(X, weights)
    assert weight == pytest.approx(weights.sum())
    np.testing.assert_allclose(mean, np.average(X, axis=0, weights=weights))
    assert scatter == pytest.approx(weights @ ((X - mean) ** 2).sum(axis=1))


@pytest.mark.parametrize("which", [kernel, twin])
def test_of_equals_the_first(which):
    X = np.array([[0.0], [1.0], [2.0], [3.0]])
    centres = np.array([[3.0], [1.0], [1.0], [3.0], [3.0], [1.0]])
    assert which.assign(X, centres, np.zeros(1))[0].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("which", [kernel, twin])
def test_far_from_the_origin(which):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((500, 2)).round(3)
    far = X + 2.0**30
    weight, mean, scatter = which.spread(far)
    assert scatter == pytest.approx(((X - X.mean(axis=0)) ** 2).sum(), rel=1e-7)
    centres = rng.standard_normal((4, 2))
    ours, near = (
        which.assign(Y, centres, o) for Y, o in ((far, np.full(2, 2.0**30)), (X, np.zeros(2)))
    )
    assert np.mean(ours[0] == near[0]) > 0.99
    assert ours[4] == pytest.approx(near[4], rel=1e-6)


@pytest.mark.skipif(kernel is twin, reason="nothing was compiled")
def test_wrong_shapes_are_refused():
    X, origin, centres, weights = example(10, 3, 2)
    for arguments in (
        (X[:, :2], centres, origin),
        (X, centres, origin[:2]),
        (X, centres, origin, weights[:5]),
        (X[:0], centres, origin),
        (sparse.csr_array(X), centres, origin, weights[:5]),
    ):
        with pytest.raises(ValueError, match="are needed"):
            kernel.assign(*arguments)
    with pytest.raises(ValueError, match="are needed"):
        kernel.measured(X, origin).closer(centres, weights[:5])
    with pytest.raises(ValueError, match="is not one of"):
        kernel.use_instruction_set("abacus")
