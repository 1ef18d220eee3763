// child: another program, run on bytes that are not trusted: what it reads, what it writes, and how
// much time, memory and output it may take for that.
#ifndef CHILD_H
#define CHILD_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

typedef struct child_job {
    const char *const *command; // the program (looked for in PATH) and its arguments, NULL behind
    const char *input;          // what it reads from its standard input
    size_t input_size;
    rl_buf_t *output;   // gets what it writes; one byte above the buffer's bound ends it
    rl_buf_t *messages; // gets its standard error; what is above the bound is dropped
    unsigned wall_ms;   // longest time it may take
    size_t memory;      // most bytes of address space
} child_job_t;

// Makes the empty folder that programs start in, which a process that may write nothing cannot make
// any more.
void child_prepare(void);

// Runs the program and waits for its end. It starts in a folder that is empty and has no name, with
// no file open but its three streams, may write no file, and is killed with all of its process
// group when it passes a bound. Returns its exit status, or -1 with what is wrong in `why`: it
// cannot be started (exit status 126; 127: there is no such program, *missing_p), it was killed.
int child_run(const child_job_t *job, bool *missing_p, char *why, size_t why_size);

#endif
