/* Host sockets of the gofer, driven by a client without a shim: raw messages, rings and queues. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "gofer/net.h"
#include "vmm/net.h"

#define RING 65536u
#define RECORD_RING (256u << 10)
#define HEAD ((uint32_t)sizeof(struct net_record))

static struct client c;
static struct net_plan plan;
static struct net *net;
static uint8_t *arena;

static void start(void)
{
    struct engine_config config = { .control_fd = -1, .proc_fd = -1, .fid_max = 16 };
    struct net_config nc = { .plan = &plan, .arena_size = ARENA_SIZE + NET_REGION_SIZE, .call_fd = -1, .kick_fd = -1,
                             .socket_max = 64 };

    arena = mmap(NULL, nc.arena_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    nc.arena = arena;
    net = calloc(1, sizeof(*net));
    cr_assert_eq(net_init(net, &nc), 0);
    config.net = net;
    client_engine(&c, &config);
    cr_assert_eq(client_version(&c, P9_VERSION_VMM), 0);
}

static void stop(void)
{
    client_engine_end(&c);
    net_destroy(net);
    free(net);
    munmap(arena, ARENA_SIZE + NET_REGION_SIZE);
}

static void start_open(void)
{
    plan.outgoing = plan.host_loopback = true;
    start();
}

static struct net_block *block(uint32_t n)
{
    return (struct net_block *)(void *)(arena + ARENA_SIZE + NET_BLOCK_OFFSET) + n;
}

static struct net_header *header(void)
{
    return (struct net_header *)(void *)(arena + ARENA_SIZE);
}

/* Each socket of these tests has a megabyte: tx in the first half, rx in the second. */
static uint8_t *tx_ring(uint32_t n)
{
    return arena + ARENA_SIZE + NET_RINGS_OFFSET + (n << 20);
}

static uint8_t *rx_ring(uint32_t n)
{
    return tx_ring(n) + (512u << 10);
}

static void put_rings(struct p9_cursor *m, uint32_t n, uint32_t size)
{
    p9_put32(m, n << 20);
    p9_put32(m, size);
    p9_put32(m, (n << 20) + (512u << 10));
    p9_put32(m, size);
}

static int make_socket(uint32_t n, uint16_t family, uint16_t type)
{
    struct p9_cursor *m = client_begin(&c, 0, P9_Tnsocket);

    p9_put32(m, n);
    p9_put16(m, family);
    p9_put16(m, type);
    p9_put16(m, 0);
    memset(block(n), 0, 64);
    put_rings(m, n, type == SOCK_DGRAM ? RECORD_RING : RING);
    return client_call(&c);
}

static void put_end(struct p9_cursor *m, const char *addr, uint16_t port)
{
    struct net_rule rule;

    cr_assert(net_parse_range(addr, &rule), "%s", addr);
    p9_put_bytes(m, rule.addr, 16);
    p9_put32(m, 0);
    p9_put16(m, port);
    p9_put16(m, AF_INET);
}

static int make_echo_socket(uint32_t n)
{
    struct p9_cursor *m = client_begin(&c, 0, P9_Tnsocket);

    p9_put32(m, n);
    p9_put16(m, AF_INET);
    p9_put16(m, SOCK_DGRAM);
    p9_put16(m, IPPROTO_ICMP);
    memset(block(n), 0, 64);
    put_rings(m, n, RECORD_RING);
    return client_call(&c);
}

static int call_end(uint8_t type, uint32_t n, const char *addr, uint16_t port)
{
    struct p9_cursor *m = client_begin(&c, 0, type);

    p9_put32(m, n);
    put_end(m, addr, port);
    return client_call(&c);
}

static int close_socket(uint32_t n, uint32_t flags)
{
    struct p9_cursor *m = client_begin(&c, 0, P9_Tnclose);

    p9_put32(m, n);
    p9_put32(m, flags);
    return client_call(&c);
}

static void submit(uint32_t n)
{
    uint32_t *queue = (void *)(arena + ARENA_SIZE + NET_SUBMIT_OFFSET);

    if (__atomic_exchange_n(&block(n)->submitted, 1, __ATOMIC_SEQ_CST))
        return;
    queue[header()->submit_tail % NET_SOCKET_MAX] = n;
    header()->submit_tail++;
}

static int run(void)
{
    struct pollfd p = { .fd = net_poll_fd(net), .events = POLLIN };
    int timeout = -1, err;

    poll(&p, 1, 1);
    net_look(net);
    err = net_run(net);
    net_before_sleep(net, &timeout);
    return err;
}

