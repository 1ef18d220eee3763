// readiness: when a gateway begins to take clients in.
#include "readiness.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

enum {
    LOOK_MS = 20,
    GATHER_US = 1000000, // workers find a new gateway within that: reconnection, announcement
    PATIENCE_US = 3000000,
};

struct readiness {
    http_server_t *http;
    registry_t *registry;
    struct event *look;
    uint64_t began_us;
};

// Tells the service manager (sd_notify(3)): a datagram to the socket that it names.
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = path ? strlen(path) : 0;
    if (size < 2 || size >= sizeof address.sun_path || (*path != '/' && *path != '@'))
        return;
    memcpy(address.sun_path, path, size);
    if (*path == '@')
        address.sun_path[0] = '\0'; // a name without a file
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, length) < 0)
        rl_warn("the service manager's NOTIFY_SOCKET takes nothing");
    close(fd);
}

// Somebody retrieves, somebody writes, and all that announce themselves are ready.
static bool everyone_is_there(registry_t *registry)
{
    bool retrieves = false, writes = false;
    for (worker_t *worker = registry_first(registry); worker; worker = registry_next(worker)) {
        if (!worker->ready && !worker->leaving)
            return false;
        if (worker->ready)
            *(worker->role == ROLE_GENERATOR ? &writes : &retrieves) = true;
    }
    return retrieves && writes;
}

static void open_doors(readiness_t *self)
{
    event_del(self->look);
    http_server_open(self->http);
    rl_info("takes questions at %s", http_server_url(self->http));
    notify("READY=1");
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    readiness_t *self = arg;
    (void)fd;
    (void)what;
    uint64_t waited = rl_now_us() - self->began_us;
    if ((waited >= GATHER_US && everyone_is_there(self->registry)) || waited >= PATIENCE_US)
        open_doors(self);
}

readiness_t *readiness_new(rl_proc_t *proc, http_server_t *http, registry_t *registry)
{
    readiness_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    *self = (readiness_t){.http = http, .registry = registry, .began_us = rl_now_us()};
    self->look = event_new(rl_proc_base(proc), -1, EV_PERSIST, on_look, self);
    struct timeval every = {0, LOOK_MS * 1000};
    if (!self->look)
        abort();
    if (http_server_waits(http))
        event_add(self->look, &every);
    else
        open_doors(self);
    return self;
}

void readiness_stopping(readiness_t *self)
{
    event_del(self->look);
    notify("STOPPING=1");
}

void readiness_destroy(readiness_t **self_p)
{
    readiness_t *self = *self_p;
    if (!self)
        return;
    event_free(self->look);
    free(self);
    *self_p = NULL;
}
