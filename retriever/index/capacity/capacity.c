// size: from measured figures to shards, replicas and machines.
#include "capacity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"

static const double BUSY = 0.6;       // of a core: above it waiting times grow steeply
static const double OF_LATENCY = 0.5; // that a search itself may take
static const double OF_MEMORY = 0.8; // of a machine; the rest is the system's and what changes need

static double scale_time(const capacity_figures_t *figures, capacity_index_t index, double passages)
{
    double times = passages / figures->passages;
    switch (index) {
    case CAPACITY_FLAT:
        return times;
    case CAPACITY_GRAPH:
        return log(passages + M_E) / log(figures->passages + M_E);
    case CAPACITY_LISTS:
        return sqrt(times);
    case CAPACITY_INDEXES:
        break;
    }
    return times;
}

double capacity_dense_ms(const capacity_figures_t *figures, capacity_index_t index, double passages,
                         int share)
{
    const capacity_kind_t *kind = &figures->kinds[index];
    return (share >= 99 ? kind->p99_ms : kind->p50_ms) * scale_time(figures, index, passages);
}

double capacity_lexical_ms(const capacity_figures_t *figures, double passages, int share)
{
    return (share >= 99 ? figures->words.p99_ms : figures->words.p50_ms) *
           pow(passages / figures->passages, figures->words_power);
}

// Bytes of memory that a passage wants: what every search goes through. Texts are read for the few
// that are found.
static double passage_memory(const capacity_figures_t *figures, capacity_index_t index)
{
    return figures->kinds[index].bytes + figures->words.bytes;
}

static bool shard_fits(const capacity_figures_t *figures, const capacity_workload_t *workload,
                       capacity_index_t index, double passages)
{
    double most = workload->latency_ms * OF_LATENCY;
    return capacity_dense_ms(figures, index, passages, 99) <= most &&
           capacity_lexical_ms(figures, passages, 99) <= most &&
           passages * passage_memory(figures, index) <= workload->memory * OF_MEMORY;
}

static unsigned round_up(double value)
{
    return value < 1 ? 1 : value > 1e9 ? 1000000000 : (unsigned)ceil(value - 1e-9);
}

void capacity_need(const capacity_figures_t *figures, const capacity_workload_t *workload,
                   capacity_index_t index, capacity_need_t *need)
{
    *need = (capacity_need_t){.shards = 1, .replicas = workload->replicas ? workload->replicas : 1};
    while (need->shards < CAPACITY_MAX_SHARDS &&
           !shard_fits(figures, workload, index, workload->passages / need->shards))
        need->shards++;
    double part = workload->passages / need->shards;
    need->possible = shard_fits(figures, workload, index, part);
    need->shard_passages = part;
    need->shard_memory = part * passage_memory(figures, index);
    need->dense_p99_ms = capacity_dense_ms(figures, index, part, 99);
    need->lexical_p99_ms = capacity_lexical_ms(figures, part, 99);
    double work =
        (capacity_dense_ms(figures, index, part, 50) + capacity_lexical_ms(figures, part, 50)) /
        1000 * need->shards;
    need->cores = workload->rate * work;
    unsigned for_cores = round_up(need->cores / BUSY / workload->cores);
    unsigned for_memory = round_up(need->shard_memory * need->shards * need->replicas /
                                   (workload->memory * OF_MEMORY));
    need->machines = for_cores > for_memory ? for_cores : for_memory;
    if (need->replicas > 1) { // what is left when one is gone must carry the rate
        unsigned with_one_gone = for_cores + 1;
        unsigned apart = need->replicas; // no two replicas of a shard on one machine
        need->machines = need->machines > with_one_gone ? need->machines : with_one_gone;
        need->machines = need->machines > apart ? need->machines : apart;
    }
    // a machine takes part in the rate only with a replica of something
    while (need->shards * need->replicas < need->machines)
        need->replicas++;
    need->build_s = workload->passages / figures->kinds[index].per_s +
                    workload->passages / figures->words.per_s;
}

static capacity_index_t usual_index(double passages)
{
    const char *factory = store_factory((uint64_t)passages, NULL);
    return strstr(factory, "IVF")    ? CAPACITY_LISTS
           : strstr(factory, "HNSW") ? CAPACITY_GRAPH
                                     : CAPACITY_FLAT;
}

capacity_index_t capacity_choose(const capacity_figures_t *figures,
                                 const capacity_workload_t *workload,
                                 capacity_need_t needs[CAPACITY_INDEXES])
{
    capacity_index_t best = CAPACITY_INDEXES;
    for (capacity_index_t index = 0; index < CAPACITY_INDEXES; index++) {
        capacity_need(figures, workload, index, &needs[index]);
        const capacity_need_t *need = &needs[index], *other = &needs[best % CAPACITY_INDEXES];
        if (!need->possible)
            continue;
        // of as many machines the fewest shards, since each is a message there and back; then what
        // the builder takes by itself for so many
        if (best == CAPACITY_INDEXES || need->machines < other->machines ||
            (need->machines == other->machines &&
             (need->shards < other->shards ||
              (need->shards == other->shards && index == usual_index(need->shard_passages)))))
            best = index;
    }
    return best;
}
