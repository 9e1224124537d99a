/* Host sockets: the region, numbers and ring memory, the two queues, messages. See gofer.h. */
#include "net/gofer.h"

#include <linux/rtnetlink.h>

#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "drivers/ring.h"
#include "lib/kmalloc.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "net/netdev.h"
#include "proc/sched.h"

/*
 * Rings are large while there are few sockets, and small when there are many: 10,000 connections fit. A ring that is full or empty costs a
 * sleep and a wake-up on both sides, so its size decides how fast a bulk transfer is. Freed ring memory is used again last in, first
 * out, since memory that has been touched is what a ring costs.
 */
#define SOME_SOCKETS 24u
#define MANY_SOCKETS 64u
#define VERY_MANY_SOCKETS 900u
#define RING_FEW (512u << 10)
#define RING_SOME (128u << 10)
#define RING_MANY (32u << 10)
#define RING_VERY_MANY (8u << 10)
#define RING_RECORDS NET_RECORD_RING_MIN
#define RING_CLASSES 9u /* 4 KiB … 1 MiB */
#define UNRUNG_MAX 8u  /* a doorbell may cost a switch of threads: one for so many sockets that are sent to in a row */
#define ROOM_SHARE 2u   /* a ring that is half empty counts as having room again, as the gofer sees it */
#define CORK_NS (NSEC_PER_SEC / 5) /* tcp(7) */
#define DRAIN_HURRY_NS (NSEC_PER_SEC / 2)
#define DRAIN_NS (10 * NSEC_PER_SEC) /* at the end: how long no byte may leave before what is left is given up */

static struct {
    struct net_header *header; /* NULL: no network */
    struct net_block *blocks;
    uint32_t *submit_queue, *event_queue;
    uint8_t *rings;
    uint32_t rings_size, rings_used;   /* bytes; what was never handed out is behind */
    uint32_t free_ring[RING_CLASSES];  /* offset + 1 of the first; the next one's is in its first word */
    uint32_t submit_tail, event_head;
    struct outside_sock **table;
    uint16_t *free_number;             /* a stack */
    uint32_t free_count, live;
    uint32_t kick;
    uint32_t unrung;            /* submissions since the last doorbell, while the gofer naps */
    uint32_t burst, last_burst; /* how many there are from one look of the scheduler to the next */
} net;

/* The way out, as getifaddrs(3) shows it: programs look for addresses before they ask for such. */
static struct netdev way_out = {
    .index = OUTSIDE_DEVICE,
    .name = "eth0",
    .flags = NETDEV_UP | NETDEV_RUNNING | NETDEV_LOWER_UP,
    .mtu = 1500,
    .tx_queue_len = 1000,
    .type = 1, /* ARPHRD_ETHER */
    .hwaddr = { 0x02, 0, 0, 0, 0, 2 },
    .addrs = { { AF_INET, { 169, 254, 53, 2 }, 24, RT_SCOPE_UNIVERSE },
               { AF_INET6, { 0xfd, 0x76, 0x6d, 0x6d, [15] = 2 }, 64, RT_SCOPE_UNIVERSE } },
    .addr_count = 1,
};

/* --- source addresses --- */

/* end: also where the host has bound it. */
static int bind_host(const struct inet_sock *i, struct inet_end *end, uint32_t flags)
{
    struct ring_request *rq = outside_request(P9_Tnbind, i->outside);
    int err;

    outside_put_end(rq, end);
    p9_put32(&rq->out, flags);
    err = (int)ring_call(rq);
    if (err == 0)
        outside_get_end(rq, end);
    ring_put(rq);
    return err;
}

void outside_keep_binding(struct inet_sock *i)
{
    struct inet_end end = { .port = i->local.port };

    if (i->bound_addr && !inet_is_inside(i->local.addr)) {
        end = i->local;
        bind_host(i, &end, NET_BIND_EXACT);
    } else if (i->named) {
        if (i->s.family == AF_INET)
            memset(end.addr + 10, 0xff, 2); /* 0.0.0.0 */
        bind_host(i, &end, 0);
    }
}

static int adopt(struct socket *s)
{
    bool is_new = !inet_sock(s)->outside;
    int err = s->type == SOCK_STREAM ? gofer_tcp_adopt(s) : gofer_udp_adopt(s);

    if (err == 0 && is_new)
        outside_keep_binding(inet_sock(s));
    return err;
}

static int bind_outside(struct inet_sock *i, const struct inet_end *end)
{
    struct inet_end local = *end;
    int err = adopt(&i->s);

    if (err == 0)
        err = bind_host(i, &local, NET_BIND_EXACT);
    if (err < 0)
        return err;
    i->local = local;
    i->bound_addr = i->bound_port = i->named = true;
    return 0;
}

