/* The functions of lda_kernel.h, once for each instruction set. No include guard. */
#include "vectors.h"

/* -------------------------------------------------------------- digamma */

/* What a shift by 8 makes of x > 0: y = x + 8, the product x (x + 1) ... (x + 7), and the sum of 1 / (x + i). */
EM_INLINE void FN(raise)(vec x, vec *y, vec *product, vec *q)
{
    const ivec large = (ivec)(x > FN(set)(1e8));
    const vec s = FN(select)(large, FN(set)(1.0), x);
    const vec u = s * s + 7.0 * s;
    const vec a = u * (u + 6.0), b = (u + 10.0) * (u + 12.0);
    const vec p = a * b;
    const vec sum = (2.0 * s + 7.0) * ((2.0 * u + 6.0) * b + (2.0 * u + 22.0) * a) / p;
    *y = FN(select)(large, x, x + 8.0);
    *product = FN(select)(large, FN(set)(1.0), p);
    *q = FN(select)(large, FN(set)(0.0), sum);
}

/* exp(digamma(x)) is factor * exp(-q), where q is what FN(raise) says. */
EM_INLINE vec FN(exp_digamma)(vec y)
{
    const vec z = y - 0.5, r = 1.0 / z, s = r * r;
    vec p = FN(set)(-0.43960443686008127);
    p = p * s + 0.08238185223878776;
    p = p * s + -0.020734675824368137;
    p = p * s + 0.007365033269308669;
    p = p * s + -0.0039535574489730305;
    p = p * s + 0.003552482914462081;
    p = p * s + -0.006423611111111111;
    p = p * s + 0.041666666666666664;
    return z + p * r;
}

EM_INLINE vec FN(digamma_of)(vec y, vec log_y, vec q)
{
    const vec r = 1.0 / y, s = r * r;
    vec p = FN(set)(3617.0 / 8160);
    p = p * s + -1.0 / 12;
    p = p * s + 691.0 / 32760;
    p = p * s + -1.0 / 132;
    p = p * s + 1.0 / 240;
    p = p * s + -1.0 / 252;
    p = p * s + 1.0 / 120;
    p = p * s + -1.0 / 12;
    return log_y - 0.5 * r + p * s - q;
}

EM_INLINE vec FN(lgamma_of)(vec y, vec log_y, vec product)
{
    const vec r = 1.0 / y, s = r * r;
    vec p = FN(set)(-3617.0 / 122400);
    p = p * s + 1.0 / 156;
    p = p * s + -691.0 / 360360;
    p = p * s + 1.0 / 1188;
    p = p * s + -1.0 / 1680;
    p = p * s + 1.0 / 1260;
    p = p * s + -1.0 / 360;
    p = p * s + 1.0 / 12;
    return (y - 0.5) * log_y - y + 0.91893853320467274178 + p * r - FN(log)(product);
}

EM_INLINE void FN(gammas)(vec x, vec *digamma, vec *lgamma)
{
    vec y, product, q;
    FN(raise)(x, &y, &product, &q);
    const vec log_y = FN(log)(y);
    *digamma = FN(digamma_of)(y, log_y, q);
    *lgamma = FN(lgamma_of)(y, log_y, product);
}

/* exp(digamma), digamma and log gamma of n numbers. */
static void FN(special)(ptrdiff_t n, const double *x, double *exp_digamma, double *digamma, double *lgamma)
{
    for (ptrdiff_t i = 0; i < n; i += VL) {
        const ptrdiff_t m = n - i < VL ? n - i : VL;
        vec a = FN(set)(1.0), y, product, q, d, l;
        for (ptrdiff_t j = 0; j < m; j++) a[j] = x[i + j];
        FN(raise)(a, &y, &product, &q);
        FN(gammas)(a, &d, &l);
        const vec e = FN(exp_digamma)(y) * FN(exp)(-q);
        for (ptrdiff_t j = 0; j < m; j++) {
            exp_digamma[i + j] = e[j];
            digamma[i + j] = d[j];
            lgamma[i + j] = l[j];
        }
    }
}

