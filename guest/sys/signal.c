/* The signal calls (signal(7)). */
#include "proc/signal.h"

#include "arch/cpu.h"
#include "fs/procfs.h"
#include "lib/string.h"
#include "proc/pidfd.h"
#include "proc/sched.h"
#include "sys/syscall.h"
#include "sys/timespec.h"

#include <linux/fcntl.h>

static bool valid_signal(int signo)
{
    return signo >= 1 && signo <= SIGNAL_COUNT;
}

/* --- dispositions and masks --- */

static void set_action(int signo, const struct signal_action *new)
{
    struct process *p = current->proc;
    struct signal_action *a = &p->sighand->action[signo - 1];
    bool ignored;
    struct thread *t;

    *a = *new;
    a->mask &= ~SIGNALS_UNBLOCKABLE;
    ignored = a->handler == HANDLER_IGNORE ||
              (a->handler == HANDLER_DEFAULT && (SIGNALS_IGNORED_BY_DEFAULT & SIGNAL_BIT(signo)));
    if (!ignored)
        return;
    sigqueue_flush(&p->pending, SIGNAL_BIT(signo)); /* POSIX: what is pending is discarded, blocked or not */
    list_for_each(t, &p->threads, proc_node)
        sigqueue_flush(&t->pending, SIGNAL_BIT(signo));
}

#define SA_KNOWN                                                                                   \
    (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER |             \
     SA_RESETHAND | SA_RESTORER | 0x800ul /* SA_EXPOSE_TAGBITS: no tags here */)

SYSCALL_DEFINE4(rt_sigaction, int, signo, uaddr_t, new_action, uaddr_t, old_action, size_t, size)
{
    struct signal_action new, old;

    if (size != sizeof(sigset))
        return -EINVAL;
    if (new_action && get_user(new, new_action) < 0)
        return -EFAULT;
    if (!valid_signal(signo) || (new_action && (SIGNALS_UNBLOCKABLE & SIGNAL_BIT(signo))))
        return -EINVAL;
    old = current->proc->sighand->action[signo - 1];
    if (new_action && (old.flags & ACTION_FINAL))
        return -EINVAL;
    if (new_action) {
        new.flags &= SA_KNOWN; /* unknown bits are cleared, so that programs can ask what is supported */
        set_action(signo, &new);
    }
    return old_action ? put_user(old, old_action) : 0;
}

SYSCALL_DEFINE4(rt_sigprocmask, int, how, uaddr_t, new_set, uaddr_t, old_set, size_t, size)
{
    sigset set, old = current->blocked;

    if (size != sizeof(sigset))
        return -EINVAL;
    if (new_set) {
        if (get_user(set, new_set) < 0)
            return -EFAULT;
        if (how == SIG_BLOCK)
            set |= old;
        else if (how == SIG_UNBLOCK)
            set = old & ~set;
        else if (how != SIG_SETMASK)
            return -EINVAL;
        signal_set_mask(set);
    }
    return old_set ? put_user(old, old_set) : 0;
}

SYSCALL_DEFINE2(rt_sigpending, uaddr_t, set, size_t, size)
{
    sigset pending = signal_pending_set(current) & current->blocked;

    if (size > sizeof(pending))
        return -EINVAL;
    return copy_to_user(set, &pending, size);
}

SYSCALL_DEFINE2(sigaltstack, uaddr_t, new_stack, uaddr_t, old_stack)
{
    return sigaltstack_set(new_stack, old_stack, current->regs->rsp);
}

/* --- waiting --- */

SYSCALL_DEFINE0(pause)
{
    while (!signal_pending(current))
        thread_park(NEVER, true);
    return -ERESTARTNOHAND;
}

SYSCALL_DEFINE2(rt_sigsuspend, uaddr_t, mask, size_t, size)
{
    long error = mask ? signal_set_temporary_mask(mask, size) : -EFAULT;

    if (error < 0)
        return error;
    while (!signal_pending(current))
        thread_park(NEVER, true);
    return -ERESTARTNOHAND; /* the mask is restored on the way back */
}

/* The thread takes what it waits for itself: such signals wake it, though they are blocked, and aren't ignored meanwhile. */
static int wait_for_signal(sigset which, siginfo_t *info, uint64_t deadline_ns)
{
    struct thread *self = current;
    sigset blocked = self->blocked;
    int signo = signal_dequeue(which, info), ret = 0;

    if (signo)
        return signo;
    self->real_blocked = blocked;
    self->blocked = blocked & ~which;
    while (!signo && ret == 0) {
        ret = thread_park(deadline_ns, true);
        signo = signal_dequeue(which, info);
    }
    self->real_blocked = 0;
    signal_set_mask(blocked);
    if (signo)
        return signo;
    return ret == -ETIMEDOUT ? -EAGAIN : -EINTR;
}

SYSCALL_DEFINE4(rt_sigtimedwait, uaddr_t, set, uaddr_t, info_addr, uaddr_t, timeout, size_t, size)
{
    uint64_t timeout_ns = 0, deadline = NEVER;
    siginfo_t info;
    sigset which;
    long error;
    int signo;

    if (size != sizeof(which))
        return -EINVAL;
    if (get_user(which, set) < 0)
        return -EFAULT;
    which &= ~SIGNALS_UNBLOCKABLE;
    if (timeout) {
        error = timespec_read(timeout, &timeout_ns);
        if (error < 0)
            return error;
        deadline = deadline_after(timeout_ns);
    }
    signo = wait_for_signal(which, &info, deadline);
    if (signo > 0 && info_addr && put_user(info, info_addr) < 0)
        return -EFAULT;
    return signo;
}

