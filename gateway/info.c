// info: what the gateway tells about itself: probes, workers, collections, models.
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway.h"

void gateway_get_health(void *arg, http_req_t *req)
{
    (void)arg;
    http_reply_json(&req, 200, json_pack("{s:s}", "status", "alive"));
}

// Ready when a question can be answered: somebody retrieves, somebody writes, nobody is leaving.
void gateway_get_ready(void *arg, http_req_t *req)
{
    gateway_t *self = arg;
    registry_counts_t counts = registry_counts(self->pipeline->registry);
    size_t retrievers = counts.ready[ROLE_DENSE] + counts.ready[ROLE_LEXICAL];
    size_t generators = counts.ready[ROLE_GENERATOR];
    json_t *missing = json_array();
    if (retrievers == 0)
        json_array_append_new(missing, json_string("retriever"));
    if (generators == 0)
        json_array_append_new(missing, json_string("generator"));
    if (self->draining)
        json_array_append_new(missing, json_string("this gateway is shutting down"));
    bool ready = json_array_size(missing) == 0;
    json_t *body =
        json_pack("{s:s, s:i, s:i, s:o}", "status", ready ? "ready" : "not ready", "retrievers",
                  (int)retrievers, "generators", (int)generators, "missing", missing);
    http_reply_json(&req, ready ? 200 : 503, body);
}

void gateway_get_workers(void *arg, http_req_t *req)
{
    gateway_t *self = arg;
    http_reply_json(&req, 200,
                    json_pack("{s:s, s:o}", "gateway", rl_proc_id(self->proc), "workers",
                              registry_workers_json(self->pipeline->registry)));
}

// Leaves out what the caller may not read.
static json_t *readable_collections(gateway_t *self, const keys_caller_t *caller)
{
    json_t *all = registry_collections_json(self->pipeline->registry), *out = json_array(), *each;
    size_t at;
    json_array_foreach(all, at, each)
    {
        if (keys_may_read(caller, json_string_value(json_object_get(each, "name"))))
            json_array_append(out, each);
    }
    json_decref(all);
    return out;
}

// The models that generators answer with, each once.
static json_t *generator_models(gateway_t *self)
{
    json_t *list = json_array(), *each;
    for (worker_t *worker = registry_first(self->pipeline->registry); worker;
         worker = registry_next(worker)) {
        bool seen = worker->role != ROLE_GENERATOR;
        size_t at;
        json_array_foreach(list, at, each)
        {
            seen |= strcmp(json_string_value(each), worker->model) == 0;
        }
        if (!seen)
            json_array_append_new(list, json_string(worker->model));
    }
    return list;
}

void gateway_get_info(void *arg, http_req_t *req)
{
    gateway_t *self = arg;
    json_t *body =
        json_pack("{s:s, s:s, s:o, s:o, s:b}", "version", RAGLINE_VERSION, "gateway",
                  rl_proc_id(self->proc), "collections",
                  readable_collections(self, http_caller(req)), "models", generator_models(self),
                  "drafts", self->pipeline->settings.share && self->pipeline->settings.drafts > 0);
    http_reply_json(&req, 200, body);
}

// OpenAI's model objects: "ragline" asks the default collections, "ragline/NAME" that one.
static json_t *model_json(gateway_t *self, const char *collection)
{
    json_t *out = json_pack("{s:s, s:I, s:s}", "object", "model", "created",
                            (json_int_t)self->started, "owned_by", "ragline");
    json_object_set_new(
        out, "id", *collection ? json_sprintf("ragline/%s", collection) : json_string("ragline"));
    return out;
}

void gateway_get_models(void *arg, http_req_t *req)
{
    gateway_t *self = arg;
    json_t *list = json_array(), *all = readable_collections(self, http_caller(req)), *each;
    size_t at;
    json_array_append_new(list, model_json(self, ""));
    json_array_foreach(all, at, each)
    {
        json_array_append_new(list,
                              model_json(self, json_string_value(json_object_get(each, "name"))));
    }
    json_decref(all);
    http_reply_json(&req, 200, json_pack("{s:s, s:o}", "object", "list", "data", list));
}

void gateway_get_model(void *arg, http_req_t *req)
{
    gateway_t *self = arg;
    const char *name = http_path(req) + strlen("/v1/models/");
    const char *collection = strncmp(name, "ragline/", 8) == 0 ? name + 8 : NULL;
    if (strcmp(name, "ragline") == 0)
        http_reply_json(&req, 200, model_json(self, ""));
    else if (collection && registry_knows(self->pipeline->registry, collection) &&
             keys_may_read(http_caller(req), collection))
        http_reply_json(&req, 200, model_json(self, collection));
    else
        http_reply_error(&req, 404, "model_not_found", "model", 0,
                         "there is no model %s; GET /v1/models lists them", name);
}
