// retriever_help: temporary folders and small collections for the retriever's tests.
#ifndef RETRIEVER_HELP_H
#define RETRIEVER_HELP_H

#include "generation_writer.h"

#include <stdbool.h>

enum {
    HELP_DIMENSION = 16
};

// A new folder under TMPDIR (a static buffer of 64 of them, used round), and its removal.
const char *help_folder(void);
void help_remove(const char *folder);

// A vector with every component from -1 to 1, the same for the same number.
void help_vector(uint64_t number, size_t dimension, float *out);

// Builds a generation of `passages` in `shards` shards into FOLDER: passage i (from 0) goes to
// shard i % shards, has doc "doc-i", the text `texts[i % texts_size]`, or "passage number i" if
// texts is NULL, and help_vector (i). Fails the test if that does not go.
void help_build(const char *folder, size_t passages, uint64_t shards, size_t dimension,
                const char *factory, const char *const *texts, size_t texts_size);

// Writes into a file at an offset; cuts a file to a size.
void help_spoil(const char *path, long offset, const char *bytes);
void help_cut(const char *path, long size);
long help_size(const char *path);

// FOLDER/name in a static buffer.
const char *help_path(const char *folder, const char *name);
bool help_exists(const char *folder, const char *name);

#endif
