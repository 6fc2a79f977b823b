"""Data and arguments that a family does not have: refused by column, with what was found and what to do."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from scipy.stats import gamma as gamma_distribution

from emlearn.distributions import (
    Bernoulli,
    Categorical,
    ConjugatePrior,
    Gamma,
    Gaussian,
    Multinomial,
    NormalInverseWishart,
    Poisson,
    Product,
    ProductPrior,
    StudentT,
    VonMisesFisher,
)
from emlearn.exceptions import DegenerateComponentsWarning, SingularError
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

rng = np.random.RandomState(0)
NAMES = ["height", "weight", "age"]
NUMBERS = rng.randn(30, 3)
COUNTS = rng.poisson([1, 5, 9], size=(30, 3)).astype(float)
BINARY = (rng.rand(30, 3) < 0.5).astype(float)
CODES = rng.randint(0, 3, size=(30, 3))
WORDS = np.array(["u", "v", "w"])[CODES]
POSITIVE = rng.gamma(2.0, size=(30, 3))
DIRECTIONS = NUMBERS / np.linalg.norm(NUMBERS, axis=1, keepdims=True)
FRAME = pd.DataFrame(
    {
        "x": NUMBERS[:, 0],
        "n": COUNTS[:, 0].astype(int),
        "k": WORDS[:, 0],
        "y": BINARY[:, 0].astype(bool),
    }
)

FAMILIES = {
    GaussianMixture: NUMBERS,
    StudentTMixture: NUMBERS,
    BernoulliMixture: BINARY,
    CategoricalMixture: CODES.astype(float),
    PoissonMixture: COUNTS,
    MultinomialMixture: COUNTS,
    VonMisesFisherMixture: DIRECTIONS,
    GammaMixture: POSITIVE,
    MixedMixture: NUMBERS,
}
TAKE_MISSING = (
    BernoulliMixture,
    CategoricalMixture,
    GaussianMixture,
    StudentTMixture,
    MixedMixture,
    PoissonMixture,
    GammaMixture,
)
every_family = pytest.mark.parametrize("estimator", FAMILIES, ids=lambda e: e.__name__)


def cell(X, value, row=4, column=1):
    X = X.astype(object if isinstance(value, str) else np.result_type(X, type(value)))
    X[row, column] = value
    return X


def frame(X):
    return pd.DataFrame(X, columns=NAMES)


def refused(call, *words, error=(ValueError, TypeError)):
    """The call raises an error that says all of the words."""
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert type(caught.value).__name__ != "KeyError", text
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"
    return text


def small(estimator, **parameters):
    return estimator(**{"n_components": 2, "random_state": 0, **parameters})


# --------------------------------------------------------- what no family has


@every_family
@pytest.mark.parametrize("value, word", [(np.nan, "NaN"), (np.inf, "infinity")])
def test_cells_that_are_not_finite(estimator, value, word):
    X = FAMILIES[estimator]
    fitted = small(estimator).fit(frame(X))
    bad = cell(X, value)
    if value != value and estimator in TAKE_MISSING:
        mixture = small(estimator).fit(bad)  # documented: a missing cell may be anything
        assert np.isfinite(mixture.predict_proba(bad)).all()
        return
    for call in (small(estimator).fit, fitted.predict, fitted.score):
        text = refused(lambda call=call: call(frame(bad)), word, "'weight'")
        assert "'height'" not in text and "'age'" not in text
    refused(lambda: small(estimator).fit(bad), word, "column 1")


@every_family
def test_shapes(estimator):
    X = FAMILIES[estimator]
    fitted = small(estimator).fit(X)
    for call in (small(estimator).fit, fitted.predict):
        refused(lambda call=call: call(X[:, 0]), "Expected 2D array", "Reshape")
        refused(lambda call=call: call(X[None]), "dim 3")
        refused(lambda call=call: call(X[:0]), "0 sample")
    refused(lambda: small(estimator).fit(X[:, :0]), "0 feature")
    refused(lambda: small(estimator).fit(X[:1]), "1 sample", "minimum of 2")
    refused(lambda: fitted.predict(X[:, :2]), "X has 2 features", "expecting 3")
    refused(lambda: fitted.predict(np.c_[X, X]), "X has 6 features", "expecting 3")


@every_family
def test_names_of_columns(estimator):
    data = frame(FAMILIES[estimator])
    fitted = small(estimator).fit(data)
    refused(lambda: fitted.predict(data.rename(columns={"weight": "mass"})), "mass", "weight")
    refused(lambda: fitted.predict(data[NAMES[::-1]]), "same order")
    refused(lambda: fitted.predict(data[NAMES[:2]]), "now missing", "age")


@every_family
def test_complex_numbers(estimator):
    X = FAMILIES[estimator]
    refused(lambda: small(estimator).fit(X + 1j), "Complex data not supported", error=ValueError)


@every_family
def test_strings(estimator):
    X = FAMILIES[estimator]
    data = frame(X).assign(weight=["low", "high"] * 15)
    if estimator in (CategoricalMixture, MixedMixture):
        small(estimator).fit(data)  # categories
        return
    text = refused(lambda: small(estimator).fit(data), "'weight'", "encode")
    assert "'height'" not in text
    refused(lambda: small(estimator).fit(cell(X, "high")), "'high'", "column 1")


@every_family
def test_sparse_rows_where_there_is_no_way(estimator):
    X = sparse.csr_array(FAMILIES[estimator])
    if estimator in (BernoulliMixture, PoissonMixture, MultinomialMixture, VonMisesFisherMixture):
        small(estimator).fit(X)
        return
    refused(lambda: small(estimator).fit(X), "dense", error=TypeError)


@every_family
@pytest.mark.parametrize(
    "parameter, value, words",
    [
        ("n_components", 31, ["n_components = 31", "n_samples = 30"]),
        ("n_components", 2.0, ["n_components", "int", "2.0"]),
        ("n_components", 0, ["n_components", "[1, inf)", "0"]),
        ("prior", "vague", ["prior", "'default'", "'vague'"]),
        ("prior", 3.0, ["prior", "Prior", "3.0"]),
        ("weight_concentration_prior", 0.5, ["weight_concentration_prior", "[1.0, inf)", "0.5"]),
        ("weight_concentration_prior", np.nan, ["weight_concentration_prior", "nan"]),
        ("init_params", {"weights": [0.5, 0.5]}, ["init_params", "missing", "labels"]),
        ("init_params", np.zeros(7, dtype=int), ["init_params", "30", "7"]),
    ],
)
def test_arguments_of_every_mixture(estimator, parameter, value, words):
    refused(lambda: small(estimator, **{parameter: value}).fit(FAMILIES[estimator]), *words)


@every_family
def test_the_prior_of_another_family(estimator):
    own = estimator._family.default_prior
    for other in {NormalInverseWishart, ConjugatePrior, ProductPrior} - {own}:
        mixture = small(estimator, prior=other())
        refused(
            lambda mixture=mixture: mixture.fit(FAMILIES[estimator]), own.__name__, other.__name__
        )


@every_family
def test_a_column_with_one_value(estimator):
    """Fitted soundly, or a warning or an error that says what to do."""
    X = FAMILIES[estimator].copy()
    X[:, 1] = 1.0
    if estimator is VonMisesFisherMixture:
        X[:, 1] = 0.5
        X[:, [0, 2]] *= np.sqrt(0.75) / np.linalg.norm(X[:, [0, 2]], axis=1, keepdims=True)
    if estimator is GammaMixture:
        refused(
            lambda: small(estimator).fit(X), "Column 1", "one value", "drop", error=SingularError
        )
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mixture = small(estimator).fit(X)
    assert np.isfinite(mixture.score_samples(X)).all()
    if estimator in (GaussianMixture, StudentTMixture, MixedMixture):
        assert [w.category for w in caught] == [DegenerateComponentsWarning]
        assert "constant" in str(caught[0].message) and "reg_covar" in str(caught[0].message)
    else:
        assert not caught


@every_family
@pytest.mark.parametrize("library", [pd, pl])
def test_frames_of_two_libraries(estimator, library):
    X = FAMILIES[estimator]
    data = library.DataFrame(dict(zip(NAMES, X.T, strict=True)))
    mixture = small(estimator).fit(data)
    assert list(mixture.feature_names_in_) == NAMES
    plain = small(estimator).fit(X)
    np.testing.assert_allclose(
        mixture.score_samples(data), plain.score_samples(X), rtol=1e-9
    )  # a frame lies by columns


@every_family
def test_missing_values_of_pandas(estimator):
    data = frame(FAMILIES[estimator]).astype("Float64")
    whole = small(estimator).fit(data)
    plain = small(estimator).fit(FAMILIES[estimator])
    np.testing.assert_allclose(whole.weights_, plain.weights_, rtol=1e-9)
    data.iloc[4, 1] = pd.NA
    if estimator in TAKE_MISSING:
        mixture = small(estimator).fit(data)
        expected = small(estimator).fit(cell(FAMILIES[estimator], np.nan))
        np.testing.assert_allclose(mixture.weights_, expected.weights_, rtol=1e-12)
    else:
        refused(lambda: small(estimator).fit(data), "NaN")


# ---------------------------------------------------------------------- counts


@pytest.mark.parametrize("estimator", [PoissonMixture, MultinomialMixture])
@pytest.mark.parametrize("form", [np.array, sparse.csr_array, sparse.csc_matrix, frame])
def test_negative_counts(estimator, form):
    bad = cell(COUNTS, -2.0)
    name = "column 'weight'" if form is frame else "column 1"
    words = ["Negative values", name, "-2 in row 4", "1 such", "Drop"]
    refused(lambda: small(estimator).fit(form(bad)), *words)
    fitted = small(estimator).fit(form(COUNTS))
    refused(lambda: fitted.predict(form(bad)), *words)


@pytest.mark.parametrize("estimator", [PoissonMixture, MultinomialMixture])
def test_fractional_counts_are_taken_as_they_are(estimator):
    X = COUNTS + 0.25
    mixture = small(estimator, n_components=1).fit(X)
    means = X.mean(axis=0)
    if estimator is PoissonMixture:
        np.testing.assert_allclose(mixture.rates_[0], means, rtol=1e-12)
    else:
        np.testing.assert_allclose(mixture.probabilities_[0], means / means.sum(), rtol=1e-12)
    assert np.isfinite(mixture.score_samples(X)).all()


def test_rows_without_counts_say_nothing():
    X = np.r_[COUNTS, np.zeros((5, 3))]
    mixture = small(MultinomialMixture, tol=1e-12, max_iter=1000).fit(X)
    for zeros in (np.zeros((2, 3)), sparse.csr_array((2, 3))):
        np.testing.assert_allclose(mixture.predict_proba(zeros), [mixture.weights_] * 2, rtol=1e-12)
        np.testing.assert_allclose(mixture.score_samples(zeros), 0.0, atol=1e-12)


@pytest.mark.parametrize("form", [np.array, sparse.csr_array])
def test_no_counts_at_all(form):
    zeros = form(0 * COUNTS)
    refused(lambda: small(MultinomialMixture).fit(zeros), "no count", "Give rows with counts")
    mixture = small(PoissonMixture).fit(zeros)  # rates of 0 are Poisson's
    np.testing.assert_array_equal(mixture.rates_, 0.0)
    np.testing.assert_allclose(mixture.score_samples(zeros), 0.0, atol=1e-12)


def test_counts_in_rows_of_no_weight_only():
    X = np.r_[0 * COUNTS, COUNTS]
    weight = np.r_[np.ones(30), np.zeros(30)]
    refused(
        lambda: small(MultinomialMixture).fit(X, sample_weight=weight),
        "say nothing",
        "sample weights",
        error=SingularError,
    )


# ------------------------------------------------------------- zeros and ones


@pytest.mark.parametrize("value", [0.5, 2.0, -1.0])
def test_values_that_are_no_zeros_and_ones(value):
    bad = cell(BINARY, value)
    words = ["Zeros and ones", f"{value:g} in row 4", "binarize"]
    refused(lambda: small(BernoulliMixture, binarize=None).fit(bad), "column 1", *words)
    refused(lambda: small(BernoulliMixture, binarize=None).fit(frame(bad)), "'weight'", *words)
    refused(
        lambda: small(BernoulliMixture, binarize=None).fit(sparse.csr_array(bad)),
        "column 1",
        *words,
    )
    mixture = small(BernoulliMixture, binarize=0.75).fit(bad)
    same = small(BernoulliMixture, binarize=None).fit((bad > 0.75).astype(float))
    np.testing.assert_array_equal(mixture.probabilities_, same.probabilities_)


def test_booleans_are_zeros_and_ones():
    a = small(BernoulliMixture, binarize=None).fit(BINARY.astype(bool))
    b = small(BernoulliMixture).fit(BINARY)
    np.testing.assert_array_equal(a.probabilities_, b.probabilities_)


def test_sparse_zeros_and_ones():
    refused(
        lambda: small(BernoulliMixture).fit(sparse.csr_array(cell(BINARY, np.nan))),
        "NaN",
        "column 1",
        "dense",
    )
    refused(
        lambda: small(BernoulliMixture, binarize=-0.5).fit(sparse.csr_array(BINARY)),
        "binarize",
        "sparse",
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, "0"])
def test_thresholds_that_are_none(value):
    refused(lambda: small(BernoulliMixture, binarize=value).fit(BINARY), "binarize", repr(value))


@pytest.mark.parametrize("estimator", TAKE_MISSING)
def test_a_column_that_is_all_missing(estimator):
    X = FAMILIES[estimator].copy()
    X[:, 1] = np.nan
    refused(lambda: small(estimator).fit(frame(X)), "All values", "'weight'", "missing", "Drop")
    # the same where the rows that have a value have no weight
    X[:10, 1] = 1.0
    refused(
        lambda: small(estimator).fit(X, sample_weight=np.arange(30) >= 10),
        "All values of column 1",
        "Drop",
    )


# ------------------------------------------------------------------ categories


def test_unknown_categories():
    for X, odd in ((CODES, 7), (WORDS, "q")):
        fitted = small(CategoricalMixture).fit(frame(X))
        bad = frame(cell(X, odd))
        refused(
            lambda fitted=fitted, bad=bad: fitted.predict(bad),
            "unknown categories",
            repr(odd),
            "column 'weight'",
            "handle_unknown='ignore'",
        )


@pytest.mark.parametrize("X, odd, missing", [(CODES, 7, np.nan), (WORDS, "q", None)])
def test_an_ignored_category_is_a_missing_cell(X, odd, missing):
    mixture = small(CategoricalMixture, handle_unknown="ignore").fit(X)
    bad, gap = cell(X, odd), X.astype(object)
    gap[4, 1] = missing
    for method in ("predict_proba", "score_samples"):
        found = getattr(mixture, method)(bad)
        np.testing.assert_array_equal(found, getattr(mixture, method)(gap))
    # the missing cell says nothing: the other two decide
    log_joint = np.log(mixture.weights_)
    for j in (0, 2):
        code = np.flatnonzero(mixture.categories_[j] == X[4, j])[0]
        log_joint = log_joint + np.log(mixture.probabilities_[j][:, code])
    assert mixture.score_samples(bad)[4] == pytest.approx(np.logaddexp(*log_joint), rel=1e-12)
    mixture.categories = [c[:2].tolist() for c in mixture.categories_]
    refit = mixture.fit(X)  # in fit as well
    assert [p.shape for p in refit.probabilities_] == [(2, 2)] * 3


def test_categories_that_the_data_do_not_have():
    """A category of the user's that no row has gets probability 0, without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given = small(CategoricalMixture, categories=[["z", "u", "v", "w"]] * 3).fit(WORDS)
        found = small(CategoricalMixture).fit(WORDS)
        for a, b in zip(given.probabilities_, found.probabilities_, strict=True):
            np.testing.assert_array_equal(a[:, 0], 0.0)
            np.testing.assert_allclose(a[:, 1:], b, rtol=1e-10)
        impossible = [["z", "u", "u"]]
        assert given.score(impossible) == -np.inf
        assert np.isfinite(given.predict_proba(impossible)).all()
        assert given.n_parameters_ == 1 + 2 * 3 * 3


