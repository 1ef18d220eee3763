// format: a file format: how a file of it is known, and how it becomes a document. A new format is
// one file with such a struct and one line in format.c.
#ifndef FORMAT_H
#define FORMAT_H

#include "document.h"
#include "report.h"

typedef struct format {
    const char *name;
    const char *extensions; // separated by blanks, without dots: "md markdown"
    // Whether these first bytes look like the format; NULL: they cannot tell.
    bool (*looks)(const char *head, size_t size);
    // Each line of the file is a document of its own.
    bool lines;
    // Fills an empty document from a file's text (or one line of it): valid UTF-8 without NUL, \n
    // line ends, NUL-terminated. Returns 0, or -1 with what is wrong in `why`.
    int (*read)(const char *text, size_t size, document_t *doc, char *why, size_t why_size);
} format_t;

extern const format_t format_markdown;
extern const format_t format_plain;
extern const format_t format_html;
extern const format_t format_man;
extern const format_t format_jsonl;

// The format of a file: what its first bytes are decides, then its name (".gz" behind it does not
// matter). NULL with *reason_p and *what_p if it is not read: its bytes are no text
// (REPORT_FORMAT, REPORT_ENCODING), or of a kind that is not for reading (REPORT_PROGRAM).
const format_t *format_for(const char *path, const char *head, size_t size,
                           report_reason_t *reason_p, const char **what_p);

// A format's place in the table of all, and the other way; NULL behind the last.
size_t format_index(const format_t *format);
const format_t *format_at(size_t index);

#endif
