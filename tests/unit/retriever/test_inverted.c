// An inverted file written list by list says the same as one that FAISS fills and writes itself,
// read and mapped; and the kind of index goes by the number of vectors.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <faiss/c_api/AutoTune_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>

#include "inverted.h"
#include "embedding.h"
#include "retriever_help.h"
#include "vectors.h"

enum {
    COUNT = 40000, // more than is assigned at a time
    K = 10,
    QUESTIONS = 20,
    FAISS_MAPPED = 8 | 0x646f0000, // IO_FLAG_MMAP in FAISS 1.7.3, whose C API has another value
};

static float *vectors;

static int make_vectors(void **state)
{
    (void)state;
    vectors = malloc(COUNT * HELP_DIMENSION * sizeof *vectors);
    for (uint64_t at = 0; vectors && at < COUNT; at++) {
        float *row = vectors + at * HELP_DIMENSION;
        help_vector(at, HELP_DIMENSION, row);
        rl_embedding_normalise(row, HELP_DIMENSION, row);
    }
    return vectors ? 0 : -1;
}

static int free_vectors(void **state)
{
    (void)state;
    free(vectors);
    return 0;
}

static int read_vectors(void *arg, uint64_t first, size_t count, float *out)
{
    uint64_t *readings = arg;
    (*readings)++;
    memcpy(out, vectors + first * HELP_DIMENSION, count * HELP_DIMENSION * sizeof *out);
    return 0;
}

typedef struct steps {
    char stages[200]; // in the order in which they came
    uint64_t last, total;
} steps_t;

static void on_progress(void *arg, const char *stage, uint64_t done, uint64_t total)
{
    steps_t *steps = arg;
    if (!strstr(steps->stages, stage)) {
        assert_true(steps->last == steps->total);
        strcat(strcat(steps->stages, stage), " ");
        steps->last = 0;
    }
    assert_true(done >= steps->last && done <= total);
    steps->last = done;
    steps->total = total;
}

static void search(FaissIndex *index, float *scores, idx_t *labels)
{
    FaissParameterSpace *space = NULL;
    assert_int_equal(faiss_ParameterSpace_new(&space), 0);
    assert_int_equal(faiss_ParameterSpace_set_index_parameter(space, index, "nprobe", 4), 0);
    faiss_ParameterSpace_free(space);
    assert_int_equal(faiss_Index_search(index, QUESTIONS, vectors, K, scores, labels), 0);
}

static void expect_the_same(const char *path, int flags, FaissIndex *other)
{
    FaissIndex *index = NULL;
    float scores[QUESTIONS * K], others_scores[QUESTIONS * K];
    idx_t labels[QUESTIONS * K], others_labels[QUESTIONS * K];
    assert_int_equal(faiss_read_index_fname(path, flags, &index), 0);
    assert_int_equal(faiss_Index_ntotal(index), COUNT);
    search(index, scores, labels);
    search(other, others_scores, others_labels);
    size_t same = 0;
    for (size_t at = 0; at < QUESTIONS * K; at++)
        same += labels[at] == others_labels[at] && scores[at] == others_scores[at];
    // a vector as far from one centroid as from another may be in either list
    assert_true(same >= QUESTIONS * K * 98 / 100);
    faiss_Index_free(index);
}

