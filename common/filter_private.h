// filter_private: what the files of the filter share; for them alone.
#ifndef RL_FILTER_PRIVATE_H
#define RL_FILTER_PRIVATE_H

#include "filter.h"

// By type, then by value; strings in byte order.
int rl_filter_value_compare(const void *a, const void *b);

// Not `part`, which it takes over.
rl_filter_t *rl_filter_not(rl_filter_t *part);

// Brings it into its canonical form: parts of the same kind are one list, in order, each once; no
// list of one; not not is nothing.
void rl_filter_make_canonical(rl_filter_t **self_p);

#endif
