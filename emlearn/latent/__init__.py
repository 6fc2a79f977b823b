"""Latent structures p(z): a posterior, its statistics, their M-step."""

from .chain import Chain, ChainParameters, ChainPrior, Paths
from .labels import Labels

__all__ = ["Chain", "ChainParameters", "ChainPrior", "Labels", "Paths"]
