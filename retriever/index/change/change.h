// change: a run of ragline-index that changes a collection instead of building it:
//
//   --changes             reads changes from standard input, a JSON object a line, and answers each
//   --add PATH…           adds the documents of files, in the place of those with the same ids
//   --delete ID…          deletes documents
//   --delete-source S…    deletes what came from these files or URLs
//   --sync DIR            makes the collection what the folder is: reads changed files again and
//                         deletes what has vanished; index.sync_s: again and again
//   --merge               only merges all changes into a new generation
//
// A change is in force, and on disk, when it is answered (change_log.h). When many have gathered
// a thread merges them into a new generation, while further ones are taken.
#ifndef CHANGE_H
#define CHANGE_H

#include "proc.h"

typedef struct change_run change_run_t;

// Whether the command line asks for one of them.
bool change_asked_for(const rl_conf_t *conf);

// Starts; the work is done from the loop, which it ends with an exit status of build.h. NULL with
// `why`: wrong use, or a collection that cannot be changed.
change_run_t *change_run_new(rl_proc_t *proc, char *why, size_t why_size);
void change_run_destroy(change_run_t **self_p);

#endif
