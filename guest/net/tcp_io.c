/*
 * TCP inside the sandbox: bytes. A writer puts them into its peer's queue until both buffers are full; small writes join the last
 * packet. Copying may sleep: writers and readers each hold a lock, and what happened meanwhile is looked at afterwards.
 */
#include <asm/siginfo.h>

#include "fs/async.h"
#include "lib/string.h"
#include "net/tcp.h"
#include "proc/signal.h"

#define CHUNK_MAX 32768u  /* bytes in one packet */
#define SMALL_MAX 1024u   /* writes up to this join a packet with room, through the stack */
#define SMALL_ROOM 1792u  /* such packets have room for this much */

/* --- room --- */

/* How much may lie in the peer's queue. */
static uint64_t limit_of(const struct tcp_sock *t)
{
    return (uint64_t)t->i.s.opt.sndbuf + t->peer->i.s.opt.rcvbuf / 2;
}

static uint64_t room_of(const struct tcp_sock *t)
{
    uint64_t limit = limit_of(t), used = t->peer->i.s.rx.bytes;

    return used < limit ? limit - used : 0;
}

/* As Linux: a third must be free. */
bool tcp_writable(const struct tcp_sock *t)
{
    return !t->peer || t->peer->orphan || t->peer->i.s.rx.bytes * 3 <= limit_of(t) * 2;
}

/* --- urgent data (tcp(7), MSG_OOB) --- */

static bool urgent_ahead(const struct tcp_sock *t)
{
    return t->urgent != URGENT_NONE && t->read_seq <= t->urgent_seq;
}

bool tcp_at_mark(const struct tcp_sock *t)
{
    return t->urgent != URGENT_NONE && t->read_seq == t->urgent_seq;
}

static void set_urgent(struct tcp_sock *t, uint8_t byte)
{
    t->urgent = URGENT_VALID;
    t->urgent_byte = byte;
    t->urgent_seq = t->write_seq - 1;
    async_urgent(t->i.s.file);
}

static ssize_t recv_urgent(struct tcp_sock *t, struct socket_msg *msg)
{
    const struct socket *s = &t->i.s;

    if (s->opt.oobinline || t->urgent == URGENT_NONE || t->urgent == URGENT_READ)
        return -EINVAL;
    if (t->state == TCP_STATE_CLOSE && !t->fin)
        return -ENOTCONN;
    if (msg->data->left == 0) {
        msg->out_flags |= MSG_TRUNC;
        return 0;
    }
    if (iter_copy_to(msg->data, &t->urgent_byte, 1) < 1)
        return -EFAULT;
    if (!(msg->flags & MSG_PEEK))
        t->urgent = URGENT_READ;
    msg->out_flags |= MSG_OOB;
    return 1;
}

/* --- sending --- */

/* Behind the last packet, if there is room. The bytes went over the stack, since the packet must not be waited on. */
static bool append_small(struct tcp_sock *to, const uint8_t *data, uint32_t n)
{
    struct packet_queue *q = &to->i.s.rx;
    struct packet *p;

    if (q->count == 0)
        return false;
    p = list_entry(q->packets.prev, struct packet, node);
    if (p->capacity - p->offset - p->len < n)
        return false;
    memcpy(p->data + p->offset + p->len, data, n);
    p->len += n;
    q->bytes += n;
    return true;
}

/* Put up to n bytes into the peer's queue: how many, or -errno. The peer may have gone when it returns. */
static ssize_t put_bytes(struct tcp_sock *t, struct socket_msg *msg, size_t n)
{
    struct tcp_sock *to = t->peer;
    uint8_t small[SMALL_MAX];
    struct packet *p = NULL;
    size_t got;

    n = MIN(n, CHUNK_MAX);
    if (n <= SMALL_MAX) {
        got = iter_copy_from(msg->data, small, n);
        if (got == 0)
            return -EFAULT;
        if (!to->orphan && append_small(to, small, (uint32_t)got))
            goto arrived;
        p = packet_alloc(SMALL_ROOM);
        if (!p)
            return -ENOBUFS;
        memcpy(p->data, small, got);
    } else {
        p = packet_alloc((uint32_t)n);
        if (!p)
            return -ENOBUFS;
        got = iter_copy_from(msg->data, p->data, n);
        if (got == 0) {
            packet_free(p);
            return -EFAULT;
        }
    }
    p->len = (uint32_t)got;
    if (to->orphan) {
        packet_free(p);
        return (ssize_t)got;
    }
    packet_push(&to->i.s.rx, p);
arrived:
    to->write_seq += got;
    return (ssize_t)got;
}

