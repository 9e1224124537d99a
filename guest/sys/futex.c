/* futex(2), and futex_waitv(2) with its successors. */
#include "proc/futex.h"

#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "proc/sched.h"
#include "sys/syscall.h"
#include "sys/timespec.h"

#include <linux/futex.h>
#include <linux/time.h>

/* The flags of futex_waitv(2) and the futex2 calls; our headers are older than the latter. */
#define FUTEX2_SIZE_MASK 0x03u
#define FUTEX2_SIZE_U32 0x02u
#define FUTEX2_PRIVATE_FLAG 0x80u

/* --- waiting, with Linux's rules for a signal in between --- */

static long restart_wait(struct thread *self)
{
    const uint64_t *arg = self->restart_arg;
    long ret = futex_wait(arg[0], arg[1], (uint32_t)arg[2], arg[3], (uint32_t)arg[4]);

    if (ret == -ERESTARTSYS) {
        self->restart = restart_wait;
        return -ERESTART_RESTARTBLOCK;
    }
    return ret;
}

/* Without a time-out the call may simply be repeated; with one, only with the deadline that it had. */
static long wait_restartable(uaddr_t addr, bool shared, uint32_t value, uint64_t deadline_ns, uint32_t bitset)
{
    long ret = futex_wait(addr, shared, value, deadline_ns, bitset);

    if (ret != -ERESTARTSYS || deadline_ns == NEVER)
        return ret;
    current->restart = restart_wait;
    current->restart_arg[0] = addr;
    current->restart_arg[1] = shared;
    current->restart_arg[2] = value;
    current->restart_arg[3] = deadline_ns;
    current->restart_arg[4] = bitset;
    return -ERESTART_RESTARTBLOCK;
}

/* FUTEX_WAIT's time-out is relative; the others' are points in time of the chosen clock. */
static long read_deadline(uaddr_t timeout, int command, bool realtime, uint64_t *ret)
{
    uint64_t ns;
    long error;

    *ret = NEVER;
    if (!timeout)
        return 0;
    error = timespec_read(timeout, &ns);
    if (error < 0)
        return error;
    if (command == FUTEX_WAIT)
        *ret = deadline_after(ns);
    else
        *ret = realtime ? deadline_from_real(ns) : ns;
    return 0;
}

static bool may_use_realtime(int command)
{
    return command == FUTEX_WAIT_BITSET || command == FUTEX_LOCK_PI2 || command == FUTEX_WAIT_REQUEUE_PI;
}

static bool takes_timeout(int command)
{
    return command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET || command == FUTEX_LOCK_PI ||
           command == FUTEX_LOCK_PI2 || command == FUTEX_WAIT_REQUEUE_PI;
}

