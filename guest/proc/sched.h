/*
 * What the entry code (arch/trap.c) asks of the scheduler on the way back to the app.
 */
#ifndef PROC_SCHED_H
#define PROC_SCHED_H

#include "arch/entry.h"
#include "proc/thread.h"

/* Bits of cpu_work: why return_work must run before the app goes on. */
#define WORK_SIGNAL 1u  /* current may have a signal to handle, or a call to restart */
#define WORK_RESCHED 2u /* another thread's turn has come */

/* The pending bits of the shared page, already taken: completions, deadlines, host signals, time-out, a dead gofer. */
void sched_handle_pending(uint32_t bits);

/* cpu_work is set: give way to other threads, deliver signals into regs; clears the bits that it has dealt with. */
void sched_return_work(struct regs *regs);

/*
 * Make `current` the boot thread: it runs on the boot stack (cpu_kstack_base, cpu_kstack_top), belongs to init
 * (pid 1), has no address space, and may park, so that ring_init and vfs_init can talk to the gofer. process_start is
 * called on it and turns it into, or leaves it for, the first program.
 */
void sched_init(void);

#endif
