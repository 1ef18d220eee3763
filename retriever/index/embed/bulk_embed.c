// bulk_embed: jobs, of a batch of texts each, their requests and their replies.

#include "bulk_embed.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embedding.h"
#include "mem.h"
#include "server_error.h"
#include "utf8.h"

enum {
    FIRST_WAIT_MS = 250, // before the first retry; doubled each time
    LONGEST_WAIT_MS = 30000,
    LONGEST_ASKED_S = 300,    // of a server's Retry-After
    SHORTEST_TEXT = 16,       // bytes; a shorter text is not refused for its length
    REPLY_OF_ONE = 256 << 10, // bytes of JSON for a vector, at most
    MAX_REQUEST = 256 << 20,
    MAX_BATCH_BYTES = 8 << 20, // a request is sent early rather than larger
};

// Any embedding model has a vector for this: a server that gives none is in trouble itself.
static const char control_text[] = "The weather is fine today.";

typedef struct embed_input {
    vector_key_t key;
    char *text;
    size_t size;
    bool cut;
} embed_input_t;

typedef enum job_state {
    JOB_READY,   // in the list, to be sent
    JOB_SENT,    // a transfer is under way
    JOB_WAITING, // its timer runs
} job_state_t;

typedef struct job {
    bulk_embed_t *owner;
    job_state_t state;
    embed_input_t *inputs;
    size_t size;
    unsigned tries;
    bool control;  // what is sent is the control text, to tell whose fault a failure is
    bool passing;  // the failure may pass: worth another try where the control fails as well
    char *what;    // happened: "answers 500: …"
    char *failure; // what ends the work where the control fails as well
    rl_fetch_t *fetch;
    struct event *timer;
    struct job *next;
} job_t;

struct bulk_embed {
    struct event_base *base;
    bulk_settings_t settings;
    bulk_calls_t calls;
    rl_fetcher_t *fetcher;
    struct event *turn; // sends what is ready, or reports the end, outside of other callbacks
    char *url;
    char *shown;    // the same for messages
    job_t *jobs;    // all of them, in the order in which they are sent
    size_t active;  // sent or waiting
    bool exhausted; // no more texts
    size_t dimension;
    uint64_t cut;
    char *why; // the failure to report
};

static void drop_job(bulk_embed_t *self, job_t *job)
{
    job_t **at = &self->jobs;
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    self->active -= job->state != JOB_READY;
    rl_fetch_cancel(&job->fetch);
    event_free(job->timer);
    for (size_t i = 0; i < job->size; i++)
        free(job->inputs[i].text);
    free(job->inputs);
    free(job->what);
    free(job->failure);
    free(job);
}

static void schedule_turn(bulk_embed_t *self)
{
    event_active(self->turn, EV_TIMEOUT, 1);
}

// Ends the work with the first failure; reported from the turn, so that it never happens within a
// call of the owner's.
static void fail_embedding(bulk_embed_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void fail_embedding(bulk_embed_t *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!self->why && vasprintf(&self->why, format, args) < 0)
        rl_out_of_memory();
    va_end(args);
    schedule_turn(self);
}

static void set_job_state(job_t *job, job_state_t state)
{
    job->owner->active += (state != JOB_READY) - (job->state != JOB_READY);
    job->state = state;
}

// ---- what comes back ----------------------------------------------------------------------------

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    job_t *job = arg;
    (void)fd, (void)what;
    set_job_state(job, JOB_READY);
    schedule_turn(job->owner);
}

// The same again, later.
static void retry_job(job_t *job, long retry_after_s)
{
    bulk_embed_t *self = job->owner;
    long wait = FIRST_WAIT_MS;
    for (unsigned i = 0; i < job->tries && wait < LONGEST_WAIT_MS; i++)
        wait *= 2;
    wait = wait < LONGEST_WAIT_MS ? wait : LONGEST_WAIT_MS;
    long asked = retry_after_s < LONGEST_ASKED_S ? retry_after_s : LONGEST_ASKED_S;
    if (asked * 1000 > wait)
        wait = asked * 1000;
    job->tries++;
    char note[512];
    snprintf(note, sizeof note, "the embedding server %s: again in %.2g s", job->what,
             (double)wait / 1000);
    self->calls.note(self->calls.arg, note);
    struct timeval tv = {.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};
    set_job_state(job, JOB_WAITING);
    event_add(job->timer, &tv);
}

