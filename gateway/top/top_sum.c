// top_sum: several gateways' snapshots as one.
#include "top_sum.h"

#include <stdio.h>
#include <string.h>

#include "histogram.h"

enum {
    MAX_NAMES = 200 // members of one object of a snapshot; a gateway has some twenty
};

static const char *const windows[] = {"10", "60"};

static double number_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : 0;
}

static json_int_t sum_of(json_int_t a, json_int_t b)
{
    json_int_t sum;
    return __builtin_add_overflow(a, b, &sum) ? a : sum; // nonsense that a gateway sent
}

// Adds every number of `more` to the one of the same name in `sum`.
static void add_numbers(json_t *sum, json_t *more)
{
    const char *key;
    json_t *value;
    json_object_foreach(more, key, value)
    {
        const json_t *so_far = json_object_get(sum, key);
        if (!json_is_number(value) || (!so_far && json_object_size(sum) >= MAX_NAMES))
            continue;
        if (json_is_integer(value) && (!so_far || json_is_integer(so_far)))
            json_object_set_new(
                sum, key,
                json_integer(sum_of(json_integer_value(so_far), json_integer_value(value))));
        else
            json_object_set_new(sum, key,
                                json_real(json_number_value(value) + number_at(sum, key)));
    }
}

// The object of this name in `sum`, made if it is not there.
static json_t *part_of(json_t *sum, const char *key)
{
    json_t *object = json_object_get(sum, key);
    if (object)
        return object;
    object = json_object();
    json_object_set_new(sum, key, object);
    return object;
}

// ------------------------------------------------------------------------------------ histograms

static uint64_t us_of(const json_t *object, const char *key)
{
    double ms = number_at(object, key);
    return ms > 0 && ms < 1e12 ? (uint64_t)(ms * 1000 + 0.5) : 0;
}

static void read_histogram(const json_t *object, rl_histogram_t *out)
{
    const json_t *buckets = json_object_get(object, "buckets"), *pair;
    size_t at;
    rl_histogram_reset(out);
    json_array_foreach(buckets, at, pair)
    {
        json_int_t bucket = json_integer_value(json_array_get(pair, 0));
        json_int_t count = json_integer_value(json_array_get(pair, 1));
        if (bucket < 0 || bucket >= RL_HISTOGRAM_BUCKETS || count <= 0)
            continue;
        out->buckets[bucket] += (uint64_t)count;
        out->count += (uint64_t)count;
    }
    out->min_us = us_of(object, "min_ms");
    out->max_us = us_of(object, "max_ms");
    double sum = (double)us_of(object, "mean_ms") * (double)out->count;
    out->sum_us = sum < 1e18 ? (uint64_t)sum : 0;
}

static json_t *buckets_json(const rl_histogram_t *histogram)
{
    json_t *out = json_array();
    for (size_t bucket = 0; bucket < RL_HISTOGRAM_BUCKETS; bucket++)
        if (histogram->buckets[bucket])
            json_array_append_new(
                out, json_pack("[i,I]", (int)bucket, (json_int_t)histogram->buckets[bucket]));
    return out;
}

static void write_histogram(const rl_histogram_t *histogram, json_t *out)
{
    static const struct {
        const char *key;
        double share;
    } percentiles[] = {{"p50_ms", 0.5}, {"p90_ms", 0.9}, {"p99_ms", 0.99}};
    json_object_set_new(out, "count", json_integer((json_int_t)histogram->count));
    json_object_set_new(out, "mean_ms", json_real(rl_histogram_mean(histogram) / 1000));
    for (size_t at = 0; at < sizeof percentiles / sizeof *percentiles; at++)
        json_object_set_new(
            out, percentiles[at].key,
            json_real(rl_histogram_percentile(histogram, percentiles[at].share) / 1000));
    json_object_set_new(out, "min_ms", json_real((double)histogram->min_us / 1000));
    json_object_set_new(out, "max_ms", json_real((double)histogram->max_us / 1000));
    json_object_set_new(out, "buckets", buckets_json(histogram));
}

// Adds the histograms of `more` to those of the same names in `sum`.
static void add_histograms(json_t *sum, json_t *more)
{
    const char *key;
    json_t *value;
    json_object_foreach(more, key, value)
    {
        rl_histogram_t so_far, here;
        if (!json_object_get(sum, key) && json_object_size(sum) >= MAX_NAMES)
            continue;
        json_t *out = part_of(sum, key);
        read_histogram(out, &so_far);
        read_histogram(value, &here);
        rl_histogram_merge(&so_far, &here);
        write_histogram(&so_far, out);
        if (json_object_get(value, "first_token_ms"))
            json_object_set_new(
                out, "first_token_ms",
                json_real(number_at(out, "first_token_ms") + number_at(value, "first_token_ms")));
    }
}

