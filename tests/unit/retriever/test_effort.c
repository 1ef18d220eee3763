// effort: what searches cost and how much of it fits; searches with an effort of their own, lowered
// by the time that is left; an effort that the manifest says, also while the index is served; the
// check against exact search that chooses it.
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "check.h"
#include "clock.h"
#include "embedding.h"
#include "flat.h"
#include "retriever_help.h"
#include "snapshot.h"
#include "source.h"
#include "vectors.h"

enum {
    PASSAGES = 4000,
    QUESTIONS = 40,
    K = 10,
};

// ---- costs --------------------------------------------------------------------------------------

static void nothing_is_lowered_before_anything_is_known(void **state)
{
    (void)state;
    effort_cost_t *cost = effort_cost_new();
    assert_int_equal(effort_cost_of(cost, 100), 0);
    assert_int_equal(effort_cost_fit(cost, 100, 1, 10), 100);
    effort_cost_destroy(&cost);
    assert_null(cost);
}

static void what_fits_follows_what_searches_took(void **state)
{
    (void)state;
    effort_cost_t *cost = effort_cost_new();
    effort_cost_note(cost, 1, 90);
    effort_cost_note(cost, 1, 100); // the fastest counts
    for (int each = 0; each < 200; each++)
        effort_cost_note(cost, 101, 90 + 1000); // 10 us for each above the first
    uint64_t whole = effort_cost_of(cost, 101);
    assert_true(whole >= 1090 && whole < 1150);
    assert_int_equal(effort_cost_fit(cost, 101, 1, 1200), 101);
    size_t half = effort_cost_fit(cost, 101, 1, 590);
    assert_true(half > 40 && half <= 51);
    assert_int_equal(effort_cost_fit(cost, 101, 1, 50), 1); // too late in any case
    assert_int_equal(effort_cost_fit(cost, 101, 16, 0), 16);
    assert_int_equal(effort_cost_fit(cost, 8, 16, 0), 8); // never more than wanted
    effort_cost_destroy(&cost);
}

static void unsteady_searches_are_foretold_to_be_long(void **state)
{
    (void)state;
    effort_cost_t *steady = effort_cost_new(), *unsteady = effort_cost_new();
    for (int each = 0; each < 200; each++) {
        effort_cost_note(steady, 65, 640);
        effort_cost_note(unsteady, 65, each % 2 ? 320 : 960);
    }
    assert_true(effort_cost_of(unsteady, 65) > 960);
    assert_true(effort_cost_of(unsteady, 65) > effort_cost_of(steady, 65));
    effort_cost_destroy(&steady);
    effort_cost_destroy(&unsteady);
}

// ---- searches -----------------------------------------------------------------------------------

static const source_options_t options = {.threads = 1, .faiss_threads = 1};

typedef struct opened {
    const char *folder;
    store_t *store;
    void *source;
} opened_t;

static opened_t open_index(const char *factory)
{
    char why[512] = "";
    opened_t it = {.folder = help_folder()};
    help_build(it.folder, PASSAGES, 1, HELP_DIMENSION, factory, NULL, 0);
    it.store = store_open(it.folder, true, why, sizeof why);
    assert_string_equal(why, "");
    it.source = source_faiss.open(it.store, 0, &options, why, sizeof why);
    assert_string_equal(why, "");
    source_faiss.warm(it.source, 0);
    return it;
}

static void close_index(opened_t *it)
{
    source_faiss.close(it->source);
    store_destroy(&it->store);
    help_remove(it->folder);
}

static void unit_vector(uint64_t number, float *out)
{
    help_vector(number, HELP_DIMENSION, out);
    assert_int_equal(rl_embedding_normalise(out, HELP_DIMENSION, out), 0);
}

static double product(const float *one, const float *other)
{
    double sum = 0;
    for (size_t at = 0; at < HELP_DIMENSION; at++)
        sum += (double)one[at] * other[at];
    return sum;
}

// The product of the K-th best with the query.
static double least_by_hand(const float *query)
{
    float scores[K];
    int64_t labels[K];
    top_k_t best = {scores, labels, 0, K};
    for (size_t at = 0; at < PASSAGES; at++) {
        float vector[HELP_DIMENSION];
        unit_vector(at, vector);
        top_k_offer(&best, (float)product(vector, query), at);
    }
    return scores[K - 1];
}

