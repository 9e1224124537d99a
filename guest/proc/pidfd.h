/* pidfds: files that stand for a process. */
#ifndef PROC_PIDFD_H
#define PROC_PIDFD_H

#include "fs/file.h"
#include "proc/process.h"

/* A new descriptor (close-on-exec) of current for p; flags: O_NONBLOCK or 0. -EMFILE, -ENOMEM. */
int pidfd_install(struct process *p, uint32_t flags);

/* The process of a pidfd, or NULL if f isn't one. Borrowed. */
struct process *pidfd_process(const struct file *f);

#endif
