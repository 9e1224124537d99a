/*
 * Sending signals: who may, what is queued, which thread is told (Linux: kernel/signal.c; signal(7)).
 * Called from system calls, faults, timers and the scheduler; never parks, except for the ending of threads by themselves.
 */
#include "proc/signal.h"

#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/mm.h"
#include "proc/exit.h"
#include "proc/posix_timer.h"
#include "proc/ptrace.h"
#include "proc/sched.h"
#include "proc/usage.h"
#include "tty/bridge.h"
#include "tty/tty.h"

#include <linux/capability.h>
#include <linux/resource.h>

#define APP_PID 2
#define REALTIME_FIRST 32 /* the kernel's SIGRTMIN */

/* --- dispositions --- */

struct sighand *sighand_create(void)
{
    struct sighand *s = kzalloc(sizeof(*s));

    if (s)
        s->refs = 1;
    return s;
}

struct sighand *sighand_copy(const struct sighand *from)
{
    struct sighand *s = sighand_create();

    if (s)
        memcpy(s->action, from->action, sizeof(s->action));
    return s;
}

void sighand_put(struct sighand *s)
{
    if (--s->refs == 0)
        kfree(s);
}

static const struct signal_action *action_of(const struct process *p, int signo)
{
    return &p->sighand->action[signo - 1];
}

static bool handler_ignores(const struct process *p, int signo)
{
    uint64_t handler = action_of(p, signo)->handler;

    return handler == HANDLER_IGNORE ||
           (handler == HANDLER_DEFAULT && (SIGNALS_IGNORED_BY_DEFAULT & SIGNAL_BIT(signo)));
}

/* A blocked signal is kept even if it is ignored now: the handler may change before it is unblocked. A tracer sees all. */
static bool is_ignored(const struct process *p, const struct thread *t, int signo)
{
    if ((t->blocked | t->real_blocked) & SIGNAL_BIT(signo))
        return false;
    if (t->trace && signo != SIGKILL)
        return false;
    return handler_ignores(p, signo);
}

/* --- queues --- */

static void entry_free(struct siginfo_entry *e)
{
    list_remove(&e->node);
    if (e->counted) {
        e->counted->queued_signals--;
        process_put(e->counted);
        e->counted = NULL;
    }
    if (!e->timer)
        kfree(e);
}

void sigqueue_flush(struct sigqueue *q, sigset which)
{
    struct siginfo_entry *e, *tmp;

    list_for_each_safe(e, tmp, &q->entries, node)
        if (which & SIGNAL_BIT(e->info.si_signo))
            entry_free(e);
    q->set &= ~which;
}

static void flush_everywhere(struct process *p, sigset which)
{
    struct thread *t;

    sigqueue_flush(&p->pending, which);
    list_for_each(t, &p->threads, proc_node)
        sigqueue_flush(&t->pending, which);
}

/* Take signo from q; *ret is its information, as far as it was kept. */
static void queue_take(struct sigqueue *q, int signo, siginfo_t *ret)
{
    struct siginfo_entry *e, *found = NULL;
    bool more = false;

    list_for_each(e, &q->entries, node) {
        if (e->info.si_signo != signo)
            continue;
        if (found) {
            more = true;
            break;
        }
        found = e;
    }
    if (!more)
        q->set &= ~SIGNAL_BIT(signo);
    if (found) {
        *ret = found->info;
        if (found->timer)
            posix_timer_signal_taken(found->timer, ret);
        entry_free(found);
    } else {
        memset(ret, 0, sizeof(*ret));
        ret->si_signo = signo;
        ret->si_code = SI_USER;
    }
}

/* Faults of the thread itself come first, then the lowest number (Linux's next_signal). */
static int first_signal(sigset set)
{
    if (set & SIGNALS_OF_FAULTS)
        set &= SIGNALS_OF_FAULTS;
    return set ? __builtin_ctzll(set) + 1 : 0;
}

int signal_dequeue(sigset which, siginfo_t *ret)
{
    struct sigqueue *queues[] = { &current->pending, &current->proc->pending };

    for (size_t i = 0; i < ARRAY_SIZE(queues); i++) {
        int signo = first_signal(queues[i]->set & which);

        if (signo) {
            queue_take(queues[i], signo, ret);
            return signo;
        }
    }
    return 0;
}

