/*
 * Datagrams through lwIP. The socket stays udp.c's for loopback and the sandbox's own addresses; what leads out goes to the stack, and
 * what comes is put into the same queue.
 */
#include "lwip/udp.h"

#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "net/stack.h"
#include "net/stack_addr.h"
#include "net/udp.h"

#define PAYLOAD_MAX4 65507u /* 65535 without IPv4's and UDP's header */
#define PAYLOAD_MAX6 65487u /* lwIP's packets are of 16 bits with all their headers */

static struct socket_ops stack_udp_ops;

static bool leads_inside(const struct inet_end *to)
{
    return inet_is_any(to->addr) || inet_is_inside(to->addr);
}

/* --- receiving --- */

static void on_datagram(void *arg, struct udp_pcb *pcb UNUSED, struct pbuf *p, const ip_addr_t *from, u16_t port)
{
    struct socket *s = ((struct stack_sock *)arg)->s;
    const struct udp_sock *u = udp_sock(s);
    struct packet *packet = NULL;
    struct inet_end source;

    addr_from_lwip(from, source.addr);
    source.port = port;
    if (u->connected && (u->i.remote.port != port || !inet_same(u->i.remote.addr, source.addr)))
        goto drop;
    if (s->rx.charge > s->opt.rcvbuf || (s->shut & SHUT_RECV))
        goto drop;
    packet = packet_alloc(p->tot_len);
    if (!packet)
        goto drop;
    packet->len = pbuf_copy_partial(p, packet->data, p->tot_len, 0);
    packet->inet.from = source;
    addr_from_lwip(stack_destination(), packet->inet.to);
    packet->charge = packet_truesize(packet->len);
    if (s->opt.timestamp)
        packet->time_ns = clock_real_ns();
    packet_push(&s->rx, packet);
    socket_wake_read(s);
drop:
    pbuf_free(p);
}

static ssize_t stack_udp_recv(struct socket *s, struct socket_msg *msg)
{
    stack_look();
    return inet_sock(s)->stack->inside->recv(s, msg);
}

/* --- sending --- */

static int bind_pcb(const struct udp_sock *u, struct udp_pcb *pcb)
{
    ip_addr_t local;

    if (pcb->local_port == u->i.local.port)
        return 0;
    addr_to_lwip(u->i.local.addr, &local);
    return stack_errno(udp_bind(pcb, !inet_is_any(u->i.local.addr) ? &local : u->i.s.family == AF_INET ? IP4_ADDR_ANY : IP_ANY_TYPE,
                                u->i.local.port));
}

/* The app's bytes as a packet with room for headers in front. */
static struct pbuf *gather(struct socket_msg *msg, size_t n)
{
    struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)n, PBUF_RAM);

    if (!p)
        return err_ptr(-ENOBUFS);
    if (iter_copy_from(msg->data, p->payload, n) < n) {
        pbuf_free(p);
        return err_ptr(-EFAULT);
    }
    return p;
}

static ssize_t send_outside(struct socket *s, struct socket_msg *msg, const struct inet_end *to)
{
    struct udp_sock *u = udp_sock(s);
    struct stack_sock *k = u->i.stack;
    size_t n = msg->data->left;
    struct pbuf *p;
    ip_addr_t dst;
    int err;

    if (n > (inet_is_v4(to->addr) ? PAYLOAD_MAX4 : PAYLOAD_MAX6))
        return -EMSGSIZE;
    if (to->port == 0)
        return -EINVAL;
    err = socket_take_error(s);
    if (err == 0 && (s->shut & SHUT_SEND))
        err = -EPIPE;
    if (err == 0)
        err = inet_autobind(&u->i);
    if (err == 0)
        err = bind_pcb(u, k->udp);
    if (err < 0)
        return err;
    p = gather(msg, n);
    if (is_err(p))
        return ptr_err(p);
    addr_to_lwip(to->addr, &dst);
    k->sent_ns = clock_mono_ns();
    err = stack_errno(udp_sendto(k->udp, p, &dst, to->port));
    pbuf_free(p);
    stack_done();
    return err < 0 ? err : (ssize_t)n;
}

