/*
 * Timers on CLOCK_MONOTONIC: a tree by time, from which the scheduler takes what is due. Used by parks with a deadline,
 * interval timers, POSIX timers, timerfd.
 */
#ifndef PROC_TIMER_H
#define PROC_TIMER_H

#include "lib/base.h"
#include "lib/rbtree.h"

struct timer {
    struct rb_node node;
    uint64_t deadline_ns;
    /* Called once, disarmed, from the scheduler: in no particular thread's context, so it mustn't park. It may rearm. */
    void (*fire)(struct timer *timer);
    bool armed;
};

/* Arm, or move, so that fire is called at deadline_ns or soon after. fire must be set; NEVER disarms. */
void timer_set(struct timer *timer, uint64_t deadline_ns);
void timer_cancel(struct timer *timer); /* harmless if it isn't armed */

/* When the next one is due; NEVER if none is armed. */
uint64_t timer_nearest(void);

/* Fire what is due. True if there was one. For the scheduler. */
bool timer_expire(uint64_t now_ns);

#endif
