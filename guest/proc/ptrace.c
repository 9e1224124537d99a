/*
 * Who traces whom, and the stops of tracees (ptrace(2)). There is one vCPU: when a tracer runs, its tracee doesn't, so a stop is
 * complete as soon as it has begun.
 */
#include "proc/ptrace.h"

#include "arch/cpu.h"
#include "arch/insn.h"
#include "arch/uaccess.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "proc/clone.h"
#include "proc/exit.h"
#include "proc/sched.h"

#include <linux/capability.h>
#include <linux/ptrace.h>
#include <linux/sched.h>

#define SYSGOOD_BIT 0x80

/* --- telling the tracer --- */

/* SIGCHLD about the tracee t, unless the tracer doesn't want to hear of stops. */
static void tell_tracer(const struct trace *tr, int code, int status)
{
    struct process *p = tr->tracer;
    const struct signal_action *a = &p->sighand->action[SIGCHLD - 1];
    bool stop = code == CLD_TRAPPED || code == CLD_STOPPED;
    siginfo_t info;

    if (a->handler != HANDLER_IGNORE && !(stop && (a->flags & SA_NOCLDSTOP))) {
        memset(&info, 0, sizeof(info));
        info.si_signo = SIGCHLD;
        info.si_code = code;
        info.si_pid = tr->tracee->tid;
        info.si_uid = tr->tracee->proc->cred.uid;
        info.si_status = status;
        signal_send(p, NULL, &info);
    }
    wait_wake_all(&p->child_wait, 0);
}

/* --- stopping --- */

static bool held(const struct trace *tr)
{
    return tr && (tr->stop != TRACE_STOP_NONE || tr->listening);
}

/*
 * Current stops until its tracer lets it go on; returns the signal that it does so with. info may be changed by the tracer.
 * Deadly signals end the stop, too. The tracer may be another, or gone, afterwards.
 */
static int stop(enum trace_stop kind, int code, siginfo_t *info)
{
    struct thread *self = current;
    struct trace *tr = self->trace;

    if (signal_deadly_pending(self))
        return 0;
    tr->stop = kind;
    tr->code = code;
    tr->reported = false;
    tr->info = info;
    self->trace_signal = 0;
    tell_tracer(tr, kind == TRACE_STOP_GROUP ? CLD_STOPPED : CLD_TRAPPED, code & 0x7f);
    while (held(self->trace) && !signal_deadly_pending(self))
        sched_park(NEVER, PARK_STOPPED);
    if (self->trace) {
        self->trace->stop = TRACE_STOP_NONE;
        self->trace->listening = false;
        self->trace->info = NULL;
    }
    cpu_work |= WORK_SIGNAL; /* what came meanwhile was told nobody */
    return self->trace_signal;
}

static siginfo_t trap_info(int code)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    info.si_signo = SIGTRAP;
    info.si_code = code;
    info.si_pid = current->proc->pid;
    info.si_uid = current->proc->cred.uid;
    return info;
}

/* A signal with which the tracer ended a stop that wasn't a signal's is simply sent. */
static void send_injected(int signo)
{
    if (signo)
        signal_send_thread(current, signo, SI_KERNEL, 0, 0);
}

/* --- system calls --- */

static void syscall_stop(enum trace_stop kind)
{
    struct trace *tr = current->trace;
    int code = SIGTRAP | (tr->options & PTRACE_O_TRACESYSGOOD ? SYSGOOD_BIT : 0);
    siginfo_t info = trap_info(code);

    tr->message = kind == TRACE_STOP_ENTRY ? PTRACE_EVENTMSG_SYSCALL_ENTRY : PTRACE_EVENTMSG_SYSCALL_EXIT;
    send_injected(stop(kind, code, &info));
}

static bool steps(const struct trace *tr)
{
    return tr->run == TRACE_RUN_STEP || tr->run == TRACE_RUN_BLOCK;
}

bool ptrace_syscall_enter(struct regs *regs)
{
    bool emulate = current->trace->emulate;

    if (current->trace->run != TRACE_RUN_SYSCALL && !emulate)
        return true;
    regs->rax = (uint64_t)-ENOSYS;
    syscall_stop(TRACE_STOP_ENTRY);
    if (!signal_deadly_pending(current))
        return regs->orig_rax != NO_SYSCALL && !emulate;
    regs->rax = (uint64_t)-EINTR;
    return false;
}

