/*
 * The border between app and shim in C: who is called when, and the per-CPU words that entry.S uses.
 * There is one vCPU, and the shim isn't interrupted while it runs (a kick only sets a flag), so plain globals do.
 */
#ifndef ARCH_ENTRY_H
#define ARCH_ENTRY_H

#include "arch/regs.h"

/* Called by entry.S. */
void syscall_trap(struct regs *regs);                    /* a `syscall` instruction */
void syscall_entry(struct regs *regs);                   /* a rewritten one */
void upcall_entry(struct regs *regs);                    /* a kick diverted the app here */
void exception_entry(struct regs *regs, uint64_t cr2);   /* regs->orig_rax is the vector */
void return_work(struct regs *regs);                     /* pending flag or current->work was set on the way out */

/* Top of the current thread's kernel stack; the next entry from the app starts there. Set by the scheduler. */
extern uint64_t cpu_kstack_top;
extern uint64_t cpu_kstack_base;

/* Non-zero: return_work must run before the app goes on (signals, rescheduling); shared_page.pending is looked at too. */
extern uint32_t cpu_work;

/*
 * Switch kernel stacks: save callee-saved registers and rsp to *save_rsp, continue with load_rsp.
 * A new thread's stack is made by kstack_prepare so that the first switch to it calls fn(arg), which must not return but by
 * return_to_user.
 */
void kstack_switch(uint64_t *save_rsp, uint64_t load_rsp);
uint64_t kstack_prepare(uint64_t top, void (*fn)(void *), void *arg);

/* Leave the shim for the app with these registers, which lie at the top of the current kernel stack. */
_Noreturn void return_to_user(struct regs *regs);

#endif
