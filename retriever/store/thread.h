// thread: starts threads in which no signal is handled: signals are the loop's.
#ifndef THREAD_H
#define THREAD_H

#include <pthread.h>
#include <stdbool.h>

// Starts `fn` with `arg`. Returns whether it could be started.
bool thread_start(pthread_t *thread, void *(*fn)(void *arg), void *arg);

#endif
