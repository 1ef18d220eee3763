// Citations: the same ones however the answer's text is cut, and none where nothing supports it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cite.h"
#include "text_terms.h"

static const rl_passage_t passages[] = {
    {.title = "zmq_setsockopt",
     .heading = "ZMQ_SNDHWM",
     .text =
         "The ZMQ_SNDHWM option shall set the high water mark for outbound messages on the "
         "specified socket. The default value is 1000 messages. A value of zero means no limit."},
    {.title = "curl",
     .heading = "--max-time",
     .text = "Maximum time in seconds that you allow each transfer to take. This is useful for "
             "preventing your batch jobs from hanging for hours due to slow networks."},
    {.title = "zmq_ctx_new",
     .heading = "",
     .text =
         "The zmq_ctx_new() function creates a new context. Contexts are thread safe and may be "
         "shared among as many application threads as necessary."},
};

// The text with what was found put in, given in pieces of `step` bytes.
static const char *cited(const char *text, size_t step)
{
    static char out[4096];
    size_t used = 0, size = strlen(text);
    cite_found_t found[CITE_MAX];
    cite_t *cite = cite_new();
    out[0] = '\0';
    cite_learn(cite, passages, 3);
    for (size_t at = 0; at < size;) {
        size_t piece = size - at < step ? size - at : step, found_size;
        while (piece > 0) {
            size_t took = cite_take(cite, text + at, piece, found, &found_size);
            used += (size_t)snprintf(out + used, sizeof out - used, "%.*s", (int)took, text + at);
            for (size_t each = 0; each < found_size; each++)
                used +=
                    (size_t)snprintf(out + used, sizeof out - used, "<%u>", found[each].passage);
            at += took;
            piece -= took;
        }
    }
    size_t last = cite_end(cite, found);
    for (size_t each = 0; each < last; each++)
        used += (size_t)snprintf(out + used, sizeof out - used, "<%u>", found[each].passage);
    cite_destroy(&cite);
    return out;
}

static void check(const char *text, const char *expected)
{
    assert_string_equal(cited(text, strlen(text)), expected);
}

static void a_sentence_gets_the_passage_that_supports_it(void **state)
{
    (void)state;
    check("The default value of ZMQ_SNDHWM is 1000 messages.",
          "The default value of ZMQ_SNDHWM is 1000 messages.<1>");
    check("Contexts are thread safe. Use --max-time to set the maximum time in seconds.",
          "Contexts are thread safe.<3> Use --max-time to set the maximum time in seconds.<2>");
    check("Contexts may be shared among threads\nMaximum time for each transfer\n",
          "Contexts may be shared among threads<3>\nMaximum time for each transfer\n<2>");
}

static void what_nothing_supports_gets_none(void **state)
{
    (void)state;
    check("Bananas are yellow fruit that grow in the tropics. I hope this helps!",
          "Bananas are yellow fruit that grow in the tropics. I hope this helps!");
    check("Sockets were invented in Berkeley in 1983 by several people.",
          "Sockets were invented in Berkeley in 1983 by several people.");
    check("", "");
    check("... !!! ???", "... !!! ???");
}

static void numbers_that_the_model_wrote_are_taken(void **state)
{
    (void)state;
    check("Contexts are thread safe [2]. More.", "Contexts are thread safe [2].<2> More.");
    check("Contexts are thread safe.[2] More.", "Contexts are thread safe.[2]<2> More.");
    check("Contexts are thread safe. [1, 3] More.", "Contexts are thread safe. [1, 3]<1><3> More.");
    check("Contexts are thread safe [9]. More.", "Contexts are thread safe [9].<3> More.");
    check("Contexts are thread safe. [see below] More.",
          "Contexts are thread safe.<3> [see below] More.");
}

static void abbreviations_and_numbers_end_nothing(void **state)
{
    (void)state;
    check("The default of, e.g. ZMQ_SNDHWM, is 1000 messages. 1. Contexts are thread safe",
          "The default of, e.g. ZMQ_SNDHWM, is 1000 messages.<1> 1. Contexts are thread safe<3>");
    // one sentence; the passages know another number, so none supports it
    check("The default is 3.14 messages of ZMQ_SNDHWM",
          "The default is 3.14 messages of ZMQ_SNDHWM");
}

static void the_cut_makes_no_difference_but_white_space(void **state)
{
    (void)state;
    static const char text[] =
        "Contexts are thread safe. The default value of ZMQ_SNDHWM is 1000 messages. "
        "Bananas are yellow. Maximum time in seconds.[2] Done.";
    for (size_t step = 1; step < sizeof text; step++) {
        char got[512], without[512];
        size_t used = 0, plain = 0, cites = 0;
        snprintf(got, sizeof got, "%s", cited(text, step));
        for (const char *at = got; *at; at++) {
            if (*at == '<') {
                cites = cites * 10 + (size_t)(at[1] - '0');
                at += 2;
            } else {
                without[plain++] = *at;
            }
        }
        without[plain] = '\0';
        (void)used;
        assert_string_equal(without, text); // nothing lost, nothing doubled
        assert_int_equal(cites, 312);       // the third, the first, the second
    }
}

static void chinese_and_japanese_sentences_end_too(void **state)
{
    (void)state;
    static const char text[] = "\xe4\xb8\x80\xe4\xba\x8c\xe3\x80\x82\xe4\xb8\x89";
    check(text, text);
}

static void words_meet_their_other_forms(void **state)
{
    (void)state;
    static const char *const same[][2] = {{"sockets", "Socket"},
                                          {"connecting", "connects"},
                                          {"uses", "use"},
                                          {"messages", "message"},
                                          {"sizes", "size"}};
    for (size_t at = 0; at < sizeof same / sizeof *same; at++) {
        uint32_t one = 0, two = 0;
        rl_text_terms_t first = rl_text_terms(same[at][0], strlen(same[at][0]));
        rl_text_terms_t second = rl_text_terms(same[at][1], strlen(same[at][1]));
        assert_true(rl_text_terms_next(&first, &one) && rl_text_terms_next(&second, &two));
        if (one != two)
            fail_msg("%s and %s differ", same[at][0], same[at][1]);
    }
    uint32_t hash;
    rl_text_terms_t none = rl_text_terms("the of and, to - ?!", 19);
    assert_false(rl_text_terms_next(&none, &hash));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sentence_gets_the_passage_that_supports_it),
        cmocka_unit_test(what_nothing_supports_gets_none),
        cmocka_unit_test(numbers_that_the_model_wrote_are_taken),
        cmocka_unit_test(abbreviations_and_numbers_end_nothing),
        cmocka_unit_test(the_cut_makes_no_difference_but_white_space),
        cmocka_unit_test(chinese_and_japanese_sentences_end_too),
        cmocka_unit_test(words_meet_their_other_forms),
    };
    return cmocka_run_group_tests_name("cite", tests, NULL, NULL);
}
