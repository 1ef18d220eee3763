// settings: what the configuration says about questions, read once a (re)load.
#ifndef SETTINGS_H
#define SETTINGS_H

#include "conf.h"
#include "merge.h"

typedef struct settings {
    unsigned k, candidates, quorum;
    fusion_t fusion;
    double weights[KINDS];
    long soft_ms, hard_ms, timeout_ms, grace_ms;
    size_t max_in_flight, max_outstanding, client_buffer;
    unsigned window;
    bool rewrite;
    bool share;      // what others have found, or look for now, is used
    double semantic; // least cosine of two questions that may share passages; 0: off
    bool prefill;    // what drafts find is read ahead
    bool part_prefixes;
    size_t drafts;       // at work at a time
    long provisional_ms; // an answer is begun without the sources later than this; 0: off
    double provisional_quorum, provisional_share;
    bool quick_answer;   // where a question does not say
    long progressive_ms; // passages are shown without the sources later than this; 0: off
    double hedge_share;  // hedges per search task, at most
} settings_t;

settings_t settings_read(const rl_conf_t *conf);

#endif
