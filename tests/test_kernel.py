"""The compiled kernel does what its NumPy twin does."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emlearn._kernels import gaussian as kernel
from emlearn._kernels import gaussian_twin as twin

FULL, TIED, DIAG, SPHERICAL = twin.FULL, twin.TIED, twin.DIAG, twin.SPHERICAL
NAMES = {FULL: "full", TIED: "tied", DIAG: "diag", SPHERICAL: "spherical"}
DENSITIES = [FULL, TIED, DIAG, SPHERICAL]
FORMS = [FULL, TIED, DIAG]
SIZES = [1, 7, 8, 9, 127, 128, 129, 500]  # about the vectors and tiles of the kernel
LAYOUTS = ["C", "Fortran", "rows apart", "columns apart", "backwards", "read-only"]
# what was compiled and this processor has; the twin, tested against itself, where nothing was compiled
INSTRUCTION_SETS = kernel.instruction_sets() if kernel is not twin else ["NumPy"]
# the compiled kernel is exact where BLAS, in the twin, may round one way or the other
SLACK = 0.0 if kernel is not twin else 1e-12
LAWS = settings(max_examples=80, deadline=None, derandomize=True)


@pytest.fixture(scope="module", autouse=True, params=INSTRUCTION_SETS)
def instruction_set(request):
    if kernel is twin:
        yield
        return
    chosen = kernel.instruction_set()
    kernel.use_instruction_set(request.param)
    yield
    kernel.use_instruction_set(chosen)


def problem(n, d, K, density, seed=0, spread=1.0, dtype=np.float64):
    """Rows, and the constants, means and factors of K densities that overlap on them."""
    rng = np.random.RandomState(seed)
    means = spread * rng.randn(K, d)
    X = (means[rng.randint(K, size=n)] + rng.randn(n, d)).astype(dtype)
    shape = {FULL: (K, d, d), TIED: (d, d), DIAG: (K, d), SPHERICAL: (K,)}[density]
    factors = 0.3 * rng.randn(*shape) / math.sqrt(d)
    if density in (FULL, TIED):
        factors = np.triu(factors) + np.eye(d)
        diagonal = np.diagonal(factors, axis1=-2, axis2=-1)
        log_det = np.log(np.abs(diagonal)).sum(axis=-1)
    else:
        factors = np.abs(factors) + 0.5
        log_det = np.log(factors).sum(axis=-1) if density == DIAG else d * np.log(factors)
    weights = rng.dirichlet(np.ones(K))
    constants = np.log(weights) + log_det - 0.5 * d * math.log(2 * math.pi)
    return X, (constants, means, np.ascontiguousarray(factors).reshape(-1))


def laid_out(X, layout):
    """The same rows in another memory."""
    match layout:
        case "Fortran":
            return np.asfortranarray(X)
        case "rows apart":
            return np.repeat(X, 3, axis=0)[::3]
        case "columns apart":
            return np.repeat(X, 2, axis=1)[:, ::2]
        case "backwards":
            return np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]
    if layout == "read-only":
        X = X.copy()
        X.flags.writeable = False
    return X


def sample_weights(n, kind, seed=0):
    rng = np.random.RandomState(seed)
    match kind:
        case "none":
            return None
        case "fractions":
            return rng.gamma(0.5, size=n) + 1e-3
        case "zeros":
            weights = rng.gamma(1.0, size=n) * (rng.rand(n) < 0.6)
            weights[0] += 1.0
            return weights
    return np.full(n, 1e-3)


def assert_same_step(X, weights, density, form, model, rtol=1e-10):
    """E-steps of kernel and twin agree, each quantity in its own unit."""
    before = X.tobytes()
    count, mean, scatter, value = kernel.e_step(X, weights, density, form, *model)
    assert X.tobytes() == before
    count0, mean0, scatter0, value0 = twin.e_step(X, weights, density, form, *model)
    for array, array0 in ((count, count0), (mean, mean0), (scatter, scatter0)):
        assert array.shape == array0.shape and array.dtype == np.float64
        assert np.isfinite(array).all()
    assert value == pytest.approx(value0, rel=rtol)
    total = count0.sum()
    np.testing.assert_allclose(count, count0, rtol=rtol, atol=1e-13 * total)
    present = count0 > 1e-12 * total
    unit = np.abs(X).max() + np.abs(model[1]).max()
    np.testing.assert_allclose(mean[present], mean0[present], rtol=rtol, atol=rtol * unit)
    np.testing.assert_allclose(scatter, scatter0, rtol=rtol, atol=rtol * total * unit**2)
    if form != DIAG:
        np.testing.assert_allclose(
            scatter, np.swapaxes(scatter, -1, -2), rtol=0, atol=SLACK * np.abs(scatter).max()
        )


def outputs(n, K):
    return {
        "joint": np.full((n, K), np.nan),
        "posterior": np.full((n, K), np.nan),
        "log_density": np.full(n, np.nan),
        "label": np.full(n, -1, dtype=np.int64),
    }


def assert_same_scores(X, density, model):
    n, K = len(X), len(model[1])
    ours, theirs = outputs(n, K), outputs(n, K)
    kernel.scores(X, density, *model, **ours)
    twin.scores(X, density, *model, **theirs)
    for name in ("joint", "log_density"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-11, atol=1e-11, err_msg=name)
    np.testing.assert_allclose(ours["posterior"], theirs["posterior"], rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(ours["posterior"].sum(axis=1), 1, rtol=1e-13)
    np.testing.assert_array_equal(ours["label"], ours["joint"].argmax(axis=1))
    top = np.sort(theirs["joint"], axis=1)
    clear = np.ones(n, bool) if K == 1 else top[:, -1] - top[:, -2] > 1e-9
    np.testing.assert_array_equal(ours["label"][clear], theirs["label"][clear])
    for name, alone in outputs(n, K).items():  # an output does not depend on what else is wanted
        kernel.scores(X, density, *model, **{name: alone})
        assert alone.tobytes() == ours[name].tobytes(), name


# ---------------------------------------------------------------------- shapes


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES.get)
@pytest.mark.parametrize("form", FORMS, ids=NAMES.get)
@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 8, 11])
def test_every_density_with_every_form_of_the_scatter(d, form, density):
    for n in SIZES:
        X, model = problem(n, d, 3, density, seed=n)
        assert_same_step(X, None, density, form, model)


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES.get)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("weights", ["none", "fractions", "zeros", "small"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_layouts_weights_and_types(dtype, weights, layout, density):
    form = DIAG if density == SPHERICAL else density
    for n in SIZES:
        X, model = problem(n, 5, 4, density, seed=n, dtype=dtype)
        w = sample_weights(n, weights, seed=n)
        assert_same_step(laid_out(X, layout), w, density, form, model)
        assert_same_scores(laid_out(X, layout), density, model)
        # the layout changes no bit
        here, there = (kernel.e_step(x, w, density, form, *model) for x in (X, laid_out(X, layout)))
        for a, b in zip(here, there, strict=True):
            np.testing.assert_allclose(a, b, rtol=SLACK, atol=SLACK * np.abs(a).max())


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES.get)
def test_any_number_of_features(density):
    form = DIAG if density == SPHERICAL else density
    for d in range(1, 71):
        X, model = problem(150, d, 2, density, seed=d)
        assert_same_step(X, None, density, form, model)
        assert_same_scores(X, density, model)


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES.get)
def test_any_number_of_components(density):
    form = DIAG if density == SPHERICAL else density
    for K in range(1, 131):
        X, model = problem(140, 2, K, density, seed=K)
        assert_same_step(X, None, density, form, model)
        assert_same_scores(X, density, model)


@LAWS
@given(
    n=st.integers(1, 300),
    d=st.integers(1, 40),
    K=st.integers(1, 12),
    density=st.sampled_from(DENSITIES),
    form=st.sampled_from(FORMS),
    weights=st.sampled_from(["none", "fractions", "zeros"]),
    layout=st.sampled_from(LAYOUTS),
    dtype=st.sampled_from([np.float64, np.float32]),
    spread=st.sampled_from([0.0, 1.0, 30.0]),
)
def test_any_combination(n, d, K, density, form, weights, layout, dtype, spread):
    X, model = problem(n, d, K, density, seed=n + d, spread=spread, dtype=dtype)
    X = laid_out(X, layout)
    assert_same_step(X, sample_weights(n, weights), density, form, model)
    assert_same_scores(X, density, model)


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES.get)
def test_a_row_does_not_depend_on_its_place(density):
    X, model = problem(300, 3, 4, density)
    whole = outputs(300, 4)
    kernel.scores(X, density, *model, **whole)
    for start, size in ((0, 1), (5, 8), (100, 129), (293, 7)):
        part = outputs(size, 4)
        kernel.scores(X[start : start + size], density, *model, **part)
        for name, values in part.items():
            expected = whole[name][start : start + size]
            np.testing.assert_allclose(values, expected, rtol=SLACK, atol=SLACK, err_msg=name)


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES.get)
def test_shapes_that_do_not_fit_are_refused(density):
    """Nothing is read beyond an array's end."""
    if kernel is twin:  # NumPy's own concern
        return
    X, (constants, means, factors) = problem(50, 3, 4, density)
    good = {
        "X": X,
        "weights": np.ones(50),
        "constants": constants,
        "means": means,
        "factors": factors,
    }
    wrong = [
        {"X": X[:, :2]},
        {"X": np.c_[X, X]},
        {"weights": np.ones(49)},
        {"constants": constants[:3]},
        {"means": means[:3].copy()},
        {"means": np.c_[means, means]},
        {"factors": factors[:-1]},
    ]
    for change in wrong:
        a = good | change
        model = (a["constants"], a["means"], a["factors"])
        with pytest.raises(ValueError):
            kernel.e_step(a["X"], a["weights"], density, DIAG, *model)
        if "weights" not in change:
            with pytest.raises(ValueError):
                kernel.scores(a["X"], density, *model, log_density=np.empty(50))


