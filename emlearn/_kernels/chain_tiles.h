/* The recursions of chain_kernel.h, once for each instruction set. No include guard. */
#include "vectors.h"

typedef double FN(loose) __attribute__((vector_size(VL * 8), aligned(8)));

/* ------------------------------------------------------------- reductions */

#if VL == 8
#define EM_HALF(a) EM_SHUFFLE(a, a, 4, 5, 6, 7, 0, 1, 2, 3)
#define EM_QUARTER(a) EM_SHUFFLE(a, a, 2, 3, 0, 1, 6, 7, 4, 5)
#define EM_PAIR(a) EM_SHUFFLE(a, a, 1, 0, 3, 2, 5, 4, 7, 6)
#define EM_LANE(a, i) EM_SHUFFLE(a, a, i, i, i, i, i, i, i, i)
#elif VL == 4
#define EM_QUARTER(a) EM_SHUFFLE(a, a, 2, 3, 0, 1)
#define EM_PAIR(a) EM_SHUFFLE(a, a, 1, 0, 3, 2)
#define EM_LANE(a, i) EM_SHUFFLE(a, a, i, i, i, i)
#else
#define EM_PAIR(a) EM_SHUFFLE(a, a, 1, 0)
#define EM_LANE(a, i) EM_SHUFFLE(a, a, i, i)
#endif

/* a > b ? a : b. */
EM_INLINE vec FN(larger)(vec a, vec b)
{
#if defined(EM_X86) && VL == 8
    return __builtin_ia32_maxpd512_mask(a, b, a, 255, 4);
#elif defined(EM_X86) && VL == 4
    return __builtin_ia32_maxpd256(a, b);
#elif defined(EM_X86)
    return __builtin_ia32_maxpd(a, b);
#else
    return FN(max)(a, b);
#endif
}

/* Each lane becomes the sum, or the largest, of all. */
EM_INLINE vec FN(sums)(vec a)
{
#if VL == 8
    a += EM_HALF(a);
#endif
#if VL >= 4
    a += EM_QUARTER(a);
#endif
    return a + EM_PAIR(a);
}
EM_INLINE vec FN(tops)(vec a)
{
#if VL == 8
    a = FN(larger)(EM_HALF(a), a);
#endif
#if VL >= 4
    a = FN(larger)(EM_QUARTER(a), a);
#endif
    return FN(larger)(EM_PAIR(a), a);
}
EM_INLINE int FN(any)(ivec mask)
{
    int64_t all = 0;
    for (int l = 0; l < VL; l++) all |= mask[l];
    return all != 0;
}

/* ----------------------------------------------------------------- memory */

/* A chain, and buffers for n rows: weights; forward, later the densities that the posteriors replaced; scalars. */
typedef struct {
    em_markov markov;
    em_sequences data;
    ptrdiff_t K, Kp, N, n;
    vec *ahead, *back;         /* (K, N) the matrix, entries raised, and its transpose */
    vec *start, *end;          /* (N,) what the recursions begin with */
    vec *w, *store;            /* (n, N) */
    double *sum, *before, *lift; /* (n,) sum of a row and of the one before; scale of a row of backward */
    struct FN(wide_) *wide;    /* what units that are done again need, or NULL */
    int dense, tiny;           /* all entries at least EM_DENSE; some are raised */
    double weight;             /* of a unit in two parts */
    ptrdiff_t half;
    void *hands[2], *memory, *wide_memory;
} FN(chain);

/* Buffers of one thread. */
typedef struct {
    vec *tile, *gamma, *u, *v; /* (EM_TILE, N) twice, one row more twice */
    vec *state, *saved, *c, *raised; /* (N,); raised: the part of the state that comes from raised places */
    double *pairs, *backup;    /* (K rounded up to 4, Kp) sums of u' v */
    double *wide;              /* (K, Kp) the same of units done again, transitions included */
    double scale, sudden;      /* sum of the row before; what it must not fall to */
    double lost;               /* posterior of raised places */
    int first, doubtful;       /* at the first row of a unit; whether `raised` is not all zero */
    int failed, swapped;
} FN(hand);

