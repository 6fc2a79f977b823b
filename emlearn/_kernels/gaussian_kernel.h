/* The fused E-step of a Gaussian mixture: log-densities, posteriors and
 * statistics of a block of rows in one pass over the data.
 *
 * Rows are the vector: a tile of rows is transposed once into feature-major
 * order, so that each arithmetic instruction works on VL rows at a time and no
 * lane is idle whatever the number of features. A tile and the (K, rows) table
 * of its posteriors stay in the cache; nothing of size n x K exists.
 *
 * GCC's vector extensions say what the vector is; target_clones compiles the
 * entry points for AVX-512, AVX2 and the baseline, and the loader picks.
 */
#ifndef EMLEARN_GAUSSIAN_KERNEL_H
#define EMLEARN_GAUSSIAN_KERNEL_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__)
#define EM_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define EM_HAS_CLONES 1
#else
#define EM_CLONES
#define EM_HAS_CLONES 0
#endif
#define EM_INLINE static inline __attribute__((always_inline))

#define VL 8
typedef double v8 __attribute__((vector_size(64)));
typedef double v8u __attribute__((vector_size(64), aligned(8)));
typedef int64_t i8 __attribute__((vector_size(64)));

enum { EM_FULL = 0, EM_TIED = 1, EM_DIAG = 2, EM_SPHERICAL = 3 };

/* ---------------------------------------------------------------- vectors */

EM_INLINE v8 em_set(double a) { return (v8){a, a, a, a, a, a, a, a}; }
EM_INLINE v8 em_select(i8 mask, v8 a, v8 b) { return (v8)((mask & (i8)a) | (~mask & (i8)b)); }
EM_INLINE v8 em_max(v8 a, v8 b) { return em_select((i8)(a > b), a, b); }
EM_INLINE double em_sum(v8 a)
{
    return ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]));
}

/* exp(x) for x <= 0 with an error below 1 ulp or so; 0 below -708. */
EM_INLINE v8 em_exp(v8 x)
{
    const v8 shift = em_set(6755399441055744.0); /* 1.5 * 2**52: rounds, and leaves n in the low bits */
    v8 t = x * em_set(1.4426950408889634074) + shift;
    v8 n = t - shift;
    v8 r = x - n * em_set(6.93147180369123816490e-01);
    r = r - n * em_set(1.90821492927058770002e-10);
    v8 r2 = r * r;
    /* Taylor to degree 13 on |r| <= ln(2)/2, Estrin's scheme */
    v8 p01 = em_set(1.0) + r;
    v8 p23 = em_set(1.0 / 2) + r * em_set(1.0 / 6);
    v8 p45 = em_set(1.0 / 24) + r * em_set(1.0 / 120);
    v8 p67 = em_set(1.0 / 720) + r * em_set(1.0 / 5040);
    v8 p89 = em_set(1.0 / 40320) + r * em_set(1.0 / 362880);
    v8 pab = em_set(1.0 / 3628800) + r * em_set(1.0 / 39916800);
    v8 pcd = em_set(1.0 / 479001600) + r * em_set(1.0 / 6227020800.0);
    v8 r4 = r2 * r2;
    v8 low = p01 + p23 * r2;
    v8 mid = p45 + p67 * r2;
    v8 high = p89 + pab * r2 + pcd * r4;
    v8 p = low + r4 * (mid + r4 * high);
    v8 scaled = (v8)((i8)p + ((i8)t << 52));
    return em_select((i8)(x > em_set(-708.0)), scaled, em_set(0.0));
}

/* log(x) for normal positive x. */
EM_INLINE v8 em_log(v8 x)
{
    i8 bits = (i8)x - (i8)em_set(0.70710678118654752440);
    i8 e = bits >> 52;
    v8 m = (v8)((i8)x - (e << 52));
    v8 k = (v8)(e + (i8)em_set(6755399441055744.0)) - em_set(6755399441055744.0);
    v8 f = (m - em_set(1.0)) / (m + em_set(1.0));
    v8 s = f * f;
    v8 p = em_set(1.0 / 23);
    p = p * s + em_set(1.0 / 21);
    p = p * s + em_set(1.0 / 19);
    p = p * s + em_set(1.0 / 17);
    p = p * s + em_set(1.0 / 15);
    p = p * s + em_set(1.0 / 13);
    p = p * s + em_set(1.0 / 11);
    p = p * s + em_set(1.0 / 9);
    p = p * s + em_set(1.0 / 7);
    p = p * s + em_set(1.0 / 5);
    p = p * s + em_set(1.0 / 3);
    v8 tail = k * em_set(1.90821492927058770002e-10) + em_set(2.0) * f * s * p;
    return k * em_set(6.93147180369123816490e-01) + (em_set(2.0) * f + tail);
}