static uint8_t last_byte(const struct tcp_sock *to)
{
    const struct packet *p = list_entry(to->i.s.rx.packets.prev, struct packet, node);

    return p->data[p->offset + p->len - 1];
}

static bool may_send(const struct tcp_sock *t)
{
    return t->state == TCP_STATE_ESTABLISHED || t->state == TCP_STATE_CLOSE_WAIT;
}

static int wait_connection(struct tcp_sock *t, uint64_t deadline_ns)
{
    struct socket *s = &t->i.s;
    int err;

    while (!may_send(t)) {
        err = socket_take_error(s);
        if (err < 0)
            return err;
        if (t->state != TCP_STATE_SYN_SENT)
            return -EPIPE;
        err = socket_wait(&s->write_wait, t->state != TCP_STATE_SYN_SENT || s->error, deadline_ns);
        if (err < 0)
            return err;
    }
    return 0;
}

static bool must_wait(const struct tcp_sock *t)
{
    return !t->i.s.error && !(t->i.s.shut & SHUT_SEND) && t->peer && !t->peer->orphan && !tcp_writable(t);
}

/* 0: there is room, or no need of it. The write lock is dropped meanwhile. */
static int wait_room(struct tcp_sock *t, uint64_t deadline_ns)
{
    int err;

    if (t->peer->orphan || room_of(t) > 0)
        return 0;
    t->want_space = true;
    mutex_unlock(&t->write_lock);
    err = socket_wait(&t->i.s.write_wait, !must_wait(t), deadline_ns);
    mutex_lock(&t->write_lock);
    return err;
}

static ssize_t send_bytes(struct tcp_sock *t, struct socket_msg *msg, uint64_t deadline_ns, ssize_t *sent)
{
    struct socket *s = &t->i.s;

    while (msg->data->left > 0) {
        ssize_t n;
        int err;

        if (s->error || (s->shut & SHUT_SEND) || !t->peer)
            return -EPIPE;
        err = wait_room(t, deadline_ns);
        if (err < 0)
            return err;
        if (s->error || (s->shut & SHUT_SEND) || !t->peer)
            continue;
        n = put_bytes(t, msg, MIN(msg->data->left, t->peer->orphan ? CHUNK_MAX : room_of(t)));
        if (n < 0)
            return n;
        *sent += n;
        if (!t->peer || t->peer->orphan) { /* nobody is there: the answer to these bytes is a reset */
            tcp_reset(t);
            continue;
        }
        if ((msg->flags & MSG_OOB) && msg->data->left == 0)
            set_urgent(t->peer, last_byte(t->peer));
        socket_wake_read(&t->peer->i.s);
    }
    return 0;
}

ssize_t tcp_send_result(struct socket *s, const struct socket_msg *msg, ssize_t sent, ssize_t err)
{
    if (sent > 0 || err == 0)
        return sent;
    if (err == -EPIPE && s->error)
        err = socket_take_error(s);
    return err == -EPIPE ? socket_broken_pipe(msg->flags) : err;
}

int tcp_wait_sendable(struct tcp_sock *t, uint64_t deadline_ns)
{
    struct socket *s = &t->i.s;

    if (t->state != TCP_STATE_SYN_SENT)
        return 0;
    return socket_wait(&s->write_wait, t->state != TCP_STATE_SYN_SENT || s->error, deadline_ns);
}

