// vector_cache: an append-only file and, in memory, where each vector is in it.

#include "vector_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static const char magic[8] = "RLVEC1\n";

enum {
    HEAD = 24,
    MAX_DIMENSION = 1 << 16
};

typedef struct slot {
    vector_key_t key;
    uint64_t offset; // of its record; 0 while it is not there
    uint32_t dimension;
    uint8_t state; // VECTOR_NONE: the slot is free
    bool wanted;   // this build needs it
} slot_t;

struct vector_cache {
    char *path;
    int fd;
    uint64_t end; // where the next record goes
    slot_t *slots;
    size_t used, room; // room is a power of two
    size_t there;
    size_t dimension;
    unsigned char *record;
    size_t record_room;
};

vector_key_t vector_key(const char *model, const char *text, size_t size)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    vector_key_t key;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    if (!md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(md, model, strlen(model) + 1) != 1 || // its NUL keeps the two apart
        EVP_DigestUpdate(md, text, size) != 1 || EVP_DigestFinal_ex(md, digest, NULL) != 1)
        abort(); // out of memory for a hash: nothing sensible can follow
    EVP_MD_CTX_free(md);
    memcpy(key.bytes, digest, sizeof key.bytes);
    return key;
}

// ---- table --------------------------------------------------------------------------------------

static slot_t *find(const vector_cache_t *self, const vector_key_t *key)
{
    uint64_t hash;
    memcpy(&hash, key->bytes, sizeof hash);
    size_t at = hash & (self->room - 1);
    while (self->slots[at].state != VECTOR_NONE &&
           memcmp(self->slots[at].key.bytes, key->bytes, sizeof key->bytes) != 0)
        at = (at + 1) & (self->room - 1);
    return &self->slots[at];
}

static bool make_room(vector_cache_t *self)
{
    if (3 * (self->used + 1) < 2 * self->room)
        return true;
    vector_cache_t larger = *self;
    larger.room = self->room ? self->room * 2 : 1024;
    larger.slots = calloc(larger.room, sizeof *larger.slots);
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < self->room; i++)
        if (self->slots[i].state != VECTOR_NONE)
            *find(&larger, &self->slots[i].key) = self->slots[i];
    free(self->slots);
    self->slots = larger.slots;
    self->room = larger.room;
    return true;
}