static void FN(lay_hand)(ptrdiff_t K, ptrdiff_t N, FN(hand) *h, em_arena *arena)
{
    const ptrdiff_t row = N * (ptrdiff_t)sizeof(vec), square = (K + 3) / 4 * 4 * row;
    h->tile = (vec *)em_take(arena, EM_TILE * row);
    h->gamma = (vec *)em_take(arena, EM_TILE * row);
    h->u = (vec *)em_take(arena, (EM_TILE + 1) * row + 64);
    h->v = (vec *)em_take(arena, (EM_TILE + 1) * row);
    h->state = (vec *)em_take(arena, row);
    h->saved = (vec *)em_take(arena, row);
    h->c = (vec *)em_take(arena, row);
    h->raised = (vec *)em_take(arena, row);
    h->pairs = (double *)em_take(arena, square);
    h->backup = (double *)em_take(arena, square);
    h->wide = (double *)em_take(arena, square);
}

static void FN(lay_chain)(FN(chain) *g, int hands, em_arena *arena)
{
    const ptrdiff_t row = g->N * (ptrdiff_t)sizeof(vec), rows = (g->n + VL) * 8;
    g->ahead = (vec *)em_take(arena, g->K * row);
    g->back = (vec *)em_take(arena, g->K * row);
    g->start = (vec *)em_take(arena, row);
    g->end = (vec *)em_take(arena, row);
    g->w = (vec *)em_take(arena, g->n * row);
    g->store = (vec *)em_take(arena, g->n * row);
    g->sum = (double *)em_take(arena, rows);
    g->before = (double *)em_take(arena, rows);
    g->lift = (double *)em_take(arena, rows);
    for (int i = 0; i < hands; i++) {
        FN(hand) *h = (FN(hand) *)em_take(arena, sizeof(FN(hand))), none;
        g->hands[i] = h;
        FN(lay_hand)(g->K, g->N, h ? h : &none, arena);
    }
}

EM_INLINE double FN(raise)(double p, double floor) { return p > 0.0 && p < floor ? floor : p; }

static void FN(fill)(FN(chain) *g)
{
    const ptrdiff_t K = g->K, Kp = g->Kp;
    double *ahead = (double *)g->ahead, *back = (double *)g->back;
    memset(ahead, 0, (size_t)(K * Kp) * 8);
    memset(back, 0, (size_t)(K * Kp) * 8);
    g->dense = 1;
    g->tiny = 0;
    for (ptrdiff_t i = 0; i < K; i++)
        for (ptrdiff_t j = 0; j < K; j++) {
            const double p = g->markov.transmat[i * K + j];
            if (!(p >= EM_DENSE)) g->dense = 0;
            if (p > 0.0 && p < EM_ENTRY) g->tiny = 1;
            ahead[i * Kp + j] = back[j * Kp + i] = FN(raise)(p, EM_ENTRY);
        }
    for (ptrdiff_t j = 0; j < Kp; j++) {
        if (j < K && g->markov.startprob[j] > 0.0 && g->markov.startprob[j] < EM_ENTRY) g->tiny = 1;
        ((double *)g->start)[j] = j < K ? EM_MOST * FN(raise)(g->markov.startprob[j], EM_ENTRY) : 0.0;
        ((double *)g->end)[j] = j < K ? EM_MOST / 1024 : 0.0;
    }
}

static void FN(measure)(const em_markov *markov, const em_sequences *data, ptrdiff_t n, FN(chain) *g)
{
    memset(g, 0, sizeof(*g));
    g->markov = *markov;
    g->data = *data;
    g->K = markov->K;
    g->N = (g->K + VL - 1) / VL;
    g->Kp = g->N * VL;
    g->n = n;
}

