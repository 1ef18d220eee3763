// outbox: the numbered messages of one answer on their way to the gateway: numbered here, sent as
// far as the gateway's window allows, and kept until it has acknowledged them.
#ifndef OUTBOX_H
#define OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "wire.h"

typedef struct outbox {
    rl_buf_t kept; // not acknowledged, in a row; see outbox.c
    uint64_t task;
    size_t sent_at;  // where the first one stands that was not sent
    uint64_t acked;  // numbers: the last one acknowledged,
    uint64_t sent;   //   sent
    uint64_t last;   //   and given
    uint64_t window; // numbers up to acked + window may be sent
} outbox_t;

void outbox_init(outbox_t *self, uint64_t task, uint64_t window);
void outbox_free(outbox_t *self);

// Gives the message (PROGRESS, TOKEN, DONE or FAILED of the task) the next number and sends it if
// the window allows. Returns RL_WIRE_NO_ROOM when there is no room for it (for a FAILED there is
// always some), or RL_MSG_REFUSED with the reason when it can never be sent: it then has no number.
int outbox_send(outbox_t *self, rl_wire_t *wire, rl_msg_t *msg, char *why, size_t why_size);

// A CREDIT has come: what is acknowledged is dropped, what may go now is sent, with `again`
// everything that is not acknowledged is sent once more. Numbers that were never given change
// nothing.
void outbox_credit(outbox_t *self, rl_wire_t *wire, const rl_credit_t *credit);

// Sends everything that is not acknowledged once more: a connection was lost and is there again.
void outbox_resend(outbox_t *self, rl_wire_t *wire);

// Nothing more may be sent now: the source should pause.
static inline bool outbox_is_blocked(const outbox_t *self)
{
    return self->last >= self->acked + self->window;
}

// All is acknowledged.
static inline bool outbox_is_empty(const outbox_t *self)
{
    return self->acked == self->last;
}

#endif
