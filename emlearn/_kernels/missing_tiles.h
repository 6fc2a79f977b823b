/* The tiles of rows with missing cells, once for each instruction set: included by missing_kernel.h with VL and
 * EM_ISA defined, after gaussian_tiles.h was. No include guard.
 */
#define FN(name) EM_JOIN(em_##name##_, EM_ISA)
#define vec FN(vec)
#define ivec FN(ivec)
#define TRI(i) ((i) * ((i) + 1) / 2)

typedef struct {
    FN(scratch) g;                      /* rows, deviations, table, packed factors, sums: as of complete rows */
    ptrdiff_t rows;                     /* of a full tile */
    int32_t *missing, *seen;            /* (rows, d) numbers of the cells of each kind */
    int32_t *n_missing, *n_seen;        /* (rows,); a row without any cell has none of both */
    ptrdiff_t *M, *O;                   /* (T,) the most of a vector's rows */
    ptrdiff_t *at_factor, *at_given;    /* (T,) where a vector's matrices are stored */
    int *by_observed, *uniform, *same;  /* (T,) the side; whether rows have one pattern; that of the vector before */
    ptrdiff_t n_given;                  /* vectors of a component's given matrices, in this tile */
    double *precisions, *covariances;   /* packed (K or 1, panels of 4 columns) */
    vec *counts;                        /* (S,) observed cells */
    vec *half, *distance, *log_pivots;  /* (S,) */
    vec *expected;                      /* (K, dp, S) deviations with the expected ones of missing cells */
    vec *factor, *pivot;                /* of each vector: unit lower triangles, and inverses of the pivots */
    vec *given;                         /* of each component and vector: covariances given what is observed */
    vec *work;                          /* (M, O) and a row */
    vec *shares, *filled;               /* (K, S), (dp, S) */
    vec *first;                         /* (dp, S) deviations from the first of several means, of one covariance */
    double *pulls;                      /* (K, d) products of the means, less the first one, with the precision */
    double *extra, *gone;               /* (K, d, d) or (K, d): what is left of the variance; (K,) rows without a cell */
} FN(hidden);

/* ---------------------------------------------------------- small matrices */

/* A packed lower triangle becomes L D L', the pivots' inverses apart. */
EM_INLINE void FN(small_factor)(vec *A, vec *inverse, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        vec *row = A + TRI(i);
        vec pivot = row[i];
        const vec least = pivot * FN(set)(2.220446049250313e-16);
        for (ptrdiff_t j = 1; j < i; j++) {
            const vec *other = A + TRI(j);
            vec t = row[j];
            for (ptrdiff_t l = 0; l < j; l++) t -= row[l] * other[l];
            row[j] = t;
        }
        for (ptrdiff_t j = 0; j < i; j++) {
            const vec t = row[j];
            row[j] = t * inverse[j];
            pivot -= t * row[j];
        }
        row[i] = FN(max)(pivot, least);
        inverse[i] = FN(set)(1.0) / row[i];
    }
}

EM_INLINE void FN(small_forward)(const vec *L, ptrdiff_t n, vec *x)
{
    for (ptrdiff_t i = 1; i < n; i++) {
        const vec *row = L + TRI(i);
        vec t = x[i];
        for (ptrdiff_t l = 0; l < i; l++) t -= row[l] * x[l];
        x[i] = t;
    }
}

EM_INLINE void FN(small_backward)(const vec *L, ptrdiff_t n, vec *x)
{
    for (ptrdiff_t i = n - 1; i > 0; i--) {
        const vec *row = L + TRI(i), t = x[i];
        for (ptrdiff_t l = 0; l < i; l++) x[l] -= row[l] * t;
    }
}

/* Logarithm of the product of the pivots: mantissas multiply, exponents add. */
EM_INLINE vec FN(log_pivots)(const vec *L, ptrdiff_t n)
{
    const ivec fraction = (ivec)FN(set)(0.0) + 0x000fffffffffffffLL, one = (ivec)FN(set)(1.0);
    vec product = FN(set)(1.0), power = {0};
    for (ptrdiff_t i = 0; i < n; i++) {
        const ivec bits = (ivec)L[TRI(i) + i];
        /* the exponent, put into the low bits of 2**52 */
        const ivec e = ((bits & ~fraction) >> 52) | (ivec)FN(set)(4503599627370496.0);
        power += (vec)e - FN(set)(4503599627370496.0 + 1023.0);
        product *= (vec)((bits & fraction) | one);
        if ((i & 511) == 511) {
            power += FN(log)(product) * FN(set)(1.4426950408889634074);
            product = FN(set)(1.0);
        }
    }
    return power * FN(set)(0.69314718055994530942) + FN(log)(product);
}

