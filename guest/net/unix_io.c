/*
 * AF_UNIX: messages. Each send makes packets in the receiver's queue; they count in the sender's buffer until they are read.
 *
 * Copying from the app may sleep, so a packet is filled before it is looked whether it may be delivered.
 */
#include "arch/cpu.h"
#include "lib/string.h"
#include "net/scm.h"
#include "net/unix.h"

#define CHUNK_MAX 32768u /* of a stream, in one packet */

/* --- sending --- */

/* Room in the sender's buffer: any room will do, however large the packet. */
static int wait_send_room(struct unix_sock *u, uint64_t deadline_ns)
{
    struct socket *s = &u->s;

    for (;;) {
        int err = socket_take_error(s);

        if (err < 0)
            return err;
        if (s->shut & SHUT_SEND)
            return -EPIPE;
        if (s->send_charge < s->opt.sndbuf)
            return 0;
        err = socket_wait(&s->write_wait, s->error || (s->shut & SHUT_SEND) || s->send_charge < s->opt.sndbuf, deadline_ns);
        if (err < 0)
            return err;
    }
}

/* A packet with the next n bytes of the app's. */
static struct packet *fill_packet(struct unix_sock *u, struct socket_msg *msg, uint32_t n)
{
    struct packet *p = packet_alloc(n);

    if (!p)
        return err_ptr(-ENOBUFS);
    if (iter_copy_from(msg->data, p->data, n) < n) {
        packet_free(p);
        return err_ptr(-EFAULT);
    }
    p->len = n;
    packet_charge(p, &u->s, n);
    return p;
}

/* Let it go to the receiver's queue, with what belongs to it. The bundle is the packet's then. */
static void deliver(struct unix_sock *u, struct unix_sock *to, struct packet *p, struct scm *scm)
{
    p->cred = scm->cred;
    p->has_cred = scm->cred_given || u->s.opt.passcred || u->s.opt.passpidfd || to->s.opt.passcred || to->s.opt.passpidfd ||
                  !to->s.file;
    if (scm->fds) {
        p->fds = scm->fds;
        scm->fds = NULL;
        unix_gc_enter(p->fds);
    }
    if (to->s.opt.timestamp)
        p->time_ns = clock_real_ns();
    packet_push(&to->s.rx, p);
    socket_wake_read(&to->s);
}

static ssize_t send_chunks(struct unix_sock *u, struct socket_msg *msg, struct scm *scm)
{
    uint64_t deadline_ns = socket_deadline(u->s.opt.send_timeout_ns, msg->flags & MSG_DONTWAIT);
    struct unix_sock *peer = u->peer;
    ssize_t sent = 0;

    while (msg->data->left > 0) {
        uint32_t n = (uint32_t)MIN(msg->data->left, (uint64_t)MIN(CHUNK_MAX, u->s.opt.sndbuf / 2 - 64));
        struct packet *p;
        int err = wait_send_room(u, deadline_ns);

        if (err < 0)
            return sent ? sent : err;
        p = fill_packet(u, msg, n);
        if (is_err(p))
            return sent ? sent : ptr_err(p);
        if (peer->dead || (peer->s.shut & SHUT_RECV)) {
            packet_free(p);
            return sent ? sent : socket_broken_pipe(msg->flags);
        }
        deliver(u, peer, p, scm);
        sent += n;
    }
    return sent;
}

ssize_t unix_send_stream(struct socket *s, struct socket_msg *msg)
{
    struct unix_sock *u = unix_sock(s);
    struct scm scm;
    ssize_t ret = scm_parse(msg, &scm);

    if (ret < 0)
        return ret;
    if (msg->flags & MSG_OOB)
        ret = -EOPNOTSUPP;
    else if (msg->addr)
        ret = u->state == UNIX_CONNECTED ? -EISCONN : -EOPNOTSUPP;
    else if (!u->peer)
        ret = -ENOTCONN;
    else if (s->shut & SHUT_SEND)
        ret = socket_broken_pipe(msg->flags);
    else
        ret = send_chunks(u, msg, &scm);
    scm_release(&scm);
    return ret;
}

