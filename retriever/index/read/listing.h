// listing: the files to be indexed, in the order in which they are read, each once.
#ifndef LISTING_H
#define LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf.h"
#include "report.h"

typedef struct listing listing_t;

typedef struct listed {
    const char *path; // as given, or the folder given and what is below it
    const char *name; // relative to the folder given; the file's name if it was given itself
    uint64_t size;    // bytes on disk
    bool given;       // named by the user, not found in a folder
} listed_t;

// The report gets what cannot be listed, and counts what is left out on purpose; it outlives the
// listing.
listing_t *listing_new(report_t *report);
void listing_destroy(listing_t **self_p);

// Leaves out what is found in a folder and matches the pattern (fnmatch): the name of a file or
// folder or, where the pattern has a slash, its path relative to the folder given.
void listing_skip(listing_t *self, const char *pattern);
// Links that lead out of the folder given are followed too.
void listing_follow_links(listing_t *self);
// As index.skip and index.follow_links say.
void listing_configure(listing_t *self, const rl_conf_t *conf);

// Adds a file, or a folder with all below it: sorted by name, symbolic links within the folder
// followed (a loop ends where it comes back), hidden names, editors' backups and the like left out.
void listing_add(listing_t *self, const char *path);

// Drops what is there twice by device and inode: a file stays rather than a link to it, the first
// of several otherwise. Call it once, after the last listing_add.
void listing_close(listing_t *self);

// Keeps only files for which `fn` returns true.
typedef bool(listing_keep_fn)(void *arg, const listed_t *file);
void listing_filter(listing_t *self, listing_keep_fn *fn, void *arg);

// What could not be looked at, as names relative to the folder given ("": the folder itself): it
// may be a file, or a folder with others below it. NULL behind the last.
const char *listing_failed(const listing_t *self, size_t at);

size_t listing_size(const listing_t *self);
const listed_t *listing_at(const listing_t *self, size_t at);
uint64_t listing_bytes(const listing_t *self);

#endif
