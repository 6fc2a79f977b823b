"""Mixture models; the names are those of :mod:`sklearn.mixture`."""

from ._gaussian import GaussianMixture

__all__ = ["GaussianMixture"]
