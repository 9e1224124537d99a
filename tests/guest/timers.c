/* Interval timers, POSIX timers with overruns, CPU-time timers, restarted sleeps (setitimer(2), timer_create(2), signal(7)). */
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t count, value, code, overrun;

static void on_signal(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)context;
    count++;
    value = info->si_value.sival_int;
    code = info->si_code;
    overrun = info->si_overrun;
}

static void handle(int signo, int flags)
{
    struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags };

    count = 0;
    sigaction(signo, &sa, NULL);
}

static long ms_since(const struct timespec *begin, clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (now.tv_sec - begin->tv_sec) * 1000 + (now.tv_nsec - begin->tv_nsec) / 1000000;
}

static void burn(long ms)
{
    struct timespec begin;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    while (ms_since(&begin, CLOCK_PROCESS_CPUTIME_ID) < ms)
        for (volatile int i = 0; i < 100000; i++) /* user time, mostly */
            ;
}

/* CPU-time timers strike at the kernel's ticks, which a busy host may take its time with. */
static void burn_until(int strikes)
{
    for (int i = 0; i < 60 && count < strikes; i++)
        burn(50);
}

static void test_itimers(void)
{
    struct itimerval it = { { 0, 10000 }, { 0, 10000 } }, old;

    check_section("interval timers");
    handle(SIGALRM, 0);
    CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
    while (count < 5)
        pause();
    it = (struct itimerval){ 0 };
    CHECK_OK(setitimer(ITIMER_REAL, &it, &old));
    CHECK_EQUAL(old.it_interval.tv_usec, 10000);
    CHECK(old.it_value.tv_usec > 0 && old.it_value.tv_usec <= 10000);
    CHECK_EQUAL(alarm(100), 0);
    unsigned left = alarm(0);
    CHECK(left == 99 || left == 100);
    handle(SIGVTALRM, 0);
    it = (struct itimerval){ { 0, 20000 }, { 0, 20000 } };
    CHECK_OK(setitimer(ITIMER_VIRTUAL, &it, NULL));
    burn_until(2);
    CHECK(count >= 2);
    it = (struct itimerval){ 0 };
    CHECK_OK(setitimer(ITIMER_VIRTUAL, &it, NULL));
    handle(SIGPROF, 0);
    it = (struct itimerval){ { 0, 0 }, { 0, 30000 } };
    CHECK_OK(setitimer(ITIMER_PROF, &it, NULL));
    burn_until(1);
    burn(50);
    CHECK_EQUAL(count, 1);
    it.it_value.tv_usec = 1000000;
    CHECK_ERRNO(setitimer(ITIMER_REAL, &it, NULL), EINVAL);
    CHECK_ERRNO(setitimer(9, &it, NULL), EINVAL);
}

static void test_posix_timers(void)
{
    struct sigevent sev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3, .sigev_value.sival_int = 77 };
    struct itimerspec its = { { 0, 5000000 }, { 0, 5000000 } }, old;
    struct timespec ts = { 0, 60000000 };
    sigset_t set;
    timer_t id;

    check_section("POSIX timers");
    handle(SIGRTMIN + 3, 0);
    CHECK_OK(timer_create(CLOCK_MONOTONIC, &sev, &id));
    CHECK_OK(timer_settime(id, 0, &its, NULL));
    while (count < 4)
        pause();
    CHECK_EQUAL(value, 77);
    CHECK_EQUAL(code, SI_TIMER);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 3);
    sigprocmask(SIG_BLOCK, &set, NULL);
    count = 0;
    nanosleep(&ts, NULL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    CHECK(count >= 1 && count <= 2);
    CHECK(overrun >= 5);
    sigprocmask(SIG_BLOCK, &set, NULL); /* or the next one comes between the two */
    CHECK_EQUAL(timer_getoverrun(id), overrun);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    CHECK_OK(timer_gettime(id, &old));
    CHECK_EQUAL(old.it_interval.tv_nsec, 5000000);
    CHECK(old.it_value.tv_nsec > 0);
    its = (struct itimerspec){ 0 };
    CHECK_OK(timer_settime(id, 0, &its, NULL));
    CHECK_OK(timer_gettime(id, &old));
    CHECK_EQUAL(old.it_value.tv_nsec, 0);
    CHECK_OK(timer_delete(id));
    CHECK_EQUAL(syscall(SYS_timer_delete, 12345), -1);
    sev.sigev_notify = SIGEV_NONE;
    CHECK_OK(timer_create(CLOCK_REALTIME, &sev, &id));
    its.it_value.tv_sec = 100;
    CHECK_OK(timer_settime(id, 0, &its, NULL));
    CHECK_OK(timer_gettime(id, &old));
    CHECK(old.it_value.tv_sec >= 98 && old.it_value.tv_sec <= 100);
    CHECK_OK(timer_delete(id));
    sev.sigev_notify = SIGEV_SIGNAL;
    sev.sigev_signo = 99;
    CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &sev, &id), EINVAL);
    CHECK_ERRNO(timer_create(-9999, NULL, &id), EINVAL);
}