#if defined(__clang__) || __GNUC__ >= 12
#define EM_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define EM_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (i8){__VA_ARGS__})
#endif

/* Eight vectors to the vector of their eight sums. */
EM_INLINE v8 em_fold_pair1(v8 a, v8 b)
{
    return EM_SHUFFLE(a, b, 0, 8, 2, 10, 4, 12, 6, 14) + EM_SHUFFLE(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
}
EM_INLINE v8 em_fold_pair2(v8 a, v8 b)
{
    return EM_SHUFFLE(a, b, 0, 1, 8, 9, 4, 5, 12, 13) + EM_SHUFFLE(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
}
EM_INLINE v8 em_fold_pair4(v8 a, v8 b)
{
    return EM_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + EM_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
}
EM_INLINE v8 em_fold(v8 a0, v8 a1, v8 a2, v8 a3, v8 a4, v8 a5, v8 a6, v8 a7)
{
    v8 left = em_fold_pair2(em_fold_pair1(a0, a1), em_fold_pair1(a2, a3));
    v8 right = em_fold_pair2(em_fold_pair1(a4, a5), em_fold_pair1(a6, a7));
    return em_fold_pair4(left, right);
}

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
} em_scores;

typedef struct {
    ptrdiff_t d, dp, K, T, nv;           /* nv: vectors in use in this tile */
    v8 *x, *y, *u, *table, *w;           /* (dp, T), (dp, T), (dp, T), (K, T), (T,) */
    double *panels, *shifts;             /* packed factors; whitened means of the tied density */
    v8 *acc_first, *acc_second;
    ptrdiff_t tiles;                     /* 2 x 4 tiles of an upper triangle */
} em_scratch;

/* ------------------------------------------------------------------- tiles */

EM_INLINE void em_load(const em_rows *rows, ptrdiff_t start, em_scratch *s)
{
    const ptrdiff_t lanes = s->T * VL, left = rows->n - start;
    const ptrdiff_t m = left < lanes ? left : lanes;
    s->nv = (m + 2 * VL - 1) / (2 * VL) * 2;
    const ptrdiff_t used = s->nv * VL;
    double *w = (double *)s->w;
    for (ptrdiff_t i = 0; i < used; i++)
        w[i] = i < m ? (rows->weights ? rows->weights[start + i] : 1.0) : 0.0;
    for (ptrdiff_t j = 0; j < s->dp; j++) {
        double *x = (double *)(s->x + j * s->T);
        if (j >= s->d) {
            for (ptrdiff_t i = 0; i < used; i++) x[i] = 0.0;
            continue;
        }
        if (rows->is_float) {
            const float *p = (const float *)rows->data + start * rows->row_stride + j * rows->column_stride;
            for (ptrdiff_t i = 0; i < m; i++) x[i] = (double)p[i * rows->row_stride];
        } else {
            const double *p = (const double *)rows->data + start * rows->row_stride + j * rows->column_stride;
            for (ptrdiff_t i = 0; i < m; i++) x[i] = p[i * rows->row_stride];
        }
        for (ptrdiff_t i = m; i < used; i++) x[i] = x[m - 1];
    }
}

/* y = x - centre */
EM_INLINE void em_centre(const em_scratch *s, const double *centre)
{
    for (ptrdiff_t j = 0; j < s->d; j++) {
        const v8 c = em_set(centre[j]);
        const v8 *x = s->x + j * s->T;
        v8 *y = s->y + j * s->T;
        for (ptrdiff_t v = 0; v < s->nv; v++) y[v] = x[v] - c;
    }
}

/* Upper triangle in panels of four columns: for each panel, four coefficients a row. */
EM_INLINE ptrdiff_t em_panel_size(ptrdiff_t d)
{
    ptrdiff_t size = 0;
    for (ptrdiff_t j = 0; j < d; j += 4) size += 4 * (j + 4 < d ? j + 4 : d);
    return size;
}
EM_INLINE void em_pack(const double *factor, ptrdiff_t d, double *panel)
{
    for (ptrdiff_t j = 0; j < d; j += 4)
        for (ptrdiff_t i = 0; i < j + 4 && i < d; i++)
            for (ptrdiff_t c = 0; c < 4; c++)
                *panel++ = (j + c < d && i <= j + c) ? factor[i * d + j + c] : 0.0;
}

/* Four whitened features of sixteen rows. */
#define EM_WHITEN(panel, bound)                                                                       \
    v8 a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0}, b0 = {0}, b1 = {0}, b2 = {0}, b3 = {0};                \
    for (ptrdiff_t i = 0; i < (bound); i++) {                                                         \
        const v8 p = s->y[i * s->T + v], q = s->y[i * s->T + v + 1];                                  \
        const v8 c0 = em_set(panel[0]), c1 = em_set(panel[1]), c2 = em_set(panel[2]), c3 = em_set(panel[3]); \
        a0 += p * c0; a1 += p * c1; a2 += p * c2; a3 += p * c3;                                       \
        b0 += q * c0; b1 += q * c1; b2 += q * c2; b3 += q * c3;                                       \
        panel += 4;                                                                                   \
    }

