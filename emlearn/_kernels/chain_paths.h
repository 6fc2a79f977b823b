/* Best paths of the states. No include guard. */

/* Row of log-densities, -inf in the padding and for what is no number; `left` numbers are left in memory. */
EM_INLINE void FN(read_logs)(const int N, ptrdiff_t K, ptrdiff_t left, const double *l, const ivec *there, vec *out)
{
    const vec nothing = FN(set)(-HUGE_VAL);
    if (left >= N * VL)
        for (int v = 0; v < N; v++) {
            const vec x = *(const FN(loose) *)(l + v * VL);
            out[v] = FN(select)(there[v] & (ivec)(x > nothing), x, nothing);
        }
    else
        for (ptrdiff_t k = 0; k < N * VL; k++) out[k / VL][k % VL] = k < K && l[k] > -HUGE_VAL ? l[k] : -HUGE_VAL;
}

EM_INLINE double FN(greatest)(ptrdiff_t N, const vec *a)
{
    vec top = a[0];
    for (ptrdiff_t v = 1; v < N; v++) top = FN(larger)(a[v], top);
    return FN(tops)(top)[0];
}

/* The lowest state of the largest. */
static ptrdiff_t FN(lowest)(ptrdiff_t K, const double *best)
{
    ptrdiff_t state = 0;
    for (ptrdiff_t k = 1; k < K; k++) state = best[k] > best[state] ? k : state;
    return state;
}

/* Where value + l is -inf throughout: a row without its densities, or without its past, which is then 1. */
static int FN(mend)(ptrdiff_t K, ptrdiff_t N, const vec *value, const vec *l, vec *best)
{
    const int nothing = FN(greatest)(N, l) == -HUGE_VAL, lost = FN(greatest)(N, value) == -HUGE_VAL;
    for (ptrdiff_t k = 0; k < K; k++)
        ((double *)best)[k] = !nothing ? ((double *)l)[k] : lost ? 0.0 : ((double *)value)[k];
    return !nothing || lost;
}

/* ---------------------------------------- at most VL states: all in registers */

/* For each state of the next row the state it comes from, a byte each. */
EM_INLINE uint64_t FN(origins)(const int K, vec value, const vec *step)
{
    ivec from = {0};
    for (int l = 0; l < VL; l++) from[l] = (int64_t)((uint64_t)(K - 1) << 8 * l);
    for (int i = K - 2; i >= 0; i--) {
        ivec one = {0};
        for (int l = 0; l < VL; l++) one[l] = (int64_t)((uint64_t)i << 8 * l);
        const ivec best = (ivec)(step[i] == value);
        from = (one & best) | (from & ~best);
    }
#if VL == 8
    from |= EM_HALF(from);
#endif
#if VL >= 4
    from |= EM_QUARTER(from);
#endif
    from |= EM_PAIR(from);
    return (uint64_t)from[0];
}

/* Where a chain begins afresh, states that nothing leads to come from the best of the row before. */
static uint64_t FN(rejoin)(ptrdiff_t K, vec value, vec before, uint64_t origins)
{
    const uint64_t state = (uint64_t)FN(lowest)(K, (const double *)&before);
    for (ptrdiff_t k = 0; k < K; k++)
        if (value[k] == -HUGE_VAL) origins = (origins & ~((uint64_t)255 << 8 * k)) | state << 8 * k;
    return origins;
}

/* m rows: what they hand to the next, and where each comes from. `mend` looks at each row; without, a row that
 * is -inf throughout makes all that follow so, and the result is 1. */
