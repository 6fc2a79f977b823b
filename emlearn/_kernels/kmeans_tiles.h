/* The tiles of kmeans_kernel.h, once for each instruction set. No include guard. */
#include "vectors.h"

/* rows of a tile; of a strip of it, which is (d, W); and vectors of a strip's feature, three of which are a group */
enum { FN(TILE) = 96, FN(W) = VL == 8 ? 24 : 12, FN(S) = FN(W) / VL };

/* Buffers of a block. */
typedef struct {
    ptrdiff_t d, dp, K, Kp, tile;
    vec *x, *row, *centres;    /* (strips, d, S); (dp,) and (K, dp), padded to whole vectors */
    double *panels, *half;     /* (Kp / 4, d, 4) and (Kp,): half the squared norms */
    int32_t *labels;           /* (TILE,) */
} FN(places);

/* Panels of four centres, and half their squared norms; what fills the last panel is infinitely far. */
EM_INLINE void FN(panels)(ptrdiff_t K, ptrdiff_t d, const double *centres, double *panels, double *half)
{
    const ptrdiff_t Kp = (K + 3) / 4 * 4;
    for (ptrdiff_t k = 0; k < Kp; k++) {
        double square = 0.0;
        for (ptrdiff_t j = 0; j < d; j++) {
            const double c = k < K ? centres[k * d + j] : 0.0;
            panels[(k / 4 * d + j) * 4 + k % 4] = c;
            square += c * c;
        }
        half[k] = k < K ? 0.5 * square : HUGE_VAL;
    }
}

static int FN(open_places)(ptrdiff_t d, ptrdiff_t K, const double *centres, FN(places) *s, void **memory)
{
    s->d = d;
    s->dp = (d + VL - 1) / VL;
    s->K = K;
    s->tile = d <= 64 ? FN(TILE) : FN(TILE) / 2; /* rows and strips are in the cache together */
    s->Kp = (K + 3) / 4 * 4;
    const ptrdiff_t vectors = d * FN(TILE) / VL + s->dp * (K + 1), numbers = s->Kp * (d + 1) + FN(TILE);
    char *p = (char *)malloc((size_t)(vectors * (ptrdiff_t)sizeof(vec) + numbers * 8 + 64));
    *memory = p;
    if (!p) return -1;
    s->x = (vec *)(((uintptr_t)p + 63) & ~(uintptr_t)63);
    s->row = s->x + d * FN(TILE) / VL;
    s->centres = s->row + s->dp;
    s->panels = (double *)(s->centres + s->dp * K);
    s->half = s->panels + s->Kp * d;
    s->labels = (int32_t *)(s->half + s->Kp);
    memset(s->row, 0, (size_t)s->dp * sizeof(vec));
    memset(s->centres, 0, (size_t)(s->dp * K) * sizeof(vec));
    for (ptrdiff_t k = 0; k < K; k++) memcpy(s->centres + k * s->dp, centres + k * d, (size_t)d * 8);
    FN(panels)(K, d, centres, s->panels, s->half);
    return 0;
}

#define loose FN(loose)
#define quad FN(quad)
#define iquad FN(iquad)
#define ints FN(ints)
typedef int32_t ints __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef double loose __attribute__((vector_size(VL * 8), aligned(8), may_alias));
typedef double quad __attribute__((vector_size(32), aligned(8), may_alias));
typedef int64_t iquad __attribute__((vector_size(32)));
#if defined(__clang__) || __GNUC__ >= 12
#define EM_MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define EM_MIX(a, b, ...) __builtin_shuffle(a, b, (iquad){__VA_ARGS__})
#endif

EM_INLINE quad FN(four)(const void *data, int is_float, ptrdiff_t at)
{
    if (!is_float) return *(const quad *)((const double *)data + at);
    const float *p = (const float *)data + at;
    return (quad){(double)p[0], (double)p[1], (double)p[2], (double)p[3]};
}

