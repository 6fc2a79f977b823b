/* Posteriors, filter and best path of a Markov chain.
 *
 * The states are the vector: a row of K numbers is padded with zeros to Kp, a
 * multiple of the lanes. Forward and backward are one recursion, y = c M, of
 * numbers scaled by powers of two; nothing is divided on the way.
 *
 * Nothing vanishes unseen. Each row of densities is less its largest, and what
 * is positive is raised to at least a floor: weights to EM_WEIGHT, entries of
 * the recursion to EM_LOW where their sum is in EM_LEAST..EM_MOST, entries of
 * the matrix to EM_ENTRY. The product of the three floors is still a normal
 * number, and a sum with something of a raised entry in it changes by less than
 * its rounding. So the raised chain has at least the likelihood of the
 * true one, by no more than the posterior of the raised places (a path that
 * meets none of them counts the same in both). That posterior is summed, and
 * so is the share of raised places in each row going forward; a unit where
 * either is not negligible is done again in wide numbers, which have an
 * exponent of their own. A dense matrix needs no such care beyond the first row.
 */
#ifndef EMLEARN_CHAIN_KERNEL_H
#define EMLEARN_CHAIN_KERNEL_H

#include "instructions.h"

#define EM_MOST 0x1p400
#define EM_LEAST 0x1p300
#define EM_LOW 0x1p-50
#define EM_WEIGHT 0x1p-300
#define EM_ENTRY 0x1p-648
#define EM_SUDDEN 0x1p-500      /* a sum that falls below this in one step; or, where entries are raised, */
#define EM_FALL 0x1p272         /* below this: what comes of them, scaled up, must stay far below EM_LOW */
#define EM_CONTRARY 0x1p-100    /* least sum of forward times backward */
#define EM_UNLIKELY 0x1p200     /* a first row below this may be but what was raised */
#define EM_NEGLIGIBLE 1e-15
#define EM_DENSE 0x1p-100       /* entries of a matrix that lets no path matter that was once out of range */
#define EM_ZERO -1e307          /* exponent of a wide zero */

#define EM_RARE __asm__ volatile("") /* keeps a branch that is rarely taken a branch */

enum { EM_TILE = 128 }; /* rows of a tile */

static inline ptrdiff_t em_less(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t em_more(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/* Chunks of 64-byte aligned memory, counted first (base NULL), then handed out. */
typedef struct {
    char *base;
    size_t used;
} em_arena;

static inline void *em_take(em_arena *arena, ptrdiff_t bytes)
{
    char *p = arena->base + arena->used;
    arena->used += ((size_t)bytes + 63) & ~(size_t)63;
    return arena->base ? p : NULL;
}

/* What all instruction sets have in common of a chain. */
typedef struct {
    ptrdiff_t K;
    const double *startprob, *transmat;
} em_markov;

/* Rows of some units: unit s ends before row ends[s]. */
typedef struct {
    ptrdiff_t n, n_units;
    const ptrdiff_t *ends;
    double *table, *rows;
} em_sequences;

#ifdef EM_X86
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,avx2")
#define VL 8
#define EM_ISA avx512
#include "chain_tiles.h"
#undef VL
#undef EM_ISA
#define VL 4 /* for at most four states */
#define EM_ISA avx512narrow
#include "chain_tiles.h"
#undef VL
#undef EM_ISA
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define VL 4
#define EM_ISA avx2
#include "chain_tiles.h"
#undef VL
#undef EM_ISA
#pragma GCC pop_options
#endif
#define VL 2
#define EM_ISA baseline
#include "chain_tiles.h"
#undef VL
#undef EM_ISA

typedef struct {
    int (*posterior)(const em_markov *, const em_sequences *, const double *, double *, double *);
    int (*filter)(const em_markov *, const em_sequences *);
    int (*viterbi)(const em_markov *, const em_sequences *, int64_t *, double *);
    size_t (*room)(const em_markov *, const em_sequences *);
    void *(*open)(const em_markov *, const em_sequences *, double, void *);
    int (*part)(void *, int, int);
    int (*finish)(void *, double *, double *);
    void (*close)(void *);
} em_chain_functions;

typedef struct {
    const char *name;
    em_chain_functions wide, narrow; /* more than four states, or not */
} em_chain_instructions;

#define EM_CHAIN(isa)                                                                                             \
    {                                                                                                             \
        em_posterior_##isa, em_filter_##isa, em_viterbi_##isa, em_room_##isa, em_open_##isa, em_part_##isa,        \
            em_finish_##isa, em_close_##isa                                                                       \
    }

static const em_chain_instructions em_known_chain[] = {
#ifdef EM_X86
    {"AVX-512", EM_CHAIN(avx512), EM_CHAIN(avx512narrow)},
    {"AVX2", EM_CHAIN(avx2), EM_CHAIN(avx2)},
#endif
    {"baseline", EM_CHAIN(baseline), EM_CHAIN(baseline)},
};

static const em_chain_functions *em_chain(ptrdiff_t K)
{
    const em_chain_instructions *known = &em_known_chain[em_chosen];
    return K > 4 ? &known->wide : &known->narrow;
}

#endif
