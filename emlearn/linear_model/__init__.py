"""Mixtures of regressions."""

from ._mixture_regressor import MixtureRegressor

__all__ = ["MixtureRegressor"]
