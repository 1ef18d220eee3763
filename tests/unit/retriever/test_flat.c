// The flat search in bytes finds what a search in floats finds, whatever the vectors are like.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flat.h"

static uint32_t seed = 1;

static float random_part(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / (1 << 23) - 1;
}

static float *random_rows(size_t count, size_t dimension)
{
    float *rows = malloc((count * dimension + 1) * sizeof *rows);
    assert_non_null(rows);
    for (size_t row = 0; row < count; row++) {
        double sum = 0;
        for (size_t at = 0; at < dimension; at++) {
            rows[row * dimension + at] = random_part();
            sum += (double)rows[row * dimension + at] * rows[row * dimension + at];
        }
        for (size_t at = 0; at < dimension; at++)
            rows[row * dimension + at] /= (float)sqrt(sum);
    }
    return rows;
}

static double product(const float *one, const float *other, size_t dimension)
{
    double sum = 0;
    for (size_t at = 0; at < dimension; at++)
        sum += (double)one[at] * other[at];
    return sum;
}

// Many at once find what each finds alone (where the CPU can).
static void check_many(const flat_t *flat, size_t dimension, const float *query, size_t k,
                       const float *scores, const int64_t *labels)
{
    enum {
        MOST = 9,
    };
    float *queries = random_rows(MOST, dimension), *found = malloc(MOST * k * sizeof *found);
    int64_t *rows = malloc(MOST * k * sizeof *rows);
    assert_non_null(found);
    assert_non_null(rows);
    for (size_t count = 1; count <= MOST; count += 4) {
        memcpy(queries + (count - 1) * dimension, query, dimension * sizeof *query);
        if (flat_search_many(flat, queries, count, k, found, rows) != 0)
            break;
        assert_memory_equal(rows + (count - 1) * k, labels, k * sizeof *labels);
        assert_memory_equal(found + (count - 1) * k, scores, k * sizeof *scores);
    }
    free(queries);
    free(found);
    free(rows);
}

// Each label is there once, its score is right, and no row that is left out is better.
static void check(const float *rows, size_t count, size_t dimension, const float *query, size_t k)
{
    float scores[FLAT_MAX_K];
    int64_t labels[FLAT_MAX_K];
    char *found = calloc(count + 1, 1);
    flat_t *flat = flat_new(rows, count, dimension);
    assert_non_null(flat);
    flat_search(flat, query, k, NULL, scores, labels);
    size_t size = k < count ? k : count;
    double last = 0;
    for (size_t at = 0; at < k; at++) {
        if (at >= size) {
            assert_int_equal(labels[at], -1);
            continue;
        }
        assert_in_range(labels[at], 0, count - 1);
        assert_false(found[labels[at]]);
        found[labels[at]] = 1;
        last = product(rows + (size_t)labels[at] * dimension, query, dimension);
        assert_true(fabs(last - (double)scores[at]) < 1e-5);
        assert_true(at == 0 || scores[at] <= scores[at - 1]);
        assert_true(at == 0 || scores[at] < scores[at - 1] || labels[at] > labels[at - 1]);
    }
    for (size_t row = 0; row < count && size > 0; row++)
        assert_true(found[row] || product(rows + row * dimension, query, dimension) <= last + 1e-5);
    check_many(flat, dimension, query, k, scores, labels);
    flat_destroy(&flat);
    assert_null(flat);
    free(found);
}

static void finds_the_best_of_any_shape(void **state)
{
    (void)state;
    static const size_t dimensions[] = {1, 7, 16, 17, 100, 384}, counts[] = {0, 1, 3, 4, 5, 700};
    static const size_t ks[] = {1, 8, 50, FLAT_MAX_K};
    for (size_t d = 0; d < sizeof dimensions / sizeof *dimensions; d++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            float *rows = random_rows(counts[c], dimensions[d]);
            float *query = random_rows(1, dimensions[d]);
            for (size_t k = 0; k < sizeof ks / sizeof *ks; k++)
                check(rows, counts[c], dimensions[d], query, ks[k]);
            free(rows);
            free(query);
        }
}

// Rows that differ by less than bytes can tell.
static void finds_the_best_among_near_equals(void **state)
{
    (void)state;
    enum {
        COUNT = 500,
        DIMENSION = 64
    };
    float *rows = random_rows(COUNT, DIMENSION), *query = random_rows(1, DIMENSION);
    for (size_t row = 1; row < COUNT; row++)
        for (size_t at = 0; at < DIMENSION; at++)
            rows[row * DIMENSION + at] = rows[at] + random_part() * 1e-3f;
    check(rows, COUNT, DIMENSION, query, 10);
    for (size_t row = 1; row < COUNT; row++)
        memcpy(rows + row * DIMENSION, rows, DIMENSION * sizeof *rows);
    check(rows, COUNT, DIMENSION, query, 10); // all equal: in their order
    free(rows);
    free(query);
}

// One large component makes the bytes of all others coarse.
static void bears_outliers_and_long_questions(void **state)
{
    (void)state;
    enum {
        COUNT = 300,
        DIMENSION = 48
    };
    float *rows = random_rows(COUNT, DIMENSION), *query = random_rows(1, DIMENSION);
    for (size_t row = 0; row < COUNT; row++)
        rows[row * DIMENSION] = 30;
    query[0] = 0;
    check(rows, COUNT, DIMENSION, query, 8);
    for (size_t at = 0; at < DIMENSION; at++)
        query[at] *= 0.01f;
    check(rows, COUNT, DIMENSION, query, 8);
    memset(query, 0, DIMENSION * sizeof *query);
    check(rows, COUNT, DIMENSION, query, 8);
    free(rows);
    free(query);
}

static void rows_that_are_no_numbers_are_left_out(void **state)
{
    (void)state;
    enum {
        COUNT = 9,
        DIMENSION = 20
    };
    float *rows = random_rows(COUNT, DIMENSION), *query = random_rows(1, DIMENSION);
    float scores[COUNT];
    int64_t labels[COUNT];
    rows[2 * DIMENSION + 3] = NAN;
    rows[5 * DIMENSION] = INFINITY;
    flat_t *flat = flat_new(rows, COUNT, DIMENSION);
    flat_search(flat, query, COUNT, NULL, scores, labels);
    for (size_t at = 0; at < COUNT; at++) {
        assert_true(labels[at] != 2 && labels[at] != 5);
        assert_int_equal(labels[at] == -1, at >= COUNT - 2);
    }
    check_many(flat, DIMENSION, query, COUNT, scores, labels);
    flat_destroy(&flat);
    free(rows);
    free(query);
}

// A generation too large for the copy is served without it; the process goes on.
static void without_memory_there_is_no_copy(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); // it ends the process where malloc gives NULL
#endif
    assert_null(flat_new(NULL, (size_t)1 << 50, 16));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_there_is_no_copy),
        cmocka_unit_test(finds_the_best_of_any_shape),
        cmocka_unit_test(finds_the_best_among_near_equals),
        cmocka_unit_test(bears_outliers_and_long_questions),
        cmocka_unit_test(rows_that_are_no_numbers_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
