// Who may reach the HTTP server, and how: addresses, keys, other origins.
#include "http_help.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "http_listen.h"

static test_server_t served;
static char keys_file[] = "/tmp/ragline-access-keys-XXXXXX";

// ---- handlers -----------------------------------------------------------------------------------

static void get_name(void *arg, http_req_t *req)
{
    (void)arg;
    const char *name = keys_name(http_caller(req));
    http_reply(&req, 200, "text/plain", name, strlen(name));
}

static void post_reload(void *arg, http_req_t *req)
{
    http_server_reload(((test_server_t *)arg)->server);
    http_reply(&req, 200, "text/plain", "", 0);
}

static void get_stream(void *arg, http_req_t *req)
{
    (void)arg;
    http_stream_begin(req);
    http_stream_send(req, ":\n\n", 3);
    http_stream_end(&req);
}

static const http_route_t routes[] = {
    {"GET", "/name", false, get_name},       {"GET", "/open", true, get_name},
    {"GET", "/stream", false, get_stream},   {"POST", "/reload", true, post_reload},
    {"POST", "/stop", true, http_help_stop}, {NULL, NULL, false, NULL},
};

static int ask(const char *method, const char *path, const char *headers)
{
    char text[1024];
    int fd = client(&served);
    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n%s\r\n", method,
             path, headers);
    client_sends(fd, text);
    int status = client_response(fd);
    close(fd);
    return status;
}

static void write_keys(const char *text)
{
    FILE *out = fopen(keys_file, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

// ---- keys ---------------------------------------------------------------------------------------

// of "alpha" and "beta"
#define ANN "ann sha256:8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8\n"
#define BOB "bob sha256:f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753\n"

static void a_key_opens_the_door(void **state)
{
    (void)state;
    int fd = mkstemp(keys_file);
    assert_true(fd >= 0);
    close(fd);
    write_keys(ANN);
    const char *const options[] = {"--gateway-keys-file", keys_file, NULL};
    test_server_start(&served, routes, options);
    assert_int_equal(ask("GET", "/name", ""), 401);
    assert_non_null(strstr(response_body, "\"invalid_api_key\""));
    assert_non_null(strstr(response_body, "\"invalid_request_error\""));
    assert_int_equal(ask("GET", "/name", "Authorization: Bearer beta\r\n"), 401);
    assert_null(strstr(response_body, "beta")); // a wrong key is not repeated
    assert_int_equal(ask("GET", "/name", "Authorization: Basic alpha\r\n"), 401);
    assert_int_equal(ask("GET", "/name", "Authorization: Basic x\r\nX-Api-Key: alpha\r\n"), 401);
    assert_int_equal(ask("GET", "/name", "authorization: bearer   alpha\r\n"), 200);
    assert_string_equal(response_body, "ann");
    assert_int_equal(ask("GET", "/name", "x-api-key: alpha\r\n"), 200);
    assert_int_equal(ask("GET", "/open", ""), 200);
    assert_string_equal(response_body, "anonymous");
    assert_int_equal(ask("GET", "/nowhere", ""), 404);
    write_keys(BOB);
    assert_int_equal(ask("POST", "/reload", ""), 200);
    assert_int_equal(ask("GET", "/name", "X-Api-Key: alpha\r\n"), 401);
    assert_int_equal(ask("GET", "/name", "X-Api-Key: beta\r\n"), 200);
    write_keys("nonsense\n");
    assert_int_equal(ask("POST", "/reload", ""), 200);
    assert_int_equal(ask("GET", "/name", "X-Api-Key: beta\r\n"), 200);
    test_server_stop(&served);
    unlink(keys_file);
}

// ---- other origins ------------------------------------------------------------------------------

#define PREFLIGHT "Access-Control-Request-Method: GET\r\nOrigin: "

static void other_origins_only_where_configured(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    static const char *const some[] = {"--gateway-cors-origin",
                                       "https://a.example, https://b.example", NULL};
    static const char *const all[] = {"--gateway-cors-origin", "*", NULL};
    test_server_start(&served, routes, none);
    assert_int_equal(ask("GET", "/name", "Origin: https://a.example\r\n"), 200);
    assert_null(response_header("Access-Control-Allow-Origin"));
    assert_int_equal(ask("OPTIONS", "/name", PREFLIGHT "https://a.example\r\n"), 405);
    test_server_stop(&served);
    test_server_start(&served, routes, some);
    assert_int_equal(ask("OPTIONS", "/name", PREFLIGHT "https://b.example\r\n"), 204);
    assert_string_equal(response_header("Access-Control-Allow-Origin"), "https://b.example");
    assert_non_null(strstr(response_header("Access-Control-Allow-Methods"), "GET"));
    assert_non_null(strstr(response_header("Access-Control-Allow-Headers"), "Authorization"));
    assert_null(response_header("Content-Length"));
    assert_int_equal(ask("GET", "/stream", "Origin: https://a.example\r\n"), 200);
    assert_string_equal(response_header("Access-Control-Allow-Origin"), "https://a.example");
    assert_string_equal(response_header("Vary"), "Origin");
    static const char *const others[] = {"https://c.example",      "https://a.exampl",
                                         "https://a.example.evil", "null",
                                         "http://a.example",       ""};
    for (size_t at = 0; at < sizeof others / sizeof *others; at++) {
        char headers[128];
        snprintf(headers, sizeof headers, "Origin: %s\r\n", others[at]);
        assert_int_equal(ask("GET", "/name", headers), 200);
        assert_null(response_header("Access-Control-Allow-Origin"));
    }
    test_server_stop(&served);
    test_server_start(&served, routes, all);
    assert_int_equal(ask("GET", "/nowhere", "Origin: https://c.example\r\n"), 404);
    assert_string_equal(response_header("Access-Control-Allow-Origin"), "*");
    test_server_stop(&served);
}

// ---- addresses ----------------------------------------------------------------------------------

static int listen_on(const char *address, bool shared, bool public, char *why)
{
    why[0] = '\0';
    bool passed;
    return http_listen(address, shared, public, &passed, why, 512);
}

static void listens_where_it_may(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool public, opens;
    } cases[] = {
        {"127.0.0.1:0", false, true}, {"127.1.2.3:0", false, true},
        {"localhost:*", false, true}, {"0.0.0.0:0", false, false},
        {"*:0", false, false},        {":0", false, false},
        {"*:0", true, true},          {"0.0.0.0:0", true, true},
        {"127.0.0.1", false, false},  {"127.0.0.1:", false, false},
        {"a b:1", true, false},       {"127.0.0.1:99999", true, false},
        {"::1:80", true, false},      {"", true, false},
    };
    char why[512], name[128];
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        int fd = listen_on(cases[at].address, false, cases[at].public, why);
        if ((fd >= 0) != cases[at].opens || (fd < 0 && !strstr(why, "gateway.listen")))
            fail_msg("%s: %d, \"%s\"", cases[at].address, fd, why);
        if (fd >= 0) {
            http_listen_name(fd, name, sizeof name);
            assert_true(atoi(strrchr(name, ':') + 1) > 0);
            assert_true(http_listen_local(fd) == !cases[at].public);
            close(fd);
        }
    }
    listen_on("0.0.0.0:0", false, false, why);
    assert_non_null(strstr(why, "gateway.allow_public"));
}

