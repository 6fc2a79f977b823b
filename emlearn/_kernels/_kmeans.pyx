# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""The E-step of k-means: the compiled half of ``kmeans.py``."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t

import numpy as np
from scipy import sparse

from . import kmeans as twin


cdef extern from "kmeans_kernel.h" nogil:
    ctypedef struct em_points:
        const void *data
        int is_float
        ptrdiff_t n, d, row_stride, column_stride
        const double *weights
        const double *origin
    ctypedef struct em_sparse_points:
        ptrdiff_t n, d
        const void *data
        int is_float
        const int32_t *indices
        const int32_t *ends
        const double *weights
    ctypedef struct em_clusters:
        ptrdiff_t K
        const double *centres
        int32_t *labels
        double *squares
        double *counts
        double *sums
        double inertia
    ctypedef struct em_kmeans_instructions:
        const char *name
        int (*assign)(const em_points *, em_clusters *) noexcept nogil
        int (*assign_sparse)(const em_sparse_points *, em_clusters *) noexcept nogil
        void (*strips)(const em_points *, double *, double *) noexcept nogil
        int (*closer)(ptrdiff_t, ptrdiff_t, const double *, const double *, const double *, ptrdiff_t, const double *,
                      const double *, double *, double *) noexcept nogil
    const em_kmeans_instructions em_known_kmeans[]
    int em_chosen, EM_N_KNOWN
    int em_supported(int)
    void em_choose(int)
    double em_spread(const em_points *, double *, double *)


em_choose(0)


def instruction_sets():
    """Names of what was compiled and this processor has, widest first."""
    return [em_known_kmeans[i].name.decode() for i in range(EM_N_KNOWN) if em_supported(i)]


def use_instruction_set(str name):
    """Use another of :func:`instruction_sets`: for tests and measurements."""
    for i in range(EM_N_KNOWN):
        if em_known_kmeans[i].name.decode() == name and em_supported(i):
            em_choose(i)
            return
    raise ValueError(f"{name!r} is not one of {instruction_sets()}")


cdef int _read(X, const double[::1] origin, sample_weight, em_points *rows) except -1:
    cdef const double[:, :] x64
    cdef const float[:, :] x32
    cdef const double[::1] w
    if X.shape[0] == 0 or X.shape[1] == 0 or origin.shape[0] != X.shape[1]:
        raise ValueError(f"rows of {origin.shape[0]} features are needed, got an array of shape {X.shape}")
    if any(stride % X.itemsize for stride in X.strides) or not X.flags.aligned:
        raise ValueError("the addresses of the rows are no multiples of their item size; pass a copy")
    rows.n, rows.d = X.shape
    if X.dtype == np.float32:
        x32 = X
        rows.is_float = 1
        rows.data = <const void *>&x32[0, 0]
        rows.row_stride = x32.strides[0] // <ptrdiff_t>sizeof(float)
        rows.column_stride = x32.strides[1] // <ptrdiff_t>sizeof(float)
    else:
        x64 = X
        rows.is_float = 0
        rows.data = <const void *>&x64[0, 0]
        rows.row_stride = x64.strides[0] // <ptrdiff_t>sizeof(double)
        rows.column_stride = x64.strides[1] // <ptrdiff_t>sizeof(double)
    rows.origin = &origin[0]
    rows.weights = NULL
    if sample_weight is not None:
        w = sample_weight
        if w.shape[0] != rows.n:
            raise ValueError(f"{rows.n} weights are needed, got {w.shape[0]}")
        rows.weights = &w[0]
    return 0


def assign(X, const double[:, ::1] centres, const double[::1] origin, sample_weight=None, bint totals=True):
    """Labels, squared distances, counts, sums and inertia of a block; see the twin."""
    cdef em_clusters out
    cdef int32_t[::1] labels_view
    cdef double[::1] squares_view, counts_view
    cdef double[:, ::1] sums_view
    cdef ptrdiff_t K = centres.shape[0], d = centres.shape[1]
    if X.shape[1] != d or K == 0 or X.shape[0] == 0 or d == 0:
        raise ValueError(f"rows of {d} features are needed, got an array of shape {X.shape}")
    labels, squares = np.empty(X.shape[0], dtype=np.int32), np.empty(X.shape[0])
    labels_view, squares_view = labels, squares
    out.K, out.centres, out.labels, out.squares = K, &centres[0, 0], &labels_view[0], &squares_view[0]
    out.counts = out.sums = NULL
    counts = sums = None
    if totals:
        counts, sums = np.zeros(K), np.zeros((K, d))
        counts_view, sums_view = counts, sums
        out.counts, out.sums = &counts_view[0], &sums_view[0, 0]
    if sparse.issparse(X):
        _assign_sparse(X, sample_weight, &out)
    else:
        _assign_dense(X, origin, sample_weight, &out)
    return labels, squares, counts, sums, out.inertia