#define RUN_UNTIL(cond)                                                                            \
    do {                                                                                           \
        for (int tries_ = 0; !(cond) && tries_ < 5000; tries_++)                                   \
            cr_assert_eq(run(), 0);                                                                \
        cr_assert(cond, "%s", #cond);                                                              \
    } while (0)

static int listen_host(int family, int type, uint16_t *ret_port)
{
    struct sockaddr_in6 sa = { .sin6_family = (sa_family_t)family };
    struct sockaddr_in *in = (void *)&sa;
    socklen_t size = family == AF_INET ? sizeof(*in) : sizeof(sa);
    int fd = socket(family, type | SOCK_CLOEXEC, 0);

    if (family == AF_INET)
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        sa.sin6_addr = in6addr_loopback;
    cr_assert_eq(bind(fd, (void *)&sa, size), 0);
    if (type == SOCK_STREAM)
        cr_assert_eq(listen(fd, 16), 0);
    getsockname(fd, (void *)&sa, &size);
    *ret_port = ntohs(sa.sin6_port);
    return fd;
}

static int connect_guest(uint32_t n, int *ret_listener)
{
    uint16_t port;
    int fd, err;

    *ret_listener = listen_host(AF_INET, SOCK_STREAM, &port);
    cr_assert_eq(make_socket(n, AF_INET, SOCK_STREAM), 0);
    err = call_end(P9_Tnconnect, n, "169.254.53.1", port);
    cr_assert(err == 0 || err == -EINPROGRESS, "%d", err);
    RUN_UNTIL(block(n)->state & NET_CONNECTED);
    fd = accept4(*ret_listener, NULL, NULL, SOCK_CLOEXEC);
    cr_assert_geq(fd, 0);
    return fd;
}

static void guest_write(uint32_t n, const void *data, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        tx_ring(n)[(block(n)->tx_tail + i) % RING] = ((const uint8_t *)data)[i];
    __atomic_store_n(&block(n)->tx_tail, block(n)->tx_tail + len, __ATOMIC_RELEASE);
    submit(n);
}

TestSuite(net, .init = start_open, .fini = stop);

Test(net, stream_both_ways)
{
    char text[8] = "";
    int listener, fd = connect_guest(1, &listener);

    guest_write(1, "hello", 5);
    RUN_UNTIL(block(1)->tx_head == 5);
    cr_assert_eq(read(fd, text, sizeof(text)), 5);
    cr_assert_arr_eq(text, "hello", 5);
    cr_assert_eq(write(fd, "world!", 6), 6);
    RUN_UNTIL(block(1)->rx_tail == 6);
    cr_assert_arr_eq(rx_ring(1), "world!", 6);
    cr_assert_not(block(1)->state & NET_EOF);
    shutdown(fd, SHUT_WR);
    RUN_UNTIL(block(1)->state & NET_EOF);
    cr_assert_not(block(1)->state & NET_HUP);
    cr_assert_eq(close_socket(1, 0), 0);
    cr_assert_eq(read(fd, text, sizeof(text)), 0);
    close(fd);
    close(listener);
}

/* A reader in the guest that doesn't read: the gofer takes what fits into the ring and leaves the rest to the host. */
Test(net, full_ring_stalls_and_goes_on)
{
    static uint8_t data[1 << 20];
    int listener, fd = connect_guest(1, &listener);
    uint32_t got = 0;
    size_t sent = 0;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    while (sent < sizeof(data)) {
        ssize_t n = send(fd, data + sent, sizeof(data) - sent, MSG_DONTWAIT);

        sent += n > 0 ? (size_t)n : 0;
        if (n < 0 && block(1)->rx_stalled) {
            uint32_t tail = block(1)->rx_tail;

            cr_assert_eq(tail - got, RING);
            for (; got != tail; got++)
                cr_assert_eq(rx_ring(1)[got % RING], data[got]);
            __atomic_store_n(&block(1)->rx_head, got, __ATOMIC_SEQ_CST);
            submit(1);
        }
        cr_assert_eq(run(), 0);
    }
    for (int tries = 0; got < sizeof(data) && tries < 5000; tries++) {
        for (; got != block(1)->rx_tail; got++)
            cr_assert_eq(rx_ring(1)[got % RING], data[got]);
        __atomic_store_n(&block(1)->rx_head, got, __ATOMIC_SEQ_CST);
        submit(1);
        cr_assert_eq(run(), 0);
    }
    cr_assert_eq(got, sizeof(data));
    close(fd);
    close(listener);
}

/* Close with data under way: it arrives, and then NET_RELEASED comes; a peer that takes nothing only delays it. */
Test(net, close_sends_the_rest)
{
    static uint8_t data[RING];
    int listener, fd = connect_guest(1, &listener), small = 4096;
    size_t got = 0, sent = 0;
    ssize_t n;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    while (block(1)->tx_tail - block(1)->tx_head == 0 || sent < (8u << 20)) {
        guest_write(1, data, RING - (block(1)->tx_tail - block(1)->tx_head));
        sent = block(1)->tx_tail;
        cr_assert_eq(run(), 0);
        if (block(1)->tx_tail - block(1)->tx_head == RING)
            break;
    }
    cr_assert_eq(close_socket(1, 0), -EINPROGRESS);
    cr_assert_eq(close_socket(1, 0), -EBADF);
    cr_assert_not(block(1)->state & NET_RELEASED);
    while ((n = recv(fd, data, sizeof(data), MSG_DONTWAIT)) != 0) {
        cr_assert(n > 0 || errno == EAGAIN);
        got += n > 0 ? (size_t)n : 0;
        cr_assert_eq(run(), 0);
    }
    cr_assert_eq(got, sent);
    cr_assert(block(1)->state & NET_RELEASED);
    close(fd);
    close(listener);
}

Test(net, errors)
{
    struct linger now = { 1, 0 };
    uint16_t port;
    int listener, fd = listen_host(AF_INET, SOCK_STREAM, &port), err;

    close(fd);
    cr_assert_eq(make_socket(1, AF_INET, SOCK_STREAM), 0);
    err = call_end(P9_Tnconnect, 1, "169.254.53.1", port);
    if (err == -EINPROGRESS) {
        RUN_UNTIL(block(1)->error_count == 1);
        err = -(int)block(1)->error;
    }
    cr_assert_eq(err, -ECONNREFUSED);
    cr_assert_eq(close_socket(1, 0), 0);
    fd = connect_guest(2, &listener);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
    RUN_UNTIL(block(2)->state & NET_HUP);
    cr_assert_eq(block(2)->error, ECONNRESET);
    cr_assert_eq(block(2)->error_count, 1);
    close(listener);
}

Test(net, abort_resets)
{
    char byte;
    int listener, fd = connect_guest(1, &listener);

    cr_assert_eq(close_socket(1, NET_CLOSE_ABORT), 0);
    cr_assert_eq(read(fd, &byte, 1), -1);
    cr_assert_eq(errno, ECONNRESET);
    close(fd);
    close(listener);
}

static void put_record_with(uint32_t n, const char *addr, uint16_t port, const char *data, uint32_t len, struct net_record record)
{
    struct net_rule rule;
    uint8_t bytes[2048] = { 0 };
    uint32_t size = HEAD + ((len + 15) & ~15u);

    record.length = len;

    if (addr) {
        net_parse_range(addr, &rule);
        memcpy(record.end.addr, rule.addr, 16);
        record.end.port = port;
        record.end.family = AF_INET;
    }
    memcpy(bytes, &record, sizeof(record));
    memcpy(bytes + HEAD, data, len);
    for (uint32_t i = 0; i < size; i++)
        tx_ring(n)[(block(n)->tx_tail + i) % RECORD_RING] = bytes[i];
    __atomic_store_n(&block(n)->tx_tail, block(n)->tx_tail + size, __ATOMIC_RELEASE);
    submit(n);
}

static void put_record(uint32_t n, const char *addr, uint16_t port, const char *data, uint32_t len)
{
    put_record_with(n, addr, port, data, len, (struct net_record){ .ttl = -1, .tos = -1 });
}

Test(net, datagrams)
{
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    const struct net_record *record;
    char text[16];
    uint16_t port;
    int fd = listen_host(AF_INET, SOCK_DGRAM, &port);

    cr_assert_eq(make_socket(1, AF_INET, SOCK_DGRAM), 0);
    cr_assert_eq(call_end(P9_Tncheck, 1, "169.254.53.1", port), 0);
    put_record(1, "169.254.53.1", port, "ping", 4);
    cr_assert_eq(run(), 0);
    cr_assert_eq(recvfrom(fd, text, sizeof(text), 0, (void *)&from, &size), 4);
    cr_assert_eq(sendto(fd, "pong!", 5, 0, (void *)&from, size), 5);
    RUN_UNTIL(block(1)->rx_tail == HEAD + 16);
    record = (const void *)rx_ring(1);
    cr_assert_eq(record->length, 5);
    cr_assert_eq(record->end.port, port);
    cr_assert_arr_eq(rx_ring(1) + HEAD, "pong!", 5);
    close(fd);
}

/* --- what the guest does wrong --- */

static const struct net_record *wait_record(uint32_t n)
{
    const struct net_record *record;

    RUN_UNTIL(block(n)->rx_tail != block(n)->rx_head);
    record = (const void *)(rx_ring(n) + block(n)->rx_head % RECORD_RING);
    block(n)->rx_head = block(n)->rx_tail;
    return record;
}

static int set_int(uint32_t n, int level, int name, int value)
{
    struct p9_cursor *m = client_begin(&c, 0, P9_Tnsetopt);

    p9_put32(m, n);
    p9_put32(m, (uint32_t)level);
    p9_put32(m, (uint32_t)name);
    p9_put_str(m, (const char *)&value, sizeof(value));
    return client_call(&c);
}

Test(net, datagrams_with_ancillary_data)
{
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    char text[16], control[256];
    struct iovec vec = { text, sizeof(text) };
    struct msghdr msg = { .msg_iov = &vec, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    const struct net_record *record;
    uint16_t port;
    int fd = listen_host(AF_INET, SOCK_DGRAM, &port), one = 1, ttl = 0;

    setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &one, sizeof(one));
    cr_assert_eq(make_socket(1, AF_INET, SOCK_DGRAM), 0);
    cr_assert_eq(set_int(1, IPPROTO_IP, IP_PKTINFO, 1), 0);
    cr_assert_eq(set_int(1, IPPROTO_IP, IP_RECVTTL, 1), 0);
    cr_assert_eq(set_int(1, IPPROTO_IP, IP_RECVTOS, 1), 0);
    cr_assert_eq(set_int(1, SOL_SOCKET, SO_TIMESTAMPNS, 1), 0);
    put_record_with(1, "169.254.53.1", port, "ping", 4, (struct net_record){ .ttl = 7, .tos = 16 });
    cr_assert_eq(run(), 0);
    cr_assert_eq(recvmsg(fd, &msg, 0), 4);
    memcpy(&ttl, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(ttl));
    cr_expect_eq(ttl, 7);
    put_record_with(1, "169.254.53.1", port, "ping", 4, (struct net_record){ .ttl = -1, .tos = -1 });
    cr_assert_eq(run(), 0);
    cr_assert_eq(recvfrom(fd, text, sizeof(text), 0, (void *)&from, &size), 4);
    ttl = 9;
    setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
    cr_assert_eq(sendto(fd, "pong!", 5, 0, (void *)&from, size), 5);
    record = wait_record(1);
    cr_expect_eq(record->ttl, 9);
    cr_expect_eq(record->tos, 0);
    cr_expect_neq(record->time_ns, 0);
    cr_expect_arr_eq(record->local + 12, "\xa9\xfe\x35\1", 4); /* the host's loopback as it is called inside */
    put_record_with(1, "169.254.53.1", port, "ping", 4, (struct net_record){ .ttl = 0, .tos = -1 });
    cr_assert_eq(run(), 0);
    cr_expect_eq(block(1)->error, EINVAL);
    close(fd);
}

Test(net, error_queue)
{
    const struct net_record *record;
    uint16_t port;

    close(listen_host(AF_INET, SOCK_DGRAM, &port));
    cr_assert_eq(make_socket(1, AF_INET, SOCK_DGRAM), 0);
    cr_assert_eq(set_int(1, IPPROTO_IP, IP_RECVERR, 1), 0);
    put_record(1, "169.254.53.1", port, "lost", 4);
    record = wait_record(1);
    cr_expect_eq(record->flags, NET_RECORD_ERROR);
    cr_expect_eq(record->length, 4);
    cr_expect_eq(record->error.code, ECONNREFUSED);
    cr_expect_eq(record->error.type, 3);
    cr_expect_eq(record->error.icmp_code, 3);
    cr_expect_eq(record->end.port, port);
    cr_expect_arr_eq(record->local + 12, "\xa9\xfe\x35\1", 4);
    cr_expect_eq(block(1)->error_count, 0);
    cr_assert_eq(make_socket(2, AF_INET, SOCK_STREAM), 0);
    cr_expect_eq(set_int(2, IPPROTO_IP, IP_RECVERR, 1), -ENOPROTOOPT);
}

static int bind_guest(uint32_t n, const char *addr, uint16_t port, uint32_t flags)
{
    struct p9_cursor *m = client_begin(&c, 0, P9_Tnbind);

    p9_put32(m, n);
    put_end(m, addr, port);
    p9_put32(m, flags);
    return client_call(&c);
}

Test(net, source_addresses)
{
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    uint16_t taken, port, peer;
    int holder = listen_host(AF_INET, SOCK_STREAM, &taken), listener = listen_host(AF_INET, SOCK_STREAM, &peer), fd;

    close(listen_host(AF_INET, SOCK_STREAM, &port));
    cr_assert_eq(make_socket(1, AF_INET, SOCK_STREAM), 0);
    cr_expect_eq(bind_guest(1, "169.254.53.1", taken, NET_BIND_EXACT), -EADDRINUSE);
    cr_expect_eq(bind_guest(1, "169.254.53.1", taken, 0), 0);
    cr_expect_eq(bind_guest(1, "198.51.100.7", 0, NET_BIND_EXACT), -EADDRNOTAVAIL);
    cr_expect_eq(bind_guest(1, "224.0.0.1", 0, NET_BIND_EXACT), -EADDRNOTAVAIL);
    cr_expect_eq(bind_guest(1, "169.254.53.1", port, NET_BIND_EXACT), 0);
    cr_expect_eq(call_end(P9_Tnconnect, 1, "169.254.53.1", peer), -EINPROGRESS);
    RUN_UNTIL(block(1)->state & NET_CONNECTED);
    fd = accept(listener, (void *)&from, &size);
    cr_expect_eq(ntohs(from.sin_port), port);
    cr_expect_eq(bind_guest(1, "0.0.0.0", 0, 0), -EINVAL);
    close(fd);
    close(holder);
    close(listener);
}

/* A port that the guest chose takes what comes from those whom it wrote to, and nothing else. */
Test(net, chosen_port_is_not_open)
{
    uint16_t port, known, other;
    int friend = listen_host(AF_INET, SOCK_DGRAM, &known), stranger = listen_host(AF_INET, SOCK_DGRAM, &other);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    close(listen_host(AF_INET, SOCK_DGRAM, &port));
    to.sin_port = htons(port);
    cr_assert_eq(make_socket(1, AF_INET, SOCK_DGRAM), 0);
    cr_assert_eq(bind_guest(1, "0.0.0.0", port, 0), 0);
    put_record(1, "169.254.53.1", known, "hello", 5);
    cr_assert_eq(run(), 0);
    cr_assert_eq(sendto(stranger, "evil", 4, 0, (void *)&to, sizeof(to)), 4);
    cr_assert_eq(sendto(friend, "good", 4, 0, (void *)&to, sizeof(to)), 4);
    cr_expect_eq(wait_record(1)->end.port, known);
    cr_expect_eq(block(1)->rx_tail, HEAD + 16);
    close(friend);
    close(stranger);
}

Test(net, bad_ring_ends_the_socket)
{
    int listener, fd = connect_guest(1, &listener);

    block(1)->tx_tail = RING + 1;
    submit(1);
    cr_assert_eq(run(), 0);
    cr_assert(block(1)->state & NET_RELEASED);
    cr_assert_eq(block(1)->error, EPROTO);
    close(fd);
    close(listener);
    fd = connect_guest(2, &listener);
    block(2)->rx_head = 1;
    cr_assert_eq(write(fd, "x", 1), 1);
    RUN_UNTIL(block(2)->state & NET_RELEASED);
    close(fd);
    close(listener);
}

Test(net, bad_records_end_the_socket)
{
    static const uint32_t lengths[] = { 65536, 0xffffffff, 1000 };
    uint32_t n = 1;

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++, n++) {
        cr_assert_eq(make_socket(n, AF_INET, SOCK_DGRAM), 0);
        memcpy(tx_ring(n), &lengths[i], 4);
        block(n)->tx_tail = 48;
        submit(n);
        cr_assert_eq(run(), 0);
        cr_assert(block(n)->state & NET_RELEASED, "%u", lengths[i]);
    }
    cr_assert_eq(make_socket(n, AF_INET, SOCK_DGRAM), 0);
    block(n)->tx_tail = 16;
    submit(n);
    cr_assert_eq(run(), 0);
    cr_assert(block(n)->state & NET_RELEASED);
}

