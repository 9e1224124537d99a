/* Streams of the host: bytes. Copying may sleep: writers and readers each hold a lock, and indexes are looked at again after it. */
#include "arch/cpu.h"
#include "drivers/ring.h"
#include "lib/string.h"
#include "net/gofer_tcp.h"
#include "sys/timespec.h"

#define WRITABLE_SHARE 3u /* as Linux: a third must be free */

bool gofer_tcp_readable(const struct tcp_sock *t)
{
    uint32_t used = outside_rx_used(t->i.outside);

    return used > 0 && used >= MIN((uint32_t)t->i.s.opt.rcvlowat, t->i.outside->rx.size / 2);
}

bool gofer_tcp_writable(const struct tcp_sock *t)
{
    return outside_tx_room(t->i.outside) >= t->i.outside->tx.size / WRITABLE_SHARE;
}

/* --- sending --- */

static bool is_broken(const struct tcp_sock *t)
{
    return t->i.s.error || (t->i.s.shut & SHUT_SEND) || !tcp_may_send(t) || (outside_state(t->i.outside) & NET_NO_SEND);
}

static int wait_room(struct tcp_sock *t, uint64_t deadline_ns)
{
    struct outside_sock *o = t->i.outside;
    int err;

    if (outside_tx_room(o) > 0 || outside_want_room(o, 1))
        return 0;
    outside_flush(o);
    if (deadline_ns == 0)
        return -EAGAIN;
    mutex_unlock(&t->write_lock);
    err = socket_wait(&t->i.s.write_wait, is_broken(t) || outside_tx_room(o) >= o->tx.size / WRITABLE_SHARE, deadline_ns);
    mutex_lock(&t->write_lock);
    return err;
}

static ssize_t send_bytes(struct tcp_sock *t, struct socket_msg *msg, uint64_t deadline_ns, ssize_t *sent)
{
    struct outside_sock *o = t->i.outside;
    bool hold = t->i.options[OPT_TCP_CORK] || (msg->flags & MSG_MORE);

    while (msg->data->left > 0) {
        size_t n, done;
        int err;

        if (is_broken(t))
            return -EPIPE;
        err = wait_room(t, deadline_ns);
        if (err < 0)
            return err;
        n = MIN(msg->data->left, (size_t)outside_tx_room(o));
        done = outside_ring_put(&o->tx, o->tx_tail, msg->data, n);
        if (done > 0)
            outside_tx_add(o, (uint32_t)done, hold);
        *sent += (ssize_t)done;
        if (done < n)
            return -EFAULT;
    }
    return 0;
}

/* The last byte goes by message, behind what is in the ring. */
static ssize_t send_urgent(struct tcp_sock *t, struct socket_msg *msg, uint64_t deadline_ns, ssize_t *sent)
{
    struct outside_sock *o = t->i.outside;
    uint8_t byte;
    long err;

    if (iter_copy_from(msg->data, &byte, 1) < 1)
        return -EFAULT;
    outside_flush(o);
    do {
        struct ring_request *rq = outside_request(P9_Tnoob, o);

        p9_put8(&rq->out, 1);
        p9_put8(&rq->out, byte);
        err = outside_call(rq);
        if (err != -EAGAIN)
            break;
        outside_want_room(o, o->tx.size);
        err = socket_wait(&t->i.s.write_wait, is_broken(t) || outside_tx_room(o) == o->tx.size, deadline_ns);
    } while (err == 0);
    *sent += err == 0;
    return err;
}

ssize_t gofer_tcp_send(struct socket *s, struct socket_msg *msg)
{
    struct tcp_sock *t = tcp_sock(s);
    uint64_t deadline_ns = socket_deadline(s->opt.send_timeout_ns, msg->flags & MSG_DONTWAIT);
    bool urgent = (msg->flags & MSG_OOB) && msg->data->left > 0;
    ssize_t sent = 0, err;

    outside_look();
    err = tcp_wait_sendable(t, deadline_ns);
    if (err == 0 && is_broken(t))
        err = -EPIPE;
    if (err == 0) {
        mutex_lock(&t->write_lock);
        msg->data->left -= urgent;
        err = send_bytes(t, msg, deadline_ns, &sent);
        msg->data->left += urgent;
        if (err == 0 && urgent)
            err = send_urgent(t, msg, deadline_ns, &sent);
        mutex_unlock(&t->write_lock);
    }
    return tcp_send_result(s, msg, sent, err);
}

void gofer_tcp_linger(struct tcp_sock *t, uint64_t ns)
{
    struct outside_sock *o = t->i.outside;

    if (outside_tx_room(o) == o->tx.size || !tcp_may_send(t))
        return;
    outside_want_room(o, o->tx.size);
    wait_until(&t->i.s.write_wait, is_broken(t) || outside_tx_room(o) == o->tx.size || !outside_want_room(o, 0),
               deadline_after(ns), true);
}

/* --- receiving --- */

static ssize_t recv_urgent(struct tcp_sock *t, struct socket_msg *msg)
{
    struct ring_request *rq;
    uint8_t byte = 0;
    long err;

    if (t->i.s.opt.oobinline || !(outside_state(t->i.outside) & NET_URGENT))
        return -EINVAL;
    rq = outside_request(P9_Tnoob, t->i.outside);
    p9_put8(&rq->out, 0);
    p9_put8(&rq->out, 0);
    err = ring_call(rq);
    if (err == 0)
        byte = p9_get8(&rq->in);
    ring_put(rq);
    if (err < 0)
        return err;
    if (iter_copy_to(msg->data, &byte, MIN(1ul, msg->data->left)) < MIN(1ul, msg->data->left))
        return -EFAULT;
    msg->out_flags |= MSG_OOB;
    return 1;
}

/* Take or look at what is there, from `skip` on. -EFAULT if not even one byte could be copied. */
static int read_ring(struct tcp_sock *t, struct socket_msg *msg, uint64_t skip, size_t *copied)
{
    struct outside_sock *o = t->i.outside;
    uint32_t used = outside_rx_used(o);
    size_t n = MIN(msg->data->left, (size_t)(used > skip ? used - skip : 0)), done = n;

    if (n == 0)
        return 0;
    if ((msg->flags & (MSG_TRUNC | MSG_PEEK)) == MSG_TRUNC) /* thrown away (tcp(7)) */
        iter_advance(msg->data, n);
    else
        done = outside_ring_take(&o->rx, o->rx_head + (uint32_t)skip, msg->data, n);
    if (!(msg->flags & MSG_PEEK) && done > 0)
        outside_rx_consume(o, (uint32_t)done);
    *copied += done;
    return done < n ? -EFAULT : 0;
}

static uint64_t count(const struct tcp_sock *t)
{
    return outside_rx_used(t->i.outside);
}

ssize_t gofer_tcp_recv(struct socket *s, struct socket_msg *msg)
{
    struct tcp_sock *t = tcp_sock(s);
    struct tcp_receiver ring = { .count = count, .read = read_ring, .peek_max = t->i.outside->rx.size };

    if (msg->flags & MSG_ERRQUEUE)
        return -EAGAIN;
    outside_look();
    return msg->flags & MSG_OOB ? recv_urgent(t, msg) : tcp_receive(t, msg, &ring);
}
