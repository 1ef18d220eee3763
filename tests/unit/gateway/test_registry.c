// The registry: who is there, who is gone, who is chosen.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "registry.h"

typedef struct fixture {
    rl_proc_t *proc;
    registry_t *registry;
    tasks_t *tasks;
    size_t lost;
    struct event *guard;
} fixture_t;

static void on_guard(evutil_socket_t fd, short what, void *arg)
{
    fixture_t *self = arg;
    (void)fd;
    (void)what;
    rl_proc_end(self->proc, 99); // what the test waits for never came
}

static void on_lost(void *arg, worker_t *worker)
{
    fixture_t *self = arg;
    while (!LIST_EMPTY(&worker->tasks)) {
        task_t *task = LIST_FIRST(&worker->tasks);
        tasks_end(self->tasks, &task);
    }
    self->lost++;
    rl_proc_end(self->proc, 0);
}

static void on_ready(void *arg)
{
    (void)arg;
}

static int setup(void **state)
{
    static char *argv[] = {(char *)"test", (char *)"--log-level", (char *)"error", NULL};
    fixture_t *self = calloc(1, sizeof *self);
    int status;
    self->proc = rl_proc_new(RL_GATEWAY, "test", "", 3, argv, &status);
    self->tasks = tasks_new();
    registry_events_t events = {on_lost, on_ready, self};
    self->registry = registry_new(self->proc, "gw", "tcp://127.0.0.1:1", &events);
    self->guard = event_new(rl_proc_base(self->proc), -1, 0, on_guard, self);
    struct timeval wait = {60, 0};
    event_add(self->guard, &wait);
    *state = self;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *self = *state;
    registry_destroy(&self->registry);
    tasks_destroy(&self->tasks);
    event_free(self->guard);
    rl_proc_destroy(&self->proc);
    free(self);
    return 0;
}

static rl_announce_t retriever(const char *id, const char *kind, uint64_t shard)
{
    return (rl_announce_t){.worker = id,
                           .kind = kind,
                           .tasks = "tcp://127.0.0.1:1",
                           .period_ms = 60000,
                           .ready = true,
                           .slots = 1,
                           .collection = "docs",
                           .shard = shard,
                           .shards = 2,
                           .generation = "g-1",
                           .embedding_model = "m",
                           .model = "",
                           .fingerprint = "",
                           .language = "english",
                           .passages = 10};
}

static void the_least_busy_replica_is_chosen(void **state)
{
    fixture_t *self = *state;
    rl_announce_t a = retriever("a", "dense", 0), b = retriever("b", "dense", 0);
    registry_announced(self->registry, &a);
    registry_announced(self->registry, &b);
    source_t source = {"docs", 0, KIND_DENSE, NULL};
    worker_t *first = registry_pick(self->registry, &source, NULL, 10);
    tasks_begin(self->tasks, TASK_SEARCH, first, NULL, 0);
    worker_t *second = registry_pick(self->registry, &source, NULL, 10);
    assert_ptr_not_equal(first, second);
    tasks_begin(self->tasks, TASK_SEARCH, second, NULL, 0);
    tasks_begin(self->tasks, TASK_SEARCH, second, NULL, 0);
    assert_ptr_equal(registry_pick(self->registry, &source, NULL, 10), first);
    assert_ptr_equal(registry_pick(self->registry, &source, first, 10), second);
    assert_null(registry_pick(self->registry, &source, NULL, 1)); // both full
    source.shard = 1;
    assert_null(registry_pick(self->registry, &source, NULL, 10));
    source = (source_t){"docs", 0, KIND_LEXICAL, NULL};
    assert_null(registry_pick(self->registry, &source, NULL, 10));
}

static void the_fields_of_a_collection_are_those_announced(void **state)
{
    fixture_t *self = *state;
    bool more = false;
    assert_null(registry_fields(self->registry, "docs", &more));
    assert_true(more); // nobody is there to say
    rl_announce_t a = retriever("a", "dense", 0), b = retriever("b", "lexical", 0);
    registry_announced(self->registry, &a); // of an earlier version
    assert_null(registry_fields(self->registry, "docs", &more));
    assert_false(more);
    b.fields = "{\"year\":\"number\"}";
    registry_announced(self->registry, &b);
    const json_t *fields = registry_fields(self->registry, "docs", &more);
    assert_string_equal(json_string_value(json_object_get(fields, "year")), "number");
    assert_false(more);
    b.fields = "[]"; // no object: as if it were not said
    registry_announced(self->registry, &b);
    assert_null(registry_fields(self->registry, "docs", &more));
    b.fields = "{}";
    b.fields_more = true;
    registry_announced(self->registry, &b);
    fields = registry_fields(self->registry, "docs", &more);
    assert_int_equal(json_object_size(fields), 0);
    assert_true(more);
    assert_null(registry_fields(self->registry, "other", &more));
}

