"""The algebra of statistics: merge, weigh, combine, measure."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emlearn.em import Joint, Moments, Sums, combine, difference_norms
from emlearn.exceptions import DomainError

FORMS = ["full", "pooled", "diag"]


def rows(rng, n, d, scale=1.0, offset=0.0):
    return offset + scale * rng.randn(n, d)


def shares(rng, n, K, zeros=True):
    """Weights (n, K), some of them 0."""
    weights = rng.gamma(1.0, size=(n, K))
    return weights * (rng.rand(n, K) < 0.7) if zeros else weights


def direct(X, weights, form):
    """Moments from their definition, one component at a time, about the exact mean."""
    X = X.astype(np.longdouble)
    weight = weights.sum(axis=0)
    K, d = weights.shape[1], X.shape[1]
    mean, scatter = np.zeros((K, d)), np.zeros((K, d, d))
    for k in range(K):
        if weight[k] == 0:
            continue
        w = weights[:, k].astype(np.longdouble)
        centre = w @ X / w.sum()
        y = X - centre
        mean[k], scatter[k] = centre, (w[:, None] * y).T @ y
    if form == "pooled":
        scatter = scatter.sum(axis=0)
    if form == "diag":
        scatter = np.diagonal(scatter, axis1=1, axis2=2)
    return Moments(weight, mean, scatter, form)


def close(a, b, rtol=1e-9, atol=0.0):
    """Equal to rounding, each array in its own unit; means only where there is weight."""
    if isinstance(a, Joint):
        assert a.parts.keys() == b.parts.keys()
        for name in a.parts:
            close(a[name], b[name], rtol, atol)
        return
    if isinstance(a, Sums):
        assert a.arrays.keys() == b.arrays.keys() and a.signed == b.signed
        for name in a.arrays:
            y = np.asarray(b[name])
            np.testing.assert_allclose(
                a[name], y, rtol=rtol, atol=rtol * np.abs(y).max(initial=0) + atol
            )
        return
    assert a.form == b.form
    scale = np.abs(b.scatter).max(initial=0)
    np.testing.assert_allclose(a.weight, b.weight, rtol=rtol, atol=1e-300)
    present = b.weight > 0
    spread = np.sqrt(scale / max(b.weight.max(initial=0), 1e-300))
    np.testing.assert_allclose(
        a.mean[present], b.mean[present], rtol=rtol, atol=rtol * spread + atol
    )
    np.testing.assert_allclose(a.scatter, b.scatter, rtol=rtol, atol=rtol * scale + atol)


def make(kind, seed, n=12, d=2, K=3, offset=0.0):
    """A statistic of some rows; the same seed gives the same rows."""
    rng = np.random.RandomState(seed)
    X, weights = rows(rng, n, d, offset=offset), shares(rng, n, K)
    sums = Sums({"counts": weights.sum(axis=0), "moved": weights.T @ X}, signed=["moved"])
    if kind == "sums":
        return sums
    if kind == "joint":
        return Joint({"labels": sums, "components": Moments.from_data(X, weights, "full")})
    return Moments.from_data(X, weights, kind)


KINDS = [*FORMS, "sums", "joint"]
seeds = st.integers(0, 2**31 - 1)
kinds = st.sampled_from(KINDS)
laws = settings(max_examples=60, deadline=None, derandomize=True)


# ------------------------------------------------------------------------ data


@laws
@given(
    seed=seeds,
    form=st.sampled_from(FORMS),
    n=st.integers(1, 40),
    d=st.integers(1, 5),
    K=st.integers(1, 4),
    scale=st.sampled_from([1e-8, 1.0, 1e8]),
    offset=st.sampled_from([0.0, 1.0, -1e6]),
)
def test_moments_are_their_definition(seed, form, n, d, K, scale, offset):
    rng = np.random.RandomState(seed)
    X, weights = rows(rng, n, d, scale, offset * scale), shares(rng, n, K)
    moments, expected = Moments.from_data(X, weights, form), direct(X, weights, form)
    largest = max(np.abs(X).max(), scale)
    np.testing.assert_allclose(moments.weight, expected.weight, rtol=1e-13)
    present = expected.weight > 0
    np.testing.assert_allclose(
        moments.mean[present], expected.mean[present], atol=1e-15 * largest * 4
    )
    total = expected.weight.sum()
    np.testing.assert_allclose(
        moments.scatter, expected.scatter, rtol=1e-9, atol=1e-12 * max(total, 1e-300) * scale**2
    )
    assert np.isfinite(moments.mean).all() and np.isfinite(moments.scatter).all()
    if form == "diag":
        assert np.all(moments.scatter >= 0)
    else:
        scatter = np.asarray(moments.scatter)
        np.testing.assert_allclose(
            scatter, np.swapaxes(scatter, -1, -2), rtol=1e-9, atol=1e-12 * scale**2 * total
        )


@laws
@given(
    seed=seeds,
    form=st.sampled_from(FORMS),
    n=st.integers(2, 60),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    offset=st.sampled_from([0.0, 1e4, 1e8]),
)
def test_how_data_are_split_changes_nothing(seed, form, n, cuts, offset):
    rng = np.random.RandomState(seed)
    X, weights = rows(rng, n, 3), shares(rng, n, 2)
    X = (X + offset) - offset  # the digits that the offset leaves
    whole = Moments.from_data(X + offset, weights, form)
    edges = sorted({0, n, *(cut for cut in cuts if cut < n)})
    parts = [
        Moments.from_data(X[a:b] + offset, weights[a:b], form) for a, b in itertools.pairwise(edges)
    ]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged + part
    # the mean of a part is rounded in the unit of the offset
    close(merged, whole, rtol=1e-9, atol=1e-14 * offset * n)
    # and the offset leaves the scatter as it was
    exact = direct(X, weights, form)
    np.testing.assert_allclose(
        merged.scatter, exact.scatter, rtol=1e-7, atol=1e-7 * max(exact.weight.sum(), 1e-9)
    )


@pytest.mark.parametrize("form", FORMS)
def test_an_offset_of_1e8_leaves_the_variance(form):
    """Where raw sums give 0 and scikit-learn's diagonal 6."""
    X = np.random.RandomState(0).randn(500, 1)
    X = (X + 1e8) - 1e8
    moments = Moments.from_data(X + 1e8, np.ones((500, 1)), form)
    assert np.ravel(moments.scatter / 500)[0] == pytest.approx(X.var(), rel=1e-9)
    assert moments.mean[0, 0] == pytest.approx(1e8 + X.mean(), rel=1e-15)


