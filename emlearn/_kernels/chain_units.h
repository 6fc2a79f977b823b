/* What is called: posterior, its two halves for two threads, and filter. No include guard. */

/* Units `from` to `to`, whose first row is `begin`. */
static int FN(batch)(FN(chain) *g, FN(hand) *h, ptrdiff_t from, ptrdiff_t to, ptrdiff_t begin,
                     const double *unit_weight, double *first)
{
    const ptrdiff_t K = g->K, *ends = g->data.ends, m = ends[to - 1] - begin;
    double *table = g->data.table + begin * K, *rows = g->data.rows + begin;
    FN(weigh)(g, m, table, g->w, rows);
    for (ptrdiff_t s = from, t = 0; s < to; t = ends[s++] - begin) {
        h->failed = 0;
        FN(begin)(g, h, 1);
        FN(forward_rows)(g, h, t, ends[s] - begin);
        if (h->failed) g->sum[t] = 0.0; /* remembered: no sum of a row that went well */
    }
    for (ptrdiff_t s = from, t = 0; s < to; t = ends[s++] - begin) {
        const ptrdiff_t stop = ends[s] - begin;
        const double weight = unit_weight ? unit_weight[s] : 1.0;
        int failed = g->sum[t] == 0.0;
        h->failed = 0;
        h->lost = 0.0;
        if (!failed) {
            FN(begin)(g, h, 0);
            failed = FN(smooth_rows)(g, h, t, stop, 0, weight, table);
        }
        if (!failed) FN(log_rows)(g, t, stop, rows);
        else if (FN(wide_unit)(g, h, t, stop, weight, table, rows)) return -1;
        for (ptrdiff_t k = 0; k < K; k++) first[k] += table[t * K + k];
    }
    return 0;
}

/* Add what a hand has summed over pairs of rows. */
static void FN(add_pairs)(const FN(chain) *g, const FN(hand) *h, double *xi)
{
    for (ptrdiff_t i = 0; i < g->K; i++)
        for (ptrdiff_t j = 0; j < g->K; j++) {
            const double p = g->markov.transmat[i * g->K + j];
            if (p > 0.0) xi[i * g->K + j] += p * h->pairs[i * g->Kp + j] + h->wide[i * g->Kp + j];
        }
}

static ptrdiff_t FN(longest)(const em_sequences *data)
{
    ptrdiff_t longest = 1;
    for (ptrdiff_t s = 0; s < data->n_units; s++)
        longest = em_more(longest, data->ends[s] - (s ? data->ends[s - 1] : 0));
    return longest;
}

/* Units in batches, so that what is done to rows whatever their unit is done to many at a time. */
static int FN(posterior)(const em_markov *markov, const em_sequences *data, const double *unit_weight, double *xi,
                         double *first)
{
    const ptrdiff_t few = em_less(4 * EM_TILE, data->n);
    FN(chain) *g = FN(make)(markov, data, em_more(FN(longest)(data), few), 1, NULL);
    if (!g) return -1;
    FN(hand) *h = (FN(hand) *)g->hands[0];
    int error = 0;
    for (ptrdiff_t s = 0, begin = 0; s < data->n_units && !error;) {
        const ptrdiff_t from = s++;
        while (s < data->n_units && data->ends[s] - begin <= few) s++;
        error = FN(batch)(g, h, from, s, begin, unit_weight, first);
        begin = data->ends[s - 1];
    }
    FN(add_pairs)(g, h, xi);
    FN(close)(g);
    return error;
}

/* ------------------------------------------------------ a unit in two halves */

/* Each of two threads takes a direction, and half of the rows at a time: the second time it meets what the other
 * has stored the first time. */
static size_t FN(room)(const em_markov *markov, const em_sequences *data)
{
    return FN(bytes)(markov, data, data->n, 2);
}

static void *FN(open)(const em_markov *markov, const em_sequences *data, double weight, void *memory)
{
    FN(chain) *g = FN(make)(markov, data, data->n, 2, memory);
    if (!g) return NULL;
    g->weight = weight;
    g->half = data->n / 2;
    return g;
}

/* The v of a row: its weights, and what follows. */
static void FN(follow)(const FN(chain) *g, ptrdiff_t t, vec *v)
{
    for (ptrdiff_t j = 0; j < g->N; j++)
        v[j] = g->w[t * g->N + j] * g->store[t * g->N + j] * FN(set)(g->lift[t]);
}

