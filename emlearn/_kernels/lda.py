"""Documents as mixtures of topics: the NumPy twin of ``_lda.pyx``.

A block of documents is ``rows``, three arrays of CSR rows: ``ends`` (n + 1,) of int64, ``words`` (nnz,) of int32,
``counts`` (nnz,). The table (V, K) is exp E[log beta], each row divided by its largest entry, and ``shift`` (V,) the
logarithm of that. No share is less than 1e-148 of the largest, so that no sum of products vanishes.
"""

import numpy as np
from scipy.special import digamma, gammaln

_LEAST = -340.78259367692475


def special(x):
    """exp(digamma), digamma and log gamma of positive numbers (n,)."""
    value = digamma(x)
    return np.exp(value), value, gammaln(x)


def topics(components, eta):
    """What the E-step needs of topics, and their part of the bound.

    Parameters
    ----------
    components : ndarray of shape (V, K)
        Dirichlet parameters, a column for each topic.
    eta : float
        Of the prior.

    Returns
    -------
    table : ndarray of shape (V, K)
    shift : ndarray of shape (V,)
    bound : float
        E[log p(beta)] - E[log q(beta)].
    """
    V, K = components.shape
    totals = components.sum(axis=0)
    logs = digamma(components) - digamma(totals)
    shift = logs.max(axis=1)
    table = np.exp(np.maximum(logs - shift[:, None], _LEAST))
    bound = ((eta - components) * logs + gammaln(components)).sum() - gammaln(totals).sum()
    return table, shift, float(bound + K * (gammaln(V * eta) - V * gammaln(eta)))


def _shares(gamma):
    logs = digamma(gamma)
    logs = np.maximum(logs - logs.max(), _LEAST)
    return np.exp(logs), logs


def documents(
    rows,
    table,
    shift,
    alpha,
    gamma,
    sample_weight,
    tol,
    max_iter,
    counted=True,
    with_log_theta=False,
):
    """The E-step of a block of documents.

    Parameters
    ----------
    rows : tuple of three ndarray
    table, shift : ndarray
        As :func:`topics` gives them.
    alpha : ndarray of shape (K,)
        Of the prior of a document's topics.
    gamma : ndarray of shape (n, K)
        Dirichlet parameters of the documents' topics; written in place. A document goes on from its row, where the
        first entry is above 0, and begins with ``alpha + length / K`` elsewhere.
    sample_weight : ndarray of shape (n,) or None
    tol : float
        A document rests where its topics change by less, on average.
    max_iter : int
        Iterations for a document; at least one is made.
    counted : bool
        True for training: expected counts, with the topics of words that they are made of in the bound. Documents of
        weight 0 are left out. False for scoring: the bound has the best topics of words for ``gamma``.
    with_log_theta : bool

    Returns
    -------
    bounds : ndarray of shape (n,)
        Of the log-likelihood of each document, not weighed.
    expected : ndarray of shape (V, K) or None
        Expected counts of words, weighed.
    log_theta : ndarray of shape (K,) or None
        Sums of E[log theta], weighed.
    """
    ends, words, counts = rows
    n, K = gamma.shape
    bounds = np.zeros(n)
    expected = np.zeros_like(table) if counted else None
    log_theta = np.zeros(K) if with_log_theta else None
    empty = gammaln(alpha).sum() - gammaln(alpha.sum())
    for i in range(n):
        weight = 1.0 if sample_weight is None else sample_weight[i]
        at = slice(ends[i], ends[i + 1])
        total = counts[at].sum()
        if total > 0:
            if not weight > 0 and counted:
                continue
            B, c, g = table[words[at]], counts[at], gamma[i]
            if not g[0] > 0:
                g[:] = alpha + total / K
            for _ in range(max(1, max_iter)):
                shares, logs = _shares(g)
                sums = B @ shares
                ratios = c / sums
                new = alpha + shares * (ratios @ B)
                change = np.abs(new - g).sum() / K
                g[:] = new
                if change < tol:
                    break
            if counted:
                np.add.at(expected, words[at], weight * ratios[:, None] * shares)
            else:
                shares, logs = _shares(g)
                sums = B @ shares
            bounds[i] = c @ (np.log(sums) + shift[words[at]]) - (g - alpha) @ logs
            bounds[i] += gammaln(g).sum() - gammaln(g.sum()) - empty
        else:
            gamma[i] = alpha
        if with_log_theta and weight > 0:
            log_theta += weight * (digamma(gamma[i]) - digamma(gamma[i].sum()))
    if counted:
        expected *= table
    return bounds, expected, log_theta
