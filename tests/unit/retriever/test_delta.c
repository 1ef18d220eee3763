// Changes applied to a generation: after any of them, what is found is what an index of the
// passages that are there would find; and a merge makes that index.
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

#include "files.h"
#include "generation_merge.h"
#include "log_tailer.h"
#include "retriever_help.h"
#include "snapshot.h"

enum {
    BUILT = 300,
    SHARDS = 2,
    DOCS = 400, // of which some are built, and any may be put or deleted
    TURNS = 60,
    K = 10,
};

static char why[1024];
static uint64_t state64 = 4711;

static unsigned chance(unsigned below)
{
    state64 ^= state64 << 13, state64 ^= state64 >> 7, state64 ^= state64 << 17;
    return (unsigned)(state64 >> 20) % below;
}

// What should be there: of each document the number that its text and vector are made from, -1
// none.
typedef struct model {
    int number[DOCS];
    int next;
} model_t;

static void text_of(int number, char *out, size_t size)
{
    snprintf(out, size, "passage number %d", number); // as help_build has it
}

static uint64_t write_change(change_log_writer_t *writer, model_t *model, unsigned doc, bool there)
{
    char id[32], text[64], meta[64];
    float vector[HELP_DIMENSION];
    double sum = 0;
    snprintf(id, sizeof id, "doc-%u", doc);
    change_t change = {.kind = CHANGE_DELETE, .name = id};
    rl_passage_t passage = {.doc = id,
                            .title = "A title",
                            .heading = "",
                            .source = "file.md",
                            .text = text,
                            .meta = meta};
    if (there) {
        int number = model->next++;
        text_of(number, text, sizeof text);
        snprintf(meta, sizeof meta, "{\"year\":%d}", 1000 + number);
        help_vector((uint64_t)number, HELP_DIMENSION, vector);
        for (size_t at = 0; at < HELP_DIMENSION; at++)
            sum += (double)vector[at] * vector[at];
        for (size_t at = 0; at < HELP_DIMENSION; at++)
            vector[at] = (float)(vector[at] / sqrt(sum));
        change = (change_t){.kind = CHANGE_PUT,
                            .name = id,
                            .passages = &passage,
                            .passages_size = 1,
                            .vectors = vector,
                            .dimension = HELP_DIMENSION,
                            .model_hash = change_log_model_hash("test-model")};
        model->number[doc] = number;
    } else {
        model->number[doc] = -1;
    }
    uint64_t first;
    assert_int_equal(change_log_add(writer, &change, why, sizeof why), 0);
    assert_int_equal(change_log_commit(writer, &first, why, sizeof why), 0);
    return first;
}

static snapshot_t *serve(const char *folder)
{
    snapshot_options_t options = {.kinds = {true, true},
                                  .source = {.threads = 1, .faiss_threads = 1}};
    snapshot_t *served = snapshot_open(folder, &options, why, sizeof why);
    if (!served)
        fail_msg("%s", why);
    return served;
}

static float cosine_with(int number, const float *query)
{
    float vector[HELP_DIMENSION];
    double sum = 0, product = 0;
    help_vector((uint64_t)number, HELP_DIMENSION, vector);
    for (size_t at = 0; at < HELP_DIMENSION; at++) {
        sum += (double)vector[at] * vector[at];
        product += (double)vector[at] * query[at];
    }
    return (float)(product / sqrt(sum));
}

static int by_score(const void *a, const void *b)
{
    float one = *(const float *)a, other = *(const float *)b;
    return (one < other) - (one > other);
}

// The k best of all shards, by their scores.
static size_t search(snapshot_t *served, const char *kind, const query_t *query, float *scores,
                     const model_t *model)
{
    size_t size = 0;
    char position[SNAPSHOT_MAX_VERSION];
    for (size_t at = 0; at < snapshot_sources(served); at++) {
        const snapshot_source_t *source = snapshot_source_at(served, at);
        result_t result = {0};
        if (source->backend->kind != source_kind_named(kind))
            continue;
        snapshot_search(served, source, 0, query, 1, &result, position);
        if (result.code)
            fail_msg("%s: %s", result.code, result.message);
        assert_true(result.size <= query->k);
        for (size_t hit = 0; hit < result.size; hit++) {
            unsigned doc = (unsigned)atoi(result.hits[hit].doc + 4);
            char text[64];
            assert_true(doc < DOCS && model->number[doc] >= 0); // it was not deleted
            text_of(model->number[doc], text, sizeof text);
            assert_string_equal(result.hits[hit].text, text); // nor replaced
            assert_true(hit == 0 || result.hits[hit].score <= result.hits[hit - 1].score);
            scores[size++] = (float)result.hits[hit].score;
        }
        result_clear(&result);
    }
    qsort(scores, size, sizeof *scores, by_score);
    return size < query->k ? size : query->k;
}

static void check_nearest(snapshot_t *served, const model_t *model, const char *filter, int least)
{
    float query[HELP_DIMENSION] = {0}, found[SHARDS * K], wanted[DOCS];
    size_t count = 0;
    query[chance(HELP_DIMENSION)] = 1;
    for (unsigned doc = 0; doc < DOCS; doc++)
        if (model->number[doc] >= least)
            wanted[count++] = cosine_with(model->number[doc], query);
    qsort(wanted, count, sizeof *wanted, by_score);
    query_t asked = {.vector = query, .dimension = HELP_DIMENSION, .k = K, .filter = filter};
    size_t size = search(served, "dense", &asked, found, model);
    assert_int_equal(size, count < K ? count : K);
    for (size_t at = 0; at < size; at++)
        assert_true(fabsf(found[at] - wanted[at]) < 1e-5f);
}