// A job with room for so many inputs, put into the list in front of *before.
static job_t *add_job(bulk_embed_t *self, job_t **before, size_t room)
{
    job_t *job = rl_new(*job);
    job->owner = self;
    job->timer = rl_must(evtimer_new(self->base, on_timer, job));
    job->inputs = rl_alloc_array(room, sizeof *job->inputs);
    job->next = *before;
    *before = job;
    return job;
}

// A refused request with several texts: each half on its own, to find the one that is meant.
static void split_job(job_t *job)
{
    bulk_embed_t *self = job->owner;
    size_t half = job->size / 2, rest = job->size - half;
    job_t *other = add_job(self, &job->next, rest);
    memcpy(other->inputs, job->inputs + half, rest * sizeof *other->inputs);
    other->size = rest;
    other->tries = job->tries;
    job->size = half;
    set_job_state(job, JOB_READY);
    schedule_turn(self);
}

// The server works, and not with this text.
static void refuse_input(job_t *job)
{
    bulk_embed_t *self = job->owner;
    self->calls.refused(self->calls.arg, &job->inputs[0].key, job->what);
    drop_job(self, job);
    schedule_turn(self);
}

// A failure that may be a text's or the server's: the control text tells which. `what` happened
// (copied), and `failure` ends the work if it is the server's (malloc'd, taken); a passing one is
// tried again first.
static void judge_failure(job_t *job, const char *what, bool passing, char *failure)
{
    free(job->what);
    free(job->failure);
    job->what = rl_strdup(what);
    job->failure = failure;
    job->passing = passing && job->tries < job->owner->settings.retries;
    job->control = true;
    set_job_state(job, JOB_READY);
    schedule_turn(job->owner);
}

// A single text that is too long: a quarter of it less.
static void shorten_input(job_t *job, const char *message)
{
    bulk_embed_t *self = job->owner;
    embed_input_t *input = &job->inputs[0];
    size_t size = rl_utf8_whole(input->text, input->size - input->size / 4);
    if (size < SHORTEST_TEXT || size == input->size) {
        char what[400];
        snprintf(what, sizeof what, "refuses even a short text: %.300s", message);
        judge_failure(job, what, false, rl_format("the embedding server %s", what));
        return;
    }
    input->text[size] = '\0';
    input->size = size;
    self->cut += !input->cut;
    input->cut = true;
    set_job_state(job, JOB_READY);
    schedule_turn(self);
}

// A reply that holds no vectors for its texts.
static void judge_reply(job_t *job, const rl_fetch_result_t *result, const char *why)
{
    const char *shown = job->owner->shown;
    char *failure =
        strcasestr(result->type, "html")
            ? rl_format("%s answers with a page (%s), not with JSON: is embed.url right? It ends "
                        "in /v1",
                        shown, result->type)
            : rl_format("the embedding server at %s: %s", shown, why);
    judge_failure(job, why, false, failure);
}

// Vectors have come: hands them on.
static void take_vectors(job_t *job, const rl_fetch_result_t *result)
{
    bulk_embed_t *self = job->owner;
    rl_embedding_reply_t reply;
    char why[256];
    if (rl_embedding_read_reply(result->body, result->body_size, job->size, &reply, why,
                                sizeof why) != 0) {
        judge_reply(job, result, why);
        return;
    }
    if (self->dimension && self->dimension != reply.dimension)
        fail_embedding(self,
                       "the embedding server's vectors had %zu numbers and now have %zu: has its "
                       "model changed?",
                       self->dimension, reply.dimension);
    self->dimension = reply.dimension;
    for (size_t i = 0; i < job->size && !self->why; i++)
        if (self->calls.vector(self->calls.arg, &job->inputs[i].key,
                               reply.vectors + i * reply.dimension, reply.dimension) != 0)
            fail_embedding(self, "stopped"); // the caller has its own words for it
    free(reply.vectors);
    drop_job(self, job);
    schedule_turn(self);
}

