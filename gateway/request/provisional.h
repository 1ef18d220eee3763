// provisional: the answer is begun while a slow source is still awaited. Once enough sources have
// answered, and those that have not take longer than is usual, a generator gets what there is. What
// it writes waits in the early buffer. If the late sources change nothing, the words are there when
// the passages are complete; if they do, the generation is cancelled and begun again with the final
// passages. It is a bounded share of all questions, and only while generators have room to spare.
#ifndef PROVISIONAL_H
#define PROVISIONAL_H

#include "request.h"

// Sources have been asked: late ones may be gone without for a while.
void provisional_arm(request_t *self);
// While searching: begins if it is time, and sees whether its generator was lost.
void provisional_look(request_t *self);
// The passages are complete: true if the generation begun before goes on, false if one has to be
// begun.
bool provisional_keep(request_t *self);

// Event: whether the generator's message goes into the early buffer; it has been moved there then.
bool provisional_take(request_t *self, rl_msg_t *msg);
// The first message of the early buffer, NULL if it is empty (or not to be read yet).
const rl_msg_t *provisional_early(const request_t *self);
void provisional_drop_first(request_t *self);
void provisional_drop_early(request_t *self);
void provisional_end(request_t *self);

#endif