void ptrace_syscall_exit(struct regs *regs)
{
    const struct trace *tr = current->trace;

    if (steps(tr) && !tr->emulate)
        signal_force_fault(SIGTRAP, TRAP_BRKPT, regs->rip, 1, 0);
    else if (tr->run == TRACE_RUN_SYSCALL)
        syscall_stop(TRACE_STOP_EXIT);
}

/* --- events --- */

static void event_stop(int signo, int event)
{
    int code = signo | event << 8;
    siginfo_t info = trap_info(code);

    info.si_signo = signo;
    send_injected(stop(TRACE_STOP_EVENT, code, &info));
}

static bool wants_event(const struct trace *tr, int event)
{
    return tr && (tr->options >> event & 1);
}

void ptrace_event(int event, uint64_t message)
{
    if (!wants_event(current->trace, event))
        return;
    current->trace->message = message;
    event_stop(SIGTRAP, event);
}

bool ptrace_seccomp(struct regs *regs, uint32_t data, long *ret)
{
    *ret = -ENOSYS;
    if (!wants_event(current->trace, PTRACE_EVENT_SECCOMP))
        return false;
    regs->rax = (uint64_t)-ENOSYS;
    ptrace_event(PTRACE_EVENT_SECCOMP, data);
    *ret = (long)regs->rax;
    return regs->orig_rax != NO_SYSCALL && !signal_deadly_pending(current);
}

/* Without the event an exec is told by a plain SIGTRAP, as it always was. */
void ptrace_exec(int old_tid)
{
    const struct trace *tr = current->trace;

    if (!tr)
        return;
    if (wants_event(tr, PTRACE_EVENT_EXEC))
        ptrace_event(PTRACE_EVENT_EXEC, (uint64_t)old_tid);
    else if (!tr->seized)
        signal_send_thread(current, SIGTRAP, SI_USER, current->proc->pid, current->proc->cred.uid);
}

/*
 * A thread that ends isn't in the reach of signals any more, and it ends because of a deadly one: it waits for its tracer alone.
 */
void ptrace_exit_event(int wait_status)
{
    struct thread *self = current;
    struct trace *tr = self->trace;
    siginfo_t info = trap_info(SIGTRAP | PTRACE_EVENT_EXIT << 8);

    if (!wants_event(tr, PTRACE_EVENT_EXIT) || (signal_pending_set(self) & SIGNAL_BIT(SIGKILL)))
        return;
    tr->message = (uint64_t)wait_status;
    tr->stop = TRACE_STOP_EVENT;
    tr->code = info.si_code;
    tr->reported = false;
    tr->info = &info;
    tell_tracer(tr, CLD_TRAPPED, SIGTRAP);
    while (self->trace && self->trace->stop != TRACE_STOP_NONE)
        thread_park(NEVER, false);
    if (self->trace)
        self->trace->info = NULL;
}

/* --- on the way back to the app --- */

void ptrace_trap(void)
{
    struct trace *tr = current->trace;
    int signo = current->proc->stopped ? current->proc->group_stop_signal : SIGTRAP;

    while (tr && tr->trap_wanted) {
        tr->trap_wanted = false;
        tr->message = 0;
        event_stop(signo, PTRACE_EVENT_STOP);
        tr = current->trace;
    }
}

bool ptrace_group_stop(int signo)
{
    struct trace *tr = current->trace;

    if (!tr || tr->past_group_stop)
        return tr != NULL;
    if (tr->seized)
        event_stop(signo, PTRACE_EVENT_STOP);
    else
        stop(TRACE_STOP_GROUP, signo, NULL);
    if (current->trace)
        current->trace->past_group_stop = true;
    return true;
}

/* The stop of the process is over: tracees that listened, or were seized, tell of it. */
void ptrace_group_continued(struct process *p)
{
    struct thread *t;

    list_for_each(t, &p->threads, proc_node) {
        struct trace *tr = t->trace;

        if (!tr)
            continue;
        tr->past_group_stop = false;
        tr->listening = false;
        tr->trap_wanted |= tr->seized;
        if (tr->seized)
            sched_signal(t, false);
    }
}