EM_INLINE void em_density_full(const em_model *m, const em_scratch *s)
{
    const ptrdiff_t size = em_panel_size(s->d);
    for (ptrdiff_t k = 0; k < s->K; k++) {
        em_centre(s, m->means + k * s->d);
        const v8 constant = em_set(m->constants[k]), half = em_set(-0.5);
        v8 *out = s->table + k * s->T;
        for (ptrdiff_t v = 0; v < s->nv; v += 2) {
            const double *panel = s->panels + k * size;
            v8 f = {0}, g = {0};
            for (ptrdiff_t j = 0; j < s->d; j += 4) {
                EM_WHITEN(panel, (j + 4 < s->d ? j + 4 : s->d))
                f += (a0 * a0 + a1 * a1) + (a2 * a2 + a3 * a3);
                g += (b0 * b0 + b1 * b1) + (b2 * b2 + b3 * b3);
            }
            out[v] = constant + half * f;
            out[v + 1] = constant + half * g;
        }
    }
}

/* s->y already holds x - reference; its whitened form goes to s->u. */
EM_INLINE void em_density_tied(const em_model *m, const em_scratch *s)
{
    for (ptrdiff_t v = 0; v < s->nv; v += 2) {
        const double *panel = s->panels;
        for (ptrdiff_t j = 0; j < s->d; j += 4) {
            EM_WHITEN(panel, (j + 4 < s->d ? j + 4 : s->d))
            v8 *z = s->u + j * s->T + v;
            z[0] = a0; z[s->T] = a1; z[2 * s->T] = a2; z[3 * s->T] = a3;
            z[1] = b0; z[s->T + 1] = b1; z[2 * s->T + 1] = b2; z[3 * s->T + 1] = b3;
        }
    }
    for (ptrdiff_t k = 0; k < s->K; k++) {
        const double *shift = s->shifts + k * s->d;
        const v8 constant = em_set(m->constants[k]), half = em_set(-0.5);
        v8 *out = s->table + k * s->T;
        for (ptrdiff_t v = 0; v < s->nv; v += 2) {
            v8 f = {0}, g = {0};
            for (ptrdiff_t j = 0; j < s->d; j++) {
                const v8 c = em_set(shift[j]);
                const v8 p = s->u[j * s->T + v] - c, q = s->u[j * s->T + v + 1] - c;
                f += p * p;
                g += q * q;
            }
            out[v] = constant + half * f;
            out[v + 1] = constant + half * g;
        }
    }
}

EM_INLINE void em_density_diag(const em_model *m, const em_scratch *s)
{
    const int spherical = m->density == EM_SPHERICAL;
    for (ptrdiff_t k = 0; k < s->K; k++) {
        const double *mean = m->means + k * s->d;
        const double *scale = m->factors + (spherical ? k : k * s->d);
        const v8 constant = em_set(m->constants[k]), half = em_set(-0.5);
        v8 *out = s->table + k * s->T;
        for (ptrdiff_t v = 0; v < s->nv; v += 2) {
            v8 f = {0}, g = {0};
            for (ptrdiff_t j = 0; j < s->d; j++) {
                const v8 c = em_set(mean[j]), e = em_set(scale[spherical ? 0 : j]);
                const v8 p = (s->x[j * s->T + v] - c) * e, q = (s->x[j * s->T + v + 1] - c) * e;
                f += p * p;
                g += q * q;
            }
            out[v] = constant + half * f;
            out[v + 1] = constant + half * g;
        }
    }
}

