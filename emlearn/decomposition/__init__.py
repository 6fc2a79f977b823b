"""Decompositions of tables into few hidden causes: topics of documents."""

from ._lda import LatentDirichletAllocation

__all__ = ["LatentDirichletAllocation"]
