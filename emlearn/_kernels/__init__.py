"""Compiled kernels, each with a NumPy twin that runs where nothing was compiled."""

from importlib import import_module
from types import ModuleType

from . import chain as chain_twin
from . import gaussian as gaussian_twin
from . import kmeans as kmeans_twin
from . import labels as labels_twin
from . import lda as lda_twin
from . import missing as missing_twin

COMPILED: dict[str, bool] = {}


def _kernel(name: str, twin: ModuleType) -> ModuleType:
    """What was compiled, or its twin."""
    try:
        found = import_module(f"._{name}", __name__)
    except ImportError:
        found = twin
    COMPILED[name] = found is not twin
    return found


chain = _kernel("chain", chain_twin)
gaussian = _kernel("gaussian", gaussian_twin)
kmeans = _kernel("kmeans", kmeans_twin)
labels = _kernel("labels", labels_twin)
lda = _kernel("lda", lda_twin)
missing = _kernel("missing", missing_twin)

INSTRUCTION_SET = gaussian.instruction_set() if COMPILED["gaussian"] else "NumPy"

__all__ = [
    "COMPILED",
    "INSTRUCTION_SET",
    "chain",
    "chain_twin",
    "gaussian",
    "gaussian_twin",
    "kmeans",
    "kmeans_twin",
    "labels",
    "labels_twin",
    "lda",
    "lda_twin",
    "missing",
    "missing_twin",
]
