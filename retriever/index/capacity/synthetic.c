// synthetic: rows made of hashes.
#include "synthetic.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// BLAS: C = alpha A B + beta C of row-major matrices, as CBLAS has it.
#include <cblas.h>

#include "mem.h"

enum {
    TOPICS = 200,
    CLUSTERS = 10000,
    VOCABULARY = 500000,
    SENTENCE = 14, // words
    ROWS_AT_ONCE = SYNTHETIC_BLOCK
};

// Parts of a vector's squared length, see the header.
static const double TOPIC_PART = 0.25, CLUSTER_PART = 0.45, OWN_PART = 0.30, FURTHER = 1.25;
static const double MANDELBROT = 2.7; // p(rank) ~ 1 / (rank + 2.7), as in English

struct synthetic {
    size_t dimension;
    float *centres; // CLUSTERS x dimension, topic included
    float *spread;  // of each axis, of own parts
    float *basis;   // dimension x dimension, orthogonal
    float *block;   // ROWS_AT_ONCE x dimension, before it is turned
};

static uint64_t next_random(uint64_t *state) // splitmix64 (Steele, Lea and Flood, 2014)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double random_fraction(uint64_t *state) // 0 to 1, 1 left out
{
    return (double)(next_random(state) >> 11) / 9007199254740992.0;
}

// What row `row` of a kind of thing is made of.
static uint64_t seed_of(uint64_t kind, uint64_t row)
{
    uint64_t state = kind * 0xd1342543de82ef95u + row;
    return next_random(&state);
}

enum kind {
    A_TOPIC = 1,
    A_CLUSTER,
    A_VECTOR,
    A_QUESTION,
    A_BASIS,
    A_PASSAGE,
    A_ASKED,
};

// Near enough to normal, and quick: the sum of four even ones from one random number.
static float random_normal(uint64_t *state)
{
    static const double SCALE = 1.7320508075688772 / 65536; // variance of the sum is 4 / 12
    uint64_t bits = next_random(state);
    int64_t sum = (int64_t)(bits & 0xffff) + (int64_t)(bits >> 16 & 0xffff) +
                  (int64_t)(bits >> 32 & 0xffff) + (int64_t)(bits >> 48);
    return (float)((double)(sum - 2 * 65535) * SCALE);
}

static void add_part(float *out, size_t dimension, const float *spread, double part, uint64_t state)
{
    double sum = 0;
    for (size_t at = 0; at < dimension; at++)
        sum += (double)spread[at] * spread[at];
    float scale = (float)sqrt(part / sum);
    for (size_t at = 0; at < dimension; at++)
        out[at] += scale * spread[at] * random_normal(&state);
}

// Few clusters are large and many small: sizes fall off as a cluster's number does.
static unsigned cluster_of(uint64_t row)
{
    uint64_t state = seed_of(A_VECTOR, row);
    double at = random_fraction(&state);
    return (unsigned)(at * sqrt(at) * CLUSTERS);
}

static unsigned topic_of_cluster(unsigned cluster)
{
    return (unsigned)(seed_of(A_CLUSTER, cluster) % TOPICS);
}

unsigned synthetic_topic(uint64_t row)
{
    return topic_of_cluster(cluster_of(row));
}

// Gram and Schmidt's way from random directions to an orthogonal basis.
static void make_basis(float *basis, size_t dimension)
{
    for (size_t row = 0; row < dimension; row++) {
        uint64_t state = seed_of(A_BASIS, row);
        float *axis = basis + row * dimension;
        for (size_t at = 0; at < dimension; at++)
            axis[at] = random_normal(&state);
        for (size_t other = 0; other < row; other++) {
            const float *before = basis + other * dimension;
            double along = 0;
            for (size_t at = 0; at < dimension; at++)
                along += (double)axis[at] * before[at];
            for (size_t at = 0; at < dimension; at++)
                axis[at] -= (float)along * before[at];
        }
        double sum = 0;
        for (size_t at = 0; at < dimension; at++)
            sum += (double)axis[at] * axis[at];
        for (size_t at = 0; at < dimension; at++)
            axis[at] = (float)(axis[at] / sqrt(sum));
    }
}

static void make_centres(synthetic_t *self)
{
    size_t d = self->dimension;
    for (unsigned cluster = 0; cluster < CLUSTERS; cluster++) {
        float *centre = self->centres + cluster * d;
        // centres reach into more dimensions than what is within a cluster
        for (size_t at = 0; at < d; at++)
            self->spread[at] = (float)pow((double)(1 + at), -0.3);
        add_part(centre, d, self->spread, TOPIC_PART, seed_of(A_TOPIC, topic_of_cluster(cluster)));
        add_part(centre, d, self->spread, CLUSTER_PART, seed_of(A_CLUSTER, cluster) + 1);
    }
    for (size_t at = 0; at < d; at++)
        self->spread[at] = (float)(1 / sqrt((double)(1 + at)));
}

synthetic_t *synthetic_new(size_t dimension)
{
    synthetic_t *self = rl_new(*self);
    self->dimension = dimension;
    self->centres = rl_alloc_array(CLUSTERS * dimension, sizeof *self->centres);
    self->spread = rl_alloc_array(dimension, sizeof *self->spread);
    self->basis = rl_alloc_array(dimension * dimension, sizeof *self->basis);
    self->block = rl_alloc_array(ROWS_AT_ONCE * dimension, sizeof *self->block);
    make_centres(self);
    make_basis(self->basis, dimension);
    return self;
}