/* The second half forward, joined with backward from the store. */
static void FN(smooth_ahead)(FN(chain) *g, FN(hand) *h)
{
    const ptrdiff_t N = g->N, n = g->data.n;
    ptrdiff_t t = g->half;
    for (; t < n && !h->failed; t += EM_TILE) {
        const ptrdiff_t m = em_less(EM_TILE, n - t);
        FN(ahead)(g, h, t, m, h->tile);
        FN(join)(g, h, t, m, h->tile, g->store + t * N, g->weight);
        if (t + m < n) FN(follow)(g, t + m, h->v + m * N);
        FN(outer)(g, h, t + m < n ? m : m - 1);
        FN(swap)(g, h, t, m, g->data.table);
    }
    FN(log_rows)(g, g->half, n, g->data.rows);
    if (!h->failed && h->lost <= EM_NEGLIGIBLE) h->swapped = 1;
    else FN(restore)(g, g->half, em_less(t, n), g->data.table);
}

/* First time (again = 0) and second time of forward (late = 0) and backward; whether it failed. */
static int FN(part)(void *chain, int late, int again)
{
    FN(chain) *g = (FN(chain) *)chain;
    FN(hand) *h = (FN(hand) *)g->hands[late];
    const ptrdiff_t start = late ? g->half : 0, stop = late ? g->data.n : g->half;
    if (again) {
        if (!late) FN(smooth_ahead)(g, h);
        else h->swapped = !FN(smooth_rows)(g, h, 0, g->half, 1, g->weight, g->data.table);
        return !h->swapped;
    }
    FN(weigh)(g, stop - start, g->data.table + start * g->K, g->w + start * g->N, g->data.rows + start);
    FN(begin)(g, h, !late);
    if (!late) {
        if (!FN(forward_rows)(g, h, start, stop)) FN(log_rows)(g, start, stop, g->data.rows);
        return h->failed;
    }
    for (ptrdiff_t last = stop; last > start && !h->failed;) {
        const ptrdiff_t m = em_less(EM_TILE, last - start);
        last -= m;
        FN(backward)(g, h, last, m, g->store + last * g->N);
    }
    FN(follow)(g, start, h->v);
    return h->failed;
}

/* After both: the sums; if either failed, all again. */
static int FN(finish)(void *chain, double *xi, double *first)
{
    FN(chain) *g = (FN(chain) *)chain;
    FN(hand) *one = (FN(hand) *)g->hands[0], *two = (FN(hand) *)g->hands[1];
    int error = 0;
    if (!one->swapped || !two->swapped) {
        const size_t square = (size_t)((g->K + 3) / 4 * 4 * g->Kp) * 8;
        if (one->swapped) FN(restore)(g, g->half, g->data.n, g->data.table);
        if (two->swapped) FN(restore)(g, 0, g->half, g->data.table);
        memset(one->pairs, 0, square);
        memset(two->pairs, 0, square);
        error = FN(wide_unit)(g, one, 0, g->data.n, g->weight, g->data.table, g->data.rows);
    }
    FN(add_pairs)(g, one, xi);
    FN(add_pairs)(g, two, xi);
    memcpy(first, g->data.table, (size_t)g->K * 8);
    return error;
}

/* ----------------------------------------------------------------- filter */

/* Where a row of a unit is: after `last`, forward of the row before, unless it is the first or that was wide. */
typedef struct {
    vec *last;
    double sum;                /* of a wide row */
    int first, wide;
} FN(place);

/* x->p from the row before. */
static void FN(predict_wide)(const FN(chain) *g, FN(wide) *x, FN(place) *place)
{
    const size_t row = (size_t)g->Kp * 8;
    if (place->first) {
        memcpy(x->p.m, x->start.m, row);
        memcpy(x->p.e, x->start.e, row);
        place->sum = 1.0;
        return;
    }
    if (!place->wide) {
        for (ptrdiff_t v = 0; v < g->N; v++) FN(split)(place->last[v], &x->a.m[v], &x->a.e[v]);
        FN(level)(g->N, x->a, &place->sum);
    }
    FN(wide_product)(g->K, g->N, x->a, x->ahead, x->p);
}

/* Back from wide numbers, if all are near enough to each other. */
static void FN(narrow)(const FN(chain) *g, const FN(wide) *x, FN(hand) *h, FN(place) *place)
{
    vec sum = FN(set)(0.0);
    place->wide = 1;
    for (ptrdiff_t v = 0; v < g->N; v++)
        if (FN(any)((ivec)(x->a.m[v] > FN(set)(0.0)) & (ivec)(x->a.e[v] < FN(set)(-300.0)))) return;
    for (ptrdiff_t v = 0; v < g->N; v++) {
        place->last[v] = x->a.m[v] * FN(power)(x->a.e[v]) * FN(set)(EM_MOST / 1024);
        sum += place->last[v];
    }
    place->wide = 0;
    h->scale = FN(sums)(sum)[0];
    FN(product)(g->K, g->N, place->last, g->ahead, h->state);
}