EM_INLINE double FN(one)(const void *data, int is_float, ptrdiff_t at)
{
    return is_float ? (double)((const float *)data)[at] : ((const double *)data)[at];
}

/* Rows (m, d), less the origin, become strips of columns; rows from m on are 0. */
EM_INLINE void FN(turn_of)(const em_points *rows, int is_float, ptrdiff_t d, ptrdiff_t start, ptrdiff_t m, vec *x)
{
    const ptrdiff_t down = rows->row_stride, across = rows->column_stride, step = FN(W);
    const void *data = rows->data;
    const double *origin = rows->origin;
    double *t = (double *)x;
    ptrdiff_t i = 0;
    if (across == 1) /* squares of four by four */
        for (; i + 4 <= m; i += 4) {
            const ptrdiff_t at = (start + i) * down;
            double *strip = t + i / FN(W) * FN(W) * d + i % FN(W);
            ptrdiff_t j = 0;
            for (; j + 4 <= d; j += 4) {
                const quad o = *(const quad *)(origin + j);
                const quad r0 = FN(four)(data, is_float, at + j) - o, r1 = FN(four)(data, is_float, at + down + j) - o,
                           r2 = FN(four)(data, is_float, at + 2 * down + j) - o, r3 = FN(four)(data, is_float, at + 3 * down + j) - o;
                const quad a = EM_MIX(r0, r1, 0, 4, 2, 6), b = EM_MIX(r0, r1, 1, 5, 3, 7),
                           c = EM_MIX(r2, r3, 0, 4, 2, 6), e = EM_MIX(r2, r3, 1, 5, 3, 7);
                double *to = strip + j * step;
                *(quad *)to = EM_MIX(a, c, 0, 1, 4, 5);
                *(quad *)(to + step) = EM_MIX(b, e, 0, 1, 4, 5);
                *(quad *)(to + 2 * step) = EM_MIX(a, c, 2, 3, 6, 7);
                *(quad *)(to + 3 * step) = EM_MIX(b, e, 2, 3, 6, 7);
            }
            for (; j < d; j++) {
                const double o = origin[j];
                *(quad *)(strip + j * step) = (quad){FN(one)(data, is_float, at + j) - o, FN(one)(data, is_float, at + down + j) - o,
                                                     FN(one)(data, is_float, at + 2 * down + j) - o,
                                                     FN(one)(data, is_float, at + 3 * down + j) - o};
            }
        }
    for (ptrdiff_t r = i; r < (m + FN(W) - 1) / FN(W) * FN(W); r++) {
        double *strip = t + r / FN(W) * FN(W) * d + r % FN(W);
        for (ptrdiff_t j = 0; j < d; j++)
            strip[j * step] = r < m ? FN(one)(data, is_float, (start + r) * down + j * across) - origin[j] : 0.0;
    }
}

EM_INLINE void FN(turn)(const em_points *rows, ptrdiff_t d, ptrdiff_t start, ptrdiff_t m, vec *x)
{
    if (rows->is_float)
        FN(turn_of)(rows, 1, d, start, m, x);
    else
        FN(turn_of)(rows, 0, d, start, m, x);
}

/* Three vectors of rows of the first feature; those of the next are S vectors further. */
EM_INLINE const vec *FN(group)(const vec *x, ptrdiff_t d, ptrdiff_t g)
{
    return x + 3 * g / FN(S) * FN(S) * d + 3 * g % FN(S);
}

