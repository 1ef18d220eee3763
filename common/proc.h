// proc: the skeleton of a ragline process: options, log, event loop, signals, turns.
#ifndef RL_PROC_H
#define RL_PROC_H

#include <event2/event.h>
#include <stdbool.h>

#include "conf.h"
#include "curve.h"
#include "dump.h"

typedef struct rl_proc rl_proc_t;
typedef void(rl_proc_fn)(void *arg);

// Reads the configuration and sets up the log and the loop. Returns NULL when the program should
// end at once: *exit_status then is its exit status (0 after --help, --version, a --check-config
// that held; 2 for a wrong configuration). `program` is RL_GATEWAY…; `usage` the first lines of
// its help.
rl_proc_t *rl_proc_new(unsigned program, const char *name, const char *usage, int argc, char **argv,
                       int *exit_status);
void rl_proc_destroy(rl_proc_t **self_p);

struct event_base *rl_proc_base(rl_proc_t *self);
const rl_conf_t *rl_proc_conf(const rl_proc_t *self);
// Keys of the ZeroMQ sockets; NULL: none are configured.
rl_curve_t *rl_proc_curve(const rl_proc_t *self);
// The ZeroMQ context of all sockets of this process.
void *rl_proc_context(void);

// "<name>-<8 hex digits>", new at each start: the instance id in announcements and logs.
const char *rl_proc_id(const rl_proc_t *self);

// SIGTERM or SIGINT: `fn` starts an orderly end and calls rl_proc_end when it is done. Without a
// handler, or at a second signal, the loop ends at once.
void rl_proc_on_stop(rl_proc_t *self, rl_proc_fn *fn, void *arg);

// SIGHUP: the configuration was read again and holds; rl_proc_conf is the new one. A file that
// does not hold is logged and changes nothing.
void rl_proc_on_reload(rl_proc_t *self, rl_proc_fn *fn, void *arg);

// SIGUSR1 (of a gateway, retriever or generator): the state of the process goes into the log,
// or, as one JSON document, into log.dump_dir/ID.json. Each `fn` adds its own. (SIGUSR2 switches
// the log to debug and back.)
void rl_proc_on_dump(rl_proc_t *self, rl_dump_fn *fn, void *arg);
// The document; the caller owns it.
char *rl_proc_dump(rl_proc_t *self, size_t *size);

// Bytes of address space that this process has, and of memory that are in use now; 0 where the
// system does not say.
void rl_proc_memory(size_t *space, size_t *resident);

// Every turn of the loop, after all its events: first the "look" hooks, which look for work that
// no event reports (ZeroMQ sockets), then the "end" hooks, which send what the turn has gathered.
// Hooks may be added and taken away from within hooks.
void rl_proc_on_turn(rl_proc_t *self, rl_proc_fn *fn, void *arg);
void rl_proc_on_turn_end(rl_proc_t *self, rl_proc_fn *fn, void *arg);
// Takes away a hook of either kind.
void rl_proc_remove_hook(rl_proc_t *self, rl_proc_fn *fn, void *arg);

// Makes the loop come round again at once (the turn hooks run), from the loop's own thread.
void rl_proc_request_turn(rl_proc_t *self);

// While many are served at a time, turns begin at least `us` apart (0: as soon as there is anything
// to do): what comes in between is handled together, which saves waking up for each token. Measured
// at 200 streams of 100 tokens a second with 500 us: a third less CPU time, 1 ms more to a first
// token. To be called from the loop's own thread, as often as one likes.
void rl_proc_pace(rl_proc_t *self, unsigned us);

// Runs until rl_proc_end; returns the exit status given there.
int rl_proc_run(rl_proc_t *self);
void rl_proc_end(rl_proc_t *self, int exit_status);

#endif
