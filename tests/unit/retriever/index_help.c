// index_help: documents as strings, random text.
#include "index_help.h"

#include "utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void help_check(const document_t *doc)
{
    size_t last = 0;
    assert_false(doc->failed);
    assert_true(rl_utf8_valid(doc->text.data ? doc->text.data : "", doc->text.size));
    assert_true(rl_utf8_valid(doc->title, strlen(doc->title)));
    for (size_t i = 0; i < doc->blocks_size; i++) {
        const block_t *block = &doc->blocks[i];
        assert_true(block->start >= last);
        assert_true(block->start < block->end);
        assert_true(block->end <= doc->text.size);
        assert_true(rl_utf8_valid(doc->text.data + block->start, block->end - block->start));
        last = block->end;
    }
}

void help_read(const format_t *format, const char *text, document_t *doc)
{
    char why[256] = "";
    document_init(doc);
    if (format->read(text, strlen(text), doc, why, sizeof why) != 0)
        fail_msg("refused: %s", why);
    help_check(doc);
}

char *help_blocks(const document_t *doc)
{
    rl_buf_t out = rl_buf_make(1 << 20);
    for (size_t i = 0; i < doc->blocks_size; i++) {
        const block_t *block = &doc->blocks[i];
        if (block->kind == BLOCK_HEADING)
            rl_buf_addf(&out, "H%d ", block->level);
        else
            rl_buf_adds(&out, block->kind == BLOCK_LINES ? "L " : "P ");
        rl_buf_add(&out, doc->text.data + block->start, block->end - block->start);
        rl_buf_adds(&out, "|");
    }
    char *text = rl_buf_take(&out);
    for (char *at = text; *at; at++)
        if (*at == '\n')
            *at = '/';
    return text;
}

void help_expect(const format_t *format, const char *text, const char *title, const char *blocks)
{
    document_t doc;
    help_read(format, text, &doc);
    char *got = help_blocks(&doc);
    assert_string_equal(got, blocks);
    if (title)
        assert_string_equal(doc.title, title);
    free(got);
    document_free(&doc);
}

const char *help_fixture(const char *name)
{
    static char path[4096];
    const char *up = "";
    static const char *const ways[] = {"", "../", "../../", "../../../"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        up = ways[i];
        snprintf(path, sizeof path, "%stests/data/docs/%s", up, name);
        if (access(path, F_OK) == 0)
            return path;
    }
    fail_msg("tests/data/docs/%s is not to be found from here: start tests in the root", name);
    return NULL;
}

char *help_random_text(unsigned seed, size_t size)
{
    static const char *const pieces[] = {
        "word ",
        "socket ",
        "zmq_setsockopt() ",
        "The ",
        "e.g. ",
        "7.88.1 ",
        "Dr. Smith ",
        "über ",
        "end. ",
        "really? ",
        "yes! ",
        "\n",
        "\n\n",
        "\n\n",
        "\n\n# Heading\n\n",
        "\n\n## Part\n\n",
        "\n\n### Detail\n\n",
        "- item ",
        "\n- item one\n- item two\n",
        "`code. With dot` ",
        "\n\n```\nint main(void)\n{\n    return 0;\n}\n```\n\n",
        "黑豹队的防守只丢了。",
        "日本語、",
        "ภาษาไทย",
        "Привет. ",
        "antidisestablishmentarianism ",
        "| a | b |\n|---|---|\n| 1 | 2 |\n",
        "[link](http://e/x) ",
        "*emphasis* ",
        "🙂 ",
        "    indented\n",
        "\t",
        "a.b.c ",
        "“Quoted.” ",
    };
    rl_buf_t out = rl_buf_make(size + 256);
    uint64_t state = seed * 2654435761u + 1;
    while (out.size < size) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        rl_buf_adds(&out, pieces[(state >> 33) % (sizeof pieces / sizeof *pieces)]);
    }
    return rl_buf_take(&out);
}

static char report_path[] = "/tmp/ragline-report-XXXXXX";

report_t *help_report(void)
{
    char why[200];
    memcpy(report_path + sizeof report_path - 7, "XXXXXX", 6);
    close(mkstemp(report_path));
    report_t *report = report_new(report_path, why, sizeof why);
    assert_non_null(report);
    return report;
}

void help_report_end(report_t **report_p, char *out, size_t size)
{
    char why[200];
    assert_int_equal(report_finish(*report_p, why, sizeof why), 0);
    report_destroy(report_p);
    FILE *file = fopen(report_path, "r");
    assert_non_null(file);
    out[fread(out, 1, size - 1, file)] = '\0';
    fclose(file);
    unlink(report_path);
}
