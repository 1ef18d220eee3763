// http_tls: TLS on a client's connection (OpenSSL): TLS 1.2 at least, ALPN http/1.1.
#ifndef HTTP_TLS_H
#define HTTP_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct http_tls http_tls_t;

// Reads certificate chain and key (PEM files). NULL, and what is wrong in `why`.
http_tls_t *http_tls_new(const char *cert, const char *key, char *why, size_t why_size);
void http_tls_destroy(http_tls_t **self_p);

// The server's side of a new connection; the handshake happens in the first reads. NULL if memory
// runs out. It outlives the http_tls_t it came from.
SSL *http_tls_accept(http_tls_t *self, int fd);

// Results of the two below besides a number of bytes.
enum {
    HTTP_IO_END = 0,    // the peer has closed
    HTTP_IO_AGAIN = -1, // nothing now
    HTTP_IO_ERROR = -2, // the connection has failed
    HTTP_IO_PLAIN = -3, // the client speaks plain HTTP on the TLS port
};
ssize_t http_tls_read(SSL *ssl, void *data, size_t size);
ssize_t http_tls_write(SSL *ssl, const void *data, size_t size);

// Sends close_notify and frees it; does not close the socket.
void http_tls_close(SSL **ssl_p);

#endif
