/*
 * CPU time, the program's and the system's: getrusage(2), times(2), wait4(2), proc(5), setitimer(2). How much it is differs; who gets
 * most of it doesn't.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define WORK_MS 120

static long us(struct timeval t)
{
    return t.tv_sec * 1000000 + t.tv_usec;
}

static long cpu_us(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static struct rusage usage(int who)
{
    struct rusage ru;

    CHECK_OK(getrusage(who, &ru));
    return ru;
}

static void compute(void)
{
    long end = cpu_us(CLOCK_THREAD_CPUTIME_ID) + WORK_MS * 1000;
    volatile unsigned long x = 1;

    while (cpu_us(CLOCK_THREAD_CPUTIME_ID) < end)
        for (int i = 0; i < 1000000; i++)
            x = x * 3 + 1;
}

static char block[1 << 20];

/* Long calls: each is worth looking at the clock. */
static void copy(void)
{
    int zero = open("/dev/zero", O_RDONLY);
    long end = cpu_us(CLOCK_THREAD_CPUTIME_ID) + WORK_MS * 1000;

    while (cpu_us(CLOCK_THREAD_CPUTIME_ID) < end)
        for (int i = 0; i < 20; i++)
            if (read(zero, block, sizeof(block)) != sizeof(block))
                return;
    close(zero);
}

/* Short ones. */
static void call(void)
{
    int p[2];
    char c = 0;
    long end = cpu_us(CLOCK_THREAD_CPUTIME_ID) + WORK_MS * 1000;

    if (pipe(p) < 0)
        return;
    while (cpu_us(CLOCK_THREAD_CPUTIME_ID) < end)
        for (int i = 0; i < 2000; i++)
            if (write(p[1], &c, 1) != 1 || read(p[0], &c, 1) != 1)
                return;
    close(p[0]);
    close(p[1]);
}

/* Faults. In a VM it is the host that is busy with them, and who pays is its affair. */
static void touch(void)
{
    long end = cpu_us(CLOCK_THREAD_CPUTIME_ID) + WORK_MS * 1000;
    size_t size = 4 << 20;

    while (cpu_us(CLOCK_THREAD_CPUTIME_ID) < end) {
        char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t i = 0; i < size; i += 4096)
            p[i] = 1;
        munmap(p, size);
    }
}

enum mostly { USER, SYSTEM, SOME_SYSTEM, EITHER };

static bool has_most(enum mostly who, long user, long system)
{
    if (user + system < WORK_MS * 1000 * 8 / 10)
        return false;
    switch (who) {
    case USER:
        return user > 3 * system;
    case SYSTEM:
        return 3 * system > user;
    case SOME_SYSTEM: /* a sample, and a busy host's doings in between */
        return 40 * system > user;
    default:
        return true;
    }
}

static void *in_thread(void *work)
{
    struct rusage a = usage(RUSAGE_THREAD), b;

    ((void (*)(void))work)();
    b = usage(RUSAGE_THREAD);
    CHECK(us(a.ru_utime) < 5000 && us(a.ru_stime) < 5000);
    return (void *)(us(b.ru_utime) > us(b.ru_stime) ? 1l : 2l);
}

static void in_child(void (*work)(void), enum mostly who)
{
    struct rusage before = usage(RUSAGE_CHILDREN), after, ru;
    struct tms a, b;
    int status;
    pid_t pid;

    times(&a);
    pid = fork();
    if (pid == 0) {
        work();
        _exit(0);
    }
    CHECK_EQUAL(wait4(pid, &status, 0, &ru), pid);
    CHECK(has_most(who, us(ru.ru_utime), us(ru.ru_stime)));
    after = usage(RUSAGE_CHILDREN);
    times(&b);
    CHECK(labs(us(after.ru_utime) - us(before.ru_utime) - us(ru.ru_utime)) <= 1); /* parts of microseconds */
    CHECK(labs(us(after.ru_stime) - us(before.ru_stime) - us(ru.ru_stime)) <= 1);
    CHECK(has_most(who, (b.tms_cutime - a.tms_cutime) * 10000, (b.tms_cstime - a.tms_cstime) * 10000));
}

