// format_plain: plain text: paragraphs between blank lines. A paragraph whose lines are all
// indented keeps its lines; a line underlined with === or --- is a heading, as in many a README.

#include "format.h"

#include <string.h>

enum {
    LONGEST_HEADING = 120
}; // bytes; a longer line is no heading, whatever is under it

static size_t line_size(const char *text, const char *end)
{
    const char *newline = memchr(text, '\n', (size_t)(end - text));
    return newline ? (size_t)(newline - text) : (size_t)(end - text);
}

static bool blank_line(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (line[i] != ' ' && line[i] != '\t')
            return false;
    return true;
}

// 1 for a line of ===, 2 for one of ---, 0 for any other.
static int underline_level(const char *line, size_t size)
{
    while (size > 0 && (line[size - 1] == ' ' || line[size - 1] == '\t'))
        size--;
    if (size < 3 || !strchr("=-", line[0]))
        return 0;
    for (size_t i = 1; i < size; i++)
        if (line[i] != line[0])
            return 0;
    return line[0] == '=' ? 1 : 2;
}

// Marks [from, to), which has no blank line in it: headings with the line under them, and the rest.
static void mark_paragraph(document_t *doc, const char *from, const char *to)
{
    const char *text = doc->text.data;
    for (;;) {
        size_t first = line_size(from, to);
        const char *second = from + first + (from + first < to);
        int level = second < to ? underline_level(second, line_size(second, to)) : 0;
        if (!level || first > LONGEST_HEADING || from[0] == ' ')
            break;
        document_mark(doc, BLOCK_HEADING, level, (size_t)(from - text),
                      (size_t)(from + first - text));
        from = second + line_size(second, to);
        from += from < to;
        if (from >= to)
            return;
    }
    bool indented = true;
    size_t lines = 0;
    for (const char *at = from; at < to; at += line_size(at, to), at += at < to) {
        indented = indented && (at[0] == ' ' || at[0] == '\t');
        lines++;
    }
    document_mark(doc, indented && lines > 1 ? BLOCK_LINES : BLOCK_PARAGRAPH, 0,
                  (size_t)(from - text), (size_t)(to - text));
}

static int read_plain(const char *text, size_t size, document_t *doc, char *why, size_t why_size)
{
    (void)why, (void)why_size;
    document_text(doc, text, size);
    if (doc->failed || size == 0)
        return 0;
    text = doc->text.data;
    const char *end = text + size, *from = NULL;
    for (const char *at = text; at < end;) {
        size_t length = line_size(at, end);
        if (blank_line(at, length)) {
            if (from)
                mark_paragraph(doc, from, at);
            from = NULL;
        } else if (!from) {
            from = at;
        }
        at += length;
        at += at < end;
    }
    if (from)
        mark_paragraph(doc, from, end);
    document_title_from_heading(doc);
    return 0;
}

const format_t format_plain = {
    .name = "text",
    .extensions = "txt text log rst adoc asciidoc org",
    .read = read_plain,
};
