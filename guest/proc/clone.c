/* clone(2) in all its forms: the new thread or process is complete before anybody can see it. */
#include "proc/clone.h"

#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "arch/entry.h"
#include "arch/uaccess.h"
#include "fs/file.h"
#include "ipc/ipc.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/mm.h"
#include "proc/pidfd.h"
#include "proc/ptrace.h"
#include "proc/sched.h"
#include "proc/seccomp.h"
#include "proc/signal.h"

#include <linux/capability.h>
#include <linux/resource.h>
#include <linux/ptrace.h>
#include <linux/sched.h>

#define CLONE_NAMESPACES                                                                           \
    ((uint64_t)CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |          \
     CLONE_NEWNET | CLONE_NEWCGROUP)

/* clone(2), ERRORS. */
static long check_flags(const struct clone_request *rq)
{
    uint64_t flags = rq->flags;

    if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND))
        return -EINVAL;
    if ((flags & CLONE_SIGHAND) && !(flags & CLONE_VM))
        return -EINVAL;
    if ((flags & CLONE_CLEAR_SIGHAND) && (flags & CLONE_SIGHAND))
        return -EINVAL;
    if ((flags & CLONE_FS) && (flags & (CLONE_NEWNS | CLONE_NEWUSER)))
        return -EINVAL;
    if ((flags & CLONE_PIDFD) && (flags & (CLONE_THREAD | CLONE_DETACHED)))
        return -EINVAL;
    if ((flags & CLONE_PIDFD) && (flags & CLONE_PARENT_SETTID) && rq->pidfd == rq->parent_tid)
        return -EINVAL;
    if (flags & CLONE_NAMESPACES)
        return -EPERM;
    return 0;
}

static long check_limits(void)
{
    if (boot_info.pids_max > 0 && thread_total >= boot_info.pids_max)
        return -EAGAIN;
    if (thread_total >= rlimit(RLIMIT_NPROC) && !capable(CAP_SYS_RESOURCE))
        return -EAGAIN;
    return 0;
}

/* --- what parent and child share, or the child has its own copy of --- */

static long copy_files(struct thread *t, uint64_t flags)
{
    if (flags & CLONE_FILES) {
        fd_table_get(current->files);
        t->files = current->files;
    } else {
        t->files = fd_table_copy(current->files);
    }
    return t->files ? 0 : -ENOMEM;
}

static long copy_fs(struct thread *t, uint64_t flags)
{
    if (flags & CLONE_FS) {
        fs_context_get(current->fs);
        t->fs = current->fs;
    } else {
        t->fs = fs_context_copy(current->fs);
    }
    return t->fs ? 0 : -ENOMEM;
}

static long copy_sighand(struct process *p, uint64_t flags)
{
    struct sighand *parent = current->proc->sighand;

    if (flags & CLONE_SIGHAND) {
        parent->refs++;
        p->sighand = parent;
        return 0;
    }
    p->sighand = sighand_copy(parent);
    if (!p->sighand)
        return -ENOMEM;
    if (flags & CLONE_CLEAR_SIGHAND)
        for (int i = 0; i < SIGNAL_COUNT; i++)
            if (p->sighand->action[i].handler != HANDLER_IGNORE)
                p->sighand->action[i] = (struct signal_action){ 0 };
    return 0;
}

static long copy_mm(struct process *p, uint64_t flags)
{
    if (flags & CLONE_VM) {
        mm_get(current->mm);
        p->mm = current->mm;
    } else {
        p->mm = mm_fork(current->mm);
    }
    return p->mm ? 0 : -ENOMEM;
}

/* What a process inherits by plain copying. */
static void copy_process_state(struct process *p, const struct clone_request *rq)
{
    const struct process *parent = current->proc;

    p->pgid = parent->pgid;
    p->sid = parent->sid;
    p->creator = current->tid;
    p->tty = parent->tty;
    p->cred = parent->cred;
    if (p->cred.groups)
        p->cred.groups->refs++;
    memcpy(p->rlimits, parent->rlimits, sizeof(p->rlimits));
    p->dumpable = parent->dumpable;
    p->personality = parent->personality;
    p->oom_score_adj = parent->oom_score_adj;
    p->thp_disabled = parent->thp_disabled;
    p->cpu_timers = p->rlimits[RLIMIT_CPU].cur != RLIM64_INFINITY;
    p->membarrier = rq->flags & CLONE_VM ? parent->membarrier : 0;
    p->exit_signal = rq->flags & CLONE_PARENT ? parent->exit_signal : (int)rq->exit_signal;
}

static void copy_registers(struct thread *t, const struct clone_request *rq)
{
    *t->regs = *current->regs;
    t->regs->rax = 0;
    t->regs->orig_rax = NO_SYSCALL;
    if (rq->stack_top)
        t->regs->rsp = rq->stack_top;
    t->fs_base = rq->flags & CLONE_SETTLS ? rq->tls : rdfsbase();
    t->gs_base = rdgsbase();
    fpu_save(t->fpu);
}

static void copy_thread_state(struct thread *t, uint64_t flags)
{
    const struct thread *self = current;
    bool reset = self->sched_reset_on_fork;

    t->blocked = self->blocked;
    memcpy(t->comm, self->comm, sizeof(t->comm));
    seccomp_inherit(t);
    t->timer_slack_ns = self->timer_slack_ns;
    t->nice = reset && self->nice < 0 ? 0 : self->nice;
    t->sched_policy = reset ? SCHED_NORMAL : self->sched_policy;
    t->sched_priority = reset ? 0 : self->sched_priority;
    t->ioprio = self->ioprio;
    t->mempolicy = self->mempolicy;
    if (!(flags & CLONE_VM) || (flags & CLONE_VFORK)) {
        t->altstack_sp = self->altstack_sp;
        t->altstack_size = self->altstack_size;
        t->altstack_flags = self->altstack_flags;
    } else {
        altstack_reset(t);
    }
    if (!(flags & CLONE_VM)) {
        t->rseq = self->rseq;
        t->rseq_len = self->rseq_len;
        t->rseq_sig = self->rseq_sig;
    }
}

