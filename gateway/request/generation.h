// generation: the generating half of a request: a generator is chosen, its numbered messages are
// taken in order, each once, and what they say goes to the client at once. Files: generation.c
// (choosing, sending, credit, order), generation_messages.c (what they say), generation_timings.c
// (the generator's own account), citations.c (which sentence a citation is of).
#ifndef GENERATION_H
#define GENERATION_H

#include "request.h"

// ---- the sequence's steps ----
// Chooses a generator, unless that has failed since generation_try_again; the request stands in
// the queue otherwise.
bool generation_choose(request_t *self);
// One with room to spare, while searching.
bool generation_choose_idle(request_t *self);
// One that reads a draft's passages ahead.
bool generation_choose_prefiller(request_t *self);
// Sends the task to the one that was chosen.
bool generation_send(request_t *self);
// Whether the one that was chosen did not take it: others behind in the queue may get through.
bool generation_is_unsent(const request_t *self);
bool generation_is_sent(const request_t *self);
// What has come: the message at hand (NULL: none), borrowed; whether it is the first word, so that
// the state changes before it is taken.
const rl_msg_t *generation_incoming(const request_t *self);
void generation_drop_incoming(request_t *self);
bool generation_is_first_word(const request_t *self, const rl_msg_t *msg);
// Takes it; returns the state that comes next.
request_state_t generation_take(request_t *self, const rl_msg_t *msg);
bool generation_is_lost(const request_t *self);
request_state_t generation_take_loss(request_t *self);
// The generation begun while searching: its generator was lost; it is begun again.
void generation_abandon(request_t *self);
void generation_restart(request_t *self);
void generation_end(request_t *self);

// ---- events ----
// Something has come from the generator, a sign of life.
void generation_hear(request_t *self);
// The message, borrowed until the sequence has taken it.
void generation_receive(request_t *self, const rl_msg_t *msg);
void generation_lose(task_t *task);
// The client takes output again.
void generation_resume(request_t *self);
// Room may have come: it is tried again.
void generation_try_again(request_t *self);
// A stream that is silent is asked about. True if the task never arrived, and is to be taken for
// lost.
bool generation_look_silent(request_t *self, uint64_t now);

// ---- for others ----
// Those in the queue, oldest first.
request_t *generation_first_waiting(const pipeline_t *pipeline);
request_t *generation_next_waiting(const request_t *self);
task_t *generation_task(const request_t *self);
// Of the generator at work; "" if none is.
const char *generation_model(const request_t *self);
void generation_dump(const request_t *self, rl_dump_t *dump);

#endif
