// vectors: a shard's vectors on their way into a FAISS index.
#include "vectors.h"

#include <errno.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blas.h"
#include "faiss_index.h"
#include "files.h"
#include "inverted.h"
#include "mem.h"
#include "store.h"

enum {
    BLOCK = 4096,           // vectors added to the index at a time
    FLAT_UP_TO = 20000,     // see store_factory
    GRAPH_UP_TO = 100000,   // see store_factory
    A_LIST = 50,            // vectors to train on for each list; FAISS asks for 39 to 256
    MAX_TRAINING = 200000,  // vectors to train on what has no lists
    MAX_SAMPLE = 768 << 20, // bytes of vectors to train on
};

struct vectors {
    char *folder;
    FILE *spool;
    uint64_t count;
    bool kept; // the spool stays, as a file of the index
};

// Measured at 384 dimensions, one thread, FAISS 1.7.3 with AVX2: Flat 5,000 0.26 ms, 50,000 2.6 ms
// a question (0.65 ms in a batch of 64); HNSW32 50,000 0.16 ms, and 1.8 KB a vector, which are read
// into memory at every start. About 4 * sqrt(n) lists are FAISS's own advice
// (https://github.com/facebookresearch/faiss/wiki/Guidelines-to-choose-an-index); many of them are
// found through a graph.
const char *store_factory(uint64_t passages, const char **reason)
{
    static const struct {
        uint64_t up_to;
        const char *factory;
    } files[] = {
        {UINT64_C(250000), "IVF1024,SQ8"},           {UINT64_C(500000), "IVF2048,SQ8"},
        {UINT64_C(3000000), "IVF4096,SQ8"},          {UINT64_C(6000000), "IVF8192,SQ8"},
        {UINT64_C(60000000), "IVF16384_HNSW32,SQ8"}, {UINT64_MAX, "IVF65536_HNSW32,SQ8"},
    };
    const char *ignored;
    if (!reason)
        reason = &ignored;
    if (passages <= FLAT_UP_TO) {
        *reason = "up to 20,000 vectors an exact search takes about 1 ms";
        return "Flat";
    }
    if (passages <= GRAPH_UP_TO) {
        *reason = "from 20,000 to 100,000 vectors a graph is the fastest, several times faster "
                  "than an exact search, and is soon built and loaded";
        return "HNSW32";
    }
    *reason = "above 100,000 vectors an inverted file with a byte a component is built in little "
              "memory and mapped at the start, where a graph must be in memory as a whole";
    size_t at = 0;
    while (passages > files[at].up_to)
        at++;
    return files[at].factory;
}

const char *vectors_faiss_error(void)
{
    const char *error = faiss_get_last_error();
    return error ? error : "no more is known";
}

const float *vectors_map(const char *folder, size_t count, size_t dimension)
{
    char path[FILE_PATH_MAX];
    struct stat info;
    size_t bytes = count * dimension * sizeof(float);
    if (bytes == 0 || path_format(path, "%s/" ROWS_FILE, folder) != 0)
        return NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *rows = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &info) == 0 && (uint64_t)info.st_size == bytes)
        rows = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (rows == MAP_FAILED)
        return NULL;
    madvise(rows, bytes, MADV_RANDOM); // what lies beside a row is not read with it
    return rows;
}

void vectors_unmap(const float *rows, size_t count, size_t dimension)
{
    if (rows)
        munmap((void *)(uintptr_t)rows, count * dimension * sizeof *rows);
}

bool vectors_is_zero(const float *vector, size_t dimension)
{
    for (size_t at = 0; at < dimension; at++)
        if (vector[at] != 0)
            return false;
    return true;
}

vectors_t *vectors_new(const char *folder, char *why, size_t why_size)
{
    char path[FILE_PATH_MAX];
    vectors_t *self = rl_new(*self);
    self->folder = rl_strdup(folder);
    if (path_format(path, "%s/" ROWS_FILE, folder) != 0 || !(self->spool = fopen(path, "w+be"))) {
        rl_fail(why, why_size, "%s/" ROWS_FILE ": cannot write: %s", folder, strerror(errno));
        vectors_destroy(&self);
    }
    return self;
}

void vectors_destroy(vectors_t **self_p)
{
    vectors_t *self = *self_p;
    if (!self)
        return;
    char path[FILE_PATH_MAX];
    if (self->spool) {
        fclose(self->spool);
        if (!self->kept && path_format(path, "%s/" ROWS_FILE, self->folder) == 0)
            unlink(path);
    }
    free(self->folder);
    free(self);
    *self_p = NULL;
}

int vectors_add(vectors_t *self, const float *vector, size_t dimension, char *why, size_t why_size)
{
    if (fwrite(vector, sizeof *vector, dimension, self->spool) != dimension)
        return rl_fail(why, why_size, "%s/" ROWS_FILE ": cannot write: %s", self->folder,
                       strerror(errno));
    self->count++;
    return 0;
}

// Reads from the spool by place.
typedef struct spool_reader {
    const vectors_t *vectors;
    size_t dimension;
} spool_reader_t;

