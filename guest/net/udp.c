/*
 * UDP inside the sandbox (udp(7)): a datagram is put into the receiver's queue at once, or dropped if that is full. If nobody listens
 * there, a connected sender hears ECONNREFUSED on its next call, as an ICMP message would make it.
 */
#include <asm/ioctls.h>
#include <linux/sockios.h>
#include <linux/udp.h>

#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "lib/string.h"
#include "net/udp.h"

#define PAYLOAD_MAX4 65507u /* 65535 without IPv4's and UDP's header */
#define PAYLOAD_MAX6 65527u

static const struct socket_ops udp_ops;

struct udp_sock *udp_socket_of(size_t size, int family, int type, int protocol)
{
    struct udp_sock *u = (struct udp_sock *)socket_alloc(size, &udp_ops, family, type, protocol);

    if (!u)
        return NULL;
    inet_options_init(&u->i);
    inet_forget_binding(&u->i);
    list_init(&u->i.port_node);
    mutex_init(&u->read_lock);
    return u;
}

struct socket *udp_socket(int family)
{
    struct udp_sock *u = udp_socket_of(sizeof(*u), family, SOCK_DGRAM, IPPROTO_UDP);

    return u ? &u->i.s : err_ptr(-ENOMEM);
}

static void udp_release(struct socket *s)
{
    struct udp_sock *u = udp_sock(s);

    inet_release_port(&u->i);
    packet_queue_purge(&s->rx);
    if (u->corked)
        packet_free(u->corked);
    u->corked = NULL;
}

static int udp_bind(struct socket *s, const struct net_addr *addr)
{
    int err = inet_bind(s, addr, !udp_sock(s)->connected);

    if (err == 0 && inet_outside)
        inet_outside->listening(s);
    return err;
}

static int disconnect(struct udp_sock *u)
{
    u->connected = false;
    inet_forget_binding(&u->i);
    return 0;
}

static int udp_connect(struct socket *s, const struct net_addr *addr, bool nonblock)
{
    struct udp_sock *u = udp_sock(s);
    struct inet_end to;
    int err;

    if (addr->len < sizeof(addr->family))
        return -EINVAL;
    if (addr->family == AF_UNSPEC)
        return disconnect(u);
    if (inet_autobind(&u->i) < 0)
        return -EAGAIN;
    err = inet_read_addr(&u->i, addr, &to);
    if (err == 0)
        err = inet_route(&u->i, &to);
    if (err > 0)
        return s->ops->connect(s, addr, nonblock);
    if (err == 0)
        err = inet_choose_source(&u->i, &to);
    if (err < 0)
        return err;
    u->i.remote = to;
    u->connected = true;
    return 0;
}

static int udp_getname(struct socket *s, struct net_addr *ret, bool peer)
{
    return inet_getname(s, ret, udp_sock(s)->connected, peer);
}

static int udp_shutdown(struct socket *s, int how)
{
    s->shut |= (uint32_t)how + 1;
    socket_wake_state(s);
    return udp_sock(s)->connected ? 0 : -ENOTCONN;
}

/* --- sending --- */

/* Who gets what `from` sends to `to`: a connected socket before an exact address before all addresses. */
static struct udp_sock *find_receiver(const struct inet_end *from, const struct inet_end *to)
{
    struct list *head = inet_port_bucket(IPPROTO_UDP, to->port);
    struct inet_sock *i, *best = NULL;
    uint32_t best_score = 0, equals = 0, dice;

    list_for_each(i, head, port_node) {
        struct udp_sock *u = (struct udp_sock *)i;
        uint32_t score = inet_same(i->local.addr, to->addr) ? 3 : inet_is_v4(i->local.addr) == inet_is_v4(to->addr) ? 2 : 1;

        if (i->local.port != to->port || !inet_hears(i, to->addr))
            continue;
        if (u->connected) {
            if (i->remote.port != from->port || !inet_same(i->remote.addr, from->addr))
                continue;
            score += 4;
        }
        if (score < best_score)
            continue;
        equals = score > best_score ? 1 : equals + 1;
        best_score = score;
        random_bytes(&dice, equals > 1 ? sizeof(dice) : 0);
        /* without SO_REUSEPORT the last one bound gets it all */
        if (equals == 1 || !i->s.opt.reuseport || dice % equals == 0)
            best = i;
    }
    return (struct udp_sock *)best;
}

/* Takes the packet. */
static void deliver(struct udp_sock *u, struct packet *p, const struct inet_end *to)
{
    struct udp_sock *receiver = find_receiver(&p->inet.from, to);
    struct socket *r;

    memcpy(p->inet.to, to->addr, 16);
    if (!receiver) {
        packet_free(p);
        if (u->connected && u->i.remote.port == to->port && inet_same(u->i.remote.addr, to->addr))
            socket_set_error(&u->i.s, ECONNREFUSED);
        return;
    }
    r = &receiver->i.s;
    if (r->rx.charge > r->opt.rcvbuf || (r->shut & SHUT_RECV)) {
        packet_free(p);
        return;
    }
    p->charge = packet_truesize(p->len);
    if (r->opt.timestamp)
        p->time_ns = clock_real_ns();
    packet_push(&r->rx, p);
    socket_wake_read(r);
}

