/* See guard.h. Offsets: RFC 791 (IPv4), RFC 8200 (IPv6), RFC 4861 (neighbours), RFC 2131 (DHCP). */
#include "devices/guard.h"

#include <string.h>

#include "common/net_policy.h"

#define ETHERNET 14u
#define TYPE_ARP 0x0806u
#define TYPE_IPV4 0x0800u
#define TYPE_IPV6 0x86ddu
#define IPV4_SIZE 20u
#define IPV6_SIZE 40u
#define UDP 17u
#define ICMPV6 58u
#define DHCP_SERVER_PORT 67u
#define ND_FIRST 133u /* router solicitation */
#define ND_LAST 136u  /* neighbour advertisement */
#define MLD_REPORT 143u

static unsigned get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static bool is_own(const struct guard *g, const uint8_t addr[16])
{
    for (size_t i = 0; i < g->own_count; i++)
        if (!memcmp(g->own[i], addr, 16))
            return true;
    return false;
}

static bool addr_passes(struct guard *g, const uint8_t addr[16])
{
    enum net_class class;

    if (g->has_passed && !memcmp(addr, g->passed, 16))
        return true;
    class = net_classify(addr);
    if (g->has_dns && !memcmp(addr, g->dns, 16))
        class = NET_CLASS_PRIVATE;
    if (class != NET_CLASS_PUBLIC && class != NET_CLASS_PRIVATE)
        return false;
    if (is_own(g, addr))
        return false;
    memcpy(g->passed, addr, 16);
    g->has_passed = true;
    return true;
}

static bool ipv4_passes(struct guard *g, const uint8_t *ip, size_t len)
{
    static const uint8_t everybody[4] = { 255, 255, 255, 255 };
    uint8_t addr[16] = { [10] = 0xff, [11] = 0xff };

    if (len < IPV4_SIZE)
        return false;
    if (!memcmp(ip + 16, everybody, 4)) /* only to ask for an address */
        return ip[0] == 0x45 && ip[9] == UDP && len >= IPV4_SIZE + 4 && get16(ip + IPV4_SIZE + 2) == DHCP_SERVER_PORT;
    memcpy(addr + 12, ip + 16, 4);
    return addr_passes(g, addr);
}

/* What finds neighbours and routers isn't sent on by passt. */
static bool ipv6_passes(struct guard *g, const uint8_t *ip, size_t len)
{
    if (len < IPV6_SIZE)
        return false;
    if (ip[6] == ICMPV6 && len > IPV6_SIZE &&
        ((ip[IPV6_SIZE] >= ND_FIRST && ip[IPV6_SIZE] <= ND_LAST) || ip[IPV6_SIZE] == MLD_REPORT))
        return true;
    return addr_passes(g, ip + 24);
}

bool guard_lets(struct guard *g, const uint8_t *head, size_t len)
{
    if (len < ETHERNET)
        return false;
    switch (get16(head + 12)) {
    case TYPE_ARP:
        return true;
    case TYPE_IPV4:
        return ipv4_passes(g, head + ETHERNET, len - ETHERNET);
    case TYPE_IPV6:
        return ipv6_passes(g, head + ETHERNET, len - ETHERNET);
    default:
        return false;
    }
}
