// document: the text and its blocks, as the formats append them.

#include "document.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "utf8.h"

enum {
    MAX_BLOCKS = 8 << 20,
    MAX_NOTE = 512,
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

void document_init(document_t *self)
{
    *self = (document_t){.text = rl_buf_make(DOC_MAX_TEXT)};
    self->title = rl_strdup("");
    self->meta = rl_strdup("");
}

void document_free(document_t *self)
{
    free(self->id);
    free(self->title);
    free(self->source);
    free(self->meta);
    free(self->vector);
    free(self->blocks);
    free(self->note);
    rl_buf_free(&self->text);
    *self = (document_t){.text = rl_buf_make(0)};
}

// White space at both ends gone, every other stretch of it one blank.
static char *fold_space(const char *text, size_t size, size_t *out_size)
{
    char *out = malloc(size + 1);
    if (!out)
        return NULL;
    size_t at = 0;
    bool gap = false;
    for (size_t i = 0; i < size; i++) {
        if (is_space(text[i])) {
            gap = at > 0;
            continue;
        }
        if (gap)
            out[at++] = ' ';
        gap = false;
        out[at++] = text[i];
    }
    out[at] = '\0';
    *out_size = at;
    return out;
}

void document_set(char **field_p, const char *text, size_t size, size_t max)
{
    size_t length;
    char *copy = fold_space(text, size, &length);
    if (!copy)
        return;
    if (max && length > max) {
        length = rl_utf8_whole(copy, max);
        while (length > 0 && copy[length - 1] == ' ')
            length--;
        copy[length] = '\0';
    }
    free(*field_p);
    *field_p = copy;
}

static void add_block(document_t *self, block_t block)
{
    if (self->blocks_size == self->blocks_room) {
        size_t room = self->blocks_room ? self->blocks_room * 2 : 16;
        block_t *blocks = room <= MAX_BLOCKS ? realloc(self->blocks, room * sizeof *blocks) : NULL;
        if (!blocks) {
            self->failed = true;
            return;
        }
        self->blocks = blocks;
        self->blocks_room = room;
    }
    if (!self->failed)
        self->blocks[self->blocks_size++] = block;
}

// Moves both ends inwards to what is no white space; the first of several lines keeps its
// indentation.
static void trim_space(block_kind_t kind, const char *text, size_t *start_p, size_t *end_p)
{
    size_t start = *start_p, end = *end_p, line = start;
    while (end > start && is_space(text[end - 1]))
        end--;
    for (; start < end && is_space(text[start]); start++)
        if (text[start] == '\n')
            line = start + 1;
    *start_p = kind == BLOCK_LINES && start < end ? line : start;
    *end_p = end;
}

static void append_block(document_t *self, block_kind_t kind, int level, const char *text,
                         size_t size)
{
    size_t from = 0;
    trim_space(kind, text, &from, &size);
    if (from >= size)
        return;
    if (self->text.size > 0 && rl_buf_adds(&self->text, "\n\n") != 0)
        self->failed = true;
    size_t start = self->text.size;
    if (rl_buf_add(&self->text, text + from, size - from) != 0)
        self->failed = true;
    add_block(self,
              (block_t){.kind = kind, .level = level, .start = start, .end = start + size - from});
}

void document_heading(document_t *self, int level, const char *text, size_t size)
{
    size_t length;
    char *copy = fold_space(text, size, &length);
    if (!copy) {
        self->failed = true;
        return;
    }
    append_block(self, BLOCK_HEADING, level, copy, length);
    free(copy);
}

void document_paragraph(document_t *self, const char *text, size_t size)
{
    append_block(self, BLOCK_PARAGRAPH, 0, text, size);
}

void document_lines(document_t *self, const char *text, size_t size)
{
    append_block(self, BLOCK_LINES, 0, text, size);
}

void document_text(document_t *self, const char *text, size_t size)
{
    if (rl_buf_add(&self->text, text, size) != 0)
        self->failed = true;
}

void document_mark(document_t *self, block_kind_t kind, int level, size_t start, size_t end)
{
    trim_space(kind, self->text.data, &start, &end);
    if (start < end)
        add_block(self, (block_t){.kind = kind, .level = level, .start = start, .end = end});
}

void document_note(document_t *self, const char *format, ...)
{
    char text[MAX_NOTE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!self->note)
        self->note = rl_strdup(text);
}

void document_title_from_heading(document_t *self)
{
    if (self->title && self->title[0])
        return;
    for (size_t i = 0; i < self->blocks_size; i++) {
        const block_t *block = &self->blocks[i];
        if (block->kind == BLOCK_HEADING) {
            document_set(&self->title, self->text.data + block->start, block->end - block->start,
                         DOC_MAX_TITLE);
            return;
        }
    }
}
