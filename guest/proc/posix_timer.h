/* Interval timers and POSIX timers (setitimer(2), timer_create(2)). */
#ifndef PROC_POSIX_TIMER_H
#define PROC_POSIX_TIMER_H

#include "proc/signal.h"

enum timer_clock { TIMER_MONOTONIC, TIMER_REAL, TIMER_BOOT, TIMER_PROCESS_CPU, TIMER_THREAD_CPU };

struct posix_timer {
    struct list node;             /* process->posix_timers */
    int id;
    struct process *process;
    enum timer_clock clock;
    int thread_tid;               /* TIMER_THREAD_CPU: whose time */
    int notify;                   /* SIGEV_* without SIGEV_THREAD_ID */
    int notify_tid;               /* SIGEV_THREAD_ID; else 0 */
    struct timer timer;           /* the wall clocks */
    uint64_t expires;             /* monotonic ns, or CPU ns; NEVER: disarmed */
    uint64_t interval;
    bool waiting;                 /* its signal is queued; rearmed once that is taken */
    int overrun;                  /* of the signal taken last */
    struct siginfo_entry *entry;  /* its signal */
};

/* Make a timer of current's process, disarmed. event is filled in but for si_timerid. err_ptr(-ENOMEM). */
struct posix_timer *posix_timer_create(enum timer_clock clock, int notify, int notify_tid, const siginfo_t *event);
struct posix_timer *posix_timer_find(int id);
void posix_timer_delete(struct posix_timer *pt);

/* expires: as in the struct. */
void posix_timer_arm(struct posix_timer *pt, uint64_t expires, uint64_t interval);
/* ns until it expires next; 0: disarmed. */
uint64_t posix_timer_left(const struct posix_timer *pt);

/* setitimer(ITIMER_REAL): what is left of it, and arm it for value ns from now (0: off). */
uint64_t itimer_left(struct process *p, int which);
void itimer_set(struct process *p, int which, uint64_t value_ns, uint64_t interval_ns);

/* The timer's signal is being delivered: fill in the overruns, and let the next expiry queue it again. */
void posix_timer_signal_taken(void *timer, siginfo_t *info);

void posix_timer_process_exit(struct process *p); /* everything, interval timers included */
void posix_timer_exec(struct process *p);         /* POSIX timers go, interval timers stay */

/*
 * For cputimer.c: fire what is due. Returns when the next is due in the process's CPU time; *ret_thread_next the same in
 * t's.
 */
uint64_t posix_cpu_timers_check(struct process *p, uint64_t process_ns, const struct thread *t, uint64_t thread_ns,
                                uint64_t *ret_thread_next);
bool posix_cpu_timers_exist(const struct process *p);

#endif
