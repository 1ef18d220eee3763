// faiss_more: what FAISS's C API leaves out.
#include "faiss_more.h"

#include <faiss/utils/distances.h>

void rl_faiss_product_from(int queries)
{
    faiss::distance_compute_blas_threshold = queries;
}
