/*
 * See net_policy.h. Ranges: IANA's special-purpose registries for IPv4 and IPv6 (RFC 6890), RFC 4291, RFC 3056 (6to4), RFC 6052 and
 * 8215 (NAT64), RFC 4380 (Teredo), RFC 5214 (ISATAP); metadata addresses as the clouds document them.
 */
#include "common/net_policy.h"

#include <errno.h>
#include <string.h>

const char *net_class_text(enum net_class class)
{
    static const char *const text[] = {
#define X(name, words) [NET_CLASS_##name] = words,
        NET_CLASS_LIST(X)
#undef X
    };

    return text[class];
}

static const struct v4_range {
    uint32_t addr;
    uint8_t bits;
    enum net_class class;
} v4_ranges[] = {
    { 0x00000000, 8, NET_CLASS_UNSPECIFIED },  /* 0/8: "this network"; Linux takes 0.0.0.0 for itself */
    { 0x7f000000, 8, NET_CLASS_LOCAL },
    { 0xa9fe0000, 16, NET_CLASS_LINK_LOCAL },  /* 169.254.169.254 too */
    { 0x646464c8, 32, NET_CLASS_METADATA },    /* 100.100.100.200 */
    { 0xa83f8110, 32, NET_CLASS_METADATA },    /* 168.63.129.16 */
    { 0xc00000c0, 32, NET_CLASS_METADATA },    /* 192.0.0.192 */
    { 0x0a000000, 8, NET_CLASS_PRIVATE },
    { 0x64400000, 10, NET_CLASS_PRIVATE },     /* shared by carriers */
    { 0xac100000, 12, NET_CLASS_PRIVATE },
    { 0xc0000000, 24, NET_CLASS_PRIVATE },     /* IETF protocol assignments */
    { 0xc0000200, 24, NET_CLASS_PRIVATE },     /* documentation, three of them: whoever uses them does so at home */
    { 0xc6336400, 24, NET_CLASS_PRIVATE },
    { 0xcb007100, 24, NET_CLASS_PRIVATE },
    { 0xc0586300, 24, NET_CLASS_PRIVATE },     /* 6to4 relays */
    { 0xc0a80000, 16, NET_CLASS_PRIVATE },
    { 0xc6120000, 15, NET_CLASS_PRIVATE },     /* benchmarks */
    { 0xe0000000, 4, NET_CLASS_MULTICAST },
    { 0xffffffff, 32, NET_CLASS_BROADCAST },
    { 0xf0000000, 4, NET_CLASS_RESERVED },
};

static const struct v6_range {
    uint8_t addr[16];
    uint8_t bits;
    enum net_class class;
} v6_ranges[] = {
    { { 0 }, 128, NET_CLASS_UNSPECIFIED },
    { { [15] = 1 }, 128, NET_CLASS_LOCAL },
    { { 0xfe, 0x80 }, 10, NET_CLASS_LINK_LOCAL },
    { { 0xfd, 0x00, 0x0e, 0xc2 }, 32, NET_CLASS_METADATA },              /* fd00:ec2::/32 */
    { { 0xfd, 0x20, 0x00, 0xce }, 32, NET_CLASS_METADATA },              /* fd20:ce::/32 */
    { { 0xfd, 0x00, 0x00, 0xc1 }, 32, NET_CLASS_METADATA },              /* fd00:c1::/32 */
    { { 0xfe, 0xc0 }, 10, NET_CLASS_PRIVATE },                           /* site-local, of old */
    { { 0xfc }, 7, NET_CLASS_PRIVATE },
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32, NET_CLASS_PRIVATE },               /* documentation */
    { { 0x3f, 0xff }, 20, NET_CLASS_PRIVATE },                           /* documentation */
    { { 0x20, 0x01, 0x00, 0x02 }, 48, NET_CLASS_PRIVATE },               /* benchmarks */
    { { 0x5f }, 16, NET_CLASS_PRIVATE },                                 /* segment routing */
    { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48, NET_CLASS_PRIVATE },   /* NAT64 for local use: any address may be inside */
    { { 0x01 }, 64, NET_CLASS_RESERVED },                                /* discard only */
    { { 0xff }, 8, NET_CLASS_MULTICAST },
};

/* Prefixes behind which an IPv4 address follows at this byte. */
static const struct v6_carrier {
    uint8_t addr[16];
    uint8_t bits;
    uint8_t at;
    uint8_t invert;
} v6_carriers[] = {
    { { [10] = 0xff, 0xff }, 96, 12, 0 },                                /* mapped */
    { { 0 }, 96, 12, 0 },                                                /* compatible */
    { { [8] = 0xff, 0xff }, 96, 12, 0 },                                 /* translated, ::ffff:0:a.b.c.d (RFC 2765) */
    { { 0x20, 0x02 }, 16, 2, 0 },                                        /* 6to4 */
    { { 0x00, 0x64, 0xff, 0x9b }, 96, 12, 0 },                           /* NAT64 */
    { { 0x20, 0x01 }, 32, 4, 0 },                                        /* Teredo: the server, */
    { { 0x20, 0x01 }, 32, 12, 0xff },                                    /* and the client, inverted */
};

