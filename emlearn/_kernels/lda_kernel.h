/* Documents as mixtures of topics: what variational EM of latent Dirichlet allocation spends its time on.
 *
 * Topics are the vector: the table (V, K) of exp E[log beta] has the topics of a word side by side, each row divided
 * by its largest entry, whose logarithm is `shift`. The rows of a document's words are copied together once, and the
 * fixed point runs on that copy.
 */
#ifndef EMLEARN_LDA_KERNEL_H
#define EMLEARN_LDA_KERNEL_H

#include "instructions.h"

typedef struct {
    ptrdiff_t n, K, V;
    const int64_t *ends;       /* (n + 1,) where each row begins, and the last one ends */
    const int32_t *words;      /* (nnz,) */
    const double *counts;      /* (nnz,) */
    const double *table;       /* (V, K) */
    const double *shift;       /* (V,) */
    const double *alpha;       /* (K,) */
    const double *weights;     /* (n,) or NULL */
    double tol;
    ptrdiff_t max_iter;
} em_documents;

/* no share of a word is less than the square of this: sums never vanish */
static const double EM_LEAST_SHARE = 1e-148, EM_LOG_LEAST_SHARE = -340.78259367692475;

#define EM_TILES "lda_tiles.h"
#include "each_set.h"

typedef struct {
    const char *name;
    int (*documents)(const em_documents *, double *, double *, double *, double *);
    int (*topics)(ptrdiff_t, ptrdiff_t, const double *, const double *, double, double *, double *, double *);
    void (*special)(ptrdiff_t, const double *, double *, double *, double *);
} em_lda_instructions;

static const em_lda_instructions em_known_lda[] = {
#ifdef EM_X86
    {"AVX-512", em_documents_avx512, em_topics_avx512, em_special_avx512},
    {"AVX2", em_documents_avx2, em_topics_avx2, em_special_avx2},
#endif
    {"baseline", em_documents_baseline, em_topics_baseline, em_special_baseline},
};

#endif
