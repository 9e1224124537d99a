/* eventfd(2), timerfd_create(2) and its relatives, signalfd(2), epoll(7). */
#include "fs/anon.h"
#include "fs/epoll.h"
#include "fs/eventfd.h"
#include "proc/signal.h"
#include "sys/syscall.h"
#include "sys/timespec.h"

#include <linux/signalfd.h>
#include <linux/time.h>
#include <linux/timerfd.h>

#define EFD_SEMAPHORE 1u /* sys/eventfd.h, which is the C library's */
#define FD_FLAGS ((uint32_t)(O_CLOEXEC | O_NONBLOCK))

/* --- eventfd --- */

SYSCALL_DEFINE2(eventfd2, uint32_t, count, uint32_t, flags)
{
    if (flags & ~(FD_FLAGS | EFD_SEMAPHORE))
        return -EINVAL;
    return anon_install(eventfd_create(count, flags & EFD_SEMAPHORE, flags & O_NONBLOCK), flags & O_CLOEXEC);
}

SYSCALL_DEFINE1(eventfd, uint32_t, count)
{
    return anon_install(eventfd_create(count, false, 0), false);
}

/* --- timerfd --- */


#define ITIMER_VALUE 16u /* offset of it_value in struct itimerspec */

SYSCALL_DEFINE2(timerfd_create, int, clock, uint32_t, flags)
{
    if (flags & ~FD_FLAGS)
        return -EINVAL;
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME && clock != CLOCK_REALTIME_ALARM &&
        clock != CLOCK_BOOTTIME_ALARM)
        return -EINVAL;
    return anon_install(timerfd_create(clock, flags & O_NONBLOCK), flags & O_CLOEXEC);
}

static long timer_file(int fd, struct file **ret)
{
    struct file *f = fd_get_io(fd);

    if (!f)
        return -EBADF;
    if (!timerfd_is(f)) {
        file_put(f);
        return -EINVAL;
    }
    *ret = f;
    return 0;
}

