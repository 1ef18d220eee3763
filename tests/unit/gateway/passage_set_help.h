// hits_help: passages for tests of what keeps them.
#ifndef HITS_HELP_H
#define HITS_HELP_H

#include "passage_set.h"

// One passage with this text, of one source; a reference for the caller.
passage_set_t *help_passage_set(const char *text);

#endif
