// read_man: manual pages, from their troff source: the man(7) macros, the requests that pages use
// beside them, tables; mdoc(7) by read_mdoc.c. Nothing is laid out: text, headings, lines.

#include "man.h"
#include "format.h"

#include <stdio.h>
#include <string.h>

enum {
    MAX_LINE = 1 << 20,
    MAX_PARAGRAPH = 64 << 20,
    MAX_NESTED = 16,
    LONGEST_TAG = 100
};

static void read_one(man_t *self, const char *line, size_t size, int depth);

// A page begins with a comment or a request of two letters; no other text does.
static bool looks_like_man(const char *head, size_t size)
{
    while (size > 0 && *head == '\n')
        head++, size--;
    if (size < 3 || (*head != '.' && *head != '\''))
        return false;
    if (memcmp(head + 1, "\\\"", 2) == 0)
        return true;
    const char *word = head + 1;
    bool letters = (word[0] | 32) >= 'a' && (word[0] | 32) <= 'z' && (word[1] | 32) >= 'a' &&
                   (word[1] | 32) <= 'z';
    return letters && (size == 3 || strchr(" \n", word[2]));
}

// ---- writing ------------------------------------------------------------------------------------

const char *man_arg(const man_t *self, size_t at)
{
    return self->args.data + self->list[at];
}

void man_flush(man_t *self)
{
    self->doc->failed = self->doc->failed || self->paragraph.full;
    if (self->verbatim)
        document_lines(self->doc, self->paragraph.data, self->paragraph.size);
    else
        document_paragraph(self->doc, self->paragraph.data, self->paragraph.size);
    rl_buf_clear(&self->paragraph);
    self->tag = false;
    self->glue = false;
}

void man_end_line(man_t *self)
{
    rl_buf_t *out = &self->paragraph;
    if (out->size > 0 && out->data[out->size - 1] != '\n')
        rl_buf_adds(out, "\n");
}

void man_text(man_t *self, const char *text, size_t size)
{
    rl_buf_t *out = &self->paragraph;
    if (self->heading) {
        rl_buf_t words = rl_buf_make(MAX_LINE);
        roff_text(self->roff, text, size, &words);
        int level = self->heading;
        self->heading = 0;
        man_flush(self);
        document_heading(self->doc, level, words.data, words.size);
        self->synopsis = words.size == 8 && memcmp(words.data, "SYNOPSIS", 8) == 0;
        rl_buf_free(&words);
        return;
    }
    bool joined = self->glue || out->size == 0 || strchr(" \n", out->data[out->size - 1]);
    if (!joined && !self->verbatim)
        rl_buf_adds(out, " ");
    self->glue = size >= 2 && memcmp(text + size - 2, "\\c", 2) == 0;
    roff_text(self->roff, text, size, out);
    if (self->verbatim)
        rl_buf_adds(out, "\n");
    if (self->tag && !self->glue) {
        man_end_line(self);
        self->tag = false;
    }
}

void man_heading(man_t *self, int level)
{
    man_flush(self);
    self->verbatim = false;
    self->heading = level;
    if (self->count == 0)
        return;
    rl_buf_t words = rl_buf_make(MAX_LINE);
    for (size_t i = 0; i < self->count; i++) {
        if (i > 0)
            rl_buf_adds(&words, " ");
        rl_buf_adds(&words, man_arg(self, i));
    }
    if (words.size > 0)
        man_text(self, words.data, words.size);
    self->heading = 0;
    rl_buf_free(&words);
}

static void set_verbatim(man_t *self, bool on)
{
    if (self->verbatim == on)
        return;
    man_flush(self);
    self->verbatim = on;
}

// ---- reading ------------------------------------------------------------------------------------

bool man_line(man_t *self)
{
    rl_buf_clear(&self->line);
    if (self->at >= self->end)
        return false;
    for (;;) {
        const char *newline = memchr(self->at, '\n', (size_t)(self->end - self->at));
        const char *stop = newline ? newline : self->end;
        size_t size = (size_t)(stop - self->at);
        size_t slashes = 0;
        while (slashes < size && stop[-1 - (long)slashes] == '\\')
            slashes++;
        bool goes_on = slashes % 2 == 1 && newline;
        if (rl_buf_add(&self->line, self->at, size - goes_on) != 0)
            self->doc->failed = true;
        self->at = newline ? newline + 1 : self->end;
        if (!goes_on || self->at >= self->end)
            return true;
    }
}

