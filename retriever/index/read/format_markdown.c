// read_markdown: CommonMark's blocks as far as they matter for passages: headings, paragraphs and
// lists, code and tables (whose lines stay together), quotes; front matter gives title and
// metadata.

#include "format.h"

#include "markdown_inline.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    MAX_BLOCK = 64 << 20,
    MAX_FIELDS = 64
};

typedef struct line {
    const char *text; // without line end
    size_t size;
    size_t indent; // columns of white space in front
} line_t;

typedef struct reading {
    document_t *doc;
    const char *at, *end;
    rl_buf_t paragraph; // raw lines of the paragraph at work
    bool listed;        // it is (part of) a list: its lines stay lines
} reading_t;

static bool looks_like_markdown(const char *head, size_t size)
{
    // a heading at the start, or a fence: what plain text rarely has
    const char *end = head + size;
    if (size > 2 && head[0] == '#' && memchr("# ", head[1], 2))
        return true;
    for (const char *at = head; at && at < end; at = memchr(at, '\n', (size_t)(end - at))) {
        at += *at == '\n';
        if (end - at > 3 && memcmp(at, "```", 3) == 0)
            return true;
        if (at == end)
            break;
    }
    return false;
}

static bool next_line(reading_t *self, line_t *line)
{
    if (self->at >= self->end)
        return false;
    const char *newline = memchr(self->at, '\n', (size_t)(self->end - self->at));
    const char *stop = newline ? newline : self->end;
    *line = (line_t){.text = self->at, .size = (size_t)(stop - self->at)};
    self->at = newline ? newline + 1 : self->end;
    for (size_t i = 0; i < line->size && (line->text[i] == ' ' || line->text[i] == '\t'); i++)
        line->indent += line->text[i] == '\t' ? 4 - line->indent % 4 : 1;
    return true;
}

// Takes white space off both ends.
static line_t trimmed(line_t line)
{
    while (line.size > 0 && (*line.text == ' ' || *line.text == '\t'))
        line.text++, line.size--;
    while (line.size > 0 && (line.text[line.size - 1] == ' ' || line.text[line.size - 1] == '\t'))
        line.size--;
    return line;
}

// ---- paragraphs ---------------------------------------------------------------------------------

static void add_inline(reading_t *self, int heading, const char *text, size_t size)
{
    rl_buf_t out = rl_buf_make(MAX_BLOCK);
    markdown_inline(text, size, &out);
    if (out.full)
        self->doc->failed = true;
    else if (heading)
        document_heading(self->doc, heading, out.data, out.size);
    else
        document_paragraph(self->doc, out.data, out.size);
    rl_buf_free(&out);
}

static void flush(reading_t *self)
{
    if (self->paragraph.full)
        self->doc->failed = true;
    if (self->paragraph.size > 0)
        add_inline(self, 0, self->paragraph.data, self->paragraph.size);
    rl_buf_clear(&self->paragraph);
}

// ---- what a line is -----------------------------------------------------------------------------

static size_t run_of(const line_t *line, char c)
{
    size_t run = 0;
    while (run < line->size && line->text[run] == c)
        run++;
    return run;
}

// "## Heading ##": its level, and the words in *words; 0 if it is none.
static int heading_of(line_t line, line_t *words)
{
    line_t text = trimmed(line);
    size_t level = run_of(&text, '#');
    if (line.indent > 3 || level == 0 || level > 6 ||
        (level < text.size && text.text[level] != ' ' && text.text[level] != '\t'))
        return 0;
    text.text += level;
    text.size -= level;
    size_t end = text.size;
    while (end > 0 && text.text[end - 1] == '#')
        end--;
    if (end == 0 || text.text[end - 1] == ' ')
        text.size = end;
    *words = trimmed(text);
    return (int)level;
}

// A line of nothing but three or more of one of -*_ (blanks between do not matter).
static bool is_rule(line_t line)
{
    line_t text = trimmed(line);
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.text[i] == text.text[0])
            count++;
        else if (text.text[i] != ' ')
            return false;
    }
    return count >= 3 && strchr("-*_", text.text[0]);
}

