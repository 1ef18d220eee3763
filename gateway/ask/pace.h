// pace: how fast somebody types, and with it for how long they pause before their words so far are
// worth searching for.
#ifndef PACE_H
#define PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PACE_KEYS = 25, // times between two keys that are remembered
};

typedef struct pace {
    uint64_t keys_us[PACE_KEYS]; // a ring
    size_t size, at;
    uint64_t last_us;  // when the text changed last, 0: never
    size_t characters; // of the text then
} pace_t;

// The text is now this one. Returns how long it must stay so (ms) before it is worth a draft: twice
// what this person takes for a key, so that the pause within a word is not taken for its end; short
// where a sentence ends or a piece came in whole.
long pace_typed(pace_t *self, const char *text, uint64_t now_us);
// Another text is begun; the pace is the same.
void pace_again(pace_t *self);

#endif
