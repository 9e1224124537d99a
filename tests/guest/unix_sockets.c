/* AF_UNIX (unix(7), socket(7), socketpair(2), cmsg(3)): names, connections, messages, descriptors, credentials, readiness. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <stddef.h>

#include "check.h"

static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };

static socklen_t make_addr(struct sockaddr_un *a, const char *name, bool abstract)
{
    size_t n = strlen(name);

    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    memcpy(a->sun_path + abstract, name, n);
    return offsetof(struct sockaddr_un, sun_path) + n + 1;
}

static int bound(int type, const char *name, bool abstract)
{
    struct sockaddr_un a;
    socklen_t len = make_addr(&a, name, abstract);
    int fd = socket(AF_UNIX, type, 0);

    CHECK_OK(bind(fd, (void *)&a, len));
    return fd;
}

static int connect_to(int fd, const char *name, bool abstract)
{
    struct sockaddr_un a;
    socklen_t len = make_addr(&a, name, abstract);

    return connect(fd, (void *)&a, len);
}

static short ready(int fd)
{
    struct pollfd p = { fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0 };

    poll(&p, 1, 0);
    return p.revents;
}

static int sigpipes;
static char *bad; /* nothing may touch this page */

static void on_sigpipe(int sig)
{
    sigpipes++;
}

static void test_create(void)
{
    int fds[2];
    struct stat st;
    char link[64], path[64];
    ssize_t n;

    check_section("create");
    CHECK_ERRNO(socket(AF_UNIX, 0, 0), ESOCKTNOSUPPORT);
    CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 5), EPROTONOSUPPORT);
    CHECK_ERRNO(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM | 0x100000, 0), EINVAL);
    CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)bad), EFAULT);
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
    CHECK_EQUAL(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(fcntl(fds[0], F_GETFL), O_RDWR | O_NONBLOCK);
    CHECK_OK(fstat(fds[0], &st));
    CHECK(S_ISSOCK(st.st_mode));
    CHECK_EQUAL(st.st_mode & 0777, 0777);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
    n = readlink(path, link, sizeof(link) - 1);
    CHECK(n > 8 && memcmp(link, "socket:[", 8) == 0);
    CHECK_ERRNO(open(path, O_RDWR), ENXIO);
    CHECK_ERRNO(lseek(fds[0], 0, SEEK_SET), ESPIPE);
    CHECK_ERRNO(pread(fds[0], link, 1, 0), ESPIPE);
    CHECK_ERRNO(ftruncate(fds[0], 0), EINVAL);
    CHECK_ERRNO(fsync(fds[0]), EINVAL);
    CHECK_ERRNO(bind(0, NULL, 0), ENOTSOCK);
    CHECK_ERRNO(bind(-1, NULL, 0), EBADF);
    CHECK_ERRNO(listen(0, 0), ENOTSOCK);
    CHECK_ERRNO(read(fds[0], link, 1), EAGAIN);
    CHECK_EQUAL(read(fds[0], link, 0), 0);
    close(fds[0]);
    close(fds[1]);
}

