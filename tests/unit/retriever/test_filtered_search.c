// among: searches with a filter, by every kind of index and by words, against searching by hand;
// one passage in 100,000.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "retriever_help.h"
#include "embedding.h"
#include "source.h"
#include "vectors.h"

enum {
    PASSAGES = 4000,
    QUESTIONS = 20,
    K = 10,
    MANY = 100000,
    MANY_DIMENSION = 4,
};

typedef struct opened {
    const char *folder;
    store_t *store;
    const source_backend_t *backend;
    void *source;
} opened_t;

// Passage i has "n": i * 7919 % passages, "near": whether its first component is above 0, and the
// words "every" and, each 64th, "seldom".
static size_t number_of(size_t passage, size_t passages)
{
    return passage * 7919 % passages;
}

static void build(opened_t *it, size_t passages, size_t dimension, const char *factory)
{
    char why[512] = "", doc[32], meta[64], text[64];
    generation_settings_t settings = {.collection = "docs",
                                      .model = "test-model",
                                      .language = "english",
                                      .factory = factory,
                                      .shards = 1};
    it->folder = help_folder();
    generation_writer_t *build = generation_writer_new(it->folder, &settings, why, sizeof why);
    float vector[HELP_DIMENSION];
    for (size_t at = 0; at < passages; at++) {
        help_vector(at, dimension, vector);
        snprintf(doc, sizeof doc, "doc-%zu", at);
        snprintf(text, sizeof text, "every %s passage %zu", at % 64 ? "" : "seldom", at);
        snprintf(meta, sizeof meta, "{\"n\":%zu,\"near\":%s}", number_of(at, passages),
                 vector[0] > 0 ? "true" : "false");
        rl_passage_t passage = {.doc = doc, .source = "s", .text = text, .meta = meta};
        if (generation_writer_add(build, 0, &passage, vector, dimension, why, sizeof why) != at + 1)
            fail_msg("%s", why);
    }
    if (generation_writer_finish(&build, passages, NULL, NULL, why, sizeof why) != 0 ||
        !(it->store = store_open(it->folder, true, why, sizeof why)))
        fail_msg("%s", why);
}

static void open_kind(opened_t *it, const char *kind, size_t faiss_threads)
{
    char why[512] = "";
    source_options_t options = {.threads = 1, .faiss_threads = faiss_threads};
    it->backend = source_backends[source_kind_named(kind)];
    it->source = it->backend->open(it->store, 0, &options, why, sizeof why);
    if (!it->source)
        fail_msg("%s", why);
}

static void close_all(opened_t *it)
{
    it->backend->close(it->source);
    store_destroy(&it->store);
    help_remove(it->folder);
}

static result_t ask(const opened_t *it, const float *vector, size_t dimension, const char *text,
                    size_t k, const char *filter)
{
    result_t result = {0};
    query_t query = {
        .text = text, .vector = vector, .dimension = dimension, .k = k, .filter = filter};
    it->backend->search(it->source, 0, &query, 1, &result);
    if (result.code)
        fail_msg("%s: %s", filter, result.message);
    return result;
}

// ---- dense --------------------------------------------------------------------------------------

// What a filter keeps: passages whose number is below `below`, or those near (or not).
typedef struct kept {
    const char *filter;
    size_t below;
    int near; // 0: any, 1, -1
} kept_t;

static bool keeps(const kept_t *kept, size_t passage)
{
    float vector[HELP_DIMENSION];
    help_vector(passage, HELP_DIMENSION, vector);
    return number_of(passage, PASSAGES) < kept->below &&
           (kept->near == 0 || (kept->near > 0) == (vector[0] > 0));
}