def test_the_order_of_given_categories_is_kept():
    mixture = small(CategoricalMixture, categories=[["w", "u", "v"]] * 3).fit(WORDS)
    assert [c.tolist() for c in mixture.categories_] == [["w", "u", "v"]] * 3
    shares = [np.mean(WORDS[:, 0] == c) for c in "wuv"]
    one = small(CategoricalMixture, n_components=1, categories=[["w", "u", "v"]] * 3).fit(WORDS)
    np.testing.assert_allclose(one.probabilities_[0][0], shares, rtol=1e-12)


@pytest.mark.parametrize(
    "categories, words",
    [
        ([[0, 1, 2]], ["3 columns", "got 1"]),
        ([[0, 1, 2, 2], [0, 1, 2], [0, 1, 2]], ["'height'", "distinct", "[0, 1, 2, 2]"]),
        ([[0, 1, 2], [], [0, 1, 2]], ["'weight'", "distinct", "[]"]),
        ([[0, 1, 2], [0, 1, 2], [0, 1, 2, np.nan]], ["'age'", "missing", "nan"]),
        ([3, 3, 3], ["'height'", "list", "3"]),
        ([[0, 1], [0, 1, 2], [0, 1, 2]], ["unknown categories [2]", "'height'"]),
        ("all", ["categories", "'auto'", "'all'"]),
    ],
)
def test_categories_that_are_none(categories, words):
    mixture = small(CategoricalMixture, categories=categories)
    refused(lambda: mixture.fit(frame(CODES)), *words)


