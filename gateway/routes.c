// routes: what the gateway answers over HTTP.
#include "gateway.h"

#include "page.h"
#include "request.h"

static void post_ask(void *arg, http_req_t *req)
{
    request_start(((gateway_t *)arg)->pipeline, req, FORM_ASK);
}

static void post_search(void *arg, http_req_t *req)
{
    request_start(((gateway_t *)arg)->pipeline, req, FORM_SEARCH);
}

static void post_draft(void *arg, http_req_t *req)
{
    request_start(((gateway_t *)arg)->pipeline, req, FORM_DRAFT);
}

static void post_chat(void *arg, http_req_t *req)
{
    request_start(((gateway_t *)arg)->pipeline, req, FORM_CHAT);
}

static void get_page(void *arg, http_req_t *req)
{
    (void)arg;
    page_send(&req, PAGE_ASK);
}

static void get_live_page(void *arg, http_req_t *req)
{
    (void)arg;
    page_send(&req, PAGE_LIVE);
}

static void get_traces(void *arg, http_req_t *req)
{
    const gateway_t *self = arg;
    traces_get_list(self->pipeline->traces, rl_proc_id(self->proc), req);
}

static void get_trace(void *arg, http_req_t *req)
{
    const gateway_t *self = arg;
    traces_get_one(self->pipeline->traces, rl_proc_id(self->proc), req);
}

const http_route_t gateway_routes[] = {
    {"GET", "/", true, get_page},
    {"GET", "/live", true, get_live_page},
    {"POST", "/v1/ask", false, post_ask},
    {"POST", "/v1/search", false, post_search},
    {"POST", "/v1/draft", false, post_draft},
    {"POST", "/v1/chat/completions", false, post_chat},
    {"GET", "/v1/answers/*", false, gateway_get_answer},
    {"DELETE", "/v1/answers/*", false, gateway_delete_answer},
    {"GET", "/v1/models", false, gateway_get_models},
    {"GET", "/v1/models/*", false, gateway_get_model},
    {"GET", "/v1/info", false, gateway_get_info},
    {"GET", "/v1/workers", false, gateway_get_workers},
    {"GET", "/v1/debug", false, gateway_get_debug},
    {"GET", "/v1/live", false, gateway_get_live},
    {"GET", "/v1/traces", false, get_traces},
    {"GET", "/v1/traces/*", false, get_trace},
    {"GET", "/healthz", true, gateway_get_health},
    {"GET", "/readyz", true, gateway_get_ready},
    {"GET", "/metrics", true, gateway_get_metrics},
    {NULL, NULL, false, NULL},
};
