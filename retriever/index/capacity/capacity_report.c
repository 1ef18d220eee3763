// size_report: the sizing in words.
#include "capacity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "store.h"

static const char *const names[CAPACITY_INDEXES] = {"Flat", "HNSW32", "IVF,SQ8"};

void capacity_factory(capacity_index_t index, double passages, char *out)
{
    const char *usual = store_factory((uint64_t)passages, NULL);
    if (index == CAPACITY_FLAT)
        snprintf(out, 32, "Flat");
    else if (index == CAPACITY_GRAPH)
        snprintf(out, 32, "HNSW32");
    else if (strstr(usual, "IVF"))
        snprintf(out, 32, "%.31s", usual); // what the builder itself takes for so many
    else
        snprintf(out, 32, "IVF%.0f,SQ8", fmax(1, 4 * sqrt(passages))); // FAISS's advice
}

static const char *format_count(double value, char *out)
{
    return progress_number((uint64_t)nearbyint(value), out);
}

static const char *format_memory(double bytes, char *out)
{
    if (bytes < 1e9)
        snprintf(out, 32, "%.0f MB", bytes / 1e6);
    else
        snprintf(out, 32, bytes < 1e10 ? "%.1f GB" : "%.0f GB", bytes / 1e9);
    return out;
}

// The most passages that a shard may have at one question a second of each core and within the
// latency: where an index of this kind wants a further core, or shard.
static double most_passages(const capacity_figures_t *figures, const capacity_workload_t *workload,
                            capacity_index_t index)
{
    double low = 1, high = 1e12;
    for (int step = 0; step < 100; step++) {
        double middle = sqrt(low * high);
        if (capacity_dense_ms(figures, index, middle, 99) <= workload->latency_ms / 2 &&
            capacity_lexical_ms(figures, middle, 99) <= workload->latency_ms / 2)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void report_measured(const capacity_figures_t *figures, const capacity_workload_t *workload,
                            FILE *out)
{
    char a[48], b[48], c[48];
    fprintf(out,
            "Measured with %s passages of %.0f dimensions, one thread:\n\n"
            "  %-9s %9s %9s %10s %10s %14s %22s\n",
            format_count(figures->passages, a), figures->dimension, "", "p50", "p99", "recall@10",
            "bytes", "passages a GB", "passages a core*");
    for (capacity_index_t index = 0; index < CAPACITY_INDEXES; index++) {
        const capacity_kind_t *kind = &figures->kinds[index];
        double all = kind->bytes + figures->words.bytes;
        fprintf(out, "  %-9s %6.2f ms %6.2f ms %10.3f %10.0f %14s %22s\n", names[index],
                kind->p50_ms, kind->p99_ms, kind->recall, kind->bytes, format_count(1e9 / all, b),
                format_count(most_passages(figures, workload, index), c));
    }
    fprintf(out,
            "  %-9s %6.2f ms %6.2f ms %10s %10.0f\n\n"
            "  * that one core searches, words too, within half of %.0f ms at p99\n",
            "words", figures->words.p50_ms, figures->words.p99_ms, "", figures->words.bytes,
            workload->latency_ms);
}

static void report_needs(const capacity_need_t needs[CAPACITY_INDEXES], FILE *out)
{
    char a[48], b[48], took[40];
    fprintf(out, "\n  %-9s %6s %9s %8s %12s %9s %9s %9s %7s %10s\n", "", "shards", "replicas",
            "machines", "a shard has", "memory", "dense p99", "words p99", "cores", "build");
    for (capacity_index_t index = 0; index < CAPACITY_INDEXES; index++) {
        const capacity_need_t *need = &needs[index];
        if (!need->possible) {
            fprintf(out, "  %-9s not within this latency\n", names[index]);
            continue;
        }
        progress_duration(need->build_s, took, sizeof took);
        fprintf(out, "  %-9s %6u %9u %8u %12s %9s %6.1f ms %6.1f ms %7.1f %10s\n", names[index],
                need->shards, need->replicas, need->machines, format_count(need->shard_passages, a),
                format_memory(need->shard_memory, b), need->dense_p99_ms, need->lexical_p99_ms,
                need->cores, took);
    }
}

// What to do, and what would change it.
static void report_advice(const capacity_figures_t *figures, const capacity_workload_t *workload,
                          capacity_index_t index, const capacity_need_t *need, FILE *out)
{
    char factory[32], a[48];
    capacity_factory(index, need->shard_passages, factory);
    fprintf(out,
            "\nTake %s: ragline-index --index-shards %u --index-factory %s …, each shard in %u "
            "retriever%s, on %u machine%s.\n",
            names[index], need->shards, factory, need->replicas, need->replicas > 1 ? "s" : "",
            need->machines, need->machines > 1 ? "s" : "");
    double full = workload->memory * 0.8 / (figures->kinds[index].bytes + figures->words.bytes);
    double quick = most_passages(figures, workload, index);
    fprintf(out,
            "  A shard more: from %s passages a shard on (%s).\n"
            "  A replica more: when cores are busy for more than 60 %%: above %.0f questions a "
            "second and core.\n"
            "  A machine more: when memory is full, or there is no core for a replica.\n",
            format_count(fmin(full, quick), a), full < quick ? "memory" : "latency",
            0.6 / fmax(need->cores / workload->rate, 1e-9));
    if (need->machines > CAPACITY_MACHINES)
        fprintf(out,
                "  The engine: here. More than %d machines want shards that move by themselves: "
                "ragline-index --to (see README).\n",
                CAPACITY_MACHINES);
    else
        fprintf(out, "  The engine: not yet; when more than %d machines are wanted.\n",
                CAPACITY_MACHINES);
}

void capacity_report(const capacity_figures_t *figures, const capacity_workload_t *workload,
                     FILE *out)
{
    capacity_need_t needs[CAPACITY_INDEXES];
    char a[48], b[48];
    capacity_index_t best = capacity_choose(figures, workload, needs);
    report_measured(figures, workload, out);
    fprintf(out,
            "\n%s passages, %g questions a second, a search within %g ms at p99, each shard at "
            "least %u time%s, machines of %u cores and %s:\n",
            format_count(workload->passages, a), workload->rate, workload->latency_ms,
            workload->replicas, workload->replicas == 1 ? "" : "s", workload->cores,
            format_memory(workload->memory, b));
    report_needs(needs, out);
    if (best == CAPACITY_INDEXES)
        fprintf(out, "\nNone of them is possible: allow more than %g ms.\n", workload->latency_ms);
    else
        report_advice(figures, workload, best, &needs[best], out);
}
