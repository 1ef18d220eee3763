// sources: what FAISS and Xapian find, against searching by hand; terms of technical text; wrong
// queries.
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
#include "analyzer.h"
#include "vectors.h"

static const source_options_t options = {.threads = 2, .faiss_threads = 1};

typedef struct opened {
    const char *folder;
    store_t *store;
    const source_backend_t *backend;
    void *source;
} opened_t;

static opened_t open_source(const char *kind, size_t passages, const char *factory,
                            const char *const *texts, size_t texts_size)
{
    char why[512] = "";
    opened_t it = {.folder = help_folder(), .backend = source_backends[source_kind_named(kind)]};
    help_build(it.folder, passages, 1, HELP_DIMENSION, factory, texts, texts_size);
    it.store = store_open(it.folder, true, why, sizeof why);
    assert_non_null(it.store);
    it.source = it.backend->open(it.store, 0, &options, why, sizeof why);
    assert_string_equal(why, "");
    assert_non_null(it.source);
    it.backend->warm(it.source, 0);
    return it;
}

static void close_source(opened_t *it)
{
    it->backend->close(it->source);
    store_destroy(&it->store);
    help_remove(it->folder);
}

// ---- dense --------------------------------------------------------------------------------------

static void unit_vector(uint64_t number, float *out)
{
    help_vector(number, HELP_DIMENSION, out);
    assert_int_equal(rl_embedding_normalise(out, HELP_DIMENSION, out), 0);
}

// The k best by hand.
static void best_by_hand(size_t passages, const float *query, size_t k, uint64_t *ids,
                         double *scores)
{
    bool taken[4096] = {false};
    for (size_t each = 0; each < k; each++) {
        double best = -2;
        for (size_t at = 0; at < passages; at++) {
            float vector[HELP_DIMENSION];
            double sum = 0;
            if (taken[at])
                continue;
            unit_vector(at, vector);
            for (size_t c = 0; c < HELP_DIMENSION; c++)
                sum += (double)vector[c] * query[c];
            if (sum > best) {
                best = sum;
                ids[each] = at + 1;
            }
        }
        taken[ids[each] - 1] = true;
        scores[each] = best;
    }
}

static void a_flat_search_finds_what_searching_by_hand_finds(void **state)
{
    (void)state;
    enum {
        PASSAGES = 500,
        K = 10
    };
    opened_t it = open_source("dense", PASSAGES, "", NULL, 0);
    for (uint64_t number = 9000; number < 9020; number++) {
        float query[HELP_DIMENSION];
        uint64_t ids[K];
        double scores[K];
        unit_vector(number, query);
        best_by_hand(PASSAGES, query, K, ids, scores);
        result_t result = {0};
        query_t asked = {.vector = query, .dimension = HELP_DIMENSION, .k = K};
        it.backend->search(it.source, 0, &asked, 1, &result);
        assert_null(result.code);
        assert_int_equal(result.size, K);
        for (size_t at = 0; at < K; at++) {
            char doc[32];
            assert_int_equal(result.hits[at].id, ids[at]);
            assert_true(fabs(result.hits[at].score - scores[at]) < 1e-4);
            snprintf(doc, sizeof doc, "doc-%llu", (unsigned long long)ids[at] - 1);
            assert_string_equal(result.hits[at].doc, doc);
        }
        result_clear(&result);
    }
    close_source(&it);
}

static void a_batch_finds_what_single_searches_find(void **state)
{
    (void)state;
    static const char *const factories[] = {"Flat", "HNSW16", "IVF4,Flat"};
    for (size_t each = 0; each < 3; each++) {
        opened_t it = open_source("dense", 400, factories[each], NULL, 0);
        float vectors[SOURCE_BATCH][HELP_DIMENSION];
        query_t queries[SOURCE_BATCH];
        result_t batch[SOURCE_BATCH] = {0};
        for (size_t at = 0; at < SOURCE_BATCH; at++) {
            unit_vector(5000 + at, vectors[at]);
            queries[at] =
                (query_t){.vector = vectors[at], .dimension = HELP_DIMENSION, .k = 1 + at % 12};
        }
        it.backend->search(it.source, 1, queries, SOURCE_BATCH, batch);
        for (size_t at = 0; at < SOURCE_BATCH; at++) {
            result_t single = {0};
            it.backend->search(it.source, 0, &queries[at], 1, &single);
            assert_int_equal(batch[at].size, queries[at].k);
            assert_int_equal(single.size, queries[at].k);
            for (size_t hit = 0; hit < single.size; hit++) {
                assert_int_equal(single.hits[hit].id, batch[at].hits[hit].id);
                assert_true(fabs(single.hits[hit].score - batch[at].hits[hit].score) < 1e-4);
            }
            result_clear(&single);
            result_clear(&batch[at]);
        }
        close_source(&it);
    }
}