static void test_names(void)
{
    struct sockaddr_un a, b;
    socklen_t len;
    struct stat st;
    int fd, other;

    check_section("names");
    unlink("/tmp/u1");
    umask(027);
    fd = bound(SOCK_STREAM, "/tmp/u1", false);
    umask(022);
    CHECK_OK(stat("/tmp/u1", &st));
    CHECK_EQUAL(st.st_mode, S_IFSOCK | 0750);
    len = sizeof(b);
    CHECK_OK(getsockname(fd, (void *)&b, &len));
    CHECK_EQUAL(len, offsetof(struct sockaddr_un, sun_path) + 8);
    CHECK(strcmp(b.sun_path, "/tmp/u1") == 0);
    len = make_addr(&a, "/tmp/u2", false);
    CHECK_ERRNO(bind(fd, (void *)&a, len), EINVAL);
    unlink("/tmp/u2");
    other = socket(AF_UNIX, SOCK_STREAM, 0);
    len = make_addr(&a, "/tmp/u1", false);
    CHECK_ERRNO(bind(other, (void *)&a, len), EADDRINUSE);
    CHECK_ERRNO(connect(other, (void *)&a, len), ECONNREFUSED);
    CHECK_ERRNO(bind(other, (void *)&a, 1), EINVAL);
    CHECK_ERRNO(bind(other, (void *)&a, 200), EINVAL);
    CHECK_ERRNO(bind(other, (void *)&a, -1), EINVAL);
    CHECK_ERRNO(bind(other, (void *)bad, 20), EFAULT);
    len = make_addr(&a, "/tmp/none/x", false);
    CHECK_ERRNO(bind(other, (void *)&a, len), ENOENT);
    CHECK_ERRNO(connect(other, (void *)&a, len), ENOENT);
    len = make_addr(&a, "/tmp", false);
    CHECK_ERRNO(connect(other, (void *)&a, len), ECONNREFUSED);
    a.sun_family = AF_INET;
    CHECK_ERRNO(bind(other, (void *)&a, len), EINVAL);
    CHECK_ERRNO(open("/tmp/u1", O_RDWR), ENXIO);
    CHECK_OK(listen(fd, 1));
    CHECK_OK(connect_to(other, "/tmp/u1", false));
    close(other);
    other = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_ERRNO(connect_to(other, "/tmp/u1", false), EPROTOTYPE);
    close(other);
    close(fd);
    other = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERRNO(connect_to(other, "/tmp/u1", false), ECONNREFUSED);
    CHECK_OK(unlink("/tmp/u1"));
    CHECK_ERRNO(connect_to(other, "/tmp/u1", false), ENOENT);
    len = sizeof(b);
    CHECK_OK(getsockname(other, (void *)&b, &len));
    CHECK_EQUAL(len, 2);
    CHECK_ERRNO(getpeername(other, (void *)&b, &len), ENOTCONN);

    /* autobind: "\0" and five hexadecimal digits */
    a.sun_family = AF_UNIX;
    CHECK_OK(bind(other, (void *)&a, 2));
    memset(&b, 0, sizeof(b));
    len = sizeof(b);
    CHECK_OK(getsockname(other, (void *)&b, &len));
    CHECK_EQUAL(len, 8);
    CHECK(b.sun_path[0] == 0 && strspn(b.sun_path + 1, "0123456789abcdef") == 5);
    CHECK_OK(bind(other, (void *)&a, 2));
    close(other);

    fd = bound(SOCK_STREAM, "abs\0x", true);
    other = socket(AF_UNIX, SOCK_STREAM, 0);
    len = make_addr(&a, "abs", true);
    CHECK_ERRNO(bind(other, (void *)&a, len), EADDRINUSE);
    CHECK_OK(bind(other, (void *)&a, len + 1)); /* another name: bytes count */
    close(other);
    other = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_OK(bind(other, (void *)&a, len)); /* and so does the type */
    close(other);
    close(fd);
    other = bound(SOCK_STREAM, "abs", true);
    close(other);
    /* a cut address tells its length */
    fd = bound(SOCK_STREAM, "/tmp/u3", false);
    len = 4;
    memset(&b, 'x', sizeof(b));
    CHECK_OK(getsockname(fd, (void *)&b, &len));
    CHECK_EQUAL(len, 10);
    CHECK(memcmp(b.sun_path, "/txx", 4) == 0);
    len = -1;
    CHECK_ERRNO(getsockname(fd, (void *)&b, &len), EINVAL);
    unlink("/tmp/u3");
    close(fd);
}

static void test_permission(void)
{
    int fd = bound(SOCK_STREAM, "/tmp/u4", false), status;
    pid_t pid;

    check_section("permission");
    CHECK_OK(listen(fd, 5));
    CHECK_OK(chmod("/tmp/u4", 0600));
    pid = fork();
    if (pid == 0) {
        int s = socket(AF_UNIX, SOCK_STREAM, 0);

        if (getuid() == 0 && setuid(1000) < 0)
            _exit(0);
        _exit(connect_to(s, "/tmp/u4", false) < 0 ? errno : 0);
    }
    waitpid(pid, &status, 0);
    CHECK_EQUAL(WEXITSTATUS(status), getuid() == 0 ? EACCES : 0);
    unlink("/tmp/u4");
    close(fd);
}

