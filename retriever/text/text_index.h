// text_index: a shard's postings in a Xapian database: written here, searched by source_xapian.
// Every C++ exception ends here, as an error with its description.
#ifndef TEXT_INDEX_H
#define TEXT_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "selection.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TEXT_FOLDER "text"

typedef struct text_writer text_writer_t;

// Makes the database at `path` (a folder that must not exist yet); several threads can each write
// one. NULL and `why` on failure.
text_writer_t *text_writer_new(const char *path, const char *language, char *why, size_t why_size);

// Adds a passage as docid `id`, which must be the next one. Returns 0, or -1 with `why`.
int text_writer_add(text_writer_t *self, uint64_t id, const char *title, const char *heading,
                    const char *text, char *why, size_t why_size);

// Commits and closes; *self_p becomes NULL. Returns 0, or -1 with `why`.
int text_writer_finish(text_writer_t **self_p, char *why, size_t why_size);
// Closes without caring for what is written.
void text_writer_destroy(text_writer_t **self_p);

// Makes one database at `path` of several, whose docids follow each other in this order. It is
// packed as closely as can be: nothing is to be added to it. Returns 0, or -1 with `why`.
int text_merge(const char *const *from, size_t size, const char *path, char *why, size_t why_size);

// ---- searching ----------------------------------------------------------------------------------

typedef struct text_index text_index_t; // a handle; one for each thread

text_index_t *text_index_new(const char *path, const char *language, char *why, size_t why_size);
void text_index_destroy(text_index_t **self_p);

uint64_t text_index_count(const text_index_t *self);

// The k passages with the highest BM25 weight, best first, into ids and scores (room for k each).
// `bound` gets the highest weight that a passage with all words of this text could have, words that
// the shard does not know included: score / bound is the share of the question that a passage
// covers (0..1), comparable across shards; 0 when the text has no words but stop words. Words of
// the text are searched as words, whatever they look like. With `selection` only its passages are
// looked at; their weights are as without. Returns how many there are, or -1 with `why`.
long text_index_search(text_index_t *self, const char *text, size_t k, const selection_t *selection,
                       uint64_t *ids, double *scores, double *bound, char *why, size_t why_size);

// How many passages have each of the terms (analyzer.h), and the passages' average length in terms.
void text_index_terms(text_index_t *self, const char *const *terms, size_t size, uint64_t *passages,
                      double *length);

// BM25, to be computed outside of Xapian: the weight of a term that stands `times` times in the
// question and that `matching` of `passages` passages have; the share of it for a passage in which
// the term stands `times` times and whose length is `length` times the average; and the largest
// share.
double text_term_weight(double passages, double matching, double times);
double text_term_share(double times, double length);
double text_term_most(void);

#ifdef __cplusplus
}
#endif

#endif