static size_t best_by_hand(const kept_t *kept, const float *query, uint64_t *ids)
{
    double scores[K];
    size_t size = 0;
    for (size_t at = 0; at < PASSAGES; at++) {
        float vector[HELP_DIMENSION];
        double sum = 0;
        if (!keeps(kept, at))
            continue;
        help_vector(at, HELP_DIMENSION, vector);
        rl_embedding_normalise(vector, HELP_DIMENSION, vector);
        for (size_t c = 0; c < HELP_DIMENSION; c++)
            sum += (double)vector[c] * query[c];
        if (size == K && sum <= scores[K - 1])
            continue;
        size_t into = size < K ? size++ : K - 1;
        for (; into > 0 && scores[into - 1] < sum; into--) {
            scores[into] = scores[into - 1];
            ids[into] = ids[into - 1];
        }
        scores[into] = sum;
        ids[into] = at + 1;
    }
    return size;
}

static void check_index(const char *factory, size_t faiss_threads, double least)
{
    static const kept_t all[] = {
        {"{\"field\":\"n\",\"lt\":2000}", 2000, 0},
        {"{\"field\":\"n\",\"lt\":400}", 400, 0},
        {"{\"field\":\"n\",\"lt\":40}", 40, 0},
        {"{\"field\":\"n\",\"in\":[0]}", 1, 0},
        {"{\"field\":\"n\",\"gt\":4000}", 0, 0},
        {"{\"field\":\"near\",\"eq\":false}", PASSAGES, -1}, // away from the questions
        {"{\"and\":[{\"field\":\"near\",\"eq\":false},{\"field\":\"n\",\"lt\":400}]}", 400, -1},
    };
    opened_t it = {0};
    build(&it, PASSAGES, HELP_DIMENSION, factory);
    open_kind(&it, "dense", faiss_threads);
    for (size_t each = 0; each < sizeof all / sizeof *all; each++) {
        double found = 0, wanted = 0;
        for (uint64_t question = 0; question < QUESTIONS; question++) {
            float query[HELP_DIMENSION];
            uint64_t ids[K];
            help_vector(90000 + question, HELP_DIMENSION, query);
            query[0] = fabsf(query[0]) + 1;
            rl_embedding_normalise(query, HELP_DIMENSION, query);
            size_t size = best_by_hand(&all[each], query, ids);
            result_t result = ask(&it, query, HELP_DIMENSION, "", K, all[each].filter);
            assert_int_equal(result.size, size);
            for (size_t hit = 0; hit < result.size; hit++) {
                assert_true(keeps(&all[each], result.hits[hit].id - 1));
                assert_true(hit == 0 || result.hits[hit].score <= result.hits[hit - 1].score);
                for (size_t at = 0; at < size; at++)
                    found += result.hits[hit].id == ids[at];
            }
            wanted += (double)size;
            result_clear(&result);
        }
        if (found < least * wanted)
            fail_msg("%s, %s: %.0f of %.0f", factory, all[each].filter, found, wanted);
    }
    close_all(&it);
}

static void every_kind_of_index_finds_what_searching_by_hand_finds(void **state)
{
    (void)state;
    check_index("Flat", 1, 1);
    check_index("Flat", 4, 1); // without the copy in bytes
    check_index("HNSW32", 1, .97);
    check_index("HNSW32_SQ8", 1, .93);
    check_index("IVF16,Flat", 1, .97);
    check_index("IVF64,SQ8", 1, .93);
    check_index("SQ8", 1, .93);
    check_index("RR16,IVF16,Flat", 1, .97);
}

static void questions_with_and_without_a_filter_go_together(void **state)
{
    (void)state;
    opened_t it = {0};
    build(&it, PASSAGES, HELP_DIMENSION, "Flat");
    open_kind(&it, "dense", 1);
    float vectors[12][HELP_DIMENSION];
    query_t queries[12];
    result_t results[12] = {{0}};
    for (size_t at = 0; at < 12; at++) {
        help_vector(70000 + at, HELP_DIMENSION, vectors[at]);
        rl_embedding_normalise(vectors[at], HELP_DIMENSION, vectors[at]);
        queries[at] = (query_t){.vector = vectors[at],
                                .dimension = HELP_DIMENSION,
                                .k = K,
                                .filter = at % 3 == 0   ? "{\"field\":\"n\",\"lt\":2000}"
                                          : at % 3 == 1 ? "{\"wrong\":1}"
                                                        : NULL};
    }
    it.backend->search(it.source, 0, queries, 12, results);
    for (size_t at = 0; at < 12; at++) {
        if (at % 3 == 1) {
            assert_string_equal(results[at].code, "bad_filter");
            assert_non_null(strstr(results[at].message, "wrong"));
            continue;
        }
        result_t alone = ask(&it, vectors[at], HELP_DIMENSION, "", K, queries[at].filter);
        assert_int_equal(results[at].size, K);
        for (size_t hit = 0; hit < K; hit++)
            assert_int_equal(results[at].hits[hit].id, alone.hits[hit].id);
        result_clear(&alone);
        result_clear(&results[at]);
    }
    close_all(&it);
}

