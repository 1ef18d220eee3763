// http_listen: the sockets that clients connect to.
#include "http_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,
    FIRST_PASSED_FD = 3, // SD_LISTEN_FDS_START, sd_listen_fds(3)
};

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_UNIX)
        return true;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    return address->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

bool http_listen_local(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
           is_loopback((struct sockaddr *)&address);
}

void http_listen_name(int fd, char *name, size_t name_size)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0 ||
        getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(name, name_size, "?");
    else
        snprintf(name, name_size, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static const char not_public[] =
    "gateway.listen %s can be reached from other machines, and without gateway.keys_file anyone "
    "there could ask: set gateway.keys_file, listen on 127.0.0.1, or set gateway.allow_public";

// The first socket that a service manager passed, -1 if none was.
static int passed_fd(void)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    if (!pid || !count || atol(pid) != (long)getpid() || atoi(count) < 1)
        return -1;
    int listening = 0;
    socklen_t size = sizeof listening;
    if (getsockopt(FIRST_PASSED_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 ||
        !listening)
        return -1;
    fcntl(FIRST_PASSED_FD, F_SETFD, FD_CLOEXEC);
    fcntl(FIRST_PASSED_FD, F_SETFL, fcntl(FIRST_PASSED_FD, F_GETFL) | O_NONBLOCK);
    return FIRST_PASSED_FD;
}

// Splits "host:port"; an IPv6 address stands in brackets.
static int split_address(const char *address, char *host, size_t host_size, char *port,
                         size_t port_size)
{
    const char *colon = strrchr(address, ':');
    if (!colon || (size_t)(colon - address) >= host_size || strlen(colon + 1) >= port_size ||
        colon[1] == '\0')
        return -1;
    size_t size = (size_t)(colon - address);
    if (size >= 2 && address[0] == '[' && address[size - 1] == ']') {
        address++;
        size -= 2;
    } else if (memchr(address, ':', size)) {
        return -1;
    }
    memcpy(host, address, size);
    host[size] = '\0';
    snprintf(port, port_size, "%s", strcmp(colon + 1, "*") == 0 ? "0" : colon + 1);
    // getaddrinfo would read 99999 as 34463
    return strspn(port, "0123456789") == strlen(port) && strtoul(port, NULL, 10) > 65535 ? -1 : 0;
}

static int bind_one(const struct addrinfo *info, bool reuse, bool shared)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1, off = 0;
    if (reuse)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && (shared || listen(fd, BACKLOG) == 0))
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int http_listen_begin(int fd)
{
    return listen(fd, BACKLOG);
}

int http_listen_no_more(int fd)
{
    // the flags stand in the 14th byte of a TCP header (RFC 9293, 3.1), where the kernel begins
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),          // dropped
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff), // let through, whole
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

int http_listen(const char *address, bool shared, bool public, bool *passed, char *why,
                size_t why_size)
{
    int fd = passed_fd();
    *passed = fd >= 0;
    if (fd >= 0) {
        if (public || http_listen_local(fd))
            return fd;
        snprintf(why, why_size, not_public, "(the socket that was passed in)");
        return -1;
    }
    char host[256], port[16];
    if (split_address(address, host, sizeof host, port, sizeof port) != 0) {
        snprintf(why, why_size,
                 "gateway.listen \"%s\" must be ADDRESS:PORT, such as 127.0.0.1:8080", address);
        return -1;
    }
    bool any = !*host || strcmp(host, "*") == 0;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(any ? NULL : host, port, &hints, &found);
    if (rc != 0) {
        snprintf(why, why_size, "gateway.listen \"%s\": %s", address, gai_strerror(rc));
        return -1;
    }
    snprintf(why, why_size, not_public, address);
    for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
        if (!public && !is_loopback(at->ai_addr))
            continue;
        // SO_REUSEADDR would let a gateway that shares nothing in beside one that does not listen
        // yet; it is wanted only where connections of an earlier one that shared nothing linger
        fd = bind_one(at, !shared, shared);
        if (fd < 0 && shared && errno == EADDRINUSE)
            fd = bind_one(at, true, shared);
        if (fd < 0)
            snprintf(why, why_size, "gateway.listen %s: %s%s", address, strerror(errno),
                     errno == EADDRINUSE ? ": another program has this port" : "");
    }
    freeaddrinfo(found);
    return fd;
}
