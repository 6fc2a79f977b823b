"""Temporary."""

import numpy as np
from scipy.special import logsumexp


def _fb(t, startprob, transmat):
    with np.errstate(divide="ignore"):
        A = np.log(transmat)
        s = np.log(startprob)
    n, K = t.shape
    a = np.empty((n, K))
    b = np.zeros((n, K))
    a[0] = s + t[0]
    for i in range(1, n):
        a[i] = logsumexp(a[i - 1][:, None] + A, axis=0) + t[i]
    for i in range(n - 2, -1, -1):
        b[i] = logsumexp(A + t[i + 1] + b[i + 1], axis=1)
    return a, b, A


def posterior(table, ends, startprob, transmat, unit_weight=None):
    K = len(startprob)
    xi = np.zeros((K, K))
    first = np.zeros(K)
    rows = np.empty(len(table))
    s = 0
    for u, e in enumerate(ends):
        w = 1.0 if unit_weight is None else unit_weight[u]
        t = table[s:e]
        a, b, A = _fb(t, startprob, transmat)
        tot = logsumexp(a[-1])
        g = np.exp(a + b - tot)
        if e - s > 1:
            xi += w * np.exp(a[:-1, :, None] + A + (t[1:] + b[1:])[:, None] - tot).sum(0)
        l = logsumexp(a, axis=1)
        rows[s:e] = np.diff(l, prepend=0)
        g /= g.sum(1, keepdims=True)
        first += w * g[0]
        table[s:e] = w * g
        s = e
    return xi, first, rows


def posterior_parallel(table, startprob, transmat, weight, run):
    return posterior(table, np.array([len(table)]), startprob, transmat, np.array([weight]))


def filter(table, ends, startprob, transmat):
    rows = np.empty(len(table))
    s = 0
    for e in ends:
        a, b, A = _fb(table[s:e], startprob, transmat)
        l = logsumexp(a, axis=1)
        rows[s:e] = np.diff(l, prepend=0)
        table[s:e] = np.exp(a - l[:, None])
        s = e
    return rows


def viterbi(table, ends, ls, lA):
    path = np.empty(len(table), dtype=np.int64)
    vals = []
    s = 0
    for e in ends:
        t = table[s:e]
        d = np.empty_like(t)
        d[0] = ls + t[0]
        for i in range(1, e - s):
            d[i] = (d[i - 1][:, None] + lA).max(0) + t[i]
        p = path[s:e]
        p[-1] = d[-1].argmax()
        vals.append(d[-1].max())
        for i in range(e - s - 2, -1, -1):
            p[i] = (d[i] + lA[:, p[i + 1]]).argmax()
        s = e
    return path, np.array(vals)
