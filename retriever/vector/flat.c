// flat: inner products in bytes first, in floats where it matters.
#include "flat_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "mem.h"

enum {
    LANES = 16,     // floats of the largest register
    ROWS_AHEAD = 2, // of a selection, fetched while the one before is at work
    ROWS = 4,       // summed side by side, so that no addition waits for the one before
    AHEAD = 8192,   // bytes to fetch ahead: not in the cache, 5,000 x 384 take 0.20 instead of
                    // 0.33 ms
    HIGHEST = 127,
    HUGE_PAGE = 2 << 20,
};

typedef float lanes_t __attribute__((vector_size(LANES * sizeof(float))));

// ---- the copy -----------------------------------------------------------------------------------

float flat_round(const float *row, size_t dimension, int8_t *codes, float *scale, float *rounded)
{
    float highest = 0;
    double rest = 0, length = 0;
    *rounded = 0;
    for (size_t at = 0; at < dimension; at++) {
        if (!isfinite(row[at])) {
            *scale = NAN; // and so is each product with it
            return 0;
        }
        highest = fmaxf(highest, fabsf(row[at]));
    }
    *scale = highest / HIGHEST;
    for (size_t at = 0; at < dimension && highest > 0; at++) {
        codes[at] = (int8_t)lrintf(row[at] / *scale);
        double about = (double)*scale * codes[at], off = (double)row[at] - about;
        rest += off * off;
        length += about * about;
    }
    *rounded = (float)sqrt(length);
    return (float)sqrt(rest);
}

flat_t *flat_new(const float *rows, size_t count, size_t dimension)
{
    flat_t *self = rl_new(*self);
    self->rows = rows;
    self->count = count;
    self->dimension = dimension;
    self->stride = (dimension + LANES - 1) / LANES * LANES;
    size_t bytes = ((count + ROWS) * self->stride + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    self->codes = aligned_alloc(HUGE_PAGE, bytes);
    self->scales = calloc(count + ROWS, sizeof *self->scales);
    self->rests = calloc(count + ROWS, sizeof *self->rests);
    if (!self->codes || !self->scales || !self->rests) {
        flat_destroy(&self);
        return NULL;
    }
    madvise(self->codes, bytes, MADV_HUGEPAGE);
    memset(self->codes, 0, bytes);
    for (size_t at = 0; at < count; at++) {
        float length;
        self->rests[at] = flat_round(rows + at * dimension, dimension,
                                     self->codes + at * self->stride, &self->scales[at], &length);
        self->error = fmaxf(self->error, self->rests[at]);
        self->longest = fmaxf(self->longest, length);
    }
    return self;
}

void flat_destroy(flat_t **self_p)
{
    flat_t *self = *self_p;
    if (!self)
        return;
    free(self->codes);
    free(self->scales);
    free(self->rests);
    free(self);
    *self_p = NULL;
}

// ---- products -----------------------------------------------------------------------------------

static inline __attribute__((always_inline)) float sum_of(const lanes_t *lanes)
{
    float sum = 0;
    for (size_t lane = 0; lane < LANES; lane++)
        sum += (*lanes)[lane];
    return sum;
}

// The products of the rows [from, to) with the query (filled up to the stride), about; `from` is a
// multiple of ROWS, and up to ROWS - 1 rows behind the last may be written as well.
typedef void(products_fn)(const flat_t *self, const float *query, size_t from, size_t to,
                          float *out);

static void products_any(const flat_t *self, const float *query, size_t from, size_t to, float *out)
{
    for (size_t row = from; row < to; row++) {
        const int8_t *codes = self->codes + row * self->stride;
        lanes_t sums = {0};
        for (size_t at = 0; at < self->stride; at += LANES)
            for (size_t lane = 0; lane < LANES; lane++)
                sums[lane] += (float)codes[at + lane] * query[at + lane];
        out[row] = sum_of(&sums) * self->scales[row];
    }
}

#if defined(__x86_64__)
// The compiler does not find these conversions by itself. Rows are summed in variables of their
// own, ROWS of them: an array would be on the stack, which GCC 12 does not align to 64 bytes under
// the address sanitizer (its bug 110027).
static inline __attribute__((always_inline, target("avx512f"))) __m512
add_codes_16(__m512 sum, const int8_t *codes, __m512 part)
{
    __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)codes));
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(wide), part, sum);
}

