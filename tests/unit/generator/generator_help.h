// generator_help: a real ragline-generator between a gateway and an LLM server that the test plays.
#ifndef GENERATOR_HELP_H
#define GENERATOR_HELP_H

#include <stdbool.h>
#include <sys/types.h>

#include "loopback.h"
#include "wire.h"

enum {
    HELP_MESSAGES = 4096
};

typedef struct genworld genworld_t;

struct genworld {
    rl_proc_t *proc;
    rl_wire_t *hub, *tokens, *tasks; // tasks: to the generator, once it was announced
    loopback_t *llm;
    pid_t pid;
    const char *prefill, *warm_ms; // options; NULL: off, 0
    int log;                       // reading end of the generator's stderr
    struct event *guard;
    bool (*wanted)(genworld_t *world); // what is waited for
    // the newest announcement
    size_t announced;
    bool ready, left, prefills;
    uint64_t queued, running, slots;
    char model[64], worker[64];
    // the answer's messages, in the order they came
    rl_msg_t *messages[HELP_MESSAGES];
    size_t messages_size;
    // the LLM's side
    loopback_conn_t *conn; // of the last request
    size_t asked;
    char head[4096], body[65536];
    void (*answer)(genworld_t *world); // called for each request; NULL: the test answers itself
};

// Starts the generator with these options (NULL-terminated, without cluster.gateways and llm.url),
// and waits until it is ready.
void genworld_start(genworld_t *world, bool llm, const char *const *options);
int genworld_setup(void **state);
int genworld_teardown(void **state);

// Turns the loop until this holds; fails the test after half a minute.
void genworld_until(genworld_t *world, bool (*wanted)(genworld_t *world));
// Binds the gateway's tokens there.
void genworld_listen(genworld_t *world, const char *endpoint);
void genworld_welcome(genworld_t *world);
void genworld_send(genworld_t *world, const rl_msg_t *msg);
// A question with two passages.
rl_generate_t genworld_question(uint64_t task);
void genworld_ask(genworld_t *world, uint64_t task);
void genworld_credit(genworld_t *world, uint64_t seq, uint64_t window, bool again);
void genworld_cancel(genworld_t *world, uint64_t task);

// The last message if it is of this type, else NULL.
const rl_msg_t *genworld_last(const genworld_t *world, rl_msg_type_t type);
// All text so far, with "[n]" for citations, in a static buffer.
const char *genworld_text(const genworld_t *world);
// Fails the test unless the numbers are 1, 2, 3…
void genworld_check_order(const genworld_t *world);

// As an LLM server: headers of an event stream; a chunk with these words; the end.
void genworld_begin(genworld_t *world);
void genworld_words(genworld_t *world, const char *words);
void genworld_finish(genworld_t *world);

// States to wait for.
bool genworld_is_ready(genworld_t *world);
bool genworld_is_asked(genworld_t *world);
bool genworld_is_over(genworld_t *world);   // DONE or FAILED has come
bool genworld_is_closed(genworld_t *world); // no connection to the LLM server is open

#endif
