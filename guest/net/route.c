/* See route.h. */
#include "net/route.h"

#include <linux/rtnetlink.h>

#include "lib/string.h"
#include "net/abi.h"

#define ROUTES_PER_ADDR 3u /* to the network, to the address itself, and IPv4's broadcasts */

/* What Linux makes by itself for a loopback device that is up. */
static const struct route loopback_routes[] = {
    { AF_INET, { 127, 0, 0, 0 }, 8, RTN_LOCAL, RT_TABLE_LOCAL, RT_SCOPE_HOST, RTPROT_KERNEL, NULL, true, false, { 127, 0, 0, 1 }, { 0 } },
    { AF_INET, { 127, 0, 0, 1 }, 32, RTN_LOCAL, RT_TABLE_LOCAL, RT_SCOPE_HOST, RTPROT_KERNEL, NULL, true, false, { 127, 0, 0, 1 }, { 0 } },
    { AF_INET, { 127, 255, 255, 255 }, 32, RTN_BROADCAST, RT_TABLE_LOCAL, RT_SCOPE_LINK, RTPROT_KERNEL, NULL, true, false, { 127, 0, 0, 1 }, { 0 } },
    { AF_INET6, { [15] = 1 }, 128, RTN_UNICAST, RT_TABLE_MAIN, RT_SCOPE_UNIVERSE, RTPROT_KERNEL, NULL, false, false, { 0 }, { 0 } },
    { AF_INET6, { [15] = 1 }, 128, RTN_LOCAL, RT_TABLE_LOCAL, RT_SCOPE_UNIVERSE, RTPROT_KERNEL, NULL, false, false, { 0 }, { 0 } },
};

static uint8_t addr_bits(int family)
{
    return family == AF_INET ? 32 : 128;
}

/* Everything behind the prefix becomes 0s or 1s. */
static void mask(uint8_t *addr, uint8_t prefix_len, uint8_t bits, bool ones)
{
    for (uint8_t i = prefix_len; i < bits; i++) {
        uint8_t bit = (uint8_t)(0x80 >> i % 8);

        addr[i / 8] = (uint8_t)(ones ? addr[i / 8] | bit : addr[i / 8] & ~bit);
    }
}

/* One of the routes that an address brings. False: this one has no such. */
static bool of_address(const struct netdev *d, const struct netdev_addr *a, size_t which, struct route *ret)
{
    bool v4 = a->family == AF_INET;
    struct route r = { .family = a->family, .dev = d, .prefix_len = addr_bits(a->family), .type = RTN_LOCAL,
                       .table = RT_TABLE_LOCAL, .scope = v4 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE, .protocol = RTPROT_KERNEL,
                       .has_source = v4 };

    memcpy(r.dst, a->addr, v4 ? 4 : 16);
    memcpy(r.source, a->addr, 4);
    switch (which) {
    case 0:
        mask(r.dst, a->prefix_len, r.prefix_len, false);
        r.prefix_len = a->prefix_len;
        r.type = RTN_UNICAST;
        r.table = RT_TABLE_MAIN;
        r.scope = v4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
        break;
    case 1:
        break;
    default:
        if (!v4 || a->prefix_len > 30)
            return false;
        mask(r.dst, a->prefix_len, r.prefix_len, true);
        r.type = RTN_BROADCAST;
        r.scope = RT_SCOPE_LINK;
        break;
    }
    *ret = r;
    return true;
}

static bool of_gateway(const struct netdev *d, int family, struct route *ret)
{
    bool v4 = family == AF_INET;

    if (!(v4 ? d->has_gateway4 : d->has_gateway6))
        return false;
    *ret = (struct route){ .family = family, .dev = d, .type = RTN_UNICAST, .table = RT_TABLE_MAIN, .scope = RT_SCOPE_UNIVERSE,
                           .protocol = RTPROT_BOOT, .has_gateway = true };
    if (v4)
        memcpy(ret->gateway, d->gateway4, 4);
    else
        memcpy(ret->gateway, d->gateway6, 16);
    return true;
}

/* Route `index` among those of a device; *left counts down to it. */
static bool of_device(const struct netdev *d, size_t *left, struct route *ret)
{
    for (int family = AF_INET; family; family = family == AF_INET ? AF_INET6 : 0)
        if (of_gateway(d, family, ret) && (*left)-- == 0)
            return true;
    for (size_t i = 0; i < d->addr_count; i++)
        for (size_t which = 0; which < ROUTES_PER_ADDR; which++)
            if (of_address(d, &d->addrs[i], which, ret) && (*left)-- == 0)
                return true;
    return false;
}

bool route_at(size_t index, struct route *ret)
{
    struct netdev *d;
    size_t left;

    if (index < ARRAY_SIZE(loopback_routes)) {
        *ret = loopback_routes[index];
        ret->dev = netdev_by_name("lo");
        return true;
    }
    left = index - ARRAY_SIZE(loopback_routes);
    list_for_each(d, netdev_all(), node) {
        if (d->has_routes && of_device(d, &left, ret))
            return true;
    }
    return false;
}

static bool covers(const struct route *r, const uint8_t *dst)
{
    uint8_t copy[16];

    memcpy(copy, dst, addr_bits(r->family) / 8u);
    mask(copy, r->prefix_len, addr_bits(r->family), false);
    return memcmp(copy, r->dst, addr_bits(r->family) / 8u) == 0;
}

/* The local table comes first, then the longest prefix counts. */
bool route_find(int family, const uint8_t *dst, struct route *ret)
{
    struct route r, best = { 0 };
    int best_score = -1;

    for (size_t i = 0; route_at(i, &r); i++) {
        int score = r.prefix_len + (r.table == RT_TABLE_LOCAL ? 1000 : 0);

        if (r.family != family || !covers(&r, dst) || score <= best_score)
            continue;
        best = r;
        best_score = score;
    }
    if (best_score < 0)
        return false;
    *ret = best;
    return true;
}
