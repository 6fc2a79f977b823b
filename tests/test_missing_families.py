"""Missing cells in the families of counts, categories, positive numbers and directions, and in what is made of them."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats
from scipy.special import logsumexp
from sklearn.exceptions import NotFittedError

from emlearn.distributions import (
    Bernoulli,
    FiniteMixture,
    Gamma,
    Multinomial,
    Poisson,
    Product,
    VonMisesFisher,
)
from emlearn.em import block_rows
from emlearn.hmm import GaussianHMM, PoissonHMM
from emlearn.latent import Chain
from emlearn.mixture import (
    BernoulliMixture,
    CategoricalMixture,
    GammaMixture,
    GaussianMixture,
    MixedMixture,
    Mixture,
    MultinomialMixture,
    PoissonMixture,
    StudentTMixture,
    VonMisesFisherMixture,
)
from emlearn.model_selection import MixtureSelector

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
Z = np.repeat([0, 1, 2], 40)
COUNTS = RNG.poisson(np.array([[1.0, 9.0, 4.0], [8.0, 2.0, 4.0], [16.0, 16.0, 1.0]])[Z]).astype(
    float
)
POSITIVE = RNG.gamma(np.array([[2.0, 9.0, 3.0], [6.0, 0.8, 9.0], [30.0, 4.0, 1.0]])[Z])
DIRECTIONS = np.array([[2.0, 0.0, 1.0], [-2.0, 2.0, 0.0], [0.0, -1.0, -3.0]])[Z]
DIRECTIONS = DIRECTIONS + RNG.standard_normal((120, 3))
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
HOLES = RNG.uniform(size=COUNTS.shape) < 0.2

masks = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=4, max_size=4)


def with_holes(X, mask=HOLES):
    return np.where(mask, np.nan, X)


# ----------------------------------------------------------------- densities


@settings(max_examples=25, deadline=None)
@given(mask=masks, seed=st.integers(0, 1000))
def test_a_row_has_the_density_of_its_cells(mask, seed):
    rng, mask = np.random.RandomState(seed), np.array(mask)
    rates, shapes, scales = (rng.uniform(0.2, 5.0, size=(2, 3)) for _ in range(3))
    counts = rng.poisson(3.0, size=(4, 3)).astype(float)
    numbers = rng.gamma(2.0, size=(4, 3))
    poisson, gamma = Poisson(), Gamma()
    cases = [
        (poisson, poisson.recall({"rates": rates}), counts, stats.poisson(rates).logpmf),
        (
            gamma,
            gamma.recall({"shapes": shapes, "scales": scales}),
            numbers,
            stats.gamma(shapes, scale=scales).logpdf,
        ),
    ]
    for family, parameters, X, log_density in cases:
        each = np.array([log_density(row) for row in X])  # (n, K, d)
        expected = np.where(mask[:, None, :], 0.0, each).sum(axis=2)
        found, _ = family.log_density(parameters, family.features(with_holes(X, mask)))
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@settings(max_examples=25, deadline=None)
@given(mask=masks, seed=st.integers(0, 1000))
def test_statistics_are_those_of_the_columns_where_they_are_seen(mask, seed):
    rng, mask = np.random.RandomState(seed), np.array(mask)
    weights = rng.uniform(0.1, 1.0, size=(4, 2))
    for family, X in (
        (Poisson(), rng.poisson(3.0, size=(4, 3)).astype(float)),
        (Gamma(), rng.gamma(2.0, size=(4, 3))),
        (Bernoulli(), rng.randint(2, size=(4, 3)).astype(float)),
    ):
        whole = family.features(with_holes(X, mask))
        found = family.statistics(None, whole, weights)["sum"]
        for j in range(3):
            rows = ~mask[:, j]
            column = family.features(X[rows, j : j + 1])
            alone = family.statistics(None, column, weights[rows])["sum"]
            np.testing.assert_allclose(found[:, j::3], alone, rtol=1e-12, atol=1e-12)


def test_blocks_with_and_without_holes_merge():
    poisson, weights = Poisson(), np.ones((120, 1))
    Y = with_holes(COUNTS)
    Y[:60] = COUNTS[:60]
    parts = [
        poisson.statistics(None, poisson.features(Y[rows]), weights[rows])
        for rows in (slice(60), slice(60, 120))
    ]
    whole = poisson.m_step(poisson.statistics(None, poisson.features(Y), weights), None)
    for a, b in (parts, parts[::-1]):
        np.testing.assert_allclose(poisson.m_step(a + b, None).rates, whole.rates, rtol=1e-13)
    np.testing.assert_allclose(whole.rates[0], np.nanmean(Y, axis=0), rtol=1e-13)


@pytest.mark.parametrize(
    ("family", "X"),
    [
        (Multinomial(), COUNTS),
        (VonMisesFisher(), DIRECTIONS),
        (Poisson(), COUNTS),
        (Gamma(), POSITIVE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_of_rows_that_are_missing_nothing_is_counted(family, X):
    Y = X.copy()
    Y[::7] = np.nan
    rest = np.ones(len(X), dtype=bool)
    rest[::7] = False
    fits = [Mixture(distribution=family).fit(data) for data in (Y, X[rest])]
    for name in fits[1]._published_names:
        ours, theirs = (getattr(fit, name) for fit in fits)
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    assert np.allclose(fits[0].score_samples(Y)[::7], 0.0)


def test_a_chain_goes_through_missing_rows_and_cells():
    """The likelihood and the posterior are those of all paths."""
    Y = with_holes(COUNTS)[35:42]
    Y[3] = np.nan
    model = PoissonHMM(2, random_state=0).fit(COUNTS[:, :3])
    table = np.array(
        [
            [
                np.nansum(stats.poisson(rates).logpmf(np.nan_to_num(y)) * ~np.isnan(y))
                for rates in model.rates_
            ]
            for y in Y
        ]
    )
    paths = Chain().enumerate(model.recall().latent, table)
    assert np.isclose(model.score(Y) * len(Y), paths.total, rtol=1e-11)
    np.testing.assert_allclose(model.predict_proba(Y), paths.posterior, atol=1e-10)
    expected = np.where(np.isnan(Y), paths.posterior @ model.rates_, Y)
    np.testing.assert_allclose(model.impute(Y), expected, rtol=1e-9)


def test_members_of_a_component_share_a_missing_cell():
    """Of a mixture of mixtures it is what is expected in the flat mixture of all members."""
    Y = with_holes(COUNTS)
    two = Mixture(
        2, distribution=FiniteMixture(Poisson(), n_mix=2), random_state=0, max_iter=5
    ).fit(Y)
    weights = (two.weights_[:, None] * two.mixture_weights_).ravel()
    flat = PoissonMixture.from_parameters(weights, rates=two.rates_.reshape(4, 3))
    np.testing.assert_allclose(two.score_samples(Y), flat.score_samples(Y), rtol=1e-11)
    np.testing.assert_allclose(two.impute(Y), flat.impute(Y), rtol=1e-9)
    assert not np.isnan(two.sample_imputations(Y, 2, random_state=0)).any()


@pytest.mark.parametrize("init_params", ["kmeans", "random", "hierarchical", "short-runs"])
def test_starts_priors_and_weights_with_missing_cells(init_params):
    weights = RNG.uniform(size=120)
    for mixture, X in (
        (PoissonMixture(3), COUNTS),
        (GammaMixture(3, noise=True), POSITIVE),
        (MultinomialMixture(2, prior="default"), COUNTS),
    ):
        mask = HOLES.all(axis=1) if isinstance(mixture, MultinomialMixture) else HOLES
        Y = np.where(np.reshape(mask, (120, -1)), np.nan, X)
        Y[5] = np.nan
        mixture.set_params(init_params=init_params, random_state=0, max_iter=8, tol=0.0)
        mixture.fit(Y, sample_weight=weights)
        assert np.diff(mixture.lower_bounds_).min() > -1e-9
    assert np.isfinite(
        PoissonMixture(3, prior="default", random_state=0).fit(with_holes(COUNTS)).lower_bound_
    )


def test_shapes_that_are_shared_or_fixed_see_what_is_there():
    Y = with_holes(POSITIVE)
    for held in ({"equal": "shapes"}, {"fixed": {"scales": np.full((3, 3), np.nan)}}):
        if "fixed" in held:
            held["fixed"]["scales"][:, 0] = 1.0
        model = GammaMixture(3, random_state=0, max_iter=15, tol=0.0, **held).fit(Y)
        assert np.diff(model.lower_bounds_).min() > -1e-9
    one = GammaMixture(2, equal=["shapes", "scales"], random_state=0).fit(Y)
    alone = GammaMixture(1).fit(Y)
    np.testing.assert_allclose(one.shapes_[0], alone.shapes_[0], rtol=1e-6)


# ----------------------------------------------------------------- bad input


def test_errors_name_the_column_or_the_row():
    nothing = COUNTS.copy()
    nothing[:, 1] = np.nan
    for mixture in (PoissonMixture(2), GammaMixture(2), GaussianMixture(2), StudentTMixture(2)):
        with pytest.raises(ValueError, match="All values of column 1 are missing"):
            mixture.fit(nothing + 1)
        frame = pd.DataFrame(nothing + 1, columns=["a", "size", "c"])
        with pytest.raises(ValueError, match="size"):
            mixture.fit(frame)
    Y = COUNTS.copy()
    Y[7, 2] = np.nan
    with pytest.raises(ValueError, match=r"row 7, column 2.*total.*drop it"):
        MultinomialMixture(2).fit(Y)
    D = DIRECTIONS.copy()
    D[9, 0] = np.nan
    with pytest.raises(ValueError, match=r"row 9, column 0.*length.*drop it"):
        VonMisesFisherMixture(2).fit(D)
    for mixture in (MultinomialMixture(2), VonMisesFisherMixture(2)):
        with pytest.raises(ValueError, match="All values of column 0, column 1, column 2 are"):
            mixture.fit(np.full((4, 3), np.nan))
    for mixture, bad in (
        (PoissonMixture(2), -1.0),
        (GammaMixture(2), -1.0),
        (PoissonMixture(2), np.inf),
    ):
        Y = with_holes(COUNTS) + 1
        Y[4, 0] = bad
        with pytest.raises(ValueError, match=r"Negative|infinity"):
            mixture.fit(Y)
    rows = sparse.csr_array(COUNTS)
    rows.data[3] = np.nan
    for mixture in (PoissonMixture(2), MultinomialMixture(2)):
        with pytest.raises(ValueError, match=r"NaN.*sparse.*dense"):
            mixture.fit(rows)


@pytest.mark.parametrize(
    "estimator", [BernoulliMixture, CategoricalMixture, PoissonMixture, GammaMixture]
)
def test_a_column_that_no_row_that_counts_has_is_named(estimator):
    X = pd.DataFrame(np.tile([[1.0, 1.0], [0.0, 1.0]], (10, 1)) + (estimator is GammaMixture))
    X.columns = ["here", "gone"]
    weight = np.repeat([0.0, 1.0], 10)
    X.loc[weight > 0, "gone"] = np.nan
    with pytest.raises(ValueError, match="All values of column 'gone' are missing"):
        estimator(1).fit(X, sample_weight=weight)


@pytest.mark.parametrize(
    "estimator",
    [
        BernoulliMixture,
        CategoricalMixture,
        PoissonMixture,
        GammaMixture,
        MultinomialMixture,
        VonMisesFisherMixture,
    ],
)
def test_a_block_may_lack_a_column(estimator):
    X = np.random.default_rng(0).integers(0, 2, (60, 2)) + 1.0 * (estimator is GammaMixture)
    X[:40, 1] = np.nan
    if estimator in (MultinomialMixture, VonMisesFisherMixture):  # which miss whole rows
        X[:40, 0], X[40:] = np.nan, np.tile([[0.6, 0.8], [0.8, 0.6]], (10, 1))
    model = estimator(1).fit_blocks(lambda: (X[i : i + 20] for i in range(0, 60, 20)))
    assert model.lower_bound_ == pytest.approx(estimator(1).fit(X).lower_bound_)
    with pytest.raises(ValueError, match=r"All values of .*column 1 are missing"):
        estimator(1).fit_blocks(lambda: [X[:20], X[20:40]])


def test_sparse_rows_come_back_as_they_are():
    rows = sparse.csr_array(COUNTS)
    model = PoissonMixture(2, random_state=0).fit(rows)
    assert (model.impute(rows) != rows).nnz == 0
    assert len(model.sample_imputations(rows, 3)) == 3


def test_methods_before_a_fit_and_numbers_of_draws():
    for model in (PoissonMixture(2), PoissonHMM(2)):
        with pytest.raises(NotFittedError):
            model.impute(COUNTS)
        with pytest.raises(NotFittedError):
            model.sample_imputations(COUNTS)
    model = PoissonMixture(2, random_state=0).fit(COUNTS)
    for n in (0, 1.5, "3"):
        with pytest.raises(ValueError, match="n_imputations"):
            model.sample_imputations(with_holes(COUNTS), n)
    with pytest.raises(ValueError, match="features"):
        model.impute(COUNTS[:, :2])


# ---------------------------------------------------------------- imputation


def test_a_gaussian_fills_in_by_regression():
    rng = np.random.RandomState(1)
    A = rng.normal(size=(3, 3))
    X = rng.normal(size=(200, 3)) @ A
    model = GaussianMixture(1, reg_covar=0.0).fit(X)
    Y = with_holes(X[:120])
    mean, covariance, filled = model.means_[0], model.covariances_[0], model.impute(Y)
    for y, found in zip(Y, filled, strict=True):
        m = np.isnan(y)
        slope = np.linalg.solve(covariance[np.ix_(~m, ~m)], covariance[np.ix_(~m, m)])
        np.testing.assert_allclose(found[m], mean[m] + (y[~m] - mean[~m]) @ slope, atol=1e-9)


def test_the_mode_of_categories_is_that_of_the_mixture():
    """Two components may agree against the most probable one."""
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.2, 0.8]])
    weights = [0.4, 0.3, 0.3]
    yes = BernoulliMixture.from_parameters(weights, probabilities=p[:, 1:])
    codes = CategoricalMixture.from_parameters(weights, probabilities=[p])
    assert yes.impute([[np.nan]]) == 1.0  # 0.04 + 0.24 + 0.24 of 1
    assert codes.impute([[np.nan]]) == 1


def test_draws_of_a_sequence_are_paths():
    """A chain that never goes back has no draw that does."""
    X = np.repeat([[0.0], [100.0], [200.0]], 6, axis=0) + np.random.RandomState(0).normal(
        size=(18, 1)
    )
    model = GaussianHMM(3, topology="left-right", random_state=0).fit(X)
    Y = X.copy()
    Y[3:15] = np.nan
    draws = model.sample_imputations(Y, 40, random_state=0)[:, :, 0]
    kinds = np.round(draws / 100)
    assert np.all(np.diff(kinds, axis=1) >= 0)
    assert len(np.unique(kinds, axis=0)) > 5
    two = [Y, Y[:5]]
    assert model.impute(two).shape == (23, 1)
    np.testing.assert_array_equal(model.impute(two), model.impute(np.vstack(two), lengths=[18, 5]))


def test_threads_change_no_bit():
    X = np.tile(with_holes(COUNTS), (5, 1))
    groups = np.repeat(np.arange(60), 10)
    with block_rows(50):
        for model, beside in (
            (PoissonMixture(3, random_state=0, max_iter=5), {}),
            (PoissonHMM(3, random_state=0, max_iter=5), {"groups": groups}),
        ):
            model.fit(X, **beside)
            one = model.set_params(n_jobs=1).sample_imputations(X, 3, 0, **beside)
            two = model.set_params(n_jobs=2).sample_imputations(X, 3, 0, **beside)
            np.testing.assert_array_equal(one, two)
        mixture = PoissonMixture(3, random_state=0, max_iter=5).fit(X)
        in_blocks = mixture.impute(X)
    np.testing.assert_allclose(in_blocks, mixture.impute(X), rtol=1e-12)


def frame():
    names = np.array(list("abc"))[Z]
    data = pd.DataFrame(
        {
            "count": pd.Series(COUNTS[:, 0]).astype("Int64"),
            "kind": pd.Series(names).astype("category"),
            "yes": pd.Series(Z > 1).astype("boolean"),
            "note": names,
            "size": POSITIVE[:, 0],
        },
        index=np.arange(120) * 2,
    )
    for row, column in enumerate(data.columns):
        data.iloc[10 + row, row] = pd.NA if column != "size" else np.nan
    data.iloc[30] = [pd.NA, np.nan, pd.NA, None, np.nan]
    return data


def test_data_frames_come_back_in_their_types():
    data = frame()
    model = MixedMixture(3, random_state=0).fit(data)
    filled, draws = model.impute(data), model.sample_imputations(data, 3, random_state=0)
    there = data.notna()
    for table in (filled, *draws):
        assert not table.isna().any().any()
        assert table.index.equals(data.index) and list(table.columns) == list(data.columns)
        pd.testing.assert_frame_equal(table.where(there), data.astype(table.dtypes).where(there))
    assert (
        str(draws[0].dtypes["count"]) == "Int64"
    )  # counts are drawn whole, and expected to be anything
    assert str(filled.dtypes["count"]) == "Float64"
    assert filled.dtypes["kind"] == data.dtypes["kind"] and filled.dtypes["yes"] == "boolean"
    assert model.impute(data.iloc[:5]).equals(data.iloc[:5])


def test_polars_frames_too():
    pl = pytest.importorskip("polars")
    data = pl.from_pandas(frame().reset_index(drop=True))
    model = MixedMixture(3, random_state=0).fit(data)
    filled = model.impute(data)
    assert filled.null_count().to_numpy().sum() == 0
    assert filled.schema["yes"] == pl.Boolean and filled.schema["kind"] == data.schema["kind"]
    expected = MixedMixture(3, random_state=0).fit(frame()).impute(frame())
    assert filled["kind"].to_list() == expected["kind"].tolist()


def test_columns_in_no_block_stay_as_they_are():
    X = np.c_[with_holes(COUNTS), np.full(120, np.nan)]
    product = Product([("count", "poisson", [2, 0]), ("other", "gaussian", [1])])
    filled = Mixture(2, distribution=product, random_state=0).fit(X).impute(X)
    assert np.isnan(filled[:, 3]).all() and not np.isnan(filled[:, :3]).any()
    np.testing.assert_array_equal(filled[:, :3][~HOLES], COUNTS[~HOLES])


def test_what_encoding_changes_comes_back_as_it_was():
    Y = with_holes(POSITIVE)
    for model in (
        BernoulliMixture(2, binarize=2.0, random_state=0).fit(Y),
        GammaMixture(2, floor=0.5, random_state=0).fit(Y),
    ):
        np.testing.assert_array_equal(model.impute(Y)[~HOLES], POSITIVE[~HOLES])
    codes = np.array([["a", "x"], ["b", "y"], ["a", None], [None, "y"]] * 5, dtype=object)
    model = CategoricalMixture(2, random_state=0).fit(codes)
    filled = model.impute(codes)
    assert filled.dtype == object and set(filled[:, 0]) == {"a", "b"}
    odd = np.array([["c", None]], dtype=object)  # unknown, and there
    model.set_params(handle_unknown="ignore")
    assert model.impute(odd)[0, 0] == "c" and model.impute(odd)[0, 1] in ("x", "y")


def test_a_search_fills_in_by_its_best_fit():
    Y = with_holes(COUNTS)
    search = MixtureSelector(PoissonMixture(random_state=0), {"n_components": [1, 3]}).fit(Y)
    np.testing.assert_array_equal(search.impute(Y), search.best_estimator_.impute(Y))
    drawn = search.sample_imputations(Y, 2, random_state=0)
    np.testing.assert_array_equal(drawn, search.best_estimator_.sample_imputations(Y, 2, 0))


def test_noise_has_the_sides_of_its_box_that_are_there():
    Y = with_holes(POSITIVE)
    model = GammaMixture(2, noise=True, random_state=0, max_iter=20).fit(Y)
    sides = np.diagonal(model.noise_edges_)
    assert np.count_nonzero(model.noise_edges_) == 3
    np.testing.assert_allclose(sides, np.nanmax(Y, axis=0) - np.nanmin(Y, axis=0))
    inside = np.array([np.nan, 3.0, np.nan])
    parts = [
        stats.gamma(model.shapes_[k, 1], scale=model.scales_[k, 1]).logpdf(3.0) for k in (0, 1)
    ]
    logs = np.log([*model.weights_, model.noise_weight_]) + [*parts, -np.log(sides[1])]
    assert np.isclose(model.score_samples([inside])[0], logsumexp(logs))


def test_messages_say_what_to_do():
    with pytest.raises(ValueError) as error:
        MultinomialMixture(2).fit(with_holes(COUNTS))
    assert re.search(r"\d+ such rows in all", str(error.value))
