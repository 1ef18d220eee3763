// vector_file: NumPy's and TEXMEX's files of vectors.

#include "vector_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "mem.h"

enum {
    MAX_DIMENSION = 1 << 16,
    MAX_HEADER = 64 << 10, // bytes of a .npy file's
    BUFFER = 1 << 20
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "numbers are read as they lie in the file");

struct vector_file {
    char *path;
    FILE *file;
    bool prefixed; // .fvecs: a length before each row
    uint64_t count, taken;
    size_t dimension;
    float *row;
};

static const char *const endings[] = {".npy", ".fvecs"};

static bool has_ending(const char *path, size_t size, const char *ending)
{
    size_t length = strlen(ending);
    return size > length && strncasecmp(path + size - length, ending, length) == 0;
}

bool vector_file_is(const char *path)
{
    return has_ending(path, strlen(path), endings[0]) || has_ending(path, strlen(path), endings[1]);
}

char *vector_file_beside(const char *documents)
{
    size_t size = strlen(documents);
    if (has_ending(documents, size, ".gz"))
        size -= 3;
    if (has_ending(documents, size, ".jsonl"))
        size -= 6;
    else if (has_ending(documents, size, ".ndjson"))
        size -= 7;
    else
        return NULL;
    for (size_t at = 0; at < sizeof endings / sizeof *endings; at++) {
        char *path = rl_format("%.*s%s", (int)size, documents, endings[at]);
        if (access(path, F_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

// ---- headers ------------------------------------------------------------------------------------

// The value behind 'key': in the header of a .npy file, a Python dictionary written out
// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
static const char *header_value(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (!at)
        return "";
    at += strlen(key);
    return at + strspn(at, " '\":");
}

static int read_npy(vector_file_t *self, uint64_t bytes, char *why, size_t why_size)
{
    unsigned char start[12];
    char header[MAX_HEADER + 1];
    size_t size = 0, head = 10;
    if (fread(start, 1, 10, self->file) == 10 && memcmp(start, "\x93NUMPY", 6) == 0) {
        size = start[8] | (size_t)start[9] << 8;
        if (start[6] > 1 && fread(start + 10, 1, 2, self->file) == 2) {
            size |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
            head = 12;
        }
    }
    if (size == 0 || size > MAX_HEADER || fread(header, 1, size, self->file) != size)
        return rl_fail(why, why_size, "%s: is no .npy file", self->path);
    header[size] = '\0';
    unsigned long long rows = 0, columns = 0;
    int end = 0;
    const char *shape = header_value(header, "'shape'");
    if (strncmp(header_value(header, "'descr'"), "<f4", 3) != 0 ||
        strncmp(header_value(header, "'fortran_order'"), "False", 5) != 0 ||
        sscanf(shape, "(%llu, %llu)%n", &rows, &columns, &end) != 2 || end == 0 || columns == 0 ||
        columns > MAX_DIMENSION)
        return rl_fail(why, why_size,
                       "%s: must have two dimensions (documents, at most %d numbers), float32, in "
                       "C order: numpy.save(…, numpy.ascontiguousarray(vectors, \"float32\"))",
                       self->path, MAX_DIMENSION);
    self->count = rows;
    self->dimension = (size_t)columns;
    uint64_t row = columns * sizeof(float), left = bytes - head - size;
    if (left % row != 0 || left / row != rows)
        return rl_fail(why, why_size, "%s: cut short or damaged: %llu rows do not make its size",
                       self->path, rows);
    return 0;
}

static int read_fvecs(vector_file_t *self, uint64_t bytes, char *why, size_t why_size)
{
    int32_t dimension = 0;
    self->prefixed = true;
    if (fread(&dimension, sizeof dimension, 1, self->file) != 1 || dimension < 1 ||
        dimension > MAX_DIMENSION ||
        bytes % (sizeof dimension + (size_t)dimension * sizeof(float)) != 0)
        return rl_fail(why, why_size,
                       "%s: is no .fvecs file (rows of a 32 bit length and so many float32, all "
                       "of the same length, at most %d), or cut short",
                       self->path, MAX_DIMENSION);
    self->dimension = (size_t)dimension;
    self->count = bytes / (sizeof dimension + self->dimension * sizeof(float));
    rewind(self->file);
    return 0;
}

vector_file_t *vector_file_new(const char *path, char *why, size_t why_size)
{
    vector_file_t *self = rl_new(*self);
    struct stat st;
    self->path = rl_strdup(path);
    if (!(self->file = fopen(path, "rbe")) || fstat(fileno(self->file), &st) != 0) {
        rl_fail(why, why_size, "%s: %s", path, strerror(errno));
        vector_file_destroy(&self);
        return NULL;
    }
    setvbuf(self->file, NULL, _IOFBF, BUFFER);
    int rc = has_ending(path, strlen(path), ".npy")
                 ? read_npy(self, (uint64_t)st.st_size, why, why_size)
                 : read_fvecs(self, (uint64_t)st.st_size, why, why_size);
    if (rc == 0)
        self->row = rl_alloc_array(self->dimension, sizeof *self->row);
    else
        vector_file_destroy(&self);
    return self;
}

void vector_file_destroy(vector_file_t **self_p)
{
    vector_file_t *self = *self_p;
    if (!self)
        return;
    if (self->file)
        fclose(self->file);
    free(self->path);
    free(self->row);
    free(self);
    *self_p = NULL;
}

const char *vector_file_path(const vector_file_t *self)
{
    return self->path;
}

uint64_t vector_file_count(const vector_file_t *self)
{
    return self->count;
}

uint64_t vector_file_taken(const vector_file_t *self)
{
    return self->taken;
}

size_t vector_file_dimension(const vector_file_t *self)
{
    return self->dimension;
}

const float *vector_file_next(vector_file_t *self, char *why, size_t why_size)
{
    int32_t dimension = (int32_t)self->dimension;
    self->taken++;
    if (self->taken > self->count) {
        rl_fail(why, why_size, "%s has %llu rows, but there are more documents than that",
                self->path, (unsigned long long)self->count);
        return NULL;
    }
    if ((self->prefixed && fread(&dimension, sizeof dimension, 1, self->file) != 1) ||
        (size_t)dimension != self->dimension ||
        fread(self->row, sizeof *self->row, self->dimension, self->file) != self->dimension) {
        rl_fail(why, why_size, "%s: row %llu: %s", self->path, (unsigned long long)self->taken,
                (size_t)dimension != self->dimension ? "is of another length than the first"
                : ferror(self->file)                 ? strerror(errno)
                                                     : "the file ends too early");
        return NULL;
    }
    return self->row;
}