static void a_graph_finds_nearly_all(void **state)
{
    (void)state;
    enum {
        PASSAGES = 2000,
        K = 10,
        QUERIES = 50
    };
    opened_t it = open_source("dense", PASSAGES, "HNSW32", NULL, 0);
    size_t found = 0;
    for (uint64_t number = 0; number < QUERIES; number++) {
        float query[HELP_DIMENSION];
        uint64_t ids[K];
        double scores[K];
        unit_vector(70000 + number, query);
        best_by_hand(PASSAGES, query, K, ids, scores);
        result_t result = {0};
        query_t asked = {.vector = query, .dimension = HELP_DIMENSION, .k = K};
        it.backend->search(it.source, 0, &asked, 1, &result);
        for (size_t at = 0; at < result.size; at++)
            for (size_t want = 0; want < K; want++)
                found += result.hits[at].id == ids[want];
        assert_true(result.hits[0].score >= result.hits[K - 1].score);
        result_clear(&result);
    }
    assert_true(found >= QUERIES * K * 98 / 100);
    close_source(&it);
}

static void wrong_vectors_fail_and_good_ones_in_the_same_batch_do_not(void **state)
{
    (void)state;
    opened_t it = open_source("dense", 5, "", NULL, 0);
    float vector[HELP_DIMENSION * 2] = {1};
    query_t queries[] = {
        {.vector = vector, .dimension = HELP_DIMENSION * 2, .k = 3},
        {.vector = vector, .dimension = HELP_DIMENSION, .k = 1000},
        {.text = "no vector", .k = 3},
        {.vector = vector, .dimension = 1, .k = 3},
    };
    result_t results[4] = {0};
    it.backend->search(it.source, 0, queries, 4, results);
    assert_string_equal(results[0].code, "wrong_dimension");
    assert_non_null(strstr(results[0].message, "32 components, this index has 16"));
    assert_null(results[1].code);
    assert_int_equal(results[1].size, 5); // more than there are
    assert_string_equal(results[2].code, "bad_request");
    assert_string_equal(results[3].code, "wrong_dimension");
    for (size_t at = 0; at < 4; at++)
        result_clear(&results[at]);
    close_source(&it);
}

static void an_empty_shard_answers_with_nothing(void **state)
{
    (void)state;
    char why[512];
    const char *folder = help_folder();
    help_build(folder, 1, 2, HELP_DIMENSION, "", NULL, 0); // shard 1 has none
    store_t *store = store_open(folder, true, why, sizeof why);
    static const char *const kinds[] = {"dense", "lexical"};
    for (size_t each = 0; each < 2; each++) {
        const source_backend_t *backend = source_backends[source_kind_named(kinds[each])];
        void *source = backend->open(store, 1, &options, why, sizeof why);
        assert_non_null(source);
        backend->warm(source, 0);
        float vector[HELP_DIMENSION] = {1};
        query_t query = {.text = "passage", .vector = vector, .dimension = HELP_DIMENSION, .k = 5};
        result_t result = {0};
        backend->search(source, 0, &query, 1, &result);
        assert_null(result.code);
        assert_int_equal(result.size, 0);
        result_clear(&result);
        backend->close(source);
    }
    store_destroy(&store);
    help_remove(folder);
}

// ---- lexical ------------------------------------------------------------------------------------