def test_a_column_of_numbers_and_strings():
    data = pd.DataFrame({"kind": [1, "x", 2] * 10, "size": ["s", "m", "s"] * 10})
    refused(lambda: small(CategoricalMixture).fit(data), "'kind'", "mixes types", "strings")


def test_columns_of_their_own_types_each():
    X = np.array([[1, "x"], [2, "y"], [1, "x"], [2, "y"]], dtype=object)
    mixture = small(CategoricalMixture).fit(X)
    assert [c.tolist() for c in mixture.categories_] == [[1, 2], ["x", "y"]]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_categorical_columns(library):
    """Categories that no row has are not learned; a null is a missing cell."""
    kinds, sizes = ["u", "v"] * 15, ["s", "m", None] * 10
    if library == "pandas":
        data = pd.DataFrame({"kind": pd.Categorical(kinds, categories=["w", "u", "v"])})
        data["size"] = pd.Categorical(sizes)
    else:
        kind = pl.Series(kinds, dtype=pl.Enum(["w", "u", "v"]))
        data = pl.DataFrame({"kind": kind, "size": pl.Series(sizes, dtype=pl.Categorical)})
    mixture = small(CategoricalMixture).fit(data)
    assert [c.tolist() for c in mixture.categories_] == [["u", "v"], ["m", "s"]]
    plain = np.array([kinds, sizes], dtype=object).T
    same = small(CategoricalMixture).fit(plain)
    np.testing.assert_array_equal(mixture.predict_proba(data), same.predict_proba(plain))


