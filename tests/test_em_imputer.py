"""EMImputer: what it computes, scikit-learn's conventions, data that are hard."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import stats
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from emlearn.datasets import load_airquality
from emlearn.distributions import NormalInverseWishart
from emlearn.impute import EMImputer
from emlearn.mixture import GaussianMixture


def make(n, d, share=0.15, n_factors=2, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n, n_factors)) @ rng.normal(size=(n_factors, d)) + 0.5 * rng.normal(
        size=(n, d)
    )
    return X, np.where(rng.uniform(size=X.shape) < share, np.nan, X)


def rmse(X, holes, filled):
    return float(np.sqrt(np.mean((filled - X)[np.isnan(holes)] ** 2)))


X, HOLES = make(400, 5)
EXACT = {"prior": None, "reg_covar": 0.0, "tol": 1e-13, "max_iter": 2000}


# ------------------------------------------------------------ what it computes


def test_air_quality_as_in_r():
    """Of the R packages norm, norm2 and lavaan, which agree."""
    air = load_airquality().data
    imputer = EMImputer(**EXACT).fit(air)
    mean = [41.8711730195973, 184.846806249845, 9.95751633986928, 77.8823529411765]
    row = [1044.01864306446, 942.529841813113, -64.6359276937034, 209.56350282617]
    np.testing.assert_allclose(imputer.location_, mean, rtol=1e-6)
    np.testing.assert_allclose(imputer.covariance_[0], row, rtol=1e-5)
    assert np.isclose(imputer.lower_bound_ * len(air), -2326.69738279834, atol=1e-6)
    expected = [[-11.4675743301359, 127.776609299733], [28, 182.106293147419]]
    np.testing.assert_allclose(imputer.transform(air)[4:6, :2], expected, rtol=1e-5)


def test_it_is_a_gaussian_mixture_of_scaled_columns():
    scaled = (HOLES - np.nanmean(HOLES, axis=0)) / np.nanstd(HOLES, axis=0)
    mixture = GaussianMixture(1, reg_covar=0.0, tol=1e-13, max_iter=2000).fit(scaled)
    back = mixture.impute(scaled) * np.nanstd(HOLES, axis=0) + np.nanmean(HOLES, axis=0)
    np.testing.assert_allclose(EMImputer(**EXACT).fit_transform(HOLES), back, atol=1e-7)


def test_without_holes_moments_are_those_of_the_rows():
    imputer = EMImputer(**EXACT).fit(X)
    np.testing.assert_allclose(imputer.location_, X.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(imputer.covariance_, np.cov(X.T, bias=True), atol=1e-12)
    np.testing.assert_array_equal(imputer.transform(X), X)


def test_less_error_than_chained_regressions():
    Y, holes = make(1500, 6, 0.2)
    theirs = IterativeImputer(random_state=0, max_iter=20).fit_transform(holes)
    assert rmse(Y, holes, EMImputer().fit_transform(holes)) < rmse(Y, holes, theirs)


def test_units_do_not_matter():
    units, offset = np.array([1e-9, 1e6, 1.0, 1e3, 1e-3]), np.array([0.0, 1e8, 5.0, -1e4, 0.0])
    for settings in ({}, {"n_components": 2, "random_state": 0}, {"covariance_type": "diag"}):
        plain = EMImputer(**settings).fit_transform(HOLES)
        found = EMImputer(**settings).fit_transform(HOLES * units + offset)
        np.testing.assert_allclose((found - offset) / units, plain, atol=1e-5)


def test_a_mixture_bends():
    """Two clusters across each other: one line through both says nothing."""
    rng = np.random.RandomState(0)
    t = rng.uniform(1.0, 3.0, size=400) * rng.choice([-1.0, 1.0], size=400)
    Y = np.c_[t, np.abs(t)] + 0.1 * rng.normal(size=(400, 2))
    holes = Y.copy()
    holes[::4, 1] = np.nan
    one, two = (EMImputer(n_components=k, random_state=0).fit_transform(holes) for k in (1, 2))
    assert rmse(Y, holes, two) < 0.4 * rmse(Y, holes, one)


def test_draws_vary_as_the_missing_values_do():
    rng = np.random.RandomState(0)
    Y = rng.multivariate_normal([0, 1], [[1.0, 0.6], [0.6, 1.0]], size=2000)
    Y[::3, 1] = np.nan
    imputer = EMImputer(random_state=0).fit(Y)
    draws = imputer.sample_imputations(Y, 20)[:, ::3, 1]
    errors = (draws - imputer.transform(Y)[::3, 1]).ravel()
    assert stats.kstest(errors[:3000] / 0.8, "norm").pvalue > 1e-3
    np.testing.assert_array_equal(draws, imputer.sample_imputations(Y, 20)[:, ::3, 1])


def test_sample_posterior():
    """A draw each call, of the seed."""
    imputer, again = (EMImputer(sample_posterior=True, random_state=3) for _ in range(2))
    first = imputer.fit_transform(HOLES)
    np.testing.assert_array_equal(first, again.fit_transform(HOLES))
    second = imputer.transform(HOLES)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(second, again.transform(HOLES))
    np.testing.assert_array_equal(first[~np.isnan(HOLES)], HOLES[~np.isnan(HOLES)])


def test_priors():
    """In the units of the data; a strong one decides."""
    mean = np.array([50.0, -30.0, 0.0, 1.0, 2.0])
    prior = NormalInverseWishart(mean, 1e9, 1e9, 4.0 * (1e9 + 6))
    imputer = EMImputer(prior=prior).fit(HOLES)
    np.testing.assert_allclose(imputer.location_, mean, atol=1e-4)
    np.testing.assert_allclose(imputer.covariance_, 4.0 * np.eye(5), atol=1e-3)
    with pytest.raises(ValueError, match="5 columns"):
        EMImputer(prior=NormalInverseWishart(np.zeros(3))).fit(HOLES)


def test_the_default_prior_is_so_many_rows():
    Y = X - X.mean(axis=0)
    Y /= Y.std(axis=0)
    m = 2 * 5 + 3
    expected = (len(Y) * np.cov(Y.T, bias=True) + m * np.eye(5)) / (len(Y) + m)
    found = EMImputer(reg_covar=0.0).fit(Y).covariance_
    np.testing.assert_allclose(found, expected, atol=1e-12)


# ---------------------------------------------------------------- hard data


def hard():
    rng = np.random.RandomState(0)
    Y, holes = make(60, 4)
    constant = np.where(rng.uniform(size=60) < 0.3, np.nan, 7.25)
    yield "constant", np.c_[holes, constant]
    yield "duplicated", np.c_[holes, np.where(rng.uniform(size=60) < 0.2, np.nan, Y[:, 0])]
    yield "collinear", np.c_[holes, np.where(rng.uniform(size=60) < 0.2, np.nan, Y @ [1, 2, -1, 3])]
    yield "all missing", np.c_[holes, np.full(60, np.nan)]
    empty = holes.copy()
    empty[5:9] = np.nan
    yield "rows without a value", empty
    yield "as many columns as rows", make(20, 20)[1]
    yield "more columns than rows", make(15, 30)[1]
    yield "one value in a column", np.c_[holes, np.r_[3.0, np.full(59, np.nan)]]
    yield "nothing varies", np.array([[1.0, 2.0], [np.nan, 2.0], [1.0, np.nan]])
    yield "far from the origin", holes + 1e9
    yield "huge", holes * 1e300
    yield "tiny", holes * 1e-300


@pytest.mark.filterwarnings("ignore:Columns")
@pytest.mark.parametrize(("name", "Y"), list(hard()), ids=[name for name, _ in hard()])
@pytest.mark.parametrize("n_components", [1, 2])
def test_hard_data(name, Y, n_components):
    imputer = EMImputer(n_components=n_components, random_state=0)
    filled = imputer.fit_transform(Y)
    kept = Y[:, ~np.isnan(Y).all(axis=0)]
    assert filled.shape == kept.shape and np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[~np.isnan(kept)], kept[~np.isnan(kept)])
    if name == "constant":
        assert np.all(filled[:, 4] == 7.25)
        assert imputer.covariance_[4].tolist() == [0.0] * 5
    if name == "one value in a column":
        assert np.all(filled[:, 4] == 3.0)
    if name == "nothing varies":
        assert imputer.mixture_ is None and np.all(filled == [1.0, 2.0])
        assert imputer.sample_imputations(Y, 2).shape == (2, 3, 2)
    if name == "duplicated" and n_components == 1:
        known = np.isnan(Y[:, 4]) & ~np.isnan(Y[:, 0])
        plain = EMImputer(prior=None).fit_transform(Y)
        np.testing.assert_allclose(plain[known, 4], Y[known, 0], atol=1e-3)
    again = imputer.sample_imputations(Y, 2, random_state=0)
    assert np.isfinite(again).all()


def test_a_prior_for_few_rows():
    """Where columns are nearly as many as rows, it saves most of the error."""
    Y, holes = make(45, 40, 0.1, seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = rmse(Y, holes, EMImputer(prior=None).fit_transform(holes))
    assert rmse(Y, holes, EMImputer().fit_transform(holes)) < 0.9 * plain


# -------------------------------------------------------------- conventions


@pytest.mark.filterwarnings("ignore:Columns")
@pytest.mark.filterwarnings("ignore:Skipping features")
@pytest.mark.parametrize("keep_empty_features", [False, True])
@pytest.mark.parametrize("add_indicator", [False, True])
@pytest.mark.parametrize("missing_values", [np.nan, -99, None])
def test_columns_are_those_of_scikit_learn(keep_empty_features, add_indicator, missing_values):
    """Their shapes, names and indicators, in numbers and in data frames."""
    Y = np.c_[HOLES[:, 0], np.full(400, np.nan), X[:, 1], HOLES[:, 2]]
    frame = pd.DataFrame(Y, columns=list("abcd"))
    settings = {"add_indicator": add_indicator, "keep_empty_features": keep_empty_features}
    theirs = SimpleImputer(**settings).set_output(transform="pandas")
    expected = theirs.fit_transform(frame)
    marker = missing_values
    coded = frame if marker is None else frame.fillna(marker)
    ours = EMImputer(missing_values=marker, **settings).set_output(transform="pandas")
    found = ours.fit_transform(coded)
    assert list(found.columns) == list(expected.columns)
    assert list(ours.get_feature_names_out()) == list(theirs.get_feature_names_out())
    names = [name for name in found.columns if name.startswith("missing")]
    np.testing.assert_array_equal(found[names], expected[names])
    if keep_empty_features:
        assert np.all(found["b"] == 0.0)
    there = frame["a"].notna()
    np.testing.assert_array_equal(found["a"][there], frame["a"][there])
    array = EMImputer(missing_values=marker, **settings).fit_transform(coded.to_numpy())
    np.testing.assert_allclose(array, found)
    if add_indicator:
        mask = MissingIndicator().fit_transform(Y)
        np.testing.assert_array_equal(array[:, -mask.shape[1] :], mask)


def test_markers_of_missing_values():
    expected = EMImputer().fit_transform(HOLES)
    objects = np.where(np.isnan(HOLES), None, HOLES)
    np.testing.assert_array_equal(EMImputer().fit_transform(objects), expected)
    objects = np.where(np.isnan(HOLES), pd.NA, HOLES)
    np.testing.assert_array_equal(EMImputer(missing_values=pd.NA).fit_transform(objects), expected)
    nullable = pd.DataFrame(HOLES).astype("Float64")
    found = EMImputer(missing_values=pd.NA).fit_transform(nullable)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    counts = np.array([[1, 2], [2, -1], [3, 6], [-1, 8], [5, 11]])
    filled = EMImputer(missing_values=-1, prior=None).fit_transform(counts)
    assert 3.5 < filled[1, 1] < 4.5 and filled[0, 0] == 1.0


def test_columns_that_are_missing_later_only():
    """An indicator of fit says nothing of them; they are filled all the same."""
    imputer = EMImputer(add_indicator=True).fit(np.c_[HOLES[:, :2], X[:, 2:]])
    filled = imputer.transform(HOLES)
    assert filled.shape == (400, 7) and np.isfinite(filled).all()
    assert np.isfinite(imputer.transform(np.full((2, 5), np.nan))).all()


def test_bad_input():
    with pytest.raises(NotFittedError):
        EMImputer().transform(X)
    with pytest.raises(NotFittedError):
        EMImputer().sample_imputations(X)
    bad = HOLES.copy()
    bad[3, 2] = np.inf
    with pytest.raises(ValueError, match=r"infinity[\s\S]*column 2"):
        EMImputer().fit(bad)
    with pytest.raises(ValueError, match="NaN"):
        EMImputer(missing_values=-1).fit(HOLES)
    with pytest.raises(ValueError, match="5 features"):
        EMImputer().fit(HOLES).transform(HOLES[:, :3])
    with pytest.raises(ValueError, match="n_imputations"):
        EMImputer().fit(HOLES).sample_imputations(HOLES, 0)
    for settings in ({"prior": "strong"}, {"missing_values": "x"}, {"n_components": 0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            EMImputer(**settings).fit(HOLES)
    with pytest.warns(UserWarning, match=r"Columns \[1\].*keep_empty_features"):
        EMImputer().fit(np.c_[X[:, 0], np.full(400, np.nan)])
    with pytest.raises(ValueError, match="n_imputations must be a whole number"):
        EMImputer().fit(np.ones((4, 2))).sample_imputations(np.ones((4, 2)), 0)


def test_weights_and_float32():
    weights = np.arange(400) % 3
    ours = EMImputer(**EXACT).fit(HOLES, sample_weight=weights)
    theirs = EMImputer(**EXACT).fit(np.repeat(HOLES, weights, axis=0))
    np.testing.assert_allclose(ours.covariance_, theirs.covariance_, rtol=1e-8)
    single = EMImputer().fit(HOLES.astype(np.float32))
    filled = single.transform(HOLES.astype(np.float32))
    assert filled.dtype == np.float32 and single.covariance_.dtype == np.float32
    np.testing.assert_allclose(filled, EMImputer().fit_transform(HOLES), atol=1e-3)


def test_in_a_pipeline():
    y = X[:, 0] - X[:, 3]
    model = make_pipeline(EMImputer(random_state=0), LinearRegression())
    with sklearn.config_context(enable_metadata_routing=False):
        assert model.fit(HOLES, y).score(HOLES, y) > 0.8
