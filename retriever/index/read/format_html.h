// format_html: what of HTML serves another format.
#ifndef FORMAT_HTML_H
#define FORMAT_HTML_H

#include "document.h"

// Reads what mandoc makes of a manual page (-T html -O fragment); the document's title becomes
// "NAME(section)". Returns 0, or -1 with what is wrong in `why`.
int format_html_manual(const char *text, size_t size, document_t *doc, char *why, size_t why_size);

#endif
