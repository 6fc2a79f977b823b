/* The fused E-step of a Gaussian mixture: log-densities, posteriors and
 * statistics of a block of rows in one pass over the data.
 *
 * Rows are the vector: a tile of rows is transposed once into feature-major
 * order, so that each instruction works on as many rows as a register has
 * lanes, and no lane is idle whatever the number of features. A tile and the
 * (K, rows) table of its posteriors stay in the cache; nothing of size n x K
 * exists.
 *
 * The tiles are compiled for AVX-512, AVX2 and the baseline, each with vectors
 * of its own width (one width lowered to narrower registers spills them all),
 * and the processor is asked once.
 */
#ifndef EMLEARN_GAUSSIAN_KERNEL_H
#define EMLEARN_GAUSSIAN_KERNEL_H

#include "instructions.h"

enum { EM_FULL = 0, EM_TIED = 1, EM_DIAG = 2, EM_SPHERICAL = 3 };

/* ------------------------------------------------------------ the contract */

/* What defines the densities. Arrays are C-contiguous. */
typedef struct {
    int density;               /* EM_FULL ... EM_SPHERICAL: the shape of factors */
    ptrdiff_t d, K;
    const double *constants;   /* (K,)   log weight + log |factor| - d/2 log 2 pi */
    const double *means;       /* (K, d) */
    const double *factors;     /* full (K, d, d), tied (d, d): upper triangular, y = (x - mean) @ factor;
                                  diag (K, d), spherical (K,): 1 / standard deviation */
} em_model;

/* A block of rows, strides in elements. */
typedef struct {
    const void *data;
    int is_float;
    ptrdiff_t n, row_stride, column_stride;
    const double *weights;     /* (n,) or NULL */
} em_rows;

/* Sums about a reference (K, d): of r, of r (x - reference), of r (x - reference)(x - reference)'. */
typedef struct {
    int form;                  /* EM_FULL (K, d, d); EM_TIED: total (d, d) about reference[0]; EM_DIAG (K, d) */
    const double *reference;
    double *count, *first, *second;
    double log_likelihood;
} em_sums;

/* What the scoring methods want; NULL where they do not. */
typedef struct {
    double *joint;             /* (n, K) log weight + log density */
    double *posterior;         /* (n, K) */
    double *log_density;       /* (n,)  */
    int64_t *label;            /* (n,)  */
    int finite;                /* set: whether all rows are */
} em_scores;

/* -------------------------------------------------------- instruction sets */

#define EM_TILES "gaussian_tiles.h"
#include "each_set.h"

typedef int (*em_sums_function)(const em_model *, const em_rows *, em_sums *);
typedef int (*em_scores_function)(const em_model *, const em_rows *, em_scores *);
typedef int (*em_moments_function)(ptrdiff_t, ptrdiff_t, const double *, const em_rows *, em_sums *);

typedef struct {
    const char *name;
    em_sums_function sums;
    em_scores_function scores;
    em_moments_function moments;
} em_instructions;

static const em_instructions em_known[] = {
#ifdef EM_X86
    {"AVX-512", em_gaussian_sums_avx512, em_gaussian_scores_avx512, em_gaussian_moments_avx512},
    {"AVX2", em_gaussian_sums_avx2, em_gaussian_scores_avx2, em_gaussian_moments_avx2},
#endif
    {"baseline", em_gaussian_sums_baseline, em_gaussian_scores_baseline, em_gaussian_moments_baseline},
};

/* Sums about the reference to centred moments, in place: first becomes the mean, second the scatter about it.
 * Returns how many components moved so far from the reference that the difference has lost digits:
 * then sum again with the means as the reference. Total scatter (EM_TIED) becomes the pooled one. */
