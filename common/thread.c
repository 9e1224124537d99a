/* See thread.h. */
#include "common/thread.h"

#include <signal.h>

int thread_start(pthread_t *ret, size_t stack_size, void *(*run)(void *arg), void *arg)
{
    pthread_attr_t attr;
    sigset_t all, old;
    int err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, stack_size);
    err = pthread_create(ret, &attr, run, arg);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -err;
}
