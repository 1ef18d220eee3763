// Manual pages: man(7), mdoc(7), escapes, conditions, tables; pages that are installed here.
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index_help.h"
#include "input.h"
#include "roff.h"

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
}

static void items_keep_their_tags(void **state)
{
    (void)state;
    help_expect(man, ".TP\n.B \\-\\-max\nThe most.\n.TP\n.BI \\-n \" num\"\nMany.\n", NULL,
                "P --max/The most.|P -n num/Many.|");
    help_expect(man, ".IP \\(bu 2\none\n.IP \\(bu\ntwo\n.IP \"-a, --all\"\nAll.\n", NULL,
                "P - one|P - two|P -a, --all/All.|");
    help_expect(man, ".PP\n\\fBEAGAIN\\fR\n.RS 4\nTry again.\n.RE\nafter\n", NULL,
                "P EAGAIN/Try again.|P after|");
}

static void code_keeps_its_lines(void **state)
{
    (void)state;
    help_expect(man, "text\n.nf\nif (x)\n    y ();\n\nz\n.fi\nend\n", NULL,
                "P text|L if (x)/    y ();//z|P end|");
}

static void escapes(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"a\\-b \\(em \\(aqx\\(aq", "a-b — 'x'"},
        {"\\fIital\\fP \\f(CWcode\\f[R]", "ital code"},
        {"\\s-2small\\s0 \\s+1x\\s'3'", "small x"},
        {"\\[u00E9]\\[:o] \\('e", "éö é"},
        {"a\\&b\\|c\\^d\\:e\\%f", "abcdef"},
        {"back\\eslash \\\\n", "back\\slash \\n"},
        {"tab\\h'+3n'bed\\v'1'", "tabbed"},
        {"\\*(lqx\\*(rq \\*R", "“x” ®"},
        {"visible\\\" hidden", "visible"},
        {"\\n(.g\\nx\\n[abc]end", "end"},
        {"caf\xc3\xa9 \\\xc3\xa9x", "caf\xc3\xa9 \xc3\xa9x"},
        {"cut off \\", "cut off "},
        {"\\[unclosed", ""},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        rl_buf_t out = rl_buf_make(1000);
        rl_buf_adds(&out, "");
        roff_text(NULL, pairs[i][0], strlen(pairs[i][0]), &out);
        assert_string_equal(out.data ? out.data : "", pairs[i][1]);
        rl_buf_free(&out);
    }
}

static void strings_and_conditions(void **state)
{
    (void)state;
    help_expect(man, ".ds P ragline\n.ds long[x] y\n\\*P and \\*(xx\n", NULL, "P ragline and|");
    help_expect(man, ".ds A \\*B\n.ds B \\*A\nx\\*A\n", NULL, "P x|"); // each in the other
    help_expect(man, ".if n yes\n.if t no\n.ie t no\n.el also\n", NULL, "P yes also|");
    help_expect(man, ".ie n \\{\\\nnroff\n.\\}\n.el \\{\\\ntroff\n.if n deeper\n.\\}\nend\n", NULL,
                "P nroff end|");
    help_expect(man, ".if t \\{ a\nb\n.if n \\{ c\nd \\}\n\\}\nshown\n", NULL, "P shown|");
    help_expect(man, ".de XX\nhidden\n..\n.ig\nhidden\n..\nshown\n.XX\n", NULL, "P shown|");
}

static void tables(void **state)
{
    (void)state;
    help_expect(man, ".TS\ntab(:);\nl l.\nOption:int\n_\nT{\nDefault\nvalue\nT}:100\n.TE\nend\n",
                NULL, "L Option | int/Default value | 100|P end|");
}

static void mdoc(void **state)
{
    (void)state;
    help_expect(
        man,
        ".Dd Jan 1\n.Dt LS 1\n.Os\n.Sh NAME\n.Nm ls\n.Nd list files\n.Sh SYNOPSIS\n.Nm\n"
        ".Op Fl ab Ns Ar n\n.Op Ar file ...\n.Sh DESCRIPTION\nThe\n.Nm\nutility, see\n"
        ".Xr stat 2 .\n.Bl -tag\n.It Fl a , Fl -all\nAll of\n.Dq them .\n.It Ev HOME\nHome.\n"
        ".El\n.Bd -literal\n  x\n.Ed\n.Fn f \"int x\" y ,\nend\n",
        "ls - list files",
        "H1 NAME|P ls - list files|H1 SYNOPSIS|P ls [-abn] [file ...]|H1 DESCRIPTION|"
        "P The ls utility, see stat(2).|P -a, --all/All of “them”.|P HOME/Home.|"
        "L   x|P f(int x, y), end|");
}

static void odd_pages_do_no_harm(void **state)
{
    (void)state;
    static const char *const pages[] = {
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
        ".Op Op Op [",
        ".Xr",
        ".if '",
        ".if 'a'b",
        ".\\}",
        ".TH",
        ".Fl Fl Fl",
        ".Bl\n.It Xo\n.Xc",
        ".while 1 \\{ x",
        ".nf\n.SH X\n",
        ".OP",
        ".UR\n.UE",
        ".Dq Pq Bq",
        ".so x",
    };
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        document_t doc;
        help_read(man, pages[i], &doc);
        document_free(&doc);
    }
    char nested[4000] = "";
    for (int i = 0; i < 500; i++)
        strcat(nested, ".if n ");
    help_expect(man, nested, NULL, "");
}

// Every page of some packages that is installed here: read, without what is left of its source.
static void installed_pages(void **state)
{
    (void)state;
    glob_t found;
    if (glob("/usr/share/man/man[1-8]/[cdlz]*.gz", 0, NULL, &found) != 0) {
        print_message("skipped: no manual pages are installed here\n");
        skip();
    }
    size_t with_macros = 0, read = 0;
    for (size_t i = 0; i < found.gl_pathc && i < 600; i++) {
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
    assert_true(with_macros * 100 <= read); // pages about pages show some
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_paragraphs_and_fonts),
        cmocka_unit_test(items_keep_their_tags),
        cmocka_unit_test(code_keeps_its_lines),
        cmocka_unit_test(escapes),
        cmocka_unit_test(strings_and_conditions),
        cmocka_unit_test(tables),
        cmocka_unit_test(mdoc),
        cmocka_unit_test(odd_pages_do_no_harm),
        cmocka_unit_test(installed_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
