// dump_file: documents of dumps into files, by a thread of their own.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dump.h"
#include "log.h"
#include "mem.h"

struct rl_dump_file {
    pthread_t thread;
    bool started;      // the thread is to be joined
    atomic_bool ended; // and has nothing left to do
    char *document;
    size_t size;
    char path[4200], next[4200];
};

// Returns what went wrong, or 0.
static int write_whole(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, data, size);
        if (done < 0 && errno != EINTR)
            return errno;
        if (done > 0) {
            data += done;
            size -= (size_t)done;
        }
    }
    return 0;
}

// Written beside it and renamed: a reader sees a whole document or none.
static int write_file(const rl_dump_file_t *self)
{
    int fd = open(self->next, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return errno;
    int wrong = write_whole(fd, self->document, self->size);
    if (close(fd) != 0 && !wrong)
        wrong = errno;
    if (!wrong && rename(self->next, self->path) != 0)
        wrong = errno;
    if (wrong)
        unlink(self->next);
    return wrong;
}

static void *run_thread(void *arg)
{
    rl_dump_file_t *self = arg;
    int wrong = write_file(self);
    if (wrong)
        rl_error("log.dump_dir: %s: %s", self->path, strerror(wrong));
    else
        rl_info("dump written: %s", self->path);
    atomic_store(&self->ended, true);
    return NULL;
}

static void join_thread(rl_dump_file_t *self)
{
    if (!self->started)
        return;
    pthread_join(self->thread, NULL);
    self->started = false;
    free(self->document);
    self->document = NULL;
}

rl_dump_file_t *rl_dump_file_new(void)
{
    return rl_new(rl_dump_file_t);
}

void rl_dump_file_destroy(rl_dump_file_t **self_p)
{
    rl_dump_file_t *self = *self_p;
    if (!self)
        return;
    join_thread(self);
    free(self);
    *self_p = NULL;
}

int rl_dump_file_write(rl_dump_file_t *self, const char *folder, const char *name, char *document,
                       size_t size)
{
    if (self->started && !atomic_load(&self->ended)) {
        free(document);
        return -1;
    }
    join_thread(self);
    self->document = document;
    self->size = size;
    int path = snprintf(self->path, sizeof self->path, "%s/%s.json", folder, name);
    int next = snprintf(self->next, sizeof self->next, "%s/.%s.json.new", folder, name);
    bool fits = path < (int)sizeof self->path && next < (int)sizeof self->next;
    sigset_t all, before; // signals are the loop's
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    atomic_store(&self->ended, false);
    int wrong = fits ? pthread_create(&self->thread, NULL, run_thread, self) : ENAMETOOLONG;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    self->started = wrong == 0;
    if (wrong) {
        rl_error("log.dump_dir: %s: %s", folder, strerror(wrong));
        free(self->document);
        self->document = NULL;
    }
    return 0;
}
