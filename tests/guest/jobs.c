/*
 * Job control, reaping, pidfds, exec and death signals: what shells and init systems rely on (wait(2), waitid(2),
 * setpgid(2), prctl(2), pidfd_open(2)).
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t got, got_status, got_code;

static void on_signal(int signo, siginfo_t *info, void *context)
{
    (void)context;
    got = signo;
    got_status = info->si_status;
    got_code = info->si_code;
}

static void handle(int signo, int flags)
{
    struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags };

    sigaction(signo, &sa, NULL);
}

static void nap(long ms)
{
    struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

    while (nanosleep(&ts, &ts) < 0)
        ;
}

static pid_t sleeper(void)
{
    pid_t child = fork();

    if (child == 0)
        for (;;)
            pause();
    return child;
}

static void test_stop_and_continue(void)
{
    int status;
    pid_t child = sleeper();

    check_section("stop and continue");
    handle(SIGCHLD, SA_RESTART);
    kill(child, SIGSTOP);
    CHECK_EQUAL(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    CHECK_EQUAL(WSTOPSIG(status), SIGSTOP);
    CHECK_EQUAL(got_code, CLD_STOPPED);
    CHECK_EQUAL(waitpid(child, &status, WUNTRACED | WNOHANG), 0);
    kill(child, SIGCONT);
    CHECK_EQUAL(waitpid(child, &status, WCONTINUED), child);
    CHECK(WIFCONTINUED(status));
    for (int i = 0; i < 100 && got_code != CLD_CONTINUED; i++)
        nap(1);
    CHECK_EQUAL(got_code, CLD_CONTINUED);
    kill(child, SIGSTOP);
    CHECK_EQUAL(waitpid(child, &status, WUNTRACED), child);
    kill(child, SIGTERM); /* waits until it is continued */
    nap(20);
    CHECK_EQUAL(waitpid(child, &status, WNOHANG), 0);
    kill(child, SIGCONT);
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQUAL(WTERMSIG(status), SIGTERM);
    child = sleeper();
    kill(child, SIGSTOP);
    CHECK_EQUAL(waitpid(child, &status, WUNTRACED), child);
    kill(child, SIGKILL); /* doesn't wait */
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(WTERMSIG(status), SIGKILL);
}

static void test_groups(void)
{
    siginfo_t info;
    int status;

    check_section("groups");
    pid_t a = sleeper(), b = sleeper();
    CHECK_OK(setpgid(a, a));
    CHECK_OK(setpgid(b, a));
    CHECK_EQUAL(getpgid(b), a);
    CHECK_ERRNO(setpgid(b, 1), EPERM);
    CHECK_ERRNO(setpgid(b, -1), EINVAL);
    CHECK_ERRNO(setpgid(1, 1), ESRCH);
    CHECK_OK(kill(-a, SIGTERM));
    CHECK_EQUAL(waitid(P_PGID, (id_t)a, &info, WEXITED | WNOWAIT), 0);
    CHECK_EQUAL(info.si_code, CLD_KILLED);
    CHECK_EQUAL(info.si_status, SIGTERM);
    CHECK(waitpid(-a, &status, 0) > 0);
    CHECK(waitpid(-a, &status, 0) > 0);
    CHECK_ERRNO(waitpid(-a, &status, 0), ECHILD);
    CHECK_ERRNO(kill(-a, 0), ESRCH);
    CHECK_ERRNO(waitid(P_PID, 99999, &info, WEXITED), ECHILD);
    CHECK_ERRNO(waitid(P_PID, 1, &info, 0), EINVAL);
}

/* setsid(2), getsid(2), setpgid(2): ERRORS. */
static void test_sessions(void)
{
    int ready[2], status;
    char c;

    check_section("sessions");
    CHECK_OK(pipe(ready));
    pid_t child = fork();
    if (child == 0) {
        bool good = setsid() == getpid() && getsid(0) == getpid() && getpgrp() == getpid();

        good = good && setsid() == -1 && errno == EPERM;      /* a group leader already */
        good = good && setpgid(0, 0) == -1 && errno == EPERM; /* a session leader */
        good = good && setpgid(0, getppid()) == -1 && errno == EPERM;
        good = good && setpgid(getppid(), 0) == -1 && errno == ESRCH; /* not a child */
        c = good;
        write(ready[1], &c, 1);
        pause();
    }
    CHECK_EQUAL(read(ready[0], &c, 1), 1);
    CHECK_EQUAL(c, 1);
    CHECK_EQUAL(getsid(child), child);
    CHECK_EQUAL(getpgid(child), child);
    CHECK_ERRNO(setpgid(child, 0), EPERM); /* in another session */
    CHECK_ERRNO(setpgid(0, child), EPERM); /* the group is in another session */
    CHECK_ERRNO(getsid(99999999), ESRCH);
    CHECK_ERRNO(getpgid(99999999), ESRCH);
    kill(child, SIGKILL);
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "kill -STOP $$; exit 3", NULL);
        _exit(1);
    }
    CHECK_EQUAL(waitpid(child, &status, WUNTRACED), child);
    CHECK_ERRNO(setpgid(child, child), EACCES); /* it has called exec */
    kill(child, SIGCONT);
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(WEXITSTATUS(status), 3);
    close(ready[0]);
    close(ready[1]);
}