/* Products of three vectors of rows with a panel, less half the squared norms. */
#define EM_PRODUCTS(d, x, panels, half)                                                        \
    vec a00 = FN(set)(-(half)[0]), a01 = FN(set)(-(half)[1]), a02 = FN(set)(-(half)[2]),       \
        a03 = FN(set)(-(half)[3]);                                                             \
    vec a10 = a00, a11 = a01, a12 = a02, a13 = a03, a20 = a00, a21 = a01, a22 = a02, a23 = a03; \
    for (ptrdiff_t j = 0; j < (d); j++) {                                                      \
        const vec *column = (x) + j * FN(S);                                                   \
        const double *c = (panels) + 4 * j;                                                    \
        const vec x0 = column[0], x1 = column[1], x2 = column[2];                              \
        vec b = FN(set)(c[0]); /* one at a time: there are sixteen registers */                \
        a00 += x0 * b; a10 += x1 * b; a20 += x2 * b;                                           \
        b = FN(set)(c[1]);                                                                     \
        a01 += x0 * b; a11 += x1 * b; a21 += x2 * b;                                           \
        b = FN(set)(c[2]);                                                                     \
        a02 += x0 * b; a12 += x1 * b; a22 += x2 * b;                                           \
        b = FN(set)(c[3]);                                                                     \
        a03 += x0 * b; a13 += x1 * b; a23 += x2 * b;                                           \
    }

/* Instructions that the compiler does not find by itself. */
#if VL == 4 && defined(EM_X86)
#define EM_GREATER(a, b) __builtin_ia32_maxpd256(a, b)
#define EM_BLEND(mask, a, b) __builtin_ia32_blendvpd256(b, a, (vec)(mask))
#else
#define EM_GREATER(a, b) FN(max)(a, b)
#define EM_BLEND(mask, a, b) FN(select)(mask, a, b)
#endif
#define EM_KEEP(best, which, a, number)                                                        \
    {                                                                                          \
        const ivec above = (ivec)(a > best);                                                   \
        best = EM_GREATER(a, best);                                                            \
        which = EM_BLEND(above, number, which);                                                \
    }

/* The nearest centre of the rows of a tile; of equals the first. */
EM_INLINE void FN(nearest)(const FN(places) *s, ptrdiff_t d, ptrdiff_t m, int32_t *labels)
{
    for (ptrdiff_t g = 0; g * 3 * VL < m; g++) {
        const vec *x = FN(group)(s->x, d, g);
        vec b0 = FN(set)(-HUGE_VAL), b1 = b0, b2 = b0, w0 = {0}, w1 = {0}, w2 = {0};
        for (ptrdiff_t k = 0; k < s->Kp; k += 4) {
            EM_PRODUCTS(d, x, s->panels + k * d, s->half + k)
            const vec n0 = FN(set)((double)k), n1 = FN(set)((double)(k + 1)), n2 = FN(set)((double)(k + 2)),
                      n3 = FN(set)((double)(k + 3));
            EM_KEEP(b0, w0, a00, n0) EM_KEEP(b1, w1, a10, n0) EM_KEEP(b2, w2, a20, n0)
            EM_KEEP(b0, w0, a01, n1) EM_KEEP(b1, w1, a11, n1) EM_KEEP(b2, w2, a21, n1)
            EM_KEEP(b0, w0, a02, n2) EM_KEEP(b1, w1, a12, n2) EM_KEEP(b2, w2, a22, n2)
            EM_KEEP(b0, w0, a03, n3) EM_KEEP(b1, w1, a13, n3) EM_KEEP(b2, w2, a23, n3)
        }
        int32_t *out = labels + g * 3 * VL;
        *(ints *)out = __builtin_convertvector(w0, ints);
        *(ints *)(out + VL) = __builtin_convertvector(w1, ints);
        *(ints *)(out + 2 * VL) = __builtin_convertvector(w2, ints);
    }
}

