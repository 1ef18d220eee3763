// faiss_more: what FAISS's C API leaves out.
#ifndef RL_FAISS_MORE_H
#define RL_FAISS_MORE_H

#ifdef __cplusplus
extern "C" {
#endif

// From so many queries in one call on, a flat index is searched as a matrix product, not query by
// query. One setting for the process.
void rl_faiss_product_from(int queries);

#ifdef __cplusplus
}
#endif

#endif