// Asks all questions; their recall. `effort` of the kind, `until_us` as in a query.
static double ask(opened_t *it, effort_kind_t kind, size_t effort, uint64_t until_us,
                  effort_t *told)
{
    double found = 0;
    for (size_t each = 0; each < QUESTIONS; each++) {
        float question[HELP_DIMENSION], vector[HELP_DIMENSION];
        result_t result = {0};
        unit_vector(100000 + each, question);
        query_t query = {
            .vector = question, .dimension = HELP_DIMENSION, .k = K, .until_us = until_us};
        query.efforts[kind] = effort;
        double least = least_by_hand(question);
        source_faiss.search(it->source, 0, &query, 1, &result);
        assert_null(result.code);
        *told = result.effort;
        for (size_t hit = 0; hit < result.size; hit++) {
            unit_vector(result.hits[hit].id - 1, vector);
            // scored by the vectors themselves, whatever the index keeps of them
            assert_true(fabs(result.hits[hit].score - product(vector, question)) < 1e-5);
            found += result.hits[hit].score >= least - 1e-5;
        }
        result_clear(&result);
    }
    return found / (QUESTIONS * K);
}

static void more_effort_finds_more(void **state)
{
    (void)state;
    static const struct {
        const char *factory;
        effort_kind_t kind;
        size_t little, much;
    } kinds[] = {{"IVF64,SQ8", EFFORT_NPROBE, 1, 64},
                 {"IVF64,Flat", EFFORT_NPROBE, 1, 64},
                 {"RR16,IVF64,SQ8", EFFORT_NPROBE, 1, 64},
                 {"HNSW4", EFFORT_EF_SEARCH, 10, 1000}};
    for (size_t each = 0; each < sizeof kinds / sizeof *kinds; each++) {
        opened_t it = open_index(kinds[each].factory);
        effort_t told;
        double little = ask(&it, kinds[each].kind, kinds[each].little, 0, &told);
        assert_int_equal(told.kind, kinds[each].kind);
        assert_int_equal(told.wanted, kinds[each].little);
        assert_int_equal(told.used, kinds[each].little);
        double much = ask(&it, kinds[each].kind, kinds[each].much, 0, &told);
        assert_int_equal(told.used, kinds[each].much);
        if (little > .9 || much < .97)
            fail_msg("%s: recall %g and %g", kinds[each].factory, little, much);
        ask(&it, kinds[each].kind, EFFORT_MOST, 0, &told); // more than there is
        assert_in_range(told.used, 64, PASSAGES);
        close_index(&it);
    }
}

static void effort_of_another_kind_changes_nothing(void **state)
{
    (void)state;
    effort_t told;
    opened_t it = open_index("Flat");
    assert_true(ask(&it, EFFORT_NPROBE, 1, 0, &told) > .999);
    assert_int_equal(told.kind, EFFORT_NONE);
    close_index(&it);
    it = open_index("IVF64,Flat");
    ask(&it, EFFORT_EF_SEARCH, 1, 0, &told);
    assert_int_equal(told.kind, EFFORT_NPROBE);
    assert_int_equal(told.used, 16);
    close_index(&it);
}

static void a_near_deadline_lowers_the_effort(void **state)
{
    (void)state;
    static const char *const factories[] = {"IVF64,SQ8", "HNSW8"};
    static const size_t least[] = {1, K};
    for (size_t each = 0; each < 2; each++) {
        opened_t it = open_index(factories[each]);
        effort_t told;
        effort_kind_t kind = each == 0 ? EFFORT_NPROBE : EFFORT_EF_SEARCH;
        ask(&it, kind, 64, rl_now_us() + 3600000000u, &told);
        assert_int_equal(told.used, 64);
        ask(&it, kind, 64, 1, &told); // long ago
        assert_int_equal(told.wanted, 64);
        assert_int_equal(told.used, least[each]);
        close_index(&it);
    }
}

// ---- the manifest -------------------------------------------------------------------------------

static json_t *manifest_of(const char *folder)
{
    json_t *manifest = json_load_file(help_path(folder, "g-000001/manifest.json"), 0, NULL);
    assert_non_null(manifest);
    return manifest;
}

static void an_effort_is_written_beside_all_else(void **state)
{
    (void)state;
    char why[512] = "";
    opened_t it = open_index("IVF64,SQ8");
    json_t *before = manifest_of(it.folder);
    assert_int_equal(
        store_set_effort(it.store, EFFORT_NPROBE, 7, "{\"recall\":0.5}", why, sizeof why), 0);
    json_t *after = manifest_of(it.folder);
    json_t *effort = json_object_get(after, "effort");
    assert_int_equal(json_integer_value(json_object_get(effort, "nprobe")), 7);
    assert_true(json_real_value(json_object_get(effort, "recall")) == 0.5);
    json_object_del(after, "effort");
    assert_true(json_equal(before, after));
    json_decref(before);
    json_decref(after);
    store_t *again = store_open(it.folder, true, why, sizeof why); // checksums hold
    assert_non_null(again);
    assert_int_equal(store_manifest(again)->nprobe, 7);
    store_destroy(&again);
    close_index(&it);
}