/* Few features: everything in scalars, d known to the compiler. */
EM_INLINE void FN(add_few)(const double *weights, ptrdiff_t d, ptrdiff_t m, const FN(places) *s, double *squares,
                           double *counts, double *sums)
{
    const int32_t *labels = s->labels;
    for (ptrdiff_t i = 0; i < m; i++) {
        const ptrdiff_t k = labels[i];
        const double *x = (const double *)s->x + i / FN(W) * FN(W) * d + i % FN(W);
        const double *c = (const double *)(s->centres + k * s->dp);
        double square = 0.0;
        for (ptrdiff_t j = 0; j < d; j++) {
            const double e = x[j * FN(W)] - c[j];
            square += e * e;
        }
        squares[i] = square;
        if (!counts) continue;
        const double w = weights ? weights[i] : 1.0;
        double *sum = sums + k * d;
        for (ptrdiff_t j = 0; j < d; j++) sum[j] += w * x[j * FN(W)];
        counts[k] += w;
    }
}

/* A row less the origin: its squared distance from its centre, and its part of the sums. */
#define EM_ADD_ROW(load_vector, load_one)                                                      \
    for (; j + VL <= d; j += VL) {                                                             \
        const vec y = load_vector;                                                             \
        const vec e = y - *(const loose *)(c + j);                                             \
        q += e * e;                                                                            \
        if (totals) *(loose *)(sum + j) += w * y;                                              \
    }                                                                                          \
    for (; j < d; j++) {                                                                       \
        const double y = load_one, e = y - c[j];                                               \
        rest += e * e;                                                                         \
        if (totals) sum[j] += w * y;                                                           \
    }

EM_INLINE void FN(add_rows)(const em_points *rows, int together, int totals, ptrdiff_t start, ptrdiff_t m,
                            const FN(places) *s, double *squares, double *counts, double *sums)
{
    const ptrdiff_t d = s->d, dp = s->dp, down = rows->row_stride, across = rows->column_stride;
    const double *o = rows->origin, *weights = rows->weights, *centres = (const double *)s->centres;
    const void *data = rows->data;
    const int32_t *labels = s->labels;
    const int is_float = rows->is_float;
    double *row = (double *)s->row;
    for (ptrdiff_t i = 0; i < m; i++) {
        const ptrdiff_t k = labels[i], at = (start + i) * down;
        const double w = weights ? weights[start + i] : 1.0;
        const double *c = centres + k * dp * VL;
        double *sum = totals ? sums + k * d : NULL, rest = 0.0;
        vec q = {0};
        ptrdiff_t j = 0;
        if (together) {
            const double *p = (const double *)data + at;
            EM_ADD_ROW(*(const loose *)(p + j) - *(const loose *)(o + j), p[j] - o[j])
        } else {
            if (is_float && across == 1)
                for (ptrdiff_t l = 0; l < d; l++) row[l] = (double)((const float *)data)[at + l] - o[l];
            else
                for (ptrdiff_t l = 0; l < d; l++) row[l] = FN(one)(data, is_float, at + l * across) - o[l];
            EM_ADD_ROW(*(const loose *)(row + j), row[j])
        }
        squares[i] = FN(sum)(q) + rest;
        if (totals) counts[k] += w;
    }
}
#undef EM_ADD_ROW

EM_INLINE double FN(weighed)(const double *squares, const double *weights, ptrdiff_t m)
{
    double part[4] = {0.0, 0.0, 0.0, 0.0};
    for (ptrdiff_t i = 0; i < m; i++) part[i % 4] += weights ? weights[i] * squares[i] : squares[i];
    return (part[0] + part[1]) + (part[2] + part[3]);
}