/* As ptrace(2), "Signal injection and suppression". */
bool ptrace_signal(siginfo_t *info)
{
    int signo = info->si_signo, wanted;

    if (signo == SIGKILL)
        return true;
    current->trace->message = 0;
    wanted = stop(TRACE_STOP_SIGNAL, signo, info);
    if (signal_deadly_pending(current) || wanted == 0)
        return false;
    if (wanted != info->si_signo) {
        memset(info, 0, sizeof(*info));
        info->si_signo = wanted;
        info->si_code = SI_USER;
        if (current->trace) {
            info->si_pid = current->trace->tracer->pid;
            info->si_uid = current->trace->tracer->cred.uid;
        }
    }
    if (!(current->blocked & SIGNAL_BIT(wanted)))
        return true;
    signal_send(current->proc, current, info); /* later, when it isn't blocked */
    return false;
}

void ptrace_handler_begins(void)
{
    if (current->trace->own_tf)
        current->regs->rflags &= ~(uint64_t)RFLAGS_TF;
    current->trace->own_tf = false;
}

void ptrace_handler_begun(void)
{
    siginfo_t info = trap_info(SIGTRAP);

    if (steps(current->trace))
        send_injected(stop(TRACE_STOP_EVENT, SIGTRAP, &info));
}

/*
 * There is no telling the CPU to stop at branches only (that takes an MSR), so the tracee is stepped, and each instruction looked at that
 * it has done. A string instruction is stepped once for each repetition.
 */
bool ptrace_step_goes_on(const struct regs *regs)
{
    struct trace *tr = current->trace;
    uint64_t begin = tr->step_rip;
    uint8_t code[INSN_MAX];
    struct insn insn;
    size_t n = sizeof(code);

    if (tr->run != TRACE_RUN_BLOCK)
        return false;
    n -= copy_from_user_partial(code, begin, n);
    if (!insn_decode(code, n, &insn) || insn.kind == INSN_LEAVES)
        return false;
    if (regs->rip != begin + insn.size && (regs->rip != begin || insn.kind != INSN_OTHER))
        return false;
    tr->step_rip = regs->rip;
    return true;
}

/* --- attaching --- */

bool ptrace_may_access(const struct process *p)
{
    const struct cred *me = &current->proc->cred, *it = &p->cred;

    if (p == current->proc || capable(CAP_SYS_PTRACE))
        return true;
    return p->dumpable && me->uid == it->uid && me->uid == it->euid && me->uid == it->suid &&
           me->gid == it->gid && me->gid == it->egid && me->gid == it->sgid;
}

static struct trace *trace_create(struct thread *t, struct thread *tracer, bool seize, uint32_t options)
{
    struct trace *tr = kzalloc(sizeof(*tr));

    if (!tr)
        return NULL;
    tr->tracee = t;
    tr->tracer = tracer->proc;
    tr->tracer_thread = tracer;
    tr->seized = seize;
    tr->options = options;
    list_push_back(&tracer->proc->tracees, &tr->node);
    t->trace = tr;
    return tr;
}

long ptrace_attach(struct thread *t, struct thread *tracer, bool seize, uint32_t options)
{
    if (t->trace || t->exiting || t->state == THREAD_DEAD || t->proc == init_process)
        return -EPERM;
    if (!trace_create(t, tracer, seize, options))
        return -ENOMEM;
    if (t->proc->stopped)
        sched_continue(t); /* from job control's stop into the tracer's */
    return 0;
}

void ptrace_forget(struct thread *t)
{
    struct trace *tr = t->trace;

    if (!tr)
        return;
    t->trace = NULL;
    list_remove(&tr->node);
    kfree(tr);
}

static void clear_step(struct thread *t)
{
    if (t->trace->own_tf && t->regs)
        t->regs->rflags &= ~(uint64_t)RFLAGS_TF;
    t->trace->own_tf = false;
}

static void let_go(struct thread *t, int signo)
{
    t->trace_signal = signo;
    thread_wake(t); /* the stop at its end */
    sched_continue(t);
    sched_signal(t, false);
}

