// prefill: prompts that the LLM server reads ahead of a question, so that it has them when the
// question comes: what a gateway expects to be asked (a draft's passages), and at start the
// beginning that all prompts have. Servers keep what they have read: llama.cpp's server the prompt
// of each slot, and it puts a request into the slot whose prompt begins most like it; vLLM blocks
// of tokens.
//
// A prefill is built exactly as the question's own prompt and sent like it, but for one token or
// none. It takes a slot of the server's only beyond a reserve, and yields: when a question comes to
// the same server, prefills there end at once, with their connections (the server finishes the
// batch that it is reading first), and keep what they have read. Only one that reads this very
// question's prompt at a server with slots is not ended: then the question waits for it, since the
// server would read the same once more in another slot.
//
// DONE is all that is sent to its gateway: finish "prefilled"; "yielded" to a question; "skipped"
// with a "reason" among the timings: "off" (no server that keeps prompts), "busy", or the code of a
// failure.
#ifndef PREFILL_H
#define PREFILL_H

#include "task.h"

// Starts a task whose `prefill` is set, or ends it as skipped.
void prefill_start(task_t *task);
// Ends it early; `reason` may be NULL.
void prefill_end(task_t *task, const char *finish, const char *reason);
// Its call was cancelled or has failed.
void prefill_call_ended(upstream_t *upstream);
// It has ended: tasks that wait for it go on.
void prefill_wake_waiting(task_t *prefill);

// An answer is about to be requested: prefills at its upstream end. Returns true where one of them
// reads the same prompt: the task will be asked again when it ends.
bool prefill_yield_to(task_t *task, const prompt_t *prompt);

// Has the beginning that all prompts have read by servers that have not read it yet; called every
// announce period.
void prefill_warm(generator_t *generator);

// Whether prefills are of use: the server that is asked first keeps prompts.
bool prefill_is_useful(const generator_t *generator);

#endif
