// ragline-ask: text from outside made harmless, citations at sentence ends, words wrapped as they
// come.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <locale.h>

#include "cites.h"
#include "sanitize.h"
#include "style.h"
#include "words.h"

static const style_t pipe_style = {.columns = 80, .unicode = true};
static const style_t narrow = {.terminal = true, .columns = 21, .unicode = true};

// ---------------------------------------------------------------------------------------- clean

static void expect_line(const char *text, size_t columns, const char *wanted)
{
    rl_buf_t out = rl_buf_make(4096);
    rl_sanitize_line(&out, text, columns);
    assert_string_equal(out.data ? out.data : "", wanted);
    rl_buf_free(&out);
}

static void control_characters_become_harmless(void **state)
{
    (void)state;
    expect_line("a\033]0;title\007b", 0, "a\uFFFD]0;title\uFFFDb");
    expect_line("c1 \302\233"
                "31m",
                0, "c1 \uFFFD31m");
    expect_line("turn \u202Edehsinif", 0, "turn \uFFFDdehsinif");
    expect_line("bad \xff\xc3(", 0, "bad \uFFFD\uFFFD(");
    expect_line("cut \xe2\x82", 0, "cut \uFFFD\uFFFD");
    expect_line("\xed\xa0\x80", 0, "\uFFFD\uFFFD\uFFFD"); // a surrogate
}

static void white_space_becomes_one_space(void **state)
{
    (void)state;
    expect_line("  a \n\t b\r\n", 0, "a b");
    expect_line("", 0, "");
}

static void long_lines_are_cut_at_columns(void **state)
{
    (void)state;
    expect_line("abcdef", 6, "abcdef");
    expect_line("abcdefg", 6, "abcde…");
    expect_line("ØMQ äöü long", 6, "ØMQ ä…");
    expect_line("日本語日本語", 5, "日本…");
    assert_int_equal(rl_sanitize_columns("日本…"), 5);
}

static void json_keeps_its_meaning(void **state)
{
    (void)state;
    const char json[] = "{\"a\":\"\x7f\302\233\u202Eü\\n\"}\n";
    rl_buf_t out = rl_buf_make(4096);
    rl_sanitize_json(&out, json, sizeof json - 1);
    assert_string_equal(out.data, "{\"a\":\"\\u007f\\u009b\\u202eü\\n\"}\n");
    rl_buf_free(&out);
}

// ---------------------------------------------------------------------------------------- cites

static bool cites(const char *text, unsigned n)
{
    return cites_itself(text, strlen(text), n);
}

static void a_sentence_cites_by_itself(void **state)
{
    (void)state;
    assert_true(cites("It drops [2].", 2));
    assert_true(cites("It drops. [2] \n", 2));
    assert_true(cites("One [1]. It drops [1, 3].", 3));
    assert_false(cites("One [2]. It drops.", 2));
    assert_false(cites("It drops [12].", 2));
    assert_false(cites("array[2", 2));
    assert_false(cites("see [2](http://x) no: [ab2]", 7));
    assert_false(cites("", 1));
}

// ---------------------------------------------------------------------------------------- words

typedef struct written {
    char *text;
    size_t size;
    FILE *file;
    words_t *words;
} written_t;

static void begin(written_t *self, const style_t *style)
{
    self->file = open_memstream(&self->text, &self->size);
    assert_non_null(self->file);
    self->words = words_new(self->file, style, 1 << 16);
    assert_non_null(self->words);
}

static void add(written_t *self, const char *text)
{
    words_add(self->words, text, strlen(text));
}

// What a terminal would show: CSI n D goes back, CSI K clears to the end of the line. ASCII only.
static void play(char *text)
{
    char *out = text;
    for (const char *in = text; *in;) {
        int back = 0, used = 0;
        if (sscanf(in, "\033[%dD\033[K%n", &back, &used) == 1 && used > 0) {
            out -= back;
            in += used;
        } else {
            *out++ = *in++;
        }
    }
    *out = '\0';
}

static void expect(written_t *self, const char *wanted)
{
    words_end(self->words);
    fclose(self->file);
    play(self->text);
    assert_string_equal(self->text, wanted);
    words_destroy(&self->words);
    free(self->text);
}

static void a_pipe_gets_the_words_as_they_are(void **state)
{
    (void)state;
    written_t out;
    begin(&out, &pipe_style);
    add(&out, "\n\nA long line that would be wrapped on a terminal  \n");
    add(&out, "\n\tcode\033[2J\r\n");
    assert_string_equal(words_text(out.words),
                        "\n\nA long line that would be wrapped on a terminal  "
                        "\n\n\tcode\033[2J\r\n");
    expect(&out, "A long line that would be wrapped on a terminal  \n\n\tcode\uFFFD[2J\n");
}

static void words_move_to_the_next_line(void **state)
{
    (void)state;
    written_t out;
    begin(&out, &narrow); // 20 columns in use
    for (const char *p = "The limit is reached whenever nobody reads"; *p; p++)
        words_add(out.words, p, 1); // a word comes in pieces
    expect(&out, "The limit is reached\nwhenever nobody\nreads\n");
}

static void lists_go_on_under_their_text(void **state)
{
    (void)state;
    written_t out;
    begin(&out, &narrow);
    add(&out, "- one two three four five\n12. a b c d e f g h i j");
    expect(&out, "- one two three four\n  five\n12. a b c d e f g h\n    i j\n");
}

static void code_is_never_wrapped(void **state)
{
    (void)state;
    written_t out;
    begin(&out, &narrow);
    add(&out,
        "```c\nint a_line_that_is_long = 1; /* and goes on */\n```\nfirst second third fourth");
    expect(
        &out,
        "```c\nint a_line_that_is_long = 1; /* and goes on */\n```\nfirst second third\nfourth\n");
}

static void a_word_wider_than_the_line_is_broken(void **state)
{
    (void)state;
    written_t out;
    begin(&out, &narrow);
    add(&out, "a bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb c");
    expect(&out, "a\nbbbbbbbbbbbbbbbbbbbb\nbbbbbbbbbb c\n");
}

static void citations_stand_at_the_end_of_the_sentence(void **state)
{
    (void)state;
    written_t out;
    begin(&out, &pipe_style);
    add(&out, "It blocks.\n\n");
    words_cite(out.words, 3);
    words_cite(out.words, 3);
    words_cite(out.words, 12);
    add(&out, "It drops [2]. ");
    words_cite(out.words, 2);
    add(&out, "End.");
    words_cite(out.words, 1);
    expect(&out, "It blocks. [3] [12]\n\nIt drops [2]. End. [1]\n");
}

static void nothing_comes_to_nothing(void **state)
{
    (void)state;
    written_t out;
    begin(&out, &narrow);
    add(&out, " \n ");
    expect(&out, "");
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_become_harmless),
        cmocka_unit_test(white_space_becomes_one_space),
        cmocka_unit_test(long_lines_are_cut_at_columns),
        cmocka_unit_test(json_keeps_its_meaning),
        cmocka_unit_test(a_sentence_cites_by_itself),
        cmocka_unit_test(a_pipe_gets_the_words_as_they_are),
        cmocka_unit_test(words_move_to_the_next_line),
        cmocka_unit_test(lists_go_on_under_their_text),
        cmocka_unit_test(code_is_never_wrapped),
        cmocka_unit_test(a_word_wider_than_the_line_is_broken),
        cmocka_unit_test(citations_stand_at_the_end_of_the_sentence),
        cmocka_unit_test(nothing_comes_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
