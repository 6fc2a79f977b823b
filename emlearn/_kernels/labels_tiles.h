/* The tiles of labels_kernel.h, once for each instruction set. No include guard. */
#include "vectors.h"

enum { FN(TILE) = 128 }; /* rows of a tile */

/* Buffers of a tile: (K, S) vectors, and three of S. */
typedef struct {
    ptrdiff_t S;
    vec *table, *w, *top, *sum;
    double *rows;              /* (TILE, Kp) */
    int64_t *places;           /* (TILE, d) */
} FN(tile);

EM_INLINE int FN(open_tile)(ptrdiff_t K, ptrdiff_t Kp, ptrdiff_t d, FN(tile) *t, void **memory)
{
    t->S = FN(TILE) / VL + 1;
    const ptrdiff_t vectors = (K + 3) * t->S;
    char *p = (char *)malloc((size_t)(vectors * (ptrdiff_t)sizeof(vec) + FN(TILE) * (Kp + d) * 8 + 128));
    *memory = p;
    if (!p) return -1;
    vec *q = (vec *)(((uintptr_t)p + 63) & ~(uintptr_t)63);
    t->table = q; q += K * t->S;
    t->w = q; q += t->S;
    t->top = q; q += t->S;
    t->sum = q; q += t->S;
    t->rows = (double *)(((uintptr_t)q + 63) & ~(uintptr_t)63);
    t->places = (int64_t *)(t->rows + FN(TILE) * Kp);
    return 0;
}

/* Log-densities (m, step) to posteriors times weight in the table; adds to the counts. */
EM_INLINE void FN(share_rows)(ptrdiff_t K, ptrdiff_t m, const double *density, ptrdiff_t step,
                              const double *log_weights, const double *weights, double *counts, FN(tile) *t)
{
    const ptrdiff_t nv = (m + 2 * VL - 1) / (2 * VL) * 2, used = nv * VL;
    double *w = (double *)t->w, *bad = (double *)t->sum;
    for (ptrdiff_t i = 0; i < used; i++) {
        w[i] = i < m ? (weights ? weights[i] : 1.0) : 0.0;
        bad[i] = 0.0;
    }
    for (ptrdiff_t k = 0; k < K; k++) {
        double *column = (double *)(t->table + k * t->S);
        for (ptrdiff_t i = 0; i < m; i++) {
            const double value = density[i * step + k] + log_weights[k];
            column[i] = value;
            bad[i] += value != value ? 1.0 : 0.0;
        }
        for (ptrdiff_t i = m; i < used; i++) column[i] = 0.0;
    }
    double some = 0.0;
    for (ptrdiff_t i = 0; i < m; i++) some += bad[i];
    if (some > 0.0) /* a row with a density that is no number is reached by no component */
        for (ptrdiff_t i = 0; i < m; i++)
            for (ptrdiff_t k = 0; k < K && bad[i] > 0.0; k++)
                ((double *)(t->table + k * t->S))[i] = -HUGE_VAL;
    FN(share)(K, t->S, nv, t->table, t->w, t->top, t->sum, counts);
}

static int FN(posterior)(ptrdiff_t n, ptrdiff_t K, const double *density, const double *log_weights,
                         const double *weights, double *posterior, double *rows, double *counts)
{
    FN(tile) t;
    void *memory;
    if (FN(open_tile)(K, 0, 0, &t, &memory)) return -1;
    for (ptrdiff_t start = 0; start < n; start += FN(TILE)) {
        const ptrdiff_t m = n - start < FN(TILE) ? n - start : FN(TILE);
        FN(share_rows)(K, m, density + start * K, K, log_weights, weights ? weights + start : NULL, counts, &t);
        double *out = posterior + start * K;
        for (ptrdiff_t k = 0; k < K; k++) {
            const double *column = (const double *)(t.table + k * t.S);
            for (ptrdiff_t i = 0; i < m; i++) out[i * K + k] = column[i];
        }
        memcpy(rows + start, t.sum, (size_t)m * sizeof(double));
    }
    free(memory);
    return 0;
}

/* ------------------------------------------------------------- categories */

/* Where the lines of the categories of some rows (m, d) begin, in a table of lines of Kp. */
EM_INLINE void FN(places)(ptrdiff_t Kp, const em_codes *x, ptrdiff_t start, ptrdiff_t m, int64_t *places)
{
    for (ptrdiff_t i = 0; i < m; i++) {
        const int32_t *codes = x->codes + (start + i) * x->d;
        for (ptrdiff_t j = 0; j < x->d; j++)
            places[i * x->d + j] =
                Kp * ((uint32_t)codes[j] < (uint32_t)x->sizes[j] ? (int64_t)x->begins[j] + codes[j] : x->V);
    }
}

