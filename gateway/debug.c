// debug: what the gateway has in hand, for GET /v1/debug and SIGUSR1: counters, queues, workers,
// questions at work. Nothing of what was asked or answered, and no key's name.
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "gateway.h"
#include "request.h"
#include "timeline.h"
#include "traces.h"

static void dump_counters(const gateway_t *self, rl_dump_t *dump)
{
    const http_counts_t *http = http_server_counts(self->http);
    registry_counts_t registry = registry_counts(self->pipeline->registry);
    rl_dump_begin(dump, "counters");
    for (int counter = 0; counter < COUNTERS; counter++)
        rl_dump_number(dump, metrics_counter_name((counter_t)counter),
                       metrics_value(self->pipeline->metrics, (counter_t)counter));
    rl_dump_number(dump, "http_requests", http->requests);
    rl_dump_number(dump, "http_2xx", http->responses_2xx);
    rl_dump_number(dump, "http_4xx", http->responses_4xx);
    rl_dump_number(dump, "http_5xx", http->responses_5xx);
    rl_dump_number(dump, "http_bad", http->bad_requests);
    rl_dump_number(dump, "http_timeouts", http->timeouts);
    rl_dump_number(dump, "http_hangups", http->hangups);
    rl_dump_number(dump, "workers_joined", registry.joined);
    rl_dump_number(dump, "workers_left", registry.left);
    rl_dump_number(dump, "workers_lost", registry.lost);
    rl_dump_number(dump, "workers_refused", registry.refused);
    rl_dump_end(dump);
}

static void dump_queues(const gateway_t *self, rl_dump_t *dump)
{
    const http_counts_t *http = http_server_counts(self->http);
    size_t states[REQUEST_STATES] = {0};
    rl_dump_begin(dump, "queues");
    rl_dump_number(dump, "questions", self->pipeline->in_flight);
    rl_dump_number(dump, "questions_most", self->pipeline->settings.max_in_flight);
    rl_dump_number(dump, "wait_for_generator", self->pipeline->waiting_size);
    rl_dump_number(dump, "tasks", tasks_size(self->pipeline->tasks));
    rl_dump_number(dump, "clients_of_other_gateways", relays_size(self->relays));
    rl_dump_number(dump, "connections", http->open_connections);
    rl_dump_number(dump, "streams", http->open_streams);
    rl_dump_number(dump, "connections_unfinished", http->unfinished);
    rl_dump_number(dump, "traces", traces_size(self->pipeline->traces));
    rl_dump_flag(dump, "draining", self->draining);
    rl_dump_end(dump);
    request_count_states(self->pipeline, states);
    rl_dump_begin(dump, "states");
    for (int state = 0; state < REQUEST_DONE; state++)
        rl_dump_number(dump, request_state_names[state], states[state]);
    rl_dump_end(dump);
}

static bool dump_worker(const worker_t *worker, uint64_t now, rl_dump_t *dump)
{
    if (!rl_dump_item(dump, NULL))
        return false;
    rl_dump_text(dump, "worker", worker->id);
    rl_dump_text(dump, "kind", worker_role_name(worker->role));
    rl_dump_text(dump, "state", worker_state_name(worker));
    rl_dump_number(dump, "outstanding", worker->outstanding);
    rl_dump_number(dump, "queued", worker->queued);
    rl_dump_number(dump, "running", worker->running);
    rl_dump_number(dump, "slots", worker->slots);
    rl_dump_number(dump, "served", worker->served);
    rl_dump_ms(dump, "service_ms", worker->service_us);
    rl_dump_ms(dump, "latency_ms", worker->latency.mean_us);
    rl_dump_ms(dump, "latency_p95_ms", worker->latency.p95_us);
    rl_dump_ms(dump, "last_seen_ms", now - worker->seen_us);
    rl_dump_end(dump);
    return true;
}

void gateway_dump(void *arg, rl_dump_t *dump)
{
    gateway_t *self = arg;
    registry_counts_t counts = registry_counts(self->pipeline->registry);
    uint64_t now = rl_now_us();
    size_t workers = 0;
    bool room = true;
    for (int role = 0; role < ROLES; role++)
        workers += counts.workers[role];
    dump_counters(self, dump);
    dump_queues(self, dump);
    rl_wire_dump(dump);
    rl_dump_list(dump, "workers", workers);
    for (worker_t *worker = registry_first(self->pipeline->registry); worker && room;
         worker = registry_next(worker))
        room = dump_worker(worker, now, dump);
    rl_dump_list_end(dump);
    request_dump(self->pipeline, dump);
}

void gateway_get_debug(void *arg, http_req_t *req)
{
    gateway_t *self = arg;
    size_t size;
    char *document = rl_proc_dump(self->proc, &size);
    if (document)
        http_reply(&req, 200, "application/json", document, size);
    else
        http_reply_error(&req, 500, "internal_error", NULL, 0, "there is no memory for it");
    free(document);
}
