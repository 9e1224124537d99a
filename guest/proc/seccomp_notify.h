/*
 * seccomp(2)'s user notification (seccomp_unotify(2)): a filter hands calls to whoever holds its listener, a descriptor, and the
 * thread that made the call waits for the answer.
 */
#ifndef PROC_SECCOMP_NOTIFY_H
#define PROC_SECCOMP_NOTIFY_H

#include "fs/file.h"

#include <linux/seccomp.h>

struct seccomp_listener; /* belongs to its file */

/*
 * A listener for a filter, whose pointer to it is *slot: cleared when the file goes. wait_killable: once a call is known to the
 * listener, only deadly signals interrupt it. A file or err_ptr.
 */
struct file *seccomp_listener_create(struct seccomp_listener **slot, bool wait_killable);

/* The filter is nobody's any more: nothing will come. */
void seccomp_listener_orphan(struct seccomp_listener *l);

/* Current's call is for the listener to answer. True: it may be made all the same. Else *ret is its result. */
bool seccomp_notify(struct seccomp_listener *l, const struct seccomp_data *data, long *ret);

#endif