/* --------------------------------------------------------------- topics */

/* The table and its shift of Dirichlet parameters (V, K), whose columns have digammas `totals` of their sums; in
 * `bound` the sum of (eta - lambda) E[log beta] + log gamma(lambda). */
static int FN(topics)(ptrdiff_t V, ptrdiff_t K, const double *components, const double *totals, double eta,
                      double *table, double *shift, double *bound)
{
    const ptrdiff_t nv = (K + VL - 1) / VL, Kp = nv * VL;
    char *memory = (char *)malloc((size_t)(4 * Kp * 8 + 128));
    if (!memory) return -1;
    vec *row = (vec *)(((uintptr_t)memory + 63) & ~(uintptr_t)63), *total = row + nv, *logs = total + nv,
        *sums = logs + nv;
    for (ptrdiff_t k = 0; k < Kp; k++) {
        ((double *)row)[k] = 1.0;
        ((double *)total)[k] = k < K ? totals[k] : 0.0;
        ((double *)sums)[k] = 0.0;
    }
    const vec least = FN(set)(EM_LOG_LEAST_SHARE);
    for (ptrdiff_t w = 0; w < V; w++) {
        memcpy(row, components + w * K, (size_t)K * 8);
        for (ptrdiff_t v = 0; v < nv; v++) {
            vec digamma, lgamma;
            FN(gammas)(row[v], &digamma, &lgamma);
            logs[v] = digamma - total[v];
            sums[v] += (eta - row[v]) * logs[v] + lgamma;
        }
        double top = ((double *)logs)[0];
        for (ptrdiff_t k = 1; k < K; k++) top = ((double *)logs)[k] > top ? ((double *)logs)[k] : top;
        for (ptrdiff_t k = K; k < Kp; k++) ((double *)logs)[k] = top;
        for (ptrdiff_t v = 0; v < nv; v++) logs[v] = FN(exp)(FN(max)(logs[v] - top, least));
        memcpy(table + w * K, logs, (size_t)K * 8);
        shift[w] = top;
    }
    *bound = 0.0;
    for (ptrdiff_t k = 0; k < K; k++) *bound += ((double *)sums)[k];
    free(memory);
    return 0;
}

/* ------------------------------------------------------------ documents */

/* Buffers of a document of up to M words; M is a multiple of 4. */
typedef struct {
    ptrdiff_t K, nv;
    vec *rows;                 /* (M, nv) of the table */
    double *counts, *sums, *ratios; /* (M,) */
    vec *alpha, *gamma, *shares, *logs, *gain; /* (nv,) */
} FN(document);

EM_INLINE int FN(open_document)(ptrdiff_t M, ptrdiff_t K, FN(document) *b, void **memory)
{
    b->K = K;
    b->nv = (K + VL - 1) / VL;
    const ptrdiff_t vectors = (M + 5) * b->nv;
    char *p = (char *)malloc((size_t)(vectors * (ptrdiff_t)sizeof(vec) + 3 * (M + 8) * 8 + 128));
    *memory = p;
    if (!p) return -1;
    vec *q = (vec *)(((uintptr_t)p + 63) & ~(uintptr_t)63);
    b->rows = q; q += M * b->nv;
    b->alpha = q; q += b->nv;
    b->gamma = q; q += b->nv;
    b->shares = q; q += b->nv;
    b->logs = q; q += b->nv;
    b->gain = q; q += b->nv;
    b->counts = (double *)(((uintptr_t)q + 63) & ~(uintptr_t)63);
    b->sums = b->counts + (M + 7) / 8 * 8;
    b->ratios = b->sums + (M + 7) / 8 * 8;
    return 0;
}

