"""Mixture models; the names are those of :mod:`sklearn.mixture`."""

from ._bernoulli import BernoulliMixture
from ._categorical import CategoricalMixture
from ._gaussian import GaussianMixture
from ._multinomial import MultinomialMixture
from ._poisson import PoissonMixture
from ._von_mises_fisher import VonMisesFisherMixture

__all__ = [
    "BernoulliMixture",
    "CategoricalMixture",
    "GaussianMixture",
    "MultinomialMixture",
    "PoissonMixture",
    "VonMisesFisherMixture",
]