static void is_written_as(const char *factory)
{
    const char *folder = help_folder();
    FaissIndex *index = NULL, *other = NULL;
    char why[256] = "";
    uint64_t readings = 0;
    steps_t steps = {.stages = ""};
    assert_int_equal(faiss_index_factory(&index, HELP_DIMENSION, factory, METRIC_INNER_PRODUCT), 0);
    assert_true(inverted_suits(index));
    assert_int_equal(inverted_lists(index), 32);
    assert_int_equal(inverted_train(index, vectors, 20000, on_progress, &steps, why, sizeof why),
                     0);
    steps.last = steps.total; // how often FAISS asks is an estimate
    const char *path = help_path(folder, "mine.faiss");
    assert_int_equal(faiss_write_index_fname(index, path), 0); // a copy of what was trained
    assert_int_equal(faiss_read_index_fname(path, 0, &other), 0);
    assert_int_equal(inverted_write(index, COUNT, path, read_vectors, &readings, on_progress,
                                    &steps, why, sizeof why),
                     0);
    assert_string_equal(steps.stages, "training vectors lists ");
    assert_true(readings > 4);
    assert_int_equal(faiss_Index_add(other, COUNT, vectors), 0);
    expect_the_same(path, 0, other);
    expect_the_same(path, FAISS_MAPPED, other);
    char *mine = strdup(path);
    const char *theirs = help_path(folder, "theirs.faiss");
    assert_int_equal(faiss_write_index_fname(other, theirs), 0);
    assert_int_equal(help_size(mine), help_size(theirs));
    free(mine);
    faiss_Index_free(other);
    faiss_Index_free(index);
    help_remove(folder);
}

static void floats(void **state)
{
    (void)state;
    is_written_as("IVF32,Flat");
}

static void bytes(void **state)
{
    (void)state;
    is_written_as("IVF32,SQ8");
}

static void products(void **state)
{
    (void)state;
    is_written_as("IVF32,PQ8x4");
}

static void behind_a_transformation(void **state)
{
    (void)state;
    is_written_as("PCA8,IVF32,SQ8");
}

static void lists_found_through_a_graph(void **state)
{
    (void)state;
    is_written_as("IVF32_HNSW8,SQ8");
}

static void other_kinds_do_not_suit(void **state)
{
    static const char *const kinds[] = {"Flat", "HNSW16", "SQ8", "IVF32,PQ8x4fs"};
    (void)state;
    for (size_t at = 0; at < sizeof kinds / sizeof *kinds; at++) {
        FaissIndex *index = NULL;
        assert_int_equal(
            faiss_index_factory(&index, HELP_DIMENSION, kinds[at], METRIC_INNER_PRODUCT), 0);
        assert_false(inverted_suits(index));
        faiss_Index_free(index);
    }
}

static void a_folder_that_is_gone(void **state)
{
    (void)state;
    FaissIndex *index = NULL;
    char why[256] = "";
    uint64_t readings = 0;
    assert_int_equal(faiss_index_factory(&index, HELP_DIMENSION, "IVF32,SQ8", METRIC_INNER_PRODUCT),
                     0);
    assert_int_equal(inverted_train(index, vectors, 4000, NULL, NULL, why, sizeof why), 0);
    assert_int_equal(inverted_write(index, 4000, "/nowhere/at/all", read_vectors, &readings, NULL,
                                    NULL, why, sizeof why),
                     -1);
    assert_non_null(strstr(why, "/nowhere/at/all"));
    faiss_Index_free(index);
}

static void the_kind_goes_by_size(void **state)
{
    (void)state;
    const char *reason = NULL;
    assert_string_equal(store_factory(0, NULL), "Flat");
    assert_string_equal(store_factory(20000, &reason), "Flat");
    assert_non_null(strstr(reason, "exact"));
    assert_string_equal(store_factory(20001, &reason), "HNSW32");
    assert_non_null(strstr(reason, "graph"));
    assert_string_equal(store_factory(100000, NULL), "HNSW32");
    assert_string_equal(store_factory(100001, &reason), "IVF1024,SQ8");
    assert_non_null(strstr(reason, "mapped"));
    assert_string_equal(store_factory(1000000, NULL), "IVF4096,SQ8");
    assert_string_equal(store_factory(UINT32_MAX, NULL), "IVF65536_HNSW32,SQ8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats),
        cmocka_unit_test(bytes),
        cmocka_unit_test(products),
        cmocka_unit_test(behind_a_transformation),
        cmocka_unit_test(lists_found_through_a_graph),
        cmocka_unit_test(other_kinds_do_not_suit),
        cmocka_unit_test(a_folder_that_is_gone),
        cmocka_unit_test(the_kind_goes_by_size),
    };
    return cmocka_run_group_tests(tests, make_vectors, free_vectors);
}