/* Where this message goes. 1: the socket was adopted. */
static int destination(struct udp_sock *u, const struct net_addr *addr, struct inet_end *ret)
{
    int err = 0;

    if (!addr) {
        *ret = u->i.remote;
        return u->connected ? 0 : -EDESTADDRREQ;
    }
    if (u->i.s.family == AF_INET6 && addr->len >= sizeof(addr->in) && addr->family == AF_INET) {
        struct inet_sock as_v4 = { .s.family = AF_INET };

        err = u->i.options[OPT_V6_ONLY] ? -ENETUNREACH : inet_read_addr(&as_v4, addr, ret);
    } else if (u->i.s.family == AF_INET && addr->len >= sizeof(addr->in) && addr->family == AF_UNSPEC) {
        struct net_addr copy = *addr;

        copy.family = AF_INET;
        err = inet_read_addr(&u->i, &copy, ret);
    } else {
        err = inet_read_addr(&u->i, addr, ret);
    }
    if (err < 0)
        return err;
    return ret->port == 0 ? -EINVAL : inet_route(&u->i, ret);
}

/* The source of a message to `to`, when the socket is bound to all addresses. */
static int source_of(const struct udp_sock *u, const struct inet_end *to, struct inet_end *ret)
{
    struct inet_sock probe = { .s.family = u->i.s.family, .local = u->i.local };
    int err = inet_choose_source(&probe, to);

    *ret = probe.local;
    return err;
}

/* The bytes of one call, after what was gathered before. */
static struct packet *gather(struct udp_sock *u, struct socket_msg *msg)
{
    struct packet *old = u->corked, *p;
    uint32_t before = old ? old->len : 0, n = (uint32_t)msg->data->left;

    if (msg->data->left > PAYLOAD_MAX6 || before + n > (u->i.s.family == AF_INET ? PAYLOAD_MAX4 : PAYLOAD_MAX6))
        return err_ptr(-EMSGSIZE);
    p = packet_alloc(before + n);
    if (!p)
        return err_ptr(-ENOBUFS);
    if (iter_copy_from(msg->data, p->data + before, n) < n) {
        packet_free(p);
        return err_ptr(-EFAULT);
    }
    if (old && u->corked == old) {
        memcpy(p->data, old->data, before);
        packet_free(old);
        u->corked = NULL;
    }
    p->len = before + n;
    return p;
}

static ssize_t udp_send(struct socket *s, struct socket_msg *msg)
{
    struct udp_sock *u = udp_sock(s);
    size_t n = msg->data->left;
    struct inet_end to, from;
    struct packet *p;
    int err;

    if (inet_autobind(&u->i) < 0)
        return -EAGAIN;
    if (n > PAYLOAD_MAX6)
        return -EMSGSIZE;
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    err = destination(u, msg->addr, &to);
    if (err > 0)
        return s->ops->send(s, msg);
    if (err == 0)
        err = source_of(u, &to, &from);
    if (err == 0)
        err = socket_take_error(s);
    if (err == 0 && (s->shut & SHUT_SEND))
        err = -EPIPE;
    if (err < 0)
        return err;
    if (u->corked)
        to = u->corked_to;
    p = gather(u, msg);
    if (is_err(p))
        return ptr_err(p);
    p->inet.from = from;
    if (u->cork || (msg->flags & MSG_MORE)) {
        u->corked = p;
        u->corked_to = to;
    } else {
        deliver(u, p, &to);
    }
    return (ssize_t)n;
}

/* --- receiving --- */

