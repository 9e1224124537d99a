/* Making threads and processes. */
#ifndef PROC_CLONE_H
#define PROC_CLONE_H

#include "proc/process.h"

/* On the stack of a parent in vfork(2). */
struct vfork_wait {
    struct thread *parent;
    bool done;
};

struct clone_request {
    uint64_t flags;      /* CLONE_*, without the exit signal */
    uint64_t exit_signal;
    uaddr_t pidfd;       /* where the descriptor goes */
    uaddr_t child_tid, parent_tid;
    uaddr_t stack_top;   /* 0: as the parent's */
    uint64_t tls;
    int wanted_tid;      /* 0: any */
};

/* The new tid, or -errno. */
long clone_current(const struct clone_request *rq);

/* The child no longer needs its parent's memory: let the parent go on. */
void vfork_release(struct thread *child);

/* --- bookkeeping (proc/process.c) --- */

/* A free tid, or -EAGAIN. The caller enters it at once. */
int tid_alloc(void);
bool tid_in_use(int tid);

/* A thread of p with a kernel stack, not yet running, in no list; NULL: no memory. Takes a reference of p. */
struct thread *thread_create(struct process *p, int tid);
void thread_destroy(struct thread *t);  /* one that never ran */
void thread_enter(struct thread *t);    /* into the lists; counts */
void thread_unhash(struct thread *t);
void thread_free_stack(struct thread *t);
void thread_rename(struct thread *t, int tid);

/* An empty process with one reference, in no list; NULL: no memory. */
struct process *process_create(void);

#endif