/* The address that the way out has inside. */
static bool is_own(const uint8_t addr[16])
{
    if (inet_is_v4(addr))
        return memcmp(addr + 12, way_out.addrs[0].addr, 4) == 0;
    return boot_info.net_v6 && inet_same(addr, way_out.addrs[1].addr);
}

static const struct inet_outside outside = {
    .adopt = adopt,
    .listening = gofer_publish_listening,
    .unlisten = gofer_publish_unlisten,
    .is_own = is_own,
    .bind = bind_outside,
};

static bool poll_events(void);

void gofer_net_init(void)
{
    size_t table_pages = NET_SOCKET_MAX * sizeof(*net.table) / PAGE_SIZE;
    size_t stack_pages = NET_SOCKET_MAX * sizeof(*net.free_number) / PAGE_SIZE;
    uint8_t *region;

    if (boot_info.arena_size < ARENA_SIZE + NET_REGION_SIZE)
        return;
    region = gpa_to_ptr(boot_info.arena + ARENA_SIZE);
    net.table = pages_alloc(table_pages);
    net.free_number = pages_alloc(stack_pages);
    if (!net.table || !net.free_number)
        return;
    memset(net.table, 0, table_pages * PAGE_SIZE);
    for (uint32_t i = 0; i < NET_SOCKET_MAX; i++)
        net.free_number[i] = (uint16_t)(NET_SOCKET_MAX - 1 - i);
    net.free_count = NET_SOCKET_MAX;
    net.blocks = (struct net_block *)(region + NET_BLOCK_OFFSET);
    net.submit_queue = (uint32_t *)(region + NET_SUBMIT_OFFSET);
    net.event_queue = (uint32_t *)(region + NET_EVENT_OFFSET);
    net.rings = region + NET_RINGS_OFFSET;
    net.rings_size = NET_REGION_SIZE - NET_RINGS_OFFSET;
    net.header = (struct net_header *)region;
    way_out.addr_count += boot_info.net_v6;
    list_push_back(netdev_all(), &way_out.node);
    inet_outside = &outside;
    sched_add_poller(poll_events);
}

/* --- ring memory --- */

static uint32_t class_of(uint32_t size)
{
    uint32_t class = 0;

    while (NET_RING_MIN << class < size)
        class ++;
    return class;
}

static bool ring_alloc(struct outside_ring *r, uint32_t size)
{
    for (uint32_t c = class_of(size); c < RING_CLASSES; c++) {
        uint32_t first = net.free_ring[c];

        if (first) {
            r->offset = first - 1;
            r->size = NET_RING_MIN << c;
            r->base = net.rings + r->offset;
            memcpy(&net.free_ring[c], r->base, sizeof(uint32_t));
            return true;
        }
        if (c == class_of(size) && net.rings_size - net.rings_used >= size) {
            r->offset = net.rings_used;
            r->size = size;
            r->base = net.rings + r->offset;
            net.rings_used += size;
            return true;
        }
    }
    return false;
}

static void ring_free(struct outside_ring *r)
{
    uint32_t c = class_of(r->size);

    if (!r->size)
        return;
    memcpy(r->base, &net.free_ring[c], sizeof(uint32_t));
    net.free_ring[c] = r->offset + 1;
    r->size = 0;
}

static uint32_t ring_size(const struct socket *s)
{
    if (s->type == SOCK_DGRAM)
        return RING_RECORDS;
    if (net.live < MANY_SOCKETS)
        return net.live < SOME_SOCKETS ? RING_FEW : RING_SOME;
    return net.live < VERY_MANY_SOCKETS ? RING_MANY : RING_VERY_MANY;
}

/* --- life --- */

void outside_free(struct outside_sock *o)
{
    timer_cancel(&o->cork_timer);
    net.table[o->number] = NULL;
    net.free_number[net.free_count++] = (uint16_t)o->number;
    net.live--;
    ring_free(&o->tx);
    ring_free(&o->rx);
    kfree(o);
}

static struct outside_sock *allocate(struct socket *s)
{
    struct outside_sock *o = net.free_count ? kzalloc(sizeof(*o)) : NULL;

    if (!o)
        return NULL;
    o->s = s;
    mutex_init(&o->write_lock);
    o->number = net.free_number[--net.free_count];
    o->block = &net.blocks[o->number];
    net.table[o->number] = o;
    net.live++;
    o->block->tx_tail = o->block->rx_head = o->block->want = o->block->submitted = 0;
    if (ring_alloc(&o->tx, ring_size(s)) && ring_alloc(&o->rx, ring_size(s)))
        return o;
    outside_free(o);
    return NULL;
}

struct ring_request *outside_request(uint8_t type, const struct outside_sock *o)
{
    struct ring_request *rq = ring_get(type);

    p9_put32(&rq->out, o->number);
    return rq;
}

