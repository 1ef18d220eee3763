// generation_vectors: from vectors.f32 where it is there, else out of the shard's FAISS index.
#include "generation_vectors.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "fail.h"
#include "faiss_index.h"
#include "mem.h"
#include "vectors.h"

struct generation_vectors {
    size_t count, dimension;
    const float *mapped; // vectors.f32
    FaissIndex *index;   // where there is no such file
    const float *rows;   // all of them, if either has them so
    float *row;          // what the index gave back
};

static int open_index(generation_vectors_t *self, const char *path, char *why, size_t why_size)
{
    char inner[512] = "";
    bool ignored;
    if (faiss_index_read(path, &self->index, &ignored, inner, sizeof inner) != 0)
        return rl_fail(why, why_size, "%s: FAISS cannot read it: %s", path, inner);
    if (faiss_Index_ntotal(self->index) != (idx_t)self->count ||
        faiss_Index_d(self->index) != (int)self->dimension)
        return rl_fail(why, why_size, "%s: is not what the manifest says", path);
    self->rows = faiss_index_rows(self->index);
    self->row = rl_alloc_array(self->dimension, sizeof *self->row);
    return 0;
}

generation_vectors_t *generation_vectors_open(const store_t *store, uint64_t shard, char *why,
                                              size_t why_size)
{
    const manifest_t *manifest = store_manifest(store);
    generation_vectors_t *self = rl_new(*self);
    self->count = manifest->shard_passages[shard];
    self->dimension = manifest->dimension;
    if (self->count == 0 || self->dimension == 0)
        return self;
    char *folder = store_path(store, shard, "");
    self->rows = self->mapped = vectors_map(folder, self->count, self->dimension);
    free(folder);
    if (self->mapped) {
        // read from the beginning to the end, unlike by a search
        size_t bytes = self->count * self->dimension * sizeof(float);
        madvise((void *)(uintptr_t)self->mapped, bytes, MADV_SEQUENTIAL);
        return self;
    }
    char *path = store_path(store, shard, VECTORS_FILE);
    if (open_index(self, path, why, why_size) != 0)
        generation_vectors_close(&self);
    free(path);
    return self;
}

void generation_vectors_close(generation_vectors_t **self_p)
{
    generation_vectors_t *self = *self_p;
    if (!self)
        return;
    vectors_unmap(self->mapped, self->count, self->dimension);
    if (self->index)
        faiss_Index_free(self->index);
    free(self->row);
    free(self);
    *self_p = NULL;
}

const float *generation_vectors_rows(const generation_vectors_t *self)
{
    return self->rows;
}

const float *generation_vectors_row(generation_vectors_t *self, uint64_t at, char *why,
                                    size_t why_size)
{
    if (self->rows)
        return self->rows + at * self->dimension;
    if (faiss_Index_reconstruct(self->index, (idx_t)at, self->row) == 0)
        return self->row;
    rl_fail(why, why_size, "the index gives no vectors back (%s): build it again from its files",
            vectors_faiss_error());
    return NULL;
}
