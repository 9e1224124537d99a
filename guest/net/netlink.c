/*
 * AF_NETLINK, NETLINK_ROUTE (rtnetlink(7)): what getifaddrs(3), getaddrinfo(3) and ip(8) ask. Requests are answered at once into the
 * socket's own queue; nothing can be changed, so nothing is ever announced to groups.
 */
#include <linux/capability.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "lib/kmalloc.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/netdev.h"
#include "net/route.h"
#include "net/socket.h"
#include "proc/process.h"

#define REQUEST_MAX 16384u
#define REPLY_MAX 4096u       /* one message; what we say is far below */
#define OPERSTATE_UNKNOWN 0

struct netlink_sock {
    struct socket s;
    struct list all_node;
    uint32_t port, groups;    /* port 0: not bound */
    uint32_t peer_port;
    struct mutex read_lock;
};

static struct list all = LIST_INIT(all);
static const struct socket_ops netlink_ops;

static struct netlink_sock *netlink_sock(struct socket *s)
{
    return (struct netlink_sock *)s;
}

struct socket *netlink_socket(int type, int protocol)
{
    struct netlink_sock *n;

    if (type != SOCK_RAW && type != SOCK_DGRAM)
        return err_ptr(-ESOCKTNOSUPPORT);
    if (protocol != NETLINK_ROUTE)
        return err_ptr(-EPROTONOSUPPORT);
    n = (struct netlink_sock *)socket_alloc(sizeof(*n), &netlink_ops, AF_NETLINK, type, protocol);
    if (!n)
        return err_ptr(-ENOMEM);
    mutex_init(&n->read_lock);
    list_push_back(&all, &n->all_node);
    return &n->s;
}

static void netlink_destroy(struct socket *s)
{
    list_remove(&netlink_sock(s)->all_node);
    packet_queue_purge(&s->rx);
}

/* --- names --- */

static bool port_taken(uint32_t port)
{
    struct netlink_sock *n;

    list_for_each(n, &all, all_node) {
        if (n->port == port)
            return true;
    }
    return false;
}

/* The process's number for its first socket, then numbers from the top, as Linux. */
static void autobind(struct netlink_sock *n)
{
    uint32_t port = (uint32_t)current->proc->pid;

    for (uint32_t i = 0; port_taken(port); i++)
        port = UINT32_MAX - 4096 - i;
    n->port = port;
}

static int netlink_bind(struct socket *s, const struct net_addr *addr)
{
    struct netlink_sock *n = netlink_sock(s);

    if (addr->len < sizeof(addr->nl) || addr->family != AF_NETLINK)
        return -EINVAL;
    if (n->port && addr->nl.nl_pid && addr->nl.nl_pid != n->port)
        return -EINVAL;
    if (!n->port && addr->nl.nl_pid) {
        if (port_taken(addr->nl.nl_pid))
            return -EADDRINUSE;
        n->port = addr->nl.nl_pid;
    } else if (!n->port) {
        autobind(n);
    }
    n->groups = addr->nl.nl_groups;
    return 0;
}

static int netlink_connect(struct socket *s, const struct net_addr *addr, bool nonblock UNUSED)
{
    struct netlink_sock *n = netlink_sock(s);

    if (addr->len < sizeof(addr->family))
        return -EINVAL;
    if (addr->family == AF_UNSPEC) {
        n->peer_port = 0;
        return 0;
    }
    if (addr->family != AF_NETLINK || addr->len < sizeof(addr->nl))
        return -EINVAL;
    if (addr->nl.nl_groups || addr->nl.nl_pid)
        return -EPERM;
    if (!n->port)
        autobind(n);
    return 0;
}

static int netlink_getname(struct socket *s, struct net_addr *ret, bool peer)
{
    struct netlink_sock *n = netlink_sock(s);

    memset(&ret->nl, 0, sizeof(ret->nl));
    ret->len = sizeof(ret->nl);
    ret->nl.nl_family = AF_NETLINK;
    if (!peer) {
        ret->nl.nl_pid = n->port;
        ret->nl.nl_groups = n->groups;
    }
    return 0;
}

/* --- building messages --- */

struct reply {
    struct netlink_sock *to;
    const struct nlmsghdr *request;
    struct packet *packet; /* messages of one dump share packets */
};

