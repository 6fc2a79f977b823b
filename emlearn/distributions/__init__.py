"""Distributions p(x | z = k): one family, one file."""

from ._base import Distribution
from .gaussian import Gaussian, GaussianParameters

#: every family, for the tests that hold its laws
REGISTRY = (Gaussian,)

__all__ = ["REGISTRY", "Distribution", "Gaussian", "GaussianParameters"]
