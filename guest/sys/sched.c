/*
 * Scheduling parameters (sched(7)). There is one CPU and one fair queue, in which nice values count; policies and real-time
 * priorities are kept, checked and reported as Linux does, and change nothing else.
 */
#include "proc/sched.h"

#include "lib/kmalloc.h"
#include "lib/string.h"
#include "proc/signal.h"
#include "sys/syscall.h"

#include <linux/capability.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/sched/types.h>

#define PRIORITY_MAX 99
#define SCHED_ATTR_SIZE_MIN 48 /* SCHED_ATTR_SIZE_VER0 */

static struct thread *find(int tid)
{
    return tid ? thread_find(tid) : current;
}

static bool same_owner(const struct thread *t)
{
    const struct cred *c = &current->proc->cred, *target = &t->proc->cred;

    return c->euid == target->euid || c->euid == target->uid || capable(CAP_SYS_NICE);
}

SYSCALL_DEFINE0(sched_yield)
{
    thread_yield();
    return 0;
}

/* --- policies --- */

static bool is_realtime(int policy)
{
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool is_fair(int policy)
{
    return policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE;
}

static long check_policy(int policy, int priority)
{
    if (is_realtime(policy))
        return priority >= 1 && priority <= PRIORITY_MAX ? 0 : -EINVAL;
    if (is_fair(policy))
        return priority == 0 ? 0 : -EINVAL;
    return -EINVAL; /* SCHED_DEADLINE would be a promise */
}

static long may_set_policy(const struct thread *t, int policy, int priority)
{
    const struct limit *limit = &t->proc->rlimits[RLIMIT_RTPRIO];

    if (!same_owner(t))
        return -EPERM;
    if (capable(CAP_SYS_NICE) || !is_realtime(policy))
        return 0;
    if (policy != t->sched_policy && limit->cur == 0)
        return -EPERM;
    if (priority > t->sched_priority && (uint64_t)priority > limit->cur)
        return -EPERM;
    return 0;
}

static long set_policy(struct thread *t, int policy, int priority, bool reset_on_fork)
{
    long error = check_policy(policy, priority);

    if (error == 0)
        error = may_set_policy(t, policy, priority);
    if (error < 0)
        return error;
    t->sched_policy = policy;
    t->sched_priority = priority;
    t->sched_reset_on_fork = reset_on_fork;
    return 0;
}

SYSCALL_DEFINE3(sched_setscheduler, int, tid, int, policy, uaddr_t, param)
{
    struct thread *t;
    int priority;

    if (tid < 0 || policy < 0 || !param)
        return -EINVAL;
    if (get_user(priority, param) < 0)
        return -EFAULT;
    t = find(tid);
    if (!t)
        return -ESRCH;
    return set_policy(t, policy & ~SCHED_RESET_ON_FORK, priority, policy & SCHED_RESET_ON_FORK);
}

SYSCALL_DEFINE1(sched_getscheduler, int, tid)
{
    const struct thread *t;

    if (tid < 0)
        return -EINVAL;
    t = find(tid);
    if (!t)
        return -ESRCH;
    return t->sched_policy | (t->sched_reset_on_fork ? SCHED_RESET_ON_FORK : 0);
}

SYSCALL_DEFINE2(sched_setparam, int, tid, uaddr_t, param)
{
    struct thread *t;
    int priority;

    if (tid < 0 || !param)
        return -EINVAL;
    if (get_user(priority, param) < 0)
        return -EFAULT;
    t = find(tid);
    return t ? set_policy(t, t->sched_policy, priority, t->sched_reset_on_fork) : -ESRCH;
}

SYSCALL_DEFINE2(sched_getparam, int, tid, uaddr_t, param)
{
    const struct thread *t;

    if (tid < 0 || !param)
        return -EINVAL;
    t = find(tid);
    return t ? put_user(t->sched_priority, param) : -ESRCH;
}

SYSCALL_DEFINE1(sched_get_priority_max, int, policy)
{
    if (is_realtime(policy))
        return PRIORITY_MAX;
    return is_fair(policy) || policy == SCHED_DEADLINE ? 0 : -EINVAL;
}

SYSCALL_DEFINE1(sched_get_priority_min, int, policy)
{
    if (is_realtime(policy))
        return 1;
    return is_fair(policy) || policy == SCHED_DEADLINE ? 0 : -EINVAL;
}

SYSCALL_DEFINE2(sched_rr_get_interval, int, tid, uaddr_t, interval)
{
    uint64_t ts[2] = { 0, SCHED_SLICE_NS };
    const struct thread *t;

    if (tid < 0)
        return -EINVAL;
    t = find(tid);
    if (!t)
        return -ESRCH;
    if (t->sched_policy == SCHED_FIFO)
        ts[1] = 0;
    return put_user(ts, interval);
}

/* --- sched_setattr(2) --- */

static long read_attr(uaddr_t addr, struct sched_attr *attr)
{
    uint32_t size;

    if (get_user(size, addr) < 0)
        return -EFAULT;
    if (size == 0)
        size = SCHED_ATTR_SIZE_MIN;
    if (size < SCHED_ATTR_SIZE_MIN || size > PAGE_SIZE)
        return -E2BIG;
    return copy_struct_from_user(attr, sizeof(*attr), addr, size);
}

static long set_nice(struct thread *t, int nice);

SYSCALL_DEFINE3(sched_setattr, int, tid, uaddr_t, addr, uint32_t, flags)
{
    struct sched_attr attr;
    struct thread *t;
    long error;

    if (!addr || tid < 0 || flags)
        return -EINVAL;
    error = read_attr(addr, &attr);
    if (error < 0)
        return error;
    if (attr.sched_flags & ~(uint64_t)(SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_KEEP_POLICY | SCHED_FLAG_KEEP_PARAMS))
        return -EINVAL;
    t = find(tid);
    if (!t)
        return -ESRCH;
    if (attr.sched_flags & SCHED_FLAG_KEEP_POLICY)
        attr.sched_policy = (uint32_t)t->sched_policy;
    if (attr.sched_flags & SCHED_FLAG_KEEP_PARAMS)
        attr.sched_priority = (uint32_t)t->sched_priority;
    error = set_policy(t, (int)attr.sched_policy, (int)attr.sched_priority,
                       attr.sched_flags & SCHED_FLAG_RESET_ON_FORK);
    if (error == 0 && is_fair((int)attr.sched_policy) && !(attr.sched_flags & SCHED_FLAG_KEEP_PARAMS))
        error = set_nice(t, MIN(MAX(attr.sched_nice, -20), 19));
    return error;
}

SYSCALL_DEFINE4(sched_getattr, int, tid, uaddr_t, addr, uint32_t, size, uint32_t, flags)
{
    struct sched_attr attr = { 0 };
    const struct thread *t;

    if (!addr || tid < 0 || flags || size < SCHED_ATTR_SIZE_MIN || size > PAGE_SIZE)
        return -EINVAL;
    t = find(tid);
    if (!t)
        return -ESRCH;
    attr.size = MIN(size, (uint32_t)sizeof(attr));
    attr.sched_policy = (uint32_t)t->sched_policy;
    attr.sched_flags = t->sched_reset_on_fork ? SCHED_FLAG_RESET_ON_FORK : 0;
    attr.sched_nice = is_fair(t->sched_policy) ? t->nice : 0;
    attr.sched_priority = (uint32_t)t->sched_priority;
    if (size > sizeof(attr))
        attr.sched_util_max = 1024;
    return copy_to_user(addr, &attr, attr.size);
}

/* --- affinity: CPU 0 is all there is --- */

SYSCALL_DEFINE3(sched_setaffinity, int, tid, uint32_t, size, uaddr_t, mask)
{
    uint8_t first = 0;
    const struct thread *t = find(tid);

    if (size > 0 && get_user(first, mask) < 0)
        return -EFAULT;
    if (!t)
        return -ESRCH;
    if (!same_owner(t))
        return -EPERM;
    return first & 1 ? 0 : -EINVAL;
}

SYSCALL_DEFINE3(sched_getaffinity, int, tid, uint32_t, size, uaddr_t, mask)
{
    uint64_t cpus = 1;

    if (size < sizeof(cpus) || size % sizeof(cpus))
        return -EINVAL;
    if (!find(tid))
        return -ESRCH;
    return put_user(cpus, mask) < 0 ? -EFAULT : (long)sizeof(cpus);
}

/* --- nice values (getpriority(2)) --- */

static long set_nice(struct thread *t, int nice)
{
    uint64_t floor = t->proc->rlimits[RLIMIT_NICE].cur; /* 20 - the lowest that is allowed */

    if (!same_owner(t))
        return -EPERM;
    if (nice < t->nice && (uint64_t)(20 - nice) > floor && !capable(CAP_SYS_NICE))
        return -EACCES;
    t->nice = nice;
    return 0;
}

struct priority_walk {
    bool set;
    int nice;
    long result; /* set: 0 or the last error; get: highest 20 - nice */
};

static void visit(struct thread *t, struct priority_walk *w)
{
    if (w->set) {
        long error = set_nice(t, w->nice);

        if (w->result == -ESRCH || error < 0)
            w->result = error;
    } else {
        w->result = MAX(w->result, (long)(20 - t->nice));
    }
}

static long walk(int which, int who, struct priority_walk *w)
{
    const struct process *self = current->proc;
    struct process *p;
    struct thread *t;

    w->result = -ESRCH;
    if (which == PRIO_PROCESS) {
        t = find(who);
        if (t)
            visit(t, w);
        return w->result;
    }
    if (who == 0)
        who = which == PRIO_PGRP ? self->pgid : (int)self->cred.uid;
    list_for_each(p, &all_processes, all_node) {
        if (which == PRIO_PGRP ? p->pgid != who : p->cred.uid != (uint32_t)who)
            continue;
        list_for_each(t, &p->threads, proc_node)
            visit(t, w);
    }
    return w->result;
}

SYSCALL_DEFINE2(getpriority, int, which, int, who)
{
    struct priority_walk w = { .set = false };

    return which < PRIO_PROCESS || which > PRIO_USER ? -EINVAL : walk(which, who, &w);
}

SYSCALL_DEFINE3(setpriority, int, which, int, who, int, nice)
{
    struct priority_walk w = { .set = true, .nice = MIN(MAX(nice, -20), 19) };

    return which < PRIO_PROCESS || which > PRIO_USER ? -EINVAL : walk(which, who, &w);
}

/* --- I/O priorities (ioprio_set(2)): kept and reported --- */

#define IOPRIO_CLASS_SHIFT 13
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_WHO_USER 3
#define IOPRIO_DEFAULT (2u << IOPRIO_CLASS_SHIFT | 4)

SYSCALL_DEFINE3(ioprio_set, int, which, int, who, int, ioprio)
{
    int class = ioprio >> IOPRIO_CLASS_SHIFT, level = ioprio & 0x1fff;
    struct thread *t;

    if (class < 0 || class > 3 || level > 7 || (class == 0 && level))
        return -EINVAL;
    if (class == 1 && !capable(CAP_SYS_NICE))
        return -EPERM;
    if (which < IOPRIO_WHO_PROCESS || which > IOPRIO_WHO_USER)
        return -EINVAL;
    t = which == IOPRIO_WHO_PROCESS ? find(who) : current;
    if (!t)
        return -ESRCH;
    t->ioprio = (uint32_t)ioprio;
    return 0;
}

SYSCALL_DEFINE2(ioprio_get, int, which, int, who)
{
    const struct thread *t;

    if (which < IOPRIO_WHO_PROCESS || which > IOPRIO_WHO_USER)
        return -EINVAL;
    t = which == IOPRIO_WHO_PROCESS ? find(who) : current;
    if (!t)
        return -ESRCH;
    return t->ioprio ? t->ioprio : IOPRIO_DEFAULT;
}
