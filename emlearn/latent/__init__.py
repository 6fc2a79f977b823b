"""Latent structures p(z): a posterior, its statistics, their M-step."""

from .labels import Labels

__all__ = ["Labels"]
