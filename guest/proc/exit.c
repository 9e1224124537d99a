/*
 * The end of a thread, of a process, of the sandbox. Called by exit(2), by deadly signals and by exec (for the other threads).
 *
 * A thread ends itself, on its own stack, since that may park (closing files). It becomes DEAD as the last step; its
 * stack is freed by whoever runs next. The last thread makes its process a zombie.
 */
#include "proc/exit.h"

#include "arch/cpu.h"
#include "drivers/ring.h"
#include "fs/blkdev.h"
#include "fs/file.h"
#include "fs/window.h"
#include "ipc/ipc.h"
#include "lib/kmalloc.h"
#include "lib/log.h"
#include "mm/frame.h"
#include "mm/mm.h"
#include "mm/rewrite.h"
#include "net/gofer.h"
#include "net/stack.h"
#include "proc/clone.h"
#include "proc/futex.h"
#include "proc/posix_timer.h"
#include "proc/ptrace.h"
#include "proc/sched.h"
#include "proc/seccomp.h"
#include "proc/signal.h"
#include "proc/usage.h"
#include "tty/bridge.h"
#include "tty/tty.h"

#include <linux/poll.h>

#define APP_PID 2

/* --- the sandbox --- */

static uint64_t all_cpu_ns(void)
{
    uint64_t sum = init_process->child_cpu_ns;
    struct process *p;

    list_for_each(p, &all_processes, all_node)
        sum += p->cpu_ns + p->child_cpu_ns;
    return sum;
}

void sandbox_end(int wait_status)
{
    int signo = wait_status & 0x7f;
    gpa_t counts = ptr_to_gpa(&report);

    gofer_behind_drain();
    gofer_net_drain(signo == SIGKILL);
    stack_drain(signo == SIGKILL);
    blkdev_drain();
    report.user_ns = all_cpu_ns();
    rewrite_report();
    if (ring_is_dead())
        hypercall(HYPERCALL_EXIT, EXIT_GOFER, 0, counts, 0, 0);
    else if (signo)
        hypercall(HYPERCALL_EXIT, EXIT_SIGNAL, (uint64_t)signo, counts, 0, 0);
    else
        hypercall(HYPERCALL_EXIT, EXIT_STATUS, (uint64_t)(wait_status >> 8 & 0xff), counts, 0, 0);
    panic("EXIT returned");
}

static _Noreturn void app_ended(int wait_status)
{
    bridge_finish();
    sandbox_end(wait_status);
}

/* --- leaving the address space --- */

void vfork_release(struct thread *child)
{
    struct vfork_wait *wait = child->vfork;

    if (!wait)
        return;
    child->vfork = NULL;
    wait->done = true;
    thread_wake(wait->parent);
}

/* clear_child_tid concerns those who share the memory; without any, the word goes with it. */
void thread_release_words(struct thread *t)
{
    futex_thread_exit(t);
    if (t->clear_child_tid && t->mm->refs + t->proc->thread_count > 2)
        futex_clear_tid(t->clear_child_tid);
    t->clear_child_tid = 0;
}

/* The old page tables can't be freed while they are loaded; the parent is most likely to run next, so load its. */
static void drop_mm(struct process *p)
{
    struct mm *mm = p->mm;
    struct mm *other = p->parent->mm ? p->parent->mm : process_find(APP_PID)->mm;

    p->mm = NULL;
    current->mm = NULL;
    if (!mm)
        return;
    p->rss_peak = mm->rss_peak;
    p->min_faults += mm->fault_count;
    mm_activate(other);
    mm_put(mm);
}

/* --- families --- */

static bool same_session_parent_outside(const struct process *p, int pgid)
{
    return p->parent->pgid != pgid && p->parent->sid == p->sid;
}

bool pgrp_is_orphaned(int pgid, const struct process *without)
{
    struct process *p;

    list_for_each(p, &all_processes, all_node) {
        if (p == without || p->pgid != pgid || p->zombie)
            continue;
        /* Whoever started the vmm stands behind init as the app's parent: a shell with job control. */
        if (same_session_parent_outside(p, pgid) || p->pid == APP_PID)
            return false;
    }
    return true;
}

static bool has_stopped_member(int pgid)
{
    struct process *p;

    list_for_each(p, &all_processes, all_node)
        if (p->pgid == pgid && p->stopped)
            return true;
    return false;
}

/* If p's end (or new parent) leaves the group of p orphaned with stopped members: SIGHUP and SIGCONT, as POSIX wants. */
static void hang_up_orphans(struct process *p, const struct process *parent, const struct process *without)
{
    if (parent->pgid == p->pgid || parent->sid != p->sid)
        return;
    if (!pgrp_is_orphaned(p->pgid, without) || !has_stopped_member(p->pgid))
        return;
    signal_send_group(p->pgid, SIGHUP, SI_KERNEL, 0, 0);
    signal_send_group(p->pgid, SIGCONT, SI_KERNEL, 0, 0);
}

/* The nearest ancestor that asked for orphans (PR_SET_CHILD_SUBREAPER), else init. */
static struct process *reaper_of(const struct process *p)
{
    struct process *r;

    for (r = p->parent; r != init_process; r = r->parent)
        if (r->child_subreaper && !r->zombie)
            return r;
    return init_process;
}

/* --- processes --- */

