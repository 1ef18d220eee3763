// typed: the bytes of a terminal as keys: characters, and the sequences that other keys send.
#ifndef TYPED_H
#define TYPED_H

#include <stdbool.h>
#include <stddef.h>

typedef enum typed_key {
    TYPED_NOTHING, // more bytes are needed, or these mean nothing here
    TYPED_TEXT,    // a character
    TYPED_ENTER,
    TYPED_END_OF_INPUT, // Ctrl-D
    TYPED_LEFT,
    TYPED_RIGHT,
    TYPED_WORD_LEFT,
    TYPED_WORD_RIGHT,
    TYPED_HOME,
    TYPED_END,
    TYPED_UP,
    TYPED_DOWN,
    TYPED_ERASE,  // what is before the cursor: a character
    TYPED_DELETE, // what is behind it
    TYPED_ERASE_WORD,
    TYPED_DELETE_WORD,
    TYPED_ERASE_LINE, // all before the cursor
    TYPED_DELETE_LINE,
    TYPED_YANK,        // what was taken away last comes back
    TYPED_REDRAW,      // on an empty screen
    TYPED_PASTE,       // what follows is pasted (bracketed paste),
    TYPED_PASTE_ENDED, // up to here
} typed_key_t;

enum {
    TYPED_SEQUENCE = 16, // bytes of a key's sequence that count; longer ones mean nothing
};

typedef struct typed {
    enum {
        TYPED_PLAIN,
        TYPED_ESCAPE,  // after ESC
        TYPED_CONTROL, // after ESC [
        TYPED_SINGLE,  // after ESC O
        TYPED_UTF8,    // within a character
    } state;
    char bytes[TYPED_SEQUENCE]; // of the sequence, or of the character
    size_t size, wanted;        // wanted: bytes of the character
} typed_t;

// Takes one byte. With TYPED_TEXT the character stands in self->bytes (self->size bytes of valid
// UTF-8, which no terminal takes as a command) until the next call.
typed_key_t typed_take(typed_t *self, char byte);

#endif
