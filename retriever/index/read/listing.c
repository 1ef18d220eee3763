// listing: walks the folders by fts(3).

#include "listing.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mem.h"

typedef struct listing_entry {
    listed_t listed;
    char *memory; // what listed.path and listed.name point into
    dev_t device;
    ino_t inode;
    bool link;
    size_t at; // place in the order found
} listing_entry_t;

struct listing {
    listing_problem_fn *fn;
    void *arg;
    listing_entry_t *entries;
    size_t size, room;
    uint64_t bytes;
};

listing_t *listing_new(listing_problem_fn *fn, void *arg)
{
    listing_t *self = rl_new(*self);
    self->fn = fn;
    self->arg = arg;
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
static void add_file(listing_t *self, const char *path, size_t name, const struct stat *st,
                     bool given)
{
    if (self->size == self->room) {
        self->room = self->room ? self->room * 2 : 64;
        self->entries = rl_realloc(self->entries, self->room, sizeof *self->entries);
    }
    struct stat own;
    listing_entry_t *entry = &self->entries[self->size];
    *entry = (listing_entry_t){.memory = rl_strdup(path),
                               .device = st->st_dev,
                               .inode = st->st_ino,
                               .link = lstat(path, &own) == 0 && S_ISLNK(own.st_mode),
                               .at = self->size};
    entry->listed = (listed_t){.path = entry->memory,
                               .name = entry->memory + name,
                               .size = (uint64_t)st->st_size,
                               .given = given};
    self->size++;
}

// What fts found.
static void take_found(listing_t *self, FTS *fts, FTSENT *found, size_t root)
{
    bool top = found->fts_level == 0;
    if (!top && found->fts_name[0] == '.') {
        if (found->fts_info != FTS_DP)
            fts_set(fts, found, FTS_SKIP);
        return;
    }
    switch (found->fts_info) {
    case FTS_F: {
        const char *slash = strrchr(found->fts_path, '/');
        size_t name = top ? (slash ? (size_t)(slash - found->fts_path) + 1 : 0) : root;
        add_file(self, found->fts_path, name, found->fts_statp, top);
        return;
    }
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        self->fn(self->arg, found->fts_path, strerror(found->fts_errno));
        return;
    case FTS_SLNONE:
        self->fn(self->arg, found->fts_path, "a link to nothing");
        return;
    case FTS_DEFAULT:
        if (top)
            self->fn(self->arg, found->fts_path, "is no regular file");
        return;
    default:
        return; // folders; FTS_DC is one that a link leads back to
    }
}

void listing_add(listing_t *self, const char *path)
{
    char *own = rl_strdup(path);
    size_t size = strlen(own);
    while (size > 1 && own[size - 1] == '/')
        own[--size] = '\0';
    char *const paths[] = {own, NULL};
    FTS *fts = fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    size_t root = size + (size > 0 && own[size - 1] != '/');
    FTSENT *found;
    if (!fts)
        self->fn(self->arg, path, strerror(errno));
    while (fts && (found = fts_read(fts)))
        take_found(self, fts, found, root);
    if (fts)
        fts_close(fts);
    free(own);
}

static int by_inode(const void *a, const void *b)
{
    const listing_entry_t *one = a, *other = b;
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
    const listing_entry_t *one = a, *other = b;
    return one->at < other->at ? -1 : one->at > other->at;
}

void listing_close(listing_t *self)
{
    if (self->size > 0)
        qsort(self->entries, self->size, sizeof *self->entries, by_inode);
    size_t kept = 0;
    for (size_t i = 0; i < self->size; i++) {
        listing_entry_t *entry = &self->entries[i];
        const listing_entry_t *last = kept ? &self->entries[kept - 1] : NULL;
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
        listing_entry_t *entry = &self->entries[i];
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
