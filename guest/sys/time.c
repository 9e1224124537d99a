/* Clocks, sleeping, interval timers and POSIX timers (time(7)). timerfds are files: fs/. */
#include "arch/cpu.h"
#include "lib/string.h"
#include "proc/cputimer.h"
#include "proc/posix_timer.h"
#include "proc/sched.h"
#include "sys/syscall.h"
#include "sys/timespec.h"

#include <linux/capability.h>
#include <linux/time.h>
#include <linux/timex.h>

/* A CPU clock of another process or thread, in a clockid: ~id << 3, a bit for threads, and the kind (clock_getcpuclockid(3)). */
#define CPU_CLOCK_KIND 3
#define CPU_CLOCK_SCHED 2
#define CPU_CLOCK_THREAD 4

#define CLOCK_RESOLUTION_COARSE_NS 4000000ull /* a jiffy of 250 Hz */

/* --- clocks --- */

/* The thread of a CPU clock, or any thread of its process; NULL: no such clock. */
static const struct thread *cpu_clock_thread(int clock, bool *ret_of_thread)
{
    int id = ~(clock >> 3);

    *ret_of_thread = clock & CPU_CLOCK_THREAD;
    if (clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID) {
        *ret_of_thread = clock == CLOCK_THREAD_CPUTIME_ID;
        return current;
    }
    if (clock >= 0 || (clock & CPU_CLOCK_KIND) > CPU_CLOCK_SCHED)
        return NULL;
    if (id == 0)
        return current;
    if (*ret_of_thread) {
        const struct thread *t = thread_find(id);

        return t && t->proc == current->proc ? t : NULL;
    }
    return process_find(id) && id != 1 ? process_find(id)->leader : NULL;
}

static long clock_read(int clock, uint64_t *ret)
{
    const struct thread *t;
    bool of_thread;

    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
        *ret = clock_real_ns();
        return 0;
    case CLOCK_TAI: /* no leap seconds are known here, as on most Linux machines */
        *ret = clock_real_ns();
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
        *ret = clock_mono_ns();
        return 0;
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        *ret = clock_boot_ns();
        return 0;
    default:
        t = cpu_clock_thread(clock, &of_thread);
        if (!t)
            return -EINVAL;
        *ret = of_thread ? sched_thread_cpu_ns(t) : process_cpu_ns(t->proc);
        return 0;
    }
}

SYSCALL_DEFINE2(clock_gettime, int, clock, uaddr_t, ts)
{
    uint64_t ns;
    long error = clock_read(clock, &ns);

    return error < 0 ? error : timespec_write(ts, ns);
}

SYSCALL_DEFINE2(clock_getres, int, clock, uaddr_t, ts)
{
    uint64_t ns;
    long error = clock_read(clock, &ns);

    if (error < 0 || !ts)
        return error;
    ns = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE ? CLOCK_RESOLUTION_COARSE_NS : 1;
    return timespec_write(ts, ns);
}

/* The clocks are the host's. */
SYSCALL_DEFINE2(clock_settime, int, clock, uaddr_t, ts)
{
    uint64_t ns;
    long error = clock == CLOCK_REALTIME ? timespec_read(ts, &ns) : -EINVAL;

    return error < 0 ? error : -EPERM;
}

SYSCALL_DEFINE2(settimeofday, uaddr_t, tv, uaddr_t, tz)
{
    uint64_t ns, zone; /* both fields of struct timezone */
    long error = tv ? timeval_read(tv, &ns) : 0;

    if (error == -EFAULT || (tz && get_user(zone, tz) < 0))
        return -EFAULT;
    return error < 0 ? error : -EPERM;
}

SYSCALL_DEFINE2(gettimeofday, uaddr_t, tv, uaddr_t, tz)
{
    uint64_t utc = 0; /* both fields of struct timezone */

    if (tv && timeval_write(tv, clock_real_ns()) < 0)
        return -EFAULT;
    return tz ? put_user(utc, tz) : 0;
}

