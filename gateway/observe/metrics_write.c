// metrics_write: the metrics as text. Most of it are histograms, and the loop is held up meanwhile:
// the text that the samples of a series have in common is made once.
#include "metrics_private.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *labels, *help; // name NULL: written by code; help NULL: of the family before
} counters[COUNTERS] = {
#define COUNTER(constant, family, labels, help) [COUNT_##constant] = {family, labels, help},
#define LIVE_COUNTER(constant, family, labels, help, name) COUNTER(constant, family, labels, help)
#include "metrics_counters.h"
#undef COUNTER
#undef LIVE_COUNTER
};

static const struct {
    const char *name, *label, *help; // NULL: of the family before
} times[TIMES] = {
    [TIME_FIRST_STATUS] = {"ragline_time_to_first_status_seconds", "",
                           "From a question's first byte to its first status."},
    [TIME_FIRST_SOURCE] = {"ragline_time_to_first_source_seconds", "",
                           "From a question's first byte to its passages."},
    [TIME_FIRST_TOKEN] = {"ragline_time_to_first_token_seconds", "",
                          "From a question's first byte to the answer's first token."},
    [TIME_UNQUEUED] = {"ragline_time_to_first_token_unqueued_seconds", "",
                       "The same without the waiting for a generator and inside it."},
    [TIME_PER_TOKEN] = {"ragline_time_per_output_token_seconds", "",
                        "From the first token to the end, by tokens after the first."},
    [TIME_DONE] = {"ragline_answer_duration_seconds", "outcome=\"done\"",
                   "From a question's first byte to the end of its answer."},
    [TIME_FAILED] = {"ragline_answer_duration_seconds", "outcome=\"failed\"", NULL},
    [TIME_CANCELLED] = {"ragline_answer_duration_seconds", "outcome=\"cancelled\"", NULL},
};

// As the label `le` has them, in both formats.
static const char *const bounds[METRICS_BOUNDS + 1] = {
    "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05",  "0.1",
    "0.25",   "0.5",     "1.0",    "2.5",   "5.0",    "10.0",  "25.0", "60.0",  "120.0", "+Inf"};

const char *const metrics_forms[METRICS_FORMS] = {"ask", "chat", "search", "draft"};

size_t metrics_form(const char *form)
{
    for (size_t at = 1; at < METRICS_FORMS; at++)
        if (strcmp(form, metrics_forms[at]) == 0)
            return at;
    return 0;
}

static void write_exemplar(rl_buf_t *out, const metrics_exemplar_t *exemplar)
{
    if (*exemplar->trace_id)
        rl_buf_addf(out, " # {trace_id=\"%s\"} %.9g %lld.%06lld", exemplar->trace_id,
                    (double)exemplar->us / 1e6, (long long)(exemplar->wall_us / 1000000),
                    (long long)(exemplar->wall_us % 1000000));
}

// `exemplars` (a bucket each) may be NULL.
static void write_histogram(metrics_text_t *text, const char *name, const char *labels,
                            const metrics_histogram_t *histogram,
                            const metrics_exemplar_t *exemplars)
{
    char head[METRICS_TEXT_MAX_LABELS + 160], number[32];
    const char *comma = *labels ? "," : "";
    size_t head_size =
        (size_t)snprintf(head, sizeof head, "%s_bucket{%s%sle=\"", name, labels, comma);
    rl_buf_t *out = &text->out;
    uint64_t count = 0;
    for (size_t at = 0; at <= METRICS_BOUNDS; at++) {
        count += histogram->buckets[at];
        rl_buf_add(out, head, head_size);
        rl_buf_adds(out, bounds[at]);
        snprintf(number, sizeof number, "\"} %llu", (unsigned long long)count);
        rl_buf_adds(out, number);
        if (text->open && exemplars)
            write_exemplar(out, &exemplars[at]);
        rl_buf_add(out, "\n", 1);
    }
    const char *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    rl_buf_addf(out, "%s_sum%s%s%s %.15g\n%s_count%s%s%s %llu\n", name, open, labels, close,
                (double)histogram->sum_us / 1e6, name, open, labels, close,
                (unsigned long long)count);
}

static bool is_empty(const metrics_histogram_t *histogram)
{
    for (size_t at = 0; at <= METRICS_BOUNDS; at++)
        if (histogram->buckets[at])
            return false;
    return true;
}

// Forms and outcomes that never occurred have no series, but each family has one at least.
static void write_times(const metrics_t *self, metrics_text_t *text)
{
    for (size_t time = 0; time < TIMES; time++) {
        const char *name = times[time].name;
        if (times[time].help)
            metrics_text_family(text, name, "histogram", times[time].help);
        for (size_t form = 0; form < METRICS_FORMS; form++) {
            const metrics_form_t *row = &self->forms[time][form];
            bool first = times[time].help && form == 0;
            char labels[METRICS_TEXT_MAX_LABELS];
            if (is_empty(&row->histogram) && !first)
                continue;
            snprintf(labels, sizeof labels, "%s", times[time].label);
            metrics_text_label(labels, "form", metrics_forms[form]);
            write_histogram(text, name, labels, &row->histogram, row->exemplars);
        }
    }
}

