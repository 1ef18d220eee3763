// flat_many: many questions at once in a row of vectors, in bytes first as flat.c does it for one.
// Here the questions are rounded to bytes as well, so that the CPU multiplies 64 pairs with one
// instruction (AVX-512 VNNI); what rounding may have put in the wrong place is scored again in
// floats, so that the result is the same.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "flat_private.h"
#include "mem.h"

#if defined(__x86_64__)
#include <immintrin.h>

enum {
    BLOCK = 16,   // rows at a time: one in each 32-bit lane of a register
    TOGETHER = 8, // questions at a time, each with a register of sums
    CHUNK = 64,   // bytes of a register
    ZERO = 128,   // a row's bytes are taken as unsigned, with this in place of zero
    ROOM = 1024,  // first room for candidates of a question
    WORD = 4,     // bytes whose products one lane sums
};

// A row that may be among the best.
typedef struct candidate {
    uint32_t row;
    float most; // that its product may be
} candidate_t;

// One question on its way through the rows.
typedef struct query_state {
    top_k_t best;       // by what products are at least
    float scale, size;  // of the bytes; length
    float wrong;        // what products may be off for its own rounding
    float least;        // what cannot reach this is not among the best
    int32_t zeros;      // ZERO in place of zero adds this to each sum
    candidate_t *found; // by row
    size_t found_size, room;
} query_state_t;

typedef struct batch {
    const flat_t *flat;
    size_t words;        // of WORD bytes in a row, filled up to whole registers
    size_t count;        // questions, filled up to a multiple of TOGETHER
    int32_t *codes;      // of questions: `words` each
    uint8_t *transposed; // a block of rows, word by word: those of all 16 rows side by side
    query_state_t *states;
} batch_t;

static bool is_able(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vnni");
}

// ---- a block of rows ----------------------------------------------------------------------------

static inline __attribute__((always_inline, target("avx512f,avx512bw"))) __m512i
load_row(const batch_t *self, size_t row, size_t at)
{
    const flat_t *flat = self->flat;
    size_t left = flat->stride - at;
    __mmask64 there = left >= CHUNK ? ~(__mmask64)0 : ((__mmask64)1 << left) - 1;
    row = row < flat->count ? row : flat->count - 1; // what is behind the last one is not looked at
    __m512i codes = _mm512_maskz_loadu_epi8(there, flat->codes + row * flat->stride + at);
    return _mm512_xor_si512(codes, _mm512_set1_epi8((char)ZERO));
}

// Words 0, 4, 8, 12 of four rows are the lanes of `words`, each a place of 16 bytes.
static inline __attribute__((always_inline, target("avx512f"))) void put_words(uint8_t *to,
                                                                               __m512i words)
{
    const size_t step = 4 * CHUNK;
    _mm_storeu_si128((void *)to, _mm512_castsi512_si128(words));
    _mm_storeu_si128((void *)(to + step), _mm512_extracti32x4_epi32(words, 1));
    _mm_storeu_si128((void *)(to + 2 * step), _mm512_extracti32x4_epi32(words, 2));
    _mm_storeu_si128((void *)(to + 3 * step), _mm512_extracti32x4_epi32(words, 3));
}

__attribute__((target("avx512f,avx512bw"))) static void transpose_block(batch_t *self, size_t from)
{
    for (size_t at = 0; at < self->flat->stride; at += CHUNK)
        for (size_t row = 0; row < BLOCK; row += 4) {
            uint8_t *to = self->transposed + at / WORD * CHUNK + row * WORD;
            __m512i a = load_row(self, from + row, at), b = load_row(self, from + row + 1, at);
            __m512i c = load_row(self, from + row + 2, at), d = load_row(self, from + row + 3, at);
            __m512i ab_low = _mm512_unpacklo_epi32(a, b), ab_high = _mm512_unpackhi_epi32(a, b);
            __m512i cd_low = _mm512_unpacklo_epi32(c, d), cd_high = _mm512_unpackhi_epi32(c, d);
            put_words(to, _mm512_unpacklo_epi64(ab_low, cd_low));
            put_words(to + CHUNK, _mm512_unpackhi_epi64(ab_low, cd_low));
            put_words(to + 2 * CHUNK, _mm512_unpacklo_epi64(ab_high, cd_high));
            put_words(to + 3 * CHUNK, _mm512_unpackhi_epi64(ab_high, cd_high));
        }
}

