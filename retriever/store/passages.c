// passages: the passages of a shard in a flat file, by id.
#include "passages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "mem.h"

static const char bin_magic[8] = "RLPASS01";
static const char idx_magic[8] = "RLPIDX01";

enum {
    STRINGS = 6,
    MAX_RECORD = 2 << 20, // bytes; the writer's bounds keep well below
    MAX_KEPT = 16 << 20,  // bytes of a file that is kept in memory
};

typedef struct record {
    uint64_t start, end, hash;
    uint32_t sizes[STRINGS]; // doc, title, heading, source, text, meta
} record_t;

_Static_assert(sizeof(record_t) == 48, "the file's layout");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little endian, as written");

// ---------------------------------------------------------------------------------------- reading

struct passages {
    int fd;
    uint64_t count;
    char *index;             // the file of offsets
    const uint64_t *offsets; // in it, count + 1
    char *path;
    char *kept; // the whole file, if it is small
    size_t kept_size;
};

void passages_close(passages_t **self_p)
{
    passages_t *self = *self_p;
    if (!self)
        return;
    if (self->fd >= 0)
        close(self->fd);
    free(self->index);
    free(self->path);
    free(self->kept);
    free(self);
    *self_p = NULL;
}

static int load_offsets(passages_t *self, const char *path, char *why, size_t why_size)
{
    size_t size = 0, want = sizeof idx_magic + (self->count + 1) * sizeof(uint64_t);
    self->index = file_read(path, want, &size);
    if (!self->index)
        return rl_fail(why, why_size, "%s: %s", path,
                       errno == EFBIG ? "larger than the manifest says" : strerror(errno));
    if (size != want || memcmp(self->index, idx_magic, sizeof idx_magic) != 0)
        return rl_fail(why, why_size, "%s: is no offset table of %llu passages", path,
                       (unsigned long long)self->count);
    self->offsets = (const uint64_t *)(const void *)(self->index + sizeof idx_magic);
    if (self->offsets[0] != sizeof bin_magic)
        return rl_fail(why, why_size, "%s: its first offset is wrong", path);
    for (uint64_t id = 1; id <= self->count; id++) {
        uint64_t from = self->offsets[id - 1], to = self->offsets[id];
        if (to < from + sizeof(record_t) + STRINGS || to - from > MAX_RECORD)
            return rl_fail(why, why_size, "%s: the offset of passage %llu is wrong", path,
                           (unsigned long long)id);
    }
    return 0;
}

passages_t *passages_open(const char *folder, uint64_t count, char *why, size_t why_size)
{
    char path[FILE_PATH_MAX], magic[sizeof bin_magic];
    passages_t *self = rl_new(*self);
    self->path = rl_format("%s/" PASSAGES_BIN, folder);
    self->count = count;
    self->fd = open(self->path, O_RDONLY | O_CLOEXEC);
    int rc = 0;
    if (self->fd < 0)
        rc = rl_fail(why, why_size, "%s: %s", self->path, strerror(errno));
    else if (pread(self->fd, magic, sizeof magic, 0) != (ssize_t)sizeof magic ||
             memcmp(magic, bin_magic, sizeof magic) != 0)
        rc = rl_fail(why, why_size, "%s: is no file of passages", self->path);
    else if (path_format(path, "%s/" PASSAGES_IDX, folder) != 0)
        rc = rl_fail(why, why_size, "%s: %s", folder, strerror(errno));
    else
        rc = load_offsets(self, path, why, why_size);
    if (rc != 0)
        passages_close(&self);
    else
        self->kept = file_read(self->path, MAX_KEPT, &self->kept_size);
    return self;
}

// Copies `size` bytes from offset `from` on; whether they are there.
static bool read_at(const passages_t *self, uint64_t from, size_t size, char *out)
{
    if (!self->kept)
        return pread(self->fd, out, size, (off_t)from) == (ssize_t)size;
    if (from > self->kept_size || size > self->kept_size - from)
        return false;
    memcpy(out, self->kept + from, size);
    return true;
}

// Points the passage at the strings of its record of `size` bytes; -1 if they do not add up.
static int parse_record(const char *data, size_t size, uint64_t id, rl_passage_t *out)
{
    record_t record;
    memcpy(&record, data, sizeof record);
    const char **strings[STRINGS] = {&out->doc,    &out->title, &out->heading,
                                     &out->source, &out->text,  &out->meta};
    *out = (rl_passage_t){.id = id, .start = record.start, .end = record.end, .hash = record.hash};
    size_t at = sizeof record;
    for (int each = 0; each < STRINGS; each++) {
        if (record.sizes[each] >= size - at || data[at + record.sizes[each]] != '\0')
            return -1;
        *strings[each] = data + at;
        at += (size_t)record.sizes[each] + 1;
        if (at == size && each < STRINGS - 1)
            return -1;
    }
    return at == size ? 0 : -1;
}

