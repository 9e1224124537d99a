/*
 * Waiting for readiness of files: what poll(2), select(2) and epoll(7) share.
 *
 * A file's poll callback puts the caller into its wait queues through a poll_table. The entries live in a
 * poll_waiter, which remembers that it was woken even while its thread sleeps for another reason in between.
 */
#ifndef FS_POLL_H
#define FS_POLL_H

#include "fs/file.h"

#include <linux/eventpoll.h>

#define POLL_ALWAYS ((uint32_t)(EPOLLERR | EPOLLHUP))
#define POLL_DEFAULT ((uint32_t)(EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM)) /* files that can't say */

#define POLL_ENTRIES_INLINE 8

struct poll_chunk;

struct poll_waiter {
    struct poll_table table; /* give this to poll_file */
    struct thread *thread;
    bool woken;
    bool failed;             /* no memory for an entry */
    size_t count;
    struct wait_entry entries[POLL_ENTRIES_INLINE];
    struct poll_chunk *more;
};

void poll_waiter_init(struct poll_waiter *w);
void poll_waiter_done(struct poll_waiter *w); /* out of all queues */

/* From now on poll_file asks, and has files watch for events, without adding the waiter to their queues again. */
void poll_waiter_registered(struct poll_waiter *w);

/* Sleep until one of the queues is woken: 0, -ETIMEDOUT, -ERESTARTSYS. */
int poll_waiter_sleep(struct poll_waiter *w, uint64_t deadline_ns);

/*
 * Around a sleep that something from outside may end (poll, epoll, sockets): while others sleep so, a thread that computes is to be
 * kicked by such events.
 */
extern uint32_t poll_sleepers;

static inline void poll_sleep_begin(void)
{
    current->polling = true;
    poll_sleepers++;
}

static inline void poll_sleep_end(void)
{
    current->polling = false;
    poll_sleepers--;
}

/* What f is ready for. table may be NULL. */
uint32_t poll_file(struct file *f, struct poll_table *table);

/* A table that adds nobody anywhere. */
void poll_add_nothing(struct poll_table *table, struct wait_queue *q);

#endif