EM_INLINE int FN(path_few)(const int K, const int mend, ptrdiff_t m, ptrdiff_t done, ptrdiff_t left, const double *l,
                           const vec *M, vec *value, vec *last, int64_t *origins, int *possible)
{
    vec R[8], step[8], y = *value, best = *last, x = *last;
    ivec there;
    for (int i = 0; i < VL; i++) there[i] = i < K ? -1 : 0;
    for (int i = 0; i < K; i++) R[i] = M[i];
    for (ptrdiff_t t = 0; t < m; t++) {
        const vec before = best;
        FN(read_logs)(1, K, left - t * K, l + t * K, &there, &x);
        best = y + x;
        if (mend && FN(greatest)(1, &best) == -HUGE_VAL) {
            *possible = 0;
            if (FN(mend)(K, 1, &y, &x, &best) && t + done > 0)
                origins[t - 1] = (int64_t)FN(rejoin)(K, y, before, (uint64_t)origins[t - 1]);
        }
#define EM_STEP(i) if (K > i) step[i] = EM_LANE(best, i) + R[i]
        EM_STEP(0); EM_STEP(1);
#if VL > 2
        EM_STEP(2); EM_STEP(3);
#endif
#if VL > 4
        EM_STEP(4); EM_STEP(5); EM_STEP(6); EM_STEP(7);
#endif
#undef EM_STEP
        y = step[0];
        if (K > 1) y = FN(larger)(step[1], y);
        if (K > 2) y = FN(larger)(K > 3 ? FN(larger)(step[3], step[2]) : step[2], y);
        if (K > 4) {
            vec z = K > 5 ? FN(larger)(step[5], step[4]) : step[4];
            if (K > 6) z = FN(larger)(K > 7 ? FN(larger)(step[7], step[6]) : step[6], z);
            y = FN(larger)(z, y);
        }
        origins[t] = (int64_t)FN(origins)(K, y, step);
    }
    *value = y;
    *last = best;
    return !mend && FN(greatest)(1, &best) == -HUGE_VAL;
}

static int FN(path_any)(const int mend, ptrdiff_t K, ptrdiff_t m, ptrdiff_t done, ptrdiff_t left, const double *l,
                        const vec *M, vec *value, vec *last, int64_t *origins, int *possible)
{
#define EM_CASE(k) case k: return FN(path_few)(k, mend, m, done, left, l, M, value, last, origins, possible)
    switch (K) {
#if VL == 8
    EM_CASE(5); EM_CASE(6); EM_CASE(7); EM_CASE(8);
#else
    EM_CASE(1); EM_CASE(2);
#endif
#if VL == 4
    EM_CASE(3); EM_CASE(4);
#endif
    }
#undef EM_CASE
    return 0;
}

/* A unit of m rows, of `left` numbers in memory. The path holds the origins until the way back. */
static double FN(few_states)(const FN(chain) *g, ptrdiff_t m, ptrdiff_t left, const double *l, int64_t *path)
{
    const ptrdiff_t K = g->K;
    vec value = g->start[0], last = value;
    int possible = 1;
    for (ptrdiff_t t = 0; t < m; t += EM_TILE) {
        const ptrdiff_t some = em_less(EM_TILE, m - t);
        const vec value_then = value, last_then = last;
        if (!FN(path_any)(0, K, some, t, left - t * K, l + t * K, g->ahead, &value, &last, path + t, &possible))
            continue;
        value = value_then;
        last = last_then;
        FN(path_any)(1, K, some, t, left - t * K, l + t * K, g->ahead, &value, &last, path + t, &possible);
    }
    uint64_t state = (uint64_t)FN(lowest)(K, (const double *)&last);
    path[m - 1] = (int64_t)state;
    for (ptrdiff_t t = m - 2; t >= 0; t--) {
        state = (uint64_t)path[t] >> 8 * state & 255;
        path[t] = (int64_t)state;
    }
    return possible ? FN(greatest)(1, &last) : -HUGE_VAL;
}

/* ------------------------------------------------------- any number of states */

/* The lowest state of the largest best + step; where all are -inf, of the largest best. */
EM_INLINE ptrdiff_t FN(origin)(ptrdiff_t K, const int N, const vec *best, const vec *step)
{
    vec top = FN(set)(-HUGE_VAL), from = FN(set)(-HUGE_VAL), lanes;
    for (int l = 0; l < VL; l++) lanes[l] = -l;
    for (int v = 0; v < N; v++) top = FN(larger)(best[v] + step[v], top);
    top = FN(tops)(top);
    if (__builtin_expect(top[0] == -HUGE_VAL, 0)) return FN(lowest)(K, (const double *)best);
    for (int v = 0; v < N; v++)
        from = FN(larger)(FN(select)((ivec)(best[v] + step[v] == top), lanes - FN(set)(v * VL), from), from);
    return (ptrdiff_t)-FN(tops)(from)[0];
}

/* Columns of the largest c + M, N vectors of them. */
EM_INLINE void FN(climb)(const int N, ptrdiff_t K, ptrdiff_t step, const double *c, const vec *M, vec *y)
{
    vec a[8];
    for (int v = 0; v < N; v++) a[v] = FN(set)(-HUGE_VAL);
    for (ptrdiff_t i = 0; i < K; i++) {
        const vec one = FN(set)(c[i]);
        for (int v = 0; v < N; v++) a[v] = FN(larger)(one + M[i * step + v], a[v]);
    }
    for (int v = 0; v < N; v++) y[v] = a[v];
}

