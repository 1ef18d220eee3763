// HTML: what a reader sees, and what is left out.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index_help.h"

static const format_t *html = &format_html;

static void headings_paragraphs_and_title(void **state)
{
    (void)state;
    help_expect(html,
                "<html><head><title> The\n page </title><style>p{}</style></head><body>"
                "<h1>One</h1><p>text <b>bold</b>&amp;more<p>two<h2>Two <i>x</i></h2>bare text"
                "<script>evil()</script></body></html>",
                "The page", "H1 One|P text bold&more|P two|H2 Two x|P bare text|");
    help_expect(html, "<h1>Only a heading</h1>", "Only a heading", "H1 Only a heading|");
    help_expect(html, "", "", "");
}

static void what_is_for_finding_ones_way_is_left_out(void **state)
{
    (void)state;
    help_expect(html,
                "<nav>menu</nav><div role=navigation>more</div><p hidden>no</p>"
                "<p aria-hidden=true>no</p><svg><text>no</text></svg><p>yes</p><footer>no</footer>",
                NULL, "P yes|");
    help_expect(html, "<div>around</div><main><p>inside</p></main><div>after</div>", NULL,
                "P inside|");
}

static void lists_terms_and_line_breaks(void **state)
{
    (void)state;
    help_expect(html, "<ul><li>one</li><li>two</li></ul><p>a<br>b</p>", NULL,
                "P - one/- two|P a/b|");
    help_expect(html, "<dl><dt>--max</dt><dd>the most</dd></dl>", NULL, "P --max/the most|");
    help_expect(html, "<dl><dt>-a<dt>--all<dd><p>everything<p>more</dl>", NULL,
                "P -a/--all/everything|P more|");
    help_expect(html, "<ul><li><p>one</p></li><li>two</li></ul>", NULL, "P - one|P - two|");
}

static void tables_and_preformatted_text_keep_their_lines(void **state)
{
    (void)state;
    help_expect(html, "<table><tr><th>a<th>b</tr><tr><td>1</td><td><p>2</p></td></tr></table>",
                NULL, "L a | b/1 | 2|");
    help_expect(html, "<table><tr><td>a<br>b<td>c</table>", NULL, "L a b | c|");
    help_expect(html, "<pre>a<br>b</pre>", NULL, "L a/b|");
    help_expect(html, "<pre>if (x)\n    <b>y</b>();\n</pre>", NULL, "L if (x)/    y();|");
    // a table that lays out a page is no table
    help_expect(html, "<table><tr><td><h2>H</h2><p>p</p></td><td>q</td></tr></table>", NULL,
                "H2 H|P p|P q|");
}

static void what_is_broken_or_hostile(void **state)
{
    (void)state;
    help_expect(html, "<p>a <b>b <i>c</b> d</i><p>&#0;&#xD800;&bogus;&lt;", NULL,
                "P a b c d|P \xef\xbf\xbd\xef\xbf\xbd&bogus;<|");
    document_t odd; // a number that Gumbo makes invalid UTF-8 of
    help_read(html, "<title>&#xDDDDDDDDDDDDDD0A0;</title><p>a&#xDDDDDDDDDDDDDDD0A0;b", &odd);
    assert_int_equal(odd.blocks_size, 1);
    document_free(&odd);
    size_t depth = 200000, size = depth * 5;
    char *text = malloc(size + 1), why[200];
    for (size_t i = 0; i < depth; i++)
        memcpy(text + 5 * i, "<div>", 5);
    text[size] = '\0';
    document_t doc;
    document_init(&doc);
    assert_int_equal(html->read(text, size, &doc, why, sizeof why), -1);
    assert_non_null(strstr(why, "nested"));
    document_free(&doc);
    // tags that are never closed but do not nest
    for (size_t i = 0; i + 1 < depth; i++)
        memcpy(text + 5 * i, "x<p> ", 5);
    text[(depth - 1) * 5] = '\0';
    help_read(html, text, &doc);
    assert_int_equal(doc.blocks_size, depth - 1);
    document_free(&doc);
    free(text);
}

