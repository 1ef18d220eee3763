// change_target: the collection that changes go to, as change_target.c and change_batch.c share it.
#ifndef CHANGE_TARGET_H
#define CHANGE_TARGET_H

#include "change_batch.h"
#include "manifest.h"

struct change_target {
    const rl_conf_t *conf;
    const char *folder, *url;
    manifest_data_t *manifest; // of the generation in force
    chunk_rules_t rules;
    char *prefix;
    change_log_writer_t *writer;
};

#endif
