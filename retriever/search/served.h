// served: one open generation with its sources, counted by those who use it: a new one is opened
// beside it, and it goes when the last search in it has ended.
#ifndef RL_SERVED_H
#define RL_SERVED_H

#include "source.h"

enum {
    RL_POSITION = RL_STORE_NAME + 24, // bytes that hold a generation's name and a change's number
};

typedef struct rl_served rl_served_t;

typedef struct rl_served_options {
    const uint64_t *shards; // to serve; NULL: all
    size_t shards_size;
    const rl_source_backend_t *const *backends; // the kinds to serve
    size_t backends_size;
    uint64_t check_first; // bytes of files whose checksums are compared before they are served; of
                          // more than that aside
    rl_source_options_t source;
} rl_served_options_t;

// Opens the generation in force in FOLDER, checks the files of the shards to serve (aside, if they
// are large: see rl_served_damage), opens their sources for the kinds that the collection has, and
// searches each once. Returns NULL and `why`. May take as long as the index is large (where its
// kind cannot be mapped); meant for a thread of its own at run time.
rl_served_t *rl_served_open(const char *folder, const rl_served_options_t *options, char *why,
                            size_t why_size);

// What is wrong with its files, if that was found after it was opened; else NULL. Any thread.
const char *rl_served_damage(const rl_served_t *self);

// Takes up the effort that its manifest says, if that was replaced; whether it was. One thread at a
// time.
bool rl_served_tune(rl_served_t *self);

rl_served_t *rl_served_ref(rl_served_t *self); // any thread
void rl_served_unref(rl_served_t **self_p);    // any thread; the last one closes it, not waiting

const rl_manifest_t *rl_served_manifest(const rl_served_t *self);

// What is in force: the generation's name, and, where the folder has a log of changes, "+" and the
// number of the last one that is applied: "g-000003+127". All changes acknowledged before the call
// are. Returns 0, or -1 with `why` if that cannot be known.
int rl_served_position(rl_served_t *self, char position[RL_POSITION], char *why, size_t why_size);
// The same as it was when something was last looked at; cheap.
void rl_served_last_position(const rl_served_t *self, char position[RL_POSITION]);

// The fields of the metadata that filters can name; those of passages added are noted in it.
struct rl_field_types *rl_served_fields(const rl_served_t *self);

// Passages of a shard that are there, those added counted and those deleted not.
uint64_t rl_served_passages(const rl_served_t *self, uint64_t shard);

// One source of it.
typedef struct rl_served_source {
    uint64_t shard;
    const rl_source_backend_t *backend;
    void *source;
} rl_served_source_t;

size_t rl_served_sources(const rl_served_t *self);
const rl_served_source_t *rl_served_source_at(const rl_served_t *self, size_t at);

// Searches one source as its backend does, and what changes have made of it: every change that was
// acknowledged before the call is in force. `position` gets what was searched.
void rl_served_search(rl_served_t *self, const rl_served_source_t *source, size_t thread,
                      const rl_query_t *queries, size_t size, rl_result_t *results,
                      char position[RL_POSITION]);

#endif
