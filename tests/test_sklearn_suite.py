"""scikit-learn's own tests of its mixtures, from the installed scikit-learn, on our classes."""

import importlib.util
from itertools import product
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import sklearn
import sklearn.mixture
from sklearn.datasets import make_blobs, make_spd_matrix
from sklearn.mixture.tests.test_gaussian_mixture import RandomData
from sklearn.utils import get_tags

from emlearn.mixture import BayesianGaussianMixture, GaussianMixture

PRIVATE_FUNCTIONS = "calls only private functions of scikit-learn, never the class"
ARRAY_API = "array-API inputs are declined, see test_array_api_is_declined"
EXEMPT = {
    "test_suffstat_sk_full": PRIVATE_FUNCTIONS,
    "test_suffstat_sk_tied": PRIVATE_FUNCTIONS,
    "test_suffstat_sk_diag": PRIVATE_FUNCTIONS,
    "test_gaussian_suffstat_sk_spherical": PRIVATE_FUNCTIONS,
    "test_compute_log_det_cholesky": PRIVATE_FUNCTIONS,
    "test_gaussian_mixture_log_probabilities": PRIVATE_FUNCTIONS,
    "test_gaussian_mixture_precisions_init": (
        "calls the private methods _initialize and _set_parameters;"
        " test_given_precisions_are_the_start is the same for public behaviour"
    ),
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters": (
        "counts the calls of a mock of scikit-learn's private _estimate_gaussian_parameters"
    ),
    "test_log_dirichlet_norm": PRIVATE_FUNCTIONS,
    "test_log_wishart_norm": PRIVATE_FUNCTIONS,
    "test_compare_covar_type": (
        "calls the private methods _check_parameters and _initialize_parameters;"
        " test_starts_of_the_covariance_types is the same for public behaviour"
    ),
    "test_gaussian_mixture_array_api_compliance": ARRAY_API,
    "test_gaussian_mixture_raises_where_array_api_not_implemented": ARRAY_API,
}


OURS = (BayesianGaussianMixture, GaussianMixture)


def upstream_tests(file):
    """The tests of a file beside scikit-learn's mixtures, from a copy that imports our classes."""
    path = Path(sklearn.mixture.__file__).parent / "tests" / file
    spec = importlib.util.spec_from_file_location(f"emlearn_upstream_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    with patch.multiple(sklearn.mixture, **{ours.__name__: ours for ours in OURS}):
        spec.loader.exec_module(module)
    return {name: test for name, test in vars(module).items() if name.startswith("test_")}


def only_ours(test):
    """The test without its parametrisations by other estimators."""
    for mark in test.pytestmark:
        mark.args[1][:] = [value for value in mark.args[1] if isinstance(value, OURS)]
    return test


GAUSSIAN = upstream_tests("test_gaussian_mixture.py")
MIXTURE = {name: only_ours(test) for name, test in upstream_tests("test_mixture.py").items()}
BAYESIAN = {
    name.replace("test_", "test_bayesian_", 1) if name in GAUSSIAN else name: test
    for name, test in upstream_tests("test_bayesian_mixture.py").items()
}
UPSTREAM = {**GAUSSIAN, **BAYESIAN, **MIXTURE}
globals().update({name: test for name, test in UPSTREAM.items() if name not in EXEMPT})


def test_upstream_is_complete():
    assert EXEMPT.keys() <= UPSTREAM.keys()
    assert len(UPSTREAM) == len(GAUSSIAN) + len(BAYESIAN) + len(MIXTURE)
    for tests, names in (
        (GAUSSIAN, ["GaussianMixture"]),
        (BAYESIAN, ["BayesianGaussianMixture"]),
        (MIXTURE, ["BayesianGaussianMixture", "GaussianMixture"]),
    ):
        for test, ours in product(tests.values(), OURS):
            assert ours.__name__ not in names or test.__globals__[ours.__name__] is ours
    assert all(getattr(sklearn.mixture, ours.__name__) is not ours for ours in OURS)
    for test in MIXTURE.values():
        assert sorted({type(value).__name__ for value in test.pytestmark[0].args[1]}) == names


@pytest.mark.parametrize("prior_type", ["dirichlet_process", "dirichlet_distribution"])
def test_starts_of_the_covariance_types(prior_type):
    X = RandomData(np.random.RandomState(0), scale=7).X["full"]
    scatter = {}
    for covariance_type in ("full", "tied", "diag", "spherical"):
        start = BayesianGaussianMixture(
            n_components=4,
            weight_concentration_prior_type=prior_type,
            covariance_type=covariance_type,
            max_iter=0,
            random_state=0,
        ).fit(X)
        dof = np.asarray(start.degrees_of_freedom_)
        scatter[covariance_type] = start.covariances_ * dof.reshape(
            dof.shape + (1,) * (start.covariances_.ndim - dof.ndim)
        )
    full = scatter["full"]
    diagonals = np.diagonal(full, axis1=1, axis2=2)
    np.testing.assert_allclose(scatter["tied"], full.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(scatter["diag"], diagonals, rtol=1e-9)
    np.testing.assert_allclose(scatter["spherical"], diagonals.mean(axis=1), rtol=1e-9)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_given_precisions_are_the_start(covariance_type, global_random_seed):
    rng = np.random.RandomState(global_random_seed)
    X = rng.random_sample((100, 3))
    precisions = {
        "full": np.array([make_spd_matrix(3, random_state=rng) for _ in range(4)]),
        "tied": make_spd_matrix(3, random_state=rng),
        "diag": 0.5 + rng.rand(4, 3),
        "spherical": 0.5 + rng.rand(4),
    }[covariance_type]
    start = GaussianMixture(
        4,
        covariance_type=covariance_type,
        precisions_init=precisions,
        init_params="random",
        max_iter=0,
        random_state=rng,
    ).fit(X)
    np.testing.assert_allclose(start.precisions_, precisions, rtol=1e-10, atol=1e-12)
    factor = start.precisions_cholesky_
    if covariance_type in ("full", "tied"):
        np.testing.assert_array_equal(factor, np.triu(factor))
        np.testing.assert_allclose(factor @ np.swapaxes(factor, -1, -2), start.precisions_)
    else:
        np.testing.assert_allclose(factor**2, start.precisions_)


class ForeignArray:
    """What array libraries have in common."""

    shape, ndim = (100, 2), 2

    def __array_namespace__(self, api_version=None):
        raise AssertionError("an array of another library should be refused before it is used")

    __dlpack__ = __array__ = __array_namespace__


def test_array_api_is_declined(monkeypatch):
    X, _ = make_blobs(100, random_state=0)
    mixture = GaussianMixture(3, random_state=0).fit(X)
    expected = mixture.score(X)
    assert get_tags(mixture).array_api_support is False
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    with sklearn.config_context(array_api_dispatch=True):
        assert mixture.fit(X).score(X) == expected
        for (
            method
        ) in "fit fit_predict predict predict_proba score_samples score bic aic icl".split():
            with pytest.raises(
                NotImplementedError, match=r"array_api_dispatch=False\).*NumPy arrays"
            ):
                getattr(mixture, method)(ForeignArray())
