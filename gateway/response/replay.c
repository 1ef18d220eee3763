// replay: the events of resumable answers.
#include "replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "timer.h"
#include "utf8.h"

enum {
    SEND_MAX = 256 << 10, // bytes of events in a message to another gateway
    CHECK_MS = 200,       // between two checks for logs whose time is over
};

struct replays {
    rl_proc_t *proc;
    peers_t *peers;
    TAILQ_HEAD(, replay) all;
    rl_timer_t *timer;
};

struct replay {
    replays_t *owner;
    char *id;
    const keys_caller_t *caller;
    replay_events_t events;
    rl_buf_t log;     // events, one behind the other
    size_t *ends;     // where each one ends
    size_t ends_size; // kept
    size_t ends_room; //
    uint64_t dropped; // events that were kept once, from number 1 on
    size_t bound;     // bytes
    http_req_t *req;  // the client at hand,
    char *gateway;    // or the gateway that has it,
    uint64_t client;  // and its number there
    bool ended;
    uint64_t idle_since_us; // since when no client is there, or the answer is complete
    TAILQ_ENTRY(replay) list;
};

static void on_check(void *arg);

replays_t *replays_new(rl_proc_t *proc, peers_t *peers)
{
    replays_t *self = rl_new(*self);
    self->proc = proc;
    self->peers = peers;
    TAILQ_INIT(&self->all);
    self->timer = rl_timer_new(rl_proc_base(proc), on_check, self);
    rl_timer_every(self->timer, CHECK_MS * 1000);
    return self;
}

void replays_destroy(replays_t **self_p)
{
    replays_t *self = *self_p;
    if (!self)
        return;
    for (replay_t *each; (each = TAILQ_FIRST(&self->all));)
        replay_destroy(&each);
    rl_timer_destroy(&self->timer);
    free(self);
    *self_p = NULL;
}

static void release_remote(replay_t *self)
{
    free(self->gateway);
    self->gateway = NULL;
    if (!self->ended)
        self->idle_since_us = rl_now_us();
}

// Frees the logs that no client came back to in time.
static void on_check(void *arg)
{
    replays_t *self = arg;
    uint64_t now = rl_now_us();
    uint64_t keep = (uint64_t)rl_conf_int(rl_proc_conf(self->proc), "gateway.resume_ms") * 1000;
    for (replay_t *each = TAILQ_FIRST(&self->all), *next; each; each = next) {
        next = TAILQ_NEXT(each, list);
        if (each->req || each->gateway || now - each->idle_since_us < keep)
            continue;
        if (each->ended)
            replay_destroy(&each);
        else
            each->events.abandoned(each->events.arg); // which destroys the log
    }
}

replay_t *replay_new(replays_t *owner, const char *id, const keys_caller_t *caller,
                     const replay_events_t *events)
{
    replay_t *self = rl_new(*self);
    size_t bound = (size_t)rl_conf_int(rl_proc_conf(owner->proc), "gateway.resume_buffer");
    *self = (replay_t){.owner = owner,
                       .id = rl_strdup(id),
                       .caller = keys_ref(caller),
                       .events = *events,
                       .log = rl_buf_make(bound * 2),
                       .bound = bound,
                       .idle_since_us = rl_now_us()};
    TAILQ_INSERT_TAIL(&owner->all, self, list);
    return self;
}

replay_t *replays_find(replays_t *self, const char *id, const char *caller)
{
    replay_t *each;
    TAILQ_FOREACH(each, &self->all, list)
    {
        if (strcmp(each->id, id) == 0)
            return strcmp(keys_name(each->caller), caller) == 0 ? each : NULL;
    }
    return NULL;
}

const char *replay_id(const replay_t *self)
{
    return self->id;
}

// Sends events (whole ones, `size` bytes) to the other gateway; releases its client when that
// fails.
static void send_remote(replay_t *self, const char *events, size_t size, bool ended)
{
    rl_buf_t text = rl_buf_make(SEND_MAX + 1);
    for (size_t at = 0; (at < size || ended) && self->gateway;) {
        size_t part = size - at < SEND_MAX ? size - at : rl_utf8_whole(events + at, SEND_MAX);
        rl_buf_clear(&text);
        rl_buf_add(&text, events + at, part);
        at += part;
        bool last = ended && at == size;
        rl_msg_t msg = {.type = RL_EVENTS,
                        .events = {.client = self->client, .events = text.data, .ended = last}};
        if (peers_send(self->owner->peers, self->gateway, &msg) != 0 || last)
            release_remote(self);
        if (last)
            break;
    }
    rl_buf_free(&text);
}

// Ends the stream of the client at hand: another has come, or the answer is complete.
static void release_client(replay_t *self)
{
    if (self->req)
        http_stream_end(&self->req);
    if (self->gateway)
        send_remote(self, "", 0, true);
}

static void on_gone(void *arg)
{
    replay_t *self = arg;
    http_drop(&self->req);
    if (!self->ended)
        self->idle_since_us = rl_now_us();
}

static void on_drained(void *arg)
{
    replay_t *self = arg;
    if (!self->ended)
        self->events.drained(self->events.arg);
}