/* The inverse of L D L', packed. */
EM_INLINE void FN(small_inverse)(const vec *L, const vec *inverse, ptrdiff_t n, vec *out, vec *work)
{
    for (ptrdiff_t i = 0; i < n; i++) { /* inv(L) */
        const vec *row = L + TRI(i);
        vec *o = out + TRI(i);
        for (ptrdiff_t j = 0; j < i; j++) {
            vec t = -row[j];
            for (ptrdiff_t l = j + 1; l < i; l++) t -= row[l] * out[TRI(l) + j];
            o[j] = t;
        }
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        vec *o = out + TRI(i);
        vec t = inverse[i];
        for (ptrdiff_t l = i + 1; l < n; l++) {
            work[l] = out[TRI(l) + i] * inverse[l];
            t += work[l] * out[TRI(l) + i];
        }
        for (ptrdiff_t j = 0; j < i; j++) {
            vec u = o[j] * inverse[i];
            for (ptrdiff_t l = i + 1; l < n; l++) u += work[l] * out[TRI(l) + j];
            o[j] = u;
        }
        o[i] = t;
    }
}

/* Rows and columns of a matrix that each lane wants, packed; the identity where a lane has fewer. */
EM_INLINE void FN(gather)(const double *matrix, ptrdiff_t d, const int32_t *cells, const int32_t *n_cells, ptrdiff_t n,
                          vec *out)
{
    double *o = (double *)out;
    for (ptrdiff_t l = 0; l < VL; l++) {
        const int32_t *cell = cells + l * d;
        const ptrdiff_t m = n_cells[l];
        for (ptrdiff_t a = 0; a < m; a++) {
            const double *row = matrix + cell[a] * d;
            for (ptrdiff_t b = 0; b <= a; b++) o[(TRI(a) + b) * VL + l] = row[cell[b]];
        }
        for (ptrdiff_t a = m; a < n; a++) {
            for (ptrdiff_t b = 0; b < a; b++) o[(TRI(a) + b) * VL + l] = 0.0;
            o[(TRI(a) + a) * VL + l] = 1.0;
        }
    }
}

/* Those cells of each row that are listed, from a table (d, S) of features; 0 where a lane has fewer. */
EM_INLINE void FN(take)(const vec *table, ptrdiff_t S, ptrdiff_t d, const int32_t *cells, const int32_t *n_cells,
                        ptrdiff_t n, vec *out)
{
    double *o = (double *)out;
    const double *t = (const double *)table;
    for (ptrdiff_t l = 0; l < VL; l++) {
        const ptrdiff_t m = n_cells[l];
        for (ptrdiff_t a = 0; a < m; a++) o[a * VL + l] = t[cells[l * d + a] * S * VL + l];
        for (ptrdiff_t a = m; a < n; a++) o[a * VL + l] = 0.0;
    }
}
EM_INLINE void FN(put)(const vec *values, ptrdiff_t S, ptrdiff_t d, const int32_t *cells, const int32_t *n_cells,
                       double sign, vec *table)
{
    const double *o = (const double *)values;
    double *t = (double *)table;
    for (ptrdiff_t l = 0; l < VL; l++)
        for (ptrdiff_t a = 0; a < n_cells[l]; a++) t[cells[l * d + a] * S * VL + l] = sign * o[a * VL + l];
}

/* ------------------------------------------------------------------- tiles */

