/*
 * prctl(2): what a process can set about itself. Options that only concern other machines, or protections that the
 * sandbox doesn't emulate, answer as a kernel does that was built without them.
 */
#include "arch/cpu.h"
#include "lib/string.h"
#include "mm/mm.h"
#include "proc/sched.h"
#include "proc/seccomp.h"
#include "proc/signal.h"
#include "sys/syscall.h"

#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>

#ifndef PR_GET_AUXV
#define PR_GET_AUXV 0x41555856
#endif
#define TSC_MODE_ENABLED 1u
#define MCE_KILL_DEFAULT_MODE 2

static long set_name(uaddr_t addr)
{
    char name[16];
    ssize_t len = strncpy_from_user(name, addr, sizeof(name) - 1);

    if (len < 0 && len != -ENAMETOOLONG)
        return len;
    name[len < 0 ? (ssize_t)sizeof(name) - 1 : len] = '\0';
    memset(current->comm, 0, sizeof(current->comm));
    strlcpy(current->comm, name, sizeof(current->comm));
    return 0;
}

static long set_death_signal(uint64_t signo)
{
    if (signo > SIGNAL_COUNT)
        return -EINVAL;
    current->proc->death_signal = (int)signo;
    return 0;
}

static long put_int(int value, uaddr_t addr)
{
    return put_user(value, addr);
}

/* --- capabilities --- */

static long bounding_drop(uint64_t cap)
{
    if (!capable(CAP_SETPCAP))
        return -EPERM;
    if (cap > CAP_LAST_CAP)
        return -EINVAL;
    current->proc->cred.cap_bounding &= ~(1ull << cap);
    return 0;
}

static long ambient(uint64_t what, uint64_t cap, uint64_t arg4, uint64_t arg5)
{
    struct cred *c = &current->proc->cred;

    if (arg4 || arg5)
        return -EINVAL;
    if (what == PR_CAP_AMBIENT_CLEAR_ALL) {
        if (cap)
            return -EINVAL;
        c->cap_ambient = 0;
        return 0;
    }
    if (cap > CAP_LAST_CAP)
        return -EINVAL;
    switch (what) {
    case PR_CAP_AMBIENT_IS_SET:
        return c->cap_ambient >> cap & 1;
    case PR_CAP_AMBIENT_RAISE:
        if (!(c->cap_permitted & c->cap_inheritable & 1ull << cap) ||
            (c->securebits & SECBIT_NO_CAP_AMBIENT_RAISE))
            return -EPERM;
        c->cap_ambient |= 1ull << cap;
        return 0;
    case PR_CAP_AMBIENT_LOWER:
        c->cap_ambient &= ~(1ull << cap);
        return 0;
    default:
        return -EINVAL;
    }
}

static long set_securebits(uint64_t bits)
{
    struct cred *c = &current->proc->cred;
    uint32_t locked = (c->securebits & SECURE_ALL_LOCKS) >> 1;

    if (((c->securebits ^ bits) & locked) || (c->securebits & SECURE_ALL_LOCKS & ~bits) ||
        (bits & ~(uint64_t)(SECURE_ALL_BITS | SECURE_ALL_LOCKS)) || !capable(CAP_SETPCAP))
        return -EPERM;
    c->securebits = (uint32_t)bits;
    return 0;
}

static long set_keep_caps(uint64_t on)
{
    struct cred *c = &current->proc->cred;

    if (on > 1)
        return -EINVAL;
    if (c->securebits & SECBIT_KEEP_CAPS_LOCKED)
        return -EPERM;
    c->securebits = on ? c->securebits | SECBIT_KEEP_CAPS : c->securebits & ~(uint32_t)SECBIT_KEEP_CAPS;
    return 0;
}

static long capability_option(int option, uint64_t arg2, uint64_t arg3, uint64_t arg4, uint64_t arg5)
{
    const struct cred *c = &current->proc->cred;

    switch (option) {
    case PR_CAPBSET_READ:
        return arg2 > CAP_LAST_CAP ? -EINVAL : (long)(c->cap_bounding >> arg2 & 1);
    case PR_CAPBSET_DROP:
        return bounding_drop(arg2);
    case PR_CAP_AMBIENT:
        return ambient(arg2, arg3, arg4, arg5);
    case PR_GET_SECUREBITS:
        return c->securebits;
    case PR_SET_SECUREBITS:
        return set_securebits(arg2);
    case PR_GET_KEEPCAPS:
        return (c->securebits & SECBIT_KEEP_CAPS) != 0;
    default: /* PR_SET_KEEPCAPS */
        return set_keep_caps(arg2);
    }
}

/* --- processes --- */

static long set_no_new_privs(uint64_t on, uint64_t arg3, uint64_t arg4, uint64_t arg5)
{
    if (on != 1 || arg3 || arg4 || arg5)
        return -EINVAL;
    current->proc->cred.no_new_privs = true;
    return 0;
}

static long set_dumpable(uint64_t on)
{
    if (on > 1)
        return -EINVAL;
    current->proc->dumpable = on;
    return 0;
}

/* PR_SET_VMA_ANON_NAME: a label for /proc/PID/maps, which isn't kept. The name is checked, as programs probe for that. */
static long set_vma_name(uint64_t what, uaddr_t addr, uint64_t size, uaddr_t name)
{
    char text[80];
    ssize_t len = 0;

    if (what != PR_SET_VMA_ANON_NAME || addr % PAGE_SIZE)
        return -EINVAL;
    if (name)
        len = strncpy_from_user(text, name, sizeof(text));
    if (len < 0)
        return len == -ENAMETOOLONG ? -EINVAL : len;
    return access_ok(addr, size) ? 0 : -ENOMEM;
}