@pytest.mark.parametrize("form", FORMS)
def test_groups_far_apart_merge_exactly(form):
    rng = np.random.RandomState(0)
    X = np.r_[rng.randn(50, 2), rng.randn(50, 2) + 1e8]
    weights = np.repeat(np.eye(2), 50, axis=0)  # each component in a group of its own
    left = Moments.from_data(X[:50], weights[:50], form)
    right = Moments.from_data(X[50:], weights[50:], form)
    close(left + right, direct(X, weights, form), rtol=1e-7)
    everything = np.ones((100, 1))
    both = Moments.from_data(X[:50], everything[:50], form)
    both = both + Moments.from_data(X[50:], everything[50:], form)
    close(both, direct(X, everything, form), rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("far", [1e8, 1e16, 1e30, 1e200])
def test_rows_without_weight_leave_no_trace(form, far):
    rng = np.random.RandomState(0)
    X, weights = rows(rng, 30, 2), shares(rng, 30, 2, zeros=False)
    X[::3] *= far
    weights[::3] = 0
    keep = np.arange(30) % 3 != 0
    close(Moments.from_data(X, weights, form), Moments.from_data(X[keep], weights[keep], form))


# ----------------------------------------------------------------------- merge


@laws
@given(kind=kinds, seed=seeds)
def test_merge_is_commutative_and_associative(kind, seed):
    a, b, c = (make(kind, seed + i) for i in range(3))
    close(a + b, b + a)
    close((a + b) + c, a + (b + c))
    close(a + b + c, c + b + a)


@laws
@given(kind=kinds, seed=seeds)
def test_nothing_is_neutral(kind, seed):
    a, other = make(kind, seed), make(kind, seed + 1)
    close(a + other * 0, a)
    close(other * 0 + a, a)


@laws
@given(kind=kinds, seed=seeds, c=st.floats(1e-6, 1e6), e=st.floats(1e-6, 1e6))
def test_weighing_is_linear(kind, seed, c, e):
    a, b = make(kind, seed), make(kind, seed + 1)
    close(a * c, c * a, rtol=0)
    close(a * 1, a, rtol=0)
    close((a * c) * e, a * (c * e))
    close(a * (c + e), a * c + a * e)
    close((a + b) * c, a * c + b * c)
    close(a * 2, a + a)


@laws
@given(kind=kinds, seed=seeds)
def test_nothing_is_changed_in_place(kind, seed):
    a, b = make(kind, seed), make(kind, seed + 1)
    a + b, a * 3.0, combine([0.5, 0.5], [a, b]), difference_norms([-1, 1], [a, b])
    close(a, make(kind, seed), rtol=0)
    close(b, make(kind, seed + 1), rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [-1.0, -1e-300, np.nan, np.inf, -np.inf])
def test_only_a_finite_factor_from_zero_up_weighs(kind, factor):
    with pytest.raises(DomainError, match=">= 0"):
        make(kind, 0) * factor
    with pytest.raises(DomainError):
        factor * make(kind, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_no_difference(kind):
    with pytest.raises(TypeError):
        make(kind, 0) - make(kind, 1)
    with pytest.raises(TypeError):
        -make(kind, 0)


# --------------------------------------------------------------------- combine


@laws
@given(kind=kinds, seed=seeds, a=st.floats(0, 1))
def test_a_convex_combination_is_a_weighed_merge(kind, seed, a):
    old, new = make(kind, seed), make(kind, seed + 1)
    close(combine([1 - a, a], [old, new]), old * (1 - a) + new * a)


@laws
@given(kind=kinds, seed=seeds)
def test_trivial_combinations(kind, seed):
    a, b = make(kind, seed), make(kind, seed + 1)
    close(combine([1.0], [a]), a)
    close(combine([0.0, 1.0], [a, b]), b)
    close(combine([1.0, 0.0], [a, b]), a)
    close(combine([0.25, 0.75], [a, a]), a)
    close(combine([3.0, -2.0], [a, a]), a)
    close(combine([0.5, 0.5], [a, b]), combine([0.5, 0.5], [b, a]))


@laws
@given(kind=kinds, seed=seeds, t=st.floats(1.0, 50.0))
def test_an_extrapolation_undone_is_where_it_began(kind, seed, t):
    """Beyond b by t, then back: combinations compose like points on a line."""
    a = make(kind, seed)
    b = combine([0.99, 0.01], [a, make(kind, seed + 1)])
    try:
        beyond = combine([1 - t, t], [a, b])
    except DomainError:
        return
    close(combine([1 - 1 / t, 1 / t], [a, beyond]), b, rtol=1e-8)


@laws
@given(kind=kinds, seed=seeds, c=st.lists(st.floats(-5, 5), min_size=2, max_size=4))
def test_combinations_are_affine_or_refused(kind, seed, c):
    c = [*c, 1.0 - sum(c)]
    parts = [make(kind, seed + i) for i in range(len(c))]
    reference = parts[-1]
    terms = [part.coordinates(reference) for part in parts]
    try:
        result = combine(c, parts)
    except DomainError:
        return
    for name, value in result.coordinates(reference).items():
        expected = sum(factor * term[name] for factor, term in zip(c, terms, strict=True))
        scale = max(np.abs(term[name]).max() for term in terms)
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-9 * scale, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "coefficients",
    [[0.5, 0.6], [1.0, 1.0], [0.0, 0.0], [-1.0, 1.0], [np.nan, 1.0], [np.inf, -np.inf]],
)
def test_coefficients_sum_to_one(kind, coefficients):
    with pytest.raises(ValueError, match="sum to 1") as caught:
        combine(coefficients, [make(kind, 0), make(kind, 1)])
    assert not isinstance(caught.value, DomainError)


def test_large_coefficients_may_sum_to_one_to_their_own_rounding():
    a = make("full", 0)
    step = 1e6
    c = ((1 - step) ** 2, 2 * step * (1 - step), step * step)
    close(combine(c, [a, a, a]), a, rtol=1e-2)


def test_a_count_below_zero_is_no_count_unless_it_is_signed():
    few, many = Sums({"n": np.array([1.0, 2.0])}), Sums({"n": np.array([2.0, 1.0])})
    with pytest.raises(DomainError, match="'n'"):
        combine([2.5, -1.5], [few, many])
    few, many = (Sums(s.arrays, signed=["n"]) for s in (few, many))
    np.testing.assert_allclose(combine([2.5, -1.5], [few, many])["n"], [-0.5, 3.5])
    assert combine([2.5, -1.5], [few, many]).signed == {"n"}
    assert (few + many).signed == (few * 2).signed == {"n"}


def test_a_sum_that_is_not_a_number_is_refused():
    bad, good = Sums({"n": np.array([np.nan])}), Sums({"n": np.array([1.0])})
    with pytest.raises(DomainError):
        combine([0.5, 0.5], [bad, good])


@pytest.mark.parametrize("form", FORMS)
def test_moments_that_leave_their_domain_are_refused(form):
    rng = np.random.RandomState(0)
    X = rng.randn(20, 2)
    light = Moments.from_data(X, np.ones((20, 1)), form)
    heavy = light * 3
    with pytest.raises(DomainError, match="weight"):
        combine([-2.0, 3.0], [heavy, light])
    wide = Moments.from_data(3 * X, np.ones((20, 1)), form)
    with pytest.raises(DomainError, match="scatter"):
        combine([-1.0, 2.0], [wide, light])
    # the weight fits, the mean has gone too far for the second moment that is left
    there = Moments.from_data(X + 5.0, np.ones((20, 1)), form)
    with pytest.raises(DomainError, match="scatter"):
        combine([-1.0, 2.0], [there, light])
    with pytest.raises(DomainError):
        combine([-1.0, 2.0], [Joint({"m": wide}), Joint({"m": light})])


@laws
@given(
    seed=seeds, form=st.sampled_from(FORMS), c=st.floats(-4, 4), offset=st.sampled_from([0.0, 1e8])
)
def test_combinations_of_moments_do_not_depend_on_the_origin(seed, form, c, offset):
    rng = np.random.RandomState(seed)
    X, Y = np.round(rng.randn(2, 15, 2), 3)
    u, v = shares(rng, 15, 2, zeros=False), shares(rng, 15, 2, zeros=False)
    X, Y = ((Z + offset) - offset for Z in (X, Y))
    try:
        here = combine([1 - c, c], [Moments.from_data(X, u, form), Moments.from_data(Y, v, form)])
    except DomainError:
        return
    lowest = here.scatter if form == "diag" else np.linalg.eigvalsh(here.scatter)
    if lowest.min() < 1e-3 or here.weight.min() < 1e-2:
        return  # at the edge of the domain rounding decides
    there = combine(
        [1 - c, c],
        [Moments.from_data(X + offset, u, form), Moments.from_data(Y + offset, v, form)],
    )
    np.testing.assert_allclose(there.weight, here.weight, rtol=1e-12)
    np.testing.assert_allclose(there.mean - offset, here.mean, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(there.scatter, here.scatter, rtol=1e-4, atol=1e-4)


# ----------------------------------------------------------------------- norms


@laws
@given(kind=kinds, seed=seeds)
def test_norms_of_differences(kind, seed):
    a, b, c = (make(kind, seed + i) for i in range(3))
    assert set(difference_norms([-1, 1], [a, a]).values()) <= {0.0}
    same = difference_norms([1, -2, 1], [a, a, a])
    assert all(value <= 1e-12 for value in same.values())
    first = difference_norms([-1, 1], [a, b])
    second = difference_norms([1, -2, 1], [a, b, c])
    reference_b, reference_c = b.coordinates(b), c.coordinates(c)
    assert first.keys() == second.keys() == reference_b.keys() == reference_c.keys()
    old, new = a.coordinates(b), b.coordinates(b)
    for name, value in first.items():
        assert value == pytest.approx(
            float(np.linalg.norm(new[name] - old[name])), rel=1e-9, abs=1e-12
        )
        assert value > 0
    path = [s.coordinates(c) for s in (a, b, c)]
    for name, value in second.items():
        bend = path[0][name] - 2 * path[1][name] + path[2][name]
        assert value == pytest.approx(float(np.linalg.norm(bend)), rel=1e-9, abs=1e-12)


@laws
@given(kind=kinds, seed=seeds, t=st.floats(0.01, 0.99))
def test_norms_scale_along_a_line(kind, seed, t):
    a, b = make(kind, seed), make(kind, seed + 1)
    point = combine([1 - t, t], [a, b])
    whole = difference_norms([-1, 1], [b, a])
    part = difference_norms([-1, 1], [point, a])
    for name, value in whole.items():
        assert part[name] == pytest.approx(t * value, rel=1e-7, abs=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_statistic_is_its_coordinates(kind):
    a, b = make(kind, 0), make(kind, 1)
    close(b.from_coordinates(a.coordinates(b)), a)
    repr(a)