static void test_connections(int type)
{
    int listener = bound(type, "lst", true), c[8], s, err;
    struct sockaddr_un a;
    socklen_t len = sizeof(err);
    char buf[16];

    CHECK_EQUAL(ready(listener), POLLOUT | POLLHUP);
    CHECK_ERRNO(accept(listener, NULL, NULL), EINVAL);
    c[0] = socket(AF_UNIX, type, 0);
    CHECK_ERRNO(connect_to(c[0], "lst", true), ECONNREFUSED);
    CHECK_ERRNO(listen(c[0], 1), EINVAL);
    CHECK_OK(listen(listener, 1));
    CHECK_EQUAL(ready(listener), 0);
    CHECK_OK(getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &err, &len));
    CHECK_EQUAL(err, 1);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    CHECK_ERRNO(accept(listener, NULL, NULL), EAGAIN);
    for (int i = 1; i < 4; i++) {
        c[i] = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
        err = connect_to(c[i], "lst", true) < 0 ? errno : 0;
        CHECK_EQUAL(err, i < 3 ? 0 : EAGAIN); /* backlog 1 takes two */
    }
    CHECK_EQUAL(ready(listener), POLLIN);
    CHECK_ERRNO(connect_to(c[1], "lst", true), EAGAIN);
    CHECK_EQUAL(write(c[1], "early", 5), 5);
    len = sizeof(a);
    s = accept4(listener, (void *)&a, &len, SOCK_CLOEXEC);
    CHECK_OK(s);
    CHECK_EQUAL(len, 2);
    CHECK_EQUAL(fcntl(s, F_GETFL), O_RDWR);
    CHECK_ERRNO(connect_to(c[1], "lst", true), EISCONN);
    CHECK_EQUAL(read(s, buf, sizeof(buf)), 5);
    len = sizeof(a);
    CHECK_OK(getpeername(c[1], (void *)&a, &len));
    CHECK_EQUAL(len, 6);
    len = sizeof(a);
    CHECK_OK(getsockname(s, (void *)&a, &len));
    CHECK_EQUAL(len, 6);
    CHECK_ERRNO(accept(s, NULL, NULL), EINVAL);
    CHECK_EQUAL(ready(s), POLLOUT);
    /* the listener goes: whoever wasn't accepted is reset */
    close(listener);
    CHECK_EQUAL(ready(c[2]), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
    CHECK_ERRNO(read(c[2], buf, 1), ECONNRESET);
    CHECK_EQUAL(read(c[2], buf, 1), 0);
    /* unread data resets, none doesn't */
    CHECK_EQUAL(write(s, "x", 1), 1);
    CHECK_EQUAL(write(c[1], "y", 1), 1);
    close(s);
    CHECK_ERRNO(write(c[1], "z", 1), type == SOCK_STREAM ? EPIPE : ECONNRESET);
    for (int i = 0; i < 4; i++)
        close(c[i]);
}

