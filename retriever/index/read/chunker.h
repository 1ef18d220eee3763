// chunker: cuts a document into passages.
//
// A passage is one stretch [start, end) of the document's text. Cuts fall between paragraphs where
// that leaves a passage of decent length, else between sentences; code and tables are cut between
// lines only. A passage never mixes sections, but a section of a few words joins its neighbour
// under the same parent; it then keeps its heading as a line of the text, and the passage's heading
// path is the parent's. Consecutive passages of a section overlap by whole sentences.
#ifndef CHUNKER_H
#define CHUNKER_H

#include "document.h"

typedef struct chunk_rules {
    size_t words;   // length aimed at, in words
    size_t tokens;  // if not 0: length aimed at in tokens (text_length_tokens) instead
    size_t overlap; // words (tokens) repeated from the passage before, at most
    size_t
        max_tokens; // what is embedded never has more by text_length_tokens; at least CHUNK_LEAST
    const char *prefix; // put in front of what is embedded, "" for none
} chunk_rules_t;

enum {
    CHUNK_LEAST = 32,        // least max_tokens that leaves room for text
    CHUNK_MAX_HEADING = 512, // bytes of a heading path
};

typedef struct chunk {
    size_t start, end;   // bytes of the document's text
    const char *heading; // "Options > --max-time", "" if none; valid during the call only
} chunk_t;

// Takes one passage; returns 0 to go on, anything else to stop.
typedef int(chunk_fn)(void *arg, const chunk_t *chunk);

// Cuts. Returns 0, -1 if memory ran out, or what `fn` returned to stop.
int chunk_document(const document_t *doc, const chunk_rules_t *rules, chunk_fn *fn, void *arg);

// What is embedded for a passage: prefix, title, heading path and text, each but the prefix on a
// line of its own; title and path are left out where they are empty and cut where they alone would
// take more than a quarter of max_tokens. Returns 0, or -1 when it does not fit into `out`.
int chunk_embedded(const chunk_rules_t *rules, const char *title, const char *heading,
                   const char *text, size_t size, rl_buf_t *out);

#endif