# ------------------------------------------------------------ positive numbers


@pytest.mark.parametrize("form, name", [(np.array, "column 1"), (frame, "column 'weight'")])
def test_numbers_that_are_not_positive(form, name):
    negative, zero = form(cell(POSITIVE, -1.0)), form(cell(POSITIVE, 0.0))
    for settings in ({}, {"floor": 0.1}, {"fixed_shape": 1.0}):
        mixture = small(GammaMixture, **settings)
        refused(lambda mixture=mixture: mixture.fit(negative), "Negative", name, "-1 in row 4")
    for settings in ({}, {"fixed_shape": 2.0}, {"fixed_shape": 0.5}):
        mixture = small(GammaMixture, **settings)
        refused(lambda mixture=mixture: mixture.fit(zero), "positive", name, "0 in row 4", "floor")
    raised = small(GammaMixture, floor=0.1).fit(zero)
    same = small(GammaMixture).fit(np.maximum(cell(POSITIVE, 0.0), 0.1))
    np.testing.assert_array_equal(raised.shapes_, same.shapes_)


def test_exponential_distributions_have_zero():
    X = cell(POSITIVE, 0.0)
    mixture = small(GammaMixture, n_components=1, fixed_shape=1.0).fit(X)
    expected = gamma_distribution.logpdf(X, 1.0, scale=X.mean(axis=0)).sum(axis=1)
    np.testing.assert_allclose(mixture.score_samples(X), expected, rtol=1e-12)
    refused(
        lambda: small(GammaMixture, fixed_shape=1.0).fit(POSITIVE * [1, 0, 1]),
        "All values",
        "drop",
        error=SingularError,
    )


