"""The same numbers as scikit-learn's GaussianMixture, run for run."""

from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np
import pytest
from sklearn.cluster import kmeans_plusplus
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as ScikitLearn
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from emlearn.datasets import load_faithful
from emlearn.exceptions import DegenerateComponentsWarning
from emlearn.mixture import GaussianMixture

pytestmark = [
    pytest.mark.filterwarnings("ignore", category=ConvergenceWarning),
    pytest.mark.filterwarnings("ignore", category=DegenerateComponentsWarning),
]

DATA = {
    "iris": (load_iris().data, 3),
    "wine": (load_wine().data, 3),
    "breast_cancer": (StandardScaler().fit_transform(load_breast_cancer().data), 2),
    "digits": (PCA(10, random_state=0).fit_transform(load_digits().data), 10),
    "faithful": (load_faithful().data, 2),
    "blobs": (make_blobs(500, centers=4, random_state=0)[0], 4),
}
COVARIANCES = ["full", "tied", "diag", "spherical"]
STARTS = ["kmeans", "k-means++", "random", "random_from_data"]
CELLS = list(product(DATA, COVARIANCES, STARTS, range(3)))
RESTARTS = 3
RUNS = [(*cell, restart) for cell in CELLS for restart in range(RESTARTS)]
PARAMETERS = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]
TIE = 1e-9  # objectives this close are the same optimum

# The runs that differ: data, covariance_type, init_params, seed, restart -> the row that decides.
#
# All start from single rows, so that every variance is exactly reg_covar = 1e-6. scikit-learn has
# E[x^2] - E[x]^2 there instead of 0, and so variances that are wrong in the seventh digit (iris)
# or the third (wine, whose proline is near 1000).
# iris is recorded in tenths: the row named here is exactly as far from two of the starting rows.
# Its two posteriors are 1/2; scikit-learn's are, for instance, 0.489 and 0.511.
# In wine (None) no row is tied: one is nearer to a starting row than to another by 0.13 % of a
# squared distance, scikit-learn's variance of proline is wrong by 0.23 %, and so it goes to the
# other. There is no such error when the data are centred first.
DIFFER = {
    ("iris", "diag", "k-means++", 0, 0): 70,
    ("iris", "diag", "k-means++", 0, 1): 56,
    ("iris", "diag", "k-means++", 1, 1): 93,
    ("iris", "diag", "random_from_data", 2, 2): 116,
    ("iris", "spherical", "k-means++", 0, 0): 70,
    ("iris", "spherical", "k-means++", 0, 1): 56,
    ("iris", "spherical", "k-means++", 1, 1): 93,
    ("iris", "spherical", "random_from_data", 2, 2): 116,
    ("wine", "diag", "random_from_data", 0, 0): None,
}


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


@cache
def runs(estimator, data, covariance_type, init_params, seed):
    """The restarts of a fit, one by one: single fits that share one stream."""
    X, K = DATA[data]
    stream = np.random.RandomState(seed)
    options = {"covariance_type": covariance_type, "init_params": init_params}
    return [estimator(K, random_state=stream, **options).fit(X) for _ in range(RESTARTS)]


def fit(estimator, data, covariance_type, init_params, seed, X=None, **options):
    return estimator(
        DATA[data][1],
        covariance_type=covariance_type,
        init_params=init_params,
        random_state=seed,
        **options,
    ).fit(DATA[data][0] if X is None else X)


def assert_same(ours, theirs, rtol=1e-6):
    for name in PARAMETERS:
        assert_near(getattr(ours, name), getattr(theirs, name), rtol, name)


def assert_near(actual, expected, rtol, name):
    atol = min(rtol, 1e-6) * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol, err_msg=name)


def choice_of_scikit_learn(cell):
    return int(np.argmax([run.lower_bound_ for run in runs(ScikitLearn, *cell)]))


def starting_rows(data, covariance_type, init_params, seed, restart):
    X, K = DATA[data]
    stream = np.random.RandomState(seed)
    for _ in range(restart + 1):
        if init_params == "k-means++":
            rows = kmeans_plusplus(X, K, random_state=stream)[1]
        else:
            rows = stream.choice(len(X), size=K, replace=False)
    return rows


def plain_em(X, rows, covariance_type, n_iter, reg_covar=1e-6):
    """EM of a diagonal or spherical mixture from single rows, as in a textbook: all is centred."""
    posterior = np.zeros((len(X), len(rows)))
    posterior[rows, range(len(rows))] = 1
    for _ in range(n_iter + 1):
        counts = posterior.sum(0)
        weights, means = counts / counts.sum(), posterior.T @ X / counts[:, None]
        squares = (X[:, None] - means) ** 2
        variances = np.einsum("nk,nkd->kd", posterior, squares) / counts[:, None] + reg_covar
        if covariance_type == "spherical":
            variances = np.repeat(variances.mean(1)[:, None], X.shape[1], axis=1)
        log = np.log(weights) - (np.log(variances).sum(1) + (squares / variances).sum(2)) / 2
        posterior = np.exp(log - log.max(1, keepdims=True))
        posterior /= posterior.sum(1, keepdims=True)
    return weights, means, variances if covariance_type == "diag" else variances[:, 0]


