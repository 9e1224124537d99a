/*
 * Raw sockets (raw(7)) through lwIP: packets of one protocol, as ping and traceroute make them. They are datagram sockets of udp.c's whose
 * queue is filled by the stack; nothing is ever delivered inside.
 */
#include "lwip/inet_chksum.h"
#include "lwip/raw.h"

#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "net/netdev.h"
#include "net/stack.h"
#include "net/stack_addr.h"
#include "net/udp.h"

#define SOL_RAW 255
#define ICMP_FILTER_OPTION 1
#define ICMPV6_FILTER_OPTION 1
#define ICMPV6_CHECKSUM_AT 2
#define PACKET_MAX 65487u /* lwIP's packets are of 16 bits with all their headers */
#define IPV6_CHECKSUM_OPTION 7
#define IP_HDRINCL_OPTION 3
#define PROTOCOL_RAW 255
#define IP_HEADER_MIN 20u

static struct socket_ops raw_ops;

/* Which ICMP types are not wanted: a bit each. */
struct raw_sock {
    struct udp_sock u;
    struct raw_pcb *pcb;
    uint32_t filter[8];
};

static struct raw_sock *raw_sock(struct socket *s)
{
    return (struct raw_sock *)s;
}

static bool is_filtered(const struct raw_sock *r, const struct pbuf *p, u16_t header)
{
    uint8_t type = header < p->len ? ((const uint8_t *)p->payload)[header] : 0;
    int protocol = r->u.i.s.protocol;

    if (protocol == IPPROTO_ICMP)
        return type < 32 && r->filter[0] >> type & 1;
    return protocol == IPPROTO_ICMPV6 && r->filter[type / 32] >> type % 32 & 1;
}

/* A copy for us; the packet goes on to others. IPv4's header comes along, IPv6's doesn't (raw(7), ipv6(7)). */
static u8_t on_packet(void *arg, struct raw_pcb *pcb UNUSED, struct pbuf *p, const ip_addr_t *from)
{
    struct raw_sock *r = arg;
    struct socket *s = &r->u.i.s;
    u16_t header = ip_current_header_tot_len(), skip = s->family == AF_INET ? 0 : header;
    struct packet *packet;

    if (is_filtered(r, p, header) || p->tot_len < skip || !udp_has_room(s))
        return 0;
    packet = packet_alloc((uint32_t)p->tot_len - skip);
    if (!packet)
        return 0;
    packet->len = pbuf_copy_partial(p, packet->data, (u16_t)(p->tot_len - skip), skip);
    addr_from_lwip(from, packet->inet.from.addr);
    stack_take_header(packet);
    if (r->u.connected && !inet_same(packet->inet.from.addr, r->u.i.remote.addr)) {
        packet_free(packet);
        return 0;
    }
    udp_receive(s, packet);
    return 0;
}

/* A packet with its header: what raw(7) says is always filled in, and what is if it is zero. */
static int finish_header(const struct raw_sock *r, uint8_t *ip, size_t n)
{
    static uint16_t id;
    size_t header = n ? 4u * (ip[0] & 15) : 0;
    uint16_t sum;

    if (n < IP_HEADER_MIN || header < IP_HEADER_MIN || header > n)
        return -EINVAL;
    if (n > stack_netdev()->mtu)
        return -EMSGSIZE;
    ip[2] = (uint8_t)(n >> 8);
    ip[3] = (uint8_t)n;
    if (!ip[4] && !ip[5]) {
        id++;
        memcpy(ip + 4, &id, sizeof(id));
    }
    if (!ip[12] && !ip[13] && !ip[14] && !ip[15]) {
        uint8_t source[16] = { 0 }, to[16] = { [10] = 0xff, [11] = 0xff };
        ip_addr_t dst;

        memcpy(to + 12, ip + 16, 4);
        addr_to_lwip(to, &dst);
        stack_source_for(&dst, source);
        memcpy(ip + 12, inet_is_any(r->u.i.local.addr) ? source + 12 : r->u.i.local.addr + 12, 4);
    }
    memset(ip + 10, 0, 2);
    sum = inet_chksum(ip, (u16_t)header);
    memcpy(ip + 10, &sum, sizeof(sum));
    return 0;
}