static const char *const manual[] = {
    "CURLOPT_TIMEOUT sets the maximum time in seconds that a transfer may take.",
    "The option --max-time limits a whole operation. See also -m in the list.",
    "With http/2 several transfers share one connection; http/1.1 has one at a time.",
    "Sockets of type PUSH distribute messages selection all connected peers, fairly queued.",
    "Cookies are kept in a jar and written back at the end of the transfer.",
    "The logical words AND, OR and NOT join conditions; a:b names a field.",
    "libcurl is written in C and bindings exist for C++ and other languages.",
};
enum {
    MANUAL = sizeof manual / sizeof *manual
};

// The id of the best passage for the text, 0 if nothing was found; it must not fail.
static uint64_t best_of(opened_t *it, const char *text)
{
    result_t result = {0};
    query_t query = {.text = text, .k = 3};
    it->backend->search(it->source, 0, &query, 1, &result);
    if (result.code)
        fail_msg("%s: %s", result.code, result.message);
    uint64_t best = result.size > 0 ? result.hits[0].id : 0;
    for (size_t at = 1; at < result.size; at++)
        assert_true(result.hits[at - 1].score >= result.hits[at].score);
    for (size_t at = 0; at < result.size; at++)
        assert_true(result.hits[at].score <= result.bound);
    result_clear(&result);
    return best;
}

static void technical_names_are_found_whole_and_in_parts(void **state)
{
    (void)state;
    opened_t it = open_source("lexical", MANUAL, "", manual, MANUAL);
    assert_int_equal(best_of(&it, "CURLOPT_TIMEOUT"), 1);
    assert_int_equal(best_of(&it, "curlopt timeout"), 1);
    assert_int_equal(best_of(&it, "What does --max-time do?"), 2);
    assert_int_equal(best_of(&it, "max time of an operation"), 2);
    assert_int_equal(best_of(&it, "-m"), 2);
    assert_int_equal(best_of(&it, "http/2"), 3);
    assert_int_equal(best_of(&it, "c++"), 7);
    close_source(&it);
}

static void words_are_stemmed_and_common_ones_left_out(void **state)
{
    (void)state;
    opened_t it = open_source("lexical", MANUAL, "", manual, MANUAL);
    assert_int_equal(best_of(&it, "distributing a message to the peer"), 4);
    assert_int_equal(best_of(&it, "COOKIE"), 5);
    assert_int_equal(best_of(&it, "who are we to be?"), 0);
    assert_int_equal(best_of(&it, "zymurgy"), 0);
    close_source(&it);
}

static void nothing_in_a_question_is_an_operator(void **state)
{
    (void)state;
    opened_t it = open_source("lexical", MANUAL, "", manual, MANUAL);
    static const char *const questions[] = {
        "a:b AND NOT (",
        "\"unbalanced AND (",
        "cookies NOT cookies",
        "+cookies -cookies",
        "cook* OR ???",
        "title:cookies",
        "NEAR/3 ~ ^ [ ] { }",
        "\xf0\x9f\x8d\xaa cookies",
        "cookies\ncookies\tcookies",
    };
    for (size_t at = 0; at < sizeof questions / sizeof *questions; at++)
        best_of(&it, questions[at]);
    assert_int_equal(best_of(&it, "a:b AND NOT ("), 6);
    assert_int_equal(best_of(&it, "cookies NOT cookies"), 5);
    assert_int_equal(best_of(&it, "title:cookies"), 5);
    // a question of many thousand words is searched by its rarest ones
    char *longest = calloc(200001, 1);
    for (size_t at = 0; at + 8 <= 200000; at += 8)
        snprintf(longest + at, 9, "w%06zu ", at / 8);
    memcpy(longest, "cookies ", 8);
    assert_int_equal(best_of(&it, longest), 5);
    free(longest);
    close_source(&it);
}

static void an_empty_question_fails(void **state)
{
    (void)state;
    opened_t it = open_source("lexical", MANUAL, "", manual, MANUAL);
    result_t result = {0};
    query_t query = {.text = "", .k = 3};
    it.backend->search(it.source, 0, &query, 1, &result);
    assert_string_equal(result.code, "bad_request");
    result_clear(&result);
    close_source(&it);
}

