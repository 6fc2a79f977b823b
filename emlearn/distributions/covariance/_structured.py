"""Covariance matrices of which some entries are given, or some of their inverse."""

from __future__ import annotations

import numpy as np

from ...exceptions import SingularError

__all__ = ["complete", "fit_structured"]

_STEPS = 200
# predicted gain at which the entries rest
_REST = 1e-14


def fit_structured(
    scatter: np.ndarray, values: np.ndarray, *, inverse: bool, current: np.ndarray | None
) -> np.ndarray:
    """The matrix that maximises the likelihood of an empirical covariance beside entries that are given.

    Of a covariance Fisher's scoring climbs ``-log|M| - trace(inv(M) S)``; of a precision Newton's method
    ``log|M| - trace(M S)``, which is concave. A step is halved until it gains.

    Parameters
    ----------
    scatter : ndarray of shape (d, d)
        The empirical covariance S.
    values : ndarray of shape (d, d)
        NaN where an entry is free; symmetric.
    inverse : bool
        True where ``values`` are those of the precision.
    current : ndarray of shape (d, d) or None
        Where to begin; the result is no worse.

    Returns
    -------
    ndarray of shape (d, d)
        The covariance, or with ``inverse`` the precision.

    References
    ----------
    Anderson, T. W. (1973). Asymptotically efficient estimation of covariance
    matrices with linear structure. Annals of Statistics 1(1), 135-141.

    Dempster, A. P. (1972). Covariance selection. Biometrics 28(1), 157-175.
    """
    unit = np.sqrt(np.diagonal(scatter))
    unit = np.where(unit > 0, unit, 1.0)
    unit = np.outer(unit, unit)
    to = 1.0 / unit if not inverse else unit
    S, given = scatter / unit, values * to
    a, b = np.nonzero(np.triu(np.isnan(values)))
    half = np.where(a == b, 0.5, 1.0)
    M = None if current is None else np.where(np.isnan(given), current * to, given)
    if M is None or not _is_positive(M):
        M = complete(given, np.eye(len(S)) if inverse else S)
        if M is None:
            raise SingularError("No positive definite matrix has the entries that are fixed.")
    value = _value(M, S, inverse)
    for _ in range(_STEPS):
        P = np.linalg.inv(M)
        G = P - S if inverse else P @ S @ P - P
        slope = 2.0 * half * G[a, b]
        step = _solve(_curvature(P, a, b, half), slope)
        if not slope @ step > _REST:
            break
        change = np.zeros_like(M)
        change[a, b] = change[b, a] = step
        for _ in range(40):
            trial = M + change
            reached = _value(trial, S, inverse) if _is_positive(trial) else -np.inf
            if reached > value:
                break
            change *= 0.5
        else:
            break
        M, value = trial, reached
    return np.where(np.isnan(values), M / to, values)


def complete(values: np.ndarray, guess: np.ndarray) -> np.ndarray | None:
    """A positive definite matrix with these entries, near a guess if that has one; None where there is none."""
    free = np.isnan(values)
    off = ~np.eye(len(values), dtype=bool)
    for share in (1.0, 0.5, 0.0):
        M = np.where(free, np.where(off, share, 1.0) * guess, values)
        if _is_positive(M):
            return M
    known = np.flatnonzero(~np.diagonal(free))
    block = _raise(values[np.ix_(known, known)])
    if block is None:
        return None
    M = np.where(free, np.where(off, 0.0, np.abs(guess)), values)
    M[np.ix_(known, known)] = block
    loose = np.flatnonzero(np.diagonal(free))
    for _ in range(200):  # a variance that is free may be as large as it takes
        if _is_positive(M):
            return M
        M[loose, loose] = 2.0 * M[loose, loose] + 1e-8
    return None


def _raise(values: np.ndarray) -> np.ndarray | None:
    """A completion of a matrix with a known diagonal: the determinant of ``M + shift`` is raised, the shift lowered."""
    d = len(values)
    a, b = np.nonzero(np.triu(np.isnan(values)))
    M = np.where(np.isnan(values), 0.0, values)
    if d == 0 or _is_positive(M):
        return M
    low = np.linalg.eigvalsh(M)[0]
    shift = 1e-3 - 2.0 * low
    for _ in range(200):
        for _ in range(20):
            P = np.linalg.inv(M + shift * np.eye(d))
            step = _solve(_curvature(P, a, b, np.ones(len(a))), 2.0 * P[a, b])
            length = 1.0
            trial = M.copy()
            while length > 1e-6:
                trial[a, b] = trial[b, a] = M[a, b] + length * step
                if _is_positive(trial + shift * np.eye(d)):
                    break
                length *= 0.5
            moved = np.abs(trial - M).max()
            M = trial.copy()
            if moved < 1e-9:
                break
        if _is_positive(M):
            return M
        low = np.linalg.eigvalsh(M)[0]
        if shift + low < 1e-10 * max(1.0, shift):
            return None
        shift = 0.5 * (shift - low)
    return None


def _value(M: np.ndarray, S: np.ndarray, inverse: bool) -> float:
    log_det = np.linalg.slogdet(M)[1]
    if inverse:
        return float(log_det - np.sum(M * S))
    return float(-log_det - np.trace(np.linalg.solve(M, S)))


def _curvature(P: np.ndarray, a: np.ndarray, b: np.ndarray, half: np.ndarray) -> np.ndarray:
    """``trace(P G_i P G_j)`` for the symmetric matrices G_i of the entries (a, b)."""
    products = P[np.ix_(a, b)] * P[np.ix_(b, a)] + P[np.ix_(a, a)] * P[np.ix_(b, b)]
    return 2.0 * np.outer(half, half) * products


def _solve(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.solve(matrix, vector)
    except np.linalg.LinAlgError:
        return np.linalg.lstsq(matrix, vector, rcond=None)[0]


def _is_positive(M: np.ndarray) -> bool:
    try:
        np.linalg.cholesky(M)
    except np.linalg.LinAlgError:
        return False
    return True
