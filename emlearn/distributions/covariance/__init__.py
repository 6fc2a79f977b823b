"""Covariance models of a Gaussian: what is shared, what is zero, what is free."""

from ._base import Covariance
from ._simple import Diag, Full, Spherical, Tied

COVARIANCES: dict[str, Covariance] = {
    model.name: model for model in (Full(), Tied(), Diag(), Spherical())
}

__all__ = ["COVARIANCES", "Covariance", "Diag", "Full", "Spherical", "Tied"]