static void the_next_generation_keeps_the_effort_if_it_is_alike(void **state)
{
    (void)state;
    static const struct {
        const char *factory;
        size_t passages, kept;
    } next[] = {{"IVF64,SQ8", PASSAGES + 100, 7},
                {"IVF64,Flat", PASSAGES, 0},
                {"IVF64,SQ8", PASSAGES * 4, 0}};
    for (size_t each = 0; each < 3; each++) {
        char why[512] = "";
        opened_t it = open_index("IVF64,SQ8");
        assert_int_equal(store_set_effort(it.store, EFFORT_NPROBE, 7, NULL, why, sizeof why), 0);
        help_build(it.folder, next[each].passages, 1, HELP_DIMENSION, next[each].factory, NULL, 0);
        store_t *again = store_open(it.folder, false, why, sizeof why);
        assert_string_equal(store_manifest(again)->generation, "g-000002");
        assert_int_equal(store_manifest(again)->nprobe, next[each].kept);
        store_destroy(&again);
        close_index(&it);
    }
}

static void an_effort_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"{\"nprobe\":-1}", "{\"nprobe\":\"x\"}",
                                        "{\"ef_search\":1000000}", "[]"};
    opened_t it = open_index("IVF64,SQ8");
    for (size_t each = 0; each < sizeof wrong / sizeof *wrong; each++) {
        char why[512] = "";
        json_t *manifest = manifest_of(it.folder);
        json_object_set_new(manifest, "effort", json_loads(wrong[each], 0, NULL));
        json_dump_file(manifest, help_path(it.folder, "g-000001/manifest.json"), 0);
        json_decref(manifest);
        assert_null(store_open(it.folder, false, why, sizeof why));
        assert_non_null(strstr(why, "manifest.json"));
    }
    close_index(&it);
}

static void what_is_served_takes_up_the_effort(void **state)
{
    (void)state;
    char why[512] = "";
    opened_t it = open_index("IVF64,SQ8");
    snapshot_options_t wanted = {.kinds = {true, true}, .source = options};
    snapshot_t *served = snapshot_open(it.folder, &wanted, why, sizeof why);
    assert_non_null(served);
    assert_false(snapshot_tune(served));
    assert_int_equal(store_set_effort(it.store, EFFORT_NPROBE, 5, NULL, why, sizeof why), 0);
    assert_true(snapshot_tune(served));
    assert_false(snapshot_tune(served));
    float question[HELP_DIMENSION];
    result_t result = {0};
    unit_vector(1, question);
    source_faiss.search(snapshot_source_at(served, 0)->source, 0,
                        &(query_t){.vector = question, .dimension = HELP_DIMENSION, .k = K}, 1,
                        &result);
    assert_int_equal(result.effort.used, 5);
    result_clear(&result);
    assert_null(snapshot_damage(served));
    snapshot_unref(&served);
    close_index(&it);
}

// ---- the check ----------------------------------------------------------------------------------

static int check(const char *folder, double recall, char **table, char *why, size_t why_size)
{
    size_t size;
    FILE *out = open_memstream(table, &size);
    check_settings_t settings = {.folder = folder, .questions = 100, .k = K, .recall = recall};
    int rc = check_index(&settings, out, why, why_size);
    fclose(out);
    return rc;
}

static void a_check_chooses_the_least_effort_that_is_enough(void **state)
{
    (void)state;
    static const char *const factories[] = {"IVF64,SQ8", "IVF64,Flat", "HNSW4"};
    for (size_t each = 0; each < 3; each++) {
        char why[512] = "", *table = NULL;
        opened_t it = open_index(factories[each]);
        assert_int_equal(check(it.folder, .9, &table, why, sizeof why), 0);
        const char *name = effort_names[each < 2 ? EFFORT_NPROBE : EFFORT_EF_SEARCH];
        assert_non_null(strstr(table, name));
        assert_non_null(strstr(table, "recall@10"));
        json_t *manifest = manifest_of(it.folder);
        json_t *effort = json_object_get(manifest, "effort");
        size_t chosen = (size_t)json_integer_value(json_object_get(effort, name));
        assert_true(json_real_value(json_object_get(effort, "recall")) >= .9);
        json_decref(manifest);
        free(table);
        // also of questions that lie anywhere, and are harder
        effort_t told;
        effort_kind_t kind = each < 2 ? EFFORT_NPROBE : EFFORT_EF_SEARCH;
        double recall = ask(&it, kind, chosen, 0, &told);
        if (recall < .7)
            fail_msg("%s, effort %zu: recall %g", factories[each], chosen, recall);
        assert_true(chosen < (each < 2 ? 64 : 1000));
        close_index(&it);
    }
}