/* All operations, but FUTEX_FD, which Linux has removed. Priorities aren't inherited: threads have none. */
SYSCALL_DEFINE6(futex, uaddr_t, addr, int, op, uint32_t, value, uaddr_t, timeout, uaddr_t, addr2, uint32_t, value3)
{
    int command = op & FUTEX_CMD_MASK;
    bool shared = !(op & FUTEX_PRIVATE_FLAG), realtime = op & FUTEX_CLOCK_REALTIME;
    uint32_t value2 = (uint32_t)timeout;
    uint64_t deadline = NEVER;
    long error = 0;

    if (realtime && !may_use_realtime(command))
        return -ENOSYS;
    if (takes_timeout(command))
        error = read_deadline(timeout, command, realtime || command == FUTEX_LOCK_PI, &deadline);
    if (error < 0)
        return error;
    switch (command) {
    case FUTEX_WAIT:
        return wait_restartable(addr, shared, value, deadline, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAIT_BITSET:
        return wait_restartable(addr, shared, value, deadline, value3);
    case FUTEX_WAKE:
        return futex_wake(addr, shared, value, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAKE_BITSET:
        return futex_wake(addr, shared, value, value3);
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
        if ((int32_t)value < 0 || (int32_t)value2 < 0)
            return -EINVAL;
        return futex_requeue(addr, addr2, shared, value, value2, command == FUTEX_CMP_REQUEUE ? &value3 : NULL);
    case FUTEX_WAKE_OP:
        return futex_wake_op(addr, addr2, shared, value, value2, value3);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return futex_lock_pi(addr, shared, deadline, false);
    case FUTEX_TRYLOCK_PI:
        return futex_lock_pi(addr, shared, NEVER, true);
    case FUTEX_UNLOCK_PI:
        return futex_unlock_pi(addr, shared);
    case FUTEX_WAIT_REQUEUE_PI:
        return futex_wait_requeue_pi(addr, addr2, shared, value, deadline, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_CMP_REQUEUE_PI:
        if (value != 1 || (int32_t)value2 < 0)
            return -EINVAL;
        return futex_cmp_requeue_pi(addr, addr2, shared, value2, value3);
    default:
        return -ENOSYS;
    }
}

/* --- the newer calls --- */

static long check_flags2(uint32_t flags)
{
    if ((flags & ~(FUTEX2_SIZE_MASK | FUTEX2_PRIVATE_FLAG)) || (flags & FUTEX2_SIZE_MASK) != FUTEX2_SIZE_U32)
        return -EINVAL;
    return 0;
}

static long deadline_of_clock(uaddr_t timeout, int clock, uint64_t *ret)
{
    uint64_t ns;
    long error;

    *ret = NEVER;
    if (!timeout)
        return 0;
    if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME)
        return -EINVAL;
    error = timespec_read(timeout, &ns);
    if (error == 0)
        *ret = clock == CLOCK_REALTIME ? deadline_from_real(ns) : ns;
    return error;
}

static long read_items(uaddr_t addr, size_t count, struct futex_wait_item *items)
{
    for (size_t i = 0; i < count; i++) {
        struct futex_waitv w;

        if (get_user(w, addr + i * sizeof(w)) < 0)
            return -EFAULT;
        if (w.__reserved || check_flags2(w.flags) < 0 || w.val > UINT32_MAX)
            return -EINVAL;
        items[i] = (struct futex_wait_item){ w.uaddr, (uint32_t)w.val, !(w.flags & FUTEX2_PRIVATE_FLAG) };
    }
    return 0;
}

SYSCALL_DEFINE5(futex_waitv, uaddr_t, waiters, uint32_t, count, uint32_t, flags, uaddr_t, timeout, int, clock)
{
    struct futex_wait_item *items;
    uint64_t deadline;
    long ret;

    if (flags || count == 0 || count > FUTEX_WAITV_MAX || !waiters)
        return -EINVAL;
    ret = deadline_of_clock(timeout, clock, &deadline);
    if (ret < 0)
        return ret;
    items = kcalloc(count, sizeof(*items));
    if (!items)
        return -ENOMEM;
    ret = read_items(waiters, count, items);
    if (ret == 0)
        ret = futex_wait_multiple(items, count, deadline);
    kfree(items);
    return ret;
}

SYSCALL_DEFINE4(futex_wake, uaddr_t, addr, uint64_t, mask, int, count, uint32_t, flags)
{
    if (check_flags2(flags) < 0 || mask == 0 || mask > UINT32_MAX)
        return -EINVAL;
    return futex_wake(addr, !(flags & FUTEX2_PRIVATE_FLAG), count > 0 ? (uint32_t)count : 0, (uint32_t)mask);
}

SYSCALL_DEFINE6(futex_wait, uaddr_t, addr, uint64_t, value, uint64_t, mask, uint32_t, flags, uaddr_t, timeout, int,
                clock)
{
    uint64_t deadline;
    long error = deadline_of_clock(timeout, clock, &deadline);

    if (error < 0)
        return error;
    if (check_flags2(flags) < 0 || mask == 0 || mask > UINT32_MAX || value > UINT32_MAX)
        return -EINVAL;
    return futex_wait(addr, !(flags & FUTEX2_PRIVATE_FLAG), (uint32_t)value, deadline, (uint32_t)mask);
}

SYSCALL_DEFINE4(futex_requeue, uaddr_t, waiters, uint32_t, flags, int, wake_count, int, requeue_count)
{
    struct futex_wait_item items[2];
    long error;

    if (flags || wake_count < 0 || requeue_count < 0)
        return -EINVAL;
    error = read_items(waiters, 2, items);
    if (error < 0)
        return error;
    return futex_requeue(items[0].addr, items[1].addr, items[0].shared || items[1].shared, (uint32_t)wake_count,
                         (uint32_t)requeue_count, &items[0].value);
}
