// change_target: the collection that changes go to, as change_target.c and change_batch.c share it.
#ifndef RL_CHANGE_TARGET_H
#define RL_CHANGE_TARGET_H

#include "change_batch.h"
#include "manifest.h"

struct rl_change_target {
    const rl_conf_t *conf;
    const char *folder, *url;
    rl_manifest_data_t *manifest; // of the generation in force
    rl_chunk_rules_t rules;
    char *prefix;
    rl_changes_writer_t *writer;
};

#endif
