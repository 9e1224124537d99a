/*
 * Delivering signals: on its way back to the app, a thread takes what is pending for it and does what the disposition
 * says. Also the place where interrupted system calls are restarted, stopped processes stop, and ending threads end.
 */
#include "proc/signal.h"

#include "arch/cpu.h"
#include "fs/file.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/mm.h"
#include "mm/rewrite.h"
#include "proc/exit.h"
#include "proc/ptrace.h"
#include "proc/sched.h"

#include <asm/unistd.h>
#include <linux/resource.h>

#define APP_PID 2
#define SYSCALL_INSTRUCTION_SIZE 2

/* --- system calls that were interrupted (signal(7), "Interruption of system calls") --- */

static bool is_restart_code(const struct regs *regs)
{
    long ret = (long)regs->rax;

    return regs->orig_rax != NO_SYSCALL && ret <= -ERESTARTSYS && ret >= -ERESTART_RESTARTBLOCK;
}

static void repeat_syscall(struct regs *regs, uint64_t number)
{
    regs->rax = number;
    regs->rip -= SYSCALL_INSTRUCTION_SIZE;
}

static void restart_before_handler(struct regs *regs, uint64_t handler_flags)
{
    if (is_restart_code(regs)) {
        long ret = (long)regs->rax;

        if (ret == -ERESTARTNOINTR || (ret == -ERESTARTSYS && (handler_flags & SA_RESTART)))
            repeat_syscall(regs, regs->orig_rax);
        else
            regs->rax = (uint64_t)-EINTR;
    }
    regs->orig_rax = NO_SYSCALL;
}

static void restart_without_handler(struct regs *regs)
{
    if (is_restart_code(regs))
        repeat_syscall(regs, (long)regs->rax == -ERESTART_RESTARTBLOCK ? __NR_restart_syscall : regs->orig_rax);
}

/* --- stopping (job control) --- */

static bool everybody_stopped(void)
{
    struct process *p;

    list_for_each(p, &all_processes, all_node)
        if (!p->stopped && !p->zombie)
            return false;
    return true;
}

static void stop_process(struct process *p, int signo)
{
    struct thread *t;

    p->stopped = true;
    p->stop_signal = p->group_stop_signal = signo;
    p->continued = false;
    list_for_each(t, &p->threads, proc_node) {
        if (t->trace)
            t->trace->past_group_stop = false;
        if (t != current)
            sched_signal(t, false);
    }
    if (!(p->leader->trace && p->leader->trace->tracer == p->parent)) { /* else the stops of the threads tell it */
        signal_notify_parent(p, CLD_STOPPED);
        wait_wake_all(&p->parent->child_wait, 0);
    }
    /* With nobody left to wake them, it is the vmm that is to be stopped and continued by the user's shell. */
    if (everybody_stopped())
        hypercall(HYPERCALL_STOP, (uint64_t)signo, 0, 0, 0, 0);
}

static void stay_stopped(struct process *p)
{
    while (p->stopped && !signal_deadly_pending(current)) {
        if (current->trace && current->trace->past_group_stop)
            break;
        if (!ptrace_group_stop(p->group_stop_signal))
            sched_park(NEVER, PARK_STOPPED);
    }
}

/* --- deadly ones --- */

static const char *fault_name(int signo)
{
    switch (signo) {
    case SIGSEGV:
        return "SIGSEGV";
    case SIGBUS:
        return "SIGBUS";
    case SIGILL:
        return "SIGILL";
    case SIGFPE:
        return "SIGFPE";
    case SIGTRAP:
        return "SIGTRAP";
    default:
        return "SIGSYS";
    }
}

static const char *fault_reason(int signo, int code)
{
    if (code == SI_KERNEL)
        return signo == SIGTRAP ? "breakpoint" : "general protection";
    switch (signo) {
    case SIGSEGV:
        return code == SEGV_MAPERR ? "no mapping" : "not permitted";
    case SIGBUS:
        return code == BUS_ADRALN ? "misaligned" : "nothing behind the mapping";
    case SIGILL:
        return "illegal instruction";
    case SIGFPE:
        return code == FPE_INTDIV ? "integer division" : "floating-point exception";
    default:
        return "trap";
    }
}

