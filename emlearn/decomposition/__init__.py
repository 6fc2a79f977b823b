"""Models of few factors: scikit-learn's module of the same name, fitted by EM."""

from ._factor import FactorAnalysis
from ._ppca import ProbabilisticPCA

__all__ = [
    "FactorAnalysis",
    "ProbabilisticPCA",
]
