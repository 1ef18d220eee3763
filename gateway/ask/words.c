// words: the answer's words on a stream as they come.
//
// White space is held back until the next visible character, so that a citation that comes after it
// can stand before it, and so that a line never ends in blanks.
#include "words.h"

#include <stdlib.h>
#include <string.h>

#include "cites.h"
#include "mem.h"
#include "sanitize.h"
#include "utf8.h"

enum {
    WIDEST = 100,    // lines longer than this are hard to read, however wide the terminal
    MAX_HELD = 64,   // characters of white space in a row
    MAX_WORD = 512,  // bytes of a word that can still be moved to the next line
    LAST_CITED = 16, // citations remembered at one place
    RECENT = 600,    // bytes looked at for the model's own citation
};

struct words {
    FILE *out;
    style_t style;
    int columns; // 0: no wrapping
    rl_buf_t text;
    char held[MAX_HELD]; // white space not yet written
    size_t held_size;
    rl_buf_t word; // the word at the end of the line
    int column;    // where the next character goes
    int word_start;
    int indent;         // of continued lines
    char line_start[4]; // first visible characters of the line
    size_t line_seen;
    bool code;    // between ``` and ```
    bool heading; // the line began with #
    bool wrapped; // the line goes on from the one above
    bool any;
    unsigned cited[LAST_CITED]; // at this place
    size_t cited_size;
};

words_t *words_new(FILE *out, const style_t *style, size_t max_text)
{
    words_t *self = rl_new(*self);
    self->out = out;
    self->style = *style;
    if (style->terminal) {
        // the last column stays free: terminals differ in when they wrap after filling it
        self->columns = style->columns > WIDEST ? WIDEST : style->columns - 1;
    }
    self->text = rl_buf_make(max_text);
    self->word = rl_buf_make(MAX_WORD);
    return self;
}

void words_destroy(words_t **self_p)
{
    words_t *self = *self_p;
    if (!self)
        return;
    rl_buf_free(&self->text);
    rl_buf_free(&self->word);
    free(self);
    *self_p = NULL;
}

static void end_word(words_t *self)
{
    rl_buf_clear(&self->word);
    self->word.full = false;
}

static void new_line(words_t *self)
{
    if (self->heading)
        fputs(style_on(&self->style, STYLE_OFF), self->out);
    if (self->line_seen == 3 && memcmp(self->line_start, "```", 3) == 0)
        self->code = !self->code;
    self->heading = self->wrapped = false;
    self->line_seen = 0;
    self->column = self->indent = self->word_start = 0;
    end_word(self);
    fputc('\n', self->out);
}

// Goes on at the next line of the same paragraph.
static void wrap_line(words_t *self)
{
    fprintf(self->out, "\n%*s", self->indent, "");
    self->column = self->word_start = self->indent;
    self->wrapped = true;
}

// A list's lines go on under its text: after "-", "*", "+", "12." or "3)".
static void indent_after_mark(words_t *self)
{
    const char *word = self->word.data;
    size_t digits = strspn(word, "0123456789");
    bool mark = (digits == 0 && strchr("-*+", *word) && !word[1]) ||
                (digits > 0 && digits < 4 && strchr(".)", word[digits]) && word[digits] &&
                 !word[digits + 1]);
    if (mark)
        self->indent = self->column + 1;
}

static void write_space(words_t *self, char c)
{
    if (c == '\n') {
        new_line(self);
        return;
    }
    if (self->word.size > 0 && self->word_start == self->indent && !self->wrapped)
        indent_after_mark(self);
    else if (self->line_seen == 0)
        self->indent = self->column + 1 < self->columns / 2 ? self->column + 1 : self->indent;
    end_word(self);
    if (self->columns && !self->code && self->column + 1 >= self->columns) {
        wrap_line(self);
        return;
    }
    fputc(c, self->out);
    self->column++;
    self->word_start = self->column;
}

static void write_held(words_t *self)
{
    size_t size = self->held_size;
    self->held_size = 0;
    for (size_t at = 0; at < size; at++)
        write_space(self, self->held[at]);
}

static void hold_back(words_t *self, char c)
{
    if (!self->any)
        return; // the answer begins with its first visible character
    if (self->held_size == MAX_HELD)
        write_held(self);
    self->held[self->held_size++] = c;
}

// The word at the end of the line is too long for it: it and the blank before it are erased, and it
// is written again on the next line.
static void move_word(words_t *self)
{
    int width = self->column - self->word_start;
    fprintf(self->out, "\033[%dD\033[K", width + 1);
    wrap_line(self);
    if (width > 0)
        fwrite(self->word.data, 1, self->word.size, self->out);
    self->column += width;
}

static void write_bytes(words_t *self, const char *bytes, size_t size, int width)
{
    write_held(self);
    if (self->line_seen < 3)
        self->line_start[self->line_seen++] = *bytes;
    if (self->line_seen == 1 && *bytes == '#' && !self->code) {
        fputs(style_on(&self->style, STYLE_BOLD), self->out);
        self->heading = true;
    }
    if (self->columns && !self->code && self->column + width > self->columns) {
        if (self->word_start > self->indent && !self->word.full &&
            self->indent + self->column - self->word_start + width <= self->columns)
            move_word(self);
        else
            wrap_line(self);
    }
    rl_buf_add(&self->word, bytes, size);
    fwrite(bytes, 1, size, self->out);
    self->column += width;
    self->any = true;
}

void words_add(words_t *self, const char *text, size_t size)
{
    size_t used;
    rl_buf_add(&self->text, text, size);
    for (size_t at = 0; at < size; at += used) {
        uint32_t point = rl_utf8_next(text + at, size - at, &used);
        if (point == '\r')
            continue;
        if (point == ' ' || point == '\n' || point == '\t') {
            hold_back(self, point == '\t' && self->columns ? ' ' : text[at]);
            continue;
        }
        self->cited_size = 0;
        if (point == 0xFFFD || rl_sanitize_is_harmful(point))
            write_bytes(self, "\uFFFD", 3, 1);
        else
            write_bytes(self, text + at, used, rl_sanitize_width(point));
    }
    fflush(self->out);
}

void words_cite(words_t *self, unsigned n)
{
    size_t size = self->text.size, from = size > RECENT ? size - RECENT : 0;
    for (size_t at = 0; at < self->cited_size; at++)
        if (self->cited[at] == n)
            return;
    if (size > 0 && cites_itself(self->text.data + from, size - from, n))
        return;
    if (self->cited_size < LAST_CITED)
        self->cited[self->cited_size++] = n;
    char held[MAX_HELD], mark[16];
    size_t held_size = self->held_size;
    memcpy(held, self->held, held_size);
    self->held_size = 0;
    snprintf(mark, sizeof mark, "[%u]", n);
    hold_back(self, ' ');
    for (const char *p = mark; *p; p++)
        write_bytes(self, p, 1, 1);
    memcpy(self->held, held, held_size);
    self->held_size = held_size;
    fflush(self->out);
}

void words_end(words_t *self)
{
    self->held_size = 0;
    if (self->any && (self->column > 0 || self->line_seen > 0))
        new_line(self);
    fflush(self->out);
}

const char *words_text(const words_t *self)
{
    return self->text.data ? self->text.data : "";
}