/* The receiver of a datagram, with a reference. */
static struct unix_sock *destination(struct unix_sock *u, const struct socket_msg *msg)
{
    if (msg->addr)
        return unix_find(msg->addr, u->s.type);
    if (!u->peer)
        return err_ptr(-ENOTCONN);
    socket_get(&u->peer->s);
    return u->peer;
}

static int peer_is_gone(struct unix_sock *u, const struct unix_sock *to)
{
    if (u->s.type == SOCK_SEQPACKET)
        return -EPIPE;
    if (u->peer == to) {
        unix_disconnect_dgram(u);
        u->state = UNIX_CLOSED;
        packet_queue_purge(&u->s.rx);
    }
    return -ECONNREFUSED;
}

/* May a datagram of u's go to `to` now? 0; 1: its queue is full. */
static int check_receiver(struct unix_sock *u, const struct unix_sock *to)
{
    if (!unix_may_send(u, to))
        return -EPERM;
    if (to->dead)
        return peer_is_gone(u, to);
    if (to->s.shut & SHUT_RECV)
        return -EPIPE;
    return to != u && to->peer != u && unix_rx_full(to);
}

static int wait_receiver(struct unix_sock *u, struct unix_sock *to, uint64_t deadline_ns)
{
    int err;

    while ((err = check_receiver(u, to)) > 0) {
        err = socket_wait(&to->space_wait, to->dead || (to->s.shut & SHUT_RECV) || !unix_rx_full(to), deadline_ns);
        if (err < 0)
            return err;
    }
    return err;
}

static ssize_t send_packet(struct unix_sock *u, struct socket_msg *msg, struct scm *scm)
{
    uint64_t deadline_ns = socket_deadline(u->s.opt.send_timeout_ns, msg->flags & MSG_DONTWAIT), n = msg->data->left;
    struct unix_sock *to;
    struct packet *p;
    int err;

    if (n > u->s.opt.sndbuf - 32)
        return -EMSGSIZE;
    err = wait_send_room(u, deadline_ns);
    if (err < 0)
        return err;
    p = fill_packet(u, msg, (uint32_t)n);
    if (is_err(p))
        return ptr_err(p);
    to = destination(u, msg);
    if (is_err(to)) {
        packet_free(p);
        return ptr_err(to);
    }
    err = wait_receiver(u, to, deadline_ns);
    if (err == 0)
        deliver(u, to, p, scm);
    else
        packet_free(p);
    socket_put(&to->s);
    return err < 0 ? err : (ssize_t)n;
}

ssize_t unix_send_dgram(struct socket *s, struct socket_msg *msg)
{
    struct unix_sock *u = unix_sock(s);
    struct scm scm;
    ssize_t ret = scm_parse(msg, &scm);

    if (ret < 0)
        return ret;
    if (msg->flags & MSG_OOB)
        ret = -EOPNOTSUPP;
    else if (msg->addr && unix_check_addr(msg->addr) < 0)
        ret = -EINVAL;
    else if (s->opt.passcred || s->opt.passpidfd)
        ret = unix_autobind(u);
    if (ret == 0)
        ret = send_packet(u, msg, &scm);
    scm_release(&scm);
    return ret;
}

ssize_t unix_send_seqpacket(struct socket *s, struct socket_msg *msg)
{
    struct unix_sock *u = unix_sock(s);
    int err = socket_take_error(s);

    if (err < 0)
        return err;
    if (u->state != UNIX_CONNECTED)
        return -ENOTCONN;
    msg->addr = NULL;
    return unix_send_dgram(s, msg);
}

/* --- receiving --- */

/* What a receiver has collected from one or more packets. */
struct collected {
    size_t bytes;
    bool has_cred, cred_taken, named;
    struct ucred cred;
    struct fd_bundle *fds;
};