static int FN(assign)(const em_points *rows, em_clusters *out)
{
    FN(places) s;
    void *memory;
    const ptrdiff_t n = rows->n, d = rows->d;
    const int together = rows->column_stride == 1 && !rows->is_float;
    if (FN(open_places)(d, out->K, out->centres, &s, &memory)) return -1;
    double inertia = 0.0;
    for (ptrdiff_t start = 0; start < n; start += s.tile) {
        const ptrdiff_t m = n - start < s.tile ? n - start : s.tile;
        const double *weights = rows->weights ? rows->weights + start : NULL;
        double *squares = out->squares + start;
#define EM_FEW(few)                                                                            \
    case few:                                                                                  \
        FN(turn)(rows, few, start, m, s.x);                                                    \
        FN(nearest)(&s, few, m, s.labels);                                                     \
        FN(add_few)(weights, few, m, &s, squares, out->counts, out->sums);                     \
        break;
        switch (d) {
            EM_FEW(1) EM_FEW(2) EM_FEW(3) EM_FEW(4)
        default:
            FN(turn)(rows, d, start, m, s.x);
            FN(nearest)(&s, d, m, s.labels);
            if (together && out->counts)
                FN(add_rows)(rows, 1, 1, start, m, &s, squares, out->counts, out->sums);
            else if (together)
                FN(add_rows)(rows, 1, 0, start, m, &s, squares, NULL, NULL);
            else if (out->counts)
                FN(add_rows)(rows, 0, 1, start, m, &s, squares, out->counts, out->sums);
            else
                FN(add_rows)(rows, 0, 0, start, m, &s, squares, NULL, NULL);
        }
#undef EM_FEW
        memcpy(out->labels + start, s.labels, (size_t)m * sizeof(int32_t));
        inertia += FN(weighed)(squares, weights, m);
    }
    out->inertia = inertia;
    free(memory);
    return 0;
}

/* CSR rows: the centres of a feature are the vector. */
static int FN(assign_sparse)(const em_sparse_points *rows, em_clusters *out)
{
    const ptrdiff_t d = rows->d, K = out->K, Kv = (K + VL - 1) / VL;
    const ptrdiff_t size = Kv * (d + 2) * (ptrdiff_t)sizeof(vec) + 64;
    char *memory = (char *)malloc((size_t)size);
    if (!memory) return -1;
    vec *table = (vec *)(((uintptr_t)memory + 63) & ~(uintptr_t)63), *scores = table + Kv * d, *half = scores + Kv;
    memset(table, 0, (size_t)(Kv * (d + 2)) * sizeof(vec));
    for (ptrdiff_t k = 0; k < Kv * VL; k++) {
        double square = 0.0;
        for (ptrdiff_t j = 0; k < K && j < d; j++) {
            const double c = out->centres[k * d + j];
            ((double *)(table + j * Kv))[k] = c;
            square += c * c;
        }
        ((double *)half)[k] = k < K ? 0.5 * square : HUGE_VAL;
    }
    double inertia = 0.0;
    for (ptrdiff_t i = 0; i < rows->n; i++) {
        const ptrdiff_t begin = rows->ends[i], end = rows->ends[i + 1];
        double norm = 0.0;
        for (ptrdiff_t v = 0; v < Kv; v++) scores[v] = -half[v];
        for (ptrdiff_t e = begin; e < end; e++) {
            const double x = rows->is_float ? (double)((const float *)rows->data)[e] : ((const double *)rows->data)[e];
            const vec *c = table + (ptrdiff_t)rows->indices[e] * Kv, xs = FN(set)(x);
            norm += x * x;
            for (ptrdiff_t v = 0; v < Kv; v++) scores[v] += xs * c[v];
        }
        const double *score = (const double *)scores;
        ptrdiff_t k = 0;
        for (ptrdiff_t l = 1; l < K; l++)
            if (score[l] > score[k]) k = l;
        const double square = norm - 2.0 * score[k] > 0.0 ? norm - 2.0 * score[k] : 0.0;
        const double w = rows->weights ? rows->weights[i] : 1.0;
        out->labels[i] = (int32_t)k;
        out->squares[i] = square;
        inertia += w * square;
        if (!out->counts) continue;
        out->counts[k] += w;
        for (ptrdiff_t e = begin; e < end; e++) {
            const double x = rows->is_float ? (double)((const float *)rows->data)[e] : ((const double *)rows->data)[e];
            out->sums[k * d + rows->indices[e]] += w * x;
        }
    }
    out->inertia = inertia;
    free(memory);
    return 0;
}