static void a_rare_word_weighs_more_and_a_short_passage_too(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "common common common words here",
        "rare words here",
        "common words everywhere",
        "common words of all sorts in a passage that is much longer than all of the others are",
    };
    opened_t it = open_source("lexical", 4, "", texts, 4);
    assert_int_equal(best_of(&it, "rare common"), 2);
    result_t result = {0};
    query_t query = {.text = "common", .k = 4};
    it.backend->search(it.source, 0, &query, 1, &result);
    assert_int_equal(result.size, 3);
    assert_int_equal(result.hits[0].id, 1);
    assert_int_equal(result.hits[1].id, 3);
    assert_int_equal(result.hits[2].id, 4);
    result_clear(&result);
    close_source(&it);
}

static void the_bound_counts_words_that_no_passage_has(void **state)
{
    (void)state;
    opened_t it = open_source("lexical", MANUAL, "", manual, MANUAL);
    query_t queries[] = {{.text = "cookies jar", .k = 1},
                         {.text = "cookies jar zymurgy xylophone", .k = 1}};
    result_t results[2] = {0};
    for (size_t at = 0; at < 2; at++)
        it.backend->search(it.source, 0, &queries[at], 1, &results[at]);
    assert_true(results[0].hits[0].score == results[1].hits[0].score);
    assert_true(results[0].bound >= results[0].hits[0].score);
    assert_true(results[1].bound > results[0].bound * 1.9);
    result_clear(&results[0]);
    result_clear(&results[1]);
    close_source(&it);
}

// ---- terms --------------------------------------------------------------------------------------

static void join_term(void *arg, const char *term, unsigned times)
{
    char *joined = arg;
    size_t size = strlen(joined);
    snprintf(joined + size, 1024 - size, times == 1 ? "%s " : "%s*%u ", term, times);
}

static void assert_terms(const char *language, const char *text, const char *expected)
{
    char joined[1024] = "";
    analyzer_t *terms = analyzer_new(language);
    assert_non_null(terms);
    analyzer_each(terms, &text, 1, join_term, joined);
    assert_string_equal(joined, expected);
    analyzer_destroy(&terms);
}

static void terms_are_words_stems_names_and_pairs(void **state)
{
    (void)state;
    assert_terms("english", "The cats were running", "cat run ");
    assert_terms("en", "The cats", "cat ");
    assert_terms("english", "CURLOPT_TIMEOUT_MS", "curlopt curlopt_timeout_m ms timeout ");
    assert_terms("english", "use --max-time or -v", "--max-time -v max time use v ");
    assert_terms("english", "well-known", "known well ");
    assert_terms("english", "a--b ---", "b ");
    assert_terms("german", "Die H\xc3\xa4user und die Katzen", "haus katz ");
    assert_terms("none", "The cats", "cats the ");
    assert_terms("chinese", "\xe4\xb8\xad\xe5\x9b\xbd\xe4\xba\xba",
                 "\xe4\xb8\xad \xe4\xb8\xad\xe5\x9b\xbd \xe4\xba\xba \xe5\x9b\xbd "
                 "\xe5\x9b\xbd\xe4\xba\xba ");
    assert_terms("english", "", "");
    assert_terms("english", "__ -- _-_", "_*2 __ ");
    char name[400];
    memset(name, 'x', sizeof name);
    memcpy(name, "--", 2);
    name[200] = '_';
    name[399] = '\0';
    assert_terms("english", name, "");
    assert_null(analyzer_new("klingon"));
    assert_null(analyzer_new(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flat_search_finds_what_searching_by_hand_finds),
        cmocka_unit_test(a_batch_finds_what_single_searches_find),
        cmocka_unit_test(a_graph_finds_nearly_all),
        cmocka_unit_test(wrong_vectors_fail_and_good_ones_in_the_same_batch_do_not),
        cmocka_unit_test(an_empty_shard_answers_with_nothing),
        cmocka_unit_test(technical_names_are_found_whole_and_in_parts),
        cmocka_unit_test(words_are_stemmed_and_common_ones_left_out),
        cmocka_unit_test(nothing_in_a_question_is_an_operator),
        cmocka_unit_test(an_empty_question_fails),
        cmocka_unit_test(a_rare_word_weighs_more_and_a_short_passage_too),
        cmocka_unit_test(the_bound_counts_words_that_no_passage_has),
        cmocka_unit_test(terms_are_words_stems_names_and_pairs),
    };
    return cmocka_run_group_tests_name("sources", tests, NULL, NULL);
}