/* Rows (m, Kp) of sums of lines of the table. */
EM_INLINE void FN(add_lines)(ptrdiff_t Kp, ptrdiff_t d, ptrdiff_t m, const int64_t *places, const double *lines,
                             double *out)
{
    for (ptrdiff_t g = 0; g < Kp; g += 8)
        for (ptrdiff_t i = 0; i < m; i++) {
            vec a[8 / VL] = {{0}};
            for (ptrdiff_t j = 0; j < d; j++) {
                const vec *line = (const vec *)(lines + places[i * d + j] + g);
                for (int l = 0; l < 8 / VL; l++) a[l] += line[l];
            }
            for (int l = 0; l < 8 / VL; l++) ((vec *)(out + i * Kp + g))[l] = a[l];
        }
}

/* Each row (m, Kp) is added to the lines of its categories. */
EM_INLINE void FN(add_rows)(ptrdiff_t Kp, ptrdiff_t d, ptrdiff_t m, const int64_t *places, const double *rows,
                            double *lines)
{
    for (ptrdiff_t g = 0; g < Kp; g += 8)
        for (ptrdiff_t i = 0; i < m; i++) {
            vec a[8 / VL];
            for (int l = 0; l < 8 / VL; l++) a[l] = ((const vec *)(rows + i * Kp + g))[l];
            for (ptrdiff_t j = 0; j < d; j++) {
                vec *line = (vec *)(lines + places[i * d + j] + g);
                for (int l = 0; l < 8 / VL; l++) line[l] += a[l];
            }
        }
}

/* Density, posterior and totals in one pass; tables (V + 1, Kp) at multiples of 64 bytes. */
static int FN(categorical)(ptrdiff_t K, const em_codes *x, const double *lines, const double *log_weights,
                           const double *weights, double *totals, double *counts, double *value)
{
    const ptrdiff_t Kp = em_padded(K);
    FN(tile) t;
    void *memory;
    if (FN(open_tile)(K, Kp, x->d, &t, &memory)) return -1;
    vec total = {0};
    for (ptrdiff_t start = 0; start < x->n; start += FN(TILE)) {
        const ptrdiff_t m = x->n - start < FN(TILE) ? x->n - start : FN(TILE);
        FN(places)(Kp, x, start, m, t.places);
        FN(add_lines)(Kp, x->d, m, t.places, lines, t.rows);
        FN(share_rows)(K, m, t.rows, Kp, log_weights, weights ? weights + start : NULL, counts, &t);
        for (ptrdiff_t v = 0; v < (m + 2 * VL - 1) / (2 * VL) * 2; v++)
            total += FN(select)((ivec)(t.w[v] > FN(set)(0.0)), t.sum[v] * t.w[v], FN(set)(0.0));
        for (ptrdiff_t k = 0; k < K; k++) {
            const double *column = (const double *)(t.table + k * t.S);
            for (ptrdiff_t i = 0; i < m; i++) t.rows[i * Kp + k] = column[i];
        }
        FN(add_rows)(Kp, x->d, m, t.places, t.rows, totals);
    }
    *value = FN(sum)(total);
    free(memory);
    return 0;
}

/* Log-densities (n, K). */
static int FN(densities)(ptrdiff_t K, const em_codes *x, const double *lines, double *out)
{
    const ptrdiff_t Kp = em_padded(K);
    FN(tile) t;
    void *memory;
    if (FN(open_tile)(0, Kp, x->d, &t, &memory)) return -1;
    for (ptrdiff_t start = 0; start < x->n; start += FN(TILE)) {
        const ptrdiff_t m = x->n - start < FN(TILE) ? x->n - start : FN(TILE);
        FN(places)(Kp, x, start, m, t.places);
        FN(add_lines)(Kp, x->d, m, t.places, lines, t.rows);
        for (ptrdiff_t i = 0; i < m; i++)
            memcpy(out + (start + i) * K, t.rows + i * Kp, (size_t)K * sizeof(double));
    }
    free(memory);
    return 0;
}

/* Sums of weights (n, K) over the rows of each category. */
static int FN(totals)(ptrdiff_t K, const em_codes *x, const double *weights, double *totals)
{
    const ptrdiff_t Kp = em_padded(K);
    FN(tile) t;
    void *memory;
    if (FN(open_tile)(0, Kp, x->d, &t, &memory)) return -1;
    memset(t.rows, 0, (size_t)(FN(TILE) * Kp) * sizeof(double));
    for (ptrdiff_t start = 0; start < x->n; start += FN(TILE)) {
        const ptrdiff_t m = x->n - start < FN(TILE) ? x->n - start : FN(TILE);
        for (ptrdiff_t i = 0; i < m; i++)
            memcpy(t.rows + i * Kp, weights + (start + i) * K, (size_t)K * sizeof(double));
        FN(places)(Kp, x, start, m, t.places);
        FN(add_rows)(Kp, x->d, m, t.places, t.rows, totals);
    }
    free(memory);
    return 0;
}

#undef FN
#undef vec
#undef ivec