// The control's reply: the failure before it was a text's if the control has a vector.
static void take_control(job_t *job, const rl_fetch_result_t *result)
{
    rl_embedding_reply_t reply = {0};
    char why[256];
    bool works =
        result->ok && result->status >= 200 && result->status < 300 &&
        rl_embedding_read_reply(result->body, result->body_size, 1, &reply, why, sizeof why) == 0;
    free(reply.vectors);
    job->control = false;
    if (works && job->size > 1)
        split_job(job);
    else if (works)
        refuse_input(job);
    else if (job->passing)
        retry_job(job, result->retry_after_s);
    else
        fail_embedding(job->owner, "%s", job->failure);
}

// A status that no retry will change, whatever the text.
static void fail_refused(job_t *job, long status, const char *message)
{
    bulk_embed_t *self = job->owner;
    if (status == 404)
        fail_embedding(self,
                       "the embedding server has no %s, or no model \"%s\" (404): check embed.url, "
                       "which ends in /v1, and embed.model. It says: %s",
                       self->shown, self->settings.model, message);
    else
        fail_embedding(self,
                       "the embedding server at %s refuses the key (%ld): set embed.key or "
                       "embed.key_file. It says: %s",
                       self->shown, status, message);
}

// A failure that may pass. A status of 500 is a text's as often as the server's (Ollama's
// "unsupported value: NaN"), and is looked into when it comes again; the others when they do not
// end.
static void take_passing(job_t *job, const rl_fetch_result_t *result, const char *what)
{
    const bulk_embed_t *self = job->owner;
    bool again = result->ok && result->status == 500 && job->tries > 0;
    if (again || job->tries >= self->settings.retries) {
        judge_failure(job, what, true,
                      rl_format("the embedding server at %s %s (tried %u times)", self->shown, what,
                                job->tries + 1));
        return;
    }
    free(job->what);
    job->what = rl_strdup(what);
    retry_job(job, result->retry_after_s);
}

static void take_error(job_t *job, const rl_fetch_result_t *result)
{
    long status = result->status;
    char message[300], what[400];
    rl_server_error_text(result->body, result->body_size, message, sizeof message);
    snprintf(what, sizeof what, "answers %ld: %.250s", status, message);
    bool too_long = status == 413 || ((status == 400 || status == 422 || status == 500) &&
                                      rl_server_error_is_too_long(message));
    if (too_long && job->size > 1) {
        split_job(job);
    } else if (too_long) {
        shorten_input(job, message);
    } else if (status == 429 || status == 408 || status >= 500) {
        take_passing(job, result, what);
    } else if (status == 401 || status == 403 || status == 404) {
        fail_refused(job, status, message);
    } else {
        judge_failure(job, what, false,
                      rl_format("the embedding server at %s %s", job->owner->shown, what));
    }
}

static void on_done(void *arg, const rl_fetch_result_t *result)
{
    job_t *job = arg;
    char what[400];
    job->fetch = NULL;
    if (job->control) {
        take_control(job, result);
    } else if (!result->ok) {
        snprintf(what, sizeof what, "%s: %.250s",
                 result->timed_out ? "does not answer in time"
                 : result->refused ? "cannot be reached"
                                   : "broke off",
                 result->error);
        take_passing(job, result, what);
    } else if (result->status >= 200 && result->status < 300) {
        take_vectors(job, result);
    } else {
        take_error(job, result);
    }
}

// ---- what goes out ------------------------------------------------------------------------------

static int send_job(job_t *job)
{
    bulk_embed_t *self = job->owner;
    rl_buf_t body = rl_buf_make(MAX_REQUEST);
    rl_buf_adds(&body, "{\"model\":");
    rl_buf_add_json(&body, self->settings.model, strlen(self->settings.model));
    rl_buf_adds(&body, ",\"encoding_format\":\"float\",\"input\":[");
    if (job->control)
        rl_buf_add_json(&body, control_text, strlen(control_text));
    for (size_t i = 0; i < job->size && !job->control; i++) {
        if (i > 0)
            rl_buf_adds(&body, ",");
        rl_buf_add_json(&body, job->inputs[i].text, job->inputs[i].size);
    }
    rl_buf_adds(&body, "]}");
    rl_fetch_request_t request = {.url = self->url,
                                  .bearer = self->settings.key,
                                  .body = body.data,
                                  .body_size = body.size,
                                  .timeout_ms = self->settings.timeout_ms,
                                  .max_body = (1 << 20) + job->size * REPLY_OF_ONE,
                                  .on_done = on_done,
                                  .arg = job};
    if (!body.full)
        job->fetch = rl_fetch_start(self->fetcher, &request);
    rl_buf_free(&body);
    if (!job->fetch)
        return -1;
    set_job_state(job, JOB_SENT);
    return 0;
}

