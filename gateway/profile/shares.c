// shares: "about the median" are the answers between the 40th and the 60th percentile of the time
// to the first token, "at p99" the slowest hundredth (at least one).
#include "shares.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "values.h"

enum {
    SOURCES_MAX = 256, // of which the largest part is looked for
};

typedef struct gather {
    values_t own[SHARES_MAX];
    struct {
        uint32_t source;
        double ms;
    } sources[SHARES_MAX][SOURCES_MAX];
} gather_t;

static size_t row_of(shares_t *self, uint32_t stage)
{
    size_t at = 0;
    while (at < self->size && self->rows[at].stage != stage)
        at++;
    if (at == self->size) {
        if (self->size == SHARES_MAX)
            return SHARES_MAX - 1;
        self->rows[self->size++] = (share_t){.stage = stage, .source = (uint32_t)RECORDING_NONE};
    }
    return at;
}

static void add_source(gather_t *gather, size_t row, uint32_t source, double ms)
{
    for (size_t at = 0; at < SOURCES_MAX; at++) {
        if (gather->sources[row][at].ms > 0 && gather->sources[row][at].source != source)
            continue;
        gather->sources[row][at].source = source;
        gather->sources[row][at].ms += ms;
        return;
    }
}

// Adds an answer to those about the median or to the slowest (or only to the stages' own times).
static void add_answer(shares_t *self, gather_t *gather, const answer_record_t *answer, bool middle,
                       bool slow)
{
    double own[SHARES_MAX] = {0}, without[SHARES_MAX];
    bool there[SHARES_MAX] = {false};
    for (size_t at = 0; at < SHARES_MAX; at++)
        without[at] = answer->first_ms;
    for (size_t at = 0; at < answer->charges_size; at++) {
        const charge_t *charge = &answer->charges[at];
        size_t row = row_of(self, charge->stage);
        own[row] += charge->ms;
        there[row] = true;
        without[row] = charge->without_ms < without[row] ? charge->without_ms : without[row];
        if (slow && charge->source != (uint32_t)RECORDING_NONE)
            add_source(gather, row, charge->source, charge->ms);
    }
    for (size_t row = 0; row < SHARES_MAX; row++) {
        share_t *share = &self->rows[row];
        if (there[row]) {
            values_add(&gather->own[row], own[row]);
            share->on_path++;
        }
        share->p50_ms += middle ? own[row] : 0;
        share->p99_ms += slow ? own[row] : 0;
        // a stage that is not known yet takes nothing away from the answers before
        share->without_50_ms += middle ? answer->first_ms - without[row] : 0;
        share->without_99_ms += slow ? answer->first_ms - without[row] : 0;
    }
}

static int slowest_first(const void *one, const void *other)
{
    const share_t *a = one, *b = other;
    return a->p99_ms < b->p99_ms ? 1 : a->p99_ms > b->p99_ms ? -1 : 0;
}

static void name_source(share_t *share, const gather_t *gather, size_t row)
{
    double most = 0, all = 0;
    for (size_t at = 0; at < SOURCES_MAX && gather->sources[row][at].ms > 0; at++) {
        all += gather->sources[row][at].ms;
        if (gather->sources[row][at].ms > most) {
            most = gather->sources[row][at].ms;
            share->source = gather->sources[row][at].source;
        }
    }
    share->source_part = all > 0 ? most / all : 0;
}

void shares_of(const recording_t *recording, shares_t *out)
{
    gather_t *gather = rl_new(*gather);
    values_t firsts = {0};
    double middle_sum = 0, slow_sum = 0;
    size_t middles = 0;
    memset(out, 0, sizeof *out);
    for (size_t at = 0; at < recording_size(recording); at++)
        if (recording_at(recording, at)->first_ms >= 0)
            values_add(&firsts, recording_at(recording, at)->first_ms);
    double from = values_share(&firsts, 0.4), to = values_share(&firsts, 0.6);
    out->answers = firsts.size;
    out->p50_ms = values_share(&firsts, 0.5);
    out->p99_ms = values_share(&firsts, 0.99);
    out->mean_ms = values_mean(&firsts);
    for (size_t at = 0; at < recording_size(recording); at++) {
        const answer_record_t *answer = recording_at(recording, at);
        bool middle = answer->first_ms >= from && answer->first_ms <= to;
        bool slow = answer->first_ms >= out->p99_ms;
        if (answer->first_ms < 0)
            continue;
        if (answer->charges_size == 0) {
            out->without_path++;
            continue;
        }
        add_answer(out, gather, answer, middle, slow);
        middle_sum += middle ? answer->first_ms : 0;
        slow_sum += slow ? answer->first_ms : 0;
        middles += middle;
        out->slow += slow;
    }
    double n = middles ? (double)middles : 1, m = out->slow ? (double)out->slow : 1;
    for (size_t row = 0; row < out->size; row++) {
        share_t *share = &out->rows[row];
        share->p50_ms /= n;
        share->p99_ms /= m;
        share->without_50_ms = (middle_sum - share->without_50_ms) / n;
        share->without_99_ms = (slow_sum - share->without_99_ms) / m;
        share->own_p50_ms = values_share(&gather->own[row], 0.5);
        share->own_p99_ms = values_share(&gather->own[row], 0.99);
        name_source(share, gather, row);
    }
    for (size_t row = 0; row < SHARES_MAX; row++)
        values_free(&gather->own[row]);
    qsort(out->rows, out->size, sizeof *out->rows, slowest_first);
    values_free(&firsts);
    free(gather);
}
