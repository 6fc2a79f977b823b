"""Which cluster of a start becomes which component, where fixed parameters make a difference between these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..em.reduce import take_rows
from ..em.starts import LabelStart, SeedStart, Start, nearest_seed
from ..em.statistics import Joint, Sums
from ..exceptions import SingularError
from ._model import CompositeModel

__all__ = ["match_start"]

# rows that are looked at, about
_ROWS = 5000
# a log-density of less is no worse
_LEAST = -1e6


def match_start(
    model: CompositeModel,
    start: Start,
    X: Any,
    sample_weight: np.ndarray | None,
    with_others: Callable[[np.ndarray], np.ndarray],
) -> Start:
    """A drawn start with its clusters in the order that suits fixed parameters best.

    Each cluster is fitted as each component once; the assignment is that of the highest likelihood.

    Parameters
    ----------
    model : CompositeModel
    start : Start
        One of clusters; any other is returned as it is.
    X : ndarray or CSR matrix of shape (n, d)
    sample_weight : ndarray of shape (n,) or None
    with_others : callable
        Shares (n, K) with columns for what stands beside the components.
    """
    if not isinstance(start, LabelStart | SeedStart) or model.distribution.start_parts > 1:
        return start
    clusters = (
        start
        if isinstance(start, LabelStart)
        else nearest_seed(model.distribution.embed(X), start.rows)
    )
    K, n = clusters.n_components, X.shape[0]
    step = max(1, n // _ROWS)
    rows = np.arange(0, n, step) if step > 1 else slice(0, n)
    block = X[rows] if step > 1 else take_rows(X, rows)
    labels = clusters.labels[rows]
    weight = (labels >= 0).astype(np.float64)
    if sample_weight is not None:
        weight *= sample_weight[rows]
    gain = _gains(model, labels, model.distribution.features(block), weight, K, with_others)
    if gain is None:
        return start
    component = np.empty(K, dtype=clusters.labels.dtype)
    found, component_of = linear_sum_assignment(gain, maximize=True)
    component[found] = component_of
    if isinstance(start, LabelStart):
        return LabelStart(np.where(start.labels >= 0, component[start.labels], -1), K)
    return SeedStart(start.rows[np.argsort(component)])


def _gains(
    model: CompositeModel,
    labels: np.ndarray,
    features: Any,
    weight: np.ndarray,
    K: int,
    with_others: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray | None:
    """Log-likelihood (K, K) of each cluster, a row, as each component; None where there is none."""
    gain = np.empty((K, K))
    soft = model.distribution.start_softness
    for shift in range(K):
        shares = (((labels - shift) % K)[:, None] == np.arange(K)).astype(np.float64)
        shares = with_others(shares * (1.0 - soft) + soft / K) * weight[:, None]
        statistics = model.distribution.statistics(None, features, shares)
        counts = Sums({"counts": shares.sum(axis=0)})
        both = Joint({model.latent.name: counts, "components": statistics})
        try:
            components = model.components_m_step(both, None)
        except SingularError:
            return None
        density = model.distribution.log_density(components, features)[0]
        if model.latent.name == "labels":
            density = density + model.latent.log_weights(model.latent_m_step(both, None))
        for cluster in range(K):
            k = (cluster - shift) % K
            rows = np.maximum(density[:, k], _LEAST)
            gain[cluster, k] = np.sum(np.where(labels == cluster, weight * rows, 0.0))
    return gain
