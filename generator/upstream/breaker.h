// breaker: whether a server is worth a question. After so many failures in a row it opens: nothing
// is asked for a while. Then one question tries the server again (half-open); its first words close
// the breaker, on trial until an answer came whole; its failure opens it for twice as long, up to
// BREAKER_LONGEST times the first pause. No clock and no chance of its own: times and dice are
// given.
#ifndef BREAKER_H
#define BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BREAKER_LONGEST = 16
}; // the longest pause, in first pauses

typedef enum breaker_state {
    BREAKER_CLOSED,
    BREAKER_OPEN,
    BREAKER_HALF_OPEN // one question is trying
} breaker_state_t;

typedef struct breaker {
    unsigned limit;    // failures in a row that open it; 0: it never opens
    uint64_t pause_us; // the first pause
    breaker_state_t state;
    unsigned failures; // in a row
    unsigned openings; // in a row, without a whole answer between them
    uint64_t until_us; // open: until then
} breaker_t;

// (Re)sets its options and keeps its state.
void breaker_set(breaker_t *self, unsigned limit, uint64_t pause_us);
// Forgets what was: it is another server.
void breaker_reset(breaker_t *self);

// "closed", "open", "half-open".
const char *breaker_state_name(breaker_state_t state);

// Whether a question may go there: closed, or open long enough.
bool breaker_admits(const breaker_t *self, uint64_t now_us);
// A question goes there, admitted or not. Returns whether it is the one that tries it again; its
// outcome must be told with `probe`.
bool breaker_ask(breaker_t *self, uint64_t now_us);

// The first words of an answer have come.
void breaker_speaks(breaker_t *self);
// An answer has come whole.
void breaker_done(breaker_t *self);
// It did not answer. `at_least_us`: it asked to be left alone for so long (within the longest
// pause); `dice`, 0 to 1, spreads pauses over 0.75 to 1.25 of their length, so that several
// generators do not come back at one moment.
void breaker_failed(breaker_t *self, bool probe, uint64_t now_us, uint64_t at_least_us,
                    double dice);
// Nobody waits for the answer any more, and it is not known how the server is.
void breaker_left(breaker_t *self, bool probe, uint64_t now_us);

#endif