/* Which cells of the tile's rows are there, which side each pair of vectors takes, what is like the vector before. */
EM_INLINE void FN(find)(const em_hidden *m, FN(hidden) *s)
{
    const ptrdiff_t d = m->d, S = s->g.S, nv = s->g.nv;
    for (ptrdiff_t r = 0; r < nv * VL; r++) {
        const double *x = (const double *)s->g.x + r;
        int32_t *missing = s->missing + r * d, *seen = s->seen + r * d, n = 0;
        for (ptrdiff_t j = 0; j < d; j++) {
            const double value = x[j * S * VL];
            missing[n] = seen[j - n] = (int32_t)j;
            n += value != value;
        }
        s->n_seen[r] = (int32_t)d - n;
        s->n_missing[r] = n < d ? n : 0;
    }
    s->n_given = 0;
    if (!m->precisions) {
        for (ptrdiff_t r = 0; r < nv * VL; r++) ((double *)s->counts)[r] = s->n_seen[r];
        return;
    }
    ptrdiff_t factor = 0, given = 0;
    for (ptrdiff_t v = 0; v < nv; v++) {
        ptrdiff_t M = 0, O = 0;
        int uniform = 1;
        for (ptrdiff_t r = v * VL; r < (v + 1) * VL; r++) {
            if (s->n_missing[r] > M) M = s->n_missing[r];
            if (s->n_seen[r] > O) O = s->n_seen[r];
            uniform &= s->n_missing[r] == s->n_missing[v * VL] && s->n_seen[r] == s->n_seen[v * VL];
            ((double *)(s->counts + v))[r - v * VL] = s->n_seen[r];
        }
        for (ptrdiff_t r = v * VL + 1; uniform && r < (v + 1) * VL; r++)
            uniform = !memcmp(s->missing + r * d, s->missing + v * VL * d,
                              (size_t)s->n_missing[r] * sizeof(int32_t));
        s->M[v] = M;
        s->O[v] = O;
        s->uniform[v] = uniform;
    }
    for (ptrdiff_t v = 0; v < nv; v++) {
        const ptrdiff_t a = v & ~(ptrdiff_t)1, b = a + 1;
        s->by_observed[v] = em_by_observed(s->M[a] > s->M[b] ? s->M[a] : s->M[b], s->O[a] > s->O[b] ? s->O[a] : s->O[b]);
        const ptrdiff_t r = v * VL, before = r - VL;
        s->same[v] = v > 0 && s->uniform[v] && s->uniform[v - 1] && s->by_observed[v] == s->by_observed[v - 1] &&
                     s->n_missing[r] == s->n_missing[before] && s->n_seen[r] == s->n_seen[before] &&
                     !memcmp(s->missing + r * d, s->missing + before * d, (size_t)s->n_missing[r] * sizeof(int32_t));
        if (s->same[v]) {
            s->at_factor[v] = s->at_factor[v - 1];
            s->at_given[v] = s->at_given[v - 1];
            continue;
        }
        s->at_factor[v] = factor;
        s->at_given[v] = given;
        factor += TRI(s->by_observed[v] ? s->O[v] : s->M[v]);
        given += TRI(s->M[v]);
    }
    s->n_given = given;
}

/* u = M y for a symmetric matrix in panels of four columns, two vectors of rows at a time */
EM_INLINE void FN(product)(const FN(scratch) *s, const double *panel, ptrdiff_t v)
{
    for (ptrdiff_t j = 0; j < s->d; j += 4) {
        EM_WHITEN(panel, s->d)
        vec *u = s->u + j * s->S + v;
        u[0] = a0; u[s->S] = a1; u[2 * s->S] = a2; u[3 * s->S] = a3;
        u[1] = b0; u[s->S + 1] = b1; u[2 * s->S + 1] = b2; u[3 * s->S + 1] = b3;
    }
}
EM_INLINE ptrdiff_t FN(square_size)(ptrdiff_t d) { return (d + 3) / 4 * 4 * d; }
EM_INLINE void FN(pack_square)(const double *matrix, ptrdiff_t d, double *panel)
{
    for (ptrdiff_t j = 0; j < d; j += 4)
        for (ptrdiff_t i = 0; i < d; i++)
            for (ptrdiff_t c = 0; c < 4; c++) *panel++ = j + c < d ? matrix[i * d + j + c] : 0.0;
}

/* Expected cells of a vector from those that are missing: y has deviations, u their product with the precision. */
EM_INLINE void FN(by_missing)(const em_hidden *m, FN(hidden) *s, ptrdiff_t k, ptrdiff_t v, vec *given)
{
    const ptrdiff_t d = m->d, M = s->M[v], r = v * VL;
    const int shared = m->density == EM_TIED;
    vec *L = s->factor + s->at_factor[v], *inverse = s->pivot + v * d, *x = s->work;
    if (!(shared && k)) {
        if (s->same[v]) memcpy(inverse, inverse - d, (size_t)M * sizeof(vec));
        else {
            FN(gather)(m->precisions + (shared ? 0 : k) * d * d, d, s->missing + r * d, s->n_missing + r, M, L);
            FN(small_factor)(L, inverse, M);
            if (given) FN(small_inverse)(L, inverse, M, given + s->at_given[v], s->work);
        }
    }
    FN(take)(s->g.u + v, s->g.S, d, s->missing + r * d, s->n_missing + r, M, x);
    FN(small_forward)(L, M, x);
    for (ptrdiff_t a = 0; a < M; a++) x[a] *= inverse[a];
    FN(small_backward)(L, M, x);
    FN(put)(x, s->g.S, d, s->missing + r * d, s->n_missing + r, -1.0, s->g.y + v);
    if (!(shared && k)) s->log_pivots[v] = FN(log_pivots)(L, M);
    s->half[v] = FN(set)(m->log_det[k]) - FN(set)(0.5) * s->log_pivots[v];
}

