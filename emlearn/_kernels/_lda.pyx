# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""Documents as mixtures of topics: the compiled half of ``lda.py``."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, int64_t

import numpy as np


cdef extern from "lda_kernel.h" nogil:
    ctypedef struct em_documents:
        ptrdiff_t n, K, V
        const int64_t *ends
        const int32_t *words
        const double *counts
        const double *table
        const double *shift
        const double *alpha
        const double *weights
        double tol
        ptrdiff_t max_iter
    ctypedef struct em_lda_instructions:
        const char *name
        int (*documents)(const em_documents *, double *, double *, double *, double *) noexcept nogil
        int (*topics)(ptrdiff_t, ptrdiff_t, const double *, const double *, double, double *, double *,
                      double *) noexcept nogil
        void (*special)(ptrdiff_t, const double *, double *, double *, double *) noexcept nogil
    const em_lda_instructions em_known_lda[]
    int em_chosen, EM_N_KNOWN
    int em_supported(int)
    void em_choose(int)


em_choose(0)


def instruction_sets():
    """Names of what was compiled and this processor has, widest first."""
    return [em_known_lda[i].name.decode() for i in range(EM_N_KNOWN) if em_supported(i)]


def use_instruction_set(str name):
    """Use another of :func:`instruction_sets`: for tests and measurements."""
    for i in range(EM_N_KNOWN):
        if em_known_lda[i].name.decode() == name and em_supported(i):
            em_choose(i)
            return
    raise ValueError(f"{name!r} is not one of {instruction_sets()}")


def special(const double[::1] x):
    """exp(digamma), digamma and log gamma of positive numbers; see the twin."""
    cdef ptrdiff_t n = x.shape[0]
    out = np.empty((3, n))
    cdef double[:, ::1] o = out
    if n:
        with nogil:
            em_known_lda[em_chosen].special(n, &x[0], &o[0, 0], &o[1, 0], &o[2, 0])
    return out[0], out[1], out[2]


def topics(const double[:, ::1] components, double eta):
    """Table, shift and bound of Dirichlet parameters; see the twin."""
    cdef ptrdiff_t V = components.shape[0], K = components.shape[1]
    cdef double bound = 0.0
    cdef int failed
    if V == 0 or K == 0:
        raise ValueError(f"words and topics are needed, got {V} and {K}")
    sums = np.asarray(components).sum(axis=0)
    _, digammas, lgammas = special(sums)
    table, shift = np.empty((V, K)), np.empty(V)
    cdef const double[::1] totals = digammas
    cdef double[:, ::1] table_view = table
    cdef double[::1] shift_view = shift
    with nogil:
        failed = em_known_lda[em_chosen].topics(
            V, K, &components[0, 0], &totals[0], eta, &table_view[0, 0], &shift_view[0], &bound)
    if failed:
        raise MemoryError("no memory for the buffers of the topics")
    _, _, prior = special(np.array([eta, V * eta]))
    return table, shift, bound - lgammas.sum() + K * (prior[1] - V * prior[0])


def documents(rows, const double[:, ::1] table, const double[::1] shift, const double[::1] alpha,
              double[:, ::1] gamma, sample_weight, double tol, ptrdiff_t max_iter, bint counted=True,
              bint with_log_theta=False):
    """Bounds, expected counts and sums of E[log theta] of a block of documents; see the twin."""
    cdef const int64_t[::1] ends = rows[0]
    cdef const int32_t[::1] words = rows[1]
    cdef const double[::1] counts = rows[2]
    cdef const double[::1] w
    cdef double[::1] bounds_view, log_theta_view
    cdef double[:, ::1] expected_view
    cdef double *expected_at = NULL
    cdef double *log_theta_at = NULL
    cdef em_documents x
    cdef int failed
    x.n, x.V, x.K = ends.shape[0] - 1, table.shape[0], table.shape[1]
    if x.n < 1 or x.V == 0 or x.K == 0:
        raise ValueError(f"documents, words and topics are needed, got {x.n}, {x.V} and {x.K}")
    if ends[0] != 0 or ends[x.n] != words.shape[0] or words.shape[0] != counts.shape[0]:
        raise ValueError("the documents do not end where the words do")
    if shift.shape[0] != x.V or alpha.shape[0] != x.K or gamma.shape[0] != x.n or gamma.shape[1] != x.K:
        raise ValueError(f"shift ({x.V},), alpha ({x.K},) and gamma ({x.n}, {x.K}) are needed")
    x.ends, x.table, x.shift, x.alpha = &ends[0], &table[0, 0], &shift[0], &alpha[0]
    x.words = &words[0] if words.shape[0] else NULL
    x.counts = &counts[0] if words.shape[0] else NULL
    x.weights = NULL
    x.tol, x.max_iter = tol, max_iter
    if sample_weight is not None:
        w = sample_weight
        if w.shape[0] != x.n:
            raise ValueError(f"{x.n} weights are needed, got {w.shape[0]}")
        x.weights = &w[0]
    bounds, expected, log_theta = np.empty(x.n), None, None
    bounds_view = bounds
    if counted:
        expected = np.zeros((x.V, x.K))
        expected_view = expected
        expected_at = &expected_view[0, 0]
    if with_log_theta:
        log_theta = np.zeros(x.K)
        log_theta_view = log_theta
        log_theta_at = &log_theta_view[0]
    with nogil:
        failed = em_known_lda[em_chosen].documents(&x, &gamma[0, 0], &bounds_view[0], expected_at, log_theta_at)
    if failed:
        raise MemoryError("no memory for the buffers of the documents")
    return bounds, expected, log_theta