# --------------------------------------------------------------------- numbers


def responsibilities(X, density, model):
    out = np.empty((len(X), len(model[1])))
    twin.scores(X, density, *model, posterior=out)
    return out


def exact_moments(X, weights):
    """Centred moments (K,), (K, d), (K, d, d) in extended precision."""
    X, weights = X.astype(np.longdouble), weights.astype(np.longdouble)
    count = weights.sum(axis=0)
    mean = weights.T @ X / count[:, None]
    scatter = np.array(
        [
            ((weights[:, k, None] * (X - mean[k])).T @ (X - mean[k])).astype(float)
            for k in range(len(count))
        ]
    )
    return count.astype(float), mean.astype(float), scatter


def reduced(scatter, form):
    if form == TIED:
        return scatter.sum(axis=0)
    return np.diagonal(scatter, axis1=1, axis2=2) if form == DIAG else scatter


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES.get)
@pytest.mark.parametrize("form", FORMS, ids=NAMES.get)
@pytest.mark.parametrize("distance", [1.0, 1e2, 1e4, 1e6, 1e8, 1e12, 1e16])
@pytest.mark.parametrize("who", ["rows", "means"])
def test_a_reference_far_away_loses_no_digits(who, distance, form, density):
    """The current means are far from the rows: sums about them must not be where moments come from."""
    X, (constants, means, factors) = problem(300, 3, 2, density, spread=0.5)
    away = np.array([1.0, -1.0, 1.0]) * distance
    if who == "means":
        means = means + away
    elif distance <= 1e8:  # beyond, rows near each other are one number
        X = X + away
    factors = factors / max(distance, 1.0)  # wide enough to reach them
    model = (constants, means, factors)
    posterior = responsibilities(X, density, model)
    count, mean, scatter, _ = kernel.e_step(X, None, density, form, *model)
    count0, mean0, scatter0 = exact_moments(X, posterior)
    np.testing.assert_allclose(count, count0, rtol=1e-8)
    np.testing.assert_allclose(mean, mean0, rtol=1e-12, atol=1e-7)
    expected = reduced(scatter0, form)
    np.testing.assert_allclose(scatter, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES.get)
