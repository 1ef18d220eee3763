// listing: the files to be indexed, in the order in which they are read, each once.
#ifndef RL_LISTING_H
#define RL_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rl_listing rl_listing_t;

typedef struct rl_listed {
    const char *path; // as given, or the folder given and what is below it
    const char *name; // relative to the folder given; the file's name if it was given itself
    uint64_t size;    // bytes on disk
    bool given;       // named by the user, not found in a folder
} rl_listed_t;

// Told about a file or folder that cannot be used; called from within rl_listing_add.
typedef void(rl_listing_problem_fn)(void *arg, const char *path, const char *what);

rl_listing_t *rl_listing_new(rl_listing_problem_fn *fn, void *arg);
void rl_listing_destroy(rl_listing_t **self_p);

// Adds a file, or a folder with all below it: sorted by name, symbolic links followed (a loop ends
// where it comes back), hidden names left out. Returns 0, or -1 if memory ran out.
int rl_listing_add(rl_listing_t *self, const char *path);

// Drops what is there twice by device and inode: a file stays rather than a link to it, the first
// of several otherwise. Call it once, after the last rl_listing_add.
void rl_listing_close(rl_listing_t *self);

// Keeps only files for which `fn` returns true.
typedef bool(rl_listing_keep_fn)(void *arg, const rl_listed_t *file);
void rl_listing_filter(rl_listing_t *self, rl_listing_keep_fn *fn, void *arg);

size_t rl_listing_size(const rl_listing_t *self);
const rl_listed_t *rl_listing_at(const rl_listing_t *self, size_t at);
uint64_t rl_listing_bytes(const rl_listing_t *self);

#endif
