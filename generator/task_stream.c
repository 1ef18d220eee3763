// task_stream: the text of an answer as it comes from an upstream, with citations, up to DONE.
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "probes.h"
#include "task_private.h"
#include "utf8.h"

enum {
    PIECE_MAX = 32 << 10, // bytes of one TOKEN
    LEARN_AT_ONCE = 64,   // bytes of first text: so long that a sentence may end in it
};

// ---- what goes to the gateway -----------------------------------------------------------

static void emit_cites(task_t *self, const cite_found_t *found, size_t size)
{
    for (size_t at = 0; at < size && self->state == TASK_STREAMING; at++) {
        rl_msg_t msg = {.type = RL_TOKEN,
                        .token = {.task = self->id,
                                  .text = "",
                                  .cite = found[at].passage,
                                  .cite_score = found[at].score}};
        task_send(self, &msg);
    }
}

static void emit_piece(task_t *self, const char *text, size_t size)
{
    rl_buf_t *scratch = &self->generator->scratch;
    if (text[size] != '\0') {
        rl_buf_clear(scratch);
        if (rl_buf_add(scratch, text, size) != 0)
            rl_out_of_memory(); // a piece has a bound below the buffer's
        text = scratch->data;
    }
    rl_msg_t msg = {.type = RL_TOKEN, .token = {.task = self->id, .text = text}};
    task_send(self, &msg);
}

// `text` is valid UTF-8, `size` bytes of it; not always followed by a NUL. What an upstream sends
// at once may be more than a message takes.
static void emit_text(task_t *self, const char *text, size_t size)
{
    while (size > 0 && self->state == TASK_STREAMING) {
        size_t piece = size < PIECE_MAX ? size : rl_utf8_whole(text, PIECE_MAX);
        emit_piece(self, text, piece);
        text += piece;
        size -= piece;
    }
}

// ---- words ------------------------------------------------------------------------------

// Takes from the request what citing needs; the request itself is not needed any more.
static void learn_passages(task_t *self)
{
    if (!self->generate)
        return;
    if (self->cite)
        cite_learn(self->cite, task_generate(self)->passages, self->passages_used);
    rl_msg_free(&self->generate);
}

// The first words: from here on there is no other upstream.
static void begin_streaming(task_t *self, size_t size)
{
    const char *prefix = task_generate(self)->prefix;
    cite_found_t found[CITE_MAX];
    size_t found_size;
    task_set_state(self, TASK_STREAMING);
    task_upstream_responded(self);
    self->first_token_us = self->at_us[TASK_STREAMING];
    RL_PROBE_LLM_FIRST_TOKEN(self->request, self->id,
                             self->first_token_us - self->at_us[TASK_RECEIVED],
                             self->first_token_us - self->at_us[TASK_ASKING]);
    if (self->cite) // the sentence may have begun before the answer was broken off
        cite_take(self->cite, prefix, strlen(prefix), found, &found_size);
    if (size >= LEARN_AT_ONCE || *prefix)
        learn_passages(self);
}

static void stream_text(task_t *self, const char *text, size_t size)
{
    cite_found_t found[CITE_MAX];
    while (size > 0 && self->state == TASK_STREAMING) {
        size_t found_size = 0, part = size;
        if (self->cite)
            part = cite_take(self->cite, text, size, found, &found_size);
        emit_text(self, text, part);
        emit_cites(self, found, found_size);
        text += part;
        size -= part;
    }
}

static void stream_repaired(task_t *self, const char *text, size_t size)
{
    size_t repaired_size = 0;
    char *repaired = rl_utf8_repair(text, size, &repaired_size);
    if (repaired)
        stream_text(self, repaired, repaired_size);
    free(repaired);
}

// Text of which the last character may be incomplete: its bytes are held until the rest comes.
static void stream_whole_characters(task_t *self, const char *text, size_t size)
{
    size_t whole = rl_utf8_whole(text, size);
    if (rl_utf8_valid(text, whole))
        stream_text(self, text, whole);
    else
        stream_repaired(self, text, whole);
    self->held_size = size - whole;
    memcpy(self->held, text + whole, self->held_size);
}

static bool on_text(void *arg, const char *text, size_t size)
{
    task_t *self = arg;
    if (size == 0 || self->state >= TASK_DONE)
        return true;
    if (self->state != TASK_STREAMING)
        begin_streaming(self, size);
    else
        learn_passages(self); // not before the first words were on their way
    self->tokens++;
    if (self->held_size > 0) {
        char *joined = rl_must(malloc(self->held_size + size + 1));
        memcpy(joined, self->held, self->held_size);
        memcpy(joined + self->held_size, text, size);
        joined[self->held_size + size] = '\0';
        stream_whole_characters(self, joined, self->held_size + size);
        free(joined);
    } else {
        stream_whole_characters(self, text, size);
    }
    self->paused = self->state < TASK_DONE &&
                   (outbox_is_blocked(&self->outbox) || gateway_link_is_behind(self->gateway));
    return !self->paused;
}

static void on_cite(void *arg, unsigned passage, double score)
{
    emit_cites(arg, &(cite_found_t){passage, score}, 1);
}

// ---- the end ----------------------------------------------------------------------------

static void on_done(void *arg, const backend_end_t *end, const backend_times_t *times)
{
    task_t *self = arg;
    cite_found_t found[CITE_MAX] = {{0}};
    size_t found_size = 0;
    rl_buf_t timings = rl_buf_make(4096);
    self->call = NULL;
    upstream_done(self->upstream);
    if (self->state == TASK_STREAMING) {
        learn_passages(self);
        if (self->held_size > 0)
            stream_repaired(self, self->held, self->held_size); // its rest never came
        if (self->cite)
            found_size = cite_end(self->cite, found);
        emit_cites(self, found, found_size);
    }
    task_measure_reading(self, end, times);
    task_write_timings(self, end, times, &timings);
    rl_buf_adds(&timings, "}");
    char fingerprint[MODEL_FINGERPRINT]; // settings may have changed since it was asked
    model_fingerprint(&self->generator->upstreams, self->upstream, fingerprint);
    rl_msg_t msg = {
        .type = RL_DONE,
        .done = {.task = self->id,
                 .finish = end->finish,
                 .model = end->model,
                 .upstream = self->upstream->backend->type->name,
                 .prompt_tokens = end->counted ? end->prompt_tokens : self->prompt_tokens,
                 .completion_tokens = end->counted ? end->completion_tokens : self->tokens,
                 .counted = end->counted,
                 .passages_used = self->passages_used,
                 .timings = timings.data,
                 .fingerprint =
                     strcmp(fingerprint, self->model_fingerprint) == 0 ? fingerprint : ""}};
    if (self->state < TASK_DONE)
        task_send(self, &msg);
    rl_buf_free(&timings);
    if (self->state >= TASK_DONE)
        return; // failed at the last moment
    task_set_state(self, TASK_DONE);
    task_release(self);
}

static void on_progress(void *arg, const char *stage, const char *message)
{
    task_upstream_responded(arg);
    task_report(arg, stage, message);
}

static void on_reading(void *arg, unsigned percent)
{
    task_report_reading(arg, percent);
}

const backend_events_t task_stream_events = {
    .text = on_text,
    .cite = on_cite,
    .progress = on_progress,
    .reading = on_reading,
    .done = on_done,
    .failed = task_on_failed,
};
