// openai_learn: asks an LLM server about itself in the background: its list of models, which
// has the model's name and the kind of server, and llama-server's /props, which has its slots. The
// same small request keeps a connection to the server open.
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "openai_server.h"

enum {
    RELEARN_MS = 5000, // a server that does not say what is to be known is asked again after this
};

static void learn_in_background(openai_server_t *self);

static bool kind_is_wanted(const openai_server_t *self)
{
    return self->reads_ahead && self->asks_kind && self->kind == OPENAI_UNKNOWN;
}

static bool slots_are_wanted(const openai_server_t *self)
{
    return self->reads_ahead && self->kind == OPENAI_LLAMA && self->slots == 0;
}

static void schedule_learning(openai_server_t *self, long ms)
{
    struct timeval time = {ms / 1000, ms % 1000 * 1000};
    evtimer_add(&self->learn_again, &time);
}

// "owned_by" of a model is the server's own name with these two.
static void take_kind(openai_server_t *self, const char *owner)
{
    if (!owner || (!self->asks_kind && self->kind != OPENAI_UNKNOWN))
        return;
    openai_kind_t kind = strcmp(owner, "llamacpp") == 0 ? OPENAI_LLAMA
                         : strcmp(owner, "vllm") == 0   ? OPENAI_VLLM
                                                        : OPENAI_OTHER;
    if (self->reads_ahead && kind != self->kind && kind != OPENAI_OTHER)
        rl_info("%s keeps what it has read: prompts can be read ahead there (%sprefill)",
                self->peer, self->where);
    self->kind = kind;
}

bool openai_server_learn(openai_server_t *self, const rl_fetch_result_t *result)
{
    json_error_t error;
    json_t *root = result->ok && result->status == 200
                       ? json_loadb(result->body, result->body_size, 0, &error)
                       : NULL;
    const json_t *first = json_array_get(json_object_get(root, "data"), 0);
    const char *id = json_string_value(json_object_get(first, "id"));
    char *model = id && *id && strlen(id) < 256 ? rl_strdup(id) : NULL;
    if (json_is_object(first)) {
        const char *owner = json_string_value(json_object_get(first, "owned_by"));
        take_kind(self, owner ? owner : "");
    }
    json_decref(root);
    if (!model)
        return false;
    if (self->learns) {
        if (strcmp(self->model, model) != 0)
            rl_info("%s answers with %s", self->peer, model);
        free(self->model);
        self->model = model;
    } else {
        free(model); // one is configured
    }
    return true;
}

// When it is to be asked again, if at all.
static void plan_next(openai_server_t *self, bool failed)
{
    if (failed && ((self->learns && !self->model[0]) || kind_is_wanted(self)))
        schedule_learning(self, RELEARN_MS);
    else if (self->warm_ms > 0)
        schedule_learning(self, self->warm_ms);
}

static void on_props(void *arg, const rl_fetch_result_t *result)
{
    openai_server_t *self = arg;
    json_error_t error;
    self->learning = NULL;
    json_t *root = result->ok && result->status == 200
                       ? json_loadb(result->body, result->body_size, 0, &error)
                       : NULL;
    json_int_t slots = json_integer_value(json_object_get(root, "total_slots"));
    self->slots = slots > 0 && slots < 1000000 ? (size_t)slots : 0;
    json_decref(root);
    plan_next(self, false);
}

static void on_models(void *arg, const rl_fetch_result_t *result)
{
    openai_server_t *self = arg;
    self->learning = NULL;
    if (result->ok) {
        self->heard_us = rl_now_us();
        self->warmed++;
    }
    bool learnt = openai_server_learn(self, result);
    if (slots_are_wanted(self) && result->ok)
        self->learning = openai_server_fetch(self, "/props",
                                             &(rl_fetch_request_t){.timeout_ms = OPENAI_MODELS_MS,
                                                                   .on_done = on_props,
                                                                   .arg = self});
    if (!self->learning)
        plan_next(self, !learnt);
}

static void learn_in_background(openai_server_t *self)
{
    uint64_t idle_us = rl_now_us() - self->heard_us, warm_us = (uint64_t)self->warm_ms * 1000;
    if (!*self->url || self->learning)
        return;
    bool wanted =
        (self->learns && !self->model[0]) || kind_is_wanted(self) || slots_are_wanted(self);
    if (!wanted && self->warm_ms <= 0)
        return;
    if (!wanted && idle_us < warm_us) { // it has answered meanwhile: its connection is open
        schedule_learning(self, (long)((warm_us - idle_us) / 1000) + 1);
        return;
    }
    self->learning = openai_server_fetch(
        self, "/models",
        &(rl_fetch_request_t){.timeout_ms = OPENAI_MODELS_MS, .on_done = on_models, .arg = self});
    if (!self->learning)
        plan_next(self, true);
}

void openai_server_learn_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    learn_in_background(arg);
}

void openai_server_keep_learning(openai_server_t *self)
{
    learn_in_background(self);
}
