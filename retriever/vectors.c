// vectors: a shard's vectors on their way into a FAISS index.
#include "vectors.h"

#include <errno.h>
#include <fcntl.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faiss_select.h"
#include "files.h"
#include "store.h"

enum {
    BLOCK = 4096,          // vectors added to the index at a time
    MAX_TRAINING = 200000, // vectors to train on; FAISS asks for 39 to 256 a centroid
    FLAT_UP_TO = 20000,    // see rl_store_factory
};

struct rl_vectors {
    char *folder;
    FILE *spool;
    uint64_t count;
    bool kept; // the spool stays, as a file of the index
};

// Measured at 384 dimensions, one thread, FAISS 1.7.3 with AVX2: Flat 5,000 0.26 ms, 50,000 2.6 ms
// a question (0.65 ms in a batch of 64); HNSW32 50,000 0.16 ms.
const char *rl_store_factory(uint64_t passages, const char **reason)
{
    const char *ignored;
    if (!reason)
        reason = &ignored;
    if (passages <= FLAT_UP_TO) {
        *reason = "up to 20,000 vectors an exact search takes about 1 ms";
        return "Flat";
    }
    *reason = "above 20,000 vectors a graph is several times faster than an exact search";
    return "HNSW32";
}

const char *rl_faiss_error(void)
{
    const char *error = faiss_get_last_error();
    return error ? error : "no more is known";
}

const float *rl_vectors_map(const char *folder, size_t count, size_t dimension)
{
    char path[RL_PATH_MAX];
    struct stat said;
    size_t bytes = count * dimension * sizeof(float);
    if (bytes == 0 || rl_path(path, "%s/" RL_ROWS_FILE, folder) != 0)
        return NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *rows = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &said) == 0 && (uint64_t)said.st_size == bytes)
        rows = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (rows == MAP_FAILED)
        return NULL;
    madvise(rows, bytes, MADV_RANDOM); // what lies beside a row is not read with it
    return rows;
}

void rl_vectors_unmap(const float *rows, size_t count, size_t dimension)
{
    if (rows)
        munmap((void *)(uintptr_t)rows, count * dimension * sizeof *rows);
}

rl_vectors_t *rl_vectors_new(const char *folder, char *why, size_t why_size)
{
    char path[RL_PATH_MAX];
    rl_vectors_t *self = calloc(1, sizeof *self);
    if (self)
        self->folder = strdup(folder);
    if (!self || !self->folder || rl_path(path, "%s/" RL_ROWS_FILE, folder) != 0 ||
        !(self->spool = fopen(path, "w+be"))) {
        rl_fail(why, why_size, "%s/" RL_ROWS_FILE ": cannot write: %s", folder, strerror(errno));
        rl_vectors_destroy(&self);
    }
    return self;
}

void rl_vectors_destroy(rl_vectors_t **self_p)
{
    rl_vectors_t *self = *self_p;
    if (!self)
        return;
    char path[RL_PATH_MAX];
    if (self->spool) {
        fclose(self->spool);
        if (!self->kept && rl_path(path, "%s/" RL_ROWS_FILE, self->folder) == 0)
            unlink(path);
    }
    free(self->folder);
    free(self);
    *self_p = NULL;
}

int rl_vectors_normalise(const float *vector, size_t dimension, float *out)
{
    double sum = 0;
    for (size_t at = 0; at < dimension; at++)
        sum += (double)vector[at] * vector[at];
    if (!isfinite(sum) || sum <= 0)
        return -1;
    double scale = 1 / sqrt(sum);
    for (size_t at = 0; at < dimension; at++)
        out[at] = (float)(vector[at] * scale);
    return 0;
}

int rl_vectors_add(rl_vectors_t *self, const float *vector, size_t dimension, char *why,
                   size_t why_size)
{
    if (fwrite(vector, sizeof *vector, dimension, self->spool) != dimension)
        return rl_fail(why, why_size, "%s/" RL_ROWS_FILE ": cannot write: %s", self->folder,
                       strerror(errno));
    self->count++;
    return 0;
}

// Reads `count` vectors from vector `first` on.
static int read_spool(rl_vectors_t *self, size_t dimension, uint64_t first, size_t count,
                      float *out)
{
    off_t at = (off_t)(first * dimension * sizeof(float));
    return fseeko(self->spool, at, SEEK_SET) == 0 &&
                   fread(out, dimension * sizeof(float), count, self->spool) == count
               ? 0
               : -1;
}

// Trains on vectors taken at even distances.
static int train(rl_vectors_t *self, FaissIndex *index, size_t dimension)
{
    size_t count = self->count < MAX_TRAINING ? self->count : MAX_TRAINING;
    float *sample = malloc((count + 1) * dimension * sizeof *sample);
    int rc = sample ? 0 : -1;
    for (size_t at = 0; rc == 0 && at < count; at++)
        rc = read_spool(self, dimension, self->count * at / count, 1, sample + at * dimension);
    if (rc == 0)
        rc = faiss_Index_train(index, (idx_t)count, sample);
    free(sample);
    return rc;
}

static int fill(rl_vectors_t *self, FaissIndex *index, size_t dimension,
                rl_vectors_progress_fn *progress, void *arg)
{
    float *block = malloc(BLOCK * dimension * sizeof *block);
    int rc = block ? 0 : -1;
    for (uint64_t first = 0; rc == 0 && first < self->count; first += BLOCK) {
        size_t count = self->count - first < BLOCK ? self->count - first : BLOCK;
        rc = read_spool(self, dimension, first, count, block);
        if (rc == 0)
            rc = faiss_Index_add(index, (idx_t)count, block);
        if (rc == 0 && progress)
            progress(arg, "vectors", first + count, self->count);
    }
    free(block);
    return rc;
}

int rl_vectors_build(rl_vectors_t *self, size_t dimension, const char *factory,
                     rl_vectors_progress_fn *progress, void *arg, char *why, size_t why_size)
{
    char path[RL_PATH_MAX];
    FaissIndex *index = NULL;
    errno = 0;
    if (fflush(self->spool) != 0)
        return rl_fail(why, why_size, "%s/" RL_ROWS_FILE ": cannot write: %s", self->folder,
                       strerror(errno));
    if (faiss_index_factory(&index, (int)dimension, factory, METRIC_INNER_PRODUCT) != 0)
        return rl_fail(why, why_size, "FAISS does not make an index \"%s\" of dimension %zu: %s",
                       factory, dimension, rl_faiss_error());
    int rc = 0;
    if (!faiss_Index_is_trained(index)) {
        if (progress)
            progress(arg, "training", 0, self->count);
        rc = train(self, index, dimension);
    }
    if (rc == 0)
        rc = fill(self, index, dimension, progress, arg);
    if (rc != 0)
        rl_fail(why, why_size, "FAISS index \"%s\" of %llu vectors: %s", factory,
                (unsigned long long)self->count, errno ? strerror(errno) : rl_faiss_error());
    if (rc == 0 && (rl_path(path, "%s/" RL_VECTORS_FILE, self->folder) != 0 ||
                    faiss_write_index_fname(index, path) != 0))
        rc = rl_fail(why, why_size, "%s: cannot write: %s", path, rl_faiss_error());
    self->kept = rc == 0 && !rl_faiss_rows(index);
    faiss_Index_free(index);
    return rc == 0 ? 0 : -1;
}