/* The same from those that are observed: y becomes what the covariance is to be multiplied by. */
EM_INLINE void FN(by_observed)(const em_hidden *m, FN(hidden) *s, ptrdiff_t k, ptrdiff_t v, vec *given)
{
    const ptrdiff_t d = m->d, M = s->M[v], O = s->O[v], r = v * VL;
    const int shared = m->density == EM_TIED;
    const double *sigma = m->covariances + (shared ? 0 : k) * d * d;
    vec *L = s->factor + s->at_factor[v], *inverse = s->pivot + v * d, *x = s->work, *rows = x + d;
    if (!(shared && k)) {
        if (s->same[v]) memcpy(inverse, inverse - d, (size_t)O * sizeof(vec));
        else {
            FN(gather)(sigma, d, s->seen + r * d, s->n_seen + r, O, L);
            FN(small_factor)(L, inverse, O);
            for (ptrdiff_t a = 0; given && a < M; a++) {
                double *w = (double *)(rows + a * O), *c = (double *)(given + s->at_given[v] + TRI(a));
                for (ptrdiff_t l = 0; l < VL; l++) {
                    const int there = a < s->n_missing[r + l];
                    const double *row = sigma + s->missing[(r + l) * d + (there ? a : 0)] * d;
                    for (ptrdiff_t o = 0; o < O; o++)
                        w[o * VL + l] = there && o < s->n_seen[r + l] ? row[s->seen[(r + l) * d + o]] : 0.0;
                    for (ptrdiff_t b = 0; b <= a; b++)
                        c[b * VL + l] = there ? row[s->missing[(r + l) * d + b]] : 0.0;
                }
                FN(small_forward)(L, O, rows + a * O);
                for (ptrdiff_t b = 0; b <= a; b++) {
                    vec t = given[s->at_given[v] + TRI(a) + b];
                    for (ptrdiff_t o = 0; o < O; o++) t -= rows[a * O + o] * (rows[b * O + o] * inverse[o]);
                    given[s->at_given[v] + TRI(a) + b] = t;
                }
            }
        }
    }
    FN(take)(s->g.y + v, s->g.S, d, s->seen + r * d, s->n_seen + r, O, x);
    FN(small_forward)(L, O, x);
    vec distance = {0};
    for (ptrdiff_t o = 0; o < O; o++) {
        const vec t = x[o] * inverse[o];
        distance += x[o] * t;
        x[o] = t;
    }
    FN(small_backward)(L, O, x);
    FN(put)(x, s->g.S, d, s->seen + r * d, s->n_seen + r, 1.0, s->g.y + v);
    if (!(shared && k)) s->log_pivots[v] = FN(log_pivots)(L, O);
    s->half[v] = FN(set)(-0.5) * s->log_pivots[v];
    s->distance[v] = distance;
}

/* y = x - mean, 0 where a cell is missing */
EM_INLINE void FN(deviate)(const FN(scratch) *s, const double *mean, ptrdiff_t first, ptrdiff_t last)
{
    for (ptrdiff_t j = 0; j < s->d; j++) {
        const vec c = FN(set)(mean[j]);
        const vec *x = s->x + j * s->S;
        vec *y = s->y + j * s->S;
        for (ptrdiff_t v = first; v < last; v++) y[v] = FN(select)((ivec)(x[v] == x[v]), x[v] - c, FN(set)(0.0));
    }
}

/* One precision for all: the expected cells of component k are those of the first, moved with its mean. For any
 * vector, P_mm^-1 (P a)_m is a_m less what a_o makes expected there, and the product with the precision is the same
 * for all rows. */
EM_INLINE void FN(move)(const em_hidden *m, FN(hidden) *s, ptrdiff_t k, ptrdiff_t pair)
{
    const ptrdiff_t d = m->d, S = s->g.S;
    const double *pulls = s->pulls + k * d;
    for (ptrdiff_t v = pair; v < pair + 2; v++) {
        const ptrdiff_t M = s->M[v], r = v * VL;
        const vec *L = s->factor + s->at_factor[v], *inverse = s->pivot + v * d;
        vec *x = s->work;
        double *values = (double *)x, *y = (double *)(s->g.y + v);
        const double *first = (const double *)(s->first + v);
        for (ptrdiff_t l = 0; l < VL; l++) {
            const int32_t *cell = s->missing + (r + l) * d;
            for (ptrdiff_t a = 0; a < s->n_missing[r + l]; a++) values[a * VL + l] = pulls[cell[a]];
            for (ptrdiff_t a = s->n_missing[r + l]; a < M; a++) values[a * VL + l] = 0.0;
        }
        FN(small_forward)(L, M, x);
        for (ptrdiff_t a = 0; a < M; a++) x[a] *= inverse[a];
        FN(small_backward)(L, M, x);
        for (ptrdiff_t l = 0; l < VL; l++) {
            const int32_t *cell = s->missing + (r + l) * d;
            for (ptrdiff_t a = 0; a < s->n_missing[r + l]; a++) {
                const ptrdiff_t j = cell[a], at = j * S * VL + l;
                y[at] = first[at] - (m->means[k * d + j] - m->means[j]) + values[a * VL + l];
            }
        }
        s->half[v] = FN(set)(m->log_det[k]) - FN(set)(0.5) * s->log_pivots[v];
    }
}

