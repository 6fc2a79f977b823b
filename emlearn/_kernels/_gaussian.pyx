# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""Gaussian E-step, scores and small factorisations: the compiled half of ``gaussian.py``."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t

import numpy as np


cdef extern from "gaussian_kernel.h" nogil:
    int EM_FULL, EM_TIED, EM_DIAG, EM_SPHERICAL
    ctypedef struct em_model:
        int density
        ptrdiff_t d, K
        const double *constants
        const double *means
        const double *factors
    ctypedef struct em_rows:
        const void *data
        int is_float
        ptrdiff_t n, row_stride, column_stride
        const double *weights
    ctypedef struct em_sums:
        int form
        const double *reference
        double *count
        double *first
        double *second
        double log_likelihood
    ctypedef struct em_scores:
        double *joint
        double *posterior
        double *log_density
        int64_t *label
        int finite
    ctypedef int (*em_sums_function)(const em_model *, const em_rows *, em_sums *) noexcept nogil
    ctypedef int (*em_scores_function)(const em_model *, const em_rows *, em_scores *) noexcept nogil
    ctypedef int (*em_moments_function)(
        ptrdiff_t, ptrdiff_t, const double *, const em_rows *, em_sums *) noexcept nogil
    ctypedef struct em_instructions:
        const char *name
        em_sums_function sums
        em_scores_function scores
        em_moments_function moments
    const em_instructions em_known[]
    int em_chosen, EM_N_KNOWN
    int em_supported(int)
    void em_choose(int)
    int em_centre_moments(ptrdiff_t, ptrdiff_t, em_sums *)
    ptrdiff_t em_precision_cholesky(ptrdiff_t, ptrdiff_t, const double *, double *, double *)


em_choose(0)


def instruction_sets():
    """Names of what was compiled and this processor has, widest first."""
    return [em_known[i].name.decode() for i in range(EM_N_KNOWN) if em_supported(i)]


def instruction_set():
    """Name of what is in use."""
    return em_known[em_chosen].name.decode()


def use_instruction_set(str name):
    """Use another of :func:`instruction_sets`: for tests and measurements."""
    for i in range(EM_N_KNOWN):
        if em_known[i].name.decode() == name and em_supported(i):
            em_choose(i)
            return
    raise ValueError(f"{name!r} is not one of {instruction_sets()}")


cdef int _read_rows(X, em_rows *rows) except -1:
    if any(stride % X.itemsize for stride in X.strides) or not X.flags.aligned:
        raise ValueError("the addresses of the rows are no multiples of their item size; pass a copy")
    # X may have any strides: C or Fortran order, float32 or float64, a memory map; it is never copied
    cdef const double[:, :] x64
    cdef const float[:, :] x32
    if X.dtype == np.float32:
        x32 = X
        rows.is_float = 1
        rows.n = x32.shape[0]
        rows.data = <const void *>&x32[0, 0]
        rows.row_stride = x32.strides[0] // <ptrdiff_t>sizeof(float)
        rows.column_stride = x32.strides[1] // <ptrdiff_t>sizeof(float)
    else:
        x64 = X
        rows.is_float = 0
        rows.n = x64.shape[0]
        rows.data = <const void *>&x64[0, 0]
        rows.row_stride = x64.strides[0] // <ptrdiff_t>sizeof(double)
        rows.column_stride = x64.strides[1] // <ptrdiff_t>sizeof(double)
    return 0


