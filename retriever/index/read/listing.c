// listing: walks the folders by fts(3).

#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mem.h"
#include "roots.h"

typedef struct listing_entry {
    listed_t listed;
    char *memory; // what listed.path and listed.name point into
    dev_t device;
    ino_t inode;
    bool link;
    size_t at; // place in the order found
} listing_entry_t;

struct listing {
    report_t *report;
    listing_entry_t *entries;
    size_t size, room;
    uint64_t bytes;
    char **skip; // patterns
    size_t skip_size;
    char **failed; // names
    size_t failed_size;
    bool follow; // links out of the folder, too
    char *top;   // real path of the folder at work; NULL: it has none
};

// What programs leave beside documents.
static const char *const junk[] = {
    "*~",     "#*#",   "*.bak",       "*.orig",      "*.rej",       "*.swp",    "*.tmp",
    "*.part", "~$*",   "Thumbs.db",   "CVS",         "_darcs",      "__MACOSX", "RCS",
    "SCCS",   "*.pyc", "__pycache__", "desktop.ini", "*.crdownload"};

listing_t *listing_new(report_t *report)
{
    listing_t *self = rl_new(*self);
    self->report = report;
    return self;
}

void listing_destroy(listing_t **self_p)
{
    listing_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->size; i++)
        free(self->entries[i].memory);
    for (size_t i = 0; i < self->skip_size; i++)
        free(self->skip[i]);
    for (size_t i = 0; i < self->failed_size; i++)
        free(self->failed[i]);
    free(self->entries);
    free(self->skip);
    free(self->failed);
    free(self->top);
    free(self);
    *self_p = NULL;
}

static void add_string(char ***list, size_t *size, const char *text)
{
    *list = rl_realloc(*list, *size + 1, sizeof **list);
    (*list)[(*size)++] = rl_strdup(text);
}

void listing_skip(listing_t *self, const char *pattern)
{
    add_string(&self->skip, &self->skip_size, pattern);
}

void listing_follow_links(listing_t *self)
{
    self->follow = true;
}

void listing_configure(listing_t *self, const rl_conf_t *conf)
{
    if (rl_conf_bool(conf, "index.follow_links"))
        listing_follow_links(self);
    for (size_t at = 0; at < rl_conf_list_size(conf, "index.skip"); at++)
        listing_skip(self, rl_conf_list_at(conf, "index.skip", at));
}

const char *listing_failed(const listing_t *self, size_t at)
{
    return at < self->failed_size ? self->failed[at] : NULL;
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

// Notes what could not be looked at; its name begins at `root` within `path`.
static void note_failed(listing_t *self, report_reason_t reason, const char *path, size_t root,
                        const char *what)
{
    report_add(self->report, reason, REPORT_LEFT_OUT, path, 0, what);
    add_string(&self->failed, &self->failed_size, strlen(path) > root ? path + root : "");
}

// Whether a name below a folder is left out on purpose.
static bool is_left_out(const listing_t *self, const FTSENT *found, size_t root,
                        report_reason_t *reason)
{
    const char *name = found->fts_name;
    *reason = REPORT_HIDDEN;
    if (name[0] == '.')
        return true;
    *reason = REPORT_JUNK;
    for (size_t at = 0; at < sizeof junk / sizeof *junk; at++)
        if (fnmatch(junk[at], name, 0) == 0)
            return true;
    *reason = REPORT_SKIPPED;
    for (size_t at = 0; at < self->skip_size; at++) {
        const char *pattern = self->skip[at];
        if (fnmatch(pattern, strchr(pattern, '/') ? found->fts_path + root : name, 0) == 0)
            return true;
    }
    return false;
}

// fts takes a folder that fails while it is read for one that ends there: it is read to its end
// once more here.
static void check_folder(listing_t *self, const char *path, size_t root)
{
    DIR *dir = opendir(path);
    errno = 0;
    while (dir && readdir(dir))
        errno = 0;
    if (dir && errno != 0)
        note_failed(self, REPORT_LIST_FAILED, path, root, strerror(errno));
    if (dir)
        closedir(dir);
}

// Whether it is a link out of the folder given.
static bool leads_out(const listing_t *self, const char *path)
{
    struct stat own;
    if (self->follow || lstat(path, &own) != 0 || !S_ISLNK(own.st_mode))
        return false;
    char *real = realpath(path, NULL);
    bool within =
        real && self->top && (strcmp(real, self->top) == 0 || roots_below(real, self->top));
    free(real);
    return !within;
}

// What fts found.
static void take_found(listing_t *self, FTS *fts, FTSENT *found, size_t root)
{
    bool top = found->fts_level == 0;
    report_reason_t reason;
    if (found->fts_info == FTS_DP)
        return;
    if (!top && is_left_out(self, found, root, &reason)) {
        report_skip(self->report, reason);
        fts_set(fts, found, FTS_SKIP);
        return;
    }
    bool usable = found->fts_info == FTS_F || found->fts_info == FTS_D;
    if (!top && usable && leads_out(self, found->fts_path)) {
        note_failed(self, REPORT_LINK, found->fts_path, root,
                    "a link out of the folder (index.follow_links follows it)");
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
    case FTS_D:
        check_folder(self, found->fts_path, root);
        return;
    case FTS_DNR:
        note_failed(self, REPORT_LIST_FAILED, found->fts_path, root, strerror(found->fts_errno));
        return;
    case FTS_ERR:
    case FTS_NS:
        note_failed(self, REPORT_UNREADABLE, found->fts_path, root, strerror(found->fts_errno));
        return;
    case FTS_SLNONE:
        note_failed(self, REPORT_LINK, found->fts_path, root, "a link to nothing");
        return;
    case FTS_DEFAULT:
        if (top)
            note_failed(self, REPORT_UNREADABLE, found->fts_path, root, "is no regular file");
        return;
    default:
        return; // FTS_DC is a folder that a link leads back to
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
    free(self->top);
    self->top = realpath(own, NULL);
    if (!fts)
        note_failed(self, REPORT_UNREADABLE, path, strlen(path), strerror(errno));
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