static void note(vector_cache_t *self, slot_t *slot, const vector_key_t *key, uint64_t offset,
                 size_t dimension)
{
    self->used += slot->state == VECTOR_NONE;
    self->there += slot->state != VECTOR_THERE;
    slot->key = *key;
    slot->state = VECTOR_THERE;
    slot->offset = offset;
    slot->dimension = (uint32_t)dimension;
    if (slot->wanted)
        self->dimension = dimension;
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

static bool record_room(vector_cache_t *self, size_t size)
{
    if (size <= self->record_room)
        return true;
    unsigned char *record = realloc(self->record, size);
    if (!record)
        return false;
    self->record = record;
    self->record_room = size;
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
    if (!record_room(self, HEAD) || !read_at(self->fd, self->record, HEAD, offset))
        return 0;
    memcpy(&dimension, self->record + 16, 4);
    memcpy(&crc, self->record + 20, 4);
    size_t size = HEAD + (size_t)dimension * sizeof(float);
    if (dimension == 0 || dimension > MAX_DIMENSION || !record_room(self, size) ||
        !read_at(self->fd, self->record + HEAD, size - HEAD, offset + HEAD))
        return 0;
    return record_crc(self->record, size) == crc ? size : 0;
}

// Goes through the records from the start; what follows the last that holds is cut off.
static bool load(vector_cache_t *self)
{
    off_t size = lseek(self->fd, 0, SEEK_END);
    posix_fadvise(self->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    self->end = sizeof magic;
    while ((off_t)self->end < size) {
        size_t record = read_record(self, self->end);
        if (record == 0)
            break;
        if (!make_room(self))
            return false;
        vector_key_t key;
        memcpy(key.bytes, self->record, sizeof key.bytes);
        note(self, find(self, &key), &key, self->end, (record - HEAD) / sizeof(float));
        self->end += record;
    }
    return (off_t)self->end == size || ftruncate(self->fd, (off_t)self->end) == 0;
}

static bool open_file(vector_cache_t *self, char *why, size_t why_size)
{
    char start[sizeof magic];
    self->fd = open(self->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (self->fd < 0) {
        snprintf(why, why_size, "%s: %s", self->path, strerror(errno));
        return false;
    }
    off_t size = lseek(self->fd, 0, SEEK_END);
    if (size < (off_t)sizeof magic) { // new, or torn at its very start
        if (ftruncate(self->fd, 0) != 0 || !write_at(self->fd, magic, sizeof magic, 0)) {
            snprintf(why, why_size, "%s: %s", self->path, strerror(errno));
            return false;
        }
    } else if (!read_at(self->fd, start, sizeof start, 0) ||
               memcmp(start, magic, sizeof magic) != 0) {
        snprintf(why, why_size, "%s is no cache of embeddings: remove it", self->path);
        return false;
    }
    if (!load(self)) {
        snprintf(why, why_size, "%s: out of memory, or it cannot be written", self->path);
        return false;
    }
    return true;
}

vector_cache_t *vector_cache_new(const char *path, char *why, size_t why_size)
{
    vector_cache_t *self = calloc(1, sizeof *self);
    if (self)
        self->fd = -1;
    if (!self || !(self->path = strdup(path)) || !make_room(self)) {
        snprintf(why, why_size, "out of memory");
        vector_cache_destroy(&self);
        return NULL;
    }
    if (!open_file(self, why, why_size))
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
    free(self->path);
    free(self->slots);
    free(self->record);
    free(self);
    *self_p = NULL;
}

// ---- use ----------------------------------------------------------------------------------------

vector_state_t vector_cache_want(vector_cache_t *self, const vector_key_t *key)
{
    if (!make_room(self))
        return VECTOR_NONE;
    slot_t *slot = find(self, key);
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
    slot_t *slot = find(self, key);
    if (slot->state != VECTOR_WANTED)
        return false;
    slot->state = VECTOR_TAKEN;
    return true;
}

int vector_cache_put(vector_cache_t *self, const vector_key_t *key, const float *vector,
                     size_t dimension, char *why, size_t why_size)
{
    size_t size = HEAD + dimension * sizeof *vector;
    if (dimension == 0 || dimension > MAX_DIMENSION || !make_room(self) ||
        !record_room(self, size)) {
        snprintf(why, why_size, "out of memory");
        return -1;
    }
    uint32_t number = (uint32_t)dimension;
    memcpy(self->record, key->bytes, 16);
    memcpy(self->record + 16, &number, 4);
    memcpy(self->record + HEAD, vector, size - HEAD);
    uint32_t crc = record_crc(self->record, size);
    memcpy(self->record + 20, &crc, 4);
    if (!write_at(self->fd, self->record, size, self->end)) {
        snprintf(why, why_size, "%s: %s", self->path, strerror(errno));
        return -1;
    }
    note(self, find(self, key), key, self->end, dimension);
    self->end += size;
    return 0;
}

const float *vector_cache_get(vector_cache_t *self, const vector_key_t *key, size_t *dimension_p,
                              char *why, size_t why_size)
{
    const slot_t *slot = find(self, key);
    if (slot->state != VECTOR_THERE) {
        snprintf(why, why_size, "an embedding is missing in %s", self->path);
        return NULL;
    }
    size_t size = read_record(self, slot->offset);
    if (size == 0 || memcmp(self->record, key->bytes, sizeof key->bytes) != 0) {
        snprintf(why, why_size, "%s is damaged: remove it", self->path);
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
    while (from < self->end) {
        size_t size = read_record(self, from);
        if (size == 0)
            return false;
        vector_key_t key;
        memcpy(key.bytes, self->record, sizeof key.bytes);
        slot_t *slot = find(self, &key);
        if (slot->wanted && slot->offset == from) {
            if (!write_at(fd, self->record, size, to))
                return false;
            slot->offset = to;
            to += size;
        }
        from += size;
    }
    self->end = to;
    return fdatasync(fd) == 0;
}

int vector_cache_prune(vector_cache_t *self, char *why, size_t why_size)
{
    bool all = true;
    for (size_t i = 0; i < self->room; i++)
        all = all && (self->slots[i].state == VECTOR_NONE || self->slots[i].wanted);
    if (all)
        return 0;
    size_t size = strlen(self->path) + 5;
    char *path = malloc(size);
    if (!path)
        return -1;
    snprintf(path, size, "%s.new", self->path);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0 || !copy_wanted(self, fd) || rename(path, self->path) != 0) {
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        unlink(path);
        free(path);
        return -1;
    }
    free(path);
    close(self->fd);
    self->fd = fd;
    return 0;
}
