/*
 * The sandbox's network, from the command line to a plan: names are resolved, published ports bound, name servers found. All of it
 * before the jail, with the host's own means.
 */
#ifndef VMM_NET_H
#define VMM_NET_H

#include "vmm/options.h"

/* Make the plan (large: not for a stack). 0, or -1 after one line on stderr. The published sockets are left open. */
int net_build(struct net_plan *plan, const struct net_options *opt);

/* Does the sandbox have a network at all? */
bool net_is_wanted(const struct net_options *opt);

/* Does the host ask a name server at an address of its own first? */
bool net_host_dns_is_local(void);

/* resolv.conf(5) and further lines of hosts(5) for the sandbox. Both terminate. */
void net_resolv_conf(const struct net_plan *plan, char *text, size_t size);
void net_hosts(const struct net_plan *plan, char *text, size_t size);

/* Parts, for tests. HOST[:PORT] is taken apart: *ret_host is written to host (NUL-terminated). False if it makes no sense. */
bool net_split_host(const char *text, char *host, size_t host_size, uint16_t *ret_port);
/* An address or a CIDR range. False: neither (a name). */
bool net_parse_range(const char *text, struct net_rule *ret);
struct publish_spec {
    char addr[64];
    uint16_t host_port, port;
    bool datagram;
};
bool net_parse_publish(const char *text, struct publish_spec *ret);

#endif