/* --- putting it together --- */

static void process_discard(struct process *p)
{
    if (p->sighand)
        sighand_put(p->sighand);
    if (p->mm)
        mm_put(p->mm);
    process_put(p);
}

static void thread_discard(struct thread *t)
{
    if (t->files)
        fd_table_put(t->files);
    if (t->fs)
        fs_context_put(t->fs);
    sem_exit(t);
    seccomp_release(t);
    thread_destroy(t);
}

static struct process *make_process(const struct clone_request *rq)
{
    struct process *p = process_create();
    long error;

    if (!p)
        return err_ptr(-ENOMEM);
    copy_process_state(p, rq);
    error = copy_sighand(p, rq->flags);
    if (error == 0)
        error = copy_mm(p, rq->flags);
    if (error == 0)
        return p;
    process_discard(p);
    return err_ptr(error);
}

static struct thread *make_thread(struct process *p, const struct clone_request *rq, int tid)
{
    struct thread *t = thread_create(p, tid);
    long error;

    if (!t)
        return err_ptr(-ENOMEM);
    error = copy_files(t, rq->flags);
    if (error == 0)
        error = copy_fs(t, rq->flags);
    if (error == 0)
        error = sem_clone(t, rq->flags);
    if (error < 0) {
        thread_discard(t);
        return err_ptr(error);
    }
    copy_thread_state(t, rq->flags);
    copy_registers(t, rq);
    t->mm = p->mm;
    if (rq->flags & CLONE_CHILD_SETTID)
        t->set_child_tid = rq->child_tid;
    if (rq->flags & CLONE_CHILD_CLEARTID)
        t->clear_child_tid = rq->child_tid;
    return t;
}

static void enter_process(struct process *p, struct thread *leader, uint64_t flags)
{
    struct process *parent = flags & CLONE_PARENT ? current->proc->parent : current->proc;

    p->pid = leader->tid;
    p->leader = leader;
    p->parent = parent;
    list_push_back(&parent->children, &p->sibling_node);
    list_push_back(&all_processes, &p->all_node);
}

static void child_first(void *arg)
{
    struct thread *self = arg;

    sched_started();
    if (self->set_child_tid)
        put_user(self->tid, self->set_child_tid);
    return_to_user(self->regs);
}

/* Killable only: the parent's memory is the child's until then. */
static void wait_for_vfork(struct thread *child, struct vfork_wait *wait)
{
    while (!wait->done) {
        if (sched_park(NEVER, PARK_KILLABLE) == -ERESTARTSYS && !wait->done) {
            child->vfork = NULL;
            return;
        }
    }
}

static long choose_tid(const struct clone_request *rq)
{
    if (!rq->wanted_tid)
        return tid_alloc();
    return tid_in_use(rq->wanted_tid) ? -EEXIST : rq->wanted_tid;
}

/* Descriptor and tid go to the parent's memory before the child runs. Failures to write are the parent's own fault. */
static long tell_parent(struct thread *t, const struct clone_request *rq)
{
    int fd;

    if (rq->flags & CLONE_PIDFD) {
        fd = pidfd_install(t->proc, 0);
        if (fd < 0)
            return fd;
        if (put_user(fd, rq->pidfd) < 0) {
            fd_close(fd);
            return -EFAULT;
        }
    }
    if (rq->flags & CLONE_PARENT_SETTID)
        put_user(t->tid, rq->parent_tid);
    return 0;
}

long clone_current(const struct clone_request *rq)
{
    bool new_process = !(rq->flags & CLONE_THREAD);
    int event = ptrace_clone_event(rq->flags, rq->exit_signal);
    struct vfork_wait vfork = { .parent = current };
    struct process *p = current->proc;
    struct thread *t;
    long error = check_flags(rq), tid;

    if (error == 0)
        error = check_limits();
    if (error < 0)
        return error;
    tid = choose_tid(rq);
    if (tid < 0)
        return tid;
    if (new_process)
        p = make_process(rq);
    if (is_err(p))
        return ptr_err(p);
    t = make_thread(p, rq, (int)tid);
    if (is_err(t)) {
        error = ptr_err(t);
        goto drop_process;
    }
    error = tell_parent(t, rq);
    if (error == 0 && signal_deadly_pending(current))
        error = -EINTR; /* the process is ending, or becoming another program: no new threads */
    if (error < 0)
        goto drop_thread;
    if (new_process)
        enter_process(p, t, rq->flags);
    if (rq->flags & CLONE_VFORK)
        t->vfork = &vfork;
    thread_enter(t);
    t->work = WORK_SIGNAL; /* the process may be about to stop */
    ptrace_clone_child(t, rq->flags, event);
    sched_start(t, child_first);
    if (event)
        ptrace_event(event, (uint64_t)tid);
    if (rq->flags & CLONE_VFORK) {
        wait_for_vfork(t, &vfork);
        ptrace_event(PTRACE_EVENT_VFORK_DONE, (uint64_t)tid);
    }
    return tid;

drop_thread:
    thread_discard(t);
drop_process:
    if (new_process)
        process_discard(p);
    return error;
}
