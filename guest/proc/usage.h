/*
 * CPU time split into the program's own (user) and the shim's (system), for getrusage(2), times(2), /proc.
 *
 * Looking at the clock costs more than the cheapest calls do. So faults and calls that tend to be long are measured, and of the others
 * one in about sixty-four, which stands for those before it.
 */
#ifndef PROC_USAGE_H
#define PROC_USAGE_H

#include "arch/cpu.h"
#include "proc/process.h"

struct cpu_times {
    uint64_t user_ns, system_ns;
};

/* Both parts only ever grow from one call to the next, and their sum is the CPU time exactly. */
struct cpu_times usage_thread(struct thread *t);
struct cpu_times usage_process(struct process *p);
struct cpu_times usage_children(const struct process *p); /* of those that were waited for */

struct rusage;
void usage_put(struct cpu_times t, struct rusage *ru); /* ru_utime and ru_stime */

/* --- for the entries, and for the scheduler --- */

extern uint32_t usage_countdown;

void usage_sample(void);          /* the call that begins stands for some others too */
void usage_end(void);             /* what is measured of current is over */
void usage_charge(struct thread *t, uint64_t now_ns); /* up to now */

static inline void usage_begin(uint32_t weight)
{
    current->kernel_since_ns = clock_mono_ns();
    current->kernel_weight = weight;
}

/* Sets of calls by number: mmap to brk, mremap, msync, sendfile, clone to exit; read, write, pread, pwrite, sendto, recvfrom. */
#define USAGE_LONG_CALLS (0xfull << 9 | 3ull << 25 | 1ull << 40 | 0x1full << 56)
#define USAGE_SIZED_CALLS (3ull | 3ull << 17 | 3ull << 44)
#define USAGE_LONG_SIZE 16384u

static inline void usage_call_begins(uint32_t nr, uint64_t size)
{
    uint64_t bit = nr < 64 ? 1ull << nr : 0;

    if ((bit & USAGE_LONG_CALLS) || ((bit & USAGE_SIZED_CALLS) && size >= USAGE_LONG_SIZE))
        usage_begin(1);
    else if (--usage_countdown == 0)
        usage_sample();
}

static inline void usage_call_ends(void)
{
    if (current->kernel_since_ns)
        usage_end();
}

#endif
