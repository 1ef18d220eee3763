// Markdown and plain text: blocks, what a reader sees of a line, titles, front matter.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index_help.h"

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
                "P text:|L code *a*//more|P end|");
    help_expect(md, "```\nnever closed\n", NULL, "L never closed|");
    help_expect(md, "- item\n\n      code &amp;\n\n  more\n", NULL,
                "P - item|L code &amp;|P more|");
}

static void lists_and_quotes(void **state)
{
    (void)state;
    help_expect(md, "* one\n* two\n  goes on\n\n1. first\n2. second\n", NULL,
                "P - one/- two/  goes on|P 1. first/2. second|");
    help_expect(md, "- a\n  - b\n    - c\n- d\n-\n- e\n", NULL, "P - a/  - b/    - c/- d/- e|");
    help_expect(md, "- a\n\n- b\n\n  more\n", NULL, "P - a|P - b|P more|");
    help_expect(md, "3) c\n4) d\n", NULL, "P 3. c/4. d|");
    help_expect(md, "> quoted\n> > deeper\nlazy\n", NULL, "P quoted|P deeper/lazy|");
}

static void tables_stay_tables(void **state)
{
    (void)state;
    help_expect(md, "| a | b |\n|---|:-:|\n| 1 | `x`<br>y |\n\nend\n", NULL,
                "L | a | b |/| 1 | `x` y ||P end|");
    help_expect(md, "a|b\n-|-\n1|2\n", NULL, "L | a | b |/| 1 | 2 ||");
}

static void html_is_read_as_html(void **state)
{
    (void)state;
    help_expect(md, "<h1 align=center>Name</h1>\n\n<!-- no\n\nno -->\n\ntext\n", "Name",
                "H1 Name|P text|");
    help_expect(md, "<table><tr><td>a<td>b</table>\n\n<script>\nno()\n</script>\n", NULL,
                "L a | b|");
    help_expect(md, "<details>\n\n*inside*\n\n</details>\n", NULL, "P inside|");
}

static void what_a_reader_sees_of_a_line(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"[words](http://e/x \"t\")", "P words|"},
        {"![alt](i.png) and [a *b*][ref]\n\n[ref]: http://e/x", "P alt and a b|"},
        {"<http://e/x> <a@b.c>", "P http://e/x a@b.c|"},
        {"**bold** _em_ ~~gone~~", "P bold em gone|"},
        {"zmq_send_const snake_case 2 * 3", "P zmq_send_const snake_case 2 * 3|"},
        {"x `a_b *c*` y", "P x `a_b *c*` y|"},
        {"a &amp; b &lt;c&gt; &#x41;&#66; &bogus; AT&T &hellip;", "P a & b <c> AB &bogus; AT&T …|"},
        {"\\*no\\* \\[x\\]", "P *no* [x]|"},
        {"a<br>b <b>c</b> <!-- gone --> 1 < 2 > 0", "P a/b c  1 < 2 > 0|"},
        {"a  \nb", "P a/b|"},
        {"[not a link] [x]: y", "P [not a link] [x]: y|"},
        {"[unclosed](http://e", "P [unclosed](http://e|"},
        {"&#0; &#xD800;", "P \xef\xbf\xbd \xef\xbf\xbd|"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        help_expect(md, pairs[i][0], "", pairs[i][1]);
}

// ---- front matter -------------------------------------------------------------------------------

// What becomes of these lines of front matter.
static void expect_meta(const char *yaml, const char *meta)
{
    document_t doc;
    char *text = NULL;
    assert_true(asprintf(&text, "---\n%s\n---\ntext\n", yaml) > 0);
    help_read(md, text, &doc);
    assert_string_equal(doc.meta, meta);
    if (doc.note)
        fail_msg("%s", doc.note);
    document_free(&doc);
    free(text);
}

static void front_matter_gives_title_and_metadata(void **state)
{
    (void)state;
    document_t doc;
    help_read(md, "---\nTitle: \"The Guide\"\nweight: 3\n# no\n---\n# Heading\n\ntext\n", &doc);
    assert_string_equal(doc.title, "The Guide");
    assert_string_equal(doc.meta, "{\"weight\":3}");
    assert_int_equal(doc.blocks_size, 2);
    document_free(&doc);
    help_expect(md, "---\ntitle: 2021\n...\ntext\n", "2021", "P text|");
    help_expect(md, "---\n---\ntext\n", "", "P text|");
}