# ------------------------------------------------------------------ directions


def test_rows_that_are_no_unit_vectors():
    bad = DIRECTIONS.copy()
    bad[4] *= 2
    refused(
        lambda: small(VonMisesFisherMixture).fit(bad),
        "length 1",
        "2 in row 4",
        "1 such",
        "normalize=True",
    )
    bad[4] = 0
    for normalize in (False, True):
        mixture = small(VonMisesFisherMixture, normalize=normalize)
        refused(lambda mixture=mixture: mixture.fit(bad), "Row 4", "all zero", "Drop")


# ------------------------------------------------------------- hyper-parameters


@pytest.mark.parametrize(
    "estimator, settings, words",
    [
        (StudentTMixture, {"degrees_of_freedom": 0.0}, ["degrees_of_freedom", "0.0"]),
        (StudentTMixture, {"degrees_of_freedom": np.inf}, ["degrees_of_freedom", "inf"]),
        (StudentTMixture, {"degrees_of_freedom": "fixed"}, ["'free'", "'fixed'"]),
        (StudentTMixture, {"degrees_of_freedom_bounds": (5.0, 1.0)}, ["bounds", "(5.0, 1.0)"]),
        (StudentTMixture, {"degrees_of_freedom_bounds": (0.0, 9.0)}, ["bounds", "above 0"]),
        (StudentTMixture, {"degrees_of_freedom_bounds": (np.nan, 9.0)}, ["bounds", "nan"]),
        (StudentTMixture, {"degrees_of_freedom_bounds": (1.0,)}, ["bounds", "two numbers"]),
        (StudentTMixture, {"degrees_of_freedom_bounds": ("a", "b")}, ["bounds", "'a'"]),
        (StudentTMixture, {"degrees_of_freedom_bounds": 7.0}, ["bounds", "tuple"]),
        (GammaMixture, {"fixed_shape": 0.0}, ["fixed_shape", "0.0"]),
        (GammaMixture, {"floor": -1.0}, ["floor", "-1.0"]),
        (VonMisesFisherMixture, {"concentration": "high"}, ["concentration", "'high'"]),
        (CategoricalMixture, {"handle_unknown": "drop"}, ["handle_unknown", "'drop'"]),
    ],
)
def test_hyper_parameters_of_a_family(estimator, settings, words):
    refused(lambda: small(estimator, **settings).fit(FAMILIES[estimator]), *words)


