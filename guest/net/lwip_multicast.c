/*
 * Multicast groups (ip(7), ipv6(7)) on the network device, through lwIP's IGMP and MLD. As on Linux a socket hears what any socket has joined
 * (IP_MULTICAST_ALL); its own memberships only keep the groups. lo takes no part.
 */
#include "lwip/igmp.h"
#include "lwip/mld6.h"
#include "lwip/udp.h"

#include <linux/in.h>
#include <linux/in6.h>

#include "lib/kmalloc.h"
#include "net/netdev.h"
#include "net/stack.h"
#include "net/stack_addr.h"

#define MEMBERSHIPS_MAX 20u /* igmp_max_memberships */
#define JOIN_GROUP 42       /* MCAST_JOIN_GROUP and the next: the same for both families (RFC 3678) */
#define LEAVE_GROUP 45

/* A group that somebody is in. lwIP counts in eight bits. */
struct group {
    struct list node;
    uint8_t addr[16];
    uint32_t count;
};

struct membership {
    struct list node;
    struct group *group;
};

static struct list groups = LIST_INIT(groups);

/* --- groups --- */

static int tell_stack(const uint8_t addr[16], bool join)
{
    ip_addr_t a;

    addr_to_lwip(addr, &a);
    if (IP_IS_V4(&a))
        return join ? igmp_joingroup_netif(netif_default, ip_2_ip4(&a)) : igmp_leavegroup_netif(netif_default, ip_2_ip4(&a));
    return join ? mld6_joingroup_netif(netif_default, ip_2_ip6(&a)) : mld6_leavegroup_netif(netif_default, ip_2_ip6(&a));
}

static struct group *get_group(const uint8_t addr[16])
{
    struct group *g;

    list_for_each(g, &groups, node) {
        if (inet_same(g->addr, addr)) {
            g->count++;
            return g;
        }
    }
    g = kzalloc(sizeof(*g));
    if (!g || tell_stack(addr, true) != ERR_OK) {
        kfree(g);
        return NULL;
    }
    memcpy(g->addr, addr, sizeof(g->addr));
    g->count = 1;
    list_push_back(&groups, &g->node);
    return g;
}

static void put_group(struct group *g)
{
    if (--g->count > 0)
        return;
    tell_stack(g->addr, false);
    list_remove(&g->node);
    kfree(g);
}

/* --- a socket's --- */

static struct membership *find(struct stack_sock *k, const uint8_t addr[16], uint32_t *ret_count)
{
    struct membership *m, *found = NULL;

    *ret_count = 0;
    list_for_each(m, &k->memberships, node) {
        (*ret_count)++;
        if (inet_same(m->group->addr, addr))
            found = m;
    }
    return found;
}

static int join(struct stack_sock *k, const uint8_t addr[16])
{
    uint32_t count;
    struct membership *m;

    if (find(k, addr, &count))
        return -EADDRINUSE;
    if (count == MEMBERSHIPS_MAX)
        return -ENOBUFS;
    m = kzalloc(sizeof(*m));
    if (m)
        m->group = get_group(addr);
    if (!m || !m->group) {
        kfree(m);
        return -ENOBUFS;
    }
    list_push_back(&k->memberships, &m->node);
    return 0;
}

static void leave(struct membership *m)
{
    list_remove(&m->node);
    put_group(m->group);
    kfree(m);
}

void stack_leave_all(struct stack_sock *k)
{
    struct membership *m, *next;

    list_for_each_safe(m, next, &k->memberships, node)
        leave(m);
}

/* --- options --- */

struct request {
    uint8_t addr[16];
    bool any_device;
    int ifindex;
};

static void read_v4(const uint8_t *p, uint8_t ret[16])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    memcpy(ret, mapped, sizeof(mapped));
    memcpy(ret + 12, p, 4);
}

/* struct ip_mreq or ip_mreqn: a device by index, or by one of its addresses. */
static int read_mreq(const uint8_t *value, uint32_t len, struct request *ret)
{
    uint8_t local[16];

    if (len < 8)
        return -EINVAL;
    read_v4(value, ret->addr);
    read_v4(value + 4, local);
    if (len >= 12)
        memcpy(&ret->ifindex, value + 8, sizeof(ret->ifindex));
    if (!ret->ifindex && !inet_is_any(local))
        ret->ifindex = inet_is_loopback(local) ? 1 : inet_is_inside(local) ? stack_netdev()->index : -1;
    return 0;
}

static int read_mreq6(const uint8_t *value, uint32_t len, struct request *ret)
{
    if (len < 20)
        return -EINVAL;
    memcpy(ret->addr, value, 16);
    memcpy(&ret->ifindex, value + 16, sizeof(ret->ifindex));
    return 0;
}

/* struct group_req: index, padding, an address of the option's level. */
static int read_group_req(int level, const uint8_t *value, uint32_t len, struct request *ret)
{
    const struct sockaddr_in *in = (const void *)(value + 8);
    const struct sockaddr_in6 *in6 = (const void *)(value + 8);

    if (len < 8 + sizeof(struct __kernel_sockaddr_storage))
        return -EINVAL;
    memcpy(&ret->ifindex, value, sizeof(ret->ifindex));
    if (in->sin_family != (level == IPPROTO_IP ? AF_INET : AF_INET6))
        return -EINVAL;
    if (level == IPPROTO_IP)
        read_v4((const uint8_t *)&in->sin_addr, ret->addr);
    else
        memcpy(ret->addr, &in6->sin6_addr, 16);
    return 0;
}

static bool is_multicast(const uint8_t addr[16])
{
    return inet_is_v4(addr) ? addr[12] >> 4 == 14 : addr[0] == 0xff;
}

bool stack_is_group(const uint8_t addr[16])
{
    return is_multicast(addr);
}

int stack_membership(struct socket *s, int level, int name, const void *value, uint32_t len)
{
    bool by_group = name == JOIN_GROUP || name == LEAVE_GROUP;
    bool joins = name == JOIN_GROUP || name == (level == IPPROTO_IP ? IP_ADD_MEMBERSHIP : IPV6_ADD_MEMBERSHIP);
    struct request r = { 0 };
    struct membership *m;
    uint32_t count;
    int err = by_group ? read_group_req(level, value, len, &r) : level == IPPROTO_IP ? read_mreq(value, len, &r) : read_mreq6(value, len, &r);

    if (err == 0 && !is_multicast(r.addr))
        err = joins ? -EINVAL : -EADDRNOTAVAIL;
    if (err == 0 && r.ifindex && r.ifindex != stack_netdev()->index)
        err = joins ? -ENODEV : -EADDRNOTAVAIL;
    if (err == 0)
        err = stack_udp_adopt(s);
    if (err < 0)
        return err;
    if (joins) {
        err = join(inet_sock(s)->stack, r.addr);
    } else {
        m = find(inet_sock(s)->stack, r.addr, &count);
        err = m ? 0 : -EADDRNOTAVAIL;
        if (m)
            leave(m);
    }
    stack_done();
    return err;
}

void stack_apply_multicast(const struct inet_sock *i, struct udp_pcb *pcb)
{
    bool v6 = i->s.family == AF_INET6;

    udp_set_multicast_ttl(pcb, (u8_t)i->options[v6 ? OPT_V6_MULTICAST_HOPS : OPT_IP_MULTICAST_TTL]);
    if (i->options[v6 ? OPT_V6_MULTICAST_LOOP : OPT_IP_MULTICAST_LOOP])
        udp_set_flags(pcb, UDP_FLAGS_MULTICAST_LOOP);
    else
        udp_clear_flags(pcb, UDP_FLAGS_MULTICAST_LOOP);
}