sigset signal_pending_set(const struct thread *t)
{
    return t->pending.set | t->proc->pending.set;
}

bool signal_deadly_pending(const struct thread *t)
{
    const struct process *p = t->proc;

    if (t->exiting)
        return false;
    return p->exiting || (p->exec_thread && p->exec_thread != t) ||
           (signal_pending_set(t) & SIGNAL_BIT(SIGKILL));
}

static bool is_fatal(const struct process *p, int signo)
{
    const sigset others = SIGNALS_IGNORED_BY_DEFAULT | SIGNALS_STOP | SIGNALS_WITH_CORE;

    return action_of(p, signo)->handler == HANDLER_DEFAULT && !(others & SIGNAL_BIT(signo));
}

bool signal_fatal_pending(const struct thread *t)
{
    sigset pending = signal_pending_set(t) & ~t->blocked;

    for (; pending && !t->trace && !t->exiting; pending &= pending - 1)
        if (is_fatal(t->proc, __builtin_ctzll(pending) + 1))
            return true;
    return signal_deadly_pending(t);
}

bool signal_pending(const struct thread *t)
{
    if (t->exiting)
        return false;
    if (t->trace && t->trace->trap_wanted)
        return true;
    return (signal_pending_set(t) & ~t->blocked) || (t->proc->stopped && !(t->trace && t->trace->past_group_stop)) ||
           signal_deadly_pending(t);
}

/* --- telling a thread --- */

static bool wants(const struct thread *t, int signo)
{
    if (t->exiting || t->state == THREAD_DEAD)
        return false;
    if (signo == SIGKILL)
        return true;
    return !(t->blocked & SIGNAL_BIT(signo)) && t->state != THREAD_STOPPED;
}

/* One thread that doesn't block it is enough; Linux prefers the leader. */
static void tell_process(struct process *p, int signo)
{
    struct thread *t;

    if (signo == SIGKILL) {
        list_for_each(t, &p->threads, proc_node)
            sched_signal(t, true);
        return;
    }
    if (p->leader && wants(p->leader, signo)) {
        sched_signal(p->leader, is_fatal(p, signo));
        return;
    }
    list_for_each(t, &p->threads, proc_node) {
        if (wants(t, signo)) {
            sched_signal(t, is_fatal(p, signo));
            return;
        }
    }
}

static void tell(struct process *p, struct thread *only, int signo)
{
    wait_wake_all(&p->signal_wait, 1);
    if (!only || signo == SIGKILL)
        tell_process(p, signo);
    else if (wants(only, signo))
        sched_signal(only, is_fatal(p, signo));
}

static void continue_process(struct process *p)
{
    struct thread *t;

    if (!p->stopped)
        return;
    p->stopped = false;
    p->continued = true;
    p->stop_signal = 0;
    ptrace_group_continued(p);
    list_for_each(t, &p->threads, proc_node)
        sched_continue(t);
    signal_notify_parent(p, CLD_CONTINUED);
    wait_wake_all(&p->parent->child_wait, 0);
}

/* What a signal does by being sent, handled or not: SIGCONT continues, and it and the stop signals cancel each other. */
static void side_effects(struct process *p, int signo)
{
    if (signo == SIGCONT) {
        flush_everywhere(p, SIGNALS_STOP);
        continue_process(p);
    } else if (SIGNALS_STOP & SIGNAL_BIT(signo)) {
        flush_everywhere(p, SIGNAL_BIT(SIGCONT));
    }
}

/* --- sending --- */

static struct siginfo_entry *entry_create(struct process *p, const siginfo_t *info)
{
    struct siginfo_entry *e;

    if (p->queued_signals >= p->rlimits[RLIMIT_SIGPENDING].cur)
        return NULL;
    e = kmalloc(sizeof(*e));
    if (!e)
        return NULL;
    e->info = *info;
    e->timer = NULL;
    e->counted = p;
    process_get(p);
    p->queued_signals++;
    return e;
}

