// task_private: what the files of a task share: task.c (its life), task_upstream.c (whom to ask,
// and what to do when that fails), task_stream.c (the words that come). For them alone.
#ifndef TASK_PRIVATE_H
#define TASK_PRIVATE_H

#include "task.h"

static inline const rl_generate_t *task_generate(const task_t *self)
{
    return &self->generate->generate;
}

// task.c

// Numbers a message and sends it; a task that has no room for it fails.
void task_send(task_t *self, rl_msg_t *msg);
// As PROGRESS; frees the data.
void task_report_data(task_t *self, const char *stage, rl_buf_t *data);
// Lets go of everything but what is still to be acknowledged.
void task_release(task_t *self);

// task_upstream.c

// Asks the one that is meant next.
void task_ask_upstream(task_t *self);
// Gives up the call at work, if there is one.
void task_leave_upstream(task_t *self);
// The upstream has shown that it is at work.
void task_upstream_responded(task_t *self);
// Builds the prompt for self->upstream. -1 when it does not fit (prompt->tokens says how long it
// is) or memory runs out. The prompt is to be freed in any case.
int task_build_prompt(task_t *self, uint64_t max_tokens, prompt_t *prompt);
// The longest answer that the upstream may write.
uint64_t task_max_tokens(const task_t *self);
// How far the prompt is read.
void task_report_reading(task_t *self, unsigned percent);

// task_stream.c

// The marks that proto.h describes, as a JSON object without its closing brace.
void task_write_timings(const task_t *self, const backend_end_t *end, const backend_times_t *times,
                        rl_buf_t *out);
// Takes what the end says of how fast the server reads.
void task_measure_reading(const task_t *self, const backend_end_t *end,
                          const backend_times_t *times);

// an upstream's events

bool task_on_text(void *arg, const char *text, size_t size);
void task_on_cite(void *arg, unsigned passage, double score);
void task_on_done(void *arg, const backend_end_t *end, const backend_times_t *times);

#endif