static void ties_are_broken_at_random(void **state)
{
    fixture_t *self = *state;
    rl_announce_t a = retriever("a", "dense", 0), b = retriever("b", "dense", 0);
    registry_announced(self->registry, &a);
    registry_announced(self->registry, &b);
    source_t source = {"docs", 0, KIND_DENSE, NULL};
    size_t chosen = 0;
    for (int at = 0; at < 1000; at++)
        chosen += strcmp(registry_pick(self->registry, &source, NULL, 10)->id, "a") == 0;
    assert_in_range(chosen, 300, 700);
}

static size_t times_chosen(fixture_t *self, const char *id)
{
    source_t source = {"docs", 0, KIND_DENSE, NULL};
    size_t chosen = 0;
    for (int at = 0; at < 1000; at++)
        chosen += strcmp(registry_pick(self->registry, &source, NULL, 1000)->id, id) == 0;
    return chosen;
}

static void a_slow_replica_gets_less_but_is_tried_again(void **state)
{
    fixture_t *self = *state;
    rl_announce_t a = retriever("a", "dense", 0), b = retriever("b", "dense", 0);
    registry_announced(self->registry, &a);
    worker_t *slow = registry_first(self->registry);
    registry_announced(self->registry, &b);
    worker_t *fast = registry_next(slow);
    for (int at = 0; at < RL_RECENT; at++) {
        latency_add(&slow->latency, at % 20 == 0 ? 300000 : 1500); // now and then is not slow
        latency_add(&fast->latency, 1000);
    }
    assert_in_range(times_chosen(self, "a"), 300, 700);
    for (int at = 0; at < RL_RECENT; at++)
        latency_add(&slow->latency, 20000);
    assert_in_range(times_chosen(self, "a"), 1, 60);
    for (int at = 0; at < 30; at++) // 30 at one are as long as 1 or 2 at the other
        tasks_begin(self->tasks, TASK_SEARCH, fast, NULL, 0);
    assert_in_range(times_chosen(self, "a"), 940, 1000);
}

static void tasks_given_up_count_only_where_they_took_long(void **state)
{
    latency_t latency = {0};
    (void)state;
    for (int at = 0; at < RL_RECENT; at++)
        latency_add(&latency, 1000 + at);
    for (int at = 0; at < RL_RECENT; at++)
        latency_at_least(&latency, 10);
    assert_in_range(latency.last.median_us, 1000, 1000 + RL_RECENT);
    for (int at = 0; at < RL_RECENT; at++)
        latency_at_least(&latency, 9000);
    assert_int_equal(latency.last.median_us, 9000);
}

static void a_worker_whose_announcement_is_overdue_is_the_last_choice(void **state)
{
    fixture_t *self = *state;
    rl_announce_t a = retriever("a", "dense", 0), b = retriever("b", "dense", 0);
    registry_announced(self->registry, &a);
    registry_announced(self->registry, &b);
    source_t source = {"docs", 0, KIND_DENSE, NULL};
    worker_t *late = registry_first(self->registry);
    worker_t *other = registry_next(late);
    late->period_ms = 0;
    late->seen_us--;
    tasks_begin(self->tasks, TASK_SEARCH, other, NULL, 0); // busier, and chosen all the same
    assert_ptr_equal(registry_pick(self->registry, &source, NULL, 10), other);
    assert_ptr_equal(registry_pick(self->registry, &source, other, 10), late);
}

static void a_shard_without_a_worker_is_still_a_source(void **state)
{
    fixture_t *self = *state;
    rl_announce_t a = retriever("a", "dense", 0);
    registry_announced(self->registry, &a);
    source_t sources[8];
    bool kinds[KINDS] = {true, true};
    assert_int_equal(registry_sources(self->registry, "docs", kinds, sources, 8), 2);
    assert_int_equal(sources[1].shard, 1);
    assert_false(registry_has_replica(self->registry, &sources[1]));
    assert_int_equal(registry_sources(self->registry, "none", kinds, sources, 8), 0);
    kinds[KIND_DENSE] = false;
    assert_int_equal(registry_sources(self->registry, "docs", kinds, sources, 8), 0);
}