/* --- sending --- */

static siginfo_t own_info(int signo, int code)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    info.si_signo = signo;
    info.si_code = code;
    info.si_pid = current->proc->pid;
    info.si_uid = current->proc->cred.uid;
    return info;
}

/* Who isn't there comes before a signal that doesn't exist, and that before permission. */
static long may_send(const struct process *p, int signo)
{
    return signo != 0 && !valid_signal(signo) ? -EINVAL : signal_may_send(p, signo);
}

static long send_to_process(struct process *p, const siginfo_t *info)
{
    long error = may_send(p, info->si_signo);

    if (error < 0 || info->si_signo == 0)
        return error;
    return signal_send(p, NULL, info);
}

/* To everybody (all) or to a group, as far as permitted; an error only if it could be sent to nobody. */
static long send_to_many(bool all, int pgid, const siginfo_t *info)
{
    struct process *p, *tmp;
    bool sent = false;
    long error = -ESRCH, ret;

    list_for_each_safe(p, tmp, &all_processes, all_node) {
        if (all ? p == current->proc : p->pgid != pgid)
            continue;
        ret = send_to_process(p, info);
        if (ret == 0)
            sent = true;
        else
            error = ret;
    }
    return sent ? 0 : error;
}

SYSCALL_DEFINE2(kill, int, pid, int, signo)
{
    siginfo_t info = own_info(signo, SI_USER);
    struct process *p;

    if (pid == INT32_MIN)
        return -ESRCH;
    if (pid <= 0)
        return send_to_many(pid == -1, pid == 0 ? current->proc->pgid : -pid, &info);
    p = process_find(pid);
    if (!p) { /* a thread's id does too: it means its process */
        struct thread *t = thread_find(pid);

        p = t ? t->proc : NULL;
    }
    return p ? send_to_process(p, &info) : -ESRCH;
}

static long send_to_thread(int tgid, int tid, const siginfo_t *info)
{
    struct thread *t = thread_find(tid);
    long error;

    if (!t || (tgid > 0 && t->proc->pid != tgid))
        return -ESRCH;
    error = may_send(t->proc, info->si_signo);
    if (error < 0 || info->si_signo == 0 || t->exiting)
        return error;
    return signal_send(t->proc, t, info);
}

SYSCALL_DEFINE3(tgkill, int, tgid, int, tid, int, signo)
{
    siginfo_t info = own_info(signo, SI_TKILL);

    if (tgid <= 0 || tid <= 0)
        return -EINVAL;
    return send_to_thread(tgid, tid, &info);
}

SYSCALL_DEFINE2(tkill, int, tid, int, signo)
{
    siginfo_t info = own_info(signo, SI_TKILL);

    if (tid <= 0)
        return -EINVAL;
    return send_to_thread(0, tid, &info);
}

/* The sender makes up the information; it may pretend to be the kernel or kill(2) only to itself (rt_sigqueueinfo(2)). */
static long take_info(int signo, uaddr_t addr, int target, siginfo_t *ret)
{
    if (copy_from_user(ret, addr, sizeof(*ret)) < 0)
        return -EFAULT;
    ret->si_signo = signo;
    if ((ret->si_code >= 0 || ret->si_code == SI_TKILL) && target != current->proc->pid && target != current->tid)
        return -EPERM;
    return signo != 0 && !valid_signal(signo) ? -EINVAL : 0;
}

SYSCALL_DEFINE3(rt_sigqueueinfo, int, pid, int, signo, uaddr_t, info_addr)
{
    struct process *p;
    siginfo_t info;
    long error = take_info(signo, info_addr, pid, &info);

    if (error < 0)
        return error;
    p = process_find(pid);
    return p ? send_to_process(p, &info) : -ESRCH;
}

SYSCALL_DEFINE4(rt_tgsigqueueinfo, int, tgid, int, tid, int, signo, uaddr_t, info_addr)
{
    siginfo_t info;
    long error;

    if (tgid <= 0 || tid <= 0)
        return -EINVAL;
    error = take_info(signo, info_addr, tid, &info);
    return error < 0 ? error : send_to_thread(tgid, tid, &info);
}

SYSCALL_DEFINE4(pidfd_send_signal, int, fd, int, signo, uaddr_t, info_addr, uint32_t, flags)
{
    siginfo_t info = own_info(signo, SI_USER);
    struct process *p;
    struct file *f;
    long error = 0;
    int claimed;

    if (flags)
        return -EINVAL;
    f = fd_get(fd);
    if (!f)
        return -EBADF;
    p = pidfd_process(f);
    if (!p)
        p = procfs_process(f);
    if (!p)
        error = -EBADF;
    else if (info_addr && get_user(claimed, info_addr) < 0)
        error = -EFAULT;
    else if (info_addr && claimed != signo)
        error = -EINVAL;
    else if (info_addr)
        error = take_info(signo, info_addr, p->pid, &info);
    if (error == 0)
        error = p->zombie && p->reaped ? -ESRCH : send_to_process(p, &info);
    file_put(f);
    return error;
}

/* --- returning --- */

SYSCALL_DEFINE0(rt_sigreturn)
{
    if (sigframe_pop(regs) < 0)
        signal_force_fault(SIGSEGV, SI_KERNEL, 0, 0, 0);
    regs->orig_rax = NO_SYSCALL;
    return (long)regs->rax;
}

/* The call that was interrupted goes on, with what it noted of its progress. */
SYSCALL_DEFINE0(restart_syscall)
{
    long (*restart)(struct thread *) = current->restart;

    current->restart = NULL;
    return restart ? restart(current) : -EINTR;
}
