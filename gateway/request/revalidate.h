// revalidate: before passages that were found for another question are used, the sources whose
// indexes take changes are asked for the last change that is in force. The answer is known by the
// registry then, and with it the key under which the passages would have to be kept: what was found
// before a change is not found any more. Announcements alone tell of changes too late for that: a
// passage is not to be shown once its deletion was acknowledged.
#ifndef REVALIDATE_H
#define REVALIDATE_H

#include "request.h"

typedef enum revalidate_state {
    REVALIDATE_NONE, // nothing was asked
    REVALIDATE_ASKING,
    REVALIDATE_CURRENT, // all have said what is in force
    REVALIDATE_FAILED,  // one has not: nothing of others is used
} revalidate_state_t;

revalidate_state_t revalidate_state(const request_t *self);
// Asks those that have to be asked; false if that has failed already.
bool revalidate_begin(request_t *self);
// Events: what a source said; `known`: that it said what is in force.
void revalidate_take(task_t *task, bool known);
void revalidate_end(request_t *self);

#endif
