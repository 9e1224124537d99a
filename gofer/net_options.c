/* Options of the host's sockets that the guest may set and read: see net.h. What isn't here stays in the shim or doesn't exist. */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "gofer/net.h"

#define BUFFER_MAX (4 << 20) /* of the host's kernel, for one socket and direction */
#define PRIORITY_MAX 6       /* what anybody may set (socket(7)) */

enum { GET = 1, SET = 2, STREAM = 4, V6 = 8, DATAGRAM = 16 };

static const struct allowed {
    int level, name;
    unsigned how;
    int min, max; /* of what may be set; both 0: anything */
} allowed[] = {
    { SOL_SOCKET, SO_KEEPALIVE, GET | SET, 0, 0 },
    { SOL_SOCKET, SO_OOBINLINE, GET | SET | STREAM, 0, 0 },
    { SOL_SOCKET, SO_PRIORITY, GET | SET, 0, PRIORITY_MAX },
    { SOL_SOCKET, SO_SNDBUF, GET | SET, 0, BUFFER_MAX },
    { SOL_SOCKET, SO_RCVBUF, GET | SET, 0, BUFFER_MAX },
    { SOL_SOCKET, SO_BROADCAST, GET, 0, 0 },
    { SOL_SOCKET, SO_REUSEADDR, GET | SET | STREAM, 0, 0 },
    { SOL_SOCKET, SO_TIMESTAMPNS, GET | SET | DATAGRAM, 0, 0 },
    { IPPROTO_TCP, TCP_NODELAY, GET | SET | STREAM, 0, 0 },
    { IPPROTO_TCP, TCP_CORK, GET | SET | STREAM, 0, 0 },
    { IPPROTO_TCP, TCP_KEEPIDLE, GET | SET | STREAM, 0, 0 },
    { IPPROTO_TCP, TCP_KEEPINTVL, GET | SET | STREAM, 0, 0 },
    { IPPROTO_TCP, TCP_KEEPCNT, GET | SET | STREAM, 0, 0 },
    { IPPROTO_TCP, TCP_QUICKACK, GET | SET | STREAM, 0, 0 },
    { IPPROTO_TCP, TCP_USER_TIMEOUT, GET | SET | STREAM, 0, 0 },
    { IPPROTO_TCP, TCP_MAXSEG, GET | SET | STREAM, 0, 0 },
    { IPPROTO_TCP, TCP_SYNCNT, GET | SET | STREAM, 0, 0 },
    { IPPROTO_TCP, TCP_LINGER2, GET | SET | STREAM, 0, 0 },
    { IPPROTO_TCP, TCP_DEFER_ACCEPT, GET | SET | STREAM, 0, 0 },
    { IPPROTO_TCP, TCP_WINDOW_CLAMP, GET | SET | STREAM, 0, 0 },
    { IPPROTO_TCP, TCP_NOTSENT_LOWAT, GET | SET | STREAM, 0, 0 },
    { IPPROTO_TCP, TCP_INFO, GET | STREAM, 0, 0 },
    { IPPROTO_TCP, TCP_CONGESTION, GET | STREAM, 0, 0 },
    { IPPROTO_IP, IP_TOS, GET | SET, 0, 0 },
    { IPPROTO_IP, IP_TTL, GET | SET, 0, 0 },
    { IPPROTO_IP, IP_MTU_DISCOVER, GET | SET, 0, 0 },
    { IPPROTO_IP, IP_MTU, GET, 0, 0 },
    { IPPROTO_IP, IP_PKTINFO, GET | SET | DATAGRAM, 0, 0 },
    { IPPROTO_IP, IP_RECVTTL, GET | SET | DATAGRAM, 0, 0 },
    { IPPROTO_IP, IP_RECVTOS, GET | SET | DATAGRAM, 0, 0 },
    { IPPROTO_IP, IP_RECVERR, GET | SET | DATAGRAM, 0, 0 },
    { IPPROTO_IPV6, IPV6_UNICAST_HOPS, GET | SET | V6, 0, 0 },
    { IPPROTO_IPV6, IPV6_TCLASS, GET | SET | V6, 0, 0 },
    { IPPROTO_IPV6, IPV6_V6ONLY, GET | SET | V6, 0, 0 },
    { IPPROTO_IPV6, IPV6_MTU_DISCOVER, GET | SET | V6, 0, 0 },
    { IPPROTO_IPV6, IPV6_MTU, GET | V6, 0, 0 },
    { IPPROTO_IPV6, IPV6_RECVPKTINFO, GET | SET | V6 | DATAGRAM, 0, 0 },
    { IPPROTO_IPV6, IPV6_RECVHOPLIMIT, GET | SET | V6 | DATAGRAM, 0, 0 },
    { IPPROTO_IPV6, IPV6_RECVTCLASS, GET | SET | V6 | DATAGRAM, 0, 0 },
    { IPPROTO_IPV6, IPV6_RECVERR, GET | SET | V6 | DATAGRAM, 0, 0 },
};

static const struct allowed *find(const struct net_socket *s, int level, int name)
{
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        const struct allowed *a = &allowed[i];

        if (a->level != level || a->name != name)
            continue;
        if ((a->how & STREAM && s->datagram) || (a->how & DATAGRAM && !s->datagram) || (a->how & V6 && s->family != AF_INET6))
            return NULL;
        return a;
    }
    return NULL;
}

static void note_errors(struct net_socket *s, int level, int name, int v)
{
    unsigned bit = level == IPPROTO_IP && name == IP_RECVERR         ? NET_ERRORS_V4
                   : level == IPPROTO_IPV6 && name == IPV6_RECVERR ? NET_ERRORS_V6
                                                                   : 0;

    s->errors_wanted = v ? s->errors_wanted | bit : s->errors_wanted & ~bit;
}

int net_set_option(struct net_socket *s, int level, int name, const void *value, socklen_t size)
{
    const struct allowed *a = find(s, level, name);
    int v;

    if (!a || !(a->how & SET))
        return -ENOPROTOOPT;
    if (size != sizeof(v))
        return -EINVAL;
    memcpy(&v, value, sizeof(v));
    if (a->max) {
        if (name == SO_PRIORITY && (v < a->min || v > a->max))
            return -EPERM;
        v = v < a->min ? a->min : v > a->max ? a->max : v;
    }
    if (setsockopt(s->fd, level, name, &v, sizeof(v)) < 0)
        return -errno;
    note_errors(s, level, name, v);
    return 0;
}

int net_get_option(struct net_socket *s, int level, int name, void *value, socklen_t *size)
{
    if (!find(s, level, name))
        return -ENOPROTOOPT;
    return getsockopt(s->fd, level, name, value, size) < 0 ? -errno : 0;
}
