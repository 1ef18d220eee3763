// replay: the events of resumable answers.
#include "replay.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "clock.h"
#include "log.h"

enum {
    LOOK_MS = 200, // how often logs are looked through for those whose time is over
};

struct replays {
    rl_proc_t *proc;
    TAILQ_HEAD(, replay) all;
    struct event *timer;
};

struct replay {
    replays_t *owner;
    char *id;
    const keys_caller_t *caller;
    replay_events_t events;
    rl_buf_t log;      // events, one behind the other
    size_t *ends;      // where each one ends
    size_t ends_size;  // kept
    size_t ends_room;  //
    uint64_t dropped;  // events that were kept once, from number 1 on
    size_t bound;      // bytes
    http_req_t *req;   // the client at hand
    bool ended;
    uint64_t alone_us; // since when no client is there, or the answer is complete
    TAILQ_ENTRY(replay) list;
};

static void on_look(evutil_socket_t fd, short what, void *arg);

replays_t *replays_new(rl_proc_t *proc)
{
    replays_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    self->proc = proc;
    TAILQ_INIT(&self->all);
    self->timer = event_new(rl_proc_base(proc), -1, EV_PERSIST, on_look, self);
    struct timeval every = {0, LOOK_MS * 1000};
    if (!self->timer || event_add(self->timer, &every) != 0)
        abort();
    return self;
}

void replays_destroy(replays_t **self_p)
{
    replays_t *self = *self_p;
    if (!self)
        return;
    for (replay_t *each; (each = TAILQ_FIRST(&self->all));)
        replay_destroy(&each);
    event_free(self->timer);
    free(self);
    *self_p = NULL;
}

// Those that nobody came back to.
static void on_look(evutil_socket_t fd, short what, void *arg)
{
    replays_t *self = arg;
    (void)fd;
    (void)what;
    uint64_t now = rl_now_us();
    uint64_t keep = (uint64_t)rl_conf_int(rl_proc_conf(self->proc), "gateway.resume_ms") * 1000;
    for (replay_t *each = TAILQ_FIRST(&self->all), *next; each; each = next) {
        next = TAILQ_NEXT(each, list);
        if (each->req || now - each->alone_us < keep)
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
    replay_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    size_t bound = (size_t)rl_conf_int(rl_proc_conf(owner->proc), "gateway.resume_buffer");
    *self = (replay_t){.owner = owner,
                       .id = strdup(id),
                       .caller = keys_keep(caller),
                       .events = *events,
                       .log = rl_buf_make(bound * 2),
                       .bound = bound,
                       .alone_us = rl_now_us()};
    if (!self->id)
        abort();
    TAILQ_INSERT_TAIL(&owner->all, self, list);
    return self;
}

replay_t *replays_find(replays_t *self, const char *id, const keys_caller_t *caller)
{
    replay_t *each;
    TAILQ_FOREACH(each, &self->all, list)
    {
        if (strcmp(each->id, id) == 0)
            return strcmp(keys_name(each->caller), keys_name(caller)) == 0 ? each : NULL;
    }
    return NULL;
}

const char *replay_id(const replay_t *self)
{
    return self->id;
}

bool replay_ended(const replay_t *self)
{
    return self->ended;
}

static void on_gone(void *arg)
{
    replay_t *self = arg;
    http_drop(&self->req);
    if (!self->ended)
        self->alone_us = rl_now_us();
}

static void on_drained(void *arg)
{
    replay_t *self = arg;
    if (!self->ended)
        self->events.drained(self->events.arg);
}

void replay_attach(replay_t *self, http_req_t **req_p, uint64_t seen)
{
    if (seen < self->dropped) {
        http_reply_error(req_p, 410, "events_gone", NULL, 0,
                         "the events after number %llu are not kept any more, those after %llu are "
                         "(gateway.resume_buffer)",
                         (unsigned long long)seen, (unsigned long long)self->dropped);
        return;
    }
    if (self->req)
        http_stream_end(&self->req);
    self->req = *req_p;
    *req_p = NULL;
    http_on_client(self->req, on_gone, on_drained, self);
    uint64_t skip = seen - self->dropped;
    skip = skip < self->ends_size ? skip : self->ends_size;
    size_t from = skip > 0 ? self->ends[skip - 1] : 0;
    http_stream_begin(self->req);
    http_stream_send(self->req, self->log.data + from, self->log.size - from);
    if (self->ended) {
        http_stream_end(&self->req);
    } else if (self->events.drained) {
        self->events.drained(self->events.arg); // an answer that was paused goes on
    }
}

// Drops the oldest events until the log is within its bound again.
static void shorten(replay_t *self)
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
    if (self->ends_size == self->ends_room) {
        self->ends_room = self->ends_room ? self->ends_room * 2 : 64;
        self->ends = realloc(self->ends, self->ends_room * sizeof *self->ends);
        if (!self->ends)
            abort();
    }
    if (rl_buf_add(&self->log, event, size) != 0) { // larger than the whole log may be
        rl_buf_clear(&self->log);
        self->dropped += self->ends_size + 1;
        self->ends_size = 0;
        return;
    }
    self->ends[self->ends_size++] = self->log.size;
    if (self->log.size > self->bound + self->bound / 2)
        shorten(self);
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
    self->alone_us = rl_now_us();
    if (self->req)
        http_stream_end(&self->req);
}

void replay_destroy(replay_t **self_p)
{
    replay_t *self = *self_p;
    if (!self)
        return;
    TAILQ_REMOVE(&self->owner->all, self, list);
    if (self->req)
        http_drop(&self->req);
    keys_drop(&self->caller);
    rl_buf_free(&self->log);
    free(self->ends);
    free(self->id);
    free(self);
    *self_p = NULL;
}