static int em_centre_moments(ptrdiff_t d, ptrdiff_t K, em_sums *s)
{
    const double limit = 1e6;
    int lost = 0;
    if (s->form == EM_TIED) {
        double *before = (double *)malloc((size_t)d * sizeof(double));
        if (!before) return -1;
        for (ptrdiff_t j = 0; j < d; j++) before[j] = s->second[j * d + j];
        for (ptrdiff_t k = 0; k < K; k++) {
            double *first = s->first + k * d;
            const double n = s->count[k];
            for (ptrdiff_t i = 0; i < d && n > 0; i++) {
                const double a = first[i] / n;
                for (ptrdiff_t j = 0; j < d; j++) s->second[i * d + j] -= a * first[j];
            }
            for (ptrdiff_t j = 0; j < d; j++)
                first[j] = s->reference[k * d + j] + (n > 0 ? first[j] / n : 0.0);
        }
        for (ptrdiff_t j = 0; j < d; j++) lost += !(before[j] <= limit * s->second[j * d + j]) && before[j] > 0;
        for (ptrdiff_t i = 0; i < d; i++)
            for (ptrdiff_t j = 0; j < i; j++)
                s->second[i * d + j] = s->second[j * d + i] =
                    0.5 * (s->second[i * d + j] + s->second[j * d + i]);
        free(before);
        return lost;
    }
    for (ptrdiff_t k = 0; k < K; k++) {
        double *first = s->first + k * d;
        const double *reference = s->reference + k * d;
        const double n = s->count[k];
        int moved = 0;
        for (ptrdiff_t i = 0; i < d; i++) {
            const double delta = n > 0 ? first[i] / n : 0.0;
            if (s->form == EM_FULL) {
                double *row = s->second + (k * d + i) * d;
                for (ptrdiff_t j = i; j < d; j++) row[j] -= delta * first[j];
                if (row[i] < 0.0) row[i] = 0.0;
                moved |= n * delta * delta > limit * row[i];
            } else {
                double *cell = s->second + k * d + i;
                *cell -= delta * first[i];
                if (*cell < 0.0) *cell = 0.0;
                moved |= n * delta * delta > limit * *cell;
            }
        }
        if (s->form == EM_FULL)
            for (ptrdiff_t i = 0; i < d; i++)
                for (ptrdiff_t j = i + 1; j < d; j++)
                    s->second[(k * d + j) * d + i] = s->second[(k * d + i) * d + j];
        for (ptrdiff_t i = 0; i < d; i++) first[i] = reference[i] + (n > 0 ? first[i] / n : 0.0);
        lost += moved;
    }
    return lost;
}

/* ----------------------------------------------------------- factorisation */

/* precision_cholesky (upper, covariance^-1 = P P') of small matrices; returns the number of the first singular
 * one + 1, or 0. A pivot below d eps times its own variance is rounding, not data. */
static ptrdiff_t em_precision_cholesky(ptrdiff_t K, ptrdiff_t d, const double *covariances, double *out, double *work)
{
    const double tiny = (double)d * 2.220446049250313e-16;
    for (ptrdiff_t k = 0; k < K; k++) {
        const double *c = covariances + k * d * d;
        double *p = out + k * d * d;
        for (ptrdiff_t j = 0; j < d; j++) {
            double *row = work + j * d;
            for (ptrdiff_t i = 0; i <= j; i++) {
                double sum = c[j * d + i];
                const double *other = work + i * d;
                for (ptrdiff_t l = 0; l < i; l++) sum -= row[l] * other[l];
                if (i < j) row[i] = sum / other[i];
                else {
                    if (!(sum > tiny * c[j * d + j])) return k + 1;
                    row[j] = sqrt(sum);
                }
            }
        }
        memset(p, 0, (size_t)(d * d) * sizeof(double));
        for (ptrdiff_t j = 0; j < d; j++) { /* column j of inv(L), stored as row j of inv(L)' */
            p[j * d + j] = 1.0 / work[j * d + j];
            for (ptrdiff_t i = j + 1; i < d; i++) {
                double sum = 0.0;
                for (ptrdiff_t l = j; l < i; l++) sum -= work[i * d + l] * p[j * d + l];
                p[j * d + i] = sum / work[i * d + i];
            }
        }
    }
    return 0;
}

#endif