/* Bytes for n rows at a time and some hands. */
static size_t FN(bytes)(const em_markov *markov, const em_sequences *data, ptrdiff_t n, int hands)
{
    FN(chain) g;
    em_arena arena = {NULL, 0};
    FN(measure)(markov, data, n, &g);
    FN(lay_chain)(&g, hands, &arena);
    return arena.used + 64;
}

/* A chain in so much memory, its own if none is given; NULL where there is none. */
static FN(chain) *FN(make)(const em_markov *markov, const em_sequences *data, ptrdiff_t n, int hands, void *given)
{
    FN(chain) *g = (FN(chain) *)malloc(sizeof(FN(chain)));
    if (!g) return NULL;
    FN(measure)(markov, data, n, g);
    if (!given) given = g->memory = malloc(FN(bytes)(markov, data, n, hands));
    if (!given) {
        free(g);
        return NULL;
    }
    em_arena arena = {(char *)(((uintptr_t)given + 63) & ~(uintptr_t)63), 0};
    FN(lay_chain)(g, hands, &arena);
    FN(fill)(g);
    for (int i = 0; i < hands; i++) {
        FN(hand) *h = (FN(hand) *)g->hands[i];
        const size_t square = (size_t)((g->K + 3) / 4 * 4 * g->Kp) * 8;
        memset(h->pairs, 0, square);
        memset(h->wide, 0, square);
        memset(h->u, 0, (size_t)((EM_TILE + 1) * g->Kp) * 8 + 64);
        h->lost = 0.0;
        h->sudden = g->tiny ? EM_FALL : EM_SUDDEN;
        h->failed = h->swapped = 0;
    }
    return g;
}

static void FN(close)(void *chain)
{
    FN(chain) *g = (FN(chain) *)chain;
    if (!g) return;
    free(g->wide_memory);
    free(g->memory);
    free(g);
}

/* ---------------------------------------------------------------- weights */

/* One row: density / largest, raised; `top` its logarithm. A row of zeros tells nothing: ones. */
EM_INLINE ivec FN(weigh_row)(const int N, const vec *l, const ivec *there, vec *w, double *top)
{
    const vec zero = FN(set)(0.0), floor = FN(set)(EM_WEIGHT), least = FN(set)(-1.7976931348623157e308);
    vec most = FN(set)(-HUGE_VAL);
    ivec raised = {0};
    for (int v = 0; v < N; v++) most = FN(larger)(l[v], most); /* what is no number is not larger */
    most = FN(tops)(most);
    *top = most[0];
    if (__builtin_expect(!(*top > -HUGE_VAL), 0)) {
        EM_RARE;
        for (int v = 0; v < N; v++) w[v] = FN(select)(there[v], FN(set)(1.0), zero);
        return raised;
    }
    for (int v = 0; v < N; v++) {
        const vec p = FN(exp)(l[v] - most);
        const ivec possible = (ivec)(l[v] >= least), small = possible & (ivec)(p < floor);
        raised |= small;
        w[v] = FN(select)(small, floor, FN(select)(possible, p, zero));
    }
    return raised;
}

EM_INLINE ivec FN(weigh_rows)(const int N, const int K, ptrdiff_t m, const double *l, vec *w, double *top,
                              ivec *there, vec *row)
{
    const vec nothing = FN(set)(-HUGE_VAL);
    ivec raised = {0};
    for (int j = 0; j < N * VL; j++) there[j / VL][j % VL] = j < K ? -1 : 0;
    for (ptrdiff_t t = 0; t < m; t++) {
        if ((m - t) * K >= N * VL) /* the padding is what follows in memory */
            for (int v = 0; v < N; v++)
                row[v] = FN(select)(there[v], *(const FN(loose) *)(l + t * K + v * VL), nothing);
        else
            for (int j = 0; j < N * VL; j++) ((double *)row)[j] = j < K ? l[t * K + j] : -HUGE_VAL;
        raised |= FN(weigh_row)(N, row, there, w + t * N, top + t);
    }
    return raised;
}

