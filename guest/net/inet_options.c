/*
 * Options of IPPROTO_IP, IPPROTO_IPV6 and IPPROTO_TCP (ip(7), ipv6(7), tcp(7)): those in the list are kept and told back, so that
 * programs that set them go on. What would change how packets look has nothing to act on: there are none.
 */
#include <linux/tcp.h>

#include "lib/string.h"
#include "net/inet.h"
#include "net/tcp.h"

#define MTU4_LOOPBACK 65535 /* of lo's 65536 */
#define MTU6_LOOPBACK 65536
#define MSS_LOOPBACK 65483
#ifndef TCP_INQ
#define TCP_INQ 36
#endif

struct option {
    int level, name;
    enum inet_option index;
    int min, max, initial;
};

#define ANY_INT INT32_MIN, INT32_MAX
#define SWITCH ANY_INT, 0 /* kept as 0 or 1: see is_switch */

static const struct option options[] = {
    { IPPROTO_IP, IP_TOS, OPT_IP_TOS, ANY_INT, 0 },
    { IPPROTO_IP, IP_TTL, OPT_IP_TTL, 1, 255, 64 },
    { IPPROTO_IP, IP_PKTINFO, OPT_IP_PKTINFO, SWITCH },
    { IPPROTO_IP, IP_MTU_DISCOVER, OPT_IP_MTU_DISCOVER, 0, 5, 1 },
    { IPPROTO_IP, IP_RECVERR, OPT_IP_RECVERR, SWITCH },
    { IPPROTO_IP, IP_RECVTTL, OPT_IP_RECVTTL, SWITCH },
    { IPPROTO_IP, IP_RECVTOS, OPT_IP_RECVTOS, SWITCH },
    { IPPROTO_IP, IP_RETOPTS, OPT_IP_RETOPTS, SWITCH }, /* no packet has any */
    { IPPROTO_IP, IP_FREEBIND, OPT_IP_FREEBIND, SWITCH },
    { IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, OPT_IP_BIND_NO_PORT, SWITCH },
    { IPPROTO_IP, IP_MULTICAST_TTL, OPT_IP_MULTICAST_TTL, 0, 255, 1 },
    { IPPROTO_IP, IP_MULTICAST_LOOP, OPT_IP_MULTICAST_LOOP, ANY_INT, 1 },
    { IPPROTO_IP, IP_RECVORIGDSTADDR, OPT_IP_RECVORIGDST, SWITCH },
    { IPPROTO_IPV6, IPV6_V6ONLY, OPT_V6_ONLY, SWITCH },
    { IPPROTO_IPV6, IPV6_UNICAST_HOPS, OPT_V6_HOPS, -1, 255, 64 },
    { IPPROTO_IPV6, IPV6_RECVPKTINFO, OPT_V6_PKTINFO, SWITCH },
    { IPPROTO_IPV6, IPV6_TCLASS, OPT_V6_TCLASS, -1, 255, 0 },
    { IPPROTO_IPV6, IPV6_RECVTCLASS, OPT_V6_RECVTCLASS, SWITCH },
    { IPPROTO_IPV6, IPV6_RECVHOPLIMIT, OPT_V6_RECVHOPS, SWITCH },
    { IPPROTO_IPV6, IPV6_MTU_DISCOVER, OPT_V6_MTU_DISCOVER, 0, 5, 1 },
    { IPPROTO_IPV6, IPV6_RECVERR, OPT_V6_RECVERR, SWITCH },
    { IPPROTO_IPV6, IPV6_DONTFRAG, OPT_V6_DONTFRAG, SWITCH },
    { IPPROTO_IPV6, IPV6_MULTICAST_HOPS, OPT_V6_MULTICAST_HOPS, -1, 255, 1 },
    { IPPROTO_IPV6, IPV6_MULTICAST_LOOP, OPT_V6_MULTICAST_LOOP, 0, 1, 1 },
    { IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, OPT_V6_AUTOFLOWLABEL, SWITCH },
    { IPPROTO_TCP, TCP_NODELAY, OPT_TCP_NODELAY, SWITCH },
    { IPPROTO_TCP, TCP_MAXSEG, OPT_TCP_MAXSEG, 88, 32767, 536 },
    { IPPROTO_TCP, TCP_CORK, OPT_TCP_CORK, SWITCH },
    { IPPROTO_TCP, TCP_KEEPIDLE, OPT_TCP_KEEPIDLE, 1, 32767, 7200 },
    { IPPROTO_TCP, TCP_KEEPINTVL, OPT_TCP_KEEPINTVL, 1, 32767, 75 },
    { IPPROTO_TCP, TCP_KEEPCNT, OPT_TCP_KEEPCNT, 1, 127, 9 },
    { IPPROTO_TCP, TCP_SYNCNT, OPT_TCP_SYNCNT, 1, 127, 6 },
    { IPPROTO_TCP, TCP_LINGER2, OPT_TCP_LINGER2, ANY_INT, 60 },
    { IPPROTO_TCP, TCP_DEFER_ACCEPT, OPT_TCP_DEFER_ACCEPT, ANY_INT, 0 },
    { IPPROTO_TCP, TCP_WINDOW_CLAMP, OPT_TCP_WINDOW_CLAMP, ANY_INT, 0 },
    { IPPROTO_TCP, TCP_QUICKACK, OPT_TCP_QUICKACK, ANY_INT, 1 },
    { IPPROTO_TCP, TCP_USER_TIMEOUT, OPT_TCP_USER_TIMEOUT, 0, INT32_MAX, 0 },
    { IPPROTO_TCP, TCP_NOTSENT_LOWAT, OPT_TCP_NOTSENT_LOWAT, ANY_INT, 0 },
    { IPPROTO_TCP, TCP_FASTOPEN, OPT_TCP_FASTOPEN, 0, INT32_MAX, 0 },
    { IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, OPT_TCP_THIN, 0, 1, 0 },
    { IPPROTO_TCP, TCP_INQ, OPT_TCP_INQ, 0, 1, 0 },
};

