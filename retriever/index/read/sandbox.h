// sandbox: what a process that reads foreign bytes may no longer do.
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

// For the rest of this process's life and for all that it starts: no socket but pairs, no file
// opened for writing, made, renamed, removed or changed, no look into other processes; at most
// `memory` bytes of address space more than it has now; no core file. Returns false if the kernel
// has no filter for system calls: then only the limits are in force.
bool sandbox_enter(size_t memory);

#endif