__attribute__((target("avx512f"))) static void
products_avx512(const flat_t *self, const float *query, size_t from, size_t to, float *out)
{
    size_t stride = self->stride;
    for (size_t row = from; row < to; row += ROWS) {
        const int8_t *codes = self->codes + row * stride;
        __m512 one = _mm512_setzero_ps(), two = one, three = one, four = one;
        for (size_t at = 0; at < stride; at += 16) {
            __m512 part = _mm512_loadu_ps(query + at);
            __builtin_prefetch(codes + AHEAD + at * ROWS);
            one = add_codes_16(one, codes + at, part);
            two = add_codes_16(two, codes + stride + at, part);
            three = add_codes_16(three, codes + 2 * stride + at, part);
            four = add_codes_16(four, codes + 3 * stride + at, part);
        }
        out[row] = _mm512_reduce_add_ps(one) * self->scales[row];
        out[row + 1] = _mm512_reduce_add_ps(two) * self->scales[row + 1];
        out[row + 2] = _mm512_reduce_add_ps(three) * self->scales[row + 2];
        out[row + 3] = _mm512_reduce_add_ps(four) * self->scales[row + 3];
    }
}

static inline __attribute__((always_inline, target("avx2,fma"))) __m256
add_codes_8(__m256 sum, const int8_t *codes, __m256 part)
{
    __m256i wide = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)codes));
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(wide), part, sum);
}

static inline __attribute__((always_inline, target("avx2,fma"))) float sum_of_8(__m256 sum)
{
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
    half = _mm_hadd_ps(half, half);
    return _mm_cvtss_f32(_mm_hadd_ps(half, half));
}

__attribute__((target("avx2,fma"))) static void
products_avx2(const flat_t *self, const float *query, size_t from, size_t to, float *out)
{
    size_t stride = self->stride;
    for (size_t row = from; row < to; row += ROWS) {
        const int8_t *codes = self->codes + row * stride;
        __m256 one = _mm256_setzero_ps(), two = one, three = one, four = one;
        for (size_t at = 0; at < stride; at += 8) {
            __m256 part = _mm256_loadu_ps(query + at);
            if (at % 16 == 0)
                __builtin_prefetch(codes + AHEAD + at * ROWS);
            one = add_codes_8(one, codes + at, part);
            two = add_codes_8(two, codes + stride + at, part);
            three = add_codes_8(three, codes + 2 * stride + at, part);
            four = add_codes_8(four, codes + 3 * stride + at, part);
        }
        out[row] = sum_of_8(one) * self->scales[row];
        out[row + 1] = sum_of_8(two) * self->scales[row + 1];
        out[row + 2] = sum_of_8(three) * self->scales[row + 2];
        out[row + 3] = sum_of_8(four) * self->scales[row + 3];
    }
}
#endif

static products_fn *choose_products(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f"))
        return products_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return products_avx2;
#endif
    return products_any;
}

float flat_product(const float *vector, size_t dimension, const float *query)
{
    lanes_t sums = {0}, one, other;
    size_t at = 0;
    for (; at + LANES <= dimension; at += LANES) {
        memcpy(&one, vector + at, sizeof one);
        memcpy(&other, query + at, sizeof other);
        sums += one * other;
    }
    float sum = sum_of(&sums);
    for (; at < dimension; at++)
        sum += vector[at] * query[at];
    return sum;
}

// ---- the best -----------------------------------------------------------------------------------

static inline void offer_score(top_k_t *best, float score, size_t label)
{
    if (!isfinite(score) || (best->size == best->k && score <= best->scores[best->k - 1]))
        return;
    size_t at = best->size < best->k ? best->size++ : best->k - 1;
    for (; at > 0 && score > best->scores[at - 1]; at--) {
        best->scores[at] = best->scores[at - 1];
        best->labels[at] = best->labels[at - 1];
    }
    best->scores[at] = score;
    best->labels[at] = (int64_t)label;
}

