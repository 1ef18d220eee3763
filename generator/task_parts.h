// task_parts: what the files of a task share: task.c (its life), task_ask.c (whom to ask, and what
// to do when that fails), task_words.c (the words that come). For them alone.
#ifndef GEN_TASK_PARTS_H
#define GEN_TASK_PARTS_H

#include "task.h"

static inline const rl_generate_t *gen_task_generate(const gen_task_t *self)
{
    return &self->generate->generate;
}

// task.c

// Numbers a message and sends it; a task that has no room for it fails.
void gen_task_emit(gen_task_t *self, rl_msg_t *msg);
// As PROGRESS; frees the data.
void gen_task_tell_data(gen_task_t *self, const char *stage, rl_buf_t *data);
// Lets go of everything but what is still to be acknowledged.
void gen_task_stop(gen_task_t *self);

// task_ask.c

// Asks the one that is meant next.
void gen_task_ask(gen_task_t *self);
// Gives up the call at work, if there is one.
void gen_task_leave(gen_task_t *self);
// The upstream has shown that it is at work.
void gen_task_heard(gen_task_t *self);
// Builds the prompt for self->upstream. -1 when it does not fit (prompt->tokens says how long it
// is) or memory runs out. The prompt is to be freed in any case.
int gen_task_build(gen_task_t *self, uint64_t max_tokens, prompt_t *prompt);
// The longest answer that the upstream may write.
uint64_t gen_task_max_tokens(const gen_task_t *self);
// How far the prompt is read.
void gen_task_tell_reading(gen_task_t *self, unsigned percent);

// task_words.c

// The marks that proto.h describes, as a JSON object without its closing brace.
void gen_task_write_timings(const gen_task_t *self, const upstream_end_t *end,
                            const upstream_times_t *times, rl_buf_t *out);
// Takes what the end says of how fast the server reads.
void gen_task_measure(const gen_task_t *self, const upstream_end_t *end,
                      const upstream_times_t *times);

// an upstream's events

bool gen_task_on_text(void *arg, const char *text, size_t size);
void gen_task_on_cite(void *arg, unsigned passage, double score);
void gen_task_on_done(void *arg, const upstream_end_t *end, const upstream_times_t *times);

#endif