static void test_ends(int type)
{
    int p[2], before = sigpipes;
    char buf[8];

    CHECK_OK(socketpair(AF_UNIX, type, 0, p));
    CHECK_EQUAL(ready(p[0]), POLLOUT);
    CHECK_ERRNO(shutdown(p[0], 3), EINVAL);
    CHECK_EQUAL(write(p[0], "abc", 3), 3);
    CHECK_EQUAL(ready(p[1]), POLLIN | POLLOUT);
    CHECK_OK(shutdown(p[0], SHUT_WR));
    CHECK_EQUAL(ready(p[0]), POLLOUT);
    CHECK_EQUAL(ready(p[1]), type == SOCK_DGRAM ? POLLIN | POLLOUT : POLLIN | POLLOUT | POLLRDHUP);
    CHECK_EQUAL(read(p[1], buf, 8), 3);
    if (type != SOCK_DGRAM)
        CHECK_EQUAL(read(p[1], buf, 8), 0);
    CHECK_ERRNO(write(p[0], "d", 1), EPIPE);
    CHECK_EQUAL(sigpipes - before, type == SOCK_STREAM);
    CHECK_ERRNO(send(p[0], "d", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQUAL(write(p[1], "back", 4), 4);
    CHECK_EQUAL(read(p[0], buf, 8), 4);
    CHECK_OK(shutdown(p[0], SHUT_RD));
    CHECK_EQUAL(ready(p[0]), POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
    CHECK_ERRNO(send(p[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQUAL(recv(p[0], buf, 8, 0), 0);
    close(p[0]);
    if (type == SOCK_DGRAM) {
        CHECK_ERRNO(send(p[1], "x", 1, MSG_NOSIGNAL), ECONNREFUSED);
        CHECK_ERRNO(send(p[1], "x", 1, MSG_NOSIGNAL), ENOTCONN);
    } else {
        CHECK_EQUAL(ready(p[1]), POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
        CHECK_EQUAL(read(p[1], buf, 8), 0);
    }
    close(p[1]);
}

static void test_stream_io(void)
{
    int p[2], n, count = 0;
    char buf[64];
    struct iovec v[2] = { { buf, 3 }, { buf + 3, 4 } };

    check_section("stream");
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p));
    CHECK_EQUAL(writev(p[0], (struct iovec[]){ { "hel", 3 }, { "lo w", 4 } }, 2), 7);
    CHECK_EQUAL(write(p[0], "orld", 4), 4);
    CHECK_OK(ioctl(p[1], FIONREAD, &n));
    CHECK_EQUAL(n, 11);
    CHECK_EQUAL(recv(p[1], buf, 5, MSG_PEEK), 5);
    CHECK_EQUAL(recv(p[1], buf, 64, MSG_PEEK), 11);
    CHECK_EQUAL(recv(p[1], buf, 4, MSG_WAITALL), 4);
    CHECK_EQUAL(readv(p[1], v, 2), 7);
    CHECK(memcmp(buf, "o world", 7) == 0);
    CHECK_ERRNO(recv(p[1], buf, 1, MSG_DONTWAIT), EAGAIN);
    CHECK_OK(fcntl(p[1], F_SETFL, O_NONBLOCK));
    CHECK_ERRNO(read(p[1], bad, 1), EAGAIN);
    CHECK_EQUAL(write(p[0], "ab", 2), 2);
    CHECK_ERRNO(read(p[1], bad, 1), EFAULT);
    CHECK_EQUAL(read(p[1], buf, 9), 2);
    CHECK_ERRNO(write(p[0], bad, 1), EFAULT);
    CHECK_ERRNO(sendto(p[0], "a", 1, 0, (void *)buf, 3), EISCONN);
    CHECK_EQUAL(send(p[0], "", 0, 0), 0);
    CHECK_EQUAL(ready(p[1]), POLLOUT);
    /* full: one byte a packet, as Linux counts them */
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    while (write(p[0], "x", 1) == 1)
        count++;
    CHECK_EQUAL(count, 278);
    CHECK_EQUAL(ready(p[0]), 0);
    n = 3;
    CHECK_OK(ioctl(p[0], TIOCOUTQ, &n));
    CHECK_EQUAL(n, 278 * 768);
    CHECK_EQUAL(read(p[1], buf, 64), 64);
    CHECK_EQUAL(ready(p[0]), 0); /* writable again when three quarters are free */
    CHECK_EQUAL(write(p[0], "x", 1), 1);
    while (read(p[1], buf, 64) > 0)
        ;
    CHECK_EQUAL(ready(p[0]), POLLOUT);
    close(p[0]);
    close(p[1]);
}

static void test_packets(int type)
{
    int p[2], n;
    char buf[64];
    struct iovec v = { buf, 3 };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
    static char big[300000];

    CHECK_OK(socketpair(AF_UNIX, type, 0, p));
    CHECK_EQUAL(write(p[0], "first", 5), 5);
    CHECK_EQUAL(write(p[0], "", 0), 0);
    CHECK_EQUAL(write(p[0], "third", 5), 5);
    CHECK_OK(ioctl(p[1], FIONREAD, &n));
    CHECK_EQUAL(n, type == SOCK_DGRAM ? 5 : 10);
    CHECK_EQUAL(recvmsg(p[1], &m, MSG_PEEK), 3);
    CHECK_EQUAL(m.msg_flags, MSG_TRUNC);
    CHECK_EQUAL(recv(p[1], buf, 3, MSG_TRUNC), 5);
    CHECK_EQUAL(recv(p[1], buf, 3, 0), 0);
    v.iov_len = 64;
    CHECK_EQUAL(recvmsg(p[1], &m, 0), 5);
    CHECK_EQUAL(m.msg_flags, 0);
    CHECK_ERRNO(recv(p[1], buf, 3, MSG_DONTWAIT), EAGAIN);
    CHECK_ERRNO(send(p[0], big, sizeof(big), 0), EMSGSIZE);
    CHECK_EQUAL(send(p[0], big, 100000, 0), 100000);
    CHECK_EQUAL(recv(p[1], big, sizeof(big), 0), 100000);
    close(p[0]);
    close(p[1]);
}

static void test_dgram_addresses(void)
{
    int a = bound(SOCK_DGRAM, "da", true), b = bound(SOCK_DGRAM, "db", true), c = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct sockaddr_un to, from;
    socklen_t len = make_addr(&to, "db", true), flen = sizeof(from);
    char buf[8];
    int count = 0;

    check_section("datagrams with addresses");
    CHECK_ERRNO(send(a, "x", 1, 0), ENOTCONN);
    CHECK_EQUAL(sendto(a, "x", 1, 0, (void *)&to, len), 1);
    CHECK_EQUAL(recvfrom(b, buf, 8, 0, (void *)&from, &flen), 1);
    CHECK_EQUAL(flen, 5);
    CHECK(memcmp(from.sun_path, "\0da", 3) == 0);
    CHECK_EQUAL(sendto(c, "y", 1, 0, (void *)&to, len), 1);
    flen = sizeof(from);
    CHECK_EQUAL(recvfrom(b, buf, 8, 0, (void *)&from, &flen), 1);
    CHECK_EQUAL(flen, 0);
    CHECK_OK(connect(a, (void *)&to, len));
    CHECK_OK(connect_to(b, "da", true));
    CHECK_ERRNO(sendto(c, "z", 1, 0, (void *)&to, len), EPERM);
    CHECK_ERRNO(connect(c, (void *)&to, len), EPERM);
    CHECK_EQUAL(send(b, "q", 1, 0), 1);
    CHECK_EQUAL(recv(a, buf, 8, 0), 1);
    from.sun_family = AF_UNSPEC;
    CHECK_EQUAL(send(a, "lost", 4, 0), 4); /* thrown away, and a hears of that */
    CHECK_OK(connect(b, (void *)&from, sizeof(from)));
    CHECK_ERRNO(recv(b, buf, 8, MSG_DONTWAIT), EAGAIN);
    CHECK_ERRNO(recv(a, buf, 8, MSG_DONTWAIT), ECONNRESET);
    CHECK_ERRNO(recv(a, buf, 8, MSG_DONTWAIT), EAGAIN);
    /* a full queue */
    fcntl(c, F_SETFL, O_NONBLOCK);
    CHECK_OK(connect(c, (void *)&to, len));
    while (send(c, "f", 1, 0) == 1)
        count++;
    CHECK_EQUAL(errno, EAGAIN);
    CHECK(count > 1);
    CHECK_EQUAL(ready(c), 0);
    CHECK_EQUAL(recv(b, buf, 8, 0), 1);
    CHECK_EQUAL(ready(c), POLLOUT);
    CHECK_ERRNO(listen(b, 1), EOPNOTSUPP);
    CHECK_ERRNO(accept(b, NULL, NULL), EOPNOTSUPP);
    close(b);
    CHECK_ERRNO(send(c, "g", 1, 0), ECONNREFUSED);
    close(a);
    close(c);
}

/* --- ancillary data --- */

static ssize_t send_fds(int s, const int *fds, int n, const char *text)
{
    char control[CMSG_SPACE(300 * sizeof(int))] = { 0 };
    struct iovec v = { (void *)text, strlen(text) };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    return sendmsg(s, &m, 0);
}

static ssize_t recv_fds(int s, int *fds, int *n, size_t room, int flags, int *out_flags, struct ucred *cred)
{
    char control[512], buf[64];
    struct iovec v = { buf, sizeof(buf) };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room };
    ssize_t ret = recvmsg(s, &m, flags);

    *n = 0;
    *out_flags = m.msg_flags;
    for (struct cmsghdr *c = ret < 0 ? NULL : CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_type == SCM_RIGHTS) {
            *n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(fds, CMSG_DATA(c), *n * sizeof(int));
        } else if (c->cmsg_type == SCM_CREDENTIALS && cred) {
            memcpy(cred, CMSG_DATA(c), sizeof(*cred));
        }
    }
    return ret;
}

static int count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 200; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_rights(int type)
{
    int p[2], pipes[2], got[300], n, flags, before, many[300];
    char buf[8];

    CHECK_OK(socketpair(AF_UNIX, type, 0, p));
    CHECK_OK(pipe(pipes));
    CHECK_EQUAL(send_fds(p[0], pipes, 2, "fds"), 3);
    close(pipes[0]);
    CHECK_EQUAL(recv_fds(p[1], got, &n, 512, MSG_PEEK, &flags, NULL), 3); /* copies */
    CHECK_EQUAL(n, 2);
    close(got[0]);
    close(got[1]);
    CHECK_EQUAL(recv_fds(p[1], got, &n, 512, MSG_CMSG_CLOEXEC, &flags, NULL), 3);
    CHECK_EQUAL(n, 2);
    CHECK_EQUAL(flags, MSG_CMSG_CLOEXEC);
    CHECK_EQUAL(fcntl(got[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(write(pipes[1], "hi", 2), 2);
    CHECK_EQUAL(read(got[0], buf, 8), 2);
    close(got[0]);
    close(got[1]);
    /* no room: cut, and what doesn't fit is closed */
    before = count_fds();
    CHECK_EQUAL(send_fds(p[0], (int[]){ p[0], p[1] }, 2, "fds"), 3);
    CHECK_EQUAL(recv_fds(p[1], got, &n, CMSG_LEN(sizeof(int)), 0, &flags, NULL), 3);
    CHECK_EQUAL(n, 1);
    CHECK_EQUAL(flags, MSG_CTRUNC);
    close(got[0]);
    CHECK_EQUAL(send_fds(p[0], (int[]){ p[0] }, 1, "fds"), 3);
    CHECK_EQUAL(read(p[1], buf, 8), 3);
    CHECK_EQUAL(count_fds(), before);
    CHECK_ERRNO(send_fds(p[0], (int[]){ 999 }, 1, "x"), EBADF);
    for (int i = 0; i < 300; i++)
        many[i] = p[0];
    CHECK_ERRNO(send_fds(p[0], many, 254, "x"), EINVAL);
    CHECK_EQUAL(send_fds(p[0], many, 253, "x"), 1);
    CHECK_EQUAL(read(p[1], buf, 8), 1);
    if (type == SOCK_STREAM) { /* a message with descriptors isn't joined with what follows */
        CHECK_EQUAL(send_fds(p[0], pipes + 1, 1, "one"), 3);
        CHECK_EQUAL(write(p[0], "two", 3), 3);
        CHECK_EQUAL(recv_fds(p[1], got, &n, 512, 0, &flags, NULL), 3);
        close(got[0]);
        CHECK_EQUAL(read(p[1], buf, 8), 3);
    }
    close(pipes[1]);
    close(p[0]);
    close(p[1]);
}

/* Sockets that hold each other: nobody can reach the pipe any more, so its reader must see the end. */
static void test_cycle(void)
{
    int a[2], b[2], pipes[2];
    char c;
    struct pollfd pfd;

    check_section("cycle");
    CHECK_OK(pipe(pipes));
    CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, a));
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, b));
    CHECK_OK(send_fds(a[0], (int[]){ a[1], pipes[1], b[0] }, 3, "x"));
    CHECK_OK(send_fds(b[1], (int[]){ a[1], b[0] }, 2, "x"));
    close(pipes[1]);
    close(a[0]);
    close(a[1]);
    close(b[0]);
    close(b[1]);
    /* Linux collects in the background; another socket that goes sets it off */
    CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, a));
    CHECK_OK(send_fds(a[0], a, 1, "x"));
    close(a[0]);
    close(a[1]);
    pfd = (struct pollfd){ pipes[0], POLLIN, 0 };
    CHECK_EQUAL(poll(&pfd, 1, 5000), 1);
    CHECK_EQUAL(read(pipes[0], &c, 1), 0);
    close(pipes[0]);
}

