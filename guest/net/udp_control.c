/*
 * Datagrams: ancillary data of sender and receiver (ip(7), ipv6(7)), and queues of errors (IP_RECVERR).
 */
#include "lib/string.h"
#include "net/udp.h"

#define ICMP_UNREACHABLE 3
#define ICMP_PORT_UNREACHABLE 3
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_PORT_UNREACHABLE 4
/* How much of a datagram an error brings back: RFC 1812 4.3.2.3 and RFC 4443 2.4 as Linux has them, without the headers. */
#define QUOTED4 520u
#define QUOTED6 1184u

struct pktinfo4 {
    int index;
    uint8_t local[4], to[4];
};

struct pktinfo6 {
    uint8_t addr[16];
    int index;
};

/* --- the sender's --- */

static void set_source4(struct udp_head *head, const uint8_t v4[4])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    if (memcmp(v4, "\0\0\0", 4) == 0)
        return;
    head->has_source = true;
    memcpy(head->source, mapped, sizeof(mapped));
    memcpy(head->source + 12, v4, 4);
}

/* An int from min to max. */
static int read_int(const uint8_t *data, size_t len, int min, int max, int *ret)
{
    int v;

    if (len != sizeof(v))
        return -EINVAL;
    memcpy(&v, data, sizeof(v));
    if (v < min || v > max)
        return -EINVAL;
    *ret = v;
    return 0;
}

static int read_v4(struct udp_head *head, int type, const uint8_t *data, size_t len)
{
    struct pktinfo4 info;

    switch (type) {
    case IP_TTL:
        return read_int(data, len, 1, 255, &head->ttl);
    case IP_TOS:
        if (len != 1)
            return read_int(data, len, 0, 255, &head->tos);
        head->tos = *data;
        return 0;
    case IP_PKTINFO:
        if (len != sizeof(info))
            return -EINVAL;
        memcpy(&info, data, sizeof(info));
        set_source4(head, info.local);
        return 0;
    default:
        return -EINVAL;
    }
}

static int read_v6(struct udp_head *head, int type, const uint8_t *data, size_t len)
{
    struct pktinfo6 info;

    switch (type) {
    case IPV6_HOPLIMIT:
        return read_int(data, len, -1, 255, &head->ttl);
    case IPV6_TCLASS:
        return read_int(data, len, -1, 255, &head->tos);
    case IPV6_PKTINFO:
        if (len < sizeof(info))
            return -EINVAL;
        memcpy(&info, data, sizeof(info));
        if (inet_is_any(info.addr))
            return 0;
        head->has_source = true;
        memcpy(head->source, info.addr, 16);
        return 0;
    default:
        return -EINVAL;
    }
}

int udp_read_control(const struct socket_msg *msg, struct udp_head *head)
{
    bool v4 = inet_is_v4(head->to.addr);
    struct cmsghdr_wire h;
    const uint8_t *data;
    size_t pos = 0;
    int more, err = 0;

    while (err == 0 && (more = ancillary_next(msg, &pos, &h, &data)) != 0) {
        size_t len = h.len - sizeof(h);

        if (more < 0)
            return more;
        if (h.level == SOL_SOCKET)
            err = h.type == SCM_RIGHTS || h.type == SCM_CREDENTIALS ? 0 : -EINVAL;
        else if (h.level == SOL_UDP)
            err = -EINVAL;
        else if (h.level == SOL_IPV6 && (!v4 || h.type == IPV6_PKTINFO))
            err = read_v6(head, h.type, data, len);
        else if (h.level == IPPROTO_IP && v4)
            err = read_v4(head, h.type, data, len);
    }
    return err;
}

/* --- the receiver's --- */

static int device_of(const struct packet *p)
{
    return p->inet.device ? p->inet.device : 1;
}

