// corpus: all documents of the listed files, one after the other.
#ifndef RL_CORPUS_H
#define RL_CORPUS_H

#include "document.h"
#include "listing.h"

typedef struct rl_corpus rl_corpus_t;

// Told about a file ("notes/a.md") or line ("corpus.jsonl:17") that cannot be used.
typedef void(rl_corpus_problem_fn)(void *arg, const char *where, const char *what);

typedef enum rl_corpus_next {
    RL_CORPUS_END,
    RL_CORPUS_DOCUMENT, // *doc is one, which the caller frees
    RL_CORPUS_NOTHING,  // a file or line was passed over: ask again
    RL_CORPUS_BROKEN,   // vectors and documents do not belong together: rl_corpus_why
} rl_corpus_next_t;

typedef struct rl_corpus_counts {
    uint64_t files;    // read
    uint64_t left_out; // files of no kind that is read (images, style sheets…)
    uint64_t empty;    // documents without text
    uint64_t problems; // files and lines that could not be used
    uint64_t repaired; // documents with bytes that were no UTF-8
    uint64_t bytes;    // read so far, of rl_listing_bytes
} rl_corpus_counts_t;

// The listing must outlive the corpus.
rl_corpus_t *rl_corpus_new(const rl_listing_t *listing, rl_corpus_problem_fn *fn, void *arg);
void rl_corpus_destroy(rl_corpus_t **self_p);

// Fills *doc (not initialised before): id and source are set, and no two documents have the same
// id. Where a file of vectors lies beside one of documents (rows.h), each non-empty line's vector
// is the next row.
rl_corpus_next_t rl_corpus_next(rl_corpus_t *self, rl_document_t *doc);

// What is wrong after RL_CORPUS_BROKEN.
const char *rl_corpus_why(const rl_corpus_t *self);

// Name of the file that the last call of rl_corpus_next was about; NULL before the first. The
// listing's.
const char *rl_corpus_file(const rl_corpus_t *self);

// To be called by who finds something wrong with a document: names and counts it.
void rl_corpus_problem(rl_corpus_t *self, const char *where, const char *what);

const rl_corpus_counts_t *rl_corpus_counts(const rl_corpus_t *self);

#endif
