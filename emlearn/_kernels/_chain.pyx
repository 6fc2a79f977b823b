# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""Posteriors, filter and best path of a Markov chain: the compiled half of ``chain.py``."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t

import numpy as np


cdef extern from "chain_kernel.h" nogil:
    ctypedef struct em_markov:
        ptrdiff_t K
        const double *startprob
        const double *transmat
    ctypedef struct em_sequences:
        ptrdiff_t n, n_units
        const ptrdiff_t *ends
        double *table
        double *rows
    ctypedef struct em_chain_functions:
        int (*posterior)(const em_markov *, const em_sequences *, const double *, double *, double *) noexcept nogil
        int (*filter)(const em_markov *, const em_sequences *) noexcept nogil
        int (*viterbi)(const em_markov *, const em_sequences *, int64_t *, double *) noexcept nogil
        size_t (*room)(const em_markov *, const em_sequences *) noexcept nogil
        void *(*open)(const em_markov *, const em_sequences *, double, void *) noexcept nogil
        int (*part)(void *, int, int) noexcept nogil
        int (*finish)(void *, double *, double *) noexcept nogil
        void (*close)(void *) noexcept nogil
    ctypedef struct em_chain_instructions:
        const char *name
    const em_chain_instructions em_known_chain[]
    const em_chain_functions *em_chain(ptrdiff_t)
    int em_chosen, EM_N_KNOWN, EM_TILE
    int em_supported(int)
    void em_choose(int)


em_choose(0)


def instruction_sets():
    """Names of what was compiled and this processor has, widest first."""
    return [em_known_chain[i].name.decode() for i in range(EM_N_KNOWN) if em_supported(i)]


def use_instruction_set(str name):
    """Use another of :func:`instruction_sets`: for tests and measurements."""
    for i in range(EM_N_KNOWN):
        if em_known_chain[i].name.decode() == name and em_supported(i):
            em_choose(i)
            return
    raise ValueError(f"{name!r} is not one of {instruction_sets()}")


cdef int _read(const double[:, ::1] table, const ptrdiff_t[::1] ends, const double[::1] startprob,
               const double[:, ::1] transmat, em_markov *markov, em_sequences *data) except -1:
    cdef ptrdiff_t n = table.shape[0], K = table.shape[1], s, begin = 0
    if n == 0 or K == 0 or ends.shape[0] == 0:
        raise ValueError(f"rows and units are needed, got ({n}, {K}) and {ends.shape[0]}")
    if startprob.shape[0] != K or transmat.shape[0] != K or transmat.shape[1] != K:
        raise ValueError(f"{K} start and ({K}, {K}) transition probabilities are needed, "
                         f"got {startprob.shape[0]} and ({transmat.shape[0]}, {transmat.shape[1]})")
    for s in range(ends.shape[0]):
        if ends[s] <= begin:
            raise ValueError("increasing ends of units are needed")
        begin = ends[s]
    if begin != n:
        raise ValueError(f"units of {n} rows are needed, got {begin}")
    markov.K = K
    markov.startprob, markov.transmat = &startprob[0], &transmat[0, 0]
    data.n, data.n_units, data.ends = n, ends.shape[0], &ends[0]
    data.table, data.rows = <double *>&table[0, 0], NULL
    return 0


def posterior(double[:, ::1] table, const ptrdiff_t[::1] ends, const double[::1] startprob,
              const double[:, ::1] transmat, unit_weight=None):
    """Posteriors in place, sums over pairs and first rows, row log-likelihoods; see the twin."""
    cdef em_markov markov
    cdef em_sequences data
    cdef const double[::1] w
    cdef const double *weights = NULL
    cdef ptrdiff_t K = table.shape[1]
    cdef int failed
    _read(table, ends, startprob, transmat, &markov, &data)
    if unit_weight is not None:
        w = unit_weight
        if w.shape[0] != data.n_units:
            raise ValueError(f"{data.n_units} weights are needed, got {w.shape[0]}")
        weights = &w[0]
    xi, first, rows = np.zeros((K, K)), np.zeros(K), np.empty(data.n)
    cdef double[:, ::1] xi_view = xi
    cdef double[::1] first_view = first, rows_view = rows
    data.rows = &rows_view[0]
    with nogil:
        failed = em_chain(K).posterior(&markov, &data, weights, &xi_view[0, 0], &first_view[0])
    if failed:
        raise MemoryError("no memory for the buffers of the chain")
    return xi, first, rows


