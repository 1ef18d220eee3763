// live: the last minute, a second at a time.
#include "live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "histogram.h"
#include "json_write.h"
#include "mem.h"
#include "wire.h"

// What is counted, from the list of all counters: readers of the endpoint show names that they do
// not know as they are.
#define COUNTER(constant, family, labels, help)
enum {
#define LIVE_COUNTER(constant, family, labels, help, name) ROW_##constant,
#include "metrics_counters.h"
#undef LIVE_COUNTER
    ROW_BAD_MESSAGES, // counted by the wire
    ROWS
};
static const struct {
    const char *name; // that clients see
    counter_t counter;
} rows[ROWS] = {
#define LIVE_COUNTER(constant, family, labels, help, name)                                         \
    [ROW_##constant] = {name, COUNT_##constant},
#include "metrics_counters.h"
#undef LIVE_COUNTER
    [ROW_BAD_MESSAGES] = {"bad_messages", COUNTERS},
};

// Times since the question came.
enum {
    TO_STATUS,
    TO_SOURCES,
    TO_FIRST_TOKEN,
    TO_END,
    TIMES
};
static const char *const time_names[TIMES] = {"status", "sources", "first_token", "end"};

typedef struct second {
    uint64_t took_us; // about a million; more where the loop was late
    uint64_t counts[ROWS];
    size_t in_flight; // at its end
    rl_histogram_t times[TIMES], stages[STAGES];
    uint64_t path_us[STAGES]; // charged on the critical path to the first token
} second_t;

struct live {
    second_t seconds[LIVE_SECONDS + 1]; // a ring; the one at `at` is not over yet
    size_t at, size;                    // size: those that are over
    uint64_t since_us;                  // when the one at `at` began
    uint64_t totals[ROWS];
};

live_t *live_new(uint64_t now_us)
{
    live_t *self = rl_new(*self);
    self->since_us = now_us;
    return self;
}

void live_destroy(live_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

// ---- answers ------------------------------------------------------------------------------------

static void add_duration(second_t *self, stage_t stage, uint64_t us)
{
    if (us > 0)
        rl_histogram_add(&self->stages[stage], us);
}

static void add_search(second_t *self, const span_t *span, bool spanned[STAGES])
{
    uint64_t inside = span->queue_us + span->work_us;
    spanned[STAGE_MISSING] = spanned[STAGE_DISPATCH] = true;
    spanned[STAGE_SEARCH_NETWORK] = spanned[STAGE_SEARCH_QUEUE] = spanned[STAGE_SEARCH_WORK] = true;
    add_duration(self, STAGE_DISPATCH, span->dispatch);
    if (span->missing) {
        add_duration(self, STAGE_MISSING, span->took_us);
        return;
    }
    add_duration(self, STAGE_SEARCH_NETWORK, span->took_us > inside ? span->took_us - inside : 0);
    add_duration(self, STAGE_SEARCH_QUEUE, span->queue_us);
    add_duration(self, STAGE_SEARCH_WORK, span->work_us);
}

static void add_stages(second_t *self, const timeline_t *timeline)
{
    path_step_t path[TIMELINE_MAX_PATH];
    bool spanned[STAGES] = {false}; // has pieces of work of its own
    uint64_t charged[STAGES] = {0};
    for (size_t at = 0; at < timeline->spans_size; at++) {
        const span_t *span = &timeline->spans[at];
        if (span->stage == STAGE_SEARCH_WORK) {
            add_search(self, span, spanned);
            continue;
        }
        spanned[span->stage] = true;
        add_duration(self, span->stage, span->took_us);
    }
    size_t steps = timeline_path(timeline, path);
    for (size_t at = 0; at < steps; at++)
        charged[path[at].stage] += path[at].took_us;
    for (int stage = 0; stage < STAGES; stage++) {
        if (timeline->first_token_us)
            self->path_us[stage] += charged[stage];
        if (!spanned[stage] && stage != STAGE_TOKENS && stage != STAGE_CLIENT)
            add_duration(self, (stage_t)stage, charged[stage]);
    }
    if (!spanned[STAGE_TOKENS] && timeline->first_token_us &&
        timeline->end_us > timeline->first_token_us)
        add_duration(self, STAGE_TOKENS, timeline->end_us - timeline->first_token_us);
    if (!spanned[STAGE_CLIENT])
        add_duration(self, STAGE_CLIENT, timeline->client_us);
}

void live_answer(live_t *self, const timeline_t *timeline)
{
    second_t *second = &self->seconds[self->at];
    const uint64_t times[TIMES] = {
        [TO_STATUS] = timeline->first_status_us,
        [TO_SOURCES] = timeline->sources_us,
        [TO_FIRST_TOKEN] = timeline->first_token_us,
        [TO_END] = timeline->outcome == REQUEST_DONE ? timeline->end_us : 0,
    };
    for (int time = 0; time < TIMES; time++)
        if (times[time])
            rl_histogram_add(&second->times[time], times[time]);
    add_stages(second, timeline);
}

// ---- seconds ------------------------------------------------------------------------------------

static void read_totals(const metrics_t *metrics, uint64_t totals[ROWS])
{
    for (int row = 0; row < ROWS; row++)
        totals[row] = rows[row].counter == COUNTERS ? rl_wire_counts()->bad
                                                    : metrics_value(metrics, rows[row].counter);
    totals[ROW_REFUSED] += metrics_value(metrics, COUNT_REFUSED_RATE);
}

void live_tick(live_t *self, const metrics_t *metrics, size_t in_flight, uint64_t now_us)
{
    second_t *second = &self->seconds[self->at];
    uint64_t totals[ROWS];
    read_totals(metrics, totals);
    for (int row = 0; row < ROWS; row++)
        second->counts[row] = totals[row] - self->totals[row];
    memcpy(self->totals, totals, sizeof totals);
    second->took_us = now_us > self->since_us ? now_us - self->since_us : 1;
    second->in_flight = in_flight;
    self->since_us = now_us;
    self->at = (self->at + 1) % (LIVE_SECONDS + 1);
    if (self->size < LIVE_SECONDS)
        self->size++;
    memset(&self->seconds[self->at], 0, sizeof self->seconds[self->at]);
}

// The second that ended `back` seconds ago; 0 is the last one.
static const second_t *past_second(const live_t *self, size_t back)
{
    return &self->seconds[(self->at + LIVE_SECONDS - back) % (LIVE_SECONDS + 1)];
}

// The last `size` seconds as one.
static size_t add_up(const live_t *self, size_t size, second_t *sum)
{
    memset(sum, 0, sizeof *sum);
    size = size < self->size ? size : self->size;
    for (size_t back = 0; back < size; back++) {
        const second_t *second = past_second(self, back);
        sum->took_us += second->took_us;
        for (int row = 0; row < ROWS; row++)
            sum->counts[row] += second->counts[row];
        for (int time = 0; time < TIMES; time++)
            rl_histogram_merge(&sum->times[time], &second->times[time]);
        for (int stage = 0; stage < STAGES; stage++) {
            rl_histogram_merge(&sum->stages[stage], &second->stages[stage]);
            sum->path_us[stage] += second->path_us[stage];
        }
    }
    return size;
}

// ---- writing ------------------------------------------------------------------------------------

// A member in milliseconds.
static void write_ms(rl_buf_t *out, const char *name, double us)
{
    rl_json_name(out, name);
    rl_buf_addf(out, "%.3f", us / 1000);
}

// Its members, without braces.
static void write_histogram(rl_buf_t *out, const rl_histogram_t *histogram, unsigned parts)
{
    rl_json_count(out, "count", histogram->count);
    write_ms(out, "mean_ms", rl_histogram_mean(histogram));
    write_ms(out, "p50_ms", rl_histogram_percentile(histogram, 0.5));
    write_ms(out, "p90_ms", rl_histogram_percentile(histogram, 0.9));
    write_ms(out, "p99_ms", rl_histogram_percentile(histogram, 0.99));
    write_ms(out, "max_ms", (double)histogram->max_us);
    if (!(parts & LIVE_BUCKETS))
        return;
    write_ms(out, "min_ms", (double)histogram->min_us);
    rl_json_open(out, "buckets", '[');
    for (size_t bucket = 0; bucket < RL_HISTOGRAM_BUCKETS; bucket++) {
        if (!histogram->buckets[bucket])
            continue;
        rl_json_open(out, NULL, '[');
        rl_json_count(out, NULL, bucket);
        rl_json_count(out, NULL, histogram->buckets[bucket]);
        rl_json_close(out, ']');
    }
    rl_json_close(out, ']');
}

static void write_counts(rl_buf_t *out, const char *name, const uint64_t counts[ROWS])
{
    rl_json_open(out, name, '{');
    for (int row = 0; row < ROWS; row++)
        rl_json_count(out, rows[row].name, counts[row]);
    rl_json_close(out, '}');
}

static void write_stages(rl_buf_t *out, const second_t *sum, unsigned parts)
{
    uint64_t path = 0;
    for (int stage = 0; stage < STAGES; stage++)
        path += sum->path_us[stage];
    rl_json_open(out, "stages", '{');
    for (int stage = 0; stage < STAGES; stage++) {
        rl_json_open(out, stage_names[stage], '{');
        write_histogram(out, &sum->stages[stage], parts);
        write_ms(out, "first_token_ms", (double)sum->path_us[stage]);
        rl_json_name(out, "first_token_share");
        rl_buf_addf(out, "%.4f", path ? (double)sum->path_us[stage] / (double)path : 0);
        rl_json_close(out, '}');
    }
    rl_json_close(out, '}');
}

static void write_window(const live_t *self, size_t size, unsigned parts, rl_buf_t *out)
{
    second_t *sum = rl_new(*sum);
    char name[16];
    add_up(self, size, sum);
    double seconds = (double)sum->took_us / 1e6;
    snprintf(name, sizeof name, "%zu", size);
    rl_json_open(out, name, '{');
    rl_json_name(out, "seconds");
    rl_buf_addf(out, "%.3f", seconds);
    write_counts(out, "counts", sum->counts);
    rl_json_open(out, "per_second", '{');
    for (int row = 0; row < ROWS; row++) {
        rl_json_name(out, rows[row].name);
        rl_buf_addf(out, "%.3f", seconds > 0 ? (double)sum->counts[row] / seconds : 0);
    }
    rl_json_close(out, '}');
    rl_json_open(out, "times", '{');
    for (int time = 0; time < TIMES; time++) {
        rl_json_open(out, time_names[time], '{');
        write_histogram(out, &sum->times[time], parts);
        rl_json_close(out, '}');
    }
    rl_json_close(out, '}');
    write_stages(out, sum, parts);
    rl_json_close(out, '}');
    free(sum);
}

static void write_rate(const second_t *second, int row, rl_buf_t *out)
{
    rl_json_name(out, NULL);
    rl_buf_addf(out, "%.1f", (double)second->counts[row] * 1e6 / (double)second->took_us);
}

static void write_percentile(const second_t *second, double share, rl_buf_t *out)
{
    const rl_histogram_t *first = &second->times[TO_FIRST_TOKEN];
    if (first->count)
        write_ms(out, NULL, rl_histogram_percentile(first, share));
    else
        rl_json_value(out, NULL, NULL);
}

// The last `size` seconds, oldest first, each column an array so that its name stands there once;
// or without arrays, for one second.
static void write_seconds(const live_t *self, size_t size, bool arrays, rl_buf_t *out)
{
    static const int rates[] = {ROW_QUESTIONS, ROW_DONE, ROW_FAILED, ROW_REFUSED, ROW_TOKENS};
    static const double shares[] = {0.5, 0.9, 0.99};
    const char *open = arrays ? "[" : "", *close = arrays ? "]" : "";
    rl_json_open(out, NULL, '{');
    for (size_t rate = 0; rate < sizeof rates / sizeof *rates; rate++) {
        rl_json_name(out, rows[rates[rate]].name);
        rl_buf_adds(out, open);
        for (size_t back = size; back-- > 0;)
            write_rate(past_second(self, back), rates[rate], out);
        rl_buf_adds(out, close);
    }
    for (size_t share = 0; share < sizeof shares / sizeof *shares; share++) {
        char name[32];
        snprintf(name, sizeof name, "first_token_p%.0f_ms", shares[share] * 100);
        rl_json_name(out, name);
        rl_buf_adds(out, open);
        for (size_t back = size; back-- > 0;)
            write_percentile(past_second(self, back), shares[share], out);
        rl_buf_adds(out, close);
    }
    rl_json_name(out, "in_flight");
    rl_buf_adds(out, open);
    for (size_t back = size; back-- > 0;)
        rl_json_count(out, NULL, past_second(self, back)->in_flight);
    rl_buf_adds(out, close);
    rl_json_close(out, '}');
}

void live_write(const live_t *self, unsigned parts, rl_buf_t *out)
{
    write_counts(out, "totals", self->totals);
    rl_json_open(out, "windows", '{');
    write_window(self, 10, parts, out);
    write_window(self, LIVE_SECONDS, parts, out);
    rl_json_close(out, '}');
    rl_json_name(out, "second");
    if (self->size > 0)
        write_seconds(self, 1, false, out);
    else
        rl_json_value(out, NULL, NULL);
    if (parts & LIVE_HISTORY) {
        rl_json_name(out, "history");
        write_seconds(self, self->size, true, out);
    }
}
