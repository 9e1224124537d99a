/* Timers on CPU time, and the CPU limit. */
#include "proc/cputimer.h"

#include "arch/cpu.h"
#include "proc/posix_timer.h"
#include "proc/sched.h"
#include "proc/signal.h"
#include "proc/usage.h"

#include <linux/resource.h>
#include <linux/time.h>

uint64_t process_cpu_ns(const struct process *p)
{
    return p->cpu_ns + (current->proc == p ? clock_mono_ns() - current->run_start_ns : 0);
}

/* Returns when it is due next, in the process's CPU time. */
static uint64_t check_interval(struct process *p, int which, int signo, uint64_t cpu_ns)
{
    struct interval_timer *it = &p->itimers[which];

    if (it->expires > cpu_ns)
        return it->expires;
    signal_send_process(p, signo, SI_KERNEL, 0, 0);
    if (it->interval)
        it->expires += ((cpu_ns - it->expires) / it->interval + 1) * it->interval;
    else
        it->expires = NEVER;
    return it->expires;
}

/* setrlimit(2): SIGXCPU at the soft limit and each second after it, SIGKILL at the hard one. */
static uint64_t check_limit(struct process *p, uint64_t cpu_ns)
{
    const struct limit *limit = &p->rlimits[RLIMIT_CPU];
    uint64_t soft_ns;

    if (limit->cur >= NEVER / NSEC_PER_SEC)
        return NEVER;
    if (limit->max < NEVER / NSEC_PER_SEC && cpu_ns >= limit->max * NSEC_PER_SEC) {
        signal_send_process(p, SIGKILL, SI_KERNEL, 0, 0);
        return NEVER;
    }
    soft_ns = limit->cur * NSEC_PER_SEC;
    if (p->cpu_limit_signal_ns == NEVER || p->cpu_limit_signal_ns < soft_ns)
        p->cpu_limit_signal_ns = soft_ns;
    if (cpu_ns >= p->cpu_limit_signal_ns) {
        signal_send_process(p, SIGXCPU, SI_KERNEL, 0, 0);
        p->cpu_limit_signal_ns = cpu_ns - cpu_ns % NSEC_PER_SEC + NSEC_PER_SEC;
    }
    return p->cpu_limit_signal_ns;
}

/* In how much user time it is due next. */
static uint64_t check_virtual(struct process *p)
{
    uint64_t user_ns, next;

    if (p->itimers[ITIMER_VIRTUAL].expires == NEVER)
        return NEVER;
    user_ns = usage_process(p).user_ns;
    next = check_interval(p, ITIMER_VIRTUAL, SIGVTALRM, user_ns);
    return next == NEVER ? NEVER : next - user_ns;
}

uint64_t cputimer_check(struct thread *t, uint64_t now_ns)
{
    struct process *p = t->proc;
    uint64_t user_next = check_virtual(p), running = now_ns > t->run_start_ns ? now_ns - t->run_start_ns : 0;
    uint64_t process_ns = p->cpu_ns + running, thread_ns = t->cpu_ns + running;
    uint64_t next, thread_next;

    next = MIN(check_interval(p, ITIMER_PROF, SIGPROF, process_ns), check_limit(p, process_ns));
    next = MIN(next, posix_cpu_timers_check(p, process_ns, t, thread_ns, &thread_next));
    if (next != NEVER)
        next -= process_ns;
    next = MIN(next, user_next);
    if (thread_next != NEVER)
        next = MIN(next, thread_next - thread_ns);
    return next == NEVER ? NEVER : now_ns + next;
}

void cputimer_changed(struct process *p)
{
    p->cpu_timers = p->itimers[ITIMER_VIRTUAL].expires != NEVER || p->itimers[ITIMER_PROF].expires != NEVER ||
                    p->rlimits[RLIMIT_CPU].cur < NEVER / NSEC_PER_SEC || posix_cpu_timers_exist(p);
    p->cpu_limit_signal_ns = NEVER;
    cpu_work |= WORK_DEADLINE;
}