@pytest.mark.parametrize(
    "distribution, X, words",
    [
        (Gaussian("fulll"), NUMBERS, ["covariance_type", "Gaussian", "'fulll'"]),
        (Gaussian(reg_covar=-1.0), NUMBERS, ["reg_covar", "-1.0"]),
        (Gaussian("factor", n_factors=0), NUMBERS, ["n_factors", "0"]),
        (StudentT(degrees_of_freedom=-1.0), NUMBERS, ["degrees_of_freedom", "-1.0"]),
        (StudentT(degrees_of_freedom_bounds=(3.0, 2.0)), NUMBERS, ["bounds", "(3.0, 2.0)"]),
        (Gamma(fixed_shape=-1.0), POSITIVE, ["fixed_shape", "-1.0"]),
        (VonMisesFisher("high"), DIRECTIONS, ["concentration", "'high'"]),
        (Bernoulli(binarize=np.nan), BINARY, ["binarize", "nan"]),
        (Categorical(handle_unknown="drop"), CODES, ["handle_unknown", "'drop'"]),
        (Product("all"), NUMBERS, ["blocks", "'all'"]),
        (Product([("g", Gamma(floor=-1.0), [0])]), POSITIVE, ["floor", "-1.0"]),
        (Gaussian, NUMBERS, ["distribution", "Gaussian"]),
        ("gaussian", NUMBERS, ["distribution", "'gaussian'"]),
    ],
)
def test_hyper_parameters_are_checked_through_a_mixture_too(distribution, X, words):
    refused(lambda: Mixture(2, distribution=distribution).fit(X), *words)


