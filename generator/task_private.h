// task_private: what the files of a task share: task.c (its life), task_upstream.c (which upstream
// is asked, and what to do when that fails), task_stream.c (the text that comes), task_timings.c.
// For them and prefill.c alone.
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
// Frees everything but what is still to be acknowledged.
void task_release(task_t *self);

// task_upstream.c

// Asks the upstream whose turn it is.
void task_ask_upstream(task_t *self);
// Cancels the call under way, if there is one.
void task_leave_upstream(task_t *self);
// The upstream has sent something: it is no failing server.
void task_upstream_responded(task_t *self);
// Builds the prompt for self->upstream. -1 when it does not fit; then prompt->tokens says how long
// it is. The prompt is to be freed in any case.
int task_build_prompt(task_t *self, uint64_t max_tokens, prompt_t *prompt);
// The longest answer that the upstream may write.
uint64_t task_max_tokens(const task_t *self);
// Tells the gateway how far the prompt is read.
void task_report_reading(task_t *self, unsigned percent);

// A backend's event: the call has failed.
void task_on_failed(void *arg, const backend_failure_t *failure);

// task_timings.c

// Appends the marks that rl_done_t describes, as a JSON object without its closing brace.
void task_write_timings(const task_t *self, const backend_end_t *end, const backend_times_t *times,
                        rl_buf_t *out);
// Measures how fast the server reads prompts from what the end says of this one.
void task_measure_reading(const task_t *self, const backend_end_t *end,
                          const backend_times_t *times);

#endif
