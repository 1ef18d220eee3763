// thread: starts threads in which no signal is handled.
#include "thread.h"

#include <signal.h>

bool thread_start(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
    sigset_t all, before; // a thread begins with the mask of the one that starts it
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(thread, NULL, fn, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}
