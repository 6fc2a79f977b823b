"""Choosing a model by an information criterion: scorers for a search, and a selector of its own."""

from ._scorers import aic_scorer, bic_scorer, icl_scorer
from ._selector import MixtureSelector

__all__ = ["MixtureSelector", "aic_scorer", "bic_scorer", "icl_scorer"]