/* m rows of densities to weights; whether any was raised. */
static int FN(weigh)(const FN(chain) *g, ptrdiff_t m, const double *l, vec *w, double *top)
{
    const int N = (int)g->N, K = (int)g->K;
    ivec there[8];
    vec row[8];
#define EM_CASE(n) case n: return FN(any)(FN(weigh_rows)(n, K, m, l, w, top, there, row))
    switch (N) {
    EM_CASE(1); EM_CASE(2); EM_CASE(3); EM_CASE(4);
    }
    if (N <= 8) return FN(any)(FN(weigh_rows)(N, K, m, l, w, top, there, row));
    ivec more_there[N];
    vec more[N];
    return FN(any)(FN(weigh_rows)(N, K, m, l, w, top, more_there, more));
#undef EM_CASE
}

/* From the sums of rows to the logarithms of what each added. */
static void FN(log_rows)(const FN(chain) *g, ptrdiff_t start, ptrdiff_t stop, double *rows)
{
    for (ptrdiff_t t = start; t < stop; t += VL) {
        const vec sum = *(const FN(loose) *)(g->sum + t), before = *(const FN(loose) *)(g->before + t);
        const vec added = FN(log)(sum / before);
        for (ptrdiff_t l = 0; l < VL && t + l < stop; l++) rows[t + l] += added[l];
    }
}

/* -------------------------------------------------------------- recursion */

/* y = c M for at most VL states, in the shortest chain. */
EM_INLINE vec FN(spread)(const int K, vec c, const vec *M)
{
    vec a = EM_LANE(c, 0) * M[0];
#define EM_ADD(s, i) if (K > i) s += EM_LANE(c, i) * M[i]
#if VL > 1
    EM_ADD(a, 1);
#endif
#if VL > 2
    if (K > 2) {
        vec b = EM_LANE(c, 2) * M[2];
        EM_ADD(b, 3);
        a += b;
    }
#endif
#if VL > 4
    if (K > 4) {
        vec b = EM_LANE(c, 4) * M[4], d = FN(set)(0.0);
        EM_ADD(b, 5);
        if (K > 6) d = EM_LANE(c, 6) * M[6];
        EM_ADD(d, 7);
        a += b + d;
    }
#endif
#undef EM_ADD
    return a;
}

/* y = c M, N vectors of it: as many sums at a time as hide the latency of each. */
EM_INLINE void FN(block)(const int N, ptrdiff_t K, ptrdiff_t step, const double *c, const vec *M, vec *y)
{
    const int sets = N >= 4 ? 1 : N == 3 ? 2 : 4;
    vec a[8];
    ptrdiff_t i = 0;
    for (int v = 0; v < sets * N; v++) a[v] = FN(set)(0.0);
    for (; i + sets <= K; i += sets)
        for (int s = 0; s < sets; s++) {
            const vec one = FN(set)(c[i + s]);
            for (int v = 0; v < N; v++) a[s * N + v] += one * M[(i + s) * step + v];
        }
    for (; i < K; i++) {
        const vec one = FN(set)(c[i]);
        for (int v = 0; v < N; v++) a[v] += one * M[i * step + v];
    }
    for (int v = 0; v < N; v++) {
        y[v] = a[v];
        if (sets > 1) y[v] += a[N + v];
        if (sets > 2) y[v] += a[2 * N + v] + a[3 * N + v];
    }
}

/* y = c M for any number of states. */
EM_INLINE void FN(product)(ptrdiff_t K, ptrdiff_t N, const vec *c, const vec *M, vec *y)
{
    ptrdiff_t v = 0;
    for (; v + 8 <= N; v += 8) FN(block)(8, K, N, (const double *)c, M + v, y + v);
    if (v + 4 <= N) {
        FN(block)(4, K, N, (const double *)c, M + v, y + v);
        v += 4;
    }
    for (; v + 2 <= N; v += 2) FN(block)(2, K, N, (const double *)c, M + v, y + v);
    if (v < N) FN(block)(1, K, N, (const double *)c, M + v, y + v);
}

