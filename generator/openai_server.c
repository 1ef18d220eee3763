// openai_server: the LLM server as configured, and its model's name.
#include "openai_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

enum {
    RELEARN_S = 5
}; // a server that does not name its models is asked again after this

rl_fetch_t *openai_server_fetch(const openai_server_t *self, const char *path,
                                rl_fetch_request_t *request)
{
    char url[2048];
    snprintf(url, sizeof url, "%.1900s%s", self->url, path);
    request->url = url;
    request->bearer = self->key;
    request->connect_timeout_ms = self->connect_ms;
    return rl_fetch_start(self->fetcher, request);
}

// ---- the model's name -------------------------------------------------------------------

bool openai_server_learn(openai_server_t *self, const rl_fetch_result_t *result)
{
    json_error_t error;
    json_t *root = result->ok && result->status == 200
                       ? json_loadb(result->body, result->body_size, 0, &error)
                       : NULL;
    const char *id =
        json_string_value(json_object_get(json_array_get(json_object_get(root, "data"), 0), "id"));
    char *model = id && *id && strlen(id) < 256 ? strdup(id) : NULL;
    json_decref(root);
    if (!model)
        return false;
    if (self->learns) {
        if (strcmp(self->model, model) != 0)
            rl_info("%s answers with %s", self->peer, model);
        free(self->model);
        self->model = model;
    } else {
        free(model); // one was configured meanwhile
    }
    return true;
}

static void on_learnt(void *arg, const rl_fetch_result_t *result)
{
    static const struct timeval again = {RELEARN_S, 0};
    openai_server_t *self = arg;
    self->learning = NULL;
    if (!openai_server_learn(self, result))
        evtimer_add(&self->learn_again, &again);
}

static void learn_at_leisure(evutil_socket_t fd, short what, void *arg)
{
    openai_server_t *self = arg;
    (void)fd;
    (void)what;
    if (self->learns && !self->model[0] && !self->learning)
        self->learning = openai_server_fetch(self, "/models",
                                             &(rl_fetch_request_t){.timeout_ms = OPENAI_MODELS_MS,
                                                                   .on_done = on_learnt,
                                                                   .arg = self});
}

// ---- options ----------------------------------------------------------------------------

static void set_string(char **to, const char *from)
{
    char *copy = strdup(from);
    if (!copy)
        abort();
    free(*to);
    *to = copy;
}

// host:port of the URL, without what could be a secret.
static void read_peer(openai_server_t *self)
{
    const char *host = strstr(self->url, "://");
    host = host ? host + 3 : self->url;
    size_t size = strcspn(host, "/?#");
    for (size_t at = 0; at < size; at++) {
        if (host[at] == '@') {
            host += at + 1;
            size -= at + 1;
            at = (size_t)-1;
        }
    }
    snprintf(self->peer, sizeof self->peer, "%.*s", (int)(size < 190 ? size : 190), host);
}

bool openai_server_check(const upstream_settings_t *settings, char *why, size_t why_size)
{
    const char *url = settings->url, *text = settings->params;
    if (*url && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        snprintf(why, why_size,
                 "%surl must start with http:// or https://, such as "
                 "http://127.0.0.1:8081/v1",
                 settings->where);
        return false;
    }
    json_error_t error;
    json_t *params = *text ? json_loads(text, 0, &error) : NULL;
    bool good = !*text || json_is_object(params);
    if (!good)
        snprintf(why, why_size, "%sparams must be a JSON object, such as {\"temperature\":0.2}",
                 settings->where);
    json_decref(params);
    return good;
}

bool openai_server_configure(openai_server_t *self, const upstream_settings_t *settings)
{
    const char *model = settings->model;
    json_error_t error;
    size_t size = strlen(settings->url);
    while (size > 0 && settings->url[size - 1] == '/')
        size--;
    bool moved =
        !self->url || strlen(self->url) != size || memcmp(self->url, settings->url, size) != 0;
    set_string(&self->url, settings->url);
    self->url[size] = '\0';
    set_string(&self->key, settings->key);
    self->learns = !*model && size > 0;
    if (*model || moved || !self->model)
        set_string(&self->model, model);
    json_decref(self->params);
    self->params = *settings->params ? json_loads(settings->params, 0, &error) : NULL;
    snprintf(self->where, sizeof self->where, "%s", settings->where);
    self->connect_ms = settings->connect_ms;
    self->first_token_ms = settings->first_token_ms;
    self->idle_ms = settings->idle_ms;
    read_peer(self);
    learn_at_leisure(-1, 0, self);
    return moved;
}

void openai_server_init(openai_server_t *self, struct event_base *loop, rl_fetcher_t *fetcher)
{
    *self = (openai_server_t){.loop = loop, .fetcher = fetcher};
    evtimer_assign(&self->learn_again, loop, learn_at_leisure, self);
}

void openai_server_free(openai_server_t *self)
{
    rl_fetch_cancel(&self->learning);
    evtimer_del(&self->learn_again);
    json_decref(self->params);
    free(self->url);
    free(self->key);
    free(self->model);
}
