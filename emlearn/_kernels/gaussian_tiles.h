/* The tiles of the Gaussian E-step, once for each instruction set: included by
 * gaussian_kernel.h with VL (lanes of a vector) and EM_ISA (a suffix) defined.
 * No include guard.
 */
#include "vectors.h"

/* Each of eight vectors is summed over its lanes, and added to one of eight numbers. */
#if VL == 8
#define EM_PAIR1(a, b) (EM_SHUFFLE(a, b, 0, 8, 2, 10, 4, 12, 6, 14) + EM_SHUFFLE(a, b, 1, 9, 3, 11, 5, 13, 7, 15))
#define EM_PAIR2(a, b) (EM_SHUFFLE(a, b, 0, 1, 8, 9, 4, 5, 12, 13) + EM_SHUFFLE(a, b, 2, 3, 10, 11, 6, 7, 14, 15))
#define EM_PAIR4(a, b) (EM_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + EM_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15))
#elif VL == 4
#define EM_PAIR1(a, b) (EM_SHUFFLE(a, b, 0, 4, 2, 6) + EM_SHUFFLE(a, b, 1, 5, 3, 7))
#define EM_PAIR2(a, b) (EM_SHUFFLE(a, b, 0, 1, 4, 5) + EM_SHUFFLE(a, b, 2, 3, 6, 7))
#else
#define EM_PAIR1(a, b) (EM_SHUFFLE(a, b, 0, 2) + EM_SHUFFLE(a, b, 1, 3))
#endif
EM_INLINE void FN(fold)(vec *acc, vec a0, vec a1, vec a2, vec a3, vec a4, vec a5, vec a6, vec a7)
{
#if VL == 8
    acc[0] += EM_PAIR4(EM_PAIR2(EM_PAIR1(a0, a1), EM_PAIR1(a2, a3)), EM_PAIR2(EM_PAIR1(a4, a5), EM_PAIR1(a6, a7)));
#elif VL == 4
    acc[0] += EM_PAIR2(EM_PAIR1(a0, a1), EM_PAIR1(a2, a3));
    acc[1] += EM_PAIR2(EM_PAIR1(a4, a5), EM_PAIR1(a6, a7));
#else
    acc[0] += EM_PAIR1(a0, a1);
    acc[1] += EM_PAIR1(a2, a3);
    acc[2] += EM_PAIR1(a4, a5);
    acc[3] += EM_PAIR1(a6, a7);
#endif
}
#undef EM_PAIR1
#undef EM_PAIR2
#undef EM_PAIR4

typedef struct {
    ptrdiff_t d, dp, K, T, nv;           /* T vectors of rows a tile, nv of them in use */
    ptrdiff_t S;                         /* from one feature to the next: T + 1, no power of 2, for the cache's sake */
    vec *x, *y, *u, *table, *w, *top, *sum; /* (dp, S), (dp, S), (dp, S), (K, S), (T,), (T,), (T,) */
    double *panels, *shifts, *counts;    /* packed factors; (K, d) whitened or scaled means; (K,) */
    int near;                            /* whether the scaled means are used */
    int finite;                          /* whether all rows so far are */
    const char *ahead;                   /* the next tile's rows, where they lie together, and their size */
    ptrdiff_t ahead_size;
    vec *acc_first, *acc_second;
    ptrdiff_t tiles;                     /* vectors for the 2 x 4 tiles of an upper triangle */
} FN(scratch);

/* ------------------------------------------------------------------- tiles */