// `open` of these, each with another number, then `count` blocks.
static int read_unclosed(const char *name, int open, int count, const char *block, char *why,
                         size_t why_size)
{
    char *text = malloc((size_t)open * 40 + (size_t)count * strlen(block) + 100);
    char *at = text + sprintf(text, "<div>");
    for (int i = 0; i < open; i++)
        at += sprintf(at, "<%s x=%d>", name, i);
    at += sprintf(at, "</div>");
    for (int i = 0; i < count; i++)
        at += sprintf(at, "%s", block);
    document_t doc;
    document_init(&doc);
    int rc = html->read(text, (size_t)(at - text), &doc, why, why_size);
    if (rc == 0)
        help_check(&doc);
    document_free(&doc);
    free(text);
    return rc;
}

static void formatting_that_is_left_open(void **state)
{
    (void)state;
    char why[200] = "";
    // 70 KB that would become a tree of 2.3 GB
    assert_int_equal(read_unclosed("font", 3000, 2000, "<div>x</div>", why, sizeof why), -1);
    assert_non_null(strstr(why, "like <font>"));
    assert_int_equal(read_unclosed("font", 200, 30000, "<p>x", why, sizeof why), -1);
    assert_non_null(strstr(why, "made anew"));
    // what careless pages have is read
    assert_int_equal(read_unclosed("font", 20, 2000, "<p>x", why, sizeof why), 0);
    assert_int_equal(read_unclosed("a", 3000, 2000, "<div>x</div>", why, sizeof why), 0);
    assert_int_equal(read_unclosed("span", 1000, 1000, "<div>x</div>", why, sizeof why), 0);
    assert_int_equal(read_unclosed("p", 0, 4000, "<p><b>x<li><i>y", why, sizeof why), 0);
}

static int read_repeated(const char *before, const char *part, int times, const char *after,
                         char *why, size_t why_size)
{
    char *text = malloc(strlen(before) + (size_t)times * strlen(part) + strlen(after) + 1);
    char *at = text + sprintf(text, "%s", before);
    for (int i = 0; i < times; i++)
        at += sprintf(at, "%s", part);
    at += sprintf(at, "%s", after);
    document_t doc;
    document_init(&doc);
    int rc = html->read(text, (size_t)(at - text), &doc, why, why_size);
    document_free(&doc);
    free(text);
    return rc;
}

static void tags_of_many_attributes(void **state)
{
    (void)state;
    char why[200] = "";
    assert_int_equal(read_repeated("<p", " a", 5000, ">x", why, sizeof why), -1);
    assert_non_null(strstr(why, "4096 attributes"));
    assert_int_equal(read_repeated("<p", "/a", 5000, ">x", why, sizeof why), -1);
    assert_int_equal(read_repeated("<p", " a=\"1\"b='2'", 2100, ">x", why, sizeof why), -1);
    assert_int_equal(read_repeated("<p", " a=\"1\"b='2'", 1900, ">x", why, sizeof why), 0);
    assert_int_equal(read_repeated("<p title=\"", "word ", 9000, "\">x", why, sizeof why), 0);
    assert_int_equal(read_repeated("", "<p a b c>x ", 9000, "", why, sizeof why), 0);
    // no tag ends: each is looked at once
    assert_int_equal(read_repeated("<p>", "<a", 500000, "", why, sizeof why), 0);
}

static void it_is_known_by_its_bytes(void **state)
{
    (void)state;
    const char *page = "\n<!DOCTYPE html>\n<html>";
    report_reason_t reason;
    const char *what;
    assert_ptr_equal(format_for("page", page, strlen(page), &reason, &what), html);
    assert_ptr_equal(format_for("page.htm", "x", 1, &reason, &what), html);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headings_paragraphs_and_title),
        cmocka_unit_test(what_is_for_finding_ones_way_is_left_out),
        cmocka_unit_test(lists_terms_and_line_breaks),
        cmocka_unit_test(tables_and_preformatted_text_keep_their_lines),
        cmocka_unit_test(what_is_broken_or_hostile),
        cmocka_unit_test(formatting_that_is_left_open),
        cmocka_unit_test(tags_of_many_attributes),
        cmocka_unit_test(it_is_known_by_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