static ssize_t raw_send_packet(struct socket *s, struct socket_msg *msg)
{
    struct raw_sock *r = raw_sock(s);
    struct inet_end to = r->u.i.remote;
    size_t n = msg->data->left;
    struct pbuf *p;
    ip_addr_t dst;
    int err = 0;

    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (msg->addr)
        err = inet_read_addr(&r->u.i, msg->addr, &to);
    else if (!r->u.connected)
        err = -EDESTADDRREQ;
    if (err < 0)
        return err;
    if (n > PACKET_MAX)
        return -EMSGSIZE;
    p = pbuf_alloc(PBUF_IP, (u16_t)n, PBUF_RAM);
    if (!p)
        return -ENOBUFS;
    if (iter_copy_from(msg->data, p->payload, n) < n)
        err = -EFAULT;
    else if (r->pcb->flags & RAW_FLAGS_HDRINCL)
        err = finish_header(r, p->payload, n);
    if (err == 0) {
        addr_to_lwip(to.addr, &dst);
        r->pcb->ttl = (u8_t)r->u.i.options[s->family == AF_INET ? OPT_IP_TTL : OPT_V6_HOPS];
        r->pcb->tos = (u8_t)r->u.i.options[OPT_IP_TOS];
        err = stack_errno(raw_sendto(r->pcb, p, &dst));
        stack_done();
    }
    pbuf_free(p);
    return err < 0 ? err : (ssize_t)n;
}

static ssize_t raw_recv_packet(struct socket *s, struct socket_msg *msg)
{
    stack_look();
    return raw_sock(s)->u.i.stack->inside->recv(s, msg);
}

static int raw_bind_addr(struct socket *s, const struct net_addr *addr)
{
    struct raw_sock *r = raw_sock(s);
    struct inet_end end;
    ip_addr_t local;
    int err = inet_read_addr(&r->u.i, addr, &end);

    if (err == 0 && !inet_is_any(end.addr) && !inet_is_inside(end.addr))
        err = -EADDRNOTAVAIL;
    if (err < 0)
        return err;
    memcpy(r->u.i.local.addr, end.addr, 16);
    addr_to_lwip(end.addr, &local);
    return stack_errno(raw_bind(r->pcb, &local));
}

static int raw_connect_addr(struct socket *s, const struct net_addr *addr, bool nonblock UNUSED)
{
    struct raw_sock *r = raw_sock(s);
    struct inet_end to;
    ip_addr_t dst;
    int err;

    if (addr->len < sizeof(addr->family))
        return -EINVAL;
    if (addr->family == AF_UNSPEC) {
        r->u.connected = false;
        return 0;
    }
    err = inet_read_addr(&r->u.i, addr, &to);
    if (err < 0)
        return err;
    r->u.i.remote = to;
    r->u.connected = true;
    addr_to_lwip(to.addr, &dst);
    if (inet_is_any(r->u.i.local.addr))
        stack_source_for(&dst, r->u.i.local.addr);
    return 0;
}

/* Where in a packet the checksum is to be put, and looked at; RFC 3542, 3.1: ICMPv6's always is. */
static int set_checksum(struct raw_sock *r, int level, const void *value, uint32_t len)
{
    int offset;

    if (option_int(value, len, &offset) < 0 || (offset > 0 && offset & 1))
        return -EINVAL;
    if (r->u.i.s.protocol == IPPROTO_ICMPV6)
        return level == SOL_RAW && offset == ICMPV6_CHECKSUM_AT ? 0 : -EINVAL;
    r->pcb->chksum_reqd = offset >= 0;
    r->pcb->chksum_offset = (u16_t)offset;
    return 0;
}