static void test_cpu_timers(void)
{
    struct sigevent sev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    struct itimerspec its = { { 0, 20000000 }, { 0, 20000000 } };
    timer_t id;

    check_section("timers on CPU time");
    handle(SIGUSR1, 0);
    CHECK_OK(timer_create(CLOCK_PROCESS_CPUTIME_ID, &sev, &id));
    CHECK_OK(timer_settime(id, 0, &its, NULL));
    usleep(100000);
    CHECK(count <= 1);
    burn(110);
    CHECK(count >= 2 && count <= 8);
    CHECK_OK(timer_delete(id));
    handle(SIGUSR1, 0);
    CHECK_OK(timer_create(CLOCK_THREAD_CPUTIME_ID, &sev, &id));
    its.it_interval.tv_nsec = 0;
    CHECK_OK(timer_settime(id, 0, &its, NULL));
    burn(60);
    CHECK_EQUAL(count, 1);
    CHECK_OK(timer_delete(id));
}

static void on_thread(union sigval v)
{
    value = v.sival_int;
    count++;
}

static void test_thread_notification(void)
{
    struct sigevent sev = { .sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_thread,
                            .sigev_value.sival_int = 5 };
    struct itimerspec its = { { 0, 0 }, { 0, 10000000 } };
    timer_t id;

    check_section("a thread for each expiry");
    count = 0;
    CHECK_OK(timer_create(CLOCK_MONOTONIC, &sev, &id));
    CHECK_OK(timer_settime(id, 0, &its, NULL));
    for (int i = 0; i < 500 && !count; i++)
        usleep(10000);
    CHECK_EQUAL(count, 1);
    CHECK_EQUAL(value, 5);
    CHECK_OK(timer_delete(id));
}

static void test_sleeps(void)
{
    struct timespec ts = { 0, 200000000 }, rest = { 0 }, begin, until;
    struct itimerval it = { { 0, 0 }, { 0, 50000 } };

    check_section("interrupted and restarted sleeps");
    handle(SIGALRM, SA_RESTART);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    setitimer(ITIMER_REAL, &it, NULL);
    CHECK_ERRNO(nanosleep(&ts, &rest), EINTR); /* SA_RESTART doesn't concern sleeps */
    CHECK(rest.tv_nsec > 100000000 && rest.tv_nsec < 160000000);
    signal(SIGALRM, SIG_IGN);
    it.it_value.tv_usec = 20000;
    it.it_interval.tv_usec = 20000;
    setitimer(ITIMER_REAL, &it, NULL);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    CHECK_OK(nanosleep(&ts, NULL));
    CHECK(ms_since(&begin, CLOCK_MONOTONIC) >= 200);
    it = (struct itimerval){ 0 };
    setitimer(ITIMER_REAL, &it, NULL);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 50000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    CHECK_EQUAL(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL), 0);
    CHECK(ms_since(&begin, CLOCK_MONOTONIC) >= 48);
    ts.tv_nsec = 1000000000;
    CHECK_ERRNO(nanosleep(&ts, NULL), EINVAL);
    CHECK_EQUAL(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &ts, NULL), EINVAL);
}

/* A stop and continue in the middle must not change when a sleep ends: restart_syscall. */
static void test_stopped_sleep(void)
{
    struct timespec ts = { 0, 150000000 }, begin;
    pid_t parent = getpid();

    check_section("a sleep across stop and continue");
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (fork() == 0) {
        usleep(30000);
        kill(parent, SIGSTOP);
        usleep(30000);
        kill(parent, SIGCONT);
        _exit(0);
    }
    CHECK_OK(nanosleep(&ts, NULL));
    long ms = ms_since(&begin, CLOCK_MONOTONIC);
    CHECK(ms >= 150 && ms < 600);
}

/* --- periods that are shorter than it takes to notice them: the program goes on all the same --- */

static timer_t busy_timer;
static volatile int busy_signals;

static void arm_again(int signo)
{
    if (++busy_signals < 100)
        timer_settime(busy_timer, 0, &(struct itimerspec){ { 0, 1000 }, { 0, 1000 } }, NULL);
    else
        timer_settime(busy_timer, 0, &(struct itimerspec){ { 0, 0 }, { 0, 0 } }, NULL);
}

static void count_busy(int signo)
{
    if (++busy_signals == 100)
        setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 0, 0 } }, NULL);
}

static void check_tiny_periods(void)
{
    struct itimerspec tiny = { { 0, 1 }, { 0, 1 } };
    struct itimerval micro = { { 0, 1 }, { 0, 1 } };
    struct sigevent none = { .sigev_notify = SIGEV_NONE }, rt = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3 };
    timer_t silent, ignored;

    check_section("tiny periods");
    CHECK_OK(timer_create(CLOCK_MONOTONIC, &none, &silent));
    CHECK_OK(timer_settime(silent, 0, &tiny, NULL));
    usleep(2000);
    CHECK_OK(timer_delete(silent));
    signal(SIGRTMIN + 3, SIG_IGN);
    CHECK_OK(timer_create(CLOCK_MONOTONIC, &rt, &ignored));
    CHECK_OK(timer_settime(ignored, 0, &tiny, NULL));
    usleep(2000);
    CHECK_OK(timer_delete(ignored));
    signal(SIGRTMIN + 3, arm_again);
    CHECK_OK(timer_create(CLOCK_MONOTONIC, &rt, &busy_timer));
    arm_again(0);
    while (busy_signals < 100)
        ;
    CHECK_OK(timer_delete(busy_timer));
    busy_signals = 0;
    signal(SIGALRM, count_busy);
    CHECK_OK(setitimer(ITIMER_REAL, &micro, NULL));
    while (busy_signals < 100)
        ;
}

int main(void)
{
    test_itimers();
    test_posix_timers();
    test_cpu_timers();
    test_thread_notification();
    test_sleeps();
    test_stopped_sleep();
    check_tiny_periods();
    return check_done();
}
