/* Pipes, FIFOs, polling, epoll, eventfd, timerfd, signalfd: what they report and when. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define MS 1000000L

static char buf[1 << 17];

static short ready(int fd, short events, int timeout_ms)
{
    struct pollfd p = { fd, events, 0 };

    return poll(&p, 1, timeout_ms) > 0 ? p.revents : 0;
}

static void *write_later(void *fd)
{
    usleep(20000);
    CHECK_EQUAL(write(*(int *)fd, "x", 1), 1);
    return NULL;
}

static void check_pipes(void)
{
    int p[2], bytes;
    struct stat st;

    check_section("pipes");
    CHECK_OK(pipe2(p, O_NONBLOCK));
    CHECK_OK(fstat(p[0], &st));
    CHECK(S_ISFIFO(st.st_mode));
    CHECK_EQUAL(read(p[0], buf, 1), -1);
    CHECK_EQUAL(errno, EAGAIN);
    CHECK_EQUAL(ready(p[0], POLLIN, 0), 0);
    CHECK_EQUAL(ready(p[1], POLLOUT, 0), POLLOUT);
    CHECK_EQUAL(fcntl(p[1], F_GETPIPE_SZ), 65536);
    CHECK_EQUAL(write(p[1], buf, sizeof(buf)), 65536);
    CHECK_EQUAL(write(p[1], buf, 1), -1);
    CHECK_EQUAL(errno, EAGAIN);
    CHECK_EQUAL(ready(p[1], POLLOUT, 0), 0);
    CHECK_OK(ioctl(p[0], FIONREAD, &bytes));
    CHECK_EQUAL(bytes, 65536);
    CHECK_EQUAL(fcntl(p[1], F_SETPIPE_SZ, 200000), 262144);
    CHECK_EQUAL(write(p[1], buf, 10), 10);
    CHECK_EQUAL(read(p[0], buf, sizeof(buf)), 65546);
    CHECK_OK(close(p[1]));
    CHECK_EQUAL(ready(p[0], POLLIN, 0), POLLHUP);
    CHECK_EQUAL(read(p[0], buf, 1), 0);
    close(p[0]);

    CHECK_OK(pipe2(p, O_NONBLOCK | O_DIRECT));
    CHECK_EQUAL(write(p[1], "aa", 2), 2);
    CHECK_EQUAL(write(p[1], "bbb", 3), 3);
    CHECK_EQUAL(read(p[0], buf, 10), 2);
    CHECK_EQUAL(read(p[0], buf, 1), 1);
    CHECK_EQUAL(read(p[0], buf, 10), -1);
    signal(SIGPIPE, SIG_IGN);
    close(p[0]);
    CHECK_EQUAL(ready(p[1], POLLOUT, 0), POLLOUT | POLLERR);
    CHECK_EQUAL(write(p[1], buf, 1), -1);
    CHECK_EQUAL(errno, EPIPE);
    close(p[1]);
}

/* A writer that fills the pipe blocks until the reader has taken everything; order is kept. */
static void check_blocking(void)
{
    int p[2], status;
    long sum = 0, got;

    check_section("blocking");
    CHECK_OK(pipe(p));
    if (fork() == 0) {
        for (int i = 0; i < 100; i++) {
            memset(buf, i, 9999);
            if (write(p[1], buf, 9999) != 9999)
                _exit(1);
        }
        _exit(0);
    }
    close(p[1]);
    while ((got = read(p[0], buf, 7000)) > 0)
        for (long i = 0; i < got; i++)
            sum += buf[i];
    CHECK_EQUAL(sum, 4950L * 9999);
    CHECK_OK(wait(&status));
    CHECK_EQUAL(status, 0);
    close(p[0]);
}

static void check_fifo(void)
{
    char name[64];
    int fd;

    check_section("FIFOs");
    snprintf(name, sizeof(name), "/tmp/fifo-%d", getpid());
    CHECK_OK(mkfifo(name, 0600));
    CHECK_EQUAL(open(name, O_WRONLY | O_NONBLOCK), -1);
    CHECK_EQUAL(errno, ENXIO);
    fd = open(name, O_RDONLY | O_NONBLOCK);
    CHECK_OK(fd);
    CHECK_EQUAL(ready(fd, POLLIN, 0), 0);
    CHECK_EQUAL(read(fd, buf, 1), 0);
    close(fd);
    if (fork() == 0) {
        fd = open(name, O_WRONLY);
        _exit(write(fd, "through", 7) != 7);
    }
    fd = open(name, O_RDONLY);
    CHECK_EQUAL(read(fd, buf, 100), 7);
    CHECK_EQUAL(read(fd, buf, 100), 0);
    CHECK_EQUAL(ready(fd, POLLIN, 0), POLLHUP);
    close(fd);
    wait(NULL);
    unlink(name);
}