/* ld = log sum exp over components; the table becomes weight * posterior. */
EM_INLINE v8 em_posterior(const em_scratch *s, ptrdiff_t v)
{
    const v8 floor = em_set(-1.7976931348623157e308), one = em_set(1.0);
    v8 *t = s->table + v;
    v8 top = floor;
    for (ptrdiff_t k = 0; k < s->K; k++) top = em_max(t[k * s->T], top);
    v8 sum = {0};
    for (ptrdiff_t k = 0; k < s->K; k++) {
        const v8 e = em_exp(t[k * s->T] - top);
        t[k * s->T] = e;
        sum += e;
    }
    const i8 empty = (i8)(sum < em_set(0.5)); /* no component reaches this row: share it evenly */
    const v8 share = s->w[v] / em_select(empty, em_set((double)s->K), sum);
    for (ptrdiff_t k = 0; k < s->K; k++)
        t[k * s->T] = em_select(empty, one, t[k * s->T]) * share;
    return em_select(empty, em_set(-HUGE_VAL), top + em_log(em_select(empty, one, sum)));
}

/* -------------------------------------------------------------- statistics */

/* Upper triangle of sum u x' in 2 x 4 tiles, eight sums a vector. */
EM_INLINE void em_add_scatter(const em_scratch *s, v8 *acc)
{
    for (ptrdiff_t i = 0; i < s->d; i += 2) {
        const v8 *u0 = s->u + i * s->T, *u1 = u0 + s->T;
        for (ptrdiff_t j = i & ~(ptrdiff_t)3; j < s->d; j += 4) {
            const v8 *y0 = s->y + j * s->T, *y1 = y0 + s->T, *y2 = y1 + s->T, *y3 = y2 + s->T;
            v8 a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0}, b0 = {0}, b1 = {0}, b2 = {0}, b3 = {0};
            for (ptrdiff_t v = 0; v < s->nv; v++) {
                const v8 p = u0[v], q = u1[v];
                a0 += p * y0[v]; a1 += p * y1[v]; a2 += p * y2[v]; a3 += p * y3[v];
                b0 += q * y0[v]; b1 += q * y1[v]; b2 += q * y2[v]; b3 += q * y3[v];
            }
            *acc++ += em_fold(a0, a1, a2, a3, b0, b1, b2, b3);
        }
    }
}
EM_INLINE ptrdiff_t em_scatter_tiles(ptrdiff_t d)
{
    ptrdiff_t tiles = 0;
    for (ptrdiff_t i = 0; i < d; i += 2) tiles += (d - (i & ~(ptrdiff_t)3) + 3) / 4;
    return tiles;
}
EM_INLINE void em_unpack_scatter(const v8 *acc, ptrdiff_t d, double *out)
{
    for (ptrdiff_t i = 0; i < d; i += 2)
        for (ptrdiff_t j = i & ~(ptrdiff_t)3; j < d; j += 4, acc++)
            for (ptrdiff_t r = 0; r < 2 && i + r < d; r++)
                for (ptrdiff_t c = 0; c < 4 && j + c < d; c++)
                    if (j + c >= i + r) {
                        out[(i + r) * d + j + c] = (*acc)[4 * r + c];
                        out[(j + c) * d + i + r] = (*acc)[4 * r + c];
                    }
}

/* u = r * y, and its sum over the rows */
EM_INLINE void em_weigh(const em_scratch *s, const v8 *r, v8 *first)
{
    for (ptrdiff_t j = 0; j < s->d; j++) {
        const v8 *y = s->y + j * s->T;
        v8 *u = s->u + j * s->T;
        v8 a = {0}, b = {0};
        for (ptrdiff_t v = 0; v < s->nv; v += 2) {
            u[v] = r[v] * y[v];
            u[v + 1] = r[v + 1] * y[v + 1];
            a += u[v];
            b += u[v + 1];
        }
        first[j] += a + b;
    }
}

EM_INLINE void em_add_full(const em_sums *out, const em_scratch *s)
{
    for (ptrdiff_t k = 0; k < s->K; k++) {
        em_centre(s, out->reference + k * s->d);
        em_weigh(s, s->table + k * s->T, s->acc_first + k * s->dp);
        em_add_scatter(s, s->acc_second + k * s->tiles);
    }
}

