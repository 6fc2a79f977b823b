"""Compiled kernels, each with a NumPy twin that runs where nothing was compiled."""

from . import chain as chain_twin
from . import gaussian as gaussian_twin
from . import labels as labels_twin
from . import missing as missing_twin

COMPILED = {"chain": True, "gaussian": True, "labels": True, "missing": True}
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
    from . import _missing as missing
except ImportError:
    missing = missing_twin
    COMPILED["missing"] = False

__all__ = [
    "COMPILED",
    "INSTRUCTION_SET",
    "chain",
    "chain_twin",
    "gaussian",
    "gaussian_twin",
    "labels",
    "labels_twin",
    "missing",
    "missing_twin",
]
