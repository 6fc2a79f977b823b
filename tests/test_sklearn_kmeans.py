"""scikit-learn's own tests of KMeans, from the installed scikit-learn, on our class."""

import importlib.util
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import sklearn.cluster
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import make_blobs
from sklearn.metrics.pairwise import euclidean_distances

from emlearn.cluster import KMeans

# of the hundred that scikit-learn has, for which conftest.py asks
N_SEEDS = 2
pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")

PRIVATE_FUNCTIONS = "calls only private functions of scikit-learn, never the class"
OTHERS = "is of scikit-learn's MiniBatchKMeans"
SEEDING = "is of scikit-learn's function kmeans_plusplus"
INIT_CENTROIDS = "calls the private method _init_centroids; {} is the same for public behaviour"
EXEMPT = {
    "test_relocate_empty_clusters": PRIVATE_FUNCTIONS,
    "test_euclidean_distance": PRIVATE_FUNCTIONS,
    "test_inertia": PRIVATE_FUNCTIONS,
    "test_is_same_clustering": PRIVATE_FUNCTIONS,
    "test_minibatch_update_consistency": OTHERS,
    "test_minibatch_kmeans_partial_fit_init": OTHERS,
    "test_minibatch_kmeans_verbose": OTHERS,
    "test_minibatch_kmeans_warning_init_size": OTHERS,
    "test_minibatch_sensible_reassign": OTHERS,
    "test_minibatch_reassign": OTHERS,
    "test_minibatch_with_many_reassignments": OTHERS,
    "test_minibatch_kmeans_init_size": OTHERS,
    "test_minibatch_declared_convergence": OTHERS,
    "test_minibatch_iter_steps": OTHERS,
    "test_kmeans_plusplus_wrong_params": SEEDING,
    "test_kmeans_plusplus_output": SEEDING,
    "test_kmeans_plusplus_norms": SEEDING,
    "test_kmeans_plusplus_dataorder": SEEDING,
    "test_k_means_function": "is of scikit-learn's function k_means, which calls its own class",
    "test_sample_weight_init": INIT_CENTROIDS.format("test_weights_matter_to_the_start"),
    "test_sample_weight_zero": INIT_CENTROIDS.format("test_rows_of_weight_0_are_no_start"),
}


def upstream_tests():
    """The tests of the file, from a copy that imports our class."""
    path = Path(sklearn.cluster.__file__).parent / "tests" / "test_k_means.py"
    spec = importlib.util.spec_from_file_location("emlearn_upstream_k_means", path)
    module = importlib.util.module_from_spec(spec)
    with patch.object(sklearn.cluster, "KMeans", KMeans):
        spec.loader.exec_module(module)
    return {name: test for name, test in vars(module).items() if name.startswith("test_")}


def _of_others(value):
    return any(v is MiniBatchKMeans for v in (value if isinstance(value, tuple) else (value,)))


def only_ours(test):
    """The test without its parametrisations by the other class."""
    for mark in getattr(test, "pytestmark", []):
        if mark.name == "parametrize" and any(_of_others(value) for value in mark.args[1]):
            mark.args[1][:] = [value for value in mark.args[1] if not _of_others(value)]
    return test


UPSTREAM = upstream_tests()
globals().update({name: only_ours(t) for name, t in UPSTREAM.items() if name not in EXEMPT})


def test_upstream_is_complete():
    assert EXEMPT.keys() <= UPSTREAM.keys()
    assert len(UPSTREAM) - len(EXEMPT) > 30
    for name, test in UPSTREAM.items():
        assert test.__globals__["KMeans"] is KMeans, name
        if name in EXEMPT:
            continue
        parameters = [m for m in getattr(test, "pytestmark", []) if m.name == "parametrize"]
        assert all(len(mark.args[1]) for mark in parameters), name
    assert sklearn.cluster.KMeans is not KMeans


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_weights_matter_to_the_start(init, global_random_seed):
    X, _ = make_blobs(200, 10, centers=10, random_state=global_random_seed)
    settings = {"init": init, "n_init": 1, "max_iter": 1, "random_state": global_random_seed}
    weights = np.random.RandomState(global_random_seed).uniform(size=200)
    plain, weighed = (
        KMeans(5, **settings).fit(X, sample_weight=w).cluster_centers_ for w in (None, weights)
    )
    theirs = sklearn.cluster.KMeans(5, **settings).fit(X, sample_weight=weights).cluster_centers_
    np.testing.assert_allclose(weighed, theirs, rtol=1e-10)
    assert not np.allclose(plain, weighed)


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_rows_of_weight_0_are_no_start(init, global_random_seed):
    rng = np.random.RandomState(global_random_seed)
    X, _ = make_blobs(100, 5, centers=5, random_state=global_random_seed)
    weights = rng.uniform(size=100)
    weights[::2] = 0
    X[::2] += 1000  # where a centre would stay if one began there
    fitted = KMeans(10, init=init, n_init=1, random_state=rng).fit(X, sample_weight=weights)
    assert euclidean_distances(X[::2], fitted.cluster_centers_).min() > 500


def test_the_printed_inertia_is_that_of_the_trace(capsys):
    X = np.random.RandomState(0).normal(size=(300, 3))
    model = KMeans(3, random_state=42, n_init=1, verbose=1).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Initialization complete" and len(lines) == model.n_iter_ + 2
    printed = [float(line.split("inertia ")[1].rstrip(".")) for line in lines[1:-1]]
    whole = ((X - X.mean(axis=0)) ** 2).sum()
    np.testing.assert_allclose(printed, -model.lower_bounds_ * whole)
    assert printed[-1] == pytest.approx(model.inertia_)
    assert lines[-1].startswith(f"Converged at iteration {model.n_iter_}: ")
