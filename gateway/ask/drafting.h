// drafting: while a question is typed, its words so far are sent as a draft (POST /v1/draft), whose
// passages then wait for the question. Drafts only save time: a failure is not shown, and stops
// them for a while.
#ifndef DRAFTING_H
#define DRAFTING_H

#include "talk.h"

typedef struct drafting drafting_t;

// Asks the gateway whether it takes drafts. `talk` is borrowed.
drafting_t *drafting_new(struct event_base *base, talk_t *talk);
void drafting_destroy(drafting_t **self_p);

// The text that stands there now: a draft of it is sent when nothing has been typed for a while, in
// place of the one before, if that is still at work.
void drafting_typed(drafting_t *self, const char *text);

// The question is sent: the name that its drafts had, NULL if there were none; valid until the next
// drafting_typed. A draft of the same words that is still at work is left to finish, since the
// question waits for it.
const char *drafting_take(drafting_t *self, const char *question);

#endif
