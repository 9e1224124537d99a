/* Internet sockets: addresses, ports, names. */
#include "net/inet.h"

#include <linux/capability.h>

#include "arch/cpu.h"
#include "lib/string.h"
#include "net/tcp.h"
#include "proc/process.h"

#define PORT_EPHEMERAL_MIN 32768u /* /proc/sys/net/ipv4/ip_local_port_range */
#define PORT_EPHEMERAL_MAX 60999u
#define PORT_PRIVILEGED 1024u
#define SOCKADDR_IN6_MIN 24u /* without sin6_scope_id, as RFC 2133 had it */

const struct inet_outside *inet_outside;

static struct list tcp_ports[INET_BUCKETS], udp_ports[INET_BUCKETS];
static const uint8_t any6[16], loopback6[16] = { [15] = 1 };
static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

static struct socket *raw_socket(int family, int protocol)
{
    if (protocol == 0)
        return err_ptr(-EPROTONOSUPPORT);
    if (!capable(CAP_NET_RAW))
        return err_ptr(-EPERM);
    if (protocol < 0 || protocol > 255)
        return err_ptr(-EINVAL);
    return inet_outside && inet_outside->raw ? inet_outside->raw(family, protocol) : err_ptr(-EPROTONOSUPPORT);
}

struct socket *frame_socket(int type, int protocol)
{
    if (!capable(CAP_NET_RAW))
        return err_ptr(-EPERM);
    return inet_outside && inet_outside->packet ? inet_outside->packet(type, protocol) : err_ptr(-EAFNOSUPPORT);
}

/* With packets of our own, ping(8) and its like find raw sockets; the stack makes no others. */
static struct socket *echo_socket(int family, int protocol)
{
    return inet_outside && inet_outside->raw ? err_ptr(-EACCES) : ping_socket(family, protocol);
}

struct socket *inet_socket(int family, int type, int protocol)
{
    int only = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;

    if (type == SOCK_RAW)
        return raw_socket(family, protocol);
    if (type != SOCK_STREAM && type != SOCK_DGRAM)
        return err_ptr(-ESOCKTNOSUPPORT);
    if (protocol < 0 || protocol > 255)
        return err_ptr(-EINVAL);
    if (type == SOCK_DGRAM && protocol == (family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6))
        return echo_socket(family, protocol);
    if (protocol && protocol != only)
        return err_ptr(-EPROTONOSUPPORT);
    return type == SOCK_STREAM ? tcp_socket(family) : udp_socket(family);
}

/* --- addresses --- */