ssize_t tcp_stream_send(struct socket *s, struct socket_msg *msg)
{
    struct tcp_sock *t = tcp_sock(s);
    uint64_t deadline_ns = socket_deadline(s->opt.send_timeout_ns, msg->flags & MSG_DONTWAIT);
    ssize_t sent = 0, err = wait_connection(t, deadline_ns);

    if (err == 0 && (s->error || (s->shut & SHUT_SEND)))
        err = -EPIPE;
    if (err == 0) {
        mutex_lock(&t->write_lock);
        err = send_bytes(t, msg, deadline_ns, &sent);
        mutex_unlock(&t->write_lock);
    }
    return tcp_send_result(s, msg, sent, err);
}

/* --- receiving --- */

bool tcp_readable(const struct tcp_sock *t)
{
    uint64_t bytes = t->i.s.rx.bytes;

    if (tcp_at_mark(t) && !t->i.s.opt.oobinline && bytes > 0)
        bytes--; /* the byte out of band doesn't count */
    return bytes > 0 && bytes >= MIN((uint64_t)t->i.s.opt.rcvlowat, (uint64_t)t->i.s.opt.rcvbuf / 2);
}

int tcp_inq(const struct tcp_sock *t)
{
    uint64_t bytes = t->i.s.rx.bytes;

    if (!t->i.s.opt.oobinline && urgent_ahead(t) && t->urgent_seq < t->write_seq)
        bytes = t->urgent_seq - t->read_seq;
    return (int)bytes;
}

/* Bytes were taken: the peer may go on writing. */
static void tell_writer(struct tcp_sock *t)
{
    struct tcp_sock *peer = t->peer;

    if (peer && peer->want_space && tcp_writable(peer)) {
        peer->want_space = false;
        socket_wake_write(&peer->i.s);
    }
}

static void drop_front(struct tcp_sock *t, struct packet *p, uint32_t n)
{
    struct packet_queue *q = &t->i.s.rx;

    packet_consume(q, p, n);
    t->read_seq += n;
    if (t->urgent != URGENT_NONE && t->read_seq > t->urgent_seq)
        t->urgent = URGENT_NONE;
    if (p->len == 0) {
        packet_unlink(q, p);
        packet_free(p);
    }
}

/* A byte out of band isn't part of what is read. */
static void skip_urgent(struct tcp_sock *t)
{
    struct packet *p = packet_first(&t->i.s.rx);

    if (tcp_at_mark(t) && !t->i.s.opt.oobinline && p)
        drop_front(t, p, 1);
}

/*
 * Copy from the queue what fits, from `skip` bytes on (peeking). *copied grows. 0: go on when more comes; 1: stop here
 * (the urgent mark); -EFAULT.
 */
static int read_queue(struct tcp_sock *t, struct socket_msg *msg, uint64_t skip, size_t *copied)
{
    struct packet_queue *q = &t->i.s.rx;
    bool peek = msg->flags & MSG_PEEK;
    struct list *node;

    if (!peek && *copied == 0)
        skip_urgent(t);
    node = q->packets.next;
    while (node != &q->packets && msg->data->left > 0) {
        struct packet *p = list_entry(node, struct packet, node);
        size_t want, n;

        if (skip >= p->len) {
            skip -= p->len;
            node = node->next;
            continue;
        }
        want = MIN((size_t)(p->len - skip), msg->data->left);
        if (!peek && urgent_ahead(t)) {
            uint64_t before = t->urgent_seq - t->read_seq;

            if (before == 0 && *copied > 0)
                return 1;
            if (before > 0)
                want = MIN(want, before);
        }
        if (msg->flags & MSG_TRUNC && !peek) { /* thrown away (tcp(7)) */
            iter_advance(msg->data, want);
            n = want;
        } else {
            n = iter_copy_to(msg->data, p->data + p->offset + skip, want);
        }
        *copied += n;
        if (n < want && *copied == 0)
            return -EFAULT;
        skip = 0;
        node = node->next;
        if (!peek) {
            bool rest = n < p->len;

            drop_front(t, p, (uint32_t)n);
            if (rest && n == want && msg->data->left > 0)
                return 1; /* up to the mark */
        }
        if (n < want)
            return 1;
    }
    return 0;
}

