/*
 * ICMP echo for everybody (icmp(7): SOCK_DGRAM and IPPROTO_ICMP or IPPROTO_ICMPV6): requests are sent, replies received. The socket is one of
 * udp.c's whose datagrams are ICMP messages and whose local "port" is their identifier. What stays inside is answered here.
 */
#include "arch/cpu.h"
#include "lib/string.h"
#include "net/udp.h"

#define MESSAGE_MAX 65507u
#define TYPE_ECHO 8
#define TYPE_REPLY 0
#define TYPE6_ECHO 128
#define TYPE6_REPLY 129

struct echo {
    uint8_t type, code;
    uint16_t checksum, id, sequence; /* big-endian */
};

static struct socket_ops ping_ops;

static uint16_t swap16(uint16_t v)
{
    return (uint16_t)(v << 8 | v >> 8);
}

/* RFC 1071, as it is stored. */
static uint16_t checksum(const uint8_t *data, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += i & 1 ? (uint32_t)data[i] << 8 : data[i];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* The message was looked at by ping_send. IPv6's checksum needs addresses that nobody sees: it stays as it is. */
static void reply(struct udp_sock *u, struct packet *p, const struct inet_end *to)
{
    bool v4 = u->i.s.family == AF_INET;
    struct echo e;

    memcpy(&e, p->data, sizeof(e));
    e.type = v4 ? TYPE_REPLY : TYPE6_REPLY;
    e.id = swap16(u->i.local.port);
    e.checksum = 0;
    memcpy(p->data, &e, sizeof(e));
    if (v4) {
        e.checksum = checksum(p->data, p->len);
        memcpy(p->data, &e, sizeof(e));
    }
    p->inet.from = (struct inet_end){ .port = 0 };
    memcpy(p->inet.from.addr, to->addr, 16);
    memcpy(p->inet.to, to->addr, 16);
    p->inet.ttl = 64;
    if (udp_has_room(&u->i.s))
        udp_receive(&u->i.s, p);
    else
        packet_free(p);
}

static int check(const struct socket *s, const struct packet *p)
{
    struct echo e;

    if (p->len < sizeof(e))
        return -EINVAL;
    memcpy(&e, p->data, sizeof(e));
    return e.type == (s->family == AF_INET ? TYPE_ECHO : TYPE6_ECHO) && e.code == 0 ? 0 : -EINVAL;
}

/* Takes the packet. */
static int send_message(struct udp_sock *u, const struct udp_head *head, struct packet *p, bool nonblock)
{
    struct iter_segment segment;
    struct iter data;
    int err;

    if (!head->outside) {
        reply(u, p, &head->to);
        return 0;
    }
    iter_kernel(&data, &segment, p->data, p->len);
    err = u->outside->send(u, head, &data, nonblock);
    packet_free(p);
    return err;
}

static ssize_t ping_send(struct socket *s, struct socket_msg *msg)
{
    struct udp_sock *u = udp_sock(s);
    size_t n = msg->data->left;
    struct udp_head head;
    struct packet *p;
    int err;

    if (u->outside)
        u->outside->look();
    if (n > MESSAGE_MAX)
        return -EMSGSIZE;
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    p = packet_alloc((uint32_t)n);
    if (!p)
        return -ENOBUFS;
    err = iter_copy_from(msg->data, p->data, n) < n ? -EFAULT : 0;
    p->len = (uint32_t)n;
    if (err == 0)
        err = check(s, p);
    if (err == 0)
        err = udp_read_head(u, msg, &head);
    if (err == 0 && s->family == AF_INET6 && inet_is_v4(head.to.addr))
        err = -EINVAL;
    if (err == 0)
        err = udp_may_send(u);
    if (err < 0) {
        packet_free(p);
        return err;
    }
    err = send_message(u, &head, p, msg->flags & MSG_DONTWAIT);
    return err < 0 ? err : (ssize_t)n;
}

/* The address doesn't matter for what comes from outside: the host chooses its own. */
static int ping_bind(struct socket *s, const struct net_addr *addr)
{
    struct inet_sock *i = inet_sock(s);
    struct inet_end end;
    int err = inet_read_addr(i, addr, &end);

    if (err == 0 && !inet_is_any(end.addr) && !inet_is_inside(end.addr))
        err = -EADDRNOTAVAIL;
    if (err < 0)
        return err;
    if (end.port)
        i->local.port = end.port;
    memcpy(i->local.addr, end.addr, 16);
    i->bound_addr = !inet_is_any(end.addr);
    return 0;
}

struct socket *ping_socket(int family, int protocol)
{
    struct udp_sock *u = udp_socket_of(sizeof(*u), family, SOCK_DGRAM, protocol);

    if (!u)
        return err_ptr(-ENOMEM);
    ping_ops = *u->i.s.ops;
    ping_ops.bind = ping_bind;
    ping_ops.send = ping_send;
    u->i.s.ops = &ping_ops;
    random_bytes(&u->i.local.port, sizeof(u->i.local.port));
    u->i.local.port |= 1; /* not 0, which is "none" */
    u->i.bound_port = u->i.named = true;
    return &u->i.s;
}