// Reads `count` vectors from vector `first` on.
static int read_spool(void *arg, uint64_t first, size_t count, float *out)
{
    const spool_reader_t *self = arg;
    size_t size = count * self->dimension * sizeof *out;
    off_t at = (off_t)(first * self->dimension * sizeof *out);
    char *to = (char *)out;
    while (size > 0) {
        ssize_t got = pread(fileno(self->vectors->spool), to, size, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = EIO; // shorter than what was written: the disk's fault
        if (got <= 0)
            return -1;
        to += got;
        at += got;
        size -= (size_t)got;
    }
    return 0;
}

// How many vectors to train on.
static size_t sample_size(const spool_reader_t *reader, FaissIndex *index)
{
    size_t lists = inverted_lists(index);
    size_t want = lists > 0 ? lists * A_LIST : MAX_TRAINING;
    size_t room = MAX_SAMPLE / (reader->dimension * sizeof(float));
    if (want > room)
        want = room;
    return want < reader->vectors->count ? want : (size_t)reader->vectors->count;
}

// One vector from each of as many equal stretches, at a pseudo-random place in it, so that vectors
// that recur at even distances are not the whole sample. NULL with errno if it cannot be read.
static float *take_sample(spool_reader_t *reader, size_t count)
{
    uint64_t total = reader->vectors->count, state = 1;
    float *sample = rl_alloc_array((count + 1) * reader->dimension, sizeof *sample);
    for (size_t at = 0; at < count; at++) {
        uint64_t from = total * at / count, to = total * (at + 1) / count;
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407); // Knuth
        uint64_t row = from + (state >> 33) % (to > from ? to - from : 1);
        if (read_spool(reader, row, 1, sample + at * reader->dimension) != 0) {
            free(sample);
            return NULL;
        }
    }
    return sample;
}

static int train_index(spool_reader_t *reader, FaissIndex *index, vectors_progress_fn *progress,
                       void *arg, char *why, size_t why_size)
{
    size_t count = sample_size(reader, index);
    float *sample = take_sample(reader, count);
    int rc = sample ? 0 : rl_fail(why, why_size, "no sample of the vectors: %s", strerror(errno));
    if (rc == 0 && progress)
        progress(arg, "training", 0, count);
    if (rc == 0 && inverted_lists(index) > 0)
        rc = inverted_train(index, sample, count, progress, arg, why, why_size);
    else if (rc == 0 && faiss_Index_train(index, (idx_t)count, sample) != 0)
        rc = rl_fail(why, why_size, "%s", vectors_faiss_error());
    free(sample);
    return rc;
}

// An index that is kept in memory as a whole until it is written.
static int fill_index(spool_reader_t *reader, FaissIndex *index, const char *path,
                      vectors_progress_fn *progress, void *arg, char *why, size_t why_size)
{
    uint64_t total = reader->vectors->count;
    float *block = rl_alloc_array(BLOCK * reader->dimension, sizeof *block);
    int rc = 0;
    for (uint64_t first = 0; rc == 0 && first < total; first += BLOCK) {
        size_t count = total - first < BLOCK ? total - first : BLOCK;
        if (read_spool(reader, first, count, block) != 0)
            rc = rl_fail(why, why_size, "%s", strerror(errno));
        else if (faiss_Index_add(index, (idx_t)count, block) != 0)
            rc = rl_fail(why, why_size, "%s", vectors_faiss_error());
        else if (progress)
            progress(arg, "vectors", first + count, total);
    }
    free(block);
    if (rc == 0 && faiss_write_index_fname(index, path) != 0)
        rc = rl_fail(why, why_size, "cannot write: %s", vectors_faiss_error());
    return rc;
}

static int make_index(spool_reader_t *reader, FaissIndex *index, const char *path,
                      vectors_progress_fn *progress, void *arg, char *why, size_t why_size)
{
    if (!faiss_Index_is_trained(index) &&
        train_index(reader, index, progress, arg, why, why_size) != 0)
        return -1;
    if (!inverted_suits(index))
        return fill_index(reader, index, path, progress, arg, why, why_size);
    return inverted_write(index, reader->vectors->count, path, read_spool, reader, progress, arg,
                          why, why_size);
}

static int make_empty(FaissIndex **index, const char *factory, size_t dimension, char *why,
                      size_t why_size)
{
    if (faiss_index_factory(index, (int)dimension, factory, METRIC_INNER_PRODUCT) == 0)
        return 0;
    return rl_fail(why, why_size, "FAISS does not make an index \"%s\" of dimension %zu: %s",
                   factory, dimension, vectors_faiss_error());
}

int vectors_check(const char *factory, size_t dimension, char *why, size_t why_size)
{
    FaissIndex *index = NULL;
    int rc = make_empty(&index, factory, dimension, why, why_size);
    faiss_Index_free(index);
    return rc;
}

int vectors_build(vectors_t *self, size_t dimension, const char *factory, size_t threads,
                  vectors_progress_fn *progress, void *arg, char *why, size_t why_size)
{
    char path[FILE_PATH_MAX], inner[FILE_PATH_MAX];
    spool_reader_t reader = {self, dimension};
    FaissIndex *index = NULL;
    if (fflush(self->spool) != 0)
        return rl_fail(why, why_size, "%s/" ROWS_FILE ": cannot write: %s", self->folder,
                       strerror(errno));
    if (path_format(path, "%s/" VECTORS_FILE, self->folder) != 0)
        return rl_fail(why, why_size, "%s: %s", self->folder, strerror(errno));
    omp_set_num_threads((int)threads);
    openblas_set_num_threads((int)threads);
    if (make_empty(&index, factory, dimension, why, why_size) != 0)
        return -1;
    int rc = make_index(&reader, index, path, progress, arg, inner, sizeof inner);
    if (rc != 0)
        rl_fail(why, why_size, "%s: FAISS index \"%s\" of %llu vectors: %s", path, factory,
                (unsigned long long)self->count, inner);
    self->kept = rc == 0 && !faiss_index_rows(index);
    faiss_Index_free(index);
    return rc;
}
