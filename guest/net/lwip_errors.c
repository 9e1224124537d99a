/*
 * ICMP errors for connected datagram sockets (udp(7)): the next call on the socket that sent what couldn't be delivered tells. lwIP itself
 * ignores them. The packet in the error must be one that such a socket can have sent; there is no more to know it by.
 */
#include "lwip/pbuf.h"
#include "lwip_hooks.h"

#include "lib/string.h"
#include "net/stack.h"
#include "net/udp.h"

#define ICMP_UNREACHABLE 3
#define ICMPV6_UNREACHABLE 1
#define ICMP_HEADER 8u
#define IPV6_HEADER 40u

static uint16_t port_at(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void report(const uint8_t to[16], uint16_t to_port, uint16_t from_port, int error)
{
    struct inet_sock *i;

    list_for_each(i, inet_port_bucket(IPPROTO_UDP, from_port), port_node) {
        const struct udp_sock *u = udp_sock(&i->s);

        if (i->stack && i->s.type == SOCK_DGRAM && u->connected && i->local.port == from_port && i->remote.port == to_port &&
            inet_same(i->remote.addr, to))
            socket_set_error(&i->s, error);
    }
}

static int error_of4(uint8_t code)
{
    switch (code) {
    case 3:
        return ECONNREFUSED;
    case 2:
        return ENOPROTOOPT;
    case 0:
    case 6:
        return ENETUNREACH;
    case 9:
    case 10:
    case 13:
        return EHOSTUNREACH;
    default:
        return code == 4 ? 0 : EHOSTUNREACH; /* 4: the path's MTU, no failure */
    }
}

/* Called for each packet that comes; 0: go on with it. */
int stack_hook_ip4(struct pbuf *p)
{
    const uint8_t *ip = p->payload, *inner;
    uint32_t header, inner_header;
    uint8_t to[16] = { [10] = 0xff, [11] = 0xff };
    int error;

    if (p->len < 20 || ip[9] != IPPROTO_ICMP)
        return 0;
    header = 4u * (ip[0] & 15);
    if (p->len < header + ICMP_HEADER + 28 || ip[header] != ICMP_UNREACHABLE)
        return 0;
    inner = ip + header + ICMP_HEADER;
    inner_header = 4u * (inner[0] & 15);
    error = error_of4(ip[header + 1]);
    if (inner[9] != IPPROTO_UDP || inner_header < 20 || p->len < header + ICMP_HEADER + inner_header + 8 || error == 0)
        return 0;
    memcpy(to + 12, inner + 16, 4);
    report(to, port_at(inner + inner_header + 2), port_at(inner + inner_header), error);
    return 0;
}

int stack_hook_ip6(struct pbuf *p)
{
    const uint8_t *ip = p->payload, *icmp = ip + IPV6_HEADER, *inner = icmp + ICMP_HEADER;

    if (p->len < 2 * IPV6_HEADER + 2 * ICMP_HEADER || ip[6] != IPPROTO_ICMPV6 || icmp[0] != ICMPV6_UNREACHABLE ||
        inner[6] != IPPROTO_UDP)
        return 0;
    report(inner + 24, port_at(inner + IPV6_HEADER + 2), port_at(inner + IPV6_HEADER),
           icmp[1] == 4 ? ECONNREFUSED : icmp[1] == 1 ? EACCES : icmp[1] == 0 ? ENETUNREACH : EHOSTUNREACH);
    return 0;
}
