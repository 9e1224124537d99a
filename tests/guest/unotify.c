/* seccomp_unotify(2): calls that another process answers: values, errors, going on, descriptors, ends of either side. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RET(value) BPF_STMT(BPF_RET | BPF_K, value)

/* getppid and getpgid(any) go to the listener, all else is allowed. */
static struct sock_filter code[] = {
    LOAD(nr),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 0, 1),
    RET(SECCOMP_RET_USER_NOTIF),
    RET(SECCOMP_RET_ALLOW),
};
static struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

/* The C library's doesn't expect errors. */
static long sys_getppid(void)
{
    return syscall(SYS_getppid);
}

static long install(unsigned long flags)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void send_fd(int sock, int fd)
{
    char c = 'f', control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec iov = { &c, 1 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);

    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &fd, sizeof(fd));
    sendmsg(sock, &m, 0);
}

static int receive_fd(int sock)
{
    char c, control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = { &c, 1 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    int fd = -1;

    if (recvmsg(sock, &m, 0) == 1 && CMSG_FIRSTHDR(&m))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
    return fd;
}

/* A child that has a filter and does its work; *listener is ours. */
static pid_t start(int (*work)(int sock), unsigned long flags, int *listener, int *sock)
{
    int s[2];
    pid_t pid;

    fflush(stdout);
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    pid = fork();
    if (pid == 0) {
        int fd;

        close(s[0]);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        fd = (int)install(SECCOMP_FILTER_FLAG_NEW_LISTENER | flags);
        if (fd < 0)
            _exit(99);
        send_fd(s[1], fd);
        close(fd);
        _exit(work(s[1]));
    }
    close(s[1]);
    *sock = s[0];
    *listener = receive_fd(s[0]);
    CHECK(*listener >= 0);
    return pid;
}

static void finish(pid_t pid, int expected, int listener, int sock)
{
    int status;

    CHECK_EQUAL(waitpid(pid, &status, 0), pid);
    CHECK_EQUAL(status, expected);
    if (listener >= 0)
        close(listener);
    close(sock);
}

static int receive(int listener, struct seccomp_notif *n)
{
    memset(n, 0, sizeof(*n));
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, n);
}

static int answer(int listener, uint64_t id, int64_t value, int error, uint32_t flags)
{
    struct seccomp_notif_resp r = { id, value, error, flags };

    return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
}

static short ready(int fd)
{
    struct pollfd p = { fd, POLLIN | POLLOUT, 0 };

    return poll(&p, 1, 20) < 0 ? -1 : p.revents;
}

/* --- installing --- */

static void test_install(void)
{
    struct seccomp_notif_sizes sizes = { 0 };
    uint32_t action = SECCOMP_RET_USER_NOTIF;
    int status;

    check_section("installing");
    CHECK_OK(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
    CHECK_OK(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes));
    CHECK(sizes.seccomp_notif == sizeof(struct seccomp_notif) && sizes.seccomp_notif_resp == sizeof(struct seccomp_notif_resp));
    CHECK(sizes.seccomp_data == sizeof(struct seccomp_data));
    CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 1, &sizes), EINVAL);
    CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, 8), EFAULT);
    fflush(stdout);
    if (fork() == 0) {
        int before = check_failures, fd;

        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        CHECK_ERRNO(install(SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC), EINVAL);
        CHECK_ERRNO(install(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV), EINVAL);
        fd = (int)install(SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH);
        CHECK(fd >= 0);
        CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
        CHECK_ERRNO(install(SECCOMP_FILTER_FLAG_NEW_LISTENER), EBUSY);
        CHECK_OK(install(0)); /* which has no listener, and comes first */
        CHECK_ERRNO(sys_getppid(), ENOSYS);
        CHECK_ERRNO(ioctl(fd, 0x1234, 0), EINVAL);
        CHECK_ERRNO(read(fd, &fd, 1), EINVAL);
        fflush(stdout);
        _exit(check_failures != before);
    }
    wait(&status);
    CHECK_EQUAL(status, 0);
}

/* --- answers --- */

static int work_answers(int sock)
{
    (void)sock;
    if (sys_getppid() != 4711)
        return 1;
    if (getpgid(77) != -1 || errno != ENOTTY)
        return 2;
    if (getpgid(0) != getpgrp())
        return 3;
    errno = 0;
    if (sys_getppid() != 4712 || errno)
        return 4;
    return 0;
}