static bool cannot_receive(const struct process *p)
{
    return p == init_process || p->zombie || !p->leader;
}

/* Without memory (or beyond the limit) a standard signal arrives all the same, only without its information. */
int signal_send(struct process *p, struct thread *only, const siginfo_t *info)
{
    int signo = info->si_signo;
    struct sigqueue *q = only ? &only->pending : &p->pending;
    struct siginfo_entry *e;

    if (cannot_receive(p))
        return 0;
    side_effects(p, signo);
    if (is_ignored(p, only ? only : p->leader, signo))
        return 0;
    if (signo < REALTIME_FIRST && (q->set & SIGNAL_BIT(signo)))
        return 0;
    if (signo != SIGKILL) {
        e = entry_create(p, info);
        if (!e && signo >= REALTIME_FIRST && info->si_code != SI_USER && info->si_code != SI_KERNEL)
            return -EAGAIN;
        if (e)
            list_push_back(&q->entries, &e->node);
    }
    q->set |= SIGNAL_BIT(signo);
    tell(p, only, signo);
    return 0;
}

bool signal_send_entry(struct process *p, struct thread *only, struct siginfo_entry *e)
{
    int signo = e->info.si_signo;
    struct sigqueue *q = only ? &only->pending : &p->pending;

    if (cannot_receive(p) || e->node.next != &e->node)
        return false;
    side_effects(p, signo);
    if (is_ignored(p, only ? only : p->leader, signo))
        return false;
    list_push_back(&q->entries, &e->node);
    q->set |= SIGNAL_BIT(signo);
    tell(p, only, signo);
    return true;
}

static siginfo_t simple_info(int signo, int code, int pid, uint32_t uid)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    info.si_signo = signo;
    info.si_code = code;
    info.si_pid = pid;
    info.si_uid = uid;
    return info;
}

void signal_send_process(struct process *p, int signo, int code, int sender_pid, uint32_t sender_uid)
{
    siginfo_t info = simple_info(signo, code, sender_pid, sender_uid);

    signal_send(p, NULL, &info);
}

void signal_send_thread(struct thread *t, int signo, int code, int sender_pid, uint32_t sender_uid)
{
    siginfo_t info = simple_info(signo, code, sender_pid, sender_uid);

    signal_send(t->proc, t, &info);
}

bool signal_send_group(int pgid, int signo, int code, int sender_pid, uint32_t sender_uid)
{
    struct process *p, *tmp;
    bool any = false;

    list_for_each_safe(p, tmp, &all_processes, all_node) {
        if (p->pgid != pgid)
            continue;
        any = true;
        if (signo)
            signal_send_process(p, signo, code, sender_pid, sender_uid);
    }
    return any;
}

/* A fault of current's: neither blocking nor ignoring helps, that would repeat it for ever (Linux's force_sig). */
void signal_force(const siginfo_t *info, bool deadly)
{
    sigset bit = SIGNAL_BIT(info->si_signo);
    struct signal_action *a = &current->proc->sighand->action[info->si_signo - 1];

    if (deadly || a->handler == HANDLER_IGNORE || (current->blocked & bit)) {
        a->handler = HANDLER_DEFAULT;
        current->blocked &= ~bit;
    }
    signal_send(current->proc, current, info);
}

void signal_force_fault(int signo, int code, uaddr_t addr, int trapno, uint64_t error)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    info.si_signo = signo;
    info.si_code = code;
    info.si_addr = (void *)addr;
    current->trap_number = trapno;
    current->trap_error = error;
    if (trapno == 14)
        current->trap_address = addr;
    signal_force(&info, false);
}

/* --- parents --- */

static void child_info(struct process *child, int code, siginfo_t *info)
{
    struct cpu_times times = usage_process(child);

    memset(info, 0, sizeof(*info));
    info->si_signo = child->exit_signal;
    info->si_code = code;
    info->si_pid = child->pid;
    info->si_uid = child->cred.uid;
    info->si_utime = (__kernel_clock_t)(times.user_ns / (NSEC_PER_SEC / 100));
    info->si_stime = (__kernel_clock_t)(times.system_ns / (NSEC_PER_SEC / 100));
    switch (code) {
    case CLD_EXITED:
        info->si_status = child->exit_status >> 8 & 0xff;
        break;
    case CLD_STOPPED:
        info->si_status = child->stop_signal;
        break;
    case CLD_CONTINUED:
        info->si_status = SIGCONT;
        break;
    default:
        info->si_status = child->exit_status & 0x7f;
    }
}

