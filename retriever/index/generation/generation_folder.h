// generation_folder: the folder of a collection for its writer: its lock, the names of generations,
// which one is in force, and the removal of old ones.
#ifndef GENERATION_FOLDER_H
#define GENERATION_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "manifest.h"
#include "store.h"

// Takes FOLDER/LOCK, which goes with the process that holds it, so that a dead builder's is free.
// Returns its descriptor, to be closed in the end, or -1 with `why`.
int generation_folder_lock(const char *folder, char *why, size_t why_size);

// Removes what interrupted builds left, and picks the next name "g-NNNNNN" into `name`
// (STORE_NAME bytes). Only the holder of the lock may call it.
void generation_folder_next(const char *folder, char *name);

// Gives FOLDER/NAME.tmp, whose path `temporary` (FILE_PATH_MAX bytes) is, its name, and puts it in
// force: each step is done as a whole or not at all. `temporary` then is what would have to be
// removed to go back: after a success "". Returns 0, or -1 with `why`.
int generation_folder_activate(const char *folder, const char *name, char *temporary, char *why,
                               size_t why_size);

// Removes what is older than `name`, which is in force, but for `previous`: retrievers may still
// serve that one.
void generation_folder_clean(const char *folder, const char *previous, const char *name);

// The manifest of a generation; NULL if there is none that can be read, or `name` is "".
manifest_data_t *generation_folder_manifest(const char *folder, const char *name);

// Removes what --sync knows of folders: a build has put another collection in the place of the one
// that it was about.
void generation_folder_drop_sync(const char *folder);

#endif
