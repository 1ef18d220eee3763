// recording_private: what the files of a recording share; for them alone.
#ifndef RECORDING_PRIVATE_H
#define RECORDING_PRIVATE_H

#include "recording.h"

// An answer_record_t with its searches and steps behind it in one block (free() ends it), or NULL
// where `trace` is no timeline and has none as its `timings`. recording_read.c
answer_record_t *recording_read(names_t *names, const json_t *trace);

#endif