/* Deviations with expected ones in y, squared distances and log-determinants, of component k. */
EM_INLINE void FN(complete)(const em_hidden *m, FN(hidden) *s, ptrdiff_t k, int density, vec *given)
{
    FN(scratch) *g = &s->g;
    const ptrdiff_t d = m->d, S = g->S, one = m->density == EM_TIED ? 0 : k;
    const double *mean = m->means + k * d;
    FN(deviate)(g, mean, 0, g->nv);
    for (ptrdiff_t v = 0; v < g->nv; v += 2) {
        if (s->by_observed[v]) {
            FN(by_observed)(m, s, k, v, given);
            FN(by_observed)(m, s, k, v + 1, given);
            FN(product)(g, s->covariances + one * FN(square_size)(d), v);
            for (ptrdiff_t j = 0; j < d; j++) {
                const vec c = FN(set)(mean[j]);
                for (ptrdiff_t i = j * S + v; i < j * S + v + 2; i++)
                    g->y[i] = FN(select)((ivec)(g->x[i] == g->x[i]), g->x[i] - c, g->u[i]);
            }
            for (ptrdiff_t l = 0; l < 2 * VL; l++) { /* of a row without any cell nothing is known */
                const ptrdiff_t r = v * VL + l;
                if (s->n_seen[r] == 0)
                    for (ptrdiff_t j = 0; j < d; j++) ((double *)(g->y + j * S))[r] = 0.0;
            }
            continue;
        }
        if (m->density == EM_TIED && k) FN(move)(m, s, k, v);
        else {
            FN(product)(g, s->precisions + one * FN(square_size)(d), v);
            FN(by_missing)(m, s, k, v, given);
            FN(by_missing)(m, s, k, v + 1, given);
            if (m->density == EM_TIED)
                for (ptrdiff_t j = 0; j < d; j++)
                    for (ptrdiff_t i = j * S + v; i < j * S + v + 2; i++) s->first[i] = g->y[i];
        }
        if (!density) continue;
        const double *panel = g->panels + one * FN(panel_size)(d);
        vec f = {0}, h = {0};
        for (ptrdiff_t j = 0; j < d; j += 4) {
            const FN(scratch) *s = g;
            EM_WHITEN(panel, (j + 4 < d ? j + 4 : d))
            f += (a0 * a0 + a1 * a1) + (a2 * a2 + a3 * a3);
            h += (b0 * b0 + b1 * b1) + (b2 * b2 + b3 * b3);
        }
        s->distance[v] = f;
        s->distance[v + 1] = h;
    }
}

EM_INLINE void FN(complete_diag)(const em_hidden *m, FN(hidden) *s, ptrdiff_t k)
{
    FN(scratch) *g = &s->g;
    const ptrdiff_t d = m->d, S = g->S;
    const int spherical = m->density == EM_SPHERICAL;
    FN(deviate)(g, m->means + k * d, 0, g->nv);
    for (ptrdiff_t v = 0; v < g->nv; v++) s->half[v] = s->distance[v] = FN(set)(0.0);
    for (ptrdiff_t j = 0; j < d; j++) {
        const double scale = m->factors[spherical ? k : k * d + j];
        const vec e = FN(set)(scale), a = FN(set)(log(scale));
        for (ptrdiff_t v = 0; v < g->nv; v++) {
            const vec t = g->y[j * S + v] * e, x = g->x[j * S + v];
            s->distance[v] += t * t;
            s->half[v] += FN(select)((ivec)(x == x), a, FN(set)(0.0));
        }
    }
}

/* -------------------------------------------------------------- statistics */

