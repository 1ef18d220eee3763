// HTTPS: handshakes good and bad, streams over TLS, a certificate that changes.
#include "http_help.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static test_server_t served;
static atomic_int handled, gone;
static char folder[] = "/tmp/ragline-tls-XXXXXX";
static char cert_file[64], key_file[64];
static SSL_CTX *client_ctx;

// ---- a certificate of our own -------------------------------------------------------------------

static void write_certificate(const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    assert_non_null(key);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME *subject = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, subject);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    FILE *out = fopen(cert_file, "w");
    assert_true(out && PEM_write_X509(out, cert) == 1);
    fclose(out);
    out = fopen(key_file, "w");
    assert_true(out && PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(out);
    X509_free(cert);
    EVP_PKEY_free(key);
}

// ---- handlers -----------------------------------------------------------------------------------

static void post_echo(void *arg, http_req_t *req)
{
    (void)arg;
    size_t size;
    const char *body = http_body(req, &size);
    http_reply(&req, 200, "text/plain", body, size);
}

static http_req_t *waiting;

static void on_gone(void *arg)
{
    (void)arg;
    http_drop(&waiting);
    atomic_fetch_add(&gone, 1);
}

// Begins, says 300 kB, and no more.
static void get_stream(void *arg, http_req_t *req)
{
    static char bytes[100000];
    (void)arg;
    memset(bytes, 'x', sizeof bytes);
    waiting = req;
    http_on_client(req, on_gone, NULL, NULL);
    http_stream_begin(req);
    for (int at = 0; at < 3; at++)
        http_stream_send(req, bytes, sizeof bytes);
    http_stream_send(req, "last\n\n", 6);
    atomic_fetch_add(&handled, 1);
}

static void post_reload(void *arg, http_req_t *req)
{
    http_server_reload(((test_server_t *)arg)->server);
    http_reply(&req, 200, "text/plain", "", 0);
}

static const http_route_t routes[] = {
    {"POST", "/echo", false, post_echo},
    {"GET", "/stream", false, get_stream},
    {"POST", "/reload", false, post_reload},
    {NULL, NULL, false, NULL},
};

static int start(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(cert_file, sizeof cert_file, "%s/cert.pem", folder);
    snprintf(key_file, sizeof key_file, "%s/key.pem", folder);
    write_certificate("first");
    const char *const options[] = {"--gateway-tls-cert",
                                   cert_file,
                                   "--gateway-tls-key",
                                   key_file,
                                   "--gateway-request-timeout-ms",
                                   "500",
                                   NULL};
    test_server_start(&served, routes, options);
    client_ctx = SSL_CTX_new(TLS_client_method());
    return 0;
}

static int stop(void **state)
{
    (void)state;
    test_server_terminate(&served);
    SSL_CTX_free(client_ctx);
    unlink(cert_file);
    unlink(key_file);
    return rmdir(folder);
}

// ---- a client -----------------------------------------------------------------------------------

static SSL *tls_client(void)
{
    static const unsigned char protocols[] = "\x02h2\x08http/1.1";
    int fd = client(&served);
    SSL *ssl = SSL_new(client_ctx);
    SSL_set_fd(ssl, fd);
    SSL_set_alpn_protos(ssl, protocols, sizeof protocols - 1);
    assert_int_equal(SSL_connect(ssl), 1);
    return ssl;
}

static void tls_close(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);
    SSL_free(ssl);
    close(fd);
}

// Reads until `text` has come; returns how many bytes that were.
static size_t tls_read_until(SSL *ssl, const char *text)
{
    size_t size = 0, end = strlen(text);
    do {
        assert_true(size < sizeof response - 1);
        assert_int_equal(SSL_read(ssl, response + size, 1), 1);
        response[++size] = '\0';
    } while (size < end || memcmp(response + size - end, text, end) != 0);
    return size;
}

static void tls_ask(SSL *ssl, const char *path, const char *body)
{
    char text[256];
    int size =
        snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
                 path, strlen(body), body);
    assert_int_equal(SSL_write(ssl, text, size), size);
    tls_read_until(ssl, "\r\n\r\n");
    assert_memory_equal(response, "HTTP/1.1 200", 12);
    if (*body)
        tls_read_until(ssl, body);
}

// ---- tests --------------------------------------------------------------------------------------