static void in_self(const char *name, void (*work)(void), enum mostly who)
{
    struct rusage a = usage(RUSAGE_SELF), b;
    struct tms t;
    long user, system;

    check_section(name);
    work();
    b = usage(RUSAGE_SELF);
    user = us(b.ru_utime) - us(a.ru_utime);
    system = us(b.ru_stime) - us(a.ru_stime);
    if (!CHECK(has_most(who, user, system)))
        printf("  user %ld system %ld\n", user, system);
    CHECK(times(&t) != -1);
    CHECK(labs(t.tms_utime * 10000 - us(b.ru_utime)) <= 20000);
    CHECK(labs(t.tms_stime * 10000 - us(b.ru_stime)) <= 20000);
}

/* Neither part ever shrinks, and together they are the CPU time. */
static void test_monotonic(void)
{
    struct rusage last = usage(RUSAGE_SELF), now;
    int zero = open("/dev/zero", O_RDONLY), back = 0, off = 0;

    check_section("monotonic");
    for (int i = 0; i < 3000; i++) {
        long before = cpu_us(CLOCK_PROCESS_CPUTIME_ID), after;

        if (read(zero, block, (size_t)(i % 7) * 4096) < 0)
            break;
        now = usage(RUSAGE_SELF);
        after = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
        back += us(now.ru_utime) < us(last.ru_utime) || us(now.ru_stime) < us(last.ru_stime);
        off += us(now.ru_utime) + us(now.ru_stime) < before - 2 || us(now.ru_utime) + us(now.ru_stime) > after + 2;
        last = now;
    }
    CHECK_EQUAL(back, 0);
    CHECK_EQUAL(off, 0);
    close(zero);
}

/* Fields 14 and 15 of /proc/self/stat are times(2)'s. */
static void test_proc(void)
{
    unsigned long user, system;
    struct tms t;
    FILE *f = fopen("/proc/self/stat", "r");

    check_section("/proc/self/stat");
    CHECK_EQUAL(fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
    fclose(f);
    times(&t);
    CHECK(labs((long)user - t.tms_utime) <= 2);
    CHECK(labs((long)system - t.tms_stime) <= 2);
}

static volatile sig_atomic_t ticks;

static void on_tick(int signo)
{
    (void)signo;
    ticks++;
}

/* ITIMER_VIRTUAL hears of the program's own time only. */
static void test_virtual(void)
{
    struct itimerval t = { { 0, 20000 }, { 0, 20000 } }, off = { { 0, 0 }, { 0, 0 } };

    check_section("ITIMER_VIRTUAL");
    signal(SIGVTALRM, on_tick);
    CHECK_OK(setitimer(ITIMER_VIRTUAL, &t, NULL));
    compute();
    CHECK(ticks >= 3);
    CHECK_OK(setitimer(ITIMER_VIRTUAL, &t, NULL));
    ticks = 0;
    copy();
    CHECK(ticks <= 3);
    CHECK_OK(setitimer(ITIMER_VIRTUAL, &off, NULL));
}

int main(void)
{
    pthread_t user, system;
    void *most;

    in_self("computing", compute, USER);
    in_self("long calls", copy, SYSTEM);
    in_self("short calls", call, SOME_SYSTEM);
    in_self("faults", touch, EITHER);
    test_monotonic();
    test_proc();
    check_section("threads");
    CHECK_EQUAL(pthread_create(&user, NULL, in_thread, compute), 0);
    CHECK_EQUAL(pthread_create(&system, NULL, in_thread, copy), 0);
    pthread_join(user, &most);
    CHECK_EQUAL((long)most, 1);
    pthread_join(system, &most);
    CHECK_EQUAL((long)most, 2);
    check_section("children");
    in_child(compute, USER);
    in_child(copy, SYSTEM);
    test_virtual();
    return check_done();
}
