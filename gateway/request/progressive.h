// progressive: passages go out while slow sources are still awaited: what has been found so far, in
// the order of now, marked as not final; then again when more has come, each time not before twice
// as long as the time before, so that a question has a handful of them however many sources it has.
// Nothing rests on them: numbers of citations are those of the final passages.
#ifndef PROGRESSIVE_H
#define PROGRESSIVE_H

#include "request.h"

// Sources have been asked, by it or by the one that it waits for.
void progressive_arm(request_t *self);
// Shows what `from` (itself, or the one that it waits for; NULL: nobody) has found, if it is time.
void progressive_look(request_t *self, const request_t *from);
void progressive_end(request_t *self);

#endif