static void test_credentials(void)
{
    int p[2], n, flags, on = 1, fds[4];
    struct ucred cred = { 1, 2, 3 };
    socklen_t len = sizeof(cred);
    char control[CMSG_SPACE(sizeof(struct ucred))];
    struct iovec v = { "c", 1 };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    check_section("credentials");
    n = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_OK(getsockopt(n, SOL_SOCKET, SO_PEERCRED, &cred, &len));
    CHECK(cred.pid == 0 && cred.uid == (uid_t)-1 && cred.gid == (gid_t)-1);
    close(n);
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p));
    CHECK_OK(getsockopt(p[0], SOL_SOCKET, SO_PEERCRED, &cred, &len));
    CHECK(cred.pid == getpid() && cred.uid == geteuid() && cred.gid == getegid());
    CHECK_EQUAL(write(p[0], "a", 1), 1);
    CHECK_OK(setsockopt(p[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
    CHECK_EQUAL(write(p[0], "b", 1), 1);
    /* the first was sent before anybody asked; they aren't joined */
    CHECK_EQUAL(recv_fds(p[1], fds, &n, 512, 0, &flags, &cred), 1);
    CHECK(cred.pid == 0 && cred.uid == 65534);
    CHECK_EQUAL(recv_fds(p[1], fds, &n, 512, 0, &flags, &cred), 1);
    CHECK(cred.pid == getpid() && cred.uid == getuid());
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_CREDENTIALS;
    c->cmsg_len = CMSG_LEN(sizeof(cred));
    cred = (struct ucred){ getpid(), getuid(), getgid() };
    memcpy(CMSG_DATA(c), &cred, sizeof(cred));
    CHECK_EQUAL(sendmsg(p[0], &m, 0), 1);
    CHECK_EQUAL(recv_fds(p[1], fds, &n, 512, 0, &flags, &cred), 1);
    CHECK(cred.pid == getpid());
    c->cmsg_len = CMSG_LEN(sizeof(cred)) - 1;
    CHECK_ERRNO(sendmsg(p[0], &m, 0), EINVAL);
    c->cmsg_len = 3;
    CHECK_ERRNO(sendmsg(p[0], &m, 0), EINVAL);
    c->cmsg_len = CMSG_LEN(sizeof(cred));
    c->cmsg_type = 77;
    CHECK_ERRNO(sendmsg(p[0], &m, 0), EINVAL);
    CHECK_EQUAL(write(p[0], "d", 1), 1);
    CHECK_EQUAL(recv_fds(p[1], fds, &n, 0, 0, &flags, &cred), 1);
    CHECK_EQUAL(flags, MSG_CTRUNC);
    close(p[0]);
    close(p[1]);
}

/* --- options, timeouts --- */

static int get_int(int fd, int name)
{
    int v = -99;
    socklen_t len = sizeof(v);

    return getsockopt(fd, SOL_SOCKET, name, &v, &len) < 0 ? -errno : v;
}

static int set_int(int fd, int name, int v)
{
    return setsockopt(fd, SOL_SOCKET, name, &v, sizeof(v)) < 0 ? -errno : 0;
}

static void test_options(void)
{
    int p[2];
    struct timeval tv = { 0, 30000 }, back;
    struct linger l = { 1, 5 };
    socklen_t len;
    char buf[8];
    struct timespec t0, t1;

    check_section("options");
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p));
    CHECK_EQUAL(get_int(p[0], SO_TYPE), SOCK_STREAM);
    CHECK_EQUAL(get_int(p[0], SO_DOMAIN), AF_UNIX);
    CHECK_EQUAL(get_int(p[0], SO_PROTOCOL), 0);
    CHECK_EQUAL(get_int(p[0], SO_ERROR), 0);
    CHECK_EQUAL(get_int(p[0], SO_SNDBUF), 212992);
    CHECK_EQUAL(get_int(p[0], SO_RCVLOWAT), 1);
    CHECK_EQUAL(get_int(p[0], SO_SNDLOWAT), 1);
    CHECK_EQUAL(set_int(p[0], SO_SNDBUF, 1), 0);
    CHECK_EQUAL(get_int(p[0], SO_SNDBUF), 4608);
    CHECK_EQUAL(set_int(p[0], SO_SNDBUF, 10000), 0);
    CHECK_EQUAL(get_int(p[0], SO_SNDBUF), 20000);
    CHECK_EQUAL(set_int(p[0], SO_RCVBUF, 1), 0);
    CHECK_EQUAL(get_int(p[0], SO_RCVBUF), 2304);
    CHECK_EQUAL(set_int(p[0], SO_TYPE, 1), -ENOPROTOOPT);
    CHECK_EQUAL(set_int(p[0], SO_REUSEADDR, 5), 0);
    CHECK_EQUAL(get_int(p[0], SO_REUSEADDR), 1);
    CHECK_EQUAL(set_int(p[0], SO_KEEPALIVE, 1), 0);
    CHECK_EQUAL(get_int(p[0], 9999), -ENOPROTOOPT);
    CHECK_EQUAL(set_int(p[0], 9999, 1), -ENOPROTOOPT);
    CHECK_ERRNO(setsockopt(p[0], SOL_SOCKET, SO_KEEPALIVE, &len, 3), EINVAL);
    CHECK_ERRNO(setsockopt(p[0], SOL_SOCKET, SO_KEEPALIVE, &len, -1), EINVAL);
    CHECK_ERRNO(setsockopt(p[0], SOL_SOCKET, SO_KEEPALIVE, (void *)bad, 4), EFAULT);
    CHECK_ERRNO(setsockopt(p[0], 6, 1, &len, 4), EOPNOTSUPP);
    CHECK_OK(setsockopt(p[0], SOL_SOCKET, SO_LINGER, &l, sizeof(l)));
    len = sizeof(l);
    CHECK_OK(getsockopt(p[0], SOL_SOCKET, SO_LINGER, &l, &len));
    CHECK(l.l_onoff == 1 && l.l_linger == 5 && len == sizeof(l));
    CHECK_OK(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    len = sizeof(back);
    CHECK_OK(getsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &back, &len));
    CHECK(back.tv_sec == 0 && back.tv_usec >= 28000 && back.tv_usec <= 32000);
    clock_gettime(CLOCK_MONOTONIC, &t0);
    CHECK_ERRNO(read(p[0], buf, 8), EAGAIN);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    CHECK((t1.tv_sec - t0.tv_sec) * 1000000000l + t1.tv_nsec - t0.tv_nsec > 25000000);
    tv.tv_usec = 1000000;
    CHECK_ERRNO(setsockopt(p[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), EDOM);
    tv.tv_usec = 20000;
    CHECK_OK(setsockopt(p[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
    for (int i = 0; i < 1000 && write(p[0], buf, 8) > 0; i++)
        ;
    CHECK_EQUAL(errno, EAGAIN);
    close(p[0]);
    close(p[1]);
}

/* --- waking --- */

static void *reader(void *arg)
{
    char buf[16];
    long n = recv(*(int *)arg, buf, 10, MSG_WAITALL);

    return (void *)n;
}

static void test_blocking(void)
{
    int p[2];
    pthread_t t;
    void *n;
    struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLET }, out;
    int ep = epoll_create1(0);
    char buf[70000] = { 0 };

    check_section("blocking and epoll");
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p));
    pthread_create(&t, NULL, reader, &p[1]);
    usleep(5000);
    CHECK_EQUAL(write(p[0], "12345", 5), 5);
    usleep(5000);
    CHECK_EQUAL(write(p[0], "67890", 5), 5);
    pthread_join(t, &n);
    CHECK_EQUAL((long)n, 10);
    pthread_create(&t, NULL, reader, &p[1]);
    usleep(5000);
    CHECK_EQUAL(write(p[0], "123", 3), 3);
    CHECK_OK(shutdown(p[0], SHUT_WR));
    pthread_join(t, &n);
    CHECK_EQUAL((long)n, 3);
    close(p[0]);
    close(p[1]);

    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p));
    CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], &e));
    CHECK_EQUAL(epoll_wait(ep, &out, 1, 0), 1);
    CHECK_EQUAL(out.events, EPOLLOUT);
    CHECK_EQUAL(epoll_wait(ep, &out, 1, 0), 0);
    CHECK_EQUAL(write(p[0], "a", 1), 1);
    CHECK_EQUAL(epoll_wait(ep, &out, 1, 0), 1);
    CHECK_EQUAL(out.events, EPOLLIN | EPOLLOUT);
    CHECK_EQUAL(epoll_wait(ep, &out, 1, 0), 0);
    CHECK_EQUAL(write(p[0], "b", 1), 1); /* each arrival is an edge */
    CHECK_EQUAL(epoll_wait(ep, &out, 1, 0), 1);
    while (write(p[1], buf, sizeof(buf)) > 0)
        ;
    CHECK_EQUAL(epoll_wait(ep, &out, 1, 0), 0);
    while (read(p[0], buf, sizeof(buf)) > 0)
        ;
    CHECK_EQUAL(epoll_wait(ep, &out, 1, 0), 1);
    CHECK_EQUAL(out.events, EPOLLIN | EPOLLOUT);
    close(p[0]);
    CHECK_EQUAL(epoll_wait(ep, &out, 1, 0), 1);
    CHECK_EQUAL(out.events, EPOLLIN | EPOLLOUT | EPOLLHUP);
    close(p[1]);
    close(ep);
}

