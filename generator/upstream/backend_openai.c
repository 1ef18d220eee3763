// backend_openai: asks any OpenAI-compatible server for a streamed chat completion.
//
//     start → (GET models, while the model's name is not known) → POST chat/completions
//           → text… → done | failed
#include "backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "openai_call.h"
#include "openai_request.h"

enum {
    BODY_MAX = 16 << 20, // bytes of the request
};

typedef struct openai {
    backend_t base;
    openai_server_t server;
    LIST_HEAD(openai_calls, openai_call) calls;
} openai_t;

// ---- asking -----------------------------------------------------------------------------

static int ask_now(openai_call_t *call)
{
    rl_buf_t body = rl_buf_make(BODY_MAX);
    rl_buf_adds(&body, "{\"model\":");
    rl_buf_add_json(&body, call->server->model, strlen(call->server->model));
    openai_request_part(&body, call->server->kind, call->salt);
    if (rl_buf_add(&body, call->request.data, call->request.size) == 0)
        call->fetch = openai_server_fetch(call->server, "/chat/completions",
                                          &(rl_fetch_request_t){.accept = "text/event-stream",
                                                                .body = body.data,
                                                                .body_size = body.size,
                                                                .traceparent = call->traceparent,
                                                                .tracestate = call->tracestate,
                                                                .on_data = openai_call_on_data,
                                                                .on_done = openai_call_on_done,
                                                                .arg = call});
    rl_buf_free(&body);
    rl_buf_free(&call->request);
    call->asked_after = rl_now_us() - call->started;
    return call->fetch ? 0 : -1;
}

// ---- the model's name -------------------------------------------------------------------

static void on_models(void *arg, const rl_fetch_result_t *result)
{
    openai_call_t *call = arg;
    openai_server_t *self = call->server;
    call->fetch = NULL;
    bool learnt = openai_server_learn(self, result);
    if (result->ok && self->kind == OPENAI_UNKNOWN)
        self->kind = OPENAI_OTHER; // it does not say: it is not asked again for that
    if (self->model[0] || learnt) {
        if (ask_now(call) == 0)
            return;
        openai_call_broken(call, "nothing: the request could not be made", "", 0);
    } else if (!result->ok || result->status >= 300) {
        openai_call_fail(call, result);
    } else {
        char what[240];
        snprintf(what, sizeof what, "no list of models (set %smodel)", self->where);
        openai_call_broken(call, what, result->body, result->body_size);
    }
    openai_call_destroy(call);
}

// ---- the backend ------------------------------------------------------------------------

static void openai_resume(backend_call_t *base)
{
    openai_call_t *call = (openai_call_t *)base;
    if (!call->paused || call->over)
        return;
    call->paused = false;
    call->active = rl_now_us();
    openai_call_set_limit(call, call->server->idle_ms);
    if (call->fetch)
        rl_fetch_resume(call->fetch);
}

static void openai_cancel(backend_call_t **base_p)
{
    openai_call_t *call = (openai_call_t *)*base_p;
    *base_p = NULL;
    if (!call)
        return;
    call->over = true;
    rl_fetch_cancel(&call->fetch);
    if (call->busy)
        openai_call_set_limit(call, 0); // from within one of its callbacks
    else
        openai_call_destroy(call);
}

static openai_reading_t reading_of(const openai_server_t *server, bool prefill)
{
    if (server->kind == OPENAI_LLAMA && server->reads_ahead)
        return prefill ? OPENAI_READS_ONLY : OPENAI_SAYS_HOW_FAR;
    return prefill ? OPENAI_READS_ONE : OPENAI_SAYS_NOTHING;
}

static backend_call_t *openai_start(backend_t *base, const backend_request_t *ask,
                                    const backend_events_t *events, void *arg)
{
    openai_t *self = (openai_t *)base;
    openai_call_t *call = rl_new(*call);
    call->server = &self->server;
    LIST_INSERT_HEAD(&self->calls, call, list);
    call->events = *events;
    call->arg = arg;
    call->request = rl_buf_make(BODY_MAX);
    call->whole = rl_buf_make(OPENAI_WHOLE_MAX);
    call->blanks = rl_buf_make(OPENAI_BLANKS_MAX);
    call->max_tokens = ask->max_tokens;
    snprintf(call->name, sizeof call->name, "%.63s", ask->generate->request);
    // what continues an answer may find that it was complete
    call->must_say = !ask->prefill && !*ask->generate->prefix;
    call->end.server = self->server.peer;
    call->end.cached_tokens = -1;
    call->end.prefill_ms = -1;
    call->end.read_tokens = -1;
    call->started = call->active = rl_now_us();
    snprintf(call->traceparent, sizeof call->traceparent, "%.63s", ask->generate->traceparent);
    const char *tracestate = ask->generate->tracestate;
    call->tracestate = tracestate && *tracestate ? rl_strdup(tracestate) : NULL;
    evtimer_assign(&call->limit, self->server.loop, openai_call_on_limit, call);
    openai_call_set_limit(call, self->server.first_token_ms);
    snprintf(call->salt, sizeof call->salt, "%s", ask->generate->salt ? ask->generate->salt : "");
    bool kind_matters = call->salt[0] && self->server.kind == OPENAI_UNKNOWN;
    int bad = openai_request_write(&call->request, ask, self->server.params,
                                   reading_of(&self->server, ask->prefill), &call->has_params);
    if (!bad && self->server.model[0] && !kind_matters)
        bad = ask_now(call);
    else if (!bad)
        call->fetch = openai_server_fetch(call->server, "/models",
                                          &(rl_fetch_request_t){.timeout_ms = OPENAI_MODELS_MS,
                                                                .on_done = on_models,
                                                                .arg = call});
    if (!bad && call->fetch)
        return (backend_call_t *)call;
    openai_call_destroy(call);
    return NULL;
}

static bool openai_configure(backend_t *base, const backend_settings_t *settings)
{
    return openai_server_configure(&((openai_t *)base)->server, settings);
}

static const char *openai_model(const backend_t *base)
{
    return ((const openai_t *)base)->server.model;
}

static prompt_cache_t openai_prompt_cache(const backend_t *base)
{
    const openai_server_t *server = &((const openai_t *)base)->server;
    bool kind = server->kind == OPENAI_LLAMA || server->kind == OPENAI_VLLM;
    return (prompt_cache_t){.kept = server->reads_ahead && kind && server->model[0],
                            .per_slot = server->kind == OPENAI_LLAMA,
                            .per_salt = server->kind == OPENAI_VLLM,
                            .slots = server->slots};
}

static void openai_destroy(backend_t **base_p)
{
    openai_t *self = (openai_t *)*base_p;
    if (!self)
        return;
    while (!LIST_EMPTY(&self->calls)) // those whose response has not ended yet
        openai_call_destroy(LIST_FIRST(&self->calls));
    openai_server_free(&self->server);
    free(self);
    *base_p = NULL;
}

static const backend_type_t openai_type = {
    .name = "openai",
    .check = openai_server_check,
    .configure = openai_configure,
    .model = openai_model,
    .prompt_cache = openai_prompt_cache,
    .start = openai_start,
    .resume = openai_resume,
    .cancel = openai_cancel,
    .destroy = openai_destroy,
};

backend_t *backend_openai_new(struct event_base *base, rl_fetcher_t *fetcher)
{
    openai_t *self = rl_new(*self);
    self->base.type = &openai_type;
    openai_server_init(&self->server, base, fetcher);
    return &self->base;
}