EM_INLINE void FN(load)(const em_rows *rows, ptrdiff_t start, FN(scratch) *s)
{
    const ptrdiff_t lanes = s->T * VL, left = rows->n - start;
    const ptrdiff_t m = left < lanes ? left : lanes;
    s->nv = (m + 2 * VL - 1) / (2 * VL) * 2;
    const ptrdiff_t used = s->nv * VL;
    double *w = (double *)s->w;
    for (ptrdiff_t i = 0; i < used; i++)
        w[i] = i < m ? (rows->weights ? rows->weights[start + i] : 1.0) : 0.0;
#define EM_COPY(type)                                                                                  \
    const type *p = (const type *)rows->data + start * rows->row_stride;                              \
    const ptrdiff_t across = rows->column_stride, down = rows->row_stride;                            \
    ptrdiff_t i = 0;                                                                                  \
    if (across == 1) /* eight rows abreast, each read from left to right */                           \
        for (; i + 8 <= m; i += 8)                                                                    \
            for (ptrdiff_t j = 0; j < s->d; j++) {                                                    \
                double *x = (double *)(s->x + j * s->S) + i;                                          \
                for (ptrdiff_t l = 0; l < 8; l++) x[l] = (double)p[(i + l) * down + j];               \
            }                                                                                         \
    for (ptrdiff_t j = 0; j < s->d; j++) {                                                            \
        double *x = (double *)(s->x + j * s->S);                                                      \
        for (ptrdiff_t r = i; r < m; r++) x[r] = (double)p[r * down + j * across];                    \
    }
    if (rows->is_float) {
        EM_COPY(float)
    } else {
        EM_COPY(double)
    }
#undef EM_COPY
    vec bad = {0};
    for (ptrdiff_t j = 0; j < s->d; j++) {
        double *x = (double *)(s->x + j * s->S);
        for (ptrdiff_t i = m; i < used; i++) x[i] = x[m - 1];
        for (ptrdiff_t v = 0; v < s->nv; v++) bad += s->x[j * s->S + v] * 0.0; /* nan for nan and infinity */
        if (rows->weights) /* a row of weight 0 may hold anything */
            for (ptrdiff_t i = 0; i < used; i++) x[i] = w[i] > 0.0 ? x[i] : 0.0;
    }
    s->finite &= FN(sum)(bad) == 0.0;
    const ptrdiff_t size = rows->is_float ? 4 : 8, next = left - m < lanes ? left - m : lanes;
    s->ahead = (const char *)rows->data + (start + m) * rows->row_stride * size;
    s->ahead_size = rows->column_stride == 1 && rows->row_stride == s->d ? next * s->d * size : 0;
}

/* Ask for the k-th part of the next tile, while this one is computed. */
EM_INLINE void FN(prefetch)(const FN(scratch) *s, ptrdiff_t k)
{
    for (ptrdiff_t b = s->ahead_size * k / s->K; b < s->ahead_size * (k + 1) / s->K; b += 64)
        __builtin_prefetch(s->ahead + b, 0, 2);
}

/* y = x - centre */
EM_INLINE void FN(centre)(const FN(scratch) *s, const double *centre)
{
    for (ptrdiff_t j = 0; j < s->d; j++) {
        const vec c = FN(set)(centre[j]);
        const vec *x = s->x + j * s->S;
        vec *y = s->y + j * s->S;
        for (ptrdiff_t v = 0; v < s->nv; v++) y[v] = x[v] - c;
    }
}

/* Upper triangle in panels of four columns: for each panel, four coefficients a row. */
EM_INLINE ptrdiff_t FN(panel_size)(ptrdiff_t d)
{
    ptrdiff_t size = 0;
    for (ptrdiff_t j = 0; j < d; j += 4) size += 4 * (j + 4 < d ? j + 4 : d);
    return size;
}
EM_INLINE void FN(pack)(const double *factor, ptrdiff_t d, double *panel)
{
    for (ptrdiff_t j = 0; j < d; j += 4)
        for (ptrdiff_t i = 0; i < j + 4 && i < d; i++)
            for (ptrdiff_t c = 0; c < 4; c++)
                *panel++ = (j + c < d && i <= j + c) ? factor[i * d + j + c] : 0.0;
}

/* out = constant - 1/2 sum over features of ((z - centre) * scale)^2, eight vectors of rows at a time.
 * With `shift`, centre * scale, one instruction does for two where the loss of digits is none. */
