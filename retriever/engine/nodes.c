// nodes: the servers of a distributed engine, and requests that find one that answers.
#include "nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "fail.h"
#include "log.h"
#include "mem.h"
#include "timer.h"

enum {
    PROBE_MS = 500,
    PROBE_LIMIT_MS = 2000, // a node that takes longer to say that it is ready is not
    STRIKES = 3,           // failures in a row of a node that can be reached
    TRIES = 2,             // requests of a call under way at a time
    IDLE = 64,             // connections that are kept
};

typedef struct node {
    nodes_t *nodes;
    char *url;
    bool up;
    unsigned strikes;
    size_t under_way;
    rl_fetch_t *probe;
} node_t;

struct nodes {
    struct event_base *base;
    rl_fetcher_t *fetcher;
    char *key;
    char ready_path[ENGINE_PATH];
    long connect_ms;
    rl_timer_t *prober;
    node_t nodes[NODES_MAX];
    size_t size, turn;
};

typedef struct
try {
    nodes_call_t *call;
    node_t *node;
    rl_fetch_t *fetch; // NULL: free
}
try_t;

struct nodes_call {
    nodes_t *nodes;
    nodes_calls_t calls;
    engine_request_t request;
    try_t tries[TRIES];
    bool tried[NODES_MAX];
    uint64_t deadline_us;
    rl_timer_t *timer; // the hedge, or the end of a call that found no node
    nodes_reply_t reply;
};

static void next_try(nodes_call_t *self);

// ---- nodes --------------------------------------------------------------------------------------

static void set_up(node_t *node, bool up, const char *why)
{
    node->strikes = 0;
    if (node->up == up)
        return;
    node->up = up;
    if (up)
        rl_info("%s takes requests again", node->url);
    else
        rl_warn("%s is left alone until it is ready: %s", node->url, why);
}

static void count_failure(node_t *node, bool gone, const char *why)
{
    if (gone || ++node->strikes >= STRIKES)
        set_up(node, false, why);
}

static void on_probed(void *arg, const rl_fetch_result_t *result)
{
    node_t *node = arg;
    node->probe = NULL;
    if (result->ok && result->status == 200)
        set_up(node, true, "");
}

static void probe_node(nodes_t *self, node_t *node)
{
    char url[ENGINE_PATH + 512];
    snprintf(url, sizeof url, "%s%s", node->url, self->ready_path);
    rl_fetch_request_t request = {.url = url,
                                  .bearer = self->key,
                                  .connect_timeout_ms = self->connect_ms,
                                  .timeout_ms = PROBE_LIMIT_MS,
                                  .on_done = on_probed,
                                  .arg = node};
    node->probe = rl_fetch_start(self->fetcher, &request);
}

static void on_probe_time(void *arg)
{
    nodes_t *self = arg;
    for (size_t at = 0; at < self->size; at++)
        if (!self->nodes[at].up && !self->nodes[at].probe)
            probe_node(self, &self->nodes[at]);
}

// The one to ask: up, not asked yet for this call, the least under way, and in turn.
static node_t *choose_node(nodes_call_t *call)
{
    nodes_t *self = call->nodes;
    node_t *best = NULL;
    self->turn++;
    for (size_t each = 0; each < self->size; each++) {
        size_t at = (self->turn + each) % self->size;
        node_t *node = &self->nodes[at];
        if (node->up && !call->tried[at] && (!best || node->under_way < best->under_way))
            best = node;
    }
    return best;
}

static int add_node(nodes_t *self, const char *url, char *why, size_t why_size)
{
    size_t size = strlen(url);
    while (size > 0 && url[size - 1] == '/')
        size--;
    if ((strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0) || size > 400)
        return rl_fail(why, why_size, "\"%.100s\" must be like http://10.0.0.1:8080", url);
    node_t *node = &self->nodes[self->size];
    *node = (node_t){.nodes = self, .url = rl_strndup(url, size), .up = true};
    self->size++;
    return 0;
}

nodes_t *nodes_new(struct event_base *base, const nodes_settings_t *settings, char *why,
                   size_t why_size)
{
    nodes_t *self = rl_new(*self);
    int rc = 0;
    if (settings->size < 1 || settings->size > NODES_MAX)
        rc = rl_fail(why, why_size, "1 to %d URLs of nodes are needed", NODES_MAX);
    for (size_t at = 0; rc == 0 && at < settings->size; at++)
        rc = add_node(self, settings->urls[at], why, why_size);
    self->base = base;
    self->connect_ms = settings->connect_ms;
    snprintf(self->ready_path, sizeof self->ready_path, "%s", settings->ready_path);
    self->key = rl_strdup(settings->key);
    self->fetcher = rl_fetcher_new(base, IDLE);
    self->prober = rl_timer_new(base, on_probe_time, self);
    rl_timer_every(self->prober, PROBE_MS * 1000);
    if (rc != 0)
        nodes_destroy(&self);
    return self;
}

void nodes_destroy(nodes_t **self_p)
{
    nodes_t *self = *self_p;
    if (!self)
        return;
    rl_fetcher_destroy(&self->fetcher);
    rl_timer_destroy(&self->prober);
    for (size_t at = 0; at < self->size; at++)
        free(self->nodes[at].url);
    free(self->key);
    free(self);
    *self_p = NULL;
}

