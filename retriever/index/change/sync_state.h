// sync_state: what is known of a folder that a collection is synchronised with: its files as they
// were read last, the documents that each of them gave, and what stands for their content.
//
//   FOLDER/sync/NNNNNNNNNNNNNNNN.json   by the hash of the folder's path: {"folder", "files":
//                                       {"name": {"size", "mtime_ns", "documents": {"id":
//                                       "hash"}}}}
//
// It only saves work: without it everything is read again, and compared with the index.
#ifndef SYNC_STATE_H
#define SYNC_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sync_state sync_state_t;

// That of the folder `from` in the collection's `folder`. What cannot be read counts as not there.
// NULL: out of memory.
sync_state_t *sync_state_new(const char *folder, const char *from);
void sync_state_destroy(sync_state_t **self_p);

// Whether it was written by an earlier run.
bool sync_state_is_known(const sync_state_t *self);

// A document that the index has, of a file, with its fingerprint; found there, not read.
int sync_state_adopt(sync_state_t *self, const char *file, const char *id, uint64_t fingerprint);

// The file is there: true if it is as it was when it was read; else it has to be read, and what its
// documents are is noted below.
bool sync_state_see(sync_state_t *self, const char *file, uint64_t size, int64_t mtime_ns);

// A file that has to be read cannot be, or not all of it: its documents stay.
void sync_state_keep(sync_state_t *self, const char *file);

// A document of a file that was read. Returns whether it is another than it was.
bool sync_state_document(sync_state_t *self, const char *file, const char *id,
                         uint64_t fingerprint);

// Calls `fn` with the documents that no file gives any more, each once, until it returns false
// (that one comes again).
void sync_state_gone(sync_state_t *self, bool (*fn)(void *arg, const char *id), void *arg);

// Files that are there; 0 before any was seen.
size_t sync_state_files(const sync_state_t *self);
size_t sync_state_files_before(const sync_state_t *self);

// Writes what was seen. Returns 0, or -1 with `why`.
int sync_state_write(const sync_state_t *self, char *why, size_t why_size);

#endif