cdef int _assign_dense(X, const double[::1] origin, sample_weight, em_clusters *out) except -1:
    cdef em_points rows
    cdef int failed
    _read(X, origin, sample_weight, &rows)
    with nogil:
        failed = em_known_kmeans[em_chosen].assign(&rows, out)
    if failed:
        raise MemoryError("no memory for the buffers of the E-step")
    return 0


cdef int _assign_sparse(X, sample_weight, em_clusters *out) except -1:
    cdef em_sparse_points rows
    cdef const double[::1] x64, w
    cdef const float[::1] x32
    cdef int failed
    cdef const int32_t[::1] indices = np.ascontiguousarray(X.indices, dtype=np.int32)
    cdef const int32_t[::1] ends = np.ascontiguousarray(X.indptr, dtype=np.int32)
    rows.n, rows.d = X.shape
    rows.ends, rows.indices, rows.data, rows.weights = &ends[0], NULL, NULL, NULL
    rows.is_float = X.dtype == np.float32
    if indices.shape[0]:
        rows.indices = &indices[0]
        if rows.is_float:
            x32 = X.data
            rows.data = <const void *>&x32[0]
        else:
            x64 = X.data
            rows.data = <const void *>&x64[0]
    if sample_weight is not None:
        w = sample_weight
        if w.shape[0] != rows.n:
            raise ValueError(f"{rows.n} weights are needed, got {w.shape[0]}")
        rows.weights = &w[0]
    with nogil:
        failed = em_known_kmeans[em_chosen].assign_sparse(&rows, out)
    if failed:
        raise MemoryError("no memory for the buffers of the E-step")
    return 0


class Measured:
    """Rows as k-means++ measures distances from them; see the twin."""

    def __init__(self, X, origin, sample_weight=None):
        cdef em_points rows
        cdef double[::1] table_view, norms_view
        _read(X, origin, sample_weight, &rows)
        self.shape, self.sample_weight = X.shape, sample_weight
        # whole strips of any instruction set, the largest of which are 24 rows; vectors are at multiples of 64 bytes
        n = -(-X.shape[0] // 24) * 24
        memory = np.empty(n * (X.shape[1] + 1) + 8)
        skip = (-memory.ctypes.data % 64) // 8
        self.table = memory[skip : skip + n * X.shape[1]]
        self.norms = memory[skip + n * X.shape[1] :][:n]
        self.chosen = em_chosen
        table_view, norms_view = self.table, self.norms
        with nogil:
            em_known_kmeans[em_chosen].strips(&rows, &table_view[0], &norms_view[0])

    def closer(self, const double[:, ::1] candidates, least=None):
        """Squared distances (T, n) if each candidate were a seed as well, and their sums; see the twin."""
        cdef const double[::1] table = self.table, norms = self.norms, view
        cdef const double *before = NULL
        cdef const double *weights = NULL
        cdef double[:, ::1] out_view
        cdef double[::1] totals_view
        cdef ptrdiff_t T = candidates.shape[0], n = self.shape[0], d = self.shape[1]
        cdef int failed, chosen = self.chosen
        if candidates.shape[1] != d or T == 0:
            raise ValueError(f"candidates of {d} features are needed, got {candidates.shape[1]}")
        if least is not None:
            view = least
            if view.shape[0] != n:
                raise ValueError(f"{n} distances are needed, got {view.shape[0]}")
            before = &view[0]
        if self.sample_weight is not None:
            view = self.sample_weight
            weights = &view[0]
        out, totals = np.empty((T, n)), np.empty(T)
        out_view, totals_view = out, totals
        with nogil:
            failed = em_known_kmeans[chosen].closer(
                n, d, &table[0], &norms[0], weights, T, &candidates[0, 0], before, &out_view[0, 0], &totals_view[0])
        if failed:
            raise MemoryError("no memory for the buffers of the start")
        return out, totals


def measured(X, origin, sample_weight=None):
    """Rows to measure distances from; see the twin."""
    if sparse.issparse(X) or X.size > twin.MOST_MEASURED:
        return twin.measured(X, origin, sample_weight)
    return Measured(X, origin, sample_weight)


def spread(X, sample_weight=None):
    """Weight, mean (d,) and the sum of squares about it; see the twin."""
    cdef em_points rows
    cdef double weight = 0.0, scatter
    cdef double[::1] mean_view
    if sparse.issparse(X):
        return twin.spread(X, sample_weight)
    # about the first row, where sums of large numbers keep their digits
    first = np.array(X[0], dtype=np.float64)
    if not np.all(np.isfinite(first)):
        first = np.zeros(X.shape[1])
    _read(X, first, sample_weight, &rows)
    mean = np.empty(X.shape[1])
    mean_view = mean
    with nogil:
        scatter = em_spread(&rows, &weight, &mean_view[0])
    return weight, mean, scatter
