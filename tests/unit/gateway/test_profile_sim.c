// The simulation against queues whose waiting times are known exactly.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model.h"
#include "sim.h"
#include "whatif.h"

enum {
    QUESTIONS = 2000, // recorded
    LEAST = 400000,   // simulated
};

typedef enum served {
    RETRIEVER,
    GENERATOR,
    EMBEDDER,
    LLM,
} served_t;

// A recording in which only one station does anything: `mean_ms` each, exponential (its quantiles,
// shuffled by the simulation) or always the same. `replicas` retrievers have answered in turn.
static recording_t *record(served_t by, double mean_ms, bool exponential, unsigned replicas)
{
    recording_t *recording = recording_new();
    double sum = 0;
    for (int at = 0; at < QUESTIONS; at++)
        sum -= log((at + 0.5) / QUESTIONS);
    for (int at = 0; at < QUESTIONS; at++) {
        double x = exponential ? -log((at + 0.5) / QUESTIONS) * QUESTIONS / sum : 1;
        double ms = mean_ms * x;
        bool generated = by == GENERATOR || by == LLM;
        double search = by == RETRIEVER ? ms : 0, embed = by == EMBEDDER ? ms : 0;
        double work = generated ? ms : 0, until = search + embed;
        char worker[32];
        snprintf(worker, sizeof worker, "r%d", at % (int)replicas);
        json_t *one = json_pack(
            "{s:f, s:f, s:[{s:s, s:f, s:f}, {s:s, s:f, s:f}, {s:s, s:f, s:f}], s:[]}", "total_ms",
            until + work + 1, "first_token_ms", until + work, "states", "state", "searching",
            "start_ms", 0.0, "ms", until, "state", "waiting", "start_ms", until, "ms", 0.0, "state",
            "generating", "start_ms", until, "ms", work, "spans");
        json_t *spans = json_object_get(one, "spans");
        if (by == RETRIEVER)
            json_array_append_new(spans, json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:f}", "stage",
                                                   "search", "source", "d/0/lexical", "worker",
                                                   worker, "start_ms", 0.0, "ms", ms, "queue_ms",
                                                   0.0, "work_ms", ms));
        if (by == EMBEDDER)
            json_array_append_new(
                spans, json_pack("{s:s, s:f, s:f}", "stage", "embed", "start_ms", 0.0, "ms", ms));
        json_array_append_new(spans, json_pack("{s:s, s:s, s:f, s:f}", "stage", "prefill", "worker",
                                               "g", "start_ms", until, "ms", work));
        recording_take(recording, one);
        json_decref(one);
    }
    assert_int_equal(recording_size(recording), QUESTIONS);
    return recording;
}

// Erlang's C formula: the share of those that wait, M/M/c with an offered load of a = λ/µ < c.
// Kleinrock 1975, "Queueing Systems", volume 1, (3.40); the mean wait is C/(cµ − λ).
static double erlang_c(unsigned servers, double load)
{
    double term = 1, sum = 0;
    for (unsigned k = 0; k < servers; k++) {
        sum += term;
        term *= load / (k + 1);
    }
    double full = term * servers / (servers - load);
    return full / (sum + full);
}

static sim_result_t simulate(const recording_t *recording, const model_settings_t *settings,
                             double rate, uint64_t seed)
{
    sim_result_t result;
    sim_load_t load = {.rate = rate, .poisson = true, .least = LEAST, .seed = seed};
    model_t *model = model_new(recording, settings);
    model->gateway_ms = 0; // the gateways are not what is looked at
    assert_true(sim_run(model, &load, &result));
    model_destroy(&model);
    assert_null(model);
    assert_int_equal(result.questions, LEAST);
    return result;
}

static void check_near(double value, double expected, double share)
{
    if (fabs(value - expected) > share * expected)
        fail_msg("%g instead of %g", value, expected);
}

static void one_server_waits_as_erlang_says(void **state)
{
    (void)state;
    recording_t *recording = record(RETRIEVER, 10, true, 1);
    for (int percent = 30; percent <= 90; percent += 30) {
        double load = percent / 100.0;
        sim_result_t result = simulate(recording, &(model_settings_t){.threads = 1}, 100 * load, 1);
        check_near(result.search_wait_ms, erlang_c(1, load) / (0.1 - 0.1 * load), 0.06);
        // the time in an M/M/1 queue is exponential with mean 1/(µ − λ)
        double mean = 10 / (1 - load);
        check_near(result.mean_ms, mean, 0.06);
        check_near(result.p50_ms, mean * log(2), 0.06);
        check_near(result.p99_ms, mean * log(100), 0.08);
    }
    recording_destroy(&recording);
}

