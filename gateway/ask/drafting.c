// drafting: the words so far of a question that is being typed, as drafts.
#include "drafting.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "hex.h"
#include "mem.h"
#include "pace.h"

enum {
    LEAST_WORDS = 3,
    MOST_BYTES = 4000,
    REST_US = 15000000, // without drafts after one that was not taken
    SESSION_BYTES = 12,
    TIMEOUT_MS = 30000,
    INFO_MS = 5000,
};

struct drafting {
    talk_t *talk;
    struct event *timer;
    pace_t pace;
    bool on; // the gateway takes them
    rl_fetch_t *info, *draft;
    char session[2 * SESSION_BYTES + 1]; // "": nothing was drafted
    char taken[2 * SESSION_BYTES + 1];
    char *now;  // what stands there
    char *sent; // what was drafted last, NULL: nothing
    uint64_t rest_until_us;
};

// ---- whether the gateway takes them
// ---------------------------------------------------------------

static void on_info(void *arg, const rl_fetch_result_t *result)
{
    drafting_t *self = arg;
    self->info = NULL;
    json_t *body = result->ok && result->status == 200
                       ? json_loadb(result->body, result->body_size, 0, NULL)
                       : NULL;
    self->on = json_is_true(json_object_get(body, "drafts"));
    json_decref(body);
}

// It opens a connection, too, which the question can use.
static void send_if_due(drafting_t *self)
{
    if (!self->on && !self->info)
        self->info = talk_beside(self->talk, "info", NULL, INFO_MS, on_info, self);
}

// ---- drafts
// ---------------------------------------------------------------------------------------

static void forget_text(char **text)
{
    free(*text);
    *text = NULL;
}

static void on_drafted(void *arg, const rl_fetch_result_t *result)
{
    drafting_t *self = arg;
    self->draft = NULL;
    if (result->ok && result->status == 200)
        return;
    self->rest_until_us = rl_now_us() + REST_US; // 202: skipped, too much to do
    forget_text(&self->sent);
}

static void begin_session(drafting_t *self)
{
    if (!*self->session)
        rl_random_hex(self->session, SESSION_BYTES);
}

static size_t count_words(const char *text)
{
    size_t count = 0;
    while (*(text += strspn(text, " "))) {
        count++;
        text += strcspn(text, " ");
    }
    return count;
}

// Blanks around it are no part of a question.
static char *copy_trimmed(const char *text)
{
    text += strspn(text, " ");
    size_t size = strlen(text);
    while (size > 0 && text[size - 1] == ' ')
        size--;
    char *copy = rl_strndup(text, size);
    return copy;
}

static void on_pause(evutil_socket_t fd, short what, void *arg)
{
    drafting_t *self = arg;
    (void)fd;
    (void)what;
    if (!self->on || !self->now || rl_now_us() < self->rest_until_us)
        return;
    if (count_words(self->now) < LEAST_WORDS || strlen(self->now) > MOST_BYTES ||
        (self->sent && strcmp(self->now, self->sent) == 0))
        return;
    rl_fetch_cancel(&self->draft);
    begin_session(self);
    char *body = talk_body(self->talk, TALK_DRAFT, self->now, self->session);
    self->draft = talk_beside(self->talk, "draft", body, TIMEOUT_MS, on_drafted, self);
    free(body);
    forget_text(&self->sent);
    self->sent = self->draft ? rl_strdup(self->now) : NULL;
}

// ---- the outside
// ------------------------------------------------------------------------------------

drafting_t *drafting_new(struct event_base *base, talk_t *talk)
{
    drafting_t *self = rl_new(*self);
    self->talk = talk;
    self->timer = rl_must(evtimer_new(base, on_pause, self));
    send_if_due(self);
    return self;
}

void drafting_destroy(drafting_t **self_p)
{
    drafting_t *self = *self_p;
    if (!self)
        return;
    rl_fetch_cancel(&self->info);
    rl_fetch_cancel(&self->draft);
    event_free(self->timer);
    free(self->now);
    free(self->sent);
    free(self);
    *self_p = NULL;
}

void drafting_typed(drafting_t *self, const char *text)
{
    char *now = copy_trimmed(text);
    bool same = self->now && strcmp(self->now, now) == 0;
    long ms = pace_typed(&self->pace, text, rl_now_us());
    free(self->now);
    self->now = now;
    if (same && evtimer_pending(self->timer, NULL))
        return; // only the cursor has moved
    struct timeval wait = {ms / 1000, ms % 1000 * 1000};
    evtimer_add(self->timer, &wait);
}

const char *drafting_take(drafting_t *self, const char *question)
{
    char *asked = copy_trimmed(question);
    evtimer_del(self->timer);
    if (!self->sent || strcmp(self->sent, asked) != 0)
        rl_fetch_cancel(&self->draft);
    free(asked);
    memcpy(self->taken, self->session, sizeof self->taken);
    *self->session = '\0';
    forget_text(&self->now);
    forget_text(&self->sent);
    pace_again(&self->pace);
    send_if_due(self); // it may not have been there before
    return *self->taken ? self->taken : NULL;
}
