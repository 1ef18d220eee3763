// kind: the names of the kinds of retrieval.
#include "kind.h"

#include <string.h>

const char *const kind_names[KINDS] = {"dense", "lexical"};

int kind_from_name(const char *name)
{
    for (int kind = 0; name && kind < KINDS; kind++)
        if (strcmp(kind_names[kind], name) == 0)
            return kind;
    return -1;
}
