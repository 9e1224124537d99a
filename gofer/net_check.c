/* Destinations and sources: aliases, routes, the policy, and the operator's line. See net.h and net_policy.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "gofer/net.h"

#define REFUSED_LINES_MAX 50u

static bool same_end(const struct net_end *a, const struct net_end *b)
{
    return !memcmp(a->addr, b->addr, 16) && a->port == b->port && a->scope == b->scope;
}

static size_t known_slot(const struct net_end *end, size_t count)
{
    uint32_t hash = 2166136261u ^ end->port;

    for (unsigned i = 0; i < 16; i++)
        hash = (hash ^ end->addr[i]) * 16777619u;
    return (hash ^ hash >> 16) % count;
}

int net_know(struct net_socket *s, size_t count)
{
    if (s->known)
        return 0;
    s->known = calloc(count, sizeof(*s->known));
    s->known_count = s->known ? count : 0;
    return s->known ? 0 : -ENOMEM;
}

void net_remember(struct net_socket *s, const struct net_end *end)
{
    if (s->known)
        s->known[known_slot(end, s->known_count)] = *end;
}

static bool is_known(const struct net_socket *s, const struct net_end *end)
{
    const struct net_end *known = s->known ? &s->known[known_slot(end, s->known_count)] : NULL;

    return known && known->family && same_end(known, end);
}

/* The address for the host's call. -EAFNOSUPPORT: IPv6 for an IPv4 socket. */
static int make_sockaddr(const struct net_socket *s, const struct net_end *end, struct net_target *t)
{
    uint32_t v4;

    memset(&t->sa, 0, sizeof(t->sa));
    if (s->family == AF_INET) {
        if (!net_mapped_v4(end->addr, &v4))
            return -EAFNOSUPPORT;
        t->sa.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(end->port), .sin_addr = { htonl(v4) } };
        t->size = sizeof(t->sa.in);
        return 0;
    }
    t->sa.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(end->port), .sin6_scope_id = end->scope };
    memcpy(&t->sa.in6.sin6_addr, end->addr, 16);
    t->size = sizeof(t->sa.in6);
    return 0;
}

/* Which of the name servers' aliases is it? -1: none. */
static int dns_alias(const struct net *net, const struct net_end *end)
{
    uint32_t v4;

    if (end->port != NET_DNS_PORT || !net_mapped_v4(end->addr, &v4))
        return -1;
    for (uint32_t i = 0; i < NET_DNS_COUNT; i++)
        if (v4 == NET_DNS_ADDR(i) && (net->config.plan->listed ? i == 0 : i < net->config.plan->server_count))
            return (int)i;
    return -1;
}

static bool is_any(const uint8_t addr[16])
{
    static const uint8_t any[16];
    uint32_t v4;

    return net_mapped_v4(addr, &v4) ? v4 == 0 : !memcmp(addr, any, 16);
}

static void say_refused(struct net *net, const struct net_socket *s, const struct net_end *end, enum net_class why)
{
    static const size_t kept = sizeof(net->refused) / sizeof(net->refused[0]);
    char text[INET6_ADDRSTRLEN];
    uint32_t v4;

    for (size_t i = 0; i < kept; i++)
        if (net->refused[i].family && same_end(&net->refused[i], end))
            return;
    net->refused[net->refused_lines % kept] = *end;
    net->refused[net->refused_lines % kept].family = AF_INET6;
    if (net->refused_lines > REFUSED_LINES_MAX)
        return;
    net->refused_lines++;
    if (net->refused_lines > REFUSED_LINES_MAX) {
        log_error("net", "more is refused than is told here");
        return;
    }
    if (net_mapped_v4(end->addr, &v4))
        inet_ntop(AF_INET, end->addr + 12, text, sizeof(text));
    else
        inet_ntop(AF_INET6, end->addr, text, sizeof(text));
    if (s->echo)
        log_error("net", "echo request to %s refused: %s", text, net_class_text(why));
    else
        log_error("net", "%s to %s port %u refused: %s", s->datagram ? "datagram" : "connection", text, end->port,
                  net_class_text(why));
}

static int decide(struct net *net, const struct net_end *end, enum net_class *ret_why)
{
    enum net_route route = NET_ROUTE_NONE;

    *ret_why = net_classify(end->addr);
    /* What its bits alone forbid isn't asked of the host. */
    if (net->config.plan->outgoing && *ret_why <= NET_CLASS_LOCAL)
        route = net_routes_look_up(&net->routes, end->addr, end->scope);
    return net_decide(net->config.plan, end->addr, end->port, route, ret_why);
}

