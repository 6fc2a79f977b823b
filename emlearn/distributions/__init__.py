"""Distributions p(x | z = k): one family, one file, one line here."""

import inspect

from ._base import Distribution, Prior
from ._linear import ConjugatePrior
from .bernoulli import Bernoulli, BernoulliParameters
from .categorical import Categorical, CategoricalParameters
from .finite_mixture import FiniteMixture, FiniteMixtureParameters
from .gamma import Gamma, GammaParameters
from .gaussian import Gaussian, GaussianParameters
from .multinomial import Multinomial, MultinomialParameters
from .noise import NoisyParameters, WithNoise
from .normal_inverse_wishart import NormalInverseWishart
from .poisson import Poisson, PoissonParameters
from .product import Product, ProductParameters, ProductPrior
from .student_t import StudentT, StudentTParameters
from .von_mises_fisher import VonMisesFisher, VonMisesFisherParameters

__all__ = sorted(name for name, value in vars().items() if inspect.isclass(value))

#: every family that is one without another's help, for the tests that hold its laws
REGISTRY = tuple(
    value
    for value in map(vars().get, __all__)
    if issubclass(value, Distribution)
    and not inspect.isabstract(value)
    and not {"family", "distribution"} & set(value._get_param_names())
)

__all__ += ["REGISTRY"]
