"""Distributions p(x | z = k): one family, one file."""

from ._base import Distribution, Prior
from ._linear import ConjugatePrior
from .bernoulli import Bernoulli, BernoulliParameters
from .categorical import Categorical, CategoricalParameters
from .gaussian import Gaussian, GaussianParameters
from .multinomial import Multinomial, MultinomialParameters
from .noise import NoisyParameters, WithNoise
from .poisson import Poisson, PoissonParameters
from .von_mises_fisher import VonMisesFisher, VonMisesFisherParameters

#: every family, for the tests that hold its laws
REGISTRY = (Gaussian, Bernoulli, Categorical, Poisson, Multinomial, VonMisesFisher)

__all__ = [
    "REGISTRY",
    "Bernoulli",
    "BernoulliParameters",
    "Categorical",
    "CategoricalParameters",
    "ConjugatePrior",
    "Distribution",
    "Gaussian",
    "GaussianParameters",
    "Multinomial",
    "MultinomialParameters",
    "NoisyParameters",
    "Poisson",
    "PoissonParameters",
    "Prior",
    "VonMisesFisher",
    "VonMisesFisherParameters",
    "WithNoise",
]