// What share of the time to the first token each stage is charged with.
static void set_shares(json_t *stages)
{
    double whole = 0;
    const char *key;
    json_t *value;
    json_object_foreach(stages, key, value)
    {
        whole += number_at(value, "first_token_ms");
    }
    json_object_foreach(stages, key, value)
    {
        json_object_set_new(value, "first_token_share",
                            json_real(whole > 0 ? number_at(value, "first_token_ms") / whole : 0));
    }
}

// They were needed to add up.
static void drop_buckets(json_t *histograms)
{
    const char *key;
    json_t *value;
    json_object_foreach(histograms, key, value)
    {
        json_object_del(value, "buckets");
    }
}

static void add_window(json_t *sum, json_t *more)
{
    double seconds = number_at(more, "seconds");
    add_numbers(part_of(sum, "counts"), json_object_get(more, "counts"));
    add_numbers(part_of(sum, "per_second"), json_object_get(more, "per_second"));
    add_histograms(part_of(sum, "times"), json_object_get(more, "times"));
    add_histograms(part_of(sum, "stages"), json_object_get(more, "stages"));
    if (seconds > number_at(sum, "seconds")) // they run side by side
        json_object_set_new(sum, "seconds", json_real(seconds));
}

// --------------------------------------------------------------------------------------- workers

// Each gateway knows the tasks that it gave, and their latency from there; what a worker announced
// of itself is taken from the one that heard of it last.
static void add_to_worker(json_t *sum, json_t *worker)
{
    static const char *const worst[] = {"latency_ms", "latency_p95_ms"};
    json_int_t outstanding = sum_of(json_integer_value(json_object_get(sum, "outstanding")),
                                    json_integer_value(json_object_get(worker, "outstanding")));
    double largest[2];
    for (int at = 0; at < 2; at++)
        largest[at] = number_at(sum, worst[at]) > number_at(worker, worst[at])
                          ? number_at(sum, worst[at])
                          : number_at(worker, worst[at]);
    if (number_at(worker, "last_seen_ms") < number_at(sum, "last_seen_ms"))
        json_object_update(sum, worker);
    json_object_set_new(sum, "outstanding", json_integer(outstanding));
    for (int at = 0; at < 2; at++)
        json_object_set_new(sum, worst[at], json_real(largest[at]));
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

// `known`: what is there already, by what makes a worker the same one.
static void add_workers(json_t *sum, json_t *known, const json_t *workers)
{
    char name[512];
    json_t *worker;
    size_t at;
    json_array_foreach(workers, at, worker)
    {
        snprintf(name, sizeof name, "%s %s %s %lld", text_at(worker, "worker"),
                 text_at(worker, "kind"), text_at(worker, "collection"),
                 (long long)json_integer_value(json_object_get(worker, "shard")));
        json_t *before = json_object_get(known, name);
        if (before) {
            add_to_worker(before, worker);
        } else if (json_is_object(worker)) {
            json_t *copy = json_copy(worker);
            json_object_set(known, name, copy);
            json_array_append_new(sum, copy);
        }
    }
}

// ---------------------------------------------------------------------------------------- the sum

static void add_in_flight(json_t *sum, json_t *more)
{
    double oldest = number_at(sum, "oldest_ms"), here = number_at(more, "oldest_ms");
    add_numbers(sum, more);
    json_object_set_new(sum, "oldest_ms", json_real(oldest > here ? oldest : here));
    add_numbers(part_of(sum, "states"), json_object_get(more, "states"));
}

json_t *top_sum(json_t *const *snapshots, size_t size)
{
    json_t *sum = json_object(), *workers = json_array(), *known = json_object();
    enum {
        WINDOWS = sizeof windows / sizeof *windows
    };
    for (size_t at = 0; at < size; at++) {
        const json_t *more = snapshots[at];
        add_in_flight(part_of(sum, "in_flight"), json_object_get(more, "in_flight"));
        add_numbers(part_of(sum, "connections"), json_object_get(more, "connections"));
        add_numbers(part_of(sum, "totals"), json_object_get(more, "totals"));
        for (int window = 0; window < WINDOWS; window++)
            add_window(part_of(part_of(sum, "windows"), windows[window]),
                       json_object_get(json_object_get(more, "windows"), windows[window]));
        add_workers(workers, known, json_object_get(more, "workers"));
    }
    for (int window = 0; window < WINDOWS; window++) {
        json_t *whole = json_object_get(json_object_get(sum, "windows"), windows[window]);
        set_shares(json_object_get(whole, "stages"));
        drop_buckets(json_object_get(whole, "times"));
        drop_buckets(json_object_get(whole, "stages"));
    }
    json_object_set_new(sum, "workers", workers);
    json_decref(known);
    return sum;
}
