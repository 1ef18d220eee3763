// document: what a format makes of a file: extracted text, and which stretch of it is a heading, a
// paragraph or lines that belong together. Passages are cut from this, and their offsets count in
// it.
#ifndef DOCUMENT_H
#define DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

enum {
    DOC_MAX_TEXT = 256 << 20, // bytes of extracted text of one document
    DOC_MAX_TITLE = 512,      // bytes; a longer title is cut at a character's end
    DOC_MAX_ID = 1024,        // bytes of a document's id
    DOC_MAX_META = 64 << 10,  // bytes of the metadata as JSON
};

typedef enum block_kind {
    BLOCK_HEADING,   // one line, level 1..6
    BLOCK_PARAGRAPH, // running text; line ends are no more than white space, but for lists
    BLOCK_LINES,     // code, a table: to be cut at line ends only
} block_kind_t;

// A stretch [start, end) of the text, in bytes. Blocks are in order and do not overlap; between two
// of them is white space (and the line under a heading, in plain text).
typedef struct block {
    block_kind_t kind;
    int level; // of a heading
    size_t start, end;
} block_t;

typedef struct document {
    char *id;      // NULL until someone knows it
    char *title;   // "" if it has none
    char *source;  // NULL: the file it was read from
    char *meta;    // JSON object of other fields, "" if none
    float *vector; // supplied embedding, NULL if none
    size_t vector_size;
    rl_buf_t text; // valid UTF-8 without NUL
    block_t *blocks;
    size_t blocks_size, blocks_room;
    size_t repaired;  // bytes that are not UTF-8 and were replaced
    char *note;       // what of the file was not understood, for the operator; NULL: nothing
    bool wrong_field; // what its format refuses is a field, the rest could be read
    bool failed;      // memory ran out or a bound was passed: the document is not to be used
} document_t;

// Empty; its strings are owned by it.
void document_init(document_t *self);
void document_free(document_t *self);

// Replaces a string of the document by a copy; white space is folded, and the copy is cut at
// `max` bytes (at a character's end). 0: as it is.
void document_set(char **field_p, const char *text, size_t size, size_t max);

// Appends a block. Text is trimmed of white space at both ends (of LINES: blank lines in front,
// white space behind); nothing is appended if nothing is left. A heading's white space is folded.
void document_heading(document_t *self, int level, const char *text, size_t size);
void document_paragraph(document_t *self, const char *text, size_t size);
void document_lines(document_t *self, const char *text, size_t size);

// The other way: the whole text as it came, and then blocks that point into it (trimmed at both
// ends as above), so that passages' offsets count in the original.
void document_text(document_t *self, const char *text, size_t size);
void document_mark(document_t *self, block_kind_t kind, int level, size_t start, size_t end);

// Says that a part of the file was not understood; the first note stays.
void document_note(document_t *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Takes the first heading as title if there is none yet.
void document_title_from_heading(document_t *self);

#endif
