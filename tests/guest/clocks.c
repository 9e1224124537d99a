/* Clocks: vDSO and system call agree, none goes back, sleeps last as long as they should. */
#include <dlfcn.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static int64_t ns(const struct timespec *t)
{
    return t->tv_sec * 1000000000LL + t->tv_nsec;
}

static int64_t by_vdso(clockid_t clock)
{
    struct timespec t;
    CHECK_OK(clock_gettime(clock, &t));
    return ns(&t);
}

static int64_t by_syscall(clockid_t clock)
{
    struct timespec t;
    CHECK_OK(syscall(SYS_clock_gettime, clock, &t));
    return ns(&t);
}

int main(void)
{
    static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW,
                                        CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
                                        CLOCK_TAI, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID };
    check_section("agreement");
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        int64_t a = by_syscall(clocks[i]), b = by_vdso(clocks[i]), c = by_syscall(clocks[i]);
        /* the coarse clocks may lag by a tick each; nothing here takes 200 ms */
        bool ok = b - a > -20000000 && c - b > -20000000 && c - a < 200000000;
        if (!CHECK(ok))
            printf("    clock %d\n", clocks[i]);
        struct timespec resolution;
        CHECK_OK(clock_getres(clocks[i], &resolution));
        CHECK(resolution.tv_sec == 0 && resolution.tv_nsec > 0 && resolution.tv_nsec <= 10000000);
    }
    CHECK_ERRNO(clock_gettime(12345, &(struct timespec){ 0 }), EINVAL);

    check_section("fine clocks differ by what passes");
    int64_t before = by_syscall(CLOCK_MONOTONIC), vdso = by_vdso(CLOCK_MONOTONIC);
    int64_t after = by_syscall(CLOCK_MONOTONIC);
    CHECK(vdso - before > -1000 && after - vdso > -1000);
    before = by_syscall(CLOCK_REALTIME), vdso = by_vdso(CLOCK_REALTIME), after = by_syscall(CLOCK_REALTIME);
    CHECK(vdso - before > -1000 && after - vdso > -1000);

    check_section("a million reads never go back");
    int64_t last = 0, back = 0;
    for (int i = 0; i < 1000000; i++) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        if (ns(&t) < last)
            back++;
        last = ns(&t);
    }
    CHECK_EQUAL(back, 0);
    last = 0;
    for (int i = 0; i < 20000; i++) {
        struct timespec t;
        if (i & 1)
            clock_gettime(CLOCK_MONOTONIC, &t);
        else
            syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
        if (ns(&t) < last)
            back++;
        last = ns(&t);
    }
    CHECK_EQUAL(back, 0);

    check_section("time of day");
    struct timeval tv;
    struct timezone tz = { 7, 7 };
    CHECK_OK(gettimeofday(&tv, &tz));
    CHECK_EQUAL(tz.tz_minuteswest, 0);
    time_t seconds = time(NULL), stored = 0;
    CHECK(seconds - tv.tv_sec >= -1 && seconds - tv.tv_sec <= 2);
    time(&stored);
    CHECK(stored - seconds >= 0 && stored - seconds <= 2);
    CHECK(tv.tv_sec > 1700000000);
    CHECK(syscall(SYS_time, NULL) - seconds <= 2);

    check_section("cpu and cpu time");
    unsigned cpu = 99, node = 99;
    CHECK_OK(syscall(SYS_getcpu, &cpu, &node, NULL));
    CHECK(cpu < 4096);
    CHECK(sched_getcpu() >= 0);
    int64_t cpu_before = by_vdso(CLOCK_PROCESS_CPUTIME_ID), wall_before = by_vdso(CLOCK_MONOTONIC);
    for (volatile int i = 0; i < 20000000; i++)
        ;
    int64_t cpu_spent = by_vdso(CLOCK_PROCESS_CPUTIME_ID) - cpu_before;
    int64_t wall_spent = by_vdso(CLOCK_MONOTONIC) - wall_before;
    CHECK(cpu_spent > 0 && cpu_spent <= wall_spent + 20000000);
    struct tms tms;
    CHECK(times(&tms) != (clock_t)-1);
    CHECK(clock() > 0);

    check_section("sleeping");
    before = by_vdso(CLOCK_MONOTONIC);
    CHECK_OK(nanosleep(&(struct timespec){ 0, 30000000 }, NULL));
    int64_t slept = by_vdso(CLOCK_MONOTONIC) - before;
    CHECK(slept >= 30000000 && slept < 2000000000);
    before = by_vdso(CLOCK_MONOTONIC);
    CHECK_EQUAL(clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ 0, 10000000 }, NULL), 0);
    CHECK(by_vdso(CLOCK_MONOTONIC) - before >= 10000000);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 20000000;
    if (until.tv_nsec >= 1000000000)
        until.tv_sec++, until.tv_nsec -= 1000000000;
    CHECK_EQUAL(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL), 0);
    CHECK(by_vdso(CLOCK_MONOTONIC) >= ns(&until));
    CHECK_EQUAL(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){ 0, 1 }, NULL), 0);
    CHECK_ERRNO(nanosleep(&(struct timespec){ 0, 1000000000 }, NULL), EINVAL);
    CHECK_ERRNO(nanosleep(&(struct timespec){ -1, 0 }, NULL), EINVAL);
    cpu_before = by_vdso(CLOCK_PROCESS_CPUTIME_ID);
    nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
    CHECK(by_vdso(CLOCK_PROCESS_CPUTIME_ID) - cpu_before < 40000000); /* sleep is not CPU time */
    return check_done();
}
