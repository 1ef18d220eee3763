// man: a manual page while it is being read: the requests and macros of man(7) in read_man.c, those
// of mdoc(7) in read_mdoc.c, both writing through what is declared here.
#ifndef MAN_H
#define MAN_H

#include "document.h"
#include "roff.h"

enum {
    MAN_MAX_ARGS = 64
};

typedef struct man {
    document_t *doc;
    roff_t *roff;
    const char *at, *end; // what has not been read
    rl_buf_t line;        // the line at work, continued lines joined
    rl_buf_t args;        // its arguments
    size_t list[MAN_MAX_ARGS];
    size_t count;
    rl_buf_t paragraph;
    bool verbatim;   // lines stay lines
    bool tag;        // the next text is the tag of an item: a line of its own
    int heading;     // the next text is a heading of this level
    bool synopsis;   // this is the section SYNOPSIS
    bool glue;       // no blank in front of the next text
    bool branch[16]; // results of the .ie that wait for their .el
    size_t branches;
    char name[128];   // mdoc: the page's name (.Nm)
    char titled[160]; // "NAME(3)" of .TH or .Dt
} man_t;

// The next line, false at the end.
bool man_line(man_t *self);

// Adds text with escapes; ends the paragraph (or block of lines) at work; ends a line within it.
void man_text(man_t *self, const char *text, size_t size);
void man_flush(man_t *self);
void man_end_line(man_t *self);

// Begins a heading of what is in the arguments, or of the next line's text.
void man_heading(man_t *self, int level);

// An argument with its escapes, NUL-terminated.
const char *man_arg(const man_t *self, size_t at);

// Handles a macro of mdoc(7), its arguments taken apart; false if it is none.
bool mdoc_macro(man_t *self, const char *name);

#endif
