// spool: records of a fixed part and strings, written and read in order.

#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"
#include "mem.h"

enum {
    STRINGS = 6,
    BUFFER = 1 << 18
};

// What a record begins with; strings (each with its NUL) and the vector follow.
typedef struct record_head {
    uint64_t shard, start, end, hash;
    vector_key_t key;
    uint64_t vector_size;
    uint32_t sizes[STRINGS]; // with NUL: doc, title, heading, source, text, meta
} record_head_t;

struct spool {
    FILE *file;
    char *memory; // of the record at hand
    size_t room;
};

// A file without a name: gone when the process is, however it ends.
static int open_nameless(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    // not every file system can
    char path[4200];
    snprintf(path, sizeof path, "%s/.spool-XXXXXX", folder);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

spool_t *spool_new(const char *folder, char *why, size_t why_size)
{
    int fd = open_nameless(folder);
    if (fd < 0) {
        rl_fail(why, why_size, "no temporary file can be made in %s: %s", folder, strerror(errno));
        return NULL;
    }
    spool_t *self = rl_new(*self);
    self->file = rl_must(fdopen(fd, "w+b"));
    setvbuf(self->file, NULL, _IOFBF, BUFFER);
    return self;
}

void spool_destroy(spool_t **self_p)
{
    spool_t *self = *self_p;
    if (!self)
        return;
    fclose(self->file);
    free(self->memory);
    free(self);
    *self_p = NULL;
}

static bool write_bytes(spool_t *self, const void *data, size_t size)
{
    return size == 0 || fwrite(data, 1, size, self->file) == size;
}

int spool_add(spool_t *self, const spooled_t *item, char *why, size_t why_size)
{
    const rl_passage_t *passage = &item->passage;
    const char *strings[STRINGS] = {passage->doc,    passage->title, passage->heading,
                                    passage->source, passage->text,  passage->meta};
    record_head_t head = {.shard = item->shard,
                          .start = passage->start,
                          .end = passage->end,
                          .hash = passage->hash,
                          .key = item->key,
                          .vector_size = item->vector ? item->vector_size : 0};
    for (size_t i = 0; i < STRINGS; i++) {
        strings[i] = strings[i] ? strings[i] : "";
        head.sizes[i] = (uint32_t)strlen(strings[i]) + 1;
    }
    bool ok = write_bytes(self, &head, sizeof head);
    ok = ok && write_bytes(self, item->vector, head.vector_size * sizeof *item->vector);
    for (size_t i = 0; i < STRINGS; i++)
        ok = ok && write_bytes(self, strings[i], head.sizes[i]);
    return ok ? 0 : rl_fail(why, why_size, "temporary file: %s", strerror(errno));
}

int spool_rewind(spool_t *self, char *why, size_t why_size)
{
    if (fflush(self->file) != 0 || fseeko(self->file, 0, SEEK_SET) != 0)
        return rl_fail(why, why_size, "temporary file: %s", strerror(errno));
    return 0;
}

int spool_next(spool_t *self, spooled_t *item, char *why, size_t why_size)
{
    record_head_t head;
    if (fread(&head, sizeof head, 1, self->file) != 1) {
        if (feof(self->file))
            return 0;
        return rl_fail(why, why_size, "temporary file: %s", strerror(errno));
    }
    size_t vector = head.vector_size * sizeof(float), size = vector;
    for (size_t i = 0; i < STRINGS; i++)
        size += head.sizes[i];
    if (size > self->room) {
        self->memory = rl_realloc(self->memory, size, 1);
        self->room = size;
    }
    if (fread(self->memory, 1, size, self->file) != size)
        return rl_fail(why, why_size, "temporary file: %s",
                       ferror(self->file) ? strerror(errno) : "it ends too early");
    const char *strings[STRINGS], *at = self->memory + vector;
    for (size_t i = 0; i < STRINGS; i++) {
        strings[i] = at;
        at += head.sizes[i];
    }
    *item = (spooled_t){.shard = head.shard,
                        .key = head.key,
                        .vector = vector ? (const float *)(void *)self->memory : NULL,
                        .vector_size = head.vector_size,
                        .passage = {.doc = strings[0],
                                    .title = strings[1],
                                    .heading = strings[2],
                                    .source = strings[3],
                                    .text = strings[4],
                                    .meta = strings[5],
                                    .start = head.start,
                                    .end = head.end,
                                    .hash = head.hash}};
    return 1;
}
