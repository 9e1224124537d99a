/* POSIX message queues: order, attributes, limits, waiting, notification, polling; mq_overview(7). */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define NAME "/vmm-test-queue"
#define ROUNDS 2000

static struct mq_attr four = { .mq_maxmsg = 4, .mq_msgsize = 64 };

static mqd_t fresh(int flags)
{
    mq_unlink(NAME);
    return mq_open(NAME, O_CREAT | O_EXCL | O_RDWR | flags, 0600, &four);
}

static const char *take(mqd_t q)
{
    static char text[80];
    unsigned priority;
    ssize_t n = mq_receive(q, text, 64, &priority);

    if (n < 0)
        return strerrorname_np(errno);
    snprintf(text + n, sizeof(text) - (size_t)n, ":%u", priority);
    return text;
}

#define CHECK_TEXT(got, expected) CHECK(strcmp(got, expected) == 0)

static short ready(mqd_t q)
{
    struct pollfd p = { q, POLLIN | POLLOUT, 0 };

    poll(&p, 1, 0);
    return p.revents;
}

static void reap(int expected)
{
    int status;

    CHECK_OK(wait(&status));
    CHECK_EQUAL(status, expected << 8);
}

static void check_open(void)
{
    struct mq_attr attr;
    struct rlimit limit, old;
    struct stat st;
    mqd_t q, other;

    check_section("open");
    mq_unlink(NAME);
    CHECK_ERRNO(mq_open(NAME, O_RDWR), ENOENT);
    CHECK_ERRNO(mq_open("/a/b", O_RDWR), EACCES);
    CHECK_ERRNO(syscall(SYS_mq_open, "/a", O_RDWR, 0, NULL), EACCES);
    CHECK_ERRNO(syscall(SYS_mq_open, "", O_RDWR, 0, NULL), ENOENT);
    CHECK_ERRNO(syscall(SYS_mq_open, "..", O_RDWR, 0, NULL), EACCES);
    CHECK_ERRNO(mq_open(NAME, O_CREAT | O_RDWR, 0600, &(struct mq_attr){ .mq_maxmsg = 0, .mq_msgsize = 1 }), EINVAL);
    CHECK_ERRNO(mq_open(NAME, O_CREAT | O_RDWR, 0600, &(struct mq_attr){ .mq_maxmsg = 1, .mq_msgsize = -1 }), EINVAL);
    CHECK_ERRNO(mq_open(NAME, O_CREAT | O_RDWR, 0600, &(struct mq_attr){ .mq_maxmsg = 65537, .mq_msgsize = 1 }), EINVAL);
    q = mq_open(NAME, O_CREAT | O_RDWR, 0600, NULL);
    CHECK_OK(q);
    CHECK_OK(mq_getattr(q, &attr));
    CHECK_EQUAL(attr.mq_maxmsg * 100000 + attr.mq_msgsize, 1008192);
    CHECK_EQUAL(fcntl(q, F_GETFD), FD_CLOEXEC);
    CHECK_OK(fstat(q, &st));
    CHECK_EQUAL(st.st_mode, S_IFREG | 0600);
    CHECK_EQUAL(st.st_size, 80);
    CHECK_OK(mq_close(q));
    CHECK_ERRNO(mq_open(NAME, O_CREAT | O_EXCL | O_RDWR, 0600, NULL), EEXIST);
    other = mq_open(NAME, O_RDONLY);
    CHECK_OK(other);
    CHECK_ERRNO(mq_send(other, "x", 1, 0), EBADF);
    CHECK_ERRNO(mq_receive(0, NULL, 0, NULL), EBADF);
    CHECK_OK(mq_unlink(NAME));
    CHECK_ERRNO(mq_unlink(NAME), ENOENT);
    CHECK_OK(mq_getattr(other, &attr)); /* it lives while it is open */
    CHECK_OK(mq_close(other));
    CHECK_OK(getrlimit(RLIMIT_MSGQUEUE, &old));
    limit = old;
    limit.rlim_cur = 1000;
    CHECK_OK(setrlimit(RLIMIT_MSGQUEUE, &limit));
    CHECK_ERRNO(mq_open(NAME, O_CREAT | O_RDWR, 0600, &(struct mq_attr){ .mq_maxmsg = 4, .mq_msgsize = 250 }), EMFILE);
    CHECK_OK(setrlimit(RLIMIT_MSGQUEUE, &old));

    if (fork() == 0) {
        fresh(0);
        if (setgid(65534) || setuid(65534))
            _exit(2);
        _exit(mq_open(NAME, O_RDONLY) == -1 && errno == EACCES && syscall(SYS_mq_unlink, NAME + 1) == -1 && errno == EPERM ? 3 : 4);
    }
    reap(3);
    CHECK_OK(mq_unlink(NAME));
}