static void account_to_parent(struct process *p, struct process *parent)
{
    parent->child_cpu_ns += p->cpu_ns + p->child_cpu_ns;
    parent->child_system_ns += usage_process(p).system_ns + p->child_system_ns;
    parent->child_min_faults += p->min_faults + p->child_min_faults;
    parent->child_maj_faults += p->maj_faults + p->child_maj_faults;
    parent->child_voluntary_switches += p->voluntary_switches + p->child_voluntary_switches;
    parent->child_involuntary_switches += p->involuntary_switches + p->child_involuntary_switches;
    parent->child_rss_peak = MAX(parent->child_rss_peak, MAX(p->rss_peak, p->child_rss_peak));
}

void process_reap(struct process *p)
{
    account_to_parent(p, p->parent);
    ptrace_forget(p->leader);
    list_remove(&p->sibling_node);
    list_remove(&p->all_node);
    thread_unhash(p->leader);
    p->reaped = true;
    process_put(p);
}

/* A parent that ignores SIGCHLD, or has SA_NOCLDWAIT, has no zombies (sigaction(2)). */
static bool parent_wants_status(const struct process *p)
{
    const struct signal_action *a;

    if (p->parent == init_process)
        return false;
    if (p->exit_signal != SIGCHLD)
        return true;
    a = &p->parent->sighand->action[SIGCHLD - 1];
    return a->handler != HANDLER_IGNORE && !(a->flags & SA_NOCLDWAIT);
}

static int end_code(int wait_status)
{
    if (!(wait_status & 0x7f))
        return CLD_EXITED;
    return wait_status & 0x80 ? CLD_DUMPED : CLD_KILLED;
}

/* The status of a zombie, or that it is gone, concerns its parent. */
void process_tell_parent(struct process *p)
{
    bool wanted = parent_wants_status(p);

    signal_notify_parent(p, end_code(p->exit_status));
    wait_wake_all(&p->parent->child_wait, 0);
    if (!wanted)
        process_reap(p);
}

void process_tell_end(struct process *p)
{
    if (!ptrace_process_ended(p))
        process_tell_parent(p);
}

static void adopt(struct process *child, struct process *old_parent, struct process *parent)
{
    list_remove(&child->sibling_node);
    child->parent = parent;
    child->exit_signal = SIGCHLD;
    list_push_back(&parent->children, &child->sibling_node);
    if (child->zombie) {
        process_tell_end(child);
        return;
    }
    if (child->death_signal)
        signal_send_process(child, child->death_signal, SI_USER, old_parent->pid, old_parent->cred.uid);
    hang_up_orphans(child, old_parent, NULL);
}

static void orphan_children(struct process *p)
{
    struct process *child, *tmp, *reaper = reaper_of(p);

    list_for_each_safe(child, tmp, &p->children, sibling_node)
        adopt(child, p, reaper);
}

/* The last thread of p, which is current, has nothing left to do. */
static void process_finish(struct process *p)
{
    sched_account();
    if (!p->exiting)
        p->exit_status = current->exit_code; /* the last one's counts (Linux 6.0 and later) */
    p->exiting = true;
    if (p->pid == APP_PID)
        app_ended(p->exit_status);
    tty_process_exit(p);
    posix_timer_process_exit(p);
    drop_mm(p);
    orphan_children(p);
    hang_up_orphans(p, p->parent, p);
    sigqueue_flush(&p->pending, ~0ull);
    sighand_put(p->sighand);
    p->sighand = NULL;
    p->zombie = true;
    wait_wake_all(&p->exit_wait, POLLIN);
    process_tell_end(p);
}

/* --- threads --- */

/* What was sent to the process while current was to handle it is for the others now. */
static void pass_signals_on(struct process *p, const struct thread *self)
{
    struct thread *t;

    list_for_each(t, &p->threads, proc_node)
        if (t != self && p->pending.set & ~t->blocked)
            sched_signal(t, false);
}

static void leave_process(struct thread *t)
{
    struct process *p = t->proc;

    list_remove(&t->proc_node);
    p->thread_count--;
    thread_total--;
    p->voluntary_switches += t->voluntary_switches;
    p->involuntary_switches += t->involuntary_switches;
    if (p->exec_thread)
        thread_wake(p->exec_thread);
    if (t != p->leader && !ptrace_thread_ended(t))
        thread_unhash(t);
}

void thread_exit(int wait_status)
{
    struct thread *t = current;
    struct process *p = t->proc;
    struct fd_table *files = t->files;
    struct fs_context *fs = t->fs;

    ptrace_exit_event(wait_status);
    t->exiting = true;
    t->exit_code = wait_status;
    ptrace_tracer_exit(t);
    if (t->mm)
        thread_release_words(t);
    t->rseq = 0;
    vfork_release(t);
    sem_exit(t);
    seccomp_release(t);
    t->files = NULL; /* nobody looks into them through /proc while they go */
    t->fs = NULL;
    fd_table_put(files);
    fs_context_put(fs);
    sigqueue_flush(&t->pending, ~0ull);
    pass_signals_on(p, t);
    leave_process(t);
    if (p->thread_count == 0)
        process_finish(p);
    t->mm = NULL;
    sched_leave();
}

void process_exit(int wait_status)
{
    struct process *p = current->proc;

    if (p->exec_thread && p->exec_thread != current)
        thread_exit(0); /* exec has won */
    if (!p->exiting) {
        p->exiting = true;
        p->exit_status = wait_status;
        if (p->pid == APP_PID)
            app_ended(wait_status);
        signal_end_threads(p, current);
    }
    thread_exit(p->exit_status);
}

/* The leader's struct bears the pid until the process is reaped. */
void thread_reap(struct thread *t)
{
    struct process *p = t->proc;

    thread_free_stack(t);
    if (t != p->leader && t->trace)
        return; /* its tracer has yet to wait for it: see ptrace_detach */
    if (t != p->leader)
        kfree(t);
    process_put(p);
}
