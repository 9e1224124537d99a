/*
 * What runs on CPU time: ITIMER_VIRTUAL and ITIMER_PROF, POSIX timers on CPU clocks, RLIMIT_CPU. Looked at when a thread of the
 * process goes back to the app, which the scheduler sees to at the moment that cputimer_check names.
 */
#ifndef PROC_CPUTIMER_H
#define PROC_CPUTIMER_H

#include "proc/process.h"

/* Fire what is due for t, which runs; when the next is due, in monotonic ns, if t goes on running. NEVER: none. */
uint64_t cputimer_check(struct thread *t, uint64_t now_ns);

/* Something was set or removed: find out again whether p has any. */
void cputimer_changed(struct process *p);

/* CPU time of a whole process up to now, in ns. */
uint64_t process_cpu_ns(const struct process *p);

#endif
