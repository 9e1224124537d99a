/*
 * Streams of the host: connections from connect(2) to close(2). The struct stays that of tcp.c, whose state, names and options say the
 * same as for those inside; the bytes are in rings (gofer_tcp_io.c).
 */
#include <asm/ioctls.h>
#include <linux/sockios.h>

#include "arch/uaccess.h"
#include "drivers/ring.h"
#include "lib/string.h"
#include "net/gofer.h"
#include "net/gofer_tcp.h"

static const struct socket_ops gofer_tcp_ops;

/* --- life --- */

static void take_over(struct socket *s, struct outside_sock *o)
{
    inet_sock(s)->outside = o;
    s->ops = &gofer_tcp_ops;
}

int gofer_tcp_adopt(struct socket *s)
{
    struct outside_sock *o;
    int err;

    if (s->listening)
        return -EOPNOTSUPP;
    o = outside_create(s, true, &err);
    if (!o)
        return err;
    take_over(s, o);
    gofer_send_options(s);
    return 0;
}

int gofer_tcp_adopt_accepted(struct tcp_sock *t, struct outside_sock *o, const struct inet_end *local,
                             const struct inet_end *peer)
{
    take_over(&t->i.s, o);
    t->i.local = *local;
    t->i.remote = *peer;
    t->state = TCP_STATE_ESTABLISHED;
    t->i.has_outside_name = true;
    gofer_tcp_event(o, outside_state(o));
    return 0;
}

/* Linux resets a connection whose data hasn't been read, and one with SO_LINGER and no time (tcp(7), RFC 2525 2.17). */
static void gofer_release(struct socket *s)
{
    struct tcp_sock *t = tcp_sock(s);
    struct outside_sock *o = t->i.outside;
    bool abort = outside_rx_used(o) > 0 || (s->opt.linger && s->opt.linger_seconds == 0);

    if (s->opt.linger && !abort)
        gofer_tcp_linger(t, (uint64_t)(uint32_t)s->opt.linger_seconds * NSEC_PER_SEC);
    t->state = TCP_STATE_CLOSE;
    t->i.outside = NULL;
    inet_release_port(&t->i);
    outside_close(o, abort);
}

/* --- names --- */

static int gofer_bind(struct socket *s, const struct net_addr *addr)
{
    int err = inet_bind(s, addr, tcp_sock(s)->state == TCP_STATE_CLOSE);

    if (err == 0)
        outside_keep_binding(inet_sock(s));
    return err;
}

static void ask_names(struct tcp_sock *t)
{
    struct ring_request *rq = outside_request(P9_Tnname, t->i.outside);
    struct inet_end local = t->i.local;
    uint16_t port = t->i.local.port;

    if (ring_call(rq) == 0) {
        outside_get_end(rq, &local);
        if (!rq->in.bad)
            t->i.local = local;
        if (t->i.in_ports) /* the table is by the port inside */
            t->i.local.port = port;
    }
    ring_put(rq);
    t->i.has_outside_name = true;
}

static int gofer_getname(struct socket *s, struct net_addr *ret, bool peer)
{
    struct tcp_sock *t = tcp_sock(s);
    bool connected = t->state != TCP_STATE_CLOSE && t->state != TCP_STATE_SYN_SENT;

    if (!peer && connected && !t->i.has_outside_name)
        ask_names(t);
    return inet_getname(s, ret, connected, peer);
}

/* --- connecting --- */

/* Its successor is a socket of the host's that knows nothing of the attempt before. */
static int disconnect(struct tcp_sock *t)
{
    struct outside_sock *o = t->i.outside, *fresh;
    struct socket *s = &t->i.s;
    int err;

    fresh = outside_create(s, true, &err);
    if (!fresh)
        return err;
    outside_close(o, true);
    t->i.outside = fresh;
    t->state = TCP_STATE_CLOSE;
    t->connecting = t->fin = t->i.has_outside_name = false;
    s->shut = 0;
    s->error = 0;
    inet_forget_binding(&t->i);
    gofer_send_options(s);
    outside_keep_binding(&t->i);
    socket_wake_state(s);
    return 0;
}

/* 0: connected; 1: under way. */
static int start(struct tcp_sock *t, const struct inet_end *to)
{
    struct ring_request *rq = outside_request(P9_Tnconnect, t->i.outside);
    long err;

    outside_put_end(rq, to);
    t->i.remote = *to;
    t->state = TCP_STATE_SYN_SENT;
    t->i.s.shut = 0;
    err = outside_call(rq);
    if (err == 0 && t->state == TCP_STATE_SYN_SENT)
        t->state = TCP_STATE_ESTABLISHED;
    if (err == 0 || err == -EINPROGRESS)
        return err < 0;
    t->state = TCP_STATE_CLOSE;
    inet_forget_binding(&t->i);
    return (int)err;
}

static int gofer_connect(struct socket *s, const struct net_addr *addr, bool nonblock)
{
    struct tcp_sock *t = tcp_sock(s);
    uint64_t deadline_ns = socket_deadline(s->opt.send_timeout_ns, nonblock);
    struct inet_end to;
    int err;

    if (addr->len < sizeof(addr->family))
        return -EINVAL;
    if (addr->family == AF_UNSPEC)
        return disconnect(t);
    outside_look();
    if (t->connecting) {
        err = t->state == TCP_STATE_SYN_SENT ? -EALREADY : 0;
        return err < 0 && nonblock ? err : tcp_wait_connected(t, deadline_ns, disconnect);
    }
    if (t->state != TCP_STATE_CLOSE)
        return -EISCONN;
    err = inet_read_addr(&t->i, addr, &to);
    if (err == 0 && (inet_is_any(to.addr) || inet_is_inside(to.addr)))
        return -ENETUNREACH; /* once outside, always outside */
    if (err == 0)
        err = start(t, &to);
    if (err < 0)
        return err;
    socket_wake_state(s);
    if (err == 0)
        return 0;
    t->connecting = true; /* even if word of its end has come meanwhile: the next connect(2) tells */
    return nonblock ? -EINPROGRESS : tcp_wait_connected(t, deadline_ns, disconnect);
}