/* One line that says what happened where; the app's own end only, and nothing if it was sent. */
static void report_fault(const struct regs *regs, const siginfo_t *info)
{
    struct vma *vma = mm_find(current->mm, regs->rip);
    char path[256] = "?";
    uint64_t offset = regs->rip;

    if (current->proc->pid != APP_PID || info->si_code <= 0 ||
        !(SIGNALS_OF_FAULTS & SIGNAL_BIT(info->si_signo)))
        return;
    if (vma && vma->start <= regs->rip) {
        offset = regs->rip - vma->start + vma->file_offset;
        if (vma->file)
            file_path(vma->file, path, sizeof(path));
        else
            strlcpy(path, vma->name ? vma->name : "anonymous memory", sizeof(path));
    }
    klog(LOG_WARN, "app: killed by %s at rip 0x%lx (%s+0x%lx), address 0x%lx: %s", fault_name(info->si_signo),
         regs->rip, path, offset, (uint64_t)info->si_addr, fault_reason(info->si_signo, info->si_code));
}

static _Noreturn void die(const struct regs *regs, const siginfo_t *info)
{
    const struct process *p = current->proc;
    int status = info->si_signo;

    /* No core file is written; the bit says what the limit permits, as it would with one. */
    if ((SIGNALS_WITH_CORE & SIGNAL_BIT(info->si_signo)) && p->dumpable && rlimit(RLIMIT_CORE) > 0)
        status |= 0x80;
    report_fault(regs, info);
    process_exit(status);
}

/* --- the loop --- */

static void default_action(const struct regs *regs, const siginfo_t *info)
{
    int signo = info->si_signo;

    if (SIGNALS_IGNORED_BY_DEFAULT & SIGNAL_BIT(signo))
        return;
    if (!(SIGNALS_STOP & SIGNAL_BIT(signo)))
        die(regs, info);
    if (signo == SIGSTOP || !pgrp_is_orphaned(current->proc->pgid, NULL))
        stop_process(current->proc, signo);
}

static void run_handler(struct regs *regs, const struct signal_action *action, const siginfo_t *info)
{
    struct thread *self = current;
    sigset frame_mask = self->restore_blocked ? self->saved_blocked : self->blocked;
    int signo = info->si_signo;

    restart_before_handler(regs, action->flags);
    self->restore_blocked = false;
    if (self->trace)
        ptrace_handler_begins();
    if (sigframe_push(regs, action, info, frame_mask) < 0) {
        if (signo == SIGSEGV)
            self->proc->sighand->action[signo - 1].handler = HANDLER_DEFAULT;
        signal_force_fault(SIGSEGV, SI_KERNEL, 0, 0, 0);
        return;
    }
    self->blocked |= action->mask;
    if (!(action->flags & SA_NODEFER))
        self->blocked |= SIGNAL_BIT(signo);
    self->blocked &= ~SIGNALS_UNBLOCKABLE;
    if (self->trace)
        ptrace_handler_begun();
}

static void handle(struct regs *regs, const siginfo_t *info)
{
    struct signal_action *a = &current->proc->sighand->action[info->si_signo - 1];
    struct signal_action action = *a;

    if (action.handler == HANDLER_IGNORE)
        return;
    if (action.handler == HANDLER_DEFAULT) {
        default_action(regs, info);
        return;
    }
    if (action.flags & SA_RESETHAND)
        a->handler = HANDLER_DEFAULT;
    run_handler(regs, &action, info);
}

static void end_if_deadly(void)
{
    struct process *p = current->proc;

    if (!signal_deadly_pending(current))
        return;
    if (p->exiting)
        thread_exit(p->exit_status);
    if (p->exec_thread && p->exec_thread != current)
        thread_exit(0);
    process_exit(SIGKILL);
}

void signal_deliver(struct regs *regs)
{
    struct process *p = current->proc;
    siginfo_t info;

    if (regs->orig_rax == NO_SYSCALL)
        rewrite_fix_rip(regs);
    if (current->rseq && regs->orig_rax == NO_SYSCALL && !rseq_fix_up(regs))
        signal_force_fault(SIGSEGV, SI_KERNEL, 0, 0, 0);
    for (;;) {
        end_if_deadly();
        stay_stopped(p);
        ptrace_trap();
        end_if_deadly();
        if (!signal_dequeue(~current->blocked, &info))
            break;
        if (!current->trace || (p->sighand->action[info.si_signo - 1].flags & ACTION_FINAL) || ptrace_signal(&info))
            handle(regs, &info);
    }
    restart_without_handler(regs);
    if (current->restore_blocked) {
        current->restore_blocked = false;
        signal_set_mask(current->saved_blocked);
    }
}