Test(net, bad_queue_ends_the_gofer)
{
    uint32_t *queue = (void *)(arena + ARENA_SIZE + NET_SUBMIT_OFFSET);

    queue[0] = NET_SOCKET_MAX;
    header()->submit_tail = 1;
    cr_assert_eq(net_run(net), -EPROTO);
}

Test(net, bad_queue_length_ends_the_gofer)
{
    header()->submit_tail = NET_SOCKET_MAX + 1;
    cr_assert_eq(net_run(net), -EPROTO);
}

Test(net, bad_numbers_and_rings)
{
    static const uint32_t rings[][2] = { { 1, 4096 },          { 0, 0 },          { 0, 2048 },
                                         { 0, 12288 },         { 0, 2u << 20 },   { 0xfffff000, 4096 },
                                         { NET_REGION_SIZE, 4096 }, { NET_REGION_SIZE - NET_RINGS_OFFSET - 4096, 8192 } };

    for (size_t i = 0; i < sizeof(rings) / sizeof(rings[0]); i++) {
        for (int which = 0; which < 2; which++) {
            struct p9_cursor *m = client_begin(&c, 0, P9_Tnsocket);

            p9_put32(m, 1);
            p9_put16(m, AF_INET);
            p9_put16(m, SOCK_STREAM);
            p9_put16(m, 0);
            for (int k = 0; k < 2; k++) {
                p9_put32(m, k == which ? rings[i][0] : 0);
                p9_put32(m, k == which ? rings[i][1] : 4096);
            }
            cr_expect_eq(client_call(&c), -EINVAL, "%u %u", rings[i][0], rings[i][1]);
        }
    }
    cr_expect_eq(make_socket(5, AF_UNIX, SOCK_STREAM), -EAFNOSUPPORT);
    cr_expect_eq(make_socket(5, AF_PACKET, SOCK_STREAM), -EAFNOSUPPORT);
    cr_expect_eq(make_socket(5, AF_INET, SOCK_RAW), -EPROTONOSUPPORT);
    cr_expect_eq(close_socket(NET_SOCKET_MAX, 0), -EBADF);
    cr_expect_eq(close_socket(0xffffffff, 0), -EBADF);
    cr_expect_eq(close_socket(7, 0), -EBADF);
    cr_assert_eq(make_socket(5, AF_INET, SOCK_STREAM), 0);
    cr_expect_eq(make_socket(5, AF_INET, SOCK_STREAM), -EINVAL);
    for (uint32_t n = 6; n < 69; n++)
        cr_assert_eq(make_socket(n, AF_INET, SOCK_STREAM), 0);
    cr_expect_eq(make_socket(69, AF_INET, SOCK_STREAM), -EMFILE);
}