static void check_order(void)
{
    char status[100];
    struct mq_attr attr;
    mqd_t q = fresh(O_NONBLOCK);
    ssize_t n;

    check_section("order");
    CHECK_EQUAL(ready(q), POLLOUT);
    CHECK_TEXT(take(q), "EAGAIN");
    CHECK_OK(mq_send(q, "a", 1, 1));
    CHECK_OK(mq_send(q, "bb", 2, 5));
    CHECK_EQUAL(ready(q), POLLOUT | POLLIN);
    CHECK_OK(mq_send(q, "c", 1, 1));
    CHECK_OK(mq_send(q, "", 0, 5));
    CHECK_EQUAL(ready(q), POLLIN);
    CHECK_ERRNO(mq_send(q, "e", 1, 0), EAGAIN);
    CHECK_OK(mq_getattr(q, &attr));
    CHECK_EQUAL(attr.mq_curmsgs, 4);
    CHECK_EQUAL(attr.mq_flags, O_NONBLOCK);
    n = read(q, status, sizeof(status) - 1);
    CHECK(n > 0);
    status[n > 0 ? n : 0] = '\0';
    printf("%s", status);
    CHECK_TEXT(take(q), "bb:5");
    CHECK_TEXT(take(q), ":5");
    CHECK_TEXT(take(q), "a:1");
    CHECK_TEXT(take(q), "c:1");
    CHECK_TEXT(take(q), "EAGAIN");
    CHECK_ERRNO(mq_send(q, status, 65, 0), EMSGSIZE);
    CHECK_ERRNO(mq_receive(q, status, 63, NULL), EMSGSIZE);
    CHECK_ERRNO(mq_send(q, "x", 1, 32768), EINVAL);
    CHECK_OK(mq_send(q, "x", 1, 32767));
    CHECK_TEXT(take(q), "x:32767");
    CHECK_ERRNO(syscall(SYS_mq_timedsend, q, NULL, 1, 0, NULL), EFAULT);
    attr.mq_flags = O_APPEND;
    CHECK_ERRNO(mq_setattr(q, &attr, NULL), EINVAL);
    attr.mq_flags = 0;
    attr.mq_maxmsg = 99; /* ignored */
    CHECK_OK(mq_setattr(q, &attr, NULL));
    CHECK_OK(mq_getattr(q, &attr));
    CHECK_EQUAL(attr.mq_maxmsg, 4);
    CHECK_EQUAL(attr.mq_flags, 0);
    CHECK_EQUAL(fcntl(q, F_GETFL) & O_NONBLOCK, 0);
    mq_close(q);
}

static volatile int signals, code, value;

static void handler(int signo, siginfo_t *info, void *context)
{
    signals++;
    code = info->si_code;
    value = info->si_value.sival_int;
}

static void signal_later(int flags)
{
    struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
    pid_t parent = getpid();

    sigaction(SIGUSR1, &sa, NULL);
    if (fork() == 0) {
        usleep(20000);
        kill(parent, SIGUSR1);
        _exit(0);
    }
}

