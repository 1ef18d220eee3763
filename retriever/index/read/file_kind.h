// file_kind: what a file is by its bytes, whatever its name says, where these are of a kind that is
// not read as text.
#ifndef FILE_KIND_H
#define FILE_KIND_H

#include <stddef.h>

// Words for the kind that these first bytes are of ("a PDF document"), NULL: they may be text.
const char *file_kind_of(const char *head, size_t size);

#endif
