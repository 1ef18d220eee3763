// request: one question's way through the gateway.
//
//   received → (rewriting) → searching → merging → waiting → generating → streaming → done
//                                                                   at any time: failed, cancelled
#ifndef REQUEST_H
#define REQUEST_H

#include "pipeline.h"
#include "question.h"

typedef struct request request_t;

// A question has come; it is answered in whatever way, and the request is gone then.
void request_start(pipeline_t *pipeline, http_req_t *req, question_form_t form);

// HITS or FAILED of a retriever about a task of this number.
void request_found(pipeline_t *pipeline, rl_msg_t *msg, uint64_t task, const char *worker);
// PROGRESS, TOKEN, DONE or FAILED of a generator.
void request_generated(pipeline_t *pipeline, rl_msg_t *msg, uint64_t task);

// The worker that had the task is gone: the task ends, and goes to another if there is one.
void request_task_lost(task_t *task);

// A generator became ready or has a slot free: those that wait go on, oldest first.
void request_generators_free(pipeline_t *pipeline);

// Those that waited for another question's retrieval: with what it found, or by themselves.
void request_orphans_search(pipeline_t *pipeline);
// A retriever has room again, or is new: searches of all requests that wait for one are asked,
// oldest first.
void request_searches_again(pipeline_t *pipeline);

// Stops an answer of the caller with this name; its client gets an error "cancelled". False if
// there is none with this id at work.
bool request_cancel(pipeline_t *pipeline, const char *id, const char *caller);

// Looks after answers whose tokens have stopped coming; called a few times a second.
void request_look_after_silent(pipeline_t *pipeline);

// Adds to `states` (of REQUEST_STATES) how many requests are in each; returns when the oldest came
// (by rl_now_us), 0 if there is none.
uint64_t request_count_states(const pipeline_t *pipeline, size_t *states);

// Those at work, oldest first, as a list of a dump; nothing of what was asked.
void request_dump(const pipeline_t *pipeline, rl_dump_t *dump);

// Ends all that are still at work with an error: the gateway stops.
void request_stop_all(pipeline_t *pipeline);

#endif
