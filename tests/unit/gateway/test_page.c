// The pages: whole, with policies that let their own script and style run and nothing else.
#include "http_help.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "page.h"

static test_server_t served;

static void get_page(void *arg, http_req_t *req)
{
    (void)arg;
    page_send(&req, PAGE_ASK);
}

static void get_live(void *arg, http_req_t *req)
{
    (void)arg;
    page_send(&req, PAGE_LIVE);
}

static const http_route_t routes[] = {
    {"GET", "/", true, get_page},
    {"GET", "/live", true, get_live},
    {"POST", "/stop", true, http_help_stop},
    {NULL, NULL, false, NULL},
};

static int start(void **state)
{
    (void)state;
    test_server_start(&served, routes, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    test_server_stop(&served);
    return 0;
}

static int get(const char *path, const char *headers)
{
    char text[512];
    int fd = client(&served);
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, headers);
    client_sends(fd, text);
    int status = client_response(fd);
    close(fd);
    return status;
}

// How often a word stands in the page.
static int count_of(const char *word)
{
    int count = 0;
    for (const char *at = strstr(response_body, word); at; at = strstr(at + 1, word))
        count++;
    return count;
}

// Whether the policy's directive has the hash of what stands between <name> and </name>.
static void assert_hashed(const char *policy, const char *directive, const char *open,
                          const char *close_tag)
{
    unsigned char hash[SHA256_DIGEST_LENGTH], text[64];
    char expected[160];
    const char *begin = strstr(response_body, open);
    assert_non_null(begin);
    begin += strlen(open);
    const char *end = strstr(begin, close_tag);
    assert_non_null(end);
    SHA256((const unsigned char *)begin, (size_t)(end - begin), hash);
    EVP_EncodeBlock(text, hash, sizeof hash);
    snprintf(expected, sizeof expected, "; %s 'sha256-%s';", directive, (const char *)text);
    assert_non_null(strstr(policy, expected));
}

static void assert_whole(const char *path)
{
    char policy[4096];
    assert_int_equal(get(path, ""), 200);
    assert_string_equal(response_header("Content-Type"), "text/html; charset=utf-8");
    assert_string_equal(response_header("X-Content-Type-Options"), "nosniff");
    assert_int_equal(strlen(response_body), strtoul(response_header("Content-Length"), NULL, 10));
    assert_non_null(strstr(response_body, "</html>"));
    snprintf(policy, sizeof policy, "%s", response_header("Content-Security-Policy"));
    assert_memory_equal(policy, "default-src 'none'; ", 20);
    assert_null(strstr(policy, "unsafe"));
    assert_int_equal(count_of("<script"), 1);
    assert_int_equal(count_of("<style"), 1);
    assert_hashed(policy, "script-src", "<script>", "</script>");
    assert_hashed(policy, "style-src", "<style>", "</style>");
}

static void is_whole_and_runs_nothing_else(void **state)
{
    (void)state;
    assert_whole("/");
    assert_null(strstr(response_body, "/v1/live?stream"));
    assert_whole("/live");
    assert_non_null(strstr(response_body, "/v1/live?stream"));
}

static void is_sent_once_to_those_who_have_it(void **state)
{
    (void)state;
    char headers[128];
    assert_int_equal(get("/", ""), 200);
    snprintf(headers, sizeof headers, "If-None-Match: %s\r\n", response_header("ETag"));
    assert_int_equal(get("/", headers), 304);
    assert_int_equal(get("/live", headers), 200);
    assert_int_equal(get("/", "If-None-Match: \"another\"\r\n"), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_whole_and_runs_nothing_else),
        cmocka_unit_test(is_sent_once_to_those_who_have_it),
    };
    return cmocka_run_group_tests_name("page", tests, start, stop);
}