@pytest.mark.parametrize("noise", [0.0, -1.0, np.nan, np.inf, "yes", None])
@pytest.mark.parametrize("estimator", [GaussianMixture, StudentTMixture, GammaMixture, Mixture])
def test_noise_that_is_no_volume(estimator, noise):
    refused(lambda: small(estimator, noise=noise).fit(POSITIVE), "noise", repr(noise))


@pytest.mark.parametrize(
    "distribution, X",
    [
        (Poisson(), COUNTS),
        (Bernoulli(), BINARY),
        (Categorical(), CODES),
        (Multinomial(), COUNTS),
        (VonMisesFisher(), DIRECTIONS),
        (Product([("n", "poisson", [0, 1])]), COUNTS),
    ],
)
def test_noise_beside_a_family_without_a_volume(distribution, X):
    refused(
        lambda: Mixture(2, distribution=distribution, noise=True).fit(X),
        "noise",
        type(distribution).__name__,
        "noise=False",
    )


@pytest.mark.parametrize("noise", [True, 3.0])
def test_noise_in_a_region_without_a_volume(noise):
    refused(
        lambda: small(GaussianMixture, noise=noise).fit(NUMBERS * [1, 0, 1]),
        "noise",
        "[1]",
        "one value",
        "Drop",
    )


