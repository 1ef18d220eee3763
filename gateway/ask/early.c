// early: lines on a terminal (a quotation, first passages) that the answer's own words replace.
#include "early.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "words.h"

enum {
    LEFT = 3, // lines of the terminal that are not taken: what is off the top stays there
};

struct early {
    FILE *out;
    style_t style;
    size_t lines, most;
};

early_t *early_new(FILE *out, const style_t *style)
{
    early_t *self = rl_new(*self);
    self->out = out;
    self->style = *style;
    self->most = style->rows > LEFT ? (size_t)style->rows - LEFT : 1;
    return self;
}

void early_destroy(early_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

void early_line(early_t *self, const char *text)
{
    if (self->lines == self->most)
        return;
    fprintf(self->out, "%s%s%s\n", style_on(&self->style, STYLE_DIM), text,
            style_on(&self->style, STYLE_OFF));
    self->lines++;
}

// The words are wrapped into memory, since their lines have to be counted.
void early_text(early_t *self, const char *text)
{
    char *wrapped = NULL;
    size_t size;
    FILE *memory = open_memstream(&wrapped, &size);
    words_t *words = memory ? words_new(memory, &self->style, strlen(text) + 1) : NULL;
    if (!words)
        rl_out_of_memory();
    words_add(words, text, strlen(text));
    words_end(words);
    words_destroy(&words);
    fclose(memory);
    size_t used = 0;
    while (used < size && self->lines < self->most) {
        const char *end = memchr(wrapped + used, '\n', size - used);
        used = end ? (size_t)(end - wrapped) + 1 : size;
        self->lines++;
    }
    fwrite(wrapped, 1, used, self->out);
    free(wrapped);
}

void early_clear(early_t *self)
{
    if (self->lines > 0)
        fprintf(self->out, "\033[%zuA\r\033[J", self->lines);
    self->lines = 0;
}

void early_keep(early_t *self)
{
    self->lines = 0;
}