/* A server and clients in processes of their own; blocking connects beyond the backlog. */
static void test_processes(void)
{
    int listener = bound(SOCK_STREAM, "/tmp/u9", false), total = 0, status;
    char buf[16];

    check_section("processes");
    CHECK_OK(listen(listener, 0));
    for (int i = 0; i < 5; i++) {
        if (fork() == 0) {
            int s = socket(AF_UNIX, SOCK_STREAM, 0);

            if (connect_to(s, "/tmp/u9", false) < 0 || write(s, &i, sizeof(i)) != sizeof(i) || read(s, buf, 2) != 2)
                _exit(1);
            _exit(0);
        }
    }
    for (int i = 0; i < 5; i++) {
        int s = accept(listener, NULL, NULL), got = 0;

        CHECK_EQUAL(read(s, &got, sizeof(got)), (ssize_t)sizeof(got));
        total += got;
        CHECK_EQUAL(write(s, "ok", 2), 2);
        close(s);
    }
    CHECK_EQUAL(total, 10);
    for (int i = 0; i < 5; i++) {
        wait(&status);
        CHECK_EQUAL(status, 0);
    }
    unlink("/tmp/u9");
    close(listener);
}

static void test_many(void)
{
    struct mmsghdr v[4];
    struct iovec iov[4];
    char buf[4][8];
    int p[2], fd, pipes[2];

    check_section("sendmmsg, recvmmsg, sendfile, splice");
    CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, p));
    memset(v, 0, sizeof(v));
    for (int i = 0; i < 4; i++) {
        snprintf(buf[i], 8, "msg%d", i);
        iov[i] = (struct iovec){ buf[i], 4 + (i == 3) };
        v[i].msg_hdr.msg_iov = &iov[i];
        v[i].msg_hdr.msg_iovlen = 1;
    }
    CHECK_EQUAL(sendmmsg(p[0], v, 4, 0), 4);
    CHECK_EQUAL(v[3].msg_len, 5);
    for (int i = 0; i < 4; i++)
        iov[i].iov_len = 8;
    CHECK_EQUAL(recvmmsg(p[1], v, 2, 0, NULL), 2);
    CHECK_EQUAL(recvmmsg(p[1], v, 4, MSG_WAITFORONE, NULL), 2);
    CHECK_EQUAL(v[1].msg_len, 5);
    CHECK_ERRNO(recvmmsg(p[1], v, 4, MSG_DONTWAIT, NULL), EAGAIN);
    close(p[0]);
    close(p[1]);
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p));
    fd = open("/tmp/sendfile-data", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQUAL(write(fd, "0123456789", 10), 10);
    lseek(fd, 2, SEEK_SET);
    CHECK_EQUAL(sendfile(p[0], fd, NULL, 100), 8);
    CHECK_EQUAL(read(p[1], buf[0], 8), 8);
    CHECK(memcmp(buf[0], "23456789", 8) == 0);
    CHECK_OK(pipe(pipes));
    CHECK_EQUAL(write(p[0], "spliced", 7), 7);
    CHECK_EQUAL(splice(p[1], NULL, pipes[1], NULL, 100, 0), 7);
    CHECK_EQUAL(splice(pipes[0], NULL, p[1], NULL, 100, 0), 7);
    CHECK_EQUAL(read(p[0], buf[0], 8), 7);
    CHECK(memcmp(buf[0], "spliced", 7) == 0);
    unlink("/tmp/sendfile-data");
    close(fd);
    close(p[0]);
    close(p[1]);
    close(pipes[0]);
    close(pipes[1]);
}

int main(void)
{
    signal(SIGPIPE, on_sigpipe);
    bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    test_create();
    test_names();
    test_permission();
    check_section("connections");
    test_connections(SOCK_STREAM);
    test_connections(SOCK_SEQPACKET);
    check_section("ends");
    for (int i = 0; i < 3; i++)
        test_ends(types[i]);
    test_stream_io();
    check_section("packets");
    test_packets(SOCK_DGRAM);
    test_packets(SOCK_SEQPACKET);
    test_dgram_addresses();
    check_section("descriptors");
    for (int i = 0; i < 3; i++)
        test_rights(types[i]);
    test_cycle();
    test_credentials();
    test_options();
    test_blocking();
    test_processes();
    test_many();
    return check_done();
}
