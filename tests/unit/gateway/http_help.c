// http_help: an HTTP server in a thread of its own, and clients that send it bytes, for tests.
#include "http_help.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

char response[1 << 20];
char *response_body;
static size_t response_size;

static pthread_t thread;
static const http_route_t *thread_routes;
static const char *const *thread_options;
static atomic_int listening;

static void *run(void *arg)
{
    test_server_t *served = arg;
    char *argv[64] = {(char *)"test", (char *)"--gateway-listen", (char *)"127.0.0.1:0",
                      (char *)"--log-level", (char *)"error"};
    int argc = 5, exit_status = 0;
    char why[512];
    for (const char *const *option = thread_options; option && *option; option++)
        argv[argc++] = (char *)*option;
    served->proc = rl_proc_new(RL_GATEWAY, "test", "test", argc, argv, &exit_status);
    if (served->proc)
        served->server = http_server_new(served->proc, thread_routes, served, why, sizeof why);
    if (!served->server) {
        fprintf(stderr, "the server does not start: %s\n", served->proc ? why : "options");
        abort();
    }
    snprintf(served->url, sizeof served->url, "%s", http_server_url(served->server));
    served->port = atoi(strrchr(served->url, ':') + 1);
    atomic_store(&listening, 1);
    rl_proc_run(served->proc);
    http_server_destroy(&served->server);
    rl_proc_destroy(&served->proc);
    return NULL;
}

void test_server_start(test_server_t *served, const http_route_t *routes,
                       const char *const *options)
{
    *served = (test_server_t){0};
    thread_routes = routes;
    thread_options = options;
    atomic_store(&listening, 0);
    assert_int_equal(pthread_create(&thread, NULL, run, served), 0);
    wait_for(&listening, 1);
}

void http_help_stop(void *arg, http_req_t *req)
{
    test_server_t *served = arg;
    http_reply(&req, 204, NULL, NULL, 0);
    rl_proc_end(served->proc, 0);
}

void test_server_stop(test_server_t *served)
{
    int fd = client(served);
    client_sends(fd, "POST /stop HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    pthread_join(thread, NULL);
    close(fd);
}

void test_server_terminate(test_server_t *served)
{
    (void)served;
    kill(getpid(), SIGTERM); // the loop's own handler ends it
    pthread_join(thread, NULL);
}

void wait_for(atomic_int *count, int least)
{
    for (int tries = 0; tries < 10000 && atomic_load(count) < least; tries++)
        usleep(1000);
    assert_true(atomic_load(count) >= least);
}

int client(const test_server_t *served)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)served->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    struct timeval limit = {10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return fd;
}

void client_send(int fd, const void *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t sent = send(fd, (const char *)data + at, size - at, MSG_NOSIGNAL);
        if (sent <= 0)
            return; // the server has had enough: its answer tells why
        at += (size_t)sent;
    }
}

void client_sends(int fd, const char *text)
{
    client_send(fd, text, strlen(text));
}

void client_reset(int fd)
{
    struct linger linger = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

// One byte more; false at the end.
static bool more(int fd)
{
    assert_true(response_size < sizeof response - 1);
    ssize_t got = recv(fd, response + response_size, 1, 0);
    if (got < 0)
        assert_true(errno == ECONNRESET); // and not silence
    if (got <= 0)
        return false;
    response_size++;
    response[response_size] = '\0';
    return true;
}

bool client_read_until(int fd, const char *text)
{
    size_t size = strlen(text);
    response_size = 0;
    response[0] = '\0';
    do
        if (!more(fd))
            return false;
    while (response_size < size || memcmp(response + response_size - size, text, size) != 0);
    return true;
}

const char *response_header(const char *name)
{
    static char value[4096];
    size_t size = strlen(name);
    const char *end = strstr(response, "\r\n\r\n");
    for (const char *line = strstr(response, "\r\n"); line && line < end;
         line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, size) != 0 || line[2 + size] != ':')
            continue;
        snprintf(value, sizeof value, "%.*s", (int)strcspn(line + size + 4, "\r"), line + size + 4);
        return value;
    }
    return NULL;
}

static void read_exactly(int fd, size_t size)
{
    for (size_t at = 0; at < size; at++)
        assert_true(more(fd));
}

// Decodes chunks in place behind the head.
static void read_chunks(int fd)
{
    size_t out = (size_t)(response_body - response);
    for (;;) {
        size_t line = response_size;
        do
            assert_true(more(fd));
        while (response[response_size - 1] != '\n');
        size_t size = strtoul(response + line, NULL, 16);
        if (size >= sizeof response)
            fail_msg("a chunk of %zu bytes", size);
        size_t data = response_size;
        read_exactly(fd, size + 2);
        memmove(response + out, response + data, size < sizeof response ? size : 0);
        out += size;
        response_size = out;
        if (size == 0)
            break;
    }
    response[response_size] = '\0';
}

int client_response(int fd)
{
    if (!client_read_until(fd, "\r\n\r\n"))
        return 0;
    response_body = response + response_size;
    assert_memory_equal(response, "HTTP/1.1 ", 9);
    int status = atoi(response + 9);
    const char *length = response_header("Content-Length");
    const char *coding = response_header("Transfer-Encoding");
    if (status < 200 || status == 204 || status == 304)
        return status;
    if (length)
        read_exactly(fd, strtoul(length, NULL, 10));
    else if (coding)
        read_chunks(fd);
    else
        while (more(fd))
            ;
    return status;
}

bool client_ended(int fd)
{
    response_size = 0;
    return !more(fd);
}
