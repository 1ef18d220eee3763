// pace: how fast somebody types. The page does the same (web/index.html, drafts).
#include "pace.h"

#include <stdlib.h>
#include <string.h>

#include "utf8.h"

enum {
    SHORTEST_MS = 130,
    LONGEST_MS = 800,
    UNKNOWN_MS = 480,     // as long as the pace is not known
    LEAST_KEYS = 5,       // to know it
    PIECE = 8,            // characters at once: pasted, or taken from the history
    THOUGHT_US = 1500000, // a longer pause is none between two keys
};

static int by_size(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static long usual_ms(const pace_t *self)
{
    uint64_t sorted[PACE_KEYS];
    if (self->size < LEAST_KEYS)
        return UNKNOWN_MS;
    memcpy(sorted, self->keys_us, self->size * sizeof *sorted);
    qsort(sorted, self->size, sizeof *sorted, by_size);
    long ms = (long)(2 * sorted[self->size / 2] / 1000);
    return ms < SHORTEST_MS ? SHORTEST_MS : ms > LONGEST_MS ? LONGEST_MS : ms;
}

static bool ends_sentence(const char *text)
{
    static const char *const marks[] = {".", "?", "!", "。", "？", "！"};
    size_t size = strlen(text);
    while (size > 0 && text[size - 1] == ' ')
        size--;
    for (size_t at = 0; at < sizeof marks / sizeof *marks; at++) {
        size_t length = strlen(marks[at]);
        if (size >= length && memcmp(text + size - length, marks[at], length) == 0)
            return true;
    }
    return false;
}

long pace_typed(pace_t *self, const char *text, uint64_t now_us)
{
    size_t characters = rl_utf8_length(text, strlen(text)), before = self->characters;
    uint64_t passed = now_us - self->last_us;
    if (self->last_us > 0 && characters == before + 1 && passed < THOUGHT_US) {
        self->keys_us[self->at] = passed;
        self->at = (self->at + 1) % PACE_KEYS;
        self->size += self->size < PACE_KEYS;
    }
    self->last_us = now_us;
    self->characters = characters;
    if (characters > before + PIECE || ends_sentence(text))
        return SHORTEST_MS;
    return usual_ms(self);
}

void pace_again(pace_t *self)
{
    self->characters = 0;
    self->last_us = 0;
}