static void test_no_zombies(void)
{
    int status;

    check_section("children whose status nobody wants");
    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 5; i++)
        if (fork() == 0)
            _exit(i);
    CHECK_ERRNO(wait(&status), ECHILD); /* waits for all, then finds none */
    struct sigaction sa = { .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT };
    sigaction(SIGCHLD, &sa, NULL);
    if (fork() == 0)
        _exit(1);
    CHECK_ERRNO(wait(&status), ECHILD);
    signal(SIGCHLD, SIG_DFL);
}

static void test_subreaper(void)
{
    int status, pipes[2];
    pid_t grandchild, self = getpid(), parent = 0;

    check_section("subreaper and death signal");
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    CHECK_OK(pipe(pipes));
    pid_t child = fork();
    if (child == 0) {
        pid_t inner = fork();
        if (inner == 0) {
            got = 0;
            prctl(PR_SET_PDEATHSIG, SIGUSR1);
            handle(SIGUSR1, 0);
            inner = getpid();
            write(pipes[1], &inner, sizeof(inner));
            while (!got)
                nap(1);
            parent = getppid();
            write(pipes[1], &parent, sizeof(parent));
            _exit(got == SIGUSR1 ? 5 : 6);
        }
        nap(30);
        _exit(0);
    }
    CHECK_EQUAL(read(pipes[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(read(pipes[0], &parent, sizeof(parent)), sizeof(parent));
    CHECK(parent == self);
    CHECK_EQUAL(waitpid(grandchild, &status, 0), grandchild);
    CHECK_EQUAL(WEXITSTATUS(status), 5);
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 0));
    close(pipes[0]);
    close(pipes[1]);
}

static void test_pidfd(void)
{
    struct pollfd p = { .events = POLLIN };
    siginfo_t info;
    int status;
    pid_t child = sleeper();

    check_section("pidfd");
    p.fd = (int)syscall(SYS_pidfd_open, child, 0);
    CHECK(p.fd >= 0);
    CHECK(fcntl(p.fd, F_GETFD) & FD_CLOEXEC);
    CHECK_EQUAL(poll(&p, 1, 0), 0);
    CHECK_OK(syscall(SYS_pidfd_send_signal, p.fd, 0, NULL, 0));
    CHECK_OK(syscall(SYS_pidfd_send_signal, p.fd, SIGTERM, NULL, 0));
    CHECK_EQUAL(poll(&p, 1, 5000), 1);
    CHECK_EQUAL(p.revents, POLLIN);
    CHECK_EQUAL(waitid(P_PIDFD, (id_t)p.fd, &info, WEXITED), 0);
    CHECK_EQUAL(info.si_status, SIGTERM);
    CHECK(info.si_pid == child);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, p.fd, 0, NULL, 0), ESRCH);
    close(p.fd);
    CHECK_ERRNO(syscall(SYS_pidfd_open, child, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_pidfd_open, -1, 0), EINVAL);
    CHECK_ERRNO(waitpid(child, &status, 0), ECHILD);
}

static void *exec_from_thread(void *path)
{
    nap(5);
    execl(path, path, "exec-child", NULL);
    return NULL;
}

static void *spin(void *arg)
{
    for (;;)
        *(volatile int *)arg += 1;
    return NULL;
}

static void *sit(void *arg)
{
    pause();
    return arg;
}

static void test_exec_from_thread(const char *path)
{
    static int counter;
    pthread_t t;
    int status;

    check_section("exec from a thread ends the others");
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 5; i++)
            pthread_create(&t, NULL, i % 2 ? spin : sit, &counter);
        pthread_create(&t, NULL, exec_from_thread, (void *)(uintptr_t)path);
        for (;;)
            pause();
    }
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQUAL(WEXITSTATUS(status), 42);
}

/* The program that test_exec_from_thread starts: its tid must be the pid, caught signals default, ignored ones ignored. */
static int exec_child(void)
{
    return getpid() == (pid_t)syscall(SYS_gettid) ? 42 : 1;
}

static void test_usage(void)
{
    struct rusage ru;
    int status;

    check_section("usage of children");
    pid_t child = fork();
    if (child == 0) {
        volatile unsigned long n = 0;
        struct timespec ts;
        do {
            for (int i = 0; i < 100000; i++)
                n++;
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
        } while (ts.tv_sec == 0 && ts.tv_nsec < 60000000);
        _exit(0);
    }
    CHECK_EQUAL(wait4(child, &status, 0, &ru), child);
    CHECK(ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec + ru.ru_stime.tv_usec >= 55000);
    CHECK(ru.ru_utime.tv_sec < 5);
    CHECK(ru.ru_maxrss > 0);
    CHECK_OK(getrusage(RUSAGE_CHILDREN, &ru));
    CHECK(ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec + ru.ru_stime.tv_usec >= 55000);
}

static void test_cpu_limit(void)
{
    struct rlimit limit = { 1, 2 };
    int status;

    check_section("CPU limit");
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CPU, &limit);
        for (;;)
            ;
    }
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQUAL(WTERMSIG(status), SIGXCPU);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return exec_child();
    test_stop_and_continue();
    test_groups();
    test_sessions();
    test_no_zombies();
    test_subreaper();
    test_pidfd();
    test_exec_from_thread(argv[0]);
    test_usage();
    test_cpu_limit();
    return check_done();
}
