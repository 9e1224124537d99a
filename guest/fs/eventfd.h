/* eventfd(2), timerfd_create(2), signalfd(2): files that the calls in sys/event.c make. */
#ifndef FS_EVENTFD_H
#define FS_EVENTFD_H

#include "fs/vfs.h"
#include "proc/thread.h"

/* flags: O_NONBLOCK. File or err_ptr. */
struct file *eventfd_create(uint64_t count, bool semaphore, uint32_t flags);

bool eventfd_is(const struct file *f);
void eventfd_add(struct file *f, uint64_t n); /* as the kernel adds: never blocks, stops at the greatest value */

struct file *timerfd_create(int clock, uint32_t flags);
bool timerfd_is(const struct file *f);
/* Times in ns of the timer's own clock; value 0: off. absolute: value is a point in time. old may be NULL. */
void timerfd_set(struct file *f, uint64_t value, uint64_t interval, bool absolute);
void timerfd_get(struct file *f, uint64_t *ret_left, uint64_t *ret_interval);

struct file *signalfd_create(sigset mask, uint32_t flags);
bool signalfd_is(const struct file *f);
void signalfd_set_mask(struct file *f, sigset mask);

#endif