void outside_put_rings(struct ring_request *rq, const struct outside_sock *o)
{
    p9_put32(&rq->out, o->tx.offset);
    p9_put32(&rq->out, o->tx.size);
    p9_put32(&rq->out, o->rx.offset);
    p9_put32(&rq->out, o->rx.size);
}

void outside_put_end(struct ring_request *rq, const struct inet_end *end)
{
    p9_put_bytes(&rq->out, end->addr, 16);
    p9_put32(&rq->out, 0);
    p9_put16(&rq->out, end->port);
    p9_put16(&rq->out, inet_is_v4(end->addr) ? AF_INET : AF_INET6);
}

void outside_get_end(struct ring_request *rq, struct inet_end *end)
{
    const uint8_t *addr = p9_take(&rq->in, 16);

    if (addr)
        memcpy(end->addr, addr, 16);
    p9_get32(&rq->in);
    end->port = p9_get16(&rq->in);
    p9_get16(&rq->in);
}

long outside_call(struct ring_request *rq)
{
    long err = ring_call(rq);

    ring_put(rq);
    return err;
}

static void posted(struct ring_request *rq, long error UNUSED)
{
    ring_put(rq);
}

void outside_post(struct ring_request *rq)
{
    rq->complete = posted;
    ring_submit(rq);
    ring_notify();
}

struct outside_sock *outside_create(struct socket *s, bool make_host, int *err)
{
    struct outside_sock *o = allocate(s);
    struct ring_request *rq;

    *err = -ENOBUFS;
    if (!o || !make_host)
        return o;
    rq = outside_request(P9_Tnsocket, o);
    p9_put16(&rq->out, (uint16_t)s->family);
    p9_put16(&rq->out, (uint16_t)s->type);
    p9_put16(&rq->out, (uint16_t)(s->type == SOCK_DGRAM ? s->protocol : 0));
    outside_put_rings(rq, o);
    *err = (int)outside_call(rq);
    if (*err == 0)
        return o;
    outside_free(o);
    return NULL;
}

static void closed(struct ring_request *rq, long error)
{
    struct outside_sock *o = rq->context;

    ring_put(rq);
    o->closing = false;
    if (error != -EINPROGRESS || outside_state(o) & NET_RELEASED) /* else that comes as an event */
        outside_free(o);
}

void outside_close(struct outside_sock *o, bool abort)
{
    struct ring_request *rq;

    outside_flush(o);
    rq = outside_request(P9_Tnclose, o);
    o->s = NULL;
    o->closing = true;
    p9_put32(&rq->out, abort ? NET_CLOSE_ABORT : 0);
    rq->context = o;
    rq->complete = closed;
    ring_submit(rq);
    ring_notify();
}

/* --- data --- */

size_t outside_ring_put(const struct outside_ring *r, uint32_t at, struct iter *from, size_t n)
{
    uint32_t offset = at & (r->size - 1);
    size_t first = MIN(n, (size_t)(r->size - offset));
    size_t done = iter_copy_from(from, r->base + offset, first);

    if (done == first && n > first)
        done += iter_copy_from(from, r->base, n - first);
    return done;
}

size_t outside_ring_take(const struct outside_ring *r, uint32_t at, struct iter *to, size_t n)
{
    uint32_t offset = at & (r->size - 1);
    size_t first = MIN(n, (size_t)(r->size - offset));
    size_t done = iter_copy_to(to, r->base + offset, first);

    if (done == first && n > first)
        done += iter_copy_to(to, r->base, n - first);
    return done;
}

static void wake_gofer(void)
{
    net.unrung = 0;
    ring_wake_gofer();
}

void outside_submit(struct outside_sock *o)
{
    /* A full barrier: the gofer clears the flag before it looks. */
    if (__atomic_exchange_n(&o->block->submitted, 1, __ATOMIC_SEQ_CST))
        return;
    net.submit_queue[net.submit_tail++ % NET_SOCKET_MAX] = o->number;
    __atomic_store_n(&net.header->submit_tail, net.submit_tail, __ATOMIC_SEQ_CST);
    net.burst++;
    if (net.last_burst < 2 || !READ_ONCE(net.header->napping) || ++net.unrung >= UNRUNG_MAX)
        wake_gofer();
}

void outside_flush(struct outside_sock *o)
{
    if (!o->held)
        return;
    o->held = false;
    timer_cancel(&o->cork_timer);
    __atomic_store_n(&o->block->tx_tail, o->tx_tail, __ATOMIC_RELEASE);
    outside_submit(o);
}

static void cork_is_over(struct timer *timer)
{
    outside_flush(container_of(timer, struct outside_sock, cork_timer));
}