/* Everything else of these levels is refused as Linux refuses what it doesn't know. */
static const struct option *find(const struct socket *s, int level, int name)
{
    if (level == IPPROTO_TCP && s->type != SOCK_STREAM)
        return NULL;
    if (level == IPPROTO_IPV6 && s->family != AF_INET6)
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        if (options[i].level == level && options[i].name == name)
            return &options[i];
    }
    return NULL;
}

void inet_options_init(struct inet_sock *i)
{
    for (size_t n = 0; n < ARRAY_SIZE(options); n++)
        i->options[options[n].index] = options[n].initial;
}

static bool is_switch(const struct option *o)
{
    switch (o->index) {
    case OPT_IP_TOS:
    case OPT_TCP_LINGER2:
    case OPT_TCP_DEFER_ACCEPT:
    case OPT_TCP_WINDOW_CLAMP:
    case OPT_TCP_NOTSENT_LOWAT:
        return false;
    default:
        return o->min == INT32_MIN;
    }
}

/* Where no device takes part in multicast. */
static int set_nowhere(int level, int name, uint32_t len)
{
    switch (name) {
    case IP_ADD_SOURCE_MEMBERSHIP:
        return level == IPPROTO_IP ? len < 8 ? -EINVAL : -ENODEV : -ENOPROTOOPT;
    case IP_ADD_MEMBERSHIP:
        return level != IPPROTO_IP ? -ENOPROTOOPT : len < 8 ? -EINVAL : -ENODEV;
    case IP_DROP_MEMBERSHIP:
        return level == IPPROTO_IP ? -EADDRNOTAVAIL : -ENOPROTOOPT;
    case IPV6_ADD_MEMBERSHIP:
        return level == IPPROTO_IPV6 ? -ENODEV : -ENOPROTOOPT;
    case IPV6_DROP_MEMBERSHIP:
        return level == IPPROTO_IPV6 ? -EADDRNOTAVAIL : -ENOPROTOOPT;
    default:
        return -ENOPROTOOPT;
    }
}

static bool is_membership(int level, int name)
{
    if (name == MCAST_JOIN_GROUP || name == MCAST_LEAVE_GROUP)
        return true;
    return level == IPPROTO_IP ? name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP
                               : name == IPV6_ADD_MEMBERSHIP || name == IPV6_DROP_MEMBERSHIP;
}

