/*
 * Datagrams on loopback: ancillary data of both sides, queues of errors, corks (ip(7), ipv6(7), udp(7), cmsg(3)), for IPv4 and IPv6; and
 * source addresses of streams.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/udp.h>
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <linux/errqueue.h>

#include "check.h"

#ifndef UDP_CORK
#define UDP_CORK 1
#endif

union addr {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

static int family;

static socklen_t addr_size(void)
{
    return family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static union addr loopback(uint16_t port)
{
    union addr a = { .any.sa_family = (sa_family_t)family };

    a.in.sin_port = htons(port);
    if (family == AF_INET)
        a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        a.in6.sin6_addr = in6addr_loopback;
    return a;
}

static uint16_t port_of(int fd)
{
    union addr a;
    socklen_t size = sizeof(a);

    CHECK_OK(getsockname(fd, &a.any, &size));
    return ntohs(a.in.sin_port);
}

static int make(void)
{
    int fd = socket(family, SOCK_DGRAM, 0);
    struct timeval limit = { 5, 0 };

    CHECK_OK(fd);
    CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
    return fd;
}

static int make_bound(uint16_t *ret_port)
{
    union addr a = loopback(0);
    int fd = make();

    CHECK_OK(bind(fd, &a.any, addr_size()));
    *ret_port = port_of(fd);
    return fd;
}

/* A port that nobody has. */
static uint16_t closed_port(void)
{
    uint16_t port;

    close(make_bound(&port));
    return port;
}

static int set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value));
}

static int send_with(int fd, uint16_t port, int level, int type, const void *data, size_t len)
{
    union addr to = loopback(port);
    union {
        struct cmsghdr h;
        char bytes[128];
    } control = { 0 };
    struct iovec vec = { "text", 4 };
    struct msghdr m = { .msg_name = &to, .msg_namelen = addr_size(), .msg_iov = &vec, .msg_iovlen = 1, .msg_control = &control,
                        .msg_controllen = CMSG_SPACE(len) };

    control.h = (struct cmsghdr){ .cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type };
    memcpy(CMSG_DATA(&control.h), data, len);
    return (int)sendmsg(fd, &m, 0);
}

static int send_int(int fd, uint16_t port, int level, int type, int value)
{
    return send_with(fd, port, level, type, &value, sizeof(value));
}

struct got {
    int size, flags, count;
    int order[8];
    int ttl, tos, index;
    union addr from, to;
    struct timespec time;
    struct {
        struct sock_extended_err e;
        union addr offender;
    } error;
    char data[2000];
};

static void take_one(struct got *g, struct cmsghdr *c)
{
    struct in_pktinfo info4;
    struct in6_pktinfo info6;
    struct timeval tv;

    if (g->count < 8)
        g->order[g->count++] = c->cmsg_level << 8 | c->cmsg_type;
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
        memcpy(&g->time, CMSG_DATA(c), sizeof(g->time));
    } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMP) {
        memcpy(&tv, CMSG_DATA(c), sizeof(tv));
        g->time = (struct timespec){ tv.tv_sec, tv.tv_usec * 1000 };
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        memcpy(&info4, CMSG_DATA(c), sizeof(info4));
        g->to.in.sin_addr = info4.ipi_addr;
        g->index = info4.ipi_ifindex;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        memcpy(&info6, CMSG_DATA(c), sizeof(info6));
        g->to.in6.sin6_addr = info6.ipi6_addr;
        g->index = (int)info6.ipi6_ifindex;
    } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
               (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
        memcpy(&g->ttl, CMSG_DATA(c), sizeof(g->ttl));
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
        g->tos = *CMSG_DATA(c);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
        memcpy(&g->tos, CMSG_DATA(c), sizeof(g->tos));
    } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
               (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
        memcpy(&g->error, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    }
}

static struct got receive(int fd, size_t room, int flags)
{
    struct got g = { .ttl = -1, .tos = -1, .index = -1 };
    union {
        struct cmsghdr h;
        char bytes[512];
    } control;
    struct iovec vec = { g.data, room };
    struct msghdr m = { .msg_name = &g.from, .msg_namelen = sizeof(g.from), .msg_iov = &vec, .msg_iovlen = 1, .msg_control = &control,
                        .msg_controllen = sizeof(control) };

