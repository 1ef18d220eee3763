// The made-up corpus: the same at every call, in clusters, with lengths and words as promised.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "synthetic.h"

enum {
    DIMENSION = 64,
    ROWS = 3000
};

static double cosine(const float *a, const float *b)
{
    double sum = 0;
    for (size_t at = 0; at < DIMENSION; at++)
        sum += (double)a[at] * b[at];
    return sum;
}

static void rows_are_the_same_however_they_are_made(void **state)
{
    (void)state;
    synthetic_t *corpus = synthetic_new(DIMENSION), *again = synthetic_new(DIMENSION);
    float *all = calloc(ROWS * DIMENSION, sizeof *all), one[7 * DIMENSION];
    synthetic_vectors(corpus, 0, ROWS, all);
    for (size_t first = 0; first + 7 <= ROWS; first += 613) {
        synthetic_vectors(again, first, 7, one);
        for (size_t at = 0; at < 7 * DIMENSION; at++)
            assert_float_equal(one[at], all[first * DIMENSION + at], 1e-5);
    }
    for (size_t row = 0; row < ROWS; row++)
        assert_float_equal(cosine(all + row * DIMENSION, all + row * DIMENSION), 1, 1e-4);
    free(all);
    synthetic_destroy(&corpus);
    synthetic_destroy(&again);
    assert_null(again);
}

// Neighbours are of the same topic, and questions are near passages but no copies of them.
static void vectors_lie_in_clusters(void **state)
{
    (void)state;
    enum {
        ASKED = 100
    };
    synthetic_t *corpus = synthetic_new(DIMENSION);
    float *rows = calloc(ROWS * DIMENSION, sizeof *rows);
    float *questions = calloc(ASKED * DIMENSION, sizeof *questions);
    synthetic_vectors(corpus, 0, ROWS, rows);
    synthetic_questions(corpus, 0, ASKED, questions);
    double same = 0, other = 0, nearest = 0;
    size_t sames = 0, others = 0;
    for (size_t row = 1; row < ROWS; row++) {
        double found = cosine(rows, rows + row * DIMENSION);
        if (synthetic_topic(0) == synthetic_topic(row))
            same += found, sames++;
        else
            other += found, others++;
    }
    assert_true(sames > 0 && same / (double)sames > 0.15);
    assert_true(other / (double)others < 0.1 && other / (double)others > -0.1);
    for (size_t asked = 0; asked < ASKED; asked++) {
        double best = -1;
        for (size_t row = 0; row < ROWS; row++) {
            double found = cosine(questions + asked * DIMENSION, rows + row * DIMENSION);
            best = found > best ? found : best;
            assert_true(found < 0.999);
        }
        nearest += best / ASKED;
    }
    assert_true(nearest > 0.4);
    free(rows);
    free(questions);
    synthetic_destroy(&corpus);
}

static size_t words_of(const char *text)
{
    size_t words = 1;
    for (; *text; text++)
        words += *text == ' ';
    return words;
}

static void texts_have_the_lengths_that_are_promised(void **state)
{
    (void)state;
    char text[SYNTHETIC_TEXT], again[SYNTHETIC_TEXT];
    double passages = 0, questions = 0;
    for (uint64_t row = 0; row < ROWS; row++) {
        size_t size = synthetic_passage(row, text);
        assert_int_equal(size, strlen(text));
        assert_true(size + 1 < SYNTHETIC_TEXT);
        assert_in_range(words_of(text), 20, 400);
        passages += (double)words_of(text) / ROWS;
        synthetic_passage(row, again);
        assert_string_equal(text, again);
        size = synthetic_question(row, text);
        assert_int_equal(size, strlen(text));
        assert_in_range(words_of(text), 4, 18);
        questions += (double)words_of(text) / ROWS;
    }
    assert_true(passages > 100 && passages < 120);
    assert_true(questions > 9 && questions < 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_the_same_however_they_are_made),
        cmocka_unit_test(vectors_lie_in_clusters),
        cmocka_unit_test(texts_have_the_lengths_that_are_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
