// fields: the metadata of a shard's passages by field and value: which passages have it, so that a
// filter is answered without looking at passages.
//
//   fields.bin  "RLFLDS01"; u64 passages, ids, values, strings (bytes), columns (bytes), fields
//   that
//               were left out because there were too many; then
//     ids       u32 each: positions of passages (id - 1); those of a value in order, each once
//     values    u64 first, the place of its first id; u64, a double, or the place of its string. A
//               column's values are in order, and one more ends the last one's ids and string
//     strings   bytes of the values that are strings
//     columns   JSON: [{"field": "year", "type": "number", "at": 0, "values": 31}, …]; `at` counts
//               values
//   Little endian; ids are filled up to 8 bytes.
//
// Types: boolean, number, string, and text: values that can only be asked whether they exist
// (strings of more than RL_FILTER_MAX_STRING bytes). A list is several values, a member of an
// object is named "outer.inner", null and what is empty is nothing. Besides the metadata a passage
// has the fields id, title and source. The file is read with pread, a few pages of it for a filter;
// what a filter keeps is kept in memory, in bounded room.
//
// LMDB was tried in place of this file (a tree of field and value with a list of ids each, built
// unsorted): of 1,000,000 passages with 9 values each, a filter that keeps half of them by a range
// of different numbers took 20 to 100 ms instead of 0.6 to 5 ms, more than the search under it,
// since each value is a node to step over where here all ids stand in one row; building took 23 to
// 57 s instead of 15 to 28 s, and the file 214 MB (compacted; 410 MB as built) instead of 136 MB.
// It also trusts its pages, where here any byte may be wrong.
#ifndef FIELDS_H
#define FIELDS_H

#include <jansson.h>

#include "proto.h"
#include "selection.h"

#define FIELDS_FILE "fields.bin"

enum {
    FIELDS_MAX = 4096, // names of fields that are kept; further ones cannot be filtered by
};

typedef struct fields fields_t;

// Opens FOLDER/fields.bin of `count` passages. NULL and `why` when it is not there or damaged.
fields_t *fields_open(const char *folder, uint64_t count, char *why, size_t why_size);
void fields_close(fields_t **self_p);

// The passages that fulfil a filter (JSON as in filter.h). Any thread may call it. The caller lets
// go of the selection. NULL with `why`; *wrong: it is the filter that is wrong, else the file or
// memory.
selection_t *fields_select(fields_t *self, const char *filter, bool *wrong, char *why,
                           size_t why_size);

// Calls `fn` with the id of each passage whose field is this string (of at most
// RL_FILTER_MAX_STRING bytes), until it returns false (memory ran out). Returns 0, or -1 with
// `why`.
typedef bool(fields_id_fn)(void *arg, uint64_t id);
int fields_find(fields_t *self, const char *field, const char *value, fields_id_fn *fn, void *arg,
                char *why, size_t why_size);

// ---- writing ------------------------------------------------------------------------------------

// Calls `fn` with each value that a passage can be filtered by and the name of its field, until it
// returns something else than 0, which is returned. A value is a boolean, a number or a string;
// names may be empty or too long (RL_FILTER_MAX_FIELD), and such fields cannot be filtered by.
typedef int(fields_value_fn)(void *arg, const char *name, const json_t *value);
int fields_each(const rl_passage_t *passage, fields_value_fn *fn, void *arg);

typedef struct fields_writer fields_writer_t;

// Gathers the fields of all shards of a build, sorting them on disk in `folder` where they are too
// many for memory. NULL if memory runs out.
fields_writer_t *fields_writer_new(const char *folder);
void fields_writer_destroy(fields_writer_t **self_p);

// Adds what a passage (its id counts from 1) can be filtered by. Returns 0, or -1 with `why`.
int fields_writer_add(fields_writer_t *self, uint64_t shard, uint64_t id,
                      const rl_passage_t *passage, char *why, size_t why_size);

// Writes fields.bin of each shard: `counts` passages in the folder that `folder_of` names. *types
// becomes an object of all fields' names and types ({"year": "number"}, "number|string" where there
// are several), which the caller lets go of. Returns 0, or -1 with `why`.
typedef const char *(fields_folder_fn)(void *arg, uint64_t shard);
int fields_writer_finish(fields_writer_t *self, uint64_t shards, const uint64_t *counts,
                         fields_folder_fn *folder_of, void *arg, json_t **types, char *why,
                         size_t why_size);

// Values of fields that were passed over because there were FIELDS_MAX others.
uint64_t fields_writer_left_out(const fields_writer_t *self);

#endif