    errno = 0;
    g.size = (int)recvmsg(fd, &m, flags);
    g.flags = m.msg_flags;
    for (struct cmsghdr *c = g.size >= 0 ? CMSG_FIRSTHDR(&m) : NULL; c; c = CMSG_NXTHDR(&m, c))
        take_one(&g, c);
    return g;
}

static bool is_loopback(const union addr *a)
{
    union addr l = loopback(0);

    return family == AF_INET ? a->in.sin_addr.s_addr == l.in.sin_addr.s_addr : IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &l.in6.sin6_addr);
}

static void test_control(void)
{
    bool v4 = family == AF_INET;
    int level = v4 ? IPPROTO_IP : IPPROTO_IPV6, ttl_name = v4 ? IP_TTL : IPV6_HOPLIMIT, tos_name = v4 ? IP_TOS : IPV6_TCLASS;
    uint16_t port;
    int to = make_bound(&port), from = make();
    struct timespec now;
    struct got g;

    CHECK_EQUAL(send_int(from, port, level, ttl_name, 3), 4);
    g = receive(to, 100, 0);
    CHECK_EQUAL(g.count, 0);
    CHECK_OK(set(to, level, v4 ? IP_PKTINFO : IPV6_RECVPKTINFO, 1));
    CHECK_OK(set(to, level, v4 ? IP_RECVTTL : IPV6_RECVHOPLIMIT, 1));
    CHECK_OK(set(to, level, v4 ? IP_RECVTOS : IPV6_RECVTCLASS, 1));
    CHECK_OK(set(to, SOL_SOCKET, SO_TIMESTAMP, 1));
    CHECK_EQUAL(send_int(from, port, level, ttl_name, 3), 4);
    g = receive(to, 100, 0);
    CHECK_EQUAL(g.size, 4);
    CHECK_EQUAL(g.count, 4);
    CHECK_EQUAL(g.order[0], SOL_SOCKET << 8 | SO_TIMESTAMP);
    CHECK_EQUAL(g.order[1], level << 8 | (v4 ? IP_PKTINFO : IPV6_PKTINFO));
    CHECK_EQUAL(g.order[2], level << 8 | ttl_name);
    CHECK_EQUAL(g.order[3], level << 8 | tos_name);
    CHECK_EQUAL(g.ttl, 3);
    CHECK_EQUAL(g.tos, 0);
    CHECK_EQUAL(g.index, 1);
    CHECK(is_loopback(&g.to));
    clock_gettime(CLOCK_REALTIME, &now);
    CHECK(now.tv_sec - g.time.tv_sec <= 5 && now.tv_sec >= g.time.tv_sec);
    CHECK_OK(set(to, SOL_SOCKET, SO_TIMESTAMPNS, 1));
    CHECK_EQUAL(send_int(from, port, level, tos_name, 16), 4);
    g = receive(to, 100, 0);
    CHECK_EQUAL(g.order[0], SOL_SOCKET << 8 | SO_TIMESTAMPNS);
    CHECK_EQUAL(g.ttl, 64);
    CHECK_EQUAL(g.tos, 16);
    CHECK_OK(set(from, level, v4 ? IP_TTL : IPV6_UNICAST_HOPS, 77));
    CHECK_OK(set(from, level, tos_name, 8));
    CHECK_EQUAL(send_int(from, port, SOL_SOCKET, SCM_RIGHTS, 0), 4);
    g = receive(to, 100, 0);
    CHECK_EQUAL(g.ttl, 77);
    CHECK_EQUAL(g.tos, 8);
    CHECK_ERRNO(send_int(from, port, level, ttl_name, 256), EINVAL);
    CHECK_ERRNO(send_int(from, port, level, tos_name, 256), EINVAL);
    CHECK_ERRNO(send_int(from, port, level, 200, 1), EINVAL);
    CHECK_ERRNO(send_with(from, port, level, ttl_name, "xy", 2), EINVAL);
    CHECK_ERRNO(send_with(from, port, level, v4 ? IP_PKTINFO : IPV6_PKTINFO, "xy", 2), EINVAL);
    if (v4)
        CHECK_ERRNO(send_int(from, port, level, ttl_name, 0), EINVAL);
    close(from);
    close(to);
}