/* Covariances given what is observed, under shares, added to those that belong to component k. */
EM_INLINE void FN(add_given)(const em_hidden *m, FN(hidden) *s, const vec *share, const vec *given, double *out)
{
    const ptrdiff_t d = m->d, nv = s->g.nv;
    vec total = {0};
    for (ptrdiff_t v = 0; v < nv; v++) {
        total = s->same[v] ? total + share[v] : share[v];
        if (v + 1 < nv && s->same[v + 1]) continue;
        const ptrdiff_t M = s->M[v], r = v * VL;
        const vec *c = given + s->at_given[v];
        if (s->uniform[v]) {
            const int32_t *cell = s->missing + r * d;
            const double sum = FN(sum)(total);
            for (ptrdiff_t a = 0; a < s->n_missing[r]; a++)
                for (ptrdiff_t b = 0; b <= a; b++) out[cell[a] * d + cell[b]] += sum * c[TRI(a) + b][0];
            continue;
        }
        for (ptrdiff_t i = 0; i < TRI(M); i++) s->work[i] = total * c[i];
        for (ptrdiff_t l = 0; l < VL; l++) {
            const int32_t *cell = s->missing + (r + l) * d;
            const double *w = (const double *)s->work + l;
            for (ptrdiff_t a = 0; a < s->n_missing[r + l]; a++)
                for (ptrdiff_t b = 0; b <= a; b++) out[cell[a] * d + cell[b]] += w[(TRI(a) + b) * VL];
        }
    }
}

/* Rows without any cell have the whole covariance left. */
EM_INLINE double FN(shares_gone)(const FN(hidden) *s, const vec *share)
{
    double sum = 0.0;
    for (ptrdiff_t r = 0; r < s->g.nv * VL; r++) sum += s->n_seen[r] == 0 ? ((const double *)share)[r] : 0.0;
    return sum;
}

EM_INLINE void FN(add_hidden)(const em_hidden *m, FN(hidden) *s, const em_sums *out, const vec *shares)
{
    FN(scratch) *g = &s->g;
    const ptrdiff_t d = m->d, S = g->S, K = m->K;
    for (ptrdiff_t k = 0; k < K; k++) {
        const vec *r = g->table + k * S, *share = shares + k * S, *e = s->expected + k * g->dp * S;
        for (ptrdiff_t j = 0; j < d; j++) {
            const vec shift = FN(set)(m->means[k * d + j] - out->reference[k * d + j]);
            for (ptrdiff_t v = 0; v < g->nv; v++) g->y[j * S + v] = e[j * S + v] + shift;
        }
        if (out->form != EM_DIAG) {
            FN(weigh)(g, r, g->acc_first + k * g->dp);
            FN(add_scatter)(g, g->acc_second + (out->form == EM_FULL ? k * g->tiles : 0));
            s->gone[k] += FN(shares_gone)(s, share);
            if (m->density == EM_FULL) FN(add_given)(m, s, share, s->given + k * s->n_given, s->extra + k * d * d);
            continue;
        }
        const int spherical = m->density == EM_SPHERICAL;
        for (ptrdiff_t j = 0; j < d; j++) {
            const double scale = m->factors[spherical ? k : k * d + j];
            const vec left = FN(set)(1.0 / (scale * scale)), zero = {0};
            vec a = {0}, b = {0};
            for (ptrdiff_t v = 0; v < g->nv; v++) {
                const vec y = g->y[j * S + v], x = g->x[j * S + v], u = r[v] * y;
                a += u;
                b += u * y + share[v] * FN(select)((ivec)(x == x), zero, left);
            }
            g->acc_first[k * g->dp + j] += a;
            g->acc_second[k * g->dp + j] += b;
        }
    }
    if (m->density != EM_TIED) return;
    vec *total = s->shares + K * S; /* one covariance: what is left counts for all components together */
    for (ptrdiff_t v = 0; v < g->nv; v++) {
        total[v] = FN(set)(0.0);
        for (ptrdiff_t k = 0; k < K; k++) total[v] += shares[k * S + v];
    }
    FN(add_given)(m, s, total, s->given, s->extra);
}

/* What was left of the variance, beside what the tiles have added up. */
EM_INLINE void FN(read_hidden)(const em_hidden *m, const FN(hidden) *s, em_sums *out)
{
    const ptrdiff_t d = m->d;
    FN(read_sums)(&s->g, out);
    if (out->form == EM_DIAG) return;
    for (ptrdiff_t k = 0; k < m->K; k++) {
        const ptrdiff_t to = out->form == EM_FULL ? k : 0;
        const double *sigma = m->covariances + (m->density == EM_FULL ? k : 0) * d * d;
        const double *extra = s->extra + k * d * d;
        const int own = m->density == EM_FULL || k == 0;
        for (ptrdiff_t i = 0; i < d; i++)
            for (ptrdiff_t j = 0; j < d; j++) {
                double *cell = out->second + (to * d + i) * d + j;
                *cell += s->gone[k] * sigma[i * d + j];
                if (own) *cell += i > j ? extra[i * d + j] : extra[j * d + i];
            }
    }
}

/* ------------------------------------------------------------------ blocks */