#define SUM(n) sum##n = _mm512_dpbusd_epi32(sum##n, rows, _mm512_set1_epi32(codes[n * words + at]))

// The sums of products of the block's rows with TOGETHER questions, a row of `out` for each.
__attribute__((target("avx512f,avx512vnni"))) static void
multiply_block(const batch_t *self, const int32_t *codes, int32_t *out)
{
    size_t words = self->words;
    __m512i sum0 = _mm512_setzero_si512(), sum1 = sum0, sum2 = sum0, sum3 = sum0, sum4 = sum0,
            sum5 = sum0, sum6 = sum0, sum7 = sum0;
    for (size_t at = 0; at < words; at++) {
        __m512i rows = _mm512_loadu_si512(self->transposed + at * CHUNK);
        SUM(0);
        SUM(1);
        SUM(2);
        SUM(3);
        SUM(4);
        SUM(5);
        SUM(6);
        SUM(7);
    }
    _mm512_storeu_si512(out, sum0);
    _mm512_storeu_si512(out + BLOCK, sum1);
    _mm512_storeu_si512(out + 2 * BLOCK, sum2);
    _mm512_storeu_si512(out + 3 * BLOCK, sum3);
    _mm512_storeu_si512(out + 4 * BLOCK, sum4);
    _mm512_storeu_si512(out + 5 * BLOCK, sum5);
    _mm512_storeu_si512(out + 6 * BLOCK, sum6);
    _mm512_storeu_si512(out + 7 * BLOCK, sum7);
}
#undef SUM

// ---- candidates ---------------------------------------------------------------------------------

static void note_candidate(query_state_t *state, size_t row, float about, float wrong)
{
    if (state->found_size == state->room) { // those that cannot be any more make room
        size_t kept = 0;
        for (size_t at = 0; at < state->found_size; at++)
            if (state->found[at].most >= state->least)
                state->found[kept++] = state->found[at];
        state->found_size = kept;
    }
    if (state->found_size > state->room / 2 && state->found_size + 1 >= state->room) {
        state->room *= 2;
        state->found = rl_realloc(state->found, state->room, sizeof *state->found);
    }
    state->found[state->found_size++] = (candidate_t){(uint32_t)row, about + wrong};
    top_k_offer(&state->best, about - wrong, row);
    if (state->best.size == state->best.k)
        state->least = state->best.scores[state->best.k - 1];
}

// Looks at a block's sums of one question.
__attribute__((target("avx512f,avx512bw"))) static void
look_at_block(const batch_t *self, query_state_t *state, size_t from, const int32_t *sums)
{
    size_t left = self->flat->count - from;
    __mmask16 there = left >= BLOCK ? 0xffff : (__mmask16)((1u << left) - 1);
    __m512i whole = _mm512_sub_epi32(_mm512_loadu_si512(sums), _mm512_set1_epi32(state->zeros));
    __m512 scales = _mm512_maskz_loadu_ps(there, self->flat->scales + from);
    __m512 about = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(whole), scales),
                                 _mm512_set1_ps(state->scale));
    __m512 wrong = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(there, self->flat->rests + from),
                                   _mm512_set1_ps(state->size), _mm512_set1_ps(state->wrong));
    unsigned may = _mm512_mask_cmp_ps_mask(there, _mm512_add_ps(about, wrong),
                                           _mm512_set1_ps(state->least), _CMP_GE_OQ);
    if (!may)
        return;
    float products[BLOCK], offs[BLOCK];
    _mm512_storeu_ps(products, about);
    _mm512_storeu_ps(offs, wrong);
    for (; may; may &= may - 1) {
        unsigned at = (unsigned)__builtin_ctz(may);
        if (products[at] + offs[at] >= state->least)
            note_candidate(state, from + at, products[at], offs[at]);
    }
}

static float row_product(const flat_t *flat, size_t row, const float *query)
{
    return flat_product(flat->rows + row * flat->dimension, flat->dimension, query);
}

