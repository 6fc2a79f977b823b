/* Posteriors of rows that are independent, and the E-step of categorical rows:
 * what the plain E-step spends its time on.
 *
 * Rows are the vector of the posterior, as in gaussian_kernel.h; the densities
 * of categorical rows are sums of lines of a table (V + 1, Kp), whose line V,
 * of zeros, is that of a missing cell. Kp is K, rounded up to a multiple of 8.
 */
#ifndef EMLEARN_LABELS_KERNEL_H
#define EMLEARN_LABELS_KERNEL_H

#include "instructions.h"

/* Categories of a block; a code that is none of its column's is a missing cell. */
typedef struct {
    ptrdiff_t n, d, V;
    const int32_t *codes;      /* (n, d) */
    const int32_t *sizes;      /* (d,) numbers of categories */
    const int32_t *begins;     /* (d,) where the lines of each column begin */
} em_codes;

static inline ptrdiff_t em_padded(ptrdiff_t K) { return (K + 7) / 8 * 8; }

#define EM_TILES "labels_tiles.h"
#include "each_set.h"

typedef struct {
    const char *name;
    int (*posterior)(ptrdiff_t, ptrdiff_t, const double *, const double *, const double *, double *, double *,
                     double *);
    int (*categorical)(ptrdiff_t, const em_codes *, const double *, const double *, const double *, double *, double *,
                       double *);
    int (*densities)(ptrdiff_t, const em_codes *, const double *, double *);
    int (*totals)(ptrdiff_t, const em_codes *, const double *, double *);
} em_label_instructions;

static const em_label_instructions em_known_labels[] = {
#ifdef EM_X86
    {"AVX-512", em_posterior_avx512, em_categorical_avx512, em_densities_avx512, em_totals_avx512},
    {"AVX2", em_posterior_avx2, em_categorical_avx2, em_densities_avx2, em_totals_avx2},
#endif
    {"baseline", em_posterior_baseline, em_categorical_baseline, em_densities_baseline, em_totals_baseline},
};

#endif
