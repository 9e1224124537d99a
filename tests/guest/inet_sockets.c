/* Loopback TCP and UDP (tcp(7), udp(7), ip(7), ipv6(7), socket(7)): addresses, connections, ends, options, readiness. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/sockios.h>

#include "check.h"

union addr {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

static int sigpipes;

static void on_sigpipe(int sig)
{
    sigpipes++;
}

static socklen_t addr_of(union addr *a, const char *text, int port)
{
    memset(a, 0, sizeof(*a));
    if (strchr(text, ':')) {
        a->in6.sin6_family = AF_INET6;
        a->in6.sin6_port = htons(port);
        inet_pton(AF_INET6, text, &a->in6.sin6_addr);
        return sizeof(a->in6);
    }
    a->in.sin_family = AF_INET;
    a->in.sin_port = htons(port);
    inet_pton(AF_INET, text, &a->in.sin_addr);
    return sizeof(a->in);
}

static int port_of(int fd)
{
    union addr a;
    socklen_t len = sizeof(a);

    return getsockname(fd, &a.sa, &len) < 0 ? -1 : ntohs(a.in.sin_port); /* the same place in both */
}

static const char *name_of(int fd, bool peer)
{
    static char text[64];
    union addr a;
    socklen_t len = sizeof(a);

    if ((peer ? getpeername(fd, &a.sa, &len) : getsockname(fd, &a.sa, &len)) < 0)
        return strerrorname_np(errno);
    return inet_ntop(a.sa.sa_family, a.sa.sa_family == AF_INET ? (void *)&a.in.sin_addr : (void *)&a.in6.sin6_addr, text, sizeof(text));
}

static int bind_to(int fd, const char *text, int port)
{
    union addr a;
    socklen_t len = addr_of(&a, text, port);

    return bind(fd, &a.sa, len);
}

static int connect_to(int fd, const char *text, int port)
{
    union addr a;
    socklen_t len = addr_of(&a, text, port);

    return connect(fd, &a.sa, len);
}

static int family_of(const char *text)
{
    return strchr(text, ':') ? AF_INET6 : AF_INET;
}

static int listener_at(const char *text, int backlog)
{
    int fd = socket(family_of(text), SOCK_STREAM, 0);

    CHECK_OK(bind_to(fd, text, 0));
    CHECK_OK(listen(fd, backlog));
    return fd;
}

static void pair_at(const char *text, int p[2])
{
    int l = listener_at(text, 1);

    p[0] = socket(family_of(text), SOCK_STREAM, 0);
    CHECK_OK(connect_to(p[0], text, port_of(l)));
    p[1] = accept(l, NULL, NULL);
    CHECK_OK(p[1]);
    close(l);
}

static short ready(int fd)
{
    struct pollfd p = { fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0 };

    poll(&p, 1, 0);
    return p.revents;
}

/* What arrives by softirq natively may take a moment. */
static short ready_soon(int fd, short want)
{
    for (int i = 0; i < 200 && ready(fd) != want; i++)
        usleep(1000);
    return ready(fd);
}

static int get_opt(int fd, int level, int name)
{
    int v = -99;
    socklen_t len = sizeof(v);

    return getsockopt(fd, level, name, &v, &len) < 0 ? -errno : v;
}

static int set_opt(int fd, int level, int name, int v)
{
    return setsockopt(fd, level, name, &v, sizeof(v)) < 0 ? -errno : 0;
}