// The line under a heading: 1 for ===, 2 for ---, 0 for any other.
static int underline_of(line_t line)
{
    line_t text = trimmed(line);
    if (text.size < 2 || line.indent > 3 || !strchr("=-", text.text[0]) ||
        run_of(&text, text.text[0]) != text.size)
        return 0;
    return text.text[0] == '=' ? 1 : 2;
}

static bool is_item(line_t line)
{
    line_t text = trimmed(line);
    size_t digits = 0;
    while (digits < text.size && text.text[digits] >= '0' && text.text[digits] <= '9')
        digits++;
    if (digits > 0 && digits < 10)
        return digits + 1 < text.size && strchr(".)", text.text[digits]) &&
               text.text[digits + 1] == ' ';
    return text.size > 1 && strchr("-*+", text.text[0]) && text.text[1] == ' ';
}

// "[name]: address", which a reader does not see.
static bool is_link_definition(line_t line)
{
    line_t text = trimmed(line);
    if (text.size < 4 || text.text[0] != '[' || text.text[1] == '^' || line.indent > 3)
        return false;
    const char *close = memchr(text.text, ']', text.size);
    return close && close + 1 < text.text + text.size && close[1] == ':';
}

static bool is_table_rule(line_t line)
{
    line_t text = trimmed(line);
    bool dash = false, bar = false;
    for (size_t i = 0; i < text.size; i++) {
        dash = dash || text.text[i] == '-';
        bar = bar || text.text[i] == '|';
        if (!strchr("-|: ", text.text[i]))
            return false;
    }
    return dash && bar;
}

// ---- blocks -------------------------------------------------------------------------------------

// Lines up to the fence that closes, without the fences.
static void read_fence(reading_t *self, line_t open)
{
    line_t text = trimmed(open);
    char mark = text.text[0];
    size_t length = run_of(&text, mark);
    const char *from = self->at, *to = self->at;
    line_t line;
    while (next_line(self, &line)) {
        line_t close = trimmed(line);
        if (close.size >= length && run_of(&close, mark) == close.size && close.size > 0)
            break;
        to = self->at;
    }
    document_lines(self->doc, from, (size_t)(to - from));
}

// Lines indented by four columns or more, up to the first that is not (blank ones do not end it).
static void read_indented(reading_t *self, line_t first)
{
    const char *from = first.text, *to = first.text + first.size;
    line_t line;
    const char *before = self->at;
    while (next_line(self, &line)) {
        if (trimmed(line).size > 0 && line.indent < 4)
            break;
        before = self->at;
        to = line.text + line.size;
    }
    self->at = before;
    document_lines(self->doc, from, (size_t)(to - from));
}

// Rows; the paragraph's only line so far is the head, and the rule under it has been read.
static void read_table(reading_t *self)
{
    rl_buf_t rows = rl_buf_make(MAX_BLOCK);
    markdown_inline(self->paragraph.data, self->paragraph.size, &rows);
    rl_buf_clear(&self->paragraph);
    line_t line;
    const char *before = self->at;
    while (next_line(self, &line)) {
        if (trimmed(line).size == 0 || !memchr(line.text, '|', line.size))
            break;
        markdown_inline(line.text, line.size, &rows);
        rl_buf_adds(&rows, "\n");
        before = self->at;
    }
    self->at = before;
    self->doc->failed = self->doc->failed || rows.full;
    document_lines(self->doc, rows.data, rows.size);
    rl_buf_free(&rows);
}

static void skip_comment(reading_t *self, line_t line)
{
    size_t left = (size_t)(self->end - line.text);
    const char *end = memmem(line.text, left, "-->", 3);
    self->at = end ? end + 3 : line.text + line.size + (line.text + line.size < self->end);
}

// One row of `key: value` of the front matter.
static void front_field(line_t line, json_t *meta, document_t *doc)
{
    line = trimmed(line);
    const char *colon = memchr(line.text, ':', line.size);
    if (line.indent > 0 || !colon || colon == line.text || *line.text == '#')
        return;
    char key[64], value[1024];
    size_t key_size = (size_t)(colon - line.text);
    line_t rest =
        trimmed((line_t){.text = colon + 1, .size = (size_t)(line.text + line.size - colon) - 1});
    if (rest.size >= 2 && strchr("\"'", rest.text[0]) && rest.text[rest.size - 1] == rest.text[0])
        rest.text++, rest.size -= 2;
    if (rest.size == 0 || key_size >= sizeof key || rest.size >= sizeof value)
        return;
    memcpy(key, line.text, key_size);
    key[key_size] = '\0';
    memcpy(value, rest.text, rest.size);
    value[rest.size] = '\0';
    if (strcasecmp(key, "title") == 0)
        document_set(&doc->title, value, rest.size, DOC_MAX_TITLE);
    else if (json_object_size(meta) < MAX_FIELDS)
        json_object_set_new(meta, key, json_string(value));
}

