// metrics: counters and histograms, in one table each.
#include "metrics.h"

#include <stdlib.h>

static const struct {
    const char *name, *help;
} counters[COUNTERS] = {
    [COUNT_QUESTIONS] = {"ragline_questions_total", "Questions taken."},
    [COUNT_DONE] = {"ragline_answers_total", "Questions answered completely."},
    [COUNT_FAILED] = {"ragline_failures_total", "Questions that ended with an error."},
    [COUNT_CANCELLED] = {"ragline_cancellations_total",
                         "Questions whose client went away before the end."},
    [COUNT_REFUSED] = {"ragline_refusals_total",
                       "Questions refused because too many were at work."},
    [COUNT_INCOMPLETE] = {"ragline_incomplete_total",
                          "Questions whose passages do not come from all sources."},
    [COUNT_TOKENS] = {"ragline_tokens_total", "Tokens relayed from generators to clients."},
    [COUNT_RETRIES] = {"ragline_retries_total", "Tasks sent again to another worker."},
    [COUNT_SEARCHES] = {"ragline_searches_total", "Search tasks sent, hedges not counted."},
    [COUNT_HEDGES] = {"ragline_hedges_total",
                      "Search tasks sent to a second replica because the first was slow."},
    [COUNT_HEDGES_WON] = {"ragline_hedges_won_total", "Hedges that answered first."},
    [COUNT_GAPS] = {"ragline_token_gaps_total",
                    "Gaps seen in the numbers of token streams (sent again, never shown)."},
    [COUNT_STRAYS] = {"ragline_stray_messages_total",
                      "Messages of workers for tasks that nobody waits for."},
    [COUNT_EMBED_ERRORS] = {"ragline_embedding_errors_total",
                            "Questions that the embedding server did not embed."},
    [COUNT_FALLBACKS] = {"ragline_fallbacks_total",
                         "Answers begun by another upstream than the first in the order."},
};

static const struct {
    const char *name, *label, *help;
} histograms[HISTOGRAMS] = {
    [HISTOGRAM_EMBED] = {"ragline_stage_duration_seconds", "stage=\"embed\"",
                         "Time in each stage."},
    [HISTOGRAM_SEARCH] = {"ragline_stage_duration_seconds", "stage=\"search\"", NULL},
    [HISTOGRAM_MERGE] = {"ragline_stage_duration_seconds", "stage=\"merge\"", NULL},
    [HISTOGRAM_WAIT] = {"ragline_stage_duration_seconds", "stage=\"wait\"", NULL},
    [HISTOGRAM_FIRST_TOKEN] = {"ragline_stage_duration_seconds", "stage=\"generate\"", NULL},
    [HISTOGRAM_STREAM] = {"ragline_stage_duration_seconds", "stage=\"stream\"", NULL},
    [TIME_TO_STATUS] = {"ragline_time_to_first_status_seconds", "",
                        "From a question's first byte to its first status."},
    [TIME_TO_SOURCES] = {"ragline_time_to_first_source_seconds", "",
                         "From a question's first byte to its passages."},
    [TIME_TO_TOKEN] = {"ragline_time_to_first_token_seconds", "",
                       "From a question's first byte to the answer's first token."},
    [TIME_TO_END] = {"ragline_answer_duration_seconds", "",
                     "From a question's first byte to the end of its answer."},
};

// Upper bounds in µs: 1-2.5-5 from 100 µs to two minutes.
static const uint64_t bounds[] = {100,     250,      500,      1000,     2500,     5000,    10000,
                                  25000,   50000,    100000,   250000,   500000,   1000000, 2500000,
                                  5000000, 10000000, 25000000, 60000000, 120000000};
enum {
    BOUNDS = sizeof bounds / sizeof *bounds
};

struct metrics {
    uint64_t counters[COUNTERS];
    struct {
        uint64_t buckets[BOUNDS + 1]; // the last one: more than all bounds
        uint64_t count, sum_us;
    } histograms[HISTOGRAMS];
};

metrics_t *metrics_new(void)
{
    metrics_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    return self;
}

void metrics_destroy(metrics_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

void metrics_count(metrics_t *self, counter_t counter, uint64_t more)
{
    self->counters[counter] += more;
}

uint64_t metrics_value(const metrics_t *self, counter_t counter)
{
    return self->counters[counter];
}

void metrics_time(metrics_t *self, histogram_t histogram, uint64_t us)
{
    size_t at = 0;
    while (at < BOUNDS && us > bounds[at])
        at++;
    self->histograms[histogram].buckets[at]++;
    self->histograms[histogram].count++;
    self->histograms[histogram].sum_us += us;
}

void metrics_write_head(rl_buf_t *out, const char *name, const char *type, const char *help)
{
    rl_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_write_value(rl_buf_t *out, const char *name, const char *labels, double value)
{
    rl_buf_addf(out, *labels ? "%s{%s} %.15g\n" : "%s%s %.15g\n", name, labels, value);
}

static void write_histogram(const metrics_t *self, size_t at, rl_buf_t *out)
{
    const char *name = histograms[at].name, *label = histograms[at].label;
    const char *comma = *label ? "," : "";
    uint64_t sum = 0;
    if (histograms[at].help)
        metrics_write_head(out, name, "histogram", histograms[at].help);
    for (size_t bucket = 0; bucket < BOUNDS; bucket++) {
        sum += self->histograms[at].buckets[bucket];
        rl_buf_addf(out, "%s_bucket{%s%sle=\"%.15g\"} %llu\n", name, label, comma,
                    (double)bounds[bucket] / 1e6, (unsigned long long)sum);
    }
    rl_buf_addf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, label, comma,
                (unsigned long long)self->histograms[at].count);
    rl_buf_addf(out, *label ? "%s_sum{%s} %.15g\n" : "%s_sum%s %.15g\n", name, label,
                (double)self->histograms[at].sum_us / 1e6);
    rl_buf_addf(out, *label ? "%s_count{%s} %llu\n" : "%s_count%s %llu\n", name, label,
                (unsigned long long)self->histograms[at].count);
}

void metrics_write(const metrics_t *self, rl_buf_t *out)
{
    for (size_t at = 0; at < COUNTERS; at++) {
        metrics_write_head(out, counters[at].name, "counter", counters[at].help);
        metrics_write_value(out, counters[at].name, "", (double)self->counters[at]);
    }
    for (size_t at = 0; at < HISTOGRAMS; at++)
        write_histogram(self, at, out);
}