@pytest.mark.parametrize("form", FORMS, ids=NAMES.get)
@pytest.mark.parametrize("distance", [1e4, 1e8])
def test_clusters_far_apart_keep_their_own_moments(distance, form, density):
    rng = np.random.RandomState(0)
    d, y = 3, np.arange(300) % 2
    X = rng.randn(300, d) + distance * y[:, None]
    means = np.array([np.zeros(d), np.full(d, distance)]) + 0.3
    _, (constants, _, factors) = problem(1, d, 2, density)
    count, mean, scatter, _ = kernel.e_step(X, None, density, form, constants, means, factors)
    count0, mean0, scatter0 = exact_moments(X, np.eye(2)[y])
    np.testing.assert_allclose(count, count0, rtol=1e-12)
    np.testing.assert_allclose(mean, mean0, rtol=1e-15, atol=1e-12)
    np.testing.assert_allclose(scatter, reduced(scatter0, form), rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES.get)
@pytest.mark.parametrize("form", FORMS, ids=NAMES.get)
def test_rows_that_are_all_the_same_have_no_scatter(form, density):
    _, model = problem(1, 3, 2, density)
    X = np.tile([[0.1, -7.3, 1e5]], (200, 1))
    count, mean, scatter, _ = kernel.e_step(X, None, density, form, *model)
    assert count.sum() == pytest.approx(200, rel=1e-13)
    np.testing.assert_allclose(
        mean[count > 1e-9], np.tile(X[:1], (np.sum(count > 1e-9), 1)), rtol=1e-14
    )
    assert np.all(np.abs(scatter) <= 200 * (1e-15 * 1e5) ** 2)


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES.get)
@pytest.mark.parametrize("far", [1e3, 1e100, 1e200, 1e300])
def test_rows_that_no_component_reaches_are_shared(far, density):
    X, model = problem(40, 3, 4, density)
    X[::7] *= far
    X[::7] += far
    ours, theirs = outputs(40, 4), outputs(40, 4)
    with np.errstate(over="ignore", invalid="ignore"):
        kernel.scores(X, density, *model, **ours)
        twin.scores(X, density, *model, **theirs)
    assert np.isfinite(ours["posterior"]).all()
    np.testing.assert_allclose(ours["posterior"].sum(axis=1), 1, rtol=1e-13)
    assert np.all((ours["label"] >= 0) & (ours["label"] < 4))
    assert not np.isnan(ours["log_density"]).any()
    near = np.arange(40) % 7 != 0
    np.testing.assert_allclose(ours["log_density"][near], theirs["log_density"][near], rtol=1e-11)
    np.testing.assert_allclose(ours["posterior"][near], theirs["posterior"][near], rtol=1e-9)
    if far >= 1e200:
        np.testing.assert_array_equal(ours["log_density"][~near], -np.inf)
        np.testing.assert_allclose(ours["posterior"][~near], 0.25, rtol=1e-15)
        np.testing.assert_allclose(theirs["posterior"][~near], 0.25, rtol=1e-15)


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES.get)
def test_rows_without_weight_leave_no_trace_wherever_they_are(density):
    form = DIAG if density == SPHERICAL else density
    X, model = problem(200, 3, 4, density)
    weights = np.ones(200)
    weights[::3] = 0.0
    keep = weights > 0
    expected = kernel.e_step(X[keep], None, density, form, *model)
    for far in (1.0, 1e8, 1e200):
        Y = X.copy()
        Y[::3] *= far
        found = kernel.e_step(Y, weights, density, form, *model)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES.get)
