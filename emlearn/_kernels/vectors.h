/* Vectors of VL doubles, and the posterior of a tile of rows: included once for each
 * instruction set with VL (lanes of a vector) and EM_ISA (a suffix) defined.
 * No include guard; whoever includes it undefines FN, vec and ivec.
 */
#define FN(name) EM_JOIN(em_##name##_, EM_ISA)
#define vec FN(vec)
#define ivec FN(ivec)
typedef double vec __attribute__((vector_size(VL * 8)));
typedef int64_t ivec __attribute__((vector_size(VL * 8)));

/* ---------------------------------------------------------------- vectors */

EM_INLINE vec FN(set)(double a) { return a - (vec){0}; }
EM_INLINE vec FN(select)(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }
EM_INLINE vec FN(max)(vec a, vec b) { return FN(select)((ivec)(a > b), a, b); }
EM_INLINE double FN(sum)(vec a)
{
    double sum = 0.0;
    for (int l = 0; l < VL; l++) sum += a[l];
    return sum;
}

/* exp(x) for x <= 0 with an error below 1 ulp or so; 0 below -708. */
EM_INLINE vec FN(exp)(vec x)
{
    const vec shift = FN(set)(6755399441055744.0); /* 1.5 * 2**52: rounds, and leaves n in the low bits */
    vec t = x * FN(set)(1.4426950408889634074) + shift;
    vec n = t - shift;
    vec r = x - n * FN(set)(6.93147180369123816490e-01);
    r = r - n * FN(set)(1.90821492927058770002e-10);
    vec r2 = r * r;
    /* Taylor to degree 13 on |r| <= ln(2)/2, Estrin's scheme */
    vec p01 = FN(set)(1.0) + r;
    vec p23 = FN(set)(1.0 / 2) + r * FN(set)(1.0 / 6);
    vec p45 = FN(set)(1.0 / 24) + r * FN(set)(1.0 / 120);
    vec p67 = FN(set)(1.0 / 720) + r * FN(set)(1.0 / 5040);
    vec p89 = FN(set)(1.0 / 40320) + r * FN(set)(1.0 / 362880);
    vec pab = FN(set)(1.0 / 3628800) + r * FN(set)(1.0 / 39916800);
    vec pcd = FN(set)(1.0 / 479001600) + r * FN(set)(1.0 / 6227020800.0);
    vec r4 = r2 * r2;
    vec low = p01 + p23 * r2;
    vec mid = p45 + p67 * r2;
    vec high = p89 + pab * r2 + pcd * r4;
    vec p = low + r4 * (mid + r4 * high);
    vec scaled = (vec)((ivec)p + ((ivec)t << 52));
    return FN(select)((ivec)(x > FN(set)(-708.0)), scaled, FN(set)(0.0));
}

/* log(x) for normal positive x. */
EM_INLINE vec FN(log)(vec x)
{
    ivec bits = (ivec)x - (ivec)FN(set)(0.70710678118654752440);
    ivec e = bits >> 52;
    vec m = (vec)((ivec)x - (e << 52));
    vec k = (vec)(e + (ivec)FN(set)(6755399441055744.0)) - FN(set)(6755399441055744.0);
    vec f = (m - FN(set)(1.0)) / (m + FN(set)(1.0));
    vec s = f * f;
    vec p = FN(set)(1.0 / 23);
    p = p * s + FN(set)(1.0 / 21);
    p = p * s + FN(set)(1.0 / 19);
    p = p * s + FN(set)(1.0 / 17);
    p = p * s + FN(set)(1.0 / 15);
    p = p * s + FN(set)(1.0 / 13);
    p = p * s + FN(set)(1.0 / 11);
    p = p * s + FN(set)(1.0 / 9);
    p = p * s + FN(set)(1.0 / 7);
    p = p * s + FN(set)(1.0 / 5);
    p = p * s + FN(set)(1.0 / 3);
    vec tail = k * FN(set)(1.90821492927058770002e-10) + FN(set)(2.0) * f * s * p;
    return k * FN(set)(6.93147180369123816490e-01) + (FN(set)(2.0) * f + tail);
}

/* ---------------------------------------------------------------- labels */

/* Rows (n, K) become columns (K, S) of nv vectors; `rest` fills the rows from n on. */
EM_INLINE void FN(columns)(const double *rows, ptrdiff_t n, ptrdiff_t K, ptrdiff_t S, ptrdiff_t nv, double rest,
                           vec *table)
{
    for (ptrdiff_t k = 0; k < K; k++) {
        double *t = (double *)(table + k * S);
        for (ptrdiff_t i = 0; i < n; i++) t[i] = rows[i * K + k];
        for (ptrdiff_t i = n; i < nv * VL; i++) t[i] = rest;
    }
}

/* The table (K, S) of log weight + log density becomes weight * posterior, `sum` the row log-likelihoods; counts (K,)
 * gain the sums over rows. nv, even, is how many vectors of rows are in use. */
EM_INLINE void FN(share)(ptrdiff_t K, ptrdiff_t S, ptrdiff_t nv, vec *table, const vec *w, vec *top, vec *sum,
                         double *counts)
{
    const vec floor = FN(set)(-1.7976931348623157e308), one = FN(set)(1.0), zero = FN(set)(0.0);
    for (ptrdiff_t v = 0; v < nv; v++) {
        top[v] = floor;
        sum[v] = zero;
    }
    for (ptrdiff_t k = 0; k < K; k++) {
        const vec *t = table + k * S;
        for (ptrdiff_t v = 0; v < nv; v++) top[v] = FN(max)(t[v], top[v]);
    }
    for (ptrdiff_t k = 0; k < K; k++) {
        vec *t = table + k * S;
        for (ptrdiff_t v = 0; v < nv; v++) {
            t[v] = FN(exp)(t[v] - top[v]);
            sum[v] += t[v];
        }
    }
    for (ptrdiff_t v = 0; v < nv; v++) {
        const ivec empty = (ivec)(sum[v] < FN(set)(0.5)); /* no component reaches this row: share it evenly */
        const vec safe = FN(select)(empty, one, sum[v]);
        sum[v] = FN(select)(empty, FN(set)(-HUGE_VAL), top[v] + FN(log)(safe));
        top[v] = w[v] / FN(select)(empty, FN(set)((double)K), safe);
        for (int l = 0; l < VL; l++)
            if (empty[l])
                for (ptrdiff_t k = 0; k < K; k++) table[k * S + v][l] = 1.0;
    }
    for (ptrdiff_t k = 0; k < K; k++) {
        vec *t = table + k * S;
        vec a = zero, b = zero;
        for (ptrdiff_t v = 0; v < nv; v += 2) {
            t[v] *= top[v];
            t[v + 1] *= top[v + 1];
            a += t[v];
            b += t[v + 1];
        }
        counts[k] += FN(sum)(a + b);
    }
}
