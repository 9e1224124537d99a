/*
 * Datagrams of the host. A socket that is adopted keeps serving loopback addresses by what it had (udp.c): only what leads out goes
 * through the tx ring, and what comes is moved from the rx ring into the same queue.
 */
#include "arch/cpu.h"
#include "drivers/ring.h"
#include "lib/string.h"
#include "net/gofer.h"

#define PAYLOAD_MAX4 65507u /* 65535 without IPv4's and UDP's header */
#define PAYLOAD_MAX6 65527u
#define ROOM_TO_POLL 4096u  /* with less than this it doesn't count as writable */

static struct socket_ops gofer_udp_ops;

static uint32_t record_size(uint32_t length)
{
    return (uint32_t)(sizeof(struct net_record) + ALIGN_UP(length, NET_RECORD_ALIGN));
}

static struct outside_sock *outside_of(const struct socket *s)
{
    return ((const struct inet_sock *)s)->outside;
}

static bool leads_inside(const struct inet_end *to)
{
    return inet_is_any(to->addr) || inet_is_loopback(to->addr);
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
    return p;
}

/* Into the socket's queue, as far as its buffer takes it; the rest waits in the ring, and then at the host. */
void gofer_udp_event(struct outside_sock *o)
{
    struct socket *s = o->s;
    bool any = false;

    while (outside_rx_used(o) >= sizeof(struct net_record) && s->rx.charge <= s->opt.rcvbuf) {
        struct net_record record;
        struct packet *p = read_record(o, &record);

        if (!p)
            break;
        outside_rx_consume(o, record_size(record.length));
        memcpy(p->inet.from.addr, record.end.addr, 16);
        p->inet.from.port = record.end.port;
        memcpy(p->inet.to, inet_sock(s)->local.addr, 16);
        p->charge = packet_truesize(p->len);
        if (s->opt.timestamp)
            p->time_ns = clock_real_ns();
        packet_push(&s->rx, p);
        any = true;
    }
    if (any)
        socket_wake_read(s);
}

static ssize_t gofer_udp_recv(struct socket *s, struct socket_msg *msg)
{
    struct outside_sock *o = outside_of(s);
    ssize_t ret;

    outside_look();
    ret = o->inside->recv(s, msg);
    if (outside_rx_used(o) > 0)
        gofer_udp_event(o); /* there is room for more */
    return ret;
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
    struct outside_sock *o = outside_of(s);

    if (outside_tx_room(o) >= needed || outside_want_room(o, needed))
        return 0;
    return socket_wait(&s->write_wait, outside_tx_room(o) >= needed || outside_want_room(o, needed), deadline_ns);
}

/* to NULL: the connected peer. */
static int put_record(struct outside_sock *o, const struct inet_end *to, struct iter *data, uint32_t n)
{
    struct net_record record = { .length = n };
    struct iter_segment segment;
    struct iter head;

    if (to) {
        memcpy(record.end.addr, to->addr, 16);
        record.end.port = to->port;
        record.end.family = inet_is_v4(to->addr) ? AF_INET : AF_INET6;
    }
    iter_kernel(&head, &segment, &record, sizeof(record));
    outside_ring_put(&o->tx, o->tx_tail, &head, sizeof(record));
    if (outside_ring_put(&o->tx, o->tx_tail + (uint32_t)sizeof(record), data, n) < n)
        return -EFAULT;
    outside_tx_add(o, record_size(n), false);
    return 0;
}

static ssize_t send_outside(struct socket *s, struct socket_msg *msg, const struct inet_end *to)
{
    struct outside_sock *o = outside_of(s);
    uint64_t deadline_ns = socket_deadline(s->opt.send_timeout_ns, msg->flags & MSG_DONTWAIT);
    uint32_t n = (uint32_t)msg->data->left;
    int err;

    if (msg->data->left > (s->family == AF_INET || inet_is_v4(to->addr) ? PAYLOAD_MAX4 : PAYLOAD_MAX6))
        return -EMSGSIZE;
    if (to->port == 0)
        return -EINVAL;
    err = socket_take_error(s);
    if (err == 0 && (s->shut & SHUT_SEND))
        err = -EPIPE;
    if (err == 0)
        err = inet_autobind(inet_sock(s));
    if (err == 0 && msg->addr)
        err = check(o, to);
    mutex_lock(&o->write_lock);
    if (err == 0)
        err = wait_room(s, record_size(n), deadline_ns);
    if (err == 0)
        err = put_record(o, msg->addr ? to : NULL, msg->data, n);
    mutex_unlock(&o->write_lock);
    return err < 0 ? err : (ssize_t)n;
}

