"""MixedMixture: blocks of columns of several families in one table."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
from scipy.special import logsumexp
from scipy.stats import bernoulli, norm, poisson
from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from emlearn.distributions import (
    Categorical,
    ConjugatePrior,
    Gamma,
    Gaussian,
    Poisson,
    ProductPrior,
    StudentT,
    VonMisesFisher,
)
from emlearn.mixture import (
    BernoulliMixture,
    CategoricalMixture,
    GammaMixture,
    GaussianMixture,
    MixedMixture,
    PoissonMixture,
    StudentTMixture,
)

# many of these fits need not end, and samples are arrays
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*did not converge"),
    pytest.mark.filterwarnings("ignore:X does not have valid feature names"),
]

N, K = 240, 3
Z = np.arange(N) % K


def people(seed=0, n=N):
    """A table with columns of all types, whose clusters no block tells apart alone."""
    rng = np.random.RandomState(seed)
    z = np.arange(n) % K
    kinds = np.array(["ash", "elm", "oak"], dtype=object)
    shares = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.45, 0.45]])
    return pd.DataFrame(
        {
            "height": rng.randn(n) + np.array([0.0, 0.0, 3.0])[z],
            "kind": [kinds[rng.choice(3, p=shares[k])] for k in z],
            "visits": rng.poisson(np.array([2.0, 6.0, 2.0])[z]),
            "member": rng.rand(n) < np.array([0.8, 0.2, 0.2])[z],
            "width": 5.0 + 2.0 * rng.randn(n) + np.array([0.0, 3.0, 0.0])[z],
        }
    )


FRAME = people()
BLOCKS = [
    ("size", "gaussian", ["height", "width"]),
    ("tree", "categorical", ["kind"]),
    ("count", "poisson", ["visits"]),
    ("card", "bernoulli", ["member"]),
]


def make(blocks="auto", **settings):
    defaults = {"random_state": 0, "tol": 1e-8, "max_iter": 500, "init_params": Z}
    return MixedMixture(K, blocks=blocks, **defaults | settings)


def polars(frame):
    return pl.DataFrame({name: frame[name].tolist() for name in frame.columns})


FITTED = make(BLOCKS).fit(FRAME)


# ---------------------------------------------------------------- the density


def test_the_density_is_the_product_of_the_blocks():
    m, joint = FITTED, np.zeros((N, K))
    for k in range(K):
        size = norm(m.size_means_[k], np.sqrt(m.size_covariances_[k]))
        joint[:, k] = np.log(m.weights_[k]) + size.logpdf(FRAME[["height", "width"]]).sum(axis=1)
        codes = np.searchsorted(m.tree_categories_[0], FRAME["kind"].to_numpy(dtype=object))
        joint[:, k] += np.log(m.tree_probabilities_[0][k][codes])
        joint[:, k] += poisson(m.count_rates_[k]).logpmf(FRAME[["visits"]])[:, 0]
        joint[:, k] += bernoulli(m.card_probabilities_[k]).logpmf(FRAME[["member"]])[:, 0]
    np.testing.assert_allclose(m.score_samples(FRAME), logsumexp(joint, axis=1), rtol=1e-10)
    posterior = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    np.testing.assert_allclose(m.predict_proba(FRAME), posterior, atol=1e-10)
    assert m.lower_bound_ == pytest.approx(m.score(FRAME), rel=1e-12)


def test_a_fixed_point_is_that_of_each_family():
    """At the end each block's parameters are the family's own, under the posterior of all."""
    posterior = FITTED.predict_proba(FRAME)
    counts = posterior.sum(axis=0)
    np.testing.assert_allclose(FITTED.weights_, counts / N, atol=1e-4)
    means = posterior.T @ FRAME[["height", "width"]].to_numpy() / counts[:, None]
    np.testing.assert_allclose(FITTED.size_means_, means, atol=1e-2)
    rates = posterior.T @ FRAME["visits"].to_numpy() / counts
    np.testing.assert_allclose(FITTED.count_rates_[:, 0], rates, atol=1e-2)
    shares = posterior.T @ FRAME["member"].to_numpy() / counts
    np.testing.assert_allclose(FITTED.card_probabilities_[:, 0], shares, atol=1e-2)


def test_free_parameters():
    assert FITTED.n_parameters_ == (K - 1) + K * (2 + 2) + K * 2 + K + K
    assert make([("a", "gaussian", [0]), ("b", "poisson", [2])]).fit(FRAME).n_parameters_ == 2 + 9


ALONE = {
    "gaussian": (["height", "width"], GaussianMixture(covariance_type="diag")),
    "poisson": (["visits"], PoissonMixture()),
    "categorical": (["kind"], CategoricalMixture()),
    "bernoulli": (["member"], BernoulliMixture()),
    "full": (["height", "width"], GaussianMixture()),
    "student": (["height", "width"], StudentTMixture()),
    "gamma": (["size"], GammaMixture()),
}
FAMILIES = {
    "full": Gaussian(reg_covar=1e-6),
    "student": StudentT(reg_covar=1e-6),
    "gamma": Gamma(),
}


@pytest.mark.parametrize("kind", ALONE)
@pytest.mark.parametrize("weighted", [False, True])
def test_one_block_is_the_mixture_of_its_family(kind, weighted):
    columns, single = ALONE[kind]
    data = FRAME.assign(size=np.exp(FRAME["height"]))
    weight = np.arange(N) % 3 + 0.5 if weighted else None
    settings = {"tol": 1e-8, "max_iter": 30, "init_params": Z, "n_components": K}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        single = clone(single).set_params(**settings).fit(data[columns], sample_weight=weight)
        block = ("b", FAMILIES.get(kind, kind), columns)
        mixed = MixedMixture(blocks=[block], **settings).fit(data, sample_weight=weight)
    np.testing.assert_allclose(mixed.weights_, single.weights_, rtol=1e-7)
    np.testing.assert_allclose(mixed.lower_bounds_, single.lower_bounds_, rtol=1e-9)
    for name in single._published_names:
        if name != "weights_":
            np.testing.assert_allclose(
                getattr(mixed, f"b_{name}"), getattr(single, name), rtol=1e-6, atol=1e-9
            )
    assert mixed.n_parameters_ == single.n_parameters_


def test_the_order_of_blocks_and_columns_decides_nothing():
    backwards = make(BLOCKS[::-1]).fit(FRAME)
    np.testing.assert_allclose(
        backwards.score_samples(FRAME), FITTED.score_samples(FRAME), rtol=1e-6
    )
    mixed_up = FRAME[["member", "width", "kind", "height", "visits"]]
    other = make(BLOCKS).fit(mixed_up)
    np.testing.assert_allclose(
        other.score_samples(mixed_up), FITTED.score_samples(FRAME), rtol=1e-6
    )


# ------------------------------------------------------------ types of columns


def places(mixture):
    return {name: columns for name, _, columns in mixture.blocks_}


AUTO = {"gaussian": [0, 4], "categorical": [1], "poisson": [2], "bernoulli": [3]}


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME.astype({"kind": "category"}),
        FRAME.astype({"kind": "string", "visits": "Int64", "member": "boolean"}),
        FRAME.astype({"visits": "uint8", "height": "float32", "width": "Float64"}),
        polars(FRAME),
        polars(FRAME).with_columns(
            pl.col("kind").cast(pl.Categorical),
            pl.col("visits").cast(pl.UInt8),
            pl.col("width").cast(pl.Float32),
        ),
    ],
    ids=["pandas", "category", "extension", "small", "polars", "polars small"],
)
def test_the_types_of_a_frame(frame):
    mixture = make().fit(frame)
    assert places(mixture) == AUTO
    assert list(mixture.feature_names_in_) == list(FRAME.columns)
    np.testing.assert_allclose(mixture.score(frame), FITTED.score(FRAME), rtol=1e-4)


def test_numbers_below_0_are_not_counts():
    frame = FRAME.assign(visits=FRAME["visits"] - 3)
    assert places(make().fit(frame)) == {
        "gaussian": [0, 2, 4],
        "categorical": [1],
        "bernoulli": [3],
    }


def test_arrays():
    numbers = FRAME[["height", "width"]].to_numpy()
    assert places(make().fit(numbers)) == {"gaussian": [0, 1]}
    counts = FRAME[["visits"]].to_numpy()
    assert places(make().fit(counts)) == {"poisson": [0]}
    objects = FRAME[["kind", "height"]].to_numpy(dtype=object)
    mixture = make().fit(objects)
    assert places(mixture) == {"categorical": [0], "gaussian": [1]}
    np.testing.assert_array_equal(
        mixture.predict(objects),
        make().fit(FRAME[["kind", "height"]]).predict(FRAME[["kind", "height"]]),
    )


# --------------------------------------------------------------------- columns


@pytest.mark.parametrize(
    "numbers",
    [
        ["height", "width"],
        [0, 4],
        [0, -1],
        np.array([0, 4]),
        slice(0, 5, 4),
        [True, False, False, False, True],
        np.array([True, False, False, False, True]),
        make_column_selector(dtype_include="float64"),
        make_column_selector("height|width"),
        lambda X: [name for name in X.columns if name.endswith("th") or name == "height"],
    ],
    ids=[
        "names",
        "positions",
        "from the end",
        "array",
        "slice",
        "list mask",
        "mask",
        "types",
        "pattern",
        "lambda",
    ],
)
def test_columns_are_said_as_in_a_column_transformer(numbers):
    found = make([("size", "gaussian", numbers), ("count", "poisson", ["visits"])]).fit(FRAME)
    assert places(found) == {"size": [0, 4], "count": [2]}
    other = make([("size", "gaussian", ["height", "width"]), ("count", "poisson", "visits")])
    np.testing.assert_array_equal(found.predict_proba(FRAME), other.fit(FRAME).predict_proba(FRAME))


def test_a_slice_of_names():
    mixture = make(
        [("a", "categorical", slice("kind", "kind")), ("b", "poisson", slice("visits", "visits"))]
    )
    assert places(mixture.fit(FRAME)) == {"a": [1], "b": [2]}


def test_columns_in_no_block_are_left_out():
    blocks = [("size", "gaussian", ["height"]), ("count", "poisson", ["visits"])]
    mixture = make(blocks).fit(FRAME)
    other = FRAME.assign(width=np.nan, kind="never seen")
    np.testing.assert_array_equal(mixture.predict_proba(other), mixture.predict_proba(FRAME))
    np.testing.assert_array_equal(
        make(blocks).fit(other).weights_, make(blocks).fit(FRAME).weights_
    )
    assert mixture.n_features_in_ == 5
    rows, _ = mixture.sample(5, 0)
    assert rows.shape == (5, 5) and np.isnan(rows[:, [1, 3, 4]].astype(float)).all()
    mixture.predict(rows[:, :])


def test_a_callable_is_asked_once():
    """The columns of the fit hold, whatever the types of new data."""
    mixture = make([("size", "gaussian", make_column_selector(dtype_include="float64"))]).fit(FRAME)
    new = FRAME.astype({"height": "float32"})
    assert mixture.predict(new).shape == (N,)


# --------------------------------------------------------------------- samples


def test_samples_have_the_columns_in_their_places():
    rows, labels = FITTED.sample(3000, random_state=0)
    assert rows.shape == (3000, 5)
    assert set(rows[:, 1]) == {"ash", "elm", "oak"}
    assert set(rows[:, 3].astype(float)) == {0.0, 1.0}
    visits = rows[:, 2].astype(float)
    assert np.all(visits == visits.round()) and visits.min() >= 0
    for k in range(K):
        own = rows[labels == k]
        np.testing.assert_allclose(
            own[:, [0, 4]].astype(float).mean(axis=0), FITTED.size_means_[k], atol=0.35
        )
        assert own[:, 2].astype(float).mean() == pytest.approx(FITTED.count_rates_[k, 0], rel=0.15)
    frame = pd.DataFrame(rows, columns=FRAME.columns).astype({"height": float, "width": float})
    for data in (rows, frame):
        predicted = FITTED.predict(data)
        assert adjusted_rand_score(predicted, labels) > 0.5
    # and a fit of the samples is the mixture
    frame = frame.astype({"visits": int, "member": bool})
    again = make(BLOCKS, init_params=labels).fit(frame)
    np.testing.assert_allclose(again.count_rates_, FITTED.count_rates_, rtol=0.25)
    np.testing.assert_allclose(again.weights_, FITTED.weights_, atol=0.05)


def test_samples_of_numbers_are_numbers():
    mixture = make([("size", "gaussian", ["height"]), ("count", "poisson", ["visits"])])
    rows, _ = mixture.fit(FRAME[["visits", "height"]]).sample(10, 0)
    assert rows.dtype == np.float64
    assert np.all(rows[:, 0] == rows[:, 0].round()) and not np.all(rows[:, 1] == rows[:, 1].round())


# --------------------------------------------------------------- missing cells


def test_missing_cells():
    holes = FRAME.astype({"member": object})
    holes.loc[::5, "kind"] = None
    holes.loc[1::5, "member"] = np.nan
    mixture = make(BLOCKS).fit(holes)
    assert mixture.tree_categories_[0].tolist() == ["ash", "elm", "oak"]
    assert adjusted_rand_score(mixture.predict(holes), FITTED.predict(FRAME)) > 0.7
    # a cell that is missing says nothing: the row has the density of the other blocks
    rest = make(BLOCKS[:1] + BLOCKS[2:3])
    rest.fit(FRAME)
    for name in rest._published_names:
        setattr(rest, name, getattr(FITTED, name))
    empty = FRAME.astype({"member": object}).assign(kind=None, member=np.nan)
    np.testing.assert_allclose(FITTED.score_samples(empty), rest.score_samples(FRAME), rtol=1e-12)


def test_unknown_categories_of_a_block():
    blocks = [
        ("size", "gaussian", ["height"]),
        ("tree", Categorical(handle_unknown="ignore"), ["kind"]),
    ]
    mixture = make(blocks).fit(FRAME)
    odd, missing = FRAME.assign(kind="yew"), FRAME.assign(kind=None)
    np.testing.assert_array_equal(mixture.predict_proba(odd), mixture.predict_proba(missing))


# -------------------------------------------------------------------- recovery


@pytest.mark.parametrize("seed", range(3))
def test_all_blocks_together_find_what_none_finds_alone(seed):
    frame, z = people(seed, 1500), np.arange(1500) % K
    settings = {"n_init": 5, "random_state": 0, "tol": 1e-6, "max_iter": 500}

    def found(blocks):
        return adjusted_rand_score(z, MixedMixture(K, blocks=blocks, **settings).fit_predict(frame))

    whole = found(BLOCKS)
    alone = [found([block]) for block in BLOCKS]
    assert whole > max(alone) + 0.1
    assert whole > 0.6


def test_the_fit_recovers_the_parameters():
    frame = people(1, 6000)
    mixture = MixedMixture(
        K, blocks=BLOCKS, n_init=5, random_state=0, tol=1e-8, max_iter=2000, accelerate="squarem"
    ).fit(frame)
    order = np.lexsort((mixture.count_rates_[:, 0], mixture.size_means_[:, 0].round()))
    np.testing.assert_allclose(mixture.weights_, 1 / 3, atol=0.04)
    np.testing.assert_allclose(mixture.count_rates_[order, 0], [2, 6, 2], rtol=0.1)
    np.testing.assert_allclose(mixture.size_means_[order, 0], [0, 0, 3], atol=0.15)
    np.testing.assert_allclose(mixture.size_means_[order, 1], [5, 8, 5], atol=0.3)
    np.testing.assert_allclose(mixture.card_probabilities_[order, 0], [0.8, 0.2, 0.2], atol=0.07)
    np.testing.assert_allclose(
        mixture.tree_probabilities_[0][order],
        [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.45, 0.45]],
        atol=0.07,
    )


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data"])
def test_drawn_starts(init):
    mixture = make(BLOCKS, init_params=init, n_init=3).fit(FRAME)
    assert np.diff(mixture.lower_bounds_).min() > -1e-10
    assert mixture.lower_bound_ > MixedMixture(1, blocks=BLOCKS).fit(FRAME).lower_bound_


# --------------------------------------------------------------------- company


def test_in_a_pipeline_and_a_search():
    double = FunctionTransformer(lambda X: X.assign(height=2 * X["height"]))
    mixture = MixedMixture(blocks=BLOCKS, random_state=0, n_init=3)
    search = GridSearchCV(
        make_pipeline(double, mixture), {"mixedmixture__n_components": [1, 3]}, cv=3
    )
    search.fit(people(0, 900))
    assert search.best_params_ == {"mixedmixture__n_components": 3}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(FRAME).shape == (N,)


def through_skops(model):
    data = skops.io.dumps(model)
    unknown = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith("emlearn.") for name in unknown), unknown
    return skops.io.loads(data, trusted=unknown)


@pytest.mark.parametrize(
    "trip", [lambda m: pickle.loads(pickle.dumps(m)), through_skops], ids=["pickle", "skops"]
)
@pytest.mark.parametrize(
    "blocks",
    ["auto", BLOCKS, [("size", Gaussian(reg_covar=1e-6), [0, 4]), ("n", Poisson(), [2])]],
    ids=["auto", "names", "distributions"],
)
def test_copies_and_files(blocks, trip):
    mixture = make(blocks).fit(FRAME)
    twin = trip(mixture)
    for method in ("predict_proba", "score_samples", "bic"):
        np.testing.assert_array_equal(getattr(twin, method)(FRAME), getattr(mixture, method)(FRAME))
    np.testing.assert_array_equal(
        twin.sample(5, 0)[0].astype(str), mixture.sample(5, 0)[0].astype(str)
    )
    again = clone(mixture).fit(FRAME)
    np.testing.assert_array_equal(again.weights_, mixture.weights_)


def test_a_warm_start_goes_on():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = make(BLOCKS, max_iter=6, tol=0).fit(FRAME)
        parts = make(BLOCKS, max_iter=2, tol=0, warm_start=True)
        traces = [parts.fit(FRAME).lower_bounds_ for _ in range(3)]
    np.testing.assert_allclose(np.concatenate(traces), whole.lower_bounds_, rtol=1e-12)


def test_nothing_is_written():
    frame, blocks = FRAME.copy(), [tuple(block) for block in BLOCKS]
    mixture = make(blocks).fit(frame)
    mixture.predict(frame)
    pd.testing.assert_frame_equal(frame, FRAME)
    assert blocks == BLOCKS and mixture.blocks is blocks


def test_weights_are_repeated_rows():
    counts = np.random.RandomState(3).randint(0, 3, size=N)
    rows = np.repeat(np.arange(N), counts)
    few = {"tol": 1e-4, "max_iter": 20}
    for prior in (None, "default"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            a = make(BLOCKS, prior=prior, **few).fit(FRAME, sample_weight=counts)
            repeated = FRAME.iloc[rows]
            b = make(BLOCKS, prior=prior, init_params=Z[rows], **few).fit(repeated)
        np.testing.assert_allclose(a.lower_bounds_, b.lower_bounds_, rtol=1e-9)
        np.testing.assert_allclose(a.size_means_, b.size_means_, rtol=1e-7)
        np.testing.assert_allclose(a.tree_probabilities_[0], b.tree_probabilities_[0], rtol=1e-6)


def test_priors_of_blocks():
    """Only the block that has one is pulled to its mean."""
    strong = ProductPrior({"count": ConjugatePrior(1e6, [50.0])})
    mixture = make(BLOCKS, prior=strong, max_iter=0).fit(FRAME)
    plain = make(BLOCKS, max_iter=0).fit(FRAME)
    np.testing.assert_allclose(mixture.count_rates_, 50.0, rtol=0.01)
    np.testing.assert_array_equal(mixture.size_means_, plain.size_means_)
    np.testing.assert_array_equal(mixture.tree_probabilities_[0], plain.tree_probabilities_[0])


def test_directions_and_numbers():
    """A family whose rows are vectors is a block as well."""
    rng = np.random.RandomState(0)
    angle = 2.0 * Z + 0.2 * rng.randn(N)
    X = np.c_[np.cos(angle), np.sin(angle), rng.randn(N) + Z]
    blocks = [("way", VonMisesFisher(), [0, 1]), ("size", "gaussian", [2])]
    mixture = make(blocks, init_params="kmeans").fit(X)
    assert adjusted_rand_score(Z, mixture.predict(X)) > 0.95
    rows, labels = mixture.sample(200, 0)
    assert adjusted_rand_score(labels, mixture.predict(rows)) > 0.9
