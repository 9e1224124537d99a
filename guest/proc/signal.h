/*
 * Signals: dispositions, queues, delivery. process.h has what the rest of the shim needs; this is for proc/, sys/signal.c,
 * signalfd and timers.
 *
 * A signal is sent (queued, a thread told of it), and later delivered by the thread itself on its way back to the app.
 */
#ifndef PROC_SIGNAL_H
#define PROC_SIGNAL_H

#include <asm/signal.h>
#include <asm/siginfo.h>

#include "arch/uaccess.h"
#include "proc/process.h"

/* The kernel's numbers; the headers for user space call the user's NSIG. */
#define SIGNAL_COUNT 64
#define SIGNAL_BIT(n) (1ull << ((n)-1))

#define SIGNALS_STOP                                                                               \
    (SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU))
#define SIGNALS_IGNORED_BY_DEFAULT                                                                 \
    (SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH) | SIGNAL_BIT(SIGCONT))
#define SIGNALS_WITH_CORE                                                                          \
    (SIGNAL_BIT(SIGQUIT) | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGABRT) |        \
     SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGSYS) |          \
     SIGNAL_BIT(SIGXCPU) | SIGNAL_BIT(SIGXFSZ))
#define SIGNALS_OF_FAULTS                                                                          \
    (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) |         \
     SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGSYS))
#define SIGNALS_UNBLOCKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))

/* struct sigaction of rt_sigaction(2). */
struct signal_action {
    uint64_t handler; /* SIG_DFL, SIG_IGN or an address */
    uint64_t flags;
    uint64_t restorer;
    sigset mask;
};

#define ACTION_FINAL (1ull << 63) /* in flags, never the app's: neither the program nor a tracer has a say any more */
#define HANDLER_DEFAULT 0ul
#define HANDLER_IGNORE 1ul

struct sighand {
    uint32_t refs;
    struct signal_action action[SIGNAL_COUNT];
};

struct siginfo_entry {
    struct list node;
    siginfo_t info;
    struct process *counted; /* whose queued_signals it counts in; NULL: none */
    void *timer;             /* a POSIX timer's own entry: never freed by the queue */
};

struct sighand *sighand_create(void);
struct sighand *sighand_copy(const struct sighand *from);
void sighand_put(struct sighand *s);

static inline void sigqueue_init(struct sigqueue *q)
{
    q->set = 0;
    list_init(&q->entries);
}

void sigqueue_flush(struct sigqueue *q, sigset which);

/*
 * Send info to a process as a whole or to one thread. 0, or -EAGAIN: a real-time signal that would exceed RLIMIT_SIGPENDING.
 * No permission is checked.
 */
int signal_send(struct process *p, struct thread *only, const siginfo_t *info);

/* To current, whatever it thinks of it: blocked or ignored, or always if deadly, the signal ends the process. */
void signal_force(const siginfo_t *info, bool deadly);

/* Queue a timer's own entry; false if it is still queued from last time (an overrun) or ignored. */
bool signal_send_entry(struct process *p, struct thread *only, struct siginfo_entry *entry);

/* As signal_send_process, but only if the group's own rules don't forbid: for wait4's SIGCHLD with full siginfo. */
void signal_notify_parent(struct process *child, int code);

/* Take the next signal in which from current's queues. Its number, 0 if there is none. For delivery, sigtimedwait, signalfd. */
int signal_dequeue(sigset which, siginfo_t *ret);

/* Signals that are pending for current, its process's included. */
sigset signal_pending_set(const struct thread *t);

/* Change current's mask; what that unblocks is delivered on the way back. */
void signal_set_mask(sigset blocked);

/* For ppoll, pselect6, epoll_pwait, sigsuspend: mask until the call is over. -EFAULT, -EINVAL. mask 0: nothing to do. */
long signal_set_temporary_mask(uaddr_t mask, uint64_t size);
/* At the end of such a call: back at once, unless it was interrupted (then after the handler). */
void signal_restore_mask(bool interrupted);

/* May current send signo to p (kill(2))? 0 or -EPERM. */
int signal_may_send(const struct process *p, int signo);

/* A deadly signal waits for t, or its process is ending: t must not begin anything long. */
bool signal_deadly_pending(const struct thread *t);
/* The same, or a signal that will end it without a trace: who waits killably need not wait for more (Linux's fatal_signal_pending). */
bool signal_fatal_pending(const struct thread *t);

/* End every other thread of p, for exit and exec. */
void signal_end_threads(struct process *p, const struct thread *except);

/* On the way back to the app (sched_return_work). */
void signal_deliver(struct regs *regs);

/* Exec: caught signals become default. */
void signal_reset_for_exec(struct process *p);

/* The host's signals that the vmm passed on. */
void signal_from_host(uint64_t signals);

/* --- frames (proc/sigframe.c) --- */

/* Make current run the handler of action when it goes back. -EFAULT if the stack can't take the frame. */
int sigframe_push(struct regs *regs, const struct signal_action *action, const siginfo_t *info, sigset mask);
/* rt_sigreturn: -EFAULT for a frame that can't be right. */
int sigframe_pop(struct regs *regs);
long sigaltstack_set(uaddr_t new_stack, uaddr_t old_stack, uint64_t sp);
void altstack_reset(struct thread *t);

/* rseq(2): if rip is in a critical section, move it to the abort handler. False if the app's data is wrong: SIGSEGV. */
bool rseq_fix_up(struct regs *regs);

#endif