static ssize_t gofer_udp_send(struct socket *s, struct socket_msg *msg)
{
    struct udp_sock *u = udp_sock(s);
    struct inet_end to = u->i.remote;
    int err = 0;

    outside_look();
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (msg->addr)
        err = inet_read_addr(&u->i, msg->addr, &to);
    else if (!u->connected)
        err = -EDESTADDRREQ;
    if (err < 0)
        return err;
    return leads_inside(&to) ? outside_of(s)->inside->send(s, msg) : send_outside(s, msg, &to);
}

/* --- connecting --- */

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

static int tell_host(struct outside_sock *o, const struct inet_end *to)
{
    struct ring_request *rq = outside_request(P9_Tnconnect, o);

    if (to) {
        outside_put_end(rq, to);
    } else {
        for (unsigned i = 0; i < 3; i++)
            p9_put64(&rq->out, 0); /* an end of family 0 */
    }
    return (int)outside_call(rq);
}

static int gofer_udp_connect(struct socket *s, const struct net_addr *addr, bool nonblock)
{
    struct udp_sock *u = udp_sock(s);
    struct outside_sock *o = u->i.outside;
    bool was_outside = u->connected && !leads_inside(&u->i.remote);
    struct inet_end to;
    int err;

    if (addr->len < sizeof(addr->family))
        return -EINVAL;
    if (addr->family != AF_UNSPEC) {
        err = inet_read_addr(&u->i, addr, &to);
        if (err < 0)
            return err;
    }
    if (addr->family == AF_UNSPEC || leads_inside(&to)) {
        if (was_outside)
            tell_host(o, NULL);
        return o->inside->connect(s, addr, nonblock);
    }
    err = inet_autobind(&u->i);
    if (err == 0)
        err = tell_host(o, &to);
    if (err < 0)
        return err;
    u->i.remote = to;
    u->connected = true;
    take_local_address(u);
    return 0;
}

static uint32_t gofer_udp_poll(struct socket *s)
{
    struct outside_sock *o = outside_of(s);
    uint32_t events = o->inside->poll(s);

    if (outside_tx_room(o) < ROOM_TO_POLL && !outside_want_room(o, ROOM_TO_POLL))
        events &= ~(uint32_t)(EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
    return events;
}

static void gofer_udp_release(struct socket *s)
{
    struct outside_sock *o = outside_of(s);

    o->inside->release(s);
    outside_close(o, false);
}

static int gofer_udp_setsockopt(struct socket *s, int level, int name, const void *value, uint32_t len)
{
    if (level == IPPROTO_UDP)
        return outside_of(s)->inside->setsockopt(s, level, name, value, len);
    return gofer_setsockopt(s, level, name, value, len);
}

static int gofer_udp_getsockopt(struct socket *s, int level, int name, void *buf, uint32_t *len)
{
    if (level == IPPROTO_UDP)
        return outside_of(s)->inside->getsockopt(s, level, name, buf, len);
    return gofer_getsockopt(s, level, name, buf, len);
}

int gofer_udp_adopt(struct socket *s)
{
    struct outside_sock *o;
    int err;

    if (outside_of(s))
        return 0;
    o = outside_create(s, true, &err);
    if (!o)
        return err;
    o->inside = s->ops;
    gofer_udp_ops = *s->ops;
    gofer_udp_ops.send = gofer_udp_send;
    gofer_udp_ops.recv = gofer_udp_recv;
    gofer_udp_ops.connect = gofer_udp_connect;
    gofer_udp_ops.poll = gofer_udp_poll;
    gofer_udp_ops.release = gofer_udp_release;
    gofer_udp_ops.setsockopt = gofer_udp_setsockopt;
    gofer_udp_ops.getsockopt = gofer_udp_getsockopt;
    gofer_udp_ops.option_set = gofer_option_set;
    inet_sock(s)->outside = o;
    s->ops = &gofer_udp_ops;
    gofer_send_options(s);
    return 0;
}