static long write_times(struct file *f, uaddr_t addr)
{
    uint64_t left, interval;

    timerfd_get(f, &left, &interval);
    return timespec_write(addr, interval) < 0 || timespec_write(addr + ITIMER_VALUE, left) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE4(timerfd_settime, int, fd, uint32_t, flags, uaddr_t, new_value, uaddr_t, old_value)
{
    uint64_t value = 0, interval = 0;
    struct file *f = NULL;
    long err;

    if (flags & ~(uint32_t)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
        return -EINVAL;
    err = timespec_read(new_value, &interval);
    if (err == 0)
        err = timespec_read(new_value + ITIMER_VALUE, &value);
    if (err == 0)
        err = timer_file(fd, &f);
    if (err < 0)
        return err;
    if (old_value)
        err = write_times(f, old_value);
    if (err == 0)
        timerfd_set(f, value, interval, flags & TFD_TIMER_ABSTIME);
    file_put(f);
    return err;
}

SYSCALL_DEFINE2(timerfd_gettime, int, fd, uaddr_t, value)
{
    struct file *f;
    long err = timer_file(fd, &f);

    if (err < 0)
        return err;
    err = write_times(f, value);
    file_put(f);
    return err;
}

/* --- signalfd --- */

static long make_signalfd(int fd, uaddr_t mask_addr, size_t size, uint32_t flags)
{
    struct file *f;
    sigset mask;

    if ((flags & ~FD_FLAGS) || size != sizeof(mask))
        return -EINVAL;
    if (get_user(mask, mask_addr) < 0)
        return -EFAULT;
    if (fd == -1)
        return anon_install(signalfd_create(mask, flags & O_NONBLOCK), flags & O_CLOEXEC);
    f = fd_get_io(fd);
    if (!f)
        return -EBADF;
    if (signalfd_is(f))
        signalfd_set_mask(f, mask);
    else
        fd = -EINVAL;
    file_put(f);
    return fd;
}

SYSCALL_DEFINE4(signalfd4, int, fd, uaddr_t, mask, size_t, size, uint32_t, flags)
{
    return make_signalfd(fd, mask, size, flags);
}

SYSCALL_DEFINE3(signalfd, int, fd, uaddr_t, mask, size_t, size)
{
    return make_signalfd(fd, mask, size, 0);
}

/* --- epoll --- */

SYSCALL_DEFINE1(epoll_create1, uint32_t, flags)
{
    if (flags & ~(uint32_t)O_CLOEXEC)
        return -EINVAL;
    return anon_install(epoll_create(), flags & O_CLOEXEC);
}

SYSCALL_DEFINE1(epoll_create, int, size)
{
    return size <= 0 ? -EINVAL : anon_install(epoll_create(), false);
}

SYSCALL_DEFINE4(epoll_ctl, int, epfd, int, op, int, fd, uaddr_t, event_addr)
{
    struct epoll_event event = { 0 };
    struct file *ep, *target;
    long err;

    if (op != EPOLL_CTL_DEL && copy_from_user(&event, event_addr, sizeof(event)) < 0)
        return -EFAULT;
    ep = fd_get_io(epfd);
    if (!ep)
        return -EBADF;
    target = fd_get_io(fd);
    err = target ? 0 : -EBADF;
    if (err == 0 && !epoll_is(ep))
        err = target->ops->poll ? -EINVAL : -EPERM;
    if (err == 0)
        err = epoll_control(ep, op, target, fd, &event);
    if (target)
        file_put(target);
    file_put(ep);
    return err;
}

#define EVENTS_MAX ((int)(INT32_MAX / sizeof(struct epoll_event)))

static long wait_events(int epfd, uaddr_t events, int max, uint64_t deadline_ns)
{
    struct file *ep;
    long ret;

    if (max <= 0 || max > EVENTS_MAX)
        return -EINVAL;
    if (!user_range(events, (size_t)max * sizeof(struct epoll_event)))
        return -EFAULT;
    ep = fd_get_io(epfd);
    if (!ep)
        return -EBADF;
    ret = epoll_is(ep) ? epoll_wait_events(ep, events, max, deadline_ns) : -EINVAL;
    file_put(ep);
    return ret == -ERESTARTSYS ? -EINTR : ret;
}

/* With a signal mask for the time of the call. */
static long wait_events_masked(int epfd, uaddr_t events, int max, uint64_t deadline_ns, uaddr_t mask, size_t size)
{
    long ret = signal_set_temporary_mask(mask, size);

    if (ret < 0)
        return ret;
    ret = wait_events(epfd, events, max, deadline_ns);
    signal_restore_mask(ret == -EINTR);
    return ret;
}

static uint64_t deadline_of_ms(int ms)
{
    if (ms < 0)
        return NEVER;
    return ms == 0 ? 0 : deadline_after((uint64_t)ms * 1000000ul);
}

SYSCALL_DEFINE4(epoll_wait, int, epfd, uaddr_t, events, int, max, int, timeout_ms)
{
    return wait_events(epfd, events, max, deadline_of_ms(timeout_ms));
}

SYSCALL_DEFINE6(epoll_pwait, int, epfd, uaddr_t, events, int, max, int, timeout_ms, uaddr_t, mask, size_t, size)
{
    return wait_events_masked(epfd, events, max, deadline_of_ms(timeout_ms), mask, size);
}

SYSCALL_DEFINE6(epoll_pwait2, int, epfd, uaddr_t, events, int, max, uaddr_t, timeout, uaddr_t, mask, size_t, size)
{
    uint64_t ns, deadline_ns = NEVER;
    long err = 0;

    if (timeout) {
        err = timespec_read(timeout, &ns);
        deadline_ns = err == 0 && ns > 0 ? deadline_after(ns) : 0;
    }
    return err < 0 ? err : wait_events_masked(epfd, events, max, deadline_ns, mask, size);
}
