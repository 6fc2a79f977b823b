"""Distributions p(x | z = k): one family, one file."""

from ._base import Distribution, Prior
from .gaussian import Gaussian, GaussianParameters
from .normal_inverse_wishart import NormalInverseWishart

#: every family, for the tests that hold its laws
REGISTRY = (Gaussian,)

__all__ = [
    "REGISTRY",
    "Distribution",
    "Gaussian",
    "GaussianParameters",
    "NormalInverseWishart",
    "Prior",
]
