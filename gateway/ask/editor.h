// editor: a line typed on a terminal, key by key, so that what stands there so far is known before
// it is sent. Editing as in a shell (arrows, words, history, Ctrl-A … Ctrl-Y), in any script, over
// as many rows as it takes. Between begin and pause it has the terminal for itself.
#ifndef EDITOR_H
#define EDITOR_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "style.h"

typedef struct editor editor_t;

typedef struct editor_events {
    // The text may be another one, after all keys that had come; valid until the call returns.
    void (*changed)(void *arg, const char *text);
    // Enter: the line, with more than blanks in it, is done. The editor pauses before the call and
    // goes on with the next editor_begin.
    void (*line)(void *arg, const char *text);
    // Ctrl-D on an empty line. The editor pauses before the call.
    void (*end)(void *arg);
    void *arg;
} editor_events_t;

// NULL unless standard input and standard error are a terminal that understands ANSI sequences
// (`style` is standard error's). At most `max` bytes a line. Not begun.
editor_t *editor_new(struct event_base *base, const style_t *style, size_t max,
                     const editor_events_t *events);
// The terminal is as it was before.
void editor_destroy(editor_t **self_p);

// Shows the prompt and goes on with what was typed ahead. Events may come from within.
void editor_begin(editor_t *self);
// Leaves the line as it stands, at its end, and gives the terminal back.
void editor_pause(editor_t *self);
bool editor_active(const editor_t *self);

// Bytes that were read from the terminal while it is active.
void editor_take(editor_t *self, const char *bytes, size_t size);

#endif
