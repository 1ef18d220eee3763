// passages: the passages of a shard in a flat file, by id.
//
// Measured on 20,000 passages of 700 bytes, 50 of them fetched at random: Xapian's document data
// 1,200 to 1,760 us, this file by pread 65 us (offsets in memory), with nothing to decode; from
// memory 5 us, so a small file is kept there. Mapped, a large one would be as fast, but a file cut
// short under a mapping kills the process, so it is read.
//
//   passages.bin  "RLPASS01", then records: u64 start, end, hash; u32 sizes of doc, title, heading,
//                 source, text, meta; these strings, each followed by a NUL. Little endian.
//   passages.idx  "RLPIDX01", then u64 offsets in passages.bin, one for each id from 1 and one for
//                 the end.
#ifndef PASSAGES_H
#define PASSAGES_H

#include <stddef.h>
#include <stdint.h>

#include "proto.h"

#define PASSAGES_BIN "passages.bin"
#define PASSAGES_IDX "passages.idx"

typedef struct passages passages_t;

// Opens the files in `folder`, which hold `count` passages. NULL and `why` if they do not fit
// together.
passages_t *passages_open(const char *folder, uint64_t count, char *why, size_t why_size);
void passages_close(passages_t **self_p);

// See store_passages. Any thread may call it.
int passages_get(const passages_t *self, const uint64_t *ids, size_t size, rl_passage_t *passages,
                 void **memory_p, char *why, size_t why_size);

// Copies of a passage: what its strings take, NULs included, and the copy, whose strings are put at
// *at, which moves on behind them. None of the strings is NULL.
size_t passage_bytes(const rl_passage_t *self);
rl_passage_t passage_copy(const rl_passage_t *self, char **at);

typedef struct passages_writer passages_writer_t;

passages_writer_t *passages_writer_new(const char *folder, char *why, size_t why_size);

// Appends; the ids are 1, 2, 3… Returns 0, or -1 with `why`.
int passages_writer_add(passages_writer_t *self, const rl_passage_t *passage, char *why,
                        size_t why_size);

// Writes what is buffered and closes; *self_p becomes NULL. Returns 0, or -1 with `why`.
int passages_writer_close(passages_writer_t **self_p, char *why, size_t why_size);

#endif
