// vector_cache: an append-only file and, in memory, where each vector is in it.
#include "vector_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "fail.h"
#include "log.h"
#include "mem.h"

static const char magic[8] = "RLVEC1\n";

enum {
    HEAD = 24,
    MAX_DIMENSION = 1 << 16,
    MAX_RECORD = HEAD + MAX_DIMENSION * (int)sizeof(float),
};

typedef struct slot {
    vector_key_t key;
    uint64_t offset; // of its record; 0 while it is not there. REFUSED: which of the refusals
    uint32_t dimension;
    uint8_t state; // VECTOR_NONE: the slot is free
    bool wanted;   // this build needs it
} slot_t;

struct vector_cache {
    char *path;
    int fd;
    uint64_t end; // where the next record goes
    slot_t *slots;
    size_t used, capacity; // of the slots; a power of two
    size_t there;
    size_t dimension;
    char **refusals; // why, each
    size_t refusals_size;
    unsigned char *record; // MAX_RECORD bytes
};

vector_key_t vector_key(const char *model, const char *text, size_t size)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    vector_key_t key;
    EVP_MD_CTX *md = rl_must(EVP_MD_CTX_new());
    if (EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(md, model, strlen(model) + 1) != 1 || // its NUL keeps the two apart
        EVP_DigestUpdate(md, text, size) != 1 || EVP_DigestFinal_ex(md, digest, NULL) != 1)
        rl_out_of_memory(); // SHA-256 fails for no other reason
    EVP_MD_CTX_free(md);
    memcpy(key.bytes, digest, sizeof key.bytes);
    return key;
}

// ---- table --------------------------------------------------------------------------------------

static slot_t *find_slot(const vector_cache_t *self, const vector_key_t *key)
{
    uint64_t hash;
    memcpy(&hash, key->bytes, sizeof hash);
    size_t at = hash & (self->capacity - 1);
    while (self->slots[at].state != VECTOR_NONE &&
           memcmp(self->slots[at].key.bytes, key->bytes, sizeof key->bytes) != 0)
        at = (at + 1) & (self->capacity - 1);
    return &self->slots[at];
}

// Makes sure that one more slot can be taken.
static void reserve_slot(vector_cache_t *self)
{
    if (3 * (self->used + 1) < 2 * self->capacity)
        return;
    vector_cache_t larger = *self;
    larger.capacity = self->capacity ? self->capacity * 2 : 1024;
    larger.slots = rl_alloc_array(larger.capacity, sizeof *larger.slots);
    for (size_t at = 0; at < self->capacity; at++)
        if (self->slots[at].state != VECTOR_NONE)
            *find_slot(&larger, &self->slots[at].key) = self->slots[at];
    free(self->slots);
    self->slots = larger.slots;
    self->capacity = larger.capacity;
}

static vector_key_t record_key(const vector_cache_t *self)
{
    vector_key_t key;
    memcpy(key.bytes, self->record, sizeof key.bytes);
    return key;
}

// Notes that the record at hand, of `size` bytes, is at `offset` of the file.
static void note_record(vector_cache_t *self, uint64_t offset, size_t size)
{
    vector_key_t key = record_key(self);
    reserve_slot(self);
    slot_t *slot = find_slot(self, &key);
    self->used += slot->state == VECTOR_NONE;
    self->there += slot->state != VECTOR_THERE;
    slot->key = key;
    slot->state = VECTOR_THERE;
    slot->offset = offset;
    slot->dimension = (uint32_t)((size - HEAD) / sizeof(float));
    if (slot->wanted)
        self->dimension = slot->dimension;
}

// ---- file ---------------------------------------------------------------------------------------