// "---", fields, "---" at the very start.
static void read_front_matter(reading_t *self)
{
    const char *start = self->at;
    line_t line;
    if (!next_line(self, &line) || line.size < 3 || memcmp(line.text, "---", 3) != 0 ||
        trimmed(line).size != 3) {
        self->at = start;
        return;
    }
    json_t *meta = json_object();
    bool closed = false;
    while (!closed && next_line(self, &line)) {
        line_t text = trimmed(line);
        closed = text.size == 3 &&
                 (memcmp(text.text, "---", 3) == 0 || memcmp(text.text, "...", 3) == 0);
        if (!closed)
            front_field(line, meta, self->doc);
    }
    char *json = closed && json_object_size(meta) > 0 ? json_dumps(meta, JSON_COMPACT) : NULL;
    if (json) {
        free(self->doc->meta);
        self->doc->meta = json;
    }
    json_decref(meta);
    if (!closed) { // no front matter, but a rule
        self->at = start;
        document_set(&self->doc->title, "", 0, 0);
    }
}

static void add_to_paragraph(reading_t *self, line_t line)
{
    // a quote is read as what it quotes
    size_t at = 0;
    while (at < line.size && line.indent < 4 && strchr("> \t", line.text[at]) &&
           memchr(line.text + at, '>', line.size - at) == line.text + at)
        at += 1 + (at + 1 < line.size && line.text[at + 1] == ' ');
    rl_buf_add(&self->paragraph, line.text + at, line.size - at);
    rl_buf_adds(&self->paragraph, "\n");
}

static void read_line(reading_t *self, line_t line)
{
    line_t text = trimmed(line), words;
    size_t lines = self->paragraph.size;
    bool one_line =
        lines > 0 && memchr(self->paragraph.data, '\n', lines) == self->paragraph.data + lines - 1;
    int level;
    if (text.size == 0) {
        flush(self);
        self->listed = self->listed && self->at < self->end;
    } else if (text.size >= 3 &&
               (memcmp(text.text, "```", 3) == 0 || memcmp(text.text, "~~~", 3) == 0)) {
        flush(self);
        read_fence(self, line);
    } else if ((level = heading_of(line, &words))) {
        flush(self);
        self->listed = false;
        add_inline(self, level, words.text, words.size);
    } else if (one_line && !self->listed && (level = underline_of(line))) {
        add_inline(self, level, self->paragraph.data, lines);
        rl_buf_clear(&self->paragraph);
    } else if (one_line && is_table_rule(line) && memchr(self->paragraph.data, '|', lines)) {
        read_table(self);
    } else if (is_rule(line)) {
        flush(self);
    } else if (lines == 0 && is_link_definition(line)) {
        return;
    } else if (lines == 0 && text.size >= 4 && memcmp(text.text, "<!--", 4) == 0) {
        skip_comment(self, line);
    } else if (lines == 0 && line.indent >= 4 && !self->listed) {
        read_indented(self, line);
    } else {
        if (is_item(line))
            self->listed = true;
        else if (lines == 0 && line.indent == 0)
            self->listed = false;
        add_to_paragraph(self, line);
    }
}

static int read_markdown(const char *text, size_t size, document_t *doc, char *why, size_t why_size)
{
    (void)why, (void)why_size;
    reading_t self = {
        .doc = doc, .at = text, .end = text + size, .paragraph = rl_buf_make(MAX_BLOCK)};
    read_front_matter(&self);
    line_t line;
    while (next_line(&self, &line) && !doc->failed)
        read_line(&self, line);
    flush(&self);
    rl_buf_free(&self.paragraph);
    document_title_from_heading(doc);
    return 0;
}

const format_t format_markdown = {
    .name = "markdown",
    .extensions = "md markdown mkd mdown mdx",
    .looks = looks_like_markdown,
    .read = read_markdown,
};
