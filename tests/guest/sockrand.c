/*
 * Random calls on a few sockets; every result, errno and readiness is printed, so that the runs can be compared.
 * sockrand KIND SEED COUNT, KIND: unix or inet. Nothing blocks; addresses and ports aren't printed.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"

#define SLOTS 8
#define NAMES 4

static uint64_t state;
static bool inet;
static int fds[SLOTS], types[SLOTS], ep;
static in_port_t ports[SLOTS]; /* of the socket that was last in the slot */
static long total_sent;

static unsigned rnd(unsigned n)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(state >> 33) % n;
}

static void show(const char *what, int slot, long ret)
{
    printf("%s %d: %ld %s\n", what, slot, ret, ret < 0 ? check_errno_name(errno) : "");
}

static socklen_t random_addr(struct sockaddr_storage *a)
{
    struct sockaddr_un *un = (void *)a;
    struct sockaddr_in *in = (void *)a;

    memset(a, 0, sizeof(*a));
    if (rnd(20) == 0) { /* AF_UNSPEC */
        return sizeof(sa_family_t) + rnd(20);
    }
    if (inet) {
        in->sin_family = AF_INET;
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        in->sin_port = ports[rnd(SLOTS)];
        if (in->sin_port == 0)
            in->sin_port = htons(1);
        return sizeof(*in);
    }
    un->sun_family = AF_UNIX;
    snprintf(un->sun_path + 1, 20, "rand%u", rnd(NAMES));
    return offsetof(struct sockaddr_un, sun_path) + 6;
}

static int random_type(void)
{
    static const int all[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };

    return all[rnd(inet ? 2 : 3)];
}

static void put_in(int slot, int fd, int type)
{
    struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | (slot & 1 ? EPOLLET : 0), .data.u32 = slot };

    if (fds[slot] >= 0)
        close(fds[slot]);
    fds[slot] = fd;
    types[slot] = type;
    ports[slot] = 0;
    if (fd >= 0)
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

static void note_port(int slot)
{
    struct sockaddr_in in = { 0 };
    socklen_t len = sizeof(in);

    if (inet && getsockname(fds[slot], (void *)&in, &len) == 0)
        ports[slot] = in.sin_port;
}

static void op_make(int slot)
{
    int p[2], type = random_type();

    if (!inet && rnd(2)) {
        int other = (slot + 1 + (int)rnd(SLOTS - 1)) % SLOTS;

        socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, p);
        put_in(slot, p[0], type);
        put_in(other, p[1], type);
        printf("pair %d %d type %d\n", slot, other, type);
    } else {
        put_in(slot, socket(inet ? AF_INET : AF_UNIX, type | SOCK_NONBLOCK, 0), type);
        printf("socket %d type %d\n", slot, type);
    }
}

static void op_bind(int slot)
{
    struct sockaddr_storage a;
    socklen_t len = random_addr(&a);

    if (inet)
        ((struct sockaddr_in *)&a)->sin_port = 0;
    show("bind", slot, bind(fds[slot], (void *)&a, len));
    note_port(slot);
}

static void op_connect(int slot)
{
    struct sockaddr_storage a;
    socklen_t len = random_addr(&a);

    show("connect", slot, connect(fds[slot], (void *)&a, len));
    note_port(slot);
}

static void op_accept(int slot)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof(a);
    int fd = accept4(fds[slot], (void *)&a, &len, SOCK_NONBLOCK), to = (int)rnd(SLOTS);

    show("accept", slot, fd < 0 ? -1 : 0);
    if (fd >= 0) {
        printf("    into %d, address of %d\n", to, (int)len);
        put_in(to, fd, types[slot]);
    }
}

static void op_send(int slot)
{
    static const char data[3000];
    struct sockaddr_storage a;
    socklen_t len = random_addr(&a);
    size_t n = rnd(4) ? rnd(20) : rnd(sizeof(data));
    int flags = MSG_NOSIGNAL | (inet && types[slot] == SOCK_STREAM && rnd(10) == 0 && n ? MSG_OOB : 0);

    if (total_sent > 60000) /* below what fills a buffer */
        return;
    if (n == 0 && types[slot] != SOCK_DGRAM) /* Linux's versions differ in whether it counts as unread */
        n = 1;
    total_sent += (long)n;
    if (rnd(3) == 0)
        show("sendto", slot, sendto(fds[slot], data, n, flags, (void *)&a, len));
    else
        show("send", slot, send(fds[slot], data, n, flags));
    if (types[slot] == SOCK_DGRAM)
        note_port(slot);
}

