"""scikit-learn's own test of FactorAnalysis, from the installed scikit-learn, on our class."""

import importlib.util
from pathlib import Path
from unittest.mock import patch

import pytest
import sklearn.decomposition

from emlearn.decomposition import FactorAnalysis

PATH = Path(sklearn.decomposition.__file__).parent / "tests" / "test_factor_analysis.py"
SPEC = importlib.util.spec_from_file_location("emlearn_upstream_factor_analysis", PATH)
MODULE = importlib.util.module_from_spec(SPEC)
with patch.object(sklearn.decomposition, "FactorAnalysis", FactorAnalysis):
    SPEC.loader.exec_module(MODULE)

pytestmark = pytest.mark.filterwarnings("ignore::emlearn.exceptions.HeywoodWarning")
UPSTREAM = {name: test for name, test in vars(MODULE).items() if name.startswith("test_")}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", UPSTREAM)
def test_upstream(name, seed):
    UPSTREAM[name](seed)


def test_upstream_is_ours():
    assert list(UPSTREAM) == ["test_factor_analysis"]
    assert MODULE.FactorAnalysis is FactorAnalysis
    assert sklearn.decomposition.FactorAnalysis is not FactorAnalysis
