// Sizing: the laws by which measured figures grow, what a workload makes of them, the file they are
// kept in, and a measuring run.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "files.h"
#include "capacity.h"

static const capacity_figures_t figures = {
    .passages = 25000,
    .dimension = 384,
    .kinds = {{.p50_ms = 0.5, .p99_ms = 1, .recall = 1, .bytes = 1536, .per_s = 20000},
              {.p50_ms = 0.4, .p99_ms = 0.6, .recall = 0.99, .bytes = 1808, .per_s = 2000},
              {.p50_ms = 0.1, .p99_ms = 0.2, .recall = 0.96, .bytes = 430, .per_s = 10000}},
    .words = {.p50_ms = 0.3, .p99_ms = 0.7, .recall = 1, .bytes = 1000, .per_s = 4000},
    .words_power = 0.7,
    .stored = 800,
};

static capacity_workload_t workload(void)
{
    return (capacity_workload_t){
        .passages = 1e6, .rate = 20, .latency_ms = 100, .replicas = 1, .memory = 16e9, .cores = 4};
}

static void each_kind_grows_by_its_law(void **state)
{
    (void)state;
    for (capacity_index_t index = 0; index < CAPACITY_INDEXES; index++)
        for (int share = 50; share < 100; share += 49) {
            double measured =
                share == 50 ? figures.kinds[index].p50_ms : figures.kinds[index].p99_ms;
            assert_float_equal(capacity_dense_ms(&figures, index, 25000, share), measured, 1e-9);
        }
    assert_float_equal(capacity_dense_ms(&figures, CAPACITY_FLAT, 1e6, 50), 20, 1e-6);
    assert_float_equal(capacity_dense_ms(&figures, CAPACITY_LISTS, 1e5, 50), 0.2, 1e-6);
    assert_true(capacity_dense_ms(&figures, CAPACITY_GRAPH, 1e8, 50) < 0.8);
    assert_float_equal(capacity_lexical_ms(&figures, 25000 * 8, 50), 0.3 * 4.287, 0.001); // 8^0.7
}

static capacity_need_t need_of(capacity_workload_t asked, capacity_index_t index)
{
    capacity_need_t need;
    capacity_need(&figures, &asked, index, &need);
    return need;
}

static void more_is_wanted_of_what_is_asked_more(void **state)
{
    (void)state;
    for (capacity_index_t index = 0; index < CAPACITY_INDEXES; index++) {
        capacity_need_t usual = need_of(workload(), index), more;
        assert_true(usual.possible);
        capacity_workload_t asked = workload();
        asked.rate *= 100;
        more = need_of(asked, index);
        assert_true(more.machines > usual.machines && more.shards == usual.shards);
        assert_float_equal(more.cores, 100 * usual.cores, 1e-6);
        assert_true(more.shards * more.replicas >= more.machines);
        asked = workload();
        asked.passages *= 100;
        more = need_of(asked, index);
        assert_true(more.shards > usual.shards && more.build_s > 50 * usual.build_s);
        asked = workload();
        asked.replicas = 3;
        more = need_of(asked, index);
        assert_true(more.replicas >= 3 && more.machines >= 3);
    }
}

static void shards_keep_the_latency_and_fit_into_a_machine(void **state)
{
    (void)state;
    for (double passages = 1000; passages < 1e9; passages *= 7)
        for (double latency = 2; latency < 1000; latency *= 5)
            for (capacity_index_t index = 0; index < CAPACITY_INDEXES; index++) {
                capacity_workload_t asked = workload();
                asked.passages = passages;
                asked.latency_ms = latency;
                capacity_need_t need = need_of(asked, index);
                if (!need.possible) {
                    assert_int_equal(need.shards, CAPACITY_MAX_SHARDS);
                    continue;
                }
                assert_true(need.dense_p99_ms <= latency / 2 && need.lexical_p99_ms <= latency / 2);
                assert_true(need.shard_memory <= 0.8 * asked.memory);
                assert_true(need.cores <= 0.6 * asked.cores * need.machines);
                if (need.shards == 1)
                    continue;
                double fewer = passages / (need.shards - 1); // would not do
                assert_true(capacity_dense_ms(&figures, index, fewer, 99) > latency / 2 ||
                            capacity_lexical_ms(&figures, fewer, 99) > latency / 2 ||
                            fewer * (figures.kinds[index].bytes + 1000) > 0.8 * asked.memory);
            }
}

static void one_machine_may_be_gone(void **state)
{
    (void)state;
    capacity_workload_t asked = workload();
    asked.rate = 2000;
    asked.replicas = 2;
    capacity_need_t need = need_of(asked, CAPACITY_LISTS);
    assert_true(need.cores <= 0.6 * asked.cores * (need.machines - 1));
}

