/*
 * Host sockets of the gofer against a hostile guest: messages, control blocks, queues and rings by the input's choice. Sockets are real
 * but lead nowhere except to two ends on this host's loopback that the target itself holds.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gofer/engine.h"
#include "gofer/net.h"

#define SOCKETS 6u
#define STEPS_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct net_plan plan;
static struct net net;
static struct engine engine;
static uint8_t *arena;
static uint16_t port;

static void on_reply(void *arg, uint32_t cookie, uint32_t len)
{
    (void)arg;
    (void)cookie;
    (void)len;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(sa);
    int one = 1;

    (void)argc;
    (void)argv;
    arena = mmap(NULL, ARENA_SIZE + NET_REGION_SIZE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    plan.outgoing = plan.host_loopback = plan.listed = true;
    for (int i = 0; i < 2; i++) {
        int fd = socket(AF_INET, (i ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(fd, (void *)&sa, size) < 0)
            abort();
        getsockname(fd, (void *)&sa, &size);
        plan.publish[i] = (struct net_publish){ fd, 80, 0, i == 1 };
    }
    port = ntohs(sa.sin_port);
    plan.publish_count = 2;
    net_map_v4(plan.rules[0].addr, INADDR_LOOPBACK);
    plan.rules[0].prefix = 128;
    plan.rules[0].port = port; /* nothing else of this host can be reached */
    plan.rule_count = 1;
    return 0;
}

struct input {
    const uint8_t *data;
    size_t size;
};

static uint32_t take(struct input *in, unsigned bytes)
{
    uint32_t v = 0;

    while (bytes--) {
        v <<= 8;
        if (in->size) {
            v |= *in->data++;
            in->size--;
        }
    }
    return v;
}

/* Mostly values that mean something. */
static uint32_t number(struct input *in)
{
    uint32_t v = take(in, 1);

    return v < 250 ? v % SOCKETS : take(in, 4);
}

static void put_end(struct input *in, struct p9_cursor *m)
{
    uint32_t v4 = take(in, 1) & 1 ? NET_HOST_ADDR : NET_DNS_ADDR(0);
    uint8_t addr[16];

    net_map_v4(addr, v4);
    if (take(in, 1) > 200)
        for (unsigned i = 0; i < 16; i++)
            addr[i] = (uint8_t)take(in, 1);
    p9_put_bytes(m, addr, 16);
    p9_put32(m, 0);
    p9_put16(m, v4 == NET_HOST_ADDR ? port : 53);
    p9_put16(m, (uint16_t)(take(in, 1) < 16 ? 0 : AF_INET));
}

static void put_rings(struct input *in, struct p9_cursor *m)
{
    for (unsigned i = 0; i < 2; i++) {
        bool sane = take(in, 1) < 240;

        p9_put32(m, sane ? take(in, 1) << 12 : take(in, 4));
        p9_put32(m, sane ? 4096u << take(in, 1) % 9 : take(in, 4));
    }
}

static void message(struct input *in)
{
    static const uint8_t types[] = { P9_Tnsocket, P9_Tnconnect, P9_Tnlisten, P9_Tnaccept,   P9_Tncheck, P9_Tnoob,
                                     P9_Tnsetopt, P9_Tngetopt,  P9_Tnclose,  P9_Tnshutdown, P9_Tnname, P9_Tnbind };
    uint8_t type = types[take(in, 1) % sizeof(types)];
    uint8_t out[1024], reply[4096];
    struct p9_cursor m;
    struct p9_io io = { .in = { { out, 0 } }, .out = { { reply, sizeof(reply) } }, .in_count = 1, .out_count = 1,
                        .out_size = sizeof(reply) };

    p9_cursor_init(&m, out, sizeof(out));
    p9_begin(&m, type, 1);
    p9_put32(&m, number(in));
    switch (type) {
    case P9_Tnsocket:
        p9_put16(&m, take(in, 1) & 1 ? AF_INET : AF_INET6);
        p9_put16(&m, (uint16_t)(take(in, 1) % 4));
        p9_put16(&m, take(in, 1) & 1 ? 0 : IPPROTO_ICMP);
        put_rings(in, &m);
        break;
    case P9_Tnconnect:
    case P9_Tncheck:
        put_end(in, &m);
        break;
    case P9_Tnbind:
        put_end(in, &m);
        p9_put32(&m, take(in, 1));
        break;
    case P9_Tnlisten:
        p9_put16(&m, 80);
        p9_put32(&m, take(in, 4));
        break;
    case P9_Tnaccept:
        p9_put32(&m, number(in));
        put_rings(in, &m);
        break;
    case P9_Tnsetopt:
        p9_put32(&m, take(in, 1));
        p9_put32(&m, take(in, 1));
        p9_put_str(&m, (const char *)in->data, in->size < 16 ? in->size : 16);
        break;
    case P9_Tngetopt:
        p9_put32(&m, take(in, 1));
        p9_put32(&m, take(in, 1));
        p9_put16(&m, (uint16_t)take(in, 2));
        break;
    case P9_Tnoob:
        p9_put8(&m, (uint8_t)take(in, 1));
        p9_put8(&m, 0);
        break;
    case P9_Tnshutdown:
        p9_put8(&m, (uint8_t)take(in, 1) % 5);
        break;
    case P9_Tnclose:
        p9_put32(&m, take(in, 1));
        break;
    }
    io.in_size = io.in[0].iov_len = p9_finish(&m);
    engine_handle(&engine, &io);
}

