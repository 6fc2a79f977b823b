"""Distributions p(x | z = k): one family, one file."""

from ._base import Distribution, Prior
from ._linear import ConjugatePrior
from .bernoulli import Bernoulli, BernoulliParameters
from .categorical import Categorical, CategoricalParameters
from .gamma import Gamma, GammaParameters
from .gaussian import Gaussian, GaussianParameters
from .multinomial import Multinomial, MultinomialParameters
from .noise import NoisyParameters, WithNoise
from .normal_inverse_wishart import NormalInverseWishart
from .poisson import Poisson, PoissonParameters
from .product import Product, ProductParameters, ProductPrior
from .student_t import StudentT, StudentTParameters
from .von_mises_fisher import VonMisesFisher, VonMisesFisherParameters

#: every family, for the tests that hold its laws
REGISTRY = (
    Gaussian,
    StudentT,
    Bernoulli,
    Categorical,
    Poisson,
    Multinomial,
    VonMisesFisher,
    Gamma,
    Product,
)

__all__ = [
    "REGISTRY",
    "Bernoulli",
    "BernoulliParameters",
    "Categorical",
    "CategoricalParameters",
    "ConjugatePrior",
    "Distribution",
    "Gamma",
    "GammaParameters",
    "Gaussian",
    "GaussianParameters",
    "Multinomial",
    "MultinomialParameters",
    "NoisyParameters",
    "NormalInverseWishart",
    "Poisson",
    "PoissonParameters",
    "Prior",
    "Product",
    "ProductParameters",
    "ProductPrior",
    "StudentT",
    "StudentTParameters",
    "VonMisesFisher",
    "VonMisesFisherParameters",
    "WithNoise",
]
