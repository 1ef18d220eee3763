// wire: ZeroMQ sockets in the libevent loop.
#include "wire.h"

#include <czmq.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "clock.h"
#include "endpoint.h"
#include "log.h"
#include "mem.h"
#include "timer.h"

enum {
    TURN_FRAMES = 256,      // frames that one socket takes in one turn
    HIGH_WATER = 10000,     // frames that wait in a socket's pipe
    CHUNK_BYTES = 64 << 10, // a PUB frame is closed when it has grown to this
    WAITING_MAX = 64 << 20, // a PUB's own queue; the senders' windows end long before
    RETRY_US = 1000,        // POLLOUT lies on an XPUB: a blocked one is tried again
    LINGER_MS = 250,        // for the last words of a process (LEAVE)
    RECONNECT_MS = 50,      // first wait before connecting again
    RECONNECT_MAX_MS = 250, // a peer that was cut off or restarted is used again within a second
    HEARTBEAT_MS = 500,     // TCP alone notices a lost peer only after minutes
    HEARTBEAT_TIMEOUT_MS = 1500,
    // A try to connect that the network has swallowed is given up; TCP's own second one comes after
    // a second, its third after three, and so on.
    CONNECT_MS = 1000,
    HANDSHAKE_MS = 3000,
};

// A PUB frame that waits to be sent: topic, then messages.
typedef struct chunk {
    struct chunk *next;
    rl_buf_t bytes;
} chunk_t;

struct rl_wire {
    rl_proc_t *proc;
    rl_curve_t *curve; // of a bound one with keys: who may talk to it
    int type;          // ZMQ_PULL…
    void *socket;
    rl_handshakes_t *handshakes; // but for the gateway's many PUSHes
    struct event *readable;
    rl_timer_t *retry;
    rl_wire_fn *fn;
    rl_wire_subscribed_fn *subscribed;
    void *arg;
    char *topic; // SUB, PUB
    char *endpoint;
    chunk_t *first, *last; // PUB: oldest and the one that is being filled
    size_t waiting;
    rl_buf_t scratch; // PUSH: one encoded message
    uint64_t warned_us;
    bool gone; // destroyed from within its own callback
    bool busy;
};

static rl_wire_counts_t counts;
static char refusal[256]; // see rl_wire_refusal

const rl_wire_counts_t *rl_wire_counts(void)
{
    return &counts;
}

static void dump_counts(rl_dump_t *dump, const char *name, const uint64_t by_type[RL_MSG_TYPES],
                        uint64_t bytes)
{
    rl_dump_begin(dump, name);
    for (int type = 1; type < RL_MSG_TYPES; type++)
        if (by_type[type])
            rl_dump_number(dump, rl_msg_name((rl_msg_type_t)type), by_type[type]);
    rl_dump_number(dump, "bytes", bytes);
    rl_dump_end(dump);
}

void rl_wire_dump(rl_dump_t *dump)
{
    dump_counts(dump, "messages_in", counts.in, counts.bytes_in);
    dump_counts(dump, "messages_out", counts.out, counts.bytes_out);
    rl_dump_begin(dump, "messages_bad");
    rl_dump_number(dump, "dropped", counts.bad);
    rl_dump_number(dump, "not_sent", counts.refused);
    rl_dump_end(dump);
}

const char *rl_wire_endpoint(const rl_wire_t *self)
{
    return self->endpoint;
}

rl_link_t rl_wire_link(const rl_wire_t *self)
{
    return rl_handshakes_link(self->handshakes);
}

size_t rl_wire_waiting(const rl_wire_t *self)
{
    return self->waiting;
}

// -------------------------------------------------------------------------------------------- in

static void count_bad(rl_wire_t *self, const char *why)
{
    counts.bad++;
    uint64_t now = rl_now_us();
    if (now - self->warned_us < 1000000 && self->warned_us)
        return;
    self->warned_us = now;
    rl_warn("bad message dropped on %s: %s (%llu so far)", self->endpoint, why,
            (unsigned long long)counts.bad);
}

// Whether the peer may say this: a worker announces itself with the key that it has proved to have.
static bool is_its_own(const char *peer, const rl_msg_t *msg)
{
    return !peer || msg->type != RL_ANNOUNCE || strcmp(msg->announce.key, peer) == 0;
}

