"""The compiled posterior and categorical E-step do what their NumPy twins do."""

import numpy as np
import pytest

from emlearn._kernels import gaussian, gaussian_twin
from emlearn._kernels import labels as kernel
from emlearn._kernels import labels_twin as twin

SIZES = [1, 7, 8, 127, 128, 129, 300]  # about the vectors and tiles of the kernel
COMPONENTS = [1, 3, 8, 11]
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
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def categories(n, K, seed=0):
    """Codes with missing cells, log-probabilities with impossible ones, and weights."""
    rng = np.random.RandomState(seed)
    sizes = np.array([2, 5, 1, 3], dtype=np.int32)
    codes = np.stack([rng.randint(-1, size, size=n) for size in sizes], axis=1).astype(np.int32)
    with np.errstate(divide="ignore"):
        table = np.log(np.where(rng.rand(K, 11) < 0.1, 0.0, rng.rand(K, 11)))
    return codes, sizes, table, np.log(rng.dirichlet(np.ones(K))), rng.rand(n).round(1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("K", COMPONENTS)
@pytest.mark.parametrize("n", SIZES)
def test_posterior(n, K, weighted):
    rng = np.random.RandomState(n)
    density = 30 * rng.randn(n, K)
    density[rng.rand(n, K) < 0.1] = -np.inf
    density[n // 2] = -np.inf
    density[n // 3, 0] = np.nan
    log_weights = np.log(rng.dirichlet(np.ones(K)))
    weights = rng.rand(n).round(1) if weighted else None
    before = density.copy()
    close(
        kernel.posterior(density, log_weights, weights),
        twin.posterior(density, log_weights, weights),
    )
    np.testing.assert_array_equal(density, before)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("K", COMPONENTS)
@pytest.mark.parametrize("n", SIZES)
def test_categorical(n, K, weighted):
    codes, sizes, table, log_weights, weights = categories(n, K)
    arguments = codes, sizes, table, log_weights, weights if weighted else None
    close(kernel.categorical(*arguments), twin.categorical(*arguments))


@pytest.mark.parametrize("K", COMPONENTS)
@pytest.mark.parametrize("n", SIZES)
def test_densities_and_totals(n, K):
    codes, sizes, table, _, _ = categories(n, K)
    np.testing.assert_allclose(
        kernel.densities(codes, sizes, table), twin.densities(codes, sizes, table), rtol=1e-12
    )
    weights = np.random.RandomState(1).rand(n, K)
    np.testing.assert_allclose(
        kernel.totals(codes, sizes, weights), twin.totals(codes, sizes, weights), rtol=1e-12
    )


def test_a_code_beyond_its_column_is_a_missing_cell():
    codes, sizes, table, log_weights, _ = categories(20, 3)
    codes[:, 1] = -1
    expected = kernel.categorical(codes, sizes, table, log_weights, None)
    codes[::2, 1], codes[1::2, 1] = 5, 2**31 - 1
    close(kernel.categorical(codes, sizes, table, log_weights, None), expected)
    close(twin.categorical(codes, sizes, table, log_weights, None), expected)


def test_wrong_shapes_are_refused():
    if kernel is twin:
        pytest.skip("nothing is compiled")
    codes, sizes, table, log_weights, weights = categories(20, 3)
    for wrong in (
        (codes[:, :2].copy(), sizes, table, log_weights, None),
        (codes, sizes, table[:, 1:], log_weights, None),
        (codes, sizes, table, log_weights[1:], None),
        (codes, sizes, table, log_weights, weights[1:]),
    ):
        with pytest.raises(ValueError, match="needed"):
            kernel.categorical(*wrong)
    with pytest.raises(ValueError, match="needed"):
        kernel.posterior(np.zeros((3, 2)), np.zeros(3))


@pytest.mark.parametrize("form", [gaussian_twin.FULL, gaussian_twin.TIED, gaussian_twin.DIAG])
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("K", COMPONENTS)
@pytest.mark.parametrize("n", SIZES)
def test_moments_under_given_weights(n, K, offset, form):
    rng = np.random.RandomState(n + K)
    X = rng.randn(n, 3) + offset
    weights = rng.rand(n, K)
    weights[n // 2] = 0.0
    X[n // 2] = np.nan  # a row that counts for nothing may hold anything
    reference = np.zeros((K, 3))  # far away: the sums are taken again about the means
    ours = gaussian.moments(X, weights, form, reference)
    theirs = gaussian_twin.moments(X, weights, form, reference)
    if n == 1:
        assert ours[0].max() == 0 and np.nanmax(ours[2]) == 0
        return
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * max(1.0, np.abs(b).max() * 1e-3))