/* The power of two that brings a small sum to where sums are; 0 if it fell too suddenly. */
EM_INLINE double FN(lift)(double sum, double sudden)
{
    union { double number; uint64_t bits; } x = {sum};
    x.bits = ((uint64_t)(1023 + 399 + 1023) << 52) - (x.bits & 0x7ff0000000000000);
    EM_RARE;
    return sum > sudden ? x.number : 0.0;
}

/* What is positive and below EM_LOW is seen, and raised to it if that is wanted. */
EM_INLINE vec FN(raise_small)(vec c, const int raise, ivec *seen)
{
    const vec low = FN(set)(EM_LOW);
    const ivec small = (ivec)(c > FN(set)(0.0)) & (ivec)(c < low);
    *seen |= small;
    return raise ? FN(select)(small, low, c) : c;
}

/* Rows of the recursion, N vectors each: out what they are with their own weights (forward) or without (backward,
 * from the last row). At most VL states, K of them, stay in registers: K = 0 if there are more. Entries below EM_LOW
 * are raised, or only seen: then the result is 1. */
EM_INLINE int FN(sweep)(const int K, const int N, const int forward, const int raise, const FN(chain) *g,
                        FN(hand) *h, ptrdiff_t start, ptrdiff_t m, vec *out)
{
    const vec *M = forward ? g->ahead : g->back, *w = g->w + start * N;
    double *sum = g->sum + start, *before = (forward ? g->before : g->lift) + start, scale = h->scale;
    vec R[8], few[8], room[8], *y = N <= 8 ? few : h->state, *x = N <= 8 ? room : h->c;
    ivec seen = {0};
    for (int i = 0; i < K; i++) R[i] = M[i];
    for (int v = 0; v < N; v++) y[v] = h->state[v];
    for (ptrdiff_t s = 0; s < m; s++) {
        const ptrdiff_t t = forward ? s : m - 1 - s;
        vec sums = FN(set)(0.0);
        for (int v = 0; v < N; v++) {
            x[v] = y[v];
            if (!forward) out[t * N + v] = x[v] = FN(raise_small)(x[v], raise, &seen);
            x[v] *= w[t * N + v];
            sums += x[v];
        }
        double total = FN(sums)(sums)[0], lift = 1.0;
        if (forward) {
            sum[t] = total;
            before[t] = scale;
        }
        if (__builtin_expect(total < EM_LEAST, 0)) {
            lift = FN(lift)(total, h->sudden);
            if (lift == 0.0) h->failed = 1;
            for (int v = 0; v < N; v++) x[v] *= FN(set)(lift);
            total *= lift;
        }
        if (!forward) before[t] = lift;
        scale = total;
        for (int v = 0; v < N; v++) {
            if (forward) out[t * N + v] = x[v] = FN(raise_small)(x[v], raise, &seen);
            if (!K) h->c[v] = x[v];
        }
        if (K) y[0] = FN(spread)(K, x[0], R);
        else if (N <= 8) FN(block)(N, g->K, N, (const double *)h->c, M, y);
        else FN(product)(g->K, N, h->c, M, y);
    }
    for (int v = 0; v < N; v++) h->state[v] = y[v];
    h->scale = scale;
    return FN(any)(seen);
}

EM_INLINE int FN(sweep_any)(const int forward, const int raise, const FN(chain) *g, FN(hand) *h, ptrdiff_t start,
                            ptrdiff_t m, vec *out)
{
#define EM_FEW(k) case k: return FN(sweep)(k, 1, forward, raise, g, h, start, m, out)
#define EM_MANY(n) case n: return FN(sweep)(0, n, forward, raise, g, h, start, m, out)
    switch (g->K) {
#if VL == 8
    EM_FEW(5); EM_FEW(6); EM_FEW(7); EM_FEW(8);
#else
    EM_FEW(1); EM_FEW(2);
#endif
#if VL == 4
    EM_FEW(3); EM_FEW(4);
#endif
    }
    switch (g->N) {
    EM_MANY(2); EM_MANY(3); EM_MANY(4); EM_MANY(5); EM_MANY(6); EM_MANY(7); EM_MANY(8);
    }
    return FN(sweep)(0, (int)g->N, forward, raise, g, h, start, m, out);
#undef EM_FEW
#undef EM_MANY
}

