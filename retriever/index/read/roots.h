// roots: the folders that an index was built of, and the ids that they give to files: a file below
// one is named relative to it, with its name in front where there are several; any other by its
// path as given, normalised. The manifest records them, so that a change names a file as the build
// did.
#ifndef ROOTS_H
#define ROOTS_H

#include <jansson.h>

typedef struct roots roots_t;

// Of no folder; references count from one thread.
roots_t *roots_new(void);
roots_t *roots_ref(roots_t *self);
void roots_unref(roots_t **self_p);

// Adds a folder, as given; one that is there already, or is no folder, does nothing. Logs how
// folders of the same name are told apart.
void roots_add(roots_t *self, const char *given);

// From what roots_json wrote: NULL if it is no list, as in an index of an earlier version.
roots_t *roots_read(const json_t *list);
// [{"path": absolute, "given": as given, "name": in front of ids}], owned by the caller.
json_t *roots_json(const roots_t *self);

// The id of the file at this path, as given; malloc'd, owned by the caller.
char *roots_id(const roots_t *self, const char *path);

// The absolute path of a source, which begins as a root or its path was given in the build; NULL
// where it is not known. Malloc'd, owned by the caller.
char *roots_locate(const roots_t *self, const char *source);

// The absolute path, without ".", ".." and double slashes; symbolic links stay. Malloc'd.
char *roots_absolute(const char *path);

// What is behind a folder's path and a slash, NULL if the path is not below it.
const char *roots_below(const char *path, const char *folder);

#endif
