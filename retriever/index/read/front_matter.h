// front_matter: the YAML between two lines of --- with which a Markdown file may begin, as a title
// and metadata.
#ifndef FRONT_MATTER_H
#define FRONT_MATTER_H

#include "document.h"

// Finds the front matter at the beginning of a text: its size with both marks, 0 if there is none
// (a rule is followed by a blank line, or no second mark comes). *yaml_p and *yaml_size_p are what
// is between the marks.
size_t front_matter_find(const char *text, size_t size, const char **yaml_p, size_t *yaml_size_p);

// Reads it into the document's title and metadata. Plain scalars are typed by YAML 1.2's core
// schema, dates and whatever is quoted stay text. Returns 0, or -1 with what is wrong and in which
// line of the file in `why`; then the document is as it was.
int front_matter_read(const char *yaml, size_t size, document_t *doc, char *why, size_t why_size);

#endif
