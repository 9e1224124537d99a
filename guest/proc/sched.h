/*
 * The scheduler's other face: what arch, timers and signals need of it. What everybody needs is in proc/thread.h.
 */
#ifndef PROC_SCHED_H
#define PROC_SCHED_H

#include "arch/entry.h"
#include "proc/thread.h"

/* Bits of cpu_work: why return_work must run before the app goes on. */
#define WORK_SIGNAL 1u   /* signals, the end of a call that was interrupted, a thread that must end */
#define WORK_RESCHED 2u  /* another thread's turn */
#define WORK_DEADLINE 4u   /* the deadline that the vmm knows may be too late */

/*
 * Make `current` the boot thread: it runs on the boot stack (cpu_kstack_base, cpu_kstack_top), belongs to init
 * (pid 1), has no address space, and may park, so that ring_init and vfs_init can talk to the gofer. process_start is
 * called on it and leaves it for the first program.
 */
void sched_init(void);

/* Bits of shared_page.pending that arch took on the way back to the app. May switch threads. */
void sched_handle_pending(uint32_t bits);

/* cpu_work was set on the way back to the app. May switch threads, end the thread, or set up signal frames. */
void sched_return_work(struct regs *regs);

/* A timer that is nearer than all others was set. */
void sched_deadline_changed(void);

enum park_mode { PARK_UNINTERRUPTIBLE, PARK_KILLABLE, PARK_INTERRUPTIBLE, PARK_STOPPED };

/* thread_park with the choice of what may end it. PARK_STOPPED: only sched_continue and a deadly signal. */
int sched_park(uint64_t deadline_ns, enum park_mode mode);

/* A signal was sent to the thread: let it look, if how it is parked allows that. */
void sched_signal(struct thread *thread, bool deadly);

/* End a stop (job control). */
void sched_continue(struct thread *thread);

/* A new thread may run. It begins in fn on its own stack. */
void sched_start(struct thread *thread, void (*fn)(void *));

/* First thing that a new thread does on its own stack: what the switch to it left undone. */
void sched_started(void);

/* Run the first thread; the boot stack is left for good. */
_Noreturn void sched_run_first(struct thread *thread);

/* Current has ended: never run it again; its stack goes to thread_reap once nobody stands on it. */
_Noreturn void sched_leave(void);

/* Bring current's CPU time, and its process's, up to date. */
void sched_account(void);

/* CPU time of a thread up to now, in ns. */
uint64_t sched_thread_cpu_ns(const struct thread *thread);

uint64_t sched_runnable_count(void); /* current included, if it isn't idling */
uint64_t sched_idle_ns(void);        /* time without a runnable thread since boot */
uint64_t sched_switch_count(void);

#define SCHED_SLICE_NS 5000000ull /* a thread's turn while others are runnable */

#endif