// ---- words --------------------------------------------------------------------------------------

static void words_are_found_among_what_a_filter_keeps(void **state)
{
    (void)state;
    static const char *const texts[] = {"every", "seldom", "every seldom passage", "passage 63",
                                        "nowhere"};
    static const size_t below[] = {0, 1, 5, 300, 2000, PASSAGES};
    opened_t it = {0};
    build(&it, PASSAGES, HELP_DIMENSION, "Flat");
    open_kind(&it, "lexical", 1);
    for (size_t text = 0; text < 5; text++)
        for (size_t each = 0; each < 6; each++) {
            char filter[64];
            snprintf(filter, sizeof filter, "{\"field\":\"n\",\"lt\":%zu}", below[each]);
            // all of them, of which the first are the best
            result_t kept = ask(&it, NULL, 0, texts[text], RL_MAX_HITS, filter);
            result_t best = ask(&it, NULL, 0, texts[text], K, filter);
            result_t all = ask(&it, NULL, 0, texts[text], RL_MAX_HITS, NULL);
            assert_true(fabs(best.bound - all.bound) < 1e-9);
            assert_int_equal(best.size, kept.size < K ? kept.size : K);
            size_t at = 0;
            for (size_t hit = 0; hit < all.size; hit++) {
                if (number_of(all.hits[hit].id - 1, PASSAGES) >= below[each])
                    continue;
                assert_true(at < kept.size);
                assert_int_equal(kept.hits[at].id, all.hits[hit].id);
                assert_true(fabs(kept.hits[at].score - all.hits[hit].score) < 1e-9);
                if (at < best.size)
                    assert_int_equal(best.hits[at].id, all.hits[hit].id);
                at++;
            }
            assert_true(all.size == RL_MAX_HITS || at == kept.size);
            for (size_t hit = 0; hit < kept.size; hit++)
                assert_true(number_of(kept.hits[hit].id - 1, PASSAGES) < below[each]);
            result_clear(&kept);
            result_clear(&best);
            result_clear(&all);
        }
    close_all(&it);
}

// ---- one in 100,000 -----------------------------------------------------------------------------

static void one_passage_in_a_hundred_thousand_is_found(void **state)
{
    (void)state;
    static const char *const kinds[] = {"dense", "lexical"};
    opened_t it = {0};
    float query[MANY_DIMENSION] = {1};
    build(&it, MANY, MANY_DIMENSION, "HNSW8");
    for (size_t kind = 0; kind < 2; kind++) {
        open_kind(&it, kinds[kind], 1);
        for (size_t passage = 0; passage < MANY; passage += MANY / 50) {
            char filter[64];
            snprintf(filter, sizeof filter, "{\"field\":\"n\",\"eq\":%zu}",
                     number_of(passage, MANY));
            result_t result = ask(&it, query, MANY_DIMENSION, "every passage", K, filter);
            assert_int_equal(result.size, 1);
            assert_int_equal(result.hits[0].id, passage + 1);
            result_clear(&result);
        }
        if (kind == 0)
            it.backend->close(it.source);
    }
    close_all(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_index_finds_what_searching_by_hand_finds),
        cmocka_unit_test(questions_with_and_without_a_filter_go_together),
        cmocka_unit_test(words_are_found_among_what_a_filter_keeps),
        cmocka_unit_test(one_passage_in_a_hundred_thousand_is_found),
    };
    return cmocka_run_group_tests_name("selection", tests, NULL, NULL);
}