// Takes lines up to one that is `mark` (".." of a definition).
static void skip_to(man_t *self, const char *mark)
{
    size_t size = strlen(mark);
    while (man_line(self))
        if (self->line.size >= size && memcmp(self->line.data, mark, size) == 0 &&
            (self->line.size == size || strchr(" \t\\", self->line.data[size])))
            return;
}

// How many blocks \{ this line opens, less those it closes.
static int braces(const char *text, size_t size)
{
    int open = 0;
    for (size_t i = 0; i + 1 < size; i++) {
        if (text[i] != '\\')
            continue;
        open += (text[i + 1] == '{') - (text[i + 1] == '}');
        i++;
    }
    return open;
}

// What follows a condition: done if it holds, else skipped with all of its block.
static void branch(man_t *self, bool holds, const char *rest, size_t size, int depth)
{
    if (holds) {
        if (size >= 2 && memcmp(rest, "\\{", 2) == 0)
            rest += 2, size -= 2;
        if (size > 0)
            read_one(self, rest, size, depth + 1);
        return;
    }
    int open = braces(rest, size);
    while (open > 0 && man_line(self))
        open += braces(self->line.data, self->line.size);
}

// ---- tables -------------------------------------------------------------------------------------

static void add_cell(man_t *self, const char *text, size_t size, bool first)
{
    if (!first)
        rl_buf_adds(&self->paragraph, " | ");
    roff_text(self->roff, text, size, &self->paragraph);
}

// A row of tbl(1): cells divided by `tab`; one that begins with T{ goes on till a line T}.
static void read_row(man_t *self, char tab)
{
    bool first = true;
    size_t at = 0;
    while (at <= self->line.size) {
        const char *text = self->line.data + at;
        size_t left = self->line.size - at;
        const char *end = left ? memchr(text, tab, left) : NULL;
        size_t size = end ? (size_t)(end - text) : left;
        if (size == 2 && memcmp(text, "T{", 2) == 0) {
            add_cell(self, "", 0, first);
            while (man_line(self) &&
                   !(self->line.size >= 2 && memcmp(self->line.data, "T}", 2) == 0)) {
                if (self->line.size > 0 && self->line.data[0] != '.')
                    man_text(self, self->line.data, self->line.size);
            }
            at = 2;
            if (self->line.size <= 2)
                break;
            at++; // the divider behind T}
        } else {
            add_cell(self, text, size, first);
            at += size + 1;
            if (!end)
                break;
        }
        first = false;
    }
    man_end_line(self);
}

static void read_table(man_t *self)
{
    char tab = '\t';
    bool format = true, options = true, verbatim = self->verbatim;
    man_flush(self);
    while (man_line(self)) {
        const char *line = self->line.data ? self->line.data : "";
        size_t size = self->line.size;
        if (size >= 3 && memcmp(line, ".TE", 3) == 0)
            break;
        if (options && size > 0 && line[size - 1] == ';') {
            const char *named = memmem(line, size, "tab(", 4);
            if (named && named + 4 < line + size)
                tab = named[4];
        } else if (format) {
            format = size == 0 || line[size - 1] != '.';
        } else if (size >= 3 && memcmp(line, ".T&", 3) == 0) {
            format = true;
        } else if (size > 0 && line[0] != '.' && strspn(line, "_=") != size) {
            read_row(self, tab);
        }
        options = false;
    }
    self->verbatim = true; // rows are lines
    man_flush(self);
    self->verbatim = verbatim;
}

// ---- macros -------------------------------------------------------------------------------------

// Adds the arguments: one behind the other with `between` in between.
static void add_args(man_t *self, size_t from, const char *between)
{
    rl_buf_t words = rl_buf_make(MAX_LINE);
    for (size_t i = from; i < self->count; i++) {
        if (i > from)
            rl_buf_adds(&words, between);
        rl_buf_adds(&words, man_arg(self, i));
    }
    if (words.size > 0)
        man_text(self, words.data, words.size);
    rl_buf_free(&words);
}

