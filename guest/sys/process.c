/* Waiting for children, process groups and sessions, pidfds (wait(2), waitid(2), credentials(7)). */
#include "fs/fdtable.h"
#include "lib/string.h"
#include "proc/cputimer.h"
#include "proc/exit.h"
#include "proc/pidfd.h"
#include "proc/ptrace.h"
#include "proc/sched.h"
#include "proc/signal.h"
#include "proc/usage.h"
#include "sys/syscall.h"

#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/resource.h>
#include <linux/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* --- waiting --- */

enum wait_for { WAIT_ANY, WAIT_PID, WAIT_GROUP };

struct wait_request {
    enum wait_for kind;
    int id;
    uint32_t options;
    /* outcome */
    int pid; /* 0: nothing yet */
    int code; /* CLD_* */
    int status; /* as wait4 reports it */
    uint32_t uid;
    struct rusage rusage;
};

static bool is_wanted(const struct process *p, const struct wait_request *rq)
{
    bool is_clone = p->exit_signal != SIGCHLD;

    if (rq->kind == WAIT_PID && p->pid != rq->id)
        return false;
    if (rq->kind == WAIT_GROUP && p->pgid != rq->id)
        return false;
    return (rq->options & __WALL) || is_clone == !!(rq->options & __WCLONE);
}

static void usage_of(struct process *p, struct rusage *ru)
{
    struct cpu_times own = usage_process(p), children = usage_children(p);

    memset(ru, 0, sizeof(*ru));
    own.user_ns += children.user_ns;
    own.system_ns += children.system_ns;
    usage_put(own, ru);
    ru->ru_maxrss = (__kernel_long_t)(MAX(p->rss_peak, p->child_rss_peak) * (PAGE_SIZE / 1024));
    ru->ru_minflt = (__kernel_long_t)(p->min_faults + p->child_min_faults);
    ru->ru_majflt = (__kernel_long_t)(p->maj_faults + p->child_maj_faults);
    ru->ru_nvcsw = (__kernel_long_t)(p->voluntary_switches + p->child_voluntary_switches);
    ru->ru_nivcsw = (__kernel_long_t)(p->involuntary_switches + p->child_involuntary_switches);
}

static void found(struct process *p, int id, struct wait_request *rq, int code, int status)
{
    rq->pid = id;
    rq->code = code;
    rq->status = status;
    rq->uid = p->cred.uid;
    usage_of(p, &rq->rusage);
}

static int end_code(int status)
{
    if (!(status & 0x7f))
        return CLD_EXITED;
    return status & 0x80 ? CLD_DUMPED : CLD_KILLED;
}

/* Is there something to say about p? Saying it uses it up, unless WNOWAIT. */
static bool collect(struct process *p, struct wait_request *rq)
{
    bool keep = rq->options & WNOWAIT;
    const struct trace *tr = p->leader ? p->leader->trace : NULL;
    bool mine = tr && tr->tracer == current->proc;

    if (p->zombie && (rq->options & WEXITED) && (!tr || mine) && p->ended_tracees == 0) {
        found(p, p->pid, rq, end_code(p->exit_status), p->exit_status);
        if (!keep)
            process_reap(p);
        return true;
    }
    if (p->stopped && p->stop_signal && (rq->options & WUNTRACED) && !mine) {
        found(p, p->pid, rq, CLD_STOPPED, p->stop_signal << 8 | 0x7f);
        if (!keep)
            p->stop_signal = 0;
        return true;
    }
    if (p->continued && !p->zombie && (rq->options & WCONTINUED)) {
        found(p, p->pid, rq, CLD_CONTINUED, 0xffff);
        if (!keep)
            p->continued = false;
        return true;
    }
    return false;
}

/* The same for what current's process traces: stops of threads always, ends of those that aren't its children's. */
static bool collect_tracee(struct trace *tr, struct wait_request *rq)
{
    struct thread *t = tr->tracee;
    struct process *p = t->proc;
    bool keep = rq->options & WNOWAIT;

    if (rq->options & WEXITED) {
        if (tr->ended || (p->zombie && t == p->leader && p->parent != current->proc && p->ended_tracees == 0)) {
            int status = tr->ended ? t->exit_code : p->exit_status;

            found(p, t->tid, rq, end_code(status), status);
            if (!keep)
                ptrace_detach(t, 0);
            return true;
        }
    }
    if (tr->stop == TRACE_STOP_NONE || tr->reported)
        return false;
    found(p, t->tid, rq, CLD_TRAPPED, tr->code << 8 | 0x7f);
    tr->reported = !keep;
    return true;
}