EM_INLINE void FN(squares)(const FN(scratch) *s, const vec *z, const double *centre, const double *scale,
                           ptrdiff_t scale_step, const double *shift, double constant, vec *out)
{
    for (ptrdiff_t v = 0; v < s->nv; v += 8) { /* vectors beyond nv hold numbers, which nobody reads */
        vec f[8] = {{0}};
        for (ptrdiff_t j = 0; j < s->d; j++) {
            const vec *p = z + j * s->S + v;
            if (shift) {
                const vec c = FN(set)(shift[j]), e = FN(set)(scale[j * scale_step]);
#pragma GCC unroll 8
                for (int i = 0; i < 8; i++) {
                    const vec t = p[i] * e - c;
                    f[i] += t * t;
                }
            } else {
                const vec c = FN(set)(centre[j]), e = FN(set)(scale ? scale[j * scale_step] : 1.0);
#pragma GCC unroll 8
                for (int i = 0; i < 8; i++) {
                    const vec t = scale ? (p[i] - c) * e : p[i] - c;
                    f[i] += t * t;
                }
            }
        }
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) out[v + i] = FN(set)(constant) - FN(set)(0.5) * f[i];
    }
}

/* Four whitened features of two vectors of rows; two in the last panel where d % 4 is 1 or 2. */
#define EM_WHITEN(panel, bound)                                                                       \
    vec a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0}, b0 = {0}, b1 = {0}, b2 = {0}, b3 = {0};                \
    if (j + 2 < s->d)                                                                                 \
        for (ptrdiff_t i = 0; i < (bound); i++, panel += 4) {                                         \
            const vec p = s->y[i * s->S + v], q = s->y[i * s->S + v + 1];                              \
            a0 += p * panel[0]; a1 += p * panel[1]; a2 += p * panel[2]; a3 += p * panel[3];           \
            b0 += q * panel[0]; b1 += q * panel[1]; b2 += q * panel[2]; b3 += q * panel[3];           \
        }                                                                                             \
    else                                                                                              \
        for (ptrdiff_t i = 0; i < (bound); i++, panel += 4) {                                         \
            const vec p = s->y[i * s->S + v], q = s->y[i * s->S + v + 1];                              \
            a0 += p * panel[0]; a1 += p * panel[1];                                                   \
            b0 += q * panel[0]; b1 += q * panel[1];                                                   \
        }

