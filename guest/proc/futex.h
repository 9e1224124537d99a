/* Futexes: queues of threads that wait for a word of the app's memory to change (futex(2)). */
#ifndef PROC_FUTEX_H
#define PROC_FUTEX_H

#include "proc/thread.h"

/*
 * shared: the word may be known by other addresses in other processes (no FUTEX_PRIVATE_FLAG). Deadlines are on
 * CLOCK_MONOTONIC. Everything here is for current.
 */

/* 0 (woken), -EAGAIN (the word isn't value), -ETIMEDOUT, -ERESTARTSYS, -EFAULT, -EINVAL. */
long futex_wait(uaddr_t addr, bool shared, uint32_t value, uint64_t deadline_ns, uint32_t bitset);

/* How many were woken. */
long futex_wake(uaddr_t addr, bool shared, uint32_t count, uint32_t bitset);

/* Wake some, move others to another word. expected: NULL for FUTEX_REQUEUE. */
long futex_requeue(uaddr_t from, uaddr_t to, bool shared, uint32_t wake_count, uint32_t requeue_count,
                   const uint32_t *expected);

long futex_wake_op(uaddr_t addr, uaddr_t addr2, bool shared, uint32_t count, uint32_t count2, uint32_t operation);

long futex_lock_pi(uaddr_t addr, bool shared, uint64_t deadline_ns, bool try_only);
long futex_unlock_pi(uaddr_t addr, bool shared);

/* FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI: wait for a condition and come back owning a PI futex. */
long futex_wait_requeue_pi(uaddr_t addr, uaddr_t to, bool shared, uint32_t value, uint64_t deadline_ns,
                           uint32_t bitset);
long futex_cmp_requeue_pi(uaddr_t from, uaddr_t to, bool shared, uint32_t requeue_count, uint32_t expected);

struct futex_wait_item {
    uaddr_t addr;
    uint32_t value;
    bool shared;
};

/* The index of the one that was woken, or an error as futex_wait. count <= FUTEX_WAITV_MAX (128). */
long futex_wait_multiple(const struct futex_wait_item *items, size_t count, uint64_t deadline_ns);

/* t, which is current, leaves its address space: robust list, and what it holds of PI futexes. */
void futex_thread_exit(struct thread *t);

/* set_tid_address(2): write 0 and wake one. */
void futex_clear_tid(uaddr_t addr);

#endif
