/* The E-step of k-means: the nearest centre of each row, counts and sums of the clusters, in one pass.
 *
 * Rows are the vector, as in gaussian_kernel.h: a tile is transposed once, about an origin near the
 * data, and goes through the centres in panels of four. The nearest centre is the one with the
 * largest x.c - |c|^2 / 2, which takes half the work of a distance. The distance from it, and so the
 * inertia, is then that of the difference itself, because tight clusters lose their digits otherwise.
 */
#ifndef EMLEARN_KMEANS_KERNEL_H
#define EMLEARN_KMEANS_KERNEL_H

#include "instructions.h"

/* A block of rows, strides in elements. */
typedef struct {
    const void *data;
    int is_float;
    ptrdiff_t n, d, row_stride, column_stride;
    const double *weights;     /* (n,) or NULL */
    const double *origin;      /* (d,) */
} em_points;

/* A block of CSR rows. */
typedef struct {
    ptrdiff_t n, d;
    const void *data;
    int is_float;
    const int32_t *indices, *ends; /* (nnz,), (n + 1,) */
    const double *weights;     /* (n,) or NULL */
} em_sparse_points;

/* What an E-step gives; counts and sums gain, and are NULL where labels alone are wanted. */
typedef struct {
    ptrdiff_t K;
    const double *centres;     /* (K, d), about the origin */
    int32_t *labels;           /* (n,) */
    double *squares;           /* (n,) squared distances from the centres */
    double *counts;            /* (K,) */
    double *sums;              /* (K, d), about the origin */
    double inertia;
} em_clusters;

#define EM_TILES "kmeans_tiles.h"
#include "each_set.h"

typedef struct {
    const char *name;
    int (*assign)(const em_points *, em_clusters *);
    int (*assign_sparse)(const em_sparse_points *, em_clusters *);
    void (*strips)(const em_points *, double *, double *);
    int (*closer)(ptrdiff_t, ptrdiff_t, const double *, const double *, const double *, ptrdiff_t, const double *,
                  const double *, double *, double *);
} em_kmeans_instructions;

static const em_kmeans_instructions em_known_kmeans[] = {
#ifdef EM_X86
    {"AVX-512", em_assign_avx512, em_assign_sparse_avx512, em_strips_avx512, em_closer_avx512},
    {"AVX2", em_assign_avx2, em_assign_sparse_avx2, em_strips_avx2, em_closer_avx2},
#endif
    {"baseline", em_assign_baseline, em_assign_sparse_baseline, em_strips_baseline, em_closer_baseline},
};

/* Weight, mean (d,) and the sum of squares about it, in two passes over the block. */
static double em_spread(const em_points *rows, double *weight, double *mean)
{
    const ptrdiff_t n = rows->n, d = rows->d, down = rows->row_stride, across = rows->column_stride;
    double total = 0.0, scatter = 0.0;
    for (ptrdiff_t j = 0; j < d; j++) mean[j] = 0.0;
    for (ptrdiff_t i = 0; i < n; i++) total += rows->weights ? rows->weights[i] : 1.0;
    *weight = total;
    if (!(total > 0.0)) return 0.0;
#define EM_SPREAD(type)                                                                        \
    const type *p = (const type *)rows->data;                                                  \
    for (ptrdiff_t i = 0; i < n; i++) {                                                        \
        const double w = rows->weights ? rows->weights[i] : 1.0;                               \
        if (w == 0.0) continue;                                                                \
        if (across == 1)                                                                       \
            for (ptrdiff_t j = 0; j < d; j++) mean[j] += w * ((double)p[i * down + j] - rows->origin[j]); \
        else                                                                                   \
            for (ptrdiff_t j = 0; j < d; j++)                                                  \
                mean[j] += w * ((double)p[i * down + j * across] - rows->origin[j]);           \
    }                                                                                          \
    for (ptrdiff_t j = 0; j < d; j++) mean[j] = rows->origin[j] + mean[j] / total;             \
    for (ptrdiff_t i = 0; i < n; i++) {                                                        \
        const double w = rows->weights ? rows->weights[i] : 1.0;                               \
        double square[4] = {0.0, 0.0, 0.0, 0.0};                                               \
        ptrdiff_t j = 0;                                                                       \
        if (w == 0.0) continue;                                                                \
        for (; j + 4 <= d; j += 4)                                                             \
            for (ptrdiff_t l = 0; l < 4; l++) {                                                \
                const double e = (double)p[i * down + (j + l) * across] - mean[j + l];         \
                square[l] += e * e;                                                            \
            }                                                                                  \
        for (; j < d; j++) {                                                                   \
            const double e = (double)p[i * down + j * across] - mean[j];                       \
            square[0] += e * e;                                                                \
        }                                                                                      \
        scatter += w * ((square[0] + square[1]) + (square[2] + square[3]));                    \
    }
    if (rows->is_float) {
        EM_SPREAD(float)
    } else {
        EM_SPREAD(double)
    }
#undef EM_SPREAD
    return scatter;
}

#endif