static void flush(struct reply *r)
{
    if (!r->packet)
        return;
    r->packet->charge = packet_truesize(r->packet->len);
    packet_push(&r->to->s.rx, r->packet);
    r->packet = NULL;
    socket_wake_read(&r->to->s);
}

static void *put(struct reply *r, size_t n)
{
    struct packet *p = r->packet;
    void *at = p->data + p->len;
    size_t space = NLMSG_ALIGN(n);

    if (p->capacity - p->len < space)
        panic("netlink: message of %u bytes", p->len);
    memset(at, 0, space);
    p->len += (uint32_t)space;
    return at;
}

/* Begin a message with a body of n bytes. NULL: no memory. */
static void *begin(struct reply *r, uint16_t type, uint16_t flags, size_t n)
{
    struct nlmsghdr *h;

    if (r->packet && r->packet->capacity - r->packet->len < REPLY_MAX / 4)
        flush(r);
    if (!r->packet)
        r->packet = packet_alloc(REPLY_MAX);
    if (!r->packet)
        return NULL;
    h = put(r, sizeof(*h));
    h->nlmsg_type = type;
    h->nlmsg_flags = flags;
    h->nlmsg_seq = r->request->nlmsg_seq;
    h->nlmsg_pid = r->to->port;
    h->nlmsg_len = (uint32_t)sizeof(*h);
    return put(r, n);
}

static void attr(struct reply *r, uint16_t type, const void *data, size_t n)
{
    struct rtattr *a = put(r, sizeof(*a) + n);

    a->rta_type = type;
    a->rta_len = (uint16_t)(sizeof(*a) + n);
    memcpy(a + 1, data, n);
}

static void attr_u32(struct reply *r, uint16_t type, uint32_t value)
{
    attr(r, type, &value, sizeof(value));
}

static void attr_u8(struct reply *r, uint16_t type, uint8_t value)
{
    attr(r, type, &value, sizeof(value));
}

static void attr_text(struct reply *r, uint16_t type, const char *text)
{
    attr(r, type, text, strlen(text) + 1);
}

/* The message is complete: start is its body. */
static void end(struct reply *r, void *start)
{
    struct nlmsghdr *h = (struct nlmsghdr *)start - 1;

    h->nlmsg_len = (uint32_t)(r->packet->data + r->packet->len - (uint8_t *)h);
}

static void say_error(struct reply *r, int err)
{
    struct nlmsgerr *e = begin(r, NLMSG_ERROR, NLM_F_CAPPED, sizeof(*e));

    if (!e)
        return;
    e->error = err;
    e->msg = *r->request;
    end(r, e);
    flush(r);
}

/* --- links, addresses, routes --- */

static void say_link(struct reply *r, const struct netdev *d, uint16_t flags)
{
    struct ifinfomsg *m = begin(r, RTM_NEWLINK, flags, sizeof(*m));
    struct rtnl_link_stats64 stats = { 0 };
    struct netdev_counts counts = { 0 };

    if (!m)
        return;
    if (d->count)
        d->count(&counts);
    stats.rx_packets = counts.rx_packets;
    stats.tx_packets = counts.tx_packets;
    stats.rx_bytes = counts.rx_bytes;
    stats.tx_bytes = counts.tx_bytes;
    m->ifi_type = d->type;
    m->ifi_index = d->index;
    m->ifi_flags = d->flags;
    attr_text(r, IFLA_IFNAME, d->name);
    attr_u32(r, IFLA_TXQLEN, d->tx_queue_len);
    attr_u8(r, IFLA_OPERSTATE, OPERSTATE_UNKNOWN);
    attr_u8(r, IFLA_LINKMODE, 0);
    attr_u32(r, IFLA_MTU, d->mtu);
    attr_u32(r, IFLA_GROUP, 0);
    attr_u32(r, IFLA_PROMISCUITY, 0);
    attr_u32(r, IFLA_NUM_TX_QUEUES, 1);
    attr_u32(r, IFLA_NUM_RX_QUEUES, 1);
    attr_u8(r, IFLA_CARRIER, 1);
    attr_text(r, IFLA_QDISC, "noqueue");
    attr(r, IFLA_ADDRESS, d->hwaddr, sizeof(d->hwaddr));
    attr(r, IFLA_BROADCAST, d->flags & NETDEV_BROADCAST ? "\xff\xff\xff\xff\xff\xff" : "\0\0\0\0\0", 6);
    attr(r, IFLA_STATS64, &stats, sizeof(stats));
    end(r, m);
}