/* Rows, counts and the first gamma of document i; returns its number of words, rounded up to a multiple of 4. */
EM_INLINE ptrdiff_t FN(read_document)(const em_documents *x, ptrdiff_t i, const double *gamma, double total,
                                      FN(document) *b)
{
    const ptrdiff_t begin = x->ends[i], m = x->ends[i + 1] - begin, K = b->K, Kp = b->nv * VL;
    const ptrdiff_t padded = (m + 3) / 4 * 4;
    double *rows = (double *)b->rows, *g = (double *)b->gamma, *a = (double *)b->alpha;
    for (ptrdiff_t j = 0; j < padded; j++) {
        double *row = rows + j * Kp;
        if (j + 8 < m) { /* words are anywhere in the table */
            const char *coming = (const char *)(x->table + (ptrdiff_t)x->words[begin + j + 8] * K);
            for (ptrdiff_t at = 0; at < K * 8; at += 64) __builtin_prefetch(coming + at);
        }
        if (j < m)
            memcpy(row, x->table + (ptrdiff_t)x->words[begin + j] * K, (size_t)K * 8);
        else
            for (ptrdiff_t k = 0; k < K; k++) row[k] = 1.0; /* of which there are none */
        for (ptrdiff_t k = K; k < Kp; k++) row[k] = 0.0;
        b->counts[j] = j < m ? x->counts[begin + j] : 0.0;
    }
    for (ptrdiff_t k = 0; k < Kp; k++) {
        a[k] = x->alpha[k < K ? k : 0];
        g[k] = k >= K ? a[k] : gamma[0] > 0.0 ? gamma[k] : a[k] + total / (double)K;
    }
    return padded;
}

/* Shares exp(E[log theta]), of which the largest is about 1, of gamma; `logs` gets their logarithms if asked for. */
EM_INLINE void FN(shares)(FN(document) *b, int with_logs)
{
    vec least = FN(set)(HUGE_VAL);
    for (ptrdiff_t v = 0; v < b->nv; v++) {
        vec y, product, q;
        FN(raise)(b->gamma[v], &y, &product, &q);
        b->shares[v] = FN(exp_digamma)(y);
        b->logs[v] = q;
        least = FN(select)((ivec)(q < least), q, least);
    }
    double low = least[0];
    for (int l = 1; l < VL; l++) low = least[l] < low ? least[l] : low;
    for (ptrdiff_t v = 0; v < b->nv; v++) {
        const vec factor = b->shares[v], q = b->logs[v] - low;
        b->shares[v] = FN(max)(factor * FN(exp)(-q), FN(set)(EM_LEAST_SHARE));
        if (with_logs) b->logs[v] = FN(max)(FN(log)(factor) - q, FN(set)(EM_LOG_LEAST_SHARE));
    }
}

