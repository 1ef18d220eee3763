// show: the events of one answer on the terminal or the pipe. The answer alone goes to stdout, the
// status, the passages and the timeline to stderr.
#ifndef SHOW_H
#define SHOW_H

#include <jansson.h>
#include <stdbool.h>

#include "style.h"

typedef struct show show_t;

// `quiet`: nothing but the answer and what went wrong.
show_t *show_new(const style_t *out, const style_t *err, bool quiet);
void show_destroy(show_t **self_p);

// One event of POST /v1/ask, as it comes. Unknown events are passed over.
void show_event(show_t *self, const char *name, const json_t *data);

// A line about the state of things, in place on a terminal; replaced by what comes next.
void show_status(show_t *self, const char *message);

// No more events: the last line ends, a status still shown goes away.
void show_end(show_t *self);

// The name of the program and `text` (clean, may have several lines) on stderr.
void show_problem(show_t *self, const char *text);

// The result of POST /v1/search: the passages with their text, on stdout.
void show_passages(show_t *self, const json_t *answer);

typedef struct show_outcome {
    bool done;        // the done event came
    bool failed;      // an error event came
    bool incomplete;  // sources were missing
    const char *text; // of the answer, owned by the show
} show_outcome_t;
show_outcome_t show_outcome(const show_t *self);

#endif