static void check_poll(void)
{
    struct pollfd many[40];
    struct timeval none = { 0, 0 };
    pthread_t thread;
    fd_set in, out;
    int p[2];

    check_section("poll and select");
    CHECK_OK(pipe(p));
    CHECK_OK(pthread_create(&thread, NULL, write_later, &p[1]));
    CHECK_EQUAL(ready(p[0], POLLIN, -1), POLLIN);
    pthread_join(thread, NULL);
    for (int i = 0; i < 40; i++)
        many[i] = (struct pollfd){ i % 2 ? p[0] : -1, POLLIN, 0 };
    CHECK_EQUAL(poll(many, 40, 0), 20);
    many[0].fd = 1000;
    CHECK_EQUAL(poll(many, 1, -1), 1);
    CHECK_EQUAL(many[0].revents, POLLNVAL);
    CHECK_EQUAL(ready(open("/dev/null", O_RDWR), POLLIN | POLLOUT, 0), POLLIN | POLLOUT);
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(p[0], &in);
    FD_SET(p[1], &out);
    CHECK_EQUAL(select(p[1] + 1, &in, &out, NULL, &none), 2);
    CHECK(FD_ISSET(p[0], &in) && FD_ISSET(p[1], &out));
    CHECK_EQUAL(read(p[0], buf, 10), 1);
    CHECK_EQUAL(select(p[1] + 1, &in, NULL, NULL, &none), 0);
    CHECK(!FD_ISSET(p[0], &in));
    FD_SET(60, &in);
    CHECK_EQUAL(select(61, &in, NULL, NULL, &none), -1);
    CHECK_EQUAL(errno, EBADF);
    close(p[0]);
    close(p[1]);
}

static int wait_events(int ep, struct epoll_event *ret, int timeout_ms)
{
    return epoll_wait(ep, ret, 8, timeout_ms);
}

static int change(int ep, int op, int fd, uint32_t events)
{
    struct epoll_event e = { .events = events, .data.u64 = 0x100000000ull + (unsigned)fd };

    return epoll_ctl(ep, op, fd, &e);
}

static void check_epoll(void)
{
    struct epoll_event got[8];
    int ep = epoll_create1(0), outer = epoll_create1(0), p[2], copy;

    check_section("epoll");
    CHECK_OK(pipe(p));
    CHECK_OK(change(ep, EPOLL_CTL_ADD, p[0], EPOLLIN));
    CHECK_EQUAL(change(ep, EPOLL_CTL_ADD, p[0], EPOLLIN), -1);
    CHECK_EQUAL(errno, EEXIST);
    CHECK_EQUAL(wait_events(ep, got, 0), 0);
    CHECK_EQUAL(wait_events(ep, got, 5), 0);
    CHECK_EQUAL(write(p[1], "abc", 3), 3);
    CHECK_EQUAL(wait_events(ep, got, -1), 1);
    CHECK_EQUAL(got[0].events, EPOLLIN);
    CHECK_EQUAL(got[0].data.u64, 0x100000000ull + (unsigned)p[0]);
    CHECK_EQUAL(wait_events(ep, got, 0), 1); /* level triggered: still */
    CHECK_OK(change(ep, EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLET));
    CHECK_EQUAL(wait_events(ep, got, 0), 1);
    CHECK_EQUAL(wait_events(ep, got, 0), 0);
    CHECK_EQUAL(write(p[1], "d", 1), 1);
    CHECK_EQUAL(wait_events(ep, got, 0), 1);
    CHECK_EQUAL(wait_events(ep, got, 0), 0);
    CHECK_OK(change(ep, EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT));
    CHECK_EQUAL(wait_events(ep, got, 0), 1);
    CHECK_EQUAL(wait_events(ep, got, 0), 0);
    CHECK_OK(change(ep, EPOLL_CTL_MOD, p[0], EPOLLIN));
    CHECK_OK(change(outer, EPOLL_CTL_ADD, ep, EPOLLIN));
    CHECK_EQUAL(wait_events(outer, got, 0), 1);
    CHECK_EQUAL(change(ep, EPOLL_CTL_ADD, outer, EPOLLIN), -1);
    CHECK_EQUAL(errno, ELOOP);
    CHECK_EQUAL(change(ep, EPOLL_CTL_ADD, ep, EPOLLIN), -1);
    CHECK_EQUAL(errno, EINVAL);
    CHECK_EQUAL(change(ep, EPOLL_CTL_ADD, open("/etc/passwd", O_RDONLY), EPOLLIN), -1);
    CHECK_EQUAL(errno, EPERM);
    copy = dup(p[0]);
    close(p[0]); /* the open file lives on in the copy, and so does the watch */
    CHECK_EQUAL(wait_events(ep, got, 0), 1);
    close(copy);
    CHECK_EQUAL(wait_events(ep, got, 0), 0);
    CHECK_EQUAL(wait_events(outer, got, 0), 0);
    close(p[1]);
    close(outer);
    close(ep);
}