/* Some rows; whether something was raised. The first try, off the critical path, sees whether it must be. */
EM_INLINE int FN(rows)(const int forward, const FN(chain) *g, FN(hand) *h, ptrdiff_t start, ptrdiff_t m, vec *out)
{
    const double scale = h->scale;
    const int failed = h->failed;
    memcpy(h->saved, h->state, (size_t)g->Kp * 8);
    if (!FN(sweep_any)(forward, 0, g, h, start, m, out)) return 0;
    memcpy(h->state, h->saved, (size_t)g->Kp * 8);
    h->scale = scale;
    h->failed = failed;
    FN(sweep_any)(forward, 1, g, h, start, m, out);
    return 1;
}

static int FN(forward)(const FN(chain) *g, FN(hand) *h, ptrdiff_t start, ptrdiff_t m, vec *out)
{
    return FN(rows)(1, g, h, start, m, out);
}

static int FN(backward)(const FN(chain) *g, FN(hand) *h, ptrdiff_t start, ptrdiff_t m, vec *out)
{
    return FN(rows)(0, g, h, start, m, out);
}

static int FN(any_raised)(ptrdiff_t size, const vec *w)
{
    ivec raised = {0};
    for (ptrdiff_t v = 0; v < size; v++)
        raised |= (ivec)(w[v] > FN(set)(0.0)) & (ivec)(w[v] <= FN(set)(EM_WEIGHT));
    return FN(any)(raised);
}

/* The share of raised places in rows that went forward; the chain has failed where it is not negligible. */
static void FN(doubt)(const FN(chain) *g, FN(hand) *h, ptrdiff_t start, ptrdiff_t m, const vec *out)
{
    const ptrdiff_t N = g->N;
    const vec low = FN(set)(EM_LOW), floor = FN(set)(EM_WEIGHT), zero = FN(set)(0.0);
    if (!h->doubtful) memset(h->raised, 0, (size_t)g->Kp * 8);
    h->doubtful = 1;
    for (ptrdiff_t t = start; t < start + m; t++) {
        const double total = t + 1 < start + m ? g->before[t + 1] : h->scale;
        const vec lift = FN(set)(total / g->sum[t]), *w = g->w + t * N, *a = out + (t - start) * N;
        vec share = zero;
        for (ptrdiff_t v = 0; v < N; v++) {
            const ivec raised = (ivec)(a[v] <= low) | (ivec)(w[v] <= floor);
            h->c[v] = FN(select)(raised, a[v], h->raised[v] * w[v] * lift);
            share += h->c[v];
        }
        if (!(FN(sums)(share)[0] <= EM_NEGLIGIBLE * total)) h->failed = 1;
        FN(product)(g->K, N, h->c, g->ahead, h->raised);
    }
}

/* Some rows forward, and whether they can be believed. */
static void FN(ahead)(const FN(chain) *g, FN(hand) *h, ptrdiff_t start, ptrdiff_t m, vec *out)
{
    const int small = FN(forward)(g, h, start, m, out);
    if (h->first && g->sum[start] < EM_UNLIKELY) h->failed = 1;
    h->first = 0;
    if (!g->dense && (h->doubtful || small || FN(any_raised)(m * g->N, g->w + start * g->N)))
        FN(doubt)(g, h, start, m, out);
}

/* -------------------------------------------------------------- posteriors */

