"""Mixture models; the names are those of :mod:`sklearn.mixture`."""

from ._bayesian import BayesianGaussianMixture
from ._gaussian import GaussianMixture

__all__ = ["BayesianGaussianMixture", "GaussianMixture"]
