// Manual pages: what mandoc makes of man(7), mdoc(7) and tbl(1), and what becomes of a page that
// means harm; pages that are installed here.
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "index_help.h"
#include "input.h"

static const format_t *man = &format_man;

static void sections_paragraphs_and_fonts(void **state)
{
    (void)state;
    help_expect(
        man,
        ".\\\" comment\n.TH ZMQ_X 3 \"2024\" \"0MQ\"\n.SH NAME\nzmq_x \\- send \\fBit\\fP\n"
        ".SH \"SEE ALSO\"\nOne\ntwo.\n.PP\nThree\n.BR zmq_y (3),\n.I file\n.SS Sub\nx\n",
        "zmq_x - send it",
        "H1 NAME|P zmq_x - send it|H1 SEE ALSO|P One two.|P Three zmq_y(3), file|H2 Sub|P x|");
    help_expect(man, ".TH TOOL 1\n.SH\nOPTIONS\ntext\n", "TOOL(1)", "H1 OPTIONS|P text|");
    help_expect(man, ".TH TOOL 1\n.SH BEZEICHNUNG\ntool \\- ein Werkzeug\n", "tool - ein Werkzeug",
                "H1 BEZEICHNUNG|P tool - ein Werkzeug|");
    help_expect(man, ".SH ONE\ntext\n", "", "H1 ONE|P text|");
}

static void items_keep_their_tags(void **state)
{
    (void)state;
    help_expect(man, ".TH X 1\n.TP\n.B \\-\\-max\nThe most.\n.TP\n.BI \\-n \" num\"\nMany.\n", NULL,
                "P --max/The most.|P -n num/Many.|");
    help_expect(man, ".TH X 1\n.IP \\(bu 2\none\n.IP \\(bu\ntwo\n.IP \"-a, --all\"\nAll.\n", NULL,
                "P - one/- two|P -a, --all/All.|");
    help_expect(man, ".TH X 1\n.PP\n\\fBEAGAIN\\fR\n.RS 4\nTry again.\n.RE\nafter\n", NULL,
                "P EAGAIN/Try again.|P after|");
    help_expect(man, ".TH X 1\n.PP\nIt ends here.\n.RS 4\nOwn words.\n.RE\n", NULL,
                "P It ends here.|P Own words.|");
    help_expect(man, ".TH X 1\n.PD 0\n.TP\n\\-a\n.TP\n\\-\\-all\nAll.\n", NULL, "P -a/--all/All.|");
}

static void code_keeps_its_lines(void **state)
{
    (void)state;
    help_expect(man, ".TH X 1\n.SH A\ntext\n.nf\nif (x)\n    y ();\n\nz\n.fi\nend\n", NULL,
                "H1 A|P text|L if (x)/    y ();//z|P end|");
    help_expect(man, ".TH X 1\n.SH A\n.EX\n  a\n.sp\nb\n.EE\n", NULL, "H1 A|L   a//b|");
}

static void escapes_and_links(void **state)
{
    (void)state;
    help_expect(man, ".TH X 1\na\\-b \\(em \\(aqx\\(aq \\[u00E9]\\[:o] \\(lqq\\(rq a\\&b\\~c\n",
                NULL, "P a-b — 'x' éö “q” ab c|");
    help_expect(man, ".TH X 1\ncaf\xc3\xa9 back\\eslash\n", NULL, "P caf\xc3\xa9 back\\slash|");
    help_expect(man, ".TH X 1\nsee\n.UR http://a.b/c\nthe page\n.UE .\n", NULL,
                "P see the page <http://a.b/c>.|");
    help_expect(man, ".TH X 1\n.UR http://a.b/c\n.UE\n", NULL, "P http://a.b/c|");
}

static void strings_macros_and_conditions(void **state)
{
    (void)state;
    help_expect(man, ".TH X 1\n.ds P ragline\n.de XX\nfrom \\\\$1\n..\n\\*P\n.XX here\n", NULL,
                "P ragline from here|");
    help_expect(man, ".TH X 1\n.ie t no\n.el \\{\\\nyes\n.\\}\n.ig\nhidden\n..\nend\n", NULL,
                "P yes end|");
}

