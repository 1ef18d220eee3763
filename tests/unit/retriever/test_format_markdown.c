// Markdown and plain text: blocks, what a reader sees of a line, titles, front matter.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index_help.h"
#include "markdown_inline.h"

static const format_t *md = &format_markdown;

static void headings_and_paragraphs(void **state)
{
    (void)state;
    help_expect(md, "# One\ntext\nmore\n\n## Two ##\n\nThree\n=====\nFour\n----\nend\n", "One",
                "H1 One|P text/more|H2 Two|H1 Three|H2 Four|P end|");
    help_expect(md, "####### seven\n\n#no space\n", "", "P ####### seven|P #no space|");
    help_expect(md, "", "", "");
    help_expect(md, "\n \n\t\n", "", "");
}

static void code_is_kept_as_it_is(void **state)
{
    (void)state;
    help_expect(md, "a\n\n```c\nint *x;\n\n# no heading\n```\n\nb\n", NULL,
                "P a|L int *x;//# no heading|P b|");
    help_expect(md, "~~~\n```\n~~~\n", NULL, "L ```|");
    help_expect(md, "text:\n\n    code *a*\n\n    more\n\nend\n", NULL,
                "P text:|L     code *a*//    more|P end|");
    help_expect(md, "```\nnever closed\n", NULL, "L never closed|");
}

static void lists_and_quotes(void **state)
{
    (void)state;
    help_expect(md, "- one\n- two\n  goes on\n\n1. first\n2. second\n", NULL,
                "P - one/- two/  goes on|P 1. first/2. second|");
    help_expect(md, "> quoted\n> > deeper\nlazy\n", NULL, "P quoted/deeper/lazy|");
}

static void tables_stay_tables(void **state)
{
    (void)state;
    help_expect(md, "| a | b |\n|---|:-:|\n| 1 | `x` |\n\nend\n", NULL,
                "L | a | b |/| 1 | `x` ||P end|");
}

static void what_a_reader_sees_of_a_line(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"[words](http://e/x \"t\")", "words"},
        {"![alt](i.png) and [a *b*][ref]", "alt and a b"},
        {"<http://e/x> <a@b.c>", "http://e/x a@b.c"},
        {"**bold** _em_ ~~gone~~", "bold em gone"},
        {"zmq_send_const snake_case 2 * 3", "zmq_send_const snake_case 2 * 3"},
        {"`a_b *c*` ``x`y``", "`a_b *c*` ``x`y``"},
        {"a &amp; b &lt;c&gt; &#x41;&#66; &bogus; AT&T", "a & b <c> AB &bogus; AT&T"},
        {"\\*no\\* \\[x\\]", "*no* [x]"},
        {"a<br>b <b>c</b> <!-- gone --> 1 < 2 > 0", "a\nb c  1 < 2 > 0"},
        {"[not a link] [x]: y", "[not a link] [x]: y"},
        {"[unclosed](http://e", "[unclosed](http://e"},
        {"&#0; &#xD800;", "\xef\xbf\xbd \xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        rl_buf_t out = rl_buf_make(1000);
        markdown_inline(pairs[i][0], strlen(pairs[i][0]), &out);
        assert_string_equal(out.data, pairs[i][1]);
        rl_buf_free(&out);
    }
}

static void front_matter_gives_title_and_metadata(void **state)
{
    (void)state;
    document_t doc;
    help_read(md, "---\nTitle: \"The Guide\"\nweight: 3\n# no\n---\n# Heading\n\ntext\n", &doc);
    assert_string_equal(doc.title, "The Guide");
    assert_string_equal(doc.meta, "{\"weight\":\"3\"}");
    assert_int_equal(doc.blocks_size, 2);
    document_free(&doc);
    help_expect(md, "---\n\ntext after a rule\n", "", "P text after a rule|");
}

static void marks_that_never_end(void **state)
{
    (void)state;
    // would take for ever if every mark looked to the end of the text for its partner
    size_t size = 1 << 20;
    char *text = malloc(size + 1);
    static const char *const marks[] = {"[",  "<!--", "`",  "*",     "![](",
                                        "<a", "&#",   "> ", "```\n", "|-"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t length = strlen(marks[i]);
        for (size_t at = 0; at + length <= size; at += length)
            memcpy(text + at, marks[i], length);
        text[size - size % length] = '\0';
        document_t doc;
        help_read(md, text, &doc);
        document_free(&doc);
    }
    free(text);
}

static void random_markdown_makes_sound_documents(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 100; seed++) {
        char *text = help_random_text(seed, 2000);
        document_t doc;
        help_read(md, text, &doc);
        document_free(&doc);
        help_read(&format_plain, text, &doc);
        assert_string_equal(doc.text.data, text);
        document_free(&doc);
        free(text);
    }
}

static void plain_text(void **state)
{
    (void)state;
    help_expect(&format_plain, "Title\n=====\n\none\ntwo\n\n  indented\n  lines\n\n  one line\n",
                "Title", "H1 Title|P one/two|L   indented/  lines|P one line|");
    help_expect(&format_plain, "A\n---\nB\n---\nC", "A", "H2 A|H2 B|P C|");
    document_t doc;
    const char *text = "first\n\n\n  second, as it stands\n";
    help_read(&format_plain, text, &doc);
    assert_string_equal(doc.text.data, text);
    assert_int_equal(doc.blocks[1].start, 10);
    document_free(&doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headings_and_paragraphs),
        cmocka_unit_test(code_is_kept_as_it_is),
        cmocka_unit_test(lists_and_quotes),
        cmocka_unit_test(tables_stay_tables),
        cmocka_unit_test(what_a_reader_sees_of_a_line),
        cmocka_unit_test(front_matter_gives_title_and_metadata),
        cmocka_unit_test(marks_that_never_end),
        cmocka_unit_test(random_markdown_makes_sound_documents),
        cmocka_unit_test(plain_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
