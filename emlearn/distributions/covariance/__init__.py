"""Covariance models of a Gaussian: what is shared, what is zero, what is free.

A model is known by scikit-learn's name or by mclust's code, which says of
volume, shape and orientation whether it is equal (E), varies (V) or is that of
the identity (I).
"""

from ._base import Covariance
from ._diagonal import EEI, EII, EVI, VEI
from ._factor import Factor
from ._mclust import EEV, EVE, EVV, VEE, VEV, VVE
from ._ppca import ProbabilisticPrincipalComponents
from ._simple import Diag, Full, Spherical, Tied

COVARIANCES: dict[str, Covariance] = {
    model.name: model
    for model in (
        Full(),
        Tied(),
        Diag(),
        Spherical(),
        EII(),
        EEI(),
        VEI(),
        EVI(),
        VEE(),
        EVE(),
        VVE(),
        EEV(),
        VEV(),
        EVV(),
        Factor(),
        ProbabilisticPrincipalComponents(),
    )
}
COVARIANCES |= {
    code: COVARIANCES[name]
    for code, name in {"VVV": "full", "EEE": "tied", "VVI": "diag", "VII": "spherical"}.items()
}

__all__ = [
    "COVARIANCES",
    "Covariance",
    "Diag",
    "Factor",
    "Full",
    "ProbabilisticPrincipalComponents",
    "Spherical",
    "Tied",
]