Test(net, options_by_list)
{
    static const struct {
        uint32_t level, name;
        int err;
    } options[] = {
        { SOL_SOCKET, SO_KEEPALIVE, 0 },          { SOL_SOCKET, SO_MARK, -ENOPROTOOPT },
        { SOL_SOCKET, SO_BINDTODEVICE, -ENOPROTOOPT }, { SOL_SOCKET, SO_ATTACH_FILTER, -ENOPROTOOPT },
        { IPPROTO_IP, 19 /* IP_TRANSPARENT */, -ENOPROTOOPT }, { IPPROTO_IP, 4 /* IP_OPTIONS */, -ENOPROTOOPT },
        { IPPROTO_TCP, 1 /* TCP_NODELAY */, 0 },  { IPPROTO_TCP, 31 /* TCP_ULP */, -ENOPROTOOPT },
        { IPPROTO_TCP, 23 /* TCP_FASTOPEN */, -ENOPROTOOPT }, { SOL_SOCKET, SO_LINGER, -ENOPROTOOPT },
    };
    static const int one = 1;

    cr_assert_eq(make_socket(1, AF_INET, SOCK_STREAM), 0);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        struct p9_cursor *m = client_begin(&c, 0, P9_Tnsetopt);

        p9_put32(m, 1);
        p9_put32(m, options[i].level);
        p9_put32(m, options[i].name);
        p9_put_str(m, (const char *)&one, sizeof(one));
        cr_expect_eq(client_call(&c), options[i].err, "%u %u", options[i].level, options[i].name);
    }
}

