// text: tokens with stamps, vectors and passages made from hashes.
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    SENTENCE = 12,
    VOCABULARY = 20000,
    CONTENT_RANK = 60, // the first word that is no stop word
    CONTENT_WORDS = 20
};

static uint64_t next_random(uint64_t *state) // splitmix64 (Steele, Lea and Flood, 2014)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double fraction(uint64_t *state) // 0 to 1, 1 left out
{
    return (double)(next_random(state) >> 11) / 9007199254740992.0;
}

static char *put_number(char *out, uint64_t number)
{
    char digits[20];
    int size = 0;
    do
        digits[size++] = (char)('0' + number % 10);
    while (number /= 10);
    while (size > 0)
        *out++ = digits[--size];
    return out;
}

size_t text_token(char *out, unsigned n, uint64_t stamp_us)
{
    static const char *const words[] = {"the",   "socket",  "keeps", "every", "message", "in",
                                        "order", "until",   "its",   "peer",  "has",     "read",
                                        "and",   "timeout", "of",    "a",     "queue"};
    const char *word = words[n % (sizeof words / sizeof *words)];
    char *at = out;
    *at++ = ' ';
    at = stpcpy(at, word);
    *at++ = '#';
    at = put_number(at, n);
    *at++ = '@';
    at = put_number(at, stamp_us);
    if (n % SENTENCE == 0)
        *at++ = '.';
    *at = '\0';
    return (size_t)(at - out);
}

static const char *read_number(const char *at, const char *end, uint64_t *number)
{
    const char *start = at;
    for (*number = 0; at < end && *at >= '0' && *at <= '9'; at++)
        *number = *number * 10 + (uint64_t)(*at - '0');
    return at > start ? at : NULL;
}

const char *text_next_token(const char *at, const char *end, unsigned *n, uint64_t *stamp_us)
{
    while (at < end && (at = memchr(at, '#', (size_t)(end - at)))) {
        uint64_t number;
        const char *next = read_number(++at, end, &number);
        if (!next || next >= end || *next != '@')
            continue;
        next = read_number(next + 1, end, stamp_us);
        if (!next)
            continue;
        *n = (unsigned)number;
        return next;
    }
    return NULL;
}

void text_vector(const char *text, size_t size, float *out)
{
    uint64_t state = 0xcbf29ce484222325u; // FNV-1a
    for (size_t i = 0; i < size; i++)
        state = (state ^ (unsigned char)text[i]) * 0x100000001b3u;
    double sum = 0;
    for (size_t i = 0; i < TEXT_DIMENSION; i++) {
        // the sum of three uniform ones is near enough to normal, so directions are even
        double value = fraction(&state) + fraction(&state) + fraction(&state) - 1.5;
        out[i] = (float)value;
        sum += value * value;
    }
    for (size_t i = 0; i < TEXT_DIMENSION; i++)
        out[i] = (float)(out[i] / sqrt(sum));
}

size_t text_vector_json(const float *vector, char *out)
{
    char *at = out;
    for (size_t i = 0; i < TEXT_DIMENSION; i++) {
        long digits = lround(fabs((double)vector[i]) * 1e7);
        if (i > 0)
            *at++ = ',';
        if (vector[i] < 0)
            *at++ = '-';
        *at++ = (char)('0' + digits / 10000000);
        *at++ = '.';
        for (long unit = 1000000; unit > 0; unit /= 10)
            *at++ = (char)('0' + digits / unit % 10);
    }
    return (size_t)(at - out);
}

// A word of the vocabulary. The most frequent ones are English and left out of the index as stop
// words, as in real text; the others are consonants and vowels in turn, for the stemmer to work on.
static char *put_word(char *out, unsigned rank)
{
    static const char *const frequent[] = {
        "the",  "of",    "and",  "to",    "a",     "in",    "is",    "that",    "it",    "was",
        "for",  "on",    "are",  "as",    "with",  "they",  "be",    "at",      "this",  "have",
        "from", "or",    "had",  "by",    "not",   "but",   "what",  "all",     "were",  "we",
        "when", "your",  "can",  "there", "an",    "which", "their", "if",      "do",    "how",
        "each", "other", "then", "them",  "these", "so",    "some",  "her",     "would", "him",
        "into", "has",   "more", "no",    "than",  "been",  "who",   "through", "where", "before"};
    if (rank < sizeof frequent / sizeof *frequent)
        return stpcpy(out, frequent[rank]);
    static const char consonants[] = "bcdfghklmnprstvz", vowels[] = "aeiou";
    do {
        *out++ = consonants[rank % 16];
        rank /= 16;
        *out++ = vowels[rank % 5];
        rank /= 5;
    } while (rank > 0);
    *out++ = 'n';
    return out;
}

size_t text_passage(char *out, unsigned count, uint64_t seed)
{
    char *at = out;
    for (unsigned i = 0; i < count; i++) {
        // Zipf's law: ranks fall off evenly on a logarithmic scale
        unsigned rank = (unsigned)exp(fraction(&seed) * log(VOCABULARY)) - 1;
        if (i > 0)
            *at++ = ' ';
        at = put_word(at, rank);
        if (i % SENTENCE == SENTENCE - 1 || i == count - 1)
            *at++ = '.';
    }
    *at = '\0';
    return (size_t)(at - out);
}

size_t text_question(char *out, unsigned count, uint64_t seed)
{
    size_t size = text_passage(out, count - 1, seed);
    out[size - 1] = ' '; // its full stop
    // the most frequent words that are no stop words stand in any corpus of a hundred passages
    char *end = put_word(out + size, CONTENT_RANK + (unsigned)(seed % CONTENT_WORDS));
    *end++ = '?';
    *end = '\0';
    return (size_t)(end - out);
}
