// Where sentences end.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sentence.h"

static void sentences_end_where_they_should(void **state)
{
    (void)state;
    // "|" marks where a sentence ends
    static const char *const rows[] = {
        "One.| Two!| Three?",
        "See e.g. the page of Dr. Smith et al. here.| Next.",
        "Version 7.88.1 of lib.so is out.| J. R. Doe wrote it.",
        "He manifest \"stop.\"| Then (he left.)| Gone",
        "Run `a. b` now.| Done",
        "今天很好。|明天呢？|好！",
        "यह वाक्य है।| दूसरा",
        "It stops... and goes on.| End",
        "- one item\n|- two. items\n|3. three",
        "No end at all",
        "What?!| Yes.",
        "etc. and so on",
        "One two",
        "\"Quoted.\"| Next",
        "A line\nand more.| X",
        "A line\r\nand more.| X",
        "Title\n\n|Text.",
        "Title\r\n\r\n|Text.",
        "1. Item one.| Two",
        "Really?!| Yes.",
        "v1.2 is out.| Yes",
        "  \n\n First.| Next",
        "一二。|三",
        "broken \xe3\x80 bytes.| Next\xff",
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        char text[200];
        size_t ends[10], count = 0, size = 0;
        for (const char *at = rows[row]; *at; at++) {
            if (*at == '|')
                ends[count++] = size;
            else
                text[size++] = *at;
        }
        ends[count] = size;
        size_t from = 0;
        for (size_t n = 0; from < size; n++) {
            size_t end = rl_sentence_end(text, size, from);
            size_t wanted = n <= count ? ends[n] : 0;
            while (wanted > from && strchr(" \r\n", text[wanted - 1]))
                wanted--;
            if (end != wanted)
                fail_msg("\"%s\": sentence %zu ends at %zu, not %zu", rows[row], n, end, wanted);
            for (from = end; from < size && strchr(" \r\n", text[from]);)
                from++;
        }
    }
}

static void ends_lie_within_the_text(void **state)
{
    (void)state;
    static const char text[] = "One. `two. Three\n- f\xe3\x80\x82 \xe3\x80 ...";
    for (size_t size = 0; size < sizeof text; size++) {
        char *copy = malloc(size + 1); // of exactly its size, so that a read beyond it is seen
        memcpy(copy, text, size);
        copy = realloc(copy, size ? size : 1);
        for (size_t from = 0; from < size;) {
            size_t end = rl_sentence_end(copy, size, from);
            assert_true(end > from && end <= size);
            from = end;
        }
        free(copy);
    }
}

static void some_scripts_put_no_blank_behind_a_full_stop(void **state)
{
    (void)state;
    static const char *const stops[] = {"一。", "一！", "一？", "है।", "نعم؟"};
    static const char *const others[] = {"", "a", "a.", "一", "é", "。a"};
    for (size_t at = 0; at < sizeof stops / sizeof *stops; at++)
        assert_true(rl_sentence_has_full_stop(stops[at], strlen(stops[at])));
    for (size_t at = 0; at < sizeof others / sizeof *others; at++)
        assert_false(rl_sentence_has_full_stop(others[at], strlen(others[at])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_end_where_they_should),
        cmocka_unit_test(ends_lie_within_the_text),
        cmocka_unit_test(some_scripts_put_no_blank_behind_a_full_stop),
    };
    return cmocka_run_group_tests_name("sentence", tests, NULL, NULL);
}
