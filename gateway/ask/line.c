// line: a line while it is typed.
#include "line.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "sanitize.h"
#include "utf8.h"

enum {
    KEPT = 100, // lines
};

struct line {
    rl_buf_t text; // always with a NUL byte
    size_t cursor;
    char *taken;      // what was taken away last, "" if nothing was
    char *kept[KEPT]; // lines before, the last one first
    size_t kept_size;
    size_t shown;  // 0: the new line, n: kept[n - 1]
    char *pending; // the new line while another one is shown
};

static char *copy_of(const char *text, size_t size)
{
    char *copy = rl_strndup(text, size);
    return copy;
}

line_t *line_new(size_t max)
{
    line_t *self = rl_new(*self);
    self->text = rl_buf_make(max);
    self->taken = copy_of("", 0);
    rl_buf_adds(&self->text, "");
    return self;
}

void line_destroy(line_t **self_p)
{
    line_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->kept_size; at++)
        free(self->kept[at]);
    free(self->pending);
    free(self->taken);
    rl_buf_free(&self->text);
    free(self);
    *self_p = NULL;
}

const char *line_text(const line_t *self)
{
    return self->text.data ? self->text.data : "";
}

size_t line_cursor(const line_t *self)
{
    return self->cursor;
}

// ---- where characters and words begin
// -------------------------------------------------------------

static size_t width_at(const line_t *self, size_t at, size_t *used)
{
    return (size_t)rl_sanitize_width(
        rl_utf8_next(self->text.data + at, self->text.size - at, used));
}

// The character behind `at`, with the marks on it.
static size_t next_character(const line_t *self, size_t at)
{
    size_t used;
    if (at >= self->text.size)
        return at;
    width_at(self, at, &used);
    at += used;
    while (at < self->text.size && width_at(self, at, &used) == 0)
        at += used;
    return at;
}

static size_t previous_character(const line_t *self, size_t at)
{
    size_t used;
    while (at > 0) {
        do
            at--;
        while (at > 0 && ((unsigned char)self->text.data[at] & 0xC0) == 0x80);
        if (width_at(self, at, &used) > 0)
            break;
    }
    return at;
}

static bool is_blank(const line_t *self, size_t at)
{
    return at < self->text.size && self->text.data[at] == ' ';
}

static size_t word_after(const line_t *self, size_t at)
{
    while (is_blank(self, at))
        at++;
    while (at < self->text.size && !is_blank(self, at))
        at++;
    return at;
}

static size_t word_before(const line_t *self, size_t at)
{
    while (at > 0 && is_blank(self, at - 1))
        at--;
    while (at > 0 && !is_blank(self, at - 1))
        at--;
    return at;
}

// ---- changes
// --------------------------------------------------------------------------------------

bool line_insert(line_t *self, const char *bytes, size_t size)
{
    rl_buf_t *text = &self->text;
    if (size == 0 || size > text->max - text->size)
        return false;
    size_t behind = text->size - self->cursor;
    if (rl_buf_add(text, bytes, size) != 0)
        return false;
    memmove(text->data + self->cursor + size, text->data + self->cursor, behind);
    memcpy(text->data + self->cursor, bytes, size);
    self->cursor += size;
    return true;
}

static bool cut_text(line_t *self, size_t from, size_t to, bool take)
{
    rl_buf_t *text = &self->text;
    if (from == to)
        return false;
    if (take) {
        free(self->taken);
        self->taken = copy_of(text->data + from, to - from);
    }
    memmove(text->data + from, text->data + to, text->size - to + 1);
    text->size -= to - from;
    self->cursor = from;
    return true;
}

static bool move_cursor(line_t *self, size_t to)
{
    bool moved = to != self->cursor;
    self->cursor = to;
    return moved;
}

static void set_text(line_t *self, const char *text)
{
    rl_buf_clear(&self->text);
    rl_buf_adds(&self->text, "");
    self->cursor = 0;
    line_insert(self, text, strlen(text));
}

// Shows the line that was kept nth, or the new one (0).
static bool show_earlier(line_t *self, size_t nth)
{
    if (nth > self->kept_size || nth == self->shown)
        return false;
    if (self->shown == 0) {
        free(self->pending);
        self->pending = copy_of(line_text(self), self->text.size);
    }
    self->shown = nth;
    set_text(self, nth == 0 ? self->pending : self->kept[nth - 1]);
    return true;
}

bool line_key(line_t *self, typed_key_t key)
{
    size_t at = self->cursor, end = self->text.size;
    switch (key) {
    case TYPED_LEFT:
        return move_cursor(self, previous_character(self, at));
    case TYPED_RIGHT:
        return move_cursor(self, next_character(self, at));
    case TYPED_WORD_LEFT:
        return move_cursor(self, word_before(self, at));
    case TYPED_WORD_RIGHT:
        return move_cursor(self, word_after(self, at));
    case TYPED_HOME:
        return move_cursor(self, 0);
    case TYPED_END:
        return move_cursor(self, end);
    case TYPED_UP:
        return show_earlier(self, self->shown + 1);
    case TYPED_DOWN:
        return self->shown > 0 && show_earlier(self, self->shown - 1);
    case TYPED_ERASE:
        return cut_text(self, previous_character(self, at), at, false);
    case TYPED_DELETE:
        return cut_text(self, at, next_character(self, at), false);
    case TYPED_ERASE_WORD:
        return cut_text(self, word_before(self, at), at, true);
    case TYPED_DELETE_WORD:
        return cut_text(self, at, word_after(self, at), true);
    case TYPED_ERASE_LINE:
        return cut_text(self, 0, at, true);
    case TYPED_DELETE_LINE:
        return cut_text(self, at, end, true);
    case TYPED_YANK:
        return line_insert(self, self->taken, strlen(self->taken));
    default:
        return false;
    }
}

static void keep_line(line_t *self)
{
    const char *text = line_text(self);
    if (strspn(text, " ") == self->text.size ||
        (self->kept_size > 0 && strcmp(self->kept[0], text) == 0))
        return;
    if (self->kept_size == KEPT)
        free(self->kept[--self->kept_size]);
    memmove(self->kept + 1, self->kept, self->kept_size * sizeof *self->kept);
    self->kept[0] = copy_of(text, self->text.size);
    self->kept_size++;
}

void line_done(line_t *self)
{
    keep_line(self);
    self->shown = 0;
    set_text(self, "");
}

// ---- on the screen
// ----------------------------------------------------------------------------------

line_place_t line_lay(const char *text, size_t size, size_t from, size_t columns, rl_buf_t *out)
{
    line_place_t place = {.column = from};
    size_t used;
    for (size_t at = 0; at < size; at += used) {
        size_t width = (size_t)rl_sanitize_width(rl_utf8_next(text + at, size - at, &used));
        if (place.column + width > columns) {
            place.row++;
            place.column = 0;
            if (out)
                rl_buf_adds(out, "\r\n");
        }
        if (out)
            rl_buf_add(out, text + at, used);
        place.column += width;
    }
    if (place.column >= columns) { // the cursor stands behind the last column only on the next row
        place.row++;
        place.column = 0;
        if (out)
            rl_buf_adds(out, "\r\n");
    }
    return place;
}
