#include "progressive.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "mem.h"
#include "request_private.h"
#include "search.h"

enum {
    TOGETHER_US = 1000, // answers that come within this go out together
};

typedef struct progressive {
    rl_timer_t *timer; // when they may be shown next
    bool due;          // as soon as there is more of them
    bool now;          // the timer has come
    size_t shown;      // sources that had answered when they were shown last
    uint64_t from_us;  // since when sources are awaited
} progressive_t;

static void on_time(void *arg)
{
    request_t *self = arg;
    self->progressive->due = self->progressive->now = true;
    request_wake(self);
}

static void arm_timer(request_t *self, uint64_t us)
{
    request_set_timer(self, &self->progressive->timer, (int64_t)us, on_time, self);
}

static bool has_news(const request_t *self, const request_t *from)
{
    return from && from->state == REQUEST_SEARCHING && search_pending(from) > 0 &&
           search_answered_newest(from) > self->progressive->shown;
}

// To be called with passages only: an empty list is no news.
static void send_found(request_t *self, const request_t *from, const merged_passage_t *passages,
                       size_t size)
{
    size_t sources = search_count(from);
    missing_source_t *others = rl_alloc_array(2 * sources, sizeof *others);
    answer_t so_far = {.id = self->id,
                       .passages = passages,
                       .passages_size = size,
                       .missing = others,
                       .awaited = others + sources,
                       .answered = (unsigned)search_answered_newest(from),
                       .of = (unsigned)sources};
    search_list_others(from, others, &so_far.missing_size, others + sources, &so_far.awaited_size);
    snprintf(so_far.headline, sizeof so_far.headline, "%zu passage%s from %u of %u sources so far",
             size, size == 1 ? "" : "s", so_far.answered, so_far.of);
    self->response->ops->found(self->response, &so_far);
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
    return response_backlog(self->response) > self->pipeline->settings.client_buffer / 2;
}

static void show_found(request_t *self, const request_t *from)
{
    progressive_t *own = self->progressive;
    size_t size;
    if (!has_news(self, from) || is_behind(self))
        return;
    merged_passage_t *passages = search_merge_now(from, &size);
    if (size > 0) {
        send_found(self, from, passages, size);
        own->due = false;
        arm_timer(self, rl_now_us() - own->from_us);
    }
    own->shown = search_answered_newest(from);
    merge_free(&passages);
}

void progressive_look(request_t *self, const request_t *from)
{
    progressive_t *own = self->progressive;
    if (!own)
        return;
    bool now = own->now;
    own->now = false;
    if (now)
        show_found(self, from);
    else if (own->due && !rl_timer_is_set(own->timer) && has_news(self, from))
        arm_timer(self, TOGETHER_US);
}

static bool is_wanted(const request_t *self)
{
    const question_t *question = self->question;
    return self->response->ops->found && (question->form == FORM_ASK || question->want_progress);
}

void progressive_arm(request_t *self)
{
    long ms = self->pipeline->settings.progressive_ms;
    if (ms == 0 || self->progressive || !is_wanted(self))
        return;
    self->progressive = rl_new(*self->progressive);
    self->progressive->from_us = rl_now_us();
    arm_timer(self, (uint64_t)ms * 1000);
}

void progressive_end(request_t *self)
{
    if (!self->progressive)
        return;
    request_set_timer(self, &self->progressive->timer, -1, NULL, NULL);
    free(self->progressive);
    self->progressive = NULL;
}
