// answers: coming back to an answer (GET /v1/answers/{id}/events), and stopping one
// (DELETE /v1/answers/{id}).
#include "gateway.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"

enum {
    MAX_ID = 64
};

// The id in "/v1/answers/{id}" + `rest`; false if the path is another.
static bool read_id(const http_req_t *req, const char *rest, char id[MAX_ID])
{
    const char *from = http_path(req) + strlen("/v1/answers/");
    size_t size = strcspn(from, "/");
    if (size == 0 || size >= MAX_ID || strcmp(from + size, rest) != 0)
        return false;
    memcpy(id, from, size);
    id[size] = '\0';
    return true;
}

static void no_such_path(http_req_t *req)
{
    http_reply_error(&req, 404, "not_found", NULL, 0,
                     "there is nothing at %s; an answer's events are at /v1/answers/{id}/events",
                     http_path(req));
}

// The number of the last event that the client has seen, 0 if it does not say.
static bool read_seen(http_req_t **req, uint64_t *seen)
{
    const char *text = http_header(*req, "Last-Event-ID");
    if (!text)
        text = http_query(*req, "after");
    *seen = 0;
    if (!text || !*text)
        return true;
    char *end;
    errno = 0;
    *seen = strtoull(text, &end, 10);
    if (errno == 0 && !*end && *text >= '0' && *text <= '9')
        return true;
    http_reply_error(req, 400, "invalid_value", "Last-Event-ID", 0,
                     "Last-Event-ID must be the number of an event");
    return false;
}

void gateway_get_answer(void *arg, http_req_t *req)
{
    gateway_t *self = arg;
    char id[MAX_ID];
    uint64_t seen;
    if (!read_id(req, "/events", id)) {
        no_such_path(req);
        return;
    }
    if (!read_seen(&req, &seen))
        return;
    replay_t *replay = replays_find(self->pipeline->replays, id, keys_name(http_caller(req)));
    if (replay)
        replay_attach(replay, &req, seen);
    else if (relays_may_have(self->relays, id))
        relays_begin(self->relays, id, seen, &req);
    else
        http_reply_error(&req, 410, "answer_gone", NULL, 0,
                         "there is no answer %s to come back to: it was not asked for with "
                         "\"resumable\": true, or its time is over (gateway.resume_ms)",
                         id);
}

// Stops an answer of this gateway and forgets its events. Returns what it was, NULL if there is
// none.
static const char *stop(gateway_t *self, const char *id, const char *caller)
{
    bool stopped = request_cancel(self->pipeline, id, caller);
    replay_t *replay = replays_find(self->pipeline->replays, id, caller);
    const char *was = stopped ? "cancelled" : replay ? "complete" : NULL;
    replay_destroy(&replay);
    return was;
}

void gateway_delete_answer(void *arg, http_req_t *req)
{
    gateway_t *self = arg;
    char id[MAX_ID];
    if (!read_id(req, "", id)) {
        no_such_path(req);
        return;
    }
    const char *caller = keys_name(http_caller(req));
    const char *was = stop(self, id, caller);
    if (!was && relays_may_have(self->relays, id) && relays_stop(self->relays, id, caller))
        was = "passed on"; // to the gateway that holds it
    if (was)
        http_reply_json(&req, 200, json_pack("{s:s, s:s}", "id", id, "status", was));
    else
        http_reply_error(&req, 404, "answer_not_found", NULL, 0,
                         "no answer %s is at work; it may be complete", id);
}

void gateway_resume(gateway_t *self, const rl_resume_t *resume)
{
    if (resume->stop)
        stop(self, resume->answer, resume->caller);
    else
        replays_resume(self->pipeline->replays, resume);
}