static void tables(void **state)
{
    (void)state;
    help_expect(man,
                ".TH X 1\n.SH A\n.TS\ntab(:);\nl l.\nOption:int\n_\nT{\nDefault\nvalue\nT}:100\n"
                ".TE\nend\n",
                NULL, "H1 A|L Option | int/Default value | 100|P end|");
    // what the Linux pages and those made from DocBook have in their cells
    help_expect(
        man,
        ".TH X 1\n.SH A\n.TS\ntab(:);\nl l.\nT{\n.BR strlen (),\n.B \"a  b\" c\nT}:T{\n.sp\n"
        "MT-Safe\nT}\n.TE\n",
        NULL, "H1 A|L strlen(), a b c | MT-Safe|");
}

static void mdoc(void **state)
{
    (void)state;
    help_expect(
        man,
        ".Dd Jan 1\n.Dt LS 1\n.Os\n.Sh NAME\n.Nm ls\n.Nd list files\n.Sh SYNOPSIS\n.Nm\n"
        ".Op Fl ab Ns Ar n\n.Op Ar file ...\n.Sh DESCRIPTION\nThe\n.Nm\nutility, see\n"
        ".Xr stat 2 .\n.Bl -tag\n.It Fl a , Fl -all\nAll of\n.Dq them .\n.It Ev HOME\nHome.\n"
        ".El\n.Bd -literal\n  x\n\ny\n.Ed\n.Fn f \"int x\" y ,\nend\n.Bl -column a b\n.It a Ta b\n.El\n",
        "ls — list files",
        "H1 NAME|P ls — list files|H1 SYNOPSIS|P ls [-abn] [file ...]|H1 DESCRIPTION|"
        "P The ls utility, see stat(2).|P -a, --all/All of “them”.|P HOME/Home.|"
        "L   x//y|P f(int x, y), end|L a | b|");
}

static void what_is_not_supported_is_said(void **state)
{
    (void)state;
    document_t doc;
    help_read(man, ".TH X 1\n.SH A\ntext\n.do nop hidden\n.do nop more\n", &doc);
    assert_string_equal(doc.note,
                        "line 4: mandoc does not support it: unsupported roff request: do "
                        "(and others)");
    document_free(&doc);
    help_read(man, ".TH X 1\n.SH A\ntext\n", &doc);
    assert_null(doc.note);
    document_free(&doc);
}

static void other_files_are_not_reached(void **state)
{
    (void)state;
    char name[] = "secret-XXXXXX", page[200];
    int fd = mkstemp(name); // in the working folder of this process
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "secret\n", 7), 7);
    close(fd);
    snprintf(page, sizeof page, ".TH X 1\ntext\n.de XX\n.so %s\n..\n.XX\n.  so %s\n", name, name);
    document_t doc;
    help_read(man, page, &doc);
    assert_null(strstr(doc.text.data, "secret\n"));
    assert_non_null(strstr(doc.text.data, "text"));
    document_free(&doc);
    unlink(name);
    // a page that only stands for another is none
    help_expect(man, ".so man3/other.3\n", "", "");
}

// Each is read, or refused with a reason, soon.
static void check_ends(const char *page, size_t size)
{
    char why[256] = "";
    document_t doc;
    document_init(&doc);
    uint64_t began = rl_now_us();
    if (man->read(page, size, &doc, why, sizeof why) != 0)
        assert_true(strlen(why) > 0);
    assert_true(rl_now_us() - began < 20000000);
    document_free(&doc);
}