/* 1: inside. */
static int destination(struct udp_sock *u, const struct net_addr *addr, struct inet_end *ret)
{
    struct inet_sock as_v4 = { .s.family = AF_INET };
    int err;

    if (!addr) {
        *ret = u->i.remote;
        return u->connected ? leads_inside(ret) : -EDESTADDRREQ;
    }
    if (u->i.s.family == AF_INET6 && addr->len >= sizeof(addr->in) && addr->family == AF_INET)
        err = u->i.options[OPT_V6_ONLY] ? -ENETUNREACH : inet_read_addr(&as_v4, addr, ret);
    else
        err = inet_read_addr(&u->i, addr, ret);
    return err < 0 ? err : leads_inside(ret);
}

static ssize_t stack_udp_send(struct socket *s, struct socket_msg *msg)
{
    struct udp_sock *u = udp_sock(s);
    struct inet_end to;
    int inside;

    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    inside = destination(u, msg->addr, &to);
    if (inside < 0)
        return inside;
    if (!inside && inet_is_v4(to.addr) && memcmp(to.addr + 12, "\xff\xff\xff\xff", 4) == 0 && !s->opt.broadcast)
        return -EACCES;
    return inside || u->cork || u->corked ? u->i.stack->inside->send(s, msg) : send_outside(s, msg, &to);
}

/* --- names --- */

static int stack_udp_connect(struct socket *s, const struct net_addr *addr, bool nonblock)
{
    struct udp_sock *u = udp_sock(s);
    struct inet_end to;
    ip_addr_t dst;
    int err;

    if (addr->len < sizeof(addr->family))
        return -EINVAL;
    if (addr->family == AF_UNSPEC)
        return u->i.stack->inside->connect(s, addr, nonblock);
    err = inet_read_addr(&u->i, addr, &to);
    if (err < 0)
        return err;
    if (leads_inside(&to))
        return u->i.stack->inside->connect(s, addr, nonblock);
    err = inet_autobind(&u->i);
    if (err == 0)
        err = bind_pcb(u, u->i.stack->udp);
    if (err < 0)
        return err;
    addr_to_lwip(to.addr, &dst);
    u->i.remote = to;
    u->connected = true;
    if (!u->i.bound_addr) /* programs choose among destinations by that (RFC 6724) */
        stack_source_for(&dst, u->i.local.addr);
    return 0;
}

static void stack_udp_release(struct socket *s)
{
    struct stack_sock *k = inet_sock(s)->stack;

    k->inside->release(s);
    stack_leave_all(k);
    stack_done();
    udp_remove(k->udp);
    inet_sock(s)->stack = NULL;
    kfree(k);
}

static int udp_setsockopt(struct socket *s, int level, int name, const void *value, uint32_t len)
{
    if (level == IPPROTO_UDP)
        return inet_sock(s)->stack->inside->setsockopt(s, level, name, value, len);
    return stack_setsockopt(s, level, name, value, len);
}

static int udp_bind_late(struct socket *s, const struct net_addr *addr)
{
    int err = inet_sock(s)->stack->inside->bind(s, addr);

    return err < 0 ? err : bind_pcb(udp_sock(s), inet_sock(s)->stack->udp);
}

static void udp_option_set(struct socket *s, int name UNUSED)
{
    stack_apply_options(s);
}

int stack_udp_adopt(struct socket *s)
{
    struct udp_sock *u = udp_sock(s);
    struct stack_sock *k;
    int err = 0;

    if (u->i.stack)
        return 0;
    k = kzalloc(sizeof(*k));
    if (k)
        k->udp = udp_new_ip_type(s->family == AF_INET ? IPADDR_TYPE_V4 : IPADDR_TYPE_ANY);
    if (!k || !k->udp) {
        kfree(k);
        return -ENOBUFS;
    }
    ip_set_option(k->udp, SOF_REUSEADDR);
    ip_set_option(k->udp, SOF_BROADCAST);
    if (u->i.local.port)
        err = bind_pcb(u, k->udp);
    if (err < 0) {
        udp_remove(k->udp);
        kfree(k);
        return err;
    }
    k->s = s;
    list_init(&k->memberships);
    udp_recv(k->udp, on_datagram, k);
    k->inside = s->ops;
    stack_udp_ops = *s->ops;
    stack_udp_ops.bind = udp_bind_late;
    stack_udp_ops.send = stack_udp_send;
    stack_udp_ops.recv = stack_udp_recv;
    stack_udp_ops.connect = stack_udp_connect;
    stack_udp_ops.release = stack_udp_release;
    stack_udp_ops.setsockopt = udp_setsockopt;
    stack_udp_ops.option_set = udp_option_set;
    u->i.stack = k;
    s->ops = &stack_udp_ops;
    stack_apply_options(s);
    return 0;
}
