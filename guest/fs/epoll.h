/* epoll(7). The calls are in sys/event.c. */
#ifndef FS_EPOLL_H
#define FS_EPOLL_H

#include "fs/file.h"

#include <linux/eventpoll.h>

struct file *epoll_create(void); /* or err_ptr */
bool epoll_is(const struct file *f);

/* op: EPOLL_CTL_*. target is what fd stands for; event isn't looked at for DEL. */
long epoll_control(struct file *ep, int op, struct file *target, int fd, const struct epoll_event *event);

/* Up to max events to the app's memory at events. deadline_ns: 0 doesn't wait. Count, or -errno (-ERESTARTSYS). */
long epoll_wait_events(struct file *ep, uaddr_t events, int max, uint64_t deadline_ns);

/* The last reference to a watched file is gone (f->watchers isn't NULL). */
void epoll_file_released(struct file *f);

#endif
