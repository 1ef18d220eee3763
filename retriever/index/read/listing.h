// listing: the files to be indexed, in the order in which they are read, each once.
#ifndef LISTING_H
#define LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct listing listing_t;

typedef struct listed {
    const char *path; // as given, or the folder given and what is below it
    const char *name; // relative to the folder given; the file's name if it was given itself
    uint64_t size;    // bytes on disk
    bool given;       // named by the user, not found in a folder
} listed_t;

// Told about a file or folder that cannot be used; called from within listing_add.
typedef void(listing_problem_fn)(void *arg, const char *path, const char *what);

listing_t *listing_new(listing_problem_fn *fn, void *arg);
void listing_destroy(listing_t **self_p);

// Adds a file, or a folder with all below it: sorted by name, symbolic links followed (a loop ends
// where it comes back), hidden names left out.
void listing_add(listing_t *self, const char *path);

// Drops what is there twice by device and inode: a file stays rather than a link to it, the first
// of several otherwise. Call it once, after the last listing_add.
void listing_close(listing_t *self);

// Keeps only files for which `fn` returns true.
typedef bool(listing_keep_fn)(void *arg, const listed_t *file);
void listing_filter(listing_t *self, listing_keep_fn *fn, void *arg);

size_t listing_size(const listing_t *self);
const listed_t *listing_at(const listing_t *self, size_t at);
uint64_t listing_bytes(const listing_t *self);

#endif