/* Rows `alpha` and `beta` to posteriors, u (alpha over the row's total) and v (backward with the row's weights). */
EM_INLINE void FN(join_rows)(const int N, ptrdiff_t m, const vec *alpha, const vec *beta, const vec *w,
                             const double *lift, double weight, FN(hand) *h)
{
    const vec low = FN(set)(EM_LOW), floor = FN(set)(EM_WEIGHT), zero = FN(set)(0.0);
    vec lost = zero;
    int contrary = 0;
    for (ptrdiff_t t = 0; t < m; t++) {
        const vec *a = alpha + t * N, *b = beta + t * N, *q = w + t * N;
        vec total = zero;
        for (int v = 0; v < N; v++) total += a[v] * b[v];
        total = FN(sums)(total);
        contrary |= !(total[0] >= EM_CONTRARY);
        const vec inverse = FN(set)(1.0) / total, scaled = inverse * FN(set)(weight), up = FN(set)(lift[t]);
        for (int v = 0; v < N; v++) {
            const vec p = a[v] * b[v] * inverse;
            lost += FN(select)((ivec)(a[v] <= low) | (ivec)(b[v] <= low) | (ivec)(q[v] <= floor), p, zero);
            h->gamma[t * N + v] = p * FN(set)(weight);
            h->u[t * N + v] = a[v] * scaled;
            h->v[t * N + v] = q[v] * b[v] * up;
        }
    }
    h->lost += FN(sums)(lost)[0];
    h->failed |= contrary;
}

static void FN(join)(const FN(chain) *g, FN(hand) *h, ptrdiff_t start, ptrdiff_t m, const vec *alpha, const vec *beta,
                     double weight)
{
    const vec *w = g->w + start * g->N;
    const double *lift = g->lift + start;
    switch (g->N) {
    case 1: FN(join_rows)(1, m, alpha, beta, w, lift, weight, h); return;
    case 2: FN(join_rows)(2, m, alpha, beta, w, lift, weight, h); return;
    case 3: FN(join_rows)(3, m, alpha, beta, w, lift, weight, h); return;
    }
    FN(join_rows)((int)g->N, m, alpha, beta, w, lift, weight, h);
}

/* Sums of u' v, some rows of the sum in registers. */
EM_INLINE void FN(outer_few)(const int K, ptrdiff_t m, const vec *u, const vec *v, vec *pairs)
{
    vec a[8];
    for (int i = 0; i < K; i++) a[i] = pairs[i];
    for (ptrdiff_t t = 0; t < m; t++) {
        const double *c = (const double *)(u + t);
        for (int i = 0; i < K; i++) a[i] += FN(set)(c[i]) * v[t];
    }
    for (int i = 0; i < K; i++) pairs[i] = a[i];
}

EM_INLINE void FN(outer_block)(const int B, ptrdiff_t N, ptrdiff_t m, const double *u, const vec *v, vec *pairs)
{
    vec a[4][3];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < B; j++) a[i][j] = pairs[i * N + j];
    for (ptrdiff_t t = 0; t < m; t++)
        for (int i = 0; i < 4; i++) {
            const vec c = FN(set)(u[t * N * VL + i]);
            for (int j = 0; j < B; j++) a[i][j] += c * v[t * N + j];
        }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < B; j++) pairs[i * N + j] = a[i][j];
}