// Whoever waits for a task must learn that what was said of it could not be read: the message
// becomes a failure of the task.
static void report_unreadable(rl_wire_t *self, const rl_msg_t *msg)
{
    char text[256];
    rl_failed_t failed = {.worker = "", .status = 502, .code = "bad_message", .message = text};
    snprintf(text, sizeof text, "a message about it (%s) could not be read: %s",
             rl_msg_name(msg->type), msg->unreadable);
    switch (msg->type) {
    case RL_HITS:
        failed.worker = msg->hits.worker;
        failed.task = msg->hits.task;
        break;
    case RL_FAILED:
        failed.worker = msg->failed.worker;
        failed.task = msg->failed.task;
        failed.seq = msg->failed.seq;
        break;
    case RL_PROGRESS:
        failed.task = msg->progress.task;
        failed.seq = msg->progress.seq;
        break;
    case RL_TOKEN:
        failed.task = msg->token.task;
        failed.seq = msg->token.seq;
        break;
    case RL_DONE:
        failed.task = msg->done.task;
        failed.seq = msg->done.seq;
        break;
    default:
        return; // about no task
    }
    self->fn(self->arg, &(rl_msg_t){.type = RL_FAILED, .failed = failed});
}

static void take_decoded(rl_wire_t *self, const char *peer, rl_msg_t *msg)
{
    counts.in[msg->type]++;
    if (msg->unreadable)
        count_bad(self, msg->unreadable);
    if (!is_its_own(peer, msg))
        count_bad(self, "an announcement with another key than the sender's");
    else if (!msg->unreadable || msg->type == RL_SEARCH || msg->type == RL_GENERATE)
        self->fn(self->arg, msg);
    else
        report_unreadable(self, msg);
}

// One frame: messages one after the other. `peer` is the sender's public key, NULL without CURVE.
static void take_frame(rl_wire_t *self, const char *peer, const char *data, size_t size)
{
    counts.bytes_in += size;
    if (size == 0)
        count_bad(self, "an empty frame");
    while (size > 0 && !self->gone) {
        rl_msg_t *msg;
        const char *why;
        size_t used = rl_msg_decode_readable(data, size, &msg, &why);
        if (msg)
            take_decoded(self, peer, msg);
        else
            count_bad(self, why);
        if (used == 0)
            return; // nobody knows where the next one begins
        rl_msg_free(&msg);
        data += used;
        size -= used;
    }
}

static void take_subscription(rl_wire_t *self, const char *data, size_t size)
{
    size_t topic = strlen(self->topic);
    if (size == topic + 1 && memcmp(data + 1, self->topic, topic) == 0 && self->subscribed)
        self->subscribed(self->arg, self->topic, data[0] == 1);
}

static void take_message(rl_wire_t *self, zmq_msg_t *frame)
{
    const char *data = zmq_msg_data(frame);
    size_t size = zmq_msg_size(frame), topic = self->topic ? strlen(self->topic) : 0;
    const char *peer = self->curve ? zmq_msg_gets(frame, "User-Id") : NULL;
    if (self->curve && !(peer && rl_curve_allows(self->curve, peer)))
        count_bad(self, "its sender's key is not allowed any more");
    else if (self->type == ZMQ_XPUB)
        take_subscription(self, data, size);
    else if (zmq_msg_more(frame) || size < topic)
        count_bad(self, "not one frame");
    else
        take_frame(self, peer, data + topic, size - topic);
}

static void free_wire(rl_wire_t *self);

// Receives until nothing is left, or the turn's share is used up. A non-blocking receive that finds
// nothing has handled all of the socket's pending commands, so no edge of ZMQ_FD is missed.
static void receive_frames(void *arg)
{
    rl_wire_t *self = arg;
    if (self->busy || self->gone)
        return;
    self->busy = true;
    int frames = 0;
    for (; frames < TURN_FRAMES && !self->gone; frames++) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, self->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&frame);
            break;
        }
        take_message(self, &frame);
        zmq_msg_close(&frame);
    }
    self->busy = false;
    if (self->gone)
        free_wire(self);
    else if (frames == TURN_FRAMES)
        rl_proc_request_turn(self->proc);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    receive_frames(arg);
}

