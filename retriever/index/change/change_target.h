// change_target: the collection that changes go to, in index.out: its generation in force says how
// passages are cut and embedded.
#ifndef CHANGE_TARGET_H
#define CHANGE_TARGET_H

#include "change_log.h"
#include "chunker.h"
#include "conf.h"
#include "manifest.h"
#include "roots.h"

// Others only read it.
typedef struct change_target {
    const rl_conf_t *conf; // outlives it; names the embedding server
    const char *folder, *url;
    manifest_data_t *manifest; // of the generation in force
    chunk_rules_t rules;
    roots_t *roots; // of the build; NULL: it recorded none
    char *prefix;
    change_log_writer_t *writer; // the log
} change_target_t;

// NULL with `why`.
change_target_t *change_target_new(const rl_conf_t *conf, char *why, size_t why_size);
void change_target_destroy(change_target_t **self_p);

// Looks whether another generation is in force by now. Returns 0, or -1 with `why`.
int change_target_refresh(change_target_t *self, char *why, size_t why_size);

#endif
