"""Posteriors, filter and best path of a Markov chain: the NumPy twin of ``_chain.pyx``.

A *unit* is a sequence; unit s is rows ``ends[s-1]`` to ``ends[s]`` of ``table`` (n, K), the
log-densities of the K states: any number below 1e300, -inf where impossible, and NaN counts as
-inf. ``startprob`` (K,) and ``transmat`` (K, K) are probabilities, zero where impossible.

A row that is -inf throughout tells nothing: its posterior is the prediction. A row that no path
reaches begins the chain afresh. Either makes the unit impossible: the row's value is -inf.
"""

import numpy as np


def _level(table):
    """Log-densities less the largest of each row, and that; a row of -inf tells nothing: zeros."""
    density = np.where(table > -np.inf, table, -np.inf)  # NaN is not
    tops = density.max(axis=1)
    nothing = tops == -np.inf
    density[nothing] = 0.0
    return density - np.where(nothing, 0.0, tops)[:, None], tops


def _log(probabilities):
    with np.errstate(divide="ignore"):
        return np.log(probabilities)


def _log_sum(a, axis=None):
    """Logarithm of a sum of exponentials; -inf of nothing."""
    top = a.max(axis=axis, keepdims=True)
    top[top == -np.inf] = 0.0
    with np.errstate(divide="ignore"):
        return np.log(np.exp(a - top).sum(axis=axis)) + np.squeeze(top, axis=axis)


def _forward(density, tops, log_start, log_transmat):
    """Normalised log p(z_t | x_1..x_t), and log p(x_t | x_1..x_{t-1})."""
    alpha, rows = np.empty_like(density), np.empty(len(density))
    predicted = log_start
    for t, row in enumerate(density):
        joint = predicted + row
        total = _log_sum(joint)
        rows[t] = total + tops[t]
        if total == -np.inf:  # no path comes here
            joint, total = row, _log_sum(row)
        alpha[t] = joint - total
        predicted = _log_sum(alpha[t][:, None] + log_transmat, axis=0)
    return alpha, rows


def _backward(density, log_transmat):
    """Log p(x_{t+1}.. | z_t), each row less its largest."""
    beta = np.zeros_like(density)
    for t in range(len(density) - 1, 0, -1):
        row = _log_sum(log_transmat + density[t] + beta[t], axis=1)
        top = row.max()
        beta[t - 1] = row - top if top > -np.inf else 0.0
    return beta


def _smooth(table, log_start, log_transmat):
    density, tops = _level(table)
    alpha, rows = _forward(density, tops, log_start, log_transmat)
    beta = _backward(density, log_transmat)
    joint = alpha + beta
    total = _log_sum(joint, axis=1)
    lost = total == -np.inf  # forward and backward contradict each other
    joint[lost], total[lost] = alpha[lost], 0.0
    pairs = np.zeros_like(log_transmat)
    for t in range(1, len(density)):
        pair = alpha[t - 1][:, None] + log_transmat + density[t] + beta[t]
        total_pair = _log_sum(pair)
        if total_pair > -np.inf:
            pairs += np.exp(pair - total_pair)
    return np.exp(joint - total[:, None]), pairs, rows


def posterior(table, ends, startprob, transmat, unit_weight=None):
    """Posteriors of states and of pairs of states.

    Parameters
    ----------
    table : ndarray of shape (n, K)
        Log-densities; becomes p(z_t = k | X) times the weight of its unit.
    ends : ndarray of shape (S,), intp
    startprob : ndarray of shape (K,)
    transmat : ndarray of shape (K, K)
    unit_weight : ndarray of shape (S,) or None

    Returns
    -------
    xi : ndarray of shape (K, K)
        Sum over t of p(z_t = i, z_{t+1} = j | X), weighted.
    first : ndarray of shape (K,)
        Sum over the units of the posterior of their first row, weighted.
    rows : ndarray of shape (n,)
        log p(x_t | x_1..x_{t-1}), not weighted.
    """
    return posterior_of_logs(table, ends, _log(startprob), _log(transmat), unit_weight)


def posterior_of_logs(table, ends, log_start, log_transmat, unit_weight=None):
    """``posterior`` from logarithms of the probabilities, which may be of any size and need not sum to 1."""
    n, K = table.shape
    xi, first, rows = np.zeros((K, K)), np.zeros(K), np.empty(n)
    begin = 0
    for s, end in enumerate(ends):
        here = slice(begin, end)
        weight = 1.0 if unit_weight is None else unit_weight[s]
        gamma, pairs, rows[here] = _smooth(table[here], log_start, log_transmat)
        table[here] = gamma * weight
        xi += pairs * weight
        first += table[begin]
        begin = end
    return xi, first, rows


def posterior_parallel(table, startprob, transmat, weight, run, spare=None):
    """``posterior`` of one long unit, in several threads.

    ``run`` takes a list of functions, calls each, in any order and any thread, and returns their
    results in order. What comes out does not depend on how it does so.
    ``spare`` is a list of memory to use, and to give back; here nobody does.
    """
    ends, weights = np.array([len(table)], dtype=np.intp), np.array([weight], dtype=float)
    return run([lambda: posterior(table, ends, startprob, transmat, weights)])[0]


def filter(table, ends, startprob, transmat):
    """``table`` becomes p(z_t = k | x_1..x_t); returns log p(x_t | x_1..x_{t-1}) (n,)."""
    rows = np.empty(len(table))
    log_start, log_transmat = _log(startprob), _log(transmat)
    begin = 0
    for end in ends:
        here = slice(begin, end)
        alpha, rows[here] = _forward(*_level(table[here]), log_start, log_transmat)
        table[here] = np.exp(alpha)
        begin = end
    return rows


def filter_of_logs(table, log_start, log_transmat):
    """Logarithms of what ``filter`` makes of one unit, and log p(x_t | x_1..x_{t-1}), from logarithms, too."""
    return _forward(*_level(table), log_start, log_transmat)


def _best_path(table, log_start, log_transmat, path):
    n = len(table)
    best, possible = np.where(table > -np.inf, table, -np.inf), True
    value = log_start
    for t, row in enumerate(best):
        nothing = row.max() == -np.inf
        joint = value + (0.0 if nothing else row)
        if joint.max() == -np.inf:  # no path comes here: the chain begins afresh
            joint = np.zeros_like(row) if nothing else row.copy()
            nothing = True
        possible = possible and not nothing
        best[t] = joint
        value = (joint[:, None] + log_transmat).max(axis=0)
    path[-1] = state = best[-1].argmax()
    for t in range(n - 2, -1, -1):
        step = best[t] + log_transmat[:, state]
        path[t] = state = (step if step.max() > -np.inf else best[t]).argmax()
    return best[-1].max() if possible else -np.inf


def viterbi(table, ends, log_startprob, log_transmat):
    """Most probable path (n,), int64, and log p(path, X) of each unit (S,).

    The lowest state where several are as good. Where no path is possible, the value is -inf and
    the path is made of the best pieces.
    """
    path, values = np.empty(len(table), dtype=np.int64), np.empty(len(ends))
    begin = 0
    for s, end in enumerate(ends):
        here = slice(begin, end)
        values[s] = _best_path(table[here], log_startprob, log_transmat, path[here])
        begin = end
    return path, values
