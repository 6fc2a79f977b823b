"""scikit-learn's own tests of LatentDirichletAllocation, from the installed scikit-learn, on our class."""

import importlib.util
from pathlib import Path
from unittest.mock import patch

import sklearn.decomposition

from emlearn.decomposition import LatentDirichletAllocation

EXEMPT = {
    "test_lda_preplexity_mismatch": (
        "calls the private method _perplexity_precomp_distr, with a transform that does not belong to the documents"
    ),
    "test_dirichlet_expectation": "calls only private functions of scikit-learn, never the class",
}


def upstream_tests():
    """The tests of the file beside scikit-learn's class, from a copy that imports ours."""
    path = Path(sklearn.decomposition.__file__).parent / "tests" / "test_online_lda.py"
    spec = importlib.util.spec_from_file_location("emlearn_upstream_test_online_lda", path)
    module = importlib.util.module_from_spec(spec)
    with patch.object(
        sklearn.decomposition, "LatentDirichletAllocation", LatentDirichletAllocation
    ):
        spec.loader.exec_module(module)
    return {name: test for name, test in vars(module).items() if name.startswith("test_")}


UPSTREAM = upstream_tests()
globals().update({name: test for name, test in UPSTREAM.items() if name not in EXEMPT})


def test_upstream_is_complete():
    assert EXEMPT.keys() <= UPSTREAM.keys()
    assert len(UPSTREAM) > 15
    for test in UPSTREAM.values():
        assert test.__globals__["LatentDirichletAllocation"] is LatentDirichletAllocation
    assert sklearn.decomposition.LatentDirichletAllocation is not LatentDirichletAllocation
