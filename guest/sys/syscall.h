/*
 * How a system call is written: SYSCALL_DEFINEn(name, type, arg, …) { … } makes sys_name for the table.
 * The result goes to the app's rax: >= 0 or -errno. current->regs are the app's registers.
 * sys/table.h is the one list of all calls with their state.
 */
#ifndef SYS_SYSCALL_H
#define SYS_SYSCALL_H

#include "arch/regs.h"
#include "arch/uaccess.h"
#include "lib/base.h"
#include "proc/process.h"

typedef long (*syscall_fn)(struct regs *regs);

#define SYSCALL_DEFINE0(name)                                                                      \
    long sys_##name(struct regs *regs);                                                            \
    long sys_##name(struct regs *regs UNUSED)
#define SYSCALL_DEFINE1(name, t1, a1)                                                              \
    long sys_##name(struct regs *regs);                                                            \
    static inline long do_##name(t1 a1);                                                           \
    long sys_##name(struct regs *r) { return do_##name((t1)r->rdi); }                              \
    static inline long do_##name(t1 a1)
#define SYSCALL_DEFINE2(name, t1, a1, t2, a2)                                                      \
    long sys_##name(struct regs *regs);                                                            \
    static inline long do_##name(t1 a1, t2 a2);                                                    \
    long sys_##name(struct regs *r) { return do_##name((t1)r->rdi, (t2)r->rsi); }                  \
    static inline long do_##name(t1 a1, t2 a2)
#define SYSCALL_DEFINE3(name, t1, a1, t2, a2, t3, a3)                                              \
    long sys_##name(struct regs *regs);                                                            \
    static inline long do_##name(t1 a1, t2 a2, t3 a3);                                             \
    long sys_##name(struct regs *r) { return do_##name((t1)r->rdi, (t2)r->rsi, (t3)r->rdx); }      \
    static inline long do_##name(t1 a1, t2 a2, t3 a3)
#define SYSCALL_DEFINE4(name, t1, a1, t2, a2, t3, a3, t4, a4)                                      \
    long sys_##name(struct regs *regs);                                                            \
    static inline long do_##name(t1 a1, t2 a2, t3 a3, t4 a4);                                      \
    long sys_##name(struct regs *r)                                                                \
    {                                                                                              \
        return do_##name((t1)r->rdi, (t2)r->rsi, (t3)r->rdx, (t4)r->r10);                          \
    }                                                                                              \
    static inline long do_##name(t1 a1, t2 a2, t3 a3, t4 a4)
#define SYSCALL_DEFINE5(name, t1, a1, t2, a2, t3, a3, t4, a4, t5, a5)                              \
    long sys_##name(struct regs *regs);                                                            \
    static inline long do_##name(t1 a1, t2 a2, t3 a3, t4 a4, t5 a5);                               \
    long sys_##name(struct regs *r)                                                                \
    {                                                                                              \
        return do_##name((t1)r->rdi, (t2)r->rsi, (t3)r->rdx, (t4)r->r10, (t5)r->r8);               \
    }                                                                                              \
    static inline long do_##name(t1 a1, t2 a2, t3 a3, t4 a4, t5 a5)
#define SYSCALL_DEFINE6(name, t1, a1, t2, a2, t3, a3, t4, a4, t5, a5, t6, a6)                      \
    long sys_##name(struct regs *regs);                                                            \
    static inline long do_##name(t1 a1, t2 a2, t3 a3, t4 a4, t5 a5, t6 a6);                        \
    long sys_##name(struct regs *r)                                                                \
    {                                                                                              \
        return do_##name((t1)r->rdi, (t2)r->rsi, (t3)r->rdx, (t4)r->r10, (t5)r->r8, (t6)r->r9);    \
    }                                                                                              \
    static inline long do_##name(t1 a1, t2 a2, t3 a3, t4 a4, t5 a5, t6 a6)

#endif
