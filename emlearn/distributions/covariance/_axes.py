"""Common axes of several scatters: Flury's common principal components."""

from __future__ import annotations

import numpy as np

__all__ = ["common_axes", "diagonals"]

_EPS = float(np.finfo(np.float64).eps)
# steps within EM, and at a start
_WARM, _COLD = 3, 1000
# predicted gain, of the weight, at which the axes rest
_REST = 1e-15


def common_axes(
    scatter: np.ndarray, weight: np.ndarray, *, equal_volume: bool, current: np.ndarray | None
) -> np.ndarray:
    """Axes (d, d) in columns that make the most of the likelihood of scatters (K, d, d).

    With ``t[k]`` the diagonal of ``axes.T @ scatter[k] @ axes``, the profile
    log-likelihood is ``-1/2 sum_k weight[k] sum_j log t[k, j]`` where volumes are
    free, and ``-d/2 sum(weight) log(sum_k prod_j t[k, j] ** (1/d))`` where they are
    equal. It is climbed by rotations in all planes at once, each by Newton's
    step, halved while it does not gain. There are several optima: the climb
    begins at the current axes, or at those of the features, as mclust's does.

    References
    ----------
    Flury, B. N. and Gautschi, W. (1986). An algorithm for simultaneous
    orthogonal transformation of several positive definite symmetric matrices to
    nearly diagonal form. SIAM Journal on Scientific and Statistical Computing
    7(1), 169-184.

    Browne, R. P. and McNicholas, P. D. (2014). Estimating common principal
    components in high dimensions. Advances in Data Analysis and Classification
    8(2), 217-226.
    """
    d = scatter.shape[1]
    if d == 1:
        return np.ones((1, 1))
    if current is not None:
        return _climb(scatter, weight, equal_volume, _axes_of(current), _WARM)[0]
    axes, value, resting = _climb(scatter, weight, equal_volume, np.eye(d), _COLD)
    if resting:
        return axes
    # features of one variance hold the climb on a pass between two summits
    used = scatter[weight > 0]
    guesses = [_axes_of(used), np.linalg.eigh(used.sum(axis=0))[1], *np.linalg.eigh(used)[1]]
    tries = [(axes, value)]
    tries += [_climb(scatter, weight, equal_volume, guess, _COLD)[:2] for guess in guesses]
    return min(tries, key=lambda found: found[1])[0]


def diagonals(scatter: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Variances (K, d) of scatters along axes."""
    return np.einsum("kij,ij->kj", scatter @ axes, axes)


def _axes_of(covariances: np.ndarray) -> np.ndarray:
    """The axes of covariances that have them in common: those of a sum in which none hides another."""
    sizes = np.trace(covariances, axis1=1, axis2=2)
    share = 1.0 / (np.where(sizes > 0, sizes, 1.0) * np.sqrt(1.0 + np.arange(len(sizes))))
    return np.linalg.eigh(np.tensordot(share, covariances, axes=1))[1]


def _value(t: np.ndarray, weight: np.ndarray, equal_volume: bool) -> float:
    logs = np.log(t).sum(axis=1)
    if not equal_volume:
        return float(weight @ logs)
    d, logs = t.shape[1], logs[weight > 0]
    top = logs.max()
    return float(weight.sum() * (top + d * np.log(np.exp((logs - top) / d).sum())))


def _climb(
    scatter: np.ndarray, weight: np.ndarray, equal_volume: bool, axes: np.ndarray, steps: int
) -> tuple[np.ndarray, float, bool]:
    """Axes, minus twice their profile log-likelihood, and whether they are a maximum in each plane."""
    d = len(axes)
    eye = np.eye(d)
    off = eye == 0
    turned = axes.T @ scatter @ axes
    t = np.diagonal(turned, axis1=1, axis2=2)
    if not t.min() > 0:
        return axes, -np.inf, True
    value = _value(t, weight, equal_volume)
    summit = True
    for _ in range(steps):
        if equal_volume:
            logs = np.log(t).sum(axis=1) / d
            share = np.where(weight > 0, np.exp(logs - logs.max()), 0.0)
            share *= weight.sum() / share.sum()
        else:
            share = weight
        # slope and curvature of the value in the angle of each plane
        inverse = 1.0 / t
        column = (share[:, None] * inverse)[:, None, :]
        slope = (turned * column).sum(axis=0)
        slope = 2.0 * (slope - slope.T)
        ratio = t.T @ (share[:, None] * inverse)
        convex = 2.0 * (ratio + ratio.T - 2.0 * share.sum())
        squares = turned * turned * (share[:, None] * inverse * inverse)[:, None, :]
        squares = squares.sum(axis=0)
        concave = 4.0 * (squares + squares.T)
        bent = convex - concave
        summit = bool(bent[off].min() > -1e-6 * share.sum())
        curvature = np.maximum(bent, 0.1 * convex) + _EPS * share.sum()
        angles = np.clip(-slope / curvature, -0.5, 0.5)
        gain = -0.25 * float(np.sum(slope * angles))
        if not gain > _REST * share.sum():
            break
        for _ in range(30):
            # Cayley's transform is a rotation to the last digit
            rotation = np.linalg.solve(eye - 0.5 * angles, eye + 0.5 * angles)
            trial = axes @ rotation
            moved = trial.T @ scatter @ trial
            t_moved = np.diagonal(moved, axis1=1, axis2=2)
            reached = _value(t_moved, weight, equal_volume) if t_moved.min() > 0 else -np.inf
            if reached < value:
                break
            angles = 0.5 * angles
        else:
            break
        axes, turned, t, value = trial, moved, t_moved, reached
        if value == -np.inf:
            break
    return axes, value, summit