static void test_answers(void)
{
    struct seccomp_notif n;
    int listener, sock;
    pid_t pid = start(work_answers, 0, &listener, &sock);
    uint64_t id, wrong;

    check_section("answers");
    CHECK_OK(receive(listener, &n));
    CHECK(n.pid == (uint32_t)pid && n.flags == 0 && n.data.nr == SYS_getppid && n.data.arch != 0);
    id = n.id;
    wrong = id + 7;
    CHECK_OK(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id));
    CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &wrong), ENOENT);
    CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, 8), EFAULT);
    CHECK_EQUAL(ready(listener), POLLOUT);
    CHECK_ERRNO(answer(listener, id + 7, 0, 0, 0), ENOENT);
    CHECK_ERRNO(answer(listener, id, 0, 0, 2), EINVAL);
    CHECK_ERRNO(answer(listener, id, 1, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), EINVAL);
    CHECK_ERRNO(answer(listener, id, 0, -1, SECCOMP_USER_NOTIF_FLAG_CONTINUE), EINVAL);
    CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, 8), EFAULT);
    CHECK_OK(answer(listener, id, 4711, 0, 0));

    memset(&n, 0, sizeof(n));
    n.flags = 1;
    CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n), EINVAL);
    CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, 8), EFAULT);
    CHECK_OK(receive(listener, &n));
    CHECK(n.id == id + 1 && n.data.nr == SYS_getpgid && n.data.args[0] == 77);
    CHECK_OK(answer(listener, n.id, 0, -ENOTTY, 0));
    CHECK_OK(receive(listener, &n));
    CHECK_OK(answer(listener, n.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE));
    CHECK_OK(receive(listener, &n));
    CHECK_OK(answer(listener, n.id, 4712, 0, 0));
    finish(pid, 0, -1, sock);
    CHECK_EQUAL(ready(listener), POLLHUP);
    close(listener);
}

/* --- descriptors --- */

struct big {
    struct seccomp_notif_addfd add;
    char more[8];
};
#define ADDFD_BIG _IOWR('!', 3, struct big)

static int work_descriptors(int sock)
{
    struct stat a, b;
    int fd;

    fd = (int)sys_getppid(); /* two descriptors were added meanwhile: 30 and this one */
    if (fd < 3 || fd == sock || fstat(30, &a) < 0 || fcntl(30, F_GETFD) != FD_CLOEXEC)
        return 1;
    if (fstat(fd, &b) < 0 || a.st_rdev != b.st_rdev || fcntl(fd, F_GETFD) != 0)
        return 2;
    fd = (int)sys_getppid(); /* the answer is a descriptor */
    if (fd < 3 || fstat(fd, &b) < 0 || a.st_rdev != b.st_rdev)
        return 3;
    return 0;
}

static void test_descriptors(void)
{
    struct seccomp_notif_addfd add = { .srcfd = (uint32_t)open("/dev/zero", O_RDONLY) };
    struct seccomp_notif n;
    struct big big;
    int listener, sock, fd, zero;
    pid_t pid = start(work_descriptors, 0, &listener, &sock);

    check_section("descriptors");
    CHECK_OK(receive(listener, &n));
    add.id = n.id + 9;
    CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add), ENOENT);
    add.id = n.id;
    add.flags = 64;
    CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add), EINVAL);
    add.flags = 0;
    add.newfd = 30;
    CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add), EINVAL);
    add.flags = SECCOMP_ADDFD_FLAG_SETFD;
    add.newfd_flags = O_NONBLOCK;
    CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add), EINVAL);
    add.newfd_flags = O_CLOEXEC;
    add.newfd = 1 << 30;
    CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add), EBADF);
    add.newfd = 30;
    CHECK_EQUAL(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add), 30);
    CHECK_EQUAL(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add), 30);
    memset(&big, 0, sizeof(big));
    big.add = add;
    big.more[3] = 1;
    CHECK_ERRNO(ioctl(listener, ADDFD_BIG, &big), E2BIG);
    big.more[3] = 0;
    CHECK_EQUAL(ioctl(listener, ADDFD_BIG, &big), 30);
    CHECK_ERRNO(ioctl(listener, _IOW('!', 3, char[8]), &big), EINVAL);
    add.flags = add.newfd = add.newfd_flags = 0;
    fd = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
    CHECK(fd >= 3 && fd < 30);
    zero = (int)add.srcfd;
    add.srcfd = 999;
    CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add), EBADF);
    add.srcfd = (uint32_t)zero;
    CHECK_OK(answer(listener, n.id, fd, 0, 0));

    CHECK_OK(receive(listener, &n));
    add.id = n.id;
    add.flags = SECCOMP_ADDFD_FLAG_SEND;
    fd = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
    CHECK(fd >= 3);
    finish(pid, 0, listener, sock);
    close((int)add.srcfd);
}

/* --- interruption --- */

static volatile sig_atomic_t signals;

static void on_signal(int signo)
{
    (void)signo;
    signals++;
}

