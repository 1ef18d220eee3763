// corpus: all documents of the listed files, one after the other.
#ifndef CORPUS_H
#define CORPUS_H

#include "document.h"
#include "listing.h"
#include "roots.h"

typedef struct corpus corpus_t;

typedef enum corpus_next {
    CORPUS_END,
    CORPUS_DOCUMENT, // *doc is one, which the caller frees
    CORPUS_NOTHING,  // a file or line was passed over: ask again
    CORPUS_BROKEN,   // vectors and documents do not belong together: corpus_why
} corpus_next_t;

typedef struct corpus_counts {
    uint64_t files; // read
    uint64_t bytes; // read so far, of listing_bytes
} corpus_counts_t;

// The report gets what cannot be used, or not wholly. Files are named by the roots; NULL: relative
// to the folder given, as indexes were that recorded none. Listing and report must outlive
// the corpus.
corpus_t *corpus_new(const listing_t *listing, roots_t *roots, report_t *report);

// What a reader may take for a document (read_ms, memory and output in MiB), and how many readers
// there are (0: one a core). Before the first corpus_next.
void corpus_limit(corpus_t *self, unsigned ms, size_t mb, size_t output_mb, unsigned readers);
// As index.read_… and index.readers say.
void corpus_configure(corpus_t *self, const rl_conf_t *conf);
void corpus_destroy(corpus_t **self_p);

// Fills *doc (not initialised before): id and source are set, and no two documents have the same
// id. Where a file of vectors lies beside one of documents (vector_file.h), each non-empty line's
// vector is the next row.
corpus_next_t corpus_next(corpus_t *self, document_t *doc);

// What is wrong after CORPUS_BROKEN.
const char *corpus_why(const corpus_t *self);

// Name of the file that the last call of corpus_next was about; NULL before the first. The
// listing's.
const char *corpus_file(const corpus_t *self);

// Reports something that is wrong with the document that corpus_next gave last.
void corpus_problem(corpus_t *self, report_reason_t reason, const char *what);

// Whether a line of documents holds none.
bool corpus_is_blank(const char *line, size_t size);

const corpus_counts_t *corpus_counts(const corpus_t *self);

#endif