static void check_words(snapshot_t *served, const model_t *model)
{
    unsigned doc = chance(DOCS);
    char text[64];
    float scores[SHARDS * K];
    int number = model->number[doc];
    snprintf(text, sizeof text, "%d", number >= 0 ? number : (int)doc);
    query_t asked = {.text = text, .k = K};
    size_t wanted = 0;
    for (unsigned each = 0; each < DOCS; each++)
        wanted += model->number[each] == (number >= 0 ? number : (int)doc);
    assert_int_equal(search(served, "lexical", &asked, scores, model), wanted);
}

static void check_all(snapshot_t *served, const model_t *model)
{
    char filter[96];
    int least = model->next - 20 > BUILT ? model->next - 20 : BUILT;
    uint64_t passages = snapshot_passages(served, 0) + snapshot_passages(served, 1), there = 0;
    for (unsigned doc = 0; doc < DOCS; doc++)
        there += model->number[doc] >= 0;
    assert_int_equal(passages, there);
    check_nearest(served, model, NULL, 0);
    check_words(served, model);
    // those built are of the year 2024, as is one that was put
    snprintf(
        filter, sizeof filter,
        "{\"and\":[{\"field\":\"year\",\"gte\":%d},{\"not\":{\"field\":\"year\",\"eq\":2024}}]}",
        1000 + least);
    if (model->next < 1000)
        check_nearest(served, model, filter, least);
}

static void change_and_check(const char *folder, model_t *model, change_log_writer_t *writer,
                             unsigned deletions)
{
    snapshot_t *served = serve(folder);
    char position[SNAPSHOT_MAX_VERSION], expected[SNAPSHOT_MAX_VERSION];
    for (unsigned turn = 0; turn < TURNS; turn++) {
        uint64_t number = 0;
        for (unsigned each = 1 + chance(12); each > 0; each--)
            number = write_change(writer, model, chance(DOCS), chance(100) >= deletions);
        assert_int_equal(snapshot_version(served, position, why, sizeof why), 0);
        snprintf(expected, sizeof expected, "%s+%llu", snapshot_manifest(served)->generation,
                 (unsigned long long)number);
        assert_string_equal(position, expected);
        check_all(served, model);
    }
    snapshot_unref(&served);
}

static model_t build(const char *folder, const char *factory)
{
    model_t model = {.next = BUILT};
    help_build(folder, BUILT, SHARDS, HELP_DIMENSION, factory, NULL, 0);
    for (int doc = 0; doc < DOCS; doc++)
        model.number[doc] = doc < BUILT ? doc : -1;
    return model;
}

static void what_is_found_is_what_is_there(void **state)
{
    (void)state;
    const char *folder = help_folder();
    model_t model = build(folder, "Flat");
    change_log_writer_t *writer = change_log_writer_new(folder, 0, why, sizeof why);
    change_and_check(folder, &model, writer, 30);
    change_and_check(folder, &model, writer, 95); // nearly all of those built are deleted
    change_log_writer_destroy(&writer);
    help_remove(folder);
}

static void a_merge_makes_the_same_of_it(void **state)
{
    (void)state;
    const char *folder = help_folder();
    model_t model = build(folder, "Flat");
    change_log_writer_t *writer = change_log_writer_new(folder, 0, why, sizeof why);
    generation_merged_t merged;
    assert_int_equal(generation_merge(folder, NULL, NULL, &merged, why, sizeof why), 0);
    for (int round = 0; round < 3; round++) {
        change_and_check(folder, &model, writer, 40);
        if (generation_merge(folder, NULL, NULL, &merged, why, sizeof why) != 1)
            fail_msg("%s", why);
        uint64_t there = 0;
        for (unsigned doc = 0; doc < DOCS; doc++)
            there += model.number[doc] >= 0;
        assert_int_equal(merged.passages, there);
        assert_int_equal(merged.documents, there);
        assert_int_equal(generation_merge(folder, NULL, NULL, &merged, why, sizeof why), 0);
        snapshot_t *served = serve(folder);
        assert_int_equal(snapshot_manifest(served)->passages, there);
        check_all(served, &model);
        snapshot_unref(&served);
    }
    change_log_writer_destroy(&writer);
    help_remove(folder);
}

static void an_open_generation_goes_on_over_a_merge(void **state)
{
    (void)state;
    const char *folder = help_folder();
    model_t model = build(folder, "HNSW8");
    change_log_writer_t *writer = change_log_writer_new(folder, 0, why, sizeof why);
    generation_merged_t merged;
    for (unsigned doc = 0; doc < 50; doc++)
        write_change(writer, &model, doc, doc % 2);
    snapshot_t *served = serve(folder);
    assert_int_equal(generation_merge(folder, NULL, NULL, &merged, why, sizeof why), 1);
    for (unsigned doc = 50; doc < 80; doc++)
        write_change(writer, &model, doc, doc % 2);
    check_words(served, &model);
    uint64_t there = snapshot_passages(served, 0) + snapshot_passages(served, 1), wanted = 0;
    for (unsigned doc = 0; doc < DOCS; doc++)
        wanted += model.number[doc] >= 0;
    assert_int_equal(there, wanted);
    snapshot_unref(&served);
    change_log_writer_destroy(&writer);
    help_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_found_is_what_is_there),
        cmocka_unit_test(a_merge_makes_the_same_of_it),
        cmocka_unit_test(an_open_generation_goes_on_over_a_merge),
    };
    return cmocka_run_group_tests_name("delta", tests, NULL, NULL);
}
