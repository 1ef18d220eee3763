// faiss_select: what a search among some of an index's vectors needs and FAISS 1.7.3's C API does
// not have. Every C++ exception ends here.
#ifndef RL_FAISS_SELECT_H
#define RL_FAISS_SELECT_H

#include <faiss/c_api/Index_c.h>

#include "selection.h"

#ifdef __cplusplus
extern "C" {
#endif

// The vectors of a flat index, or of a graph over one, row by row; NULL if this index has none.
// They are the index's.
const float *rl_faiss_rows(FaissIndex *index);

bool rl_faiss_is_flat(FaissIndex *index);

// Of an inverted file (also behind a transformation) how many lists it has and how many a search
// looks into; false if it is none.
bool rl_faiss_lists(FaissIndex *index, size_t *lists, size_t *probes);

// Lets faiss_Index_reconstruct find vectors in the lists. Returns 0, or -1 if memory runs out.
int rl_faiss_map_lists(FaissIndex *index);

// Searches `probes` lists for the k best of the selection: scores and labels, -1 where there are no
// more. Returns 0, or -1 with `why`.
int rl_faiss_search_lists(FaissIndex *index, const float *query, size_t k, size_t probes,
                          const rl_selection_t *among, float *scores, int64_t *labels, char *why,
                          size_t why_size);

#ifdef __cplusplus
}
#endif

#endif