// .IP TAG: a bullet or a number stands in the item's first line, any other tag above it.
static void begin_item(man_t *self)
{
    man_flush(self);
    if (self->count == 0)
        return;
    rl_buf_t tag = rl_buf_make(MAX_LINE);
    const char *text = man_arg(self, 0);
    roff_text(self->roff, text, strlen(text), &tag);
    bool bullet = tag.size > 0 && (strcmp(tag.data, "•") == 0 || strcmp(tag.data, "*") == 0 ||
                                   strcmp(tag.data, "-") == 0 || strcmp(tag.data, "o") == 0);
    if (bullet) {
        rl_buf_adds(&self->paragraph, "- ");
    } else if (tag.size > 0) {
        rl_buf_add(&self->paragraph, tag.data, tag.size);
        bool number = tag.data[0] >= '0' && tag.data[0] <= '9' && tag.size <= 4;
        rl_buf_adds(&self->paragraph, number ? " " : "\n");
    }
    rl_buf_free(&tag);
}

static bool is(const char *name, const char *list)
{
    size_t size = strlen(name);
    for (; *list; list += strcspn(list, " "), list += strspn(list, " "))
        if (strcspn(list, " ") == size && memcmp(list, name, size) == 0)
            return true;
    return false;
}

// Whether the paragraph at work is what the indented one that follows explains.
static bool is_tag(const man_t *self)
{
    const rl_buf_t *text = &self->paragraph;
    return text->size > 0 && text->size <= LONGEST_TAG &&
           !strchr(".:;\n", text->data[text->size - 1]) && !memchr(text->data, '\n', text->size);
}

// The macros of man(7) and those that generators of pages bring along.
static bool man_macro(man_t *self, const char *name)
{
    if (strcmp(name, "TH") == 0) {
        if (self->count > 0)
            snprintf(self->titled, sizeof self->titled, "%.120s(%.20s)", man_arg(self, 0),
                     self->count > 1 ? man_arg(self, 1) : "");
    } else if (is(name, "SH SS")) {
        man_heading(self, name[1] == 'H' ? 1 : 2);
    } else if (is(name, "RS") && !self->verbatim && is_tag(self)) {
        man_end_line(self); // how pages made from DocBook write .TP
    } else if (is(name, "PP P LP HP RS RE sp bp")) {
        if (self->verbatim)
            rl_buf_adds(&self->paragraph, "\n");
        else
            man_flush(self);
    } else if (is(name, "TP")) {
        man_flush(self);
        self->tag = true;
    } else if (is(name, "TQ")) {
        man_end_line(self);
        self->tag = true;
    } else if (is(name, "IP")) {
        begin_item(self);
    } else if (is(name, "B I SM SB R")) {
        add_args(self, 0, " ");
    } else if (is(name, "BR BI IB IR RB RI")) {
        add_args(self, 0, "");
    } else if (is(name, "nf EX Vb DS")) {
        set_verbatim(self, true);
    } else if (is(name, "fi EE Ve DE")) {
        set_verbatim(self, false);
    } else if (is(name, "br")) {
        man_end_line(self);
    } else if (is(name, "UR MT")) {
        add_args(self, 0, "");
    } else if (is(name, "URL MTO")) {
        if (self->count > 1)
            add_args(self, 1, "");
        else
            add_args(self, 0, "");
    } else if (is(name, "UE ME")) {
        self->glue = true;
        add_args(self, 0, "");
    } else if (is(name, "SY")) {
        man_end_line(self);
        add_args(self, 0, " ");
    } else if (is(name, "OP")) {
        man_text(self, "[", 1);
        self->glue = true;
        add_args(self, 0, " ");
        self->glue = true;
        man_text(self, "]", 1);
    } else if (is(name, "TS")) {
        read_table(self);
    } else if (is(name, "EQ")) {
        skip_to(self, ".EN");
    } else {
        return false;
    }
    return true;
}

static void define(man_t *self, const char *rest, size_t size)
{
    size_t name = 0;
    while (name < size && rest[name] != ' ' && rest[name] != '\t')
        name++;
    size_t value = name;
    while (value < size && (rest[value] == ' ' || rest[value] == '\t'))
        value++;
    if (value < size && rest[value] == '"')
        value++;
    roff_define(self->roff, rest, name, rest + value, size - value);
}

