/* Wide numbers m 2**e, e a whole double: slow, and nothing is out of their range. No include guard. */

/* Mantissas in [1, 2), or 0 with exponent EM_ZERO. */
typedef struct {
    vec *m, *e;
} FN(wides);

EM_INLINE void FN(split)(vec x, vec *m, vec *e)
{
    const vec zero = FN(set)(0.0), magic = FN(set)(6755399441055744.0);
    const ivec some = (ivec)(x > zero), bits = (ivec)x;
    const vec exponent = (vec)((bits >> 52) - 1023 + (ivec)magic) - magic;
    const ivec mantissa = (bits & 0xfffffffffffff) | (ivec)FN(set)(1.0);
    *m = FN(select)(some, (vec)mantissa, zero);
    *e = FN(select)(some, exponent, FN(set)(EM_ZERO));
}

/* 2**d for whole d below 1000; 0 far below. */
EM_INLINE vec FN(power)(vec d)
{
    const vec magic = FN(set)(6755399441055744.0), least = FN(set)(-1000.0);
    const vec near = FN(max)(d, least) + magic;
    return FN(select)((ivec)(d > least), (vec)(((ivec)near - (ivec)magic + 1023) << 52), FN(set)(0.0));
}

EM_INLINE void FN(times)(ptrdiff_t N, FN(wides) a, FN(wides) b, FN(wides) out)
{
    for (ptrdiff_t v = 0; v < N; v++) {
        vec e, up = a.e[v] + b.e[v];
        FN(split)(a.m[v] * b.m[v], &out.m[v], &e);
        out.e[v] = FN(select)((ivec)(out.m[v] > FN(set)(0.0)), up + e, e);
    }
}

/* The largest exponent becomes 0 and is returned; the sum of the numbers then, 0 if all are. */
EM_INLINE double FN(level)(ptrdiff_t N, FN(wides) a, double *sum)
{
    vec top = a.e[0], total = FN(set)(0.0);
    for (ptrdiff_t v = 1; v < N; v++) top = FN(max)(a.e[v], top);
    top = FN(tops)(top);
    for (ptrdiff_t v = 0; v < N; v++) {
        const vec d = a.e[v] - top;
        total += a.m[v] * FN(power)(d);
        a.e[v] = FN(select)((ivec)(a.m[v] > FN(set)(0.0)), d, FN(set)(EM_ZERO));
    }
    *sum = FN(sums)(total)[0];
    return top[0];
}

/* y = c M. */
static void FN(wide_product)(ptrdiff_t K, ptrdiff_t N, FN(wides) c, FN(wides) M, FN(wides) y)
{
    for (ptrdiff_t v = 0; v < N; v++) {
        vec top = FN(set)(EM_ZERO), total = FN(set)(0.0), e;
        for (ptrdiff_t i = 0; i < K; i++) top = FN(max)(M.e[i * N + v] + FN(set)(((double *)c.e)[i]), top);
        for (ptrdiff_t i = 0; i < K; i++)
            total += FN(set)(((double *)c.m)[i]) * M.m[i * N + v] *
                     FN(power)(M.e[i * N + v] + FN(set)(((double *)c.e)[i]) - top);
        FN(split)(total, &y.m[v], &e);
        y.e[v] = FN(select)((ivec)(y.m[v] > FN(set)(0.0)), top + e, e);
    }
}

