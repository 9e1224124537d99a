/* Resource limits and usage, and what the system as a whole has: prlimit, getrusage, sysinfo, times. */
#include "sys/syscall.h"

#include "arch/cpu.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/mm.h"
#include "proc/cputimer.h"
#include "proc/sched.h"
#include "proc/usage.h"

#include <linux/capability.h>
#include <linux/resource.h>
#include <linux/sysinfo.h>
#include <linux/times.h>

#define CLOCK_TICK_NS (NSEC_PER_SEC / 100) /* USER_HZ */
#define LOAD_SHIFT 16

/* --- limits --- */

static bool may_limit(const struct process *p)
{
    const struct cred *c = &current->proc->cred, *t = &p->cred;

    return p == current->proc || capable(CAP_SYS_RESOURCE) ||
           (c->uid == t->uid && c->uid == t->euid && c->uid == t->suid && c->gid == t->gid && c->gid == t->egid &&
            c->gid == t->sgid);
}

static long limit_set(struct process *p, unsigned resource, const struct limit *new)
{
    struct limit *limit = &p->rlimits[resource];

    if (new->cur > new->max)
        return -EINVAL;
    if (resource == RLIMIT_NOFILE && new->max > 1048576)
        return -EPERM;
    if (new->max > limit->max && !capable(CAP_SYS_RESOURCE))
        return -EPERM;
    *limit = *new;
    if (resource == RLIMIT_CPU)
        cputimer_changed(p);
    return 0;
}

SYSCALL_DEFINE4(prlimit64, int, pid, unsigned, resource, uaddr_t, new_limit, uaddr_t, old_limit)
{
    const struct thread *t = pid ? thread_find(pid) : current;
    struct limit new, old;
    long error = 0;

    if (resource >= RLIM_NLIMITS)
        return -EINVAL;
    if (new_limit && get_user(new, new_limit) < 0)
        return -EFAULT;
    if (!t)
        return -ESRCH;
    if (!may_limit(t->proc))
        return -EPERM;
    old = t->proc->rlimits[resource];
    if (new_limit)
        error = limit_set(t->proc, resource, &new);
    if (error == 0 && old_limit)
        error = put_user(old, old_limit);
    return error;
}

SYSCALL_DEFINE2(getrlimit, unsigned, resource, uaddr_t, limit)
{
    if (resource >= RLIM_NLIMITS)
        return -EINVAL;
    return put_user(current->proc->rlimits[resource], limit);
}

SYSCALL_DEFINE2(setrlimit, unsigned, resource, uaddr_t, limit)
{
    struct limit new;

    if (resource >= RLIM_NLIMITS)
        return -EINVAL;
    if (get_user(new, limit) < 0)
        return -EFAULT;
    return limit_set(current->proc, resource, &new);
}

/* --- usage --- */

static uint64_t process_rss_peak(const struct process *p)
{
    return p->mm ? MAX(p->mm->rss_peak, p->mm->rss_pages) : p->rss_peak;
}

static void fill_self(struct process *p, struct rusage *ru)
{
    struct thread *t;

    usage_put(usage_process(p), ru);
    ru->ru_maxrss = (__kernel_long_t)(process_rss_peak(p) * (PAGE_SIZE / 1024));
    ru->ru_minflt = (__kernel_long_t)(p->min_faults + (p->mm ? p->mm->fault_count : 0));
    ru->ru_majflt = (__kernel_long_t)p->maj_faults;
    ru->ru_nvcsw = (__kernel_long_t)p->voluntary_switches;
    ru->ru_nivcsw = (__kernel_long_t)p->involuntary_switches;
    list_for_each(t, &p->threads, proc_node) {
        ru->ru_nvcsw += (__kernel_long_t)t->voluntary_switches;
        ru->ru_nivcsw += (__kernel_long_t)t->involuntary_switches;
    }
}

static void fill_children(const struct process *p, struct rusage *ru)
{
    usage_put(usage_children(p), ru);
    ru->ru_maxrss = (__kernel_long_t)(p->child_rss_peak * (PAGE_SIZE / 1024));
    ru->ru_minflt = (__kernel_long_t)p->child_min_faults;
    ru->ru_majflt = (__kernel_long_t)p->child_maj_faults;
    ru->ru_nvcsw = (__kernel_long_t)p->child_voluntary_switches;
    ru->ru_nivcsw = (__kernel_long_t)p->child_involuntary_switches;
}

static void fill_thread(struct thread *t, struct rusage *ru)
{
    usage_put(usage_thread(t), ru);
    ru->ru_maxrss = (__kernel_long_t)(process_rss_peak(t->proc) * (PAGE_SIZE / 1024));
    ru->ru_nvcsw = (__kernel_long_t)t->voluntary_switches;
    ru->ru_nivcsw = (__kernel_long_t)t->involuntary_switches;
}

SYSCALL_DEFINE2(getrusage, int, who, uaddr_t, usage)
{
    struct rusage ru;

    memset(&ru, 0, sizeof(ru));
    if (who == RUSAGE_SELF)
        fill_self(current->proc, &ru);
    else if (who == RUSAGE_CHILDREN)
        fill_children(current->proc, &ru);
    else if (who == RUSAGE_THREAD)
        fill_thread(current, &ru);
    else
        return -EINVAL;
    return put_user(ru, usage);
}

SYSCALL_DEFINE1(times, uaddr_t, buf)
{
    struct cpu_times own = usage_process(current->proc), children = usage_children(current->proc);
    struct tms tms = {
        .tms_utime = (__kernel_clock_t)(own.user_ns / CLOCK_TICK_NS),
        .tms_stime = (__kernel_clock_t)(own.system_ns / CLOCK_TICK_NS),
        .tms_cutime = (__kernel_clock_t)(children.user_ns / CLOCK_TICK_NS),
        .tms_cstime = (__kernel_clock_t)(children.system_ns / CLOCK_TICK_NS),
    };

    if (buf && put_user(tms, buf) < 0)
        return -EFAULT;
    return (long)(clock_boot_ns() / CLOCK_TICK_NS);
}

/* The load is how many threads could run now: there is no history of it. */
SYSCALL_DEFINE1(sysinfo, uaddr_t, buf)
{
    struct sysinfo info;

    memset(&info, 0, sizeof(info));
    info.uptime = (__kernel_long_t)(clock_boot_ns() / NSEC_PER_SEC);
    for (int i = 0; i < 3; i++)
        info.loads[i] = sched_runnable_count() << LOAD_SHIFT;
    info.totalram = frame_total() * PAGE_SIZE;
    info.freeram = frame_free_count() * PAGE_SIZE;
    info.procs = (uint16_t)MIN(thread_total, 65535u);
    info.mem_unit = 1;
    return put_user(info, buf);
}
