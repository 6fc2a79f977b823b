# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""Gaussian E-step of rows with missing cells: the compiled half of ``missing.py``."""

from libc.stddef cimport ptrdiff_t

import numpy as np


cdef extern from "missing_kernel.h" nogil:
    int EM_FULL, EM_TIED, EM_DIAG, EM_SPHERICAL
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
    ctypedef struct em_hidden:
        int density, form
        ptrdiff_t d, K
        const double *log_weights
        const double *log_det
        const double *means
        const double *factors
        const double *precisions
        const double *covariances
    ctypedef struct em_wanted:
        double *joint
        double *distance
        double *log_det
        const double *weights
        const double *shares
        em_sums *sums
        double *filled
    ctypedef int (*em_missing_function)(const em_hidden *, const em_rows *, em_wanted *) noexcept nogil
    ctypedef struct em_instructions:
        const char *name
    const em_instructions em_known[]
    const em_missing_function em_missing_known[]
    int em_chosen, EM_N_KNOWN
    int em_supported(int)
    void em_choose(int)
    int em_centre_moments(ptrdiff_t, ptrdiff_t, em_sums *)
    void em_matrices(ptrdiff_t, ptrdiff_t, const double *, double *, double *, double *)


em_choose(0)


def instruction_sets():
    """Names of what was compiled and this processor has, widest first."""
    return [em_known[i].name.decode() for i in range(EM_N_KNOWN) if em_supported(i)]


def use_instruction_set(str name):
    """Use another of :func:`instruction_sets`: for tests and measurements."""
    for i in range(EM_N_KNOWN):
        if em_known[i].name.decode() == name and em_supported(i):
            em_choose(i)
            return
    raise ValueError(f"{name!r} is not one of {instruction_sets()}")


cdef class _Densities:
    """The densities of a block, and the arrays that the kernel reads them from."""

    cdef em_hidden model
    cdef em_rows rows
    cdef object kept

    def __init__(self, X, int density, const double[::1] log_weights, const double[::1] log_det,
                 const double[:, ::1] means, const double[::1] factors):
        cdef ptrdiff_t K = means.shape[0], d = means.shape[1], stacks = 1 if density == EM_TIED else K
        cdef double[:, :, ::1] precisions, covariances
        cdef double[:, ::1] work
        cdef const double[:, ::1] x64
        cdef const float[:, ::1] x32
        sizes = {EM_FULL: K * d * d, EM_TIED: d * d, EM_DIAG: K * d, EM_SPHERICAL: K}
        if density not in sizes:
            raise ValueError(f"{density} is no kind of density")
        if log_weights.shape[0] != K or log_det.shape[0] != K or factors.shape[0] != sizes[density]:
            raise ValueError(f"{K} log weights and log-determinants and {sizes[density]} factors are needed")
        if X.shape[1] != d or X.shape[0] == 0:
            raise ValueError(f"rows of {d} features are needed, got an array of shape {X.shape}")
        X = np.ascontiguousarray(X)
        self.rows.n, self.rows.row_stride, self.rows.column_stride = X.shape[0], d, 1
        self.rows.weights = NULL
        self.rows.is_float = X.dtype == np.float32
        if self.rows.is_float:
            x32 = X
            self.rows.data = <const void *>&x32[0, 0]
        else:
            X = np.asarray(X, dtype=np.float64)
            x64 = X
            self.rows.data = <const void *>&x64[0, 0]
        self.model.density, self.model.form, self.model.d, self.model.K = density, EM_FULL, d, K
        self.model.log_weights, self.model.log_det = &log_weights[0], &log_det[0]
        self.model.means, self.model.factors = &means[0, 0], &factors[0]
        self.model.precisions = self.model.covariances = NULL
        self.kept = [X, log_weights, log_det, means, factors]
        if density == EM_FULL or density == EM_TIED:
            precisions, covariances = np.empty((stacks, d, d)), np.empty((stacks, d, d))
            work = np.empty((d, d))
            em_matrices(stacks, d, &factors[0], &precisions[0, 0, 0], &covariances[0, 0, 0], &work[0, 0])
            self.model.precisions, self.model.covariances = &precisions[0, 0, 0], &covariances[0, 0, 0]
            self.kept += [precisions, covariances]

    cdef int run(self, em_wanted *want) except -1:
        cdef int failed
        with nogil:
            failed = em_missing_known[em_chosen](&self.model, &self.rows, want)
        if failed:
            raise MemoryError("no memory for the buffers of the E-step")
        return 0

    def sums(self, sample_weight, const double[:, ::1] weights, const double[:, ::1] shares, int form):
        """Count, mean, scatter and log-likelihood; under the posterior where there are no weights."""
        cdef ptrdiff_t K = self.model.K, d = self.model.d, n = self.rows.n
        cdef em_sums sums
        cdef em_wanted want
        cdef const double[::1] w
        cdef const double[:, ::1] reference = self.kept[3]
        if form not in (EM_FULL, EM_TIED, EM_DIAG):
            raise ValueError(f"{form} is no form of the scatter")
        if (self.model.precisions == NULL) != (form == EM_DIAG):
            raise ValueError(f"a scatter of form {form} goes with densities of another kind")
        if (
            (weights is not None and (weights.shape[0] != n or weights.shape[1] != K))
            or (shares is not None and (shares.shape[0] != n or shares.shape[1] != K))
        ):
            raise ValueError(f"weights of shape {(n, K)} are needed")
        if sample_weight is not None:
            w = sample_weight
            if w.shape[0] != n:
                raise ValueError(f"{n} weights are needed, got {w.shape[0]}")
            self.rows.weights = &w[0]
        count, mean = np.empty(K), np.empty((K, d))
        scatter = np.empty({EM_FULL: (K, d, d), EM_TIED: (d, d), EM_DIAG: (K, d)}[form])
        cdef double[::1] count_view = count, second_view = scatter.reshape(-1)
        cdef double[:, ::1] first_view = mean
        want.joint = want.distance = want.log_det = want.filled = NULL
        want.weights = &weights[0, 0] if weights is not None else NULL
        want.shares = &shares[0, 0] if shares is not None else NULL
        want.sums = &sums
        sums.form = form
        sums.count, sums.first, sums.second = &count_view[0], &first_view[0, 0], &second_view[0]
        for _ in range(2):
            sums.reference = &reference[0, 0]
            self.run(&want)
            lost = em_centre_moments(d, K, &sums)
            if lost < 0:
                raise MemoryError("no memory for the buffers of the E-step")
            if not lost:
                break
            reference = mean.copy()
        return count, mean, scatter, sums.log_likelihood


