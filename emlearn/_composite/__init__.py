"""Latent structure times distribution: the model, and the estimators that are made of it."""

from ._estimator import CompositeEstimator
from ._model import CompositeModel, Fitted, Parameters, modes_of

__all__ = ["CompositeEstimator", "CompositeModel", "Fitted", "Parameters", "modes_of"]