static void scalars_have_the_types_of_the_core_schema(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"a: true\nb: False\nc: yes\nd: off",
         "{\"a\":true,\"b\":false,\"c\":\"yes\",\"d\":\"off\"}"},
        {"a: 2021\nb: -7\nc: +7\nd: 007", "{\"a\":2021,\"b\":-7,\"c\":7,\"d\":7}"},
        {"a: 0o17\nb: 0xfF\nc: 0x\nd: 1_000\ne: 0b1",
         "{\"a\":15,\"b\":255,\"c\":\"0x\",\"d\":\"1_000\",\"e\":\"0b1\"}"},
        {"a: 1.5\nb: -.5\nc: 1e3\nd: 1.2.3\ne: .inf\nf: .nan\ng: 1e999",
         "{\"a\":1.5,\"b\":-0.5,\"c\":1000.0,\"d\":\"1.2.3\",\"e\":\".inf\",\"f\":\".nan\","
         "\"g\":\"1e999\"}"},
        {"a: 123456789012345678901", "{\"a\":\"123456789012345678901\"}"},
        {"a: 0x-1\nb: +-1\nd: 12:30\ne: inf",
         "{\"a\":\"0x-1\",\"b\":\"+-1\",\"d\":\"12:30\",\"e\":\"inf\"}"},
        {"a: null\nb: ~\nc:\nd: 'null'\ne: ''",
         "{\"a\":null,\"b\":null,\"c\":null,\"d\":\"null\",\"e\":\"\"}"},
        {"a: \"2021\"\nb: 'true'", "{\"a\":\"2021\",\"b\":\"true\"}"},
        {"a: 2026-05-24\nb: 2026-05-24T10:00:00Z",
         "{\"a\":\"2026-05-24\",\"b\":\"2026-05-24T10:00:00Z\"}"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        expect_meta(pairs[i][0], pairs[i][1]);
}

static void front_matter_has_lists_blocks_and_members(void **state)
{
    (void)state;
    expect_meta("tags: [c, 1]\nauthors:\n  - Ann\n  - Bo",
                "{\"tags\":[\"c\",1],\"authors\":[\"Ann\",\"Bo\"]}");
    expect_meta("a: >\n  Folded\n  text\nb: |\n  two\n  lines",
                "{\"a\":\"Folded text\",\"b\":\"two\\nlines\"}");
    expect_meta("a: &x [1]\nb: *x", "{\"a\":[1],\"b\":[1]}");
    expect_meta("o:\n  i: 1\n  j: {k: x}", "{\"o\":{\"i\":1,\"j\":{\"k\":\"x\"}}}");
}

// The note for a file that begins with this; its text is kept whole.
static void expect_note(const char *text, const char *note)
{
    document_t doc;
    help_read(md, text, &doc);
    assert_string_equal(doc.meta, "");
    assert_string_equal(doc.title, "");
    assert_non_null(doc.note);
    if (!strstr(doc.note, note))
        fail_msg("\"%s\" does not say \"%s\"", doc.note, note);
    assert_non_null(strstr(doc.text.data, "end of it"));
    assert_int_equal(memcmp(doc.text.data, text, 8), 0);
    document_free(&doc);
}