cdef class _Halves:
    """One unit for two threads, and the memory that they share, taken from ``spare`` and given back to it."""

    cdef em_markov markov
    cdef em_sequences data
    cdef const em_chain_functions *functions
    cdef void *chain
    cdef double[:, ::1] table
    cdef const ptrdiff_t[::1] ends
    cdef const double[::1] startprob
    cdef const double[:, ::1] transmat
    cdef double[::1] rows
    cdef unsigned char[::1] memory
    cdef object spare

    def __cinit__(self, double[:, ::1] table, const ptrdiff_t[::1] ends, const double[::1] startprob,
                  const double[:, ::1] transmat, double[::1] rows, double weight, list spare):
        self.chain = NULL
        self.table, self.ends, self.startprob, self.transmat, self.rows = table, ends, startprob, transmat, rows
        _read(table, ends, startprob, transmat, &self.markov, &self.data)
        self.data.rows = &rows[0]
        self.functions = em_chain(self.markov.K)
        cdef size_t room = self.functions.room(&self.markov, &self.data)
        self.spare = spare
        try:
            self.memory = spare.pop()
        except IndexError:  # other threads may have taken it
            self.memory = None
        if self.memory is None or <size_t>self.memory.shape[0] < room:
            self.memory = np.empty(room, dtype=np.uint8)
        self.chain = self.functions.open(&self.markov, &self.data, weight, &self.memory[0])
        if self.chain == NULL:
            raise MemoryError("no memory for the buffers of the chain")

    def __dealloc__(self):
        if self.chain != NULL:
            self.functions.close(self.chain)

    def give_back(self):
        """The memory for the next one, which finds its pages in place."""
        self.functions.close(self.chain)
        self.chain = NULL
        self.spare.append(np.asarray(self.memory))

    def part(self, int late, int again):
        cdef int failed
        with nogil:
            failed = self.functions.part(self.chain, late, again)
        return failed

    def finish(self, double[:, ::1] xi, double[::1] first):
        cdef int failed
        with nogil:
            failed = self.functions.finish(self.chain, &xi[0, 0], &first[0])
        if failed:
            raise MemoryError("no memory for the buffers of the chain")


def posterior_parallel(table, startprob, transmat, double weight, run, list spare=None):
    """``posterior`` of one long unit, in two threads if ``run`` has them; see the twin."""
    n, K = table.shape
    ends = np.array([n], dtype=np.intp)
    if n < 2 * EM_TILE:
        return run([lambda: posterior(table, ends, startprob, transmat, np.array([weight]))])[0]
    xi, first, rows = np.zeros((K, K)), np.zeros(K), np.empty(n)
    halves = _Halves(table, ends, startprob, transmat, rows, weight, [] if spare is None else spare)
    if not any(run([lambda: halves.part(0, 0), lambda: halves.part(1, 0)])):
        run([lambda: halves.part(0, 1), lambda: halves.part(1, 1)])
    halves.finish(xi, first)
    halves.give_back()
    return xi, first, rows


def filter(double[:, ::1] table, const ptrdiff_t[::1] ends, const double[::1] startprob,
           const double[:, ::1] transmat):
    """Filtered probabilities in place, row log-likelihoods; see the twin."""
    cdef em_markov markov
    cdef em_sequences data
    cdef int failed
    _read(table, ends, startprob, transmat, &markov, &data)
    rows = np.empty(data.n)
    cdef double[::1] rows_view = rows
    data.rows = &rows_view[0]
    with nogil:
        failed = em_chain(markov.K).filter(&markov, &data)
    if failed:
        raise MemoryError("no memory for the buffers of the chain")
    return rows


def viterbi(const double[:, ::1] table, const ptrdiff_t[::1] ends, const double[::1] log_startprob,
            const double[:, ::1] log_transmat):
    """Best paths and their log-probabilities; see the twin."""
    cdef em_markov markov
    cdef em_sequences data
    cdef int failed
    _read(table, ends, log_startprob, log_transmat, &markov, &data)
    path, values = np.empty(data.n, dtype=np.int64), np.empty(data.n_units)
    cdef int64_t[::1] path_view = path
    cdef double[::1] values_view = values
    with nogil:
        failed = em_chain(markov.K).viterbi(&markov, &data, &path_view[0], &values_view[0])
    if failed:
        raise MemoryError("no memory for the buffers of the chain")
    return path, values