/* s->y holds x - reference, common to all components. */
EM_INLINE void em_add_pooled(const em_scratch *s)
{
    for (ptrdiff_t k = 0; k < s->K; k++) {
        const v8 *r = s->table + k * s->T;
        v8 *first = s->acc_first + k * s->dp;
        for (ptrdiff_t j = 0; j < s->d; j += 4) {
            const v8 *y0 = s->y + j * s->T, *y1 = y0 + s->T, *y2 = y1 + s->T, *y3 = y2 + s->T;
            v8 a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0};
            for (ptrdiff_t v = 0; v < s->nv; v++) {
                a0 += r[v] * y0[v]; a1 += r[v] * y1[v]; a2 += r[v] * y2[v]; a3 += r[v] * y3[v];
            }
            first[j] += a0; first[j + 1] += a1; first[j + 2] += a2; first[j + 3] += a3;
        }
    }
    for (ptrdiff_t j = 0; j < s->d; j++)
        for (ptrdiff_t v = 0; v < s->nv; v++) s->u[j * s->T + v] = s->w[v] * s->y[j * s->T + v];
    em_add_scatter(s, s->acc_second);
}

EM_INLINE void em_add_diag(const em_sums *out, const em_scratch *s)
{
    for (ptrdiff_t k = 0; k < s->K; k++) {
        const v8 *r = s->table + k * s->T;
        for (ptrdiff_t j = 0; j < s->d; j++) {
            const v8 c = em_set(out->reference[k * s->d + j]);
            const v8 *x = s->x + j * s->T;
            v8 a = {0}, b = {0}, e = {0}, f = {0};
            for (ptrdiff_t v = 0; v < s->nv; v += 2) {
                const v8 p = x[v] - c, q = x[v + 1] - c, rp = r[v] * p, rq = r[v + 1] * q;
                a += rp;
                b += rq;
                e += rp * p;
                f += rq * q;
            }
            s->acc_first[k * s->dp + j] += a + b;
            s->acc_second[k * s->dp + j] += e + f;
        }
    }
}

/* ------------------------------------------------------------------ blocks */

EM_INLINE int em_allocate(const em_model *m, int form, em_scratch *s, void **memory)
{
    s->d = m->d;
    s->K = m->K;
    s->dp = (m->d + 7) / 8 * 8;
    s->T = m->d <= 64 ? 16 : 8;
    s->tiles = em_scatter_tiles(m->d);
    const ptrdiff_t panel = em_panel_size(m->d);
    const ptrdiff_t n_panels = m->density == EM_FULL ? m->K : (m->density == EM_TIED ? 1 : 0);
    const ptrdiff_t second = form == EM_FULL ? m->K * s->tiles : (form == EM_TIED ? s->tiles : m->K * s->dp);
    const ptrdiff_t vectors = (3 * s->dp + m->K + 1) * s->T + m->K * s->dp + second;
    const ptrdiff_t doubles = n_panels * panel + m->K * m->d + 8;
    char *p = (char *)calloc(1, (size_t)(vectors * (ptrdiff_t)sizeof(v8) + doubles * 8 + 64));
    *memory = p;
    if (!p) return -1;
    v8 *q = (v8 *)(((uintptr_t)p + 63) & ~(uintptr_t)63);
    s->x = q; q += s->dp * s->T;
    s->y = q; q += s->dp * s->T;
    s->u = q; q += s->dp * s->T;
    s->table = q; q += m->K * s->T;
    s->w = q; q += s->T;
    s->acc_first = q; q += m->K * s->dp;
    s->acc_second = q; q += second;
    s->panels = (double *)q;
    s->shifts = s->panels + n_panels * panel;
    for (ptrdiff_t k = 0; k < n_panels; k++)
        em_pack(m->factors + k * m->d * m->d, m->d, s->panels + k * panel);
    return 0;
}

EM_INLINE void em_shift(const em_model *m, const double *centre, em_scratch *s)
{
    for (ptrdiff_t k = 0; k < m->K; k++)
        for (ptrdiff_t j = 0; j < m->d; j++) {
            double sum = 0.0;
            for (ptrdiff_t i = 0; i <= j; i++)
                sum += (m->means[k * m->d + i] - centre[i]) * m->factors[i * m->d + j];
            s->shifts[k * m->d + j] = sum;
        }
}

/* The table of log weight + log density of a tile. `centre` is used by the tied density only. */
EM_INLINE void em_density(const em_model *m, const double *centre, const em_scratch *s)
{
    if (m->density == EM_FULL) em_density_full(m, s);
    else if (m->density == EM_TIED) {
        em_centre(s, centre);
        em_density_tied(m, s);
    } else em_density_diag(m, s);
}