def test_a_component_of_weight_zero_gets_nothing(density):
    form = DIAG if density == SPHERICAL else density
    X, (constants, means, factors) = problem(150, 3, 4, density)
    constants = constants.copy()
    constants[1] = -np.inf
    model = (constants, means, factors)
    count, mean, scatter, value = kernel.e_step(X, None, density, form, *model)
    assert count[1] == 0
    assert np.isfinite(mean).all() and np.isfinite(scatter).all() and math.isfinite(value)
    ours = outputs(150, 4)
    kernel.scores(X, density, *model, **ours)
    assert np.all(ours["posterior"][:, 1] == 0)
    assert not np.any(ours["label"] == 1)
    assert np.isfinite(ours["log_density"]).all()


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES.get)
def test_posteriors_are_right_over_the_whole_range_of_the_exponential(density):
    """One feature, two components, and rows from where they tie to where one is below 1e-300."""
    d = 1
    X = np.linspace(-400, 400, 2001)[:, None]
    means = np.array([[-0.5], [0.5]])
    factors = {
        FULL: np.ones((2, 1, 1)),
        TIED: np.ones((1, 1)),
        DIAG: np.ones((2, 1)),
        SPHERICAL: np.ones(2),
    }
    model = (
        np.full(2, math.log(0.5) - 0.5 * d * math.log(2 * math.pi)),
        means,
        factors[density].reshape(-1),
    )
    ours = outputs(len(X), 2)
    kernel.scores(X, density, *model, **ours)
    exact = 1 / (1 + np.exp(-X[:, 0]))  # the odds are exp(x)
    np.testing.assert_allclose(ours["posterior"][:, 1], exact, rtol=1e-10, atol=1e-307)
    log_density = (
        model[0][0] - 0.5 * (np.abs(X[:, 0]) - 0.5) ** 2 + np.log1p(np.exp(-np.abs(X[:, 0])))
    )
    np.testing.assert_allclose(ours["log_density"], log_density, rtol=1e-13)


