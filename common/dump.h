// dump: the state of a process, written on request: counters, queues, work in
// flight. Each program adds its own (rl_proc_on_dump), in groups of values and lists of such
// groups:
//
//   {"process":{"id":"gateway-1a2b3c4d",…},"queues":{"waiting":3},"requests":[{"id":"req_…"}],
//    "left_out":{"requests":120}}
//
// A document has at most RL_DUMP_BYTES and its lists at most RL_DUMP_ITEMS items each, a dump into
// the log at most RL_DUMP_LINES: what is left out is counted.
#ifndef RL_DUMP_H
#define RL_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RL_DUMP_BYTES = 1 << 20,
    RL_DUMP_ITEMS = 1000,
    RL_DUMP_LINES = 50,
};

typedef struct rl_dump rl_dump_t;

// Called for each dump, from the loop; must not wait for anything.
typedef void(rl_dump_fn)(void *arg, rl_dump_t *dump);

// A group, then its values, then its end. Names are constants.
void rl_dump_begin(rl_dump_t *self, const char *name);
void rl_dump_end(rl_dump_t *self);

// A list: rl_dump_item, values and rl_dump_end for each of its `size` items, until it returns
// false: there is room for no more. `request` is the request id that the item belongs to, or NULL.
void rl_dump_list(rl_dump_t *self, const char *name, size_t size);
bool rl_dump_item(rl_dump_t *self, const char *request);
void rl_dump_list_end(rl_dump_t *self);

// Values of the group or item. A text is cut after 200 bytes and repaired if it is no UTF-8; NULL
// and "" are left out.
void rl_dump_number(rl_dump_t *self, const char *name, uint64_t value);
void rl_dump_ms(rl_dump_t *self, const char *name, uint64_t us); // in milliseconds, to the µs
void rl_dump_flag(rl_dump_t *self, const char *name, bool value);
void rl_dump_text(rl_dump_t *self, const char *name, const char *text);

// ---- for proc -------------------------------------------------------------------------------

// A dump that becomes a document, or lines of the log.
rl_dump_t *rl_dump_new(bool to_log);
// The document, which the caller owns; NULL when it went into the log. The dump is gone.
char *rl_dump_finish(rl_dump_t **self_p, size_t *size);

// Writes documents into files, one at a time, in a thread of its own: a slow disk does not block
// the loop.
typedef struct rl_dump_file rl_dump_file_t;
rl_dump_file_t *rl_dump_file_new(void);
// Waits for the file that is being written.
void rl_dump_file_destroy(rl_dump_file_t **self_p);
// FOLDER/NAME.json will be there whole, in place of one that was there before; the log says so, or
// what is wrong. Takes the document over. Returns -1 where the one before is still being written.
int rl_dump_file_write(rl_dump_file_t *self, const char *folder, const char *name, char *document,
                       size_t size);

#endif
