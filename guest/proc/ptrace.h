/*
 * ptrace(2). A traced thread (tracee) stops by itself, on its own stack, at the places below; its tracer then looks at it and
 * lets it go on. ptrace.c has the stops and who traces whom, ptrace_regs.c the tracee's registers, sys/ptrace.c the call.
 */
#ifndef PROC_PTRACE_H
#define PROC_PTRACE_H

#include "proc/process.h"
#include "proc/signal.h"

enum trace_stop {
    TRACE_STOP_NONE, /* it runs */
    TRACE_STOP_SIGNAL,
    TRACE_STOP_EVENT,
    TRACE_STOP_ENTRY, /* of a system call */
    TRACE_STOP_EXIT,
    TRACE_STOP_GROUP, /* job control's, of a tracee that was attached the old way */
};

enum trace_run { TRACE_RUN, TRACE_RUN_SYSCALL, TRACE_RUN_STEP, TRACE_RUN_BLOCK };

struct trace {
    struct list node; /* of tracer->tracees */
    struct thread *tracee;
    struct process *tracer;
    struct thread *tracer_thread; /* the only one whose requests are heard */
    uint32_t options;             /* PTRACE_O_* */
    bool seized;
    enum trace_stop stop;
    int code;       /* of the stop: signal, with an event above it */
    bool reported;  /* a wait call has told of the stop */
    bool listening; /* PTRACE_LISTEN: stopped, but out of the tracer's hands */
    enum trace_run run;
    bool emulate;   /* PTRACE_SYSEMU: calls are left out */
    uint64_t step_rip; /* TRACE_RUN_BLOCK: the instruction that is being stepped over */
    bool trap_wanted; /* stop with PTRACE_EVENT_STOP as soon as possible */
    bool past_group_stop; /* it goes on though its process is stopped */
    bool own_tf;          /* the trap flag is ours, not the program's */
    bool ended;           /* a thread that has ended, and whose status nobody has taken */
    uint64_t message;     /* PTRACE_GETEVENTMSG */
    siginfo_t *info;      /* of the stop, on the tracee's stack; NULL: none */
};

/* --- what the tracee meets on its way; each may park --- */

/* A system call begins and ends. False: the call is to be left out, its result is in regs->rax. */
bool ptrace_syscall_enter(struct regs *regs);
void ptrace_syscall_exit(struct regs *regs);

/* A seccomp filter asks the tracer. False: the call is left out, *ret is its result. */
bool ptrace_seccomp(struct regs *regs, uint32_t data, long *ret);

/* On the way back to the app: stops that somebody wants. */
void ptrace_trap(void);

/* A signal is about to be delivered; *info may become another. False: it is dropped. */
bool ptrace_signal(siginfo_t *info);

/* A step has ended. True: it is one of many (PTRACE_SINGLEBLOCK), and nobody needs to know. */
bool ptrace_step_goes_on(const struct regs *regs);

/* A handler's frame is about to be made (the program's flags go into it), and has been: a step ends there. */
void ptrace_handler_begins(void);
void ptrace_handler_begun(void);

/* The process is stopped by signo. False: current isn't traced, or has been let go on all the same. */
bool ptrace_group_stop(int signo);
void ptrace_group_continued(struct process *p);

/* fork, exec, exit. child: attach the new thread as the options want; event: stop in the parent. */
int ptrace_clone_event(uint64_t flags, uint64_t exit_signal); /* 0: not traced, or nobody wants to know */
void ptrace_clone_child(struct thread *child, uint64_t clone_flags, int event);
void ptrace_event(int event, uint64_t message);
void ptrace_exec(int old_tid);
void ptrace_exit_event(int wait_status);
bool ptrace_thread_ended(struct thread *t);      /* not a leader. True: the struct stays until its tracer waits */
bool ptrace_process_ended(struct process *p);    /* true: tracers, not the parent, are told first */
void ptrace_tracer_exit(struct thread *tracer);
void ptrace_forget(struct thread *t);            /* the struct goes */

/* Is t stopped for its tracer? For /proc. */
bool ptrace_is_stopped(const struct thread *t);
int ptrace_tracer_pid(const struct thread *t);

/* --- what tracers do --- */

bool ptrace_may_access(const struct process *p); /* read and change its memory; ptrace(2), "access mode checking" */
long ptrace_attach(struct thread *t, struct thread *tracer, bool seize, uint32_t options);
void ptrace_detach(struct thread *t, int signo);
void ptrace_resume(struct thread *t, enum trace_run run, bool emulate, int signo);
long ptrace_interrupt(struct thread *t);

/* Registers (ptrace_regs.c). type: NT_*. *size: of the buffer in, of what was copied out. */
long ptrace_get_regset(struct thread *t, uint32_t type, uaddr_t buf, uint64_t *size);
long ptrace_set_regset(struct thread *t, uint32_t type, uaddr_t buf, uint64_t *size);
long ptrace_peek_user(const struct thread *t, uint64_t offset, uint64_t *ret);
long ptrace_poke_user(struct thread *t, uint64_t offset, uint64_t value);

#endif