EM_INLINE void FN(density_full)(const em_model *m, const FN(scratch) *s)
{
    const ptrdiff_t size = FN(panel_size)(s->d);
    for (ptrdiff_t k = 0; k < s->K; k++) {
        FN(prefetch)(s, k);
        FN(centre)(s, m->means + k * s->d);
        const vec constant = FN(set)(m->constants[k]), half = FN(set)(-0.5);
        vec *out = s->table + k * s->S;
        for (ptrdiff_t v = 0; v < s->nv; v += 2) {
            const double *panel = s->panels + k * size;
            vec f = {0}, g = {0};
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
EM_INLINE void FN(density_tied)(const em_model *m, const FN(scratch) *s)
{
    for (ptrdiff_t v = 0; v < s->nv; v += 2) {
        const double *panel = s->panels;
        for (ptrdiff_t j = 0; j < s->d; j += 4) {
            EM_WHITEN(panel, (j + 4 < s->d ? j + 4 : s->d))
            vec *z = s->u + j * s->S + v;
            z[0] = a0; z[s->S] = a1; z[2 * s->S] = a2; z[3 * s->S] = a3;
            z[1] = b0; z[s->S + 1] = b1; z[2 * s->S + 1] = b2; z[3 * s->S + 1] = b3;
        }
    }
    for (ptrdiff_t k = 0; k < s->K; k++) {
        FN(prefetch)(s, k);
        FN(squares)(s, s->u, s->shifts + k * s->d, NULL, 0, NULL, m->constants[k], s->table + k * s->S);
    }
}

EM_INLINE void FN(density_diag)(const em_model *m, const FN(scratch) *s)
{
    const int spherical = m->density == EM_SPHERICAL;
    for (ptrdiff_t k = 0; k < s->K; k++) {
        const double *means = m->means + k * s->d, *scale = m->factors + (spherical ? k : k * s->d);
        const double *shift = s->near ? s->shifts + k * s->d : NULL;
        vec *out = s->table + k * s->S;
        FN(prefetch)(s, k);
        if (spherical && shift)
            FN(squares)(s, s->x, means, scale, 0, shift, m->constants[k], out);
        else if (shift)
            FN(squares)(s, s->x, means, scale, 1, shift, m->constants[k], out);
        else
            FN(squares)(s, s->x, means, scale, !spherical, NULL, m->constants[k], out);
    }
}

/* Products of means and scales; near: all so small that their rounding, relative to a standard deviation, is none. */
EM_INLINE void FN(scale_means)(const em_model *m, FN(scratch) *s)
{
    const int spherical = m->density == EM_SPHERICAL;
    s->near = 1;
    for (ptrdiff_t k = 0; k < m->K; k++)
        for (ptrdiff_t j = 0; j < m->d; j++) {
            const double scale = m->factors[spherical ? k : k * m->d + j];
            const double shift = m->means[k * m->d + j] * scale;
            s->shifts[k * m->d + j] = shift;
            s->near &= fabs(shift) < 1e3;
        }
}

EM_INLINE void FN(posterior)(const FN(scratch) *s, double *counts)
{
    FN(share)(s->K, s->S, s->nv, s->table, s->w, s->top, s->sum, counts);
}

/* -------------------------------------------------------------- statistics */

/* Upper triangle of sum u x' in 2 x 4 tiles. */
EM_INLINE void FN(add_scatter)(const FN(scratch) *s, vec *acc)
{
    for (ptrdiff_t i = 0; i < s->d; i += 2) {
        const vec *u0 = s->u + i * s->S, *u1 = u0 + s->S;
        for (ptrdiff_t j = i & ~(ptrdiff_t)3; j < s->d; j += 4) {
            const vec *y0 = s->y + j * s->S, *y1 = y0 + s->S, *y2 = y1 + s->S, *y3 = y2 + s->S;
            vec a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0}, b0 = {0}, b1 = {0}, b2 = {0}, b3 = {0};
            if (j + 2 < s->d)
                for (ptrdiff_t v = 0; v < s->nv; v++) {
                    const vec p = u0[v], q = u1[v];
                    a0 += p * y0[v]; a1 += p * y1[v]; a2 += p * y2[v]; a3 += p * y3[v];
                    b0 += q * y0[v]; b1 += q * y1[v]; b2 += q * y2[v]; b3 += q * y3[v];
                }
            else /* two columns are left */
                for (ptrdiff_t v = 0; v < s->nv; v += 2) {
                    a0 += u0[v] * y0[v]; a1 += u0[v] * y1[v]; b0 += u1[v] * y0[v]; b1 += u1[v] * y1[v];
                    a2 += u0[v + 1] * y0[v + 1]; a3 += u0[v + 1] * y1[v + 1];
                    b2 += u1[v + 1] * y0[v + 1]; b3 += u1[v + 1] * y1[v + 1];
                }
            if (j + 2 >= s->d) {
                a0 += a2; a1 += a3; b0 += b2; b1 += b3;
            }
            FN(fold)(acc, a0, a1, a2, a3, b0, b1, b2, b3);
            acc += 8 / VL;
        }
    }
}
EM_INLINE ptrdiff_t FN(scatter_tiles)(ptrdiff_t d)
{
    ptrdiff_t tiles = 0;
    for (ptrdiff_t i = 0; i < d; i += 2) tiles += (d - (i & ~(ptrdiff_t)3) + 3) / 4;
    return tiles;
}
EM_INLINE void FN(unpack_scatter)(const vec *acc, ptrdiff_t d, double *out)
{
    const double *sums = (const double *)acc;
    for (ptrdiff_t i = 0; i < d; i += 2)
        for (ptrdiff_t j = i & ~(ptrdiff_t)3; j < d; j += 4, sums += 8)
            for (ptrdiff_t r = 0; r < 2 && i + r < d; r++)
                for (ptrdiff_t c = 0; c < 4 && j + c < d; c++)
                    if (j + c >= i + r) {
                        out[(i + r) * d + j + c] = sums[4 * r + c];
                        out[(j + c) * d + i + r] = sums[4 * r + c];
                    }
}

/* u = r * y, and its sum over the rows */
EM_INLINE void FN(weigh)(const FN(scratch) *s, const vec *r, vec *first)
{
    for (ptrdiff_t j = 0; j < s->d; j++) {
        const vec *y = s->y + j * s->S;
        vec *u = s->u + j * s->S;
        vec a = {0}, b = {0};
        for (ptrdiff_t v = 0; v < s->nv; v += 2) {
            u[v] = r[v] * y[v];
            u[v + 1] = r[v + 1] * y[v + 1];
            a += u[v];
            b += u[v + 1];
        }
        first[j] += a + b;
    }
}

EM_INLINE void FN(add_full)(const em_sums *out, const FN(scratch) *s)
{
    for (ptrdiff_t k = 0; k < s->K; k++) {
        FN(centre)(s, out->reference + k * s->d);
        FN(weigh)(s, s->table + k * s->S, s->acc_first + k * s->dp);
        FN(add_scatter)(s, s->acc_second + k * s->tiles);
    }
}

/* One reference, common to all components. */
EM_INLINE void FN(add_pooled)(const em_sums *out, const FN(scratch) *s)
{
    FN(centre)(s, out->reference);
    for (ptrdiff_t k = 0; k < s->K; k++) {
        const vec *r = s->table + k * s->S;
        vec *first = s->acc_first + k * s->dp;
        for (ptrdiff_t j = 0; j < s->d; j += 4) {
            const vec *y0 = s->y + j * s->S, *y1 = y0 + s->S, *y2 = y1 + s->S, *y3 = y2 + s->S;
            vec a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0};
            for (ptrdiff_t v = 0; v < s->nv; v++) {
                a0 += r[v] * y0[v]; a1 += r[v] * y1[v]; a2 += r[v] * y2[v]; a3 += r[v] * y3[v];
            }
            first[j] += a0; first[j + 1] += a1; first[j + 2] += a2; first[j + 3] += a3;
        }
    }
    for (ptrdiff_t j = 0; j < s->d; j++)
        for (ptrdiff_t v = 0; v < s->nv; v++) s->u[j * s->S + v] = s->w[v] * s->y[j * s->S + v];
    FN(add_scatter)(s, s->acc_second);
}

EM_INLINE void FN(add_diag)(const em_sums *out, const FN(scratch) *s)
{
    for (ptrdiff_t k = 0; k < s->K; k++) {
        const vec *r = s->table + k * s->S;
        for (ptrdiff_t j = 0; j < s->d; j++) {
            const vec c = FN(set)(out->reference[k * s->d + j]);
            const vec *x = s->x + j * s->S;
            vec a = {0}, b = {0}, e = {0}, f = {0};
            for (ptrdiff_t v = 0; v < s->nv; v += 2) {
                const vec p = x[v] - c, q = x[v + 1] - c, rp = r[v] * p, rq = r[v + 1] * q;
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

EM_INLINE int FN(allocate)(const em_model *m, int form, FN(scratch) *s, void **memory)
{
    s->d = m->d;
    s->K = m->K;
    s->finite = 1;
    s->near = 0;
    s->dp = (m->d + 7) / 8 * 8;
    s->T = (m->d <= 64 ? 128 : 64) / VL;
    s->S = s->T + 1;
    s->tiles = FN(scatter_tiles)(m->d) * (8 / VL);
    const ptrdiff_t panel = FN(panel_size)(m->d);
    const ptrdiff_t n_panels = m->density == EM_FULL ? m->K : (m->density == EM_TIED ? 1 : 0);
    const ptrdiff_t second = form == EM_FULL ? m->K * s->tiles : (form == EM_TIED ? s->tiles : m->K * s->dp);
    const ptrdiff_t vectors = (3 * s->dp + m->K + 3) * s->S + m->K * s->dp + second;
    const ptrdiff_t doubles = n_panels * panel + m->K * m->d + m->K + 8;
    char *p = (char *)calloc(1, (size_t)(vectors * (ptrdiff_t)sizeof(vec) + doubles * 8 + 64));
    *memory = p;
    if (!p) return -1;
    vec *q = (vec *)(((uintptr_t)p + 63) & ~(uintptr_t)63);
    s->x = q; q += s->dp * s->S;
    s->y = q; q += s->dp * s->S;
    s->u = q; q += s->dp * s->S;
    s->table = q; q += m->K * s->S;
    s->w = q; q += s->S;
    s->top = q; q += s->S;
    s->sum = q; q += s->S;
    s->acc_first = q; q += m->K * s->dp;
    s->acc_second = q; q += second;
    s->panels = (double *)q;
    s->shifts = s->panels + n_panels * panel;
    s->counts = s->shifts + m->K * m->d;
    for (ptrdiff_t k = 0; k < n_panels; k++)
        FN(pack)(m->factors + k * m->d * m->d, m->d, s->panels + k * panel);
    return 0;
}

EM_INLINE void FN(shift)(const em_model *m, const double *centre, FN(scratch) *s)
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
EM_INLINE void FN(density)(const em_model *m, const double *centre, const FN(scratch) *s)
{
    if (m->density == EM_FULL) FN(density_full)(m, s);
    else if (m->density == EM_TIED) {
        FN(centre)(s, centre);
        FN(density_tied)(m, s);
    } else FN(density_diag)(m, s);
}

EM_INLINE void FN(add)(const em_sums *out, const FN(scratch) *s)
{
    if (out->form == EM_FULL) FN(add_full)(out, s);
    else if (out->form == EM_TIED) FN(add_pooled)(out, s);
    else FN(add_diag)(out, s);
}

/* What the tiles have added up. */
EM_INLINE void FN(read_sums)(const FN(scratch) *s, em_sums *out)
{
    for (ptrdiff_t k = 0; k < s->K; k++)
        for (ptrdiff_t j = 0; j < s->d; j++) out->first[k * s->d + j] = FN(sum)(s->acc_first[k * s->dp + j]);
    if (out->form == EM_DIAG)
        for (ptrdiff_t k = 0; k < s->K; k++)
            for (ptrdiff_t j = 0; j < s->d; j++) out->second[k * s->d + j] = FN(sum)(s->acc_second[k * s->dp + j]);
    else
        for (ptrdiff_t k = 0; k < (out->form == EM_FULL ? s->K : 1); k++)
            FN(unpack_scatter)(s->acc_second + k * s->tiles, s->d, out->second + k * s->d * s->d);
}

/* 0, or -1 when memory is short. */
static int FN(gaussian_sums)(const em_model *m, const em_rows *rows, em_sums *out)
{
    FN(scratch) s;
    void *memory;
    if (FN(allocate)(m, out->form, &s, &memory)) return -1;
    if (m->density == EM_TIED) FN(shift)(m, out->reference, &s);
    else if (m->density != EM_FULL) FN(scale_means)(m, &s);
    vec total = {0};
    for (ptrdiff_t k = 0; k < m->K; k++) out->count[k] = 0.0;
    for (ptrdiff_t start = 0; start < rows->n; start += s.T * VL) {
        FN(load)(rows, start, &s);
        FN(density)(m, out->reference, &s);
        FN(posterior)(&s, out->count);
        vec tile = {0};
        for (ptrdiff_t v = 0; v < s.nv; v++)
            tile += FN(select)((ivec)(s.w[v] > FN(set)(0.0)), s.sum[v] * s.w[v], FN(set)(0.0));
        total += tile;
        FN(add)(out, &s);
    }
    out->log_likelihood = FN(sum)(total);
    FN(read_sums)(&s, out);
    free(memory);
    return 0;
}

/* The same sums under given weights (n, K); those of the rows are their totals. */
static int FN(gaussian_moments)(ptrdiff_t d, ptrdiff_t K, const double *weights, const em_rows *rows, em_sums *out)
{
    const em_model m = {EM_DIAG, d, K, NULL, NULL, NULL};
    FN(scratch) s;
    void *memory;
    if (FN(allocate)(&m, out->form, &s, &memory)) return -1;
    for (ptrdiff_t k = 0; k < K; k++) out->count[k] = 0.0;
    for (ptrdiff_t start = 0; start < rows->n; start += s.T * VL) {
        FN(load)(rows, start, &s);
        const ptrdiff_t left = rows->n - start, used = left < s.T * VL ? left : s.T * VL;
        FN(columns)(weights + start * K, used, K, s.S, s.nv, 0.0, s.table);
        for (ptrdiff_t k = 0; k < K; k++) {
            vec sum = {0};
            for (ptrdiff_t v = 0; v < s.nv; v++) sum += s.table[k * s.S + v];
            out->count[k] += FN(sum)(sum);
        }
        FN(add)(out, &s);
    }
    FN(read_sums)(&s, out);
    free(memory);
    return 0;
}

static int FN(gaussian_scores)(const em_model *m, const em_rows *rows, em_scores *out)
{
    FN(scratch) s;
    void *memory;
    if (FN(allocate)(m, EM_DIAG, &s, &memory)) return -1;
    if (m->density == EM_TIED) FN(shift)(m, m->means, &s);
    else if (m->density != EM_FULL) FN(scale_means)(m, &s);
    for (ptrdiff_t start = 0; start < rows->n; start += s.T * VL) {
        FN(load)(rows, start, &s);
        for (ptrdiff_t v = 0; v < s.nv; v++) s.w[v] = FN(set)(1.0);
        FN(density)(m, m->means, &s);
        const ptrdiff_t left = rows->n - start;
        const ptrdiff_t used = left < s.T * VL ? left : s.T * VL;
        const double *table = (const double *)s.table;
        if (out->joint)
            for (ptrdiff_t i = 0; i < used; i++)
                for (ptrdiff_t k = 0; k < m->K; k++)
                    out->joint[(start + i) * m->K + k] = table[k * s.S * VL + i];
        if (out->label)
            for (ptrdiff_t v = 0; v < s.nv; v++) {
                vec top = s.table[v];
                ivec best = {0};
                for (ptrdiff_t k = 1; k < m->K; k++) {
                    const vec value = s.table[k * s.S + v];
                    const ivec higher = (ivec)(value > top);
                    top = FN(select)(higher, value, top);
                    best = (best & ~higher) | (higher & ((ivec){0} + (int64_t)k));
                }
                for (ptrdiff_t l = 0; l < VL && v * VL + l < used; l++) out->label[start + v * VL + l] = best[l];
            }
        if (!out->posterior && !out->log_density) continue;
        FN(posterior)(&s, s.counts);
        if (out->log_density)
            for (ptrdiff_t i = 0; i < used; i++) out->log_density[start + i] = ((const double *)s.sum)[i];
        if (out->posterior)
            for (ptrdiff_t i = 0; i < used; i++)
                for (ptrdiff_t k = 0; k < m->K; k++)
                    out->posterior[(start + i) * m->K + k] = table[k * s.S * VL + i];
    }
    out->finite = s.finite;
    free(memory);
    return 0;
}

#undef FN
#undef vec
#undef ivec
