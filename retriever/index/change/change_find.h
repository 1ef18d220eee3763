// change_find: whether documents are in the collection now, the changes since its generation
// included.
#ifndef CHANGE_FIND_H
#define CHANGE_FIND_H

#include <stdbool.h>
#include <stddef.h>

#include "change_log.h"

// Sets found[i] for each of the names that a document has as its id or, with CHANGE_DELETE_SOURCE,
// as its source. Returns 0, or -1 with `why` if the collection cannot be read.
int change_find(const char *folder, change_kind_t kind, const char *const *names, bool *found,
                size_t size, char *why, size_t why_size);

#endif