@pytest.mark.parametrize(
    "estimator, prior, words",
    [
        (PoissonMixture, ConjugatePrior(0.0), ["count", "above 0", "0.0"]),
        (PoissonMixture, ConjugatePrior(np.inf), ["count", "inf"]),
        (PoissonMixture, ConjugatePrior("many"), ["count", "'many'"]),
        (PoissonMixture, ConjugatePrior(mean=[1.0]), ["mean", "(3,)", "(1,)"]),
        (PoissonMixture, ConjugatePrior(mean=[1.0, -1.0, 1.0]), ["mean", "negative"]),
        (PoissonMixture, ConjugatePrior(mean=[1.0, np.nan, 1.0]), ["mean", "finite", "nan"]),
        (PoissonMixture, ConjugatePrior(mean=["a"] * 3), ["mean", "numbers", "'a'"]),
        (BernoulliMixture, ConjugatePrior(mean=[2.0, 0.5, 0.5]), ["mean", "probabilities", "2"]),
        (CategoricalMixture, ConjugatePrior(mean=[0.5, 0.5]), ["mean", "(9,)", "(2,)"]),
        (GammaMixture, ConjugatePrior(mean=[1.0] * 3), ["mean", "logarithms", "6"]),
        (GammaMixture, ConjugatePrior(mean=[1.0] * 3 + [0.0] * 3), ["mean", "no positive"]),
        (VonMisesFisherMixture, ConjugatePrior(mean=[1.0, 0.0, 0.0]), ["mean", "shorter"]),
        (GaussianMixture, NormalInverseWishart(mean=[0.0]), ["mean", "3", "(1,)"]),
        (GaussianMixture, NormalInverseWishart(mean_count=-1), ["mean_count", "-1"]),
        (GaussianMixture, NormalInverseWishart(degrees_of_freedom=1.0), ["2", "1.0"]),
        (GaussianMixture, NormalInverseWishart(scale=-1.0), ["scale", "positive definite"]),
        (MixedMixture, ProductPrior({"numbers": ConjugatePrior()}), ["numbers", "gaussian"]),
        (MixedMixture, ProductPrior({"gaussian": ConjugatePrior()}), ["NormalInverseWishart"]),
        (MixedMixture, ProductPrior({"gaussian": 3}), ["NormalInverseWishart", "3"]),
    ],
)
def test_priors_that_are_none(estimator, prior, words):
    refused(lambda: small(estimator, prior=prior).fit(FAMILIES[estimator]), *words)


# ---------------------------------------------------------------------- blocks


@pytest.mark.parametrize(
    "blocks, words",
    [
        ("all", ["blocks", "'auto'", "'all'"]),
        ([], ["no column"]),
        ([("g", "gaussian", [])], ["no column"]),
        ([("g", "gaussian")], ["(name, distribution, columns)", "('g', 'gaussian')"]),
        ([("g", "normal", ["x"])], ["'g'", "'gaussian'", "'normal'"]),
        ([("g", ["gaussian"], ["x"])], ["'g'", "['gaussian']"]),
        ([("g", Gaussian, ["x"])], ["'g'", "Gaussian"]),
        ([("g b", "gaussian", ["x"])], ["names", "'g b'"]),
        ([("g", "gaussian", ["x"]), ("g", "poisson", ["n"])], ["distinct", "'g'"]),
        ([("g", "gaussian", ["x"]), ("h", "gaussian", ["x"])], ["'x'", "'g'", "'h'"]),
        ([("g", "gaussian", ["x", "x"])], ["'x'", "'g'", "once"]),
        ([("g", "gaussian", ["z"])], ["'g'", "'z'"]),
        ([("g", "gaussian", [9])], ["'g'", "[0, 3]"]),
        ([("g", "gaussian", 1.5)], ["'g'", "columns"]),
        ([("g", "gaussian", [True, False])], ["'g'"]),
        ([("g", "gaussian", ["x", "k"])], ["'g' (column 'k')", "encode"]),
        ([("g", "poisson", ["n", "x"])], ["Negative", "column 'x'"]),
        ([("g", "bernoulli", ["y", "n"])], ["Zeros and ones", "column 'n'"]),
        ([("g", VonMisesFisher(), ["x", "n"])], ["'g'", "length 1", "normalize"]),
    ],
)
def test_blocks_that_are_none(blocks, words):
    refused(lambda: small(MixedMixture, blocks=blocks).fit(FRAME), *words)


def test_a_column_of_a_block_turns_bad_after_the_fit():
    mixture = small(MixedMixture).fit(FRAME)
    for changes, words in [
        ({"k": "q"}, ["'k'", "unknown categories ['q']"]),
        ({"x": np.inf}, ["'x'", "infinity"]),
        ({"n": -1}, ["'n'", "Negative"]),
        ({"y": 3}, ["'y'", "Zeros and ones"]),
        ({"x": "high"}, ["'x'", "'high'"]),
    ]:
        refused(lambda changes=changes: mixture.predict(FRAME.assign(**changes)), "Block", *words)
