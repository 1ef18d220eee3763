// Merging: within a kind by score, across kinds by fusion, each passage once.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "merge.h"

#define STRINGS .doc = "d", .title = "", .heading = "", .source = "", .meta = ""

static rl_passage_t p(uint64_t id, double score, uint64_t hash, const char *text)
{
    return (rl_passage_t){.id = id, .score = score, .hash = hash, .text = text, STRINGS};
}

static merge_settings_t settings(size_t k)
{
    return (merge_settings_t){
        .fusion = FUSION_CONVEX, .weights = {0.4, 0.6}, .candidates = 50, .k = k};
}

static void ids_are(const merged_passage_t *out, size_t size, const char *expected)
{
    char got[64] = "";
    for (size_t at = 0; at < size; at++)
        strncat(got, out[at].passage->text, sizeof got - strlen(got) - 1);
    assert_string_equal(got, expected);
}

static void one_kind_is_ordered_by_score_across_shards(void **state)
{
    (void)state;
    rl_passage_t one[] = {p(1, 0.9, 1, "A"), p(2, 0.5, 2, "C")}, two[] = {p(1, 0.7, 3, "B")};
    rl_hits_t a = {.hits = one, .hits_size = 2}, b = {.hits = two, .hits_size = 1};
    merge_input_t in[] = {{"c", 0, KIND_DENSE, &a}, {"c", 1, KIND_DENSE, &b}};
    size_t size;
    merge_settings_t how = settings(8);
    merged_passage_t *out = merge_inputs(in, 2, &how, &size);
    ids_are(out, size, "ABC");
    assert_true(out[0].score == 0.9);
    assert_true(out[0].kinds[KIND_DENSE] && !out[0].kinds[KIND_LEXICAL]);
    assert_int_equal(out[1].shard, 1);
    merge_free(&out);
}

static void shards_of_lexical_compare_by_share_of_their_bound(void **state)
{
    (void)state;
    rl_passage_t one[] = {p(1, 8, 1, "A")}, two[] = {p(1, 6, 2, "B")};
    rl_hits_t a = {.hits = one, .hits_size = 1, .bound = 20},
              b = {.hits = two, .hits_size = 1, .bound = 10};
    merge_input_t in[] = {{"c", 0, KIND_LEXICAL, &a}, {"c", 1, KIND_LEXICAL, &b}};
    size_t size;
    merge_settings_t how = settings(8);
    merged_passage_t *out = merge_inputs(in, 2, &how, &size);
    ids_are(out, size, "BA"); // .6 of what was possible before .4
    merge_free(&out);
}

static void found_by_both_comes_before_found_by_one(void **state)
{
    (void)state;
    rl_passage_t dense[] = {p(1, 0.6, 1, "A"), p(2, 0.5, 2, "B")};
    rl_passage_t lexical[] = {p(2, 5, 2, "B"), p(3, 5, 3, "C")};
    rl_hits_t a = {.hits = dense, .hits_size = 2},
              b = {.hits = lexical, .hits_size = 2, .bound = 10};
    merge_input_t in[] = {{"c", 0, KIND_DENSE, &a}, {"c", 0, KIND_LEXICAL, &b}};
    size_t size;
    for (int fusion = FUSION_CONVEX; fusion <= FUSION_RRF; fusion++) {
        merge_settings_t how = settings(8);
        how.fusion = (fusion_t)fusion;
        merged_passage_t *out = merge_inputs(in, 2, &how, &size);
        assert_int_equal(size, 3);
        assert_string_equal(out[0].passage->text, "B");
        assert_true(out[0].kinds[KIND_DENSE] && out[0].kinds[KIND_LEXICAL]);
        merge_free(&out);
    }
}

static void a_kind_that_found_nothing_leaves_the_others_order(void **state)
{
    (void)state;
    rl_passage_t dense[] = {p(1, 0.6, 1, "A"), p(2, 0.5, 2, "B")};
    rl_hits_t a = {.hits = dense, .hits_size = 2}, b = {.bound = 3};
    merge_input_t in[] = {{"c", 0, KIND_DENSE, &a}, {"c", 0, KIND_LEXICAL, &b}};
    size_t size;
    merge_settings_t how = settings(8);
    merged_passage_t *out = merge_inputs(in, 2, &how, &size);
    ids_are(out, size, "AB");
    merge_free(&out);
}

