/* Conversions of the app's time structures. */
#include "sys/timespec.h"

#include "arch/cpu.h"
#include "arch/uaccess.h"

#include <linux/time.h>

#define SECONDS_MAX ((int64_t)((NEVER - 1) / NSEC_PER_SEC))

static long to_ns(int64_t sec, int64_t sub, int64_t sub_per_sec, uint64_t *ret_ns)
{
    uint64_t ns_per_sub = NSEC_PER_SEC / (uint64_t)sub_per_sec;

    if (sec < 0 || sub < 0 || sub >= sub_per_sec)
        return -EINVAL;
    *ret_ns = sec >= SECONDS_MAX ? NEVER - 1 : (uint64_t)sec * NSEC_PER_SEC + (uint64_t)sub * ns_per_sub;
    return 0;
}

long timespec_read(uaddr_t addr, uint64_t *ret_ns)
{
    int64_t ts[2];

    if (get_user(ts, addr) < 0)
        return -EFAULT;
    return to_ns(ts[0], ts[1], (int64_t)NSEC_PER_SEC, ret_ns);
}

long timeval_read(uaddr_t addr, uint64_t *ret_ns)
{
    int64_t tv[2];

    if (get_user(tv, addr) < 0)
        return -EFAULT;
    return to_ns(tv[0], tv[1], 1000000, ret_ns);
}

long timeval_read_long(uaddr_t addr, uint64_t *ret_ns)
{
    int64_t tv[2], sec;

    if (get_user(tv, addr) < 0)
        return -EFAULT;
    if (__builtin_add_overflow(tv[0], tv[1] / 1000000, &sec))
        return -EINVAL;
    return to_ns(sec, tv[1] % 1000000, 1000000, ret_ns);
}

long timespec_write(uaddr_t addr, uint64_t ns)
{
    uint64_t ts[2] = { ns / NSEC_PER_SEC, ns % NSEC_PER_SEC };

    return put_user(ts, addr);
}

long timeval_write(uaddr_t addr, uint64_t ns)
{
    uint64_t tv[2] = { ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / 1000 };

    return put_user(tv, addr);
}

uint64_t deadline_after(uint64_t ns)
{
    uint64_t now = clock_mono_ns();

    return ns >= NEVER - 1 - now ? NEVER - 1 : now + ns;
}

static uint64_t deadline_from(uint64_t then, uint64_t clock_now)
{
    return then > clock_now ? deadline_after(then - clock_now) : 0;
}

uint64_t deadline_from_real(uint64_t real_ns)
{
    return deadline_from(real_ns, clock_real_ns());
}

uint64_t deadline_from_boot(uint64_t boot_ns)
{
    return deadline_from(boot_ns, clock_boot_ns());
}

uint64_t time_left(uint64_t deadline_ns)
{
    uint64_t now = clock_mono_ns();

    return deadline_ns > now ? deadline_ns - now : 0;
}
