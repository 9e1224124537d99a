/* Addresses between lwIP's form and ours. */
#ifndef NET_STACK_ADDR_H
#define NET_STACK_ADDR_H

#include "lib/string.h"
#include "lwip/ip_addr.h"
#include "net/inet.h"

#define STACK_DEVICE 2 /* eth0's index */

static inline void addr_to_lwip(const uint8_t addr[16], ip_addr_t *ret)
{
    uint32_t w[4];

    memcpy(w, addr, sizeof(w));
    if (inet_is_v4(addr))
        ip_addr_set_ip4_u32_val(*ret, w[3]);
    else
        IP_ADDR6(ret, w[0], w[1], w[2], w[3]);
}

static inline void addr_from_lwip(const ip_addr_t *addr, uint8_t ret[16])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    uint32_t v4;

    if (IP_IS_V4(addr)) {
        v4 = ip4_addr_get_u32(ip_2_ip4(addr));
        memcpy(ret, mapped, sizeof(mapped));
        memcpy(ret + 12, &v4, 4);
    } else {
        memcpy(ret, ip_2_ip6(addr)->addr, 16);
    }
}

/* Of the packet that is being received. */
const ip_addr_t *stack_destination(void);
/* What the header of the packet that is being received says: destination, TTL, TOS; and the device. */
void stack_take_header(struct packet *packet);
/* Which of our addresses a packet to `to` would come from; unchanged if there is none. */
void stack_source_for(const ip_addr_t *to, uint8_t ret[16]);

#endif