/* As Linux: the sender's name now, not when it sent. */
static void take_name(struct socket_msg *msg, const struct packet *p, struct collected *c)
{
    const struct unix_name *name = unix_sock(p->sender)->name;

    if (msg->addr && !c->named && name)
        unix_name_show(name, msg->addr);
    c->named = true;
}

static void take_fds(struct packet *p, struct collected *c, bool peek)
{
    if (!p->fds)
        return;
    if (peek) {
        c->fds = fd_bundle_copy(p->fds);
    } else {
        c->fds = p->fds;
        p->fds = NULL;
        unix_gc_leave(c->fds);
    }
}

/* Hand over what came with the bytes. */
static void finish_recv(struct socket *s, struct socket_msg *msg, struct collected *c)
{
    if (s->opt.passcred || s->opt.passpidfd)
        scm_deliver_cred(s, msg, c->has_cred, &c->cred);
    if (c->fds)
        scm_deliver_fds(msg, c->fds);
}

/* Bytes of different writers aren't joined if the reader wants to know who they are. True: p may go on. */
static bool same_writer(const struct socket *s, const struct packet *p, struct collected *c)
{
    if (!s->opt.passcred && !s->opt.passpidfd)
        return true;
    if (c->cred_taken)
        return c->has_cred == p->has_cred && memcmp(&c->cred, &p->cred, sizeof(c->cred)) == 0;
    c->cred_taken = true;
    c->has_cred = p->has_cred;
    c->cred = p->cred;
    return true;
}

/*
 * Copy from the front of the queue what fits, with the read lock held. 1: no more may be joined to it; 0: go on when more
 * comes; -EFAULT.
 */
static int read_queue(struct unix_sock *u, struct socket_msg *msg, struct collected *c, uint64_t skip)
{
    struct packet_queue *q = &u->s.rx;
    bool peek = msg->flags & MSG_PEEK;
    struct list *node = q->packets.next;

    while (node != &q->packets && msg->data->left > 0) {
        struct packet *p = list_entry(node, struct packet, node);
        size_t want, n;

        if (peek && skip >= p->len) {
            skip -= p->len;
            node = node->next;
            continue;
        }
        if (!same_writer(&u->s, p, c))
            return 1;
        take_name(msg, p, c);
        want = MIN((size_t)(p->len - skip), msg->data->left);
        n = iter_copy_to(msg->data, p->data + p->offset + skip, want);
        c->bytes += n;
        if (n < want && c->bytes == 0)
            return -EFAULT;
        take_fds(p, c, peek);
        node = node->next;
        skip = 0;
        if (!peek) {
            packet_consume(q, p, (uint32_t)n);
            if (p->len == 0) {
                packet_unlink(q, p);
                packet_free(p);
            }
        }
        if (n < want || c->fds)
            return 1;
    }
    return 0;
}

/* Wait for more with the read lock dropped. 1: the end of the stream. */
static int wait_stream(struct unix_sock *u, uint64_t deadline_ns, uint64_t seen)
{
    struct socket *s = &u->s;
    int err = socket_take_error(s);

    if (err < 0)
        return err;
    if (s->shut & SHUT_RECV)
        return 1;
    mutex_unlock(&u->read_lock);
    if (seen == 0)
        err = socket_wait(&s->read_wait, socket_rx_ready(s), deadline_ns);
    else
        err = socket_wait(&s->read_wait, s->rx.bytes > seen || s->error || (s->shut & SHUT_RECV), deadline_ns);
    mutex_lock(&u->read_lock);
    return err;
}