void signal_notify_parent(struct process *child, int code)
{
    struct process *parent = child->parent;
    const struct signal_action *a;
    siginfo_t info;

    if (parent == init_process || parent->zombie)
        return;
    child_info(child, code, &info);
    if (code == CLD_STOPPED || code == CLD_CONTINUED) {
        info.si_signo = SIGCHLD;
        a = action_of(parent, SIGCHLD);
        if (a->handler == HANDLER_IGNORE || (a->flags & SA_NOCLDSTOP))
            return;
    }
    if (info.si_signo > 0)
        signal_send(parent, NULL, &info);
}

/* --- permission, the host, the end --- */

int signal_may_send(const struct process *p, int signo)
{
    const struct cred *c = &current->proc->cred, *target = &p->cred;

    if (p == current->proc || capable(CAP_KILL) || c->euid == target->suid || c->euid == target->uid ||
        c->uid == target->suid || c->uid == target->uid)
        return 0;
    if (signo == SIGCONT && p->sid == current->proc->sid)
        return 0;
    return -EPERM;
}

/* The group in the foreground of the terminal, if one of the sandbox's own shells has put one there. */
static int foreground_group(const struct process *app)
{
    int pgid = user_tty ? user_tty->pgid : 0;

    return pgid && pgrp_exists(pgid) ? pgid : app->pgid;
}

/* What a terminal would send goes to the foreground process group, the rest to the app alone. */
void signal_from_host(uint64_t signals)
{
    const uint64_t to_group = SIGNAL_BIT(SIGINT) | SIGNAL_BIT(SIGQUIT) | SIGNAL_BIT(SIGTSTP) |
                              SIGNAL_BIT(SIGCONT) | SIGNAL_BIT(SIGWINCH) | SIGNAL_BIT(SIGHUP);
    struct process *app = process_find(APP_PID);

    while (signals && app) {
        int signo = __builtin_ctzll(signals) + 1;

        signals &= signals - 1;
        if (signo == SIGWINCH && boot_info.tty) {
            bridge_resized(); /* which tells the foreground, if the size is another */
            continue;
        }
        if (to_group & SIGNAL_BIT(signo))
            signal_send_group(foreground_group(app), signo, SI_KERNEL, 0, 0);
        else
            signal_send_process(app, signo, SI_USER, 0, 0);
    }
}

void signal_end_threads(struct process *p, const struct thread *except)
{
    struct thread *t;

    list_for_each(t, &p->threads, proc_node)
        if (t != except)
            sched_signal(t, true);
}

/* --- masks --- */

void signal_set_mask(sigset blocked)
{
    current->blocked = blocked & ~SIGNALS_UNBLOCKABLE;
    if (signal_pending(current))
        sched_signal(current, false);
}

long signal_set_temporary_mask(uaddr_t mask, uint64_t size)
{
    sigset set;

    if (!mask)
        return 0;
    if (size != sizeof(set))
        return -EINVAL;
    if (get_user(set, mask) < 0)
        return -EFAULT;
    current->saved_blocked = current->blocked;
    current->restore_blocked = true;
    signal_set_mask(set);
    return 0;
}

/* Interrupted: the handler still runs with the temporary mask; its frame restores the saved one. */
void signal_restore_mask(bool interrupted)
{
    if (!current->restore_blocked || interrupted)
        return;
    current->restore_blocked = false;
    signal_set_mask(current->saved_blocked);
}

void signal_reset_for_exec(struct process *p)
{
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        struct signal_action *a = &p->sighand->action[i];

        if (a->handler != HANDLER_IGNORE)
            a->handler = HANDLER_DEFAULT;
        a->flags = 0;
        a->mask = 0;
        a->restorer = 0;
    }
}