static struct net_block *block(uint32_t n)
{
    return (struct net_block *)(void *)(arena + ARENA_SIZE + NET_BLOCK_OFFSET) + n % NET_SOCKET_MAX;
}

static void submit(uint32_t n)
{
    struct net_header *h = (void *)(arena + ARENA_SIZE);
    uint32_t *queue = (void *)(arena + ARENA_SIZE + NET_SUBMIT_OFFSET);

    queue[h->submit_tail++ % NET_SOCKET_MAX] = n;
}

static void memory(struct input *in)
{
    uint32_t n = take(in, 1) % SOCKETS;
    uint8_t *rings = arena + ARENA_SIZE + NET_RINGS_OFFSET;

    switch (take(in, 1) % 6) {
    case 0:
        block(n)->tx_tail += take(in, 1);
        break;
    case 1:
        block(n)->rx_head += take(in, 1);
        break;
    case 2:
        ((uint32_t *)(void *)block(n))[take(in, 1) % 32] = take(in, 4);
        break;
    case 3:
        memset(block(n), 0, 64);
        break;
    default: { /* a record's head at some place */
        struct net_record *r = (void *)(rings + (take(in, 1) << 12) + take(in, 1) * 16);

        r->length = take(in, 2);
        r->end.family = AF_INET;
        net_map_v4(r->end.addr, take(in, 1) & 1 ? NET_HOST_ADDR : NET_DNS_ADDR(0));
        r->end.port = take(in, 1) & 1 ? port : 53;
        r->ttl = (int32_t)take(in, 1) - 1;
        r->tos = (int32_t)take(in, 1) - 1;
        if (take(in, 1) & 1)
            memcpy(r->local, r->end.addr, sizeof(r->local));
        break;
    }
    }
    submit(take(in, 1) < 250 ? n : take(in, 4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { data, size };
    struct net_config nc = { .plan = &plan, .arena = arena, .arena_size = ARENA_SIZE + NET_REGION_SIZE, .call_fd = -1,
                             .kick_fd = -1, .socket_max = SOCKETS + 2 };
    struct engine_config ec = { .control_fd = -1, .proc_fd = -1, .fid_max = 1, .net = &net, .reply = on_reply };
    int err = 0;

    memset(arena + ARENA_SIZE, 0, 4096);
    for (uint32_t n = 0; n < SOCKETS; n++)
        memset(block(n), 0, sizeof(struct net_block));
    if (net_init(&net, &nc) || engine_init(&engine, &ec))
        abort();
    net.refused_lines = 1000; /* no lines on stderr */
    engine.versioned = engine.extended = true;
    for (unsigned i = 0; i < STEPS_MAX && in.size && !err; i++) {
        int timeout = -1;

        if (take(&in, 1) & 1)
            message(&in);
        else
            memory(&in);
        err = net_run(&net);
        net_look(&net);
        net_before_sleep(&net, &timeout);
    }
    engine_destroy(&engine);
    net_destroy(&net);
    return 0;
}