@pytest.mark.parametrize("cell", [c for c in CELLS if (*c, 0) not in DIFFER], ids=str)
def test_one_start(cell):
    ours, theirs = fit(GaussianMixture, *cell), runs(ScikitLearn, *cell)[0]
    X = DATA[cell[0]][0]
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.converged_ == theirs.converged_
    assert_same(ours, theirs)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.score(X), theirs.score(X), rtol=1e-8)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_best_of_several_starts(cell):
    X = DATA[cell[0]][0]
    best, ours, theirs = (
        fit(GaussianMixture, *cell, n_init=RESTARTS),
        *(runs(estimator, *cell) for estimator in (GaussianMixture, ScikitLearn)),
    )
    bounds = best.restart_lower_bounds_
    np.testing.assert_array_equal(bounds, [run.lower_bound_ for run in ours])
    chosen = np.flatnonzero(bounds >= bounds.max() - TIE)[0]
    assert best.lower_bound_ == bounds[chosen]
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(best, name), getattr(ours[chosen], name))
    their_choice = choice_of_scikit_learn(cell)
    if (*cell, their_choice) in DIFFER:
        return
    assert best.score(X) >= theirs[their_choice].score(X) - TIE
    if chosen == their_choice:
        assert_same(best, theirs[their_choice])


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell[-1] == 0], ids=str)
def test_runs_are_the_restarts_of_scikit_learn(cell):
    single = max(runs(ScikitLearn, *cell), key=lambda run: run.lower_bound_)
    assert_same(fit(ScikitLearn, *cell, n_init=RESTARTS), single)


@pytest.mark.parametrize("run", [run for run in RUNS if run not in DIFFER], ids=str)
def test_every_restart(run):
    *cell, restart = run
    ours, theirs = (runs(estimator, *cell)[restart] for estimator in (GaussianMixture, ScikitLearn))
    assert ours.n_iter_ == theirs.n_iter_
    assert_same(ours, theirs)


def test_few_runs_differ():
    assert len(DIFFER) <= 0.02 * len(RUNS)
    assert len([run for run in DIFFER if run[-1] == 0]) <= 0.02 * len(CELLS)
    assert DIFFER.keys() <= set(RUNS)
    cells = {run[:-1] for run in DIFFER}
    chosen = [cell for cell in cells if (*cell, choice_of_scikit_learn(cell)) in DIFFER]
    assert len(chosen) <= 0.02 * len(CELLS)


@pytest.mark.parametrize("run", DIFFER, ids=str)
def test_where_runs_differ_ours_is_right(run):
    *cell, restart = run
    ours = runs(GaussianMixture, *cell)[restart]
    truth = plain_em(DATA[run[0]][0], starting_rows(*run), run[1], ours.n_iter_)
    for name, value in zip(["weights_", "means_", "covariances_"], truth, strict=True):
        assert_near(getattr(ours, name), value, 1e-8, name)


@pytest.mark.parametrize("run", [run for run, row in DIFFER.items() if row is not None], ids=str)
def test_named_rows_are_tied_exactly(run):
    X = DATA[run[0]][0]
    point = [Fraction(str(x)) for x in X[DIFFER[run]]]
    distances = sorted(
        sum((Fraction(str(x)) - p) ** 2 for x, p in zip(X[row], point, strict=True))
        for row in starting_rows(*run)
    )
    assert distances[0] == distances[1]


@pytest.mark.parametrize("run", [run for run, row in DIFFER.items() if row is None], ids=str)
def test_scikit_learn_agrees_on_centred_data(run):
    *cell, restart = run
    assert restart == 0
    X = DATA[run[0]][0]
    ours, theirs = fit(GaussianMixture, *cell), fit(ScikitLearn, *cell, X=X - X.mean(axis=0))
    theirs.means_ += X.mean(axis=0)
    assert_same(ours, theirs)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_float32_is_float64_of_the_same_data(cell):
    X = DATA[cell[0]][0].astype(np.float32)
    narrow = fit(GaussianMixture, *cell, X=X)
    wide = fit(GaussianMixture, *cell, X=X.astype(np.float64))
    assert {getattr(narrow, name).dtype for name in PARAMETERS} == {np.dtype(np.float32)}
    assert_same(narrow, wide, rtol=1e-3)
