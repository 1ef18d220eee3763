// request: one question's way through the gateway.
//
//   received → (rewriting) → searching → merging → waiting → generating → streaming → done
//                                                                   at any time: failed, cancelled
#ifndef REQUEST_H
#define REQUEST_H

#include "gateway.h"

typedef struct request request_t;

// A question has come; it is answered in whatever way, and the request is gone then.
void request_start(gateway_t *gateway, http_req_t *req, question_form_t form);

// Messages of workers; the task is one of the gateway's own.
void request_hits(task_t *task, rl_msg_t *msg);
void request_search_failed(task_t *task, const rl_failed_t *failed);
// Whether the message is to wait until the passages are complete; it is kept then.
bool request_hold(task_t *task, rl_msg_t *msg);
void request_progress(task_t *task, const rl_progress_t *progress);
void request_token(task_t *task, const rl_token_t *token);
void request_done(task_t *task, const rl_done_t *done);
void request_generate_failed(task_t *task, const rl_failed_t *failed);

// The worker that had the task is gone: the task ends, and goes to another if there is one.
void request_task_lost(task_t *task);

// A generator became ready or has a slot free: those that wait go on, oldest first.
void request_generators_free(gateway_t *gateway);

// Those that waited for another question's retrieval: with what it found, or by themselves.
void request_orphans_search(gateway_t *gateway);
// A retriever has room again, or is new: searches of all requests that wait for one are asked,
// oldest first.
void request_searches_again(gateway_t *gateway);

// Stops an answer of the caller with this name; its client gets an error "cancelled". False if
// there is none with this id at work.
bool request_cancel(gateway_t *gateway, const char *id, const char *caller);

// Looks after answers whose tokens have stopped coming; called a few times a second.
void request_look_after_silent(gateway_t *gateway);

// Adds to `states` (of REQUEST_STATES) how many requests are in each; returns when the oldest came
// (by rl_now_us), 0 if there is none.
uint64_t request_count_states(const gateway_t *gateway, size_t *states);

// Those at work, oldest first, as a list of a dump; nothing of what was asked.
void request_dump(const gateway_t *gateway, rl_dump_t *dump);

// Ends all that are still at work with an error: the gateway stops.
void request_stop_all(gateway_t *gateway);

#endif
