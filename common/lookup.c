// lookup: the addresses of a host name, looked up in a thread.
#include "lookup.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "mem.h"
#include "timer.h"

enum {
    MAX_ADDRESSES = 256,
    ADDRESS = INET6_ADDRSTRLEN + 3, // brackets and end
};

// What thread and loop share; freed with its last reference.
typedef struct shared {
    pthread_mutex_t lock;
    pthread_cond_t asked_for;
    bool asked, ended;
    unsigned refs;
    int done; // eventfd
    char *host;
    char addresses[MAX_ADDRESSES][ADDRESS];
    size_t size;
    char why[128];
} shared_t;

struct rl_lookup {
    shared_t *shared;
    rl_lookup_fn *fn;
    void *arg;
    struct event *done;
    rl_timer_t *again;
    uint64_t period_us;
};

static void shared_unref(shared_t *shared)
{
    pthread_mutex_lock(&shared->lock);
    bool last = --shared->refs == 0;
    pthread_mutex_unlock(&shared->lock);
    if (!last)
        return;
    close(shared->done);
    pthread_cond_destroy(&shared->asked_for);
    pthread_mutex_destroy(&shared->lock);
    free(shared->host);
    free(shared);
}

// The addresses of one family, each once.
static size_t take_addresses(const struct addrinfo *found, int family,
                             char out[MAX_ADDRESSES][ADDRESS])
{
    size_t size = 0;
    for (; found && size < MAX_ADDRESSES; found = found->ai_next) {
        char address[ADDRESS - 2];
        if (found->ai_family != family || getnameinfo(found->ai_addr, found->ai_addrlen, address,
                                                      sizeof address, NULL, 0, NI_NUMERICHOST) != 0)
            continue;
        snprintf(out[size], ADDRESS, family == AF_INET6 ? "[%s]" : "%s", address);
        size_t same = 0;
        while (strcmp(out[same], out[size]) != 0)
            same++;
        size += same == size;
    }
    return size;
}

static void look_up(shared_t *shared)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char addresses[MAX_ADDRESSES][ADDRESS], why[sizeof shared->why] = "it has no addresses";
    int rc = getaddrinfo(shared->host, NULL, &hints, &found);
    size_t size = rc == 0 ? take_addresses(found, AF_INET, addresses) : 0;
    if (rc == 0 && size == 0)
        size = take_addresses(found, AF_INET6, addresses);
    if (rc != 0)
        snprintf(why, sizeof why, "%s", gai_strerror(rc));
    else
        freeaddrinfo(found);
    pthread_mutex_lock(&shared->lock);
    memcpy(shared->addresses, addresses, size * sizeof *addresses);
    shared->size = size;
    snprintf(shared->why, sizeof shared->why, "%s", why);
    pthread_mutex_unlock(&shared->lock);
}

static void *run_thread(void *arg)
{
    shared_t *shared = arg;
    uint64_t one = 1;
    pthread_mutex_lock(&shared->lock);
    while (!shared->ended) {
        if (!shared->asked) {
            pthread_cond_wait(&shared->asked_for, &shared->lock);
            continue;
        }
        shared->asked = false;
        pthread_mutex_unlock(&shared->lock);
        look_up(shared);
        if (write(shared->done, &one, sizeof one) != (ssize_t)sizeof one)
            abort(); // an eventfd takes 2^64 - 2 of them
        pthread_mutex_lock(&shared->lock);
    }
    pthread_mutex_unlock(&shared->lock);
    shared_unref(shared);
    return NULL;
}

static void ask_thread(shared_t *shared)
{
    pthread_mutex_lock(&shared->lock);
    shared->asked = true;
    pthread_cond_signal(&shared->asked_for);
    pthread_mutex_unlock(&shared->lock);
}

static void on_again(void *arg)
{
    rl_lookup_t *self = arg;
    ask_thread(self->shared);
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
    rl_lookup_t *self = arg;
    shared_t *shared = self->shared;
    char addresses[MAX_ADDRESSES][ADDRESS], why[sizeof shared->why];
    const char *list[MAX_ADDRESSES];
    uint64_t count;
    (void)what;
    if (read(fd, &count, sizeof count) < 0)
        return;
    pthread_mutex_lock(&shared->lock);
    size_t size = shared->size;
    memcpy(addresses, shared->addresses, size * sizeof *addresses);
    memcpy(why, shared->why, sizeof why);
    pthread_mutex_unlock(&shared->lock);
    for (size_t at = 0; at < size; at++)
        list[at] = addresses[at];
    rl_timer_after(self->again, self->period_us);
    self->fn(self->arg, list, size, size ? "" : why);
}

rl_lookup_t *rl_lookup_new(struct event_base *base, const char *host, long period_ms,
                           rl_lookup_fn *fn, void *arg)
{
    rl_lookup_t *self = rl_new(*self);
    shared_t *shared = rl_new(*shared);
    sigset_t all, before; // signals are the loop's
    pthread_t thread;
    *self = (rl_lookup_t){.shared = shared, .fn = fn, .arg = arg};
    self->period_us = (uint64_t)period_ms * 1000;
    shared->host = rl_strdup(host);
    pthread_mutex_init(&shared->lock, NULL);
    pthread_cond_init(&shared->asked_for, NULL);
    shared->refs = 1;
    shared->asked = true;
    shared->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->done = rl_must(event_new(base, shared->done, EV_READ | EV_PERSIST, on_done, self));
    self->again = rl_timer_new(base, on_again, self);
    if (shared->done < 0 || event_add(self->done, NULL) != 0)
        abort(); // no descriptor is left
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    shared->refs = 2;
    bool started = pthread_create(&thread, NULL, run_thread, shared) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) {
        pthread_detach(thread);
    } else {
        shared->refs = 1;
        rl_lookup_destroy(&self);
    }
    return self;
}

void rl_lookup_destroy(rl_lookup_t **self_p)
{
    rl_lookup_t *self = *self_p;
    if (!self)
        return;
    event_free(self->done);
    rl_timer_destroy(&self->again);
    pthread_mutex_lock(&self->shared->lock);
    self->shared->ended = true;
    pthread_cond_signal(&self->shared->asked_for);
    pthread_mutex_unlock(&self->shared->lock);
    shared_unref(self->shared);
    free(self);
    *self_p = NULL;
}
