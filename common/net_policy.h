/*
 * Where the sandbox may send to: pure decisions on addresses, without any system call.
 *
 * An address is 16 bytes, IPv4 mapped. What an address means is decided on the IPv4 address inside as well, in all the forms that
 * carry one (mapped, compatible, 6to4, NAT64, Teredo, ISATAP): both the outer and the inner address must be permitted.
 */
#ifndef COMMON_NET_POLICY_H
#define COMMON_NET_POLICY_H

#include "common/net_plan.h"

/* NET_CLASS_LIST(X): X(NAME, "what the operator is told"). In the order of severity. */
#define NET_CLASS_LIST(X)                                                                          \
    X(PUBLIC, "not in the list of --allow")                                                        \
    X(PRIVATE, "private address; open it with --allow")                                            \
    X(LOCAL, "the host itself; open it with --net=host-loopback")                                  \
    X(LINK_LOCAL, "link-local address")                                                            \
    X(METADATA, "metadata service of a cloud")                                                     \
    X(MULTICAST, "multicast address")                                                              \
    X(BROADCAST, "broadcast address")                                                              \
    X(RESERVED, "reserved address")                                                                \
    X(UNSPECIFIED, "unspecified address")

enum net_class {
#define X(name, text) NET_CLASS_##name,
    NET_CLASS_LIST(X)
#undef X
};

const char *net_class_text(enum net_class class);

/* What the bits of an address say. LOCAL is loopback here; the host's other addresses are known by its routes only. */
enum net_class net_classify(const uint8_t addr[16]);

/* How the host would route it (rtnetlink(7), rtm_type). */
enum net_route { NET_ROUTE_UNICAST, NET_ROUTE_LOCAL, NET_ROUTE_BROADCAST, NET_ROUTE_MULTICAST, NET_ROUTE_NONE };

/*
 * May the sandbox send to addr and port, which the host routes as `route`? 0; -ENETUNREACH without a network or a route; -EACCES, as an
 * administrator's "prohibit" route gives (ip-route(8)), and why in *ret_why.
 */
int net_decide(const struct net_plan *plan, const uint8_t addr[16], uint16_t port, enum net_route route,
               enum net_class *ret_why);

/* Does addr begin with the first `bits` bits of prefix? */
bool net_prefix_match(const uint8_t addr[16], const uint8_t prefix[16], unsigned bits);

/* The IPv4 address in a mapped one, host order; false if it isn't one. */
bool net_mapped_v4(const uint8_t addr[16], uint32_t *ret);
void net_map_v4(uint8_t addr[16], uint32_t v4);

#endif