SYSCALL_DEFINE1(time, uaddr_t, addr)
{
    int64_t now = (int64_t)(clock_real_ns() / NSEC_PER_SEC);

    if (addr && put_user(now, addr) < 0)
        return -EFAULT;
    return now;
}

/* Reading is open to everybody, setting isn't possible. */
static long clock_adjust(uaddr_t addr)
{
    struct __kernel_timex tx;
    uint64_t now = clock_real_ns();

    if (get_user(tx, addr) < 0)
        return -EFAULT;
    if (tx.modes)
        return -EPERM;
    memset(&tx, 0, sizeof(tx));
    tx.status = STA_UNSYNC;
    tx.maxerror = 16000000;
    tx.esterror = 16000000;
    tx.constant = 2;
    tx.precision = 1;
    tx.tolerance = 32768000;
    tx.tick = 10000;
    tx.time.tv_sec = (long long)(now / NSEC_PER_SEC);
    tx.time.tv_usec = (long long)(now % NSEC_PER_SEC / 1000);
    return put_user(tx, addr) < 0 ? -EFAULT : TIME_ERROR;
}

SYSCALL_DEFINE1(adjtimex, uaddr_t, addr)
{
    return clock_adjust(addr);
}

SYSCALL_DEFINE2(clock_adjtime, int, clock, uaddr_t, addr)
{
    return clock == CLOCK_REALTIME ? clock_adjust(addr) : -EINVAL;
}

/* --- sleeping --- */

static long sleep_until(uint64_t deadline_ns)
{
    for (;;) {
        int ret = thread_park(deadline_ns, true);

        if (ret == -ETIMEDOUT || clock_mono_ns() >= deadline_ns)
            return 0;
        if (ret < 0)
            return ret;
    }
}

/* restart_arg: the deadline, and where the rest goes. */
static long relative_sleep(struct thread *self)
{
    uint64_t deadline = self->restart_arg[0];
    uaddr_t rest = self->restart_arg[1];
    long ret = sleep_until(deadline);

    if (ret != -ERESTARTSYS)
        return ret;
    if (rest && timespec_write(rest, time_left(deadline)) < 0)
        return -EFAULT;
    self->restart = relative_sleep;
    return -ERESTART_RESTARTBLOCK;
}

static long start_sleep(uint64_t ns, uaddr_t rest)
{
    current->restart_arg[0] = deadline_after(ns);
    current->restart_arg[1] = rest;
    return relative_sleep(current);
}

SYSCALL_DEFINE2(nanosleep, uaddr_t, ts, uaddr_t, rest)
{
    uint64_t ns;
    long error = timespec_read(ts, &ns);

    return error < 0 ? error : start_sleep(ns, rest);
}

static uint64_t clock_deadline(int clock, uint64_t ns)
{
    if (clock == CLOCK_REALTIME || clock == CLOCK_TAI || clock == CLOCK_REALTIME_ALARM)
        return deadline_from_real(ns);
    if (clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM)
        return deadline_from_boot(ns);
    return ns;
}

/* On a CPU clock: look again after as much wall time as is missing, since time can't pass faster than that. */
static long cpu_clock_sleep(int clock, uint64_t until)
{
    uint64_t now;

    for (;;) {
        long error = clock_read(clock, &now);

        if (error < 0 || now >= until)
            return error;
        error = sleep_until(deadline_after(until - now));
        if (error < 0)
            return -ERESTARTNOHAND;
    }
}

SYSCALL_DEFINE4(clock_nanosleep, int, clock, int, flags, uaddr_t, ts, uaddr_t, rest)
{
    bool absolute = flags & TIMER_ABSTIME, of_thread;
    uint64_t ns, now;
    long error = timespec_read(ts, &ns);

    if (clock == CLOCK_THREAD_CPUTIME_ID || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_REALTIME_COARSE ||
        clock == CLOCK_MONOTONIC_COARSE)
        return -EOPNOTSUPP;
    if (clock_read(clock, &now) < 0)
        return -EINVAL;
    if (error < 0)
        return error;
    if (cpu_clock_thread(clock, &of_thread))
        return cpu_clock_sleep(clock, absolute ? ns : now + ns);
    if (!absolute)
        return start_sleep(ns, rest);
    error = sleep_until(clock_deadline(clock, ns));
    return error == -ERESTARTSYS ? -ERESTARTNOHAND : error;
}

