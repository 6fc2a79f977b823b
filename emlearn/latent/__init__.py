"""Latent structures p(z): a posterior, its statistics, their M-step."""

from .chain import Chain, ChainParameters, ChainPrior, Paths
from .gate import Gate, GateParameters
from .labels import Labels

__all__ = ["Chain", "ChainParameters", "ChainPrior", "Gate", "GateParameters", "Labels", "Paths"]