/* Strips of all rows, one after the other, and their squared norms: what every seed of k-means++ is measured against. */
static void FN(strips)(const em_points *rows, double *table, double *norms)
{
    const ptrdiff_t n = rows->n, d = rows->d;
    for (ptrdiff_t start = 0; start < n; start += FN(W)) {
        const ptrdiff_t m = n - start < FN(W) ? n - start : FN(W);
        double *strip = table + start * d;
        FN(turn)(rows, d, start, m, (vec *)strip);
        for (ptrdiff_t v = 0; v < FN(S); v++) {
            vec norm = {0};
            for (ptrdiff_t j = 0; j < d; j++) {
                const vec x = *(const vec *)(strip + j * FN(W) + v * VL);
                norm += x * x;
            }
            *(vec *)(norms + start + v * VL) = norm;
        }
    }
}

/* Squared distances of a vector of rows from a candidate, or `least` where that is less; gains their weighted sum. */
EM_INLINE void FN(keep_least)(vec product, const double *norms, const double *least, const double *weights,
                              ptrdiff_t left, double *out, vec *total)
{
    const vec square = EM_GREATER(*(const loose *)norms - FN(set)(2.0) * product, (vec){0});
    if (left >= VL) {
        vec found = square;
        if (least) {
            const vec before = *(const loose *)least;
            found = EM_BLEND((ivec)(before < square), before, square);
        }
        *(loose *)out = found;
        if (weights)
            total[0] += *(const loose *)weights * found;
        else
            total[0] += found;
        return;
    }
    for (ptrdiff_t i = 0; i < left; i++) {
        out[i] = least && least[i] < square[i] ? least[i] : square[i];
        total[0][0] += weights ? weights[i] * out[i] : out[i];
    }
}

/* What k-means++ asks of T candidates (T, d): the squared distances `least` (n,) where each would be a seed as well,
 * (T, n), and their weighted sums (T,). */
static int FN(closer)(ptrdiff_t n, ptrdiff_t d, const double *table, const double *norms, const double *weights,
                      ptrdiff_t T, const double *candidates, const double *least, double *out, double *totals)
{
    const ptrdiff_t Tp = (T + 3) / 4 * 4;
    char *memory = (char *)malloc((size_t)(Tp * (d + 1) * 8 + Tp * (ptrdiff_t)sizeof(vec) + 64));
    if (!memory) return -1;
    vec *sums = (vec *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
    double *panels = (double *)(sums + Tp), *half = panels + Tp * d;
    memset(sums, 0, (size_t)Tp * sizeof(vec));
    FN(panels)(T, d, candidates, panels, half);
    for (ptrdiff_t at = 0; at < n; at += 3 * VL) {
        const vec *x = FN(group)((const vec *)table, d, at / (3 * VL));
        for (ptrdiff_t t = 0; t < T; t += 4) {
            EM_PRODUCTS(d, x, panels + t * d, half + t)
            const vec products[4][3] = {{a00, a10, a20}, {a01, a11, a21}, {a02, a12, a22}, {a03, a13, a23}};
            for (ptrdiff_t u = 0; u < 4 && t + u < T; u++)
                for (ptrdiff_t v = 0; v < 3 && at + v * VL < n; v++) {
                    const ptrdiff_t i = at + v * VL;
                    FN(keep_least)(products[u][v], norms + i, least ? least + i : NULL, weights ? weights + i : NULL,
                                   n - i, out + (t + u) * n + i, sums + t + u);
                }
        }
    }
    for (ptrdiff_t t = 0; t < T; t++) totals[t] = FN(sum)(sums[t]);
    free(memory);
    return 0;
}

#undef EM_PRODUCTS
#undef EM_KEEP
#undef EM_GREATER
#undef EM_BLEND
#undef EM_MIX
#undef loose
#undef ints
#undef quad
#undef iquad
#undef FN
#undef vec
#undef ivec
