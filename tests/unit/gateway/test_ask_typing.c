// ragline-ask at a terminal: bytes as keys, the line that they edit, where it stands on a screen,
// and how fast somebody types.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "line.h"
#include "pace.h"

static void type(line_t *line, typed_t *typed, const char *bytes, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        typed_key_t key = typed_take(typed, bytes[at]);
        if (key == TYPED_TEXT)
            line_insert(line, typed->bytes, typed->size);
        else if (key == TYPED_ENTER)
            line_done(line);
        else
            line_key(line, key);
    }
}

// What stands there after these bytes, with | for the cursor.
static void check(const char *bytes, const char *expected)
{
    typed_t typed = {0};
    line_t *line = line_new(1000);
    char shown[1100];
    type(line, &typed, bytes, strlen(bytes));
    size_t cursor = line_cursor(line);
    snprintf(shown, sizeof shown, "%.*s|%s", (int)cursor, line_text(line),
             line_text(line) + cursor);
    assert_string_equal(shown, expected);
    line_destroy(&line);
    assert_null(line);
}

static void keys_edit_the_line(void **state)
{
    (void)state;
    check("", "|");
    check("one two", "one two|");
    check("one two\033[D\033[D", "one t|wo");
    check("one\033OD\033OD\033OCx", "onx|e");
    check("one\001x\005y", "xoney|");
    check("one\033[Hx\033[Fy\033[1~z\033[4~!", "zxoney!|");
    check("one\002\002\006-", "on-|e");
    check("one two three\033b\033bX\033f", "one Xtwo| three");
    check("one two\033[1;5D\033[1;3D\033[1;5C", "one| two");
    check("ab\177\010c", "c|");
    check("abc\002\033[3~", "ab|");
    check("abc\001\033[3~", "|bc");
    check("one two  \027x", "one x|");
    check("one two\033\177", "one |");
    check("one two\001\033d", "| two");
    check("one two\002\002\025", "|wo");
    check("one two\002\002\013", "one t|");
    check("one two\027\001\031 ", "two |one ");
    check("a\tb", "a b|");
}

static void what_means_nothing_does_nothing(void **state)
{
    (void)state;
    check("a\033[5~\033[99~\033[;~\033OP\033x\026\022\003b", "ab|");
    check("a\033[1;2;3;4;5;6;7;8;9;10;11;12;13Cb", "ab|"); // longer than any
    check("a\033[12\033[Db", "b|a");
    check("a\033\033[Db", "b|a");
    check("\177\004\010\033d\033b\027\025\013\031|", "||");
    check("\x80\xff\xc3(\xe2\x82z", "(z|");             // no characters, and such that never ended
    check("\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80", "|"); // overlong, surrogate, beyond the last
    check("\u202e\u2066\xc2\x85\xef\xbb\xbf x", " x|"); // what would turn the direction
}

static void characters_stay_whole(void **state)
{
    (void)state;
    check("日本語\177", "日本|");
    check("日本語\033[D\033[Dx", "日x|本語");
    check("ne\u0301e\002\002x", "nx|e\u0301e");
    check("e\u0301\177", "|");
    check("\xf0\x9f\x98\x80x\001\033[3~", "|x");
}

static void lines_before_come_back(void **state)
{
    (void)state;
    check("one\rtwo\r\033[A", "two|");
    check("one\rtwo\rthree\033[A\033[A", "one|");
    check("one\rtwo\rthree\033[A\033[A\033[A\033[B", "two|");
    check("one\rtwo\rthree\020\020\016\016\016", "three|");
    check("one\r   \r\033[A", "one|");
    check("one\rone\rtwo\033[A\033[A\033[B\033[B", "two|"); // the same twice is there once
    check("one\r\033[A two\r\033[A", "one two|");
    typed_t typed = {0};
    line_t *line = line_new(100);
    char text[32];
    for (int at = 0; at < 300; at++) {
        snprintf(text, sizeof text, "line %d\r", at);
        type(line, &typed, text, strlen(text));
    }
    for (int at = 0; at < 300; at++)
        line_key(line, TYPED_UP);
    assert_string_equal(line_text(line), "line 200"); // a hundred are kept
    line_destroy(&line);
}

static void a_line_has_a_bound(void **state)
{
    (void)state;
    typed_t typed = {0};
    line_t *line = line_new(5);
    assert_true(line_insert(line, "日", 3));
    assert_false(line_insert(line, "本", 3));
    assert_true(line_insert(line, "ab", 2));
    assert_false(line_insert(line, "c", 1));
    type(line, &typed, "\177\001xyz\025", 6);
    assert_string_equal(line_text(line), "日a");
    line_key(line, TYPED_YANK);
    assert_string_equal(line_text(line), "x日a");
    line_destroy(&line);
}

static void check_laid(const char *text, size_t from, size_t columns, size_t row, size_t column,
                       const char *shown)
{
    rl_buf_t out = rl_buf_make(1000);
    rl_buf_adds(&out, "");
    line_place_t place = line_lay(text, strlen(text), from, columns, &out);
    assert_int_equal(place.row, row);
    assert_int_equal(place.column, column);
    assert_string_equal(out.data, shown);
    rl_buf_free(&out);
}

static void it_stands_where_it_should(void **state)
{
    (void)state;
    check_laid("", 2, 10, 0, 2, "");
    check_laid("abc", 2, 10, 0, 5, "abc");
    check_laid("abcdefgh", 2, 10, 1, 0, "abcdefgh\r\n"); // the cursor stands on the next row
    check_laid("abcdefghi", 2, 10, 1, 1, "abcdefgh\r\ni");
    check_laid("日本語", 2, 7, 1, 2, "日本\r\n語"); // half a character does not fit
    check_laid("日本", 2, 6, 1, 0, "日本\r\n");
    check_laid("abe\u0301", 2, 5, 1, 0, "abe\u0301\r\n");
    check_laid("0123456789", 0, 4, 2, 2, "0123\r\n4567\r\n89");
}

enum {
    MS = 1000
};

static void the_pace_is_learnt(void **state)
{
    (void)state;
    pace_t pace = {0};
    char text[64] = "";
    uint64_t now = 1;
    for (size_t at = 0; at < 30; at++) {
        text[at] = 'x';
        long ms = pace_typed(&pace, text, now += 120 * MS);
        assert_int_equal(ms, at < 5 ? 480 : 240); // from five times between keys on
    }
    assert_int_equal(pace_typed(&pace, "xxx.", now += MS), 130);
    assert_int_equal(pace_typed(&pace, "xxx？ ", now += MS), 130);
    assert_int_equal(pace_typed(&pace, "something that was pasted in whole", now += MS), 130);
    pace_again(&pace);
    assert_int_equal(pace_typed(&pace, "x", now += 5000 * MS), 240); // the same person
    pace_again(&pace);
    memset(text, 0, sizeof text);
    for (size_t at = 0; at < 60; at++) {
        text[at] = 'y';
        pace_typed(&pace, text, now += 700 * MS);
    }
    assert_int_equal(pace_typed(&pace, "y", now + MS), 800); // no longer than this
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_edit_the_line),    cmocka_unit_test(what_means_nothing_does_nothing),
        cmocka_unit_test(characters_stay_whole), cmocka_unit_test(lines_before_come_back),
        cmocka_unit_test(a_line_has_a_bound),    cmocka_unit_test(it_stands_where_it_should),
        cmocka_unit_test(the_pace_is_learnt),
    };
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
