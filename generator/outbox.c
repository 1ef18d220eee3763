// outbox: the numbered messages of one answer, kept until the gateway has them.
#include "outbox.h"

#include <string.h>

#include "log.h"

enum {
    // A window of the longest messages would be more; but what fills the outbox pauses when the
    // window is used up, so that only what was already read comes on top of it.
    KEPT_MAX = 4 << 20,
    LAST_WORD = 64 << 10, // what a failure has more, so that it is heard when all is full
    WINDOW_MAX = 4096,
};

// What is kept: a head of 4 bytes, the size of what follows, and that. Words, which are nearly all
// there is, are kept as text with a NUL; other messages as they are encoded.
static const uint32_t is_words = 1u << 31;

void outbox_init(outbox_t *self, uint64_t task, uint64_t window)
{
    *self = (outbox_t){.kept = rl_buf_make(KEPT_MAX + LAST_WORD),
                       .task = task,
                       .window = window < WINDOW_MAX ? window : WINDOW_MAX};
}

void outbox_free(outbox_t *self)
{
    rl_buf_free(&self->kept);
}

static uint32_t head_at(const outbox_t *self, size_t at)
{
    uint32_t head;
    memcpy(&head, self->kept.data + at, sizeof head);
    return head;
}

static size_t size_at(const outbox_t *self, size_t at)
{
    return sizeof(uint32_t) + (head_at(self, at) & ~is_words);
}

static void set_number(rl_msg_t *msg, uint64_t seq)
{
    if (msg->type == RL_TOKEN)
        msg->token.seq = seq;
    else if (msg->type == RL_PROGRESS)
        msg->progress.seq = seq;
    else if (msg->type == RL_DONE)
        msg->done.seq = seq;
    else
        msg->failed.seq = seq;
}

static int keep_message(outbox_t *self, const rl_msg_t *msg, char *why, size_t why_size)
{
    size_t before = self->kept.size;
    bool words = msg->type == RL_TOKEN && !msg->token.cite;
    uint32_t head = 0;
    int rc = rl_buf_add(&self->kept, &head, sizeof head);
    if (rc == 0 && words)
        rc = rl_buf_add(&self->kept, msg->token.text, strlen(msg->token.text) + 1);
    else if (rc == 0)
        rc = rl_msg_encode(msg, &self->kept, why, why_size);
    if (rc == 0 && self->kept.size > KEPT_MAX && msg->type != RL_FAILED)
        rc = RL_WIRE_NO_ROOM;
    if (rc != 0) {
        self->kept.size = before;
        self->kept.full = false;
        return rc == RL_MSG_REFUSED ? rc : RL_WIRE_NO_ROOM;
    }
    head = (uint32_t)(self->kept.size - before - sizeof head) | (words ? is_words : 0);
    memcpy(self->kept.data + before, &head, sizeof head);
    return 0;
}

// Sends the first one that was not sent.
static int send_one(const outbox_t *self, rl_wire_t *wire)
{
    const char *kept = self->kept.data + self->sent_at + sizeof(uint32_t), *why;
    uint32_t head = head_at(self, self->sent_at);
    if (head & is_words) {
        rl_msg_t words = {.type = RL_TOKEN,
                          .token = {.task = self->task, .seq = self->sent + 1, .text = kept}};
        return rl_wire_send(wire, &words);
    }
    rl_msg_t *msg;
    if (!rl_msg_decode(kept, head, &msg, &why)) {
        rl_error("a kept message cannot be read: %s", why); // memory is short
        return -1;
    }
    int rc = rl_wire_send(wire, msg);
    rl_msg_free(&msg);
    return rc;
}

// Sends what waits, as far as the window goes and the wire takes it; if it does not, the gateway is
// far behind, and its next credit tries again.
static void send_kept(outbox_t *self, rl_wire_t *wire)
{
    while (self->sent < self->last && self->sent < self->acked + self->window &&
           send_one(self, wire) == 0) {
        self->sent_at += size_at(self, self->sent_at);
        self->sent++;
    }
}

int outbox_send(outbox_t *self, rl_wire_t *wire, rl_msg_t *msg, char *why, size_t why_size)
{
    set_number(msg, self->last + 1);
    int rc = keep_message(self, msg, why, why_size);
    if (rc != 0)
        return rc;
    self->last++;
    if (self->sent + 1 != self->last)
        send_kept(self, wire); // others wait before it
    else if (self->sent < self->acked + self->window && rl_wire_send(wire, msg) == 0) {
        self->sent_at = self->kept.size;
        self->sent = self->last;
    }
    return 0;
}

void outbox_resend(outbox_t *self, rl_wire_t *wire)
{
    self->sent = self->acked;
    self->sent_at = 0;
    send_kept(self, wire);
}

void outbox_credit(outbox_t *self, rl_wire_t *wire, const rl_credit_t *credit)
{
    if (credit->seq > self->last)
        return; // not of this answer
    size_t drop = 0;
    for (; self->acked < credit->seq; self->acked++)
        drop += size_at(self, drop);
    if (self->sent < self->acked) { // acknowledged on another connection
        self->sent = self->acked;
        self->sent_at = drop;
    }
    if (drop > 0)
        rl_buf_drop(&self->kept, drop);
    self->sent_at -= drop;
    // an older credit that was overtaken must not take back what a newer one gave
    if (credit->seq == self->acked)
        self->window = credit->window < WINDOW_MAX ? credit->window : WINDOW_MAX;
    if (credit->again)
        outbox_resend(self, wire);
    else
        send_kept(self, wire);
}