static void equal_passages_are_kept_once(void **state)
{
    (void)state;
    rl_passage_t one[] = {p(1, 0.9, 77, "A a"), p(2, 0.8, 77, " A\na "), p(3, 0.7, 5, "B")};
    rl_hits_t a = {.hits = one, .hits_size = 3};
    merge_input_t in[] = {{"c", 0, KIND_DENSE, &a}};
    size_t size;
    merge_settings_t how = settings(2);
    merged_passage_t *out = merge_inputs(in, 1, &how, &size);
    ids_are(out, size, "A aB"); // the double does not take a place
    merge_free(&out);
}

static void another_text_with_the_same_hash_is_kept(void **state)
{
    (void)state;
    rl_passage_t one[] = {p(1, 0.9, 77, "A"), p(2, 0.8, 77, "B"), p(3, 0.7, 77, "A b")};
    rl_hits_t a = {.hits = one, .hits_size = 3};
    merge_input_t in[] = {{"c", 0, KIND_DENSE, &a}};
    size_t size;
    merge_settings_t how = settings(3);
    merged_passage_t *out = merge_inputs(in, 1, &how, &size);
    assert_int_equal(size, 3);
    merge_free(&out);
}

static void same_ids_in_other_shards_and_collections_are_others(void **state)
{
    (void)state;
    rl_passage_t one[] = {p(1, 0.9, 1, "A")}, two[] = {p(1, 0.8, 2, "B")},
                 three[] = {p(1, 0.7, 3, "C")};
    rl_hits_t a = {.hits = one, .hits_size = 1}, b = {.hits = two, .hits_size = 1},
              c = {.hits = three, .hits_size = 1};
    merge_input_t in[] = {
        {"c", 0, KIND_DENSE, &a}, {"c", 1, KIND_DENSE, &b}, {"d", 0, KIND_DENSE, &c}};
    size_t size;
    merge_settings_t how = settings(8);
    merged_passage_t *out = merge_inputs(in, 3, &how, &size);
    ids_are(out, size, "ABC");
    assert_string_equal(out[2].collection, "d");
    merge_free(&out);
}

static void nothing_found_is_an_empty_row(void **state)
{
    (void)state;
    rl_hits_t none = {.bound = 1};
    merge_input_t in[] = {{"c", 0, KIND_DENSE, &none}, {"c", 0, KIND_LEXICAL, &none}};
    size_t size = 9;
    merge_settings_t how = settings(8);
    merged_passage_t *out = merge_inputs(in, 2, &how, &size);
    assert_int_equal(size, 0);
    merge_free(&out);
    out = merge_inputs(NULL, 0, &how, &size);
    assert_int_equal(size, 0);
    merge_free(&out);
}

static void many_candidates_are_merged_once_each(void **state)
{
    (void)state;
    enum {
        MANY = 500
    };
    rl_passage_t *dense = calloc(MANY, sizeof *dense), *lexical = calloc(MANY, sizeof *lexical);
    for (uint64_t at = 0; at < MANY; at++) {
        dense[at] = p(at + 1, 1.0 - (double)at / MANY, at + 1, "x");
        lexical[at] = p(MANY - at, (double)(MANY - at), MANY - at, "x");
    }
    rl_hits_t a = {.hits = dense, .hits_size = MANY},
              b = {.hits = lexical, .hits_size = MANY, .bound = MANY};
    merge_input_t in[] = {{"c", 0, KIND_DENSE, &a}, {"c", 0, KIND_LEXICAL, &b}};
    merge_settings_t how = settings(2 * MANY);
    how.candidates = MANY;
    size_t size;
    merged_passage_t *out = merge_inputs(in, 2, &how, &size);
    assert_int_equal(size, MANY);
    for (size_t at = 1; at < size; at++)
        assert_true(out[at].score <= out[at - 1].score);
    merge_free(&out);
    free(dense);
    free(lexical);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_kind_is_ordered_by_score_across_shards),
        cmocka_unit_test(shards_of_lexical_compare_by_share_of_their_bound),
        cmocka_unit_test(found_by_both_comes_before_found_by_one),
        cmocka_unit_test(a_kind_that_found_nothing_leaves_the_others_order),
        cmocka_unit_test(equal_passages_are_kept_once),
        cmocka_unit_test(another_text_with_the_same_hash_is_kept),
        cmocka_unit_test(same_ids_in_other_shards_and_collections_are_others),
        cmocka_unit_test(nothing_found_is_an_empty_row),
        cmocka_unit_test(many_candidates_are_merged_once_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