static bool is_wanted_tracee(const struct trace *tr, const struct wait_request *rq)
{
    if ((rq->options & __WNOTHREAD) && tr->tracer_thread != current)
        return false;
    return rq->kind == WAIT_ANY || (rq->kind == WAIT_PID && tr->tracee->tid == rq->id) ||
           (rq->kind == WAIT_GROUP && tr->tracee->proc->pgid == rq->id);
}

static long look_at_tracees(struct wait_request *rq, long none)
{
    struct trace *tr, *tmp;

    list_for_each_safe(tr, tmp, &current->proc->tracees, node) {
        if (!is_wanted_tracee(tr, rq))
            continue;
        if (collect_tracee(tr, rq))
            return 1;
        none = 0;
    }
    return none;
}

/* 1: done; 0: nothing yet; -ECHILD: nobody to wait for. */
static long look(struct wait_request *rq)
{
    struct process *child, *tmp;
    long ret = -ECHILD;

    list_for_each_safe(child, tmp, &current->proc->children, sibling_node) {
        if (!is_wanted(child, rq))
            continue;
        if (collect(child, rq))
            return 1;
        ret = 0;
    }
    return look_at_tracees(rq, ret);
}

static long wait_for_child(struct wait_request *rq)
{
    struct wait_entry entry = { 0 };
    long ret;

    wait_add(&current->proc->child_wait, &entry);
    for (;;) {
        ret = look(rq);
        if (ret != 0)
            break;
        if (rq->options & WNOHANG)
            break;
        ret = thread_park(NEVER, true);
        if (ret < 0)
            break;
    }
    wait_remove(&entry);
    return ret > 0 ? 0 : ret;
}

static void select_by_pid(struct wait_request *rq, int pid)
{
    if (pid == -1) {
        rq->kind = WAIT_ANY;
    } else if (pid <= 0) {
        rq->kind = WAIT_GROUP;
        rq->id = pid == 0 ? current->proc->pgid : -pid;
    } else {
        rq->kind = WAIT_PID;
        rq->id = pid;
    }
}

SYSCALL_DEFINE4(wait4, int, pid, uaddr_t, status, uint32_t, options, uaddr_t, usage)
{
    struct wait_request rq = { .options = options | WEXITED };
    long error;

    if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
        return -EINVAL;
    if (pid == INT32_MIN)
        return -ESRCH;
    select_by_pid(&rq, pid);
    error = wait_for_child(&rq);
    if (error < 0 || rq.pid == 0)
        return error;
    if ((status && put_user(rq.status, status) < 0) || (usage && put_user(rq.rusage, usage) < 0))
        return -EFAULT;
    return rq.pid;
}

static long pid_of_pidfd(int fd, int *ret_pid, bool *ret_nonblock)
{
    struct file *f = fd_get(fd);
    const struct process *p = f ? pidfd_process(f) : NULL;

    if (p) {
        *ret_pid = p->pid;
        *ret_nonblock = f->flags & O_NONBLOCK;
    }
    if (f)
        file_put(f);
    return p ? 0 : -EBADF;
}

static long select_by_type(struct wait_request *rq, int type, int id, bool *ret_nonblock)
{
    *ret_nonblock = false;
    rq->id = id;
    switch (type) {
    case P_ALL:
        rq->kind = WAIT_ANY;
        return 0;
    case P_PID:
        rq->kind = WAIT_PID;
        return id > 0 ? 0 : -EINVAL;
    case P_PGID:
        rq->kind = WAIT_GROUP;
        if (id == 0)
            rq->id = current->proc->pgid;
        return id >= 0 ? 0 : -EINVAL;
    case P_PIDFD:
        rq->kind = WAIT_PID;
        return id >= 0 ? pid_of_pidfd(id, &rq->id, ret_nonblock) : -EINVAL;
    default:
        return -EINVAL;
    }
}

static siginfo_t wait_info(const struct wait_request *rq)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    if (rq->pid == 0)
        return info;
    info.si_signo = SIGCHLD;
    info.si_code = rq->code;
    info.si_pid = rq->pid;
    info.si_uid = rq->uid;
    if (rq->code == CLD_EXITED || rq->code == CLD_STOPPED)
        info.si_status = rq->status >> 8 & 0xff;
    else if (rq->code == CLD_TRAPPED)
        info.si_status = rq->status >> 8;
    else if (rq->code == CLD_CONTINUED)
        info.si_status = SIGCONT;
    else
        info.si_status = rq->status & 0x7f;
    return info;
}

