// talk: the requests of this program to one gateway.
#include "talk.h"

#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"
#include "sanitize.h"
#include "show.h"
#include "sse.h"
#include "style.h"
#include "table.h"
#include "trouble.h"

enum {
    MAX_EVENT = 8 << 20, // a hundred passages are the largest
    MAX_BODY = 16 << 20,
    MAX_TROUBLE = 4096,
    MAX_TURNS = 8,   // earlier questions that go along
    IDLE_MS = 60000, // the gateway gives a sign of life every 15 s
};

struct talk {
    struct event_base *base;
    const rl_conf_t *conf;
    talk_form_t form;
    bool json, quiet;
    style_t out, err;
    char *url;
    rl_fetcher_t *fetcher;
    rl_fetch_t *fetch;
    rl_sse_t *sse;
    show_t *show;
    json_t *messages; // the conversation so far
    char *question;
    char *broken; // what was wrong with the stream, in words
    void (*on_end)(void *, int);
    void *arg;
    int late_status;
};

static const char *const paths[] = {[TALK_STREAM] = "ask",
                                    [TALK_WHOLE] = "ask",
                                    [TALK_SEARCH] = "search",
                                    [TALK_WORKERS] = "workers",
                                    [TALK_DRAFT] = "draft"};

// ask.url with this path; ".../v1" is taken as well, since other clients want it so.
static char *make_url(const char *base, const char *path)
{
    rl_buf_t url = rl_buf_make(4096);
    size_t size = strlen(base);
    while (size > 0 && base[size - 1] == '/')
        size--;
    if (size >= 3 && memcmp(base + size - 3, "/v1", 3) == 0)
        size -= 3;
    rl_buf_add(&url, base, size);
    rl_buf_addf(&url, "/v1/%s", path);
    return rl_buf_take(&url);
}

talk_t *talk_new(struct event_base *base, const rl_conf_t *conf, talk_form_t form, bool json,
                 bool quiet)
{
    talk_t *self = rl_new(*self);
    self->base = base;
    self->conf = conf;
    self->form = json && form == TALK_STREAM ? TALK_WHOLE : form;
    self->json = json;
    self->quiet = quiet || json;
    self->out = style_of(stdout);
    self->err = style_of(stderr);
    self->url = make_url(rl_conf_str(conf, "ask.url"), paths[self->form]);
    self->fetcher = rl_fetcher_new(base, 2);
    self->messages = json_array();
    if (!self->url || !self->fetcher || !self->messages)
        talk_destroy(&self);
    return self;
}

static void clear_request(talk_t *self)
{
    rl_sse_destroy(&self->sse);
    show_destroy(&self->show);
    free(self->question);
    free(self->broken);
    self->question = self->broken = NULL;
}

void talk_destroy(talk_t **self_p)
{
    talk_t *self = *self_p;
    if (!self)
        return;
    talk_stop(self);
    clear_request(self);
    rl_fetcher_destroy(&self->fetcher);
    json_decref(self->messages);
    free(self->url);
    free(self);
    *self_p = NULL;
}

bool talk_busy(const talk_t *self)
{
    return self->fetch != NULL;
}

// ---------------------------------------------------------------------------------- the answer

static void remember_turn(talk_t *self, const char *role, const char *text)
{
    json_array_append_new(self->messages, json_pack("{s:s, s:s}", "role", role, "content", text));
    if (json_array_size(self->messages) > 2 * MAX_TURNS)
        json_array_remove(self->messages, 0);
}

static bool on_event(void *arg, const char *name, const char *data, size_t size)
{
    talk_t *self = arg;
    json_t *json = json_loadb(data, size, 0, NULL);
    if (!json) {
        self->broken =
            rl_strdup("the gateway sent an event that is not JSON: is it of another version?");
        return false;
    }
    show_event(self->show, name, json);
    json_decref(json);
    return true;
}

// Standard output takes no more: a closed pipe (head, less) is no news, a full disk is.
static void say_unwritten(talk_t *self)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    if (poll(&out, 1, 0) <= 0 || !(out.revents & POLLERR))
        show_problem(self->show, "cannot write to standard output");
}

// Ends from the loop, as every other end does.
static void end_now(evutil_socket_t fd, short what, void *arg)
{
    talk_t *self = arg;
    (void)fd;
    (void)what;
    clear_request(self);
    self->on_end(self->arg, self->late_status);
}