static void check_waiting(void)
{
    struct timespec past = { 1, 0 }, bad = { 0, -1 }, soon;
    mqd_t q = fresh(0);
    char text[64];

    check_section("waiting");
    CHECK_ERRNO(mq_timedreceive(q, text, 64, NULL, &past), ETIMEDOUT);
    CHECK_ERRNO(mq_timedreceive(q, text, 64, NULL, &bad), EINVAL);
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 20000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    CHECK_ERRNO(mq_timedreceive(q, text, 64, NULL, &soon), ETIMEDOUT);
    signal_later(0);
    CHECK_ERRNO(mq_receive(q, text, 64, NULL), EINTR);
    reap(0);
    for (int i = 0; i < 4; i++)
        CHECK_OK(mq_timedsend(q, "x", 1, 0, &past)); /* there is room: the time doesn't matter */
    CHECK_ERRNO(mq_timedsend(q, "x", 1, 0, &past), ETIMEDOUT);
    if (fork() == 0)
        _exit(mq_send(q, "late", 4, 9));
    usleep(20000);
    CHECK_TEXT(take(q), "x:0");
    CHECK_TEXT(take(q), "late:9");
    reap(0);
    for (int i = 0; i < 3; i++)
        CHECK_TEXT(take(q), "x:0");
    if (fork() == 0)
        _exit(strcmp(take(q), "now:2") == 0 ? 7 : 8);
    usleep(20000);
    CHECK_OK(mq_send(q, "now", 3, 2));
    reap(7);
    /* With SA_RESTART it waits on. */
    signals = 0;
    signal_later(SA_RESTART);
    if (fork() == 0) {
        usleep(60000);
        _exit(mq_send(q, "after", 5, 1));
    }
    CHECK_TEXT(take(q), "after:1");
    CHECK_EQUAL(signals, 1);
    reap(0);
    reap(0);
    mq_close(q);
}

static void check_notify(void)
{
    struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART };
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 77 };
    struct sigevent bad = { .sigev_notify = 42 }, bad_signal = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = 100 };
    mqd_t q = fresh(0);

    check_section("notify");
    sigaction(SIGRTMIN, &sa, NULL);
    signals = 0;
    CHECK_ERRNO(syscall(SYS_mq_notify, q, &bad), EINVAL);
    CHECK_ERRNO(syscall(SYS_mq_notify, q, &bad_signal), EINVAL);
    CHECK_ERRNO(syscall(SYS_mq_notify, 0, &event), EBADF);
    CHECK_OK(mq_notify(q, NULL));
    CHECK_OK(mq_notify(q, &event));
    CHECK_ERRNO(mq_notify(q, &event), EBUSY);
    if (fork() == 0)
        _exit(mq_notify(q, &event) == -1 && errno == EBUSY && mq_notify(q, NULL) == 0 && mq_send(q, "x", 1, 0) == 0 ? 3 : 4);
    reap(3);
    CHECK_EQUAL(signals, 1);
    CHECK_EQUAL(code, SI_MESGQ);
    CHECK_EQUAL(value, 77);
    CHECK_OK(mq_notify(q, &event)); /* there is a message: only the next arrival in an empty queue counts */
    CHECK_OK(mq_send(q, "y", 1, 0));
    CHECK_EQUAL(signals, 1);
    take(q);
    take(q);
    CHECK_OK(mq_send(q, "z", 1, 0));
    CHECK_EQUAL(signals, 2);
    CHECK_OK(mq_send(q, "z", 1, 0)); /* registered no more */
    take(q);
    take(q);
    CHECK_OK(mq_send(q, "z", 1, 0));
    CHECK_EQUAL(signals, 2);
    event.sigev_notify = SIGEV_NONE;
    CHECK_OK(mq_notify(q, &event));
    CHECK_ERRNO(mq_notify(q, &event), EBUSY);
    mqd_t other = dup(q);
    CHECK_OK(close(other)); /* any descriptor of the process */
    CHECK_OK(mq_notify(q, &event));
    if (fork() == 0)
        _exit(0);
    reap(0);
    CHECK_ERRNO(mq_notify(q, &event), EBUSY);
    mq_close(q);
}

static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told_cond = PTHREAD_COND_INITIALIZER;
static int told, told_value;

static void tell_thread(union sigval v)
{
    pthread_mutex_lock(&told_lock);
    told++;
    told_value = v.sival_int;
    pthread_cond_signal(&told_cond);
    pthread_mutex_unlock(&told_lock);
}

static void wait_told(int count)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&told_lock);
    while (told < count && pthread_cond_timedwait(&told_cond, &told_lock, &until) == 0)
        ;
    CHECK_EQUAL(told, count);
    pthread_mutex_unlock(&told_lock);
}