def e_step(X, sample_weight, int density, int form, log_weights, log_det, means, factors):
    """Moments and log-likelihood of a block; see the twin for the meaning of each argument."""
    return _Densities(X, density, log_weights, log_det, means, factors).sums(sample_weight, None, None, form)


def moments(X, weights, shares, int density, int form, means, factors):
    """Moments of a block under given weights; see the twin for the meaning of each argument."""
    zero = np.zeros(len(means))
    densities = _Densities(X, density, zero, zero, means, factors)
    return densities.sums(None, weights, None if shares is weights else shares, form)[:3]


def scores(X, int density, log_weights, log_det, means, factors, double[:, ::1] joint=None,
           double[:, ::1] distance=None, double[:, ::1] observed_log_det=None):
    """Fill those of the outputs (n, K) that are given."""
    cdef _Densities densities = _Densities(X, density, log_weights, log_det, means, factors)
    cdef em_wanted want
    cdef ptrdiff_t n = X.shape[0], K = means.shape[0]
    if (
        (joint is not None and (joint.shape[0] != n or joint.shape[1] != K))
        or (distance is not None and (distance.shape[0] != n or distance.shape[1] != K))
        or (observed_log_det is not None and (observed_log_det.shape[0] != n or observed_log_det.shape[1] != K))
    ):
        raise ValueError(f"outputs of shape {(n, K)} are needed")
    want.weights = want.shares = NULL
    want.filled = NULL
    want.sums = NULL
    want.joint = &joint[0, 0] if joint is not None else NULL
    want.distance = &distance[0, 0] if distance is not None else NULL
    want.log_det = &observed_log_det[0, 0] if observed_log_det is not None else NULL
    densities.run(&want)


def fill(X, const double[:, ::1] shares, int density, means, factors):
    """A copy (n, d) whose missing cells have their expectation under shares; see the twin."""
    zero = np.zeros(len(means))
    cdef _Densities densities = _Densities(X, density, zero, zero, means, factors)
    cdef em_wanted want
    out = np.array(X, dtype=np.float64, order="C")
    cdef double[:, ::1] filled = out
    if shares.shape[0] != X.shape[0] or shares.shape[1] != means.shape[0]:
        raise ValueError(f"shares of shape {(X.shape[0], means.shape[0])} are needed")
    want.joint = want.distance = want.log_det = NULL
    want.weights = NULL
    want.sums = NULL
    want.shares = &shares[0, 0]
    want.filled = &filled[0, 0]
    densities.run(&want)
    return out
