// model: copies with more workers, and how busy each station is.
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

void model_destroy(model_t **self_p)
{
    model_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->sources_size; at++)
        free(self->sources[at].processes);
    free(self->sources);
    free(self->retrievers);
    free(self->generators);
    free(self->demands);
    free(self->searches);
    free(self);
    *self_p = NULL;
}

static void *copy_array(const void *data, size_t count, size_t room, size_t size)
{
    void *out = rl_alloc_array(room, size);
    if (count > 0)
        memcpy(out, data, count * size);
    return out;
}

model_t *model_copy(const model_t *from)
{
    model_t *self = copy_array(from, 1, 1, sizeof *self);
    self->demands =
        copy_array(from->demands, from->demands_size, from->demands_size, sizeof(demand_t));
    self->searches = copy_array(from->searches, from->searches_size, from->searches_size,
                                sizeof(demand_search_t));
    self->retrievers = copy_array(from->retrievers, from->retrievers_size, MODEL_MAX_PROCESSES,
                                  sizeof(model_process_t));
    self->generators = copy_array(from->generators, from->generators_size, MODEL_MAX_PROCESSES,
                                  sizeof(model_process_t));
    self->sources =
        copy_array(from->sources, from->sources_size, MODEL_MAX_SOURCES, sizeof(model_source_t));
    for (size_t at = 0; at < self->sources_size; at++)
        self->sources[at].processes =
            copy_array(from->sources[at].processes, from->sources[at].size, from->sources[at].size,
                       sizeof(uint32_t));
    return self;
}

// One more that serves whatever `like` serves.
static void clone_retriever(model_t *self, size_t like)
{
    if (self->retrievers_size == MODEL_MAX_PROCESSES)
        return;
    uint32_t number = (uint32_t)self->retrievers_size++;
    self->retrievers[number] = self->retrievers[like];
    self->retrievers[number].busy_ms = 0;
    for (size_t at = 0; at < self->sources_size; at++) {
        model_source_t *source = &self->sources[at];
        bool serves = false;
        for (size_t n = 0; n < source->size; n++)
            serves |= source->processes[n] == like;
        if (!serves)
            continue;
        source->processes =
            rl_realloc(source->processes, source->size + 1, sizeof *source->processes);
        source->processes[source->size++] = number;
    }
}

// The station of retrievers that saturates first, and one retriever of it.
static size_t busiest_retriever(const model_t *self)
{
    station_t station, worst = {.number = 0, .saturates = 0};
    for (size_t at = 0; model_station(self, at, &station); at++)
        if (station.kind == STATION_RETRIEVERS && station.saturates > 0 &&
            (worst.saturates == 0 || station.saturates < worst.saturates))
            worst = station;
    for (size_t at = 0; at < self->retrievers_size; at++)
        if (self->retrievers[at].station == worst.number)
            return at;
    return 0;
}

void model_add_retrievers(model_t *self, unsigned count)
{
    for (unsigned n = 0; n < count && self->retrievers_size > 0; n++)
        clone_retriever(self, busiest_retriever(self));
}

void model_multiply_retrievers(model_t *self, unsigned times)
{
    size_t before = self->retrievers_size;
    for (unsigned n = 1; n < times; n++)
        for (size_t at = 0; at < before; at++)
            clone_retriever(self, at);
}

static void clone_generator(model_t *self, size_t like)
{
    if (self->generators_size == MODEL_MAX_PROCESSES)
        return;
    self->generators[self->generators_size] = self->generators[like];
    self->generators[self->generators_size++].busy_ms = 0;
}

void model_add_generators(model_t *self, unsigned count)
{
    for (unsigned n = 0; n < count && self->generators_size > 0; n++)
        clone_generator(self, 0);
}

void model_multiply_generators(model_t *self, unsigned times)
{
    size_t before = self->generators_size;
    for (unsigned n = 1; n < times; n++)
        for (size_t at = 0; at < before; at++)
            clone_generator(self, at);
}

// ---- how busy -----------------------------------------------------------------------------------