static size_t addr_size(int family)
{
    return family == AF_INET ? 4 : 16;
}

static void say_addr(struct reply *r, const struct netdev *d, const struct netdev_addr *a)
{
    struct ifaddrmsg *m = begin(r, RTM_NEWADDR, NLM_F_MULTI, sizeof(*m));
    struct ifa_cacheinfo forever = { .ifa_prefered = UINT32_MAX, .ifa_valid = UINT32_MAX };

    if (!m)
        return;
    m->ifa_family = (uint8_t)a->family;
    m->ifa_prefixlen = a->prefix_len;
    m->ifa_flags = IFA_F_PERMANENT;
    m->ifa_scope = a->scope;
    m->ifa_index = (uint32_t)d->index;
    attr(r, IFA_ADDRESS, a->addr, addr_size(a->family));
    if (a->family == AF_INET) {
        attr(r, IFA_LOCAL, a->addr, 4);
        attr_text(r, IFA_LABEL, d->name);
    }
    attr_u32(r, IFA_FLAGS, IFA_F_PERMANENT);
    attr(r, IFA_CACHEINFO, &forever, sizeof(forever));
    end(r, m);
}

static void say_route(struct reply *r, const struct route *route, const uint8_t *dst, uint8_t len, uint16_t flags)
{
    struct rtmsg *m = begin(r, RTM_NEWROUTE, flags, sizeof(*m));

    if (!m)
        return;
    m->rtm_family = (uint8_t)route->family;
    m->rtm_dst_len = len;
    m->rtm_table = route->table;
    m->rtm_protocol = route->protocol;
    m->rtm_scope = route->scope;
    m->rtm_type = route->type;
    attr_u32(r, RTA_TABLE, route->table);
    if (len)
        attr(r, RTA_DST, dst, addr_size(route->family));
    if (route->has_gateway)
        attr(r, RTA_GATEWAY, route->gateway, addr_size(route->family));
    attr_u32(r, RTA_OIF, (uint32_t)route->dev->index);
    if (route->has_source)
        attr(r, RTA_PREFSRC, route->source, sizeof(route->source));
    if (route->family == AF_INET6)
        attr_u32(r, RTA_PRIORITY, route->table == RT_TABLE_MAIN ? 256 : 0);
    end(r, m);
}

/* --- requests --- */

/* The attribute of this type in a request whose fixed part has `fixed` bytes; NULL: none. */
static const void *find_attr(const struct nlmsghdr *h, size_t fixed, uint16_t type, size_t *ret_len)
{
    size_t pos = NLMSG_HDRLEN + NLMSG_ALIGN(fixed);

    while (pos + sizeof(struct rtattr) <= h->nlmsg_len) {
        const struct rtattr *a = (const struct rtattr *)((const char *)h + pos);

        if (a->rta_len < sizeof(*a) || a->rta_len > h->nlmsg_len - pos)
            return NULL;
        if (a->rta_type == type) {
            *ret_len = a->rta_len - sizeof(*a);
            return a + 1;
        }
        pos += RTA_ALIGN(a->rta_len);
    }
    return NULL;
}

static void dump(struct reply *r, int family)
{
    struct netdev *d;
    struct route route;
    int *status;

    switch (r->request->nlmsg_type) {
    case RTM_GETLINK:
        list_for_each(d, netdev_all(), node)
            say_link(r, d, NLM_F_MULTI);
        break;
    case RTM_GETADDR:
        list_for_each(d, netdev_all(), node) {
            for (size_t i = 0; i < d->addr_count; i++) {
                if (family == AF_UNSPEC || family == d->addrs[i].family)
                    say_addr(r, d, &d->addrs[i]);
            }
        }
        break;
    case RTM_GETROUTE:
        for (size_t i = 0; route_at(i, &route); i++) {
            if (family == AF_UNSPEC || family == route.family)
                say_route(r, &route, route.dst, route.prefix_len, NLM_F_MULTI);
        }
        break;
    default: /* neighbours, rules …: there are none */
        break;
    }
    flush(r);
    status = begin(r, NLMSG_DONE, NLM_F_MULTI, sizeof(*status));
    if (status)
        end(r, status);
    flush(r);
}

