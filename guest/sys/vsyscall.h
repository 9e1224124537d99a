/* The vsyscall page (sys/vsyscall.c). */
#ifndef SYS_VSYSCALL_H
#define SYS_VSYSCALL_H

#include "arch/regs.h"

/* The app jumped to regs->rip in the upper half: if that is a vsyscall, do it and return to its caller. */
bool vsyscall(struct regs *regs);

#endif