size_t nodes_up(const nodes_t *self)
{
    size_t up = 0;
    for (size_t at = 0; at < self->size; at++)
        up += self->nodes[at].up;
    return up;
}

size_t nodes_size(const nodes_t *self)
{
    return self->size;
}

// ---- calls --------------------------------------------------------------------------------------

static void free_call(nodes_call_t *self)
{
    for (size_t at = 0; at < TRIES; at++)
        if (self->tries[at].fetch) {
            rl_fetch_cancel(&self->tries[at].fetch);
            self->tries[at].node->under_way--;
        }
    rl_timer_destroy(&self->timer);
    engine_request_free(&self->request);
    free(self);
}

static void end_call(nodes_call_t *self)
{
    self->calls.done(self->calls.arg, &self->reply);
    free_call(self);
}

static bool is_busy(const nodes_call_t *self)
{
    for (size_t at = 0; at < TRIES; at++)
        if (self->tries[at].fetch)
            return true;
    return false;
}

static void on_fetched(void *arg, const rl_fetch_result_t *result)
{
    try_t *try = arg;
    nodes_call_t *self = try->call;
    node_t *node = try->node;
    nodes_reply_t *reply = &self->reply;
    char why[300] = "";
    bool late = rl_now_us() >= self->deadline_us;
    try->fetch = NULL;
    node->under_way--;
    reply->timed_out = false;
    if (result->ok) {
        reply->verdict = self->calls.take(self->calls.arg, result->status, result->body,
                                          result->body_size, why, sizeof why);
        // an answer that says what is wrong may be the question's fault: it is no failure of the
        // node
        if (reply->verdict != ENGINE_ELSEWHERE)
            node->strikes = 0;
        else if (result->status == 429 || result->status >= 500)
            count_failure(node, false, why);
    } else {
        reply->verdict = ENGINE_ELSEWHERE;
        reply->timed_out = result->timed_out && late;
        snprintf(why, sizeof why, "%s", result->error);
        // a node that did not answer within the deadline is not gone, perhaps not even slow
        bool gone = !reply->timed_out && (!result->timed_out || result->refused);
        count_failure(node, gone, why);
    }
    snprintf(reply->why, sizeof reply->why, "%s%s%s", *why ? node->url : "", *why ? ": " : "", why);
    if (reply->verdict != ENGINE_ELSEWHERE || late)
        end_call(self);
    else
        next_try(self);
}

// Starts a request; false if there is no node to ask.
static bool begin_try(nodes_call_t *self)
{
    uint64_t now = rl_now_us();
    node_t *node = now < self->deadline_us ? choose_node(self) : NULL;
    try_t *free_one = NULL;
    char url[ENGINE_PATH + 512];
    for (size_t at = 0; at < TRIES; at++)
        if (!self->tries[at].fetch)
            free_one = &self->tries[at];
    if (!node || !free_one)
        return false;
    const char *const headers[] = {self->request.header, NULL};
    snprintf(url, sizeof url, "%s%s", node->url, self->request.path);
    rl_fetch_request_t request = {
        .url = url,
        .method = self->request.method,
        .bearer = self->nodes->key,
        .headers = headers,
        .body = self->request.body.size > 0 ? self->request.body.data : NULL,
        .body_size = self->request.body.size,
        .connect_timeout_ms = self->nodes->connect_ms,
        .timeout_ms = (long)((self->deadline_us - now) / 1000 + 1),
        .max_body = ENGINE_REPLY,
        .on_done = on_fetched,
        .arg = free_one,
    };
    *free_one = (try_t){.call = self, .node = node};
    free_one->fetch = rl_fetch_start(self->nodes->fetcher, &request);
    if (!free_one->fetch)
        return false;
    node->under_way++;
    self->tried[node - self->nodes->nodes] = true;
    return true;
}

static void next_try(nodes_call_t *self)
{
    if (begin_try(self) || is_busy(self))
        return;
    if (!*self->reply.why)
        snprintf(self->reply.why, sizeof self->reply.why, "none of the %zu nodes answers",
                 self->nodes->size);
    end_call(self);
}

// Either no node could be asked, or the one that was takes long.
static void on_timer(void *arg)
{
    nodes_call_t *self = arg;
    if (!is_busy(self))
        next_try(self);
    else
        begin_try(self);
}

nodes_call_t *nodes_send(nodes_t *self, const engine_request_t *request, uint64_t deadline_us,
                         uint64_t hedge_us, const nodes_calls_t *calls)
{
    nodes_call_t *call = rl_new(*call);
    call->nodes = self;
    call->calls = *calls;
    call->deadline_us = deadline_us;
    call->reply.verdict = ENGINE_ELSEWHERE;
    call->timer = rl_timer_new(self->base, on_timer, call);
    call->request = *request;
    call->request.body = rl_buf_make(ENGINE_BODY); // as large as the request's bound
    if (request->body.size > 0)
        rl_buf_add(&call->request.body, request->body.data, request->body.size);
    bool asked = begin_try(call);
    if (!asked || hedge_us > 0)
        rl_timer_after(call->timer,
                       asked ? hedge_us : 0); // a call without a node ends from the loop
    return call;
}

void nodes_cancel(nodes_call_t **call_p)
{
    if (*call_p)
        free_call(*call_p);
    *call_p = NULL;
}
