// text_terms: the words of a text as hashes.
#include "text_terms.h"

#include <ctype.h>
#include <string.h>

enum {
    LONGEST = 64
}; // bytes of a term that count; the rest is passed over

// Words that say nothing about what a sentence is about, sorted.
static const char *const frequent[] = {
    "a",     "about", "after", "all",  "also",  "an",    "and",   "any",   "are",   "as",
    "at",    "be",    "been",  "but",  "by",    "can",   "could", "did",   "do",    "does",
    "for",   "from",  "had",   "has",  "have",  "how",   "i",     "if",    "in",    "into",
    "is",    "it",    "its",   "may",  "me",    "might", "more",  "must",  "my",    "no",
    "not",   "of",    "on",    "only", "or",    "other", "our",   "shall", "so",    "some",
    "such",  "than",  "that",  "the",  "their", "them",  "then",  "there", "these", "they",
    "this",  "those", "to",    "was",  "we",    "were",  "what",  "when",  "where", "which",
    "while", "who",   "why",   "will", "with",  "would", "you",   "your",
};

static bool is_frequent(const char *word, size_t size)
{
    size_t low = 0, high = sizeof frequent / sizeof *frequent;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = strncmp(word, frequent[mid], size);
        if (order == 0 && frequent[mid][size] == '\0')
            return true;
        if (order > 0)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

// A light form of stemming, enough for "sockets" to meet "socket" and "connecting" "connect".
static size_t stem_size(const char *word, size_t size)
{
    if (size > 5 && memcmp(word + size - 3, "ing", 3) == 0)
        return size - 3;
    if (size > 4 && memcmp(word + size - 2, "ed", 2) == 0)
        return size - 2;
    if (size > 4 && memcmp(word + size - 2, "es", 2) == 0)
        return size - 2;
    if (size > 3 && word[size - 1] == 's' && word[size - 2] != 's')
        return size - 1;
    if (size > 3 && word[size - 1] == 'e')
        return size - 1; // so that "use" and "using", "uses" meet
    return size;
}

// FNV-1a, 32 bit. http://www.isthe.com/chongo/tech/comp/fnv/
static uint32_t hash_of(const char *data, size_t size)
{
    uint32_t hash = 0x811c9dc5u;
    for (size_t at = 0; at < size; at++)
        hash = (hash ^ (unsigned char)data[at]) * 0x01000193u;
    return hash;
}

// Whether a three or four byte character starts here that is a word by itself: U+2E80 and above is
// CJK, kana, Hangul… (E2 BA 80 in UTF-8).
static bool stands_alone(const unsigned char *at, const unsigned char *end)
{
    return at[0] > 0xe2 || (at[0] == 0xe2 && end - at > 1 && at[1] >= 0xba);
}

static size_t character_size(unsigned char first)
{
    return first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static bool in_word(unsigned char c)
{
    return isalnum(c) || c == '_' || c >= 0x80;
}

bool rl_text_terms_next(rl_text_terms_t *self, uint32_t *hash)
{
    const unsigned char *at = (const unsigned char *)self->at;
    const unsigned char *end = (const unsigned char *)self->end;
    while (at < end) {
        char word[LONGEST];
        size_t size = 0;
        if (!in_word(*at)) {
            at++;
            continue;
        }
        if (*at >= 0xe2 && stands_alone(at, end)) {
            size_t length = character_size(*at);
            if (length > (size_t)(end - at))
                length = (size_t)(end - at);
            *hash = hash_of((const char *)at, length);
            self->at = (const char *)at + length;
            return true;
        }
        while (at < end && in_word(*at) && !(*at >= 0xe2 && stands_alone(at, end))) {
            if (size < LONGEST)
                word[size++] = (char)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at);
            at++;
        }
        if ((size == 1 && isalpha((unsigned char)word[0])) || is_frequent(word, size))
            continue;
        *hash = hash_of(word, stem_size(word, size));
        self->at = (const char *)at;
        return true;
    }
    self->at = self->end;
    return false;
}
