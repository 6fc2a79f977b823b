"""Models of few hidden causes, factors or topics: scikit-learn's module of the same name, fitted by EM."""

from ._factor import FactorAnalysis
from ._lda import LatentDirichletAllocation
from ._ppca import ProbabilisticPCA

__all__ = [
    "FactorAnalysis",
    "LatentDirichletAllocation",
    "ProbabilisticPCA",
]