/* --- who may be talked to, without a shim in between --- */

static void start_closed(void)
{
    plan.outgoing = true;
    start();
}

static const char *const forbidden[] = {
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "169.254.169.254", "169.254.53.1", "169.254.53.54", "10.0.0.1", "172.16.0.1",
    "192.168.1.1", "100.64.0.1", "100.100.100.200", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1",
};

static const char *const forbidden6[] = {
    "::", "::1", "fe80::1", "ff02::1", "fd00::1", "fd00:ec2::254", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1",
    "2002:7f00:1::", "::127.0.0.1", "2001:0:7f00:1::1",
};

TestSuite(net_closed, .init = start_closed, .fini = stop);

static void expect_refused(uint32_t n, const char *addr)
{
    uint32_t errors = block(n + 1)->error_count;

    cr_expect_eq(call_end(P9_Tnconnect, n, addr, 80), -EACCES, "%s", addr);
    cr_expect_eq(call_end(P9_Tnconnect, n + 1, addr, 80), -EACCES, "udp %s", addr);
    cr_expect_eq(call_end(P9_Tncheck, n + 1, addr, 53), -EACCES, "check %s", addr);
    put_record(n + 1, addr, 80, "x", 1);
    cr_assert_eq(run(), 0);
    cr_expect_eq(block(n + 1)->error_count, errors + 1, "record to %s", addr);
    cr_expect_eq(block(n + 1)->error, EACCES, "record to %s", addr);
}