static void front_matter_that_cannot_be_read_stays_text(void **state)
{
    (void)state;
    expect_note("---\na: 1\nb: c: d\n---\nend of it\n", "line 3: ");
    expect_note("---\nno fields\n---\nend of it\n", "line 2: ");
    expect_note("---\na: [1\n---\nend of it\n", "line ");
    expect_note("---\na: &x [*x]\n---\nend of it\n", "too deep");
    expect_note("---\na: &a [1, 1, 1, 1, 1, 1, 1, 1]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\n"
                "c: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c]\n"
                "---\nend of it\n",
                "too many");
    expect_note("---\na: 1\n--- b\n---\nend of it\n", "more than one");
    expect_note("---\n? [a]\n: b\n---\nend of it\n", "no text");
    expect_note("---\na: [[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]\n---\nend of it\n", "too deep");
    char *many = malloc(20000), *at = many + sprintf(many, "---\na: [");
    for (int i = 0; i < 5000; i++)
        at += sprintf(at, "1, ");
    sprintf(at, "1]\n---\nend of it\n");
    expect_note(many, "too many values");
    at = many + sprintf(many, "---\na: &x %04000d\nb: [", 1);
    for (int i = 0; i < 50; i++)
        at += sprintf(at, "*x, ");
    sprintf(at, "1]\n---\nend of it\n");
    expect_note(many, "too many bytes");
    at = many + sprintf(many, "---\na: 1\nb: ");
    for (int i = 0; i < 5000; i++)
        at += sprintf(at, "[");
    sprintf(at, "\n---\nend of it\n");
    expect_note(many, "line 3: front matter: nested too deep");
    free(many);
}

static void a_rule_is_no_front_matter(void **state)
{
    (void)state;
    help_expect(md, "---\n\ntext after a rule\n", "", "P text after a rule|");
    help_expect(md, "---\n\notters: they swim\n\n---\n\nstorks\n", "",
                "P otters: they swim|P storks|");
    help_expect(md, "---\ntitle: never closed\n", "", "P title: never closed|");
    help_expect(md, "text\n---\na: 1\n---\n", NULL, "H2 text|H2 a: 1|");
}

// ---- foreign bytes ------------------------------------------------------------------------------

static void marks_that_never_end(void **state)
{
    (void)state;
    // would take for ever if every mark looked to the end of the text for its partner
    size_t size = 1 << 20;
    char *text = malloc(size + 1);
    static const char *const marks[] = {"[",  "<!--",  "`",  "*",  "![](",   "<a",     "&#",
                                        "> ", "```\n", "|-", "- ", "&ouml;", "[a](b) "};
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

static void few_bytes_do_not_grow(void **state)
{
    (void)state;
    char why[200];
    document_t doc;
    // rows are filled up to the number of columns
    size_t columns = 20000, room = 8 * columns, used = 0;
    char *text = malloc(room);
    for (size_t i = 0; i < columns; i++)
        used += (size_t)sprintf(text + used, "|a");
    used += (size_t)sprintf(text + used, "\n");
    for (size_t i = 0; i < columns; i++)
        used += (size_t)sprintf(text + used, "|-");
    used += (size_t)sprintf(text + used, "\n");
    for (size_t i = 0; i < columns; i++)
        used += (size_t)sprintf(text + used, "|\n");
    document_init(&doc);
    assert_int_equal(md->read(text, used, &doc, why, sizeof why), -1);
    assert_non_null(strstr(why, "grows"));
    document_free(&doc);
    // one long address, named by many links
    used = (size_t)sprintf(text, "[a]: /");
    memset(text + used, 'x', 50000);
    used += 50000;
    used += (size_t)sprintf(text + used, "\n\n");
    for (size_t i = 0; i < columns; i++)
        used += (size_t)sprintf(text + used, "[a] ");
    document_init(&doc);
    assert_int_equal(md->read(text, used, &doc, why, sizeof why), -1);
    document_free(&doc);
    // HTML within it is refused in the words of its own
    used = 0;
    for (size_t i = 0; i < 11000; i++)
        used += (size_t)sprintf(text + used, "<div>");
    document_init(&doc);
    assert_int_equal(md->read(text, used, &doc, why, sizeof why), -1);
    assert_non_null(strstr(why, "nested deeper"));
    document_free(&doc);
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
        cmocka_unit_test(html_is_read_as_html),
        cmocka_unit_test(front_matter_gives_title_and_metadata),
        cmocka_unit_test(scalars_have_the_types_of_the_core_schema),
        cmocka_unit_test(front_matter_has_lists_blocks_and_members),
        cmocka_unit_test(front_matter_that_cannot_be_read_stays_text),
        cmocka_unit_test(a_rule_is_no_front_matter),
        cmocka_unit_test(marks_that_never_end),
        cmocka_unit_test(few_bytes_do_not_grow),
        cmocka_unit_test(random_markdown_makes_sound_documents),
        cmocka_unit_test(plain_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