bool inet_is_v4(const uint8_t addr[16])
{
    return memcmp(addr, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

bool inet_same(const uint8_t a[16], const uint8_t b[16])
{
    return memcmp(a, b, 16) == 0;
}

static uint32_t v4_of(const uint8_t addr[16])
{
    return ADDR4(addr[12], addr[13], addr[14], addr[15]);
}

static void set_v4(uint8_t addr[16], uint32_t v4)
{
    memcpy(addr, mapped_prefix, sizeof(mapped_prefix));
    for (int i = 0; i < 4; i++)
        addr[12 + i] = (uint8_t)(v4 >> (24 - 8 * i));
}

bool inet_is_any(const uint8_t addr[16])
{
    return inet_is_v4(addr) ? v4_of(addr) == 0 : inet_same(addr, any6);
}

bool inet_is_loopback(const uint8_t addr[16])
{
    return inet_is_v4(addr) ? addr[12] == 127 : inet_same(addr, loopback6);
}

bool inet_is_inside(const uint8_t addr[16])
{
    return inet_is_loopback(addr) || (inet_outside && inet_outside->is_own && inet_outside->is_own(addr));
}

static uint16_t swap16(uint16_t v)
{
    return (uint16_t)(v << 8 | v >> 8);
}

void inet_show(const struct inet_sock *i, const struct inet_end *end, struct net_addr *ret)
{
    memset(ret->bytes, 0, sizeof(struct sockaddr_in6));
    if (i->s.family == AF_INET) {
        ret->len = sizeof(ret->in);
        ret->in.sin_family = AF_INET;
        ret->in.sin_port = swap16(end->port);
        memcpy(&ret->in.sin_addr, end->addr + 12, 4);
    } else {
        ret->len = sizeof(ret->in6);
        ret->in6.sin6_family = AF_INET6;
        ret->in6.sin6_port = swap16(end->port);
        memcpy(&ret->in6.sin6_addr, end->addr, 16);
    }
}

int inet_getname(struct socket *s, struct net_addr *ret, bool connected, bool peer)
{
    struct inet_sock *i = inet_sock(s);

    if (peer && !connected)
        return -ENOTCONN;
    inet_show(i, peer ? &i->remote : &i->local, ret);
    return 0;
}

static void read_in(const struct net_addr *addr, struct inet_end *ret)
{
    set_v4(ret->addr, 0);
    memcpy(ret->addr + 12, &addr->in.sin_addr, 4);
    ret->port = swap16(addr->in.sin_port);
}

static void read_in6(const struct net_addr *addr, struct inet_end *ret)
{
    memcpy(ret->addr, &addr->in6.sin6_addr, 16);
    ret->port = swap16(addr->in6.sin6_port);
}

int inet_read_addr(const struct inet_sock *i, const struct net_addr *addr, struct inet_end *ret)
{
    if (i->s.family == AF_INET) {
        if (addr->len < sizeof(addr->in))
            return -EINVAL;
        if (addr->family != AF_INET)
            return -EAFNOSUPPORT;
        read_in(addr, ret);
        return 0;
    }
    if (addr->len < SOCKADDR_IN6_MIN)
        return -EINVAL;
    if (addr->family != AF_INET6)
        return -EAFNOSUPPORT;
    read_in6(addr, ret);
    return inet_is_v4(ret->addr) && i->options[OPT_V6_ONLY] ? -ENETUNREACH : 0;
}

int inet_route(struct inet_sock *i, struct inet_end *to)
{
    int err;

    if (inet_is_any(to->addr)) {
        if (inet_is_v4(to->addr))
            set_v4(to->addr, ADDR4(127, 0, 0, 1));
        else
            memcpy(to->addr, loopback6, 16);
    }
    if (inet_is_inside(to->addr))
        return 0;
    if (inet_is_v4(to->addr) && v4_of(to->addr) == UINT32_MAX && !i->s.opt.broadcast)
        return -EACCES;
    err = inet_outside ? inet_outside->adopt(&i->s) : -ENETUNREACH;
    return err < 0 ? err : 1;
}

int inet_choose_source(struct inet_sock *i, const struct inet_end *to)
{
    bool v4 = inet_is_v4(to->addr);

    if (!inet_is_any(i->local.addr))
        return inet_is_v4(i->local.addr) == v4 ? 0 : v4 ? -EINVAL : -ENETUNREACH;
    if (inet_is_v4(i->local.addr) && !v4)
        return -ENETUNREACH;
    if (!inet_is_loopback(to->addr))
        memcpy(i->local.addr, to->addr, 16); /* to itself, from where it is */
    else if (v4)
        set_v4(i->local.addr, ADDR4(127, 0, 0, 1));
    else
        memcpy(i->local.addr, loopback6, 16);
    return 0;
}

/* --- ports --- */

struct list *inet_port_bucket(int protocol, uint16_t port)
{
    struct list *head = (protocol == IPPROTO_TCP ? tcp_ports : udp_ports) + port % INET_BUCKETS;

    if (!head->next)
        list_init(head);
    return head;
}

static int protocol_of(const struct inet_sock *i)
{
    return i->s.type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
}

void inet_add_port(struct inet_sock *i)
{
    if (i->in_ports)
        return;
    i->in_ports = true;
    list_push_back(inet_port_bucket(protocol_of(i), i->local.port), &i->port_node);
}

void inet_release_port(struct inet_sock *i)
{
    if (i->in_ports)
        list_remove(&i->port_node);
    i->in_ports = false;
}

void inet_forget_binding(struct inet_sock *i)
{
    if (!i->bound_port) {
        inet_release_port(i);
        i->local.port = 0;
        i->named = false;
    }
    if (!i->bound_addr) {
        if (i->s.family == AF_INET)
            set_v4(i->local.addr, 0);
        else
            memset(i->local.addr, 0, 16);
    }
    i->remote = (struct inet_end){ 0 };
}

/* All IPv4 addresses are its own; all IPv6 ones. */
static bool is_any4(const struct inet_sock *i)
{
    return inet_is_any(i->local.addr) && (inet_is_v4(i->local.addr) || !i->options[OPT_V6_ONLY]);
}

static bool is_any6(const struct inet_sock *i)
{
    return inet_same(i->local.addr, any6);
}

bool inet_hears(const struct inet_sock *i, const uint8_t addr[16])
{
    return inet_same(i->local.addr, addr) || (inet_is_v4(addr) ? is_any4(i) : is_any6(i));
}

static bool overlap(const struct inet_sock *a, const struct inet_sock *b)
{
    if (inet_hears(a, b->local.addr) || inet_hears(b, a->local.addr))
        return true;
    return (is_any4(a) && is_any4(b)) || (is_any6(a) && is_any6(b));
}

bool inet_conflict(const struct inet_sock *i, uint16_t port, bool listening)
{
    struct list *head = inet_port_bucket(protocol_of(i), port);
    const struct inet_sock *other;

    list_for_each(other, head, port_node) {
        if (other == i || other->local.port != port || !overlap(i, other))
            continue;
        if (i->s.opt.reuseport && other->s.opt.reuseport && i->s.owner.uid == other->s.owner.uid)
            continue;
        if (i->s.opt.reuseaddr && other->s.opt.reuseaddr && !other->s.listening)
            continue;
        if (listening && !other->s.listening)
            continue;
        return true;
    }
    return false;
}

int inet_autobind(struct inet_sock *i)
{
    uint32_t count = PORT_EPHEMERAL_MAX - PORT_EPHEMERAL_MIN + 1, start;

    if (i->local.port)
        return 0;
    random_bytes(&start, sizeof(start));
    for (uint32_t n = 0; n < count; n++) {
        uint16_t port = (uint16_t)(PORT_EPHEMERAL_MIN + (start + n) % count);

        if (inet_conflict(i, port, false))
            continue;
        i->local.port = port;
        inet_add_port(i);
        return 0;
    }
    return -EADDRINUSE;
}

static int read_bind_addr(const struct inet_sock *i, const struct net_addr *addr, struct inet_end *ret)
{
    if (i->s.family == AF_INET) {
        if (addr->len < sizeof(addr->in))
            return -EINVAL;
        read_in(addr, ret);
        /* AF_UNSPEC for INADDR_ANY is an old habit that Linux tolerates */
        if (addr->family != AF_INET && (addr->family != AF_UNSPEC || !inet_is_any(ret->addr)))
            return -EAFNOSUPPORT;
        return 0;
    }
    if (addr->len < SOCKADDR_IN6_MIN)
        return -EINVAL;
    if (addr->family != AF_INET6)
        return -EAFNOSUPPORT;
    read_in6(addr, ret);
    return inet_is_v4(ret->addr) && i->options[OPT_V6_ONLY] ? -EINVAL : 0;
}

/* May it be bound here? 1: that is the transport's to say. */
static int check_bind_addr(struct inet_sock *i, const struct inet_end *end)
{
    int err;

    if (i->s.type == SOCK_DGRAM && inet_outside && inet_outside->is_group && inet_outside->is_group(end->addr)) {
        err = inet_outside->adopt(&i->s);
        if (err < 0)
            return err;
    } else if (!inet_is_any(end->addr) && !inet_is_inside(end->addr)) {
        return inet_outside && inet_outside->bind ? 1 : -EADDRNOTAVAIL;
    }
    if (end->port && end->port < PORT_PRIVILEGED && !capable(CAP_NET_BIND_SERVICE))
        return -EACCES;
    return 0;
}

int inet_bind(struct socket *s, const struct net_addr *addr, bool idle)
{
    struct inet_sock *i = inet_sock(s);
    struct inet_end end, old = i->local;
    int err = read_bind_addr(i, addr, &end);

    if (err == 0)
        err = check_bind_addr(i, &end);
    if (err < 0)
        return err;
    if (!idle || i->local.port)
        return -EINVAL;
    if (err > 0)
        return inet_outside->bind(i, &end);
    memcpy(i->local.addr, end.addr, 16);
    if (end.port && inet_conflict(i, end.port, false))
        err = -EADDRINUSE;
    if (err == 0 && end.port) {
        i->local.port = end.port;
        inet_add_port(i);
    } else if (err == 0 && !i->options[OPT_IP_BIND_NO_PORT]) {
        err = inet_autobind(i);
    }
    if (err < 0) {
        i->local = old;
        return err;
    }
    i->bound_addr = !inet_is_any(end.addr);
    i->bound_port = end.port != 0;
    i->named = i->local.port != 0;
    return 0;
}