Test(net_closed, every_forbidden_destination)
{
    char mapped[64];

    for (uint32_t n = 1; n < 4; n += 2) {
        cr_assert_eq(make_socket(n, n == 1 ? AF_INET : AF_INET6, SOCK_STREAM), 0);
        cr_assert_eq(make_socket(n + 1, n == 1 ? AF_INET : AF_INET6, SOCK_DGRAM), 0);
    }
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        expect_refused(1, forbidden[i]);
        snprintf(mapped, sizeof(mapped), "::ffff:%s", forbidden[i]);
        expect_refused(3, mapped);
    }
    for (size_t i = 0; i < sizeof(forbidden6) / sizeof(forbidden6[0]); i++)
        expect_refused(3, forbidden6[i]);
}

/* An address of the host's own is refused by its route, whatever its bits say. */
Test(net_closed, own_addresses)
{
    enum net_class why;
    uint8_t addr[16];

    net_map_v4(addr, INADDR_LOOPBACK);
    cr_assert_eq(net_routes_look_up(&net->routes, addr, 0), NET_ROUTE_LOCAL);
    cr_assert_eq(net_decide(&plan, addr, 80, NET_ROUTE_LOCAL, &why), -EACCES);
    memset(addr, 0, 16);
    addr[15] = 1;
    cr_assert_eq(net_routes_look_up(&net->routes, addr, 0), NET_ROUTE_LOCAL);
    net_map_v4(addr, 0xffffffff);
    cr_assert_neq(net_routes_look_up(&net->routes, addr, 0), NET_ROUTE_UNICAST);
}

/* A connected socket can't be turned to a forbidden place by a record. */
Test(net_closed, publications_only)
{
    struct p9_cursor *m;

    cr_assert_eq(make_socket(1, AF_INET, SOCK_STREAM), 0);
    m = client_begin(&c, 0, P9_Tnlisten);
    p9_put32(m, 1);
    p9_put16(m, 8080);
    p9_put32(m, 16);
    cr_expect_eq(client_call(&c), -EADDRNOTAVAIL);
}

static void start_listed(void)
{
    static const struct net_rule rule = { { [10] = 0xff, 0xff, 93, 184, 216, 34 }, 128, 443 };

    plan.outgoing = plan.listed = true;
    plan.rules[0] = rule;
    plan.rule_count = 1;
    plan.names[0] = (struct net_name){ "good.example", 0, 1 };
    plan.name_count = 1;
    start();
}

static size_t put_query(char *q, const char *first, const char *second)
{
    size_t n = 12, a = strlen(first), b = strlen(second);

    memcpy(q, "\x11\x22\1\0\0\1\0\0\0\0\0\0", 12);
    q[n++] = (char)a;
    memcpy(q + n, first, a);
    n += a;
    q[n++] = (char)b;
    memcpy(q + n, second, b);
    n += b;
    memcpy(q + n, "\0\0\1\0\1", 5);
    return n + 5;
}

TestSuite(net_listed, .init = start_listed, .fini = stop);

Test(net_listed, name_service_knows_the_list_only)
{
    char q[128];
    size_t n = put_query(q, "good", "example");

    cr_assert_eq(make_socket(1, AF_INET, SOCK_DGRAM), 0);
    put_record(1, "169.254.53.53", 53, q, (uint32_t)n);
    cr_assert_eq(run(), 0);
    cr_assert_eq(block(1)->rx_tail, HEAD + ((n + 16 + 15) & ~15u));
    cr_expect_arr_eq(rx_ring(1) + HEAD + n + 16 - 4, "\x5d\xb8\xd8\x22", 4);
    cr_assert_eq(call_end(P9_Tnconnect, 1, "169.254.53.53", 53), 0);
    block(1)->rx_head = block(1)->rx_tail;
    n = put_query(q, "evil", "example");
    put_record(1, NULL, 0, q, (uint32_t)n);
    cr_assert_eq(run(), 0);
    cr_expect_eq(rx_ring(1)[block(1)->rx_head % RECORD_RING + HEAD + 3] & 15, 3);
}

/* -EACCES also where the host has no such sockets for this user. */
static int guest_ping(const char *addr)
{
    int err = make_echo_socket(9);

    return err ? err : call_end(P9_Tncheck, 9, addr, 0);
}

