// top_screen: the page on a terminal, by ncurses: looks, keys, scrolling, resizing.
#ifndef TOP_SCREEN_H
#define TOP_SCREEN_H

#include <event2/event.h>
#include <jansson.h>

#include "top_page.h"

typedef struct top_screen top_screen_t;

// Takes the terminal of standard input and output over until top_screen_destroy. `view` is what to
// begin with; its filter is copied. `quit` is called from the loop when the person wants to end, or
// the terminal is gone. NULL where the terminal cannot do it (TERM).
top_screen_t *top_screen_new(struct event_base *base, const top_view_t *view,
                             void (*quit)(void *arg), void *arg);
void top_screen_destroy(top_screen_t **self_p);

// Shows this sum (see top_watch_sum), unless it is paused. Takes it.
void top_screen_show(top_screen_t *self, json_t *sum);

#endif
