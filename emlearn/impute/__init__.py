"""Missing values filled in, as in sklearn.impute."""

from ._em import EMImputer

__all__ = ["EMImputer"]
