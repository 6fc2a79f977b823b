"""Models fitted by the EM algorithm, and the algorithm itself as a framework."""

from importlib.metadata import PackageNotFoundError, version

from ._show_versions import show_versions
from .base import EMMixin
from .hmm import (
    GMMHMM,
    HMM,
    BernoulliHMM,
    CategoricalHMM,
    GammaHMM,
    GaussianHMM,
    MultinomialHMM,
    PoissonHMM,
    StudentTHMM,
)
from .impute import EMImputer
from .mixture import (
    BayesianGaussianMixture,
    BernoulliMixture,
    CategoricalMixture,
    GammaMixture,
    GaussianMixture,
    MixedMixture,
    Mixture,
    MultinomialMixture,
    PoissonMixture,
    StudentTMixture,
    VonMisesFisherMixture,
)
from .model_selection import MixtureSelector

try:
    __version__ = version("emlearn")
except PackageNotFoundError:  # read from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = [
    "GMMHMM",
    "HMM",
    "BayesianGaussianMixture",
    "BernoulliHMM",
    "BernoulliMixture",
    "CategoricalHMM",
    "CategoricalMixture",
    "EMImputer",
    "EMMixin",
    "GammaHMM",
    "GammaMixture",
    "GaussianHMM",
    "GaussianMixture",
    "MixedMixture",
    "Mixture",
    "MixtureSelector",
    "MultinomialHMM",
    "MultinomialMixture",
    "PoissonHMM",
    "PoissonMixture",
    "StudentTHMM",
    "StudentTMixture",
    "VonMisesFisherMixture",
    "__version__",
    "show_versions",
]
