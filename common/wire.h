// wire: ZeroMQ sockets in the libevent loop: messages in, messages out, all of them counted here.
//
// ZMQ_FD is edge-triggered, so every socket that is read is looked at again at the end of each
// turn until ZMQ_EVENTS says nothing is left; and every turn takes a bounded number of messages.
//
// With keys (curve.h) every socket is encrypted, and who is not allowed gets nothing through; what
// binds is then a server, what connects a client. Without, sockets bind only where none but this
// machine reaches them, unless cluster.allow_plain says otherwise.
#ifndef RL_WIRE_H
#define RL_WIRE_H

#include "handshakes.h"
#include "proc.h"
#include "proto.h"

typedef struct rl_wire rl_wire_t;

// A message has come; it is freed after the call. Bytes that are no message never get here: they
// are counted, logged (at most one line a second) and dropped. Of a message with fields that cannot
// be read, a task (SEARCH, GENERATE) comes with `unreadable` set and is to be answered with FAILED;
// what is about a task (HITS, TOKEN, DONE…) comes as the FAILED of that task.
typedef void(rl_wire_fn)(void *arg, rl_msg_t *msg);

// Someone's subscription to `topic` on an XPUB has come or gone.
typedef void(rl_wire_subscribed_fn)(void *arg, const char *topic, bool subscribed);

// PULL, bound. Each constructor returns NULL and writes what is wrong into `why` (of `why_size`
// bytes) when the endpoint cannot be used: "tcp://127.0.0.1:7601: Address already in use".
rl_wire_t *rl_wire_pull(rl_proc_t *proc, const char *endpoint, rl_wire_fn *fn, void *arg, char *why,
                        size_t why_size);
// SUB, bound, subscribed to `topic`.
rl_wire_t *rl_wire_sub(rl_proc_t *proc, const char *endpoint, const char *topic, rl_wire_fn *fn,
                       void *arg, char *why, size_t why_size);
// PUSH, connected to a gateway.
rl_wire_t *rl_wire_push(rl_proc_t *proc, const char *endpoint, char *why, size_t why_size);
// PUSH, connected to a worker, which must have this public key; it is not looked at without CURVE.
rl_wire_t *rl_wire_push_to(rl_proc_t *proc, const char *endpoint, const char *key, char *why,
                           size_t why_size);
// XPUB, connected; nothing is dropped at the high-water mark (ZMQ_XPUB_NODROP). Messages of one
// turn to it travel as one frame: topic, then the messages one after the other.
rl_wire_t *rl_wire_pub(rl_proc_t *proc, const char *endpoint, const char *topic,
                       rl_wire_subscribed_fn *fn, void *arg, char *why, size_t why_size);
void rl_wire_destroy(rl_wire_t **self_p);

// The endpoint as bound, with the real port where "tcp://…:*" was asked for.
const char *rl_wire_endpoint(const rl_wire_t *self);

enum {
    RL_WIRE_NO_ROOM = -1 // the peer does not take more now (PUSH at its high-water mark)
};

// Sends. Returns 0, RL_WIRE_NO_ROOM, or RL_MSG_REFUSED or RL_MSG_TOO_LARGE for a message that can
// never be sent as it is: it is counted and logged, and rl_wire_refusal says why. On a PUB what
// cannot go yet is kept and sent as soon as it can, but see below.
int rl_wire_send(rl_wire_t *self, const rl_msg_t *msg);

// Why the last message could not be encoded.
const char *rl_wire_refusal(void);

// PUSH to a gateway: whether it is connected. What is sent before waits until it is.
rl_link_t rl_wire_link(const rl_wire_t *self);

// PUB: bytes that wait because the gateway is behind. A generator pauses its transfers while this
// is above a bound.
size_t rl_wire_waiting(const rl_wire_t *self);

// Sums over all sockets of this process, for metrics: messages and bytes in and out by type, bad
// messages, those that could not be sent.
typedef struct rl_wire_counts {
    uint64_t in[RL_MSG_TYPES], out[RL_MSG_TYPES];
    uint64_t bytes_in, bytes_out;
    uint64_t bad;
    uint64_t refused; // messages of our own that could not be encoded
} rl_wire_counts_t;
const rl_wire_counts_t *rl_wire_counts(void);
// The same as groups of a dump.
void rl_wire_dump(rl_dump_t *dump);

#endif
