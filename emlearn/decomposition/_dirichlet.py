"""Maximum likelihood of Dirichlet parameters: the priors of topics and of words, where they are estimated."""

from __future__ import annotations

import numpy as np
from scipy.special import digamma, gammaln, polygamma

from .._kernels import lda as kernel
from ..exceptions import SingularError

__all__ = ["fit_asymmetric", "fit_symmetric"]

# where a prior that the data push to 0, or to infinity, stops
_LEAST, _MOST = 1e-8, 1e6


def fit_asymmetric(log_theta: np.ndarray, weight: float, alpha: np.ndarray) -> np.ndarray:
    """Dirichlet parameters (K,) of proportions whose expected logarithms are known.

    Newton's method, whose Hessian is a diagonal plus a constant; a step that does not raise the likelihood is halved.

    Parameters
    ----------
    log_theta : ndarray of shape (K,)
        Sums of E[log theta].
    weight : float
        Over how many documents.
    alpha : ndarray of shape (K,)
        Where to begin.

    References
    ----------
    Minka, T. P. (2000). Estimating a Dirichlet distribution. Technical report, MIT.
    """
    if not weight > 0 or len(alpha) == 1:  # the share of an only topic is 1 whatever its prior
        return alpha
    mean = log_theta / weight
    if not np.all(np.isfinite(mean)) or not np.all(mean <= 0):
        raise SingularError("the expected logarithms of the documents' topics are above 0")

    def value(a: np.ndarray) -> float:
        return float(gammaln(a.sum()) - gammaln(a).sum() + a @ mean)

    now = value(alpha)
    for _ in range(50):
        gradient = digamma(alpha.sum()) - digamma(alpha) + mean
        diagonal, constant = -polygamma(1, alpha), float(polygamma(1, alpha.sum()))
        shared = (gradient / diagonal).sum() / (1.0 / constant + (1.0 / diagonal).sum())
        step, scale = (shared - gradient) / diagonal, 1.0
        while scale > 1e-6:
            new = np.clip(alpha + scale * step, np.maximum(alpha / 4, _LEAST), _MOST)
            then = value(new)
            if then >= now:
                break
            scale /= 2
        else:
            return alpha
        rests = np.abs(new - alpha).max() <= 1e-9 * alpha.max()
        alpha, now = new, then
        if rests:
            break
    return alpha


def fit_symmetric(counts: np.ndarray, eta: float, n_steps: int = 4) -> float:
    """The prior of words that makes expected counts (V, K) of topics most likely, a few steps nearer.

    The likelihood is that of counts with the topics integrated out, so that this, and ``eta + counts``, are the M-step
    of both. Each step raises it.

    References
    ----------
    Minka, T. P. (2000). Estimating a Dirichlet distribution. Technical report, MIT.
    """
    V, K = counts.shape
    totals = counts.sum(axis=0)
    if not totals.sum() > 0:
        return eta
    flat = np.ascontiguousarray(counts).ravel()
    for _ in range(n_steps):
        above = kernel.special(flat + eta)[1].sum() - V * K * digamma(eta)
        below = V * (digamma(totals + V * eta) - digamma(V * eta)).sum()
        new = float(np.clip(eta * above / below, _LEAST, _MOST)) if below > 0 else eta
        rests = abs(new - eta) <= 1e-6 * eta
        eta = new
        if rests:
            break
    return eta
