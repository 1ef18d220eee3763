// change_log: what was added to a collection and deleted from it since its generation was built: a
// log beside the generations, written by ragline-index and followed by every retriever.
//
//   FOLDER/changes/NNNNNNNNNNNNNNNNNNNN.log   a segment, named by the number of its first change
//   FOLDER/changes/LOCK                       held (flock) by a writer that appends
//
//   SEGMENT  "RLCHNG01", u64 number of its first change; then frames
//   FRAME    "RLCF", u32 changes in it, u64 number of the first, u64 bytes of what follows, u64
//            checksum (XXH64 of the frame with 0 in this place); the changes. One without
//            changes ends the segment: the next one goes on.
//   CHANGE   u32 bytes of what follows; u8 kind; a string: the document's id, or a source; of a
//            document then u64 model hash, u32 passages, u32 components of their vectors, and of
//            each passage u64 start, end, hash, the strings title, heading, source, text, meta, and
//            the vector.
//   STRING   u32 bytes, the bytes, NUL. All little endian.
//
// Changes are numbered from 1, for as long as the collection lives. A generation holds all up to
// the number that its manifest names; those behind it are applied to it in memory (delta.h). What
// is written together is one frame: it is in force as a whole or not at all, and it is on disk
// before it is acknowledged. What is no whole frame at the end of the log was never acknowledged
// (its writer was killed, or the machine stopped) and is cut off by the next writer; one with a
// whole frame behind it is damage, which is named and neither passed over nor cut.
#ifndef CHANGE_LOG_H
#define CHANGE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto.h"

#define CHANGE_LOG_FOLDER "changes"

enum {
    CHANGE_LOG_MAX_ID = 512,         // bytes of an id or source: as many as can be looked up
    CHANGE_LOG_MAX_PASSAGES = 65536, // of one document
    CHANGE_LOG_MAX_FRAME = 64 << 20, // bytes of one
    CHANGE_LOG_SEGMENT = 16 << 20,   // bytes of a segment after which the next one begins
};

typedef enum change_kind {
    CHANGE_PUT = 1,       // a document: takes the place of one with its id
    CHANGE_DELETE,        // of the document with this id
    CHANGE_DELETE_SOURCE, // of all passages from this source
} change_kind_t;

typedef struct change {
    change_kind_t kind;
    const char *name;       // the id, or the source
    rl_passage_t *passages; // PUT: their `doc` is the name; id and score 0
    size_t passages_size;   //
    const float *vectors;   // a row for each passage, length 1; NULL if lexical only
    size_t dimension;       // of them
    uint64_t model_hash;    // change_log_model_hash of the embedding model
} change_t;

// What stands for an embedding model, so that vectors of another one are not compared.
uint64_t change_log_model_hash(const char *model);

// Number of the last change in the folder's log, 0 if it has none. -1 with `why` if the log cannot
// be read or is damaged.
int change_log_last(const char *folder, uint64_t *number, char *why, size_t why_size);

// ---- writing ------------------------------------------------------------------------------------

typedef struct change_log_writer change_log_writer_t;

// Opens the log for appending, or makes it: the next change has at least the number `after` + 1.
// Any number of writers may be at work; each commit takes the lock. NULL and `why`.
change_log_writer_t *change_log_writer_new(const char *folder, uint64_t after, char *why,
                                           size_t why_size);
void change_log_writer_destroy(change_log_writer_t **self_p);

// Whether the log was made by this writer: retrievers learn of it with their next announcement.
bool change_log_writer_is_first(const change_log_writer_t *self);

// Gathers a change for the next commit. Returns 0, or -1 with `why` when it breaks a bound (then it
// is left out, what was gathered before stays).
int change_log_add(change_log_writer_t *self, const change_t *change, char *why, size_t why_size);

// Appends what was gathered as one frame and has it written to the disk. Then it is in force:
// *first is the number of the first of these changes. Returns 0, or -1 with `why`: then none of
// them is. Nothing is gathered any more in either case.
int change_log_commit(change_log_writer_t *self, uint64_t *first, char *why, size_t why_size);

// Ends the segment at work, so that what was merged can be removed. Returns 0, or -1 with `why`.
int change_log_rotate(change_log_writer_t *self, char *why, size_t why_size);

// Bytes of changes with numbers above `after`, about.
uint64_t change_log_bytes(const char *folder, uint64_t after);

// A number that no change of the log has reached, damaged as it may be.
uint64_t change_log_bound(const char *folder);

// Removes segments of which no change has a number above `upto`; the last one stays (but of
// UINT64_MAX, which stands for all).
void change_log_forget(const char *folder, uint64_t upto);

// ---- reading ------------------------------------------------------------------------------------

typedef struct change_log_reader change_log_reader_t; // for one thread at a time

// Reads the changes with numbers above `after`. The log need not be there yet. Never NULL.
change_log_reader_t *change_log_reader_new(const char *folder, uint64_t after);
void change_log_reader_destroy(change_log_reader_t **self_p);

// Whether there may be something that was not read: a system call or two.
bool change_log_reader_has_more(change_log_reader_t *self);

// Whether there is a log.
bool change_log_reader_has_log(const change_log_reader_t *self);

typedef enum change_log_next {
    CHANGE_LOG_NONE, // no more for now
    CHANGE_LOG_FRAME,
    CHANGE_LOG_GONE,    // those that come next were merged and removed: open the new generation
    CHANGE_LOG_DAMAGED, // `why` names file, place, what is wrong, what to do
    CHANGE_LOG_FAILED,  // `why`; again later
} change_log_next_t;

// The changes of the next frame: *changes_p of *size_p, the first has number *first_p. They are
// good until the next call.
change_log_next_t change_log_reader_next(change_log_reader_t *self, const change_t **changes_p,
                                         size_t *size_p, uint64_t *first_p, char *why,
                                         size_t why_size);

// Number of the last change that was given.
uint64_t change_log_reader_at(const change_log_reader_t *self);

#endif
