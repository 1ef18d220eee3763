// html_bound: whether HTML is fit to be parsed: how deep its tree could become, and how much the
// parser could add to what is written.
#ifndef HTML_BOUND_H
#define HTML_BOUND_H

#include <stddef.h>

// Returns 0, or -1 with what is too much in `why`. Both are estimates from above, made from the
// tags alone.
int html_bound(const char *text, size_t size, char *why, size_t why_size);

#endif
