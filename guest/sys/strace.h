/* --strace: a line for each system call, written before (arguments) and after (result). */
#ifndef SYS_STRACE_H
#define SYS_STRACE_H

#include "arch/regs.h"

extern bool strace_enabled;

void strace_enter(const struct regs *regs);
void strace_exit(const struct regs *regs, uint64_t nr, long ret);

/* The program that the vmm named isn't started by a call of an app's; the trace begins as if it were. */
void strace_first_exec(const char *path, unsigned argc, unsigned envc);

/* Name of a system call; NULL if there is none of that number. */
const char *syscall_name(uint64_t nr);

#endif
