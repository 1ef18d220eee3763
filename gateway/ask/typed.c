// typed: the bytes of a terminal as keys.
//
// Sequences are xterm's, which others follow (https://invisible-island.net/xterm/ctlseqs/): ESC [ …
// with numbers and a last byte of @ to ~; ESC O and one byte; ESC and a byte for Meta.
#include "typed.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sanitize.h"
#include "utf8.h"

typedef struct named {
    char byte;
    typed_key_t key;
} named_t;

static typed_key_t look_up(const named_t *table, size_t size, char byte)
{
    for (size_t at = 0; at < size; at++)
        if (table[at].byte == byte)
            return table[at].key;
    return TYPED_NOTHING;
}
#define LOOK_UP(table, byte) look_up(table, sizeof(table) / sizeof *(table), byte)

// Emacs' keys, as readline has them.
static const named_t controls[] = {
    {'\r', TYPED_ENTER},
    {'\n', TYPED_ENTER},
    {'D' - '@', TYPED_END_OF_INPUT},
    {'B' - '@', TYPED_LEFT},
    {'F' - '@', TYPED_RIGHT},
    {'A' - '@', TYPED_HOME},
    {'E' - '@', TYPED_END},
    {'P' - '@', TYPED_UP},
    {'N' - '@', TYPED_DOWN},
    {'H' - '@', TYPED_ERASE},
    {0x7f, TYPED_ERASE},
    {'W' - '@', TYPED_ERASE_WORD},
    {'U' - '@', TYPED_ERASE_LINE},
    {'K' - '@', TYPED_DELETE_LINE},
    {'Y' - '@', TYPED_YANK},
    {'L' - '@', TYPED_REDRAW},
};

static const named_t metas[] = {
    {'b', TYPED_WORD_LEFT},   {'f', TYPED_WORD_RIGHT},       {'d', TYPED_DELETE_WORD},
    {0x7f, TYPED_ERASE_WORD}, {'H' - '@', TYPED_ERASE_WORD},
};

static const named_t arrows[] = {
    {'A', TYPED_UP},   {'B', TYPED_DOWN}, {'C', TYPED_RIGHT},
    {'D', TYPED_LEFT}, {'H', TYPED_HOME}, {'F', TYPED_END},
};

// ESC [ number ~
static typed_key_t of_number(long number)
{
    switch (number) {
    case 1:
    case 7:
        return TYPED_HOME;
    case 3:
        return TYPED_DELETE;
    case 4:
    case 8:
        return TYPED_END;
    case 200:
        return TYPED_PASTE;
    case 201:
        return TYPED_PASTE_ENDED;
    default:
        return TYPED_NOTHING;
    }
}

// The numbers are in self->bytes: the key, or 1, then what was held with it (2 shift, 3 alt, 5
// control, and sums).
static typed_key_t of_control(const typed_t *self, char last)
{
    char *rest;
    if (self->size == TYPED_SEQUENCE)
        return TYPED_NOTHING;
    long number = strtol(self->bytes, &rest, 10), held = *rest == ';' ? atol(rest + 1) : 0;
    if (last == '~')
        return of_number(number);
    typed_key_t key = LOOK_UP(arrows, last);
    if (held >= 3 && key == TYPED_LEFT)
        return TYPED_WORD_LEFT;
    if (held >= 3 && key == TYPED_RIGHT)
        return TYPED_WORD_RIGHT;
    return key;
}

static typed_key_t begin_key(typed_t *self, char byte)
{
    unsigned char c = (unsigned char)byte;
    self->bytes[0] = byte;
    self->size = 1;
    if (c == 0x1b) {
        self->state = TYPED_ESCAPE;
        return TYPED_NOTHING;
    }
    if (c == '\t') {
        self->bytes[0] = ' ';
        return TYPED_TEXT;
    }
    if (c < 0x20 || c == 0x7f)
        return LOOK_UP(controls, byte);
    if (c < 0x80)
        return TYPED_TEXT;
    self->wanted = c >= 0xF0 && c < 0xF5 ? 4 : c >= 0xE0 ? 3 : 2;
    if (c >= 0xC2 && c < 0xF5)
        self->state = TYPED_UTF8;
    return TYPED_NOTHING; // else a byte of no character
}

static typed_key_t go_on_character(typed_t *self, char byte)
{
    size_t used;
    if (((unsigned char)byte & 0xC0) != 0x80) { // it was none; this one may be
        self->state = TYPED_PLAIN;
        return begin_key(self, byte);
    }
    self->bytes[self->size++] = byte;
    if (self->size < self->wanted)
        return TYPED_NOTHING;
    self->state = TYPED_PLAIN;
    uint32_t point = rl_utf8_next(self->bytes, self->size, &used);
    return used == self->size && !rl_sanitize_is_harmful(point) ? TYPED_TEXT : TYPED_NOTHING;
}

static typed_key_t after_escape(typed_t *self, char byte)
{
    self->state = TYPED_PLAIN;
    self->size = 0;
    memset(self->bytes, 0, sizeof self->bytes);
    if (byte == '[')
        self->state = TYPED_CONTROL;
    else if (byte == 'O')
        self->state = TYPED_SINGLE;
    else if (byte == 0x1b)
        self->state = TYPED_ESCAPE;
    else
        return LOOK_UP(metas, byte);
    return TYPED_NOTHING;
}

static typed_key_t go_on_control(typed_t *self, char byte)
{
    if (byte >= '@' && byte <= '~') {
        self->state = TYPED_PLAIN;
        return of_control(self, byte);
    }
    if (byte == 0x1b) { // the one before was broken off
        self->state = TYPED_ESCAPE;
    } else if (self->size < TYPED_SEQUENCE - 1) {
        self->bytes[self->size++] = byte;
    } else {
        self->size = TYPED_SEQUENCE; // too long, but its end must be seen
    }
    return TYPED_NOTHING;
}

typed_key_t typed_take(typed_t *self, char byte)
{
    switch (self->state) {
    case TYPED_ESCAPE:
        return after_escape(self, byte);
    case TYPED_CONTROL:
        return go_on_control(self, byte);
    case TYPED_SINGLE:
        self->state = TYPED_PLAIN;
        return LOOK_UP(arrows, byte);
    case TYPED_UTF8:
        return go_on_character(self, byte);
    case TYPED_PLAIN:
        break;
    }
    return begin_key(self, byte);
}