static void op_recv(int slot)
{
    char buf[3000];
    struct iovec v = { buf, 1 + (rnd(2) ? rnd(30) : rnd(sizeof(buf) - 1)) };
    struct sockaddr_storage a;
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_name = &a, .msg_namelen = sizeof(a) };
    int flags = (rnd(4) ? 0 : MSG_PEEK) | (rnd(8) ? 0 : MSG_WAITALL) | (rnd(8) ? 0 : MSG_TRUNC);
    ssize_t n = recvmsg(fds[slot], &m, flags);

    show("recv", slot, n);
    if (n >= 0)
        printf("    name %d flags %x\n", (int)m.msg_namelen, m.msg_flags);
    if (inet && types[slot] == SOCK_STREAM && rnd(4) == 0)
        show("recv oob", slot, recv(fds[slot], buf, 1, MSG_OOB));
}

static void op_look(int slot)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof(a), elen = sizeof(int);
    int n = -1, error = -1, r;

    r = getsockname(fds[slot], (void *)&a, &len);
    printf("name %d: %d %d\n", slot, r, (int)len);
    len = sizeof(a);
    r = getpeername(fds[slot], (void *)&a, &len);
    printf("peer %d: %d %s\n", slot, r, r < 0 ? check_errno_name(errno) : "");
    r = ioctl(fds[slot], FIONREAD, &n);
    printf("inq %d: %d %d\n", slot, r, n);
    if (rnd(4) == 0) {
        getsockopt(fds[slot], SOL_SOCKET, SO_ERROR, &error, &elen);
        printf("error %d: %s\n", slot, check_errno_name(error));
    }
}

static void show_ready(void)
{
    struct pollfd p[SLOTS];
    struct epoll_event e[SLOTS];
    unsigned seen[SLOTS] = { 0 };
    int n;

    for (int i = 0; i < SLOTS; i++)
        p[i] = (struct pollfd){ fds[i], POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0 };
    poll(p, SLOTS, 0);
    n = epoll_wait(ep, e, SLOTS, 0);
    for (int i = 0; i < n; i++)
        seen[e[i].data.u32] = e[i].events;
    printf("    ");
    for (int i = 0; i < SLOTS; i++)
        printf(" %x/%x", p[i].revents, i & 1 ? 0 : seen[i]); /* edges may differ by when they are counted */
    printf("\n");
}

static void step(void)
{
    int slot = (int)rnd(SLOTS);

    if (fds[slot] < 0) {
        op_make(slot);
        return;
    }
    switch (rnd(16)) {
    case 0:
        op_make(slot);
        break;
    case 1:
    case 2:
        op_bind(slot);
        break;
    case 3:
        show("listen", slot, listen(fds[slot], 1 + (int)rnd(2)));
        note_port(slot);
        break;
    case 4:
    case 5:
        op_connect(slot);
        break;
    case 6:
        op_accept(slot);
        break;
    case 7:
        if (rnd(2) == 0)
            show("shutdown", slot, shutdown(fds[slot], (int)rnd(3)));
        break;
    case 8:
        op_look(slot);
        break;
    case 9:
        if (rnd(2) == 0) {
            put_in(slot, -1, 0);
            printf("close %d\n", slot);
        }
        break;
    case 10:
    case 11:
    case 12:
        op_send(slot);
        break;
    default:
        op_recv(slot);
        break;
    }
}

int main(int argc, char **argv)
{
    long count = argc > 3 ? atol(argv[3]) : 1000;

    if (argc < 3)
        return 2;
    inet = strcmp(argv[1], "inet") == 0;
    state = strtoull(argv[2], NULL, 10);
    signal(SIGPIPE, SIG_IGN);
    ep = epoll_create1(0);
    for (int i = 0; i < SLOTS; i++)
        fds[i] = -1;
    for (long i = 0; i < count; i++) {
        printf("%ld ", i);
        step();
        if (inet)
            usleep(300); /* natively the other end hears of it a little later */
        show_ready();
        if (i % 500 == 499) { /* begin anew, with empty buffers */
            for (int s = 0; s < SLOTS; s++)
                put_in(s, -1, 0);
            total_sent = 0;
            if (inet)
                usleep(1000);
        }
    }
    return 0;
}