void synthetic_destroy(synthetic_t **self_p)
{
    synthetic_t *self = *self_p;
    if (!self)
        return;
    free(self->centres);
    free(self->spread);
    free(self->basis);
    free(self->block);
    free(self);
    *self_p = NULL;
}

static void make_rows(synthetic_t *self, enum kind kind, uint64_t first, size_t count, float *out)
{
    size_t d = self->dimension;
    bool asked = kind == A_QUESTION;
    for (size_t row = 0; row < count; row++) {
        // a question is of the cluster of some passage: large clusters are asked for more
        unsigned cluster = cluster_of(asked ? seed_of(A_QUESTION, first + row) : first + row);
        float *into = self->block + row * d;
        memcpy(into, self->centres + cluster * d, d * sizeof *into);
        add_part(into, d, self->spread, OWN_PART * (asked ? FURTHER * FURTHER : 1),
                 seed_of(kind, first + row) + 1);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)count, (int)d, (int)d, 1,
                self->block, (int)d, self->basis, (int)d, 0, out, (int)d);
    for (size_t row = 0; row < count; row++) {
        float *vector = out + row * d;
        double sum = 0;
        for (size_t at = 0; at < d; at++)
            sum += (double)vector[at] * vector[at];
        float scale = (float)(1 / sqrt(sum));
        for (size_t at = 0; at < d; at++)
            vector[at] *= scale;
    }
}

static void make_blocks(synthetic_t *self, enum kind kind, uint64_t first, size_t count, float *out)
{
    for (size_t at = 0; at < count; at += ROWS_AT_ONCE) {
        size_t rows = count - at < ROWS_AT_ONCE ? count - at : ROWS_AT_ONCE;
        make_rows(self, kind, first + at, rows, out + at * self->dimension);
    }
}

void synthetic_vectors(synthetic_t *self, uint64_t first, size_t count, float *out)
{
    make_blocks(self, A_VECTOR, first, count, out);
}

void synthetic_questions(synthetic_t *self, uint64_t first, size_t count, float *out)
{
    make_blocks(self, A_QUESTION, first, count, out);
}

// ---- texts --------------------------------------------------------------------------------------

// The most frequent words of English, in their order; the retriever leaves nearly all of them out.
static const char *const frequent[] = {
    "the",   "of",    "and",   "to",    "a",       "in",    "is",    "that", "for",   "it",
    "as",    "was",   "with",  "be",    "by",      "on",    "not",   "he",   "this",  "are",
    "or",    "his",   "from",  "at",    "which",   "but",   "have",  "an",   "had",   "they",
    "you",   "were",  "their", "one",   "all",     "we",    "can",   "her",  "has",   "there",
    "been",  "if",    "more",  "when",  "will",    "would", "who",   "so",   "no",    "she",
    "what",  "about", "into",  "them",  "then",    "than",  "its",   "only", "some",  "could",
    "these", "two",   "may",   "other", "do",      "any",   "my",    "such", "like",  "him",
    "our",   "how",   "each",  "over",  "between", "out",   "where", "up",   "these", "after",
};

enum {
    FREQUENT = sizeof frequent / sizeof *frequent
};

// Consonants and vowels in turn, for the stemmer to work on; another word for every rank.
static char *put_word(char *out, unsigned rank)
{
    static const char consonants[] = "bcdfghklmnprstvz", vowels[] = "aeiou";
    if (rank < FREQUENT)
        return stpcpy(out, frequent[rank]);
    do {
        *out++ = consonants[rank % 16];
        rank /= 16;
        *out++ = vowels[rank % 5];
        rank /= 5;
    } while (rank > 0);
    *out++ = 'n';
    return out;
}

// A rank from 0, by the inverse of the law's distribution.
static unsigned random_rank(uint64_t *state, double from)
{
    double first = from + MANDELBROT, last = VOCABULARY + MANDELBROT;
    unsigned rank = (unsigned)(first * pow(last / first, random_fraction(state)) - MANDELBROT);
    return rank < VOCABULARY ? rank : VOCABULARY - 1;
}

// Normal with this mean and deviation, kept within bounds.
static unsigned random_count(uint64_t *state, double mean, double deviation, unsigned least,
                             unsigned most)
{
    double value = mean + deviation * (double)random_normal(state);
    return value < least ? least : value > most ? most : (unsigned)value;
}

size_t synthetic_passage(uint64_t row, char *out)
{
    uint64_t state = seed_of(A_PASSAGE, row);
    // lengths of passages are skewed: the logarithm is about normal
    double length = 100 * exp(0.45 * (double)random_normal(&state));
    unsigned words = length < 20 ? 20 : length > 400 ? 400 : (unsigned)length;
    char *at = out;
    for (unsigned word = 0; word < words; word++) {
        if (word > 0)
            *at++ = ' ';
        at = put_word(at, random_rank(&state, 0));
        if (word % SENTENCE == SENTENCE - 1 || word == words - 1)
            *at++ = '.';
    }
    *at = '\0';
    return (size_t)(at - out);
}

size_t synthetic_question(uint64_t row, char *out)
{
    uint64_t state = seed_of(A_ASKED, row);
    unsigned words = random_count(&state, 10, 3.5, 4, 18);
    char *at = out;
    for (unsigned word = 0; word < words; word++) {
        if (word > 0)
            *at++ = ' ';
        // the last one says something, however many of the others are stop words
        at = put_word(at, random_rank(&state, word + 1 < words ? 0 : FREQUENT));
    }
    *at++ = '?';
    *at = '\0';
    return (size_t)(at - out);
}