/* h->pairs gains u[t]' v[t + 1] for m pairs of rows. */
static void FN(outer)(const FN(chain) *g, FN(hand) *h, ptrdiff_t m)
{
    const ptrdiff_t N = g->N;
    const vec *v = h->v + N;
    vec *pairs = (vec *)h->pairs;
#define EM_CASE(k) case k: FN(outer_few)(k, m, h->u, v, pairs); return
    switch (g->K) {
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
    for (ptrdiff_t i = 0; i < g->K; i += 4) { /* the rows beyond K are never read */
        const double *u = (const double *)h->u + i;
        ptrdiff_t j = 0;
        for (; j + 3 <= N; j += 3) FN(outer_block)(3, N, m, u, v + j, pairs + i * N + j);
        if (N - j == 2) FN(outer_block)(2, N, m, u, v + j, pairs + i * N + j);
        if (N - j == 1) FN(outer_block)(1, N, m, u, v + j, pairs + i * N + j);
    }
}

EM_INLINE void FN(swap_rows)(const int K, const int Kp, ptrdiff_t m, double *table, const double *gamma, double *store)
{
    for (ptrdiff_t t = 0; t < m; t++)
        for (int k = 0; k < K; k++) {
            store[t * Kp + k] = table[t * K + k];
            table[t * K + k] = gamma[t * Kp + k];
        }
}

/* Posteriors into the table, densities into the store: a unit may yet have to be done again. */
static void FN(swap)(const FN(chain) *g, const FN(hand) *h, ptrdiff_t start, ptrdiff_t m, double *table)
{
    double *store = (double *)(g->store + start * g->N);
    const double *gamma = (const double *)h->gamma;
    table += start * g->K;
#define EM_CASE(k) case k: FN(swap_rows)(k, (k + VL - 1) / VL * VL, m, table, gamma, store); return
    switch (g->K) {
    EM_CASE(2); EM_CASE(3); EM_CASE(4); EM_CASE(5); EM_CASE(6); EM_CASE(7); EM_CASE(8);
    }
#undef EM_CASE
    FN(swap_rows)((int)g->K, (int)g->Kp, m, table, gamma, store);
}

static void FN(restore)(const FN(chain) *g, ptrdiff_t start, ptrdiff_t stop, double *table)
{
    const double *store = (const double *)g->store;
    for (ptrdiff_t t = start; t < stop; t++) memcpy(table + t * g->K, store + t * g->Kp, (size_t)g->K * 8);
}

static void FN(begin)(const FN(chain) *g, FN(hand) *h, int forward)
{
    memcpy(h->state, forward ? g->start : g->end, (size_t)g->Kp * 8);
    h->scale = EM_MOST;
    h->first = 1;
    h->doubtful = 0;
}

/* Rows forward into the store; 0 if all went well. */
static int FN(forward_rows)(const FN(chain) *g, FN(hand) *h, ptrdiff_t start, ptrdiff_t stop)
{
    for (ptrdiff_t t = start; t < stop && !h->failed; t += EM_TILE)
        FN(ahead)(g, h, t, em_less(EM_TILE, stop - t), g->store + t * g->N);
    return h->failed;
}

/* Rows backward and joined with forward from the store; h->v[0] is that of row `stop`, if `more` follow. */
static int FN(smooth_rows)(const FN(chain) *g, FN(hand) *h, ptrdiff_t start, ptrdiff_t stop, int more, double weight,
                           double *table)
{
    const ptrdiff_t N = g->N;
    const size_t square = (size_t)((g->K + 3) / 4 * 4 * g->Kp) * 8;
    const int once = stop - start <= EM_TILE;
    if (!once) memcpy(h->backup, h->pairs, square);
    for (ptrdiff_t last = stop; last > start;) {
        const ptrdiff_t m = em_less(EM_TILE, last - start), t = last - m;
        memcpy(h->v + m * N, h->v, (size_t)N * sizeof(vec));
        FN(backward)(g, h, t, m, h->tile);
        FN(join)(g, h, t, m, g->store + t * N, h->tile, weight);
        if (once && (h->failed || h->lost > EM_NEGLIGIBLE)) return 1;
        FN(outer)(g, h, last == stop && !more ? m - 1 : m);
        FN(swap)(g, h, t, m, table);
        last = t;
    }
    if (!h->failed && h->lost <= EM_NEGLIGIBLE) return 0;
    if (!once) memcpy(h->pairs, h->backup, square);
    FN(restore)(g, start, stop, table);
    return 1;
}

#include "chain_wide.h"
#include "chain_paths.h"
#include "chain_units.h"
