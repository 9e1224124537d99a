/* Threads of the shim's own: they belong to init, have no app and no number, and never end. */
#ifndef PROC_KTHREAD_H
#define PROC_KTHREAD_H

#include "proc/thread.h"

/* Run fn, which must not return, on a stack of its own. 0 or -ENOMEM. */
long kthread_start(void (*fn)(void));

#endif