void outside_tx_add(struct outside_sock *o, uint32_t n, bool hold)
{
    o->tx_tail += n;
    if (!o->held && hold) {
        o->cork_timer.fire = cork_is_over;
        timer_set(&o->cork_timer, clock_mono_ns() + CORK_NS);
    }
    o->held = true;
    if (!hold || outside_tx_room(o) < o->tx.size / ROOM_SHARE)
        outside_flush(o);
}

void outside_rx_consume(struct outside_sock *o, uint32_t n)
{
    uint32_t used;

    o->rx_head += n;
    __atomic_store_n(&o->block->rx_head, o->rx_head, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&o->block->rx_stalled, __ATOMIC_SEQ_CST))
        return;
    used = outside_rx_used(o);
    if (used <= o->rx.size / ROOM_SHARE)
        outside_submit(o);
}

bool outside_want_room(struct outside_sock *o, uint32_t needed)
{
    o->want_room = true;
    __atomic_store_n(&o->block->want, NET_WANT_ROOM, __ATOMIC_SEQ_CST);
    return outside_tx_room(o) >= needed;
}

/* --- events --- */

static void room_event(struct outside_sock *o)
{
    if (!o->want_room || outside_tx_room(o) < o->tx.size / ROOM_SHARE)
        return;
    o->want_room = false;
    o->block->want = 0;
    if (o->s)
        socket_wake_write(o->s);
}

static void error_event(struct outside_sock *o)
{
    uint32_t count = __atomic_load_n(&o->block->error_count, __ATOMIC_ACQUIRE);

    if (count == o->errors_seen)
        return;
    o->errors_seen = count;
    if (o->s)
        socket_set_error(o->s, (int)(READ_ONCE(o->block->error) & 4095));
}

static void take_event(struct outside_sock *o)
{
    uint32_t state = outside_state(o);

    if (!o->s) { /* closed by the app */
        if (state & NET_RELEASED && !o->closing)
            outside_free(o);
        return;
    }
    if (o->listener) {
        gofer_publish_event(o, state);
        return;
    }
    error_event(o);
    if (o->s->type == SOCK_STREAM)
        gofer_tcp_event(o, state);
    else
        gofer_udp_event(o);
    room_event(o);
}

/* Called whenever a thread makes way for others. */
static bool poll_events(void)
{
    bool any = false;

    if (net.unrung)
        wake_gofer();
    if (net.burst) {
        net.last_burst = net.burst;
        net.burst = 0;
    }
    while (gofer_net_pending()) {
        uint32_t number = net.event_queue[net.event_head % NET_SOCKET_MAX] % NET_SOCKET_MAX;
        struct outside_sock *o = net.table[number];

        net.event_head++;
        __atomic_store_n(&net.header->event_head, net.event_head, __ATOMIC_RELEASE);
        __atomic_exchange_n(&net.blocks[number].evented, 0, __ATOMIC_SEQ_CST); /* from here on a new event comes */
        if (o)
            take_event(o);
        any = true;
    }
    return any;
}

void outside_look(void)
{
    if (gofer_net_pending())
        poll_events();
}

bool gofer_net_pending(void)
{
    return net.header && __atomic_load_n(&net.header->event_tail, __ATOMIC_ACQUIRE) != net.event_head;
}

bool gofer_net_active(void)
{
    return net.live > 0;
}

void gofer_net_before_app(bool others)
{
    uint32_t kick = net.live > 0 && others;

    if (net.kick == kick)
        return;
    net.kick = kick;
    __atomic_store_n(&net.header->kick, kick, __ATOMIC_RELAXED);
}

/* --- the end --- */

static uint64_t bytes_left(uint32_t *ret_sockets)
{
    uint64_t left = 0;

    *ret_sockets = 0;
    for (uint32_t i = 0, seen = 0; i < NET_SOCKET_MAX && seen < net.live; i++) {
        const struct outside_sock *o = net.table[i];

        if (!o)
            continue;
        seen++;
        left += o->tx.size - outside_tx_room(o);
        *ret_sockets += !o->s && !(outside_state(o) & NET_RELEASED);
    }
    return left;
}

/*
 * The host sends what its sockets hold after the end, as it does for a process that ends; what is still in our rings it wouldn't
 * know of.
 */
void gofer_net_drain(bool hurry)
{
    uint64_t left, before = UINT64_MAX, deadline = 0;
    uint32_t sockets;

    while (net.live > 0 && !ring_is_dead()) {
        uint64_t now = clock_mono_ns();

        ring_poll();
        poll_events();
        left = bytes_left(&sockets);
        if (left == 0 && sockets == 0)
            return;
        if (left != before)
            deadline = now + (hurry ? DRAIN_HURRY_NS : DRAIN_NS);
        before = left;
        if (now >= deadline)
            return;
        ring_notify();
        ring_idle(now + NSEC_PER_SEC / 10);
    }
}