/* Memory for a tile. */
EM_INLINE int FN(allocate_hidden)(const em_hidden *m, const em_wanted *want, FN(hidden) *s, void **memory)
{
    const ptrdiff_t d = m->d, K = m->K;
    const int dense = m->precisions != NULL, store = want->sums != NULL || want->filled != NULL;
    const em_model model = {dense ? m->density : EM_DIAG, d, K, NULL, m->means, m->factors};
    if (FN(allocate)(&model, want->sums ? want->sums->form : EM_DIAG, &s->g, memory)) return -1;
    const ptrdiff_t side = TRI(d), stacks = m->density == EM_TIED ? 1 : K;
    /* so many rows that what is kept of them stays in the cache */
    const ptrdiff_t each = (store ? K * s->g.dp : 0) + (dense ? (want->sums ? stacks + 1 : 1) * side / 4 : 0);
    ptrdiff_t T = (ptrdiff_t)(1 << 20) / (each * (ptrdiff_t)sizeof(vec) + 1);
    T = T < 2 ? 2 : T & ~(ptrdiff_t)1;
    if (T < s->g.T) s->g.T = T;
    T = s->g.T;
    s->rows = T * VL;
    const ptrdiff_t S = s->g.S, squares = dense ? stacks * FN(square_size)(d) : 0;
    const ptrdiff_t n_expected = store ? K * s->g.dp * S : 0, n_factor = dense ? T * side : 0;
    const ptrdiff_t n_given = dense && want->sums ? stacks * T * side : 0;
    const ptrdiff_t n_work = (d + 1) * (d + 2) + side;
    const ptrdiff_t vectors = 4 * S + n_expected + n_factor + T * d + n_given + n_work + (K + 1) * S + 2 * s->g.dp * S;
    const ptrdiff_t doubles = 2 * squares + (want->sums ? K * d * d : 0) + K + K * d;
    const ptrdiff_t numbers = 2 * s->rows * (d + 1) + 4 * T * 2 + 3 * T + 64;
    char *p = (char *)malloc((size_t)(vectors * (ptrdiff_t)sizeof(vec) + doubles * 8 + numbers * 4 + 128));
    memory[1] = p;
    if (!p) return -1;
    vec *q = (vec *)(((uintptr_t)p + 63) & ~(uintptr_t)63);
    s->counts = q; q += S;
    s->half = q; q += S;
    s->distance = q; q += S;
    s->log_pivots = q; q += S;
    s->expected = q; q += n_expected;
    s->factor = q; q += n_factor;
    s->pivot = q; q += T * d;
    s->given = q; q += n_given;
    s->work = q; q += n_work;
    s->shares = q; q += (K + 1) * S;
    s->filled = q; q += s->g.dp * S;
    s->first = q; q += s->g.dp * S;
    s->precisions = (double *)q;
    s->covariances = s->precisions + squares;
    s->extra = s->covariances + squares;
    s->gone = s->extra + (want->sums ? K * d * d : 0);
    s->pulls = s->gone + K;
    s->M = (ptrdiff_t *)(s->pulls + K * d);
    s->O = s->M + T;
    s->at_factor = s->O + T;
    s->at_given = s->at_factor + T;
    s->missing = (int32_t *)(s->at_given + T);
    s->seen = s->missing + s->rows * d + 1;
    s->n_missing = s->seen + s->rows * d + 1;
    s->n_seen = s->n_missing + s->rows;
    s->by_observed = (int *)(s->n_seen + s->rows);
    s->uniform = s->by_observed + T;
    s->same = s->uniform + T;
    memset(s->extra, 0, (size_t)(want->sums ? K * d * d : 0) * sizeof(double));
    memset(s->gone, 0, (size_t)K * sizeof(double));
    for (ptrdiff_t k = 0; dense && k < stacks; k++) {
        FN(pack_square)(m->precisions + k * d * d, d, s->precisions + k * FN(square_size)(d));
        FN(pack_square)(m->covariances + k * d * d, d, s->covariances + k * FN(square_size)(d));
    }
    for (ptrdiff_t k = 0; k < K && m->density == EM_TIED; k++)
        for (ptrdiff_t i = 0; i < d; i++) {
            double sum = 0.0;
            for (ptrdiff_t j = 0; j < d; j++)
                sum += m->precisions[i * d + j] * (m->means[k * d + j] - m->means[j]);
            s->pulls[k * d + i] = sum;
        }
    return 0;
}

EM_INLINE void FN(write)(double *out, const vec *table, ptrdiff_t used, ptrdiff_t k, ptrdiff_t K)
{
    for (ptrdiff_t i = 0; out && i < used; i++) out[i * K + k] = ((const double *)table)[i];
}