static void test_create(void)
{
    int fd, fds[2];

    check_section("create");
    CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    CHECK_ERRNO(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    CHECK_ERRNO(socket(AF_INET, 0, 0), ESOCKTNOSUPPORT);
    CHECK_ERRNO(socket(AF_INET, 77, 0), EINVAL);
    CHECK_ERRNO(socketpair(AF_INET, SOCK_STREAM, 0, fds), EOPNOTSUPP);
    fd = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    CHECK_EQUAL(get_opt(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
    CHECK_EQUAL(get_opt(fd, SOL_SOCKET, SO_DOMAIN), AF_INET);
    CHECK_EQUAL(ready(fd), POLLOUT | POLLHUP);
    CHECK_EQUAL(port_of(fd), 0);
    CHECK_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_ERRNO(recv(fd, &fd, 0, 0), ENOTCONN);
    CHECK_ERRNO(shutdown(fd, SHUT_WR), ENOTCONN);
    CHECK_ERRNO(accept(fd, NULL, NULL), EINVAL);
    close(fd);
}

static void test_bind(void)
{
    int a = socket(AF_INET, SOCK_STREAM, 0), b = socket(AF_INET, SOCK_STREAM, 0), six, port;
    union addr x;
    socklen_t len;

    check_section("bind");
    len = addr_of(&x, "127.0.0.1", 0);
    CHECK_ERRNO(bind(a, &x.sa, len - 1), EINVAL);
    x.sa.sa_family = AF_INET6;
    CHECK_ERRNO(bind(a, &x.sa, len), EAFNOSUPPORT);
    CHECK_ERRNO(bind_to(a, "192.0.2.1", 0), EADDRNOTAVAIL);
    CHECK_OK(bind_to(a, "127.0.0.1", 0));
    port = port_of(a);
    CHECK(port >= 1024);
    CHECK_ERRNO(bind_to(a, "127.0.0.1", 0), EINVAL);
    CHECK_ERRNO(bind_to(b, "127.0.0.1", port), EADDRINUSE);
    CHECK_ERRNO(bind_to(b, "0.0.0.0", port), EADDRINUSE);
    CHECK_OK(bind_to(b, "127.0.0.2", port));
    close(b);
    six = socket(AF_INET6, SOCK_STREAM, 0);
    CHECK_ERRNO(bind_to(six, "::", port), EADDRINUSE);
    CHECK_EQUAL(set_opt(six, IPPROTO_IPV6, IPV6_V6ONLY, 1), 0);
    CHECK_OK(bind_to(six, "::", port));
    CHECK_EQUAL(set_opt(six, IPPROTO_IPV6, IPV6_V6ONLY, 0), -EINVAL);
    close(six);
    six = socket(AF_INET6, SOCK_STREAM, 0);
    CHECK_ERRNO(bind_to(six, "::ffff:127.0.0.1", port), EADDRINUSE);
    CHECK_OK(bind_to(six, "::1", port));
    close(six);
    /* SO_REUSEADDR: as long as nobody listens; SO_REUSEPORT: always */
    b = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQUAL(set_opt(b, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    CHECK_ERRNO(bind_to(b, "127.0.0.1", port), EADDRINUSE);
    CHECK_EQUAL(set_opt(a, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    CHECK_OK(bind_to(b, "127.0.0.1", port));
    CHECK_OK(listen(a, 1));
    CHECK_ERRNO(listen(b, 1), EADDRINUSE);
    close(a);
    close(b);
    a = socket(AF_INET, SOCK_STREAM, 0);
    b = socket(AF_INET, SOCK_STREAM, 0);
    set_opt(a, SOL_SOCKET, SO_REUSEPORT, 1);
    set_opt(b, SOL_SOCKET, SO_REUSEPORT, 1);
    CHECK_OK(bind_to(a, "0.0.0.0", 0));
    CHECK_OK(bind_to(b, "0.0.0.0", port_of(a)));
    CHECK_OK(listen(a, 1));
    CHECK_OK(listen(b, 1));
    close(a);
    close(b);
}

static void test_connect(const char *text, const char *shown, const char *client)
{
    int l = listener_at(text, 5), c = socket(family_of(client), SOCK_STREAM, 0), s, on;
    union addr a;
    socklen_t len = sizeof(a);

    CHECK_EQUAL(ready(l), 0);
    CHECK_OK(connect_to(c, client, port_of(l)));
    CHECK_ERRNO(connect_to(c, client, port_of(l)), EISCONN);
    CHECK_EQUAL(ready_soon(l, POLLIN), POLLIN);
    s = accept4(l, &a.sa, &len, SOCK_NONBLOCK);
    CHECK_OK(s);
    CHECK_EQUAL(len, family_of(text) == AF_INET ? sizeof(a.in) : sizeof(a.in6));
    CHECK_EQUAL(ntohs(a.in.sin_port), port_of(c));
    CHECK(strcmp(name_of(s, true), shown) == 0);
    CHECK(strcmp(name_of(s, false), shown) == 0);
    CHECK_EQUAL(port_of(s), port_of(l));
    CHECK_EQUAL(ready(c), POLLOUT);
    CHECK_EQUAL(ready(s), POLLOUT);
    CHECK_EQUAL(get_opt(s, SOL_SOCKET, SO_ACCEPTCONN), 0);
    CHECK_EQUAL(get_opt(l, SOL_SOCKET, SO_ACCEPTCONN), 1);
    CHECK_ERRNO(listen(c, 1), EINVAL);
    CHECK_ERRNO(getpeername(l, &a.sa, &len), ENOTCONN);
    CHECK_ERRNO(ioctl(l, FIONREAD, &on), EINVAL);
    close(c);
    close(s);
    close(l);
}

static void test_refused(void)
{
    int l = listener_at("127.0.0.1", 1), port = port_of(l), c, err;
    union addr a = { .sa.sa_family = AF_UNSPEC };

    check_section("refused, in progress, backlog");
    close(l);
    c = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_ERRNO(connect_to(c, "127.0.0.1", port), ECONNREFUSED);
    CHECK_EQUAL(ready(c), POLLOUT | POLLHUP);
    CHECK_ERRNO(connect_to(c, "127.0.0.1", port), ECONNREFUSED);
    CHECK_ERRNO(connect(c, &a.sa, 1), EINVAL);
    a.sa.sa_family = AF_INET6;
    CHECK_ERRNO(connect(c, &a.sa, sizeof(a)), EAFNOSUPPORT);
    fcntl(c, F_SETFL, O_NONBLOCK);
    CHECK_ERRNO(connect_to(c, "127.0.0.1", port), EINPROGRESS);
    CHECK_EQUAL(ready_soon(c, POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
    CHECK_EQUAL(get_opt(c, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
    CHECK_EQUAL(get_opt(c, SOL_SOCKET, SO_ERROR), 0);
    CHECK_ERRNO(connect_to(c, "127.0.0.1", port), ECONNABORTED);
    CHECK_ERRNO(connect_to(c, "127.0.0.1", port), EINPROGRESS);
    usleep(1000);
    CHECK_ERRNO(connect_to(c, "127.0.0.1", port), ECONNREFUSED);
    close(c);
    l = listener_at("127.0.0.1", 5);
    c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK_ERRNO(connect_to(c, "127.0.0.1", port_of(l)), EINPROGRESS);
    CHECK_EQUAL(ready_soon(c, POLLOUT), POLLOUT);
    CHECK_EQUAL(get_opt(c, SOL_SOCKET, SO_ERROR), 0);
    err = connect_to(c, "127.0.0.1", port_of(l));
    CHECK_EQUAL(err, 0);
    CHECK_ERRNO(connect_to(c, "127.0.0.1", port_of(l)), EISCONN);
    /* the listener goes without accepting: a reset */
    close(l);
    CHECK_EQUAL(ready_soon(c, POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
    CHECK_ERRNO(read(c, &err, 1), ECONNRESET);
    CHECK_EQUAL(read(c, &err, 1), 0);
    CHECK_ERRNO(send(c, "x", 1, MSG_NOSIGNAL), EPIPE);
    /* a dissolved connection can be made anew */
    a.sa.sa_family = AF_UNSPEC;
    CHECK_OK(connect(c, &a.sa, sizeof(a)));
    CHECK_EQUAL(ready(c), POLLOUT | POLLHUP);
    close(c);
}

static void test_data(void)
{
    int p[2], n;
    char buf[64];
    pid_t pid;
    static char big[1 << 20];

    check_section("data");
    pair_at("127.0.0.1", p);
    CHECK_EQUAL(write(p[0], "hello ", 6), 6);
    CHECK_EQUAL(write(p[0], "world", 5), 5);
    usleep(1000);
    CHECK_OK(ioctl(p[1], FIONREAD, &n));
    CHECK_EQUAL(n, 11);
    CHECK_EQUAL(recv(p[1], buf, 64, MSG_PEEK), 11);
    CHECK_EQUAL(recv(p[1], buf, 3, MSG_TRUNC), 3);
    CHECK_EQUAL(read(p[1], buf, 64), 8);
    CHECK(memcmp(buf, "lo world", 8) == 0);
    CHECK_ERRNO(recv(p[1], buf, 1, MSG_DONTWAIT), EAGAIN);
    CHECK_EQUAL(sendto(p[0], "z", 1, 0, (struct sockaddr *)buf, 16), 1); /* the address is ignored */
    CHECK_EQUAL(recv(p[1], buf, 1, 0), 1);
    CHECK_EQUAL(ready(p[0]), POLLOUT);
    /* a megabyte in one direction, by another process, checked */
    pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 1 << 20; i++)
            big[i] = (char)(i * 7 + (i >> 8));
        for (int done = 0; done < 1 << 20;) {
            ssize_t w = write(p[0], big + done, (1 << 20) - done < 70001 ? (1 << 20) - done : 70001);
            if (w <= 0)
                _exit(1);
            done += w;
        }
        _exit(0);
    }
    n = recv(p[1], big, sizeof(big), MSG_WAITALL);
    CHECK_EQUAL(n, 1 << 20);
    for (n = 0; n < 1 << 20 && big[n] == (char)(n * 7 + (n >> 8)); n++)
        ;
    CHECK_EQUAL(n, 1 << 20);
    waitpid(pid, &n, 0);
    CHECK_EQUAL(n, 0);
    /* full: it ends somewhere, and has room again when it is read */
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    fcntl(p[1], F_SETFL, O_NONBLOCK);
    for (n = 0; n < 100 && write(p[0], big, sizeof(big)) > 0; n++)
        ;
    CHECK(n > 0 && n < 100 && errno == EAGAIN);
    CHECK_EQUAL(ready(p[0]), 0);
    while (read(p[1], big, sizeof(big)) > 0 || ready(p[0]) == 0)
        ;
    CHECK_EQUAL(ready_soon(p[0], POLLOUT), POLLOUT);
    close(p[0]);
    close(p[1]);
}

static void test_ends(void)
{
    int p[2], before, n;
    char buf[16];
    struct linger l = { 1, 0 };

    check_section("ends");
    pair_at("127.0.0.1", p);
    CHECK_ERRNO(shutdown(p[0], 3), EINVAL);
    CHECK_EQUAL(write(p[0], "abc", 3), 3);
    CHECK_OK(shutdown(p[0], SHUT_WR));
    CHECK_EQUAL(ready_soon(p[1], POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP);
    CHECK_EQUAL(ready(p[0]), POLLOUT);
    before = sigpipes;
    CHECK_ERRNO(write(p[0], "d", 1), EPIPE);
    CHECK_EQUAL(sigpipes, before + 1);
    CHECK_EQUAL(read(p[1], buf, 16), 3);
    CHECK_EQUAL(read(p[1], buf, 16), 0);
    CHECK_EQUAL(write(p[1], "back", 4), 4);
    CHECK_EQUAL(read(p[0], buf, 16), 4);
    CHECK_OK(shutdown(p[1], SHUT_WR));
    n = POLLIN | POLLOUT | POLLHUP | POLLRDHUP;
    CHECK_EQUAL(ready_soon(p[0], n), n);
    CHECK_EQUAL(ready_soon(p[1], n), n);
    CHECK_EQUAL(read(p[0], buf, 16), 0);
    CHECK(strcmp(name_of(p[0], true), "ENOTCONN") == 0);
    close(p[0]);
    close(p[1]);

    /* closed with nothing unread: an end, then a reset for what is sent */
    pair_at("::1", p);
    close(p[1]);
    CHECK_EQUAL(ready_soon(p[0], POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP);
    CHECK_EQUAL(write(p[0], "x", 1), 1);
    n = POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP;
    CHECK_EQUAL(ready_soon(p[0], n), n);
    CHECK_EQUAL(read(p[0], buf, 1), 0);
    before = sigpipes;
    CHECK_ERRNO(write(p[0], "x", 1), EPIPE);
    CHECK_EQUAL(sigpipes, before + 1);
    close(p[0]);

    /* closed with something unread: a reset; what came before can be read */
    pair_at("127.0.0.1", p);
    CHECK_EQUAL(write(p[1], "last", 4), 4);
    CHECK_EQUAL(write(p[0], "unread", 6), 6);
    usleep(1000);
    close(p[1]);
    CHECK_EQUAL(ready_soon(p[0], n), n);
    CHECK_EQUAL(read(p[0], buf, 16), 4);
    CHECK_ERRNO(read(p[0], buf, 16), ECONNRESET);
    CHECK_EQUAL(read(p[0], buf, 16), 0);
    close(p[0]);

    pair_at("127.0.0.1", p);
    CHECK_OK(setsockopt(p[1], SOL_SOCKET, SO_LINGER, &l, sizeof(l)));
    close(p[1]);
    CHECK_EQUAL(ready_soon(p[0], n), n);
    before = sigpipes;
    CHECK_ERRNO(write(p[0], "x", 1), ECONNRESET);
    CHECK_EQUAL(sigpipes, before);
    CHECK_ERRNO(send(p[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    close(p[0]);

    pair_at("127.0.0.1", p);
    CHECK_OK(shutdown(p[0], SHUT_RD));
    CHECK_EQUAL(ready(p[0]), POLLIN | POLLOUT | POLLRDHUP);
    CHECK_EQUAL(recv(p[0], buf, 16, 0), 0);
    CHECK_EQUAL(write(p[1], "still", 5), 5);
    usleep(1000);
    CHECK_EQUAL(recv(p[0], buf, 16, 0), 5);
    close(p[0]);
    close(p[1]);
}

static void test_urgent(void)
{
    int p[2], n;
    char buf[16];

    check_section("out of band");
    pair_at("127.0.0.1", p);
    CHECK_ERRNO(recv(p[1], buf, 1, MSG_OOB), EINVAL);
    CHECK_EQUAL(send(p[0], "abc", 3, 0), 3);
    CHECK_EQUAL(send(p[0], "X", 1, MSG_OOB), 1);
    CHECK_EQUAL(send(p[0], "def", 3, 0), 3);
    CHECK_EQUAL(ready_soon(p[1], POLLIN | POLLOUT | POLLPRI), POLLIN | POLLOUT | POLLPRI);
    CHECK_OK(ioctl(p[1], FIONREAD, &n));
    CHECK_EQUAL(n, 3);
    CHECK_OK(ioctl(p[1], SIOCATMARK, &n));
    CHECK_EQUAL(n, 0);
    CHECK_EQUAL(recv(p[1], buf, 16, 0), 3);
    CHECK_OK(ioctl(p[1], SIOCATMARK, &n));
    CHECK_EQUAL(n, 1);
    CHECK_EQUAL(recv(p[1], buf, 16, MSG_OOB), 1);
    CHECK_EQUAL(buf[0], 'X');
    CHECK_ERRNO(recv(p[1], buf, 16, MSG_OOB), EINVAL);
    CHECK_EQUAL(recv(p[1], buf, 16, 0), 3);
    CHECK(memcmp(buf, "def", 3) == 0);
    CHECK_EQUAL(set_opt(p[1], SOL_SOCKET, SO_OOBINLINE, 1), 0);
    CHECK_EQUAL(send(p[0], "aY", 2, MSG_OOB), 2);
    CHECK_EQUAL(send(p[0], "b", 1, 0), 1);
    usleep(2000);
    CHECK_EQUAL(recv(p[1], buf, 16, 0), 1);
    CHECK_EQUAL(recv(p[1], buf, 16, 0), 2);
    CHECK(memcmp(buf, "Yb", 2) == 0);
    close(p[0]);
    close(p[1]);
}

static void test_options(void)
{
    int p[2], l = listener_at("127.0.0.1", 3);
    struct tcp_info info;
    socklen_t len = sizeof(info);
    unsigned char byte;
    char name[16] = { 0 };

    check_section("options");
    pair_at("127.0.0.1", p);
    CHECK_EQUAL(get_opt(p[0], IPPROTO_TCP, TCP_NODELAY), 0);
    CHECK_EQUAL(set_opt(p[0], IPPROTO_TCP, TCP_NODELAY, 5), 0);
    CHECK_EQUAL(get_opt(p[0], IPPROTO_TCP, TCP_NODELAY), 1);
    CHECK_EQUAL(get_opt(p[0], IPPROTO_TCP, TCP_KEEPIDLE), 7200);
    CHECK_EQUAL(set_opt(p[0], IPPROTO_TCP, TCP_KEEPIDLE, 0), -EINVAL);
    CHECK_EQUAL(set_opt(p[0], IPPROTO_TCP, TCP_KEEPIDLE, 30), 0);
    CHECK_EQUAL(get_opt(p[0], IPPROTO_TCP, TCP_KEEPIDLE), 30);
    CHECK_EQUAL(set_opt(p[0], IPPROTO_TCP, TCP_KEEPCNT, 200), -EINVAL);
    CHECK_EQUAL(set_opt(p[0], IPPROTO_TCP, TCP_CORK, 1), 0);
    CHECK_EQUAL(set_opt(p[0], IPPROTO_TCP, TCP_QUICKACK, 1), 0);
    CHECK_EQUAL(set_opt(p[0], IPPROTO_TCP, TCP_USER_TIMEOUT, 1000), 0);
    CHECK_EQUAL(set_opt(p[0], IPPROTO_TCP, 999, 1), -ENOPROTOOPT);
    CHECK_EQUAL(get_opt(p[0], IPPROTO_TCP, 999), -ENOPROTOOPT);
    CHECK_EQUAL(get_opt(p[0], IPPROTO_TCP, TCP_MAXSEG) > 1000, 1);
    CHECK_EQUAL(set_opt(p[0], IPPROTO_TCP, TCP_MAXSEG, 10), -EINVAL);
    CHECK_EQUAL(get_opt(p[0], IPPROTO_IP, IP_TTL), 64);
    CHECK_EQUAL(set_opt(p[0], IPPROTO_IP, IP_TTL, 0), -EINVAL);
    CHECK_EQUAL(set_opt(p[0], IPPROTO_IP, IP_TTL, 10), 0);
    CHECK_EQUAL(get_opt(p[0], IPPROTO_IP, IP_TTL), 10);
    byte = 9;
    CHECK_OK(setsockopt(p[0], IPPROTO_IP, IP_TTL, &byte, 1));
    CHECK_EQUAL(get_opt(p[0], IPPROTO_IP, IP_TTL), 9);
    CHECK_EQUAL(set_opt(p[0], IPPROTO_IP, IP_TOS, 0x10), 0);
    CHECK_EQUAL(get_opt(p[0], IPPROTO_IP, IP_TOS), 0x10);
    CHECK_EQUAL(get_opt(p[0], IPPROTO_IP, 999), -ENOPROTOOPT);
    CHECK_OK(getsockopt(p[0], IPPROTO_TCP, TCP_INFO, &info, &len));
    CHECK_EQUAL(info.tcpi_state, TCP_ESTABLISHED);
    len = sizeof(info);
    CHECK_OK(getsockopt(l, IPPROTO_TCP, TCP_INFO, &info, &len));
    CHECK_EQUAL(info.tcpi_state, TCP_LISTEN);
    len = sizeof(name);
    CHECK_OK(getsockopt(l, IPPROTO_TCP, TCP_CONGESTION, name, &len));
    CHECK_EQUAL(len, 16);
    /* what connections take over from the listener */
    close(p[0]);
    close(p[1]);
    CHECK_EQUAL(set_opt(l, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    CHECK_EQUAL(set_opt(l, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
    fcntl(l, F_SETFL, O_NONBLOCK);
    p[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_OK(connect_to(p[0], "127.0.0.1", port_of(l)));
    p[1] = accept(l, NULL, NULL);
    CHECK_EQUAL(get_opt(p[1], IPPROTO_TCP, TCP_NODELAY), 1);
    CHECK_EQUAL(get_opt(p[1], SOL_SOCKET, SO_KEEPALIVE), 1);
    CHECK_EQUAL(fcntl(p[1], F_GETFL), O_RDWR);
    close(p[0]);
    close(p[1]);
    close(l);
}

static void test_udp(void)
{
    int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0), n, port;
    union addr to, from;
    socklen_t len, flen = sizeof(from);
    char buf[64], control[64];
    struct iovec v = { buf, 3 };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    static char big[70000];

    check_section("datagrams");
    CHECK_EQUAL(ready(a), POLLOUT);
    CHECK_ERRNO(send(a, "x", 1, 0), EDESTADDRREQ);
    CHECK_ERRNO(listen(a, 1), EOPNOTSUPP);
    CHECK_ERRNO(shutdown(b, SHUT_WR), ENOTCONN);
    close(b);
    b = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_OK(bind_to(b, "0.0.0.0", 0));
    port = port_of(b);
    CHECK_EQUAL(set_opt(b, IPPROTO_IP, IP_PKTINFO, 1), 0);
    len = addr_of(&to, "127.0.0.1", port);
    CHECK_EQUAL(sendto(a, "first", 5, 0, &to.sa, len), 5);
    CHECK_EQUAL(sendto(a, "", 0, 0, &to.sa, len), 0);
    CHECK_EQUAL(sendto(a, "third", 5, 0, &to.sa, len), 5);
    CHECK(port_of(a) > 0);
    CHECK_EQUAL(ready_soon(b, POLLIN | POLLOUT), POLLIN | POLLOUT);
    CHECK_OK(ioctl(b, FIONREAD, &n));
    CHECK_EQUAL(n, 5);
    CHECK_EQUAL(recvfrom(b, buf, 64, MSG_PEEK, &from.sa, &flen), 5);
    CHECK_EQUAL(ntohs(from.in.sin_port), port_of(a));
    CHECK_EQUAL(from.in.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    CHECK_EQUAL(recvmsg(b, &m, 0), 3);
    CHECK_EQUAL(m.msg_flags, MSG_TRUNC);
    CHECK(CMSG_FIRSTHDR(&m) && CMSG_FIRSTHDR(&m)->cmsg_type == IP_PKTINFO);
    if (CMSG_FIRSTHDR(&m)) {
        struct in_pktinfo *info = (void *)CMSG_DATA(CMSG_FIRSTHDR(&m));

        CHECK_EQUAL(info->ipi_addr.s_addr, htonl(INADDR_LOOPBACK));
        CHECK_EQUAL(info->ipi_ifindex, if_nametoindex("lo"));
    }
    CHECK_EQUAL(recv(b, buf, 64, 0), 0);
    CHECK_EQUAL(recv(b, buf, 2, MSG_TRUNC), 5);
    CHECK_ERRNO(recv(b, buf, 2, MSG_DONTWAIT), EAGAIN);
    CHECK_ERRNO(sendto(a, big, 65508, 0, &to.sa, len), EMSGSIZE);
    CHECK_EQUAL(sendto(a, big, 65507, 0, &to.sa, len), 65507);
    CHECK_EQUAL(recv(b, big, sizeof(big), 0), 65507);
    CHECK_ERRNO(sendto(a, "x", 1, 0, &to.sa, 4), EINVAL);
    CHECK_ERRNO(sendto(a, "x", 1, MSG_OOB, &to.sa, len), EOPNOTSUPP);
    to.in.sin_port = 0;
    CHECK_ERRNO(sendto(a, "x", 1, 0, &to.sa, len), EINVAL);
    /* connected: others aren't heard, and a missing receiver shows */
    CHECK_OK(connect_to(b, "127.0.0.1", port_of(a)));
    CHECK(strcmp(name_of(b, false), "127.0.0.1") == 0);
    n = socket(AF_INET, SOCK_DGRAM, 0);
    len = addr_of(&to, "127.0.0.1", port);
    CHECK_EQUAL(sendto(n, "nobody", 6, 0, &to.sa, len), 6);
    CHECK_ERRNO(recv(b, buf, 2, MSG_DONTWAIT), EAGAIN);
    close(n);
    CHECK_EQUAL(send(b, "yes", 3, 0), 3);
    CHECK_EQUAL(recv(a, buf, 64, 0), 3);
    close(a);
    CHECK_EQUAL(send(b, "lost", 4, 0), 4);
    CHECK_EQUAL(ready_soon(b, POLLOUT | POLLERR), POLLOUT | POLLERR);
    CHECK_ERRNO(send(b, "lost", 4, 0), ECONNREFUSED);
    CHECK_EQUAL(send(b, "lost", 4, 0), 4);
    usleep(1000);
    CHECK_ERRNO(recv(b, buf, 4, 0), ECONNREFUSED);
    CHECK_OK(shutdown(b, SHUT_RDWR));
    CHECK_EQUAL(recv(b, buf, 4, 0), 0);
    CHECK_ERRNO(recv(b, buf, 4, MSG_DONTWAIT), EAGAIN);
    CHECK_ERRNO(send(b, "x", 1, MSG_NOSIGNAL), EPIPE);
    to.sa.sa_family = AF_UNSPEC;
    CHECK_OK(connect(b, &to.sa, sizeof(to)));
    CHECK(strcmp(name_of(b, true), "ENOTCONN") == 0);
    close(b);
    /* both families */
    a = socket(AF_INET6, SOCK_DGRAM, 0);
    CHECK_OK(bind_to(a, "::", 0));
    b = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_OK(connect_to(b, "127.0.0.1", port_of(a)));
    CHECK_EQUAL(send(b, "four", 4, 0), 4);
    flen = sizeof(from);
    CHECK_EQUAL(recvfrom(a, buf, 64, 0, &from.sa, &flen), 4);
    CHECK_EQUAL(flen, sizeof(from.in6));
    CHECK(IN6_IS_ADDR_V4MAPPED(&from.in6.sin6_addr));
    CHECK_EQUAL(sendto(a, "six", 3, 0, &from.sa, flen), 3);
    CHECK_EQUAL(recv(b, buf, 64, 0), 3);
    /* gathered into one */
    CHECK_EQUAL(send(b, "to", 2, MSG_MORE), 2);
    CHECK_EQUAL(send(b, "gether", 6, 0), 6);
    CHECK_EQUAL(recv(a, buf, 64, 0), 8);
    close(a);
    close(b);
}

static void *accepter(void *arg)
{
    return (void *)(long)accept(*(int *)arg, NULL, NULL);
}

static void test_epoll(void)
{
    int p[2], l, ep = epoll_create1(0), c;
    struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET }, out;
    pthread_t t;
    void *fd;

    check_section("epoll");
    pair_at("127.0.0.1", p);
    CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], &e));
    CHECK_EQUAL(epoll_wait(ep, &out, 1, 0), 1);
    CHECK_EQUAL(out.events, EPOLLOUT);
    CHECK_EQUAL(epoll_wait(ep, &out, 1, 0), 0);
    CHECK_EQUAL(write(p[0], "a", 1), 1);
    CHECK_EQUAL(epoll_wait(ep, &out, 1, 1000), 1);
    CHECK_EQUAL(out.events, EPOLLIN | EPOLLOUT);
    CHECK_EQUAL(epoll_wait(ep, &out, 1, 0), 0);
    CHECK_OK(shutdown(p[0], SHUT_WR));
    CHECK_EQUAL(epoll_wait(ep, &out, 1, 1000), 1);
    CHECK_EQUAL(out.events, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    close(p[0]);
    close(p[1]);
    l = listener_at("127.0.0.1", 3);
    CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, l, &e));
    pthread_create(&t, NULL, accepter, &l);
    usleep(3000);
    c = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_OK(connect_to(c, "127.0.0.1", port_of(l)));
    pthread_join(t, &fd);
    CHECK((long)fd > 0);
    close((int)(long)fd);
    close(c);
    close(l);
    close(ep);
}

/* Nothing leads out of a sandbox without a network; natively it may or may not. */
static void test_outside(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ip_mreq mreq = { { htonl(0x7f000001) }, { 0 } };

    check_section("outside");
    CHECK_ERRNO(connect_to(fd, "255.255.255.255", 9), EACCES);
    CHECK(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mreq, sizeof(mreq)) < 0);
    close(fd);
}

int main(void)
{
    signal(SIGPIPE, on_sigpipe);
    test_create();
    test_bind();
    check_section("connect");
    test_connect("127.0.0.1", "127.0.0.1", "127.0.0.1");
    test_connect("0.0.0.0", "127.0.0.1", "0.0.0.0");
    test_connect("::1", "::1", "::1");
    test_connect("::", "::1", "::");
    test_connect("::", "::ffff:127.0.0.1", "127.0.0.1");
    test_refused();
    test_data();
    test_ends();
    test_urgent();
    test_options();
    test_udp();
    test_epoll();
    test_outside();
    return check_done();
}
