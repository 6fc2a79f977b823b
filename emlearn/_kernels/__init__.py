"""Compiled kernels, each with a NumPy twin that runs where nothing was compiled."""

from . import gaussian as gaussian_twin

try:
    from . import _gaussian as gaussian

    COMPILED = {"gaussian": True}
    INSTRUCTION_SET = gaussian.instruction_set()
except ImportError:
    gaussian = gaussian_twin
    COMPILED = {"gaussian": False}
    INSTRUCTION_SET = "NumPy"

__all__ = ["COMPILED", "INSTRUCTION_SET", "gaussian", "gaussian_twin"]