/* --- interval timers (setitimer(2)) --- */

static bool valid_itimer(int which)
{
    return which == ITIMER_REAL || which == ITIMER_VIRTUAL || which == ITIMER_PROF;
}

static long itimer_write(uaddr_t addr, int which)
{
    struct process *p = current->proc;
    long error = timeval_write(addr, p->itimers[which].interval);

    return error < 0 ? error : timeval_write(addr + sizeof(struct __kernel_old_timeval), itimer_left(p, which));
}

SYSCALL_DEFINE2(getitimer, int, which, uaddr_t, addr)
{
    return valid_itimer(which) ? itimer_write(addr, which) : -EINVAL;
}

SYSCALL_DEFINE3(setitimer, int, which, uaddr_t, new_value, uaddr_t, old_value)
{
    uint64_t interval = 0, value = 0;
    long error = 0;

    if (!valid_itimer(which))
        return -EINVAL;
    if (new_value) { /* NULL means zeroes: an old habit of Linux */
        error = timeval_read(new_value, &interval);
        if (error == 0)
            error = timeval_read(new_value + sizeof(struct __kernel_old_timeval), &value);
    }
    if (error < 0)
        return error;
    if (old_value && itimer_write(old_value, which) < 0)
        return -EFAULT;
    itimer_set(current->proc, which, value, interval);
    return 0;
}

/* Returns seconds, rounded, but not 0 while a timer runs. */
SYSCALL_DEFINE1(alarm, uint32_t, seconds)
{
    uint64_t left = itimer_left(current->proc, ITIMER_REAL);
    uint64_t rounded = (left + NSEC_PER_SEC / 2) / NSEC_PER_SEC;

    itimer_set(current->proc, ITIMER_REAL, seconds * NSEC_PER_SEC, 0);
    return left > 0 && rounded == 0 ? 1 : (long)rounded;
}

/* --- POSIX timers --- */

static long timer_clock(int clock, enum timer_clock *ret)
{
    bool of_thread;

    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_TAI:
        *ret = TIMER_REAL;
        return 0;
    case CLOCK_MONOTONIC:
        *ret = TIMER_MONOTONIC;
        return 0;
    case CLOCK_BOOTTIME:
        *ret = TIMER_BOOT;
        return 0;
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
        if (!capable(CAP_WAKE_ALARM))
            return -EPERM;
        *ret = clock == CLOCK_REALTIME_ALARM ? TIMER_REAL : TIMER_BOOT;
        return 0;
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
        return -EOPNOTSUPP;
    default:
        if (!cpu_clock_thread(clock, &of_thread))
            return -EINVAL;
        *ret = of_thread ? TIMER_THREAD_CPU : TIMER_PROCESS_CPU;
        return 0;
    }
}

/* What the timer is to do when it expires. notify_tid: for SIGEV_THREAD_ID. */
static long read_sigevent(uaddr_t addr, siginfo_t *event, int *notify, int *notify_tid)
{
    sigevent_t sev;
    const struct thread *t;

    memset(event, 0, sizeof(*event));
    event->si_code = SI_TIMER;
    *notify_tid = 0;
    if (!addr) { /* the value is the timer's id then; posix_timer_create's caller fills it in */
        *notify = SIGEV_SIGNAL;
        event->si_signo = SIGALRM;
        return 0;
    }
    if (get_user(sev, addr) < 0)
        return -EFAULT;
    *notify = sev.sigev_notify & ~SIGEV_THREAD_ID;
    if (*notify != SIGEV_SIGNAL && *notify != SIGEV_NONE && *notify != SIGEV_THREAD)
        return -EINVAL;
    if (sev.sigev_notify & SIGEV_THREAD_ID) {
        t = thread_find(sev._sigev_un._tid);
        if (!t || t->proc != current->proc || *notify != SIGEV_SIGNAL)
            return -EINVAL;
        *notify_tid = t->tid;
    }
    if (*notify != SIGEV_NONE && (sev.sigev_signo < 1 || sev.sigev_signo > SIGNAL_COUNT))
        return -EINVAL;
    if (*notify == SIGEV_THREAD)
        *notify = SIGEV_SIGNAL;
    event->si_signo = sev.sigev_signo;
    event->si_value = sev.sigev_value;
    return 0;
}

