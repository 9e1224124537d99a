/* Signals: dispositions, masks, queues, waiting, alarms, interrupted calls, handlers within handlers. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static volatile int calls, nested, last_signal, last_value, last_code, last_pid;
static volatile bool masked_inside;
static int order[16], order_count;

static void count(int signal)
{
    calls++;
    last_signal = signal;
}

static void record(int signal, siginfo_t *info, void *context)
{
    sigset_t now;
    calls++;
    last_signal = signal;
    last_value = info->si_value.sival_int;
    last_code = info->si_code;
    last_pid = info->si_pid;
    sigprocmask(SIG_BLOCK, NULL, &now);
    masked_inside = sigismember(&now, signal) == 1;
    if (order_count < 16)
        order[order_count++] = info->si_value.sival_int;
}

static void raises_itself(int signal)
{
    if (++nested < 5)
        raise(signal);
}

static sigjmp_buf escape;
static void jump(int signal)
{
    siglongjmp(escape, signal);
}

static void change_mask(int signal, siginfo_t *info, void *context)
{
    sigaddset(&((ucontext_t *)context)->uc_sigmask, SIGUSR2); /* in force after the return */
}

static void install(int signal, void (*handler)(int), int flags)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = flags };
    CHECK_OK(sigaction(signal, &action, NULL));
}