/* A row of densities, less its largest, which is returned: -inf if there is none, and then ones. */
static double FN(wide_weights)(ptrdiff_t K, ptrdiff_t N, const double *l, FN(wides) w)
{
    const vec magic = FN(set)(6755399441055744.0), zero = FN(set)(0.0), one = FN(set)(1.0);
    double top = -HUGE_VAL, *x = (double *)w.e;
    for (ptrdiff_t k = 0; k < K; k++) top = l[k] > top ? l[k] : top;
    const int nothing = top == -HUGE_VAL;
    for (ptrdiff_t k = 0; k < N * VL; k++)
        x[k] = k >= K ? -HUGE_VAL : nothing ? 0.0 : l[k] > -HUGE_VAL ? l[k] - top : -HUGE_VAL;
    for (ptrdiff_t v = 0; v < N; v++) {
        const ivec some = (ivec)(w.e[v] > FN(set)(-HUGE_VAL));
        const vec a = FN(select)(some, w.e[v], zero), scaled = a * FN(set)(1.4426950408889634074);
        const ivec near = (ivec)(a > FN(set)(-1e15)); /* beyond, all doubles are whole */
        const vec n = FN(select)(near, scaled + magic - magic, scaled);
        const vec r = a - n * FN(set)(6.93147180369123816490e-01) - n * FN(set)(1.90821492927058770002e-10);
        vec e;
        FN(split)(FN(select)(near, FN(exp)(r), one), &w.m[v], &e);
        w.m[v] = FN(select)(some, w.m[v], zero);
        w.e[v] = FN(select)(some, n + e, FN(set)(EM_ZERO));
    }
    return top;
}

/* What the wide recursion needs, made when it is first needed. */
typedef struct FN(wide_) {
    FN(wides) ahead, back, start, w, a, p, b, g, v;
} FN(wide);

static void FN(split_all)(ptrdiff_t rows, ptrdiff_t K, ptrdiff_t Kp, const double *p, int transposed, FN(wides) out)
{
    double *m = (double *)out.m, *e = (double *)out.e;
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < Kp; j++) {
            const double value = j >= K ? 0.0 : transposed ? p[j * K + i] : p[i * K + j];
            int exponent = 0;
            m[i * Kp + j] = value > 0.0 ? 2.0 * frexp(value, &exponent) : 0.0;
            e[i * Kp + j] = value > 0.0 ? exponent - 1.0 : EM_ZERO;
        }
}

static void FN(lay_wide)(const FN(chain) *g, FN(wide) *x, em_arena *arena)
{
    FN(wides) *all[9] = {&x->ahead, &x->back, &x->start, &x->w, &x->a, &x->p, &x->b, &x->g, &x->v};
    for (int i = 0; i < 9; i++) {
        const ptrdiff_t size = (i < 2 ? g->K : 1) * g->Kp * 8;
        all[i]->m = (vec *)em_take(arena, size);
        all[i]->e = (vec *)em_take(arena, size);
    }
}

static int FN(widen)(FN(chain) *g)
{
    if (g->wide) return 0;
    em_arena arena = {NULL, 0};
    FN(wide) none, *x;
    em_take(&arena, sizeof(FN(wide)));
    FN(lay_wide)(g, &none, &arena);
    g->wide_memory = malloc(arena.used + 64);
    if (!g->wide_memory) return -1;
    arena.base = (char *)(((uintptr_t)g->wide_memory + 63) & ~(uintptr_t)63);
    arena.used = 0;
    x = (FN(wide) *)em_take(&arena, sizeof(FN(wide)));
    FN(lay_wide)(g, x, &arena);
    FN(split_all)(g->K, g->K, g->Kp, g->markov.transmat, 0, x->ahead);
    FN(split_all)(g->K, g->K, g->Kp, g->markov.transmat, 1, x->back);
    FN(split_all)(1, g->K, g->Kp, g->markov.startprob, 0, x->start);
    g->wide = x;
    return 0;
}

/* x->p, the prediction of a row of densities, to x->a; log p(row | before), given the sum of the row before. */
static double FN(wide_forward)(const FN(chain) *g, FN(wide) *x, const double *l, double *sum)
{
    const double top = FN(wide_weights)(g->K, g->N, l, x->w), before = *sum;
    FN(times)(g->N, x->p, x->w, x->a);
    const double e = FN(level)(g->N, x->a, sum);
    if (*sum > 0.0) return top + (log(*sum / before) + e * 0.69314718055994530942);
    memcpy(x->a.m, x->w.m, (size_t)g->Kp * 8); /* no path comes here: the chain begins afresh */
    memcpy(x->a.e, x->w.e, (size_t)g->Kp * 8);
    FN(level)(g->N, x->a, sum);
    return -HUGE_VAL;
}