/* 0, or -1 when memory is short. */
EM_CLONES int em_gaussian_sums(const em_model *m, const em_rows *rows, em_sums *out)
{
    em_scratch s;
    void *memory;
    if (em_allocate(m, out->form, &s, &memory)) return -1;
    if (m->density == EM_TIED) em_shift(m, out->reference, &s);
    v8 total = {0};
    for (ptrdiff_t k = 0; k < m->K; k++) out->count[k] = 0.0;
    for (ptrdiff_t start = 0; start < rows->n; start += s.T * VL) {
        em_load(rows, start, &s);
        em_density(m, out->reference, &s);
        v8 tile = {0};
        for (ptrdiff_t v = 0; v < s.nv; v++) {
            const v8 ll = em_posterior(&s, v);
            tile += em_select((i8)(s.w[v] > em_set(0.0)), ll * s.w[v], em_set(0.0));
        }
        total += tile;
        for (ptrdiff_t k = 0; k < m->K; k++) {
            v8 count = {0};
            for (ptrdiff_t v = 0; v < s.nv; v++) count += s.table[k * s.T + v];
            out->count[k] += em_sum(count);
        }
        if (out->form == EM_FULL) em_add_full(out, &s);
        else if (out->form == EM_TIED) em_add_pooled(&s);
        else em_add_diag(out, &s);
    }
    out->log_likelihood = em_sum(total);
    for (ptrdiff_t k = 0; k < m->K; k++)
        for (ptrdiff_t j = 0; j < m->d; j++) out->first[k * m->d + j] = em_sum(s.acc_first[k * s.dp + j]);
    if (out->form == EM_DIAG)
        for (ptrdiff_t k = 0; k < m->K; k++)
            for (ptrdiff_t j = 0; j < m->d; j++) out->second[k * m->d + j] = em_sum(s.acc_second[k * s.dp + j]);
    else
        for (ptrdiff_t k = 0; k < (out->form == EM_FULL ? m->K : 1); k++)
            em_unpack_scatter(s.acc_second + k * s.tiles, m->d, out->second + k * m->d * m->d);
    free(memory);
    return 0;
}

EM_CLONES int em_gaussian_scores(const em_model *m, const em_rows *rows, em_scores *out)
{
    em_scratch s;
    void *memory;
    if (em_allocate(m, EM_DIAG, &s, &memory)) return -1;
    if (m->density == EM_TIED) em_shift(m, m->means, &s);
    for (ptrdiff_t start = 0; start < rows->n; start += s.T * VL) {
        em_load(rows, start, &s);
        for (ptrdiff_t v = 0; v < s.nv; v++) s.w[v] = em_set(1.0);
        em_density(m, m->means, &s);
        const ptrdiff_t left = rows->n - start;
        const ptrdiff_t used = left < s.T * VL ? left : s.T * VL;
        const double *table = (const double *)s.table;
        if (out->joint)
            for (ptrdiff_t i = 0; i < used; i++)
                for (ptrdiff_t k = 0; k < m->K; k++)
                    out->joint[(start + i) * m->K + k] = table[k * s.T * VL + i];
        if (out->label)
            for (ptrdiff_t v = 0; v < s.nv; v++) {
                v8 top = s.table[v];
                i8 best = {0};
                for (ptrdiff_t k = 1; k < m->K; k++) {
                    const v8 value = s.table[k * s.T + v];
                    const i8 higher = (i8)(value > top);
                    top = em_select(higher, value, top);
                    best = (best & ~higher) | (higher & ((i8){0} + (int64_t)k));
                }
                for (ptrdiff_t l = 0; l < VL && v * VL + l < used; l++) out->label[start + v * VL + l] = best[l];
            }
        if (!out->posterior && !out->log_density) continue;
        for (ptrdiff_t v = 0; v < s.nv; v++) {
            const v8 ll = em_posterior(&s, v);
            if (out->log_density)
                for (ptrdiff_t l = 0; l < VL && v * VL + l < used; l++) out->log_density[start + v * VL + l] = ll[l];
        }
        if (out->posterior)
            for (ptrdiff_t i = 0; i < used; i++)
                for (ptrdiff_t k = 0; k < m->K; k++)
                    out->posterior[(start + i) * m->K + k] = table[k * s.T * VL + i];
    }
    free(memory);
    return 0;
}

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

static const char *em_instruction_set(void)
{
#if EM_HAS_CLONES
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4")) return "x86-64-v4 (AVX-512)";
    if (__builtin_cpu_supports("x86-64-v3")) return "x86-64-v3 (AVX2, FMA)";
    return "x86-64";
#else
    return "generic";
#endif
}
#endif