/* Without SA_RESTART the call ends by EINTR; with it, it is made, and told of, anew. */
static int work_interrupted(int sock)
{
    struct sigaction sa = { .sa_handler = on_signal };
    char c = 'r';

    sigaction(SIGUSR1, &sa, NULL);
    sa.sa_flags = SA_RESTART;
    sigaction(SIGUSR2, &sa, NULL);
    if (write(sock, &c, 1) != 1)
        return 1;
    if (sys_getppid() != -1 || errno != EINTR || signals != 1)
        return 2;
    if (sys_getppid() != 99 || signals != 2)
        return 3;
    return 0;
}

static void test_interrupted(void)
{
    struct seccomp_notif n, again;
    int listener, sock;
    pid_t pid = start(work_interrupted, 0, &listener, &sock);
    char c;

    check_section("interruption");
    CHECK_EQUAL(read(sock, &c, 1), 1);
    CHECK_OK(receive(listener, &n));
    CHECK_OK(kill(pid, SIGUSR1));
    CHECK_OK(receive(listener, &again)); /* the next call */
    CHECK(again.id != n.id);
    CHECK_ERRNO(answer(listener, n.id, 1, 0, 0), ENOENT);
    CHECK_OK(kill(pid, SIGUSR2));
    CHECK_OK(receive(listener, &n));
    CHECK(again.id != n.id);
    CHECK_OK(answer(listener, n.id, 99, 0, 0));
    finish(pid, 0, listener, sock);
}

/* With WAIT_KILLABLE_RECV a call that the listener has is interrupted by nothing but SIGKILL. */
static int work_killable(int sock)
{
    struct sigaction sa = { .sa_handler = on_signal };
    char c = 'r';

    sigaction(SIGUSR1, &sa, NULL);
    if (write(sock, &c, 1) != 1)
        return 1;
    if (sys_getppid() != 7 || signals != 1)
        return 2;
    sys_getppid();
    return 3;
}

static char state_of(pid_t pid)
{
    char path[32], state = '?';

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    for (int i = 0; i < 1000 && state != 'D'; i++) {
        FILE *f = fopen(path, "r");

        usleep(1000);
        if (!f || fscanf(f, "%*d %*s %c", &state) != 1)
            state = '?';
        if (f)
            fclose(f);
    }
    return state;
}

static void test_killable(void)
{
    struct seccomp_notif n;
    int listener, sock;
    pid_t pid = start(work_killable, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &listener, &sock);
    char c;

    check_section("killable");
    CHECK_EQUAL(read(sock, &c, 1), 1);
    CHECK_OK(receive(listener, &n));
    CHECK_OK(kill(pid, SIGUSR1));
    CHECK_EQUAL(state_of(pid), 'D');
    CHECK_EQUAL(ready(listener), POLLOUT);
    CHECK_OK(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id));
    CHECK_OK(answer(listener, n.id, 7, 0, 0));
    CHECK_OK(receive(listener, &n));
    CHECK_OK(kill(pid, SIGTERM)); /* as deadly as SIGKILL where nobody handles it */
    finish(pid, SIGTERM, -1, sock);
    CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id), ENOENT);
    close(listener);
}

/* --- the listener goes --- */

static int work_left(int sock)
{
    char c = 'r';

    if (write(sock, &c, 1) != 1)
        return 1;
    if (sys_getppid() != -1 || errno != ENOSYS)
        return 2;
    return sys_getppid() != -1 || errno != ENOSYS;
}

static void test_left(void)
{
    struct seccomp_notif n;
    int listener, sock;
    pid_t pid = start(work_left, 0, &listener, &sock);
    char c;

    check_section("the listener goes");
    CHECK_EQUAL(read(sock, &c, 1), 1);
    CHECK_OK(receive(listener, &n));
    close(listener);
    finish(pid, 0, -1, sock);
}

/* --- many at once: each gets its own answer --- */

static int work_many(int sock)
{
    int failures = 0, status;

    (void)sock;
    for (int i = 0; i < 8; i++)
        if (fork() == 0) {
            for (int k = 0; k < 50; k++)
                if (getpgid(i * 1000 + k) != i * 1000 + k + 1)
                    _exit(1);
            _exit(0);
        }
    while (wait(&status) > 0)
        failures += status != 0;
    return failures;
}

static void test_many(void)
{
    struct seccomp_notif n[3];
    int listener, sock, handled = 0;
    pid_t pid = start(work_many, 0, &listener, &sock);

    check_section("many");
    while (handled < 400) { /* up to three are held, and answered the other way round */
        int held = 0;

        do {
            if (receive(listener, &n[held]) == 0)
                held++;
        } while (held < 3 && (ready(listener) & POLLIN));
        handled += held;
        while (held-- > 0)
            answer(listener, n[held].id, (int64_t)n[held].data.args[0] + 1, 0, 0);
    }
    finish(pid, 0, listener, sock);
}

int main(void)
{
    test_install();
    test_answers();
    test_descriptors();
    test_interrupted();
    test_killable();
    test_left();
    test_many();
    return check_done();
}