static void pages_that_never_end(void **state)
{
    (void)state;
    static const char *const pages[] = {
        ".TH X 1\n.de A\n.A\n.A\n..\n.A\n",
        ".TH X 1\n.ds a \\*b\\*b\n.ds b \\*a\\*a\n\\*a\n",
        ".TH X 1\n.while 1 \\{\\\nx\n.\\}\n",
        ".TH X 1\n.nr i 0\n.while 1 \\{\\\n.nr i +1\n\\n(.s \\ni\n.\\}\n",
    };
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        check_ends(pages[i], strlen(pages[i]));
    // strings within strings: 8 levels of 100 are 10^16 letters
    char *page = malloc(8000), *at = page + sprintf(page, ".TH X 1\n.ds a x\n");
    for (char c = 'b'; c < 'j'; c++) {
        at += sprintf(at, ".ds %c ", c);
        for (int i = 0; i < 100; i++)
            at += sprintf(at, "\\*%c", c - 1);
        at += sprintf(at, "\n");
    }
    at += sprintf(at, "\\*i\n");
    check_ends(page, (size_t)(at - page));
    free(page);
}

static void odd_pages_do_no_harm(void **state)
{
    (void)state;
    static const char *const pages[] = {
        "",
        ".",
        "'",
        ".\n.SH\n",
        ".TS\n",
        ".TS\nl.\nT{\n",
        ".if",
        ".ie \\{",
        ".el x",
        ".ds",
        ".de",
        ".IP",
        ".TP\n.TP",
        ".BR",
        "\\",
        "\\*",
        ".SH \\",
        ".Nm",
        ".Fn",
        ".It",
        ".Xr",
        ".if '",
        ".\\}",
        ".TH",
        ".nf\n.SH X",
        ".OP",
        ".so x",
        ".UR\n.UE",
        ".Bl\n.It Xo\n",
        ".TS\nl.\nT{\n.BR",
        ".TS\nl.\nT{\n.B \"a",
        ".Dd\n.Dt\n.Sh NAME\n.Nm",
        "\xc3\xa9\n.TH \xc3\xa9",
    };
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        document_t doc;
        help_read(man, pages[i], &doc);
        document_free(&doc);
    }
}

static void where_mandoc_is_missing(void **state)
{
    (void)state;
    char *path = strdup(getenv("PATH")), why[256] = "";
    document_t doc;
    document_init(&doc);
    setenv("PATH", "/nonexistent", 1);
    int rc = man->read(".TH X 1\n", 8, &doc, why, sizeof why);
    setenv("PATH", path, 1);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(why, "package mandoc"));
    document_free(&doc);
    free(path);
}

// Some pages that are installed here: read, without what is left of their source.
static void installed_pages(void **state)
{
    (void)state;
    glob_t found;
    if (glob("/usr/share/man/man[1-8]/[cdlz]*.gz", 0, NULL, &found) != 0) {
        print_message("skipped: no manual pages are installed here\n");
        skip();
    }
    size_t with_macros = 0, read = 0, step = found.gl_pathc / 60 + 1;
    for (size_t i = 0; i < found.gl_pathc; i += step) {
        char why[256];
        input_t *input = input_new(found.gl_pathv[i], why, sizeof why);
        if (!input)
            continue; // a link to a page that is not installed
        rl_buf_t bytes = rl_buf_make(INPUT_MAX_FILE);
        assert_int_equal(input_all(input, &bytes, why, sizeof why), 0);
        size_t size, repaired;
        char *text = input_text(bytes.data ? bytes.data : "", bytes.size, &size, &repaired);
        document_t doc;
        help_read(man, text, &doc);
        read++;
        with_macros += doc.text.data && strstr(doc.text.data, "\n.SH") != NULL;
        document_free(&doc);
        free(text);
        rl_buf_free(&bytes);
        input_destroy(&input);
    }
    globfree(&found);
    assert_true(read > 0);
    assert_true(with_macros * 50 <= read); // pages about pages show some
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_paragraphs_and_fonts),
        cmocka_unit_test(items_keep_their_tags),
        cmocka_unit_test(code_keeps_its_lines),
        cmocka_unit_test(escapes_and_links),
        cmocka_unit_test(strings_macros_and_conditions),
        cmocka_unit_test(tables),
        cmocka_unit_test(mdoc),
        cmocka_unit_test(what_is_not_supported_is_said),
        cmocka_unit_test(other_files_are_not_reached),
        cmocka_unit_test(pages_that_never_end),
        cmocka_unit_test(odd_pages_do_no_harm),
        cmocka_unit_test(where_mandoc_is_missing),
        cmocka_unit_test(installed_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
