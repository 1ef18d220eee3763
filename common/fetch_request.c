// fetch_request: makes a transfer of a request: URL, headers, body, libcurl's options.
#include "fetch_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "mem.h"

enum {
    // libcurl's receive buffer, which it keeps for each transfer
    STREAM_BUFFER = 1024, // its smallest: a stream comes in small pieces, and many are open
    BODY_BUFFER = 16384,  // its default
    // What the kernel takes in for a stream: left to itself it may take a megabyte, all of an
    // answer that is paused, and its server would not see that it is.
    STREAM_RECEIVE = 65536,
    DEFAULT_MAX_BODY = 1 << 20,
    DEFAULT_CONNECT_MS = 3000,
};

// Keeps host:port for messages, and says whether it is this machine. Returns -1 for what is no
// http(s) URL. A user name or key in the URL never gets here.
static int read_url(rl_fetch_t *fetch, const char *url, bool *local)
{
    char *scheme = NULL, *host = NULL, *port = NULL;
    CURLU *parts = rl_must(curl_url());
    int result = -1;
    if (curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        snprintf(fetch->peer, sizeof fetch->peer, "%.140s:%.8s", host, port);
        *local = strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
                 strcmp(host, "[::1]") == 0;
        result = 0;
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return result;
}

static int add_header(rl_fetch_t *fetch, const char *name, const char *value)
{
    rl_buf_t line = rl_buf_make(8192);
    int result = -1;
    // a line end in a value would be a header of its own
    if (!strpbrk(value, "\r\n") && rl_buf_adds(&line, name) == 0 &&
        rl_buf_adds(&line, value) == 0) {
        fetch->headers = rl_must(curl_slist_append(fetch->headers, line.data));
        result = 0;
    }
    rl_buf_free(&line);
    return result;
}

static int set_headers(rl_fetch_t *fetch, const rl_fetch_request_t *request)
{
    int bad = add_header(fetch, "Accept: ", request->accept ? request->accept : "application/json");
    if (request->body)
        bad |= add_header(fetch, "Content-Type: ", "application/json") |
               add_header(fetch, "Expect:", ""); // never wait for "100 Continue"
    if (request->bearer && *request->bearer)
        bad |= add_header(fetch, "Authorization: Bearer ", request->bearer);
    if (request->traceparent && *request->traceparent)
        bad |= add_header(fetch, "traceparent: ", request->traceparent);
    if (request->tracestate && *request->tracestate)
        bad |= add_header(fetch, "tracestate: ", request->tracestate);
    for (size_t at = 0; request->headers && request->headers[at]; at++)
        bad |= add_header(fetch, "", request->headers[at]);
    return bad;
}

static void set_payload(rl_fetch_t *fetch, const rl_fetch_request_t *request)
{
    if (!request->body)
        return;
    fetch->payload = rl_must(malloc(request->body_size + 1));
    memcpy(fetch->payload, request->body, request->body_size);
    fetch->payload[request->body_size] = '\0';
    fetch->payload_size = request->body_size;
    curl_easy_setopt(fetch->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(fetch->easy, CURLOPT_POSTFIELDS, fetch->payload);
    curl_easy_setopt(fetch->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)fetch->payload_size);
}

static int limit_receive(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    int size = STREAM_RECEIVE;
    (void)arg;
    if (purpose == CURLSOCKTYPE_IPCXN)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    return CURL_SOCKOPT_OK;
}

static void set_options(rl_fetch_t *fetch, const rl_fetch_request_t *request, bool local)
{
    CURL *easy = fetch->easy;
    long connect_ms =
        request->connect_timeout_ms > 0 ? request->connect_timeout_ms : DEFAULT_CONNECT_MS;
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
    // the URL may carry a secret and a redirect would take the key elsewhere: neither is followed
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    // one connection per stream: pausing one must not hold up another
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE,
                     (long)(request->on_data ? STREAM_BUFFER : BODY_BUFFER));
    if (request->on_data)
        curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, limit_receive);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "ragline/" RAGLINE_VERSION);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->error);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, fetch->headers);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, rl_fetch_on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, rl_fetch_on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    if (request->method)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    if (local) // a proxy of the environment cannot reach this machine's loopback
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
    fetch->connect_limit = (uint64_t)connect_ms * 1000;
}

static uint64_t limit_us(long ms)
{
    return ms > 0 ? (uint64_t)ms * 1000 : 0;
}

rl_fetch_t *rl_fetch_make(rl_fetcher_t *self, const rl_fetch_request_t *request)
{
    rl_fetch_t *fetch = rl_new(*fetch);
    bool local = false;
    fetch->fetcher = self;
    fetch->body = rl_buf_make(request->max_body ? request->max_body : DEFAULT_MAX_BODY);
    fetch->easy = rl_must(curl_easy_init());
    if (read_url(fetch, request->url, &local) || set_headers(fetch, request)) {
        rl_fetch_free(fetch);
        return NULL;
    }
    set_payload(fetch, request);
    set_options(fetch, request, local);
    fetch->first_limit = limit_us(request->first_byte_timeout_ms);
    fetch->idle_limit = limit_us(request->idle_timeout_ms);
    fetch->total_limit = limit_us(request->timeout_ms);
    fetch->retry_after_s = -1;
    fetch->on_data = request->on_data;
    fetch->on_done = request->on_done;
    fetch->arg = request->arg;
    return fetch;
}

void rl_fetch_free(rl_fetch_t *fetch)
{
    curl_easy_cleanup(fetch->easy);
    curl_slist_free_all(fetch->headers);
    free(fetch->payload);
    rl_buf_free(&fetch->body);
    free(fetch);
}