static void weigh_station(const model_t *self, station_t *station)
{
    double per_s = self->lasted_ms > 0 && self->demands_size > 1
                       ? 1000 * (double)(self->demands_size - 1) / self->lasted_ms
                       : 0;
    bool bounded = station->servers > 0 && station->servers < MODEL_ENDLESS;
    station->saturates =
        bounded && station->demand_ms > 0 ? 1000 * station->servers / station->demand_ms : 0;
    station->busy = station->saturates > 0 && per_s > 0 ? per_s / station->saturates : -1;
}

static double per_question(const model_t *self, double sum_ms)
{
    return self->demands_size ? sum_ms / (double)self->demands_size : 0;
}

static void sum_processes(const model_t *self, const model_process_t *list, size_t size,
                          bool (*belongs)(const model_process_t *, uint32_t), station_t *out)
{
    double busy = 0;
    out->known = true;
    for (size_t at = 0; at < size; at++) {
        if (!belongs(&list[at], out->number))
            continue;
        out->processes++;
        out->servers += list[at].servers;
        out->known &= list[at].known;
        busy += list[at].busy_ms;
    }
    out->demand_ms = per_question(self, busy);
}

static bool of_station(const model_process_t *process, uint32_t number)
{
    return process->station == number;
}

static bool any_process(const model_process_t *process, uint32_t number)
{
    (void)number;
    return process != NULL;
}

// Mean time at a server beyond the workers, of all questions.
static double beyond_demand(const model_t *self, bool llm)
{
    double sum = 0;
    for (size_t at = 0; at < self->demands_size; at++) {
        const demand_t *demand = &self->demands[at];
        sum += llm                    ? demand->generates ? demand->hold_ms : 0
               : demand->embed_ms > 0 ? demand->embed_ms
                                      : 0;
    }
    return per_question(self, sum);
}

bool model_station(const model_t *self, size_t at, station_t *out)
{
    *out = (station_t){.known = true};
    if (at == 0) {
        out->kind = STATION_GATEWAY;
        out->servers = out->processes = self->gateways;
        out->known = self->gateway_measured;
        out->demand_ms = self->gateway_measured || self->gateway_ms > self->gateway_most_ms
                             ? self->gateway_ms
                             : self->gateway_most_ms;
    } else if (at == 1) {
        out->kind = STATION_EMBED;
        out->processes = self->embed_ms > 0;
        out->servers = self->embed_slots;
        out->known = self->embed_slots < MODEL_ENDLESS;
        out->demand_ms = beyond_demand(self, false);
    } else if (at < 2 + self->stations) {
        out->kind = STATION_RETRIEVERS;
        out->number = (uint32_t)(at - 2);
        sum_processes(self, self->retrievers, self->retrievers_size, of_station, out);
    } else if (at == 2 + self->stations) {
        out->kind = STATION_GENERATORS;
        sum_processes(self, self->generators, self->generators_size, any_process, out);
    } else if (at == 3 + self->stations) {
        out->kind = STATION_LLM;
        out->processes = self->llm_ms > 0;
        out->servers = self->llm_slots;
        out->known = self->llm_slots < MODEL_ENDLESS;
        out->demand_ms = beyond_demand(self, true);
    } else {
        return false;
    }
    weigh_station(self, out);
    return true;
}

static void name_retrievers(const model_t *self, const station_t *station, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "retrievers of"), named = 0, more = 0;
    for (size_t at = 0; at < self->sources_size; at++) {
        const model_source_t *source = &self->sources[at];
        bool serves = false;
        for (size_t n = 0; n < source->size; n++)
            serves |= self->retrievers[source->processes[n]].station == station->number;
        if (serves && named == 0 && used < size) {
            used += (size_t)snprintf(out + used, size - used, " %s",
                                     names_text(recording_names(self->recording), source->name));
            named++;
        } else {
            more += serves;
        }
    }
    if (more > 0 && used < size)
        snprintf(out + used, size - used, " and %zu more", more);
}

void model_station_name(const model_t *self, const station_t *station, char *out, size_t size)
{
    static const char *const names[] = {
        [STATION_GATEWAY] = "gateway", [STATION_EMBED] = "embedding server",
        [STATION_RETRIEVERS] = "",     [STATION_GENERATORS] = "generators' slots",
        [STATION_LLM] = "LLM server",
    };
    if (station->kind == STATION_RETRIEVERS)
        name_retrievers(self, station, out, size);
    else
        snprintf(out, size, "%s", names[station->kind]);
}