static void check_eventfd(void)
{
    int fd = eventfd(3, EFD_NONBLOCK | EFD_SEMAPHORE), ep = epoll_create1(0);
    struct epoll_event got[8];
    uint64_t value = 1;

    check_section("eventfd");
    CHECK_EQUAL(read(fd, buf, 4), -1);
    CHECK_EQUAL(errno, EINVAL);
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(read(fd, &value, 8), 8);
        CHECK_EQUAL(value, 1);
    }
    CHECK_EQUAL(read(fd, &value, 8), -1);
    CHECK_EQUAL(errno, EAGAIN);
    value = UINT64_MAX;
    CHECK_EQUAL(write(fd, &value, 8), -1);
    value = UINT64_MAX - 1;
    CHECK_EQUAL(write(fd, &value, 8), 8);
    CHECK_EQUAL(ready(fd, POLLIN | POLLOUT, 0), POLLIN);
    CHECK_OK(change(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET));
    CHECK_EQUAL(wait_events(ep, got, -1), 1);
    close(fd);
    close(ep);
}

static void check_timerfd(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec t = { { 0, 2 * MS }, { 0, 2 * MS } }, left;
    struct timespec now;
    uint64_t ticks = 0;

    check_section("timerfd");
    CHECK_EQUAL(read(fd, &ticks, 8), -1);
    CHECK_EQUAL(errno, EAGAIN);
    CHECK_OK(timerfd_settime(fd, 0, &t, NULL));
    CHECK_EQUAL(ready(fd, POLLIN, -1), POLLIN);
    usleep(20000);
    CHECK_EQUAL(read(fd, &ticks, 8), 8);
    CHECK(ticks >= 10);
    CHECK_OK(timerfd_gettime(fd, &left));
    CHECK(left.it_interval.tv_nsec == 2 * MS && left.it_value.tv_nsec <= 2 * MS);
    clock_gettime(CLOCK_REALTIME, &now);
    close(fd);
    fd = timerfd_create(CLOCK_REALTIME, 0);
    t = (struct itimerspec){ { 0, 0 }, now };
    CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL));
    CHECK_EQUAL(read(fd, &ticks, 8), 8);
    CHECK_EQUAL(ticks, 1);
    t.it_value.tv_nsec = 1000 * MS;
    CHECK_EQUAL(timerfd_settime(fd, 0, &t, NULL), -1);
    CHECK_EQUAL(errno, EINVAL);
    close(fd);
}

static void check_signalfd(void)
{
    struct signalfd_siginfo info;
    sigset_t set;
    int fd;

    check_section("signalfd");
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_NONBLOCK);
    CHECK_EQUAL(read(fd, &info, sizeof(info)), -1);
    CHECK_EQUAL(errno, EAGAIN);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_OK(sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 77 }));
    CHECK_EQUAL(ready(fd, POLLIN, -1), POLLIN);
    CHECK_EQUAL(read(fd, &info, sizeof(info)), (long)sizeof(info));
    CHECK_EQUAL(info.ssi_signo, SIGUSR1);
    CHECK_EQUAL(info.ssi_pid, getpid());
    CHECK_EQUAL(read(fd, &info, sizeof(info)), (long)sizeof(info));
    CHECK_EQUAL(info.ssi_int, 77);
    CHECK_EQUAL(ready(fd, POLLIN, 0), 0);
    close(fd);
}

static void on_signal(int signo)
{
    (void)signo;
}

/* ppoll's mask lets a blocked signal in, and only during the call. */
static void check_masks(void)
{
    struct sigaction action = { .sa_handler = on_signal };
    struct timespec second = { 1, 0 };
    sigset_t block, none, now;

    check_section("masks");
    sigaction(SIGUSR2, &action, NULL);
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR2);
    sigprocmask(SIG_BLOCK, &block, NULL);
    CHECK_OK(kill(getpid(), SIGUSR2));
    CHECK_EQUAL(poll(NULL, 0, 1), 0);
    CHECK_EQUAL(ppoll(NULL, 0, &second, &none), -1);
    CHECK_EQUAL(errno, EINTR);
    CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &now));
    CHECK(sigismember(&now, SIGUSR2));
    CHECK_OK(kill(getpid(), SIGUSR2));
    CHECK_EQUAL(pselect(0, NULL, NULL, NULL, &second, &none), -1);
    CHECK_EQUAL(errno, EINTR);
}

int main(void)
{
    check_pipes();
    check_blocking();
    check_fifo();
    check_poll();
    check_epoll();
    check_eventfd();
    check_timerfd();
    check_signalfd();
    check_masks();
    return check_done();
}
