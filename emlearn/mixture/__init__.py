"""Mixture models; the names are those of :mod:`sklearn.mixture`."""

from ._bayesian import BayesianGaussianMixture
from ._bernoulli import BernoulliMixture
from ._categorical import CategoricalMixture
from ._gamma import GammaMixture
from ._gaussian import GaussianMixture
from ._mixed import MixedMixture
from ._mixture import Mixture
from ._multinomial import MultinomialMixture
from ._poisson import PoissonMixture
from ._student_t import StudentTMixture
from ._von_mises_fisher import VonMisesFisherMixture

__all__ = [
    "BayesianGaussianMixture",
    "BernoulliMixture",
    "CategoricalMixture",
    "GammaMixture",
    "GaussianMixture",
    "MixedMixture",
    "Mixture",
    "MultinomialMixture",
    "PoissonMixture",
    "StudentTMixture",
    "VonMisesFisherMixture",
]
