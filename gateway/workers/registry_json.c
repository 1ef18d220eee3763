// registry_json: the registry as people and programs see it: GET /v1/workers and /v1/info.
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "registry.h"

static void add_number(json_t *out, const char *name, uint64_t value)
{
    json_object_set_new(out, name, json_integer((json_int_t)value));
}

static void add_ms(json_t *out, const char *name, uint64_t us)
{
    json_object_set_new(out, name, json_real((double)us / 1000));
}

const char *worker_state_name(const worker_t *worker)
{
    return worker->leaving ? "leaving" : worker->ready ? "ready" : "starting";
}

static json_t *worker_json(const worker_t *worker, uint64_t now)
{
    json_t *out = json_pack("{s:s, s:s, s:s}", "worker", worker->id, "kind",
                            worker_role_name(worker->role), "state", worker_state_name(worker));
    if (worker->role == ROLE_GENERATOR) {
        json_object_set_new(out, "model", json_string(worker->model));
    } else {
        json_object_set_new(out, "collection", json_string(worker->collection));
        add_number(out, "shard", worker->shard);
        add_number(out, "shards", worker->shards);
        json_object_set_new(out, "generation", json_string(worker->generation));
        add_number(out, "passages", worker->passages);
        json_object_set_new(out, "language", json_string(worker->language));
    }
    if (worker->role == ROLE_DENSE) {
        json_object_set_new(out, "space", json_string(worker->embedding_model));
        add_number(out, "dimension", worker->dimension);
    }
    json_object_set_new(out, "tasks", json_string(worker->tasks_endpoint));
    add_number(out, "outstanding", worker->outstanding);
    add_number(out, "queued", worker->queued);
    add_number(out, "running", worker->running);
    add_number(out, "slots", worker->slots);
    add_number(out, "served", worker->served);
    add_ms(out, "service_ms", worker->service_us);
    add_ms(out, "latency_ms", worker->latency.mean_us);
    add_ms(out, "latency_p95_ms", worker->latency.p95_us);
    add_number(out, "last_seen_ms", (now - worker->seen_us) / 1000);
    return out;
}

json_t *registry_workers_json(registry_t *self)
{
    json_t *list = json_array();
    uint64_t now = rl_now_us();
    for (worker_t *worker = registry_first(self); worker; worker = registry_next(worker))
        json_array_append_new(list, worker_json(worker, now));
    return list;
}

// Passages are counted once a shard, however many workers serve it.
static json_t *collection_json(registry_t *self, const char *name)
{
    json_t *out = json_object(), *kinds = json_array();
    uint64_t passages = 0, shards = 0;
    const char *generation = "";
    for (int kind = 0; kind < KINDS; kind++) {
        uint64_t found = 0;
        bool there = false;
        for (worker_t *worker = registry_first(self); worker; worker = registry_next(worker))
            if (worker->role == (worker_role_t)kind && strcmp(worker->collection, name) == 0)
                shards = worker->shards > shards ? worker->shards : shards;
        for (uint64_t shard = 0; shard < shards; shard++) {
            const worker_t *worker =
                registry_find_replica(self, &(source_t){name, shard, (kind_t)kind, NULL});
            if (!worker)
                continue;
            found += worker->passages;
            generation = worker->generation;
            there = true;
        }
        if (there)
            json_array_append_new(kinds, json_string(kind_names[kind]));
        passages = found > passages ? found : passages;
    }
    json_object_set_new(out, "name", json_string(name));
    add_number(out, "shards", shards);
    add_number(out, "passages", passages);
    json_object_set_new(out, "generation", json_string(generation));
    json_object_set_new(out, "kinds", kinds);
    bool more = false;
    const json_t *fields = registry_fields(self, name, &more);
    if (fields) {
        json_object_set(out, "fields", (json_t *)fields);
        if (more)
            json_object_set_new(out, "fields_more", json_true());
    }
    return out;
}

json_t *registry_collections_json(registry_t *self)
{
    size_t size;
    const char **names = registry_collections(self, &size);
    json_t *list = json_array();
    for (size_t at = 0; at < size; at++)
        json_array_append_new(list, collection_json(self, names[at]));
    free(names);
    return list;
}
