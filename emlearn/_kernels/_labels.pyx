# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""Posteriors of independent rows, categorical E-step: the compiled half of ``labels.py``."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t

import numpy as np


cdef extern from "labels_kernel.h" nogil:
    ctypedef struct em_codes:
        ptrdiff_t n, d, V
        const int32_t *codes
        const int32_t *sizes
        const int32_t *begins
    ctypedef struct em_label_instructions:
        const char *name
        int (*posterior)(ptrdiff_t, ptrdiff_t, const double *, const double *, const double *, double *, double *,
                         double *) noexcept nogil
        int (*categorical)(ptrdiff_t, const em_codes *, const double *, const double *, const double *, double *,
                           double *, double *) noexcept nogil
        int (*densities)(ptrdiff_t, const em_codes *, const double *, double *) noexcept nogil
        int (*totals)(ptrdiff_t, const em_codes *, const double *, double *) noexcept nogil
    const em_label_instructions em_known_labels[]
    int em_chosen, EM_N_KNOWN
    int em_supported(int)
    void em_choose(int)
    ptrdiff_t em_padded(ptrdiff_t)


em_choose(0)


def instruction_sets():
    """Names of what was compiled and this processor has, widest first."""
    return [em_known_labels[i].name.decode() for i in range(EM_N_KNOWN) if em_supported(i)]


def use_instruction_set(str name):
    """Use another of :func:`instruction_sets`: for tests and measurements."""
    for i in range(EM_N_KNOWN):
        if em_known_labels[i].name.decode() == name and em_supported(i):
            em_choose(i)
            return
    raise ValueError(f"{name!r} is not one of {instruction_sets()}")


def posterior(const double[:, ::1] log_density, const double[::1] log_weights, sample_weight=None):
    """Posterior times sample weight, counts, row log-likelihoods; see the twin."""
    cdef ptrdiff_t n = log_density.shape[0], K = log_density.shape[1]
    cdef const double[::1] w
    cdef const double *weights = NULL
    cdef int failed
    if n == 0 or K == 0 or log_weights.shape[0] != K:
        raise ValueError(f"rows and {K} weights are needed, got {n} and {log_weights.shape[0]}")
    if sample_weight is not None:
        w = sample_weight
        if w.shape[0] != n:
            raise ValueError(f"{n} weights are needed, got {w.shape[0]}")
        weights = &w[0]
    out, counts, rows = np.empty((n, K)), np.zeros(K), np.empty(n)
    cdef double[:, ::1] out_view = out
    cdef double[::1] counts_view = counts, rows_view = rows
    with nogil:
        failed = em_known_labels[em_chosen].posterior(
            n, K, &log_density[0, 0], &log_weights[0], weights, &out_view[0, 0], &rows_view[0], &counts_view[0])
    if failed:
        raise MemoryError("no memory for the buffers of the E-step")
    return out, counts, rows


cdef int _read(const int32_t[:, ::1] codes, const int32_t[::1] sizes, int32_t[::1] begins, em_codes *x) except -1:
    cdef ptrdiff_t j, begin = 0
    x.n, x.d = codes.shape[0], codes.shape[1]
    if x.n == 0 or x.d == 0 or sizes.shape[0] != x.d:
        raise ValueError(f"rows of {sizes.shape[0]} codes are needed, got ({x.n}, {x.d})")
    for j in range(x.d):
        begins[j] = <int32_t>begin
        begin += sizes[j]
    if begin >= 2**31 - 1:
        raise ValueError("there are more than 2**31 categories")
    x.V = begin
    x.codes, x.sizes, x.begins = &codes[0, 0], &sizes[0], &begins[0]
    return 0


def _lines(ptrdiff_t n_lines, ptrdiff_t K):
    """A table (n_lines, K rounded up) of zeros at a multiple of 64 bytes."""
    cdef ptrdiff_t Kp = em_padded(K)
    memory = np.zeros(n_lines * Kp + 8)
    cdef ptrdiff_t skip = (-memory.ctypes.data % 64) // 8
    return memory[skip : skip + n_lines * Kp].reshape(n_lines, Kp)


def categorical(codes, sizes, log_probabilities, const double[::1] log_weights, sample_weight=None):
    """Counts, totals and log-likelihood of a block; see the twin."""
    cdef em_codes x
    cdef ptrdiff_t K = log_weights.shape[0]
    cdef const double[::1] w
    cdef const double *weights = NULL
    cdef double value = 0.0
    cdef int failed
    begins = np.empty(len(sizes), dtype=np.int32)
    _read(codes, sizes, begins, &x)
    if log_probabilities.shape != (K, x.V):
        raise ValueError(f"log-probabilities ({K}, {x.V}) are needed, got {log_probabilities.shape}")
    if sample_weight is not None:
        w = sample_weight
        if w.shape[0] != x.n:
            raise ValueError(f"{x.n} weights are needed, got {w.shape[0]}")
        weights = &w[0]
    lines, totals, counts = _lines(x.V + 1, K), _lines(x.V + 1, K), np.zeros(K)
    lines[: x.V, :K] = log_probabilities.T
    cdef const double[:, ::1] lines_view = lines
    cdef double[:, ::1] totals_view = totals
    cdef double[::1] counts_view = counts
    with nogil:
        failed = em_known_labels[em_chosen].categorical(
            K, &x, &lines_view[0, 0], &log_weights[0], weights, &totals_view[0, 0], &counts_view[0], &value)
    if failed:
        raise MemoryError("no memory for the buffers of the E-step")
    return counts, np.ascontiguousarray(totals[: x.V, :K].T), value


def densities(codes, sizes, log_probabilities):
    """Log-densities (n, K)."""
    cdef em_codes x
    cdef ptrdiff_t K = log_probabilities.shape[0]
    cdef int failed
    begins = np.empty(len(sizes), dtype=np.int32)
    _read(codes, sizes, begins, &x)
    if log_probabilities.shape != (K, x.V) or K == 0:
        raise ValueError(f"log-probabilities ({K}, {x.V}) are needed, got {log_probabilities.shape}")
    lines, out = _lines(x.V + 1, K), np.empty((x.n, K))
    lines[: x.V, :K] = log_probabilities.T
    cdef const double[:, ::1] lines_view = lines
    cdef double[:, ::1] out_view = out
    with nogil:
        failed = em_known_labels[em_chosen].densities(K, &x, &lines_view[0, 0], &out_view[0, 0])
    if failed:
        raise MemoryError("no memory for the buffers of the E-step")
    return out


def totals(codes, sizes, const double[:, ::1] weights):
    """Sums (K, V) of weights (n, K) over the rows of each category."""
    cdef em_codes x
    cdef ptrdiff_t K = weights.shape[1]
    cdef int failed
    begins = np.empty(len(sizes), dtype=np.int32)
    _read(codes, sizes, begins, &x)
    if weights.shape[0] != x.n or K == 0:
        raise ValueError(f"{x.n} rows of weights are needed, got {weights.shape[0]}")
    lines = _lines(x.V + 1, K)
    cdef double[:, ::1] lines_view = lines
    with nogil:
        failed = em_known_labels[em_chosen].totals(K, &x, &weights[0, 0], &lines_view[0, 0])
    if failed:
        raise MemoryError("no memory for the buffers of the E-step")
    return np.ascontiguousarray(lines[: x.V, :K].T)
