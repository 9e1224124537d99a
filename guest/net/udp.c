/*
 * UDP inside the sandbox (udp(7)): a datagram is put into the receiver's queue at once, or dropped if that is full. If nobody listens
 * there, a connected sender hears ECONNREFUSED on its next call, as an ICMP message would make it. What leads out is handed to a
 * transport (struct udp_outside).
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
    packet_queue_init(&u->errors);
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
    packet_queue_purge(&u->errors);
    if (u->corked)
        packet_free(u->corked);
    u->corked = NULL;
    if (u->outside)
        u->outside->release(u);
    u->outside = NULL;
}

static void look(const struct udp_sock *u)
{
    if (u->outside)
        u->outside->look();
}

/* Does it lead out of the sandbox, from a socket that has a way? */
static bool leads_out(const struct udp_sock *u, const struct inet_end *to)
{
    return u->outside && !inet_is_any(to->addr) && !inet_is_inside(to->addr);
}

static int udp_bind(struct socket *s, const struct net_addr *addr)
{
    struct udp_sock *u = udp_sock(s);
    int err = inet_bind(s, addr, !u->connected);

    if (err == 0 && inet_outside)
        inet_outside->listening(s);
    return err == 0 && u->outside && u->outside->bound ? u->outside->bound(u) : err;
}

static int disconnect(struct udp_sock *u)
{
    int err = 0;

    if (u->connected && leads_out(u, &u->i.remote))
        err = u->outside->connect(u, NULL);
    u->connected = false;
    inet_forget_binding(&u->i);
    return err;
}

static int udp_connect(struct socket *s, const struct net_addr *addr, bool nonblock UNUSED)
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
    if (err > 0) {
        err = u->outside->connect(u, &to);
    } else if (err == 0) {
        if (u->connected && leads_out(u, &u->i.remote))
            u->outside->connect(u, NULL);
        err = inet_choose_source(&u->i, &to);
    }
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

void udp_receive(struct socket *s, struct packet *p)
{
    p->charge = packet_truesize(p->len);
    if (s->opt.timestamp && !p->time_ns)
        p->time_ns = clock_real_ns();
    packet_push(&s->rx, p);
    socket_wake_read(s);
}

/* Takes the packet. */
static void deliver(struct udp_sock *u, struct packet *p, const struct inet_end *to)
{
    struct udp_sock *receiver = find_receiver(&p->inet.from, to);

    memcpy(p->inet.to, to->addr, 16);
    if (!receiver)
        udp_unreachable(u, p, to);
    else if (!udp_has_room(&receiver->i.s))
        packet_free(p);
    else
        udp_receive(&receiver->i.s, p);
}

