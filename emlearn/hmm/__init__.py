"""Hidden Markov models."""

from ._bernoulli import BernoulliHMM
from ._categorical import CategoricalHMM
from ._forecast import Forecast
from ._gamma import GammaHMM
from ._gaussian import GaussianHMM
from ._gmm import GMMHMM
from ._hmm import HMM
from ._multinomial import MultinomialHMM
from ._poisson import PoissonHMM
from ._student_t import StudentTHMM

__all__ = [
    "GMMHMM",
    "HMM",
    "BernoulliHMM",
    "CategoricalHMM",
    "Forecast",
    "GammaHMM",
    "GaussianHMM",
    "MultinomialHMM",
    "PoissonHMM",
    "StudentTHMM",
]