/* Sums over the lanes of four vectors. */
EM_INLINE void FN(four_sums)(vec a, vec b, vec c, vec d, double *out)
{
#if VL == 2
    out[0] = a[0] + a[1]; out[1] = b[0] + b[1]; out[2] = c[0] + c[1]; out[3] = d[0] + d[1];
#elif VL == 4
    const vec s = EM_SHUFFLE(a, b, 0, 4, 2, 6) + EM_SHUFFLE(a, b, 1, 5, 3, 7);
    const vec t = EM_SHUFFLE(c, d, 0, 4, 2, 6) + EM_SHUFFLE(c, d, 1, 5, 3, 7);
    const vec u = EM_SHUFFLE(s, t, 0, 1, 4, 5) + EM_SHUFFLE(s, t, 2, 3, 6, 7);
    memcpy(out, &u, 32);
#else
    const vec s = EM_SHUFFLE(a, b, 0, 8, 2, 10, 4, 12, 6, 14) + EM_SHUFFLE(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
    const vec t = EM_SHUFFLE(c, d, 0, 8, 2, 10, 4, 12, 6, 14) + EM_SHUFFLE(c, d, 1, 9, 3, 11, 5, 13, 7, 15);
    const vec u = EM_SHUFFLE(s, t, 0, 1, 8, 9, 4, 5, 12, 13) + EM_SHUFFLE(s, t, 2, 3, 10, 11, 6, 7, 14, 15);
    for (int l = 0; l < 4; l++) out[l] = u[l] + u[l + 4];
#endif
}

/* sums = rows . shares, ratios = counts / sums, gain = ratios . rows */
EM_INLINE void FN(sweep)(ptrdiff_t m, FN(document) *b)
{
    const ptrdiff_t nv = b->nv;
    const vec *t = b->shares;
    vec *gain = b->gain;
    for (ptrdiff_t v = 0; v < nv; v++) gain[v] = FN(set)(0.0);
    for (ptrdiff_t j = 0; j < m; j += 4) {
        const vec *r0 = b->rows + j * nv, *r1 = r0 + nv, *r2 = r1 + nv, *r3 = r2 + nv;
        vec a0 = t[0] * r0[0], a1 = t[0] * r1[0], a2 = t[0] * r2[0], a3 = t[0] * r3[0];
        for (ptrdiff_t v = 1; v < nv; v++) {
            const vec s = t[v];
            a0 += s * r0[v]; a1 += s * r1[v]; a2 += s * r2[v]; a3 += s * r3[v];
        }
        double *ratios = b->ratios + j;
        FN(four_sums)(a0, a1, a2, a3, b->sums + j);
        for (ptrdiff_t l = 0; l < 4; l += VL < 4 ? VL : 4) {
#if VL == 8
            for (int i = 0; i < 4; i++) ratios[i] = b->counts[j + i] / b->sums[j + i];
#else
            const vec p = *(const vec *)(b->counts + j + l) / *(const vec *)(b->sums + j + l);
            memcpy(ratios + l, &p, sizeof(vec));
#endif
        }
        const vec w0 = FN(set)(ratios[0]), w1 = FN(set)(ratios[1]), w2 = FN(set)(ratios[2]), w3 = FN(set)(ratios[3]);
        for (ptrdiff_t v = 0; v < nv; v++) gain[v] += (w0 * r0[v] + w1 * r1[v]) + (w2 * r2[v] + w3 * r3[v]);
    }
}

/* gamma = alpha + shares * gain; returns the mean change of the topics. */
EM_INLINE double FN(update)(FN(document) *b)
{
    vec change = FN(set)(0.0);
    for (ptrdiff_t v = 0; v < b->nv; v++) {
        const vec g = b->alpha[v] + b->shares[v] * b->gain[v], d = g - b->gamma[v];
        change += FN(max)(d, -d);
        b->gamma[v] = g;
    }
    return FN(sum)(change) / (double)b->K;
}

/* sum of counts * (log sums + shift) */
EM_INLINE double FN(word_bound)(const em_documents *x, ptrdiff_t i, ptrdiff_t m, const FN(document) *b)
{
    const ptrdiff_t begin = x->ends[i];
    vec value = FN(set)(0.0);
    double rest = 0.0;
    ptrdiff_t j = 0;
    for (; j + VL <= m; j += VL)
        value += *(const vec *)(b->counts + j) * FN(log)(*(const vec *)(b->sums + j));
    for (; j < m; j++) rest += b->counts[j] * FN(log)(FN(set)(b->sums[j]))[0];
    for (ptrdiff_t w = 0; w < x->ends[i + 1] - begin; w++) rest += b->counts[w] * x->shift[x->words[begin + w]];
    return FN(sum)(value) + rest;
}

/* The fixed point of document i: gamma, shares, ratios, and the bound without what depends on alpha alone. Training
 * (exact = 0) takes the words' topics of the last gamma but one, which the statistics are made of. */
EM_INLINE double FN(fixed_point)(const em_documents *x, ptrdiff_t i, double total, double *gamma, int exact,
                                 FN(document) *b)
{
    const ptrdiff_t m = FN(read_document)(x, i, gamma, total, b), K = x->K;
    double change = HUGE_VAL;
    for (ptrdiff_t step = 1; !exact || step <= x->max_iter; step++) {
        FN(shares)(b, 0);
        FN(sweep)(m, b);
        /* the logarithms that the bound needs are those of the shares that made the gain */
        memcpy(b->logs, b->gamma, (size_t)(b->nv * (ptrdiff_t)sizeof(vec)));
        change = FN(update)(b);
        if (change < x->tol || step >= x->max_iter) break;
    }
    memcpy(gamma, b->gamma, (size_t)K * 8);
    if (!exact) memcpy(b->gamma, b->logs, (size_t)(b->nv * (ptrdiff_t)sizeof(vec)));
    FN(shares)(b, 1);
    if (exact) FN(sweep)(m, b);
    double value = FN(word_bound)(x, i, m, b);
    for (ptrdiff_t k = 0; k < K; k++) {
        const double gained = gamma[k] - ((double *)b->alpha)[k];
        value -= gained * ((double *)b->logs)[k];
    }
    return value;
}

/* log gamma of the entries, and of the sum subtracted; digammas less that of the sum times w are added to log_theta. */
EM_INLINE double FN(dirichlet)(ptrdiff_t K, const double *g, double w, double *log_theta)
{
    double sum = 0.0, value = 0.0;
    vec digamma, lgamma, all;
    for (ptrdiff_t k = 0; k < K; k++) sum += g[k];
    FN(gammas)(FN(set)(sum), &all, &lgamma);
    value -= lgamma[0];
    for (ptrdiff_t k = 0; k < K; k += VL) {
        const ptrdiff_t m = K - k < VL ? K - k : VL;
        vec a = FN(set)(1.0);
        memcpy(&a, g + k, (size_t)m * 8);
        FN(gammas)(a, &digamma, &lgamma);
        for (ptrdiff_t j = 0; j < m; j++) {
            value += lgamma[j];
            if (log_theta) log_theta[k + j] += w * (digamma[j] - all[j]);
        }
    }
    return value;
}

/* The E-step of some documents: gamma (n, K) is begun from where its first column is above 0, and written; bounds (n,);
 * expected counts of words (V, K) unless NULL; sums (K,) of E[log theta] unless NULL. */
static int FN(documents)(const em_documents *x, double *gamma, double *bounds, double *words, double *log_theta)
{
    const ptrdiff_t K = x->K;
    ptrdiff_t most = 0;
    for (ptrdiff_t i = 0; i < x->n; i++) most = x->ends[i + 1] - x->ends[i] > most ? x->ends[i + 1] - x->ends[i] : most;
    FN(document) b;
    void *memory;
    if (FN(open_document)((most + 3) / 4 * 4, K, &b, &memory)) return -1;
    const double empty = FN(dirichlet)(K, x->alpha, 0.0, NULL);
    for (ptrdiff_t i = 0; i < x->n; i++) {
        const ptrdiff_t begin = x->ends[i], m = x->ends[i + 1] - begin;
        const double weight = x->weights ? x->weights[i] : 1.0;
        double *g = gamma + i * K, total = 0.0;
        bounds[i] = 0.0;
        for (ptrdiff_t j = 0; j < m; j++) total += x->counts[begin + j];
        if (!(total > 0.0)) {
            memcpy(g, x->alpha, (size_t)K * 8);
            if (log_theta && weight > 0.0) FN(dirichlet)(K, g, weight, log_theta);
            continue;
        }
        if (!(weight > 0.0) && words) continue;
        bounds[i] = FN(fixed_point)(x, i, total, g, words == NULL, &b) - empty;
        bounds[i] += FN(dirichlet)(K, g, weight, log_theta);
        if (!words) continue;
        const double *restrict shares = (const double *)b.shares;
        for (ptrdiff_t j = 0; j < m; j++) {
            double *restrict line = words + (ptrdiff_t)x->words[begin + j] * K;
            if (j + 8 < m) {
                const char *coming = (const char *)(words + (ptrdiff_t)x->words[begin + j + 8] * K);
                for (ptrdiff_t at = 0; at < K * 8; at += 64) __builtin_prefetch(coming + at, 1);
            }
            const double r = weight * b.ratios[j];
            for (ptrdiff_t k = 0; k < K; k++) line[k] += r * shares[k];
        }
    }
    if (words)
        for (ptrdiff_t j = 0; j < x->V * K; j++) words[j] *= x->table[j];
    free(memory);
    return 0;
}

#undef FN
#undef vec
#undef ivec