static int set_header_included(struct raw_sock *r, const void *value, uint32_t len)
{
    int on;

    if (option_int(value, len, &on) < 0)
        return -EINVAL;
    if (on)
        raw_set_flags(r->pcb, RAW_FLAGS_HDRINCL);
    else
        raw_clear_flags(r->pcb, RAW_FLAGS_HDRINCL);
    return 0;
}

static int raw_setsockopt(struct socket *s, int level, int name, const void *value, uint32_t len)
{
    struct raw_sock *r = raw_sock(s);

    if (level == IPPROTO_IP && name == IP_HDRINCL_OPTION && s->family == AF_INET)
        return set_header_included(r, value, len);

    if ((level == SOL_RAW && name == ICMP_FILTER_OPTION && s->protocol == IPPROTO_ICMP) ||
        (level == IPPROTO_ICMPV6 && name == ICMPV6_FILTER_OPTION && s->protocol == IPPROTO_ICMPV6)) {
        memcpy(r->filter, value, MIN((size_t)len, level == SOL_RAW ? sizeof(r->filter[0]) : sizeof(r->filter)));
        return 0;
    }
    if (s->family == AF_INET6 && (level == SOL_RAW || level == IPPROTO_IPV6) && name == IPV6_CHECKSUM_OPTION)
        return set_checksum(r, level, value, len);
    return inet_setsockopt(s, level, name, value, len);
}

static int raw_getsockopt(struct socket *s, int level, int name, void *buf, uint32_t *len)
{
    const struct raw_sock *r = raw_sock(s);

    if (level == SOL_RAW && name == ICMP_FILTER_OPTION && s->protocol == IPPROTO_ICMP)
        return option_put(buf, len, r->filter, sizeof(r->filter[0]));
    if (level == IPPROTO_IP && name == IP_HDRINCL_OPTION && s->family == AF_INET)
        return option_put_int(buf, len, (r->pcb->flags & RAW_FLAGS_HDRINCL) != 0);
    return inet_getsockopt(s, level, name, buf, len);
}

static void raw_release(struct socket *s)
{
    struct raw_sock *r = raw_sock(s);

    r->u.i.stack->inside->release(s);
    raw_remove(r->pcb);
    kfree(r->u.i.stack);
    r->u.i.stack = NULL;
}

struct socket *stack_raw_socket(int family, int protocol)
{
    bool v4 = family == AF_INET;
    struct raw_sock *r = (struct raw_sock *)udp_socket_of(sizeof(*r), family, SOCK_RAW, protocol);
    struct stack_sock *k = kzalloc(sizeof(*k));

    if (r && k)
        r->pcb = raw_new_ip_type(v4 ? IPADDR_TYPE_V4 : IPADDR_TYPE_V6, (u8_t)protocol);
    if (!r || !k || !r->pcb) {
        kfree(k);
        if (r)
            socket_put(&r->u.i.s);
        return err_ptr(-ENOBUFS);
    }
    if (protocol == IPPROTO_ICMPV6) {
        r->pcb->chksum_reqd = 1;
        r->pcb->chksum_offset = ICMPV6_CHECKSUM_AT;
    }
    if (protocol == PROTOCOL_RAW && v4) /* for sending only: nothing has that number */
        raw_set_flags(r->pcb, RAW_FLAGS_HDRINCL);
    ip_set_option(r->pcb, SOF_BROADCAST);
    raw_recv(r->pcb, on_packet, r);
    k->s = &r->u.i.s;
    k->inside = r->u.i.s.ops;
    raw_ops = *k->inside;
    raw_ops.bind = raw_bind_addr;
    raw_ops.connect = raw_connect_addr;
    raw_ops.send = raw_send_packet;
    raw_ops.recv = raw_recv_packet;
    raw_ops.setsockopt = raw_setsockopt;
    raw_ops.getsockopt = raw_getsockopt;
    raw_ops.release = raw_release;
    r->u.i.stack = k;
    r->u.i.s.ops = &raw_ops;
    return &r->u.i.s;
}