static void write_stages(const metrics_t *self, metrics_text_t *text)
{
    static const char name[] = "ragline_stage_duration_seconds";
    char labels[METRICS_TEXT_MAX_LABELS];
    metrics_text_family(text, name, "histogram",
                        "Time that one answer, or one of its searches, spent in a stage.");
    for (size_t value = 0; value <= METRICS_MAX_VALUES; value++)
        for (int stage = 0; stage < STAGES; stage++)
            for (int kind = 0; kind <= KINDS; kind++) {
                const metrics_histogram_t *histogram = self->stages[value][stage][kind];
                if (!histogram)
                    continue;
                *labels = 0;
                metrics_text_label(labels, "stage", stage_names[stage]);
                metrics_text_label(labels, "collection",
                                   metrics_name_at(&self->collections, value));
                metrics_text_label(labels, "kind", kind < KINDS ? kind_names[kind] : "");
                write_histogram(text, name, labels, histogram, NULL);
            }
    static const char path[] = "ragline_first_token_path_seconds_total";
    metrics_text_family(text, path, "counter",
                        "What first tokens really waited for: time on their critical path.");
    for (int stage = 0; stage < STAGES; stage++) {
        // stages after the first token are on no such path
        if (stage == STAGE_TOKENS || stage == STAGE_CLIENT)
            continue;
        metrics_text_sample(text, path, (double)self->path_us[stage] / 1e6, "stage",
                            stage_names[stage], (const char *)NULL);
    }
}

static void write_codes(metrics_text_t *text, const char *name, const char *role,
                        const uint64_t codes[METRICS_CODES])
{
    for (size_t at = 0; at < METRICS_CODES; at++)
        if (at == 0 || codes[at])
            metrics_text_sample(text, name, (double)codes[at], "kind", role, "code",
                                metrics_codes[at], (const char *)NULL);
}

static void write_failures(const metrics_t *self, metrics_text_t *text)
{
    static const char failures[] = "ragline_failures_total";
    static const char upstream[] = "ragline_upstream_errors_total";
    static const char tasks[] = "ragline_task_failures_total";
    metrics_text_family(text, failures, "counter", "Questions that ended with an error, by code.");
    write_codes(text, failures, NULL, self->failed_answers);
    metrics_text_family(text, upstream, "counter",
                        "LLM servers that failed a question, also where another one answered it.");
    write_codes(text, upstream, NULL, self->failures[FAILURE_UPSTREAM]);
    metrics_text_family(text, tasks, "counter",
                        "Tasks that a worker could not do, also where another one did.");
    write_codes(text, tasks, kind_names[KIND_DENSE], self->failures[FAILURE_DENSE]);
    write_codes(text, tasks, kind_names[KIND_LEXICAL], self->failures[FAILURE_LEXICAL]);
    write_codes(text, tasks, "generator", self->failures[FAILURE_GENERATOR]);
}

static void write_coverage(const metrics_t *self, metrics_text_t *text)
{
    static const char name[] = "ragline_source_searches_total";
    static const char *const outcomes[] = {"answered", "missing"};
    metrics_text_family(text, name, "counter", "Searches of finished answers, by their outcome.");
    for (size_t value = 0; value <= METRICS_MAX_VALUES; value++)
        for (int kind = 0; kind < KINDS; kind++) {
            const uint64_t *counts = self->searches[value][kind];
            for (int at = 0; at < 2 && counts[0] + counts[1] > 0; at++)
                metrics_text_sample(text, name, (double)counts[at], "collection",
                                    metrics_name_at(&self->collections, value), "kind",
                                    kind_names[kind], "outcome", outcomes[at], (const char *)NULL);
        }
}

static void write_tokens(const metrics_t *self, metrics_text_t *text)
{
    static const struct {
        const char *name, *help;
        size_t offset;
    } rows[] = {
        {"ragline_prompt_tokens_total", "Tokens of prompts, by the answering model.",
         offsetof(metrics_tokens_t, prompt)},
        {"ragline_completion_tokens_total", "Tokens of answers, by the answering model.",
         offsetof(metrics_tokens_t, completion)},
        {"ragline_cached_prompt_tokens_total",
         "Tokens of prompts that the LLM server had in its cache, where it tells.",
         offsetof(metrics_tokens_t, cached)},
        {"ragline_cacheable_prompt_tokens_total",
         "Tokens of prompts of which the LLM server told how many it had in its cache.",
         offsetof(metrics_tokens_t, cached_of)},
        {"ragline_trimmed_prompt_tokens_total",
         "Tokens that were left out of prompts with passages (estimated).",
         offsetof(metrics_tokens_t, trimmed)},
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        metrics_text_family(text, rows[row].name, "counter", rows[row].help);
        for (size_t value = 0; value <= METRICS_MAX_VALUES; value++) {
            const metrics_tokens_t *tokens = &self->tokens[value];
            uint64_t count;
            if (value >= self->models.size && !tokens->prompt && !tokens->completion)
                continue;
            memcpy(&count, (const char *)tokens + rows[row].offset, sizeof count);
            metrics_text_sample(text, rows[row].name, (double)count, "model",
                                metrics_name_at(&self->models, value), (const char *)NULL);
        }
    }
}

void metrics_write(const metrics_t *self, metrics_text_t *text)
{
    for (size_t at = 0; at < COUNTERS; at++) {
        if (!counters[at].name)
            continue;
        if (counters[at].help)
            metrics_text_family(text, counters[at].name, "counter", counters[at].help);
        metrics_text_value(text, counters[at].name, counters[at].labels,
                           (double)self->counters[at]);
    }
    write_failures(self, text);
    write_coverage(self, text);
    write_tokens(self, text);
    write_times(self, text);
    write_stages(self, text);
}
