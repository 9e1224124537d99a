/* seccomp(2): filters that a thread put on its own system calls. */
#ifndef PROC_SECCOMP_H
#define PROC_SECCOMP_H

#include "arch/regs.h"
#include "proc/thread.h"

struct seccomp_filter;

/*
 * Before a call of a thread with t->seccomp_mode set. True: it may be made. Else *ret is what it answers; or the thread
 * has been sent SIGSYS, or doesn't return from here.
 */
bool seccomp_allows(struct regs *regs, long *ret);

void seccomp_inherit(struct thread *t); /* a new thread has current's filters */
void seccomp_release(struct thread *t);
uint32_t seccomp_filter_count(const struct thread *t);

/* seccomp(2)'s operations, for prctl too; args is an address. */
long seccomp_operation(uint32_t operation, uint32_t flags, uaddr_t args);

#endif