static void a_check_says_what_cannot_be_reached(void **state)
{
    (void)state;
    char why[512] = "", *table = NULL;
    opened_t it = open_index("IVF64,PQ4x4"); // scored again, but too few of the right ones come
    assert_int_equal(check(it.folder, 1, &table, why, sizeof why), 1);
    assert_non_null(strstr(table, "no nprobe reaches"));
    json_t *manifest = manifest_of(it.folder);
    assert_true(json_is_object(json_object_get(manifest, "effort")));
    json_decref(manifest);
    free(table);
    close_index(&it);
}

static void a_check_of_an_exact_index_has_nothing_to_choose(void **state)
{
    (void)state;
    char why[512] = "", *table = NULL;
    opened_t it = open_index("Flat");
    assert_int_equal(check(it.folder, 1, &table, why, sizeof why), 0);
    assert_non_null(strstr(table, "1.0000"));
    json_t *manifest = manifest_of(it.folder);
    assert_null(json_object_get(manifest, "effort"));
    json_decref(manifest);
    free(table);
    close_index(&it);
}

static void a_check_says_why_it_cannot_be(void **state)
{
    (void)state;
    char why[512] = "", *table = NULL;
    assert_int_equal(check("/nowhere/at/all", .9, &table, why, sizeof why), -1);
    assert_non_null(strstr(why, "/nowhere/at/all"));
    free(table);
    opened_t it = open_index("IVF64,SQ8");
    help_cut(help_path(it.folder, "g-000001/shard-0/vectors.faiss"), 1000);
    assert_int_equal(check(it.folder, .9, &table, why, sizeof why), -1);
    assert_non_null(strstr(why, "vectors.faiss"));
    free(table);
    close_index(&it);
}

// ---- damage -------------------------------------------------------------------------------------

// Lists that end behind the file would be a fault of the memory when they are searched.
static void lists_behind_the_end_are_refused(void **state)
{
    (void)state;
    char path[256], why[512] = "";
    opened_t it = open_index("IVF64,SQ8");
    snprintf(path, sizeof path, "%s", help_path(it.folder, "g-000001/shard-0/vectors.faiss"));
    long size = help_size(path);
    FILE *file = fopen(path, "rb");
    char *bytes = malloc((size_t)size);
    assert_int_equal(fread(bytes, 1, (size_t)size, file), size);
    fclose(file);
    long at = 0; // "ilar", lists, bytes of a code, "full", their number, sizes
    while (memcmp(bytes + at, "ilar", 4) != 0)
        at++;
    free(bytes);
    help_spoil(path, at + 4 + 8 + 8 + 4 + 8 + 5, "\x10"); // 2^44 more in the first list
    assert_null(source_faiss.open(it.store, 0, &options, why, sizeof why));
    assert_non_null(strstr(why, "vectors.faiss"));
    close_index(&it);
}

static void damage_is_found_before_or_while_it_is_served(void **state)
{
    (void)state;
    char why[512] = "";
    snapshot_options_t wanted = {.kinds = {true, true}, .source = options};
    opened_t it = open_index("IVF64,SQ8");
    help_spoil(help_path(it.folder, "g-000001/shard-0/vectors.f32"), 100, "spoilt");
    wanted.check_first = UINT64_MAX;
    assert_null(snapshot_open(it.folder, &wanted, why, sizeof why));
    assert_non_null(strstr(why, "vectors.f32: its checksum is wrong"));
    wanted.check_first = 0;
    snapshot_t *served = snapshot_open(it.folder, &wanted, why, sizeof why);
    assert_non_null(served);
    while (!snapshot_damage(served))
        usleep(1000);
    assert_non_null(strstr(snapshot_damage(served), "vectors.f32: its checksum is wrong"));
    snapshot_unref(&served);
    close_index(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lowered_before_anything_is_known),
        cmocka_unit_test(what_fits_follows_what_searches_took),
        cmocka_unit_test(unsteady_searches_are_foretold_to_be_long),
        cmocka_unit_test(more_effort_finds_more),
        cmocka_unit_test(effort_of_another_kind_changes_nothing),
        cmocka_unit_test(a_near_deadline_lowers_the_effort),
        cmocka_unit_test(an_effort_is_written_beside_all_else),
        cmocka_unit_test(the_next_generation_keeps_the_effort_if_it_is_alike),
        cmocka_unit_test(an_effort_that_is_none_is_refused),
        cmocka_unit_test(what_is_served_takes_up_the_effort),
        cmocka_unit_test(a_check_chooses_the_least_effort_that_is_enough),
        cmocka_unit_test(a_check_says_what_cannot_be_reached),
        cmocka_unit_test(a_check_of_an_exact_index_has_nothing_to_choose),
        cmocka_unit_test(a_check_says_why_it_cannot_be),
        cmocka_unit_test(lists_behind_the_end_are_refused),
        cmocka_unit_test(damage_is_found_before_or_while_it_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
