/*
 * The vDSO: the clocks without a system call. A shared object of its own, mapped into every
 * program; it reads the clock page that the vmm keeps, which is readable in every address space.
 * Never rdtscp or rdpid: what they return besides the counter is the host's. Anything unusual goes
 * to the system call.
 */
#include <asm/unistd_64.h>
#include <linux/time.h>

#include "hypercalls/hypercall.h"
#include "lib/base.h"

#define EXPORT __attribute__((visibility("default")))
#define ALIAS(of) __attribute__((weak, alias(#of), visibility("default")))

#define COARSE_RESOLUTION_NS 4000000

struct user_timespec {
    int64_t sec, nsec;
};

struct user_timeval {
    int64_t sec, usec;
};

EXPORT int __vdso_clock_gettime(int32_t clock, struct user_timespec *ts);
EXPORT int __vdso_gettimeofday(struct user_timeval *tv, struct timezone *tz);
EXPORT int64_t __vdso_time(int64_t *t);
EXPORT int __vdso_clock_getres(int32_t clock, struct user_timespec *res);
EXPORT int __vdso_getcpu(uint32_t *cpu, uint32_t *node, void *unused);

static const volatile struct clock_page *clock_page(void)
{
    return (const volatile struct clock_page *)(DIRECT_BASE + GPA_CLOCK);
}

static long system_call(long number, uint64_t a0, uint64_t a1)
{
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(number), "D"(a0), "S"(a1)
                     : "rcx", "r11", "memory");
    return ret;
}

/* Not before what comes before it. */
static uint64_t ordered_rdtsc(void)
{
    uint32_t lo, hi;

    __asm__ volatile("lfence\n\trdtsc" : "=a"(lo), "=d"(hi)::"memory");
    return (uint64_t)hi << 32 | lo;
}

static void barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

/* Monotonic nanoseconds and the offsets of the other clocks, all of one moment. */
static uint64_t read_clock(uint64_t *real_offset, uint64_t *boot_offset)
{
    const volatile struct clock_page *page = clock_page();
    uint64_t ns, tsc, begin;
    uint32_t seq;

    do {
        seq = page->seq;
        barrier(); /* x86 keeps loads in order */
        begin = page->tsc;
        tsc = ordered_rdtsc();
        ns = page->mono_ns;
        if (tsc > begin)
            ns += (uint64_t)((unsigned __int128)(tsc - begin) * page->mult >> 32);
        *real_offset = page->real_offset_ns;
        *boot_offset = page->boot_offset_ns;
        barrier();
    } while ((seq & 1) || page->seq != seq);
    return ns;
}

static bool clock_ns(int32_t clock, uint64_t *ret)
{
    uint64_t real, boot, mono;

    if (clock < 0 || clock > CLOCK_TAI)
        return false;
    mono = read_clock(&real, &boot);
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI: /* the kernel's offset to UTC is 0 until somebody sets it */
        *ret = mono + real;
        return true;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
        *ret = mono;
        return true;
    case CLOCK_BOOTTIME:
        *ret = mono + boot;
        return true;
    default:
        return false;
    }
}

int __vdso_clock_gettime(int32_t clock, struct user_timespec *ts)
{
    uint64_t ns;

    if (!clock_ns(clock, &ns))
        return (int)system_call(__NR_clock_gettime, (uint64_t)(int64_t)clock, (uint64_t)ts);
    ts->sec = (int64_t)(ns / NSEC_PER_SEC);
    ts->nsec = (int64_t)(ns % NSEC_PER_SEC);
    return 0;
}

int __vdso_gettimeofday(struct user_timeval *tv, struct timezone *tz)
{
    uint64_t ns;

    if (tv && clock_ns(CLOCK_REALTIME, &ns)) {
        tv->sec = (int64_t)(ns / NSEC_PER_SEC);
        tv->usec = (int64_t)(ns % NSEC_PER_SEC / 1000);
    }
    if (tz) {
        tz->tz_minuteswest = 0;
        tz->tz_dsttime = 0;
    }
    return 0;
}

int64_t __vdso_time(int64_t *t)
{
    uint64_t ns = 0;

    clock_ns(CLOCK_REALTIME, &ns);
    if (t)
        *t = (int64_t)(ns / NSEC_PER_SEC);
    return (int64_t)(ns / NSEC_PER_SEC);
}

int __vdso_clock_getres(int32_t clock, struct user_timespec *res)
{
    int64_t ns;

    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_BOOTTIME:
    case CLOCK_TAI:
        ns = 1;
        break;
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
        ns = COARSE_RESOLUTION_NS;
        break;
    default:
        return (int)system_call(__NR_clock_getres, (uint64_t)(int64_t)clock, (uint64_t)res);
    }
    if (res) {
        res->sec = 0;
        res->nsec = ns;
    }
    return 0;
}

/* There is one CPU. */
int __vdso_getcpu(uint32_t *cpu, uint32_t *node, void *unused UNUSED)
{
    if (cpu)
        *cpu = 0;
    if (node)
        *node = 0;
    return 0;
}

int clock_gettime(int32_t clock, struct user_timespec *ts) ALIAS(__vdso_clock_gettime);
int gettimeofday(struct user_timeval *tv, struct timezone *tz) ALIAS(__vdso_gettimeofday);
int64_t time(int64_t *t) ALIAS(__vdso_time);
int clock_getres(int32_t clock, struct user_timespec *res) ALIAS(__vdso_clock_getres);
int getcpu(uint32_t *cpu, uint32_t *node, void *unused) ALIAS(__vdso_getcpu);