int passages_get(const passages_t *self, const uint64_t *ids, size_t size, rl_passage_t *passages,
                 void **memory_p, char *why, size_t why_size)
{
    *memory_p = NULL;
    size_t total = 1;
    for (size_t each = 0; each < size; each++) {
        if (ids[each] < 1 || ids[each] > self->count)
            return rl_fail(why, why_size, "%s: there is no passage %llu", self->path,
                           (unsigned long long)ids[each]);
        total += self->offsets[ids[each]] - self->offsets[ids[each] - 1];
    }
    char *memory = malloc(total), *at = memory;
    if (!memory)
        return rl_fail(why, why_size, "%s: out of memory", self->path);
    for (size_t each = 0; each < size; each++) {
        uint64_t from = self->offsets[ids[each] - 1];
        size_t bytes = self->offsets[ids[each]] - from;
        if (!read_at(self, from, bytes, at) ||
            parse_record(at, bytes, ids[each], &passages[each]) != 0) {
            free(memory);
            return rl_fail(why, why_size,
                           "%s: passage %llu is damaged; build the index again (ragline-index)",
                           self->path, (unsigned long long)ids[each]);
        }
        at += bytes;
    }
    *memory_p = memory;
    return 0;
}

// ---------------------------------------------------------------------------------------- copying

size_t passage_bytes(const rl_passage_t *self)
{
    return strlen(self->doc) + strlen(self->title) + strlen(self->heading) + strlen(self->source) +
           strlen(self->text) + strlen(self->meta) + STRINGS;
}

static const char *put_string(char **at, const char *text)
{
    char *start = *at;
    size_t size = strlen(text) + 1;
    memcpy(start, text, size);
    *at += size;
    return start;
}

rl_passage_t passage_copy(const rl_passage_t *self, char **at)
{
    rl_passage_t copy = *self;
    copy.doc = put_string(at, self->doc);
    copy.title = put_string(at, self->title);
    copy.heading = put_string(at, self->heading);
    copy.source = put_string(at, self->source);
    copy.text = put_string(at, self->text);
    copy.meta = put_string(at, self->meta);
    return copy;
}

// ---------------------------------------------------------------------------------------- writing

struct passages_writer {
    FILE *bin, *idx;
    char *folder;
    uint64_t offset;
};

static int cannot_write(const passages_writer_t *self, char *why, size_t why_size)
{
    return rl_fail(why, why_size, "%s/" PASSAGES_BIN ": cannot write: %s", self->folder,
                   strerror(errno));
}

passages_writer_t *passages_writer_new(const char *folder, char *why, size_t why_size)
{
    char path[FILE_PATH_MAX];
    passages_writer_t *self = rl_new(*self);
    self->folder = rl_strdup(folder);
    if (path_format(path, "%s/" PASSAGES_BIN, folder) == 0)
        self->bin = fopen(path, "wbe");
    if (self->bin && path_format(path, "%s/" PASSAGES_IDX, folder) == 0)
        self->idx = fopen(path, "wbe");
    self->offset = sizeof bin_magic;
    if (!self->idx || fwrite(bin_magic, sizeof bin_magic, 1, self->bin) != 1 ||
        fwrite(idx_magic, sizeof idx_magic, 1, self->idx) != 1 ||
        fwrite(&self->offset, sizeof self->offset, 1, self->idx) != 1) {
        char ignored[8];
        cannot_write(self, why, why_size);
        passages_writer_close(&self, ignored, sizeof ignored);
    }
    return self;
}

int passages_writer_add(passages_writer_t *self, const rl_passage_t *passage, char *why,
                        size_t why_size)
{
    const char *strings[STRINGS] = {passage->doc,    passage->title, passage->heading,
                                    passage->source, passage->text,  passage->meta};
    record_t record = {passage->start, passage->end, passage->hash, {0}};
    size_t total = sizeof record;
    for (int each = 0; each < STRINGS; each++) {
        size_t size = strings[each] ? strlen(strings[each]) : 0;
        if (size > MAX_RECORD || (total += size + 1) > MAX_RECORD)
            return rl_fail(why, why_size, "passage of %.200s: larger than %d bytes",
                           passage->doc ? passage->doc : "?", MAX_RECORD);
        record.sizes[each] = (uint32_t)size;
    }
    bool ok = fwrite(&record, sizeof record, 1, self->bin) == 1;
    for (int each = 0; ok && each < STRINGS; each++)
        ok = fwrite(strings[each] ? strings[each] : "", (size_t)record.sizes[each] + 1, 1,
                    self->bin) == 1;
    self->offset += total;
    if (!ok || fwrite(&self->offset, sizeof self->offset, 1, self->idx) != 1)
        return cannot_write(self, why, why_size);
    return 0;
}

int passages_writer_close(passages_writer_t **self_p, char *why, size_t why_size)
{
    passages_writer_t *self = *self_p;
    if (!self)
        return 0;
    int rc = 0;
    if (self->bin && fclose(self->bin) != 0)
        rc = cannot_write(self, why, why_size);
    if (self->idx && fclose(self->idx) != 0 && rc == 0)
        rc = cannot_write(self, why, why_size);
    free(self->folder);
    free(self);
    *self_p = NULL;
    return rc;
}