// A new job of the next texts; NULL if there are none, or on failure (self->why).
static job_t *fill_job(bulk_embed_t *self)
{
    job_t **end = &self->jobs;
    while (*end)
        end = &(*end)->next;
    job_t *job = add_job(self, end, self->settings.batch);
    rl_buf_t text = rl_buf_make(BULK_MAX_TEXT);
    size_t bytes = 0;
    while (job->size < self->settings.batch && bytes < MAX_BATCH_BYTES && !self->exhausted &&
           !self->why) {
        embed_input_t *input = &job->inputs[job->size];
        rl_buf_clear(&text);
        int rc = self->calls.next(self->calls.arg, &input->key, &text);
        if (rc < 0) {
            fail_embedding(self, "stopped");
        } else if (rc == 0) {
            self->exhausted = true;
        } else {
            input->size = text.size;
            bytes += text.size;
            input->text = rl_must(rl_buf_take(&text));
            job->size++;
        }
    }
    rl_buf_free(&text);
    if (job->size > 0 && !self->why)
        return job;
    drop_job(self, job);
    return NULL;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    bulk_embed_t *self = arg;
    (void)fd, (void)what;
    while (!self->why && self->active < self->settings.requests) {
        job_t *job = self->jobs;
        while (job && job->state != JOB_READY)
            job = job->next;
        if (!job && !self->exhausted)
            job = fill_job(self);
        if (!job)
            break;
        if (send_job(job) != 0)
            fail_embedding(self,
                           "no request can be made of embed.url \"%s\": it should be like "
                           "http://127.0.0.1:8082/v1",
                           self->shown);
    }
    if (!self->why && (self->jobs || !self->exhausted))
        return;
    // the call may destroy this, so nothing of it is touched afterwards
    while (self->jobs)
        drop_job(self, self->jobs);
    event_del(self->turn);
    self->calls.done(self->calls.arg, self->why);
}

// A copy of the URL as it may be shown: without a user's name and password.
static char *strip_user(const char *url)
{
    char *copy = rl_strdup(url), *host = strstr(copy, "://");
    if (!host)
        return copy;
    host += 3;
    char *end = host + strcspn(host, "/?#"), *at = memrchr(host, '@', (size_t)(end - host));
    if (at)
        memmove(host, at + 1, strlen(at + 1) + 1);
    return copy;
}

void bulk_embed_configure(bulk_settings_t *settings, const rl_conf_t *conf)
{
    *settings = (bulk_settings_t){
        .url = rl_conf_str(conf, "embed.url"),
        .model = rl_conf_str(conf, "embed.model"),
        .key = rl_conf_secret(conf, "embed.key"),
        .batch = (size_t)rl_conf_int(conf, "embed.batch"),
        .requests = (size_t)rl_conf_int(conf, "index.requests"),
        .retries = (unsigned)rl_conf_int(conf, "index.retries"),
        .timeout_ms = rl_conf_int(conf, "index.timeout_ms"),
    };
}

bulk_embed_t *bulk_embed_new(struct event_base *base, const bulk_settings_t *settings,
                             const bulk_calls_t *calls)
{
    bulk_embed_t *self = rl_new(*self);
    self->base = base;
    self->settings = *settings;
    self->calls = *calls;
    size_t size = strlen(settings->url);
    while (size > 0 && settings->url[size - 1] == '/')
        size--;
    self->turn = rl_must(event_new(base, -1, 0, on_turn, self));
    self->fetcher = rl_must(rl_fetcher_new(base, (long)settings->requests));
    self->url = rl_format("%.*s/embeddings", (int)size, settings->url);
    self->shown = strip_user(self->url);
    schedule_turn(self);
    return self;
}

void bulk_embed_destroy(bulk_embed_t **self_p)
{
    bulk_embed_t *self = *self_p;
    if (!self)
        return;
    while (self->jobs)
        drop_job(self, self->jobs);
    rl_fetcher_destroy(&self->fetcher);
    event_free(self->turn);
    free(self->url);
    free(self->shown);
    free(self->why);
    free(self);
    *self_p = NULL;
}

uint64_t bulk_embed_cut(const bulk_embed_t *self)
{
    return self->cut;
}