static int guest_shutdown(uint32_t n, uint8_t how)
{
    struct p9_cursor *m = client_begin(&c, 0, P9_Tnshutdown);

    p9_put32(m, n);
    p9_put8(m, how);
    return client_call(&c);
}

Test(net_listed, only_the_list)
{
    cr_assert_eq(make_socket(1, AF_INET, SOCK_STREAM), 0);
    cr_expect_eq(call_end(P9_Tnconnect, 1, "93.184.216.34", 80), -EACCES);
    cr_expect_eq(call_end(P9_Tnconnect, 1, "93.184.216.35", 443), -EACCES);
    cr_expect_eq(call_end(P9_Tnconnect, 1, "8.8.8.8", 53), -EACCES);
    cr_expect_eq(guest_ping("93.184.216.34"), -EACCES); /* a rule with a port permits no echo */
}

/* That a place was asked for and refused opens nothing for what comes from there. */
Test(net_listed, refused_place_stays_closed)
{
    uint16_t port, other;
    int stranger = listen_host(AF_INET, SOCK_DGRAM, &other);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char q[128];
    uint32_t n = (uint32_t)put_query(q, "good", "example");

    plan.host_loopback = true;
    close(listen_host(AF_INET, SOCK_DGRAM, &port));
    to.sin_port = htons(port);
    cr_assert_eq(make_socket(1, AF_INET, SOCK_DGRAM), 0);
    cr_assert_eq(bind_guest(1, "0.0.0.0", port, 0), 0);
    cr_expect_eq(call_end(P9_Tncheck, 1, "169.254.53.1", other), -EACCES);
    put_record(1, "169.254.53.1", other, "x", 1);
    cr_assert_eq(run(), 0);
    cr_expect_eq(block(1)->error, EACCES);
    cr_assert_eq(sendto(stranger, "evil", 4, 0, (void *)&to, sizeof(to)), 4);
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(run(), 0);
    cr_expect_eq(block(1)->rx_tail, 0);
    put_record(1, "169.254.53.53", 53, q, n); /* the name service answers all the same */
    cr_assert_eq(run(), 0);
    cr_expect_eq(wait_record(1)->end.port, 53);
    close(stranger);
}

/* RFC 7766: length, query; several at once, in pieces, and then the end. */
Test(net_listed, name_service_by_stream)
{
    char q[130];
    uint32_t n = (uint32_t)put_query(q + 2, "good", "example"), answer = 2 + n + 16;

    q[0] = 0;
    q[1] = (char)n;
    cr_assert_eq(make_socket(1, AF_INET, SOCK_STREAM), 0);
    cr_assert_eq(call_end(P9_Tnconnect, 1, "169.254.53.53", 53), 0);
    cr_assert(block(1)->state & NET_CONNECTED);
    guest_write(1, q, 1);
    cr_assert_eq(run(), 0);
    guest_write(1, q + 1, n);
    cr_assert_eq(run(), 0);
    cr_assert_eq(block(1)->rx_tail, 0);
    guest_write(1, q + n + 1, 1);
    guest_write(1, q, n + 2);
    cr_assert_eq(run(), 0);
    cr_assert_eq(block(1)->rx_tail, 2 * answer);
    cr_expect_eq(rx_ring(1)[answer + 1], n + 16);
    cr_expect_arr_eq(rx_ring(1) + 2 * answer - 4, "\x5d\xb8\xd8\x22", 4);
    cr_expect_not(block(1)->state & NET_EOF);
    cr_assert_eq(guest_shutdown(1, SHUT_WR), 0);
    cr_assert_eq(run(), 0);
    cr_expect(block(1)->state & NET_EOF);
    cr_assert_eq(close_socket(1, 0), 0);
}

/* What can't be a query ends the connection; a ring without room makes answers wait. */
Test(net_listed, name_service_by_stream_hostile)
{
    char q[130] = { 127, 127 };
    uint32_t n = (uint32_t)put_query(q + 2, "good", "example");

    cr_assert_eq(make_socket(1, AF_INET, SOCK_STREAM), 0);
    cr_assert_eq(call_end(P9_Tnconnect, 1, "169.254.53.53", 53), 0);
    guest_write(1, q, 2);
    cr_assert_eq(run(), 0);
    cr_expect(block(1)->state & NET_HUP);
    cr_assert_eq(make_socket(2, AF_INET, SOCK_STREAM), 0);
    cr_assert_eq(call_end(P9_Tnconnect, 2, "169.254.53.53", 53), 0);
    q[0] = 0;
    q[1] = (char)n;
    for (unsigned i = 0; i < 1000; i++)
        guest_write(2, q, n + 2);
    RUN_UNTIL(block(2)->rx_stalled == 1);
    cr_expect_leq(block(2)->rx_tail, RING);
    block(2)->rx_head = block(2)->rx_tail;
    submit(2);
    cr_assert_eq(run(), 0);
    cr_expect_gt(block(2)->rx_tail, block(2)->rx_head);
}

/* --- published ports --- */

static uint16_t host_port[2];

/* A socket that was given its port: one that chose it itself loses it when it stops listening. */
static int bind_to_free_port(int type, uint16_t *ret_port)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(sa);
    const int one = 1;
    int chooser = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    bind(chooser, (void *)&sa, size);
    getsockname(chooser, (void *)&sa, &size);
    close(chooser);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)); /* as vmm does: it listens again beside its connections */
    cr_assert_eq(bind(fd, (void *)&sa, size), 0);
    *ret_port = ntohs(sa.sin_port);
    return fd;
}

