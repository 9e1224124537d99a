/*
 * Datagrams of the host (struct udp_outside in udp.h): what leads out goes through the tx ring, and what comes is moved from the rx ring
 * into the socket's queue.
 */
#include "arch/cpu.h"
#include "drivers/ring.h"
#include "lib/string.h"
#include "net/gofer.h"

#define ROOM_TO_POLL 4096u  /* with less than this it doesn't count as writable */

static uint32_t record_size(uint32_t length)
{
    return (uint32_t)(sizeof(struct net_record) + ALIGN_UP(length, NET_RECORD_ALIGN));
}

/* --- receiving --- */

static struct packet *read_record(struct outside_sock *o, struct net_record *record)
{
    struct iter_segment segment;
    struct packet *p;
    struct iter to;

    iter_kernel(&to, &segment, record, sizeof(*record));
    outside_ring_take(&o->rx, o->rx_head, &to, sizeof(*record));
    if (record_size(record->length) > outside_rx_used(o))
        return NULL;
    p = packet_alloc(record->length);
    if (!p)
        return NULL;
    iter_kernel(&to, &segment, p->data, record->length);
    outside_ring_take(&o->rx, o->rx_head + (uint32_t)sizeof(*record), &to, record->length);
    p->len = record->length;
    memcpy(p->inet.from.addr, record->end.addr, 16);
    p->inet.from.port = record->end.port;
    memcpy(p->inet.to, record->local, 16);
    p->inet.device = OUTSIDE_DEVICE;
    return p;
}

static void take_datagram(struct socket *s, struct packet *p, const struct net_record *record)
{
    static const uint8_t unknown[16];

    if (inet_same(p->inet.to, unknown))
        memcpy(p->inet.to, inet_sock(s)->local.addr, 16);
    p->inet.ttl = (uint8_t)record->ttl;
    p->inet.tos = (uint8_t)record->tos;
    if (s->opt.timestamp && record->time_ns)
        p->time_ns = MIN(record->time_ns, clock_real_ns());
    udp_receive(s, p);
}

static void take_error(struct socket *s, struct packet *p, const struct net_error *e)
{
    p->inet.error = (struct sock_error){ e->code & 4095, e->origin, e->type, e->icmp_code, 0, e->info, e->data };
    udp_push_error(udp_sock(s), p);
}

/* Into the socket's queue, as far as its buffer takes it; the rest waits in the ring, and then at the host. */
void gofer_udp_event(struct outside_sock *o)
{
    struct socket *s = o->s;

    while (outside_rx_used(o) >= sizeof(struct net_record) && s->rx.charge <= s->opt.rcvbuf) {
        struct net_record record;
        struct packet *p = read_record(o, &record);

        if (!p)
            break;
        outside_rx_consume(o, record_size(record.length));
        if (record.flags & NET_RECORD_ERROR)
            take_error(s, p, &record.error);
        else
            take_datagram(s, p, &record);
    }
}

static void gofer_udp_taken(struct udp_sock *u)
{
    if (outside_rx_used(u->i.outside) > 0)
        gofer_udp_event(u->i.outside); /* there is room for more */
}

/* --- sending --- */

/* sendto(2) tells at once if it may not go there, so the first datagram to a place asks. */
static int check(struct outside_sock *o, const struct inet_end *to)
{
    struct ring_request *rq;
    int err;

    if (o->is_checked && o->checked.port == to->port && inet_same(o->checked.addr, to->addr))
        return 0;
    rq = outside_request(P9_Tncheck, o);
    outside_put_end(rq, to);
    err = (int)outside_call(rq);
    if (err == 0) {
        o->checked = *to;
        o->is_checked = true;
    }
    return err;
}

static int wait_room(struct socket *s, uint32_t needed, uint64_t deadline_ns)
{
    struct outside_sock *o = inet_sock(s)->outside;

    if (outside_tx_room(o) >= needed || outside_want_room(o, needed))
        return 0;
    return socket_wait(&s->write_wait, outside_tx_room(o) >= needed || outside_want_room(o, needed), deadline_ns);
}