# --------------------------------------------------------------- factorisations


@pytest.mark.parametrize("d", [1, 2, 3, 7, 8, 24, 70])
@pytest.mark.parametrize("K", [1, 5])
def test_precision_cholesky(K, d):
    rng = np.random.RandomState(d)
    A = rng.randn(K, d, d + 3)
    covariances = A @ np.swapaxes(A, 1, 2)
    ours, failed = kernel.precision_cholesky(covariances)
    theirs, failed0 = twin.precision_cholesky(covariances)
    assert failed == failed0 == -1
    np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-8 * np.abs(theirs).max())
    np.testing.assert_array_equal(np.tril(ours, -1), 0)
    assert np.all(np.diagonal(ours, axis1=1, axis2=2) > 0)
    identity = np.swapaxes(ours, 1, 2) @ covariances @ ours
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(d), (K, d, d)), atol=1e-8)


@pytest.mark.parametrize("d", [1, 2, 3, 10])
@pytest.mark.parametrize("bad", [0, 2, 3])
@pytest.mark.parametrize("how", ["zero", "indefinite", "nan", "rank", "rounding"])
def test_precision_cholesky_names_the_first_singular_matrix(how, bad, d):
    covariances = np.array([np.eye(d)] * 4)
    match how:
        case "zero":
            covariances[bad] = 0
        case "indefinite":
            covariances[bad, -1, -1] = -1
        case "nan":
            covariances[bad, -1, -1] = np.nan
        case "rank":
            covariances[bad] = np.ones((d, d)) if d > 1 else 0
        case "rounding":
            covariances[bad] = np.ones((d, d)) + 1e-17 * np.eye(d) if d > 1 else 0
    assert kernel.precision_cholesky(covariances)[1] == bad
    assert twin.precision_cholesky(covariances)[1] == bad


@pytest.mark.parametrize("unit", [1e-150, 1e-8, 1e8, 1e150])
def test_precision_cholesky_knows_no_unit(unit):
    rng = np.random.RandomState(0)
    A = rng.randn(3, 4, 9)
    covariances = A @ np.swapaxes(A, 1, 2)
    scales = np.logspace(-6, 6, 4)  # of the features, too
    one, failed = kernel.precision_cholesky(covariances)
    assert failed == -1
    other, failed = kernel.precision_cholesky(covariances * np.outer(scales, scales) * unit)
    assert failed == -1
    np.testing.assert_allclose(other * math.sqrt(unit) * scales[:, None], one, rtol=1e-9, atol=1e-9)
