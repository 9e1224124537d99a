/*
 * The vsyscall page of old static programs (glibc before 2.14): three functions at fixed addresses of the upper half, where
 * nothing is mapped. A jump there faults and is served as the call that it means, as Linux does by default (xonly).
 */
#include "sys/vsyscall.h"

#include "sys/syscall.h"

#define VSYSCALL_PAGE 0xffffffffff600000ul

long sys_gettimeofday(struct regs *regs);
long sys_time(struct regs *regs);
long sys_getcpu(struct regs *regs);

static syscall_fn function_at(uint64_t rip)
{
    switch (rip - VSYSCALL_PAGE) {
    case 0:
        return sys_gettimeofday;
    case 1024:
        return sys_time;
    case 2048:
        return sys_getcpu;
    default:
        return NULL;
    }
}

bool vsyscall(struct regs *regs)
{
    syscall_fn fn = function_at(regs->rip);
    uint64_t caller;
    long ret;

    if (!fn || get_user(caller, regs->rsp) < 0)
        return false;
    ret = fn(regs);
    if (ret == -EFAULT)
        return false;
    regs->rax = (uint64_t)ret;
    regs->rip = caller;
    regs->rsp += sizeof(caller);
    return true;
}
