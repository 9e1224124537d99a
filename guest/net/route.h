/* Routes, as netlink and /proc/net/route tell of them: they follow from the devices' addresses and gateways. */
#ifndef NET_ROUTE_H
#define NET_ROUTE_H

#include "net/netdev.h"

struct route {
    int family;
    uint8_t dst[16];
    uint8_t prefix_len, type, table, scope, protocol; /* RTN_*, RT_TABLE_*, RT_SCOPE_*, RTPROT_* */
    const struct netdev *dev;
    bool has_source, has_gateway;
    uint8_t source[4], gateway[16];
};

/* Route number `index`. False: there are no more. */
bool route_at(size_t index, struct route *ret);

/* Which route a packet to dst takes. False: none. */
bool route_find(int family, const uint8_t *dst, struct route *ret);

#endif