EM_INLINE void FN(write_filled)(const em_hidden *m, FN(hidden) *s, const em_wanted *want, ptrdiff_t start,
                                ptrdiff_t used)
{
    const ptrdiff_t d = m->d, S = s->g.S;
    for (ptrdiff_t j = 0; j < d; j++)
        for (ptrdiff_t v = 0; v < s->g.nv; v++) {
            vec t = {0};
            for (ptrdiff_t k = 0; k < m->K; k++)
                t += s->shares[k * S + v] * (s->expected[(k * s->g.dp + j) * S + v] + FN(set)(m->means[k * d + j]));
            s->filled[j * S + v] = t;
        }
    for (ptrdiff_t j = 0; j < d; j++) {
        const double *x = (const double *)(s->g.x + j * S), *f = (const double *)(s->filled + j * S);
        for (ptrdiff_t r = 0; r < used; r++)
            if (x[r] != x[r]) want->filled[(start + r) * d + j] = f[r];
    }
}

/* 0, or -1 when memory is short. */
static int FN(missing)(const em_hidden *m, const em_rows *rows, em_wanted *want)
{
    FN(hidden) s;
    void *memory[2] = {NULL, NULL};
    const ptrdiff_t d = m->d, K = m->K;
    em_sums *sums = want->sums;
    const int density = want->joint || want->distance || want->log_det || (sums && !want->weights);
    const vec constant = FN(set)(0.5 * 1.8378770664093454836); /* log 2 pi */
    if (FN(allocate_hidden)(m, want, &s, memory)) {
        free(memory[0]);
        free(memory[1]);
        return -1;
    }
    const ptrdiff_t S = s.g.S;
    vec total = {0};
    for (ptrdiff_t k = 0; sums && k < K; k++) sums->count[k] = 0.0;
    for (ptrdiff_t start = 0; start < rows->n; start += s.rows) {
        const ptrdiff_t left = rows->n - start, used = left < s.rows ? left : s.rows;
        FN(load)(rows, start, &s.g);
        FN(find)(m, &s);
        for (ptrdiff_t k = 0; k < K; k++) {
            if (m->precisions) {
                const int keep = sums && (k == 0 || m->density == EM_FULL);
                FN(complete)(m, &s, k, density, keep ? s.given + (m->density == EM_FULL ? k * s.n_given : 0) : NULL);
            } else
                FN(complete_diag)(m, &s, k);
            if (sums || want->filled)
                for (ptrdiff_t j = 0; j < d; j++)
                    memcpy(s.expected + (k * s.g.dp + j) * S, s.g.y + j * S, (size_t)s.g.nv * sizeof(vec));
            if (!density) continue;
            vec *out = s.g.table + k * S;
            for (ptrdiff_t v = 0; v < s.g.nv; v++) {
                const ivec none = (ivec)(s.counts[v] == FN(set)(0.0));
                s.half[v] = FN(select)(none, FN(set)(0.0), s.half[v]);
                s.distance[v] = FN(select)(none, FN(set)(0.0), s.distance[v]);
                out[v] = FN(set)(m->log_weights[k]) +
                         (s.half[v] - constant * s.counts[v] - FN(set)(0.5) * s.distance[v]);
            }
            FN(write)(want->joint ? want->joint + start * K : NULL, out, used, k, K);
            FN(write)(want->distance ? want->distance + start * K : NULL, s.distance, used, k, K);
            FN(write)(want->log_det ? want->log_det + start * K : NULL, s.half, used, k, K);
        }
        if (want->shares) FN(columns)(want->shares + start * K, used, K, S, s.g.nv, 0.0, s.shares);
        if (want->filled) FN(write_filled)(m, &s, want, start, used);
        if (!sums) continue;
        if (want->weights) {
            FN(columns)(want->weights + start * K, used, K, S, s.g.nv, 0.0, s.g.table);
            for (ptrdiff_t k = 0; k < K; k++)
                for (ptrdiff_t v = 0; v < s.g.nv; v++) sums->count[k] += FN(sum)(s.g.table[k * S + v]);
        } else {
            FN(posterior)(&s.g, sums->count);
            for (ptrdiff_t v = 0; v < s.g.nv; v++)
                total += FN(select)((ivec)(s.g.w[v] > FN(set)(0.0)), s.g.sum[v] * s.g.w[v], FN(set)(0.0));
        }
        FN(add_hidden)(m, &s, sums, want->shares ? s.shares : s.g.table);
    }
    if (sums) {
        sums->log_likelihood = FN(sum)(total);
        FN(read_hidden)(m, &s, sums);
    }
    free(memory[0]);
    free(memory[1]);
    return 0;
}

#undef TRI
#undef FN
#undef vec
#undef ivec