// Where the events after number `seen` begin in the log.
static size_t offset_after(const replay_t *self, uint64_t seen)
{
    uint64_t skip = seen - self->dropped;
    skip = skip < self->ends_size ? skip : self->ends_size;
    return skip > 0 ? self->ends[skip - 1] : 0;
}

static void describe_gone(const replay_t *self, uint64_t seen, char *message, size_t size)
{
    snprintf(message, size,
             "the events after number %llu are not kept any more, those after %llu are "
             "(gateway.resume_buffer)",
             (unsigned long long)seen, (unsigned long long)self->dropped);
}

// A client has come: an answer that was paused is resumed.
static void resume_answer(replay_t *self)
{
    if (self->ended)
        release_client(self);
    else if (self->events.drained)
        self->events.drained(self->events.arg);
}

void replay_attach(replay_t *self, http_req_t **req_p, uint64_t seen)
{
    char message[200];
    if (seen < self->dropped) {
        describe_gone(self, seen, message, sizeof message);
        http_reply_error(req_p, 410, "events_gone", NULL, 0, "%s", message);
        return;
    }
    release_client(self);
    self->req = *req_p;
    *req_p = NULL;
    http_on_client(self->req, on_gone, on_drained, self);
    size_t from = offset_after(self, seen);
    http_stream_begin(self->req);
    http_stream_send(self->req, self->log.data + from, self->log.size - from);
    resume_answer(self);
}

// Tells another gateway why its client gets no events.
static void refuse_client(replays_t *self, const rl_resume_t *resume, const char *code,
                          const char *message)
{
    rl_msg_t msg = {.type = RL_EVENTS,
                    .events = {.client = resume->client,
                               .status = 410,
                               .code = code,
                               .message = message,
                               .ended = true}};
    peers_send(self->peers, resume->gateway, &msg);
}

void replays_resume(replays_t *self, const rl_resume_t *resume)
{
    replay_t *replay;
    char message[200];
    if (resume->gone) {
        TAILQ_FOREACH(replay, &self->all, list)
        {
            if (replay->gateway && replay->client == resume->client &&
                strcmp(replay->gateway, resume->gateway) == 0)
                release_remote(replay);
        }
        return;
    }
    replay = replays_find(self, resume->answer, resume->caller);
    if (!replay) {
        refuse_client(
            self, resume, "answer_gone",
            "there is no such answer to come back to: it was not asked for with \"resumable\": "
            "true, or its time is over (gateway.resume_ms)");
    } else if (resume->seen < replay->dropped) {
        describe_gone(replay, resume->seen, message, sizeof message);
        refuse_client(self, resume, "events_gone", message);
    } else {
        release_client(replay);
        replay->gateway = rl_strdup(resume->gateway);
        replay->client = resume->client;
        size_t from = offset_after(replay, resume->seen);
        if (replay->log.size > from)
            send_remote(replay, replay->log.data + from, replay->log.size - from, false);
        else
            send_remote(replay, ": here\n\n", 8,
                        false); // so that the other gateway knows that the answer is here
        resume_answer(replay);
    }
}

// Drops the oldest events until the log is within its bound again.
static void drop_oldest(replay_t *self)
{
    size_t drop = 0;
    while (drop + 1 < self->ends_size && self->log.size - self->ends[drop] > self->bound)
        drop++;
    size_t bytes = self->ends[drop];
    rl_buf_drop(&self->log, bytes);
    for (size_t at = drop + 1; at < self->ends_size; at++)
        self->ends[at - drop - 1] = self->ends[at] - bytes;
    self->ends_size -= drop + 1;
    self->dropped += drop + 1;
}

void replay_add(replay_t *self, const char *event, size_t size)
{
    if (self->req)
        http_stream_send(self->req, event, size);
    if (self->gateway)
        send_remote(self, event, size, false);
    if (self->ends_size == self->ends_room) {
        self->ends_room = self->ends_room ? self->ends_room * 2 : 64;
        self->ends = rl_realloc(self->ends, self->ends_room, sizeof *self->ends);
    }
    if (rl_buf_add(&self->log, event, size) != 0) { // the event is larger than the whole log may be
        rl_buf_clear(&self->log);
        self->dropped += self->ends_size + 1;
        self->ends_size = 0;
        return;
    }
    self->ends[self->ends_size++] = self->log.size;
    if (self->log.size > self->bound + self->bound / 2)
        drop_oldest(self);
}

size_t replay_backlog(const replay_t *self)
{
    return self->req ? http_stream_backlog(self->req) : 0;
}

void replay_end(replay_t **self_p)
{
    replay_t *self = *self_p;
    *self_p = NULL;
    self->ended = true;
    self->idle_since_us = rl_now_us();
    release_client(self);
}

void replay_destroy(replay_t **self_p)
{
    replay_t *self = *self_p;
    if (!self)
        return;
    TAILQ_REMOVE(&self->owner->all, self, list);
    if (self->req)
        http_drop(&self->req);
    if (self->gateway)
        send_remote(self, "", 0, true);
    keys_unref(&self->caller);
    rl_buf_free(&self->log);
    free(self->ends);
    free(self->id);
    free(self);
    *self_p = NULL;
}