static void the_fewest_machines_are_chosen(void **state)
{
    (void)state;
    capacity_need_t needs[CAPACITY_INDEXES];
    capacity_workload_t asked = workload();
    asked.passages = 5000;
    assert_int_equal(capacity_choose(&figures, &asked, needs), CAPACITY_FLAT);
    asked.passages = 2e7;
    capacity_index_t best = capacity_choose(&figures, &asked, needs);
    assert_int_not_equal(best, CAPACITY_FLAT);
    for (capacity_index_t index = 0; index < CAPACITY_INDEXES; index++)
        assert_true(!needs[index].possible || needs[index].machines >= needs[best].machines);
    asked.latency_ms = 0.001;
    assert_int_equal(capacity_choose(&figures, &asked, needs), CAPACITY_INDEXES);
}

static char *report_of(const capacity_workload_t *asked)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    capacity_report(&figures, asked, out);
    fclose(out);
    return text;
}

static void the_report_says_what_to_do(void **state)
{
    (void)state;
    capacity_workload_t asked = workload();
    char *text = report_of(&asked);
    assert_non_null(strstr(text, "1,000,000 passages"));
    assert_non_null(strstr(text, "ragline-index --index-shards"));
    assert_non_null(strstr(text, "not yet"));
    free(text);
    asked.passages = 1e9;
    asked.rate = 1000;
    text = report_of(&asked);
    assert_non_null(strstr(text, "The engine: here"));
    free(text);
    asked.latency_ms = 0.001;
    text = report_of(&asked);
    assert_non_null(strstr(text, "None of them is possible"));
    free(text);
}

static void figures_are_kept(void **state)
{
    (void)state;
    char folder[] = "/tmp/ragline-size-test-XXXXXX", path[FILE_PATH_MAX], why[512] = "";
    capacity_figures_t back;
    assert_non_null(mkdtemp(folder));
    path_format(path, "%s/figures.json", folder);
    assert_int_equal(capacity_save(&figures, path, why, sizeof why), 0);
    assert_int_equal(capacity_load(&back, path, why, sizeof why), 0);
    assert_memory_equal(&back, &figures, sizeof back);
    static const char *const wrong[][2] = {
        {"", "figures.json"},
        {"[]", "measured.passages"},
        {"{\"measured\":{\"passages\":-1}}", "measured.passages"},
        {"{\"measured\":7}", "measured.passages"},
        {"{", "line 1"}};
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
        assert_int_equal(file_write(path, wrong[at][0], strlen(wrong[at][0])), 0);
        assert_int_equal(capacity_load(&back, path, why, sizeof why), -1);
        if (!strstr(why, wrong[at][1]))
            fail_msg("\"%s\" does not speak of %s", why, wrong[at][1]);
    }
    unlink(path);
    assert_int_equal(capacity_load(&back, path, why, sizeof why), -1);
    assert_int_equal(capacity_save(&figures, "/nowhere/at/all", why, sizeof why), -1);
    folder_remove(folder);
}

static unsigned manifest;

static void say(const char *what)
{
    manifest += *what != '\0';
}

static void a_measuring_run(void **state)
{
    (void)state;
    char why[512] = "";
    capacity_figures_t measured;
    assert_int_equal(capacity_measure(2000, 32, say, &measured, why, sizeof why), 0);
    assert_int_equal(manifest, CAPACITY_INDEXES + 1);
    assert_float_equal(measured.kinds[CAPACITY_FLAT].recall, 1, 1e-9);
    for (capacity_index_t index = 0; index < CAPACITY_INDEXES; index++) {
        const capacity_kind_t *kind = &measured.kinds[index];
        assert_true(kind->p50_ms > 0 && kind->p99_ms >= kind->p50_ms && kind->per_s > 0);
        assert_true(kind->recall > 0.7);
    }
    // four bytes a component, and what a file has at its head
    assert_in_range((uintmax_t)measured.kinds[CAPACITY_FLAT].bytes, 4 * 32, 4 * 32 + 8);
    assert_true(measured.kinds[CAPACITY_GRAPH].bytes > measured.kinds[CAPACITY_FLAT].bytes);
    assert_true(measured.words.bytes > 100 && measured.stored > 100);
    assert_true(measured.words_power >= 0.5 && measured.words_power <= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_grows_by_its_law),
        cmocka_unit_test(more_is_wanted_of_what_is_asked_more),
        cmocka_unit_test(shards_keep_the_latency_and_fit_into_a_machine),
        cmocka_unit_test(one_machine_may_be_gone),
        cmocka_unit_test(the_fewest_machines_are_chosen),
        cmocka_unit_test(the_report_says_what_to_do),
        cmocka_unit_test(figures_are_kept),
        cmocka_unit_test(a_measuring_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
