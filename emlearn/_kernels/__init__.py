"""Compiled kernels, each with a NumPy twin that runs where nothing was compiled."""

from . import chain as chain_twin
from . import gaussian as gaussian_twin
from . import kmeans as kmeans_twin
from . import labels as labels_twin
from . import lda as lda_twin

COMPILED = {"chain": True, "gaussian": True, "kmeans": True, "labels": True, "lda": True}
INSTRUCTION_SET = "NumPy"

try:
    from . import _gaussian as gaussian

    INSTRUCTION_SET = gaussian.instruction_set()
except ImportError:
    gaussian = gaussian_twin
    COMPILED["gaussian"] = False

try:
    from . import _labels as labels
except ImportError:
    labels = labels_twin
    COMPILED["labels"] = False

try:
    from . import _chain as chain
except ImportError:
    chain = chain_twin
    COMPILED["chain"] = False

try:
    from . import _kmeans as kmeans
except ImportError:
    kmeans = kmeans_twin
    COMPILED["kmeans"] = False

try:
    from . import _lda as lda
except ImportError:
    lda = lda_twin
    COMPILED["lda"] = False

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
]