static long get_auxv(uaddr_t addr, uint64_t size)
{
    const struct mm *mm = current->mm;

    if (copy_to_user(addr, mm->auxv, MIN(size, mm->auxv_size)) < 0)
        return -EFAULT;
    return (long)mm->auxv_size;
}

static long process_option(int option, uint64_t arg2, uint64_t arg3, uint64_t arg4, uint64_t arg5)
{
    struct process *p = current->proc;

    switch (option) {
    case PR_SET_PDEATHSIG:
        return set_death_signal(arg2);
    case PR_GET_PDEATHSIG:
        return put_int(p->death_signal, arg2);
    case PR_SET_DUMPABLE:
        return set_dumpable(arg2);
    case PR_GET_DUMPABLE:
        return p->dumpable;
    case PR_SET_CHILD_SUBREAPER:
        p->child_subreaper = arg2 != 0;
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return put_int(p->child_subreaper, arg2);
    case PR_SET_NO_NEW_PRIVS:
        return set_no_new_privs(arg2, arg3, arg4, arg5);
    case PR_GET_NO_NEW_PRIVS:
        return arg2 || arg3 || arg4 || arg5 ? -EINVAL : p->cred.no_new_privs;
    case PR_SET_THP_DISABLE:
        if (arg3 || arg4 || arg5)
            return -EINVAL;
        p->thp_disabled = arg2 != 0;
        return 0;
    case PR_GET_THP_DISABLE:
        return arg2 || arg3 || arg4 || arg5 ? -EINVAL : p->thp_disabled;
    case PR_SET_VMA:
        return set_vma_name(arg2, arg3, arg4, arg5);
    default: /* PR_GET_AUXV */
        return arg4 || arg5 ? -EINVAL : get_auxv(arg2, arg3);
    }
}

/* --- threads --- */

static long thread_option(int option, uint64_t arg2)
{
    struct thread *t = current;

    switch (option) {
    case PR_SET_NAME:
        return set_name(arg2);
    case PR_GET_NAME:
        return copy_to_user(arg2, t->comm, sizeof(t->comm));
    case PR_SET_TIMERSLACK:
        t->timer_slack_ns = (int64_t)arg2 <= 0 ? 50000 : arg2;
        return 0;
    case PR_GET_TIMERSLACK:
        return (long)t->timer_slack_ns;
    default: /* PR_GET_TID_ADDRESS */
        return put_user(t->clear_child_tid, arg2);
    }
}

static long set_seccomp(uint64_t mode, uaddr_t filter)
{
    if (mode == SECCOMP_MODE_STRICT)
        return seccomp_operation(SECCOMP_SET_MODE_STRICT, 0, 0);
    return mode == SECCOMP_MODE_FILTER ? seccomp_operation(SECCOMP_SET_MODE_FILTER, 0, filter) : -EINVAL;
}

/* --- the machine: what there is only one way of --- */

static long machine_option(int option, uint64_t arg2)
{
    switch (option) {
    case PR_GET_TIMING:
        return PR_TIMING_STATISTICAL;
    case PR_SET_TIMING:
        return arg2 == PR_TIMING_STATISTICAL ? 0 : -EINVAL;
    case PR_GET_TSC:
        return put_int(TSC_MODE_ENABLED, arg2);
    case PR_SET_TSC:
        return arg2 == TSC_MODE_ENABLED ? 0 : -EINVAL;
    case PR_MCE_KILL_GET:
        return MCE_KILL_DEFAULT_MODE;
    case PR_SET_MM:
        return -EPERM;
    default:
        return -EINVAL;
    }
}

SYSCALL_DEFINE5(prctl, int, option, uint64_t, arg2, uint64_t, arg3, uint64_t, arg4, uint64_t, arg5)
{
    switch (option) {
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
    case PR_CAP_AMBIENT:
    case PR_GET_SECUREBITS:
    case PR_SET_SECUREBITS:
    case PR_GET_KEEPCAPS:
    case PR_SET_KEEPCAPS:
        return capability_option(option, arg2, arg3, arg4, arg5);
    case PR_SET_PDEATHSIG:
    case PR_GET_PDEATHSIG:
    case PR_SET_DUMPABLE:
    case PR_GET_DUMPABLE:
    case PR_SET_CHILD_SUBREAPER:
    case PR_GET_CHILD_SUBREAPER:
    case PR_SET_NO_NEW_PRIVS:
    case PR_GET_NO_NEW_PRIVS:
    case PR_SET_THP_DISABLE:
    case PR_GET_THP_DISABLE:
    case PR_SET_VMA:
    case PR_GET_AUXV:
        return process_option(option, arg2, arg3, arg4, arg5);
    case PR_GET_SECCOMP:
        return current->seccomp_mode;
    case PR_SET_SECCOMP:
        return set_seccomp(arg2, arg3);
    case PR_SET_NAME:
    case PR_GET_NAME:
    case PR_SET_TIMERSLACK:
    case PR_GET_TIMERSLACK:
    case PR_GET_TID_ADDRESS:
        return thread_option(option, arg2);
    default:
        return machine_option(option, arg2);
    }
}