static void install_info(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
    CHECK_OK(sigaction(signal, &action, NULL));
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

int main(void)
{
    sigset_t set, old;
    struct sigaction action;

    check_section("dispositions");
    CHECK_OK(sigaction(SIGUSR1, NULL, &action));
    CHECK(action.sa_handler == SIG_DFL);
    install(SIGUSR1, count, 0);
    CHECK_OK(raise(SIGUSR1));
    CHECK_EQUAL(calls, 1);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQUAL(calls, 2);
    CHECK_OK(kill(getpid(), 0));
    CHECK_ERRNO(kill(999999, 0), ESRCH);
    CHECK_ERRNO(kill(getpid(), 65), EINVAL);
    action.sa_handler = SIG_IGN;
    CHECK_ERRNO(sigaction(SIGKILL, &action, NULL), EINVAL);
    CHECK_ERRNO(sigaction(SIGSTOP, &action, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, 65, &action, NULL, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4), EINVAL);
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    CHECK_EQUAL(calls, 2);
    raise(SIGCHLD); /* ignored by default */
    raise(SIGWINCH);
    raise(SIGURG);
    install(SIGUSR1, count, SA_RESETHAND);
    raise(SIGUSR1);
    CHECK_OK(sigaction(SIGUSR1, NULL, &action));
    CHECK(action.sa_handler == SIG_DFL && calls == 3);

    check_section("masks");
    install_info(SIGUSR1, record, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, &old));
    calls = 0;
    raise(SIGUSR1);
    raise(SIGUSR1);
    CHECK_EQUAL(calls, 0);
    CHECK_OK(sigpending(&set));
    CHECK_EQUAL(sigismember(&set, SIGUSR1), 1);
    CHECK_OK(sigprocmask(SIG_SETMASK, &old, NULL));
    CHECK_EQUAL(calls, 1); /* a standard signal is pending once */
    CHECK(masked_inside && last_code == SI_TKILL);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK(last_code == SI_USER && last_pid == getpid());
    install_info(SIGUSR1, record, SA_NODEFER);
    raise(SIGUSR1);
    CHECK(!masked_inside);
    CHECK_ERRNO(sigprocmask(99, &set, NULL), EINVAL);
    sigfillset(&set);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, &old));
    CHECK_OK(sigprocmask(SIG_SETMASK, &old, &set));
    CHECK(!sigismember(&set, SIGKILL) && !sigismember(&set, SIGSTOP) && sigismember(&set, SIGTERM));

    check_section("queues");
    int rt = SIGRTMIN + 1;
    install_info(rt, record, 0);
    sigemptyset(&set);
    sigaddset(&set, rt);
    sigprocmask(SIG_BLOCK, &set, &old);
    order_count = 0;
    for (int i = 0; i < 10; i++)
        CHECK_OK(sigqueue(getpid(), rt, (union sigval){ .sival_int = 100 + i }));
    calls = 0;
    sigprocmask(SIG_SETMASK, &old, NULL);
    CHECK_EQUAL(calls, 10);
    for (int i = 0; i < 10; i++)
        CHECK_EQUAL(order[i], 100 + i);
    CHECK_EQUAL(last_code, SI_QUEUE);

    check_section("nesting and jumps");
    install(SIGUSR1, raises_itself, SA_NODEFER);
    raise(SIGUSR1);
    CHECK_EQUAL(nested, 5);
    nested = 0;
    install(SIGUSR1, raises_itself, 0); /* pending until the handler returns, then once more */
    raise(SIGUSR1);
    CHECK_EQUAL(nested, 5);
    install(SIGUSR2, jump, 0);
    for (int i = 0; i < 100; i++)
        if (sigsetjmp(escape, 1) == 0) {
            raise(SIGUSR2);
            CHECK(!"not reached");
        }
    sigprocmask(SIG_BLOCK, NULL, &set);
    CHECK_EQUAL(sigismember(&set, SIGUSR2), 0);
    install_info(SIGUSR1, change_mask, 0);
    raise(SIGUSR1);
    sigprocmask(SIG_BLOCK, NULL, &set);
    CHECK_EQUAL(sigismember(&set, SIGUSR2), 1);
    sigprocmask(SIG_SETMASK, &old, NULL);

    check_section("waiting");
    install(SIGALRM, count, 0);
    calls = 0;
    struct itimerval timer = { .it_value = { 0, 20000 } };
    CHECK_OK(setitimer(ITIMER_REAL, &timer, NULL));
    CHECK_ERRNO(pause(), EINTR);
    CHECK_EQUAL(calls, 1);
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, &old);
    setitimer(ITIMER_REAL, &timer, NULL);
    CHECK_ERRNO(sigsuspend(&old), EINTR);
    CHECK_EQUAL(calls, 2);
    setitimer(ITIMER_REAL, &timer, NULL);
    siginfo_t info;
    CHECK_EQUAL(sigwaitinfo(&set, &info), SIGALRM);
    CHECK(info.si_code == SI_KERNEL || info.si_code == SI_TIMER);
    CHECK_EQUAL(calls, 2);
    CHECK_ERRNO(sigtimedwait(&set, &info, &(struct timespec){ 0, 10000000 }), EAGAIN);
    sigprocmask(SIG_SETMASK, &old, NULL);

    check_section("interrupted calls");
    int ends[2];
    char byte;
    CHECK_OK(pipe(ends));
    setitimer(ITIMER_REAL, &timer, NULL);
    CHECK_ERRNO(read(ends[0], &byte, 1), EINTR);
    struct timespec left = { 0 };
    setitimer(ITIMER_REAL, &timer, NULL);
    CHECK_ERRNO(nanosleep(&(struct timespec){ 5, 0 }, &left), EINTR);
    CHECK(left.tv_sec == 4 && left.tv_nsec > 500000000);
    install(SIGALRM, count, SA_RESTART);
    timer.it_interval.tv_usec = 5000;
    setitimer(ITIMER_REAL, &timer, NULL);
    int64_t before = now_ms();
    nanosleep(&(struct timespec){ 0, 1 }, NULL);
    /* a read that is restarted ends only when there is something to read: the handler's 10th call writes */
    calls = 0;
    while (calls < 10 && now_ms() - before < 5000)
        pause();
    timer = (struct itimerval){ 0 };
    setitimer(ITIMER_REAL, &timer, NULL);
    CHECK(calls >= 10);
    CHECK_EQUAL(alarm(100), 0);
    CHECK(alarm(0) >= 99);

    check_section("many alarms during computation");
    calls = 0;
    timer = (struct itimerval){ { 0, 1000 }, { 0, 1000 } };
    setitimer(ITIMER_REAL, &timer, NULL);
    unsigned long sum = 0, expected = 0;
    before = now_ms();
    while (calls < 50 && now_ms() - before < 5000)
        for (unsigned long i = 0; i < 1000; i++) {
            sum += i * i;
            expected += i * i;
        }
    timer = (struct itimerval){ 0 };
    setitimer(ITIMER_REAL, &timer, NULL);
    CHECK_EQUAL(sum, expected);
    CHECK(calls >= 50);

    check_section("timer_create");
    timer_t id;
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = rt, .sigev_value = { .sival_int = 55 } };
    calls = 0;
    CHECK_OK(timer_create(CLOCK_MONOTONIC, &event, &id));
    CHECK_OK(timer_settime(id, 0, &(struct itimerspec){ .it_value = { 0, 10000000 } }, NULL));
    before = now_ms();
    while (calls == 0 && now_ms() - before < 5000)
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    CHECK(calls == 1 && last_value == 55 && last_code == SI_TIMER);
    CHECK_OK(timer_delete(id));
    return check_done();
}