static void start_published(void)
{
    for (int i = 0; i < 2; i++) {
        int fd = bind_to_free_port(i ? SOCK_DGRAM : SOCK_STREAM, &host_port[i]);

        plan.publish[i] = (struct net_publish){ fd, 80, host_port[i], i == 1 };
    }
    plan.publish_count = 2;
    start();
}

static int connect_host(int type, uint16_t port)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    if (connect(fd, (void *)&sa, sizeof(sa)) == 0)
        return fd;
    close(fd);
    return -errno;
}

static int guest_listen(uint32_t n, uint16_t port)
{
    struct p9_cursor *m = client_begin(&c, 0, P9_Tnlisten);

    p9_put32(m, n);
    p9_put16(m, port);
    p9_put32(m, 16);
    return client_call(&c);
}

static int guest_accept(uint32_t n, uint32_t new_number)
{
    struct p9_cursor *m = client_begin(&c, 0, P9_Tnaccept);

    p9_put32(m, n);
    p9_put32(m, new_number);
    memset(block(new_number), 0, 64);
    put_rings(m, new_number, RING);
    return client_call(&c);
}

TestSuite(net_published, .init = start_published, .fini = stop);

Test(net_published, streams)
{
    int fd[3];

    cr_assert_eq(connect_host(SOCK_STREAM, host_port[0]), -ECONNREFUSED);
    cr_assert_eq(make_socket(1, AF_INET, SOCK_STREAM), 0);
    cr_assert_eq(guest_listen(1, 81), -EADDRNOTAVAIL);
    cr_assert_eq(guest_listen(1, 80), 0);
    cr_assert_eq(guest_accept(1, 2), -EAGAIN);
    for (int i = 0; i < 3; i++)
        cr_assert_geq(fd[i] = connect_host(SOCK_STREAM, host_port[0]), 0);
    for (uint32_t i = 0; i < 3; i++) {
        RUN_UNTIL(block(1)->state & NET_ACCEPT);
        cr_assert_eq(guest_accept(1, 2 + i), 0);
        guest_write(2 + i, "hi", 2);
    }
    cr_assert_not(block(1)->state & NET_ACCEPT);
    RUN_UNTIL(block(4)->tx_head == 2);
    cr_assert_eq(make_socket(8, AF_INET, SOCK_STREAM), 0);
    cr_assert_eq(guest_listen(8, 80), -EADDRINUSE);
    cr_assert_eq(close_socket(1, 0), 0);
    cr_assert_eq(connect_host(SOCK_STREAM, host_port[0]), -ECONNREFUSED);
    cr_assert_eq(guest_listen(8, 80), 0);
    cr_assert_geq(fd[1] = connect_host(SOCK_STREAM, host_port[0]), 0);
    RUN_UNTIL(block(8)->state & NET_ACCEPT);
}

/* A published datagram socket answers those who wrote to it, and nobody else. */
Test(net_published, datagrams)
{
    const struct net_record *record;
    char text[8];
    int fd = connect_host(SOCK_DGRAM, host_port[1]);

    cr_assert_eq(make_socket(1, AF_INET, SOCK_DGRAM), 0);
    cr_assert_eq(guest_listen(1, 80), 0);
    cr_assert_eq(write(fd, "ask", 3), 3);
    RUN_UNTIL(block(1)->rx_tail == HEAD + 16);
    record = (const void *)rx_ring(1);
    put_record(1, "169.254.53.1", record->end.port, "reply", 5);
    cr_assert_eq(run(), 0);
    cr_assert_eq(recv(fd, text, sizeof(text), MSG_DONTWAIT), 5);
    put_record(1, "169.254.53.1", (uint16_t)(record->end.port + 1), "other", 5);
    cr_assert_eq(run(), 0);
    cr_assert_eq(block(1)->error, ENETUNREACH);
    cr_assert_eq(call_end(P9_Tncheck, 1, "8.8.8.8", 80), -ENETUNREACH);
}

/* Without --net nothing goes out, though ports are published. */
Test(net_published, nothing_else)
{
    cr_assert_eq(make_socket(1, AF_INET, SOCK_STREAM), 0);
    cr_assert_eq(call_end(P9_Tnconnect, 1, "8.8.8.8", 80), -ENETUNREACH);
    cr_assert_eq(call_end(P9_Tnconnect, 1, "127.0.0.1", 80), -ENETUNREACH);
}

static void start_slow(void)
{
    plan.rate = 100000;
    start_open();
}

TestSuite(net_rate, .init = start_slow, .fini = stop);

Test(net_rate, bytes_a_second)
{
    static uint8_t data[RING];
    struct timespec t0, t1;
    int listener, fd = connect_guest(1, &listener);
    size_t got = 0;
    double seconds;

    clock_gettime(CLOCK_MONOTONIC, &t0);
    while (got < 150000) {
        ssize_t n;

        guest_write(1, data, RING - (block(1)->tx_tail - block(1)->tx_head));
        cr_assert_eq(run(), 0);
        n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
    }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    seconds = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
    cr_assert(seconds > 0.7, "%f", seconds); /* a burst of 64 KiB is free */
    close(fd);
    close(listener);
}
