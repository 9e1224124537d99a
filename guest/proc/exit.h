/* How threads, processes and the sandbox end. */
#ifndef PROC_EXIT_H
#define PROC_EXIT_H

#include "proc/process.h"

/* End current; the last thread of a process ends the process. wait_status as for process_exit. */
_Noreturn void thread_exit(int wait_status);

/* The sandbox is over: report, and tell the vmm how the app ended. */
_Noreturn void sandbox_end(int wait_status);

/* The scheduler is off the stack of this ended thread: free it. */
void thread_reap(struct thread *t);

/* Take a zombie out of the world: its parent has its status, or doesn't want it. */
void process_reap(struct process *p);

/* A zombie's parent is told, or doesn't want to know and it is reaped. Traced ones: once the tracer knows. */
void process_tell_parent(struct process *p);
void process_tell_end(struct process *p); /* whoever comes first */

/* Current leaves its address space, by exec or exit: robust and PI futexes, clear_child_tid. */
void thread_release_words(struct thread *t);

/* Was the process group, were p not in it, without a parent in the same session outside the group? (POSIX: orphaned) */
bool pgrp_is_orphaned(int pgid, const struct process *without);

#endif