static void test_source(void)
{
    struct in_pktinfo info4 = { .ipi_spec_dst.s_addr = htonl(0x7f000002) };
    struct in6_pktinfo info6 = { .ipi6_addr = in6addr_loopback };
    uint16_t port;
    int to = make_bound(&port), from = make();
    struct got g;

    if (family == AF_INET) {
        CHECK_EQUAL(send_with(from, port, IPPROTO_IP, IP_PKTINFO, &info4, sizeof(info4)), 4);
        g = receive(to, 100, 0);
        CHECK_EQUAL(ntohl(g.from.in.sin_addr.s_addr), 0x7f000002);
        info4.ipi_spec_dst.s_addr = htonl(0xc6336407);
        CHECK_ERRNO(send_with(from, port, IPPROTO_IP, IP_PKTINFO, &info4, sizeof(info4)), ENETUNREACH);
    } else {
        CHECK_EQUAL(send_with(from, port, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6)), 4);
        g = receive(to, 100, 0);
        CHECK(is_loopback(&g.from));
        info6.ipi6_addr.s6_addr[0] = 0x20;
        CHECK_ERRNO(send_with(from, port, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6)), EINVAL);
    }
    close(from);
    close(to);
}

static int error_of(int fd)
{
    int err = -1;
    socklen_t size = sizeof(err);

    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size));
    return err;
}

static void check_error(const struct got *g, uint16_t port)
{
    bool v4 = family == AF_INET;

    CHECK_EQUAL(g->flags & MSG_ERRQUEUE, MSG_ERRQUEUE);
    CHECK_EQUAL(ntohs(g->from.in.sin_port), port);
    CHECK(is_loopback(&g->from));
    CHECK_EQUAL(g->count, 1);
    CHECK_EQUAL(g->error.e.ee_errno, ECONNREFUSED);
    CHECK_EQUAL(g->error.e.ee_origin, v4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6);
    CHECK_EQUAL(g->error.e.ee_type, v4 ? 3 : 1);
    CHECK_EQUAL(g->error.e.ee_code, v4 ? 3 : 4);
    CHECK_EQUAL(g->error.e.ee_info, 0);
    CHECK(is_loopback(&g->error.offender));
    CHECK_EQUAL(g->error.offender.in.sin_port, 0);
}

static int events_of(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN | POLLPRI };

    poll(&p, 1, 0);
    return p.revents;
}

static void test_errors(bool connected)
{
    bool v4 = family == AF_INET;
    int level = v4 ? IPPROTO_IP : IPPROTO_IPV6, name = v4 ? IP_RECVERR : IPV6_RECVERR, fd = make();
    uint16_t port = closed_port();
    union addr to = loopback(port);
    char large[1400] = "large";
    struct got g;

    g = receive(fd, 10, MSG_ERRQUEUE);
    CHECK(g.size == -1 && errno == EAGAIN); /* it doesn't wait */
    if (connected)
        CHECK_OK(connect(fd, &to.any, addr_size()));
    CHECK_OK(set(fd, level, name, 1));
    CHECK_EQUAL(sendto(fd, "lost", 4, 0, connected ? NULL : &to.any, connected ? 0 : addr_size()), 4);
    CHECK_EQUAL(events_of(fd), POLLERR);
    g = receive(fd, 100, MSG_ERRQUEUE);
    CHECK_EQUAL(g.size, 4);
    CHECK(memcmp(g.data, "lost", 4) == 0);
    CHECK_EQUAL(g.flags, MSG_ERRQUEUE);
    check_error(&g, port);
    CHECK_EQUAL(error_of(fd), 0);
    CHECK_EQUAL(events_of(fd), 0);
    /* Two of them; the call in between tells as well. */
    CHECK_EQUAL(sendto(fd, large, sizeof(large), 0, &to.any, addr_size()), sizeof(large));
    CHECK_ERRNO(sendto(fd, "two", 3, 0, &to.any, addr_size()), ECONNREFUSED);
    CHECK_EQUAL(events_of(fd), POLLERR);
    CHECK_EQUAL(sendto(fd, "two", 3, 0, &to.any, addr_size()), 3);
    g = receive(fd, 100, MSG_ERRQUEUE);
    CHECK_EQUAL(g.size, 100);
    CHECK_EQUAL(g.flags, MSG_ERRQUEUE | MSG_TRUNC);
    check_error(&g, port);
    CHECK_EQUAL(error_of(fd), ECONNREFUSED);
    CHECK_EQUAL(events_of(fd), POLLERR);
    CHECK_OK(set(fd, SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1));
    CHECK_EQUAL(events_of(fd), POLLERR | POLLPRI);
    CHECK_OK(set(fd, level, name, 0)); /* throws away what is there */
    CHECK_EQUAL(events_of(fd), 0);
    CHECK_EQUAL(sendto(fd, "lost", 4, 0, &to.any, addr_size()), 4);
    CHECK_EQUAL(error_of(fd), connected ? ECONNREFUSED : 0);
    g = receive(fd, 100, MSG_ERRQUEUE);
    CHECK(g.size == -1 && errno == EAGAIN);
    /* How much comes back. */
    CHECK_OK(set(fd, level, name, 1));
    CHECK_EQUAL(sendto(fd, large, sizeof(large), 0, &to.any, addr_size()), sizeof(large));
    g = receive(fd, sizeof(g.data), MSG_ERRQUEUE);
    CHECK_EQUAL(g.size, v4 ? 520 : 1184);
    close(fd);
}