/* Where it goes. 1: out of the sandbox. */
static int destination(struct udp_sock *u, const struct net_addr *addr, struct inet_end *ret)
{
    int err = 0;

    if (!addr) {
        *ret = u->i.remote;
        return u->connected ? leads_out(u, ret) : -EDESTADDRREQ;
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
    return ret->port == 0 && u->i.s.protocol == IPPROTO_UDP ? -EINVAL : inet_route(&u->i, ret);
}

int udp_read_head(struct udp_sock *u, const struct socket_msg *msg, struct udp_head *ret)
{
    int err;

    *ret = (struct udp_head){ .to_peer = !msg->addr, .ttl = -1, .tos = -1 };
    err = destination(u, msg->addr, &ret->to);
    if (err < 0)
        return err;
    ret->outside = err > 0;
    return msg->control_len > 0 ? udp_read_control(msg, ret) : 0;
}

int udp_may_send(struct udp_sock *u)
{
    int err = socket_take_error(&u->i.s);

    return err == 0 && (u->i.s.shut & SHUT_SEND) ? -EPIPE : err;
}

/* The source of a message that stays inside, when the socket is bound to all addresses. */
static int source_of(const struct udp_sock *u, const struct udp_head *head, struct inet_end *ret)
{
    struct inet_sock probe = { .s.family = u->i.s.family, .local = u->i.local };
    int err;

    if (head->has_source) {
        bool v4 = inet_is_v4(head->to.addr);

        if (!inet_is_inside(head->source) || inet_is_v4(head->source) != v4)
            return v4 ? -ENETUNREACH : -EINVAL;
        memcpy(probe.local.addr, head->source, 16);
    }
    err = inet_choose_source(&probe, &head->to);
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

static int send_inside(struct udp_sock *u, const struct udp_head *head, struct packet *p)
{
    const int *o = u->i.options;
    bool v4 = inet_is_v4(head->to.addr);
    int err = source_of(u, head, &p->inet.from);

    if (err < 0) {
        packet_free(p);
        return err;
    }
    p->inet.ttl = (uint8_t)(head->ttl >= 0 ? head->ttl : o[v4 ? OPT_IP_TTL : OPT_V6_HOPS]);
    p->inet.tos = (uint8_t)(head->tos >= 0 ? head->tos : o[v4 ? OPT_IP_TOS : OPT_V6_TCLASS]);
    deliver(u, p, &head->to);
    return 0;
}

/* Takes the packet. */
static int send_packet(struct udp_sock *u, const struct udp_head *head, struct packet *p, bool nonblock)
{
    struct iter_segment segment;
    struct iter data;
    int err;

    if (!head->outside)
        return send_inside(u, head, p);
    iter_kernel(&data, &segment, p->data, p->len);
    err = u->outside->send(u, head, &data, nonblock);
    packet_free(p);
    return err;
}

static ssize_t udp_send(struct socket *s, struct socket_msg *msg)
{
    struct udp_sock *u = udp_sock(s);
    bool nonblock = msg->flags & MSG_DONTWAIT;
    size_t n = msg->data->left;
    struct udp_head head;
    struct packet *p;
    int err;

    look(u);
    if (inet_autobind(&u->i) < 0)
        return -EAGAIN;
    if (n > PAYLOAD_MAX6)
        return -EMSGSIZE;
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    err = udp_read_head(u, msg, &head);
    if (err == 0)
        err = udp_may_send(u);
    if (err == 0 && inet_is_v4(head.to.addr) && n > PAYLOAD_MAX4)
        err = -EMSGSIZE;
    if (err < 0)
        return err;
    if (head.outside && !u->corked && !u->cork && !(msg->flags & MSG_MORE)) {
        err = u->outside->send(u, &head, msg->data, nonblock);
        return err < 0 ? err : (ssize_t)n;
    }
    if (u->corked)
        head = u->corked_head;
    p = gather(u, msg);
    if (is_err(p))
        return ptr_err(p);
    if (u->cork || (msg->flags & MSG_MORE)) {
        u->corked = p;
        u->corked_head = head;
    } else {
        err = send_packet(u, &head, p, nonblock);
    }
    return err < 0 ? err : (ssize_t)n;
}

/* --- receiving --- */

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
        udp_put_control(u, msg, p);
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

    look(u);
    if (msg->flags & MSG_ERRQUEUE)
        return udp_recv_error(u, msg);
    mutex_lock(&u->read_lock);
    p = socket_next_packet(&u->i.s, &u->read_lock, deadline_ns, &err);
    ret = p ? take_packet(u, msg, p) : err;
    mutex_unlock(&u->read_lock);
    if (u->outside && u->outside->taken)
        u->outside->taken(u);
    return ret;
}

static uint32_t udp_poll(struct socket *s)
{
    struct udp_sock *u = udp_sock(s);
    bool writable = !u->outside || !u->outside->writable || u->outside->writable(u);
    uint32_t events = writable ? EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND : 0;

    if (s->error || u->errors.count > 0)
        events |= EPOLLERR;
    if (u->errors.count > 0 && s->opt.select_err_queue)
        events |= EPOLLPRI;
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
    if (on || !p)
        return 0;
    u->corked = NULL;
    send_packet(u, &u->corked_head, p, true); /* what becomes of it isn't told, as in Linux */
    return 0;
}

static int udp_setsockopt(struct socket *s, int level, int name, const void *value, uint32_t len)
{
    struct udp_sock *u = udp_sock(s);
    int err;

    if (level == IPPROTO_UDP && s->protocol == IPPROTO_UDP)
        return name == UDP_CORK ? set_cork(u, value, len) : -ENOPROTOOPT;
    err = (u->outside ? u->outside->setsockopt : inet_setsockopt)(s, level, name, value, len);
    if (err == 0 && !u->i.options[OPT_IP_RECVERR] && !u->i.options[OPT_V6_RECVERR])
        packet_queue_purge(&u->errors);
    return err;
}

static int udp_getsockopt(struct socket *s, int level, int name, void *buf, uint32_t *len)
{
    const struct udp_sock *u = udp_sock(s);

    if (level == IPPROTO_UDP && s->protocol == IPPROTO_UDP)
        return name == UDP_CORK ? option_put_int(buf, len, u->cork) : -ENOPROTOOPT;
    return (u->outside ? u->outside->getsockopt : inet_getsockopt)(s, level, name, buf, len);
}

static void udp_option_set(struct socket *s, int name)
{
    const struct udp_sock *u = udp_sock(s);

    if (u->outside && u->outside->option_set)
        u->outside->option_set(s, name);
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
    .option_set = udp_option_set,
    .release = udp_release,
};
