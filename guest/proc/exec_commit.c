/* What exec means for threads, signals and the rest of the process; the new address space is mm/exec.c's. */
#include "proc/process.h"

#include "arch/cpu.h"
#include "fs/fdtable.h"
#include "fs/file.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/mm.h"
#include "proc/clone.h"
#include "proc/cputimer.h"
#include "proc/exit.h"
#include "proc/posix_timer.h"
#include "proc/ptrace.h"
#include "proc/sched.h"
#include "proc/signal.h"

/* The thread that calls exec goes on under the leader's tid, which is the pid. */
static void become_leader(struct process *p)
{
    struct thread *old = p->leader;

    if (old == current)
        return;
    ptrace_forget(old);
    thread_unhash(old);
    kfree(old); /* only its number was left */
    p->leader = current;
    thread_rename(current, p->pid);
}

static long end_other_threads(struct process *p)
{
    p->exec_thread = current;
    signal_end_threads(p, current);
    while (p->thread_count > 1) {
        if (sched_park(NEVER, PARK_KILLABLE) == -ERESTARTSYS && p->thread_count > 1) {
            p->exec_thread = NULL;
            return -EAGAIN;
        }
    }
    p->exec_thread = NULL;
    become_leader(p);
    return 0;
}

long proc_unshare_files(void)
{
    struct fd_table *own;

    if (current->files->refs == 1)
        return 0;
    own = fd_table_copy(current->files);
    if (!own)
        return -ENOMEM;
    fd_table_put(current->files);
    current->files = own;
    return 0;
}

/* Dispositions and descriptors that are shared with another process (clone without CLONE_THREAD) become the process's own. */
static long unshare_tables(struct process *p)
{
    struct sighand *own;

    if (p->sighand->refs > 1) {
        own = sighand_copy(p->sighand);
        if (!own)
            return -ENOMEM;
        sighand_put(p->sighand);
        p->sighand = own;
    }
    return proc_unshare_files();
}

long proc_exec_begin(void)
{
    struct process *p = current->proc;
    long error;

    if (p->exec_thread || signal_deadly_pending(current))
        return -EAGAIN;
    error = unshare_tables(p);
    if (error == 0)
        error = end_other_threads(p);
    if (error == 0 && current->mm)
        thread_release_words(current);
    return error;
}

/* capabilities(7), "Transformation of capabilities during execve()", without file capabilities; root gets what is bounded. */
static void exec_capabilities(struct cred *c)
{
    bool root = c->uid == 0 || c->euid == 0;

    c->suid = c->fsuid = c->euid;
    c->sgid = c->fsgid = c->egid;
    if (root)
        c->cap_ambient = 0;
    c->cap_permitted = root ? c->cap_inheritable | c->cap_bounding : c->cap_ambient;
    c->cap_effective = c->euid == 0 ? c->cap_permitted : c->cap_ambient;
    c->securebits &= ~(1u << 4); /* SECBIT_KEEP_CAPS */
}

static void reset_thread(struct thread *t)
{
    altstack_reset(t);
    t->rseq = 0;
    t->robust_list = 0;
    t->clear_child_tid = 0;
    t->set_child_tid = 0;
    t->restart = NULL;
    t->restore_blocked = false;
    wrfsbase(0);
    wrgsbase(0);
    fpu_restore(fpu_initial);
}

static void set_comm(struct thread *t, const char *filename)
{
    const char *slash = strrchr(filename, '/');

    memset(t->comm, 0, sizeof(t->comm));
    strlcpy(t->comm, slash ? slash + 1 : filename, sizeof(t->comm));
}

void proc_exec_commit(const char *filename)
{
    struct process *p = current->proc;

    signal_reset_for_exec(p);
    posix_timer_exec(p);
    cputimer_changed(p);
    exec_capabilities(&p->cred);
    reset_thread(current);
    set_comm(current, filename);
    p->exit_signal = SIGCHLD;
    p->dumpable = true;
    p->membarrier = 0;
    p->execed = true;
    fd_table_close_on_exec(current->files);
    vfork_release(current);
}
