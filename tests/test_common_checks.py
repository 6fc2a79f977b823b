"""scikit-learn's common checks, on every estimator of the package."""

import inspect

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import FitFailedWarning
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    check_sample_weight_equivalence_on_sparse_data,
    check_sample_weights_not_overwritten,
    parametrize_with_checks,
)

import emlearn
import emlearn.hmm
from emlearn.exceptions import DegenerateComponentsWarning
from emlearn.mixture import GaussianMixture

ESTIMATORS = [
    value
    for value in (getattr(emlearn, name) for name in emlearn.__all__)
    if inspect.isclass(value) and issubclass(value, BaseEstimator) and hasattr(value, "fit")
]


@pytest.fixture(autouse=True)
def array_api_checks_are_not_skipped(monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")


HMMS = [estimator for estimator in ESTIMATORS if estimator.__name__ in emlearn.hmm.__all__]


def uneven_weights(estimator):
    """The checks whose weights change from row to row."""
    checks = [
        check_sample_weights_not_overwritten,
        check_sample_weight_equivalence_on_dense_data,
    ]
    sparse = estimator.__sklearn_tags__().input_tags.sparse
    return [*checks, check_sample_weight_equivalence_on_sparse_data] if sparse else checks


def test_estimators_are_found():
    assert GaussianMixture in ESTIMATORS
    fitted = [name for name in emlearn.hmm.__all__ if name.endswith("HMM")]
    assert sorted(estimator.__name__ for estimator in HMMS) == sorted(fitted)


# what the checks' data, any numbers of at least 0, need to be data of the family
SETTINGS = {
    "GammaHMM": {"floor": 1e-3},
    "GammaMixture": {"floor": 1e-3},
    "MixtureRegressor": {"variance_floor": 1e-3, "n_init": 2, "tol": 1e-4},
    "VonMisesFisherMixture": {"normalize": True},
    # the default grid has its test among the selector's; here each check makes some dozens of fits
    "MixtureSelector": {"param_grid": {"n_components": [1, 2], "covariance_type": ["full", "VVI"]}},
}


def expected_to_fail(estimator):
    failures = {}
    if estimator.__sklearn_tags__().input_tags.sparse and hasattr(estimator, "predict_proba"):
        reason = "whatever takes sparse rows and has predict_proba is taken for a classifier"
        failures |= {f"check_estimator_sparse_{kind}": reason for kind in ("array", "matrix")}
    if type(estimator).__name__ == "VonMisesFisherMixture":
        reason = "rows of zeros have no direction"
        failures |= {"check_estimators_dtypes": reason, "check_estimator_sparse_tag": reason}
    if type(estimator).__name__ == "CategoricalMixture":
        failures["check_sample_weight_equivalence_on_dense_data"] = (
            "every number is a category: predict has cells that a fit without the rows of weight 0"
            " never saw"
        )
    if type(estimator).__name__ == "KMeans":
        reason = "k-means++ draws other rows of weights and of repetitions, as scikit-learn's does"
        failures |= {
            f"check_sample_weight_equivalence_on_{kind}_data": reason
            for kind in ("dense", "sparse")
        }
    if type(estimator) in HMMS:
        reason = "the weights of these checks change within the one sequence that the rows are"
        failures |= {check.__name__: reason for check in uneven_weights(estimator)}
    return failures


@pytest.mark.filterwarnings("ignore", category=DegenerateComponentsWarning)
@pytest.mark.filterwarnings("ignore", category=FitFailedWarning)
@parametrize_with_checks(
    [estimator(**SETTINGS.get(estimator.__name__, {})) for estimator in ESTIMATORS],
    expected_failed_checks=expected_to_fail,
)
def test_common_checks(estimator, check):
    check(estimator)


def given_parameters(covariance_type, n_features):
    """Three components for the data of the check of weights, which lie in the unit cube."""
    rng = np.random.RandomState(0)
    means = rng.rand(3, n_features)
    precisions = {
        "full": np.array([np.diag(5 + rng.rand(n_features)) for _ in range(3)]),
        "tied": np.diag(5 + rng.rand(n_features)),
        "diag": 5 + rng.rand(3, n_features),
        "spherical": 5 + rng.rand(3),
    }
    return {
        "weights_init": [0.5, 0.3, 0.2],
        "means_init": means,
        "precisions_init": precisions[covariance_type],
    }


@pytest.mark.filterwarnings("ignore", category=DegenerateComponentsWarning)
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("reg_covar", [1e-6, 0.1])
def test_weights_are_repetitions_from_given_parameters(covariance_type, reg_covar):
    seen = []

    class Sized(GaussianMixture):
        """Takes its parameters in the size of the data, which only the check knows."""

        def fit(self, X, y=None, sample_weight=None):
            self.set_params(**given_parameters(covariance_type, X.shape[1]))
            seen.append((X.shape, sample_weight))
            return super().fit(X, y, sample_weight=sample_weight)

    mixture = Sized(3, covariance_type=covariance_type, reg_covar=reg_covar)
    check_sample_weight_equivalence_on_dense_data("GaussianMixture", mixture)
    (repeated, none), (weighted, weights) = seen
    assert none is None
    assert repeated[0] == weights.sum() and weighted[0] == len(weights)
    assert set(weights) == {0, 1, 2, 3, 4}


@pytest.mark.filterwarnings("ignore", category=DegenerateComponentsWarning)
@pytest.mark.parametrize(
    ("estimator", "check"),
    [(estimator, check) for estimator in HMMS for check in uneven_weights(estimator())],
)
def test_weights_of_rows_that_are_sequences(estimator, check):
    """The checks that are expected to fail above, where each row is a sequence of its own."""
    weighted = []

    class EachAlone(estimator):
        __init__ = estimator.__init__

        def fit(self, X, y=None, sample_weight=None):
            if sample_weight is not None:
                weighted.append(len(set(np.asarray(sample_weight))))
            n = X.shape[0] if hasattr(X, "shape") else len(np.asarray(X))
            return super().fit(X, y, sample_weight, lengths=np.ones(n, dtype=int))

    # every number is a category, and predict has cells that a fit without the rows of weight 0 never saw
    categories = {"handle_unknown": "ignore"} if "Categorical" in estimator.__name__ else {}
    check(estimator.__name__, EachAlone(**categories))
    assert weighted and min(weighted) > 1
