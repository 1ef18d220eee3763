// generation_private: what the files of the generation share; for them alone.
#ifndef GENERATION_PRIVATE_H
#define GENERATION_PRIVATE_H

#include "generation.h"
#include "request_private.h"

typedef struct generation {
    request_t *request;
    task_t *task;
    worker_t *chosen;       // that is to get the task
    const worker_t *except; // that has failed at it just now: asked again only if there is no other
    bool due;               // a generator is to be looked for
    bool queued;            // stands in pipeline->waiting
    bool alone;             // and no generator is there: it fails if none comes
    bool unsent;            // the one that was chosen last did not take it
    size_t left_out;        // passages for which the task had no room
    bool lost;              // its worker is, and nobody has looked at it yet
    char *worker;           // id of the one that was asked last
    unsigned tries, losses; // generators asked; of them lost
    uint64_t sent_us, heard_us;
    bool heard;               // at all
    const rl_msg_t *incoming; // borrowed
    uint64_t seq, granted;    // highest number taken; numbers up to this may be sent
    bool paused;              // the client is behind: no credit until it has caught up
    uint64_t gap_us;          // when a gap was last asked about
    uint64_t tokens_before;   // of the answer's tokens, by generators that were lost
    TAILQ_ENTRY(generation) next;
} generation_t;

// Ends the task; the generator may forget what it kept to send again.
void generation_end_task(request_t *self);
// Whether this is the next message of the stream. Doubles are dropped, a gap is asked about and
// what came behind it is dropped too: it comes again.
bool generation_take_number(request_t *self, uint64_t seq);
// Grants more when half of the window is used, unless the client is behind.
void generation_grant(request_t *self);
// Another generator is to be looked for.
void generation_look_for(request_t *self, const worker_t *except);

// generation_timings.c: the generator's durations, one after the other from where the task was
// sent; a generation that was lost.
void generation_note_timings(request_t *self, const rl_done_t *done);
void generation_note_loss(request_t *self);

#endif