cdef int _check(X, sample_weight, int density, const double[::1] constants, const double[:, ::1] means,
                const double[::1] factors) except -1:
    cdef ptrdiff_t K = means.shape[0], d = means.shape[1]
    sizes = {EM_FULL: K * d * d, EM_TIED: d * d, EM_DIAG: K * d, EM_SPHERICAL: K}
    if density not in sizes:
        raise ValueError(f"{density} is no kind of density")
    cdef ptrdiff_t size = sizes[density]
    if constants.shape[0] != K or factors.shape[0] != size:
        raise ValueError(f"{K} constants and {size} factors are needed, got {constants.shape[0]} and {factors.shape[0]}")
    if X.shape[1] != d or X.shape[0] == 0:
        raise ValueError(f"rows of {d} features are needed, got an array of shape {X.shape}")
    if sample_weight is not None and sample_weight.shape[0] != X.shape[0]:
        raise ValueError(f"{X.shape[0]} weights are needed, got {sample_weight.shape[0]}")
    return 0


cdef void _model(int density, const double[::1] constants, const double[:, ::1] means,
                 const double[::1] factors, em_model *model) noexcept nogil:
    model.density = density
    model.K = means.shape[0]
    model.d = means.shape[1]
    model.constants = &constants[0]
    model.means = &means[0, 0]
    model.factors = &factors[0]


cdef int _sums(em_model *model, em_rows *rows, int form, const double[:, ::1] reference, double[::1] count,
               double[:, ::1] first, double[::1] second, em_sums *sums) except -1 nogil:
    cdef int lost
    sums.form = form
    sums.reference = &reference[0, 0]
    sums.count = &count[0]
    sums.first = &first[0, 0]
    sums.second = &second[0]
    if em_known[em_chosen].sums(model, rows, sums) != 0:
        raise MemoryError("no memory for the buffers of the E-step")
    lost = em_centre_moments(model.d, model.K, sums)
    if lost < 0:
        raise MemoryError("no memory for the buffers of the E-step")
    return lost


def e_step(X, sample_weight, int density, int form, const double[::1] constants, const double[:, ::1] means,
           const double[::1] factors):
    """Moments and log-likelihood of a block; see the twin for the meaning of each argument."""
    cdef em_model model
    cdef em_rows rows
    cdef em_sums sums
    cdef const double[::1] w
    cdef ptrdiff_t d = means.shape[1], K = means.shape[0]
    cdef int lost
    cdef const double[:, ::1] reference
    _check(X, sample_weight, density, constants, means, factors)
    _model(density, constants, means, factors, &model)
    _read_rows(X, &rows)
    rows.weights = NULL
    if sample_weight is not None:
        w = sample_weight
        rows.weights = &w[0]
    if form not in (EM_FULL, EM_TIED, EM_DIAG):
        raise ValueError(f"{form} is no form of the scatter")
    count, mean = np.empty(K), np.empty((K, d))
    scatter = np.empty({EM_FULL: (K, d, d), EM_TIED: (d, d), EM_DIAG: (K, d)}[form])
    cdef double[::1] count_view = count, second_view = scatter.reshape(-1)
    cdef double[:, ::1] first_view = mean
    reference = means
    if form == EM_TIED:  # one common reference
        reference = np.repeat(np.asarray(means)[:1], K, axis=0)
    with nogil:
        lost = _sums(&model, &rows, form, reference, count_view, first_view, second_view, &sums)
    if not lost:
        return count, mean, scatter, sums.log_likelihood
    if form == EM_TIED:  # clusters far apart: the scatter of each about its own mean, then pooled
        count, mean, scatter, value = e_step(X, sample_weight, density, EM_FULL, constants, means, factors)
        return count, mean, scatter.sum(axis=0), value
    reference = mean.copy()
    with nogil:
        _sums(&model, &rows, form, reference, count_view, first_view, second_view, &sums)
    return count, mean, scatter, sums.log_likelihood