static void put_v4_info(struct udp_sock *u, struct socket_msg *msg, const struct packet *p)
{
    struct pktinfo4 info = { .index = device_of(p) };
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = (uint16_t)(u->i.local.port << 8 | u->i.local.port >> 8) };
    const int *o = u->i.options;
    int ttl = p->inet.ttl;

    memcpy(info.local, p->inet.to + 12, 4);
    memcpy(info.to, p->inet.to + 12, 4);
    if (o[OPT_IP_PKTINFO])
        ancillary_put(msg, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    if (o[OPT_IP_RECVTTL])
        ancillary_put(msg, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
    if (o[OPT_IP_RECVTOS])
        ancillary_put(msg, IPPROTO_IP, IP_TOS, &p->inet.tos, 1);
    memcpy(&to.sin_addr, p->inet.to + 12, 4);
    if (o[OPT_IP_RECVORIGDST])
        ancillary_put(msg, IPPROTO_IP, IP_ORIGDSTADDR, &to, sizeof(to));
}

static void put_v6_info(struct udp_sock *u, struct socket_msg *msg, const struct packet *p, bool v4)
{
    struct pktinfo6 info = { .index = device_of(p) };
    const int *o = u->i.options;
    int hops = p->inet.ttl, class = p->inet.tos;

    memcpy(info.addr, p->inet.to, 16);
    if (o[OPT_V6_PKTINFO])
        ancillary_put(msg, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    if (o[OPT_V6_RECVHOPS] && !v4)
        ancillary_put(msg, IPPROTO_IPV6, IPV6_HOPLIMIT, &hops, sizeof(hops));
    if (o[OPT_V6_RECVTCLASS] && !v4)
        ancillary_put(msg, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof(class));
}

void udp_put_control(struct udp_sock *u, struct socket_msg *msg, const struct packet *p)
{
    struct socket *s = &u->i.s;
    bool v4 = inet_is_v4(p->inet.to);

    if (s->opt.timestamp)
        ancillary_put_time(s, msg, p);
    if (s->family == AF_INET6)
        put_v6_info(u, msg, p, v4);
    if (v4)
        put_v4_info(u, msg, p);
}

/* --- errors --- */

bool udp_wants_errors(const struct udp_sock *u, const uint8_t to[16])
{
    return u->i.options[inet_is_v4(to) ? OPT_IP_RECVERR : OPT_V6_RECVERR];
}

static bool is_from_network(const struct packet *p)
{
    return p->inet.error.origin != SO_EE_ORIGIN_LOCAL;
}

void udp_push_error(struct udp_sock *u, struct packet *p)
{
    struct socket *s = &u->i.s;
    int error = (int)p->inet.error.code;
    bool counts = is_from_network(p);

    p->charge = packet_truesize(p->len);
    if (u->errors.charge + p->charge > s->opt.rcvbuf)
        packet_free(p);
    else
        packet_push(&u->errors, p);
    if (counts)
        socket_set_error(s, error);
    else
        socket_wake_state(s);
}

void udp_unreachable(struct udp_sock *u, struct packet *p, const struct inet_end *to)
{
    bool v4 = inet_is_v4(to->addr);
    bool is_peer = u->connected && u->i.remote.port == to->port && inet_same(u->i.remote.addr, to->addr);

    if (!udp_wants_errors(u, to->addr)) {
        packet_free(p);
        if (is_peer)
            socket_set_error(&u->i.s, ECONNREFUSED);
        return;
    }
    p->inet.from = *to;
    memcpy(p->inet.to, to->addr, 16);
    p->inet.error = (struct sock_error){ .code = ECONNREFUSED,
                                         .origin = v4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6,
                                         .type = v4 ? ICMP_UNREACHABLE : ICMPV6_UNREACHABLE,
                                         .icmp_code = v4 ? ICMP_PORT_UNREACHABLE : ICMPV6_PORT_UNREACHABLE };
    p->len = MIN(p->len, v4 ? QUOTED4 : QUOTED6);
    udp_push_error(u, p);
}

static void put_error(struct udp_sock *u, struct socket_msg *msg, const struct packet *p)
{
    struct {
        struct sock_error error;
        union {
            struct sockaddr_in in;
            struct sockaddr_in6 in6;
        } offender;
    } info = { .error = p->inet.error };
    struct inet_end end = { 0 };
    struct net_addr offender = { .len = 0 };
    bool v4 = u->i.s.family == AF_INET;
    size_t size = v4 ? sizeof(info.offender.in) : sizeof(info.offender.in6);

    memcpy(end.addr, p->inet.to, 16);
    if (is_from_network(p))
        inet_show(&u->i, &end, &offender);
    memcpy(&info.offender, offender.bytes, MIN((size_t)offender.len, size));
    ancillary_put(msg, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR, &info, sizeof(info.error) + size);
}

/* SO_ERROR is then the next one's. */
static void next_error(struct udp_sock *u, bool taken_counted)
{
    const struct packet *next = packet_first(&u->errors);

    if (next && is_from_network(next))
        u->i.s.error = (int)next->inet.error.code;
    else if (taken_counted)
        u->i.s.error = 0;
}

ssize_t udp_recv_error(struct udp_sock *u, struct socket_msg *msg)
{
    struct packet *p = packet_first(&u->errors);
    size_t want, got;

    if (!p)
        return -EAGAIN;
    packet_unlink(&u->errors, p);
    next_error(u, is_from_network(p));
    want = MIN((size_t)p->len, msg->data->left);
    got = iter_copy_to(msg->data, p->data + p->offset, want);
    if (got == want) {
        if (want < p->len)
            msg->out_flags |= MSG_TRUNC;
        msg->out_flags |= MSG_ERRQUEUE;
        if (msg->addr)
            inet_show(&u->i, &p->inet.from, msg->addr);
        if (u->i.s.opt.timestamp)
            ancillary_put_time(&u->i.s, msg, p);
        put_error(u, msg, p);
    }
    packet_free(p);
    return got < want ? -EFAULT : (ssize_t)want;
}
