// http_listen: the sockets that clients connect to: what gateway.listen names, or what the service
// manager hands over (LISTEN_FDS), so that a successor takes the port over without a gap.
#ifndef HTTP_LISTEN_H
#define HTTP_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

// A bound, listening, non-blocking socket for "127.0.0.1:8080", "[::1]:8080", "localhost:8080",
// "*:8080" (port 0 or "*" takes a free one); -1 and what is wrong in `why`. `shared` lets several
// processes listen on one port (SO_REUSEPORT). Without `public` only loopback addresses are taken.
int http_listen(const char *address, bool shared, bool public, char *why, size_t why_size);

// The socket's address as "127.0.0.1:8080" or "[::1]:8080".
void http_listen_name(int fd, char *name, size_t name_size);
// Whether only this machine can reach it.
bool http_listen_local(int fd);

#endif