def moments(X, const double[:, ::1] weights, int form, const double[:, ::1] reference):
    """Moments of a block under given weights; see the twin for the meaning of each argument."""
    cdef em_rows rows
    cdef em_sums sums
    cdef ptrdiff_t n = weights.shape[0], K = weights.shape[1], d = reference.shape[1]
    cdef int lost
    if form not in (EM_FULL, EM_TIED, EM_DIAG):
        raise ValueError(f"{form} is no form of the scatter")
    if X.shape[0] != n or X.shape[1] != d or reference.shape[0] != K or n == 0:
        raise ValueError(f"rows ({n}, {d}) and references ({K}, {d}) are needed")
    _read_rows(X, &rows)
    cdef double[::1] totals = np.empty(n)
    cdef ptrdiff_t i, k
    cdef double total
    with nogil:  # NumPy's reduction over so short an axis takes as long as all the rest
        for i in range(n):
            total = 0.0
            for k in range(K):
                total += weights[i, k]
            totals[i] = total
    rows.weights = &totals[0]
    count, mean = np.empty(K), np.empty((K, d))
    scatter = np.empty({EM_FULL: (K, d, d), EM_TIED: (d, d), EM_DIAG: (K, d)}[form])
    cdef double[::1] count_view = count, second_view = scatter.reshape(-1)
    cdef double[:, ::1] first_view = mean
    if form == EM_TIED:  # one common reference
        reference = np.repeat(np.asarray(reference)[:1], K, axis=0)
    sums.form = form
    sums.count, sums.first, sums.second = &count_view[0], &first_view[0, 0], &second_view[0]
    for _ in range(2):
        sums.reference = &reference[0, 0]
        with nogil:
            if em_known[em_chosen].moments(d, K, &weights[0, 0], &rows, &sums) != 0:
                lost = -1
            else:
                lost = em_centre_moments(d, K, &sums)
        if lost < 0:
            raise MemoryError("no memory for the buffers of the E-step")
        if not lost:
            break
        if form == EM_TIED:  # clusters far apart: the scatter of each about its own mean, then pooled
            count, mean, scatter = moments(X, weights, EM_FULL, mean)
            return count, mean, scatter.sum(axis=0)
        reference = mean.copy()
    return count, mean, scatter


def scores(X, int density, const double[::1] constants, const double[:, ::1] means, const double[::1] factors,
           double[:, ::1] joint=None, double[:, ::1] posterior=None, double[::1] log_density=None,
           int64_t[::1] label=None):
    """Fill those of the four outputs that are given; False if a row is not finite."""
    cdef em_model model
    cdef em_rows rows
    cdef em_scores out
    cdef int failed
    _check(X, None, density, constants, means, factors)
    cdef ptrdiff_t n = X.shape[0], K = means.shape[0]
    if (
        (joint is not None and (joint.shape[0] != n or joint.shape[1] != K))
        or (posterior is not None and (posterior.shape[0] != n or posterior.shape[1] != K))
        or (log_density is not None and log_density.shape[0] != n)
        or (label is not None and label.shape[0] != n)
    ):
        raise ValueError(f"outputs must have {n} rows, joint and posterior {K} columns")
    _model(density, constants, means, factors, &model)
    _read_rows(X, &rows)
    rows.weights = NULL
    out.joint = &joint[0, 0] if joint is not None else NULL
    out.posterior = &posterior[0, 0] if posterior is not None else NULL
    out.log_density = &log_density[0] if log_density is not None else NULL
    out.label = &label[0] if label is not None else NULL
    with nogil:
        failed = em_known[em_chosen].scores(&model, &rows, &out)
    if failed:
        raise MemoryError("no memory for the buffers of the E-step")
    return bool(out.finite)


def precision_cholesky(const double[:, :, ::1] covariances):
    """Upper factors P with inv(covariance) = P @ P.T; the index of the first singular matrix, or -1."""
    cdef ptrdiff_t K = covariances.shape[0], d = covariances.shape[1], failed
    out = np.empty((K, d, d))
    work = np.empty((d, d))
    cdef double[:, :, ::1] out_view = out
    cdef double[:, ::1] work_view = work
    with nogil:
        failed = em_precision_cholesky(K, d, &covariances[0, 0, 0], &out_view[0, 0, 0], &work_view[0, 0])
    return out, failed - 1
