// search: the retrieval half of a request: every source is asked as soon as its input is there,
// and what has come by the deadline is merged. Files: search.c (asking), search_answers.c (what
// retrievers send, what is put off, when it is over), search_passages.c (what has been found),
// search_report.c (timeline, dump).
#ifndef SEARCH_H
#define SEARCH_H

#include "request.h"

// ---- the sequence's steps, in their order ----
// Chooses the sources and reads the deadlines; false if there are none.
bool search_plan(request_t *self);
// Asks those that can be asked, has the question embedded for the others; deadlines begin.
void search_ask_all(request_t *self);
bool search_has_asked(const request_t *self);
// Once: true when the question's vector has come, or will not come.
bool search_has_embedded(request_t *self);
void search_ask_dense(request_t *self);
// Asks again what failed, what was put off until now, and what waits for room, if there is room.
void search_ask_again(request_t *self);
// Nothing is awaited any more, or the soft deadline is over and enough have answered; the others
// are given up then.
bool search_is_over(request_t *self);
// What has been found becomes self->passage_set. `current`: from the generations in force.
void search_merge(request_t *self, bool current);
// Cancels what is under way, and forgets everything; search_end writes it into the timeline.
void search_end(request_t *self);
void search_discard(request_t *self);

// ---- events ----
void search_take_hits(task_t *task, rl_msg_t *msg);
void search_take_failure(task_t *task, const rl_failed_t *failed);
// A retriever has room again, or is new. True if a source waits for that.
bool search_take_room(request_t *self);

// ---- for the other parts ----
size_t search_count(const request_t *self);
const source_t *search_source(const request_t *self, size_t at);
size_t search_pending(const request_t *self);
// Deadlines and quorum: "soft/hard/quorum".
void search_limits_text(const request_t *self, char *out, size_t size);
unsigned search_passages_wanted(const request_t *self);
// Hits of each kind that count in the fusion.
unsigned search_candidates_wanted(const request_t *self);
// Sources that have answered; of them, those that answered from the newest generation of their
// collection.
size_t search_answered(const request_t *self);
size_t search_answered_newest(const request_t *self);
// The passages of what has answered so far; the caller owns them.
merged_passage_t *search_merge_now(const request_t *self, size_t *size);
// Sources without an answer, into rooms for search_count of each: they will not answer; or may yet.
void search_list_others(const request_t *self, missing_source_t *missing, size_t *missing_size,
                        missing_source_t *awaited, size_t *awaited_size);
// Ends the retrieval: those that gave nothing are named in self->answer.
void search_list_missing(request_t *self);
// Whether all answered, from the generations that are in force.
bool search_is_current(const request_t *self);
// A search took less effort than it should, for want of time.
bool search_is_lowered(const request_t *self);
// The question's vector; NULL if there is none. Taking it leaves none.
const float *search_vector(const request_t *self, size_t *dimension);
float *search_take_vector(request_t *self, size_t *dimension);

// Searches that were sent and not hedged yet: whether this one is, and to whom and when it was.
bool search_may_hedge(const request_t *self, size_t at, const worker_t **worker, uint64_t *sent_us);
bool search_send_hedge(request_t *self, size_t at, worker_t *worker);
// Whether any was sent or put off since this was asked last, or it is time to look again. *sent:
// how many were sent.
bool search_has_moved(request_t *self, unsigned *sent);
// Looks again after so many µs, or sooner where a source was put off.
void search_look_in(request_t *self, uint64_t us);

void search_dump(const request_t *self, rl_dump_t *dump);

#endif
