// What passages say to a question, word for word: the right one, short, or nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "extract.h"
#include "utf8.h"

static rl_passage_t passage(const char *text)
{
    return (rl_passage_t){.doc = "", .title = "", .heading = "", .text = text};
}

static void expect(const char *question, const rl_passage_t *passages, size_t size, size_t from,
                   const char *wanted)
{
    size_t at = 99;
    double score = -1;
    char *text = rl_extract_quote(question, passages, size, &at, &score);
    if (!wanted) {
        assert_null(text);
        return;
    }
    assert_non_null(text);
    assert_string_equal(text, wanted);
    assert_int_equal(at, from);
    assert_true(score > 0 && score <= 1);
    free(text);
}

static void the_passage_that_says_it_is_quoted(void **state)
{
    (void)state;
    const rl_passage_t passages[] = {
        passage("The Kestrel pump moves cooling water through the reactor hall, all day long."),
        passage(
            "# Pressure\n\nThe Kestrel pump runs at a pressure\nof 42 bar. Bananas are yellow."),
    };
    expect("What pressure does the Kestrel pump run at?", passages, 2, 1,
           "The Kestrel pump runs at a pressure of 42 bar. Bananas are yellow.");
    expect("How heavy are the pump's bolts and washers?", passages, 2, 0, NULL);
    expect("cooling water", passages, 2, 0,
           "The Kestrel pump moves cooling water through the reactor hall, all day long.");
}

// What is around the sentence comes along where it is about the same, or the sentence is short.
static void what_is_around_it_comes_along(void **state)
{
    (void)state;
    char text[2000];
    snprintf(text, sizeof text, "%s %s %s %s", "Geese are grey and fly far.",
             "A pump that was not greased with lithium grease every 300 hours squeals, which the "
             "operators of the reactor hall hear from far away.",
             "The grease nipple sits behind the blue cover.", "Geese again.");
    const rl_passage_t one = passage(text);
    expect("How often must lithium grease be used?", &one, 1, 0,
           "A pump that was not greased with lithium grease every 300 hours squeals, which the "
           "operators of the reactor hall hear from far away. The grease nipple sits behind the "
           "blue cover.");
}

static void nothing_is_quoted_that_does_not_match(void **state)
{
    (void)state;
    const rl_passage_t one = passage("The Kestrel pump moves cooling water. It is blue."),
                       empty = passage("");
    expect("Where do bananas grow?", &one, 1, 0, NULL);
    expect("", &one, 1, 0, NULL);
    expect("What is it?", &one, 1, 0, NULL);
    expect("Kestrel", &empty, 1, 0, NULL);
    expect("Kestrel", &one, 0, 0, NULL);
}

// A sentence without an end is cut between words, between characters in any case.
static void it_stays_short(void **state)
{
    (void)state;
    char words[800] = "", no_words[800] = "kestrel";
    while (strlen(words) < 700)
        strcat(words, "kestrel ");
    while (strlen(no_words) < 700)
        strcat(no_words, "\xc3\xa4");
    const rl_passage_t both[] = {passage(words), passage(no_words)};
    const char *const questions[] = {"kestrel", no_words};
    for (size_t each = 0; each < 2; each++) {
        size_t at, size;
        double score;
        char *text = rl_extract_quote(questions[each], both, 2, &at, &score);
        assert_non_null(text);
        size = strlen(text);
        assert_int_equal(at, each);
        assert_in_range(size, 100, 604);
        assert_true(rl_utf8_valid(text, size));
        assert_string_equal(text + size - 3, "\xe2\x80\xa6");
        free(text);
    }
}

static void sentences_come_best_first_then_in_order(void **state)
{
    (void)state;
    const rl_passage_t passages[] = {
        passage("Kestrel pumps are blue. Nothing else is said. Kestrel pumps run all the time."),
        passage("The pressure of Kestrel pumps is 42 bar. Kestrel pumps are blue."),
    };
    rl_extracted_t found[8];
    size_t size = rl_extract("Kestrel pumps pressure bar", passages, 2, found, 1);
    assert_int_equal(size, 1);
    assert_int_equal(found[0].passage, 1);
    assert_memory_equal(found[0].text, "The pressure of", 15);
    size = rl_extract("Kestrel pumps", passages, 2, found, 8);
    assert_int_equal(size, 3); // what is said twice comes once
    assert_int_equal(found[0].passage, 0);
    for (size_t at = 2; at < size; at++)
        assert_true(found[at - 1].passage < found[at].passage ||
                    found[at - 1].text < found[at].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_passage_that_says_it_is_quoted),
        cmocka_unit_test(what_is_around_it_comes_along),
        cmocka_unit_test(nothing_is_quoted_that_does_not_match),
        cmocka_unit_test(it_stays_short),
        cmocka_unit_test(sentences_come_best_first_then_in_order),
    };
    return cmocka_run_group_tests_name("extract", tests, NULL, NULL);
}