static int set_unlisted(struct socket *s, int level, int name, const void *value, uint32_t len)
{
    if (level == IPPROTO_IP || (level == IPPROTO_IPV6 && s->family == AF_INET6)) {
        if (s->type == SOCK_DGRAM && inet_outside && inet_outside->membership && is_membership(level, name))
            return inet_outside->membership(s, level, name, value, len);
        if (name == (level == IPPROTO_IP ? IP_MULTICAST_IF : IPV6_MULTICAST_IF)) /* there is one device at most */
            return len < 4 ? -EINVAL : 0;
        return set_nowhere(level, name, len);
    }
    if (level == IPPROTO_TCP && s->type == SOCK_STREAM && name == TCP_ULP)
        return -ENOENT;
    return -ENOPROTOOPT;
}

static int set_congestion(const void *value, uint32_t len)
{
    char name[16] = { 0 };

    if (len < 1)
        return -EINVAL;
    memcpy(name, value, MIN((size_t)len, sizeof(name) - 1));
    return strcmp(name, "cubic") == 0 || strcmp(name, "reno") == 0 ? 0 : -ENOENT;
}

int inet_setsockopt(struct socket *s, int level, int name, const void *value, uint32_t len)
{
    struct inet_sock *i = inet_sock(s);
    const struct option *o = find(s, level, name);
    int v;

    if (level == IPPROTO_TCP && name == TCP_CONGESTION && s->type == SOCK_STREAM)
        return set_congestion(value, len);
    if (!o)
        return set_unlisted(s, level, name, value, len);
    if (level == IPPROTO_IP && len >= 1 && len < sizeof(int))
        v = *(const uint8_t *)value; /* ip(7): a byte will do */
    else if (option_int(value, len, &v) < 0)
        return -EINVAL;
    if (v == -1 && (o->index == OPT_IP_TTL || o->index == OPT_IP_MULTICAST_TTL))
        v = o->initial;
    if (v < o->min || v > o->max)
        return -EINVAL;
    if (o->index == OPT_V6_ONLY && i->local.port)
        return -EINVAL;
    if (v == -1 && o->min == -1)
        v = o->initial;
    if (o->index == OPT_IP_TOS)
        v &= s->type == SOCK_STREAM ? 0xfc : 0xff;
    i->options[o->index] = is_switch(o) ? v != 0 : v;
    return 0;
}

static int get_unlisted(struct socket *s, int level, int name, void *buf, uint32_t *len)
{
    struct inet_sock *i = inet_sock(s);

    if (level == IPPROTO_IP && name == IP_MTU)
        return i->remote.port ? option_put_int(buf, len, MTU4_LOOPBACK) : -ENOTCONN;
    if (level == IPPROTO_IPV6 && s->family == AF_INET6 && name == IPV6_MTU)
        return i->remote.port ? option_put_int(buf, len, MTU6_LOOPBACK) : -ENOTCONN;
    if (level == IPPROTO_IP && name == IP_OPTIONS)
        return option_put(buf, len, "", 0);
    if (level == IPPROTO_TCP && s->type == SOCK_STREAM) {
        if (name == TCP_CONGESTION)
            return option_put(buf, len, "cubic\0\0\0\0\0\0\0\0\0\0", 16);
        if (name == TCP_INFO)
            return tcp_get_info(s, buf, len);
    }
    return -ENOPROTOOPT;
}

int inet_getsockopt(struct socket *s, int level, int name, void *buf, uint32_t *len)
{
    const struct inet_sock *i = inet_sock(s);
    const struct option *o = find(s, level, name);
    int value;

    if (!o)
        return get_unlisted(s, level, name, buf, len);
    value = i->options[o->index];
    if (o->index == OPT_TCP_MAXSEG && i->remote.port)
        value = MSS_LOOPBACK;
    if (level == IPPROTO_IP && *len > 0 && *len < sizeof(int) && value >= 0 && value <= 255) {
        uint8_t byte = (uint8_t)value;

        return option_put(buf, len, &byte, 1);
    }
    return option_put_int(buf, len, value);
}
