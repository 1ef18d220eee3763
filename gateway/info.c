// info: what the gateway tells about itself: probes, metrics, workers, collections, models.
#include "gateway.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire.h"

enum {
    METRICS_MAX_BYTES = 4 << 20
};

void gateway_get_health(void *arg, http_req_t *req)
{
    (void)arg;
    http_reply_json(&req, 200, json_pack("{s:s}", "status", "alive"));
}

// Ready when a question can be answered: somebody retrieves, somebody writes, nobody is leaving.
void gateway_get_ready(void *arg, http_req_t *req)
{
    gateway_t *self = arg;
    registry_counts_t counts = registry_counts(self->registry);
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
                              registry_workers_json(self->registry)));
}

// Leaves out what the caller may not read.
static json_t *readable_collections(gateway_t *self, const keys_caller_t *caller)
{
    json_t *all = registry_collections_json(self->registry), *out = json_array(), *each;
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
static json_t *writing_models(gateway_t *self)
{
    json_t *list = json_array(), *each;
    for (worker_t *worker = registry_first(self->registry); worker;
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
        json_pack("{s:s, s:s, s:o, s:o}", "version", RAGLINE_VERSION, "gateway",
                  rl_proc_id(self->proc), "collections",
                  readable_collections(self, http_caller(req)), "models", writing_models(self));
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
    else if (collection && registry_knows(self->registry, collection) &&
             keys_may_read(http_caller(req), collection))
        http_reply_json(&req, 200, model_json(self, collection));
    else
        http_reply_error(&req, 404, "model_not_found", "model", 0,
                         "there is no model %s; GET /v1/models lists them", name);
}

// ----------------------------------------------------------------------------------------- metrics

static void write_workers(gateway_t *self, rl_buf_t *out)
{
    registry_counts_t counts = registry_counts(self->registry);
    char label[64];
    metrics_write_head(out, "ragline_workers", "gauge", "Workers that are ready, by kind.");
    for (int role = 0; role < ROLES; role++) {
        snprintf(label, sizeof label, "kind=\"%s\"", worker_role_name((worker_role_t)role));
        metrics_write_value(out, "ragline_workers", label, (double)counts.ready[role]);
    }
    metrics_write_head(out, "ragline_outstanding_tasks", "gauge",
                       "Tasks given to workers and not answered yet, by kind.");
    for (int role = 0; role < ROLES; role++) {
        snprintf(label, sizeof label, "kind=\"%s\"", worker_role_name((worker_role_t)role));
        metrics_write_value(out, "ragline_outstanding_tasks", label,
                            (double)counts.outstanding[role]);
    }
    metrics_write_head(out, "ragline_workers_joined_total", "counter", "Workers that joined.");
    metrics_write_value(out, "ragline_workers_joined_total", "", (double)counts.joined);
    metrics_write_head(out, "ragline_workers_left_total", "counter",
                       "Workers that said they leave.");
    metrics_write_value(out, "ragline_workers_left_total", "", (double)counts.left);
    metrics_write_head(out, "ragline_workers_lost_total", "counter",
                       "Workers whose announcements stopped.");
    metrics_write_value(out, "ragline_workers_lost_total", "", (double)counts.lost);
}

static void write_messages(rl_buf_t *out)
{
    const rl_wire_counts_t *counts = rl_wire_counts();
    char label[64];
    metrics_write_head(out, "ragline_messages_received_total", "counter",
                       "Messages received from workers, by kind of message.");
    for (int type = 1; type < RL_MSG_TYPES; type++) {
        snprintf(label, sizeof label, "message=\"%s\"", rl_msg_name((rl_msg_type_t)type));
        if (counts->in[type])
            metrics_write_value(out, "ragline_messages_received_total", label,
                                (double)counts->in[type]);
    }
    metrics_write_head(out, "ragline_bad_messages_total", "counter",
                       "Messages dropped because they were malformed.");
    metrics_write_value(out, "ragline_bad_messages_total", "", (double)counts->bad);
}

static void write_http(gateway_t *self, rl_buf_t *out)
{
    const http_counts_t *counts = http_server_counts(self->http);
    metrics_write_head(out, "ragline_http_responses_total", "counter",
                       "HTTP responses, by class of status.");
    metrics_write_value(out, "ragline_http_responses_total", "class=\"2xx\"",
                        (double)counts->responses_2xx);
    metrics_write_value(out, "ragline_http_responses_total", "class=\"4xx\"",
                        (double)counts->responses_4xx);
    metrics_write_value(out, "ragline_http_responses_total", "class=\"5xx\"",
                        (double)counts->responses_5xx);
    metrics_write_head(out, "ragline_http_open_connections", "gauge", "Open client connections.");
    metrics_write_value(out, "ragline_http_open_connections", "", (double)counts->open_connections);
    metrics_write_head(out, "ragline_http_open_streams", "gauge", "Open event streams.");
    metrics_write_value(out, "ragline_http_open_streams", "", (double)counts->open_streams);
}

void gateway_get_metrics(void *arg, http_req_t *req)
{
    gateway_t *self = arg;
    rl_buf_t out = rl_buf_make(METRICS_MAX_BYTES);
    metrics_write(self->metrics, &out);
    metrics_write_head(&out, "ragline_questions_in_flight", "gauge", "Questions at work.");
    metrics_write_value(&out, "ragline_questions_in_flight", "", (double)self->in_flight);
    metrics_write_head(&out, "ragline_questions_waiting", "gauge",
                       "Questions that wait for a generator.");
    metrics_write_value(&out, "ragline_questions_waiting", "", (double)self->waiting_size);
    write_workers(self, &out);
    write_messages(&out);
    write_http(self, &out);
    http_reply(&req, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.size);
    rl_buf_free(&out);
}
