/* Calls that make, name and end threads and processes: clone, fork, exit, tids, TLS, robust lists, rseq. */
#include "sys/syscall.h"

#include "arch/cpu.h"
#include "lib/string.h"
#include "proc/clone.h"
#include "proc/exit.h"
#include "proc/sched.h"
#include "proc/signal.h"

#include <asm/prctl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/rseq.h>
#include <linux/sched.h>

/* --- making --- */

/* The raw call's argument order on x86-64: flags, stack, parent_tid, child_tid, tls. clone(2). */
SYSCALL_DEFINE5(clone, uint64_t, flags, uaddr_t, stack, uaddr_t, parent_tid, uaddr_t, child_tid, uint64_t, tls)
{
    struct clone_request rq = {
        .flags = (flags & 0xffffffff) & ~(uint64_t)CSIGNAL,
        .exit_signal = flags & CSIGNAL,
        .pidfd = parent_tid,
        .parent_tid = parent_tid,
        .child_tid = child_tid,
        .stack_top = stack,
        .tls = tls,
    };

    return clone_current(&rq);
}

SYSCALL_DEFINE0(fork)
{
    struct clone_request rq = { .exit_signal = SIGCHLD };

    return clone_current(&rq);
}

SYSCALL_DEFINE0(vfork)
{
    struct clone_request rq = { .flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGCHLD };

    return clone_current(&rq);
}