/* Pairs of x->a (a row) and x->v (the next row's weights and what follows): `total` and `e` are their sum. */
static void FN(wide_pairs)(const FN(chain) *g, const FN(wide) *x, double total, double e, double weight, double *pairs)
{
    const ptrdiff_t N = g->N;
    for (ptrdiff_t i = 0; i < g->K; i++) {
        const double m = ((double *)x->a.m)[i];
        if (m == 0.0) continue;
        const vec c = FN(set)(m * weight / total), up = FN(set)(((double *)x->a.e)[i] - e);
        for (ptrdiff_t v = 0; v < N; v++)
            ((vec *)pairs)[i * N + v] += c * x->ahead.m[i * N + v] * x->v.m[v] *
                                         FN(power)(up + x->ahead.e[i * N + v] + x->v.e[v]);
    }
}

/* Posterior of a row, from x->a and x->b; where they contradict each other, x->a alone. */
static void FN(wide_posterior)(const FN(chain) *g, FN(wide) *x, double weight, double *out)
{
    double sum;
    FN(times)(g->N, x->a, x->b, x->g);
    FN(level)(g->N, x->g, &sum);
    FN(wides) p = x->g;
    if (sum == 0.0) {
        p = x->a;
        FN(level)(g->N, p, &sum);
    }
    for (ptrdiff_t v = 0; v < g->N; v++) {
        const vec value = p.m[v] * FN(power)(p.e[v]) * FN(set)(weight / sum);
        for (ptrdiff_t l = 0; l < VL && v * VL + l < g->K; l++) out[v * VL + l] = value[l];
    }
}

/* What follows the rows: ones. */
static void FN(wide_ones)(const FN(chain) *g, FN(wides) b)
{
    for (ptrdiff_t k = 0; k < g->Kp; k++) {
        ((double *)b.m)[k] = k < g->K ? 1.0 : 0.0;
        ((double *)b.e)[k] = k < g->K ? 0.0 : EM_ZERO;
    }
}

/* Rows start to stop, a unit, all again; forward goes to the buffers of weights and store. */
static int FN(wide_unit)(FN(chain) *g, FN(hand) *h, ptrdiff_t start, ptrdiff_t stop, double weight, double *table,
                         double *rows)
{
    if (FN(widen)(g)) return -1;
    FN(wide) *x = g->wide;
    const ptrdiff_t N = g->N, K = g->K;
    const size_t row = (size_t)g->Kp * 8;
    double sum = 1.0, e;
    memcpy(x->p.m, x->start.m, row);
    memcpy(x->p.e, x->start.e, row);
    for (ptrdiff_t t = start; t < stop; t++) {
        rows[t] = FN(wide_forward)(g, x, table + t * K, &sum);
        memcpy(g->w + t * N, x->a.m, row);
        memcpy(g->store + t * N, x->a.e, row);
        FN(wide_product)(K, N, x->a, x->ahead, x->p);
    }
    FN(wide_ones)(g, x->b);
    for (ptrdiff_t t = stop - 1; t >= start; t--) {
        FN(wide_weights)(K, N, table + t * K, x->w);
        FN(times)(N, x->w, x->b, x->v);
        memcpy(x->a.m, g->w + t * N, row);
        memcpy(x->a.e, g->store + t * N, row);
        FN(wide_posterior)(g, x, weight, table + t * K);
        if (t == start) break;
        memcpy(x->a.m, g->w + (t - 1) * N, row);
        memcpy(x->a.e, g->store + (t - 1) * N, row);
        FN(wide_product)(K, N, x->v, x->back, x->b);
        FN(times)(N, x->a, x->b, x->g);
        e = FN(level)(N, x->g, &sum);
        if (sum > 0.0) FN(wide_pairs)(g, x, sum, e, weight, h->wide);
        FN(level)(N, x->b, &sum);
        if (sum == 0.0) FN(wide_ones)(g, x->b);
    }
    return 0;
}