static int put_record(struct outside_sock *o, const struct udp_head *head, struct iter *data)
{
    struct net_record record = { .length = (uint32_t)data->left, .ttl = head->ttl, .tos = head->tos };
    struct iter_segment segment;
    struct iter out;

    if (!head->to_peer) {
        memcpy(record.end.addr, head->to.addr, 16);
        record.end.port = head->to.port;
        record.end.family = inet_is_v4(head->to.addr) ? AF_INET : AF_INET6;
    }
    if (head->has_source && !inet_is_inside(head->source)) /* ours is what the host makes of it anyway */
        memcpy(record.local, head->source, 16);
    iter_kernel(&out, &segment, &record, sizeof(record));
    outside_ring_put(&o->tx, o->tx_tail, &out, sizeof(record));
    if (outside_ring_put(&o->tx, o->tx_tail + (uint32_t)sizeof(record), data, record.length) < record.length)
        return -EFAULT;
    outside_tx_add(o, record_size(record.length), false);
    return 0;
}

static int gofer_udp_send(struct udp_sock *u, const struct udp_head *head, struct iter *data, bool nonblock)
{
    struct outside_sock *o = u->i.outside;
    uint64_t deadline_ns = socket_deadline(u->i.s.opt.send_timeout_ns, nonblock);
    int err = head->to_peer ? 0 : check(o, &head->to);

    if (head->has_source && inet_is_loopback(head->source))
        return -EINVAL;
    mutex_lock(&o->write_lock);
    if (err == 0)
        err = wait_room(&u->i.s, record_size((uint32_t)data->left), deadline_ns);
    if (err == 0)
        err = put_record(o, head, data);
    mutex_unlock(&o->write_lock);
    return err;
}

static bool gofer_udp_writable(struct udp_sock *u)
{
    struct outside_sock *o = u->i.outside;

    return outside_tx_room(o) >= ROOM_TO_POLL || outside_want_room(o, ROOM_TO_POLL);
}

/* --- names --- */

/* Which of the host's addresses it comes from: programs choose among destinations by that (RFC 6724). */
static void take_local_address(struct udp_sock *u)
{
    struct ring_request *rq = outside_request(P9_Tnname, u->i.outside);
    struct inet_end local;

    if (ring_call(rq) == 0) {
        outside_get_end(rq, &local);
        if (!rq->in.bad && !u->i.bound_addr)
            memcpy(u->i.local.addr, local.addr, 16);
    }
    ring_put(rq);
}

static int gofer_udp_connect(struct udp_sock *u, const struct inet_end *to)
{
    struct ring_request *rq = outside_request(P9_Tnconnect, u->i.outside);
    int err;

    if (to) {
        outside_put_end(rq, to);
    } else {
        for (unsigned i = 0; i < 3; i++)
            p9_put64(&rq->out, 0); /* an end of family 0 */
    }
    err = (int)outside_call(rq);
    if (err == 0 && to)
        take_local_address(u);
    return err;
}

static int gofer_udp_bound(struct udp_sock *u)
{
    outside_keep_binding(&u->i);
    return 0;
}

static void gofer_udp_release(struct udp_sock *u)
{
    outside_close(u->i.outside, false);
}

static const struct udp_outside gofer_udp = {
    .send = gofer_udp_send,
    .connect = gofer_udp_connect,
    .bound = gofer_udp_bound,
    .look = outside_look,
    .taken = gofer_udp_taken,
    .writable = gofer_udp_writable,
    .release = gofer_udp_release,
    .setsockopt = gofer_setsockopt,
    .getsockopt = gofer_getsockopt,
    .option_set = gofer_option_set,
};

int gofer_udp_adopt(struct socket *s)
{
    struct udp_sock *u = udp_sock(s);
    int err;

    if (u->i.outside)
        return 0;
    u->i.outside = outside_create(s, true, &err);
    if (!u->i.outside)
        return err;
    u->outside = &gofer_udp;
    gofer_send_options(s);
    return 0;
}