// A request or macro line; `line` is behind the control character.
static void read_request(man_t *self, const char *line, size_t size, int depth)
{
    char name[24];
    size_t at = 0, length = 0;
    while (at < size && (line[at] == ' ' || line[at] == '\t'))
        at++;
    while (at < size && line[at] != ' ' && line[at] != '\t' && line[at] != '\\' &&
           length + 1 < sizeof name)
        name[length++] = line[at++];
    name[length] = '\0';
    while (at < size && ((unsigned char)line[at] & 0xc0) == 0x80)
        at++; // what did not fit ended within a character
    while (at < size && (line[at] == ' ' || line[at] == '\t'))
        at++;
    const char *rest = line + at;
    size -= at;
    if (length == 0)
        return; // a comment, or "." alone
    if (is(name, "if ie while")) {
        size_t behind;
        bool holds = roff_condition(self->roff, rest, size, &behind) && name[0] == 'i';
        if (strcmp(name, "ie") == 0 && self->branches < sizeof self->branch / sizeof *self->branch)
            self->branch[self->branches++] = holds;
        branch(self, holds, rest + behind, size - behind, depth);
        return;
    }
    if (is(name, "el")) {
        bool held = self->branches > 0 ? self->branch[--self->branches] : true;
        branch(self, !held, rest, size, depth);
        return;
    }
    if (is(name, "de de1 dei am am1 ig")) {
        skip_to(self, "..");
        return;
    }
    if (is(name, "ds ds1")) {
        define(self, rest, size);
        return;
    }
    rl_buf_clear(&self->args);
    self->count = roff_args(rest, size, &self->args, self->list, MAN_MAX_ARGS);
    // what neither knows (page layout, an index's entries, a page's own macros) shows nothing
    if (!man_macro(self, name))
        mdoc_macro(self, name);
}

static void read_one(man_t *self, const char *line, size_t size, int depth)
{
    if (depth > MAX_NESTED)
        return;
    if (size > 0 && (line[0] == '.' || line[0] == '\'')) {
        read_request(self, line + 1, size - 1, depth);
    } else if (size == 0 || strspn(line, " \t") >= size) {
        if (self->verbatim)
            rl_buf_adds(&self->paragraph, "\n");
        else if (!self->tag)
            man_flush(self);
    } else {
        if (!self->verbatim && (line[0] == ' ' || line[0] == '\t')) {
            man_end_line(self); // an indented line begins a new one
            while (size > 0 && (*line == ' ' || *line == '\t'))
                line++, size--;
        }
        man_text(self, line, size);
    }
}

// The title: what the section NAME says, else what .TH says.
static void set_title(man_t *self)
{
    document_t *doc = self->doc;
    for (size_t i = 0; i + 1 < doc->blocks_size; i++) {
        const block_t *block = &doc->blocks[i], *next = block + 1;
        if (block->kind == BLOCK_HEADING && block->end - block->start == 4 &&
            memcmp(doc->text.data + block->start, "NAME", 4) == 0 && next->kind != BLOCK_HEADING) {
            document_set(&doc->title, doc->text.data + next->start, next->end - next->start,
                         DOC_MAX_TITLE);
            return;
        }
    }
    document_set(&doc->title, self->titled, strlen(self->titled), DOC_MAX_TITLE);
}

static int read_man(const char *text, size_t size, document_t *doc, char *why, size_t why_size)
{
    man_t self = {.doc = doc,
                  .roff = roff_new(),
                  .at = text,
                  .end = text + size,
                  .line = rl_buf_make(MAX_LINE),
                  .args = rl_buf_make(2 * MAX_LINE),
                  .paragraph = rl_buf_make(MAX_PARAGRAPH)};
    rl_buf_t line = rl_buf_make(MAX_LINE);
    while (self.roff && man_line(&self) && !doc->failed) {
        // a copy, because what a condition skips is read into the same buffer
        rl_buf_clear(&line);
        rl_buf_add(&line, self.line.data, self.line.size);
        read_one(&self, line.data ? line.data : "", line.size, 0);
    }
    man_flush(&self);
    set_title(&self);
    rl_buf_free(&line);
    rl_buf_free(&self.line);
    rl_buf_free(&self.args);
    rl_buf_free(&self.paragraph);
    bool ok = self.roff;
    roff_destroy(&self.roff);
    if (!ok)
        snprintf(why, why_size, "out of memory");
    return ok ? 0 : -1;
}

const format_t format_man = {
    .name = "man",
    .extensions = "1 2 3 4 5 6 7 8 9 n l man mdoc 1p 3p 3pm 3perl 1ssl 3ssl 5ssl 7ssl 8ssl 1posix "
                  "3posix 3type 2type 3const 3head 3x 3ncurses 3curses 3form 1m 1x 3avr 3qt 3tcl",
    .looks = looks_like_man,
    .read = read_man,
};
