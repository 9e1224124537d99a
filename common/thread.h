/* Threads as all of ours are: with a small stack, deaf to signals, which are for the threads that ask for them. */
#ifndef COMMON_THREAD_H
#define COMMON_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* 0 or -errno. */
int thread_start(pthread_t *ret, size_t stack_size, void *(*run)(void *arg), void *arg);

#endif
