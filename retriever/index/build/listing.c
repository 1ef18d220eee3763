// listing: walks the folders by fts(3).

#include "listing.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct entry {
    listed_t listed;
    char *memory; // what listed.path and listed.name point into
    dev_t device;
    ino_t inode;
    bool link;
    size_t at; // place in the order found
} entry_t;

struct listing {
    listing_problem_fn *fn;
    void *arg;
    entry_t *entries;
    size_t size, room;
    uint64_t bytes;
};

listing_t *listing_new(listing_problem_fn *fn, void *arg)
{
    listing_t *self = calloc(1, sizeof *self);
    if (self) {
        self->fn = fn;
        self->arg = arg;
    }
    return self;
}

void listing_destroy(listing_t **self_p)
{
    listing_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->size; i++)
        free(self->entries[i].memory);
    free(self->entries);
    free(self);
    *self_p = NULL;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

// Appends a file whose name begins at `name` within `path`.
static int append(listing_t *self, const char *path, size_t name, const struct stat *st, bool given)
{
    if (self->size == self->room) {
        size_t room = self->room ? self->room * 2 : 64;
        entry_t *entries = realloc(self->entries, room * sizeof *entries);
        if (!entries)
            return -1;
        self->entries = entries;
        self->room = room;
    }
    struct stat own;
    entry_t *entry = &self->entries[self->size];
    *entry = (entry_t){.memory = strdup(path),
                       .device = st->st_dev,
                       .inode = st->st_ino,
                       .link = lstat(path, &own) == 0 && S_ISLNK(own.st_mode),
                       .at = self->size};
    if (!entry->memory)
        return -1;
    entry->listed = (listed_t){.path = entry->memory,
                               .name = entry->memory + name,
                               .size = (uint64_t)st->st_size,
                               .given = given};
    self->size++;
    return 0;
}

// What fts found.
static int take(listing_t *self, FTS *fts, FTSENT *found, size_t root)
{
    bool top = found->fts_level == 0;
    if (!top && found->fts_name[0] == '.') {
        if (found->fts_info != FTS_DP)
            fts_set(fts, found, FTS_SKIP);
        return 0;
    }
    switch (found->fts_info) {
    case FTS_F: {
        const char *slash = strrchr(found->fts_path, '/');
        size_t name = top ? (slash ? (size_t)(slash - found->fts_path) + 1 : 0) : root;
        return append(self, found->fts_path, name, found->fts_statp, top);
    }
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        self->fn(self->arg, found->fts_path, strerror(found->fts_errno));
        return 0;
    case FTS_SLNONE:
        self->fn(self->arg, found->fts_path, "a link to nothing");
        return 0;
    case FTS_DEFAULT:
        if (top)
            self->fn(self->arg, found->fts_path, "is no regular file");
        return 0;
    default:
        return 0; // folders; FTS_DC is one that a link leads back to
    }
}

int listing_add(listing_t *self, const char *path)
{
    char *own = strdup(path);
    size_t size = own ? strlen(own) : 0;
    while (size > 1 && own[size - 1] == '/')
        own[--size] = '\0';
    char *const paths[] = {own, NULL};
    FTS *fts = own ? fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, by_name) : NULL;
    if (!fts) {
        free(own);
        return -1;
    }
    size_t root = size + (size > 0 && own[size - 1] != '/');
    int rc = 0;
    FTSENT *found;
    while (rc == 0 && (found = fts_read(fts)))
        rc = take(self, fts, found, root);
    fts_close(fts);
    free(own);
    return rc;
}

static int by_inode(const void *a, const void *b)
{
    const entry_t *one = a, *other = b;
    if (one->device != other->device)
        return one->device < other->device ? -1 : 1;
    if (one->inode != other->inode)
        return one->inode < other->inode ? -1 : 1;
    if (one->link != other->link)
        return one->link ? 1 : -1;
    return one->at < other->at ? -1 : 1;
}

static int by_place(const void *a, const void *b)
{
    const entry_t *one = a, *other = b;
    return one->at < other->at ? -1 : one->at > other->at;
}

void listing_close(listing_t *self)
{
    size_t kept = 0;
    if (self->size > 0)
        qsort(self->entries, self->size, sizeof *self->entries, by_inode);
    for (size_t i = 0; i < self->size; i++) {
        entry_t *entry = &self->entries[i];
        const entry_t *last = kept ? &self->entries[kept - 1] : NULL;
        if (last && last->device == entry->device && last->inode == entry->inode) {
            free(entry->memory);
            continue;
        }
        self->bytes += entry->listed.size;
        self->entries[kept++] = *entry;
    }
    self->size = kept;
    if (self->size > 0)
        qsort(self->entries, self->size, sizeof *self->entries, by_place);
}

void listing_filter(listing_t *self, listing_keep_fn *fn, void *arg)
{
    size_t kept = 0;
    self->bytes = 0;
    for (size_t i = 0; i < self->size; i++) {
        entry_t *entry = &self->entries[i];
        if (!fn(arg, &entry->listed)) {
            free(entry->memory);
            continue;
        }
        self->bytes += entry->listed.size;
        self->entries[kept++] = *entry;
    }
    self->size = kept;
}

size_t listing_size(const listing_t *self)
{
    return self->size;
}

const listed_t *listing_at(const listing_t *self, size_t at)
{
    return &self->entries[at].listed;
}

uint64_t listing_bytes(const listing_t *self)
{
    return self->bytes;
}