static void put_v4_info(struct udp_sock *u, struct socket_msg *msg, const struct packet *p)
{
    struct {
        int index;
        uint8_t local[4], to[4];
    } info = { .index = 1 };
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = (uint16_t)(u->i.local.port << 8 | u->i.local.port >> 8) };
    const int *o = u->i.options;
    int ttl = 64;

    memcpy(info.local, p->inet.to + 12, 4);
    memcpy(info.to, p->inet.to + 12, 4);
    if (o[OPT_IP_PKTINFO])
        ancillary_put(msg, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    if (o[OPT_IP_RECVTTL])
        ancillary_put(msg, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
    if (o[OPT_IP_RECVTOS])
        ancillary_put(msg, IPPROTO_IP, IP_TOS, "", 1);
    memcpy(&to.sin_addr, p->inet.to + 12, 4);
    if (o[OPT_IP_RECVORIGDST])
        ancillary_put(msg, IPPROTO_IP, IP_ORIGDSTADDR, &to, sizeof(to));
}

static void put_v6_info(struct udp_sock *u, struct socket_msg *msg, const struct packet *p)
{
    struct {
        uint8_t addr[16];
        int index;
    } info = { .index = 1 };
    const int *o = u->i.options;
    int hops = 64, class = 0;

    memcpy(info.addr, p->inet.to, 16);
    if (o[OPT_V6_PKTINFO])
        ancillary_put(msg, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    if (o[OPT_V6_RECVHOPS])
        ancillary_put(msg, IPPROTO_IPV6, IPV6_HOPLIMIT, &hops, sizeof(hops));
    if (o[OPT_V6_RECVTCLASS])
        ancillary_put(msg, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof(class));
}

static ssize_t take_packet(struct udp_sock *u, struct socket_msg *msg, struct packet *p)
{
    struct socket *s = &u->i.s;
    bool peek = msg->flags & MSG_PEEK;
    uint32_t skip = peek && s->opt.peek_offset > 0 ? MIN((uint32_t)s->opt.peek_offset, p->len) : 0, len = p->len - skip;
    size_t want = MIN((size_t)len, msg->data->left);
    bool fault = iter_copy_to(msg->data, p->data + p->offset + skip, want) < want;

    if (want < len)
        msg->out_flags |= MSG_TRUNC;
    if (!fault) {
        if (msg->addr)
            inet_show(&u->i, &p->inet.from, msg->addr);
        if (s->opt.timestamp)
            ancillary_put_time(s, msg, p);
        if (s->family == AF_INET6)
            put_v6_info(u, msg, p);
        if (inet_is_v4(p->inet.to))
            put_v4_info(u, msg, p);
    }
    if (s->opt.peek_offset >= 0)
        s->opt.peek_offset = peek ? s->opt.peek_offset + (int)want : 0;
    if (!peek) {
        packet_unlink(&s->rx, p);
        packet_free(p);
    }
    return fault ? -EFAULT : (ssize_t)(msg->flags & MSG_TRUNC ? len : want);
}

static ssize_t udp_recv(struct socket *s, struct socket_msg *msg)
{
    struct udp_sock *u = udp_sock(s);
    uint64_t deadline_ns = socket_deadline(s->opt.recv_timeout_ns, msg->flags & MSG_DONTWAIT);
    struct packet *p;
    ssize_t ret;
    int err = 0;

    if (msg->flags & MSG_ERRQUEUE)
        return -EAGAIN;
    mutex_lock(&u->read_lock);
    p = socket_next_packet(&u->i.s, &u->read_lock, deadline_ns, &err);
    ret = p ? take_packet(u, msg, p) : err;
    mutex_unlock(&u->read_lock);
    return ret;
}

static uint32_t udp_poll(struct socket *s)
{
    uint32_t events = EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;

    if (s->error)
        events |= EPOLLERR;
    if (s->shut & SHUT_RECV)
        events |= EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
    if (s->shut == SHUT_MASK)
        events |= EPOLLHUP;
    if (s->rx.count > 0)
        events |= EPOLLIN | EPOLLRDNORM;
    return events;
}

static long udp_ioctl(struct socket *s, uint32_t cmd, uaddr_t arg)
{
    const struct packet *first = packet_first(&s->rx);
    int value;

    switch (cmd) {
    case FIONREAD:
        value = first ? (int)first->len : 0;
        break;
    case TIOCOUTQ: /* SIOCOUTQ: nothing is ever on its way */
        value = 0;
        break;
    default:
        return -ENOIOCTLCMD;
    }
    return put_user(value, arg);
}

static int set_cork(struct udp_sock *u, const void *value, uint32_t len)
{
    struct packet *p = u->corked;
    int on;

    if (option_int(value, len, &on) < 0)
        return -EINVAL;
    u->cork = on != 0;
    if (!on && p) {
        u->corked = NULL;
        deliver(u, p, &u->corked_to);
    }
    return 0;
}

static int udp_setsockopt(struct socket *s, int level, int name, const void *value, uint32_t len)
{
    if (level == IPPROTO_UDP)
        return name == UDP_CORK ? set_cork(udp_sock(s), value, len) : -ENOPROTOOPT;
    return inet_setsockopt(s, level, name, value, len);
}

static int udp_getsockopt(struct socket *s, int level, int name, void *buf, uint32_t *len)
{
    if (level == IPPROTO_UDP)
        return name == UDP_CORK ? option_put_int(buf, len, udp_sock(s)->cork) : -ENOPROTOOPT;
    return inet_getsockopt(s, level, name, buf, len);
}

static const struct socket_ops udp_ops = {
    .bind = udp_bind,
    .connect = udp_connect,
    .getname = udp_getname,
    .send = udp_send,
    .recv = udp_recv,
    .poll = udp_poll,
    .shutdown = udp_shutdown,
    .ioctl = udp_ioctl,
    .setsockopt = udp_setsockopt,
    .getsockopt = udp_getsockopt,
    .release = udp_release,
};