bool net_prefix_match(const uint8_t addr[16], const uint8_t prefix[16], unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (memcmp(addr, prefix, whole))
        return false;
    return !rest || !((addr[whole] ^ prefix[whole]) >> (8 - rest));
}

static uint32_t load_v4(const uint8_t *p, uint8_t invert)
{
    return (uint32_t)(p[0] ^ invert) << 24 | (uint32_t)(p[1] ^ invert) << 16 | (uint32_t)(p[2] ^ invert) << 8 |
           (uint32_t)(p[3] ^ invert);
}

static const uint8_t mapped_prefix[16] = { [10] = 0xff, 0xff };

bool net_mapped_v4(const uint8_t addr[16], uint32_t *ret)
{
    if (!net_prefix_match(addr, mapped_prefix, 96))
        return false;
    *ret = load_v4(addr + 12, 0);
    return true;
}

void net_map_v4(uint8_t addr[16], uint32_t v4)
{
    memcpy(addr, mapped_prefix, 12);
    for (unsigned i = 0; i < 4; i++)
        addr[12 + i] = (uint8_t)(v4 >> (24 - 8 * i));
}

static enum net_class classify_v4(uint32_t v4)
{
    for (size_t i = 0; i < sizeof(v4_ranges) / sizeof(v4_ranges[0]); i++)
        if ((v4 ^ v4_ranges[i].addr) >> (32 - v4_ranges[i].bits) == 0)
            return v4_ranges[i].class;
    return NET_CLASS_PUBLIC;
}

static enum net_class worse(enum net_class a, enum net_class b)
{
    return a > b ? a : b;
}

/* ::5efe:a.b.c.d as an interface identifier, with the "universal" bit set or not (RFC 5214, 6.1). */
static bool is_isatap(const uint8_t addr[16])
{
    return (addr[8] & ~2u) == 0 && addr[9] == 0 && addr[10] == 0x5e && addr[11] == 0xfe;
}

enum net_class net_classify(const uint8_t addr[16])
{
    enum net_class class = NET_CLASS_PUBLIC;

    for (size_t i = 0; i < sizeof(v6_ranges) / sizeof(v6_ranges[0]); i++)
        if (net_prefix_match(addr, v6_ranges[i].addr, v6_ranges[i].bits))
            return v6_ranges[i].class;
    for (size_t i = 0; i < sizeof(v6_carriers) / sizeof(v6_carriers[0]); i++) {
        const struct v6_carrier *c = &v6_carriers[i];

        if (net_prefix_match(addr, c->addr, c->bits))
            class = worse(class, classify_v4(load_v4(addr + c->at, c->invert)));
    }
    if (is_isatap(addr))
        class = worse(class, classify_v4(load_v4(addr + 12, 0)));
    return class;
}

/* A rule for IPv6 says nothing of IPv4, however short its prefix is. */
static bool is_listed(const struct net_plan *plan, const uint8_t addr[16], uint16_t port)
{
    bool mapped = net_prefix_match(addr, mapped_prefix, 96);

    for (size_t i = 0; i < plan->rule_count; i++) {
        const struct net_rule *r = &plan->rules[i];

        if (mapped && r->prefix < 96)
            continue;
        if ((!r->port || r->port == port) && net_prefix_match(addr, r->addr, r->prefix))
            return true;
    }
    return false;
}

static enum net_class class_of_route(enum net_route route)
{
    switch (route) {
    case NET_ROUTE_LOCAL:
        return NET_CLASS_LOCAL;
    case NET_ROUTE_BROADCAST:
        return NET_CLASS_BROADCAST;
    case NET_ROUTE_MULTICAST:
        return NET_CLASS_MULTICAST;
    default:
        return NET_CLASS_PUBLIC;
    }
}

int net_decide(const struct net_plan *plan, const uint8_t addr[16], uint16_t port, enum net_route route,
               enum net_class *ret_why)
{
    enum net_class class = worse(net_classify(addr), class_of_route(route));
    bool listed;

    if (!plan->outgoing)
        return -ENETUNREACH;
    *ret_why = class;
    if (class > NET_CLASS_LOCAL)
        return -EACCES;
    listed = is_listed(plan, addr, port);
    if (class == NET_CLASS_LOCAL && !plan->host_loopback)
        return -EACCES;
    if (class == NET_CLASS_PRIVATE && !listed)
        return -EACCES;
    if (plan->listed && !listed) {
        *ret_why = NET_CLASS_PUBLIC;
        return -EACCES;
    }
    if (route == NET_ROUTE_NONE) /* last: what is forbidden says so on a host without routes, too */
        return -ENETUNREACH;
    return 0;
}
