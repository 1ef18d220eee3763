// openai_server: the LLM server as configured.
#include "openai_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

rl_fetch_t *openai_server_fetch(const openai_server_t *self, const char *path,
                                rl_fetch_request_t *request)
{
    char url[2048];
    size_t root = strlen(self->url);
    if (strcmp(path, "/props") == 0 && root > 3 && strcmp(self->url + root - 3, "/v1") == 0)
        root -= 3;
    snprintf(url, sizeof url, "%.*s%s", (int)(root < 1900 ? root : 1900), self->url, path);
    request->url = url;
    request->bearer = self->key;
    request->connect_timeout_ms = self->connect_ms;
    return rl_fetch_start(self->fetcher, request);
}

// ---- options ----------------------------------------------------------------------------

static void set_string(char **to, const char *from)
{
    free(*to);
    *to = rl_strdup(from);
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

bool openai_server_check(const backend_settings_t *settings, char *why, size_t why_size)
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

static void set_kind(openai_server_t *self, const char *prefill, bool moved)
{
    self->reads_ahead = strcmp(prefill, "off") != 0;
    self->asks_kind = strcmp(prefill, "auto") == 0;
    if (strcmp(prefill, "llama") == 0)
        self->kind = OPENAI_LLAMA;
    else if (strcmp(prefill, "vllm") == 0)
        self->kind = OPENAI_VLLM;
    else if (moved)
        self->kind = OPENAI_UNKNOWN;
    if (moved)
        self->slots = 0;
}

bool openai_server_configure(openai_server_t *self, const backend_settings_t *settings)
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
    self->warm_ms = settings->warm_ms;
    set_kind(self, settings->prefill, moved);
    read_peer(self);
    openai_server_keep_learning(self);
    return moved;
}

void openai_server_init(openai_server_t *self, struct event_base *loop, rl_fetcher_t *fetcher)
{
    *self = (openai_server_t){.loop = loop, .fetcher = fetcher};
    evtimer_assign(&self->learn_again, loop, openai_server_learn_again, self);
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