// Again in floats: first k that are good, which say what another has to reach; then, by row, all
// that may.
static void rescore_query(const flat_t *flat, query_state_t *state, const float *query)
{
    top_k_t best = state->best;
    float least = best.size == best.k ? INFINITY : -INFINITY;
    for (size_t at = 0; at < best.size && best.size == best.k; at++)
        least = fminf(least, row_product(flat, (size_t)best.labels[at], query));
    size_t left = 0;
    for (size_t at = 0; at < state->found_size; at++)
        if (state->found[at].most >= least)
            state->found[left++] = state->found[at];
    best.size = 0;
    for (size_t at = 0; at < left; at++) {
        size_t row = state->found[at].row;
        if (at + 1 < left) {
            const float *next = flat->rows + state->found[at + 1].row * flat->dimension;
            for (size_t part = 0; part < flat->dimension; part += CHUNK / sizeof *next)
                __builtin_prefetch(next + part);
        }
        top_k_offer(&best, row_product(flat, row, query), row);
    }
    top_k_end(&best);
}

// ---- all of it ----------------------------------------------------------------------------------

static void begin_queries(batch_t *self, const float *queries, size_t count, size_t k,
                          float *scores, int64_t *labels)
{
    const flat_t *flat = self->flat;
    self->words = (flat->stride + CHUNK - 1) / CHUNK * CHUNK / WORD;
    self->count = (count + TOGETHER - 1) / TOGETHER * TOGETHER;
    self->codes = rl_alloc_array(self->count * self->words, sizeof *self->codes);
    self->transposed = rl_alloc(self->words * CHUNK);
    self->states = rl_alloc_array(count, sizeof *self->states);
    for (size_t n = 0; n < count; n++) {
        query_state_t *state = &self->states[n];
        const float *query = queries + n * flat->dimension;
        int8_t *codes = (int8_t *)(self->codes + n * self->words);
        double length = 0;
        for (size_t at = 0; at < flat->dimension; at++)
            length += (double)query[at] * query[at];
        float own, rest = flat_round(query, flat->dimension, codes, &state->scale, &own);
        for (size_t at = 0; at < flat->dimension; at++)
            state->zeros += ZERO * codes[at];
        // q·x − q̂·x̂ = q·(x − x̂) + (q − q̂)·x̂, and Cauchy-Schwarz
        state->size = (float)sqrt(length);
        state->wrong = rest * flat->longest + FLAT_SLACK * (1 + state->size);
        state->least = -INFINITY;
        state->best = (top_k_t){scores + n * k, labels + n * k, 0, k};
        state->room = ROOM;
        state->found = rl_must(malloc(ROOM * sizeof *state->found));
    }
}

static void look_at_all(batch_t *self, size_t count)
{
    int32_t sums[TOGETHER * BLOCK];
    for (size_t from = 0; from < self->flat->count; from += BLOCK) {
        transpose_block(self, from);
        for (size_t n = 0; n < count; n += TOGETHER) {
            multiply_block(self, self->codes + n * self->words, sums);
            for (size_t one = n; one < n + TOGETHER && one < count; one++)
                look_at_block(self, &self->states[one], from, sums + (one - n) * BLOCK);
        }
    }
}

int flat_search_many(const flat_t *flat, const float *queries, size_t count, size_t k,
                     float *scores, int64_t *labels)
{
    batch_t self = {.flat = flat};
    if (!is_able() || flat->count > UINT32_MAX)
        return -1;
    begin_queries(&self, queries, count, k, scores, labels);
    look_at_all(&self, count);
    for (size_t n = 0; n < count; n++) {
        rescore_query(flat, &self.states[n], queries + n * flat->dimension);
        free(self.states[n].found);
    }
    free(self.codes);
    free(self.transposed);
    free(self.states);
    return 0;
}

#else

int flat_search_many(const flat_t *flat, const float *queries, size_t count, size_t k,
                     float *scores, int64_t *labels)
{
    (void)flat;
    (void)queries;
    (void)count;
    (void)k;
    (void)scores;
    (void)labels;
    return -1;
}

#endif
