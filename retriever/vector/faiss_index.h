// faiss_index: what FAISS 1.7.3's C API does not have: index files mapped, parameters of a single
// search, a search among some of an index's vectors. Every C++ exception ends here.
#ifndef RETRIEVER_FAISS_INDEX_H
#define RETRIEVER_FAISS_INDEX_H

#include <faiss/c_api/Index_c.h>

#include "effort.h"
#include "selection.h"

#ifdef __cplusplus
extern "C" {
#endif

// Reads an index file. The lists of an inverted file are mapped if its form allows it (*mapped):
// they are read when they are searched, and shared by all processes that map them; all else is read
// now. Returns 0, or -1 with `why`: what is no index, or whose lists end behind the file's end.
int faiss_index_read(const char *path, FaissIndex **index, bool *mapped, char *why,
                     size_t why_size);

// What a search of this index can be told, and (if it is something) how much of it there is.
effort_kind_t faiss_index_effort(FaissIndex *index, size_t *most);

// Searches with this effort for the k best of one query: scores and labels, -1 where there are no
// more. `threads`: of one search of an inverted file. Returns 0, or -1 with `why`.
int faiss_index_search(FaissIndex *index, const float *query, size_t k, effort_kind_t kind,
                       size_t effort, float *scores, int64_t *labels, char *why, size_t why_size);

// From now on all threads of a search look through the lists of one query, instead of one thread
// for each query.
void faiss_index_share_lists(FaissIndex *index);

// For each of `count` queries the k best of a block of rows, by inner product, best first; labels
// count from `first`. Exact. Returns 0, or -1 if memory runs out.
int faiss_index_search_rows(const float *rows, size_t size, size_t dimension, size_t first,
                            const float *queries, size_t count, size_t k, float *scores,
                            int64_t *labels);

// The vectors of a flat index, or of a graph over one, row by row; NULL if this index has none.
// They are the index's.
const float *faiss_index_rows(FaissIndex *index);

bool faiss_index_is_flat(FaissIndex *index);

// Of an inverted file (also behind a transformation) how many lists it has; false if it is none.
bool faiss_index_lists(FaissIndex *index, size_t *lists);

// Lets faiss_Index_reconstruct find vectors in the lists. Returns 0, or -1 where there are none.
int faiss_index_map_lists(FaissIndex *index);

// Searches `probes` lists for the k best of the selection: scores and labels, -1 where there are no
// more. Returns 0, or -1 with `why`.
int faiss_index_search_lists(FaissIndex *index, const float *query, size_t k, size_t probes,
                             const selection_t *selection, float *scores, int64_t *labels,
                             char *why, size_t why_size);

#ifdef __cplusplus
}
#endif

#endif
