// backend_extractive: answers without a model: the sentences of the passages that match the
// question best (extract.h), cited.
#include "backend.h"

#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "extract.h"
#include "mem.h"

enum {
    ANSWER_SENTENCES = 3,
};

static const char nothing_found[] = "The passages hold nothing that matches the question's words.";

typedef struct extractive {
    backend_t base;
    struct event_base *loop;
} extractive_t;

typedef struct extractive_call {
    backend_events_t events;
    void *arg;
    struct event next;
    char *texts[ANSWER_SENTENCES]; // the answer, in this order
    size_t passages[ANSWER_SENTENCES];
    double scores[ANSWER_SENTENCES];
    size_t size, sent;
    bool paused, busy, over;
} extractive_call_t;

// ---- choosing ---------------------------------------------------------------------------

static void choose_answer(extractive_call_t *call, const backend_request_t *ask)
{
    const rl_generate_t *generate = ask->generate;
    rl_extracted_t chosen[ANSWER_SENTENCES];
    size_t size = rl_extract(generate->question, generate->passages, generate->passages_size,
                             chosen, ANSWER_SENTENCES);
    size_t tokens = 0;
    for (size_t at = 0; at < size; at++) {
        tokens += prompt_tokens(chosen[at].text, chosen[at].size);
        if (at > 0 && tokens > ask->max_tokens)
            break;
        call->texts[at] = rl_extract_wording(chosen[at].text, chosen[at].size, at == 0);
        call->passages[at] = chosen[at].passage + 1;
        call->scores[at] = chosen[at].score;
        call->size++;
    }
    if (call->size == 0) {
        call->texts[0] = rl_strdup(nothing_found);
        call->size = 1;
    }
}

// ---- saying it, a sentence a turn -------------------------------------------------------

static void extractive_free(extractive_call_t *call)
{
    event_del(&call->next);
    for (size_t at = 0; at < ANSWER_SENTENCES; at++)
        free(call->texts[at]);
    free(call);
}

static void finish_call(extractive_call_t *call)
{
    static const backend_times_t none = {0};
    backend_end_t end = {.finish = "stop",
                         .model = "extractive",
                         .cached_tokens = -1,
                         .read_tokens = -1,
                         .prefill_ms = -1};
    call->events.done(call->arg, &end, &none);
    extractive_free(call);
}

static void say_next(evutil_socket_t fd, short what, void *arg)
{
    extractive_call_t *call = arg;
    (void)fd;
    (void)what;
    if (call->sent == call->size) {
        finish_call(call);
        return;
    }
    size_t at = call->sent++;
    call->busy = true;
    call->paused = !call->events.text(call->arg, call->texts[at], strlen(call->texts[at]));
    if (!call->over && call->passages[at] > 0)
        call->events.cite(call->arg, (unsigned)call->passages[at], call->scores[at]);
    call->busy = false;
    if (call->over)
        extractive_free(call);
    else if (!call->paused)
        event_active(&call->next, EV_TIMEOUT, 1);
}

static backend_call_t *extractive_start(backend_t *base, const backend_request_t *ask,
                                        const backend_events_t *events, void *arg)
{
    extractive_t *self = (extractive_t *)base;
    extractive_call_t *call = rl_new(*call);
    call->events = *events;
    call->arg = arg;
    evtimer_assign(&call->next, self->loop, say_next, call);
    choose_answer(call, ask);
    event_active(&call->next, EV_TIMEOUT, 1);
    return (backend_call_t *)call;
}

static void extractive_resume(backend_call_t *base)
{
    extractive_call_t *call = (extractive_call_t *)base;
    if (!call->paused)
        return;
    call->paused = false;
    event_active(&call->next, EV_TIMEOUT, 1);
}

static void extractive_cancel(backend_call_t **base_p)
{
    extractive_call_t *call = (extractive_call_t *)*base_p;
    *base_p = NULL;
    if (!call)
        return;
    call->over = true;
    if (!call->busy)
        extractive_free(call);
}

// ---- the backend ------------------------------------------------------------------------

static bool extractive_check(const backend_settings_t *settings, char *why, size_t why_size)
{
    (void)settings; // nothing to set
    (void)why;
    (void)why_size;
    return true;
}

static bool extractive_configure(backend_t *base, const backend_settings_t *settings)
{
    (void)base;
    (void)settings;
    return false;
}

static const char *extractive_model(const backend_t *base)
{
    (void)base;
    return "extractive";
}

static void extractive_destroy(backend_t **base_p)
{
    free(*base_p);
    *base_p = NULL;
}

static const backend_type_t extractive_type = {
    .name = "extractive",
    .check = extractive_check,
    .configure = extractive_configure,
    .model = extractive_model,
    .start = extractive_start,
    .resume = extractive_resume,
    .cancel = extractive_cancel,
    .destroy = extractive_destroy,
};

backend_t *backend_extractive_new(struct event_base *base)
{
    extractive_t *self = rl_new(*self);
    self->base.type = &extractive_type;
    self->loop = base;
    return &self->base;
}