static void end_later(talk_t *self, int status)
{
    struct timeval now = {0, 0};
    self->late_status = status;
    event_base_once(self->base, -1, EV_TIMEOUT, end_now, self, &now);
}

static bool on_data(void *arg, const char *data, size_t size)
{
    talk_t *self = arg;
    if (!self->broken && rl_sse_feed(self->sse, data, size) != 0)
        self->broken = rl_strdup("the gateway sent an event that is too large");
    if (ferror(stdout)) { // nobody reads on: the work behind the answer ends with the connection
        rl_fetch_cancel(&self->fetch);
        say_unwritten(self);
        end_later(self, TALK_NO_ANSWER);
    }
    return true;
}

static void tell_problem(talk_t *self, const rl_fetch_result_t *result)
{
    rl_buf_t text = rl_buf_make(MAX_TROUBLE);
    if (self->broken)
        rl_buf_adds(&text, self->broken);
    else if (result->ok && result->status == 200 &&
             strncmp(result->type, "text/event-stream", 17) != 0)
        rl_buf_addf(&text, "%s is no ragline gateway", self->url);
    else
        trouble_of_fetch(&text, result, rl_conf_str(self->conf, "ask.url"));
    show_problem(self->show, text.data ? text.data : "");
    rl_buf_free(&text);
}

static int end_of_stream(talk_t *self, const rl_fetch_result_t *result)
{
    if (!self->broken)
        rl_sse_end(self->sse);
    show_end(self->show);
    show_outcome_t outcome = show_outcome(self->show);
    if (outcome.failed)
        return TALK_NO_ANSWER;
    if (!outcome.done || self->broken) {
        tell_problem(self, result);
        return result->status == 200 ? TALK_NO_ANSWER : TALK_UNREACHED;
    }
    remember_turn(self, "user", self->question);
    remember_turn(self, "assistant", outcome.text);
    return outcome.incomplete ? TALK_INCOMPLETE : *outcome.text ? TALK_ANSWERED : TALK_NO_ANSWER;
}

static bool covers_all(const json_t *coverage)
{
    return json_array_size(json_object_get(coverage, "missing")) == 0 &&
           json_integer_value(json_object_get(coverage, "answered")) >=
               json_integer_value(json_object_get(coverage, "of"));
}

static void write_json(const rl_fetch_result_t *result)
{
    rl_buf_t body = rl_buf_make(8 * (size_t)MAX_BODY);
    rl_sanitize_json(&body, result->body, result->body_size);
    fwrite(body.data ? body.data : "", 1, body.size, stdout);
    if (body.size == 0 || body.data[body.size - 1] != '\n')
        putchar('\n');
    fflush(stdout);
    rl_buf_free(&body);
}

static int end_of_body(talk_t *self, const rl_fetch_result_t *result)
{
    json_t *body = result->ok && result->status == 200
                       ? json_loadb(result->body, result->body_size, 0, NULL)
                       : NULL;
    if (!json_is_object(body)) {
        json_decref(body);
        if (result->ok && result->status == 200)
            self->broken = rl_strdup("the gateway's answer is not JSON: is it of another version?");
        tell_problem(self, result);
        return TALK_UNREACHED;
    }
    if (self->json)
        write_json(result);
    else if (self->form == TALK_SEARCH)
        show_passages(self->show, body);
    else
        table_workers(stdout, &self->out, json_object_get(body, "workers"));
    bool any = self->form == TALK_WHOLE    ? json_string_length(json_object_get(body, "answer")) > 0
               : self->form == TALK_SEARCH ? json_array_size(json_object_get(body, "passages")) > 0
                                           : true;
    bool all = self->form == TALK_WORKERS || covers_all(json_object_get(body, "coverage"));
    json_decref(body);
    return !any ? TALK_NO_ANSWER : all ? TALK_ANSWERED : TALK_INCOMPLETE;
}

static void on_done(void *arg, const rl_fetch_result_t *result)
{
    talk_t *self = arg;
    self->fetch = NULL;
    int status =
        self->form == TALK_STREAM ? end_of_stream(self, result) : end_of_body(self, result);
    if (ferror(stdout)) {
        say_unwritten(self);
        status = TALK_NO_ANSWER;
    }
    clear_request(self);
    self->on_end(self->arg, status);
}

