// files: checksums of files, whole small files, folders, syncing to disk.
#ifndef FILES_H
#define FILES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fail.h"

enum {
    FILE_PATH_MAX = 4096, // bytes of a path, NUL included
};

// Size and checksum of a file: XXH64 with seed 0, fast enough to check gigabytes at a start. It
// guards against damage, not against forgery. Returns 0, or -1 with errno: ECANCELED when *stop
// (may be NULL) became true meanwhile.
int file_checksum(const char *path, const atomic_bool *stop, uint64_t *size, uint64_t *checksum);

// Size of a regular file. Returns 0, or -1 with errno.
int file_size(const char *path, uint64_t *size);

// Reads a whole file of at most `max` bytes into a malloc'd, NUL-terminated block that the caller
// owns; NULL with errno (EFBIG: larger).
char *file_read(const char *path, size_t max, size_t *size);

// Writes a whole file and syncs it. Returns 0, or -1 with errno.
int file_write(const char *path, const void *data, size_t size);

// Syncs a file or a folder (its names) to disk. Returns 0, or -1 with errno.
int file_sync(const char *path);

// Removes a folder and what is in it; a link is removed, never followed. 0, also when there is
// none, or -1 with errno.
int folder_remove(const char *path);

// Calls `fn` with the path and size of every regular file below `root`, as "sub/name" in byte
// order of names. `fn` returns non-zero to stop. Returns what fn returned last, or -1 with errno.
typedef int(folder_fn)(void *arg, const char *name, uint64_t size);
int folder_files(const char *root, folder_fn *fn, void *arg);

// Writes `format` into `path` (FILE_PATH_MAX bytes). Returns 0, or -1 with errno (ENAMETOOLONG) if
// it does not fit.
int path_format(char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