SYSCALL_DEFINE5(waitid, int, type, int, id, uaddr_t, info_addr, uint32_t, options, uaddr_t, usage)
{
    struct wait_request rq = { .options = options };
    siginfo_t info;
    bool nonblock;
    long error;

    if ((options & ~(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL)) ||
        !(options & (WEXITED | WSTOPPED | WCONTINUED)))
        return -EINVAL;
    error = select_by_type(&rq, type, id, &nonblock);
    if (error < 0)
        return error;
    if (nonblock)
        rq.options |= WNOHANG;
    error = wait_for_child(&rq);
    if (error < 0)
        return error;
    if (nonblock && !(options & WNOHANG) && rq.pid == 0)
        return -EAGAIN;
    info = wait_info(&rq);
    if (rq.pid && usage && put_user(rq.rusage, usage) < 0)
        return -EFAULT;
    /* Linux writes the six words up to si_status, no more. */
    return info_addr ? copy_to_user(info_addr, &info, offsetof(siginfo_t, si_status) + sizeof(int)) : 0;
}

/* --- groups and sessions --- */

SYSCALL_DEFINE0(getpgrp)
{
    return current->proc->pgid;
}

SYSCALL_DEFINE1(getpgid, int, pid)
{
    const struct process *p = pid ? process_find(pid) : current->proc;

    return p ? p->pgid : -ESRCH;
}

SYSCALL_DEFINE1(getsid, int, pid)
{
    const struct process *p = pid ? process_find(pid) : current->proc;

    return p ? p->sid : -ESRCH;
}

static bool pgrp_in_session(int pgid, int sid)
{
    struct process *p;

    list_for_each(p, &all_processes, all_node)
        if (p->pgid == pgid && p->sid == sid)
            return true;
    return false;
}

/* setpgid(2), ERRORS. */
SYSCALL_DEFINE2(setpgid, int, pid, int, pgid)
{
    struct process *self = current->proc;
    struct process *p = pid ? process_find(pid) : self;

    if (pgid < 0 || (pid < 0 && pgid == 0))
        return -EINVAL;
    if (!p || (p != self && p->parent != self))
        return -ESRCH;
    if (p != self && p->sid != self->sid)
        return -EPERM;
    if (p != self && p->execed)
        return -EACCES;
    if (p->sid == p->pid)
        return -EPERM;
    if (pgid == 0)
        pgid = p->pid;
    if (pgid != p->pid && !pgrp_in_session(pgid, self->sid))
        return -EPERM;
    p->pgid = pgid;
    return 0;
}

SYSCALL_DEFINE0(setsid)
{
    struct process *p = current->proc;

    if (pgrp_exists(p->pid))
        return -EPERM;
    p->sid = p->pid;
    p->pgid = p->pid;
    p->tty = NULL;
    p->tty_old_pgid = 0;
    return p->pid;
}

/* --- pidfds --- */

SYSCALL_DEFINE2(pidfd_open, int, pid, uint32_t, flags)
{
    struct process *p;

    if ((flags & ~(uint32_t)O_NONBLOCK) || pid <= 0)
        return -EINVAL;
    p = process_find(pid);
    if (!p)
        return thread_find(pid) ? -EINVAL : -ESRCH; /* a thread that isn't a leader */
    return pidfd_install(p, flags);
}

static struct file *file_of_process(const struct process *p, int fd)
{
    struct thread *t;

    list_for_each(t, &p->threads, proc_node)
        if (t->files)
            return fd_table_file(t->files, fd);
    return NULL;
}

SYSCALL_DEFINE3(pidfd_getfd, int, pidfd, int, target_fd, uint32_t, flags)
{
    struct file *pf, *f;
    struct process *p;
    int fd;

    if (flags)
        return -EINVAL;
    pf = fd_get(pidfd);
    if (!pf)
        return -EBADF;
    p = pidfd_process(pf);
    if (!p || p->zombie || !ptrace_may_access(p)) {
        file_put(pf);
        return !p ? -EBADF : p->zombie ? -ESRCH : -EPERM;
    }
    f = file_of_process(p, target_fd);
    file_put(pf);
    if (!f)
        return -EBADF;
    fd = fd_install(f, 0, true);
    if (fd < 0)
        file_put(f);
    return fd;
}
