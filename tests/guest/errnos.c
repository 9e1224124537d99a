/*
 * What the man pages say of calls about threads, signals, time, polling, IPC, processes and users, as a table of outcomes: flags that
 * don't exist, boundary values, what is looked at first where two things are wrong. Files have posix.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BAD ((void *)8) /* nobody's address */
#define NS(sec, nsec) (&(struct timespec){ sec, nsec })

/* One row: what the call says. */
static void row(const char *text, long ret, int error, int with_value)
{
    if (ret == -1 && error)
        printf("%s: %s\n", text, strerrorname_np(error) ? strerrorname_np(error) : "unknown");
    else if (with_value)
        printf("%s: %ld\n", text, ret);
    else
        printf("%s: ok\n", text);
}

#define R(call)                             \
    do {                                    \
        errno = 0;                          \
        long ret_ = (long)(call);           \
        row(#call, ret_, errno, 0);         \
    } while (0)

#define V(call)                             \
    do {                                    \
        errno = 0;                          \
        long ret_ = (long)(call);           \
        row(#call, ret_, errno, 1);         \
    } while (0)

#define S(name, ...) syscall(SYS_##name, ##__VA_ARGS__)

static char buf[65536];
static struct sched_param param;

static void futexes(void)
{
    static uint32_t w, w2;
    struct timespec *soon = NS(0, 1000);

    R(S(futex, &w, FUTEX_WAIT, 1, NULL));
    R(S(futex, (char *)&w + 1, FUTEX_WAIT, 1, NULL));
    R(S(futex, (char *)&w + 1, FUTEX_WAKE, 1, NULL));
    R(S(futex, BAD, FUTEX_WAIT, 1, NULL));
    R(S(futex, BAD, FUTEX_WAIT_PRIVATE, 1, NULL));
    R(S(futex, BAD, FUTEX_WAKE, 1, NULL));
    R(S(futex, BAD, FUTEX_WAKE_PRIVATE, 1, NULL));
    R(S(futex, &w, FUTEX_WAIT, 0, soon));
    R(S(futex, &w, FUTEX_WAIT, 0, NS(0, 1000000000)));
    R(S(futex, &w, FUTEX_WAIT, 0, NS(-1, 0)));
    R(S(futex, &w, FUTEX_WAIT, 1, NS(-1, 0)));
    R(S(futex, &w, FUTEX_WAIT, 0, BAD));
    R(S(futex, &w, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, soon));
    R(S(futex, &w, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 0, soon));
    R(S(futex, &w, FUTEX_WAIT_BITSET, 0, soon, NULL, 0));
    R(S(futex, &w, FUTEX_WAIT_BITSET, 0, soon, NULL, 1));
    R(S(futex, &w, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, soon, NULL, 1));
    R(S(futex, &w, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0));
    V(S(futex, &w, FUTEX_WAKE, 0, NULL));
    V(S(futex, &w, FUTEX_WAKE, -1, NULL));
    R(S(futex, &w, FUTEX_REQUEUE, -1, 0, &w2, 0));
    R(S(futex, &w, FUTEX_REQUEUE, 0, -1, &w2, 0));
    V(S(futex, &w, FUTEX_REQUEUE, 0, 0, &w2, 0));
    R(S(futex, &w, FUTEX_REQUEUE, 0, 0, BAD, 0));
    R(S(futex, &w, FUTEX_CMP_REQUEUE, 0, 0, &w2, 1));
    V(S(futex, &w, FUTEX_CMP_REQUEUE, 0, 0, &w, 0));
    R(S(futex, &w, FUTEX_CMP_REQUEUE_PI, 1, 0, &w, 0));
    R(S(futex, &w, FUTEX_CMP_REQUEUE_PI, 0, 0, &w2, 0));
    R(S(futex, &w, FUTEX_WAKE_OP, 1, 1, &w2, FUTEX_OP(0, 1, 0, 0)));
    R(S(futex, &w, FUTEX_WAKE_OP, 1, 1, &w2, FUTEX_OP(7, 1, 0, 0)));
    R(S(futex, &w, FUTEX_WAKE_OP, 1, 1, &w2, FUTEX_OP(0, 1, 9, 0)));
    R(S(futex, &w, FUTEX_WAKE_OP, 1, 1, BAD, FUTEX_OP(0, 1, 0, 0)));
    w2 = 0;
    R(S(futex, &w, FUTEX_UNLOCK_PI, 0, NULL));
    R(S(futex, &w, FUTEX_TRYLOCK_PI, 0, NULL));
    R(S(futex, &w, FUTEX_LOCK_PI, 0, NULL));
    R(S(futex, &w, FUTEX_UNLOCK_PI, 0, NULL));
    w = 0x3fffffff;
    R(S(futex, &w, FUTEX_LOCK_PI, 0, NULL));
    R(S(futex, &w, FUTEX_TRYLOCK_PI, 0, NULL));
    w = 0;
    R(S(futex, &w, FUTEX_WAIT_REQUEUE_PI, 0, soon, &w, 0));
    R(S(futex, &w, FUTEX_WAIT_REQUEUE_PI, 1, NULL, &w2, 0));
    R(S(futex, &w, 2, 0, NULL));
    R(S(futex, &w, 14, 0, NULL));
    R(S(futex, &w, 127, 0, NULL));
    R(S(set_robust_list, buf, 23));
    R(S(set_robust_list, NULL, 24));
    R(S(get_robust_list, 0, BAD, BAD));
    R(S(get_robust_list, 999999, buf, buf + 8));
    R(S(futex_waitv, NULL, 1, 0, NULL, 0));
    R(S(futex_waitv, buf, 0, 0, NULL, 0));
    R(S(futex_waitv, buf, 129, 0, NULL, 0));
    R(S(futex_waitv, buf, 1, 1, NULL, 0));
    R(S(futex_waitv, buf, 1, 0, soon, 7));
    R(S(membarrier, 0, 1, 0));
    R(S(membarrier, 1 << 20, 0, 0));
    R(S(rseq, buf + 1, 32, 0, 0));
    R(S(rseq, NULL, 0, 4, 0));
}

static void threads(void)
{
    cpu_set_t set;
    struct clone_args args = { .exit_signal = SIGCHLD };

    R(S(tgkill, 0, 1, 0));
    R(S(tgkill, -1, 1, 0));
    R(S(tgkill, getpid(), 0, 0));
    R(S(tgkill, getpid(), gettid(), 65));
    R(S(tgkill, getpid(), gettid(), -1));
    R(S(tgkill, getpid(), gettid(), 0));
    R(S(tgkill, getpid(), 999999, 0));
    R(S(tgkill, getppid(), gettid(), 0));
    R(S(tkill, 0, 0));
    R(S(tkill, 999999, 65));
    R(S(tkill, 999999, 0));
    R(S(sched_setaffinity, 0, 0, buf));
    R(S(sched_setaffinity, 999999, 8, &set));
    R(S(sched_setaffinity, 0, 8, BAD));
    CPU_ZERO(&set);
    R(S(sched_setaffinity, 0, 8, &set));
    R(S(sched_getaffinity, 0, 7, &set));
    R(S(sched_getaffinity, 0, 0, &set));
    R(S(sched_getaffinity, 0, 12, &set));
    R(S(sched_getaffinity, 0, 8, BAD));
    R(S(sched_getaffinity, 999999, 128, &set));
    R(S(sched_setscheduler, 0, 99, &param));
    R(S(sched_setscheduler, 0, -1, &param));
    R(S(sched_setscheduler, -1, 0, &param));
    R(S(sched_setscheduler, 0, 0, NULL));
    R(S(sched_setscheduler, 0, 0, BAD));
    R(S(sched_setscheduler, 999999, 0, &param));
    param.sched_priority = 1;
    R(S(sched_setscheduler, 0, SCHED_OTHER, &param));
    R(S(sched_setparam, 0, &param));
    param.sched_priority = 100;
    R(S(sched_setscheduler, 0, SCHED_FIFO, &param));
    param.sched_priority = 0;
    R(S(sched_setscheduler, 0, SCHED_FIFO, &param));
    R(S(sched_setscheduler, 0, SCHED_BATCH, &param));
    V(S(sched_getscheduler, 0));
    R(S(sched_setscheduler, 0, SCHED_OTHER, &param));
    R(S(sched_getscheduler, -1));
    R(S(sched_getparam, 0, NULL));
    R(S(sched_getparam, -1, &param));
    V(S(sched_get_priority_max, SCHED_FIFO));
    V(S(sched_get_priority_min, SCHED_RR));
    V(S(sched_get_priority_max, SCHED_OTHER));
    V(S(sched_get_priority_max, SCHED_DEADLINE));
    R(S(sched_get_priority_max, 4));
    R(S(sched_get_priority_min, -1));
    R(S(sched_rr_get_interval, -1, buf));
    R(S(sched_rr_get_interval, 0, BAD));
    R(S(sched_rr_get_interval, 999999, buf));
    R(S(sched_getattr, 0, buf, 47, 0));
    R(S(sched_getattr, 0, buf, 48, 1));
    R(S(sched_getattr, 0, NULL, 48, 0));
    R(S(sched_getattr, 0, buf, 48, 0));
    R(S(sched_getattr, 0, buf, 5000, 0));
    R(S(sched_setattr, 0, NULL, 0));
    memset(buf, 0, 100);
    R(S(sched_setattr, 0, buf, 1));
    *(uint32_t *)buf = 10;
    R(S(sched_setattr, 0, buf, 0));
    *(uint32_t *)buf = 48;
    R(S(sched_setattr, 0, buf, 0));
    R(S(sched_setattr, 999999, buf, 0));
    *(uint64_t *)(buf + 8) = 1 << 20;
    R(S(sched_setattr, 0, buf, 0));
    memset(buf, 0, 100);
    R(S(clone3, &args, 0));
    R(S(clone3, &args, 63));
    R(S(clone3, &args, 5000));
    R(S(clone3, BAD, sizeof(args)));
    args.exit_signal = 65;
    R(S(clone3, &args, sizeof(args)));
    args.exit_signal = 0;
    args.flags = CLONE_THREAD;
    R(S(clone3, &args, sizeof(args)));
    args.flags = CLONE_THREAD | CLONE_SIGHAND;
    R(S(clone3, &args, sizeof(args)));
    args.flags = CLONE_SIGHAND;
    R(S(clone3, &args, sizeof(args)));
    args.flags = CLONE_FS | CLONE_NEWNS;
    R(S(clone3, &args, sizeof(args)));
    args.flags = CLONE_SIGHAND | CLONE_VM | CLONE_CLEAR_SIGHAND;
    R(S(clone3, &args, sizeof(args)));
    args.flags = CLONE_DETACHED;
    R(S(clone3, &args, sizeof(args)));
    args.flags = CSIGNAL;
    R(S(clone3, &args, sizeof(args)));
    args.flags = 1ull << 40;
    R(S(clone3, &args, sizeof(args)));
    args = (struct clone_args){ .exit_signal = SIGCHLD, .stack = 4096 };
    R(S(clone3, &args, sizeof(args)));
    args = (struct clone_args){ .exit_signal = SIGCHLD, .stack_size = 4096 };
    R(S(clone3, &args, sizeof(args)));
    args = (struct clone_args){ .flags = CLONE_PIDFD | CLONE_PARENT_SETTID, .pidfd = 8, .parent_tid = 8 };
    R(S(clone3, &args, sizeof(args)));
    args = (struct clone_args){ .set_tid_size = 33, .set_tid = (uintptr_t)buf };
    R(S(clone3, &args, sizeof(args)));
    args = (struct clone_args){ .set_tid_size = 1 };
    R(S(clone3, &args, sizeof(args)));
    R(S(clone, CLONE_THREAD, 0, 0, 0, 0));
    R(S(clone, CLONE_SIGHAND, 0, 0, 0, 0));
    R(S(clone, CLONE_PIDFD | CLONE_DETACHED, 0, buf, 0, 0));
    R(S(clone, CLONE_PIDFD | CLONE_PARENT_SETTID, 0, buf, 0, 0));
    R(S(setpriority, 3, 0, 0));
    R(S(setpriority, PRIO_PROCESS, 999999, 0));
    R(S(getpriority, -1, 0));
    R(S(getpriority, PRIO_PGRP, 999999));
    V(S(getpriority, PRIO_PROCESS, 0));
    R(S(setpriority, PRIO_PROCESS, 0, 100));
    V(S(getpriority, PRIO_PROCESS, 0));
    R(S(setpriority, PRIO_PROCESS, 0, 0));
    R(S(getcpu, BAD, NULL));
    R(S(ioprio_get, 0, 0));
    R(S(ioprio_get, 1, 999999));
    R(S(ioprio_set, 1, 0, 5 << 13));
    R(S(ioprio_set, 9, 0, 0));
    R(S(arch_prctl, 0x1234, 0));
    R(S(arch_prctl, 0x1002, 1ul << 60));
    R(S(arch_prctl, 0x1003, BAD));
}

static void *nothing(void *arg) { return arg; }

static void signals(void)
{
    struct sigaction sa = { .sa_handler = SIG_IGN };
    stack_t st;
    siginfo_t info;
    sigset_t set;

    sigemptyset(&set);
    R(S(kill, 0, 65));
    R(S(kill, getpid(), -1));
    R(S(kill, 999999, 0));
    R(S(kill, -999999, 0));
    R(S(kill, INT_MIN, 0));
    R(S(kill, 999999, 99));
    R(S(rt_sigaction, 0, NULL, NULL, 8));
    R(S(rt_sigaction, 65, NULL, NULL, 8));
    R(S(rt_sigaction, SIGKILL, &sa, NULL, 8));
    R(S(rt_sigaction, SIGSTOP, NULL, buf, 8));
    R(S(rt_sigaction, SIGKILL, BAD, NULL, 8));
    R(S(rt_sigaction, SIGUSR1, NULL, buf, 4));
    R(S(rt_sigaction, SIGUSR1, NULL, buf, 16));
    R(S(rt_sigaction, SIGUSR1, BAD, NULL, 8));
    R(S(rt_sigaction, SIGUSR1, NULL, BAD, 8));
    R(S(rt_sigprocmask, 3, &set, NULL, 8));
    R(S(rt_sigprocmask, 3, NULL, NULL, 8));
    R(S(rt_sigprocmask, -1, BAD, NULL, 8));
    R(S(rt_sigprocmask, 0, BAD, NULL, 8));
    R(S(rt_sigprocmask, 0, NULL, BAD, 8));
    R(S(rt_sigprocmask, 0, &set, NULL, 7));
    R(S(rt_sigpending, buf, 9));
    R(S(rt_sigpending, buf, 4));
    R(S(rt_sigpending, BAD, 8));
    R(S(rt_sigsuspend, &set, 4));
    R(S(rt_sigsuspend, BAD, 8));
    R(S(rt_sigtimedwait, &set, NULL, NS(0, 0), 8));
    R(S(rt_sigtimedwait, &set, NULL, NS(0, 1000000000), 8));
    R(S(rt_sigtimedwait, &set, NULL, NS(-1, 0), 8));
    R(S(rt_sigtimedwait, &set, NULL, BAD, 8));
    R(S(rt_sigtimedwait, BAD, NULL, NULL, 8));
    R(S(rt_sigtimedwait, &set, NULL, NULL, 4));
    memset(&info, 0, sizeof(info));
    info.si_code = SI_USER;
    R(S(rt_sigqueueinfo, getppid(), 0, &info));
    R(S(rt_sigqueueinfo, getpid(), 0, &info));
    info.si_code = SI_TKILL;
    R(S(rt_sigqueueinfo, getppid(), 0, &info));
    info.si_code = SI_QUEUE;
    R(S(rt_sigqueueinfo, getpid(), 65, &info));
    R(S(rt_sigqueueinfo, 999999, 0, &info));
    R(S(rt_sigqueueinfo, getpid(), 0, BAD));
    R(S(rt_tgsigqueueinfo, 0, 1, 0, &info));
    R(S(rt_tgsigqueueinfo, getpid(), 999999, 0, &info));
    R(S(rt_tgsigqueueinfo, getpid(), gettid(), 0, &info));
    st = (stack_t){ .ss_sp = buf, .ss_size = 2047 };
    R(S(sigaltstack, &st, NULL));
    st = (stack_t){ .ss_sp = buf, .ss_size = 65536, .ss_flags = 8 };
    R(S(sigaltstack, &st, NULL));
    st.ss_flags = SS_ONSTACK;
    R(S(sigaltstack, &st, NULL));
    st = (stack_t){ .ss_flags = SS_DISABLE };
    R(S(sigaltstack, &st, NULL));
    R(S(sigaltstack, BAD, NULL));
    R(S(sigaltstack, NULL, BAD));
    R(S(signalfd, -1, &set, 4));
    R(S(signalfd, 0, &set, 8));
    R(S(signalfd, 999, &set, 8));
    R(S(signalfd4, -1, &set, 8, 1));
    R(S(signalfd4, -1, BAD, 8, 0));
    R(S(pidfd_open, 0, 0));
    R(S(pidfd_open, -1, 0));
    R(S(pidfd_open, 999999, 0));
    R(S(pidfd_open, getpid(), 1));
    int pidfd = (int)S(pidfd_open, getpid(), 0);
    R(S(pidfd_send_signal, pidfd, 0, NULL, 0));
    R(S(pidfd_send_signal, pidfd, 0, NULL, 99));
    R(S(pidfd_send_signal, pidfd, 65, NULL, 0));
    R(S(pidfd_send_signal, 0, 0, NULL, 0));
    R(S(pidfd_send_signal, 999, 0, NULL, 0));
    R(S(pidfd_send_signal, pidfd, 0, BAD, 0));
    info.si_signo = 5;
    R(S(pidfd_send_signal, pidfd, 0, &info, 0));
    R(S(pidfd_getfd, pidfd, 0, 0));
    R(S(pidfd_getfd, pidfd, 0, 1));
    R(S(pidfd_getfd, pidfd, 999, 0));
    R(S(pidfd_getfd, 0, 0, 0));
    R(read(pidfd, buf, 8));
    R(write(pidfd, buf, 8));
    R(lseek(pidfd, 0, SEEK_SET));
    close(pidfd);
    R(S(restart_syscall));
    R(S(setitimer, 3, buf, NULL));
    memset(buf, 0, 100);
    R(S(setitimer, 0, BAD, NULL));
    R(S(setitimer, 0, NULL, NULL));
    R(S(setitimer, 0, (&(struct itimerval){ { 0, 0 }, { 0, 1000000 } }), NULL));
    R(S(setitimer, 0, (&(struct itimerval){ { 0, -1 }, { 0, 0 } }), NULL));
    R(S(setitimer, 0, (&(struct itimerval){ { 0, 0 }, { -1, 0 } }), NULL));
    R(S(getitimer, 3, buf));
    R(S(getitimer, 0, BAD));
}

static void times(void)
{
    struct sigevent ev = { .sigev_notify = SIGEV_NONE };
    struct itimerspec its = { { 0, 0 }, { 0, 0 } };
    timer_t id = NULL;
    int fd;

    R(S(clock_gettime, 12, buf));
    R(S(clock_gettime, -1, buf));
    R(S(clock_gettime, 10, buf));
    R(S(clock_gettime, 11, buf));
    R(S(clock_gettime, 16, buf));
    R(S(clock_gettime, 0, BAD));
    R(S(clock_gettime, ~999999u << 3 | 2, buf));
    R(S(clock_gettime, ~0u << 3 | 2, buf));
    R(S(clock_gettime, ~0u << 3 | 6, buf));
    R(S(clock_gettime, ~0u << 3 | 3, buf));
    R(S(clock_gettime, ~(unsigned)getppid() << 3 | 6, buf));
    R(S(clock_getres, 0, NULL));
    R(S(clock_getres, 12, NULL));
    R(S(clock_getres, 12, buf));
    R(S(clock_getres, 0, BAD));
    R(S(clock_settime, 1, NS(0, 0)));
    R(S(clock_settime, 0, BAD));
    R(S(clock_settime, 2, NS(0, 0)));
    R(S(clock_settime, 12, NS(0, 0)));
    R(S(clock_settime, 0, NS(0, 1000000000)));
    R(S(nanosleep, NS(0, 1000000000), NULL));
    R(S(nanosleep, NS(-1, 0), NULL));
    R(S(nanosleep, NS(0, -1), NULL));
    R(S(nanosleep, BAD, NULL));
    R(S(nanosleep, NS(0, 1), BAD));
    R(S(clock_nanosleep, 0, 0, NS(0, 1000000000), NULL));
    R(S(clock_nanosleep, 3, 0, NS(0, 0), NULL));
    R(S(clock_nanosleep, 4, 0, NS(0, 0), NULL));
    R(S(clock_nanosleep, 5, 0, NS(0, 0), NULL));
    R(S(clock_nanosleep, 7, 0, NS(0, 0), NULL));
    R(S(clock_nanosleep, 11, 0, NS(0, 0), NULL));
    R(S(clock_nanosleep, 12, 0, BAD, NULL));
    R(S(clock_nanosleep, 1, 2, NS(0, 0), NULL));
    R(S(clock_nanosleep, 1, TIMER_ABSTIME, NS(-1, 0), NULL));
    R(S(clock_nanosleep, 1, TIMER_ABSTIME, NS(0, 0), BAD));
    R(S(gettimeofday, BAD, NULL));
    R(S(gettimeofday, NULL, BAD));
    R(S(gettimeofday, NULL, NULL));
    R(S(time, BAD));
    R(S(timer_create, 12, &ev, &id));
    R(S(timer_create, 0, &ev, BAD));
    R(S(timer_create, 0, BAD, &id));
    R(S(timer_create, 4, &ev, &id));
    R(S(timer_create, 5, &ev, &id));
    ev.sigev_notify = 99;
    R(S(timer_create, 0, &ev, &id));
    ev = (struct sigevent){ .sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65 };
    R(S(timer_create, 0, &ev, &id));
    ev = (struct sigevent){ .sigev_notify = SIGEV_SIGNAL, .sigev_signo = 0 };
    R(S(timer_create, 0, &ev, &id));
    ev = (struct sigevent){ .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = 10 };
    ev._sigev_un._tid = 999999;
    R(S(timer_create, 0, &ev, &id));
    ev = (struct sigevent){ .sigev_notify = SIGEV_NONE };
    R(S(timer_create, 0, &ev, &id));
    R(S(timer_settime, id, 0, NULL, NULL));
    R(S(timer_settime, id, 0, BAD, NULL));
    R(S(timer_settime, id, 7, &its, NULL));
    R(S(timer_settime, 999999, 0, &its, NULL));
    R(S(timer_settime, 999999, 0, NULL, NULL));
    its.it_value.tv_nsec = 1000000000;
    R(S(timer_settime, id, 0, &its, NULL));
    its.it_value = (struct timespec){ -1, 0 };
    R(S(timer_settime, id, 0, &its, NULL));
    its.it_value = (struct timespec){ 0, 0 };
    its.it_interval.tv_nsec = -5;
    R(S(timer_settime, id, 0, &its, NULL));
    its.it_interval.tv_nsec = 0;
    R(S(timer_gettime, 999999, &its));
    R(S(timer_gettime, id, BAD));
    R(S(timer_getoverrun, 999999));
    V(S(timer_getoverrun, id));
    R(S(timer_delete, id));
    R(S(timer_delete, id));
    R(S(timerfd_create, 2, 0));
    R(S(timerfd_create, 4, 0));
    R(S(timerfd_create, 7, 0));
    R(S(timerfd_create, 11, 0));
    R(S(timerfd_create, 1, 1));
    fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    R(S(timerfd_settime, fd, 0, BAD, NULL));
    R(S(timerfd_settime, fd, 4, &its, NULL));
    R(S(timerfd_settime, fd, 2, &its, NULL));
    R(S(timerfd_settime, fd, 3, &its, NULL));
    R(S(timerfd_settime, 0, 0, &its, NULL));
    R(S(timerfd_settime, 999, 9, &its, NULL));
    its.it_value.tv_nsec = 1000000000;
    R(S(timerfd_settime, fd, 0, &its, NULL));
    R(S(timerfd_gettime, 0, &its));
    R(S(timerfd_gettime, 999, &its));
    R(S(timerfd_gettime, fd, BAD));
    R(read(fd, buf, 7));
    R(read(fd, buf, 8));
    R(write(fd, buf, 8));
    R(pread(fd, buf, 8, 0));
    close(fd);
}

#include "errnos_ipc.h"

int main(void)
{
    pthread_t t;

    setvbuf(stdout, NULL, _IOFBF, 1 << 20);
    alarm(60);
    pthread_create(&t, NULL, nothing, NULL);
    pthread_join(t, NULL);
    futexes();
    threads();
    signals();
    times();
    polling();
    ipc();
    sockets();
    processes();
    users();
    descriptors();
    return 0;
}
