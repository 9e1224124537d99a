/*
 * Threads, what they share, and how they wait.
 *
 * All threads run on the one vCPU. Inside the shim a thread runs until it parks: there is no preemption in here, so data needs
 * a lock only across a call that may park. On the way back to the app, cpu_work makes return_work run: signals, and the
 * scheduler when the tick has come.
 */
#ifndef PROC_THREAD_H
#define PROC_THREAD_H

#include "arch/regs.h"
#include "lib/base.h"
#include "lib/list.h"
#include "proc/timer.h"

struct mm;
struct fd_table;
struct fs_context;
struct process;
struct seccomp_filter;
struct sem_undo_list;
struct sighand;

typedef uint64_t sigset; /* bit n-1: signal n */

enum thread_state {
    THREAD_RUNNABLE, /* running, or on the run queue */
    THREAD_PARKED,
    THREAD_STOPPED,  /* job control */
    THREAD_DEAD,
};

struct sigqueue {
    sigset set;          /* what is pending */
    struct list entries; /* struct siginfo_entry; standard signals at most once */
};

/* How CPU time divides (proc/usage.c): an estimate of the shim's part, and what was told last. */
struct cpu_split {
    uint64_t kernel_ns, user_told_ns, system_told_ns;
};

struct thread {
    struct list all_node;    /* every thread */
    struct list proc_node;   /* process->threads */
    struct rb_node run_node; /* run queue */
    uint64_t vruntime;       /* its place there: weighted CPU time */
    struct thread *hash_next; /* threads by tid */
    int tid;
    enum thread_state state;
    struct process *proc;
    struct mm *mm;           /* = proc->mm; NULL once dead */
    struct fd_table *files;
    struct fs_context *fs;

    uint64_t kstack_base, kstack_top, krsp;
    struct regs *regs;       /* the app's registers, at kstack_top - sizeof(struct regs) */
    void *fpu;               /* xsave area */
    uint64_t fs_base, gs_base;

    /* waiting */
    bool polling;             /* see fs/poll.h */
    bool woken;
    bool timed_out;
    struct timer park_timer;
    uint8_t park_mode;       /* enum park_mode, while parked */
    uint32_t work;           /* what cpu_work is to be when it runs: WORK_* */

    /* signals */
    sigset blocked;
    sigset saved_blocked;    /* to restore after sigsuspend, ppoll …; valid if restore_blocked */
    bool restore_blocked;
    sigset real_blocked;     /* during sigtimedwait: the mask without what it waits for; else 0 */
    struct sigqueue pending;
    uaddr_t altstack_sp;
    uint64_t altstack_size;
    uint32_t altstack_flags;
    long (*restart)(struct thread *self); /* restart_syscall; arguments in restart_arg */
    uint64_t restart_arg[5];
    int trap_number;         /* of the last fault, for sigcontext */
    uint64_t trap_error, trap_address;

    uaddr_t clear_child_tid;
    uaddr_t robust_list;
    uaddr_t rseq;
    uint32_t rseq_len, rseq_sig;
    char comm[16];
    uint64_t run_start_ns, cpu_ns;
    uint64_t kernel_since_ns; /* 0: nothing of its time is measured as system time now; proc/usage.h */
    uint32_t kernel_weight;
    struct cpu_split split;
    uint64_t voluntary_switches, involuntary_switches;
    uint64_t start_ns;
    int exit_code;           /* as wait4 reports it */
    bool exiting;            /* has begun to end: takes no signals any more */
    struct trace *trace;     /* it is traced; proc/ptrace.h */
    int trace_signal;        /* with which its tracer let it go on */
    struct vfork_wait *vfork; /* its parent waits until it execs or ends; proc/clone.h */
    uaddr_t set_child_tid;   /* CLONE_CHILD_SETTID: written when it first runs */
    int nice, sched_policy, sched_priority;
    bool sched_reset_on_fork;
    uint64_t timer_slack_ns;
    uint32_t ioprio;
    uint8_t mempolicy;       /* set_mempolicy(2): sys/mempolicy.c */
    uint8_t seccomp_mode;    /* SECCOMP_MODE_*: its calls are looked at by proc/seccomp.c */
    struct seccomp_filter *seccomp;
    struct sem_undo_list *sem_undo; /* System V semaphores: what SEM_UNDO gives back; ipc/sem.c */
};

extern struct thread *current;

/* --- scheduling (proc/sched.c) --- */

/*
 * Park current until thread_wake, the deadline (CLOCK_MONOTONIC ns, or NEVER), or, if interruptible, a signal to
 * handle. Returns 0 (woken), -ETIMEDOUT or -ERESTARTSYS. Other threads run meanwhile; with none the vCPU idles in WAIT.
 * Woken may be spurious: check the condition again.
 */
int thread_park(uint64_t deadline_ns, bool interruptible);
void thread_wake(struct thread *thread);
void thread_yield(void);
bool signal_pending(const struct thread *thread); /* an unblocked signal waits to be handled */

/*
 * Called by the scheduler and by whoever spins: look at completions of rings and devices. Set by drivers.
 * Each returns true if it woke somebody.
 */
void sched_add_poller(bool (*poll)(void));

/* --- wait queues (proc/wait.c) --- */

struct wait_queue {
    struct list entries; /* struct wait_entry */
};

struct wait_entry {
    struct list node;
    struct thread *thread;
    /* Called when the queue is woken with the poll events that came; NULL: just wake the thread. */
    void (*wake)(struct wait_entry *entry, uint32_t events);
    void *data;
    bool exclusive; /* wake_one stops after it */
};

static inline void wait_queue_init(struct wait_queue *q)
{
    list_init(&q->entries);
}

void wait_add(struct wait_queue *q, struct wait_entry *e); /* entry of current unless thread is set */
void wait_remove(struct wait_entry *e);
void wait_wake_all(struct wait_queue *q, uint32_t events);
void wait_wake_one(struct wait_queue *q, uint32_t events);

/* Sleep on q until cond holds. result: 0, -ETIMEDOUT, -ERESTARTSYS (only if interruptible). cond is evaluated with current queued. */
#define wait_until(q, cond, deadline, interruptible_)                                              \
    ({                                                                                             \
        struct wait_entry wait_entry_ = { 0 };                                                     \
        int wait_result_ = 0;                                                                      \
        wait_add((q), &wait_entry_);                                                               \
        while (!(cond)) {                                                                          \
            wait_result_ = thread_park((deadline), (interruptible_));                              \
            if (wait_result_ < 0)                                                                  \
                break;                                                                             \
        }                                                                                          \
        wait_remove(&wait_entry_);                                                                 \
        (cond) ? 0 : wait_result_;                                                                 \
    })

/* A lock for data that must stay put across a call that parks. Not recursive. */
struct mutex {
    struct thread *owner;
    struct wait_queue queue;
};

void mutex_init(struct mutex *m);
void mutex_lock(struct mutex *m);
void mutex_unlock(struct mutex *m);

#endif
