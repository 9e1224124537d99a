/*
 * Which core the gofer's thread runs on: not the guest's, where that can be helped.
 *
 * The scheduler may leave guest and gofer on one core though another is idle, because both poll and so the cores look busy.
 * Each then waits for the other's polling to end, some 100 µs for every request; measured at the start of every second
 * run, for 15 ms. The time that we wait for a core (proc(5), schedstat) shows it. At the start the vmm keeps us from its own core.
 */
#ifndef GOFER_PLACEMENT_H
#define GOFER_PLACEMENT_H

#include <sched.h>
#include <stdint.h>

struct placement {
    int schedstat_fd;    /* /proc/self/schedstat, or -1 */
    cpu_set_t cores;     /* where we may run; empty: not known */
    uint64_t delay_ns;   /* waited for a core, until looked_ns */
    uint64_t looked_ns;
    uint64_t moved_ns;
};

/* To be called before the jail's root changes, by the thread that is to be placed on one of `cores`. Never fails. */
void placement_init(struct placement *p, const cpu_set_t *cores);

/* The guest runs: whatever cores we were kept from, any may be used now. */
void placement_begin(const struct placement *p);

/* Look, and move if we waited much for our core. Cheap if called often; now_ns is CLOCK_MONOTONIC. */
void placement_check(struct placement *p, uint64_t now_ns);

#endif
