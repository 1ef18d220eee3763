// reader: the child process that reads documents: a job is an open file, the answer frames.
#ifndef READER_H
#define READER_H

#include <stddef.h>
#include <stdint.h>

typedef struct reader_limits {
    unsigned read_ms; // longest time for a document
    size_t memory;    // most bytes of address space for it
    size_t output;    // most bytes that may be made of it
    unsigned readers; // processes
} reader_limits_t;

enum {
    READER_MAX_PATH = 4096,
};

// A job, sent as one packet with the descriptor of the open file.
typedef struct reader_job {
    uint64_t after;             // lines up to this one are passed over
    char path[READER_MAX_PATH]; // for its name only
} reader_job_t;

// The life of a reader: jobs from one socket, frames to the other, until the parent is gone.
_Noreturn void reader_main(int jobs, int frames, const reader_limits_t *limits);

#endif