EM_INLINE double FN(path_many)(const int N, const FN(chain) *g, FN(hand) *h, ptrdiff_t m, ptrdiff_t left,
                               const double *l, int64_t *path)
{
    const ptrdiff_t K = g->K;
    vec few[8], room[8], *y = N <= 8 ? few : h->state, *x = N <= 8 ? room : h->c;
    ivec *there = (ivec *)h->saved;
    int possible = 1;
    for (int k = 0; k < N * VL; k++) ((int64_t *)there)[k] = k < K ? -1 : 0;
    for (int v = 0; v < N; v++) x[v] = y[v] = g->start[v];
    for (ptrdiff_t t = 0; t < m; t++) {
        vec *best = g->store + t * N, top = FN(set)(-HUGE_VAL);
        FN(read_logs)(N, K, left - t * K, l + t * K, there, x);
        for (int v = 0; v < N; v++) top = FN(larger)(best[v] = y[v] + x[v], top);
        if (__builtin_expect(FN(tops)(top)[0] == -HUGE_VAL, 0)) {
            for (int v = 0; v < N; v++) {
                h->state[v] = y[v];
                h->c[v] = x[v];
            }
            FN(mend)(K, N, h->state, h->c, best);
            possible = 0;
        }
        if (N <= 8) FN(climb)(N, K, N, (const double *)best, g->ahead, y);
        else {
            int v = 0;
            for (; v + 8 <= N; v += 8) FN(climb)(8, K, N, (const double *)best, g->ahead + v, y + v);
            for (; v < N; v++) FN(climb)(1, K, N, (const double *)best, g->ahead + v, y + v);
        }
    }
    ptrdiff_t state = FN(lowest)(K, (const double *)(g->store + (m - 1) * N));
    const double value = ((const double *)(g->store + (m - 1) * N))[state];
    path[m - 1] = state;
    for (ptrdiff_t t = m - 2; t >= 0; t--)
        path[t] = state = FN(origin)(K, N, g->store + t * N, g->back + state * N);
    return possible ? value : -HUGE_VAL;
}

static double FN(best_path)(const FN(chain) *g, FN(hand) *h, ptrdiff_t m, ptrdiff_t left, const double *l,
                            int64_t *path)
{
#define EM_CASE(n) case n: return FN(path_many)(n, g, h, m, left, l, path)
    switch (g->N) {
    case 1: return FN(few_states)(g, m, left, l, path);
    EM_CASE(2); EM_CASE(3); EM_CASE(4); EM_CASE(5); EM_CASE(6); EM_CASE(7); EM_CASE(8);
    }
#undef EM_CASE
    return FN(path_many)((int)g->N, g, h, m, left, l, path);
}

/* startprob and transmat are logarithms here. */
static int FN(viterbi)(const em_markov *markov, const em_sequences *data, int64_t *path, double *values)
{
    ptrdiff_t longest = 1;
    for (ptrdiff_t s = 0; s < data->n_units && markov->K > VL; s++)
        longest = em_more(longest, data->ends[s] - (s ? data->ends[s - 1] : 0));
    FN(chain) *g = FN(make)(markov, data, longest, 1, NULL);
    if (!g) return -1;
    const ptrdiff_t K = g->K, Kp = g->Kp;
    for (ptrdiff_t i = 0; i < K; i++)
        for (ptrdiff_t j = 0; j < Kp; j++) {
            ((double *)g->ahead)[i * Kp + j] = j < K ? markov->transmat[i * K + j] : -HUGE_VAL;
            ((double *)g->back)[i * Kp + j] = j < K ? markov->transmat[j * K + i] : -HUGE_VAL;
        }
    for (ptrdiff_t j = 0; j < Kp; j++) ((double *)g->start)[j] = j < K ? markov->startprob[j] : -HUGE_VAL;
    for (ptrdiff_t s = 0, begin = 0; s < data->n_units; begin = data->ends[s++])
        values[s] = FN(best_path)(g, (FN(hand) *)g->hands[0], data->ends[s] - begin, (data->n - begin) * K,
                                  data->table + begin * K, path + begin);
    FN(close)(g);
    return 0;
}