// ------------------------------------------------------------------------------------------- out

static chunk_t *open_chunk(rl_wire_t *self)
{
    if (self->last && self->last->bytes.size < CHUNK_BYTES)
        return self->last;
    chunk_t *chunk = rl_new(*chunk);
    chunk->bytes = rl_buf_make(RL_MAX_FRAME + CHUNK_BYTES);
    rl_buf_adds(&chunk->bytes, self->topic);
    if (self->last)
        self->last->next = chunk;
    else
        self->first = chunk;
    self->last = chunk;
    return chunk;
}

static void drop_first_chunk(rl_wire_t *self)
{
    chunk_t *chunk = self->first;
    self->waiting -= chunk->bytes.size - strlen(self->topic);
    self->first = chunk->next;
    if (!self->first)
        self->last = NULL;
    rl_buf_free(&chunk->bytes);
    free(chunk);
}

static int send_bytes(rl_wire_t *self, const rl_buf_t *bytes)
{
    int rc;
    do
        rc = zmq_send(self->socket, bytes->data, bytes->size, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return -1;
    counts.bytes_out += bytes->size;
    return 0;
}

// As far as the peer takes them. One whose only message could not be encoded holds the topic alone.
static void send_chunks(rl_wire_t *self)
{
    size_t topic = strlen(self->topic);
    while (self->first &&
           (self->first->bytes.size == topic || send_bytes(self, &self->first->bytes) == 0))
        drop_first_chunk(self);
}

static void flush_chunks(void *arg)
{
    rl_wire_t *self = arg;
    if (self->gone || !self->first)
        return;
    send_chunks(self);
    if (self->first && !rl_timer_is_set(self->retry))
        rl_timer_after(self->retry, RETRY_US);
    receive_frames(self); // sending may have swallowed the edge of a subscription
}

static void on_retry(void *arg)
{
    (void)arg; // flush_chunks runs at the end of this turn
}

static int add_to_chunk(rl_wire_t *self, const rl_msg_t *msg)
{
    if (self->waiting >= WAITING_MAX)
        return RL_WIRE_NO_ROOM;
    chunk_t *chunk = open_chunk(self);
    size_t before = chunk->bytes.size;
    int rc = rl_msg_encode(msg, &chunk->bytes, refusal, sizeof refusal);
    self->waiting += chunk->bytes.size - before;
    return rc;
}

static int push_message(rl_wire_t *self, const rl_msg_t *msg)
{
    rl_buf_clear(&self->scratch);
    int rc = rl_msg_encode(msg, &self->scratch, refusal, sizeof refusal);
    return rc == 0 && send_bytes(self, &self->scratch) != 0 ? RL_WIRE_NO_ROOM : rc;
}

const char *rl_wire_refusal(void)
{
    return refusal;
}

static void note_refusal(rl_wire_t *self, const rl_msg_t *msg)
{
    const char *request = msg->type == RL_SEARCH     ? msg->search.request
                          : msg->type == RL_GENERATE ? msg->generate.request
                                                     : NULL;
    counts.refused++;
    rl_log(RL_LOG_WARN, request, "a message to %s cannot be sent: %s (%llu so far)", self->endpoint,
           refusal, (unsigned long long)counts.refused);
}

int rl_wire_send(rl_wire_t *self, const rl_msg_t *msg)
{
    int rc = self->type == ZMQ_XPUB ? add_to_chunk(self, msg) : push_message(self, msg);
    if (rc == 0)
        counts.out[msg->type]++;
    else if (rc != RL_WIRE_NO_ROOM)
        note_refusal(self, msg);
    return rc;
}

// ----------------------------------------------------------------------------------------- making

static rl_wire_t *make_wire(rl_proc_t *proc, int type, const char *endpoint, const char *topic,
                            char *why, size_t why_size)
{
    rl_wire_t *self = rl_new(*self);
    *self = (rl_wire_t){.proc = proc, .type = type, .scratch = rl_buf_make(RL_MAX_FRAME)};
    self->endpoint = rl_strdup(endpoint);
    self->topic = topic ? rl_strdup(topic) : NULL;
    // not zsock_new, which takes it for a bug of ours when no socket is left: peers that join in
    // thousands make for that
    self->socket = zmq_socket(rl_proc_context(), type);
    if (!self->socket) {
        snprintf(why, why_size, "%s: no socket left: %s", endpoint, zmq_strerror(errno));
        rl_wire_destroy(&self);
        return NULL;
    }
    zsock_set_ipv6(self->socket, strchr(endpoint, '[') != NULL); // else IPv4 shows as ::ffff:…
    zsock_set_sndhwm(self->socket, HIGH_WATER);
    zsock_set_rcvhwm(self->socket, HIGH_WATER);
    zsock_set_linger(self->socket, type == ZMQ_PUSH || type == ZMQ_XPUB ? LINGER_MS : 0);
    zsock_set_maxmsgsize(self->socket, RL_MAX_FRAME + CHUNK_BYTES * 2);
    zsock_set_reconnect_ivl(self->socket, RECONNECT_MS);
    zsock_set_reconnect_ivl_max(self->socket, RECONNECT_MAX_MS);
    zsock_set_heartbeat_ivl(self->socket, HEARTBEAT_MS);
    zsock_set_heartbeat_timeout(self->socket, HEARTBEAT_TIMEOUT_MS);
    zsock_set_connect_timeout(self->socket, CONNECT_MS);
    zsock_set_handshake_ivl(self->socket, HANDSHAKE_MS);
    return self;
}

// What is not encrypted is for this machine alone, unless the person who runs it wants otherwise.
static bool may_bind(const rl_wire_t *self, char *why, size_t why_size)
{
    static bool warned;
    if (rl_proc_curve(self->proc) || rl_endpoint_is_local(self->endpoint) ||
        !strstr(self->endpoint, "://"))
        return true;
    if (rl_conf_bool(rl_proc_conf(self->proc), "cluster.allow_plain")) {
        if (!warned)
            rl_warn("%s: without CURVE keys (cluster.allow_plain): whoever reaches it is believed, "
                    "and nothing is encrypted",
                    self->endpoint);
        warned = true;
        return true;
    }
    snprintf(why, why_size,
             "%s: is not a loopback address, and there are no CURVE keys: make some with "
             "scripts/make-keys and set curve.key_file, or set cluster.allow_plain = true on a "
             "network where everybody is trusted",
             self->endpoint);
    return false;
}

// Before the socket is attached. `key`: of the peer to connect to, NULL: a gateway's.
static bool set_keys(rl_wire_t *self, bool bind, const char *key, char *why, size_t why_size)
{
    rl_curve_t *curve = rl_proc_curve(self->proc);
    if (bind && !may_bind(self, why, why_size))
        return false;
    if (curve ? !key : self->type == ZMQ_PUSH && !key)
        self->handshakes = rl_handshakes_new(self->proc, self->socket, self->endpoint, bind);
    if (!curve)
        return true;
    if ((bind ? rl_curve_serve(curve, self->socket) : rl_curve_connect(curve, self->socket, key)) ==
        0) {
        self->curve = bind ? curve : NULL;
        return true;
    }
    snprintf(why, why_size, "%s: \"%s\" is no CURVE key of a peer", self->endpoint, key ? key : "");
    return false;
}

// Binds or connects; on failure frees the wire and says why.
static int attach_socket(rl_wire_t **self_p, bool bind, const char *key, char *why, size_t why_size)
{
    rl_wire_t *self = *self_p;
    if (!set_keys(self, bind, key, why, why_size)) {
        rl_wire_destroy(self_p);
        return -1;
    }
    int rc =
        bind ? zmq_bind(self->socket, self->endpoint) : zmq_connect(self->socket, self->endpoint);
    if (rc != 0) {
        snprintf(why, why_size, "%s: %s", self->endpoint,
                 errno == EINVAL ? "not an endpoint; it should look like tcp://127.0.0.1:7601 or "
                                   "ipc:///run/ragline/hub"
                                 : zmq_strerror(errno));
        rl_wire_destroy(self_p);
        return -1;
    }
    char real[512];
    size_t size = sizeof real;
    if (bind && zmq_getsockopt(self->socket, ZMQ_LAST_ENDPOINT, real, &size) == 0) {
        free(self->endpoint);
        self->endpoint = rl_strdup(real);
    }
    return 0;
}

static void watch_socket(rl_wire_t *self)
{
    self->readable =
        rl_must(event_new(rl_proc_base(self->proc), (evutil_socket_t)zsock_fd(self->socket),
                          EV_READ | EV_PERSIST | EV_ET, on_readable, self));
    if (event_add(self->readable, NULL) != 0)
        rl_out_of_memory();
    rl_proc_on_turn(self->proc, receive_frames, self);
    rl_proc_request_turn(self->proc); // what came before it was watched
}

rl_wire_t *rl_wire_pull(rl_proc_t *proc, const char *endpoint, rl_wire_fn *fn, void *arg, char *why,
                        size_t why_size)
{
    rl_wire_t *self = make_wire(proc, ZMQ_PULL, endpoint, NULL, why, why_size);
    if (!self)
        return NULL;
    self->fn = fn;
    self->arg = arg;
    if (attach_socket(&self, true, NULL, why, why_size) != 0)
        return NULL;
    watch_socket(self);
    return self;
}

rl_wire_t *rl_wire_sub(rl_proc_t *proc, const char *endpoint, const char *topic, rl_wire_fn *fn,
                       void *arg, char *why, size_t why_size)
{
    rl_wire_t *self = make_wire(proc, ZMQ_SUB, endpoint, topic, why, why_size);
    if (!self)
        return NULL;
    self->fn = fn;
    self->arg = arg;
    zsock_set_subscribe(self->socket, topic);
    if (attach_socket(&self, true, NULL, why, why_size) != 0)
        return NULL;
    watch_socket(self);
    return self;
}

rl_wire_t *rl_wire_push_to(rl_proc_t *proc, const char *endpoint, const char *key, char *why,
                           size_t why_size)
{
    rl_wire_t *self = make_wire(proc, ZMQ_PUSH, endpoint, NULL, why, why_size);
    return self && attach_socket(&self, false, key, why, why_size) == 0 ? self : NULL;
}

rl_wire_t *rl_wire_push(rl_proc_t *proc, const char *endpoint, char *why, size_t why_size)
{
    return rl_wire_push_to(proc, endpoint, NULL, why, why_size);
}

rl_wire_t *rl_wire_pub(rl_proc_t *proc, const char *endpoint, const char *topic,
                       rl_wire_subscribed_fn *fn, void *arg, char *why, size_t why_size)
{
    rl_wire_t *self = make_wire(proc, ZMQ_XPUB, endpoint, topic, why, why_size);
    if (!self)
        return NULL;
    self->subscribed = fn;
    self->arg = arg;
    zsock_set_xpub_nodrop(self->socket, 1);
    zsock_set_xpub_verbose(self->socket, 1); // a gateway's reconnection is seen, too
    // a lost connection ends its pipe; otherwise the end of the subscription would not be reported
    zsock_set_immediate(self->socket, 1);
    self->retry = rl_timer_new(rl_proc_base(proc), on_retry, self);
    if (attach_socket(&self, false, NULL, why, why_size) != 0)
        return NULL;
    watch_socket(self);
    rl_proc_on_turn_end(proc, flush_chunks, self);
    return self;
}

static void free_wire(rl_wire_t *self)
{
    if (self->type == ZMQ_XPUB)
        send_chunks(self);
    while (self->first)
        drop_first_chunk(self);
    if (self->readable)
        event_free(self->readable);
    rl_timer_destroy(&self->retry);
    rl_handshakes_destroy(&self->handshakes);
    if (self->socket)
        zmq_close(self->socket);
    rl_buf_free(&self->scratch);
    free(self->topic);
    free(self->endpoint);
    free(self);
}

void rl_wire_destroy(rl_wire_t **self_p)
{
    rl_wire_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    rl_proc_remove_hook(self->proc, receive_frames, self);
    rl_proc_remove_hook(self->proc, flush_chunks, self);
    if (self->busy)
        self->gone = true; // receive_frames is on the stack and frees it
    else
        free_wire(self);
}
