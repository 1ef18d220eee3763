// request_progressive: passages go out while slow sources are still awaited: what has been found
// so far, in the order of now, marked as not final; then again when more has come, each time not
// before twice as long as the time before, so that a question has a handful of them however many
// sources it has. Nothing rests on them: numbers of citations are those of the final passages.
#include "request_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

enum {
    TOGETHER_US = 1000, // answers that come within this go out together
};

static void arm(progressive_t *self, uint64_t us)
{
    struct timeval wait = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
    if (event_add(self->timer, &wait) != 0)
        abort();
}

// Whose searches the question waits for: its own, or those of one that asked the same before.
static const request_t *searcher(const request_t *self)
{
    return self->share.leader ? self->share.leader : self;
}

// Sources that have answered and whose passages may be shown.
static unsigned answered(const request_t *self)
{
    unsigned count = 0;
    for (size_t at = 0; at < self->searches_size; at++)
        count += self->searches[at].state == SEARCH_ANSWERED &&
                 !request_is_stale(self, &self->searches[at]);
    return count;
}

static bool has_news(const request_t *self)
{
    const request_t *from = searcher(self);
    return self->state == REQUEST_SEARCHING && from->state == REQUEST_SEARCHING &&
           from->pending > 0 && answered(from) > self->progressive.shown;
}

// Which sources have not answered: those that will not, and those that may yet.
static void list_others(const request_t *from, answer_t *so_far, missing_source_t *missing,
                        missing_source_t *awaited)
{
    for (size_t at = 0; at < from->searches_size; at++) {
        const search_t *search = &from->searches[at];
        bool gone = search->state == SEARCH_MISSING;
        if (search->state == SEARCH_ANSWERED && !request_is_stale(from, search))
            continue;
        missing_source_t *one =
            gone ? &missing[so_far->missing_size++] : &awaited[so_far->awaited_size++];
        request_name_source(&search->source, one->source, sizeof one->source);
        snprintf(one->reason, sizeof one->reason, "%s", gone ? search->reason : "");
    }
    so_far->missing = missing;
    so_far->awaited = awaited;
}

// To be called with passages only: an empty list is no news.
static void tell(request_t *self, const request_t *from, const merged_passage_t *passages,
                 size_t size)
{
    missing_source_t *others = calloc(2 * from->searches_size, sizeof *others);
    answer_t so_far = {.id = self->id,
                       .passages = passages,
                       .passages_size = size,
                       .answered = answered(from),
                       .of = (unsigned)from->searches_size};
    if (!others)
        abort();
    list_others(from, &so_far, others, others + from->searches_size);
    snprintf(so_far.headline, sizeof so_far.headline, "%zu passage%s from %u of %u sources so far",
             size, size == 1 ? "" : "s", so_far.answered, so_far.of);
    self->face->ops->found(self->face, &so_far);
    free(others);
    timeline_t *timeline = self->timeline;
    if (timeline->found == 0) {
        timeline->found_us = timeline_at(timeline, rl_now_us());
        metrics_count(self->pipeline->metrics, COUNT_PROGRESSIVE, 1);
    }
    timeline->found++;
}

// A client that is behind gets what is final and nothing else.
static bool is_behind(const request_t *self)
{
    return response_backlog(self->face) > self->pipeline->settings.client_buffer / 2;
}

static void show(request_t *self)
{
    const request_t *from = searcher(self);
    size_t size;
    if (!has_news(self) || is_behind(self))
        return;
    merged_passage_t *passages = request_merge_now(from, &size);
    if (size > 0) {
        tell(self, from, passages, size);
        self->progressive.due = false;
        arm(&self->progressive, rl_now_us() - self->progressive.from_us);
    }
    self->progressive.shown = answered(from);
    merge_free(&passages);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    request_t *self = arg;
    (void)fd;
    (void)what;
    self->progressive.due = true;
    show(self);
}

static void look(request_t *self)
{
    progressive_t *progressive = &self->progressive;
    if (progressive->due && !event_pending(progressive->timer, EV_TIMEOUT, NULL) && has_news(self))
        arm(progressive, TOGETHER_US);
}

static bool is_wanted(const request_t *self)
{
    const question_t *question = self->question;
    return self->face->ops->found && (question->form == FORM_ASK || question->want_progress);
}

void request_progressive_later(request_t *self)
{
    long ms = self->pipeline->settings.progressive_ms;
    progressive_t *progressive = &self->progressive;
    if (ms == 0 || progressive->timer || !is_wanted(self))
        return;
    progressive->from_us = rl_now_us();
    progressive->timer = event_new(rl_proc_base(self->pipeline->proc), -1, 0, on_time, self);
    if (!progressive->timer)
        abort();
    arm(progressive, (uint64_t)ms * 1000);
}

void request_progressive_look(request_t *self)
{
    request_t *follower;
    look(self);
    TAILQ_FOREACH(follower, &self->share.followers, share.next)
    {
        look(follower);
    }
}

void request_progressive_end(request_t *self)
{
    if (self->progressive.timer)
        event_free(self->progressive.timer);
    self->progressive.timer = NULL;
    self->progressive.due = false;
}