static void test_cork(void)
{
    uint16_t port;
    int to = make_bound(&port), fd = make(), on = -1;
    union addr addr = loopback(port);
    socklen_t size = sizeof(on);
    struct got g;

    CHECK_OK(connect(fd, &addr.any, addr_size()));
    CHECK_EQUAL(send(fd, "a", 1, MSG_MORE), 1);
    CHECK_EQUAL(send(fd, "bc", 2, MSG_MORE), 2);
    CHECK_ERRNO(recv(to, g.data, 10, MSG_DONTWAIT), EAGAIN);
    CHECK_EQUAL(send(fd, "d", 1, 0), 1);
    g = receive(to, 100, 0);
    CHECK(g.size == 4 && memcmp(g.data, "abcd", 4) == 0);
    CHECK_OK(set(fd, IPPROTO_UDP, UDP_CORK, 1));
    CHECK_OK(getsockopt(fd, IPPROTO_UDP, UDP_CORK, &on, &size));
    CHECK_EQUAL(on, 1);
    CHECK_EQUAL(send(fd, "x", 1, 0), 1);
    CHECK_EQUAL(send(fd, "y", 1, 0), 1);
    CHECK_ERRNO(recv(to, g.data, 10, MSG_DONTWAIT), EAGAIN);
    CHECK_OK(set(fd, IPPROTO_UDP, UDP_CORK, 0));
    g = receive(to, 100, 0);
    CHECK(g.size == 2 && memcmp(g.data, "xy", 2) == 0);
    CHECK_ERRNO(recv(to, g.data, 10, MSG_DONTWAIT), EAGAIN);
    close(fd);
    close(to);
}

/* The address and port of bind(2) are those that the peer sees. */
static void test_stream_source(void)
{
    union addr at = { .in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } }, from = at, peer;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0), got;
    socklen_t size = sizeof(at);

    CHECK_OK(bind(listener, &at.any, sizeof(at.in)));
    CHECK_OK(listen(listener, 1));
    CHECK_OK(getsockname(listener, &at.any, &size));
    from.in.sin_addr.s_addr = htonl(0x7f000003);
    CHECK_OK(bind(fd, &from.any, sizeof(from.in)));
    size = sizeof(from);
    CHECK_OK(getsockname(fd, &from.any, &size));
    CHECK_OK(connect(fd, &at.any, sizeof(at.in)));
    size = sizeof(peer);
    got = accept(listener, &peer.any, &size);
    CHECK_OK(got);
    CHECK_EQUAL(ntohl(peer.in.sin_addr.s_addr), 0x7f000003);
    CHECK_EQUAL(peer.in.sin_port, from.in.sin_port);
    close(got);
    close(fd);
    close(listener);
}

int main(void)
{
    static const int families[] = { AF_INET, AF_INET6 };

    for (int i = 0; i < 2; i++) {
        family = families[i];
        check_section(i ? "ipv6" : "ipv4");
        test_control();
        test_source();
        test_errors(false);
        test_errors(true);
        test_cork();
    }
    check_section("streams");
    test_stream_source();
    return check_done();
}