static bool read_at(int fd, void *data, size_t size, uint64_t offset)
{
    char *to = data;
    while (size > 0) {
        ssize_t got = pread(fd, to, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        to += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

static bool write_at(int fd, const void *data, size_t size, uint64_t offset)
{
    const char *from = data;
    while (size > 0) {
        ssize_t put = pwrite(fd, from, size, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        from += put;
        size -= (size_t)put;
        offset += (uint64_t)put;
    }
    return true;
}

// CRC of a record: key and dimension, then the floats.
static uint32_t record_crc(const unsigned char *record, size_t size)
{
    uLong crc = crc32(0, record, 20);
    return (uint32_t)crc32(crc, record + HEAD, (uInt)(size - HEAD));
}

// Reads the record at `offset` into self->record; its size, or 0 if it does not hold.
static size_t read_record(vector_cache_t *self, uint64_t offset)
{
    uint32_t dimension, crc;
    if (!read_at(self->fd, self->record, HEAD, offset))
        return 0;
    memcpy(&dimension, self->record + 16, 4);
    memcpy(&crc, self->record + 20, 4);
    size_t size = HEAD + (size_t)dimension * sizeof(float);
    if (dimension == 0 || dimension > MAX_DIMENSION ||
        !read_at(self->fd, self->record + HEAD, size - HEAD, offset + HEAD))
        return 0;
    return record_crc(self->record, size) == crc ? size : 0;
}

// The next record that holds at *offset or behind it, of a file that ends at `end`; its size, or 0.
// It is looked for in every place where one could begin, within the bytes of the largest two.
static size_t next_record(vector_cache_t *self, uint64_t *offset, uint64_t end)
{
    uint64_t last = *offset + 2 * MAX_RECORD < end ? *offset + 2 * MAX_RECORD : end;
    for (uint64_t at = *offset; at + HEAD < last; at += sizeof(float)) {
        size_t size = read_record(self, at);
        if (size > 0) {
            *offset = at;
            return size;
        }
    }
    return 0;
}

// Goes through the records from the start; what follows the last that holds is cut off.
static bool load_records(vector_cache_t *self)
{
    uint64_t size = (uint64_t)lseek(self->fd, 0, SEEK_END), at = sizeof magic, damaged = 0;
    posix_fadvise(self->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    self->end = at;
    for (size_t record; (record = next_record(self, &at, size)) > 0; self->end = at) {
        damaged += at - self->end;
        note_record(self, at, record);
        at += record;
    }
    if (damaged > 0)
        rl_warn("%s: %" PRIu64 " bytes are damaged: what they held is embedded again", self->path,
                damaged);
    return self->end == size || ftruncate(self->fd, (off_t)self->end) == 0;
}

static int open_file(vector_cache_t *self, char *why, size_t why_size)
{
    char start[sizeof magic];
    self->fd = open(self->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (self->fd < 0)
        return rl_fail(why, why_size, "%s: %s", self->path, strerror(errno));
    if (lseek(self->fd, 0, SEEK_END) < (off_t)sizeof magic) { // new, or torn at its very start
        if (ftruncate(self->fd, 0) != 0 || !write_at(self->fd, magic, sizeof magic, 0))
            return rl_fail(why, why_size, "%s: %s", self->path, strerror(errno));
    } else if (!read_at(self->fd, start, sizeof start, 0) ||
               memcmp(start, magic, sizeof magic) != 0) {
        return rl_fail(why, why_size, "%s is no cache of embeddings: remove it", self->path);
    }
    return load_records(self) ? 0 : rl_fail(why, why_size, "%s: %s", self->path, strerror(errno));
}

vector_cache_t *vector_cache_new(const char *path, char *why, size_t why_size)
{
    vector_cache_t *self = rl_new(*self);
    self->path = rl_strdup(path);
    self->record = rl_alloc(MAX_RECORD);
    reserve_slot(self);
    if (open_file(self, why, why_size) != 0)
        vector_cache_destroy(&self);
    return self;
}

void vector_cache_destroy(vector_cache_t **self_p)
{
    vector_cache_t *self = *self_p;
    if (!self)
        return;
    if (self->fd >= 0)
        close(self->fd);
    for (size_t at = 0; at < self->refusals_size; at++)
        free(self->refusals[at]);
    free(self->refusals);
    free(self->path);
    free(self->slots);
    free(self->record);
    free(self);
    *self_p = NULL;
}

// ---- use ----------------------------------------------------------------------------------------

vector_state_t vector_cache_want(vector_cache_t *self, const vector_key_t *key)
{
    reserve_slot(self);
    slot_t *slot = find_slot(self, key);
    vector_state_t before = (vector_state_t)slot->state;
    slot->wanted = true;
    if (before == VECTOR_NONE) {
        slot->key = *key;
        slot->state = VECTOR_WANTED;
        self->used++;
    } else if (before == VECTOR_THERE) {
        self->dimension = slot->dimension;
    }
    return before;
}

bool vector_cache_take(vector_cache_t *self, const vector_key_t *key)
{
    slot_t *slot = find_slot(self, key);
    if (slot->state != VECTOR_WANTED)
        return false;
    slot->state = VECTOR_TAKEN;
    return true;
}

int vector_cache_put(vector_cache_t *self, const vector_key_t *key, const float *vector,
                     size_t dimension, char *why, size_t why_size)
{
    size_t size = HEAD + dimension * sizeof *vector;
    uint32_t number = (uint32_t)dimension;
    if (dimension == 0 || dimension > MAX_DIMENSION)
        return rl_fail(why, why_size, "an embedding of %zu components", dimension);
    memcpy(self->record, key->bytes, 16);
    memcpy(self->record + 16, &number, 4);
    memcpy(self->record + HEAD, vector, size - HEAD);
    uint32_t crc = record_crc(self->record, size);
    memcpy(self->record + 20, &crc, 4);
    if (!write_at(self->fd, self->record, size, self->end))
        return rl_fail(why, why_size, "%s: %s", self->path, strerror(errno));
    note_record(self, self->end, size);
    self->end += size;
    return 0;
}

void vector_cache_refuse(vector_cache_t *self, const vector_key_t *key, const char *why)
{
    slot_t *slot = find_slot(self, key);
    if (slot->state != VECTOR_TAKEN)
        return;
    self->refusals = rl_realloc(self->refusals, self->refusals_size + 1, sizeof *self->refusals);
    slot->state = VECTOR_REFUSED;
    slot->offset = self->refusals_size;
    self->refusals[self->refusals_size++] = rl_strdup(why);
}

const char *vector_cache_refusal(const vector_cache_t *self, const vector_key_t *key)
{
    const slot_t *slot = find_slot(self, key);
    return slot->state == VECTOR_REFUSED ? self->refusals[slot->offset] : NULL;
}

const float *vector_cache_get(vector_cache_t *self, const vector_key_t *key, size_t *dimension_p,
                              char *why, size_t why_size)
{
    const slot_t *slot = find_slot(self, key);
    if (slot->state != VECTOR_THERE) {
        rl_fail(why, why_size, "an embedding is missing in %s", self->path);
        return NULL;
    }
    size_t size = read_record(self, slot->offset);
    if (size == 0 || memcmp(self->record, key->bytes, sizeof key->bytes) != 0) {
        rl_fail(why, why_size, "%s is damaged: remove it", self->path);
        return NULL;
    }
    *dimension_p = (size - HEAD) / sizeof(float);
    return (const float *)(void *)(self->record + HEAD); // malloc'd and HEAD is a multiple of 8
}

size_t vector_cache_dimension(const vector_cache_t *self)
{
    return self->dimension;
}

size_t vector_cache_size(const vector_cache_t *self)
{
    return self->there;
}

void vector_cache_sync(vector_cache_t *self)
{
    fdatasync(self->fd);
}

// ---- pruning ------------------------------------------------------------------------------------

// Copies what is wanted into `fd`, in the order of the file; slots get their new places.
static bool copy_wanted(vector_cache_t *self, int fd)
{
    uint64_t from = sizeof magic, to = sizeof magic;
    if (!write_at(fd, magic, sizeof magic, 0))
        return false;
    for (size_t size; (size = next_record(self, &from, self->end)) > 0; from += size) {
        vector_key_t key = record_key(self);
        slot_t *slot = find_slot(self, &key);
        if (!slot->wanted || slot->offset != from)
            continue;
        if (!write_at(fd, self->record, size, to))
            return false;
        slot->offset = to;
        to += size;
    }
    errno = EIO;
    if (from != self->end) // what held when the file was opened does not any more
        return false;
    self->end = to;
    return fdatasync(fd) == 0;
}

int vector_cache_prune(vector_cache_t *self, char *why, size_t why_size)
{
    bool all = true;
    for (size_t at = 0; at < self->capacity; at++)
        all = all && (self->slots[at].state == VECTOR_NONE || self->slots[at].wanted);
    if (all)
        return 0;
    char *path = rl_format("%s.new", self->path);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int rc = fd >= 0 && copy_wanted(self, fd) && rename(path, self->path) == 0
                 ? 0
                 : rl_fail(why, why_size, "%s: %s", path, strerror(errno));
    if (rc != 0)
        unlink(path);
    if (fd >= 0)
        close(rc == 0 ? self->fd : fd);
    if (rc == 0)
        self->fd = fd;
    free(path);
    return rc;
}
