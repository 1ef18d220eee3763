// handshakes: logs why a CURVE handshake failed.
#include "handshakes.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "clock.h"
#include "log.h"
#include "mem.h"

enum {
    SAY_AGAIN_US = 60000000, // one line a minute and reason
    REASONS = 3,
};

struct rl_handshakes {
    rl_proc_t *proc;
    void *socket, *events; // what is watched; PAIR
    struct event *readable;
    char *endpoint;
    bool bound;
    rl_link_t link;
    uint64_t said_us[REASONS], times[REASONS];
};

static void log_reason(rl_handshakes_t *self, unsigned reason, const char *what, const char *hint)
{
    uint64_t now = rl_now_us();
    self->times[reason]++;
    if (self->said_us[reason] && now - self->said_us[reason] < SAY_AGAIN_US)
        return;
    self->said_us[reason] = now;
    rl_warn("no connection at %s: %s; %s (%llu tries)", self->endpoint, what, hint,
            (unsigned long long)self->times[reason]);
}

// Errors of a handshake, see zmq_socket_monitor(3).
static void take_event(rl_handshakes_t *self, uint16_t event, uint32_t value)
{
    char hint[160];
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        self->link = RL_LINK_UP;
    else if (event == ZMQ_EVENT_DISCONNECTED && self->link == RL_LINK_UP)
        self->link = RL_LINK_NONE;
    else if (event != ZMQ_EVENT_DISCONNECTED)
        self->link = RL_LINK_REFUSED;
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH && !self->bound) {
        snprintf(hint, sizeof hint, "is the public key %s in its curve.allowed?",
                 rl_curve_public(rl_proc_curve(self->proc)));
        log_reason(self, 0, "the gateway does not let this worker in", hint);
    } else if (event != ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) {
        return;
    } else if (value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH) {
        bool curve = rl_proc_curve(self->proc) != NULL;
        log_reason(self, 1,
                   curve ? "the other side does not use CURVE"
                         : "the other side uses CURVE, this one does not",
                   curve ? "has it a curve.key_file?" : "set curve.key_file");
    } else {
        log_reason(self, 2, "the other side has another idea of the keys",
                   self->bound ? "is its curve.gateway_key right?"
                               : "is curve.gateway_key that of this gateway?");
    }
}

// An event: a frame with its number and value, and a frame with the endpoint.
static void read_events(void *arg)
{
    rl_handshakes_t *self = arg;
    for (;;) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        int size = zmq_msg_recv(&frame, self->events, ZMQ_DONTWAIT);
        bool more = size >= 0 && zmq_msg_more(&frame);
        if (more && size == 6) {
            uint16_t event;
            uint32_t value;
            memcpy(&event, zmq_msg_data(&frame), sizeof event);
            memcpy(&value, (const char *)zmq_msg_data(&frame) + sizeof event, sizeof value);
            take_event(self, event, value);
        }
        zmq_msg_close(&frame);
        if (size < 0)
            return;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    read_events(arg);
}

rl_handshakes_t *rl_handshakes_new(rl_proc_t *proc, void *socket, const char *endpoint, bool bound)
{
    static unsigned made;
    char name[64];
    int fd, zero = 0;
    size_t size = sizeof fd;
    snprintf(name, sizeof name, "inproc://ragline.handshakes.%u", made++);
    if (zmq_socket_monitor(
            socket, name,
            ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                (bound ? 0 : ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED)) != 0)
        return NULL;
    rl_handshakes_t *self = rl_new(*self);
    self->endpoint = rl_strdup(endpoint);
    self->proc = proc;
    self->socket = socket;
    self->bound = bound;
    self->events = zmq_socket(rl_proc_context(), ZMQ_PAIR);
    if (!self->events || zmq_setsockopt(self->events, ZMQ_LINGER, &zero, sizeof zero) != 0 ||
        zmq_connect(self->events, name) != 0 ||
        zmq_getsockopt(self->events, ZMQ_FD, &fd, &size) != 0) {
        rl_handshakes_destroy(&self);
        return NULL;
    }
    self->readable =
        rl_must(event_new(rl_proc_base(proc), fd, EV_READ | EV_PERSIST | EV_ET, on_readable, self));
    if (event_add(self->readable, NULL) != 0)
        rl_out_of_memory();
    rl_proc_on_turn(proc, read_events, self);
    return self;
}

void rl_handshakes_destroy(rl_handshakes_t **self_p)
{
    rl_handshakes_t *self = *self_p;
    if (!self)
        return;
    rl_proc_remove_hook(self->proc, read_events, self);
    zmq_socket_monitor(self->socket, NULL, 0);
    if (self->readable)
        event_free(self->readable);
    if (self->events)
        zmq_close(self->events);
    free(self->endpoint);
    free(self);
    *self_p = NULL;
}

rl_link_t rl_handshakes_link(const rl_handshakes_t *self)
{
    return self ? self->link : RL_LINK_UP;
}