/* The thread has ended, and its tracer knows, or never will. */
static void release_ended(struct thread *t)
{
    struct process *p = t->proc;

    ptrace_forget(t);
    thread_unhash(t);
    kfree(t);
    p->ended_tracees--;
    if (p->zombie)
        process_tell_end(p);
    process_put(p);
}

void ptrace_detach(struct thread *t, int signo)
{
    struct process *p = t->proc;
    bool other = t->trace->tracer != p->parent;

    if (t->trace->ended) {
        release_ended(t);
        return;
    }
    clear_step(t);
    ptrace_forget(t);
    if (p->zombie) {
        if (other)
            process_tell_parent(p);
        return;
    }
    let_go(t, signo);
}

void ptrace_resume(struct thread *t, enum trace_run run, bool emulate, int signo)
{
    struct trace *tr = t->trace;

    clear_step(t);
    tr->run = run;
    tr->emulate = emulate;
    tr->step_rip = t->regs->rip;
    if (steps(tr)) {
        tr->own_tf = !(t->regs->rflags & RFLAGS_TF);
        t->regs->rflags |= RFLAGS_TF;
    }
    tr->stop = TRACE_STOP_NONE;
    tr->listening = false;
    let_go(t, signo);
}

long ptrace_interrupt(struct thread *t)
{
    struct trace *tr = t->trace;

    if (!tr->seized)
        return -EIO;
    tr->trap_wanted = true;
    if (tr->listening) {
        tr->listening = false;
        sched_continue(t);
    }
    sched_signal(t, false);
    return 0;
}

/* --- fork --- */

/* Which event a clone is: by what it looks like, not by which call made it. */
int ptrace_clone_event(uint64_t flags, uint64_t exit_signal)
{
    int event = flags & CLONE_VFORK ? PTRACE_EVENT_VFORK
                                    : exit_signal != SIGCHLD ? PTRACE_EVENT_CLONE : PTRACE_EVENT_FORK;

    if (!current->trace || (flags & CLONE_UNTRACED))
        return 0;
    return wants_event(current->trace, event) ? event : 0;
}

/* The child isn't seen by anybody yet. Its first stop is for its tracer. */
void ptrace_clone_child(struct thread *child, uint64_t clone_flags, int event)
{
    const struct trace *tr = current->trace;

    if (!tr || (!event && !(clone_flags & CLONE_PTRACE)))
        return;
    tr = trace_create(child, tr->tracer_thread, tr->seized, tr->options);
    if (!tr)
        return;
    if (tr->seized)
        child->trace->trap_wanted = true;
    else
        child->pending.set |= SIGNAL_BIT(SIGSTOP);
}

/* --- ends --- */

static int end_code(int wait_status)
{
    if (!(wait_status & 0x7f))
        return CLD_EXITED;
    return wait_status & 0x80 ? CLD_DUMPED : CLD_KILLED;
}

static int end_status(int wait_status)
{
    return wait_status & 0x7f ? wait_status & 0x7f : wait_status >> 8 & 0xff;
}

bool ptrace_thread_ended(struct thread *t)
{
    if (!t->trace)
        return false;
    t->trace->ended = true;
    t->proc->ended_tracees++;
    tell_tracer(t->trace, end_code(t->exit_code), end_status(t->exit_code));
    return true;
}

bool ptrace_process_ended(struct process *p)
{
    const struct trace *tr = p->leader->trace;

    if (p->ended_tracees > 0)
        return true;
    if (!tr || tr->tracer == p->parent)
        return false;
    tell_tracer(tr, end_code(p->exit_status), end_status(p->exit_status));
    return true;
}

void ptrace_tracer_exit(struct thread *tracer)
{
    struct trace *tr, *tmp;

    list_for_each_safe(tr, tmp, &tracer->proc->tracees, node) {
        struct thread *t = tr->tracee;

        if (tr->tracer_thread != tracer)
            continue;
        if ((tr->options & PTRACE_O_EXITKILL) && !tr->ended)
            signal_send_process(t->proc, SIGKILL, SI_KERNEL, 0, 0);
        ptrace_detach(t, 0);
    }
}

/* --- /proc --- */

bool ptrace_is_stopped(const struct thread *t)
{
    return held(t->trace);
}

int ptrace_tracer_pid(const struct thread *t)
{
    return t->trace ? t->trace->tracer->pid : 0;
}