static int get_link(struct reply *r)
{
    const struct ifinfomsg *m = NLMSG_DATA(r->request);
    struct netdev *d = NULL;
    const char *name;
    size_t len;

    if (r->request->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
        return -EINVAL;
    name = find_attr(r->request, sizeof(*m), IFLA_IFNAME, &len);
    if (m->ifi_index > 0)
        d = netdev_by_index(m->ifi_index);
    else if (name && strnlen(name, len) < len)
        d = netdev_by_name(name);
    else
        return -EINVAL;
    if (!d)
        return -ENODEV;
    say_link(r, d, 0);
    return 0;
}

static int get_route(struct reply *r)
{
    const struct rtmsg *m = NLMSG_DATA(r->request);
    const uint8_t *dst;
    struct route route;
    size_t len = 0;

    if (r->request->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
        return -EINVAL;
    dst = find_attr(r->request, sizeof(*m), RTA_DST, &len);
    if (!dst)
        return -EINVAL;
    if ((m->rtm_family != AF_INET && m->rtm_family != AF_INET6) || len != addr_size(m->rtm_family) ||
        !route_find(m->rtm_family, dst, &route))
        return -ENETUNREACH;
    if (route.type == RTN_UNICAST && !route.has_source && route.family == AF_INET && route.dev->addr_count) {
        route.has_source = true;
        memcpy(route.source, route.dev->addrs[0].addr, sizeof(route.source));
    }
    say_route(r, &route, dst, (uint8_t)(len * 8), 0);
    return 0;
}

static int answer(struct reply *r)
{
    const struct nlmsghdr *h = r->request;
    bool asks = h->nlmsg_type >= RTM_BASE && (h->nlmsg_type & 3) == 2; /* RTM_GET*: see rtnetlink(7) */

    if (h->nlmsg_type < NLMSG_MIN_TYPE)
        return 0;
    if (h->nlmsg_type < RTM_BASE || h->nlmsg_type > RTM_MAX)
        return -EOPNOTSUPP;
    if (h->nlmsg_len < NLMSG_LENGTH(1))
        return 0; /* as Linux: without a family it is no question */
    if (!asks)
        return capable(CAP_NET_ADMIN) ? -EOPNOTSUPP : -EPERM;
    if ((h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP) {
        dump(r, *(const uint8_t *)NLMSG_DATA(h)); /* the family comes first in all of them */
        return 1;
    }
    switch (h->nlmsg_type) {
    case RTM_GETLINK:
        return get_link(r);
    case RTM_GETROUTE:
        return get_route(r);
    default:
        return -EOPNOTSUPP;
    }
}

/* Each request in buf gets its answers. */
static void handle(struct netlink_sock *n, char *buf, size_t len)
{
    size_t pos = 0;

    while (len - pos >= sizeof(struct nlmsghdr)) {
        struct reply r = { .to = n, .request = (struct nlmsghdr *)(buf + pos) };
        uint32_t size = r.request->nlmsg_len;
        int err;

        if (size < sizeof(struct nlmsghdr) || size > len - pos)
            return;
        if (r.request->nlmsg_flags & NLM_F_REQUEST) {
            err = answer(&r);
            flush(&r);
            if (err < 0 || (err == 0 && (r.request->nlmsg_flags & NLM_F_ACK)))
                say_error(&r, err);
        }
        pos = MIN(pos + NLMSG_ALIGN(size), len);
    }
}

/* --- messages --- */

static ssize_t netlink_send(struct socket *s, struct socket_msg *msg)
{
    struct netlink_sock *n = netlink_sock(s);
    size_t len = msg->data->left;
    char *buf;

    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (msg->addr) {
        if (msg->addr->len < sizeof(msg->addr->nl) || msg->addr->family != AF_NETLINK)
            return -EINVAL;
        if (msg->addr->nl.nl_groups)
            return -EPERM;
        if (msg->addr->nl.nl_pid)
            return -ECONNREFUSED;
    }
    if (len > REQUEST_MAX)
        return -EMSGSIZE;
    if (s->rx.charge > s->opt.rcvbuf)
        return -ENOBUFS;
    if (!n->port)
        autobind(n);
    buf = kmalloc(MAX(len, 1ul));
    if (!buf)
        return -ENOBUFS;
    if (iter_copy_from(msg->data, buf, len) < len) {
        kfree(buf);
        return -EFAULT;
    }
    handle(n, buf, len);
    kfree(buf);
    return (ssize_t)len;
}

static ssize_t take_packet(struct netlink_sock *n, struct socket_msg *msg, struct packet *p)
{
    size_t want = MIN((size_t)p->len, msg->data->left), len = p->len;
    bool fault = iter_copy_to(msg->data, p->data, want) < want;

    if (want < len)
        msg->out_flags |= MSG_TRUNC;
    if (msg->addr)
        netlink_getname(&n->s, msg->addr, true); /* from the kernel */
    if (!(msg->flags & MSG_PEEK)) {
        packet_unlink(&n->s.rx, p);
        packet_free(p);
    }
    return fault ? -EFAULT : (ssize_t)(msg->flags & MSG_TRUNC ? len : want);
}

static ssize_t netlink_recv(struct socket *s, struct socket_msg *msg)
{
    struct netlink_sock *n = netlink_sock(s);
    uint64_t deadline_ns = socket_deadline(s->opt.recv_timeout_ns, msg->flags & MSG_DONTWAIT);
    ssize_t ret;

    if (msg->flags & (MSG_OOB | MSG_ERRQUEUE))
        return -EOPNOTSUPP;
    for (;;) {
        ret = socket_wait(&s->read_wait, s->rx.count > 0, deadline_ns);
        if (ret < 0)
            return ret;
        mutex_lock(&n->read_lock);
        if (s->rx.count > 0)
            break;
        mutex_unlock(&n->read_lock);
    }
    ret = take_packet(n, msg, packet_first(&s->rx));
    mutex_unlock(&n->read_lock);
    return ret;
}

static uint32_t netlink_poll(struct socket *s)
{
    return EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND | (s->rx.count > 0 ? EPOLLIN | EPOLLRDNORM : 0u);
}

struct socket *netlink_get(int fd)
{
    struct file *f = fd_get_io(fd);
    struct socket *s = f ? socket_of(f) : NULL;
    int err = !f ? -EBADF : !s ? -ENOTSOCK : s->family != AF_NETLINK ? -EINVAL : 0;

    if (err == 0)
        socket_get(s);
    if (f)
        file_put(f);
    return err < 0 ? err_ptr(err) : s;
}

void netlink_post(struct socket *s, const void *data, uint32_t len)
{
    struct packet *p = s->file ? packet_alloc(len) : NULL;

    if (!p)
        return;
    memcpy(p->data, data, len);
    p->len = len;
    p->charge = packet_truesize(len);
    packet_push(&s->rx, p);
    socket_wake_read(s);
}

/* Settings of how we answer: we only ever answer in the form that suits all. */
static int netlink_setsockopt(struct socket *s UNUSED, int level, int name, const void *value, uint32_t len)
{
    int v;

    if (level != SOL_NETLINK)
        return -ENOPROTOOPT;
    if (option_int(value, len, &v) < 0)
        return -EINVAL;
    switch (name) {
    case NETLINK_ADD_MEMBERSHIP:
    case NETLINK_DROP_MEMBERSHIP:
        return v < 1 || v > RTNLGRP_MAX ? -EINVAL : 0;
    case NETLINK_PKTINFO:
    case NETLINK_BROADCAST_ERROR:
    case NETLINK_NO_ENOBUFS:
    case NETLINK_EXT_ACK:
    case NETLINK_CAP_ACK:
    case NETLINK_GET_STRICT_CHK:
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static const struct socket_ops netlink_ops = {
    .bind = netlink_bind,
    .connect = netlink_connect,
    .getname = netlink_getname,
    .send = netlink_send,
    .recv = netlink_recv,
    .poll = netlink_poll,
    .setsockopt = netlink_setsockopt,
    .destroy = netlink_destroy,
};
