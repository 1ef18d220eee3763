// readiness: when a gateway begins to accept clients.
#include "readiness.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "timer.h"

enum {
    CHECK_MS = 20,
    GATHER_US = 1000000, // workers find a new gateway within that: reconnection, announcement
    MAX_WAIT_US = 3000000,
};

struct readiness {
    http_server_t *http;
    registry_t *registry;
    rl_timer_t *look;
    uint64_t began_us;
};

// Tells the service manager (sd_notify(3)): a datagram to the socket that it names.
static void notify_manager(const char *state)
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

// Whether there is a retriever and a generator, and all workers that announce themselves are ready.
static bool all_are_ready(registry_t *registry)
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

static void open_server(readiness_t *self)
{
    rl_timer_stop(self->look);
    http_server_open(self->http);
    rl_info("takes questions at %s", http_server_url(self->http));
    notify_manager("READY=1");
}

static void on_check(void *arg)
{
    readiness_t *self = arg;
    uint64_t waited = rl_now_us() - self->began_us;
    if ((waited >= GATHER_US && all_are_ready(self->registry)) || waited >= MAX_WAIT_US)
        open_server(self);
}

readiness_t *readiness_new(rl_proc_t *proc, http_server_t *http, registry_t *registry)
{
    readiness_t *self = rl_new(*self);
    *self = (readiness_t){.http = http, .registry = registry, .began_us = rl_now_us()};
    self->look = rl_timer_new(rl_proc_base(proc), on_check, self);
    if (http_server_waits(http))
        rl_timer_every(self->look, CHECK_MS * 1000);
    else
        open_server(self);
    return self;
}

void readiness_stopping(readiness_t *self)
{
    rl_timer_stop(self->look);
    notify_manager("STOPPING=1");
}

void readiness_destroy(readiness_t **self_p)
{
    readiness_t *self = *self_p;
    if (!self)
        return;
    rl_timer_destroy(&self->look);
    free(self);
    *self_p = NULL;
}
