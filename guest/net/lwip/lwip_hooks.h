/* What lwIP calls by a name of ours; included by its sources. */
#ifndef LWIP_HOOKS_H
#define LWIP_HOOKS_H

#include "lwip/ip_addr.h"

/* Told by DHCP (lwIP's own resolver, whose name this is, isn't built). */
void dns_setserver(u8_t number, const ip_addr_t *server);

/* Initial sequence numbers: random, as nobody may guess them (RFC 6528, 1). */
#define LWIP_HOOK_TCP_ISN(local, local_port, remote, remote_port) stack_random()

struct netif;
struct pbuf;
int stack_hook_ip4(struct pbuf *p);
int stack_hook_ip6(struct pbuf *p);
#define LWIP_HOOK_IP4_INPUT(p, input) stack_hook_ip4(p)
#define LWIP_HOOK_IP6_INPUT(p, input) stack_hook_ip6(p)
const ip6_addr_t *stack_gateway6(struct netif *n, const ip6_addr_t *destination);
#define LWIP_HOOK_ND6_GET_GW(netif, destination) stack_gateway6(netif, destination)

#endif