/* The C library's threads; and below it, the socket and its cookie. */
static void check_notify_thread(void)
{
    struct sigevent event = { .sigev_notify = SIGEV_THREAD, .sigev_notify_function = tell_thread, .sigev_value.sival_int = 5 };
    struct sigevent raw = { .sigev_notify = SIGEV_THREAD };
    char cookie[32] = "a cookie of thirty-two bytes...", got[64];
    int s = socket(AF_NETLINK, SOCK_RAW, 0), u = socket(AF_UNIX, SOCK_STREAM, 0);
    mqd_t q = fresh(0);

    check_section("notify by a thread");
    CHECK_OK(mq_notify(q, &event));
    CHECK_ERRNO(mq_notify(q, &event), EBUSY);
    CHECK_OK(mq_send(q, "x", 1, 0));
    wait_told(1);
    CHECK_EQUAL(told_value, 5);
    take(q);
    event.sigev_value.sival_int = 6;
    CHECK_OK(mq_notify(q, &event));
    CHECK_OK(mq_send(q, "x", 1, 0));
    wait_told(2);
    CHECK_EQUAL(told_value, 6);
    take(q);

    raw.sigev_value.sival_ptr = cookie;
    raw.sigev_signo = -1;
    CHECK_ERRNO(syscall(SYS_mq_notify, q, &raw), EBADF);
    raw.sigev_signo = q;
    CHECK_ERRNO(syscall(SYS_mq_notify, q, &raw), ENOTSOCK);
    raw.sigev_signo = u;
    CHECK_ERRNO(syscall(SYS_mq_notify, q, &raw), EINVAL);
    raw.sigev_signo = s;
    raw.sigev_value.sival_ptr = (void *)8;
    CHECK_ERRNO(syscall(SYS_mq_notify, q, &raw), EFAULT);
    raw.sigev_value.sival_ptr = cookie;
    CHECK_ERRNO(syscall(SYS_mq_notify, u, &raw), EBADF);
    CHECK_OK(syscall(SYS_mq_notify, q, &raw));
    CHECK_ERRNO(syscall(SYS_mq_notify, q, &raw), EBUSY);
    CHECK_ERRNO(recv(s, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    CHECK_OK(mq_send(q, "x", 1, 0));
    CHECK_EQUAL(recv(s, got, sizeof(got), MSG_DONTWAIT), 32);
    CHECK(memcmp(got, cookie, 31) == 0 && got[31] == 1 /* NOTIFY_WOKENUP */);
    take(q);
    CHECK_OK(syscall(SYS_mq_notify, q, &raw));
    CHECK_OK(mq_notify(q, NULL));
    CHECK_EQUAL(recv(s, got, sizeof(got), MSG_DONTWAIT), 32);
    CHECK_EQUAL(got[31], 2 /* NOTIFY_REMOVED */);
    CHECK_OK(syscall(SYS_mq_notify, q, &raw));
    mq_close(q);
    CHECK_EQUAL(recv(s, got, sizeof(got), MSG_DONTWAIT), 32);
    CHECK_EQUAL(got[31], 2);
    close(s);
    close(u);
}

static void check_ping_pong(void)
{
    mqd_t there = fresh(0), back;
    char text[64];

    check_section("ping-pong");
    mq_unlink(NAME "-back");
    back = mq_open(NAME "-back", O_CREAT | O_RDWR, 0600, &four);
    if (fork() == 0) {
        for (int i = 0; i < ROUNDS; i++)
            if (mq_receive(there, text, 64, NULL) != sizeof(int) || mq_send(back, text, sizeof(int), 0))
                _exit(1);
        _exit(0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        int got = -1;

        mq_send(there, (char *)&i, sizeof(i), 0);
        if (mq_receive(back, text, 64, NULL) == sizeof(int))
            memcpy(&got, text, sizeof(got));
        if (got != i)
            CHECK(false);
    }
    reap(0);
    mq_unlink(NAME);
    mq_unlink(NAME "-back");
}

int main(void)
{
    check_open();
    check_order();
    check_waiting();
    check_notify();
    check_notify_thread();
    check_ping_pong();
    return check_done();
}
