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

static bool may_send(const struct tcp_sock *t)
{
    return t->state == TCP_STATE_ESTABLISHED || t->state == TCP_STATE_CLOSE_WAIT;
}

static bool is_broken(const struct tcp_sock *t)
{
    return t->i.s.error || (t->i.s.shut & SHUT_SEND) || !may_send(t) || (outside_state(t->i.outside) & NET_NO_SEND);
}

static int wait_connection(struct tcp_sock *t, uint64_t deadline_ns)
{
    struct socket *s = &t->i.s;
    int err = 0;

    if (t->state == TCP_STATE_SYN_SENT)
        err = socket_wait(&s->write_wait, t->state != TCP_STATE_SYN_SENT || s->error, deadline_ns);
    return err < 0 ? err : is_broken(t) ? -EPIPE : 0;
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
    err = wait_connection(t, deadline_ns);
    if (err == 0) {
        mutex_lock(&t->write_lock);
        msg->data->left -= urgent;
        err = send_bytes(t, msg, deadline_ns, &sent);
        msg->data->left += urgent;
        if (err == 0 && urgent)
            err = send_urgent(t, msg, deadline_ns, &sent);
        mutex_unlock(&t->write_lock);
    }
    if (sent > 0 || err == 0)
        return sent;
    if (err == -EPIPE && s->error)
        err = socket_take_error(s);
    return err == -EPIPE ? socket_broken_pipe(msg->flags) : err;
}

void gofer_tcp_linger(struct tcp_sock *t, uint64_t ns)
{
    struct outside_sock *o = t->i.outside;

    if (outside_tx_room(o) == o->tx.size || !may_send(t))
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
static int read_ring(struct tcp_sock *t, struct socket_msg *msg, uint32_t skip, size_t *copied)
{
    struct outside_sock *o = t->i.outside;
    uint32_t used = outside_rx_used(o);
    size_t n = MIN(msg->data->left, (size_t)(used > skip ? used - skip : 0)), done = n;

    if (n == 0)
        return 0;
    if ((msg->flags & (MSG_TRUNC | MSG_PEEK)) == MSG_TRUNC) /* thrown away (tcp(7)) */
        iter_advance(msg->data, n);
    else
        done = outside_ring_take(&o->rx, o->rx_head + skip, msg->data, n);
    if (!(msg->flags & MSG_PEEK) && done > 0)
        outside_rx_consume(o, (uint32_t)done);
    *copied += done;
    return done < n ? -EFAULT : 0;
}

/* Nothing more is there now: 1: that's the end; -errno; 0: wait. */
static int end_reason(struct tcp_sock *t)
{
    struct socket *s = &t->i.s;

    if (t->fin) /* even if an error came after it */
        return 1;
    if (s->error)
        return socket_take_error(s);
    if (s->shut & SHUT_RECV)
        return 1;
    return t->state == TCP_STATE_CLOSE ? -ENOTCONN : 0;
}

static ssize_t recv_bytes(struct tcp_sock *t, struct socket_msg *msg, uint64_t deadline_ns)
{
    struct socket *s = &t->i.s;
    struct outside_sock *o = t->i.outside;
    size_t size = msg->data->left, target = msg->flags & MSG_WAITALL ? size : MIN(size, (size_t)s->opt.rcvlowat);
    bool peek = msg->flags & MSG_PEEK;
    size_t copied = 0;
    int err;

    if (peek) /* more than the ring holds can't be seen */
        target = MIN(target, (size_t)o->rx.size);
    for (;;) {
        uint32_t seen = peek ? (uint32_t)copied : 0;
        bool ended = t->fin || (s->shut & SHUT_RECV) || s->error;

        err = read_ring(t, msg, seen, &copied);
        if (err != 0 || copied >= MAX(target, 1ul) || (size == 0 && outside_rx_used(o) > 0))
            break;
        seen = peek ? (uint32_t)copied : 0;
        if (outside_rx_used(o) > seen)
            continue;
        if (copied > 0 && (ended || s->error))
            break;
        if (ended || t->state == TCP_STATE_CLOSE) {
            err = end_reason(t);
            break;
        }
        mutex_unlock(&t->read_lock);
        err = socket_wait(&s->read_wait,
                          outside_rx_used(o) > seen || s->error || (s->shut & SHUT_RECV) || t->state == TCP_STATE_CLOSE,
                          deadline_ns);
        mutex_lock(&t->read_lock);
        if (err < 0)
            break;
    }
    return copied > 0 ? (ssize_t)copied : MIN(err, 0);
}

ssize_t gofer_tcp_recv(struct socket *s, struct socket_msg *msg)
{
    struct tcp_sock *t = tcp_sock(s);
    uint64_t deadline_ns = socket_deadline(s->opt.recv_timeout_ns, msg->flags & MSG_DONTWAIT);
    ssize_t ret;

    if (msg->flags & MSG_ERRQUEUE)
        return -EAGAIN;
    outside_look();
    if (msg->flags & MSG_OOB)
        return recv_urgent(t, msg);
    mutex_lock(&t->read_lock);
    ret = recv_bytes(t, msg, deadline_ns);
    mutex_unlock(&t->read_lock);
    if (ret >= 0 && t->i.options[OPT_TCP_INQ])
        tcp_tell_inq(msg, (int)outside_rx_used(t->i.outside));
    return ret;
}