static int gofer_listen(struct socket *s UNUSED, int backlog UNUSED)
{
    return -EINVAL;
}

static int gofer_shutdown(struct socket *s, int how)
{
    struct tcp_sock *t = tcp_sock(s);
    struct ring_request *rq;

    switch (t->state) {
    case TCP_STATE_CLOSE:
        s->shut |= (uint32_t)how + 1;
        socket_wake_state(s);
        return -ENOTCONN;
    case TCP_STATE_SYN_SENT:
        return disconnect(t);
    default:
        break;
    }
    s->shut |= (uint32_t)how + 1;
    if (s->shut & SHUT_SEND) { /* SHUT_RD alone has no effect on the wire, and what still comes can be read, as on Linux */
        if (t->state == TCP_STATE_ESTABLISHED)
            t->state = TCP_STATE_FIN_WAIT2;
        outside_flush(t->i.outside);
        t->i.outside->shut_both = s->shut == SHUT_MASK && !t->fin;
        rq = outside_request(P9_Tnshutdown, t->i.outside);
        p9_put8(&rq->out, t->i.outside->shut_both ? SHUT_RDWR : SHUT_WR);
        outside_post(rq);
    }
    socket_wake_state(s);
    return 0;
}

/* --- readiness --- */

void gofer_tcp_event(struct outside_sock *o, uint32_t state)
{
    struct tcp_sock *t = tcp_sock(o->s);
    struct socket *s = o->s;
    uint32_t news;

    if (o->shut_both && !(state & (NET_NO_SEND | NET_RELEASED)))
        state &= ~(uint32_t)(NET_EOF | NET_HUP); /* our own doing; the peer hasn't said anything */
    news = state & ~o->state_seen;
    o->state_seen = state;
    if (t->state == TCP_STATE_SYN_SENT && (state & (NET_CONNECTED | NET_HUP))) {
        t->state = state & NET_CONNECTED ? TCP_STATE_ESTABLISHED : TCP_STATE_CLOSE;
        news |= NET_CONNECTED;
    }
    if (news & NET_EOF) {
        t->fin = !(news & NET_NO_SEND); /* else it is a reset */
        s->shut |= SHUT_RECV;
        if (t->state == TCP_STATE_ESTABLISHED)
            t->state = TCP_STATE_CLOSE_WAIT;
    }
    if (news & (NET_HUP | NET_RELEASED)) {
        s->shut = SHUT_MASK;
        t->state = TCP_STATE_CLOSE;
    }
    if (news)
        socket_wake_event(s, s->shut == SHUT_MASK ? POLL_HUP : news & NET_EOF ? POLL_IN : POLL_OUT);
    else if (gofer_tcp_readable(t))
        socket_wake_read(s);
}

static uint32_t gofer_poll(struct socket *s)
{
    struct tcp_sock *t = tcp_sock(s);
    struct outside_sock *o = t->i.outside;
    uint32_t events = 0;

    if (!o)
        return EPOLLHUP;
    if (s->shut == SHUT_MASK || t->state == TCP_STATE_CLOSE)
        events |= EPOLLHUP;
    if (s->shut & SHUT_RECV)
        events |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
    if (t->state != TCP_STATE_SYN_SENT) {
        if (gofer_tcp_readable(t))
            events |= EPOLLIN | EPOLLRDNORM;
        if ((s->shut & SHUT_SEND) || t->state == TCP_STATE_CLOSE || gofer_tcp_writable(t) ||
            outside_want_room(o, o->tx.size / 3))
            events |= EPOLLOUT | EPOLLWRNORM;
        if (outside_state(o) & NET_URGENT)
            events |= EPOLLPRI;
    }
    return events | (s->error ? EPOLLERR : 0u);
}

static long gofer_ioctl(struct socket *s, uint32_t cmd, uaddr_t arg)
{
    struct outside_sock *o = inet_sock(s)->outside;
    int value;

    outside_look();
    switch (cmd) {
    case FIONREAD:
        value = (int)outside_rx_used(o);
        break;
    case TIOCOUTQ:
    case SIOCOUTQNSD:
        value = (int)(o->tx.size - outside_tx_room(o));
        break;
    case SIOCATMARK:
        value = (outside_state(o) & NET_URGENT) && outside_rx_used(o) == 0; /* the gofer's reading stops at the mark */
        break;
    default:
        return -ENOIOCTLCMD;
    }
    return put_user(value, arg);
}

static void gofer_tcp_option_set(struct socket *s, int name)
{
    if (name == SO_RCVLOWAT && (gofer_tcp_readable(tcp_sock(s)) || tcp_sock(s)->fin))
        socket_wake_read(s);
    gofer_option_set(s, name);
}

static const struct socket_ops gofer_tcp_ops = {
    .bind = gofer_bind,
    .connect = gofer_connect,
    .listen = gofer_listen,
    .getname = gofer_getname,
    .send = gofer_tcp_send,
    .recv = gofer_tcp_recv,
    .poll = gofer_poll,
    .shutdown = gofer_shutdown,
    .ioctl = gofer_ioctl,
    .setsockopt = gofer_setsockopt,
    .getsockopt = gofer_getsockopt,
    .option_set = gofer_tcp_option_set,
    .release = gofer_release,
};