static void says_that_a_port_is_taken(void **state)
{
    (void)state;
    char why[512], name[128];
    int first = listen_on("127.0.0.1:0", false, false, why);
    assert_true(first >= 0);
    http_listen_name(first, name, sizeof name);
    assert_int_equal(listen_on(name, false, false, why), -1);
    assert_non_null(strstr(why, "Address already in use"));
    assert_non_null(strstr(why, name));
    close(first);
    first = listen_on("127.0.0.1:0", true, false, why);
    http_listen_name(first, name, sizeof name);
    int second = listen_on(name, true, false, why); // several gateways on one port, where asked for
    assert_true(second >= 0);
    assert_int_equal(listen_on(name, false, false, why), -1);
    close(first);
    close(second);
}

// A service manager passes its socket as descriptor 3, and says so to one process id.
static void takes_over_a_socket_that_is_passed_in(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        char why[512], name[128], passed[128], pid[32];
        int fd = listen_on("127.0.0.1:0", false, false, why);
        http_listen_name(fd, passed, sizeof passed);
        dup2(fd, 3);
        snprintf(pid, sizeof pid, "%ld", (long)getpid());
        setenv("LISTEN_FDS", "1", 1);
        setenv("LISTEN_PID", "1", 1); // meant for another process
        if (fd != 3)
            close(fd);
        fd = listen_on("127.0.0.1:0", false, false, why);
        if (fd < 0 || fd == 3)
            _exit(1);
        setenv("LISTEN_PID", pid, 1);
        if (listen_on("127.0.0.1:0", false, false, why) != 3)
            _exit(2);
        http_listen_name(3, name, sizeof name);
        _exit(strcmp(name, passed) == 0 ? 0 : 3);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_opens_the_door),
        cmocka_unit_test(other_origins_only_where_configured),
        cmocka_unit_test(listens_where_it_may),
        cmocka_unit_test(says_that_a_port_is_taken),
        cmocka_unit_test(takes_over_a_socket_that_is_passed_in),
    };
    return cmocka_run_group_tests_name("http, access", tests, NULL, NULL);
}
