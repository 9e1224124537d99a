/* The app's registers as the entry code leaves them on the thread's kernel stack. Offsets are used by entry.S. */
#ifndef ARCH_REGS_H
#define ARCH_REGS_H

#define REGS_R15 0
#define REGS_R14 8
#define REGS_R13 16
#define REGS_R12 24
#define REGS_RBP 32
#define REGS_RBX 40
#define REGS_R11 48
#define REGS_R10 56
#define REGS_R9 64
#define REGS_R8 72
#define REGS_RAX 80
#define REGS_RCX 88
#define REGS_RDX 96
#define REGS_RSI 104
#define REGS_RDI 112
#define REGS_ORIG_RAX 120
#define REGS_ERROR 128
#define REGS_RIP 136
#define REGS_CS 144
#define REGS_RFLAGS 152
#define REGS_RSP 160
#define REGS_SS 168
#define REGS_SIZE 176

#ifndef __ASSEMBLER__
#include "lib/base.h"

struct regs {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
    uint64_t rax, rcx, rdx, rsi, rdi;
    uint64_t orig_rax; /* number of the system call; NO_SYSCALL when this entry isn't one */
    uint64_t error;    /* exceptions: the CPU's error code */
    uint64_t rip, cs, rflags, rsp, ss;
};

#define NO_SYSCALL (~0ull)

_Static_assert(sizeof(struct regs) == REGS_SIZE, "entry.S knows the layout");
_Static_assert(offsetof(struct regs, orig_rax) == REGS_ORIG_RAX, "entry.S knows the layout");
_Static_assert(offsetof(struct regs, rip) == REGS_RIP, "entry.S knows the layout");
#endif

#define RFLAGS_CF 0x1
#define RFLAGS_TF 0x100
#define RFLAGS_IF 0x200
#define RFLAGS_DF 0x400
#define RFLAGS_RF 0x10000
#define RFLAGS_AC 0x40000
#define RFLAGS_USER 0x254dd5 /* what an app may change: CF PF AF ZF SF TF DF OF NT AC ID RF */

#endif