/* Forward of some rows to probabilities; `scale` is the sum of the last. */
EM_INLINE void FN(normalise_rows)(const int K, const FN(chain) *g, ptrdiff_t start, ptrdiff_t m, double scale,
                                  double *table)
{
    const double *a = (const double *)(g->store + start * g->N), *before = g->before + start;
    for (ptrdiff_t t = 0; t < m; t++) {
        const double inverse = 1.0 / (t + 1 < m ? before[t + 1] : scale);
        for (int k = 0; k < K; k++) table[t * K + k] = a[t * g->Kp + k] * inverse;
    }
}

static void FN(normalise)(const FN(chain) *g, ptrdiff_t start, ptrdiff_t m, double scale, double *table)
{
#define EM_CASE(k) case k: FN(normalise_rows)(k, g, start, m, scale, table); return
    switch (g->K) {
    EM_CASE(2); EM_CASE(3); EM_CASE(4); EM_CASE(5); EM_CASE(6); EM_CASE(7); EM_CASE(8);
    }
#undef EM_CASE
    FN(normalise_rows)((int)g->K, g, start, m, scale, table);
}

/* Row t of the tile by itself. What it becomes depends on the rows before it alone. */
static void FN(filter_row)(const FN(chain) *g, FN(hand) *h, ptrdiff_t t, double *table, double *rows, FN(place) *place)
{
    const ptrdiff_t N = g->N, K = g->K;
    FN(wide) *x = g->wide;
    if (!place->wide) {
        const int raised = FN(weigh)(g, 1, table + t * K, g->w + t * N, rows + t);
        h->failed = 0;
        const int small = FN(forward)(g, h, t, 1, g->store + t * N);
        const int contrary = place->first && g->sum[t] < EM_UNLIKELY;
        if (!h->failed && !contrary && (g->dense || !(small || raised))) {
            memcpy(place->last, g->store + t * N, (size_t)g->Kp * 8);
            FN(normalise)(g, t, 1, h->scale, table + t * K);
            FN(log_rows)(g, t, t + 1, rows);
            place->first = 0;
            return;
        }
    }
    FN(predict_wide)(g, x, place);
    rows[t] = FN(wide_forward)(g, x, table + t * K, &place->sum);
    for (ptrdiff_t v = 0; v < N; v++) {
        const vec p = x->a.m[v] * FN(power)(x->a.e[v]) / FN(set)(place->sum);
        for (ptrdiff_t l = 0; l < VL && v * VL + l < K; l++) table[t * K + v * VL + l] = p[l];
    }
    FN(narrow)(g, x, h, place);
    place->first = 0;
}

static int FN(filter_tile)(FN(chain) *g, FN(hand) *h, ptrdiff_t m, double *table, double *rows, FN(place) *place)
{
    const ptrdiff_t N = g->N;
    if (!place->wide) {
        const int raised = FN(weigh)(g, m, table, g->w, rows);
        const double scale = h->scale;
        memcpy(h->backup, h->state, (size_t)g->Kp * 8);
        h->failed = 0;
        if (g->dense || !raised) {
            const int small = FN(forward)(g, h, 0, m, g->store);
            const int contrary = place->first && g->sum[0] < EM_UNLIKELY;
            if (!h->failed && !contrary && (g->dense || !small)) {
                FN(normalise)(g, 0, m, h->scale, table);
                FN(log_rows)(g, 0, m, rows);
                memcpy(place->last, g->store + (m - 1) * N, (size_t)g->Kp * 8);
                place->first = 0;
                return 0;
            }
        }
        memcpy(h->state, h->backup, (size_t)g->Kp * 8);
        h->scale = scale;
    }
    if (FN(widen)(g)) return -1;
    for (ptrdiff_t t = 0; t < m; t++) FN(filter_row)(g, h, t, table, rows, place);
    return 0;
}

static int FN(filter)(const em_markov *markov, const em_sequences *data)
{
    FN(chain) *g = FN(make)(markov, data, EM_TILE + 1, 1, NULL);
    if (!g) return -1;
    FN(hand) *h = (FN(hand) *)g->hands[0];
    FN(place) place = {h->gamma, 0.0, 0, 0};
    int error = 0;
    for (ptrdiff_t s = 0, begin = 0; s < data->n_units && !error; begin = data->ends[s++]) {
        FN(begin)(g, h, 1);
        place.first = 1;
        place.wide = 0;
        for (ptrdiff_t t = begin; t < data->ends[s] && !error; t += EM_TILE)
            error = FN(filter_tile)(g, h, em_less(EM_TILE, data->ends[s] - t), data->table + t * g->K,
                                    data->rows + t, &place);
    }
    FN(close)(g);
    return error;
}

#undef FN
#undef vec
#undef ivec
#undef EM_HALF
#undef EM_QUARTER
#undef EM_PAIR
#undef EM_LANE
