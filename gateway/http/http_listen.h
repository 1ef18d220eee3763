// http_listen: the sockets that clients connect to: what gateway.listen names, or what the service
// manager hands over (LISTEN_FDS), so that a successor takes the port over without a gap.
#ifndef HTTP_LISTEN_H
#define HTTP_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

// A bound, listening, non-blocking socket for "127.0.0.1:8080", "[::1]:8080", "localhost:8080",
// "*:8080" (port 0 or "*" takes a free one); -1 and what is wrong in `why`. Without `public` only
// loopback addresses are taken. `shared` lets several processes listen on one port (SO_REUSEPORT);
// such a socket is only bound: it gets its share of the clients after http_listen_begin.
// `*passed`: it is the service manager's, which keeps it when this process ends.
int http_listen(const char *address, bool shared, bool public, bool *passed, char *why,
                size_t why_size);
int http_listen_begin(int fd); // 0, or -1 and errno

// From here on the kernel drops requests to connect (SYN) to this socket, while connections that
// are being made are completed: once those have been accepted, closing it resets nobody. Whoever
// was dropped asks again after a second and is given to another socket of the port. Returns 0, or
// -1 where the kernel cannot.
int http_listen_no_more(int fd);

// The socket's address as "127.0.0.1:8080" or "[::1]:8080".
void http_listen_name(int fd, char *name, size_t name_size);
// Whether only this machine can reach it.
bool http_listen_local(int fd);

#endif