/* Nothing more is there now: 1: that's the end; -errno; 0: wait. */
static int end_reason(struct tcp_sock *t, size_t copied)
{
    struct socket *s = &t->i.s;

    if (copied > 0)
        return t->fin || s->error || t->state == TCP_STATE_CLOSE || (s->shut & SHUT_RECV);
    if (t->fin) /* even if an error came after it */
        return 1;
    if (s->error)
        return socket_take_error(s);
    if (s->shut & SHUT_RECV)
        return 1;
    return t->state == TCP_STATE_CLOSE ? -ENOTCONN : 0;
}

static bool news(const struct tcp_sock *t, const struct tcp_receiver *r, uint64_t seen)
{
    return r->count(t) > seen || t->i.s.error || (t->i.s.shut & SHUT_RECV) || t->state == TCP_STATE_CLOSE;
}

static ssize_t recv_bytes(struct tcp_sock *t, struct socket_msg *msg, const struct tcp_receiver *r, uint64_t deadline_ns)
{
    struct socket *s = &t->i.s;
    size_t size = msg->data->left, target = msg->flags & MSG_WAITALL ? size : MIN(size, (size_t)s->opt.rcvlowat);
    bool peek = msg->flags & MSG_PEEK;
    size_t copied = 0;
    int err;

    if (peek)
        target = MIN(target, r->peek_max);
    for (;;) {
        err = r->read(t, msg, peek ? copied : 0, &copied);
        if (err != 0 || copied >= MAX(target, 1ul) || (size == 0 && r->count(t) > 0)) /* even a read of nothing waits */
            break;
        if (r->count(t) > (peek ? copied : 0)) /* it has come while we copied; an end lies behind it */
            continue;
        err = end_reason(t, copied);
        if (err != 0)
            break;
        mutex_unlock(&t->read_lock);
        err = socket_wait(&s->read_wait, news(t, r, peek ? copied : 0), deadline_ns);
        mutex_lock(&t->read_lock);
        if (err < 0)
            break;
    }
    return copied > 0 ? (ssize_t)copied : MIN(err, 0);
}

ssize_t tcp_receive(struct tcp_sock *t, struct socket_msg *msg, const struct tcp_receiver *r)
{
    uint64_t deadline_ns = socket_deadline(t->i.s.opt.recv_timeout_ns, msg->flags & MSG_DONTWAIT);
    ssize_t ret;
    int inq;

    mutex_lock(&t->read_lock);
    ret = recv_bytes(t, msg, r, deadline_ns);
    mutex_unlock(&t->read_lock);
    if (ret >= 0 && t->i.options[OPT_TCP_INQ]) {
        inq = r->inq ? r->inq(t) : (int)r->count(t);
        ancillary_put(msg, SOL_TCP, 36 /* TCP_CM_INQ */, &inq, sizeof(inq));
    }
    return ret;
}

/* --- receiving: what stays inside --- */

static uint64_t count(const struct tcp_sock *t)
{
    return t->i.s.rx.bytes;
}

static int read_inside(struct tcp_sock *t, struct socket_msg *msg, uint64_t skip, size_t *copied)
{
    int err = read_queue(t, msg, skip, copied);

    if (!(msg->flags & MSG_PEEK))
        tell_writer(t);
    return err;
}

ssize_t tcp_stream_recv(struct socket *s, struct socket_msg *msg)
{
    static const struct tcp_receiver inside = { .count = count, .inq = tcp_inq, .read = read_inside, .peek_max = SIZE_MAX };
    struct tcp_sock *t = tcp_sock(s);

    if (msg->flags & MSG_ERRQUEUE)
        return -EAGAIN;
    if (t->state == TCP_STATE_LISTEN)
        return -ENOTCONN;
    return msg->flags & MSG_OOB ? recv_urgent(t, msg) : tcp_receive(t, msg, &inside);
}
