// http_tls: TLS on a client's connection.
#include "http_tls.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

struct http_tls {
    SSL_CTX *ctx;
};

// The oldest error of OpenSSL's queue in words; empties the queue.
static const char *last_error(char *room, size_t size)
{
    unsigned long code = ERR_get_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    snprintf(room, size, "%s", reason ? reason : "unknown error");
    ERR_clear_error();
    return room;
}

// http/1.1 is chosen of the protocols that the client offers. Where it offers only others, the
// connection goes on without ALPN.
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                           const unsigned char *in, unsigned in_size, void *arg)
{
    (void)ssl;
    (void)arg;
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, out_size, ours, sizeof ours - 1, in, in_size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int load_key(SSL_CTX *ctx, const char *cert, const char *key, char *why, size_t why_size)
{
    char error[160];
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1) {
        snprintf(why, why_size, "gateway.tls_cert %s: %s", cert, last_error(error, sizeof error));
        return -1;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        snprintf(why, why_size, "gateway.tls_key %s: %s", key, last_error(error, sizeof error));
        return -1;
    }
    if (SSL_CTX_check_private_key(ctx) != 1) {
        snprintf(why, why_size, "gateway.tls_key %s is not the key of gateway.tls_cert %s", key,
                 cert);
        return -1;
    }
    return 0;
}

http_tls_t *http_tls_new(const char *cert, const char *key, char *why, size_t why_size)
{
    http_tls_t *self = rl_new(*self);
    self->ctx = rl_must(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_set_min_proto_version(self->ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(self->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    // what is retried after EAGAIN may have moved and grown; idle connections give buffers back
    SSL_CTX_set_mode(self->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(self->ctx, (const unsigned char *)"ragline", 7);
    SSL_CTX_set_alpn_select_cb(self->ctx, choose_protocol, NULL);
    ERR_clear_error();
    if (load_key(self->ctx, cert, key, why, why_size) != 0)
        http_tls_destroy(&self);
    return self;
}

void http_tls_destroy(http_tls_t **self_p)
{
    if (!*self_p)
        return;
    SSL_CTX_free((*self_p)->ctx);
    free(*self_p);
    *self_p = NULL;
}

SSL *http_tls_accept(http_tls_t *self, int fd)
{
    SSL *ssl = SSL_new(self->ctx);
    if (ssl && SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        ssl = NULL;
    }
    if (ssl)
        SSL_set_accept_state(ssl);
    return ssl;
}

static ssize_t io_result(SSL *ssl, int rc)
{
    switch (SSL_get_error(ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return HTTP_IO_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return HTTP_IO_END;
    default:
        break;
    }
    bool plain = ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST;
    ERR_clear_error();
    return plain ? HTTP_IO_PLAIN : HTTP_IO_ERROR;
}

ssize_t http_tls_read(SSL *ssl, void *data, size_t size)
{
    size_t done = 0;
    ERR_clear_error(); // others in this process use OpenSSL too
    int rc = SSL_read_ex(ssl, data, size, &done);
    return rc == 1 ? (ssize_t)done : io_result(ssl, rc);
}

ssize_t http_tls_write(SSL *ssl, const void *data, size_t size)
{
    size_t done = 0;
    ERR_clear_error(); // others in this process use OpenSSL too
    int rc = SSL_write_ex(ssl, data, size, &done);
    return rc == 1 ? (ssize_t)done : io_result(ssl, rc);
}

void http_tls_close(SSL **ssl_p)
{
    if (!*ssl_p)
        return;
    if (SSL_is_init_finished(*ssl_p))
        SSL_shutdown(*ssl_p);
    ERR_clear_error();
    SSL_free(*ssl_p);
    *ssl_p = NULL;
}
