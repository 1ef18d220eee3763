// words: the answer's words on a stream as they come: on a terminal wrapped at its width, else as
// they are; harmless either way.
#ifndef WORDS_H
#define WORDS_H

#include <stdio.h>

#include "buf.h"
#include "style.h"

typedef struct words words_t;

// `max_text` bounds what is kept of the answer for the conversation.
words_t *words_new(FILE *out, const style_t *style, size_t max_text);
void words_destroy(words_t **self_p);

// More of the answer. A word that has begun is shown at once; where it turns out too long for its
// line it moves to the next.
void words_add(words_t *self, const char *text, size_t size);

// The sentence that just ended rests on passage n: " [n]" after it, unless it says so itself.
void words_cite(words_t *self, unsigned n);

// Ends the last line, if there is one.
void words_end(words_t *self);

// The answer so far without the added citations; owned by the words.
const char *words_text(const words_t *self);

#endif