static long copy_clone_args(struct clone_args *args, uaddr_t addr, size_t size)
{
    if (size > PAGE_SIZE)
        return -E2BIG;
    if (size < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    return copy_struct_from_user(args, sizeof(*args), addr, size);
}

/* set_tid: one level, as there is one PID namespace. */
static long wanted_tid(const struct clone_args *args, int *ret)
{
    int tid;

    *ret = 0;
    if (args->set_tid_size > 32 || (!args->set_tid) != (args->set_tid_size == 0))
        return -EINVAL;
    if (!args->set_tid_size)
        return 0;
    if (args->set_tid_size > 1)
        return -EINVAL;
    if (get_user(tid, args->set_tid) < 0)
        return -EFAULT;
    if (tid < 1 || tid >= 32768)
        return -EINVAL;
    if (!capable(CAP_SYS_ADMIN))
        return -EPERM;
    *ret = tid;
    return 0;
}

SYSCALL_DEFINE2(clone3, uaddr_t, addr, size_t, size)
{
    struct clone_args args;
    struct clone_request rq = { 0 };
    long error = copy_clone_args(&args, addr, size);

    if (error < 0)
        return error;
    if (args.flags & (CSIGNAL | CLONE_DETACHED) || args.exit_signal > SIGNAL_COUNT)
        return -EINVAL;
    if ((args.flags & (CLONE_THREAD | CLONE_PARENT)) && args.exit_signal)
        return -EINVAL;
    if ((args.flags & CLONE_INTO_CGROUP) || args.flags & ~(uint64_t)(0xffffffff | CLONE_CLEAR_SIGHAND))
        return -EINVAL;
    if ((!args.stack) != (!args.stack_size) || !access_ok(args.stack, args.stack_size))
        return -EINVAL;
    error = wanted_tid(&args, &rq.wanted_tid);
    if (error < 0)
        return error;
    rq.flags = args.flags;
    rq.exit_signal = args.exit_signal;
    rq.pidfd = args.pidfd;
    rq.child_tid = args.child_tid;
    rq.parent_tid = args.parent_tid;
    rq.stack_top = args.stack ? args.stack + args.stack_size : 0;
    rq.tls = args.tls;
    return clone_current(&rq);
}

/* --- ending --- */

SYSCALL_DEFINE1(exit, int, status)
{
    thread_exit((status & 0xff) << 8);
}

SYSCALL_DEFINE1(exit_group, int, status)
{
    process_exit((status & 0xff) << 8);
}

/* --- ids --- */

SYSCALL_DEFINE0(gettid)
{
    return current->tid;
}

SYSCALL_DEFINE1(set_tid_address, uaddr_t, addr)
{
    current->clear_child_tid = addr;
    return current->tid;
}

/* --- robust lists (get_robust_list(2)) --- */

SYSCALL_DEFINE2(set_robust_list, uaddr_t, head, size_t, size)
{
    if (size != sizeof(struct robust_list_head))
        return -EINVAL;
    current->robust_list = head;
    return 0;
}

SYSCALL_DEFINE3(get_robust_list, int, tid, uaddr_t, head, uaddr_t, size)
{
    const struct thread *t = tid ? thread_find(tid) : current;
    size_t head_size = sizeof(struct robust_list_head);

    if (!t)
        return -ESRCH;
    if (t->proc != current->proc && !capable(CAP_SYS_PTRACE))
        return -EPERM;
    if (put_user(head_size, size) < 0)
        return -EFAULT;
    return put_user(t->robust_list, head);
}

/* --- restartable sequences --- */

#define RSEQ_ALIGN 32
#define RSEQ_SIZE_MIN 32

static long rseq_unregister(uaddr_t addr, uint32_t size, uint32_t signature)
{
    struct rseq none = { .cpu_id_start = (uint32_t)RSEQ_CPU_ID_UNINITIALIZED };

    if (!current->rseq || addr != current->rseq || size != current->rseq_len)
        return -EINVAL;
    if (signature != current->rseq_sig)
        return -EPERM;
    none.cpu_id_start = 0;
    none.cpu_id = (uint32_t)RSEQ_CPU_ID_UNINITIALIZED;
    if (copy_to_user(addr, &none, offsetof(struct rseq, rseq_cs)) < 0)
        return -EFAULT;
    current->rseq = 0;
    return 0;
}

/* There is one CPU, so its number is written once. rseq(2) of the kernel's tools/testing and librseq. */
SYSCALL_DEFINE4(rseq, uaddr_t, addr, uint32_t, size, int, flags, uint32_t, signature)
{
    uint64_t cpu_zero = 0;

    if (flags & RSEQ_FLAG_UNREGISTER)
        return flags & ~RSEQ_FLAG_UNREGISTER ? -EINVAL : rseq_unregister(addr, size, signature);
    if (flags)
        return -EINVAL;
    if (current->rseq) {
        if (addr != current->rseq || size != current->rseq_len)
            return -EINVAL;
        return signature == current->rseq_sig ? -EBUSY : -EPERM;
    }
    if (size < RSEQ_SIZE_MIN || addr % RSEQ_ALIGN)
        return -EINVAL;
    if (!access_ok(addr, size) || put_user(cpu_zero, addr) < 0)
        return -EFAULT;
    current->rseq = addr;
    current->rseq_len = size;
    current->rseq_sig = signature;
    return 0;
}

/* --- arch_prctl(2); anything but the bases isn't there: CET, LAM, AMX permission --- */

static long set_base(uint64_t value, void (*write)(uint64_t))
{
    if (value >= DIRECT_BASE)
        return -EPERM;
    write(value);
    return 0;
}

SYSCALL_DEFINE2(arch_prctl, int, code, uaddr_t, addr)
{
    uint64_t base;

    switch (code) {
    case ARCH_SET_FS:
        return set_base(addr, wrfsbase);
    case ARCH_SET_GS:
        return set_base(addr, wrgsbase);
    case ARCH_GET_FS:
        base = rdfsbase();
        return put_user(base, addr);
    case ARCH_GET_GS:
        base = rdgsbase();
        return put_user(base, addr);
    case ARCH_GET_XCOMP_SUPP:
    case ARCH_GET_XCOMP_PERM:
        return put_user(fpu_mask, addr);
    case ARCH_REQ_XCOMP_PERM:
        return addr < 64 && (fpu_mask >> addr & 1) ? 0 : -EOPNOTSUPP;
    default:
        return -EINVAL;
    }
}
