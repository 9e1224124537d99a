/*
 * Ports that are reached from outside (--publish). A stream socket that listens on all addresses gets an outside half whose connections
 * are put before its accept(2); a datagram socket that is bound to such a port is adopted.
 */
#include "arch/bootinfo.h"
#include "drivers/ring.h"
#include "lib/string.h"
#include "net/gofer.h"

static bool is_published(const struct socket *s, uint16_t port)
{
    const uint8_t *p = boot_info.publish;

    for (size_t i = 0; i < boot_info.publish_count; i++, p += 4)
        if ((p[0] << 8 | p[1]) == port && p[2] == (s->type == SOCK_DGRAM))
            return true;
    return false;
}

static long take_port(struct outside_sock *o, uint16_t port, uint32_t backlog)
{
    struct ring_request *rq = outside_request(P9_Tnlisten, o);

    p9_put16(&rq->out, port);
    p9_put32(&rq->out, backlog);
    return outside_call(rq);
}

static void begin(struct socket *s)
{
    struct inet_sock *i = inet_sock(s);
    struct outside_sock *o;
    int err;

    if (s->type == SOCK_DGRAM) {
        if (gofer_udp_adopt(s) == 0)
            take_port(i->outside, i->local.port, 0);
        return;
    }
    o = outside_create(s, true, &err);
    if (!o)
        return;
    i->outside = o;
    o->listener = s;
    if (take_port(o, i->local.port, tcp_sock(s)->backlog) < 0) { /* another socket has it */
        i->outside = NULL;
        outside_close(o, false);
        return;
    }
    gofer_send_options(s); /* to the host's socket that it is now, whose connections inherit them */
}

/* --- connections --- */

static void drop(struct outside_sock *child)
{
    struct socket *s = child->s;

    child->s = NULL;
    outside_free(child);
    socket_put(s);
}

static void accepted(struct ring_request *rq, long error)
{
    struct outside_sock *child = rq->context, *o = child->parent;
    struct tcp_sock *embryo = tcp_sock(child->s);
    struct inet_end local = { 0 }, peer = { 0 };

    if (error == 0) {
        outside_get_end(rq, &local);
        outside_get_end(rq, &peer);
    }
    ring_put(rq);
    o->accepting = false;
    if (error < 0) {
        drop(child);
        return;
    }
    local.port = inet_sock(o->s ? o->s : child->s)->local.port; /* as it is called inside */
    gofer_tcp_adopt_accepted(embryo, child, &local, &peer);
    if (o->s) {
        tcp_offer(tcp_sock(o->s), embryo);
        gofer_publish_event(o, outside_state(o));
    } else { /* nobody listens any more */
        embryo->i.s.opt.linger = true;
        embryo->i.s.opt.linger_seconds = 0;
        embryo->i.s.ops->release(&embryo->i.s);
        socket_put(&embryo->i.s);
    }
}

/* Fetch the next connection, unless enough of them wait for accept(2) already. Doesn't sleep. */
void gofer_publish_event(struct outside_sock *o, uint32_t state)
{
    struct tcp_sock *listener = tcp_sock(o->s), *embryo;
    struct outside_sock *child;
    struct ring_request *rq;
    int err;

    if (o->s->type != SOCK_STREAM || !(state & NET_ACCEPT) || o->accepting || tcp_accepts_full(listener))
        return;
    rq = ring_try_get(P9_Tnaccept);
    if (!rq)
        return; /* accept(2) tries again */
    embryo = tcp_embryo(listener);
    child = embryo ? outside_create(&embryo->i.s, false, &err) : NULL;
    if (!child) {
        ring_put(rq);
        if (embryo)
            socket_put(&embryo->i.s);
        return;
    }
    child->parent = o;
    p9_put32(&rq->out, o->number);
    p9_put32(&rq->out, child->number);
    outside_put_rings(rq, child);
    rq->context = child;
    rq->complete = accepted;
    o->accepting = true;
    ring_submit(rq);
    ring_notify();
}

void gofer_publish_listening(struct socket *s)
{
    struct inet_sock *i = inet_sock(s);

    if (i->outside) {
        if (i->outside->listener)
            gofer_publish_event(i->outside, outside_state(i->outside));
        return;
    }
    if (is_published(s, i->local.port) && !inet_is_loopback(i->local.addr))
        begin(s);
}

void gofer_publish_unlisten(struct socket *s)
{
    struct inet_sock *i = inet_sock(s);
    struct outside_sock *o = i->outside;

    if (!o || !o->listener)
        return;
    i->outside = NULL;
    o->listener = NULL;
    outside_close(o, false);
}