static void a_worker_that_is_not_heard_of_is_lost_with_its_tasks(void **state)
{
    fixture_t *self = *state;
    rl_announce_t a = retriever("a", "dense", 0);
    a.period_ms = 20;
    registry_announced(self->registry, &a);
    source_t source = {"docs", 0, KIND_DENSE, NULL};
    tasks_begin(self->tasks, TASK_SEARCH, registry_pick(self->registry, &source, NULL, 10), NULL,
                0);
    assert_int_equal(rl_proc_run(self->proc), 0);
    assert_int_equal(self->lost, 1);
    assert_int_equal(tasks_size(self->tasks), 0);
    assert_false(registry_has_replica(self->registry, &source));
}

static void one_that_leaves_gets_nothing_more_and_goes_when_done(void **state)
{
    fixture_t *self = *state;
    rl_announce_t a = retriever("a", "dense", 0);
    registry_announced(self->registry, &a);
    source_t source = {"docs", 0, KIND_DENSE, NULL};
    task_t *task = tasks_begin(self->tasks, TASK_SEARCH,
                               registry_pick(self->registry, &source, NULL, 10), NULL, 0);
    rl_leave_t leave = {.worker = "a"};
    registry_left(self->registry, &leave);
    assert_null(registry_pick(self->registry, &source, NULL, 10));
    assert_non_null(tasks_find(self->tasks, task->id));
    tasks_end(self->tasks, &task);
    assert_int_equal(rl_proc_run(self->proc), 0);
    assert_int_equal(self->lost, 1);
}

static void a_generator_that_dies_while_it_leaves_is_lost_with_its_tasks(void **state)
{
    fixture_t *self = *state;
    rl_announce_t a = retriever("a", "generator", 0);
    a.slots = 1;
    a.period_ms = 20;
    registry_announced(self->registry, &a);
    tasks_begin(self->tasks, TASK_SEARCH, registry_pick_generator(self->registry, NULL), NULL, 0);
    rl_leave_t leave = {.worker = "a"};
    registry_left(self->registry, &leave);
    assert_int_equal(rl_proc_run(self->proc), 0);
    assert_int_equal(self->lost, 1);
    assert_int_equal(tasks_size(self->tasks), 0);
}

static void generators_are_chosen_by_work_per_slot(void **state)
{
    fixture_t *self = *state;
    rl_announce_t small = {.worker = "small",
                           .kind = "generator",
                           .tasks = "tcp://127.0.0.1:1",
                           .period_ms = 60000,
                           .ready = true,
                           .slots = 2,
                           .collection = "",
                           .generation = "",
                           .embedding_model = "",
                           .model = "m",
                           .fingerprint = "",
                           .language = ""};
    rl_announce_t big = small;
    big.worker = "big";
    big.slots = 6;
    registry_announced(self->registry, &small);
    registry_announced(self->registry, &big);
    size_t to_big = 0;
    for (int at = 0; at < 8; at++) {
        worker_t *worker = registry_pick_generator(self->registry, NULL);
        assert_non_null(worker);
        to_big += strcmp(worker->id, "big") == 0;
        tasks_begin(self->tasks, TASK_SEARCH, worker, NULL, 0);
    }
    assert_int_equal(to_big, 6);
    assert_null(registry_pick_generator(self->registry, NULL));
}

static void a_prefiller_is_free_keeps_prompts_and_is_not_late(void **state)
{
    fixture_t *self = *state;
    static const char *const ids[] = {"plain", "late", "busy", "free"};
    for (size_t at = 0; at < 4; at++) {
        rl_announce_t announce = retriever(ids[at], "generator", 0);
        announce.slots = 2;
        announce.prefill = at > 0;
        registry_announced(self->registry, &announce);
    }
    assert_null(registry_find_generator(self->registry, "none"));
    worker_t *late = registry_find_generator(self->registry, "late");
    worker_t *busy = registry_find_generator(self->registry, "busy");
    worker_t *free_one = registry_find_generator(self->registry, "free");
    late->period_ms = 0;
    late->seen_us--;
    tasks_begin(self->tasks, TASK_GENERATION, busy, NULL, 0);
    assert_ptr_equal(registry_pick_prefiller(self->registry), free_one);
    tasks_begin(self->tasks, TASK_GENERATION, free_one, NULL, 0);
    tasks_begin(self->tasks, TASK_GENERATION, free_one, NULL, 0);
    assert_ptr_equal(registry_pick_prefiller(self->registry), busy);
    tasks_begin(self->tasks, TASK_GENERATION, busy, NULL, 0);
    assert_ptr_equal(registry_pick_prefiller(self->registry), late);
    assert_null(registry_find_generator(self->registry, "busy"));
}