int net_check(struct net *net, struct net_socket *s, const struct net_end *end, struct net_target *ret)
{
    const struct net_plan *plan = net->config.plan;
    struct net_end real = *end;
    enum net_class why = NET_CLASS_PUBLIC;
    uint32_t v4;
    int dns = s->echo ? -1 : dns_alias(net, end);
    bool known;
    int err;

    *ret = (struct net_target){ .own_dns = dns >= 0 && plan->listed };
    if (ret->own_dns)
        return 0;
    if (dns >= 0) {
        memcpy(real.addr, plan->servers[dns].addr, 16);
        real.scope = plan->servers[dns].scope;
        return make_sockaddr(s, &real, ret);
    }
    if (s->echo)
        real.port = 0; /* there are none: a rule that names one doesn't permit it */
    known = s->publish && is_known(s, end);
    if ((plan->host_loopback || known) && net_mapped_v4(end->addr, &v4) && v4 == NET_HOST_ADDR)
        net_map_v4(real.addr, INADDR_LOOPBACK);
    err = make_sockaddr(s, &real, ret);
    if (err || known)
        return err;
    if (s->checked_epoch != net->epoch || !same_end(&s->checked, end)) {
        err = decide(net, &real, &why);
        if (err == -EACCES)
            say_refused(net, s, &real, why);
        if (err)
            return err;
        s->checked = *end;
        s->checked_epoch = net->epoch;
    }
    if (s->bound)
        net_remember(s, end);
    return 0;
}

int net_check_local(struct net *net, struct net_socket *s, const struct net_end *end, struct net_target *ret)
{
    const struct net_plan *plan = net->config.plan;
    bool is_checked = s->checked_local_epoch == net->epoch && same_end(&s->checked_local, end);
    struct net_end real = *end;
    enum net_class class;
    uint32_t v4;

    *ret = (struct net_target){ 0 };
    if (plan->host_loopback && net_mapped_v4(end->addr, &v4) && v4 == NET_HOST_ADDR)
        net_map_v4(real.addr, INADDR_LOOPBACK);
    if (!is_any(real.addr) && !is_checked) {
        class = net_classify(real.addr);
        if (!plan->outgoing || !plan->host_loopback || class > NET_CLASS_LOCAL)
            return -EADDRNOTAVAIL; /* which of its addresses the host uses is its own affair */
        if (net_routes_look_up(&net->routes, real.addr, real.scope) != NET_ROUTE_LOCAL)
            return -EADDRNOTAVAIL; /* broadcast and multicast ones could be bound to */
        s->checked_local = *end;
        s->checked_local_epoch = net->epoch;
    }
    return make_sockaddr(s, &real, ret);
}

bool net_check_source(struct net *net, struct net_socket *s, const struct net_end *end)
{
    struct net_end real = *end;
    enum net_class why;
    uint32_t v4;

    if (s->publish) {
        net_remember(s, end);
        return true;
    }
    if (s->bound)
        return is_known(s, end) || dns_alias(net, end) >= 0;
    if ((s->checked_epoch == net->epoch && same_end(&s->checked, end)) || dns_alias(net, end) >= 0)
        return true;
    if (net->config.plan->host_loopback && net_mapped_v4(end->addr, &v4) && v4 == NET_HOST_ADDR)
        net_map_v4(real.addr, INADDR_LOOPBACK);
    return decide(net, &real, &why) == 0;
}

void net_show(const struct net *net, const union net_sockaddr *sa, struct net_end *ret)
{
    const struct net_plan *plan = net->config.plan;
    uint32_t v4;

    *ret = (struct net_end){ .family = AF_INET6 };
    if (sa->any.sa_family == AF_INET) {
        net_map_v4(ret->addr, ntohl(sa->in.sin_addr.s_addr));
        ret->port = ntohs(sa->in.sin_port);
    } else {
        memcpy(ret->addr, &sa->in6.sin6_addr, 16);
        ret->port = ntohs(sa->in6.sin6_port);
        ret->scope = sa->in6.sin6_scope_id;
    }
    if (net_mapped_v4(ret->addr, &v4))
        ret->family = AF_INET;
    for (uint32_t i = 0; i < plan->server_count && ret->port == NET_DNS_PORT && !plan->listed; i++) {
        if (memcmp(ret->addr, plan->servers[i].addr, 16))
            continue;
        net_map_v4(ret->addr, NET_DNS_ADDR(i));
        ret->family = AF_INET;
        ret->scope = 0;
        return;
    }
    /* 127.0.0.1 is the sandbox's own to the guest, and answers would go there. */
    if (net_mapped_v4(ret->addr, &v4) && v4 >> 24 == INADDR_LOOPBACK >> 24)
        net_map_v4(ret->addr, NET_HOST_ADDR);
}