// --------------------------------------------------------------------------------- the request

char *talk_body(const talk_t *self, talk_form_t form, const char *question, const char *draft)
{
    json_t *body = json_pack("{s:s}", "question", question);
    size_t collections = rl_conf_list_size(self->conf, "ask.collections");
    if (form == TALK_STREAM || form == TALK_WHOLE)
        json_object_set_new(body, "stream", json_boolean(form == TALK_STREAM));
    if (form != TALK_SEARCH && json_array_size(self->messages) > 0)
        json_object_set(body, "messages", self->messages);
    if (form != TALK_SEARCH && draft)
        json_object_set_new(body, "draft", json_string(draft));
    if (collections > 0) {
        json_t *names = json_array();
        for (size_t at = 0; at < collections; at++)
            json_array_append_new(names,
                                  json_string(rl_conf_list_at(self->conf, "ask.collections", at)));
        json_object_set_new(body, "collections", names);
    }
    if (self->form == TALK_STREAM && rl_conf_bool(self->conf, "ask.quick_answer"))
        json_object_set_new(body, "quick_answer", json_true());
    if (*rl_conf_str(self->conf, "ask.filter"))
        json_object_set_new(body, "filter",
                            json_loads(rl_conf_str(self->conf, "ask.filter"), 0, NULL));
    if (rl_conf_int(self->conf, "ask.k") > 0)
        json_object_set_new(body, "k", json_integer(rl_conf_int(self->conf, "ask.k")));
    if (rl_conf_int(self->conf, "ask.timeout_ms") > 0)
        json_object_set_new(body, "timeout_ms",
                            json_integer(rl_conf_int(self->conf, "ask.timeout_ms")));
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

void talk_start(talk_t *self, const char *question, const char *draft,
                void (*on_end)(void *arg, int status), void *arg)
{
    long limit = rl_conf_int(self->conf, "ask.timeout_ms");
    self->on_end = on_end;
    self->arg = arg;
    self->show = show_new(&self->out, &self->err, self->quiet);
    self->sse = rl_sse_new(MAX_EVENT, on_event, self);
    self->question = question ? rl_strdup(question) : NULL;
    char *body = question ? talk_body(self, self->form, question, draft) : NULL;
    if (!self->show || !self->sse || (question && !body))
        rl_out_of_memory();
    bool stream = self->form == TALK_STREAM;
    rl_fetch_request_t request = {
        .url = self->url,
        .bearer = rl_conf_secret(self->conf, "ask.key"),
        .accept = stream ? "text/event-stream" : NULL,
        .body = body,
        .body_size = body ? strlen(body) : 0,
        .idle_timeout_ms = stream ? IDLE_MS : 0,
        .timeout_ms = limit > 0 ? limit + 1000 : 0, // the gateway's own limit applies first
        .max_body = MAX_BODY,
        .on_data = stream ? on_data : NULL,
        .on_done = on_done,
        .arg = self,
    };
    if (self->form != TALK_WORKERS && self->err.terminal)
        show_status(self->show, "Asking...");
    self->fetch = rl_fetch_start(self->fetcher, &request);
    free(body);
    if (!self->fetch) {
        show_problem(self->show, "ask.url is not an http:// or https:// address");
        end_later(self, TALK_WRONG_USE);
    }
}

void talk_stop(talk_t *self)
{
    if (!self->fetch)
        return;
    rl_fetch_cancel(&self->fetch);
    show_end(self->show);
    clear_request(self);
}

rl_fetch_t *talk_beside(talk_t *self, const char *path, const char *body, long timeout_ms,
                        void (*on_end)(void *arg, const rl_fetch_result_t *result), void *arg)
{
    char *url = make_url(rl_conf_str(self->conf, "ask.url"), path);
    rl_fetch_request_t request = {.url = url,
                                  .bearer = rl_conf_secret(self->conf, "ask.key"),
                                  .body = body,
                                  .body_size = body ? strlen(body) : 0,
                                  .timeout_ms = timeout_ms,
                                  .on_done = on_end,
                                  .arg = arg};
    rl_fetch_t *fetch = rl_fetch_start(self->fetcher, &request);
    free(url);
    return fetch;
}