static void each_model_fingerprint_is_named_once(void **state)
{
    fixture_t *self = *state;
    static const struct {
        const char *id, *fingerprint;
        bool ready;
    } generators[] = {{"a", "large", true},
                      {"b", "large", true},
                      {"c", "", true},
                      {"d", "late", false},
                      {"e", "small", true}};
    const char *out[4];
    for (size_t at = 0; at < sizeof generators / sizeof *generators; at++) {
        rl_announce_t announce = retriever(generators[at].id, "generator", 0);
        announce.fingerprint = generators[at].fingerprint;
        announce.ready = generators[at].ready;
        registry_announced(self->registry, &announce);
    }
    rl_announce_t other = retriever("f", "dense", 0);
    other.fingerprint = "none of its business";
    registry_announced(self->registry, &other);
    assert_int_equal(registry_fingerprints(self->registry, out, 4), 2);
    assert_string_equal(out[0], "large");
    assert_string_equal(out[1], "small");
    assert_int_equal(registry_fingerprints(self->registry, out, 1), 1);
}

static void wrong_announcements_are_refused(void **state)
{
    fixture_t *self = *state;
    rl_announce_t wrong = retriever("w", "psychic", 0);
    registry_announced(self->registry, &wrong);
    wrong = retriever("w", "dense", 2); // of 2: 0 and 1
    registry_announced(self->registry, &wrong);
    wrong = retriever("", "dense", 0);
    registry_announced(self->registry, &wrong);
    wrong = retriever("w", "dense", 0);
    wrong.tasks = "nonsense";
    registry_announced(self->registry, &wrong);
    wrong.tasks = "tcp://127.0.0.1:1";
    wrong.period_ms = 0;
    registry_announced(self->registry, &wrong);
    assert_null(registry_first(self->registry));
    assert_int_equal(registry_counts(self->registry).refused, 5);
}

static void old_task_ids_are_not_found_again(void **state)
{
    fixture_t *self = *state;
    rl_announce_t a = retriever("a", "dense", 0);
    registry_announced(self->registry, &a);
    worker_t *worker = registry_first(self->registry);
    task_t *task = tasks_begin(self->tasks, TASK_SEARCH, worker, NULL, 0);
    uint64_t old = task->id;
    tasks_end(self->tasks, &task);
    task = tasks_begin(self->tasks, TASK_SEARCH, worker, NULL, 0); // the same slot
    assert_null(tasks_find(self->tasks, old));
    assert_ptr_equal(tasks_find(self->tasks, task->id), task);
    assert_null(tasks_find(self->tasks, UINT64_MAX));
    assert_null(tasks_find(self->tasks, 0));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_least_busy_replica_is_chosen),
        TEST(the_fields_of_a_collection_are_those_announced),
        TEST(ties_are_broken_at_random),
        TEST(a_slow_replica_gets_less_but_is_tried_again),
        TEST(tasks_given_up_count_only_where_they_took_long),
        TEST(a_worker_whose_announcement_is_overdue_is_the_last_choice),
        TEST(a_shard_without_a_worker_is_still_a_source),
        TEST(a_worker_that_is_not_heard_of_is_lost_with_its_tasks),
        TEST(one_that_leaves_gets_nothing_more_and_goes_when_done),
        TEST(a_generator_that_dies_while_it_leaves_is_lost_with_its_tasks),
        TEST(generators_are_chosen_by_work_per_slot),
        TEST(a_prefiller_is_free_keeps_prompts_and_is_not_late),
        TEST(each_model_fingerprint_is_named_once),
        TEST(wrong_announcements_are_refused),
        TEST(old_task_ids_are_not_found_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