static void answers_over_tls(void **state)
{
    (void)state;
    assert_memory_equal(served.url, "https://127.0.0.1:", 18);
    SSL *ssl = tls_client();
    const unsigned char *protocol;
    unsigned size;
    SSL_get0_alpn_selected(ssl, &protocol, &size);
    assert_int_equal(size, 8);
    assert_memory_equal(protocol, "http/1.1", 8);
    assert_string_equal(SSL_get_version(ssl), "TLSv1.3");
    tls_ask(ssl, "/echo", "once");
    tls_ask(ssl, "/echo", "and again");
    tls_close(ssl);
}

static void a_request_in_many_records(void **state)
{
    (void)state;
    static const char text[] = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    SSL *ssl = tls_client();
    for (size_t at = 0; at < sizeof text - 1; at++)
        assert_int_equal(SSL_write(ssl, text + at, 1), 1);
    tls_read_until(ssl, "hello");
    tls_close(ssl);
}

static void refuses_old_versions(void **state)
{
    (void)state;
    SSL_CTX *old = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(old, 0);
    SSL_CTX_set_min_proto_version(old, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION);
    int fd = client(&served);
    SSL *ssl = SSL_new(old);
    SSL_set_fd(ssl, fd);
    assert_true(SSL_connect(ssl) != 1);
    tls_close(ssl);
    SSL_CTX_free(old);
    ERR_clear_error();
}

static void tells_a_plain_client_what_it_did(void **state)
{
    (void)state;
    int fd = client(&served);
    client_sends(fd, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(client_response(fd), 400);
    assert_non_null(strstr(response_body, "\"tls_expected\""));
    assert_true(client_ended(fd));
    close(fd);
}

static void closes_on_garbage_and_on_silence(void **state)
{
    (void)state;
    static const char *const garbage[] = {"\x16\x03\x01\x02", "\x16\x03\x01\x00\x05hello",
                                          "\x01\x02\x03\x04\x05"};
    for (size_t at = 0; at < sizeof garbage / sizeof *garbage; at++) {
        int fd = client(&served);
        client_sends(fd, garbage[at]);
        while (!client_ended(fd)) // an alert may come first
            ;
        close(fd);
    }
    int fd = client(&served);
    assert_true(client_ended(fd)); // the handshake has the request's deadline
    close(fd);
}

static void a_stream_over_tls(void **state)
{
    (void)state;
    static const char text[] = "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n";
    int handled_before = atomic_load(&handled);
    for (int way = 0; way < 3; way++) {
        int gone_before = atomic_load(&gone);
        SSL *ssl = tls_client();
        assert_int_equal(SSL_write(ssl, text, sizeof text - 1), sizeof text - 1);
        wait_for(&handled, ++handled_before);
        if (way == 0)
            assert_true(tls_read_until(ssl, "last\n\n") > 300000);
        if (way == 1)
            SSL_shutdown(ssl); // goodbye without closing
        if (way < 2) {
            wait_for(&gone, gone_before + (way == 1));
            tls_close(ssl);
        } else {
            client_reset(SSL_get_fd(ssl));
            SSL_free(ssl);
        }
        wait_for(&gone, gone_before + 1);
    }
    ERR_clear_error();
}

static void assert_served_as(const char *name)
{
    char common[64] = "";
    SSL *ssl = tls_client();
    X509 *cert = SSL_get1_peer_certificate(ssl);
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, common, sizeof common);
    assert_string_equal(common, name);
    X509_free(cert);
    tls_close(ssl);
}

static void takes_up_a_new_certificate(void **state)
{
    (void)state;
    assert_served_as("first");
    SSL *kept = tls_client();
    write_certificate("second");
    tls_ask(kept, "/reload", "");
    assert_served_as("second");
    tls_ask(kept, "/echo", "the old connection goes on");
    FILE *out = fopen(cert_file, "w");
    fputs("no certificate\n", out);
    fclose(out);
    tls_ask(kept, "/reload", "");
    assert_served_as("second"); // what does not hold changes nothing
    write_certificate("third");
    tls_ask(kept, "/reload", "");
    assert_served_as("third");
    tls_close(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_over_tls),
        cmocka_unit_test(a_request_in_many_records),
        cmocka_unit_test(refuses_old_versions),
        cmocka_unit_test(tells_a_plain_client_what_it_did),
        cmocka_unit_test(closes_on_garbage_and_on_silence),
        cmocka_unit_test(a_stream_over_tls),
        cmocka_unit_test(takes_up_a_new_certificate),
    };
    return cmocka_run_group_tests_name("http, TLS", tests, start, stop);
}