SYSCALL_DEFINE3(timer_create, int, clock, uaddr_t, event_addr, uaddr_t, id_addr)
{
    enum timer_clock kind;
    struct posix_timer *pt;
    siginfo_t event;
    int notify, notify_tid;
    long error = timer_clock(clock, &kind);

    if (error == 0)
        error = read_sigevent(event_addr, &event, &notify, &notify_tid);
    if (error < 0)
        return error;
    pt = posix_timer_create(kind, notify, notify_tid, &event);
    if (is_err(pt))
        return ptr_err(pt);
    if (!event_addr)
        pt->entry->info.si_value.sival_int = pt->id;
    if (put_user(pt->id, id_addr) < 0) {
        posix_timer_delete(pt);
        return -EFAULT;
    }
    return 0;
}

static bool on_cpu_time(const struct posix_timer *pt)
{
    return pt->clock == TIMER_PROCESS_CPU || pt->clock == TIMER_THREAD_CPU;
}

static uint64_t cpu_time_of(const struct posix_timer *pt)
{
    const struct thread *t = pt->clock == TIMER_THREAD_CPU ? thread_find(pt->thread_tid) : NULL;

    return t ? sched_thread_cpu_ns(t) : process_cpu_ns(pt->process);
}

/* Of a value of timer_settime, in terms of struct posix_timer's expires. */
static uint64_t timer_deadline(const struct posix_timer *pt, uint64_t value, bool absolute)
{
    if (value == 0)
        return NEVER;
    if (on_cpu_time(pt))
        return absolute ? value : cpu_time_of(pt) + value;
    if (!absolute)
        return deadline_after(value);
    if (pt->clock == TIMER_MONOTONIC)
        return value;
    return pt->clock == TIMER_REAL ? deadline_from_real(value) : deadline_from_boot(value);
}

static long timer_write(const struct posix_timer *pt, uaddr_t addr)
{
    long error = timespec_write(addr, pt->interval);

    return error < 0 ? error : timespec_write(addr + sizeof(struct __kernel_timespec), posix_timer_left(pt));
}

SYSCALL_DEFINE4(timer_settime, int, id, int, flags, uaddr_t, new_value, uaddr_t, old_value)
{
    struct posix_timer *pt = posix_timer_find(id);
    uint64_t interval, value;
    long error;

    if (!new_value)
        return -EINVAL;
    error = timespec_read(new_value, &interval);
    if (error == 0)
        error = timespec_read(new_value + sizeof(struct __kernel_timespec), &value);
    if (error < 0)
        return error;
    if (!pt)
        return -EINVAL;
    if (old_value && timer_write(pt, old_value) < 0)
        return -EFAULT;
    posix_timer_arm(pt, timer_deadline(pt, value, flags & TIMER_ABSTIME), interval);
    return 0;
}

SYSCALL_DEFINE2(timer_gettime, int, id, uaddr_t, value)
{
    const struct posix_timer *pt = posix_timer_find(id);

    return pt ? timer_write(pt, value) : -EINVAL;
}

SYSCALL_DEFINE1(timer_getoverrun, int, id)
{
    const struct posix_timer *pt = posix_timer_find(id);

    return pt ? pt->overrun : -EINVAL;
}

SYSCALL_DEFINE1(timer_delete, int, id)
{
    struct posix_timer *pt = posix_timer_find(id);

    if (!pt)
        return -EINVAL;
    posix_timer_delete(pt);
    return 0;
}