void top_k_offer(top_k_t *self, float score, size_t label)
{
    offer_score(self, score, label);
}

void top_k_end(top_k_t *best)
{
    for (size_t rest = best->size; rest < best->k; rest++) {
        best->scores[rest] = 0;
        best->labels[rest] = -1;
    }
}

static inline void offer_row(const flat_t *self, float about, float least, const float *query,
                             size_t row, top_k_t *best)
{
    if (about < least)
        return;
    const float *vector = self->rows + row * self->dimension;
    offer_score(best, query ? flat_product(vector, self->dimension, query) : about, row);
}

// Offers the rows of the selection (NULL: all) whose product is about `least` or more: in floats if
// `query` is not NULL.
static void offer_rows(const flat_t *self, const selection_t *selection, const float *about,
                       float least, const float *query, top_k_t *best)
{
    for (size_t from = 0; from < self->count; from += 64) {
        uint64_t left = selection ? selection->bits[from / 64] : UINT64_MAX;
        if (self->count - from < 64)
            left &= (UINT64_C(1) << (self->count - from)) - 1;
        for (size_t row = from; left == UINT64_MAX && row < from + 64; row++)
            offer_row(self, about[row], least, query, row, best);
        for (; left != UINT64_MAX && left; left &= left - 1) {
            size_t row = from + (size_t)__builtin_ctzll(left);
            offer_row(self, about[row], least, query, row, best);
        }
    }
}

// The products of those stretches of 64 rows that the selection has one of.
static void find_products(const flat_t *self, const selection_t *selection, const float *query,
                          float *out)
{
    products_fn *products = choose_products();
    if (!selection) {
        products(self, query, 0, self->count, out);
        return;
    }
    size_t words = selection_words(selection);
    for (size_t word = 0; word < words; word++) {
        size_t from = word;
        while (word < words && selection->bits[word])
            word++;
        size_t to = word * 64 < self->count ? word * 64 : self->count;
        if (word > from)
            products(self, query, from * 64, to, out);
    }
}

void flat_search(const flat_t *self, const float *query, size_t k, const selection_t *selection,
                 float *scores, int64_t *labels)
{
    float *filled = rl_must(malloc((self->stride + self->count + ROWS) * sizeof *filled));
    float *about = filled + self->stride;
    memcpy(filled, query, self->dimension * sizeof *filled);
    memset(filled + self->dimension, 0, (self->stride - self->dimension) * sizeof *filled);
    double length = 0;
    for (size_t at = 0; at < self->dimension; at++)
        length += (double)query[at] * query[at];
    find_products(self, selection, filled, about);

    top_k_t best = {scores, labels, 0, k};
    offer_rows(self, selection, about, -INFINITY, NULL, &best);
    float wrong = self->error * (float)sqrt(length) + FLAT_SLACK * (float)(1 + sqrt(length));
    // what is further than twice the error below the k-th cannot be better than it
    float least = best.size == k ? scores[k - 1] - 2 * wrong : -INFINITY;
    best.size = 0;
    offer_rows(self, selection, about, least, query, &best);
    top_k_end(&best);
    free(filled);
}

void flat_search_rows(const float *rows, size_t dimension, const float *query, size_t k,
                      const selection_t *selection, float *scores, int64_t *labels)
{
    top_k_t best = {scores, labels, 0, k};
    size_t words = selection_words(selection);
    for (size_t at = 0; selection->rows && at < selection->size; at++) {
        const float *row = rows + selection->rows[at] * dimension;
        if (at + ROWS_AHEAD < selection->size) {
            const float *ahead = rows + selection->rows[at + ROWS_AHEAD] * dimension;
            for (size_t line = 0; line < dimension; line += LANES)
                __builtin_prefetch(ahead + line);
        }
        offer_score(&best, flat_product(row, dimension, query), selection->rows[at]);
    }
    for (size_t word = 0; !selection->rows && word < words; word++)
        for (uint64_t left = selection->bits[word]; left; left &= left - 1) {
            size_t row = word * 64 + (size_t)__builtin_ctzll(left);
            offer_score(&best, flat_product(rows + row * dimension, dimension, query), row);
        }
    top_k_end(&best);
}