ssize_t unix_recv_stream(struct socket *s, struct socket_msg *msg)
{
    struct unix_sock *u = unix_sock(s);
    uint64_t deadline_ns = socket_deadline(s->opt.recv_timeout_ns, msg->flags & MSG_DONTWAIT);
    size_t size = msg->data->left, target = msg->flags & MSG_WAITALL ? size : MIN(size, (size_t)s->opt.rcvlowat);
    bool peek = msg->flags & MSG_PEEK;
    uint64_t start = peek && s->opt.peek_offset > 0 ? (uint64_t)s->opt.peek_offset : 0;
    struct collected c = { 0 };
    int err;

    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (u->state != UNIX_CONNECTED)
        return -EINVAL;
    mutex_lock(&u->read_lock);
    for (;;) {
        err = read_queue(u, msg, &c, start + (peek ? c.bytes : 0));
        if (err != 0 || c.bytes >= MAX(target, 1ul) || (size == 0 && s->rx.count > 0)) /* even a read of nothing waits */
            break;
        err = wait_stream(u, deadline_ns, peek ? start + c.bytes : 0);
        if (err != 0)
            break;
    }
    mutex_unlock(&u->read_lock);
    if (s->opt.peek_offset >= 0)
        s->opt.peek_offset = (int)(peek ? start + c.bytes : start > c.bytes ? start - c.bytes : 0);
    if (c.bytes == 0 && err < 0)
        return err;
    finish_recv(s, msg, &c);
    return (ssize_t)c.bytes;
}

/* The queue has become shorter: senders may go on. */
static void tell_senders(struct unix_sock *u, bool was_full)
{
    struct unix_sock *client, *tmp;

    if (!was_full || unix_rx_full(u))
        return;
    wait_wake_all(&u->space_wait, 0);
    list_for_each_safe(client, tmp, &u->clients, client_node)
        socket_wake_write(&client->s);
}

static ssize_t take_packet(struct unix_sock *u, struct socket_msg *msg, struct packet *p, struct collected *c)
{
    bool peek = msg->flags & MSG_PEEK, was_full = unix_rx_full(u);
    struct socket *s = &u->s;
    uint32_t skip = peek && s->opt.peek_offset > 0 ? MIN((uint32_t)s->opt.peek_offset, p->len) : 0;
    uint32_t len = p->len - skip;
    size_t want = MIN((size_t)len, msg->data->left);
    bool fault = iter_copy_to(msg->data, p->data + p->offset + skip, want) < want;

    take_name(msg, p, c);
    c->has_cred = p->has_cred;
    c->cred = p->cred;
    if (want < len)
        msg->out_flags |= MSG_TRUNC;
    if (!fault) {
        take_fds(p, c, peek);
        if (s->opt.timestamp)
            ancillary_put_time(s, msg, p);
    }
    if (s->opt.peek_offset >= 0)
        s->opt.peek_offset = peek ? s->opt.peek_offset + (int)want : 0;
    if (!peek) {
        packet_unlink(&s->rx, p);
        packet_free(p);
        tell_senders(u, was_full);
    }
    if (fault)
        return -EFAULT;
    return (ssize_t)(msg->flags & MSG_TRUNC ? len : want);
}

ssize_t unix_recv_dgram(struct socket *s, struct socket_msg *msg)
{
    struct unix_sock *u = unix_sock(s);
    uint64_t deadline_ns = socket_deadline(s->opt.recv_timeout_ns, msg->flags & MSG_DONTWAIT);
    struct collected c = { 0 };
    struct packet *p;
    ssize_t ret;
    int err = 0;

    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    mutex_lock(&u->read_lock);
    p = socket_next_packet(&u->s, &u->read_lock, deadline_ns, &err);
    ret = p ? take_packet(u, msg, p, &c) : err;
    mutex_unlock(&u->read_lock);
    if (p && ret >= 0)
        finish_recv(s, msg, &c);
    return ret;
}

ssize_t unix_recv_seqpacket(struct socket *s, struct socket_msg *msg)
{
    if (unix_sock(s)->state != UNIX_CONNECTED)
        return -ENOTCONN;
    return unix_recv_dgram(s, msg);
}
