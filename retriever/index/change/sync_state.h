// sync_state: what is known of a folder that a collection is synchronised with: its files as they
// were read last, the documents that each of them gave, and what stands for their content.
//
//   FOLDER/sync/N….mdb   an LMDB file, named by the hash of the folder's path, 32 hexadecimal
//   digits FOLDER/sync/N….sum   its checksum in 16 hexadecimal digits; locked (flock) while
//   somebody looks
//                        at the folder
//
// It only saves work: without it everything is read again, and compared with the index. That holds
// for files of earlier versions too (16 digits; .mdb, .sum, .json), which are removed when this one
// is first written, and for one whose checksum is wrong: LMDB trusts the file that it maps, and a
// damaged page would end the process.
#ifndef SYNC_STATE_H
#define SYNC_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"

typedef struct sync_state sync_state_t;

// That of the folder `from` in the collection's `folder`, for one pass over it. What cannot be read
// counts as not there. NULL with `why`; *busy: because another process synchronises it now.
sync_state_t *sync_state_open(const char *folder, const char *from, bool *busy, char *why,
                              size_t why_size);
// Lets go of it. What was not written is as if it had not been seen.
void sync_state_close(sync_state_t **self_p);

// Whether it was written by an earlier run.
bool sync_state_is_known(const sync_state_t *self);

// A passage's share of the fingerprint of a document that the index has, of a file; found there,
// not read.
void sync_state_adopt(sync_state_t *self, const char *file, const char *id,
                      rl_hash128_t fingerprint);

// The file is there: true if it is as it was when it was read; else it has to be read, and what its
// documents are is noted below.
bool sync_state_see(sync_state_t *self, const char *file, uint64_t size, int64_t mtime_ns);

// A file that has to be read cannot be, or not all of it: its documents stay.
void sync_state_keep(sync_state_t *self, const char *file);

// Something of this name cannot be looked at: what is known of it, as a file or a folder with all
// below it, stays. "": everything.
void sync_state_keep_below(sync_state_t *self, const char *name);

// A document of a file that was read. Returns whether it is another than it was.
bool sync_state_document(sync_state_t *self, const char *file, const char *id,
                         rl_hash128_t fingerprint);

// When all files were read: calls `fn` with the documents that no file gives any more, each once,
// until it returns false (that one comes again).
void sync_state_gone(sync_state_t *self, bool (*fn)(void *arg, const char *id), void *arg);

// Whether there were files and none of them was seen.
bool sync_state_lost_all(const sync_state_t *self);

// Writes what was seen. Returns 0, or -1 with `why`; also if something before went wrong.
int sync_state_write(sync_state_t *self, char *why, size_t why_size);

#endif
