// index_help: what the tests of the index builder share: documents as one readable string.
#ifndef INDEX_HELP_H
#define INDEX_HELP_H

#include "format.h"
#include "report.h"

// Has the text read; fails the test if the format refuses it.
void help_read(const format_t *format, const char *text, document_t *doc);

// The document's blocks, one after the other: "H1 words|P words|L lines|" (line ends as "/").
// Malloc'd, owned by the caller.
char *help_blocks(const document_t *doc);

// Reads the text and compares its blocks and title (NULL: not looked at).
void help_expect(const format_t *format, const char *text, const char *title, const char *blocks);

// Checks what every document must hold: blocks in order, within the text, at characters' ends.
void help_check(const document_t *doc);

// tests/data/docs/NAME, wherever the tests are started: the root is looked for upwards. A static
// buffer.
const char *help_fixture(const char *name);

// A report, and its end: its JSON lines go into `out`.
report_t *help_report(void);
void help_report_end(report_t **report_p, char *out, size_t size);

// A file of random text made of `seed`: words, sentences, headings, code, other scripts.
char *help_random_text(unsigned seed, size_t size);

#endif
