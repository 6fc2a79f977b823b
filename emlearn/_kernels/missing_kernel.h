/* The Gaussian E-step of rows with missing cells.
 *
 * Rows are the vector, as in the kernel of complete rows, though each has a pattern of its own: lanes hold the
 * small matrices of their rows, and what is done to these is done to all lanes at once. So a row costs what its
 * missing cells do, whether its pattern is anybody else's or not; rows come sorted by the number of these, that lanes
 * have the same to do, and of equal patterns that lie together what depends on the pattern alone is computed once.
 *
 * A row whose missing cells (deviations 0 at first) have b = (P y)_m takes -P_mm^-1 b there, and its squared distance
 * is that of the whole row then: the least that it can be, so that an error in what was put in is squared.
 */
#ifndef EMLEARN_MISSING_KERNEL_H
#define EMLEARN_MISSING_KERNEL_H

#include "gaussian_kernel.h"

/* What defines the densities. Arrays are C-contiguous. */
typedef struct {
    int density, form;
    ptrdiff_t d, K;
    const double *log_weights; /* (K,) */
    const double *log_det;     /* (K,)   of the factors */
    const double *means;       /* (K, d) */
    const double *factors;     /* as in em_model */
    const double *precisions, *covariances; /* full (K, d, d), tied (d, d); diag, spherical NULL */
} em_hidden;

/* What is wanted of the rows; NULL where it is not. */
typedef struct {
    double *joint;             /* (n, K) log weight + log density of what is observed */
    double *distance;          /* (n, K) squared distance of what is observed */
    double *log_det;           /* (n, K) log-determinant of its factor */
    const double *weights;     /* (n, K) of rows with their expected cells; NULL is the posterior */
    const double *shares;      /* (n, K) of what is left of the variance, or of what is filled; NULL is weights */
    em_sums *sums;
    double *filled;            /* (n, d) expected cells under shares; others are left as they are */
} em_wanted;

/* Precisions P = U U' and their inverses of upper triangular factors. */
static void em_matrices(ptrdiff_t K, ptrdiff_t d, const double *factors, double *precisions, double *covariances,
                        double *work)
{
    for (ptrdiff_t k = 0; k < K; k++) {
        const double *u = factors + k * d * d;
        double *p = precisions + k * d * d, *c = covariances + k * d * d;
        for (ptrdiff_t i = 0; i < d; i++)
            for (ptrdiff_t j = i; j < d; j++) {
                double sum = 0.0;
                for (ptrdiff_t l = j; l < d; l++) sum += u[i * d + l] * u[j * d + l];
                p[i * d + j] = p[j * d + i] = sum;
            }
        for (ptrdiff_t j = 0; j < d; j++) /* row j of work is column j of inv(U) */
            for (ptrdiff_t i = j; i >= 0; i--) {
                double sum = i == j ? 1.0 : 0.0;
                for (ptrdiff_t l = i + 1; l <= j; l++) sum -= u[i * d + l] * work[j * d + l];
                work[j * d + i] = sum / u[i * d + i];
            }
        for (ptrdiff_t i = 0; i < d; i++) /* inv(U)' inv(U) */
            for (ptrdiff_t j = i; j < d; j++) {
                double sum = 0.0;
                for (ptrdiff_t l = 0; l <= i; l++) sum += work[i * d + l] * work[j * d + l];
                c[i * d + j] = c[j * d + i] = sum;
            }
    }
}

/* Fewest missing cells of a row that are solved for by what is observed, which are less work then. */
static inline int em_by_observed(ptrdiff_t missing, ptrdiff_t observed) { return 2 * missing > 3 * observed; }

#define EM_TILES "missing_tiles.h"
#include "each_set.h"

typedef int (*em_missing_function)(const em_hidden *, const em_rows *, em_wanted *);

static const em_missing_function em_missing_known[] = {
#ifdef EM_X86
    em_missing_avx512,
    em_missing_avx2,
#endif
    em_missing_baseline,
};

#endif