static void many_servers_wait_as_erlang_says(void **state)
{
    static const unsigned counts[] = {2, 5, 20};
    (void)state;
    recording_t *searched = record(RETRIEVER, 10, true, 1);
    recording_t *written = record(GENERATOR, 10, true, 1);
    recording_t *embedded = record(EMBEDDER, 10, true, 1);
    for (size_t at = 0; at < sizeof counts / sizeof *counts; at++) {
        unsigned c = counts[at];
        double load = 0.85 * c, rate = 100 * load;
        double wait = erlang_c(c, load) / (0.1 * c - 0.1 * load);
        sim_result_t result = simulate(searched, &(model_settings_t){.threads = c}, rate, 2);
        check_near(result.search_wait_ms, wait, 0.08);
        result = simulate(written, &(model_settings_t){.slots = c}, rate, 3);
        check_near(result.slot_wait_ms, wait, 0.08);
        result = simulate(embedded, &(model_settings_t){.embed_slots = c}, rate, 4);
        check_near(result.embed_wait_ms, wait, 0.08);
        result = simulate(written, &(model_settings_t){.llm_slots = c}, rate, 5);
        check_near(result.llm_wait_ms, wait, 0.08);
    }
    recording_destroy(&searched);
    recording_destroy(&written);
    recording_destroy(&embedded);
}

// Pollaczek, Khinchine: half of the exponential's wait where all take equally long. Kleinrock 1975,
// (5.63).
static void equal_service_waits_half_as_long(void **state)
{
    (void)state;
    recording_t *recording = record(RETRIEVER, 10, false, 1);
    sim_result_t result = simulate(recording, &(model_settings_t){.threads = 1}, 80, 1);
    check_near(result.search_wait_ms, 0.8 * 10 / (2 * (1 - 0.8)), 0.06);
    recording_destroy(&recording);
}

static void without_a_bound_nobody_waits(void **state)
{
    (void)state;
    recording_t *recording = record(GENERATOR, 10, true, 1);
    sim_result_t result = simulate(recording, &(model_settings_t){.threads = 1}, 5000, 1);
    assert_float_equal(result.slot_wait_ms, 0, 0);
    assert_float_equal(result.llm_wait_ms, 0, 0);
    check_near(result.p50_ms, 10 * log(2), 0.02);
    recording_destroy(&recording);
}

// Two replicas with the shortest queue first wait longer than one queue for both, and much less
// than if each had half of the questions by lot.
static void replicas_share_the_work(void **state)
{
    (void)state;
    recording_t *recording = record(RETRIEVER, 10, true, 2);
    sim_result_t result = simulate(recording, &(model_settings_t){.threads = 1}, 160, 1);
    double together = erlang_c(2, 1.6) / (0.2 - 0.16), apart = erlang_c(1, 0.8) / (0.1 - 0.08);
    assert_true(result.search_wait_ms > together && result.search_wait_ms < 0.8 * apart);
    recording_destroy(&recording);
}

static void the_same_seed_gives_the_same(void **state)
{
    (void)state;
    recording_t *recording = record(RETRIEVER, 10, true, 3);
    const model_settings_t settings = {.threads = 1};
    sim_result_t one = simulate(recording, &settings, 200, 7);
    sim_result_t same = simulate(recording, &settings, 200, 7);
    sim_result_t other = simulate(recording, &settings, 200, 8);
    assert_memory_equal(&one, &same, sizeof one);
    assert_true(fabs(one.mean_ms - other.mean_ms) > 1e-9);
    recording_destroy(&recording);
}

static void the_first_to_saturate_is_named(void **state)
{
    station_t first;
    char name[80];
    (void)state;
    recording_t *recording = record(RETRIEVER, 10, true, 2);
    model_t *model = model_new(recording, &(model_settings_t){.threads = 1, .slots = 4});
    assert_true(whatif_first(model, &first));
    assert_int_equal(first.kind, STATION_RETRIEVERS);
    check_near(first.saturates, 200, 1e-3);
    model_station_name(model, &first, name, sizeof name);
    assert_string_equal(name, "retrievers of d/0/lexical");
    model_t *more = model_copy(model);
    model_add_retrievers(more, 1);
    assert_true(whatif_first(more, &first));
    check_near(first.saturates, 300, 1e-3);
    model_multiply_retrievers(more, 2);
    assert_true(whatif_first(more, &first));
    check_near(first.saturates, 600, 1e-3);
    assert_true(whatif_first(model, &first));
    check_near(first.saturates, 200, 1e-3); // the copy is one
    model_destroy(&more);
    model_destroy(&model);
    recording_destroy(&recording);
}

static void without_a_rate_there_is_nothing_to_simulate(void **state)
{
    sim_result_t result;
    (void)state;
    recording_t *recording = record(RETRIEVER, 10, true, 1);
    model_t *model = model_new(recording, &(model_settings_t){.threads = 1});
    assert_false(sim_run(model, &(sim_load_t){.least = 10, .seed = 1}, &result));
    model_destroy(&model);
    recording_destroy(&recording);
    recording = recording_new();
    model = model_new(recording, &(model_settings_t){.threads = 1});
    assert_false(sim_run(model, &(sim_load_t){.rate = 5, .least = 10, .seed = 1}, &result));
    model_destroy(&model);
    recording_destroy(&recording);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_server_waits_as_erlang_says),
        cmocka_unit_test(many_servers_wait_as_erlang_says),
        cmocka_unit_test(equal_service_waits_half_as_long),
        cmocka_unit_test(without_a_bound_nobody_waits),
        cmocka_unit_test(replicas_share_the_work),
        cmocka_unit_test(the_same_seed_gives_the_same),
        cmocka_unit_test(the_first_to_saturate_is_named),
        cmocka_unit_test(without_a_rate_there_is_nothing_to_simulate),
    };
    return cmocka_run_group_tests_name("profile_sim", tests, NULL, NULL);
}
